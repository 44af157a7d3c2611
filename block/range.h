/*
 * Locks on ranges of a disk, for coroutines: who copies a range and who writes it take turns.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_RANGE_H
#define BLOCK_RANGE_H

#include <stdint.h>

#include "util/coroutine.h"

typedef struct RangeLock {
    uint64_t offset, bytes;
    CoQueue waiters;
    struct RangeLock *next;
} RangeLock;

/* All zeroed: none is locked. */
typedef struct RangeLocks {
    RangeLock *first;
} RangeLocks;

/* Waits until nobody has any of the range; lock lives until range_unlock(). */
void range_lock(RangeLocks *all, RangeLock *lock, uint64_t offset, uint64_t bytes);
void range_unlock(RangeLocks *all, RangeLock *lock);

#endif
