/*
 * The local APIC as the guest tests use it: registers by their offsets in SDM Vol. 3, table 10-1.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef APIC_H
#define APIC_H

#include "guest.h"

enum {
    APIC_ID = 0x20,
    APIC_VERSION = 0x30,
    APIC_TPR = 0x80,
    APIC_PPR = 0xa0,
    APIC_EOI = 0xb0,
    APIC_SVR = 0xf0,
    APIC_ISR = 0x100,
    APIC_IRR = 0x200,
    APIC_ESR = 0x280,
    APIC_ICR_LOW = 0x300,
    APIC_ICR_HIGH = 0x310,
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360,
    APIC_LVT_ERROR = 0x370,
    APIC_TIMER_INITIAL = 0x380,
    APIC_TIMER_COUNT = 0x390,
    APIC_TIMER_DIVIDE = 0x3e0,

    ICR_NMI = 0x400,
    ICR_INIT = 0x500,
    ICR_STARTUP = 0x600,
    ICR_PENDING = 0x1000,
    ICR_ASSERT = 0x4000,
    ICR_SELF = 0x40000,
    ICR_ALL = 0x80000,
    ICR_OTHERS = 0xc0000,

    LVT_MASKED = 0x10000,
    LVT_PERIODIC = 0x20000,
    LVT_DEADLINE = 0x40000,
};

static inline uint32_t apic_read(unsigned reg)
{
    return *(volatile uint32_t *)(0xfee00000 + (Word)reg);
}

static inline void apic_write(unsigned reg, uint32_t value)
{
    *(volatile uint32_t *)(0xfee00000 + (Word)reg) = value;
}

static inline bool apic_bit(unsigned bank, unsigned vector)
{
    return apic_read(bank + vector / 32 * 16) >> vector % 32 & 1;
}

/* Lets pending interrupts in. PAUSE keeps the window open long enough for any emulator. */
static inline void interrupt_window(void)
{
    asm volatile("sti; nop; pause; pause; cli" : : : "memory");
}

/* Software-enabled, spurious vector 0xff, both 8259s masked. */
static inline void apic_enable(void)
{
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    apic_write(APIC_SVR, 0x1ff);
    apic_write(APIC_TPR, 0);
}

static inline void apic_self(unsigned command)
{
    apic_write(APIC_ICR_LOW, ICR_SELF | ICR_ASSERT | command);
}

#endif
