/*
 * Block backends: a drive's medium as its device sees it. Checks and counts requests, runs them on
 * the worker pool and reports their completion on the main loop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "util/loop.h"
#include "util/worker.h"

struct BlockBackend {
    char *id;
    bool cdrom;
    char *file; /* NULL: no medium */
    BlkNode *node;
    unsigned in_flight;
    BlkStats stats;
    void (*changed)(void *opaque);
    void *changed_opaque;
    BlockBackend *next;
};

typedef enum BlkOp { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD } BlkOp;

typedef struct BlkRequest {
    WorkItem item; /* first */
    BlockBackend *blk;
    BlkOp op;
    uint64_t offset, bytes;
    int ret;
    int64_t started; /* CLOCK_HOST */
    BlkCompletion *done;
    void *opaque;
    int iovcnt;
    struct iovec iov[];
} BlkRequest;

static BlockBackend *backends;
static unsigned total_in_flight;

/* ---- formats ---- */

/* Formats that are recognised so that an image is not taken for raw bytes by mistake. */
static const struct {
    const char *name;
    size_t offset, size;
    const char *magic;
} foreign_formats[] = {
    {"qcow or qcow2", 0, 4, "QFI\xfb"},         {"vmdk", 0, 4, "KDMV"},
    {"vdi", 0x40, 4, "\x7f\x10\xda\xbe"},       {"vhdx", 0, 8, "vhdxfile"},
    {"bochs", 0, 22, "Bochs Virtual HD Image"},
};

static bool check_format(BlkNode *node, const BlkOpenOptions *options, Error **errp)
{
    uint8_t head[BLK_SECTOR_SIZE];
    struct iovec iov = {head, sizeof(head)};

    if (options->format || node->size < sizeof(head)) {
        return true;
    }
    int ret = node->driver->readv(node, 0, &iov, 1);
    if (ret < 0) {
        error_set_errno(errp, -ret, "cannot read image %s", options->file);
        return false;
    }
    for (size_t i = 0; i < sizeof(foreign_formats) / sizeof(foreign_formats[0]); i++) {
        if (memcmp(head + foreign_formats[i].offset, foreign_formats[i].magic,
                   foreign_formats[i].size) == 0) {
            error_set(
                errp,
                "image %s looks like format %s, which is not supported; convert it to raw, or "
                "give format=raw to use its bytes as they are",
                options->file, foreign_formats[i].name);
            return false;
        }
    }
    return true;
}

static BlkNode *open_node(const BlkOpenOptions *options, Error **errp)
{
    bool readonly = options->readonly || options->cdrom;

    if (options->format && strcmp(options->format, "raw") != 0) {
        error_set(errp, "image %s: unknown format '%s'; known is: raw", options->file,
                  options->format);
        return NULL;
    }
    BlkNode *node = raw_open(options->file, readonly || options->snapshot, errp);
    if (!node) {
        return NULL;
    }
    if (!check_format(node, options, errp)) {
        node->driver->close(node);
        return NULL;
    }
    return options->snapshot && !readonly ? overlay_open(node, errp) : node;
}

static char *copy_string(const char *s)
{
    char *copy = strdup(s);
    if (!copy) {
        error_exit("out of memory");
    }
    return copy;
}

/* ---- opening and closing ---- */

static bool insert_medium(BlockBackend *blk, const BlkOpenOptions *options, Error **errp)
{
    blk->node = open_node(options, errp);
    if (!blk->node) {
        return false;
    }
    blk->file = copy_string(options->file);
    return true;
}

static void remove_medium(BlockBackend *blk)
{
    blk_drain(blk);
    if (blk->node) {
        int ret = blk->node->driver->flush(blk->node);
        if (ret < 0) {
            error_report("drive %s: image %s could not be flushed: %s", blk->id, blk->file,
                         strerror(-ret));
        }
        blk->node->driver->close(blk->node);
    }
    free(blk->file);
    blk->node = NULL;
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
    blk->cdrom = options->cdrom;
    if (options->file && !insert_medium(blk, options, errp)) {
        error_prepend(errp, "drive %s: ", id);
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
    free(blk->id);
    free(blk);
}

void blk_close_all(void)
{
    while (backends) {
        blk_close(backends);
    }
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

    /* The old image is let go first: it may be the same file. */
    remove_medium(blk);
    bool ok = insert_medium(blk, &now, errp);
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
    return blk->node ? "raw" : NULL;
}

uint64_t blk_size(const BlockBackend *blk)
{
    return blk->node ? blk->node->size : 0;
}

bool blk_readonly(const BlockBackend *blk)
{
    return blk->cdrom || (blk->node && blk->node->readonly);
}

bool blk_has_medium(const BlockBackend *blk)
{
    return blk->node != NULL;
}

bool blk_is_cdrom(const BlockBackend *blk)
{
    return blk->cdrom;
}

const BlkStats *blk_stats(const BlockBackend *blk)
{
    return &blk->stats;
}

BlkErrorAction blk_error_action(BlockBackend *blk, bool is_write, int error)
{
    return is_write && error == ENOSPC ? BLK_ERROR_STOP : BLK_ERROR_REPORT;
}

/* ---- requests ---- */

static void request_work(WorkItem *item)
{
    BlkRequest *req = (BlkRequest *)item;
    BlkNode *node = req->blk->node;

    switch (req->op) {
    case BLK_READ:
        req->ret = node->driver->readv(node, req->offset, req->iov, req->iovcnt);
        break;
    case BLK_WRITE:
        req->ret = node->driver->writev(node, req->offset, req->iov, req->iovcnt);
        break;
    case BLK_FLUSH:
        req->ret = node->driver->flush(node);
        break;
    case BLK_DISCARD:
        req->ret = node->driver->discard(node, req->offset, req->bytes);
        break;
    }
}

static void count_request(BlkStats *stats, const BlkRequest *req)
{
    uint64_t ns = clock_now(CLOCK_HOST) - req->started;

    if (req->ret < 0) {
        stats->failed_ops++;
    } else if (req->op == BLK_READ) {
        stats->rd_bytes += req->bytes;
        stats->rd_ops++;
        stats->rd_ns += ns;
    } else if (req->op == BLK_WRITE) {
        stats->wr_bytes += req->bytes;
        stats->wr_ops++;
        stats->wr_ns += ns;
    } else if (req->op == BLK_FLUSH) {
        stats->flush_ops++;
        stats->flush_ns += ns;
    }
}

static void request_done(WorkItem *item)
{
    BlkRequest *req = (BlkRequest *)item;

    count_request(&req->blk->stats, req);
    req->blk->in_flight--;
    total_in_flight--;
    req->done(req->opaque, req->ret);
    free(req);
}

/* For a request that fails before it starts: its completion comes from the loop all the same. */
static void request_refused(void *opaque)
{
    request_done(opaque);
}

static int check_request(const BlockBackend *blk, const BlkRequest *req)
{
    if (!blk->node) {
        return -ENOMEDIUM;
    }
    if ((req->op == BLK_WRITE || req->op == BLK_DISCARD) && blk->node->readonly) {
        return -EROFS;
    }
    if (req->offset % BLK_SECTOR_SIZE || req->bytes % BLK_SECTOR_SIZE) {
        return -EINVAL;
    }
    if (req->offset > blk->node->size || req->bytes > blk->node->size - req->offset) {
        return -ENXIO;
    }
    return 0;
}

static void start_request(BlockBackend *blk, BlkOp op, uint64_t offset, uint64_t bytes,
                          const struct iovec *iov, int iovcnt, BlkCompletion *done, void *opaque)
{
    BlkRequest *req = calloc(1, sizeof(*req) + iovcnt * sizeof(*iov));
    if (!req) {
        error_exit("out of memory");
    }
    req->item.work = request_work;
    req->item.done = request_done;
    req->blk = blk;
    req->op = op;
    req->offset = offset;
    req->bytes = bytes;
    req->done = done;
    req->opaque = opaque;
    req->iovcnt = iovcnt;
    req->started = clock_now(CLOCK_HOST);
    for (int i = 0; i < iovcnt; i++) {
        req->iov[i] = iov[i];
        req->bytes += iov[i].iov_len;
    }
    blk->in_flight++;
    total_in_flight++;
    req->ret = check_request(blk, req);
    if (req->ret < 0) {
        loop_defer(request_refused, req);
    } else {
        worker_submit(&req->item);
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

/* Writes are acknowledged when the file has them, so a sync that starts now covers all of those. */
void blk_flush(BlockBackend *blk, BlkCompletion *done, void *opaque)
{
    start_request(blk, BLK_FLUSH, 0, 0, NULL, 0, done, opaque);
}

void blk_discard(BlockBackend *blk, uint64_t offset, uint64_t bytes, BlkCompletion *done,
                 void *opaque)
{
    start_request(blk, BLK_DISCARD, offset, bytes, NULL, 0, done, opaque);
}

void blk_drain(BlockBackend *blk)
{
    while (blk ? blk->in_flight : total_in_flight) {
        loop_run_once(-1);
    }
}

int blk_pread(BlockBackend *blk, uint64_t offset, void *buf, size_t bytes)
{
    struct iovec iov = {buf, bytes};

    if (!blk->node) {
        return -ENOMEDIUM;
    }
    if (offset > blk->node->size || bytes > blk->node->size - offset) {
        return -ENXIO;
    }
    return blk->node->driver->readv(blk->node, offset, &iov, 1);
}
