/*
 * qcow2: internal snapshots. Each is an L1 table of its own; the table of snapshots names them. How
 * they are made, applied and deleted without a moment in which the image is not whole:
 * qcow2-rebuild.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2-rebuild.h"
#include "block/qcow2.h"

enum { ENTRY_HEAD = 40, EXTRA_V3 = 16, EXTRA_KNOWN = 24, MAX_EXTRA = 1024 };

/* ---- the table ---- */

static void free_snapshot(Qcow2Snapshot *sn)
{
    free(sn->id);
    free(sn->name);
    free(sn->unknown_extra);
}

void qcow2_free_snapshots(Qcow2State *s)
{
    for (unsigned i = 0; i < s->snapshot_count; i++) {
        free_snapshot(&s->snapshots[i]);
    }
    free(s->snapshots);
    s->snapshots = NULL;
    s->snapshot_count = 0;
}

/* The fields of an entry whose fixed part is `head`; the rest follows in the file at *at. */
static int read_entry(BlockNode *node, const uint8_t *head, uint64_t *at, Qcow2Snapshot *sn)
{
    Qcow2State *s = node->state;
    uint16_t id_size = load_be16(head + 12), name_size = load_be16(head + 14);
    uint8_t extra[MAX_EXTRA];

    *sn = (Qcow2Snapshot){
        .l1_offset = load_be64(head),
        .l1_size = load_be32(head + 8),
        .date_sec = load_be32(head + 16),
        .date_nsec = load_be32(head + 20),
        .vm_clock_nsec = load_be64(head + 24),
        .vm_state_size = load_be32(head + 32),
        .extra_size = load_be32(head + 36),
        .disk_size = s->h.size,
        .icount = UINT64_MAX,
        .id = calloc(1, id_size + 1),
        .name = calloc(1, name_size + 1),
    };
    if (!sn->id || !sn->name || sn->extra_size > MAX_EXTRA) {
        return sn->extra_size > MAX_EXTRA ? -EINVAL : -ENOMEM;
    }
    int ret = bdrv_co_pread(node->file, *at, sn->extra_size, extra, 0);
    ret = ret < 0 ? ret : bdrv_co_pread(node->file, *at + sn->extra_size, id_size, sn->id, 0);
    ret = ret < 0
              ? ret
              : bdrv_co_pread(node->file, *at + sn->extra_size + id_size, name_size, sn->name, 0);
    if (ret < 0) {
        return ret;
    }
    sn->vm_state_size = sn->extra_size >= 8 ? load_be64(extra) : sn->vm_state_size;
    sn->disk_size = sn->extra_size >= 16 ? load_be64(extra + 8) : sn->disk_size;
    sn->icount = sn->extra_size >= 24 ? load_be64(extra + 16) : sn->icount;
    if (sn->extra_size > EXTRA_KNOWN) {
        sn->unknown_size = sn->extra_size - EXTRA_KNOWN;
        sn->unknown_extra = malloc(sn->unknown_size);
        if (!sn->unknown_extra) {
            return -ENOMEM;
        }
        memcpy(sn->unknown_extra, extra + EXTRA_KNOWN, sn->unknown_size);
    }
    *at += sn->extra_size + id_size + name_size;
    return 0;
}

static bool check_entry(BlockNode *node, const Qcow2Snapshot *sn, Error **errp)
{
    Qcow2State *s = node->state;

    if (sn->l1_size > QCOW2_MAX_L1_BYTES / 8 || (sn->l1_offset & s->cluster_mask) ||
        sn->l1_offset > INT64_MAX - QCOW2_MAX_L1_BYTES) {
        error_set(errp, "image %s: snapshot %s has an L1 table that is not possible",
                  node->filename, sn->id);
        return false;
    }
    return true;
}

bool qcow2_load_snapshots(BlockNode *node, Error **errp)
{
    Qcow2State *s = node->state;
    uint64_t at = s->h.snapshots_offset;

    s->snapshots_offset = at;
    if (!s->h.snapshots) {
        return true;
    }
    s->snapshots = calloc(s->h.snapshots, sizeof(*s->snapshots));
    if (!s->snapshots) {
        error_set(errp, "image %s: no memory for its snapshots", node->filename);
        return false;
    }
    for (uint32_t i = 0; i < s->h.snapshots; i++) {
        uint8_t head[ENTRY_HEAD];
        at = ROUND_UP(at, 8);
        int ret = bdrv_co_pread(node->file, at, sizeof(head), head, 0);
        at += sizeof(head);
        s->snapshot_count = i + 1;
        ret = ret < 0 ? ret : read_entry(node, head, &at, &s->snapshots[i]);
        if (ret < 0) {
            error_set_errno(errp, -ret, "image %s: cannot read its snapshots", node->filename);
            return false;
        }
        if (at - s->snapshots_offset > QCOW2_MAX_SNAPSHOT_TABLE) {
            error_set(errp, "image %s: its snapshot table is larger than 64 MB", node->filename);
            return false;
        }
        if (!check_entry(node, &s->snapshots[i], errp)) {
            return false;
        }
    }
    s->snapshots_size = at - s->snapshots_offset;
    return true;
}

static uint64_t entry_size(const Qcow2Snapshot *sn)
{
    return ROUND_UP(ENTRY_HEAD + EXTRA_KNOWN + sn->unknown_size + strlen(sn->id) + strlen(sn->name),
                    8);
}

uint8_t *qcow2_snapshot_table(BlockNode *node, uint64_t *bytes, uint32_t *count)
{
    Qcow2State *s = node->state;
    uint64_t size = 0;

    *count = 0;
    for (unsigned i = 0; i < s->snapshot_count; i++) {
        size += s->snapshots[i].pending ? 0 : entry_size(&s->snapshots[i]);
        *count += !s->snapshots[i].pending;
    }
    *bytes = size;
    uint8_t *table = calloc(1, MAX(size, 1)), *p = table;
    for (unsigned i = 0; table && i < s->snapshot_count; i++) {
        const Qcow2Snapshot *sn = &s->snapshots[i];
        if (sn->pending) {
            continue;
        }
        size_t id = strlen(sn->id), name = strlen(sn->name);
        store_be64(p, sn->l1_offset);
        store_be32(p + 8, sn->l1_size);
        store_be16(p + 12, (uint16_t)id);
        store_be16(p + 14, (uint16_t)name);
        store_be32(p + 16, sn->date_sec);
        store_be32(p + 20, sn->date_nsec);
        store_be64(p + 24, sn->vm_clock_nsec);
        store_be32(p + 32, sn->vm_state_size > UINT32_MAX ? 0 : (uint32_t)sn->vm_state_size);
        store_be32(p + 36, EXTRA_KNOWN + sn->unknown_size);
        store_be64(p + 40, sn->vm_state_size);
        store_be64(p + 48, sn->disk_size);
        store_be64(p + 56, sn->icount);
        uint8_t *q = p + ENTRY_HEAD + EXTRA_KNOWN;
        if (sn->unknown_size) {
            memcpy(q, sn->unknown_extra, sn->unknown_size);
        }
        memcpy(q + sn->unknown_size, sn->id, id);
        memcpy(q + sn->unknown_size + id, sn->name, name);
        p += entry_size(sn);
    }
    return table;
}

/* ---- finding ---- */

static Qcow2Snapshot *find_id(Qcow2State *s, const char *id, bool pending)
{
    for (unsigned i = 0; i < s->snapshot_count; i++) {
        if (s->snapshots[i].pending == pending && !strcmp(s->snapshots[i].id, id)) {
            return &s->snapshots[i];
        }
    }
    return NULL;
}

/* An id comes before a name. */
static Qcow2Snapshot *find(Qcow2State *s, const char *id_or_name)
{
    Qcow2Snapshot *sn = find_id(s, id_or_name, false);

    for (unsigned i = 0; i < s->snapshot_count && !sn; i++) {
        if (!s->snapshots[i].pending && !strcmp(s->snapshots[i].name, id_or_name)) {
            sn = &s->snapshots[i];
        }
    }
    return sn;
}

static Qcow2Snapshot *need(BlockNode *node, const char *id_or_name, Error **errp)
{
    Qcow2Snapshot *sn = find(node->state, id_or_name);

    if (!sn) {
        error_set(errp, "image %s has no snapshot '%s'", node->filename, id_or_name);
    }
    return sn;
}

static int load_l1(BlockNode *node, const Qcow2Snapshot *sn, uint64_t **l1)
{
    uint64_t *table = block_try_alloc(node, MAX(8ull * sn->l1_size, 8));
    int ret =
        table ? bdrv_co_pread(node->file, sn->l1_offset, 8ull * sn->l1_size, table, 0) : -ENOMEM;

    if (ret < 0) {
        free(table);
        return ret;
    }
    for (uint32_t i = 0; i < sn->l1_size; i++) {
        table[i] = load_be64(&table[i]);
    }
    *l1 = table;
    return 0;
}

/* Entries for a disk of this size: what lies behind is machine state. */
static uint64_t disk_entries(const Qcow2State *s, uint64_t size)
{
    return size > INT64_MAX ? UINT64_MAX
                            : DIV_ROUND_UP(size, 1ull << (s->cluster_bits + s->l2_bits));
}

static bool report(BlockNode *node, int ret, const char *what, const char *name, Error **errp)
{
    if (ret == -EINVAL) {
        error_set(errp, "cannot %s snapshot '%s' of %s: its reference counts do not allow it (%s)",
                  what, name, node->filename,
                  "refcount_bits too small, or damage: see 'vole-img check'");
    } else if (ret < 0) {
        error_set_errno(errp, -ret, "cannot %s snapshot '%s' of %s", what, name, node->filename);
    }
    return ret == 0;
}

static bool refused(BlockNode *node, Error **errp)
{
    Qcow2State *s = node->state;

    if (s->data_file) {
        error_set(errp, "image %s has an external data file and so no snapshots", node->filename);
    } else if (node->readonly) {
        error_set(errp, "image %s is read-only", node->filename);
    }
    return s->data_file || node->readonly;
}

/* ---- creating ---- */

static void choose_id(const Qcow2State *s, char *id, size_t size)
{
    unsigned long max = 0;

    for (unsigned i = 0; i < s->snapshot_count; i++) {
        unsigned long n = strtoul(s->snapshots[i].id, NULL, 10);
        max = MAX(max, n);
    }
    snprintf(id, size, "%lu", max + 1);
}

static Qcow2Snapshot new_snapshot(const Qcow2State *s, const BlockSnapshot *b)
{
    return (Qcow2Snapshot){
        .l1_offset = s->l1_offset,
        .l1_size = s->l1_size,
        .id = strdup(b->id),
        .name = strdup(b->name),
        .vm_state_size = b->vm_state_size,
        .disk_size = s->h.size,
        .vm_clock_nsec = b->vm_clock_nsec,
        .icount = b->icount,
        .date_sec = b->date_sec,
        .date_nsec = b->date_nsec,
        .pending = b->pending,
    };
}

/* The snapshot takes the L1 table as it is; the disk goes on with a new one, without machine state.
 */
static int create(BlockNode *node, const BlockSnapshot *b)
{
    Qcow2State *s = node->state;
    uint32_t entries = (uint32_t)MAX(disk_entries(s, s->h.size), 1);
    int ret = qcow2_settle(node);
    ret = ret < 0 ? ret : bdrv_co_flush(node->file->node);
    Qcow2Rebuild *r = ret < 0 ? NULL : qcow2_rebuild_begin(node);
    uint64_t *l1 = r ? calloc(entries, 8) : NULL;
    Qcow2Snapshot *list =
        l1 ? realloc(s->snapshots, (s->snapshot_count + 1) * sizeof(*list)) : NULL;

    if (list) {
        s->snapshots = list;
        list[s->snapshot_count++] = new_snapshot(s, b);
        memcpy(l1, s->l1, 8ull * MIN(entries, s->l1_size));
        ret = qcow2_rebuild_count_l1(r, l1, MIN(entries, s->l1_size), 1);
        ret = ret < 0 ? ret : qcow2_rebuild_commit(r, l1, entries, s->h.size, true);
        if (ret < 0) {
            free_snapshot(&list[--s->snapshot_count]);
        }
    } else if (ret == 0) {
        ret = -ENOMEM;
    }
    if (ret < 0) {
        free(l1);
    }
    qcow2_rebuild_end(r);
    return ret;
}

/* The list of snapshots is looked at under the locks, too: another change of it may be under way.
 */
static void lock_all(Qcow2State *s)
{
    co_rwlock_wrlock(&s->ops);
    co_mutex_lock(&s->lock);
}

static void unlock_all(Qcow2State *s)
{
    co_mutex_unlock(&s->lock);
    co_rwlock_unlock(&s->ops);
}

static bool check_new(BlockNode *node, BlockSnapshot *b, Error **errp)
{
    Qcow2State *s = node->state;

    if (s->snapshot_count >= QCOW2_MAX_SNAPSHOTS) {
        error_set(errp, "image %s has %d snapshots already", node->filename, QCOW2_MAX_SNAPSHOTS);
        return false;
    }
    if (!b->id[0]) {
        choose_id(s, b->id, sizeof(b->id));
    } else if (find_id(s, b->id, false) || find_id(s, b->id, true)) {
        error_set(errp, "image %s has a snapshot with id %s already", node->filename, b->id);
        return false;
    }
    return true;
}

bool qcow2_co_snapshot_create(BlockNode *node, BlockSnapshot *b, Error **errp)
{
    Qcow2State *s = node->state;

    if (refused(node, errp)) {
        return false;
    }
    lock_all(s);
    bool ok = check_new(node, b, errp);
    b->disk_size = node->size;
    int ret = ok ? create(node, b) : 0;
    unlock_all(s);
    return ok && report(node, ret, "make", b->name, errp);
}

/* ---- applying ---- */

static int apply(BlockNode *node, const Qcow2Snapshot *sn)
{
    Qcow2State *s = node->state;
    /* With its machine state, which whoever applies it reads next. */
    uint32_t entries = (uint32_t)MAX(MAX(disk_entries(s, sn->disk_size), sn->l1_size), 1);
    uint64_t *l1 = calloc(entries, 8), *old = NULL;
    int ret = l1 ? qcow2_settle(node) : -ENOMEM;
    ret = ret < 0 ? ret : bdrv_co_flush(node->file->node);
    ret = ret < 0 ? ret : load_l1(node, sn, &old);
    Qcow2Rebuild *r = ret < 0 ? NULL : qcow2_rebuild_begin(node);

    if (r) {
        memcpy(l1, old, 8ull * MIN(entries, sn->l1_size));
        /* Up before down: what both use must not reach zero. */
        ret = qcow2_rebuild_count_l1(r, l1, entries, 1);
        ret = ret < 0 ? ret : qcow2_rebuild_count_l1(r, s->l1, s->l1_size, -1);
        ret = ret < 0 ? ret : qcow2_rebuild_commit(r, l1, entries, sn->disk_size, false);
    } else if (ret == 0) {
        ret = -ENOMEM;
    }
    if (ret < 0) {
        free(l1);
    }
    free(old);
    qcow2_rebuild_end(r);
    return ret;
}

bool qcow2_co_snapshot_goto(BlockNode *node, const char *id_or_name, Error **errp)
{
    Qcow2State *s = node->state;
    int ret = 0;

    if (refused(node, errp)) {
        return false;
    }
    lock_all(s);
    Qcow2Snapshot *sn = need(node, id_or_name, errp);
    bool ok = sn != NULL;
    if (ok && sn->disk_size != node->size &&
        (sn->disk_size > INT64_MAX || sn->disk_size % BLK_SECTOR_SIZE)) {
        error_set(errp, "snapshot '%s' of %s is of a disk of another size, %" PRIu64 " bytes",
                  id_or_name, node->filename, sn->disk_size);
        ok = false;
    }
    if (ok) {
        ret = disk_entries(s, sn->disk_size) > QCOW2_MAX_L1_BYTES / 8 ? -EFBIG
              : sn->disk_size == node->size                           ? qcow2_bitmaps_start(node)
                                                                      : 0;
        ok = ret < 0 || sn->disk_size == node->size ||
             qcow2_bitmaps_before_resize(node, sn->disk_size, errp);
    }
    if (ok && ret == 0) {
        const uint64_t old = node->size;
        ret = apply(node, sn);
        /* Anything may be different from what it was. */
        if (ret == 0) {
            qcow2_bitmaps_mark(node, 0, node->size);
        }
        int stored = qcow2_bitmaps_after_resize(node, old);
        ret = ret < 0 ? ret : stored;
    }
    unlock_all(s);
    return ok && report(node, ret, "apply", id_or_name, errp);
}

/* ---- deleting ---- */

static int delete (BlockNode *node, unsigned index)
{
    Qcow2State *s = node->state;
    Qcow2Snapshot sn = s->snapshots[index];
    uint64_t *l1 = calloc(MAX(s->l1_size, 1), 8), *old = NULL;
    int ret = l1 ? qcow2_settle(node) : -ENOMEM;
    ret = ret < 0 ? ret : bdrv_co_flush(node->file->node);
    ret = ret < 0 ? ret : load_l1(node, &sn, &old);
    Qcow2Rebuild *r = ret < 0 ? NULL : qcow2_rebuild_begin(node);

    if (r) {
        memcpy(l1, s->l1, 8ull * s->l1_size);
        memmove(&s->snapshots[index], &s->snapshots[index + 1],
                (--s->snapshot_count - index) * sizeof(sn));
        ret = qcow2_rebuild_count_l1(r, old, sn.l1_size, -1);
        ret = ret < 0 || !sn.l1_size ? ret
                                     : qcow2_rebuild_count(r, sn.l1_offset, 8ull * sn.l1_size, -1);
        ret = ret < 0 ? ret : qcow2_rebuild_commit(r, l1, s->l1_size, s->h.size, false);
        if (ret < 0) {
            memmove(&s->snapshots[index + 1], &s->snapshots[index],
                    (s->snapshot_count++ - index) * sizeof(sn));
            s->snapshots[index] = sn;
        } else {
            free_snapshot(&sn);
        }
    } else if (ret == 0) {
        ret = -ENOMEM;
    }
    if (ret < 0) {
        free(l1);
    }
    free(old);
    qcow2_rebuild_end(r);
    return ret;
}

bool qcow2_co_snapshot_delete(BlockNode *node, const char *id_or_name, Error **errp)
{
    Qcow2State *s = node->state;
    int ret = 0;

    if (refused(node, errp)) {
        return false;
    }
    lock_all(s);
    Qcow2Snapshot *sn = need(node, id_or_name, errp);
    if (sn) {
        ret = delete (node, (unsigned)(sn - s->snapshots));
    }
    unlock_all(s);
    return sn && report(node, ret, "delete", id_or_name, errp);
}

/* ---- snapshots of a machine: made at one moment, finished later ---- */

/* What a snapshot alone leads to is free in the new state. */
static int uncount(Qcow2Rebuild *r, BlockNode *node, const Qcow2Snapshot *sn)
{
    uint64_t *l1 = NULL;
    int ret = load_l1(node, sn, &l1);

    ret = ret < 0 ? ret : qcow2_rebuild_count_l1(r, l1, sn->l1_size, -1);
    if (ret == 0 && sn->l1_size) {
        ret = qcow2_rebuild_count(r, sn->l1_offset, 8ull * sn->l1_size, -1);
    }
    free(l1);
    return ret;
}

/*
 * The snapshot's L1 table anew: the disk as it was when it was made, behind it the machine state
 * out of the active table, which gives it away: so no count of its clusters changes. Machine state
 * of older times goes.
 */
static int move_state(Qcow2Rebuild *r, BlockNode *node, Qcow2Snapshot *sn, uint32_t disk)
{
    Qcow2State *s = node->state;
    uint32_t entries = MAX(s->l1_size, disk), kept = MIN(disk, sn->l1_size);
    uint64_t *table = calloc(entries, 8), *old = NULL, offset = 0;
    int ret = table ? load_l1(node, sn, &old) : -ENOMEM;

    if (ret == 0) {
        memcpy(table, old, 8ull * kept);
        for (uint32_t i = disk; i < s->l1_size; i++) {
            table[i] = s->l1[i] & ~QCOW2_COPIED;
        }
        ret = qcow2_rebuild_count_l1(r, old + kept, sn->l1_size - kept, -1);
    }
    if (ret == 0 && sn->l1_size) {
        ret = qcow2_rebuild_count(r, sn->l1_offset, 8ull * sn->l1_size, -1);
    }
    ret = ret < 0 ? ret : qcow2_rebuild_alloc(r, 8ull * entries, &offset);
    ret = ret < 0 ? ret : qcow2_rebuild_write_table(r, table, entries, offset);
    if (ret == 0) {
        sn->l1_offset = offset;
        sn->l1_size = entries;
    }
    free(table);
    free(old);
    return ret;
}

/* Behind the tables' settling: the new list of snapshots is in place, `gone` of the old one are not
 * in it. */
static int finish_tables(BlockNode *node, Qcow2Snapshot *sn, const Qcow2Snapshot *gone,
                         unsigned gone_count, bool keep)
{
    Qcow2State *s = node->state;
    uint32_t disk = (uint32_t)MAX(disk_entries(s, s->h.size), 1);
    uint64_t *l1 = calloc(disk, 8);
    Qcow2Rebuild *r = l1 ? qcow2_rebuild_begin(node) : NULL;
    int ret = r ? 0 : -ENOMEM;

    if (r) {
        memcpy(l1, s->l1, 8ull * MIN(disk, s->l1_size));
        if (keep) {
            ret = move_state(r, node, sn, disk);
        } else if (s->l1_size > disk) {
            ret = qcow2_rebuild_count_l1(r, s->l1 + disk, s->l1_size - disk, -1);
        }
    }
    for (unsigned i = 0; i < gone_count && ret == 0; i++) {
        ret = uncount(r, node, &gone[i]);
    }
    ret = ret < 0 ? ret : qcow2_rebuild_commit(r, l1, disk, s->h.size, false);
    if (ret < 0) {
        free(l1);
    }
    qcow2_rebuild_end(r);
    return ret;
}

/*
 * With `b` the pending snapshot is finished and replaces others of its name; without it is given
 * up. That needs new tables, for which a full disk may have no room: then it goes with the next
 * pending one that ends.
 */
static int end_pending(BlockNode *node, Qcow2Snapshot *sn, const BlockSnapshot *b)
{
    Qcow2State *s = node->state;
    Qcow2Snapshot *old = s->snapshots, *list = calloc(s->snapshot_count, sizeof(*list));
    Qcow2Snapshot *gone = calloc(s->snapshot_count, sizeof(*gone)), *finished = NULL;
    unsigned old_count = s->snapshot_count, n = 0, gone_count = 0;
    int ret = list && gone ? qcow2_settle(node) : -ENOMEM;

    ret = ret < 0 ? ret : bdrv_co_flush(node->file->node);
    for (unsigned i = 0; i < old_count && ret == 0; i++) {
        bool replaced = b && !old[i].pending && !strcmp(old[i].name, b->name);
        if (replaced || old[i].given_up || (!b && &old[i] == sn)) {
            gone[gone_count++] = old[i];
            continue;
        }
        list[n] = old[i];
        if (&old[i] == sn) {
            finished = &list[n];
            finished->pending = false;
            finished->vm_state_size = b->vm_state_size;
        }
        n++;
    }
    if (ret == 0) {
        s->snapshots = list;
        s->snapshot_count = n;
        ret = finish_tables(node, finished, gone, gone_count, b != NULL);
        if (ret < 0) {
            s->snapshots = old;
            s->snapshot_count = old_count;
        }
    }
    for (unsigned i = 0; i < gone_count && ret == 0; i++) {
        free_snapshot(&gone[i]);
    }
    if (ret < 0 && !b) {
        sn->given_up = true;
    }
    free(gone);
    free(ret < 0 ? list : old);
    return ret;
}

static bool end_pending_locked(BlockNode *node, const char *id, const BlockSnapshot *b,
                               Error **errp)
{
    Qcow2State *s = node->state;
    int ret = -ENOENT;

    lock_all(s);
    Qcow2Snapshot *sn = find_id(s, id, true);
    if (sn && b && sn->disk_size != node->size) {
        ret = -ESTALE; /* the state would not stand behind the disk's end */
    } else if (sn) {
        ret = end_pending(node, sn, b);
    }
    unlock_all(s);
    return report(node, ret, b ? "make" : "give up", b ? b->name : id, errp);
}

bool qcow2_co_snapshot_finish(BlockNode *node, const BlockSnapshot *b, Error **errp)
{
    return end_pending_locked(node, b->id, b, errp);
}

bool qcow2_co_snapshot_abandon(BlockNode *node, const char *id, Error **errp)
{
    return end_pending_locked(node, id, NULL, errp);
}

/* ---- looking ---- */

bool qcow2_co_snapshot_load_tmp(BlockNode *node, const char *id_or_name, Error **errp)
{
    Qcow2State *s = node->state;
    Qcow2Snapshot *sn = need(node, id_or_name, errp);
    uint64_t *l1;

    if (!sn) {
        return false;
    }
    if (!node->readonly) {
        error_set(errp, "image %s: a snapshot can only be shown read-only", node->filename);
        return false;
    }
    int ret = load_l1(node, sn, &l1);
    if (ret == 0 && disk_entries(s, sn->disk_size) > sn->l1_size) {
        free(l1);
        ret = -EIO;
    }
    if (ret < 0) {
        return report(node, ret, "show", id_or_name, errp);
    }
    co_rwlock_wrlock(&s->ops);
    free(s->l1);
    s->l1 = l1;
    s->l1_size = sn->l1_size;
    s->temporary = true;
    node->size = sn->disk_size;
    co_rwlock_unlock(&s->ops);
    return true;
}

int qcow2_co_snapshot_list(BlockNode *node, BlockSnapshot **list)
{
    Qcow2State *s = node->state;
    BlockSnapshot *l = calloc(MAX(s->snapshot_count, 1), sizeof(*l));

    if (!l) {
        return -ENOMEM;
    }
    int n = 0;
    for (unsigned i = 0; i < s->snapshot_count; i++) {
        const Qcow2Snapshot *sn = &s->snapshots[i];
        if (sn->pending) {
            continue;
        }
        snprintf(l[n].id, sizeof(l[n].id), "%s", sn->id);
        snprintf(l[n].name, sizeof(l[n].name), "%s", sn->name);
        l[n].vm_state_size = sn->vm_state_size;
        l[n].disk_size = sn->disk_size;
        l[n].date_sec = sn->date_sec;
        l[n].date_nsec = sn->date_nsec;
        l[n].vm_clock_nsec = sn->vm_clock_nsec;
        l[n].icount = sn->icount;
        n++;
    }
    *list = l;
    return n;
}
