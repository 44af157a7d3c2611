/*
 * The pty backend: a new pseudo-terminal, whose name is printed. While nobody has it open, output
 * is dropped.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "char/char-int.h"

/* The kernel reports that the other side was closed, but not that it was opened: that is polled
 * for. */
#define POLL_INTERVAL (200 * NS_PER_MS)

typedef struct ChrPty {
    ChrFd fd;
    int master;
    char *link; /* a symbolic link to the slave, removed at the end; NULL */
    Timer poll;
} ChrPty;

static void pty_peer_left(CharBackend *chr)
{
    ChrPty *p = chr->state;

    p->fd.failed = true; /* nobody will read what is still here */
    chr_fd_stop(&p->fd);
    timer_set(&p->poll, clock_now(CLOCK_HOST) + POLL_INTERVAL);
    chr_fe_event(chr, CHR_EVENT_CLOSED);
}

static void pty_poll(void *opaque)
{
    CharBackend *chr = opaque;
    ChrPty *p = chr->state;
    struct pollfd pfd = {.fd = p->master, .events = POLLIN};

    if (poll(&pfd, 1, 0) >= 0 && !(pfd.revents & POLLHUP)) {
        chr_fd_start(&p->fd, chr, p->master, p->master, pty_peer_left);
        chr_fe_event(chr, CHR_EVENT_OPENED);
        chr_fd_update(&p->fd);
    } else {
        timer_set(&p->poll, clock_now(CLOCK_HOST) + POLL_INTERVAL);
    }
}

static int make_pty(char *name, size_t size)
{
    struct termios tio;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;

    if (master < 0) {
        return -1;
    }
    if (grantpt(master) < 0 || unlockpt(master) < 0 || ptsname_r(master, name, size) != 0 ||
        (slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0) {
        close(master);
        return -1;
    }
    if (tcgetattr(slave, &tio) == 0) {
        cfmakeraw(&tio);
        tcsetattr(slave, TCSANOW, &tio);
    }
    /* Opened and closed once, so that the master reports "hung up" from now on. */
    close(slave);
    return master;
}

static bool pty_open(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    char name[64];
    int master = make_pty(name, sizeof(name));
    ChrPty *p;

    if (master < 0) {
        error_set_errno(errp, errno, "character device '%s': cannot make a pseudo-terminal",
                        chr->id);
        return false;
    }
    if (!chr_fd_set_nonblocking(master, errp)) {
        close(master);
        return false;
    }
    if (o->path && symlink(name, o->path) < 0) {
        error_set_errno(errp, errno, "character device '%s': cannot make the link '%s'", chr->id,
                        o->path);
        close(master);
        return false;
    }
    p = calloc(1, sizeof(*p));
    p->master = master;
    p->link = o->path ? strdup(o->path) : NULL;
    chr->state = p;
    chr->interactive = true;
    free(chr->spec);
    if (asprintf(&chr->spec, "pty:%s", name) < 0) {
        chr->spec = strdup("pty");
    }
    timer_init(&p->poll, CLOCK_HOST, pty_poll, chr);
    timer_set(&p->poll, clock_now(CLOCK_HOST) + POLL_INTERVAL);
    fprintf(stderr, "char device redirected to %s (label %s)\n", name, chr->id);
    return true;
}

static void pty_close(CharBackend *chr)
{
    ChrPty *p = chr->state;

    chr_fd_stop(&p->fd);
    timer_cancel(&p->poll);
    close(p->master);
    if (p->link) {
        unlink(p->link);
        free(p->link);
    }
    free(p);
}

static size_t pty_write(CharBackend *chr, const uint8_t *data, size_t size)
{
    ChrPty *p = chr->state;

    return chr_fd_write(&p->fd, data, size);
}

static void pty_update_input(CharBackend *chr)
{
    ChrPty *p = chr->state;

    chr_fd_update(&p->fd);
}

const ChrDriver chr_pty_driver = {
    .name = "pty",
    .help = "a new pseudo-terminal; path= is a link to it",
    .open = pty_open,
    .close = pty_close,
    .write = pty_write,
    .update_input = pty_update_input,
};
