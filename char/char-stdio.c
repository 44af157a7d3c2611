/*
 * The stdio backend: the terminal the program was started on, or what stdin and stdout were
 * redirected to.
 *
 * A terminal is put into raw mode and back at exit, at a crash that runs exit handlers, and around
 * a suspend (SIGTSTP, SIGCONT). Keys that make signals keep doing so, unless the backend is behind
 * a mux (mon:stdio, -nographic), where they are the guest's.
 *
 * O_NONBLOCK belongs to the open file, which the shell and other programs share. So the terminal or
 * pipe is opened a second time where that is possible; else the flag is set and taken back at the
 * end.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "char/char-int.h"

typedef struct ChrStdio {
    ChrFd fd;
    int in, out;
    int in_flags, out_flags; /* to put back; -1: the descriptor is our own */
} ChrStdio;

/* The terminal's settings, at file scope because signal and exit handlers need them. */
static struct termios saved_tty, raw_tty;
static volatile sig_atomic_t tty_is_raw;
static CharBackend *stdio_user;

/* ---- terminal ---- */

static void tty_restore(void)
{
    if (tty_is_raw) {
        tcsetattr(STDIN_FILENO, TCSANOW, &saved_tty);
    }
}

static void on_suspend(int sig)
{
    int saved_errno = errno;
    sigset_t set;

    tty_restore();
    signal(SIGTSTP, SIG_DFL);
    raise(SIGTSTP);
    sigemptyset(&set);
    sigaddset(&set, SIGTSTP);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    /* Stopped here; SIGCONT's handler has run by now. */
    signal(SIGTSTP, on_suspend);
    errno = saved_errno;
}

static void on_continue(int sig)
{
    int saved_errno = errno;

    if (tty_is_raw) {
        tcsetattr(STDIN_FILENO, TCSANOW, &raw_tty);
    }
    errno = saved_errno;
}

static void tty_make_raw(bool signals)
{
    static bool registered;

    if (tcgetattr(STDIN_FILENO, &saved_tty) < 0) {
        return;
    }
    raw_tty = saved_tty;
    raw_tty.c_iflag &= ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    /* A guest sends CR LF; a bare LF from a sloppy one should still start at the left. */
    raw_tty.c_oflag |= OPOST | ONLCR;
    raw_tty.c_lflag &= ~(ECHO | ECHONL | ICANON | IEXTEN);
    raw_tty.c_cflag &= ~(CSIZE | PARENB);
    raw_tty.c_cflag |= CS8;
    if (!signals) {
        raw_tty.c_lflag &= ~ISIG;
    }
    raw_tty.c_cc[VMIN] = 1;
    raw_tty.c_cc[VTIME] = 0;
    if (!registered) {
        registered = true;
        atexit(tty_restore);
        signal(SIGTSTP, on_suspend);
        signal(SIGCONT, on_continue);
    }
    tty_is_raw = 1;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw_tty);
}

/* ---- descriptors ---- */

static int open_again(int fd, int mode, int *old_flags)
{
    struct stat st;
    char name[32];
    int own = -1;

    *old_flags = -1;
    if (fstat(fd, &st) == 0 && (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode))) {
        snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
        own = open(name, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    }
    if (own < 0) {
        own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (own >= 0) {
            *old_flags = fcntl(fd, F_GETFL);
            fcntl(own, F_SETFL, *old_flags | O_NONBLOCK);
        }
    }
    return own;
}

static void put_back(int fd, int old_flags)
{
    if (old_flags >= 0) {
        fcntl(fd, F_SETFL, old_flags);
    }
    close(fd);
}

static void stdio_release(ChrStdio *s)
{
    chr_fd_stop(&s->fd);
    /* In this order: both may be one open file, whose first flags `in` has. */
    if (s->out >= 0) {
        put_back(s->out, s->out_flags);
    }
    if (s->in >= 0) {
        put_back(s->in, s->in_flags);
    }
    s->in = s->out = -1;
}

/* stdin has ended: what is written still goes out. An error on stdout ends that as well. */
static void stdio_ended(CharBackend *chr)
{
    ChrStdio *s = chr->state;

    if (s->fd.failed) {
        stdio_release(s);
        chr_fe_event(chr, CHR_EVENT_CLOSED);
        return;
    }
    chr_fd_end_input(&s->fd);
}

static bool stdio_open(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    ChrStdio *s;

    if (stdio_user) {
        error_set(errp,
                  "character device '%s': stdio is already in use by '%s'; with mon:stdio several "
                  "can share it",
                  chr->id, stdio_user->id);
        return false;
    }
    s = calloc(1, sizeof(*s));
    s->in = open_again(STDIN_FILENO, O_RDONLY, &s->in_flags);
    s->out = open_again(STDOUT_FILENO, O_WRONLY, &s->out_flags);
    if (isatty(STDIN_FILENO)) {
        tty_make_raw(!o->no_signals);
        chr->interactive = true;
    }
    stdio_user = chr;
    chr->state = s;
    chr->connected = true;
    chr_fd_start(&s->fd, chr, s->in, s->out, stdio_ended);
    return true;
}

static void stdio_close(CharBackend *chr)
{
    ChrStdio *s = chr->state;

    stdio_release(s);
    free(s);
    tty_restore();
    tty_is_raw = 0;
    stdio_user = NULL;
}

static size_t stdio_write(CharBackend *chr, const uint8_t *data, size_t size)
{
    ChrStdio *s = chr->state;

    return chr_fd_write(&s->fd, data, size);
}

static void stdio_update_input(CharBackend *chr)
{
    ChrStdio *s = chr->state;

    chr_fd_update(&s->fd);
}

const ChrDriver chr_stdio_driver = {
    .name = "stdio",
    .help = "the terminal; signal=off passes Ctrl-C on",
    .open = stdio_open,
    .close = stdio_close,
    .write = stdio_write,
    .update_input = stdio_update_input,
};
