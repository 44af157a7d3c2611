/*
 * vvfat: the tree of files and directories, which clusters are whose, and the way to them on the
 * host: from the directory down, one name after the other, never through a symbolic link.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/util.h"
#include "block/vvfat.h"

void fat_tree_free(FatTree *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        free(t->nodes[i].name);
        free(t->nodes[i].data);
    }
    free(t->nodes);
    free(t->runs);
    *t = (FatTree){0};
}

FatNode *fat_add_node(FatTree *t, uint32_t parent, const char *name)
{
    if (t->count == FAT_MAX_NODES) {
        return NULL;
    }
    if (t->count == t->room) {
        t->room = t->room ? 2 * t->room : 64;
        t->nodes = realloc(t->nodes, t->room * sizeof(*t->nodes));
        if (!t->nodes) {
            abort();
        }
    }
    FatNode *n = &t->nodes[t->count++];
    *n = (FatNode){.name = strdup(name), .parent = parent, .twin = FAT_NONE};
    return n;
}

/* ---- clusters ---- */

void fat_add_cluster(FatTree *t, uint32_t cluster, uint32_t node, uint32_t index)
{
    FatRun *last = t->run_count ? &t->runs[t->run_count - 1] : NULL;

    if (last && last->node == node && last->first + last->count == cluster &&
        last->index + last->count == index) {
        last->count++;
        return;
    }
    if (t->run_count == t->run_room) {
        t->run_room = t->run_room ? 2 * t->run_room : 64;
        t->runs = realloc(t->runs, t->run_room * sizeof(*t->runs));
        if (!t->runs) {
            abort();
        }
    }
    t->runs[t->run_count++] = (FatRun){cluster, 1, node, index};
}

static int by_first(const void *a, const void *b)
{
    const FatRun *x = a, *y = b;

    return x->first < y->first ? -1 : x->first > y->first;
}

void fat_sort_runs(FatTree *t)
{
    if (t->run_count) {
        qsort(t->runs, t->run_count, sizeof(*t->runs), by_first);
    }
}

const FatRun *fat_find_run(const FatTree *t, uint32_t cluster)
{
    uint32_t low = 0, high = t->run_count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (t->runs[middle].first > cluster) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low && cluster - t->runs[low - 1].first < t->runs[low - 1].count ? &t->runs[low - 1]
                                                                            : NULL;
}

uint32_t fat_get(const Vvfat *v, const uint8_t *fat, uint32_t cluster)
{
    if (v->g.bits == 32) {
        return load_le32(fat + 4ull * cluster) & 0x0fffffff;
    }
    if (v->g.bits == 16) {
        return load_le16(fat + 2ull * cluster);
    }
    uint16_t pair = load_le16(fat + cluster + cluster / 2);
    return cluster & 1 ? pair >> 4 : pair & 0xfff;
}

bool fat_is_end(const Vvfat *v, uint32_t entry)
{
    return entry >= (v->g.bits == 32 ? 0x0ffffff8u : v->g.bits == 16 ? 0xfff8u : 0xff8u);
}

/* ---- on the host ---- */

int fat_open_dir(const Vvfat *v, const FatTree *t, uint32_t node)
{
    uint32_t path[FAT_MAX_DEPTH + 1];
    unsigned depth = 0;

    for (; node != 0; node = t->nodes[node].parent) {
        if (depth > FAT_MAX_DEPTH) {
            return -ELOOP;
        }
        path[depth++] = node;
    }
    int fd = openat(v->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd >= 0 && depth > 0) {
        int next = openat(fd, t->nodes[path[--depth]].name,
                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int err = errno;
        close(fd);
        fd = next;
        errno = err;
    }
    return fd < 0 ? -errno : fd;
}

int fat_open_file(const Vvfat *v, const FatTree *t, uint32_t node)
{
    int dir = fat_open_dir(v, t, t->nodes[node].parent);

    if (dir < 0) {
        return dir;
    }
    /* O_NONBLOCK: what was a file may have become a pipe meanwhile. */
    int fd = openat(dir, t->nodes[node].name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    int err = errno;
    close(dir);
    return fd < 0 ? -err : fd;
}

void fat_close_file(Vvfat *v)
{
    if (v->open_fd >= 0) {
        close(v->open_fd);
        v->open_fd = -1;
    }
}
