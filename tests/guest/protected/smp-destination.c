/*
 * Destinations of IPIs (SDM Vol. 3, 10.6.2): physical ID; logical in the flat model, a bit a CPU;
 * broadcast 0xff. Each CPU counts what it gets.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* args: -smp 2 */
#include "second-cpu.h"

enum { VECTOR = 0x66, APIC_LDR = 0xd0, APIC_DFR = 0xe0, ICR_LOGICAL = 0x800 };

static volatile uint32_t counts[2], second_ready;

static unsigned on_interrupt(Frame *f)
{
    counts[apic_read(APIC_ID) >> 24]++;
    apic_write(APIC_EOI, 0);
    return 0;
}

static void set_logical(unsigned bits)
{
    apic_write(APIC_DFR, 0xffffffff); /* flat */
    apic_write(APIC_LDR, bits << 24);
}

static void second(void)
{
    set_logical(2);
    second_ready = 1;
    for (;;)
        interrupt_window();
}

static void expect(const char *name, uint32_t destination, uint32_t mode, uint32_t first,
                   uint32_t other)
{
    counts[0] = counts[1] = 0;
    apic_write(APIC_ICR_HIGH, destination << 24);
    apic_write(APIC_ICR_LOW, ICR_ASSERT | mode | VECTOR);
    /* Those that are to come, however busy the host is, and a while for those that are not. */
    uint64_t end = rdtsc() + 30000000000ull;
    while ((counts[0] < first || counts[1] < other) && rdtsc() < end)
        interrupt_window();
    end = rdtsc() + 30000000;
    while (rdtsc() < end)
        interrupt_window();
    check_eq(name, counts[0] << 4 | counts[1], first << 4 | other);
}

void guest_test(void)
{
    if (!need(1, 'd', 9, "APIC"))
        return;
    apic_enable();
    trap_handlers[VECTOR] = on_interrupt;
    set_logical(1);
    check("the second CPU starts", start_second_cpu(second));
    check("  and is ready", wait_until(&second_ready, 1));
    expect("physical 0", 0, 0, 1, 0);
    expect("physical 1", 1, 0, 0, 1);
    expect("physical 0xff: all", 0xff, 0, 1, 1);
    expect("logical 1", 1, ICR_LOGICAL, 1, 0);
    expect("logical 2", 2, ICR_LOGICAL, 0, 1);
    expect("logical 3: both", 3, ICR_LOGICAL, 1, 1);
    expect("logical 4: none", 4, ICR_LOGICAL, 0, 0);
}
