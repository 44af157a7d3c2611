/*
 * The worker pools, one of them of low priority. Threads take items from their pool's two queues:
 * what waits for the host goes first and runs as often at once as there are threads; what computes
 * runs at most once a processor, as the first would only end later if more did. What they finished
 * goes to a list and an eventfd, which the main loop watches.
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
    WorkQueue waiting, computing;
    unsigned workers, idle, max;
    unsigned waiting_count, computing_count, computing_now;
    int policy; /* of the host's scheduler */
} Pool;

static Pool pool = {.more = PTHREAD_COND_INITIALIZER,
                    .waiting.last = &pool.waiting.first,
                    .computing.last = &pool.computing.first,
                    .max = WORKERS_MAX,
                    .policy = SCHED_OTHER};
static Pool background = {.more = PTHREAD_COND_INITIALIZER,
                          .waiting.last = &background.waiting.first,
                          .computing.last = &background.computing.first,
                          .max = BACKGROUND_WORKERS_MAX,
                          .policy = SCHED_IDLE};
static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER; /* of all that is here */
static WorkQueue finished = {.last = &finished.first};
static bool main_works; /* the main thread takes items, too */
static int finished_fd = -1;
static unsigned processors;

static unsigned host_processors(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

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

/* Under the lock: the next item whose turn it is; NULL: none. */
static WorkItem *take_item(Pool *p, bool *computes)
{
    *computes = !p->waiting.first;
    if (p->waiting.first) {
        p->waiting_count--;
        return queue_take(&p->waiting);
    }
    if (!p->computing.first || p->computing_now >= processors) {
        return NULL;
    }
    p->computing_count--;
    p->computing_now++;
    return queue_take(&p->computing);
}

static void *worker_main(void *arg)
{
    Pool *p = arg;
    WorkItem *item;
    bool computes;

    if (p->policy != SCHED_OTHER) {
        /* Lowering is always allowed; if a sandbox forbids the call, it goes on as it is. */
        pthread_setschedparam(pthread_self(), p->policy, &(struct sched_param){0});
    }
    pthread_mutex_lock(&pool_lock);
    for (;;) {
        while (!(item = take_item(p, &computes))) {
            p->idle++;
            pthread_cond_wait(&p->more, &pool_lock);
            p->idle--;
        }
        pthread_mutex_unlock(&pool_lock);
        item->work(item);
        pthread_mutex_lock(&pool_lock);
        p->computing_now -= computes;
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
static void submit(Pool *p, WorkItem *item, bool computes, bool helped)
{
    if (finished_fd < 0) {
        finished_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (finished_fd < 0) {
            error_exit("cannot make an eventfd: %s", strerror(errno));
        }
        loop_set_fd(finished_fd, collect_finished, NULL, NULL);
        processors = host_processors();
    }
    pthread_mutex_lock(&pool_lock);
    queue_put(computes ? &p->computing : &p->waiting, item);
    p->computing_count += computes;
    p->waiting_count += !computes;
    unsigned may = processors - p->computing_now;
    unsigned ready = p->waiting_count + (p->computing_count < may ? p->computing_count : may);
    /* A worker that was woken counts as idle until it has run, hence the comparison. */
    bool more = ready > p->idle + helped && p->workers < p->max;
    bool wake = p->idle > 0 && ready > helped;
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
    submit(&pool, item, false, main_works);
}

void worker_compute(WorkItem *item)
{
    submit(&pool, item, true, main_works);
}

void worker_submit_background(WorkItem *item)
{
    submit(&background, item, false, false);
}

static bool work_on_main(void)
{
    bool computes;

    pthread_mutex_lock(&pool_lock);
    WorkItem *item = take_item(&pool, &computes);
    pthread_mutex_unlock(&pool_lock);
    if (item) {
        item->work(item);
        pthread_mutex_lock(&pool_lock);
        pool.computing_now -= computes;
        pthread_mutex_unlock(&pool_lock);
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
