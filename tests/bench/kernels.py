#!/usr/bin/env python3
"""usage: tests/bench/kernels.py [-n RUNS] EMULATOR [OPTION...]

Runs tests/bench/kernels.c on this machine, in EMULATOR and in the distribution's QEMU (-accel tcg) under Debian's kernel; prints
each kernel's best time in milliseconds, and how many times longer than natively it takes. Checksums have to agree.
"""
# SPDX-License-Identifier: GPL-2.0-or-later
import math
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../boot"))
import guests  # noqa: E402

LINE = re.compile(rb"^([a-z-]+) +([0-9.]+) ms +([0-9a-f]{16})\r?$", re.M)


def run(command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    found = {name.decode(): (float(ms), check) for name, ms, check in LINE.findall(done.stdout)}
    if not found:
        sys.exit("%s: no results\n%s" % (command[0], done.stdout.decode(errors="replace")[-1000:]))
    return found


def best(runs):
    result = runs[0]
    for other in runs[1:]:
        for name, (ms, check) in other.items():
            if check != result[name][1]:
                sys.exit("%s: checksums differ between runs" % name)
            result[name] = (min(ms, result[name][0]), check)
    return result


def main():
    args = sys.argv[1:]
    runs = 1
    if args[:1] == ["-n"]:
        runs, args = int(args[1]), args[2:]
    if not args:
        sys.exit(__doc__)
    os.chdir(os.path.join(HERE, "../.."))
    kernel = guests.kernel("amd64")
    program, image = os.path.join(guests.BUILD, "kernels"), os.path.join(guests.BUILD, "kernels.img")
    subprocess.run(["cc", "-O2", "-static", "-o", program, os.path.join(HERE, "kernels.c")], check=True)
    subprocess.run(["scripts/mkinitramfs", image, os.path.join(HERE, "kernels-init"), "--file",
                    "/bin/kernels=" + program], check=True)
    machine = ["-m", "256", "-display", "none", "-no-reboot", "-serial", "stdio", "-monitor", "none", "-kernel", kernel,
               "-initrd", image, "-append", "console=ttyS0 quiet"]
    commands = [("native", [program]), ("vole " + " ".join(args[1:]), args + machine)]
    qemu = shutil.which("qemu-system-x86_64", path="/usr/bin")
    if qemu:
        commands.append(("qemu -accel tcg", [qemu, "-accel", "tcg", *machine]))
    results = [(name, best([run(command) for _ in range(runs)])) for name, command in commands]
    native = results[0][1]
    print("%-16s" % "" + "".join("%26s" % name for name, _ in results))
    for name, (ms, check) in native.items():
        row = "%-16s%23.2f ms" % (name, ms)
        for other, times in results[1:]:
            if times[name][1] != check:
                sys.exit("%s: %s computes something else than this machine" % (name, other))
            row += "%15.2f ms %6.1f x" % (times[name][0], times[name][0] / ms)
        print(row)
    row = "%-16s%26s" % ("geometric mean", "")
    for _, times in results[1:]:
        mean = math.exp(sum(math.log(times[n][0] / native[n][0]) for n in native) / len(native))
        row += "%25.1f x" % mean
    print(row)


main()
