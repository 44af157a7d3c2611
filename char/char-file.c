/*
 * The file backend: what is written goes into a file; nothing is ever received.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "char/char-int.h"

typedef struct ChrFile {
    int fd;
    bool complained;
} ChrFile;

static bool file_open(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    ChrFile *f;
    int fd;

    if (!o->path) {
        error_set(errp, "character device '%s': file: needs a name", chr->id);
        return false;
    }
    fd = open(o->path, O_WRONLY | O_CREAT | O_CLOEXEC | (o->append ? O_APPEND : O_TRUNC), 0666);
    if (fd < 0) {
        error_set_errno(errp, errno, "character device '%s': cannot open '%s' for writing", chr->id,
                        o->path);
        return false;
    }
    f = calloc(1, sizeof(*f));
    f->fd = fd;
    chr->state = f;
    chr->connected = true;
    return true;
}

static void file_close(CharBackend *chr)
{
    ChrFile *f = chr->state;

    close(f->fd);
    free(f);
}

/*
 * A regular file always takes everything. When the disk is full there is no later moment to wait
 * for, so the rest is dropped and said so once; the guest goes on.
 */
static size_t file_write(CharBackend *chr, const uint8_t *data, size_t size)
{
    ChrFile *f = chr->state;

    for (size_t done = 0; done < size;) {
        ssize_t n = write(f->fd, data + done, size - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            if (!f->complained) {
                Error *err = NULL;
                error_set_errno(&err, n == 0 ? ENOSPC : errno,
                                "character device '%s': output is lost", chr->id);
                error_report_free(err);
                f->complained = true;
            }
            return size;
        }
    }
    return size;
}

const ChrDriver chr_file_driver = {
    .name = "file",
    .help = "writes into path=",
    .path_is_rest = true,
    .open = file_open,
    .close = file_close,
    .write = file_write,
};
