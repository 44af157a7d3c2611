/*
 * Images as vole-img reads and writes them: raw files and host block devices, by plain system
 * calls.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/img-image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/file-lock.h"
#include "block/node.h"

enum { ZEROES = 64 * 1024 };

static volatile sig_atomic_t caught_signal;

/* ---- signals ---- */

static void catch_signal(int number)
{
    caught_signal = number;
}

void image_catch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    /* No SA_RESTART: a system call that waits returns at once. */
    struct sigaction action = {.sa_handler = catch_signal};

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

static bool interrupted(Error **errp)
{
    if (caught_signal) {
        error_set(errp, "interrupted");
    }
    return caught_signal;
}

/* ---- opening and closing ---- */

static bool raw_lock(int fd, const char *file, bool readonly, Error **errp)
{
    return file_lock(fd, file, BLK_PERM_READ | (readonly ? 0 : BLK_PERM_WRITE | BLK_PERM_RESIZE),
                     BLK_PERM_READ | BLK_PERM_WRITE_UNCHANGED, errp);
}

static bool find_size(Image *image, Error **errp)
{
    struct stat st;

    if (fstat(image->fd, &st) < 0) {
        error_set_errno(errp, errno, "cannot examine %s", image->file);
        return false;
    }
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
        error_set(errp, "%s is %s; a disk image is a regular file or a block device", image->file,
                  S_ISDIR(st.st_mode) ? "a directory" : "not a file");
        return false;
    }
    image->is_device = S_ISBLK(st.st_mode);
    uint64_t size = st.st_size;
    if (image->is_device && ioctl(image->fd, BLKGETSIZE64, &size) < 0) {
        error_set_errno(errp, errno, "cannot find the size of %s", image->file);
        return false;
    }
    image->stored = size;
    image->size = whole_sectors(size);
    return true;
}

/* Who gives no format and has a file in another one means the disk inside it. */
static bool looks_raw(const Image *image, Error **errp)
{
    static const struct {
        const char *format, *magic;
    } known[] = {{"qcow2", "QFI\xfb"}, {"vmdk", "KDMV"}, {"vhdx", "vhdxfile"}, {"qed", "QED"}};
    char head[8] = "";

    if (pread(image->fd, head, sizeof(head), 0) < 4) {
        return true;
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        /* QED's fourth byte is a zero, which the string brings along. */
        size_t n = strlen(known[i].magic) < 4 ? 4 : strlen(known[i].magic);
        if (!memcmp(head, known[i].magic, n)) {
            error_set(errp, "%s is a %s image; possible: raw (-f raw takes its bytes as they are)",
                      image->file, known[i].format);
            return false;
        }
    }
    return true;
}

static Image *new_image(const char *file)
{
    Image *image = calloc(1, sizeof(*image));

    if (!image || !(image->file = strdup(file))) {
        error_exit("out of memory");
    }
    image->fd = -1;
    return image;
}

static void free_image(Image *image)
{
    if (image->fd >= 0) {
        close(image->fd);
    }
    free(image->file);
    free(image);
}

Image *image_open(const char *file, const ImageOpen *how, Error **errp)
{
    Image *image = new_image(file);

    /* Without O_NONBLOCK the open of a FIFO would wait for its other end. */
    image->fd = open(file, (how->writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
    if (image->fd < 0) {
        error_set_errno(errp, errno, "cannot open %s%s", file, how->writable ? " for writing" : "");
    } else if (find_size(image, errp) && (how->format_given || looks_raw(image, errp)) &&
               (how->force_share || raw_lock(image->fd, file, !how->writable, errp))) {
        return image;
    }
    free_image(image);
    return NULL;
}

/* An existing file loses its contents only once its lock is ours. */
static bool make_empty(Image *image, uint64_t size, ImagePrealloc prealloc, Error **errp)
{
    if (!find_size(image, errp) || !raw_lock(image->fd, image->file, false, errp)) {
        return false;
    }
    if (image->is_device) {
        if (image->size < size) {
            error_set(errp, "device %s has %llu bytes, the image needs %llu", image->file,
                      (unsigned long long)image->size, (unsigned long long)size);
            return false;
        }
        return true;
    }
    if (ftruncate(image->fd, 0) < 0) {
        error_set_errno(errp, errno, "cannot empty %s", image->file);
        return false;
    }
    image->zeroed = true;
    image->size = 0;
    return image_resize(image, size, prealloc, errp);
}

Image *image_create(const char *file, uint64_t size, ImagePrealloc prealloc, Error **errp)
{
    Image *image = new_image(file);
    const int flags = O_RDWR | O_CLOEXEC | O_NONBLOCK;

    image->fd = open(file, flags | O_CREAT | O_EXCL, 0644);
    image->created = image->fd >= 0;
    if (image->fd < 0 && errno == EEXIST) {
        /* O_CREAT again: a dangling symbolic link leads to a file to be made. */
        image->fd = open(file, flags | O_CREAT, 0644);
    }
    if (image->fd < 0) {
        error_set_errno(errp, errno, "cannot create %s", file);
        free_image(image);
        return NULL;
    }
    if (!make_empty(image, size, prealloc, errp)) {
        bool emptied = image->zeroed;
        if (!image_abandon(image) && emptied) {
            error_prepend(errp, "%s is left empty: ", file);
        }
        return NULL;
    }
    return image;
}

bool image_close(Image *image, Error **errp)
{
    bool ok = true;

    if (image) {
        /* Network file systems tell of a full disk only here. */
        if (close(image->fd) < 0 && errno != EINTR) {
            error_set_errno(errp, errno, "cannot complete %s", image->file);
            ok = false;
        }
        image->fd = -1;
        free_image(image);
    }
    return ok;
}

bool image_abandon(Image *image)
{
    bool removed = image->created && unlink(image->file) == 0;

    free_image(image);
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
    char *p = buf;

    while (bytes) {
        if (interrupted(errp)) {
            return false;
        }
        ssize_t n = pread(image->fd, p, bytes, offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            error_set_errno(errp, errno, "cannot read %s at byte %llu", image->file,
                            (unsigned long long)offset);
            return false;
        }
        if (n == 0) {
            memset(p, 0, bytes);
            return true;
        }
        p += n;
        offset += n;
        bytes -= n;
    }
    return true;
}

bool image_write(Image *image, uint64_t offset, const void *buf, size_t bytes, Error **errp)
{
    const char *p = buf;

    while (bytes) {
        if (interrupted(errp)) {
            return false;
        }
        ssize_t n = pwrite(image->fd, p, bytes, offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            error_set_errno(errp, n < 0 ? errno : ENOSPC, "cannot write %s at byte %llu",
                            image->file, (unsigned long long)offset);
            return false;
        }
        p += n;
        offset += n;
        bytes -= n;
    }
    return true;
}

static bool write_zeroes(Image *image, uint64_t offset, uint64_t bytes, Error **errp)
{
    static const uint8_t zeroes[ZEROES];

    while (bytes) {
        size_t n = bytes < ZEROES ? bytes : ZEROES;
        if (!image_write(image, offset, zeroes, n, errp)) {
            return false;
        }
        offset += n;
        bytes -= n;
    }
    return true;
}

bool image_zero(Image *image, uint64_t offset, uint64_t bytes, Error **errp)
{
    if (interrupted(errp)) {
        return false;
    }
    if (fallocate(image->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes) == 0) {
        return true;
    }
    return write_zeroes(image, offset, bytes, errp);
}

bool image_flush(Image *image, Error **errp)
{
    while (fdatasync(image->fd) < 0) {
        if (errno != EINTR) {
            error_set_errno(errp, errno, "cannot complete %s", image->file);
            return false;
        }
        if (interrupted(errp)) {
            return false;
        }
    }
    return true;
}

void image_next_range(const Image *image, uint64_t offset, bool *data, uint64_t *end)
{
    off_t start = lseek(image->fd, offset, SEEK_DATA);

    if (start < 0 && errno == ENXIO) {
        *data = false;
        *end = image->size;
    } else if (start >= (off_t)offset + BLK_SECTOR_SIZE) {
        *data = false;
        *end = start / BLK_SECTOR_SIZE * BLK_SECTOR_SIZE;
    } else {
        off_t hole = start < 0 ? -1 : lseek(image->fd, offset, SEEK_HOLE);
        *data = true;
        /* Where the host cannot tell, all is data. */
        *end = hole > (off_t)offset ? (uint64_t)hole : image->size;
    }
    /* A file's odd end belongs to the last sector. */
    *end = whole_sectors(*end);
    if (*end > image->size) {
        *end = image->size;
    }
}

uint64_t image_allocated(const Image *image)
{
    struct stat st;

    return fstat(image->fd, &st) < 0 ? 0 : (uint64_t)st.st_blocks * 512;
}

/* ---- size ---- */

static bool preallocate(Image *image, uint64_t from, uint64_t to, ImagePrealloc prealloc,
                        Error **errp)
{
    if (prealloc == PREALLOC_FALLOC && to > from) {
        int ret;
        do {
            if (interrupted(errp)) {
                return false;
            }
            ret = fallocate(image->fd, 0, from, to - from);
        } while (ret < 0 && errno == EINTR);
        if (ret < 0) {
            error_set_errno(errp, errno, "cannot preallocate %s", image->file);
            return false;
        }
    } else if (prealloc == PREALLOC_FULL) {
        return write_zeroes(image, from, to - from, errp) && image_flush(image, errp);
    }
    return true;
}

bool image_resize(Image *image, uint64_t size, ImagePrealloc prealloc, Error **errp)
{
    uint64_t old = image->size;

    if (image->is_device) {
        error_set(errp, "%s is a device; only image files change their size", image->file);
        return false;
    }
    if (ftruncate(image->fd, size) < 0) {
        error_set_errno(errp, errno, "cannot make %s %llu bytes long", image->file,
                        (unsigned long long)size);
        return false;
    }
    if (size > old && !preallocate(image, old, size, prealloc, errp)) {
        if (ftruncate(image->fd, old) < 0) {
            error_prepend(errp, "%s has kept the new size: ", image->file);
        }
        return false;
    }
    image->size = image->stored = size;
    return true;
}
