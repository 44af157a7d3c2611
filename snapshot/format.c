/*
 * A saved machine as bytes. Whatever is read is hostile until it is checked here: positions and
 * sizes against what there is, numbers against this machine.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "snapshot/format.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "config.h"
#include "hw/machine.h"
#include "hw/memory.h"
#include "util/buffer.h"
#ifdef CONFIG_ZSTD
#include <zstd.h>
#endif

static const char magic[8] = "VoleVMst";

uint32_t snapshot_crc(const void *data, size_t size)
{
    return (uint32_t)crc32_z(0, data, size);
}

uint32_t snapshot_chunks(uint64_t ram_bytes)
{
    return (uint32_t)((ram_bytes + CHUNK_SIZE - 1) >> CHUNK_BITS);
}

void snapshot_machine_here(SnapshotMachine *m)
{
    const char *model = machine_config.cpu_model;

    memset(m, 0, sizeof(*m));
    m->ram_size = machine_config.ram_size;
    m->ram_bytes = memory_ram_used();
    m->cpus = machine_config.cpus;
    strncpy(m->board, machine_config.machine ? machine_config.machine : "pc", sizeof(m->board) - 1);
    strncpy(m->cpu_model, model ? model : "qemu64", sizeof(m->cpu_model) - 1);
}

/* ---- the header ---- */

enum { CRC_AT = 12 };

static void put_text(Buffer *b, const char *text, size_t size)
{
    buffer_append(b, text, size);
}

void snapshot_header_encode(const SnapshotHeader *h, uint8_t out[SNAPSHOT_HEADER])
{
    Buffer b = {0};

    buffer_append(&b, magic, sizeof(magic));
    buffer_put_le32(&b, SNAPSHOT_VERSION);
    buffer_put_le32(&b, 0); /* checksum */
    buffer_put_le64(&b, h->total);
    buffer_put_le64(&b, h->device_pos);
    buffer_put_le64(&b, h->index_pos);
    buffer_put_le64(&b, h->working_pos);
    buffer_put_le32(&b, h->device_size);
    buffer_put_le32(&b, h->index_size);
    buffer_put_le32(&b, h->working_count);
    buffer_put_le32(&b, h->device_crc);
    buffer_put_le32(&b, h->index_crc);
    buffer_put_le32(&b, h->working_crc);
    buffer_put_le64(&b, h->clock_ns);
    buffer_put_le64(&b, h->date_ns);
    buffer_put_le64(&b, h->machine.ram_size);
    buffer_put_le64(&b, h->machine.ram_bytes);
    buffer_put_le32(&b, h->machine.cpus);
    put_text(&b, h->machine.board, sizeof(h->machine.board));
    put_text(&b, h->machine.cpu_model, sizeof(h->machine.cpu_model));
    buffer_put_le32(&b, h->disk_count);
    for (uint32_t i = 0; i < h->disk_count; i++) {
        put_text(&b, h->disks[i].id, sizeof(h->disks[i].id));
        buffer_put_le64(&b, h->disks[i].size);
        buffer_put_le64(&b, h->disks[i].mtime_ns);
    }
    memset(out, 0, SNAPSHOT_HEADER);
    memcpy(out, b.data, b.size);
    buffer_free(&b);
    uint32_t crc = snapshot_crc(out, SNAPSHOT_HEADER);
    memcpy(out + CRC_AT, &crc, sizeof(crc));
}

static void get_text(Reader *r, char *text, size_t size)
{
    const char *p = reader_bytes(r, size);

    memset(text, 0, size);
    for (size_t i = 0; p && i + 1 < size && p[i]; i++) {
        text[i] = p[i] >= ' ' && p[i] <= '~' ? p[i] : '?';
    }
}

static bool in_bounds(const SnapshotHeader *h, uint64_t pos, uint64_t size)
{
    return pos >= SNAPSHOT_HEADER && pos <= h->total && size <= h->total - pos;
}

static bool header_valid(const SnapshotHeader *h, uint64_t available)
{
    return h->total <= available && h->total < 1ull << 48 && h->machine.ram_bytes < 1ull << 46 &&
           h->index_size == (uint64_t)snapshot_chunks(h->machine.ram_bytes) * CHUNK_ENTRY &&
           h->working_count <= snapshot_chunks(h->machine.ram_bytes) &&
           h->device_size <= 64u << 20 && in_bounds(h, h->device_pos, h->device_size) &&
           in_bounds(h, h->index_pos, h->index_size) &&
           in_bounds(h, h->working_pos, h->working_count * 4ull);
}

bool snapshot_header_decode(const uint8_t in[SNAPSHOT_HEADER], uint64_t available,
                            SnapshotHeader *h, Error **errp)
{
    uint8_t copy[SNAPSHOT_HEADER];
    Reader r = {.data = copy, .size = sizeof(copy)};
    uint32_t crc;

    memset(h, 0, sizeof(*h));
    memcpy(copy, in, sizeof(copy));
    memcpy(&crc, copy + CRC_AT, sizeof(crc));
    memset(copy + CRC_AT, 0, sizeof(crc));
    if (available < SNAPSHOT_HEADER ||
        memcmp(reader_bytes(&r, sizeof(magic)), magic, sizeof(magic))) {
        error_set(errp, "this is no machine state of this program");
        return false;
    }
    uint32_t version = reader_le32(&r);
    if (version > SNAPSHOT_VERSION || version == 0) {
        error_set(errp, "the machine state is of format %u, this program knows up to %d", version,
                  SNAPSHOT_VERSION);
        return false;
    }
    reader_le32(&r);
    h->total = reader_le64(&r);
    h->device_pos = reader_le64(&r);
    h->index_pos = reader_le64(&r);
    h->working_pos = reader_le64(&r);
    h->device_size = reader_le32(&r);
    h->index_size = reader_le32(&r);
    h->working_count = reader_le32(&r);
    h->device_crc = reader_le32(&r);
    h->index_crc = reader_le32(&r);
    h->working_crc = reader_le32(&r);
    h->clock_ns = reader_le64(&r);
    h->date_ns = reader_le64(&r);
    h->machine.ram_size = reader_le64(&r);
    h->machine.ram_bytes = reader_le64(&r);
    h->machine.cpus = reader_le32(&r);
    get_text(&r, h->machine.board, sizeof(h->machine.board));
    get_text(&r, h->machine.cpu_model, sizeof(h->machine.cpu_model));
    h->disk_count = reader_le32(&r);
    for (uint32_t i = 0; i < h->disk_count && i < SNAPSHOT_DISKS; i++) {
        get_text(&r, h->disks[i].id, sizeof(h->disks[i].id));
        h->disks[i].size = reader_le64(&r);
        h->disks[i].mtime_ns = reader_le64(&r);
    }
    if (snapshot_crc(copy, sizeof(copy)) != crc || h->disk_count > SNAPSHOT_DISKS ||
        !header_valid(h, available)) {
        error_set(errp, h->total > available ? "the machine state is cut short"
                                             : "the machine state's header is damaged");
        return false;
    }
    return true;
}

bool snapshot_machine_fits(const SnapshotHeader *h, Error **errp)
{
    SnapshotMachine here;
    const SnapshotMachine *saved = &h->machine;

    snapshot_machine_here(&here);
    if (strcmp(saved->board, here.board)) {
        error_set(errp, "the state is of a machine with -M %s, this one is %s", saved->board,
                  here.board);
    } else if (saved->ram_size != here.ram_size) {
        error_set(errp, "the state is of a machine with -m %lluK, this one has %lluK",
                  (unsigned long long)saved->ram_size >> 10,
                  (unsigned long long)here.ram_size >> 10);
    } else if (saved->cpus != here.cpus) {
        error_set(errp, "the state is of a machine with -smp %u, this one has %u", saved->cpus,
                  here.cpus);
    } else if (strcmp(saved->cpu_model, here.cpu_model)) {
        error_set(errp, "the state is of a machine with -cpu %s, this one has %s", saved->cpu_model,
                  here.cpu_model);
    } else if (saved->ram_bytes != here.ram_bytes) {
        error_set(errp,
                  "the state is of a machine with other ROMs or video memory: %lluK with RAM, this "
                  "one has %lluK",
                  (unsigned long long)saved->ram_bytes >> 10,
                  (unsigned long long)here.ram_bytes >> 10);
    } else {
        return true;
    }
    return false;
}

/* ---- the index ---- */

void chunk_encode(const Chunk *c, uint8_t out[CHUNK_ENTRY])
{
    memset(out, 0, CHUNK_ENTRY);
    memcpy(out, &c->pos, 8);
    memcpy(out + 8, &c->size, 4);
    memcpy(out + 12, &c->pages, 2);
    out[14] = c->method;
}

static bool chunk_valid(const SnapshotHeader *h, const Chunk *c, bool last)
{
    unsigned in_ram = (unsigned)((h->machine.ram_bytes & (CHUNK_SIZE - 1)) >> 12);

    if (!c->pages) {
        return c->size == 0;
    }
    if (last && in_ram && c->pages >> in_ram) {
        return false;
    }
    if (c->method == CHUNK_PLAIN && c->size != chunk_page_count(c) * 4096 + 4) {
        return false;
    }
    return c->method <= CHUNK_ZSTD && c->size > 0 && c->size <= CHUNK_PACKED_MAX &&
           in_bounds(h, c->pos, c->size);
}

bool snapshot_index_decode(const SnapshotHeader *h, const uint8_t *in, Chunk *chunks, Error **errp)
{
    uint32_t n = snapshot_chunks(h->machine.ram_bytes);
    bool zstd = false;

    if (snapshot_crc(in, h->index_size) != h->index_crc) {
        error_set(errp, "the machine state's index is damaged");
        return false;
    }
    for (uint32_t i = 0; i < n; i++, in += CHUNK_ENTRY) {
        Chunk *c = &chunks[i];
        memcpy(&c->pos, in, 8);
        memcpy(&c->size, in + 8, 4);
        memcpy(&c->pages, in + 12, 2);
        c->method = in[14];
        zstd |= c->method == CHUNK_ZSTD;
        if (!chunk_valid(h, c, i == n - 1)) {
            error_set(errp, "the machine state's index is not possible at %u MB of RAM",
                      i >> (20 - CHUNK_BITS));
            return false;
        }
    }
#ifndef CONFIG_ZSTD
    if (zstd) {
        error_set(
            errp,
            "the machine state is compressed with zstd, which this program was built without");
        return false;
    }
#else
    (void)zstd;
#endif
    return true;
}

/* ---- packing ---- */

/* Of RAM this level leaves hardly more than the usual ones, at two to three times their speed. */
enum { ZSTD_LEVEL = -1 };

struct ChunkPacker {
#ifdef CONFIG_ZSTD
    ZSTD_CCtx *compress;
    ZSTD_DCtx *decompress;
#else
    char nothing;
#endif
};

ChunkPacker *chunk_packer_new(void)
{
    ChunkPacker *p = calloc(1, sizeof(*p));

    if (!p) {
        abort();
    }
#ifdef CONFIG_ZSTD
    p->compress = ZSTD_createCCtx();
    p->decompress = ZSTD_createDCtx();
    if (!p->compress || !p->decompress) {
        abort();
    }
    ZSTD_CCtx_setParameter(p->compress, ZSTD_c_compressionLevel, ZSTD_LEVEL);
    ZSTD_CCtx_setParameter(p->compress, ZSTD_c_checksumFlag, 1);
#endif
    return p;
}

void chunk_packer_free(ChunkPacker *p)
{
#ifdef CONFIG_ZSTD
    if (p) {
        ZSTD_freeCCtx(p->compress);
        ZSTD_freeDCtx(p->decompress);
    }
#endif
    free(p);
}

void chunk_pack(ChunkPacker *p, Chunk *c, const uint8_t *data, uint8_t *out)
{
    uint32_t size = chunk_page_count(c) * 4096;

#ifdef CONFIG_ZSTD
    size_t n = ZSTD_compress2(p->compress, out, CHUNK_PACKED_MAX, data, size);
    if (!ZSTD_isError(n) && n < size) {
        c->method = CHUNK_ZSTD;
        c->size = (uint32_t)n;
        return;
    }
#endif
    uint32_t crc = snapshot_crc(data, size);
    memcpy(out, data, size);
    memcpy(out + size, &crc, 4);
    c->method = CHUNK_PLAIN;
    c->size = size + 4;
}

bool chunk_unpack(ChunkPacker *p, const Chunk *c, const uint8_t *in, uint8_t *data)
{
    uint32_t size = chunk_page_count(c) * 4096, crc;

    if (c->method == CHUNK_PLAIN) {
        memcpy(&crc, in + size, 4);
        memcpy(data, in, size);
        return snapshot_crc(data, size) == crc;
    }
#ifdef CONFIG_ZSTD
    return ZSTD_decompressDCtx(p->decompress, data, size, in, c->size) == size;
#else
    return false;
#endif
}
