/*
 * Block nodes: options, names in json:, parts of a raw image, chains that lead back to themselves,
 * guessed raw disks that stay raw, two uses that do not go together, status through a chain,
 * machine state in snapshots.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/node.h"

#include <errno.h>
#include <stdlib.h>

#include "block/driver.h"
#include "block/mem.h"
#include "util/loop.h"

#include "../test-loop.h"
#include "../test.h"

enum { SIZE = 1 << 20 };

static MemDisk *disk, *other;
static Error *err;

static void set_up(void)
{
    test_start_loop();
    disk = mem_disk_new("a", NULL, SIZE);
    other = mem_disk_new("b", NULL, 0);
    for (unsigned i = 0; i < SIZE; i++) {
        disk->data[i] = (uint8_t)(i >> 12);
    }
    error_free(err);
    err = NULL;
}

static void tear_down(void)
{
    mem_disk_free(disk);
    mem_disk_free(other);
}

static BlockChild *open_with(const char *filename, const char *text, unsigned flags)
{
    BlockOptions *o = blkopts_new();

    if (text && !blkopts_parse(o, text, NULL, &err)) {
        blkopts_free(o);
        return NULL;
    }
    return bdrv_open_root(filename, o, flags, &err);
}

static void options_are_a_tree(void)
{
    uint64_t n = 0;
    BlockOptions *o = blkopts_new();

    CHECK(blkopts_parse(o, "driver=qcow2,file.driver=mem,file.name=a,,b,l2-cache-size=1M", NULL,
                        &err));
    CHECK_STR(blkopts_get(o, "file.name"), "a,b");
    CHECK(blkopts_has_prefix(o, "file"));
    CHECK(blkopts_take_size(o, "l2-cache-size", &n, &err));
    CHECK_EQ(n, 1 << 20);
    BlockOptions *sub = blkopts_take_sub(o, "file");
    CHECK_EQ(blkopts_count(sub), 2);
    CHECK_EQ(blkopts_count(o), 1);
    blkopts_free(sub);
    CHECK(!blkopts_check_empty(o, "test", NULL, &err));
    CHECK(strstr(error_text(err), "unknown option 'driver'"));
    blkopts_free(o);
}

static void names_may_be_json(void)
{
    uint8_t b = 0;

    set_up();
    BlockChild *c = open_with("json:{\"driver\":\"raw\",\"offset\":\"8192\",\"size\":4096,\"file\":"
                              "{\"driver\":\"mem\",\"name\":\"a\"}}",
                              NULL, 0);
    CHECK(c);
    CHECK_EQ(bdrv_size(bdrv_child_node(c)), 4096);
    CHECK_EQ(bdrv_pread(c, 0, 1, &b), 0);
    CHECK_EQ(b, 2);
    bdrv_root_detach(c);
    CHECK(!open_with("json:{\"driver\":\"raw\"", NULL, 0));
    CHECK(err);
    tear_down();
}

/* With and without the format beside it in the header. */
static void a_backing_file_may_be_json(void)
{
    static const char name[] = "json:{\"driver\":\"raw\",\"offset\":8192,\"file\":"
                               "{\"driver\":\"mem\",\"name\":\"a\"}}";
    static const char *const formats[] = {"raw", NULL};

    for (unsigned i = 0; i < 2; i++) {
        uint8_t b = 0;
        set_up();
        CHECK(bdrv_create("qcow2", "mem:b", SIZE / 2, name, formats[i], NULL, &err));
        BlockChild *c = open_with("mem:b", "driver=qcow2", 0);
        CHECK(c);
        CHECK_EQ(bdrv_pread(c, 4096, 1, &b), 0);
        CHECK_EQ(b, 3);
        bdrv_root_detach(c);
        c = open_with("mem:b",
                      "driver=qcow2,backing.driver=raw,backing.file.driver=mem,backing.file.name=a",
                      0); /* what the options say goes before what the header says */
        CHECK(c);
        bdrv_root_detach(c);
        tear_down();
    }
}

static void a_part_must_lie_inside(void)
{
    set_up();
    CHECK(!open_with("mem:a", "driver=raw,offset=1M,size=512", 0));
    CHECK(strstr(error_text(err), "lies outside"));
    error_free(err);
    err = NULL;
    CHECK(!open_with("mem:a", "driver=raw,ofset=0", 0));
    CHECK(strstr(error_text(err), "did you mean 'offset'"));
    tear_down();
}

static void a_guessed_raw_disk_stays_raw(void)
{
    uint8_t head[512] = {'Q', 'F', 'I', 0xfb, 0, 0, 0, 3}, comment[512], version[512] = {0};

    set_up();
    BlockChild *c = open_with("mem:a", NULL, BDRV_O_RDWR);
    CHECK(c);
    CHECK_EQ(bdrv_pwrite(c, 0, 512, head, 0), -EPERM);
    CHECK_EQ(bdrv_pwrite(c, 512, 512, head, 0), 0);
    CHECK_EQ(bdrv_pwrite(c, 1, 7, head + 1, 0), 0); /* byte by byte */
    CHECK_EQ(bdrv_pwrite(c, 0, 1, head, 0), -EPERM);
    /* Two harmless sectors that are the head of a descriptor together. */
    memset(comment, '#', sizeof(comment));
    memcpy(version, "\nversion=1\n", 11);
    CHECK_EQ(bdrv_pwrite(c, 0, 512, comment, 0), 0);
    CHECK_EQ(bdrv_pwrite(c, 512, 512, version, 0), 0);
    bdrv_root_detach(c);
    c = open_with("mem:a", NULL, 0);
    CHECK(c && !strcmp(bdrv_format_name(bdrv_child_node(c)), "raw"));
    bdrv_root_detach(c);
    c = open_with("mem:a", "driver=raw", BDRV_O_RDWR);
    CHECK(c);
    CHECK_EQ(bdrv_pwrite(c, 0, 512, head, 0), 0);
    bdrv_root_detach(c);
    tear_down();
}

static void two_writers_do_not_go_together(void)
{
    set_up();
    BlockChild *c = open_with("mem:a", "driver=raw,node-name=disk", BDRV_O_RDWR);
    CHECK(c);
    CHECK(!bdrv_root_attach(bdrv_ref(bdrv_find_node("disk")), BLK_PERM_WRITE, BLK_PERM_ALL, NULL,
                            NULL, &err));
    CHECK(strstr(error_text(err), "does not allow"));
    error_free(err);
    err = NULL;
    CHECK(!open_with("mem:a", "driver=raw,node-name=disk", 0));
    CHECK(strstr(error_text(err), "there is a node 'disk' already"));
    bdrv_root_detach(c);
    tear_down();
}

static void a_chain_must_end(void)
{
    set_up();
    CHECK(bdrv_create("qcow2", "mem:b", SIZE, "mem:b", "qcow2", NULL, &err));
    CHECK(!open_with("mem:b", NULL, 0));
    CHECK(strstr(error_text(err), "circle"));
    tear_down();
}

static void status_goes_down_the_chain(void)
{
    uint8_t buf[4096];
    uint64_t n;
    unsigned depth;

    set_up();
    BlockOptions *o = blkopts_new();
    blkopts_set(o, "cluster_size", "4k");
    CHECK(bdrv_create("qcow2", "mem:b", 2 * SIZE, "mem:a", "raw", o, &err));
    blkopts_free(o);
    BlockChild *c = open_with("mem:b", NULL, BDRV_O_RDWR);
    CHECK(c);
    BlockNode *node = bdrv_child_node(c);
    memset(buf, 0x77, sizeof(buf));
    CHECK_EQ(bdrv_pwrite(c, 8192 + 100, 50, buf, 0), 0);
    CHECK_EQ(bdrv_pread(c, 8192, 4096, buf), 0);
    CHECK_EQ(buf[99], 2); /* from below */
    CHECK_EQ(buf[100], 0x77);
    CHECK_EQ(buf[150], 2);
    CHECK(bdrv_block_status_above(node, NULL, true, 0, SIZE, &n, NULL, NULL, &depth) &
          BDRV_BLOCK_DATA);
    CHECK_EQ(n, 8192);
    CHECK_EQ(depth, 1);
    CHECK(bdrv_block_status_above(node, NULL, true, 8192, SIZE, &n, NULL, NULL, &depth) &
          BDRV_BLOCK_ALLOCATED);
    CHECK_EQ(n, 4096);
    CHECK_EQ(depth, 0);
    /* Behind the backing file's end. */
    CHECK(bdrv_block_status_above(node, NULL, true, SIZE, SIZE, &n, NULL, NULL, &depth) &
          BDRV_BLOCK_ZERO);
    CHECK_EQ(n, SIZE);
    bdrv_root_detach(c);
    tear_down();
}

static void snapshots_carry_machine_state(void)
{
    uint8_t buf[3000];
    BlockSnapshot sn = {.name = "vm",
                        .vm_state_size = 3000,
                        .vm_clock_nsec = 77,
                        .icount = UINT64_MAX},
                  *list;

    set_up();
    CHECK(bdrv_create("qcow2", "mem:b", SIZE, NULL, NULL, NULL, &err));
    BlockChild *c = open_with("mem:b", NULL, BDRV_O_RDWR);
    BlockNode *node = bdrv_child_node(c);
    memset(buf, 0x31, sizeof(buf));
    CHECK_EQ(bdrv_save_vmstate(node, 0, buf, sizeof(buf)), 0);
    CHECK_EQ(bdrv_pwrite(c, 0, sizeof(buf), buf, 0), 0);
    CHECK(bdrv_snapshot_create(node, &sn, &err));
    memset(buf, 0x32, sizeof(buf));
    CHECK_EQ(bdrv_pwrite(c, 0, sizeof(buf), buf, 0), 0);
    CHECK_EQ(bdrv_load_vmstate(node, 0, buf, sizeof(buf)), 0);
    CHECK_EQ(buf[0], 0); /* the disk goes on without it */
    CHECK(bdrv_snapshot_goto(node, "vm", &err));
    CHECK_EQ(bdrv_load_vmstate(node, 0, buf, sizeof(buf)), 0);
    CHECK_EQ(buf[2999], 0x31);
    CHECK_EQ(bdrv_pread(c, 0, sizeof(buf), buf), 0);
    CHECK_EQ(buf[0], 0x31);
    CHECK_EQ(bdrv_snapshot_list(node, &list), 1);
    CHECK_EQ(list[0].vm_state_size, 3000);
    CHECK_EQ(list[0].vm_clock_nsec, 77);
    bdrv_snapshots_free(list);
    CHECK(bdrv_snapshot_delete(node, "vm", &err));
    BlockCheck check = {0};
    CHECK_EQ(bdrv_check(node, &check, 0), 0);
    CHECK_EQ(check.corruptions + check.leaks, 0);
    bdrv_root_detach(c);
    tear_down();
}

TESTS(TEST(options_are_a_tree), TEST(names_may_be_json), TEST(a_backing_file_may_be_json),
      TEST(a_part_must_lie_inside), TEST(a_guessed_raw_disk_stays_raw),
      TEST(two_writers_do_not_go_together), TEST(a_chain_must_end),
      TEST(status_goes_down_the_chain), TEST(snapshots_carry_machine_state))
