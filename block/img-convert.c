/*
 * vole-img convert, dd.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "block/img-copy.h"
#include "block/util.h"
#include "util/options.h"

enum { MAX_SPARSE = 16 << 20 };

/* ---- convert ---- */

static bool set_no_create(ImgArgs *args, const char *value, Error **errp)
{
    args->no_create = true;
    return true;
}

static bool set_target_is_zero(ImgArgs *args, const char *value, Error **errp)
{
    args->target_is_zero = true;
    return true;
}

static bool set_target_options(ImgArgs *args, const char *value, Error **errp)
{
    args->target_options = true;
    return true;
}

static bool set_sparse(ImgArgs *args, const char *value, Error **errp)
{
    if (!blkopts_parse_size("-S", value, &args->sparse, errp)) {
        return false;
    }
    if (args->sparse % BLK_SECTOR_SIZE || args->sparse > MAX_SPARSE) {
        error_set(errp,
                  "-S: '%s' is not possible; possible: multiples of 512 up to 16M, or 0 to write "
                  "everything",
                  value);
        return false;
    }
    return true;
}

static bool set_workers(ImgArgs *args, const char *value, Error **errp)
{
    uint64_t n;

    if (!parse_number("-m", value, 1, IMG_COPY_MAX_WORKERS, &n, errp)) {
        return false;
    }
    args->workers = (unsigned)n;
    return true;
}

static bool set_compressed(ImgArgs *args, const char *value, Error **errp)
{
    args->compressed = true;
    return true;
}

static bool set_out_of_order(ImgArgs *args, const char *value, Error **errp)
{
    args->out_of_order = true;
    return true;
}

static bool set_bitmaps(ImgArgs *args, const char *value, Error **errp)
{
    args->bitmaps = true;
    return true;
}

static bool set_skip_broken(ImgArgs *args, const char *value, Error **errp)
{
    args->skip_broken = true;
    return true;
}

static bool set_salvage(ImgArgs *args, const char *value, Error **errp)
{
    args->salvage = true;
    return true;
}

static const ImgOption convert_options[] = {
    {'f', NULL, "FORMAT", "format of the sources", img_set_format},
    {0, "image-opts", NULL, "SOURCEs are lists of options", img_set_image_opts},
    {'O', NULL, "FORMAT", "format of the target (raw)", img_set_output_format},
    {0, "target-image-opts", NULL, "TARGET is a list of options; needs -n", set_target_options},
    {'o', NULL, "OPTIONS", "what the target's format takes: KEY=VALUE,...; help lists it",
     img_set_creation},
    {'c', NULL, NULL, "compress the target", set_compressed},
    {'B', NULL, "FILE",
     "backing file of the target; what the sources leave to theirs is left to it", img_set_backing},
    {'F', NULL, "FORMAT", "format of the backing file", img_set_backing_format},
    {'l', NULL, "SNAPSHOT", "copy what this snapshot holds", img_set_snapshot},
    {'p', NULL, NULL, "show progress (so does SIGUSR1)", img_set_progress},
    {'q', NULL, NULL, "print nothing but errors", img_set_quiet},
    {'n', NULL, NULL, "the target exists and is written into", set_no_create},
    {0, "target-is-zero", NULL, "with -n: the target holds zeroes only", set_target_is_zero},
    {'S', NULL, "SIZE", "runs of zeroes that long become holes (4k); 0: none", set_sparse},
    {'t', NULL, "CACHE",
     "cache mode of the target; not unsafe (default): data is on disk at the end", img_set_cache},
    {'T', NULL, "CACHE", "cache mode of the sources", img_set_source_cache},
    {'m', NULL, "N", "parallel requests: 1 to 16 (8)", set_workers},
    {'W', NULL, NULL, "write out of order", set_out_of_order},
    {0, "salvage", NULL, "zeroes in place of what cannot be read; each such part is told",
     set_salvage},
    {'r', NULL, "RATE", "at most so many bytes a second", img_set_rate},
    {0, "bitmaps", NULL, "copy the bitmaps as well", set_bitmaps},
    {0, "skip-broken-bitmaps", NULL, "with --bitmaps: leave out those that are not intact",
     set_skip_broken},
    {'C', NULL, NULL, "copy offloading; accepted, changes nothing", img_set_nothing},
    {'U', "force-share", NULL, "read sources that another program writes", img_set_force_share},
    IMG_OBJECT_OPTION,
    {0},
};

static bool open_sources(ImgArgs *args, ImgCopy *copy, const char *target, Error **errp)
{
    uint64_t total = 0;

    copy->sources = calloc(args->count, sizeof(CopySource));
    if (!copy->sources) {
        error_exit("out of memory");
    }
    for (int i = 0; i < args->count - 1; i++) {
        Image *image = image_open(args->operands[i], &args->open, errp);
        if (!image) {
            return false;
        }
        copy->sources[copy->source_count++].image = image;
        if (!img_refuse_same(image->file, target, errp) || !img_load_snapshot(args, image, errp)) {
            return false;
        }
        if (image->size > INT64_MAX - BLK_SECTOR_SIZE - total) {
            error_set(errp, "the sources together are longer than a file can be");
            return false;
        }
        if (args->bitmaps && !image->node->driver->bitmaps) {
            error_set(errp, "--bitmaps: format %s of %s holds no bitmaps",
                      bdrv_format_name(image->node), image->file);
            return false;
        }
        copy->sources[i].bytes = image->size;
        total += image->size;
    }
    return true;
}

static void close_sources(ImgCopy *copy)
{
    for (int i = 0; i < copy->source_count; i++) {
        image_close(copy->sources[i].image, NULL);
    }
    free(copy->sources);
}

static uint64_t total_size(const ImgCopy *copy)
{
    uint64_t total = 0;

    for (int i = 0; i < copy->source_count; i++) {
        total += copy->sources[i].bytes;
    }
    return total;
}

/* -n: an image that is there and large enough. */
static Image *open_target(ImgArgs *args, const char *file, uint64_t total, Error **errp)
{
    const ImageOpen how = {.writable = true,
                           .format = args->target_options  ? NULL
                                     : args->output_format ? args->output_format
                                                           : "raw",
                           .options = args->target_options,
                           .cache = args->target_cache};
    Image *target = image_open(file, &how, errp);

    if (target && target->size < total) {
        error_set(errp, "target %s has %" PRIu64 " bytes, the sources have %" PRIu64, file,
                  target->size, total);
        image_close(target, NULL);
        return NULL;
    }
    if (target) {
        target->zeroed = args->target_is_zero;
    }
    return target;
}

static bool is_on(const ImgArgs *args, const char *key, const char *off)
{
    const char *value = blkopts_get(args->creation, key);

    return value && strcmp(value, off) != 0;
}

/* Before a file that is there is given up for the target. */
static bool check_target(const ImgArgs *args, const BlockDriver *driver, const char *file,
                         Error **errp)
{
    if (args->compressed && !driver->supports_compressed) {
        error_set(errp, "-c: format %s is never compressed", driver->name);
    } else if (args->compressed &&
               (is_on(args, "encryption", "off") || is_on(args, "encrypt.format", ""))) {
        error_set(errp, "-c: an image is either compressed or encrypted");
    } else if (args->compressed && is_on(args, "preallocation", "off")) {
        error_set(errp, "-c: not together with preallocation=%s",
                  blkopts_get(args->creation, "preallocation"));
    } else if (args->bitmaps && !driver->bitmaps) {
        error_set(errp, "--bitmaps: format %s holds no bitmaps", driver->name);
    } else if (args->backing_file && !args->backing_format) {
        error_set(errp, "-B %s: the backing file's format is missing; add -F FORMAT",
                  args->backing_file);
    } else if (args->backing_file && args->count > 2) {
        error_set(errp, "-B %s: only for a single source", args->backing_file);
    } else {
        Image *backing = args->backing_file ? img_open_backing(args, file, errp) : NULL;
        image_close(backing, NULL);
        return backing || !args->backing_file;
    }
    return false;
}

static Image *make_target(ImgArgs *args, const char *file, uint64_t total, Error **errp)
{
    const char *format = args->output_format ? args->output_format : "raw";

    if (args->no_create) {
        return open_target(args, file, total, errp);
    }
    if (!img_take_creation(args, format, errp)) {
        return NULL;
    }
    uint64_t size = args->size_given ? whole_sectors(args->size) : total;
    if (size < total) {
        error_set(errp, "-o size=%" PRIu64 ": the sources have %" PRIu64 " bytes", args->size,
                  total);
        return NULL;
    }
    if (!check_target(args, bdrv_find_driver(format), file, errp)) {
        return NULL;
    }
    const ImageCreate how = {.format = format,
                             .size = size,
                             .backing_file = args->backing_file,
                             .backing_format = args->backing_format,
                             .options = args->creation,
                             .open = true,
                             .cache = args->target_cache};
    return image_create(file, &how, errp);
}

/* What the sources leave to their backing files is left to the target's. */
static void set_base(const ImgArgs *args, ImgCopy *copy)
{
    if (args->no_create || !args->backing_file) {
        return;
    }
    BlockNode *backing = bdrv_backing(copy->target->node);
    copy->has_backing = true;
    copy->base = bdrv_backing(copy->sources[0].image->node);
    copy->backing_end = backing ? bdrv_size(backing) : 0;
}

static int run_convert(ImgArgs *args)
{
    const char *file = args->operands[args->count - 1];
    ImgCopy copy = {0};
    Error *err = NULL;
    int status = 0;

    if ((args->target_is_zero || args->target_options) && !args->no_create) {
        error_set(&err, "%s: only together with -n",
                  args->target_is_zero ? "--target-is-zero" : "--target-image-opts");
        return img_failed(args, err, 1);
    }
    image_catch_signals();
    bool ok = open_sources(args, &copy, file, &err) &&
              (copy.target = make_target(args, file, total_size(&copy), &err));
    if (ok) {
        set_base(args, &copy);
    }
    ok = ok && img_copy(&copy, args, &err) &&
         (!args->bitmaps || img_copy_bitmaps(args, copy.sources[0].image, copy.target, &err));
    if (ok && !image_close(copy.target, &err)) {
        status = img_failed(args, err, 1);
    } else if (!ok) {
        status = img_copy_failed(args, copy.target, err);
    }
    close_sources(&copy);
    return status;
}

const ImgCommand img_convert_command = {
    .name = "convert",
    .operands = "SOURCE... TARGET",
    .summary = "Copies an image, or several joined one behind the other",
    .options = convert_options,
    .min_operands = 2,
    .usage_status = 1,
    .run = run_convert,
};

/* ---- dd ---- */

static const ImgOption dd_options[] = {
    {'f', NULL, "FORMAT", "format of the input", img_set_format},
    {'O', NULL, "FORMAT", "format of the output (raw)", img_set_output_format},
    {0, "image-opts", NULL, "the input is a list of options", img_set_image_opts},
    {'U', "force-share", NULL, "read an input that another program writes", img_set_force_share},
    IMG_OBJECT_OPTION,
    {0},
};

typedef struct DdOperands {
    const char *input, *output;
    uint64_t block, count, skip;
    bool count_given;
} DdOperands;

static bool parse_dd_operand(DdOperands *dd, const char *text, Error **errp)
{
    static const char *const names[] = {"if", "of", "bs", "count", "skip", NULL};
    const char *value = strchr(text, '=');
    size_t n = value ? (size_t)(value - text) : strlen(text);
    int which = 0;

    while (names[which] && (strlen(names[which]) != n || strncmp(names[which], text, n))) {
        which++;
    }
    if (!value || !names[which]) {
        error_set(errp, "operand '%s' is not known; possible: if=, of=, bs=, count=, skip=", text);
        return false;
    }
    value++;
    switch (which) {
    case 0:
        dd->input = value;
        return true;
    case 1:
        dd->output = value;
        return true;
    case 2:
        return blkopts_parse_size("bs", value, &dd->block, errp);
    case 3:
        dd->count_given = true;
        return blkopts_parse_size("count", value, &dd->count, errp);
    default:
        return blkopts_parse_size("skip", value, &dd->skip, errp);
    }
}

static bool parse_dd(DdOperands *dd, const ImgArgs *args, Error **errp)
{
    *dd = (DdOperands){.block = BLK_SECTOR_SIZE};
    for (int i = 0; i < args->count; i++) {
        if (!parse_dd_operand(dd, args->operands[i], errp)) {
            return false;
        }
    }
    if (!dd->input || !dd->output) {
        error_set(errp, "%s is missing", dd->input ? "of=" : "if=");
        return false;
    }
    if (!dd->block || dd->block > INT32_MAX) {
        error_set(errp, "bs: %" PRIu64 " is not possible; possible: 1 to %d", dd->block, INT32_MAX);
        return false;
    }
    return img_refuse_same(dd->input, dd->output, errp);
}

/* blocks * block, at most limit */
static uint64_t limited_product(uint64_t blocks, uint64_t block, uint64_t limit)
{
    return blocks > limit / block ? limit : blocks * block;
}

static bool copy_blocks(ImgArgs *args, const DdOperands *dd, Image *input, ImgCopy *copy,
                        Error **errp)
{
    uint64_t skip = limited_product(dd->skip, dd->block, input->size);
    uint64_t bytes = input->size - skip;

    if (skip == input->size && dd->skip) {
        warn_report("dd: %s has only %" PRIu64 " bytes; skipped all of them", dd->input,
                    input->size);
    }
    if (dd->count_given) {
        bytes = limited_product(dd->count, dd->block, bytes);
    }
    const ImageCreate how = {.format = args->output_format ? args->output_format : "raw",
                             .size = whole_sectors(bytes),
                             .open = true};
    copy->target = image_create(dd->output, &how, errp);
    copy->sources = calloc(1, sizeof(CopySource));
    if (!copy->sources) {
        error_exit("out of memory");
    }
    if (!copy->target) {
        return false;
    }
    copy->sources[0] = (CopySource){input, skip, bytes};
    copy->source_count = 1;
    return img_copy(copy, args, errp);
}

static int run_dd(ImgArgs *args)
{
    DdOperands dd;
    Error *err = NULL;
    ImgCopy copy = {0};
    int status = 0;

    if (!parse_dd(&dd, args, &err)) {
        return img_failed(args, err, 1);
    }
    image_catch_signals();
    Image *input = image_open(dd.input, &args->open, &err);
    bool ok = input && copy_blocks(args, &dd, input, &copy, &err);
    if (ok && !image_close(copy.target, &err)) {
        status = img_failed(args, err, 1);
    } else if (!ok) {
        status = img_copy_failed(args, copy.target, err);
    }
    free(copy.sources);
    image_close(input, NULL);
    return status;
}

const ImgCommand img_dd_command = {
    .name = "dd",
    .operands = "if=INPUT of=OUTPUT [bs=SIZE] [count=BLOCKS] [skip=BLOCKS]",
    .summary = "Copies a part of an image into a new one",
    .options = dd_options,
    .min_operands = 2,
    .max_operands = 5,
    .usage_status = 1,
    .run = run_dd,
};
