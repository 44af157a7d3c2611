/*
 * vole-img compare: whether two images hold the same. Several coroutines compare at once, each the
 * next piece where one of the images holds data.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/img.h"
#include "block/util.h"
#include "util/coroutine.h"
#include "util/loop.h"

/* 1 means "different" to scripts, so every error has another status. */
enum { IDENTICAL = 0, DIFFERENT = 1, CANNOT_OPEN = 2, CANNOT_READ = 4 };
enum { CHUNK = 1 << 20, AT_ONCE = 3, OTHER_KIND = -1 /* different, and that was said */ };

/* What an image holds up to `end`. */
typedef struct Range {
    uint64_t end;
    bool data;
} Range;

typedef struct Comparison {
    const ImgArgs *args;
    Image *a, *b;
    Range range_a, range_b; /* at `next` */
    uint64_t total, next, done;
    uint64_t mismatch; /* the first sector that differs; UINT64_MAX: none so far */
    CoMutex lock;
    unsigned running;
    Error *err;
    ImgProgress progress;
} Comparison;

static bool set_second_format(ImgArgs *args, const char *value, Error **errp)
{
    return img_set_output_format(args, value, errp);
}

static bool set_strict(ImgArgs *args, const char *value, Error **errp)
{
    args->strict = true;
    return true;
}

static const ImgOption compare_options[] = {
    {'f', NULL, "FORMAT", "format of the first image", img_set_format},
    {'F', NULL, "FORMAT", "format of the second image", set_second_format},
    {0, "image-opts", NULL, "FILEs are lists of options", img_set_image_opts},
    {'s', NULL, NULL, "strict: sizes and what is allocated must be equal too", set_strict},
    {'p', NULL, NULL, "show progress", img_set_progress},
    {'q', NULL, NULL, "print nothing but errors", img_set_quiet},
    {'T', NULL, "CACHE", "cache mode", img_set_source_cache},
    {'U', "force-share", NULL, "also while another program writes an image", img_set_force_share},
    IMG_OBJECT_OPTION,
    {0},
};

static void say(const Comparison *c, const char *text)
{
    if (!c->args->quiet) {
        puts(text);
    }
}

/* Beyond an image's end is a hole without limit. */
static bool find_range(const Image *image, uint64_t offset, Range *r, Error **errp)
{
    if (offset < r->end) {
        return true;
    }
    *r = (Range){UINT64_MAX, false};
    return offset >= image->size || image_next_range(image, offset, &r->data, &r->end, errp);
}

/* The next piece with data in it. The pieces are taken in order: before the first mismatch that is
 * known all have been taken. */
static bool next_piece(Comparison *c, uint64_t *offset, size_t *n)
{
    while (c->next < c->total && c->mismatch == UINT64_MAX && !c->err) {
        if (!find_range(c->a, c->next, &c->range_a, &c->err) ||
            !find_range(c->b, c->next, &c->range_b, &c->err)) {
            return false;
        }
        uint64_t end = MIN(MIN(c->range_a.end, c->range_b.end), c->total);
        *offset = c->next;
        if (c->range_a.data || c->range_b.data) {
            *n = (size_t)MIN(end - c->next, CHUNK);
            c->next += *n;
            return true;
        }
        c->done += end - c->next;
        c->next = end;
    }
    return false;
}

static bool read_or_zero(Image *image, uint64_t offset, uint8_t *buf, size_t n, Error **errp)
{
    if (offset >= image->size) {
        memset(buf, 0, n);
        return true;
    }
    return image_read(image, offset, buf, n, errp);
}

static void note_mismatch(Comparison *c, uint64_t offset, const uint8_t *a, const uint8_t *b,
                          size_t n)
{
    size_t at = 0;

    while (at + BLK_SECTOR_SIZE < n && !memcmp(a + at, b + at, BLK_SECTOR_SIZE)) {
        at += BLK_SECTOR_SIZE;
    }
    c->mismatch = MIN(c->mismatch, offset + at);
}

/* The shorter image counts as if zeroes followed it. */
static void compare_entry(void *opaque)
{
    Comparison *c = opaque;
    uint8_t *a = block_alloc(c->a->node, CHUNK), *b = block_alloc(c->b->node, CHUNK);

    for (;;) {
        uint64_t offset;
        size_t n;
        Error *err = NULL;
        co_mutex_lock(&c->lock);
        bool more = next_piece(c, &offset, &n);
        co_mutex_unlock(&c->lock);
        if (!more) {
            break;
        }
        if (!read_or_zero(c->a, offset, a, n, &err) || !read_or_zero(c->b, offset, b, n, &err)) {
            error_propagate(c->err ? NULL : &c->err, err);
            break;
        }
        if (memcmp(a, b, n)) {
            note_mismatch(c, offset, a, b, n);
        }
        c->done += n;
        img_progress(&c->progress, c->done, c->total);
    }
    free(a);
    free(b);
    c->running--;
}

static int compare_contents(Comparison *c, Error **errp)
{
    c->total = MAX(c->a->size, c->b->size);
    c->mismatch = UINT64_MAX;
    for (unsigned i = 0; i < AT_ONCE; i++) {
        c->running++;
        coroutine_enter(coroutine_create(compare_entry, c));
    }
    while (c->running) {
        loop_run_once(-1);
    }
    if (c->err) {
        error_propagate(errp, c->err);
        return CANNOT_READ;
    }
    return c->mismatch == UINT64_MAX ? IDENTICAL : DIFFERENT;
}

/* Strictly: the first place where the images' layouts differ: data, known zeroes, whether it is
 * allocated, whether it goes on like this to the end. UINT64_MAX: there is none. */
static bool find_other_kind(const Comparison *c, uint64_t *where, Error **errp)
{
    const Image *images[2] = {c->a, c->b};
    uint64_t n[2];
    int status[2];

    *where = UINT64_MAX;
    for (uint64_t offset = 0; offset < c->a->size; offset += MIN(n[0], n[1])) {
        for (unsigned i = 0; i < 2; i++) {
            status[i] = bdrv_block_status_above(images[i]->node, NULL, true, offset,
                                                images[i]->size - offset, &n[i], NULL, NULL, NULL);
            if (status[i] < 0) {
                error_set_errno(errp, -status[i], "cannot find out what %s holds at byte %" PRIu64,
                                images[i]->file, offset);
                return false;
            }
            n[i] = n[i] ? n[i] : images[i]->size - offset;
        }
        if (status[0] != status[1]) {
            *where = offset;
            return true;
        }
    }
    return true;
}

static int compare_strictly(Comparison *c, int status, Error **errp)
{
    uint64_t where;

    if (!find_other_kind(c, &where, errp)) {
        return CANNOT_READ;
    }
    if (where == UINT64_MAX || where > c->mismatch) {
        return status;
    }
    if (!c->args->quiet) {
        printf("Strict mode: Offset %" PRIu64 " block status mismatch!\n", where);
    }
    return OTHER_KIND;
}

static int compare(Comparison *c, Error **errp)
{
    if (c->a->size != c->b->size) {
        say(c, c->args->strict ? "Strict mode: Image size mismatch!"
                               : "Warning: Image size mismatch!");
        if (c->args->strict) {
            return DIFFERENT;
        }
    }
    img_progress_start(&c->progress, c->args->progress && !c->args->quiet);
    int status = compare_contents(c, errp);
    img_progress_end(&c->progress, status == IDENTICAL);
    if (c->args->strict && status <= DIFFERENT) {
        status = compare_strictly(c, status, errp);
    }
    if (status == IDENTICAL) {
        say(c, "Images are identical.");
    } else if (status == DIFFERENT && !c->args->quiet) {
        printf("Content mismatch at offset %" PRIu64 "!\n", c->mismatch);
    }
    return status == OTHER_KIND ? DIFFERENT : status;
}

static int run_compare(ImgArgs *args)
{
    Error *err = NULL;
    int status = CANNOT_OPEN;
    Comparison c = {.args = args, .a = image_open(args->operands[0], &args->open, &err)};

    if (c.a) {
        args->open.format = args->output_format;
        c.b = image_open(args->operands[1], &args->open, &err);
    }
    if (c.b) {
        status = compare(&c, &err);
    }
    image_close(c.a, NULL);
    image_close(c.b, NULL);
    return err ? img_failed(args, err, status) : status;
}

const ImgCommand img_compare_command = {
    .name = "compare",
    .operands = "FILE FILE",
    .summary = "Compares two images: exit status 0 same, 1 different, more for an error",
    .options = compare_options,
    .min_operands = 2,
    .max_operands = 2,
    .usage_status = CANNOT_OPEN,
    .run = run_compare,
};
