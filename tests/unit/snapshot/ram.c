/*
 * RAM of one moment (capture.c) and RAM that comes when it is needed (restore.c): what is written
 * by DMA afterwards does not get into the one, and whoever looks finds the other.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>
#include <unistd.h>

#include "hw/machine.h"
#include "hw/memory.h"
#include "snapshot/capture.h"
#include "snapshot/restore.h"
#include "util/loop.h"

#include "../test-loop.h"
#include "../test.h"

enum { RAM = 4 << 20, CHUNKS = RAM / CHUNK_SIZE };

static MemoryRegion ram;
static Error *err;
static uint8_t expected[RAM];

static void set_up(void)
{
    test_start_loop();
    restore_stop();
    memory_ram_init(RAM, &err);
    memory_init();
    memory_region_init_ram(&ram, "ram", RAM, &err);
    memory_region_add(memory_as.root, 0, &ram, 0);
    memory_set_main_bytes(RAM);
}

static uint32_t seed = 1;

static uint32_t rnd(void)
{
    return seed = seed * 1664525 + 1013904223;
}

/* Some pages of several kinds; others stay zero. */
static void fill(void)
{
    for (unsigned page = 0; page < RAM / 4096; page++) {
        if (page % 7 < 4) {
            for (unsigned i = 0; i < 4096; i++) {
                expected[page * 4096 + i] = (uint8_t)(page % 7 ? rnd() >> 28 : rnd() >> 20);
            }
        } else {
            memset(expected + page * 4096, 0, 4096);
        }
        if (page % 7 < 4 || page % 7 == 5) {
            dma_write(page * 4096, expected + page * 4096, 4096);
        }
    }
}

static void scribble(void)
{
    uint8_t bytes[5000];

    for (unsigned i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)rnd();
    }
    dma_write(rnd() % (RAM - sizeof(bytes)), bytes, rnd() % sizeof(bytes));
    memory_write(&memory_as, rnd() % (RAM - 8), rnd(), 4);
}

/* The chunk as it was captured is the expected one. */
static bool captured(uint32_t chunk)
{
    static uint8_t data[CHUNK_SIZE];
    uint8_t *p = data;
    uint16_t pages = capture_read(chunk, data);

    for (unsigned i = 0; i < CHUNK_PAGES; i++) {
        const uint8_t *want = expected + (size_t)chunk * CHUNK_SIZE + i * 4096;
        static const uint8_t zero[4096];
        if (memcmp(pages >> i & 1 ? p : zero, want, 4096) ||
            (pages >> i & 1 && !memcmp(p, zero, 4096))) {
            return false;
        }
        p += pages >> i & 1 ? 4096 : 0;
    }
    return true;
}

static void what_is_written_later_is_not_in_it(void)
{
    for (unsigned round = 0; round < 3; round++) {
        set_up();
        fill();
        capture_prepare();
        capture_begin();
        for (uint32_t chunk = 0; chunk < CHUNKS; chunk++) {
            for (unsigned n = rnd() % 8; n; n--) {
                scribble();
            }
            CHECK(captured(chunk));
        }
        capture_end();
    }
}

static void holes_are_skipped(void)
{
    set_up();
    dma_write(40 * CHUNK_SIZE + 100, "x", 1);
    memset(expected, 0, sizeof(expected));
    expected[40 * CHUNK_SIZE + 100] = 'x';
    capture_prepare();
    capture_begin();
    CHECK_EQ(capture_next(0), 40);
    dma_write(10 * CHUNK_SIZE, "later", 5);
    CHECK(captured(10));
    CHECK(captured(40));
    CHECK_EQ(capture_next(41), CHUNKS);
    capture_end();
}

static void what_is_touched_is_noted_in_order(void)
{
    uint32_t *list;
    uint8_t byte;

    set_up();
    fill();
    capture_prepare();
    capture_begin();
    dma_read(20 * CHUNK_SIZE, &byte, 1);
    dma_write(3 * CHUNK_SIZE - 2, "four", 4);
    memory_page_lookup(&memory_as, 50 * CHUNK_SIZE);
    dma_read(20 * CHUNK_SIZE + 5000, &byte, 1);
    uint32_t n = capture_working_set(&list);
    CHECK_EQ(n, 4);
    CHECK_EQ(list[0], 20);
    CHECK_EQ(list[1], 2);
    CHECK_EQ(list[2], 3);
    CHECK_EQ(list[3], 50);
    free(list);
    capture_end();
}

/* The present RAM as a source: a file of packed chunks. */
static SnapshotSource *pack(const char *path, Chunk *chunks)
{
    static uint8_t data[CHUNK_SIZE], out[CHUNK_PACKED_MAX];
    ChunkPacker *p = chunk_packer_new();
    FILE *f = fopen(path, "w");
    uint64_t pos = 0;

    capture_prepare();
    capture_begin();
    for (uint32_t i = 0; i < CHUNKS; i++) {
        chunks[i] = (Chunk){.pages = capture_read(i, data)};
        if (chunks[i].pages) {
            chunk_pack(p, &chunks[i], data, out);
            chunks[i].pos = pos;
            pos += fwrite(out, 1, chunks[i].size, f);
        }
    }
    capture_end();
    fclose(f);
    chunk_packer_free(p);
    SnapshotSource *s = source_open_file(path, &err);
    return s && source_map(s, pos, &err) ? s : NULL;
}

static bool is_expected(void)
{
    static uint8_t back[RAM];

    dma_read(0, back, RAM);
    return memcmp(back, expected, RAM) == 0;
}

/* Random accesses while it comes, which are then part of what is expected. */
static void ram_comes_when_it_is_needed(void)
{
    char path[] = "/tmp/vole-unit-XXXXXX";

    close(mkstemp(path));
    for (unsigned round = 0; round < 8; round++) {
        set_up();
        fill();
        Chunk *chunks = calloc(CHUNKS, sizeof(*chunks));
        SnapshotSource *s = pack(path, chunks);
        CHECK(s != NULL);
        for (unsigned i = 0; i < 300; i++) {
            scribble();
        }
        uint32_t *working = calloc(2, sizeof(*working));
        working[0] = 5;
        working[1] = 6;
        CHECK(restore_begin(s, chunks, working, 2, round % 4 == 3, &err));
        CHECK_EQ(restore_active(), round % 4 != 3);
        for (unsigned i = 0; i < 200; i++) {
            uint64_t at = rnd() % (RAM - 8);
            uint32_t v = rnd();
            if (i % 3) {
                uint8_t got[8];
                dma_read(at, got, 8);
                CHECK(memcmp(got, expected + at, 8) == 0);
            } else {
                memory_write(&memory_as, at, v, 4);
                memcpy(expected + at, &v, 4);
            }
        }
        if (round & 1) {
            restore_wait();
            CHECK(!restore_active());
        }
        CHECK(is_expected());
    }
    restore_wait();
    unlink(path);
}

static bool told;

static void on_failure(const char *message)
{
    told = strstr(message, "damaged") != NULL;
}

static void a_damaged_chunk_stops_the_machine(void)
{
    char path[] = "/tmp/vole-unit-XXXXXX";

    close(mkstemp(path));
    set_up();
    fill();
    Chunk *chunks = calloc(CHUNKS, sizeof(*chunks));
    SnapshotSource *s = pack(path, chunks);
    CHECK(s != NULL);
    FILE *f = fopen(path, "r+");
    fseek(f, (long)chunks[9].pos + 50, SEEK_SET);
    fwrite("damage", 1, 6, f);
    fclose(f);
    restore_set_failed_handler(on_failure);
    CHECK(restore_begin(s, chunks, calloc(1, 4), 0, false, &err));
    restore_wait();
    for (unsigned i = 0; i < 100 && !told; i++) {
        loop_run_once(10);
    }
    CHECK(told);
    CHECK_EQ(machine_run_state(), RUN_STATE_INTERNAL_ERROR);
    restore_set_failed_handler(NULL);
    unlink(path);
}

TESTS(TEST(what_is_written_later_is_not_in_it), TEST(holes_are_skipped),
      TEST(what_is_touched_is_noted_in_order), TEST(ram_comes_when_it_is_needed),
      TEST(a_damaged_chunk_stops_the_machine))
