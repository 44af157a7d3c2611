/*
 * Images as vole-img reads and writes them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/img-image.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/driver.h"
#include "block/kdf.h"
#include "block/util.h"
#include "util/loop.h"

static volatile sig_atomic_t caught_signal;

/* ---- signals ---- */

static int wake_fd = -1;

static void catch_signal(int number)
{
    const uint64_t one = 1;

    caught_signal = number;
    if (write(wake_fd, &one, sizeof(one)) < 0) {
        _exit(1);
    }
}

/* What waits for a server that does not answer need not: all is over. */
static void give_up(void *opaque)
{
    uint64_t n;

    if (read(wake_fd, &n, sizeof(n)) > 0) {
        kdf_cancel();
        for (BlockNode *node = bdrv_next(NULL); node; node = bdrv_next(node)) {
            bdrv_cancel_in_flight(node);
        }
    }
}

void image_catch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    /* No SA_RESTART: a system call that waits returns at once. */
    struct sigaction action = {.sa_handler = catch_signal};

    wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd < 0) {
        return; /* signals end us as ever */
    }
    loop_set_fd(wake_fd, give_up, NULL, NULL);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct sigaction old;
        /* nohup and background shells ignore signals on purpose. */
        if (!sigaction(numbers[i], NULL, &old) && old.sa_handler != SIG_IGN) {
            sigaction(numbers[i], &action, NULL);
        }
    }
    /* A file beyond the size limit shall be an error with a message, not a silent death. */
    signal(SIGXFSZ, SIG_IGN);
}

void image_die(void)
{
    if (caught_signal) {
        signal(caught_signal, SIG_DFL);
        raise(caught_signal);
    }
}

bool image_interrupted(Error **errp)
{
    if (caught_signal) {
        error_set(errp, "interrupted");
    }
    return caught_signal;
}

/* ---- opening and closing ---- */

static char *copy_string(const char *s)
{
    char *copy = strdup(s);

    if (!copy) {
        error_exit("out of memory");
    }
    return copy;
}

static Image *new_image(const char *file, BlockChild *root)
{
    Image *image = calloc(1, sizeof(*image));

    if (!image) {
        error_exit("out of memory");
    }
    image->file = copy_string(file);
    image->root = root;
    if (root) {
        image->node = bdrv_child_node(root);
        image->size = whole_sectors(bdrv_size(image->node));
    }
    return image;
}

static void free_image(Image *image)
{
    bdrv_root_detach(image->root);
    free(image->file);
    free(image);
}

Image *image_open(const char *file, const ImageOpen *how, Error **errp)
{
    unsigned flags = how->cache | (how->writable ? BDRV_O_RDWR | BDRV_O_UNMAP : 0) |
                     (how->force_share ? BDRV_O_FORCE_SHARE : 0) |
                     (how->no_backing ? BDRV_O_NO_BACKING : 0) | (how->check ? BDRV_O_CHECK : 0) |
                     (how->header_only ? BDRV_O_NO_IO : 0);
    BlockOptions *options = blkopts_new();

    if (how->options && !blkopts_parse(options, file, NULL, errp)) {
        blkopts_free(options);
        return NULL;
    }
    if (how->format) {
        blkopts_set(options, "driver", how->format);
    }
    if (how->aio) {
        blkopts_set(options, how->options ? "file.aio" : "aio", how->aio);
    }
    for (unsigned i = 0; i < blkopts_count(how->creation); i++) {
        const char *key = blkopts_key(how->creation, i);
        if (!strcmp(key, "key-secret") || !strcmp(key, "encrypt.key-secret")) {
            blkopts_set(options, key, blkopts_value(how->creation, i));
        }
    }
    BlockChild *root = bdrv_open_root(how->options ? NULL : file, options, flags, errp);
    if (root && caught_signal) {
        bdrv_cancel_in_flight(bdrv_child_node(root)); /* give_up() came before it was there */
    }
    return root ? new_image(file, root) : NULL;
}

Image *image_create(const char *file, const ImageCreate *how, Error **errp)
{
    const char *path = strncmp(file, "file:", 5) ? file : file + 5;
    const ImageOpen open = {
        .format = how->format, .writable = true, .cache = how->cache, .creation = how->options};
    BlockOptions *options = blkopts_copy(how->options);
    bool was_there = access(path, F_OK) == 0;

    bool ok = bdrv_create(how->format, file, how->size, how->backing_file, how->backing_format,
                          options, errp);
    blkopts_free(options);
    if (!ok) {
        return NULL;
    }
    Image *image = how->open ? image_open(file, &open, errp) : new_image(file, NULL);
    if (!image) {
        if (!was_there) {
            unlink(path);
        }
        return NULL;
    }
    struct stat st;
    image->created = !was_there;
    image->zeroed =
        stat(path, &st) == 0 && S_ISREG(st.st_mode) && (!image->node || image->node->zero_init);
    return image;
}

bool image_close(Image *image, Error **errp)
{
    bool ok = true;

    if (image) {
        /* A format may hold back what it has yet to write. */
        int ret = image->root && !bdrv_readonly(image->node) ? bdrv_flush(image->node) : 0;
        if (ret < 0) {
            error_set_errno(errp, -ret, "cannot complete %s", image->file);
            ok = false;
        }
        free_image(image);
    }
    return ok;
}

bool image_abandon(Image *image)
{
    char *file = copy_string(strncmp(image->file, "file:", 5) ? image->file : image->file + 5);
    bool created = image->created;

    free_image(image);
    bool removed = created && unlink(file) == 0;
    free(file);
    return removed;
}

bool image_same_file(const char *a, const char *b)
{
    struct stat sa, sb;

    if (stat(a, &sa) < 0 || stat(b, &sb) < 0) {
        return false;
    }
    if (S_ISBLK(sa.st_mode) && S_ISBLK(sb.st_mode)) {
        return sa.st_rdev == sb.st_rdev;
    }
    return sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

/* ---- contents ---- */

bool image_read(Image *image, uint64_t offset, void *buf, size_t bytes, Error **errp)
{
    if (image_interrupted(errp)) {
        return false;
    }
    int ret = bdrv_pread(image->root, offset, bytes, buf);
    if (ret < 0) {
        error_set_errno(errp, -ret, "cannot read %s at byte %llu", image->file,
                        (unsigned long long)offset);
    }
    return ret == 0;
}

bool image_write(Image *image, uint64_t offset, const void *buf, size_t bytes, Error **errp)
{
    if (image_interrupted(errp)) {
        return false;
    }
    int ret = bdrv_pwrite(image->root, offset, bytes, buf, 0);
    if (ret < 0) {
        error_set_errno(errp, -ret, "cannot write %s at byte %llu", image->file,
                        (unsigned long long)offset);
    }
    return ret == 0;
}

bool image_flush(Image *image, Error **errp)
{
    int ret = bdrv_flush(image->node);

    if (ret < 0) {
        error_set_errno(errp, -ret, "cannot complete %s", image->file);
    }
    return ret == 0;
}

bool image_next_range(const Image *image, uint64_t offset, bool *data, uint64_t *end, Error **errp)
{
    uint64_t n;
    int ret = bdrv_block_status_above(image->node, NULL, true, offset, image->size - offset, &n,
                                      NULL, NULL, NULL);

    if (ret < 0) {
        error_set_errno(errp, -ret, "cannot find out what %s holds at byte %llu", image->file,
                        (unsigned long long)offset);
        return false;
    }
    *data = (ret & BDRV_BLOCK_DATA) && !(ret & BDRV_BLOCK_ZERO);
    /* A file's odd end belongs to the last sector. */
    *end = n ? MIN(offset + n, image->size) : image->size;
    return true;
}

bool image_resize(Image *image, uint64_t size, BlockPrealloc prealloc, Error **errp)
{
    if (!bdrv_truncate(image->root, size, false, prealloc, errp)) {
        return false;
    }
    image->size = bdrv_size(image->node);
    return true;
}
