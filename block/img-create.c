/*
 * vole-img create, resize: new images and new sizes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "block/img.h"
#include "util/options.h"

/* ---- create ---- */

static const ImgOption create_options[] = {
    {'f', NULL, "FORMAT", "format of the image (raw)", img_set_format},
    {'o', NULL, "OPTIONS", "what the format takes: KEY=VALUE,...; help lists it", img_set_creation},
    {'b', NULL, "FILE", "backing file: what the image does not hold shows from there",
     img_set_backing},
    {'F', NULL, "FORMAT", "format of the backing file", img_set_backing_format},
    {'u', NULL, NULL, "do not look at the backing file", img_set_unsafe},
    {'q', NULL, NULL, "print nothing but errors", img_set_quiet},
    IMG_OBJECT_OPTION,
    {0},
};

Image *img_open_backing(const ImgArgs *args, const char *file, Error **errp)
{
    char *full = NULL;
    const char *slash = strrchr(file, '/'), *name = args->backing_file;
    const ImageOpen how = {.format = args->backing_format, .force_share = true};

    if (name[0] != '/' && slash && strcspn(name, ":") >= strcspn(name, "/")) {
        if (asprintf(&full, "%.*s%s", (int)(slash + 1 - file), file, name) < 0) {
            abort();
        }
    }
    Image *backing = image_open(full ? full : name, &how, errp);
    if (!backing) {
        error_prepend(errp, "backing file: ");
    }
    free(full);
    return backing;
}

/* The backing file's format is noted, as guessing it later would let a guest choose it. Without -u
   it is opened, so that a wrong name is found now. */
static bool check_backing(ImgArgs *args, const char *file, Error **errp)
{
    if (!args->backing_format) {
        error_set(errp, "-b %s: the backing file's format is missing; add -F FORMAT",
                  args->backing_file);
        return false;
    }
    if (args->unsafe) {
        return true;
    }
    Image *backing = img_open_backing(args, file, errp);
    if (backing && !args->size_given) {
        args->size = backing->size;
        args->size_given = true;
    }
    image_close(backing, NULL);
    return backing != NULL;
}

/* As the list of options that it would be given by: a comma is written twice. */
static void print_creation_value(const BlockOptionDesc *o, const char *value)
{
    uint64_t number;

    printf(" %s=", o->name);
    if (!strcmp(o->arg, "SIZE") && blkopts_parse_size(o->name, value, &number, NULL)) {
        printf("%" PRIu64, number);
    } else if ((!strcmp(o->arg, "N") || !strcmp(o->arg, "MS")) &&
               parse_number(o->name, value, 0, UINT64_MAX, &number, NULL)) {
        printf("%" PRIu64, number);
    } else {
        for (; *value; value++) {
            fputs(*value == ',' ? ",," : (char[]){*value, 0}, stdout);
        }
    }
}

static void print_creation(const ImgArgs *args, const char *file, const BlockDriver *driver)
{
    BlockOptions *all = blkopts_new();

    blkopts_parse(all, driver->create_defaults ? driver->create_defaults : "", NULL, NULL);
    for (unsigned i = 0; i < blkopts_count(args->creation); i++) {
        blkopts_set(all, blkopts_key(args->creation, i), blkopts_value(args->creation, i));
    }
    if (args->backing_file) {
        blkopts_set(all, "backing_file", args->backing_file);
    }
    if (args->backing_format) {
        blkopts_set(all, "backing_fmt", args->backing_format);
    }
    printf("Formatting '%s', fmt=%s", file, driver->name);
    for (const BlockOptionDesc *o = driver->create_options; o && o->name; o++) {
        const char *value = blkopts_get(all, o->name);
        if (!strcmp(o->name, "size")) {
            printf(" size=%" PRIu64, args->size);
        } else if (value) {
            print_creation_value(o, value);
        }
    }
    blkopts_free(all);
    putchar('\n');
    fflush(stdout);
}

static int run_create(ImgArgs *args)
{
    const char *file = args->operands[0];
    const char *format = args->open.format ? args->open.format : "raw";
    const BlockDriver *driver = bdrv_find_driver(format);
    Error *err = NULL;

    if (!img_take_creation(args, format, &err) ||
        (args->count > 1 && !blkopts_parse_size("size", args->operands[1], &args->size, &err))) {
        return img_failed(args, err, 1);
    }
    if (args->count > 1 && args->size_given) {
        error_set(&err, "%s: the size is given twice: by -o size= and by itself", file);
        return img_failed(args, err, 1);
    }
    args->size_given |= args->count > 1;
    if (args->backing_format && !args->backing_file) {
        error_set(&err, "-F %s: there is no backing file; add -b FILE", args->backing_format);
        return img_failed(args, err, 1);
    }
    if (!bdrv_check_create(driver, file, args->backing_file, args->creation, &err) ||
        (args->backing_file && !check_backing(args, file, &err))) {
        return img_failed(args, err, 1);
    }
    if (!args->size_given) {
        error_set(&err, "%s: the size is missing; usage: vole-img create [OPTIONS] FILE SIZE",
                  file);
        return img_failed(args, err, 1);
    }
    if (!args->quiet) {
        print_creation(args, file, driver);
    }
    image_catch_signals();
    const ImageCreate how = {.format = format,
                             .size = args->size,
                             .backing_file = args->backing_file,
                             .backing_format = args->backing_format,
                             .options = args->creation};
    Image *image = image_create(file, &how, &err);
    if (!image || !image_close(image, &err)) {
        img_failed(args, err, 1);
        image_die();
        return 1;
    }
    return 0;
}

const ImgCommand img_create_command = {
    .name = "create",
    .operands = "FILE [SIZE]",
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
    {'f', NULL, "FORMAT", "format of the image", img_set_format},
    {0, "image-opts", NULL, "FILE is a list of options", img_set_image_opts},
    {0, "shrink", NULL, "allow a smaller size: what lies behind the new end is lost", set_shrink},
    {0, "preallocation", "MODE", "storage for the new part: off, metadata, falloc, full",
     img_set_prealloc},
    {'q', NULL, NULL, "print nothing but errors", img_set_quiet},
    IMG_OBJECT_OPTION,
    {0},
};

/* "10G", "+1G", "-512M" */
static bool new_size(const char *text, uint64_t old, uint64_t *size, Error **errp)
{
    const char sign = *text == '+' || *text == '-' ? *text : 0;
    uint64_t value;

    if (!blkopts_parse_size("size", text + (sign != 0), &value, errp)) {
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
    if (!size) {
        error_set(errp, "size: '%s' leaves nothing of %s; possible: sizes above 0",
                  args->operands[1], image->file);
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
