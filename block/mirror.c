/*
 * Jobs that bring a second image in step with a disk in use: mirror, and commit of the active
 * image, which is a mirror into a backing file.
 *
 * A dirty bitmap says what differs. The job clears a granule's bits, then reads the granule from
 * the source and writes it to the target; a guest's write sets bits when it is complete. So a write
 * that comes in the middle of a copy leaves its granule dirty, and it is copied again. In the mode
 * write-blocking a guest's write goes to the target as well before it completes; it locks its range
 * from before the one until after the other, so that copies and other writes there wait, and both
 * images see them in the same order.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdlib.h>

#include "block/job-copy.h"
#include "block/job-int.h"
#include "block/util.h"

enum { LOOK_AGAIN_NS = 100 * 1000 * 1000, DEFAULT_GRANULARITY = 65536 };

typedef struct Mirror {
    BlockJob job;
    WriteWatcher watcher;
    BlockNode *source_node, *target_node; /* references */
    BlockChild *source, *target;
    DirtyBitmap *dirty; /* marked by the watcher alone */
    RangeLocks locks;
    MirrorOptions o;
    BlockNode *base; /* what lies in it and below is not copied; NULL: all is */
    bool commit, reopened;
    bool quiet; /* the source is drained until the end */
    unsigned copies;
    uint64_t cursor;
    int ret;
} Mirror;

static Mirror *from_watcher(WriteWatcher *w)
{
    return (Mirror *)((char *)w - offsetof(Mirror, watcher));
}

/* ---- the guest's writes ---- */

static int before_write(WriteWatcher *w, RangeLock *range, uint64_t offset, uint64_t bytes)
{
    Mirror *m = from_watcher(w);

    if (m->o.write_blocking) {
        range_lock(&m->locks, range, offset, bytes);
    }
    return 0;
}

/* While the target has no backing file the rest of a cluster would become zeroes. */
static bool may_write(const Mirror *m, uint64_t offset, uint64_t bytes)
{
    return m->o.sync == SYNC_FULL || (offset | bytes) % dirty_granularity(m->dirty) == 0;
}

static int after_write(WriteWatcher *w, RangeLock *range, uint64_t offset, uint64_t bytes,
                       IoVector *v, size_t at, int ret)
{
    Mirror *m = from_watcher(w);

    if (!m->o.write_blocking) {
        dirty_set(m->dirty, offset, bytes);
        return 0;
    }
    /* Without data it is a discard or zeroes: the job sees later what shows there. */
    int copied = ret == 0 && v && may_write(m, offset, bytes)
                     ? bdrv_co_pwritev(m->target, offset, bytes, v, at, 0)
                     : -ECANCELED;
    if (copied < 0) {
        dirty_set(m->dirty, offset, bytes);
        if (copied != -ECANCELED && job_error(&m->job, false, -copied) == BLK_ERROR_REPORT) {
            m->ret = copied;
        }
    }
    range_unlock(&m->locks, range);
    return 0; /* the guest's own disk has it */
}

/* ---- copying ---- */

typedef struct Copy {
    Mirror *m;
    RangeLock range;
} Copy;

static void copy_entry(void *opaque)
{
    Copy *c = opaque;
    Mirror *m = c->m;
    uint64_t offset = c->range.offset, bytes = c->range.bytes;
    bool read_failed;

    int ret = job_copy(m->source, m->target, offset, bytes, 0, &read_failed);
    if (ret < 0) {
        dirty_set(m->dirty, offset, bytes); /* to be tried again */
        if (job_error(&m->job, read_failed, -ret) == BLK_ERROR_REPORT) {
            m->ret = ret;
        }
    } else {
        job_progress(&m->job, bytes);
    }
    range_unlock(&m->locks, &c->range);
    free(c);
    m->copies--;
    job_kick(&m->job);
}

static int start_copy(Mirror *m, uint64_t offset, uint64_t bytes)
{
    Copy *c = calloc(1, sizeof(*c));

    if (!c) {
        return -ENOMEM;
    }
    c->m = m;
    range_lock(&m->locks, &c->range, offset, bytes);
    /* From here to the read nothing else runs: a write that completes later sets them again. */
    dirty_clear(m->dirty, offset, bytes);
    m->copies++;
    coroutine_enter(coroutine_create(copy_entry, c));
    return 0;
}

static bool next_dirty(Mirror *m, uint64_t *offset, uint64_t *bytes)
{
    if (!dirty_next(m->dirty, m->cursor, COPY_CHUNK, offset, bytes) &&
        !dirty_next(m->dirty, 0, COPY_CHUNK, offset, bytes)) {
        return false;
    }
    m->cursor = *offset + MAX(*bytes, dirty_granularity(m->dirty));
    return true;
}

/* What differs at the beginning. Writes that come meanwhile mark themselves. */
static int mark_contents(Mirror *m)
{
    const uint64_t size = m->source_node->size;

    if (m->o.sync == SYNC_NONE) {
        return 0;
    }
    if (m->o.sync == SYNC_FULL && !m->o.target_is_zero) {
        dirty_set(m->dirty, 0, size);
        return 0;
    }
    for (uint64_t offset = 0, n; offset < size; offset += n) {
        int status = bdrv_co_block_status_above(m->source_node, m->base, true, offset,
                                                size - offset, &n, NULL, NULL, NULL);
        if (status < 0) {
            return status;
        }
        n = n ? n : size - offset;
        if (m->o.sync == SYNC_FULL ? !(status & BDRV_BLOCK_ZERO)
                                   : (status & BDRV_BLOCK_ALLOCATED) != 0) {
            dirty_set(m->dirty, offset, n);
        }
        if (job_pause_point(&m->job)) {
            return -ECANCELED;
        }
    }
    return 0;
}

static void settle(Mirror *m)
{
    while (m->copies) {
        m->job.waiting = true;
        coroutine_yield();
    }
}

/* Nothing is dirty and nothing is being copied. True: all is done, and the source stays quiet. */
static bool in_step(Mirror *m)
{
    int ret = bdrv_co_flush(m->target_node);

    if (ret < 0) {
        if (job_error(&m->job, false, -ret) == BLK_ERROR_REPORT) {
            m->ret = ret;
        }
        return false;
    }
    job_set_ready(&m->job);
    if (!m->job.should_complete && !m->job.cancelled) {
        job_sleep(&m->job, LOOK_AGAIN_NS);
        return false;
    }
    bdrv_drained_begin(m->source_node);
    m->quiet = true;
    if (dirty_count(m->dirty)) {
        m->quiet = false;
        bdrv_drained_end(m->source_node);
        return false;
    }
    return true;
}

static int mirror_run(BlockJob *job)
{
    Mirror *m = (Mirror *)job;
    bool stop = false;
    int ret = mark_contents(m);

    m->ret = m->ret < 0 ? m->ret : ret;
    while (m->ret == 0 && !stop) {
        uint64_t offset, bytes;
        job->len = job->offset + dirty_count(m->dirty);
        if (job_pause_point(job)) {
            break;
        }
        if (m->copies >= COPY_AT_ONCE) {
            m->job.waiting = true;
            coroutine_yield();
        } else if (next_dirty(m, &offset, &bytes)) {
            ret = start_copy(m, offset, bytes);
            m->ret = m->ret < 0 ? m->ret : ret;
            job_limit(job, bytes);
        } else if (m->copies) {
            settle(m);
        } else {
            stop = in_step(m);
        }
    }
    settle(m);
    job->len = m->ret == 0 && stop ? job->offset : job->len;
    return m->ret;
}

/* ---- beginning and end ---- */

/* Through filters node shows what `below` does, so a copy of the one is one of the other. */
static bool shows_the_same(const BlockNode *node, const BlockNode *below)
{
    while (node != below && node->driver->is_filter && node->file) {
        node = node->file->node;
    }
    return node == below;
}

static bool switch_over(Mirror *m, Error **errp)
{
    BlockNode *backing = m->o.sync == SYNC_NONE  ? m->source_node
                         : m->o.sync == SYNC_TOP ? bdrv_backing(m->source_node)
                                                 : NULL;
    int ret = bdrv_flush(m->target_node);

    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s could not be flushed", bdrv_filename(m->target_node));
        return false;
    }
    if (m->o.set_backing && backing && !bdrv_set_backing(m->target_node, backing, errp)) {
        return false;
    }
    if (m->o.replaces && !shows_the_same(m->source_node, m->o.replaces)) {
        error_set(errp, "replaces '%s': meanwhile it shows other bytes than '%s', the job's copy",
                  bdrv_node_name(m->o.replaces), bdrv_node_name(m->target_node));
        return false;
    }
    return bdrv_replace_node(m->o.replaces ? m->o.replaces : m->source_node, m->target_node, errp);
}

static int mirror_finish(BlockJob *job, int ret)
{
    Mirror *m = (Mirror *)job;

    if (!m->quiet) {
        bdrv_drained_begin(m->source_node);
    }
    bdrv_unwatch(m->source_node, &m->watcher);
    dirty_free(m->dirty);
    bdrv_root_detach(m->source);
    bdrv_root_detach(m->target);
    bool over = ret == 0 && job->should_complete;
    if (over && !switch_over(m, &job->err)) {
        ret = -EIO;
        over = false;
    }
    if (m->reopened && !over) {
        bdrv_reopen(m->target_node, true, NULL);
    }
    bdrv_drained_end(m->source_node);
    if (over) {
        blk_refresh_all();
    }
    if (m->o.replaces) {
        bdrv_unref(m->o.replaces);
    }
    bdrv_unref(m->source_node);
    bdrv_unref(m->target_node);
    return ret;
}

static const BlockJobDriver mirror_driver = {.type = "mirror",
                                             .size = sizeof(Mirror),
                                             .completable = true,
                                             .run = mirror_run,
                                             .finish = mirror_finish};
static const BlockJobDriver commit_driver = {.type = "commit",
                                             .size = sizeof(Mirror),
                                             .completable = true,
                                             .run = mirror_run,
                                             .finish = mirror_finish};

/* Where the target shows its backing file only later, whole clusters are copied. */
static uint32_t granularity(Mirror *m)
{
    BlockInfo info;
    uint32_t wanted = m->o.granularity ? m->o.granularity : DEFAULT_GRANULARITY;

    return m->o.sync != SYNC_FULL && !m->commit && bdrv_get_info(m->target_node, &info) == 0
               ? MAX(wanted, info.cluster_size)
               : wanted;
}

/* Takes over the references of m->source_node and m->target_node, also on failure. */
static BlockJob *begin(Mirror *m, Error **errp)
{
    bool ok = true;

    m->watcher = (WriteWatcher){.before = before_write, .after = after_write};
    m->job.nodes[1] = m->target_node;
    m->source = job_attach(&m->job, bdrv_ref(m->source_node), BLK_PERM_READ, errp);
    m->target = m->source ? job_attach(&m->job, bdrv_ref(m->target_node),
                                       BLK_PERM_WRITE | BLK_PERM_RESIZE, errp)
                          : NULL;
    ok = m->target && (m->dirty = dirty_new(m->source_node, NULL, granularity(m), errp));
    if (ok && m->commit && bdrv_size(m->target_node) < bdrv_size(m->source_node)) {
        ok = bdrv_truncate(m->target, bdrv_size(m->source_node), false, PREALLOC_OFF, errp);
    } else if (ok && bdrv_size(m->target_node) != bdrv_size(m->source_node) && !m->commit) {
        error_set(errp, "Source and target image have different sizes");
        ok = false;
    }
    if (ok) {
        m->dirty->enabled = false;
        bdrv_drained_begin(m->source_node);
        ok = bdrv_watch(m->source_node, &m->watcher);
        bdrv_drained_end(m->source_node);
        if (!ok) {
            error_set(errp, "image %s has too many jobs", bdrv_filename(m->source_node));
        }
    }
    if (ok) {
        job_run(&m->job);
        return &m->job;
    }
    dirty_free(m->dirty);
    bdrv_root_detach(m->source);
    bdrv_root_detach(m->target);
    if (m->reopened) {
        bdrv_reopen(m->target_node, true, NULL);
    }
    if (m->o.replaces) {
        bdrv_unref(m->o.replaces);
    }
    bdrv_unref(m->source_node);
    bdrv_unref(m->target_node);
    job_free(&m->job);
    return NULL;
}

BlockJob *mirror_start(BlockNode *node, BlockNode *target, const MirrorOptions *o,
                       const JobOptions *options, Error **errp)
{
    Mirror *m = NULL;

    if (node == target) {
        error_set(errp, "Can't mirror node into itself");
    } else if (job_uses(target)) {
        error_set(errp, "Node '%s' is busy: block device is in use by block job",
                  bdrv_node_name(target));
    } else if (o->replaces && !shows_the_same(node, o->replaces)) {
        error_set(errp,
                  "replaces '%s': it shows other bytes than '%s', which is copied; possible: that "
                  "node, or one below its filters",
                  bdrv_node_name(o->replaces), bdrv_node_name(node));
    } else {
        m = (Mirror *)job_new(&mirror_driver, node, options, errp);
    }
    if (!m) {
        bdrv_unref(target);
        return NULL;
    }
    m->o = *o;
    m->base = o->sync == SYNC_TOP ? bdrv_backing(node) : NULL;
    m->source_node = bdrv_ref(node);
    m->target_node = target;
    if (o->replaces && o->replaces != node) {
        m->job.nodes[2] = bdrv_ref(o->replaces);
    } else {
        m->o.replaces = NULL;
    }
    return begin(m, errp);
}

BlockJob *commit_active_start(BlockNode *node, BlockNode *base, const JobOptions *options,
                              Error **errp)
{
    if (job_uses(base)) {
        error_set(errp, "Node '%s' is busy: block device is in use by block job",
                  bdrv_node_name(base));
        return NULL;
    }
    Mirror *m = (Mirror *)job_new(&commit_driver, node, options, errp);
    if (!m) {
        return NULL;
    }
    if (bdrv_readonly(base)) {
        if (!bdrv_reopen(base, false, errp)) {
            job_free(&m->job);
            return NULL;
        }
        m->reopened = true;
    }
    m->o = (MirrorOptions){.sync = SYNC_TOP};
    m->base = base;
    m->commit = true;
    m->source_node = bdrv_ref(node);
    m->target_node = bdrv_ref(base);
    return begin(m, errp);
}
