#!/usr/bin/env python3
"""usage: tests/bench/snapshots.py [-n RUNS] [--small | --large] EMULATOR [OPTION...]

Snapshots of a whole machine, side by side with the distribution's QEMU (-accel tcg): 512 MB of RAM of which 140 MB are in use, and
4 GB of which 3 GB are. The guest sends a line every other millisecond, by which its standing still is seen from outside:
  pause      the longest time without a line around savevm, less what is usual
  savevm     from the command to the monitor's prompt
  size       of the machine state, as info snapshots shows it
  loadvm     from the command to the first line of the restored guest, in a machine that has run on
  -loadvm    from the start of the process to the first line
Prints the best of RUNS each and the ratio.
"""
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../boot"))
import guests  # noqa: E402

GIVE_UP = 900
UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


class Guest:
    """A machine; the lines of its guest are noted with the time they came by a thread."""

    def __init__(self, command):
        self.dir = tempfile.TemporaryDirectory(prefix="vole-snapshots-")
        monitor = os.path.join(self.dir.name, "monitor")
        self.started = time.monotonic()
        self.process = subprocess.Popen(command + ["-serial", "stdio", "-monitor", "unix:%s,server=on,wait=off" % monitor],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.ticks = []  # (time, number)
        self.text = b""
        self.filled = threading.Event()
        threading.Thread(target=self.read, daemon=True).start()
        end = time.monotonic() + 60
        self.monitor = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self.monitor.connect(monitor)
                break
            except OSError:
                if time.monotonic() > end:
                    sys.exit("no monitor:\n%s" % self.text.decode(errors="replace"))
                time.sleep(0.002)
        self.monitor.settimeout(GIVE_UP)
        self.pending = b""
        self.until_prompt()

    def read(self):
        rest = b""
        while True:
            piece = os.read(self.process.stdout.fileno(), 65536)
            now = time.monotonic()
            if not piece:
                self.filled.set()
                return
            lines = (rest + piece).split(b"\n")
            rest = lines.pop()
            for line in lines:
                match = re.fullmatch(rb"T(\d+)\r?", line)
                if match:
                    self.ticks.append((now, int(match.group(1))))
                else:
                    self.text += line + b"\n"
                    if b"FILLED" in line:
                        self.filled.set()

    def until_prompt(self):
        while not re.search(rb"\((qemu|vole)\) $", self.pending):
            piece = self.monitor.recv(65536)
            if not piece:
                sys.exit("the monitor has gone:\n%s" % self.text.decode(errors="replace"))
            self.pending += piece
        text, self.pending = self.pending, b""
        return text.decode(errors="replace")

    def send(self, line):
        self.monitor.sendall(line.encode() + b"\n")

    def run(self, line):
        self.send(line)
        return self.until_prompt()

    def ticks_for(self, seconds):
        time.sleep(seconds)

    def wait_for(self, condition, what):
        end = time.monotonic() + GIVE_UP
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > end or self.process.poll() is not None:
                sys.exit("no %s:\n%s" % (what, self.text.decode(errors="replace")[-2000:]))
            time.sleep(0.0005)

    def longest_gap(self, start, end):
        times = [start] + [t for t, _ in list(self.ticks) if start <= t <= end] + [end]
        return max(b - a for a, b in zip(times, times[1:]))

    def close(self):
        self.process.kill()
        self.process.wait()
        self.dir.cleanup()


def size_of(listing):
    match = re.search(r"^(?:--|\d+) +bench +([\d.]+) ([KMG]?i?B)", listing, re.M)
    if not match:
        sys.exit("no snapshot in:\n" + listing)
    return float(match.group(1)) * UNITS[match.group(2)]


def measure(name, command, ram, fill, kernel, image, directory):
    disk = os.path.join(directory, "disk.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "8G"], check=True)
    machine = command + ["-m", ram, "-display", "none", "-no-reboot", "-kernel", kernel, "-initrd", image, "-append",
                         "console=ttyS0 quiet fill=%d" % fill, "-drive", "file=%s,format=qcow2" % disk]
    result = {}
    guest = Guest(machine)
    if not guest.filled.wait(GIVE_UP) or b"FILLED" not in guest.text:
        sys.exit("the guest did not come up:\n%s" % guest.text.decode(errors="replace"))
    time.sleep(2)
    usual = guest.longest_gap(time.monotonic() - 1.5, time.monotonic() - 0.5)
    start = time.monotonic()
    said = guest.run("savevm -v bench" if "vole" in name else "savevm bench")
    end = time.monotonic()
    time.sleep(0.5)
    result["savevm, s"] = end - start
    result["pause, ms"] = max(0.0, guest.longest_gap(start - 0.05, end + 0.4) - usual) * 1000
    result["size, MiB"] = size_of(guest.run("info snapshots")) / (1 << 20)
    if "stood still" in said:
        print("# %s: %s" % (name, said.strip().split("\n")[1].strip()), file=sys.stderr)
    time.sleep(1)
    highest = guest.ticks[-1][1]
    start = time.monotonic()
    guest.send("loadvm bench")
    found = guest.wait_for(lambda: next((t for t, n in reversed(guest.ticks[-400:]) if t > start and n < highest - 200), None)
                           and [t for t, n in guest.ticks if t > start and n < highest - 200][0], "tick after loadvm")
    result["loadvm, ms"] = (found - start) * 1000
    guest.until_prompt()
    time.sleep(1)
    guest.close()
    guest = Guest(machine + ["-loadvm", "bench"])
    guest.wait_for(lambda: guest.ticks, "tick after -loadvm")
    result["-loadvm, ms"] = (guest.ticks[0][0] - guest.started) * 1000
    time.sleep(1)
    if guest.process.poll() is not None:
        sys.exit("%s ended after -loadvm" % name)
    guest.close()
    print("# %s, -m %s: %s" % (name, ram, ", ".join("%s %.1f" % item for item in result.items())), file=sys.stderr, flush=True)
    return result


def main():
    args = sys.argv[1:]
    runs, sizes = 1, [("512", 100), ("4096", 2900)]
    while args[:1] and args[0] in ("-n", "--small", "--large"):
        if args[0] == "-n":
            runs, args = int(args[1]), args[1:]
        else:
            sizes = [sizes[args[0] == "--large"]]
        args = args[1:]
    if not args:
        sys.exit(__doc__)
    args[0] = os.path.abspath(args[0])
    os.chdir(os.path.join(HERE, "../.."))
    kernel = guests.kernel("amd64")
    program, image = os.path.join(guests.BUILD, "snapshots"), os.path.join(guests.BUILD, "snapshots.img")
    subprocess.run(["cc", "-O2", "-static", "-o", program, os.path.join(HERE, "snapshots.c")], check=True)
    subprocess.run(["scripts/mkinitramfs", image, os.path.join(HERE, "snapshots-init"), "--file", "/bin/snapshots=" + program],
                   check=True)
    commands = [("vole " + " ".join(args[1:]), args)]
    qemu = shutil.which("qemu-system-x86_64", path="/usr/bin")
    if qemu:
        commands.append(("qemu -accel tcg", [qemu, "-accel", "tcg", "-nic", "none"]))
    for ram, fill in sizes:
        best = {name: {} for name, _ in commands}
        for _ in range(runs):
            for name, command in commands:
                with tempfile.TemporaryDirectory(prefix="vole-snapshots-", dir=guests.BUILD) as directory:
                    for what, value in measure(name, command, ram, fill, kernel, image, directory).items():
                        best[name][what] = min(value, best[name].get(what, value))
        names = [name for name, _ in commands]
        print("%-24s" % ("-m %s, %d MB in use" % (ram, fill + 40)) + "".join("%18s" % n for n in names)
              + ("%10s" % "times" if len(names) == 2 else ""))
        for what in best[names[0]]:
            row = [best[name][what] for name in names]
            print("%-24s" % what + "".join("%18.1f" % v for v in row)
                  + ("%10.1f" % (row[1] / row[0]) if len(row) == 2 and row[0] else ""), flush=True)


main()
