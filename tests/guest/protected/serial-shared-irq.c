/*
 * COM1 and COM3 share IRQ 4, COM2 and COM4 IRQ 3: the line is high while either port asks, so one
 * that is served does not take back the other's request (16550A data sheet: INTRPT; 8259A, level
 * mode: IRR shows the inputs).
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* args: -serial null -serial null -serial null -serial null */
#include "guest.h"

enum { THR = 0, IER = 1, IIR = 2, MCR = 4, OUT2 = 8, ETBEI = 2, IIR_THRI = 2, IIR_NONE = 1 };
enum { PIC1 = 0x20, PIC1_DATA = 0x21, ELCR = 0x4d0 };
#define LAST_WRITER "the last port that drives the line wins"

static void init_pic(void)
{
    outb(PIC1, 0x11);
    outb(PIC1_DATA, 0x40);
    outb(PIC1_DATA, 4);
    outb(PIC1_DATA, 1);
    outb(PIC1_DATA, 0xff);
    outb(ELCR, 1 << 3 | 1 << 4);
}

static bool requested(unsigned irq)
{
    outb(PIC1, 0x0a);
    return inb(PIC1) >> irq & 1;
}

/* The holding register is empty: enabling its interrupt asks at once. */
static void ask(uint16_t port)
{
    outb(port + MCR, OUT2);
    outb(port + IER, ETBEI);
}

/* Reading IIR takes the request back. */
static unsigned serve(uint16_t port)
{
    return inb(port + IIR) & 0x0f;
}

static void share(const char *name, uint16_t first, uint16_t second, unsigned irq)
{
    init_pic();
    check(name, !requested(irq));
    ask(first);
    check("  the first asks", requested(irq));
    ask(second);
    check_eq("  the second is served", serve(second), IIR_THRI);
    check_eq("  and has no more", serve(second), IIR_NONE);
    qemu_deviates(LAST_WRITER);
    check("  the first still asks", requested(irq));
    ask(second);
    outb(second + IER, 0);
    outb(second + IER, ETBEI);
    check_eq("  the first is served", serve(first), IIR_THRI);
    qemu_deviates(LAST_WRITER);
    check("  the second still asks", requested(irq));
    check_eq("  the second is served", serve(second), IIR_THRI);
    check("  nobody asks", !requested(irq));
    ask(first);
    outb(first + IER, 0);
    outb(first + IER, ETBEI);
    outb(second + MCR, 0);
    check("  OUT2 of the second off", requested(irq));
    outb(first + MCR, 0);
    qemu_deviates("OUT2 does not gate the line");
    check("  OUT2 of both off", !requested(irq));
}

void guest_test(void)
{
    share("COM1 and COM3", 0x3f8, 0x3e8, 4);
    share("COM2 and COM4", 0x2f8, 0x2e8, 3);
}
