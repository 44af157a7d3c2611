"""The video BIOS's modes, drawn into through INT 10h by a boot sector: each picture is compared with QEMU's."""
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import shutil
import subprocess

from vm import Machine, check

BUILD = "build/guests"
# Without the text modes of 40 columns, whose characters are 9 dots wide here and 8 there, and without 102h,
# which QEMU garbles.
MODES = [0x02, 0x03, 0x04, 0x05, 0x06, 0x03, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x6a, 0x100, 0x101,
         0x103, 0x110, 0x111, 0x112, 0x113, 0x114, 0x115, 0x118]
# For each byte from the serial line: sets the next mode, writes characters in all colours (in text modes on all backgrounds
# that do not blink), in graphics modes a line of dots, and answers with a dot on the serial line.
SECTOR = """
    .code16
    .globl _start
_start:
    xorw %%ax, %%ax
    movw %%ax, %%ds
    movw %%ax, %%ss
    movw $0x7c00, %%sp
    movw $modes - _start + 0x7c00, %%si
next:
    movw $0x3fd, %%dx
1:  inb %%dx, %%al
    testb $1, %%al
    jz 1b
    movw $0x3f8, %%dx
    inb %%dx, %%al
    lodsw
    movw %%ax, %%bp
    cmpw $0x100, %%ax
    jae 2f
    int $0x10
    jmp 3f
2:  movw %%ax, %%bx
    movw $0x4f02, %%ax
    int $0x10
3:  movw $0x0100, %%ax          # no cursor
    movw $0x2000, %%cx
    int $0x10
    cmpw $4, %%bp
    jb text
    movb $0x21, %%cl
4:  movb $0x0e, %%ah
    movb %%cl, %%al
    movb %%cl, %%bl
    andw $0x000f, %%bx
    int $0x10
    incb %%cl
    cmpb $0xb0, %%cl
    jne 4b
    movw $0x20, %%cx
5:  movw %%cx, %%dx
    movb $0x0c, %%ah
    movb %%cl, %%al
    xorw %%bx, %%bx
    int $0x10
    incw %%cx
    cmpw $150, %%cx
    jne 5b
    jmp answer
text:
    movw $0xb800, %%ax
    movw %%ax, %%es
    xorw %%di, %%di
    movw $0x0721, %%ax
6:  stosw
    incb %%al
    cmpb $0xb0, %%al
    jb 7f
    movb $0x21, %%al
7:  addb $0x11, %%ah
    andb $0x7f, %%ah
    cmpw $4000, %%di
    jb 6b
answer:
    movw $0x3f8, %%dx
    movb $'.', %%al
    outb %%al, %%dx
    jmp next
modes: .word %s
    .org 510
    .word 0xaa55
"""


def sector():
    os.makedirs(BUILD, exist_ok=True)
    source, obj, image = (os.path.join(BUILD, "vga-modes" + e) for e in (".S", ".o", ".img"))
    with open(source, "w") as f:
        f.write(SECTOR % ", ".join(map(str, MODES)))
    subprocess.run(["as", "--32", "-o", obj, source], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext=0x0", "--oformat", "binary", "-o", image, obj], check=True)
    with open(image, "r+b") as f:
        f.truncate(4 << 20)
    return image


class Qemu(Machine):
    emulator = shutil.which("qemu-system-x86_64")
    accel = "tcg"


def pictures(machine, name):
    """A PPM file for each mode."""
    paths = []
    with machine("-m", "32", "-drive", "file=%s,format=raw,snapshot=on" % sector(), monitor=True) as m:
        for i, mode in enumerate(MODES):
            paths.append(os.path.abspath("%s/vga-%02d-%x-%s.ppm" % (BUILD, i, mode, name)))
            m.send("x")
            m.expect(r"\.")
            m.monitor("screendump " + paths[-1])
        m.monitor("quit")
    return paths


def read_ppm(path):
    with open(path, "rb") as f:
        magic, size, depth, data = f.read().split(b"\n", 3)
    check(magic == b"P6" and depth == b"255", path + ": not a picture")
    return size, data


def test_vga_modes():
    check(Qemu.emulator, "qemu-system-x86_64 is missing")
    for mode, ours, theirs in zip(MODES, pictures(Machine, "vole"), pictures(Qemu, "qemu")):
        size, a = read_ppm(ours)
        want, b = read_ppm(theirs)
        check(size == want, "mode 0x%x is %s, not %s" % (mode, size.decode(), want.decode()))
        check(len(set(a)) > 1, "mode 0x%x: the picture is empty" % mode)
        # Six and five bits are widened differently: the DAC's 0x2a is 0xaa here and 0xa8 there.
        wrong = sum(abs(x - y) > 7 for x, y in zip(a, b))
        check(wrong == 0, "mode 0x%x: %d of %d bytes differ, see %s" % (mode, wrong, len(a), ours))
