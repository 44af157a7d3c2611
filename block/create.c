/*
 * Making images.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/block.h"
#include "block/driver.h"
#include "block/util.h"

typedef struct Create {
    const BlockDriver *driver; /* NULL: the protocol alone */
    BlockCreate c;
    bool ok;
    Error **errp;
} Create;

static bool co_create_file(const char *filename, uint64_t size, uint64_t expected,
                           BlockOptions *options, Error **errp)
{
    const BlockDriver *protocol = bdrv_find_protocol(filename, errp);
    BlockCreate c = {.filename = filename, .size = size, .expected = expected, .options = options};

    if (!protocol) {
        return false;
    }
    if (!protocol->co_create) {
        error_set(errp, "%s: images cannot be made over %s", filename, protocol->name);
        return false;
    }
    return protocol->co_create(&c, errp);
}

BlockChild *bdrv_create_attach(BlockCreate *create, unsigned perm, Error **errp)
{
    if (!create->file) {
        if (!co_create_file(create->filename, 0, create->expected, NULL, errp)) {
            return NULL;
        }
        create->made = true;
        create->file =
            bdrv_open(create->filename, NULL, BDRV_O_RDWR | BDRV_O_PROTOCOL | BDRV_O_RESIZE, errp);
    }
    return create->file
               ? bdrv_root_attach(bdrv_ref(create->file), perm, BLK_PERM_ALL, NULL, NULL, errp)
               : NULL;
}

/* What a format needs to be made at all. */
bool bdrv_check_create(const BlockDriver *driver, const char *filename, const char *backing_file,
                       const BlockOptions *options, Error **errp)
{
    BlockOptions *none = blkopts_new();
    bool ok = false;

    if (!driver->co_create) {
        error_set(errp, "%s: format %s can only be read", filename, driver->name);
    } else if (backing_file && !blkopts_describes(driver->create_options, "backing_file")) {
        error_set(errp, "%s: new images of format %s have no backing files", filename,
                  driver->name);
    } else {
        ok = blkopts_check(options ? options : none, driver->name, driver->create_options, errp);
    }
    blkopts_free(none);
    return ok;
}

/* If the format fails, a file that was not there before goes again. */
static bool co_create_format(const BlockDriver *driver, BlockCreate *c, Error **errp)
{
    const BlockDriver *protocol = bdrv_find_protocol(c->filename, errp);
    const char *path = strncmp(c->filename, "file:", 5) ? c->filename : c->filename + 5;

    if (!protocol) {
        return false;
    }
    if (!bdrv_check_create(driver, c->filename, c->backing_file, c->options, errp)) {
        return false;
    }
    bool is_file = !strcmp(protocol->name, "file"), was_there = is_file && access(path, F_OK) == 0;
    bool ok = driver->co_create(c, errp);
    bdrv_unref(c->file);
    if (!ok && c->made && is_file && !was_there) {
        unlink(path);
    }
    return ok;
}

static void co_create(void *opaque)
{
    Create *create = opaque;

    create->ok = create->driver ? co_create_format(create->driver, &create->c, create->errp)
                                : co_create_file(create->c.filename, create->c.size, 0,
                                                 create->c.options, create->errp);
}

/* The size of a backing file that is to give a new image its own. */
static bool backing_size(const char *filename, const char *backing, const char *format,
                         uint64_t *size, Error **errp)
{
    /* As the new image would name it: relative to its own directory. */
    char *full = NULL;
    const char *slash = strrchr(filename, '/');
    BlockOptions *options = blkopts_new();

    if (backing[0] != '/' && strcspn(backing, ":") >= strcspn(backing, "/") && slash) {
        if (asprintf(&full, "%.*s%s", (int)(slash + 1 - filename), filename, backing) < 0) {
            abort();
        }
    }
    if (format) {
        blkopts_set(options, "driver", format);
    }
    /* Somebody may use it, even write it: only its size matters. */
    BlockNode *node =
        bdrv_open(full ? full : backing, options, BDRV_O_NO_BACKING | BDRV_O_FORCE_SHARE, errp);
    if (node) {
        *size = node->size;
        bdrv_unref(node);
    } else {
        error_prepend(errp, "backing file of %s: ", filename);
    }
    free(full);
    return node != NULL;
}

bool bdrv_create(const char *format, const char *filename, uint64_t size, const char *backing_file,
                 const char *backing_format, BlockOptions *options, Error **errp)
{
    const BlockDriver *driver = bdrv_find_format(format);
    Error *err = NULL;

    if (!driver) {
        error_set(errp, "unknown format '%s'", format);
        return false;
    }
    if (size == UINT64_MAX &&
        (!backing_file || !backing_size(filename, backing_file, backing_format, &size, errp))) {
        if (!backing_file) {
            error_set(errp, "%s: the size is missing", filename);
        }
        return false;
    }
    Create create = {
        .driver = driver,
        .c = {.filename = filename,
              .size = ROUND_UP(size, BLK_SECTOR_SIZE),
              .options = options ? options : blkopts_new(),
              .backing_file = backing_file,
              .backing_format = backing_format},
        .errp = &err,
    };
    coroutine_run(co_create, &create);
    if (!options) {
        blkopts_free(create.c.options);
    }
    if (err) {
        error_propagate(errp, err);
    }
    return create.ok;
}

bool bdrv_create_file(const char *filename, uint64_t size, BlockOptions *options, Error **errp)
{
    Error *err = NULL;
    Create create = {.c = {.filename = filename, .size = size, .options = options}, .errp = &err};

    coroutine_run(co_create, &create);
    if (err) {
        error_propagate(errp, err);
    }
    return create.ok;
}
