/*
 * qcow2: changes of the whole image in one step.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_QCOW2_REBUILD_H
#define BLOCK_QCOW2_REBUILD_H

#include "block/qcow2.h"

/*
 * A new state of the image's tables that is prepared beside the present one. Every function needs
 * the lock, no requests under way and settled tables; nothing that the present state uses is
 * touched before qcow2_rebuild_commit().
 */
typedef struct Qcow2Rebuild Qcow2Rebuild;

Qcow2Rebuild *qcow2_rebuild_begin(BlockNode *node);
void qcow2_rebuild_end(Qcow2Rebuild *r);
/* The references of the clusters that bytes touch go up or down by one. -EINVAL where that is not
 * possible. */
int qcow2_rebuild_count(Qcow2Rebuild *r, uint64_t offset, uint64_t bytes, int delta);
/* Likewise for everything the L1 table (host order) leads to: L2 tables and what they lead to. */
int qcow2_rebuild_count_l1(Qcow2Rebuild *r, const uint64_t *l1, uint32_t size, int delta);
/* Clusters that neither the old nor the new state uses; they are counted. */
int qcow2_rebuild_alloc(Qcow2Rebuild *r, uint64_t bytes, uint64_t *offset);

/* An L1 table (host order) at `offset`, which was allocated for it. */
int qcow2_rebuild_write_table(Qcow2Rebuild *r, const uint64_t *table, uint64_t entries,
                              uint64_t offset);

/*
 * Switches over: the active L1 table becomes l1 (host order, counted; taken over on success), the
 * snapshots those in the list (as the caller set s->snapshots; their table is written), the disk's
 * size `size`. keep_l1: the present L1 table in the file goes on existing as a snapshot's. On
 * failure nothing has changed.
 */
int qcow2_rebuild_commit(Qcow2Rebuild *r, uint64_t *l1, uint32_t l1_size, uint64_t size,
                         bool keep_l1);

/* qcow2-snapshot.c: the snapshot table as it is to stand in the file, without those that are pending; the caller frees
 * it. */
uint8_t *qcow2_snapshot_table(BlockNode *node, uint64_t *bytes, uint32_t *count);

#endif
