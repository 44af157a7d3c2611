/*
 * vvfat: laying out a volume for what a directory of the host holds, after Microsoft's "FAT:
 * General Overview of On-Disk Format", version 1.03. What FAT cannot show (symbolic links, devices,
 * names with characters of its own, files of 4 GB and more) is left out with a line that says so.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "block/util.h"
#include "block/vvfat.h"

enum {
    HEADS = 16,
    TRACK = 63, /* and where the partition begins */
    CYLINDERS = 1024,
    ROOT_ENTRIES = 512,
    MAX_SHORT_TRIES = 4096,
    MAX_HIDDEN_TOLD = 5,
    RESERVED_32 = 32, /* sectors before the FAT of a FAT32 volume */
    INFO_SECTOR = 1,
    BACKUP_SECTOR = 6,
};
#define MAX_FILE    0xffffffffull
#define SERIAL      0x1afdfabe
#define MAX_SECTORS (1ull << 32) /* of 512 bytes: 2 TB */

/* ---- reading the directory ---- */

static void set_time(FatNode *n, time_t seconds)
{
    struct tm t;

    localtime_r(&seconds, &t);
    if (t.tm_year < 80) { /* before 1980 there is nothing */
        t = (struct tm){.tm_year = 80, .tm_mday = 1};
    }
    n->date = (uint16_t)(MIN(t.tm_year - 80, 127) << 9 | (t.tm_mon + 1) << 5 | t.tm_mday);
    n->time = (uint16_t)(t.tm_hour << 11 | t.tm_min << 5 | MIN(t.tm_sec, 59) / 2);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a directory, sorted; the caller frees them. */
static char **read_names(int fd, size_t *count)
{
    DIR *d = fdopendir(fd);
    char **names = NULL;
    size_t room = 0;

    *count = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) {
            continue;
        }
        if (*count == room) {
            room = room ? 2 * room : 64;
            names = realloc(names, room * sizeof(*names));
            if (!names) {
                abort();
            }
        }
        names[(*count)++] = strdup(e->d_name);
    }
    if (d) {
        closedir(d);
    } else {
        close(fd);
    }
    if (names) {
        qsort(names, *count, sizeof(*names), by_name);
    }
    return names;
}

static bool short_is_taken(const FatTree *t, uint32_t from, const uint8_t *name)
{
    for (uint32_t i = from; i + 1 < t->count; i++) {
        if (!memcmp(t->nodes[i].short_name, name, 11)) {
            return true;
        }
    }
    return false;
}

/* The newest node's, among its siblings from `from` on. */
static bool choose_short(FatTree *t, uint32_t from)
{
    FatNode *n = &t->nodes[t->count - 1];
    bool exact;

    fat_make_short(n->name, 0, n->short_name, &n->case_flags, &exact);
    n->has_long = !exact;
    if (exact && !short_is_taken(t, from, n->short_name)) {
        return true;
    }
    n->has_long = true;
    for (unsigned tail = 1; tail < MAX_SHORT_TRIES; tail++) {
        fat_make_short(n->name, tail, n->short_name, &n->case_flags, &exact);
        if (!short_is_taken(t, from, n->short_name)) {
            n->case_flags = 0;
            return true;
        }
    }
    return false;
}

static bool same_but_for_case(const FatTree *t, uint32_t from, const char *name)
{
    for (uint32_t i = from; i < t->count; i++) {
        if (!strcasecmp(t->nodes[i].name, name)) {
            return true;
        }
    }
    return false;
}

static const char *why_not(const FatTree *t, uint32_t from, const char *name, const struct stat *st)
{
    uint16_t units[FAT_MAX_NAME + 1];
    unsigned count;

    return !S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode) ? "is neither file nor directory"
           : !fat_name_possible(name) || !fat_name_to_units(name, units, &count)
               ? "has a name that FAT cannot have"
           : S_ISREG(st->st_mode) && (uint64_t)st->st_size > MAX_FILE ? "has 4 GB or more"
           : same_but_for_case(t, from, name) ? "differs from another name only by its case"
                                              : NULL;
}

/* A line each for the first few. */
static void tell_hidden(Vvfat *v, const char *name, const char *why)
{
    if (v->hidden++ < MAX_HIDDEN_TOLD) {
        warn_report("%s: %s %s; it is not shown", v->dir, name, why);
    } else if (v->hidden == MAX_HIDDEN_TOLD + 1) {
        warn_report("%s: there is more that cannot be shown", v->dir);
    }
}

static bool add_children(Vvfat *v, uint32_t dir, Error **errp)
{
    FatTree *t = &v->tree;
    uint32_t from = t->count;
    int fd = fat_open_dir(v, t, dir);
    int list = fd < 0 ? fd : openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    size_t count;

    if (list < 0) {
        error_set_errno(errp, fd < 0 ? -fd : errno, "cannot read directory %s/%s", v->dir,
                        t->nodes[dir].name);
        return false;
    }
    char **names = read_names(list, &count);
    bool ok = true;
    for (size_t i = 0; i < count; i++) {
        struct stat st;
        if (ok && !strncmp(names[i], FAT_TEMP_PREFIX, strlen(FAT_TEMP_PREFIX))) {
            /* left over from a crash; the user may look into it */
        } else if (ok && fstatat(fd, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0) {
            const char *why = why_not(t, from, names[i], &st);
            FatNode *n = why ? NULL : fat_add_node(t, dir, names[i]);
            if (why) {
                tell_hidden(v, names[i], why);
            } else if (!n) {
                error_set(errp, "directory %s has more than %d files", v->dir, FAT_MAX_NODES);
                ok = false;
            } else {
                n->is_dir = S_ISDIR(st.st_mode);
                n->size = n->is_dir ? 0 : (uint64_t)st.st_size;
                set_time(n, st.st_mtime);
                if (!choose_short(t, from)) {
                    error_set(errp, "%s: too many files whose names are alike", v->dir);
                    ok = false;
                }
            }
        }
        free(names[i]);
    }
    free(names);
    close(fd);
    t->nodes[dir].first_child = from;
    t->nodes[dir].children = t->count - from;
    return ok;
}

static unsigned depth_of(const FatTree *t, uint32_t node)
{
    unsigned depth = 0;

    while (node) {
        node = t->nodes[node].parent;
        depth++;
    }
    return depth;
}

static bool read_tree(Vvfat *v, Error **errp)
{
    FatNode *root = fat_add_node(&v->tree, FAT_NONE, "");

    root->is_dir = true;
    set_time(root, time(NULL));
    for (uint32_t i = 0; i < v->tree.count; i++) {
        if (!v->tree.nodes[i].is_dir) {
            continue;
        }
        if (depth_of(&v->tree, i) >= FAT_MAX_DEPTH) {
            error_set(errp, "directory %s is more than %d levels deep", v->dir, FAT_MAX_DEPTH);
            return false;
        }
        if (!add_children(v, i, errp)) {
            return false;
        }
    }
    return true;
}

/* ---- sizes ---- */

static uint64_t dir_bytes(const FatTree *t, uint32_t dir)
{
    const FatNode *d = &t->nodes[dir];
    uint64_t entries = dir ? 2 : 1; /* "." and "..", or the label */

    for (uint32_t i = 0; i < d->children; i++) {
        const FatNode *n = &t->nodes[d->first_child + i];
        entries += 1 + (n->has_long ? fat_long_entries(n->name) : 0);
    }
    return entries * FAT_ENTRY;
}

static uint64_t clusters_of(const FatGeometry *g, uint64_t bytes)
{
    return DIV_ROUND_UP(bytes, (uint64_t)g->cluster * FAT_SECTOR);
}

/* Sectors of one FAT, of which there are two: enough for the clusters that remain beside them. */
static void place_tables(FatGeometry *g)
{
    uint64_t volume = g->sectors - g->start;

    g->reserved = g->bits == 32 ? RESERVED_32 : 1;
    g->root_sectors = g->bits == 32 ? 0 : ROOT_ENTRIES * FAT_ENTRY / FAT_SECTOR;
    uint64_t rest = volume - g->reserved - g->root_sectors;
    uint64_t clusters = rest / g->cluster;
    g->fat_sectors = (uint32_t)DIV_ROUND_UP((clusters + 2) * g->bits, 8 * FAT_SECTOR);
    g->data = g->reserved + 2 * g->fat_sectors + g->root_sectors;
    g->clusters = (uint32_t)((volume - g->data) / g->cluster);
}

/*
 * Disks are as large as those of other programs that show directories: 504 MB (FAT12: 31 MB), a
 * floppy 2.88 MB, or 1.44 MB with FAT12 asked for. FAT32 grows with what it has to hold.
 */
static bool choose_geometry(Vvfat *v, unsigned bits, uint64_t content, Error **errp)
{
    FatGeometry *g = &v->g;

    g->bits = bits ? bits : v->floppy ? 12 : 16;
    if (v->floppy && g->bits == 32) {
        error_set(errp, "a floppy with FAT32 is not possible; possible: 12, 16");
        return false;
    }
    if (v->floppy) {
        g->heads = 2;
        g->track = bits == 12 ? 18 : 36;
        g->sectors = 80u * g->heads * g->track;
        g->cluster = bits ? 1 : 2;
    } else {
        uint64_t sectors = (g->bits == 12 ? 64u : CYLINDERS) * HEADS * TRACK;
        if (g->bits == 32 && content / FAT_SECTOR > sectors / 2) {
            sectors = ROUND_UP(content / FAT_SECTOR * 2, HEADS * TRACK);
        }
        if (sectors >= MAX_SECTORS) {
            error_set(errp, "directory %s is too large for FAT32", v->dir);
            return false;
        }
        g->heads = HEADS;
        g->track = TRACK;
        g->start = TRACK;
        g->sectors = (uint32_t)sectors;
        g->cluster = g->bits == 32 ? 8 : 16;
        while (g->bits == 32 && sectors / g->cluster > 1u << 24) {
            g->cluster *= 2;
        }
    }
    place_tables(g);
    return true;
}

/* ---- clusters ---- */

static void fat_set(Vvfat *v, uint32_t cluster, uint32_t value)
{
    if (v->g.bits == 32) {
        store_le32(v->fat + 4ull * cluster, value);
    } else if (v->g.bits == 16) {
        store_le16(v->fat + 2ull * cluster, (uint16_t)value);
    } else {
        uint8_t *p = v->fat + cluster + cluster / 2;
        uint16_t pair = load_le16(p);
        pair = cluster & 1 ? (pair & 0x000f) | (uint16_t)(value << 4)
                           : (pair & 0xf000) | (value & 0xfff);
        store_le16(p, pair);
    }
}

/* One node behind the other. */
static bool give_clusters(Vvfat *v, Error **errp)
{
    const FatGeometry *g = &v->g;
    uint64_t next = 2;

    for (uint32_t i = 0; i < v->tree.count; i++) {
        FatNode *n = &v->tree.nodes[i];
        if (i == 0 && g->bits != 32) {
            if (n->size > (uint64_t)g->root_sectors * FAT_SECTOR) {
                error_set(errp,
                          "directory %s: the root of FAT%u holds %d entries only; use fat:32:",
                          v->dir, g->bits, ROOT_ENTRIES);
                return false;
            }
            continue;
        }
        uint64_t count = clusters_of(g, n->size);
        if (next - 2 + count > g->clusters) {
            error_set(errp, "directory %s does not fit into %u MB of FAT%u%s", v->dir,
                      (unsigned)((uint64_t)g->clusters * g->cluster / 2048), g->bits,
                      v->floppy ? "" : "; use fat:32:");
            return false;
        }
        n->cluster = count ? (uint32_t)next : 0;
        for (uint64_t k = 0; k < count; k++, next++) {
            fat_set(v, (uint32_t)next, k + 1 < count ? (uint32_t)next + 1 : 0x0fffffff);
            fat_add_cluster(&v->tree, (uint32_t)next, i, (uint32_t)k);
        }
    }
    v->g.root_cluster = v->tree.nodes[0].cluster;
    return true;
}

static uint8_t *put_dot(const FatNode *n, uint8_t *at, const char *name, uint32_t cluster)
{
    FatNode dot = {.is_dir = true, .cluster = cluster, .date = n->date, .time = n->time};

    memset(dot.short_name, ' ', 11);
    memcpy(dot.short_name, name, strlen(name));
    return at + fat_put_entry(&dot, at);
}

static void fill_dir(Vvfat *v, uint32_t dir)
{
    FatTree *t = &v->tree;
    FatNode *d = &t->nodes[dir];
    uint8_t *at = d->data = calloc(1, d->size);

    if (!at) {
        abort();
    }
    if (dir) {
        at = put_dot(d, at, ".", d->cluster);
        at = put_dot(d, at, "..", d->parent ? t->nodes[d->parent].cluster : 0);
    } else {
        memcpy(at, v->label, 11);
        at[11] = 0x08;
        store_le16(at + 22, d->time);
        store_le16(at + 24, d->date);
        at += FAT_ENTRY;
    }
    for (uint32_t i = 0; i < d->children; i++) {
        at += fat_put_entry(&t->nodes[d->first_child + i], at);
    }
}

/* ---- first sectors ---- */

static void put_chs(const FatGeometry *g, uint32_t sector, uint8_t *at)
{
    uint32_t cylinder = sector / (g->heads * g->track);
    uint32_t head = sector / g->track % g->heads, s = sector % g->track + 1;

    if (cylinder > 1023) { /* as far as it goes: readers take the numbers behind */
        cylinder = 1023;
        head = g->heads - 1u;
        s = g->track;
    }
    at[0] = (uint8_t)head;
    at[1] = (uint8_t)(s | (cylinder >> 2 & 0xc0));
    at[2] = (uint8_t)cylinder;
}

/* There is nothing to start here: INT 18h makes the firmware go on; HLT; JMP back. */
static const uint8_t next_device[] = {0xcd, 0x18, 0xf4, 0xeb, 0xfd};

static void fill_mbr(Vvfat *v)
{
    const FatGeometry *g = &v->g;
    uint8_t *p = v->mbr + 446;
    bool large = (uint64_t)g->sectors > 1023u * HEADS * TRACK + HEADS * TRACK;

    memcpy(v->mbr, next_device, sizeof(next_device));
    store_le32(v->mbr + 440, SERIAL);
    p[0] = 0x80;
    put_chs(g, g->start, p + 1);
    p[4] = g->bits == 12 ? 0x01 : g->bits == 16 ? 0x06 : large ? 0x0c : 0x0b;
    put_chs(g, g->sectors - 1, p + 5);
    store_le32(p + 8, g->start);
    store_le32(p + 12, g->sectors - g->start);
    store_le16(v->mbr + 510, 0xaa55);
}

static void fill_boot(Vvfat *v)
{
    const FatGeometry *g = &v->g;
    uint32_t volume = g->sectors - g->start;
    uint8_t *b = v->boot, *tail = b + (g->bits == 32 ? 64 : 36);

    memcpy(b, g->bits == 32 ? "\xeb\x58\x90" : "\xeb\x3c\x90", 3);
    memcpy(b + (g->bits == 32 ? 90 : 62), next_device, sizeof(next_device));
    memcpy(b + 3, "MSDOS5.0", 8);
    store_le16(b + 11, FAT_SECTOR);
    b[13] = (uint8_t)g->cluster;
    store_le16(b + 14, (uint16_t)g->reserved);
    b[16] = 2;
    store_le16(b + 17, g->bits == 32 ? 0 : ROOT_ENTRIES);
    if (volume < 65536 && g->bits != 32) {
        store_le16(b + 19, (uint16_t)volume);
    } else {
        store_le32(b + 32, volume);
    }
    b[21] = v->floppy ? 0xf0 : 0xf8;
    store_le16(b + 22, g->bits == 32 ? 0 : (uint16_t)g->fat_sectors);
    store_le16(b + 24, g->track);
    store_le16(b + 26, g->heads);
    store_le32(b + 28, g->start);
    if (g->bits == 32) {
        store_le32(b + 36, g->fat_sectors);
        store_le32(b + 44, g->root_cluster);
        store_le16(b + 48, INFO_SECTOR);
        store_le16(b + 50, BACKUP_SECTOR);
        store_le32(v->info, 0x41615252);
        store_le32(v->info + 484, 0x61417272);
        store_le32(v->info + 488, 0xffffffff); /* free clusters: not known */
        store_le32(v->info + 492, 0xffffffff);
        store_le32(v->info + 508, 0xaa550000);
    }
    tail[0] = v->floppy ? 0 : 0x80;
    tail[2] = 0x29;
    store_le32(tail + 3, SERIAL);
    memcpy(tail + 7, v->label, 11);
    memcpy(tail + 18, g->bits == 32 ? "FAT32   " : g->bits == 16 ? "FAT16   " : "FAT12   ", 8);
    store_le16(b + 510, 0xaa55);
}

bool fat_build(Vvfat *v, unsigned bits, Error **errp)
{
    FatTree *t = &v->tree;
    uint64_t content = 0;

    if (!read_tree(v, errp)) {
        return false;
    }
    for (uint32_t i = 0; i < t->count; i++) {
        FatNode *n = &t->nodes[i];
        n->size = n->is_dir ? dir_bytes(t, i) : n->size;
        content += ROUND_UP(n->size, 32768);
    }
    if (!choose_geometry(v, bits, content, errp)) {
        return false;
    }
    v->fat = calloc(v->g.fat_sectors, FAT_SECTOR);
    if (!v->fat) {
        error_set(errp, "directory %s: there is no memory for its FAT", v->dir);
        return false;
    }
    fat_set(v, 0, v->floppy ? 0x0ffffff0 : 0x0ffffff8);
    fat_set(v, 1, 0x0fffffff);
    if (!give_clusters(v, errp)) {
        return false;
    }
    for (uint32_t i = 0; i < t->count; i++) {
        if (t->nodes[i].is_dir) {
            fill_dir(v, i);
        }
    }
    fat_sort_runs(t);
    if (!v->floppy) {
        fill_mbr(v);
    }
    fill_boot(v);
    return true;
}
