/*
 * The protocol "fat:" (driver vvfat): a directory of the host as a disk with a FAT file system.
 *
 *     fat:DIR  fat:rw:DIR  fat:floppy:DIR  fat:12:DIR  fat:16:DIR  fat:32:DIR, and combinations
 *
 * The volume is laid out when it is opened (vvfat-build.c). What the guest reads comes from tables
 * in memory and from the files, what it writes (with rw) goes to a temporary file. When it flushes,
 * and at the end, the file system as the guest sees it is read as a whole; if it is in order, what
 * differs is carried out in the directory (vvfat-commit.c). A file that the host changes meanwhile
 * may show old and new parts.
 *
 * Requests run on a worker thread, one at a time.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/block.h"
#include "block/driver.h"
#include "block/drivers.h"
#include "block/util.h"
#include "block/vvfat.h"
#include "util/worker.h"

enum { MAX_REQUEST = 1 << 20, INFO_SECTOR = 1, BACKUP_SECTOR = 6 };

typedef struct VvfatState {
    Vvfat v;
    CoMutex lock;
    bool told; /* that the guest's file system is not in order */
} VvfatState;

/* ---- what the guest sees ---- */

static bool bit(const uint8_t *bits, uint32_t n)
{
    return bits && bits[n / 8] >> n % 8 & 1;
}

/* A part of a file; what is not there any more reads as zeroes. */
static int read_file(Vvfat *v, uint32_t node, uint64_t offset, uint8_t *buf, size_t bytes)
{
    size_t done = 0;

    if (v->open_fd < 0 || v->open_node != node) {
        fat_close_file(v);
        v->open_fd = fat_open_file(v, &v->tree, node);
        v->open_node = node;
        if (v->open_fd < 0) {
            int ret = v->open_fd;
            v->open_fd = -1;
            return ret;
        }
    }
    while (done < bytes) {
        ssize_t n = pread(v->open_fd, buf + done, bytes - done, (off_t)(offset + done));
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        if (n == 0) {
            break;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    memset(buf + done, 0, bytes - done);
    return 0;
}

static int read_data(Vvfat *v, uint32_t sector, uint8_t *buf)
{
    uint32_t cluster = sector / v->g.cluster + 2;
    const FatRun *run = fat_find_run(&v->tree, cluster);

    memset(buf, 0, FAT_SECTOR);
    if (!run) {
        return 0;
    }
    const FatNode *n = &v->tree.nodes[run->node];
    uint64_t offset =
        ((uint64_t)(run->index + cluster - run->first) * v->g.cluster + sector % v->g.cluster) *
        FAT_SECTOR;
    if (offset >= n->size) {
        return 0;
    }
    size_t bytes = MIN(n->size - offset, FAT_SECTOR);
    if (n->is_dir) {
        memcpy(buf, n->data + offset, bytes);
        return 0;
    }
    return read_file(v, run->node, offset, buf, bytes);
}

/* As the tree has it, without what the guest wrote. */
static int read_original(Vvfat *v, uint32_t sector, uint8_t *buf)
{
    const FatGeometry *g = &v->g;
    const uint8_t *from = NULL;

    if (sector < g->start) {
        from = sector == 0 ? v->mbr : NULL;
    } else if ((sector -= g->start) < g->reserved) {
        bool fat32 = g->bits == 32;
        from = sector == 0 || (fat32 && sector == BACKUP_SECTOR)                           ? v->boot
               : fat32 && (sector == INFO_SECTOR || sector == BACKUP_SECTOR + INFO_SECTOR) ? v->info
                                                                                           : NULL;
    } else if (sector < g->reserved + 2 * g->fat_sectors) {
        from = v->fat + (size_t)((sector - g->reserved) % g->fat_sectors) * FAT_SECTOR;
    } else if (sector < g->data) {
        const FatNode *root = &v->tree.nodes[0];
        uint64_t offset = (uint64_t)(sector - (g->data - g->root_sectors)) * FAT_SECTOR;
        memset(buf, 0, FAT_SECTOR);
        if (offset < root->size) {
            memcpy(buf, root->data + offset, MIN(root->size - offset, FAT_SECTOR));
        }
        return 0;
    } else {
        return read_data(v, sector - g->data, buf);
    }
    if (from) {
        memcpy(buf, from, FAT_SECTOR);
    } else {
        memset(buf, 0, FAT_SECTOR);
    }
    return 0;
}

int fat_read_sectors(Vvfat *v, uint32_t sector, uint32_t count, uint8_t *buf)
{
    int ret = 0;

    for (; count && ret == 0; count--, sector++, buf += FAT_SECTOR) {
        if (!bit(v->written, sector)) {
            ret = read_original(v, sector, buf);
        } else if (pread(v->overlay, buf, FAT_SECTOR, (off_t)sector * FAT_SECTOR) != FAT_SECTOR) {
            ret = -EIO;
        }
    }
    return ret;
}

/* ---- what the guest writes ---- */

static int open_overlay(Vvfat *v)
{
    const char *tmp = getenv("TMPDIR");
    char name[4096];

    snprintf(name, sizeof(name), "%s/vole-fat-XXXXXX", tmp && *tmp ? tmp : "/var/tmp");
    v->overlay = mkostemp(name, O_CLOEXEC);
    if (v->overlay < 0) {
        return -errno;
    }
    unlink(name);
    v->written = calloc(1, v->g.sectors / 8 + 1);
    v->fresh = calloc(1, v->g.sectors / 8 + 1);
    return v->written && v->fresh ? 0 : -ENOMEM;
}

static int write_sectors(Vvfat *v, uint32_t sector, uint32_t count, const uint8_t *buf)
{
    size_t bytes = (size_t)count * FAT_SECTOR;
    int ret = v->overlay < 0 ? open_overlay(v) : v->written && v->fresh ? 0 : -ENOMEM;

    for (size_t done = 0; done < bytes && ret == 0;) {
        ssize_t n = pwrite(v->overlay, buf + done, bytes - done,
                           (off_t)((uint64_t)sector * FAT_SECTOR + done));
        ret = n < 0 && errno != EINTR ? -errno : 0;
        done += n > 0 ? (size_t)n : 0;
    }
    for (uint32_t i = sector; i < sector + count && ret == 0; i++) {
        v->written[i / 8] |= 1u << i % 8;
        v->fresh[i / 8] |= 1u << i % 8;
        v->dirty = true;
    }
    return ret;
}

/* ---- requests ---- */

typedef struct Job {
    WorkItem item; /* first */
    Coroutine *co;
    Vvfat *v;
    enum { JOB_READ, JOB_WRITE, JOB_COMMIT } kind;
    uint32_t sector, count;
    uint8_t *buf;
    int ret;
    char why[256];
} Job;

static void work(WorkItem *item)
{
    Job *j = (Job *)item;

    switch (j->kind) {
    case JOB_READ:
        j->ret = fat_read_sectors(j->v, j->sector, j->count, j->buf);
        break;
    case JOB_WRITE:
        j->ret = write_sectors(j->v, j->sector, j->count, j->buf);
        break;
    case JOB_COMMIT:
        j->ret = fat_commit(j->v, j->why, sizeof(j->why));
        break;
    }
}

static void work_done(WorkItem *item)
{
    coroutine_wake(((Job *)item)->co);
}

static void run_job(BlockNode *node, Job *j)
{
    VvfatState *s = node->state;

    j->item = (WorkItem){.work = work, .done = work_done};
    j->co = coroutine_self();
    j->v = &s->v;
    co_mutex_lock(&s->lock);
    worker_submit(&j->item);
    coroutine_yield();
    co_mutex_unlock(&s->lock);
}

static int move(BlockNode *node, bool write, uint64_t offset, uint64_t bytes, IoVector *v,
                size_t at)
{
    Job j = {.kind = write ? JOB_WRITE : JOB_READ,
             .sector = (uint32_t)(offset / FAT_SECTOR),
             .count = (uint32_t)(bytes / FAT_SECTOR),
             .buf = block_try_alloc(node, bytes)};

    if (!j.buf) {
        return -ENOMEM;
    }
    if (write) {
        iov_to_buf(v, at, j.buf, bytes);
    }
    run_job(node, &j);
    if (!write && j.ret == 0) {
        iov_from_buf(v, at, j.buf, bytes);
    }
    free(j.buf);
    return j.ret;
}

static int vvfat_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                           unsigned flags)
{
    return move(node, false, offset, bytes, v, at);
}

static int vvfat_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v,
                            size_t at, unsigned flags)
{
    return move(node, true, offset, bytes, v, at);
}

/*
 * A file system in the middle of a change is none of the guest's mistakes: the next flush or the
 * end will find it in order. last: there is none after this one.
 */
static int carry_out(BlockNode *node, bool last)
{
    VvfatState *s = node->state;
    Job j = {.kind = JOB_COMMIT};

    run_job(node, &j);
    if (j.ret > 0 && last) {
        error_report("%s: the guest's last changes were not carried out: %s", node->filename,
                     j.why);
    } else if (j.ret < 0 && (last || !s->told)) {
        error_report("%s: %s: %s", node->filename, j.why, strerror(-j.ret));
        s->told = true;
    }
    return MIN(j.ret, 0);
}

static int vvfat_co_flush(BlockNode *node)
{
    return node->readonly ? 0 : carry_out(node, false);
}

static int vvfat_co_block_status(BlockNode *node, bool precise, uint64_t offset, uint64_t bytes,
                                 uint64_t *pnum, uint64_t *map, BlockNode **file)
{
    VvfatState *s = node->state;
    const Vvfat *v = &s->v;
    uint32_t sector = (uint32_t)(offset / FAT_SECTOR), count = (uint32_t)(bytes / FAT_SECTOR),
             n = 0;
    uint32_t data = v->g.start + v->g.data;

    co_mutex_lock(&s->lock); /* a worker may be changing the tree */
    /* Clusters without owner are zeroes. */
    while (n < count && sector + n >= data && !bit(v->written, sector + n) &&
           !fat_find_run(&v->tree, (sector + n - data) / v->g.cluster + 2)) {
        n++;
    }
    bool zero = n > 0;
    while (!zero && n < count &&
           (sector + n < data || bit(v->written, sector + n) ||
            fat_find_run(&v->tree, (sector + n - data) / v->g.cluster + 2))) {
        n++;
    }
    co_mutex_unlock(&s->lock);
    *pnum = (uint64_t)n * FAT_SECTOR;
    return zero ? BDRV_BLOCK_ZERO : BDRV_BLOCK_DATA;
}

/* ---- opening ---- */

/* The words before the directory, which may have colons of its own. */
static bool vvfat_parse_filename(const char *filename, BlockOptions *options, Error **errp)
{
    static const struct {
        const char *word, *key, *value;
    } words[] = {{"floppy:", "floppy", "on"},
                 {"rw:", "rw", "on"},
                 {"12:", "fat-type", "12"},
                 {"16:", "fat-type", "16"},
                 {"32:", "fat-type", "32"}};
    const char *p = filename + strlen("fat:");

    for (size_t i = 0; i < ARRAY_SIZE(words);) {
        if (!strncmp(p, words[i].word, strlen(words[i].word))) {
            blkopts_default(options, words[i].key, words[i].value);
            p += strlen(words[i].word);
            i = 0;
        } else {
            i++;
        }
    }
    if (!*p) {
        error_set(errp,
                  "%s: the directory is missing; possible: fat:[floppy:][12:|16:|32:][rw:]DIR",
                  filename);
        return false;
    }
    blkopts_default(options, "dir", p);
    return true;
}

static bool take_options(Vvfat *v, BlockOptions *options, int *type, Error **errp)
{
    static const char *const types[] = {"12", "16", "32", "0", NULL};
    static const int bits[] = {12, 16, 32, 0};
    char *label = blkopts_take(options, "label");
    int index = 3;

    v->dir = blkopts_take(options, "dir");
    memset(v->label, ' ', 11);
    memcpy(v->label, label ? label : "VOLE VVFAT", MIN(strlen(label ? label : "VOLE VVFAT"), 11));
    free(label);
    if (!v->dir) {
        error_set(errp, "vvfat needs an option 'dir'");
        return false;
    }
    bool ok = blkopts_take_bool(options, "floppy", &v->floppy, errp) &&
              blkopts_take_bool(options, "rw", &v->rw, errp) &&
              blkopts_take_word(options, "fat-type", types, &index, errp);
    *type = bits[index];
    return ok;
}

static void free_all(Vvfat *v)
{
    fat_close_file(v);
    if (v->dirfd >= 0) {
        close(v->dirfd);
    }
    if (v->overlay >= 0) {
        close(v->overlay);
    }
    fat_tree_free(&v->tree);
    free(v->fat);
    free(v->written);
    free(v->fresh);
    free(v->dir);
}

static bool vvfat_co_open(BlockNode *node, BlockOptions *options, Error **errp)
{
    VvfatState *s = node->state;
    Vvfat *v = &s->v;
    int type = 0;

    v->dirfd = v->overlay = v->open_fd = -1;
    bool ok = take_options(v, options, &type, errp);
    if (ok) {
        v->dirfd = open(v->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (v->dirfd < 0) {
            error_set_errno(errp, errno, "cannot open directory %s", v->dir);
            ok = false;
        }
    }
    if (!ok || !fat_build(v, (unsigned)type, errp)) {
        free_all(v);
        return false;
    }
    node->size = (uint64_t)v->g.sectors * FAT_SECTOR;
    node->readonly = node->readonly || !v->rw; /* without rw the guest's writes fail */
    node->request_alignment = FAT_SECTOR;
    node->max_transfer = MAX_REQUEST;
    return true;
}

static void vvfat_co_close(BlockNode *node)
{
    VvfatState *s = node->state;

    if (!node->readonly) {
        carry_out(node, true);
    }
    free_all(&s->v);
}

static const BlockOptionDesc vvfat_options[] = {
    {"dir", "DIR", "the directory"},
    {"rw", "on|off", "what the guest writes is carried out in it"},
    {"floppy", "on|off", "a floppy instead of a hard disk"},
    {"fat-type", "12|16|32", "bits of a FAT entry"},
    {"label", "TEXT", "the volume's name"},
    {0},
};

const BlockDriver bdrv_vvfat = {
    .name = "vvfat",
    .protocol = "fat",
    .state_size = sizeof(VvfatState),
    .open_options = vvfat_options,
    .parse_filename = vvfat_parse_filename,
    .co_open = vvfat_co_open,
    .co_close = vvfat_co_close,
    .co_preadv = vvfat_co_preadv,
    .co_pwritev = vvfat_co_pwritev,
    .co_flush = vvfat_co_flush,
    .co_block_status = vvfat_co_block_status,
};
