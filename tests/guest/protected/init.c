/*
 * What resets the CPUs alone: command 0xfe of the 8042, port 0x92 bit 0, a soft reset by port 0xcf9
 * (data sheet 290550, "Reset Control Register": they assert INIT). The CPU starts at the reset
 * vector, also with the A20 gate closed; memory, devices, MSRs, the FPU and the cache bits of CR0
 * stay (SDM Vol. 3, 9.1, table 9-1).
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* resets: yes */
#include "cmos.h"

enum { FIRST = 0xc0, WAYS = 3, PIC_MASK = 0x21, MASK = 0x5a, CONTROL_WORD = 0x0a7f };
#define PAT_VALUE 0x0007040600070401
#define RESET_MACHINE "it resets the machine"

/* What one way left, in memory that starting again leaves alone. */
typedef struct Left {
    uint32_t way, cr0, cr3;
    uint64_t pat;
    uint16_t control;
    uint8_t mask;
} Left;
static volatile Left *const lefts = (volatile Left *)TEST_PA;

static void pulse(unsigned way)
{
    switch (way) {
    case 0:
        outb(0x92, 3);
        break;
    case 1:
        outb(0x92, 0);
        outb(0x64, 0xfe);
        break;
    case 2:
        outb(0xcf9, 0);
        outb(0xcf9, 4);
        break;
    }
    wait_for_reset();
}

static void prepare(unsigned way)
{
    uint16_t control = CONTROL_WORD;

    lefts[way].way = way;
    outb(PIC_MASK, MASK);
    wrmsr(MSR_PAT, PAT_VALUE);
    WRITE_REG("cr0", READ_REG("cr0") & ~(Word)(CR0_CD | CR0_NW));
    asm volatile("fninit\n\tfldcw %0" : : "m"(control));
}

static void note(volatile Left *left)
{
    uint16_t control;

    asm volatile("fnstcw %0" : "=m"(control));
    left->control = control;
    left->mask = inb(PIC_MASK);
    left->pat = rdmsr(MSR_PAT);
    left->cr0 = READ_REG("cr0");
    left->cr3 = READ_REG("cr3");
}

static void check_what_stayed(const char *name, unsigned way)
{
    volatile Left *left = &lefts[way];

    check_eq(name, left->way, way);
    qemu_deviates(RESET_MACHINE);
    check_eq("  a device's register stays", left->mask, MASK);
    qemu_deviates(RESET_MACHINE);
    check_eq("  an MSR stays", left->pat, PAT_VALUE);
    qemu_deviates(RESET_MACHINE);
    check_eq("  CR0: CD and NW stay", left->cr0 & (CR0_CD | CR0_NW), 0);
    check_eq("  CR3 does not", left->cr3, 0);
    qemu_deviates(RESET_MACHINE);
    check_eq("  the FPU's control word stays", left->control, CONTROL_WORD);
}

void guest_test(void)
{
    if (!need(1, 'd', 16, "PAT"))
        return;
    unsigned way = cmos_read(CMOS_SCRATCH) - FIRST;
    if (way < WAYS)
        note(&lefts[way]);
    way = way < WAYS ? way + 1 : 0;
    if (way < WAYS) {
        cmos_write(CMOS_SCRATCH, FIRST + way);
        prepare(way);
        WRITE_REG("cr3", 0x1000);
        pulse(way);
        check("the CPU starts again", false);
        finish();
    }
    cmos_write(CMOS_SCRATCH, 0);
    check_what_stayed("port 0x92", 0);
    check_what_stayed("8042 command 0xfe, A20 off", 1);
    check_what_stayed("port 0xcf9, soft", 2);
}
