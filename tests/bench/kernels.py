#!/usr/bin/env python3
"""Runs the benchmark's kernels on this machine, in EMULATOR and in the distribution's QEMU (-accel tcg) under Debian's
kernels. Prints each kernel's best time, how many times longer than natively it takes, and how many times faster
than QEMU it is; then the geometric means by class beside what Vole means to reach. Checksums have to agree.
A time never makes this fail."""
# SPDX-License-Identifier: GPL-2.0-or-later
import re
import sys

import program

LINE = re.compile(r"^([a-z0-9-]+) +(integer|string|float|x87|system) +([0-9.]+) ms +([0-9a-f]{16})$", re.M)

# class: title, classes of the program, to be so many times faster than QEMU, and within so many times native
TARGETS = [("integer", ["integer"], 2.5, 1.9), ("strings, floating point, vectors", ["string", "float"], 15, 2.5),
           ("x87", ["x87"], 12, 2.5), ("system", ["system"], 2.5, None)]


def parse(text):
    return {name: (kind, float(ms), check) for name, kind, ms, check in LINE.findall(text)}


def merge(best, other):
    """The better time of each kernel; the first of several runs is merged with nothing."""
    for name, (kind, ms, check) in other.items():
        if name in best and best[name][2] != check:
            sys.exit("bench: %s: checksums differ between runs" % name)
        best[name] = (kind, min(ms, best[name][1]) if name in best else ms, check)


def measure(bits, emulators, words, runs):
    """[(who, results)], this machine first; in turn, so that what else this machine does meets all of them."""
    results = [("native", {})] + [(name, {}) for name, _ in emulators]
    for _ in range(runs):
        merge(results[0][1], parse(program.run_native(bits, words)))
        for (_, best), (_, command) in zip(results[1:], emulators):
            text = program.run_guest(command, bits, words)
            merge(best, parse(text))
    native = results[0][1]
    if not native:
        sys.exit("bench: no kernel of that name or class")
    for who, times in results[1:]:
        for name in native:
            if name not in times:
                sys.exit("bench: %s: %s printed no result" % (name, who))
            if times[name][2] != native[name][2]:
                sys.exit("bench: %s: %s computes %s, this machine %s" % (name, who, times[name][2], native[name][2]))
    return results


def show(bits, results):
    native = results[0][1]
    print("\n%d-bit" % bits)
    header = "%-18s%13s" % ("", "native")
    for who, _ in results[1:]:
        header += "%26s" % who[-25:]
    print(header + ("%12s" % "vole/qemu" if len(results) > 2 else ""))
    for name, (_, ms, _) in native.items():
        row = "%-18s%10.2f ms" % (name, ms)
        for _, times in results[1:]:
            row += "%12.2f ms %8.2f x" % (times[name][1], times[name][1] / ms)
        if len(results) > 2:
            faster = results[2][1][name][1] / results[1][1][name][1]
            row += "%10.2f x%s" % (faster, "  slower than QEMU" if faster < 1 else "")
        print(row)


def ratios(measured, classes):
    """(times native, times faster than QEMU or None) of all kernels of these classes, geometric means."""
    native, faster = [], []
    for _, results in measured:
        for name, (kind, ms, _) in results[0][1].items():
            if kind in classes:
                native.append(results[1][1][name][1] / ms)
                if len(results) > 2:
                    faster.append(results[2][1][name][1] / results[1][1][name][1])
    return (program.geometric_mean(native) if native else None, program.geometric_mean(faster) if faster else None)


def summary(measured):
    print("\n%-41s %-36s %s" % ("Geometric means", "times native", "times faster than QEMU"))
    sets = [("%d-bit" % bits, [(bits, results)]) for bits, results in measured]
    if len(sets) > 1:
        sets.append(("both", measured))
    for title, classes, faster_target, native_target in TARGETS:
        for name, part in sets:
            native, faster = ratios(part, classes)
            if native is None:
                continue
            if part is sets[-1][1]:
                left = program.verdict(native, native_target, False) if native_target else "%.2f" % native
                right = program.verdict(faster, faster_target) if faster else ""
            else:
                left, right = "%.2f" % native, "%.2f" % faster if faster else ""
            print("%-34s %-6s %-36s %s" % (title, name, left, right))
    slower = ["%s (%d-bit)" % (name, bits) for bits, results in measured if len(results) > 2
              for name in results[0][1] if results[2][1][name][1] < results[1][1][name][1]]
    if len(measured[0][1]) > 2:
        print("Kernels slower than QEMU: " + (", ".join(slower) if slower else "none"))


def wanted(only, only_class):
    """The program's words that select kernels by name and class."""
    words = []
    known = [line.split() for line in program.run_native(64, ["list"]).splitlines()]
    for option, text, column in (("--only", only, 0), ("--class", only_class, 1)):
        names = {row[column]: None for row in known}
        for name in text.split(",") if text else []:
            if name not in names:
                sys.exit("bench: %s %s: there are %s" % (option, name, ", ".join(names)))
        words += [option, text] if text else []
    return words


def main():
    args = program.arguments(__doc__, only=("these kernels, by name, commas between", ""), bits=("64 or 32 alone", ""),
                             runs=("run everything so often and take each kernel's best", 1),
                             **{"class": ("integer, string, float, x87, system; commas between", "")})
    words = wanted(args.only, vars(args)["class"])
    if args.bits not in ("", "64", "32"):
        sys.exit("bench: --bits %s: 64 or 32; without it both" % args.bits)
    emulators = list(program.emulators(args))
    measured = []
    for bits in [int(args.bits)] if args.bits else [64, 32]:
        measured.append((bits, measure(bits, emulators, words, args.runs)))
        show(*measured[-1])
        sys.stdout.flush()
    summary(measured)


main()
