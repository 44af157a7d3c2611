/*
 * The worker pool: items run off the main thread and at the same time, completions on the main
 * thread under the lock, also when a completion submits more or runs the loop itself.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/worker.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "util/loop.h"

#include "../test-loop.h"
#include "../test.h"

enum { ITEMS = 1000 };

typedef struct TestItem {
    WorkItem item; /* first */
    pthread_t worked_on;
    bool worked, done, lock_held;
} TestItem;

static TestItem items[ITEMS];
static unsigned done_count;
static atomic_uint meeting;

static void set_up(void)
{
    test_start_loop();
    memset(items, 0, sizeof(items));
    done_count = 0;
    meeting = 0;
}

static void work(WorkItem *item)
{
    TestItem *t = (TestItem *)item;
    t->worked_on = pthread_self();
    t->worked = true;
}

static void done(WorkItem *item)
{
    TestItem *t = (TestItem *)item;
    t->done = t->worked;
    t->lock_held = machine_lock_held();
    done_count++;
}

static void submit(TestItem *t, void (*w)(WorkItem *), void (*d)(WorkItem *))
{
    t->item.work = w;
    t->item.done = d;
    worker_submit(&t->item);
}

static void every_item_is_done_once(void)
{
    set_up();
    for (int i = 0; i < ITEMS; i++) {
        submit(&items[i], work, done);
    }
    CHECK_EQ(done_count, 0);
    while (done_count < ITEMS) {
        loop_run_once(-1);
    }
    for (int i = 0; i < ITEMS; i++) {
        CHECK(items[i].done && items[i].lock_held);
        CHECK(!pthread_equal(items[i].worked_on, pthread_self()));
    }
}

/* Each waits for the other: one thread alone could not finish them. */
static void work_meeting(WorkItem *item)
{
    meeting++;
    while (meeting < 2) {
        usleep(100);
    }
    work(item);
}

static void items_run_at_the_same_time(void)
{
    set_up();
    submit(&items[0], work_meeting, done);
    submit(&items[1], work_meeting, done);
    while (done_count < 2) {
        loop_run_once(-1);
    }
    CHECK(items[0].done && items[1].done);
}

static void done_runs_the_loop(WorkItem *item)
{
    done(item);
    submit(&items[5], work, done);
    while (!items[5].done || !items[2].done) {
        loop_run_once(-1);
    }
}

static void completions_may_wait_for_others(void)
{
    set_up();
    submit(&items[0], work, done_runs_the_loop);
    submit(&items[1], work, done);
    submit(&items[2], work, done);
    while (done_count < 4) {
        loop_run_once(-1);
    }
    CHECK(items[0].done && items[1].done && items[2].done && items[5].done);
}

static int policy;

static void work_noting_policy(WorkItem *item)
{
    policy = sched_getscheduler(0);
    work(item);
}

static void background_items_run_in_the_lowest_class(void)
{
    set_up();
    for (int i = 0; i < ITEMS - 1; i++) {
        items[i].item.work = i ? work : work_noting_policy;
        items[i].item.done = done;
        worker_submit_background(&items[i].item);
    }
    submit(&items[ITEMS - 1], work, done); /* the other pool, which is not held up */
    while (done_count < ITEMS) {
        loop_run_once(-1);
    }
    CHECK_EQ(policy, SCHED_IDLE);
    for (int i = 0; i < ITEMS; i++) {
        CHECK(items[i].done && items[i].lock_held);
    }
}

enum { COMPUTING = 40 };
static atomic_uint computing_now, most_computing;
static atomic_bool go_on;

static void compute(WorkItem *item)
{
    unsigned now = atomic_fetch_add(&computing_now, 1) + 1, most = most_computing;

    while (now > most && !atomic_compare_exchange_weak(&most_computing, &most, now)) {
    }
    while (!go_on) {
        usleep(100);
    }
    atomic_fetch_sub(&computing_now, 1);
    work(item);
}

static void computing_keeps_to_the_processors(void)
{
    cpu_set_t set;

    set_up();
    CHECK_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
    for (int i = 0; i < COMPUTING; i++) {
        items[i].item.work = compute;
        items[i].item.done = done;
        worker_compute(&items[i].item);
    }
    /* What waits for the host is not held up by it, unless it has all threads there are. */
    if (CPU_COUNT(&set) < 8) {
        submit(&items[COMPUTING], work, done);
        while (!items[COMPUTING].done) {
            loop_run_once(-1);
        }
        CHECK_EQ(done_count, 1);
    } else {
        done_count++;
    }
    go_on = true;
    while (done_count < COMPUTING + 1) {
        loop_run_once(-1);
    }
    CHECK(most_computing <= (unsigned)CPU_COUNT(&set));
}

static pthread_t main_thread;
static atomic_uint on_main;

/* The main thread's first ends when as many workers compute as may. */
static void compute_beside_main(WorkItem *item)
{
    cpu_set_t set;

    if (!pthread_equal(pthread_self(), main_thread)) {
        compute(item);
        return;
    }
    sched_getaffinity(0, sizeof(set), &set);
    unsigned others = (unsigned)CPU_COUNT(&set) - 1 < 8 ? (unsigned)CPU_COUNT(&set) - 1 : 8;
    for (int i = 0; i < 20000 && computing_now < others && !go_on; i++) {
        usleep(100);
    }
    if (!go_on) {
        CHECK_EQ(computing_now, others);
    }
    on_main++;
    go_on = true;
    work(item);
}

static void the_main_thread_has_a_processor(void)
{
    cpu_set_t set;

    set_up();
    CHECK_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
    main_thread = pthread_self();
    go_on = false;
    most_computing = 0;
    worker_use_main_thread();
    CHECK(!worker_computes());
    for (int i = 0; i < COMPUTING; i++) {
        items[i].item.work = compute_beside_main;
        items[i].item.done = done;
        worker_compute(&items[i].item);
    }
    CHECK(worker_computes());
    while (done_count < COMPUTING) {
        loop_run_once(-1);
    }
    CHECK(on_main > 0);
    CHECK(most_computing < (unsigned)CPU_COUNT(&set));
    CHECK(!worker_computes());
}

TESTS(TEST(every_item_is_done_once), TEST(items_run_at_the_same_time),
      TEST(background_items_run_in_the_lowest_class), TEST(completions_may_wait_for_others),
      TEST(computing_keeps_to_the_processors), TEST(the_main_thread_has_a_processor))
