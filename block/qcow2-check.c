/*
 * qcow2: checking and repairing. All tables are walked and the references to each cluster of the
 * file counted; the counts are compared with the refcounts, and the COPIED flags of the active
 * tables with them, too.
 *
 * Counts stand in small pieces found by a hash, so that a file that claims to be enormous takes no
 * more memory than it has references. A piece has two bits a cluster, and more once one of its
 * clusters has more than three references: 16 TB of 64 KB clusters take 72 MB.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2.h"

enum { PIECE = 4096, BUCKETS = 1 << 16, MAX_REPORTS = 1000 };
#define MAX_COUNT_BYTES (1ull << 30)

/* Counts of PIECE clusters. */
typedef struct CountPiece {
    uint64_t number;
    struct CountPiece *next;
    unsigned bits; /* of a count: 2, 16 or 32 */
    void *counts;
} CountPiece;

typedef struct Check {
    BlockNode *node;
    Qcow2State *s;
    BlockCheck *result;
    bool fix_leaks, fix_errors;
    CountPiece *buckets[BUCKETS], *last;
    uint64_t bytes; /* of all pieces */
    unsigned reports;
    uint64_t file_clusters;
    uint8_t *table; /* one cluster */
} Check;

static void say(Check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(Check *c, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    if (!c->result->report || ++c->reports > MAX_REPORTS) {
        return;
    }
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    c->result->report(c->result->opaque,
                      c->reports == MAX_REPORTS ? "(further findings are not shown)" : text);
}

/* ---- counting ---- */

static uint32_t get_count(const CountPiece *p, unsigned i)
{
    return p->bits == 2    ? ((const uint8_t *)p->counts)[i / 4] >> i % 4 * 2 & 3
           : p->bits == 16 ? ((const uint16_t *)p->counts)[i]
                           : ((const uint32_t *)p->counts)[i];
}

static void set_count(CountPiece *p, unsigned i, uint32_t value)
{
    uint8_t *narrow = p->counts;

    if (p->bits == 2) {
        narrow[i / 4] = (uint8_t)((narrow[i / 4] & ~(3u << i % 4 * 2)) | value << i % 4 * 2);
    } else if (p->bits == 16) {
        ((uint16_t *)p->counts)[i] = (uint16_t)value;
    } else {
        ((uint32_t *)p->counts)[i] = value;
    }
}

static void *new_counts(Check *c, unsigned bits)
{
    const size_t bytes = (size_t)PIECE * bits / 8;

    if (c->bytes > MAX_COUNT_BYTES - bytes) {
        return NULL;
    }
    c->bytes += bytes;
    return calloc(1, bytes);
}

static bool widen(Check *c, CountPiece *p)
{
    CountPiece wide = *p;

    wide.bits = p->bits == 2 ? 16 : 32;
    wide.counts = new_counts(c, wide.bits);
    for (unsigned i = 0; wide.counts && i < PIECE; i++) {
        set_count(&wide, i, get_count(p, i));
    }
    if (wide.counts) {
        free(p->counts);
        c->bytes -= (size_t)PIECE * p->bits / 8;
        *p = wide;
    }
    return wide.counts;
}

/* One reference more; false: no memory. */
static bool add_reference(Check *c, CountPiece *p, unsigned i)
{
    uint32_t n = get_count(p, i);

    if (n == UINT32_MAX) {
        return true;
    }
    if (n == (1ull << p->bits) - 1 && !widen(c, p)) {
        return false;
    }
    set_count(p, i, n + 1);
    return true;
}

static CountPiece *new_piece(Check *c, uint64_t number)
{
    CountPiece *p = calloc(1, sizeof(*p));

    if (p) {
        p->number = number;
        p->bits = 2;
        p->counts = new_counts(c, p->bits);
    }
    if (p && !p->counts) {
        free(p);
        p = NULL;
    }
    return p;
}

static CountPiece *piece(Check *c, uint64_t cluster, bool make)
{
    uint64_t number = cluster / PIECE;
    CountPiece **bucket = &c->buckets[(number * 0x9e3779b97f4a7c15ull >> 48) & (BUCKETS - 1)], *p;

    if (c->last && c->last->number == number) {
        return c->last;
    }
    for (p = *bucket; p && p->number != number; p = p->next) {
    }
    if (!p && make && (p = new_piece(c, number))) {
        p->next = *bucket;
        *bucket = p;
    }
    c->last = p ? p : c->last;
    return p;
}

static uint64_t counted(Check *c, uint64_t cluster)
{
    CountPiece *p = piece(c, cluster, false);

    return p ? get_count(p, cluster % PIECE) : 0;
}

/* A reference to whatever clusters the bytes touch. */
static int count(Check *c, uint64_t offset, uint64_t bytes, const char *what)
{
    if (!bytes) {
        return 0;
    }
    uint64_t first = offset >> c->s->cluster_bits,
             last = (offset + bytes - 1) >> c->s->cluster_bits;
    if (last > c->file_clusters) {
        say(c, "ERROR: %s at offset %#" PRIx64 " lies behind the end of the file", what, offset);
        c->result->corruptions++;
        return 0;
    }
    for (uint64_t i = first; i <= last; i++) {
        CountPiece *p = piece(c, i, true);
        if (!p || !add_reference(c, p, i % PIECE)) {
            c->result->check_errors++;
            return -ENOMEM;
        }
    }
    return 0;
}

static bool misaligned(Check *c, uint64_t offset, const char *what)
{
    if (!(offset & c->s->cluster_mask)) {
        return false;
    }
    say(c, "ERROR %s offset=%#" PRIx64 ": not aligned to a cluster", what, offset);
    c->result->corruptions++;
    return true;
}

static int count_entry(Check *c, uint64_t entry, bool active, uint64_t *next)
{
    Qcow2State *s = c->s;
    BlockCheck *r = c->result;
    uint64_t offset, bytes;

    if (entry & QCOW2_COMPRESSED) {
        if (entry & QCOW2_COPIED) {
            say(c,
                "ERROR: coffset=%#" PRIx64
                ": copied flag must never be set for compressed clusters",
                entry);
            r->corruptions++;
        }
        r->allocated_clusters += active;
        r->compressed_clusters += active;
        r->fragmented_clusters += active;
        qcow2_compressed_place(s, entry, &offset, &bytes);
        return count(c, offset, bytes, "compressed data");
    }
    offset = entry & QCOW2_OFFSET_MASK;
    if (!offset && !(s->data_file && (entry & QCOW2_COPIED))) {
        return 0;
    }
    if (active) {
        r->allocated_clusters++;
        r->fragmented_clusters += *next && offset != *next;
        *next = offset + s->cluster_size;
    }
    if (misaligned(c, offset, "data cluster")) {
        return 0;
    }
    return s->data_file ? 0 : count(c, offset, s->cluster_size, "data cluster");
}

static int count_l2(Check *c, uint64_t offset, bool active)
{
    Qcow2State *s = c->s;
    uint64_t next = 0;
    int ret = bdrv_co_pread(c->node->file, offset, s->cluster_size, c->table, 0);

    if (ret < 0) {
        c->result->check_errors++;
        return ret;
    }
    for (unsigned i = 0; i < s->l2_entries && ret == 0; i++) {
        const uint8_t *p = c->table + (size_t)i * s->l2_entry_size;
        uint64_t entry = load_be64(p), bitmap = s->extl2 ? load_be64(p + 8) : 0;
        if (s->extl2 && !(entry & QCOW2_COMPRESSED) && (bitmap & bitmap >> 32 & 0xffffffff)) {
            say(c, "ERROR: L2 entry %#" PRIx64 ": subclusters are allocated and zero at once",
                entry);
            c->result->corruptions++;
        }
        ret = count_entry(c, entry, active, &next);
    }
    return ret;
}

static int count_l1(Check *c, const uint64_t *l1, uint32_t size, bool active)
{
    int ret = 0;

    for (uint32_t i = 0; i < size && ret == 0; i++) {
        uint64_t offset = l1[i] & QCOW2_OFFSET_MASK;
        if (!offset || misaligned(c, offset, "L2 table")) {
            continue;
        }
        if (offset >> c->s->cluster_bits >= c->file_clusters) {
            say(c, "ERROR: L2 table at offset %#" PRIx64 " lies behind the end of the file",
                offset);
            c->result->corruptions++;
            continue;
        }
        ret = count(c, offset, c->s->cluster_size, "L2 table");
        ret = ret < 0 ? ret : count_l2(c, offset, active);
    }
    return ret;
}

static int count_snapshot(Check *c, const Qcow2Snapshot *sn)
{
    uint64_t *l1 = block_try_alloc(c->node, MAX(8ull * sn->l1_size, 8));
    int ret = l1 ? bdrv_co_pread(c->node->file, sn->l1_offset, 8ull * sn->l1_size, l1, 0) : -ENOMEM;

    for (uint32_t i = 0; ret == 0 && i < sn->l1_size; i++) {
        l1[i] = load_be64(&l1[i]);
    }
    ret = ret < 0 ? ret : count(c, sn->l1_offset, 8ull * sn->l1_size, "snapshot's L1 table");
    ret = ret < 0 ? ret : count_l1(c, l1, sn->l1_size, false);
    free(l1);
    return ret;
}

static int count_bitmap(void *opaque, uint64_t offset, uint64_t bytes)
{
    return count(opaque, offset, bytes, "bitmap");
}

static int count_refblocks(Check *c)
{
    Qcow2State *s = c->s;
    int ret = 0;

    for (uint32_t i = 0; i < s->reftable_size && ret == 0; i++) {
        uint64_t offset = s->reftable[i] & ~QCOW2_REFT_RESERVED;
        bool bad_place =
            offset && ((offset & s->cluster_mask) || offset >> s->cluster_bits >= c->file_clusters);
        if (bad_place) {
            say(c, "ERROR refcount block %" PRIu32 " at %#" PRIx64 " is no cluster of the file", i,
                offset);
            if (c->fix_errors) {
                uint64_t none = 0;
                s->reftable[i] = 0;
                ret = bdrv_co_pwrite(c->node->file, s->reftable_offset + 8ull * i, 8, &none, 0);
                c->result->corruptions_fixed++;
            } else {
                c->result->corruptions++;
            }
        } else if (offset) {
            ret = count(c, offset, s->cluster_size, "refcount block");
        }
    }
    return ret;
}

static int count_all(Check *c)
{
    Qcow2State *s = c->s;
    int ret = count(c, 0, s->cluster_size, "header");

    ret = ret < 0 ? ret : count(c, s->l1_offset, 8ull * s->l1_size, "L1 table");
    ret = ret < 0 ? ret : count_l1(c, s->l1, s->l1_size, true);
    for (unsigned i = 0; i < s->snapshot_count && ret == 0; i++) {
        ret = count_snapshot(c, &s->snapshots[i]);
    }
    ret = ret < 0 ? ret : count(c, s->snapshots_offset, s->snapshots_size, "snapshot table");
    ret = ret < 0 ? ret : count(c, s->luks_offset, s->luks_bytes, "LUKS header");
    ret = ret < 0 ? ret : count(c, s->reftable_offset, 8ull * s->reftable_size, "refcount table");
    ret = ret < 0 ? ret : count_refblocks(c);
    return ret < 0 ? ret : qcow2_each_bitmap_cluster(c->node, count_bitmap, c);
}

/* ---- comparing ---- */

/* Blocks that were made for the repair, and a table that had to grow for them, are in use now. */
static int count_new_tables(Check *c)
{
    Qcow2State *s = c->s;
    int ret = 0;

    c->file_clusters = MAX(c->file_clusters, qcow2_file_clusters(c->node));
    for (uint32_t i = 0; i < s->reftable_size && ret == 0; i++) {
        uint64_t offset = s->reftable[i] & ~QCOW2_REFT_RESERVED;
        if (offset && !(offset & s->cluster_mask) && !counted(c, offset >> s->cluster_bits)) {
            ret = count(c, offset, s->cluster_size, "refcount block");
        }
    }
    if (ret == 0 && !counted(c, s->reftable_offset >> s->cluster_bits)) {
        ret = count(c, s->reftable_offset, 8ull * s->reftable_size, "refcount table");
    }
    return ret;
}

static int set_refcount(Check *c, uint64_t cluster, uint64_t value)
{
    Qcow2State *s = c->s;
    Qcow2CacheEntry *slice;
    uint64_t index;
    int ret = qcow2_refcount_slice(c->node, cluster, &slice, &index);

    if (ret == 0 && !slice) {
        /* The new block takes a cluster behind the file's end, where nothing is. */
        ret = qcow2_add_refblock(c->node, cluster >> s->refblock_bits);
        ret = ret < 0 ? ret : count_new_tables(c);
        ret = ret < 0 ? ret : qcow2_refcount_slice(c->node, cluster, &slice, &index);
        ret = ret < 0 || slice ? ret : -EIO;
    }
    if (ret == 0) {
        qcow2_refcount_set(slice->data, s->refcount_bits, index, MIN(value, s->max_refcount));
        slice->dirty = true;
        qcow2_cache_put(slice);
    }
    return ret;
}

static int compare_cluster(Check *c, uint64_t i, uint64_t refcount, uint64_t references)
{
    BlockCheck *r = c->result;
    bool leak = references < refcount;
    bool fix = leak ? c->fix_leaks : c->fix_errors;

    if (refcount == references) {
        return 0;
    }
    say(c, "%s cluster %" PRIu64 " refcount=%" PRIu64 " reference=%" PRIu64,
        fix    ? "Repairing"
        : leak ? "Leaked"
               : "ERROR",
        i, refcount, references);
    if (fix) {
        int ret = set_refcount(c, i, references);
        if (ret < 0) {
            r->check_errors++;
            return ret;
        }
        *(leak ? &r->leaks_fixed : &r->corruptions_fixed) += 1;
    } else {
        *(leak ? &r->leaks : &r->corruptions) += 1;
    }
    return 0;
}

/* A block in a place where one can be. */
static bool has_block(const Qcow2State *s, uint64_t t)
{
    uint64_t offset = t < s->reftable_size ? s->reftable[t] & ~QCOW2_REFT_RESERVED : 0;

    return offset && !(offset & s->cluster_mask) && offset <= INT64_MAX - s->cluster_size;
}

/*
 * How many clusters from i on need not be looked at: those that nobody counted and no block
 * describes. Behind the file's end there are no references, only counts that are too high: empty
 * pieces of blocks are passed over there, and blocks that stand in the table more than once, which
 * was found by their own counts.
 */
static int unused(Check *c, uint64_t i, uint64_t *n)
{
    Qcow2State *s = c->s;
    const uint64_t t = i >> s->refblock_bits, left = ((t + 1) << s->refblock_bits) - i;
    const uint32_t bytes = qcow2_cache_entry_size(s->refcount_cache);
    const uint64_t per_slice = (uint64_t)bytes * 8 / s->refcount_bits;
    const bool behind = i > c->file_clusters;
    Qcow2CacheEntry *slice;
    uint64_t index;
    int ret = 0;

    *n = 0;
    if (!has_block(s, t)) {
        *n = behind ? left : i % PIECE == 0 && !piece(c, i, false) ? MIN((uint64_t)PIECE, left) : 0;
    } else if (behind &&
               counted(c, (s->reftable[t] & ~QCOW2_REFT_RESERVED) >> s->cluster_bits) > 1) {
        *n = left;
    } else if (behind && i % per_slice == 0) {
        ret = qcow2_refcount_slice(c->node, i, &slice, &index);
        if (slice) {
            *n = buffer_is_zero(slice->data, bytes) ? per_slice : 0;
            qcow2_cache_put(slice);
        }
    }
    return ret;
}

static int compare(Check *c)
{
    Qcow2State *s = c->s;
    uint64_t highest = 0, skip,
             end = MAX(c->file_clusters + 1, (uint64_t)s->reftable_size << s->refblock_bits);

    for (uint64_t i = 0; i < end;) {
        uint64_t t = i >> s->refblock_bits, refcount = 0;
        int ret = unused(c, i, &skip);
        if (ret == 0 && skip) {
            i += skip;
            continue;
        }
        ret = ret == 0 && has_block(s, t) ? qcow2_get_refcount(c->node, i, &refcount) : ret;
        if (ret < 0) {
            c->result->check_errors++;
            return ret;
        }
        uint64_t references = counted(c, i);
        highest = refcount || references ? i : highest;
        ret = compare_cluster(c, i, refcount, references);
        if (ret < 0) {
            return ret;
        }
        i++;
    }
    c->result->image_end_offset = (highest + 1) << s->cluster_bits;
    return 0;
}

/* ---- flags ---- */

/* 1: it was changed. */
static int check_flag(Check *c, uint64_t *entry, const char *what, uint64_t index)
{
    BlockCheck *r = c->result;
    uint64_t refcount;
    int ret =
        qcow2_get_refcount(c->node, (*entry & QCOW2_OFFSET_MASK) >> c->s->cluster_bits, &refcount);

    if (ret < 0 || (refcount == 1) == ((*entry & QCOW2_COPIED) != 0)) {
        return ret;
    }
    say(c, "%s OFLAG_COPIED %s: %s=%" PRIx64 " refcount=%" PRIu64,
        c->fix_errors ? "Repairing" : "ERROR", what, what[0] == 'L' ? "l1_entry" : "l2_entry",
        *entry, refcount);
    if (!c->fix_errors) {
        r->corruptions++;
        return 0;
    }
    *entry = refcount == 1 ? *entry | QCOW2_COPIED : *entry & ~QCOW2_COPIED;
    r->corruptions_fixed++;
    return 1;
}

static int check_l2_flags(Check *c, uint64_t offset)
{
    Qcow2State *s = c->s;
    bool changed = false;
    int ret = bdrv_co_pread(c->node->file, offset, s->cluster_size, c->table, 0);

    for (unsigned i = 0; i < s->l2_entries && ret >= 0; i++) {
        uint8_t *p = c->table + (size_t)i * s->l2_entry_size;
        uint64_t entry = load_be64(p);
        if ((entry & QCOW2_COMPRESSED) || !(entry & QCOW2_OFFSET_MASK) ||
            (entry & QCOW2_OFFSET_MASK & s->cluster_mask) || s->data_file) {
            continue;
        }
        ret = check_flag(c, &entry, "data cluster", i);
        if (ret > 0) {
            store_be64(p, entry);
            changed = true;
        }
    }
    if (ret >= 0 && changed) {
        ret = bdrv_co_pwrite(c->node->file, offset, s->cluster_size, c->table, 0);
    }
    return ret < 0 ? ret : 0;
}

static int check_flags(Check *c)
{
    Qcow2State *s = c->s;
    int ret = 0;

    for (uint32_t i = 0; i < s->l1_size && ret >= 0; i++) {
        uint64_t offset = s->l1[i] & QCOW2_OFFSET_MASK;
        if (!offset || (offset & s->cluster_mask) ||
            offset >> s->cluster_bits >= c->file_clusters) {
            continue;
        }
        ret = check_flag(c, &s->l1[i], "L2 table", i);
        if (ret > 0) {
            uint64_t be = htobe64(s->l1[i]);
            ret = bdrv_co_pwrite(c->node->file, s->l1_offset + 8ull * i, 8, &be, 0);
        }
        ret = ret < 0 ? ret : check_l2_flags(c, offset);
    }
    return ret < 0 ? ret : 0;
}

/* ---- all of it ---- */

/* Nothing is wrong any more: the header may say so. */
static int clear_marks(Check *c)
{
    Qcow2State *s = c->s;
    const BlockCheck *r = c->result;
    uint64_t marks = QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT;
    uint8_t field[8];

    if (!c->fix_errors || r->corruptions || r->check_errors || s->h.version < 3 ||
        !(s->h.incompatible & marks)) {
        return 0;
    }
    int ret = bdrv_co_flush(c->node->file->node);
    store_be64(field, s->h.incompatible & ~marks);
    ret = ret < 0 ? ret : qcow2_write_field(c->node, QH_INCOMPATIBLE, field, sizeof(field));
    if (ret == 0) {
        s->h.incompatible &= ~marks;
        s->corrupt = s->lazy_dirty = false;
    }
    return ret;
}

static int check(Check *c)
{
    Qcow2State *s = c->s;
    bool fix = c->fix_leaks || c->fix_errors;
    int ret = c->node->readonly ? 0 : qcow2_settle(c->node);

    c->file_clusters = qcow2_file_clusters(c->node);
    if (fix) {
        /* What looks free may not be, up to the cluster behind the file's end. */
        s->free_index = s->fresh_index = c->file_clusters + 1;
    }
    c->result->total_clusters = DIV_ROUND_UP(c->node->size, s->cluster_size);
    ret = ret < 0 ? ret : count_all(c);
    ret = ret < 0 ? ret : compare(c);
    if (ret == 0 && fix) {
        ret = qcow2_cache_write(c->node, s->refcount_cache);
    }
    ret = ret < 0 ? ret : check_flags(c);
    if (fix) {
        qcow2_cache_forget_all(s->l2_cache);
        s->free_index = 1;
        ret = ret < 0 ? ret : clear_marks(c);
    }
    return ret;
}

int qcow2_co_check(BlockNode *node, BlockCheck *result, BlockCheckFix fix)
{
    Qcow2State *s = node->state;
    Check *c = calloc(1, sizeof(*c));

    if (!c) {
        return -ENOMEM;
    }
    c->node = node;
    c->s = s;
    c->result = result;
    c->fix_leaks = fix & CHECK_FIX_LEAKS;
    c->fix_errors = fix & CHECK_FIX_ERRORS;
    c->table = block_alloc(node, s->cluster_size);
    co_rwlock_wrlock(&s->ops);
    co_mutex_lock(&s->lock);
    int ret = check(c);
    co_mutex_unlock(&s->lock);
    co_rwlock_unlock(&s->ops);
    for (unsigned i = 0; i < BUCKETS; i++) {
        while (c->buckets[i]) {
            CountPiece *p = c->buckets[i];
            c->buckets[i] = p->next;
            free(p->counts);
            free(p);
        }
    }
    free(c->table);
    free(c);
    return ret;
}
