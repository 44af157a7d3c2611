#!/usr/bin/env python3
"""usage: tests/bench/links.py [-n RUNS] [-m MEGABYTES] EMULATOR [OPTION...]

How fast serial lines are on the wire, side by side with the distribution's QEMU (-accel tcg): 4 MB into a guest program over a
socket and over named pipes, with the guest's CPU otherwise idle and with another process spinning on it; 4 MB out of it; and
10,000 exchanges of a 64-byte request and a 64-byte answer. Every byte is checked. Prints the best time of each in seconds.
"""
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../boot"))
import guests  # noqa: E402
from link_data import checksum, pattern  # noqa: E402

GIVE_UP = 600
PACKETS = 10000


class Link:
    """The host's end: a pair of descriptors."""

    def __init__(self, fd_in, fd_out):
        self.fd_in, self.fd_out = fd_in, fd_out

    def write(self, data):
        view = memoryview(data)
        while view:
            view = view[os.write(self.fd_out, view[:65536]):]

    def read(self, size):
        data = bytearray()
        while len(data) < size:
            if not select.select([self.fd_in], [], [], GIVE_UP)[0]:
                sys.exit("the guest says nothing; %d of %d bytes came" % (len(data), size))
            piece = os.read(self.fd_in, size - len(data))
            if not piece:
                sys.exit("the link has ended after %d of %d bytes" % (len(data), size))
            data += piece
        return bytes(data)


class Guest:
    def __init__(self, command, machine, kind):
        self.dir = tempfile.TemporaryDirectory(prefix="vole-links-")
        path = os.path.join(self.dir.name, "link")
        if kind == "pipe":
            os.mkfifo(path + ".in")
            os.mkfifo(path + ".out")
            spec = "pipe:" + path
        else:
            spec = "unix:%s,server=on,wait=off" % path
        self.process = subprocess.Popen(command + machine + ["-serial", "stdio", "-serial", spec], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.text = b""
        self.expect(b"LINKS READY")
        if kind == "pipe":
            self.link = Link(os.open(path + ".out", os.O_RDONLY), os.open(path + ".in", os.O_WRONLY))
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(path)
            self.link = Link(self.socket.fileno(), self.socket.fileno())

    def expect(self, word):
        end = time.monotonic() + GIVE_UP
        while word not in self.text:
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                sys.exit("no %r from the guest:\n%s" % (word, self.text.decode(errors="replace")))
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                sys.exit("the guest ended before %r:\n%s" % (word, self.text.decode(errors="replace")))
            self.text += piece
        before, self.text = self.text.split(word, 1)
        return before

    def send(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def command(self, line):
        self.send(line)
        self.expect(b"DONE")

    def receive(self, data, total):
        self.send("receive /dev/ttyS1 %d" % len(data))
        self.expect(b"READY")
        start = time.monotonic()
        self.link.write(data)
        self.link.read(1)
        seconds = time.monotonic() - start
        self.expect(b"SUM ")
        if int(self.expect(b"DONE")[:8], 16) != total:
            sys.exit("the guest got something else than was sent")
        return seconds

    def transmit(self, data):
        self.send("transmit /dev/ttyS1 %d" % len(data))
        self.expect(b"READY")
        start = time.monotonic()
        self.link.write(b"!")
        got = self.link.read(len(data))
        seconds = time.monotonic() - start
        if got != data:
            sys.exit("something else came than the guest has sent")
        self.expect(b"DONE")
        return seconds

    def exchange(self, packets):
        self.send("answer /dev/ttyS1 %d" % packets)
        self.expect(b"READY")
        start = time.monotonic()
        for i in range(packets):
            packet = i.to_bytes(4, "big") * 16
            self.link.write(packet)
            if self.link.read(64) != bytes(b ^ 0xff for b in packet):
                sys.exit("packet %d came back wrong" % i)
        seconds = time.monotonic() - start
        self.expect(b"DONE")
        return seconds

    def close(self):
        self.send("off")
        self.process.communicate(timeout=60)
        self.dir.cleanup()


def measure(name, command, machine, data, total):
    """{what: seconds} of one run."""
    times = {}
    for kind in ("socket", "pipe"):
        guest = Guest(command, machine, kind)
        times["4 MB in, %s, idle guest" % kind] = guest.receive(data, total)
        guest.command("spin")
        times["4 MB in, %s, spinning guest" % kind] = guest.receive(data, total)
        guest.command("rest")
        times["4 MB out, %s" % kind] = guest.transmit(data)
        times["10,000 x 64 bytes, %s" % kind] = guest.exchange(PACKETS)
        guest.close()
        for what, seconds in times.items():
            if kind in what:
                print("# %s: %s: %.2f s" % (name, what, seconds), file=sys.stderr, flush=True)
    return times


def main():
    args = sys.argv[1:]
    runs, megabytes = 1, 4
    while args[:1] in (["-n"], ["-m"]):
        if args[0] == "-n":
            runs = int(args[1])
        else:
            megabytes = int(args[1])
        args = args[2:]
    if not args:
        sys.exit(__doc__)
    os.chdir(os.path.join(HERE, "../.."))
    kernel = guests.kernel("amd64")
    program, image = os.path.join(guests.BUILD, "links"), os.path.join(guests.BUILD, "links.img")
    subprocess.run(["cc", "-O2", "-static", "-o", program, os.path.join(HERE, "links.c")], check=True)
    subprocess.run(["scripts/mkinitramfs", image, os.path.join(HERE, "links-init"), "--file", "/bin/links=" + program],
                   check=True)
    machine = ["-m", "256", "-display", "none", "-no-reboot", "-monitor", "none", "-kernel", kernel, "-initrd", image,
               "-append", "console=ttyS0 quiet"]
    commands = [("vole " + " ".join(args[1:]), args)]
    qemu = shutil.which("qemu-system-x86_64", path="/usr/bin")
    if qemu:
        commands.append(("qemu -accel tcg", [qemu, "-accel", "tcg"]))
    data = pattern(megabytes << 20)
    total = checksum(data)
    best = {name: {} for name, _ in commands}
    for _ in range(runs):
        for name, command in commands:
            for what, seconds in measure(name, command, machine, data, total).items():
                best[name][what] = min(seconds, best[name].get(what, seconds))
    names = [name for name, _ in commands]
    print("%-34s" % "" + "".join("%18s" % name for name in names) + ("%10s" % "times" if len(names) == 2 else ""))
    for what in best[names[0]]:
        row = [best[name][what] for name in names]
        print("%-34s" % what + "".join("%18.2f" % s for s in row)
              + ("%10.1f" % (row[1] / row[0]) if len(row) == 2 else ""))
    for name in names:
        for kind in ("socket", "pipe"):
            b = best[name]
            print("%s, %s: spinning / idle guest %.2f" % (name, kind, b["4 MB in, %s, spinning guest" % kind]
                                                         / b["4 MB in, %s, idle guest" % kind]))


main()
