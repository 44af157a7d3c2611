/*
 * The filter "blklogwrites": passes requests on to `file` and keeps a log of every change in `log`,
 * from which the state of the disk at any moment can be made again. The log has the form of Linux's
 * dm-log-writes, so its tools read it (Documentation/admin-guide/device-mapper/log-writes.rst and
 * drivers/md/dm-log-writes.c): a superblock, then entries, each with a head of one log sector and
 * the data behind it. All numbers are little-endian.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "block/driver.h"
#include "block/drivers.h"
#include "block/util.h"

#define LOG_MAGIC 0x6a736677736872ull

enum {
    LOG_VERSION = 1,
    LOG_FLUSH = 1 << 0,
    LOG_FUA = 1 << 1,
    LOG_DISCARD = 1 << 2,
    MAX_LOG_SECTOR = 1 << 23,
    LOG_STEP = 1 << 20, /* by which a log is made longer */
};

typedef struct LogSuper {
    uint64_t magic, version, entries;
    uint32_t sector_size;
} __attribute__((packed)) LogSuper;

typedef struct LogEntry {
    uint64_t sector, sectors, flags, data_bytes;
} __attribute__((packed)) LogEntry;

_Static_assert(sizeof(LogSuper) == 28, "as on disk");
_Static_assert(sizeof(LogEntry) == 32, "as on disk");

typedef struct LogState {
    BlockChild *log;
    uint32_t sector_size;
    uint64_t super_interval; /* entries between two writings of the superblock */
    uint64_t entries, next;  /* next: log sector */
    CoMutex lock;
} LogState;

/* ---- the log ---- */

/* A file grows by itself; a format over one (raw, say) is made longer. */
static int make_room(LogState *s, uint64_t end)
{
    const BlockNode *log = s->log->node;

    if (log->growable || end <= log->size) {
        return 0;
    }
    return bdrv_co_truncate(s->log, ROUND_UP(end, LOG_STEP), false, PREALLOC_OFF, NULL) ? 0
                                                                                        : -ENOSPC;
}

static int write_super(BlockNode *node)
{
    LogState *s = node->state;
    int ret = make_room(s, s->sector_size);
    uint8_t *sector = block_alloc(s->log->node, s->sector_size);
    const LogSuper super = {htole64(LOG_MAGIC), htole64(LOG_VERSION), htole64(s->entries),
                            htole32(s->sector_size)};

    memset(sector, 0, s->sector_size);
    memcpy(sector, &super, sizeof(super));
    ret = ret < 0 ? ret : bdrv_co_pwrite(s->log, 0, s->sector_size, sector, 0);
    free(sector);
    return ret < 0 ? ret : bdrv_co_flush(s->log->node);
}

/* Under the lock, so that entries stand in the order in which requests were done. v NULL: `bytes`
   of zeroes where zeroes is set, else no data. */
static int append(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                  bool zeroes, uint64_t flags)
{
    LogState *s = node->state;
    uint8_t *head = block_alloc(s->log->node, s->sector_size);
    const LogEntry entry = {htole64(offset / s->sector_size), htole64(bytes / s->sector_size),
                            htole64(flags), 0};
    uint64_t place = s->next * s->sector_size + s->sector_size;

    memset(head, 0, s->sector_size);
    memcpy(head, &entry, sizeof(entry));
    int ret = make_room(s, place + (v || zeroes ? bytes : 0));
    ret = ret < 0 ? ret : bdrv_co_pwrite(s->log, place - s->sector_size, s->sector_size, head, 0);
    free(head);
    if (ret == 0 && v) {
        ret = bdrv_co_pwritev(s->log, place, bytes, v, at, 0);
    } else if (ret == 0 && zeroes) {
        ret = bdrv_co_pwrite_zeroes(s->log, place, bytes, 0);
    }
    if (ret < 0) {
        return ret;
    }
    s->next += 1 + (v || zeroes ? bytes / s->sector_size : 0);
    s->entries++;
    bool settles = flags & (LOG_FLUSH | LOG_FUA);
    return settles || s->entries % s->super_interval == 0 ? write_super(node) : 0;
}

static int log_change(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                      bool zeroes, uint64_t flags)
{
    LogState *s = node->state;

    co_mutex_lock(&s->lock);
    int ret = append(node, offset, bytes, v, at, zeroes, flags);
    co_mutex_unlock(&s->lock);
    return ret;
}

/* ---- requests ---- */

static int log_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                         unsigned flags)
{
    return bdrv_co_preadv(node->file, offset, bytes, v, at, flags);
}

static int log_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                          unsigned flags)
{
    int ret = bdrv_co_pwritev(node->file, offset, bytes, v, at, flags);

    return ret < 0
               ? ret
               : log_change(node, offset, bytes, v, at, false, flags & BDRV_REQ_FUA ? LOG_FUA : 0);
}

static int log_co_pwrite_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    int ret = bdrv_co_pwrite_zeroes(node->file, offset, bytes, flags);

    return ret < 0
               ? ret
               : log_change(node, offset, bytes, NULL, 0, true, flags & BDRV_REQ_FUA ? LOG_FUA : 0);
}

static int log_co_pdiscard(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    int ret = bdrv_co_pdiscard(node->file, offset, bytes);

    return ret < 0 ? ret : log_change(node, offset, bytes, NULL, 0, false, LOG_DISCARD);
}

static int log_co_flush(BlockNode *node)
{
    int ret = bdrv_co_flush(node->file->node);

    return ret < 0 ? ret : log_change(node, 0, 0, NULL, 0, false, LOG_FLUSH);
}

static int log_co_block_status(BlockNode *node, bool precise, uint64_t offset, uint64_t bytes,
                               uint64_t *pnum, uint64_t *map, BlockNode **file)
{
    *pnum = bytes;
    *map = offset;
    *file = node->file->node;
    return BDRV_BLOCK_RAW | BDRV_BLOCK_OFFSET_VALID;
}

static bool log_co_truncate(BlockNode *node, uint64_t size, bool exact, BlockPrealloc prealloc,
                            Error **errp)
{
    if (!bdrv_co_truncate(node->file, size, exact, prealloc, errp)) {
        return false;
    }
    node->size = node->file->node->size;
    return true;
}

/* ---- opening ---- */

/* An existing log is gone on with: its end is found by going through it. */
static bool find_end(BlockNode *node, Error **errp)
{
    LogState *s = node->state;
    LogSuper super;
    LogEntry entry;
    uint64_t size = s->log->node->size;

    if (bdrv_co_pread(s->log, 0, sizeof(super), &super, 0) < 0 ||
        le64toh(super.magic) != LOG_MAGIC || le64toh(super.version) != LOG_VERSION) {
        error_set(errp, "blklogwrites: %s is no log to be appended to; leave out log-append",
                  s->log->node->filename);
        return false;
    }
    s->sector_size = le32toh(super.sector_size);
    if (s->sector_size < BLK_SECTOR_SIZE || s->sector_size > MAX_LOG_SECTOR ||
        (s->sector_size & (s->sector_size - 1))) {
        error_set(errp, "blklogwrites: %s is damaged: sectors of %u bytes", s->log->node->filename,
                  s->sector_size);
        return false;
    }
    s->entries = le64toh(super.entries);
    for (uint64_t i = 0; i < s->entries; i++) {
        uint64_t at = s->next * s->sector_size;
        if (at >= size || bdrv_co_pread(s->log, at, sizeof(entry), &entry, 0) < 0 ||
            le64toh(entry.sectors) > size / s->sector_size) {
            error_set(errp, "blklogwrites: %s is damaged: entry %llu", s->log->node->filename,
                      (unsigned long long)i);
            return false;
        }
        s->next += 1 + (le64toh(entry.flags) & LOG_DISCARD ? 0 : le64toh(entry.sectors));
    }
    return true;
}

static bool log_co_open(BlockNode *node, BlockOptions *options, Error **errp)
{
    LogState *s = node->state;
    uint64_t sector_size = BLK_SECTOR_SIZE;
    bool again = false;

    s->super_interval = 4096;
    blkopts_remove(options, "filename");
    if (!blkopts_take_size(options, "log-sector-size", &sector_size, errp) ||
        !blkopts_take_bool(options, "log-append", &again, errp) ||
        !blkopts_take_number(options, "log-super-update-interval", 1, INT32_MAX, &s->super_interval,
                             errp)) {
        return false;
    }
    if (sector_size < BLK_SECTOR_SIZE || sector_size > MAX_LOG_SECTOR ||
        (sector_size & (sector_size - 1))) {
        error_set(errp,
                  "blklogwrites: log-sector-size=%llu is not possible; possible: powers of 2 from "
                  "512 to 8M",
                  (unsigned long long)sector_size);
        return false;
    }
    s->sector_size = (uint32_t)sector_size;
    s->next = 1;
    if (!bdrv_open_child(node, NULL, options, "file", CHILD_FILE, false, &node->file, errp) ||
        !bdrv_open_child(node, NULL, options, "log", CHILD_DATA, false, &s->log, errp) ||
        (again && !find_end(node, errp))) {
        return false;
    }
    if (!again && !node->readonly && write_super(node) < 0) {
        error_set(errp, "blklogwrites: cannot write %s", s->log->node->filename);
        return false;
    }
    const BlockNode *file = node->file->node;
    node->size = file->size;
    node->growable = file->growable;
    node->zero_init = file->zero_init;
    node->request_alignment = MAX(file->request_alignment, s->sector_size);
    node->memory_alignment = file->memory_alignment;
    /* The log's entries are in its sectors; FUA is known to it in any case. */
    node->supported_write_flags = file->supported_write_flags;
    node->supported_zero_flags = file->supported_zero_flags;
    node->discard_alignment = node->zeroes_alignment = node->request_alignment;
    return true;
}

static void log_co_close(BlockNode *node)
{
    if (!node->readonly && write_super(node) < 0) {
        error_report("blklogwrites: cannot write %s",
                     ((LogState *)node->state)->log->node->filename);
    }
}

static const BlockOptionDesc log_options[] = {
    {"file", "NODE", "what lies below"},
    {"log", "NODE", "where the log goes"},
    {"log-sector-size", "SIZE", "unit of the log (512)"},
    {"log-append", "on|off", "go on with a log that is there"},
    {"log-super-update-interval", "N", "entries between two writings of the superblock (4096)"},
    {0},
};

const BlockDriver bdrv_blklogwrites = {
    .name = "blklogwrites",
    .protocol = "blklogwrites",
    .is_filter = true,
    .state_size = sizeof(LogState),
    .open_options = log_options,
    .co_open = log_co_open,
    .co_close = log_co_close,
    .co_preadv = log_co_preadv,
    .co_pwritev = log_co_pwritev,
    .co_pwrite_zeroes = log_co_pwrite_zeroes,
    .co_pdiscard = log_co_pdiscard,
    .co_flush = log_co_flush,
    .co_block_status = log_co_block_status,
    .co_truncate = log_co_truncate,
};
