/*
 * A loop whose counters are in memory comes to the same registers and flags round by round; interrupts come between rounds and look at
 * the counters. In the end no round is missing or there twice.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "apic.h"

enum { VECTOR = 0x41, ROUNDS = 40000, PASSES = 20, STEP = 7 };

static volatile uint32_t counters[4];
static volatile unsigned interrupts, outside, back;
static uint32_t seen;

/* TEST with 0: the same flags each time; no register changes. */
CODE32(count, "1: incl (%esi); add %ebx, 4(%esi); xor %ecx, 8(%esi); cmp %edi, (%esi); je 2f; test $0, %al; jz 1b; 2: cli");

static unsigned on_timer(Frame *f)
{
    interrupts++;
    outside += f->si != (Word)counters || f->bx != STEP || f->di != ROUNDS;
    back += counters[0] < seen;
    seen = counters[0];
    counters[3]++;
    apic_write(APIC_EOI, 0);
    return 0;
}

void guest_test(void)
{
    unsigned wrong = 0;

    if (!need(1, 'd', 9, "APIC"))
        return;
    apic_enable();
    trap_handlers[VECTOR] = on_timer;
    apic_write(APIC_TIMER_DIVIDE, 0xb); /* by 1 */
    apic_write(APIC_LVT_TIMER, VECTOR | LVT_PERIODIC);
    apic_write(APIC_TIMER_INITIAL, 60000);
    for (unsigned i = 0; i < PASSES; i++) {
        counters[0] = counters[1] = counters[2] = seen = 0;
        Context c = kernel_context(count);
        c.si = (Word)counters;
        c.bx = STEP;
        c.cx = 0x5a5a5a5a;
        c.di = ROUNDS;
        c.flags |= FLAG_IF;
        run(&c);
        wrong += counters[0] != ROUNDS || counters[1] != ROUNDS * STEP || counters[2] != 0 || c.cx != 0x5a5a5a5a;
    }
    apic_write(APIC_LVT_TIMER, LVT_MASKED);
    check("interrupts came", interrupts > 0);
    check_eq("  each of them was counted", counters[3], interrupts);
    check_eq("  in the loop", outside, 0);
    check_eq("  and saw no round undone", back, 0);
    check_eq("all rounds are there", wrong, 0);
}
