"""memtest86+ from the Debian package, both builds, by -kernel, in 16 MB: no error in its first tests."""
# SPDX-License-Identifier: GPL-2.0-or-later
import re
import time

from test_firmware import wait_for_screen
from vm import Machine, check


def memtest(image, *args):
    with Machine("-m", "16", "-kernel", image, *args, serial=False, monitor=True) as m:
        wait_for_screen(m, "Memtest86+")
        end = time.monotonic() + 900
        while True:
            screen = wait_for_screen(m, "Errors")
            errors = re.search(r"Errors: *(\d+)", screen)  # not there before the tests start
            test = re.search(r"Test #(\d+)", screen)
            check(not errors or errors.group(1) == "0", "memtest86+ found errors:\n" + screen)
            if errors and test and int(test.group(1)) >= 3:
                return
            check(time.monotonic() < end, "memtest86+ does not get on:\n" + screen)
            time.sleep(1)


def test_memtest_ia32():
    memtest("/boot/memtest86+ia32.bin", "-cpu", "pentium3")


def test_memtest_x64():
    memtest("/boot/memtest86+x64.bin")
