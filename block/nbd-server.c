/*
 * The NBD server: listening, clients, exports.
 *
 * A client is a coroutine: first the handshake (nbd-server-options.c), which must be over in time,
 * then requests (nbd-server-io.c), each of which runs in a coroutine of its own. Clients are not
 * trusted: what they may have the server hold in memory, and how many of them there may be, is
 * limited.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/nbd-server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "block/nbd-server-int.h"
#include "block/util.h"

enum { HANDSHAKE_SECONDS = 20, MAX_CLIENTS = 256 };

NbdServer *nbd_monitor_server;

static char *copy(const char *text)
{
    char *c = text ? strdup(text) : NULL;

    if (text && !c) {
        error_report("out of memory");
        abort();
    }
    return c;
}

/* ---- clients ---- */

static void watch(NbdServer *server);

static void tell(NbdServer *server)
{
    if (server->handler) {
        server->handler(server->handler_opaque);
    }
}

static void client_entry(void *opaque)
{
    NbdClient *client = opaque;
    NbdServer *server = client->server;

    cosocket_set_deadline(client->socket, HANDSHAKE_SECONDS * NS_PER_SEC);
    if (nbd_serve_options(client)) {
        cosocket_set_deadline(client->socket, 0);
        nbd_serve_requests(client);
        client->export->clients--;
    }
    for (NbdClient **p = &server->clients; *p; p = &(*p)->next) {
        if (*p == client) {
            *p = client->next;
            break;
        }
    }
    cosocket_free(client->socket);
    free(client->contexts_name);
    free(client);
    server->client_count--;
    watch(server);
    tell(server);
}

static void accept_client(NbdServer *server, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            /* No descriptors or memory: he is still there in a second. */
            timer_set(&server->retry, clock_now(CLOCK_HOST) + NS_PER_SEC);
            watch(server);
        }
        return;
    }
    NbdClient *client = calloc(1, sizeof(*client));
    if (!client) {
        close(fd);
        return;
    }
    client->server = server;
    client->socket = cosocket_new(fd);
    client->next = server->clients;
    server->clients = client;
    server->client_count++;
    watch(server);
    tell(server);
    coroutine_enter(coroutine_create(client_entry, client));
}

/* Several descriptors, one handler: whichever has somebody. */
static void listener_ready(void *opaque)
{
    NbdServer *server = opaque;

    for (int i = 0; i < server->fd_count; i++) {
        if (server->client_count < server->max_clients) {
            accept_client(server, server->fds[i]);
        }
    }
}

/* Whoever is too many waits in the kernel. */
static void watch(NbdServer *server)
{
    bool open = !server->stopping && !timer_pending(&server->retry) &&
                server->client_count < server->max_clients;

    for (int i = 0; i < server->fd_count; i++) {
        loop_set_fd(server->fds[i], open ? listener_ready : NULL, NULL, server);
    }
}

static void retry_accept(void *opaque)
{
    watch(opaque);
}

NbdServer *nbd_server_new(const CoSocketAddress *address, unsigned max_clients, Error **errp)
{
    NbdServer *server = calloc(1, sizeof(*server));

    if (!server) {
        error_set(errp, "out of memory");
        return NULL;
    }
    server->fd_count = cosocket_listen(address, server->fds, ARRAY_SIZE(server->fds), errp);
    if (!server->fd_count) {
        free(server);
        return NULL;
    }
    server->path = copy(address->path);
    timer_init(&server->retry, CLOCK_HOST, retry_accept, server);
    server->max_clients = max_clients ? MIN(max_clients, MAX_CLIENTS) : MAX_CLIENTS;
    watch(server);
    return server;
}

void nbd_server_set_handler(NbdServer *server, void (*fn)(void *opaque), void *opaque)
{
    server->handler = fn;
    server->handler_opaque = opaque;
}

unsigned nbd_server_clients(const NbdServer *server)
{
    return server->client_count;
}

/* ---- exports ---- */

static const char *export_user_name(void *opaque)
{
    return "the NBD server";
}

static void export_drained_begin(void *opaque)
{
    ((NbdExport *)opaque)->quiesced++;
}

static void export_drained_end(void *opaque)
{
    NbdExport *export = opaque;

    if (--export->quiesced == 0) {
        co_queue_all(&export->gate);
    }
}

static const ChildUser export_user = {
    .name = export_user_name,
    .drained_begin = export_drained_begin,
    .drained_end = export_drained_end,
};

NbdExport *nbd_find_export(const NbdServer *server, const char *name)
{
    for (NbdExport *e = server->exports; e; e = e->next) {
        if (!strcmp(e->name, name)) {
            return e;
        }
    }
    return NULL;
}

static void free_export(NbdExport *e)
{
    bdrv_root_detach(e->root);
    for (unsigned i = 0; i < e->bitmap_count; i++) {
        free(e->bitmaps[i].name);
        free(e->bitmaps[i].bits);
    }
    free(e->name);
    free(e->description);
    free(e->id);
    free(e);
}

typedef struct LoadBitmap {
    BlockNode *node;
    NbdBitmap *bitmap;
    const char *name;
    bool ok;
    Error **errp;
} LoadBitmap;

/* In the node, or below it in the chain of backing files. */
static void co_load_bitmap(void *opaque)
{
    LoadBitmap *l = opaque;
    BitmapInfo *list = NULL;

    for (BlockNode *node = l->node; node; node = bdrv_backing(node)) {
        const BitmapOps *ops = node->driver->bitmaps;
        int n = ops && ops->co_load ? ops->co_list(node, &list) : 0;
        for (int i = 0; i < n; i++) {
            if (strcmp(list[i].name, l->name) != 0) {
                continue;
            }
            if (list[i].enabled && !node->readonly) {
                error_set(l->errp,
                          "bitmap '%s' is enabled and changes while the image is in use; disable "
                          "it first (vole-img bitmap --disable), or export the image read-only",
                          l->name);
            } else {
                l->bitmap->name = copy(l->name);
                l->ok = ops->co_load(node, l->name, &l->bitmap->bits, &l->bitmap->bytes,
                                     &l->bitmap->granularity_bits, l->errp);
            }
            free(list);
            return;
        }
        free(n > 0 ? list : NULL);
    }
    error_set(l->errp, "image %s has no bitmap '%s'", l->node->filename, l->name);
}

static bool load_bitmaps(NbdExport *e, BlockNode *node, const char *const *names, Error **errp)
{
    for (; names && *names; names++) {
        if (e->bitmap_count == NBD_MAX_BITMAPS) {
            error_set(errp, "an export shows at most %d bitmaps", NBD_MAX_BITMAPS);
            return false;
        }
        LoadBitmap l = {
            .node = node, .bitmap = &e->bitmaps[e->bitmap_count++], .name = *names, .errp = errp};
        coroutine_run(co_load_bitmap, &l);
        if (!l.ok) {
            return false;
        }
    }
    return true;
}

bool nbd_export_add(NbdServer *server, BlockNode *node, const NbdExportOptions *options,
                    Error **errp)
{
    if (nbd_find_export(server, options->name)) {
        error_set(errp, "there is an export '%s' already", options->name);
        return false;
    }
    if (strlen(options->name) > NBD_MAX_NAME ||
        (options->description && strlen(options->description) > NBD_MAX_NAME)) {
        error_set(errp, "name and description of an export have at most %d bytes", NBD_MAX_NAME);
        return false;
    }
    if (options->writable && bdrv_readonly(node)) {
        error_set(errp, "image %s is read-only; export it for reading only", node->filename);
        return false;
    }
    NbdExport *e = calloc(1, sizeof(*e));
    if (!e) {
        error_set(errp, "out of memory");
        return false;
    }
    e->server = server;
    e->name = copy(options->name);
    e->description = copy(options->description);
    e->id = copy(options->id);
    e->writable = options->writable;
    e->depth = options->allocation_depth;
    unsigned perm = BLK_PERM_READ | (e->writable ? BLK_PERM_WRITE : 0);
    e->root = bdrv_root_attach(bdrv_ref(node), perm, BLK_PERM_ALL, &export_user, e, errp);
    if (!e->root || !load_bitmaps(e, node, options->bitmaps, errp)) {
        free_export(e);
        return false;
    }
    e->next = server->exports;
    server->exports = e;
    return true;
}

static void end_export(NbdExport *e)
{
    NbdServer *server = e->server;

    for (NbdExport **p = &server->exports; *p; p = &(*p)->next) {
        if (*p == e) {
            *p = e->next;
            break;
        }
    }
    for (NbdClient *c = server->clients; c; c = c->next) {
        if (c->export == e || c->pinned == e) {
            cosocket_shutdown(c->socket, ESHUTDOWN);
        }
    }
    while (e->clients) {
        loop_run_once(-1);
    }
    free_export(e);
}

bool nbd_export_remove(NbdServer *server, const char *name, bool by_id, bool force, Error **errp)
{
    for (NbdExport *e = server->exports; e; e = e->next) {
        const char *its = by_id ? e->id : e->name;
        if (!its || strcmp(its, name) != 0) {
            continue;
        }
        if (e->clients && !force) {
            error_set(errp, "export '%s' is in use by %u client%s; a hard removal ends that", name,
                      e->clients, e->clients > 1 ? "s" : "");
            return false;
        }
        end_export(e);
        return true;
    }
    error_set(errp, "there is no export '%s'", name);
    return false;
}

void nbd_server_each(NbdServer *server, void (*fn)(const NbdExportInfo *info, void *opaque),
                     void *opaque)
{
    for (NbdExport *e = server->exports; e; e = e->next) {
        const NbdExportInfo info = {.name = e->name,
                                    .id = e->id,
                                    .node_name = e->root->node->node_name,
                                    .writable = e->writable,
                                    .clients = e->clients};
        fn(&info, opaque);
    }
}

void nbd_server_free(NbdServer *server)
{
    if (!server) {
        return;
    }
    server->stopping = true;
    server->handler = NULL;
    watch(server);
    for (NbdClient *c = server->clients; c; c = c->next) {
        cosocket_shutdown(c->socket, ESHUTDOWN);
    }
    while (server->clients) {
        loop_run_once(-1);
    }
    while (server->exports) {
        end_export(server->exports);
    }
    timer_cancel(&server->retry);
    for (int i = 0; i < server->fd_count; i++) {
        close(server->fds[i]);
    }
    if (server->path) {
        unlink(server->path);
    }
    free(server->path);
    free(server);
}
