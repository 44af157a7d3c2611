/*
 * Inside the block room: what a layer below a BlockBackend is. A node's functions are plain
 * blocking calls; the backend runs them on worker threads, several at once.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_DRIVER_H
#define BLOCK_DRIVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "util/error.h"

typedef struct BlkNode BlkNode;

typedef struct BlkDriver {
    const char *name;
    /* All bytes of the vector at offset, within the node's size. 0 or a negative errno. iov is the
       driver's to change. */
    int (*readv)(BlkNode *node, uint64_t offset, struct iovec *iov, int iovcnt);
    int (*writev)(BlkNode *node, uint64_t offset, struct iovec *iov, int iovcnt);
    /* Everything whose writev returned before is on stable storage afterwards. */
    int (*flush)(BlkNode *node);
    /* The range's contents are no longer needed; 0 also where nothing can be given back. */
    int (*discard)(BlkNode *node, uint64_t offset, uint64_t bytes);
    void (*close)(BlkNode *node);
} BlkDriver;

/* A driver's own struct begins with this. */
struct BlkNode {
    const BlkDriver *driver;
    uint64_t size; /* bytes, a multiple of the sector size */
    bool readonly;
};

/* A file or host block device, its bytes as they are. */
BlkNode *raw_open(const char *file, bool readonly, Error **errp);
/* Locks an open image file against other programs until fd is closed; false: somebody has it. */
bool raw_lock(int fd, const char *file, bool readonly, Error **errp);
/* Writes to a temporary file in front of `below`, which the overlay owns from now on (also on
 * failure). */
BlkNode *overlay_open(BlkNode *below, Error **errp);

#endif
