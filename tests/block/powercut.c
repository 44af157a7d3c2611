/*
 * A log of what is done to a file, and cuts of the power (powercut.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "tests/block/powercut.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/util.h"
#include "tests/rng.h"

enum { SECTOR = 512 };
#define MAX_SIZE (192ull << 20)

typedef struct LogEntry {
    MemOp op;
    uint64_t offset, bytes;
    uint8_t *data;
} LogEntry;

static LogEntry entries[POWERCUT_MAX_LOG];
unsigned powercut_log, powercut_faults;

static uint8_t *base;
static uint64_t base_size;

uint8_t *powercut_image;
uint64_t powercut_size;
static uint64_t image_room;

static int record(MemDisk *disk, MemOp op, uint64_t offset, uint64_t bytes, const void *data,
                  void *opaque)
{
    if (op == MEM_READ || powercut_log == POWERCUT_MAX_LOG) {
        return op == MEM_READ ? 0 : -EIO;
    }
    if (powercut_faults && below(powercut_faults) == 0) {
        return below(2) ? -EIO : -ENOSPC;
    }
    LogEntry *e = &entries[powercut_log++];
    *e = (LogEntry){.op = op, .offset = offset, .bytes = bytes};
    if (data) {
        e->data = malloc(bytes);
        memcpy(e->data, data, bytes);
    }
    return 0;
}

void powercut_start(MemDisk *disk, uint64_t seed)
{
    rng_state = seed;
    base = realloc(base, MAX(disk->size, 1));
    base_size = disk->size;
    memcpy(base, disk->data, base_size);
    powercut_log = 0;
    disk->hook = record;
}

void powercut_end(MemDisk *disk)
{
    disk->hook = NULL;
    for (unsigned i = 0; i < powercut_log; i++) {
        free(entries[i].data);
        entries[i].data = NULL;
    }
    powercut_log = 0;
}

/* ---- replay ---- */

/* What comes in is zeroes. */
static void set_size(uint64_t size)
{
    if (size > MAX_SIZE) {
        abort(); /* no workload writes so much */
    }
    if (size > image_room) {
        image_room = MAX(size, 2 * image_room);
        powercut_image = realloc(powercut_image, image_room);
    }
    if (size > powercut_size) {
        memset(powercut_image + powercut_size, 0, size - powercut_size);
    }
    powercut_size = size;
}

/* The bytes of it from `from` to `to`. */
static void apply(const LogEntry *e, uint64_t from, uint64_t to)
{
    switch (e->op) {
    case MEM_WRITE:
    case MEM_ZERO:
        set_size(MAX(powercut_size, e->offset + to));
        if (e->op == MEM_WRITE) {
            memcpy(powercut_image + e->offset + from, e->data + from, to - from);
        } else {
            memset(powercut_image + e->offset + from, 0, to - from);
        }
        break;
    case MEM_DISCARD:
        if (e->offset < powercut_size) {
            memset(powercut_image + e->offset, 0xdb, MIN(e->bytes, powercut_size - e->offset));
        }
        break;
    case MEM_TRUNCATE:
        set_size(e->offset);
        break;
    default:
        break;
    }
}

/* Torn between two sectors of the host's disk. */
static void tear(const LogEntry *e, uint64_t *from, uint64_t *to)
{
    uint64_t first = ROUND_UP(e->offset + 1, SECTOR) - e->offset;

    if (first < e->bytes) {
        uint64_t at = MIN(first + below((e->bytes - first) / SECTOR + 1) * SECTOR, e->bytes);
        *(below(2) ? to : from) = at;
    }
}

unsigned powercut_replay(unsigned cut, unsigned mode)
{
    unsigned flushed = 0;

    powercut_size = 0;
    set_size(base_size);
    memcpy(powercut_image, base, base_size);
    for (unsigned i = 0; i < cut; i++) {
        flushed = entries[i].op == MEM_FLUSH ? i + 1 : flushed;
    }
    for (unsigned i = 0; i < cut; i++) {
        const LogEntry *e = &entries[i];
        uint64_t from = 0, to = e->bytes;
        if (i >= flushed && (mode == 1 || (mode > 1 && below(3) == 0))) {
            continue;
        }
        if (i >= flushed && mode > 1 && e->op == MEM_WRITE && below(4) == 0) {
            tear(e, &from, &to);
        }
        apply(e, from, to);
    }
    return flushed;
}
