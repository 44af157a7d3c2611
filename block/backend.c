/*
 * Block backends: a drive's medium as its device sees it. Checks and counts requests, runs each in
 * a coroutine and reports its completion from the main loop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "block/job.h"
#include "block/throttle.h"
#include "util/loop.h"

enum { CLOSE_SECONDS = 15 };

typedef struct BlkRequest BlkRequest;

struct BlockBackend {
    char *id;
    bool cdrom;
    char *file; /* NULL: no medium */
    BlockChild *root;
    unsigned in_flight; /* requests the device has started and not heard of */
    unsigned quiesced;
    BlkRequest *held, **held_tail; /* those that came while it was quiesced */
    BlkStats stats;
    ThrottleGroup *throttle; /* NULL: no limits */
    unsigned lifted;         /* somebody waits for all requests: limits do not hold meanwhile */
    bool writethrough;
    BlkErrorPolicy on_error[2]; /* read, write */
    int stopped_by;             /* errno; 0: nothing */
    void (*changed)(void *opaque);
    void *changed_opaque;
    bool locked; /* by the guest: its medium cannot be taken out */
    void (*eject_wanted)(void *opaque);
    void *eject_opaque;
    BlockBackend *next;
};

struct BlkRequest {
    BlockBackend *blk;
    BlkOp op;
    bool admitted; /* it has waited for the limits */
    uint64_t offset, bytes;
    int ret;
    int64_t started; /* CLOCK_HOST */
    BlkCompletion *done;
    void *opaque;
    BlkRequest *next;
    IoVector v;
    struct iovec iov[];
};

static BlockBackend *backends;
static unsigned total_in_flight;

static char *copy_string(const char *s)
{
    char *copy = strdup(s);
    if (!copy) {
        error_exit("out of memory");
    }
    return copy;
}

BlockNode *blk_node(const BlockBackend *blk)
{
    return blk->root ? bdrv_child_node(blk->root) : NULL;
}

/* ---- opening and closing ---- */

static void run_held(BlockBackend *blk);

static const char *user_name(void *opaque)
{
    return blk_id(opaque);
}

static void user_drained_begin(void *opaque)
{
    ((BlockBackend *)opaque)->quiesced++;
}

static void user_drained_end(void *opaque)
{
    BlockBackend *blk = opaque;

    if (--blk->quiesced == 0) {
        run_held(blk);
    }
}

static const ChildUser backend_user = {
    .name = user_name,
    .drained_begin = user_drained_begin,
    .drained_end = user_drained_end,
};

/* snapshot=on: an overlay node in front, which takes the writes. */
static BlockNode *add_overlay(BlockNode *node, Error **errp)
{
    BlockOptions *o = blkopts_new();

    blkopts_set(o, "driver", "overlay");
    blkopts_set(o, "backing", bdrv_node_name(node));
    BlockNode *front = bdrv_open(NULL, o, BDRV_O_RDWR, errp);
    bdrv_unref(node);
    return front;
}

static BlockNode *open_node(const BlkOpenOptions *options, Error **errp)
{
    bool readonly = options->readonly || options->cdrom;
    bool overlay = options->snapshot && !readonly;
    BlockOptions *o = blkopts_copy(options->options);

    if (options->node) {
        blkopts_free(o);
        BlockNode *node = bdrv_find_node(options->node);
        if (!node) {
            error_set(errp, "there is no node '%s'", options->node);
            return NULL;
        }
        bdrv_ref(node);
        return overlay ? add_overlay(node, errp) : node;
    }
    if (options->format) {
        blkopts_set(o, "driver", options->format);
    }
    BlockNode *node =
        bdrv_open(options->file, o, (readonly || overlay ? 0 : BDRV_O_RDWR) | options->flags, errp);
    return node && overlay ? add_overlay(node, errp) : node;
}

/* Takes over the node's reference; NULL: it could not be opened. */
static bool insert_node(BlockBackend *blk, BlockNode *node, const BlkOpenOptions *options,
                        Error **errp)
{
    if (!node) {
        return false;
    }
    unsigned perm = BLK_PERM_READ | (bdrv_readonly(node) ? 0 : BLK_PERM_WRITE);
    blk->root =
        bdrv_root_attach(node, perm, BLK_PERM_READ | BLK_PERM_WRITE_UNCHANGED | BLK_PERM_RESIZE,
                         &backend_user, blk, errp);
    if (!blk->root) {
        return false;
    }
    blk->file = copy_string(options->file ? options->file : bdrv_filename(blk_node(blk)));
    blk->writethrough = options->writethrough;
    return true;
}

static bool insert_medium(BlockBackend *blk, const BlkOpenOptions *options, Error **errp)
{
    return insert_node(blk, open_node(options, errp), options, errp);
}

static void remove_medium(BlockBackend *blk)
{
    blk_drain(blk);
    bdrv_root_detach(blk->root);
    free(blk->file);
    blk->root = NULL;
    blk->file = NULL;
}

BlockBackend *blk_open(const char *id, const BlkOpenOptions *options, Error **errp)
{
    if (blk_find(id)) {
        error_set(errp, "there is a drive %s already", id);
        return NULL;
    }
    BlockBackend *blk = calloc(1, sizeof(*blk));
    if (!blk) {
        error_exit("out of memory");
    }
    blk->id = copy_string(id);
    blk->held_tail = &blk->held;
    blk->cdrom = options->cdrom;
    blk->on_error[0] = options->on_read_error;
    blk->on_error[1] = options->on_write_error;
    if (!blk_set_limits(blk, &options->limits, options->throttle_group, errp)) {
        error_prepend(errp, "drive %s: ", id);
        free(blk->id);
        free(blk);
        return NULL;
    }
    if ((options->file || options->node || options->options) &&
        !insert_medium(blk, options, errp)) {
        error_prepend(errp, "drive %s: ", id);
        throttle_leave(blk->throttle);
        free(blk->id);
        free(blk);
        return NULL;
    }
    BlockBackend **last = &backends;
    while (*last) {
        last = &(*last)->next;
    }
    *last = blk;
    return blk;
}

void blk_close(BlockBackend *blk)
{
    remove_medium(blk);
    for (BlockBackend **p = &backends; *p; p = &(*p)->next) {
        if (*p == blk) {
            *p = blk->next;
            break;
        }
    }
    throttle_leave(blk->throttle);
    free(blk->id);
    free(blk);
}

static void give_up_waiting(void *opaque)
{
    for (BlockNode *node = bdrv_next(NULL); node; node = bdrv_next(node)) {
        if (node->driver->cancel && node->in_flight) {
            error_report("%s does not answer; what it has not stored yet is given up",
                         node->filename);
            node->driver->cancel(node);
        }
    }
}

/* A server that does not answer holds up the end for a while, not for ever. */
void blk_close_all(void)
{
    Timer patience;

    timer_init(&patience, CLOCK_HOST, give_up_waiting, NULL);
    timer_set(&patience, clock_now(CLOCK_HOST) + CLOSE_SECONDS * NS_PER_SEC);
    job_cancel_all();
    while (backends) {
        blk_close(backends);
    }
    timer_cancel(&patience);
}

BlockBackend *blk_find(const char *id)
{
    for (BlockBackend *blk = backends; blk; blk = blk->next) {
        if (strcmp(blk->id, id) == 0) {
            return blk;
        }
    }
    return NULL;
}

BlockBackend *blk_find_for_device(const char *id)
{
    BlockBackend *blk = blk_find(id);

    if (!blk && bdrv_find_node(id)) {
        const BlkOpenOptions options = {.node = id};
        blk = blk_open(id, &options, NULL);
    }
    return blk;
}

void blk_each(void (*fn)(BlockBackend *blk, void *opaque), void *opaque)
{
    for (BlockBackend *blk = backends, *next; blk; blk = next) {
        next = blk->next;
        fn(blk, opaque);
    }
}

bool blk_change_medium(BlockBackend *blk, const BlkOpenOptions *options, Error **errp)
{
    BlkOpenOptions now = *options;
    now.cdrom = blk->cdrom;

    /* A wrong name must not cost the medium that is in. The same file can be opened again only once
     * it has been let go. */
    const bool same = blk->file && now.file && !strcmp(blk->file, now.file);
    BlockNode *node = same ? NULL : open_node(&now, errp);
    if (!same && !node) {
        error_prepend(errp, "drive %s: ", blk->id);
        return false;
    }
    remove_medium(blk);
    bool ok = insert_node(blk, same ? open_node(&now, errp) : node, &now, errp);
    if (!ok) {
        error_prepend(errp, "drive %s: ", blk->id);
    }
    if (blk->changed) {
        blk->changed(blk->changed_opaque);
    }
    return ok;
}

void blk_eject(BlockBackend *blk)
{
    blk_move_tray(blk, true);
    remove_medium(blk);
    if (blk->changed) {
        blk->changed(blk->changed_opaque);
    }
}

void blk_set_change_handler(BlockBackend *blk, void (*fn)(void *opaque), void *opaque)
{
    blk->changed = fn;
    blk->changed_opaque = opaque;
}

/* ---- what it is ---- */

const char *blk_id(const BlockBackend *blk)
{
    return blk->id;
}

const char *blk_file(const BlockBackend *blk)
{
    return blk->file;
}

const char *blk_format(const BlockBackend *blk)
{
    BlockNode *node = blk_node(blk);

    if (node && !strcmp(bdrv_format_name(node), "overlay")) {
        node = bdrv_backing(node);
    }
    return node ? bdrv_format_name(node) : NULL;
}

uint64_t blk_size(const BlockBackend *blk)
{
    /* A guest's disk has whole sectors. */
    return blk->root ? bdrv_size(blk_node(blk)) / BLK_SECTOR_SIZE * BLK_SECTOR_SIZE : 0;
}

bool blk_readonly(const BlockBackend *blk)
{
    return blk->cdrom || (blk->root && bdrv_readonly(blk_node(blk)));
}

bool blk_writethrough(const BlockBackend *blk)
{
    return blk->writethrough;
}

/* The drive of the host's that the medium is in, or NULL. */
static BlockNode *host_drive(const BlockBackend *blk)
{
    BlockNode *node = blk_node(blk);

    while (node && !node->driver->co_is_inserted) {
        node = node->file ? node->file->node : NULL;
    }
    return node;
}

/* A drive of the host's says itself whether there is a medium in it. */
bool blk_has_medium(const BlockBackend *blk)
{
    BlockNode *drive = host_drive(blk);

    return blk->root && (!drive || drive->driver->co_is_inserted(drive));
}

void blk_move_tray(BlockBackend *blk, bool out)
{
    BlockNode *drive = host_drive(blk);

    if (drive && drive->driver->co_eject) {
        drive->driver->co_eject(drive, out);
    }
}

void blk_lock_medium(BlockBackend *blk, bool lock)
{
    BlockNode *drive = host_drive(blk);

    blk->locked = lock;
    if (drive && drive->driver->co_lock_medium) {
        drive->driver->co_lock_medium(drive, lock);
    }
}

bool blk_medium_locked(const BlockBackend *blk)
{
    return blk->locked;
}

bool blk_may_eject(BlockBackend *blk, bool force, Error **errp)
{
    if (!blk->locked || force) {
        return true;
    }
    if (blk->eject_wanted) {
        blk->eject_wanted(blk->eject_opaque);
    }
    error_set(errp,
              "Device '%s' is locked by the guest, which was asked to open the tray: try again, or "
              "by force",
              blk->id);
    return false;
}

void blk_set_eject_handler(BlockBackend *blk, void (*fn)(void *opaque), void *opaque)
{
    blk->eject_wanted = fn;
    blk->eject_opaque = opaque;
}

bool blk_is_cdrom(const BlockBackend *blk)
{
    return blk->cdrom;
}

const BlkStats *blk_stats(const BlockBackend *blk)
{
    return &blk->stats;
}

static void (*error_handler)(BlockBackend *blk, bool is_write, int error, BlkErrorAction action);

void blk_set_error_handler(void (*fn)(BlockBackend *blk, bool is_write, int error,
                                      BlkErrorAction action))
{
    error_handler = fn;
}

BlkErrorAction blk_error_action(BlockBackend *blk, bool is_write, int error)
{
    BlkErrorPolicy policy = blk->on_error[is_write];

    if (policy == BLK_ON_ERROR_DEFAULT) {
        policy = is_write ? BLK_ON_ERROR_ENOSPC : BLK_ON_ERROR_REPORT;
    }
    switch (policy) {
    case BLK_ON_ERROR_IGNORE:
        return BLK_ERROR_IGNORE;
    case BLK_ON_ERROR_STOP:
        return BLK_ERROR_STOP;
    case BLK_ON_ERROR_ENOSPC:
        return error == ENOSPC ? BLK_ERROR_STOP : BLK_ERROR_REPORT;
    default:
        return BLK_ERROR_REPORT;
    }
}

void blk_tell_error(BlockBackend *blk, bool is_write, int error, BlkErrorAction action)
{
    if (action == BLK_ERROR_STOP) {
        blk->stopped_by = error;
    }
    if (error_handler) {
        error_handler(blk, is_write, error, action);
    }
}

const char *blk_io_status(const BlockBackend *blk)
{
    return !blk->stopped_by ? "ok" : blk->stopped_by == ENOSPC ? "nospace" : "failed";
}

/* ---- limits ---- */

bool blk_set_limits(BlockBackend *blk, const BlkLimits *limits, const char *group, Error **errp)
{
    if (!throttle_check(limits, errp)) {
        return false;
    }
    ThrottleGroup *old = blk->throttle;
    if (!throttle_limits_any(limits) && !group) {
        blk->throttle = NULL;
    } else if (!old || (group && strcmp(throttle_name(old), group) != 0)) {
        blk->throttle = throttle_join(group ? group : blk->id);
    }
    /* Who waited in the group that is left goes at once. */
    if (old != blk->throttle && old) {
        blk->lifted++;
        throttle_look_again(old);
        blk->lifted--;
        throttle_leave(old);
    }
    if (blk->throttle && throttle_limits_any(limits)) {
        throttle_set(blk->throttle, limits);
    }
    return true;
}

const BlkLimits *blk_limits(const BlockBackend *blk)
{
    static const BlkLimits none;

    return blk->throttle ? throttle_limits(blk->throttle) : &none;
}

const char *blk_throttle_group(const BlockBackend *blk)
{
    return blk->throttle ? throttle_name(blk->throttle) : NULL;
}

/* ---- requests ---- */

static int run_request(BlkRequest *req)
{
    BlockChild *root = req->blk->root;
    unsigned write_flags = req->blk->writethrough ? BDRV_REQ_FUA : 0;

    switch (req->op) {
    case BLK_READ:
        return bdrv_co_preadv(root, req->offset, req->bytes, &req->v, 0, 0);
    case BLK_WRITE:
        return bdrv_co_pwritev(root, req->offset, req->bytes, &req->v, 0, write_flags);
    case BLK_FLUSH:
        return bdrv_co_flush(bdrv_child_node(root));
    default:
        return bdrv_co_pdiscard(root, req->offset, req->bytes);
    }
}

static void count_request(BlkStats *stats, const BlkRequest *req)
{
    stats->last = clock_now(CLOCK_HOST);
    stats->ns[req->op] += (uint64_t)(stats->last - req->started);
    if (req->ret < 0) {
        stats->failed[req->op]++;
    } else {
        stats->bytes[req->op] += req->bytes;
        stats->done[req->op]++;
    }
}

/* From the loop, outside of any coroutine: the device may start anything in its completion, even
 * wait for other requests. */
static void request_done(void *opaque)
{
    BlkRequest *req = opaque;

    count_request(&req->blk->stats, req);
    req->blk->stopped_by = req->ret < 0 ? req->blk->stopped_by : 0;
    req->blk->in_flight--;
    total_in_flight--;
    req->done(req->opaque, req->ret);
    free(req);
}

static int check_request(const BlockBackend *blk, const BlkRequest *req)
{
    if (!blk->root) {
        return -ENOMEDIUM;
    }
    if ((req->op == BLK_WRITE || req->op == BLK_DISCARD) && bdrv_readonly(blk_node(blk))) {
        return -EROFS;
    }
    if (req->offset % BLK_SECTOR_SIZE || req->bytes % BLK_SECTOR_SIZE) {
        return -EINVAL;
    }
    uint64_t size = blk_size(blk);
    return req->offset > size || req->bytes > size - req->offset ? -ENXIO : 0;
}

static void hold(BlkRequest *req)
{
    BlockBackend *blk = req->blk;

    req->next = NULL;
    *blk->held_tail = req;
    blk->held_tail = &req->next;
}

static void request_entry(void *opaque)
{
    BlkRequest *req = opaque;

    if (!req->admitted && (req->op == BLK_READ || req->op == BLK_WRITE)) {
        req->admitted = true;
        if (req->blk->throttle) {
            throttle_wait(req->blk->throttle, req->op == BLK_WRITE, req->bytes, &req->blk->lifted);
        }
        if (req->blk->quiesced) { /* since then: who drained us must not see it begin */
            hold(req);
            return;
        }
    }
    req->ret = check_request(req->blk, req);
    if (req->ret == 0) {
        req->ret = run_request(req);
    }
    loop_defer(request_done, req);
}

static void request_start(void *opaque)
{
    BlkRequest *req = opaque;
    BlockBackend *blk = req->blk;

    if (blk->quiesced) {
        hold(req);
        return;
    }
    coroutine_enter(coroutine_create(request_entry, req));
}

static void run_held(BlockBackend *blk)
{
    BlkRequest *req = blk->held, *next;

    blk->held = NULL;
    blk->held_tail = &blk->held;
    for (; req; req = next) {
        next = req->next;
        loop_defer(request_start, req);
    }
}

static void start_request(BlockBackend *blk, BlkOp op, uint64_t offset, uint64_t bytes,
                          const struct iovec *iov, int iovcnt, BlkCompletion *done, void *opaque)
{
    BlkRequest *req = calloc(1, sizeof(*req) + iovcnt * sizeof(*iov));
    if (!req) {
        error_exit("out of memory");
    }
    req->blk = blk;
    req->op = op;
    req->offset = offset;
    req->done = done;
    req->opaque = opaque;
    req->started = clock_now(CLOCK_HOST);
    if (iovcnt) {
        memcpy(req->iov, iov, iovcnt * sizeof(*iov));
    }
    iov_init(&req->v, req->iov, iovcnt);
    req->bytes = bytes + req->v.size;
    blk->in_flight++;
    total_in_flight++;
    /* Coroutines are the main thread's; a vCPU hands its request over. */
    if (loop_on_main_thread() && !coroutine_self()) {
        request_start(req);
    } else {
        loop_defer(request_start, req);
    }
}

void blk_readv(BlockBackend *blk, uint64_t offset, const struct iovec *iov, int iovcnt,
               BlkCompletion *done, void *opaque)
{
    start_request(blk, BLK_READ, offset, 0, iov, iovcnt, done, opaque);
}

void blk_writev(BlockBackend *blk, uint64_t offset, const struct iovec *iov, int iovcnt,
                BlkCompletion *done, void *opaque)
{
    start_request(blk, BLK_WRITE, offset, 0, iov, iovcnt, done, opaque);
}

void blk_flush(BlockBackend *blk, BlkCompletion *done, void *opaque)
{
    start_request(blk, BLK_FLUSH, 0, 0, NULL, 0, done, opaque);
}

void blk_discard(BlockBackend *blk, uint64_t offset, uint64_t bytes, BlkCompletion *done,
                 void *opaque)
{
    start_request(blk, BLK_DISCARD, offset, bytes, NULL, 0, done, opaque);
}

/* Requests that wait for their limits' time go at once: it might be hours. */
static void drain_one(BlockBackend *blk)
{
    blk->lifted++;
    if (blk->throttle) {
        throttle_look_again(blk->throttle);
    }
    while (blk->in_flight) {
        loop_run_once(-1);
    }
    blk->lifted--;
}

static void drain_all(void)
{
    while (total_in_flight) {
        BlockBackend *blk = backends;
        while (blk && !blk->in_flight) {
            blk = blk->next;
        }
        if (blk) {
            drain_one(blk);
        } else {
            loop_run_once(-1); /* of a drive that is being opened or closed */
        }
    }
}

void blk_drain(BlockBackend *blk)
{
    if (blk) {
        drain_one(blk);
    } else {
        drain_all();
    }
}

int blk_pread(BlockBackend *blk, uint64_t offset, void *buf, size_t bytes)
{
    if (!blk->root) {
        return -ENOMEDIUM;
    }
    if (offset > blk_size(blk) || bytes > blk_size(blk) - offset) {
        return -ENXIO;
    }
    return bdrv_pread(blk->root, offset, bytes, buf);
}

/* ---- changes while the guest runs ---- */

typedef struct Commit {
    BlockNode *top, *base;
    BlockChild *from, *to;
    int ret;
} Commit;

static void co_commit(void *opaque)
{
    Commit *c = opaque;
    enum { CHUNK = 1 << 20 };
    uint8_t *buf = malloc(CHUNK);
    const uint64_t size = bdrv_size(c->top);

    c->ret = buf ? 0 : -ENOMEM;
    for (uint64_t offset = 0, n; offset < size && c->ret == 0; offset += n) {
        uint64_t most = size - offset < CHUNK ? size - offset : CHUNK;
        int status = bdrv_co_block_status(c->top, true, offset, most, &n, NULL, NULL);
        if (status < 0) {
            c->ret = status;
        } else if (status & BDRV_BLOCK_ALLOCATED) {
            c->ret = bdrv_co_pread(c->from, offset, n, buf, 0);
            c->ret = c->ret < 0 ? c->ret : bdrv_co_pwrite(c->to, offset, n, buf, 0);
        }
    }
    c->ret = c->ret < 0 ? c->ret : bdrv_co_flush(c->base);
    free(buf);
}

static bool refuse_job(const BlockBackend *blk, Error **errp)
{
    if (blk->root && job_uses(blk_node(blk))) {
        error_set(errp, "drive %s is in use by a block job; block_job_cancel ends it", blk->id);
        return true;
    }
    return false;
}

bool blk_has_backing(const BlockBackend *blk)
{
    return blk->root && bdrv_backing(blk_node(blk));
}

/* The guest's requests wait meanwhile: what is committed is one moment's disk. */
bool blk_commit(BlockBackend *blk, Error **errp)
{
    BlockNode *top = blk->root ? blk_node(blk) : NULL, *base = top ? bdrv_backing(top) : NULL;
    Commit c = {.top = top, .base = base, .from = blk->root};

    if (!base) {
        error_set(errp, "drive %s has nothing to commit: its image has no backing file", blk->id);
        return false;
    }
    if (refuse_job(blk, errp)) {
        return false;
    }
    bdrv_drained_begin(top);
    bool was_readonly = bdrv_readonly(base);
    bool ok = bdrv_reopen(base, false, errp);
    if (ok) {
        c.to = bdrv_root_attach(bdrv_ref(base), BLK_PERM_READ | BLK_PERM_WRITE | BLK_PERM_RESIZE,
                                BLK_PERM_ALL, NULL, NULL, errp);
        ok = c.to && (bdrv_size(base) >= bdrv_size(top) ||
                      bdrv_truncate(c.to, bdrv_size(top), false, PREALLOC_OFF, errp));
        if (ok) {
            coroutine_run(co_commit, &c);
            ok = c.ret == 0;
            if (!ok) {
                error_set_errno(errp, -c.ret, "drive %s could not be committed", blk->id);
            }
        }
        bdrv_root_detach(c.to);
        /* Emptied only when everything is in the base; where the format cannot, both hold it. */
        int ret = ok ? bdrv_make_empty(blk->root) : 0;
        if (ret < 0 && ret != -ENOTSUP) {
            error_set_errno(errp, -ret, "drive %s was committed but could not be emptied", blk->id);
            ok = false;
        }
        ok = (!was_readonly || bdrv_reopen(base, true, ok ? errp : NULL)) && ok;
    }
    bdrv_drained_end(top);
    return ok;
}

void blk_refresh_all(void)
{
    for (BlockBackend *blk = backends; blk; blk = blk->next) {
        const char *name = blk->root ? bdrv_filename(blk_node(blk)) : NULL;
        if (name && strcmp(name, blk->file) != 0 && *name) {
            free(blk->file);
            blk->file = copy_string(name);
        }
    }
}

bool blk_resize(BlockBackend *blk, uint64_t size, Error **errp)
{
    if (!blk->root) {
        error_set(errp, "drive %s has no medium", blk->id);
        return false;
    }
    if (refuse_job(blk, errp)) {
        return false;
    }
    BlockNode *node = blk_node(blk);
    bdrv_drained_begin(node);
    bool ok = bdrv_truncate(blk->root, size, true, PREALLOC_OFF, errp);
    bdrv_drained_end(node);
    if (ok && blk->changed) {
        blk->changed(blk->changed_opaque);
    }
    return ok;
}

bool blk_snapshot(BlockBackend *blk, const char *file, const char *format, bool reuse, Error **errp)
{
    return blk_snapshot_as(blk, file, format, reuse, NULL, errp);
}

bool blk_snapshot_as(BlockBackend *blk, const char *file, const char *format, bool reuse,
                     const char *node_name, Error **errp)
{
    BlockNode *old = blk->root ? blk_node(blk) : NULL;

    format = format ? format : "qcow2";
    if (!old || bdrv_readonly(old)) {
        error_set(errp, "drive %s %s", blk->id, old ? "is read-only" : "has no medium");
        return false;
    }
    if (refuse_job(blk, errp)) {
        return false;
    }
    if (!reuse && !bdrv_create(format, file, bdrv_size(old), bdrv_filename(old),
                               bdrv_format_name(old), NULL, errp)) {
        return false;
    }
    BlockOptions *o = blkopts_new();
    blkopts_set(o, "driver", format);
    if (node_name) {
        blkopts_set(o, "node-name", node_name);
    }
    BlockNode *node = bdrv_open(
        file, o, BDRV_O_RDWR | BDRV_O_NO_BACKING | (old->flags & BDRV_O_TAKEN_OVER), errp);
    if (!node) {
        return false;
    }
    /* Nothing is written to the old image from here on; a flush makes what is there lasting. */
    bdrv_drained_begin(old);
    int ret = bdrv_flush(old);
    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s could not be flushed", bdrv_filename(old));
    }
    bool ok =
        ret == 0 && bdrv_set_backing(node, old, errp) && bdrv_replace_child(blk->root, node, errp);
    bdrv_drained_end(old);
    bdrv_unref(node);
    if (ok) {
        free(blk->file);
        blk->file = copy_string(file);
        bdrv_reopen(old, true,
                    NULL); /* if that fails it stays open for writing, and nobody writes */
    }
    return ok;
}
