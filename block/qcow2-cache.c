/*
 * qcow2: the write-back cache of L2 tables and refcount blocks, in pieces of a few KB.
 *
 * Pieces stay as they stand in the file. A dirty piece may be written when room is needed; what has
 * to be on disk before that (the data and refcounts its entries rely on) is brought there first by
 * a barrier (qcow2-refcount.c has the whole order).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/blkdebug.h"
#include "block/qcow2.h"

enum { MIN_ENTRIES = 16 };

struct Qcow2Cache {
    uint32_t entry_size;
    unsigned count, max;
    unsigned hash_mask;
    uint64_t clock;
    unsigned hand;
    unsigned dirty;
    Qcow2CacheEntry **hash;
    Qcow2CacheEntry **entries; /* count of them are there */
};

Qcow2Cache *qcow2_cache_new(uint32_t entry_size, uint64_t bytes)
{
    Qcow2Cache *c = calloc(1, sizeof(*c));
    unsigned buckets = 64;

    if (!c) {
        error_exit("out of memory");
    }
    c->entry_size = entry_size;
    c->max = (unsigned)MIN(MAX(bytes / entry_size, MIN_ENTRIES), 1u << 20);
    while (buckets < c->max) {
        buckets *= 2;
    }
    c->hash_mask = buckets - 1;
    c->hash = calloc(buckets, sizeof(*c->hash));
    c->entries = calloc(c->max, sizeof(*c->entries));
    if (!c->hash || !c->entries) {
        error_exit("out of memory");
    }
    return c;
}

void qcow2_cache_free(Qcow2Cache *c)
{
    if (!c) {
        return;
    }
    for (unsigned i = 0; i < c->count; i++) {
        free(c->entries[i]->data);
        free(c->entries[i]);
    }
    free(c->entries);
    free(c->hash);
    free(c);
}

uint32_t qcow2_cache_entry_size(const Qcow2Cache *c)
{
    return c->entry_size;
}

static Qcow2CacheEntry **bucket(const Qcow2Cache *c, uint64_t offset)
{
    return &c->hash[(offset / c->entry_size * 0x9e3779b97f4a7c15ull >> 40) & c->hash_mask];
}

static Qcow2CacheEntry *find(const Qcow2Cache *c, uint64_t offset)
{
    for (Qcow2CacheEntry *e = *bucket(c, offset); e; e = e->hash_next) {
        if (e->offset == offset) {
            return e;
        }
    }
    return NULL;
}

static void unhash(Qcow2Cache *c, Qcow2CacheEntry *e)
{
    if (!e->offset) {
        return; /* empty: offset 0 is the header's */
    }
    for (Qcow2CacheEntry **p = bucket(c, e->offset); *p; p = &(*p)->hash_next) {
        if (*p == e) {
            *p = e->hash_next;
            break;
        }
    }
    e->offset = 0;
}

static void hash_in(Qcow2Cache *c, Qcow2CacheEntry *e, uint64_t offset)
{
    Qcow2CacheEntry **b = bucket(c, offset);

    e->offset = offset;
    e->hash_next = *b;
    *b = e;
}

static bool is_l2(const BlockNode *node, const Qcow2Cache *c)
{
    return ((Qcow2State *)node->state)->l2_cache == c;
}

static BlkdebugEvent update_event(const BlockNode *node, const Qcow2Cache *c)
{
    return is_l2(node, c) ? BLKDBG_L2_UPDATE : BLKDBG_REFBLOCK_UPDATE;
}

static int write_entry(BlockNode *node, Qcow2Cache *c, Qcow2CacheEntry *e)
{
    const Qcow2State *s = node->state;

    if (s->broken) {
        return -EIO; /* nobody knows which tables the header names */
    }
    if (e->barrier) {
        int ret = qcow2_barrier(node);
        if (ret < 0) {
            return ret;
        }
    }
    bdrv_debug_event(node->file, update_event(node, c));
    int ret = bdrv_co_pwrite(node->file, e->offset, c->entry_size, e->data, 0);
    if (ret == 0) {
        e->dirty = e->barrier = false;
    }
    return ret;
}

static Qcow2CacheEntry *new_entry(Qcow2Cache *c, BlockNode *node)
{
    Qcow2CacheEntry *e = calloc(1, sizeof(*e));

    if (!e) {
        error_exit("out of memory");
    }
    e->data = block_alloc(node, c->entry_size);
    e->slot = c->count;
    c->entries[c->count++] = e;
    return e;
}

/* The clock's hand passes those used since it was here last. */
static Qcow2CacheEntry *choose_victim(Qcow2Cache *c)
{
    for (unsigned turns = 0; turns < 3 * c->count; turns++) {
        Qcow2CacheEntry *e = c->entries[c->hand];
        c->hand = (c->hand + 1) % c->count;
        if (e->pins) {
            continue;
        }
        if (e->used && turns < 2 * c->count) {
            e->used = 0;
            continue;
        }
        return e;
    }
    return NULL;
}

static int free_entry(BlockNode *node, Qcow2Cache *c, Qcow2CacheEntry **entry)
{
    if (c->count < c->max) {
        *entry = new_entry(c, node);
        return 0;
    }
    Qcow2CacheEntry *e = choose_victim(c);
    if (!e) {
        return -EBUSY;
    }
    e->pins++; /* writing it waits, and nobody shall take it meanwhile */
    int ret = e->dirty ? write_entry(node, c, e) : 0;
    e->pins--;
    if (ret < 0) {
        return ret;
    }
    unhash(c, e);
    *entry = e;
    return 0;
}

int qcow2_cache_get(BlockNode *node, Qcow2Cache *c, uint64_t offset, bool read,
                    Qcow2CacheEntry **entry)
{
    Qcow2CacheEntry *e = find(c, offset);

    *entry = NULL;
    if (!e) {
        int ret = free_entry(node, c, &e);
        if (ret < 0) {
            return ret;
        }
        e->pins++;
        if (read) {
            bdrv_debug_event(node->file, is_l2(node, c) ? BLKDBG_L2_LOAD : BLKDBG_REFBLOCK_LOAD);
            ret = bdrv_co_pread(node->file, offset, c->entry_size, e->data, 0);
        } else {
            memset(e->data, 0, c->entry_size);
        }
        e->pins--;
        if (ret < 0) {
            return ret;
        }
        hash_in(c, e, offset);
    }
    e->pins++;
    e->used = 1;
    *entry = e;
    return 0;
}

void qcow2_cache_put(Qcow2CacheEntry *entry)
{
    if (entry) {
        entry->pins--;
    }
}

void qcow2_cache_dirty(Qcow2CacheEntry *entry)
{
    entry->dirty = true;
    entry->barrier = true;
}

static int by_offset(const void *a, const void *b)
{
    const Qcow2CacheEntry *x = *(Qcow2CacheEntry *const *)a, *y = *(Qcow2CacheEntry *const *)b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

bool qcow2_cache_is_dirty(const Qcow2Cache *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        if (c->entries[i]->dirty) {
            return true;
        }
    }
    return false;
}

/* Neighbours go together, as far as one write takes them. */
static int write_run(BlockNode *node, Qcow2Cache *c, Qcow2CacheEntry **run, unsigned n)
{
    const Qcow2State *s = node->state;
    struct iovec iov[64];
    IoVector v;

    if (s->broken) {
        return -EIO;
    }
    for (unsigned i = 0; i < n; i++) {
        iov[i] = (struct iovec){run[i]->data, c->entry_size};
    }
    iov_init(&v, iov, (int)n);
    bdrv_debug_event(node->file, update_event(node, c));
    int ret = bdrv_co_pwritev(node->file, run[0]->offset, v.size, &v, 0, 0);
    for (unsigned i = 0; i < n && ret == 0; i++) {
        run[i]->dirty = run[i]->barrier = false;
    }
    return ret;
}

int qcow2_cache_write(BlockNode *node, Qcow2Cache *c)
{
    unsigned n = 0;
    int ret = 0;
    Qcow2CacheEntry **list;

    for (unsigned i = 0; i < c->count; i++) {
        n += c->entries[i]->dirty;
    }
    if (!n) {
        return 0;
    }
    list = malloc(n * sizeof(*list));
    if (!list) {
        return -ENOMEM;
    }
    n = 0;
    for (unsigned i = 0; i < c->count; i++) {
        if (c->entries[i]->dirty) {
            list[n++] = c->entries[i];
        }
    }
    qsort(list, n, sizeof(*list), by_offset);
    for (unsigned i = 0, run; i < n && ret == 0; i += run) {
        for (run = 1; i + run < n && run < 64 &&
                      list[i + run]->offset == list[i]->offset + run * c->entry_size;
             run++) {
        }
        ret = write_run(node, c, &list[i], run);
    }
    free(list);
    return ret;
}

void qcow2_cache_forget(Qcow2Cache *c, uint64_t offset, uint64_t bytes)
{
    for (uint64_t at = offset; at < offset + bytes; at += c->entry_size) {
        Qcow2CacheEntry *e = find(c, at);
        if (e) {
            unhash(c, e);
            e->dirty = e->barrier = false;
            e->used = 0;
        }
    }
}

void qcow2_cache_forget_all(Qcow2Cache *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        unhash(c, c->entries[i]);
        c->entries[i]->dirty = c->entries[i]->barrier = false;
    }
}

void qcow2_cache_barrier_done(Qcow2Cache *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        c->entries[i]->barrier = false;
    }
}
