/*
 * The pipe backends: a pair of named pipes NAME.in (read) and NAME.out (written), or one NAME for
 * both. pipe: is the server, which makes the pair where there is none; pipe_client: has the ends
 * the other way round, so that two emulators can talk.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "char/char-int.h"

typedef struct ChrPipe {
    ChrFd fd;
    int in, out;
} ChrPipe;

static char *end_name(const char *path, const char *suffix)
{
    char *name;

    if (asprintf(&name, "%s%s", path, suffix) < 0) {
        abort();
    }
    return name;
}

/* Opened for both directions, so that open() need not wait for a peer and a leaving one is no end
 * of file. */
static int open_end(const char *path, const char *suffix)
{
    char *name = end_name(path, suffix);
    int fd;

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

/* They are left when the program ends: a client may still read what was written. */
static void make_pair(const char *path)
{
    char *in = end_name(path, ".in"), *out = end_name(path, ".out");

    if (access(path, F_OK) < 0) {
        mkfifo(in, 0666);
        mkfifo(out, 0666);
    }
    free(in);
    free(out);
}

static bool open_pair(const char *path, int *in, int *out)
{
    *in = open_end(path, ".in");
    *out = open_end(path, ".out");
    if (*in >= 0 && *out >= 0) {
        return true;
    }
    if (*in >= 0) {
        close(*in);
    }
    if (*out >= 0) {
        close(*out);
    }
    return false;
}

static bool start(CharBackend *chr, int in, int out)
{
    ChrPipe *p = calloc(1, sizeof(*p));

    p->in = in;
    p->out = out;
    chr->state = p;
    chr->connected = true;
    chr_fd_start(&p->fd, chr, in, out, pipe_failed);
    return true;
}

static bool need_name(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    if (!o->path) {
        error_set(errp, "character device '%s': %s: needs a name", chr->id, o->driver->name);
    }
    return o->path != NULL;
}

static bool pipe_open(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    int in, out;

    if (!need_name(chr, o, errp)) {
        return false;
    }
    if (open_pair(o->path, &in, &out)) {
        return start(chr, in, out);
    }
    make_pair(o->path);
    if (open_pair(o->path, &in, &out)) {
        return start(chr, in, out);
    }
    in = open_end(o->path, "");
    if (in < 0) {
        error_set_errno(
            errp, errno,
            "character device '%s': cannot open the pipes '%s.in' and '%s.out', nor '%s'", chr->id,
            o->path, o->path, o->path);
        return false;
    }
    return start(chr, in, in);
}

static bool pipe_client_open(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    int in, out;

    if (!need_name(chr, o, errp)) {
        return false;
    }
    if (!open_pair(o->path, &out, &in)) {
        error_set_errno(errp, errno,
                        "character device '%s': cannot open the pipes '%s.in' and '%s.out' "
                        "(does the server, pipe:%s, run?)",
                        chr->id, o->path, o->path, o->path);
        return false;
    }
    return start(chr, in, out);
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
    .path_is_rest = true,
    .open = pipe_open,
    .close = pipe_close,
    .write = pipe_write,
    .update_input = pipe_update_input,
};

const ChrDriver chr_pipe_client_driver = {
    .name = "pipe_client",
    .help = "the other end of pipe",
    .path_is_rest = true,
    .open = pipe_client_open,
    .close = pipe_close,
    .write = pipe_write,
    .update_input = pipe_update_input,
};
