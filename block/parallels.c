/*
 * The format "parallels": Parallels Desktop's and Virtuozzo's expanding disks (.hdd, .hds).
 *
 * Source: the public description "Parallels Expandable Image File Format". All numbers are
 * little-endian: a header of 64 bytes, behind it the block table, then clusters. An entry of the
 * table is where a cluster stands, in sectors (magic "WithoutFreeSpace") or in clusters
 * ("WithouFreSpacExt"); 0 is none. Bitmaps in a format extension are dropped by the first write, as
 * they would no longer be true.
 *
 * The header says whether a program is writing: a file that still says so was left by a crash.
 * Other programs then want a check first. Here the order of writes (sparse.h) keeps the table true
 * at any moment, so such an image is opened all the same unless its table says otherwise.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "block/drivers.h"
#include "block/sparse.h"
#include "block/util.h"

enum {
    PH_MAGIC = 0,
    PH_VERSION = 16,
    PH_HEADS = 20,
    PH_CYLINDERS = 24,
    PH_TRACKS = 28, /* sectors of a cluster */
    PH_ENTRIES = 32,
    PH_SECTORS = 36,
    PH_IN_USE = 44,
    PH_DATA_START = 48,
    PH_FLAGS = 52,
    PH_EXTENSION = 56,
    PH_HEADER = 64,

    VERSION = 2,
    IN_USE = 0x746f6e59,
    FLAG_EMPTY = 1,
    DEFAULT_CLUSTER = 1 << 20,
    MAX_CLUSTER = 256 << 20,
    MAX_TABLE = 256 << 20, /* bytes; 64 TB in clusters of 1 MB */
    HEADS = 16,
    TRACK = 32,
};
#define MAGIC_SECTORS  "WithoutFreeSpace"
#define MAGIC_CLUSTERS "WithouFreSpacExt"

typedef struct ParallelsState {
    SparseMap map; /* first */
    uint8_t header[PH_HEADER];
    uint64_t unit; /* bytes that an entry counts in */
    uint64_t entries;
    bool unclean; /* as the file was found */
    bool in_use;  /* the header in the file says so by our doing */
} ParallelsState;

static int parallels_probe(const uint8_t *head, size_t bytes, const char *filename)
{
    return bytes >= PH_HEADER && load_le32(head + PH_VERSION) == VERSION &&
                   (!memcmp(head, MAGIC_SECTORS, 16) || !memcmp(head, MAGIC_CLUSTERS, 16))
               ? 100
               : 0;
}

/* ---- the block table ---- */

static int parallels_co_table(SparseMap *m, uint64_t cluster, bool make, SparseTable *t)
{
    const ParallelsState *s = m->opaque;

    *t = (SparseTable){PH_HEADER, s->entries, cluster};
    return cluster < s->entries ? 0 : -EIO;
}

static void parallels_get(const SparseMap *m, const uint8_t *entry, uint64_t cluster,
                          SparseEntry *e)
{
    const ParallelsState *s = m->opaque;
    uint32_t v = load_le32(entry);

    if (v) {
        e->kind = SPARSE_DATA;
        e->host = v * s->unit;
    }
}

static void parallels_put(const SparseMap *m, uint8_t *entry, const SparseEntry *e)
{
    const ParallelsState *s = m->opaque;

    store_le32(entry, (uint32_t)(e->host / s->unit));
}

static int parallels_co_alloc(SparseMap *m, uint64_t *count, uint64_t *host)
{
    const ParallelsState *s = m->opaque;

    *host = ROUND_UP(m->end, m->align);
    if ((*host + *count * m->cluster) / s->unit > UINT32_MAX) {
        return -EFBIG;
    }
    m->end = *host + *count * m->cluster;
    return 0;
}

static int write_in_use(ParallelsState *s, BlockChild *file, bool in_use)
{
    uint8_t h[PH_HEADER];

    memcpy(h, s->header, sizeof(h));
    store_le32(h + PH_IN_USE, in_use ? IN_USE : 0);
    store_le32(h + PH_FLAGS, load_le32(h + PH_FLAGS) & ~(uint32_t)FLAG_EMPTY);
    store_le64(h + PH_EXTENSION, 0);
    int ret = bdrv_co_pwrite(file, 0, sizeof(h), h, 0);
    if (ret == 0) {
        s->in_use = in_use;
    }
    return ret;
}

static int parallels_co_before_barrier(SparseMap *m)
{
    ParallelsState *s = m->opaque;

    return s->in_use ? 0 : write_in_use(s, m->file, true);
}

static const SparseOps parallels_ops = {
    .entry_size = 4,
    .co_table = parallels_co_table,
    .get = parallels_get,
    .put = parallels_put,
    .co_alloc = parallels_co_alloc,
    .co_before_barrier = parallels_co_before_barrier,
};

/* ---- opening ---- */

static bool check_header(BlockNode *node, Error **errp)
{
    ParallelsState *s = node->state;
    const uint8_t *h = s->header;
    uint64_t sectors = load_le64(h + PH_SECTORS), tracks = load_le32(h + PH_TRACKS);
    bool in_clusters = !memcmp(h, MAGIC_CLUSTERS, 16);

    if (!parallels_probe(h, PH_HEADER, NULL)) {
        return bdrv_bad_image(node, "is not in parallels format (version 2)", errp);
    }
    if (!tracks || tracks > MAX_CLUSTER / BLK_SECTOR_SIZE) {
        return bdrv_bad_image(
            node, "the size of its clusters is not possible; possible: 512 to 256M", errp);
    }
    sectors = in_clusters ? sectors : sectors & UINT32_MAX;
    if (sectors > INT64_MAX / BLK_SECTOR_SIZE - tracks) {
        return bdrv_bad_image(node, "its size is not possible", errp);
    }
    s->entries = load_le32(h + PH_ENTRIES);
    if (s->entries > MAX_TABLE / 4 || 4 * s->entries + PH_HEADER > node->file->node->size) {
        return bdrv_bad_image(node, "its block table is too large, or longer than the file", errp);
    }
    if (sectors > s->entries * tracks) {
        return bdrv_bad_image(node, "its block table is too short for its size", errp);
    }
    node->size = sectors * BLK_SECTOR_SIZE;
    s->map.cluster = tracks * BLK_SECTOR_SIZE;
    s->unit = in_clusters ? s->map.cluster : BLK_SECTOR_SIZE;
    s->unclean = load_le32(h + PH_IN_USE) == IN_USE;
    s->map.data_start = MAX((uint64_t)load_le32(h + PH_DATA_START) * BLK_SECTOR_SIZE,
                            ROUND_UP(PH_HEADER + 4 * s->entries, BLK_SECTOR_SIZE));
    return true;
}

/* Behind the last cluster; false where the table leads out of the file. */
static int find_end(BlockNode *node, uint64_t *end, bool *whole)
{
    ParallelsState *s = node->state;
    uint8_t buf[16384];

    *whole = true;
    *end = s->map.data_start;
    for (uint64_t at = 0; at < 4 * s->entries; at += sizeof(buf)) {
        uint64_t n = MIN(4 * s->entries - at, (uint64_t)sizeof(buf));
        int ret = bdrv_co_pread(node->file, PH_HEADER + at, n, buf, 0);
        if (ret < 0) {
            return ret;
        }
        for (uint64_t i = 0; i < n; i += 4) {
            uint64_t host = load_le32(buf + i) * s->unit;
            if (host > node->file->node->size) {
                *whole = false;
            } else if (host) {
                *end = MAX(*end, host + s->map.cluster);
            }
        }
    }
    return 0;
}

static bool prepare_writing(BlockNode *node, Error **errp)
{
    ParallelsState *s = node->state;
    uint64_t end;
    bool whole;
    int ret = find_end(node, &end, &whole);

    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s: cannot read the block table", node->filename);
        return false;
    }
    if (s->unclean && !whole && !(node->flags & BDRV_O_CHECK)) {
        return bdrv_bad_image(
            node,
            "it was not closed properly and its block table leads out of the file; 'vole-img "
            "check -r all' repairs it",
            errp);
    }
    s->map.end = MAX(end, node->file->node->size);
    return true;
}

static bool parallels_co_open(BlockNode *node, BlockOptions *options, Error **errp)
{
    ParallelsState *s = node->state;

    if (!bdrv_open_header(node, options, s->header, PH_HEADER, errp)) {
        return false;
    }
    if (!check_header(node, errp)) {
        return false;
    }
    node->request_alignment = BLK_SECTOR_SIZE;
    node->zero_init = true;
    s->map = (SparseMap){
        .ops = &parallels_ops,
        .opaque = s,
        .node = node,
        .file = node->file,
        .size = node->size,
        .cluster = s->map.cluster,
        .data_start = s->map.data_start,
        .align = s->unit,
        .backing = true,
    };
    sparse_init(&s->map, 0);
    if (!node->readonly && !prepare_writing(node, errp)) {
        sparse_free(&s->map);
        return false;
    }
    return true;
}

/* The image is whole now. */
static int close_properly(BlockNode *node)
{
    ParallelsState *s = node->state;

    if (!s->in_use) {
        return 0;
    }
    int ret = sparse_flush(&s->map);
    ret = ret < 0 ? ret : bdrv_co_flush(node->file->node);
    return ret < 0 ? ret : write_in_use(s, node->file, false);
}

static void parallels_co_close(BlockNode *node)
{
    ParallelsState *s = node->state;
    int ret = node->readonly ? 0 : close_properly(node);

    if (ret < 0) {
        error_report("image %s could not be completed: %s", node->filename, strerror(-ret));
    }
    sparse_free(&s->map);
}

static bool parallels_co_reopen(BlockNode *node, bool readonly, Error **errp)
{
    int ret;

    if (!readonly) {
        return prepare_writing(node, errp);
    }
    ret = close_properly(node);
    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s could not be completed", node->filename);
    }
    return ret == 0;
}

/* ---- check ---- */

static int check_entries(BlockNode *node, BlockCheck *c, BlockCheckFix fix, uint64_t *high)
{
    ParallelsState *s = node->state;
    const SparseEntry none = {SPARSE_HOLE, 0, 0};
    uint64_t size = node->file->node->size, before = 0;
    SparseEntry e;

    for (uint64_t i = 0; i < s->entries; i++) {
        int ret = sparse_entry(&s->map, i, &e);
        if (ret < 0) {
            return ret;
        }
        if (e.kind == SPARSE_HOLE) {
            before = 0;
            continue;
        }
        if (e.host > size || e.kind == SPARSE_BAD) {
            bdrv_check_found(c, "%s cluster %" PRIu64 " is outside image",
                             fix & CHECK_FIX_ERRORS ? "Repairing" : "ERROR", i);
            c->corruptions++;
            if (fix & CHECK_FIX_ERRORS) {
                ret = sparse_set_entry(&s->map, i, &none);
                c->corruptions_fixed++;
            }
            before = 0;
            if (ret < 0) {
                return ret;
            }
            continue;
        }
        *high = MAX(*high, e.host);
        c->allocated_clusters++;
        c->fragmented_clusters += before && before + s->map.cluster != e.host;
        before = e.host;
    }
    return fix & CHECK_FIX_ERRORS ? sparse_flush(&s->map) : 0;
}

static int check_end(BlockNode *node, BlockCheck *c, BlockCheckFix fix)
{
    ParallelsState *s = node->state;
    uint64_t size = node->file->node->size;

    if (size <= c->image_end_offset) {
        return 0;
    }
    bdrv_check_found(c, "%s space leaked at the end of the image %" PRIu64,
                     fix & CHECK_FIX_LEAKS ? "Repairing" : "ERROR", size - c->image_end_offset);
    uint64_t leaks = DIV_ROUND_UP(size - c->image_end_offset, s->map.cluster);
    c->leaks += leaks;
    if (fix & CHECK_FIX_LEAKS) {
        if (!bdrv_co_truncate(node->file, c->image_end_offset, true, PREALLOC_OFF, NULL)) {
            c->check_errors++;
            return -EIO;
        }
        s->map.end = c->image_end_offset;
        c->leaks_fixed += leaks;
    }
    return 0;
}

static int parallels_co_check(BlockNode *node, BlockCheck *c, BlockCheckFix fix)
{
    ParallelsState *s = node->state;
    uint64_t high = 0;
    int ret = node->readonly ? 0 : sparse_flush(&s->map);

    c->total_clusters = s->entries;
    if (s->unclean) {
        bdrv_check_found(c, "%s image was not closed correctly",
                         fix & CHECK_FIX_ERRORS ? "Repairing" : "ERROR");
        c->corruptions++;
        if (fix & CHECK_FIX_ERRORS) {
            s->in_use = true; /* so that closing takes it back */
            s->unclean = false;
            c->corruptions_fixed++;
        }
    }
    ret = ret < 0 ? ret : check_entries(node, c, fix, &high);
    if (ret < 0) {
        return ret;
    }
    /* As other programs count: with no cluster at all, the first one's end. */
    c->image_end_offset = high ? high + s->map.cluster : MAX(s->map.cluster, s->map.data_start);
    return check_end(node, c, fix);
}

/* ---- creating ---- */

static const BlockOptionDesc parallels_create_options[] = {
    {"size", "SIZE", "size of the disk"},
    {"cluster_size", "SIZE", "a multiple of 512 (1M)"},
    {"preallocation", "off", "storage is taken as it is needed"},
    {0},
};

static void make_header(uint8_t *h, uint64_t size, uint64_t cluster, uint64_t entries,
                        uint64_t data)
{
    memcpy(h + PH_MAGIC, MAGIC_CLUSTERS, 16);
    store_le32(h + PH_VERSION, VERSION);
    store_le32(h + PH_HEADS, HEADS);
    store_le32(h + PH_CYLINDERS, (uint32_t)(size / BLK_SECTOR_SIZE / HEADS / TRACK));
    store_le32(h + PH_TRACKS, (uint32_t)(cluster / BLK_SECTOR_SIZE));
    store_le32(h + PH_ENTRIES, (uint32_t)entries);
    store_le64(h + PH_SECTORS, size / BLK_SECTOR_SIZE);
    store_le32(h + PH_DATA_START, (uint32_t)(data / BLK_SECTOR_SIZE));
}

static bool take_settings(BlockCreate *create, uint64_t *cluster, Error **errp)
{
    static const char *const modes[] = {"off", NULL};
    int mode;

    *cluster = DEFAULT_CLUSTER;
    if (!blkopts_take_size(create->options, "cluster_size", cluster, errp) ||
        !blkopts_take_word(create->options, "preallocation", modes, &mode, errp)) {
        return false;
    }
    if (!*cluster || *cluster % BLK_SECTOR_SIZE || *cluster > MAX_CLUSTER) {
        error_set(errp,
                  "cluster_size=%" PRIu64 " is not possible; possible: multiples of 512 to 256M",
                  *cluster);
        return false;
    }
    if (DIV_ROUND_UP(create->size, *cluster) > MAX_TABLE / 4) {
        error_set(errp, "%s: a disk of %" PRIu64 " bytes needs larger clusters; add cluster_size=",
                  create->filename, create->size);
        return false;
    }
    return true;
}

static bool parallels_co_create(BlockCreate *create, Error **errp)
{
    uint64_t cluster;

    if (!take_settings(create, &cluster, errp)) {
        return false;
    }
    uint64_t entries = DIV_ROUND_UP(create->size, cluster);
    uint64_t data = ROUND_UP(PH_HEADER + 4 * entries, cluster), head = PH_HEADER;
    BlockChild *root = bdrv_create_attach(create, BLK_PERM_WRITE | BLK_PERM_RESIZE, errp);
    uint8_t h[PH_HEADER] = {0};
    if (!root) {
        return false;
    }
    make_header(h, create->size, cluster, entries, data);
    int ret = bdrv_co_pwrite_zeroes(root, head, data - head, 0);
    ret = ret < 0 ? ret : bdrv_co_pwrite(root, 0, sizeof(h), h, 0);
    bdrv_root_detach(root);
    if (ret < 0) {
        error_set_errno(errp, -ret, "%s: cannot write the header", create->filename);
    }
    return ret == 0;
}

static const BlockOptionDesc parallels_options[] = {
    {"backing", "NODE", "a backing file; the image itself names none"},
    {0},
};

const BlockDriver bdrv_parallels = {
    .name = "parallels",
    .state_size = sizeof(ParallelsState),
    .supports_backing = true,
    .open_options = parallels_options,
    .create_options = parallels_create_options,
    .create_defaults = "cluster_size=1048576",
    .probe = parallels_probe,
    .co_open = parallels_co_open,
    .co_close = parallels_co_close,
    .co_reopen = parallels_co_reopen,
    .co_create = parallels_co_create,
    .co_preadv = sparse_co_preadv,
    .co_pwritev = sparse_co_pwritev,
    .co_pwrite_zeroes = sparse_co_pwrite_zeroes,
    .co_flush = sparse_co_flush,
    .co_block_status = sparse_co_block_status,
    .co_check = parallels_co_check,
};
