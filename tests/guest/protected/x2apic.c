/*
 * x2APIC mode (SDM Vol. 3, 10.12): registers are MSRs 0x800 + offset / 16; ICR is one 64-bit MSR;
 * self-IPI has its own; memory-mapped access is gone. From xAPIC by APIC_BASE bit 10; back only by
 * way of disabled. Reserved bits and registers: #GP(0).
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "apic.h"

enum { X2_ID = 0x802, X2_TPR = 0x808, X2_EOI = 0x80b, X2_SVR = 0x80f };
enum { X2_ICR = 0x830, X2_SELF = 0x83f };
enum { VECTOR = 0x61 };

static unsigned served;

static unsigned on_interrupt(Frame *f)
{
    served++;
    wrmsr(X2_EOI, 0);
    return 0;
}

static void refuse(const char *name, uint32_t msr, uint64_t value)
{
    EXPECT(name, GP(0), "wrmsr", : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

void guest_test(void)
{
    if (!need(1, 'd', 9, "APIC"))
        return;
    qemu_deviates("an unknown MSR reads as 0");
    EXPECT("x2APIC MSRs in xAPIC mode", GP(0), "rdmsr", : : "c"(X2_ID) : "eax", "edx");
    if (!cpu_has(1, 'c', 21)) {
        qemu_deviates("reserved bits of APIC_BASE are dropped");
        refuse("x2APIC mode without x2APIC", MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 0x400);
        return;
    }
    trap_handlers[VECTOR] = on_interrupt;
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 0x400);
    check_eq("the mode is on", rdmsr(MSR_APIC_BASE) & 0xc00, 0xc00);
    check_eq("the ID is 32 bits wide", rdmsr(X2_ID), 0);
    wrmsr(X2_SVR, 0x1ff);
    check_eq("SVR", rdmsr(X2_SVR), 0x1ff);
    wrmsr(X2_ICR, ICR_SELF | ICR_ASSERT | VECTOR);
    interrupt_window();
    check_eq("an IPI to self by ICR", served, 1);
    wrmsr(X2_SELF, VECTOR);
    interrupt_window();
    check_eq("an IPI by SELF_IPI", served, 2);
    refuse("EOI other than 0", X2_EOI, 1);
    refuse("the ID is read-only", X2_ID, 0);
    refuse("TPR, a reserved bit", X2_TPR, 0x100);
    EXPECT("EOI is write-only", GP(0), "rdmsr", : : "c"(X2_EOI) : "eax", "edx");
    EXPECT("a register that is not there", GP(0), "rdmsr", : : "c"(0x831) : "eax", "edx");
    refuse("back to xAPIC at once", MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~0x400ull);
}
