/*
 * Throttle groups. The limits and their meaning are those of QEMU's (docs/throttle.txt there).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/throttle.h"

#include <stdlib.h>
#include <string.h>

#include "util/coroutine.h"
#include "util/loop.h"

/* A limit that leaves so much is none; it keeps all sums within a double's whole numbers. */
#define MAX_RATE 1000000000000000ull
/* What a bucket holds without a burst: the average's worth of this part of a second. */
#define SHORT_BURST 0.1
/* Who has to wait longer is looked at in between. */
#define LONGEST_NAP (60 * NS_PER_SEC)

typedef struct Bucket {
    double level; /* what has not leaked at the average rate */
    double burst; /* what has not leaked at the rate of bursts */
} Bucket;

typedef struct Waiter {
    Coroutine *co;
    bool write;
    uint64_t bytes;
    const unsigned *lifted;
    struct Waiter *next;
} Waiter;

struct ThrottleGroup {
    char *name;
    unsigned refs;
    BlkLimits limits;
    Bucket buckets[BLK_LIMITS];
    int64_t leaked_at;  /* CLOCK_HOST */
    Waiter *waiting[2]; /* reads, writes; the first comes first */
    Timer timer;
    struct ThrottleGroup *next;
};

static ThrottleGroup *groups;

/* ---- limits ---- */

bool throttle_limits_any(const BlkLimits *limits)
{
    for (unsigned i = 0; i < BLK_LIMITS; i++) {
        if (limits->rate[i].avg) {
            return true;
        }
    }
    return false;
}

static bool check_rate(const BlkRate *r, Error **errp)
{
    if (r->avg > MAX_RATE || r->max > MAX_RATE) {
        error_set(errp, "bps/iops/max values must be within [0, %llu]", MAX_RATE);
    } else if (r->max && !r->avg) {
        error_set(errp,
                  "a limit of bursts (-max) belongs to one of the average, which is not there");
    } else if (r->max && r->max < r->avg) {
        error_set(errp, "a limit of bursts (-max) is lower than that of the average");
    } else if (r->length && !r->max) {
        error_set(errp, "a burst's length (-max-length) requires its rate (-max)");
    } else if (r->length > 1 && r->max > MAX_RATE / r->length) {
        error_set(errp, "a burst's length (-max-length) is too high for its rate (-max)");
    } else {
        return true;
    }
    return false;
}

bool throttle_check(const BlkLimits *l, Error **errp)
{
    for (unsigned total = 0; total < BLK_LIMITS; total += 3) {
        const BlkRate *all = &l->rate[total], *read = all + 1, *write = all + 2;
        if ((all->avg && (read->avg || write->avg)) || (all->max && (read->max || write->max))) {
            error_set(errp, "limits of reads and of writes exclude one of both together (-total)");
            return false;
        }
    }
    if (l->iops_size && !l->rate[BLK_IOPS_TOTAL].avg && !l->rate[BLK_IOPS_READ].avg &&
        !l->rate[BLK_IOPS_WRITE].avg) {
        error_set(errp, "iops-size belongs to a limit of requests (iops-), and there is none");
        return false;
    }
    for (unsigned i = 0; i < BLK_LIMITS; i++) {
        if (!check_rate(&l->rate[i], errp)) {
            return false;
        }
    }
    return true;
}

/* ---- buckets ---- */

static double leak_one(double level, uint64_t rate, int64_t ns)
{
    double gone = (double)rate * (double)ns / (double)NS_PER_SEC;

    return level > gone ? level - gone : 0;
}

static void leak(ThrottleGroup *g)
{
    int64_t now = clock_now(CLOCK_HOST), ns = now - g->leaked_at;

    for (unsigned i = 0; i < BLK_LIMITS && ns > 0; i++) {
        Bucket *b = &g->buckets[i];
        b->level = leak_one(b->level, g->limits.rate[i].avg, ns);
        b->burst = leak_one(b->burst, g->limits.rate[i].max, ns);
    }
    g->leaked_at = now;
}

/* Seconds until the bucket has room. */
static double time_to_room(const Bucket *b, const BlkRate *r)
{
    const double length = r->length ? (double)r->length : 1;
    const double room = r->max ? (double)r->max * length : (double)r->avg * SHORT_BURST;

    if (!r->avg) {
        return 0;
    }
    if (b->level > room) {
        return (b->level - room) / (double)r->avg;
    }
    /* A burst of one second is one of any rate; a longer one keeps to its own. */
    const double short_room = (double)r->max * SHORT_BURST;
    return length > 1 && b->burst > short_room ? (b->burst - short_room) / (double)r->max : 0;
}

/* The limits of reads and writes together, and those of one of them. */
static bool concerns(unsigned limit, bool write)
{
    return limit % 3 == 0 || limit % 3 == (write ? 2u : 1u);
}

static int64_t time_to_go(const ThrottleGroup *g, bool write)
{
    double longest = 0;

    for (unsigned i = 0; i < BLK_LIMITS; i++) {
        double s = concerns(i, write) ? time_to_room(&g->buckets[i], &g->limits.rate[i]) : 0;
        longest = s > longest ? s : longest;
    }
    longest *= (double)NS_PER_SEC;
    /* Rounded up, or the timer would find it too full by a hair, again and again. */
    return longest <= 0 ? 0 : longest >= (double)LONGEST_NAP ? LONGEST_NAP : (int64_t)longest + 1;
}

static void pour(ThrottleGroup *g, bool write, uint64_t bytes)
{
    const uint64_t size = g->limits.iops_size;
    /* A request larger than iops_size counts as several. */
    const double ops = size && bytes > size ? (double)bytes / (double)size : 1;

    for (unsigned i = 0; i < BLK_LIMITS; i++) {
        if (concerns(i, write) && g->limits.rate[i].avg) {
            double amount = i < BLK_IOPS_TOTAL ? (double)bytes : ops;
            g->buckets[i].level += amount;
            g->buckets[i].burst += amount;
        }
    }
}

/* ---- who waits ---- */

/* The next that may go, taken out of its queue; NULL: nobody, and *nap says when to look again. */
static Waiter *take_next(ThrottleGroup *g, int64_t *nap)
{
    *nap = INT64_MAX;
    leak(g);
    for (unsigned write = 0; write < 2; write++) {
        bool first = true;
        for (Waiter **p = &g->waiting[write], *w; (w = *p); p = &w->next) {
            int64_t ns = *w->lifted ? 0 : first ? time_to_go(g, write) : INT64_MAX;
            if (ns == 0) {
                *p = w->next;
                return w;
            }
            first = false; /* behind it only those go that have no limits */
            *nap = ns < *nap ? ns : *nap;
        }
    }
    return NULL;
}

static void free_group(ThrottleGroup *g)
{
    for (ThrottleGroup **p = &groups; *p; p = &(*p)->next) {
        if (*p == g) {
            *p = g->next;
            break;
        }
    }
    timer_cancel(&g->timer);
    free(g->name);
    free(g);
}

static void dispatch(void *opaque)
{
    ThrottleGroup *g = opaque;
    Waiter *w;
    int64_t nap;

    g->refs++; /* the last one that waits may be the last that needs it */
    while ((w = take_next(g, &nap))) {
        pour(g, w->write, w->bytes);
        coroutine_wake(w->co);
    }
    if (nap == INT64_MAX) {
        timer_cancel(&g->timer);
    } else {
        timer_set(&g->timer, clock_now(CLOCK_HOST) + nap);
    }
    throttle_leave(g);
}

void throttle_look_again(ThrottleGroup *g)
{
    if (g->waiting[0] || g->waiting[1]) {
        dispatch(g);
    }
}

void throttle_wait(ThrottleGroup *g, bool write, uint64_t bytes, const unsigned *lifted)
{
    Waiter me = {.co = coroutine_self(), .write = write, .bytes = bytes, .lifted = lifted};
    Waiter **last = &g->waiting[write];

    if (!throttle_limits_any(&g->limits)) {
        return;
    }
    leak(g);
    if (*lifted || (!*last && time_to_go(g, write) == 0)) {
        pour(g, write, bytes);
        return;
    }
    while (*last) {
        last = &(*last)->next;
    }
    *last = &me;
    g->refs++;
    if (g->waiting[write] == &me) { /* else the timer is set for who is before us */
        int64_t deadline = clock_now(CLOCK_HOST) + time_to_go(g, write);
        if (!timer_pending(&g->timer) || deadline < g->timer.deadline) {
            timer_set(&g->timer, deadline);
        }
    }
    coroutine_yield();
    throttle_leave(g);
}

/* ---- groups ---- */

ThrottleGroup *throttle_join(const char *name)
{
    for (ThrottleGroup *g = groups; g; g = g->next) {
        if (!strcmp(g->name, name)) {
            g->refs++;
            return g;
        }
    }
    ThrottleGroup *g = calloc(1, sizeof(*g));
    char *copy = strdup(name);
    if (!g || !copy) {
        abort();
    }
    *g = (ThrottleGroup){.name = copy, .refs = 1, .next = groups};
    timer_init(&g->timer, CLOCK_HOST, dispatch, g);
    groups = g;
    return g;
}

void throttle_leave(ThrottleGroup *g)
{
    if (g && --g->refs == 0) {
        free_group(g);
    }
}

const char *throttle_name(const ThrottleGroup *g)
{
    return g->name;
}

const BlkLimits *throttle_limits(const ThrottleGroup *g)
{
    return &g->limits;
}

void throttle_set(ThrottleGroup *g, const BlkLimits *limits)
{
    g->limits = *limits;
    memset(g->buckets, 0, sizeof(g->buckets));
    g->leaked_at = clock_now(CLOCK_HOST);
    throttle_look_again(g);
}
