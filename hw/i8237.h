/*
 * The PC/AT's two 8237A DMA controllers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_I8237_H
#define HW_I8237_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hw/device.h"

extern const DeviceClass i8237_class;

#define I8237_CHANNELS 8 /* 0-3: bytes; 5-7: words; 4 is the cascade */

Device *i8237_create(void);
/*
 * The device on a channel raises its DREQ and moves data with i8237_transfer() when it likes.
 * `ready` (may be NULL) is called when the guest unmasked or programmed the channel, so that a
 * transfer that waited can go on.
 */
void i8237_attach(Device *dev, unsigned channel, void (*ready)(void *opaque), void *opaque);
void i8237_set_request(Device *dev, unsigned channel, bool level);

typedef enum I8237Direction { I8237_TO_MEMORY, I8237_FROM_MEMORY } I8237Direction;
/*
 * Moves up to `size` bytes between buf and memory, at most to terminal count; returns how many. 0
 * when the channel is masked, the controller disabled or its mode does not fit. In verify mode the
 * address and the count move, the data do not. *terminal_count is set when the count ran out: the
 * channel then starts again (autoinitialise) or masks itself.
 */
size_t i8237_transfer(Device *dev, unsigned channel, I8237Direction direction, void *buf,
                      size_t size, bool *terminal_count);

#endif
