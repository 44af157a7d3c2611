/*
 * IA32_APIC_BASE moves the local APIC's page (SDM Vol. 3, 10.4.5): its registers are found at the new
 * place, in front of the RAM there, and no longer at the old one; disabling it uncovers the RAM.
 * Address bits beyond the CPU's physical width are #GP.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "apic.h"

enum { NEW_BASE = TEST_PA, PATTERN = 0x5a5aa5a5, VERSION = 0x30, TPR = 0x80, ENABLED = 0x900 };
#define STAYS "the page stays where it is"

static volatile uint32_t *const moved = (volatile uint32_t *)NEW_BASE;
static volatile uint32_t *const usual = (volatile uint32_t *)0xfee00000;

static void move(uint64_t base)
{
    wrmsr(MSR_APIC_BASE, base);
}

void guest_test(void)
{
    if (!need(1, 'd', 9, "APIC"))
        return;
    uint32_t version = usual[VERSION / 4];

    for (unsigned i = 0; i < 1024; i++)
        moved[i] = PATTERN;
    move(NEW_BASE | ENABLED);
    check_eq("the register says so", rdmsr(MSR_APIC_BASE), NEW_BASE | ENABLED);
    qemu_deviates(STAYS);
    check_eq("registers at the new place", moved[VERSION / 4], version);
    qemu_deviates(STAYS);
    check_eq("none at the old one", usual[VERSION / 4], 0xffffffff);
    moved[TPR / 4] = 0x20;

    move(0xfee00000 | ENABLED);
    qemu_deviates(STAYS);
    check_eq("back again, it keeps its value", usual[TPR / 4], 0x20);
    check_eq("RAM is there again", moved[VERSION / 4], PATTERN);
    qemu_deviates(STAYS);
    check_eq("and was not written", moved[TPR / 4], PATTERN);
    usual[TPR / 4] = 0;

    unsigned width = cpuid(0x80000000, 0).eax >= 0x80000008 ? cpuid(0x80000008, 0).eax & 0xff : 36;
    qemu_deviates("all bits are taken");
    EXPECT("an address beyond the physical width", GP(0), "wrmsr",
           : : "a"(0xfee00000 | ENABLED), "d"(1u << (width - 32)), "c"(MSR_APIC_BASE));
    move(NEW_BASE | ENABLED);
    move(NEW_BASE);
    check_eq("off: RAM", moved[VERSION / 4], PATTERN);
}
