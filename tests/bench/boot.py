#!/usr/bin/env python3
"""Boots Debian's amd64 kernel to init and powers off, in turn in EMULATOR and in the distribution's QEMU (-accel tcg). Prints
for each the least wall seconds to init and to the end, CPU seconds and peak memory, and how many times less that is
than QEMU's; then how much longer than -smp 2 a boot with -smp 8 takes."""
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import subprocess
import sys
import time

import program
from program import guests

TARGET, SMP_TARGET = 2.5, 2


def boot(command):
    """Wall seconds to init, to the end; CPU seconds; peak memory in MB."""
    start = time.monotonic()
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    init = None
    for line in p.stdout:
        if b"BENCH INIT" in line and init is None:
            init = time.monotonic() - start
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = status
    if init is None or status:
        sys.exit("bench: %s: no init, or status %d" % (command[0], status))
    return init, time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def best(commands, runs):
    """The least of each figure, the commands in turn."""
    results = [[] for _ in commands]
    for _ in range(runs):
        for rows, command in zip(results, commands):
            rows.append(boot(command))
    return [[min(column) for column in zip(*rows)] for rows in results]


def main():
    args = program.arguments(__doc__, runs=("boot so often (6)", 6))
    machine = ["-m", "256", "-display", "none", "-no-reboot", "-serial", "stdio", "-monitor", "none", "-kernel", guests.kernel("amd64"),
               "-initrd", guests.initramfs("bench", os.path.join(program.HERE, "boot-init")), "-append", "console=ttyS0 quiet"]
    emulators = list(program.emulators(args))
    rows = best([command + machine for _, command in emulators], args.runs)
    print("\n%-24s %10s %10s %10s %10s" % ("Boot", "init s", "end s", "CPU s", "peak MB"))
    for (name, _), row in zip(emulators, rows):
        print("%-24s %10.2f %10.2f %10.2f %10.0f" % (name[-24:], *row))
    if len(rows) == 2:
        init, end, cpu, memory = (theirs / ours for ours, theirs in zip(*rows))
        print("%-24s %10.2f %10.2f %10.2f %10.2f" % ("times less than QEMU", init, end, cpu, memory))
        print("to init %s, to the end %s, memory %s" % (program.verdict(init, TARGET), program.verdict(end, TARGET),
                                                        program.verdict(memory, 1)))
    two, eight = best([args.emulator + machine + ["-smp", cpus] for cpus in ("2", "8")], args.runs)
    print("%-24s %10.2f %10.2f %10.2f %10.0f" % ("vole, -smp 2", *two))
    print("%-24s %10.2f %10.2f %10.2f %10.0f   time %s" % ("vole, -smp 8", *eight,
                                                           program.verdict(eight[1] / two[1], SMP_TARGET, False)))


main()
