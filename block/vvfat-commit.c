/*
 * vvfat: carrying out in the directory what the guest did to the file system.
 *
 * The whole file system is read as the guest sees it. Only if it is in order (each chain of
 * clusters complete and nobody else's, each name one that the host can have in one directory) is it
 * compared with the tree as it was. What is new or changed is first written to temporary files in
 * the directory itself. Then: what is in the way of something of another kind goes, directories are
 * made, the temporary files get their names, and last goes what the guest has deleted. So an
 * interruption at any time leaves each file's old or new contents.
 *
 * A guest can write anything into its file system. Names lead nowhere but into the directory: they
 * are single components without '/', and each directory on the way is opened without following
 * symbolic links. Nothing is deleted but what was shown.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/util.h"
#include "block/vvfat.h"
#include "util/iovec.h"

enum {
    ATTR_DIR = 0x10,
    ATTR_LABEL = 0x08,
    ATTR_LONG = 0x0f,
    ATTR_MASK = 0x3f,
    DELETED = 0xe5,
    LAST_LONG = 0x40,
    LONG_UNITS = 13,
    MAX_LONG = 20,        /* entries of a long name */
    MAX_DIR = 65536 * 32, /* bytes, by the specification */
};

typedef struct Commit {
    Vvfat *v;
    FatTree t; /* as the guest has it */
    uint8_t *fat;
    uint8_t *used;          /* a bit a cluster: part of a chain */
    uint8_t *kept, *in_way; /* a byte for each node of the tree before */
    char *why;
    unsigned size;
} Commit;

static int not_whole(Commit *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int not_whole(Commit *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(c->why, c->size, fmt, ap);
    va_end(ap);
    return 1;
}

static int failed(Commit *c, const char *what, const char *name)
{
    int err = errno;

    snprintf(c->why, c->size, "cannot %s '%s' in %s", what, name, c->v->dir);
    return -err;
}

/* ---- reading the file system ---- */

static int check_boot(Commit *c)
{
    Vvfat *v = c->v;
    uint8_t now[FAT_SECTOR];
    unsigned end = v->g.bits == 32 ? 52 : 36;
    int ret = fat_read_sectors(v, v->g.start, 1, now);

    if (ret == 0 && memcmp(now + 11, v->boot + 11, end - 11) != 0) {
        return not_whole(c, "the guest has made another file system");
    }
    if (ret == 0 && v->g.start) {
        ret = fat_read_sectors(v, 0, 1, now);
        if (ret == 0 && memcmp(now + 446 + 8, v->mbr + 446 + 8, 8) != 0) {
            return not_whole(c, "the guest has changed the partition");
        }
    }
    return ret;
}

static int read_fat(Commit *c)
{
    const FatGeometry *g = &c->v->g;

    c->fat = malloc((size_t)g->fat_sectors * FAT_SECTOR);
    c->used = calloc(1, g->clusters / 8 + 2);
    if (!c->fat || !c->used) {
        errno = ENOMEM;
        return failed(c, "read", "the FAT");
    }
    return fat_read_sectors(c->v, g->start + g->reserved, g->fat_sectors, c->fat);
}

/* Notes the clusters as the node's; *count: how many. */
static int follow_chain(Commit *c, uint32_t node, uint32_t first, uint32_t *count)
{
    const Vvfat *v = c->v;
    uint32_t n = 0;

    for (uint32_t cluster = first;; n++) {
        if (cluster < 2 || cluster - 2 >= v->g.clusters) {
            return not_whole(c, "'%s' has a chain that leads out of the disk",
                             c->t.nodes[node].name);
        }
        if (c->used[cluster / 8] >> cluster % 8 & 1) {
            return not_whole(c, "'%s' shares clusters with another file", c->t.nodes[node].name);
        }
        c->used[cluster / 8] |= 1u << cluster % 8;
        fat_add_cluster(&c->t, cluster, node, n);
        uint32_t next = fat_get(v, c->fat, cluster);
        if (fat_is_end(v, next)) {
            break;
        }
        cluster = next;
    }
    *count = n + 1;
    return 0;
}

static uint32_t cluster_sector(const Vvfat *v, uint32_t cluster)
{
    return v->g.start + v->g.data + (cluster - 2) * v->g.cluster;
}

/* The entries of a directory whose chain is noted. */
static int load_dir(Commit *c, uint32_t dir)
{
    Vvfat *v = c->v;
    const FatGeometry *g = &v->g;
    FatNode *d = &c->t.nodes[dir];
    uint32_t count = 0, first = d->cluster;
    bool fixed = dir == 0 && g->bits != 32;
    int ret = fixed ? 0 : follow_chain(c, dir, first, &count);

    if (ret != 0) {
        return ret;
    }
    d->size =
        fixed ? (uint64_t)g->root_sectors * FAT_SECTOR : (uint64_t)count * g->cluster * FAT_SECTOR;
    if (d->size > MAX_DIR + 65536) {
        return not_whole(c, "directory '%s' is longer than 65536 entries", d->name);
    }
    d->data = malloc(d->size);
    if (!d->data) {
        errno = ENOMEM;
        return failed(c, "read", d->name);
    }
    if (fixed) {
        return fat_read_sectors(v, g->start + g->data - g->root_sectors, g->root_sectors, d->data);
    }
    for (uint32_t i = 0, cluster = first; i < count && ret == 0; i++) {
        ret = fat_read_sectors(v, cluster_sector(v, cluster), g->cluster,
                               d->data + (size_t)i * g->cluster * FAT_SECTOR);
        cluster = fat_get(v, c->fat, cluster);
    }
    return ret;
}

/* A long name as its entries come by, the last part first. */
typedef struct LongName {
    uint16_t units[MAX_LONG * LONG_UNITS];
    unsigned entries, next; /* next 1: complete; 0: none */
    uint8_t checksum;
} LongName;

static void take_long(LongName *l, const uint8_t *e)
{
    static const uint8_t places[LONG_UNITS] = {1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};
    unsigned number = e[0] & ~LAST_LONG;

    if (e[0] & LAST_LONG) {
        l->entries = number;
        l->checksum = e[13];
    } else if (number + 1 != l->next || e[13] != l->checksum) {
        number = 0;
    }
    l->next = number <= MAX_LONG ? number : 0;
    for (unsigned i = 0; l->next && i < LONG_UNITS; i++) {
        l->units[(number - 1) * LONG_UNITS + i] = load_le16(e + places[i]);
    }
}

static bool entry_name(const LongName *l, const uint8_t *e, char *name, bool *is_long)
{
    unsigned n = 0;

    *is_long = l->next == 1 && l->checksum == fat_checksum(e);
    if (!*is_long) {
        return fat_short_to_name(e, name);
    }
    while (n < l->entries * LONG_UNITS && l->units[n]) {
        n++;
    }
    return n <= FAT_MAX_NAME && fat_units_to_name(l->units, n, name);
}

static bool is_dots(const uint8_t *e)
{
    return !memcmp(e, ".          ", 11) || !memcmp(e, "..         ", 11);
}

static int add_entry(Commit *c, uint32_t dir, const LongName *l, const uint8_t *e)
{
    char name[FAT_MAX_NAME + 1];
    bool is_long;

    if (!entry_name(l, e, name, &is_long)) {
        return not_whole(c, "a name in directory '%s' is none that the host could have",
                         c->t.nodes[dir].name);
    }
    FatNode *n = fat_add_node(&c->t, dir, name);
    if (!n) {
        return not_whole(c, "there are more than %d files", FAT_MAX_NODES);
    }
    n->has_long = is_long;
    n->case_flags = e[12];
    n->is_dir = e[11] & ATTR_DIR;
    n->size = n->is_dir ? 0 : load_le32(e + 28);
    n->cluster = load_le16(e + 26) | (c->v->g.bits == 32 ? (uint32_t)load_le16(e + 20) << 16 : 0);
    n->time = load_le16(e + 22);
    n->date = load_le16(e + 24);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const FatNode *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static uint32_t find_child(const FatTree *t, uint32_t dir, const char *name)
{
    const FatNode *d = &t->nodes[dir];
    uint32_t low = d->first_child, high = d->first_child + d->children;

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = strcmp(t->nodes[middle].name, name);
        if (order == 0) {
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return FAT_NONE;
}

/*
 * An old system writes a file that it changes as README.TXT, whatever it was called on the host:
 * then the host's name stays. twin: the directory as it was.
 */
static void keep_case(const FatTree *old, uint32_t twin, FatNode *n)
{
    const FatNode *d = &old->nodes[twin];

    if (n->has_long || n->case_flags || find_child(old, twin, n->name) != FAT_NONE) {
        return;
    }
    for (uint32_t i = d->first_child; i < d->first_child + d->children; i++) {
        if (!strcasecmp(old->nodes[i].name, n->name)) {
            free(n->name);
            n->name = strdup(old->nodes[i].name);
            return;
        }
    }
}

/* Names as on the host, sorted, each once; and what each was before. */
static int settle_names(Commit *c, uint32_t dir)
{
    const FatTree *old = &c->v->tree;
    uint32_t from = c->t.nodes[dir].first_child, twin = c->t.nodes[dir].twin;

    for (uint32_t i = from; twin != FAT_NONE && i < c->t.count; i++) {
        keep_case(old, twin, &c->t.nodes[i]);
    }
    if (c->t.count > from) {
        qsort(&c->t.nodes[from], c->t.count - from, sizeof(FatNode), by_name);
    }
    for (uint32_t i = from; i < c->t.count; i++) {
        FatNode *n = &c->t.nodes[i];
        if (i > from && !strcmp(n[-1].name, n->name)) {
            return not_whole(c, "'%s' is there twice", n->name);
        }
        n->twin = twin == FAT_NONE ? FAT_NONE : find_child(old, twin, n->name);
    }
    return 0;
}

static int read_entries(Commit *c, uint32_t dir)
{
    uint32_t from = c->t.count;
    LongName l = {.next = 0};
    int ret = 0;

    for (uint64_t at = 0; at < c->t.nodes[dir].size && ret == 0; at += FAT_ENTRY) {
        const uint8_t *e = c->t.nodes[dir].data + at;
        if (e[0] == 0) {
            break;
        }
        if (e[0] != DELETED && (e[11] & ATTR_MASK) == ATTR_LONG) {
            take_long(&l, e);
            continue;
        }
        if (e[0] != DELETED && !(e[11] & ATTR_LABEL) && !(dir && is_dots(e))) {
            ret = add_entry(c, dir, &l, e);
        }
        l.next = 0;
    }
    c->t.nodes[dir].first_child = from;
    c->t.nodes[dir].children = c->t.count - from;
    return ret ? ret : settle_names(c, dir);
}

static int check_file(Commit *c, uint32_t i)
{
    const FatNode *n = &c->t.nodes[i];
    uint32_t count = 0;
    int ret = n->cluster ? follow_chain(c, i, n->cluster, &count) : 0;

    if (ret == 0 && n->size > (uint64_t)count * c->v->g.cluster * FAT_SECTOR) {
        ret = not_whole(c, "'%s' has fewer clusters than its size needs", n->name);
    }
    return ret;
}

static int read_tree(Commit *c)
{
    int ret = check_boot(c);

    ret = ret ? ret : read_fat(c);
    if (ret == 0) {
        FatNode *root = fat_add_node(&c->t, FAT_NONE, "");
        root->is_dir = true;
        root->twin = 0;
        root->cluster = c->v->g.root_cluster;
    }
    for (uint32_t i = 0; ret == 0 && i < c->t.count; i++) {
        unsigned depth = 0;
        for (uint32_t n = i; n; n = c->t.nodes[n].parent) {
            depth++;
        }
        if (depth > FAT_MAX_DEPTH) {
            ret = not_whole(c, "directories are more than %d levels deep", FAT_MAX_DEPTH);
        } else if (c->t.nodes[i].is_dir) {
            ret = load_dir(c, i);
            ret = ret ? ret : read_entries(c, i);
        } else {
            ret = check_file(c, i);
        }
    }
    return ret;
}

/* ---- comparing ---- */

static bool is_fresh(const Vvfat *v, uint32_t cluster)
{
    uint32_t sector = cluster_sector(v, cluster);

    for (uint32_t i = sector; i < sector + v->g.cluster; i++) {
        if (v->fresh[i / 8] >> i % 8 & 1) {
            return true;
        }
    }
    return false;
}

/* Whether the clusters of a file lie elsewhere than its twin's, or were written. */
static bool differs(const Commit *c, const FatNode *n)
{
    const Vvfat *v = c->v;
    uint64_t count = DIV_ROUND_UP(n->size, (uint64_t)v->g.cluster * FAT_SECTOR);
    uint32_t cluster = n->cluster;

    if (v->tree.nodes[n->twin].size != n->size) {
        return true;
    }
    for (uint64_t k = 0; k < count; k++, cluster = fat_get(v, c->fat, cluster)) {
        const FatRun *run = fat_find_run(&v->tree, cluster);
        if (!run || run->node != n->twin || run->index + (cluster - run->first) != k ||
            is_fresh(v, cluster)) {
            return true;
        }
    }
    return false;
}

/* Something of that name that is not shown, or that came meanwhile, is not the guest's to replace.
 */
static int check_free(Commit *c, const FatNode *n)
{
    const FatTree *old = &c->v->tree;
    uint32_t dir = c->t.nodes[n->parent].twin;
    struct stat st;

    if (n->twin != FAT_NONE || dir == FAT_NONE || find_child(old, dir, n->name) != FAT_NONE) {
        return 0;
    }
    int fd = fat_open_dir(c->v, old, dir);
    bool there = fd >= 0 && fstatat(fd, n->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return fd < 0  ? not_whole(c, "directory '%s' is gone on the host", old->nodes[dir].name)
           : there ? not_whole(c, "'%s' is on the host already, though not shown", n->name)
                   : 0;
}

static int compare_trees(Commit *c)
{
    const FatTree *old = &c->v->tree;

    c->kept = calloc(1, old->count);
    c->in_way = calloc(1, old->count);
    if (!c->kept || !c->in_way) {
        errno = ENOMEM;
        return failed(c, "compare", "the directories");
    }
    c->kept[0] = 1;
    for (uint32_t i = 1; i < c->t.count; i++) {
        FatNode *n = &c->t.nodes[i];
        if (n->twin != FAT_NONE && old->nodes[n->twin].is_dir != n->is_dir) {
            c->in_way[n->twin] = 1;
            n->twin = FAT_NONE;
        }
        if (n->twin != FAT_NONE) {
            c->kept[n->twin] = 1;
        }
        n->changed = n->twin == FAT_NONE || (!n->is_dir && differs(c, n));
    }
    for (uint32_t i = 1; i < c->t.count; i++) {
        int ret = check_free(c, &c->t.nodes[i]);
        if (ret) {
            return ret;
        }
    }
    for (uint32_t i = 1; i < old->count; i++) {
        c->in_way[i] |= c->in_way[old->nodes[i].parent];
    }
    return 0;
}

/* ---- carrying out ---- */

static int write_all(int fd, const uint8_t *buf, size_t bytes, uint64_t offset)
{
    while (bytes) {
        ssize_t n = pwrite(fd, buf, bytes, (off_t)offset);
        if (n < 0 && errno != EINTR) {
            return -1;
        }
        n = MAX(n, 0);
        buf += n;
        offset += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return 0;
}

static int copy_contents(Commit *c, const FatNode *n, int fd)
{
    Vvfat *v = c->v;
    size_t bytes = (size_t)v->g.cluster * FAT_SECTOR;
    uint8_t *buf = malloc(bytes);
    uint32_t cluster = n->cluster;
    int ret = buf ? 0 : -1;

    for (uint64_t at = 0; at < n->size && ret == 0; at += bytes) {
        int err = fat_read_sectors(v, cluster_sector(v, cluster), v->g.cluster, buf);
        errno = -err;
        size_t some = MIN(n->size - at, bytes);
        ret = err < 0 ? -1 : buffer_is_zero(buf, some) ? 0 : write_all(fd, buf, some, at);
        cluster = fat_get(v, c->fat, cluster);
    }
    free(buf);
    ret = ret < 0 ? ret : ftruncate(fd, (off_t)n->size);
    return ret < 0 ? ret : fsync(fd);
}

/* The new contents into a file that has no name of the guest's yet. */
static int stage(Commit *c, FatNode *n)
{
    Vvfat *v = c->v;
    char name[FAT_TEMP_SPACE];
    struct stat st;
    int fd;

    do {
        snprintf(name, sizeof(name), FAT_TEMP_PREFIX "%ld-%llu", (long)getpid(),
                 (unsigned long long)v->temps++);
        fd = openat(v->dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    } while (fd < 0 && errno == EEXIST);
    if (fd < 0) {
        return failed(c, "write", n->name);
    }
    strcpy(n->temp, name);
    if (copy_contents(c, n, fd) < 0) {
        int ret = failed(c, "write", n->name);
        close(fd);
        return ret;
    }
    int old = n->twin == FAT_NONE ? -1 : fat_open_file(v, &v->tree, n->twin);
    if (old >= 0) {
        if (fstat(old, &st) == 0 && fchmod(fd, st.st_mode & 07777) < 0) {
            /* then with the mode of a new file */
        }
        close(old);
    }
    close(fd);
    return 0;
}

static int delete_old(Commit *c, const uint8_t *which, bool wanted)
{
    const FatTree *old = &c->v->tree;

    for (uint32_t i = old->count - 1; i > 0; i--) {
        const FatNode *n = &old->nodes[i];
        if (!which[i] == wanted) {
            continue;
        }
        int fd = fat_open_dir(c->v, old, n->parent);
        if (fd < 0) {
            if (fd == -ENOENT) {
                continue; /* somebody was quicker */
            }
            errno = -fd;
            return failed(c, "delete", n->name);
        }
        int ret = unlinkat(fd, n->name, n->is_dir ? AT_REMOVEDIR : 0);
        int err = errno;
        close(fd);
        /* A directory with things in it that were not shown stays. */
        if (ret < 0 && err != ENOENT && err != ENOTEMPTY && err != EEXIST) {
            errno = err;
            return failed(c, "delete", n->name);
        }
    }
    return 0;
}

static int put_in_place(Commit *c, FatNode *n)
{
    struct stat st;
    int fd = fat_open_dir(c->v, &c->t, n->parent), ret;

    if (fd < 0) {
        errno = -fd;
        return failed(c, "write", n->name);
    }
    bool there = fstatat(fd, n->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (n->is_dir) {
        ret = there && S_ISDIR(st.st_mode) ? 0 : mkdirat(fd, n->name, 0777);
    } else if (there && (n->twin == FAT_NONE || !S_ISREG(st.st_mode))) {
        /* Something that is not shown, or that came meanwhile: it is not the guest's to replace. */
        errno = EEXIST;
        ret = -1;
    } else {
        ret = renameat(c->v->dirfd, n->temp, fd, n->name);
        if (ret == 0) {
            n->temp[0] = 0;
        }
    }
    ret = ret < 0 ? failed(c, "write", n->name) : 0;
    fsync(fd);
    close(fd);
    return ret;
}

static int carry_out(Commit *c)
{
    int ret = 0;

    for (uint32_t i = 1; i < c->t.count && ret == 0; i++) {
        if (c->t.nodes[i].changed && !c->t.nodes[i].is_dir) {
            ret = stage(c, &c->t.nodes[i]);
        }
    }
    if (ret == 0) {
        fat_close_file(c->v);
        ret = delete_old(c, c->in_way, true);
        for (uint32_t i = 0; i < c->v->tree.count; i++) {
            c->kept[i] |= c->in_way[i]; /* their names are others' now */
        }
        for (uint32_t i = 1; i < c->t.count && ret == 0; i++) {
            if (c->t.nodes[i].changed) {
                ret = put_in_place(c, &c->t.nodes[i]);
            }
        }
        ret = ret < 0 ? ret : delete_old(c, c->kept, false);
        c->v->broken = ret < 0;
    }
    /* After a failure the new contents stay where they are, to be looked at, unless nothing has
       happened yet. */
    for (uint32_t i = 1; i < c->t.count && !c->v->broken; i++) {
        if (c->t.nodes[i].temp[0]) {
            unlinkat(c->v->dirfd, c->t.nodes[i].temp, 0);
        }
    }
    return ret;
}

int fat_commit(Vvfat *v, char *why, unsigned size)
{
    Commit c = {.v = v, .why = why, .size = size};

    snprintf(why, size, "it could not be written before");
    if (!v->dirty || v->broken) {
        return v->broken ? -EIO : 0;
    }
    snprintf(why, size, "cannot read what the guest wrote");
    int ret = read_tree(&c);
    ret = ret ? ret : compare_trees(&c);
    ret = ret ? ret : carry_out(&c);
    if (ret == 0) {
        fat_sort_runs(&c.t);
        fat_close_file(v);
        fat_tree_free(&v->tree);
        free(v->fat);
        v->tree = c.t;
        v->fat = c.fat;
        memset(v->fresh, 0, v->g.sectors / 8 + 1);
        v->dirty = false;
    } else {
        fat_tree_free(&c.t);
        free(c.fat);
    }
    free(c.used);
    free(c.kept);
    free(c.in_way);
    return ret;
}
