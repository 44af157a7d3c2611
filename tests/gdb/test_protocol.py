"""The protocol's packets one by one, by a client that is not GDB."""
# SPDX-License-Identifier: GPL-2.0-or-later
import re
import subprocess
import time

from gdb import GIVE_UP, Client, Debuggee, guest
from test_bare import grows
from vm import check

TEXT = 0x100000  # where the guest's code begins


def program(*args, bits=32):
    return Debuggee("-kernel", guest(bits)[0], *args)


def symbol(bits, name):
    out = subprocess.run(["nm", guest(bits)[1]], check=True, stdout=subprocess.PIPE).stdout.decode()
    return int(re.search(r"([0-9a-f]+) \w %s$" % name, out, re.M).group(1), 16)


def same(got, want):
    check(got == want, "%r, not %r" % (got, want))


def run_to(c, address):
    same(c.ask("Z0,%x,1" % address), "OK")
    reply = c.ask("vCont;c")
    check(reply.startswith("T05"), reply)
    same(c.ask("z0,%x,1" % address), "OK")
    return reply


def test_features_and_framing():
    with program("-smp", "2") as m, Client(m) as c:
        reply = c.ask("qSupported:multiprocess+;swbreak+;hwbreak+;xmlRegisters=i386")
        for feature in ("PacketSize=4000", "QStartNoAckMode+", "qXfer:features:read+", "vContSupported+", "multiprocess+",
                        "swbreak+", "hwbreak+"):
            check(feature in reply.split(";"), "%s is not in %s" % (feature, reply))
        same(c.ask("vMustReplyEmpty"), "")
        same(c.ask("qNoSuchThing:1"), "")
        same(c.ask("vCont?"), "vCont;c;C;s;S;r")
        same(c.ask("qAttached:1"), "1")
        same(c.ask("qfThreadInfo"), "mp1.1,p1.2")
        same(c.ask("qsThreadInfo"), "l")
        same(c.ask("Tp1.2"), "OK")
        same(c.ask("Tp1.3"), "E16")
        same(c.ask("Hgp1.2"), "OK")
        same(c.ask("qC"), "QCp1.2")
        same(bytes.fromhex(c.ask("qThreadExtraInfo,p1.1")).decode(), "CPU#0 [running]")
        # A wrong checksum is asked for again, a lost reply sent again, noise passed over.
        c.socket.sendall(b"xx$qC#00")
        same(c.byte(), b"-")
        same(c.ask("qC"), "QCp1.2")
        c.socket.sendall(b"-")
        same(c.receive(), "QCp1.2")
        c.socket.sendall(b"$qsThr$qC#b4")
        same(c.byte(), b"+")
        same(c.receive(), "QCp1.2")
        # Longer than announced.
        c.socket.sendall(b"$" + b"m" * 20000 + b"#00")
        same(c.byte(), b"-")
        same(c.ask("QStartNoAckMode"), "OK")
        c.acks = False
        same(c.ask("?"), "T05thread:p1.2;core:1;")
        xml = ""
        while True:
            part = c.ask("qXfer:features:read:target.xml:%x,333" % len(xml))
            xml += part[1:]
            if part[0] == "l":
                break
        check("<architecture>i8086</architecture>" in xml and xml.endswith("</target>\n"), xml[:200])
        same(c.ask("qXfer:features:read:other.xml:0,10"), "E00")
        same(c.ask("qXfer:features:read:target.xml:100000,10"), "E16")


def test_memory_packets():
    with program() as m, Client(m) as c:
        run_to(c, symbol(32, "guest_main"))  # the program is loaded, and the screen set up
        at = symbol(32, "text")
        same(c.ask("M%x,3:414243" % at), "OK")
        same(c.ask("m%x,3" % at), "414243")
        c.send(b"X%x,4:" % at + b"}\x03}\x5d}\x04z")  # # } $ escaped
        same(c.receive(), "OK")
        same(c.ask("m%x,4" % at), "237d247a")
        same(c.ask("X%x,0:" % at), "OK")
        same(c.ask("m%x,0" % at), "")
        for bad in ("m", "m1", "m1,", "mzz,1", "m0,4001", "M%x,2:41" % at, "M%x,1:4g" % at, "X%x,2:a" % at,
                    "m11111111111111111,1"):
            same(c.ask(bad), "E16")
        # Half of it can be read, then none; no device is touched.
        check(re.fullmatch("[0-9a-f]{16}", c.ask("m7fffff8,10")), "the last bytes")
        same(c.ask("m8000000,10"), "E0e")
        same(c.ask("mb8000,2"), "E0e")
        same(c.ask("mb8000,2"), "E0e")
        same(c.ask("qqemu.PhyMemMode"), "0")
        same(c.ask("Qqemu.PhyMemMode:1"), "OK")
        check(re.fullmatch("[0-9a-f]{4}", c.ask("mb8000,2")), "the screen's memory by its physical address")
        same(c.ask("Mb8000,2:4107"), "OK")
        same(c.ask("mb8000,2"), "4107")
        same(c.ask("m%x,4" % at), "237d247a")
        same(c.ask("Qqemu.PhyMemMode:0"), "OK")


def test_paging():
    """Linear addresses in long mode: beyond the first GB nothing is mapped; no accessed bit is set by looking."""
    with program(bits=64) as m, Client(m) as c:
        run_to(c, symbol(64, "guest_main"))
        pml4 = symbol(64, "pml4")
        entry = pml4 + 2 * 4096 + 8 * 20  # of 40 MB
        before = c.ask("m%x,8" % entry)
        check(re.fullmatch("[0-9a-f]{16}", c.ask("m2800000,8")), "memory at 40 MB")
        same(c.ask("m2800000,8"), "0" * 16)
        same(c.ask("M2800000,1:55"), "OK")
        same(c.ask("m%x,8" % entry), before)
        check(int(before[:2], 16) & 0x60 == 0, "accessed or dirty: " + before)
        same(c.ask("m40000000,8"), "E0e")
        same(c.ask("m8000000000000000,8"), "E0e")


def test_steps():
    with program() as m, Client(m) as c:
        spin = symbol(32, "spin")
        run_to(c, spin)
        same(c.ask("qqemu.sstepbits"), "ENABLE=1,NOIRQ=2,NOTIMER=4")
        same(c.ask("qqemu.sstep"), "0x7")
        same(c.ask("Qqemu.sstep=0x3"), "OK")
        same(c.ask("qqemu.sstep"), "0x3")
        same(c.ask("Qqemu.sstep=7"), "OK")
        same(c.ask("Qqemu.sstep=9"), "E16")
        first = c.ask("p10")
        check(c.ask("vCont;s:1;c").startswith("T05thread:1;"), "a step")
        check(c.ask("p10") != first, "it has not moved")
        check(c.ask("s").startswith("T05thread:1;"), "an old step")
        # A range: on until code outside runs, 1,000 rounds later.
        leaf = symbol(32, "guest_main")
        check(c.ask("vCont;r%x,%x:1" % (spin, leaf)).startswith("T05thread:1;"), "a range")
        pc = int.from_bytes(bytes.fromhex(c.ask("p10")), "little")
        check(not spin <= pc < leaf, "still in the range at %#x" % pc)
        # A breakpoint in the range ends it.
        run_to(c, spin)
        same(c.ask("Z1,%x,1" % (spin + 6)), "OK")
        c.ask("vCont;r%x,%x:1" % (spin, leaf))
        check(int.from_bytes(bytes.fromhex(c.ask("p10")), "little") <= spin + 6, "ran over a breakpoint")
        for bad in ("vCont", "vCont;", "vCont;x", "vCont;s:9", "vCont;r1:1", "vCont;s:1zzz", "Z5,0,1", "Z2,100,0",
                    "Z0,100", "z9,1,1", "P10", "Pfff=00", "P0=00", "pfff", "Hx1", "Hg7", "Hg-1", "qRcmd,4", "vAttach;2",
                    "D;2", "G00"):
            check(c.ask(bad) in ("E16", "E1c"), bad)


def test_all_points_at_once():
    """4096 points, one more refused; all gone with the connection."""
    with program() as m:
        with Client(m) as c:
            same(c.ask("QStartNoAckMode"), "OK")
            c.acks = False
            for i in range(4096):
                same(c.ask("Z%x,%x,4" % (i % 5, 0x200000 + 4 * i)), "OK")
            same(c.ask("Z0,300000,1"), "E1c")
            same(c.ask("Z0,%x,1" % 0x200000), "OK")  # it is there already
            same(c.ask("z1,%x,4" % (0x200000 + 4)), "OK")
            same(c.ask("Z0,300000,1"), "OK")
            same(c.ask("z0,300000,1"), "OK")
            leaf = symbol(32, "leaf")
            same(c.ask("Z0,%x,1" % leaf), "OK")
            check(c.ask("c").startswith("T05"), "a breakpoint among thousands")
            c.send("c")
            check(c.receive().startswith("T05"), "and again, without a step over it")
        m.monitor("cont")
        check(grows(m, symbol(32, "rounds")), "points are left behind")


def test_stops_by_others():
    with program() as m, Client(m) as c:
        c.send("c")
        m.runs()
        m.monitor("stop")
        check(c.receive().startswith("T02"), "stop")
        c.send("c")
        m.runs()
        c.socket.sendall(b"\x03")
        check(c.receive().startswith("T02"), "Ctrl-C")
        c.socket.sendall(b"\x03")  # it stands already
        check(not c.hears(0.3), "an answer to Ctrl-C while it stands")
        # The user starts it behind the stub's back, at a breakpoint: it goes on behind it.
        leaf = symbol(32, "leaf")
        same(c.ask("Z0,%x,1" % leaf), "OK")
        check(c.ask("c").startswith("T05"), "breakpoint")
        m.monitor("cont")
        end = time.monotonic() + GIVE_UP
        while "debug" not in m.monitor("info status"):
            check(time.monotonic() < end, "the next round has no breakpoint")
            time.sleep(0.02)
        check(not c.hears(0.1), "a stop reply that nobody waits for")
        same(c.ask("z0,%x,1" % leaf), "OK")
        m.monitor("cont")
        same(c.ask("qC"), "QC1")
        check("paused" in m.monitor("info status"), "a packet does not stop it")
        reply = c.ask("qRcmd," + b"info status".hex())
        check(reply.startswith("O") and "paused" in bytes.fromhex(reply[1:]).decode(), reply)
        same(c.receive(), "OK")
        same(c.ask("qRcmd," + b"gdbserver tcp::0".hex())[0], "O")
        same(c.receive(), "OK")
        c.send("c")
        m.monitor("quit")
        same(c.receive(), "W00")


def test_monitor_command_opens_and_closes():
    with program() as m:
        path = m.socket + ".second"
        with Client(m) as c:
            same(c.ask("qC"), "QC1")
            m.monitor("gdbserver unix:" + path)
            check(c.hung_up(), "the first stub is still there")
        m.socket = path
        with Client(m) as c:
            same(c.ask("Z0,%x,1" % symbol(32, "leaf")), "OK")
            check("off" in bytes.fromhex(c.ask("qRcmd," + b"gdbserver none".hex())[1:]).decode(), "gdbserver none")
            same(c.receive(), "OK")
            check(c.hung_up(), "still there after 'gdbserver none'")
        m.monitor("cont")
        check(grows(m, symbol(32, "rounds")), "its breakpoint is left behind")
        check("Error" in m.monitor("gdbserver nosuchdevice"), "an unknown device")


def test_kill_and_power_off():
    with program() as m, Client(m) as c:
        c.send("k")
        same(m.wait(60), 0)
    with program("-no-shutdown", "-no-reboot") as m, Client(m) as c:
        c.send("c")
        m.runs()
        m.monitor("system_reset")
        check(c.receive().startswith("T03"), "the end of the machine, kept")
        reply = c.ask("c")
        check("system_reset" in bytes.fromhex(reply[1:]).decode(), reply)
        check(c.receive().startswith("T03"), "it cannot go on")
