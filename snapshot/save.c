/*
 * Saving. A coroutine on the main loop, in these steps:
 *
 *  1. disks: what was written is flushed while the guest runs; then its requests are held back, and
 * those under way end;
 *  2. the moment: vCPUs stop, the devices' state is saved, RAM becomes copy on write, vCPUs go on;
 *  3. each disk keeps what it has as a snapshot that is in no list yet; then the guest's requests
 * go on;
 *  4. worker threads pack RAM, the coroutine writes it;
 *  5. devices' state, index, working set, header; last each image lists its snapshot.
 *
 * So the guest stands still for 2 alone, and no disk is touched then. Requests held back at the
 * moment are in the devices' state as not done: both the guest that goes on and the one that is
 * loaded begin them again.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hw/machine.h"
#include "hw/memory.h"
#include "hw/vmstate.h"
#include "snapshot/capture.h"
#include "snapshot/restore.h"
#include "snapshot/snapshot-int.h"
#include "target-i386/vcpu.h"
#include "util/buffer.h"
#include "util/coroutine.h"
#include "util/worker.h"

enum {
    BATCH = 64,             /* chunks: 4 MB of RAM */
    STREAM_PIECE = 4 << 20, /* bytes written at once */
    STREAM_MAX = 256 << 20, /* bytes that wait for the disks at most */
    PACKERS_MAX = BACKGROUND_WORKERS_MAX - 1,
};

typedef struct Save {
    SnapshotTarget target;
    char *tag, *vmstate, **devices;
    Disks disks;
    const char *path; /* or: a file */
    char *part_path;
    int fd;
    SnapshotHeader header;
    BlockSnapshot snapshot;
    Buffer state; /* the devices' */
    Buffer index;
    Buffer stream; /* waits to be written, from stream_pos on */
    uint64_t stream_pos;
    CoMutex stream_lock;
    bool open; /* the disks have kept what they had: machine state may be written */
    CoQueue opened;
    uint32_t next_chunk, chunks;
    unsigned packers;
    CoQueue packers_done;
    unsigned writebacks;
    CoQueue writebacks_done;
    int ret; /* the first failure of writing */
    SnapshotTimes times;
    Error *err;
    void (*done)(void *opaque, Error *err);
    void *opaque;
    bool finished;
} Save;

static SnapshotTimes last_times;
static Save *saving;

const SnapshotTimes *snapshot_last_times(void)
{
    return &last_times;
}

/* ---- work on another thread, from a coroutine ---- */

typedef struct CoWork {
    WorkItem item;
    void (*fn)(void *opaque);
    void *opaque;
    Coroutine *co;
} CoWork;

static void co_work_run(WorkItem *item)
{
    CoWork *w = (CoWork *)item;

    w->fn(w->opaque);
}

static void co_work_done(WorkItem *item)
{
    coroutine_wake(((CoWork *)item)->co);
}

static void co_work_by(void (*submit)(WorkItem *item), void (*fn)(void *opaque), void *opaque)
{
    CoWork w = {{co_work_run, co_work_done, NULL}, fn, opaque, coroutine_self()};

    submit(&w.item);
    coroutine_yield();
}

static void co_work(void (*fn)(void *opaque), void *opaque)
{
    co_work_by(worker_submit, fn, opaque);
}

/* ---- writing ---- */

typedef struct FileWrite {
    int fd, ret;
    uint64_t pos;
    const uint8_t *data;
    size_t size;
} FileWrite;

static void write_file(void *opaque)
{
    FileWrite *w = opaque;

    while (w->size && !w->ret) {
        ssize_t n = pwrite(w->fd, w->data, w->size, (off_t)w->pos);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            w->ret = n < 0 ? -errno : -ENOSPC;
            return;
        }
        w->data += n;
        w->pos += (uint64_t)n;
        w->size -= (size_t)n;
    }
}

/* The host begins to write to its disk what it has in its cache, so that the flush at the end has
 * less to wait for. */
typedef struct Writeback {
    WorkItem item;
    Save *save;
    int fd;
    uint64_t offset, size;
} Writeback;

static void write_back(WorkItem *item)
{
    const Writeback *w = (const Writeback *)item;

    sync_file_range(w->fd, (off_t)w->offset, (off_t)w->size, SYNC_FILE_RANGE_WRITE);
}

static void written_back(WorkItem *item)
{
    Save *s = ((Writeback *)item)->save;

    if (--s->writebacks == 0) {
        co_queue_all(&s->writebacks_done);
    }
    free(item);
}

static void start_writeback(Save *s, uint64_t pos, uint64_t size)
{
    Writeback *w = calloc(1, sizeof(*w));

    if (!w) {
        return;
    }
    *w = (Writeback){{write_back, written_back, NULL}, s, s->fd, pos, size};
    if (!s->path) {
        w->fd = bdrv_vmstate_fd(s->disks.state->node, pos, size, &w->offset, &w->size);
    }
    if (w->fd < 0) {
        free(w);
        return;
    }
    s->writebacks++;
    worker_submit(&w->item);
}

/* They use a descriptor that is about to be closed. */
static void wait_for_writebacks(Save *s)
{
    while (s->writebacks) {
        co_queue_wait(&s->writebacks_done);
    }
}

static int store(Save *s, uint64_t pos, const void *data, size_t size)
{
    FileWrite w = {.fd = s->fd, .pos = pos, .data = data, .size = size};

    if (s->path) {
        co_work(write_file, &w);
    } else {
        w.ret = bdrv_save_vmstate(s->disks.state->node, pos, data, size);
    }
    if (w.ret == 0 && size >= STREAM_PIECE / 2) {
        start_writeback(s, pos, size);
    }
    return w.ret;
}

/* All that waits (all: also what is less than a piece). Under the lock. */
static void write_stream(Save *s, bool all)
{
    size_t done = 0;

    while (s->ret == 0 && s->stream.size - done >= (all ? 1 : STREAM_PIECE)) {
        /* Pieces end at multiples of their size: then no two writes share a cluster. */
        size_t n = STREAM_PIECE - (size_t)(s->stream_pos % STREAM_PIECE);
        n = n < s->stream.size - done ? n : s->stream.size - done;
        int ret = store(s, s->stream_pos, s->stream.data + done, n);
        s->ret = s->ret < 0 ? s->ret : ret;
        s->stream_pos += n;
        done += n;
    }
    if (s->ret == 0) {
        memmove(s->stream.data, s->stream.data + done, s->stream.size - done);
        s->stream.size -= done;
    }
}

/* Gives the bytes' place. */
static uint64_t append(Save *s, const void *data, size_t size)
{
    while (!s->open && s->stream.size > STREAM_MAX) {
        co_queue_wait(&s->opened);
    }
    co_mutex_lock(&s->stream_lock);
    uint64_t pos = s->stream_pos + s->stream.size;
    buffer_append(&s->stream, data, size);
    if (s->open) {
        write_stream(s, false);
    }
    co_mutex_unlock(&s->stream_lock);
    return pos;
}

/* ---- RAM ---- */

/*
 * Packing gives way to the guest, so that what has no time to lose (a vCPU that an interrupt woke,
 * the main loop with the device's bytes) need not wait for the host's scheduler to take a processor
 * away from it. But where all processors are always busy it has to take its share.
 */
enum {
    STARVED_NS = 30000000, /* so much waiting for a processor for one batch is too much */
    STARVED_TIMES = 4,     /* if it is so many times the computing, too */
    HURRY_TIMES = 60,      /* then it is tried again after so many times what was lost */
};

static int64_t hurry_until; /* on CLOCK_HOST */

typedef struct Packer {
    Save *save;
    ChunkPacker *packer;
    uint32_t first, count;
    int64_t finished, cpu_ns; /* of the last batch */
    Chunk chunks[BATCH];
    Buffer out;
    uint8_t pages[CHUNK_SIZE], packed[CHUNK_PACKED_MAX];
} Packer;

static int64_t thread_cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

static void pack_batch(void *opaque)
{
    Packer *p = opaque;
    int64_t start = thread_cpu_ns();

    p->out.size = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        Chunk *c = &p->chunks[i];
        *c = (Chunk){.pages = capture_read(p->first + i, p->pages)};
        if (c->pages) {
            chunk_pack(p->packer, c, p->pages, p->packed);
            c->pos = p->out.size;
            buffer_append(&p->out, p->packed, c->size);
        }
    }
    p->cpu_ns = thread_cpu_ns() - start;
    p->finished = clock_now(CLOCK_HOST);
}

static void co_pack_batch(Packer *p)
{
    int64_t start = clock_now(CLOCK_HOST);

    if (start < hurry_until) {
        co_work(pack_batch, p);
        return;
    }
    co_work_by(worker_submit_background, pack_batch, p);
    int64_t waited = p->finished - start - p->cpu_ns;
    if (waited > STARVED_NS && waited > STARVED_TIMES * p->cpu_ns) {
        hurry_until = p->finished + HURRY_TIMES * waited;
    }
}

static uint64_t progress_done, progress_total;

bool snapshot_progress(uint64_t *done, uint64_t *total)
{
    *done = progress_done;
    *total = progress_total;
    return progress_total != 0;
}

static bool take_batch(Save *s, Packer *p)
{
    s->next_chunk = s->ret < 0 ? s->chunks : capture_next(s->next_chunk);
    p->first = s->next_chunk;
    p->count = s->chunks - s->next_chunk < BATCH ? s->chunks - s->next_chunk : BATCH;
    s->next_chunk += p->count;
    progress_done = (uint64_t)s->next_chunk << CHUNK_BITS;
    return p->count != 0;
}

static void co_packer(void *opaque)
{
    Save *s = opaque;
    Packer *p = calloc(1, sizeof(*p));

    if (!p) {
        abort();
    }
    p->save = s;
    p->packer = chunk_packer_new();
    while (take_batch(s, p)) {
        co_pack_batch(p);
        uint64_t at = p->out.size ? append(s, p->out.data, p->out.size) : 0;
        for (uint32_t i = 0; i < p->count; i++) {
            p->chunks[i].pos += p->chunks[i].pages ? at : 0;
            chunk_encode(&p->chunks[i], s->index.data + (size_t)(p->first + i) * CHUNK_ENTRY);
        }
    }
    chunk_packer_free(p->packer);
    buffer_free(&p->out);
    free(p);
    if (--s->packers == 0) {
        co_queue_all(&s->packers_done);
    }
}

static void start_packing(Save *s)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    s->chunks = snapshot_chunks(memory_ram_used());
    memset(buffer_extend(&s->index, (size_t)s->chunks * CHUNK_ENTRY), 0,
           (size_t)s->chunks * CHUNK_ENTRY);
    s->packers = cpus < 1 ? 1 : cpus > PACKERS_MAX ? PACKERS_MAX : (unsigned)cpus;
    s->packers++; /* one more, so that none waits while a piece is written */
    for (unsigned i = s->packers; i > 0; i--) {
        coroutine_enter(coroutine_create(co_packer, s));
    }
}

/* ok: what was packed so far may be written, too; else it is thrown away. */
static void finish_packing(Save *s, bool ok)
{
    s->open = true;
    s->ret = ok ? s->ret : -ECANCELED;
    co_queue_all(&s->opened);
    while (s->packers) {
        co_queue_wait(&s->packers_done);
    }
}

/* ---- the rest ---- */

static void save_rest(Save *s)
{
    SnapshotHeader *h = &s->header;
    uint8_t head[SNAPSHOT_HEADER];
    uint32_t *working;

    h->working_count = capture_working_set(&working);
    h->device_pos = append(s, s->state.data, s->state.size);
    h->device_size = (uint32_t)s->state.size;
    h->device_crc = snapshot_crc(s->state.data, s->state.size);
    h->index_pos = append(s, s->index.data, s->index.size);
    h->index_size = (uint32_t)s->index.size;
    h->index_crc = snapshot_crc(s->index.data, s->index.size);
    h->working_pos = append(s, working, h->working_count * 4ull);
    h->working_crc = snapshot_crc(working, h->working_count * 4ull);
    free(working);
    co_mutex_lock(&s->stream_lock);
    write_stream(s, true);
    co_mutex_unlock(&s->stream_lock);
    h->total = s->stream_pos;
    snapshot_machine_here(&h->machine);
    snapshot_header_encode(h, head);
    int ret = s->ret < 0 ? s->ret : store(s, 0, head, sizeof(head));
    s->ret = ret;
    if (ret < 0) {
        error_set_errno(&s->err, -ret, "savevm: the machine state could not be written to %s",
                        s->path ? s->path : bdrv_filename(s->disks.state->node));
    }
}

/* ---- the moment ---- */

static void take_moment(Save *s)
{
    bool running = machine_running();
    struct timespec ts;

    capture_prepare();
    int64_t start = clock_now(CLOCK_HOST);
    if (running) {
        vcpu_pause_all();
        clock_virtual_run(false);
    }
    clock_gettime(CLOCK_REALTIME, &ts);
    vmstate_save_all(&s->state);
    capture_begin();
    s->header.clock_ns = (uint64_t)clock_now(CLOCK_VIRTUAL);
    s->header.date_ns = (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
    if (running) {
        clock_virtual_run(true);
        vcpu_resume_all();
    }
    s->times.paused_ns = clock_now(CLOCK_HOST) - start;
    s->snapshot.date_sec = (uint32_t)ts.tv_sec;
    s->snapshot.date_nsec = (uint32_t)ts.tv_nsec;
    s->snapshot.vm_clock_nsec = s->header.clock_ns;
    s->snapshot.icount = UINT64_MAX;
}

/* ---- disks ---- */

static bool flush_disks(Save *s)
{
    for (unsigned i = 0; i < s->disks.count; i++) {
        int ret = bdrv_flush(s->disks.list[i].node);
        if (ret < 0) {
            error_set_errno(&s->err, -ret, "savevm: drive '%s' could not be flushed",
                            s->disks.list[i].name);
            return false;
        }
    }
    return true;
}

static bool keep_disks(Save *s)
{
    for (unsigned i = 0; i < s->disks.count; i++) {
        Disk *d = &s->disks.list[i];
        BlockSnapshot b = s->snapshot;
        b.pending = true;
        if (!bdrv_snapshot_create(d->node, &b, &s->err)) {
            error_prepend(&s->err, "savevm: ");
            return false;
        }
        memcpy(d->id, b.id, sizeof(d->id));
        d->pending = true;
    }
    return true;
}

static void give_up_disks(Save *s)
{
    for (unsigned i = 0; i < s->disks.count; i++) {
        Disk *d = &s->disks.list[i];
        Error *err = NULL;
        if (d->pending && !bdrv_snapshot_abandon(d->node, d->id, &err)) {
            error_report_free(err); /* clusters are lost that vole-img check gives back */
        }
        d->pending = false;
    }
}

/* Those without machine state first: a snapshot can be loaded when the last one has it. */
static bool list_snapshots(Save *s)
{
    for (int with_state = 0; with_state < 2; with_state++) {
        for (unsigned i = 0; i < s->disks.count; i++) {
            Disk *d = &s->disks.list[i];
            BlockSnapshot b = s->snapshot;
            if ((d == s->disks.state) != with_state) {
                continue;
            }
            memcpy(b.id, d->id, sizeof(b.id));
            b.vm_state_size = with_state ? s->header.total : 0;
            if (!bdrv_snapshot_finish(d->node, &b, &s->err)) {
                error_prepend(&s->err, "savevm: ");
                return false;
            }
            d->pending = false;
        }
    }
    return true;
}

static bool tag_is_free(Save *s)
{
    BlockSnapshot found;

    for (unsigned i = 0; i < s->disks.count && !s->target.replace; i++) {
        if (disk_find(&s->disks.list[i], s->snapshot.name, &found)) {
            error_set(&s->err, "Snapshot '%s' already exists in one or more devices",
                      s->snapshot.name);
            return false;
        }
    }
    return true;
}

static void save_to_disks(Save *s)
{
    if (!disks_choose(&s->disks, &s->target, &s->err)) {
        error_prepend(&s->err, "savevm: ");
        return;
    }
    if (!tag_is_free(s) || !flush_disks(s)) {
        return;
    }
    disks_drained_begin(&s->disks);
    take_moment(s);
    start_packing(s); /* beside what follows */
    bool ok = keep_disks(s);
    disks_drained_end(&s->disks);
    finish_packing(s, ok);
    if (ok) {
        save_rest(s);
    }
    capture_end();
    if (s->err || !list_snapshots(s)) {
        give_up_disks(s);
    }
}

/* ---- a file ---- */

static void sync_file(void *opaque)
{
    FileWrite *w = opaque;

    w->ret = fdatasync(w->fd) < 0 ? -errno : 0;
}

static void finish_file(Save *s)
{
    FileWrite w = {.fd = s->fd};

    wait_for_writebacks(s);
    if (!s->err) {
        co_work(sync_file, &w);
        if (w.ret < 0) {
            error_set_errno(&s->err, -w.ret, "savevm: cannot write '%s'", s->path);
        }
    }
    close(s->fd);
    if (!s->err && rename(s->part_path, s->path) < 0) {
        error_set_errno(&s->err, errno, "savevm: cannot give '%s' its name", s->path);
    }
    if (s->err) {
        unlink(s->part_path);
    }
}

static void save_to_file(Save *s)
{
    if (access(s->path, F_OK) == 0 && !s->target.replace) {
        error_set(&s->err, "Snapshot '%s' already exists", s->tag);
        return;
    }
    if (asprintf(&s->part_path, "%s.part", s->path) < 0) {
        abort();
    }
    s->fd = open(s->part_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (s->fd < 0) {
        error_set_errno(&s->err, errno, "savevm: cannot make '%s'", s->part_path);
        return;
    }
    bool ok = disks_all(&s->disks, &s->err);
    if (ok) {
        disks_drained_begin(&s->disks);
        ok = flush_disks(s);
        take_moment(s);
        ok = ok && disks_describe(&s->header, &s->err);
        disks_drained_end(&s->disks);
    }
    if (ok) {
        start_packing(s);
        finish_packing(s, true);
        save_rest(s);
    }
    capture_end();
    finish_file(s);
}

/* ---- all of it ---- */

static void free_save(Save *s)
{
    for (unsigned i = 0; s->devices && s->devices[i]; i++) {
        free(s->devices[i]);
    }
    free(s->devices);
    free(s->tag);
    free(s->vmstate);
    free(s->part_path);
    buffer_free(&s->state);
    buffer_free(&s->index);
    buffer_free(&s->stream);
    free(s);
}

static void co_save(void *opaque)
{
    Save *s = opaque;
    int64_t start = clock_now(CLOCK_HOST);

    while (restore_active()) {
        coroutine_sleep(CLOCK_HOST, NS_PER_MS); /* what was loaded last is still coming */
    }
    s->stream_pos = SNAPSHOT_HEADER;
    snprintf(s->snapshot.name, sizeof(s->snapshot.name), "%s", s->tag);
    s->path = tag_file(s->tag);
    if (s->path) {
        save_to_file(s);
    } else {
        save_to_disks(s);
    }
    wait_for_writebacks(s);
    disks_free(&s->disks);
    s->times.total_ns = clock_now(CLOCK_HOST) - start;
    s->times.bytes = s->header.total;
    if (!s->err) {
        last_times = s->times;
    }
    snapshot_end();
    saving = NULL;
    s->finished = true;
    if (s->done) {
        s->done(s->opaque, s->err);
        free_save(s);
    }
}

static char *copy(const char *text)
{
    char *c = text ? strdup(text) : NULL;

    if (text && !c) {
        abort();
    }
    return c;
}

/* As the tradition names a snapshot without a name. */
static char *name_of_time(void)
{
    time_t now = time(NULL);
    struct tm tm;
    char text[64];

    localtime_r(&now, &tm);
    strftime(text, sizeof(text), "vm-%Y%m%d%H%M%S", &tm);
    return copy(text);
}

static void copy_target(Save *s, const SnapshotTarget *target)
{
    unsigned n = 0;

    while (target->devices && target->devices[n]) {
        n++;
    }
    if (target->devices) {
        s->devices = calloc(n + 1, sizeof(*s->devices));
        if (!s->devices) {
            abort();
        }
        for (unsigned i = 0; i < n; i++) {
            s->devices[i] = copy(target->devices[i]);
        }
    }
    s->tag = target->tag ? copy(target->tag) : name_of_time();
    s->vmstate = copy(target->vmstate);
    s->target =
        (SnapshotTarget){s->tag, s->vmstate, (const char *const *)s->devices, target->replace};
}

static Save *new_save(const SnapshotTarget *target, Error **errp)
{
    if (!memory_ram_used()) {
        error_set(errp, "savevm: there is no machine to save");
        return NULL;
    }
    if (target->tag &&
        (!target->tag[0] || !strcmp(target->tag, "file:") || strlen(target->tag) > 255)) {
        error_set(errp, "savevm: a tag has 1 to 255 characters");
        return NULL;
    }
    if (!snapshot_begin("savevm", errp)) {
        return NULL;
    }
    Save *s = calloc(1, sizeof(*s));
    if (!s) {
        abort();
    }
    copy_target(s, target);
    saving = s;
    progress_done = 0;
    progress_total = (uint64_t)snapshot_chunks(memory_ram_used()) << CHUNK_BITS;
    return s;
}

bool snapshot_save(const SnapshotTarget *target, Error **errp)
{
    Save *s = new_save(target, errp);

    if (!s) {
        return false;
    }
    coroutine_run(co_save, s);
    bool ok = !s->err;
    if (!ok) {
        error_propagate(errp, s->err);
    }
    free_save(s);
    return ok;
}

void snapshot_save_start(const SnapshotTarget *target, void (*done)(void *opaque, Error *err),
                         void *opaque)
{
    Error *err = NULL;
    Save *s = new_save(target, &err);

    if (!s) {
        done(opaque, err);
        return;
    }
    s->done = done;
    s->opaque = opaque;
    coroutine_enter(coroutine_create(co_save, s));
}

void snapshot_cancel(void)
{
    if (saving) {
        saving->ret = saving->ret < 0 ? saving->ret : -ECANCELED;
    }
}

void snapshot_finish(void)
{
    while (saving) {
        snapshot_cancel();
        loop_run_once(-1);
    }
    restore_stop();
}
