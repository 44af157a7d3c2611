"""What the boot tests start: Debian's kernels, initramfs images made on the spot, disks."""
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import subprocess

BUILD = "build/guests"


def kernel(flavour):
    """Path of vmlinuz; flavour is amd64, 686 or 686-pae."""
    os.makedirs(BUILD, exist_ok=True)
    out = subprocess.run(["scripts/guest-kernel", flavour, os.path.join(BUILD, flavour)], check=True,
                         stdout=subprocess.PIPE)
    return out.stdout.decode().strip()


def initramfs(name, init, flavour="amd64", modules=(), files=()):
    """An initramfs with busybox for the kernel's flavour; the init script loads modules; files are PATH=SOURCE."""
    path = os.path.join(BUILD, "%s-%s.img" % (name, flavour))
    command = ["scripts/mkinitramfs", path, init]
    if flavour != "amd64":
        package = os.path.join(BUILD, "busybox-i386")
        if not os.path.exists(package + "/bin/busybox"):
            subprocess.run(["scripts/debian-package", "i386", "busybox-static", package], check=True)
        command += ["--busybox", package + "/bin/busybox"]
    if modules:
        kernel(flavour)
        command += ["--modules", os.path.join(BUILD, flavour), *modules]
    for item in files:
        command += ["--file", item]
    subprocess.run(command, check=True)
    return path
