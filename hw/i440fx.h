/*
 * 82441FX (440FX) host bridge.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_I440FX_H
#define HW_I440FX_H

#include "hw/device.h"
#include "hw/memory.h"
#include "hw/pci.h"

extern const DeviceClass i440fx_class;

/*
 * Device 0 on bus. ram: the machine's RAM, whose low part the board shows from address 0; pci_mem:
 * what shows where the bridge sends an access to the PCI bus. The bridge puts PCI in front of RAM
 * where its PAM and SMRAM registers say so, in memory_as and memory_smm_as.
 */
Device *i440fx_create(PciBus *bus, MemoryRegion *ram, MemoryRegion *pci_mem);

#endif
