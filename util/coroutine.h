/*
 * Coroutines: functions with a stack of their own that may stop in the middle and be gone on with
 * later. What waits for something (a disk, a lock, a timer) is written straight down and stops
 * where it has to.
 *
 * They run on the main thread under the machine lock, one at a time, and change only where one
 * yields: between two yields nothing else runs. Nothing here may be called from another thread.
 * A coroutine must not run the main loop; what has to do so (a device's completion) is deferred.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef UTIL_COROUTINE_H
#define UTIL_COROUTINE_H

#include <stdbool.h>
#include <stdint.h>

#include "util/loop.h"

typedef struct Coroutine Coroutine;
typedef void CoroutineEntry(void *opaque);

/* A coroutine that will run entry(opaque) when it is entered; it ends, and is freed, when that
 * returns. */
Coroutine *coroutine_create(CoroutineEntry *entry, void *opaque);
/* Runs co until it yields or ends. From anywhere, also from another coroutine. */
void coroutine_enter(Coroutine *co);
/* Stops the running coroutine; goes on at the next coroutine_enter() or coroutine_wake(). */
void coroutine_yield(void);
/*
 * Lets a coroutine that has yielded go on: at once where no coroutine runs, else as soon as the
 * running one yields or ends, in the order of the calls.
 */
void coroutine_wake(Coroutine *co);
/* The one that runs, or NULL. */
Coroutine *coroutine_self(void);
/* Yields until the clock has gone on by ns. */
void coroutine_sleep(ClockType clock, int64_t ns);

/*
 * Runs entry(opaque) to its end: directly inside a coroutine, else in a new one while the main loop
 * turns. This is how a synchronous call is the same code as an asynchronous one.
 */
void coroutine_run(CoroutineEntry *entry, void *opaque);

/* ---- waiting for each other; all zeroed is the initial state of each ---- */

typedef struct CoWaiter {
    Coroutine *co;
    struct CoWaiter *next;
    bool exclusive; /* CoRwLock: wants to write */
} CoWaiter;

/* Those who wait for something to happen, first come first served. */
typedef struct CoQueue {
    CoWaiter *first, *last;
} CoQueue;

void co_queue_wait(CoQueue *q);
/* Wakes the first; false: nobody waits. */
bool co_queue_next(CoQueue *q);
/* Wakes those who wait now. */
void co_queue_all(CoQueue *q);
static inline bool co_queue_empty(const CoQueue *q)
{
    return !q->first;
}

/* Handed over in the order of the lock calls. */
typedef struct CoMutex {
    Coroutine *owner;
    CoQueue waiting;
} CoMutex;

void co_mutex_lock(CoMutex *m);
void co_mutex_unlock(CoMutex *m);

/* Many readers or one writer, in the order of the calls: a waiting writer holds up later readers.
 */
typedef struct CoRwLock {
    unsigned readers;
    bool writing;
    CoQueue waiting;
} CoRwLock;

void co_rwlock_rdlock(CoRwLock *l);
void co_rwlock_wrlock(CoRwLock *l);
void co_rwlock_unlock(CoRwLock *l);

#endif
