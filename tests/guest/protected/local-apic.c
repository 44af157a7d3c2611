/*
 * The local APIC (SDM Vol. 3, 10.4 to 10.8): IPIs to self, priorities, EOI, timer, spurious vector.
 *   of two pending vectors the higher goes first; a higher one interrupts the handler of a lower
 *     one
 *   TPR holds back vectors of its class and below; PPR is the higher of TPR and what is in service
 *   timer: one-shot counts down once, periodic again and again, TSC-deadline fires when TSC reaches
 *     it
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "apic.h"

enum { LOW = 0x51, HIGH = 0x71, TIMER = 0x41, MSR_TSC_DEADLINE = 0x6e0 };

static unsigned order[8], served;

static unsigned on_interrupt(Frame *f)
{
    if (served < 8)
        order[served] = f->vector;
    served++;
    apic_write(APIC_EOI, 0);
    return 0;
}

/* Sees that interrupts come within half a minute; on a busy host they may be late. */
static bool wait_served(unsigned n)
{
    uint64_t end = rdtsc() + 30000000000ull;
    while (served < n && rdtsc() < end)
        interrupt_window();
    return served >= n;
}

static void priorities(void)
{
    apic_self(LOW);
    apic_self(HIGH);
    check("both are pending", apic_bit(APIC_IRR, LOW) && apic_bit(APIC_IRR, HIGH));
    served = 0;
    interrupt_window();
    interrupt_window();
    check_eq("the higher vector first", order[0], HIGH);
    check_eq("  then the lower", order[1], LOW);
    check_eq("  each once", served, 2);

    served = 0;
    apic_write(APIC_TPR, 0x50);
    apic_self(LOW);
    interrupt_window();
    check_eq("TPR holds its own class back", served, 0);
    apic_self(HIGH);
    interrupt_window();
    check_eq("  a higher class not", served, 1);
    check_eq("  PPR is TPR", apic_read(APIC_PPR) & 0xf0, 0x50);
    apic_write(APIC_TPR, 0x40);
    interrupt_window();
    check_eq("TPR lowered: delivered", served, 2);
    apic_write(APIC_TPR, 0);
}

/* The handler of LOW lets HIGH in; that of HIGH must not let LOW in. */
static unsigned on_low(Frame *f)
{
    order[served++] = f->vector;
    check_eq("  PPR is the vector in service", apic_read(APIC_PPR) & 0xf0, f->vector & 0xf0);
    apic_self(f->vector == LOW ? HIGH : LOW);
    interrupt_window();
    order[served++] = f->vector + 1; /* its end */
    apic_write(APIC_EOI, 0);
    return 0;
}

static void nesting(void)
{
    served = 0;
    trap_handlers[LOW] = on_low;
    apic_self(LOW);
    interrupt_window();
    check_eq("a higher vector interrupts the handler", order[1], HIGH);
    check_eq("  the lower one goes on after EOI", order[2], LOW + 1);
    trap_handlers[LOW] = on_interrupt;
    trap_handlers[HIGH] = on_low;
    served = 0;
    apic_self(HIGH);
    interrupt_window();
    check_eq("a lower vector does not", order[1], HIGH + 1);
    interrupt_window();
    check_eq("  it comes after EOI", order[2], LOW);
    trap_handlers[HIGH] = on_interrupt;
}

static void timer(void)
{
    apic_write(APIC_TIMER_DIVIDE, 3); /* by 16 */
    apic_write(APIC_LVT_TIMER, TIMER);
    served = 0;
    apic_write(APIC_TIMER_INITIAL, 10000);
    check("the timer counts", apic_read(APIC_TIMER_COUNT) <= 10000);
    check("one-shot fires", wait_served(1));
    check_eq("  its vector", order[0], TIMER);
    check_eq("  and stops at 0", apic_read(APIC_TIMER_COUNT), 0);
    apic_write(APIC_LVT_TIMER, TIMER | LVT_PERIODIC);
    served = 0;
    apic_write(APIC_TIMER_INITIAL, 10000);
    check("periodic fires again and again", wait_served(3));
    apic_write(APIC_TIMER_INITIAL, 0);
    apic_write(APIC_LVT_TIMER, TIMER | LVT_MASKED);
    interrupt_window();
    served = 0;
    apic_write(APIC_TIMER_INITIAL, 100);
    while (apic_read(APIC_TIMER_COUNT))
        ;
    interrupt_window();
    check_eq("masked: counts, fires not", served, 0);

    if (!cpu_has(1, 'c', 24)) {
        skip("TSC-deadline", "not in CPUID");
        return;
    }
    apic_write(APIC_LVT_TIMER, TIMER | LVT_DEADLINE);
    served = 0;
    uint64_t deadline = rdtsc() + 1000000;
    wrmsr(MSR_TSC_DEADLINE, deadline);
    check("TSC-deadline fires", wait_served(1));
    check("  not early", rdtsc() >= deadline);
    check_eq("  and disarms", rdmsr(MSR_TSC_DEADLINE), 0);
    wrmsr(MSR_TSC_DEADLINE, 1);
    check("a deadline in the past fires at once", wait_served(2));
}

void guest_test(void)
{
    if (!need(1, 'd', 9, "APIC"))
        return;
    static const uint8_t vectors[] = {LOW, HIGH, TIMER};
    for (unsigned i = 0; i < sizeof(vectors); i++)
        trap_handlers[vectors[i]] = on_interrupt;
    check_eq("APIC base, enabled, BSP", rdmsr(MSR_APIC_BASE) & ~0x400ull, 0xfee00900);
    check_eq("the version register says integrated", apic_read(APIC_VERSION) & 0xf0, 0x10);
    check_eq("LVT entries are masked at reset", apic_read(APIC_LVT_TIMER), LVT_MASKED);
    apic_enable();
    check_eq("ID 0", apic_read(APIC_ID) >> 24, 0);
    priorities();
    nesting();
    timer();
}
