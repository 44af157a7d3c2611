/*
 * qcow2: changes of the whole image in one step (making, applying and deleting snapshots).
 *
 * Such a change moves the refcounts of nearly all clusters, and with them the COPIED flags in the
 * active L2 tables, which must agree with the refcounts. Done in place, a crash in the middle would
 * leave them apart. So everything that changes is written anew into free clusters: the L2 tables
 * whose flags change, the L1 table, the refcount blocks, the refcount table, the snapshot table.
 * After a flush one write into the header's first sector leads to all of it. What the old state
 * alone used is free from then on.
 *
 * In memory stand the refcount blocks of the image, as they are and as they shall be: as many bytes
 * as the image's refcounts have.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/qcow2-rebuild.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct RefBlock {
    uint8_t *now, *before; /* before NULL: not loaded; the same pointer: not changed */
    uint64_t offset;       /* in the new state; 0: not placed yet */
} RefBlock;

struct Qcow2Rebuild {
    BlockNode *node;
    RefBlock *blocks;
    uint64_t count;  /* of blocks, as many as the new refcount table has entries */
    uint64_t cursor; /* clusters before it are not looked at again */
    uint64_t fresh;
};

Qcow2Rebuild *qcow2_rebuild_begin(BlockNode *node)
{
    Qcow2State *s = node->state;
    Qcow2Rebuild *r = calloc(1, sizeof(*r));

    if (r) {
        r->node = node;
        r->count = s->reftable_size;
        r->blocks = calloc(r->count ? r->count : 1, sizeof(*r->blocks));
        r->cursor = MAX(s->free_index, 1);
        r->fresh = s->fresh_index;
    }
    if (!r || !r->blocks) {
        free(r);
        return NULL;
    }
    return r;
}

void qcow2_rebuild_end(Qcow2Rebuild *r)
{
    for (uint64_t i = 0; r && i < r->count; i++) {
        if (r->blocks[i].now != r->blocks[i].before) {
            free(r->blocks[i].now);
        }
        free(r->blocks[i].before);
    }
    if (r) {
        free(r->blocks);
        free(r);
    }
}

/* ---- refcounts ---- */

static int load(Qcow2Rebuild *r, uint64_t t)
{
    Qcow2State *s = r->node->state;
    RefBlock *b = t < r->count ? &r->blocks[t] : NULL;
    int ret = 0;

    if (!b || b->before) {
        return 0;
    }
    uint64_t offset = t < s->reftable_size ? s->reftable[t] & ~QCOW2_REFT_RESERVED : 0;
    uint8_t *data = block_try_alloc(r->node, s->cluster_size);
    if (!data) {
        return -ENOMEM;
    }
    if (offset) {
        ret = bdrv_co_pread(r->node->file, offset, s->cluster_size, data, 0);
    } else {
        memset(data, 0, s->cluster_size);
    }
    if (ret < 0) {
        free(data);
        return ret;
    }
    b->now = b->before = data;
    return 0;
}

static int make_changeable(Qcow2Rebuild *r, uint64_t t)
{
    Qcow2State *s = r->node->state;

    if (t >= r->count) {
        uint64_t count = ROUND_UP(t + 1, s->cluster_size / 8);
        if (count * 8 > QCOW2_MAX_REFTABLE_BYTES) {
            return -EFBIG;
        }
        RefBlock *blocks = realloc(r->blocks, count * sizeof(*blocks));
        if (!blocks) {
            return -ENOMEM;
        }
        memset(blocks + r->count, 0, (count - r->count) * sizeof(*blocks));
        r->blocks = blocks;
        r->count = count;
    }
    int ret = load(r, t);
    RefBlock *b = &r->blocks[t];
    if (ret == 0 && b->now == b->before) {
        b->now = block_try_alloc(r->node, s->cluster_size);
        if (!b->now) {
            b->now = b->before;
            return -ENOMEM;
        }
        memcpy(b->now, b->before, s->cluster_size);
    }
    return ret;
}

static int get(Qcow2Rebuild *r, uint64_t cluster, uint64_t *now, uint64_t *before)
{
    Qcow2State *s = r->node->state;
    uint64_t t = cluster >> s->refblock_bits, index = cluster & ((1ull << s->refblock_bits) - 1);

    *now = 0;
    if (before) {
        *before = 0;
    }
    if (t >= r->count) {
        return 0;
    }
    int ret = load(r, t);
    if (ret == 0) {
        *now = qcow2_refcount_at(r->blocks[t].now, s->refcount_bits, index);
        if (before) {
            *before = qcow2_refcount_at(r->blocks[t].before, s->refcount_bits, index);
        }
    }
    return ret;
}

int qcow2_rebuild_count(Qcow2Rebuild *r, uint64_t offset, uint64_t bytes, int delta)
{
    Qcow2State *s = r->node->state;

    if (!bytes) {
        return 0;
    }
    for (uint64_t c = offset >> s->cluster_bits; c <= (offset + bytes - 1) >> s->cluster_bits;
         c++) {
        uint64_t value, t = c >> s->refblock_bits;
        int ret = get(r, c, &value, NULL);
        if (ret == 0 && (delta > 0 ? value >= s->max_refcount : value == 0)) {
            ret = -EINVAL;
        }
        ret = ret < 0 ? ret : make_changeable(r, t);
        if (ret < 0) {
            return ret;
        }
        qcow2_refcount_set(r->blocks[t].now, s->refcount_bits, c & ((1ull << s->refblock_bits) - 1),
                           value + delta);
    }
    return 0;
}

static int count_l2(Qcow2Rebuild *r, const uint8_t *table, int delta)
{
    Qcow2State *s = r->node->state;

    for (unsigned i = 0; i < s->l2_entries; i++) {
        uint64_t entry = load_be64(table + (size_t)i * s->l2_entry_size), offset, bytes;
        int ret = 0;
        if (entry & QCOW2_COMPRESSED) {
            qcow2_compressed_place(s, entry, &offset, &bytes);
            ret = qcow2_rebuild_count(r, offset, bytes, delta);
        } else if (entry & QCOW2_OFFSET_MASK) {
            ret = entry & QCOW2_OFFSET_MASK & s->cluster_mask
                      ? -EIO
                      : qcow2_rebuild_count(r, entry & QCOW2_OFFSET_MASK, 1, delta);
        }
        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

int qcow2_rebuild_count_l1(Qcow2Rebuild *r, const uint64_t *l1, uint32_t size, int delta)
{
    Qcow2State *s = r->node->state;
    uint8_t *table = block_try_alloc(r->node, s->cluster_size);
    int ret = table ? 0 : -ENOMEM;

    for (uint32_t i = 0; i < size && ret == 0; i++) {
        uint64_t offset = l1[i] & QCOW2_OFFSET_MASK;
        if (!offset) {
            continue;
        }
        ret = offset & s->cluster_mask
                  ? -EIO
                  : bdrv_co_pread(r->node->file, offset, s->cluster_size, table, 0);
        ret = ret < 0 ? ret : count_l2(r, table, delta);
        ret = ret < 0 ? ret : qcow2_rebuild_count(r, offset, 1, delta);
    }
    free(table);
    return ret;
}

int qcow2_rebuild_alloc(Qcow2Rebuild *r, uint64_t bytes, uint64_t *offset)
{
    Qcow2State *s = r->node->state;
    uint64_t want = MAX(DIV_ROUND_UP(bytes, s->cluster_size), 1), run = 0, at = r->cursor;

    for (; run < want; at++) {
        uint64_t now, before;
        int ret = get(r, at, &now, &before);
        if (ret < 0 || at >= 1ull << (56 - s->cluster_bits)) {
            return ret < 0 ? ret : -EFBIG;
        }
        run = now || before ? 0 : run + 1;
    }
    *offset = (at - want) << s->cluster_bits;
    if (want == 1) {
        r->cursor = at;
    }
    r->fresh = MAX(r->fresh, at);
    return qcow2_rebuild_count(r, *offset, want << s->cluster_bits, 1);
}

/* ---- the new state ---- */

/* Whether the flags in the table agree with the new refcounts; they do afterwards. */
static int fix_flags(Qcow2Rebuild *r, uint8_t *table, bool *changed)
{
    Qcow2State *s = r->node->state;

    *changed = false;
    for (unsigned i = 0; i < s->l2_entries; i++) {
        uint8_t *p = table + (size_t)i * s->l2_entry_size;
        uint64_t entry = load_be64(p), fixed = entry & ~QCOW2_COPIED, refcount;
        if (!(entry & QCOW2_COMPRESSED) && (entry & QCOW2_OFFSET_MASK)) {
            int ret = get(r, (entry & QCOW2_OFFSET_MASK) >> s->cluster_bits, &refcount, NULL);
            if (ret < 0) {
                return ret;
            }
            fixed |= refcount == 1 ? QCOW2_COPIED : 0;
        }
        if (fixed != entry) {
            store_be64(p, fixed);
            *changed = true;
        }
    }
    return 0;
}

static int build_l1(Qcow2Rebuild *r, uint64_t *l1, uint32_t size)
{
    Qcow2State *s = r->node->state;
    uint8_t *table = block_try_alloc(r->node, s->cluster_size);
    int ret = table ? 0 : -ENOMEM;

    for (uint32_t i = 0; i < size && ret == 0; i++) {
        uint64_t offset = l1[i] & QCOW2_OFFSET_MASK, refcount = 0, copy;
        bool changed = false;
        if (!offset) {
            l1[i] = 0;
            continue;
        }
        ret = bdrv_co_pread(r->node->file, offset, s->cluster_size, table, 0);
        ret = ret < 0 ? ret : fix_flags(r, table, &changed);
        if (ret == 0 && changed) {
            ret = qcow2_rebuild_alloc(r, s->cluster_size, &copy);
            ret = ret < 0 ? ret : bdrv_co_pwrite(r->node->file, copy, s->cluster_size, table, 0);
            ret = ret < 0 ? ret : qcow2_rebuild_count(r, offset, 1, -1);
            l1[i] = copy | QCOW2_COPIED;
        } else if (ret == 0) {
            ret = get(r, offset >> s->cluster_bits, &refcount, NULL);
            l1[i] = offset | (refcount == 1 ? QCOW2_COPIED : 0);
        }
    }
    free(table);
    return ret;
}

int qcow2_rebuild_write_table(Qcow2Rebuild *r, const uint64_t *table, uint64_t entries,
                              uint64_t offset)
{
    Qcow2State *s = r->node->state;
    uint64_t bytes = ROUND_UP(MAX(entries * 8, 1), s->cluster_size);
    uint64_t *be = block_try_alloc(r->node, bytes);

    if (!be) {
        return -ENOMEM;
    }
    memset(be, 0, bytes);
    for (uint64_t i = 0; i < entries; i++) {
        store_be64(&be[i], table[i]);
    }
    int ret = bdrv_co_pwrite(r->node->file, offset, bytes, be, 0);
    free(be);
    return ret;
}

/* A place for each changed block, and for the table. Placing one changes others, which then need a
 * place, too; each gets one once. */
static int place_blocks(Qcow2Rebuild *r, uint64_t *table_offset, uint64_t *table_entries)
{
    Qcow2State *s = r->node->state;
    bool again = true;
    int ret = qcow2_rebuild_count(r, s->reftable_offset, 8ull * s->reftable_size, -1);

    /* Room to spare, as placing blocks may need blocks behind the present ones. */
    uint64_t used = r->count;
    while (used && !r->blocks[used - 1].before &&
           !(used <= s->reftable_size && s->reftable[used - 1])) {
        used--;
    }
    *table_entries = ROUND_UP(MAX(r->count, used + 4), s->cluster_size / 8);
    if (*table_entries * 8 > QCOW2_MAX_REFTABLE_BYTES) {
        *table_entries = QCOW2_MAX_REFTABLE_BYTES / 8;
    }
    ret = ret < 0 ? ret : qcow2_rebuild_alloc(r, *table_entries * 8, table_offset);
    while (again && ret == 0) {
        again = false;
        for (uint64_t t = 0; t < r->count && ret == 0; t++) {
            RefBlock *b = &r->blocks[t];
            uint64_t old = t < s->reftable_size ? s->reftable[t] & ~QCOW2_REFT_RESERVED : 0, offset;
            if (b->now == b->before || b->offset) {
                continue;
            }
            again = true;
            ret = qcow2_rebuild_alloc(r, s->cluster_size, &offset);
            r->blocks[t].offset = offset; /* the array may have moved */
            ret = ret < 0 || !old ? ret : qcow2_rebuild_count(r, old, 1, -1);
        }
    }
    return ret < 0 ? ret : r->count > *table_entries ? -EFBIG : 0;
}

static int write_blocks(Qcow2Rebuild *r, uint64_t table_offset, uint64_t entries,
                        uint64_t **table_out)
{
    Qcow2State *s = r->node->state;
    uint64_t *table = calloc(entries, 8);
    int ret = table ? 0 : -ENOMEM;

    for (uint64_t t = 0; t < r->count && ret == 0; t++) {
        RefBlock *b = &r->blocks[t];
        table[t] = b->offset ? b->offset : t < s->reftable_size ? s->reftable[t] : 0;
        if (b->offset) {
            ret = bdrv_co_pwrite(r->node->file, b->offset, s->cluster_size, b->now, 0);
        }
    }
    ret = ret < 0 ? ret : qcow2_rebuild_write_table(r, table, entries, table_offset);
    if (ret < 0) {
        free(table);
        return ret;
    }
    *table_out = table;
    return 0;
}

/* From the size to the snapshots' offset all fields stand side by side in the first sector. */
static int switch_header(BlockNode *node, const Qcow2Header *h)
{
    uint8_t fields[QH_V2_LENGTH - QH_SIZE];

    store_be64(fields, h->size);
    store_be32(fields + QH_CRYPT - QH_SIZE, h->crypt);
    store_be32(fields + QH_L1_SIZE - QH_SIZE, h->l1_size);
    store_be64(fields + QH_L1_OFFSET - QH_SIZE, h->l1_offset);
    store_be64(fields + QH_REFTABLE_OFFSET - QH_SIZE, h->reftable_offset);
    store_be32(fields + QH_REFTABLE_CLUSTERS - QH_SIZE, h->reftable_clusters);
    store_be32(fields + QH_SNAPSHOTS - QH_SIZE, h->snapshots);
    store_be64(fields + QH_SNAPSHOTS_OFFSET - QH_SIZE, h->snapshots_offset);
    return qcow2_write_field(node, QH_SIZE, fields, sizeof(fields));
}

static void take_over(Qcow2Rebuild *r, const Qcow2Header *h, uint64_t *l1, uint64_t *table,
                      uint64_t entries, uint64_t snapshots_bytes)
{
    BlockNode *node = r->node;
    Qcow2State *s = node->state;

    s->h = *h;
    free(s->l1);
    s->l1 = l1;
    s->l1_size = h->l1_size;
    s->l1_offset = h->l1_offset;
    s->l1_dirty = false;
    free(s->reftable);
    s->reftable = table;
    s->reftable_size = (uint32_t)entries;
    s->reftable_offset = h->reftable_offset;
    s->snapshots_offset = h->snapshots_offset;
    s->snapshots_size = snapshots_bytes;
    s->fresh_index = MAX(s->fresh_index, r->fresh);
    s->free_index = 1;
    s->compressed_end = 0;
    node->size = h->size;
    qcow2_cache_forget_all(s->l2_cache);
    qcow2_cache_forget_all(s->refcount_cache);
}

int qcow2_rebuild_commit(Qcow2Rebuild *r, uint64_t *l1, uint32_t l1_size, uint64_t size,
                         bool keep_l1)
{
    BlockNode *node = r->node;
    Qcow2State *s = node->state;
    Qcow2Header h = s->h;
    uint64_t snapshots_bytes, entries = 0, *table = NULL;
    uint8_t *snapshots = qcow2_snapshot_table(node, &snapshots_bytes, &h.snapshots);
    int ret = snapshots ? build_l1(r, l1, l1_size) : -ENOMEM;

    h.size = size;
    h.l1_size = l1_size;
    h.snapshots_offset = 0;
    ret = ret < 0 ? ret : qcow2_rebuild_alloc(r, 8ull * l1_size, &h.l1_offset);
    ret = ret < 0 ? ret : qcow2_rebuild_write_table(r, l1, l1_size, h.l1_offset);
    if (ret == 0 && !keep_l1 && s->l1_size) {
        ret = qcow2_rebuild_count(r, s->l1_offset, 8ull * s->l1_size, -1);
    }
    if (ret == 0 && snapshots_bytes) {
        ret = qcow2_rebuild_alloc(r, snapshots_bytes, &h.snapshots_offset);
        ret = ret < 0
                  ? ret
                  : bdrv_co_pwrite(node->file, h.snapshots_offset, snapshots_bytes, snapshots, 0);
    }
    if (ret == 0 && s->snapshots_size) {
        ret = qcow2_rebuild_count(r, s->snapshots_offset, s->snapshots_size, -1);
    }
    ret = ret < 0 ? ret : place_blocks(r, &h.reftable_offset, &entries);
    ret = ret < 0 ? ret : write_blocks(r, h.reftable_offset, entries, &table);
    h.reftable_clusters = (uint32_t)(entries * 8 >> s->cluster_bits);
    ret = ret < 0 ? ret : bdrv_co_flush(node->file->node);
    ret = ret < 0 ? ret : switch_header(node, &h);
    free(snapshots);
    if (ret < 0) {
        free(table);
        return ret;
    }
    take_over(r, &h, l1, table, entries, snapshots_bytes);
    return 0;
}
