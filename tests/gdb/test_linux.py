"""GDB on a boot of Debian's kernel, with symbols from its own list of them."""
# SPDX-License-Identifier: GPL-2.0-or-later
import contextlib
import os
import re
import subprocess
import time

import guests
from gdb import BUILD, Debuggee, Gdb
from vm import Machine, check

APPEND = "console=ttyS0 quiet nokaslr"
WANTED = ("startup_64 x86_64_start_reservations x86_64_start_kernel start_kernel rest_init kernel_init do_idle "
          "default_idle schedule panic do_syscall_64 vfs_read vfs_write jiffies_64")
INIT = """#!/bin/sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
grep -q with-symbols /proc/cmdline && grep -E ' (%s)$' /proc/kallsyms
echo GUEST IS READY
if ! grep -q with-symbols /proc/cmdline; then
    (read x </dev/tty1; poweroff -f) &
    while :; do read x </proc/uptime; done
fi
poweroff -f
""" % WANTED.replace(" ", "|")


def initramfs():
    os.makedirs(BUILD, exist_ok=True)
    with open(BUILD + "/gdb-init", "w") as f:
        f.write(INIT)
    os.chmod(BUILD + "/gdb-init", 0o755)
    return guests.initramfs("gdb", BUILD + "/gdb-init")


def symbols():
    """
    An ELF file with the kernel's symbols. The package with its debug information is a gigabyte, so the running kernel
    is asked, once; the file has no code, only names at addresses.
    """
    kernel = guests.kernel("amd64")
    out = "%s/gdb-symbols-%d" % (BUILD, os.stat(kernel).st_mtime)
    if os.path.exists(out):
        return out
    with Machine("-m", "256", "-kernel", kernel, "-initrd", initramfs(), "-append", APPEND + " with-symbols") as m:
        m.expect("GUEST IS READY")
        found = sorted((int(a, 16), t, n) for a, t, n in re.findall(r"^([0-9a-f]{16}) (\w) (\w+)\r?$", m.seen, re.M))
    check(len(found) >= 10, "the kernel's symbols: %s" % found)
    code = [f for f in found if f[1] in "tT"]
    with open(out + ".s", "w") as f:
        f.write('.section .kernel, "ax", @nobits\n')
        at = code[0][0]
        for address, _, name in code:
            f.write(".skip %d\n.globl %s\n.type %s, @function\n%s:\n" % (address - at, name, name, name))
            at = address
        f.write(".skip 4096\n")
        for address, kind, name in found:
            if kind not in "tT":
                f.write(".globl %s\n%s = %#x\n" % (name, name, address))
    subprocess.run(["gcc", "-c", "-o", out + ".o", "-x", "assembler", "-Wa,-W", out + ".s"], check=True)
    subprocess.run(["ld", "-e", "0", "--section-start=.kernel=%#x" % code[0][0], "-o", out, out + ".o"], check=True)
    return out


def test_kernel_boot():
    names = symbols()
    with Debuggee("-m", "256", "-smp", "2", "-kernel", guests.kernel("amd64"), "-initrd", initramfs(), "-append",
                  APPEND) as m, Gdb(names) as g:
        g.connect(m)  # at the reset vector, before there is a kernel in memory
        g.command("break start_kernel")
        g.expect("continue", "Breakpoint 1, .* in start_kernel", 300)
        g.expect("backtrace", r"#0 .* start_kernel[\s\S]*#1 ")
        g.expect("x/i $pc", r"=> 0xffffffff[0-9a-f]+ <start_kernel>:")
        g.expect("print $cr0", "PE .*PG")
        check(g.value("$cs_base") == 0 and g.value("$gs_base") >> 47, "segment bases")
        start = g.value("$pc")
        for _ in range(3):
            g.command("stepi")
        check(g.value("$pc") != start, "stepi stays")
        g.expect("monitor info registers", "RIP=ffffffff")
        # A variable that the timer interrupt writes.
        g.command("delete")
        g.command("watch *(long *)&jiffies_64")
        for _ in range(3):
            g.expect("continue", r"Old value = [\s\S]*New value = ", 300)
        g.expect("x/3i $pc", "=> 0xffffffff")
        g.command("delete")
        # User mode is there: a system call, with the kernel's stack behind it.
        g.command("break vfs_read")
        g.expect("continue", "Breakpoint 3, .* in vfs_read", 300)
        g.expect("info threads", r"Thread 1.1 [\s\S]*Thread 1.2 ")
        g.command("delete")
        g.command("hbreak do_syscall_64")
        for _ in range(5):
            g.expect("continue", "Breakpoint 4, .* in do_syscall_64", 300)
        g.command("delete")
        # Steps keep interrupts out: the next instruction is the next one.
        for _ in range(20):
            text = g.command("x/2i $pc").split("\n")
            if not re.search(r"\b(call|j\w+|ret|syscall|sysret\w*|iret\w*|rep\w*)\b", text[0]):
                second = int(re.search(r"0x[0-9a-f]+", text[1]).group(), 16)
                g.command("stepi")
                check(g.value("$pc") == second, "a step of '%s' leads to %#x" % (text[0], g.value("$pc")))
            else:
                g.command("stepi")
        g.go(m, 0.1)
        g.interrupt()
        check("SIGINT" in g.finish(), "Ctrl-C of the running kernel")
        g.expect("backtrace 1", "#0 ")
        g.command("detach")
        end = time.monotonic() + 300
        while m.process.poll() is None and time.monotonic() < end:  # until the guest has come to read it
            with contextlib.suppress(OSError):
                m.monitor("sendkey ret")
            time.sleep(0.5)
        check(m.wait(1) == 0, "after detaching the guest powers off: status %s" % m.process.returncode)
