/*
 * 82371SB (PIIX3) PCI-to-ISA bridge.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_PIIX3_H
#define HW_PIIX3_H

#include "hw/device.h"
#include "hw/irq.h"
#include "hw/pci.h"

extern const DeviceClass piix3_class;

#define ISA_IRQS 16

/*
 * Function 0 at devfn; routes the bus' interrupts and has the reset control register at port 0xCF9.
 * irqs[n] (may be NULL) gets IRQ n: the OR of the ISA devices and of the PCI interrupts routed to
 * it.
 */
Device *piix3_create(PciBus *bus, int devfn, IrqLine *const irqs[ISA_IRQS]);
/* What an ISA device drives for IRQ n. */
IrqLine *piix3_isa_irq(Device *dev, unsigned n);

#endif
