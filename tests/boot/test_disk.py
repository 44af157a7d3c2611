"""ext4 on an IDE disk by DMA: mount, write and sync, read back by checksum, power off; fsck on the host."""
# SPDX-License-Identifier: GPL-2.0-or-later
import contextlib
import os
import subprocess
import tempfile
import time

from test_linux import INIT, guests
from vm import Machine, check

MB = 200


def test_ext4_on_ide_dma():
    os.makedirs(guests.BUILD, exist_ok=True)
    disk = os.path.join(guests.BUILD, "ext4.img")
    with open(disk, "wb") as f:
        f.truncate((MB + 120) << 20)
    mke2fs = ["mke2fs", "-q", "-F", "-t", "ext4", disk]
    env = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
    subprocess.run(mke2fs, check=True, env=env)
    initrd = guests.initramfs("disk", INIT, "amd64", ["ata_piix", "sd_mod", "crc32c_generic", "ext4"])
    with Machine("-m", "512", "-kernel", guests.kernel("amd64"), "-initrd", initrd, "-append",
                 "console=ttyS0 quiet", "-drive", "file=%s,format=raw" % disk) as m:
        m.wait_for_shell()
        m.run("for i in $(seq 100); do [ -b /dev/sda ] && break; sleep 1; done; [ -b /dev/sda ]")
        m.run("mount -t ext4 /dev/sda /mnt")
        mode = m.run("cat /sys/class/ata_device/dev1.0/xfer_mode")
        check("DMA" in mode, "the disk does %s" % mode)
        # Every 4 MB differ in their first line; the checksum comes from the pipe rather than from the disk.
        m.run("dd if=/dev/urandom of=/tmp/seed bs=64k count=64 2>/dev/null")
        data = "(for i in $(seq 1 %d); do echo $i; cat /tmp/seed; done)" % (MB // 4)
        m.run(data + " >/mnt/data; sync", 600)
        m.run("umount /mnt; mount -t ext4 /dev/sda /mnt")
        got = m.run("md5sum </mnt/data", 600).split()[0]
        want = m.run(data + " | md5sum", 600).split()[0]
        check(got == want, "read back %s, wrote %s" % (got, want))
        check(int(m.run("wc -c </mnt/data").split()[0]) > MB << 20, "the file is too short")
        m.run("umount /mnt")
        m.send("poweroff -f\n")
        check(m.wait() == 0, "poweroff: status %s" % m.process.returncode)
    fsck = subprocess.run(["e2fsck", "-f", "-n", disk], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)
    check(fsck.returncode == 0, "e2fsck: " + fsck.stdout.decode())
    os.unlink(disk)


@contextlib.contextmanager
def small_file_system(megabytes):
    """A directory that holds no more; None where mounting is not allowed."""
    with tempfile.TemporaryDirectory(prefix="vole-full-") as where:
        mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm" % megabytes, "tmpfs", where],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield where if mount.returncode == 0 else None
        finally:
            if mount.returncode == 0:
                subprocess.run(["umount", where], check=False)


def wait_for_status(machine, word, seconds=300):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        status = machine.monitor("info status")
        if word in status:
            return status
        time.sleep(0.2)
    raise ValueError("the machine's status does not become '%s': %s" % (word, status))


def write_until_stopped(drive, make_room):
    """A guest writes 40 MB; the host refuses some of it; once there is room `cont` lets all of it arrive."""
    initrd = guests.initramfs("disk", INIT, "amd64", ["ata_piix", "sd_mod", "crc32c_generic", "ext4"])
    with Machine("-m", "256", "-kernel", guests.kernel("amd64"), "-initrd", initrd, "-append", "console=ttyS0 quiet",
                 "-drive", drive, monitor=True) as m:
        m.wait_for_shell()
        m.run("for i in $(seq 100); do [ -b /dev/sda ] && break; sleep 1; done; [ -b /dev/sda ]")
        m.run("dd if=/dev/urandom of=/tmp/seed bs=64k count=16 2>/dev/null")
        data = "(for i in $(seq 1 40); do echo $i; cat /tmp/seed; done)"
        want = m.run(data + " | md5sum").split()[0]
        size = int(m.run(data + " | wc -c").split()[0])
        m.send(data + " | dd of=/dev/sda bs=4k conv=fsync 2>/dev/null; echo written $?\n")
        stopped = wait_for_status(m, "paused")
        check("written 0" not in m.seen, "the host's disk was never full")
        make_room()
        m.monitor("cont")
        m.expect("written 0", 600)
        m.run("echo 3 >/proc/sys/vm/drop_caches")
        got = m.run("head -c %d /dev/sda | md5sum" % size, 600).split()[0]
        check(got == want, "read back %s, wrote %s" % (got, want))
        errors = m.run("dmesg | grep -ci 'i/o error' || true").split()[0]
        check(errors == "0", "the guest has heard of it: %s errors" % errors)
        check("enospc" in m.seen.lower() or "no space" in m.seen.lower() or "io-error" in stopped,
              "nobody said why it stopped: %s" % stopped)
        m.send("poweroff -f\n")
        check(m.wait() == 0, "poweroff: status %s" % m.process.returncode)
    return want, size


def check_image(disk, want, size):
    img = os.path.join(os.path.dirname(Machine.emulator), "vole-img")
    subprocess.run([img, "check", "-q", "-f", "qcow2", disk], check=True)
    raw = os.path.join(guests.BUILD, "full.raw")
    subprocess.run([img, "convert", "-f", "qcow2", "-O", "raw", disk, raw], check=True)
    got = subprocess.run("head -c %d %s | md5sum" % (size, raw), shell=True, check=True, stdout=subprocess.PIPE)
    os.unlink(raw)
    check(got.stdout.split()[0].decode() == want, "the image holds something else")


def test_full_host_disk():
    img = os.path.join(os.path.dirname(Machine.emulator), "vole-img")
    os.makedirs(guests.BUILD, exist_ok=True)
    with small_file_system(64) as where:
        if where:
            disk, filler = os.path.join(where, "disk.qcow2"), os.path.join(where, "filler")
            with open(filler, "wb") as f:
                f.write(bytes(44 << 20))
            subprocess.run([img, "create", "-q", "-f", "qcow2", disk, "100M"], check=True)
            want, size = write_until_stopped("file=%s,format=qcow2" % disk, lambda: os.unlink(filler))
            check_image(disk, want, size)


def test_injected_write_errors():
    """The same with a fault put in below qcow2, of a kind that stops the machine only because werror=stop says so."""
    img = os.path.join(os.path.dirname(Machine.emulator), "vole-img")
    os.makedirs(guests.BUILD, exist_ok=True)
    disk = os.path.join(guests.BUILD, "faults.qcow2")
    subprocess.run([img, "create", "-q", "-f", "qcow2", disk, "100M"], check=True)
    rules = ",".join("file.inject-error.%d.event=%s,file.inject-error.%d.errno=5,file.inject-error.%d.once=on,"
                     "file.inject-error.%d.iotype=write" % (i, event, i, i, i) for i, event in enumerate(["write_aio"]))
    want, size = write_until_stopped("driver=qcow2,werror=stop,file.driver=blkdebug,file.image.driver=file,"
                                     "file.image.filename=%s,%s" % (disk, rules), lambda: None)
    check_image(disk, want, size)
    os.unlink(disk)
