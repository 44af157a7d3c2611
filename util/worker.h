/*
 * The worker pool: blocking work (file I/O) away from the main loop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef UTIL_WORKER_H
#define UTIL_WORKER_H

#include <stdbool.h>

typedef struct WorkItem WorkItem;

/* Embedded in the submitter's request, which must live until `done` was called. */
struct WorkItem {
    void (*work)(WorkItem *item); /* on a worker thread, without the machine lock */
    void (*done)(WorkItem *item); /* then on the main loop, with it */
    WorkItem *next;               /* the pool's */
};

/*
 * Queues the item; items are begun in order, several run at once. Needs the machine lock. Threads
 * are made on demand, so nothing runs before the first call (a program may fork until then).
 */
void worker_submit(WorkItem *item);
/* The same for work that is computing: no more of it runs at once than the host has processors
 * (one fewer where the main thread works as well, which takes some of it when it is idle), and none
 * is begun while a submitted item waits. */
void worker_compute(WorkItem *item);
/*
 * The same on threads of the host's lowest class (SCHED_IDLE), which give their processor away at
 * once when anything else wants it, for long computations that nobody waits for. Where everything
 * else is busy all the time they hardly get on: the submitter has to look. Up to
 * BACKGROUND_WORKERS_MAX at a time.
 */
enum { BACKGROUND_WORKERS_MAX = 5 };
void worker_submit_background(WorkItem *item);
/*
 * From now on the main thread works as well before it would sleep. For programs that do nothing
 * else: a long item holds up the loop.
 */
void worker_use_main_thread(void);
/* Whether that was called: what is shorter than handing it over is done on the spot. */
bool worker_uses_main_thread(void);
/* Whether something is being computed, or will be next: processors are busy without requests being
 * spread over them. */
bool worker_computes(void);

#endif
