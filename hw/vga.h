/*
 * VGA adapters: the standard VGA with the Bochs display interface, on PCI or ISA.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_VGA_H
#define HW_VGA_H

#include "hw/device.h"
#include "hw/fw_cfg.h"
#include "hw/pci.h"

extern const DeviceClass vga_pci_class; /* "VGA" */
extern const DeviceClass vga_isa_class; /* "isa-vga" */

/* The board's adapter on PCI, at the given place or any free slot (PCI_DEVFN_ANY). */
Device *vga_pci_create(PciBus *bus, int devfn);
/* On a machine without PCI; its BIOS goes to the firmware through fw. */
Device *vga_isa_create(FwCfg *fw, Error **errp);

#endif
