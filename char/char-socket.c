/*
 * The socket backends, unix:, tcp: and telnet:, as server or client. One peer at a time; a server
 * goes on listening when it has left, a client with reconnect= calls again.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "char/char-int.h"
#include "char/char-telnet.h"
#include "char/sockaddr.h"

typedef struct ChrSocket {
    CharBackend *chr;
    ChrFd fd;
    Telnet telnet;
    SockAddrs addrs; /* a client's, to call again */
    int listener;    /* -1: a client */
    int peer;        /* -1: none */
    int calling;     /* a connection that is being made; -1: none */
    bool server, nodelay, is_telnet;
    int64_t reconnect_ns; /* 0: never */
    Timer reconnect;
    char *unlink_path; /* the server's socket file */
} ChrSocket;

/* ---- telnet ---- */

static size_t decode(CharBackend *chr, const uint8_t *in, size_t size, uint8_t *out, size_t room,
                     size_t *made, bool *is_break)
{
    ChrSocket *s = chr->state;

    return telnet_decode(&s->telnet, in, size, out, room, made, is_break);
}

static void encode(CharBackend *chr, const uint8_t *data, size_t size, Buffer *out)
{
    ChrSocket *s = chr->state;

    telnet_encode(&s->telnet, data, size, out);
}

static const ChrFilter telnet_filter = {decode, encode};

static void send_raw(void *opaque, const uint8_t *data, size_t n)
{
    ChrSocket *s = opaque;

    chr_fd_send_raw(&s->fd, data, n);
}

/* ---- peers ---- */

static void on_accept(void *opaque);

/* A peer that has left, but whose last bytes the guest has not taken, does not keep others out. */
static void watch_listener(ChrSocket *s)
{
    if (s->listener >= 0) {
        bool open = s->peer < 0 || chr_fd_has_ended(&s->fd);
        loop_set_fd(s->listener, open ? on_accept : NULL, NULL, s);
    }
}

static void peer_said_all(CharBackend *chr)
{
    watch_listener(chr->state);
}

static void call_later(ChrSocket *s)
{
    if (!s->server && s->reconnect_ns) {
        timer_set(&s->reconnect, clock_now(CLOCK_HOST) + s->reconnect_ns);
    }
}

static void peer_left(CharBackend *chr)
{
    ChrSocket *s = chr->state;

    chr_fd_stop(&s->fd);
    close(s->peer);
    s->peer = -1;
    watch_listener(s);
    call_later(s);
    chr_fe_event(chr, CHR_EVENT_CLOSED);
}

static bool prepare_peer(ChrSocket *s, int fd, Error **errp)
{
    int one = 1;

    if (!chr_fd_set_nonblocking(fd, errp)) {
        close(fd);
        return false;
    }
    if (s->nodelay) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    if (s->is_telnet) {
        setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
    }
    return true;
}

static bool take_peer(ChrSocket *s, int fd, Error **errp)
{
    CharBackend *chr = s->chr;

    if (!prepare_peer(s, fd, errp)) {
        return false;
    }
    if (s->peer >= 0) {
        chr_fd_replace(&s->fd, fd);
        close(s->peer);
        chr_fe_event(chr, CHR_EVENT_CLOSED);
    } else {
        s->fd.filter = s->is_telnet ? &telnet_filter : NULL;
        chr_fd_start(&s->fd, chr, fd, fd, peer_left);
    }
    s->peer = fd;
    watch_listener(s);
    if (s->is_telnet) {
        telnet_start(&s->telnet, s->server, send_raw, s);
    }
    chr_fe_event(chr, CHR_EVENT_OPENED);
    return true;
}

static void on_accept(void *opaque)
{
    ChrSocket *s = opaque;
    Error *err = NULL;
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd >= 0 && !take_peer(s, fd, &err)) {
        error_report_free(err);
    }
}

/* ---- calling again ---- */

static void on_called(void *opaque)
{
    ChrSocket *s = opaque;
    int fd = s->calling, error = 0;
    socklen_t len = sizeof(error);

    loop_set_fd(fd, NULL, NULL, NULL);
    s->calling = -1;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error != 0) {
        close(fd);
        call_later(s);
    } else if (!take_peer(s, fd, NULL)) {
        call_later(s);
    }
}

/* The first address that does not refuse at once is the one that is tried. */
static void call_again(void *opaque)
{
    ChrSocket *s = opaque;

    for (unsigned i = 0; i < s->addrs.count; i++) {
        const SockAddr *a = &s->addrs.list[i];
        int fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) {
            continue;
        }
        if (connect(fd, (const struct sockaddr *)&a->sa, a->len) == 0) {
            if (take_peer(s, fd, NULL)) {
                return;
            }
        } else if (errno == EINPROGRESS) {
            s->calling = fd;
            loop_set_fd(fd, NULL, on_called, s);
            return;
        } else {
            close(fd);
        }
    }
    call_later(s);
}

/* ---- starting ---- */

static bool wait_for_peer(ChrSocket *s, Error **errp)
{
    int fd;

    fprintf(stderr, "vole: waiting for a connection on: %s\n", s->chr->spec);
    do {
        fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        error_set_errno(errp, errno, "character device '%s': cannot accept a connection",
                        s->chr->id);
        return false;
    }
    return take_peer(s, fd, errp);
}

static void socket_close(CharBackend *chr)
{
    ChrSocket *s = chr->state;

    timer_cancel(&s->reconnect);
    chr_fd_stop(&s->fd);
    if (s->peer >= 0) {
        close(s->peer);
    }
    if (s->calling >= 0) {
        loop_set_fd(s->calling, NULL, NULL, NULL);
        close(s->calling);
    }
    if (s->listener >= 0) {
        loop_set_fd(s->listener, NULL, NULL, NULL);
        close(s->listener);
    }
    if (s->unlink_path) {
        unlink(s->unlink_path);
        free(s->unlink_path);
    }
    sockaddrs_free(&s->addrs);
    free(s);
}

static bool start_server(ChrSocket *s, const ChrOptions *o, int fd, Error **errp)
{
    s->listener = fd;
    if (!o->nowait && !wait_for_peer(s, errp)) {
        return false;
    }
    /* From now on nobody is waited for with it: a call that was given up must not block accept. */
    if (!chr_fd_set_nonblocking(fd, errp)) {
        return false;
    }
    watch_listener(s);
    return true;
}

static bool start_client(ChrSocket *s, Error **errp)
{
    int fd;

    if (s->reconnect_ns) {
        call_again(s);
        return true;
    }
    fd = sockaddrs_connect(&s->addrs, SOCK_STREAM);
    if (fd < 0) {
        error_set_errno(errp, errno, "character device '%s': cannot connect to '%s'", s->chr->id,
                        s->addrs.name);
        return false;
    }
    return take_peer(s, fd, errp);
}

static ChrSocket *socket_new(CharBackend *chr, const ChrOptions *o)
{
    ChrSocket *s = calloc(1, sizeof(*s));

    s->chr = chr;
    s->fd.at_end = peer_said_all;
    s->listener = s->peer = s->calling = -1;
    s->nodelay = !o->delay;
    s->server = o->server;
    s->is_telnet = o->telnet;
    s->reconnect_ns = (int64_t)o->reconnect * NS_PER_SEC;
    timer_init(&s->reconnect, CLOCK_HOST, call_again, s);
    chr->state = s;
    chr->interactive = true;
    return s;
}

/* fd=: a socket made by whoever started this program; it listens or is connected. */
static bool start_with_fd(ChrSocket *s, const ChrOptions *o, Error **errp)
{
    int fd = (int)o->fd, listens = 0;
    socklen_t len = sizeof(listens);

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0) {
        error_set_errno(errp, errno, "character device '%s': fd=%d", s->chr->id, fd);
        return false;
    }
    if (o->server != (listens != 0)) {
        error_set(errp, "character device '%s': fd=%d is a socket that %s; server=%s goes with it",
                  s->chr->id, fd, listens ? "listens" : "is connected", listens ? "on" : "off");
        return false;
    }
    return o->server ? start_server(s, o, fd, errp) : take_peer(s, fd, errp);
}

static bool start_listening(ChrSocket *s, const ChrOptions *o, Error **errp)
{
    struct stat st;
    int fd;

    /* A socket left over from an earlier run is in the way; any other file is not ours to remove.
     */
    if (o->path && lstat(o->path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        unlink(o->path);
    }
    fd = sockaddrs_bind(&s->addrs, SOCK_STREAM);
    if (fd < 0 || listen(fd, 1) < 0) {
        error_set_errno(errp, errno, "character device '%s': cannot listen on '%s'", s->chr->id,
                        s->addrs.name);
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    s->unlink_path = o->path ? strdup(o->path) : NULL;
    return start_server(s, o, fd, errp);
}

static bool socket_open(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    ChrSocket *s;
    bool ok;

    if (o->reconnect && o->server) {
        error_set(errp, "character device '%s': reconnect= is for a client, server=on is given",
                  chr->id);
        return false;
    }
    s = socket_new(chr, o);
    if (o->has_fd) {
        ok = start_with_fd(s, o, errp);
    } else {
        ok = o->path ? sockaddrs_unix(&s->addrs, o->path, errp)
                     : sockaddrs_resolve(&s->addrs, o->host, o->port, SOCK_STREAM, o->server, errp);
        if (!ok) {
            error_prepend(errp, "character device '%s': ", chr->id);
        }
        ok = ok && (o->server ? start_listening(s, o, errp) : start_client(s, errp));
    }
    if (!ok) {
        socket_close(chr);
    }
    return ok;
}

static bool unix_open(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    if (!o->path && !o->has_fd) {
        error_set(errp, "character device '%s': unix: needs the socket's path", chr->id);
        return false;
    }
    return socket_open(chr, o, errp);
}

static bool tcp_open(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    if (!o->port) {
        error_set(errp, "character device '%s': needs host and port", chr->id);
        return false;
    }
    return socket_open(chr, o, errp);
}

static bool telnet_open(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    ChrOptions with_telnet = *o;

    with_telnet.telnet = true;
    return tcp_open(chr, &with_telnet, errp);
}

static size_t socket_write(CharBackend *chr, const uint8_t *data, size_t size)
{
    ChrSocket *s = chr->state;

    return s->peer < 0 ? size : chr_fd_write(&s->fd, data, size);
}

static void socket_update_input(CharBackend *chr)
{
    ChrSocket *s = chr->state;

    chr_fd_update(&s->fd);
}

static bool parse_path(ChrOptions *o, const char *text, Error **errp)
{
    o->path = *text ? strdup(text) : NULL;
    return true;
}

static bool parse_address(ChrOptions *o, const char *text, Error **errp)
{
    if (!chr_parse_host_port(text, &o->host, &o->port)) {
        error_set(errp, "'%s': must be %s:HOST:PORT[,server][,nowait]", text, o->driver->name);
        return false;
    }
    return true;
}

const ChrDriver chr_unix_driver = {
    .name = "unix",
    .help = "a local socket path=, server=on, wait=off, reconnect=SECONDS; or fd=",
    .parse = parse_path,
    .open = unix_open,
    .close = socket_close,
    .write = socket_write,
    .update_input = socket_update_input,
};

const ChrDriver chr_tcp_driver = {
    .name = "tcp",
    .help = "host=, port=, server=on, wait=off, reconnect=SECONDS, telnet=on, delay=on",
    .parse = parse_address,
    .open = tcp_open,
    .close = socket_close,
    .write = socket_write,
    .update_input = socket_update_input,
};

const ChrDriver chr_telnet_driver = {
    .name = "telnet",
    .help = "the same with the telnet protocol",
    .parse = parse_address,
    .open = telnet_open,
    .close = socket_close,
    .write = socket_write,
    .update_input = socket_update_input,
};
