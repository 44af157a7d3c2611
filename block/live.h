/*
 * Live operations on drives as monitors ask for them: by names, with targets to be made.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_LIVE_H
#define BLOCK_LIVE_H

#include "block/job.h"

/* A drive's topmost node, or a node by its name. NULL with an error. */
BlockNode *live_node(const char *name, Error **errp);
/* In the chain below `node` (or node itself) the one whose file is `file`. NULL with an error. */
BlockNode *live_in_chain(BlockNode *node, const char *file, Error **errp);
/* What has `below` as its backing file, in the chain of node; NULL: nothing. */
BlockNode *live_overlay(BlockNode *node, const BlockNode *below);

typedef struct LiveTarget {
    const char *file, *format; /* format NULL: the source's */
    const char *node_name;     /* NULL: none */
    bool existing;             /* the file is there already */
    JobSync sync;              /* what the new file names as its backing file */
} LiveTarget;

/* Makes and opens the target of a copy of node, with the host's cache used as node does, and
 * discards reaching the host if node's do; a reference. NULL with an error. */
BlockNode *live_open_target(BlockNode *node, const LiveTarget *t, Error **errp);

/* Of a node that is no drive's uppermost; a multiple of BLK_SECTOR_SIZE. */
bool live_resize(BlockNode *node, uint64_t size, Error **errp);

/* From `top` down to, but without, what is above `base`: into base. NULLs: all of the chain. */
BlockJob *live_commit(BlockNode *node, BlockNode *top, BlockNode *base, const char *backing_file,
                      const JobOptions *options, Error **errp);

#endif
