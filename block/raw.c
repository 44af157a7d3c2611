/*
 * The format "raw": the bytes of the file are the disk, or a part of it (offset=, size=).
 *
 * A disk has whole sectors: where the file ends within one, its rest reads as zeroes and writing
 * there lengthens the file.
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

typedef struct RawState {
    uint64_t offset;
    bool has_size; /* size= given */
} RawState;

/* ---- opening ---- */

static bool check_part(BlockNode *node, uint64_t size, Error **errp)
{
    const RawState *s = node->state;
    uint64_t all = node->file->node->size;

    if (s->offset > all || (s->has_size && size > all - s->offset)) {
        error_set(errp, "image %s has %llu bytes: offset=%llu,size=%llu lies outside",
                  node->filename, (unsigned long long)all, (unsigned long long)s->offset,
                  (unsigned long long)size);
        return false;
    }
    if (s->has_size && size % BLK_SECTOR_SIZE) {
        error_set(errp, "size=%llu: possible are multiples of %d", (unsigned long long)size,
                  BLK_SECTOR_SIZE);
        return false;
    }
    node->size = s->has_size ? size : ROUND_UP(all - s->offset, BLK_SECTOR_SIZE);
    return true;
}

static bool raw_co_open(BlockNode *node, BlockOptions *options, Error **errp)
{
    RawState *s = node->state;
    uint64_t size = 0;

    s->has_size = blkopts_get(options, "size") != NULL;
    if (!bdrv_open_file_child(node, options, errp) ||
        !blkopts_take_size(options, "offset", &s->offset, errp) ||
        !blkopts_take_size(options, "size", &size, errp) || !check_part(node, size, errp)) {
        return false;
    }
    BlockNode *file = node->file->node;
    /* A disk that does not end with a block of the file's: the file's node completes that one,
     * which this disk must not grow by. */
    node->request_alignment =
        (s->offset | node->size) % file->request_alignment ? 1 : file->request_alignment;
    if (node->probed) {
        /* A head that is written by bytes is another format's as a whole: io.c sees sectors. */
        node->request_alignment = MAX(node->request_alignment, BLK_SECTOR_SIZE);
    }
    node->memory_alignment = file->memory_alignment;
    node->max_transfer = file->max_transfer;
    node->supported_write_flags = file->supported_write_flags;
    node->supported_zero_flags =
        BDRV_REQ_MAY_UNMAP | BDRV_REQ_NO_FALLBACK | file->supported_zero_flags;
    node->zero_init = file->zero_init;
    return true;
}

/* ---- requests ---- */

static int raw_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                         unsigned flags)
{
    RawState *s = node->state;

    return bdrv_co_preadv(node->file, s->offset + offset, bytes, v, at, flags);
}

static int raw_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                          unsigned flags)
{
    RawState *s = node->state;

    return bdrv_co_pwritev(node->file, s->offset + offset, bytes, v, at, flags);
}

static int raw_co_pwrite_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    RawState *s = node->state;

    return bdrv_co_pwrite_zeroes(node->file, s->offset + offset, bytes, flags);
}

static int raw_co_pdiscard(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    RawState *s = node->state;

    return bdrv_co_pdiscard(node->file, s->offset + offset, bytes);
}

static int raw_co_block_status(BlockNode *node, bool precise, uint64_t offset, uint64_t bytes,
                               uint64_t *pnum, uint64_t *map, BlockNode **file)
{
    RawState *s = node->state;

    *pnum = bytes;
    *map = s->offset + offset;
    *file = node->file->node;
    return BDRV_BLOCK_RAW | BDRV_BLOCK_OFFSET_VALID;
}

static int raw_co_get_info(BlockNode *node, BlockInfo *info)
{
    return 0; /* has no clusters, and is always clean */
}

static bool raw_co_truncate(BlockNode *node, uint64_t size, bool exact, BlockPrealloc prealloc,
                            Error **errp)
{
    RawState *s = node->state;

    if (s->has_size) {
        error_set(errp, "image %s: a part given by size= cannot change its size", node->filename);
        return false;
    }
    if (!bdrv_co_truncate(node->file, s->offset + size, exact, prealloc, errp)) {
        return false;
    }
    node->size = ROUND_UP(node->file->node->size - s->offset, BLK_SECTOR_SIZE);
    if (!exact) {
        node->size = MIN(node->size, size);
    }
    return true;
}

/* ---- creating ---- */

static const BlockOptionDesc raw_create_options[] = {
    {"size", "SIZE", "size of the disk"},
    {"preallocation", "off|falloc|full",
     "storage from the beginning: off, falloc (reserved), full (written)"},
    {0},
};

static bool raw_co_create(BlockCreate *create, Error **errp)
{
    static const char *const modes[] = {"off", "falloc", "full", NULL};
    static const BlockPrealloc prealloc[] = {PREALLOC_OFF, PREALLOC_FALLOC, PREALLOC_FULL};
    int mode = 0;

    if (!blkopts_take_word(create->options, "preallocation", modes, &mode, errp)) {
        return false;
    }
    create->expected = create->size;
    BlockChild *root = bdrv_create_attach(create, BLK_PERM_WRITE | BLK_PERM_RESIZE, errp);
    bool ok = root && bdrv_co_truncate(root, create->size, false, prealloc[mode], errp);
    bdrv_root_detach(root);
    return ok;
}

static bool raw_measure(BlockOptions *options, BlockNode *source, uint64_t size,
                        BlockMeasure *measure, Error **errp)
{
    blkopts_remove(options, "preallocation");
    measure->required = measure->fully_allocated =
        source ? source->size : ROUND_UP(size, BLK_SECTOR_SIZE);
    return true;
}

static const BlockOptionDesc raw_options[] = {
    {"offset", "BYTES", "where the disk begins in the file"},
    {"size", "BYTES", "how long it is"},
    {0},
};

const BlockDriver bdrv_raw = {
    .name = "raw",
    .state_size = sizeof(RawState),
    .open_options = raw_options,
    .create_options = raw_create_options,
    .co_open = raw_co_open,
    .co_create = raw_co_create,
    .co_preadv = raw_co_preadv,
    .co_pwritev = raw_co_pwritev,
    .co_pwrite_zeroes = raw_co_pwrite_zeroes,
    .co_pdiscard = raw_co_pdiscard,
    .co_block_status = raw_co_block_status,
    .co_truncate = raw_co_truncate,
    .co_get_info = raw_co_get_info,
    .measure = raw_measure,
};
