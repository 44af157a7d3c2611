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
        queue_put(&finished, item);
        eventfd_write(finished_fd, 1);
    }
    return NULL;
}

/* One at a time, as a callback may run the loop itself (to drain a disk) and must find the rest
 * there. */
static void collect_finished(void *opaque)
{
    eventfd_t count;

    eventfd_read(finished_fd, &count);
    for (;;) {
        pthread_mutex_lock(&pool_lock);
        WorkItem *item = finished.first ? queue_take(&finished) : NULL;
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
    if (waiting_count > workers_idle && workers < WORKERS_MAX) {
        add_worker();
    }
    pthread_cond_signal(&pool_more);
    pthread_mutex_unlock(&pool_lock);
}
