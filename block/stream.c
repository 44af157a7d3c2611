/*
 * Jobs that shorten a chain of images: stream takes into an image what it shows of those below it,
 * commit puts an image in the middle into its backing file.
 *
 * A stream writes what the disk shows already, so nobody is told of these writes; but a
 * guest's write and the stream's copy of the same place must take turns, or the copy would put old
 * data over new: both lock their range.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/job-copy.h"
#include "block/job-int.h"
#include "block/util.h"

enum { RETRY_NS = 100 * 1000 * 1000 };

typedef struct Shorten {
    BlockJob job;
    WriteWatcher watcher; /* stream */
    RangeLocks locks;
    BlockNode *node; /* stream: the image; commit: the overlay, whose backing file changes */
    BlockNode *top;  /* commit: the uppermost that goes */
    BlockNode *base; /* what is the backing file at the end; NULL: none (stream) */
    BlockChild *from, *to;
    char *backing_file;
    bool stream, reopened_node, reopened_base;
} Shorten;

static int before_write(WriteWatcher *w, RangeLock *range, uint64_t offset, uint64_t bytes)
{
    Shorten *s = (Shorten *)((char *)w - offsetof(Shorten, watcher));

    range_lock(&s->locks, range, offset, bytes);
    return 0;
}

static int after_write(WriteWatcher *w, RangeLock *range, uint64_t offset, uint64_t bytes,
                       IoVector *v, size_t at, int ret)
{
    Shorten *s = (Shorten *)((char *)w - offsetof(Shorten, watcher));

    range_unlock(&s->locks, range);
    return 0;
}

/* What of [offset, offset + *bytes) is to be copied, as one piece that begins at offset. */
static int needed(Shorten *s, uint64_t offset, uint64_t *bytes)
{
    uint64_t n;
    int ret;

    if (s->stream) {
        BlockNode *below = s->node->backing ? s->node->backing->node : NULL;
        ret = bdrv_co_is_allocated_above(s->node, below, false, offset, *bytes, &n);
        *bytes = n ? n : *bytes;
        if (ret != 0 || !below) {
            return ret < 0 ? ret : 0;
        }
        ret = offset >= below->size
                  ? 0
                  : bdrv_co_is_allocated_above(below, s->base, false, offset,
                                               MIN(*bytes, below->size - offset), &n);
        *bytes = offset >= below->size ? *bytes : n ? n : *bytes;
    } else {
        ret = bdrv_co_is_allocated_above(s->top, s->base, false, offset, *bytes, &n);
        *bytes = n ? n : *bytes;
    }
    return ret;
}

/* One piece; *bytes: how long it was. Under the lock the guest has not written there since the
 * look. */
static int shorten_piece(Shorten *s, uint64_t offset, uint64_t *bytes, bool *read_failed)
{
    RangeLock range;

    *bytes = MIN(*bytes, COPY_CHUNK);
    range_lock(&s->locks, &range, offset, *bytes);
    int ret = needed(s, offset, bytes);
    *read_failed = ret < 0;
    if (ret > 0) {
        ret = job_copy(s->from, s->to, offset, *bytes, s->stream ? BDRV_REQ_UNCHANGED : 0,
                       read_failed);
        ret = ret < 0 ? ret : 1;
    }
    range_unlock(&s->locks, &range);
    return ret;
}

static int shorten_run(BlockJob *job)
{
    Shorten *s = (Shorten *)job;
    const uint64_t size = bdrv_size(s->stream ? s->node : s->top);
    int failed = 0;

    job->len = size;
    for (uint64_t offset = 0, n; offset < size && !job_pause_point(job);) {
        bool read_failed;
        n = size - offset;
        int ret = shorten_piece(s, offset, &n, &read_failed);
        if (ret < 0) {
            BlkErrorAction action = job_error(job, read_failed, -ret);
            if (action == BLK_ERROR_REPORT) {
                return ret;
            }
            if (action == BLK_ERROR_STOP || !s->stream) {
                job_sleep(job, RETRY_NS);
                continue; /* again */
            }
            failed = failed < 0 ? failed : ret; /* a stream goes on, and fails at its end */
        }
        offset += n;
        job_progress(job, n);
        if (ret > 0) {
            job_limit(job, n);
        }
    }
    return failed < 0 || job_must_stop(job) ? failed : bdrv_co_flush(s->to->node);
}

/* ---- beginning and end ---- */

static bool change_chain(Shorten *s, Error **errp)
{
    const char *file = s->backing_file ? s->backing_file : s->base ? bdrv_filename(s->base) : NULL;

    if (!bdrv_set_backing(s->node, s->base, errp)) {
        return false;
    }
    int ret = bdrv_change_backing_file(s->node, file, s->base ? bdrv_format_name(s->base) : NULL);
    if (ret < 0 && ret != -ENOTSUP) {
        error_set_errno(errp, -ret, "image %s: its header could not be changed",
                        bdrv_filename(s->node));
        return false;
    }
    return true;
}

static void release(Shorten *s)
{
    bdrv_root_detach(s->from);
    bdrv_root_detach(s->to);
    if (s->reopened_base) {
        bdrv_reopen(s->base, true, NULL);
    }
    if (s->reopened_node) {
        bdrv_reopen(s->node, true, NULL);
    }
    bdrv_unref(s->node);
    bdrv_unref(s->top);
    bdrv_unref(s->base);
    free(s->backing_file);
}

static int shorten_finish(BlockJob *job, int ret)
{
    Shorten *s = (Shorten *)job;

    bdrv_drained_begin(s->node);
    if (s->stream) {
        bdrv_unwatch(s->node, &s->watcher);
    }
    if (ret == 0 && !change_chain(s, &job->err)) {
        ret = -EIO;
    }
    bdrv_drained_end(s->node);
    release(s);
    return ret;
}

static const BlockJobDriver stream_driver = {
    .type = "stream", .size = sizeof(Shorten), .run = shorten_run, .finish = shorten_finish};
static const BlockJobDriver commit_driver = {
    .type = "commit", .size = sizeof(Shorten), .run = shorten_run, .finish = shorten_finish};

static bool make_writable(BlockNode *node, bool *reopened, Error **errp)
{
    if (bdrv_readonly(node)) {
        *reopened = bdrv_reopen(node, false, errp);
        return *reopened;
    }
    return true;
}

static Shorten *new_shorten(const BlockJobDriver *driver, BlockNode *node, BlockNode *top,
                            BlockNode *base, const char *backing_file, const JobOptions *options,
                            Error **errp)
{
    if ((top && job_uses(top)) || (base && job_uses(base))) {
        error_set(errp, "Node '%s' is busy: block device is in use by block job",
                  bdrv_node_name(top && job_uses(top) ? top : base));
        return NULL;
    }
    Shorten *s = (Shorten *)job_new(driver, node, options, errp);
    if (s) {
        s->node = bdrv_ref(node);
        s->top = top ? bdrv_ref(top) : NULL;
        s->base = base ? bdrv_ref(base) : NULL;
        s->backing_file = backing_file ? strdup(backing_file) : NULL;
        s->job.nodes[1] = top;
        s->job.nodes[2] = base;
    }
    return s;
}

static BlockJob *run_or_release(Shorten *s, bool ok)
{
    if (ok) {
        job_run(&s->job);
        return &s->job;
    }
    release(s);
    job_free(&s->job);
    return NULL;
}

BlockJob *stream_start(BlockNode *node, BlockNode *base, const char *backing_file,
                       const JobOptions *options, Error **errp)
{
    if (!node->driver->supports_backing && node->backing == NULL) {
        error_set(errp, "image %s has no backing file to stream from", bdrv_filename(node));
        return NULL;
    }
    Shorten *s = new_shorten(&stream_driver, node, NULL, base, backing_file, options, errp);
    if (!s) {
        return NULL;
    }
    s->stream = true;
    s->watcher = (WriteWatcher){.before = before_write, .after = after_write};
    bool ok = make_writable(node, &s->reopened_node, errp) &&
              (s->from = job_attach(&s->job, bdrv_ref(node), BLK_PERM_READ, errp)) &&
              (s->to = job_attach(&s->job, bdrv_ref(node), BLK_PERM_WRITE_UNCHANGED, errp));
    if (ok) {
        bdrv_drained_begin(node);
        ok = bdrv_watch(node, &s->watcher);
        bdrv_drained_end(node);
        if (!ok) {
            error_set(errp, "image %s has too many jobs", bdrv_filename(node));
        }
    }
    return run_or_release(s, ok);
}

BlockJob *commit_start(BlockNode *overlay, BlockNode *top, BlockNode *base,
                       const char *backing_file, const JobOptions *options, Error **errp)
{
    Shorten *s = new_shorten(&commit_driver, overlay, top, base, backing_file, options, errp);

    if (!s) {
        return NULL;
    }
    bool ok =
        make_writable(base, &s->reopened_base, errp) &&
        make_writable(overlay, &s->reopened_node, errp) &&
        (s->from = job_attach(&s->job, bdrv_ref(top), BLK_PERM_READ, errp)) &&
        (s->to = job_attach(&s->job, bdrv_ref(base), BLK_PERM_WRITE | BLK_PERM_RESIZE, errp)) &&
        (bdrv_size(base) >= bdrv_size(top) ||
         bdrv_truncate(s->to, bdrv_size(top), false, PREALLOC_OFF, errp));
    return run_or_release(s, ok);
}
