/*
 * The ISA bus's interrupt lines, for devices that the user adds with -device.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_ISA_H
#define HW_ISA_H

#include "hw/irq.h"

/*
 * The board names its inputs once: `lines` holds n of them (16, or 24 where an IOAPIC has inputs of
 * its own behind the ISA ones) and outlives the machine.
 */
void isa_set_irqs(IrqLine *lines, unsigned n);
/* Input n (global system interrupt n above 15), or NULL when the board has none such. */
IrqLine *isa_irq(unsigned n);

#endif
