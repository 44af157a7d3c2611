/*
 * qcow2: from a guest's cluster to a cluster of the file: the L1 table, held in memory, and the L2
 * tables, cached in slices.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/blkdebug.h"
#include "block/qcow2.h"

/* ---- requests under way ---- */

void qcow2_op_begin(Qcow2State *s, Qcow2Op *op)
{
    op->stamp = s->stamp;
    op->next = NULL;
    op->prev = s->ops_last;
    *s->ops_last = op;
    s->ops_last = &op->next;
}

void qcow2_op_end(Qcow2State *s, Qcow2Op *op)
{
    *op->prev = op->next;
    if (op->next) {
        op->next->prev = op->prev;
    } else {
        s->ops_last = op->prev;
    }
}

/* Until nobody fills clusters in the range; gives up the lock meanwhile. */
void qcow2_wait_allocs(BlockNode *node, uint64_t guest, uint64_t bytes)
{
    Qcow2State *s = node->state;
    Qcow2Alloc *a = s->allocs;

    while (a) {
        if (guest < a->guest + ((uint64_t)a->clusters << s->cluster_bits) &&
            a->guest < guest + bytes) {
            co_mutex_unlock(&s->lock);
            co_queue_wait(&a->waiters);
            co_mutex_lock(&s->lock);
            a = s->allocs;
        } else {
            a = a->next;
        }
    }
}

/* ---- L1 ---- */

static void l1_changed(Qcow2State *s, uint32_t index)
{
    s->l1_dirty_first = s->l1_dirty ? MIN(s->l1_dirty_first, index) : index;
    s->l1_dirty_last = s->l1_dirty ? MAX(s->l1_dirty_last, index) : index;
    s->l1_dirty = true;
}

int qcow2_write_l1(BlockNode *node)
{
    Qcow2State *s = node->state;
    uint64_t buf[512];

    if (!s->l1_dirty) {
        return 0;
    }
    if (s->broken) {
        return -EIO;
    }
    for (uint32_t at = s->l1_dirty_first; at <= s->l1_dirty_last;) {
        uint32_t n = MIN(s->l1_dirty_last - at + 1, ARRAY_SIZE(buf));
        for (uint32_t i = 0; i < n; i++) {
            store_be64(&buf[i], s->l1[at + i]);
        }
        bdrv_debug_event(node->file, BLKDBG_L1_UPDATE);
        int ret = bdrv_co_pwrite(node->file, s->l1_offset + 8ull * at, 8ull * n, buf, 0);
        if (ret < 0) {
            return ret;
        }
        at += n;
    }
    s->l1_dirty = false;
    return 0;
}

int qcow2_grow_l1(BlockNode *node, uint64_t entries, bool exact)
{
    Qcow2State *s = node->state;
    uint64_t size = s->l1_size, old_offset = s->l1_offset, old_bytes = 8ull * s->l1_size, offset;

    if (entries <= size) {
        return 0;
    }
    while (!exact && size < entries) {
        size = MAX(1, size * 3 / 2 + 1);
    }
    size = exact ? entries : size;
    if (entries > QCOW2_MAX_L1_BYTES / 8) {
        return -EFBIG;
    }
    size = MIN(size, QCOW2_MAX_L1_BYTES / 8);
    int ret =
        qcow2_flush_tables(node, NULL); /* what the old table says is in the file before it moves */
    uint64_t clusters = DIV_ROUND_UP(size * 8, s->cluster_size);
    bdrv_debug_event(node->file, BLKDBG_L1_GROW_ALLOC_TABLE);
    ret = ret < 0 ? ret : qcow2_alloc(node, clusters, true, &offset, NULL);
    if (ret < 0) {
        return ret;
    }
    uint64_t *be = block_try_alloc(node, clusters * s->cluster_size), *l1 = calloc(size, 8);
    if (!be || !l1) {
        free(be);
        free(l1);
        return -ENOMEM;
    }
    memset(be, 0, clusters * s->cluster_size);
    for (uint32_t i = 0; i < s->l1_size; i++) {
        l1[i] = s->l1[i];
        store_be64(&be[i], l1[i]);
    }
    bdrv_debug_event(node->file, BLKDBG_L1_GROW_WRITE_TABLE);
    ret = bdrv_co_pwrite(node->file, offset, clusters * s->cluster_size, be, 0);
    free(be);
    ret = ret < 0 ? ret : qcow2_barrier(node);
    if (ret == 0) {
        uint8_t field[12];
        store_be32(field, (uint32_t)size);
        store_be64(field + 4, offset);
        bdrv_debug_event(node->file, BLKDBG_L1_GROW_ACTIVATE_TABLE);
        ret = qcow2_write_field(node, QH_L1_SIZE, field, sizeof(field));
    }
    if (ret < 0) {
        free(l1);
        qcow2_unref_now(node, offset, clusters * s->cluster_size);
        return ret;
    }
    free(s->l1);
    s->l1 = l1;
    s->l1_size = s->h.l1_size = (uint32_t)size;
    s->l1_offset = s->h.l1_offset = offset;
    if (old_bytes) {
        qcow2_free_later(node, old_offset, old_bytes, false);
    }
    return 0;
}

/* ---- L2 ---- */

uint64_t qcow2_l2_entry(const Qcow2State *s, const Qcow2CacheEntry *slice, unsigned index,
                        uint64_t *bitmap)
{
    const uint8_t *p = slice->data + (size_t)index * s->l2_entry_size;

    if (bitmap) {
        *bitmap = s->extl2 ? load_be64(p + 8) : 0;
    }
    return load_be64(p);
}

void qcow2_set_l2_entry(const Qcow2State *s, Qcow2CacheEntry *slice, unsigned index, uint64_t entry,
                        uint64_t bitmap)
{
    uint8_t *p = slice->data + (size_t)index * s->l2_entry_size;

    store_be64(p, entry);
    if (s->extl2) {
        store_be64(p + 8, bitmap);
    }
    qcow2_cache_dirty(slice);
}

unsigned qcow2_slice_left(const Qcow2State *s, unsigned index)
{
    return qcow2_cache_entry_size(s->l2_cache) / s->l2_entry_size - index;
}

/* A table of our own in place of none or of one that a snapshot shares. */
static int own_l2_table(BlockNode *node, uint64_t l1_index)
{
    Qcow2State *s = node->state;
    uint64_t old = s->l1[l1_index] & QCOW2_OFFSET_MASK, offset;
    uint8_t *table = block_alloc(node, s->cluster_size);
    int ret = 0;

    if (old) {
        bdrv_debug_event(node->file, BLKDBG_L2_ALLOC_COW_READ);
        ret = bdrv_co_pread(node->file, old, s->cluster_size, table, 0);
    } else {
        memset(table, 0, s->cluster_size);
    }
    ret = ret < 0 ? ret : qcow2_alloc(node, 1, true, &offset, NULL);
    if (ret == 0) {
        qcow2_cache_forget(s->l2_cache, offset, s->cluster_size);
        bdrv_debug_event(node->file, BLKDBG_L2_ALLOC_WRITE);
        ret = bdrv_co_pwrite(node->file, offset, s->cluster_size, table, 0);
        if (ret < 0) {
            qcow2_unref_now(node, offset, s->cluster_size);
        }
    }
    free(table);
    if (ret < 0) {
        return ret;
    }
    s->l1[l1_index] = offset | QCOW2_COPIED;
    l1_changed(s, (uint32_t)l1_index);
    if (old) {
        qcow2_free_later(node, old, s->cluster_size, false);
    }
    return 0;
}

int qcow2_get_slice(BlockNode *node, uint64_t guest, bool change, Qcow2CacheEntry **slice,
                    unsigned *index)
{
    Qcow2State *s = node->state;
    uint64_t l1_index = guest >> (s->cluster_bits + s->l2_bits);
    unsigned in_table = (guest >> s->cluster_bits) & (s->l2_entries - 1);
    uint32_t slice_size = qcow2_cache_entry_size(s->l2_cache);
    unsigned per_slice = slice_size / s->l2_entry_size;
    int ret;

    *slice = NULL;
    *index = in_table % per_slice;
    if (l1_index >= s->l1_size) {
        ret = change ? qcow2_grow_l1(node, l1_index + 1, false) : 0;
        if (ret < 0 || !change) {
            return ret;
        }
    }
    uint64_t table = s->l1[l1_index] & QCOW2_OFFSET_MASK;
    if (table & s->cluster_mask) {
        qcow2_mark_corrupt(node, "L2 table %llu lies at %#llx, which is no cluster",
                           (unsigned long long)l1_index, (unsigned long long)table);
        return -EIO;
    }
    if (change && (!table || !(s->l1[l1_index] & QCOW2_COPIED))) {
        ret = own_l2_table(node, l1_index);
        if (ret < 0) {
            return ret;
        }
        table = s->l1[l1_index] & QCOW2_OFFSET_MASK;
    }
    if (!table) {
        return 0;
    }
    return qcow2_cache_get(node, s->l2_cache, table + (uint64_t)(in_table / per_slice) * slice_size,
                           true, slice);
}

void qcow2_compressed_place(const Qcow2State *s, uint64_t entry, uint64_t *offset, uint64_t *bytes)
{
    unsigned x = 62 - (s->cluster_bits - 8);
    uint64_t sectors = (entry >> x & ((1ull << (s->cluster_bits - 8)) - 1)) + 1;

    *offset = entry & ((1ull << x) - 1) & ((1ull << 56) - 1);
    /* Counted in whole sectors of the file. */
    *bytes = sectors * 512 - (*offset & 511);
}

Qcow2Kind qcow2_kind(BlockNode *node, uint64_t entry, uint64_t bitmap, unsigned sub)
{
    Qcow2State *s = node->state;
    bool has_host = (entry & QCOW2_OFFSET_MASK) || (s->data_file && (entry & QCOW2_COPIED));

    if (entry & QCOW2_COMPRESSED) {
        return s->data_file ? QCOW2_INVALID : QCOW2_COMPRESSED_DATA;
    }
    if (!s->extl2) {
        if ((entry & QCOW2_ZERO) && s->h.version >= 3) {
            return has_host ? QCOW2_ZERO_ALLOC : QCOW2_ZERO_PLAIN;
        }
        return has_host ? QCOW2_NORMAL : QCOW2_UNALLOCATED;
    }
    bool allocated = bitmap >> sub & 1, zero = bitmap >> (32 + sub) & 1;
    if (allocated && (zero || !has_host)) {
        return QCOW2_INVALID;
    }
    if (zero) {
        return has_host ? QCOW2_ZERO_ALLOC : QCOW2_ZERO_PLAIN;
    }
    return allocated ? QCOW2_NORMAL : has_host ? QCOW2_UNALLOC_ALLOC : QCOW2_UNALLOCATED;
}

static bool check_entry(BlockNode *node, uint64_t guest, uint64_t entry, Qcow2Kind kind)
{
    Qcow2State *s = node->state;
    uint64_t host = entry & QCOW2_OFFSET_MASK;

    if (kind == QCOW2_INVALID) {
        qcow2_mark_corrupt(node, "the L2 entry for %#llx contradicts itself",
                           (unsigned long long)guest);
        return false;
    }
    if (kind != QCOW2_COMPRESSED_DATA && (host & s->cluster_mask)) {
        qcow2_mark_corrupt(node, "the cluster for %#llx lies at %#llx, which is no cluster",
                           (unsigned long long)guest, (unsigned long long)host);
        return false;
    }
    if (s->data_file && kind == QCOW2_NORMAL && host != ROUND_DOWN(guest, s->cluster_size)) {
        qcow2_mark_corrupt(node, "the cluster for %#llx lies elsewhere in the data file",
                           (unsigned long long)guest);
        return false;
    }
    return true;
}

int qcow2_check_entries(BlockNode *node, Qcow2CacheEntry *slice, unsigned index, unsigned n,
                        uint64_t guest)
{
    Qcow2State *s = node->state;

    for (; n; n--, index++, guest += s->cluster_size) {
        uint64_t bitmap, entry = qcow2_l2_entry(s, slice, index, &bitmap),
                         host = entry & QCOW2_OFFSET_MASK;
        Qcow2Kind kind = qcow2_kind(node, entry, bitmap, 0);
        if (s->extl2 && !(entry & QCOW2_COMPRESSED)) {
            bool has_host = host || (s->data_file && (entry & QCOW2_COPIED));
            bool allocated = bitmap & UINT32_MAX;
            kind = (bitmap & bitmap >> 32 & UINT32_MAX) || (allocated && !has_host) ? QCOW2_INVALID
                   : allocated                                                      ? QCOW2_NORMAL
                                                                                    : kind;
        }
        if (!check_entry(node, guest, entry, kind)) {
            return -EIO;
        }
    }
    return 0;
}

/* One unit (cluster, or subcluster where entries are extended) further each step, while the kind
 * stays and the clusters follow each other. */
static int map_in_slice(BlockNode *node, Qcow2CacheEntry *slice, unsigned index, uint64_t guest,
                        uint64_t bytes, Qcow2Mapping *m)
{
    Qcow2State *s = node->state;
    const unsigned end = index + qcow2_slice_left(s, index);
    const uint64_t unit = s->subcluster_size, skip = guest % unit;
    unsigned sub = (unsigned)((guest & s->cluster_mask) / unit);
    uint64_t bitmap, entry = qcow2_l2_entry(s, slice, index, &bitmap),
                     host = entry & QCOW2_OFFSET_MASK;

    m->kind = qcow2_kind(node, entry, bitmap, sub);
    if (!check_entry(node, guest, entry, m->kind)) {
        return -EIO;
    }
    if (m->kind == QCOW2_COMPRESSED_DATA) {
        m->host = entry;
        m->bytes = MIN(bytes, s->cluster_size - (guest & s->cluster_mask));
        return 0;
    }
    bool has_host =
        m->kind == QCOW2_NORMAL || m->kind == QCOW2_ZERO_ALLOC || m->kind == QCOW2_UNALLOC_ALLOC;
    m->host = host + (guest & s->cluster_mask);
    m->bytes = unit - skip;
    while (m->bytes < bytes) {
        if (++sub * unit == s->cluster_size) {
            sub = 0;
            if (++index == end) {
                break;
            }
            entry = qcow2_l2_entry(s, slice, index, &bitmap);
            if ((entry & QCOW2_COMPRESSED) ||
                (has_host && (entry & QCOW2_OFFSET_MASK) != host + s->cluster_size)) {
                break;
            }
            host += s->cluster_size;
        }
        if (qcow2_kind(node, entry, bitmap, sub) != m->kind) {
            break;
        }
        m->bytes += unit;
    }
    m->bytes = MIN(m->bytes, bytes);
    return 0;
}

int qcow2_map(BlockNode *node, uint64_t guest, uint64_t bytes, Qcow2Mapping *m)
{
    Qcow2State *s = node->state;
    Qcow2CacheEntry *slice;
    unsigned index;
    int ret = qcow2_get_slice(node, guest, false, &slice, &index);

    if (ret < 0) {
        return ret;
    }
    if (!slice) {
        uint64_t span = 1ull << (s->cluster_bits + s->l2_bits);
        *m = (Qcow2Mapping){QCOW2_UNALLOCATED, 0, MIN(bytes, span - guest % span)};
        return 0;
    }
    ret = map_in_slice(node, slice, index, guest, bytes, m);
    qcow2_cache_put(slice);
    return ret;
}

/* ---- zeroes and discards: whole (sub)clusters ---- */

static int zero_entry(BlockNode *node, Qcow2CacheEntry *slice, unsigned index, bool unmap)
{
    Qcow2State *s = node->state;
    uint64_t bitmap, entry = qcow2_l2_entry(s, slice, index, &bitmap), fresh;
    bool backing = node->backing_file || node->backing;

    if (s->h.version < 3) {
        if (backing) {
            return -ENOTSUP;
        }
        fresh = 0;
    } else if (!unmap && !(entry & QCOW2_COMPRESSED) && (entry & QCOW2_COPIED)) {
        fresh = s->extl2 ? entry : entry | QCOW2_ZERO; /* the cluster stays for later */
    } else {
        fresh = s->extl2 ? 0 : QCOW2_ZERO;
    }
    uint64_t zeroes = s->extl2 ? 0xffffffffull << 32 : 0;
    if (fresh == entry && bitmap == zeroes) {
        return 0;
    }
    qcow2_set_l2_entry(s, slice, index, fresh, zeroes);
    if (!(fresh & QCOW2_OFFSET_MASK)) {
        qcow2_free_l2_entry(node, entry, true);
    }
    return 0;
}

/* Some subclusters of one cluster. */
static int zero_subclusters(BlockNode *node, Qcow2CacheEntry *slice, unsigned index, unsigned first,
                            unsigned count)
{
    Qcow2State *s = node->state;
    uint64_t bitmap, entry = qcow2_l2_entry(s, slice, index, &bitmap);
    uint64_t bits = ((1ull << count) - 1) << first;

    if ((entry & QCOW2_COMPRESSED) || ((entry & QCOW2_OFFSET_MASK) && !(entry & QCOW2_COPIED))) {
        return -ENOTSUP;
    }
    qcow2_set_l2_entry(s, slice, index, entry, (bitmap & ~bits) | bits << 32);
    return 0;
}

int qcow2_zero_clusters(BlockNode *node, uint64_t guest, uint64_t bytes, bool unmap)
{
    Qcow2State *s = node->state;
    const uint64_t end = guest + bytes;

    while (guest < end) {
        Qcow2CacheEntry *slice;
        unsigned index;
        uint64_t skip = guest & s->cluster_mask, n = MIN(s->cluster_size - skip, end - guest);
        bool whole = n == s->cluster_size || (!skip && guest + n >= node->size);
        int ret = qcow2_get_slice(node, guest, true, &slice, &index);
        if (ret < 0) {
            return ret;
        }
        if (whole) {
            unsigned left = qcow2_slice_left(s, index);
            ret = zero_entry(node, slice, index, unmap);
            /* As many as the slice has in one go. */
            while (ret == 0 && --left && guest + n + s->cluster_size <= end) {
                guest += s->cluster_size;
                ret = zero_entry(node, slice, ++index, unmap);
            }
        } else if (s->extl2) {
            ret = zero_subclusters(node, slice, index, (unsigned)(skip / s->subcluster_size),
                                   (unsigned)DIV_ROUND_UP(n, s->subcluster_size));
        } else {
            ret = -ENOTSUP;
        }
        qcow2_cache_put(slice);
        if (ret < 0) {
            return ret;
        }
        guest += n;
    }
    return 0;
}

/* full: the backing file shows again; else, where there is one, zeroes do. */
static void discard_entry(BlockNode *node, Qcow2CacheEntry *slice, unsigned index, bool full,
                          bool discard)
{
    Qcow2State *s = node->state;
    uint64_t bitmap, entry = qcow2_l2_entry(s, slice, index, &bitmap), fresh = 0, zeroes = 0;

    if (!full && s->h.version >= 3 && (node->backing || node->backing_file)) {
        if (!s->extl2 && !(entry & (QCOW2_OFFSET_MASK | QCOW2_COMPRESSED | QCOW2_ZERO))) {
            return; /* the backing file shows: nothing of ours to give back */
        }
        if (s->extl2 && !(entry & (QCOW2_OFFSET_MASK | QCOW2_COMPRESSED)) && !bitmap) {
            return;
        }
        fresh = s->extl2 ? 0 : QCOW2_ZERO;
        zeroes = s->extl2 ? 0xffffffffull << 32 : 0;
    }
    if (!full && s->data_raw) {
        return;
    }
    if (entry == fresh && bitmap == zeroes) {
        return;
    }
    qcow2_set_l2_entry(s, slice, index, fresh, zeroes);
    qcow2_free_l2_entry(node, entry, discard);
}

int qcow2_discard_clusters(BlockNode *node, uint64_t guest, uint64_t bytes, bool full, bool discard)
{
    Qcow2State *s = node->state;
    const uint64_t end = guest + bytes, span = 1ull << (s->cluster_bits + s->l2_bits);

    while (guest < end) {
        Qcow2CacheEntry *slice;
        unsigned index;
        uint64_t l1_index = guest / span;
        if (l1_index >= s->l1_size || !(s->l1[l1_index] & QCOW2_OFFSET_MASK)) {
            guest = ROUND_DOWN(guest, span) + span; /* nothing there */
            continue;
        }
        int ret = qcow2_get_slice(node, guest, true, &slice, &index);
        if (ret < 0) {
            return ret;
        }
        for (unsigned left = qcow2_slice_left(s, index); left && guest < end; left--, index++) {
            discard_entry(node, slice, index, full, discard);
            guest += s->cluster_size;
        }
        qcow2_cache_put(slice);
    }
    return 0;
}
