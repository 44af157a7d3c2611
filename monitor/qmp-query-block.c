/*
 * The JSON monitor's questions about disks: drives, nodes, images.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "block/dirty.h"
#include "block/driver.h"
#include "monitor/qmp-int.h"

/* A file's name may be no UTF-8. */
static json_t *text(const char *s)
{
    json_t *t = s ? json_string(s) : NULL;

    return t ? t : json_string("");
}

/* What shows where a drive has a temporary overlay. */
static BlockNode *named_format(BlockNode *node)
{
    return !strcmp(bdrv_format_name(node), "overlay") && bdrv_backing(node) ? bdrv_backing(node)
                                                                            : node;
}

static json_t *snapshots(BlockNode *node)
{
    json_t *list = json_array();
    BlockSnapshot *all = NULL;
    int n = bdrv_can_snapshot(node) ? bdrv_snapshot_list(node, &all) : 0;

    for (int i = 0; i < n; i++) {
        json_array_append_new(
            list, json_pack("{s:o, s:o, s:I, s:i, s:i, s:I, s:I}", "id", text(all[i].id), "name",
                            text(all[i].name), "vm-state-size", (json_int_t)all[i].vm_state_size,
                            "date-sec", (int)all[i].date_sec, "date-nsec", (int)all[i].date_nsec,
                            "vm-clock-sec", (json_int_t)(all[i].vm_clock_nsec / 1000000000),
                            "vm-clock-nsec", (json_int_t)(all[i].vm_clock_nsec % 1000000000)));
    }
    bdrv_snapshots_free(all);
    return list;
}

static json_t *image_info(BlockNode *node)
{
    json_t *image = json_pack("{s:o, s:s, s:I}", "filename", text(bdrv_filename(node)), "format",
                              bdrv_format_name(node), "virtual-size", (json_int_t)bdrv_size(node));
    int64_t allocated = bdrv_allocated_size(node);
    BlockInfo info;
    json_t *list = snapshots(node);

    if (allocated >= 0) {
        json_object_set_new(image, "actual-size", json_integer(allocated));
    }
    if (bdrv_get_info(node, &info) == 0) {
        if (info.cluster_size) {
            json_object_set_new(image, "cluster-size", json_integer(info.cluster_size));
        }
        json_object_set_new(image, "dirty-flag", json_boolean(info.is_dirty));
    }
    if (node->backing_file) {
        json_object_set_new(image, "backing-filename", text(node->backing_file));
        if (node->backing_format) {
            json_object_set_new(image, "backing-filename-format", text(node->backing_format));
        }
    }
    if (bdrv_backing(node)) {
        json_object_set_new(image, "full-backing-filename",
                            text(bdrv_filename(bdrv_backing(node))));
        json_object_set_new(image, "backing-image", image_info(bdrv_backing(node)));
    }
    if (json_array_size(list)) {
        json_object_set(image, "snapshots", list);
    }
    json_decref(list);
    return image;
}

static json_t *dirty_bitmaps(BlockNode *node)
{
    json_t *list = json_array();

    for (const DirtyBitmap *b = node->dirty; b; b = b->next) {
        json_t *o = json_pack("{s:I, s:I, s:b, s:b, s:b}", "count", (json_int_t)dirty_count(b),
                              "granularity", (json_int_t)dirty_granularity(b), "recording",
                              b->enabled, "busy", b->busy || !b->name, "persistent", b->persistent);
        if (b->name) {
            json_object_set_new(o, "name", text(b->name));
        }
        json_array_append_new(list, o);
    }
    return list;
}

static int depth_of(BlockNode *node)
{
    int depth = 0;

    while ((node = bdrv_backing(node))) {
        depth++;
    }
    return depth;
}

static json_t *node_info(BlockNode *node, const BlkLimits *l, bool writethrough)
{
    const unsigned flags = node->flags;
    json_t *o = json_pack(
        "{s:o, s:o, s:b, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:i, s:s, s:{s:b, s:b, s:b}}",
        "file", text(bdrv_filename(node)), "node-name", text(bdrv_node_name(node)), "ro",
        bdrv_readonly(node), "drv", bdrv_format_name(named_format(node)), "encrypted",
        node->encrypted, "bps", (json_int_t)l->bps_total, "bps_rd", (json_int_t)l->bps_read,
        "bps_wr", (json_int_t)l->bps_write, "iops", (json_int_t)l->iops_total, "iops_rd",
        (json_int_t)l->iops_read, "iops_wr", (json_int_t)l->iops_write, "backing_file_depth",
        depth_of(node), "write_threshold", 0, "detect_zeroes",
        !node->detect_zeroes        ? "off"
        : node->detect_zeroes_unmap ? "unmap"
                                    : "on",
        "cache", "writeback", !writethrough, "direct", (flags & BDRV_O_DIRECT) != 0, "no-flush",
        (flags & BDRV_O_NO_FLUSH) != 0);

    json_object_set_new(o, "image", image_info(node));
    if (bdrv_backing(node)) {
        json_object_set_new(o, "backing_file", text(bdrv_filename(bdrv_backing(node))));
    }
    if (node->dirty) {
        json_object_set_new(o, "dirty-bitmaps", dirty_bitmaps(node));
    }
    return o;
}

static void add_block(BlockBackend *blk, void *opaque)
{
    json_t *b = json_pack("{s:s, s:s, s:b, s:b, s:s}", "device", blk_id(blk), "qdev", blk_id(blk),
                          "removable", blk_is_cdrom(blk), "locked", 0, "type", "unknown");

    if (blk_is_cdrom(blk)) {
        json_object_set_new(b, "tray_open", json_boolean(!blk_has_medium(blk)));
    }
    if (blk_has_medium(blk)) {
        json_t *in = node_info(blk_node(blk), blk_limits(blk), blk_writethrough(blk));
        json_object_set_new(in, "file", text(blk_file(blk)));
        json_object_set_new(in, "ro", json_boolean(blk_readonly(blk)));
        json_object_set_new(b, "inserted", in);
        json_object_set_new(b, "io-status", json_string("ok"));
    }
    json_array_append_new(opaque, b);
}

json_t *qmp_query_block(json_t *args, Error **errp)
{
    json_t *list = json_array();

    blk_each(add_block, list);
    return list;
}

json_t *qmp_query_named_block_nodes(json_t *args, Error **errp)
{
    static const BlkLimits none;
    json_t *list = json_array();

    for (BlockNode *node = bdrv_next(NULL); node; node = bdrv_next(node)) {
        json_array_append_new(list, node_info(node, &none, false));
    }
    return list;
}

static void add_block_stats(BlockBackend *blk, void *opaque)
{
    const BlkStats *s = blk_stats(blk);
    json_t *stats =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "rd_bytes",
                  (json_int_t)s->rd_bytes, "wr_bytes", (json_int_t)s->wr_bytes, "rd_operations",
                  (json_int_t)s->rd_ops, "wr_operations", (json_int_t)s->wr_ops, "flush_operations",
                  (json_int_t)s->flush_ops, "rd_total_time_ns", (json_int_t)s->rd_ns,
                  "wr_total_time_ns", (json_int_t)s->wr_ns, "flush_total_time_ns",
                  (json_int_t)s->flush_ns, "failed_operations", (json_int_t)s->failed_ops);

    json_array_append_new(opaque, json_pack("{s:s, s:s, s:o}", "device", blk_id(blk), "qdev",
                                            blk_id(blk), "stats", stats));
}

json_t *qmp_query_blockstats(json_t *args, Error **errp)
{
    json_t *list = json_array();

    blk_each(add_block_stats, list);
    return list;
}
