/*
 * What the files of the NBD server share.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_NBD_SERVER_INT_H
#define BLOCK_NBD_SERVER_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "block/driver.h"
#include "block/nbd-server.h"
#include "block/nbd.h"

enum {
    NBD_MAX_BITMAPS = 30,
    /* Numbers of contexts on the wire, and bits of NbdClient.contexts. */
    NBD_CONTEXT_ALLOCATION = 0,
    NBD_CONTEXT_DEPTH = 1,
    NBD_CONTEXT_BITMAP = 2,
};

/* As it was when the export was made. */
typedef struct NbdBitmap {
    char *name;
    uint8_t *bits;
    uint64_t bytes;
    unsigned granularity_bits;
} NbdBitmap;

typedef struct NbdExport {
    NbdServer *server;
    char *name, *description, *id;
    BlockChild *root;
    bool writable, depth;
    NbdBitmap bitmaps[NBD_MAX_BITMAPS];
    unsigned bitmap_count, clients, quiesced;
    CoQueue gate; /* requests that came while it was quiesced */
    struct NbdExport *next;
} NbdExport;

typedef struct NbdClient {
    NbdServer *server;
    CoSocket *socket;
    NbdExport *export; /* NULL: not chosen yet */
    NbdExport *pinned; /* that it is being told about during the handshake */
    bool structured;
    uint32_t contexts;   /* those asked for, a bit each */
    char *contexts_name; /* of the export they were asked for */
    CoMutex sending;
    unsigned in_flight;
    uint64_t memory; /* bytes that requests in flight hold */
    CoQueue room;
    struct NbdClient *next;
} NbdClient;

struct NbdServer {
    int fds[8], fd_count;
    char *path; /* of the unix socket, to be removed */
    unsigned max_clients, client_count;
    NbdClient *clients;
    NbdExport *exports;
    void (*handler)(void *opaque);
    void *handler_opaque;
    bool stopping;
    Timer retry; /* of accepting, where the host had no descriptor left */
};

NbdExport *nbd_find_export(const NbdServer *server, const char *name);
/* nbd-server-options.c: true: the client has chosen its export. */
bool nbd_serve_options(NbdClient *client);
/* nbd-server-io.c: until the client is gone and its requests are done. */
void nbd_serve_requests(NbdClient *client);

#endif
