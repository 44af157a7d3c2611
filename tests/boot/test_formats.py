"""File systems under stress on disk images of other formats, two IDE disks at once: files are written, changed inside, renamed, copied,
deleted and synced; their checksums hold after a new mount; then fsck and the checks of the images find nothing. VOLE_STRESS_SECONDS: how
long (60)."""
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import shutil
import subprocess

from test_linux import INIT, guests
from vm import Machine, check

MB = 160
# What of these has a check, in both programs.
CHECKED = {"vdi", "vmdk", "parallels", "vhdx", "qcow2"}
STRESS = r"""stress() { end=$(($(date +%s) + $2)); i=$3
while [ $(date +%s) -lt $end ]; do d=$1/d$((i % 7)); n=$((i / 6 % 37)); mkdir -p $d
case $((i % 6)) in
0) dd if=/tmp/seed of=$d/f$n bs=4k count=$((1 + i % 64)) 2>/dev/null;;
1) dd if=/tmp/seed of=$d/f$n bs=512 seek=$((i * 13 % 900)) count=$((1 + i % 9)) conv=notrunc 2>/dev/null;;
2) mv $d/f$n $d/g$n 2>/dev/null;;
3) rm -f $d/g$(((n + 5) % 37));;
4) cp $d/g$n $d/c$n 2>/dev/null;;
5) [ $((i % 5)) = 0 ] && sync;;
esac; i=$((i + 1)); done; echo $i rounds; }"""


def host(*command, status=(0,)):
    env = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)
    check(done.returncode in status, "%s: status %d: %s" % (" ".join(command), done.returncode, done.stdout.decode()))


def make_disk(img, form):
    raw, disk = os.path.join(guests.BUILD, "stress.raw"), os.path.join(guests.BUILD, "stress." + form)
    with open(raw, "wb") as f:
        f.truncate(MB << 20)
    host("mke2fs", "-q", "-F", "-t", "ext4", raw)
    host(img, "convert", "-O", form, raw, disk)
    os.unlink(raw)
    return disk


def look_at(img, form, disk):
    raw, qemu = disk + ".raw", shutil.which("qemu-img")
    if form in CHECKED:
        host(img, "check", "-f", form, disk)
    if qemu and form in CHECKED:
        host(qemu, "check", "-f", form, disk)
    host(img, "convert", "-f", form, "-O", "raw", disk, raw)
    if qemu:
        host(qemu, "compare", "-f", form, "-F", "raw", disk, raw)
    host("e2fsck", "-f", "-n", raw)
    os.unlink(raw)
    os.unlink(disk)


def stress(*formats):
    seconds = int(os.environ.get("VOLE_STRESS_SECONDS", "60"))
    img = os.path.join(os.path.dirname(Machine.emulator), "vole-img")
    os.makedirs(guests.BUILD, exist_ok=True)
    disks = [make_disk(img, form) for form in formats]
    drives = [word for form, disk in zip(formats, disks) for word in ("-drive", "file=%s,format=%s" % (disk, form))]
    initrd = guests.initramfs("disk", INIT, "amd64", ["ata_piix", "sd_mod", "crc32c_generic", "ext4"])
    with Machine("-m", "256", "-kernel", guests.kernel("amd64"), "-initrd", initrd, "-append", "console=ttyS0 quiet", *drives) as m:
        m.wait_for_shell()
        there = " && ".join("[ -b /dev/sd%s ]" % "abcd"[i] for i in range(len(disks)))
        m.run("for i in $(seq 100); do %s && break; sleep 1; done; %s" % (there, there))
        m.run("dd if=/dev/urandom of=/tmp/seed bs=64k count=8 2>/dev/null")
        with_names = ["/tmp/" + "abcd"[i] for i in range(len(disks))]
        for i, where in enumerate(with_names):
            m.run("mkdir -p %s; mount -t ext4 /dev/sd%s %s" % (where, "abcd"[i], where))
        for line in STRESS.splitlines():
            m.send(line + "\n")
        m.run("true")
        jobs = " ".join("stress %s %d %d &" % (where, seconds, i * 1000) for i, where in enumerate(with_names))
        m.run(jobs + " wait", seconds * 3 + 300)
        for where in with_names:
            m.run("(cd %s && find . -type f -exec md5sum {} + >/tmp/sums-%s)" % (where, os.path.basename(where)), 300)
            m.run("umount " + where, 300)
        m.run("echo 3 >/proc/sys/vm/drop_caches")
        for i, where in enumerate(with_names):
            m.run("mount -t ext4 /dev/sd%s %s" % ("abcd"[i], where))
            m.run("(cd %s && md5sum -c /tmp/sums-%s >/tmp/report) || (grep -v OK /tmp/report; false)" % (where, os.path.basename(where)), 600)
            check(int(m.run("wc -l </tmp/sums-%s" % os.path.basename(where)).split()[0]) > 20, "hardly any file was made")
            m.run("umount " + where, 300)
        m.send("poweroff -f\n")
        check(m.wait() == 0, "poweroff: status %s" % m.process.returncode)
    for form, disk in zip(formats, disks):
        look_at(img, form, disk)


def long_formats_qcow_vmdk():
    stress("qcow", "vmdk")


def long_formats_vdi_vpc():
    stress("vdi", "vpc")


def long_formats_parallels_vhdx():
    stress("parallels", "vhdx")


def long_formats_qcow2_bochs():
    stress("qcow2", "bochs")
