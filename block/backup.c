/*
 * Job backup: what a disk showed at one moment goes to a target, while the guest writes on.
 *
 * A bitmap says what is still to be copied. Before a guest's write changes a cluster that is, the
 * writer copies the old contents to the target (and waits for whoever copies it already). So
 * the target is the disk as it was when the job began; a failure of such a copy ends the job, not
 * the guest's write.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdlib.h>

#include "block/job-copy.h"
#include "block/job-int.h"
#include "block/util.h"

enum { MIN_CLUSTER = 65536, RETRY_NS = 100 * 1000 * 1000 };

typedef struct Backup {
    BlockJob job;
    WriteWatcher watcher;
    BlockNode *source_node, *target_node; /* references */
    BlockChild *source, *target;
    DirtyBitmap *todo; /* its granules are the job's clusters */
    RangeLocks locks;
    BackupOptions o;
    DirtyBitmap *bitmap; /* of SYNC_BITMAP */
    uint64_t *bitmap_was;
    unsigned copies;
    uint64_t cursor;
    int ret;
} Backup;

static Backup *from_watcher(WriteWatcher *w)
{
    return (Backup *)((char *)w - offsetof(Backup, watcher));
}

/* ---- copying ---- */

/* With the range locked: what of it is to be done. */
static int copy_locked(Backup *b, uint64_t offset, uint64_t bytes, bool *read_failed)
{
    const uint64_t end = MIN(offset + bytes, b->source_node->size);
    uint64_t at, n;
    int ret = 0;

    *read_failed = false;
    while (ret == 0 && dirty_next(b->todo, offset, bytes, &at, &n) && at < end) {
        n = MIN(n, end - at);
        ret = job_copy(b->source, b->target, at, n, b->o.compress ? BDRV_REQ_COMPRESSED : 0,
                       read_failed);
        if (ret == 0) {
            dirty_clear(b->todo, at, n);
            job_progress(&b->job, n);
        }
        offset = at + n;
        bytes = end > offset ? end - offset : 0;
        if (!bytes) {
            break;
        }
    }
    return ret;
}

static int before_write(WriteWatcher *w, RangeLock *range, uint64_t offset, uint64_t bytes)
{
    Backup *b = from_watcher(w);
    const uint64_t cluster = dirty_granularity(b->todo), start = ROUND_DOWN(offset, cluster),
                   end = ROUND_UP(offset + bytes, cluster);
    bool read_failed;

    range_lock(&b->locks, range, start, end - start);
    int ret = b->ret < 0 ? 0 : copy_locked(b, start, end - start, &read_failed);
    range_unlock(&b->locks, range);
    if (ret < 0) {
        b->ret = ret; /* the moment's contents are lost to the backup */
        job_kick(&b->job);
    }
    return 0;
}

typedef struct Copy {
    Backup *b;
    RangeLock range;
} Copy;

static void copy_entry(void *opaque)
{
    Copy *c = opaque;
    Backup *b = c->b;
    bool read_failed;

    int ret = copy_locked(b, c->range.offset, c->range.bytes, &read_failed);
    if (ret < 0 && job_error(&b->job, read_failed, -ret) == BLK_ERROR_REPORT) {
        b->ret = b->ret < 0 ? b->ret : ret;
    }
    range_unlock(&b->locks, &c->range);
    free(c);
    b->copies--;
    job_kick(&b->job);
}

static int start_copy(Backup *b, uint64_t offset, uint64_t bytes)
{
    Copy *c = calloc(1, sizeof(*c));

    if (!c) {
        return -ENOMEM;
    }
    c->b = b;
    range_lock(&b->locks, &c->range, offset, bytes);
    b->copies++;
    coroutine_enter(coroutine_create(copy_entry, c));
    return 0;
}

/* What only lies in the backing file needs no copy. Copies that writers make meanwhile do no harm.
 */
static int leave_out_unallocated(Backup *b)
{
    const uint64_t size = b->source_node->size;

    for (uint64_t offset = 0, n; offset < size; offset += n) {
        int ret = bdrv_co_is_allocated_above(b->source_node, bdrv_backing(b->source_node), false,
                                             offset, size - offset, &n);
        if (ret < 0) {
            return ret;
        }
        n = n ? n : size - offset;
        if (!ret) {
            /* Of those that are whole in it; one that a writer has begun with is done by then. */
            RangeLock range;
            range_lock(&b->locks, &range, offset, n);
            dirty_clear(b->todo, offset, n);
            range_unlock(&b->locks, &range);
        }
        if (job_pause_point(&b->job)) {
            return -ECANCELED;
        }
    }
    return 0;
}

static void settle(Backup *b)
{
    while (b->copies) {
        b->job.waiting = true;
        coroutine_yield();
    }
}

static int backup_run(BlockJob *job)
{
    Backup *b = (Backup *)job;
    uint64_t offset, bytes;

    if (b->o.sync == SYNC_TOP) {
        int ret = leave_out_unallocated(b);
        b->ret = b->ret < 0 ? b->ret : ret;
    }
    job->len = MIN(job->offset + dirty_count(b->todo), b->source_node->size);
    while (b->ret == 0 && b->o.sync == SYNC_NONE && !job_must_stop(job)) {
        job_sleep(job, RETRY_NS); /* writers do all the copying */
    }
    while (b->ret == 0 && !job_pause_point(job)) {
        if (b->copies >= COPY_AT_ONCE) {
            job->waiting = true;
            coroutine_yield();
        } else if (dirty_next(b->todo, b->cursor, COPY_CHUNK, &offset, &bytes)) {
            b->cursor = offset + bytes;
            int ret = start_copy(b, offset, bytes);
            b->ret = b->ret < 0 ? b->ret : ret;
            job_limit(job, bytes);
        } else if (b->copies) {
            settle(b);
        } else if (dirty_next(b->todo, 0, COPY_CHUNK, &offset, &bytes)) {
            b->cursor = 0; /* what failed, again */
            job_sleep(job, RETRY_NS);
        } else {
            break;
        }
    }
    settle(b);
    if (b->ret == 0 && !job_must_stop(job)) {
        b->ret = bdrv_co_flush(b->target_node);
    }
    return b->ret;
}

/* ---- beginning and end ---- */

static void settle_bitmap(Backup *b, bool ok)
{
    DirtyBitmap *was = b->todo;

    if (!b->bitmap) {
        return;
    }
    if (!ok && b->o.bitmap_mode == BITMAP_ON_SUCCESS) {
        for (uint64_t i = 0; i < DIV_ROUND_UP(b->bitmap->granules, 64); i++) {
            b->bitmap->words[i] |= b->bitmap_was[i];
        }
    } else if (!ok && b->o.bitmap_mode == BITMAP_ALWAYS) {
        dirty_merge(b->bitmap, was);
    }
    b->bitmap->busy = false;
    free(b->bitmap_was);
}

static int backup_finish(BlockJob *job, int ret)
{
    Backup *b = (Backup *)job;

    bdrv_drained_begin(b->source_node);
    bdrv_unwatch(b->source_node, &b->watcher);
    ret = ret < 0 ? ret : b->ret; /* a writer's copy may have failed last */
    settle_bitmap(b, ret == 0);
    dirty_free(b->todo);
    bdrv_root_detach(b->source);
    bdrv_root_detach(b->target);
    bdrv_drained_end(b->source_node);
    bdrv_unref(b->source_node);
    bdrv_unref(b->target_node);
    return ret;
}

static const BlockJobDriver backup_driver = {
    .type = "backup", .size = sizeof(Backup), .run = backup_run, .finish = backup_finish};

/* What is to be copied, with the source drained: this is the moment. */
static bool set_todo(Backup *b, Error **errp)
{
    if (b->o.sync != SYNC_BITMAP) {
        dirty_set(b->todo, 0, b->source_node->size);
        return true;
    }
    b->bitmap = dirty_find(b->source_node, b->o.bitmap, errp);
    if (!b->bitmap) {
        return false;
    }
    if (b->bitmap->busy) {
        error_set(errp, "Bitmap '%s' is currently in use by another operation and cannot be used",
                  b->o.bitmap);
        b->bitmap = NULL;
        return false;
    }
    dirty_merge(b->todo, b->bitmap);
    b->bitmap->busy = true;
    b->bitmap_was = dirty_save(b->bitmap);
    if (b->o.bitmap_mode != BITMAP_NEVER) {
        dirty_clear(b->bitmap, 0, b->source_node->size);
    }
    return true;
}

static uint32_t cluster_of(BlockNode *target)
{
    BlockInfo info;

    return bdrv_get_info(target, &info) == 0 ? MAX(info.cluster_size, MIN_CLUSTER) : MIN_CLUSTER;
}

static bool begin(Backup *b, Error **errp)
{
    if (bdrv_size(b->source_node) != bdrv_size(b->target_node)) {
        error_set(errp, "Source and target image have different sizes");
        return false;
    }
    b->source = job_attach(&b->job, bdrv_ref(b->source_node), BLK_PERM_READ, errp);
    b->target =
        b->source ? job_attach(&b->job, bdrv_ref(b->target_node), BLK_PERM_WRITE, errp) : NULL;
    b->todo = b->target ? dirty_new(b->source_node, NULL, cluster_of(b->target_node), errp) : NULL;
    if (!b->todo) {
        return false;
    }
    b->todo->enabled = false; /* not marked by writes */
    bdrv_drained_begin(b->source_node);
    bool ok = set_todo(b, errp);
    if (ok && !bdrv_watch(b->source_node, &b->watcher)) {
        error_set(errp, "image %s has too many jobs", bdrv_filename(b->source_node));
        settle_bitmap(b, false);
        ok = false;
    }
    bdrv_drained_end(b->source_node);
    return ok;
}

BlockJob *backup_start(BlockNode *node, BlockNode *target, const BackupOptions *o,
                       const JobOptions *options, Error **errp)
{
    Backup *b = NULL;

    if (node == target) {
        error_set(errp, "Source and target cannot be the same");
    } else if (job_uses(target)) {
        error_set(errp, "Node '%s' is busy: block device is in use by block job",
                  bdrv_node_name(target));
    } else {
        b = (Backup *)job_new(&backup_driver, node, options, errp);
    }
    if (!b) {
        bdrv_unref(target);
        return NULL;
    }
    b->o = *o;
    b->watcher = (WriteWatcher){.before = before_write};
    b->source_node = bdrv_ref(node);
    b->target_node = target;
    b->job.nodes[1] = target;
    if (begin(b, errp)) {
        job_run(&b->job);
        return &b->job;
    }
    dirty_free(b->todo);
    bdrv_root_detach(b->source);
    bdrv_root_detach(b->target);
    bdrv_unref(b->source_node);
    bdrv_unref(b->target_node);
    job_free(&b->job);
    return NULL;
}
