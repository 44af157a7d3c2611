/*
 * Sparse images: requests (block/sparse.h has the whole).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/sparse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "block/sparse-cache.h"
#include "block/util.h"

/* What is allocated at once; one write takes data with what surrounds it up to this size. */
enum { MAX_ALLOC = 2 << 20, MAX_FILL = 1 << 20, SECTOR = 512, MAX_STEPS = 1 << 20 };

/* Clusters that are being filled: nobody else touches them, nothing points to them yet. */
struct SparseAlloc {
    uint64_t first, count;
    CoQueue waiters;
    SparseAlloc *next;
};

void sparse_init(SparseMap *m, uint64_t end)
{
    const BlockNode *file = m->file->node;

    m->align = MAX(m->align, 1);
    m->packed_align = MAX(m->packed_align, 1);
    m->end = ROUND_UP(MAX(end ? end : file->size, m->data_start), m->align);
    m->zero_from = file->growable && file->zero_init ? file->size : UINT64_MAX;
    m->cache = sparse_cache_new();
}

void sparse_free(SparseMap *m)
{
    sparse_cache_free(m->cache);
    m->cache = NULL;
}

uint64_t sparse_pack_max(const SparseMap *m)
{
    return m->cluster + m->cluster / 100 + 4096; /* deflate of what cannot be packed, and a head */
}

/* ---- finding ---- */

static void decode(const SparseMap *m, const uint8_t *entry, uint64_t cluster, SparseEntry *e)
{
    *e = (SparseEntry){SPARSE_HOLE, 0, 0};
    m->ops->get(m, entry, cluster, e);
    if ((e->kind == SPARSE_DATA || e->kind == SPARSE_PACKED) &&
        (e->host < m->data_start || e->host > INT64_MAX - MAX(m->cluster, e->packed) ||
         (e->kind == SPARSE_PACKED && e->packed > sparse_pack_max(m)))) {
        e->kind = SPARSE_BAD;
    }
}

/* The slice in which a table's entry stands, and where in it. */
static int find_slice(SparseMap *m, const SparseTable *t, bool wait, SparseSlice **slice,
                      uint32_t *at)
{
    const uint32_t per_slice = SPARSE_SLICE / m->ops->entry_size;
    uint64_t first = t->index / per_slice * per_slice;
    uint64_t n = MIN(per_slice, t->entries - first);
    uint64_t offset = t->offset + first * m->ops->entry_size;

    *at = (uint32_t)(t->index - first) * m->ops->entry_size;
    *slice = sparse_slice_peek(m, offset);
    if (*slice) {
        return *at < (*slice)->bytes ? 0 : -EIO;
    }
    return wait ? sparse_slice_get(m, offset, (uint32_t)n * m->ops->entry_size, slice) : -EAGAIN;
}

/* wait: under the lock. Else -EAGAIN where the table has to be read. *span: for how many clusters
 * it is known to be so. */
static int get_span(SparseMap *m, uint64_t cluster, bool wait, SparseEntry *e, uint64_t *span)
{
    SparseTable t;
    SparseSlice *slice;
    uint32_t at;
    int ret = m->ops->co_table(m, cluster, false, &t);

    *e = (SparseEntry){SPARSE_HOLE, 0, 0};
    *span = 1;
    if (ret < 0 || !t.offset) {
        *span = ret < 0 ? 1 : MAX(t.entries - t.index, 1);
        return ret;
    }
    ret = find_slice(m, &t, wait, &slice, &at);
    if (ret == 0) {
        decode(m, slice->data + at, cluster, e);
    }
    return ret;
}

static int get_entry(SparseMap *m, uint64_t cluster, bool wait, SparseEntry *e)
{
    uint64_t span;

    return get_span(m, cluster, wait, e, &span);
}

static int put_entry(SparseMap *m, uint64_t cluster, const SparseEntry *e)
{
    SparseTable t;
    SparseSlice *slice;
    uint32_t at;
    int ret = m->ops->co_table(m, cluster, true, &t);

    ret = ret < 0 ? ret : find_slice(m, &t, true, &slice, &at);
    if (ret == 0) {
        m->ops->put(m, slice->data + at, e);
        sparse_slice_dirty(m, slice);
    }
    return ret;
}

static int told_corrupt(SparseMap *m, uint64_t cluster)
{
    if (!m->corrupt_told && !(m->node->flags & BDRV_O_CHECK)) {
        m->corrupt_told = true;
        error_report("image %s is corrupt: the table's entry %" PRIu64 " leads to no cluster",
                     m->node->filename, cluster);
    }
    return -EIO;
}

static bool continues(const SparseMap *m, const SparseEntry *first, const SparseEntry *next,
                      uint64_t distance)
{
    return first->kind == next->kind && first->kind != SPARSE_PACKED &&
           (first->kind != SPARSE_DATA || next->host == first->host + distance);
}

/* Of one kind, in one piece. e->host is that of the first cluster's start. */
static int find_run(SparseMap *m, uint64_t offset, uint64_t bytes, bool wait, SparseEntry *e,
                    uint64_t *n)
{
    uint64_t cluster = (offset - m->start) / m->cluster, skip = (offset - m->start) % m->cluster;
    uint64_t span;
    SparseEntry next;
    int ret = get_span(m, cluster, wait, e, &span);

    if (ret < 0) {
        return ret;
    }
    if (e->kind == SPARSE_BAD) {
        return told_corrupt(m, cluster);
    }
    uint64_t have = span * m->cluster;
    for (unsigned steps = 0; have - skip < bytes && steps < MAX_STEPS; steps++) {
        cluster += span;
        if (get_span(m, cluster, false, &next, &span) < 0 || !continues(m, e, &next, have)) {
            break;
        }
        have += span * m->cluster;
    }
    *n = MIN(have - skip, bytes);
    return 0;
}

int sparse_lookup(SparseMap *m, uint64_t offset, uint64_t bytes, SparseEntry *e, uint64_t *n)
{
    int ret = find_run(m, offset, bytes, false, e, n);

    if (ret == -EAGAIN) {
        co_mutex_lock(&m->lock);
        ret = find_run(m, offset, bytes, true, e, n);
        co_mutex_unlock(&m->lock);
    }
    return ret;
}

int sparse_entry(SparseMap *m, uint64_t cluster, SparseEntry *e)
{
    co_mutex_lock(&m->lock);
    int ret = get_entry(m, cluster, true, e);
    co_mutex_unlock(&m->lock);
    return ret;
}

int sparse_set_entry(SparseMap *m, uint64_t cluster, const SparseEntry *e)
{
    co_mutex_lock(&m->lock);
    int ret = put_entry(m, cluster, e);
    co_mutex_unlock(&m->lock);
    return ret;
}

/* ---- reading ---- */

static int read_packed(SparseMap *m, const SparseEntry *e, uint64_t offset, uint64_t bytes,
                       IoVector *v, size_t at)
{
    uint64_t skip = (offset - m->start) % m->cluster;
    uint8_t *direct = bytes == m->cluster ? iov_contiguous(v, at, bytes) : NULL;
    uint8_t *buf = direct ? direct : block_try_alloc(m->node, m->cluster);

    if (!buf) {
        return -ENOMEM;
    }
    int ret = m->ops->co_unpack(m, e, (offset - m->start) / m->cluster, buf);
    if (ret == 0 && !direct) {
        iov_from_buf(v, at, buf + skip, bytes);
    }
    if (!direct) {
        free(buf);
    }
    return ret;
}

/* n bytes of one run. */
static int read_run(SparseMap *m, const SparseEntry *e, uint64_t offset, uint64_t n, IoVector *v,
                    size_t at)
{
    switch (e->kind) {
    case SPARSE_DATA:
        return bdrv_co_preadv(m->file, e->host + (offset - m->start) % m->cluster, n, v, at, 0);
    case SPARSE_PACKED:
        return read_packed(m, e, offset, n, v, at);
    case SPARSE_HOLE:
        if (m->backing && m->node->backing) {
            return bdrv_co_preadv(m->node->backing, offset, n, v, at, 0);
        }
        break;
    default:
        break;
    }
    iov_fill(v, at, 0, n);
    return 0;
}

int sparse_preadv(SparseMap *m, uint64_t offset, uint64_t bytes, IoVector *v, size_t at)
{
    SparseEntry e;
    uint64_t n = 0;
    int ret = 0;

    while (bytes && ret == 0) {
        ret = sparse_lookup(m, offset, bytes, &e, &n);
        ret = ret < 0 ? ret : read_run(m, &e, offset, n, v, at);
        offset += n;
        at += n;
        bytes -= n;
    }
    return ret;
}

/* ---- allocating ---- */

static SparseAlloc *find_alloc(const SparseMap *m, uint64_t first, uint64_t count)
{
    SparseAlloc *a = m->allocs;

    while (a && (first >= a->first + a->count || a->first >= first + count)) {
        a = a->next;
    }
    return a;
}

/* Until nobody fills the cluster; gives up the lock meanwhile. */
static void wait_for_alloc(SparseMap *m, uint64_t cluster)
{
    SparseAlloc *a;

    while ((a = find_alloc(m, cluster, 1))) {
        co_mutex_unlock(&m->lock);
        co_queue_wait(&a->waiters);
        co_mutex_lock(&m->lock);
    }
}

static void alloc_begin(SparseMap *m, SparseAlloc *a, uint64_t first, uint64_t count)
{
    *a = (SparseAlloc){.first = first, .count = count, .next = m->allocs};
    m->allocs = a;
}

static void alloc_end(SparseMap *m, SparseAlloc *a)
{
    for (SparseAlloc **p = &m->allocs; *p; p = &(*p)->next) {
        if (*p == a) {
            *p = a->next;
            break;
        }
    }
    co_queue_all(&a->waiters);
}

static int place_clusters(SparseMap *m, uint64_t *count, uint64_t *host)
{
    if (m->ops->co_alloc) {
        return m->ops->co_alloc(m, count, host);
    }
    *host = ROUND_UP(m->end, m->align);
    if (*host > INT64_MAX / 2) {
        return -EFBIG;
    }
    m->end = *host + *count * m->cluster;
    return 0;
}

int sparse_new_table(SparseMap *m, uint64_t bytes, uint64_t *offset)
{
    *offset = ROUND_UP(m->end, m->align);
    if (*offset > INT64_MAX / 2) {
        return -EFBIG;
    }
    uint8_t *zeroes = block_try_alloc(m->node, bytes);
    if (!zeroes) {
        return -ENOMEM;
    }
    m->end = *offset + bytes;
    memset(zeroes, 0, bytes);
    int ret = bdrv_co_pwrite(m->file, *offset, bytes, zeroes, 0);
    free(zeroes);
    return ret;
}

/* Old contents around new data: of a hole, or of a packed cluster. */
typedef struct Fill {
    SparseEntry old;
    const uint8_t *unpacked; /* of the whole cluster, for SPARSE_PACKED */
    bool zero;
} Fill;

static int read_old(SparseMap *m, const Fill *f, uint64_t offset, uint64_t n, uint8_t *buf)
{
    IoVector v;

    if (f->unpacked) {
        memcpy(buf, f->unpacked + (offset - m->start) % m->cluster, n);
        return 0;
    }
    iov_init_buf(&v, buf, n);
    return read_run(m, &f->old, offset, n, &v, 0);
}

/* A part of new clusters that is not in the request. fresh: it reads as zeroes already. */
static int fill_part(SparseMap *m, const Fill *f, uint64_t offset, uint64_t n, uint64_t host,
                     bool fresh)
{
    if (!n || (f->zero && fresh)) {
        return 0;
    }
    if (f->zero) {
        return bdrv_co_pwrite_zeroes(m->file, host, n, BDRV_REQ_MAY_UNMAP);
    }
    uint8_t *buf = block_try_alloc(m->node, MIN(n, MAX_FILL));
    int ret = buf ? 0 : -ENOMEM;
    while (n && ret == 0) {
        uint64_t now = MIN(n, MAX_FILL);
        ret = read_old(m, f, offset, now, buf);
        ret = ret < 0 ? ret : bdrv_co_pwrite(m->file, host, now, buf, 0);
        offset += now;
        host += now;
        n -= now;
    }
    free(buf);
    return ret;
}

/* Head, data and tail as one write. */
static int write_merged(SparseMap *m, const Fill *f, uint64_t offset, uint64_t host, uint64_t head,
                        uint64_t bytes, uint64_t tail, IoVector *v, size_t at)
{
    int count = iov_slice_count(v, at, bytes);
    struct iovec *iov = malloc((count + 2) * sizeof(*iov));
    uint8_t *pads = block_try_alloc(m->node, MAX(head + tail, 1));
    int ret = iov && pads ? 0 : -ENOMEM, n = 0;
    IoVector all;

    if (ret == 0 && head) {
        ret = read_old(m, f, offset - head, head, pads);
        iov[n++] = (struct iovec){pads, head};
    }
    if (ret == 0) {
        n += iov_slice(v, at, bytes, iov + n);
    }
    if (ret == 0 && tail) {
        ret = read_old(m, f, offset + bytes, tail, pads + head);
        iov[n++] = (struct iovec){pads + head, tail};
    }
    if (ret == 0) {
        iov_init(&all, iov, n);
        ret = bdrv_co_pwritev(m->file, host, all.size, &all, 0, 0);
    }
    free(pads);
    free(iov);
    return ret;
}

/* The clusters from host on get all of their contents. offset: of the data. */
static int write_clusters(SparseMap *m, const Fill *f, uint64_t offset, uint64_t bytes,
                          uint64_t host, uint64_t span, bool fresh, IoVector *v, size_t at)
{
    uint64_t head = (offset - m->start) % m->cluster, tail = span - head - bytes;

    if (head + tail && span <= MAX_FILL && !(f->zero && fresh)) {
        return write_merged(m, f, offset, host, head, bytes, tail, v, at);
    }
    int ret = fill_part(m, f, offset - head, head, host, fresh);
    ret = ret < 0 ? ret : bdrv_co_pwritev(m->file, host + head, bytes, v, at, 0);
    ret = ret < 0 ? ret : fill_part(m, f, offset + bytes, tail, host + head + bytes, fresh);
    if (ret == 0 && tail && f->zero && fresh && m->file->node->size < host + span) {
        /* The file shall be as long as its clusters say. */
        static const uint8_t zeroes[SECTOR];
        uint64_t n = MIN(tail, SECTOR);
        ret = bdrv_co_pwrite(m->file, host + span - n, n, zeroes, 0);
    }
    return ret;
}

static int link_clusters(SparseMap *m, uint64_t first, uint64_t count, uint64_t host)
{
    int ret = 0;

    for (uint64_t i = 0; i < count && ret == 0; i++) {
        const SparseEntry e = {SPARSE_DATA, host + i * m->cluster, 0};
        ret = put_entry(m, first + i, &e);
    }
    return ret;
}

static int prepare_fill(SparseMap *m, Fill *f, uint64_t cluster, bool partial, uint8_t **buf)
{
    f->zero = f->old.kind == SPARSE_ZERO ||
              (f->old.kind == SPARSE_HOLE && !(m->backing && m->node->backing));
    *buf = NULL;
    if (f->old.kind != SPARSE_PACKED || !partial) {
        return 0;
    }
    *buf = block_try_alloc(m->node, m->cluster);
    f->unpacked = *buf;
    return *buf ? m->ops->co_unpack(m, &f->old, cluster, *buf) : -ENOMEM;
}

/* Under the lock: the part of a run of holes that this request takes, and a place for it. */
static int begin_write(SparseMap *m, uint64_t offset, uint64_t *n, SparseAlloc *a, uint64_t *host,
                       bool *fresh)
{
    uint64_t first = (offset - m->start) / m->cluster, skip = (offset - m->start) % m->cluster;
    uint64_t max = MAX(MAX_ALLOC / m->cluster, 1);
    uint64_t count = MIN(DIV_ROUND_UP(skip + *n, m->cluster), max);
    SparseTable t;
    int ret = 0;

    while (count > 1 && find_alloc(m, first, count)) {
        count--;
    }
    for (uint64_t i = 0; i < count && ret == 0; i++) {
        ret = m->ops->co_table(m, first + i, true, &t);
    }
    ret = ret < 0 ? ret : place_clusters(m, &count, host);
    if (ret == 0) {
        *n = MIN(*n, count * m->cluster - skip);
        *fresh = *host >= m->zero_from;
        alloc_begin(m, a, first, count);
    }
    return ret;
}

/* Writes the beginning of the request into new clusters: *done says how much. 0 of it: something
 * has changed, look again. */
static int write_new(SparseMap *m, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                     uint64_t *done)
{
    uint64_t first = (offset - m->start) / m->cluster, n, host;
    SparseAlloc a;
    Fill f = {0};
    uint8_t *buf;
    bool fresh = false;

    *done = 0;
    co_mutex_lock(&m->lock);
    wait_for_alloc(m, first);
    int ret = find_run(m, offset, bytes, true, &f.old, &n);
    if (ret < 0 || f.old.kind == SPARSE_DATA) {
        co_mutex_unlock(&m->lock);
        return ret;
    }
    ret = begin_write(m, offset, &n, &a, &host, &fresh);
    co_mutex_unlock(&m->lock);
    if (ret < 0) {
        return ret;
    }
    uint64_t span = a.count * m->cluster;
    ret = prepare_fill(m, &f, first, n < span, &buf);
    ret = ret < 0 ? ret : write_clusters(m, &f, offset, n, host, span, fresh, v, at);
    free(buf);
    co_mutex_lock(&m->lock);
    if (ret < 0 && m->ops->release) {
        m->ops->release(m, host, a.count);
    }
    ret = ret < 0 ? ret : link_clusters(m, first, a.count, host);
    if (ret < 0 && fresh) {
        m->zero_from = MAX(m->zero_from, host + span); /* there is something now */
    }
    alloc_end(m, &a);
    co_mutex_unlock(&m->lock);
    *done = n;
    return ret;
}

/* ---- writing ---- */

/* v NULL: zeroes. */
static int write_in_place(SparseMap *m, const SparseEntry *e, uint64_t offset, uint64_t n,
                          IoVector *v, size_t at, unsigned flags)
{
    uint64_t host = e->host + (offset - m->start) % m->cluster;

    if (e->host >= m->file->node->size) {
        return told_corrupt(m, (offset - m->start) / m->cluster);
    }
    int ret = m->ops->co_before_write ? m->ops->co_before_write(m, e->host, n) : 0;
    if (ret < 0) {
        return ret;
    }
    return v ? bdrv_co_pwritev(m->file, host, n, v, at, 0)
             : bdrv_co_pwrite_zeroes(m->file, host, n, flags);
}

int sparse_pwritev(SparseMap *m, uint64_t offset, uint64_t bytes, IoVector *v, size_t at)
{
    SparseEntry e;
    uint64_t n = 0;
    int ret = 0;

    if (m->always_packed) {
        return sparse_pwritev_packed(m, offset, bytes, v, at);
    }
    while (bytes && ret == 0) {
        ret = sparse_lookup(m, offset, bytes, &e, &n);
        if (ret == 0) {
            ret = e.kind == SPARSE_DATA ? write_in_place(m, &e, offset, n, v, at, 0)
                                        : write_new(m, offset, bytes, v, at, &n);
        }
        offset += n;
        at += n;
        bytes -= n;
    }
    return ret;
}

/* What is no multiple of a cluster is completed with what was there. */
static int whole_cluster(SparseMap *m, const SparseEntry *old, uint64_t offset, uint64_t n,
                         IoVector *v, size_t at, uint8_t *buf)
{
    uint64_t skip = (offset - m->start) % m->cluster;
    IoVector all;
    int ret = 0;

    if (n < m->cluster) {
        iov_init_buf(&all, buf, m->cluster);
        ret = read_run(m, old, offset - skip, m->cluster, &all, 0);
    }
    if (ret == 0) {
        iov_to_buf(v, at, buf + skip, n);
    }
    return ret;
}

static int store_packed(SparseMap *m, uint64_t cluster, const uint8_t *packed, uint64_t bytes)
{
    SparseEntry e = {SPARSE_PACKED, 0, bytes};

    co_mutex_lock(&m->lock);
    e.host = ROUND_UP(m->end, m->packed_align);
    int ret = e.host > INT64_MAX / 2 ? -EFBIG : 0;
    if (ret == 0) {
        m->end = e.host + bytes;
    }
    co_mutex_unlock(&m->lock);
    ret = ret < 0 ? ret : bdrv_co_pwrite(m->file, e.host, bytes, packed, 0);
    return ret < 0 ? ret : sparse_set_entry(m, cluster, &e);
}

/* One cluster, or a part of one. 1: it is to be stored as it is. */
static int write_packed(SparseMap *m, uint64_t offset, uint64_t n, IoVector *v, size_t at)
{
    uint64_t cluster = (offset - m->start) / m->cluster;
    uint8_t *buf = block_try_alloc(m->node, m->cluster);
    uint8_t *packed = block_try_alloc(m->node, sparse_pack_max(m));
    SparseEntry old;
    SparseTable t;
    SparseAlloc a;

    co_mutex_lock(&m->lock);
    wait_for_alloc(m, cluster);
    int64_t ret = buf && packed ? get_entry(m, cluster, true, &old) : -ENOMEM;
    ret = ret == 0 && old.kind == SPARSE_BAD ? told_corrupt(m, cluster) : ret;
    ret = ret < 0 ? ret : m->ops->co_table(m, cluster, true, &t);
    if (ret == 0) {
        alloc_begin(m, &a, cluster, 1);
    }
    co_mutex_unlock(&m->lock);
    if (ret == 0) {
        ret = whole_cluster(m, &old, offset, n, v, at, buf);
        ret = ret < 0 ? ret : m->ops->co_pack(m, cluster, buf, packed);
        ret = ret < 0 ? ret : store_packed(m, cluster, packed, (uint64_t)ret);
        alloc_end(m, &a);
    }
    free(buf);
    free(packed);
    return ret == -ENOSPC ? 1 : (int)ret;
}

int sparse_pwritev_packed(SparseMap *m, uint64_t offset, uint64_t bytes, IoVector *v, size_t at)
{
    int ret = 0;

    while (bytes && ret == 0) {
        uint64_t n = MIN(bytes, m->cluster - (offset - m->start) % m->cluster);
        ret = write_packed(m, offset, n, v, at);
        if (ret == 1) {
            ret = m->always_packed ? -EIO : sparse_pwritev(m, offset, n, v, at);
        }
        offset += n;
        at += n;
        bytes -= n;
    }
    return ret;
}

int sparse_pwrite_zeroes(SparseMap *m, uint64_t offset, uint64_t bytes, unsigned flags)
{
    SparseEntry e;
    uint64_t n = 0;
    int ret = 0;

    while (bytes && ret == 0) {
        ret = sparse_lookup(m, offset, bytes, &e, &n);
        if (ret == 0 && e.kind == SPARSE_DATA) {
            ret = write_in_place(m, &e, offset, n, NULL, 0, flags & BDRV_REQ_MAY_UNMAP);
        } else if (ret == 0 && (e.kind == SPARSE_PACKED ||
                                (e.kind == SPARSE_HOLE && m->backing && m->node->backing))) {
            ret = -ENOTSUP;
        }
        offset += n;
        bytes -= n;
    }
    return ret;
}

int sparse_flush(SparseMap *m)
{
    co_mutex_lock(&m->lock);
    int ret = sparse_settle(m);
    co_mutex_unlock(&m->lock);
    return ret;
}

int sparse_block_status(SparseMap *m, uint64_t offset, uint64_t bytes, uint64_t *pnum,
                        uint64_t *map, BlockNode **file)
{
    SparseEntry e;
    int ret = sparse_lookup(m, offset, bytes, &e, pnum);

    if (ret < 0) {
        return ret;
    }
    switch (e.kind) {
    case SPARSE_DATA:
        *map = e.host + (offset - m->start) % m->cluster;
        *file = m->file->node;
        return BDRV_BLOCK_DATA | BDRV_BLOCK_OFFSET_VALID | (m->recurse ? BDRV_BLOCK_RECURSE : 0);
    case SPARSE_PACKED:
        return BDRV_BLOCK_DATA | BDRV_BLOCK_COMPRESSED;
    case SPARSE_ZERO:
        return BDRV_BLOCK_ZERO;
    default:
        return m->hole_status;
    }
}

/* ---- drivers with one map ---- */

int sparse_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                     unsigned flags)
{
    return sparse_preadv(node->state, offset, bytes, v, at);
}

int sparse_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                      unsigned flags)
{
    return sparse_pwritev(node->state, offset, bytes, v, at);
}

int sparse_co_pwrite_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    return sparse_pwrite_zeroes(node->state, offset, bytes, flags);
}

int sparse_co_flush(BlockNode *node)
{
    return node->readonly ? 0 : sparse_flush(node->state);
}

int sparse_co_block_status(BlockNode *node, bool precise, uint64_t offset, uint64_t bytes,
                           uint64_t *pnum, uint64_t *map, BlockNode **file)
{
    return sparse_block_status(node->state, offset, bytes, pnum, map, file);
}

void sparse_co_close(BlockNode *node)
{
    sparse_free(node->state);
}

int sparse_co_get_info(BlockNode *node, BlockInfo *info)
{
    const SparseMap *m = node->state;

    info->cluster_size = (uint32_t)m->cluster;
    return 0;
}
