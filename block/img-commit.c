/*
 * vole-img commit, rebase: what stands in an image goes into its backing file; an image gets
 * another one.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "block/img.h"
#include "block/util.h"

enum { CHUNK = 2 << 20 };

/* ---- commit ---- */

static bool set_drop(ImgArgs *args, const char *value, Error **errp)
{
    args->drop = true;
    return true;
}

static const ImgOption commit_options[] = {
    {'f', NULL, "FORMAT", "format of the image", img_set_format},
    {0, "image-opts", NULL, "FILE is a list of options", img_set_image_opts},
    {'b', NULL, "FILE", "commit into this image of the chain, not the nearest one; implies -d",
     img_set_backing},
    {'d', NULL, NULL, "do not empty the image afterwards", set_drop},
    {'r', NULL, "RATE", "at most so many bytes a second", img_set_rate},
    {'t', NULL, "CACHE", "cache mode", img_set_cache},
    {'p', NULL, NULL, "show progress", img_set_progress},
    {'q', NULL, NULL, "print nothing but errors", img_set_quiet},
    IMG_OBJECT_OPTION,
    {0},
};

static BlockNode *find_base(const ImgArgs *args, Image *image, Error **errp)
{
    BlockNode *base = bdrv_backing(image->node);

    if (!base) {
        error_set(errp, "%s has no backing file", image->file);
        return NULL;
    }
    if (!args->backing_file) {
        return base;
    }
    for (; base; base = bdrv_backing(base)) {
        if (!strcmp(bdrv_filename(base), args->backing_file) ||
            image_same_file(bdrv_filename(base), args->backing_file)) {
            return base;
        }
    }
    error_set(errp, "-b %s: not in the chain of backing files of %s", args->backing_file,
              image->file);
    return NULL;
}

typedef struct Commit {
    Image *image;
    BlockNode *base;
    BlockChild *target;
    uint8_t *buf;
    uint64_t rate;
    int64_t started;
    ImgProgress progress;
    bool ok;
    Error **errp;
} Commit;

static void limit_rate(const Commit *c, uint64_t done)
{
    if (c->rate) {
        int64_t wait = c->started + (int64_t)((double)done * NS_PER_SEC / (double)c->rate) -
                       clock_now(CLOCK_HOST);
        if (wait > 0) {
            coroutine_sleep(CLOCK_HOST, wait);
        }
    }
}

static int commit_range(Commit *c, uint64_t offset, uint64_t bytes, bool zero)
{
    if (zero) {
        return bdrv_co_pwrite_zeroes(c->target, offset, bytes, BDRV_REQ_MAY_UNMAP);
    }
    int ret = bdrv_co_pread(c->image->root, offset, bytes, c->buf, 0);
    return ret < 0 ? ret : bdrv_co_pwrite(c->target, offset, bytes, c->buf, 0);
}

static void co_commit(void *opaque)
{
    Commit *c = opaque;
    const uint64_t size = bdrv_size(c->image->node);

    for (uint64_t offset = 0, n; offset < size; offset += n) {
        int ret = bdrv_co_block_status_above(c->image->node, c->base, true, offset,
                                             MIN(size - offset, CHUNK), &n, NULL, NULL, NULL);
        if (ret >= 0 && (ret & BDRV_BLOCK_ALLOCATED)) {
            ret = commit_range(c, offset, n, ret & BDRV_BLOCK_ZERO);
            limit_rate(c, offset + n);
        }
        if (ret < 0) {
            error_set_errno(c->errp, -ret, "cannot commit %s at byte %" PRIu64, c->image->file,
                            offset);
            return;
        }
        if (image_interrupted(c->errp)) {
            return;
        }
        img_progress(&c->progress, offset + n, size);
    }
    int ret = bdrv_co_flush(bdrv_child_node(c->target));
    if (ret < 0) {
        error_set_errno(c->errp, -ret, "cannot complete %s", bdrv_filename(c->base));
    }
    c->ok = ret == 0;
}

/* The base becomes writable, grows if it must, takes the data; only then the image is emptied. */
static bool commit(const ImgArgs *args, Image *image, Error **errp)
{
    Commit c = {.image = image, .rate = args->rate, .errp = errp};

    c.base = find_base(args, image, errp);
    if (!c.base || !bdrv_reopen(c.base, false, errp)) {
        return false;
    }
    c.target = bdrv_root_attach(bdrv_ref(c.base), BLK_PERM_READ | BLK_PERM_WRITE | BLK_PERM_RESIZE,
                                BLK_PERM_ALL, NULL, NULL, errp);
    bool ok =
        c.target && (bdrv_size(c.base) >= bdrv_size(image->node) ||
                     bdrv_truncate(c.target, bdrv_size(image->node), false, PREALLOC_OFF, errp));
    if (ok) {
        c.buf = block_alloc_large(image->node, CHUNK);
        c.started = clock_now(CLOCK_HOST);
        img_progress_start(&c.progress, args->progress && !args->quiet);
        coroutine_run(co_commit, &c);
        img_progress_end(&c.progress, c.ok);
        free(c.buf);
        ok = c.ok;
    }
    bdrv_root_detach(c.target);
    ok = bdrv_reopen(c.base, true, ok ? errp : NULL) && ok;
    if (ok && !args->drop && !args->backing_file) {
        int ret = bdrv_make_empty(image->root);
        if (ret < 0 && ret != -ENOTSUP) { /* that format keeps what it had */
            error_set_errno(errp, -ret, "%s was committed but could not be emptied", image->file);
            return false;
        }
    }
    return ok;
}

static int run_commit(ImgArgs *args)
{
    Error *err = NULL;

    args->open.writable = true;
    args->open.cache = args->target_cache;
    image_catch_signals();
    Image *image = image_open(args->operands[0], &args->open, &err);
    bool ok = image && commit(args, image, &err);
    if (!image_close(image, ok ? &err : NULL) || !ok) {
        img_failed(args, err, 1);
        image_die();
        return 1;
    }
    if (!args->quiet) {
        puts("Image committed.");
    }
    return 0;
}

const ImgCommand img_commit_command = {
    .name = "commit",
    .operands = "FILE",
    .summary = "Writes what an image holds into its backing file",
    .options = commit_options,
    .min_operands = 1,
    .max_operands = 1,
    .usage_status = 1,
    .run = run_commit,
};

/* ---- rebase ---- */

static const ImgOption rebase_options[] = {
    {'f', NULL, "FORMAT", "format of the image", img_set_format},
    {0, "image-opts", NULL, "FILE is a list of options", img_set_image_opts},
    {'b', NULL, "FILE", "the new backing file; \"\": none", img_set_backing},
    {'F', NULL, "FORMAT", "its format", img_set_backing_format},
    {'u', NULL, NULL, "change the name only: the new one holds the same as the old one",
     img_set_unsafe},
    {'t', NULL, "CACHE", "cache mode of the image", img_set_cache},
    {'T', NULL, "CACHE", "cache mode of the backing files", img_set_source_cache},
    {'p', NULL, NULL, "show progress", img_set_progress},
    {'q', NULL, NULL, "print nothing but errors", img_set_quiet},
    {'U', "force-share", NULL, "also while another program writes it", img_set_force_share},
    IMG_OBJECT_OPTION,
    {0},
};

typedef struct Rebase {
    Image *image, *new_base; /* NULL: none */
    uint8_t *old_buf, *new_buf;
    uint64_t cluster;
    ImgProgress progress;
    bool ok;
    Error **errp;
} Rebase;

/* Runs of clusters in which the backing files differ go into the image. */
static int write_differences(Rebase *r, uint64_t offset, uint64_t bytes)
{
    for (uint64_t at = 0, end; at < bytes; at = end) {
        bool differ = false;
        for (end = at; end < bytes; end += MIN(r->cluster, bytes - end)) {
            uint64_t n = MIN(r->cluster, bytes - end);
            bool this_one = memcmp(r->old_buf + end, r->new_buf + end, n) != 0;
            if (end > at && this_one != differ) {
                break;
            }
            differ = this_one;
        }
        int ret = 0;
        if (differ && buffer_is_zero(r->old_buf + at, end - at)) {
            ret = bdrv_co_pwrite_zeroes(r->image->root, offset + at, end - at, 0);
        } else if (differ) {
            ret = bdrv_co_pwrite(r->image->root, offset + at, end - at, r->old_buf + at, 0);
        }
        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

static int rebase_range(Rebase *r, uint64_t offset, uint64_t bytes)
{
    /* What the image does not hold, the old backing file shows. */
    int ret = bdrv_co_pread(r->image->root, offset, bytes, r->old_buf, 0);

    memset(r->new_buf, 0, bytes);
    if (ret == 0 && r->new_base && offset < r->new_base->size) {
        ret = bdrv_co_pread(r->new_base->root, offset, bytes, r->new_buf, 0);
    }
    return ret < 0 ? ret : write_differences(r, offset, bytes);
}

static void co_rebase(void *opaque)
{
    Rebase *r = opaque;
    const uint64_t size = bdrv_size(r->image->node);

    for (uint64_t offset = 0, n; offset < size; offset += n) {
        int ret =
            bdrv_co_block_status(r->image->node, false, offset,
                                 MIN(size - offset, CHUNK - offset % r->cluster), &n, NULL, NULL);
        if (ret >= 0 && !(ret & BDRV_BLOCK_ALLOCATED)) {
            ret = rebase_range(r, offset, n);
        }
        if (ret < 0) {
            error_set_errno(r->errp, -ret, "cannot rebase %s at byte %" PRIu64, r->image->file,
                            offset);
            return;
        }
        if (image_interrupted(r->errp)) {
            return;
        }
        img_progress(&r->progress, offset + n, size);
    }
    int ret = bdrv_co_flush(r->image->node);
    if (ret < 0) {
        error_set_errno(r->errp, -ret, "cannot complete %s", r->image->file);
    }
    r->ok = ret == 0;
}

static bool copy_differences(const ImgArgs *args, Image *image, Error **errp)
{
    BlockInfo info;
    Rebase r = {.image = image, .errp = errp};

    if (*args->backing_file) {
        char *full = bdrv_full_backing_name(image->node, args->backing_file, errp);
        ImageOpen how = {.format = args->backing_format,
                         .force_share = args->open.force_share,
                         .cache = args->open.cache};
        r.new_base = full ? image_open(full, &how, errp) : NULL;
        free(full);
        if (!r.new_base) {
            return false;
        }
    }
    r.cluster =
        bdrv_get_info(image->node, &info) == 0 && info.cluster_size ? info.cluster_size : 65536;
    r.old_buf = block_alloc_large(image->node, CHUNK);
    r.new_buf = block_alloc_large(image->node, CHUNK);
    img_progress_start(&r.progress, args->progress && !args->quiet);
    coroutine_run(co_rebase, &r);
    img_progress_end(&r.progress, r.ok);
    free(r.old_buf);
    free(r.new_buf);
    image_close(r.new_base, NULL);
    return r.ok;
}

static bool rebase(const ImgArgs *args, Image *image, Error **errp)
{
    const char *name = args->backing_file;

    if (*name && !args->backing_format) {
        error_set(errp, "-b %s: the backing file's format is missing; add -F FORMAT", name);
        return false;
    }
    if (!args->unsafe && !copy_differences(args, image, errp)) {
        return false;
    }
    int ret = bdrv_change_backing_file(image->node, *name ? name : NULL,
                                       *name ? args->backing_format : NULL);
    if (ret == -ENOSPC) {
        error_set(errp, "%s has no room for the name '%s'", image->file, name);
    } else if (ret == -ENOTSUP) {
        error_set(errp, "%s: format %s has no backing files", image->file,
                  bdrv_format_name(image->node));
    } else if (ret < 0) {
        error_set_errno(errp, -ret, "cannot change the backing file of %s", image->file);
    }
    return ret == 0;
}

static int run_rebase(ImgArgs *args)
{
    Error *err = NULL;

    if (!args->backing_file) {
        error_set(&err, "-b FILE is missing (\"\" for none)");
        return img_failed(args, err, 1);
    }
    ImageOpen how = args->open;
    how.writable = true;
    how.no_backing = args->unsafe;
    how.cache = args->target_cache;
    image_catch_signals();
    Image *image = image_open(args->operands[0], &how, &err);
    bool ok = image && rebase(args, image, &err);
    if (!image_close(image, ok ? &err : NULL) || !ok) {
        img_failed(args, err, 1);
        image_die();
        return 1;
    }
    return 0;
}

const ImgCommand img_rebase_command = {
    .name = "rebase",
    .operands = "FILE",
    .summary = "Gives an image another backing file; it shows the same as before",
    .options = rebase_options,
    .min_operands = 1,
    .max_operands = 1,
    .usage_status = 1,
    .run = run_rebase,
};
