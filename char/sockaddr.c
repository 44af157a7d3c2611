/*
 * Addresses of sockets.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "char/sockaddr.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static void add(SockAddrs *a, const void *sa, socklen_t len)
{
    a->list = realloc(a->list, (a->count + 1) * sizeof(*a->list));
    if (!a->list) {
        abort();
    }
    memset(&a->list[a->count], 0, sizeof(*a->list));
    memcpy(&a->list[a->count].sa, sa, len);
    a->list[a->count++].len = len;
}

bool sockaddrs_unix(SockAddrs *a, const char *path, Error **errp)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(sa.sun_path)) {
        error_set(errp, "socket path '%s' is longer than %zu characters", path,
                  sizeof(sa.sun_path) - 1);
        return false;
    }
    strcpy(sa.sun_path, path);
    a->name = strdup(path);
    add(a, &sa, sizeof(sa));
    return true;
}

/* The C library takes any number for a port and keeps its low 16 bits: 99999 would be 34463. */
static bool port_in_range(const char *port)
{
    char *end;
    long long n = strtoll(port, &end, 10);

    return *end || (n >= 0 && n <= 65535);
}

bool sockaddrs_resolve(SockAddrs *a, const char *host, const char *port, int type, bool passive,
                       Error **errp)
{
    struct addrinfo hints = {.ai_socktype = type, .ai_flags = passive ? AI_PASSIVE : 0};
    struct addrinfo *list;
    int ret = port_in_range(port) ? getaddrinfo(host && *host ? host : NULL, port, &hints, &list)
                                  : EAI_SERVICE;

    if (ret == EAI_SERVICE) {
        error_set(errp,
                  "address '%s:%s': port '%s' is not possible; possible: a number from 0 to 65535, "
                  "or the name of a service",
                  host ? host : "", port, port);
        return false;
    }
    if (ret != 0) {
        error_set(errp, "address '%s:%s': %s", host ? host : "", port, gai_strerror(ret));
        return false;
    }
    for (struct addrinfo *ai = list; ai; ai = ai->ai_next) {
        add(a, ai->ai_addr, ai->ai_addrlen);
    }
    freeaddrinfo(list);
    if (asprintf(&a->name, "%s:%s", host ? host : "", port) < 0) {
        abort();
    }
    return true;
}

void sockaddrs_free(SockAddrs *a)
{
    free(a->list);
    free(a->name);
    *a = (SockAddrs){0};
}

static int first_that_works(const SockAddrs *a, int type,
                            int (*fn)(int fd, const struct sockaddr *sa, socklen_t len))
{
    int one = 1, saved = EADDRNOTAVAIL;

    for (unsigned i = 0; i < a->count; i++) {
        const struct sockaddr *sa = (const struct sockaddr *)&a->list[i].sa;
        int fd = socket(sa->sa_family, type | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            saved = errno;
            continue;
        }
        if (type == SOCK_STREAM && sa->sa_family != AF_UNIX) {
            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        }
        if (fn(fd, sa, a->list[i].len) == 0) {
            return fd;
        }
        saved = errno;
        close(fd);
    }
    errno = saved;
    return -1;
}

int sockaddrs_bind(const SockAddrs *a, int type)
{
    return first_that_works(a, type, bind);
}

int sockaddrs_connect(const SockAddrs *a, int type)
{
    return first_that_works(a, type, connect);
}
