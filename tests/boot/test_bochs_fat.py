"""Linux works on a growing disk of Bochs and on a directory of the host as a disk; both are in order afterwards."""
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import subprocess
import tempfile

import vm
from test_linux import INIT, guests
from vm import Machine, check


def vole_img(*args):
    subprocess.run([os.path.join(os.path.dirname(vm.Machine.emulator), "vole-img"), *args], check=True, stdout=subprocess.DEVNULL)


def test_bochs_and_fat():
    env = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
    initrd = guests.initramfs("formats", INIT, "amd64", ["ata_piix", "sd_mod", "crc32c_generic", "ext4", "vfat", "nls_cp437", "nls_ascii",
                                                         "nls_utf8"])
    with tempfile.TemporaryDirectory(prefix="vole-formats-") as where:
        raw, disk, share = (os.path.join(where, name) for name in ("raw", "bochs", "share"))
        os.makedirs(share + "/sub")
        with open(share + "/Hello World.txt", "w") as f:
            f.write("hello from the host\n")
        data = os.urandom(200000)
        with open(share + "/sub/data", "wb") as f:
            f.write(data)
        with open(raw, "wb") as f:
            f.truncate(100 << 20)
        subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", raw], check=True, env=env)
        vole_img("convert", "-O", "bochs", raw, disk)
        with Machine("-m", "512", "-kernel", guests.kernel("amd64"), "-initrd", initrd, "-append", "console=ttyS0 quiet", "-hda", disk,
                     "-hdb", "fat:rw:" + share) as m:
            m.wait_for_shell()
            # The kernel looks at both at once and names first the one that it is done with first. The directory has a partition.
            m.run("both() { [ -b /dev/sda ] && [ -b /dev/sdb ] && [ -b /dev/sd[ab]1 ]; }; for i in $(seq 100); do both && break; sleep 1; done; both")
            fat = m.run("ls /dev/sd[ab]1")
            ext4 = "/dev/sda" if fat == "/dev/sdb1" else "/dev/sdb"
            m.run("mount -t ext4 " + ext4 + " /mnt && dd if=/dev/urandom of=/mnt/x bs=64k count=300 2>/dev/null; sync")
            wrote = m.run("md5sum /mnt/x")
            check(m.run("umount /mnt; mount -t ext4 " + ext4 + " /mnt; md5sum /mnt/x; umount /mnt") == wrote, "bochs: reads something else")
            check("hello from the host" in m.run("mount -t vfat -o iocharset=utf8 " + fat + " /mnt; cat '/mnt/Hello World.txt'"),
                  "fat: reads something else")
            m.run("echo changed > '/mnt/Hello World.txt'; cp /mnt/sub/data /mnt/copy.bin; mkdir /mnt/New; mv /mnt/sub/data /mnt/New/moved; "
                  "rmdir /mnt/sub; umount /mnt", 120)
            m.send("poweroff -f\n")
            check(m.wait() == 0, "poweroff: status %s" % m.process.returncode)
        check(sorted(os.listdir(share)) == ["Hello World.txt", "New", "copy.bin"], "the directory holds %s" % os.listdir(share))
        for name in ("copy.bin", "New/moved"):
            with open(os.path.join(share, name), "rb") as f:
                check(f.read() == data, name + " holds something else")
        with open(share + "/Hello World.txt") as f:
            check(f.read() == "changed\n", "the file was not changed")
        vole_img("check", disk)
        vole_img("convert", disk, raw)
        fsck = subprocess.run(["e2fsck", "-f", "-n", raw], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)
        check(fsck.returncode == 0, "e2fsck: " + fsck.stdout.decode())
