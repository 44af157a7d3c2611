/*
 * qcow2: options of an existing image changed: version, width of refcounts, lazy refcounts, the
 * names of backing and data file, the size.
 *
 * Each step leaves an image that is whole. Refcounts of another width are written behind everything
 * else, and one write of the header's first sector switches over to them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2.h"

enum { ZERO_CHUNK = 1 << 20 };

const BlockOptionDesc qcow2_amend_options[] = {
    {"size", "SIZE", "size of the disk; 0: as it is"},
    {"compat", "0.10|1.1", "version of the format: v2 (0.10) or v3 (1.1)"},
    {"lazy_refcounts", "on|off", "count references late"},
    {"refcount_bits", "N", "width of a reference count: 1 to 64"},
    {"data_file", "FILE", "another name for the file that holds the data"},
    {"data_file_raw", "on|off", "off: the data file is no longer kept a valid raw image"},
    {"backing_file", "FILE", "as it is; rebase changes it"},
    {"backing_fmt", "FORMAT", "as it is"},
    {"encrypt.state", "active|inactive", "of luks: whether key slots are filled or erased"},
    {"encrypt.new-secret", "ID", "active: the secret with the password to add"},
    {"encrypt.old-secret", "ID", "inactive: erases all slots that this password opens"},
    {"encrypt.keyslot", "N", "which slot, 0 to 7"},
    {"encrypt.secret", "ID", "active: a password that is there (the one that opened the image)"},
    {"encrypt.iter-time", "MS", "how long trying a password takes (2000)"},
    {0},
};

typedef struct Amend {
    int compat; /* below 2: version 2 */
    bool lazy, data_raw;
    uint64_t size, refcount_bits;
    char *backing, *backing_format, *data_file;
    BlockProgress *progress;
    void *opaque;
} Amend;

static void tell(const Amend *a, uint64_t done, uint64_t total)
{
    if (a->progress) {
        a->progress(done, MAX(total, 1), a->opaque);
    }
}

/* ---- the width of refcounts ---- */

typedef struct Widen {
    BlockNode *node;
    unsigned order;
    uint64_t first, blocks, table; /* clusters: where the new structures begin, how many */
    uint8_t *old;                  /* a bit for each cluster of the old ones */
} Widen;

static void mark_old(Widen *w, uint64_t offset, uint64_t bytes)
{
    const Qcow2State *s = w->node->state;

    for (uint64_t c = offset >> s->cluster_bits;
         bytes && c <= (offset + bytes - 1) >> s->cluster_bits; c++) {
        if (c < w->first) {
            w->old[c / 8] |= (uint8_t)(1u << c % 8);
        }
    }
}

/* How many clusters the new blocks and their table take, which the blocks count as well. */
static bool lay_out(Widen *w)
{
    const Qcow2State *s = w->node->state;
    const uint64_t per_block = s->cluster_size * 8 >> w->order;
    uint64_t last;

    w->blocks = w->table = 0;
    do {
        last = w->blocks + w->table;
        w->blocks = DIV_ROUND_UP(w->first + last, per_block);
        w->table = DIV_ROUND_UP(w->blocks * 8, s->cluster_size);
    } while (w->blocks + w->table != last);
    return w->table * s->cluster_size <= QCOW2_MAX_REFTABLE_BYTES;
}

/* The refcount in the new state. */
static int new_count(const Widen *w, uint64_t cluster, uint64_t *count)
{
    int ret = 0;

    *count = cluster < w->first + w->blocks + w->table;
    if (cluster < w->first) {
        ret = qcow2_get_refcount(w->node, cluster, count);
        if (*count && (w->old[cluster / 8] >> cluster % 8 & 1)) {
            --*count;
        }
    }
    return ret < 0 ? ret : w->order < 6 && *count > (1ull << (1u << w->order)) - 1 ? -ERANGE : 0;
}

static int write_block(const Widen *w, uint64_t index, uint8_t *block)
{
    const Qcow2State *s = w->node->state;
    const uint64_t per_block = s->cluster_size * 8 >> w->order;
    uint64_t count;
    int ret = 0;

    memset(block, 0, s->cluster_size);
    for (uint64_t i = 0; i < per_block && ret == 0; i++) {
        ret = new_count(w, index * per_block + i, &count);
        if (ret == 0 && count) {
            qcow2_refcount_set(block, 1u << w->order, i, count);
        }
    }
    return ret < 0 ? ret
                   : bdrv_co_pwrite(w->node->file, (w->first + index) << s->cluster_bits,
                                    s->cluster_size, block, 0);
}

static int write_all(const Widen *w, const Amend *a)
{
    const Qcow2State *s = w->node->state;
    uint8_t *block = block_try_alloc(w->node, s->cluster_size);
    uint64_t *table = block_try_alloc(w->node, w->table * s->cluster_size);
    int ret = block && table ? 0 : -ENOMEM;

    for (uint64_t i = 0; i < w->blocks && ret == 0; i++) {
        ret = write_block(w, i, block);
        tell(a, i, w->blocks);
    }
    if (ret == 0) {
        memset(table, 0, w->table * s->cluster_size);
        for (uint64_t i = 0; i < w->blocks; i++) {
            store_be64(&table[i], (w->first + i) << s->cluster_bits);
        }
        ret = bdrv_co_pwrite(w->node->file, (w->first + w->blocks) << s->cluster_bits,
                             w->table * s->cluster_size, table, 0);
    }
    ret = ret < 0 ? ret : bdrv_co_flush(w->node->file->node);
    free(block);
    free(table);
    return ret;
}

static int switch_over(Widen *w)
{
    Qcow2State *s = w->node->state;
    const Qcow2Header was = s->h;

    s->h.refcount_order = w->order;
    s->h.reftable_offset = (w->first + w->blocks) << s->cluster_bits;
    s->h.reftable_clusters = (uint32_t)w->table;
    int ret = qcow2_write_header(w->node);
    if (ret < 0) {
        s->h = was;
        return ret;
    }
    qcow2_cache_forget_all(s->refcount_cache);
    s->refcount_bits = 1u << w->order;
    s->refblock_bits = s->cluster_bits + 3 - w->order;
    s->max_refcount = w->order == 6 ? UINT64_MAX : (1ull << s->refcount_bits) - 1;
    s->fresh_index = MAX(s->fresh_index, w->first + w->blocks + w->table);
    s->free_index = 1;
    s->compressed_end = 0;
    return qcow2_load_reftable(w->node, NULL);
}

static int change_width(BlockNode *node, const Amend *a)
{
    Qcow2State *s = node->state;
    Widen w = {.node = node, .order = (unsigned)__builtin_ctzll(a->refcount_bits)};
    int ret = qcow2_settle(node);

    w.first = MAX(s->fresh_index, qcow2_file_clusters(node));
    w.old = ret == 0 ? calloc(w.first / 8 + 1, 1) : NULL;
    if (!w.old) {
        return ret < 0 ? ret : -ENOMEM;
    }
    mark_old(&w, s->reftable_offset, 8ull * s->reftable_size);
    for (uint32_t i = 0; i < s->reftable_size; i++) {
        if (s->reftable[i] & ~QCOW2_REFT_RESERVED) {
            mark_old(&w, s->reftable[i] & ~QCOW2_REFT_RESERVED, s->cluster_size);
        }
    }
    ret = lay_out(&w) ? write_all(&w, a) : -EFBIG;
    ret = ret < 0 ? ret : switch_over(&w);
    free(w.old);
    return ret;
}

/* ---- back to version 2 ---- */

/* Without the flag for zeroes: nothing, or zeroes written out where a backing file would show. */
static int write_out_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    Qcow2State *s = node->state;
    IoVector v;
    int ret = 0;

    if (!node->backing && !node->backing_file) {
        co_mutex_lock(&s->lock);
        ret = qcow2_discard_clusters(node, offset, bytes, true, false);
        co_mutex_unlock(&s->lock);
        return ret;
    }
    uint8_t *zeroes = block_try_alloc(node, ZERO_CHUNK);
    if (!zeroes) {
        return -ENOMEM;
    }
    memset(zeroes, 0, ZERO_CHUNK);
    for (uint64_t n; bytes && ret == 0; offset += n, bytes -= n) {
        n = MIN(bytes, ZERO_CHUNK);
        iov_init_buf(&v, zeroes, n);
        ret = qcow2_co_pwritev(node, offset, n, &v, 0, 0);
    }
    free(zeroes);
    return ret;
}

static int expand_zeroes(BlockNode *node, const Amend *a)
{
    Qcow2State *s = node->state;
    int ret = 0;

    for (uint64_t offset = 0; offset < node->size && ret == 0;) {
        Qcow2Mapping m;
        co_mutex_lock(&s->lock);
        ret = qcow2_map(node, offset, node->size - offset, &m);
        co_mutex_unlock(&s->lock);
        if (ret == 0 && (m.kind == QCOW2_ZERO_PLAIN || m.kind == QCOW2_ZERO_ALLOC)) {
            ret = write_out_zeroes(node, offset, m.bytes);
        }
        offset += ret == 0 ? m.bytes : 0;
        tell(a, offset, node->size);
    }
    return ret;
}

/* Snapshots share their tables; they are not rewritten. 1: one has zero clusters. */
static int snapshot_has_zeroes(BlockNode *node, const Qcow2Snapshot *sn)
{
    Qcow2State *s = node->state;
    uint64_t *l1 = block_try_alloc(node, MAX(8ull * sn->l1_size, 8));
    uint8_t *l2 = block_try_alloc(node, s->cluster_size);
    int ret =
        l1 && l2 ? bdrv_co_pread(node->file, sn->l1_offset, 8ull * sn->l1_size, l1, 0) : -ENOMEM;

    for (uint32_t i = 0; i < sn->l1_size && ret == 0; i++) {
        uint64_t table = load_be64(&l1[i]) & QCOW2_OFFSET_MASK;
        ret = !table                    ? 0
              : table & s->cluster_mask ? -EIO
                                        : bdrv_co_pread(node->file, table, s->cluster_size, l2, 0);
        for (unsigned j = 0; table && j < s->l2_entries && ret == 0; j++) {
            uint64_t entry = load_be64(l2 + (size_t)j * s->l2_entry_size);
            ret = !(entry & QCOW2_COMPRESSED) && (entry & QCOW2_ZERO);
        }
    }
    free(l1);
    free(l2);
    return ret;
}

/* Version 2 knows one size of the disk, and machine state of less than 4 GB. */
static bool odd_snapshot(const BlockNode *node)
{
    const Qcow2State *s = node->state;

    for (unsigned i = 0; i < s->snapshot_count; i++) {
        if (s->snapshots[i].disk_size != node->size || s->snapshots[i].vm_state_size > UINT32_MAX) {
            return true;
        }
    }
    return false;
}

static const char *why_not_version_2(BlockNode *node, const Amend *a)
{
    const Qcow2State *s = node->state;

    return s->data_file             ? "it has an external data file"
           : s->extl2               ? "its L2 entries are extended"
           : s->zstd                ? "it is compressed by zstd"
           : s->bitmap_count        ? "it keeps bitmaps"
           : a->lazy                ? "lazy_refcounts=on needs version 3"
           : a->refcount_bits != 16 ? "refcount_bits= other than 16 needs version 3"
           : odd_snapshot(node) ? "a snapshot's disk has another size, or its machine state 4 GB"
                                : NULL;
}

static bool prepare_version_2(BlockNode *node, const Amend *a, Error **errp)
{
    Qcow2State *s = node->state;

    for (unsigned i = 0; i < s->snapshot_count; i++) {
        int ret = snapshot_has_zeroes(node, &s->snapshots[i]);
        if (ret != 0) {
            error_set(errp, "image %s: compat=0.10: snapshot '%s' %s", node->filename,
                      s->snapshots[i].name,
                      ret < 0 ? "cannot be read" : "has zero clusters; delete it first");
            return false;
        }
    }
    int ret = expand_zeroes(node, a);
    if (ret < 0) {
        error_set_errno(errp, -ret, "image %s: compat=0.10", node->filename);
    }
    return ret == 0;
}

/* ---- all of it ---- */

static bool same_name(const char *given, const char *present)
{
    return !given || !strcmp(given, present ? present : "");
}

/* Before anything is changed. */
static bool check(BlockNode *node, const Amend *a, Error **errp)
{
    const Qcow2State *s = node->state;
    const char *why = a->compat < 2 && s->h.version >= 3 ? why_not_version_2(node, a) : NULL;

    if (!same_name(a->backing, node->backing_file) ||
        !same_name(a->backing_format, node->backing_format)) {
        error_set(errp,
                  "the backing file of %s cannot be changed this way; 'vole-img rebase' does it",
                  node->filename);
    } else if (a->size % BLK_SECTOR_SIZE) {
        error_set(errp, "size: %" PRIu64 " is not possible; possible: multiples of %d", a->size,
                  BLK_SECTOR_SIZE);
    } else if (a->data_raw && !s->data_raw) {
        error_set(errp, "data_file_raw=on is for new images; image %s exists", node->filename);
    } else if (why) {
        error_set(errp, "image %s: compat=0.10: %s", node->filename, why);
    } else if (a->refcount_bits & (a->refcount_bits - 1)) {
        error_set(errp,
                  "refcount_bits=%" PRIu64 " is not possible; possible: 1, 2, 4, 8, 16, 32, 64",
                  a->refcount_bits);
    } else if (a->compat < 2 && s->h.version < 3 && (a->lazy || a->refcount_bits != 16)) {
        error_set(errp, "image %s: %s needs compat=1.1", node->filename,
                  a->lazy ? "lazy_refcounts=on" : "refcount_bits= other than 16");
    } else if (a->data_file && !s->data_file) {
        error_set(errp, "image %s has no external data file to be named", node->filename);
    } else {
        return true;
    }
    return false;
}

static int change_header(BlockNode *node, const Amend *a)
{
    Qcow2State *s = node->state;
    int ret = qcow2_settle(node);

    s->h.version = a->compat >= 2 ? 3 : 2;
    s->h.compatible =
        a->lazy ? s->h.compatible | QCOW2_COMPAT_LAZY : s->h.compatible & ~QCOW2_COMPAT_LAZY;
    s->lazy = a->lazy;
    s->data_raw = a->data_raw;
    s->h.autoclear = a->data_raw ? s->h.autoclear : s->h.autoclear & ~QCOW2_AUTOCLEAR_RAW;
    if (a->data_file) {
        free(s->data_filename);
        s->data_filename = *a->data_file ? strdup(a->data_file) : NULL;
    }
    ret = ret < 0 || s->h.version < 3 ? ret : qcow2_set_dirty(node, false);
    return ret < 0 ? ret : qcow2_write_header(node);
}

static bool change(BlockNode *node, const Amend *a, Error **errp)
{
    Qcow2State *s = node->state;
    const bool down = a->compat < 2 && s->h.version >= 3;
    int ret = 0;

    /* Widths other than 16 exist in version 3 only, so down goes the version last. */
    if (!down) {
        co_mutex_lock(&s->lock);
        ret = change_header(node, a);
        co_mutex_unlock(&s->lock);
    }
    if (ret == 0 && a->refcount_bits != s->refcount_bits) {
        co_mutex_lock(&s->lock);
        ret = change_width(node, a);
        co_mutex_unlock(&s->lock);
    }
    if (ret == -ERANGE) {
        error_set(errp,
                  "image %s: refcount_bits=%" PRIu64 " is too narrow for its reference counts",
                  node->filename, a->refcount_bits);
        return false;
    }
    if (ret == 0 && down) {
        if (!prepare_version_2(node, a, errp)) {
            return false;
        }
        co_mutex_lock(&s->lock);
        ret = qcow2_set_dirty(node, false);
        ret = ret < 0 ? ret : change_header(node, a);
        co_mutex_unlock(&s->lock);
    }
    if (ret < 0) {
        error_set_errno(errp, -ret, "cannot change %s", node->filename);
    }
    return ret == 0;
}

/* "encrypt.state" and its kin. */
static bool change_key_slots(BlockNode *node, BlockOptions *sub, bool force, Error **errp)
{
    Qcow2State *s = node->state;
    static const char *const formats[] = {"luks", NULL};
    int format = 0;

    if (!s->luks_bytes) {
        error_set(errp, "image %s is not encrypted by LUKS, and has no key slots", node->filename);
        return false;
    }
    return blkopts_take_word(sub, "format", formats, &format, errp) &&
           luks_co_change_slots(node->file, s->luks_offset, s->luks_bytes, &s->luks, sub,
                                s->luks_secret, force, node->filename, errp);
}

/* Unasked they stay, where the version knows them. */
static bool take_lazy(BlockOptions *options, Amend *a, Error **errp)
{
    a->lazy &= a->compat >= 2;
    return blkopts_take_bool(options, "lazy_refcounts", &a->lazy, errp);
}

bool qcow2_co_amend(BlockNode *node, BlockOptions *options, bool force, BlockProgress *progress,
                    void *opaque, Error **errp)
{
    static const char *const compats[] = {"0.10", "v2", "1.1", "v3", NULL};
    Qcow2State *s = node->state;
    Amend a = {.compat = s->h.version >= 3 ? 2 : 0,
               .lazy = s->h.compatible & QCOW2_COMPAT_LAZY,
               .data_raw = s->data_raw,
               .refcount_bits = s->refcount_bits,
               .progress = progress,
               .opaque = opaque};
    bool ok = blkopts_take_word(options, "compat", compats, &a.compat, errp) &&
              take_lazy(options, &a, errp) &&
              blkopts_take_bool(options, "data_file_raw", &a.data_raw, errp) &&
              blkopts_take_number(options, "refcount_bits", 1, 64, &a.refcount_bits, errp) &&
              blkopts_take_size(options, "size", &a.size, errp);

    bool slots = blkopts_has_prefix(options, "encrypt");
    BlockOptions *encrypt = blkopts_take_sub(options, "encrypt");
    a.backing = blkopts_take(options, "backing_file");
    a.backing_format = blkopts_take(options, "backing_fmt");
    a.data_file = blkopts_take(options, "data_file");
    ok = ok && blkopts_check_empty(options, "qcow2", qcow2_amend_options, errp) &&
         check(node, &a, errp) && (!slots || change_key_slots(node, encrypt, force, errp)) &&
         change(node, &a, errp);
    blkopts_free(encrypt);
    if (ok && a.size && a.size != node->size) {
        ok = qcow2_co_truncate(node, a.size, false, PREALLOC_OFF, errp);
    }
    free(a.backing);
    free(a.backing_format);
    free(a.data_file);
    return ok;
}
