/*
 * The disks of a snapshot: which take part, and what can be said of those that cannot.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "snapshot/snapshot-int.h"

static const char *busy_with;

bool snapshot_begin(const char *what, Error **errp)
{
    if (busy_with) {
        error_set(errp, "%s: %s is under way", what, busy_with);
        return false;
    }
    busy_with = what;
    return true;
}

void snapshot_end(void)
{
    busy_with = NULL;
}

const char *tag_file(const char *tag)
{
    return tag && !strncmp(tag, "file:", 5) ? tag + 5 : NULL;
}

/* ---- choosing ---- */

static bool add_disk(Disks *d, BlockBackend *blk, BlockNode *node, const char *name, Error **errp)
{
    if (d->count == SNAPSHOT_DISKS) {
        error_set(errp, "more than %d disks cannot take part in a snapshot", SNAPSHOT_DISKS);
        return false;
    }
    d->list[d->count++] = (Disk){.blk = blk, .node = bdrv_ref(node), .name = name};
    return true;
}

static bool disk_can(const Disk *disk, Error **errp)
{
    if (bdrv_can_snapshot(disk->node)) {
        return true;
    }
    if (!strcmp(bdrv_format_name(disk->node), "overlay")) {
        error_set(errp,
                  "drive '%s' has snapshot=on: nothing that is written to it outlives the machine",
                  disk->name);
    } else {
        error_set(errp,
                  "drive '%s' can be written but its format %s holds no snapshots; qcow2 does "
                  "(vole-img convert -O qcow2), and the "
                  "tag file:PATH saves the machine without its disks",
                  disk->name, bdrv_format_name(disk->node));
    }
    return false;
}

typedef struct Gather {
    Disks *d;
    Error **errp;
    bool ok;
} Gather;

static void gather_drive(BlockBackend *blk, void *opaque)
{
    Gather *g = opaque;

    if (g->ok && blk_has_medium(blk) && !blk_readonly(blk)) {
        g->ok = add_disk(g->d, blk, blk_node(blk), blk_id(blk), g->errp);
    }
}

static bool add_named(Disks *d, const char *name, Error **errp)
{
    BlockBackend *blk = blk_find(name);
    BlockNode *node = blk ? blk_node(blk) : bdrv_find_node(name);

    if (!node) {
        error_set(errp, "there is no drive or node '%s' with a medium", name);
        return false;
    }
    return add_disk(d, blk, node, name, errp);
}

static bool choose_state(Disks *d, const char *name, Error **errp)
{
    d->state = d->count ? &d->list[0] : NULL;
    if (!d->count) {
        error_set(errp, "the machine has no disk that could hold a snapshot (a qcow2 image that "
                        "can be written); the tag file:PATH saves "
                        "the machine to a file");
        return false;
    }
    for (unsigned i = 0; name && i < d->count; i++) {
        if (!strcmp(d->list[i].name, name) || !strcmp(bdrv_node_name(d->list[i].node), name)) {
            d->state = &d->list[i];
            return true;
        }
    }
    if (name) {
        error_set(errp, "'%s', which shall have the machine state, is none of the snapshot's disks",
                  name);
        return false;
    }
    return true;
}

bool disks_choose(Disks *d, const SnapshotTarget *target, Error **errp)
{
    Gather g = {d, errp, true};

    *d = (Disks){0};
    if (target->devices) {
        for (unsigned i = 0; target->devices[i] && g.ok; i++) {
            g.ok = add_named(d, target->devices[i], errp);
        }
    } else {
        blk_each(gather_drive, &g);
    }
    for (unsigned i = 0; i < d->count && g.ok; i++) {
        g.ok = disk_can(&d->list[i], errp);
    }
    if (!g.ok || !choose_state(d, target->vmstate, errp)) {
        disks_free(d);
        return false;
    }
    return true;
}

bool disks_all(Disks *d, Error **errp)
{
    Gather g = {d, errp, true};

    *d = (Disks){0};
    blk_each(gather_drive, &g);
    return g.ok;
}

void disks_free(Disks *d)
{
    for (unsigned i = 0; i < d->count; i++) {
        bdrv_unref(d->list[i].node);
    }
    d->count = 0;
}

void disks_drained_begin(Disks *d)
{
    for (unsigned i = 0; i < d->count; i++) {
        bdrv_drained_begin(d->list[i].node);
        d->list[i].drained = true;
    }
}

void disks_drained_end(Disks *d)
{
    for (unsigned i = 0; i < d->count; i++) {
        if (d->list[i].drained) {
            d->list[i].drained = false;
            bdrv_drained_end(d->list[i].node);
        }
    }
}

bool disk_find(Disk *disk, const char *tag, BlockSnapshot *found)
{
    BlockSnapshot *list;
    int n = bdrv_snapshot_list(disk->node, &list);
    bool any = false;

    for (int i = 0; i < n; i++) {
        if (!strcmp(list[i].name, tag)) {
            *found = list[i];
            any = true;
        }
    }
    if (n >= 0) {
        bdrv_snapshots_free(list);
    }
    return any;
}

/* ---- beside a file ---- */

/* The host's file that changes when the guest writes. */
static bool describe(BlockBackend *blk, SnapshotDisk *disk, Error **errp)
{
    struct stat st;

    memset(disk, 0, sizeof(*disk));
    strncpy(disk->id, blk_id(blk), sizeof(disk->id) - 1);
    disk->size = blk_size(blk);
    if (!strcmp(bdrv_format_name(blk_node(blk)), "overlay")) {
        error_set(
            errp,
            "drive '%s' has snapshot=on: what is written to it is in no file that could be kept",
            blk_id(blk));
        return false;
    }
    if (stat(bdrv_filename(blk_node(blk)), &st) < 0) {
        error_set_errno(errp, errno, "drive '%s': cannot see when '%s' is written", blk_id(blk),
                        bdrv_filename(blk_node(blk)));
        return false;
    }
    disk->mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
    return true;
}

typedef struct Describe {
    SnapshotHeader *h;
    Error **errp;
    bool ok;
} Describe;

static void describe_drive(BlockBackend *blk, void *opaque)
{
    Describe *d = opaque;

    if (!d->ok || !blk_has_medium(blk) || blk_readonly(blk)) {
        return;
    }
    if (d->h->disk_count == SNAPSHOT_DISKS) {
        error_set(d->errp, "more than %d disks cannot take part in a snapshot", SNAPSHOT_DISKS);
        d->ok = false;
        return;
    }
    d->ok = describe(blk, &d->h->disks[d->h->disk_count], d->errp);
    d->h->disk_count += d->ok;
}

bool disks_describe(SnapshotHeader *h, Error **errp)
{
    Describe d = {h, errp, true};

    h->disk_count = 0;
    blk_each(describe_drive, &d);
    return d.ok;
}

bool disks_unchanged(const SnapshotHeader *h, Error **errp)
{
    SnapshotHeader now = {0};

    if (!disks_describe(&now, errp)) {
        return false;
    }
    for (uint32_t i = 0; i < h->disk_count; i++) {
        const SnapshotDisk *was = &h->disks[i], *is = NULL;
        for (uint32_t k = 0; k < now.disk_count && !is; k++) {
            is = strcmp(now.disks[k].id, was->id) ? NULL : &now.disks[k];
        }
        if (!is || is->size != was->size) {
            error_set(errp,
                      is ? "drive '%s' has another size than when the machine was saved"
                         : "the machine was saved with a drive '%s', which this one lacks",
                      was->id);
            return false;
        }
        if (is->mtime_ns != was->mtime_ns) {
            error_set(errp,
                      "drive '%s' has been written since the machine was saved: its contents are "
                      "not those that the guest knows",
                      was->id);
            return false;
        }
    }
    if (h->disk_count != now.disk_count) {
        error_set(errp, "this machine has disks that the saved one had not");
        return false;
    }
    return true;
}
