/*
 * An NBD server: exports of nodes to clients of the network block device protocol (nbd.h), without
 * TLS. Main thread, machine lock held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_NBD_SERVER_H
#define BLOCK_NBD_SERVER_H

#include <stdbool.h>

#include "block/cosocket.h"
#include "block/node.h"

typedef struct NbdServer NbdServer;

/* Listens; max_clients 0: no limit. NULL with an error. */
NbdServer *nbd_server_new(const CoSocketAddress *address, unsigned max_clients, Error **errp);
/* All connections and exports end; flushes what was written. May be NULL. */
void nbd_server_free(NbdServer *server);
unsigned nbd_server_clients(const NbdServer *server);
/* Told when a client has come or gone. */
void nbd_server_set_handler(NbdServer *server, void (*fn)(void *opaque), void *opaque);

typedef struct NbdExportOptions {
    const char *name;        /* as clients ask for it */
    const char *description; /* NULL: none */
    const char *id;          /* NULL: none, block-export-add's */
    bool writable;
    bool allocation_depth;      /* context "qemu:allocation-depth" */
    const char *const *bitmaps; /* contexts "qemu:dirty-bitmap:NAME"; ends with NULL; NULL: none */
} NbdExportOptions;

/* Exports a node; takes its own reference. */
bool nbd_export_add(NbdServer *server, BlockNode *node, const NbdExportOptions *options,
                    Error **errp);
/* Not force: refused while a client is connected to it. by_id: the name is an id. */
bool nbd_export_remove(NbdServer *server, const char *name, bool by_id, bool force, Error **errp);

typedef struct NbdExportInfo {
    const char *name, *id; /* id NULL: none */
    const char *node_name;
    bool writable;
    unsigned clients;
} NbdExportInfo;
void nbd_server_each(NbdServer *server, void (*fn)(const NbdExportInfo *info, void *opaque),
                     void *opaque);

/* The server of the monitor's commands; NULL: none runs. */
extern NbdServer *nbd_monitor_server;

#endif
