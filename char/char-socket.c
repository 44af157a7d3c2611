/*
 * The socket backends, unix: and tcp:, as server or client. One peer at a time; a server goes on
 * listening when it has left.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <netdb.h>
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

typedef struct ChrSocket {
    ChrFd fd;
    int listener; /* -1: a client */
    int peer;     /* -1: none */
    bool nodelay;
    char *unlink_path; /* the server's socket file */
} ChrSocket;

static void on_accept(void *opaque);

static void watch_listener(CharBackend *chr)
{
    ChrSocket *s = chr->state;

    if (s->listener >= 0) {
        loop_set_fd(s->listener, s->peer < 0 ? on_accept : NULL, NULL, chr);
    }
}

static void peer_left(CharBackend *chr)
{
    ChrSocket *s = chr->state;

    chr_fd_stop(&s->fd);
    close(s->peer);
    s->peer = -1;
    watch_listener(chr);
    chr_fe_event(chr, CHR_EVENT_CLOSED);
}

static bool take_peer(CharBackend *chr, int fd, Error **errp)
{
    ChrSocket *s = chr->state;
    int one = 1;

    if (!chr_fd_set_nonblocking(fd, errp)) {
        close(fd);
        return false;
    }
    if (s->nodelay) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    s->peer = fd;
    watch_listener(chr);
    chr_fd_start(&s->fd, chr, fd, fd, peer_left);
    chr_fe_event(chr, CHR_EVENT_OPENED);
    chr_fd_update(&s->fd);
    return true;
}

static void on_accept(void *opaque)
{
    CharBackend *chr = opaque;
    ChrSocket *s = chr->state;
    Error *err = NULL;
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd >= 0 && !take_peer(chr, fd, &err)) {
        error_report_free(err);
    }
}

/* ---- unix ---- */

static int unix_socket(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct stat st;
    int fd;

    if (!o->path) {
        error_set(errp, "character device '%s': unix: needs the socket's path", chr->id);
        return -1;
    }
    if (strlen(o->path) >= sizeof(sa.sun_path)) {
        error_set(errp, "character device '%s': socket path '%s' is longer than %zu characters",
                  chr->id, o->path, sizeof(sa.sun_path) - 1);
        return -1;
    }
    strcpy(sa.sun_path, o->path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        error_set_errno(errp, errno, "character device '%s': cannot make a socket", chr->id);
        return -1;
    }
    if (o->server) {
        /* A socket left over from an earlier run is in the way; any other file is not ours to
         * remove. */
        if (lstat(o->path, &st) == 0 && S_ISSOCK(st.st_mode)) {
            unlink(o->path);
        }
        if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(fd, 1) == 0) {
            return fd;
        }
    } else if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0) {
        return fd;
    }
    error_set_errno(errp, errno, "character device '%s': cannot %s '%s'", chr->id,
                    o->server ? "listen on" : "connect to", o->path);
    close(fd);
    return -1;
}

/* ---- tcp ---- */

static int tcp_try(const struct addrinfo *ai, bool server)
{
    int one = 1, fd, saved;

    fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC, ai->ai_protocol);
    if (fd < 0) {
        return -1;
    }
    if (server) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, 1) == 0) {
            return fd;
        }
    } else if (connect(fd, ai->ai_addr, ai->ai_addrlen) == 0) {
        return fd;
    }
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int tcp_socket(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = o->server ? AI_PASSIVE : 0};
    struct addrinfo *list;
    int fd = -1, ret, saved = 0;

    if (!o->port) {
        error_set(errp, "character device '%s': needs host and port", chr->id);
        return -1;
    }
    ret = getaddrinfo(o->host && *o->host ? o->host : NULL, o->port, &hints, &list);
    if (ret != 0) {
        error_set(errp, "character device '%s': address '%s:%s': %s", chr->id,
                  o->host ? o->host : "", o->port, gai_strerror(ret));
        return -1;
    }
    for (struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next) {
        fd = tcp_try(ai, o->server);
        saved = errno;
    }
    freeaddrinfo(list);
    if (fd < 0) {
        error_set_errno(errp, saved, "character device '%s': cannot %s '%s:%s'", chr->id,
                        o->server ? "listen on" : "connect to", o->host ? o->host : "", o->port);
    }
    return fd;
}

/* ---- both ---- */

static bool wait_for_peer(CharBackend *chr, Error **errp)
{
    ChrSocket *s = chr->state;
    int fd;

    fprintf(stderr, "vole: waiting for a connection on: %s\n", chr->spec);
    do {
        fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        error_set_errno(errp, errno, "character device '%s': cannot accept a connection", chr->id);
        return false;
    }
    return take_peer(chr, fd, errp);
}

static void socket_close(CharBackend *chr)
{
    ChrSocket *s = chr->state;

    chr_fd_stop(&s->fd);
    if (s->peer >= 0) {
        close(s->peer);
    }
    if (s->listener >= 0) {
        loop_set_fd(s->listener, NULL, NULL, NULL);
        close(s->listener);
    }
    if (s->unlink_path) {
        unlink(s->unlink_path);
        free(s->unlink_path);
    }
    free(s);
}

static bool socket_start(CharBackend *chr, const ChrOptions *o, int fd, Error **errp)
{
    ChrSocket *s;

    if (fd < 0) {
        return false;
    }
    s = calloc(1, sizeof(*s));
    s->listener = s->peer = -1;
    s->nodelay = o->nodelay;
    chr->state = s;
    chr->interactive = true;
    if (!o->server) {
        if (!take_peer(chr, fd, errp)) {
            socket_close(chr);
            return false;
        }
        return true;
    }
    s->listener = fd;
    if (!o->nowait && !wait_for_peer(chr, errp)) {
        socket_close(chr);
        return false;
    }
    /* Now that nobody is waited for with it, a connection that was given up must not block accept.
     */
    if (!chr_fd_set_nonblocking(fd, errp)) {
        socket_close(chr);
        return false;
    }
    watch_listener(chr);
    return true;
}

static bool unix_open(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    if (!socket_start(chr, o, unix_socket(chr, o, errp), errp)) {
        return false;
    }
    if (o->server) {
        ((ChrSocket *)chr->state)->unlink_path = strdup(o->path);
    }
    return true;
}

static bool tcp_open(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    return socket_start(chr, o, tcp_socket(chr, o, errp), errp);
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

const ChrDriver chr_unix_driver = {
    .name = "unix",
    .help = "a local socket path=, server=on, wait=off",
    .open = unix_open,
    .close = socket_close,
    .write = socket_write,
    .update_input = socket_update_input,
};

const ChrDriver chr_tcp_driver = {
    .name = "tcp",
    .help = "host=, port=, server=on, wait=off, nodelay=on",
    .open = tcp_open,
    .close = socket_close,
    .write = socket_write,
    .update_input = socket_update_input,
};
