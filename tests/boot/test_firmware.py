"""SeaBIOS on its own: banner on the screen, a boot sector from a raw disk, nothing to boot, garbage of all kinds."""
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import random
import re
import subprocess
import time

from vm import Machine, check

BUILD = "build/guests"
HERE = os.path.dirname(os.path.abspath(__file__))
SECTOR = """
    .code16
    .globl _start
_start:
    movb %dl, drive  # the BIOS names the boot drive
    movw $0x3f8, %dx
    movw $message, %si
1:  lodsb
    testb %al, %al
    jz 2f
    outb %al, %dx
    movb $0x0e, %ah
    movw $7, %bx
    pushw %dx
    int $0x10
    popw %dx
    jmp 1b
2:  hlt
    jmp 2b
message: .asciz "Vole test sector runs\\r\\n"
drive:  .byte 0
    .org 510
    .word 0xaa55
"""


def disk_of(source, name, *flags):
    """A disk that starts with the boot sector of an assembler source, linked for where the BIOS loads it."""
    obj, image = (os.path.join(BUILD, name + e) for e in (".o", ".img"))
    subprocess.run(["cc", "-m32", "-c", *flags, "-o", obj, source], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext=0x7c00", "--oformat", "binary", "-o", image, obj], check=True)
    with open(image, "r+b") as f:
        f.truncate(4 << 20)
    return image


def boot_sector():
    os.makedirs(BUILD, exist_ok=True)
    source = os.path.join(BUILD, "sector.S")
    with open(source, "w") as f:
        f.write(SECTOR)
    return disk_of(source, "sector")


def wait_for_screen(machine, text, seconds=300):
    """The text screen through the monitor: a page of characters and attributes at B8000h."""
    end = time.monotonic() + seconds
    while True:
        dump = machine.monitor("xp /4000bx 0xb8000")
        cells = [int(w, 16) for line in dump.split("\n") if ":" in line for w in line.split(":", 1)[1].split()]
        screen = "".join(chr(c) if 32 <= c < 127 else " " for c in cells[::2])
        screen = "\n".join(screen[i:i + 80].rstrip() for i in range(0, len(screen), 80))
        if text in screen:
            return screen
        check(time.monotonic() < end, "no %r on the screen:\n%s" % (text, screen))
        time.sleep(0.3)


def test_seabios_banner_and_boot_sector():
    with Machine("-hda", boot_sector(), monitor=True) as m:
        m.expect("Vole test sector runs")
        screen = wait_for_screen(m, "Vole test sector runs")
        check("SeaBIOS" in screen, "no SeaBIOS banner:\n" + screen)
        m.monitor("screendump %s/seabios.png" % BUILD)
        check(os.path.getsize(BUILD + "/seabios.png") > 500, "no screenshot")
        m.monitor("quit")
        check(m.wait() == 0, "quit: status %s" % m.process.returncode)


def test_lockstep_firmware():
    log = os.path.join(BUILD, "lockstep-firmware.log")
    with Machine("-accel", "jit", "-d", "lockstep", "-D", log, "-hda", boot_sector(), monitor=True) as m:
        m.expect("Vole test sector runs")
        m.monitor("quit")
        status = m.wait()
    with open(log) as f:
        text = f.read()
    check(status == 0 and "no difference" in text, "status %s\n%s" % (status, text))


def test_nothing_to_boot():
    with Machine(monitor=True) as m:
        wait_for_screen(m, "No bootable device")


def test_isapc_boot_sector():
    with Machine("-M", "isapc", "-cpu", "486", "-m", "16", "-hda", boot_sector(), monitor=True) as m:
        m.expect("Vole test sector runs")


def returns_by_shutdown_codes(returns, flags, *args):
    os.makedirs(BUILD, exist_ok=True)
    disk = disk_of(os.path.join(HERE, "shutdown-codes.S"), "shutdown-codes", *flags)
    with Machine("-m", "16", "-hda", disk, *args) as m:
        m.expect(re.escape(returns) + "restarted")


def test_return_from_protected_mode_by_reset():
    returns_by_shutdown_codes("5k :k 5p :p ;k <k :c ", ["-DPCI"])
    returns_by_shutdown_codes("5k :k 5p :p ;k <k :c ", ["-DPCI"], "-smp", "2")
    returns_by_shutdown_codes("5k :k 5p :p ;k <k ", [], "-M", "isapc", "-cpu", "486")


def garbage(name, size, seed):
    path = os.path.join(BUILD, name)
    os.makedirs(BUILD, exist_ok=True)
    with open(path, "wb") as f:
        f.write(random.Random(seed).randbytes(size))
    return path


def survives(*args):
    """Runs a while: it may go on running, or end with a message; it may not die of a signal."""
    with Machine(*args, serial=False) as m:
        time.sleep(3)
        status = m.process.poll()
        check(status is None or status in (0, 1), "%s: status %s\n%s" % (args, status, m.tail()))


def test_random_bios():
    for seed in range(4):
        survives("-m", "8", "-bios", garbage("random.bios", 65536, seed))


def test_random_disk():
    for seed in range(2):
        path = garbage("random.disk", 1 << 20, seed)
        with open(path, "r+b") as f:
            f.seek(510)
            f.write(b"\x55\xaa")
        survives("-m", "8", "-hda", path)


def test_random_kernel():
    survives("-m", "8", "-kernel", garbage("random.kernel", 1 << 20, 1))
    path = garbage("random.bzimage", 1 << 20, 2)
    with open(path, "r+b") as f:
        f.seek(0x1fe)
        f.write(b"\x55\xaa")
        f.seek(0x202)
        f.write(b"HdrS")
    survives("-m", "8", "-kernel", path)
