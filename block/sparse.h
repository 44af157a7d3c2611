/*
 * Sparse images: disks cut into clusters that stand anywhere in a file, found through tables. What
 * qcow, vdi, vpc, vmdk, parallels and vhdx have in common: requests, a write-back cache of table
 * pieces, allocation, the order of writes. A format says where its tables are and what an entry
 * means.
 *
 * **The write order.** A new cluster gets its data, and what surrounds it, at a place in the file
 * that nothing points to. Then its entry changes, in the cache. Entries reach the file on a flush
 * (or when the cache is full): first the file is flushed, then the pieces of tables are written.
 * So no entry in a file leads to data that is not there, whatever moment a program or a machine
 * stops at; space may be lost, nothing else. Tables themselves are written as zeroes before
 * anything points to them.
 *
 * Clusters never move and are not given back, so what was looked up stays true for data. An entry
 * in the cache is the truth: who finds one there need not take the lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_SPARSE_H
#define BLOCK_SPARSE_H

#include <stdbool.h>
#include <stdint.h>

#include "block/driver.h"

typedef struct SparseMap SparseMap;
typedef struct SparseCache SparseCache;
typedef struct SparseAlloc SparseAlloc;
typedef struct SparsePiece SparsePiece;

typedef enum SparseKind {
    SPARSE_HOLE,   /* the backing file shows, or zeroes */
    SPARSE_ZERO,   /* zeroes, whatever lies behind */
    SPARSE_DATA,   /* at `host` of the file */
    SPARSE_PACKED, /* compressed: `packed` bytes at `host` */
    SPARSE_BAD,    /* an entry that cannot be */
} SparseKind;

typedef struct SparseEntry {
    SparseKind kind;
    uint64_t host, packed;
} SparseEntry;

/* The table an entry stands in: its place in the file, how many entries it has, which it is. */
typedef struct SparseTable {
    uint64_t offset; /* 0: there is no table, so all its clusters are holes */
    uint64_t entries, index;
} SparseTable;

/* Functions named co_ run under the map's lock, but for co_unpack and co_pack. 0 or a negative
 * errno. */
typedef struct SparseOps {
    uint32_t entry_size; /* bytes */
    /* make: one that is not there is made; otherwise this does not wait. */
    int (*co_table)(SparseMap *m, uint64_t cluster, bool make, SparseTable *t);
    void (*get)(const SparseMap *m, const uint8_t *entry, uint64_t cluster, SparseEntry *e);
    void (*put)(const SparseMap *m, uint8_t *entry, const SparseEntry *e);
    /* A place for *count clusters in a row, or for fewer: *count then says how many. NULL: at the
     * end of the file. */
    int (*co_alloc)(SparseMap *m, uint64_t *count, uint64_t *host);
    /* What co_alloc() gave has not been used. May be NULL: it is lost. */
    void (*release)(SparseMap *m, uint64_t host, uint64_t count);
    /* Before data in an existing cluster is changed. May be NULL. Without the lock. */
    int (*co_before_write)(SparseMap *m, uint64_t host, uint64_t bytes);
    /* The cluster that e packs, whole, into out. */
    int (*co_unpack)(SparseMap *m, const SparseEntry *e, uint64_t cluster, uint8_t *out);
    /* Packs a cluster into out, which holds sparse_pack_max() bytes; gives the bytes, -ENOSPC where
     * packing does not pay. */
    int64_t (*co_pack)(SparseMap *m, uint64_t cluster, const uint8_t *in, uint8_t *out);
    /* On the way to the file, each may be NULL: before the barrier; between it and the tables
     * (`pieces` are about to be written); a piece (NULL: it goes to its place); behind the tables.
     */
    int (*co_before_barrier)(SparseMap *m);
    int (*co_log)(SparseMap *m, const SparsePiece *pieces, unsigned count);
    int (*co_write_piece)(SparseMap *m, uint64_t offset, const uint8_t *data, uint32_t bytes);
    int (*co_after_tables)(SparseMap *m);
} SparseOps;

struct SparsePiece {
    uint64_t offset;
    uint32_t bytes;
    const uint8_t *data;
};

/* Set by the format before sparse_init(); a driver with one map has it at the start of its state.
 */
struct SparseMap {
    const SparseOps *ops;
    void *opaque;
    BlockNode *node;      /* the disk, and its backing file */
    BlockChild *file;     /* where clusters and tables are */
    uint64_t start, size; /* of the disk: the part that this map shows */
    uint64_t cluster;     /* bytes; a power of 2 unless the format divides by itself */
    uint64_t data_start;  /* no cluster lies before this place of the file */
    uint64_t align;       /* of new clusters in the file */
    uint64_t packed_align;
    bool always_packed;  /* writes are packed, whoever does them */
    bool backing;        /* holes show the backing file, if there is one */
    bool recurse;        /* holes of the file are worth looking for */
    int hole_status;     /* what co_block_status says of holes */
    uint64_t end;        /* where the file's unused part begins */
    bool tables_changed; /* the format has something for co_after_tables() */

    /* This file's. */
    uint64_t zero_from; /* what lies behind reads as zeroes as long as nobody has used it */
    CoMutex lock;
    SparseAlloc *allocs;
    SparseCache *cache;
    bool corrupt_told;
};

/* end: 0 takes the file's. */
void sparse_init(SparseMap *m, uint64_t end);
void sparse_free(SparseMap *m);
uint64_t sparse_pack_max(const SparseMap *m);

int sparse_preadv(SparseMap *m, uint64_t offset, uint64_t bytes, IoVector *v, size_t at);
int sparse_pwritev(SparseMap *m, uint64_t offset, uint64_t bytes, IoVector *v, size_t at);
/* Compressed, cluster by cluster; parts of clusters are completed. */
int sparse_pwritev_packed(SparseMap *m, uint64_t offset, uint64_t bytes, IoVector *v, size_t at);
int sparse_pwrite_zeroes(SparseMap *m, uint64_t offset, uint64_t bytes, unsigned flags);
int sparse_flush(SparseMap *m);
/* What stands at offset, and for how many bytes it is so. */
int sparse_lookup(SparseMap *m, uint64_t offset, uint64_t bytes, SparseEntry *e, uint64_t *n);
/* A cluster's entry as it is, also a bad one: for checks. */
int sparse_entry(SparseMap *m, uint64_t cluster, SparseEntry *e);
/* Changes an entry. The lock is not held. */
int sparse_set_entry(SparseMap *m, uint64_t cluster, const SparseEntry *e);
/* Writes `bytes` of zeroes for a new table at the end of the file; under the lock. */
int sparse_new_table(SparseMap *m, uint64_t bytes, uint64_t *offset);
/* Tables and data, in their order. Under the lock. */
int sparse_settle(SparseMap *m);

/* For the table of a driver whose state begins with its only map. */
int sparse_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                     unsigned flags);
int sparse_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                      unsigned flags);
int sparse_co_pwrite_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags);
int sparse_co_flush(BlockNode *node);
int sparse_co_block_status(BlockNode *node, bool precise, uint64_t offset, uint64_t bytes,
                           uint64_t *pnum, uint64_t *map, BlockNode **file);
int sparse_block_status(SparseMap *m, uint64_t offset, uint64_t bytes, uint64_t *pnum,
                        uint64_t *map, BlockNode **file);
void sparse_co_close(BlockNode *node);
int sparse_co_get_info(BlockNode *node, BlockInfo *info);

/* ---- compression on worker threads; from coroutines ---- */
typedef enum PackFormat { PACK_DEFLATE, PACK_ZLIB } PackFormat;
/* Bytes of output, -ENOSPC where it does not fit, or another negative errno. window: of the
 * deflate stream, as a power of 2; 15 is all of it. */
int64_t pack_compress(PackFormat format, int window, const uint8_t *in, size_t in_size,
                      uint8_t *out, size_t out_size);
int64_t pack_decompress(PackFormat format, const uint8_t *in, size_t in_size, uint8_t *out,
                        size_t out_size);

#endif
