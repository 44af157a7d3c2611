/*
 * qcow2: which clusters of the file are in use, and the order in which everything reaches the disk.
 *
 * **The write order.** A kill or a power cut at any moment leaves an image whose check finds at
 * most leaks: a refcount may be too high, never too low; no table entry points to something that is
 * not there; nothing that was flushed is gone. For that:
 *
 * 1. Clusters are marked as used (in the cached refcount blocks) when they are allocated. Data goes
 * into clusters that nothing points to; L2 entries change, in the cache, when the data has been
 * written.
 * 2. Before an L2 entry is written to the file there is a *barrier*: dirty refcount blocks are
 * written, then the file is flushed. So whatever an L2 entry leads to, and its refcount, is on disk
 * before it. A refcount block itself may be written at any time, as it only tells of clusters in
 * use, or of clusters whose users are gone from the disk (4).
 * 3. A new L2 table is written in full when it is allocated. L1 entries are written after another
 * flush behind the L2 tables.
 * 4. A cluster that is no longer needed goes to a list (`freed`). Its refcount goes down only after
 * what pointed to it has been overwritten on disk and no request that started before is still using
 * it. Until then it is not used again; a crash leaks it.
 * 5. New refcount blocks, tables that move, snapshots: written elsewhere, flushed, then one write
 * into the header's sector (or one table entry) switches over (rebuilding: qcow2-snapshot.c).
 *
 * A guest's flush thus costs two syncs of the file when something was allocated (2 and the last),
 * one otherwise. With lazy refcounts step 2 leaves out the refcounts: the dirty bit in the header,
 * set before the first allocation, says that they have to be counted anew after a crash.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/blkdebug.h"
#include "block/qcow2.h"

enum { FREED_START = 64 };

/* ---- single entries ---- */

uint64_t qcow2_refcount_at(const uint8_t *block, unsigned bits, uint64_t index)
{
    switch (bits) {
    case 8:
        return block[index];
    case 16:
        return load_be16(block + 2 * index);
    case 32:
        return load_be32(block + 4 * index);
    case 64:
        return load_be64(block + 8 * index);
    default: { /* below a byte the lowest bits come first */
        unsigned per_byte = 8 / bits;
        return block[index / per_byte] >> (index % per_byte * bits) & ((1u << bits) - 1);
    }
    }
}

void qcow2_refcount_set(uint8_t *block, unsigned bits, uint64_t index, uint64_t value)
{
    switch (bits) {
    case 8:
        block[index] = (uint8_t)value;
        break;
    case 16:
        store_be16(block + 2 * index, (uint16_t)value);
        break;
    case 32:
        store_be32(block + 4 * index, (uint32_t)value);
        break;
    case 64:
        store_be64(block + 8 * index, value);
        break;
    default: {
        unsigned per_byte = 8 / bits, shift = index % per_byte * bits;
        uint8_t mask = (uint8_t)(((1u << bits) - 1) << shift);
        block[index / per_byte] =
            (uint8_t)((block[index / per_byte] & ~mask) | (value << shift & mask));
    }
    }
}

/* ---- the table ---- */

int qcow2_load_reftable(BlockNode *node, Error **errp)
{
    Qcow2State *s = node->state;
    uint64_t bytes = (uint64_t)s->h.reftable_clusters << s->cluster_bits;
    uint64_t *table = block_try_alloc(node, MAX(bytes, 8));

    if (!table) {
        error_set(errp, "image %s: no memory for the refcount table", node->filename);
        return -ENOMEM;
    }
    bdrv_debug_event(node->file, BLKDBG_REFTABLE_LOAD);
    int ret = bdrv_co_pread(node->file, s->h.reftable_offset, bytes, table, 0);
    if (ret < 0) {
        free(table);
        error_set_errno(errp, -ret, "image %s: cannot read the refcount table", node->filename);
        return ret;
    }
    for (uint64_t i = 0; i < bytes / 8; i++) {
        table[i] = load_be64(&table[i]);
    }
    free(s->reftable);
    s->reftable = table;
    s->reftable_size = (uint32_t)(bytes / 8);
    s->reftable_offset = s->h.reftable_offset;
    return 0;
}

uint64_t qcow2_file_clusters(BlockNode *node)
{
    Qcow2State *s = node->state;

    return DIV_ROUND_UP(node->file->node->size, s->cluster_size);
}

/* The cached piece of a refcount block for a cluster; *slice NULL where there is no block. */
int qcow2_refcount_slice(BlockNode *node, uint64_t cluster, Qcow2CacheEntry **slice,
                         uint64_t *index)
{
    Qcow2State *s = node->state;
    uint64_t t = cluster >> s->refblock_bits;
    uint32_t entry_size = qcow2_cache_entry_size(s->refcount_cache);
    uint64_t per_slice = (uint64_t)entry_size * 8 / s->refcount_bits;

    *slice = NULL;
    if (t >= s->reftable_size || !(s->reftable[t] & ~QCOW2_REFT_RESERVED)) {
        return 0;
    }
    uint64_t block = s->reftable[t] & ~QCOW2_REFT_RESERVED;
    if (block & s->cluster_mask || block > INT64_MAX - s->cluster_size) {
        qcow2_mark_corrupt(node, "refcount block %llu lies at %#llx, which is no cluster",
                           (unsigned long long)t, (unsigned long long)block);
        return -EIO;
    }
    uint64_t in_block = cluster & ((1ull << s->refblock_bits) - 1);
    *index = in_block % per_slice;
    return qcow2_cache_get(node, s->refcount_cache, block + in_block / per_slice * entry_size, true,
                           slice);
}

int qcow2_get_refcount(BlockNode *node, uint64_t cluster, uint64_t *refcount)
{
    Qcow2State *s = node->state;
    Qcow2CacheEntry *slice;
    uint64_t index;
    int ret = qcow2_refcount_slice(node, cluster, &slice, &index);

    *refcount = 0;
    if (slice) {
        *refcount = qcow2_refcount_at(slice->data, s->refcount_bits, index);
        qcow2_cache_put(slice);
    }
    return ret;
}

/* ---- searching ---- */

/* Whether `cluster` is free, and how many from it on (at most max) are in the same state, as far as
 * one cached piece tells. */
static int look(BlockNode *node, uint64_t cluster, uint64_t max, bool *is_free, uint64_t *run)
{
    Qcow2State *s = node->state;
    Qcow2CacheEntry *slice;
    uint64_t index, n = 1;
    int ret = qcow2_refcount_slice(node, cluster, &slice, &index);

    if (ret < 0) {
        return ret;
    }
    if (!slice) {
        uint64_t left = (1ull << s->refblock_bits) - (cluster & ((1ull << s->refblock_bits) - 1));
        *is_free = true;
        *run = MIN(max, left);
        return 0;
    }
    uint64_t end = (uint64_t)qcow2_cache_entry_size(s->refcount_cache) * 8 / s->refcount_bits;
    *is_free = qcow2_refcount_at(slice->data, s->refcount_bits, index) == 0;
    while (n < max && index + n < end &&
           (qcow2_refcount_at(slice->data, s->refcount_bits, index + n) == 0) == *is_free) {
        n++;
    }
    qcow2_cache_put(slice);
    *run = n;
    return 0;
}

/* Offsets in tables have 56 bits; files have 63. */
static uint64_t max_cluster(const Qcow2State *s)
{
    return 1ull << (56 - s->cluster_bits);
}

/* The first run of free clusters from the hint on. exact: at least want of them. */
static int find_free(BlockNode *node, uint64_t want, bool exact, uint64_t *first, uint64_t *got)
{
    Qcow2State *s = node->state;
    uint64_t at = MAX(s->free_index, 1), run_start = 0, run = 0;

    for (;;) {
        bool is_free;
        uint64_t n;
        int ret = look(node, at, MAX(want, 65536), &is_free, &n);
        if (ret < 0) {
            return ret;
        }
        if (at + n > max_cluster(s)) {
            return -EFBIG;
        }
        if (is_free) {
            run_start = run ? run_start : at;
            run += n;
        }
        if (run >= want || (run && !is_free && !exact)) {
            *first = run_start;
            *got = MIN(run, want);
            return 0;
        }
        if (!is_free) {
            run = 0;
        }
        at += n;
    }
}

/* ---- counting ---- */

static int change_refcounts(BlockNode *node, uint64_t first, uint64_t count, int delta)
{
    Qcow2State *s = node->state;
    uint32_t per_slice =
        (uint32_t)(qcow2_cache_entry_size(s->refcount_cache) * 8ull / s->refcount_bits);

    while (count) {
        Qcow2CacheEntry *slice;
        uint64_t index;
        int ret = qcow2_refcount_slice(node, first, &slice, &index);
        if (ret < 0 || !slice) {
            return ret < 0 ? ret : -EINVAL;
        }
        for (; count && index < per_slice; index++, first++, count--) {
            uint64_t value = qcow2_refcount_at(slice->data, s->refcount_bits, index);
            if (delta > 0 ? value >= s->max_refcount : value == 0) {
                qcow2_cache_put(slice);
                return -EINVAL;
            }
            value += delta;
            qcow2_refcount_set(slice->data, s->refcount_bits, index, value);
            slice->dirty = true;
            if (value == 0 && first < s->free_index) {
                s->free_index = first;
            }
        }
        qcow2_cache_put(slice);
    }
    return 0;
}

/* Where the block for table entry t is to lie: a free cluster whose own refcount has a place, if
 * need be in the block itself. */
static int place_refblock(BlockNode *node, uint64_t t, uint64_t *cluster);
static int grow_reftable(BlockNode *node, uint64_t entries);

int qcow2_add_refblock(BlockNode *node, uint64_t t)
{
    Qcow2State *s = node->state;
    uint64_t cluster;
    int ret;

    if (t >= s->reftable_size && (ret = grow_reftable(node, t + 1)) < 0) {
        return ret;
    }
    if (s->reftable[t] & ~QCOW2_REFT_RESERVED) {
        return 0; /* the growing made it */
    }
    ret = place_refblock(node, t, &cluster);
    if (ret < 0) {
        return ret;
    }
    uint64_t offset = cluster << s->cluster_bits;
    uint8_t *block = block_alloc(node, s->cluster_size);
    memset(block, 0, s->cluster_size);
    if (cluster >> s->refblock_bits == t) {
        qcow2_refcount_set(block, s->refcount_bits, cluster & ((1ull << s->refblock_bits) - 1), 1);
    } else {
        ret = change_refcounts(node, cluster, 1, 1);
    }
    s->fresh_index = MAX(s->fresh_index, cluster + 1);
    qcow2_cache_forget(s->refcount_cache, offset, s->cluster_size);
    bdrv_debug_event(node->file, BLKDBG_REFBLOCK_ALLOC_WRITE);
    ret = ret < 0 ? ret : bdrv_co_pwrite(node->file, offset, s->cluster_size, block, 0);
    free(block);
    /* The block and its own refcount are there before the table leads to it. */
    ret = ret < 0 ? ret : qcow2_cache_write(node, s->refcount_cache);
    ret = ret < 0 ? ret : bdrv_co_flush(node->file->node);
    if (ret < 0) {
        return ret;
    }
    uint64_t entry = htobe64(offset);
    bdrv_debug_event(node->file, BLKDBG_REFBLOCK_ALLOC_HOOKUP);
    ret = bdrv_co_pwrite(node->file, s->reftable_offset + 8 * t, 8, &entry, 0);
    if (ret == 0) {
        s->reftable[t] = offset;
    }
    return ret;
}

static int place_refblock(BlockNode *node, uint64_t t, uint64_t *cluster)
{
    Qcow2State *s = node->state;

    for (;;) {
        uint64_t got;
        int ret = find_free(node, 1, true, cluster, &got);
        if (ret < 0) {
            return ret;
        }
        uint64_t in = *cluster >> s->refblock_bits;
        if (in == t || (in < s->reftable_size && (s->reftable[in] & ~QCOW2_REFT_RESERVED))) {
            return qcow2_check_overlap(node, *cluster << s->cluster_bits, s->cluster_size,
                                       "a free cluster");
        }
        ret = qcow2_add_refblock(node, in); /* which describes itself */
        if (ret < 0) {
            return ret;
        }
    }
}

/* Writes refcount blocks for a run of clusters that begins with a block, all of them used once. */
static int write_new_blocks(BlockNode *node, uint64_t first, uint64_t blocks, uint64_t used)
{
    Qcow2State *s = node->state;
    uint8_t *block = block_alloc(node, s->cluster_size);
    int ret = 0;

    for (uint64_t i = 0; i < blocks && ret == 0; i++) {
        memset(block, 0, s->cluster_size);
        for (uint64_t j = 0; j < 1ull << s->refblock_bits && used; j++, used--) {
            qcow2_refcount_set(block, s->refcount_bits, j, 1);
        }
        qcow2_cache_forget(s->refcount_cache, (first + i) << s->cluster_bits, s->cluster_size);
        ret = bdrv_co_pwrite(node->file, (first + i) << s->cluster_bits, s->cluster_size, block, 0);
    }
    free(block);
    return ret;
}

static int write_table(BlockNode *node, const uint64_t *table, uint64_t entries, uint64_t offset)
{
    uint64_t *be = block_try_alloc(node, entries * 8);

    if (!be) {
        return -ENOMEM;
    }
    for (uint64_t i = 0; i < entries; i++) {
        store_be64(&be[i], table[i]);
    }
    int ret = bdrv_co_pwrite(node->file, offset, entries * 8, be, 0);
    free(be);
    return ret;
}

/* The new table lies behind everything, where no refcount block exists yet, together with new
 * blocks that describe it and themselves. */
static int grow_reftable(BlockNode *node, uint64_t entries)
{
    Qcow2State *s = node->state;
    const uint64_t per_cluster = s->cluster_size / 8, per_block = 1ull << s->refblock_bits;
    uint64_t old_offset = s->reftable_offset, old_bytes = 8ull * s->reftable_size;
    uint64_t t = DIV_ROUND_UP(s->fresh_index, per_block), blocks = 1, clusters = 0, last;

    while (t < s->reftable_size && s->reftable[t]) {
        t++;
    }
    do {
        last = blocks;
        uint64_t need = MAX(MAX(entries, s->reftable_size * 3ull / 2), t + blocks);
        clusters = DIV_ROUND_UP(need, per_cluster);
        blocks = DIV_ROUND_UP(clusters + blocks, per_block);
    } while (blocks != last);
    if (clusters * s->cluster_size > QCOW2_MAX_REFTABLE_BYTES) {
        return -EFBIG;
    }
    uint64_t first = t * per_block, new_entries = clusters * per_cluster,
             offset = (first + blocks) << s->cluster_bits;
    uint64_t *table = calloc(new_entries, 8);
    if (!table) {
        return -ENOMEM;
    }
    memcpy(table, s->reftable, 8ull * s->reftable_size);
    for (uint64_t i = 0; i < blocks; i++) {
        table[t + i] = (first + i) << s->cluster_bits;
    }
    int ret = write_new_blocks(node, first, blocks, blocks + clusters);
    ret = ret < 0 ? ret : write_table(node, table, new_entries, offset);
    ret = ret < 0 ? ret : bdrv_co_flush(node->file->node);
    if (ret == 0) {
        uint8_t field[12];
        store_be64(field, offset);
        store_be32(field + 8, (uint32_t)clusters);
        ret = qcow2_write_field(node, QH_REFTABLE_OFFSET, field, sizeof(field));
    }
    if (ret < 0) {
        free(table);
        return ret;
    }
    free(s->reftable);
    s->reftable = table;
    s->reftable_size = (uint32_t)new_entries;
    s->reftable_offset = s->h.reftable_offset = offset;
    s->h.reftable_clusters = (uint32_t)clusters;
    s->fresh_index = MAX(s->fresh_index, first + blocks + clusters);
    qcow2_free_later(node, old_offset, old_bytes, false);
    return 0;
}

/* Refcount blocks for all of the run; *made: one was made, so the run must be looked at again. */
static int need_refblocks(BlockNode *node, uint64_t first, uint64_t count, bool *made)
{
    Qcow2State *s = node->state;

    *made = false;
    for (uint64_t t = first >> s->refblock_bits; t <= (first + count - 1) >> s->refblock_bits;
         t++) {
        if (t < s->reftable_size && (s->reftable[t] & ~QCOW2_REFT_RESERVED)) {
            continue;
        }
        *made = true;
        return qcow2_add_refblock(node, t);
    }
    return 0;
}

static int claim(BlockNode *node, uint64_t first, uint64_t count)
{
    Qcow2State *s = node->state;
    int ret = qcow2_check_overlap(node, first << s->cluster_bits, count << s->cluster_bits,
                                  "a free cluster");

    if (ret == 0 && s->lazy) {
        ret = qcow2_set_dirty(node, true);
    }
    ret = ret < 0 ? ret : change_refcounts(node, first, count, 1);
    if (ret == 0) {
        s->fresh_index = MAX(s->fresh_index, first + count);
    }
    return ret;
}

int qcow2_alloc(BlockNode *node, uint64_t want, bool exact, uint64_t *offset, uint64_t *got)
{
    bdrv_debug_event(node->file, BLKDBG_CLUSTER_ALLOC);
    Qcow2State *s = node->state;
    uint64_t first, count;
    bool made;

    if (s->broken) {
        return -EIO;
    }
    do {
        int ret = find_free(node, want, exact, &first, &count);
        ret = ret < 0 ? ret : need_refblocks(node, first, count, &made);
        if (ret < 0) {
            return ret;
        }
    } while (made);
    int ret = claim(node, first, count);
    if (ret < 0) {
        return ret;
    }
    if (first == s->free_index || count == 1) {
        s->free_index = first + count;
    }
    *offset = first << s->cluster_bits;
    if (got) {
        *got = count;
    }
    return 0;
}

int qcow2_alloc_at(BlockNode *node, uint64_t at, uint64_t want, uint64_t *got)
{
    Qcow2State *s = node->state;
    uint64_t first = at >> s->cluster_bits, n = 0;
    bool is_free, made;

    if (s->broken) {
        return -EIO;
    }
    do {
        if (first + want > max_cluster(s)) {
            *got = 0;
            return 0;
        }
        int ret = look(node, first, want, &is_free, &n);
        n = is_free ? n : 0;
        *got = n;
        if (ret < 0 || !n) {
            return ret;
        }
        ret = need_refblocks(node, first, n, &made);
        if (ret < 0) {
            return ret;
        }
    } while (made);
    return claim(node, first, n);
}

int qcow2_ref(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    Qcow2State *s = node->state;
    uint64_t first = offset >> s->cluster_bits;

    return change_refcounts(node, first, ((offset + bytes - 1) >> s->cluster_bits) - first + 1, 1);
}

int qcow2_unref_now(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    Qcow2State *s = node->state;
    uint64_t first = offset >> s->cluster_bits;

    bdrv_debug_event(node->file, BLKDBG_CLUSTER_FREE);
    return change_refcounts(node, first, ((offset + bytes - 1) >> s->cluster_bits) - first + 1, -1);
}

/* ---- giving back ---- */

void qcow2_free_later(BlockNode *node, uint64_t offset, uint64_t bytes, bool discard)
{
    Qcow2State *s = node->state;
    uint64_t start = ROUND_DOWN(offset, s->cluster_size),
             end = ROUND_UP(offset + bytes, s->cluster_size);
    Qcow2Freed *last = s->freed_count ? &s->freed[s->freed_count - 1] : NULL;

    s->stamp++;
    if (last && !last->durable && last->discard == discard && last->offset + last->bytes == start) {
        last->bytes = end - last->offset;
        last->stamp = s->stamp;
        return;
    }
    if (s->freed_count == s->freed_room) {
        unsigned room = s->freed_room ? 2 * s->freed_room : FREED_START;
        Qcow2Freed *list = realloc(s->freed, room * sizeof(*list));
        if (!list) {
            return; /* it leaks */
        }
        s->freed = list;
        s->freed_room = room;
    }
    s->freed[s->freed_count++] = (Qcow2Freed){start, end - start, s->stamp, false, discard};
}

void qcow2_free_l2_entry(BlockNode *node, uint64_t entry, bool discard)
{
    Qcow2State *s = node->state;
    uint64_t offset, bytes;

    if (entry & QCOW2_COMPRESSED) {
        qcow2_compressed_place(s, entry, &offset, &bytes);
        qcow2_free_later(node, offset, bytes, false);
    } else if (entry & QCOW2_OFFSET_MASK & s->cluster_mask) {
        qcow2_mark_corrupt(node, "a cluster to be freed lies at %#llx, which is no cluster",
                           (unsigned long long)(entry & QCOW2_OFFSET_MASK));
    } else if (s->data_file) {
        if (discard && !s->data_raw && (entry & QCOW2_OFFSET_MASK)) {
            bdrv_co_pdiscard(node->data, entry & QCOW2_OFFSET_MASK, s->cluster_size);
        }
    } else if (entry & QCOW2_OFFSET_MASK) {
        qcow2_free_later(node, entry & QCOW2_OFFSET_MASK, s->cluster_size, discard);
    }
}

static void give_back(BlockNode *node, const Qcow2Freed *f)
{
    Qcow2State *s = node->state;

    for (uint64_t at = f->offset; at < f->offset + f->bytes; at += s->cluster_size) {
        uint64_t refcount;
        if (qcow2_get_refcount(node, at >> s->cluster_bits, &refcount) < 0 || !refcount) {
            continue;
        }
        /* While it is still marked as used, so that nobody writes there meanwhile. */
        if (refcount == 1) {
            qcow2_cache_forget(s->l2_cache, at, s->cluster_size);
            qcow2_cache_forget(s->refcount_cache, at, s->cluster_size);
            if (f->discard) {
                bdrv_co_pdiscard(node->file, at, s->cluster_size);
            }
            if (s->compressed_end &&
                (s->compressed_end - 1) >> s->cluster_bits == at >> s->cluster_bits) {
                s->compressed_end = 0;
            }
        }
        bdrv_debug_event(node->file, BLKDBG_CLUSTER_FREE);
        change_refcounts(node, at >> s->cluster_bits, 1, -1);
    }
}

/* Those that may go; true: at least one. */
static bool give_back_freed(BlockNode *node)
{
    Qcow2State *s = node->state;
    unsigned count = s->freed_count, kept = 0;
    bool any = false;

    /* Entries may be added while we wait for a discard: they stay behind those we look at. */
    for (unsigned i = 0; i < count; i++) {
        Qcow2Freed f = s->freed[i];
        if (f.durable && (!s->ops_first || s->ops_first->stamp >= f.stamp)) {
            give_back(node, &f);
            any = true;
        } else {
            s->freed[kept++] = f;
        }
    }
    memmove(&s->freed[kept], &s->freed[count], (s->freed_count - count) * sizeof(*s->freed));
    s->freed_count -= count - kept;
    return any;
}

/* ---- flushing ---- */

int qcow2_barrier(BlockNode *node)
{
    Qcow2State *s = node->state;
    int ret = s->lazy ? 0 : qcow2_cache_write(node, s->refcount_cache);

    ret = ret < 0 ? ret : bdrv_co_flush(node->file->node);
    if (ret == 0 && node->data) {
        ret = bdrv_co_flush(node->data->node);
    }
    if (ret == 0) {
        qcow2_cache_barrier_done(s->l2_cache);
    }
    return ret;
}

int qcow2_flush_tables(BlockNode *node, bool *freed)
{
    Qcow2State *s = node->state;
    const unsigned pending = s->freed_count;
    int ret = 0;

    if (freed) {
        *freed = false;
    }
    if (s->l1_dirty || qcow2_cache_is_dirty(s->l2_cache)) {
        ret = qcow2_barrier(node);
        ret = ret < 0 ? ret : qcow2_cache_write(node, s->l2_cache);
        if (ret == 0 && s->l1_dirty) {
            ret = bdrv_co_flush(node->file->node);
            ret = ret < 0 ? ret : qcow2_write_l1(node);
        }
    } else if (!s->lazy) {
        ret = qcow2_cache_write(node, s->refcount_cache);
    }
    if (ret < 0 || !pending) {
        return ret;
    }
    ret = bdrv_co_flush(node->file->node);
    if (ret == 0) {
        for (unsigned i = 0; i < pending; i++) {
            s->freed[i].durable = true;
        }
        bool any = give_back_freed(node);
        if (freed) {
            *freed = any;
        }
    }
    return ret;
}

int qcow2_settle(BlockNode *node)
{
    Qcow2State *s = node->state;
    bool freed;
    int ret;

    do {
        ret = qcow2_flush_tables(node, &freed);
    } while (ret == 0 && (freed || s->l1_dirty));
    return ret < 0 ? ret : qcow2_cache_write(node, s->refcount_cache);
}

/* ---- guarding the tables ---- */

static bool overlaps(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes)
{
    return a_bytes && b_bytes && a < b + b_bytes && b < a + a_bytes;
}

static bool in_table(const uint64_t *table, uint64_t entries, uint64_t mask, uint64_t offset,
                     uint64_t bytes)
{
    for (uint64_t i = 0; i < entries; i++) {
        /* One comparison: an entry below offset wraps around. */
        if ((table[i] & mask) - offset < bytes) {
            return true;
        }
    }
    return false;
}

int qcow2_check_overlap(BlockNode *node, uint64_t offset, uint64_t bytes, const char *whose)
{
    Qcow2State *s = node->state;
    /* Behind what is in use no blocks are but in images that were made by nobody. */
    const uint64_t used = MIN(s->reftable_size, (s->fresh_index >> s->refblock_bits) + 1);
    const char *what = NULL;

    if (offset < s->cluster_size) {
        what = "the header";
    } else if (overlaps(offset, bytes, s->l1_offset, 8ull * s->l1_size)) {
        what = "the L1 table";
    } else if (overlaps(offset, bytes, s->reftable_offset, 8ull * s->reftable_size)) {
        what = "the refcount table";
    } else if (overlaps(offset, bytes, s->snapshots_offset, s->snapshots_size)) {
        what = "the snapshot table";
    } else if (overlaps(offset, bytes, s->luks_offset, s->luks_bytes)) {
        what = "the LUKS header";
    } else if (in_table(s->reftable, used, ~QCOW2_REFT_RESERVED, offset, bytes)) {
        what = "a refcount block";
    } else if (in_table(s->l1, s->l1_size, QCOW2_OFFSET_MASK, offset, bytes)) {
        what = "an L2 table";
    }
    if (what) {
        qcow2_mark_corrupt(node, "%s at %#llx is %s", whose, (unsigned long long)offset, what);
        return -EIO;
    }
    return 0;
}

/* Clusters for the refcounts of `clusters` others and of themselves, as the specification's two
   levels have it; generous leaves the table room to grow. */
uint64_t qcow2_refcount_metadata(uint64_t clusters, uint64_t cluster_size, unsigned order,
                                 bool generous, uint64_t *blocks_out)
{
    const uint64_t per_block = cluster_size * 8 >> order, per_table = cluster_size / 8;
    uint64_t blocks = 0, table = 0, n = 0, last;

    do {
        last = n;
        blocks = DIV_ROUND_UP(clusters + table + blocks, per_block);
        table = DIV_ROUND_UP(blocks, per_table);
        n = clusters + blocks + table;
        if (n == last && generous) {
            clusters += DIV_ROUND_UP(table, 2);
            n = 0;
            generous = false;
        }
    } while (n != last);
    if (blocks_out) {
        *blocks_out = blocks;
    }
    return (blocks + table) * cluster_size;
}
