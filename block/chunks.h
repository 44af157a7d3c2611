/*
 * Read-only images made of chunks that are compressed by themselves (cloop, dmg): finding the
 * chunk is the format's part, unpacking and keeping some of them unpacked is here.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_CHUNKS_H
#define BLOCK_CHUNKS_H

#include "block/driver.h"

/* A chunk is in memory as a whole when it is unpacked. */
enum { CHUNK_MAX = 64 << 20 };

typedef enum ChunkKind { CHUNK_ZERO, CHUNK_RAW, CHUNK_ZLIB, CHUNK_BZIP2 } ChunkKind;

typedef struct Chunk {
    uint64_t start, length; /* on the disk; length not 0 */
    uint64_t where;         /* in the file */
    uint64_t stored;        /* bytes there */
    ChunkKind kind;
} Chunk;

enum { CHUNK_SLOTS = 2 };

/* At the start of a driver's state. */
typedef struct ChunkReader {
    /* What holds the byte at offset, which lies within the disk. */
    void (*find)(BlockNode *node, uint64_t offset, Chunk *chunk);
    CoMutex lock;
    struct {
        uint64_t start;
        uint8_t *data; /* NULL: free */
        uint64_t used;
    } slots[CHUNK_SLOTS];
    uint64_t uses;
} ChunkReader;

/* For the driver's table. */
int chunks_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                     unsigned flags);
int chunks_co_block_status(BlockNode *node, bool precise, uint64_t offset, uint64_t bytes,
                           uint64_t *pnum, uint64_t *map, BlockNode **file);
void chunks_free(ChunkReader *r);
/* For open: false with an error where the image is wanted for writing. */
bool chunks_check_readonly(BlockNode *node, Error **errp);

#endif
