/*
 * The udp backend: bytes in datagrams, to one host and port, from a port of our own. What the
 * network loses is lost; nothing is lost here.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "char/char-int.h"
#include "char/sockaddr.h"

typedef struct ChrUdp {
    ChrFd fd;
    int socket;
} ChrUdp;

/* A datagram socket has no end and its errors pass: never called. */
static void udp_closed(CharBackend *chr)
{
}

/* Bound to an address of the kind that the other host's has. */
static int udp_socket(const SockAddr *remote, const ChrOptions *o, Error **errp)
{
    SockAddrs local = {0};
    int fd = -1;

    if (!sockaddrs_resolve(&local, o->localaddr, o->localport ? o->localport : "0", SOCK_DGRAM,
                           true, errp)) {
        return -1;
    }
    for (unsigned i = 0; i < local.count && fd < 0; i++) {
        SockAddrs one = {.list = &local.list[i], .count = 1};
        if (local.list[i].sa.ss_family == remote->sa.ss_family) {
            fd = sockaddrs_bind(&one, SOCK_DGRAM);
        }
    }
    if (fd < 0) {
        error_set_errno(errp, errno, "cannot be reached at '%s'", local.name);
    } else if (connect(fd, (const struct sockaddr *)&remote->sa, remote->len) < 0) {
        error_set_errno(errp, errno, "cannot send to '%s:%s'", o->host ? o->host : "", o->port);
        close(fd);
        fd = -1;
    }
    sockaddrs_free(&local);
    return fd;
}

static bool udp_open(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    SockAddrs remote = {0};
    ChrUdp *u;
    int fd = -1;

    if (!o->port) {
        error_set(errp, "character device '%s': udp: needs the port of the other host", chr->id);
        return false;
    }
    if (sockaddrs_resolve(&remote, o->host, o->port, SOCK_DGRAM, false, errp)) {
        fd = udp_socket(&remote.list[0], o, errp);
    }
    sockaddrs_free(&remote);
    if (fd < 0 || !chr_fd_set_nonblocking(fd, errp)) {
        error_prepend(errp, "character device '%s': ", chr->id);
        return false;
    }
    u = calloc(1, sizeof(*u));
    u->socket = fd;
    u->fd.datagram = true;
    chr->state = u;
    chr->connected = true;
    chr_fd_start(&u->fd, chr, fd, fd, udp_closed);
    return true;
}

static void udp_close(CharBackend *chr)
{
    ChrUdp *u = chr->state;

    chr_fd_stop(&u->fd);
    close(u->socket);
    free(u);
}

static size_t udp_write(CharBackend *chr, const uint8_t *data, size_t size)
{
    ChrUdp *u = chr->state;

    return chr_fd_write(&u->fd, data, size);
}

static void udp_update_input(CharBackend *chr)
{
    ChrUdp *u = chr->state;

    chr_fd_update(&u->fd);
}

/* "[HOST]:PORT[@[HOST]:PORT]": theirs, ours. */
static bool udp_parse(ChrOptions *o, const char *text, Error **errp)
{
    const char *at = strchr(text, '@');
    char *remote = strndup(text, at ? (size_t)(at - text) : strlen(text));
    bool ok = chr_parse_host_port(remote, &o->host, &o->port);

    if (ok && at) {
        ok = chr_parse_host_port(at + 1, &o->localaddr, &o->localport);
    }
    free(remote);
    if (!ok) {
        error_set(errp, "'udp:%s': must be udp:[HOST]:PORT[@[OUR-ADDRESS]:OUR-PORT]", text);
    }
    return ok;
}

const ChrDriver chr_udp_driver = {
    .name = "udp",
    .help = "datagrams to host=, port=; reached at localaddr=, localport=",
    .parse = udp_parse,
    .open = udp_open,
    .close = udp_close,
    .write = udp_write,
    .update_input = udp_update_input,
};
