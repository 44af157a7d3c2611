/*
 * Loading, deleting, listing.
 *
 * A state is looked at as a whole before anything is changed: header, index, devices' state. The
 * devices' state is tried on the stopped machine, whose own was put aside: if one device refuses,
 * that comes back. Then the disks go to their snapshots, and RAM begins to come (restore.c).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/device.h"
#include "hw/machine.h"
#include "hw/memory.h"
#include "hw/vmstate.h"
#include "snapshot/restore.h"
#include "snapshot/snapshot-int.h"
#include "target-i386/vcpu.h"
#include "util/buffer.h"

typedef struct Load {
    Disks disks;
    const char *path;
    SnapshotSource *source;
    SnapshotHeader header;
    uint8_t *state;
    Chunk *chunks;
    uint32_t *working;
    bool reset; /* it failed so late that the machine had to be reset */
} Load;

/* ---- looking at the state ---- */

static void *read_piece(Load *l, uint64_t pos, uint64_t size, Error **errp)
{
    void *p = malloc(size ? size : 1);
    int ret = p ? source_pread(l->source, pos, p, size) : -ENOMEM;

    if (ret < 0) {
        error_set_errno(errp, -ret, "the machine state cannot be read");
        free(p);
        return NULL;
    }
    return p;
}

static bool read_index(Load *l, Error **errp)
{
    const SnapshotHeader *h = &l->header;
    uint8_t *index = read_piece(l, h->index_pos, h->index_size, errp);

    l->chunks = calloc(h->index_size / CHUNK_ENTRY + 1, sizeof(*l->chunks));
    if (!l->chunks) {
        abort();
    }
    bool ok = index && snapshot_index_decode(h, index, l->chunks, errp);
    free(index);
    return ok;
}

/* A hint: a wrong one only costs time. */
static bool read_working_set(Load *l, Error **errp)
{
    const SnapshotHeader *h = &l->header;

    l->working = read_piece(l, h->working_pos, h->working_count * 4ull, errp);
    if (!l->working) {
        return false;
    }
    for (uint32_t i = 0; i < h->working_count; i++) {
        if (l->working[i] >= snapshot_chunks(h->machine.ram_bytes)) {
            error_set(errp, "the machine state's working set is damaged");
            return false;
        }
    }
    return true;
}

static bool read_state(Load *l, Error **errp)
{
    uint8_t head[SNAPSHOT_HEADER];
    SnapshotHeader *h = &l->header;
    int ret =
        source_size(l->source) < sizeof(head) ? 0 : source_read(l->source, 0, head, sizeof(head));

    if (ret < 0) {
        error_set_errno(errp, -ret, "the machine state cannot be read");
        return false;
    }
    if (source_size(l->source) < sizeof(head)) {
        error_set(errp, "this is no machine state of this program");
        return false;
    }
    if (!snapshot_header_decode(head, source_size(l->source), h, errp) ||
        !snapshot_machine_fits(h, errp) || !source_map(l->source, h->total, errp) ||
        !read_index(l, errp) || !read_working_set(l, errp)) {
        return false;
    }
    l->state = read_piece(l, h->device_pos, h->device_size, errp);
    if (l->state && snapshot_crc(l->state, h->device_size) != h->device_crc) {
        error_set(errp, "the state of the devices is damaged");
        return false;
    }
    return l->state != NULL;
}

static void free_load(Load *l)
{
    disks_free(&l->disks);
    source_close(l->source);
    free(l->state);
    free(l->chunks);
    free(l->working);
}

/* ---- the snapshot's disks ---- */

static bool find_on_disks(Load *l, const char *tag, Error **errp)
{
    BlockSnapshot state, found;

    if (!disk_find(l->disks.state, tag, &state)) {
        error_set(errp, "drive '%s' has no snapshot '%s'; info snapshots lists them",
                  l->disks.state->name, tag);
        return false;
    }
    if (!state.vm_state_size) {
        error_set(errp,
                  "snapshot '%s' of drive '%s' is of the disk alone, without a machine (vole-img "
                  "snapshot -a applies it)",
                  tag, l->disks.state->name);
        return false;
    }
    for (unsigned i = 0; i < l->disks.count; i++) {
        Disk *d = &l->disks.list[i];
        if (!disk_find(d, tag, &found)) {
            error_set(errp, "drive '%s' has no snapshot '%s', drive '%s' has", d->name, tag,
                      l->disks.state->name);
            return false;
        }
        if (found.date_sec != state.date_sec || found.date_nsec != state.date_nsec) {
            error_set(errp,
                      "snapshot '%s' of drive '%s' is not of the moment of that of drive '%s'", tag,
                      d->name, l->disks.state->name);
            return false;
        }
        memcpy(d->id, found.id, sizeof(d->id));
    }
    return true;
}

/* Where no one says which disk has the machine state, it is the one whose snapshot has. */
static void find_state_disk(Load *l, const SnapshotTarget *target)
{
    BlockSnapshot found;

    for (unsigned i = l->disks.count; i > 0 && !target->vmstate; i--) {
        if (disk_find(&l->disks.list[i - 1], target->tag, &found) && found.vm_state_size) {
            l->disks.state = &l->disks.list[i - 1];
        }
    }
}

/* What the first image has cached must be in the file before it is looked at again. */
static bool open_on_disks(Load *l, const SnapshotTarget *target, Error **errp)
{
    if (!disks_choose(&l->disks, target, errp)) {
        return false;
    }
    find_state_disk(l, target);
    if (!find_on_disks(l, target->tag, errp)) {
        return false;
    }
    int ret = bdrv_flush(l->disks.state->node);
    if (ret < 0) {
        error_set_errno(errp, -ret, "drive '%s' cannot be flushed", l->disks.state->name);
        return false;
    }
    l->source = source_open_image(l->disks.state->node, l->disks.state->id, errp);
    return l->source != NULL;
}

static bool goto_snapshots(Load *l, Error **errp)
{
    bool ok = true;

    disks_drained_begin(&l->disks);
    for (unsigned i = 0; i < l->disks.count && ok; i++) {
        ok = bdrv_snapshot_goto(l->disks.list[i].node, l->disks.list[i].id, errp);
    }
    disks_drained_end(&l->disks);
    return ok;
}

/* ---- loading ---- */

/* A field that the state does not have, as it is older, keeps what the reset gives it. */
static bool load_devices(const uint8_t *state, size_t size, Error **errp)
{
    Reader r = {.data = state, .size = size};

    devices_reset_only();
    vcpu_reset_all();
    return vmstate_load_all(&r, errp);
}

static bool try_devices(Load *l, Error **errp)
{
    Buffer before = {0};
    Error *err = NULL;

    vmstate_save_all(&before);
    bool ok = load_devices(l->state, l->header.device_size, errp);
    if (!ok) {
        if (!load_devices(before.data, before.size, &err)) {
            error_prepend(errp, "the machine had to be reset (%s) as its state was refused: ",
                          error_text(err));
            error_free(err);
            devices_reset();
            vcpu_reset_all();
            l->reset = true;
        }
    }
    buffer_free(&before);
    return ok;
}

/* Disks or RAM are neither the old nor the new ones. */
static void give_up_machine(Load *l, Error **errp)
{
    devices_reset();
    vcpu_reset_all();
    l->reset = true;
    error_prepend(
        errp,
        "the machine was reset and is stopped, as the snapshot could not be loaded as a whole: ");
}

static bool load_stopped(Load *l, Error **errp)
{
    blk_drain(NULL); /* what the guest has begun is written before its disk goes back in time */
    if (l->path && !disks_unchanged(&l->header, errp)) {
        return false;
    }
    if (!try_devices(l, errp)) {
        return false;
    }
    if (!goto_snapshots(l, errp)) {
        give_up_machine(l, errp);
        return false;
    }
    bool all = vcpu_count() &&
               vcpu_env(0)->lockstep; /* its copy of RAM hears of no page that comes later */
    SnapshotSource *source = l->source;
    Chunk *chunks = l->chunks;
    uint32_t *working = l->working;
    l->source = NULL;
    l->chunks = NULL;
    l->working = NULL;
    if (!restore_begin(source, chunks, working, l->header.working_count, all, errp)) {
        give_up_machine(l, errp);
        return false;
    }
    return true;
}

static bool load(Load *l, const SnapshotTarget *target, Error **errp)
{
    bool running = machine_running();

    l->path = tag_file(target->tag);
    if (l->path) {
        l->source = source_open_file(l->path, errp);
    } else if (!open_on_disks(l, target, errp)) {
        return false;
    }
    if (!l->source || !read_state(l, errp)) {
        return false;
    }
    if (running) {
        machine_stop(RUN_STATE_PAUSED);
    }
    bool ok = load_stopped(l, errp);
    if (running && !l->reset) {
        machine_start();
    } else if (ok && machine_run_state() != RUN_STATE_PRELAUNCH) {
        machine_stop(RUN_STATE_PAUSED); /* whatever stopped it was not in this machine's life */
    }
    return ok;
}

bool snapshot_load(const SnapshotTarget *target, Error **errp)
{
    Load l = {0};

    if (!memory_ram_used()) {
        error_set(errp, "loadvm: there is no machine to load");
        return false;
    }
    if (!snapshot_begin("loadvm", errp)) {
        return false;
    }
    bool ok = load(&l, target, errp);
    if (!ok) {
        error_prepend(errp, "loadvm: ");
    }
    free_load(&l);
    snapshot_end();
    return ok;
}

/* ---- deleting ---- */

static bool delete_file(const char *path, Error **errp)
{
    SnapshotSource *s = source_open_file(path, errp);
    uint8_t head[SNAPSHOT_HEADER] = {0};
    SnapshotHeader h;

    if (!s) {
        return false;
    }
    /* Only what is one of ours. */
    bool ok = source_size(s) >= sizeof(head) && source_read(s, 0, head, sizeof(head)) == 0 &&
              snapshot_header_decode(head, source_size(s), &h, NULL);
    source_close(s);
    if (!ok) {
        error_set(errp, "'%s' is no machine state; it was left alone", path);
        return false;
    }
    if (unlink(path) < 0) {
        error_set_errno(errp, errno, "cannot delete '%s'", path);
        return false;
    }
    return true;
}

static bool delete_on_disks(const SnapshotTarget *target, Error **errp)
{
    Disks disks;
    BlockSnapshot found;
    bool any = false, ok = true;

    if (!disks_choose(&disks, target, errp)) {
        return false;
    }
    for (unsigned i = 0; i < disks.count && ok; i++) {
        while (ok && disk_find(&disks.list[i], target->tag, &found)) {
            any = true;
            ok = bdrv_snapshot_delete(disks.list[i].node, found.id, errp);
        }
    }
    disks_free(&disks);
    if (ok && !any) {
        error_set(errp, "there is no snapshot '%s'; info snapshots lists them", target->tag);
    }
    return ok && any;
}

bool snapshot_delete(const SnapshotTarget *target, Error **errp)
{
    const char *path = tag_file(target->tag);

    if (!snapshot_begin("delvm", errp)) {
        return false;
    }
    restore_wait(); /* it may come out of this very one */
    bool ok = path ? delete_file(path, errp) : delete_on_disks(target, errp);
    snapshot_end();
    if (!ok) {
        error_prepend(errp, "delvm: ");
    }
    return ok;
}

/* ---- listing ---- */

static bool on_all(Disks *disks, const BlockSnapshot *s)
{
    BlockSnapshot found;

    for (unsigned i = 0; i < disks->count; i++) {
        if (!disk_find(&disks->list[i], s->name, &found)) {
            return false;
        }
    }
    return true;
}

void snapshot_each(void (*fn)(const BlockSnapshot *snapshot, const char *where, void *opaque),
                   void *opaque)
{
    Disks disks;
    BlockSnapshot *list;
    bool shown_whole = false;

    if (!disks_all(&disks, NULL)) {
        return;
    }
    for (unsigned i = 0; i < disks.count; i++) {
        int n = bdrv_snapshot_list(disks.list[i].node, &list);
        for (int k = 0; k < n; k++) {
            bool whole = list[k].vm_state_size && on_all(&disks, &list[k]);
            if (whole) {
                shown_whole = true;
                fn(&list[k], NULL, opaque);
            } else if (!list[k].vm_state_size && shown_whole && on_all(&disks, &list[k])) {
                continue; /* another disk's part of one */
            } else {
                fn(&list[k], disks.list[i].name, opaque);
            }
        }
        if (n >= 0) {
            bdrv_snapshots_free(list);
        }
    }
    disks_free(&disks);
}
