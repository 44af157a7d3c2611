/*
 * A fault while #DF is delivered shuts the CPU down; a PC resets then (SDM Vol. 3, 6.15, #DF). A
 * CMOS byte tells the second run.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* resets: yes */
#include "cmos.h"

enum { MARK = 0xa7 };

void guest_test(void)
{
    if (cmos_read(CMOS_SCRATCH) != MARK) {
        cmos_write(CMOS_SCRATCH, MARK);
        load_idt(0);
        asm volatile("ud2");
    }
    cmos_write(CMOS_SCRATCH, 0);
    check("a triple fault resets the machine", true);
    uint32_t cr0 = READ_REG("cr0");
    check_eq("CR0 came from reset: CD, NW, ET; the boot code set PE", cr0, 0x60000011);
    check_eq("CR4", READ_REG("cr4"), 0);
    check_eq("CR2", READ_REG("cr2"), 0);
    check_eq("CR3", READ_REG("cr3"), 0);
}
