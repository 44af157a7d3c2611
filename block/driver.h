/*
 * BlockDriver and BlockNode: what a format or a protocol is to the rest of the room.
 *
 * A node shows a disk. A *protocol* node gets its bytes from the host (a file, a server); a
 * *format* node lies over a node `file`, perhaps over a node `data`, and perhaps in front of a node
 * `backing`, which shows what this one does not hold; a *filter* passes requests on. docs/block.md
 * tells how to write one.
 *
 * All functions named co_ run in a coroutine on the main loop (util/coroutine.h): they may wait
 * anywhere, and other requests of the same node run meanwhile, so what they change together is
 * guarded by a CoMutex of theirs. They give 0 or a negative errno unless said otherwise. The
 * generic layer (io.c) has checked each request: it lies within the node, starts and ends at
 * multiples of request_alignment, is no longer than max_transfer, and its vector holds it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_DRIVER_H
#define BLOCK_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "block/blkopts.h"
#include "block/node.h"
#include "block/range.h"
#include "util/coroutine.h"
#include "util/iovec.h"

typedef struct TrackedRequest TrackedRequest;

/* What a new image is to be. */
typedef struct BlockCreate {
    const char *filename; /* of the image, for messages and for further files beside it */
    BlockNode *file;      /* formats: the open, empty protocol node, from bdrv_create_attach() on */
    uint64_t size;        /* of the disk, bytes; a multiple of 512 */
    BlockOptions
        *options; /* of -o: the driver takes its own; what is left is refused by the caller */
    const char *backing_file, *backing_format; /* NULL: none */
    uint64_t expected; /* formats: bytes that the file will surely have; before attaching */
    bool made;         /* the file is there: bdrv_create_attach()'s */
} BlockCreate;

/* For co_create() of formats: the file, made or emptied now; NULL with an error. Asked for again it
 * is the same. */
BlockChild *bdrv_create_attach(BlockCreate *create, unsigned perm, Error **errp);

struct BlockDriver {
    const char *name; /* "qcow2" */
    /*
     * NULL: a format or filter. Else a protocol: the words, with a space between, that stand before
     * the colon in the names it opens ("nbd nbd+unix" for "nbd://host"); plain file names are those
     * of "file".
     */
    const char *protocol;
    size_t state_size; /* of node->state, zeroed before co_open() */
    bool supports_backing;
    bool is_filter;
    bool internal;     /* not for users to name */
    bool maps_as_data; /* `map` shows all as data, as others' do; copies still skip the holes */
    bool supports_compressed; /* co_pwritev_compressed() is there */
    const BlockOptionDesc *open_options, *create_options;
    const char *create_defaults; /* "KEY=VALUE,...": what create shows though it is not given */
    const BlockOptionDesc *amend_options; /* those that co_amend() takes */

    /* Formats: how sure the driver is that this head of a file (512 bytes, zero-filled) is
       its own: 0 not at all, 100 certain by a magic, 1 to 99 by weaker signs. */
    int (*probe)(const uint8_t *head, size_t bytes, const char *filename);
    /* Protocols: sets the options that a name stands for. */
    bool (*parse_filename)(const char *filename, BlockOptions *options, Error **errp);

    /*
     * Takes its options, opens or finds its children (bdrv_open_child()), checks everything it
     * reads, sets node->size and whatever below is not its default. On false the node's state is
     * freed by the caller without co_close(), so what it allocated must be freed here; children are
     * closed by the caller.
     */
    bool (*co_open)(BlockNode *node, BlockOptions *options, Error **errp);
    /* Writes back and frees; children are still open, and closed by the caller afterwards. */
    void (*co_close)(BlockNode *node);
    /* Protocols make the file. Formats find all of their options valid before they ask for the file
     * (bdrv_create_attach()), which loses what stood there. */
    bool (*co_create)(BlockCreate *create, Error **errp);
    /* From read-only to writable and back (node->readonly is set afterwards). NULL: the children's
       reopening is all. */
    bool (*co_reopen)(BlockNode *node, bool readonly, Error **errp);

    /* ---- requests ---- */
    int (*co_preadv)(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                     unsigned flags);
    int (*co_pwritev)(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                      unsigned flags);
    /* Makes the range read as zeroes without writing them. -ENOTSUP (for this range): zeroes are
       written instead. flags: those of node->supported_zero_flags. */
    int (*co_pwrite_zeroes)(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags);
    /* The contents are no longer needed. -ENOTSUP: nothing happens. */
    int (*co_pdiscard)(BlockNode *node, uint64_t offset, uint64_t bytes);
    /* A whole cluster (or the disk's last part), stored compressed. */
    int (*co_pwritev_compressed)(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v,
                                 size_t at);
    /*
     * Formats: writes cached metadata to the children, in an order that leaves an image whole; the
     * caller then flushes the children. Protocols: on stable storage.
     */
    int (*co_flush)(BlockNode *node);
    /*
     * What stands at offset: BDRV_BLOCK_ flags, or a negative errno. *pnum: how far (at least
     * request_alignment, at most bytes). With BDRV_BLOCK_OFFSET_VALID, *file and *map say where.
     * precise: whether zeroes are worth looking for. NULL: all is data.
     */
    int (*co_block_status)(BlockNode *node, bool precise, uint64_t offset, uint64_t bytes,
                           uint64_t *pnum, uint64_t *map, BlockNode **file);
    /* A new size. exact: a protocol that could only make it larger than asked fails. Sets
     * node->size. */
    bool (*co_truncate)(BlockNode *node, uint64_t size, bool exact, BlockPrealloc prealloc,
                        Error **errp);

    /* Of a parent, whose request has come to a point (block/blkdebug.h). */
    void (*co_debug_event)(BlockNode *node, unsigned event);
    /* Protocols that wait for others: makes what is in flight, and all later requests, fail soon.
     * Not a coroutine. */
    void (*cancel)(BlockNode *node);

    /* ---- what it is ---- */
    int64_t (*co_get_size)(BlockNode *node); /* protocols whose size may change from outside */
    int64_t (*co_get_allocated)(
        BlockNode *node); /* bytes of host storage; NULL: those of the children */
    int (*co_get_info)(BlockNode *node, BlockInfo *info);
    /* "Format specific information"; NULL: none. */
    void (*get_specific)(BlockNode *node, InfoTree *info);
    bool (*measure)(BlockOptions *options, BlockNode *source, uint64_t size, BlockMeasure *measure,
                    Error **errp);
    int (*co_check)(BlockNode *node, BlockCheck *result, BlockCheckFix fix);
    bool (*co_amend)(BlockNode *node, BlockOptions *options, bool force, BlockProgress *progress,
                     void *opaque, Error **errp);
    /* Nothing is allocated afterwards: all shows from the backing file. */
    int (*co_make_empty)(BlockNode *node);
    int (*co_change_backing)(BlockNode *node, const char *file, const char *format);

    /* ---- internal snapshots and the machine state they carry ---- */
    bool (*co_snapshot_create)(BlockNode *node, BlockSnapshot *snapshot, Error **errp);
    bool (*co_snapshot_finish)(BlockNode *node, const BlockSnapshot *snapshot, Error **errp);
    bool (*co_snapshot_abandon)(BlockNode *node, const char *id, Error **errp);
    bool (*co_snapshot_goto)(BlockNode *node, const char *id_or_name, Error **errp);
    bool (*co_snapshot_delete)(BlockNode *node, const char *id_or_name, Error **errp);
    /* Reads only: shows the disk as the snapshot has it. */
    bool (*co_snapshot_load_tmp)(BlockNode *node, const char *id_or_name, Error **errp);
    /* An array the caller frees with bdrv_snapshots_free(); the number of them, or a negative
     * errno. */
    int (*co_snapshot_list)(BlockNode *node, BlockSnapshot **list);
    int (*co_save_vmstate)(BlockNode *node, uint64_t pos, IoVector *v);
    int (*co_load_vmstate)(BlockNode *node, uint64_t pos, IoVector *v);
    /* As co_block_status(), of the machine state. */
    int (*co_vmstate_status)(BlockNode *node, uint64_t pos, uint64_t bytes, uint64_t *pnum,
                             uint64_t *map, BlockNode **file);
    /* Protocols: the host's file, in which offsets are the node's; NULL: there is none. */
    int (*get_fd)(BlockNode *node);

    /* ---- removable media (host drives) ---- */
    bool (*co_is_inserted)(BlockNode *node);
    void (*co_eject)(BlockNode *node, bool eject);
    void (*co_lock_medium)(BlockNode *node, bool lock);

    /* Files the image consists of, beside `file`, for removal after a failed create. */
    const struct BitmapOps *bitmaps; /* NULL: no stored bitmaps */
};

typedef struct BitmapInfo {
    char name[1024];
    uint32_t granularity; /* bytes */
    bool enabled, inconsistent;
} BitmapInfo;

/* Bitmaps that an image keeps; granularity in bytes, 0: the driver's choice. */
typedef struct BitmapOps {
    bool (*co_add)(BlockNode *node, const char *name, uint32_t granularity, bool disabled,
                   Error **errp);
    bool (*co_remove)(BlockNode *node, const char *name, Error **errp);
    bool (*co_clear)(BlockNode *node, const char *name, Error **errp);
    bool (*co_enable)(BlockNode *node, const char *name, bool enable, Error **errp);
    /* An array the caller frees; the number of them, or a negative errno. */
    int (*co_list)(BlockNode *node, BitmapInfo **list);
    /* The bits as they are stored, one a 2^*granularity_bits bytes; the caller frees them. */
    bool (*co_load)(BlockNode *node, const char *name, uint8_t **bits, uint64_t *bytes,
                    unsigned *granularity_bits, Error **errp);
    /* The bits of `source` (of node `from`) on top of `name`. */
    bool (*co_merge)(BlockNode *node, const char *name, BlockNode *from, const char *source,
                     Error **errp);
    /* Of an enabled bitmap, as the driver keeps it while the image is open; its memory is the
     * driver's, whole words. NULL without an error: there is none of this name. */
    uint64_t *(*co_bits)(BlockNode *node, const char *name, unsigned *granularity_bits,
                         Error **errp);
} BitmapOps;

/*
 * Who wants to see a node's writes (jobs): before the node changes, and after. Both run in the
 * writer's coroutine and may wait; a drain waits for them. range is the watcher's to use from
 * before() to after(). v NULL: zeroes, or a discard. An error of before() fails the write, one of
 * after() its acknowledgement. Watchers come and go only while the node is drained.
 */
typedef struct WriteWatcher {
    int (*before)(struct WriteWatcher *w, RangeLock *range, uint64_t offset, uint64_t bytes);
    int (*after)(struct WriteWatcher *w, RangeLock *range, uint64_t offset, uint64_t bytes,
                 IoVector *v, size_t at, int ret);
    struct WriteWatcher *next;
} WriteWatcher;

enum { BDRV_MAX_WATCHERS = 4 };
/* False: there are too many. */
bool bdrv_watch(BlockNode *node, WriteWatcher *w);
void bdrv_unwatch(BlockNode *node, WriteWatcher *w);

/* Why a node uses another. */
typedef enum ChildRole {
    CHILD_ROOT, /* a user outside of the graph: backend, job, tool */
    CHILD_FILE, /* a format's metadata, and its data where there is no CHILD_DATA */
    CHILD_DATA,
    CHILD_BACKING,
    CHILD_FILTERED, /* what a filter shows */
} ChildRole;

/* A user's side of a root child. */
struct ChildUser {
    const char *(*name)(void *opaque);
    void (*drained_begin)(void *opaque); /* starts no further requests */
    void (*drained_end)(void *opaque);
    void (*resized)(void *opaque); /* NULL: does not care */
};

struct BlockChild {
    BlockNode *node;
    char *name; /* "file" */
    ChildRole role;
    unsigned perm,
        shared;        /* BLK_PERM_: what the parent does with it, what others may do meanwhile */
    BlockNode *parent; /* NULL: a root child */
    const ChildUser *user; /* root children only */
    void *user_opaque;
    BlockChild *next;        /* of the parent's children */
    BlockChild *next_parent; /* of the node's parents */
};

struct BlockNode {
    const BlockDriver *driver;
    void *state;           /* the driver's, driver->state_size bytes */
    char *filename;        /* for messages, and to open it again (may be "json:...") */
    char *node_name;       /* the user's, or "#block123" */
    unsigned flags;        /* BDRV_O_ */
    BlockOptions *options; /* as it was opened, without the children's */

    /* Set by co_open(). */
    uint64_t size; /* of the disk it shows, bytes */
    bool readonly;
    bool growable;              /* protocols: a write past the end makes it longer */
    bool probed;                /* the format was guessed */
    uint32_t request_alignment; /* power of 2; default 1 */
    uint32_t memory_alignment;  /* of buffers; default 1 */
    uint32_t max_transfer;      /* bytes a request; 0: no limit */
    uint32_t
        zeroes_alignment; /* below it co_pwrite_zeroes() is not asked; default request_alignment */
    uint32_t discard_alignment;                           /* likewise */
    uint64_t max_zeroes, max_discard;                     /* 0: no limit */
    unsigned supported_write_flags, supported_zero_flags; /* BDRV_REQ_FUA ... */
    bool encrypted;
    bool zero_init; /* a new image reads as zeroes */

    BlockChild *file, *data, *backing; /* also in children; for a filter `file` or `backing` */
    BlockChild *children, *parents;
    char *backing_file, *backing_format; /* as the image's header names them, NULL: none */

    /* The generic layer's. */
    unsigned refs;
    unsigned depth; /* of opens below opens */
    unsigned in_flight;
    unsigned quiesced;
    TrackedRequest *tracked;
    uint64_t write_gen, flushed_gen;
    bool flushing;
    CoQueue flush_queue, drain_queue;
    bool detect_zeroes, detect_zeroes_unmap;
    uint64_t wr_highest;
    WriteWatcher *watchers;
    struct DirtyBitmap *dirty;
    BlockNode *next;
};

/* Opens the child `name` of a node that is being opened: by the options below "name.", by
 * "name"=NODE-NAME, or by filename (NULL: only options). False with an error; optional: also where
 * neither is there, with *child NULL. */
bool bdrv_open_child(BlockNode *parent, const char *filename, BlockOptions *options,
                     const char *name, ChildRole role, bool optional, BlockChild **child,
                     Error **errp);
/* For formats: opens "file" as node->file. */
bool bdrv_open_file_child(BlockNode *node, BlockOptions *options, Error **errp);
/* The same, and the first bytes of it. */
bool bdrv_open_header(BlockNode *node, BlockOptions *options, void *header, size_t bytes,
                      Error **errp);
/* An image that cannot be used, and why; false. */
bool bdrv_bad_image(const BlockNode *node, const char *what, Error **errp);
/* A line for whoever wants the findings of a check. */
void bdrv_check_found(const BlockCheck *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Attaches an open node; takes over the caller's reference, also on failure. */
BlockChild *bdrv_attach_child(BlockNode *parent, BlockNode *node, const char *name, ChildRole role,
                              Error **errp);
void bdrv_detach_child(BlockChild *child);

/* The table in drivers.c. */
const BlockDriver *bdrv_find_format(const char *name);
const BlockDriver *bdrv_find_driver(const char *name); /* protocols too */
const BlockDriver *bdrv_find_protocol(const char *filename, Error **errp);
const BlockDriver *bdrv_probe(const uint8_t *head, size_t bytes, const char *filename);
extern const BlockDriver *const block_drivers[]; /* ends with NULL */

#endif
