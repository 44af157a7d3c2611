/*
 * Points in the life of a request at which the filter blkdebug can let something fail. A format
 * names the point it has come to; without that filter below, this costs a look at a pointer.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_BLKDEBUG_H
#define BLOCK_BLKDEBUG_H

#include <stdbool.h>

#include "block/driver.h"

typedef enum BlkdebugEvent {
    BLKDBG_NONE, /* of rules: always */
    BLKDBG_L1_UPDATE,
    BLKDBG_L1_GROW_ALLOC_TABLE,
    BLKDBG_L1_GROW_WRITE_TABLE,
    BLKDBG_L1_GROW_ACTIVATE_TABLE,
    BLKDBG_L2_LOAD,
    BLKDBG_L2_UPDATE,
    BLKDBG_L2_ALLOC_COW_READ,
    BLKDBG_L2_ALLOC_WRITE,
    BLKDBG_READ_AIO,
    BLKDBG_READ_BACKING_AIO,
    BLKDBG_READ_COMPRESSED,
    BLKDBG_WRITE_AIO,
    BLKDBG_WRITE_COMPRESSED,
    BLKDBG_COW_READ,
    BLKDBG_COW_WRITE,
    BLKDBG_VMSTATE_LOAD,
    BLKDBG_VMSTATE_SAVE,
    BLKDBG_REFTABLE_LOAD,
    BLKDBG_REFBLOCK_LOAD,
    BLKDBG_REFBLOCK_UPDATE,
    BLKDBG_REFBLOCK_ALLOC_WRITE,
    BLKDBG_REFBLOCK_ALLOC_HOOKUP,
    BLKDBG_CLUSTER_ALLOC,
    BLKDBG_CLUSTER_FREE,
    BLKDBG_FLUSH_TO_OS,
    /* These come from the filter itself, for each request that reaches it. */
    BLKDBG_FLUSH_TO_DISK,
    BLKDBG_PWRITEV_RMW_HEAD,
    BLKDBG_PWRITEV_RMW_AFTER_HEAD,
    BLKDBG_PWRITEV_RMW_TAIL,
    BLKDBG_PWRITEV_RMW_AFTER_TAIL,
    BLKDBG_PREADV,
    BLKDBG_PWRITEV,
    BLKDBG_PWRITEV_ZERO,
    BLKDBG_PWRITEV_DONE,
    BLKDBG_PDISCARD,
    BLKDBG_EVENTS
} BlkdebugEvent;

/* From a coroutine: it may be suspended here. child may be NULL. */
static inline void bdrv_debug_event(const BlockChild *child, BlkdebugEvent event)
{
    if (child && child->node->driver->co_debug_event) {
        child->node->driver->co_debug_event(child->node, event);
    }
}

/* The filter below node (or node itself) that these work on; NULL: there is none. */
BlockNode *blkdebug_below(BlockNode *node);
/* Holds up whoever comes to the event next (once), until the tag is resumed. */
bool blkdebug_break(BlockNode *node, const char *event, const char *tag, Error **errp);
/* Lets the one go that has been held up longest. False: nobody is. */
bool blkdebug_resume(BlockNode *node, const char *tag);
/* No further one is held up, and those that are go on. False: there is no such tag. */
bool blkdebug_remove_break(BlockNode *node, const char *tag);
/* Whether somebody is held up there. */
bool blkdebug_is_suspended(const BlockNode *node, const char *tag);

#endif
