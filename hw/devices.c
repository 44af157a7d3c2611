/*
 * The table of device classes, in alphabetical order.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/devices.h"

/* clang-format off */
const DeviceClass *const device_classes[] = {
    &a20_class,
    &apic_class,
    &debug_exit_class,
    &debugcon_class,
    &fpu_error_class,
    &fw_cfg_class,
    &i440fx_class,
    &i8042_class,
    &i8237_class,
    &i8254_class,
    &i8259_class,
    &isa_ide_class,
    &ioapic_class,
    &mc146818_class,
    &parallel_class,
    &pc_testdev_class,
    &pci_bus_class,
    &piix3_ide_class,
    &piix3_class,
    &piix4_pm_class,
    &port61_class,
    &port92_class,
    &ps2_keyboard_class,
    &ps2_mouse_class,
    &serial_class,
    &vga_isa_class,
    &vga_pci_class,
    NULL,
};
