/*
 * System control port A (0x92): fast A20 and fast reset.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_PORT92_H
#define HW_PORT92_H

#include "hw/device.h"

extern const DeviceClass port92_class;

Device *port92_create(void);

#endif
