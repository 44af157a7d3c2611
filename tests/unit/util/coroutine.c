/*
 * Coroutines: order of switches, waking, nesting, locks, sleep on stepped clocks, reuse of stacks.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/coroutine.h"

#include <stdlib.h>
#include <unistd.h>
#include <sys/wait.h>

#include "../test.h"

static char trace[256];

static void note(const char *s)
{
    strcat(trace, s);
}

static void two_halves(void *opaque)
{
    const char *name = opaque;

    note(name);
    coroutine_yield();
    note(name);
}

static void yields_and_goes_on(void)
{
    trace[0] = 0;
    Coroutine *a = coroutine_create(two_halves, "a"), *b = coroutine_create(two_halves, "b");
    CHECK(!coroutine_self());
    coroutine_enter(a);
    coroutine_enter(b);
    note("-");
    coroutine_enter(b);
    coroutine_enter(a);
    CHECK_STR(trace, "ab-ba");
}

static Coroutine *inner;

static void outer_entry(void *opaque)
{
    note("o");
    inner = coroutine_create(two_halves, "i");
    coroutine_enter(inner); /* comes back here at its yield */
    note("O");
    coroutine_wake(inner); /* goes on only when we are done */
    note("P");
}

static void nests(void)
{
    trace[0] = 0;
    coroutine_enter(coroutine_create(outer_entry, NULL));
    CHECK_STR(trace, "oiOPi");
}

/* Deep use of the stack, floating point and local state survive switches. */
static int sum_down(int n)
{
    volatile char fill[64];

    fill[n % 64] = (char)n;
    if (n == 0) {
        coroutine_yield();
        return 0;
    }
    return n + sum_down(n - 1) + (fill[n % 64] == (char)n ? 0 : 1000000);
}

static int sums[100];

static void sum_entry(void *opaque)
{
    int i = (int)(intptr_t)opaque;
    sums[i] = sum_down(300 + i);
}

static void keeps_many_stacks_apart(void)
{
    Coroutine *co[100];

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 100; i++) {
            co[i] = coroutine_create(sum_entry, (void *)(intptr_t)i);
            coroutine_enter(co[i]);
        }
        for (int i = 99; i >= 0; i--) {
            coroutine_enter(co[i]);
        }
        for (int i = 0; i < 100; i++) {
            CHECK_EQ(sums[i], (300 + i) * (301 + i) / 2);
        }
    }
}

static CoMutex mutex;

static void lock_entry(void *opaque)
{
    co_mutex_lock(&mutex);
    two_halves(opaque);
    co_mutex_unlock(&mutex);
}

static void mutex_is_handed_over_in_order(void)
{
    Coroutine *a = coroutine_create(lock_entry, "a"), *b = coroutine_create(lock_entry, "b"),
              *c = coroutine_create(lock_entry, "c");

    trace[0] = 0;
    coroutine_enter(a);
    coroutine_enter(b);
    coroutine_enter(c);
    CHECK_STR(trace, "a");
    coroutine_enter(a);
    CHECK_STR(trace, "aab");
    coroutine_enter(b);
    coroutine_enter(c);
    CHECK_STR(trace, "aabbcc");
    CHECK(!mutex.owner);
}

static CoRwLock rwlock;

static void read_entry(void *opaque)
{
    co_rwlock_rdlock(&rwlock);
    two_halves(opaque);
    co_rwlock_unlock(&rwlock);
}

static void write_entry(void *opaque)
{
    co_rwlock_wrlock(&rwlock);
    two_halves(opaque);
    co_rwlock_unlock(&rwlock);
}

static void rwlock_lets_readers_in_together(void)
{
    Coroutine *r1 = coroutine_create(read_entry, "1"), *r2 = coroutine_create(read_entry, "2"),
              *w = coroutine_create(write_entry, "w"), *r3 = coroutine_create(read_entry, "3"),
              *r4 = coroutine_create(read_entry, "4");

    trace[0] = 0;
    coroutine_enter(r1);
    coroutine_enter(r2);
    coroutine_enter(w);
    coroutine_enter(r3);
    coroutine_enter(r4);
    CHECK_STR(trace, "12");
    coroutine_enter(r1);
    CHECK_STR(trace, "121");
    coroutine_enter(r2);
    CHECK_STR(trace, "1212w");
    coroutine_enter(w);
    CHECK_STR(trace, "1212ww34");
    coroutine_enter(r4);
    coroutine_enter(r3);
    CHECK(!rwlock.readers && !rwlock.writing);
}

static CoQueue queue;

static void queue_entry(void *opaque)
{
    co_queue_wait(&queue);
    note(opaque);
}

static void queue_wakes_one_or_all(void)
{
    trace[0] = 0;
    for (int i = 0; i < 3; i++) {
        coroutine_enter(coroutine_create(queue_entry, (void *)(i == 0 ? "x" : i == 1 ? "y" : "z")));
    }
    CHECK(co_queue_next(&queue));
    CHECK_STR(trace, "x");
    co_queue_all(&queue);
    CHECK_STR(trace, "xyz");
    CHECK(!co_queue_next(&queue));
}

static void sleep_entry(void *opaque)
{
    coroutine_sleep(CLOCK_HOST, 1000);
    note("s");
}

static void sleeps_on_the_clock(void)
{
    trace[0] = 0;
    clock_use_stepped();
    coroutine_enter(coroutine_create(sleep_entry, NULL));
    clock_step(999);
    CHECK_STR(trace, "");
    clock_step(1);
    CHECK_STR(trace, "s");
}

static void wake_later(void *opaque)
{
    coroutine_wake(opaque);
}

static void wait_entry(void *opaque)
{
    loop_defer(wake_later, coroutine_self());
    coroutine_yield();
    *(int *)opaque = 42;
}

static void runs_to_the_end(void)
{
    int value = 0;

    coroutine_run(wait_entry, &value);
    CHECK_EQ(value, 42);
}

static void overflow_entry(void *opaque)
{
    volatile char big[512 * 1024];

    for (size_t i = sizeof(big); i-- > 0;) {
        big[i] = 1;
    }
}

static void overflow_hits_the_guard_page(void)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr)) {
            _exit(0);
        }
        coroutine_enter(coroutine_create(overflow_entry, NULL));
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
}

TESTS(TEST(yields_and_goes_on), TEST(nests), TEST(keeps_many_stacks_apart),
      TEST(mutex_is_handed_over_in_order), TEST(rwlock_lets_readers_in_together),
      TEST(queue_wakes_one_or_all), TEST(sleeps_on_the_clock), TEST(runs_to_the_end),
      TEST(overflow_hits_the_guard_page))
