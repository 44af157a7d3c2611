/*
 * The temporary overlay of -snapshot: writes go to an unlinked sparse file of the image's size, at
 * the image's own offsets, and a bitmap in memory says which sectors lie there. Both vanish at
 * close.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/block.h"
#include "block/driver.h"

typedef struct OverlayNode {
    BlkNode node;
    BlkNode *below;
    int fd;
    uint8_t *written; /* a bit a sector; workers set bits at the same time */
} OverlayNode;

static bool is_written(OverlayNode *o, uint64_t sector)
{
    return __atomic_load_n(&o->written[sector / 8], __ATOMIC_ACQUIRE) & (1 << sector % 8);
}

static int read_written(OverlayNode *o, uint64_t offset, uint8_t *buf, size_t bytes)
{
    while (bytes) {
        ssize_t n = pread(o->fd, buf, bytes, offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EIO;
        }
        buf += n;
        offset += n;
        bytes -= n;
    }
    return 0;
}

static int read_part(OverlayNode *o, uint64_t offset, uint8_t *buf, size_t bytes, bool written)
{
    struct iovec iov = {buf, bytes};

    return written ? read_written(o, offset, buf, bytes)
                   : o->below->driver->readv(o->below, offset, &iov, 1);
}

/* Sector by sector through the vector, joined to runs that lie in one file and one buffer. A buffer
   that ends inside a sector ends its run there. */
static int overlay_readv(BlkNode *node, uint64_t offset, struct iovec *iov, int iovcnt)
{
    OverlayNode *o = (OverlayNode *)node;

    for (int i = 0; i < iovcnt; i++) {
        uint8_t *buf = iov[i].iov_base;
        size_t left = iov[i].iov_len;
        while (left) {
            bool written = is_written(o, offset / BLK_SECTOR_SIZE);
            size_t run = 0;
            do {
                size_t n = BLK_SECTOR_SIZE - (offset + run) % BLK_SECTOR_SIZE;
                run += n < left - run ? n : left - run;
            } while (run < left && is_written(o, (offset + run) / BLK_SECTOR_SIZE) == written);
            int ret = read_part(o, offset, buf, run, written);
            if (ret < 0) {
                return ret;
            }
            offset += run;
            buf += run;
            left -= run;
        }
    }
    return 0;
}

static int overlay_writev(BlkNode *node, uint64_t offset, struct iovec *iov, int iovcnt)
{
    OverlayNode *o = (OverlayNode *)node;
    uint64_t at = offset;

    for (int i = 0; i < iovcnt; i++) {
        const uint8_t *buf = iov[i].iov_base;
        size_t left = iov[i].iov_len;
        while (left) {
            ssize_t n = pwrite(o->fd, buf, left, at);
            if (n < 0 && errno == EINTR) {
                continue;
            }
            if (n <= 0) {
                return n < 0 ? -errno : -ENOSPC;
            }
            buf += n;
            at += n;
            left -= n;
        }
    }
    for (uint64_t s = offset / BLK_SECTOR_SIZE; s < at / BLK_SECTOR_SIZE; s++) {
        __atomic_fetch_or(&o->written[s / 8], 1 << s % 8, __ATOMIC_RELEASE);
    }
    return 0;
}

/* What is thrown away at exit need not reach a disk. */
static int overlay_flush(BlkNode *node)
{
    return 0;
}

static int overlay_discard(BlkNode *node, uint64_t offset, uint64_t bytes)
{
    return 0;
}

static void overlay_close(BlkNode *node)
{
    OverlayNode *o = (OverlayNode *)node;

    o->below->driver->close(o->below);
    if (o->fd >= 0) {
        close(o->fd);
    }
    free(o->written);
    free(o);
}

static const BlkDriver overlay_driver = {
    .name = "overlay",
    .readv = overlay_readv,
    .writev = overlay_writev,
    .flush = overlay_flush,
    .discard = overlay_discard,
    .close = overlay_close,
};

static int temporary_file(Error **errp)
{
    const char *dir = getenv("TMPDIR");
    char path[PATH_MAX];

    if (!dir || !*dir) {
        dir = "/var/tmp";
    }
    if (snprintf(path, sizeof(path), "%s/vole-snapshot-XXXXXX", dir) >= (int)sizeof(path)) {
        error_set(errp, "the directory's name in TMPDIR is too long");
        return -1;
    }
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) {
        error_set_errno(errp, errno, "cannot make a temporary file for snapshot=on in %s", dir);
        return -1;
    }
    unlink(path);
    return fd;
}

BlkNode *overlay_open(BlkNode *below, Error **errp)
{
    OverlayNode *o = calloc(1, sizeof(*o));
    /* Untouched pages of the bitmap cost nothing, so its full size is fine for any disk. */
    uint8_t *written = calloc(1, below->size / BLK_SECTOR_SIZE / 8 + 1);
    if (!o || !written) {
        error_exit("out of memory");
    }
    o->node.driver = &overlay_driver;
    o->node.size = below->size;
    o->below = below;
    o->written = written;
    o->fd = temporary_file(errp);
    if (o->fd < 0 || ftruncate(o->fd, below->size) < 0) {
        if (o->fd >= 0) {
            error_set_errno(errp, errno, "cannot size the temporary file for snapshot=on");
        }
        overlay_close(&o->node);
        return NULL;
    }
    return &o->node;
}
