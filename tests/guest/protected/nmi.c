/*
 * NMI (SDM Vol. 3, 6.7): vector 2, whatever IF says; a second one waits until the next IRET, also
 * one that faults or that returns from something else. Sent by an
 * IPI to the APIC ID of the only CPU (the shorthand "self" takes fixed interrupts only).
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "apic.h"

static volatile unsigned count, nested, depth, most;

static void send_nmi(void)
{
    apic_write(APIC_ICR_HIGH, 0);
    apic_write(APIC_ICR_LOW, ICR_ASSERT | ICR_NMI);
}

static unsigned on_nmi(Frame *f)
{
    count++;
    depth++;
    if (depth > most)
        most = depth;
    if (nested) {
        nested--;
        send_nmi();
        for (volatile int i = 0; i < 1000; i++)
            ;
    }
    depth--;
    return 0;
}

CODE32(send, "movl $0x4400, 0xfee00300\n 1: jmp 1b");
CODE32(wait, "hlt");

void guest_test(void)
{
    if (!need(1, 'd', 9, "APIC"))
        return;
    apic_enable();
    trap_handlers[2] = on_nmi;
    send_nmi();
    for (volatile int i = 0; i < 1000; i++)
        ;
    check_eq("NMI with IF = 0", count, 1);

    count = 0;
    nested = 1;
    send_nmi();
    for (volatile int i = 0; i < 1000; i++)
        ;
    check_eq("one that comes inside is delivered", count, 2);
    check_eq("  after IRET", most, 1);

    trap_handlers[2] = NULL;
    Context c = kernel_context(send);
    run(&c);
    check_context("the handler's frame", &c, NMI);
    check_eq("  EIP behind the write", c.ip - (Word)send, 10);

    /* run() left the handler without IRET: NMIs are blocked until one. */
    trap_handlers[2] = on_nmi;
    count = 0;
    send_nmi();
    for (volatile int i = 0; i < 1000; i++)
        ;
    check_eq("blocked while the handler runs", count, 0);
    c = user_context(wait); /* IRET to CPL 3, where HLT is #GP */
    run(&c);
    check_eq("IRET ends that", count, 1);
}
