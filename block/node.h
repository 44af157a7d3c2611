/*
 * Block nodes from their users' side: opening, reading, writing, asking. Users are the
 * BlockBackend, jobs and vole-img; drivers see driver.h as well.
 *
 * Functions named bdrv_co_ run in a coroutine. All others may be called from one or from outside;
 * then they turn the main loop until they are done. Offsets and sizes are bytes. Requests need no
 * alignment: what the driver cannot do is read, changed and written back under a lock on the range.
 * I/O functions give 0 or a negative errno.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_NODE_H
#define BLOCK_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "block/blkopts.h"
#include "util/error.h"
#include "util/iovec.h"

typedef struct BlockNode BlockNode;
typedef struct BlockDriver BlockDriver;
typedef struct BlockChild BlockChild;
typedef struct ChildUser ChildUser;
typedef struct InfoTree InfoTree;

/* ---- opening ---- */
enum {
    BDRV_O_RDWR = 1 << 0,
    BDRV_O_DIRECT = 1 << 1,   /* past the host's page cache */
    BDRV_O_NO_FLUSH = 1 << 2, /* flushes are not passed to the host */
    BDRV_O_WRITETHROUGH =
        1 << 3,            /* each write of users outside of the graph is followed by a flush */
    BDRV_O_UNMAP = 1 << 4, /* discards reach the host */
    BDRV_O_NO_BACKING = 1 << 5,  /* the backing file is not opened */
    BDRV_O_PROTOCOL = 1 << 6,    /* the file itself, no format over it */
    BDRV_O_CHECK = 1 << 7,       /* for co_check(): damage that open would refuse is let through */
    BDRV_O_FORCE_SHARE = 1 << 8, /* whoever else writes it; read-only */
    BDRV_O_AUTO_READONLY = 1 << 9, /* RDWR if it may be written, else read-only */
    BDRV_O_NO_IO = 1 << 10,        /* only to look at the header */
    BDRV_O_RESIZE = 1 << 11,       /* the user will change the size */
    /* What the copy of a disk, or an image that takes its place, takes over from it. */
    BDRV_O_TAKEN_OVER = BDRV_O_DIRECT | BDRV_O_NO_FLUSH | BDRV_O_UNMAP,
};

/* What a parent does with a child; bit n is byte 100 + n of the locks on a file (file-lock.c). */
enum {
    BLK_PERM_READ = 1 << 0,
    BLK_PERM_WRITE = 1 << 1,
    BLK_PERM_WRITE_UNCHANGED = 1 << 2, /* writes that do not change what it shows */
    BLK_PERM_RESIZE = 1 << 3,
    BLK_PERM_ALL = 15,
};

/*
 * Opens an image by file name (a path, "nbd://...", "json:{...}", "node:NAME" is not one; NULL: by
 * options alone), or finds the node that options' "node" names. Takes over options (may be NULL). A
 * reference for the caller.
 */
BlockNode *bdrv_open(const char *filename, BlockOptions *options, unsigned flags, Error **errp);
BlockNode *bdrv_ref(BlockNode *node);
/* The last one flushes and closes. */
void bdrv_unref(BlockNode *node);
BlockNode *bdrv_find_node(const char *node_name);
BlockNode *bdrv_next(BlockNode *node); /* NULL: the first; for lists */

/* A use of a node from outside of the graph; takes over the reference, also on failure. user may be
 * NULL. */
BlockChild *bdrv_root_attach(BlockNode *node, unsigned perm, unsigned shared, const ChildUser *user,
                             void *opaque, Error **errp);
void bdrv_root_detach(BlockChild *root);
/* Opens for one user: bdrv_open() and bdrv_root_attach(). perm follows from flags. */
BlockChild *bdrv_open_root(const char *filename, BlockOptions *options, unsigned flags,
                           Error **errp);
BlockNode *bdrv_child_node(const BlockChild *child);
/* Changes what a child points to, with both sides drained; takes its own reference. */
bool bdrv_replace_child(BlockChild *child, BlockNode *node, Error **errp);
/* All parents of `from` (but not `to` itself) use `to` instead. */
bool bdrv_replace_node(BlockNode *from, BlockNode *to, Error **errp);
/* A node's backing file becomes `backing` (NULL: none); the header is not touched. Takes its own
 * reference. */
bool bdrv_set_backing(BlockNode *node, BlockNode *backing, Error **errp);
/* From read-only to writable or back, with the nodes it stores to. */
bool bdrv_reopen(BlockNode *node, bool readonly, Error **errp);

typedef enum BlockPrealloc {
    PREALLOC_OFF,
    PREALLOC_METADATA,
    PREALLOC_FALLOC,
    PREALLOC_FULL
} BlockPrealloc;
extern const char *const bdrv_prealloc_names[]; /* ends with NULL */

/*
 * Makes an image. options: of -o (the callee leaves them to the caller). size: UINT64_MAX when
 * it shall be the backing file's. Existing files are replaced.
 */
bool bdrv_create(const char *format, const char *filename, uint64_t size, const char *backing_file,
                 const char *backing_format, BlockOptions *options, Error **errp);
/* The protocol's part of it: an empty file, or a device that is large enough. */
bool bdrv_create_file(const char *filename, uint64_t size, BlockOptions *options, Error **errp);

/* ---- what it is ---- */
const char *bdrv_format_name(const BlockNode *node);
const char *bdrv_filename(const BlockNode *node);
const char *bdrv_node_name(const BlockNode *node);
uint64_t bdrv_size(const BlockNode *node);
bool bdrv_readonly(const BlockNode *node);
BlockNode *bdrv_backing(const BlockNode *node); /* through filters; NULL: none */
/* `name` as seen from the directory of `node`'s file; the caller frees it. NULL with an error where
 * `node` has no directory. */
char *bdrv_full_backing_name(const BlockNode *node, const char *name, Error **errp);
int64_t bdrv_allocated_size(BlockNode *node); /* bytes of host storage, or a negative errno */

/* ---- requests ---- */
enum {
    BDRV_REQ_FUA = 1 << 0,         /* on stable storage when it completes */
    BDRV_REQ_MAY_UNMAP = 1 << 1,   /* zeroes: storage may be given back */
    BDRV_REQ_NO_FALLBACK = 1 << 2, /* zeroes: -ENOTSUP rather than writing them out */
    BDRV_REQ_ZERO_WRITE = 1 << 3,  /* internal */
    BDRV_REQ_COMPRESSED = 1 << 4,
    BDRV_REQ_SERIALISING = 1 << 5, /* waits for what overlaps, and lets nothing overlap it */
    BDRV_REQ_UNCHANGED = 1 << 6,   /* a write of what the disk shows already: nobody is told */
};

/* Past the end of the disk a read gives zeroes, a write is refused with -EIO unless the node is
 * growable. */
int bdrv_co_preadv(BlockChild *child, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                   unsigned flags);
int bdrv_co_pwritev(BlockChild *child, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                    unsigned flags);
int bdrv_co_pread(BlockChild *child, uint64_t offset, uint64_t bytes, void *buf, unsigned flags);
int bdrv_co_pwrite(BlockChild *child, uint64_t offset, uint64_t bytes, const void *buf,
                   unsigned flags);
int bdrv_co_pwrite_zeroes(BlockChild *child, uint64_t offset, uint64_t bytes, unsigned flags);
int bdrv_co_pdiscard(BlockChild *child, uint64_t offset, uint64_t bytes);
int bdrv_co_flush(BlockNode *node);
bool bdrv_co_truncate(BlockChild *child, uint64_t size, bool exact, BlockPrealloc prealloc,
                      Error **errp);

int bdrv_pread(BlockChild *child, uint64_t offset, uint64_t bytes, void *buf);
int bdrv_pwrite(BlockChild *child, uint64_t offset, uint64_t bytes, const void *buf,
                unsigned flags);
int bdrv_pwrite_zeroes(BlockChild *child, uint64_t offset, uint64_t bytes, unsigned flags);
int bdrv_pdiscard(BlockChild *child, uint64_t offset, uint64_t bytes);
int bdrv_flush(BlockNode *node);
bool bdrv_truncate(BlockChild *child, uint64_t size, bool exact, BlockPrealloc prealloc,
                   Error **errp);

/* ---- what stands where ---- */
enum {
    BDRV_BLOCK_DATA = 1 << 0,
    BDRV_BLOCK_ZERO = 1 << 1, /* reads as zeroes */
    BDRV_BLOCK_OFFSET_VALID =
        1 << 2,                    /* *map and *file are set: a read there gives the same bytes */
    BDRV_BLOCK_RAW = 1 << 3,       /* drivers: ask *file at *map instead */
    BDRV_BLOCK_ALLOCATED = 1 << 4, /* this layer decides, not the backing file */
    BDRV_BLOCK_EOF = 1 << 5,       /* reaches the end of the disk */
    BDRV_BLOCK_RECURSE = 1 << 6,   /* drivers: holes of *file are worth looking for */
    BDRV_BLOCK_COMPRESSED = 1 << 7,
};

/* Of the node alone. *pnum: how far it is so. *map and *file (may be NULL): where. */
int bdrv_co_block_status(BlockNode *node, bool precise, uint64_t offset, uint64_t bytes,
                         uint64_t *pnum, uint64_t *map, BlockNode **file);
/* Through the backing chain down to, not including, `base` (NULL: all). *depth (may be NULL): how
 * many layers down. */
int bdrv_co_block_status_above(BlockNode *node, BlockNode *base, bool precise, uint64_t offset,
                               uint64_t bytes, uint64_t *pnum, uint64_t *map, BlockNode **file,
                               unsigned *depth);
int bdrv_block_status_above(BlockNode *node, BlockNode *base, bool precise, uint64_t offset,
                            uint64_t bytes, uint64_t *pnum, uint64_t *map, BlockNode **file,
                            unsigned *depth);
/* 1: allocated in a layer above `base` (including it where include_base), 0: not, or a negative
 * errno. */
int bdrv_co_is_allocated_above(BlockNode *node, BlockNode *base, bool include_base, uint64_t offset,
                               uint64_t bytes, uint64_t *pnum);

/* ---- drains ---- */
/* Until no request is in flight in the node or below it. */
void bdrv_drain(BlockNode *node);
/* Gives up what waits for a server that does not answer, in the node and below it: such requests,
 * and all later ones, fail. */
void bdrv_cancel_in_flight(BlockNode *node);
/* As bdrv_drain(), and users above start none until the end. */
void bdrv_drained_begin(BlockNode *node);
void bdrv_drained_end(BlockNode *node);

/* ---- information ---- */
typedef struct BlockInfo {
    uint32_t cluster_size;    /* 0: has none */
    uint32_t subcluster_size; /* else cluster_size */
    uint64_t vm_state_offset;
    bool is_dirty;
    bool needs_compressed_writes; /* whatever is written becomes compressed */
} BlockInfo;
int bdrv_get_info(BlockNode *node, BlockInfo *info);

typedef struct BlockMeasure {
    uint64_t required, fully_allocated;
    uint64_t bitmaps; /* UINT64_MAX: says nothing of them */
} BlockMeasure;
/* For a new image of format with these options, with source's contents, or (source NULL) empty of
 * `size`. */
bool bdrv_measure(const char *format, BlockOptions *options, BlockNode *source, uint64_t size,
                  BlockMeasure *measure, Error **errp);

typedef enum BlockCheckFix { CHECK_FIX_LEAKS = 1, CHECK_FIX_ERRORS = 2 } BlockCheckFix;
typedef struct BlockCheck {
    uint64_t corruptions, leaks, check_errors, corruptions_fixed, leaks_fixed;
    uint64_t image_end_offset;
    uint64_t total_clusters, allocated_clusters, fragmented_clusters, compressed_clusters;
    /* A line for each finding; NULL: not wanted. */
    void (*report)(void *opaque, const char *line);
    void *opaque;
} BlockCheck;
int bdrv_check(BlockNode *node, BlockCheck *result,
               BlockCheckFix fix); /* -ENOTSUP: the format has none */

typedef void BlockProgress(uint64_t done, uint64_t total, void *opaque);
/* Whether images of this format can be made, over a backing file (NULL: none), and have such
 * options, as far as their kinds tell. */
bool bdrv_check_create(const BlockDriver *driver, const char *filename, const char *backing_file,
                       const BlockOptions *options, Error **errp);
/* Whether images of this format can have those options changed at all. */
bool bdrv_can_amend(const BlockDriver *driver, const BlockOptions *options, Error **errp);
bool bdrv_amend(BlockNode *node, BlockOptions *options, bool force, BlockProgress *progress,
                void *opaque, Error **errp);
/* bdrv_make_empty(): nothing is allocated any more, the backing file shows. What the header says,
 * -ENOTSUP where there is no place for it. file NULL: no backing file. */
int bdrv_make_empty(BlockChild *child);
int bdrv_change_backing_file(BlockNode *node, const char *file, const char *format);

/* A tree of names and values for "Format specific information" and its like; values keep their JSON
 * type. */
typedef enum InfoKind { INFO_STRING, INFO_INT, INFO_BOOL, INFO_OBJECT, INFO_LIST } InfoKind;
struct InfoTree {
    InfoKind kind;
    char *name; /* in an object */
    char *text;
    uint64_t number;
    bool hidden_in_text; /* JSON only */
    InfoTree *first, *last, *next;
};
InfoTree *info_new(InfoKind kind);
void info_free(InfoTree *t);
InfoTree *info_add(InfoTree *to, const char *name, InfoKind kind);
void info_add_string(InfoTree *to, const char *name, const char *value);
void info_add_int(InfoTree *to, const char *name, uint64_t value);
void info_add_bool(InfoTree *to, const char *name, bool value);
/* NULL where the driver has none; the caller frees it. */
InfoTree *bdrv_specific_info(BlockNode *node);

/* ---- internal snapshots ---- */
typedef struct BlockSnapshot {
    char id[128], name[256];
    uint64_t vm_state_size; /* bytes; 0: a snapshot of the disk alone */
    uint64_t disk_size;     /* bytes */
    uint32_t date_sec, date_nsec;
    uint64_t vm_clock_nsec; /* the guest's running time */
    uint64_t icount;        /* UINT64_MAX: not recorded */
    bool pending;           /* bdrv_snapshot_create(): see there */
} BlockSnapshot;

bool bdrv_can_snapshot(const BlockNode *node);
/*
 * id empty: a new one is chosen and stored in *snapshot. The guest's writes must be drained.
 * pending: keeps the disk as it is now, but the snapshot is in no list and not in the image's table
 * before bdrv_snapshot_finish(); a program that ends in between leaves at most clusters that nobody
 * uses.
 */
bool bdrv_snapshot_create(BlockNode *node, BlockSnapshot *snapshot, Error **errp);
/* The pending snapshot of this id takes snapshot's vm_state_size and what was written as machine
 * state since it was made. It replaces all others of its name in the same step. */
bool bdrv_snapshot_finish(BlockNode *node, const BlockSnapshot *snapshot, Error **errp);
/* Gives up the pending snapshot and the machine state written since. */
bool bdrv_snapshot_abandon(BlockNode *node, const char *id, Error **errp);
bool bdrv_snapshot_goto(BlockNode *node, const char *id_or_name, Error **errp);
bool bdrv_snapshot_delete(BlockNode *node, const char *id_or_name, Error **errp);
bool bdrv_snapshot_load_tmp(BlockNode *node, const char *id_or_name, Error **errp);
int bdrv_snapshot_list(BlockNode *node, BlockSnapshot **list);
void bdrv_snapshots_free(BlockSnapshot *list);
/* A line of the table that vole-img snapshot -l and the monitor show (s NULL: its heading), without
 * newline. */
void bdrv_snapshot_row(const BlockSnapshot *s, const char *id, char *row, size_t row_size);
/* Machine state behind the disk's end, kept by the next snapshot that is created with a
 * vm_state_size. */
int bdrv_save_vmstate(BlockNode *node, uint64_t pos, const void *buf, uint64_t bytes);
int bdrv_load_vmstate(BlockNode *node, uint64_t pos, void *buf, uint64_t bytes);
/*
 * Where machine state from pos on stands in the host's file: its descriptor (the node's), or -1
 * where it can only be read by bdrv_load_vmstate(). *offset, *pnum: the place there and for how
 * many of the bytes.
 */
int bdrv_vmstate_fd(BlockNode *node, uint64_t pos, uint64_t bytes, uint64_t *offset,
                    uint64_t *pnum);
int bdrv_co_save_vmstate(BlockNode *node, uint64_t pos, IoVector *v);
int bdrv_co_load_vmstate(BlockNode *node, uint64_t pos, IoVector *v);

#endif
