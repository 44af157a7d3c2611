/*
 * Dumps in the kdump-compressed format, which crash and makedumpfile read: RAM page by page, packed
 * by zlib.
 *
 * In blocks of a page: the header; the sub-header with the registers as ELF notes; a bitmap of the
 * page frames that are RAM and the same again for those that are in the dump; a descriptor for each
 * of these; their bytes. Source: makedumpfile's IMPLEMENTATION document and diskdump_mod.h, for the
 * layout (version 6, 64 bits).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "monitor/kdump.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "hw/memory.h"
#include "util/iovec.h"

enum {
    BLOCK = 4096,
    VERSION = 6,
    FLAG_ZLIB = 1,            /* of a page descriptor, and of the header: what may occur */
    DESCRIPTORS_HELD = 40960, /* written in one go */
};

typedef struct KdumpHeader {
    char signature[8];
    int32_t version;
    char uts[6][65]; /* system, node, release, version, machine, domain */
    char pad[6];
    int64_t time_sec, time_usec;
    uint32_t status;
    int32_t block_size;
    int32_t sub_header_blocks;
    uint32_t bitmap_blocks; /* of both */
    uint32_t max_frame;     /* 0: see the sub-header */
    uint32_t total_ram_blocks, device_blocks, written_blocks;
    uint32_t current_cpu;
    int32_t cpus;
} KdumpHeader;
static_assert(sizeof(KdumpHeader) == 464, "as on disk");

typedef struct KdumpSubHeader {
    uint64_t phys_base;
    int32_t dump_level, split;
    uint64_t start_frame, end_frame;
    uint64_t vmcoreinfo_at, vmcoreinfo_size;
    uint64_t notes_at, notes_size;
    uint64_t eraseinfo_at, eraseinfo_size;
    uint64_t start_frame_64, end_frame_64, max_frame_64;
} KdumpSubHeader;
static_assert(sizeof(KdumpSubHeader) == 104, "as on disk");

typedef struct PageDescriptor {
    int64_t at;
    uint32_t size, flags;
    uint64_t page_flags;
} PageDescriptor;
static_assert(sizeof(PageDescriptor) == 24, "as on disk");

typedef struct Kdump {
    FILE *f;
    const RamRange *ram;
    unsigned ram_count;
    uint64_t frames, bitmap_size; /* of one */
    uint64_t descriptors_at, data_at;
    PageDescriptor *descriptors;
    unsigned held;
    uint64_t zero_at; /* all pages of zeroes are one; 0: none yet */
} Kdump;

static uint64_t round_up(uint64_t n)
{
    return (n + BLOCK - 1) / BLOCK * BLOCK;
}

static bool write_at(Kdump *k, uint64_t at, const void *data, size_t size)
{
    return fseeko(k->f, (off_t)at, SEEK_SET) == 0 && (!size || fwrite(data, size, 1, k->f) == 1);
}

static bool write_headers(Kdump *k, const Buffer *notes, unsigned cpus)
{
    uint64_t sub_size = round_up(sizeof(KdumpSubHeader) + notes->size);
    uint64_t notes_at = BLOCK + sizeof(KdumpSubHeader);
    KdumpHeader h = {
        .signature = {'K', 'D', 'U', 'M', 'P', ' ', ' ', ' '},
        .version = VERSION,
        .uts = {[4] = "x86_64"},
        .status = FLAG_ZLIB,
        .block_size = BLOCK,
        .sub_header_blocks = (int32_t)(sub_size / BLOCK),
        .bitmap_blocks = (uint32_t)(2 * k->bitmap_size / BLOCK),
        .max_frame = k->frames > UINT32_MAX ? UINT32_MAX : (uint32_t)k->frames,
        .cpus = (int32_t)cpus,
    };
    KdumpSubHeader s = {.notes_at = notes_at,
                        .notes_size = notes->size,
                        .dump_level = 1, /* pages of zeroes are kept apart */
                        .max_frame_64 = k->frames};

    return write_at(k, 0, &h, sizeof(h)) && write_at(k, BLOCK, &s, sizeof(s)) &&
           write_at(k, notes_at, notes->data, notes->size);
}

static bool write_bitmaps(Kdump *k, uint64_t at)
{
    uint8_t *bits = calloc(1, k->bitmap_size);
    bool ok;

    if (!bits) {
        return false;
    }
    for (unsigned i = 0; i < k->ram_count; i++) {
        for (uint64_t n = 0; n < k->ram[i].size / BLOCK; n++) {
            uint64_t frame = k->ram[i].addr / BLOCK + n;
            bits[frame / 8] |= (uint8_t)(1u << frame % 8);
        }
    }
    ok = write_at(k, at, bits, k->bitmap_size) &&
         write_at(k, at + k->bitmap_size, bits, k->bitmap_size);
    free(bits);
    return ok;
}

static bool flush_descriptors(Kdump *k)
{
    size_t size = k->held * sizeof(*k->descriptors);
    bool ok = write_at(k, k->descriptors_at, k->descriptors, size);

    k->descriptors_at += size;
    k->held = 0;
    return ok && fseeko(k->f, (off_t)k->data_at, SEEK_SET) == 0;
}

static bool write_page(Kdump *k, const uint8_t *page)
{
    uint8_t packed[BLOCK * 2];
    uLongf size = sizeof(packed);
    bool zero = buffer_is_zero(page, BLOCK), known = zero && k->zero_at,
         pack =
             !zero && compress2(packed, &size, page, BLOCK, Z_BEST_SPEED) == Z_OK && size < BLOCK;
    PageDescriptor d = {(int64_t)(known ? k->zero_at : k->data_at), pack ? (uint32_t)size : BLOCK,
                        pack ? FLAG_ZLIB : 0, 0};

    k->descriptors[k->held++] = d;
    if (!known) {
        if (fwrite(pack ? packed : page, d.size, 1, k->f) != 1) {
            return false;
        }
        k->zero_at = zero ? k->data_at : k->zero_at;
        k->data_at += d.size;
    }
    return k->held < DESCRIPTORS_HELD || flush_descriptors(k);
}

static bool write_pages(Kdump *k)
{
    uint8_t page[BLOCK];

    if (fseeko(k->f, (off_t)k->data_at, SEEK_SET) != 0) {
        return false;
    }
    for (unsigned i = 0; i < k->ram_count; i++) {
        for (uint64_t at = 0; at < k->ram[i].size; at += BLOCK) {
            if (!dma_read(k->ram[i].addr + at, page, BLOCK)) {
                memset(page, 0, BLOCK);
            }
            if (!write_page(k, page)) {
                return false;
            }
        }
    }
    return flush_descriptors(k);
}

bool kdump_write(FILE *f, const RamRange *ram, unsigned ram_count, const Buffer *notes,
                 unsigned cpus)
{
    Kdump k = {.f = f, .ram = ram, .ram_count = ram_count};
    uint64_t pages = 0, bitmaps_at = BLOCK + round_up(sizeof(KdumpSubHeader) + notes->size);

    for (unsigned i = 0; i < ram_count; i++) {
        uint64_t end = (ram[i].addr + ram[i].size) / BLOCK;
        k.frames = end > k.frames ? end : k.frames;
        pages += ram[i].size / BLOCK;
    }
    k.bitmap_size = round_up((k.frames + 7) / 8);
    k.descriptors_at = bitmaps_at + 2 * k.bitmap_size;
    k.data_at = k.descriptors_at + pages * sizeof(PageDescriptor);
    k.descriptors = calloc(DESCRIPTORS_HELD, sizeof(*k.descriptors));
    bool ok = k.descriptors && write_headers(&k, notes, cpus) && write_bitmaps(&k, bitmaps_at) &&
              write_pages(&k);
    free(k.descriptors);
    return ok;
}
