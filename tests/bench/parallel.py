#!/usr/bin/env python3
"""Two independent integer jobs on -smp 2 against one: throughput on this machine, in EMULATOR and in the distribution's QEMU."""
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import re

import program

LINE = re.compile(r"parallel 1 job ([0-9.]+) ms, \d+ jobs ([0-9.]+) ms, throughput ([0-9.]+)")
JOBS, TARGET = 2, 1.8


def main():
    args = program.arguments(__doc__)
    words = ["parallel", str(JOBS)]
    if len(os.sched_getaffinity(0)) < JOBS:
        print("\n(parallel jobs: this machine has one CPU: nothing to measure)")
        return
    texts = [("native", program.run_native(64, words))]
    texts += [(name, program.run_guest(command, 64, words, "-smp", str(JOBS)))
              for name, command in program.emulators(args)]
    print("\n-smp %d %20s %10s %12s" % (JOBS, "one job ms", "two ms", "throughput"))
    for i, (name, text) in enumerate(texts):
        one, two, throughput = LINE.search(text).groups()
        target = "   " + program.verdict(float(throughput), TARGET) if i == 1 else ""
        print("%-16s %10s %10s %12s%s" % (name, one, two, throughput, target))


main()
