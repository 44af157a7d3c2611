/*
 * The PC/AT's pair of 8259A interrupt controllers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_I8259_H
#define HW_I8259_H

#include <stdbool.h>
#include <stdint.h>

#include "hw/device.h"
#include "hw/irq.h"

extern const DeviceClass i8259_class;

/* intr: the master's INT output, to the CPU's INTR or the local APIC's LINT0. */
Device *i8259_create(IrqLine *intr);
/* Input n, 0..15; 2 is the cascade and NULL. */
IrqLine *i8259_input(Device *dev, unsigned n);
/*
 * INTA: the vector that the CPU shall take; that of a spurious IRQ7 when the request has gone away.
 */
uint8_t i8259_acknowledge(Device *dev);
/* Level of INT: something waits that the CPU could take. */
bool i8259_output(Device *dev);
/* Input n has a request that is not masked and that the CPU has not taken yet. */
bool i8259_waiting(Device *dev, unsigned n);

#endif
