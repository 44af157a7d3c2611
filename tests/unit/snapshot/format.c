/*
 * A saved machine as bytes: there and back, cut anywhere, every byte of header and index changed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "snapshot/format.h"

#include <stdlib.h>

#include "hw/machine.h"
#include "hw/memory.h"
#include "util/loop.h"

#include "../test-loop.h"
#include "../test.h"

enum { RAM = 3 << 20, CHUNKS = RAM / CHUNK_SIZE };

static SnapshotHeader header;
static uint8_t head[SNAPSHOT_HEADER], indexed[CHUNKS * CHUNK_ENTRY];
static Error *err;

static bool failed_with(const char *words)
{
    bool ok = err && strstr(error_text(err), words);

    if (err && !ok) {
        printf("# %s\n", error_text(err));
    }
    error_free(err);
    err = NULL;
    return ok;
}

static void set_up(void)
{
    if (test_start_loop()) {
        memory_ram_init(RAM, &err);
        memory_ram_alloc(RAM, &err);
        machine_config.ram_size = 2 << 20;
        machine_config.cpus = 1;
    }
    memset(&header, 0, sizeof(header));
    memset(indexed, 0, sizeof(indexed));
    snapshot_machine_here(&header.machine);
    header.total = 100000;
    header.device_pos = 5000;
    header.device_size = 1000;
    header.index_pos = 6000;
    header.index_size = sizeof(indexed);
    header.index_crc = snapshot_crc(indexed, sizeof(indexed));
    header.working_pos = 9000;
    header.working_count = 3;
    snapshot_header_encode(&header, head);
}

static void header_there_and_back(void)
{
    SnapshotHeader back;

    set_up();
    header.clock_ns = 0x123456789abcull;
    header.disk_count = SNAPSHOT_DISKS;
    strcpy(header.disks[SNAPSHOT_DISKS - 1].id, "ide1-hd0");
    header.disks[SNAPSHOT_DISKS - 1].mtime_ns = 77;
    snapshot_header_encode(&header, head);
    CHECK(snapshot_header_decode(head, 100000, &back, &err));
    CHECK_EQ(back.clock_ns, header.clock_ns);
    CHECK_EQ(back.working_count, 3);
    CHECK_STR(back.machine.cpu_model, "qemu64");
    CHECK_STR(back.disks[SNAPSHOT_DISKS - 1].id, "ide1-hd0");
    CHECK_EQ(back.disks[SNAPSHOT_DISKS - 1].mtime_ns, 77);
    CHECK(snapshot_machine_fits(&back, &err));
}

static void every_damaged_byte_of_the_header_is_found(void)
{
    SnapshotHeader back;

    set_up();
    for (unsigned i = 0; i < SNAPSHOT_HEADER; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            head[i] ^= 1u << bit;
            CHECK(!snapshot_header_decode(head, 100000, &back, &err));
            error_free(err);
            err = NULL;
            head[i] ^= 1u << bit;
        }
    }
    CHECK(!snapshot_header_decode(head, 99999, &back, &err));
    CHECK(failed_with("cut short"));
    CHECK(!snapshot_header_decode(head, 100, &back, &err));
    CHECK(failed_with("no machine state"));
}

/* With a good checksum, by who means harm. */
static void places_out_of_bounds_are_refused(void)
{
    static const uint64_t bad[] = {0,      100,        4095,       99999,           100000,
                                   100001, 1ull << 40, UINT64_MAX, UINT64_MAX - 999};
    uint64_t *places[] = {&header.device_pos, &header.index_pos, &header.working_pos};
    SnapshotHeader back;

    for (unsigned p = 0; p < 3; p++) {
        for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
            set_up();
            *places[p] = bad[i];
            snapshot_header_encode(&header, head);
            CHECK(!snapshot_header_decode(head, 100000, &back, &err));
            CHECK(failed_with("damaged"));
        }
    }
    set_up();
    header.working_count = CHUNKS + 1;
    snapshot_header_encode(&header, head);
    CHECK(!snapshot_header_decode(head, 100000, &back, &err));
    CHECK(failed_with("damaged"));
    set_up();
    header.index_size -= CHUNK_ENTRY;
    snapshot_header_encode(&header, head);
    CHECK(!snapshot_header_decode(head, 100000, &back, &err));
    CHECK(failed_with("damaged"));
}

static void other_machines_are_named(void)
{
    set_up();
    header.machine.cpus = 2;
    CHECK(!snapshot_machine_fits(&header, &err));
    CHECK(failed_with("-smp 2, this one has 1"));
    set_up();
    header.machine.ram_size = 1 << 20;
    CHECK(!snapshot_machine_fits(&header, &err));
    CHECK(failed_with("-m 1024K, this one has 2048K"));
    set_up();
    strcpy(header.machine.cpu_model, "max");
    CHECK(!snapshot_machine_fits(&header, &err));
    CHECK(failed_with("-cpu max"));
}

/* With this entry for the chunk. */
static bool index_takes(uint32_t chunk, Chunk c)
{
    static Chunk chunks[CHUNKS];

    set_up();
    chunk_encode(&c, indexed + chunk * CHUNK_ENTRY);
    header.index_crc = snapshot_crc(indexed, sizeof(indexed));
    return snapshot_index_decode(&header, indexed, chunks, &err);
}

static void index_entries_are_checked(void)
{
    CHECK(index_takes(3, (Chunk){.pos = 5000, .size = 100, .pages = 7, .method = CHUNK_ZSTD}));
    CHECK(index_takes(
        3, (Chunk){.pos = 5000, .size = 3 * 4096 + 4, .pages = 7, .method = CHUNK_PLAIN}));
    CHECK(index_takes(CHUNKS - 1, (Chunk){0}));
    static const Chunk bad[] = {
        {.pos = 5000, .size = 100, .pages = 7, .method = 2},
        {.pos = 5000, .size = 100, .pages = 7, .method = CHUNK_PLAIN},
        {.pos = 5000, .size = 100, .pages = 0, .method = CHUNK_ZSTD},
        {.pos = 5000, .size = 0, .pages = 7, .method = CHUNK_ZSTD},
        {.pos = 5000, .size = CHUNK_PACKED_MAX + 1, .pages = 7, .method = CHUNK_ZSTD},
        {.pos = 99950, .size = 100, .pages = 7, .method = CHUNK_ZSTD},
        {.pos = UINT64_MAX - 50, .size = 100, .pages = 7, .method = CHUNK_ZSTD},
        {.pos = 0, .size = 100, .pages = 7, .method = CHUNK_ZSTD},
    };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK(!index_takes(3, bad[i]));
        CHECK(failed_with("not possible"));
    }
    set_up();
    indexed[5] ^= 1;
    Chunk chunks[CHUNKS];
    CHECK(!snapshot_index_decode(&header, indexed, chunks, &err));
    CHECK(failed_with("damaged"));
}

static void chunks_there_and_back(void)
{
    static uint8_t data[CHUNK_SIZE], out[CHUNK_PACKED_MAX], back[CHUNK_SIZE];
    ChunkPacker *p = chunk_packer_new();
    uint32_t x = 1;

    for (unsigned kind = 0; kind < 3; kind++) {
        for (unsigned pages = 1; pages <= CHUNK_PAGES; pages++) {
            for (unsigned i = 0; i < CHUNK_SIZE; i++) {
                x = x * 1664525 + 1013904223;
                data[i] = kind == 0 ? (uint8_t)(x >> 24) : kind == 1 ? (uint8_t)(x >> 30) : 0x5a;
            }
            Chunk c = {.pages = (uint16_t)((1u << pages) - 1)};
            chunk_pack(p, &c, data, out);
            CHECK(c.size <= CHUNK_PACKED_MAX);
            memset(back, 0, sizeof(back));
            CHECK(chunk_unpack(p, &c, out, back));
            CHECK(memcmp(data, back, pages * 4096) == 0);
            /* Any bit of it. */
            unsigned at = x % c.size;
            out[at] ^= 1u << (x >> 29);
            CHECK(!chunk_unpack(p, &c, out, back) || memcmp(data, back, pages * 4096) == 0);
        }
    }
    chunk_packer_free(p);
}

TESTS(TEST(header_there_and_back), TEST(every_damaged_byte_of_the_header_is_found),
      TEST(places_out_of_bounds_are_refused), TEST(other_machines_are_named),
      TEST(index_entries_are_checked), TEST(chunks_there_and_back))
