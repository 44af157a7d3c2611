/*
 * vvfat, inside: a directory of the host shown as a disk with a FAT file system.
 *
 * Everything declared here blocks and runs on a worker thread, one call at a time (vvfat.c sees to
 * it), or while the image is opened.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_VVFAT_H
#define BLOCK_VVFAT_H

#include <stdbool.h>
#include <stdint.h>

#include "util/error.h"

enum {
    FAT_SECTOR = 512,
    FAT_ENTRY = 32,         /* bytes of a directory entry */
    FAT_MAX_NAME = 255,     /* UTF-16 units of a long name, and bytes of a host's name */
    FAT_MAX_NODES = 262144, /* files and directories */
    FAT_MAX_DEPTH = 64,
    FAT_TEMP_SPACE = 64,
};
#define FAT_TEMP_PREFIX ".vole-fat-" /* files being written; never shown */
#define FAT_NONE        UINT32_MAX

typedef struct FatGeometry {
    unsigned bits;    /* 12, 16, 32 */
    uint32_t sectors; /* of the disk */
    uint32_t start;   /* of the volume: 0 on a floppy, behind the partition table on a hard disk */
    uint32_t cluster; /* sectors a cluster */
    uint32_t reserved, fat_sectors, root_sectors, data; /* from the volume's start */
    uint32_t clusters;                                  /* numbered from 2 */
    uint16_t heads, track;                              /* track: sectors a track */
    uint32_t root_cluster;                              /* FAT32 */
} FatGeometry;

/* A file or a directory. Number 0 is the root. The children of a directory stand together, sorted
 * by name. */
typedef struct FatNode {
    char *name;      /* the host's */
    uint32_t parent; /* FAT_NONE: the root */
    bool is_dir;
    uint8_t short_name[11], case_flags;
    bool has_long;
    uint16_t date, time;
    uint64_t size;    /* bytes; of a directory: of data */
    uint32_t cluster; /* the first; 0: none */
    uint8_t *data;    /* directories: their entries */
    uint32_t first_child, children;
    uint32_t twin; /* while changes are carried out: the number in the tree before, or FAT_NONE */
    bool changed;
    char temp[FAT_TEMP_SPACE]; /* its new contents wait in this file */
} FatNode;

/* Clusters one behind the other that hold a node's clusters from index on. */
typedef struct FatRun {
    uint32_t first, count, node, index;
} FatRun;

typedef struct FatTree {
    FatNode *nodes;
    uint32_t count, room;
    FatRun *runs; /* sorted by first */
    uint32_t run_count, run_room;
} FatTree;

typedef struct Vvfat {
    char *dir;
    int dirfd;
    bool floppy, rw;
    unsigned hidden; /* names that FAT cannot show */
    char label[12];
    FatGeometry g;
    FatTree tree;
    uint8_t mbr[FAT_SECTOR], boot[FAT_SECTOR], info[FAT_SECTOR];
    uint8_t *fat; /* fat_sectors * FAT_SECTOR bytes, as the tree has it */

    int overlay;      /* what the guest wrote; -1: nothing yet */
    uint8_t *written; /* a bit for each sector that stands there */
    uint8_t *fresh;   /* and for those that were written since changes were carried out last */
    bool dirty, broken;
    uint64_t temps;

    int open_fd; /* the file read last */
    uint32_t open_node;
} Vvfat;

/* vvfat-tree.c */
void fat_tree_free(FatTree *t);
FatNode *fat_add_node(FatTree *t, uint32_t parent, const char *name); /* NULL: too many */
void fat_add_cluster(FatTree *t, uint32_t cluster, uint32_t node, uint32_t index);
void fat_sort_runs(FatTree *t);
const FatRun *fat_find_run(const FatTree *t, uint32_t cluster);
/* The directory of a node, or the node itself; a descriptor, or a negative errno. No symbolic link
 * is followed on the way. */
int fat_open_dir(const Vvfat *v, const FatTree *t, uint32_t node);
int fat_open_file(const Vvfat *v, const FatTree *t, uint32_t node);
uint32_t fat_get(const Vvfat *v, const uint8_t *fat, uint32_t cluster);
bool fat_is_end(const Vvfat *v, uint32_t entry);
void fat_close_file(Vvfat *v);

/* vvfat-build.c: reads the directory and lays the volume out. */
bool fat_build(Vvfat *v, unsigned bits, Error **errp);

/* vvfat-name.c: names on disk and on the host. */
bool fat_name_to_units(const char *name, uint16_t *units, unsigned *count);
/* Which the host can have, in one directory and nowhere else. */
bool fat_units_to_name(const uint16_t *units, unsigned count, char *name);
bool fat_name_possible(const char *name);
/* How `name` is called in 8.3; *exact: and it says all of it. tail: 0, or what makes it differ from
 * others. */
void fat_make_short(const char *name, unsigned tail, uint8_t *short_name, uint8_t *case_flags,
                    bool *exact);
bool fat_short_to_name(const uint8_t *entry, char *name);
uint8_t fat_checksum(const uint8_t *short_name);
unsigned fat_long_entries(const char *name);
/* Entries of a long name, the last part first, and the short one; gives the bytes. */
unsigned fat_put_entry(const FatNode *n, uint8_t *out);

/* vvfat.c: what the guest sees. 0 or a negative errno. */
int fat_read_sectors(Vvfat *v, uint32_t sector, uint32_t count, uint8_t *buf);

/*
 * vvfat-commit.c: carries what the guest has done out in the directory, if the file system is
 * whole. 1: it is not, nothing happened (*why says what is wrong); 0: done; or a negative errno
 * with *why.
 */
int fat_commit(Vvfat *v, char *why, unsigned size);

#endif
