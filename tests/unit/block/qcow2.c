/*
 * qcow2 from inside, where tools do not reach: discards in front of a backing file, disks that grow
 * and shrink around machine state, backing files and storage that was used before.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdlib.h>

#include "block/driver.h"
#include "block/mem.h"
#include "util/loop.h"

#include "../test-loop.h"
#include "../test.h"

enum { SIZE = 1 << 20, CLUSTER = 4096 };

static MemDisk *disk, *base;
static Error *err;

static void set_up(void)
{
    test_start_loop();
    disk = mem_disk_new("disk", NULL, 0);
    base = mem_disk_new("base", NULL, SIZE);
    memset(base->data, 0x11, SIZE);
}

static void tear_down(void)
{
    mem_disk_free(disk);
    mem_disk_free(base);
    error_free(err);
    err = NULL;
}

static BlockChild *make(const char *options, uint64_t size, const char *backing)
{
    BlockOptions *o = blkopts_new();

    bool ok = blkopts_parse(o, options, NULL, &err) &&
              bdrv_create("qcow2", "mem:disk", size, backing, backing ? "raw" : NULL, o, &err);
    blkopts_free(o);
    return !ok ? NULL
               : bdrv_open_root("mem:disk", NULL, BDRV_O_RDWR | BDRV_O_UNMAP | BDRV_O_RESIZE, &err);
}

static void write_bytes(BlockChild *c, uint64_t offset, uint64_t bytes, uint8_t value)
{
    uint8_t *buf = malloc(bytes);

    memset(buf, value, bytes);
    CHECK_EQ(bdrv_pwrite(c, offset, bytes, buf, 0), 0);
    free(buf);
}

/* All of the range has one value; -1: it has not, -2: it cannot be read. */
static int value_of(BlockChild *c, uint64_t offset, uint64_t bytes)
{
    uint8_t *buf = malloc(bytes);

    int value = bdrv_pread(c, offset, bytes, buf) < 0 ? -2 : buf[0];
    for (uint64_t i = 1; i < bytes; i++) {
        value = value >= 0 && buf[i] != buf[0] ? -1 : value;
    }
    free(buf);
    return value;
}

static void check_clean(BlockChild *c)
{
    BlockCheck check = {0};

    CHECK_EQ(bdrv_check(bdrv_child_node(c), &check, 0), 0);
    CHECK_EQ(check.corruptions, 0);
    CHECK_EQ(check.leaks, 0);
}

static void a_discard_does_not_uncover_old_data(void)
{
    static const char *const versions[] = {"cluster_size=4k,compat=0.10", "cluster_size=4k"};

    for (unsigned i = 0; i < 2; i++) {
        set_up();
        BlockChild *c = make(versions[i], SIZE, "mem:base");
        write_bytes(c, 0, 4 * CLUSTER, 0x22);
        CHECK_EQ(bdrv_pdiscard(c, CLUSTER, CLUSTER), 0);
        CHECK_EQ(value_of(c, CLUSTER, CLUSTER), i ? 0 : 0x22); /* version 2 has no zeroes */
        bdrv_root_detach(c);
        tear_down();
    }
}

static void a_smaller_disk_loses_machine_state(void)
{
    uint8_t state[3 * CLUSTER];
    BlockSnapshot sn = {.name = "vm", .vm_state_size = sizeof(state), .icount = UINT64_MAX};

    set_up();
    BlockChild *c = make("cluster_size=4k", SIZE, NULL);
    BlockNode *node = bdrv_child_node(c);
    memset(state, 0x31, sizeof(state));
    CHECK_EQ(bdrv_save_vmstate(node, 0, state, sizeof(state)), 0);
    CHECK(bdrv_snapshot_create(node, &sn, &err));
    CHECK(bdrv_snapshot_goto(node, "vm", &err)); /* it stands behind the disk again */
    CHECK(bdrv_truncate(c, SIZE / 2, false, PREALLOC_OFF, &err));
    check_clean(c);
    CHECK(bdrv_snapshot_goto(node, "vm", &err));
    memset(state, 0, sizeof(state));
    CHECK_EQ(bdrv_load_vmstate(node, 0, state, sizeof(state)), 0);
    CHECK_EQ(state[sizeof(state) - 1], 0x31);
    bdrv_root_detach(c);
    tear_down();
}

static void grown_disks_end_in_zeroes(void)
{
    static const char *const kinds[] = {"cluster_size=4k", "cluster_size=16k,extended_l2=on"};
    enum { ODD = 5 * 16384 + 1536, LARGE = 8 * 16384 };

    for (unsigned i = 0; i < 4; i++) {
        BlockPrealloc prealloc = i & 1 ? PREALLOC_METADATA : PREALLOC_OFF;
        set_up();
        BlockChild *c = make(kinds[i / 2], ODD, "mem:base");
        write_bytes(c, 0, 512, 0x22);
        CHECK(bdrv_truncate(c, LARGE, false, prealloc, &err));
        CHECK_EQ(value_of(c, 512, ODD - 512), 0x11);
        CHECK_EQ(value_of(c, ODD, LARGE - ODD), 0);
        check_clean(c);
        bdrv_root_detach(c);
        tear_down();
    }
}

/* Data behind the new end, in a cluster whose first part was never written. */
static void what_was_cut_off_stays_away(void)
{
    set_up();
    BlockChild *c = make("cluster_size=16k,extended_l2=on", SIZE, NULL);
    write_bytes(c, 3 * 16384 + 8192, 8192, 0x22);
    CHECK(bdrv_truncate(c, 3 * 16384 + 512, false, PREALLOC_OFF, &err));
    CHECK(bdrv_truncate(c, SIZE, false, PREALLOC_OFF, &err));
    CHECK_EQ(value_of(c, 0, SIZE), 0);
    bdrv_root_detach(c);
    tear_down();
}

static void preallocated_storage_holds_zeroes(void)
{
    BlockSnapshot sn = {.name = "a", .icount = UINT64_MAX};

    set_up();
    BlockChild *c = make("cluster_size=4k", SIZE, NULL);
    write_bytes(c, 0, SIZE, 0x22);
    CHECK(bdrv_snapshot_create(bdrv_child_node(c), &sn, &err));
    write_bytes(c, 0, SIZE, 0x33);
    CHECK(bdrv_snapshot_delete(bdrv_child_node(c), "a", &err)); /* the 22s are free */
    CHECK(bdrv_truncate(c, 2 * SIZE, false, PREALLOC_METADATA, &err));
    CHECK_EQ(value_of(c, 0, SIZE), 0x33);
    CHECK_EQ(value_of(c, SIZE, SIZE), 0);
    check_clean(c);
    bdrv_root_detach(c);
    tear_down();
}

TESTS(TEST(a_discard_does_not_uncover_old_data), TEST(a_smaller_disk_loses_machine_state),
      TEST(grown_disks_end_in_zeroes), TEST(what_was_cut_off_stays_away),
      TEST(preallocated_storage_holds_zeroes))
