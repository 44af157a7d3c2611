/*
 * vole-img bench: how fast an image takes requests.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "block/img.h"
#include "block/util.h"
#include "util/options.h"

typedef struct Bench {
    uint64_t count, depth, size, step, offset, flush_interval, pattern;
    bool write, drain, native;
    const char *aio;

    Image *image;
    uint8_t *buf;
    uint64_t started, completed, at, since_flush, running;
    bool flushing;
    CoQueue gate; /* while a flush runs that shall see nothing in flight */
    int ret;
} Bench;

static Bench *bench(ImgArgs *args)
{
    if (!args->own) {
        Bench *b = calloc(1, sizeof(*b));
        if (!b) {
            error_exit("out of memory");
        }
        *b = (Bench){.count = 75000, .depth = 64, .size = 4096, .drain = true};
        args->own = b;
    }
    return args->own;
}

static bool set_count(ImgArgs *args, const char *value, Error **errp)
{
    return parse_number("-c", value, 0, INT32_MAX, &bench(args)->count, errp);
}

static bool set_depth(ImgArgs *args, const char *value, Error **errp)
{
    return parse_number("-d", value, 1, 1024, &bench(args)->depth, errp);
}

static bool set_bench_size(ImgArgs *args, const char *value, Error **errp)
{
    return blkopts_parse_size("-s", value, &bench(args)->size, errp);
}

static bool set_step(ImgArgs *args, const char *value, Error **errp)
{
    return blkopts_parse_size("-S", value, &bench(args)->step, errp);
}

static bool set_offset(ImgArgs *args, const char *value, Error **errp)
{
    return blkopts_parse_size("-o", value, &bench(args)->offset, errp);
}

static bool set_interval(ImgArgs *args, const char *value, Error **errp)
{
    return parse_number("--flush-interval", value, 0, INT32_MAX, &bench(args)->flush_interval,
                        errp);
}

static bool set_pattern(ImgArgs *args, const char *value, Error **errp)
{
    return parse_number("--pattern", value, 0, 255, &bench(args)->pattern, errp);
}

static bool set_no_drain(ImgArgs *args, const char *value, Error **errp)
{
    bench(args)->drain = false;
    return true;
}

static bool set_write(ImgArgs *args, const char *value, Error **errp)
{
    bench(args)->write = true;
    return true;
}

static bool set_native(ImgArgs *args, const char *value, Error **errp)
{
    bench(args)->aio = "native";
    return true;
}

static bool set_aio(ImgArgs *args, const char *value, Error **errp)
{
    if (strcmp(value, "threads") && strcmp(value, "native") && strcmp(value, "io_uring")) {
        error_set(errp, "-i: '%s' is not possible; possible: threads, native, io_uring", value);
        return false;
    }
    bench(args)->aio = value;
    return true;
}

static const ImgOption bench_options[] = {
    {'c', NULL, "COUNT", "requests (75000)", set_count},
    {'d', NULL, "DEPTH", "in parallel (64)", set_depth},
    {'s', NULL, "SIZE", "bytes a request (4k)", set_bench_size},
    {'S', NULL, "SIZE", "from one request's offset to the next (SIZE of -s)", set_step},
    {'o', NULL, "OFFSET", "of the first request", set_offset},
    {'w', NULL, NULL, "write, not read", set_write},
    {0, "pattern", "BYTE", "what is written (0)", set_pattern},
    {0, "flush-interval", "N", "flush after so many writes", set_interval},
    {0, "no-drain", NULL, "do not wait for requests in flight before a flush", set_no_drain},
    {'i', NULL, "AIO", "threads, native or io_uring", set_aio},
    {'n', NULL, NULL, "as -i native", set_native},
    {'t', NULL, "CACHE", "cache mode", img_set_cache},
    {'f', NULL, "FORMAT", "format of the image", img_set_format},
    {0, "image-opts", NULL, "FILE is a list of options", img_set_image_opts},
    {'q', NULL, NULL, "print nothing but errors", img_set_quiet},
    {'U', "force-share", NULL, "also while another program writes the image", img_set_force_share},
    IMG_OBJECT_OPTION,
    {0},
};

static void flush_now(Bench *b)
{
    if (b->drain) {
        /* The last of those in flight comes here; the others wait at the gate. */
        b->flushing = true;
    }
    int ret = bdrv_co_flush(b->image->node);
    b->ret = ret < 0 ? ret : b->ret;
    b->flushing = false;
    co_queue_all(&b->gate);
}

static void bench_entry(void *opaque)
{
    Bench *b = opaque;
    const uint64_t size = b->image->size;

    while (b->started < b->count && b->ret == 0) {
        while (b->flushing) {
            co_queue_wait(&b->gate);
        }
        if (b->started == b->count) {
            break;
        }
        uint64_t offset = b->at;
        b->started++;
        b->at += b->step;
        if (b->at > size - b->size) {
            b->at = 0;
        }
        int ret = b->write ? bdrv_co_pwrite(b->image->root, offset, b->size, b->buf, 0)
                           : bdrv_co_pread(b->image->root, offset, b->size, b->buf, 0);
        b->ret = ret < 0 ? ret : b->ret;
        b->completed++;
        if (b->flush_interval && ++b->since_flush >= b->flush_interval) {
            b->since_flush = 0;
            flush_now(b);
        }
    }
    b->running--;
}

static bool prepare(ImgArgs *args, Bench *b, Error **errp)
{
    b->step = b->step ? b->step : b->size;
    if (!b->size || b->size > 1 << 30 || b->size > b->image->size ||
        b->offset > b->image->size - b->size) {
        error_set(errp,
                  "requests of %" PRIu64 " bytes at %" PRIu64 " do not fit an image of %" PRIu64,
                  b->size, b->offset, b->image->size);
        return false;
    }
    if (b->flush_interval && !b->write) {
        error_set(errp, "--flush-interval is for writes; add -w");
        return false;
    }
    if (b->flush_interval && b->flush_interval < b->depth) {
        error_set(errp,
                  "--flush-interval %" PRIu64
                  " is not possible; possible: the depth of -d, %" PRIu64 ", or more",
                  b->flush_interval, b->depth);
        return false;
    }
    b->at = b->offset;
    b->buf = block_alloc(b->image->node, b->size);
    memset(b->buf, (int)b->pattern, b->size);
    if (!args->quiet) {
        printf("Sending %" PRIu64 " %s requests, %" PRIu64 " bytes each, %" PRIu64
               " in parallel (starting at offset %" PRIu64 ", step size %" PRIu64 ")\n",
               b->count, b->write ? "write" : "read", b->size, b->depth, b->offset, b->step);
        if (b->flush_interval) {
            printf("Sending flush every %" PRIu64 " %srequests\n", b->flush_interval,
                   b->drain ? "" : "in-flight ");
        }
        fflush(stdout);
    }
    return true;
}

static Image *open_image(ImgArgs *args, const Bench *b, Error **errp)
{
    ImageOpen how = args->open;

    how.writable = b->write;
    how.cache = args->target_cache;
    how.aio = b->aio;
    return image_open(args->operands[0], &how, errp);
}

static int run_bench(ImgArgs *args)
{
    Error *err = NULL;
    Bench *b = bench(args);

    b->image = open_image(args, b, &err);
    if (!b->image || !prepare(args, b, &err)) {
        image_close(b->image, NULL);
        return img_failed(args, err, 1);
    }
    int64_t start = clock_now(CLOCK_HOST);
    for (uint64_t i = 0; i < b->depth; i++) {
        b->running++;
        coroutine_enter(coroutine_create(bench_entry, b));
    }
    while (b->running) {
        loop_run_once(-1);
    }
    double seconds = (double)(clock_now(CLOCK_HOST) - start) / NS_PER_SEC;
    if (b->ret < 0) {
        error_set_errno(&err, -b->ret, "%s: a request failed", args->operands[0]);
    }
    image_close(b->image, err ? NULL : &err); /* what is not flushed yet may fail now */
    free(b->buf);
    if (err) {
        return img_failed(args, err, 1);
    }
    if (!args->quiet) {
        printf("Run completed in %3.3f seconds.\n", seconds);
    }
    return 0;
}

const ImgCommand img_bench_command = {
    .name = "bench",
    .operands = "FILE",
    .summary = "Measures how fast an image reads or writes",
    .options = bench_options,
    .min_operands = 1,
    .max_operands = 1,
    .usage_status = 1,
    .run = run_bench,
};
