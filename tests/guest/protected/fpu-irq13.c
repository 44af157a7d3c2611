/*
 * x87 errors the PC way (SDM Vol. 1, 8.7.2): with CR0.NE = 0 an unmasked exception asserts FERR,
 * which a PC takes to IRQ 13; the handler writes port 0xf0 to take the request away.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* not on QEMU: FERR makes it abort */
#include "apic.h"

static unsigned interrupts;

static unsigned on_irq13(Frame *f)
{
    interrupts++;
    outb(0xf0, 0); /* clears IGNNE's latch and the request */
    outb(0xa0, 0x20);
    outb(0x20, 0x20);
    asm volatile("fnclex");
    return 0;
}

static const float one = 1, zero = 0;

void guest_test(void)
{
    if (!need(1, 'd', 9, "APIC"))
        return;
    WRITE_REG("cr0", READ_REG("cr0") & ~(Word)CR0_NE);
    apic_write(APIC_SVR, 0x1ff);
    apic_write(APIC_LVT_LINT0, 0x700);
    static const uint8_t init[][2] = {{0x20, 0x11}, {0x21, 0x40}, {0x21, 4},    {0x21, 1},
                                      {0xa0, 0x11}, {0xa1, 0x48}, {0xa1, 2},    {0xa1, 1},
                                      {0x21, 0xfb}, {0xa1, 0xdf}};
    for (unsigned i = 0; i < sizeof(init) / 2; i++)
        outb(init[i][0], init[i][1]);
    trap_handlers[0x48 + 5] = on_irq13;
    static const uint16_t zero_divide_only = 0x37b;
    asm volatile("fninit; fldcw %0; flds %1; fdivs %2" : :
                 "m"(zero_divide_only), "m"(one), "m"(zero));
    interrupt_window();
    for (unsigned i = 0; i < 2 && !interrupts; i++) {
        /* The pin is asserted by the next waiting instruction at the latest. */
        asm volatile("sti; fwait; nop; cli" : : : "memory");
        interrupt_window();
    }
    check_eq("NE = 0: IRQ 13", interrupts, 1);
    uint16_t status;
    asm volatile("fnstsw %0" : "=m"(status));
    check_eq("  cleared by the handler", status & 0x80ff, 0);
}
