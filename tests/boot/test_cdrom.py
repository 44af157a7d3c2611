"""The CD-ROM: SeaBIOS boots El Torito from it (memtest86+'s disc), Linux reads it through ATAPI DMA."""
# SPDX-License-Identifier: GPL-2.0-or-later
import hashlib
import os
import random

from test_firmware import BUILD, wait_for_screen
from test_linux import INIT, guests
from vm import Machine, check

ISO = "/usr/lib/memtest86+/memtest86+ia32.iso"


def test_cdrom_boots_el_torito():
    with Machine("-m", "32", "-cdrom", ISO, "-boot", "d", monitor=True) as m:
        wait_for_screen(m, "Memtest86+", 300)
        m.monitor("quit")
        check(m.wait() == 0, "quit: status %s" % m.process.returncode)


def test_cdrom_in_linux():
    os.makedirs(BUILD, exist_ok=True)
    path = os.path.join(BUILD, "data.iso")
    data = random.Random(5).randbytes(3 << 20)
    with open(path, "wb") as f:
        f.write(data)
    initrd = guests.initramfs("cdrom", INIT, "amd64", ["ata_piix", "sr_mod"])
    with Machine("-m", "256", "-kernel", guests.kernel("amd64"), "-initrd", initrd, "-append",
                 "console=ttyS0 quiet", "-drive", "file=%s,media=cdrom" % path) as m:
        m.wait_for_shell()
        m.run("for i in $(seq 100); do [ -b /dev/sr0 ] && break; sleep 1; done; [ -b /dev/sr0 ]")
        got = m.run("md5sum </dev/sr0").split()[0]
        check(got == hashlib.md5(data).hexdigest(), "read %s" % got)
        check("-1" in m.run("dd if=/dev/zero of=/dev/sr0 bs=2048 count=1 2>/dev/null || echo -1"), "it can be written")
