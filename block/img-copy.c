/*
 * vole-img convert, dd: copies of images. Holes stay holes, and runs of zeroes become some.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/img.h"
#include "util/options.h"

enum { CHUNK = 1 << 20, MAX_SPARSE = 16 << 20 };

typedef struct Copy {
    Image *target;
    uint64_t sparse; /* unit of zero detection; 0: everything is written */
    uint64_t done, total;
    uint8_t *buffer;
    size_t chunk; /* size of buffer, a multiple of sparse */
    ImgProgress progress;
} Copy;

/* ---- copying ---- */

static void copy_begin(Copy *copy, const ImgArgs *args, Image *target, uint64_t total)
{
    *copy = (Copy){.target = target, .sparse = args->sparse, .total = total, .chunk = CHUNK};
    if (copy->sparse) {
        copy->chunk = copy->sparse > CHUNK ? copy->sparse : CHUNK / copy->sparse * copy->sparse;
    }
    copy->buffer = malloc(copy->chunk);
    if (!copy->buffer) {
        error_exit("out of memory");
    }
    img_progress_start(&copy->progress, args->progress && !args->quiet);
}

static void copy_end(Copy *copy, bool complete)
{
    img_progress_end(&copy->progress, complete);
    free(copy->buffer);
}

static bool is_zero(const uint8_t *p, size_t n)
{
    return !p[0] && !memcmp(p, p + 1, n - 1);
}

static bool write_hole(Copy *copy, uint64_t offset, uint64_t bytes, Error **errp)
{
    return copy->target->zeroed || image_zero(copy->target, offset, bytes, errp);
}

/* The first n bytes of the buffer, in runs of units that are all zero or all not. */
static bool write_chunk(Copy *copy, uint64_t offset, size_t n, Error **errp)
{
    const size_t unit = copy->sparse ? copy->sparse : n;

    for (size_t at = 0, end; at < n; at = end) {
        bool zero = false;
        for (end = at; end < n; end += end + unit < n ? unit : n - end) {
            size_t length = end + unit < n ? unit : n - end;
            bool this_zero = copy->sparse && is_zero(copy->buffer + end, length);
            if (end > at && this_zero != zero) {
                break;
            }
            zero = this_zero;
        }
        if (zero ? !write_hole(copy, offset + at, end - at, errp)
                 : !image_write(copy->target, offset + at, copy->buffer + at, end - at, errp)) {
            return false;
        }
    }
    return true;
}

/* `bytes` from `from` in source to `to` in the target. */
static bool copy_part(Copy *copy, Image *source, uint64_t from, uint64_t bytes, uint64_t to,
                      Error **errp)
{
    const uint64_t last = from + bytes;

    while (from < last) {
        bool data, ok;
        uint64_t end, n;
        image_next_range(source, from, &data, &end);
        n = (end < last ? end : last) - from;
        if (!data && copy->sparse) {
            ok = write_hole(copy, to, n, errp);
        } else {
            n = n < copy->chunk ? n : copy->chunk;
            ok = image_read(source, from, copy->buffer, n, errp) && write_chunk(copy, to, n, errp);
        }
        if (!ok) {
            return false;
        }
        from += n;
        to += n;
        copy->done += n;
        img_progress(&copy->progress, copy->done, copy->total);
    }
    return true;
}

/*
 * Reports err with what became of the target, if there is one already. Ends the program on a
 * signal.
 */
static int target_failed(const ImgArgs *args, Image *target, Error *err)
{
    if (target) {
        Error *told = NULL;
        char *file = strdup(target->file);
        bool removed = image_abandon(target);
        error_set(&told, "%s; the incomplete target %s %s", error_text(err), file ? file : "",
                  removed ? "was removed" : "is left as it is");
        error_free(err);
        free(file);
        err = told;
    }
    img_failed(args, err, 1);
    image_die();
    return 1;
}

static bool refuse_same(const char *source, const char *target, Error **errp)
{
    if (image_same_file(source, target)) {
        error_set(errp, "%s and %s are the same image; a copy needs another name", source, target);
        return false;
    }
    return true;
}

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

static bool set_sparse(ImgArgs *args, const char *value, Error **errp)
{
    if (!img_parse_size("-S", value, &args->sparse, errp)) {
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

    return parse_number("-m", value, 1, 16, &n, errp);
}

static bool refuse_compression(ImgArgs *args, const char *value, Error **errp)
{
    error_set(errp, "-c: a raw image is never compressed");
    return false;
}

static bool refuse_backing(ImgArgs *args, const char *value, Error **errp)
{
    error_set(errp, "-B %s: a raw image has no backing file", value);
    return false;
}

static bool refuse_snapshot(ImgArgs *args, const char *value, Error **errp)
{
    error_set(errp, "-l %s: a raw image holds no snapshots", value);
    return false;
}

static const ImgOption convert_options[] = {
    {'f', NULL, "FORMAT", "format of the sources: raw", img_set_format},
    {'O', NULL, "FORMAT", "format of the target: raw", img_set_output_format},
    {'o', NULL, "OPTIONS", "size=SIZE, preallocation=off|falloc|full; help explains",
     img_set_creation},
    {'p', NULL, NULL, "show progress", img_set_progress},
    {'q', NULL, NULL, "print nothing but errors", img_set_quiet},
    {'n', NULL, NULL, "the target exists and is written into", set_no_create},
    {0, "target-is-zero", NULL, "with -n: the target holds zeroes only", set_target_is_zero},
    {'S', NULL, "SIZE", "runs of zeroes that long become holes (4k); 0: none", set_sparse},
    {'t', NULL, "CACHE",
     "cache mode of the target; not unsafe (default): data is on disk at the end", img_set_cache},
    {'T', NULL, "CACHE", "cache mode of the sources; accepted, changes nothing",
     img_set_source_cache},
    {'m', NULL, "N", "parallel requests; accepted, changes nothing", set_workers},
    {'W', NULL, NULL, "out-of-order writes; accepted, changes nothing", img_set_nothing},
    {'C', NULL, NULL, "copy offloading; accepted, changes nothing", img_set_nothing},
    {'U', "force-share", NULL, "read sources that another program writes", img_set_force_share},
    {'c', NULL, NULL, "compression: none for raw", refuse_compression},
    {'B', NULL, "FILE", "backing file: none for raw", refuse_backing},
    {'l', NULL, "SNAPSHOT", "copy a snapshot: none in raw", refuse_snapshot},
    {0},
};

typedef struct Sources {
    Image **images;
    int count;
    uint64_t total;
} Sources;

static bool open_sources(ImgArgs *args, Sources *sources, const char *target, Error **errp)
{
    *sources = (Sources){.images = calloc(args->count, sizeof(Image *))};
    if (!sources->images) {
        error_exit("out of memory");
    }
    for (int i = 0; i < args->count - 1; i++) {
        Image *image = image_open(args->operands[i], &args->open, errp);
        if (!image) {
            return false;
        }
        sources->images[sources->count++] = image;
        if (!refuse_same(image->file, target, errp)) {
            return false;
        }
        if (image->size > INT64_MAX - BLK_SECTOR_SIZE - sources->total) {
            error_set(errp, "the sources together are longer than a file can be");
            return false;
        }
        sources->total += image->size;
    }
    return true;
}

static void close_sources(Sources *sources)
{
    for (int i = 0; i < sources->count; i++) {
        image_close(sources->images[i], NULL);
    }
    free(sources->images);
}

/* -n: an image that is there and large enough. */
static Image *open_target(ImgArgs *args, const char *file, uint64_t total, Error **errp)
{
    const ImageOpen how = {.writable = true, .format_given = true};
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

static Image *make_target(ImgArgs *args, const char *file, uint64_t total, Error **errp)
{
    if (args->no_create) {
        return open_target(args, file, total, errp);
    }
    uint64_t size = total;
    if (args->size_given) {
        size = whole_sectors(args->size);
    }
    if (size < total) {
        error_set(errp, "-o size=%" PRIu64 ": the sources have %" PRIu64 " bytes", args->size,
                  total);
        return NULL;
    }
    return image_create(file, size, args->prealloc, errp);
}

static bool copy_sources(ImgArgs *args, const Sources *sources, Image *target, Error **errp)
{
    Copy copy;
    uint64_t to = 0;
    bool ok = true;

    copy_begin(&copy, args, target, sources->total);
    for (int i = 0; ok && i < sources->count; i++) {
        ok = copy_part(&copy, sources->images[i], 0, sources->images[i]->size, to, errp);
        to += sources->images[i]->size;
    }
    ok = ok && (!args->flush || image_flush(target, errp));
    copy_end(&copy, ok);
    return ok;
}

static int run_convert(ImgArgs *args)
{
    const char *file = args->operands[args->count - 1];
    Sources sources;
    Error *err = NULL;
    Image *target = NULL;
    int status = 0;

    if (args->target_is_zero && !args->no_create) {
        error_set(&err, "--target-is-zero: only together with -n");
        return img_failed(args, err, 1);
    }
    image_catch_signals();
    bool ok = open_sources(args, &sources, file, &err) &&
              (target = make_target(args, file, sources.total, &err)) &&
              copy_sources(args, &sources, target, &err);
    close_sources(&sources);
    if (!ok) {
        status = target_failed(args, target, err);
    } else if (!image_close(target, &err)) {
        status = img_failed(args, err, 1);
    }
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
    {'f', NULL, "FORMAT", "format of the input: raw", img_set_format},
    {'O', NULL, "FORMAT", "format of the output: raw", img_set_output_format},
    {'U', "force-share", NULL, "read an input that another program writes", img_set_force_share},
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
        return img_parse_size("bs", value, &dd->block, errp);
    case 3:
        dd->count_given = true;
        return img_parse_size("count", value, &dd->count, errp);
    default:
        return img_parse_size("skip", value, &dd->skip, errp);
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
    return refuse_same(dd->input, dd->output, errp);
}

/* blocks * block, at most limit */
static uint64_t limited_product(uint64_t blocks, uint64_t block, uint64_t limit)
{
    return blocks > limit / block ? limit : blocks * block;
}

static bool copy_blocks(ImgArgs *args, const DdOperands *dd, Image *input, Image **output,
                        Error **errp)
{
    uint64_t skip = limited_product(dd->skip, dd->block, input->size);
    uint64_t bytes = input->size - skip;
    Copy copy;

    if (skip == input->size && dd->skip) {
        warn_report("dd: %s has only %" PRIu64 " bytes; skipped all of them", dd->input,
                    input->size);
    }
    if (dd->count_given) {
        bytes = limited_product(dd->count, dd->block, bytes);
    }
    *output = image_create(dd->output, whole_sectors(bytes), PREALLOC_OFF, errp);
    if (!*output) {
        return false;
    }
    copy_begin(&copy, args, *output, bytes);
    bool ok = copy_part(&copy, input, skip, bytes, 0, errp);
    copy_end(&copy, ok);
    return ok;
}

static int run_dd(ImgArgs *args)
{
    DdOperands dd;
    Error *err = NULL;
    Image *output = NULL;
    int status = 0;

    if (!parse_dd(&dd, args, &err)) {
        return img_failed(args, err, 1);
    }
    image_catch_signals();
    Image *input = image_open(dd.input, &args->open, &err);
    bool ok = input && copy_blocks(args, &dd, input, &output, &err);
    image_close(input, NULL);
    if (!ok) {
        status = target_failed(args, output, err);
    } else if (!image_close(output, &err)) {
        status = img_failed(args, err, 1);
    }
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
