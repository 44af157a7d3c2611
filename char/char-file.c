/*
 * The file backend: what is written goes into a file; nothing is ever received. And the log file
 * that any backend can have (logfile=).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "char/char-int.h"

/* ---- a file for output, the backend's or its log ---- */

struct ChrFile {
    int fd;
    bool complained;
};

ChrFile *chr_file_new(const char *path, bool append, Error **errp)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0666);
    ChrFile *f;

    if (fd < 0) {
        error_set_errno(errp, errno, "cannot open '%s' for writing", path);
        return NULL;
    }
    f = calloc(1, sizeof(*f));
    f->fd = fd;
    return f;
}

void chr_file_free(ChrFile *f)
{
    if (f) {
        close(f->fd);
        free(f);
    }
}

void chr_file_put(ChrFile *f, const CharBackend *chr, const char *what, const uint8_t *data,
                  size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = write(f->fd, data + done, size - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            if (!f->complained) {
                Error *err = NULL;
                error_set_errno(&err, n == 0 ? ENOSPC : errno, "character device '%s': %s is lost",
                                chr->id, what);
                error_report_free(err);
                f->complained = true;
            }
            return;
        }
    }
}

/* ---- the backend ---- */

static bool file_open(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    ChrFile *f;

    if (!o->path) {
        error_set(errp, "character device '%s': file: needs a name", chr->id);
        return false;
    }
    f = chr_file_new(o->path, o->append, errp);
    if (!f) {
        error_prepend(errp, "character device '%s': ", chr->id);
        return false;
    }
    chr->state = f;
    chr->connected = true;
    return true;
}

static void file_close(CharBackend *chr)
{
    chr_file_free(chr->state);
}

static size_t file_write(CharBackend *chr, const uint8_t *data, size_t size)
{
    chr_file_put(chr->state, chr, "output", data, size);
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
