/*
 * CoSocket: a stream socket of the host, read and written from coroutines. One coroutine may read
 * and one may write at the same time; each waits where it has to while the main loop turns.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_COSOCKET_H
#define BLOCK_COSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "util/error.h"

typedef struct CoSocket CoSocket;

/* Where to: path alone (unix), or host and port. The texts are the caller's. */
typedef struct CoSocketAddress {
    const char *path;
    const char *host, *port; /* host NULL: this machine, or any address to listen on */
} CoSocketAddress;

/* Connects within timeout_ns (0: as long as the host tries). NULL with an error. */
CoSocket *cosocket_connect(const CoSocketAddress *address, int64_t timeout_ns, Error **errp);
/* Over a connected descriptor, which it takes over. */
CoSocket *cosocket_new(int fd);
/* Nobody may wait in it any more. May be NULL. */
void cosocket_free(CoSocket *s);

/*
 * All of it, or a negative errno; -ECONNRESET where the other side has closed. After an error
 * the connection is of no more use.
 */
int cosocket_read(CoSocket *s, void *buf, size_t bytes);
int cosocket_readv(CoSocket *s, struct iovec *iov, int count); /* changes iov */
int cosocket_writev(CoSocket *s, struct iovec *iov, int count);
int cosocket_write(CoSocket *s, const void *buf, size_t bytes);
/* Throws away what comes next. */
int cosocket_skip(CoSocket *s, uint64_t bytes);

/* Ends the connection: who waits in it, and all later calls, get -error. From anywhere. */
void cosocket_shutdown(CoSocket *s, int error);
/* The same by itself when the host's clock has gone on by ns; 0: no longer. */
void cosocket_set_deadline(CoSocket *s, int64_t ns);

/*
 * Descriptors that listen at an address, at most max of them; their number, or 0 with an error.
 * A stale unix socket of that name is replaced, one on which somebody listens is not.
 */
int cosocket_listen(const CoSocketAddress *address, int *fds, int max, Error **errp);

#endif
