/*
 * qcow2: new images, their size in advance, and changes of size.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "block/qcow2.h"
#include "config.h"

const BlockOptionDesc qcow2_create_options[] = {
    {"encryption", "on|off", "the same as encrypt.format=aes"},
    {"encrypt.format", "luks|aes", "encryption; aes is weak and for old programs only"},
    {"encrypt.key-secret", "ID", "the secret with the password (--object secret,id=ID,file=FILE)"},
    {"encrypt.cipher-alg", "NAME", "of luks: aes-256 ..."},
    {"encrypt.cipher-mode", "ecb|cbc|xts|ctr", "of luks: how blocks are chained (xts)"},
    {"encrypt.ivgen-alg", "plain|plain64|essiv", "of luks: what makes sectors differ (plain64)"},
    {"encrypt.ivgen-hash-alg", "HASH", "of luks: for essiv (sha256)"},
    {"encrypt.hash-alg", "HASH", "of luks: of the password (sha256)"},
    {"encrypt.iter-time", "MS", "of luks: how long trying a password takes (2000)"},
    {"cluster_size", "SIZE", "512 to 2M (64k)"},
    {"extended_l2", "on|off", "subclusters"},
    {"preallocation", "off|metadata|falloc|full", "tables or storage from the beginning"},
    {"compression_type", "zlib|zstd", "how compressed clusters are compressed"},
    {"size", "SIZE", "size of the disk"},
    {"compat", "0.10|1.1", "version of the format: v2 (0.10) or v3 (1.1)"},
    {"backing_file", "FILE", "what the image does not hold shows from there"},
    {"backing_fmt", "FORMAT", "its format"},
    {"data_file", "FILE", "data goes to a file of its own"},
    {"data_file_raw", "on|off", "which is a valid raw image"},
    {"lazy_refcounts", "on|off", "count references late"},
    {"refcount_bits", "N", "width of a reference count: 1 to 64 (16)"},
    {0},
};

typedef struct Settings {
    uint64_t cluster_size, refcount_bits;
    unsigned cluster_bits, order;
    int compat;      /* 0: v2 */
    int compression; /* 1: zstd */
    int prealloc;
    bool lazy, extl2, data_raw;
    char *data_file;
    int crypt;       /* QCOW2_CRYPT_ */
    LuksFormat luks; /* its secret is that of aes, too */
} Settings;

static unsigned log2_of(uint64_t n)
{
    return 63 - __builtin_clzll(n);
}

static bool power_of_2(uint64_t n)
{
    return n && !(n & (n - 1));
}

static bool take_encryption(BlockOptions *o, Settings *t, Error **errp)
{
    static const char *const formats[] = {"aes", "luks", NULL};
    BlockOptions *sub = blkopts_take_sub(o, "encrypt");
    bool aes = false;
    int format = -1;
    bool ok = blkopts_take_bool(o, "encryption", &aes, errp) &&
              blkopts_take_word(sub, "format", formats, &format, errp) &&
              luks_take_format(sub, &t->luks, errp) &&
              blkopts_check_empty(sub, "encrypt", NULL, errp);

    t->crypt = format == 1          ? QCOW2_CRYPT_LUKS
               : format == 0 || aes ? QCOW2_CRYPT_AES
                                    : QCOW2_CRYPT_NONE;
    if (ok && t->luks.secret && !t->crypt) {
        error_set(errp, "encrypt.key-secret=%s needs encrypt.format=luks", t->luks.secret);
        ok = false;
    }
    if (ok && t->crypt && !t->luks.secret) {
        error_set(errp, "the password of an encrypted image is missing; give "
                        "encrypt.key-secret=ID");
        ok = false;
    }
    blkopts_free(sub);
    return ok;
}

static void free_settings(Settings *t)
{
    free(t->data_file);
    free(t->luks.secret);
}

/* A path, as the header holds it. */
static char *take_data_file(BlockOptions *o)
{
    char *given = blkopts_take(o, "data_file"), *path = NULL;

    if (!given || strncmp(given, "file:", 5)) {
        return given;
    }
    if (asprintf(&path, "%s%s", strcspn(given + 5, ":") < strcspn(given + 5, "/") ? "./" : "",
                 given + 5) < 0) {
        abort();
    }
    free(given);
    return path;
}

static bool take_settings(BlockOptions *o, Settings *t, Error **errp)
{
    static const char *const compats[] = {"0.10", "v2", "1.1", "v3", NULL};
    static const char *const compressions[] = {"zlib", "zstd", NULL};

    *t = (Settings){.cluster_size = 65536, .refcount_bits = 16, .compat = 2};
    if (!blkopts_take_word(o, "compat", compats, &t->compat, errp) ||
        !blkopts_take_word(o, "compression_type", compressions, &t->compression, errp) ||
        !blkopts_take_word(o, "preallocation", bdrv_prealloc_names, &t->prealloc, errp) ||
        !blkopts_take_bool(o, "lazy_refcounts", &t->lazy, errp) ||
        !blkopts_take_bool(o, "extended_l2", &t->extl2, errp) ||
        !blkopts_take_bool(o, "data_file_raw", &t->data_raw, errp) ||
        !blkopts_take_number(o, "refcount_bits", 1, 64, &t->refcount_bits, errp) ||
        !blkopts_take_size(o, "cluster_size", &t->cluster_size, errp) ||
        !take_encryption(o, t, errp)) {
        return false;
    }
    t->data_file = take_data_file(o);
    if (!power_of_2(t->cluster_size) || t->cluster_size < 512 || t->cluster_size > 2 << 20) {
        error_set(errp,
                  "cluster_size=%" PRIu64 " is not possible; possible: powers of 2 from 512 to 2M",
                  t->cluster_size);
        return false;
    }
    t->cluster_bits = log2_of(t->cluster_size);
    if (!power_of_2(t->refcount_bits)) {
        error_set(errp,
                  "refcount_bits=%" PRIu64 " is not possible; possible: 1, 2, 4, 8, 16, 32, 64",
                  t->refcount_bits);
        return false;
    }
    t->order = log2_of(t->refcount_bits);
    return true;
}

static bool check_settings(const Settings *t, bool backing, Error **errp)
{
    bool v2 = t->compat < 2;

    if (v2 && (t->lazy || t->extl2 || t->compression || t->order != 4 || t->data_file)) {
        error_set(errp, "%s needs a version 3 image; leave out compat=0.10",
                  t->lazy          ? "lazy_refcounts=on"
                  : t->extl2       ? "extended_l2=on"
                  : t->compression ? "compression_type=zstd"
                  : t->data_file   ? "data_file="
                                   : "refcount_bits= other than 16");
        return false;
    }
    if (t->extl2 && t->cluster_bits < QCOW2_MIN_EXTL2_BITS) {
        error_set(errp, "extended_l2=on needs clusters of at least 16k");
        return false;
    }
    if (t->data_raw && (!t->data_file || backing)) {
        error_set(errp, t->data_file ? "data_file_raw=on: not together with a backing file"
                                     : "data_file_raw=on needs data_file=");
        return false;
    }
    if (t->prealloc && backing && !t->extl2) {
        error_set(errp, "preallocation=%s: not together with a backing file",
                  bdrv_prealloc_names[t->prealloc]);
        return false;
    }
#ifndef CONFIG_ZSTD
    if (t->compression) {
        error_set(errp, "compression_type=zstd: this build is without libzstd");
        return false;
    }
#endif
    return true;
}

/* ---- sizes ---- */

/* All of an image whose every cluster is there: header, tables, refcounts, data. */
static uint64_t full_size(uint64_t size, const Settings *t)
{
    const uint64_t cluster = t->cluster_size, entry = t->extl2 ? 16 : 8,
                   aligned = ROUND_UP(size, cluster);
    uint64_t l2_entries = ROUND_UP(aligned / cluster, cluster / entry);
    uint64_t l1_entries = ROUND_UP(l2_entries * entry / cluster, cluster / 8);
    uint64_t meta = cluster + l2_entries * entry + l1_entries * 8;

    meta += qcow2_refcount_metadata((meta + aligned) / cluster, cluster, t->order, false, NULL);
    return meta + aligned;
}

typedef struct Count {
    BlockNode *source;
    uint64_t cluster, bytes, bitmaps;
    int ret;
} Count;

/* Bits and tables of the source's bitmaps, and the directory of them. */
static int count_bitmaps(Count *c)
{
    BitmapInfo *list = NULL;
    uint64_t directory = 0;
    int n = c->source->driver->bitmaps->co_list(c->source, &list);

    for (int i = 0; i < n; i++) {
        if (list[i].granularity) {
            uint64_t bits = DIV_ROUND_UP(c->source->size, (uint64_t)list[i].granularity),
                     clusters = DIV_ROUND_UP(bits, 8 * c->cluster);
            c->bitmaps += clusters * c->cluster + ROUND_UP(clusters * 8, c->cluster);
            directory += qcow2_bitmap_entry_bytes(0, strlen(list[i].name));
        }
    }
    c->bitmaps += ROUND_UP(directory, c->cluster);
    free(list);
    return n < 0 ? n : 0;
}

/* Clusters in which the source holds anything. */
static void co_count(void *opaque)
{
    Count *c = opaque;
    const uint64_t size = c->source->size;

    c->ret = c->source->driver->bitmaps ? count_bitmaps(c) : 0;
    if (c->ret < 0) {
        return;
    }
    for (uint64_t offset = 0, n; offset < size; offset += n) {
        int ret = bdrv_co_block_status_above(c->source, NULL, true, offset, size - offset, &n, NULL,
                                             NULL, NULL);
        if (ret < 0) {
            c->ret = ret;
            return;
        }
        if (!(ret & BDRV_BLOCK_ZERO) && (ret & BDRV_BLOCK_DATA)) {
            n = ROUND_UP(offset % c->cluster + n, c->cluster) - offset % c->cluster;
            n = MIN(n, ROUND_UP(size, c->cluster) - offset);
            c->bytes += offset % c->cluster + n;
        }
    }
}

bool qcow2_measure(BlockOptions *options, BlockNode *source, uint64_t size, BlockMeasure *measure,
                   Error **errp)
{
    Settings t;
    char *backing = blkopts_take(options, "backing_file");
    bool ok = take_settings(options, &t, errp) && check_settings(&t, backing != NULL, errp);
    Count c = {.source = source, .cluster = t.cluster_size};

    if (ok && source) {
        size = source->size;
        coroutine_run(co_count, &c);
        if (c.ret < 0) {
            error_set_errno(errp, -c.ret, "cannot examine %s", source->filename);
            ok = false;
        }
    }
    if (ok && t.prealloc >= PREALLOC_FALLOC) {
        c.bytes = ROUND_UP(size, t.cluster_size);
    }
    if (ok) {
        measure->fully_allocated =
            full_size(size, &t) + (t.crypt == QCOW2_CRYPT_LUKS
                                       ? ROUND_UP(luks_format_bytes(&t.luks), t.cluster_size)
                                       : 0);
        measure->required = measure->fully_allocated - ROUND_UP(size, t.cluster_size) + c.bytes;
        measure->bitmaps =
            t.compat >= 2 && source && source->driver->bitmaps ? c.bitmaps : UINT64_MAX;
    }
    free(backing);
    free_settings(&t);
    return ok;
}

/* ---- creating ---- */

/* Header, refcount table, its first block: the smallest image that can be opened. The rest is done
 * as with any image. */
static int write_seed(BlockChild *file, const Settings *t, const BlockCreate *create)
{
    const uint64_t cluster = t->cluster_size;
    uint8_t *buf = calloc(3, cluster);
    uint8_t *h = buf, *table = buf + cluster, *block = buf + 2 * cluster;
    bool v3 = t->compat >= 2;

    if (!buf) {
        return -ENOMEM;
    }
    store_be32(h, QCOW2_MAGIC);
    store_be32(h + QH_VERSION, v3 ? 3 : 2);
    store_be32(h + QH_CLUSTER_BITS, t->cluster_bits);
    store_be64(h + QH_REFTABLE_OFFSET, cluster);
    store_be32(h + QH_REFTABLE_CLUSTERS, 1);
    if (v3) {
        store_be64(h + QH_INCOMPATIBLE, (t->data_file ? QCOW2_INCOMPAT_DATA_FILE : 0) |
                                            (t->compression ? QCOW2_INCOMPAT_COMPRESSION : 0) |
                                            (t->extl2 ? QCOW2_INCOMPAT_EXTL2 : 0));
        store_be64(h + QH_COMPATIBLE, t->lazy ? QCOW2_COMPAT_LAZY : 0);
        store_be64(h + QH_AUTOCLEAR, t->data_raw ? QCOW2_AUTOCLEAR_RAW : 0);
        store_be32(h + QH_REFCOUNT_ORDER, t->order);
        store_be32(h + QH_LENGTH, QH_V3_LENGTH);
        h[QH_COMPRESSION] = (uint8_t)t->compression;
    }
    store_be64(table, 2 * cluster);
    for (unsigned i = 0; i < 3; i++) {
        qcow2_refcount_set(block, 1u << t->order, i, 1);
    }
    int ret = bdrv_co_pwrite(file, 0, 3 * cluster, buf, 0);
    free(buf);
    return ret;
}

static bool set_names(BlockNode *node, const BlockCreate *create, const Settings *t, Error **errp)
{
    Qcow2State *s = node->state;

    if (create->backing_file && strlen(create->backing_file) > 1023) {
        error_set(errp, "%s: the backing file's name is longer than 1023 characters",
                  create->filename);
        return false;
    }
    node->backing_file = create->backing_file ? strdup(create->backing_file) : NULL;
    node->backing_format = create->backing_format ? strdup(create->backing_format) : NULL;
    s->data_filename = t->data_file ? strdup(t->data_file) : NULL;
    int ret = qcow2_write_header(node);
    if (ret < 0) {
        error_set_errno(errp, -ret, "cannot write the header of %s", create->filename);
    }
    return ret == 0;
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;

    return !strcmp(a, b) ||
           (stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

static bool make_data_file(const BlockCreate *create, const Settings *t, char **full, Error **errp)
{
    const char *slash = strrchr(create->filename, '/');
    bool relative =
        t->data_file[0] != '/' && strcspn(t->data_file, ":") >= strcspn(t->data_file, "/");

    if (asprintf(full, "%.*s%s", relative && slash ? (int)(slash + 1 - create->filename) : 0,
                 create->filename, t->data_file) < 0) {
        abort();
    }
    if (same_file(*full, create->filename)) {
        error_set(errp, "data_file=%s: is the image itself", t->data_file);
        return false;
    }
    return bdrv_create_file(*full, 0, NULL, errp);
}

/*
 * The image was opened as one that is not encrypted, and holds no data yet. The LUKS header gets
 * clusters of its own; set_names() writes the image's header.
 */
static bool encrypt_new(BlockNode *node, const Settings *t, Error **errp)
{
    Qcow2State *s = node->state;
    uint64_t bytes = luks_format_bytes(&t->luks), clusters = DIV_ROUND_UP(bytes, s->cluster_size);
    uint64_t got;
    int ret = 0;

    s->h.crypt = (uint32_t)t->crypt;
    if (t->crypt != QCOW2_CRYPT_LUKS) {
        return true;
    }
    co_mutex_lock(&s->lock);
    ret = qcow2_alloc(node, clusters, true, &s->luks_offset, &got);
    co_mutex_unlock(&s->lock);
    ret = ret < 0
              ? ret
              : bdrv_co_pwrite_zeroes(node->file, s->luks_offset, clusters * s->cluster_size, 0);
    if (ret < 0) {
        error_set_errno(errp, -ret, "cannot write %s", node->filename);
        return false;
    }
    s->luks_bytes = bytes;
    return luks_write_new(node->file, s->luks_offset, &t->luks, node->filename, errp);
}

static BlockChild *open_new(const BlockCreate *create, const char *data_file, Error **errp)
{
    BlockOptions *o = blkopts_new();

    blkopts_set(o, "driver", "qcow2");
    blkopts_set(o, "file", bdrv_node_name(create->file));
    if (data_file) {
        blkopts_set(o, "data-file.driver", "file");
        blkopts_set(o, "data-file.filename", data_file);
    }
    return bdrv_open_root(NULL, o,
                          BDRV_O_RDWR | BDRV_O_NO_BACKING | BDRV_O_RESIZE | BDRV_O_NO_FLUSH, errp);
}

static bool create_image(BlockCreate *create, const Settings *t, Error **errp)
{
    char *data_file = NULL;
    bool ok = !t->data_file || make_data_file(create, t, &data_file, errp);
    BlockChild *file =
        ok ? bdrv_create_attach(create, BLK_PERM_WRITE | BLK_PERM_RESIZE, errp) : NULL;

    if (!file) {
        free(data_file);
        return false;
    }
    if (ok) {
        int ret = write_seed(file, t, create);
        if (ret < 0) {
            error_set_errno(errp, -ret, "cannot write %s", create->filename);
            ok = false;
        }
    }
    bdrv_root_detach(file);
    /* Nobody has anything in a new image yet: one sync at its end is enough. */
    const bool synced = !(create->file->flags & BDRV_O_NO_FLUSH);
    create->file->flags |= BDRV_O_NO_FLUSH;
    BlockChild *root = ok ? open_new(create, data_file, errp) : NULL;
    ok = root && bdrv_co_truncate(root, create->size, false, (BlockPrealloc)t->prealloc, errp) &&
         encrypt_new(bdrv_child_node(root), t, errp) &&
         set_names(bdrv_child_node(root), create, t, errp);
    bdrv_root_detach(root);
    if (synced) {
        create->file->flags &= ~BDRV_O_NO_FLUSH;
        create->file->write_gen++;
        int ret = bdrv_co_flush(create->file);
        if (ok && ret < 0) {
            error_set_errno(errp, -ret, "cannot complete %s", create->filename);
            ok = false;
        }
    }
    free(data_file);
    return ok;
}

static bool check_encryption(const Settings *t, const char *filename, Error **errp)
{
    if (t->crypt == QCOW2_CRYPT_AES) {
        Cipher *c = crypt_open_aes(t->luks.secret, filename, errp);
        cipher_free(c);
        return c != NULL;
    }
    return t->crypt == QCOW2_CRYPT_NONE || luks_check_format(&t->luks, filename, errp);
}

bool qcow2_co_create(BlockCreate *create, Error **errp)
{
    Settings t;
    bool ok = take_settings(create->options, &t, errp) &&
              check_settings(&t, create->backing_file != NULL, errp) &&
              blkopts_check_empty(create->options, "qcow2", qcow2_create_options, errp);
    __uint128_t span = ok ? 1ull << (2 * t.cluster_bits - (t.extl2 ? 4 : 3)) : 0;

    if (ok && create->size > QCOW2_MAX_L1_BYTES / 8 * span) {
        error_set(errp, "%s: the size is too large for clusters of %" PRIu64 " bytes",
                  create->filename, t.cluster_size);
        ok = false;
    }
    ok = ok && check_encryption(&t, create->filename, errp) && create_image(create, &t, errp);
    free_settings(&t);
    return ok;
}

/* ---- changes of size ---- */

static int write_size(BlockNode *node, uint64_t size)
{
    Qcow2State *s = node->state;
    uint8_t field[8];

    store_be64(field, size);
    int ret = qcow2_write_field(node, QH_SIZE, field, sizeof(field));
    if (ret == 0) {
        s->h.size = size;
        node->size = size;
    }
    return ret;
}

/* Machine state that was left behind the disk's end belongs to a disk of this size. */
static int drop_machine_state(BlockNode *node)
{
    Qcow2State *s = node->state;
    uint64_t from = qcow2_vm_state_offset(node);
    uint64_t end = (uint64_t)s->l1_size << (s->cluster_bits + s->l2_bits);

    return from < end ? qcow2_discard_clusters(node, from, end - from, true, true) : 0;
}

/* What lies behind the new end goes first; then the size; then the tables that led there. */
static int shrink(BlockNode *node, uint64_t size)
{
    Qcow2State *s = node->state;
    const uint64_t span = 1ull << (s->cluster_bits + s->l2_bits),
                   old = ROUND_UP(node->size, s->cluster_size);
    uint64_t from = ROUND_UP(size, s->cluster_size);
    int ret = drop_machine_state(node);

    if (ret == 0 && from < old) {
        ret = qcow2_discard_clusters(node, from, old - from, true, true);
    }
    ret = ret < 0 ? ret : qcow2_settle(node);
    ret = ret < 0 ? ret : write_size(node, size);
    for (uint64_t i = DIV_ROUND_UP(size, span); ret == 0 && i < s->l1_size; i++) {
        uint64_t table = s->l1[i] & QCOW2_OFFSET_MASK;
        if (table) {
            qcow2_free_later(node, table, s->cluster_size, true);
            s->l1[i] = 0;
            s->l1_dirty_first = s->l1_dirty ? MIN(s->l1_dirty_first, i) : (uint32_t)i;
            s->l1_dirty_last = (uint32_t)i;
            s->l1_dirty = true;
        }
    }
    ret = ret < 0 ? ret : qcow2_settle(node);
    if (ret < 0) {
        return ret;
    }
    /* The file's end, as far as it is free now. */
    uint64_t clusters = qcow2_file_clusters(node), used = clusters, refcount = 0;
    while (used > 1 && qcow2_get_refcount(node, used - 1, &refcount) == 0 && !refcount) {
        used--;
    }
    if (used < clusters) {
        bdrv_co_truncate(node->file, used << s->cluster_bits, false, PREALLOC_OFF, NULL);
        s->fresh_index = MIN(s->fresh_index, used);
    }
    if (s->data_file) {
        bdrv_co_truncate(node->data, size, false, PREALLOC_OFF, NULL);
    }
    return 0;
}

/* Less than a cluster. The caller holds the requests off, which this is one of. */
static int write_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    Qcow2State *s = node->state;
    uint8_t *zeroes = calloc(1, bytes);
    IoVector v;

    if (!zeroes) {
        return -ENOMEM;
    }
    iov_init_buf(&v, zeroes, bytes);
    co_rwlock_unlock(&s->ops);
    int ret = qcow2_co_pwritev(node, offset, bytes, &v, 0, 0);
    co_rwlock_wrlock(&s->ops);
    free(zeroes);
    return ret;
}

/* The rest of a last, partly used cluster may hold anything, and a longer backing file may show
 * there: it is part of the disk now and reads as zeroes. */
static int zero_tail(BlockNode *node, uint64_t old, uint64_t size)
{
    Qcow2State *s = node->state;
    const uint64_t end = MIN(ROUND_UP(old, s->cluster_size), size);
    const bool behind = node->backing && node->backing->node->size > old;
    int ret = 0;

    while (old < end && ret == 0) {
        Qcow2Mapping m = {0}; /* a map that fails leaves it so */
        co_mutex_lock(&s->lock);
        ret = qcow2_map(node, old, end - old, &m);
        co_mutex_unlock(&s->lock);
        bool holds = m.kind == QCOW2_NORMAL || m.kind == QCOW2_COMPRESSED_DATA;
        bool shows = behind && (m.kind == QCOW2_UNALLOCATED || m.kind == QCOW2_UNALLOC_ALLOC);
        if (ret == 0 && (holds || shows)) {
            ret = write_zeroes(node, old, m.bytes);
        }
        old += ret == 0 ? m.bytes : 0;
    }
    return ret;
}

/* A longer backing file must not show where the disk grows: that part reads as zeroes. */
static int hide_backing(BlockNode *node, uint64_t old, uint64_t size)
{
    Qcow2State *s = node->state;
    uint64_t from = ROUND_UP(old, s->cluster_size);

    if (!node->backing || node->backing->node->size <= old || from >= size) {
        return 0;
    }
    uint64_t end =
        MIN(ROUND_UP(node->backing->node->size, s->cluster_size), ROUND_UP(size, s->cluster_size));
    return from < end ? qcow2_zero_clusters(node, from, end - from, true) : 0;
}

static int preallocate_storage(BlockNode *node, uint64_t old, uint64_t size, BlockPrealloc prealloc,
                               Error **errp)
{
    Qcow2State *s = node->state;
    uint64_t from = ROUND_UP(old, s->cluster_size);
    /* A cluster that the disk has a part of already keeps what shows there. */
    int ret = old < MIN(from, size) ? write_zeroes(node, old, MIN(from, size) - old) : 0;

    if (ret == 0 && from < size) {
        co_rwlock_unlock(&s->ops);
        ret = qcow2_preallocate(node, from, size);
        co_rwlock_wrlock(&s->ops);
    }
    if (ret < 0) {
        error_set_errno(errp, -ret, "cannot preallocate %s", node->filename);
        return ret;
    }
    BlockChild *data = qcow2_data(node);
    uint64_t end =
        s->data_file ? size : MAX(qcow2_file_clusters(node), s->fresh_index) << s->cluster_bits;
    uint64_t have = data->node->size;
    if (end <= have || size <= old) {
        return 0;
    }
    /* Metadata alone leaves a hole as long as the data. */
    BlockPrealloc below = prealloc == PREALLOC_METADATA ? PREALLOC_OFF : prealloc;
    return bdrv_co_truncate(data, end, false, below, errp) ? 0 : -EIO;
}

static int grow(BlockNode *node, uint64_t size, BlockPrealloc prealloc, Error **errp)
{
    Qcow2State *s = node->state;
    const uint64_t old = node->size, span = 1ull << (s->cluster_bits + s->l2_bits);
    int ret = zero_tail(node, old, size);

    co_mutex_lock(&s->lock);
    ret = ret < 0 ? ret : drop_machine_state(node);
    ret = ret < 0 ? ret : hide_backing(node, old, size);
    ret = ret < 0 ? ret : qcow2_grow_l1(node, DIV_ROUND_UP(size, span), true);
    ret = ret < 0 ? ret : qcow2_settle(node);
    if (ret == 0 && s->data_file && s->data_raw && prealloc == PREALLOC_OFF) {
        ret = bdrv_co_truncate(node->data, size, false, PREALLOC_OFF, errp) ? 0 : -EIO;
    }
    co_mutex_unlock(&s->lock);
    /* Raw data files hold what the tables say from the beginning. */
    if (ret == 0 && (prealloc != PREALLOC_OFF || s->data_raw)) {
        ret = preallocate_storage(node, old, size, prealloc, errp);
        co_mutex_lock(&s->lock);
        ret = ret < 0 ? ret : qcow2_settle(node);
        co_mutex_unlock(&s->lock);
    }
    /* The zeroes are there before the size that shows them. */
    ret = ret < 0 ? ret : bdrv_co_flush(qcow2_data(node)->node);
    ret = ret < 0 ? ret : bdrv_co_flush(node->file->node);
    return ret < 0 ? ret : write_size(node, size);
}

bool qcow2_co_truncate(BlockNode *node, uint64_t size, bool exact, BlockPrealloc prealloc,
                       Error **errp)
{
    Qcow2State *s = node->state;
    const uint64_t span = 1ull << (s->cluster_bits + s->l2_bits), max = QCOW2_MAX_L1_BYTES / 8;
    Error *err = NULL;
    int ret;

    if (size % BLK_SECTOR_SIZE || DIV_ROUND_UP(size, span) > max) {
        error_set(errp, "image %s: a size of %" PRIu64 " is not possible", node->filename, size);
        return false;
    }
    if (s->snapshot_count && s->h.version < 3 && size != node->size) {
        error_set(errp, "image %s: a version 2 image with snapshots keeps its size",
                  node->filename);
        return false;
    }
    co_rwlock_wrlock(&s->ops);
    co_mutex_lock(&s->lock);
    const uint64_t old = node->size;
    bool ok = size == old || qcow2_bitmaps_before_resize(node, size, errp);
    co_mutex_unlock(&s->lock);
    if (!ok) {
        co_rwlock_unlock(&s->ops);
        return false;
    }
    if (size < node->size) {
        co_mutex_lock(&s->lock);
        ret = shrink(node, size);
        co_mutex_unlock(&s->lock);
    } else {
        ret = grow(node, size, prealloc, &err);
    }
    co_mutex_lock(&s->lock);
    int stored = qcow2_bitmaps_after_resize(node, old);
    co_mutex_unlock(&s->lock);
    if (stored < 0) {
        warn_report("image %s: its bitmaps could not be stored: %s", node->filename,
                    strerror(-stored));
    }
    co_rwlock_unlock(&s->ops);
    if (ret < 0 && !err) {
        error_set_errno(&err, -ret, "cannot change the size of %s", node->filename);
    }
    if (err) {
        error_propagate(errp, err);
    }
    return ret == 0;
}
