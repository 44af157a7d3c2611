/*
 * Commands for snapshots of the machine.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "monitor/monitor-int.h"
#include "snapshot/snapshot.h"
#include "util/loop.h"

/* savevm [-v] [TAG] */
void cmd_savevm(Monitor *mon, const ArgValue *args)
{
    SnapshotTarget target = {.tag = args[1].present ? args[1].text : NULL, .replace = true};
    Error *err = NULL;

    if (!snapshot_save(&target, &err)) {
        monitor_error(mon, err);
    } else if (args[0].present) {
        const SnapshotTimes *t = snapshot_last_times();
        monitor_printf(mon, "the guest stood still for %.2f ms; %.2f ms in all, %.1f MiB\n",
                       (double)t->paused_ns / NS_PER_MS, (double)t->total_ns / NS_PER_MS,
                       (double)t->bytes / (1 << 20));
    }
}

void cmd_loadvm(Monitor *mon, const ArgValue *args)
{
    SnapshotTarget target = {.tag = args[0].text};
    Error *err = NULL;

    if (!snapshot_load(&target, &err)) {
        monitor_error(mon, err);
    }
}

void cmd_delvm(Monitor *mon, const ArgValue *args)
{
    SnapshotTarget target = {.tag = args[0].text};
    Error *err = NULL;

    if (!snapshot_delete(&target, &err)) {
        monitor_error(mon, err);
    }
}

/* ---- info snapshots ---- */

typedef struct Listing {
    Monitor *mon;
    unsigned count;
    const char *where; /* of the partial ones */
    bool partial;
} Listing;

static void print_snapshot(const BlockSnapshot *s, const char *where, void *opaque)
{
    Listing *l = opaque;
    char row[512];

    if ((where != NULL) != l->partial) {
        return;
    }
    if (l->count++ == 0 || (where && strcmp(where, l->where))) {
        bdrv_snapshot_row(NULL, NULL, row, sizeof(row));
        if (where) {
            monitor_printf(l->mon, "\nList of partial (non-loadable) snapshots on '%s':\n%s\n",
                           where, row);
        } else {
            monitor_printf(l->mon, "List of snapshots present on all disks:\n%s\n", row);
        }
        l->where = where;
    }
    /* Ids may differ between the disks. */
    bdrv_snapshot_row(s, where ? s->id : "--", row, sizeof(row));
    monitor_printf(l->mon, "%s\n", row);
}

void info_snapshots(Monitor *mon, const ArgValue *args)
{
    Listing whole = {.mon = mon}, partial = {.mon = mon, .partial = true};

    snapshot_each(print_snapshot, &whole);
    if (!whole.count) {
        monitor_printf(mon, "There is no snapshot that could be loaded.\n");
    }
    snapshot_each(print_snapshot, &partial);
}

/* ---- completion ---- */

typedef struct TagEmitter {
    void (*emit)(const char *value, void *opaque);
    void *opaque;
} TagEmitter;

static void emit_tag(const BlockSnapshot *s, const char *where, void *opaque)
{
    TagEmitter *e = opaque;

    e->emit(s->name, e->opaque);
}

void complete_tags(void (*emit)(const char *value, void *opaque), void *opaque)
{
    TagEmitter e = {emit, opaque};

    snapshot_each(emit_tag, &e);
}
