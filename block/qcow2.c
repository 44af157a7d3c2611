/*
 * qcow2, versions 2 and 3, after the specification "Qcow2 Image File Format" (docs/interop/qcow2 of
 * QEMU): the header, opening and closing.
 *
 * All of the format: all cluster sizes, refcount widths 1 to 64, backing files, zlib and zstd
 * compression, subclusters, internal snapshots with machine state, lazy refcounts, external data
 * files, encryption (LUKS, and the weak AES of old images); bitmaps are kept, listed and edited.
 *
 * The rest of the driver: qcow2-cluster.c (L1 and L2 tables), qcow2-refcount.c (refcounts, and the
 * order of all writes), qcow2-cache.c, qcow2-io.c (requests), qcow2-compress.c, qcow2-snapshot.c,
 * qcow2-check.c, qcow2-bitmap.c, qcow2-create.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/qcow2.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/drivers.h"
#include "config.h"

enum { SLICE_SIZE = 4096, L2_CACHE = 32 << 20, REFCOUNT_CACHE = 4 << 20, MAX_EXT = 1 << 20 };
enum { MAX_LUKS = 16 << 20 }; /* eight key slots of 4000 stripes have 2 MB */

/* ---- header ---- */

static int qcow2_probe(const uint8_t *head, size_t bytes, const char *filename)
{
    uint32_t version = bytes >= 8 ? load_be32(head + QH_VERSION) : 0;

    return bytes >= 8 && load_be32(head) == QCOW2_MAGIC && version >= 2 ? 100 : 0;
}

int qcow2_parse_header(const uint8_t *b, Qcow2Header *h)
{
    *h = (Qcow2Header){
        .version = load_be32(b + QH_VERSION),
        .backing_offset = load_be64(b + QH_BACKING_OFFSET),
        .backing_size = load_be32(b + QH_BACKING_SIZE),
        .cluster_bits = load_be32(b + QH_CLUSTER_BITS),
        .size = load_be64(b + QH_SIZE),
        .crypt = load_be32(b + QH_CRYPT),
        .l1_size = load_be32(b + QH_L1_SIZE),
        .l1_offset = load_be64(b + QH_L1_OFFSET),
        .reftable_offset = load_be64(b + QH_REFTABLE_OFFSET),
        .reftable_clusters = load_be32(b + QH_REFTABLE_CLUSTERS),
        .snapshots = load_be32(b + QH_SNAPSHOTS),
        .snapshots_offset = load_be64(b + QH_SNAPSHOTS_OFFSET),
        .refcount_order = 4,
        .length = QH_V2_LENGTH,
    };
    if (load_be32(b) != QCOW2_MAGIC) {
        return -EINVAL;
    }
    if (h->version >= 3) {
        h->incompatible = load_be64(b + QH_INCOMPATIBLE);
        h->compatible = load_be64(b + QH_COMPATIBLE);
        h->autoclear = load_be64(b + QH_AUTOCLEAR);
        h->refcount_order = load_be32(b + QH_REFCOUNT_ORDER);
        h->length = load_be32(b + QH_LENGTH);
        h->compression = h->length > QH_COMPRESSION ? b[QH_COMPRESSION] : 0;
    }
    return 0;
}

static bool bad(BlockNode *node, Error **errp, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static bool bad(BlockNode *node, Error **errp, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    error_set(errp, "image %s: %s", node->filename, text);
    return false;
}

/* A table in the file: at a cluster's start, not wrapping around. */
static bool good_table(const Qcow2Header *h, uint64_t offset, uint64_t entries, uint64_t entry_size)
{
    uint64_t bytes = entries * entry_size;

    return !(offset & ((1ull << h->cluster_bits) - 1)) && offset <= INT64_MAX &&
           bytes <= INT64_MAX - offset;
}

static bool check_geometry(BlockNode *node, const Qcow2Header *h, Error **errp)
{
    if (h->version < 2 || h->version > 3) {
        return bad(node, errp, "qcow2 version %" PRIu32 " is not known; possible: 2, 3",
                   h->version);
    }
    if (h->cluster_bits < QCOW2_MIN_CLUSTER_BITS || h->cluster_bits > QCOW2_MAX_CLUSTER_BITS) {
        return bad(node, errp,
                   "clusters of 2^%" PRIu32 " bytes are not possible; possible: 2^9 to 2^21",
                   h->cluster_bits);
    }
    if (h->version >= 3 &&
        (h->length < QH_V3_MIN_LENGTH || h->length > 1u << h->cluster_bits || h->length % 8)) {
        return bad(node, errp, "the header's length of %" PRIu32 " is not possible", h->length);
    }
    if (h->refcount_order > 6) {
        return bad(node, errp,
                   "reference counts of 2^%" PRIu32 " bits are not possible; at most 64",
                   h->refcount_order);
    }
    if (h->backing_offset > (1ull << h->cluster_bits)) {
        return bad(node, errp, "the backing file's name lies outside of the header");
    }
    return true;
}

/* Limits of memory, and of what other tables say. */
static bool check_tables(BlockNode *node, const Qcow2Header *h, Error **errp)
{
    bool extl2 = h->incompatible & QCOW2_INCOMPAT_EXTL2;
    unsigned l2_bits = h->cluster_bits - (extl2 ? 4 : 3), shift = h->cluster_bits + l2_bits;
    bool check = node->flags & BDRV_O_CHECK;

    if (extl2 && h->cluster_bits < QCOW2_MIN_EXTL2_BITS) {
        return bad(node, errp, "extended L2 entries need clusters of at least 16k");
    }
    if (h->l1_size > QCOW2_MAX_L1_BYTES / 8) {
        return bad(node, errp, "the L1 table is larger than 32 MB");
    }
    if (h->size > INT64_MAX ||
        DIV_ROUND_UP((__uint128_t)h->size, (__uint128_t)1 << shift) > h->l1_size) {
        return bad(node, errp, "the L1 table is too small for a disk of %" PRIu64 " bytes",
                   h->size);
    }
    if (!good_table(h, h->l1_offset, h->l1_size, 8)) {
        return bad(node, errp, "the L1 table's place is not possible");
    }
    if (h->reftable_clusters > QCOW2_MAX_REFTABLE_BYTES >> h->cluster_bits) {
        return bad(node, errp, "the refcount table is larger than 8 MB");
    }
    if (!good_table(h, h->reftable_offset, h->reftable_clusters, 1ull << h->cluster_bits) ||
        (!h->reftable_clusters && !check)) {
        return bad(node, errp, "the refcount table's place is not possible");
    }
    if (h->snapshots > QCOW2_MAX_SNAPSHOTS ||
        !good_table(h, h->snapshots_offset, h->snapshots, 64)) {
        return bad(node, errp, "the snapshot table is not possible");
    }
    return true;
}

/* Names from the image's own table, so that newer features are told by their names. */
static void name_features(const uint8_t *table, uint32_t length, uint64_t unknown, char *text,
                          size_t size)
{
    text[0] = 0;
    for (unsigned bit = 0; bit < 64; bit++) {
        char name[47] = "";
        if (!(unknown >> bit & 1)) {
            continue;
        }
        for (uint32_t at = 0; table && at + 48 <= length; at += 48) {
            if (table[at] == 0 && table[at + 1] == bit) {
                memcpy(name, table + at + 2, 46);
            }
        }
        for (char *p = name; *p; p++) {
            *p = *p < ' ' || *p > '~' ? '?' : *p;
        }
        if (!*name) {
            snprintf(name, sizeof(name), "feature %u", bit);
        }
        snprintf(text + strlen(text), size - strlen(text), "%s%s", *text ? ", " : "", name);
    }
}

static char *ext_string(const uint8_t *data, uint32_t length)
{
    return length < 1024 ? strndup((const char *)data, length) : NULL;
}

static void keep_unknown(Qcow2State *s, uint32_t type, const uint8_t *data, uint32_t length)
{
    Qcow2UnknownExt *ext = calloc(1, sizeof(*ext)), **last = &s->unknown_ext;

    if (!ext || !(ext->data = malloc(MAX(length, 1)))) {
        free(ext);
        return;
    }
    ext->type = type;
    ext->length = length;
    memcpy(ext->data, data, length);
    while (*last) {
        last = &(*last)->next;
    }
    *last = ext;
}

/* `area`: the first cluster's bytes behind the header. */
static bool read_extensions(BlockNode *node, const uint8_t *area, uint64_t size,
                            const uint8_t **features, uint32_t *features_length, Error **errp)
{
    Qcow2State *s = node->state;
    uint64_t at = 0;

    while (at + 8 <= size) {
        uint32_t type = load_be32(area + at), length = load_be32(area + at + 4);
        const uint8_t *data = area + at + 8;
        if (type == QCOW2_EXT_END) {
            return true;
        }
        if (length > size - at - 8) {
            return bad(node, errp, "header extension %#" PRIx32 " is longer than the header", type);
        }
        switch (type) {
        case QCOW2_EXT_BACKING_FORMAT:
            free(node->backing_format);
            node->backing_format = ext_string(data, length);
            break;
        case QCOW2_EXT_FEATURES:
            *features = data;
            *features_length = length;
            break;
        case QCOW2_EXT_DATA_FILE:
            free(s->data_filename);
            s->data_filename = ext_string(data, length);
            break;
        case QCOW2_EXT_CRYPTO:
            if (length != 16) {
                return bad(node, errp, "the header extension for LUKS has no 16 bytes");
            }
            s->luks_offset = load_be64(data);
            s->luks_bytes = load_be64(data + 8);
            break;
        case QCOW2_EXT_BITMAPS:
            if (!qcow2_check_bitmap_ext(node, data, length, errp)) {
                return false;
            }
            break;
        default:
            keep_unknown(s, type, data, length);
        }
        at += 8 + ROUND_UP((uint64_t)length, 8);
    }
    return true;
}

static bool check_features(BlockNode *node, const uint8_t *features, uint32_t length, Error **errp)
{
    Qcow2State *s = node->state;
    uint64_t unknown = s->h.incompatible & ~QCOW2_INCOMPAT_KNOWN;
    char names[256];

    if (unknown) {
        name_features(features, length, unknown, names, sizeof(names));
        return bad(node, errp, "it uses features that are not known here: %s", names);
    }
    if (s->h.crypt > QCOW2_CRYPT_LUKS) {
        return bad(node, errp,
                   "encryption method %" PRIu32 " is not known; possible: AES (1), LUKS (2)",
                   s->h.crypt);
    }
    if (s->h.crypt == QCOW2_CRYPT_LUKS &&
        ((s->luks_offset & (s->cluster_size - 1)) || !s->luks_offset || !s->luks_bytes ||
         s->luks_bytes > MAX_LUKS || s->luks_offset > INT64_MAX - MAX_LUKS)) {
        return bad(node, errp, "the LUKS header's place is not possible");
    }
    if ((s->h.incompatible & QCOW2_INCOMPAT_COMPRESSION) ? s->h.compression == 0
                                                         : s->h.compression != 0) {
        return bad(node, errp, "its compression type %u contradicts its features",
                   s->h.compression);
    }
    if (s->h.compression > 1) {
        return bad(node, errp, "compression type %u is not known; possible: zlib (0), zstd (1)",
                   s->h.compression);
    }
#ifndef CONFIG_ZSTD
    if (s->h.compression == 1) {
        return bad(node, errp, "it is compressed with zstd, which this build is without");
    }
#endif
    if ((s->h.incompatible & QCOW2_INCOMPAT_CORRUPT) && !node->readonly &&
        !(node->flags & BDRV_O_CHECK)) {
        return bad(
            node, errp,
            "it is marked as corrupt and can only be read; 'vole-img check -r all' may repair it");
    }
    return true;
}

static void set_state(BlockNode *node)
{
    Qcow2State *s = node->state;
    const Qcow2Header *h = &s->h;

    s->cluster_bits = h->cluster_bits;
    s->cluster_size = 1ull << h->cluster_bits;
    s->cluster_mask = s->cluster_size - 1;
    s->extl2 = h->incompatible & QCOW2_INCOMPAT_EXTL2;
    s->data_file = h->incompatible & QCOW2_INCOMPAT_DATA_FILE;
    s->data_raw = s->data_file && (h->autoclear & QCOW2_AUTOCLEAR_RAW);
    s->corrupt = h->incompatible & QCOW2_INCOMPAT_CORRUPT;
    s->zstd = h->compression == 1;
    s->l2_entry_size = s->extl2 ? 16 : 8;
    s->l2_bits = h->cluster_bits - (s->extl2 ? 4 : 3);
    s->l2_entries = 1u << s->l2_bits;
    s->subcluster_size = s->extl2 ? s->cluster_size / QCOW2_SUBCLUSTERS : s->cluster_size;
    s->refcount_bits = 1u << h->refcount_order;
    s->refblock_bits = h->cluster_bits + 3 - h->refcount_order;
    s->max_refcount = h->refcount_order == 6 ? UINT64_MAX : (1ull << s->refcount_bits) - 1;
    s->l1_size = h->l1_size;
    s->l1_offset = h->l1_offset;
    s->lazy = (h->compatible & QCOW2_COMPAT_LAZY) && h->version >= 3;
    s->bitmaps_valid = h->autoclear & QCOW2_AUTOCLEAR_BITMAPS;
    s->ops_last = &s->ops_first;
}

static bool read_backing_name(BlockNode *node, Error **errp)
{
    Qcow2State *s = node->state;
    char name[1024] = "";

    if (!s->h.backing_offset || !s->h.backing_size) {
        free(node->backing_format);
        node->backing_format = NULL;
        return true;
    }
    if (s->h.backing_size > 1023 || s->h.backing_size > s->cluster_size - s->h.backing_offset) {
        return bad(node, errp, "the backing file's name is too long");
    }
    int ret = bdrv_co_pread(node->file, s->h.backing_offset, s->h.backing_size, name, 0);
    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s: cannot read the backing file's name",
                        node->filename);
        return false;
    }
    node->backing_file = strdup(name);
    return true;
}

static bool read_header(BlockNode *node, Error **errp)
{
    Qcow2State *s = node->state;
    uint8_t head[QH_V3_LENGTH] = {0};
    const uint8_t *features = NULL;
    uint32_t features_length = 0;
    int ret = bdrv_co_pread(node->file, 0, sizeof(head), head, 0);

    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s: cannot read the header", node->filename);
        return false;
    }
    if (qcow2_parse_header(head, &s->h) < 0) {
        return bad(node, errp, "is not in qcow2 format");
    }
    if (!check_geometry(node, &s->h, errp)) {
        return false;
    }
    set_state(node);
    uint8_t *cluster = block_alloc(node, s->cluster_size);
    ret = bdrv_co_pread(node->file, 0, s->cluster_size, cluster, 0);
    bool ok = ret == 0;
    if (!ok) {
        error_set_errno(errp, -ret, "image %s: cannot read the header", node->filename);
    }
    if (ok && s->h.length > QH_V3_LENGTH &&
        (s->unknown_fields = malloc(s->h.length - QH_V3_LENGTH))) {
        s->unknown_fields_size = s->h.length - QH_V3_LENGTH;
        memcpy(s->unknown_fields, cluster + QH_V3_LENGTH, s->unknown_fields_size);
    }
    uint64_t end = s->h.backing_offset > s->h.length ? s->h.backing_offset : s->cluster_size;
    ok = ok &&
         read_extensions(node, cluster + s->h.length, end - s->h.length, &features,
                         &features_length, errp) &&
         check_features(node, features, features_length, errp);
    free(cluster);
    return ok && check_tables(node, &s->h, errp) && read_backing_name(node, errp);
}

/* ---- writing the header ---- */

/*
 * Writes a part of the first cluster and flushes. If that fails, the old bytes come back, so that
 * the file says what the tables in memory do; if not even that is possible the image is written no
 * more.
 */
static int write_first_cluster(BlockNode *node, unsigned offset, const void *data, unsigned size)
{
    Qcow2State *s = node->state;
    uint8_t *old = block_try_alloc(node, size);
    int ret = old ? bdrv_co_pread(node->file, offset, size, old, 0) : -ENOMEM;

    if (ret == 0) {
        ret = bdrv_co_pwrite(node->file, offset, size, data, 0);
        ret = ret < 0 ? ret : bdrv_co_flush(node->file->node);
        if (ret < 0 && bdrv_co_pwrite(node->file, offset, size, old, 0) < 0) {
            error_report("image %s: its header cannot be written; it is written no more",
                         node->filename);
            s->corrupt = s->corrupt_told = s->broken = true;
            node->readonly = true;
        }
    }
    free(old);
    return ret;
}

int qcow2_write_field(BlockNode *node, unsigned offset, const void *data, unsigned size)
{
    return write_first_cluster(node, offset, data, size);
}

int qcow2_set_dirty(BlockNode *node, bool dirty)
{
    Qcow2State *s = node->state;
    uint8_t field[8];

    if (s->lazy_dirty == dirty) {
        return 0;
    }
    uint64_t incompatible = dirty ? s->h.incompatible | QCOW2_INCOMPAT_DIRTY
                                  : s->h.incompatible & ~QCOW2_INCOMPAT_DIRTY;
    store_be64(field, incompatible);
    int ret = qcow2_write_field(node, QH_INCOMPATIBLE, field, sizeof(field));
    if (ret == 0) {
        s->h.incompatible = incompatible;
        s->lazy_dirty = dirty;
    }
    return ret;
}

/* Said once; from then on the image is not written, and version 3 remembers it. */
void qcow2_mark_corrupt(BlockNode *node, const char *what, ...)
{
    Qcow2State *s = node->state;
    char text[200];
    va_list ap;

    if (s->corrupt_told || (node->flags & BDRV_O_CHECK)) {
        return;
    }
    s->corrupt_told = true;
    va_start(ap, what);
    vsnprintf(text, sizeof(text), what, ap);
    va_end(ap);
    error_report("image %s is corrupt: %s%s", node->filename, text,
                 node->readonly ? "" : "; it is written no more");
    if (node->readonly) {
        return;
    }
    if (s->h.version >= 3) {
        uint8_t field[8];
        s->h.incompatible |= QCOW2_INCOMPAT_CORRUPT;
        store_be64(field, s->h.incompatible);
        bdrv_co_pwrite(node->file, QH_INCOMPATIBLE, sizeof(field), field, 0);
    }
    s->corrupt = s->broken = true;
    node->readonly = true;
}

/* Appends an extension; false: no room left before `end`. */
static bool put_ext(uint8_t *cluster, uint64_t *at, uint64_t end, uint32_t type, const void *data,
                    uint32_t length)
{
    if (*at + 8 + ROUND_UP((uint64_t)length, 8) > end) {
        return false;
    }
    store_be32(cluster + *at, type);
    store_be32(cluster + *at + 4, length);
    if (length) {
        memcpy(cluster + *at + 8, data, length);
    }
    *at += 8 + ROUND_UP((uint64_t)length, 8);
    return true;
}

static uint32_t feature_table(uint8_t *table)
{
    static const struct {
        uint8_t kind, bit;
        const char *name;
    } features[] = {
        {0, 0, "dirty bit"},        {0, 1, "corrupt bit"},         {0, 2, "external data file"},
        {0, 3, "compression type"}, {0, 4, "extended L2 entries"}, {1, 0, "lazy refcounts"},
        {2, 0, "bitmaps"},          {2, 1, "raw external data"},
    };

    memset(table, 0, ARRAY_SIZE(features) * 48);
    for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
        table[48 * i] = features[i].kind;
        table[48 * i + 1] = features[i].bit;
        memcpy(table + 48 * i + 2, features[i].name, strlen(features[i].name));
    }
    return ARRAY_SIZE(features) * 48;
}

static void put_fields(const Qcow2State *s, uint8_t *b)
{
    const Qcow2Header *h = &s->h;

    store_be32(b, QCOW2_MAGIC);
    store_be32(b + QH_VERSION, h->version);
    store_be64(b + QH_BACKING_OFFSET, h->backing_offset);
    store_be32(b + QH_BACKING_SIZE, h->backing_size);
    store_be32(b + QH_CLUSTER_BITS, h->cluster_bits);
    store_be64(b + QH_SIZE, h->size);
    store_be32(b + QH_CRYPT, h->crypt);
    store_be32(b + QH_L1_SIZE, h->l1_size);
    store_be64(b + QH_L1_OFFSET, h->l1_offset);
    store_be64(b + QH_REFTABLE_OFFSET, h->reftable_offset);
    store_be32(b + QH_REFTABLE_CLUSTERS, h->reftable_clusters);
    store_be32(b + QH_SNAPSHOTS, h->snapshots);
    store_be64(b + QH_SNAPSHOTS_OFFSET, h->snapshots_offset);
    if (h->version >= 3) {
        store_be64(b + QH_INCOMPATIBLE, h->incompatible);
        store_be64(b + QH_COMPATIBLE, h->compatible);
        store_be64(b + QH_AUTOCLEAR, h->autoclear);
        store_be32(b + QH_REFCOUNT_ORDER, h->refcount_order);
        store_be32(b + QH_LENGTH, QH_V3_LENGTH + s->unknown_fields_size);
        b[QH_COMPRESSION] = h->compression;
        if (s->unknown_fields_size) {
            memcpy(b + QH_V3_LENGTH, s->unknown_fields, s->unknown_fields_size);
        }
    }
}

static bool put_extensions(BlockNode *node, uint8_t *cluster, uint64_t *at, uint64_t end)
{
    Qcow2State *s = node->state;
    uint8_t features[48 * 8], bitmaps[24] = {0}, luks[16];
    bool ok = true;

    if (node->backing_file && node->backing_format) {
        ok = put_ext(cluster, at, end, QCOW2_EXT_BACKING_FORMAT, node->backing_format,
                     strlen(node->backing_format));
    }
    if (ok && s->data_file && s->data_filename) {
        ok = put_ext(cluster, at, end, QCOW2_EXT_DATA_FILE, s->data_filename,
                     strlen(s->data_filename));
    }
    if (ok && s->luks_bytes) {
        store_be64(luks, s->luks_offset);
        store_be64(luks + 8, s->luks_bytes);
        ok = put_ext(cluster, at, end, QCOW2_EXT_CRYPTO, luks, sizeof(luks));
    }
    if (ok && s->h.version >= 3 && s->cluster_size >= 1024) {
        uint32_t n = feature_table(features);
        ok = put_ext(cluster, at, end, QCOW2_EXT_FEATURES, features, n);
    }
    if (ok && s->bitmap_count) {
        store_be32(bitmaps, s->bitmap_count);
        store_be64(bitmaps + 8, s->bitmap_dir_size);
        store_be64(bitmaps + 16, s->bitmap_dir_offset);
        ok = put_ext(cluster, at, end, QCOW2_EXT_BITMAPS, bitmaps, sizeof(bitmaps));
    }
    for (Qcow2UnknownExt *ext = s->unknown_ext; ok && ext; ext = ext->next) {
        ok = put_ext(cluster, at, end, ext->type, ext->data, ext->length);
    }
    return ok && put_ext(cluster, at, end, QCOW2_EXT_END, NULL, 0);
}

int qcow2_write_header(BlockNode *node)
{
    Qcow2State *s = node->state;
    uint8_t *cluster = block_alloc(node, s->cluster_size);
    uint64_t at = s->h.version >= 3 ? QH_V3_LENGTH + s->unknown_fields_size : QH_V2_LENGTH;
    size_t name = node->backing_file ? strlen(node->backing_file) : 0;

    memset(cluster, 0, s->cluster_size);
    bool ok = put_extensions(node, cluster, &at, s->cluster_size);
    s->h.length = s->h.version >= 3 ? QH_V3_LENGTH + s->unknown_fields_size : QH_V2_LENGTH;
    if (ok && name && (name > 1023 || at + name > s->cluster_size)) {
        ok = false;
    }
    int ret = ok ? 0 : -ENOSPC;
    if (ok) {
        s->h.backing_offset = node->backing_file ? at : 0;
        s->h.backing_size = (uint32_t)name;
        if (name) {
            memcpy(cluster + at, node->backing_file, name);
        }
        put_fields(s, cluster);
        ret = write_first_cluster(node, 0, cluster, (unsigned)s->cluster_size);
    }
    free(cluster);
    return ret;
}

/* ---- opening ---- */

static bool load_l1(BlockNode *node, Error **errp)
{
    Qcow2State *s = node->state;

    s->l1 = block_try_alloc(node, MAX(8ull * s->l1_size, 8));
    int ret =
        s->l1 ? bdrv_co_pread(node->file, s->l1_offset, 8ull * s->l1_size, s->l1, 0) : -ENOMEM;
    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s: cannot read the L1 table", node->filename);
        return false;
    }
    for (uint32_t i = 0; i < s->l1_size; i++) {
        s->l1[i] = load_be64(&s->l1[i]);
    }
    return true;
}

static bool open_data_file(BlockNode *node, BlockOptions *options, Error **errp)
{
    Qcow2State *s = node->state;
    char *full = NULL;

    if (!s->data_file) {
        return true;
    }
    if (s->data_filename && !blkopts_get(options, "data-file") &&
        !blkopts_has_prefix(options, "data-file")) {
        full = bdrv_full_backing_name(node, s->data_filename, errp);
        if (!full) {
            return false;
        }
    }
    bool ok =
        bdrv_open_child(node, full, options, "data-file", CHILD_DATA, false, &node->data, errp);
    free(full);
    if (!ok) {
        error_prepend(errp, "data file of %s: ", node->filename);
    }
    return ok;
}

static bool wrong_encryption(BlockNode *node, const char *format, Error **errp)
{
    const Qcow2State *s = node->state;
    const char *is = s->h.crypt == QCOW2_CRYPT_LUKS ? "luks" : s->h.crypt ? "aes" : "none";

    if (format && strcmp(format, is) != 0) {
        bad(node, errp, "encrypt.format=%s: the image's encryption is %s", format, is);
        return true;
    }
    return false;
}

/* By the password that encrypt.key-secret= names; who only looks at the header needs none. */
static bool open_encryption(BlockNode *node, BlockOptions *options, Error **errp)
{
    Qcow2State *s = node->state;
    bool needed = s->h.crypt && !(node->flags & (BDRV_O_NO_IO | BDRV_O_CHECK));
    char *secret = blkopts_take(options, "encrypt.key-secret");
    char *format = blkopts_take(options, "encrypt.format");
    bool ok = !wrong_encryption(node, format, errp);

    node->encrypted = s->h.crypt != QCOW2_CRYPT_NONE;
    if (ok && s->h.crypt == QCOW2_CRYPT_LUKS) {
        ok = luks_read_header(node->file, s->luks_offset, s->luks_bytes, &s->luks, node->filename,
                              errp);
        if (ok && needed) {
            s->cipher =
                luks_unlock(node->file, s->luks_offset, &s->luks, secret, node->filename, errp);
        }
    } else if (ok && needed) {
        s->cipher = crypt_open_aes(secret, node->filename, errp);
    }
    free(s->luks_secret);
    s->luks_secret = secret;
    free(format);
    return ok && (s->cipher || !needed);
}

static bool take_options(BlockNode *node, BlockOptions *options, uint64_t *l2, uint64_t *refcounts,
                         Error **errp)
{
    Qcow2State *s = node->state;
    uint64_t all = 0;

    if (!blkopts_take_bool(options, "lazy-refcounts", &s->lazy, errp) ||
        !blkopts_take_size(options, "cache-size", &all, errp) ||
        !blkopts_take_size(options, "l2-cache-size", l2, errp) ||
        !blkopts_take_size(options, "refcount-cache-size", refcounts, errp)) {
        return false;
    }
    s->lazy = s->lazy && s->h.version >= 3;
    if (all) {
        *l2 = MAX(all / 4 * 3, 1 << 16);
        *refcounts = MAX(all / 4, 1 << 16);
    }
    return true;
}

static void free_state(Qcow2State *s)
{
    while (s->unknown_ext) {
        Qcow2UnknownExt *ext = s->unknown_ext;
        s->unknown_ext = ext->next;
        free(ext->data);
        free(ext);
    }
    cipher_free(s->cipher);
    free(s->luks_secret);
    free(s->unknown_fields);
    free(s->data_filename);
    free(s->l1);
    free(s->reftable);
    free(s->freed);
    qcow2_bitmaps_free(s);
    qcow2_free_snapshots(s);
    qcow2_cache_free(s->l2_cache);
    qcow2_cache_free(s->refcount_cache);
}

static void set_limits(BlockNode *node)
{
    Qcow2State *s = node->state;

    node->size = s->h.size;
    node->zeroes_alignment = s->subcluster_size;
    node->discard_alignment = s->cluster_size;
    node->memory_alignment = node->file->node->memory_alignment;
    node->max_transfer = 64 << 20;
    node->supported_zero_flags = BDRV_REQ_MAY_UNMAP | BDRV_REQ_NO_FALLBACK;
    node->zero_init = true;
    /* A disk of a device goes on in whole sectors. */
    node->request_alignment = s->h.crypt ? CIPHER_SECTOR : 1;
}

/* Clusters that were allocated without being written decrypt to anything. */
static void look_for_preallocation(BlockNode *node)
{
    Qcow2State *s = node->state;
    Qcow2Mapping m;

    if (s->h.crypt && node->size) {
        co_mutex_lock(&s->lock);
        node->zero_init = qcow2_map(node, 0, 1, &m) < 0 || m.kind != QCOW2_NORMAL;
        co_mutex_unlock(&s->lock);
    }
}

/* After a crash with lazy refcounts; unknown auto-clear features are cleared before anything is
 * written. */
static bool first_write(BlockNode *node, Error **errp)
{
    Qcow2State *s = node->state;
    uint64_t keep = s->h.autoclear & QCOW2_AUTOCLEAR_KNOWN;
    int ret = 0;

    if (node->readonly || (node->flags & BDRV_O_CHECK)) {
        return true;
    }
    if (s->h.incompatible & QCOW2_INCOMPAT_DIRTY) {
        BlockCheck result = {0};
        s->lazy_dirty = true;
        ret = qcow2_co_check(node, &result, CHECK_FIX_LEAKS | CHECK_FIX_ERRORS);
        ret = ret < 0 ? ret : qcow2_set_dirty(node, false);
        if (ret < 0 || result.check_errors) {
            return bad(node, errp,
                       "it was not closed properly and its reference counts cannot be repaired");
        }
    }
    if (keep != s->h.autoclear) {
        s->h.autoclear = keep;
        ret = qcow2_write_header(node);
    }
    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s: cannot write the header", node->filename);
    }
    return ret == 0;
}

static bool qcow2_co_open(BlockNode *node, BlockOptions *options, Error **errp)
{
    Qcow2State *s = node->state;
    uint64_t l2 = L2_CACHE, refcounts = REFCOUNT_CACHE;

    if (!bdrv_open_file_child(node, options, errp)) {
        return false;
    }
    bool ok = read_header(node, errp) && take_options(node, options, &l2, &refcounts, errp) &&
              load_l1(node, errp) && qcow2_load_reftable(node, errp) == 0;
    if (ok) {
        s->l2_cache = qcow2_cache_new((uint32_t)MIN(s->cluster_size, SLICE_SIZE), l2);
        s->refcount_cache = qcow2_cache_new((uint32_t)MIN(s->cluster_size, SLICE_SIZE), refcounts);
        s->fresh_index = qcow2_file_clusters(node);
        set_limits(node);
    }
    ok = ok && qcow2_load_snapshots(node, errp) && open_data_file(node, options, errp) &&
         open_encryption(node, options, errp) && first_write(node, errp);
    if (ok) {
        look_for_preallocation(node);
    }
    if (!ok) {
        free_state(s);
    }
    return ok;
}

/* Before the image is not written any more. */
static int settle_for_good(BlockNode *node)
{
    Qcow2State *s = node->state;
    int ret = qcow2_bitmaps_store(node);

    ret = ret < 0 ? ret : qcow2_settle(node);
    if (ret == 0 && s->lazy_dirty) {
        ret = bdrv_co_flush(node->file->node);
        ret = ret < 0 ? ret : qcow2_set_dirty(node, false);
    }
    return ret;
}

static void qcow2_co_close(BlockNode *node)
{
    Qcow2State *s = node->state;

    if (!node->readonly && !s->temporary) {
        co_mutex_lock(&s->lock);
        int ret = settle_for_good(node);
        co_mutex_unlock(&s->lock);
        if (ret < 0) {
            error_report("image %s could not be completed: %s", node->filename, strerror(-ret));
        }
    }
    free_state(s);
}

static bool qcow2_co_reopen(BlockNode *node, bool readonly, Error **errp)
{
    Qcow2State *s = node->state;

    if (readonly) {
        co_mutex_lock(&s->lock);
        int ret = settle_for_good(node);
        ret = ret < 0 ? ret : bdrv_co_flush(node->file->node);
        co_mutex_unlock(&s->lock);
        if (ret < 0) {
            error_set_errno(errp, -ret, "image %s could not be completed", node->filename);
        }
        return ret == 0;
    }
    if (s->corrupt) {
        return bad(node, errp, "it is marked as corrupt and can only be read");
    }
    node->readonly = false;
    bool ok = first_write(node, errp);
    node->readonly = true; /* the caller's to change */
    return ok;
}

/* ---- information ---- */

static int qcow2_co_get_info(BlockNode *node, BlockInfo *info)
{
    Qcow2State *s = node->state;

    info->cluster_size = (uint32_t)s->cluster_size;
    info->subcluster_size = (uint32_t)s->subcluster_size;
    info->vm_state_offset = qcow2_vm_state_offset(node);
    info->is_dirty = s->h.incompatible & QCOW2_INCOMPAT_DIRTY;
    return 0;
}

static void qcow2_get_specific(BlockNode *node, InfoTree *info)
{
    Qcow2State *s = node->state;
    bool v3 = s->h.version >= 3;

    info_add_string(info, "compat", v3 ? "1.1" : "0.10");
    info_add_string(info, "compression-type", s->zstd ? "zstd" : "zlib");
    if (v3) {
        info_add_bool(info, "lazy-refcounts", s->h.compatible & QCOW2_COMPAT_LAZY);
        qcow2_add_bitmap_info(node, info);
    }
    info_add_int(info, "refcount-bits", s->refcount_bits);
    if (s->h.crypt) {
        InfoTree *encrypt = info_add(info, "encrypt", INFO_OBJECT);
        if (s->h.crypt == QCOW2_CRYPT_LUKS) {
            luks_add_info(&s->luks, "luks", encrypt);
        } else {
            info_add_string(encrypt, "format", "aes");
        }
    }
    if (s->data_file) {
        if (s->data_filename) {
            info_add_string(info, "data-file", s->data_filename);
        }
        info_add_bool(info, "data-file-raw", s->data_raw);
    }
    if (v3) {
        info_add_bool(info, "corrupt", s->h.incompatible & QCOW2_INCOMPAT_CORRUPT);
        info_add_bool(info, "extended-l2", s->extl2);
    }
}

/* ---- options of an existing image ---- */

int qcow2_co_change_backing(BlockNode *node, const char *file, const char *format)
{
    Qcow2State *s = node->state;
    char *old_file = node->backing_file, *old_format = node->backing_format;

    if (s->data_raw && file) {
        return -EINVAL;
    }
    node->backing_file = file ? strdup(file) : NULL;
    node->backing_format = file && format ? strdup(format) : NULL;
    co_mutex_lock(&s->lock);
    int ret = qcow2_settle(node);
    ret = ret < 0 ? ret : qcow2_write_header(node);
    co_mutex_unlock(&s->lock);
    if (ret < 0) {
        free(node->backing_file);
        free(node->backing_format);
        node->backing_file = old_file;
        node->backing_format = old_format;
    } else {
        free(old_file);
        free(old_format);
    }
    return ret;
}

static const BlockOptionDesc qcow2_options[] = {
    {"lazy-refcounts", "on|off", "count references late"},
    {"cache-size", "SIZE", "memory for both caches of tables"},
    {"l2-cache-size", "SIZE", "memory for L2 tables"},
    {"refcount-cache-size", "SIZE", "memory for refcount blocks"},
    {"data-file", "NODE", "the data file, in place of the header's"},
    {"backing", "NODE", "the backing file, in place of the header's"},
    {"encrypt.key-secret", "ID", "the secret with the password of an encrypted image"},
    {"encrypt.format", "aes|luks", "only such an image"},
    {0},
};

const BlockDriver bdrv_qcow2 = {
    .name = "qcow2",
    .state_size = sizeof(Qcow2State),
    .supports_backing = true,
    .supports_compressed = true,
    .open_options = qcow2_options,
    .create_options = qcow2_create_options,
    .create_defaults = "cluster_size=65536,extended_l2=off,compression_type=zlib,"
                       "lazy_refcounts=off,refcount_bits=16",
    .amend_options = qcow2_amend_options,
    .probe = qcow2_probe,
    .co_open = qcow2_co_open,
    .co_close = qcow2_co_close,
    .co_reopen = qcow2_co_reopen,
    .co_create = qcow2_co_create,
    .measure = qcow2_measure,
    .co_preadv = qcow2_co_preadv,
    .co_pwritev = qcow2_co_pwritev,
    .co_pwritev_compressed = qcow2_co_pwritev_compressed,
    .co_pwrite_zeroes = qcow2_co_pwrite_zeroes,
    .co_pdiscard = qcow2_co_pdiscard,
    .co_flush = qcow2_co_flush,
    .co_block_status = qcow2_co_block_status,
    .co_truncate = qcow2_co_truncate,
    .co_make_empty = qcow2_co_make_empty,
    .co_get_info = qcow2_co_get_info,
    .get_specific = qcow2_get_specific,
    .co_check = qcow2_co_check,
    .co_amend = qcow2_co_amend,
    .co_change_backing = qcow2_co_change_backing,
    .co_snapshot_create = qcow2_co_snapshot_create,
    .co_snapshot_finish = qcow2_co_snapshot_finish,
    .co_snapshot_abandon = qcow2_co_snapshot_abandon,
    .co_snapshot_goto = qcow2_co_snapshot_goto,
    .co_snapshot_delete = qcow2_co_snapshot_delete,
    .co_snapshot_load_tmp = qcow2_co_snapshot_load_tmp,
    .co_snapshot_list = qcow2_co_snapshot_list,
    .co_save_vmstate = qcow2_co_save_vmstate,
    .co_load_vmstate = qcow2_co_load_vmstate,
    .co_vmstate_status = qcow2_co_vmstate_status,
    .bitmaps = &qcow2_bitmaps,
};
