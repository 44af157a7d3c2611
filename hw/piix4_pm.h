/*
 * 82371AB (PIIX4) power management function.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_PIIX4_PM_H
#define HW_PIIX4_PM_H

#include "hw/device.h"
#include "hw/irq.h"
#include "hw/pci.h"

extern const DeviceClass piix4_pm_class;

/* sci: level, IRQ 9. smi: pulsed, CPU 0's SMI. Also becomes the machine's power button. */
Device *piix4_pm_create(PciBus *bus, int devfn, IrqLine *sci, IrqLine *smi);

#endif
