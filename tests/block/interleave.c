/*
 * Interleavings: a few requests (reads, writes, zeroes, discards, flushes, snapshots, resizes) run
 * at the same time on a small qcow2 image in memory. Every operation on the file stops before it
 * takes place, and a scheduler that follows a seed decides which goes on. The answers and the image
 * afterwards must be those of the requests one behind the other in some order: for each sector, the
 * value of one of the writes that overlap in time, or what stood there before. At the end the
 * image's check must be clean.
 *
 *     interleave [--schedules N] [--seed N]
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
#include "tests/block/hold.h"
#include "tests/rng.h"

enum { SECTORS = 48, REQUESTS = 6, ROUNDS = 4 };

/* ---- the scheduler ---- */

static void let_one_go(void)
{
    hold_release((unsigned)below(hold_pending));
}

/* ---- requests ---- */

typedef enum Kind {
    K_READ,
    K_WRITE,
    K_ZERO,
    K_DISCARD,
    K_FLUSH,
    K_SNAPSHOT,
    K_DELETE,
    K_KINDS
} Kind;

typedef struct Request {
    Kind kind;
    uint64_t sector, count;
    uint32_t value;
    uint8_t buf[SECTORS * 512];
    int ret;
    bool done;
} Request;

static Request requests[REQUESTS];
static BlockChild *root;
static unsigned running, snapshots;
static uint32_t before[SECTORS];

static void fill(Request *r)
{
    for (uint64_t i = 0; i < r->count * 128; i++) {
        memcpy(r->buf + 4 * i, &r->value, 4);
    }
}

static void entry(void *opaque)
{
    Request *r = opaque;
    BlockNode *node = bdrv_child_node(root);
    BlockSnapshot sn = {.icount = UINT64_MAX};
    uint64_t offset = r->sector * 512, bytes = r->count * 512;

    switch (r->kind) {
    case K_READ:
        r->ret = bdrv_co_pread(root, offset, bytes, r->buf, 0);
        break;
    case K_WRITE:
        r->ret = bdrv_co_pwrite(root, offset, bytes, r->buf, 0);
        break;
    case K_ZERO:
        r->ret = bdrv_co_pwrite_zeroes(root, offset, bytes, r->value & 1 ? BDRV_REQ_MAY_UNMAP : 0);
        break;
    case K_DISCARD:
        r->ret = bdrv_co_pdiscard(root, offset, bytes);
        break;
    case K_FLUSH:
        r->ret = bdrv_co_flush(node);
        break;
    case K_SNAPSHOT:
        snprintf(sn.name, sizeof(sn.name), "s%u", snapshots++);
        r->ret = node->driver->co_snapshot_create(node, &sn, NULL) ? 0 : -EIO;
        break;
    default:
        /* Gone already, perhaps: that is an answer, too. */
        snprintf(sn.name, sizeof(sn.name), "s%u", (unsigned)below(snapshots + 1));
        node->driver->co_snapshot_delete(node, sn.name, NULL);
        break;
    }
    r->done = true;
    running--;
}

static void choose(Request *r, unsigned number)
{
    static const uint8_t chances[] = {K_READ, K_READ,    K_WRITE,   K_WRITE, K_WRITE, K_WRITE,
                                      K_ZERO, K_DISCARD, K_DISCARD, K_FLUSH, K_FLUSH};

    r->kind = below(30) ? chances[below(sizeof(chances))] : below(2) ? K_SNAPSHOT : K_DELETE;
    r->sector = below(SECTORS);
    r->count = 1 + below(SECTORS - (unsigned)r->sector);
    if (below(2)) { /* small ones meet in a cluster without overlapping */
        uint64_t few = 1 + below(3);
        r->count = MIN(r->count, few);
    }
    r->value = (uint32_t)(rng() >> 33) | 1u << 30 | number;
    r->done = false;
    r->ret = 0;
    if (r->kind == K_WRITE) {
        fill(r);
    }
}

/* ---- judging ---- */

static bool possible(const Request *self, uint64_t sector, uint32_t value)
{
    if (value == before[sector]) {
        return true;
    }
    for (unsigned i = 0; i < REQUESTS; i++) {
        const Request *r = &requests[i];
        if (sector < r->sector || sector >= r->sector + r->count) {
            continue;
        }
        if (r->kind == K_WRITE ? value == r->value
                               : (r->kind == K_ZERO || r->kind == K_DISCARD) && value == 0) {
            return true;
        }
    }
    return false;
}

/* What every reader saw, and what stands there now: the last state if somebody surely wrote. */
static bool check_values(const uint8_t *buf, uint64_t first, uint64_t count, const char *who,
                         bool final)
{
    for (uint64_t i = 0; i < count; i++) {
        uint32_t v, w;
        bool written = false;
        memcpy(&v, buf + i * 512, 4);
        memcpy(&w, buf + i * 512 + 508, 4);
        for (unsigned r = 0; r < REQUESTS; r++) {
            written |= (requests[r].kind == K_WRITE || requests[r].kind == K_ZERO) &&
                       first + i >= requests[r].sector &&
                       first + i < requests[r].sector + requests[r].count;
        }
        if (v != w || !possible(NULL, first + i, v) ||
            (final && written && v == before[first + i] && v != 0)) {
            printf("# %s: sector %" PRIu64 " shows %#" PRIx32 "/%#" PRIx32 ", before %#" PRIx32
                   "\n",
                   who, first + i, v, w, before[first + i]);
            return false;
        }
    }
    return true;
}

static void finding(void *opaque, const char *line)
{
    printf("# check: %s\n", line);
}

/* ---- a round: a new image, a few batches of requests, each a schedule ---- */

static const char *const variants[] = {"cluster_size=512",
                                       "cluster_size=1k",
                                       "cluster_size=4k",
                                       "cluster_size=16k,extended_l2=on",
                                       "cluster_size=2k,compat=0.10",
                                       "cluster_size=1k,lazy_refcounts=on"};

static bool batch(void)
{
    static uint8_t buf[SECTORS * 512];

    for (unsigned i = 0; i < REQUESTS; i++) {
        choose(&requests[i], i);
    }
    hold_enabled = true;
    running = REQUESTS;
    for (unsigned i = 0; i < REQUESTS; i++) {
        coroutine_enter(coroutine_create(entry, &requests[i]));
        while (hold_pending && below(3) == 0) { /* some go ahead before the next begins */
            let_one_go();
        }
    }
    while (running && hold_pending) {
        let_one_go();
    }
    hold_enabled = false;
    if (running) {
        printf("# %u requests wait for each other\n", running);
        return false;
    }
    for (unsigned i = 0; i < REQUESTS; i++) {
        if (requests[i].ret < 0) {
            printf("# request %u of kind %d: %s\n", i, requests[i].kind,
                   strerror(-requests[i].ret));
            return false;
        }
        if (requests[i].kind == K_READ && !check_values(requests[i].buf, requests[i].sector,
                                                        requests[i].count, "a reader", false)) {
            return false;
        }
    }
    if (bdrv_pread(root, 0, sizeof(buf), buf) < 0 ||
        !check_values(buf, 0, SECTORS, "the disk", true)) {
        return false;
    }
    for (unsigned i = 0; i < SECTORS; i++) {
        memcpy(&before[i], buf + i * 512, 4);
    }
    return true;
}

static bool run_round(unsigned variant)
{
    BlockOptions *o = blkopts_new(), *open = blkopts_new();
    BlockCheck check = {.report = finding};
    Error *err = NULL;
    bool ok = blkopts_parse(o, variants[variant], NULL, &err) &&
              bdrv_create("qcow2", "mem:work", SECTORS * 512, NULL, NULL, o, &err);

    blkopts_free(o);
    blkopts_set(open, "driver", "qcow2");
    blkopts_set(open, "l2-cache-size", "4k"); /* the smallest: entries come and go */
    root = ok ? bdrv_open_root("mem:work", open, BDRV_O_RDWR | BDRV_O_UNMAP, &err) : NULL;
    if (!root) {
        printf("# %s\n", error_text(err));
        return false;
    }
    memset(before, 0, sizeof(before));
    snapshots = 0;
    for (unsigned i = 0; ok && i < ROUNDS; i++) {
        ok = batch();
    }
    if (ok) {
        bdrv_flush(bdrv_child_node(root));
        bdrv_flush(bdrv_child_node(root));
        int ret = bdrv_check(bdrv_child_node(root), &check, 0);
        ok = ret == 0 && !check.corruptions && !check.check_errors;
        bdrv_root_detach(root);
    }
    return ok;
}

int main(int argc, char **argv)
{
    uint64_t schedules = 20000, seed = 1, done = 0;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--schedules")) {
            schedules = strtoull(argv[i + 1], NULL, 10);
        } else if (!strcmp(argv[i], "--seed")) {
            seed = strtoull(argv[i + 1], NULL, 10);
        }
    }
    loop_init();
    machine_lock();
    MemDisk *work = mem_disk_new("work", NULL, 0);
    work->hook = hold;
    for (uint64_t round = 0; done < schedules; round++, done += ROUNDS) {
        rng_state = seed * 1000003 + round + 1;
        if (!run_round(round % (sizeof(variants) / sizeof(variants[0])))) {
            printf("# round %" PRIu64 " (%s), seed %" PRIu64 "\nnot ok - interleave: after %" PRIu64
                   " schedules\n",
                   round, variants[round % (sizeof(variants) / sizeof(variants[0]))], seed, done);
            return 1;
        }
    }
    printf("ok - interleave: %" PRIu64 " schedules\n", done);
    return 0;
}
