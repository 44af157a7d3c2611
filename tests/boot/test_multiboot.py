"""Multiboot 1 kernels by -kernel: ELF and address-field form, modules, command lines, memory map, machine state."""
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import re
import subprocess

from vm import Machine, check

SOURCE = "tests/boot/multiboot"
BUILD = "build/guests"
MODULES = [b"first module\n" * 1000, bytes(range(256)) * 7 + b"!"]


def build(name, *defines):
    """The test kernel as an ELF file, and as the bytes of its memory image."""
    os.makedirs(BUILD, exist_ok=True)
    out = os.path.join(BUILD, name)
    subprocess.run(["gcc", "-m32", "-ffreestanding", "-fno-pic", "-fno-pie", "-no-pie", "-nostdlib", "-O1", "-Wall",
                    "-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-static", "-Wl,--build-id=none",
                    "-Wl,-z,noexecstack", "-Wl,--no-warn-rwx-segments", "-T", SOURCE + "/kernel.ld", "-o", out,
                    SOURCE + "/start.S", SOURCE + "/main.c", *defines], check=True)
    subprocess.run(["objcopy", "-O", "binary", out, out + ".raw"], check=True)
    return out


def facts(text):
    """{name: [values]} of the kernel's lines."""
    found = {}
    for line in text.replace("\r", "").split("\n"):
        m = re.match(r"(magic|pe|pg|if|vm|a20|data segments alike|bss|flags|lower|upper|command line|loader|"
                     r"module \w+|map \w+) (.*)$", line)
        if m:
            found.setdefault(m.group(1), []).append(m.group(2))
    return found


def number(found, name):
    return [int(v, 16) for v in found[name]]


def run(kernel, *args):
    with Machine("-m", "64", "-kernel", kernel, "-device", "isa-debug-exit,iobase=0x501,iosize=1", *args) as m:
        m.expect(r"^END")
        check(m.wait() == 0x21, "status %s" % m.process.returncode)
        found = facts(m.seen)
    for name, value in (("magic", 0x2badb002), ("pe", 1), ("pg", 0), ("if", 0), ("vm", 0), ("a20", 1), ("bss", 0),
                        ("data segments alike", 1)):
        check(number(found, name) == [value], "%s is %s" % (name, found[name]))
    check(600 <= number(found, "lower")[0] <= 640, "lower memory %s" % found["lower"])
    check(62 << 10 <= number(found, "upper")[0] <= 63 << 10, "upper memory %s" % found["upper"])
    usable = sum(s for s, t in zip(number(found, "map size"), number(found, "map type")) if t == 1)
    check(63 << 20 <= usable <= 64 << 20, "%d bytes usable in the map" % usable)
    return found


def test_multiboot_elf_with_modules():
    paths = []
    kernel = build("multiboot-elf")
    for i, data in enumerate(MODULES):
        paths.append(os.path.join(BUILD, "module%d" % i))
        with open(paths[-1], "wb") as f:
            f.write(data)
    found = run(kernel, "-append", "one two=3", "-initrd", "%s first a,,b,%s" % tuple(paths))
    check(found["command line"] == [kernel + " one two=3"], "command line %s" % found["command line"])
    check(found["module string"] == [paths[0] + " first a,b", paths[1]], "strings %s" % found["module string"])
    check(number(found, "module size") == [len(d) for d in MODULES], "sizes %s" % found["module size"])
    check(number(found, "module sum") == [sum(d) for d in MODULES], "contents %s" % found["module sum"])
    check(all(a % 4096 == 0 for a in number(found, "module start")), "modules off page boundaries")


def test_multiboot_address_fields():
    found = run(build("multiboot-addresses", "-DADDRESSES") + ".raw")
    check(found["loader"] == ["Vole"], "loader %s" % found["loader"])
    check("module start" not in found, "modules from nowhere")


def test_multiboot_low():
    """Where the ROM and the BIOS have their stacks and variables, and where the information structure goes otherwise."""
    module = os.path.join(BUILD, "module-low")
    with open(module, "wb") as f:
        f.write(MODULES[0])
    for base in (0x500, 0x1000, 0x7000, 0x7c00, 0x9000, 0xf000):
        kernel = build("multiboot-low", "-Wl,--defsym=base=%d" % base, "-Wl,-n")
        for machine in ([], ["-M", "isapc", "-cpu", "486"]):
            found = run(kernel, "-append", "low", "-initrd", module, *machine)
            check(found["command line"] == [kernel + " low"], "%x: command line %s" % (base, found["command line"]))
            check(number(found, "module sum") == [sum(MODULES[0])], "%x: module holds %s" % (base, found["module sum"]))
