#!/usr/bin/env python3
"""How late the interrupts of a 1 kHz timer reach a busy machine of one CPU: measured by a program on this machine, in EMULATOR
and in the distribution's QEMU. Prints the median, the 99th percentile and the latest, in microseconds."""
# SPDX-License-Identifier: GPL-2.0-or-later
import re

import program

LINE = re.compile(r"lateness (\d+) samples: p50 ([0-9.]+) us, p99 ([0-9.]+) us, max ([0-9.]+) us(.*)")
TARGET = 100


def main():
    args = program.arguments(__doc__, seconds=("for so long (4)", 4.0))
    words = ["latency", "%g" % args.seconds]
    texts = [("native", program.run_native(64, words))]
    texts += [(name, program.run_guest(command, 64, words)) for name, command in program.emulators(args)]
    print("\nTimer lateness, us %17s %10s %10s" % ("median", "99th", "latest"))
    for i, (name, text) in enumerate(texts):
        samples, p50, p99, latest, note = LINE.search(text).groups()
        target = "   99th percentile " + program.verdict(float(p99), TARGET, False) if i == 1 else ""
        print("%-25s %10s %10s %10s%s%s" % (name, p50, p99, latest, target, note))


main()
