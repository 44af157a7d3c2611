/*
 * The NBD server's commands of the JSON monitor.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "block/block.h"
#include "block/nbd-server.h"
#include "block/node.h"
#include "monitor/qmp-int.h"

enum { MAX_BITMAPS = 30 };

static NbdServer *server(Error **errp)
{
    if (!nbd_monitor_server) {
        error_set(errp, "no NBD server runs; nbd-server-start starts one");
    }
    return nbd_monitor_server;
}

/* A drive's medium, or a node. */
static BlockNode *find_node(const char *name, Error **errp)
{
    BlockNode *node = bdrv_find_node(name);
    BlockBackend *blk = node ? NULL : blk_find(name);

    if (!node && !blk) {
        qmp_error(errp, "DeviceNotFound", "there is no drive or node '%s'", name);
        return NULL;
    }
    if (!node && !blk_has_medium(blk)) {
        error_set(errp, "drive %s has no medium", name);
        return NULL;
    }
    return node ? node : blk_node(blk);
}

/* { "type": "inet", "data": { "host": ..., "port": ... } }, or the same without "data". */
json_t *qmp_nbd_server_start(json_t *args, Error **errp)
{
    json_t *address = json_object_get(args, "addr"), *data = json_object_get(address, "data");
    const char *type = json_string_value(json_object_get(address, "type"));

    data = data ? data : address;
    const CoSocketAddress where = {
        .path = json_string_value(json_object_get(data, "path")),
        .host = json_string_value(json_object_get(data, "host")),
        .port = json_string_value(json_object_get(data, "port")),
    };
    int64_t max = qmp_int(args, "max-connections", 100);
    if (nbd_monitor_server) {
        error_set(errp, "the NBD server runs already; nbd-server-stop ends it");
        return NULL;
    }
    if (json_object_get(args, "tls-creds")) {
        error_set(errp, "tls-creds: TLS is not supported; leave it out");
        return NULL;
    }
    bool is_unix = type && !strcmp(type, "unix") && where.path;
    bool inet = type && !strcmp(type, "inet") && where.port && !where.path;
    if ((!is_unix && !inet) || max < 0 || max > 256) {
        error_set(errp, max < 0 || max > 256
                            ? "max-connections: possible: 0 (any number) to 256"
                            : "addr: possible: type inet with host and port, type unix with path");
        return NULL;
    }
    nbd_monitor_server = nbd_server_new(&where, (unsigned)max, errp);
    return nbd_monitor_server ? qmp_empty() : NULL;
}

static json_t *add(BlockNode *node, const NbdExportOptions *options, Error **errp)
{
    return nbd_export_add(nbd_monitor_server, node, options, errp) ? qmp_empty() : NULL;
}

json_t *qmp_nbd_server_add(json_t *args, Error **errp)
{
    const char *device = qmp_str(args, "device"), *name = qmp_str(args, "name");
    const char *bitmaps[] = {qmp_str(args, "bitmap"), NULL};
    BlockNode *node = server(errp) ? find_node(device, errp) : NULL;
    const NbdExportOptions options = {.name = name ? name : device,
                                      .id = name ? name : device, /* for query-block-exports */
                                      .description = qmp_str(args, "description"),
                                      .writable = qmp_bool(args, "writable", false),
                                      .bitmaps = bitmaps};

    return node ? add(node, &options, errp) : NULL;
}

/* Names, or objects with "node" and "name"; into a list that ends with NULL. */
static bool take_bitmaps(json_t *list, const char *names[MAX_BITMAPS + 1], Error **errp)
{
    size_t n = json_array_size(list);

    for (size_t i = 0; i < n && i < MAX_BITMAPS; i++) {
        json_t *item = json_array_get(list, i);
        names[i] = json_string_value(json_is_object(item) ? json_object_get(item, "name") : item);
        if (!names[i]) {
            break;
        }
    }
    if (n && (n > MAX_BITMAPS || !names[n - 1])) {
        error_set(errp, "bitmaps: possible: a list of at most %d names", MAX_BITMAPS);
        return false;
    }
    return true;
}

json_t *qmp_block_export_add(json_t *args, Error **errp)
{
    const char *type = qmp_str(args, "type"), *node_name = qmp_str(args, "node-name");
    const char *name = qmp_str(args, "name"), *bitmaps[MAX_BITMAPS + 1] = {NULL};

    if (strcmp(type, "nbd") != 0) {
        error_set(errp, "type: '%s' is not possible; possible: nbd", type);
        return NULL;
    }
    if (!server(errp) || !take_bitmaps(json_object_get(args, "bitmaps"), bitmaps, errp)) {
        return NULL;
    }
    BlockNode *node = find_node(node_name, errp);
    const NbdExportOptions options = {.name = name ? name : node_name,
                                      .id = qmp_str(args, "id"),
                                      .description = qmp_str(args, "description"),
                                      .writable = qmp_bool(args, "writable", false),
                                      .allocation_depth = qmp_bool(args, "allocation-depth", false),
                                      .bitmaps = bitmaps};
    return node ? add(node, &options, errp) : NULL;
}

static json_t *remove_export(json_t *args, const char *key, bool by_id, Error **errp)
{
    const char *mode = qmp_str(args, "mode");

    if (mode && strcmp(mode, "safe") != 0 && strcmp(mode, "hard") != 0) {
        error_set(errp, "mode: '%s' is not possible; possible: safe, hard", mode);
        return NULL;
    }
    return server(errp) && nbd_export_remove(nbd_monitor_server, qmp_str(args, key), by_id,
                                             mode && !strcmp(mode, "hard"), errp)
               ? qmp_empty()
               : NULL;
}

json_t *qmp_nbd_server_remove(json_t *args, Error **errp)
{
    return remove_export(args, "name", false, errp);
}

json_t *qmp_block_export_del(json_t *args, Error **errp)
{
    return remove_export(args, "id", true, errp);
}

static void list_export(const NbdExportInfo *info, void *opaque)
{
    if (info->id) {
        json_array_append_new(opaque,
                              json_pack("{s:s, s:s, s:s, s:b}", "id", info->id, "type", "nbd",
                                        "node-name", info->node_name, "shutting-down", false));
    }
}

json_t *qmp_query_block_exports(json_t *args, Error **errp)
{
    json_t *list = json_array();

    if (nbd_monitor_server) {
        nbd_server_each(nbd_monitor_server, list_export, list);
    }
    return list;
}

json_t *qmp_nbd_server_stop(json_t *args, Error **errp)
{
    NbdServer *s = server(errp);

    if (!s) {
        return NULL;
    }
    nbd_monitor_server = NULL;
    nbd_server_free(s);
    return qmp_empty();
}
