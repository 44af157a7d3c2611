/*
 * HLT (SDM Vol. 2): sleeps until an interrupt while IF = 1, or an NMI; EIP in the handler's frame
 * is behind HLT. With IF = 0 a maskable interrupt does not wake it, an NMI does.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* args: -smp 2 */
#include "second-cpu.h"

enum { VECTOR = 0x61 };

/* EAX is what the second CPU is to do. It is told right before HLT: a host that is busy may do other things before run(). */
CODE32(halt, "movl %eax, command\n hlt\n after_hlt: nop");
CODE32(halt_if, "sti\n movl %eax, command\n hlt\n after_hlt_if: nop\n cli");
extern char after_hlt[], after_hlt_if[];

volatile uint32_t command;
static volatile uint32_t served;

static unsigned on_interrupt(Frame *f)
{
    served++;
    apic_write(APIC_EOI, 0);
    return 0;
}

static void pause_some(void)
{
    uint64_t end = rdtsc() + 100000000;
    while (rdtsc() < end)
        asm volatile("pause");
}

/* The second CPU sends to the first: 1 a fixed interrupt, 2 an NMI, 3 the one, then the other. */
static void sender(void)
{
    for (;;) {
        asm volatile("pause");
        uint32_t c = command;
        if (!c)
            continue;
        command = 0;
        pause_some();
        apic_write(APIC_ICR_HIGH, 0);
        if (c & 1)
            apic_write(APIC_ICR_LOW, ICR_ASSERT | VECTOR);
        pause_some();
        if (c & 2)
            apic_write(APIC_ICR_LOW, ICR_ASSERT | ICR_NMI);
    }
}

static Context sleep(const char *code, uint32_t what)
{
    Context c = kernel_context(code);
    c.ax = what;
    run(&c);
    return c;
}

CODE32(unblock_nmi, "");

void guest_test(void)
{
    if (!need(1, 'd', 9, "APIC"))
        return;
    apic_enable();
    if (!start_second_cpu(sender)) {
        check("the second CPU starts", false);
        return;
    }
    Context c = sleep(halt_if, 1);
    check_context("IF = 1: an interrupt", &c, TRAP(VECTOR, 0));
    check_eq("  EIP", c.ip, (Word)after_hlt_if);
    apic_write(APIC_EOI, 0);
    c = sleep(halt, 2);
    check_context("IF = 0: an NMI", &c, NMI);
    check_eq("  EIP", c.ip, (Word)after_hlt);
    c = user_context(unblock_nmi); /* by its IRET */
    run(&c);
    c = sleep(halt, 3);
    check_context("IF = 0: an interrupt, then an NMI", &c, NMI);
    check("  the interrupt is pending", apic_bit(APIC_IRR, VECTOR));
    c = user_context(unblock_nmi);
    run(&c);
    trap_handlers[VECTOR] = on_interrupt;
    interrupt_window();
    check_eq("  and comes with IF = 1", served, 1);
}
