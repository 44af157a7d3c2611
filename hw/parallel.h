/*
 * Parallel ports.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_PARALLEL_H
#define HW_PARALLEL_H

#include "char/char.h"
#include "hw/device.h"

extern const DeviceClass parallel_class;

/* The board's port LPT1..LPT3 (index 0..2). NULL with an error when chr is in use already. */
Device *parallel_create(unsigned index, CharBackend *chr, Error **errp);

#endif
