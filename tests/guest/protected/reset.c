/*
 * The ways a PC resets itself (data sheets 82371: port 0xcf9; 8042: command 0xfe; port 0x92 bit 0):
 * the CPU starts again at the reset vector. A CMOS byte counts the runs.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* resets: yes */
#include "cmos.h"

enum { FIRST = 0xb0 };

void guest_test(void)
{
    if (!need(1, 'd', 4, "TSC"))
        return;
    uint8_t step = cmos_read(CMOS_SCRATCH);
    if (step < FIRST || step > FIRST + 3)
        step = FIRST;
    cmos_write(CMOS_SCRATCH, step + 1);
    switch (step - FIRST) {
    case 0:
        outb(0x92, 3);
        wait_for_reset();
        check("port 0x92", false);
        finish();
    case 1:
        outb(0x64, 0xfe);
        wait_for_reset();
        check("8042 command 0xfe", false);
        finish();
    case 2:
        outb(0xcf9, 2);
        outb(0xcf9, 6);
        wait_for_reset();
        check("port 0xcf9", false);
        finish();
    }
    cmos_write(CMOS_SCRATCH, 0);
    check("port 0x92 resets", true);
    check("8042 command 0xfe resets", true);
    check("port 0xcf9 resets", true);
}
