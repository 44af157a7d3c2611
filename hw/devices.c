/*
 * The table of device classes, in alphabetical order.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/devices.h"

/* clang-format off */
const DeviceClass *const device_classes[] = {
    &debug_exit_class,
    &debugcon_class,
    &fw_cfg_class,
    &i8254_class,
    &i8259_class,
    &mc146818_class,
    &pc_testdev_class,
    &pci_bus_class,
    &serial_class,
    &vga_isa_class,
    &vga_pci_class,
    NULL,
};
