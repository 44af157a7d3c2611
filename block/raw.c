/*
 * Raw images: a regular file or a host block device, byte for byte.
 *
 * A file whose size is not a multiple of the sector size shows zeroes up to the next one; writing
 * there lengthens it.
 *
 * Two programs must not write one image, nor one write what another reads. Open-file-description
 * locks say so: who writes locks the whole file; who reads holds a shared lock on byte 201 and
 * looks for a writer at byte 101, the bytes that other emulators and their image tools use for the
 * same purpose.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/block.h"
#include "block/driver.h"

enum { LOCK_BYTE_WRITER = 101, LOCK_BYTE_READER = 201 };

typedef struct RawNode {
    BlkNode node;
    int fd;
    bool is_device;
} RawNode;

/* Drops the first n bytes of the vector. */
static void iov_skip(struct iovec **iov, int *iovcnt, size_t n)
{
    while (*iovcnt > 0 && n >= (*iov)->iov_len) {
        n -= (*iov)->iov_len;
        (*iov)++;
        (*iovcnt)--;
    }
    if (*iovcnt > 0) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + n;
        (*iov)->iov_len -= n;
    }
}

static int raw_readv(BlkNode *node, uint64_t offset, struct iovec *iov, int iovcnt)
{
    RawNode *raw = (RawNode *)node;

    while (iovcnt > 0) {
        ssize_t n = preadv(raw->fd, iov, iovcnt < IOV_MAX ? iovcnt : IOV_MAX, offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            /* Past the end: the last sector's rest, or the file was cut short under us. */
            for (int i = 0; i < iovcnt; i++) {
                memset(iov[i].iov_base, 0, iov[i].iov_len);
            }
            return 0;
        }
        offset += n;
        iov_skip(&iov, &iovcnt, n);
    }
    return 0;
}

static int raw_writev(BlkNode *node, uint64_t offset, struct iovec *iov, int iovcnt)
{
    RawNode *raw = (RawNode *)node;

    while (iovcnt > 0) {
        ssize_t n = pwritev(raw->fd, iov, iovcnt < IOV_MAX ? iovcnt : IOV_MAX, offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            return -ENOSPC;
        }
        offset += n;
        iov_skip(&iov, &iovcnt, n);
    }
    return 0;
}

static int raw_flush(BlkNode *node)
{
    RawNode *raw = (RawNode *)node;

    while (!node->readonly && fdatasync(raw->fd) < 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

static int raw_discard(BlkNode *node, uint64_t offset, uint64_t bytes)
{
    RawNode *raw = (RawNode *)node;
    int ret;

    if (raw->is_device) {
        uint64_t range[2] = {offset, bytes};
        ret = ioctl(raw->fd, BLKDISCARD, range);
    } else {
        ret = fallocate(raw->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes);
    }
    if (ret < 0 && errno != EOPNOTSUPP && errno != ENOTTY && errno != ENOSYS) {
        return -errno;
    }
    return 0;
}

static void raw_close(BlkNode *node)
{
    RawNode *raw = (RawNode *)node;

    close(raw->fd);
    free(raw);
}

static const BlkDriver raw_driver = {
    .name = "raw",
    .readv = raw_readv,
    .writev = raw_writev,
    .flush = raw_flush,
    .discard = raw_discard,
    .close = raw_close,
};

bool raw_lock(int fd, const char *file, bool readonly, Error **errp)
{
    struct flock lock = {
        .l_type = readonly ? F_RDLCK : F_WRLCK,
        .l_whence = SEEK_SET,
        .l_start = readonly ? LOCK_BYTE_READER : 0,
        .l_len = readonly ? 1 : 0, /* 0: to the end, however far */
    };
    struct flock writer = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCK_BYTE_WRITER, .l_len = 1};

    if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
        if (errno != EAGAIN && errno != EACCES) {
            return true; /* a file system without locks */
        }
    } else if (!readonly) {
        return true;
    } else if (fcntl(fd, F_OFD_GETLK, &writer) < 0 || writer.l_type == F_UNLCK) {
        return true;
    }
    error_set(errp,
              readonly
                  ? "image %s is being written by another program"
                  : "image %s is in use by another program; use it read-only in both, or a copy",
              file);
    return false;
}

static bool find_size(RawNode *raw, const char *file, Error **errp)
{
    struct stat st;

    if (fstat(raw->fd, &st) < 0) {
        error_set_errno(errp, errno, "cannot examine image %s", file);
        return false;
    }
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
        error_set(errp, "image %s is %s; a disk image is a regular file or a block device", file,
                  S_ISDIR(st.st_mode) ? "a directory" : "not a file");
        return false;
    }
    raw->is_device = S_ISBLK(st.st_mode);
    uint64_t size = st.st_size;
    if (raw->is_device && ioctl(raw->fd, BLKGETSIZE64, &size) < 0) {
        error_set_errno(errp, errno, "cannot find the size of %s", file);
        return false;
    }
    raw->node.size = (size + BLK_SECTOR_SIZE - 1) / BLK_SECTOR_SIZE * BLK_SECTOR_SIZE;
    return true;
}

BlkNode *raw_open(const char *file, bool readonly, Error **errp)
{
    /* Without O_NONBLOCK the open of a FIFO would wait for its other end. */
    int fd = open(file, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        error_set_errno(errp, errno, "cannot open image %s%s", file,
                        readonly ? "" : " for writing");
        return NULL;
    }
    RawNode *raw = calloc(1, sizeof(*raw));
    if (!raw) {
        error_exit("out of memory");
    }
    raw->node.driver = &raw_driver;
    raw->node.readonly = readonly;
    raw->fd = fd;
    if (!find_size(raw, file, errp) || !raw_lock(fd, file, readonly, errp)) {
        raw_close(&raw->node);
        return NULL;
    }
    return &raw->node;
}
