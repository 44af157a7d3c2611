/*
 * Fuzzer of directories as disks: a guest that writes anything into the file system of fat:rw:DIR.
 * Whatever it does, nothing beside the directory changes, nothing that was not shown goes away, and
 * the program neither crashes nor takes long. What it does follows from the seed alone.
 * Seconds are the processor's.
 *
 *     vvfat [--runs N] [--seconds N] [--seed N] DIRECTORY        works in DIRECTORY, which it
 * empties
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "block/block.h"
#include "block/driver.h"
#include "block/util.h"
#include "tests/rng.h"

enum { SECTORS = 200 };

static FILE *messages;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    return remove(path);
}

static void put(const char *name, size_t bytes)
{
    FILE *f = fopen(name, "wb");

    if (!f) {
        abort();
    }
    for (size_t i = 0; i < bytes; i++) {
        fputc((int)('a' + i % 26), f);
    }
    fclose(f);
}

static void make_tree(void)
{
    nftw("tree", remove_one, 32, FTW_DEPTH | FTW_PHYS);
    mkdir("tree", 0777);
    mkdir("tree/sub", 0777);
    mkdir("tree/sub/end", 0777);
    put("tree/one.txt", 700);
    put("tree/A Long Name.text", 9000);
    put("tree/sub/two", 3000);
    put("tree/sub/end/three", 10);
    if (symlink("../outside", "tree/link") < 0 || symlink("..", "tree/sub/up") < 0) {
        abort();
    }
}

/* A spot that looks like a directory entry, mostly. */
static size_t place(const uint8_t *disk, size_t bytes)
{
    for (unsigned tries = 0; tries < 4000; tries++) {
        size_t line = below(bytes) & ~31ull;
        uint8_t attributes = disk[line + 11];
        if (disk[line] && (attributes == 0x10 || attributes == 0x20 || attributes == 0x0f)) {
            return line + below(32);
        }
    }
    return below(bytes);
}

/* A piece of a directory or the FAT becomes something else. */
static void damage(uint8_t *disk, size_t bytes)
{
    static const char *const names[] = {"..         ", "../OUT     ", "LINK       ",
                                        "SUB        ", "TREE    TXT", "/TMP       ",
                                        ".          ", "A\\B        "};
    size_t at = place(disk, bytes), line = at & ~31ull, from = place(disk, bytes) & ~31ull;

    switch (below(8)) {
    case 0:
        memcpy(disk + line, names[below(6) ? 2 + below(3) : below(8)], 11);
        break;
    case 1: /* one entry over another */
        memmove(disk + line, disk + from, 32);
        break;
    case 2: /* into a directory, a long name, a label */
        disk[line + 11] = (uint8_t)(1u << below(6) | (below(3) ? 0 : 0x0f));
        break;
    case 3: /* first cluster, size */
        disk[line + 26 + below(6)] = (uint8_t)below(256);
        break;
    case 4:
        disk[line + 1 + 2 * below(5)] = (uint8_t)("/aBcDe~1.XyZ"[below(12)]);
        break;
    case 5:
        memmove(disk + at, disk + from, MIN(1 + below(64), bytes - MAX(at, from)));
        break;
    case 6:
        disk[512 + below(60)] ^= (uint8_t)(1u << below(8)); /* the FAT's beginning */
        break;
    default:
        disk[at] = (uint8_t)rng();
    }
}

static void one_guest(const char *kind)
{
    static uint8_t disk[SECTORS * 512];
    char name[64];

    snprintf(name, sizeof(name), "fat:%srw:tree", kind);
    BlockOptions *o = blkopts_new();
    blkopts_set(o, "driver", "raw");
    blkopts_set(o, "file.filename", name);
    BlockChild *c = bdrv_open_root(NULL, o, BDRV_O_RDWR, NULL);
    if (!c || bdrv_pread(c, 0, sizeof(disk), disk) < 0) {
        fprintf(messages, "%s cannot be opened or read\n", name);
        abort();
    }
    for (unsigned turn = 0; turn < 3; turn++) {
        for (uint64_t n = 1 + below(3); n; n--) {
            damage(disk, sizeof(disk) - 64);
        }
        size_t from = below(4) ? 0 : below(SECTORS / 2);
        if (bdrv_pwrite(c, from * 512, sizeof(disk) - from * 512, disk + from * 512, 0) < 0) {
            fprintf(messages, "%s cannot be written\n", name);
            abort();
        }
        bdrv_flush(bdrv_child_node(c));
        bdrv_pread(c, below(2000) * 512, 4096, disk + 128 * 512);
        bdrv_pread(c, 0, sizeof(disk), disk);
    }
    bdrv_root_detach(c);
}

/* Only what was there, as it was. */
static bool outside_is_whole(void)
{
    char target[64] = "";
    unsigned entries = 0;
    struct stat st;
    DIR *d = opendir(".");

    for (struct dirent *e; d && (e = readdir(d));) {
        entries++;
    }
    if (d) {
        closedir(d);
    }
    return entries == 4 && stat("outside", &st) == 0 && st.st_size == 100 &&
           readlink("tree/link", target, sizeof(target) - 1) > 0 && !strcmp(target, "../outside");
}

int main(int argc, char **argv)
{
    static const char *const kinds[] = {"floppy:", "floppy:12:", "floppy:16:"};
    uint64_t runs = 500, seed = 1, done = 0;
    clock_t seconds = 0;

    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t value = strtoull(argv[i + 1], NULL, 10);
        *(!strcmp(argv[i], "--runs") ? &runs : &seed) = value;
        if (!strcmp(argv[i], "--seconds")) {
            seconds = (clock_t)value;
            seed = 1;
        }
    }
    const char *where = argc > 1 ? argv[argc - 1] : "";
    mkdir(where, 0777);
    if (argc % 2 || chdir(where) < 0 || setenv("TMPDIR", "/tmp", 1) < 0) {
        fprintf(stderr, "usage: vvfat [--runs N] [--seconds N] [--seed N] DIRECTORY\n");
        return 1;
    }
    messages = stderr;
    if (!getenv("FUZZ_MESSAGES")) {
        stderr = fopen("/dev/null", "w");
    }
    loop_init();
    machine_lock();
    put("outside", 100);
    for (; seconds ? clock() < seconds * CLOCKS_PER_SEC : done < runs; done++) {
        rng_state = (seed << 32) + done + 1;
        rng();
        make_tree();
        one_guest(kinds[below(3)]);
        if (!outside_is_whole()) {
            fprintf(messages,
                    "guest %" PRIu64 " of seed %" PRIu64 " reached out of the directory\n", done,
                    seed);
            return 1;
        }
    }
    printf("vvfat: %" PRIu64 " guests\n", done);
    return 0;
}
