/*
 * Where a machine's state is read from: any thread, without the block layer where the host's file
 * can be read directly.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SNAPSHOT_SOURCE_H
#define SNAPSHOT_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "block/node.h"

typedef struct SnapshotSource SnapshotSource;

/* A file of its own. */
SnapshotSource *source_open_file(const char *path, Error **errp);
/* The machine state of the snapshot with this id in an image that is open for the guest: whose
 * tables are on disk. */
SnapshotSource *source_open_image(BlockNode *node, const char *id, Error **errp);
void source_close(SnapshotSource *s);
uint64_t source_size(const SnapshotSource *s);
/* Main thread: bytes before source_map(). 0 or a negative errno. */
int source_read(SnapshotSource *s, uint64_t pos, void *buf, uint64_t size);
/* Finds out where `total` bytes stand, or reads them into memory; then the source no longer needs
 * the image's tables. */
bool source_map(SnapshotSource *s, uint64_t total, Error **errp);
/* After source_map(), any thread. */
int source_pread(SnapshotSource *s, uint64_t pos, void *buf, uint64_t size);

#endif
