/*
 * The I/O APIC (82093AA data sheet): the 8254 at pin 2, edge triggered, to the local APIC; mask; a
 * masked edge is lost, unlike a level.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "apic.h"

enum { IOAPIC_ID = 0, IOAPIC_VERSION = 1, VECTOR = 0x52, PIN = 2, MASKED = 1 << 16 };

static volatile unsigned served;

static uint32_t ioapic_read(unsigned reg)
{
    *(volatile uint32_t *)0xfec00000 = reg;
    return *(volatile uint32_t *)0xfec00010;
}

static void ioapic_write(unsigned reg, uint32_t value)
{
    *(volatile uint32_t *)0xfec00000 = reg;
    *(volatile uint32_t *)0xfec00010 = value;
}

static void set_pin(uint32_t low)
{
    ioapic_write(0x11 + 2 * PIN, 0); /* to APIC ID 0 */
    ioapic_write(0x10 + 2 * PIN, low);
}

static unsigned on_interrupt(Frame *f)
{
    served++;
    apic_write(APIC_EOI, 0);
    return 0;
}

static void start_timer(unsigned mode, unsigned count)
{
    outb(0x43, 0x30 | mode << 1);
    outb(0x40, count & 0xff);
    outb(0x40, count >> 8);
}

/* Waits some 8254 ticks while interrupts may come. */
static void wait(void)
{
    uint64_t end = rdtsc() + 100000000;
    while (rdtsc() < end)
        interrupt_window();
}

/* Half a minute at most: a busy host is late. */
static void wait_served(unsigned n)
{
    uint64_t end = rdtsc() + 30000000000ull;
    while (served < n && rdtsc() < end)
        interrupt_window();
}

/* Counter 0 is at its terminal count: its output, bit 7 of the status that read-back latches, is high. */
static void wait_output(void)
{
    uint64_t end = rdtsc() + 30000000000ull;
    do
        outb(0x43, 0xe2);
    while (!(inb(0x40) & 0x80) && rdtsc() < end);
}

void guest_test(void)
{
    if (!need(1, 'd', 9, "APIC"))
        return;
    apic_enable();
    trap_handlers[VECTOR] = on_interrupt;
    check_eq("24 pins", ioapic_read(IOAPIC_VERSION) >> 16 & 0xff, 23);
    check_eq("pins are masked at reset", ioapic_read(0x10 + 2 * PIN) & MASKED, MASKED);
    ioapic_write(IOAPIC_ID, 0x05000000);
    check_eq("the ID reads back", ioapic_read(IOAPIC_ID) >> 24 & 15, 5);

    set_pin(VECTOR);
    check_eq("the redirection entry reads back", ioapic_read(0x10 + 2 * PIN) & 0x1afff, VECTOR);
    start_timer(0, 0x400);
    wait_served(1);
    check_eq("IRQ 0 at pin 2", served, 1);
    wait();
    check_eq("  one edge, one interrupt", served, 1);
    set_pin(VECTOR | MASKED);
    start_timer(0, 0x400);
    wait_output();
    wait();
    check_eq("masked", served, 1);
    set_pin(VECTOR);
    start_timer(0, 0x400);
    wait_served(2);
    check_eq("unmasked, the next edge", served, 2);
    start_timer(2, 1193);
    wait_served(5);
    check("a rate", served > 4);
}
