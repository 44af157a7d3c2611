/*
 * What lies between a disk and its bytes: blkdebug's rules, one event after the other; who is held
 * up by it; FUA and flushes through every format and filter; disks in memory that two nodes have
 * open.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdlib.h>

#include "block/blkdebug.h"
#include "block/driver.h"
#include "block/mem.h"
#include "util/loop.h"

#include "../test-loop.h"
#include "../test.h"

enum { SIZE = 1 << 20 };

static MemDisk *disk, *other;
static Error *err;
static uint8_t buf[65536];

static void set_up(void)
{
    test_start_loop();
    disk = mem_disk_new("a", NULL, SIZE);
    other = mem_disk_new("b", NULL, 0);
    error_free(err);
    err = NULL;
}

static void tear_down(void)
{
    mem_disk_free(disk);
    mem_disk_free(other);
}

static BlockChild *open_with(const char *filename, const char *text)
{
    BlockOptions *o = blkopts_new();

    if (text && !blkopts_parse(o, text, NULL, &err)) {
        blkopts_free(o);
        return NULL;
    }
    return bdrv_open_root(filename, o, BDRV_O_RDWR, &err);
}

/* ---- blkdebug ---- */

#define DEBUG "driver=blkdebug,image.driver=mem,image.name=a,"

static int rd(BlockChild *c, uint64_t sector)
{
    return bdrv_pread(c, sector * 512, 512, buf);
}

static int wr(BlockChild *c, uint64_t sector)
{
    return bdrv_pwrite(c, sector * 512, 512, buf, 0);
}

static void errors_come_where_they_shall(void)
{
    set_up();
    BlockChild *c = open_with(NULL, DEBUG "inject-error.0.sector=5,inject-error.0.errno=28,"
                                          "inject-error.1.iotype=flush,inject-error.1.once=on");
    CHECK(c);
    CHECK_EQ(wr(c, 4), 0);
    CHECK_EQ(wr(c, 5), -ENOSPC);
    CHECK_EQ(bdrv_pread(c, 0, 65536, buf), -ENOSPC);
    CHECK_EQ(bdrv_pwrite_zeroes(c, 2048, 4096, 0), -ENOSPC);
    CHECK_EQ(rd(c, 6), 0);
    CHECK_EQ(bdrv_flush(bdrv_child_node(c)), -EIO);
    CHECK_EQ(wr(c, 6), 0);
    CHECK_EQ(bdrv_flush(bdrv_child_node(c)), 0);
    bdrv_root_detach(c);
    CHECK(!open_with(NULL, DEBUG "inject-error.0.iotype=red"));
    CHECK(strstr(error_text(err), "iotype"));
    tear_down();
}

/* An error once armed stays, in other states as well, until an event arms others. */
static void events_and_states(void)
{
    set_up();
    BlockChild *c = open_with(
        NULL, DEBUG
        "inject-error.0.event=pwritev,inject-error.0.state=1,inject-error.0.iotype=read,"
        "set-state.0.event=pwritev,set-state.0.state=1,set-state.0.new_state=2,"
        "inject-error.1.event=flush_to_disk,inject-error.1.state=2,inject-error.1.iotype=write,"
        "inject-error.1.errno=28");
    CHECK(c);
    CHECK_EQ(rd(c, 0), 0);
    CHECK_EQ(wr(c, 0), 0); /* arms reads, and leaves state 1 */
    CHECK_EQ(rd(c, 0), -EIO);
    CHECK_EQ(wr(c, 0), 0);
    CHECK_EQ(rd(c, 0), -EIO);
    CHECK_EQ(bdrv_flush(bdrv_child_node(c)), 0); /* arms writes in place of reads */
    CHECK_EQ(rd(c, 0), 0);
    CHECK_EQ(wr(c, 0), -ENOSPC);
    bdrv_root_detach(c);
    /* Names with the older dots, and those to which nothing comes. */
    c = open_with(NULL,
                  DEBUG "inject-error.0.event=l2_alloc.write,inject-error.1.event=l2_alloc_write");
    CHECK(c);
    CHECK_EQ(wr(c, 0), 0);
    bdrv_root_detach(c);
    tear_down();
}

static void reads_around_a_write_are_events(void)
{
    set_up();
    BlockChild *c = open_with(NULL, DEBUG "align=4096,inject-error.0.event=pwritev_rmw_tail,"
                                          "inject-error.0.iotype=read");
    CHECK(c);
    CHECK_EQ(bdrv_pwrite(c, 4096, 8192, buf, 0), 0);
    CHECK_EQ(bdrv_pwrite(c, 512, 4096 - 512, buf, 0), 0); /* a head alone */
    CHECK_EQ(bdrv_pwrite(c, 8192, 4096 + 512, buf, 0), -EIO);
    bdrv_root_detach(c);
    tear_down();
}

typedef struct Writer {
    BlockChild *child;
    int ret;
} Writer;

static void write_entry(void *opaque)
{
    Writer *w = opaque;

    w->ret = bdrv_co_pwrite(w->child, 0, 512, buf, 0);
}

static void requests_are_held_up(void)
{
    set_up();
    BlockChild *c = open_with(NULL, DEBUG "suspend.0.event=pwritev,suspend.0.tag=A");
    BlockNode *node = bdrv_child_node(c);
    Writer w[3] = {{c, 1}, {c, 1}, {c, 1}};
    CHECK(blkdebug_break(node, "pwritev", "B", &err));
    CHECK(!blkdebug_break(node, "nowhere", "B", &err));
    for (unsigned i = 0; i < 3; i++) {
        coroutine_enter(coroutine_create(write_entry, &w[i]));
    }
    loop_run_once(0);
    CHECK_EQ(w[2].ret, 0); /* each breakpoint has one */
    CHECK(blkdebug_is_suspended(node, "A") && blkdebug_is_suspended(node, "B"));
    CHECK(!blkdebug_is_suspended(node, "C") && !blkdebug_resume(node, "C"));
    CHECK_EQ(node->in_flight, 4); /* two requests, and who is held up in them: drains wait */
    CHECK(blkdebug_resume(node, "B"));
    CHECK_EQ(w[1].ret, 0);
    CHECK(!blkdebug_resume(node, "B"));
    CHECK(blkdebug_break(node, "pwritev", "D", &err));
    CHECK(blkdebug_remove_break(node, "D") && !blkdebug_remove_break(node, "D"));
    CHECK_EQ(w[0].ret, 1);
    bdrv_cancel_in_flight(node);
    CHECK_EQ(w[0].ret, 0);
    CHECK_EQ(node->in_flight, 0);
    CHECK(blkdebug_break(node, "pwritev", "E", &err));
    CHECK_EQ(wr(c, 0), 0); /* nobody is held up any more */
    bdrv_root_detach(c);
    tear_down();
}

/* ---- FUA and flushes ---- */

static bool unflushed;

static int note(MemDisk *d, MemOp op, uint64_t offset, uint64_t bytes, const void *data,
                void *opaque)
{
    if (op == MEM_WRITE || op == MEM_ZERO || op == MEM_TRUNCATE) {
        unflushed = true;
    } else if (op == MEM_FLUSH) {
        unflushed = false;
    }
    return 0;
}

/* Each change that is acknowledged as lasting has a flush behind it, down where the bytes are. */
static bool is_lasting(BlockChild *c)
{
    BlockNode *node = bdrv_child_node(c);

    for (uint64_t at = 0; at < SIZE; at += 200 * 1024) {
        memset(buf, (int)(at >> 10 | 1), sizeof(buf));
        unflushed = false;
        if (bdrv_pwrite(c, at + 512, 4096, buf, BDRV_REQ_FUA) < 0 || unflushed ||
            bdrv_pwrite(c, at + 512, 4096, buf, BDRV_REQ_FUA) < 0 || unflushed ||
            bdrv_pwrite_zeroes(c, at + 1024, 512, BDRV_REQ_FUA) < 0 || unflushed ||
            bdrv_pwrite_zeroes(c, at, 65536, BDRV_REQ_FUA | BDRV_REQ_MAY_UNMAP) < 0 || unflushed) {
            return false;
        }
        if (bdrv_pwrite(c, at, 65536, buf, 0) < 0 || bdrv_flush(node) < 0 || unflushed ||
            bdrv_pwrite_zeroes(c, at, 65536, 0) < 0 || bdrv_flush(node) < 0 || unflushed) {
            return false;
        }
    }
    return true;
}

static void what_is_lasting_was_flushed(void)
{
    static const char *const formats[] = {"raw",  "qcow",      "qcow2", "vdi", "vpc",
                                          "vhdx", "parallels", "vmdk",  NULL};
    static const char *const filters[] = {
        "driver=raw,file.driver=mem,file.name=a",
        "driver=raw,offset=3072,size=786432,file.driver=mem,file.name=a",
        "driver=raw,file.driver=blkdebug,file.image.driver=mem,file.image.name=a",
        "driver=raw,file.driver=blkdebug,file.align=4096,file.image.driver=mem,file.image.name=a",
        "driver=blklogwrites,file.driver=mem,file.name=a,log.driver=mem,log.name=b",
        NULL};
    bool ok = true;

    for (unsigned i = 0; formats[i]; i++) {
        set_up();
        CHECK(bdrv_create(formats[i], "mem:a", 4 * SIZE, NULL, NULL, NULL, &err));
        char text[32];
        snprintf(text, sizeof(text), "driver=%s", formats[i]);
        BlockChild *c = open_with("mem:a", text);
        CHECK(c);
        disk->hook = note;
        bool good = is_lasting(c);
        disk->hook = NULL;
        if (!good) {
            printf("# %s\n", formats[i]);
        }
        ok &= good;
        bdrv_root_detach(c);
        tear_down();
    }
    for (unsigned i = 0; filters[i]; i++) {
        set_up();
        mem_disk_set(disk, NULL, 4 * SIZE);
        mem_disk_set(other, NULL, SIZE);
        BlockChild *c = open_with(NULL, filters[i]);
        CHECK(c);
        disk->hook = note;
        if (i == 1) { /* a part of less than SIZE */
            unflushed = false;
            ok &= bdrv_pwrite(c, 512, 4096, buf, BDRV_REQ_FUA) == 0 && !unflushed;
        } else {
            ok &= is_lasting(c);
        }
        disk->hook = NULL;
        bdrv_root_detach(c);
        tear_down();
    }
    CHECK(ok);
}

static void writethrough_is_for_every_write(void)
{
    set_up();
    BlockOptions *o = blkopts_new();
    CHECK(bdrv_create("qcow2", "mem:a", 4 * SIZE, NULL, NULL, NULL, &err));
    blkopts_set(o, "driver", "qcow2");
    BlockChild *c = bdrv_open_root("mem:a", o, BDRV_O_RDWR | BDRV_O_WRITETHROUGH, &err);
    CHECK(c);
    disk->hook = note;
    for (uint64_t at = 0; at < 4; at++) {
        unflushed = false;
        CHECK_EQ(bdrv_pwrite(c, at << 20, 65536, buf, 0), 0);
        CHECK(!unflushed);
        CHECK_EQ(bdrv_pwrite_zeroes(c, at << 20, 65536, 0), 0);
        CHECK(!unflushed);
    }
    disk->hook = NULL;
    bdrv_root_detach(c);
    tear_down();
}

static void two_nodes_have_a_disk_in_memory(void)
{
    set_up();
    BlockChild *one = open_with(NULL, "driver=mem,name=new,size=1M,node-name=one");
    BlockChild *two = open_with(NULL, "driver=mem,name=new,node-name=two,read-only=on");
    CHECK(two);
    CHECK(one);
    memset(buf, 7, 512);
    CHECK_EQ(wr(one, 9), 0);
    bdrv_root_detach(one);
    CHECK_EQ(rd(two, 9), 0);
    CHECK_EQ(buf[100], 7);
    bdrv_root_detach(two);
    two = open_with(NULL, "driver=mem,name=new,size=512");
    CHECK_EQ(bdrv_size(bdrv_child_node(two)), 512); /* it was gone */
    bdrv_root_detach(two);
    tear_down();
}

TESTS(TEST(errors_come_where_they_shall), TEST(events_and_states),
      TEST(reads_around_a_write_are_events), TEST(requests_are_held_up),
      TEST(what_is_lasting_was_flushed), TEST(writethrough_is_for_every_write),
      TEST(two_nodes_have_a_disk_in_memory))
