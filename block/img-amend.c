/*
 * vole-img amend, bitmap: options of an existing image; the bitmaps it keeps.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "block/img.h"
#include "util/options.h"

/* ---- amend ---- */

static bool set_force(ImgArgs *args, const char *value, Error **errp)
{
    args->force = true;
    return true;
}

static const ImgOption amend_options[] = {
    {'f', NULL, "FORMAT", "format of the image", img_set_format},
    {0, "image-opts", NULL, "FILE is a list of options", img_set_image_opts},
    {'o', NULL, "OPTIONS", "what changes: KEY=VALUE,...; help lists it", img_set_creation},
    {0, "force", NULL, "also what may lose data", set_force},
    {'t', NULL, "CACHE", "cache mode", img_set_cache},
    {'p', NULL, NULL, "show progress", img_set_progress},
    {'q', NULL, NULL, "print nothing but errors", img_set_quiet},
    IMG_OBJECT_OPTION,
    {0},
};

static void show_progress(uint64_t done, uint64_t total, void *opaque)
{
    img_progress(opaque, done, total);
}

/* -o help prints and exits. */
static bool can_amend(const ImgArgs *args, const BlockDriver *driver, Error **errp)
{
    if (driver->co_amend) {
        img_option_help(args, "Options that amend changes of", driver, driver->amend_options);
    }
    return bdrv_can_amend(driver, args->creation, errp);
}

static int run_amend(ImgArgs *args)
{
    Error *err = NULL;
    ImgProgress progress;

    if (!args->creation) {
        error_set(&err, "-o OPTIONS is missing");
        return img_failed(args, err, 1);
    }
    const BlockDriver *driver = args->open.format ? bdrv_find_driver(args->open.format) : NULL;
    if (driver && !can_amend(args, driver, &err)) {
        return img_failed(args, err, 1);
    }
    if (!args->count) {
        error_set(&err, "an operand is missing; usage: vole-img amend [OPTIONS] FILE");
        return img_failed(args, err, 1);
    }
    args->open.writable = true;
    args->open.cache = args->target_cache;
    Image *image = image_open(args->operands[0], &args->open, &err);
    bool ok = image != NULL;
    ok = ok && can_amend(args, image->node->driver, &err);
    if (ok) {
        img_progress_start(&progress, args->progress && !args->quiet);
        ok = bdrv_amend(image->node, args->creation, args->force, show_progress, &progress, &err);
        img_progress_end(&progress, ok);
    }
    if (!image_close(image, ok ? &err : NULL) || !ok) {
        return img_failed(args, err, 1);
    }
    return 0;
}

const ImgCommand img_amend_command = {
    .name = "amend",
    .operands = "FILE",
    .summary = "Changes options of an existing image",
    .options = amend_options,
    .max_operands = 1,
    .usage_status = 1,
    .run = run_amend,
};

/* ---- bitmap ---- */

typedef enum BitmapAct {
    BITMAP_ADD,
    BITMAP_REMOVE,
    BITMAP_CLEAR,
    BITMAP_ENABLE,
    BITMAP_DISABLE,
    BITMAP_MERGE
} BitmapAct;

enum { MAX_ACTIONS = 32 };

/* What is done, in the order of the command line. */
typedef struct Actions {
    struct {
        BitmapAct act;
        const char *source;
    } list[MAX_ACTIONS];
    int count;
} Actions;

static bool add_action(ImgArgs *args, BitmapAct act, const char *source, Error **errp)
{
    if (!args->own && !(args->own = calloc(1, sizeof(Actions)))) {
        error_exit("out of memory");
    }
    Actions *a = args->own;
    if (a->count == MAX_ACTIONS) {
        error_set(errp, "more than %d actions", MAX_ACTIONS);
        return false;
    }
    a->list[a->count].act = act;
    a->list[a->count++].source = source;
    return true;
}

static bool set_add(ImgArgs *args, const char *value, Error **errp)
{
    return add_action(args, BITMAP_ADD, NULL, errp);
}

static bool set_remove(ImgArgs *args, const char *value, Error **errp)
{
    return add_action(args, BITMAP_REMOVE, NULL, errp);
}

static bool set_clear(ImgArgs *args, const char *value, Error **errp)
{
    return add_action(args, BITMAP_CLEAR, NULL, errp);
}

static bool set_enable(ImgArgs *args, const char *value, Error **errp)
{
    return add_action(args, BITMAP_ENABLE, NULL, errp);
}

static bool set_disable(ImgArgs *args, const char *value, Error **errp)
{
    return add_action(args, BITMAP_DISABLE, NULL, errp);
}

static bool set_merge(ImgArgs *args, const char *value, Error **errp)
{
    return add_action(args, BITMAP_MERGE, value, errp);
}

static bool set_granularity(ImgArgs *args, const char *value, Error **errp)
{
    uint64_t n;

    if (!blkopts_parse_size("-g", value, &n, errp)) {
        return false;
    }
    if (n < 512 || n > 1u << 31 || (n & (n - 1))) {
        error_set(errp, "-g: '%s' is not possible; possible: powers of 2 from 512 to 2G", value);
        return false;
    }
    args->length = n;
    return true;
}

static const ImgOption bitmap_options[] = {
    {0, "add", NULL, "make it", set_add},
    {0, "remove", NULL, "delete it", set_remove},
    {0, "clear", NULL, "forget what it has marked", set_clear},
    {0, "enable", NULL, "mark what is written from now on", set_enable},
    {0, "disable", NULL, "mark no more", set_disable},
    {0, "merge", "SOURCE", "mark what the bitmap SOURCE marks", set_merge},
    {'g', "granularity", "SIZE", "with --add: bytes of the disk a bit", set_granularity},
    {'b', NULL, "FILE", "with --merge: the image that holds SOURCE", img_set_backing},
    {'F', NULL, "FORMAT", "its format", img_set_backing_format},
    {'f', NULL, "FORMAT", "format of the image", img_set_format},
    {0, "image-opts", NULL, "FILE is a list of options", img_set_image_opts},
    IMG_OBJECT_OPTION,
    {0},
};

static bool act(const BitmapOps *ops, BlockNode *node, BlockNode *from, const char *name,
                BitmapAct what, const char *source, uint32_t granularity, Error **errp)
{
    switch (what) {
    case BITMAP_ADD:
        return ops->co_add(node, name, granularity, false, errp);
    case BITMAP_REMOVE:
        return ops->co_remove(node, name, errp);
    case BITMAP_CLEAR:
        return ops->co_clear(node, name, errp);
    case BITMAP_ENABLE:
        return ops->co_enable(node, name, true, errp);
    case BITMAP_DISABLE:
        return ops->co_enable(node, name, false, errp);
    default:
        return ops->co_merge(node, name, from, source, errp);
    }
}

typedef struct BitmapRun {
    const ImgArgs *args;
    Image *image, *from;
    bool ok;
    Error **errp;
} BitmapRun;

static void co_bitmap(void *opaque)
{
    BitmapRun *r = opaque;
    const Actions *a = r->args->own;
    const BitmapOps *ops = r->image->node->driver->bitmaps;
    uint32_t granularity = r->args->length == UINT64_MAX ? 0 : (uint32_t)r->args->length;

    r->ok = true;
    for (int i = 0; i < a->count && r->ok; i++) {
        r->ok = act(ops, r->image->node, r->from ? r->from->node : r->image->node,
                    r->args->operands[1], a->list[i].act, a->list[i].source, granularity, r->errp);
    }
}

static bool has_action(const ImgArgs *args, BitmapAct act)
{
    const Actions *a = args->own;

    for (int i = 0; a && i < a->count; i++) {
        if (a->list[i].act == act) {
            return true;
        }
    }
    return false;
}

/* Options that would do nothing. */
static bool check_bitmap_args(const ImgArgs *args, Error **errp)
{
    if (!args->own) {
        error_set(errp,
                  "nothing to do: give --add, --remove, --clear, --enable, --disable or --merge");
    } else if (args->length != UINT64_MAX && !has_action(args, BITMAP_ADD)) {
        error_set(errp, "-g is for --add only");
    } else if (args->backing_file && !has_action(args, BITMAP_MERGE)) {
        error_set(errp, "-b is for --merge only");
    } else if (args->backing_format && !args->backing_file) {
        error_set(errp, "-F tells the format of -b's image, and there is no -b");
    } else {
        return true;
    }
    return false;
}

static int run_bitmap(ImgArgs *args)
{
    Error *err = NULL;
    BitmapRun r = {.args = args, .errp = &err};
    const ImageOpen from = {.format = args->backing_format};

    if (!check_bitmap_args(args, &err)) {
        return img_failed(args, err, 1);
    }
    args->open.writable = true;
    r.image = image_open(args->operands[0], &args->open, &err);
    if (r.image && args->backing_file) {
        r.from = image_open(args->backing_file, &from, &err);
    }
    if (r.image && !r.image->node->driver->bitmaps) {
        error_set(&err, "%s: format %s holds no bitmaps", args->operands[0],
                  bdrv_format_name(r.image->node));
    } else if (r.image && (!args->backing_file || r.from)) {
        coroutine_run(co_bitmap, &r);
    }
    image_close(r.from, NULL);
    if (!image_close(r.image, r.ok ? &err : NULL) || !r.ok) {
        return img_failed(args, err, 1);
    }
    return 0;
}

const ImgCommand img_bitmap_command = {
    .name = "bitmap",
    .operands = "FILE BITMAP",
    .summary = "Makes, changes or deletes a bitmap that an image keeps",
    .options = bitmap_options,
    .min_operands = 2,
    .max_operands = 2,
    .usage_status = 1,
    .run = run_bitmap,
};

/* ---- convert --bitmaps ---- */

typedef struct CopyBitmaps {
    const ImgArgs *args;
    Image *from, *to;
    bool ok;
    Error **errp;
} CopyBitmaps;

static bool copy_one(CopyBitmaps *c, const BitmapInfo *b)
{
    const BitmapOps *ops = c->to->node->driver->bitmaps;

    if (b->inconsistent) {
        if (c->args->skip_broken) {
            warn_report("convert: left out bitmap %s, which is not intact", b->name);
            return true;
        }
        error_set(c->errp, "bitmap %s of %s is not intact; --skip-broken-bitmaps leaves it out",
                  b->name, c->from->file);
        return false;
    }
    return ops->co_add(c->to->node, b->name, b->granularity, !b->enabled, c->errp) &&
           ops->co_merge(c->to->node, b->name, c->from->node, b->name, c->errp);
}

static void co_copy_bitmaps(void *opaque)
{
    CopyBitmaps *c = opaque;
    BitmapInfo *list = NULL;
    int n = c->from->node->driver->bitmaps->co_list(c->from->node, &list);

    c->ok = n >= 0;
    for (int i = 0; i < n && c->ok; i++) {
        c->ok = copy_one(c, &list[i]);
    }
    free(list);
}

bool img_copy_bitmaps(const ImgArgs *args, Image *from, Image *to, Error **errp)
{
    CopyBitmaps c = {args, from, to, false, errp};

    if (!from->node->driver->bitmaps || !to->node->driver->bitmaps) {
        error_set(errp, "--bitmaps: format %s holds no bitmaps",
                  bdrv_format_name(from->node->driver->bitmaps ? to->node : from->node));
        return false;
    }
    coroutine_run(co_copy_bitmaps, &c);
    return c.ok;
}
