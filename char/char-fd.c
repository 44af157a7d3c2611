/*
 * A byte stream over file descriptors.
 *
 * In: what comes is read ahead, a buffer at a time, and handed over as the front end takes it. A
 * UART takes 16 bytes; because its next ones wait here already, they follow in the very moment the
 * guest has read a byte, on the vCPU's thread, and no busy CPU or sleeping main loop stands between
 * two of them. When the buffer is full the descriptor is left alone, and its writer has to wait.
 *
 * Out: small writes (a UART's single bytes) are collected and leave at the loop's next turn, in one
 * system call; a vCPU does not pay for each. When the descriptor takes no more, neither do we, and
 * the front end keeps the rest until writable().
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "char/char-int.h"

#define AHEAD_STREAM   4096
#define AHEAD_DATAGRAM 65536 /* the largest there is: what does not fit into a read() is lost */
#define COLLECT_MAX    4096
#define RAW_MAX        65536 /* a peer that provokes answers and reads none gets no more */
#define DATAGRAM_OUT   1400  /* collected bytes a datagram: below what an Ethernet carries */
/* A write of this size is worth a system call of its own. */
#define DIRECT_WRITE 256
/* What a closing stream may wait for a slow reader of its last bytes. */
#define CLOSE_WAIT_MS 1000

bool chr_fd_set_nonblocking(int fd, Error **errp)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        error_set_errno(errp, errno, "cannot make a file descriptor nonblocking");
        return false;
    }
    return true;
}

static void at_next_turn(ChrFd *f)
{
    if (!timer_pending(&f->later)) {
        timer_set(&f->later, clock_now(CLOCK_HOST));
    }
}

/* ---- what the loop watches ---- */

static size_t ahead_size(const ChrFd *f)
{
    return f->datagram ? AHEAD_DATAGRAM : AHEAD_STREAM;
}

static void on_read(void *opaque);
static void on_write(void *opaque);

static void watch(ChrFd *f)
{
    bool reading, writing;

    /* Full it is left alone until half of it is free: each change costs a system call. */
    reading = f->in >= 0 && !f->ended && !f->failed &&
              (f->datagram  ? f->used == 0
               : f->reading ? f->used < ahead_size(f)
                            : f->used <= ahead_size(f) / 2);
    writing = f->out >= 0 && f->blocked && !f->failed;
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

/* ---- in ---- */

/* Hands over a piece; false when the front end takes nothing now. */
static bool deliver_piece(ChrFd *f)
{
    size_t room = chr_fe_can_receive(f->chr), n, made = 0;
    uint8_t data[512];
    bool is_break = false;

    if (room == 0) {
        return false;
    }
    if (!f->filter) {
        n = room < f->used ? room : f->used;
        f->used -= n;
        f->head += n;
        chr_fe_receive(f->chr, f->ahead + f->head - n, n);
        return true;
    }
    room = room < sizeof(data) ? room : sizeof(data);
    n = f->filter->decode(f->chr, f->ahead + f->head, f->used, data, room, &made, &is_break);
    f->used -= n;
    f->head += n;
    chr_fe_receive(f->chr, data, made);
    if (is_break) {
        chr_fe_event(f->chr, CHR_EVENT_BREAK);
    }
    return true;
}

/* The front end may ask for more from inside, which the loop here sees by itself. */
static void deliver(ChrFd *f)
{
    if (f->delivering) {
        return;
    }
    f->delivering = true;
    while (f->used > 0 && deliver_piece(f)) {
    }
    f->delivering = false;
    if (f->ended && f->used == 0) {
        at_next_turn(f);
    } else if (f->ended && f->at_end) {
        f->at_end(f->chr);
    }
}

static void read_ahead(ChrFd *f)
{
    ssize_t n;

    memmove(f->ahead, f->ahead + f->head, f->used);
    f->head = 0;
    n = read(f->in, f->ahead + f->used, ahead_size(f) - f->used);
    if (n > 0) {
        f->used += (size_t)n;
    } else if (f->datagram) {
        return; /* an empty one, or a message from the other host that nobody listens there */
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        f->ended = true;
    }
}

static void on_read(void *opaque)
{
    ChrFd *f = opaque;

    /* Inside a front end that runs the loop itself, the bytes in delivery must stay in place. */
    if (!f->delivering && f->used < ahead_size(f)) {
        read_ahead(f);
    }
    deliver(f);
    watch(f);
}

/* ---- out ---- */

static void fail(ChrFd *f)
{
    f->failed = true;
    f->blocked = false;
    buffer_clear(&f->collected);
    at_next_turn(f);
}

/* Returns bytes written; sets blocked where the descriptor takes no more. */
static size_t write_now(ChrFd *f, const uint8_t *data, size_t size)
{
    size_t done = 0;

    while (done < size) {
        size_t piece = size - done;
        ssize_t n;

        if (f->datagram && piece > DATAGRAM_OUT) {
            piece = DATAGRAM_OUT;
        }
        n = write(f->out, data + done, piece);
        if (n > 0) {
            done += (size_t)n;
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else if (n < 0 && errno == EAGAIN) {
            f->blocked = true;
            break;
        } else if (f->datagram) {
            done += piece; /* lost on the way, as datagrams may be */
        } else {
            fail(f);
            return size;
        }
    }
    return done;
}

static void flush_collected(ChrFd *f)
{
    size_t n;

    if (f->collected.size > 0 && !f->blocked && !f->failed) {
        n = write_now(f, f->collected.data, f->collected.size);
        if (!f->failed) {
            memmove(f->collected.data, f->collected.data + n, f->collected.size - n);
            f->collected.size -= n;
        }
    }
}

static void tell_writable(ChrFd *f)
{
    if (f->want_write && !f->blocked && f->collected.size < COLLECT_MAX) {
        f->want_write = false;
        chr_fe_writable(f->chr);
    }
}

static void on_write(void *opaque)
{
    ChrFd *f = opaque;

    f->blocked = false;
    flush_collected(f);
    watch(f);
    tell_writable(f);
}

size_t chr_fd_write(ChrFd *f, const uint8_t *data, size_t size)
{
    size_t n;

    if (!f->chr || f->failed || f->out < 0) {
        return size;
    }
    if (f->blocked || f->collected.size >= COLLECT_MAX) {
        f->want_write = true;
        return 0;
    }
    if (size >= DIRECT_WRITE && !f->filter && f->collected.size == 0) {
        n = write_now(f, data, size);
    } else {
        n = COLLECT_MAX - f->collected.size;
        n = n < size ? n : size;
        if (f->filter) {
            f->filter->encode(f->chr, data, n, &f->collected);
        } else {
            buffer_append(&f->collected, data, n);
        }
        at_next_turn(f);
    }
    if (n < size) {
        f->want_write = true;
    }
    watch(f);
    return n;
}

void chr_fd_send_raw(ChrFd *f, const uint8_t *data, size_t size)
{
    if (f->chr && !f->failed && f->out >= 0 && f->collected.size < RAW_MAX) {
        buffer_append(&f->collected, data, size);
        at_next_turn(f);
    }
}

void chr_fd_flush(ChrFd *f)
{
    if (f->chr) {
        flush_collected(f);
        watch(f);
    }
}

/* ---- both ---- */

/* The loop's next turn has come. */
static void later(void *opaque)
{
    ChrFd *f = opaque;

    flush_collected(f);
    if (f->failed && !f->ended) {
        /* The peer has gone; what it said before that still counts. */
        while (f->in >= 0 && !f->ended && f->used < ahead_size(f)) {
            size_t before = f->used;
            read_ahead(f);
            if (f->used == before) {
                break;
            }
        }
        f->ended = true;
    }
    deliver(f);
    if (f->ended && f->used == 0) {
        f->closed(f->chr);
        return;
    }
    watch(f);
    tell_writable(f);
}

void chr_fd_start(ChrFd *f, CharBackend *chr, int in, int out, void (*closed)(CharBackend *chr))
{
    *f = (ChrFd){.chr = chr,
                 .in = in,
                 .out = out,
                 .closed = closed,
                 .filter = f->filter,
                 .datagram = f->datagram,
                 .at_end = f->at_end};
    f->ahead = malloc(ahead_size(f));
    timer_init(&f->later, CLOCK_HOST, later, f);
    watch(f);
}

static void unwatch(ChrFd *f)
{
    if (f->in >= 0 && (f->reading || f->writing)) {
        loop_set_fd(f->in, NULL, NULL, NULL);
    }
    if (f->out >= 0 && f->out != f->in && f->writing) {
        loop_set_fd(f->out, NULL, NULL, NULL);
    }
    f->reading = f->writing = false;
}

/* The last words of a guest that powers off are still in here. */
static void write_last(ChrFd *f)
{
    int64_t end = clock_now(CLOCK_HOST) + CLOSE_WAIT_MS * NS_PER_MS;

    f->blocked = false;
    flush_collected(f);
    while (f->blocked && !f->failed && clock_now(CLOCK_HOST) < end) {
        struct pollfd p = {.fd = f->out, .events = POLLOUT};
        if (poll(&p, 1, CLOSE_WAIT_MS) <= 0) {
            break;
        }
        f->blocked = false;
        flush_collected(f);
    }
}

void chr_fd_stop(ChrFd *f)
{
    if (!f->chr) {
        return;
    }
    unwatch(f);
    write_last(f);
    timer_cancel(&f->later);
    free(f->ahead);
    buffer_free(&f->collected);
    *f = (ChrFd){
        .in = -1, .out = -1, .filter = f->filter, .datagram = f->datagram, .at_end = f->at_end};
}

void chr_fd_replace(ChrFd *f, int fd)
{
    unwatch(f);
    buffer_clear(&f->collected);
    f->in = f->out = fd;
    f->ended = f->failed = f->blocked = f->want_write = false;
    watch(f);
}

void chr_fd_end_input(ChrFd *f)
{
    unwatch(f);
    f->in = -1;
    f->ended = false;
    watch(f);
}

bool chr_fd_has_ended(const ChrFd *f)
{
    return f->chr && f->ended;
}

void chr_fd_update(ChrFd *f)
{
    if (!f->chr) {
        return;
    }
    if (f->chr->handlers && f->chr->handlers->any_thread) {
        deliver(f);
        watch(f);
    } else if (f->used > 0) {
        at_next_turn(f);
    }
}
