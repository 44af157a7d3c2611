/*
 * An interrupt in the midst of REP (SDM Vol. 2, REP): the pushed EIP is the prefix's, ECX, ESI, EDI
 * are exact, and after IRET the instruction goes on: in the end every byte is there.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "apic.h"

enum { VECTOR = 0x41, SIZE = 0x800000, FROM = 0x1000000, TO = 0x2000000 };

CODE32(move, "rep movsb\n cli");

static volatile unsigned interrupts, inside, wrong;

static unsigned on_timer(Frame *f)
{
    interrupts++;
    if (f->ip == (Word)move) {
        inside++;
        Word done = f->si - FROM;
        wrong += f->di - TO != done || f->cx != SIZE - done;
        const volatile uint8_t *from = (uint8_t *)FROM, *to = (uint8_t *)TO;
        wrong += done && to[done - 1] != from[done - 1];
    }
    apic_write(APIC_EOI, 0);
    return 0;
}

void guest_test(void)
{
    if (!need(1, 'd', 9, "APIC"))
        return;
    uint32_t *from = (uint32_t *)FROM;
    for (unsigned i = 0; i < SIZE / 4; i++)
        from[i] = i * 2654435761u;
    apic_enable();
    trap_handlers[VECTOR] = on_timer;
    apic_write(APIC_TIMER_DIVIDE, 0xb); /* by 1 */
    apic_write(APIC_LVT_TIMER, VECTOR | LVT_PERIODIC);
    apic_write(APIC_TIMER_INITIAL, 500000);
    for (unsigned i = 0; i < 200 && inside < 3; i++) {
        memset((void *)TO, 0, SIZE);
        Context c = kernel_context(move);
        c.cx = SIZE;
        c.si = FROM;
        c.di = TO;
        c.flags |= FLAG_IF;
        run(&c);
        if (memcmp((void *)FROM, (void *)TO, SIZE) || c.cx || c.si != FROM + SIZE)
            wrong++;
    }
    apic_write(APIC_LVT_TIMER, LVT_MASKED);
    check("interrupts came", interrupts > 0);
    check("  inside of REP MOVSB", inside > 0);
    check_eq("everything was exact", wrong, 0);
}
