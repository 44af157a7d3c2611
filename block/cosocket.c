/*
 * Sockets for coroutines. Small reads go through a buffer, so that a header and what follows it
 * cost one system call.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/cosocket.h"

#include <errno.h>
#include <limits.h>
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

#include "block/util.h"
#include "util/coroutine.h"
#include "util/iovec.h"
#include "util/worker.h"

enum { BUFFER_SIZE = 16 * 1024, BACKLOG = 16 };

struct CoSocket {
    int fd;
    int error; /* of the connection; positive */
    Coroutine *reader, *writer;
    Timer deadline;
    size_t first, last; /* what of the buffer was not taken yet */
    uint8_t buffer[BUFFER_SIZE];
};

/* ---- waiting ---- */

static void reader_ready(void *opaque);
static void writer_ready(void *opaque);

static void watch(CoSocket *s)
{
    loop_set_fd(s->fd, s->reader ? reader_ready : NULL, s->writer ? writer_ready : NULL, s);
}

static void wake(CoSocket *s, Coroutine **who)
{
    Coroutine *co = *who;

    *who = NULL;
    watch(s);
    if (co) {
        coroutine_wake(co);
    }
}

/* A hang-up is reported to the reader where there is one; the writer finds out by trying. */
static void reader_ready(void *opaque)
{
    CoSocket *s = opaque;

    wake(s, &s->reader);
}

static void writer_ready(void *opaque)
{
    CoSocket *s = opaque;

    wake(s, &s->writer);
}

static void wait_ready(CoSocket *s, Coroutine **who)
{
    *who = coroutine_self();
    watch(s);
    coroutine_yield();
}

static void go_on(void *opaque)
{
    coroutine_wake(opaque);
}

/* Those who wait hear of it a turn later: they may free what our caller is in the middle of. */
void cosocket_shutdown(CoSocket *s, int error)
{
    Coroutine *waiting[] = {s->reader, s->writer};

    if (s->error) {
        return;
    }
    s->error = error;
    shutdown(s->fd, SHUT_RDWR);
    s->reader = s->writer = NULL;
    watch(s);
    for (unsigned i = 0; i < 2; i++) {
        if (waiting[i]) {
            loop_defer(go_on, waiting[i]);
        }
    }
}

static void deadline_passed(void *opaque)
{
    cosocket_shutdown(opaque, ETIMEDOUT);
}

void cosocket_set_deadline(CoSocket *s, int64_t ns)
{
    if (ns) {
        timer_set(&s->deadline, clock_now(CLOCK_HOST) + ns);
    } else {
        timer_cancel(&s->deadline);
    }
}

CoSocket *cosocket_new(int fd)
{
    CoSocket *s = malloc(sizeof(*s));
    const int on = 1;

    if (!s) {
        error_report("out of memory");
        abort();
    }
    s->fd = fd;
    s->error = 0;
    s->reader = s->writer = NULL;
    s->first = s->last = 0;
    timer_init(&s->deadline, CLOCK_HOST, deadline_passed, s);
    /* Requests and answers are small and waited for; unix sockets have neither option. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    return s;
}

void cosocket_free(CoSocket *s)
{
    if (s) {
        timer_cancel(&s->deadline);
        loop_set_fd(s->fd, NULL, NULL, NULL);
        close(s->fd);
        free(s);
    }
}

/* ---- reading and writing ---- */

/* At least one byte. */
static ssize_t receive(CoSocket *s, struct iovec *iov, int count)
{
    for (;;) {
        if (s->error) {
            return -s->error;
        }
        ssize_t n = readv(s->fd, iov, MIN(count, IOV_MAX));
        if (n > 0) {
            return n;
        }
        if (n == 0) {
            cosocket_shutdown(s, ECONNRESET);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            wait_ready(s, &s->reader);
        } else if (errno != EINTR) {
            cosocket_shutdown(s, errno);
        }
    }
}

static size_t take_buffered(CoSocket *s, void *to, size_t bytes)
{
    size_t n = MIN(bytes, s->last - s->first);

    memcpy(to, s->buffer + s->first, n);
    s->first += n;
    return n;
}

int cosocket_readv(CoSocket *s, struct iovec *iov, int count)
{
    while (count > 0) {
        if (!iov->iov_len) {
            iov++, count--;
            continue;
        }
        ssize_t n = (ssize_t)take_buffered(s, iov->iov_base, iov->iov_len);
        if (!n && count == 1 && iov->iov_len < BUFFER_SIZE / 2) {
            struct iovec mine = {s->buffer, BUFFER_SIZE};
            n = receive(s, &mine, 1);
            if (n > 0) {
                s->first = 0;
                s->last = (size_t)n;
                continue;
            }
        } else if (!n) {
            n = receive(s, iov, count);
        }
        if (n < 0) {
            return (int)n;
        }
        iov_skip(&iov, &count, (size_t)n);
    }
    return s->error ? -s->error : 0;
}

int cosocket_read(CoSocket *s, void *buf, size_t bytes)
{
    struct iovec iov = {buf, bytes};

    return cosocket_readv(s, &iov, 1);
}

int cosocket_skip(CoSocket *s, uint64_t bytes)
{
    uint8_t waste[4096];
    int ret = 0;

    while (bytes && ret == 0) {
        size_t n = MIN(bytes, sizeof(waste));
        ret = cosocket_read(s, waste, n);
        bytes -= n;
    }
    return ret;
}

int cosocket_writev(CoSocket *s, struct iovec *iov, int count)
{
    while (count > 0) {
        if (s->error) {
            return -s->error;
        }
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = MIN(count, IOV_MAX)};
        ssize_t n = sendmsg(s->fd, &msg, MSG_NOSIGNAL);
        if (n >= 0) {
            iov_skip(&iov, &count, (size_t)n);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            wait_ready(s, &s->writer);
        } else if (errno != EINTR) {
            cosocket_shutdown(s, errno == EPIPE ? ECONNRESET : errno);
        }
    }
    return 0;
}

int cosocket_write(CoSocket *s, const void *buf, size_t bytes)
{
    struct iovec iov = {(void *)buf, bytes};

    return cosocket_writev(s, &iov, 1);
}

/* ---- addresses ---- */

static const char *describe(const CoSocketAddress *address, char *text, size_t size)
{
    if (address->path) {
        snprintf(text, size, "%s", address->path);
    } else {
        bool v6 = address->host && strchr(address->host, ':');
        snprintf(text, size, "%s%s%s:%s", v6 ? "[" : "",
                 address->host && *address->host ? address->host : "localhost", v6 ? "]" : "",
                 address->port);
    }
    return text;
}

static bool unix_address(const char *path, struct sockaddr_un *sa, Error **errp)
{
    *sa = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (!*path || strlen(path) >= sizeof(sa->sun_path)) {
        error_set(errp, "socket '%s': a path has 1 to %zu bytes", path, sizeof(sa->sun_path) - 1);
        return false;
    }
    strcpy(sa->sun_path, path);
    return true;
}

/* getaddrinfo() cuts numbers to 16 bits. A name of a service is its own affair. */
static bool port_possible(const char *port, Error **errp)
{
    char *end;
    long n = strtol(port, &end, 10);

    if (*port && !*end && (n < 0 || n > 65535)) {
        error_set(errp,
                  "port '%s' is not possible; possible: a number from 0 to 65535, or a service",
                  port);
        return false;
    }
    return true;
}

/* Asking for a name's address may take long: on a worker. */
typedef struct Lookup {
    WorkItem item; /* first */
    const CoSocketAddress *address;
    struct addrinfo hints, *list;
    int ret;
    Coroutine *co;
} Lookup;

static void lookup_work(WorkItem *item)
{
    Lookup *l = (Lookup *)item;
    const char *host = l->address->host;

    l->ret = getaddrinfo(host && *host ? host : NULL, l->address->port, &l->hints, &l->list);
}

static void lookup_done(WorkItem *item)
{
    coroutine_wake(((Lookup *)item)->co);
}

static struct addrinfo *look_up(const CoSocketAddress *address, Error **errp)
{
    Lookup l = {.item = {.work = lookup_work, .done = lookup_done},
                .address = address,
                .hints = {.ai_socktype = SOCK_STREAM},
                .co = coroutine_self()};

    if (!port_possible(address->port, errp)) {
        return NULL;
    }
    worker_submit(&l.item);
    coroutine_yield();
    if (l.ret) {
        error_set(errp, "cannot find %s, port %s: %s", address->host ? address->host : "localhost",
                  address->port, gai_strerror(l.ret));
        return NULL;
    }
    return l.list;
}

/* ---- connecting ---- */

/* 0 or a positive errno. */
static int connect_one(const struct sockaddr *sa, socklen_t size, int64_t timeout_ns, CoSocket **to)
{
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t length = sizeof(int);
    int error = 0;

    if (fd < 0) {
        return errno;
    }
    CoSocket *s = cosocket_new(fd);
    cosocket_set_deadline(s, timeout_ns);
    while (connect(fd, sa, size) < 0) {
        if (errno == EAGAIN) { /* a unix socket whose backlog is full */
            coroutine_sleep(CLOCK_HOST, 10 * NS_PER_MS);
            if (!s->error) {
                continue;
            }
        } else if (errno == EINPROGRESS) {
            wait_ready(s, &s->writer);
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
        } else if (errno != EINTR) {
            error = errno;
        } else {
            continue;
        }
        break;
    }
    error = s->error ? s->error : error;
    if (error) {
        cosocket_free(s);
        return error;
    }
    cosocket_set_deadline(s, 0);
    *to = s;
    return 0;
}

CoSocket *cosocket_connect(const CoSocketAddress *address, int64_t timeout_ns, Error **errp)
{
    CoSocket *s = NULL;
    char text[300];
    int error = EHOSTUNREACH;

    if (address->path) {
        struct sockaddr_un sa;
        if (!unix_address(address->path, &sa, errp)) {
            return NULL;
        }
        error = connect_one((struct sockaddr *)&sa, sizeof(sa), timeout_ns, &s);
    } else {
        struct addrinfo *list = look_up(address, errp);
        if (!list) {
            return NULL;
        }
        for (struct addrinfo *a = list; a && !s; a = a->ai_next) {
            error = connect_one(a->ai_addr, a->ai_addrlen, timeout_ns, &s);
        }
        freeaddrinfo(list);
    }
    if (!s) {
        error_set_errno(errp, error, "cannot connect to %s", describe(address, text, sizeof(text)));
    }
    return s;
}

/* ---- listening ---- */

/* A socket file that nobody listens on is what a program left behind. */
static bool is_stale(const struct sockaddr_un *sa)
{
    struct stat st;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool stale = fd >= 0 && stat(sa->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
                 connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 && errno == ECONNREFUSED;

    close(fd);
    return stale;
}

static int listen_one(const struct sockaddr *sa, socklen_t size)
{
    const int on = 1;
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        return -errno;
    }
    if (sa->sa_family != AF_UNIX) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    }
    if (sa->sa_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    }
    if (bind(fd, sa, size) < 0 || listen(fd, BACKLOG) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int cosocket_listen(const CoSocketAddress *address, int *fds, int max, Error **errp)
{
    char text[300];
    int count = 0, error = 0;

    if (address->path) {
        struct sockaddr_un sa;
        if (!unix_address(address->path, &sa, errp)) {
            return 0;
        }
        if (is_stale(&sa)) {
            unlink(sa.sun_path);
        }
        fds[0] = listen_one((struct sockaddr *)&sa, sizeof(sa));
        error = fds[0] < 0 ? -fds[0] : 0;
        count = fds[0] >= 0;
    } else {
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list;
        const char *host = address->host && *address->host ? address->host : NULL;
        if (!port_possible(address->port, errp)) {
            return 0;
        }
        int ret = getaddrinfo(host, address->port, &hints, &list);
        if (ret) {
            error_set(errp, "cannot find %s, port %s: %s", host ? host : "localhost", address->port,
                      gai_strerror(ret));
            return 0;
        }
        for (struct addrinfo *a = list; a && count < max; a = a->ai_next) {
            int fd = listen_one(a->ai_addr, a->ai_addrlen);
            if (fd >= 0) {
                fds[count++] = fd;
            } else {
                error = -fd;
            }
        }
        freeaddrinfo(list);
    }
    if (!count) {
        error_set_errno(errp, error, "cannot listen at %s", describe(address, text, sizeof(text)));
    }
    return count;
}
