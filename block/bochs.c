/*
 * The format "bochs": growing disks of the Bochs emulator ("redologs" of the kind "Growing"),
 * versions 1 and 2, after the user documentation of Bochs and its headers. Flat disks of Bochs are
 * raw; redologs of the other kinds (undoable, volatile) belong to another image that they do not
 * name, and are refused.
 *
 *     header (512 bytes, numbers little-endian)
 *     catalog: for each extent of the disk its place, a number, or 0xffffffff
 *     extents in the order in which they came: a bitmap in whole sectors, then the data
 *
 * A sector whose bit is not set reads as zeroes. Changes of the catalog and of bitmaps stay in
 * memory until a flush, and are written behind one of the file: an entry on disk never leads to an
 * extent that is not there, a bit never to data that is not, however a crash cuts the writes.
 * Storage that is given back becomes zeroes, so a bit that is still set on disk leads to nothing
 * else. What a crash leaves behind the last extent is written over by the next one.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "block/driver.h"
#include "block/drivers.h"
#include "block/util.h"

#define MAGIC       "Bochs Virtual HD Image"
#define UNALLOCATED UINT32_MAX

typedef struct BochsHeader {
    char magic[32], type[16], subtype[16];
    uint32_t version, header_size;
    uint32_t catalog; /* entries */
    uint32_t bitmap;  /* bytes of an extent's bitmap; it takes whole sectors */
    uint32_t extent;  /* bytes */
    union {
        uint8_t v1_disk[8]; /* bytes of the disk */
        struct {
            uint8_t timestamp[4]; /* undoable redologs only */
            uint8_t disk[8];
        } v2;
    };
} __attribute__((packed)) BochsHeader;
_Static_assert(sizeof(BochsHeader) == 96, "the header ends behind the size of the disk");

/* Limits: other implementations have the same. The catalog takes 4 MB at most. */
enum {
    VERSION_1 = 0x10000,
    VERSION_2 = 0x20000,
    HEADER_SIZE = 512,
    MAX_CATALOG = 1 << 20,
    MAX_EXTENT = 8 << 20,
    MIN_BITMAP = 1,
    MIN_CATALOG = 512,
    BITMAP_SLOTS = 128, /* bitmaps kept in memory, of up to 2 KB */
};

typedef struct BitmapSlot {
    uint32_t extent; /* UNALLOCATED: none */
    uint8_t *bits;
    uint32_t dirty_from, dirty_to; /* bytes to be written; none where they are the same */
} BitmapSlot;

typedef struct BochsState {
    uint32_t version, catalog_size, extent_size;
    uint64_t header_size, catalog_bytes;
    uint64_t bitmap_bytes; /* that an extent's bitmap needs, in whole sectors */
    uint64_t bitmap_space; /* that it takes */
    uint64_t data_offset;  /* of the first extent */

    uint32_t *catalog;                /* little-endian, as in the file */
    uint32_t dirty_first, dirty_last; /* entries to be written; first > last: none */
    uint32_t next;                    /* place of the next extent */
    BitmapSlot slots[BITMAP_SLOTS];
    CoMutex lock; /* catalog and bitmaps; held while what they lead to is being made */
} BochsState;

/* ---- opening ---- */

static int bochs_probe(const uint8_t *head, size_t bytes, const char *filename)
{
    return bytes >= sizeof(MAGIC) && !memcmp(head, MAGIC, sizeof(MAGIC)) ? 100 : 0;
}

static bool check_header(BlockNode *node, const BochsHeader *h, Error **errp)
{
    uint32_t version = le32toh(h->version), extent = le32toh(h->extent);
    uint32_t catalog = le32toh(h->catalog), bitmap = le32toh(h->bitmap);
    uint64_t disk = load_le64(version == VERSION_1 ? h->v1_disk : h->v2.disk);

    if (memcmp(h->magic, MAGIC, sizeof(MAGIC)) != 0 || memcmp(h->type, "Redolog", 8) != 0) {
        return bdrv_bad_image(node, "is not in bochs format", errp);
    }
    if (memcmp(h->subtype, "Growing", 8) != 0) {
        error_set(errp,
                  "image %s is a redolog of the kind '%.15s', which belongs to another image; "
                  "possible: Growing (bximage commits the others)",
                  node->filename, h->subtype);
        return false;
    }
    if (version != VERSION_1 && version != VERSION_2) {
        error_set(errp, "image %s: bochs version %#" PRIx32 " is not known; possible: %#x, %#x",
                  node->filename, version, VERSION_1, VERSION_2);
        return false;
    }
    if (extent < BLK_SECTOR_SIZE || extent > MAX_EXTENT || (extent & (extent - 1))) {
        error_set(errp,
                  "image %s: extents of %" PRIu32 " bytes are not possible; possible: powers of 2 "
                  "from 512 to 8M",
                  node->filename, extent);
        return false;
    }
    if (catalog > MAX_CATALOG) {
        return bdrv_bad_image(node, "the catalog has more than 1048576 entries", errp);
    }
    if (le32toh(h->header_size) < sizeof(*h) || le32toh(h->header_size) > 1 << 20) {
        return bdrv_bad_image(node, "the header's length is not possible", errp);
    }
    if (bitmap < DIV_ROUND_UP(extent / BLK_SECTOR_SIZE, 8) || bitmap > MAX_EXTENT) {
        return bdrv_bad_image(node, "the size of the bitmaps does not fit the extents", errp);
    }
    if (ROUND_DOWN(disk, BLK_SECTOR_SIZE) > (uint64_t)catalog * extent) {
        return bdrv_bad_image(node, "the catalog is too small for the disk", errp);
    }
    return true;
}

static bool load_catalog(BlockNode *node, Error **errp)
{
    BochsState *s = node->state;

    s->catalog = block_try_alloc(node, s->catalog_bytes);
    int ret = s->catalog
                  ? bdrv_co_pread(node->file, s->header_size, s->catalog_bytes, s->catalog, 0)
                  : -ENOMEM;
    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s: cannot read the catalog", node->filename);
        free(s->catalog);
        return false;
    }
    for (uint32_t i = 0; i < s->catalog_size; i++) {
        uint32_t place = le32toh(s->catalog[i]);
        if (place != UNALLOCATED) {
            s->next = MAX(s->next, place + 1);
        }
    }
    return true;
}

static bool bochs_co_open(BlockNode *node, BlockOptions *options, Error **errp)
{
    BochsState *s = node->state;
    BochsHeader h;

    if (!bdrv_open_header(node, options, &h, sizeof(h), errp)) {
        return false;
    }
    if (!check_header(node, &h, errp)) {
        return false;
    }
    s->version = le32toh(h.version);
    s->catalog_size = le32toh(h.catalog);
    s->catalog_bytes = 4ull * s->catalog_size;
    s->header_size = le32toh(h.header_size);
    s->extent_size = le32toh(h.extent);
    s->bitmap_space = ROUND_UP((uint64_t)le32toh(h.bitmap), BLK_SECTOR_SIZE);
    s->bitmap_bytes = ROUND_UP(DIV_ROUND_UP(s->extent_size / BLK_SECTOR_SIZE, 8u), BLK_SECTOR_SIZE);
    s->data_offset = s->header_size + s->catalog_bytes;
    s->dirty_first = UNALLOCATED;
    for (unsigned i = 0; i < BITMAP_SLOTS; i++) {
        s->slots[i].extent = UNALLOCATED;
    }
    node->size =
        ROUND_DOWN(load_le64(s->version == VERSION_1 ? h.v1_disk : h.v2.disk), BLK_SECTOR_SIZE);
    node->request_alignment = BLK_SECTOR_SIZE;
    node->memory_alignment = node->file->node->memory_alignment;
    node->supported_zero_flags = BDRV_REQ_MAY_UNMAP | BDRV_REQ_NO_FALLBACK;
    node->zero_init = true;
    return load_catalog(node, errp);
}

/* ---- extents and their bitmaps; under the lock ---- */

static uint64_t extent_offset(const BochsState *s, uint32_t place)
{
    return s->data_offset + place * (s->bitmap_space + s->extent_size);
}

static int write_bits(BlockNode *node, BitmapSlot *slot)
{
    BochsState *s = node->state;
    uint64_t at = ROUND_DOWN(slot->dirty_from, BLK_SECTOR_SIZE);
    uint64_t end = ROUND_UP(slot->dirty_to, BLK_SECTOR_SIZE);
    int ret = 0;

    if (slot->dirty_from < slot->dirty_to) {
        uint64_t bitmap = extent_offset(s, le32toh(s->catalog[slot->extent]));
        ret = bdrv_co_pwrite(node->file, bitmap + at, end - at, slot->bits + at, 0);
    }
    if (ret == 0) {
        slot->dirty_from = slot->dirty_to = 0;
    }
    return ret;
}

/* Data first, then all that leads to it. */
static int settle(BlockNode *node)
{
    BochsState *s = node->state;
    bool dirty = s->dirty_first != UNALLOCATED;

    for (unsigned i = 0; i < BITMAP_SLOTS; i++) {
        dirty |= s->slots[i].dirty_from < s->slots[i].dirty_to;
    }
    int ret = dirty ? bdrv_co_flush(node->file->node) : 0;
    for (unsigned i = 0; i < BITMAP_SLOTS && ret == 0; i++) {
        ret = write_bits(node, &s->slots[i]);
    }
    if (ret == 0 && s->dirty_first != UNALLOCATED) {
        uint32_t first = s->dirty_first, count = s->dirty_last - first + 1;
        ret = bdrv_co_pwrite(node->file, s->header_size + 4ull * first, 4ull * count,
                             s->catalog + first, 0);
        s->dirty_first = ret < 0 ? first : UNALLOCATED;
    }
    return ret;
}

/* For the bitmap of extent e; that of another one makes room. */
static int take_slot(BlockNode *node, uint32_t e, BitmapSlot **slot)
{
    BochsState *s = node->state;
    int ret = 0;

    *slot = &s->slots[e % BITMAP_SLOTS];
    if (!(*slot)->bits && !((*slot)->bits = block_try_alloc(node, s->bitmap_bytes))) {
        return -ENOMEM;
    }
    if ((*slot)->extent != e && (*slot)->dirty_from < (*slot)->dirty_to) {
        ret = settle(node);
    }
    return ret;
}

/* The bitmap of extent e, which is allocated; *slot belongs to the cache until the next call. */
static int get_bitmap(BlockNode *node, uint32_t e, BitmapSlot **slot)
{
    BochsState *s = node->state;
    uint64_t offset = extent_offset(s, le32toh(s->catalog[e]));
    int ret = take_slot(node, e, slot);

    if (ret == 0 && (*slot)->extent != e) {
        (*slot)->extent = UNALLOCATED;
        /* An entry that leads behind the end of the file: the image was cut off. */
        ret = offset >= node->file->node->size
                  ? -EIO
                  : bdrv_co_pread(node->file, offset, s->bitmap_bytes, (*slot)->bits, 0);
        (*slot)->extent = ret < 0 ? UNALLOCATED : e;
    }
    return ret;
}

static bool bit_is_set(const uint8_t *bits, uint32_t sector)
{
    return bits[sector / 8] >> sector % 8 & 1;
}

/* How many of `count` sectors from `sector` on are as the first one. */
static uint32_t run_length(const uint8_t *bits, uint32_t sector, uint32_t count)
{
    bool set = bit_is_set(bits, sector);
    uint32_t n = 1;

    while (n < count && bit_is_set(bits, sector + n) == set) {
        n++;
    }
    return n;
}

static void change_bits(BitmapSlot *slot, uint32_t sector, uint32_t count, bool set)
{
    bool clean = slot->dirty_from >= slot->dirty_to;
    uint32_t from = sector / 8, to = (sector + count - 1) / 8 + 1;

    for (uint32_t i = sector; i < sector + count; i++) {
        uint8_t bit = (uint8_t)(1u << i % 8), *byte = &slot->bits[i / 8];
        *byte = (uint8_t)(set ? *byte | bit : *byte & ~bit);
    }
    slot->dirty_from = clean ? from : MIN(slot->dirty_from, from);
    slot->dirty_to = clean ? to : MAX(slot->dirty_to, to);
}

/* What stands at offset, for at most bytes: the file's offset, or 0 for zeroes. *n: how far. */
static int look_up(BlockNode *node, uint64_t offset, uint64_t bytes, uint64_t *where, uint64_t *n)
{
    BochsState *s = node->state;
    uint32_t e = (uint32_t)(offset / s->extent_size), inside = (uint32_t)(offset % s->extent_size);
    BitmapSlot *slot;

    *n = MIN(bytes, s->extent_size - inside);
    *where = 0;
    if (s->catalog[e] == UNALLOCATED) {
        return 0;
    }
    int ret = get_bitmap(node, e, &slot);
    if (ret < 0) {
        return ret;
    }
    uint32_t sector = inside / BLK_SECTOR_SIZE;
    *n = (uint64_t)run_length(slot->bits, sector, (uint32_t)(*n / BLK_SECTOR_SIZE)) *
         BLK_SECTOR_SIZE;
    if (bit_is_set(slot->bits, sector)) {
        *where = extent_offset(s, le32toh(s->catalog[e])) + s->bitmap_space + inside;
    }
    return 0;
}

/* ---- requests ---- */

static int bochs_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                           unsigned flags)
{
    BochsState *s = node->state;

    while (bytes) {
        uint64_t where, n;
        co_mutex_lock(&s->lock);
        int ret = look_up(node, offset, bytes, &where, &n);
        co_mutex_unlock(&s->lock);
        if (ret == 0 && where) {
            ret = bdrv_co_preadv(node->file, where, n, v, at, 0);
        } else if (ret == 0) {
            iov_fill(v, at, 0, n);
        }
        if (ret < 0) {
            return ret;
        }
        offset += n;
        at += n;
        bytes -= n;
    }
    return 0;
}

/* An extent with these bytes in it, the file's next one. It is complete when the catalog leads to
 * it. */
static int write_new_extent(BlockNode *node, uint32_t e, uint32_t inside, uint32_t bytes,
                            IoVector *v, size_t at)
{
    BochsState *s = node->state;
    static const uint8_t zeroes[BLK_SECTOR_SIZE];
    BitmapSlot *slot;
    uint64_t offset = extent_offset(s, s->next), data = offset + s->bitmap_space;
    uint64_t end = data + s->extent_size, size = node->file->node->size;

    /* Extents follow each other; a catalog that says something else is not written. */
    if (s->next == UNALLOCATED || offset > size + s->bitmap_space + s->extent_size) {
        return -EIO;
    }
    int ret = take_slot(node, e, &slot);
    ret = ret < 0 ? ret : bdrv_co_pwritev(node->file, data + inside, bytes, v, at, 0);
    if (ret == 0 && inside + bytes < s->extent_size && size < end) {
        ret = bdrv_co_pwrite(node->file, end - BLK_SECTOR_SIZE, BLK_SECTOR_SIZE, zeroes, 0);
    }
    if (ret < 0) {
        return ret;
    }
    slot->extent = UNALLOCATED;
    memset(slot->bits, 0, s->bitmap_bytes);
    for (uint32_t i = inside / BLK_SECTOR_SIZE; i < (inside + bytes) / BLK_SECTOR_SIZE; i++) {
        slot->bits[i / 8] |= 1u << i % 8;
    }
    slot->dirty_from = slot->dirty_to = 0;
    ret = bdrv_co_pwrite(node->file, offset, s->bitmap_bytes, slot->bits, 0);
    if (ret == 0) {
        slot->extent = e;
        s->catalog[e] = htole32(s->next++);
        s->dirty_last = s->dirty_first == UNALLOCATED ? e : MAX(s->dirty_last, e);
        s->dirty_first = MIN(s->dirty_first, e);
    }
    return ret;
}

/* A part of one extent; unlocks. */
static int write_extent(BlockNode *node, uint64_t offset, uint32_t bytes, IoVector *v, size_t at)
{
    BochsState *s = node->state;
    uint32_t e = (uint32_t)(offset / s->extent_size), inside = (uint32_t)(offset % s->extent_size);
    uint32_t sector = inside / BLK_SECTOR_SIZE, count = bytes / BLK_SECTOR_SIZE;
    BitmapSlot *slot;
    int ret;

    if (s->catalog[e] == UNALLOCATED) {
        ret = write_new_extent(node, e, inside, bytes, v, at);
        co_mutex_unlock(&s->lock);
        return ret;
    }
    ret = get_bitmap(node, e, &slot);
    uint64_t where = extent_offset(s, le32toh(s->catalog[e])) + s->bitmap_space + inside;
    if (ret == 0 && bit_is_set(slot->bits, sector) &&
        run_length(slot->bits, sector, count) == count) {
        co_mutex_unlock(&s->lock);
        return bdrv_co_pwritev(node->file, where, bytes, v, at, 0);
    }
    ret = ret < 0 ? ret : bdrv_co_pwritev(node->file, where, bytes, v, at, 0);
    if (ret == 0) {
        change_bits(slot, sector, count, true);
    }
    co_mutex_unlock(&s->lock);
    return ret;
}

static int bochs_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v,
                            size_t at, unsigned flags)
{
    BochsState *s = node->state;

    while (bytes) {
        uint32_t n = (uint32_t)MIN(bytes, s->extent_size - offset % s->extent_size);
        co_mutex_lock(&s->lock);
        int ret = write_extent(node, offset, n, v, at);
        if (ret < 0) {
            return ret;
        }
        offset += n;
        at += n;
        bytes -= n;
    }
    return 0;
}

/* Sectors become zeroes by clearing their bits; discard: the storage goes, too. Under the lock. */
static int clear_range(BlockNode *node, uint64_t offset, uint64_t bytes, bool discard)
{
    BochsState *s = node->state;
    int ret = 0;

    while (bytes && ret == 0) {
        uint32_t e = (uint32_t)(offset / s->extent_size);
        uint32_t inside = (uint32_t)(offset % s->extent_size);
        uint32_t n = (uint32_t)MIN(bytes, s->extent_size - inside);
        uint32_t sector = inside / BLK_SECTOR_SIZE, count = n / BLK_SECTOR_SIZE;
        BitmapSlot *slot;
        offset += n;
        bytes -= n;
        if (s->catalog[e] == UNALLOCATED) {
            continue;
        }
        ret = get_bitmap(node, e, &slot);
        if (ret < 0 ||
            (!bit_is_set(slot->bits, sector) && run_length(slot->bits, sector, count) == count)) {
            continue;
        }
        change_bits(slot, sector, count, false);
        if (discard) { /* not bdrv_co_pdiscard(): what that leaves, a bit on disk may lead to */
            uint64_t place = extent_offset(s, le32toh(s->catalog[e])) + s->bitmap_space;
            ret = bdrv_co_pwrite_zeroes(node->file, place + inside, n,
                                        BDRV_REQ_MAY_UNMAP | BDRV_REQ_NO_FALLBACK);
            ret = ret == -ENOTSUP ? 0 : ret;
        }
    }
    return ret;
}

static int bochs_co_pwrite_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    BochsState *s = node->state;

    co_mutex_lock(&s->lock);
    int ret = clear_range(node, offset, bytes, flags & BDRV_REQ_MAY_UNMAP);
    co_mutex_unlock(&s->lock);
    return ret;
}

static int bochs_co_pdiscard(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    return bochs_co_pwrite_zeroes(node, offset, bytes, BDRV_REQ_MAY_UNMAP);
}

static int bochs_co_block_status(BlockNode *node, bool precise, uint64_t offset, uint64_t bytes,
                                 uint64_t *pnum, uint64_t *map, BlockNode **file)
{
    BochsState *s = node->state;
    uint64_t where, n;

    co_mutex_lock(&s->lock);
    int ret = look_up(node, offset, bytes, &where, &n);
    *pnum = n;
    while (ret == 0 && !where && *pnum < bytes) { /* holes may be long */
        uint64_t next;
        ret = look_up(node, offset + *pnum, bytes - *pnum, &next, &n);
        if (ret < 0 || next) {
            ret = 0;
            break;
        }
        *pnum += n;
    }
    co_mutex_unlock(&s->lock);
    if (ret < 0 || !where) {
        return ret < 0 ? ret : BDRV_BLOCK_ZERO;
    }
    *map = where;
    *file = node->file->node;
    return BDRV_BLOCK_DATA | BDRV_BLOCK_OFFSET_VALID;
}

static int bochs_co_flush(BlockNode *node)
{
    BochsState *s = node->state;

    co_mutex_lock(&s->lock);
    int ret = settle(node);
    co_mutex_unlock(&s->lock);
    return ret;
}

/* ---- sizes, information, check ---- */

static bool bochs_co_truncate(BlockNode *node, uint64_t size, bool exact, BlockPrealloc prealloc,
                              Error **errp)
{
    BochsState *s = node->state;
    uint64_t field =
        s->version == VERSION_1 ? offsetof(BochsHeader, v1_disk) : offsetof(BochsHeader, v2.disk);
    uint64_t most = (uint64_t)s->catalog_size * s->extent_size;
    uint8_t number[8];
    int ret;

    if (prealloc != PREALLOC_OFF) {
        error_set(errp, "image %s: format bochs has no preallocation", node->filename);
        return false;
    }
    size = ROUND_UP(size, BLK_SECTOR_SIZE);
    if (size > most) {
        error_set(errp,
                  "image %s: its catalog is for %" PRIu64 " bytes at most; convert it into a new, "
                  "larger one",
                  node->filename, most);
        return false;
    }
    co_mutex_lock(&s->lock);
    /* What comes in is zeroes, whatever a shrinking that a crash cut short has left there. */
    ret = clear_range(node, MIN(size, node->size), MAX(size, node->size) - MIN(size, node->size),
                      true);
    if (size > node->size) {
        ret = ret < 0 ? ret : settle(node);
        ret = ret < 0 ? ret : bdrv_co_flush(node->file->node);
    }
    store_le64(number, size);
    ret = ret < 0 ? ret : bdrv_co_pwrite(node->file, field, sizeof(number), number, 0);
    co_mutex_unlock(&s->lock);
    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s: cannot change the size", node->filename);
        return false;
    }
    node->size = size;
    return true;
}

/* No extent twice, none behind the file's end; what nothing leads to is lost, not wrong. */
static int bochs_co_check(BlockNode *node, BlockCheck *result, BlockCheckFix fix)
{
    BochsState *s = node->state;
    uint64_t stride = s->bitmap_space + s->extent_size, size = node->file->node->size;
    uint64_t places = size > s->data_offset ? DIV_ROUND_UP(size - s->data_offset, stride) : 0;
    uint64_t used = 0;
    uint8_t *seen = calloc(1, MIN(places, UNALLOCATED) / 8 + 1);

    if (!seen) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < s->catalog_size; i++) {
        uint32_t place = le32toh(s->catalog[i]);
        if (place == UNALLOCATED) {
            continue;
        }
        if (place >= places) {
            bdrv_check_found(result, "ERROR extent %" PRIu32 " lies behind the end of the file", i);
            result->corruptions++;
        } else if (seen[place / 8] >> place % 8 & 1) {
            bdrv_check_found(result, "ERROR extent %" PRIu32 " lies where another one does", i);
            result->corruptions++;
        } else {
            seen[place / 8] |= 1u << place % 8;
            used++;
        }
    }
    free(seen);
    result->leaks = places - used;
    result->total_clusters = DIV_ROUND_UP(node->size, s->extent_size);
    result->allocated_clusters = used;
    result->image_end_offset = s->data_offset + places * stride;
    return 0;
}

/* ---- creating ---- */

/*
 * The number of extents and their size grow by turns, as in images that Bochs' own tool makes. A
 * larger disk than 8 TB is not possible.
 */
static bool choose_geometry(uint64_t size, uint32_t *catalog, uint32_t *bitmap)
{
    bool grow_bitmap = true;

    *catalog = MIN_CATALOG;
    *bitmap = MIN_BITMAP;
    while ((uint64_t)*catalog * *bitmap * 8 * BLK_SECTOR_SIZE < size) {
        *(grow_bitmap ? bitmap : catalog) *= 2;
        grow_bitmap = !grow_bitmap;
        if (*catalog > MAX_CATALOG || *bitmap * 8 * BLK_SECTOR_SIZE > MAX_EXTENT) {
            return false;
        }
    }
    return true;
}

static int write_empty(BlockChild *root, const BochsHeader *h, uint32_t catalog)
{
    uint8_t *head = block_alloc(NULL, HEADER_SIZE + 4ull * catalog);

    memset(head, 0, HEADER_SIZE);
    memcpy(head, h, sizeof(*h));
    memset(head + HEADER_SIZE, 0xff, 4ull * catalog);
    int ret = bdrv_co_pwrite(root, 0, HEADER_SIZE + 4ull * catalog, head, 0);
    free(head);
    return ret;
}

static bool bochs_co_create(BlockCreate *create, Error **errp)
{
    BochsHeader h = {.magic = MAGIC,
                     .type = "Redolog",
                     .subtype = "Growing",
                     .version = htole32(VERSION_2),
                     .header_size = htole32(HEADER_SIZE)};
    uint32_t catalog, bitmap;

    if (!choose_geometry(create->size, &catalog, &bitmap)) {
        error_set(errp, "%s: a disk in format bochs has at most 8T", create->filename);
        return false;
    }
    h.catalog = htole32(catalog);
    h.bitmap = htole32(bitmap);
    h.extent = htole32(bitmap * 8 * BLK_SECTOR_SIZE);
    store_le64(h.v2.disk, create->size);
    BlockChild *root = bdrv_create_attach(create, BLK_PERM_WRITE | BLK_PERM_RESIZE, errp);
    if (!root) {
        return false;
    }
    int ret = write_empty(root, &h, catalog);
    bdrv_root_detach(root);
    if (ret < 0) {
        error_set_errno(errp, -ret, "%s: cannot write the image", create->filename);
    }
    return ret == 0;
}

static void bochs_co_close(BlockNode *node)
{
    BochsState *s = node->state;

    if (!node->readonly && bochs_co_flush(node) < 0) {
        error_report("image %s could not be completed: its catalog or bitmaps cannot be written",
                     node->filename);
    }
    for (unsigned i = 0; i < BITMAP_SLOTS; i++) {
        free(s->slots[i].bits);
    }
    free(s->catalog);
}

static const BlockOptionDesc bochs_create_options[] = {
    {"size", "SIZE", "size of the disk"},
    {0},
};

const BlockDriver bdrv_bochs = {
    .name = "bochs",
    .state_size = sizeof(BochsState),
    .create_options = bochs_create_options,
    .probe = bochs_probe,
    .co_open = bochs_co_open,
    .co_close = bochs_co_close,
    .co_create = bochs_co_create,
    .co_preadv = bochs_co_preadv,
    .co_pwritev = bochs_co_pwritev,
    .co_pwrite_zeroes = bochs_co_pwrite_zeroes,
    .co_pdiscard = bochs_co_pdiscard,
    .co_flush = bochs_co_flush,
    .co_block_status = bochs_co_block_status,
    .co_truncate = bochs_co_truncate,
    .co_check = bochs_co_check,
};
