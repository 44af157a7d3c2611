/*
 * RAM that comes out of a saved state when it is needed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SNAPSHOT_RESTORE_H
#define SNAPSHOT_RESTORE_H

#include "snapshot/format.h"
#include "snapshot/source.h"

/*
 * From now on RAM is what the source has. Takes over source (mapped), chunks and working, a list of
 * `working_count` chunks to bring first. vCPUs paused, lock held. all: everything is there on
 * return; false with an error where some of it could not be read (RAM is then neither the old nor
 * the new one).
 */
bool restore_begin(SnapshotSource *source, Chunk *chunks, uint32_t *working, uint32_t working_count,
                   bool all, Error **errp);
/* Whether some of it has not come yet. */
bool restore_active(void);
/* Until all is there. Main thread. */
void restore_wait(void);
/* As that, but what has not come is given up: RAM is about to be replaced as a whole, or the
 * program ends. */
void restore_stop(void);
/* Called on the main loop when a piece could not be read while the guest ran on: it was stopped. */
void restore_set_failed_handler(void (*fn)(const char *message));

#endif
