/*
 * qcow2: requests.
 *
 * A request looks up where its clusters lie under the lock and moves data without it. A write to
 * clusters that are ours alone goes in place. Any other gets new clusters: they are filled, with
 * what of them the request does not cover copied from what the guest saw, and only then the L2
 * entries change; until then other writes to these guest clusters wait, reads see the old contents.
 * Why a cluster that is dropped meanwhile does no harm to requests that still use it: see step 4 in
 * qcow2-refcount.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/blkdebug.h"
#include "block/qcow2.h"

enum {
    MAX_GUARDED_L1 = 8192, /* 4 TB with clusters of 64 KB */
    MAX_FREED = 16384,     /* then a flush makes room in the list */
    ZERO_BY_WRITE =
        64 * 1024,    /* longer runs of zeroes around new data are left to the file system */
    MAX_ALLOC = 2048, /* clusters a piece of a request */
};

/* ---- data clusters ---- */

/* What makes a sector's encryption differ from others: LUKS goes by its place in the file, the old
 * AES by that on the disk. */
static uint64_t crypt_sector(const Qcow2State *s, uint64_t guest, uint64_t host)
{
    return (s->h.crypt == QCOW2_CRYPT_LUKS ? host : guest) / CIPHER_SECTOR;
}

static int read_data(BlockNode *node, uint64_t guest, uint64_t host, uint64_t bytes, IoVector *v,
                     size_t at)
{
    Qcow2State *s = node->state;

    if (!node->encrypted) {
        return bdrv_co_preadv(qcow2_data(node), host, bytes, v, at, 0);
    }
    return s->cipher ? crypt_co_preadv(s->cipher, qcow2_data(node), host,
                                       crypt_sector(s, guest, host), bytes, v, at)
                     : -EACCES;
}

static int write_data(BlockNode *node, uint64_t guest, uint64_t host, uint64_t bytes, IoVector *v,
                      size_t at)
{
    Qcow2State *s = node->state;

    if (!node->encrypted) {
        return bdrv_co_pwritev(qcow2_data(node), host, bytes, v, at, 0);
    }
    return s->cipher ? crypt_co_pwritev(s->cipher, qcow2_data(node), host,
                                        crypt_sector(s, guest, host), bytes, v, at)
                     : -EACCES;
}

/* ---- reading ---- */

/* Without the rwlock: also for what surrounds a write. */
static int read_guest(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at)
{
    Qcow2State *s = node->state;

    while (bytes) {
        Qcow2Mapping m;
        co_mutex_lock(&s->lock);
        int ret = qcow2_map(node, offset, bytes, &m);
        co_mutex_unlock(&s->lock);
        if (ret < 0) {
            return ret;
        }
        switch (m.kind) {
        case QCOW2_NORMAL:
            bdrv_debug_event(node->file, BLKDBG_READ_AIO);
            ret = read_data(node, offset, m.host, m.bytes, v, at);
            break;
        case QCOW2_COMPRESSED_DATA:
            m.bytes = bytes;
            ret = qcow2_read_compressed(node, m.host, offset, &m.bytes, v, at);
            break;
        case QCOW2_UNALLOCATED:
        case QCOW2_UNALLOC_ALLOC:
            if (node->backing) {
                bdrv_debug_event(node->file, BLKDBG_READ_BACKING_AIO);
                ret = bdrv_co_preadv(node->backing, offset, m.bytes, v, at, 0);
                break;
            }
            /* fall through */
        default:
            iov_fill(v, at, 0, m.bytes);
        }
        if (ret < 0) {
            return ret;
        }
        offset += m.bytes;
        at += m.bytes;
        bytes -= m.bytes;
    }
    return 0;
}

static void begin(Qcow2State *s, Qcow2Op *op)
{
    co_rwlock_rdlock(&s->ops);
    qcow2_op_begin(s, op);
}

/* A change of the guest's: the enabled bitmaps are there before it, and it is marked in them. */
static int begin_change(BlockNode *node, Qcow2Op *op, uint64_t offset, uint64_t bytes)
{
    Qcow2State *s = node->state;
    int ret = 0;

    begin(s, op);
    if (s->bitmap_count) {
        co_mutex_lock(&s->lock);
        ret = qcow2_bitmaps_start(node);
        co_mutex_unlock(&s->lock);
        qcow2_bitmaps_mark(node, offset, bytes);
    }
    return ret;
}

static void end(Qcow2State *s, Qcow2Op *op)
{
    qcow2_op_end(s, op);
    co_rwlock_unlock(&s->ops);
}

int qcow2_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                    unsigned flags)
{
    Qcow2State *s = node->state;
    Qcow2Op op;

    begin(s, &op);
    int ret = read_guest(node, offset, bytes, v, at);
    end(s, &op);
    return ret;
}

/* ---- writing ---- */

/* A piece of a write. */
typedef struct Piece {
    uint64_t guest, bytes;
    uint64_t host; /* of guest */
    bool in_place; /* nothing else to do */
    Qcow2Alloc alloc;
    bool
        keep; /* the clusters were there (zeroes, or unused subclusters), only the entries change */
    bool fresh; /* never written: reads as zeroes */
    uint64_t cow_from,
        cow_to;    /* what must hold the guest's data afterwards: around [guest, guest + bytes) */
    bool cow_zero; /* that is zeroes */
    bool prealloc; /* no data comes: subclusters show what they did */
} Piece;

static bool entry_in_place(BlockNode *node, uint64_t entry, uint64_t bitmap, unsigned first,
                           unsigned last)
{
    Qcow2State *s = node->state;

    if (!(entry & QCOW2_COPIED) || (entry & QCOW2_COMPRESSED)) {
        return false;
    }
    if (!s->extl2) {
        return qcow2_kind(node, entry, 0, 0) == QCOW2_NORMAL;
    }
    uint64_t bits = ((1ull << (last - first + 1)) - 1) << first;
    return (entry & QCOW2_OFFSET_MASK) && (bitmap & bits) == bits;
}

/* The subclusters of the cluster at `cluster` that [from, to) touches. */
static void touched(const Qcow2State *s, uint64_t cluster, uint64_t from, uint64_t to,
                    unsigned *first, unsigned *last)
{
    from = MAX(from, cluster) - cluster;
    to = MIN(to, cluster + s->cluster_size) - cluster;
    *first = (unsigned)(from / s->subcluster_size);
    *last = (unsigned)((to - 1) / s->subcluster_size);
}

/* How much of the piece can be written in place, clusters one behind the other. */
static uint64_t in_place_bytes(BlockNode *node, Qcow2CacheEntry *slice, unsigned index,
                               const Piece *p, uint64_t *host)
{
    Qcow2State *s = node->state;
    uint64_t cluster = ROUND_DOWN(p->guest, s->cluster_size), next = 0, bytes = 0;
    const uint64_t to = p->guest + p->bytes;

    for (; cluster < to; cluster += s->cluster_size, index++) {
        unsigned first, last;
        uint64_t bitmap, entry = qcow2_l2_entry(s, slice, index, &bitmap),
                         at = entry & QCOW2_OFFSET_MASK;
        touched(s, cluster, p->guest, to, &first, &last);
        if (!entry_in_place(node, entry, bitmap, first, last) || (bytes && at != next)) {
            break;
        }
        if (!bytes) {
            *host = at + (p->guest & s->cluster_mask);
        }
        next = at + s->cluster_size;
        bytes = MIN(cluster + s->cluster_size, to) - p->guest;
    }
    return bytes;
}

static bool shows_zeroes(BlockNode *node, uint64_t entry, uint64_t bitmap)
{
    Qcow2State *s = node->state;
    bool backing = node->backing && !(s->extl2 && bitmap >> 32 == 0xffffffff);

    if (entry & QCOW2_COMPRESSED) {
        return false;
    }
    if (!s->extl2) {
        Qcow2Kind kind = qcow2_kind(node, entry, 0, 0);
        return kind == QCOW2_ZERO_PLAIN || kind == QCOW2_ZERO_ALLOC ||
               (kind == QCOW2_UNALLOCATED && !backing);
    }
    return !(bitmap & 0xffffffff) && !backing;
}

/* Whether the cluster can stay while its entry changes. */
static bool can_keep(const Qcow2State *s, uint64_t entry)
{
    return (entry & QCOW2_COPIED) && !(entry & QCOW2_COMPRESSED) &&
           ((entry & QCOW2_OFFSET_MASK) || s->data_file);
}

/* How far clusters from index on need the same treatment as the first. */
static unsigned alike(BlockNode *node, Qcow2CacheEntry *slice, unsigned index, const Piece *p,
                      unsigned max)
{
    Qcow2State *s = node->state;
    uint64_t bitmap, first = qcow2_l2_entry(s, slice, index, &bitmap);
    bool keep = can_keep(s, first);
    uint64_t cluster = ROUND_DOWN(p->guest, s->cluster_size);
    unsigned n = 1;

    for (; n < max; n++) {
        uint64_t entry = qcow2_l2_entry(s, slice, index + n, &bitmap);
        unsigned a, b;
        touched(s, cluster + n * s->cluster_size, p->guest, p->guest + p->bytes, &a, &b);
        if (entry_in_place(node, entry, bitmap, a, b) || can_keep(s, entry) != keep ||
            (keep &&
             (entry & QCOW2_OFFSET_MASK) != (first & QCOW2_OFFSET_MASK) + n * s->cluster_size)) {
            break;
        }
    }
    return n;
}

/* Clusters that were there are not to be the image's own tables: one entry that is wrong would cost
 * them all. Tables of L2 tables that are too large to be looked through each time are not. */
static int check_place(BlockNode *node, uint64_t host, uint64_t bytes)
{
    const Qcow2State *s = node->state;

    return s->data_file || s->l1_size > MAX_GUARDED_L1
               ? 0
               : qcow2_check_overlap(node, host, bytes, "a cluster of data");
}

static int get_clusters(BlockNode *node, Piece *p, uint64_t entry, unsigned *n, uint64_t *host)
{
    Qcow2State *s = node->state;
    uint64_t got = 0;

    p->keep = can_keep(s, entry);
    p->fresh = false;
    if (p->keep) {
        *host = entry & QCOW2_OFFSET_MASK;
        return check_place(node, *host, *n * s->cluster_size);
    }
    if (s->data_file) {
        *host = ROUND_DOWN(p->guest, s->cluster_size);
        return 0;
    }
    int ret = qcow2_alloc(node, *n, false, host, &got);
    if (ret < 0) {
        return ret;
    }
    *n = (unsigned)got;
    return 0;
}

/* Sets what is to be copied around the data. */
static void set_cow(BlockNode *node, Piece *p, Qcow2CacheEntry *slice, unsigned index, unsigned n)
{
    Qcow2State *s = node->state;
    const uint64_t to = p->guest + p->bytes;
    uint64_t bitmap, last_bitmap, entry = qcow2_l2_entry(s, slice, index, &bitmap);
    uint64_t last = qcow2_l2_entry(s, slice, index + n - 1, &last_bitmap);
    uint64_t unit_first = s->cluster_size, unit_last = s->cluster_size;

    if (s->extl2) {
        /* Subclusters that are not there yet stay so, unless others of the cluster have to move. */
        bool first_moves = !p->keep && ((entry & QCOW2_COMPRESSED) || (bitmap & 0xffffffff));
        bool last_moves = !p->keep && ((last & QCOW2_COMPRESSED) || (last_bitmap & 0xffffffff));
        unit_first = first_moves ? s->cluster_size : s->subcluster_size;
        unit_last = last_moves ? s->cluster_size : s->subcluster_size;
    }
    p->cow_from = ROUND_DOWN(p->guest, unit_first);
    p->cow_to = ROUND_UP(to, unit_last);
    if (s->extl2 && p->keep) {
        /* Around data that is there already nothing is copied: a write in place may be under way
         * there. */
        unsigned a, b;
        touched(s, ROUND_DOWN(p->guest, s->cluster_size), p->guest, to, &a, &b);
        p->cow_from = bitmap >> a & 1 ? p->guest : p->cow_from;
        touched(s, ROUND_DOWN(to - 1, s->cluster_size), p->guest, to, &a, &b);
        p->cow_to = last_bitmap >> b & 1 ? to : p->cow_to;
    }
    p->cow_zero = shows_zeroes(node, entry, bitmap) && shows_zeroes(node, last, last_bitmap);
}

/*
 * Under the lock: finds or makes room for the beginning of the piece and shortens it to what is
 * ready.
 */
static int prepare(BlockNode *node, Piece *p)
{
    Qcow2State *s = node->state;
    Qcow2CacheEntry *slice;
    unsigned index;
    uint64_t cluster = ROUND_DOWN(p->guest, s->cluster_size), host = 0;

    qcow2_wait_allocs(node, cluster, s->cluster_size);
    for (Qcow2Alloc *a = s->allocs; a; a = a->next) { /* up to the next one */
        if (a->guest > p->guest && a->guest < p->guest + p->bytes) {
            p->bytes = a->guest - p->guest;
        }
    }
    int ret = qcow2_get_slice(node, p->guest, true, &slice, &index);
    if (ret < 0) {
        return ret;
    }
    unsigned max = MIN(qcow2_slice_left(s, index), MAX_ALLOC);
    p->bytes = MIN(p->bytes, cluster + max * s->cluster_size - p->guest);
    max = (unsigned)DIV_ROUND_UP(p->guest + p->bytes - cluster, s->cluster_size);
    ret = qcow2_check_entries(node, slice, index, max, cluster);
    if (ret < 0) {
        qcow2_cache_put(slice);
        return ret;
    }
    uint64_t ready = in_place_bytes(node, slice, index, p, &p->host);
    p->in_place = ready > 0;
    if (ready) {
        p->bytes = ready;
        qcow2_cache_put(slice);
        return check_place(node, p->host, ready);
    }
    unsigned n = alike(node, slice, index, p, max);
    uint64_t fresh_from = s->fresh_index << s->cluster_bits;
    ret = get_clusters(node, p, qcow2_l2_entry(s, slice, index, NULL), &n, &host);
    if (ret == 0) {
        p->bytes = MIN(p->bytes, cluster + n * s->cluster_size - p->guest);
        p->host = host + (p->guest & s->cluster_mask);
        p->fresh = !p->keep && !s->data_file && host >= fresh_from && node->file->node->growable &&
                   node->file->node->zero_init;
        set_cow(node, p, slice, index, n);
        p->alloc = (Qcow2Alloc){.guest = cluster, .clusters = n, .next = s->allocs};
        s->allocs = &p->alloc;
    }
    qcow2_cache_put(slice);
    return ret;
}

static void unregister(Qcow2State *s, Qcow2Alloc *alloc)
{
    for (Qcow2Alloc **a = &s->allocs; *a; a = &(*a)->next) {
        if (*a == alloc) {
            *a = alloc->next;
            break;
        }
    }
    co_queue_all(&alloc->waiters);
}

/* Under the lock: the entries lead to the new data. */
static int link_clusters(BlockNode *node, Piece *p)
{
    Qcow2State *s = node->state;
    uint64_t host = ROUND_DOWN(p->host, s->cluster_size);
    Qcow2CacheEntry *slice;
    unsigned index;
    int ret = qcow2_get_slice(node, p->alloc.guest, true, &slice, &index);

    if (ret < 0) {
        return ret;
    }
    for (unsigned i = 0; i < p->alloc.clusters; i++) {
        uint64_t cluster = p->alloc.guest + i * s->cluster_size, bitmap;
        uint64_t entry = qcow2_l2_entry(s, slice, index + i, &bitmap), bits = 0;
        if (s->extl2) {
            unsigned first, last;
            touched(s, cluster, p->cow_from, p->cow_to, &first, &last);
            bits = ((1ull << (last - first + 1)) - 1) << first;
            bitmap = entry & QCOW2_COMPRESSED ? 0 : bitmap;
            bits = p->prealloc ? bitmap : (bitmap | bits) & ~(bits << 32);
        }
        qcow2_set_l2_entry(s, slice, index + i, (host + i * s->cluster_size) | QCOW2_COPIED, bits);
        if (!p->keep) {
            qcow2_free_l2_entry(node, entry, false);
        }
    }
    qcow2_cache_put(slice);
    return 0;
}

static int zero_host(BlockNode *node, uint64_t host, uint64_t bytes)
{
    return bytes ? bdrv_co_pwrite_zeroes(qcow2_data(node), host, bytes, 0) : 0;
}

/* The data, with what surrounds it in one write where that is short. */
static int write_with_surroundings(BlockNode *node, Piece *p, IoVector *v, size_t at,
                                   unsigned flags)
{
    uint64_t head = p->guest - p->cow_from, tail = p->cow_to - p->guest - p->bytes;
    int ret = 0;

    bdrv_debug_event(node->file, BLKDBG_WRITE_AIO);
    /* Zeroes of the file are none of an encrypted disk. */
    if ((!head && !tail) || (p->cow_zero && p->fresh && !node->encrypted)) {
        return write_data(node, p->guest, p->host, p->bytes, v, at);
    }
    if (p->cow_zero && head + tail > ZERO_BY_WRITE && !node->encrypted) {
        ret = zero_host(node, p->host - head, head);
        ret = ret < 0 ? ret : zero_host(node, p->host + p->bytes, tail);
        return ret < 0 ? ret : write_data(node, p->guest, p->host, p->bytes, v, at);
    }
    uint8_t *around = block_try_alloc(node, head + tail);
    int count = iov_slice_count(v, at, p->bytes) + 2, n = 0;
    struct iovec *iov = malloc(count * sizeof(*iov));
    IoVector all, edge;
    if (!around || !iov) {
        free(around);
        free(iov);
        return -ENOMEM;
    }
    if (p->cow_zero) {
        memset(around, 0, head + tail);
    } else {
        bdrv_debug_event(node->file, BLKDBG_COW_READ);
        iov_init_buf(&edge, around, head);
        ret = head ? read_guest(node, p->cow_from, head, &edge, 0) : 0;
        iov_init_buf(&edge, around + head, tail);
        ret = ret < 0 || !tail ? ret : read_guest(node, p->guest + p->bytes, tail, &edge, 0);
    }
    if (ret == 0) {
        if (head) {
            iov[n++] = (struct iovec){around, head};
        }
        n += iov_slice(v, at, p->bytes, iov + n);
        if (tail) {
            iov[n++] = (struct iovec){around + head, tail};
        }
        iov_init(&all, iov, n);
        bdrv_debug_event(node->file, BLKDBG_COW_WRITE);
        ret = write_data(node, p->cow_from, p->host - head, all.size, &all, 0);
    }
    free(around);
    free(iov);
    return ret;
}

static int finish(BlockNode *node, Piece *p, int ret)
{
    Qcow2State *s = node->state;

    co_mutex_lock(&s->lock);
    ret = ret < 0 ? ret : link_clusters(node, p);
    if (ret < 0 && !p->keep && !s->data_file) {
        qcow2_unref_now(node, ROUND_DOWN(p->host, s->cluster_size),
                        (uint64_t)p->alloc.clusters << s->cluster_bits);
    }
    unregister(s, &p->alloc);
    co_mutex_unlock(&s->lock);
    return ret;
}

static int write_guest(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                       unsigned flags)
{
    Qcow2State *s = node->state;

    while (bytes) {
        Piece p = {.guest = offset, .bytes = bytes};
        co_mutex_lock(&s->lock);
        int ret = prepare(node, &p);
        co_mutex_unlock(&s->lock);
        if (ret < 0) {
            return ret;
        }
        if (p.in_place) {
            bdrv_debug_event(node->file, BLKDBG_WRITE_AIO);
            ret = write_data(node, p.guest, p.host, p.bytes, v, at);
        } else {
            ret = finish(node, &p, write_with_surroundings(node, &p, v, at, flags));
        }
        if (ret < 0) {
            return ret;
        }
        offset += p.bytes;
        at += p.bytes;
        bytes -= p.bytes;
    }
    return 0;
}

/* The list of clusters to be given back must not grow for ever between two flushes of the guest. */
static int trim_freed(BlockNode *node)
{
    Qcow2State *s = node->state;
    int ret = 0;

    if (s->freed_count >= MAX_FREED) {
        co_mutex_lock(&s->lock);
        ret = s->freed_count >= MAX_FREED ? qcow2_flush_tables(node, NULL) : 0;
        co_mutex_unlock(&s->lock);
    }
    return ret;
}

int qcow2_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                     unsigned flags)
{
    Qcow2State *s = node->state;
    Qcow2Op op;

    int ret = begin_change(node, &op, offset, bytes);
    ret = ret < 0 ? ret : write_guest(node, offset, bytes, v, at, flags);
    end(s, &op);
    return ret < 0 ? ret : trim_freed(node);
}

/* ---- zeroes, discards ---- */

/* Zeroes for a raw data file go there as well. */
static int zero_data_file(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    Qcow2State *s = node->state;

    return s->data_raw ? bdrv_co_pwrite_zeroes(node->data, offset, bytes, BDRV_REQ_MAY_UNMAP) : 0;
}

/* A part of a cluster: done when it shows zeroes already. */
static int zero_part(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    Qcow2State *s = node->state;
    Qcow2Mapping m;
    int ret = qcow2_map(node, offset, bytes, &m);

    if (ret < 0) {
        return ret;
    }
    bool zero = m.kind == QCOW2_ZERO_PLAIN || m.kind == QCOW2_ZERO_ALLOC ||
                (!node->backing && (m.kind == QCOW2_UNALLOCATED || m.kind == QCOW2_UNALLOC_ALLOC));
    return zero && m.bytes == bytes && !s->data_raw ? 0 : -ENOTSUP;
}

int qcow2_co_pwrite_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    Qcow2State *s = node->state;
    Qcow2Op op;
    bool part =
        offset % s->subcluster_size || (bytes % s->subcluster_size && offset + bytes < node->size);

    int ret = begin_change(node, &op, offset, bytes);
    co_mutex_lock(&s->lock);
    qcow2_wait_allocs(node, offset, bytes);
    ret = ret < 0 ? ret
          : part  ? zero_part(node, offset, bytes)
                  : zero_data_file(node, offset, bytes);
    if (ret == 0 && !part) {
        ret = qcow2_zero_clusters(node, offset, bytes, flags & BDRV_REQ_MAY_UNMAP);
    }
    co_mutex_unlock(&s->lock);
    end(s, &op);
    return ret < 0 ? ret : trim_freed(node);
}

int qcow2_co_pdiscard(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    Qcow2State *s = node->state;
    Qcow2Op op;
    uint64_t last = ROUND_DOWN(offset + bytes, s->cluster_size),
             first = ROUND_UP(offset, s->cluster_size);

    if (s->h.version < 3 && (node->backing || node->backing_file)) {
        return -ENOTSUP; /* what was overwritten would show again: there is no flag for zeroes */
    }
    if (offset + bytes >= node->size) {
        last = ROUND_UP(node->size, s->cluster_size);
    }
    if (first >= last) {
        return 0;
    }
    int ret = begin_change(node, &op, first, last - first);
    co_mutex_lock(&s->lock);
    qcow2_wait_allocs(node, first, last - first);
    ret = ret < 0 ? ret : qcow2_discard_clusters(node, first, last - first, false, true);
    co_mutex_unlock(&s->lock);
    end(s, &op);
    return ret < 0 ? ret : trim_freed(node);
}

int qcow2_co_make_empty(BlockNode *node)
{
    Qcow2State *s = node->state;
    uint64_t end_of_disk = ROUND_UP(node->size, s->cluster_size);

    co_rwlock_wrlock(&s->ops);
    co_mutex_lock(&s->lock);
    int ret = qcow2_discard_clusters(node, 0, end_of_disk, true, true);
    ret = ret < 0 ? ret : qcow2_settle(node);
    co_mutex_unlock(&s->lock);
    co_rwlock_unlock(&s->ops);
    return ret;
}

int qcow2_co_flush(BlockNode *node)
{
    Qcow2State *s = node->state;

    if (node->readonly || s->temporary) {
        return s->broken ? -EIO : 0;
    }
    co_mutex_lock(&s->lock);
    int ret = qcow2_flush_tables(node, NULL);
    co_mutex_unlock(&s->lock);
    return ret;
}

/* ---- preallocation ---- */

/* Clusters that were in use before hold what nobody shall see. */
static int prepare_storage(BlockNode *node, const Piece *p)
{
    Qcow2State *s = node->state;

    if (p->fresh || s->extl2 || (s->data_file && !p->keep)) {
        return 0; /* as zeroes, or the subclusters show what they did */
    }
    return zero_host(node, ROUND_DOWN(p->host, s->cluster_size),
                     (uint64_t)p->alloc.clusters << s->cluster_bits);
}

int qcow2_preallocate(BlockNode *node, uint64_t offset, uint64_t end_offset)
{
    Qcow2State *s = node->state;

    while (offset < end_offset) {
        Piece p = {.guest = offset, .bytes = end_offset - offset};
        co_mutex_lock(&s->lock);
        int ret = prepare(node, &p);
        if (ret == 0 && !p.in_place) {
            p.cow_from = ROUND_DOWN(p.guest, s->cluster_size);
            p.cow_to = ROUND_UP(p.guest + p.bytes, s->cluster_size);
            p.prealloc = true;
            co_mutex_unlock(&s->lock);
            ret = finish(node, &p, prepare_storage(node, &p));
        } else {
            co_mutex_unlock(&s->lock);
        }
        if (ret < 0) {
            return ret;
        }
        offset += p.bytes;
    }
    return 0;
}

/* ---- what stands where ---- */

/* Whether the file has far fewer blocks than clusters in use: then data clusters may well be holes.
 */
static bool looks_preallocated(BlockNode *node)
{
    Qcow2State *s = node->state;
    int64_t allocated = node->file->node->driver->co_get_allocated
                            ? node->file->node->driver->co_get_allocated(node->file->node)
                            : -1;
    uint64_t real = allocated < 0 ? 0 : (uint64_t)allocated / s->cluster_size,
             clusters = qcow2_file_clusters(node);
    uint64_t threshold = MAX(real * 10 / 9, real + 2), used = 0;

    if (allocated < 0) {
        return false;
    }
    for (uint64_t i = 0; i < clusters && used < threshold; i++) {
        uint64_t refcount;
        if (qcow2_get_refcount(node, i, &refcount) < 0) {
            return false;
        }
        used += refcount != 0;
    }
    return used >= threshold;
}

static int status_flags(BlockNode *node, const Qcow2Mapping *m)
{
    Qcow2State *s = node->state;
    int ret = 0;

    switch (m->kind) {
    case QCOW2_NORMAL:
        ret =
            BDRV_BLOCK_DATA | BDRV_BLOCK_OFFSET_VALID | (s->preallocated ? BDRV_BLOCK_RECURSE : 0);
        return node->encrypted ? BDRV_BLOCK_DATA : ret;
    case QCOW2_COMPRESSED_DATA:
        return BDRV_BLOCK_DATA | BDRV_BLOCK_COMPRESSED;
    case QCOW2_ZERO_ALLOC:
        return BDRV_BLOCK_ZERO | (node->encrypted ? 0 : BDRV_BLOCK_OFFSET_VALID);
    case QCOW2_ZERO_PLAIN:
        return BDRV_BLOCK_ZERO;
    case QCOW2_UNALLOC_ALLOC:
        return node->encrypted ? 0 : BDRV_BLOCK_OFFSET_VALID;
    default:
        return 0;
    }
}

int qcow2_co_block_status(BlockNode *node, bool precise, uint64_t offset, uint64_t bytes,
                          uint64_t *pnum, uint64_t *map, BlockNode **file)
{
    Qcow2State *s = node->state;
    Qcow2Mapping m, more;

    co_mutex_lock(&s->lock);
    if (precise && !s->preallocated_known) {
        s->preallocated_known = true;
        s->preallocated = looks_preallocated(node);
    }
    int ret = qcow2_map(node, offset, bytes, &m);
    /* Slices end early; what goes on in the next is one answer all the same. */
    while (ret == 0 && m.bytes < bytes && ((offset + m.bytes) & s->cluster_mask) == 0) {
        if (qcow2_map(node, offset + m.bytes, bytes - m.bytes, &more) < 0 || more.kind != m.kind ||
            ((status_flags(node, &m) & BDRV_BLOCK_OFFSET_VALID) && more.host != m.host + m.bytes)) {
            break;
        }
        m.bytes += more.bytes;
    }
    co_mutex_unlock(&s->lock);
    if (ret < 0) {
        return ret;
    }
    *pnum = m.bytes;
    ret = status_flags(node, &m);
    if (ret & BDRV_BLOCK_OFFSET_VALID) {
        *map = m.host;
        *file = qcow2_data(node)->node;
    }
    return ret;
}

/* ---- the machine's state, behind the disk's end ---- */

uint64_t qcow2_vm_state_offset(const BlockNode *node)
{
    const Qcow2State *s = node->state;

    return ROUND_UP(node->size, 1ull << (s->cluster_bits + s->l2_bits));
}

/* Sectors of an encrypted image are read and written as a whole. */
static int sectors_of_state(BlockNode *node, uint64_t at, IoVector *v, bool write)
{
    uint64_t skip = at % CIPHER_SECTOR, bytes = ROUND_UP(skip + v->size, CIPHER_SECTOR);
    uint8_t *buf = block_try_alloc(node, bytes);
    IoVector whole;

    if (!buf) {
        return -ENOMEM;
    }
    iov_init_buf(&whole, buf, bytes);
    int ret = read_guest(node, at - skip, bytes, &whole, 0);
    if (ret == 0 && write) {
        iov_to_buf(v, 0, buf + skip, v->size);
        ret = write_guest(node, at - skip, bytes, &whole, 0, 0);
    } else if (ret == 0) {
        iov_from_buf(v, 0, buf + skip, v->size);
    }
    free(buf);
    return ret;
}

static int use_vmstate(BlockNode *node, uint64_t pos, IoVector *v, bool write)
{
    Qcow2State *s = node->state;
    uint64_t at = qcow2_vm_state_offset(node) + pos;
    Qcow2Op op;
    int ret;

    bdrv_debug_event(node->file, write ? BLKDBG_VMSTATE_SAVE : BLKDBG_VMSTATE_LOAD);
    begin(s, &op);
    if (node->encrypted && (at | v->size) % CIPHER_SECTOR) {
        ret = sectors_of_state(node, at, v, write);
    } else {
        ret = write ? write_guest(node, at, v->size, v, 0, 0) : read_guest(node, at, v->size, v, 0);
    }
    end(s, &op);
    return ret;
}

int qcow2_co_vmstate_status(BlockNode *node, uint64_t pos, uint64_t bytes, uint64_t *pnum,
                            uint64_t *map, BlockNode **file)
{
    if (pos > INT64_MAX - qcow2_vm_state_offset(node) - bytes) {
        return -EIO;
    }
    return qcow2_co_block_status(node, false, qcow2_vm_state_offset(node) + pos, bytes, pnum, map,
                                 file);
}

static bool state_fits(BlockNode *node, uint64_t pos, uint64_t bytes)
{
    const uint64_t most = INT64_MAX - CIPHER_SECTOR, from = qcow2_vm_state_offset(node);

    return from <= most && bytes <= most - from && pos <= most - from - bytes;
}

int qcow2_co_save_vmstate(BlockNode *node, uint64_t pos, IoVector *v)
{
    return state_fits(node, pos, v->size) ? use_vmstate(node, pos, v, true) : -EFBIG;
}

int qcow2_co_load_vmstate(BlockNode *node, uint64_t pos, IoVector *v)
{
    return state_fits(node, pos, v->size) ? use_vmstate(node, pos, v, false) : -EIO;
}
