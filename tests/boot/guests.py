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


def initramfs(name, init, flavour=None, modules=()):
    path = os.path.join(BUILD, name + ".img")
    command = ["scripts/mkinitramfs", path, init]
    if modules:
        kernel(flavour)
        command += ["--modules", os.path.join(BUILD, flavour), *modules]
    subprocess.run(command, check=True)
    return path
