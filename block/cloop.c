/*
 * The format "cloop", version 2.0: compressed read-only images of the Linux driver of that name, as
 * live CDs had them.
 *
 *     a shell script of 128 bytes; block size and number of blocks, 32 bits each;
 *     a table of number + 1 offsets, 64 bits each; the blocks, each a zlib stream
 *
 * All numbers are big-endian. A block goes from its offset to that of the next one. Versions 0.x
 * (offsets from the end, other compressors) are not known here.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "block/chunks.h"
#include "block/drivers.h"
#include "block/util.h"

#define MAGIC "#!/bin/sh\n#V2.0 Format\n"

enum {
    HEAD_OFFSET = 128,
    TABLE_OFFSET = 136,
    MAX_TABLE = 64 << 20, /* bytes: 512 GB in blocks of 64 KB */
};

typedef struct CloopState {
    ChunkReader reader; /* first */
    uint32_t block, blocks;
    uint64_t *offsets; /* big-endian; blocks + 1 */
} CloopState;

/* A weak sign: it is a shell script after all. */
static int cloop_probe(const uint8_t *head, size_t bytes, const char *filename)
{
    return bytes >= sizeof(MAGIC) && !memcmp(head, MAGIC, sizeof(MAGIC) - 1) ? 2 : 0;
}

static void cloop_find(BlockNode *node, uint64_t offset, Chunk *c)
{
    CloopState *s = node->state;
    uint64_t i = offset / s->block, where = load_be64(&s->offsets[i]);

    *c = (Chunk){.start = i * s->block,
                 .length = s->block,
                 .where = where,
                 .stored = load_be64(&s->offsets[i + 1]) - where,
                 .kind = CHUNK_ZLIB};
}

static bool check_offsets(BlockNode *node, Error **errp)
{
    CloopState *s = node->state;
    uint64_t size = node->file->node->size;

    for (uint32_t i = 0; i < s->blocks; i++) {
        uint64_t from = load_be64(&s->offsets[i]), to = load_be64(&s->offsets[i + 1]);
        if (from > to || to > size || to - from > 2ull * CHUNK_MAX) {
            error_set(errp, "image %s: block %" PRIu32 " lies outside of the file", node->filename,
                      i);
            return false;
        }
    }
    return true;
}

static bool cloop_co_open(BlockNode *node, BlockOptions *options, Error **errp)
{
    CloopState *s = node->state;
    uint8_t head[TABLE_OFFSET];

    if (!bdrv_open_file_child(node, options, errp) || !chunks_check_readonly(node, errp)) {
        return false;
    }
    int ret = bdrv_co_pread(node->file, 0, sizeof(head), head, 0);
    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s: cannot read the header", node->filename);
        return false;
    }
    s->block = load_be32(head + HEAD_OFFSET);
    s->blocks = load_be32(head + HEAD_OFFSET + 4);
    if (!s->block || s->block % BLK_SECTOR_SIZE || s->block > CHUNK_MAX) {
        error_set(errp,
                  "image %s: blocks of %" PRIu32 " bytes are not possible; possible: multiples of "
                  "512 up to 64M",
                  node->filename, s->block);
        return false;
    }
    if (s->blocks > MAX_TABLE / 8 - 1) {
        return bdrv_bad_image(node, "the table of blocks is larger than 64 MB", errp);
    }
    s->offsets = block_try_alloc(node, 8ull * (s->blocks + 1));
    ret = s->offsets
              ? bdrv_co_pread(node->file, TABLE_OFFSET, 8ull * (s->blocks + 1), s->offsets, 0)
              : -ENOMEM;
    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s: cannot read the table of blocks", node->filename);
    }
    if (ret < 0 || !check_offsets(node, errp)) {
        free(s->offsets);
        return false;
    }
    s->reader.find = cloop_find;
    node->size = (uint64_t)s->block * s->blocks;
    node->request_alignment = BLK_SECTOR_SIZE;
    return true;
}

static void cloop_co_close(BlockNode *node)
{
    CloopState *s = node->state;

    chunks_free(&s->reader);
    free(s->offsets);
}

const BlockDriver bdrv_cloop = {
    .name = "cloop",
    .state_size = sizeof(CloopState),
    .probe = cloop_probe,
    .co_open = cloop_co_open,
    .co_close = cloop_co_close,
    .co_preadv = chunks_co_preadv,
    .co_block_status = chunks_co_block_status,
};
