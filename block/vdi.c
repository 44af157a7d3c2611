/*
 * The format "vdi", VirtualBox's disk images, version 1.1: growing and static ones.
 *
 * Layout (all numbers little-endian): a header of 512 bytes, the block map, the blocks of 1 MB. An
 * entry of the map is the number of a block in the file, or says that there is none: never written,
 * or discarded; both read as zeroes. Source: the layout as VirtualBox documents it in its public
 * headers and in "All about VDIs" (its forum). Images that hang on a parent (snapshots) and other
 * block sizes are refused.
 *
 * The header counts the blocks in use, which stand in the file without gaps; the next one is the
 * block of that number. The count reaches the disk before an entry of the map does, so after a
 * crash, or a write that failed, it may be too high, never too low, and there may be gaps: blocks
 * that nothing leads to. No user here trusts it; the image's next one puts it behind the last block
 * in use and takes the gaps for new blocks, and a check's repair moves blocks into them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "block/block.h"
#include "block/drivers.h"
#include "block/sparse.h"
#include "block/util.h"

enum {
    VD_TEXT = 0,
    VD_SIGNATURE = 64,
    VD_VERSION = 68,
    VD_HEADER_SIZE = 72,
    VD_TYPE = 76,
    VD_FLAGS = 80,
    VD_MAP_OFFSET = 340,
    VD_DATA_OFFSET = 344,
    VD_SECTOR_SIZE = 360,
    VD_DISK_SIZE = 368,
    VD_BLOCK_SIZE = 376,
    VD_BLOCK_EXTRA = 380,
    VD_BLOCKS = 384,
    VD_ALLOCATED = 388,
    VD_UUID = 392,
    VD_UUID_SNAPSHOT = 408,
    VD_UUID_LINK = 424,
    VD_UUID_PARENT = 440,
    VD_HEADER = 512,

    TYPE_DYNAMIC = 1,
    TYPE_STATIC = 2,
    VERSION_1_1 = 0x00010001,
    HEADER_REST = 0x180, /* bytes from VD_HEADER_SIZE on */
    UUID_BYTES = 16,
    BLOCK = 1 << 20,
    MAX_GAPS = 1 << 20, /* that are kept in mind: of 1 TB */
};
#define SIGNATURE  0xbeda107fu
#define NONE       0xffffffffu
#define DISCARDED  0xfffffffeu
#define MAX_BLOCKS 0x3fffff00u /* that its data begins before 4 GB, behind the map */
#define IMAGE_TEXT "<<< Vole VM Virtual Disk Image >>>\n"

typedef struct VdiState {
    SparseMap map; /* first */
    uint32_t type, blocks;
    uint32_t allocated; /* as the header in the file has it */
    uint32_t next;      /* block to be used next, when there are no gaps */
    uint32_t *gaps;     /* blocks in front of it that nothing leads to */
    uint32_t gap_count, gap_room;
    uint64_t map_offset;
} VdiState;

static int vdi_probe(const uint8_t *head, size_t bytes, const char *filename)
{
    return bytes >= VD_HEADER && load_le32(head + VD_SIGNATURE) == SIGNATURE ? 100 : 0;
}

/* ---- the block map ---- */

static int vdi_co_table(SparseMap *m, uint64_t cluster, bool make, SparseTable *t)
{
    const VdiState *s = m->opaque;

    *t = (SparseTable){s->map_offset, s->blocks, cluster};
    return cluster < s->blocks ? 0 : -EIO;
}

static void vdi_get(const SparseMap *m, const uint8_t *entry, uint64_t cluster, SparseEntry *e)
{
    uint32_t v = load_le32(entry);

    if (v < DISCARDED) {
        e->kind = SPARSE_DATA;
        e->host = m->data_start + (uint64_t)v * BLOCK;
    }
}

static void vdi_put(const SparseMap *m, uint8_t *entry, const SparseEntry *e)
{
    store_le32(entry,
               e->kind == SPARSE_HOLE ? NONE : (uint32_t)((e->host - m->data_start) / BLOCK));
}

static int add_gap(VdiState *s, uint32_t block)
{
    if (s->gap_count == MAX_GAPS) {
        return 0; /* lost until the next open */
    }
    if (s->gap_count == s->gap_room) {
        uint32_t room = MAX(2 * s->gap_room, 64);
        uint32_t *gaps = realloc(s->gaps, room * sizeof(*gaps));
        if (!gaps) {
            return -ENOMEM;
        }
        s->gaps = gaps;
        s->gap_room = room;
    }
    s->gaps[s->gap_count++] = block;
    return 0;
}

/* There are only as many places as the disk has blocks, so gaps are used again. */
static int vdi_co_alloc(SparseMap *m, uint64_t *count, uint64_t *host)
{
    VdiState *s = m->opaque;

    if (s->gap_count) {
        *count = 1;
        *host = m->data_start + (uint64_t)s->gaps[--s->gap_count] * BLOCK;
        return 0;
    }

    if (*count > s->blocks - MIN(s->next, s->blocks)) {
        return -EIO; /* more blocks than the disk has: the map names some twice */
    }
    *host = m->data_start + (uint64_t)s->next * BLOCK;
    s->next += (uint32_t)*count;
    return 0;
}

static void vdi_release(SparseMap *m, uint64_t host, uint64_t count)
{
    VdiState *s = m->opaque;
    uint32_t first = (uint32_t)((host - m->data_start) / BLOCK);

    for (uint64_t i = count; i-- > 0;) {
        add_gap(s, first + (uint32_t)i); /* without memory it is lost until the next open */
    }
}

/* The count goes before the entries. */
static int vdi_co_before_barrier(SparseMap *m)
{
    VdiState *s = m->opaque;
    uint8_t field[4];

    if (s->allocated == s->next) {
        return 0;
    }
    store_le32(field, s->next);
    int ret = bdrv_co_pwrite(m->file, VD_ALLOCATED, sizeof(field), field, 0);
    if (ret == 0) {
        s->allocated = s->next;
    }
    return ret;
}

static int vdi_co_after_tables(SparseMap *m)
{
    m->tables_changed = false;
    return 0;
}

static const SparseOps vdi_ops = {
    .entry_size = 4,
    .co_table = vdi_co_table,
    .get = vdi_get,
    .put = vdi_put,
    .co_alloc = vdi_co_alloc,
    .release = vdi_release,
    .co_before_barrier = vdi_co_before_barrier,
    .co_after_tables = vdi_co_after_tables,
};

/* ---- opening ---- */

static bool check_header(BlockNode *node, const uint8_t *h, Error **errp)
{
    static const uint8_t none[UUID_BYTES];
    VdiState *s = node->state;
    uint64_t size = load_le64(h + VD_DISK_SIZE), map_bytes;

    if (load_le32(h + VD_SIGNATURE) != SIGNATURE) {
        return bdrv_bad_image(node, "is not in vdi format", errp);
    }
    if (load_le32(h + VD_VERSION) != VERSION_1_1) {
        return bdrv_bad_image(node, "only version 1.1 of vdi is known", errp);
    }
    s->type = load_le32(h + VD_TYPE);
    s->blocks = load_le32(h + VD_BLOCKS);
    s->allocated = load_le32(h + VD_ALLOCATED);
    s->map_offset = load_le32(h + VD_MAP_OFFSET);
    map_bytes = 4ull * s->blocks;
    if (s->type != TYPE_DYNAMIC && s->type != TYPE_STATIC) {
        return bdrv_bad_image(
            node, "the type of image is not known; possible: 1 (dynamic), 2 (static)", errp);
    }
    if (memcmp(h + VD_UUID_LINK, none, UUID_BYTES) != 0 ||
        memcmp(h + VD_UUID_PARENT, none, UUID_BYTES) != 0) {
        return bdrv_bad_image(node, "it is a snapshot over another image, which is not supported",
                              errp);
    }
    if (load_le32(h + VD_SECTOR_SIZE) != BLK_SECTOR_SIZE || load_le32(h + VD_BLOCK_SIZE) != BLOCK ||
        load_le32(h + VD_BLOCK_EXTRA)) {
        return bdrv_bad_image(
            node, "sectors of 512 bytes in blocks of 1 MB are all that is supported", errp);
    }
    if (s->blocks > MAX_BLOCKS || size > (uint64_t)s->blocks * BLOCK) {
        return bdrv_bad_image(node, "its size does not fit its number of blocks", errp);
    }
    if (s->map_offset % BLK_SECTOR_SIZE || s->map_offset < VD_HEADER ||
        s->map_offset + map_bytes > node->file->node->size) {
        return bdrv_bad_image(node, "its block map lies outside of the file", errp);
    }
    s->map.data_start = load_le32(h + VD_DATA_OFFSET);
    if (s->map.data_start % BLK_SECTOR_SIZE || s->map.data_start < s->map_offset + map_bytes) {
        return bdrv_bad_image(node, "its data begins inside of its block map", errp);
    }
    node->size = ROUND_UP(size, BLK_SECTOR_SIZE);
    return true;
}

/* Marks which blocks of the file entries lead to; counts them. */
static int scan_map(BlockNode *node, uint8_t *seen, uint32_t *used)
{
    VdiState *s = node->state;
    uint8_t buf[16384];

    s->next = 0;
    for (uint64_t at = 0; at < 4ull * s->blocks; at += sizeof(buf)) {
        uint64_t n = MIN(4ull * s->blocks - at, (uint64_t)sizeof(buf));
        int ret = bdrv_co_pread(node->file, s->map_offset + at, n, buf, 0);
        if (ret < 0) {
            return ret;
        }
        for (uint64_t i = 0; i < n; i += 4) {
            uint32_t v = load_le32(buf + i);
            if (v < s->blocks && !(seen[v / 8] >> v % 8 & 1)) {
                seen[v / 8] |= (uint8_t)(1 << v % 8);
                ++*used;
                s->next = MAX(s->next, v + 1);
            }
        }
    }
    return 0;
}

/* The first block that no entry leads to, and none behind it; the gaps in front of it. */
static bool find_next(BlockNode *node, Error **errp)
{
    VdiState *s = node->state;
    uint8_t *seen = calloc(1, s->blocks / 8 + 1);
    uint32_t used = 0;
    int ret = seen ? scan_map(node, seen, &used) : -ENOMEM;

    s->gap_count = 0;
    for (uint32_t v = s->next; ret == 0 && used < s->next && v-- > 0;) {
        if (!(seen[v / 8] >> v % 8 & 1)) {
            ret = add_gap(s, v);
        }
    }
    free(seen);
    if (ret < 0) {
        free(s->gaps);
        s->gaps = NULL;
        s->gap_count = s->gap_room = 0;
        error_set_errno(errp, -ret, "image %s: cannot read the block map", node->filename);
    }
    return ret == 0;
}

static bool vdi_co_open(BlockNode *node, BlockOptions *options, Error **errp)
{
    VdiState *s = node->state;
    uint8_t h[VD_HEADER];

    if (!bdrv_open_header(node, options, h, sizeof(h), errp)) {
        return false;
    }
    if (!check_header(node, h, errp) || (!node->readonly && !find_next(node, errp))) {
        return false;
    }
    node->request_alignment = BLK_SECTOR_SIZE;
    node->zero_init = true;
    s->map = (SparseMap){
        .ops = &vdi_ops,
        .opaque = s,
        .node = node,
        .file = node->file,
        .size = node->size,
        .cluster = BLOCK,
        .data_start = s->map.data_start,
        .align = BLK_SECTOR_SIZE,
        .hole_status = BDRV_BLOCK_ZERO,
        .recurse = s->type == TYPE_STATIC,
        .tables_changed = !(node->flags & BDRV_O_CHECK), /* the first flush puts the count right */
    };
    sparse_init(&s->map, 0);
    return true;
}

static void vdi_co_close(BlockNode *node)
{
    VdiState *s = node->state;

    sparse_free(&s->map);
    free(s->gaps);
}

static bool vdi_co_reopen(BlockNode *node, bool readonly, Error **errp)
{
    return readonly || find_next(node, errp);
}

/* ---- check ---- */

typedef struct VdiCheck {
    BlockCheck *c;
    BlockCheckFix fix;
    uint8_t *seen; /* a bit for each block of the file that an entry leads to */
    uint32_t used; /* how many those are */
    uint32_t end;  /* behind the last of them */
} VdiCheck;

static bool is_seen(const VdiCheck *k, uint32_t v)
{
    return k->seen[v / 8] >> v % 8 & 1;
}

static uint32_t block_of(const SparseMap *m, const SparseEntry *e)
{
    return (uint32_t)((e->host - m->data_start) / BLOCK);
}

/* Every block of the file belongs to one entry at most. */
static int check_entries(VdiState *s, VdiCheck *k)
{
    static const SparseEntry none = {SPARSE_HOLE, 0, 0};
    const bool repair = k->fix & CHECK_FIX_ERRORS;
    SparseEntry e;
    int ret = 0;

    for (uint64_t block = 0; block < s->blocks && ret == 0; block++) {
        ret = sparse_entry(&s->map, block, &e);
        if (ret < 0 || e.kind == SPARSE_HOLE) {
            continue;
        }
        uint32_t v = block_of(&s->map, &e);
        if (v < s->blocks && !is_seen(k, v)) {
            k->seen[v / 8] |= (uint8_t)(1 << v % 8);
            k->used++;
            k->end = MAX(k->end, v + 1);
            continue;
        }
        bdrv_check_found(k->c,
                         v < s->blocks
                             ? "ERROR: block %" PRIu64 " stands where another does (%" PRIu32 ")"
                             : "ERROR: block %" PRIu64 " stands outside of the image (%" PRIu32 ")",
                         block, v);
        k->c->corruptions++;
        /* Of two that share a place both stay: one of them has its data there. */
        if (repair && v >= s->blocks) {
            ret = sparse_set_entry(&s->map, block, &none);
            k->c->corruptions_fixed += ret == 0;
        }
    }
    return ret < 0 || !repair ? ret : sparse_flush(&s->map);
}

static int write_count(VdiState *s, uint32_t next)
{
    s->next = next;
    s->allocated = ~next;
    return vdi_co_before_barrier(&s->map);
}

/* Blocks from behind into the gaps. The old places are given up only when all entries lead to the
 * new ones. */
static int close_gaps(VdiState *s, const VdiCheck *k)
{
    uint8_t *buf = block_try_alloc(s->map.node, BLOCK);
    uint32_t gap = 0;
    SparseEntry e;
    int ret = buf ? 0 : -ENOMEM;

    for (uint64_t block = 0; block < s->blocks && ret == 0; block++) {
        ret = sparse_entry(&s->map, block, &e);
        if (ret < 0 || e.kind == SPARSE_HOLE || block_of(&s->map, &e) < k->used) {
            continue;
        }
        while (is_seen(k, gap)) {
            gap++;
        }
        uint64_t from = e.host;
        e.host = s->map.data_start + (uint64_t)gap++ * BLOCK;
        ret = bdrv_co_pread(s->map.file, from, BLOCK, buf, 0);
        ret = ret < 0 ? ret : bdrv_co_pwrite(s->map.file, e.host, BLOCK, buf, 0);
        ret = ret < 0 ? ret : sparse_set_entry(&s->map, block, &e);
    }
    free(buf);
    ret = ret < 0 ? ret : sparse_flush(&s->map);
    return ret < 0 ? ret : bdrv_co_flush(s->map.file->node);
}

/* The header counts the blocks, which have no gaps. What it counts in excess is lost, no more; a
 * block that it leaves out would be written over by other programs. */
static int check_count(VdiState *s, VdiCheck *k)
{
    const uint32_t lost = MAX(s->allocated, k->end) - k->used;
    int ret = 0;

    if (k->end > s->allocated) {
        bdrv_check_found(
            k->c, "ERROR: the header counts %" PRIu32 " blocks, the last one stands behind them",
            s->allocated);
        k->c->corruptions++;
        if (k->fix & CHECK_FIX_ERRORS) {
            ret = write_count(s, k->end);
            k->c->corruptions_fixed += ret == 0;
        }
    }
    if (!lost || ret < 0) {
        return ret;
    }
    bdrv_check_found(k->c, "Leaked blocks: the header counts %" PRIu32 ", %" PRIu32 " are in use",
                     MAX(s->allocated, k->end), k->used);
    k->c->leaks += lost;
    if (!(k->fix & CHECK_FIX_LEAKS) || k->c->corruptions != k->c->corruptions_fixed) {
        return 0;
    }
    ret = close_gaps(s, k);
    s->gap_count = 0;
    ret = ret < 0 ? ret : write_count(s, k->used);
    k->c->leaks_fixed += ret == 0 ? lost : 0;
    return ret;
}

static int vdi_co_check(BlockNode *node, BlockCheck *c, BlockCheckFix fix)
{
    VdiState *s = node->state;
    VdiCheck k = {.c = c, .fix = fix, .seen = block_try_alloc(NULL, s->blocks / 8 + 1)};

    if (!k.seen) {
        return -ENOMEM;
    }
    memset(k.seen, 0, s->blocks / 8 + 1);
    int ret = node->readonly ? 0 : sparse_flush(&s->map);
    ret = ret < 0 ? ret : check_entries(s, &k);
    ret = ret < 0 ? ret : check_count(s, &k);
    free(k.seen);
    return ret;
}

/* ---- creating ---- */

static const BlockOptionDesc vdi_create_options[] = {
    {"size", "SIZE", "size of the disk"},
    {"static", "on|off", "all blocks are there from the beginning"},
    {"preallocation", "off|metadata|falloc|full",
     "metadata is static=on; falloc and full reserve or write its storage as well"},
    {0},
};

static void make_uuid(uint8_t *uuid)
{
    if (getrandom(uuid, UUID_BYTES, 0) != UUID_BYTES) {
        memset(uuid, 1, UUID_BYTES);
    }
    uuid[7] = (uuid[7] & 0x0f) | 0x40; /* version 4, little-endian fields */
    uuid[8] = (uuid[8] & 0x3f) | 0x80;
}

static void make_header(uint8_t *h, uint64_t size, uint32_t blocks, bool is_static)
{
    memset(h, 0, VD_HEADER);
    memcpy(h + VD_TEXT, IMAGE_TEXT, strlen(IMAGE_TEXT));
    store_le32(h + VD_SIGNATURE, SIGNATURE);
    store_le32(h + VD_VERSION, VERSION_1_1);
    store_le32(h + VD_HEADER_SIZE, HEADER_REST);
    store_le32(h + VD_TYPE, is_static ? TYPE_STATIC : TYPE_DYNAMIC);
    store_le32(h + VD_MAP_OFFSET, VD_HEADER);
    store_le32(h + VD_DATA_OFFSET, (uint32_t)(VD_HEADER + ROUND_UP(4ull * blocks, 512)));
    store_le32(h + VD_SECTOR_SIZE, BLK_SECTOR_SIZE);
    store_le64(h + VD_DISK_SIZE, size);
    store_le32(h + VD_BLOCK_SIZE, BLOCK);
    store_le32(h + VD_BLOCKS, blocks);
    store_le32(h + VD_ALLOCATED, is_static ? blocks : 0);
    make_uuid(h + VD_UUID);
    make_uuid(h + VD_UUID_SNAPSHOT);
}

static int write_map(BlockChild *root, uint32_t blocks, bool is_static)
{
    uint8_t buf[16384];
    uint64_t bytes = ROUND_UP(4ull * blocks, 512);
    int ret = 0;

    for (uint64_t at = 0; at < bytes && ret == 0; at += sizeof(buf)) {
        uint64_t n = MIN(bytes - at, (uint64_t)sizeof(buf));
        for (uint64_t i = 0; i < n; i += 4) {
            uint64_t block = (at + i) / 4;
            store_le32(buf + i, block >= blocks ? 0 : is_static ? (uint32_t)block : NONE);
        }
        ret = bdrv_co_pwrite(root, VD_HEADER + at, n, buf, 0);
    }
    return ret;
}

static bool vdi_co_create(BlockCreate *create, Error **errp)
{
    uint64_t blocks = DIV_ROUND_UP(create->size, BLOCK);
    bool is_static = false;
    int mode = PREALLOC_OFF;
    uint8_t h[VD_HEADER];

    if (!blkopts_take_bool(create->options, "static", &is_static, errp) ||
        !blkopts_take_word(create->options, "preallocation", bdrv_prealloc_names, &mode, errp)) {
        return false;
    }
    is_static |= mode == PREALLOC_METADATA;
    if (mode > PREALLOC_METADATA && !is_static) {
        error_set(errp, "preallocation=%s: only together with static=on",
                  bdrv_prealloc_names[mode]);
        return false;
    }
    if (blocks > MAX_BLOCKS) {
        error_set(errp, "%s: vdi disks have at most %u MB", create->filename, MAX_BLOCKS);
        return false;
    }
    BlockChild *root = bdrv_create_attach(create, BLK_PERM_WRITE | BLK_PERM_RESIZE, errp);
    if (!root) {
        return false;
    }
    make_header(h, create->size, (uint32_t)blocks, is_static);
    int ret = bdrv_co_pwrite(root, 0, sizeof(h), h, 0);
    ret = ret < 0 ? ret : write_map(root, (uint32_t)blocks, is_static);
    bool ok = ret == 0;
    if (!ok) {
        error_set_errno(errp, -ret, "%s: cannot write the header", create->filename);
    } else if (is_static) {
        ok = bdrv_co_truncate(root, load_le32(h + VD_DATA_OFFSET) + blocks * BLOCK, false,
                              mode > PREALLOC_METADATA ? (BlockPrealloc)mode : PREALLOC_OFF, errp);
    }
    bdrv_root_detach(root);
    return ok;
}

const BlockDriver bdrv_vdi = {
    .name = "vdi",
    .state_size = sizeof(VdiState),
    .create_options = vdi_create_options,
    .create_defaults = "static=off",
    .probe = vdi_probe,
    .co_open = vdi_co_open,
    .co_close = vdi_co_close,
    .co_reopen = vdi_co_reopen,
    .co_create = vdi_co_create,
    .co_preadv = sparse_co_preadv,
    .co_pwritev = sparse_co_pwritev,
    .co_pwrite_zeroes = sparse_co_pwrite_zeroes,
    .co_flush = sparse_co_flush,
    .co_block_status = sparse_co_block_status,
    .co_check = vdi_co_check,
    .co_get_info = sparse_co_get_info,
};
