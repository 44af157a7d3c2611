/*
 * PBKDF2 in the worker pool, a slice at a time: between two slices the main loop does what else
 * there is, and the whole can be given up.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/kdf.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>

#include "block/cipher.h"
#include "util/coroutine.h"
#include "util/worker.h"

/* Iterations. A slice takes some 10 ms; the first is done on the spot, as no more may be needed. */
enum { SLICE = 1 << 15 };

typedef struct Slice {
    WorkItem item;
    Pbkdf2 *state;
    bool more;
    Coroutine *co;
} Slice;

static volatile sig_atomic_t cancelled;

static void work(WorkItem *item)
{
    Slice *slice = (Slice *)item;

    slice->more = pbkdf2_step(slice->state, SLICE);
}

static void done(WorkItem *item)
{
    coroutine_wake(((Slice *)item)->co);
}

int kdf_co_pbkdf2(const char *hash, const void *password, size_t length, const uint8_t *salt,
                  size_t salt_bytes, uint32_t iterations, uint8_t *out, size_t bytes)
{
    Slice slice = {.item = {.work = work, .done = done},
                   .state =
                       pbkdf2_new(hash, password, length, salt, salt_bytes, iterations, out, bytes),
                   .co = coroutine_self()};

    if (!slice.state) {
        return -EINVAL;
    }
    slice.more = pbkdf2_step(slice.state, SLICE);
    while (slice.more && !cancelled) {
        worker_compute(&slice.item);
        coroutine_yield();
    }
    pbkdf2_free(slice.state);
    return slice.more ? -ECANCELED : 0;
}

void kdf_cancel(void)
{
    cancelled = 1;
}
