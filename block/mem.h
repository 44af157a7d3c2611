/*
 * Disks in memory, for tests: what a driver does to its file can be watched, held up, reordered and
 * made to fail.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_MEM_H
#define BLOCK_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum MemOp { MEM_READ, MEM_WRITE, MEM_FLUSH, MEM_DISCARD, MEM_ZERO, MEM_TRUNCATE } MemOp;

typedef struct MemDisk {
    char name[32];
    uint8_t *data;
    uint64_t size, room, max; /* max: writes beyond it find no space (0: 256 MB) */
    /*
     * Called in the coroutine before each operation: may yield, and may fail it by a negative
     * errno. data: what is written, NULL for others. NULL: nothing is asked.
     */
    int (*hook)(struct MemDisk *disk, MemOp op, uint64_t offset, uint64_t bytes, const void *data,
                void *opaque);
    void *opaque;
    unsigned users; /* nodes, of a disk that no test made: it goes with the last; 0: a test's */
    struct MemDisk *next;
} MemDisk;

/* The disk "mem:NAME" opens; a copy of data (NULL: zeroes). */
MemDisk *mem_disk_new(const char *name, const void *data, uint64_t size);
/* Nobody may have it open. */
void mem_disk_free(MemDisk *disk);
void mem_disk_set(MemDisk *disk, const void *data, uint64_t size);

#endif
