/*
 * vmdk: what its files share. Source: VMware, "Virtual Disk Format 5.0" (and 1.1).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_VMDK_H
#define BLOCK_VMDK_H

#include "block/sparse.h"

/* The header of a sparse extent; little-endian, sectors of 512 bytes. */
enum {
    VH_MAGIC = 0,
    VH_VERSION = 4,
    VH_FLAGS = 8,
    VH_CAPACITY = 12,
    VH_GRAIN = 20,
    VH_DESC_OFFSET = 28,
    VH_DESC_SIZE = 36,
    VH_GTES = 44,
    VH_RGD = 48,
    VH_GD = 56,
    VH_OVERHEAD = 64,
    VH_UNCLEAN = 72,
    VH_LINE_ENDS = 73, /* "\n \r\n": a transfer as text would change them */
    VH_COMPRESSION = 77,
    VH_HEADER = 512,

    VMDK_SECTOR = 512,
    VMDK_GTES = 512,
    VMDK_GRAIN = 128, /* sectors; as made here */
    VMDK_FLAG_LINE_ENDS = 1 << 0,
    VMDK_FLAG_RGD = 1 << 1,
    VMDK_FLAG_ZERO_GRAIN = 1 << 2,
    VMDK_FLAG_COMPRESSED = 1 << 16,
    VMDK_FLAG_MARKERS = 1 << 17,
    VMDK_DEFLATE = 1,
    VMDK_DESC_OFFSET = 1,
    VMDK_DESC_SECTORS = 20,
    VMDK_MARKER = 12, /* bytes: first sector, length */
    VMDK_MAX_EXTENTS = 8192,
    VMDK_MAX_GD_BYTES = 64 << 20, /* of a grain directory, which is held in memory: 512 TB */
};
#define VMDK_MAGIC     0x564d444bu /* "KDMV" */
#define VMDK_GD_AT_END UINT64_MAX
#define VMDK_NO_PARENT 0xffffffffu

typedef struct VmdkExtent {
    SparseMap map; /* sparse ones: all but `flat` and `zero` */
    BlockChild *file;
    const char *type;          /* "FLAT", "SPARSE", or "" for an image in one file */
    bool flat, zero, readonly; /* zero: it has no file */
    uint64_t start, size;      /* of the disk, bytes */
    uint64_t flat_offset;
    /* Sparse ones. */
    bool compressed, markers, zero_grain, gd_at_end;
    bool tracks_changes; /* as version 3 does, and this program does not */
    uint64_t overhead;   /* bytes in front of the first grain, as made; 0: not known */
    unsigned gtes;
    uint64_t gd_offset, rgd_offset; /* 0: no second directory */
    uint64_t gd_entries;
    uint32_t *gd, *rgd;         /* sectors of tables */
    uint64_t gd_first, gd_last; /* changed ones, while map.tables_changed */
} VmdkExtent;

typedef struct VmdkState {
    VmdkExtent *extents;
    unsigned count;
    char *descriptor;                            /* text */
    uint64_t descriptor_offset, descriptor_room; /* in `file`, bytes */
    char *create_type;
    uint32_t cid, parent_cid;
    bool cid_changed, parent_checked, single;
} VmdkState;

/* Opens the sparse extent that is in x->file; x->start is set. False with an error. */
bool vmdk_open_sparse(BlockNode *node, VmdkExtent *x, Error **errp);
/* Whether a sparse extent may be written; else an error. */
bool vmdk_check_writable(const VmdkExtent *x, Error **errp);
/* No grain is left. */
int vmdk_empty_extent(VmdkExtent *x);
void vmdk_close_extent(VmdkExtent *x);
bool vmdk_co_create(BlockCreate *create, Error **errp);
extern const BlockOptionDesc vmdk_create_options[];
extern const BlockDriver bdrv_vmdk;

#endif
