/*
 * vmdk: sparse extents. A grain directory leads to grain tables, these to grains of (mostly) 64 KB;
 * directory and tables are there twice. In compressed extents a grain is a zlib stream, behind a
 * marker that tells its place on the disk and its length.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "block/util.h"
#include "block/vmdk.h"

enum {
    MAX_GRAIN_SECTORS = 64 << 10,
    MAX_PACKED_GRAIN_SECTORS = 4 << 10,
    GTE_ZERO = 1,       /* where the extent's flags say so */
    FOOTER_BACK = 1024, /* the footer stands so far from the end, the end-of-stream marker behind */
    WINDOW = 15,
};

/* ---- tables ---- */

static void directory_changed(VmdkExtent *x, uint64_t index)
{
    x->gd_first = x->map.tables_changed ? MIN(x->gd_first, index) : index;
    x->gd_last = x->map.tables_changed ? MAX(x->gd_last, index) : index;
    x->map.tables_changed = true;
}

static int new_tables(VmdkExtent *x, uint64_t index)
{
    uint64_t offset, second = 0;
    int ret = sparse_new_table(&x->map, x->gtes * 4, &offset);

    ret = ret < 0 || !x->rgd ? ret : sparse_new_table(&x->map, x->gtes * 4, &second);
    if (ret < 0) {
        return ret;
    }
    if (offset / VMDK_SECTOR > UINT32_MAX || second / VMDK_SECTOR > UINT32_MAX) {
        return -EFBIG;
    }
    x->gd[index] = (uint32_t)(offset / VMDK_SECTOR);
    if (x->rgd) {
        x->rgd[index] = (uint32_t)(second / VMDK_SECTOR);
    }
    directory_changed(x, index);
    return 0;
}

static int vmdk_co_table(SparseMap *m, uint64_t cluster, bool make, SparseTable *t)
{
    VmdkExtent *x = m->opaque;
    uint64_t index = cluster / x->gtes;

    *t = (SparseTable){0, x->gtes, cluster % x->gtes};
    if (index >= x->gd_entries) {
        return -EIO;
    }
    if (!x->gd[index] && make) {
        int ret = new_tables(x, index);
        if (ret < 0) {
            return ret;
        }
    }
    t->offset = (uint64_t)x->gd[index] * VMDK_SECTOR;
    return 0;
}

static void vmdk_get(const SparseMap *m, const uint8_t *entry, uint64_t cluster, SparseEntry *e)
{
    const VmdkExtent *x = m->opaque;
    uint32_t v = load_le32(entry);

    if (v == GTE_ZERO && x->zero_grain) {
        e->kind = SPARSE_ZERO;
    } else if (v) {
        e->kind = x->compressed ? SPARSE_PACKED : SPARSE_DATA;
        e->host = (uint64_t)v * VMDK_SECTOR;
    }
}

static void vmdk_put(const SparseMap *m, uint8_t *entry, const SparseEntry *e)
{
    store_le32(entry, e->kind == SPARSE_ZERO ? GTE_ZERO : (uint32_t)(e->host / VMDK_SECTOR));
}

static int vmdk_co_alloc(SparseMap *m, uint64_t *count, uint64_t *host)
{
    *host = ROUND_UP(m->end, VMDK_SECTOR);
    if ((*host + *count * m->cluster) / VMDK_SECTOR > UINT32_MAX) {
        return -EFBIG;
    }
    m->end = *host + *count * m->cluster;
    return 0;
}

/* The index of the table in this place; mostly they stand in a row. */
static bool find_table(const VmdkExtent *x, uint64_t sector, uint64_t *index)
{
    uint64_t step = DIV_ROUND_UP(x->gtes * 4, VMDK_SECTOR), guess = UINT64_MAX;

    if (x->gd_entries && sector >= x->gd[0]) {
        guess = (sector - x->gd[0]) / step;
    }
    if (guess < x->gd_entries && x->gd[guess] == sector) {
        *index = guess;
        return true;
    }
    for (*index = 0; *index < x->gd_entries; ++*index) {
        if (x->gd[*index] == sector) {
            return true;
        }
    }
    return false;
}

/* A piece is a whole table, as those have at most 2 KB. */
static int vmdk_co_write_piece(SparseMap *m, uint64_t offset, const uint8_t *data, uint32_t bytes)
{
    VmdkExtent *x = m->opaque;
    uint64_t index;
    int ret = bdrv_co_pwrite(m->file, offset, bytes, data, 0);

    if (ret == 0 && x->rgd && find_table(x, offset / VMDK_SECTOR, &index) && x->rgd[index] &&
        x->rgd[index] != x->gd[index]) {
        ret = bdrv_co_pwrite(m->file, (uint64_t)x->rgd[index] * VMDK_SECTOR, bytes, data, 0);
    }
    return ret;
}

static int write_directory(VmdkExtent *x, const uint32_t *table, uint64_t offset)
{
    uint8_t entry[4];
    int ret = 0;

    for (uint64_t i = x->gd_first; table && i <= x->gd_last && ret == 0; i++) {
        store_le32(entry, table[i]);
        ret = bdrv_co_pwrite(x->file, offset + 4 * i, sizeof(entry), entry, 0);
    }
    return ret;
}

static int vmdk_co_after_tables(SparseMap *m)
{
    VmdkExtent *x = m->opaque;

    if (!m->tables_changed) {
        return 0;
    }
    int ret = write_directory(x, x->gd, x->gd_offset);
    ret = ret < 0 ? ret : write_directory(x, x->rgd, x->rgd_offset);
    if (ret == 0) {
        m->tables_changed = false;
    }
    return ret;
}

/* ---- compressed grains ---- */

/* Where the stream is, and how long it is at most. */
static int find_stream(SparseMap *m, const SparseEntry *e, uint64_t *offset, uint64_t *bytes)
{
    const VmdkExtent *x = m->opaque;
    uint64_t file = m->file->node->size;
    uint8_t marker[VMDK_MARKER];

    if (e->host >= file) {
        return -EIO;
    }
    *offset = e->host;
    *bytes = MIN(2 * m->cluster, file - e->host);
    if (!x->markers) {
        return 0;
    }
    int ret = bdrv_co_pread(m->file, e->host, sizeof(marker), marker, 0);
    if (ret < 0) {
        return ret;
    }
    uint64_t length = load_le32(marker + 8);
    if (!length || length > *bytes) {
        return -EIO;
    }
    *offset += VMDK_MARKER;
    *bytes = length;
    return 0;
}

static int vmdk_co_unpack(SparseMap *m, const SparseEntry *e, uint64_t cluster, uint8_t *out)
{
    uint64_t offset, bytes;
    int64_t ret = find_stream(m, e, &offset, &bytes);

    if (ret < 0) {
        return (int)ret;
    }
    uint8_t *in = block_try_alloc(m->node, bytes);
    ret = in ? bdrv_co_pread(m->file, offset, bytes, in, 0) : -ENOMEM;
    if (ret == 0) {
        ret = pack_decompress(PACK_ZLIB, in, bytes, out, m->cluster);
    }
    free(in);
    if (ret < 0) {
        return (int)ret;
    }
    /* The disk's last grain may be a short one. */
    uint64_t needed = MIN(m->cluster, m->size - cluster * m->cluster);
    if ((uint64_t)ret < needed) {
        return -EIO;
    }
    memset(out + ret, 0, m->cluster - (uint64_t)ret);
    return 0;
}

static int64_t vmdk_co_pack(SparseMap *m, uint64_t cluster, const uint8_t *in, uint8_t *out)
{
    uint64_t room = sparse_pack_max(m) - VMDK_MARKER - VMDK_SECTOR;
    int64_t n = m->end / VMDK_SECTOR > UINT32_MAX - MAX_PACKED_GRAIN_SECTORS * 2
                    ? -EFBIG
                    : pack_compress(PACK_ZLIB, WINDOW, in, m->cluster, out + VMDK_MARKER, room);

    if (n < 0) {
        return n == -ENOSPC ? -EIO : n;
    }
    store_le64(out, cluster * (m->cluster / VMDK_SECTOR));
    store_le32(out + 8, (uint32_t)n);
    uint64_t all = ROUND_UP((uint64_t)n + VMDK_MARKER, VMDK_SECTOR);
    memset(out + VMDK_MARKER + n, 0, all - VMDK_MARKER - (uint64_t)n);
    return (int64_t)all;
}

static const SparseOps vmdk_ops = {
    .entry_size = 4,
    .co_table = vmdk_co_table,
    .get = vmdk_get,
    .put = vmdk_put,
    .co_alloc = vmdk_co_alloc,
    .co_unpack = vmdk_co_unpack,
    .co_pack = vmdk_co_pack,
    .co_write_piece = vmdk_co_write_piece,
    .co_after_tables = vmdk_co_after_tables,
};

/* ---- opening ---- */

static bool bad(const VmdkExtent *x, const char *what, Error **errp)
{
    error_set(errp, "image %s: %s", x->file->node->filename, what);
    return false;
}

static bool read_failed(const VmdkExtent *x, int ret, const char *what, Error **errp)
{
    error_set_errno(errp, -ret, "image %s: cannot read the %s", x->file->node->filename, what);
    return false;
}

/* Images that were made as a stream have their header once more at the end, with the directory's
 * place. */
static bool read_footer(VmdkExtent *x, uint8_t *h, Error **errp)
{
    uint64_t size = x->file->node->size;

    x->gd_at_end = true;
    if (size < 2 * FOOTER_BACK) {
        return bad(x, "its footer is missing; the file was cut off", errp);
    }
    int ret = bdrv_co_pread(x->file, ROUND_DOWN(size, VMDK_SECTOR) - FOOTER_BACK, VH_HEADER, h, 0);
    if (ret < 0) {
        return read_failed(x, ret, "footer", errp);
    }
    if (load_le32(h) != VMDK_MAGIC || load_le64(h + VH_GD) == VMDK_GD_AT_END) {
        return bad(x, "its footer is missing; the file was cut off", errp);
    }
    return true;
}

bool vmdk_check_writable(const VmdkExtent *x, Error **errp)
{
    if (x->gd_at_end) {
        return bad(x, "its tables stand at its end; it can only be read (read-only=on)", errp);
    }
    return !x->tracks_changes ||
           bad(x,
               "version 3 keeps track of changes, which is not supported; it can only be read "
               "(read-only=on)",
               errp);
}

static bool check_header(VmdkExtent *x, const uint8_t *h, Error **errp)
{
    uint32_t version = load_le32(h + VH_VERSION), flags = load_le32(h + VH_FLAGS);
    uint64_t capacity = load_le64(h + VH_CAPACITY), grain = load_le64(h + VH_GRAIN);
    uint64_t gtes = load_le32(h + VH_GTES);

    x->compressed = load_le16(h + VH_COMPRESSION) == VMDK_DEFLATE && (flags & VMDK_FLAG_COMPRESSED);
    x->markers = flags & VMDK_FLAG_MARKERS;
    x->zero_grain = flags & VMDK_FLAG_ZERO_GRAIN;
    if (version < 1 || version > 3) {
        error_set(errp, "image %s: version %" PRIu32 " of vmdk is not known; possible: 1, 2, 3",
                  x->file->node->filename, version);
        return false;
    }
    x->tracks_changes = version == 3 && !x->compressed;
    if ((flags & VMDK_FLAG_COMPRESSED) && !x->compressed) {
        return bad(x, "the method of its compression is not known; possible: deflate (1)", errp);
    }
    if (grain < 1 || grain & (grain - 1) ||
        grain > (x->compressed ? MAX_PACKED_GRAIN_SECTORS : MAX_GRAIN_SECTORS)) {
        return bad(x, "the size of its grains is not possible; possible: powers of 2 to 32M", errp);
    }
    if (gtes < 1 || gtes > VMDK_GTES) {
        return bad(x, "the size of its grain tables is not possible; possible: 1 to 512", errp);
    }
    if (!capacity || capacity > INT64_MAX / 2 / VMDK_SECTOR) {
        return bad(x, "its size is not possible", errp);
    }
    x->gtes = (unsigned)gtes;
    x->size = capacity * VMDK_SECTOR;
    x->gd_entries = DIV_ROUND_UP(capacity, gtes * grain);
    return true;
}

/* NULL with an error. */
static uint32_t *load_directory(VmdkExtent *x, uint64_t sector, uint64_t *offset, Error **errp)
{
    uint64_t bytes = 4 * x->gd_entries, size = x->file->node->size;

    if (bytes > VMDK_MAX_GD_BYTES || sector > size / VMDK_SECTOR ||
        bytes > size - sector * VMDK_SECTOR || !sector) {
        bad(x, "its grain directory is too large, or lies outside of the file", errp);
        return NULL;
    }
    *offset = sector * VMDK_SECTOR;
    uint32_t *gd = block_try_alloc(x->file->node, bytes);
    int ret = gd ? bdrv_co_pread(x->file, *offset, bytes, gd, 0) : -ENOMEM;
    if (ret < 0) {
        free(gd);
        read_failed(x, ret, "grain directory", errp);
        return NULL;
    }
    for (uint64_t i = 0; i < x->gd_entries; i++) {
        gd[i] = load_le32(&gd[i]);
    }
    return gd;
}

static bool load_directories(VmdkExtent *x, const uint8_t *h, Error **errp)
{
    x->gd = load_directory(x, load_le64(h + VH_GD), &x->gd_offset, errp);
    if (x->gd && (load_le32(h + VH_FLAGS) & VMDK_FLAG_RGD)) {
        x->rgd = load_directory(x, load_le64(h + VH_RGD), &x->rgd_offset, errp);
        if (!x->rgd) {
            free(x->gd);
            return false;
        }
    }
    return x->gd != NULL;
}

bool vmdk_open_sparse(BlockNode *node, VmdkExtent *x, Error **errp)
{
    uint8_t h[VH_HEADER];
    int ret = bdrv_co_pread(x->file, 0, sizeof(h), h, 0);

    if (ret < 0) {
        return read_failed(x, ret, "header", errp);
    }
    if (load_le32(h) != VMDK_MAGIC) {
        return bad(x, "is not in vmdk format", errp);
    }
    if ((load_le64(h + VH_GD) == VMDK_GD_AT_END && !read_footer(x, h, errp)) ||
        !check_header(x, h, errp)) {
        return false;
    }
    if (!node->readonly && !vmdk_check_writable(x, errp)) {
        return false;
    }
    uint64_t overhead = load_le64(h + VH_OVERHEAD);
    if (!x->gd_at_end && overhead > x->file->node->size / VMDK_SECTOR) {
        return bad(x, "the file was cut off", errp);
    }
    x->overhead = x->gd_at_end ? 0 : overhead * VMDK_SECTOR;
    if (!load_directories(x, h, errp)) {
        return false;
    }
    x->map = (SparseMap){
        .ops = &vmdk_ops,
        .opaque = x,
        .node = node,
        .file = x->file,
        .start = x->start,
        .size = x->size,
        .cluster = load_le64(h + VH_GRAIN) * VMDK_SECTOR,
        .data_start = VH_HEADER,
        .align = VMDK_SECTOR,
        .packed_align = VMDK_SECTOR,
        .always_packed = x->compressed,
        .backing = true,
    };
    sparse_init(&x->map, 0);
    return true;
}

static int clear_tables(VmdkExtent *x, const uint32_t *directory)
{
    int ret = 0;

    for (uint64_t i = 0; directory && i < x->gd_entries && ret == 0; i++) {
        if (directory[i]) {
            ret = bdrv_co_pwrite_zeroes(x->file, (uint64_t)directory[i] * VMDK_SECTOR,
                                        4ull * x->gtes, 0);
        }
    }
    return ret;
}

int vmdk_empty_extent(VmdkExtent *x)
{
    SparseMap *m = &x->map;

    co_mutex_lock(&m->lock);
    int ret = sparse_settle(m);
    ret = ret < 0 ? ret : clear_tables(x, x->gd);
    ret = ret < 0 ? ret : clear_tables(x, x->rgd);
    ret = ret < 0 ? ret : bdrv_co_flush(x->file->node);
    if (ret == 0) {
        uint64_t tables_end = x->overhead;
        for (uint64_t i = 0; i < x->gd_entries; i++) { /* some may stand behind the grains */
            uint64_t last = MAX(x->gd[i], x->rgd ? x->rgd[i] : 0);
            tables_end = MAX(tables_end, last * VMDK_SECTOR + 4ull * x->gtes);
        }
        if (x->overhead && tables_end < x->file->node->size &&
            !bdrv_co_truncate(x->file, ROUND_UP(tables_end, VMDK_SECTOR), false, PREALLOC_OFF,
                              NULL)) {
            ret = -EIO;
        }
        sparse_free(m);
        sparse_init(m, 0);
    }
    co_mutex_unlock(&m->lock);
    return ret;
}

void vmdk_close_extent(VmdkExtent *x)
{
    if (x->map.ops) {
        sparse_free(&x->map);
    }
    free(x->gd);
    free(x->rgd);
}
