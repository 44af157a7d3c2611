/*
 * The JSON monitor's block jobs, and what else is done to the images of a running machine.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>
#include <string.h>

#include "block/drive.h"
#include "block/driver.h"
#include "block/live.h"
#include "monitor/qmp-int.h"

static json_t *done(bool ok)
{
    return ok ? qmp_empty() : NULL;
}

/* ---- arguments ---- */

static bool take_word(json_t *args, const char *name, const char *const *words, int *value,
                      Error **errp)
{
    const char *text = qmp_str(args, name);

    for (int i = 0; text && words[i]; i++) {
        if (!strcmp(text, words[i])) {
            *value = i;
            return true;
        }
    }
    if (text) {
        error_set(errp, "Invalid parameter '%s'", text);
    }
    return !text;
}

static bool take_policy(json_t *args, const char *name, BlkErrorPolicy *policy, Error **errp)
{
    static const char *const words[] = {"report", "ignore", "stop", "enospc", "auto", NULL};
    static const BlkErrorPolicy values[] = {BLK_ON_ERROR_REPORT, BLK_ON_ERROR_IGNORE,
                                            BLK_ON_ERROR_STOP, BLK_ON_ERROR_ENOSPC,
                                            BLK_ON_ERROR_ENOSPC};
    int i = 0;

    if (!take_word(args, name, words, &i, errp)) {
        return false;
    }
    *policy = values[i];
    return true;
}

/* The job's id is the drive's where none is given. */
static bool take_job(json_t *args, JobOptions *o, Error **errp)
{
    const char *device = qmp_str(args, "device");
    int64_t speed = qmp_int(args, "speed", 0);

    if (speed < 0) {
        error_set(errp, "Parameter 'speed' expects a non-negative value");
        return false;
    }
    *o = (JobOptions){.id = qmp_str(args, "job-id"),
                      .speed = (uint64_t)speed,
                      .manual_finalize = !qmp_bool(args, "auto-finalize", true),
                      .manual_dismiss = !qmp_bool(args, "auto-dismiss", true)};
    o->id = o->id || !device ? o->id : device;
    return take_policy(args, "on-error", &o->on_source_error, errp) &&
           take_policy(args, "on-error", &o->on_target_error, errp) &&
           (!qmp_str(args, "on-source-error") ||
            take_policy(args, "on-source-error", &o->on_source_error, errp)) &&
           (!qmp_str(args, "on-target-error") ||
            take_policy(args, "on-target-error", &o->on_target_error, errp));
}

static const char *const syncs[] = {[SYNC_FULL] = "full", [SYNC_TOP] = "top",
                                    [SYNC_NONE] = "none", [SYNC_BITMAP] = "bitmap",
                                    "incremental",        NULL};

static bool take_sync(json_t *args, JobSync *sync, Error **errp)
{
    int i = SYNC_FULL;

    if (!take_word(args, "sync", syncs, &i, errp)) {
        return false;
    }
    *sync = i > SYNC_BITMAP ? SYNC_BITMAP : (JobSync)i;
    return true;
}

/* "node" by name, or "file" by the name of its file in node's chain; *found NULL: neither. */
static bool take_in_chain(json_t *args, BlockNode *node, const char *by_node, const char *by_file,
                          BlockNode **found, Error **errp)
{
    const char *name = qmp_str(args, by_node), *file = qmp_str(args, by_file);

    *found = NULL;
    if (name && file) {
        error_set(errp, "'%s' and '%s' cannot be used together", by_node, by_file);
        return false;
    }
    if (name) {
        *found = live_node(name, errp);
        if (*found && *found != node && !live_overlay(node, *found)) {
            error_set(errp, "'%s' is not in the backing chain of '%s'", name, bdrv_filename(node));
            *found = NULL;
        }
    } else if (file) {
        *found = live_in_chain(node, file, errp);
    }
    return *found || (!name && !file);
}

/* ---- jobs ---- */

json_t *qmp_block_stream(json_t *args, Error **errp)
{
    BlockNode *node = live_node(qmp_str(args, "device"), errp), *base, *bottom;
    JobOptions job;

    if (!node || !take_job(args, &job, errp) ||
        !take_in_chain(args, node, "base-node", "base", &base, errp) ||
        !take_in_chain(args, node, "bottom", "", &bottom, errp)) {
        return NULL;
    }
    if (base && bottom) {
        error_set(errp, "'base' and 'bottom' cannot be specified at the same time");
        return NULL;
    }
    base = bottom ? bdrv_backing(bottom) : base;
    return done(stream_start(node, base, qmp_str(args, "backing-file"), &job, errp) != NULL);
}

json_t *qmp_block_commit(json_t *args, Error **errp)
{
    BlockNode *node = live_node(qmp_str(args, "device"), errp), *base, *top;
    JobOptions job;

    if (!node || !take_job(args, &job, errp) ||
        !take_in_chain(args, node, "base-node", "base", &base, errp) ||
        !take_in_chain(args, node, "top-node", "top", &top, errp)) {
        return NULL;
    }
    return done(live_commit(node, top, base, qmp_str(args, "backing-file"), &job, errp) != NULL);
}

static bool take_target(json_t *args, BlockNode *node, JobSync sync, BlockNode **target,
                        Error **errp)
{
    static const char *const modes[] = {"absolute-paths", "existing", NULL};
    int mode = 0;

    if (!take_word(args, "mode", modes, &mode, errp)) {
        return false;
    }
    const LiveTarget t = {.file = qmp_str(args, "target"),
                          .format = qmp_str(args, "format"),
                          .node_name = qmp_str(args, "node-name"),
                          .existing = mode == 1,
                          .sync = sync};
    *target = live_open_target(node, &t, errp);
    return *target != NULL;
}

static json_t *mirror(json_t *args, bool by_file, Error **errp)
{
    static const char *const modes[] = {"background", "write-blocking", NULL};
    BlockNode *node = live_node(qmp_str(args, "device"), errp), *target = NULL;
    int64_t granularity = qmp_int(args, "granularity", 0);
    MirrorOptions o = {.target_is_zero = false, .set_backing = by_file};
    JobOptions job;
    int mode = 0;

    if (!node || !take_job(args, &job, errp) || !take_sync(args, &o.sync, errp) ||
        !take_word(args, "copy-mode", modes, &mode, errp)) {
        return NULL;
    }
    if (o.sync == SYNC_BITMAP) {
        error_set(errp, "Sync mode 'bitmap' not supported");
        return NULL;
    }
    if (granularity && (granularity < 512 || granularity > 64 << 20)) {
        error_set(errp, "Parameter 'granularity' expects a value in range [512B, 64MB]");
        return NULL;
    }
    const char *replaces = qmp_str(args, "replaces");
    if (replaces && !(o.replaces = bdrv_find_node(replaces))) {
        error_set(errp, "Failed to find node with node-name='%s'", replaces);
        return NULL;
    }
    o.granularity = (uint32_t)granularity;
    o.write_blocking = mode == 1;
    /* What a mirror of the whole disk's topmost image would leave out has nothing below it. */
    o.sync = o.sync == SYNC_TOP && !bdrv_backing(node) ? SYNC_FULL : o.sync;
    if (by_file) {
        o.target_is_zero = !qmp_str(args, "mode") || strcmp(qmp_str(args, "mode"), "existing") != 0;
        if (!take_target(args, node, o.sync, &target, errp)) {
            return NULL;
        }
    } else {
        target = live_node(qmp_str(args, "target"), errp);
        target = target ? bdrv_ref(target) : NULL;
    }
    return done(target && mirror_start(node, target, &o, &job, errp));
}

json_t *qmp_drive_mirror(json_t *args, Error **errp)
{
    return mirror(args, true, errp);
}

json_t *qmp_blockdev_mirror(json_t *args, Error **errp)
{
    return mirror(args, false, errp);
}

static bool take_bitmap(json_t *args, BackupOptions *o, Error **errp)
{
    static const char *const modes[] = {"on-success", "never", "always", NULL};
    bool incremental = !strcmp(qmp_str(args, "sync"), "incremental");
    int mode = BITMAP_ON_SUCCESS;

    o->bitmap = qmp_str(args, "bitmap");
    if (!take_word(args, "bitmap-mode", modes, &mode, errp)) {
        return false;
    }
    o->bitmap_mode = (JobBitmapMode)mode;
    if ((o->sync == SYNC_BITMAP) != (o->bitmap != NULL)) {
        error_set(errp,
                  o->bitmap ? "Bitmap is only for sync modes 'bitmap' and 'incremental', not '%s'"
                            : "sync mode '%s' needs a bitmap's name ('bitmap')",
                  qmp_str(args, "sync"));
        return false;
    }
    if (o->bitmap && !incremental && !qmp_str(args, "bitmap-mode")) {
        error_set(errp, "'bitmap' needs 'bitmap-mode', when it is cleared");
        return false;
    }
    if (incremental && mode != BITMAP_ON_SUCCESS) {
        error_set(errp, "Bitmap sync mode must be 'on-success' when using sync mode 'incremental'");
        return false;
    }
    return true;
}

static BlockJob *backup(json_t *args, bool by_file, Error **errp)
{
    BlockNode *node = live_node(qmp_str(args, "device"), errp), *target = NULL;
    BackupOptions o = {.compress = qmp_bool(args, "compress", false)};
    JobOptions job;

    if (!node || !take_job(args, &job, errp) || !take_sync(args, &o.sync, errp) ||
        !take_bitmap(args, &o, errp)) {
        return NULL;
    }
    o.sync = o.sync == SYNC_TOP && !bdrv_backing(node) ? SYNC_FULL : o.sync;
    if (by_file) {
        if (!take_target(args, node, o.sync == SYNC_BITMAP ? SYNC_FULL : o.sync, &target, errp)) {
            return NULL;
        }
    } else {
        target = live_node(qmp_str(args, "target"), errp);
        target = target ? bdrv_ref(target) : NULL;
    }
    if (target && o.compress && !target->driver->supports_compressed) {
        error_set(errp, "Compression is not supported for this drive %s", bdrv_filename(target));
        bdrv_unref(target);
        return NULL;
    }
    return target ? backup_start(node, target, &o, &job, errp) : NULL;
}

json_t *qmp_drive_backup(json_t *args, Error **errp)
{
    return done(backup(args, true, errp) != NULL);
}

json_t *qmp_blockdev_backup(json_t *args, Error **errp)
{
    return done(backup(args, false, errp) != NULL);
}

/* ---- jobs that run ---- */

static BlockJob *need_job(json_t *args, const char *name, Error **errp)
{
    BlockJob *job = job_find(qmp_str(args, name));

    if (!job) {
        qmp_error(errp, "DeviceNotActive", "Block job '%s' not found", qmp_str(args, name));
    }
    return job;
}

#define BLOCK_JOB_COMMAND(verb)                                                                    \
    json_t *qmp_block_job_##verb(json_t *args, Error **errp)                                       \
    {                                                                                              \
        const char *name = qmp_str(args, "id") ? "id" : "device";                                  \
        BlockJob *job = need_job(args, name, errp);                                                \
        return done(job && job_##verb(job, errp));                                                 \
    }
BLOCK_JOB_COMMAND(pause)
BLOCK_JOB_COMMAND(resume)
BLOCK_JOB_COMMAND(complete)
BLOCK_JOB_COMMAND(finalize)
BLOCK_JOB_COMMAND(dismiss)

json_t *qmp_block_job_cancel(json_t *args, Error **errp)
{
    BlockJob *job = need_job(args, "device", errp);

    return done(job && job_cancel(job, qmp_bool(args, "force", false), errp));
}

json_t *qmp_block_job_set_speed(json_t *args, Error **errp)
{
    BlockJob *job = need_job(args, "device", errp);

    return done(job && job_set_speed(job, (uint64_t)qmp_int(args, "speed", 0), errp));
}

/* Jobs of all kinds have one name space for job-*. */
json_t *qmp_any_job_cancel(json_t *args, Error **errp)
{
    BlockJob *job = job_find(qmp_str(args, "id"));

    return job ? done(job_cancel(job, true, errp)) : qmp_job_cancel(args, errp);
}

json_t *qmp_any_job_dismiss(json_t *args, Error **errp)
{
    BlockJob *job = job_find(qmp_str(args, "id"));

    return job ? done(job_dismiss(job, errp)) : qmp_job_dismiss(args, errp);
}

static void add_any_job(BlockJob *job, void *opaque)
{
    JobInfo i;
    json_t *o;

    job_info(job, &i);
    o = json_pack("{s:s, s:s, s:s, s:I, s:I}", "id", i.id, "type", i.type, "status",
                  job_status_name(i.status), "current-progress", (json_int_t)i.offset,
                  "total-progress", (json_int_t)i.len);
    if (i.error) {
        json_object_set_new(o, "error", json_string(i.error));
    }
    json_array_append_new(opaque, o);
}

json_t *qmp_query_any_jobs(json_t *args, Error **errp)
{
    json_t *list = qmp_query_jobs(args, errp);

    job_each(add_any_job, list);
    return list;
}

static void add_block_job(BlockJob *job, void *opaque)
{
    JobInfo i;
    json_t *o;

    job_info(job, &i);
    o = json_pack("{s:s, s:s, s:I, s:I, s:b, s:b, s:I, s:s, s:b, s:s, s:b, s:b}", "type", i.type,
                  "device", i.id, "len", (json_int_t)i.len, "offset", (json_int_t)i.offset, "busy",
                  i.busy, "paused", i.paused, "speed", (json_int_t)i.speed, "io-status",
                  i.io_status, "ready", i.ready, "status", job_status_name(i.status),
                  "auto-finalize", i.auto_finalize, "auto-dismiss", i.auto_dismiss);
    if (i.error) {
        json_object_set_new(o, "error", json_string(i.error));
    }
    json_array_append_new(opaque, o);
}

json_t *qmp_query_block_jobs(json_t *args, Error **errp)
{
    json_t *list = json_array();

    job_each(add_block_job, list);
    return list;
}

/* ---- their events ---- */

static void on_job(BlockJob *job, JobEvent event, bool is_read, BlkErrorAction action)
{
    static const char *const names[] = {[JOB_EVENT_READY] = "BLOCK_JOB_READY",
                                        [JOB_EVENT_COMPLETED] = "BLOCK_JOB_COMPLETED",
                                        [JOB_EVENT_CANCELLED] = "BLOCK_JOB_CANCELLED"};
    static const char *const actions[] = {"report", "ignore", "stop"};
    JobInfo i;

    job_info(job, &i);
    if (event == JOB_EVENT_STATUS) {
        qmp_event("JOB_STATUS_CHANGE",
                  json_pack("{s:s, s:s}", "id", i.id, "status", job_status_name(i.status)));
    } else if (event == JOB_EVENT_ERROR) {
        qmp_event("BLOCK_JOB_ERROR",
                  json_pack("{s:s, s:s, s:s}", "device", i.id, "operation",
                            is_read ? "read" : "write", "action", actions[action]));
    } else if (event == JOB_EVENT_PENDING) {
        qmp_event("BLOCK_JOB_PENDING", json_pack("{s:s, s:s}", "type", i.type, "id", i.id));
    } else {
        json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:I}", "type", i.type, "device", i.id, "len",
                              (json_int_t)i.len, "offset", (json_int_t)i.offset, "speed",
                              (json_int_t)i.speed);
        if (i.error && event == JOB_EVENT_COMPLETED) {
            json_object_set_new(o, "error", json_string(i.error));
        }
        qmp_event(names[event], o);
    }
}

void qmp_watch_jobs(void)
{
    job_set_listener(on_job);
}

/* ---- images of drives ---- */

static BlockNode *need_node(json_t *args, const char *node_name, Error **errp)
{
    const char *name = qmp_str(args, "device") ? qmp_str(args, "device") : qmp_str(args, node_name);

    if (!name) {
        error_set(errp, "Need 'device' or '%s'", node_name);
        return NULL;
    }
    return live_node(name, errp);
}

typedef struct Search {
    const BlockNode *node;
    BlockBackend *found;
} Search;

static void look(BlockBackend *blk, void *opaque)
{
    Search *s = opaque;

    s->found = blk_has_medium(blk) && blk_node(blk) == s->node ? blk : s->found;
}

/* The drive that shows the node. */
static BlockBackend *drive_of(const BlockNode *node, Error **errp)
{
    Search s = {.node = node};

    blk_each(look, &s);
    if (!s.found) {
        error_set(errp, "node '%s' is no drive's uppermost image", bdrv_node_name(node));
    }
    return s.found;
}

json_t *qmp_block_resize(json_t *args, Error **errp)
{
    BlockNode *node = need_node(args, "node-name", errp);
    BlockBackend *blk = node ? drive_of(node, NULL) : NULL;
    int64_t size = qmp_int(args, "size", 0);

    if (!node) {
        return NULL;
    }
    if (size < 0 || size % BLK_SECTOR_SIZE) {
        error_set(errp, "Parameter 'size' expects a multiple of 512 bytes");
        return NULL;
    }
    return done(blk ? blk_resize(blk, (uint64_t)size, errp)
                    : live_resize(node, (uint64_t)size, errp));
}

bool qmp_do_snapshot_sync(json_t *args, Error **errp)
{
    static const char *const modes[] = {"absolute-paths", "existing", NULL};
    BlockNode *node = need_node(args, "node-name", errp);
    BlockBackend *blk = node ? drive_of(node, errp) : NULL;
    int mode = 0;

    return blk && take_word(args, "mode", modes, &mode, errp) &&
           blk_snapshot_as(blk, qmp_str(args, "snapshot-file"), qmp_str(args, "format"), mode == 1,
                           qmp_str(args, "snapshot-node-name"), errp);
}

json_t *qmp_blockdev_snapshot_sync(json_t *args, Error **errp)
{
    return done(qmp_do_snapshot_sync(args, errp));
}

bool qmp_do_snapshot(json_t *args, Error **errp)
{
    BlockNode *node = live_node(qmp_str(args, "node"), errp),
              *overlay = node ? live_node(qmp_str(args, "overlay"), errp) : NULL;

    if (!overlay) {
        return false;
    }
    if (bdrv_backing(overlay) || !overlay->driver->supports_backing || bdrv_readonly(overlay)) {
        error_set(errp, bdrv_backing(overlay) ? "The overlay already has a backing image"
                                              : "The overlay does not support backing images");
        return false;
    }
    if (job_uses(node)) {
        error_set(errp, "Node '%s' is busy: block device is in use by block job",
                  bdrv_node_name(node));
        return false;
    }
    bdrv_drained_begin(node);
    bool ok = bdrv_flush(node) == 0 && bdrv_set_backing(overlay, node, errp) &&
              bdrv_replace_node(node, overlay, errp);
    bdrv_drained_end(node);
    blk_refresh_all();
    return ok;
}

json_t *qmp_blockdev_snapshot(json_t *args, Error **errp)
{
    return done(qmp_do_snapshot(args, errp));
}

json_t *qmp_change_backing_file(json_t *args, Error **errp)
{
    BlockNode *node = live_node(qmp_str(args, "device"), errp),
              *image = node ? live_node(qmp_str(args, "image-node-name"), errp) : NULL;

    if (!image) {
        return NULL;
    }
    BlockNode *backing = bdrv_backing(image);
    int ret = bdrv_change_backing_file(image, qmp_str(args, "backing-file"),
                                       backing ? bdrv_format_name(backing) : NULL);
    if (ret < 0) {
        error_set_errno(errp, -ret, "Could not change the backing file to '%s'",
                        qmp_str(args, "backing-file"));
    }
    return done(ret == 0);
}

/* ---- nodes that users make ---- */

json_t *qmp_blockdev_add(json_t *args, Error **errp)
{
    char *text = json_dumps(args, JSON_COMPACT);
    BlockOptions *o = blkopts_new();
    bool ok = text && blkopts_parse_json(o, text, errp);

    free(text);
    if (ok && !blkopts_get(o, "node-name")) {
        error_set(errp, "'node-name' must be specified for the root node");
        ok = false;
    }
    if (!ok) {
        blkopts_free(o);
        return NULL;
    }
    BlockNode *node = bdrv_open(NULL, o, BDRV_O_RDWR | BDRV_O_AUTO_READONLY, errp);
    if (node) {
        drive_hold_node(node);
    }
    return done(node != NULL);
}

json_t *qmp_blockdev_del(json_t *args, Error **errp)
{
    return done(drive_release_node(qmp_str(args, "node-name"), errp));
}

/* ---- bitmaps ---- */

json_t *qmp_bitmap_add(json_t *args, Error **errp)
{
    BlockNode *node = live_node(qmp_str(args, "node"), errp);
    const char *name = qmp_str(args, "name");
    int64_t granularity = qmp_int(args, "granularity", 0);
    bool disabled = qmp_bool(args, "disabled", false);

    if (!node) {
        return NULL;
    }
    if (granularity < 0 || granularity > INT64_C(1) << 31) {
        error_set(errp, "Granularity must be power of 2 and at least 512");
        return NULL;
    }
    if (!qmp_bool(args, "persistent", false)) {
        DirtyBitmap *b = dirty_new(node, name, (uint32_t)granularity, errp);
        if (b) {
            b->enabled = !disabled;
        }
        return done(b != NULL);
    }
    if (!node->driver->bitmaps || bdrv_readonly(node)) {
        error_set(errp, "Cannot store dirty bitmaps in file '%s'", bdrv_filename(node));
        return NULL;
    }
    return done(bdrv_bitmap_add(node, name, (uint32_t)granularity, disabled, errp) &&
                (disabled || dirty_find(node, name, errp)));
}

/* One that may be changed now. */
static DirtyBitmap *need_bitmap(json_t *args, const char *name, Error **errp)
{
    BlockNode *node = live_node(qmp_str(args, "node"), errp);
    DirtyBitmap *b = node ? dirty_find(node, qmp_str(args, name), errp) : NULL;

    if (b && b->busy) {
        error_set(errp, "Bitmap '%s' is currently in use by another operation and cannot be used",
                  b->name);
        return NULL;
    }
    return b;
}

json_t *qmp_bitmap_remove(json_t *args, Error **errp)
{
    DirtyBitmap *b = need_bitmap(args, "name", errp);

    if (!b) {
        return NULL;
    }
    BlockNode *node = b->node;
    bool persistent = b->persistent;
    dirty_free(b);
    return done(!persistent || bdrv_bitmap_remove(node, qmp_str(args, "name"), errp));
}

json_t *qmp_bitmap_clear(json_t *args, Error **errp)
{
    DirtyBitmap *b = need_bitmap(args, "name", errp);

    if (b) {
        dirty_clear(b, 0, bdrv_size(b->node));
    }
    return done(b != NULL);
}

static json_t *enable(json_t *args, bool on, Error **errp)
{
    DirtyBitmap *b = need_bitmap(args, "name", errp);

    if (b && b->persistent && !on) {
        error_set(errp, "Bitmap '%s' is kept by the image and cannot be disabled while it is open",
                  b->name);
        return NULL;
    }
    if (b) {
        b->enabled = on;
    }
    return done(b != NULL);
}

json_t *qmp_bitmap_enable(json_t *args, Error **errp)
{
    return enable(args, true, errp);
}

json_t *qmp_bitmap_disable(json_t *args, Error **errp)
{
    return enable(args, false, errp);
}

/* All sources are found before the first is merged. */
json_t *qmp_bitmap_merge(json_t *args, Error **errp)
{
    DirtyBitmap *target = need_bitmap(args, "target", errp), *b;
    json_t *list = json_object_get(args, "bitmaps"), *item;
    size_t i;

    for (int merge = 0; target && merge < 2; merge++) {
        json_array_foreach(list, i, item)
        {
            BlockNode *node =
                json_is_object(item) ? live_node(qmp_str(item, "node"), errp) : target->node;
            const char *name =
                json_is_object(item) ? qmp_str(item, "name") : json_string_value(item);
            b = node && name ? dirty_find(node, name, errp) : NULL;
            if (!b) {
                return NULL;
            }
            if (bdrv_size(b->node) != bdrv_size(target->node)) {
                error_set(errp, "Bitmaps are of different sizes and can't be merged");
                return NULL;
            }
            if (merge) {
                dirty_merge(target, b);
            }
        }
    }
    return done(target != NULL);
}
