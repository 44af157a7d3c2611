/*
 * Test and debugging aids on the ISA bus: debug console, exit port, test device.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_DEBUGCON_H
#define HW_DEBUGCON_H

#include "char/char.h"
#include "hw/device.h"

extern const DeviceClass debugcon_class;
extern const DeviceClass debug_exit_class;
extern const DeviceClass pc_testdev_class;

/* The debug console at port 0xe9 (-debugcon). NULL with an error when chr is in use already. */
Device *debugcon_create(CharBackend *chr, Error **errp);

#endif
