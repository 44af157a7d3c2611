/*
 * The JSON monitor's questions about disks: drives, nodes, images.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "block/dirty.h"
#include "block/driver.h"
#include "monitor/qmp-int.h"
#include "util/loop.h"

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

static json_t *tree_as_json(const InfoTree *t)
{
    if (t->kind == INFO_INT) {
        return json_integer((json_int_t)t->number);
    }
    if (t->kind == INFO_BOOL) {
        return json_boolean(t->number);
    }
    if (t->kind == INFO_STRING) {
        return text(t->text);
    }
    json_t *o = t->kind == INFO_LIST ? json_array() : json_object();
    for (const InfoTree *c = t->first; c; c = c->next) {
        if (t->kind == INFO_LIST) {
            json_array_append_new(o, tree_as_json(c));
        } else {
            json_object_set_new(o, c->name, tree_as_json(c));
        }
    }
    return o;
}

static void add_specific(json_t *image, BlockNode *node)
{
    InfoTree *t = bdrv_specific_info(node);

    if (t && t->first) {
        json_object_set_new(
            image, "format-specific",
            json_pack("{s:s, s:o}", "type", bdrv_format_name(node), "data", tree_as_json(t)));
    }
    info_free(t);
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
    add_specific(image, node);
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

/* Bursts only where there are any, as others show them. */
static void add_limits(json_t *o, const BlkLimits *l, const char *group)
{
    static const char *const names[BLK_LIMITS] = {"bps",  "bps_rd",  "bps_wr",
                                                  "iops", "iops_rd", "iops_wr"};
    char key[32];

    for (unsigned i = 0; i < BLK_LIMITS; i++) {
        const BlkRate *r = &l->rate[i];
        json_object_set_new(o, names[i], json_integer((json_int_t)r->avg));
        if (r->max) {
            snprintf(key, sizeof(key), "%s_max", names[i]);
            json_object_set_new(o, key, json_integer((json_int_t)r->max));
            snprintf(key, sizeof(key), "%s_max_length", names[i]);
            json_object_set_new(o, key, json_integer(r->length ? (json_int_t)r->length : 1));
        }
    }
    if (l->iops_size) {
        json_object_set_new(o, "iops_size", json_integer((json_int_t)l->iops_size));
    }
    if (group) {
        json_object_set_new(o, "group", text(group));
    }
}

static json_t *node_info(BlockNode *node, const BlkLimits *l, const char *group, bool writethrough)
{
    const unsigned flags = node->flags;
    json_t *o = json_pack("{s:o, s:o, s:b, s:s, s:b, s:i, s:i, s:s, s:{s:b, s:b, s:b}}", "file",
                          text(bdrv_filename(node)), "node-name", text(bdrv_node_name(node)), "ro",
                          bdrv_readonly(node), "drv", bdrv_format_name(named_format(node)),
                          "encrypted", node->encrypted, "backing_file_depth", depth_of(node),
                          "write_threshold", 0, "detect_zeroes",
                          !node->detect_zeroes        ? "off"
                          : node->detect_zeroes_unmap ? "unmap"
                                                      : "on",
                          "cache", "writeback", !writethrough, "direct",
                          (flags & BDRV_O_DIRECT) != 0, "no-flush", (flags & BDRV_O_NO_FLUSH) != 0);

    add_limits(o, l, group);
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
                          "removable", blk_is_cdrom(blk), "locked", blk_medium_locked(blk), "type",
                          "unknown");

    if (blk_is_cdrom(blk)) {
        json_object_set_new(b, "tray_open", json_boolean(!blk_has_medium(blk)));
    }
    if (blk_has_medium(blk)) {
        json_t *in = node_info(blk_node(blk), blk_limits(blk), blk_throttle_group(blk),
                               blk_writethrough(blk));
        json_object_set_new(in, "file", text(blk_file(blk)));
        json_object_set_new(in, "ro", json_boolean(blk_readonly(blk)));
        json_object_set_new(b, "inserted", in);
        json_object_set_new(b, "io-status", json_string(blk_io_status(blk)));
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
        json_array_append_new(list, node_info(node, &none, NULL, false));
    }
    return list;
}

static json_t *op_stats(const BlkStats *s, bool counted)
{
    static const struct {
        const char *name;
        BlkOp op;
        bool bytes;
    } kinds[] = {{"rd", BLK_READ, true},
                 {"wr", BLK_WRITE, true},
                 {"flush", BLK_FLUSH, false},
                 {"unmap", BLK_DISCARD, true}};
    json_t *stats = json_object();
    char key[40];

    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const BlkOp op = kinds[i].op;
        const struct {
            const char *form;
            uint64_t value;
        } fields[] = {{"%s_operations", s->done[op]},
                      {"%s_total_time_ns", s->ns[op]},
                      {"failed_%s_operations", s->failed[op]},
                      {"invalid_%s_operations", 0}, /* they count as failed */
                      {"%s_merged", 0},
                      {"%s_bytes", s->bytes[op]}};
        for (unsigned f = 0; f < (kinds[i].bytes ? 6 : 4); f++) {
            snprintf(key, sizeof(key), fields[f].form, kinds[i].name);
            json_object_set_new(stats, key, json_integer((json_int_t)fields[f].value));
        }
    }
    json_object_set_new(stats, "account_invalid", json_boolean(counted));
    json_object_set_new(stats, "account_failed", json_boolean(counted));
    json_object_set_new(stats, "timed_stats", json_array());
    if (s->last) {
        json_object_set_new(stats, "idle_time_ns",
                            json_integer((json_int_t)(clock_now(CLOCK_HOST) - s->last)));
    }
    return stats;
}

/* Of a node by itself only the highest place that was written is known. What lies below it comes as
 * "parent" and "backing". */
static json_t *node_stats(BlockNode *node, json_t *stats)
{
    static const BlkStats none;
    json_t *o = json_pack("{s:o, s:o}", "node-name", text(bdrv_node_name(node)), "stats", stats);

    json_object_set_new(stats, "wr_highest_offset", json_integer((json_int_t)node->wr_highest));
    if (node->file) {
        json_object_set_new(o, "parent", node_stats(node->file->node, op_stats(&none, false)));
    }
    if (bdrv_backing(node)) {
        json_object_set_new(o, "backing", node_stats(bdrv_backing(node), op_stats(&none, false)));
    }
    return o;
}

static void add_block_stats(BlockBackend *blk, void *opaque)
{
    json_t *stats = op_stats(blk_stats(blk), true);
    json_t *o =
        blk_node(blk) ? node_stats(blk_node(blk), stats) : json_pack("{s:o}", "stats", stats);

    json_object_set_new(o, "device", json_string(blk_id(blk)));
    json_object_set_new(o, "qdev", json_string(blk_id(blk)));
    json_array_append_new(opaque, o);
}

json_t *qmp_query_blockstats(json_t *args, Error **errp)
{
    json_t *list = json_array();

    blk_each(add_block_stats, list);
    return list;
}
