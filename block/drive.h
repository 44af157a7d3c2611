/*
 * Drives: -drive, -hda .. -hdd, -cdrom and a bare file name, from the command line to opened
 * backends on numbered places of an interface, where the board finds them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_DRIVE_H
#define BLOCK_DRIVE_H

#include <stdbool.h>

#include "block/block.h"
#include "util/error.h"

typedef enum DriveInterface {
    DRIVE_IDE,  /* places 0..3: primary master, primary slave, secondary master, secondary slave */
    DRIVE_NONE, /* for a -device that names it */
} DriveInterface;

/* Notes a drive as -drive describes it; files are opened by drive_open_all(). */
bool drive_add(const char *spec, Error **errp);
/* -blockdev: a node for drives and -device to name. */
bool drive_add_node(const char *spec, Error **errp);
/* A node that was made later, as if by -blockdev; takes over the reference. */
void drive_hold_node(BlockNode *node);
/* Closes a node of -blockdev, or one held later, that nothing uses. */
bool drive_release_node(const char *name, Error **errp);
/* Lets go of those nodes; drives that use one hold it. */
void drive_close_nodes(void);
/* -hda FILE and its kin; place as DRIVE_IDE counts. */
bool drive_add_file(const char *option, unsigned place, bool cdrom, const char *file, Error **errp);
/* -snapshot: every drive opened later throws its writes away. */
void drive_set_snapshot(bool snapshot);
/* Gives places to drives without one, opens all; the first failure ends it. */
bool drive_open_all(Error **errp);
/* The backend at a place, or NULL. */
BlockBackend *drive_get(DriveInterface interface, unsigned place);

#endif
