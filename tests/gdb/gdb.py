"""GDB as a person uses it, and a bare client of its protocol, each on a machine's socket."""
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import re
import select
import signal
import socket
import subprocess
import time

from vm import Failure, Machine, check

SOURCE = "tests/gdb/guest"
BUILD = "build/guests"
GIVE_UP = 120


def guest(bits):
    """The guest for -kernel, and the file with its symbols."""
    os.makedirs(BUILD, exist_ok=True)
    out = os.path.join(BUILD, "gdb%d" % bits)
    subprocess.run(["gcc", "-m%d" % bits, "-g", "-O0", "-ffreestanding", "-fno-pic", "-fno-pie", "-no-pie", "-nostdlib",
                    "-mno-red-zone", "-mgeneral-regs-only", "-fno-omit-frame-pointer", "-Wall", "-fno-stack-protector",
                    "-static", "-Wl,--build-id=none", "-Wl,-z,noexecstack", "-Wl,--no-warn-rwx-segments",
                    "-T", SOURCE + "/kernel.ld", "-o", out, "%s/start%d.S" % (SOURCE, bits), SOURCE + "/main.c"],
                   check=True)
    subprocess.run(["objcopy", "-O", "binary", out, out + ".raw"], check=True)
    return out + ".raw", out


class Debuggee(Machine):
    """A machine, stopped before its first instruction, that waits for GDB on `socket`."""

    def __init__(self, *args, stopped=True, **kwargs):
        self.socket = "/tmp/vole-gdb-%d-%d" % (os.getpid(), time.monotonic_ns())
        extra = ["-S"] if stopped else []
        super().__init__("-gdb", "unix:" + self.socket, *extra, *args, serial=False, monitor=True, **kwargs)
        end = time.monotonic() + GIVE_UP
        while not (os.path.exists(self.socket) and os.path.exists(self.monitor_path)):
            if time.monotonic() > end or self.process.poll() is not None:
                raise Failure("the emulator does not start: %s" % self.process.stdout.read())
            time.sleep(0.02)
        self.monitor("info status")  # a socket's file is there before one can connect to it

    def runs(self):
        """Waits until the guest runs."""
        end = time.monotonic() + GIVE_UP
        while "running" not in self.monitor("info status"):
            if time.monotonic() > end:
                raise Failure("the guest does not run: %s" % self.monitor("info status"))
            time.sleep(0.02)


class Beside:
    """The monitor of a machine that GDB itself has started."""

    monitor, runs = Machine.monitor, Debuggee.runs

    def __init__(self, monitor_path):
        self.monitor_path = monitor_path


class Gdb:
    """One GDB. command() types a line and returns what is printed until GDB is ready for the next one."""

    def __init__(self, symbols=None):
        args = ["gdb", "-q", "-nx"] + ([symbols] if symbols else [])
        self.process = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.count = 0
        self.text = ""
        for line in ("set pagination off", "set confirm off", "set width 0", "set prompt", "set remotetimeout 60"):
            self.command(line)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()

    def start(self, line):
        """Types a line without waiting; finish() waits."""
        self.count += 1
        self.process.stdin.write(("%s\necho \\n@%d@\\n\n" % (line, self.count)).encode())
        self.process.stdin.flush()

    def finish(self, seconds=GIVE_UP):
        mark = "\n@%d@\n" % self.count
        end = time.monotonic() + seconds
        while mark not in self.text:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))
            data = self.process.stdout.read() if ready else None
            if not data:
                raise Failure("GDB %s; it said: %s" % ("ended" if ready else "does not come back", self.text[-800:]))
            self.text += data.decode(errors="replace")
        text, self.text = self.text.split(mark, 1)
        return text.strip()

    def command(self, line, seconds=GIVE_UP):
        self.start(line)
        return self.finish(seconds)

    def go(self, machine, seconds=0.0):
        """Lets the guest run, for so long or longer; finish() waits for what GDB says in the end."""
        self.start("continue")
        machine.runs()
        time.sleep(seconds)

    def expect(self, line, pattern, seconds=GIVE_UP):
        """The command's output must have the regular expression in it; returns the match."""
        text = self.command(line, seconds)
        match = re.search(pattern, text, re.M)
        if not match:
            raise Failure("GDB's answer to '%s' is not /%s/:\n%s" % (line, pattern, text))
        return match

    def value(self, expression):
        """A number."""
        return int(self.expect("print/x " + expression, r"= (0x[0-9a-f]+)").group(1), 16)

    def connect(self, machine):
        return self.command("target remote " + machine.socket)

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)


class Client:
    """The protocol's bytes."""

    def __init__(self, machine):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(GIVE_UP)
        self.socket.connect(machine.socket)
        self.buffer = b""
        self.acks = True

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.socket.close()

    def byte(self):
        while not self.buffer:
            data = self.socket.recv(65536)
            if not data:
                raise Failure("the stub has hung up")
            self.buffer += data
        c, self.buffer = self.buffer[:1], self.buffer[1:]
        return c

    def send(self, content):
        if isinstance(content, str):
            content = content.encode()
        self.socket.sendall(b"$" + content + b"#%02x" % (sum(content) & 0xff))
        if self.acks:
            check(self.byte() == b"+", "no acknowledgement of %r" % content)

    def receive(self):
        c = self.byte()
        check(c == b"$", "a packet begins with %r" % c)
        raw = b""
        while (c := self.byte()) != b"#":
            raw += c
        told = int(self.byte() + self.byte(), 16)
        check(told == sum(raw) & 0xff, "the checksum of %r is told as %02x" % (raw, told))
        if self.acks:
            try:
                self.socket.sendall(b"+")
            except OSError:
                pass  # it was the last one
        return re.sub(rb"\}(.)", lambda m: bytes([m.group(1)[0] ^ 0x20]), raw, flags=re.S).decode("latin-1")

    def ask(self, content):
        self.send(content)
        return self.receive()

    def hung_up(self):
        """Waits for the stub to end the connection; false where it says something."""
        try:
            return not self.socket.recv(1)
        except ConnectionResetError:
            return True  # it had not read our last acknowledgement

    def hears(self, seconds):
        """Whether the stub says something within the time."""
        return bool(self.buffer) or bool(select.select([self.socket], [], [], seconds)[0])
