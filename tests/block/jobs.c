/*
 * Block jobs while a guest writes: a chain of small images in memory, a job (mirror, backup,
 * commit, stream), and beside it writes, zeroes, discards and flushes of a guest, pauses and
 * completions of the job. Every operation on the files stops before it takes place, and a scheduler
 * that follows a seed decides which goes on. Afterwards the disk shows the guest's writes in their
 * order, the job's target what the job promises, and every image is clean.
 *
 *     jobs [--schedules N] [--seed N]
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "block/driver.h"
#include "block/job.h"
#include "block/mem.h"
#include "block/util.h"
#include "tests/block/hold.h"
#include "tests/rng.h"
#include "util/loop.h"

enum { SECTORS = 96, WRITES = 12, WRITERS = 3, MAX_TURNS = 200000 };

/* ---- the scheduler ---- */

static void let_one_go(void)
{
    hold_release((unsigned)below(hold_pending));
}

/* What waits for the loop to turn, goes on as well. */
static bool go_on(void)
{
    if (!hold_pending) {
        return false;
    }
    let_one_go();
    return true;
}

/* ---- the guest: each writer has sectors of its own, so their order is known ---- */

static BlockBackend *drive;
static uint32_t model[SECTORS], moment[SECTORS];
static unsigned writes_left, writers;

typedef struct Write {
    uint8_t buf[SECTORS * 512];
    struct iovec iov;
    unsigned writer;
    int ret;
    bool done;
} Write;

static Write guest[WRITERS];

static void write_done(void *opaque, int ret)
{
    Write *w = opaque;

    w->ret = ret;
    w->done = true;
    writers--;
}

/* A few sectors in the writer's third of the disk. */
static void start_write(Write *w)
{
    unsigned own = SECTORS / WRITERS, at = below(own), n = 1 + below(MIN(own - at, 10));
    uint64_t first = w->writer * own + at;
    uint32_t value = (uint32_t)(rng() >> 33) | 1u << 30;

    writers++;
    writes_left--;
    w->done = false;
    if (below(8) == 0) {
        blk_flush(drive, write_done, w);
        return;
    }
    if (below(6) == 0) {
        value = 0;
    }
    for (unsigned i = 0; i < n * 128; i++) {
        memcpy(w->buf + 4 * i, &value, 4);
    }
    for (unsigned i = 0; i < n; i++) {
        model[first + i] = value;
    }
    w->iov = (struct iovec){w->buf, n * 512};
    blk_writev(drive, first * 512, &w->iov, 1, write_done, w);
}

/* ---- images ---- */

static const char *const names[] = {"mem:base", "mem:mid", "mem:top"};

static bool make_image(const char *name, const char *backing, const char *options)
{
    BlockOptions *o = blkopts_new();
    Error *err = NULL;

    bool ok = blkopts_parse(o, options, NULL, &err) &&
              bdrv_create("qcow2", name, SECTORS * 512, backing, backing ? "qcow2" : NULL, o, &err);
    blkopts_free(o);
    if (!ok) {
        printf("# %s\n", error_text(err));
        error_free(err);
    }
    return ok;
}

/* Some sectors of each layer hold data. */
static bool fill_layer(const char *name, unsigned layer)
{
    BlockOptions *o = blkopts_new();
    uint8_t buf[512];

    blkopts_set(o, "driver", "qcow2");
    BlockChild *root = bdrv_open_root(name, o, BDRV_O_RDWR, NULL);
    for (unsigned s = 0; root && s < SECTORS; s++) {
        if (below(3) == 0) {
            model[s] = below(5) ? layer << 16 | s : 0;
            for (unsigned i = 0; i < 128; i++) {
                memcpy(buf + 4 * i, &model[s], 4);
            }
            bdrv_pwrite(root, s * 512ull, 512, buf, 0);
        }
    }
    bdrv_root_detach(root);
    return root != NULL;
}

static bool shows(const char *name, const uint32_t *want, const char *what)
{
    BlockOptions *o = blkopts_new();
    BlockCheck check = {0};
    static uint8_t buf[SECTORS * 512];

    blkopts_set(o, "driver", "qcow2");
    BlockChild *root = bdrv_open_root(name, o, 0, NULL);
    bool ok = root && bdrv_pread(root, 0, sizeof(buf), buf) == 0;
    for (unsigned s = 0; ok && s < SECTORS; s++) {
        uint32_t a, b;
        memcpy(&a, buf + s * 512, 4);
        memcpy(&b, buf + s * 512 + 508, 4);
        if (a != want[s] || b != want[s]) {
            printf("# %s: sector %u of %s shows %#" PRIx32 "/%#" PRIx32 ", not %#" PRIx32 "\n",
                   what, s, name, a, b, want[s]);
            ok = false;
        }
    }
    if (ok && (bdrv_check(bdrv_child_node(root), &check, 0) < 0 || check.corruptions)) {
        printf("# %s: %s is damaged\n", what, name);
        ok = false;
    }
    bdrv_root_detach(root);
    return ok;
}

/* ---- a round ---- */

typedef enum Kind {
    MIRROR_FULL,
    MIRROR_TOP,
    MIRROR_BLOCKING,
    BACKUP_FULL,
    BACKUP_TOP,
    BACKUP_BITMAP,
    COMMIT_ACTIVE,
    COMMIT_DEEP,
    COMMIT_MIDDLE,
    STREAM_ALL,
    STREAM_PART,
    KINDS
} Kind;

static const char *const kind_names[] = {
    "mirror full",   "mirror top",    "mirror write-blocking",     "backup full",   "backup top",
    "backup bitmap", "commit active", "commit active, two layers", "commit middle", "stream all",
    "stream part"};

static int outcome; /* of the job: 0 none yet, 1 completed, 2 cancelled, 3 failed */

static void listen(BlockJob *job, JobEvent event, bool is_read, BlkErrorAction action)
{
    JobInfo info;

    job_info(job, &info);
    if (event == JOB_EVENT_COMPLETED || event == JOB_EVENT_CANCELLED) {
        outcome = event == JOB_EVENT_CANCELLED ? 2 : info.error ? 3 : 1;
        if (info.error) {
            printf("# the job: %s\n", info.error);
        }
    }
}

static BlockNode *open_target(const char *options)
{
    BlockOptions *o = blkopts_new();

    make_image("mem:target", NULL, options);
    blkopts_set(o, "driver", "qcow2");
    return bdrv_open("mem:target", o, BDRV_O_RDWR | BDRV_O_UNMAP, NULL);
}

static BlockJob *start_job(Kind kind, const char *options, Error **errp)
{
    BlockNode *top = blk_node(drive), *mid = bdrv_backing(top), *base = bdrv_backing(mid);
    const JobOptions job = {.id = "job"};
    MirrorOptions m = {.sync = kind == MIRROR_TOP ? SYNC_TOP : SYNC_FULL,
                       .write_blocking = kind == MIRROR_BLOCKING,
                       .granularity = 512u << below(4),
                       .target_is_zero = below(2),
                       .set_backing = true};
    BackupOptions b = {.sync = kind == BACKUP_FULL  ? SYNC_FULL
                               : kind == BACKUP_TOP ? SYNC_TOP
                                                    : SYNC_BITMAP,
                       .bitmap = "bits"};

    switch (kind) {
    case MIRROR_FULL:
    case MIRROR_TOP:
    case MIRROR_BLOCKING:
        return mirror_start(top, open_target(options), &m, &job, errp);
    case BACKUP_FULL:
    case BACKUP_TOP:
    case BACKUP_BITMAP:
        return backup_start(top, open_target(options), &b, &job, errp);
    case COMMIT_ACTIVE:
        return commit_active_start(top, mid, &job, errp);
    case COMMIT_DEEP:
        return commit_active_start(top, base, &job, errp);
    case COMMIT_MIDDLE:
        return commit_start(top, mid, base, NULL, &job, errp);
    default:
        return stream_start(top, kind == STREAM_PART ? base : NULL, NULL, &job, errp);
    }
}

/* Until the guest has written all it will and the job is over. */
static bool run_beside(Kind kind)
{
    for (unsigned turn = 0; turn < MAX_TURNS; turn++) {
        BlockJob *job = job_find("job");
        JobInfo info = {0};
        if (!job && !writes_left && !writers) {
            return true;
        }
        if (job) {
            job_info(job, &info);
        }
        unsigned i = below(WRITERS);
        if (writes_left && guest[i].done && below(4) == 0) {
            start_write(&guest[i]);
        }
        if (job && below(40) == 0) {
            if (info.paused) {
                job_resume(job, NULL);
            } else if (writes_left) {
                job_pause(job, NULL);
            }
        }
        if (job && !writes_left && info.paused) {
            job_resume(job, NULL);
        }
        if (job && info.ready && below(8) == 0) {
            job_complete(job, NULL);
        }
        loop_run_once(hold_pending || writes_left || info.ready ? 0 : 1);
        if (hold_pending && below(4)) {
            let_one_go();
        }
    }
    printf("# %s does not end\n", kind_names[kind]);
    return false;
}

/* Of a copy of the topmost layer, or of what a bitmap marks, the target with the layers below it
 * shows the disk. */
static bool judge_partial(Kind kind)
{
    BlockOptions *o = blkopts_new();
    Error *err = NULL;

    blkopts_set(o, "driver", "qcow2");
    BlockChild *root = bdrv_open_root("mem:target", o, BDRV_O_RDWR, &err);
    bool ok = root && bdrv_change_backing_file(bdrv_child_node(root),
                                               kind == BACKUP_BITMAP ? "mem:before" : "mem:mid",
                                               "qcow2") == 0;
    bdrv_root_detach(root);
    return ok && shows("mem:target", kind == MIRROR_TOP ? model : moment, kind_names[kind]);
}

static bool judge(Kind kind)
{
    switch (kind) {
    case MIRROR_FULL:
    case MIRROR_BLOCKING:
        return shows("mem:target", model, kind_names[kind]);
    case MIRROR_TOP:
        return judge_partial(kind);
    case BACKUP_TOP:
    case BACKUP_BITMAP:
        return judge_partial(kind) && shows("mem:top", model, kind_names[kind]);
    case BACKUP_FULL:
        return shows("mem:target", moment, kind_names[kind]) &&
               shows("mem:top", model, kind_names[kind]);
    case COMMIT_ACTIVE:
        return shows("mem:mid", model, kind_names[kind]);
    case COMMIT_DEEP:
        return shows("mem:base", model, kind_names[kind]);
    default:
        return shows("mem:top", model, kind_names[kind]);
    }
}

/* What the disk shows, as an image of its own; then a bitmap, and writes that it marks. */
static bool prepare_bitmap(void)
{
    static uint8_t buf[SECTORS * 512];
    BlockOptions *o = blkopts_new();

    make_image("mem:before", NULL, "cluster_size=4k");
    blkopts_set(o, "driver", "qcow2");
    BlockChild *before = bdrv_open_root("mem:before", o, BDRV_O_RDWR, NULL);
    bool ok = before && blk_pread(drive, 0, buf, sizeof(buf)) == 0 &&
              bdrv_pwrite(before, 0, sizeof(buf), buf, 0) == 0;
    bdrv_root_detach(before);
    ok = ok && dirty_new(blk_node(drive), "bits", 512u << below(5), NULL);
    for (unsigned i = 0; ok && i < 3; i++) {
        Write *w = &guest[0];
        writes_left++;
        start_write(w);
        blk_drain(drive);
        ok = w->ret == 0;
    }
    return ok;
}

static bool run_round(Kind kind, const char *options)
{
    Error *err = NULL;
    bool ok = true;

    memset(model, 0, sizeof(model));
    for (unsigned i = 0; ok && i < ARRAY_SIZE(names); i++) {
        ok = make_image(names[i], i ? names[i - 1] : NULL, options) && fill_layer(names[i], i + 1);
    }
    const BlkOpenOptions open = {.file = "mem:top", .format = "qcow2", .flags = BDRV_O_UNMAP};
    drive = ok ? blk_open("disk", &open, &err) : NULL;
    for (unsigned i = 0; i < WRITERS; i++) {
        guest[i].writer = i;
        guest[i].done = true;
        guest[i].ret = 0;
    }
    writes_left = 0;
    if (drive && kind == BACKUP_BITMAP && !prepare_bitmap()) {
        return false;
    }
    /* Some writes are under way when the job begins. Its moment is behind them. */
    writes_left = WRITES;
    outcome = 0;
    hold_enabled = false;
    BlockJob *job = NULL;
    if (drive) {
        memcpy(moment, model, sizeof(moment));
        job = start_job(kind, options, &err);
    }
    hold_enabled = true;
    ok = job && run_beside(kind);
    hold_enabled = false;
    if (err) {
        printf("# %s: %s\n", kind_names[kind], error_text(err));
        error_free(err);
    }
    for (unsigned i = 0; ok && i < WRITERS; i++) {
        ok = guest[i].ret == 0;
    }
    if (ok && outcome != 1) {
        printf("# %s: outcome %d\n", kind_names[kind], outcome);
        ok = false;
    }
    if (drive) {
        blk_close(drive);
    }
    return ok && judge(kind);
}

int main(int argc, char **argv)
{
    static const char *const variants[] = {"cluster_size=512", "cluster_size=2k",
                                           "cluster_size=4k"};
    uint64_t schedules = 2000, seed = 1;
    static const char *const disks[] = {"base", "mid", "top", "target", "before"};

    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--schedules")) {
            schedules = strtoull(argv[i + 1], NULL, 10);
        } else if (!strcmp(argv[i], "--seed")) {
            seed = strtoull(argv[i + 1], NULL, 10);
        }
    }
    loop_init();
    machine_lock();
    job_set_listener(listen);
    loop_set_idle(go_on);
    for (size_t i = 0; i < ARRAY_SIZE(disks); i++) {
        mem_disk_new(disks[i], NULL, 0)->hook = hold;
    }
    for (uint64_t round = 0; round < schedules; round++) {
        Kind kind = (Kind)(round % KINDS);
        const char *options = variants[round / KINDS % ARRAY_SIZE(variants)];
        rng_state = seed * 1000003 + round + 1;
        if (!run_round(kind, options)) {
            printf("# round %" PRIu64 " (%s, %s), seed %" PRIu64 "\nnot ok - jobs: after %" PRIu64
                   " schedules\n",
                   round, kind_names[kind], options, seed, round);
            return 1;
        }
    }
    printf("ok - jobs: %" PRIu64 " schedules of %u kinds\n", schedules, KINDS);
    return 0;
}
