/*
 * Dumps in the kdump-compressed format.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MONITOR_KDUMP_H
#define MONITOR_KDUMP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "util/buffer.h"

typedef struct RamRange {
    uint64_t addr, size; /* whole pages, in the order of their addresses */
    uint64_t offset;     /* in an ELF core */
} RamRange;

/* Into an empty file. notes: ELF notes with the registers of so many CPUs. False: errno says why.
 * The machine stands still. */
bool kdump_write(FILE *f, const RamRange *ram, unsigned ram_count, const Buffer *notes,
                 unsigned cpus);

#endif
