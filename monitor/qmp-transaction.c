/*
 * The JSON monitor's transactions: several changes of disks at one moment, all or none. Every drive
 * is quiet from before the first until after the last; where one fails, those before it are undone
 * in the opposite order.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "block/live.h"
#include "monitor/qmp-int.h"

typedef struct Action {
    const char *type;
    json_t *data;
    DirtyBitmap *bitmap; /* as it was: */
    uint64_t *bits;
    bool enabled;
    BlockNode *old, *made; /* of a snapshot; references */
    const char *job;
} Action;

static bool answered(json_t *answer)
{
    bool ok = answer != NULL;

    json_decref(answer);
    return ok;
}

/* ---- what can be done, and undone ---- */

static bool do_abort(Action *a, Error **errp)
{
    error_set(errp, "Transaction aborted using Abort action");
    return false;
}

static BlockNode *node_of(json_t *data, const char *one, const char *other, Error **errp)
{
    const char *name = qmp_str(data, one) ? qmp_str(data, one) : qmp_str(data, other);

    if (!name) {
        error_set(errp, "Parameter '%s' is missing", one);
        return NULL;
    }
    return live_node(name, errp);
}

static bool do_snapshot(Action *a, Error **errp)
{
    bool sync = !strcmp(a->type, "blockdev-snapshot-sync");
    BlockNode *node = sync ? node_of(a->data, "device", "node-name", errp)
                           : node_of(a->data, "node", "node", errp);

    if (!node) {
        return false;
    }
    bdrv_ref(node);
    if (sync ? !qmp_do_snapshot_sync(a->data, errp) : !qmp_do_snapshot(a->data, errp)) {
        bdrv_unref(node);
        return false;
    }
    a->old = node;
    for (BlockNode *n = bdrv_next(NULL); n; n = bdrv_next(n)) {
        a->made = n->backing && n->backing->node == node ? n : a->made;
    }
    if (a->made) {
        bdrv_ref(a->made);
    }
    return true;
}

static void undo_snapshot(Action *a)
{
    if (a->made) {
        bdrv_reopen(a->old, false, NULL);
        if (bdrv_replace_node(a->made, a->old, NULL)) {
            bdrv_set_backing(a->made, NULL, NULL);
        }
        blk_refresh_all();
    }
}

static bool do_backup(Action *a, Error **errp)
{
    bool drive = !strcmp(a->type, "drive-backup");

    a->job = qmp_str(a->data, "job-id") ? qmp_str(a->data, "job-id") : qmp_str(a->data, "device");
    return answered(drive ? qmp_drive_backup(a->data, errp) : qmp_blockdev_backup(a->data, errp));
}

/* It has not begun: jobs run from the loop's next turn on. */
static void undo_backup(Action *a)
{
    BlockJob *job = a->job ? job_find(a->job) : NULL;

    if (job) {
        job_cancel(job, true, NULL);
    }
}

static bool do_bitmap(Action *a, Error **errp)
{
    static const struct {
        const char *type, *name;
        json_t *(*run)(json_t *args, Error **errp);
    } table[] = {
        {"block-dirty-bitmap-clear", "name", qmp_bitmap_clear},
        {"block-dirty-bitmap-enable", "name", qmp_bitmap_enable},
        {"block-dirty-bitmap-disable", "name", qmp_bitmap_disable},
        {"block-dirty-bitmap-merge", "target", qmp_bitmap_merge},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (strcmp(a->type, table[i].type) != 0) {
            continue;
        }
        const char *name = qmp_str(a->data, table[i].name);
        BlockNode *node = node_of(a->data, "node", "node", errp);
        DirtyBitmap *b = node && name ? dirty_find(node, name, errp) : NULL;
        if (!b) {
            return false;
        }
        a->bitmap = b;
        a->bits = dirty_save(b);
        a->enabled = b->enabled;
        return answered(table[i].run(a->data, errp));
    }
    return false;
}

static void undo_bitmap(Action *a)
{
    if (a->bits) {
        dirty_restore(a->bitmap, a->bits);
        a->bitmap->enabled = a->enabled;
    }
}

static bool do_bitmap_add(Action *a, Error **errp)
{
    return answered(qmp_bitmap_add(a->data, errp));
}

static void undo_bitmap_add(Action *a)
{
    answered(qmp_bitmap_remove(a->data, NULL));
}

/* Only looked for now, and removed when all the others have been done. */
static bool do_bitmap_remove(Action *a, Error **errp)
{
    BlockNode *node = node_of(a->data, "node", "node", errp);
    DirtyBitmap *b = node ? dirty_find(node, qmp_str(a->data, "name"), errp) : NULL;

    if (b && b->busy) {
        error_set(errp, "Bitmap '%s' is currently in use by another operation and cannot be used",
                  b->name);
        return false;
    }
    return b != NULL;
}

static void commit_bitmap_remove(Action *a)
{
    answered(qmp_bitmap_remove(a->data, NULL));
}

/* Of needs, each is a string in data. */
static const struct ActionKind {
    const char *type;
    const char *needs[3];
    bool (*run)(Action *a, Error **errp);
    void (*undo)(Action *a);
    void (*commit)(Action *a);
} kinds[] = {
    {"abort", {NULL}, do_abort, NULL, NULL},
    {"block-dirty-bitmap-add", {"node", "name"}, do_bitmap_add, undo_bitmap_add, NULL},
    {"block-dirty-bitmap-clear", {"node", "name"}, do_bitmap, undo_bitmap, NULL},
    {"block-dirty-bitmap-disable", {"node", "name"}, do_bitmap, undo_bitmap, NULL},
    {"block-dirty-bitmap-enable", {"node", "name"}, do_bitmap, undo_bitmap, NULL},
    {"block-dirty-bitmap-merge", {"node", "target"}, do_bitmap, undo_bitmap, NULL},
    {"block-dirty-bitmap-remove", {"node", "name"}, do_bitmap_remove, NULL, commit_bitmap_remove},
    {"blockdev-backup", {"device", "target", "sync"}, do_backup, undo_backup, NULL},
    {"blockdev-snapshot", {"node", "overlay"}, do_snapshot, undo_snapshot, NULL},
    {"blockdev-snapshot-sync", {"snapshot-file"}, do_snapshot, undo_snapshot, NULL},
    {"drive-backup", {"device", "target", "sync"}, do_backup, undo_backup, NULL},
};

static const struct ActionKind *find_kind(const Action *a, Error **errp)
{
    for (size_t i = 0; a->type && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(a->type, kinds[i].type) != 0) {
            continue;
        }
        for (size_t n = 0; n < 3 && kinds[i].needs[n]; n++) {
            if (!json_is_string(json_object_get(a->data, kinds[i].needs[n]))) {
                error_set(errp, "Parameter '%s' is missing", kinds[i].needs[n]);
                return NULL;
            }
        }
        return &kinds[i];
    }
    error_set(errp, "Parameter 'type' does not accept value '%s'", a->type ? a->type : "");
    return NULL;
}

/* ---- all of them ---- */

typedef struct Quiet {
    BlockNode *nodes[64];
    unsigned count;
} Quiet;

static void make_quiet(BlockBackend *blk, void *opaque)
{
    Quiet *q = opaque;

    if (blk_has_medium(blk) && q->count < sizeof(q->nodes) / sizeof(q->nodes[0])) {
        q->nodes[q->count] = bdrv_ref(blk_node(blk));
        bdrv_drained_begin(q->nodes[q->count++]);
    }
}

static void free_action(Action *a)
{
    free(a->bits);
    bdrv_unref(a->made);
    bdrv_unref(a->old);
}

json_t *qmp_transaction(json_t *args, Error **errp)
{
    json_t *list = json_object_get(args, "actions"), *item,
           *properties = json_object_get(args, "properties");
    const char *mode = qmp_str(properties, "completion-mode");
    size_t count = json_array_size(list), i, done = 0;
    Action *actions = calloc(count + 1, sizeof(*actions));
    Quiet quiet = {.count = 0};
    bool ok = actions != NULL;

    if (mode && strcmp(mode, "individual") != 0) {
        error_set(errp, "Parameter 'completion-mode' expects 'individual'");
        ok = false;
    }
    if (ok) {
        blk_each(make_quiet, &quiet);
    }
    json_array_foreach(list, i, item)
    {
        Action *a = ok ? &actions[i] : NULL;
        if (!a) {
            break;
        }
        a->type = qmp_str(item, "type");
        a->data = json_object_get(item, "data");
        const struct ActionKind *kind = find_kind(a, errp);
        ok = kind && kind->run(a, errp);
        done += ok;
    }
    for (i = 0; ok && i < count; i++) {
        const struct ActionKind *kind = find_kind(&actions[i], NULL);
        if (kind->commit) {
            kind->commit(&actions[i]);
        }
    }
    for (i = done; !ok && i > 0; i--) {
        const struct ActionKind *kind = find_kind(&actions[i - 1], NULL);
        if (kind->undo) {
            kind->undo(&actions[i - 1]);
        }
    }
    while (quiet.count) {
        bdrv_drained_end(quiet.nodes[--quiet.count]);
        bdrv_unref(quiet.nodes[quiet.count]);
    }
    for (i = 0; actions && i < count; i++) {
        free_action(&actions[i]);
    }
    free(actions);
    return ok ? qmp_empty() : NULL;
}
