/*
 * What the parts of the snapshot room share: the disks that take part.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SNAPSHOT_INT_H
#define SNAPSHOT_INT_H

#include "block/block.h"
#include "snapshot/format.h"
#include "snapshot/snapshot.h"

typedef struct Disk {
    BlockBackend *blk; /* NULL: a node that was named and that no drive has */
    BlockNode *node;   /* a reference */
    const char *name;
    char id[128]; /* of the snapshot that is at work */
    bool drained, pending;
} Disk;

typedef struct Disks {
    Disk list[SNAPSHOT_DISKS];
    unsigned count;
    Disk *state; /* the one with the machine state */
} Disks;

/* The disks that take part, and which one has the machine state; false where there is none or one
 * can hold no snapshot. */
bool disks_choose(Disks *d, const SnapshotTarget *target, Error **errp);
/* All drives with a medium that can be written, whatever their format. */
bool disks_all(Disks *d, Error **errp);
void disks_free(Disks *d);
void disks_drained_begin(Disks *d);
void disks_drained_end(Disks *d);
/* The id of the snapshot of that name; false: there is none. Of several the one made last. */
bool disk_find(Disk *disk, const char *tag, BlockSnapshot *found);

/* The path behind "file:", or NULL. */
const char *tag_file(const char *tag);
/* For a state in a file: the disks as they are. */
bool disks_describe(SnapshotHeader *h, Error **errp);
/* Whether they still are. */
bool disks_unchanged(const SnapshotHeader *h, Error **errp);

/* Only one at a time of saving, loading, deleting. */
bool snapshot_begin(const char *what, Error **errp);
void snapshot_end(void);

#endif
