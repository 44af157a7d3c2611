/*
 * A byte stream over file descriptors: reads only what the front end takes, and leaves with the
 * front end what does not fit into a write.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "char/char-int.h"

/* One turn reads at most this much, so that a fast peer does not keep the loop from the others. */
#define READ_CHUNK 4096

bool chr_fd_set_nonblocking(int fd, Error **errp)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        error_set_errno(errp, errno, "cannot make a file descriptor nonblocking");
        return false;
    }
    return true;
}

static void fail_later(ChrFd *f)
{
    f->failed = true;
    timer_set(&f->failure, clock_now(CLOCK_HOST));
}

static void on_read(void *opaque)
{
    ChrFd *f = opaque;
    uint8_t buf[READ_CHUNK];
    size_t room = chr_fe_can_receive(f->chr);
    ssize_t n;

    if (room == 0) {
        chr_fd_update(f);
        return;
    }
    n = read(f->in, buf, room < sizeof(buf) ? room : sizeof(buf));
    if (n > 0) {
        chr_fe_receive(f->chr, buf, (size_t)n);
        chr_fd_update(f);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        f->closed(f->chr);
    }
}

static void on_write(void *opaque)
{
    ChrFd *f = opaque;

    f->want_write = false;
    chr_fd_update(f);
    chr_fe_writable(f->chr);
}

static void report_failure(void *opaque)
{
    ChrFd *f = opaque;

    f->closed(f->chr);
}

void chr_fd_start(ChrFd *f, CharBackend *chr, int in, int out, void (*closed)(CharBackend *chr))
{
    *f = (ChrFd){.chr = chr, .in = in, .out = out, .closed = closed};
    timer_init(&f->failure, CLOCK_HOST, report_failure, f);
    chr_fd_update(f);
}

void chr_fd_stop(ChrFd *f)
{
    if (!f->chr) {
        return;
    }
    if (f->in >= 0 && (f->reading || f->writing)) {
        loop_set_fd(f->in, NULL, NULL, NULL);
    }
    if (f->out >= 0 && f->out != f->in && f->writing) {
        loop_set_fd(f->out, NULL, NULL, NULL);
    }
    timer_cancel(&f->failure);
    *f = (ChrFd){.in = -1, .out = -1};
}

void chr_fd_update(ChrFd *f)
{
    bool reading, writing;

    if (!f->chr || f->failed) {
        return;
    }
    reading = f->in >= 0 && chr_fe_can_receive(f->chr) > 0;
    writing = f->out >= 0 && f->want_write;
    if (reading == f->reading && writing == f->writing) {
        return; /* asked for with every byte a guest reads: cheap when nothing changes */
    }
    f->reading = reading;
    f->writing = writing;
    if (f->in >= 0) {
        loop_set_fd(f->in, reading ? on_read : NULL, writing && f->out == f->in ? on_write : NULL,
                    f);
    }
    if (f->out >= 0 && f->out != f->in) {
        loop_set_fd(f->out, NULL, writing ? on_write : NULL, f);
    }
}

size_t chr_fd_write(ChrFd *f, const uint8_t *data, size_t size)
{
    size_t done = 0;

    if (!f->chr || f->failed || f->out < 0) {
        return size;
    }
    while (done < size) {
        ssize_t n = write(f->out, data + done, size - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else if (n < 0 && errno == EAGAIN) {
            f->want_write = true;
            chr_fd_update(f);
            return done;
        } else {
            fail_later(f);
            return size;
        }
    }
    return size;
}
