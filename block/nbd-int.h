/*
 * The NBD client's state and requests: what its files share.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_NBD_INT_H
#define BLOCK_NBD_INT_H

#include "block/driver.h"
#include "block/nbd.h"

enum { NBD_INLINE_IOV = 64 }; /* pieces of a buffer that need no memory of their own */

typedef struct NbdRequest {
    uint16_t command, flags;
    uint64_t offset, bytes;
    IoVector *v; /* READ, WRITE */
    size_t at;
    uint64_t received;             /* of a READ */
    uint32_t status, status_bytes; /* BLOCK_STATUS: the first extent */
    bool answered, waiting, lost;
    int ret;
    uint64_t cookie;
    Coroutine *co;
} NbdRequest;

typedef struct NbdState {
    char *host, *port, *path, *export, *context;
    uint64_t reconnect_delay, open_timeout; /* seconds */
    bool dirty_bitmap;                      /* the context shows a dirty bitmap */
    NbdInfo info;

    CoSocket *socket; /* NULL: not connected */
    bool reading;     /* the coroutine that reads is there */
    CoMutex connecting, sending;
    CoQueue free_slot, reader_gone;
    NbdRequest *slots[NBD_MAX_REQUESTS];
    uint64_t serial;
    int64_t lost_at, tried_at; /* CLOCK_HOST */
    bool told_lost, closing, cancelled;
} NbdState;

/* Reads one answer, or a piece of one, and gives it to its request. A negative errno ends the
 * connection; -EPROTO: the answer fits no request. */
int nbd_read_answer(NbdState *s);
/* Whoever waits for it goes on. */
void nbd_request_answered(NbdRequest *req);

/* nbd://HOST[:PORT]/EXPORT, nbd+unix:///EXPORT?socket=FILE, nbd:HOST:PORT[:exportname=NAME] ... as
 * options. */
bool nbd_parse_filename(const char *filename, BlockOptions *options, Error **errp);

#endif
