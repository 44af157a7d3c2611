/*
 * CR8 is the APIC's task priority (SDM Vol. 3, 10.8.6): CR8 = TPR[7:4]; a reserved bit is #GP(0).
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "apic.h"

enum { VECTOR = 0x61 };

static unsigned served;

static unsigned on_interrupt(Frame *f)
{
    served++;
    apic_write(APIC_EOI, 0);
    return 0;
}

void guest_test(void)
{
    apic_enable();
    trap_handlers[VECTOR] = on_interrupt;
    check_eq("CR8 at reset", READ_REG("cr8"), 0);
    WRITE_REG("cr8", 6);
    check_eq("CR8 is seen in TPR", apic_read(APIC_TPR), 0x60);
    apic_self(VECTOR);
    interrupt_window();
    check_eq("vector 0x61 is held back by 6", served, 0);
    WRITE_REG("cr8", 5);
    interrupt_window();
    check_eq("  not by 5", served, 1);
    apic_write(APIC_TPR, 0x93);
    check_eq("TPR is seen in CR8", READ_REG("cr8"), 9);
    qemu_deviates("reserved bits of CR8 are dropped");
    EXPECT("CR8 = 16", GP(0), "mov %0, %%cr8", : : "r"(16ul));
}
