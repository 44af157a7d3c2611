/*
 * Chunks of read-only compressed images: unpacked by worker threads, the last few are kept.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/chunks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "block/util.h"
#include "config.h"
#include "util/worker.h"

#ifdef CONFIG_BZIP2
#include <bzlib.h>
#endif

typedef struct Unpack {
    WorkItem item;
    Coroutine *co;
    ChunkKind kind;
    uint8_t *in, *out;
    size_t in_bytes, out_bytes;
    int ret;
} Unpack;

static int unpack_zlib(Unpack *u)
{
    uLongf bytes = u->out_bytes;

    return uncompress(u->out, &bytes, u->in, u->in_bytes) == Z_OK && bytes == u->out_bytes ? 0
                                                                                           : -EIO;
}

static int unpack_bzip2(Unpack *u)
{
#ifdef CONFIG_BZIP2
    unsigned bytes = (unsigned)u->out_bytes;

    return BZ2_bzBuffToBuffDecompress((char *)u->out, &bytes, (char *)u->in, (unsigned)u->in_bytes,
                                      0, 0) == BZ_OK &&
                   bytes == u->out_bytes
               ? 0
               : -EIO;
#else
    return -ENOTSUP;
#endif
}

static void unpack(WorkItem *item)
{
    Unpack *u = (Unpack *)item;

    u->ret = u->kind == CHUNK_ZLIB ? unpack_zlib(u) : unpack_bzip2(u);
}

static void unpacked(WorkItem *item)
{
    coroutine_wake(((Unpack *)item)->co);
}

/* Under the lock: the slot that holds the chunk unpacked. */
static int get_slot(BlockNode *node, ChunkReader *r, const Chunk *chunk, uint8_t **data)
{
    unsigned oldest = 0;

    for (unsigned i = 0; i < CHUNK_SLOTS; i++) {
        if (r->slots[i].data && r->slots[i].start == chunk->start) {
            r->slots[i].used = ++r->uses;
            *data = r->slots[i].data;
            return 0;
        }
        oldest = r->slots[i].used < r->slots[oldest].used ? i : oldest;
    }
    free(r->slots[oldest].data);
    r->slots[oldest].data = NULL;
    Unpack u = {.item = {.work = unpack, .done = unpacked},
                .co = coroutine_self(),
                .kind = chunk->kind,
                .in = block_try_alloc(node, chunk->stored),
                .out = block_try_alloc(node, chunk->length),
                .in_bytes = chunk->stored,
                .out_bytes = chunk->length};
    u.ret =
        u.in && u.out ? bdrv_co_pread(node->file, chunk->where, chunk->stored, u.in, 0) : -ENOMEM;
    if (u.ret == 0) {
        worker_compute(&u.item);
        coroutine_yield();
    }
    free(u.in);
    if (u.ret < 0) {
        free(u.out);
        return u.ret;
    }
    r->slots[oldest].data = *data = u.out;
    r->slots[oldest].start = chunk->start;
    r->slots[oldest].used = ++r->uses;
    return 0;
}

/* A raw chunk may be stored shorter than it is. */
static int read_raw(BlockNode *node, const Chunk *c, uint64_t skip, uint64_t n, IoVector *v,
                    size_t at)
{
    uint64_t there = skip < c->stored ? MIN(n, c->stored - skip) : 0;

    iov_fill(v, at + there, 0, n - there);
    return there ? bdrv_co_preadv(node->file, c->where + skip, there, v, at, 0) : 0;
}

int chunks_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                     unsigned flags)
{
    ChunkReader *r = node->state;
    int ret = 0;

    while (bytes && ret == 0) {
        Chunk c;
        uint8_t *data = NULL;
        r->find(node, offset, &c);
        uint64_t skip = offset - c.start, n = MIN(bytes, c.length - skip);
        if (c.kind == CHUNK_ZERO) {
            iov_fill(v, at, 0, n);
        } else if (c.kind == CHUNK_RAW) {
            ret = read_raw(node, &c, skip, n, v, at);
        } else {
            co_mutex_lock(&r->lock);
            ret = get_slot(node, r, &c, &data);
            if (ret == 0) {
                iov_from_buf(v, at, data + skip, n);
            }
            co_mutex_unlock(&r->lock);
        }
        offset += n;
        at += n;
        bytes -= n;
    }
    return ret;
}

int chunks_co_block_status(BlockNode *node, bool precise, uint64_t offset, uint64_t bytes,
                           uint64_t *pnum, uint64_t *map, BlockNode **file)
{
    const ChunkReader *r = node->state;
    Chunk c;

    r->find(node, offset, &c);
    *pnum = MIN(bytes, c.length - (offset - c.start));
    if (c.kind == CHUNK_ZERO) {
        return BDRV_BLOCK_ZERO;
    }
    if (c.kind == CHUNK_RAW && c.stored >= c.length) {
        *map = c.where + (offset - c.start);
        *file = node->file->node;
        return BDRV_BLOCK_DATA | BDRV_BLOCK_OFFSET_VALID;
    }
    return BDRV_BLOCK_DATA | (c.kind == CHUNK_RAW ? 0 : BDRV_BLOCK_COMPRESSED);
}

void chunks_free(ChunkReader *r)
{
    for (unsigned i = 0; i < CHUNK_SLOTS; i++) {
        free(r->slots[i].data);
    }
}

bool chunks_check_readonly(BlockNode *node, Error **errp)
{
    if (!node->readonly && !(node->flags & BDRV_O_AUTO_READONLY)) {
        error_set(errp, "image %s: format %s can only be read; add readonly=on or snapshot=on",
                  node->filename, node->driver->name);
        return false;
    }
    node->readonly = true;
    return true;
}
