/*
 * Compression of clusters for sparse images, on worker threads.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <zlib.h>

#include "block/sparse.h"
#include "config.h"
#include "util/worker.h"

#ifdef CONFIG_LIBDEFLATE
#include <libdeflate.h>
#endif

enum { LEVEL = 6, MEMORY_LEVEL = 9, FULL_WINDOW = 15 };

typedef struct Work {
    WorkItem item; /* first */
    PackFormat format;
    int window; /* compressing; 0: decompress */
    const uint8_t *in;
    size_t in_size;
    uint8_t *out;
    size_t out_size;
    int64_t ret;
    Coroutine *co;
} Work;

/* Streams whose matches must not reach further back than a small window are zlib's to make. */
static int64_t compress_by_zlib(const Work *w)
{
    z_stream z = {.next_in = (uint8_t *)w->in,
                  .avail_in = (uInt)w->in_size,
                  .next_out = w->out,
                  .avail_out = (uInt)w->out_size};

    if (deflateInit2(&z, LEVEL, Z_DEFLATED, w->format == PACK_ZLIB ? w->window : -w->window,
                     MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) {
        return -ENOMEM;
    }
    int64_t n =
        deflate(&z, Z_FINISH) == Z_STREAM_END ? (int64_t)(w->out_size - z.avail_out) : -ENOSPC;
    deflateEnd(&z);
    return n;
}

#ifdef CONFIG_LIBDEFLATE
static int64_t compress_some(const Work *w)
{
    static _Thread_local struct libdeflate_compressor *c;

    if (w->window < FULL_WINDOW && w->in_size > 1u << w->window) {
        return compress_by_zlib(w);
    }
    if (!c && !(c = libdeflate_alloc_compressor(LEVEL))) {
        return -ENOMEM;
    }
    size_t n = w->format == PACK_ZLIB
                   ? libdeflate_zlib_compress(c, w->in, w->in_size, w->out, w->out_size)
                   : libdeflate_deflate_compress(c, w->in, w->in_size, w->out, w->out_size);
    return n ? (int64_t)n : -ENOSPC;
}
#else
static int64_t compress_some(const Work *w)
{
    return compress_by_zlib(w);
}
#endif

/* By zlib, as that gives what there is of a stream that is cut off behind the last byte. */
static int64_t decompress_some(const Work *w)
{
    z_stream z = {.next_in = (uint8_t *)w->in,
                  .avail_in = (uInt)w->in_size,
                  .next_out = w->out,
                  .avail_out = (uInt)w->out_size};

    if (inflateInit2(&z, w->format == PACK_ZLIB ? FULL_WINDOW : -FULL_WINDOW) != Z_OK) {
        return -ENOMEM;
    }
    int ret = inflate(&z, Z_FINISH);
    int64_t n = ret == Z_STREAM_END || ret == Z_BUF_ERROR || ret == Z_OK
                    ? (int64_t)(w->out_size - z.avail_out)
                    : -EIO;
    inflateEnd(&z);
    return n;
}

static void do_work(WorkItem *item)
{
    Work *w = (Work *)item;

    w->ret = w->window ? compress_some(w) : decompress_some(w);
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

int64_t pack_compress(PackFormat format, int window, const uint8_t *in, size_t in_size,
                      uint8_t *out, size_t out_size)
{
    Work w = {.format = format,
              .window = window,
              .in = in,
              .in_size = in_size,
              .out = out,
              .out_size = out_size};

    return run_work(&w);
}

int64_t pack_decompress(PackFormat format, const uint8_t *in, size_t in_size, uint8_t *out,
                        size_t out_size)
{
    Work w = {.format = format, .in = in, .in_size = in_size, .out = out, .out_size = out_size};

    return run_work(&w);
}
