/*
 * Asynchronous I/O of the host. Each kind has one queue for the program, whose completions come
 * through an eventfd on the main loop.
 *
 * What io_uring finds in the page cache it completes while it is submitted, and then nobody waits:
 * the request goes on at once. So that a long row of such requests does not keep the loop from
 * everything else, each of every so many goes around by the loop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/aio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "config.h"
#include "util/coroutine.h"
#include "util/loop.h"

#ifdef CONFIG_URING
#include <liburing.h>
#endif
#ifdef CONFIG_LIBAIO
#include <libaio.h>
#endif

enum { QUEUE_DEPTH = 256, AT_ONCE = 64 };

typedef struct AioRequest {
    Coroutine *co; /* waits; NULL: not yet */
    int64_t result;
    bool done;
} AioRequest;

static void complete(AioRequest *req, int64_t result)
{
    req->result = result;
    req->done = true;
    if (req->co) {
        coroutine_wake(req->co);
    }
}

static void wake(void *opaque)
{
    coroutine_wake(opaque);
}

static int64_t wait_for(AioRequest *req)
{
    static unsigned at_once;

    if (!req->done) {
        req->co = coroutine_self();
        coroutine_yield();
    } else if (++at_once % AT_ONCE == 0) {
        loop_defer(wake, coroutine_self());
        coroutine_yield();
    }
    return req->result;
}

/* ---- io_uring ---- */

#ifdef CONFIG_URING
static struct io_uring ring;
static int ring_state; /* 0: not tried, 1: there, else a negative errno */
static int ring_fd = -1;

static void ring_reap(void)
{
    struct io_uring_cqe *cqe;

    while (io_uring_peek_cqe(&ring, &cqe) == 0) {
        AioRequest *req = io_uring_cqe_get_data(cqe);
        int64_t result = cqe->res;
        io_uring_cqe_seen(&ring, cqe);
        complete(req, result);
    }
}

static void ring_ready(void *opaque)
{
    eventfd_t count;

    eventfd_read(ring_fd, &count);
    ring_reap();
}

static int ring_open(void)
{
    if (ring_state) {
        return ring_state;
    }
    ring_state = io_uring_queue_init(QUEUE_DEPTH, &ring, 0);
    if (ring_state == 0) {
        ring_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        ring_state = ring_fd < 0 ? -errno : io_uring_register_eventfd(&ring, ring_fd);
        ring_state = ring_state == 0 ? 1 : ring_state;
        if (ring_state == 1) {
            loop_set_fd(ring_fd, ring_ready, NULL, NULL);
        }
    }
    return ring_state;
}

static int64_t ring_run(AioOp op, int fd, const struct iovec *iov, int count, uint64_t offset)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    AioRequest req = {0};

    if (!sqe) {
        return -EAGAIN;
    }
    if (op == AIO_SYNC) {
        io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
    } else if (op == AIO_READ) {
        io_uring_prep_readv(sqe, fd, iov, count, offset);
    } else {
        io_uring_prep_writev(sqe, fd, iov, count, offset);
    }
    io_uring_sqe_set_data(sqe, &req);
    /* What is complete at once needs no event; what completes after the first look but before
     * events are on again, the second finds. */
    io_uring_cq_eventfd_toggle(&ring, false);
    while (io_uring_submit(&ring) < 0) {
        ring_reap(); /* EAGAIN, EBUSY: completions make room */
    }
    ring_reap();
    io_uring_cq_eventfd_toggle(&ring, true);
    ring_reap();
    return wait_for(&req);
}
#endif

/* ---- Linux aio ---- */

#ifdef CONFIG_LIBAIO
static io_context_t aio_context;
static int aio_state, aio_fd = -1;

static void aio_ready(void *opaque)
{
    struct io_event events[64];
    struct timespec none = {0};
    eventfd_t count;
    int n;

    eventfd_read(aio_fd, &count);
    while ((n = io_getevents(aio_context, 0, 64, events, &none)) > 0) {
        for (int i = 0; i < n; i++) {
            complete(events[i].data, (int64_t)events[i].res);
        }
    }
}

static int aio_open(void)
{
    if (aio_state) {
        return aio_state;
    }
    aio_state = io_setup(QUEUE_DEPTH, &aio_context);
    if (aio_state == 0) {
        aio_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        aio_state = aio_fd < 0 ? -errno : 1;
        loop_set_fd(aio_fd, aio_ready, NULL, NULL);
    }
    return aio_state;
}

static int64_t aio_native(AioOp op, int fd, const struct iovec *iov, int count, uint64_t offset)
{
    struct iocb cb, *list[] = {&cb};
    AioRequest req = {0};

    if (op == AIO_SYNC) {
        return -EAGAIN; /* few file systems have it */
    }
    if (op == AIO_READ) {
        io_prep_preadv(&cb, fd, iov, count, (long long)offset);
    } else {
        io_prep_pwritev(&cb, fd, iov, count, (long long)offset);
    }
    io_set_eventfd(&cb, aio_fd);
    cb.data = &req;
    int ret = io_submit(aio_context, 1, list);
    return ret == 1 ? wait_for(&req) : ret < 0 ? ret : -EAGAIN;
}
#endif

/* ---- both ---- */

bool aio_available(AioKind kind, Error **errp)
{
    int ret = -ENOSYS;

    if (kind == AIO_THREADS) {
        return true;
    }
#ifdef CONFIG_URING
    ret = kind == AIO_URING ? ring_open() : ret;
#endif
#ifdef CONFIG_LIBAIO
    ret = kind == AIO_NATIVE ? aio_open() : ret;
#endif
    if (ret < 0) {
        error_set(errp, "aio=%s: %s; possible: threads", kind == AIO_URING ? "io_uring" : "native",
                  ret == -ENOSYS ? "this build or this host is without it" : strerror(-ret));
    }
    return ret > 0;
}

int64_t aio_run(AioKind kind, AioOp op, int fd, const struct iovec *iov, int count, uint64_t offset)
{
#ifdef CONFIG_URING
    if (kind == AIO_URING) {
        return ring_run(op, fd, iov, count, offset);
    }
#endif
#ifdef CONFIG_LIBAIO
    if (kind == AIO_NATIVE) {
        return aio_native(op, fd, iov, count, offset);
    }
#endif
    return -EAGAIN;
}
