"""GDB on bare-metal programs: modes, symbols, breakpoints, watchpoints, registers, threads, coming and going."""
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import re
import signal
import socket
import tempfile
import time

from gdb import GIVE_UP, Beside, Debuggee, Gdb, guest
from vm import Machine, check


def program(bits, *args):
    kernel, symbols = guest(bits)
    return Debuggee("-kernel", kernel, *args), symbols


def grows(machine, address):
    def value():
        return int(re.search(r": (0x[0-9a-f]+)", machine.monitor("xp/1xw %#x" % address)).group(1), 16)

    first = value()
    end = time.monotonic() + GIVE_UP
    while value() == first and time.monotonic() < end:
        time.sleep(0.05)
    return value() != first


def test_real_mode_has_linear_addresses():
    with Debuggee() as m, Gdb() as g:
        g.connect(m)
        g.expect("show architecture", "i8086")
        g.expect("x/i $pc", r"^=> 0xfffffff0:\s+ljmp\s+\$0xf000,\$0xe05b")
        g.command("stepi")
        g.expect("x/i $pc", r"^=> 0xfe05b:\s+cmp")
        check(g.value("$pc") == 0xfe05b and g.value("$cs_base") == 0xf0000, "CS:IP is not F000:E05B")
        check("EIP=0000e05b" in m.monitor("info registers"), "the processor's own EIP")
        lines = g.command("x/3i $pc").split("\n")
        third = int(re.search(r"0x[0-9a-f]+", lines[2]).group(), 16)
        g.command("break *%#x" % third)
        g.expect("continue", "Breakpoint 1, 0x0*%x " % third)
        g.command("set var $pc = 0xfe05b")
        check("EIP=0000e05b" in m.monitor("info registers"), "setting $pc takes CS's base off")
        g.expect("continue", "Breakpoint 1, 0x0*%x " % third)


def test_symbols_in_32_bit_code():
    m, symbols = program(32)
    with m, Gdb(symbols) as g:
        g.connect(m)
        g.command("break leaf")
        g.expect("continue", r"Breakpoint 1, leaf \(n=2\)")
        g.expect("backtrace", r"#0 +leaf \(n=2\)[\s\S]*#1 .* middle \(n=1\)[\s\S]*#2 .* top \(n=1\)[\s\S]*#3 .* guest_main")
        g.expect("finish", r"Value returned is .* = 4")
        g.expect("next", "return result")
        g.expect("step", "^23")
        g.expect("next", r"top \(n=1\)")
        g.command("delete")
        pc = g.value("$pc")
        g.command("stepi")
        check(g.value("$pc") != pc, "stepi stays")
        g.command("break middle if n == 5")
        g.expect("continue", r"middle \(n=5\)")
        check(g.value("rounds") == 5, "a condition is met in the fifth round")
        check(g.value("top(41)") == 42 * 2 + 1 + 7, "a call from GDB")
        g.expect("up", r"#1 .* top \(n=5\)")


def test_symbols_in_64_bit_code():
    m, symbols = program(64)
    with m, Gdb(symbols) as g:
        g.connect(m)  # the processor is in real mode, the file for x86-64
        g.command("break long_mode")
        g.expect("continue", "Breakpoint 1, long_mode")
        g.command("break leaf")
        g.expect("continue", r"Breakpoint 2, leaf \(n=\d+\)")
        g.expect("backtrace", r"leaf[\s\S]*middle \(n=1\)[\s\S]*top \(n=1\)[\s\S]*guest_main")
        g.expect("print $efer", r"\[ LME LMA \]")
        g.expect("print $cr0", "PE .*PG")
        g.command("disconnect")
        g.connect(m)  # now it is what the file is for
        g.expect("print $pc", r"\(void \(\*\)\(\)\) 0x[0-9a-f]+ <leaf")
        g.expect("info registers rip", "<leaf")
        g.command("tbreak leaf")
        g.expect("continue", r"leaf \(n=\d+\)")
        g.expect("finish", "Value returned")
        g.command("delete")
        check(g.value("top(41)") == 42 * 2 + 1 + 7, "a call from GDB")


def test_watchpoints():
    m, symbols = program(32)
    with m, Gdb(symbols) as g:
        g.connect(m)
        g.command("tbreak guest_main")
        g.command("continue")
        g.command("watch watched")
        g.expect("continue", r"Hardware watchpoint 2: watched\s+Old value = 0\s+New value = 2\s+leaf")
        g.expect("continue", r"Old value = 2\s+New value = 5")
        g.command("delete")
        g.command("rwatch read_only")
        g.expect("continue", r"read watchpoint 3: read_only\s+Value = 7[\s\S]*top")
        g.command("delete")
        g.command("awatch beside")
        g.expect("continue", r"access \(read/write\) watchpoint 4: beside[\s\S]*leaf")
        g.command("delete")
        # A neighbour in the page, written all the time, must not stop it; nor a write of the same value `watch`.
        g.command("watch *(char *)text")
        g.go(m, 0.5)
        g.interrupt()
        text = g.finish()
        check("SIGINT" in text and "watchpoint" not in text, "stopped by a neighbour's access: " + text)
        check("DR7=0000000000000400" in m.monitor("info registers"), "the guest's debug registers were used")


def test_registers_and_memory():
    m, symbols = program(32)
    with m, Gdb(symbols) as g:
        g.connect(m)
        g.command("break registers_set")
        g.expect("continue", "Breakpoint 1")
        g.expect("print $ymm0.v8_float", r"\{1, 2, 3, 4, 5, 6, 7, 8\}")
        g.expect("print $xmm0.v4_float", r"\{1, 2, 3, 4\}")
        g.expect("print $st0", "= 3.14159265358979323")
        g.expect("print $st1", "= 1$")
        check(g.value("$fctrl") == 0x37f and g.value("$ftag") == 0xfff, "x87 control and tags")
        for name, value in (("eax", 0x12345678), ("esi", 0x9abcdef0), ("ebp", 0x1000)):
            g.command("set var $%s = %#x" % (name, value))
            check(g.value("$" + name) == value, name)
        check("EAX=12345678" in m.monitor("info registers"), "EAX in the processor")
        g.command("set var $xmm3.uint128 = 0x1122334455667788")
        g.command("set var $st0 = 2.5")
        g.command("set var $eflags = $eflags | 0x40")
        g.command("maint flush register-cache")
        check(g.value("$xmm3.v2_int64[0]") == 0x1122334455667788, "XMM3")
        g.expect("print $st0", "= 2.5")
        g.expect("print $eflags", "ZF")
        g.command('set var text = "from GDB"')
        g.expect("print text", '"from GDB')
        g.expect("monitor x/s %#x" % g.value("&text"), "from GDB")
        g.expect("x/b 0xf0000000", "Cannot access memory")
        # The breakpoint is not in memory.
        check("0xcc" not in g.command("monitor xp/1xb %#x" % g.value("(long)registers_set")), "INT3 in the guest")


def test_two_cpus():
    m, symbols = program(32, "-smp", "2")
    with m, Gdb(symbols) as g:
        g.connect(m)
        count = 0x8000 + g.value("(long)&ap_count - (long)&ap_code")
        g.start("continue")
        check(grows(m, count), "the other CPU does not run")
        g.interrupt()
        g.finish()
        g.command("tbreak leaf")
        g.expect("continue", "leaf")
        g.command("thread 1")
        g.expect("info threads", r"\* 1 +Thread 1.1 \(CPU#0 \[running\]\) +leaf[\s\S]* 2 +Thread 1.2 \(CPU#1 \[running\]\)")
        g.command("thread 2")
        pc = g.value("$pc")
        check(0x8000 <= pc < 0x8100, "the other CPU is at %#x, not in its page" % pc)
        count = g.value("$ecx")
        g.command("thread 1")
        g.command("set scheduler-locking on")
        g.command("next")
        g.command("next")
        g.command("thread 2")
        check(g.value("$ecx") == count, "the other CPU has run")
        for _ in range(3):
            g.command("stepi")
        check(g.value("$ecx") == count + 1, "three steps are not one round")
        g.command("set scheduler-locking off")
        g.command("break *0x8007 thread 2")
        g.expect("continue", "Thread 2 hit Breakpoint 2")
        g.expect("continue", "Thread 2 hit Breakpoint 2")
        g.command("delete")
        # Both hit theirs, again and again; neither is lost.
        g.command("break leaf")
        g.command("break *0x8007")
        seen = set()
        for _ in range(500):
            if len(seen) == 2:
                break
            seen.add(g.expect("continue", r"Thread (\d) hit").group(1))
        check(seen == {"1", "2"}, "only thread %s is seen" % seen)


def test_interrupt_of_running_and_halted_guest():
    m, symbols = program(32)
    with m, Gdb(symbols) as g:
        g.connect(m)
        rounds = g.value("(long)&rounds")
        g.start("continue")
        check(grows(m, rounds), "it does not run")
        g.interrupt()
        check("SIGINT" in g.finish(), "Ctrl-C")
        g.command("set var idle = 1")
        g.start("continue")
        end = time.monotonic() + GIVE_UP
        while "HLT=1" not in m.monitor("info registers"):
            check(time.monotonic() < end, "it does not halt")
            time.sleep(0.05)
        g.interrupt()
        check("SIGINT" in g.finish(), "Ctrl-C of a halted CPU")
        g.expect("info threads", "halted")
        check("guest_main" in g.command("backtrace"), "where it is halted")
        g.command("set var idle = 0")
        g.command("tbreak leaf")
        g.expect("jump 56", r"leaf \(n=")  # out of HLT, to where GDB says


def test_detach_attach_and_a_lost_gdb():
    m, symbols = program(32)
    with m, Gdb(symbols) as g:
        g.connect(m)
        g.command("break leaf")
        g.command("watch rounds")
        g.command("continue")
        rounds = g.value("(long)&rounds")
        g.command("detach")
        check(grows(m, rounds), "it does not run on after detaching")
        g.connect(m)
        check(not grows_within(m, rounds, 0.3), "attaching does not stop it")
        g.command("delete")
        g.command("break middle")
        g.expect("continue", "middle")
        g.command("continue 3")
        # A debugger that dies while the guest runs leaves nothing behind.
        g.command("delete")
        g.command("break start")
        g.command("watch read_only")
        g.go(m, 0.1)
        g.process.send_signal(signal.SIGKILL)
        check(grows(m, rounds), "it does not run on without its debugger")
    m, symbols = program(32)
    with m, Gdb(symbols) as g:
        g.command("target extended-remote " + m.socket)
        g.command("break leaf")
        g.expect("continue", "leaf")
        address = g.value("(long)&rounds")
        g.command("detach")
        check(grows(m, address), "it does not run on")
        g.expect("attach 1", "leaf|middle|top|guest_main|spin|in ")
        check(not grows_within(m, address, 0.3), "attaching does not stop it")
        g.command("kill")
        check(m.wait() == 0, "killed: status %s" % m.process.returncode)


def grows_within(machine, address, seconds):
    first = machine.monitor("xp/1xw %#x" % address)
    time.sleep(seconds)
    return machine.monitor("xp/1xw %#x" % address) != first


def test_monitor_reset_and_the_user_beside():
    m, symbols = program(32)
    with m, Gdb(symbols) as g:
        g.connect(m)
        g.expect("monitor info version", r"\d+\.\d+|unknown command")
        g.command("break leaf")
        g.expect("continue", r"leaf \(n=2\)")
        # Somebody at another monitor stops and starts.
        g.command("delete")
        g.go(m, 0.1)
        m.monitor("stop")
        check("SIGINT" in g.finish(), "stop at the monitor is not told to GDB")
        m.monitor("cont")
        m.runs()
        g.command("maint flush register-cache")
        check(g.value("$pc") > 0, "GDB's question to a running machine")
        check("paused" in m.monitor("info status"), "and the machine stands")
        g.command("delete")
        g.command("monitor system_reset")
        g.command("maint flush register-cache")
        check(g.value("$pc") == 0xfffffff0, "after reset $pc is %#x" % g.value("$pc"))
        g.command("tbreak leaf")
        g.expect("continue", r"leaf \(n=2\)")
        g.command("break guest_main")
        g.go(m, 0.1)
        m.monitor("system_reset")  # while it runs: breakpoints stay
        check("guest_main" in g.finish(), "after a reset")
        g.command("delete")
        g.go(m, 0.1)
        m.monitor("quit")
        check("exited normally" in g.finish(), "the end is not told to GDB")


def test_ways_to_the_machine():
    kernel, symbols = guest(32)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with Machine("-S", "-gdb", "tcp::%d" % port, "-kernel", kernel, serial=False) as m, Gdb(symbols) as g:
        end = time.monotonic() + GIVE_UP
        while "Remote debugging" not in g.command("target remote :%d" % port) and time.monotonic() < end:
            time.sleep(0.05)
        g.command("break leaf")
        g.expect("continue", "leaf")
        g.command("kill")
        check(m.wait() == 0, "tcp")
    with Machine("-S", "-gdb", "pty", "-kernel", kernel, serial=False) as m, Gdb(symbols) as g:
        g.command("target remote " + m.expect(r"(/dev/pts/\d+)").group(1))
        g.command("break leaf")
        g.expect("continue", "leaf")
        g.command("kill")
        check(m.wait() == 0, "pty")
    path = "%s/vole-gdb-%d" % (tempfile.gettempdir(), os.getpid())
    with Machine("-S", "-chardev", "socket,id=debugger,path=%s,server=on,wait=off" % path, "-gdb", "chardev:debugger",
                 "-kernel", kernel, serial=False) as m, Gdb(symbols) as g:
        end = time.monotonic() + GIVE_UP
        while not os.path.exists(path) and time.monotonic() < end:
            time.sleep(0.05)
        g.command("target remote " + path)
        g.command("break leaf")
        g.expect("continue", "leaf")
        g.command("kill")
        check(m.wait() == 0, "chardev")
    with Gdb(symbols) as g, tempfile.TemporaryDirectory() as d:
        accel = "-accel " + Machine.accel if Machine.accel else ""
        g.command("target remote | %s %s -gdb stdio -display none -kernel %s -monitor unix:%s/m,server,nowait"
                  % (Machine.emulator, accel, kernel, d))
        g.go(Beside(d + "/m"), 0.1)
        g.interrupt()
        check("SIGINT" in g.finish(), "Ctrl-C over stdio")
        g.command("tbreak leaf")
        g.expect("continue", "leaf")
        g.command("kill")
