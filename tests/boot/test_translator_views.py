"""What shows the translator at work: -d's items, info jit, the map for perf. On a kernel of some instructions whose counts are known."""
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import re
import subprocess

from vm import Machine, check

BUILD = "build/guests"
ROUNDS = 20000
SOURCE = """
    .long 0x1badb002, 0, -0x1badb002  # Multiboot
    .globl _start
_start:
    movl $stack, %esp
    movl $ROUNDS, %ecx
    call busy
    movw $0x3f8, %dx
    movb $'!', %al
    outb %al, %dx
1:  hlt
    jmp 1b
busy:
    movl %ecx, %eax
2:  imull $17, %eax, %eax
    xorl %ecx, %eax
    decl %ecx
    jnz 2b
    ret
    .bss
    .fill 4096
stack:
"""


def kernel():
    """The kernel's file, its symbols' file, and what the symbols are."""
    os.makedirs(BUILD, exist_ok=True)
    out = os.path.join(BUILD, "translator-views")
    with open(out + ".S", "w") as f:
        f.write(SOURCE.replace("ROUNDS", str(ROUNDS)))
    subprocess.run(["cc", "-m32", "-c", "-o", out + ".o", out + ".S"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-N", "--no-warn-rwx-segments", "-Ttext=0x100000", "-o", out, out + ".o"], check=True)
    names = subprocess.run(["nm", out], check=True, stdout=subprocess.PIPE, text=True).stdout
    with open(out + ".map", "w") as f:
        f.write("                 U of_no_address\n0000000000000000 A a_constant\n" + names)
    return out, out + ".map", {n: int(a, 16) for a, _, n in re.findall(r"^(\w+) (\w) (\w+)$", names, re.M)}


class Run:
    """The kernel run with an item of -d, to its end; `symbols`, and what the log says."""

    def __init__(self, item, accel="jit", within=None):
        path, _, self.symbols = kernel()
        log = "%s-%s.log" % (path, item)
        kept = ["-dfilter", within % self.symbols] if within else []
        with Machine("-accel", accel, "-d", item, *kept, "-D", log, "-kernel", path, monitor=True) as m:
            m.expect("!")
            m.monitor("quit")
            check(m.wait() == 0, "-d %s: status %s" % (item, m.process.returncode))
        with open(log) as f:
            self.log = f.read()
        os.unlink(log)
        self.loop = self.symbols["busy"] + 2

    def find(self, pattern):
        match = re.search(pattern, self.log, re.M)
        check(match, "no /%s/ in the log" % pattern)
        return match


def test_in_asm():
    run = Run("in_asm")
    run.find(r"^block at 0x%x, \d+ instructions.*\n +0x%016x: mov eax, ecx\n +0x%016x: imul eax, eax, 0x11\n" %
             (run.symbols["busy"], run.symbols["busy"], run.loop))


def test_out_asm():
    run = Run("out_asm")
    code = run.find(r"^ +0x%016x: imul eax, eax, 0x11\n((?: {4}0x\w+: .*\n)+)" % run.loop).group(1)
    check("imul eax, eax, 0x11" in code, "the guest's instruction has become\n" + code)


def test_op_count():
    run = Run("op_count")
    total, handlers = map(int, run.find(r"^CPU 0: (\d+) operations in translated code, (\d+) of them").groups())
    found = re.findall(r"^  (\w+) +(\d+) +(\d+)$", run.log, re.M)
    rows = {name: (int(n), int(h)) for name, n, h in found}
    check(len(rows) == len(found), "a name comes twice: %s" % found)
    check(sum(n for n, _ in rows.values()) == total and sum(h for _, h in rows.values()) == handlers, "rows do not add up to the total")
    check(ROUNDS <= rows["IMUL"][0] < 1.2 * ROUNDS and rows["IMUL"][1] == 0, "IMUL: %d, %d by handler" % rows["IMUL"])
    check(rows["OUT"][0] == rows["OUT"][1] > 0, "OUT: %d, %d by handler" % rows["OUT"])


def test_exec():
    # The loop goes round to itself, but is left each time. A run that is asked to stop before its first instruction comes again.
    run = Run("exec")
    runs = run.log.count("exec 0x%016x\n" % run.loop)
    check("exec 0x%016x\nexec 0x%016x\n" % (run.symbols["busy"], run.loop) in run.log, "the loop does not follow the block before")
    check(ROUNDS - 1 <= runs < 1.01 * ROUNDS, "%d runs of the loop, the first of %d as part of the block before" % (runs, ROUNDS))


def test_filter():
    """Of the same run, the loop's instructions only."""
    for accel in "jit", "interp":
        asm = Run("in_asm,exec", accel, "%(busy)d+0x10")
        addresses = {int(a, 16) for a in re.findall(r"^(?:exec|block at|) *0x(\w+)", asm.log, re.M)}
        busy = asm.symbols["busy"]
        check(asm.loop in addresses, "%s: the loop at 0x%x is not in the log" % (accel, asm.loop))
        check(all(busy <= a < busy + 0x20 for a in addresses), "%s: other code is in the log: %s" % (accel, sorted(map(hex, addresses))))


def test_int():
    run = Run("int")
    # INT 15h, function E820h: the BIOS's own boot code asks for the map of memory, and so does the loader of kernels.
    run.find(r"^CPU 0: vector 15 .*CPL 0 CR2 0 RAX e820$")


def test_int_on_the_executor():
    run = Run("int", "interp")
    run.find(r"^CPU 0: vector 15 .*CPL 0 CR2 0 RAX e820$")


def test_info_jit():
    path, names, symbols = kernel()
    with Machine("-accel", "jit,profile=on,perfmap=on,perfmap-symbols=" + names, "-kernel", path, monitor=True) as m:
        m.expect("!")
        text = m.monitor("info jit").replace("\r", "")
        os.unlink("/tmp/perf-%d.map" % m.process.pid)
        m.monitor("quit")
        m.wait()
    count = re.search(r"^CPU 0: (\d+) blocks of (\d+) guest bytes in (\d+) bytes of code", text, re.M)
    check(count and 100 < int(count.group(1)) < int(count.group(2)) < int(count.group(3)), text)
    way = re.search(r"code entered (\d+) times: by jump table (\d+), found (\d+), moved (\d+), translated (\d+)", text)
    check(way and int(way.group(1)) == sum(int(n) for n in way.groups()[1:]), text)
    runs = re.search(r"^ +(\d+)  0x%016x +8 bytes  busy\+0x2$" % (symbols["busy"] + 2), text, re.M)
    check(runs and int(runs.group(1)) == ROUNDS - 1, "the loop runs %d times, the first as part of the block before:\n%s" % (ROUNDS, text))
    check("a_constant" not in text and "guest_0x" in text, "code without a symbol:\n" + text)


def perf_map(process):
    """[(start, size, name)] of the map; each has to lie in executable memory that perf takes for anonymous: only there it looks into the map."""
    path = "/tmp/perf-%d.map" % process.pid
    with open(path) as f:
        entries = [(int(a, 16), int(n, 16), name) for a, n, name in re.findall(r"^(\w+) (\w+) (\S+)$", f.read(), re.M)]
    with open("/proc/%d/maps" % process.pid) as f:
        areas = re.findall(r"^(\w+)-(\w+) r-xs .* (?://anon|/dev/zero .*)$", f.read(), re.M)
    os.unlink(path)
    check(areas, "no executable mapping that perf has names for")
    outside = [e for e in entries if not any(int(a, 16) <= e[0] and e[0] + e[1] <= int(b, 16) for a, b in areas)]
    check(not outside, "not in %s: %s" % (areas, outside[:3]))
    return entries


def test_perf_map():
    path, names, symbols = kernel()
    with Machine("-accel", "jit,perfmap=on,perfmap-symbols=" + names, "-kernel", path, monitor=True) as m:
        m.expect("!")
        found = [name for _, size, name in perf_map(m.process) if size > 10]
        m.monitor("quit")
        m.wait()
    for name in ("busy", "busy+0x2", "_start"):
        check(name in found, "no %s among %d names, %s ..." % (name, len(found), found[-20:]))
    check(any(re.match("guest_0x[0-9a-f]+$", name) for name in found), "code without a symbol has no address")
