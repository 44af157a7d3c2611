/*
 * Copies for jobs: a range from one node to another, holes as holes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_JOB_COPY_H
#define BLOCK_JOB_COPY_H

#include "block/driver.h"

enum {
    COPY_CHUNK = 1 << 20, /* bytes a copy */
    COPY_AT_ONCE = 8,
};

/* In a coroutine. What reads as zeroes is written as such. flags: of the writes. 0 or a negative
 * errno; *read_failed says which side. */
int job_copy(BlockChild *from, BlockChild *to, uint64_t offset, uint64_t bytes, unsigned flags,
             bool *read_failed);

#endif
