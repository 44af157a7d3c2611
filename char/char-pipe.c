/*
 * The pipe backend: a pair of named pipes PATH.in (read) and PATH.out (written), or one PATH for
 * both.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "char/char-int.h"

typedef struct ChrPipe {
    ChrFd fd;
    int in, out;
} ChrPipe;

/* Opened for both directions, so that open() need not wait for a peer and a leaving one is no end
 * of file. */
static int open_end(const char *path, const char *suffix)
{
    char *name;
    int fd;

    if (asprintf(&name, "%s%s", path, suffix) < 0) {
        return -1;
    }
    fd = open(name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    free(name);
    return fd;
}

static void pipe_failed(CharBackend *chr)
{
    ChrPipe *p = chr->state;

    chr_fd_stop(&p->fd);
    chr_fe_event(chr, CHR_EVENT_CLOSED);
}

static bool pipe_open(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    ChrPipe *p;
    int in, out;

    if (!o->path) {
        error_set(errp, "character device '%s': pipe: needs a name", chr->id);
        return false;
    }
    in = open_end(o->path, ".in");
    out = open_end(o->path, ".out");
    if (in < 0 || out < 0) {
        if (in >= 0) {
            close(in);
        }
        if (out >= 0) {
            close(out);
        }
        in = out = open_end(o->path, "");
    }
    if (in < 0) {
        error_set_errno(
            errp, errno,
            "character device '%s': cannot open the pipes '%s.in' and '%s.out', nor '%s'", chr->id,
            o->path, o->path, o->path);
        return false;
    }
    p = calloc(1, sizeof(*p));
    p->in = in;
    p->out = out;
    chr->state = p;
    chr->connected = true;
    chr_fd_start(&p->fd, chr, in, out, pipe_failed);
    return true;
}

static void pipe_close(CharBackend *chr)
{
    ChrPipe *p = chr->state;

    chr_fd_stop(&p->fd);
    close(p->in);
    if (p->out != p->in) {
        close(p->out);
    }
    free(p);
}

static size_t pipe_write(CharBackend *chr, const uint8_t *data, size_t size)
{
    ChrPipe *p = chr->state;

    return chr_fd_write(&p->fd, data, size);
}

static void pipe_update_input(CharBackend *chr)
{
    ChrPipe *p = chr->state;

    chr_fd_update(&p->fd);
}

const ChrDriver chr_pipe_driver = {
    .name = "pipe",
    .help = "named pipes path=.in and path=.out, or path= for both",
    .open = pipe_open,
    .close = pipe_close,
    .write = pipe_write,
    .update_input = pipe_update_input,
};
