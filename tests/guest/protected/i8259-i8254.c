/*
 * IRQ 0 by way of the 8254's counter 0 and the 8259 pair, delivered through LINT0 as ExtINT, the
 * way a PC starts (8259A and 8254 data sheets). HLT with IF set sleeps until it comes.
 *   vector = ICW2 + line; in service until EOI; IMR holds it back; automatic EOI
 *   a request that vanishes before INTA gives the spurious vector 7
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "apic.h"

enum { PIC1 = 0x20, PIC1_DATA = 0x21, PIC2 = 0xa0, PIC2_DATA = 0xa1, BASE = 0x40, EOI = 0x20 };
enum { PIT_COUNTER0 = 0x40, PIT_CONTROL = 0x43 };

static unsigned served;
static bool send_eoi;

static unsigned on_irq0(Frame *f)
{
    served++;
    if (send_eoi)
        outb(PIC1, EOI);
    return 0;
}

static void init_pics(unsigned icw4)
{
    outb(PIC1, 0x11);
    outb(PIC1_DATA, BASE);
    outb(PIC1_DATA, 4);
    outb(PIC1_DATA, icw4);
    outb(PIC2, 0x11);
    outb(PIC2_DATA, BASE + 8);
    outb(PIC2_DATA, 2);
    outb(PIC2_DATA, 1);
    outb(PIC1_DATA, 0xfe);
    outb(PIC2_DATA, 0xff);
}

static void start_timer(unsigned mode, unsigned count)
{
    outb(PIT_CONTROL, 0x30 | mode << 1);
    outb(PIT_COUNTER0, count & 0xff);
    outb(PIT_COUNTER0, count >> 8);
}

static unsigned in_service(void)
{
    outb(PIC1, 0x0b);
    return inb(PIC1);
}

static unsigned requested(void)
{
    outb(PIC1, 0x0a);
    return inb(PIC1);
}

void guest_test(void)
{
    if (!need(1, 'd', 9, "APIC"))
        return;
    apic_write(APIC_SVR, 0x1ff);
    apic_write(APIC_LVT_LINT0, 0x700); /* ExtINT */
    trap_handlers[BASE] = on_irq0;
    init_pics(1);

    send_eoi = false;
    start_timer(0, 0x400); /* interrupt on terminal count */
    asm volatile("sti; hlt; cli" : : : "memory");
    check_eq("IRQ 0 wakes HLT", served, 1);
    check_eq("  in service", in_service(), 1);
    start_timer(0, 0x100);
    while (!(requested() & 1))
        ;
    interrupt_window();
    check_eq("no second one before EOI", served, 1);
    outb(PIC1, EOI);
    check_eq("EOI", in_service(), 0);
    interrupt_window();
    check_eq("  then the next", served, 2);
    outb(PIC1, EOI);

    outb(PIC1_DATA, 0xff);
    start_timer(0, 0x100);
    while (!(requested() & 1))
        ;
    interrupt_window();
    check_eq("masked: pending only", served, 2);
    outb(PIC1_DATA, 0xfe);
    interrupt_window();
    check_eq("unmasked: delivered", served, 3);
    outb(PIC1, EOI);

    send_eoi = true;
    served = 0;
    start_timer(2, 1193); /* rate generator, 1 kHz */
    uint64_t end = rdtsc() + 30000000000ull;
    while (served < 5 && rdtsc() < end)
        asm volatile("sti; hlt; cli" : : : "memory");
    check("a rate of IRQ 0", served >= 5);
    start_timer(0, 0);

    init_pics(3); /* automatic EOI */
    send_eoi = false;
    served = 0;
    start_timer(0, 0x100);
    asm volatile("sti; hlt; cli" : : : "memory");
    check_eq("automatic EOI: delivered", served, 1);
    check_eq("  nothing in service", in_service(), 0);
}
