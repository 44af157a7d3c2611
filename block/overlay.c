/*
 * The temporary overlay of snapshot=on: writes go to a sparse file without a name, of the disk's
 * size and at the disk's own offsets; a bitmap in memory says which sectors lie there. Both vanish
 * at close.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/block.h"
#include "block/driver.h"
#include "block/drivers.h"
#include "block/util.h"

typedef struct OverlayState {
    uint8_t *written; /* a bit a sector */
} OverlayState;

static bool is_written(const OverlayState *o, uint64_t sector)
{
    return o->written[sector / 8] & (1 << sector % 8);
}

/* The bytes from offset on that lie in one place. */
static uint64_t run_length(const OverlayState *o, uint64_t offset, uint64_t bytes, bool *written)
{
    uint64_t sector = offset / BLK_SECTOR_SIZE, end = sector + bytes / BLK_SECTOR_SIZE, s = sector;

    *written = is_written(o, sector);
    while (s < end && is_written(o, s) == *written) {
        s++;
    }
    return (s - sector) * BLK_SECTOR_SIZE;
}

static int overlay_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v,
                             size_t at, unsigned flags)
{
    OverlayState *o = node->state;

    while (bytes) {
        bool written;
        uint64_t n = run_length(o, offset, bytes, &written);
        int ret = bdrv_co_preadv(written ? node->file : node->backing, offset, n, v, at, 0);
        if (ret < 0) {
            return ret;
        }
        offset += n;
        at += n;
        bytes -= n;
    }
    return 0;
}

static int overlay_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v,
                              size_t at, unsigned flags)
{
    OverlayState *o = node->state;
    int ret = bdrv_co_pwritev(node->file, offset, bytes, v, at, 0);

    for (uint64_t s = offset / BLK_SECTOR_SIZE; ret == 0 && s < (offset + bytes) / BLK_SECTOR_SIZE;
         s++) {
        o->written[s / 8] |= 1 << s % 8;
    }
    return ret;
}

static int overlay_co_block_status(BlockNode *node, bool precise, uint64_t offset, uint64_t bytes,
                                   uint64_t *pnum, uint64_t *map, BlockNode **file)
{
    bool written;

    *pnum = run_length(node->state, offset, bytes, &written);
    *map = offset;
    *file = node->file->node;
    return written ? BDRV_BLOCK_DATA | BDRV_BLOCK_OFFSET_VALID : 0;
}

static int overlay_co_make_empty(BlockNode *node)
{
    OverlayState *o = node->state;

    memset(o->written, 0, node->size / BLK_SECTOR_SIZE / 8 + 1);
    return 0;
}

/* Opened by name and unlinked at once. */
static bool open_temporary(BlockNode *node, Error **errp)
{
    const char *dir = getenv("TMPDIR");
    char path[PATH_MAX];
    BlockOptions *options = blkopts_new();

    dir = dir && *dir ? dir : "/var/tmp";
    if (snprintf(path, sizeof(path), "%s/vole-snapshot-XXXXXX", dir) >= (int)sizeof(path)) {
        error_set(errp, "the directory's name in TMPDIR is too long");
        blkopts_free(options);
        return false;
    }
    int fd = mkstemp(path);
    if (fd < 0) {
        error_set_errno(errp, errno, "cannot make a temporary file for snapshot=on in %s", dir);
        blkopts_free(options);
        return false;
    }
    close(fd);
    /* What is thrown away at exit need not reach a disk. */
    blkopts_set(options, "file.filename", path);
    blkopts_set(options, "file.driver", "file");
    blkopts_set(options, "file.cache.no-flush", "on");
    bool ok = bdrv_open_child(node, NULL, options, "file", CHILD_FILE, false, &node->file, errp);
    unlink(path);
    blkopts_free(options);
    return ok;
}

static bool overlay_co_open(BlockNode *node, BlockOptions *options, Error **errp)
{
    OverlayState *o = node->state;

    if (!bdrv_open_child(node, NULL, options, "backing", CHILD_BACKING, false, &node->backing,
                         errp)) {
        return false;
    }
    node->size = node->backing->node->size;
    node->request_alignment = BLK_SECTOR_SIZE;
    if (!open_temporary(node, errp) ||
        !bdrv_co_truncate(node->file, node->size, false, PREALLOC_OFF, errp)) {
        return false;
    }
    /* Untouched pages of the bitmap cost nothing, so its full size is fine for any disk. */
    o->written = calloc(1, node->size / BLK_SECTOR_SIZE / 8 + 1);
    if (!o->written) {
        error_set(errp, "out of memory");
    }
    return o->written != NULL;
}

static void overlay_co_close(BlockNode *node)
{
    OverlayState *o = node->state;

    free(o->written);
}

const BlockDriver bdrv_overlay = {
    .name = "overlay",
    .internal = true,
    .state_size = sizeof(OverlayState),
    .co_open = overlay_co_open,
    .co_close = overlay_co_close,
    .co_preadv = overlay_co_preadv,
    .co_pwritev = overlay_co_pwritev,
    .co_block_status = overlay_co_block_status,
    .co_make_empty = overlay_co_make_empty,
};
