/*
 * Dirty bitmaps: which parts of a node's disk were written. A bit stands for a granule of bytes.
 * They live in memory with the node; those that the image's format keeps live in its driver, which
 * marks and stores them itself.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_DIRTY_H
#define BLOCK_DIRTY_H

#include <stdbool.h>
#include <stdint.h>

#include "util/error.h"

struct BlockNode;

typedef struct DirtyBitmap {
    struct BlockNode *node;
    char *name; /* NULL: a job's own */
    unsigned granularity_bits;
    uint64_t granules;
    uint64_t *words;
    bool enabled;
    bool persistent; /* words are the driver's */
    bool busy;       /* a job uses it */
    struct DirtyBitmap *next;
} DirtyBitmap;

/* granularity: a power of 2 from 512 to 2 GB; 0: 64 KB. name NULL: not to be found. Empty. */
DirtyBitmap *dirty_new(struct BlockNode *node, const char *name, uint32_t granularity,
                       Error **errp);
/* One that the image keeps and that is enabled; NULL without an error where there is none. */
DirtyBitmap *dirty_open(struct BlockNode *node, const char *name, Error **errp);
void dirty_free(DirtyBitmap *b);
/* By name, also in the image. NULL with an error. */
DirtyBitmap *dirty_find(struct BlockNode *node, const char *name, Error **errp);
/* With the node. */
void dirty_free_all(struct BlockNode *node);

static inline uint64_t dirty_granularity(const DirtyBitmap *b)
{
    return 1ull << b->granularity_bits;
}

/* Whole granules that the range touches are set; only those that it covers are cleared. */
void dirty_set(DirtyBitmap *b, uint64_t offset, uint64_t bytes);
void dirty_clear(DirtyBitmap *b, uint64_t offset, uint64_t bytes);
bool dirty_get(const DirtyBitmap *b, uint64_t offset);
/* Bytes in dirty granules. */
uint64_t dirty_count(const DirtyBitmap *b);
/* The first dirty granule at or behind `from` and those that follow, up to `most` bytes; false:
 * none. */
bool dirty_next(const DirtyBitmap *b, uint64_t from, uint64_t most, uint64_t *offset,
                uint64_t *bytes);
/* What is set in `from` is set in `to`. */
void dirty_merge(DirtyBitmap *to, const DirtyBitmap *from);
/* A copy of the bits, dirty_granules words long, and back. */
uint64_t *dirty_save(const DirtyBitmap *b);
void dirty_restore(DirtyBitmap *b, const uint64_t *words);

/* Bitmaps that the image keeps; granularity 0: the format's choice. */
bool bdrv_bitmap_add(struct BlockNode *node, const char *name, uint32_t granularity, bool disabled,
                     Error **errp);
bool bdrv_bitmap_remove(struct BlockNode *node, const char *name, Error **errp);

/* For the generic layer: the node was written, has another size. */
void dirty_mark(struct BlockNode *node, uint64_t offset, uint64_t bytes);
void dirty_resized(struct BlockNode *node);

#endif
