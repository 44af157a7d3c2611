/*
 * Sparse images: the write-back cache of table pieces, and the order in which all reaches the file
 * (block/sparse.h).
 *
 * A piece is named by its place in the file. Whoever changes one, or waits while using it, holds
 * the map's lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/sparse-cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/util.h"

enum { CACHE_BYTES = 8 << 20, MAX_SLICES = CACHE_BYTES / SPARSE_SLICE, BUCKETS = 2048 };

struct SparseCache {
    SparseSlice *hash[BUCKETS];
    SparseSlice *newest, *oldest;
    unsigned count, dirty;
};

SparseCache *sparse_cache_new(void)
{
    SparseCache *c = calloc(1, sizeof(*c));

    if (!c) {
        error_exit("out of memory");
    }
    return c;
}

static SparseSlice **bucket(SparseCache *c, uint64_t offset)
{
    return &c->hash[offset * 0x9e3779b97f4a7c15ull >> 53];
}

static void unlink_slice(SparseCache *c, SparseSlice *s)
{
    *(s->older ? &s->older->newer : &c->oldest) = s->newer;
    *(s->newer ? &s->newer->older : &c->newest) = s->older;
}

static void link_newest(SparseCache *c, SparseSlice *s)
{
    s->newer = NULL;
    s->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = s;
    c->newest = s;
}

static void drop(SparseCache *c, SparseSlice *s)
{
    SparseSlice **p = bucket(c, s->offset);

    while (*p != s) {
        p = &(*p)->hash_next;
    }
    *p = s->hash_next;
    unlink_slice(c, s);
    c->count--;
    free(s->data);
    free(s);
}

void sparse_cache_free(SparseCache *c)
{
    while (c && c->oldest) {
        drop(c, c->oldest);
    }
    free(c);
}

SparseSlice *sparse_slice_peek(SparseMap *m, uint64_t offset)
{
    SparseCache *c = m->cache;

    for (SparseSlice *s = *bucket(c, offset); s; s = s->hash_next) {
        if (s->offset == offset) {
            if (s != c->newest) {
                unlink_slice(c, s);
                link_newest(c, s);
            }
            return s;
        }
    }
    return NULL;
}

int sparse_slice_get(SparseMap *m, uint64_t offset, uint32_t bytes, SparseSlice **slice)
{
    SparseCache *c = m->cache;
    SparseSlice *s = sparse_slice_peek(m, offset);

    *slice = s;
    if (s) {
        return s->bytes == bytes ? 0 : -EIO; /* two tables in one place */
    }
    if (c->count >= MAX_SLICES) {
        int ret = c->oldest->dirty ? sparse_settle(m) : 0;
        if (ret < 0) {
            return ret;
        }
        drop(c, c->oldest);
    }
    s = calloc(1, sizeof(*s));
    if (!s || !(s->data = block_try_alloc(m->node, bytes))) {
        free(s);
        return -ENOMEM;
    }
    int ret = bdrv_co_pread(m->file, offset, bytes, s->data, 0);
    if (ret < 0) {
        free(s->data);
        free(s);
        return ret;
    }
    s->offset = offset;
    s->bytes = bytes;
    s->hash_next = *bucket(c, offset);
    *bucket(c, offset) = s;
    link_newest(c, s);
    c->count++;
    *slice = s;
    return 0;
}

void sparse_slice_dirty(SparseMap *m, SparseSlice *s)
{
    m->cache->dirty += !s->dirty;
    s->dirty = true;
}

/* ---- writing ---- */

static int by_offset(const void *a, const void *b)
{
    const SparseSlice *x = *(SparseSlice *const *)a, *y = *(SparseSlice *const *)b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static SparseSlice **dirty_slices(SparseCache *c)
{
    SparseSlice **list = malloc((c->dirty + 1) * sizeof(*list));
    unsigned n = 0;

    for (SparseSlice *s = c->oldest; list && s; s = s->newer) {
        if (s->dirty) {
            list[n++] = s;
        }
    }
    if (list) {
        qsort(list, n, sizeof(*list), by_offset);
    }
    return list;
}

static int log_slices(SparseMap *m, SparseSlice **list, unsigned n)
{
    SparsePiece *pieces;

    if (!m->ops->co_log || !n) {
        return 0;
    }
    pieces = malloc(n * sizeof(*pieces));
    if (!pieces) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < n; i++) {
        pieces[i] = (SparsePiece){list[i]->offset, list[i]->bytes, list[i]->data};
    }
    int ret = m->ops->co_log(m, pieces, n);
    free(pieces);
    return ret;
}

static int write_slices(SparseMap *m, SparseSlice **list, unsigned n)
{
    int ret = 0;

    for (unsigned i = 0; i < n && ret == 0; i++) {
        SparseSlice *s = list[i];
        ret = m->ops->co_write_piece ? m->ops->co_write_piece(m, s->offset, s->data, s->bytes)
                                     : bdrv_co_pwrite(m->file, s->offset, s->bytes, s->data, 0);
        if (ret == 0) {
            s->dirty = false;
            m->cache->dirty--;
        }
    }
    return ret;
}

int sparse_settle(SparseMap *m)
{
    const SparseOps *ops = m->ops;
    unsigned n = m->cache->dirty;

    if (!n && !m->tables_changed) {
        return 0;
    }
    int ret = ops->co_before_barrier ? ops->co_before_barrier(m) : 0;
    ret = ret < 0 ? ret : bdrv_co_flush(m->file->node);
    if (ret < 0) {
        return ret;
    }
    SparseSlice **list = dirty_slices(m->cache);
    if (!list) {
        return -ENOMEM;
    }
    ret = log_slices(m, list, n);
    ret = ret < 0 ? ret : write_slices(m, list, n);
    free(list);
    return ret < 0 || !ops->co_after_tables ? ret : ops->co_after_tables(m);
}
