#!/usr/bin/env python3
"""usage: tests/bench/boot.py [-n RUNS] EMULATOR [OPTION...]

Boots Debian's amd64 kernel to init and powers off, in turn in EMULATOR and in the distribution's QEMU (-accel tcg); prints
for each the median of wall seconds to init and to the end, of CPU seconds and of peak memory, and the ratios.
"""
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import shutil
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../boot"))
import guests  # noqa: E402


def boot(command):
    start = time.monotonic()
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    init = None
    for line in p.stdout:
        if b"BENCH INIT" in line and init is None:
            init = time.monotonic() - start
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = status
    if init is None or status:
        sys.exit("%s: no init, or status %d" % (command[0], status))
    return init, time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    args = sys.argv[1:]
    runs = 3
    if args[:1] == ["-n"]:
        runs, args = int(args[1]), args[2:]
    if not args:
        sys.exit(__doc__)
    os.chdir(os.path.join(HERE, "../.."))
    machine = ["-m", "256", "-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", guests.kernel("amd64"),
               "-initrd", guests.initramfs("bench", os.path.join(HERE, "init")), "-append", "console=ttyS0 quiet"]
    emulators = [("vole " + " ".join(args[1:]), args + machine)]
    qemu = shutil.which("qemu-system-x86_64", path="/usr/bin")
    if qemu:
        emulators.append(("qemu -accel tcg", [qemu, "-accel", "tcg", "-monitor", "none", *machine]))
    results = {name: [] for name, _ in emulators}
    for _ in range(runs):
        for name, command in emulators:
            results[name].append(boot(command))
    medians = {name: [statistics.median(column) for column in zip(*rows)] for name, rows in results.items()}
    print("%-24s %10s %10s %10s %10s" % ("", "init s", "end s", "CPU s", "peak MB"))
    for name, row in medians.items():
        print("%-24s %10.1f %10.1f %10.1f %10.0f" % (name, *row))
    if len(medians) == 2:
        ours, theirs = medians.values()
        print("%-24s %10.2f %10.2f %10.2f %10.2f" % ("ratio", *(a / b for a, b in zip(ours, theirs))))


main()
