/*
 * The main loop: timers in order and on time, stopped and stepped clocks, descriptors that come and
 * go while they are handled, deferred calls from threads, inner turns, and a machine lock that
 * starves nobody.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/loop.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../test.h"

/* ---- on real clocks: these come first, a stepped clock stays so ---- */

static int64_t fired_at;

static void note_time(void *opaque)
{
    fired_at = clock_now(CLOCK_HOST);
}

/* ns that this thread has been able to run and was not let; 0 where the kernel does not say. */
static int64_t waited_for_processor(void)
{
    FILE *f = fopen("/proc/thread-self/schedstat", "r");
    int64_t waited = 0;

    if (f) {
        if (fscanf(f, "%*s %" SCNd64, &waited) != 1) {
            waited = 0;
        }
        fclose(f);
    }
    return waited;
}

/* On a busy machine only those tries count in which the thread ran as soon as it could. */
static void fires_on_time_when_idle(void)
{
    int64_t best = INT64_MAX, give_up = clock_now(CLOCK_HOST) + 10 * NS_PER_SEC;
    unsigned tries = 0;
    Timer t;

    timer_init(&t, CLOCK_HOST, note_time, NULL);
    while (tries < 20 && clock_now(CLOCK_HOST) < give_up) {
        int64_t waited = waited_for_processor();
        int64_t deadline = clock_now(CLOCK_HOST) + 2 * NS_PER_MS;
        fired_at = 0;
        timer_set(&t, deadline);
        while (!fired_at) {
            loop_run_once(-1);
        }
        CHECK(fired_at >= deadline);
        if (waited_for_processor() - waited < 200 * NS_PER_US) {
            tries++;
            best = fired_at - deadline < best ? fired_at - deadline : best;
        }
    }
    printf("# %" PRId64 " ns late at best of %u\n", best, tries);
    CHECK(tries == 0 || best < 500 * NS_PER_US); /* the kernel's own slack shows in all of them */
}

static Timer from_thread;

static void *set_near_timer(void *arg)
{
    usleep(2000);
    machine_lock();
    timer_set(&from_thread, clock_now(CLOCK_HOST));
    machine_unlock();
    return NULL;
}

static void a_nearer_timer_of_a_thread_wakes_the_loop(void)
{
    pthread_t thread;
    Timer far;

    timer_init(&far, CLOCK_HOST, note_time, NULL);
    timer_init(&from_thread, CLOCK_HOST, note_time, NULL);
    timer_set(&far, clock_now(CLOCK_HOST) + 3600 * NS_PER_SEC);
    fired_at = 0;
    pthread_create(&thread, NULL, set_near_timer, NULL);
    while (!fired_at) {
        loop_run_once(-1);
    }
    pthread_join(thread, NULL);
    timer_cancel(&far);
    CHECK(!timer_pending(&from_thread));
}

static void virtual_time_stands_still_while_stopped(void)
{
    clock_virtual_set(1000);
    CHECK_EQ(clock_now(CLOCK_VIRTUAL), 1000);
    CHECK_EQ(clock_now(CLOCK_VIRTUAL), 1000);
    clock_virtual_run(true);
    clock_virtual_run(true);
    int64_t a = clock_now(CLOCK_VIRTUAL);
    while (clock_now(CLOCK_VIRTUAL) < a + 100) {
    }
    clock_virtual_run(false);
    int64_t b = clock_now(CLOCK_VIRTUAL);
    CHECK(b > a);
    CHECK_EQ(clock_now(CLOCK_VIRTUAL), b);

    Timer t;
    timer_init(&t, CLOCK_VIRTUAL, note_time, NULL);
    fired_at = 0;
    timer_set(&t, b - 1);
    loop_run_once(0);
    CHECK(timer_pending(&t));
    clock_virtual_run(true);
    loop_run_once(0);
    CHECK(!timer_pending(&t));
    CHECK(fired_at != 0);
    clock_virtual_run(false);
}

static void the_hosts_time_of_a_clocks_time(void)
{
    int64_t host = clock_now(CLOCK_HOST);

    CHECK_EQ(clock_to_host(CLOCK_HOST, 5), 5);
    CHECK_EQ(clock_to_host(CLOCK_VIRTUAL, 5), INT64_MAX);
    clock_virtual_set(1000);
    clock_virtual_run(true);
    int64_t at = clock_to_host(CLOCK_VIRTUAL, 5000);
    CHECK(at >= host + 4000 && at <= clock_now(CLOCK_HOST) + 4000);
    clock_virtual_run(false);
}

static void a_backup_is_late_by_what_was_asked_for(void)
{
    int64_t start = clock_now(CLOCK_HOST);
    Timer backup, plain;

    timer_init(&backup, CLOCK_HOST, note_time, NULL);
    timer_init(&plain, CLOCK_HOST, note_time, NULL);
    timer_set_backup(&backup, start, 20 * NS_PER_MS);
    timer_set(&plain, start + 5 * NS_PER_MS); /* its deadline is later, its time comes first */
    fired_at = 0;
    while (!fired_at) {
        loop_run_once(-1);
    }
    CHECK(fired_at >= start + 5 * NS_PER_MS);
    CHECK(!timer_pending(&plain));
    if (fired_at < start + 20 * NS_PER_MS) {
        CHECK(timer_pending(&backup));
        CHECK_EQ(backup.deadline, start);
    }
    while (timer_pending(&backup)) {
        loop_run_once(-1);
    }
    CHECK(fired_at >= start + 20 * NS_PER_MS);
    timer_set_backup(&backup, 7, INT64_MAX); /* never, rather than in the past */
    loop_run_once(0);
    CHECK(timer_pending(&backup));
    timer_cancel(&backup);
}

static _Atomic bool stop_hammering;
static _Atomic unsigned long hammered[2];

static void *hammer(void *arg)
{
    unsigned n = (unsigned)(uintptr_t)arg;

    while (!atomic_load(&stop_hammering)) {
        machine_lock();
        for (volatile int i = 0; i < 1000; i++) {
        }
        atomic_fetch_add(&hammered[n], 1);
        machine_unlock();
    }
    return NULL;
}

static void rearm(void *opaque)
{
    timer_set(opaque, 0);
}

static void nobody_starves_at_the_lock(void)
{
    pthread_t threads[2];
    unsigned turns = 0;
    Timer busy;

    timer_init(&busy, CLOCK_HOST, rearm, &busy);
    timer_set(&busy, 0);
    for (unsigned i = 0; i < 2; i++) {
        pthread_create(&threads[i], NULL, hammer, (void *)(uintptr_t)i);
    }
    /* A host with one processor that others use, too, lets each of them run for milliseconds. */
    int64_t end = clock_now(CLOCK_HOST) + 10 * NS_PER_SEC;
    while (clock_now(CLOCK_HOST) < end &&
           (turns <= 100 || atomic_load(&hammered[0]) <= 100 || atomic_load(&hammered[1]) <= 100)) {
        loop_run_once(-1);
        turns++;
    }
    atomic_store(&stop_hammering, true);
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    timer_cancel(&busy);
    printf("# loop turns %u, accesses %lu and %lu\n", turns, hammered[0], hammered[1]);
    CHECK(turns > 100);
    CHECK(hammered[0] > 100);
    CHECK(hammered[1] > 100);
}

static void the_lock_knows_its_owner(void)
{
    CHECK(!machine_lock_held());
    machine_lock();
    CHECK(machine_lock_held());
    machine_unlock();
    CHECK(!machine_lock_held());
}

/* ---- descriptors ---- */

static int reads, writes;
static int pair[2], other[2];

static void read_one(void *opaque)
{
    char c;

    CHECK(machine_lock_held());
    reads += (int)read(*(int *)opaque, &c, 1);
}

static void count_write(void *opaque)
{
    writes++;
}

static void descriptors_call_back(void)
{
    reads = writes = 0;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    loop_set_fd(pair[0], read_one, NULL, &pair[0]);
    loop_run_once(0);
    CHECK_EQ(reads, 0);
    CHECK_EQ(write(pair[1], "ab", 2), 2);
    loop_run_once(-1);
    CHECK_EQ(reads, 1);
    loop_set_fd(pair[0], read_one, count_write, &pair[0]);
    loop_run_once(-1);
    CHECK_EQ(reads, 2);
    CHECK_EQ(writes, 1);
    loop_set_fd(pair[0], NULL, NULL, NULL);
    CHECK_EQ(write(pair[1], "c", 1), 1);
    loop_run_once(0);
    CHECK_EQ(reads, 2);
    CHECK_EQ(writes, 1);
    close(pair[0]);
    close(pair[1]);
}

static void drop_both(void *opaque)
{
    reads++;
    loop_set_fd(pair[0], NULL, NULL, NULL);
    loop_set_fd(other[0], NULL, NULL, NULL);
}

static void a_removed_handler_is_not_called(void)
{
    reads = 0;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, other), 0);
    loop_set_fd(pair[0], drop_both, NULL, NULL);
    loop_set_fd(other[0], drop_both, NULL, NULL);
    CHECK_EQ(write(pair[1], "a", 1), 1);
    CHECK_EQ(write(other[1], "a", 1), 1);
    loop_run_once(0);
    CHECK_EQ(reads, 1);
    loop_run_once(0);
    CHECK_EQ(reads, 1);
    for (unsigned i = 0; i < 2; i++) {
        close(pair[i]);
        close(other[i]);
    }
}

static void hang_up_is_reported_to_the_reader(void)
{
    reads = 0;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    loop_set_fd(pair[0], drop_both, NULL, NULL);
    other[0] = pair[0];
    close(pair[1]);
    loop_run_once(-1);
    CHECK_EQ(reads, 1);
    close(pair[0]);
}

static void a_number_closed_and_used_again_works(void)
{
    reads = 0;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    loop_set_fd(pair[0], read_one, NULL, &pair[0]);
    int number = pair[0];
    close(pair[0]);
    close(pair[1]);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    CHECK_EQ(pair[0], number);
    loop_set_fd(pair[0], read_one, NULL, &pair[0]);
    CHECK_EQ(write(pair[1], "a", 1), 1);
    loop_run_once(-1);
    CHECK_EQ(reads, 1);
    loop_set_fd(pair[0], NULL, NULL, NULL);
    close(pair[0]);
    close(pair[1]);
}

static void a_regular_file_is_always_ready(void)
{
    int fd = open("/proc/self/exe", O_RDONLY);

    reads = 0;
    loop_set_fd(fd, read_one, NULL, &fd);
    loop_run_once(-1);
    loop_run_once(-1);
    CHECK_EQ(reads, 2);
    loop_set_fd(fd, NULL, NULL, NULL);
    loop_run_once(0);
    CHECK_EQ(reads, 2);
    close(fd);
}

/* ---- deferred calls ---- */

static char order[64];

static void add_letter(void *opaque)
{
    strcat(order, opaque);
}

static void defer_more(void *opaque)
{
    strcat(order, "(");
    loop_defer(add_letter, "later");
    strcat(order, ")");
}

static void inner_turn(void *opaque)
{
    strcat(order, "[");
    loop_run_once(0);
    strcat(order, "]");
}

static void deferred_calls_run_in_order(void)
{
    order[0] = 0;
    loop_defer(add_letter, "a");
    loop_defer(defer_more, NULL);
    loop_defer(add_letter, "b");
    loop_run_once(-1);
    CHECK_STR(order, "a()b");
    loop_run_once(-1);
    CHECK_STR(order, "a()blater");
}

static void an_inner_turn_runs_the_rest(void)
{
    order[0] = 0;
    loop_defer(inner_turn, NULL);
    loop_defer(add_letter, "x");
    loop_run_once(-1);
    CHECK_STR(order, "[x]");
}

static void quit_with(void *opaque)
{
    loop_quit(*(int *)opaque);
}

static void *quit_from_thread(void *arg)
{
    usleep(2000);
    loop_quit(7);
    return NULL;
}

static void quits_with_its_status(void)
{
    int status = 42;
    pthread_t thread;

    loop_defer(quit_with, &status);
    CHECK_EQ(loop_run(), 42);
    pthread_create(&thread, NULL, quit_from_thread, NULL);
    CHECK_EQ(loop_run(), 7);
    pthread_join(thread, NULL);
}

/* ---- stepped clocks ---- */

typedef struct Ring {
    Timer timer;
    const char *letter;
    int64_t period, rang_at;
} Ring;

static void ring(void *opaque)
{
    Ring *r = opaque;

    strcat(order, r->letter);
    r->rang_at = clock_now(r->timer.clock);
    if (r->period) {
        timer_set(&r->timer, r->rang_at + r->period);
    }
}

static void stepping_runs_timers_in_order(void)
{
    Ring a = {.letter = "a", .period = 30}, b = {.letter = "b"}, c = {.letter = "c"};

    clock_use_stepped();
    order[0] = 0;
    int64_t v = clock_now(CLOCK_VIRTUAL), h = clock_now(CLOCK_HOST);
    timer_init(&a.timer, CLOCK_VIRTUAL, ring, &a);
    timer_init(&b.timer, CLOCK_HOST, ring, &b);
    timer_init(&c.timer, CLOCK_VIRTUAL, ring, &c);
    timer_set(&a.timer, v + 30);
    timer_set(&b.timer, h + 45);
    timer_set(&c.timer, v + 1000);
    clock_step(29);
    CHECK_STR(order, "");
    clock_step(71);
    CHECK_STR(order, "abaa");
    CHECK_EQ(a.rang_at, v + 90);
    CHECK_EQ(b.rang_at, h + 45);
    CHECK_EQ(clock_now(CLOCK_VIRTUAL), v + 100);
    CHECK_EQ(clock_now(CLOCK_HOST), h + 100);
    timer_cancel(&a.timer);
    CHECK(!timer_pending(&a.timer));
    timer_set(&c.timer, v + 110);
    clock_step(10);
    CHECK_STR(order, "abaac");
    clock_step(5000);
    CHECK_STR(order, "abaac");
}

static void a_stopped_virtual_clock_is_not_stepped(void)
{
    Ring a = {.letter = "a"};

    order[0] = 0;
    int64_t v = clock_now(CLOCK_VIRTUAL), h = clock_now(CLOCK_HOST);
    timer_init(&a.timer, CLOCK_VIRTUAL, ring, &a);
    timer_set(&a.timer, v + 10);
    clock_virtual_run(false);
    clock_step(100);
    CHECK_EQ(clock_now(CLOCK_VIRTUAL), v);
    CHECK_EQ(clock_now(CLOCK_HOST), h + 100);
    CHECK_STR(order, "");
    clock_virtual_run(true);
    clock_step(10);
    CHECK_STR(order, "a");
}

/* The heap against a plain search for the earliest, under random sets, moves and cancels. */
static void random_timers_fire_earliest_first(void)
{
    enum { N = 100 };
    static Ring rings[N];
    unsigned seed = 1;
    int64_t last = 0;

    for (unsigned i = 0; i < N; i++) {
        rings[i] = (Ring){.letter = ""};
        timer_init(&rings[i].timer, CLOCK_VIRTUAL, ring, &rings[i]);
    }
    for (unsigned round = 0; round < 20000; round++) {
        Ring *r = &rings[(unsigned)rand_r(&seed) % N];
        int64_t now = clock_now(CLOCK_VIRTUAL);
        switch (rand_r(&seed) % 4) {
        case 0:
            timer_cancel(&r->timer);
            break;
        case 1: {
            int64_t first = INT64_MAX;
            for (unsigned i = 0; i < N; i++) {
                if (timer_pending(&rings[i].timer) && rings[i].timer.deadline < first) {
                    first = rings[i].timer.deadline;
                }
            }
            if (first != INT64_MAX) {
                int64_t due = first > now ? first : now;
                clock_step(due - now);
                CHECK(clock_now(CLOCK_VIRTUAL) == due && due >= last);
                for (unsigned i = 0; i < N; i++) {
                    CHECK(!timer_pending(&rings[i].timer) || rings[i].timer.deadline > due);
                }
                last = due;
            }
            break;
        }
        default:
            timer_set(&r->timer, now + rand_r(&seed) % 1000);
        }
    }
    for (unsigned i = 0; i < N; i++) {
        timer_cancel(&rings[i].timer);
    }
}

TESTS(TEST(fires_on_time_when_idle), TEST(a_nearer_timer_of_a_thread_wakes_the_loop),
      TEST(virtual_time_stands_still_while_stopped), TEST(the_hosts_time_of_a_clocks_time),
      TEST(a_backup_is_late_by_what_was_asked_for), TEST(the_lock_knows_its_owner),
      TEST(nobody_starves_at_the_lock), TEST(descriptors_call_back),
      TEST(a_removed_handler_is_not_called), TEST(hang_up_is_reported_to_the_reader),
      TEST(a_number_closed_and_used_again_works), TEST(a_regular_file_is_always_ready),
      TEST(deferred_calls_run_in_order), TEST(an_inner_turn_runs_the_rest),
      TEST(quits_with_its_status), TEST(stepping_runs_timers_in_order),
      TEST(a_stopped_virtual_clock_is_not_stepped), TEST(random_timers_fire_earliest_first))
