/*
 * The worker pool. Threads take items from one queue; what they finished goes to a second list and
 * an eventfd, which the main loop watches.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/worker.h"

#include <errno.h>
#include <pthread.h>
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

static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t pool_more = PTHREAD_COND_INITIALIZER;
static WorkQueue waiting = {.last = &waiting.first};
static WorkQueue finished = {.last = &finished.first};
static unsigned workers, workers_idle, waiting_count;
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
    pthread_mutex_lock(&pool_lock);
    for (;;) {
        while (!waiting.first) {
            workers_idle++;
            pthread_cond_wait(&pool_more, &pool_lock);
            workers_idle--;
        }
        WorkItem *item = queue_take(&waiting);
        waiting_count--;
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
static void add_worker(void)
{
    pthread_t thread;
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int err = pthread_create(&thread, NULL, worker_main, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err == 0) {
        pthread_detach(thread);
        workers++;
    } else if (workers == 0) {
        error_exit("cannot start a thread for disk requests: %s", strerror(err));
    }
}

void worker_submit(WorkItem *item)
{
    if (finished_fd < 0) {
        finished_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (finished_fd < 0) {
            error_exit("cannot make an eventfd: %s", strerror(errno));
        }
        loop_set_fd(finished_fd, collect_finished, NULL, NULL);
    }
    pthread_mutex_lock(&pool_lock);
    queue_put(&waiting, item);
    waiting_count++;
    /* A worker that was woken counts as idle until it has run, hence the comparison. */
    unsigned idle = workers_idle + main_works;
    bool more = waiting_count > idle && workers < WORKERS_MAX,
         wake = workers_idle > 0 && waiting_count > main_works;
    pthread_mutex_unlock(&pool_lock);
    if (more) {
        add_worker();
    }
    if (wake) {
        pthread_cond_signal(&pool_more);
    }
}

static bool work_on_main(void)
{
    pthread_mutex_lock(&pool_lock);
    WorkItem *item = waiting.first ? queue_take(&waiting) : NULL;
    waiting_count -= item != NULL;
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
