/*
 * I/O APIC.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_IOAPIC_H
#define HW_IOAPIC_H

#include <stdint.h>

#include "hw/device.h"
#include "hw/irq.h"
#include "hw/memory.h"

extern const DeviceClass ioapic_class;

#define IOAPIC_DEFAULT_BASE 0xfec00000u
#define IOAPIC_PINS         24

/* One page of registers at base. */
Device *ioapic_create(hwaddr base);
/* Input n < IOAPIC_PINS: raised while the interrupt is asserted, whatever the polarity on the
 * board. */
IrqLine *ioapic_input(Device *dev, unsigned n);
/* The last edge of input n has not been taken by a CPU yet. */
bool ioapic_is_waiting(Device *dev, unsigned n);
/* A local APIC has ended a level-triggered interrupt: told to every I/O APIC. */
void ioapic_end_of_interrupt(uint8_t vector);

struct Buffer;
/* The state of all I/O APICs as text; false: there is none. The CPUs are paused. */
bool ioapic_dump(struct Buffer *out);

#endif
