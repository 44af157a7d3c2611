/*
 * The events of the JSON monitor: what other rooms tell, as objects.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "block/node.h"
#include "hw/machine.h"
#include "hw/mc146818.h"
#include "monitor/qmp-int.h"

static bool by_host;

void qmp_host_request(void)
{
    by_host = true;
}

static void on_run_state(void *opaque, bool running, RunState state)
{
    qmp_event(running ? "RESUME" : "STOP", NULL);
}

static void on_machine_event(MachineEvent event)
{
    bool guest = !by_host;

    by_host = false;
    switch (event) {
    case MACHINE_EVENT_RESET:
        qmp_event("RESET", json_pack("{s:b, s:s}", "guest", guest, "reason",
                                     guest ? "guest-reset" : "host-qmp-system-reset"));
        break;
    case MACHINE_EVENT_SHUTDOWN:
        qmp_event("SHUTDOWN", json_pack("{s:b, s:s}", "guest", guest, "reason",
                                        guest ? "guest-shutdown" : "host-signal"));
        break;
    case MACHINE_EVENT_POWERDOWN:
        qmp_event("POWERDOWN", NULL);
        break;
    }
}

void qmp_quitting(void)
{
    qmp_event("SHUTDOWN", json_pack("{s:b, s:s}", "guest", false, "reason", "host-qmp-quit"));
}

void qmp_device_deleted(const char *id)
{
    char *path = NULL;

    if (asprintf(&path, "/machine/peripheral/%s", id) < 0) {
        abort();
    }
    qmp_event("DEVICE_DELETED", json_pack("{s:s, s:s}", "device", id, "path", path));
    free(path);
}

void qmp_tray_moved(const char *drive, bool open)
{
    qmp_event("DEVICE_TRAY_MOVED",
              json_pack("{s:s, s:s, s:b}", "device", drive, "id", drive, "tray-open", open));
}

static void on_block_error(BlockBackend *blk, bool is_write, int error, BlkErrorAction action)
{
    static const char *const actions[] = {"report", "ignore", "stop"};

    qmp_event("BLOCK_IO_ERROR",
              json_pack("{s:s, s:s, s:s, s:s, s:b, s:s}", "device", blk_id(blk), "node-name",
                        blk_node(blk) ? bdrv_node_name(blk_node(blk)) : "", "operation",
                        is_write ? "write" : "read", "action", actions[action], "nospace",
                        error == ENOSPC, "reason", strerror(error)));
}

static void on_time_set(int64_t ahead_sec)
{
    qmp_event("RTC_CHANGE", json_pack("{s:I}", "offset", (json_int_t)ahead_sec));
}

void qmp_watch_machine(void)
{
    static bool watching;

    if (!watching) {
        watching = true;
        machine_add_state_handler(on_run_state, NULL);
        machine_set_event_handler(on_machine_event);
        blk_set_error_handler(on_block_error);
        qmp_watch_jobs();
        mc146818_set_time_handler(on_time_set);
    }
}
