/*
 * The format "dmg": compressed read-only disk images of macOS (UDIF), after public descriptions of
 * it. Chunks of zeroes, raw ones, zlib and (where the library is) bzip2; those of ADC, LZFSE and
 * LZMA are named and refused.
 *
 * The last 512 bytes of the file ("koly") say where a property list in XML is, or a resource fork
 * in old images. Either holds tables ("mish", one for each partition) of chunks. All numbers are
 * big-endian.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "block/chunks.h"
#include "block/drivers.h"
#include "block/util.h"
#include "config.h"
#include "util/base64.h"

enum {
    KOLY_SIZE = 512,
    KOLY_DATA_OFFSET = 24,
    KOLY_RESOURCES = 40, /* offset, length */
    KOLY_XML = 216,      /* offset, length */

    MISH_FIRST_SECTOR = 8,
    MISH_DATA_OFFSET = 24,
    MISH_CHUNKS = 200,
    MISH_HEADER = 204,
    MISH_CHUNK = 40, /* bytes a chunk: type, comment, sector, sectors, offset, length */

    MAX_LIST = 32 << 20, /* bytes of the property list or of the resources: 600,000 chunks */
};

enum {
    TYPE_ZERO = 0,
    TYPE_RAW = 1,
    TYPE_IGNORED = 2, /* free space: zeroes */
};
#define TYPE_COMMENT 0x7ffffffeu
#define TYPE_ADC     0x80000004u
#define TYPE_ZLIB    0x80000005u
#define TYPE_BZIP2   0x80000006u
#define TYPE_LZFSE   0x80000007u
#define TYPE_LZMA    0x80000008u
#define TYPE_END     0xffffffffu

typedef struct DmgState {
    ChunkReader reader; /* first */
    Chunk *chunks;      /* by start, none overlapping */
    size_t count, room;
    uint64_t data_offset;
} DmgState;

/* The end of the file, where the signs are, is not seen here. */
static int dmg_probe(const uint8_t *head, size_t bytes, const char *filename)
{
    size_t n = filename ? strlen(filename) : 0;

    return n > 4 && !strcmp(filename + n - 4, ".dmg") ? 2 : 0;
}

/* ---- chunks ---- */

static void dmg_find(BlockNode *node, uint64_t offset, Chunk *c)
{
    DmgState *s = node->state;
    size_t low = 0, high = s->count;

    while (low < high) { /* the first that begins behind offset */
        size_t middle = (low + high) / 2;
        if (s->chunks[middle].start > offset) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    if (low && offset - s->chunks[low - 1].start < s->chunks[low - 1].length) {
        *c = s->chunks[low - 1];
        return;
    }
    /* A gap. */
    uint64_t start = low ? s->chunks[low - 1].start + s->chunks[low - 1].length : 0;
    *c = (Chunk){.start = start,
                 .length = (low < s->count ? s->chunks[low].start : node->size) - start,
                 .kind = CHUNK_ZERO};
}

static bool chunk_kind(BlockNode *node, uint32_t type, ChunkKind *kind, Error **errp)
{
    const char *what = type == TYPE_ADC     ? "ADC"
                       : type == TYPE_LZFSE ? "LZFSE"
                       : type == TYPE_LZMA  ? "LZMA"
                                            : NULL;

    switch (type) {
    case TYPE_ZERO:
    case TYPE_IGNORED:
        *kind = CHUNK_ZERO;
        return true;
    case TYPE_RAW:
        *kind = CHUNK_RAW;
        return true;
    case TYPE_ZLIB:
        *kind = CHUNK_ZLIB;
        return true;
    case TYPE_BZIP2:
        *kind = CHUNK_BZIP2;
#ifndef CONFIG_BZIP2
        return bdrv_bad_image(node, "it is compressed with bzip2, which this build is without",
                              errp);
#else
        return true;
#endif
    }
    if (what) {
        error_set(errp, "image %s: it is compressed with %s; possible: zlib, bzip2", node->filename,
                  what);
    } else {
        error_set(errp, "image %s: chunks of type %#" PRIx32 " are not known", node->filename,
                  type);
    }
    return false;
}

static bool add_chunk(BlockNode *node, const uint8_t *entry, uint64_t first, uint64_t data,
                      Error **errp)
{
    DmgState *s = node->state;
    const uint64_t most = INT64_MAX / BLK_SECTOR_SIZE, file = node->file->node->size;
    uint32_t type = load_be32(entry);
    uint64_t sector = load_be64(entry + 8), sectors = load_be64(entry + 16);
    uint64_t offset = load_be64(entry + 24), length = load_be64(entry + 32);
    Chunk c = {.stored = length};

    if (type == TYPE_COMMENT || type == TYPE_END || !sectors) {
        return true;
    }
    if (!chunk_kind(node, type, &c.kind, errp)) {
        return false;
    }
    if (first > most || sector > most - first || sectors > most - first - sector) {
        return bdrv_bad_image(node, "a chunk lies behind the end of any disk", errp);
    }
    c.start = (first + sector) * BLK_SECTOR_SIZE;
    c.length = sectors * BLK_SECTOR_SIZE;
    if (c.kind != CHUNK_ZERO) {
        if (c.length > CHUNK_MAX || length > CHUNK_MAX) {
            return bdrv_bad_image(node, "a chunk is larger than 64 MB", errp);
        }
        if (data > file || offset > file - data || length > file - data - offset) {
            return bdrv_bad_image(node, "a chunk lies outside of the file", errp);
        }
        c.where = data + offset;
    }
    if (s->count == s->room) {
        size_t room = s->room ? 2 * s->room : 64;
        Chunk *chunks = realloc(s->chunks, room * sizeof(*chunks));
        if (!chunks) {
            return bdrv_bad_image(node, "there is no memory for its chunks", errp);
        }
        s->chunks = chunks;
        s->room = room;
    }
    s->chunks[s->count++] = c;
    return true;
}

static bool add_table(BlockNode *node, const uint8_t *mish, size_t bytes, Error **errp)
{
    DmgState *s = node->state;

    if (bytes < MISH_HEADER || memcmp(mish, "mish", 4) != 0) {
        return true; /* some other resource */
    }
    uint32_t count = load_be32(mish + MISH_CHUNKS);
    uint64_t more = load_be64(mish + MISH_DATA_OFFSET);
    if (count > (bytes - MISH_HEADER) / MISH_CHUNK || more > INT64_MAX - s->data_offset) {
        return bdrv_bad_image(node, "a table of chunks is longer than its place", errp);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!add_chunk(node, mish + MISH_HEADER + (size_t)i * MISH_CHUNK,
                       load_be64(mish + MISH_FIRST_SECTOR), s->data_offset + more, errp)) {
            return false;
        }
    }
    return true;
}

static int by_start(const void *a, const void *b)
{
    const Chunk *x = a, *y = b;

    return x->start < y->start ? -1 : x->start > y->start;
}

static bool sort_chunks(BlockNode *node, Error **errp)
{
    DmgState *s = node->state;

    if (!s->count) {
        return bdrv_bad_image(node, "it has no chunks", errp);
    }
    qsort(s->chunks, s->count, sizeof(*s->chunks), by_start);
    for (size_t i = 1; i < s->count; i++) {
        if (s->chunks[i - 1].length > s->chunks[i].start - s->chunks[i - 1].start) {
            return bdrv_bad_image(node, "two chunks are for the same place", errp);
        }
    }
    node->size = s->chunks[s->count - 1].start + s->chunks[s->count - 1].length;
    return true;
}

/* ---- where the tables are ---- */

/* The <data> elements of the list "blkx"; text ends with a 0. */
static bool read_list(BlockNode *node, char *text, Error **errp)
{
    char *at = strstr(text, "<key>blkx</key>");
    char *end = at ? strstr(at, "</array>") : NULL;

    if (!end) {
        return bdrv_bad_image(node, "its property list has no block tables (blkx)", errp);
    }
    *end = 0;
    while ((at = strstr(at, "<data>"))) {
        at += 6;
        char *stop = strstr(at, "</data>");
        size_t bytes = stop ? (size_t)(stop - at) : 0;
        if (!stop || !base64_decode((uint8_t *)at, &bytes)) {
            return bdrv_bad_image(node, "a block table in its property list is no base64", errp);
        }
        if (!add_table(node, (uint8_t *)at, bytes, errp)) {
            return false;
        }
        at = stop + 7;
    }
    return true;
}

/* Resources one behind the other, each with its length in front. */
static bool read_resources(BlockNode *node, const uint8_t *fork, size_t bytes, Error **errp)
{
    size_t at = bytes >= 16 ? load_be32(fork) : 0, length = bytes >= 16 ? load_be32(fork + 8) : 0;

    if (bytes < 16 || at > bytes || length > bytes - at) {
        return bdrv_bad_image(node, "its resources lie outside of their fork", errp);
    }
    for (size_t end = at + length; end - at >= 4;) {
        size_t n = load_be32(fork + at);
        at += 4;
        if (n > end - at) {
            return bdrv_bad_image(node, "a resource is longer than its fork", errp);
        }
        if (!add_table(node, fork + at, n, errp)) {
            return false;
        }
        at += n;
    }
    return true;
}

static bool read_tables(BlockNode *node, const uint8_t *koly, Error **errp)
{
    bool xml = load_be64(koly + KOLY_XML + 8) != 0;
    const uint8_t *place = koly + (xml ? KOLY_XML : KOLY_RESOURCES);
    uint64_t offset = load_be64(place), bytes = load_be64(place + 8);
    uint64_t file = node->file->node->size;

    if (bytes > MAX_LIST || offset > file || bytes > file - offset) {
        return bdrv_bad_image(
            node, "its list of tables is larger than 32 MB or outside of the file", errp);
    }
    uint8_t *list = block_try_alloc(node, bytes + 1);
    int ret = list ? bdrv_co_pread(node->file, offset, bytes, list, 0) : -ENOMEM;
    bool ok = ret == 0;
    if (!ok) {
        error_set_errno(errp, -ret, "image %s: cannot read the list of tables", node->filename);
    } else {
        list[bytes] = 0;
        ok = xml ? read_list(node, (char *)list, errp) : read_resources(node, list, bytes, errp);
    }
    free(list);
    return ok;
}

static bool dmg_co_open(BlockNode *node, BlockOptions *options, Error **errp)
{
    DmgState *s = node->state;
    uint8_t koly[KOLY_SIZE];

    if (!bdrv_open_file_child(node, options, errp) || !chunks_check_readonly(node, errp)) {
        return false;
    }
    uint64_t file = node->file->node->size;
    int ret = file < KOLY_SIZE ? -EINVAL
                               : bdrv_co_pread(node->file, file - KOLY_SIZE, KOLY_SIZE, koly, 0);
    if (ret < 0 || memcmp(koly, "koly", 4) != 0) {
        return bdrv_bad_image(node, "is not in dmg format (no trailer 'koly'); it may be raw",
                              errp);
    }
    s->data_offset = load_be64(koly + KOLY_DATA_OFFSET);
    if (s->data_offset > file) {
        return bdrv_bad_image(node, "its data lies outside of the file", errp);
    }
    if (!read_tables(node, koly, errp) || !sort_chunks(node, errp)) {
        free(s->chunks);
        return false;
    }
    s->reader.find = dmg_find;
    node->request_alignment = BLK_SECTOR_SIZE;
    return true;
}

static void dmg_co_close(BlockNode *node)
{
    DmgState *s = node->state;

    chunks_free(&s->reader);
    free(s->chunks);
}

const BlockDriver bdrv_dmg = {
    .name = "dmg",
    .state_size = sizeof(DmgState),
    .probe = dmg_probe,
    .co_open = dmg_co_open,
    .co_close = dmg_co_close,
    .co_preadv = chunks_co_preadv,
    .co_block_status = chunks_co_block_status,
};
