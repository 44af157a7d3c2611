/*
 * qcow2, inside: the image in memory, and what the files of the driver offer each other.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_QCOW2_H
#define BLOCK_QCOW2_H

#include "block/block.h"
#include "block/driver.h"
#include "block/luks.h"
#include "block/util.h"

#define QCOW2_MAGIC 0x514649fb /* "QFI\xfb" */

/* Limits. What a table may take of memory is bounded; other implementations have the same bounds.
 */
#define QCOW2_MIN_CLUSTER_BITS   9
#define QCOW2_MAX_CLUSTER_BITS   21
#define QCOW2_MIN_EXTL2_BITS     14 /* subclusters of at least 512 bytes */
#define QCOW2_MAX_L1_BYTES       (32u << 20)
#define QCOW2_MAX_REFTABLE_BYTES (8u << 20)
#define QCOW2_MAX_SNAPSHOTS      65536
#define QCOW2_MAX_SNAPSHOT_TABLE (64u << 20)
#define QCOW2_MAX_BITMAPS        65535
#define QCOW2_MAX_BITMAP_DIR     (64u << 20)

/* Entries of L1 and L2 tables. */
#define QCOW2_COPIED        (1ull << 63) /* refcount is one: may be written in place */
#define QCOW2_COMPRESSED    (1ull << 62)
#define QCOW2_ZERO          (1ull << 0)
#define QCOW2_OFFSET_MASK   0x00fffffffffffe00ull
#define QCOW2_L1_RESERVED   0x7f000000000001ffull
#define QCOW2_L2_RESERVED   0x3f000000000001feull
#define QCOW2_REFT_RESERVED 0x1ffull

enum { QCOW2_CRYPT_NONE, QCOW2_CRYPT_AES, QCOW2_CRYPT_LUKS };

#define QCOW2_SUBCLUSTERS 32 /* of a cluster with an extended L2 entry */

/* incompatible_features, compatible_features, autoclear_features */
#define QCOW2_INCOMPAT_DIRTY       (1ull << 0)
#define QCOW2_INCOMPAT_CORRUPT     (1ull << 1)
#define QCOW2_INCOMPAT_DATA_FILE   (1ull << 2)
#define QCOW2_INCOMPAT_COMPRESSION (1ull << 3)
#define QCOW2_INCOMPAT_EXTL2       (1ull << 4)
#define QCOW2_INCOMPAT_KNOWN       0x1full
#define QCOW2_COMPAT_LAZY          (1ull << 0)
#define QCOW2_AUTOCLEAR_BITMAPS    (1ull << 0)
#define QCOW2_AUTOCLEAR_RAW        (1ull << 1)
#define QCOW2_AUTOCLEAR_KNOWN      3ull

/* Header extensions. */
#define QCOW2_EXT_END            0x00000000
#define QCOW2_EXT_BACKING_FORMAT 0xe2792aca
#define QCOW2_EXT_FEATURES       0x6803f857
#define QCOW2_EXT_BITMAPS        0x23852875
#define QCOW2_EXT_CRYPTO         0x0537be77
#define QCOW2_EXT_DATA_FILE      0x44415441

/* The header's fields, by their offsets. */
enum {
    QH_VERSION = 4,
    QH_BACKING_OFFSET = 8,
    QH_BACKING_SIZE = 16,
    QH_CLUSTER_BITS = 20,
    QH_SIZE = 24,
    QH_CRYPT = 32,
    QH_L1_SIZE = 36,
    QH_L1_OFFSET = 40,
    QH_REFTABLE_OFFSET = 48,
    QH_REFTABLE_CLUSTERS = 56,
    QH_SNAPSHOTS = 60,
    QH_SNAPSHOTS_OFFSET = 64,
    QH_V2_LENGTH = 72,
    QH_INCOMPATIBLE = 72,
    QH_COMPATIBLE = 80,
    QH_AUTOCLEAR = 88,
    QH_REFCOUNT_ORDER = 96,
    QH_LENGTH = 100,
    QH_COMPRESSION = 104,
    QH_V3_LENGTH = 112,
    QH_V3_MIN_LENGTH = 104,
};

typedef struct Qcow2Header {
    uint32_t version, cluster_bits, crypt, l1_size, reftable_clusters, snapshots, refcount_order,
        length;
    uint32_t backing_size;
    uint8_t compression;
    uint64_t backing_offset, size, l1_offset, reftable_offset, snapshots_offset;
    uint64_t incompatible, compatible, autoclear;
} Qcow2Header;

typedef struct Qcow2UnknownExt {
    uint32_t type, length;
    uint8_t *data;
    struct Qcow2UnknownExt *next;
} Qcow2UnknownExt;

/* ---- the cache of metadata (qcow2-cache.c) ---- */

typedef struct Qcow2Cache Qcow2Cache;

typedef struct Qcow2CacheEntry {
    uint64_t offset; /* in the file */
    uint8_t *data;   /* as it stands in the file */
    bool dirty;
    bool barrier; /* before it is written, what it relies on must be on disk */
    unsigned pins;
    uint64_t used;
    struct Qcow2CacheEntry *hash_next;
    unsigned slot;
} Qcow2CacheEntry;

/* ---- snapshots ---- */

typedef struct Qcow2Snapshot {
    uint64_t l1_offset;
    uint32_t l1_size; /* entries */
    char *id, *name;
    uint64_t vm_state_size, disk_size, vm_clock_nsec, icount;
    uint32_t date_sec, date_nsec;
    uint32_t extra_size;    /* of the table entry as it was read */
    uint8_t *unknown_extra; /* what lies behind the fields we know */
    uint32_t unknown_size;
    bool pending;  /* not in the image's table yet: bdrv_snapshot_finish() */
    bool given_up; /* and will not be, but there was no room to write that down */
} Qcow2Snapshot;

/* Clusters that nothing refers to any more, but that may not be used again yet. */
typedef struct Qcow2Freed {
    uint64_t offset, bytes; /* whole clusters */
    uint64_t stamp;         /* requests that began before it may still use them */
    bool durable;           /* what dropped them is on disk */
    bool discard;
} Qcow2Freed;

/* A request that uses clusters outside of the lock. */
typedef struct Qcow2Op {
    uint64_t stamp;
    struct Qcow2Op *next, **prev;
} Qcow2Op;

/* Clusters being filled that no L2 entry points to yet. */
typedef struct Qcow2Alloc {
    uint64_t guest; /* of the first cluster */
    unsigned clusters;
    CoQueue waiters;
    struct Qcow2Alloc *next;
} Qcow2Alloc;

typedef struct Qcow2State {
    Qcow2Header h;
    unsigned cluster_bits, l2_bits, l2_entry_size, refcount_bits;
    uint64_t cluster_size, cluster_mask, subcluster_size;
    unsigned l2_entries;
    bool extl2, lazy, lazy_dirty, data_file, data_raw, corrupt, zstd;
    Cipher *cipher; /* NULL: not encrypted, or opened only to look at the header */
    uint64_t luks_offset, luks_bytes; /* of the LUKS header; 0: none */
    LuksHeader luks;
    char *luks_secret; /* whose password opened it */
    Qcow2UnknownExt *unknown_ext;
    uint8_t *unknown_fields; /* of the header, behind those we know */
    uint32_t unknown_fields_size;
    char *data_filename;
    uint64_t bitmap_dir_offset, bitmap_dir_size;
    uint32_t bitmap_count;
    bool bitmaps_valid, bitmaps_started;
    struct Qcow2Tracked *tracked_bitmaps;

    uint64_t *l1;                  /* host order */
    uint32_t l1_size, l1_vm_index; /* the first behind the disk's end */
    uint64_t l1_offset;
    bool l1_dirty;
    uint32_t l1_dirty_first, l1_dirty_last;

    uint64_t *reftable;     /* host order */
    uint32_t reftable_size; /* entries */
    uint64_t reftable_offset;
    unsigned refblock_bits; /* log2 of entries a block */
    uint64_t max_refcount;

    Qcow2Cache *l2_cache, *refcount_cache;

    CoRwLock ops; /* requests read; what changes the shape of the image writes */
    CoMutex lock; /* the tables */
    CoMutex flush_lock;
    Qcow2Alloc *allocs;
    Qcow2Op *ops_first, **ops_last;
    uint64_t stamp;
    Qcow2Freed *freed;
    unsigned freed_count, freed_room;

    uint64_t free_index;     /* where the search for a free cluster begins */
    uint64_t fresh_index;    /* clusters from here on were never written: they read as zeroes */
    uint64_t compressed_end; /* bytes of a cluster behind its last compressed data; 0: none */

    Qcow2Snapshot *snapshots;
    unsigned snapshot_count;
    uint64_t snapshots_offset, snapshots_size;

    bool corrupt_told;
    bool broken;                           /* it was written and is not any more: flushes fail */
    bool preallocated_known, preallocated; /* whether clusters in use may be holes of the file */
    /* a snapshot shown by co_snapshot_load_tmp() */
    bool temporary;
} Qcow2State;

/* ---- what an L2 entry means ---- */

typedef enum Qcow2Kind {
    QCOW2_UNALLOCATED, /* the backing file shows */
    QCOW2_ZERO_PLAIN,
    QCOW2_ZERO_ALLOC, /* zeroes, with a cluster kept for later */
    QCOW2_NORMAL,
    QCOW2_UNALLOC_ALLOC, /* extended L2: the subcluster shows the backing file, the cluster is there
                          */
    QCOW2_COMPRESSED_DATA,
    QCOW2_INVALID,
} Qcow2Kind;

typedef struct Qcow2Mapping {
    Qcow2Kind kind;
    uint64_t host;  /* of the byte asked for; compressed: the L2 entry */
    uint64_t bytes; /* how far it goes on like this */
} Qcow2Mapping;

/* qcow2.c */
int qcow2_write_header(BlockNode *node); /* all of the first cluster */
int qcow2_write_field(BlockNode *node, unsigned offset, const void *data,
                      unsigned size); /* and flushes */
int qcow2_parse_header(const uint8_t *buf, Qcow2Header *h);
void qcow2_mark_corrupt(BlockNode *node, const char *what, ...)
    __attribute__((format(printf, 2, 3)));
int qcow2_set_dirty(BlockNode *node, bool dirty);
static inline BlockChild *qcow2_data(BlockNode *node)
{
    return node->data ? node->data : node->file;
}

int qcow2_co_change_backing(BlockNode *node, const char *file, const char *format);

/* qcow2-cache.c: under the lock */
Qcow2Cache *qcow2_cache_new(uint32_t entry_size, uint64_t bytes);
void qcow2_cache_free(Qcow2Cache *c);
/* The entry that holds the file's bytes at offset (a multiple of the entry size), pinned. read:
 * from the file, else zeroed. */
int qcow2_cache_get(BlockNode *node, Qcow2Cache *c, uint64_t offset, bool read,
                    Qcow2CacheEntry **entry);
void qcow2_cache_put(Qcow2CacheEntry *entry);
void qcow2_cache_dirty(Qcow2CacheEntry *entry);
/* All dirty entries, in order of their offsets. */
int qcow2_cache_write(BlockNode *node, Qcow2Cache *c);
bool qcow2_cache_is_dirty(const Qcow2Cache *c);
/* Forgets what lies in the range, dirty or not. */
void qcow2_cache_forget(Qcow2Cache *c, uint64_t offset, uint64_t bytes);
void qcow2_cache_forget_all(Qcow2Cache *c);
/* What entries rely on is on disk now. */
void qcow2_cache_barrier_done(Qcow2Cache *c);
uint32_t qcow2_cache_entry_size(const Qcow2Cache *c);

/* qcow2-refcount.c: under the lock */
int qcow2_load_reftable(BlockNode *node, Error **errp);
int qcow2_get_refcount(BlockNode *node, uint64_t cluster, uint64_t *refcount);
uint64_t qcow2_refcount_at(const uint8_t *block, unsigned bits, uint64_t index);
void qcow2_refcount_set(uint8_t *block, unsigned bits, uint64_t index, uint64_t value);
/* A run of free clusters, refcount 1 each. At most want; *got says how many; exact: all of them or
 * -ENOSPC. */
int qcow2_alloc(BlockNode *node, uint64_t want, bool exact, uint64_t *offset, uint64_t *got);
/* As that, if possible from `at` on; *got may be 0. */
int qcow2_alloc_at(BlockNode *node, uint64_t at, uint64_t want, uint64_t *got);
int qcow2_ref(BlockNode *node, uint64_t offset,
              uint64_t bytes); /* each cluster touched: one more */
/* For clusters that nothing on disk has pointed to. */
int qcow2_unref_now(BlockNode *node, uint64_t offset, uint64_t bytes);
/* Once what pointed there is on disk and no request uses them; never fails (at worst, they leak).
 */
void qcow2_free_later(BlockNode *node, uint64_t offset, uint64_t bytes, bool discard);
void qcow2_free_l2_entry(BlockNode *node, uint64_t entry, bool discard);
/* Everything cached, in order; *freed: whether clusters became free meanwhile, which is not written
 * yet. */
int qcow2_flush_tables(BlockNode *node, bool *freed);
/* Data and refcounts written before are on disk. */
int qcow2_barrier(BlockNode *node);
int qcow2_settle(BlockNode *node); /* flushes until nothing is dirty or waits to be freed */
/* -EIO where [offset, offset + bytes), which is `whose`, touches the image's own tables. */
int qcow2_check_overlap(BlockNode *node, uint64_t offset, uint64_t bytes, const char *whose);
/* The cached piece of a refcount block for a cluster; *slice NULL where there is no block. */
int qcow2_refcount_slice(BlockNode *node, uint64_t cluster, Qcow2CacheEntry **slice,
                         uint64_t *index);
/* A refcount block for entry t of the table, if it has none. */
int qcow2_add_refblock(BlockNode *node, uint64_t t);
/* How many clusters of the file (its length) there are. */
uint64_t qcow2_file_clusters(BlockNode *node);
uint64_t qcow2_refcount_metadata(uint64_t clusters, uint64_t cluster_size, unsigned order,
                                 bool generous, uint64_t *blocks);

/* qcow2-cluster.c */
uint64_t qcow2_l2_entry(const Qcow2State *s, const Qcow2CacheEntry *slice, unsigned index,
                        uint64_t *bitmap);
void qcow2_set_l2_entry(const Qcow2State *s, Qcow2CacheEntry *slice, unsigned index, uint64_t entry,
                        uint64_t bitmap);
/* The slice of the L2 table for guest, for reading (*slice NULL: there is no table) or for changing
   (the table is made, or copied where a snapshot shares it). */
int qcow2_get_slice(BlockNode *node, uint64_t guest, bool change, Qcow2CacheEntry **slice,
                    unsigned *index);
/* Whole clusters of a table's slice from index on. */
unsigned qcow2_slice_left(const Qcow2State *s, unsigned index);
/* -EIO, and the image is corrupt, where one of n entries for [guest, ...) leads to what cannot be
 * written. */
int qcow2_check_entries(BlockNode *node, Qcow2CacheEntry *slice, unsigned index, unsigned n,
                        uint64_t guest);
Qcow2Kind qcow2_kind(BlockNode *node, uint64_t entry, uint64_t bitmap, unsigned sub);
int qcow2_map(BlockNode *node, uint64_t guest, uint64_t bytes,
              Qcow2Mapping *m); /* under the lock */
int qcow2_grow_l1(BlockNode *node, uint64_t entries, bool exact);
int qcow2_write_l1(BlockNode *node); /* dirty parts */
int qcow2_zero_clusters(BlockNode *node, uint64_t guest, uint64_t bytes, bool unmap);
int qcow2_discard_clusters(BlockNode *node, uint64_t guest, uint64_t bytes, bool full,
                           bool discard);
void qcow2_wait_allocs(BlockNode *node, uint64_t guest, uint64_t bytes);
void qcow2_compressed_place(const Qcow2State *s, uint64_t entry, uint64_t *offset, uint64_t *bytes);
void qcow2_op_begin(Qcow2State *s, Qcow2Op *op);
void qcow2_op_end(Qcow2State *s, Qcow2Op *op);

/* qcow2-io.c */
int qcow2_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                    unsigned flags);
int qcow2_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                     unsigned flags);
int qcow2_co_pwrite_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags);
int qcow2_co_pdiscard(BlockNode *node, uint64_t offset, uint64_t bytes);
int qcow2_co_flush(BlockNode *node);
int qcow2_co_block_status(BlockNode *node, bool precise, uint64_t offset, uint64_t bytes,
                          uint64_t *pnum, uint64_t *map, BlockNode **file);
int qcow2_co_save_vmstate(BlockNode *node, uint64_t pos, IoVector *v);
int qcow2_co_load_vmstate(BlockNode *node, uint64_t pos, IoVector *v);
int qcow2_co_vmstate_status(BlockNode *node, uint64_t pos, uint64_t bytes, uint64_t *pnum,
                            uint64_t *map, BlockNode **file);
int qcow2_co_make_empty(BlockNode *node);
uint64_t qcow2_vm_state_offset(const BlockNode *node);
/* Gives every cluster of the range a place in the file, its contents undefined where it had none.
 */
int qcow2_preallocate(BlockNode *node, uint64_t offset, uint64_t end);

/* qcow2-compress.c */
int qcow2_co_pwritev_compressed(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v,
                                size_t at);
/* From guest on, which lies in the cluster that entry describes, *bytes at most: as many of the
   compressed clusters that follow as are read and unpacked together; sets *bytes. */
int qcow2_read_compressed(BlockNode *node, uint64_t entry, uint64_t guest, uint64_t *bytes,
                          IoVector *v, size_t at);

/* qcow2-amend.c */
bool qcow2_co_amend(BlockNode *node, BlockOptions *options, bool force, BlockProgress *progress,
                    void *opaque, Error **errp);

/* qcow2-create.c */
bool qcow2_co_create(BlockCreate *create, Error **errp);
bool qcow2_measure(BlockOptions *options, BlockNode *source, uint64_t size, BlockMeasure *measure,
                   Error **errp);
bool qcow2_co_truncate(BlockNode *node, uint64_t size, bool exact, BlockPrealloc prealloc,
                       Error **errp);
extern const BlockOptionDesc qcow2_create_options[], qcow2_amend_options[];

/* qcow2-snapshot.c */
bool qcow2_load_snapshots(BlockNode *node, Error **errp);
void qcow2_free_snapshots(Qcow2State *s);
bool qcow2_co_snapshot_create(BlockNode *node, BlockSnapshot *snapshot, Error **errp);
bool qcow2_co_snapshot_finish(BlockNode *node, const BlockSnapshot *snapshot, Error **errp);
bool qcow2_co_snapshot_abandon(BlockNode *node, const char *id, Error **errp);
bool qcow2_co_snapshot_goto(BlockNode *node, const char *id_or_name, Error **errp);
bool qcow2_co_snapshot_delete(BlockNode *node, const char *id_or_name, Error **errp);
bool qcow2_co_snapshot_load_tmp(BlockNode *node, const char *id_or_name, Error **errp);
int qcow2_co_snapshot_list(BlockNode *node, BlockSnapshot **list);

/* qcow2-check.c */
int qcow2_co_check(BlockNode *node, BlockCheck *result, BlockCheckFix fix);

/* qcow2-bitmap.c */
bool qcow2_check_bitmap_ext(BlockNode *node, const uint8_t *data, uint32_t length, Error **errp);
/* What the guest changes is marked in the enabled bitmaps: before the first change, and for each.
 */
int qcow2_bitmaps_start(BlockNode *node);
void qcow2_bitmaps_mark(BlockNode *node, uint64_t offset, uint64_t bytes);
int qcow2_bitmaps_store(BlockNode *node); /* at close */
/* Around a change of the disk's size (to `size`, from `old`), under the lock: bitmaps grow and
 * shrink with it, and what is new is not marked. One that is not intact is in the way. The second
 * is called whether or not the size could be changed. */
bool qcow2_bitmaps_before_resize(BlockNode *node, uint64_t size, Error **errp);
int qcow2_bitmaps_after_resize(BlockNode *node, uint64_t old);
void qcow2_bitmaps_free(Qcow2State *s);
/* Of an entry of the directory with so many bytes of extra data and of a name. */
uint64_t qcow2_bitmap_entry_bytes(uint64_t extra, uint64_t name);
void qcow2_add_bitmap_info(BlockNode *node, InfoTree *info);
/* Calls fn for each run of clusters of bitmap directory, tables and data. */
int qcow2_each_bitmap_cluster(BlockNode *node,
                              int (*fn)(void *opaque, uint64_t offset, uint64_t bytes),
                              void *opaque);
extern const BitmapOps qcow2_bitmaps;

#endif
