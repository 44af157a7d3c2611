/*
 * Addresses of sockets: a path, or what a host name and a port stand for.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CHAR_SOCKADDR_H
#define CHAR_SOCKADDR_H

#include <stdbool.h>
#include <sys/socket.h>

#include "util/error.h"

typedef struct SockAddr {
    struct sockaddr_storage sa;
    socklen_t len;
} SockAddr;

typedef struct SockAddrs {
    SockAddr *list; /* in the order in which they are to be tried */
    unsigned count;
    char *name; /* as the user knows it */
} SockAddrs;

/* Both fill a zeroed list. */
bool sockaddrs_unix(SockAddrs *a, const char *path, Error **errp);
/* host NULL or empty: this machine (passive: any address). type: SOCK_STREAM or SOCK_DGRAM. */
bool sockaddrs_resolve(SockAddrs *a, const char *host, const char *port, int type, bool passive,
                       Error **errp);
void sockaddrs_free(SockAddrs *a);
/* A new socket bound (connected) to the first address where that works; -1 with errno. */
int sockaddrs_bind(const SockAddrs *a, int type);
int sockaddrs_connect(const SockAddrs *a, int type);

#endif
