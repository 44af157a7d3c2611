/*
 * The protocol "mem": disks in memory. A test makes them (mem.h); without one, "mem:NAME" has size=
 * bytes that vanish at close.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "block/drivers.h"
#include "block/util.h"

#define DEFAULT_MAX (256ull << 20)

typedef struct MemState {
    MemDisk *disk;
} MemState;

static MemDisk *disks;

MemDisk *mem_disk_new(const char *name, const void *data, uint64_t size)
{
    MemDisk *disk = calloc(1, sizeof(*disk));

    if (!disk) {
        abort();
    }
    snprintf(disk->name, sizeof(disk->name), "%s", name);
    mem_disk_set(disk, data, size);
    disk->next = disks;
    disks = disk;
    return disk;
}

void mem_disk_set(MemDisk *disk, const void *data, uint64_t size)
{
    if (disk->room < size || !disk->data) {
        free(disk->data);
        disk->room = MAX(size, 1);
        disk->data = malloc(disk->room);
        if (!disk->data) {
            abort();
        }
    }
    if (data) {
        memcpy(disk->data, data, size);
    } else {
        memset(disk->data, 0, size);
    }
    disk->size = size;
}

void mem_disk_free(MemDisk *disk)
{
    for (MemDisk **p = &disks; *p; p = &(*p)->next) {
        if (*p == disk) {
            *p = disk->next;
            break;
        }
    }
    free(disk->data);
    free(disk);
}

static int grow(MemDisk *disk, uint64_t size)
{
    if (size > (disk->max ? disk->max : DEFAULT_MAX)) {
        return -ENOSPC;
    }
    if (size > disk->room) {
        uint64_t room = MAX(size, 2 * disk->room);
        uint8_t *data = realloc(disk->data, room);
        if (!data) {
            return -ENOMEM;
        }
        disk->data = data;
        disk->room = room;
    }
    if (size > disk->size) {
        memset(disk->data + disk->size, 0, size - disk->size);
        disk->size = size;
    }
    return 0;
}

static int ask(MemDisk *disk, MemOp op, uint64_t offset, uint64_t bytes, const void *data)
{
    return disk->hook ? disk->hook(disk, op, offset, bytes, data, disk->opaque) : 0;
}

static int mem_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                         unsigned flags)
{
    MemDisk *disk = ((MemState *)node->state)->disk;
    int ret = ask(disk, MEM_READ, offset, bytes, NULL);
    uint64_t have = offset < disk->size ? MIN(bytes, disk->size - offset) : 0;

    if (ret == 0) {
        iov_from_buf(v, at, disk->data + (have ? offset : 0), have);
        iov_fill(v, at + have, 0, bytes - have);
    }
    return ret;
}

static int mem_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                          unsigned flags)
{
    MemDisk *disk = ((MemState *)node->state)->disk;
    uint8_t *data = malloc(MAX(bytes, 1));

    if (!data) {
        return -ENOMEM;
    }
    iov_to_buf(v, at, data, bytes);
    int ret = ask(disk, MEM_WRITE, offset, bytes, data);
    ret = ret < 0 ? ret : grow(disk, MAX(disk->size, offset + bytes));
    if (ret == 0) {
        memcpy(disk->data + offset, data, bytes);
    }
    free(data);
    return ret;
}

static int mem_co_pwrite_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    MemDisk *disk = ((MemState *)node->state)->disk;
    int ret = ask(disk, MEM_ZERO, offset, bytes, NULL);

    ret = ret < 0 ? ret : grow(disk, MAX(disk->size, offset + bytes));
    if (ret == 0) {
        memset(disk->data + offset, 0, bytes);
    }
    return ret;
}

/* What was discarded reads as something nobody wrote. */
static int mem_co_pdiscard(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    MemDisk *disk = ((MemState *)node->state)->disk;
    int ret = ask(disk, MEM_DISCARD, offset, bytes, NULL);

    if (ret == 0 && offset < disk->size) {
        memset(disk->data + offset, 0xdb, MIN(bytes, disk->size - offset));
    }
    return ret;
}

static int mem_co_flush(BlockNode *node)
{
    return ask(((MemState *)node->state)->disk, MEM_FLUSH, 0, 0, NULL);
}

static bool mem_co_truncate(BlockNode *node, uint64_t size, bool exact, BlockPrealloc prealloc,
                            Error **errp)
{
    MemDisk *disk = ((MemState *)node->state)->disk;
    int ret = ask(disk, MEM_TRUNCATE, size, 0, NULL);

    ret = ret < 0 ? ret : size > disk->size ? grow(disk, size) : 0;
    if (ret < 0) {
        error_set_errno(errp, -ret, "cannot resize mem:%s", disk->name);
        return false;
    }
    disk->size = node->size = size;
    return true;
}

static int64_t mem_co_get_allocated(BlockNode *node)
{
    return (int64_t)((MemState *)node->state)->disk->size;
}

static bool mem_co_open(BlockNode *node, BlockOptions *options, Error **errp)
{
    MemState *s = node->state;
    uint64_t size = 0;
    char *name = blkopts_take(options, "name");

    if (!blkopts_take_size(options, "size", &size, errp)) {
        free(name);
        return false;
    }
    for (s->disk = disks; s->disk && name && strcmp(s->disk->name, name); s->disk = s->disk->next) {
    }
    if (!name || size > DEFAULT_MAX) {
        error_set(errp, name ? "mem: size=%llu is more than 256M" : "mem: needs a name",
                  (unsigned long long)size);
        free(name);
        return false;
    }
    if (!s->disk) {
        s->disk = mem_disk_new(name, NULL, size);
        s->disk->users = 1;
    } else if (s->disk->users) {
        s->disk->users++;
    }
    free(name);
    node->size = s->disk->size;
    node->growable = node->zero_init = true;
    node->supported_zero_flags = BDRV_REQ_MAY_UNMAP;
    return true;
}

static void mem_co_close(BlockNode *node)
{
    MemState *s = node->state;

    if (s->disk->users && --s->disk->users == 0) {
        mem_disk_free(s->disk);
    }
}

static bool mem_co_create(BlockCreate *create, Error **errp)
{
    const char *name = create->filename + strlen("mem:");

    for (MemDisk *disk = disks; disk; disk = disk->next) {
        if (!strcmp(disk->name, name) && create->size <= DEFAULT_MAX) {
            mem_disk_set(disk, NULL, create->size);
            return true;
        }
    }
    error_set(errp, "there is no disk mem:%s, or %llu bytes are too many for it", name,
              (unsigned long long)create->size);
    return false;
}

static bool mem_parse_filename(const char *filename, BlockOptions *options, Error **errp)
{
    blkopts_set(options, "name", filename + strlen("mem:"));
    return true;
}

static const BlockOptionDesc mem_options[] = {
    {"name", "NAME", "how it is called"},
    {"size", "SIZE", "how large it is"},
    {0},
};

const BlockDriver bdrv_mem = {
    .name = "mem",
    .protocol = "mem",
    .state_size = sizeof(MemState),
    .open_options = mem_options,
    .parse_filename = mem_parse_filename,
    .co_open = mem_co_open,
    .co_close = mem_co_close,
    .co_create = mem_co_create,
    .co_preadv = mem_co_preadv,
    .co_pwritev = mem_co_pwritev,
    .co_pwrite_zeroes = mem_co_pwrite_zeroes,
    .co_pdiscard = mem_co_pdiscard,
    .co_flush = mem_co_flush,
    .co_truncate = mem_co_truncate,
    .co_get_allocated = mem_co_get_allocated,
};
