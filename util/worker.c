/*
 * The worker pools, one of them of low priority. Threads take items from their pool's queue; what
 * they finished goes to a second list and an eventfd, which the main loop watches.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/worker.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util/error.h"
#include "util/loop.h"

/* Disk requests of a guest that are under way at once on one or two disks; more threads only queue
   in the host's kernel. */
enum { WORKERS_MAX = 8 };

typedef struct WorkQueue {
    WorkItem *first, **last;
} WorkQueue;

typedef struct Pool {
    pthread_cond_t more;
    WorkQueue waiting;
    unsigned workers, idle, waiting_count, max;
    int policy; /* of the host's scheduler */
} Pool;

static Pool pool = {.more = PTHREAD_COND_INITIALIZER,
                    .waiting.last = &pool.waiting.first,
                    .max = WORKERS_MAX,
                    .policy = SCHED_OTHER};
static Pool background = {.more = PTHREAD_COND_INITIALIZER,
                          .waiting.last = &background.waiting.first,
                          .max = BACKGROUND_WORKERS_MAX,
                          .policy = SCHED_IDLE};
static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER; /* of all that is here */
static WorkQueue finished = {.last = &finished.first};
static bool main_works; /* the main thread takes items, too */
static int finished_fd = -1;

static void queue_put(WorkQueue *q, WorkItem *item)
{
    item->next = NULL;
    *q->last = item;
    q->last = &item->next;
}

static WorkItem *queue_take(WorkQueue *q)
{
    WorkItem *item = q->first;
    q->first = item->next;
    if (!q->first) {
        q->last = &q->first;
    }
    return item;
}

static void *worker_main(void *arg)
{
    Pool *p = arg;

    if (p->policy != SCHED_OTHER) {
        /* Lowering is always allowed; if a sandbox forbids the call, it goes on as it is. */
        pthread_setschedparam(pthread_self(), p->policy, &(struct sched_param){0});
    }
    pthread_mutex_lock(&pool_lock);
    for (;;) {
        while (!p->waiting.first) {
            p->idle++;
            pthread_cond_wait(&p->more, &pool_lock);
            p->idle--;
        }
        WorkItem *item = queue_take(&p->waiting);
        p->waiting_count--;
        pthread_mutex_unlock(&pool_lock);
        item->work(item);
        pthread_mutex_lock(&pool_lock);
        bool told = finished.first != NULL;
        queue_put(&finished, item);
        if (!told) { /* else the loop is on its way, and goes on until the list is empty */
            pthread_mutex_unlock(&pool_lock);
            eventfd_write(finished_fd, 1);
            pthread_mutex_lock(&pool_lock);
        }
    }
    return NULL;
}

/* One at a time, as a callback may run the loop itself (to drain a disk) and must find the rest
 * there: the event stays until the list is empty. */
static void collect_finished(void *opaque)
{
    eventfd_t count;

    for (;;) {
        pthread_mutex_lock(&pool_lock);
        WorkItem *item = finished.first ? queue_take(&finished) : NULL;
        if (!item) {
            eventfd_read(finished_fd, &count);
        }
        pthread_mutex_unlock(&pool_lock);
        if (!item) {
            return;
        }
        item->done(item);
    }
}

/* Signals are the main thread's. */
static void add_worker(Pool *p)
{
    pthread_t thread;
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int err = pthread_create(&thread, NULL, worker_main, p);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err == 0) {
        pthread_detach(thread);
        p->workers++;
    } else if (p->workers == 0) {
        error_exit("cannot start a thread for disk requests: %s", strerror(err));
    }
}

/* helped: the main thread takes items of this pool. */
static void submit(Pool *p, WorkItem *item, bool helped)
{
    if (finished_fd < 0) {
        finished_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (finished_fd < 0) {
            error_exit("cannot make an eventfd: %s", strerror(errno));
        }
        loop_set_fd(finished_fd, collect_finished, NULL, NULL);
    }
    pthread_mutex_lock(&pool_lock);
    queue_put(&p->waiting, item);
    p->waiting_count++;
    /* A worker that was woken counts as idle until it has run, hence the comparison. */
    bool more = p->waiting_count > p->idle + helped && p->workers<p->max, wake = p->idle> 0 &&
                p->waiting_count > helped;
    pthread_mutex_unlock(&pool_lock);
    if (more) {
        add_worker(p);
    }
    if (wake) {
        pthread_cond_signal(&p->more);
    }
}

void worker_submit(WorkItem *item)
{
    submit(&pool, item, main_works);
}

void worker_submit_background(WorkItem *item)
{
    submit(&background, item, false);
}

static bool work_on_main(void)
{
    pthread_mutex_lock(&pool_lock);
    WorkItem *item = pool.waiting.first ? queue_take(&pool.waiting) : NULL;
    pool.waiting_count -= item != NULL;
    pthread_mutex_unlock(&pool_lock);
    if (item) {
        item->work(item);
        item->done(item);
    }
    return item != NULL;
}

void worker_use_main_thread(void)
{
    main_works = true;
    loop_set_idle(work_on_main);
}

bool worker_uses_main_thread(void)
{
    return main_works;
}
