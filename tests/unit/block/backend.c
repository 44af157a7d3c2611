/*
 * Block backends on raw files: asynchronous requests, bounds, read-only, locks, the overlay of
 * snapshot=on, medium changes, refused files.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/block.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/node.h"
#include "util/loop.h"

#include "../test-loop.h"
#include "../test.h"

enum { SIZE = 1 << 20 };

static char path[64];
static int results[16];
static unsigned completed;
static Error *err;

static void set_up(void)
{
    test_start_loop();
    strcpy(path, "/tmp/vole-block-XXXXXX");
    int fd = mkstemp(path);
    uint8_t data[4096];
    for (unsigned i = 0; i < SIZE / sizeof(data); i++) {
        memset(data, i, sizeof(data));
        if (write(fd, data, sizeof(data)) != sizeof(data)) {
            abort();
        }
    }
    close(fd);
    completed = 0;
    error_free(err);
    err = NULL;
}

static void tear_down(void)
{
    blk_close_all();
    unlink(path);
}

static void done(void *opaque, int ret)
{
    *(int *)opaque = ret;
    completed++;
}

static BlockBackend *open_as(const char *id, BlkOpenOptions o)
{
    o.file = o.file ? o.file : path;
    return blk_open(id, &o, &err);
}

static int wait_for(BlockBackend *blk, int *result)
{
    blk_drain(blk);
    return *result;
}

static int read_at(BlockBackend *blk, uint64_t offset, void *buf, size_t bytes)
{
    struct iovec iov = {buf, bytes};
    blk_readv(blk, offset, &iov, 1, done, &results[0]);
    return wait_for(blk, &results[0]);
}

static int write_at(BlockBackend *blk, uint64_t offset, void *buf, size_t bytes)
{
    struct iovec iov = {buf, bytes};
    blk_writev(blk, offset, &iov, 1, done, &results[0]);
    return wait_for(blk, &results[0]);
}

static void requests_complete_on_the_loop(void)
{
    static uint8_t a[8192], b[512], c[8192];
    struct iovec iov[2] = {{a, sizeof(a)}, {b, sizeof(b)}};

    set_up();
    BlockBackend *blk = open_as("d0", (BlkOpenOptions){0});
    CHECK(blk);
    CHECK_EQ(blk_size(blk), SIZE);
    CHECK(blk_find("d0") == blk);
    blk_readv(blk, 4096, iov, 2, done, &results[0]);
    CHECK_EQ(completed, 0); /* never inside the call */
    blk_drain(blk);
    CHECK_EQ(completed, 1);
    CHECK_EQ(results[0], 0);
    CHECK_EQ(a[0], 1);
    CHECK_EQ(a[4096], 2);
    CHECK_EQ(b[511], 3);
    memset(a, 0xcc, sizeof(a));
    for (int i = 0; i < 10; i++) {
        struct iovec w = {a, 512};
        blk_writev(blk, 512 * i, &w, 1, done, &results[i]);
    }
    blk_flush(blk, done, &results[10]);
    blk_drain(NULL);
    CHECK_EQ(completed, 12);
    CHECK_EQ(read_at(blk, 0, c, 8192), 0);
    CHECK_EQ(c[5119], 0xcc);
    CHECK_EQ(c[5120], 1);
    CHECK_EQ(blk_stats(blk)->done[BLK_WRITE], 10);
    CHECK_EQ(blk_stats(blk)->done[BLK_FLUSH], 1);
    CHECK_EQ(blk_stats(blk)->bytes[BLK_READ], 8192 + 512 + 8192);
    tear_down();
}

static void bounds_and_permissions(void)
{
    uint8_t buf[1024];

    set_up();
    BlockBackend *blk = open_as("d0", (BlkOpenOptions){.readonly = true});
    CHECK(blk);
    CHECK(blk_readonly(blk));
    CHECK_EQ(write_at(blk, 0, buf, 512), -EROFS);
    CHECK_EQ(read_at(blk, SIZE - 512, buf, 1024), -ENXIO);
    CHECK_EQ(read_at(blk, UINT64_MAX - 511, buf, 512), -ENXIO);
    CHECK_EQ(read_at(blk, 100, buf, 512), -EINVAL);
    CHECK_EQ(read_at(blk, SIZE - 512, buf, 512), 0);
    CHECK_EQ(blk_stats(blk)->failed[BLK_READ] + blk_stats(blk)->failed[BLK_WRITE], 4);
    tear_down();
}

static void odd_sizes_show_zeroes(void)
{
    uint8_t buf[512];
    struct stat st;

    set_up();
    CHECK_EQ(truncate(path, 1000), 0);
    BlockBackend *blk = open_as("d0", (BlkOpenOptions){0});
    CHECK_EQ(blk_size(blk), 1024);
    memset(buf, 0xff, sizeof(buf));
    CHECK_EQ(read_at(blk, 512, buf, 512), 0);
    CHECK_EQ(buf[488], 0);
    memset(buf, 0xee, sizeof(buf));
    CHECK_EQ(write_at(blk, 512, buf, 512), 0);
    CHECK_EQ(stat(path, &st), 0);
    CHECK_EQ(st.st_size, 1024);
    tear_down();
}

static void a_second_writer_is_refused(void)
{
    set_up();
    CHECK(open_as("w", (BlkOpenOptions){0}));
    CHECK(!open_as("w2", (BlkOpenOptions){0}));
    CHECK(strstr(error_text(err), path));
    CHECK(strstr(error_text(err), "in use"));
    error_free(err);
    err = NULL;
    CHECK(!open_as("r", (BlkOpenOptions){.readonly = true}));
    tear_down();
    set_up();
    CHECK(open_as("r1", (BlkOpenOptions){.readonly = true}));
    CHECK(open_as("r2", (BlkOpenOptions){.readonly = true}));
    CHECK(open_as("s", (BlkOpenOptions){.snapshot = true}));
    CHECK(!open_as("w", (BlkOpenOptions){0}));
    tear_down();
}

static void overlay_leaves_the_image_alone(void)
{
    static uint8_t buf[16384], back[16384];
    uint8_t file[4096];

    set_up();
    BlockBackend *blk = open_as("s", (BlkOpenOptions){.snapshot = true});
    CHECK(blk);
    CHECK(!blk_readonly(blk));
    memset(buf, 0x99, sizeof(buf));
    CHECK_EQ(write_at(blk, 4096 + 512, buf, 1024), 0);
    CHECK_EQ(write_at(blk, 12288, buf, 512), 0);
    CHECK_EQ(read_at(blk, 0, back, 16384), 0);
    for (unsigned i = 0; i < sizeof(back); i++) {
        bool written = (i >= 4608 && i < 5632) || (i >= 12288 && i < 12800);
        CHECK_EQ(back[i], written ? 0x99 : i / 4096);
    }
    int fd = open(path, O_RDONLY);
    CHECK_EQ(pread(fd, file, sizeof(file), 4096), 4096);
    close(fd);
    CHECK_EQ(file[512], 1);
    tear_down();
}

static bool changed;

static void medium_changed(void *opaque)
{
    changed = true;
}

static void media_come_and_go(void)
{
    uint8_t buf[512];

    set_up();
    BlkOpenOptions none = {.cdrom = true};
    BlockBackend *blk = blk_open("cd", &none, &err);
    CHECK(blk);
    CHECK(!blk_has_medium(blk));
    CHECK_EQ(read_at(blk, 0, buf, 512), -ENOMEDIUM);
    blk_set_change_handler(blk, medium_changed, NULL);
    BlkOpenOptions in = {.file = path};
    CHECK(blk_change_medium(blk, &in, &err));
    CHECK(changed && blk_readonly(blk));
    CHECK_EQ(read_at(blk, 4096, buf, 512), 0);
    CHECK_EQ(buf[0], 1);
    changed = false;
    BlkOpenOptions wrong = {.file = "/nonexistent/disc.iso"};
    CHECK(!blk_change_medium(blk, &wrong, &err));
    CHECK(strstr(error_text(err), "disc.iso"));
    CHECK(!changed && !strcmp(blk_file(blk), path)); /* the old one is still in */
    CHECK_EQ(read_at(blk, 4096, buf, 512), 0);
    CHECK(blk_change_medium(blk, &in, &err) && changed); /* the same again */
    blk_eject(blk);
    CHECK(changed && !blk_file(blk));
    tear_down();
}

static void says_what_is_wrong_with_a_file(void)
{
    set_up();
    CHECK(!open_as("d", (BlkOpenOptions){.file = "/nonexistent/disk.img"}));
    CHECK(strstr(error_text(err), "/nonexistent/disk.img"));
    error_free(err);
    err = NULL;
    CHECK(!open_as("d", (BlkOpenOptions){.file = "/tmp", .readonly = true}));
    CHECK(strstr(error_text(err), "directory"));
    error_free(err);
    err = NULL;
    CHECK(!open_as("d", (BlkOpenOptions){.format = "nosuch"}));
    CHECK(strstr(error_text(err), "nosuch"));
    error_free(err);
    err = NULL;
    int fd = open(path, O_WRONLY);
    CHECK_EQ(pwrite(fd, "QED", 4, 0), 4);
    close(fd);
    CHECK(!open_as("d", (BlkOpenOptions){0}));
    CHECK(strstr(error_text(err), "qed"));
    error_free(err);
    err = NULL;
    CHECK(open_as("d", (BlkOpenOptions){.format = "raw"}));
    CHECK(!open_as("d", (BlkOpenOptions){.format = "raw", .readonly = true}));
    tear_down();
}

static void nothing(void *opaque)
{
}

static void limits_do_not_let_requests_slip_through(void)
{
    uint8_t buf[512] = {1};
    struct iovec iov = {buf, sizeof(buf)};

    set_up();
    BlockBackend *blk = open_as("d0", (BlkOpenOptions){.limits = {.rate[BLK_IOPS_TOTAL].avg = 1}});
    BlockNode *node = blk_node(blk);
    for (int i = 0; i < 3; i++) {
        results[i] = 1;
        blk_writev(blk, 512 * i, &iov, 1, done, &results[i]);
    }
    while (!completed) {
        loop_run_once(-1);
    }
    bdrv_drained_begin(node); /* two of them wait for their time */
    int64_t end = clock_now(CLOCK_HOST) + 1500 * NS_PER_MS;
    Timer nudge;
    timer_init(&nudge, CLOCK_HOST, nothing, NULL);
    timer_set(&nudge, end);
    while (clock_now(CLOCK_HOST) < end) {
        loop_run_once(-1);
    }
    CHECK_EQ(completed, 1);
    bdrv_drained_end(node);
    blk_drain(blk);
    CHECK_EQ(completed, 3);
    CHECK_EQ(results[2], 0);
    tear_down();
}

TESTS(TEST(limits_do_not_let_requests_slip_through), TEST(requests_complete_on_the_loop),
      TEST(bounds_and_permissions), TEST(odd_sizes_show_zeroes), TEST(a_second_writer_is_refused),
      TEST(overlay_leaves_the_image_alone), TEST(media_come_and_go),
      TEST(says_what_is_wrong_with_a_file))
