/*
 * Crash test of qcow2: a random workload (writes, zeroes, discards, flushes, snapshots, resizes)
 * runs on an image in memory whose every write is logged. Then the power is cut at many places: of
 * the writes since the last flush any may be missing, and the last one torn at a sector. After each
 * cut the image is opened, its check must find leaks at most, and all that was flushed must read
 * back; what was written since may be there or not, sector by sector, but nothing else.
 *
 *     crash [--seed N] [--points N] [--faults N] [--dump DIR [--every N]]
 *
 * --faults runs as many workloads while writes and flushes fail now and then: the image must stay
 * whole.
 * --dump writes each failing image, and one in a hundred (in --every) others, so that another tool
 * can look at them (tests/block/judge).
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
#include "block/mem.h"
#include "block/util.h"

enum { DISK = 1 << 20, SECTORS = 3 << 10, OPS = 60, MAX_LOG = 4096, VERSIONS = 64 };

/* ---- chance ---- */

static uint64_t rng_state = 1;

static uint64_t rng(void)
{
    rng_state ^= rng_state >> 12;
    rng_state ^= rng_state << 25;
    rng_state ^= rng_state >> 27;
    return rng_state * 0x2545f4914f6cdd1dull;
}

static unsigned below(unsigned n)
{
    return (unsigned)((rng() >> 32) % n);
}

/* ---- the log of the file ---- */

typedef struct LogEntry {
    MemOp op;
    uint64_t offset, bytes;
    uint8_t *data;
} LogEntry;

static LogEntry log_entries[MAX_LOG];
static unsigned log_count;
static uint8_t *base;
static uint64_t base_size;

/* ---- the model of the disk: all values a sector may have ---- */

/*
 * The guest's operations in order. A sector is described by one number (its contents are that
 * number over and over; 0: zeroes). durable: the operation was complete before a flush that was
 * complete at log position `at`.
 */
typedef struct GuestOp {
    enum { G_WRITE, G_ZERO, G_DISCARD, G_FLUSH, G_RESIZE, G_SNAPSHOT, G_GOTO, G_DELETE } kind;
    uint64_t sector, count, stamp;
    unsigned log_start, log_end; /* of the log when it began and when it was complete */
    uint32_t *state;             /* G_GOTO: the disk afterwards */
    uint64_t size;
} GuestOp;

static GuestOp ops[OPS];
static unsigned op_count;

static unsigned fault_rate; /* one in so many writes and flushes fails; 0: none */

static int record(MemDisk *disk, MemOp op, uint64_t offset, uint64_t bytes, const void *data,
                  void *opaque)
{
    if (op == MEM_READ || log_count == MAX_LOG) {
        return op == MEM_READ ? 0 : -EIO;
    }
    if (fault_rate && below(fault_rate) == 0) {
        return below(2) ? -EIO : -ENOSPC;
    }
    LogEntry *e = &log_entries[log_count++];
    *e = (LogEntry){.op = op, .offset = offset, .bytes = bytes};
    if (data) {
        e->data = malloc(bytes);
        memcpy(e->data, data, bytes);
    }
    return 0;
}

/* ---- replay ---- */

static uint8_t *image;
static uint64_t image_size;
enum { IMAGE_ROOM = 64 << 20 };

static void apply(const LogEntry *e, uint64_t from, uint64_t to)
{
    switch (e->op) {
    case MEM_WRITE:
    case MEM_ZERO:
        if (e->offset + to > image_size) {
            memset(image + image_size, 0, e->offset + to - image_size);
            image_size = e->offset + to;
        }
        if (e->op == MEM_WRITE) {
            memcpy(image + e->offset + from, e->data + from, to - from);
        } else {
            memset(image + e->offset + from, 0, to - from);
        }
        break;
    case MEM_DISCARD:
        if (e->offset < image_size) {
            memset(image + e->offset, 0xdb, MIN(e->bytes, image_size - e->offset));
        }
        break;
    case MEM_TRUNCATE:
        if (e->offset > image_size) {
            memset(image + image_size, 0, e->offset - image_size);
        }
        image_size = e->offset;
        break;
    default:
        break;
    }
}

/* All up to the last flush before `cut`; of the rest, some. mode 0: all, 1: none, else by chance.
 */
static unsigned replay(unsigned cut, unsigned mode)
{
    unsigned flushed = 0;

    memcpy(image, base, base_size);
    image_size = base_size;
    for (unsigned i = 0; i < cut; i++) {
        flushed = log_entries[i].op == MEM_FLUSH ? i + 1 : flushed;
    }
    for (unsigned i = 0; i < cut; i++) {
        const LogEntry *e = &log_entries[i];
        if (i >= flushed && (mode == 1 || (mode > 1 && below(3) == 0))) {
            continue;
        }
        uint64_t to = e->bytes, from = 0;
        if (i >= flushed && mode > 1 && e->op == MEM_WRITE && below(4) == 0) {
            /* Torn between two sectors of the host's disk. */
            uint64_t first = ROUND_UP(e->offset + 1, 512) - e->offset;
            if (first < e->bytes) {
                uint64_t at = first + below((unsigned)((e->bytes - first) / 512 + 1)) * 512;
                at = MIN(at, e->bytes);
                if (below(2)) {
                    to = at;
                } else {
                    from = at;
                }
            }
        }
        apply(e, from, to);
    }
    return flushed;
}

/* ---- the workload ---- */

static BlockChild *root;
static uint32_t now[SECTORS]; /* the model's disk */
static uint64_t now_size;
static uint32_t *snapshot_state[8];
static uint64_t snapshot_size[8];
static char snapshot_name[8][8];

static void fill(uint8_t *buf, uint64_t sectors, uint32_t value)
{
    for (uint64_t i = 0; i < sectors * 128; i++) {
        memcpy(buf + 4 * i, &value, 4);
    }
}

static void pick(uint64_t *sector, uint64_t *count)
{
    uint64_t all = now_size / 512;

    *sector = below((unsigned)all);
    *count = 1 + below(below(4) ? 40 : 600);
    if (below(3) == 0) { /* whole clusters more often */
        *sector = *sector / 128 * 128;
        *count = ROUND_UP(*count, 128);
    }
    *count = MIN(*count, all - *sector);
}

static int step_data(GuestOp *op)
{
    static uint8_t buf[SECTORS * 512];
    static uint32_t value = 1;

    pick(&op->sector, &op->count);
    uint64_t offset = op->sector * 512, bytes = op->count * 512;
    if (op->kind == G_WRITE) {
        op->stamp = ++value;
        fill(buf, op->count, value);
        bool whole = !(offset % 65536) && !(bytes % 65536) && below(3) == 0;
        return bdrv_pwrite(root, offset, bytes, buf, whole ? BDRV_REQ_COMPRESSED : 0);
    }
    op->stamp = 0;
    return op->kind == G_ZERO
               ? bdrv_pwrite_zeroes(root, offset, bytes, below(2) ? BDRV_REQ_MAY_UNMAP : 0)
               : bdrv_pdiscard(root, offset, bytes);
}

static int snapshot_slot(bool used)
{
    for (unsigned tries = 0; tries < 20; tries++) {
        unsigned i = below(8);
        if ((snapshot_state[i] != NULL) == used) {
            return (int)i;
        }
    }
    return -1;
}

static bool quiet;
static uint32_t snapshot_vmstate[8]; /* bytes of machine state; its pattern is made of the same number */

static void fill_vmstate(uint8_t *buf, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        buf[i] = (uint8_t)(i * 7 + i / 251 + bytes);
    }
}

/*
 * As savevm does: the disk is kept now, machine state is written behind its end, at last the snapshot is listed, in place of one of
 * that name; or all of it is given up. True where the snapshot is there.
 */
static bool machine_snapshot(BlockNode *node, BlockSnapshot *sn, bool give_up, bool *listed, Error **err)
{
    static uint8_t state[300000];
    uint32_t bytes = 1 + below(sizeof(state) - 1);

    *listed = false;
    sn->pending = true;
    if (!bdrv_snapshot_create(node, sn, err)) {
        return false;
    }
    fill_vmstate(state, bytes);
    int ret = 0;
    for (uint32_t at = 0, n; at < bytes && ret == 0; at += n) {
        n = MIN(1 + below(100000), bytes - at);
        ret = bdrv_save_vmstate(node, at, state + at, n);
    }
    sn->vm_state_size = bytes;
    if (ret == 0 && !give_up && bdrv_snapshot_finish(node, sn, err)) {
        *listed = true;
        return true;
    }
    Error *ignored = NULL;
    bool gone = bdrv_snapshot_abandon(node, sn->id, give_up && ret == 0 ? err : &ignored);
    error_free(ignored);
    if (ret < 0) {
        error_set_errno(err, -ret, "writing machine state");
    }
    return ret == 0 && give_up && gone;
}

static bool vmstate_is_there(BlockNode *node, uint32_t bytes)
{
    static uint8_t got[300000], want[300000];

    fill_vmstate(want, bytes);
    return bdrv_load_vmstate(node, 0, got, bytes) == 0 && memcmp(got, want, bytes) == 0;
}

static bool step_snapshot(GuestOp *op)
{
    BlockNode *node = bdrv_child_node(root);
    BlockSnapshot sn = {.icount = UINT64_MAX};
    int i = snapshot_slot(op->kind != G_SNAPSHOT);
    Error *err = NULL;
    bool ok = true;

    if (i < 0) {
        op->kind = G_FLUSH;
        return bdrv_flush(node) == 0;
    }
    if (op->kind == G_SNAPSHOT) {
        snprintf(sn.name, sizeof(sn.name), "s%d", i);
        bool listed = true;
        if (below(2)) {
            int used = below(3) ? -1 : snapshot_slot(true);
            i = used < 0 ? i : used; /* one that gives way */
            snprintf(sn.name, sizeof(sn.name), "s%d", i);
            ok = machine_snapshot(node, &sn, below(4) == 0, &listed, &err);
        } else {
            ok = bdrv_snapshot_create(node, &sn, &err);
        }
        if (listed) {
            strcpy(snapshot_name[i], sn.name);
            free(snapshot_state[i]);
            snapshot_state[i] = malloc(sizeof(now));
            memcpy(snapshot_state[i], now, sizeof(now));
            snapshot_size[i] = now_size;
            snapshot_vmstate[i] = (uint32_t)sn.vm_state_size;
        }
    } else if (op->kind == G_GOTO) {
        ok = bdrv_snapshot_goto(node, snapshot_name[i], &err);
        memcpy(now, snapshot_state[i], sizeof(now));
        now_size = snapshot_size[i];
        if (ok && snapshot_vmstate[i] && !quiet && !vmstate_is_there(node, snapshot_vmstate[i])) {
            printf("# the machine state of snapshot %s is another\n", snapshot_name[i]);
            return false;
        }
        op->state = malloc(sizeof(now));
        memcpy(op->state, now, sizeof(now));
    } else {
        ok = bdrv_snapshot_delete(node, snapshot_name[i], &err);
        free(snapshot_state[i]);
        snapshot_state[i] = NULL;
    }
    if (!ok) {
        if (!quiet) {
            printf("# %s\n", error_text(err));
        }
        error_free(err);
    }
    return ok;
}

static bool version_2;

static bool step(GuestOp *op)
{
    static const uint8_t chances[] = {G_WRITE,    G_WRITE,   G_WRITE,  G_WRITE, G_WRITE,
                                      G_ZERO,     G_DISCARD, G_FLUSH,  G_FLUSH, G_FLUSH,
                                      G_SNAPSHOT, G_GOTO,    G_DELETE, G_RESIZE};
    int ret = 0;

    *op = (GuestOp){.kind = chances[below(sizeof(chances))], .log_start = log_count};
    if (op->kind == G_RESIZE && version_2) {
        op->kind = G_FLUSH; /* refused once there are snapshots */
    }
    if (op->kind <= G_DISCARD) {
        ret = step_data(op);
        /* A discard gives zeroes where it has whole clusters, else leaves things as they are: both
         * are allowed for it. */
        for (uint64_t i = 0; i < op->count && op->kind != G_DISCARD; i++) {
            now[op->sector + i] = (uint32_t)op->stamp;
        }
    } else if (op->kind == G_FLUSH) {
        ret = bdrv_flush(bdrv_child_node(root));
    } else if (op->kind == G_RESIZE) {
        uint64_t size = (SECTORS / 4 + below(SECTORS * 3 / 4)) * 512ull, old = now_size;
        ret = bdrv_truncate(root, size, true, PREALLOC_OFF, NULL) ? 0 : -EIO;
        for (uint64_t i = MIN(size, old) / 512; i < SECTORS; i++) {
            now[i] = 0;
        }
        now_size = size;
    } else if (!step_snapshot(op)) {
        ret = -EIO;
    }
    op->size = now_size;
    op->log_end = log_count;
    if (ret < 0) {
        if (!quiet) {
            printf("# operation %d failed: %s\n", op->kind, strerror(-ret));
        }
        return false;
    }
    if (op->kind == G_DISCARD) { /* what it left is what counts from now on */
        static uint8_t buf[SECTORS * 512];
        if (bdrv_pread(root, op->sector * 512, op->count * 512, buf) < 0) {
            return false;
        }
        for (uint64_t i = 0; i < op->count; i++) {
            uint32_t v;
            memcpy(&v, buf + i * 512, 4);
            if (v != 0 && v != now[op->sector + i] && !quiet) {
                printf("# a discard left %" PRIu32 " in sector %" PRIu64 "\n", v, op->sector + i);
                return false;
            }
            now[op->sector + i] = v;
        }
        op->state = malloc(sizeof(now));
        memcpy(op->state, now, sizeof(now));
    }
    return true;
}

/* ---- judging ---- */

/* Values that a sector may show after a cut: bit i of allowed: after operation i - 1 (0: at the
 * beginning). */
static bool sector_ok(uint64_t sector, uint32_t value, const uint32_t *const *states,
                      unsigned first, unsigned last)
{
    for (unsigned i = first; i <= last; i++) {
        if (states[i][sector] == value) {
            return true;
        }
    }
    return false;
}

static uint32_t history[OPS + 1][SECTORS];

static BlockChild *open_disk(const char *name, bool writable)
{
    Error *err = NULL;
    BlockOptions *o = blkopts_new();

    blkopts_set(o, "driver", "qcow2");
    blkopts_set(o, "discard", "unmap");
    BlockChild *c = bdrv_open_root(name, o, writable ? BDRV_O_RDWR | BDRV_O_UNMAP : 0, &err);
    if (!c) {
        printf("# open: %s\n", error_text(err));
        error_free(err);
    }
    return c;
}

static unsigned finding_count;

static void finding(void *opaque, const char *line)
{
    if (finding_count++ < 3 && strncmp(line, "Leaked", 6) != 0) {
        printf("# check: %s\n", line);
    }
}

static bool judge(MemDisk *disk, unsigned cut, unsigned flushed)
{
    static uint8_t buf[SECTORS * 512];
    BlockCheck check = {.report = finding};
    unsigned first = 0, last = 0;

    mem_disk_set(disk, image, image_size);
    BlockChild *c = open_disk("mem:replay", false);
    if (!c) {
        return false;
    }
    finding_count = 0;
    int ret = bdrv_check(bdrv_child_node(c), &check, 0);
    bool ok = ret == 0 && !check.corruptions && !check.check_errors;
    if (!ok) {
        printf("# check: %d, %" PRIu64 " errors\n", ret, check.corruptions);
    }
    /* Everything complete before a guest's flush that was complete at the last file flush; at most
     * what had begun. */
    for (unsigned i = 0; i < op_count; i++) {
        bool settles = ops[i].kind == G_FLUSH || ops[i].kind >= G_RESIZE;
        if (settles && ops[i].log_end <= flushed) {
            first = i + 1;
        }
        if (ops[i].log_start < cut || ops[i].log_end <= cut) {
            last = i + 1;
        }
    }
    uint64_t size = bdrv_size(bdrv_child_node(c));
    ret = bdrv_pread(c, 0, size, buf);
    ok = ok && ret == 0 && size <= sizeof(buf);
    const uint32_t *states[OPS + 1];
    for (unsigned i = 0; i <= OPS; i++) {
        states[i] = history[i];
    }
    for (uint64_t s = 0; ok && s < size / 512; s++) {
        uint32_t v, w;
        memcpy(&v, buf + s * 512, 4);
        memcpy(&w, buf + s * 512 + 508, 4);
        if (v != w || !sector_ok(s, v, states, first, MAX(first, last))) {
            for (unsigned i = first ? first - 1 : 0; i < op_count && i <= last; i++) {
                printf("# operation %u: kind %d, sectors %" PRIu64 "+%" PRIu64 ", value %" PRIu64
                       ", size %" PRIu64 ", log %u to %u\n",
                       i, ops[i].kind, ops[i].sector, ops[i].count, ops[i].stamp, ops[i].size,
                       ops[i].log_start, ops[i].log_end);
            }
            printf("# sector %" PRIu64 " shows %" PRIu32 "/%" PRIu32
                   "; operations %u to %u, last has %" PRIu32 "\n",
                   s, v, w, first, last, history[last][s]);
            ok = false;
        }
    }
    bdrv_root_detach(c);
    return ok;
}

static void dump(const char *dir, unsigned number)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/crash-%u.qcow2", dir, number);
    FILE *f = fopen(path, "wb");
    if (f) {
        fwrite(image, 1, image_size, f);
        fclose(f);
    }
}

/* ---- one round ---- */

static const char *const variants[] = {
    "",
    "cluster_size=4k",
    "cluster_size=512",
    "extended_l2=on,cluster_size=16k",
    "compat=0.10",
    "refcount_bits=64,cluster_size=1k",
    "cluster_size=2k",
};

static bool make_image(MemDisk *disk, unsigned variant)
{
    BlockOptions *o = blkopts_new();
    Error *err = NULL;
    version_2 = strstr(variants[variant], "0.10");
    bool ok = (!*variants[variant] || blkopts_parse(o, variants[variant], NULL, &err)) &&
              bdrv_create("qcow2", "mem:work", DISK, NULL, NULL, o, &err);

    blkopts_free(o);
    if (!ok) {
        printf("# create: %s\n", error_text(err));
    }
    base_size = disk->size;
    memcpy(base, disk->data, base_size);
    return ok;
}

static bool run_workload(MemDisk *disk)
{
    bool ok = true;

    memset(now, 0, sizeof(now));
    memset(history, 0, sizeof(history));
    now_size = DISK;
    log_count = op_count = 0;
    disk->hook = record;
    root = open_disk("mem:work", true);
    for (unsigned i = 0; root && ok && i < OPS && log_count < MAX_LOG - 1500; i++) {
        ok = step(&ops[i]);
        op_count = i + 1;
        memcpy(history[i + 1], now, sizeof(now));
    }
    bdrv_root_detach(root);
    disk->hook = NULL;
    for (unsigned i = 0; i < 8; i++) {
        free(snapshot_state[i]);
        snapshot_state[i] = NULL;
    }
    return ok && root;
}

/* The same workload while writes and flushes fail: requests may fail, the image stays whole. */
static bool run_faults(MemDisk *disk)
{
    BlockCheck check = {.report = finding};

    memset(now, 0, sizeof(now));
    now_size = DISK;
    log_count = op_count = 0;
    disk->hook = record;
    fault_rate = 10 + below(60);
    root = open_disk("mem:work", true);
    for (unsigned i = 0; root && i < OPS && log_count < MAX_LOG - 1500; i++) {
        GuestOp *op = &ops[0];
        step(op);
        now_size = bdrv_size(bdrv_child_node(root)); /* who knows how far a failed one came */
        free(op->state);
        op->state = NULL;
    }
    bdrv_root_detach(root);
    fault_rate = 0;
    disk->hook = NULL;
    for (unsigned i = 0; i < 8; i++) {
        free(snapshot_state[i]);
        snapshot_state[i] = NULL;
    }
    finding_count = 0;
    BlockChild *c = open_disk("mem:work", false);
    int ret = c ? bdrv_check(bdrv_child_node(c), &check, 0) : -1;
    bdrv_root_detach(c);
    return ret == 0 && !check.corruptions && !check.check_errors;
}

static void forget_round(void)
{
    for (unsigned i = 0; i < log_count; i++) {
        free(log_entries[i].data);
    }
    for (unsigned i = 0; i < op_count; i++) {
        free(ops[i].state);
    }
}

int main(int argc, char **argv)
{
    unsigned points = 2000, done = 0, failed = 0, faults = 0, every = 100;
    const char *dir = NULL;
    uint64_t seed = 1;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--seed")) {
            seed = strtoull(argv[i + 1], NULL, 10);
        } else if (!strcmp(argv[i], "--points")) {
            points = (unsigned)strtoul(argv[i + 1], NULL, 10);
        } else if (!strcmp(argv[i], "--faults")) {
            faults = (unsigned)strtoul(argv[i + 1], NULL, 10);
        } else if (!strcmp(argv[i], "--every")) {
            every = MAX((unsigned)strtoul(argv[i + 1], NULL, 10), 1);
        } else if (!strcmp(argv[i], "--dump")) {
            dir = argv[i + 1];
        }
    }
    loop_init();
    machine_lock();
    base = malloc(IMAGE_ROOM);
    image = malloc(IMAGE_ROOM);
    MemDisk *work = mem_disk_new("work", NULL, 0), *replayed = mem_disk_new("replay", NULL, 0);
    for (unsigned round = 0; round < faults && failed < 10; round++) {
        rng_state = seed * 2000003 + round + 1;
        quiet = true;
        if (!make_image(work, round % (sizeof(variants) / sizeof(variants[0]))) ||
            !run_faults(work)) {
            printf("# faults, round %u (%s)\n", round, variants[round % 7]);
            failed++;
        }
        quiet = false;
        forget_round();
    }
    for (unsigned round = 0; done < points && failed < 10; round++) {
        rng_state = seed * 1000003 + round + 1;
        if (!make_image(work, round % (sizeof(variants) / sizeof(variants[0]))) ||
            !run_workload(work)) {
            printf("# round %u: the workload failed\n", round);
            failed++;
        }
        for (unsigned i = 0; i < 200 && done < points && failed < 10; i++, done++) {
            unsigned cut = below(log_count + 1), mode = below(5);
            unsigned flushed = replay(cut, mode);
            bool ok = judge(replayed, cut, flushed);
            if (!ok) {
                printf("# round %u (%s), cut %u of %u, mode %u, point %u\n", round,
                       variants[round % 7], cut, log_count, mode, done);
                failed++;
            }
            if (dir && (!ok || done % every == 0)) {
                dump(dir, done);
            }
        }
        forget_round();
    }
    mem_disk_free(work);
    mem_disk_free(replayed);
    printf("%sok - crash: %u points, %u failed\n", failed ? "not " : "", done, failed);
    return failed != 0;
}
