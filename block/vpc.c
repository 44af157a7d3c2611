/*
 * The format "vpc", Virtual PC's and Hyper-V's VHD: dynamic and fixed disks.
 *
 * Source: Microsoft, "Virtual Hard Disk Image Format Specification" 1.0. Numbers are big-endian. A
 * *footer* of 512 bytes ends the file; a dynamic disk has a copy of it at the start, a header of
 * 1 KB that says where the block table is, and blocks: each a bitmap of sectors in use, padded to a
 * sector, and the data. A fixed disk is the data and the footer. Differencing disks are refused.
 *
 * **The size.** The footer has it twice, as bytes and as cylinders, heads and sectors. Virtual PC
 * shows what the geometry gives, Hyper-V and Xen the bytes; who wrote the image tells which
 * (force_size_calc= overrides). A geometry at its limit always means the bytes.
 *
 * **The order.** A new block takes the footer's place, so the new footer is written behind it
 * first; were neither there after a crash, the copy at the start counts.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "block/block.h"
#include "block/drivers.h"
#include "block/sparse.h"
#include "block/util.h"

enum {
    VF_COOKIE = 0,
    VF_FEATURES = 8,
    VF_VERSION = 12,
    VF_DATA_OFFSET = 16,
    VF_TIME = 24,
    VF_CREATOR = 28,
    VF_CREATOR_VERSION = 32,
    VF_CREATOR_OS = 36,
    VF_ORIGINAL_SIZE = 40,
    VF_SIZE = 48,
    VF_CYLINDERS = 56,
    VF_HEADS = 58,
    VF_SECTORS = 59,
    VF_TYPE = 60,
    VF_CHECKSUM = 64,
    VF_UUID = 68,
    VF_FOOTER = 512,

    VD_COOKIE = 0,
    VD_DATA_OFFSET = 8,
    VD_TABLE_OFFSET = 16,
    VD_VERSION = 24,
    VD_ENTRIES = 28,
    VD_BLOCK_SIZE = 32,
    VD_CHECKSUM = 36,
    VD_HEADER = 1024,

    TYPE_FIXED = 2,
    TYPE_DYNAMIC = 3,
    TYPE_DIFFERENCING = 4,
    VERSION_1 = 0x00010000,
    FEATURES = 2, /* a reserved bit that is always set */
    UUID_BYTES = 16,
    BLOCK = 2 << 20,
    MAX_BLOCK = 256 << 20,
    TABLE_OFFSET = VF_FOOTER + VD_HEADER,
    EPOCH = 946684800, /* 1 January 2000 */
};
#define FOOTER_COOKIE "conectix"
#define HEADER_COOKIE "cxsparse"
#define NONE          0xffffffffu
#define MAX_GEOMETRY  (65535ull * 16 * 255)
#define MAX_SECTORS   0xff000000ull /* 2040 GB */
#define MAX_TABLE     (256u << 20)  /* bytes; as long as the disk has 2 TB in blocks of 32 KB */

typedef struct VpcState {
    SparseMap map; /* first; dynamic disks */
    bool fixed;
    uint8_t footer[VF_FOOTER];
    uint64_t table_offset, entries, bitmap_bytes;
    uint64_t last_marked; /* block whose bitmap is known to be full; 0: none */
} VpcState;

static int vpc_probe(const uint8_t *head, size_t bytes, const char *filename)
{
    return bytes >= 8 && !memcmp(head, FOOTER_COOKIE, 8) ? 100 : 0;
}

static uint32_t checksum(const uint8_t *data, size_t bytes, size_t field)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < bytes; i++) {
        sum += i >= field && i < field + 4 ? 0 : data[i];
    }
    return ~sum;
}

/* ---- the block table ---- */

static int vpc_co_table(SparseMap *m, uint64_t cluster, bool make, SparseTable *t)
{
    const VpcState *s = m->opaque;

    *t = (SparseTable){s->table_offset, s->entries, cluster};
    return cluster < s->entries ? 0 : -EIO;
}

static void vpc_get(const SparseMap *m, const uint8_t *entry, uint64_t cluster, SparseEntry *e)
{
    const VpcState *s = m->opaque;
    uint32_t v = load_be32(entry);

    if (v != NONE) {
        e->kind = SPARSE_DATA;
        e->host = (uint64_t)v * BLK_SECTOR_SIZE + s->bitmap_bytes;
    }
}

static void vpc_put(const SparseMap *m, uint8_t *entry, const SparseEntry *e)
{
    const VpcState *s = m->opaque;

    store_be32(entry, (uint32_t)((e->host - s->bitmap_bytes) / BLK_SECTOR_SIZE));
}

static int mark_block(SparseMap *m, uint64_t host)
{
    VpcState *s = m->opaque;
    uint8_t *bitmap = block_try_alloc(m->node, s->bitmap_bytes);

    if (!bitmap) {
        return -ENOMEM;
    }
    memset(bitmap, 0xff, s->bitmap_bytes);
    int ret = bdrv_co_pwrite(m->file, host - s->bitmap_bytes, s->bitmap_bytes, bitmap, 0);
    free(bitmap);
    return ret;
}

/* The footer moves on first, then its old place becomes the block's bitmap. */
static int vpc_co_alloc(SparseMap *m, uint64_t *count, uint64_t *host)
{
    VpcState *s = m->opaque;
    uint64_t block = ROUND_UP(m->end, BLK_SECTOR_SIZE);
    uint64_t end = block + s->bitmap_bytes + m->cluster;

    if (block / BLK_SECTOR_SIZE >= NONE) {
        return -EFBIG;
    }
    int ret = bdrv_co_pwrite(m->file, end, VF_FOOTER, s->footer, 0);
    ret = ret < 0 ? ret : mark_block(m, block + s->bitmap_bytes);
    if (ret < 0) {
        return ret;
    }
    *count = 1;
    *host = block + s->bitmap_bytes;
    m->end = end;
    return 0;
}

/* Other programs leave bits clear for sectors they never wrote. */
static int vpc_co_before_write(SparseMap *m, uint64_t host, uint64_t bytes)
{
    VpcState *s = m->opaque;

    for (uint64_t at = 0; at < bytes; at += m->cluster) {
        if (s->last_marked != host + at) {
            int ret = mark_block(m, host + at);
            if (ret < 0) {
                return ret;
            }
            s->last_marked = host + at;
        }
    }
    return 0;
}

static const SparseOps vpc_ops = {
    .entry_size = 4,
    .co_table = vpc_co_table,
    .get = vpc_get,
    .put = vpc_put,
    .co_alloc = vpc_co_alloc,
    .co_before_write = vpc_co_before_write,
};

/* ---- opening ---- */

static bool read_failed(const BlockNode *node, int ret, const char *what, Error **errp)
{
    error_set_errno(errp, -ret, "image %s: cannot read the %s", node->filename, what);
    return false;
}

/* At the start, or else at the end. */
static bool read_footer(BlockNode *node, Error **errp)
{
    VpcState *s = node->state;
    uint64_t size = node->file->node->size;
    int ret = bdrv_co_pread(node->file, 0, VF_FOOTER, s->footer, 0);

    if (ret == 0 && memcmp(s->footer, FOOTER_COOKIE, 8) != 0) {
        s->fixed = true;
        /* Some writers' footers have 511 bytes. */
        uint64_t end = size % BLK_SECTOR_SIZE == 511 ? size + 1 : size;
        if (end < VF_FOOTER) {
            return bdrv_bad_image(node, "is not in vpc format", errp);
        }
        ret = bdrv_co_pread(node->file, end - VF_FOOTER, VF_FOOTER, s->footer, 0);
    }
    if (ret < 0) {
        return read_failed(node, ret, "footer", errp);
    }
    uint32_t type = load_be32(s->footer + VF_TYPE);
    if (memcmp(s->footer, FOOTER_COOKIE, 8) != 0 || (s->fixed && type != TYPE_FIXED)) {
        return bdrv_bad_image(node, "is not in vpc format", errp);
    }
    if (type == TYPE_FIXED) {
        s->fixed = true;
    } else if (type != TYPE_DYNAMIC) {
        return bdrv_bad_image(
            node,
            type == TYPE_DIFFERENCING
                ? "it is a differencing disk, which is not supported"
                : "the type of disk is not known; possible: 2 (fixed), 3 (dynamic)",
            errp);
    }
    if (checksum(s->footer, VF_FOOTER, VF_CHECKSUM) != load_be32(s->footer + VF_CHECKSUM)) {
        warn_report("image %s: the checksum of its footer is wrong", node->filename);
    }
    return true;
}

static bool size_in_bytes(const uint8_t *footer)
{
    static const char *const creators[] = {"qem2", "win ", "d2v ", "tap", "CTXS", "wa\0"};

    for (size_t i = 0; i < ARRAY_SIZE(creators); i++) {
        if (!memcmp(footer + VF_CREATOR, creators[i], 4)) {
            return true;
        }
    }
    return false;
}

static bool find_size(BlockNode *node, BlockOptions *options, Error **errp)
{
    static const char *const words[] = {"chs", "current_size", NULL};
    const VpcState *s = node->state;
    const uint8_t *f = s->footer;
    uint64_t chs = (uint64_t)load_be16(f + VF_CYLINDERS) * f[VF_HEADS] * f[VF_SECTORS];
    uint64_t bytes = load_be64(f + VF_SIZE);
    int word = size_in_bytes(f);

    if (!blkopts_take_word(options, "force_size_calc", words, &word, errp)) {
        return false;
    }
    bool use_bytes = word || chs == MAX_GEOMETRY;
    if (bytes / BLK_SECTOR_SIZE > MAX_SECTORS) {
        return bdrv_bad_image(node, "its size is more than 2040 GB", errp);
    }
    node->size = use_bytes ? ROUND_DOWN(bytes, BLK_SECTOR_SIZE) : chs * BLK_SECTOR_SIZE;
    return true;
}

/* Where the blocks end; the file must hold them all. */
static bool find_end(BlockNode *node, uint64_t *end, Error **errp)
{
    VpcState *s = node->state;
    uint8_t buf[16384];

    *end = ROUND_UP(s->table_offset + 4 * s->entries, BLK_SECTOR_SIZE);
    for (uint64_t at = 0; at < 4 * s->entries; at += sizeof(buf)) {
        uint64_t n = MIN(4 * s->entries - at, (uint64_t)sizeof(buf));
        int ret = bdrv_co_pread(node->file, s->table_offset + at, n, buf, 0);
        if (ret < 0) {
            return read_failed(node, ret, "block table", errp);
        }
        for (uint64_t i = 0; i < n; i += 4) {
            uint32_t v = load_be32(buf + i);
            if (v != NONE) {
                *end = MAX(*end, (uint64_t)v * BLK_SECTOR_SIZE + s->bitmap_bytes + s->map.cluster);
            }
        }
    }
    if (*end > node->file->node->size) {
        return bdrv_bad_image(node, "a block lies behind the end of the file, which was cut off",
                              errp);
    }
    return true;
}

static bool read_header(BlockNode *node, Error **errp)
{
    VpcState *s = node->state;
    uint8_t h[VD_HEADER];
    uint64_t offset = load_be64(s->footer + VF_DATA_OFFSET), size = node->file->node->size;

    if (offset < VF_FOOTER || offset > size || size - offset < VD_HEADER) {
        return bdrv_bad_image(node, "its header lies outside of the file", errp);
    }
    int ret = bdrv_co_pread(node->file, offset, sizeof(h), h, 0);
    if (ret < 0) {
        return read_failed(node, ret, "header", errp);
    }
    if (memcmp(h, HEADER_COOKIE, 8) != 0) {
        return bdrv_bad_image(node, "it has no header of a dynamic disk", errp);
    }
    s->map.cluster = load_be32(h + VD_BLOCK_SIZE);
    s->entries = load_be32(h + VD_ENTRIES);
    s->table_offset = load_be64(h + VD_TABLE_OFFSET);
    if (s->map.cluster < BLK_SECTOR_SIZE || s->map.cluster > MAX_BLOCK ||
        (s->map.cluster & (s->map.cluster - 1))) {
        return bdrv_bad_image(
            node, "the size of its blocks is not possible; possible: powers of 2 to 256M", errp);
    }
    if (s->entries > MAX_TABLE / 4 || s->entries * s->map.cluster < node->size) {
        return bdrv_bad_image(node, "the size of its block table does not fit that of the disk",
                              errp);
    }
    if (s->table_offset < VF_FOOTER || s->table_offset > size ||
        4 * s->entries > size - s->table_offset) {
        return bdrv_bad_image(node, "its block table lies outside of the file", errp);
    }
    s->bitmap_bytes = ROUND_UP(DIV_ROUND_UP(s->map.cluster / BLK_SECTOR_SIZE, 8), 512);
    s->map.data_start = offset + VD_HEADER;
    return true;
}

static bool open_dynamic(BlockNode *node, Error **errp)
{
    VpcState *s = node->state;
    uint64_t end;

    if (!read_header(node, errp) || !find_end(node, &end, errp)) {
        return false;
    }
    s->map = (SparseMap){
        .ops = &vpc_ops,
        .opaque = s,
        .node = node,
        .file = node->file,
        .size = node->size,
        .cluster = s->map.cluster,
        .data_start = s->map.data_start,
        .align = BLK_SECTOR_SIZE,
        .hole_status = BDRV_BLOCK_ZERO,
    };
    sparse_init(&s->map, end);
    /* Behind the footer, that is: zeroes begin where the file ends now. */
    s->map.end = end;
    return true;
}

static bool vpc_co_open(BlockNode *node, BlockOptions *options, Error **errp)
{
    VpcState *s = node->state;

    if (!bdrv_open_file_child(node, options, errp) || !read_footer(node, errp) ||
        !find_size(node, options, errp)) {
        return false;
    }
    node->request_alignment = BLK_SECTOR_SIZE;
    node->zero_init = true;
    if (!s->fixed) {
        return open_dynamic(node, errp);
    }
    if (node->size + VF_FOOTER > ROUND_UP(node->file->node->size, BLK_SECTOR_SIZE)) {
        return bdrv_bad_image(node, "the file is shorter than its disk", errp);
    }
    node->supported_zero_flags = BDRV_REQ_MAY_UNMAP | BDRV_REQ_NO_FALLBACK;
    return true;
}

static void vpc_co_close(BlockNode *node)
{
    VpcState *s = node->state;

    if (!s->fixed) {
        sparse_free(&s->map);
    }
}

/* ---- requests ---- */

static int vpc_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                         unsigned flags)
{
    VpcState *s = node->state;

    return s->fixed ? bdrv_co_preadv(node->file, offset, bytes, v, at, flags)
                    : sparse_preadv(&s->map, offset, bytes, v, at);
}

static int vpc_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                          unsigned flags)
{
    VpcState *s = node->state;

    return s->fixed ? bdrv_co_pwritev(node->file, offset, bytes, v, at, flags)
                    : sparse_pwritev(&s->map, offset, bytes, v, at);
}

static int vpc_co_pwrite_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    VpcState *s = node->state;

    return s->fixed ? bdrv_co_pwrite_zeroes(node->file, offset, bytes, flags)
                    : sparse_pwrite_zeroes(&s->map, offset, bytes, flags);
}

static int vpc_co_flush(BlockNode *node)
{
    VpcState *s = node->state;

    return s->fixed ? 0 : sparse_co_flush(node);
}

static int vpc_co_block_status(BlockNode *node, bool precise, uint64_t offset, uint64_t bytes,
                               uint64_t *pnum, uint64_t *map, BlockNode **file)
{
    VpcState *s = node->state;

    if (!s->fixed) {
        return sparse_block_status(&s->map, offset, bytes, pnum, map, file);
    }
    *pnum = bytes;
    *map = offset;
    *file = node->file->node;
    return BDRV_BLOCK_DATA | BDRV_BLOCK_OFFSET_VALID | BDRV_BLOCK_RECURSE;
}

static int vpc_co_get_info(BlockNode *node, BlockInfo *info)
{
    VpcState *s = node->state;

    info->cluster_size = s->fixed ? 0 : (uint32_t)s->map.cluster;
    return 0;
}

/* ---- creating ---- */

static const BlockOptionDesc vpc_create_options[] = {
    {"size", "SIZE", "size of the disk; rounded up to a whole geometry"},
    {"subformat", "dynamic|fixed", "blocks as they are needed, or all of the disk (dynamic)"},
    {"force_size", "on|off", "exactly the size given, whatever geometry shows it"},
    {"preallocation", "off|falloc|full", "subformat=fixed: storage from the beginning"},
    {0},
};

typedef struct Geometry {
    uint16_t cylinders;
    uint8_t heads, sectors;
} Geometry;

/* Appendix "CHS Calculation" of the specification. */
static Geometry geometry_of(uint64_t total)
{
    uint64_t tracks;
    unsigned heads = 16, sectors = 255;

    total = MIN(total, MAX_GEOMETRY);
    if (total >= 65535ull * 16 * 63) {
        tracks = total / sectors;
    } else {
        sectors = 17;
        tracks = total / sectors;
        heads = (unsigned)MAX((tracks + 1023) / 1024, 4);
        if (tracks >= heads * 1024ull || heads > 16) {
            sectors = 31;
            heads = 16;
            tracks = total / sectors;
        }
        if (tracks >= heads * 1024ull) {
            sectors = 63;
            heads = 16;
            tracks = total / sectors;
        }
    }
    return (Geometry){(uint16_t)(tracks / heads), (uint8_t)heads, (uint8_t)sectors};
}

static uint64_t geometry_sectors(Geometry g)
{
    return (uint64_t)g.cylinders * g.heads * g.sectors;
}

/* The first geometry that holds all of it. */
static bool choose_size(const BlockCreate *create, bool force, Geometry *g, uint64_t *sectors,
                        Error **errp)
{
    *sectors = DIV_ROUND_UP(create->size, BLK_SECTOR_SIZE);
    if (*sectors > MAX_SECTORS) {
        error_set(errp, "%s: vpc disks have at most 2040G", create->filename);
        return false;
    }
    *g = (Geometry){65535, 16, 255};
    if (!force && *sectors < MAX_GEOMETRY) {
        uint64_t wanted = *sectors;
        do {
            *g = geometry_of(wanted++);
        } while (geometry_sectors(*g) < *sectors);
    }
    if (geometry_sectors(*g) != MAX_GEOMETRY) {
        *sectors = geometry_sectors(*g);
    }
    return true;
}

static void make_footer(uint8_t *f, Geometry g, uint64_t sectors, bool fixed, bool force)
{
    memset(f, 0, VF_FOOTER);
    memcpy(f + VF_COOKIE, FOOTER_COOKIE, 8);
    store_be32(f + VF_FEATURES, FEATURES);
    store_be32(f + VF_VERSION, VERSION_1);
    store_be64(f + VF_DATA_OFFSET, fixed ? UINT64_MAX : VF_FOOTER);
    store_be32(f + VF_TIME, (uint32_t)(time(NULL) - EPOCH));
    memcpy(f + VF_CREATOR, force ? "win " : "vole", 4);
    store_be32(f + VF_CREATOR_VERSION, 0x00050003);
    memcpy(f + VF_CREATOR_OS, "Wi2k", 4);
    store_be64(f + VF_ORIGINAL_SIZE, sectors * BLK_SECTOR_SIZE);
    store_be64(f + VF_SIZE, sectors * BLK_SECTOR_SIZE);
    store_be16(f + VF_CYLINDERS, g.cylinders);
    f[VF_HEADS] = g.heads;
    f[VF_SECTORS] = g.sectors;
    store_be32(f + VF_TYPE, fixed ? TYPE_FIXED : TYPE_DYNAMIC);
    if (getrandom(f + VF_UUID, UUID_BYTES, 0) != UUID_BYTES) {
        memset(f + VF_UUID, 1, UUID_BYTES);
    }
    store_be32(f + VF_CHECKSUM, checksum(f, VF_FOOTER, VF_CHECKSUM));
}

static int write_dynamic(BlockChild *root, const uint8_t *footer, uint64_t sectors)
{
    uint32_t entries = (uint32_t)DIV_ROUND_UP(sectors * BLK_SECTOR_SIZE, BLOCK);
    uint64_t table = ROUND_UP(4ull * entries, BLK_SECTOR_SIZE);
    uint8_t *buf = calloc(1, TABLE_OFFSET + table + VF_FOOTER);
    uint8_t *h = buf + VF_FOOTER;

    if (!buf) {
        return -ENOMEM;
    }
    memcpy(buf, footer, VF_FOOTER);
    memcpy(h + VD_COOKIE, HEADER_COOKIE, 8);
    store_be64(h + VD_DATA_OFFSET, UINT64_MAX);
    store_be64(h + VD_TABLE_OFFSET, TABLE_OFFSET);
    store_be32(h + VD_VERSION, VERSION_1);
    store_be32(h + VD_ENTRIES, entries);
    store_be32(h + VD_BLOCK_SIZE, BLOCK);
    store_be32(h + VD_CHECKSUM, checksum(h, VD_HEADER, VD_CHECKSUM));
    memset(buf + TABLE_OFFSET, 0xff, table);
    memcpy(buf + TABLE_OFFSET + table, footer, VF_FOOTER);
    int ret = bdrv_co_pwrite(root, 0, TABLE_OFFSET + table + VF_FOOTER, buf, 0);
    free(buf);
    return ret;
}

static bool vpc_co_create(BlockCreate *create, Error **errp)
{
    static const char *const subformats[] = {"dynamic", "fixed", NULL};
    static const char *const modes[] = {"off", "falloc", "full", NULL};
    static const BlockPrealloc prealloc[] = {PREALLOC_OFF, PREALLOC_FALLOC, PREALLOC_FULL};
    int subformat = 0, mode = 0;
    bool force = false;
    uint64_t sectors;
    Geometry g;
    uint8_t footer[VF_FOOTER];

    if (!blkopts_take_word(create->options, "subformat", subformats, &subformat, errp) ||
        !blkopts_take_word(create->options, "preallocation", modes, &mode, errp) ||
        !blkopts_take_bool(create->options, "force_size", &force, errp) ||
        !choose_size(create, force, &g, &sectors, errp)) {
        return false;
    }
    if (mode && !subformat) {
        error_set(errp, "preallocation=%s: only together with subformat=fixed", modes[mode]);
        return false;
    }
    BlockChild *root = bdrv_create_attach(create, BLK_PERM_WRITE | BLK_PERM_RESIZE, errp);
    if (!root) {
        return false;
    }
    make_footer(footer, g, sectors, subformat, force);
    uint64_t size = sectors * BLK_SECTOR_SIZE;
    bool ok = !subformat || bdrv_co_truncate(root, size, false, prealloc[mode], errp);
    if (ok) {
        int ret = subformat ? bdrv_co_pwrite(root, size, VF_FOOTER, footer, 0)
                            : write_dynamic(root, footer, sectors);
        ok = ret == 0;
        if (!ok) {
            error_set_errno(errp, -ret, "%s: cannot write the header", create->filename);
        }
    }
    bdrv_root_detach(root);
    return ok;
}

static const BlockOptionDesc vpc_options[] = {
    {"force_size_calc", "chs|current_size", "which of the footer's two sizes is the disk's"},
    {0},
};

const BlockDriver bdrv_vpc = {
    .name = "vpc",
    .state_size = sizeof(VpcState),
    .open_options = vpc_options,
    .create_options = vpc_create_options,
    .probe = vpc_probe,
    .co_open = vpc_co_open,
    .co_close = vpc_co_close,
    .co_create = vpc_co_create,
    .co_preadv = vpc_co_preadv,
    .co_pwritev = vpc_co_pwritev,
    .co_pwrite_zeroes = vpc_co_pwrite_zeroes,
    .co_flush = vpc_co_flush,
    .co_block_status = vpc_co_block_status,
    .co_get_info = vpc_co_get_info,
};
