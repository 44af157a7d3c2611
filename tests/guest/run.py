#!/usr/bin/env python3
"""Runs the bare-metal guest tests on an emulator and collects their TAP lines.

    tests/guest/run.py [--emulator PROGRAM] [--build DIR] [--option ARG]... [-v] [NAME...]

A NAME picks the tests whose name contains it. A test's source may carry header lines that this
program reads:
    /* args: -smp 2 */      more arguments for the emulator
    /* resets: yes */       the guest resets the machine: no -no-reboot
    /* not on QEMU: why */  QEMU's deviation would end the test
With --option=-d --option=lockstep tests with several CPUs are left out: lockstep has one.
SPDX-License-Identifier: GPL-2.0-or-later
"""
import argparse
import os
import re
import subprocess
import sys
import time

TIMEOUT = 180  # only there so that a hang ends: half a second on an idle machine
TIMEOUT_LOCKSTEP = 600
DEVIATION = "# known QEMU deviation"
DIRECTORIES = ("real", "protected", "long")


def header(source, key):
    with open(source, encoding="utf-8") as f:
        found = re.search(r"/\* %s: (.*?) \*/" % key, f.read(4000))
    return found.group(1) if found else ""


def command_line(options, source, rom):
    qemu = "qemu" in os.path.basename(options.emulator)
    cmd = [options.emulator, "-bios", rom, "-debugcon", "stdio",
           "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-display", "none"]
    args = header(source, "args").split()
    if "-m" not in args:
        cmd += ["-m", "64"]
    if header(source, "resets") != "yes":
        cmd.append("-no-reboot")
    if qemu:
        cmd += ["-accel", "tcg"]
    if qemu and "-cpu" not in args:
        cmd += ["-cpu", "max"]
    return cmd + args + options.option


def start(cmd, seconds):
    """Returns output and what went wrong with the emulator itself, if anything."""
    try:
        done = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as e:
        return (e.stdout or b"").decode(errors="replace"), "no end within %d s" % seconds
    except OSError as e:
        return "", str(e)
    out = done.stdout.decode(errors="replace")
    if done.returncode == 0:
        return out, "the machine was reset"
    if done.returncode not in (1, 3):
        err = done.stderr.decode(errors="replace").strip().splitlines()
        return out, "emulator status %d %s" % (done.returncode, err[-1] if err else "")
    if "\n1.." not in "\n" + out:
        err = done.stderr.decode(errors="replace").strip().splitlines()
        return out, "no plan line %s" % (err[-1] if err else "")
    return out, ""


def judge(out, trouble, deviations_fail):
    """Counts the checks; a marked check must fail where the mark applies, and pass elsewhere."""
    passed, complaints, numbers = 0, [], 0
    for line in out.splitlines():
        result = re.match(r"(not )?ok (\d+) - (.*)", line)
        if not result:
            plan = re.match(r"1\.\.(\d+)$", line)
            if plan and int(plan.group(1)) != numbers:
                complaints.append("plan says %s, %d ran" % (plan.group(1), numbers))
            continue
        numbers += 1
        want_failure = deviations_fail and DEVIATION in line
        if want_failure == bool(result.group(1)):
            passed += 1
        elif want_failure:
            complaints.append("unexpectedly " + line)
        else:
            complaints.append(line)
    if trouble:
        complaints.append(trouble)
    return passed, complaints


def main():
    parser = argparse.ArgumentParser(description="Run the bare-metal guest tests.")
    parser.add_argument("--emulator", default="build/vole")
    parser.add_argument("--build", default="build/tests/guest")
    parser.add_argument("--option", action="append", default=[], metavar="ARG",
                        help="one more argument for the emulator (repeatable)")
    parser.add_argument("-v", action="store_true", help="show every check")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()

    here = os.path.dirname(os.path.abspath(__file__))
    deviations_fail = "qemu" in os.path.basename(options.emulator)
    total, failed, ran = 0, 0, 0
    for directory in DIRECTORIES:
        for file in sorted(os.listdir(os.path.join(here, directory))):
            name = "%s/%s" % (directory, file[:-2])
            if not file.endswith(".c"):
                continue
            if options.names and not any(n in name for n in options.names):
                continue
            source = os.path.join(here, directory, file)
            if deviations_fail and header(source, "not on QEMU"):
                print("skip %-38s on QEMU: %s" % (name, header(source, "not on QEMU")))
                continue
            if "lockstep" in options.option and "-smp" in header(source, "args").split():
                print("skip %-38s lockstep has one CPU" % name)
                continue
            rom = os.path.join(options.build, name + ".bin")
            began = time.monotonic()
            out, trouble = start(command_line(options, source, rom),
                                 TIMEOUT_LOCKSTEP if "lockstep" in options.option else TIMEOUT)
            passed, complaints = judge(out, trouble, deviations_fail)
            ran += 1
            total += passed
            failed += len(complaints)
            print("%-4s %-38s %3d passed, %d failed (%.1f s)" %
                  ("FAIL" if complaints else "pass", name, passed, len(complaints),
                   time.monotonic() - began))
            for line in out.splitlines() if options.v else complaints:
                print("# %s: %s" % (name, line))
            if options.v and trouble:
                print("#      " + trouble)
            sys.stdout.flush()
    print("%d tests" % ran)
    print("%d passed, %d failed" % (total, failed))
    return 1 if failed or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
