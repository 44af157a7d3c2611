/*
 * The contents of RAM at one moment, taken while the guest runs on.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SNAPSHOT_CAPTURE_H
#define SNAPSHOT_CAPTURE_H

#include "snapshot/format.h"

/* Before each capture_begin(), while the guest runs. */
void capture_prepare(void);
/* The moment is now: vCPUs paused, machine lock held. Also begins to note what is touched. One at a
 * time. */
void capture_begin(void);
/* Lets go of what was not read. Machine lock held. */
void capture_end(void);
/*
 * The pages of a chunk that were not zero at the moment: one behind the other into data (CHUNK_SIZE
 * bytes), a bit each in the result. Once a chunk; any thread.
 */
uint16_t capture_read(uint32_t chunk, uint8_t *data);
/* The first chunk from `chunk` on that may have something; the number of chunks: none has. */
uint32_t capture_next(uint32_t chunk);
/* The chunks that were touched since the moment, first ones first, then those with translated code.
 * *list is the caller's. */
uint32_t capture_working_set(uint32_t **list);

#endif
