/*
 * Asynchronous I/O of the host: io_uring and Linux aio, for the protocol "file".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_AIO_H
#define BLOCK_AIO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "util/error.h"

typedef enum AioKind { AIO_THREADS, AIO_NATIVE, AIO_URING } AioKind;
typedef enum AioOp { AIO_READ, AIO_WRITE, AIO_SYNC } AioOp;

/* Whether this build and this host have it; false with an error. */
bool aio_available(AioKind kind, Error **errp);
/*
 * One operation, in a coroutine. Gives the bytes done (may be short), or a negative errno; -EAGAIN:
 * it cannot be run this way now, use a thread.
 */
int64_t aio_run(AioKind kind, AioOp op, int fd, const struct iovec *iov, int count,
                uint64_t offset);

#endif
