/*
 * Machine states out of damaged and hostile files: one that was saved is changed anywhere, its
 * checksums made right again so that what stands behind them is reached, and loaded. It must be
 * refused or give some machine; sanitizers watch.
 *
 * usage: snapshot [--cases N] [--seed N]
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/device.h"
#include "hw/machine.h"
#include "hw/mc146818.h"
#include "hw/memory.h"
#include "snapshot/format.h"
#include "snapshot/restore.h"
#include "snapshot/snapshot.h"
#include "util/loop.h"

enum {
    RAM = 1 << 20,
    HEADER_CRC = 12,
    DEVICE_POS = 24,
    INDEX_POS = 32,
    DEVICE_SIZE = 48,
    INDEX_SIZE = 52,
    DEVICE_CRC = 60,
    INDEX_CRC = 64
};

static uint64_t state = 88172645463325252;
static MemoryRegion ram;
static IrqLine line;
static char path[] = "/tmp/vole-fuzz-XXXXXX", tag[64];
static uint8_t *good, *file;
static size_t good_size, file_size;

static uint64_t rng(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static uint32_t below(uint64_t n)
{
    return (uint32_t)(rng() % n);
}

static void ignore_line(void *opaque, int n, bool level)
{
}

static void die(const char *what, Error *err)
{
    printf("not ok - %s: %s\n", what, err ? error_text(err) : "");
    exit(1);
}

static void make_machine(void)
{
    Error *err = NULL;

    loop_init();
    machine_lock();
    machine_config.ram_size = RAM;
    machine_config.cpus = 1;
    if (!memory_ram_init(RAM, &err)) {
        die("RAM", err);
    }
    memory_init();
    memory_region_init_ram(&ram, "ram", RAM, &err);
    memory_region_add(memory_as.root, 0, &ram, 0);
    memory_set_main_bytes(RAM);
    irq_init(&line, ignore_line, NULL, 0);
    mc146818_create(&line);
    for (unsigned page = 0; page < RAM / 4096; page++) {
        uint8_t bytes[4096];
        for (unsigned i = 0; i < 4096; i++) {
            bytes[i] = (uint8_t)(page % 3 == 0 ? rng() : page % 3 == 1 ? rng() % 8 : 0);
        }
        dma_write(page * 4096, bytes, sizeof(bytes));
    }
}

static void save(void)
{
    SnapshotTarget target = {.tag = tag, .replace = true};
    Error *err = NULL;

    close(mkstemp(path));
    snprintf(tag, sizeof(tag), "file:%s", path);
    if (!snapshot_save(&target, &err)) {
        die("savevm", err);
    }
    FILE *f = fopen(path, "r");
    fseek(f, 0, SEEK_END);
    good_size = (size_t)ftell(f);
    rewind(f);
    good = malloc(good_size);
    file = malloc(good_size + 4096);
    if (!good || !file || fread(good, 1, good_size, f) != good_size) {
        die("reading the file", NULL);
    }
    fclose(f);
}

/* Values that checks are about. */
static uint64_t value(void)
{
    static const uint64_t some[] = {0,          1,          15,         16,        4095,
                                    4096,       65535,      65536,      65540,     RAM,
                                    1ull << 31, 1ull << 32, 1ull << 46, INT64_MAX, UINT64_MAX};

    switch (below(4)) {
    case 0:
        return rng();
    case 1:
        return good_size - below(40) + below(40);
    default:
        return some[below(sizeof(some) / sizeof(some[0]))] - below(3) + below(3);
    }
}

static void change(size_t from, size_t size)
{
    size_t at = from + (size ? below(size) : 0);
    uint64_t v = value();
    unsigned n = 1u << below(4);

    if (below(3) == 0) {
        file[at] ^= (uint8_t)(1u << below(8));
    } else if (at + n <= file_size) {
        memcpy(file + at, &v, n);
    }
}

static uint64_t number(size_t at, unsigned bytes)
{
    uint64_t v = 0;

    memcpy(&v, file + at, bytes);
    return v;
}

static void fix(size_t pos, size_t size, size_t crc_at)
{
    if (pos <= file_size && size <= file_size - pos) {
        uint32_t crc = snapshot_crc(file + pos, size);
        memcpy(file + crc_at, &crc, 4);
    }
}

static void damage(void)
{
    memcpy(file, good, good_size);
    file_size = good_size;
    size_t device = number(DEVICE_POS, 8), index = number(INDEX_POS, 8);
    size_t device_size = number(DEVICE_SIZE, 4), index_size = number(INDEX_SIZE, 4);
    for (unsigned n = 1 + below(4); n; n--) {
        switch (below(5)) {
        case 0:
            change(0, 700); /* header */
            break;
        case 1:
            change(index, index_size);
            break;
        case 2:
            change(device, device_size);
            break;
        case 3:
            change(SNAPSHOT_HEADER, good_size - SNAPSHOT_HEADER);
            break;
        default:
            file_size = below(8) ? file_size : below(good_size);
            break;
        }
    }
    if (below(6)) {
        fix(number(DEVICE_POS, 8), number(DEVICE_SIZE, 4), DEVICE_CRC);
        fix(number(INDEX_POS, 8), number(INDEX_SIZE, 4), INDEX_CRC);
        memset(file + HEADER_CRC, 0, 4);
        fix(0, SNAPSHOT_HEADER, HEADER_CRC);
    }
}

static bool load(void)
{
    SnapshotTarget target = {.tag = tag};
    Error *err = NULL;
    FILE *f = fopen(path, "w");

    if (!f || fwrite(file, 1, file_size, f) != file_size || fclose(f)) {
        die("writing the file", NULL);
    }
    bool ok = snapshot_load(&target, &err);
    if (!ok && (!err || !error_text(err)[0])) {
        die("refused without a word", err);
    }
    error_free(err);
    if (below(2)) {
        uint8_t bytes[64];
        dma_read(below(RAM), bytes, sizeof(bytes));
        dma_write(below(RAM), bytes, sizeof(bytes));
    }
    if (below(2)) {
        restore_wait();
    }
    loop_run_once(0);
    return ok;
}

static void quiet(const char *message)
{
}

int main(int argc, char **argv)
{
    unsigned cases = 2000, loaded = 0;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--cases")) {
            cases = (unsigned)strtoul(argv[i + 1], NULL, 10);
        } else if (!strcmp(argv[i], "--seed")) {
            state ^= strtoull(argv[i + 1], NULL, 10) * 0x9e3779b97f4a7c15ull;
        }
    }
    make_machine();
    save();
    restore_set_failed_handler(quiet);
    for (unsigned i = 0; i < cases; i++) {
        damage();
        loaded += load();
    }
    memcpy(file, good, file_size = good_size);
    bool still = load();
    restore_wait();
    unlink(path);
    printf("%s - damaged machine states: %u of %u loaded\n",
           still && loaded < cases ? "ok 1" : "not ok 1", loaded, cases);
    return !still;
}
