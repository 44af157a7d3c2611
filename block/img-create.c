/*
 * vole-img create, resize: new images and new sizes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/img.h"

/* ---- create ---- */

static bool refuse_backing(ImgArgs *args, const char *value, Error **errp)
{
    error_set(errp, "-b %s: a raw image has no backing file", value);
    return false;
}

static const ImgOption create_options[] = {
    {'f', NULL, "FORMAT", "format of the image: raw", img_set_format},
    {'o', NULL, "OPTIONS", "size=SIZE, preallocation=off|falloc|full; help explains",
     img_set_creation},
    {'q', NULL, NULL, "print nothing but errors", img_set_quiet},
    {'u', NULL, NULL, "accepted, changes nothing for raw", img_set_nothing},
    {'b', NULL, "FILE", "backing file: none for raw", refuse_backing},
    {0},
};

static int run_create(ImgArgs *args)
{
    const char *file = args->operands[0];
    Error *err = NULL;

    if (args->count > 1 && !img_set_size(args, args->operands[1], &err)) {
        return img_failed(args, err, 1);
    }
    if (!args->size_given) {
        error_set(&err, "%s: the size is missing; usage: vole-img create [OPTIONS] FILE SIZE",
                  file);
        return img_failed(args, err, 1);
    }
    if (!args->quiet) {
        printf("Formatting '%s', fmt=raw size=%" PRIu64 "%s%s\n", file, args->size,
               args->prealloc_name ? " preallocation=" : "",
               args->prealloc_name ? args->prealloc_name : "");
        fflush(stdout);
    }
    image_catch_signals();
    Image *image = image_create(file, whole_sectors(args->size), args->prealloc, &err);
    if (!image || !image_close(image, &err)) {
        img_failed(args, err, 1);
        image_die();
        return 1;
    }
    return 0;
}

const ImgCommand img_create_command = {
    .name = "create",
    .operands = "FILE SIZE",
    .summary = "Makes an empty image; an existing file of that name is replaced",
    .options = create_options,
    .min_operands = 1,
    .max_operands = 2,
    .usage_status = 1,
    .signed_size = true, /* no size, but the message shall say so */
    .run = run_create,
};

/* ---- resize ---- */

static bool set_shrink(ImgArgs *args, const char *value, Error **errp)
{
    args->shrink = true;
    return true;
}

static const ImgOption resize_options[] = {
    {'f', NULL, "FORMAT", "format of the image: raw", img_set_format},
    {0, "shrink", NULL, "allow a smaller size: what lies behind the new end is lost", set_shrink},
    {0, "preallocation", "MODE", "storage for the new part: off, falloc, full", img_set_prealloc},
    {'q', NULL, NULL, "print nothing but errors", img_set_quiet},
    {0},
};

/* "10G", "+1G", "-512M" */
static bool new_size(const char *text, uint64_t old, uint64_t *size, Error **errp)
{
    const char sign = *text == '+' || *text == '-' ? *text : 0;
    uint64_t value;

    if (!img_parse_size("size", text + (sign != 0), &value, errp)) {
        return false;
    }
    if (sign == '-' ? value > old : sign && value > (uint64_t)INT64_MAX - BLK_SECTOR_SIZE - old) {
        error_set(errp, "size: '%s' leads out of range; the image has %" PRIu64 " bytes", text,
                  old);
        return false;
    }
    *size = whole_sectors(sign == '+' ? old + value : sign == '-' ? old - value : value);
    return true;
}

static bool resize(ImgArgs *args, Image *image, Error **errp)
{
    uint64_t size;

    if (!new_size(args->operands[1], image->size, &size, errp)) {
        return false;
    }
    if (size < image->size && !args->shrink) {
        error_set(errp,
                  "%s would shrink from %" PRIu64 " to %" PRIu64
                  " bytes and lose what lies behind; "
                  "--shrink allows it",
                  image->file, image->size, size);
        return false;
    }
    if (size <= image->size && args->prealloc != PREALLOC_OFF) {
        error_set(errp, "--preallocation=%s: only for an image that grows", args->prealloc_name);
        return false;
    }
    return image_resize(image, size, args->prealloc, errp);
}

static int run_resize(ImgArgs *args)
{
    Error *err = NULL;

    args->open.writable = true;
    image_catch_signals();
    Image *image = image_open(args->operands[0], &args->open, &err);
    bool ok = image && resize(args, image, &err);
    if (!image_close(image, ok ? &err : NULL) || !ok) {
        img_failed(args, err, 1);
        image_die();
        return 1;
    }
    if (!args->quiet) {
        puts("Image resized.");
    }
    return 0;
}

const ImgCommand img_resize_command = {
    .name = "resize",
    .operands = "FILE [+|-]SIZE",
    .summary = "Gives an image a new size, or makes it larger (+) or smaller (-) by SIZE",
    .options = resize_options,
    .min_operands = 2,
    .max_operands = 2,
    .usage_status = 1,
    .signed_size = true,
    .run = run_resize,
};
