/*
 * A saved machine as bytes: where things stand in it, and the check of what a file claims.
 *
 *     0        header, one page: SnapshotHeader
 *     4096     chunks of RAM, packed, in any order
 *     ...      state of the devices (hw/vmstate.h)
 *     ...      index: 16 bytes a chunk of RAM
 *     ...      working set: the chunks that were touched first behind the moment of saving, 4 bytes
 * each
 *
 * All numbers are little endian. It stands as the machine state of an internal snapshot of a disk
 * image, or in a file of its own. The header is written last.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SNAPSHOT_FORMAT_H
#define SNAPSHOT_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

enum {
    SNAPSHOT_VERSION = 1,
    SNAPSHOT_HEADER = 4096, /* bytes */
    CHUNK_BITS = 16,
    CHUNK_SIZE = 1 << CHUNK_BITS,
    CHUNK_PAGES = CHUNK_SIZE / 4096,
    CHUNK_ENTRY = 16, /* bytes of the index */
    SNAPSHOT_DISKS = 32,
};

/* What a machine must be like to take the state; 0 behind each text. */
typedef struct SnapshotMachine {
    uint64_t ram_size;  /* -m, bytes */
    uint64_t ram_bytes; /* of the RAM file, with ROMs and video memory */
    uint32_t cpus;
    char board[32];
    char cpu_model[256];
} SnapshotMachine;

/* A disk beside a state in a file of its own: it must be as it was. */
typedef struct SnapshotDisk {
    char id[64];
    uint64_t size, mtime_ns;
} SnapshotDisk;

typedef struct SnapshotHeader {
    uint64_t total; /* bytes of everything */
    uint64_t device_pos, index_pos, working_pos;
    uint32_t device_size, index_size, working_count; /* bytes, bytes, entries */
    uint32_t device_crc, index_crc, working_crc;
    uint64_t clock_ns; /* the guest's */
    uint64_t date_ns;  /* since 1970 */
    SnapshotMachine machine;
    uint32_t disk_count;
    SnapshotDisk disks[SNAPSHOT_DISKS];
} SnapshotHeader;

typedef enum ChunkMethod { CHUNK_PLAIN, CHUNK_ZSTD } ChunkMethod;

/* A chunk whose pages are all zero has no bytes. */
typedef struct Chunk {
    uint64_t pos;
    uint32_t size;
    uint16_t pages; /* a bit each page that is not zero */
    uint8_t method; /* ChunkMethod */
} Chunk;

uint32_t snapshot_chunks(uint64_t ram_bytes);
void snapshot_machine_here(SnapshotMachine *m);
void snapshot_header_encode(const SnapshotHeader *h, uint8_t out[SNAPSHOT_HEADER]);
/* Everything in it is checked but for whether it fits this machine. available: bytes there are. */
bool snapshot_header_decode(const uint8_t in[SNAPSHOT_HEADER], uint64_t available,
                            SnapshotHeader *h, Error **errp);
/* Whether this machine can take it: names what is different. */
bool snapshot_machine_fits(const SnapshotHeader *h, Error **errp);
void chunk_encode(const Chunk *c, uint8_t out[CHUNK_ENTRY]);
/* `in` is the header's index: every entry is checked. chunks has snapshot_chunks() places. */
bool snapshot_index_decode(const SnapshotHeader *h, const uint8_t *in, Chunk *chunks, Error **errp);
uint32_t snapshot_crc(const void *data, size_t size);

/*
 * Packing. `data` are the pages of c->pages one behind the other; out has CHUNK_PACKED_MAX bytes.
 * Sets c's method and size. packer: chunk_packer_new(), one a thread.
 */
enum { CHUNK_PACKED_MAX = CHUNK_SIZE + 1024 };
typedef struct ChunkPacker ChunkPacker;
ChunkPacker *chunk_packer_new(void);
void chunk_packer_free(ChunkPacker *p);
void chunk_pack(ChunkPacker *p, Chunk *c, const uint8_t *data, uint8_t *out);
/* The inverse; false: damaged. */
bool chunk_unpack(ChunkPacker *p, const Chunk *c, const uint8_t *in, uint8_t *data);

static inline unsigned chunk_page_count(const Chunk *c)
{
    return (unsigned)__builtin_popcount(c->pages);
}

#endif
