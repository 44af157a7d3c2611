/*
 * Snapshots of the whole machine: RAM, devices and disks at one moment.
 *
 * A tag names a snapshot inside of the disk images ("savevm before-update"), one image holding the
 * machine state as well. A tag that begins with "file:" names a file for the machine state alone,
 * for machines whose disks hold no snapshots.
 *
 * Main thread, machine lock held, not in a coroutine where nothing else is said.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SNAPSHOT_SNAPSHOT_H
#define SNAPSHOT_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "block/node.h"
#include "util/error.h"

/* What to save, load or delete. Texts are the caller's. */
typedef struct SnapshotTarget {
    const char *tag;
    const char *vmstate; /* the drive or node with the machine state; NULL: the first that can */
    const char *const
        *devices; /* drives or nodes, ends with NULL; NULL: all drives that can be written */
    bool replace; /* saving: a snapshot of that tag gives way, else it is an error */
} SnapshotTarget;

typedef struct SnapshotTimes {
    int64_t paused_ns; /* how long the guest stood still */
    int64_t total_ns;
    uint64_t bytes; /* of machine state */
} SnapshotTimes;

/*
 * Saves; the guest runs on but for a moment, the main loop turns meanwhile. tag NULL: one is made
 * of the time. On failure everything is as before.
 */
bool snapshot_save(const SnapshotTarget *target, Error **errp);
/* Begins to save; done(opaque, err) comes from the main loop, err (the callee's) NULL when all went
 * well. target is copied. */
void snapshot_save_start(const SnapshotTarget *target, void (*done)(void *opaque, Error *err),
                         void *opaque);
/*
 * How far the snapshot being saved is, or the last one that was: bytes of RAM that have been looked at, of all. False:
 * none was ever begun.
 */
bool snapshot_progress(uint64_t *done, uint64_t *total);
/* Gives up the snapshot being saved, if there is one: it fails soon with "Operation canceled". Later than the
 * moment when all is written, this does nothing. */
void snapshot_cancel(void);
/*
 * Loads; the machine then runs if it ran before. Where the state is refused the machine goes on as
 * it was; where it fails after the disks were changed it is stopped and reset, and the message says
 * so.
 */
bool snapshot_load(const SnapshotTarget *target, Error **errp);
bool snapshot_delete(const SnapshotTarget *target, Error **errp);
/* One disk as it is now, without the machine. A name that is there is refused. */
bool snapshot_disk_save(const char *drive, const char *name, Error **errp);
/* By name, id (either may be NULL) or both; *gone: what it was. */
bool snapshot_disk_delete(const char *drive, const char *name, const char *id, BlockSnapshot *gone,
                          Error **errp);
/* Of the last snapshot_save() that went well. */
const SnapshotTimes *snapshot_last_times(void);
/* Before the program ends: no work is under way any more. */
void snapshot_finish(void);

/* Calls fn for each snapshot: `where` NULL: it is whole and can be loaded, else the one drive that
 * has it. */
void snapshot_each(void (*fn)(const BlockSnapshot *snapshot, const char *where, void *opaque),
                   void *opaque);

#endif
