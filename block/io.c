/*
 * Requests on a node: the one way in for every read and write.
 *
 * A request is checked, cut to what the driver can do and tracked while it runs. Where it is not
 * aligned to what the driver takes, its ends are read, changed and written back; such a request is
 * *serialising*: it waits until nothing overlaps the aligned range and lets nothing overlap until
 * it is done, so that no change of a neighbour in the same block is lost. Flushes are shared: one
 * that begins while another runs waits and then, if writes came between, flushes again.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/blkdebug.h"
#include "block/dirty.h"
#include "block/driver.h"
#include "block/util.h"

enum { MAX_BOUNCE = 1 << 20 }; /* zeroes are written in pieces of this size */

/* ---- tracking ---- */

struct TrackedRequest {
    BlockNode *node;
    bool write, serialising;
    uint64_t offset, bytes; /* as aligned */
    TrackedRequest *waiting_for;
    CoQueue waiters;
    TrackedRequest *next, **prev;
};

static void tracked_begin(TrackedRequest *req, BlockNode *node, uint64_t offset, uint64_t bytes,
                          bool write)
{
    *req = (TrackedRequest){.node = node, .write = write, .offset = offset, .bytes = bytes};
    req->next = node->tracked;
    req->prev = &node->tracked;
    if (req->next) {
        req->next->prev = &req->next;
    }
    node->tracked = req;
    node->in_flight++;
}

static void tracked_end(TrackedRequest *req)
{
    BlockNode *node = req->node;

    *req->prev = req->next;
    if (req->next) {
        req->next->prev = req->prev;
    }
    co_queue_all(&req->waiters);
    if (--node->in_flight == 0) {
        co_queue_all(&node->drain_queue);
    }
}

static TrackedRequest *find_conflict(const TrackedRequest *self)
{
    for (TrackedRequest *req = self->node->tracked; req; req = req->next) {
        if (req == self || !(req->serialising || self->serialising)) {
            continue;
        }
        if (self->offset >= req->offset + req->bytes || req->offset >= self->offset + self->bytes) {
            continue;
        }
        /* Who already waits for us, perhaps by way of others, goes behind us. */
        TrackedRequest *r = req;
        while (r && r != self) {
            r = r->waiting_for;
        }
        if (!r) {
            return req;
        }
    }
    return NULL;
}

static void wait_for_conflicts(TrackedRequest *self)
{
    TrackedRequest *req;

    while ((req = find_conflict(self))) {
        self->waiting_for = req;
        co_queue_wait(&req->waiters);
        self->waiting_for = NULL;
    }
}

static void make_serialising(TrackedRequest *req, uint64_t align)
{
    uint64_t end = ROUND_UP(req->offset + req->bytes, align);

    req->offset = ROUND_DOWN(req->offset, align);
    req->bytes = end - req->offset;
    req->serialising = true;
}

/* ---- checks ---- */

static int check_request(const BlockNode *node, uint64_t offset, uint64_t bytes)
{
    return offset > INT64_MAX || bytes > INT64_MAX - offset ? -EIO : 0;
}

static int check_write(const BlockChild *child, uint64_t offset, uint64_t bytes)
{
    const BlockNode *node = child->node;
    int ret = check_request(node, offset, bytes);

    if (ret < 0) {
        return ret;
    }
    if (node->readonly || !(child->perm & (BLK_PERM_WRITE | BLK_PERM_WRITE_UNCHANGED))) {
        return -EROFS;
    }
    return offset + bytes > ROUND_UP(node->size, node->request_alignment) && !node->growable ? -EIO
                                                                                             : 0;
}

/* ---- reading ---- */

static int driver_read(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                       unsigned flags)
{
    uint64_t max = node->max_transfer ? node->max_transfer : INT32_MAX & ~4095u;

    while (bytes) {
        uint64_t n = MIN(bytes, max);
        int ret = node->driver->co_preadv(node, offset, n, v, at, flags);
        if (ret < 0) {
            return ret;
        }
        offset += n;
        at += n;
        bytes -= n;
    }
    return 0;
}

/* Aligned. What lies past the end reads as zeroes. */
static int read_aligned(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                        unsigned flags)
{
    uint64_t size = ROUND_UP(node->size, node->request_alignment);
    uint64_t inside = offset < size ? MIN(bytes, size - offset) : 0;
    int ret = inside ? driver_read(node, offset, inside, v, at, flags) : 0;

    if (ret == 0 && inside < bytes) {
        iov_fill(v, at + inside, 0, bytes - inside);
    }
    return ret;
}

static int read_misaligned(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                           unsigned flags)
{
    const uint64_t align = node->request_alignment;

    /* The whole blocks in the middle go to where they belong, the ends through a block of our own.
     */
    while (bytes) {
        uint64_t skip = offset % align, n;
        int ret;
        if (skip || bytes < align) {
            IoVector bounce;
            uint8_t *block = block_alloc(node, align);
            n = MIN(bytes, align - skip);
            iov_init_buf(&bounce, block, align);
            ret = read_aligned(node, offset - skip, align, &bounce, 0, flags);
            if (ret == 0) {
                iov_from_buf(v, at, block + skip, n);
            }
            free(block);
        } else {
            n = ROUND_DOWN(bytes, align);
            ret = read_aligned(node, offset, n, v, at, flags);
        }
        if (ret < 0) {
            return ret;
        }
        offset += n;
        at += n;
        bytes -= n;
    }
    return 0;
}

int bdrv_co_preadv(BlockChild *child, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                   unsigned flags)
{
    BlockNode *node = child->node;
    TrackedRequest req;
    int ret = check_request(node, offset, bytes);

    if (ret < 0 || !bytes) {
        return ret;
    }
    tracked_begin(&req, node, offset, bytes, false);
    if (flags & BDRV_REQ_SERIALISING) {
        make_serialising(&req, node->request_alignment);
    }
    wait_for_conflicts(&req);
    if ((offset | bytes) & (node->request_alignment - 1)) {
        ret = read_misaligned(node, offset, bytes, v, at, flags);
    } else {
        ret = read_aligned(node, offset, bytes, v, at, flags);
    }
    tracked_end(&req);
    return ret;
}

/* ---- who watches writes ---- */

bool bdrv_watch(BlockNode *node, WriteWatcher *w)
{
    unsigned count = 0;

    for (const WriteWatcher *other = node->watchers; other; other = other->next) {
        count++;
    }
    if (count == BDRV_MAX_WATCHERS) {
        return false;
    }
    w->next = node->watchers;
    node->watchers = w;
    return true;
}

void bdrv_unwatch(BlockNode *node, WriteWatcher *w)
{
    for (WriteWatcher **p = &node->watchers; *p; p = &(*p)->next) {
        if (*p == w) {
            *p = w->next;
            break;
        }
    }
}

/* A write as its watchers see it; in flight from begin to end, so that drains wait for it. */
typedef struct Watched {
    BlockNode *node;
    uint64_t offset, bytes;
    RangeLock ranges[BDRV_MAX_WATCHERS];
} Watched;

/* Where a watcher fails, those before it have begun and are told. */
static int watched_end(Watched *w, const WriteWatcher *stop, IoVector *v, size_t at, int ret)
{
    unsigned i = 0;

    for (WriteWatcher *watcher = w->node->watchers; watcher != stop; watcher = watcher->next, i++) {
        int after = watcher->after
                        ? watcher->after(watcher, &w->ranges[i], w->offset, w->bytes, v, at, ret)
                        : 0;
        ret = ret < 0 ? ret : after;
    }
    dirty_mark(w->node, w->offset, w->bytes);
    if (--w->node->in_flight == 0) {
        co_queue_all(&w->node->drain_queue);
    }
    return ret;
}

static int watched_begin(Watched *w, BlockNode *node, uint64_t offset, uint64_t bytes)
{
    unsigned i = 0;

    *w = (Watched){.node = node, .offset = offset, .bytes = bytes};
    node->in_flight++;
    for (WriteWatcher *watcher = node->watchers; watcher; watcher = watcher->next, i++) {
        int ret = watcher->before ? watcher->before(watcher, &w->ranges[i], offset, bytes) : 0;
        if (ret < 0) {
            return watched_end(w, watcher, NULL, 0, ret);
        }
    }
    return 0;
}

/* ---- writing ---- */

static int driver_write(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                        unsigned flags)
{
    uint64_t max = node->max_transfer ? node->max_transfer : INT32_MAX & ~4095u;
    unsigned passed = flags & node->supported_write_flags;

    if (flags & BDRV_REQ_COMPRESSED) {
        if (!node->driver->co_pwritev_compressed) {
            return -ENOTSUP;
        }
        return node->driver->co_pwritev_compressed(node, offset, bytes, v, at);
    }
    while (bytes) {
        uint64_t n = MIN(bytes, max);
        int ret = node->driver->co_pwritev(node, offset, n, v, at, passed);
        if (ret < 0) {
            return ret;
        }
        offset += n;
        at += n;
        bytes -= n;
    }
    return 0;
}

static int write_out_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    uint64_t chunk = MIN(bytes, MAX_BOUNCE);
    uint8_t *zeroes = block_alloc(node, chunk);
    IoVector v;
    int ret = 0;

    memset(zeroes, 0, chunk);
    iov_init_buf(&v, zeroes, chunk);
    while (bytes && ret == 0) {
        uint64_t n = MIN(bytes, chunk);
        ret = driver_write(node, offset, n, &v, 0, flags & BDRV_REQ_FUA);
        offset += n;
        bytes -= n;
    }
    free(zeroes);
    return ret;
}

/* Head and tail that are not aligned to zeroes_alignment are pieces of their own. */
static int driver_write_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    const uint64_t align = MAX(node->zeroes_alignment, node->request_alignment);
    uint64_t max =
        node->max_zeroes ? ROUND_DOWN(node->max_zeroes, align) : INT64_MAX & ~(align - 1);

    while (bytes) {
        uint64_t n = MIN(bytes, max);
        int ret = -ENOTSUP;
        if (offset % align) {
            n = MIN(n, align - offset % align);
        } else if (n > align) {
            n = ROUND_DOWN(n, align);
        }
        if (node->driver->co_pwrite_zeroes) {
            ret =
                node->driver->co_pwrite_zeroes(node, offset, n, flags & node->supported_zero_flags);
        }
        if (ret == -ENOTSUP && !(flags & BDRV_REQ_NO_FALLBACK)) {
            ret = write_out_zeroes(node, offset, n, flags);
        }
        if (ret < 0) {
            return ret;
        }
        offset += n;
        bytes -= n;
    }
    return 0;
}

/* A guest that was given a raw disk whose format was guessed must not turn it into another format:
   at the next start it could name files of the host as backing files. */
static bool changes_format(const BlockNode *node, uint64_t offset, uint64_t bytes,
                           const IoVector *v, size_t at)
{
    uint8_t head[512] = {0};

    if (!node->probed || strcmp(node->driver->name, "raw") != 0 || offset != 0 || !v) {
        return false;
    }
    iov_to_buf(v, at, head, MIN(bytes, sizeof(head)));
    return strcmp(bdrv_probe(head, sizeof(head), node->filename)->name, "raw") != 0;
}

static void told_resized(BlockNode *node)
{
    dirty_resized(node);
    for (BlockChild *c = node->parents; c; c = c->next_parent) {
        if (c->user && c->user->resized) {
            c->user->resized(c->user_opaque);
        }
    }
}

/* Aligned, tracked; v NULL: zeroes. */
/* wanted: how many of the bytes somebody asked for; others only fill up the last block, and do not
 * make a file longer. */
static int write_aligned(BlockNode *node, uint64_t offset, uint64_t bytes, uint64_t wanted,
                         IoVector *v, size_t at, unsigned flags)
{
    int ret;

    if (changes_format(node, offset, bytes, v, at)) {
        return -EPERM;
    }
    if (v && node->detect_zeroes && !(flags & BDRV_REQ_COMPRESSED) && iov_is_zero(v, at, bytes)) {
        v = NULL;
        flags |= node->detect_zeroes_unmap && (node->flags & BDRV_O_UNMAP) ? BDRV_REQ_MAY_UNMAP : 0;
    }
    if (v) {
        ret = driver_write(node, offset, bytes, v, at, flags);
    } else {
        ret = driver_write_zeroes(node, offset, bytes, flags);
    }
    unsigned supported = v ? node->supported_write_flags : node->supported_zero_flags;
    node->write_gen++;
    node->wr_highest = MAX(node->wr_highest, offset + bytes);
    if (ret == 0 && node->growable && offset + wanted > node->size) {
        node->size = offset + wanted;
        told_resized(node);
    }
    if (ret == 0 && (flags & BDRV_REQ_FUA) && !(supported & BDRV_REQ_FUA)) {
        ret = bdrv_co_flush(node);
    }
    return ret;
}

static void tell_event(BlockNode *node, BlkdebugEvent event)
{
    if (node->driver->co_debug_event) {
        node->driver->co_debug_event(node, event);
    }
}

/* Reads the block at start, puts part of v (NULL: zeroes) into it and writes it back. */
static int modify_block(BlockNode *node, uint64_t start, uint64_t skip, uint64_t n, IoVector *v,
                        size_t at, unsigned flags)
{
    const uint64_t align = node->request_alignment;
    uint8_t *block = block_alloc(node, align);
    IoVector bounce;

    iov_init_buf(&bounce, block, align);
    tell_event(node, skip ? BLKDBG_PWRITEV_RMW_HEAD : BLKDBG_PWRITEV_RMW_TAIL);
    int ret = read_aligned(node, start, align, &bounce, 0, 0);
    tell_event(node, skip ? BLKDBG_PWRITEV_RMW_AFTER_HEAD : BLKDBG_PWRITEV_RMW_AFTER_TAIL);
    if (ret == 0) {
        if (v) {
            iov_to_buf(v, at, block + skip, n);
        } else {
            memset(block + skip, 0, n);
        }
        ret = write_aligned(node, start, align, skip + n, &bounce, 0, flags & BDRV_REQ_FUA);
    }
    free(block);
    return ret;
}

static int write_misaligned(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v,
                            size_t at, unsigned flags)
{
    const uint64_t align = node->request_alignment;

    while (bytes) {
        uint64_t skip = offset % align, n;
        int ret;
        if (skip || bytes < align) {
            n = MIN(bytes, align - skip);
            ret = modify_block(node, offset - skip, skip, n, v, at, flags);
        } else {
            n = ROUND_DOWN(bytes, align);
            ret = write_aligned(node, offset, n, n, v, at, flags);
        }
        if (ret < 0) {
            return ret;
        }
        offset += n;
        at += n;
        bytes -= n;
    }
    return 0;
}

static int tracked_write(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                         unsigned flags)
{
    TrackedRequest req;
    int ret;
    bool misaligned =
        ((offset | bytes) & (node->request_alignment - 1)) && !(flags & BDRV_REQ_COMPRESSED);
    tracked_begin(&req, node, offset, bytes, true);
    if (misaligned || (flags & BDRV_REQ_SERIALISING)) {
        make_serialising(&req, node->request_alignment);
    }
    wait_for_conflicts(&req);
    ret = misaligned ? write_misaligned(node, offset, bytes, v, at, flags)
                     : write_aligned(node, offset, bytes, bytes, v, at, flags);
    tracked_end(&req);
    return ret;
}

static int co_write(BlockChild *child, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                    unsigned flags)
{
    BlockNode *node = child->node;
    Watched watched;
    int ret = check_write(child, offset, bytes);

    if (ret < 0 || !bytes) {
        return ret;
    }
    if (!child->parent && (node->flags & BDRV_O_WRITETHROUGH)) {
        flags |= BDRV_REQ_FUA;
    }
    if ((!node->watchers && !node->dirty) || (flags & BDRV_REQ_UNCHANGED)) {
        return tracked_write(node, offset, bytes, v, at, flags);
    }
    ret = watched_begin(&watched, node, offset, bytes);
    if (ret < 0) {
        return ret;
    }
    ret = tracked_write(node, offset, bytes, v, at, flags);
    return watched_end(&watched, NULL, v, at, ret);
}

int bdrv_co_pwritev(BlockChild *child, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                    unsigned flags)
{
    return co_write(child, offset, bytes, v, at, flags);
}

int bdrv_co_pwrite_zeroes(BlockChild *child, uint64_t offset, uint64_t bytes, unsigned flags)
{
    if (!(child->node->flags & BDRV_O_UNMAP)) {
        flags &= ~BDRV_REQ_MAY_UNMAP;
    }
    return co_write(child, offset, bytes, NULL, 0, flags);
}

int bdrv_co_pread(BlockChild *child, uint64_t offset, uint64_t bytes, void *buf, unsigned flags)
{
    IoVector v;

    iov_init_buf(&v, buf, bytes);
    return bdrv_co_preadv(child, offset, bytes, &v, 0, flags);
}

int bdrv_co_pwrite(BlockChild *child, uint64_t offset, uint64_t bytes, const void *buf,
                   unsigned flags)
{
    IoVector v;

    iov_init_buf(&v, (void *)buf, bytes);
    return bdrv_co_pwritev(child, offset, bytes, &v, 0, flags);
}

/* ---- discarding, flushing, sizing ---- */

static int tracked_discard(BlockNode *node, uint64_t offset, uint64_t bytes, uint64_t align)
{
    const uint64_t end = offset + bytes,
                   max = node->max_discard ? ROUND_DOWN(node->max_discard, align) : UINT64_MAX;
    TrackedRequest req;
    int ret = 0;

    tracked_begin(&req, node, offset, bytes, true);
    wait_for_conflicts(&req);
    while (offset < end && ret == 0) {
        uint64_t n = MIN(end - offset, max);
        ret = node->driver->co_pdiscard(node, offset, n);
        ret = ret == -ENOTSUP ? 0 : ret;
        offset += n;
    }
    node->write_gen++;
    tracked_end(&req);
    return ret;
}

/* A hint: what does not make up whole blocks of the driver's is left out. */
int bdrv_co_pdiscard(BlockChild *child, uint64_t offset, uint64_t bytes)
{
    BlockNode *node = child->node;
    const uint64_t align = MAX(node->discard_alignment, node->request_alignment);
    int ret = check_write(child, offset, bytes);

    if (ret < 0 || !bytes || !node->driver->co_pdiscard || !(node->flags & BDRV_O_UNMAP)) {
        return ret;
    }
    uint64_t end = offset + bytes;
    offset = ROUND_UP(offset, align);
    end = end >= node->size ? end : ROUND_DOWN(end, align); /* the last block may be a short one */
    if (offset >= end) {
        return 0;
    }
    Watched watched;
    bool watch = node->watchers || node->dirty;
    ret = watch ? watched_begin(&watched, node, offset, end - offset) : 0;
    if (ret < 0) {
        return ret;
    }
    ret = tracked_discard(node, offset, end - offset, align);
    return watch ? watched_end(&watched, NULL, NULL, 0, ret) : ret;
}

static int flush_once(BlockNode *node)
{
    int ret = node->driver->co_flush && !(node->driver->protocol && (node->flags & BDRV_O_NO_FLUSH))
                  ? node->driver->co_flush(node)
                  : 0;

    for (BlockChild *c = node->children; c && ret == 0; c = c->next) {
        if (c->role != CHILD_BACKING || node->driver->is_filter) {
            ret = bdrv_co_flush(c->node);
        }
    }
    return ret;
}

int bdrv_co_flush(BlockNode *node)
{
    int ret = 0;

    node->in_flight++;
    uint64_t gen = node->write_gen;
    while (node->flushing) {
        co_queue_wait(&node->flush_queue);
    }
    node->flushing = true;
    /* Somebody's flush may have begun after our writes had ended. */
    if (node->flushed_gen < gen || !node->driver->protocol) {
        gen = node->write_gen;
        ret = flush_once(node);
        if (ret == 0) {
            node->flushed_gen = gen;
        }
    }
    node->flushing = false;
    co_queue_next(&node->flush_queue);
    if (--node->in_flight == 0) {
        co_queue_all(&node->drain_queue);
    }
    return ret;
}

bool bdrv_co_truncate(BlockChild *child, uint64_t size, bool exact, BlockPrealloc prealloc,
                      Error **errp)
{
    BlockNode *node = child->node;
    TrackedRequest req;

    if (node->readonly || !(child->perm & (BLK_PERM_RESIZE | BLK_PERM_WRITE))) {
        error_set(errp, "image %s is read-only", node->filename);
        return false;
    }
    if (!node->driver->co_truncate || size > INT64_MAX - 512) {
        error_set(errp,
                  size > INT64_MAX - 512 ? "image %s: the size is too large"
                                         : "image %s cannot change its size",
                  node->filename);
        return false;
    }
    uint64_t old = node->size, from = MIN(size, old);
    /* Nothing runs where the disk grows or goes away. */
    tracked_begin(&req, node, from, MAX(size, old) - from, true);
    make_serialising(&req, node->request_alignment);
    wait_for_conflicts(&req);
    bool ok = node->driver->co_truncate(node, size, exact, prealloc, errp);
    node->write_gen++;
    tracked_end(&req);
    if (node->size != old) {
        told_resized(node);
    }
    return ok;
}

/* ---- drains ---- */

static bool busy(const BlockNode *node)
{
    if (node->in_flight) {
        return true;
    }
    for (const BlockChild *c = node->children; c; c = c->next) {
        if (busy(c->node)) {
            return true;
        }
    }
    return false;
}

static void wake_self(void *opaque)
{
    coroutine_wake(opaque);
}

void bdrv_drain(BlockNode *node)
{
    while (busy(node)) {
        if (coroutine_self()) {
            loop_defer(wake_self, coroutine_self());
            coroutine_yield();
        } else {
            loop_run_once(-1);
        }
    }
}

void bdrv_cancel_in_flight(BlockNode *node)
{
    if (node->driver->cancel) {
        node->driver->cancel(node);
    }
    for (BlockChild *c = node->children; c; c = c->next) {
        bdrv_cancel_in_flight(c->node);
    }
}

static void tell_users(BlockNode *node, bool begin)
{
    for (BlockChild *c = node->parents; c; c = c->next_parent) {
        if (c->parent) {
            tell_users(c->parent, begin);
        } else if (c->user) {
            void (*fn)(void *) = begin ? c->user->drained_begin : c->user->drained_end;
            if (fn) {
                fn(c->user_opaque);
            }
        }
    }
}

static void drain_parents(BlockNode *node)
{
    for (BlockChild *c = node->parents; c; c = c->next_parent) {
        if (c->parent) {
            drain_parents(c->parent);
        }
    }
    bdrv_drain(node);
}

void bdrv_drained_begin(BlockNode *node)
{
    node->quiesced++;
    tell_users(node, true);
    drain_parents(node);
}

void bdrv_drained_end(BlockNode *node)
{
    node->quiesced--;
    tell_users(node, false);
}

/* ---- the same from outside of coroutines ---- */

typedef struct Call {
    enum { CALL_READ, CALL_WRITE, CALL_ZEROES, CALL_DISCARD, CALL_FLUSH, CALL_TRUNCATE } kind;
    BlockChild *child;
    BlockNode *node;
    uint64_t offset, bytes;
    void *buf;
    unsigned flags;
    bool exact;
    BlockPrealloc prealloc;
    Error **errp;
    int ret;
} Call;

static void run_call(void *opaque)
{
    Call *c = opaque;

    switch (c->kind) {
    case CALL_READ:
        c->ret = bdrv_co_pread(c->child, c->offset, c->bytes, c->buf, c->flags);
        break;
    case CALL_WRITE:
        c->ret = bdrv_co_pwrite(c->child, c->offset, c->bytes, c->buf, c->flags);
        break;
    case CALL_ZEROES:
        c->ret = bdrv_co_pwrite_zeroes(c->child, c->offset, c->bytes, c->flags);
        break;
    case CALL_DISCARD:
        c->ret = bdrv_co_pdiscard(c->child, c->offset, c->bytes);
        break;
    case CALL_FLUSH:
        c->ret = bdrv_co_flush(c->node);
        break;
    case CALL_TRUNCATE:
        c->ret = bdrv_co_truncate(c->child, c->offset, c->exact, c->prealloc, c->errp);
        break;
    }
}

int bdrv_pread(BlockChild *child, uint64_t offset, uint64_t bytes, void *buf)
{
    Call c = {.kind = CALL_READ, .child = child, .offset = offset, .bytes = bytes, .buf = buf};

    coroutine_run(run_call, &c);
    return c.ret;
}

int bdrv_pwrite(BlockChild *child, uint64_t offset, uint64_t bytes, const void *buf, unsigned flags)
{
    Call c = {.kind = CALL_WRITE,
              .child = child,
              .offset = offset,
              .bytes = bytes,
              .buf = (void *)buf,
              .flags = flags};

    coroutine_run(run_call, &c);
    return c.ret;
}

int bdrv_pwrite_zeroes(BlockChild *child, uint64_t offset, uint64_t bytes, unsigned flags)
{
    Call c = {
        .kind = CALL_ZEROES, .child = child, .offset = offset, .bytes = bytes, .flags = flags};

    coroutine_run(run_call, &c);
    return c.ret;
}

int bdrv_pdiscard(BlockChild *child, uint64_t offset, uint64_t bytes)
{
    Call c = {.kind = CALL_DISCARD, .child = child, .offset = offset, .bytes = bytes};

    coroutine_run(run_call, &c);
    return c.ret;
}

int bdrv_flush(BlockNode *node)
{
    Call c = {.kind = CALL_FLUSH, .node = node};

    coroutine_run(run_call, &c);
    return c.ret;
}

bool bdrv_truncate(BlockChild *child, uint64_t size, bool exact, BlockPrealloc prealloc,
                   Error **errp)
{
    Call c = {.kind = CALL_TRUNCATE,
              .child = child,
              .offset = size,
              .exact = exact,
              .prealloc = prealloc,
              .errp = errp};

    coroutine_run(run_call, &c);
    return c.ret;
}
