/*
 * vhdx: what its files share. Source: Microsoft, [MS-VHDX] "Virtual Hard Disk v2 (VHDX) File
 * Format".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_VHDX_H
#define BLOCK_VHDX_H

#include "block/sparse.h"

enum {
    VX_GUID = 16, /* bytes */
    VX_MB = 1 << 20,
    VX_SECTOR = 4096, /* of the log, and of what it protects */
    VX_HEADER_1 = 64 << 10,
    VX_HEADER_2 = 128 << 10,
    VX_REGIONS_1 = 192 << 10,
    VX_REGIONS_2 = 256 << 10,
    VX_REGIONS_SIZE = 64 << 10,
    VX_METADATA_TABLE = 64 << 10,

    /* The header. */
    XH_SIGNATURE = 0,
    XH_CHECKSUM = 4,
    XH_SEQUENCE = 8,
    XH_FILE_WRITE = 16,
    XH_DATA_WRITE = 32,
    XH_LOG = 48,
    XH_LOG_VERSION = 64,
    XH_VERSION = 66,
    XH_LOG_LENGTH = 68,
    XH_LOG_OFFSET = 72,
    XH_HEADER = 4096,

    /* Entries of the block table. */
    VX_STATE = 7,
    VX_NOT_PRESENT = 0,
    VX_UNDEFINED = 1,
    VX_ZERO = 2,
    VX_UNMAPPED = 3,
    VX_PRESENT = 6,
    VX_PARTIAL = 7,

    VX_LEAVE_ALLOCATED = 1, /* flags of the file's parameters */
    VX_HAS_PARENT = 2,
    VX_MIN_BLOCK = 1 << 20,
    VX_MAX_BLOCK = 256 << 20,
};
#define VX_OFFSET_MASK  (~((1ull << 20) - 1))
#define VX_MAX_SIZE     (64ull << 40)
#define VX_FILE_MAGIC   "vhdxfile"
#define VX_HEAD_MAGIC   0x64616568u /* "head" */
#define VX_REGION_MAGIC 0x69676572u /* "regi" */

typedef struct VhdxState {
    SparseMap map; /* first */
    uint8_t header[XH_HEADER];
    unsigned current; /* header: 0, 1 */
    uint64_t bat_offset, bat_length, metadata_offset, metadata_length;
    uint64_t log_offset, log_length;
    uint64_t bat_entries, chunk_ratio;
    uint32_t logical_sector;
    bool touched;  /* the header in the file says that somebody writes */
    bool logging;  /* it names our log */
    bool replayed; /* on opening */
    unsigned half; /* of the log, for the next entry */
    uint64_t log_sequence;
} VhdxState;

extern const uint8_t vhdx_guid_bat[VX_GUID], vhdx_guid_metadata[VX_GUID];
extern const uint8_t vhdx_guid_parameters[VX_GUID], vhdx_guid_size[VX_GUID];
extern const uint8_t vhdx_guid_page83[VX_GUID], vhdx_guid_logical[VX_GUID];
extern const uint8_t vhdx_guid_physical[VX_GUID], vhdx_guid_parent[VX_GUID];

uint32_t vhdx_crc32c(uint32_t crc, const void *data, size_t bytes);
/* Of data with the four bytes at `field` taken as zero. */
uint32_t vhdx_checksum(const uint8_t *data, size_t bytes, size_t field);
void vhdx_new_guid(uint8_t *guid);
/* For a disk of so many blocks. */
uint64_t vhdx_bat_entries(uint64_t blocks, uint64_t chunk_ratio);

/* Writes the header, changed in s->header, over the older one and flushes. */
int vhdx_write_header(VhdxState *s, BlockChild *file);
/* Replays what a crash left in the log; read-only images with such a log are refused. */
bool vhdx_replay_log(BlockNode *node, Error **errp);
/* SparseOps.co_log: pieces of the block table go through the log into their places. */
int vhdx_co_log(SparseMap *m, const SparsePiece *pieces, unsigned count);
/* Everything is in its place: the header names no log any more. */
int vhdx_end_log(BlockNode *node);

bool vhdx_co_create(BlockCreate *create, Error **errp);
extern const BlockOptionDesc vhdx_create_options[];
extern const BlockDriver bdrv_vhdx;

#endif
