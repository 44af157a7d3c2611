/*
 * vole-img compare: whether two images hold the same.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/img.h"

/* 1 means "different" to scripts, so every error has another status. */
enum { IDENTICAL = 0, DIFFERENT = 1, CANNOT_OPEN = 2, CANNOT_READ = 4 };
enum { CHUNK = 1 << 20 };

typedef struct Comparison {
    const ImgArgs *args;
    Image *a, *b;
    uint8_t *buf_a, *buf_b;
    uint64_t mismatch; /* the first sector that differs */
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
    {'s', NULL, NULL, "strict: the sizes must be equal too", set_strict},
    {'p', NULL, NULL, "show progress", img_set_progress},
    {'q', NULL, NULL, "print nothing but errors", img_set_quiet},
    {'T', NULL, "CACHE", "cache mode", img_set_source_cache},
    {'U', "force-share", NULL, "also while another program writes an image", img_set_force_share},
    {0},
};

static void say(const Comparison *c, const char *text)
{
    if (!c->args->quiet) {
        puts(text);
    }
}

/* What image holds at offset, and how far; beyond its end a hole without limit. */
static bool find_range(const Image *image, uint64_t offset, bool *data, uint64_t *end, Error **errp)
{
    *data = false;
    *end = UINT64_MAX;
    return offset >= image->size || image_next_range(image, offset, data, end, errp);
}

static bool read_or_zero(Image *image, uint64_t offset, uint8_t *buf, size_t n, Error **errp)
{
    if (offset >= image->size) {
        memset(buf, 0, n);
        return true;
    }
    return image_read(image, offset, buf, n, errp);
}

static int note_mismatch(Comparison *c, uint64_t offset, size_t n)
{
    size_t at = 0;

    while (at + BLK_SECTOR_SIZE < n && !memcmp(c->buf_a + at, c->buf_b + at, BLK_SECTOR_SIZE)) {
        at += BLK_SECTOR_SIZE;
    }
    c->mismatch = offset + at;
    return DIFFERENT;
}

/* The shorter image counts as if zeroes followed it. */
static int compare_contents(Comparison *c, Error **errp)
{
    const uint64_t a_size = c->a->size, b_size = c->b->size,
                   total = a_size > b_size ? a_size : b_size;

    for (uint64_t offset = 0, end; offset < total; offset = end) {
        uint64_t end_a, end_b;
        bool data_a, data_b;
        if (!find_range(c->a, offset, &data_a, &end_a, errp) ||
            !find_range(c->b, offset, &data_b, &end_b, errp)) {
            return CANNOT_READ;
        }
        bool data = data_a | data_b;
        end = end_a < end_b ? end_a : end_b;
        end = end < total ? end : total;
        if (data) {
            end = end - offset < CHUNK ? end : offset + CHUNK;
            size_t n = end - offset;
            if (!read_or_zero(c->a, offset, c->buf_a, n, errp) ||
                !read_or_zero(c->b, offset, c->buf_b, n, errp)) {
                return CANNOT_READ;
            }
            if (memcmp(c->buf_a, c->buf_b, n)) {
                return note_mismatch(c, offset, n);
            }
        }
        img_progress(&c->progress, end, total);
    }
    return IDENTICAL;
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
    c->buf_a = malloc(CHUNK);
    c->buf_b = malloc(CHUNK);
    if (!c->buf_a || !c->buf_b) {
        error_set(errp, "out of memory");
        return CANNOT_READ;
    }
    img_progress_start(&c->progress, c->args->progress && !c->args->quiet);
    int status = compare_contents(c, errp);
    img_progress_end(&c->progress, status == IDENTICAL);
    if (status == IDENTICAL) {
        say(c, "Images are identical.");
    } else if (status == DIFFERENT && !c->args->quiet) {
        printf("Content mismatch at offset %" PRIu64 "!\n", c->mismatch);
    }
    return status;
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
    free(c.buf_a);
    free(c.buf_b);
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
