/*
 * 8254 programmable interval timer.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_I8254_H
#define HW_I8254_H

#include <stdbool.h>
#include <stdint.h>

#include "hw/device.h"
#include "hw/irq.h"

extern const DeviceClass i8254_class;

#define I8254_HZ       1193182
#define I8254_CHANNELS 3

/* At ports 0x40-0x43, counting on CLOCK_VIRTUAL. irq: channel 0's output. */
Device *i8254_create(IrqLine *irq);
/*
 * Lets the timer find out that the last tick on irq is still waiting for the CPU, so that ticks
 * which the host made late are delivered one after the other instead of becoming one.
 */
void i8254_set_waiting(Device *dev, bool (*waiting)(void *opaque), void *opaque);
/* The gate inputs of channels 0 and 1 are tied high; channel 2's is port 0x61's. */
void i8254_set_gate(Device *dev, unsigned channel, bool level);
bool i8254_gate(Device *dev, unsigned channel);
/* The channel's output right now. */
bool i8254_output(Device *dev, unsigned channel);
/* Ticks between two rising edges of the output in modes 2 and 3 (for the speaker); 0 in other
 * modes. */
unsigned i8254_period(Device *dev, unsigned channel);

#endif
