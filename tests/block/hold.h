/*
 * A deterministic scheduler for operations on files in memory: as mem.h's hook it stops each one
 * before it takes place, and chance (tests/rng.h) decides which goes on.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_BLOCK_HOLD_H
#define TESTS_BLOCK_HOLD_H

#include <stdbool.h>

#include "block/mem.h"

extern bool hold_enabled; /* else operations take place at once */
extern unsigned hold_pending;

/* MemDisk.hook */
int hold(MemDisk *disk, MemOp op, uint64_t offset, uint64_t bytes, const void *data, void *opaque);
/* The one of this number, of hold_pending. */
void hold_release(unsigned i);

#endif
