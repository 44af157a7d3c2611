/*
 * The A20 gate at port 0x92, bit 1: while it is clear, address bit 20 is 0 for everything the CPU
 * does. Bit 0 would reset the machine and stays clear here.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

static void a20(bool on)
{
    outb(0x92, on ? 2 : 0);
}

CODE16(beyond_1m, "movl %ds:(%bx), %eax");

void guest_test(void)
{
    volatile uint32_t *low = (uint32_t *)0x1000, *high = (uint32_t *)0x101000;
    volatile uint32_t *odd = (uint32_t *)0x301000, *even = (uint32_t *)0x201000;
    a20(true);
    *low = 1;
    *high = 2;
    *even = 3;
    *odd = 4;
    check_eq("A20 on: 1 MB is not 0", *low, 1);
    check_eq("port 92 reads back", inb(0x92) & 2, 2);
    Context c = real_context(beyond_1m);
    c.ds = 0xffff;
    c.bx = 0x1010;
    run_real(&c);
    check_eq("real mode reaches beyond 1 MB", c.ax, 2);

    a20(false);
    check_eq("port 92 reads back", inb(0x92) & 2, 0);
    check_eq("A20 off: 1 MB is 0", *high, 1);
    check_eq("3 MB is 2 MB", *odd, 3);
    c = real_context(beyond_1m);
    c.ds = 0xffff;
    c.bx = 0x1010;
    run_real(&c);
    check_eq("real mode wraps at 1 MB", c.ax, 1);
    *high = 5;
    a20(true);
    check_eq("the write went to 0", *low, 5);
    check_eq("1 MB is as it was", *high, 2);
}
