/*
 * The format "vhdx": Hyper-V's disks, dynamic and fixed.
 *
 * Source: Microsoft, [MS-VHDX]. Two headers, of which the newer whole one counts; two copies of a
 * table of regions; the metadata (sizes); the block table, whose changes go through a log
 * (vhdx-log.c); blocks of 1 MB to 256 MB. Differencing disks are refused. vhdx-create.c makes new
 * images.
 *
 * In the block table an entry for a bitmap of sectors, which only differencing disks use, follows
 * each chunk of entries of blocks.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/vhdx.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "block/drivers.h"
#include "block/util.h"

enum {
    RT_CHECKSUM = 4,
    RT_COUNT = 8,
    RT_HEADER = 16,
    RE_OFFSET = 16,
    RE_LENGTH = 24,
    RE_REQUIRED = 28,
    RE_ENTRY = 32,

    MT_COUNT = 10,
    MT_HEADER = 32,
    ME_OFFSET = 16,
    ME_LENGTH = 20,
    ME_FLAGS = 24,
    ME_REQUIRED = 4,
    MAX_ENTRIES = 2047,
};
#define METADATA_MAGIC "metadata"
#define MAX_BAT        (512ull << 20) /* 64 TB in blocks of 1 MB */

const uint8_t vhdx_guid_bat[VX_GUID] = {0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42,
                                        0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08};
const uint8_t vhdx_guid_metadata[VX_GUID] = {0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
                                             0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e};
const uint8_t vhdx_guid_parameters[VX_GUID] = {0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d,
                                               0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b};
const uint8_t vhdx_guid_size[VX_GUID] = {0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48,
                                         0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8};
const uint8_t vhdx_guid_page83[VX_GUID] = {0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45,
                                           0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46};
const uint8_t vhdx_guid_logical[VX_GUID] = {0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47,
                                            0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f};
const uint8_t vhdx_guid_physical[VX_GUID] = {0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44,
                                             0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56};
const uint8_t vhdx_guid_parent[VX_GUID] = {0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45,
                                           0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c};

static int vhdx_probe(const uint8_t *head, size_t bytes, const char *filename)
{
    return bytes >= 8 && !memcmp(head, VX_FILE_MAGIC, 8) ? 100 : 0;
}

uint64_t vhdx_bat_entries(uint64_t blocks, uint64_t chunk_ratio)
{
    return blocks ? blocks + (blocks - 1) / chunk_ratio : 0;
}

/* ---- the block table ---- */

static int vhdx_co_table(SparseMap *m, uint64_t cluster, bool make, SparseTable *t)
{
    const VhdxState *s = m->opaque;

    *t = (SparseTable){s->bat_offset, s->bat_entries, cluster + cluster / s->chunk_ratio};
    return t->index < s->bat_entries ? 0 : -EIO;
}

static bool overlaps(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a < b + b_size && b < a + a_size;
}

static void vhdx_get(const SparseMap *m, const uint8_t *entry, uint64_t cluster, SparseEntry *e)
{
    const VhdxState *s = m->opaque;
    uint64_t v = load_le64(entry), at = v & VX_OFFSET_MASK;

    switch (v & VX_STATE) {
    case VX_NOT_PRESENT:
    case VX_UNDEFINED:
    case VX_UNMAPPED:
        break;
    case VX_ZERO:
        e->kind = SPARSE_ZERO;
        break;
    case VX_PRESENT:
        e->kind = at > INT64_MAX / 2 || overlaps(at, m->cluster, s->bat_offset, s->bat_length) ||
                          overlaps(at, m->cluster, s->log_offset, s->log_length) ||
                          overlaps(at, m->cluster, s->metadata_offset, s->metadata_length)
                      ? SPARSE_BAD
                      : SPARSE_DATA;
        e->host = at;
        break;
    default:
        e->kind = SPARSE_BAD;
    }
}

static void vhdx_put(const SparseMap *m, uint8_t *entry, const SparseEntry *e)
{
    store_le64(entry, e->kind == SPARSE_DATA ? e->host | VX_PRESENT : VX_NOT_PRESENT);
}

/* They went through the log. */
static int vhdx_co_write_piece(SparseMap *m, uint64_t offset, const uint8_t *data, uint32_t bytes)
{
    return 0;
}

static const SparseOps vhdx_ops = {
    .entry_size = 8,
    .co_table = vhdx_co_table,
    .get = vhdx_get,
    .put = vhdx_put,
    .co_log = vhdx_co_log,
    .co_write_piece = vhdx_co_write_piece,
};

/* ---- opening ---- */

static bool read_failed(const BlockNode *node, int ret, Error **errp)
{
    error_set_errno(errp, -ret, "image %s: cannot read the header", node->filename);
    return false;
}

static bool good_header(const uint8_t *h)
{
    return load_le32(h) == VX_HEAD_MAGIC && load_le16(h + XH_VERSION) == 1 &&
           vhdx_checksum(h, XH_HEADER, XH_CHECKSUM) == load_le32(h + XH_CHECKSUM);
}

static bool read_header(BlockNode *node, Error **errp)
{
    VhdxState *s = node->state;
    uint8_t magic[8], other[XH_HEADER];
    int ret = bdrv_co_pread(node->file, 0, sizeof(magic), magic, 0);

    ret = ret < 0 ? ret : bdrv_co_pread(node->file, VX_HEADER_1, XH_HEADER, s->header, 0);
    ret = ret < 0 ? ret : bdrv_co_pread(node->file, VX_HEADER_2, XH_HEADER, other, 0);
    if (ret < 0) {
        return read_failed(node, ret, errp);
    }
    if (memcmp(magic, VX_FILE_MAGIC, sizeof(magic)) != 0) {
        return bdrv_bad_image(node, "is not in vhdx format", errp);
    }
    bool first = good_header(s->header), second = good_header(other);
    if (!first && !second) {
        return bdrv_bad_image(node, "neither of its headers is whole", errp);
    }
    if (!first || (second && load_le64(other + XH_SEQUENCE) > load_le64(s->header + XH_SEQUENCE))) {
        memcpy(s->header, other, XH_HEADER);
        s->current = 1;
    }
    s->log_offset = load_le64(s->header + XH_LOG_OFFSET);
    s->log_length = load_le32(s->header + XH_LOG_LENGTH);
    if (load_le16(s->header + XH_LOG_VERSION) || s->log_offset % VX_MB || s->log_length % VX_MB ||
        !s->log_length || s->log_offset < VX_MB || s->log_offset > node->file->node->size ||
        s->log_length > node->file->node->size - s->log_offset) {
        return bdrv_bad_image(node, "its log lies outside of the file, or is of an unknown kind",
                              errp);
    }
    return true;
}

static bool good_region(const BlockNode *node, uint64_t offset, uint64_t length)
{
    return offset >= VX_MB && !(offset % VX_MB) && length && !(length % VX_MB) &&
           offset <= node->file->node->size && length <= node->file->node->size - offset;
}

static bool parse_regions(BlockNode *node, const uint8_t *t, Error **errp)
{
    VhdxState *s = node->state;
    uint32_t count = load_le32(t + RT_COUNT);

    for (uint32_t i = 0; i < count && i < MAX_ENTRIES; i++) {
        const uint8_t *e = t + RT_HEADER + i * RE_ENTRY;
        uint64_t offset = load_le64(e + RE_OFFSET), length = load_le32(e + RE_LENGTH);
        bool bat = !memcmp(e, vhdx_guid_bat, VX_GUID);
        if (!bat && memcmp(e, vhdx_guid_metadata, VX_GUID) != 0) {
            if (load_le32(e + RE_REQUIRED) & 1) {
                return bdrv_bad_image(node, "it has a region of an unknown kind", errp);
            }
            continue;
        }
        if (!good_region(node, offset, length)) {
            return bdrv_bad_image(node, "a region of it lies outside of the file", errp);
        }
        *(bat ? &s->bat_offset : &s->metadata_offset) = offset;
        *(bat ? &s->bat_length : &s->metadata_length) = length;
    }
    if (!s->bat_offset || !s->metadata_offset) {
        return bdrv_bad_image(node, "its block table or its metadata is missing", errp);
    }
    return true;
}

static bool read_regions(BlockNode *node, Error **errp)
{
    static const uint64_t places[] = {VX_REGIONS_1, VX_REGIONS_2};
    uint8_t *t = block_try_alloc(node, VX_REGIONS_SIZE);
    bool found = false, ok = false;

    for (size_t i = 0; t && i < ARRAY_SIZE(places) && !found; i++) {
        found = bdrv_co_pread(node->file, places[i], VX_REGIONS_SIZE, t, 0) == 0 &&
                load_le32(t) == VX_REGION_MAGIC &&
                vhdx_checksum(t, VX_REGIONS_SIZE, RT_CHECKSUM) == load_le32(t + RT_CHECKSUM);
    }
    if (!found) {
        bdrv_bad_image(node, "neither of its region tables is whole", errp);
    } else {
        ok = parse_regions(node, t, errp);
    }
    free(t);
    return ok;
}

/* The item's value into buf; false where there is none. Unknown items that are required: *errp. */
static bool find_item(BlockNode *node, const uint8_t *table, const uint8_t *guid, void *buf,
                      uint32_t bytes)
{
    const VhdxState *s = node->state;
    uint16_t count = load_le16(table + MT_COUNT);

    for (unsigned i = 0; i < MIN(count, MAX_ENTRIES); i++) {
        const uint8_t *e = table + MT_HEADER * (i + 1);
        uint32_t offset = load_le32(e + ME_OFFSET);
        if (!memcmp(e, guid, VX_GUID)) {
            return offset >= VX_METADATA_TABLE && load_le32(e + ME_LENGTH) >= bytes &&
                   offset + (uint64_t)bytes <= s->metadata_length &&
                   bdrv_co_pread(node->file, s->metadata_offset + offset, bytes, buf, 0) == 0;
        }
    }
    return false;
}

static bool known_items(const uint8_t *table)
{
    static const uint8_t *const known[] = {vhdx_guid_parameters, vhdx_guid_size,
                                           vhdx_guid_page83,     vhdx_guid_logical,
                                           vhdx_guid_physical,   vhdx_guid_parent};
    uint16_t count = load_le16(table + MT_COUNT);

    for (unsigned i = 0; i < MIN(count, MAX_ENTRIES); i++) {
        const uint8_t *e = table + MT_HEADER * (i + 1);
        bool found = !(load_le32(e + ME_FLAGS) & ME_REQUIRED);
        for (size_t k = 0; k < ARRAY_SIZE(known) && !found; k++) {
            found = !memcmp(e, known[k], VX_GUID);
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

static bool parse_metadata(BlockNode *node, const uint8_t *table, Error **errp)
{
    VhdxState *s = node->state;
    uint8_t parameters[8], size[8], logical[4];

    if (memcmp(table, METADATA_MAGIC, 8) != 0 ||
        !find_item(node, table, vhdx_guid_parameters, parameters, sizeof(parameters)) ||
        !find_item(node, table, vhdx_guid_size, size, sizeof(size)) ||
        !find_item(node, table, vhdx_guid_logical, logical, sizeof(logical))) {
        return bdrv_bad_image(node, "its metadata is not whole", errp);
    }
    if (!known_items(table)) {
        return bdrv_bad_image(node, "its metadata asks for something that is not known here", errp);
    }
    if (load_le32(parameters + 4) & VX_HAS_PARENT) {
        return bdrv_bad_image(node, "it is a differencing disk, which is not supported", errp);
    }
    s->map.cluster = load_le32(parameters);
    s->logical_sector = load_le32(logical);
    node->size = load_le64(size);
    if (s->map.cluster < VX_MIN_BLOCK || s->map.cluster > VX_MAX_BLOCK ||
        (s->map.cluster & (s->map.cluster - 1))) {
        return bdrv_bad_image(
            node,
            "the size of its blocks is not possible; possible: powers of 2 from 1M "
            "to 256M",
            errp);
    }
    if ((s->logical_sector != 512 && s->logical_sector != 4096) || !node->size ||
        node->size > VX_MAX_SIZE || node->size % s->logical_sector) {
        return bdrv_bad_image(node, "its size, or that of its sectors, is not possible", errp);
    }
    s->chunk_ratio = (8ull << 20) * s->logical_sector / s->map.cluster;
    s->bat_entries = vhdx_bat_entries(DIV_ROUND_UP(node->size, s->map.cluster), s->chunk_ratio);
    if (s->bat_entries * 8 > s->bat_length || s->bat_length > MAX_BAT + VX_MB) {
        return bdrv_bad_image(node, "its block table is too short for its size", errp);
    }
    return true;
}

static bool read_metadata(BlockNode *node, Error **errp)
{
    VhdxState *s = node->state;
    uint8_t *table = block_try_alloc(node, VX_METADATA_TABLE);
    int ret = table ? bdrv_co_pread(node->file, s->metadata_offset, VX_METADATA_TABLE, table, 0)
                    : -ENOMEM;
    bool ok = ret < 0 ? read_failed(node, ret, errp) : parse_metadata(node, table, errp);

    free(table);
    return ok;
}

static bool vhdx_co_open(BlockNode *node, BlockOptions *options, Error **errp)
{
    VhdxState *s = node->state;

    if (!bdrv_open_file_child(node, options, errp) || !read_header(node, errp) ||
        !vhdx_replay_log(node, errp) || !read_regions(node, errp) || !read_metadata(node, errp)) {
        return false;
    }
    node->request_alignment = BLK_SECTOR_SIZE;
    node->zero_init = true;
    s->map = (SparseMap){
        .ops = &vhdx_ops,
        .opaque = s,
        .node = node,
        .file = node->file,
        .size = node->size,
        .cluster = s->map.cluster,
        .data_start = VX_MB,
        .align = VX_MB,
        .hole_status = BDRV_BLOCK_ZERO,
    };
    sparse_init(&s->map, 0);
    return true;
}

static void vhdx_co_close(BlockNode *node)
{
    VhdxState *s = node->state;
    int ret = node->readonly ? 0 : vhdx_end_log(node);

    if (ret < 0) {
        error_report("image %s could not be completed: %s", node->filename, strerror(-ret));
    }
    sparse_free(&s->map);
}

static bool vhdx_co_reopen(BlockNode *node, bool readonly, Error **errp)
{
    VhdxState *s = node->state;
    int ret = readonly ? vhdx_end_log(node) : 0;

    s->touched = false;
    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s could not be completed", node->filename);
    }
    return ret == 0;
}

/* ---- requests ---- */

/* Before the first one the header gets new marks of who wrote, so that caches of it elsewhere are
 * known to be old. */
static int before_write(BlockNode *node)
{
    VhdxState *s = node->state;
    int ret = 0;

    if (s->touched) {
        return 0;
    }
    co_mutex_lock(&s->map.lock);
    if (!s->touched) {
        vhdx_new_guid(s->header + XH_FILE_WRITE);
        vhdx_new_guid(s->header + XH_DATA_WRITE);
        ret = vhdx_write_header(s, node->file);
        s->touched = ret == 0;
    }
    co_mutex_unlock(&s->map.lock);
    return ret;
}

static int vhdx_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                           unsigned flags)
{
    int ret = before_write(node);

    return ret < 0 ? ret : sparse_co_pwritev(node, offset, bytes, v, at, flags);
}

static int vhdx_co_pwrite_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    int ret = before_write(node);

    return ret < 0 ? ret : sparse_co_pwrite_zeroes(node, offset, bytes, flags);
}

/* ---- check ---- */

static int vhdx_co_check(BlockNode *node, BlockCheck *c, BlockCheckFix fix)
{
    VhdxState *s = node->state;
    uint64_t blocks = DIV_ROUND_UP(node->size, s->map.cluster), file = node->file->node->size;
    SparseEntry e;

    c->corruptions_fixed += s->replayed;
    s->replayed = false;
    for (uint64_t i = 0; i < blocks; i++) {
        int ret = sparse_entry(&s->map, i, &e);
        if (ret < 0) {
            return ret;
        }
        if (e.kind == SPARSE_BAD || (e.kind == SPARSE_DATA && e.host >= file)) {
            bdrv_check_found(c, "ERROR: block %" PRIu64 " stands outside of the file", i);
            c->corruptions++;
        }
    }
    return 0;
}

const BlockDriver bdrv_vhdx = {
    .name = "vhdx",
    .state_size = sizeof(VhdxState),
    .maps_as_data = true,
    .create_options = vhdx_create_options,
    .create_defaults = "log_size=1048576,block_size=0",
    .probe = vhdx_probe,
    .co_open = vhdx_co_open,
    .co_close = vhdx_co_close,
    .co_reopen = vhdx_co_reopen,
    .co_create = vhdx_co_create,
    .co_preadv = sparse_co_preadv,
    .co_pwritev = vhdx_co_pwritev,
    .co_pwrite_zeroes = vhdx_co_pwrite_zeroes,
    .co_flush = sparse_co_flush,
    .co_block_status = sparse_co_block_status,
    .co_check = vhdx_co_check,
    .co_get_info = sparse_co_get_info,
};
