/*
 * System control port B (0x61): timer channel 2's gate and output, speaker, NMI sources.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_PORT61_H
#define HW_PORT61_H

#include <stdbool.h>

#include "hw/device.h"

extern const DeviceClass port61_class;

Device *port61_create(Device *pit);
/* The speaker's data bit: timer channel 2 is heard. */
bool port61_speaker_on(Device *dev);

#endif
