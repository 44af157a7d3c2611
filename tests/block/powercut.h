/*
 * What a file in memory holds when the power is cut: everything that is done to it is logged, and
 * can be done again up to any place of the log. Of what came since the last flush some may be
 * missing, and what was being written may be torn between two sectors.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_BLOCK_POWERCUT_H
#define TESTS_BLOCK_POWERCUT_H

#include <stdbool.h>
#include <stdint.h>

#include "block/mem.h"

enum { POWERCUT_MAX_LOG = 4096 };

extern unsigned powercut_log;    /* entries so far */
extern unsigned powercut_faults; /* one in so many writes and flushes fails; 0: none */

/* The file as replayed. */
extern uint8_t *powercut_image;
extern uint64_t powercut_size;

/* The log is empty, and what the disk holds now is what it starts from; MemDisk.hook is set. seed:
 * of the chances below. */
void powercut_start(MemDisk *disk, uint64_t seed);
/*
 * Makes powercut_image: all up to the last flush before entry `cut`; of the rest up to `cut` all
 * (mode 0), nothing (mode 1), or some. Returns up to which entry all is there.
 */
unsigned powercut_replay(unsigned cut, unsigned mode);
/* Frees the log. */
void powercut_end(MemDisk *disk);

#endif
