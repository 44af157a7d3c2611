/*
 * Every device class there is. A new device adds its class here and in the table of hw/devices.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_DEVICES_H
#define HW_DEVICES_H

#include "hw/device.h"

extern const DeviceClass a20_class;
extern const DeviceClass apic_class;
extern const DeviceClass debug_exit_class;
extern const DeviceClass debugcon_class;
extern const DeviceClass fpu_error_class;
extern const DeviceClass fw_cfg_class;
extern const DeviceClass i440fx_class;
extern const DeviceClass i8042_class;
extern const DeviceClass i8237_class;
extern const DeviceClass i8254_class;
extern const DeviceClass i8259_class;
extern const DeviceClass isa_ide_class;
extern const DeviceClass ioapic_class;
extern const DeviceClass mc146818_class;
extern const DeviceClass parallel_class;
extern const DeviceClass pc_testdev_class;
extern const DeviceClass pci_bus_class;
extern const DeviceClass piix3_ide_class;
extern const DeviceClass piix3_class;
extern const DeviceClass piix4_pm_class;
extern const DeviceClass port61_class;
extern const DeviceClass port92_class;
extern const DeviceClass ps2_keyboard_class;
extern const DeviceClass ps2_mouse_class;
extern const DeviceClass serial_class;
extern const DeviceClass vga_isa_class;
extern const DeviceClass vga_pci_class;

#endif
