/*
 * What `info block` and `info blockstats` tell.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "block/driver.h"
#include "monitor/monitor-int.h"
#include "util/loop.h"

typedef struct Listing {
    Monitor *mon;
    bool verbose, any;
} Listing;

/* Where a drive has a temporary overlay the image is below. */
static BlockNode *image_of(BlockNode *node)
{
    return !strcmp(bdrv_format_name(node), "overlay") && bdrv_backing(node) ? bdrv_backing(node)
                                                                            : node;
}

static unsigned chain_depth(BlockNode *node)
{
    unsigned depth = 0;

    while ((node = bdrv_backing(node))) {
        depth++;
    }
    return depth;
}

static void print_limits(Monitor *mon, const BlockBackend *blk)
{
    static const char *const names[BLK_LIMITS] = {"bps",  "bps_rd",  "bps_wr",
                                                  "iops", "iops_rd", "iops_wr"};
    const BlkLimits *l = blk_limits(blk);

    monitor_printf(mon, "    I/O throttling:  ");
    for (unsigned half = 0; half < BLK_LIMITS; half += 3) {
        for (unsigned i = half; i < half + 3; i++) {
            monitor_printf(mon, " %s=%" PRIu64, names[i], l->rate[i].avg);
        }
        for (unsigned i = half; i < half + 3; i++) {
            monitor_printf(mon, " %s_max=%" PRIu64, names[i], l->rate[i].max);
        }
    }
    monitor_printf(mon, " iops_size=%" PRIu64 " group=%s\n", l->iops_size, blk_throttle_group(blk));
}

static void print_images(Monitor *mon, BlockNode *node)
{
    monitor_printf(mon, "\nImages:\n");
    for (; node; node = bdrv_backing(node)) {
        int64_t allocated = bdrv_allocated_size(node);
        BlockSnapshot *list = NULL;
        char row[512];
        BlockInfo info;

        monitor_printf(mon, "image: %s\nfile format: %s\nvirtual size: %" PRIu64 " bytes\n",
                       bdrv_filename(node), bdrv_format_name(node), bdrv_size(node));
        if (allocated >= 0) {
            monitor_printf(mon, "disk size: %" PRId64 " bytes\n", allocated);
        }
        if (bdrv_get_info(node, &info) == 0 && info.cluster_size) {
            monitor_printf(mon, "cluster_size: %" PRIu32 "\n", info.cluster_size);
        }
        if (node->backing_file) {
            monitor_printf(mon, "backing file: %s\n", node->backing_file);
        }
        int n = bdrv_can_snapshot(node) ? bdrv_snapshot_list(node, &list) : 0;
        for (int i = -1; i < n && n > 0; i++) {
            bdrv_snapshot_row(i < 0 ? NULL : &list[i], i < 0 ? NULL : list[i].id, row, sizeof(row));
            monitor_printf(mon, "%s%s\n", i < 0 ? "Snapshot list:\n" : "", row);
        }
        bdrv_snapshots_free(list);
    }
}

/* blk NULL: of a node by itself. */
static void print_node(const Listing *l, BlockNode *node, const BlockBackend *blk)
{
    BlockNode *image = image_of(node), *backing = bdrv_backing(image);
    const bool sync = blk && blk_writethrough(blk);

    monitor_printf(l->mon, "    Cache mode:       %s%s%s\n", sync ? "writethrough" : "writeback",
                   image->flags & BDRV_O_DIRECT ? ", direct" : "",
                   image->flags & BDRV_O_NO_FLUSH ? ", ignore flushes" : "");
    if (image != node) {
        monitor_printf(
            l->mon, "    Temporary:        writes are thrown away, or go to the image by commit\n");
    }
    if (backing) {
        monitor_printf(l->mon, "    Backing file:     %s (chain depth: %u)\n",
                       bdrv_filename(backing), chain_depth(image));
    }
    if (node->detect_zeroes) {
        monitor_printf(l->mon, "    Detect zeroes:    %s\n",
                       node->detect_zeroes_unmap ? "unmap" : "on");
    }
    if (blk && blk_throttle_group(blk)) {
        print_limits(l->mon, blk);
    }
    if (l->verbose) {
        print_images(l->mon, image);
    }
}

static void print_head(Listing *l, BlockNode *node, const char *file, const char *format,
                       bool readonly)
{
    monitor_printf(l->mon, "%s (%s%s%s)\n", file, format, readonly ? ", read-only" : "",
                   node->encrypted ? ", encrypted" : "");
}

static void print_block(BlockBackend *blk, void *opaque)
{
    Listing *l = opaque;
    BlockNode *node = blk_has_medium(blk) ? blk_node(blk) : NULL;

    monitor_printf(l->mon, "%s%s", l->any ? "\n" : "", blk_id(blk));
    l->any = true;
    if (node) {
        monitor_printf(l->mon, " (%s): ", bdrv_node_name(node));
        print_head(l, node, blk_file(blk), blk_format(blk), blk_readonly(blk));
    } else {
        monitor_printf(l->mon, ": [not inserted]\n");
    }
    if (blk_is_cdrom(blk)) {
        monitor_printf(l->mon, "    Removable device: %slocked, tray %s\n",
                       blk_medium_locked(blk) ? "" : "not ", node ? "closed" : "open");
    }
    if (node) {
        print_node(l, node, blk);
    }
}

static void print_named(Listing *l, BlockNode *node)
{
    monitor_printf(l->mon, "%s%s: ", l->any ? "\n" : "", bdrv_node_name(node));
    l->any = true;
    print_head(l, node, bdrv_filename(node), bdrv_format_name(node), bdrv_readonly(node));
    print_node(l, node, NULL);
}

void info_block(Monitor *mon, const ArgValue *args)
{
    Listing l = {.mon = mon, .verbose = args[1].present};
    const char *id = args[2].present ? args[2].text : NULL;
    const bool nodes = args[0].present;
    BlockBackend *blk = id && !nodes ? blk_find(id) : NULL;

    if (!id && !nodes) {
        blk_each(print_block, &l);
        return;
    }
    if (blk) {
        print_block(blk, &l);
        return;
    }
    for (BlockNode *node = bdrv_next(NULL); node; node = bdrv_next(node)) {
        if (!id || !strcmp(bdrv_node_name(node), id)) {
            print_named(&l, node);
        }
    }
    if (id && !l.any) {
        monitor_printf(mon, "there is no %s '%s'\n", nodes ? "node" : "drive", id);
    }
}

static void print_block_stats(BlockBackend *blk, void *opaque)
{
    const BlkStats *s = blk_stats(blk);
    uint64_t failed = 0;

    for (unsigned op = 0; op < BLK_OPS; op++) {
        failed += s->failed[op];
    }
    monitor_printf(opaque,
                   "%s: rd_bytes=%" PRIu64 " wr_bytes=%" PRIu64 " rd_operations=%" PRIu64
                   " wr_operations=%" PRIu64 " flush_operations=%" PRIu64,
                   blk_id(blk), s->bytes[BLK_READ], s->bytes[BLK_WRITE], s->done[BLK_READ],
                   s->done[BLK_WRITE], s->done[BLK_FLUSH]);
    /* Requests are passed on as they come: none is ever merged with another. */
    monitor_printf(opaque,
                   " wr_total_time_ns=%" PRIu64 " rd_total_time_ns=%" PRIu64
                   " flush_total_time_ns=%" PRIu64 " rd_merged=0 wr_merged=0 idle_time_ns=%" PRIu64
                   " unmap_bytes=%" PRIu64 " unmap_operations=%" PRIu64
                   " failed_operations=%" PRIu64 "\n",
                   s->ns[BLK_WRITE], s->ns[BLK_READ], s->ns[BLK_FLUSH],
                   s->last ? (uint64_t)(clock_now(CLOCK_HOST) - s->last) : 0, s->bytes[BLK_DISCARD],
                   s->done[BLK_DISCARD], failed);
}

void info_blockstats(Monitor *mon, const ArgValue *args)
{
    blk_each(print_block_stats, mon);
}
