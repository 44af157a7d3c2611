/*
 * The format "qcow", version 1: sparse clusters in two levels of tables, backing files, compressed
 * clusters.
 *
 * Layout (all numbers big-endian): a header of 48 bytes, the backing file's name, the L1 table of
 * 64-bit offsets of L2 tables; an L2 table of 64-bit entries, each the offset of a cluster, or with
 * bit 63 set that of a deflate stream whose length stands below bit 63. Source: "The QCOW Image
 * Format" (M. McLoughlin). Images that are encrypted (AES) can be read.
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
#include "block/luks.h"
#include "block/sparse.h"
#include "block/util.h"

enum {
    QC_MAGIC = 0x514649fb,
    QC_VERSION = 4,
    QC_BACKING_OFFSET = 8,
    QC_BACKING_SIZE = 16,
    QC_MTIME = 20,
    QC_SIZE = 24,
    QC_CLUSTER_BITS = 32,
    QC_L2_BITS = 33,
    QC_CRYPT = 36,
    QC_L1_OFFSET = 40,
    QC_HEADER = 48,

    MIN_CLUSTER_BITS = 9,
    MAX_CLUSTER_BITS = 16,
    MIN_L2_BITS = 6, /* tables of 512 bytes to 64 KB */
    MAX_L2_BITS = 13,
    MAX_BACKING_NAME = 1023,
    PACK_WINDOW = 12, /* what readers of the format can look back to */
};
/* 4 KB clusters: 16 TB. It is all in memory. */
#define MAX_L1_BYTES (64ull << 20)
#define PACKED       (1ull << 63)

typedef struct QcowState {
    SparseMap map;  /* first */
    Cipher *cipher; /* NULL: not encrypted, or opened only to look at the header */
    unsigned cluster_bits, l2_bits;
    uint64_t l1_offset, l1_size;
    uint64_t *l1;               /* in the machine's byte order */
    uint64_t l1_first, l1_last; /* changed entries, while map.tables_changed */
} QcowState;

static int qcow_probe(const uint8_t *head, size_t bytes, const char *filename)
{
    return bytes >= QC_HEADER && load_be32(head) == QC_MAGIC && load_be32(head + QC_VERSION) == 1
               ? 100
               : 0;
}

/* ---- tables ---- */

static int qcow_co_table(SparseMap *m, uint64_t cluster, bool make, SparseTable *t)
{
    QcowState *s = m->opaque;
    uint64_t l1 = cluster >> s->l2_bits, entries = 1ull << s->l2_bits;

    t->entries = entries;
    t->index = cluster & (entries - 1);
    if (l1 >= s->l1_size) {
        return -EIO;
    }
    if (!s->l1[l1] && make) {
        uint64_t offset;
        int ret = sparse_new_table(m, entries * 8, &offset);
        if (ret < 0) {
            return ret;
        }
        s->l1_first = m->tables_changed ? MIN(s->l1_first, l1) : l1;
        s->l1_last = m->tables_changed ? MAX(s->l1_last, l1) : l1;
        m->tables_changed = true;
        s->l1[l1] = offset;
    }
    t->offset = s->l1[l1];
    return t->offset && (t->offset < m->data_start || t->offset > INT64_MAX / 2) ? -EIO : 0;
}

static void qcow_get(const SparseMap *m, const uint8_t *entry, uint64_t cluster, SparseEntry *e)
{
    const QcowState *s = m->opaque;
    uint64_t v = load_be64(entry);

    if (v & PACKED) {
        e->kind = SPARSE_PACKED;
        e->host = v & ((1ull << (63 - s->cluster_bits)) - 1);
        e->packed = v >> (63 - s->cluster_bits) & (m->cluster - 1);
    } else if (v) {
        e->kind = SPARSE_DATA;
        e->host = v;
    }
}

static void qcow_put(const SparseMap *m, uint8_t *entry, const SparseEntry *e)
{
    const QcowState *s = m->opaque;

    store_be64(entry, e->kind == SPARSE_PACKED
                          ? PACKED | e->packed << (63 - s->cluster_bits) | e->host
                          : e->host);
}

/* L1 entries; the L2 tables they lead to went before the barrier. */
static int qcow_co_after_tables(SparseMap *m)
{
    QcowState *s = m->opaque;
    uint8_t buf[4096];

    if (!m->tables_changed) {
        return 0;
    }
    for (uint64_t at = s->l1_first; at <= s->l1_last;) {
        uint64_t n = MIN(s->l1_last - at + 1, (uint64_t)sizeof(buf) / 8);
        for (uint64_t i = 0; i < n; i++) {
            store_be64(buf + 8 * i, s->l1[at + i]);
        }
        int ret = bdrv_co_pwrite(m->file, s->l1_offset + 8 * at, 8 * n, buf, 0);
        if (ret < 0) {
            return ret;
        }
        at += n;
    }
    m->tables_changed = false;
    return 0;
}

/* ---- compressed clusters ---- */

static int qcow_co_unpack(SparseMap *m, const SparseEntry *e, uint64_t cluster, uint8_t *out)
{
    uint8_t *in = block_try_alloc(m->node, MAX(e->packed, 1));
    int64_t ret = in ? bdrv_co_pread(m->file, e->host, e->packed, in, 0) : -ENOMEM;

    if (ret == 0) {
        ret = pack_decompress(PACK_DEFLATE, in, e->packed, out, m->cluster);
        ret = ret >= 0 && (uint64_t)ret != m->cluster ? -EIO : ret;
    }
    free(in);
    return ret < 0 ? (int)ret : 0;
}

static int64_t qcow_co_pack(SparseMap *m, uint64_t cluster, const uint8_t *in, uint8_t *out)
{
    const QcowState *s = m->opaque;

    if (m->end >> (63 - s->cluster_bits)) {
        return -ENOSPC; /* beyond what such an entry can name */
    }
    return pack_compress(PACK_DEFLATE, PACK_WINDOW, in, m->cluster, out, m->cluster - 1);
}

static int qcow_co_pwritev_compressed(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v,
                                      size_t at)
{
    SparseMap *m = node->state;

    if (offset % m->cluster || (bytes % m->cluster && offset + bytes != node->size)) {
        return -EINVAL;
    }
    return sparse_pwritev_packed(m, offset, bytes, v, at);
}

static const SparseOps qcow_ops = {
    .entry_size = 8,
    .co_table = qcow_co_table,
    .get = qcow_get,
    .put = qcow_put,
    .co_unpack = qcow_co_unpack,
    .co_pack = qcow_co_pack,
    .co_after_tables = qcow_co_after_tables,
};

/* ---- opening ---- */

static bool check_header(BlockNode *node, const uint8_t *h, Error **errp)
{
    QcowState *s = node->state;
    uint64_t size = load_be64(h + QC_SIZE);

    if (load_be32(h) != QC_MAGIC || load_be32(h + QC_VERSION) != 1) {
        error_set(errp, "image %s is not in qcow format (version 1)", node->filename);
        return false;
    }
    s->cluster_bits = h[QC_CLUSTER_BITS];
    s->l2_bits = h[QC_L2_BITS];
    if (s->cluster_bits < MIN_CLUSTER_BITS || s->cluster_bits > MAX_CLUSTER_BITS) {
        error_set(errp, "image %s: clusters of 2^%u bytes are not possible; possible: 2^9 to 2^16",
                  node->filename, s->cluster_bits);
        return false;
    }
    if (s->l2_bits < MIN_L2_BITS || s->l2_bits > MAX_L2_BITS) {
        error_set(errp,
                  "image %s: L2 tables of 2^%u entries are not possible; possible: 2^6 to "
                  "2^13",
                  node->filename, s->l2_bits);
        return false;
    }
    if (load_be32(h + QC_CRYPT) > 1) {
        error_set(errp, "image %s: encryption method %" PRIu32 " is not known; possible: AES (1)",
                  node->filename, load_be32(h + QC_CRYPT));
        return false;
    }
    node->encrypted = load_be32(h + QC_CRYPT) == 1;
    if (node->encrypted && !node->readonly && !(node->flags & BDRV_O_AUTO_READONLY)) {
        error_set(errp,
                  "image %s: encrypted images of format qcow can only be read; add readonly=on, or "
                  "convert it to qcow2 with encrypt.format=luks",
                  node->filename);
        return false;
    }
    node->readonly = node->readonly || node->encrypted;
    unsigned shift = s->cluster_bits + s->l2_bits;
    if (size <= 1 || size > INT64_MAX - (1ull << shift)) {
        error_set(errp, "image %s: a disk of %" PRIu64 " bytes is not possible", node->filename,
                  size);
        return false;
    }
    node->size = ROUND_DOWN(size, BLK_SECTOR_SIZE);
    s->l1_size = DIV_ROUND_UP(size, 1ull << shift);
    s->l1_offset = load_be64(h + QC_L1_OFFSET);
    if (s->l1_size > MAX_L1_BYTES / 8 || s->l1_offset < QC_HEADER ||
        s->l1_offset > node->file->node->size ||
        s->l1_size * 8 > node->file->node->size - s->l1_offset) {
        error_set(errp, "image %s: its L1 table is too large, or lies outside of the file",
                  node->filename);
        return false;
    }
    return true;
}

static bool read_backing_name(BlockNode *node, const uint8_t *h, Error **errp)
{
    uint64_t offset = load_be64(h + QC_BACKING_OFFSET);
    uint32_t length = load_be32(h + QC_BACKING_SIZE);
    char name[MAX_BACKING_NAME + 1] = "";

    if (!offset) {
        return true;
    }
    if (length > MAX_BACKING_NAME || offset > (uint64_t)INT64_MAX - length) {
        error_set(errp, "image %s: the backing file's name is longer than %d bytes", node->filename,
                  MAX_BACKING_NAME);
        return false;
    }
    int ret = bdrv_co_pread(node->file, offset, length, name, 0);
    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s: cannot read the backing file's name",
                        node->filename);
        return false;
    }
    node->backing_file = *name ? strdup(name) : NULL;
    return true;
}

static bool load_l1(BlockNode *node, Error **errp)
{
    QcowState *s = node->state;
    uint64_t bytes = s->l1_size * 8;

    s->l1 = block_try_alloc(node, bytes);
    int ret = s->l1 ? bdrv_co_pread(node->file, s->l1_offset, bytes, s->l1, 0) : -ENOMEM;
    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s: cannot read the L1 table", node->filename);
        free(s->l1);
        return false;
    }
    for (uint64_t i = 0; i < s->l1_size; i++) {
        s->l1[i] = load_be64(&s->l1[i]);
    }
    return true;
}

/* By the password that encrypt.key-secret= names; who only looks at the header needs none. */
static bool open_encryption(BlockNode *node, BlockOptions *options, Error **errp)
{
    QcowState *s = node->state;
    bool needed = node->encrypted && !(node->flags & (BDRV_O_NO_IO | BDRV_O_CHECK));
    char *secret = blkopts_take(options, "encrypt.key-secret");

    blkopts_remove(options, "encrypt.format");
    if (needed) {
        s->cipher = crypt_open_aes(secret, node->filename, errp);
    }
    free(secret);
    return s->cipher || !needed;
}

/* Clusters are encrypted sector by sector; compressed ones and the backing file are not. */
static int qcow_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                          unsigned flags)
{
    QcowState *s = node->state;

    if (!node->encrypted) {
        return sparse_preadv(&s->map, offset, bytes, v, at);
    }
    while (bytes) {
        SparseEntry e;
        uint64_t n;
        int ret = s->cipher ? sparse_lookup(&s->map, offset, bytes, &e, &n) : -EACCES;
        if (ret == 0) {
            ret = e.kind == SPARSE_DATA
                      ? crypt_co_preadv(s->cipher, node->file, e.host + offset % s->map.cluster,
                                        offset / CIPHER_SECTOR, n, v, at)
                      : sparse_preadv(&s->map, offset, n, v, at);
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

static int qcow_co_block_status(BlockNode *node, bool precise, uint64_t offset, uint64_t bytes,
                                uint64_t *pnum, uint64_t *map, BlockNode **file)
{
    int ret = sparse_co_block_status(node, precise, offset, bytes, pnum, map, file);

    return ret >= 0 && node->encrypted ? ret & ~(BDRV_BLOCK_OFFSET_VALID | BDRV_BLOCK_RECURSE)
                                       : ret;
}

static bool qcow_co_open(BlockNode *node, BlockOptions *options, Error **errp)
{
    QcowState *s = node->state;
    uint8_t h[QC_HEADER];

    if (!bdrv_open_header(node, options, h, sizeof(h), errp)) {
        return false;
    }
    if (!check_header(node, h, errp) || !read_backing_name(node, h, errp) ||
        !open_encryption(node, options, errp)) {
        return false;
    }
    if (!load_l1(node, errp)) {
        cipher_free(s->cipher);
        return false;
    }
    node->request_alignment = BLK_SECTOR_SIZE;
    node->zero_init = true;
    s->map = (SparseMap){
        .ops = &qcow_ops,
        .opaque = s,
        .node = node,
        .file = node->file,
        .size = node->size,
        .cluster = 1ull << s->cluster_bits,
        .data_start = s->l1_offset + 8 * s->l1_size,
        .align = 1ull << s->cluster_bits,
        .backing = true,
    };
    sparse_init(&s->map, 0);
    s->map.end = MAX(node->file->node->size, s->map.data_start);
    return true;
}

static void qcow_co_close(BlockNode *node)
{
    QcowState *s = node->state;

    sparse_free(&s->map);
    cipher_free(s->cipher);
    free(s->l1);
}

/* ---- creating, emptying ---- */

static const BlockOptionDesc qcow_create_options[] = {
    {"size", "SIZE", "size of the disk"},
    {"backing_file", "FILE", "what the image does not hold shows from there"},
    {"backing_fmt", "FORMAT", "its format (not kept in the image)"},
    {"preallocation", "off", "storage is taken as it is needed"},
    {0},
};

/* As others make them: clusters of 4 KB, or of a sector where a backing file shows. */
static bool qcow_co_create(BlockCreate *create, Error **errp)
{
    static const char *const modes[] = {"off", NULL};
    const unsigned cluster_bits = create->backing_file ? 9 : 12;
    const unsigned l2_bits = create->backing_file ? 12 : 9;
    const size_t name = create->backing_file ? strlen(create->backing_file) : 0;
    const uint64_t l1_offset = ROUND_UP(QC_HEADER + (uint64_t)name, 8);
    uint64_t l1_bytes = 8 * DIV_ROUND_UP(create->size, 1ull << (cluster_bits + l2_bits));
    int mode;

    if (!blkopts_take_word(create->options, "preallocation", modes, &mode, errp)) {
        return false;
    }
    if (name > MAX_BACKING_NAME || !create->size || l1_bytes > MAX_L1_BYTES) {
        error_set(errp,
                  name > MAX_BACKING_NAME
                      ? "%s: the backing file's name is longer than 1023 bytes"
                      : "%s: the size is not possible; qcow disks have 512 bytes to 16T",
                  create->filename);
        return false;
    }
    l1_bytes = ROUND_UP(l1_bytes, BLK_SECTOR_SIZE);
    uint8_t *buf = calloc(1, l1_offset + l1_bytes);
    BlockChild *root = bdrv_create_attach(create, BLK_PERM_WRITE | BLK_PERM_RESIZE, errp);
    if (!root || !buf) {
        free(buf);
        return false;
    }
    store_be32(buf, QC_MAGIC);
    store_be32(buf + QC_VERSION, 1);
    if (name) {
        store_be64(buf + QC_BACKING_OFFSET, QC_HEADER);
        store_be32(buf + QC_BACKING_SIZE, (uint32_t)name);
        memcpy(buf + QC_HEADER, create->backing_file, name);
    }
    store_be64(buf + QC_SIZE, create->size);
    buf[QC_CLUSTER_BITS] = (uint8_t)cluster_bits;
    buf[QC_L2_BITS] = (uint8_t)l2_bits;
    store_be64(buf + QC_L1_OFFSET, l1_offset);
    int ret = bdrv_co_pwrite(root, 0, l1_offset + l1_bytes, buf, 0);
    free(buf);
    bdrv_root_detach(root);
    if (ret < 0) {
        error_set_errno(errp, -ret, "%s: cannot write the header", create->filename);
    }
    return ret == 0;
}

/* The L1 table becomes empty first; what it led to is cut off once that is on disk. */
static int qcow_co_make_empty(BlockNode *node)
{
    QcowState *s = node->state;
    SparseMap *m = &s->map;

    co_mutex_lock(&m->lock);
    memset(s->l1, 0, s->l1_size * 8);
    s->l1_first = 0;
    s->l1_last = s->l1_size - 1;
    m->tables_changed = true;
    sparse_free(m);
    int ret = qcow_co_after_tables(m);
    ret = ret < 0 ? ret : bdrv_co_flush(node->file->node);
    if (ret == 0 && !bdrv_co_truncate(node->file, m->data_start, false, PREALLOC_OFF, NULL)) {
        ret = -EIO;
    }
    sparse_init(m, 0);
    m->end = MAX(node->file->node->size, m->data_start);
    co_mutex_unlock(&m->lock);
    return ret;
}

static const BlockOptionDesc qcow_options[] = {
    {"backing", "NODE", "the backing file, in place of the header's"},
    {"encrypt.key-secret", "ID", "the secret with the password of an encrypted image"},
    {"encrypt.format", "aes", "only for the sake of other programs' habits"},
    {0},
};

const BlockDriver bdrv_qcow = {
    .name = "qcow",
    .state_size = sizeof(QcowState),
    .supports_backing = true,
    .supports_compressed = true,
    .open_options = qcow_options,
    .create_options = qcow_create_options,
    .probe = qcow_probe,
    .co_open = qcow_co_open,
    .co_close = qcow_co_close,
    .co_create = qcow_co_create,
    .co_preadv = qcow_co_preadv,
    .co_pwritev = sparse_co_pwritev,
    .co_pwritev_compressed = qcow_co_pwritev_compressed,
    .co_pwrite_zeroes = sparse_co_pwrite_zeroes,
    .co_flush = sparse_co_flush,
    .co_block_status = qcow_co_block_status,
    .co_make_empty = qcow_co_make_empty,
    .co_get_info = sparse_co_get_info,
};
