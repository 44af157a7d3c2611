/*
 * The ways a PC resets itself (data sheets 82371: port 0xcf9; 8042: command 0xfe; port 0x92 bit 0):
 * the CPU starts again at the reset vector. A CMOS byte counts the runs.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* resets: yes */
#include "guest.h"

enum { CMOS_SCRATCH = 0x7e, FIRST = 0xb0 };

static uint8_t cmos_read(void)
{
    outb(0x70, CMOS_SCRATCH);
    return inb(0x71);
}

static void cmos_write(uint8_t value)
{
    outb(0x70, CMOS_SCRATCH);
    outb(0x71, value);
}

static void wait(void)
{
    uint64_t end = rdtsc() + 1000000000;
    while (rdtsc() < end)
        asm volatile("pause");
}

void guest_test(void)
{
    if (!need(1, 'd', 4, "TSC"))
        return;
    uint8_t step = cmos_read();
    if (step < FIRST || step > FIRST + 3)
        step = FIRST;
    cmos_write(step + 1);
    switch (step - FIRST) {
    case 0:
        outb(0x92, 3);
        wait();
        check("port 0x92", false);
        finish();
    case 1:
        outb(0x64, 0xfe);
        wait();
        check("8042 command 0xfe", false);
        finish();
    case 2:
        outb(0xcf9, 2);
        outb(0xcf9, 6);
        wait();
        check("port 0xcf9", false);
        finish();
    }
    cmos_write(0);
    check("port 0x92 resets", true);
    check("8042 command 0xfe resets", true);
    check("port 0xcf9 resets", true);
}
