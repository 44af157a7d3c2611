/*
 * Crash test of image formats: a random workload (writes, zeroes, discards, flushes; snapshots and
 * resizes where the format has them) runs on an image in memory whose every write is logged. Then
 * the power is cut at many places: of the writes since the last flush any may be missing, and the
 * last one torn at a sector. After each cut the image is opened, its check must find leaks at most,
 * and all that was flushed must read back; what was written since may be there or not, sector by
 * sector, but nothing else. Some of the images are then repaired, written to and looked at again.
 *
 *     crash [--format NAME] [--seed N] [--points N] [--faults N] [--dump DIR [--every N]]
 *
 * --faults runs as many workloads while writes and flushes fail now and then: the image must stay
 * whole.
 * --dump writes each failing image, and one in a hundred (in --every) others, with what it shows
 * (crash-N.raw), so that another tool can look at them (tests/block/judge).
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
#include "tests/block/powercut.h"
#include "tests/rng.h"

enum { MAX_SECTORS = 20 << 10, OPS = 60, POINTS = 50 /* of a workload */ };

/* ---- the formats ---- */

typedef struct Format {
    const char *name;
    const char *variants[8]; /* options of `create`; NULL ends them */
    uint64_t disk;           /* bytes, of a new image */
    unsigned sectors;        /* how large it may become */
    unsigned unit;           /* sectors of a cluster, roughly: writes like to take whole ones */
    unsigned most;           /* sectors that a write takes */
    bool snapshots, resizes, packs;
    bool checks, repairs;  /* has a check; it repairs */
    bool needs_writing;    /* an image that was not closed has to be opened for writing */
    const char *tolerated; /* in a line of the check that says what such an image is like */
} Format;

static const Format formats[] = {
    {
        .name = "qcow2",
        .variants = {"", "cluster_size=4k", "cluster_size=512", "extended_l2=on,cluster_size=16k",
                     "compat=0.10", "refcount_bits=64,cluster_size=1k", "cluster_size=2k"},
        .disk = 1 << 20,
        .sectors = 3 << 10,
        .unit = 128,
        .most = 600,
        .snapshots = true,
        .resizes = true,
        .packs = true,
        .checks = true,
        .repairs = true,
    },
    {
        .name = "qcow",
        .variants = {""},
        .disk = 5 << 20, /* more than one L2 table */
        .sectors = 10 << 10,
        .unit = 8,
        .most = 600,
        .packs = true,
    },
    {
        .name = "vdi",
        .variants = {"", "static=on"},
        .disk = 7 << 20,
        .sectors = 14 << 10,
        .unit = 2048,
        .most = 3000,
        .checks = true,
        .repairs = true,
    },
    {
        .name = "vpc",
        .variants = {"force_size=on", "subformat=fixed,force_size=on"},
        .disk = 10 << 20,
        .sectors = 20 << 10,
        .unit = 4096,
        .most = 3000,
    },
    {
        .name = "vhdx",
        .variants = {"block_size=1M", "block_size=2M,block_state_zero=off", "subformat=fixed"},
        .disk = 7 << 20,
        .sectors = 14 << 10,
        .unit = 2048,
        .most = 3000,
        .checks = true,
        .needs_writing = true,
    },
    {
        .name = "vmdk",
        .variants = {"", "zeroed_grain=on", "subformat=streamOptimized"},
        .disk = 8 << 20,
        .sectors = 16 << 10,
        .unit = 128,
        .most = 600,
        .checks = true,
    },
    {
        .name = "parallels",
        .variants = {"cluster_size=4k", "cluster_size=64k", ""},
        .disk = 6 << 20,
        .sectors = 12 << 10,
        .unit = 128,
        .most = 1000,
        .checks = true,
        .repairs = true,
        .tolerated = "image was not closed correctly",
    },
    {
        .name = "bochs",
        .variants = {""},
        .disk = 2 << 20,
        .sectors = 4 << 10,
        .unit = 8,
        .most = 60,
        .resizes = true,
        .checks = true,
    },
};

static const Format *format = &formats[0];
static unsigned variant_count;

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
    uint64_t size;
} GuestOp;

static GuestOp ops[OPS];
static unsigned op_count;

/* ---- the workload ---- */

static BlockChild *root;
static uint32_t now[MAX_SECTORS]; /* the model's disk */
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

    *sector = below(all);
    *count = 1 + below(below(4) ? 40 : format->most);
    if (below(3) == 0) { /* whole clusters more often */
        *sector = *sector / format->unit * format->unit;
        *count = ROUND_UP(*count, (uint64_t)format->unit);
    }
    *count = MIN(*count, all - *sector);
}

static int step_data(GuestOp *op)
{
    static uint8_t buf[MAX_SECTORS * 512];
    static uint32_t value = 1;

    pick(&op->sector, &op->count);
    uint64_t offset = op->sector * 512, bytes = op->count * 512;
    if (op->kind == G_WRITE) {
        op->stamp = ++value;
        fill(buf, op->count, value);
        bool packed = format->packs && !(offset % 65536) && !(bytes % 65536) && below(3) == 0;
        return bdrv_pwrite(root, offset, bytes, buf, packed ? BDRV_REQ_COMPRESSED : 0);
    }
    op->stamp = 0;
    return op->kind == G_ZERO
               ? bdrv_pwrite_zeroes(root, offset, bytes, below(2) ? BDRV_REQ_MAY_UNMAP : 0)
               : bdrv_pdiscard(root, offset, bytes);
}

static int snapshot_slot(bool used)
{
    for (unsigned tries = 0; tries < 20; tries++) {
        unsigned i = (unsigned)below(8);
        if ((snapshot_state[i] != NULL) == used) {
            return (int)i;
        }
    }
    return -1;
}

static bool quiet;
static uint32_t
    snapshot_vmstate[8]; /* bytes of machine state; its pattern is made of the same number */

static void fill_vmstate(uint8_t *buf, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        buf[i] = (uint8_t)(i * 7 + i / 251 + bytes);
    }
}

/*
 * As savevm does: the disk is kept now, machine state is written behind its end, at last the
 * snapshot is listed, in place of one of that name; or all of it is given up. True where the
 * snapshot is there.
 */
static bool machine_snapshot(BlockNode *node, BlockSnapshot *sn, bool give_up, bool *listed,
                             Error **err)
{
    static uint8_t state[300000];
    uint32_t bytes = 1 + (uint32_t)below(sizeof(state) - 1);

    *listed = false;
    sn->pending = true;
    if (!bdrv_snapshot_create(node, sn, err)) {
        return false;
    }
    fill_vmstate(state, bytes);
    int ret = 0;
    for (uint32_t at = 0, n; at < bytes && ret == 0; at += n) {
        n = MIN(1 + (uint32_t)below(100000), bytes - at);
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

/* What the format does not have becomes a flush. */
static int possible(int kind)
{
    bool is_snapshot = kind == G_SNAPSHOT || kind == G_GOTO || kind == G_DELETE;

    if ((is_snapshot && !format->snapshots) || (kind == G_RESIZE && !format->resizes)) {
        return G_FLUSH;
    }
    return kind == G_RESIZE && version_2 ? G_FLUSH : kind; /* refused once there are snapshots */
}

static bool step(GuestOp *op)
{
    static const uint8_t chances[] = {G_WRITE,    G_WRITE,   G_WRITE,  G_WRITE, G_WRITE,
                                      G_ZERO,     G_DISCARD, G_FLUSH,  G_FLUSH, G_FLUSH,
                                      G_SNAPSHOT, G_GOTO,    G_DELETE, G_RESIZE};
    int ret = 0;

    *op = (GuestOp){.kind = possible(chances[below(sizeof(chances))]), .log_start = powercut_log};
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
        unsigned most = format->sectors;
        uint64_t size = (most / 4 + below(most * 3 / 4)) * 512ull, old = now_size;
        ret = bdrv_truncate(root, size, true, PREALLOC_OFF, NULL) ? 0 : -EIO;
        for (uint64_t i = MIN(size, old) / 512; i < MAX_SECTORS; i++) {
            now[i] = 0;
        }
        now_size = size;
    } else if (!step_snapshot(op)) {
        ret = -EIO;
    }
    op->size = now_size;
    op->log_end = powercut_log;
    if (ret < 0) {
        if (!quiet) {
            printf("# operation %d failed: %s\n", op->kind, strerror(-ret));
        }
        return false;
    }
    if (op->kind == G_DISCARD) { /* what it left is what counts from now on */
        static uint8_t buf[MAX_SECTORS * 512];
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
    }
    return true;
}

/* ---- judging ---- */

static uint32_t history[OPS + 1][MAX_SECTORS];

/* history[0]: at the beginning; history[i]: after operation i - 1. */
static bool sector_ok(uint64_t sector, uint32_t value, unsigned first, unsigned last)
{
    for (unsigned i = first; i <= last; i++) {
        if (history[i][sector] == value) {
            return true;
        }
    }
    return false;
}

static BlockChild *open_disk(const char *name, unsigned flags)
{
    Error *err = NULL;
    BlockOptions *o = blkopts_new();

    blkopts_set(o, "driver", format->name);
    blkopts_set(o, "discard", "unmap");
    if (!strcmp(format->name, "vpc")) {
        blkopts_set(o, "force_size_calc", "current_size");
    }
    BlockChild *c = bdrv_open_root(name, o, flags, &err);
    if (!c) {
        printf("# open: %s\n", error_text(err));
        error_free(err);
    }
    return c;
}

static unsigned told;    /* lines of the check that were printed */
static unsigned excused; /* errors that only say what every crash leaves */

static void finding(void *opaque, const char *line)
{
    if (format->tolerated && strstr(line, format->tolerated)) {
        excused++;
    } else if (!strstr(line, "eaked") && !strstr(line, "epairing") && told++ < 3) {
        printf("# check: %s\n", line);
    }
}

/* Leaks at most; not even those after a repair. */
static bool check_image(BlockChild *c, BlockCheckFix fix)
{
    BlockCheck check = {.report = finding};

    if (!format->checks) {
        return true;
    }
    told = excused = 0;
    int ret = bdrv_check(bdrv_child_node(c), &check, fix);
    uint64_t errors = check.corruptions - MIN(excused, check.corruptions);
    if (ret == 0 && fix) {
        check = (BlockCheck){.report = finding};
        ret = bdrv_check(bdrv_child_node(c), &check, 0);
        errors = check.corruptions + check.leaks;
    }
    if (ret < 0 || errors || check.check_errors) {
        printf("# check: %d, %" PRIu64 " errors%s\n", ret, errors, fix ? " after repair" : "");
        return false;
    }
    return true;
}

static uint8_t seen[MAX_SECTORS * 512]; /* what the image shows */
static uint64_t seen_size;

/* Some writes of the image's next user, in `seen` as well. */
static bool write_some(BlockChild *c)
{
    for (unsigned i = 0; i < 8; i++) {
        uint64_t sector, count, all = seen_size / 512;
        uint32_t value = below(3) ? (uint32_t)rng() | 1 : 0;
        pick(&sector, &count);
        if (sector >= all) {
            continue;
        }
        count = MIN(count, all - sector);
        uint8_t *data = seen + sector * 512;
        fill(data, count, value);
        int ret = value ? bdrv_pwrite(c, sector * 512, count * 512, data, 0)
                        : bdrv_pwrite_zeroes(c, sector * 512, count * 512, BDRV_REQ_MAY_UNMAP);
        ret = ret < 0 || below(3) ? ret : bdrv_flush(bdrv_child_node(c));
        if (ret < 0) {
            printf("# writing after the crash: %s\n", strerror(-ret));
            return false;
        }
    }
    return true;
}

/* The image is used further: repaired or not, written, closed, looked at. */
static bool use_further(void)
{
    static uint8_t buf[MAX_SECTORS * 512];
    bool repair = format->repairs && below(3), ok = true;
    BlockChild *c;

    if (repair) {
        c = open_disk("mem:replay", BDRV_O_RDWR | BDRV_O_CHECK);
        ok = c && check_image(c, CHECK_FIX_LEAKS | CHECK_FIX_ERRORS);
        bdrv_root_detach(c);
    }
    c = ok ? open_disk("mem:replay", BDRV_O_RDWR | BDRV_O_UNMAP) : NULL;
    ok = c && write_some(c);
    bdrv_root_detach(c);
    c = ok ? open_disk("mem:replay", 0) : NULL;
    ok = c && check_image(c, 0) && bdrv_pread(c, 0, seen_size, buf) == 0;
    bdrv_root_detach(c);
    if (ok && memcmp(buf, seen, seen_size) != 0) {
        printf("# what was written after the crash does not read back\n");
        ok = false;
    }
    return ok;
}

static void tell_sector(uint64_t s, unsigned first, unsigned last)
{
    uint32_t v, w;

    memcpy(&v, seen + s * 512, 4);
    memcpy(&w, seen + s * 512 + 508, 4);
    for (unsigned i = first ? first - 1 : 0; i < op_count && i <= last; i++) {
        printf("# operation %u: kind %d, sectors %" PRIu64 "+%" PRIu64 ", value %" PRIu64
               ", size %" PRIu64 ", log %u to %u\n",
               i, ops[i].kind, ops[i].sector, ops[i].count, ops[i].stamp, ops[i].size,
               ops[i].log_start, ops[i].log_end);
    }
    printf("# sector %" PRIu64 " shows %" PRIu32 "/%" PRIu32
           "; operations %u to %u, last has %" PRIu32 "\n",
           s, v, w, first, last, history[last][s]);
}

/* Every sector has a value of operations `first` to `last`. */
static bool data_ok(unsigned first, unsigned last)
{
    for (uint64_t s = 0; s < seen_size / 512; s++) {
        uint32_t v, w;
        memcpy(&v, seen + s * 512, 4);
        memcpy(&w, seen + s * 512 + 508, 4);
        if (v != w || !sector_ok(s, v, first, last)) {
            tell_sector(s, first, last);
            return false;
        }
    }
    return true;
}

static bool judge(MemDisk *disk, unsigned cut, unsigned flushed)
{
    unsigned first = 0, last = 0;

    mem_disk_set(disk, powercut_image, powercut_size);
    BlockChild *c = open_disk("mem:replay", format->needs_writing ? BDRV_O_RDWR : 0);
    if (!c) {
        return false;
    }
    bool ok = check_image(c, 0);
    /* Everything complete before a guest's flush that was complete at the last file flush; at most
     * what had begun. */
    for (unsigned i = 0; i < op_count; i++) {
        bool settles = ops[i].kind == G_FLUSH || (format->snapshots && ops[i].kind >= G_RESIZE);
        if (settles && ops[i].log_end <= flushed) {
            first = i + 1;
        }
        if (ops[i].log_start < cut || ops[i].log_end <= cut) {
            last = i + 1;
        }
    }
    seen_size = bdrv_size(bdrv_child_node(c));
    ok = ok && seen_size <= sizeof(seen) && bdrv_pread(c, 0, seen_size, seen) == 0 &&
         data_ok(first, MAX(first, last));
    bdrv_root_detach(c);
    return ok;
}

static void put_file(const char *dir, unsigned number, const char *ending, const uint8_t *data,
                     uint64_t size)
{
    static const uint8_t zeroes[512];
    char path[256];

    snprintf(path, sizeof(path), "%s/crash-%u.%s", dir, number, ending);
    FILE *f = fopen(path, "wb");
    for (uint64_t at = 0; f && at < size; at += 512) {
        uint64_t n = MIN(size - at, 512);
        if (memcmp(data + at, zeroes, n) != 0 || at + n == size) {
            fseek(f, (long)at, SEEK_SET);
            fwrite(data + at, 1, n, f);
        }
    }
    if (f) {
        fclose(f);
    }
}

/* ---- one round ---- */

static bool make_image(MemDisk *disk, const char *variant)
{
    BlockOptions *o = blkopts_new();
    Error *err = NULL;

    version_2 = strstr(variant, "0.10");
    bool ok = (!*variant || blkopts_parse(o, variant, NULL, &err)) &&
              bdrv_create(format->name, "mem:work", format->disk, NULL, NULL, o, &err);
    blkopts_free(o);
    if (!ok) {
        printf("# create: %s\n", error_text(err));
    }
    return ok;
}

static bool run_workload(MemDisk *disk, uint64_t seed)
{
    bool ok = true;

    memset(now, 0, sizeof(now));
    memset(history, 0, sizeof(history));
    now_size = format->disk;
    op_count = 0;
    powercut_start(disk, seed);
    root = open_disk("mem:work", BDRV_O_RDWR | BDRV_O_UNMAP);
    for (unsigned i = 0; root && ok && i < OPS && powercut_log < POWERCUT_MAX_LOG - 1500; i++) {
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
static bool run_faults(MemDisk *disk, uint64_t seed)
{
    memset(now, 0, sizeof(now));
    now_size = format->disk;
    op_count = 0;
    powercut_start(disk, seed);
    powercut_faults = 10 + (unsigned)below(60);
    quiet = true;
    root = open_disk("mem:work", BDRV_O_RDWR | BDRV_O_UNMAP);
    for (unsigned i = 0; root && i < OPS && powercut_log < POWERCUT_MAX_LOG - 1500; i++) {
        step(&ops[0]);
        now_size = bdrv_size(bdrv_child_node(root)); /* who knows how far a failed one came */
    }
    bdrv_root_detach(root);
    quiet = false;
    powercut_faults = 0;
    powercut_end(disk);
    for (unsigned i = 0; i < 8; i++) {
        free(snapshot_state[i]);
        snapshot_state[i] = NULL;
    }
    BlockChild *c = open_disk("mem:work", format->needs_writing ? BDRV_O_RDWR : 0);
    bool ok = c && check_image(c, 0);
    bdrv_root_detach(c);
    return ok;
}

typedef struct Settings {
    uint64_t seed;
    unsigned points, faults, every;
    const char *dir;
} Settings;

static bool take_arguments(int argc, char **argv, Settings *t)
{
    *t = (Settings){.seed = 1, .points = 2000, .every = 100};
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *value = argv[i + 1];
        if (!strcmp(argv[i], "--seed")) {
            t->seed = strtoull(value, NULL, 10);
        } else if (!strcmp(argv[i], "--points")) {
            t->points = (unsigned)strtoul(value, NULL, 10);
        } else if (!strcmp(argv[i], "--faults")) {
            t->faults = (unsigned)strtoul(value, NULL, 10);
        } else if (!strcmp(argv[i], "--every")) {
            t->every = MAX((unsigned)strtoul(value, NULL, 10), 1);
        } else if (!strcmp(argv[i], "--dump")) {
            t->dir = value;
        } else if (!strcmp(argv[i], "--format")) {
            format = NULL;
            for (size_t k = 0; k < ARRAY_SIZE(formats); k++) {
                format = strcmp(formats[k].name, value) ? format : &formats[k];
            }
        }
    }
    return format != NULL;
}

static unsigned fault_rounds(const Settings *t, MemDisk *work)
{
    unsigned failed = 0;

    for (unsigned round = 0; round < t->faults && failed < 10; round++) {
        const char *variant = format->variants[round % variant_count];
        uint64_t seed = rng_state = t->seed * 2000003 + round + 1;
        if (!make_image(work, variant) || !run_faults(work, seed)) {
            printf("# faults, round %u (%s)\n", round, variant);
            failed++;
        }
    }
    return failed;
}

/* Cuts in one workload. */
static unsigned cut_round(const Settings *t, unsigned round, MemDisk *work, MemDisk *replayed,
                          unsigned *done)
{
    const char *variant = format->variants[round % variant_count];
    uint64_t seed = rng_state = t->seed * 1000003 + round + 1;
    unsigned failed = 0;

    if (!make_image(work, variant) || !run_workload(work, seed)) {
        printf("# round %u: the workload failed\n", round);
        failed++;
    }
    for (unsigned i = 0; i < POINTS && *done < t->points && failed < 10; i++, ++*done) {
        unsigned cut = (unsigned)below(powercut_log + 1), mode = (unsigned)below(5);
        unsigned flushed = powercut_replay(cut, mode);
        bool ok = judge(replayed, cut, flushed);
        if (t->dir && (!ok || *done % t->every == 0)) {
            put_file(t->dir, *done, format->name, powercut_image, powercut_size);
            put_file(t->dir, *done, "raw", seen, seen_size);
        }
        ok = ok && (below(4) || use_further());
        if (!ok) {
            printf("# round %u (%s), cut %u of %u, mode %u, point %u\n", round, variant, cut,
                   powercut_log, mode, *done);
            failed++;
        }
    }
    powercut_end(work);
    return failed;
}

int main(int argc, char **argv)
{
    Settings t;

    if (!take_arguments(argc, argv, &t)) {
        printf("not ok - crash: --format: possible:");
        for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
            printf(" %s", formats[i].name);
        }
        printf("\n");
        return 1;
    }
    loop_init();
    machine_lock();
    while (format->variants[variant_count]) {
        variant_count++;
    }
    MemDisk *work = mem_disk_new("work", NULL, 0), *replayed = mem_disk_new("replay", NULL, 0);
    unsigned done = 0, failed = fault_rounds(&t, work);
    for (unsigned round = 0; done < t.points && failed < 10; round++) {
        failed += cut_round(&t, round, work, replayed, &done);
    }
    mem_disk_free(work);
    mem_disk_free(replayed);
    printf("%sok - crash, %s: %u points, %u failed\n", failed ? "not " : "", format->name, done,
           failed);
    return failed != 0;
}
