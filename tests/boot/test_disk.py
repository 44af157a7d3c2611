"""ext4 on an IDE disk by DMA: mount, write and sync, read back by checksum, power off; fsck on the host."""
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import subprocess

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
        m.run("for i in 1 2 3 4 5 6 7 8 9; do [ -b /dev/sda ] && break; sleep 1; done; [ -b /dev/sda ]")
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
