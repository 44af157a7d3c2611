"""Linux boot protocols from 2.00 on: a stand-in kernel of each kind tells how it was loaded and entered."""
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import re
import subprocess

from vm import Machine, check

SOURCE = "tests/boot/bzimage/setup.S"
BUILD = "build/guests"


def build(version, high, sects):
    os.makedirs(BUILD, exist_ok=True)
    out = os.path.join(BUILD, "bzimage-%x-%d" % (version, high))
    subprocess.run(["gcc", "-m32", "-c", "-DVERSION=0x%x" % version, "-DLOADFLAGS=%d" % high,
                    "-DSETUP_SECTS=%d" % sects, "-o", out + ".o", SOURCE], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext=0", "-e", "_start", "--build-id=none", "--oformat", "binary", "-o",
                    out, out + ".o"], check=True)
    return out


def boot(version, high, sects, base, sp, heap):
    initrd = os.path.join(BUILD, "tiny.initrd")
    kernel = build(version, high, sects)
    with open(initrd, "wb") as f:
        f.write(b"RAMDISK-CONTENTS" + bytes(1000))
    with Machine("-m", "32", "-kernel", kernel, "-initrd", initrd, "-append", "one two=%x" % version,
                 "-device", "isa-debug-exit,iobase=0x501,iosize=1") as m:
        m.expect(r"^END")
        check(m.wait() == 0x21, "status %s" % m.process.returncode)
        found = dict(re.findall(r"^(cs|ds|ss|sp|loadflags|heap|command line|kernel|initrd size|initrd) (.*)$",
                                m.seen.replace("\r", ""), re.M))
    want = {"cs": "%04X" % (base + 0x20), "ds": "%04X" % base, "ss": "%04X" % base, "sp": "%04X" % sp,
            "loadflags": "%04X" % (high | (0x80 if version >= 0x201 else 0)), "heap": "%04X" % heap,
            "command line": "one two=%x" % version, "kernel": "KERNEL-PAYLOAD-1", "initrd": "RAMDISK-CONTENTS",
            "initrd size": "03F8"}
    check(found == want, "protocol %x: found %s, want %s" % (version, found, want))


def test_protocol_200_high():
    boot(0x200, 1, 4, 0x9000, 0x9800, 0)


def test_protocol_200_default_setup_size():
    boot(0x200, 0, 0, 0x9000, 0x9800, 0)


def test_protocol_201_zimage():
    boot(0x201, 0, 6, 0x9000, 0x9800, 0x9600)


def test_protocol_202_zimage():
    boot(0x202, 0, 4, 0x9000, 0x9800, 0x9600)


def test_protocol_203():
    boot(0x203, 1, 4, 0x1000, 0xe000, 0xde00)


def test_protocol_206():
    boot(0x206, 1, 27, 0x1000, 0xe000, 0xde00)
