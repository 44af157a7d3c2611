/*
 * What stands where in a node and its backing chain; what a node tells of itself; snapshots.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/dirty.h"
#include "block/driver.h"
#include "block/job.h"
#include "block/util.h"

/* ---- block status ---- */

/* The driver's answer, for a range within the disk. */
static int ask_driver(BlockNode *node, bool precise, uint64_t offset, uint64_t bytes,
                      uint64_t *pnum, uint64_t *map, BlockNode **file)
{
    const uint64_t align = node->request_alignment;

    *map = offset;
    *file = node->driver->protocol ? node : NULL;
    *pnum = bytes;
    if (!node->driver->co_block_status) {
        return BDRV_BLOCK_DATA | (node->driver->protocol ? BDRV_BLOCK_OFFSET_VALID : 0);
    }
    uint64_t start = ROUND_DOWN(offset, align), skip = offset - start;
    int ret = node->driver->co_block_status(node, precise, start, ROUND_UP(bytes + skip, align),
                                            pnum, map, file);
    if (ret < 0) {
        return ret;
    }
    *pnum = *pnum > skip ? MIN(*pnum - skip, bytes) : 1;
    *map += skip;
    return ret;
}

/* A hole of the file below makes zeroes of data. */
static int look_below(BlockNode *node, int ret, uint64_t *pnum, uint64_t map, BlockNode *file)
{
    uint64_t n;
    int below = bdrv_co_block_status(file, true, map, *pnum, &n, NULL, NULL);

    if (below < 0) {
        return ret;
    }
    if ((below & BDRV_BLOCK_EOF) && (!n || (below & BDRV_BLOCK_ZERO))) {
        return ret | BDRV_BLOCK_ZERO; /* what lies past its end reads as zeroes */
    }
    *pnum = n;
    return ret | (below & BDRV_BLOCK_ZERO);
}

static bool beyond_backing(const BlockNode *node, uint64_t offset)
{
    BlockNode *backing = bdrv_backing(node);

    return !backing || offset >= backing->size;
}

int bdrv_co_block_status(BlockNode *node, bool precise, uint64_t offset, uint64_t bytes,
                         uint64_t *pnum, uint64_t *map, BlockNode **file)
{
    uint64_t where = 0;
    BlockNode *in = NULL;
    int ret;

    *pnum = 0;
    if (offset >= node->size) {
        return BDRV_BLOCK_EOF;
    }
    bytes = MIN(bytes, node->size - offset);
    if (!bytes) {
        return 0;
    }
    node->in_flight++;
    ret = ask_driver(node, precise, offset, bytes, pnum, &where, &in);
    if (ret >= 0 && (ret & BDRV_BLOCK_RAW)) {
        ret = bdrv_co_block_status(in, precise, where, *pnum, pnum, &where, &in);
        if (ret >= 0 && !*pnum) { /* the file ends before the disk */
            *pnum = bytes;
            ret = BDRV_BLOCK_ZERO | BDRV_BLOCK_ALLOCATED | BDRV_BLOCK_OFFSET_VALID;
        }
        ret = ret < 0 ? ret : ret & ~BDRV_BLOCK_EOF;
    } else if (ret >= 0) {
        if (ret & (BDRV_BLOCK_DATA | BDRV_BLOCK_ZERO)) {
            ret |= BDRV_BLOCK_ALLOCATED;
        } else if (node->driver->supports_backing && beyond_backing(node, offset)) {
            ret |= BDRV_BLOCK_ZERO;
        }
        if (precise && (ret & BDRV_BLOCK_RECURSE) && (ret & BDRV_BLOCK_DATA) &&
            !(ret & BDRV_BLOCK_ZERO) && (ret & BDRV_BLOCK_OFFSET_VALID) && in && in != node) {
            ret = look_below(node, ret, pnum, where, in);
        }
    }
    if (--node->in_flight == 0) {
        co_queue_all(&node->drain_queue);
    }
    if (ret < 0) {
        return ret;
    }
    if (offset + *pnum == node->size) {
        ret |= BDRV_BLOCK_EOF;
    }
    if (map) {
        *map = where;
    }
    if (file) {
        *file = in;
    }
    return ret & ~(BDRV_BLOCK_RECURSE | BDRV_BLOCK_RAW);
}

/* The node whose contents show where this one has none. */
static BlockNode *layer_below(const BlockNode *node)
{
    if (node->driver->is_filter) {
        return node->children ? node->children->node : NULL;
    }
    return node->backing ? node->backing->node : NULL;
}

int bdrv_co_block_status_above(BlockNode *node, BlockNode *base, bool precise, uint64_t offset,
                               uint64_t bytes, uint64_t *pnum, uint64_t *map, BlockNode **file,
                               unsigned *depth)
{
    unsigned levels = 0;
    uint64_t end = UINT64_MAX;
    int ret = 0;

    *pnum = bytes;
    for (BlockNode *n = node; n && n != base; n = layer_below(n)) {
        levels += !n->driver->is_filter;
        ret = bdrv_co_block_status(n, precise, offset, bytes, pnum, map, file);
        if (ret < 0) {
            return ret;
        }
        if (!*pnum && n == node) {
            break;
        }
        if (!*pnum) {
            /* This layer is shorter than those above: the zeroes shown there are as good as its
             * own. */
            *pnum = bytes;
            if (file) {
                *file = n;
            }
            ret = BDRV_BLOCK_ZERO | BDRV_BLOCK_ALLOCATED;
            break;
        }
        if (n == node && (ret & BDRV_BLOCK_EOF)) {
            end = offset + *pnum;
        }
        if (ret & BDRV_BLOCK_ALLOCATED) {
            ret &= ~BDRV_BLOCK_EOF;
            break;
        }
        bytes = *pnum; /* layers further down may know less about what follows */
    }
    if (offset + *pnum == end) {
        ret |= BDRV_BLOCK_EOF;
    }
    if (depth) {
        *depth = levels ? levels - 1 : 0;
    }
    return ret;
}

typedef struct Status {
    BlockNode *node, *base, **file;
    bool precise;
    uint64_t offset, bytes, *pnum, *map;
    unsigned *depth;
    int ret;
} Status;

static void co_status(void *opaque)
{
    Status *s = opaque;

    s->ret = bdrv_co_block_status_above(s->node, s->base, s->precise, s->offset, s->bytes, s->pnum,
                                        s->map, s->file, s->depth);
}

int bdrv_block_status_above(BlockNode *node, BlockNode *base, bool precise, uint64_t offset,
                            uint64_t bytes, uint64_t *pnum, uint64_t *map, BlockNode **file,
                            unsigned *depth)
{
    Status s = {node, base, file, precise, offset, bytes, pnum, map, depth, 0};

    coroutine_run(co_status, &s);
    return s.ret;
}

int bdrv_co_is_allocated_above(BlockNode *node, BlockNode *base, bool include_base, uint64_t offset,
                               uint64_t bytes, uint64_t *pnum)
{
    if (include_base && base) {
        base = layer_below(base);
    }
    int ret = bdrv_co_block_status_above(node, base, false, offset, bytes, pnum, NULL, NULL, NULL);
    return ret < 0 ? ret : (ret & BDRV_BLOCK_ALLOCATED) != 0;
}

/* ---- one call into the driver, in a coroutine ---- */

typedef struct Ask {
    enum {
        ASK_ALLOCATED,
        ASK_INFO,
        ASK_CHECK,
        ASK_AMEND,
        ASK_BACKING,
        ASK_EMPTY,
        ASK_SNAP_CREATE,
        ASK_SNAP_FINISH,
        ASK_SNAP_ABANDON,
        ASK_SNAP_GOTO,
        ASK_SNAP_DELETE,
        ASK_SNAP_LOAD,
        ASK_SNAP_LIST,
        ASK_SAVE,
        ASK_LOAD,
        ASK_VMSTATE_STATUS
    } what;
    BlockNode *node;
    void *p;
    const char *text, *text2;
    uint64_t number, *pnum, *map;
    IoVector *v;
    BlockOptions *options;
    BlockProgress *progress;
    Error **errp;
    int64_t ret;
    bool ok;
} Ask;

static int64_t allocated_size(BlockNode *node)
{
    int64_t sum = 0;

    if (node->driver->co_get_allocated) {
        return node->driver->co_get_allocated(node);
    }
    if (node->file) {
        return allocated_size(node->file->node); /* without a data file, as other tools count */
    }
    for (BlockChild *c = node->children; c; c = c->next) {
        int64_t n = c->role == CHILD_BACKING ? 0 : allocated_size(c->node);
        if (n < 0) {
            return n;
        }
        sum += n;
    }
    return sum;
}

static void ask(void *opaque)
{
    Ask *a = opaque;
    const BlockDriver *d = a->node->driver;

    a->node->in_flight++;
    switch (a->what) {
    case ASK_ALLOCATED:
        a->ret = allocated_size(a->node);
        break;
    case ASK_INFO:
        a->ret = d->co_get_info(a->node, a->p);
        break;
    case ASK_CHECK:
        a->ret = d->co_check(a->node, a->p, a->number);
        break;
    case ASK_AMEND:
        a->ok = d->co_amend(a->node, a->options, a->number, a->progress, a->p, a->errp);
        break;
    case ASK_BACKING:
        a->ret = d->co_change_backing(a->node, a->text, a->text2);
        break;
    case ASK_EMPTY:
        a->ret = d->co_make_empty(a->node);
        break;
    case ASK_SNAP_CREATE:
        a->ok = d->co_snapshot_create(a->node, a->p, a->errp);
        break;
    case ASK_SNAP_FINISH:
        a->ok = d->co_snapshot_finish(a->node, a->p, a->errp);
        break;
    case ASK_SNAP_ABANDON:
        a->ok = d->co_snapshot_abandon(a->node, a->text, a->errp);
        break;
    case ASK_SNAP_GOTO:
        a->ok = d->co_snapshot_goto(a->node, a->text, a->errp);
        break;
    case ASK_SNAP_DELETE:
        a->ok = d->co_snapshot_delete(a->node, a->text, a->errp);
        break;
    case ASK_SNAP_LOAD:
        a->ok = d->co_snapshot_load_tmp(a->node, a->text, a->errp);
        break;
    case ASK_SNAP_LIST:
        a->ret = d->co_snapshot_list(a->node, a->p);
        break;
    case ASK_SAVE:
        a->ret = d->co_save_vmstate(a->node, a->number, a->v);
        break;
    case ASK_LOAD:
        a->ret = d->co_load_vmstate(a->node, a->number, a->v);
        break;
    case ASK_VMSTATE_STATUS:
        a->ret = d->co_vmstate_status(a->node, a->number, *a->pnum, a->pnum, a->map, a->p);
        break;
    }
    if (--a->node->in_flight == 0) {
        co_queue_all(&a->node->drain_queue);
    }
}

int64_t bdrv_allocated_size(BlockNode *node)
{
    Ask a = {.what = ASK_ALLOCATED, .node = node};

    coroutine_run(ask, &a);
    return a.ret;
}

int bdrv_get_info(BlockNode *node, BlockInfo *info)
{
    Ask a = {.what = ASK_INFO, .node = node, .p = info};

    *info = (BlockInfo){0};
    if (!node->driver->co_get_info) {
        return -ENOTSUP;
    }
    coroutine_run(ask, &a);
    if (!info->subcluster_size) {
        info->subcluster_size = info->cluster_size;
    }
    return a.ret;
}

InfoTree *bdrv_specific_info(BlockNode *node)
{
    if (!node->driver->get_specific) {
        return NULL;
    }
    InfoTree *info = info_new(INFO_OBJECT);
    node->driver->get_specific(node, info);
    return info;
}

void bdrv_check_found(const BlockCheck *c, const char *fmt, ...)
{
    char line[160];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (c->report) {
        c->report(c->opaque, line);
    }
}

int bdrv_check(BlockNode *node, BlockCheck *result, BlockCheckFix fix)
{
    Ask a = {.what = ASK_CHECK, .node = node, .p = result, .number = fix};

    if (!node->driver->co_check) {
        return -ENOTSUP;
    }
    coroutine_run(ask, &a);
    return a.ret;
}

bool bdrv_measure(const char *format, BlockOptions *options, BlockNode *source, uint64_t size,
                  BlockMeasure *measure, Error **errp)
{
    const BlockDriver *driver = bdrv_find_format(format);

    if (!driver || !driver->measure) {
        error_set(errp, driver ? "format %s has no way to measure" : "unknown format '%s'", format);
        return false;
    }
    *measure = (BlockMeasure){.bitmaps = UINT64_MAX};
    return driver->measure(options, source, size, measure, errp) &&
           blkopts_check_empty(options, format, driver->create_options, errp);
}

bool bdrv_can_amend(const BlockDriver *driver, const BlockOptions *options, Error **errp)
{
    if (!driver->co_amend) {
        error_set(errp, "format %s has no options that can be changed", driver->name);
        return false;
    }
    BlockOptions *left = blkopts_copy(options);
    for (const BlockOptionDesc *o = driver->amend_options; o && o->name; o++) {
        blkopts_remove(left, o->name);
    }
    for (unsigned i = 0; i < blkopts_count(left); i++) {
        const char *key = blkopts_key(left, i);
        if (blkopts_describes(driver->create_options, key)) {
            error_set(errp, "%s= is for new images; it cannot be changed", key);
            blkopts_free(left);
            return false;
        }
    }
    bool ok = blkopts_check_empty(left, driver->name, driver->amend_options, errp);
    blkopts_free(left);
    return ok;
}

bool bdrv_amend(BlockNode *node, BlockOptions *options, bool force, BlockProgress *progress,
                void *opaque, Error **errp)
{
    Ask a = {.what = ASK_AMEND,
             .node = node,
             .p = opaque,
             .options = options,
             .number = force,
             .progress = progress,
             .errp = errp};

    if (!bdrv_can_amend(node->driver, options, errp)) {
        return false;
    }
    coroutine_run(ask, &a);
    return a.ok;
}

int bdrv_change_backing_file(BlockNode *node, const char *file, const char *format)
{
    Ask a = {.what = ASK_BACKING, .node = node, .text = file, .text2 = format};

    if (!node->driver->co_change_backing) {
        return -ENOTSUP;
    }
    coroutine_run(ask, &a);
    return a.ret;
}

int bdrv_make_empty(BlockChild *child)
{
    Ask a = {.what = ASK_EMPTY, .node = child->node};

    if (!child->node->driver->co_make_empty || child->node->readonly) {
        return child->node->readonly ? -EROFS : -ENOTSUP;
    }
    bdrv_drain(child->node);
    coroutine_run(ask, &a);
    return a.ret;
}

/* ---- snapshots ---- */

bool bdrv_can_snapshot(const BlockNode *node)
{
    return node->driver->co_snapshot_create && !node->readonly;
}

static bool snapshot_call(Ask *a, bool supported)
{
    if (!supported) {
        error_set(a->errp, "image %s: format %s holds no snapshots", a->node->filename,
                  a->node->driver->name);
        return false;
    }
    coroutine_run(ask, a);
    return a->ok;
}

bool bdrv_snapshot_create(BlockNode *node, BlockSnapshot *snapshot, Error **errp)
{
    Ask a = {.what = ASK_SNAP_CREATE, .node = node, .p = snapshot, .errp = errp};

    return snapshot_call(&a, node->driver->co_snapshot_create);
}

bool bdrv_snapshot_finish(BlockNode *node, const BlockSnapshot *snapshot, Error **errp)
{
    Ask a = {.what = ASK_SNAP_FINISH, .node = node, .p = (void *)snapshot, .errp = errp};

    return snapshot_call(&a, node->driver->co_snapshot_finish);
}

bool bdrv_snapshot_abandon(BlockNode *node, const char *id, Error **errp)
{
    Ask a = {.what = ASK_SNAP_ABANDON, .node = node, .text = id, .errp = errp};

    return snapshot_call(&a, node->driver->co_snapshot_abandon);
}

bool bdrv_snapshot_goto(BlockNode *node, const char *id_or_name, Error **errp)
{
    Ask a = {.what = ASK_SNAP_GOTO, .node = node, .text = id_or_name, .errp = errp};

    if (job_uses(node)) {
        error_set(errp, "image %s is in use by a block job", node->filename);
        return false;
    }
    bool ok = snapshot_call(&a, node->driver->co_snapshot_goto);
    dirty_resized(node);
    for (DirtyBitmap *b = ok ? node->dirty : NULL; b; b = b->next) {
        dirty_set(b, 0, node->size); /* all of it is another disk now */
    }
    return ok;
}

bool bdrv_snapshot_delete(BlockNode *node, const char *id_or_name, Error **errp)
{
    Ask a = {.what = ASK_SNAP_DELETE, .node = node, .text = id_or_name, .errp = errp};

    return snapshot_call(&a, node->driver->co_snapshot_delete);
}

bool bdrv_snapshot_load_tmp(BlockNode *node, const char *id_or_name, Error **errp)
{
    Ask a = {.what = ASK_SNAP_LOAD, .node = node, .text = id_or_name, .errp = errp};

    return snapshot_call(&a, node->driver->co_snapshot_load_tmp);
}

int bdrv_snapshot_list(BlockNode *node, BlockSnapshot **list)
{
    Ask a = {.what = ASK_SNAP_LIST, .node = node, .p = list};

    *list = NULL;
    if (!node->driver->co_snapshot_list) {
        return -ENOTSUP;
    }
    coroutine_run(ask, &a);
    return a.ret;
}

void bdrv_snapshots_free(BlockSnapshot *list)
{
    free(list);
}

int bdrv_co_save_vmstate(BlockNode *node, uint64_t pos, IoVector *v)
{
    return node->driver->co_save_vmstate ? node->driver->co_save_vmstate(node, pos, v) : -ENOTSUP;
}

int bdrv_co_load_vmstate(BlockNode *node, uint64_t pos, IoVector *v)
{
    return node->driver->co_load_vmstate ? node->driver->co_load_vmstate(node, pos, v) : -ENOTSUP;
}

int bdrv_save_vmstate(BlockNode *node, uint64_t pos, const void *buf, uint64_t bytes)
{
    IoVector v;
    Ask a = {.what = ASK_SAVE, .node = node, .number = pos, .v = &v};

    iov_init_buf(&v, (void *)buf, bytes);
    if (!node->driver->co_save_vmstate) {
        return -ENOTSUP;
    }
    coroutine_run(ask, &a);
    return a.ret;
}

int bdrv_load_vmstate(BlockNode *node, uint64_t pos, void *buf, uint64_t bytes)
{
    IoVector v;
    Ask a = {.what = ASK_LOAD, .node = node, .number = pos, .v = &v};

    iov_init_buf(&v, buf, bytes);
    if (!node->driver->co_load_vmstate) {
        return -ENOTSUP;
    }
    coroutine_run(ask, &a);
    return a.ret;
}

int bdrv_vmstate_fd(BlockNode *node, uint64_t pos, uint64_t bytes, uint64_t *offset, uint64_t *pnum)
{
    BlockNode *file = NULL;
    Ask a = {.what = ASK_VMSTATE_STATUS,
             .node = node,
             .number = pos,
             .pnum = pnum,
             .map = offset,
             .p = &file};

    *pnum = bytes;
    if (!node->driver->co_vmstate_status) {
        return -1;
    }
    coroutine_run(ask, &a);
    if (a.ret < 0 || !(a.ret & BDRV_BLOCK_OFFSET_VALID) || !(a.ret & BDRV_BLOCK_DATA) || !file ||
        !file->driver->get_fd) {
        return -1;
    }
    return file->driver->get_fd(file);
}
