/*
 * qcow2: compressed clusters.
 *
 * Each is a raw deflate stream or a zstd frame of any length; they stand one behind the other,
 * several in a cluster of the file. Compressing and decompressing runs on worker threads, as many
 * at once as there are requests. libdeflate does the deflating where the build has it; what it
 * writes every zlib reads.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "block/blkdebug.h"
#include "block/qcow2.h"
#include "config.h"
#include "util/worker.h"

#ifdef CONFIG_ZSTD
#include <zstd.h>
#endif
#ifdef CONFIG_LIBDEFLATE
#include <libdeflate.h>
#endif

/* libdeflate's level 4 comes out smaller than what other tools write, at a third of their time. */
enum { DEFLATE_LEVEL = 4, WINDOW_BITS = 15 };

typedef struct Work {
    WorkItem item; /* first */
    bool zstd;
    const uint8_t *in;
    size_t in_size;
    uint8_t *out;
    size_t out_size;
    int64_t ret; /* bytes of output, or a negative errno; compressing: -ENOSPC where it gets no
                    smaller */
    Coroutine *co;
} Work;

/* ---- on worker threads ---- */

/* A full cluster is enough: some writers' streams do not end, which libdeflate does not accept. */
static int64_t inflate_by_zlib(const Work *w)
{
    z_stream z = {.next_in = (uint8_t *)w->in,
                  .avail_in = w->in_size,
                  .next_out = w->out,
                  .avail_out = w->out_size};

    if (inflateInit2(&z, -WINDOW_BITS) != Z_OK) {
        return -ENOMEM;
    }
    int ret = inflate(&z, Z_FINISH);
    bool ok = (ret == Z_STREAM_END || ret == Z_BUF_ERROR || ret == Z_OK) && z.avail_out == 0;
    inflateEnd(&z);
    return ok ? (int64_t)w->out_size : -EIO;
}

#ifdef CONFIG_LIBDEFLATE
static int64_t deflate_cluster(const Work *w)
{
    static _Thread_local struct libdeflate_compressor *c;

    if (!c && !(c = libdeflate_alloc_compressor(DEFLATE_LEVEL))) {
        return -ENOMEM;
    }
    size_t n = libdeflate_deflate_compress(c, w->in, w->in_size, w->out, w->out_size);
    return n ? (int64_t)n : -ENOSPC;
}

static int64_t inflate_cluster(const Work *w)
{
    static _Thread_local struct libdeflate_decompressor *d;
    size_t used, made;

    if (!d && !(d = libdeflate_alloc_decompressor())) {
        return -ENOMEM;
    }
    enum libdeflate_result r =
        libdeflate_deflate_decompress_ex(d, w->in, w->in_size, w->out, w->out_size, &used, &made);
    return r == LIBDEFLATE_SUCCESS && made == w->out_size ? (int64_t)made : inflate_by_zlib(w);
}
#else
static int64_t deflate_cluster(const Work *w)
{
    z_stream z = {.next_in = (uint8_t *)w->in,
                  .avail_in = w->in_size,
                  .next_out = w->out,
                  .avail_out = w->out_size};

    if (deflateInit2(&z, DEFLATE_LEVEL, Z_DEFLATED, -WINDOW_BITS, 9, Z_DEFAULT_STRATEGY) != Z_OK) {
        return -ENOMEM;
    }
    int ret = deflate(&z, Z_FINISH);
    int64_t n = ret == Z_STREAM_END ? (int64_t)(w->out_size - z.avail_out) : -ENOSPC;
    deflateEnd(&z);
    return n;
}

static int64_t inflate_cluster(const Work *w)
{
    return inflate_by_zlib(w);
}
#endif

#ifdef CONFIG_ZSTD
static int64_t zstd_compress(const Work *w)
{
    static _Thread_local ZSTD_CCtx *c;

    if (!c && !(c = ZSTD_createCCtx())) {
        return -ENOMEM;
    }
    size_t n = ZSTD_compress2(c, w->out, w->out_size, w->in, w->in_size);
    return ZSTD_isError(n) ? -ENOSPC : (int64_t)n;
}

/* The frame may be followed by the rest of a sector, and its header need not tell its size: so as a
 * stream. */
static int64_t zstd_decompress(const Work *w)
{
    static _Thread_local ZSTD_DCtx *d;
    ZSTD_inBuffer in = {w->in, w->in_size, 0};
    ZSTD_outBuffer out = {w->out, w->out_size, 0};

    if (!d && !(d = ZSTD_createDCtx())) {
        return -ENOMEM;
    }
    ZSTD_DCtx_reset(d, ZSTD_reset_session_only);
    while (out.pos < out.size) {
        size_t in_before = in.pos, out_before = out.pos;
        size_t ret = ZSTD_decompressStream(d, &out, &in);
        if (ZSTD_isError(ret) || (in.pos == in_before && out.pos == out_before)) {
            return -EIO;
        }
    }
    return (int64_t)out.pos;
}
#else
static int64_t zstd_compress(const Work *w)
{
    return -ENOTSUP;
}

static int64_t zstd_decompress(const Work *w)
{
    return -ENOTSUP;
}
#endif

static void do_work(WorkItem *item)
{
    Work *w = (Work *)item;

    w->ret = w->zstd ? zstd_compress(w) : deflate_cluster(w);
}

static void work_done(WorkItem *item)
{
    coroutine_wake(((Work *)item)->co);
}

static int64_t run_work(Work *w)
{
    w->item.work = do_work;
    w->item.done = work_done;
    w->co = coroutine_self();
    worker_compute(&w->item);
    coroutine_yield();
    return w->ret;
}

/* ---- reading ---- */

/* Clusters that are read from the file in one piece and unpacked in one go. */
enum { MAX_RUN = 32, MAX_SPAN = 1 << 20 };

typedef struct Packed {
    uint64_t offset, bytes;    /* in the file */
    uint64_t skip, size, at;   /* what of the cluster is wanted, and where in the vector */
    uint8_t *out;              /* a whole cluster */
    bool direct;               /* out is the vector's own memory */
} Packed;

typedef struct Run {
    WorkItem item; /* first */
    Packed list[MAX_RUN];
    unsigned count;
    uint64_t first, last; /* what of the file they take */
    uint64_t packed;      /* the sum of their bytes */
    uint8_t *in;
    bool zstd;
    size_t cluster_size;
    IoVector *v;
    int ret;
    Coroutine *co;
} Run;

/* False where the cluster lies too far from the others. */
static bool run_add(Run *run, const Qcow2State *s, uint64_t entry, uint64_t skip, uint64_t size,
                    uint64_t at)
{
    Packed p = {.skip = skip, .size = size, .at = at};

    qcow2_compressed_place(s, entry, &p.offset, &p.bytes);
    uint64_t first = MIN(run->first, p.offset), last = MAX(run->last, p.offset + p.bytes);
    if (run->count &&
        (run->count == MAX_RUN || last - first > MIN(MAX_SPAN, 2 * (run->packed + p.bytes)))) {
        return false;
    }
    run->first = first;
    run->last = last;
    run->packed += p.bytes;
    run->list[run->count++] = p;
    return true;
}

/* Those that follow the first as far as they are compressed and lie near it; sets how many bytes of
 * the request that is. */
static void run_extend(BlockNode *node, Run *run, uint64_t guest, uint64_t *bytes)
{
    Qcow2State *s = node->state;
    uint64_t done = run->list[0].size;

    co_mutex_lock(&s->lock);
    while (done < *bytes) {
        Qcow2Mapping m;
        if (qcow2_map(node, guest + done, *bytes - done, &m) < 0 ||
            m.kind != QCOW2_COMPRESSED_DATA ||
            !run_add(run, s, m.host, 0, m.bytes, run->list[0].at + done)) {
            break;
        }
        done += m.bytes;
    }
    co_mutex_unlock(&s->lock);
    *bytes = done;
}

/* On a worker thread. */
static void unpack_run(WorkItem *item)
{
    Run *run = (Run *)item;

    run->ret = 0;
    for (unsigned i = 0; i < run->count && run->ret == 0; i++) {
        Packed *p = &run->list[i];
        Work w = {.in = run->in + (p->offset - run->first),
                  .in_size = p->bytes,
                  .out = p->out,
                  .out_size = run->cluster_size};
        int64_t n = run->zstd ? zstd_decompress(&w) : inflate_cluster(&w);
        run->ret = n < 0 ? (int)n : 0;
        if (n >= 0 && !p->direct) {
            iov_from_buf(run->v, p->at, p->out + p->skip, p->size);
        }
    }
}

static void run_done(WorkItem *item)
{
    coroutine_wake(((Run *)item)->co);
}

int qcow2_read_compressed(BlockNode *node, uint64_t entry, uint64_t guest, uint64_t *bytes,
                          IoVector *v, size_t at)
{
    Qcow2State *s = node->state;
    const uint64_t skip = guest & s->cluster_mask;
    Run run = {.item = {.work = unpack_run, .done = run_done},
               .first = UINT64_MAX,
               .zstd = s->zstd,
               .cluster_size = s->cluster_size,
               .v = v,
               .co = coroutine_self()};
    uint8_t *bounce = NULL;
    unsigned bounced = 0;

    run_add(&run, s, entry, skip, MIN(*bytes, s->cluster_size - skip), at);
    run_extend(node, &run, guest, bytes);
    for (unsigned i = 0; i < run.count; i++) {
        Packed *p = &run.list[i];
        p->out = p->size == s->cluster_size ? iov_contiguous(v, p->at, p->size) : NULL;
        p->direct = p->out != NULL;
        bounced += !p->direct;
    }
    run.in = block_try_alloc(node, run.last - run.first);
    bounce = bounced ? block_try_alloc(NULL, bounced * s->cluster_size) : NULL;
    bdrv_debug_event(node->file, BLKDBG_READ_COMPRESSED);
    int ret = !run.in || (bounced && !bounce)
                  ? -ENOMEM
                  : bdrv_co_pread(node->file, run.first, run.last - run.first, run.in, 0);
    if (ret == 0) {
        for (unsigned i = 0, n = 0; i < run.count; i++) {
            if (!run.list[i].direct) {
                run.list[i].out = bounce + n++ * s->cluster_size;
            }
        }
        worker_compute(&run.item);
        coroutine_yield();
        ret = run.ret;
    }
    free(bounce);
    free(run.in);
    return ret;
}

/* ---- writing ---- */

/* Room for packed bytes: behind the last compressed data, or in clusters of its own. */
static int place_compressed(BlockNode *node, uint64_t packed, uint64_t *offset)
{
    Qcow2State *s = node->state;
    uint64_t left = s->compressed_end
                        ? ROUND_UP(s->compressed_end, s->cluster_size) - s->compressed_end
                        : 0,
             got;
    int ret;

    if (left) {
        uint64_t refcount, cluster = (s->compressed_end - 1) >> s->cluster_bits;
        ret = qcow2_get_refcount(node, cluster, &refcount);
        if (ret < 0) {
            return ret;
        }
        if (refcount == 0 || refcount >= s->max_refcount) {
            left = 0;
        }
    }
    uint64_t more = packed > left ? DIV_ROUND_UP(packed - left, s->cluster_size) : 0;
    if (left && more) {
        ret = qcow2_alloc_at(node, ROUND_UP(s->compressed_end, s->cluster_size), more, &got);
        if (ret < 0) {
            return ret;
        }
        if (got < more) {
            if (got) {
                qcow2_unref_now(node, ROUND_UP(s->compressed_end, s->cluster_size),
                                got << s->cluster_bits);
            }
            left = 0;
        }
    }
    if (left) {
        *offset = s->compressed_end;
        ret = qcow2_ref(node, *offset,
                        1); /* one more in the shared cluster; the new ones have theirs */
    } else {
        ret = qcow2_alloc(node, DIV_ROUND_UP(packed, s->cluster_size), true, offset, NULL);
    }
    if (ret == 0) {
        s->compressed_end = *offset + packed;
        if (!(s->compressed_end & s->cluster_mask)) {
            s->compressed_end = 0; /* full */
        }
    }
    return ret;
}

static int link_compressed(BlockNode *node, uint64_t guest, uint64_t offset, uint64_t packed)
{
    Qcow2State *s = node->state;
    unsigned x = 62 - (s->cluster_bits - 8);
    uint64_t sectors = ((offset + packed - 1) >> 9) - (offset >> 9);
    Qcow2CacheEntry *slice;
    unsigned index;
    int ret;

    qcow2_wait_allocs(node, guest, s->cluster_size);
    ret = qcow2_get_slice(node, guest, true, &slice, &index);
    if (ret < 0) {
        return ret;
    }
    uint64_t old = qcow2_l2_entry(s, slice, index, NULL);
    qcow2_set_l2_entry(s, slice, index, offset | QCOW2_COMPRESSED | sectors << x, 0);
    qcow2_free_l2_entry(node, old, false);
    qcow2_cache_put(slice);
    return 0;
}

/* The place may become anything now: nothing is appended there. */
static void give_up_place(BlockNode *node, uint64_t offset, uint64_t packed)
{
    Qcow2State *s = node->state;

    qcow2_unref_now(node, offset, packed);
    s->compressed_end = 0;
}

static int store_compressed(BlockNode *node, uint64_t guest, const uint8_t *data, uint64_t packed)
{
    Qcow2State *s = node->state;
    uint64_t offset;
    Qcow2Op op;

    co_rwlock_rdlock(&s->ops);
    qcow2_op_begin(s, &op);
    co_mutex_lock(&s->lock);
    int ret = qcow2_bitmaps_start(node);
    qcow2_bitmaps_mark(node, guest, s->cluster_size);
    ret = ret < 0 ? ret : place_compressed(node, packed, &offset);
    if (ret == 0 && offset >> (62 - (s->cluster_bits - 8))) {
        give_up_place(node, offset, packed);
        ret = -EFBIG; /* beyond what such an entry can name */
    }
    co_mutex_unlock(&s->lock);
    if (ret == 0) {
        bdrv_debug_event(node->file, BLKDBG_WRITE_COMPRESSED);
        ret = bdrv_co_pwrite(node->file, offset, packed, data, 0);
        co_mutex_lock(&s->lock);
        ret = ret < 0 ? ret : link_compressed(node, guest, offset, packed);
        if (ret < 0) {
            give_up_place(node, offset, packed);
        }
        co_mutex_unlock(&s->lock);
    }
    qcow2_op_end(s, &op);
    co_rwlock_unlock(&s->ops);
    return ret;
}

static int write_cluster(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at)
{
    Qcow2State *s = node->state;
    uint8_t *in = block_try_alloc(NULL, s->cluster_size),
            *out = block_try_alloc(node, s->cluster_size);
    int64_t ret = in && out ? 0 : -ENOMEM;

    if (ret == 0) {
        iov_to_buf(v, at, in, bytes);
        memset(in + bytes, 0, s->cluster_size - bytes); /* the disk's last cluster */
        Work w = {.zstd = s->zstd,
                  .in = in,
                  .in_size = s->cluster_size,
                  .out = out,
                  .out_size = s->cluster_size - 1};
        ret = run_work(&w);
    }
    if (ret > 0) {
        ret = store_compressed(node, offset, out, (uint64_t)ret);
    } else if (ret == -ENOSPC) {
        ret = qcow2_co_pwritev(node, offset, bytes, v, at, 0); /* gets no smaller: as it is */
    }
    free(in);
    free(out);
    return (int)ret;
}

int qcow2_co_pwritev_compressed(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v,
                                size_t at)
{
    Qcow2State *s = node->state;

    if (s->data_file || node->encrypted) {
        return -ENOTSUP;
    }
    if (offset & s->cluster_mask || (bytes & s->cluster_mask && offset + bytes != node->size)) {
        return -EINVAL;
    }
    while (bytes) {
        uint64_t n = MIN(bytes, s->cluster_size);
        int ret = write_cluster(node, offset, n, v, at);
        if (ret < 0) {
            return ret;
        }
        offset += n;
        at += n;
        bytes -= n;
    }
    return 0;
}
