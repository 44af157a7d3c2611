/*
 * Throttle groups: limits on the bytes and requests a second of one drive, or of several together.
 *
 * Each limit is a bucket that leaks at the average rate. A request pours its bytes (or itself) in;
 * while the bucket is too full, those that come wait their turn, reads and writes in a queue each.
 * How full it may be: a tenth of a second's worth, so that a guest need not stop at each request,
 * or what bursts were allowed, `max` a second for `length` seconds.
 *
 * Main thread. Waiting is for coroutines.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_THROTTLE_H
#define BLOCK_THROTTLE_H

#include "block/block.h"

typedef struct ThrottleGroup ThrottleGroup;

/* Whether the limits make sense together; an error says what does not. */
bool throttle_check(const BlkLimits *limits, Error **errp);
/* Whether there is any. */
bool throttle_limits_any(const BlkLimits *limits);

/* The group of this name, made if there is none; a reference. */
ThrottleGroup *throttle_join(const char *name);
/* NULL: nothing happens. Requests that wait keep the group until they have gone. */
void throttle_leave(ThrottleGroup *g);
const char *throttle_name(const ThrottleGroup *g);
const BlkLimits *throttle_limits(const ThrottleGroup *g);
/* They hold for those that wait already, too. */
void throttle_set(ThrottleGroup *g, const BlkLimits *limits);
/* Until a request of so many bytes may go. *lifted: while it is not 0 the limits do not hold. */
void throttle_wait(ThrottleGroup *g, bool write, uint64_t bytes, const unsigned *lifted);
/* Some *lifted has changed. */
void throttle_look_again(ThrottleGroup *g);

#endif
