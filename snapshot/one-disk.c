/*
 * Snapshots of one disk inside of its image: snapshot_blkdev_internal and its like, of both
 * monitors.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "block/block.h"
#include "block/live.h"
#include "snapshot/restore.h"
#include "snapshot/snapshot-int.h"
#include "util/loop.h"

static BlockNode *find_node(const char *drive, Error **errp)
{
    BlockNode *node = live_node(drive, errp);

    if (node && (!bdrv_can_snapshot(node) || bdrv_readonly(node))) {
        error_set(errp, "Block format '%s' used by device '%s' does not support internal snapshots",
                  bdrv_format_name(node), drive);
        return NULL;
    }
    if (node && job_uses(node)) {
        error_set(errp, "Node '%s' is busy: block device is in use by block job",
                  bdrv_node_name(node));
        return NULL;
    }
    return node;
}

/* name, id: NULL means any. */
static bool find(BlockNode *node, const char *name, const char *id, BlockSnapshot *found)
{
    BlockSnapshot *list = NULL;
    int n = bdrv_snapshot_list(node, &list);
    bool any = false;

    for (int i = 0; i < n && !any; i++) {
        any = (!name || !strcmp(list[i].name, name)) && (!id || !strcmp(list[i].id, id));
        if (any) {
            *found = list[i];
        }
    }
    bdrv_snapshots_free(list);
    return any;
}

static bool save(const char *drive, const char *name, Error **errp)
{
    BlockNode *node = find_node(drive, errp);
    BlockSnapshot s = {.icount = UINT64_MAX}, other;
    struct timespec now;

    if (!node) {
        return false;
    }
    if (!name[0] || strlen(name) >= sizeof(s.name)) {
        error_set(errp, "a name has 1 to %zu characters", sizeof(s.name) - 1);
        return false;
    }
    if (find(node, name, NULL, &other)) {
        error_set(errp, "Snapshot with name '%s' already exists on device '%s'", name, drive);
        return false;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(s.name, sizeof(s.name), "%s", name);
    s.date_sec = (uint32_t)now.tv_sec;
    s.date_nsec = (uint32_t)now.tv_nsec;
    s.vm_clock_nsec = (uint64_t)clock_now(CLOCK_VIRTUAL);
    bdrv_drained_begin(node);
    bool ok = bdrv_snapshot_create(node, &s, errp);
    bdrv_drained_end(node);
    return ok;
}

bool snapshot_disk_save(const char *drive, const char *name, Error **errp)
{
    if (!snapshot_begin("snapshot_blkdev_internal", errp)) {
        return false;
    }
    bool ok = save(drive, name, errp);
    snapshot_end();
    return ok;
}

static bool delete (const char *drive, const char *name, const char *id, BlockSnapshot *gone,
                    Error **errp)
{
    BlockNode *node = find_node(drive, errp);

    if (!node) {
        return false;
    }
    if (!name && !id) {
        error_set(errp, "Name or id must be provided");
        return false;
    }
    if (!find(node, name, id, gone)) {
        error_set(errp, "Snapshot with id '%s' and name '%s' does not exist on device '%s'",
                  id ? id : "(any)", name ? name : "(any)", drive);
        return false;
    }
    bdrv_drained_begin(node);
    bool ok = bdrv_snapshot_delete(node, gone->id, errp);
    bdrv_drained_end(node);
    return ok;
}

bool snapshot_disk_delete(const char *drive, const char *name, const char *id, BlockSnapshot *gone,
                          Error **errp)
{
    if (!snapshot_begin("snapshot_delete_blkdev_internal", errp)) {
        return false;
    }
    restore_wait(); /* the machine's RAM may still come out of this very one */
    bool ok = delete (drive, name, id, gone, errp);
    snapshot_end();
    return ok;
}
