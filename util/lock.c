/*
 * The machine lock: a futex lock that is quick for a thread that finds it free, and fair to one
 * that does not.
 *
 * A released lock may be taken by whoever comes first, so a thread that locks and unlocks in a row
 * (a vCPU hammering a device register) need not sleep each time. But a waiter that was woken and
 * found the lock taken again goes to the head of the queue and is handed the lock by the next
 * unlock, before anybody else can come in between. So a waiter is overtaken for at most two turns.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/error.h"
#include "util/loop.h"

enum { LOCKED = 1, WAITERS = 2 }; /* bits of lock_word */
enum { WAITING, WOKEN, OWNER };   /* Waiter.state */

/* A device access takes a fraction of a microsecond: worth waiting for awake. */
enum { SPINS = 64 };

typedef struct Waiter {
    struct Waiter *next;
    _Atomic uint32_t state;
    bool overtaken;
} Waiter;

static _Atomic uint32_t lock_word;
static pthread_mutex_t queue_mutex = PTHREAD_MUTEX_INITIALIZER;
static Waiter *queue_head, **queue_tail = &queue_head;
static _Thread_local bool held;

static bool try_lock(void)
{
    uint32_t word = atomic_load_explicit(&lock_word, memory_order_relaxed);

    return !(word & LOCKED) && atomic_compare_exchange_strong(&lock_word, &word, word | LOCKED);
}

/* Queues w, unless the lock turns out to be free: then takes it and returns false. */
static bool enqueue(Waiter *w)
{
    uint32_t word = atomic_load(&lock_word);

    for (;;) {
        uint32_t want = word & LOCKED ? word | WAITERS : word | LOCKED;
        if (atomic_compare_exchange_weak(&lock_word, &word, want)) {
            break;
        }
    }
    if (!(word & LOCKED)) {
        return false;
    }
    atomic_store(&w->state, WAITING);
    if (w->overtaken) {
        w->next = queue_head;
        queue_head = w;
        if (!w->next) {
            queue_tail = &w->next;
        }
    } else {
        w->next = NULL;
        *queue_tail = w;
        queue_tail = &w->next;
    }
    return true;
}

static void lock_slowly(void)
{
    Waiter w = {0};

    for (;;) {
        pthread_mutex_lock(&queue_mutex);
        bool queued = enqueue(&w);
        pthread_mutex_unlock(&queue_mutex);
        if (!queued) {
            return;
        }
        while (atomic_load(&w.state) == WAITING) {
            syscall(SYS_futex, &w.state, FUTEX_WAIT_PRIVATE, WAITING, NULL, NULL, 0);
        }
        if (atomic_load(&w.state) == OWNER || try_lock()) {
            return;
        }
        w.overtaken = true;
    }
}

void machine_lock(void)
{
    if (held) {
        error_report("internal error: the machine lock is taken twice");
        abort();
    }
    bool got = try_lock();
    for (unsigned i = 0; !got && i < SPINS; i++) {
        __builtin_ia32_pause();
        got = try_lock();
    }
    if (!got) {
        lock_slowly();
    }
    held = true;
}

void machine_unlock(void)
{
    uint32_t expected = LOCKED;

    held = false;
    if (atomic_compare_exchange_strong(&lock_word, &expected, 0)) {
        return;
    }
    pthread_mutex_lock(&queue_mutex);
    Waiter *w = queue_head;
    queue_head = w->next;
    if (!queue_head) {
        queue_tail = &queue_head;
    }
    bool hand_over = w->overtaken;
    atomic_store(&lock_word, (hand_over ? LOCKED : 0) | (queue_head ? WAITERS : 0));
    /* Once its state is set the waiter may be gone; waking its address then wakes nobody. */
    _Atomic uint32_t *state = &w->state;
    atomic_store(state, hand_over ? OWNER : WOKEN);
    pthread_mutex_unlock(&queue_mutex);
    syscall(SYS_futex, state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

bool machine_lock_held(void)
{
    return held;
}
