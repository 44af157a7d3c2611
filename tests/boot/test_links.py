"""Serial links end to end: every byte between a guest program and the host, or between two guests, arrives once and in order, however
slow one side reads."""
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import socket
import subprocess
import tempfile
import threading
import time

import guests
from link_data import checksum, pattern
from vm import Failure, Machine

HERE = os.path.dirname(os.path.abspath(__file__))
BENCH = os.path.join(HERE, "../bench")


def image():
    """The guest's end of the link benchmark."""
    program, path = os.path.join(guests.BUILD, "links-test"), os.path.join(guests.BUILD, "links-test.img")
    kernel = guests.kernel("amd64")
    subprocess.run(["cc", "-O2", "-static", "-o", program, os.path.join(BENCH, "links.c")], check=True)
    subprocess.run(["scripts/mkinitramfs", path, os.path.join(BENCH, "links-init"), "--file", "/bin/links=" + program],
                   check=True)
    return ["-m", "128", "-kernel", kernel, "-initrd", path, "-append", "console=ttyS0 quiet"]


def check(what, ok):
    if not ok:
        raise Failure(what)


def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(120)
    s.connect(path)
    return s


def receive_all(s, size, piece=65536, pause=0):
    got = bytearray()
    while len(got) < size:
        data = s.recv(min(piece, size - len(got)))
        check("the link ended after %d bytes" % len(got), data)
        got += data
        time.sleep(pause)
    return bytes(got)


def test_links_socket():
    """In and out over a socket, with a busy guest, and with a host that reads slowly and stops in between."""
    data = pattern(300000)
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "link")
        with Machine(*image(), "-serial", "unix:%s,server,nowait" % path) as m:
            m.expect("LINKS READY")
            link = connect(path)
            for busy in (False, True):
                if busy:
                    m.send("spin\n")
                    m.expect("DONE")
                m.send("receive /dev/ttyS1 %d\n" % len(data))
                m.expect("READY")
                writer = threading.Thread(target=link.sendall, args=(data,))
                writer.start()
                total = int(m.expect(r"SUM ([0-9a-f]{8})").group(1), 16)
                writer.join()
                check("the guest got something else", total == checksum(data))
                check("no answer", link.recv(1) == b"!")
                m.expect("DONE")
                m.send("transmit /dev/ttyS1 %d\n" % len(data))
                m.expect("READY")
                link.sendall(b"!")
                first = receive_all(link, 1000, 100, 0.01)
                time.sleep(1)  # all buffers are full, and the guest waits
                check("sent before it was read", "SENT" not in m.seen[m.pos:])
                rest = receive_all(link, len(data) - 1000, 4096, 0.002)
                check("something else came", first + rest == data)
                m.expect("SENT")
                m.expect("DONE")


def test_links_two_emulators():
    """Two machines on the two ends of a pair of named pipes."""
    size = 200000
    with tempfile.TemporaryDirectory() as d:
        path, options = os.path.join(d, "link"), image()
        with Machine(*options, "-serial", "pipe:" + path) as one:
            one.expect("LINKS READY")
            with Machine(*options, "-serial", "pipe_client:" + path) as two:
                two.expect("LINKS READY")
                one.send("transmit /dev/ttyS1 %d\n" % size)
                one.expect("READY")
                two.send("receive /dev/ttyS1 %d\n" % size)
                two.expect("READY")
                with open(path + ".in", "wb") as f:  # what the other guest would say
                    f.write(b"!")
                total = int(two.expect(r"SUM ([0-9a-f]{8})").group(1), 16)
                check("the other guest got something else", total == checksum(pattern(size)))
                one.expect("SENT")


def test_links_parallel_port():
    """What a guest prints on its parallel port is in the file."""
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "paper")
        # The BIOS prints: a boot sector that says it by INT 17h and halts.
        sector = bytearray(512)
        code = bytes.fromhex("31c08ed8be207cac84c07409b400ba0000cd17ebf2f4ebfd")
        sector[0:len(code)] = code
        text = b"printed by the BIOS\r\n\x00"
        sector[0x20:0x20 + len(text)] = text
        sector[510:512] = b"\x55\xaa"
        disk = os.path.join(d, "disk")
        with open(disk, "wb") as f:
            f.write(bytes(sector) + bytes(1 << 20))
        with Machine("-m", "16", "-hda", disk, "-parallel", "file:" + path, serial=False):
            end = time.monotonic() + 300
            while time.monotonic() < end and (not os.path.exists(path) or b"\n" not in open(path, "rb").read()):
                time.sleep(0.2)
        check("on paper: %r" % open(path, "rb").read(), open(path, "rb").read() == text[:-1])
