"""A machine under test: starts the emulator, talks to its serial line and monitor, and waits.

Times here are only bounds after which a test gives up; they are wide, because test machines are slow and busy.
"""
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import re
import select
import signal
import socket
import subprocess
import tempfile
import time

GIVE_UP = 300  # seconds, for whatever a test waits for


class Failure(Exception):
    pass


class Machine:
    """`serial=True` puts COM1 on a pipe that expect() and send() use; monitor() needs `monitor=True`."""

    emulator = "build/vole"
    accel = None  # the program's default

    def __init__(self, *args, serial=True, monitor=False):
        self.dir = tempfile.TemporaryDirectory(prefix="vole-test-")
        command = [self.emulator, "-display", "none"]
        if self.accel and "-accel" not in args:
            command += ["-accel", self.accel]
        if serial:
            command += ["-serial", "stdio"]
        self.monitor_path = os.path.join(self.dir.name, "monitor")
        if monitor:
            command += ["-monitor", "unix:%s,server,nowait" % self.monitor_path]
        command += [str(a) for a in args]
        self.command = command
        self.seen = ""
        self.pos = 0
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        os.set_blocking(self.process.stdout.fileno(), False)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.dir.cleanup()

    def _read(self, seconds):
        ready, _, _ = select.select([self.process.stdout], [], [], max(0, seconds))
        if ready:
            data = self.process.stdout.read()
            if data:
                self.seen += data.decode(errors="replace")
                return True
            if data == b"":
                time.sleep(0.05)
        return False

    def expect(self, pattern, seconds=GIVE_UP):
        """Waits for the regular expression in what comes after the last match; returns the match."""
        end = time.monotonic() + seconds
        while True:
            match = re.compile(pattern, re.M).search(self.seen, self.pos)
            if match:
                self.pos = match.end()
                return match
            if time.monotonic() > end:
                raise Failure("no /%s/ within %d s; the last lines:\n%s" % (pattern, seconds, self.tail()))
            if not self._read(min(0.5, end - time.monotonic())) and self.process.poll() is not None:
                while self._read(0):
                    pass
                if not re.compile(pattern, re.M).search(self.seen, self.pos):
                    raise Failure("ended with status %s before /%s/; the last lines:\n%s"
                                  % (self.process.returncode, pattern, self.tail()))

    def tail(self):
        return "\n".join(self.seen.replace("\r", "").split("\n")[-12:])

    def send(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def run(self, command, seconds=GIVE_UP):
        """Runs a shell command in the guest and returns what it printed; the prompt is '# '."""
        self.send(command + "; echo END$?END\n")
        match = self.expect(r"^([\s\S]*?)END(\d+)END\r?\n", seconds)
        lines = [re.sub("^(# )+", "", line) for line in match.group(1).replace("\r", "").split("\n")]
        if match.group(2) != "0":
            raise Failure("in the guest: %s: status %s: %s" % (command, match.group(2), "\n".join(lines)))
        return "\n".join(line for line in lines if "echo END$" not in line).strip()

    def wait_for_shell(self, seconds=GIVE_UP):
        """Until test-init's shell answers, its greeting behind us."""
        self.expect("TEST SHELL READY", seconds)
        self.run("true", seconds)

    def monitor(self, line, seconds=GIVE_UP):
        """One monitor command; returns its output."""
        end = time.monotonic() + seconds
        with socket.socket(socket.AF_UNIX) as s:
            while True:
                try:
                    s.connect(self.monitor_path)
                    break
                except OSError:
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.05)
            s.settimeout(seconds)

            def prompt():
                text = b""
                while not re.search(rb"\((vole|qemu)\) $", text):
                    data = s.recv(65536)
                    if not data:
                        break
                    text += data
                return text.decode(errors="replace")

            prompt()
            s.sendall(line.encode() + b"\n")
            return prompt()

    def wait(self, seconds=GIVE_UP):
        """Waits for the emulator to end; returns its status."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            if time.monotonic() > end:
                raise Failure("still running after %d s; the last lines:\n%s" % (seconds, self.tail()))
            self._read(0.2)
        while self._read(0):
            pass
        return self.process.returncode

    def cpu_seconds(self):
        """Host CPU time used so far."""
        with open("/proc/%d/stat" % self.process.pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)


def check(condition, message):
    if not condition:
        raise Failure(message)
