/*
 * Live operations on drives as monitors ask for them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/live.h"

#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "block/job.h"

BlockNode *live_node(const char *name, Error **errp)
{
    BlockNode *node = bdrv_find_node(name);
    BlockBackend *blk = node ? NULL : blk_find(name);

    if (blk && !blk_has_medium(blk)) {
        error_set(errp, "Device '%s' has no medium", name);
        return NULL;
    }
    if (!node && !blk) {
        error_set(errp, "Cannot find device='%s' nor node-name='%s'", name, name);
        return NULL;
    }
    return node ? node : blk_node(blk);
}

BlockNode *live_in_chain(BlockNode *node, const char *file, Error **errp)
{
    for (BlockNode *n = node; n; n = bdrv_backing(n)) {
        if (!strcmp(bdrv_filename(n), file) ||
            (n->backing_file && !strcmp(n->backing_file, file) && bdrv_backing(n))) {
            return !strcmp(bdrv_filename(n), file) ? n : bdrv_backing(n);
        }
    }
    error_set(errp, "'%s' is not in the backing chain of '%s'", file, bdrv_filename(node));
    return NULL;
}

BlockNode *live_overlay(BlockNode *node, const BlockNode *below)
{
    for (BlockNode *n = node; n; n = bdrv_backing(n)) {
        if (bdrv_backing(n) == below) {
            return n;
        }
    }
    return NULL;
}

BlockNode *live_open_target(BlockNode *node, const LiveTarget *t, Error **errp)
{
    const char *format = t->format ? t->format : bdrv_format_name(node);
    BlockNode *backing = t->sync == SYNC_NONE  ? node
                         : t->sync == SYNC_TOP ? bdrv_backing(node)
                                               : NULL;

    if (!t->existing) {
        BlockOptions *o = blkopts_new();
        bool ok =
            bdrv_create(format, t->file, bdrv_size(node), backing ? bdrv_filename(backing) : NULL,
                        backing ? bdrv_format_name(backing) : NULL, o, errp);
        blkopts_free(o);
        if (!ok) {
            return NULL;
        }
    }
    BlockOptions *o = blkopts_new();
    blkopts_set(o, "driver", format);
    if (t->node_name) {
        blkopts_set(o, "node-name", t->node_name);
    }
    return bdrv_open(t->file, o,
                     BDRV_O_RDWR | BDRV_O_NO_BACKING | (node->flags & BDRV_O_TAKEN_OVER), errp);
}

bool live_resize(BlockNode *node, uint64_t size, Error **errp)
{
    if (job_uses(node)) {
        error_set(errp, "Node '%s' is busy: block device is in use by block job",
                  bdrv_node_name(node));
        return false;
    }
    bdrv_drained_begin(node);
    BlockChild *root =
        bdrv_root_attach(bdrv_ref(node), BLK_PERM_RESIZE, BLK_PERM_ALL, NULL, NULL, errp);
    bool ok = root && bdrv_truncate(root, size, true, PREALLOC_OFF, errp);
    bdrv_root_detach(root);
    bdrv_drained_end(node);
    return ok;
}

BlockJob *live_commit(BlockNode *node, BlockNode *top, BlockNode *base, const char *backing_file,
                      const JobOptions *options, Error **errp)
{
    top = top ? top : node;
    if (!base) {
        for (base = top; bdrv_backing(base);) {
            base = bdrv_backing(base);
        }
    }
    if (top == base || !live_overlay(top, base)) {
        error_set(errp, "cannot commit '%s' into %s", bdrv_filename(top),
                  top == base ? "itself" : "what is no backing file of it");
        return NULL;
    }
    if (top == node) {
        if (backing_file) {
            error_set(errp, "'backing-file' specified, but 'top' is the active layer");
            return NULL;
        }
        return commit_active_start(node, base, options, errp);
    }
    BlockNode *overlay = live_overlay(node, top);
    if (!overlay) {
        error_set(errp, "'%s' is not in the backing chain of '%s'", bdrv_filename(top),
                  bdrv_filename(node));
        return NULL;
    }
    return commit_start(overlay, top, base, backing_file, options, errp);
}
