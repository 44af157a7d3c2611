/*
 * NS16550A serial ports.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_SERIAL_H
#define HW_SERIAL_H

#include "char/char.h"
#include "hw/device.h"
#include "hw/irq.h"

extern const DeviceClass serial_class;

/*
 * The board's port COM1..COM4 (index 0..3) on the interrupt line its index has by tradition
 * (isa_irq()). chr may be NULL: nothing is plugged in. NULL with an error when chr is in use
 * already.
 */
Device *serial_create(unsigned index, CharBackend *chr, Error **errp);

#endif
