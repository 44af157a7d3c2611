/*
 * BlockBackend: what a disk device (IDE, floppy, ...) sees of the block stack.
 *
 * Requests are asynchronous: the callback runs on the main loop with the machine lock held, never
 * from inside the call that started the request. Buffers stay the caller's and must live until
 * then. Offsets and lengths are bytes, multiples of BLK_SECTOR_SIZE. All calls need the machine
 * lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_BLOCK_H
#define BLOCK_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "util/error.h"

#define BLK_SECTOR_SIZE 512

typedef struct BlockBackend BlockBackend;
typedef struct BlockNode BlockNode; /* block/node.h */

typedef struct BlkOpenOptions {
    const char *file;   /* path; may be NULL for a drive without medium */
    const char *format; /* "raw", or NULL: probe */
    bool readonly;
    bool snapshot; /* writes go to a temporary overlay that is thrown away */
    bool cdrom;    /* media=cdrom: read-only, medium may change */
} BlkOpenOptions;

/* ret: 0, or a negative errno. */
typedef void BlkCompletion(void *opaque, int ret);

/* Opens under the unique name `id` ("ide0-hd0"); the backend is found by it and shown in `info
 * block`. */
BlockBackend *blk_open(const char *id, const BlkOpenOptions *options, Error **errp);
/* Waits for requests in flight, flushes and closes. */
void blk_close(BlockBackend *blk);
void blk_close_all(void);
BlockBackend *blk_find(const char *id);
void blk_each(void (*fn)(BlockBackend *blk, void *opaque), void *opaque);

const char *blk_id(const BlockBackend *blk);
const char *blk_file(const BlockBackend *blk); /* NULL: no medium */
const char *blk_format(const BlockBackend *blk);
uint64_t blk_size(const BlockBackend *blk); /* bytes */
bool blk_readonly(const BlockBackend *blk);
bool blk_has_medium(const BlockBackend *blk);
bool blk_is_cdrom(const BlockBackend *blk);
/* The topmost node of the medium, or NULL: for snapshots and other things of block/node.h. */
BlockNode *blk_node(const BlockBackend *blk);

void blk_readv(BlockBackend *blk, uint64_t offset, const struct iovec *iov, int iovcnt,
               BlkCompletion *done, void *opaque);
void blk_writev(BlockBackend *blk, uint64_t offset, const struct iovec *iov, int iovcnt,
                BlkCompletion *done, void *opaque);
/* Completes when everything acknowledged before it is on stable storage. */
void blk_flush(BlockBackend *blk, BlkCompletion *done, void *opaque);
void blk_discard(BlockBackend *blk, uint64_t offset, uint64_t bytes, BlkCompletion *done,
                 void *opaque);

/* Runs the loop until no request of blk (NULL: of any) is in flight. Main thread. */
void blk_drain(BlockBackend *blk);
/* Synchronous read for start-up code (boot sector, geometry); negative errno on error. */
int blk_pread(BlockBackend *blk, uint64_t offset, void *buf, size_t bytes);

/* The device's side: told when the medium was changed or ejected. */
void blk_set_change_handler(BlockBackend *blk, void (*fn)(void *opaque), void *opaque);
bool blk_change_medium(BlockBackend *blk, const BlkOpenOptions *options, Error **errp);
void blk_eject(BlockBackend *blk);

/* What to do with a failed request, decided by the device through this. */
typedef enum BlkErrorAction { BLK_ERROR_REPORT, BLK_ERROR_IGNORE, BLK_ERROR_STOP } BlkErrorAction;
/* The policy (werror/rerror; default: writes stop on ENOSPC, else report). STOP stops the machine
 * as well. */
BlkErrorAction blk_error_action(BlockBackend *blk, bool is_write, int error);
/* Whoever wants to hear of failed requests, and of what is done about them. */
void blk_set_error_handler(void (*fn)(BlockBackend *blk, bool is_write, int error,
                                      BlkErrorAction action));

typedef struct BlkStats {
    uint64_t rd_bytes, wr_bytes, rd_ops, wr_ops, flush_ops, failed_ops;
    uint64_t rd_ns, wr_ns, flush_ns; /* summed latency */
} BlkStats;
const BlkStats *blk_stats(const BlockBackend *blk);

#endif
