/*
 * The A20 gate: one switch that port 0x92 and the keyboard controller both set and both show.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_A20_H
#define HW_A20_H

#include <stdbool.h>

#include "hw/device.h"

extern const DeviceClass a20_class;

/* Once, before the devices that switch it. On after reset. */
Device *a20_create(void);
void a20_set(bool on);
bool a20_enabled(void);

#endif
