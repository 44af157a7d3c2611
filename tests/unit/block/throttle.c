/*
 * Throttle groups, on a stepped clock: average rates, bursts and their length, large requests,
 * reads against writes, drives that share a group, limits that change or are lifted while requests
 * wait.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/throttle.h"

#include "util/coroutine.h"
#include "util/loop.h"

#include "../test-loop.h"
#include "../test.h"

enum { MAX_REQUESTS = 20000 };

typedef struct Request {
    ThrottleGroup *group;
    bool write;
    uint64_t bytes;
    int64_t gone; /* ns since the test began; -1: waits */
} Request;

static Request requests[MAX_REQUESTS];
static unsigned count;
static unsigned lifted;
static int64_t began;
static Error *err;

static void set_up(void)
{
    if (test_start_loop()) {
        clock_use_stepped();
    }
    count = lifted = 0;
    began = clock_now(CLOCK_HOST);
    error_free(err);
    err = NULL;
}

static void entry(void *opaque)
{
    Request *r = opaque;

    throttle_wait(r->group, r->write, r->bytes, &lifted);
    r->gone = clock_now(CLOCK_HOST) - began;
}

static void start(ThrottleGroup *g, bool write, uint64_t bytes, unsigned n)
{
    for (; n; n--) {
        Request *r = &requests[count++];
        *r = (Request){g, write, bytes, -1};
        coroutine_enter(coroutine_create(entry, r));
    }
}

static unsigned gone(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < count; i++) {
        n += requests[i].gone >= 0;
    }
    return n;
}

static unsigned gone_after(int64_t ms)
{
    clock_step(began + ms * NS_PER_MS - clock_now(CLOCK_HOST));
    return gone();
}

static ThrottleGroup *group(BlkLimits l)
{
    ThrottleGroup *g = throttle_join("g");

    throttle_set(g, &l);
    return g;
}

static void averages_hold(void)
{
    set_up();
    ThrottleGroup *g = group((BlkLimits){.rate[BLK_BPS_TOTAL].avg = 10000});
    start(g, true, 500, 200);
    /* 1000 bytes make up a tenth of a second: the bucket is too full behind the third. */
    CHECK_EQ(gone(), 3);
    CHECK_EQ(gone_after(49), 3);
    CHECK_EQ(gone_after(51), 4);
    CHECK_EQ(gone_after(1051), 24);
    CHECK_EQ(gone_after(9000), 182);
    CHECK_EQ(gone_after(9851), 200);
    for (unsigned i = 1; i < count; i++) {
        CHECK(requests[i].gone >= requests[i - 1].gone); /* in their order */
    }
    throttle_leave(g);
}

/* A burst of a second has any rate, then the average holds; the burst is there again later. */
static void bursts(void)
{
    set_up();
    ThrottleGroup *g = group((BlkLimits){.rate[BLK_IOPS_TOTAL] = {.avg = 100, .max = 1000}});
    start(g, false, 4096, 1600);
    CHECK_EQ(gone(), 1001);
    CHECK_EQ(gone_after(1001), 1101);
    CHECK_EQ(gone_after(6001), 1600);
    CHECK_EQ(gone_after(20000), 1600);
    start(g, false, 4096, 1500);
    CHECK_EQ(gone(), 1600 + 1001);
    gone_after(30000);
    CHECK_EQ(gone(), 3100);
    throttle_leave(g);
}

/* 1000 a second for 5 seconds, in which 100 a second leak: the bucket of 5000 lasts 5000/900 s. */
static void long_bursts_keep_their_rate(void)
{
    set_up();
    ThrottleGroup *g =
        group((BlkLimits){.rate[BLK_IOPS_WRITE] = {.avg = 100, .max = 1000, .length = 5}});
    start(g, true, 512, 7000);
    CHECK_EQ(gone(), 101);
    CHECK(gone_after(1000) >= 1100 && gone() <= 1102);
    CHECK(gone_after(4000) >= 4100 && gone() <= 4102);
    unsigned end = gone_after(5600);
    CHECK(end > 5500 && end < 5600);
    CHECK(gone_after(6600) - end >= 99 && gone() - end <= 101);
    gone_after(30000);
    CHECK_EQ(gone(), 7000);
    throttle_leave(g);
}

static void large_requests_count_as_several(void)
{
    set_up();
    ThrottleGroup *g =
        group((BlkLimits){.rate[BLK_IOPS_TOTAL] = {.avg = 100, .max = 160}, .iops_size = 4096});
    start(g, true, 65536, 30); /* 16 each */
    CHECK_EQ(gone(), 11);
    CHECK_EQ(gone_after(161), 12);
    gone_after(1000);
    start(g, true, 512, 1); /* not less than one, behind the others */
    gone_after(10000);
    CHECK_EQ(gone(), 31);
    throttle_leave(g);
}

static void reads_and_writes(void)
{
    set_up();
    ThrottleGroup *g = group((BlkLimits){.rate[BLK_IOPS_READ].avg = 10});
    start(g, false, 512, 20);
    CHECK_EQ(gone(), 2);
    start(g, true, 512, 20);
    CHECK_EQ(gone(), 22); /* writes have no limit */
    gone_after(10000);
    throttle_leave(g);

    set_up();
    g = group((BlkLimits){.rate[BLK_IOPS_TOTAL].avg = 10});
    start(g, false, 512, 20);
    start(g, true, 512, 20);
    CHECK_EQ(gone(), 2);
    CHECK_EQ(gone_after(1001), 12); /* both together */
    CHECK_EQ(gone_after(4000), 40);
    throttle_leave(g);
}

static void drives_share_a_group(void)
{
    set_up();
    ThrottleGroup *a = group((BlkLimits){.rate[BLK_IOPS_TOTAL].avg = 10}), *b = throttle_join("g"),
                  *c = throttle_join("another");
    CHECK(a == b && a != c);
    start(a, true, 512, 10);
    start(b, true, 512, 10);
    start(c, true, 512, 10);
    CHECK_EQ(gone(), 12);
    CHECK_EQ(gone_after(501), 17);
    throttle_leave(a);
    throttle_leave(b); /* those that wait keep it */
    CHECK_EQ(gone_after(3000), 30);
    throttle_leave(c);
    c = throttle_join("g");
    CHECK(!throttle_limits_any(throttle_limits(c)));
    throttle_leave(c);
}

static void limits_change_meanwhile(void)
{
    set_up();
    ThrottleGroup *g = group((BlkLimits){.rate[BLK_BPS_TOTAL].avg = 1});
    start(g, true, 1 << 20, 5);
    CHECK_EQ(gone(), 1);
    CHECK_EQ(gone_after(3600000), 1); /* 12 days each */
    throttle_set(g, &(BlkLimits){.rate[BLK_IOPS_TOTAL].avg = 1});
    CHECK_EQ(gone(), 2);
    CHECK_EQ(gone_after(3602001), 4);
    throttle_set(g, &(BlkLimits){0});
    CHECK_EQ(gone(), 5);
    throttle_leave(g);
}

static void limits_are_lifted(void)
{
    set_up();
    ThrottleGroup *g = group((BlkLimits){.rate[BLK_BPS_TOTAL].avg = 1});
    start(g, true, 1 << 20, 3);
    start(g, false, 1 << 20, 3);
    CHECK_EQ(gone(), 1);
    lifted = 1;
    throttle_look_again(g);
    CHECK_EQ(gone(), 6);
    start(g, false, 1 << 20, 3);
    CHECK_EQ(gone(), 9);
    lifted = 0;
    throttle_set(g, &(BlkLimits){0});
    throttle_leave(g);
}

static void refused(BlkLimits l, const char *why)
{
    set_up();
    CHECK(!throttle_check(&l, &err));
    CHECK(err && strstr(error_text(err), why));
}

static void mistakes_are_told(void)
{
    refused((BlkLimits){.rate[BLK_BPS_TOTAL].avg = 1, .rate[BLK_BPS_READ].avg = 1}, "exclude");
    refused((BlkLimits){.rate[BLK_IOPS_TOTAL].avg = 1, .rate[BLK_IOPS_WRITE].avg = 1}, "exclude");
    refused((BlkLimits){.rate[BLK_IOPS_TOTAL].max = 1}, "not there");
    refused((BlkLimits){.rate[BLK_IOPS_TOTAL] = {10, 9, 0}}, "lower");
    refused((BlkLimits){.rate[BLK_IOPS_TOTAL] = {10, 0, 5}}, "requires its rate");
    refused((BlkLimits){.rate[BLK_IOPS_TOTAL] = {10, 1000000000000000, 2}}, "too high");
    refused((BlkLimits){.rate[BLK_BPS_WRITE].avg = 1000000000000001}, "within");
    refused((BlkLimits){.rate[BLK_BPS_WRITE].avg = 1, .iops_size = 512}, "iops");
    set_up();
    CHECK(throttle_check(&(BlkLimits){.rate[BLK_BPS_READ].avg = 5, .rate[BLK_IOPS_TOTAL].avg = 5},
                         &err));
}

TESTS(TEST(averages_hold), TEST(bursts), TEST(long_bursts_keep_their_rate),
      TEST(large_requests_count_as_several), TEST(reads_and_writes), TEST(drives_share_a_group),
      TEST(limits_change_meanwhile), TEST(limits_are_lifted), TEST(mistakes_are_told))
