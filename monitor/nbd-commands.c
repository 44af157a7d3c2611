/*
 * Commands that serve drives of the running machine to NBD clients.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "block/nbd-server.h"
#include "monitor/monitor-int.h"

typedef struct AddAll {
    Monitor *mon;
    bool writable, failed;
} AddAll;

static bool add_drive(Monitor *mon, BlockBackend *blk, const char *name, bool writable)
{
    const NbdExportOptions options = {
        .name = name, .id = name, .writable = writable && !blk_readonly(blk)};
    Error *err = NULL;

    if (!blk_has_medium(blk)) {
        monitor_printf(mon, "drive %s has no medium\n", blk_id(blk));
        return false;
    }
    if (!nbd_export_add(nbd_monitor_server, blk_node(blk), &options, &err)) {
        monitor_error(mon, err);
        return false;
    }
    return true;
}

static void add_one(BlockBackend *blk, void *opaque)
{
    AddAll *all = opaque;

    if (blk_has_medium(blk) && !all->failed) {
        all->failed = !add_drive(all->mon, blk, blk_id(blk), all->writable);
    }
}

/* "host:port", "unix:path"; text is cut apart. */
static bool parse_address(char *text, CoSocketAddress *address)
{
    char *colon = strrchr(text, ':');

    *address = (CoSocketAddress){0};
    if (!strncmp(text, "unix:", 5)) {
        address->path = text + 5;
        return text[5] != 0;
    }
    if (!colon || !colon[1]) {
        return false;
    }
    *colon = 0;
    if (*text == '[' && colon > text && colon[-1] == ']') {
        colon[-1] = 0;
        text++;
    }
    address->host = text;
    address->port = colon + 1;
    return true;
}

/* nbd_server_start [-a] [-w] HOST:PORT */
void cmd_nbd_server_start(Monitor *mon, const ArgValue *args)
{
    char *text = strdup(args[2].text);
    CoSocketAddress address;
    Error *err = NULL;

    if (nbd_monitor_server) {
        monitor_printf(mon, "the NBD server runs already; nbd_server_stop ends it\n");
    } else if (args[1].present && !args[0].present) {
        monitor_printf(mon, "-w is for -a: whether all drives may be written\n");
    } else if (!text || !parse_address(text, &address)) {
        monitor_printf(mon, "'%s' is no address; possible: HOST:PORT, unix:PATH\n", args[2].text);
    } else if (!(nbd_monitor_server = nbd_server_new(&address, 0, &err))) {
        monitor_error(mon, err);
    } else if (args[0].present) {
        AddAll all = {mon, args[1].present, false};
        blk_each(add_one, &all);
        if (all.failed) {
            nbd_server_free(nbd_monitor_server);
            nbd_monitor_server = NULL;
        }
    }
    free(text);
}

static bool running(Monitor *mon)
{
    if (!nbd_monitor_server) {
        monitor_printf(mon, "no NBD server runs; nbd_server_start starts one\n");
    }
    return nbd_monitor_server != NULL;
}

/* nbd_server_add [-w] DRIVE [NAME] */
void cmd_nbd_server_add(Monitor *mon, const ArgValue *args)
{
    if (!running(mon)) {
        return;
    }
    BlockBackend *blk = blk_find(args[1].text);
    if (!blk) {
        monitor_printf(mon, "there is no drive '%s'\n", args[1].text);
    } else if (args[0].present && blk_readonly(blk)) {
        monitor_printf(mon, "drive %s is read-only; leave out -w\n", args[1].text);
    } else {
        add_drive(mon, blk, args[2].present ? args[2].text : args[1].text, args[0].present);
    }
}

/* nbd_server_remove [-f] NAME */
void cmd_nbd_server_remove(Monitor *mon, const ArgValue *args)
{
    Error *err = NULL;

    if (running(mon) &&
        !nbd_export_remove(nbd_monitor_server, args[1].text, false, args[0].present, &err)) {
        monitor_error(mon, err);
    }
}

void cmd_nbd_server_stop(Monitor *mon, const ArgValue *args)
{
    if (running(mon)) {
        NbdServer *server = nbd_monitor_server;
        nbd_monitor_server = NULL;
        nbd_server_free(server);
    }
}
