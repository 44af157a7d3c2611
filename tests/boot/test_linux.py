"""Debian's kernels to a shell on the serial line and on the screen: CPUs, power off, reboot, clock, idling."""
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import threading
import time

import guests
from vm import Failure, Machine, check

INIT = "tests/boot/test-init"
LOCKSTEP_SECONDS = 1800  # some three minutes of a processor


def boot(flavour, *args, monitor=False):
    machine = Machine("-m", "256", "-kernel", guests.kernel(flavour), "-initrd", guests.initramfs("test", INIT, flavour),
                      "-append", "console=tty0 console=ttyS0 quiet", *args, monitor=monitor)
    try:
        machine.wait_for_shell()
    except Failure:
        machine.__exit__()
        raise
    return machine


def shell_and_poweroff(flavour, cpus, *args):
    with boot(flavour, "-smp", cpus, *args, monitor=True) as m:
        check(m.run("nproc") == str(cpus), "not %d CPUs online: %s" % (cpus, m.run("nproc")))
        check(m.run("cat /sys/devices/system/cpu/online") == ("0" if cpus == 1 else "0-%d" % (cpus - 1)), "online")
        check(m.run("echo $((6 * 7))") == "42", "the shell does not compute")
        # The shell on the VGA console: type on the PS/2 keyboard, read the text screen back.
        for key in ["l", "s", "spc", "slash", "ret"]:
            m.monitor("sendkey " + key)
        m.run("for i in $(seq 100); do grep -q proc /dev/vcs1 && break; sleep 2; done; grep -q proc /dev/vcs1")
        m.send("poweroff -f\n")
        check(m.wait() == 0, "poweroff: status %s" % m.process.returncode)


def test_amd64_shell_and_poweroff():
    shell_and_poweroff("amd64", 1)


def test_amd64_four_cpus():
    shell_and_poweroff("amd64", 4)


def test_amd64_small_cache():
    """Translated code is thrown away and made again all the time."""
    shell_and_poweroff("amd64", 2, "-accel", "jit,cache-size=1M")


def test_686_on_pentium3():
    shell_and_poweroff("686", 1, "-cpu", "pentium3")


def test_686_pae_on_qemu32_four_cpus():
    shell_and_poweroff("686-pae", 4, "-cpu", "qemu32")


def read(path):
    with open(path) as f:
        return f.read()


def lockstep(flavour):
    log = os.path.join(guests.BUILD, "lockstep-%s.log" % flavour)
    with Machine("-m", "256", "-accel", "jit", "-d", "lockstep", "-D", log, "-kernel", guests.kernel(flavour),
                 "-initrd", guests.initramfs("test", INIT, flavour), "-append", "console=ttyS0 quiet") as m:
        try:
            m.wait_for_shell(LOCKSTEP_SECONDS)
            check(m.run("echo $((6 * 7))", LOCKSTEP_SECONDS) == "42", "the shell does not compute")
            m.send("poweroff -f\n")
            status = m.wait(LOCKSTEP_SECONDS)
        except Failure as e:
            raise Failure("%s\n%s" % (e, read(log))) from e
        text = read(log)
        check(status == 0 and "no difference" in text, "status %s\n%s" % (status, text))


def long_lockstep_64_bit():
    lockstep("amd64")


def long_lockstep_32_bit():
    lockstep("686")


def test_reboot():
    with boot("amd64") as m:
        m.send("reboot -f\n")
        m.wait_for_shell()
        m.send("poweroff -f\n")
        check(m.wait() == 0, "poweroff after reboot: status %s" % m.process.returncode)


def test_no_reboot():
    with boot("amd64", "-no-reboot") as m:
        m.send("reboot -f\n")
        check(m.wait() == 0, "-no-reboot: status %s" % m.process.returncode)


def clock_drift(busy, results):
    """Guest's clock against the host's over a minute, and the host CPU share used meanwhile."""
    try:
        with boot("amd64") as m:
            if busy:
                m.run("(while :; do :; done) & true")
            time.sleep(5)

            def sample():
                """Host time, guest time, host CPU seconds: of several tries the one that was answered fastest."""
                tries = []
                for _ in range(8):
                    before = time.monotonic()
                    guest = float(m.run("cat /proc/uptime").split()[0])
                    after = time.monotonic()
                    tries.append((after - before, (before + after) / 2, guest))
                took, host, guest = min(tries)
                return host, guest, m.cpu_seconds(), took / 2

            t0, g0, c0, unsure0 = sample()
            time.sleep(60)
            t1, g1, c1, unsure1 = sample()
            results[busy] = (abs((g1 - g0) - (t1 - t0)), (c1 - c0) / (t1 - t0), unsure0 + unsure1)
    except Failure as e:
        results[busy] = e


def test_clock_and_idle():
    results = {}
    threads = [threading.Thread(target=clock_drift, args=(busy, results)) for busy in (False, True)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for busy in (False, True):
        if isinstance(results[busy], Failure):
            raise results[busy]
        # 10 ms of it are the resolution of /proc/uptime; a busy host says what time it is with delay.
        check(results[busy][0] < 0.060 + results[busy][2], "%s guest's clock is off by %.0f ms after a minute"
              % ("busy" if busy else "idle", results[busy][0] * 1000))
    check(results[False][1] < 0.05, "an idle guest uses %.1f %% of a host CPU" % (results[False][1] * 100))
