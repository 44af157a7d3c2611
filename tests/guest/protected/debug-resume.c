/*
 * RF (SDM Vol. 3, 17.3.1.1): a handler that returns from an instruction breakpoint with RF set in
 * the frame runs that instruction once without #DB; RF is cleared by it, so that a loop hits again.
 * A fault of that instruction has RF in its frame. POPF cannot set RF. The breakpoint compares
 * linear addresses: the segment's base counts.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* not on QEMU: it crashes with a breakpoint in a segment that has a base */
#include "guest.h"

CODE32(loop, "movl $5, %ecx\n here: incl %eax\n loop here");
CODE32(touch, "here2: movl 0x50000000, %eax");
CODE32(pop_rf, "pushl $0x10002\n popfl\n here3: nop");
CODE32(rep, "here4: rep movsb");
CODE32(based, "nop\n nop");
extern char here[], here2[], here3[];

static volatile unsigned hits;

static unsigned on_debug(Frame *f)
{
    hits++;
    f->flags |= FLAG_RF;
    return 0;
}

static void breakpoint(const char *at)
{
    WRITE_REG("dr6", 0xffff0ff0);
    WRITE_REG("dr0", (Word)at);
    WRITE_REG("dr7", 0x401);
    hits = 0;
}

void guest_test(void)
{
    trap_handlers[1] = on_debug;
    breakpoint(here);
    Context c = kernel_context(loop);
    c.ax = 0;
    run(&c);
    check_context("a breakpoint in a loop", &c, DONE);
    check_eq("  hits each time", hits, 5);
    check_eq("  every INC is done once", c.ax, 5);

    paging_on(PAGING_32BIT);
    breakpoint(here2);
    c = kernel_context(touch);
    run(&c);
    check_context("a fault behind a breakpoint", &c, PF(0));
    check_eq("  one hit", hits, 1);
    check_eq("  RF in the fault's frame", c.flags & FLAG_RF, FLAG_RF);
    paging_off();

    breakpoint(here3);
    c = kernel_context(pop_rf);
    run(&c);
    check_context("POPF with RF", &c, DONE);
    check_eq("  the breakpoint hits", hits, 1);

    static uint8_t from[8], to[8];
    breakpoint(rep);
    c = kernel_context(rep);
    c.cx = 8;
    c.si = (Word)from;
    c.di = (Word)to;
    run(&c);
    check_context("REP", &c, DONE);
    check_eq("  hits before the first iteration only", hits, 1);

    set_gdt(SEL_FREE, segment((Word)based - 0x100, 0xfff, TYPE_CODE, SEG_D));
    breakpoint(based + 1);
    c = kernel_context(0);
    c.cs = SEL_FREE;
    c.ip = 0x100;
    run(&c);
    check_context("code in a segment with a base", &c, DONE);
    check_eq("  one hit", hits, 1);
    WRITE_REG("dr7", 0x400);
}
