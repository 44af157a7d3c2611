/*
 * Operations on files in memory that wait for their turn (hold.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/block/hold.h"

#include "util/coroutine.h"

enum { MAX_PENDING = 64 };

bool hold_enabled;
unsigned hold_pending;
static Coroutine *pending[MAX_PENDING];

int hold(MemDisk *disk, MemOp op, uint64_t offset, uint64_t bytes, const void *data, void *opaque)
{
    if (!hold_enabled || hold_pending == MAX_PENDING) {
        return 0;
    }
    pending[hold_pending++] = coroutine_self();
    coroutine_yield();
    return 0;
}

void hold_release(unsigned i)
{
    Coroutine *co = pending[i];

    pending[i] = pending[--hold_pending];
    coroutine_wake(co);
}
