/*
 * Locks on ranges of a disk.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/range.h"

#include <stddef.h>

static RangeLock *find(const RangeLocks *all, uint64_t offset, uint64_t bytes)
{
    for (RangeLock *l = all->first; l; l = l->next) {
        if (offset < l->offset + l->bytes && l->offset < offset + bytes) {
            return l;
        }
    }
    return NULL;
}

void range_lock(RangeLocks *all, RangeLock *lock, uint64_t offset, uint64_t bytes)
{
    RangeLock *other;

    while ((other = find(all, offset, bytes))) {
        co_queue_wait(&other->waiters);
    }
    *lock = (RangeLock){.offset = offset, .bytes = bytes, .next = all->first};
    all->first = lock;
}

void range_unlock(RangeLocks *all, RangeLock *lock)
{
    for (RangeLock **p = &all->first; *p; p = &(*p)->next) {
        if (*p == lock) {
            *p = lock->next;
            break;
        }
    }
    co_queue_all(&lock->waiters);
}
