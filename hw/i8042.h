/*
 * 8042 keyboard controller of the PS/2, with its keyboard and mouse.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_I8042_H
#define HW_I8042_H

#include "hw/device.h"
#include "hw/irq.h"

extern const DeviceClass i8042_class;

/* At ports 0x60 and 0x64. keyboard_irq is IRQ1, mouse_irq IRQ12. Also makes the two devices. */
Device *i8042_create(IrqLine *keyboard_irq, IrqLine *mouse_irq);

#endif
