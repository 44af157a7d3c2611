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

/* What to do with a failed request, decided by the device through blk_error_action(). */
typedef enum BlkErrorAction { BLK_ERROR_REPORT, BLK_ERROR_IGNORE, BLK_ERROR_STOP } BlkErrorAction;
/* What a drive was told: report, ignore, stop, enospc (stop when the host's disk is full, else
 * report). */
typedef enum BlkErrorPolicy {
    BLK_ON_ERROR_DEFAULT,
    BLK_ON_ERROR_REPORT,
    BLK_ON_ERROR_IGNORE,
    BLK_ON_ERROR_STOP,
    BLK_ON_ERROR_ENOSPC
} BlkErrorPolicy;

/* Bytes or requests a second: on average, and in bursts for `length` seconds. 0: no limit; no bursts
 * beyond a tenth of a second's worth; 1 second. */
typedef struct BlkRate {
    uint64_t avg, max, length;
} BlkRate;

enum {
    BLK_BPS_TOTAL,
    BLK_BPS_READ,
    BLK_BPS_WRITE,
    BLK_IOPS_TOTAL,
    BLK_IOPS_READ,
    BLK_IOPS_WRITE,
    BLK_LIMITS
};
typedef struct BlkLimits {
    BlkRate rate[BLK_LIMITS];
    uint64_t iops_size; /* bytes; a larger request counts as several. 0: as one */
} BlkLimits;

struct BlockOptions;

typedef struct BlkOpenOptions {
    const char *file;   /* path; may be NULL for a drive without medium */
    const char *format; /* "raw", or NULL: probe */
    bool readonly;
    bool snapshot;     /* writes go to a temporary overlay that is thrown away */
    bool cdrom;        /* media=cdrom: read-only, medium may change */
    bool writethrough; /* each write is on stable storage when it completes */
    unsigned flags;    /* BDRV_O_ of block/node.h: how the host's cache is used, discards */
    const struct BlockOptions *options; /* more options of the node; NULL: none */
    const char *node;                   /* an existing node by name, in place of a file */
    BlkErrorPolicy on_read_error, on_write_error;
    BlkLimits limits;
    const char *throttle_group; /* drives of one share its limits; NULL: by itself */
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
/* For a device: a node that is named in place of a drive gets a backend. */
BlockBackend *blk_find_for_device(const char *id);
void blk_each(void (*fn)(BlockBackend *blk, void *opaque), void *opaque);

const char *blk_id(const BlockBackend *blk);
const char *blk_file(const BlockBackend *blk); /* NULL: no medium */
const char *blk_format(const BlockBackend *blk);
uint64_t blk_size(const BlockBackend *blk); /* bytes */
bool blk_readonly(const BlockBackend *blk);
bool blk_writethrough(const BlockBackend *blk); /* each write is flushed */
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
/* What the guest does to a removable drive, for drives of the host's; others take no notice. */
void blk_move_tray(BlockBackend *blk, bool out);
void blk_lock_medium(BlockBackend *blk, bool lock);
bool blk_medium_locked(const BlockBackend *blk);
/* Where the guest has locked the door it is asked to give up the medium, and that is an error, unless forced. */
bool blk_may_eject(BlockBackend *blk, bool force, Error **errp);
/* The device's side: told that somebody wants the medium. */
void blk_set_eject_handler(BlockBackend *blk, void (*fn)(void *opaque), void *opaque);

/* The policy (werror/rerror; default: writes stop on ENOSPC, else report). STOP stops the machine
 * as well. */
BlkErrorAction blk_error_action(BlockBackend *blk, bool is_write, int error);
/* The device's, once for a request that has failed for good and before it acts: for who wants to hear of it. */
void blk_tell_error(BlockBackend *blk, bool is_write, int error, BlkErrorAction action);
/* "ok"; or since a failed request stopped the machine and until one goes well: "nospace", "failed". */
const char *blk_io_status(const BlockBackend *blk);
/* Whoever wants to hear of failed requests, and of what is done about them. */
void blk_set_error_handler(void (*fn)(BlockBackend *blk, bool is_write, int error,
                                      BlkErrorAction action));

typedef enum BlkOp { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_OPS } BlkOp;

/* By BlkOp. bytes and done: of those that went well; ns: summed latency of all. */
typedef struct BlkStats {
    uint64_t bytes[BLK_OPS], done[BLK_OPS], failed[BLK_OPS], ns[BLK_OPS];
    int64_t last; /* CLOCK_HOST, when the last ended; 0: there was none */
} BlkStats;
const BlkStats *blk_stats(const BlockBackend *blk);

/*
 * They hold for requests that wait already, too, and for all drives of the group. group NULL: the one it is in, or
 * that of its own name. None at all: it leaves its group. False where they make no sense together.
 */
bool blk_set_limits(BlockBackend *blk, const BlkLimits *limits, const char *group, Error **errp);
/* All 0 where there are none. */
const BlkLimits *blk_limits(const BlockBackend *blk);
const char *blk_throttle_group(const BlockBackend *blk); /* NULL: has no limits */
/* What the guest wrote since `snapshot=on`, or into an image with a backing file, goes into the
 * backing file. */
bool blk_commit(BlockBackend *blk, Error **errp);
bool blk_has_backing(const BlockBackend *blk);
/* A job has put other nodes below drives: their names are looked at anew. */
void blk_refresh_all(void);
/* A new size for the medium; a multiple of BLK_SECTOR_SIZE. */
bool blk_resize(BlockBackend *blk, uint64_t size, Error **errp);
/* From now on the guest writes to a new image `file` of `format` (NULL: qcow2) over the present
 * one. */
bool blk_snapshot(BlockBackend *blk, const char *file, const char *format, bool reuse,
                  Error **errp);
/* The same; node_name: the new node's, NULL: none. */
bool blk_snapshot_as(BlockBackend *blk, const char *file, const char *format, bool reuse,
                     const char *node_name, Error **errp);

#endif
