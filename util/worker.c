/*
 * The worker pools, one of them of low priority. Threads take items from their pool's two queues:
 * what waits for the host goes first and runs as often at once as there are threads; what computes
 * runs at most once a processor, as the first would only end later if more did. What they finished
 * goes to a list and an eventfd, which the main loop watches.
 *
 * The fewer threads take part the better: the host's scheduler wakes a thread where it ran last,
 * and that may be where the main thread runs while another processor is idle.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/worker.h"

#include <errno.h>
#include <limits.h>
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

/* Who fell asleep last is woken first. */
typedef struct Sleeper {
    pthread_cond_t wake;
    bool woken;
    struct Sleeper *next;
} Sleeper;

typedef struct Pool {
    Sleeper *sleepers;
    WorkQueue waiting, computing;
    unsigned workers, coming, max; /* coming: woken or made, and not yet at an item */
    unsigned waiting_count, computing_count, computing_now;
    int policy; /* of the host's scheduler */
} Pool;

static Pool pool = {.waiting.last = &pool.waiting.first,
                    .computing.last = &pool.computing.first,
                    .max = WORKERS_MAX,
                    .policy = SCHED_OTHER};
static Pool background = {.waiting.last = &background.waiting.first,
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

/* Under the lock: the next item whose turn it is; NULL: none. most: that may compute at once. */
static WorkItem *take_item(Pool *p, unsigned most, bool *computes)
{
    *computes = !p->waiting.first;
    if (p->waiting.first) {
        p->waiting_count--;
        return queue_take(&p->waiting);
    }
    if (!p->computing.first || p->computing_now >= most) {
        return NULL;
    }
    p->computing_count--;
    p->computing_now++;
    return queue_take(&p->computing);
}

/* Where the main thread works, one processor is its own: it computes, too, or feeds those who do.
 */
static unsigned most_computing(const Pool *p)
{
    return processors - (p == &pool && main_works);
}

/* Under the lock: whether there is work for more than those who will look for some anyway. */
static bool is_short_of_workers(const Pool *p, bool helped)
{
    unsigned most = most_computing(p), may = p->computing_now < most ? most - p->computing_now : 0;
    unsigned ready = p->waiting_count + (p->computing_count < may ? p->computing_count : may);

    return ready > p->coming + helped;
}

/* Under the lock: who is to be woken by signal_sleeper(); NULL: all are at work. */
static Sleeper *take_sleeper(Pool *p)
{
    Sleeper *s = p->sleepers;

    if (s) {
        p->coming++;
        p->sleepers = s->next;
        s->woken = true;
    }
    return s;
}

/* Without the lock, which the woken needs at once. Threads stay, so the sleeper is still there. */
static void signal_sleeper(Sleeper *s)
{
    if (s) {
        pthread_cond_signal(&s->wake);
    }
}

/* Under the lock. */
static void sleep_until_woken(Pool *p)
{
    static _Thread_local Sleeper self = {.wake = PTHREAD_COND_INITIALIZER};

    self.woken = false;
    self.next = p->sleepers;
    p->sleepers = &self;
    while (!self.woken) {
        pthread_cond_wait(&self.wake, &pool_lock);
    }
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
    p->coming--;
    for (;;) {
        while (!(item = take_item(p, most_computing(p), &computes))) {
            sleep_until_woken(p);
            p->coming--;
        }
        /* Who stops computing to wait for the host leaves room for another. */
        Sleeper *next = is_short_of_workers(p, p == &pool && main_works) ? take_sleeper(p) : NULL;
        pthread_mutex_unlock(&pool_lock);
        signal_sleeper(next);
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
        return;
    }
    pthread_mutex_lock(&pool_lock);
    p->coming--;
    unsigned left = --p->workers;
    pthread_mutex_unlock(&pool_lock);
    if (left == 0) {
        error_exit("cannot start a thread for disk requests: %s", strerror(err));
    }
}

/* helped: the main thread will take it as soon as it has nothing else to do, which is soon. */
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
    bool more = is_short_of_workers(p, helped);
    Sleeper *sleeper = more ? take_sleeper(p) : NULL;
    bool add = more && !sleeper && p->workers < p->max;
    p->coming += add;
    p->workers += add;
    pthread_mutex_unlock(&pool_lock);
    signal_sleeper(sleeper);
    if (add) {
        add_worker(p);
    }
}

void worker_submit(WorkItem *item)
{
    submit(&pool, item, false, main_works);
}

/* The main thread may have to write what others have computed before it gets to this. */
void worker_compute(WorkItem *item)
{
    submit(&pool, item, true, false);
}

void worker_submit_background(WorkItem *item)
{
    submit(&background, item, false, false);
}

/* On the processor that is its own: it counts for none of those the workers have. */
static bool work_on_main(void)
{
    bool computes;

    pthread_mutex_lock(&pool_lock);
    WorkItem *item = take_item(&pool, UINT_MAX, &computes);
    pool.computing_now -= item && computes;
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

bool worker_computes(void)
{
    pthread_mutex_lock(&pool_lock);
    bool computes = pool.computing_now || pool.computing.first;
    pthread_mutex_unlock(&pool_lock);
    return computes;
}
