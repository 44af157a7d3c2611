/*
 * The cache of block/sparse.h, for sparse.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_SPARSE_CACHE_H
#define BLOCK_SPARSE_CACHE_H

#include "block/sparse.h"

enum { SPARSE_SLICE = 4096 }; /* bytes of the pieces into which tables are cut */

typedef struct SparseSlice {
    uint64_t offset;
    uint32_t bytes;
    bool dirty;
    uint8_t *data; /* as in the file */
    struct SparseSlice *hash_next, *newer, *older;
} SparseSlice;

SparseCache *sparse_cache_new(void);
void sparse_cache_free(SparseCache *c);
/* NULL where it is not in the cache. Does not wait; the slice is good until the caller does. */
SparseSlice *sparse_slice_peek(SparseMap *m, uint64_t offset);
/* Reads what is not there. Under the lock; good until the next call. */
int sparse_slice_get(SparseMap *m, uint64_t offset, uint32_t bytes, SparseSlice **slice);
void sparse_slice_dirty(SparseMap *m, SparseSlice *s);

#endif
