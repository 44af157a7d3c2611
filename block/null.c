/*
 * The protocols "null-co" and "null-aio": a disk of any size that keeps nothing, for measuring what
 * lies above it. A write is thrown away, a read leaves the buffer as it is, or fills it with zeroes
 * (read-zeroes=on). The two names are for old command lines; they are the same disk.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdint.h>
#include <string.h>

#include "block/block.h"
#include "block/driver.h"
#include "block/drivers.h"
#include "block/util.h"

#define DEFAULT_SIZE (1ull << 30)
#define MAX_LATENCY  (3600 * NS_PER_SEC)

typedef struct NullState {
    uint64_t latency_ns;
    bool read_zeroes;
} NullState;

static int complete(const BlockNode *node)
{
    const NullState *s = node->state;

    if (s->latency_ns) {
        coroutine_sleep(CLOCK_HOST, (int64_t)s->latency_ns);
    }
    return 0;
}

static int null_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                          unsigned flags)
{
    const NullState *s = node->state;

    if (s->read_zeroes) {
        iov_fill(v, at, 0, bytes);
    }
    return complete(node);
}

static int null_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                           unsigned flags)
{
    return complete(node);
}

static int null_co_pwrite_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    return complete(node);
}

static int null_co_pdiscard(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    return complete(node);
}

static int null_co_flush(BlockNode *node)
{
    return complete(node);
}

static int null_co_block_status(BlockNode *node, bool precise, uint64_t offset, uint64_t bytes,
                                uint64_t *pnum, uint64_t *map, BlockNode **file)
{
    const NullState *s = node->state;

    *pnum = bytes;
    *map = offset;
    *file = node;
    return BDRV_BLOCK_OFFSET_VALID | (s->read_zeroes ? BDRV_BLOCK_ZERO : BDRV_BLOCK_DATA);
}

static int64_t null_co_get_allocated(BlockNode *node)
{
    return 0;
}

static bool null_co_open(BlockNode *node, BlockOptions *options, Error **errp)
{
    NullState *s = node->state;

    node->size = DEFAULT_SIZE;
    blkopts_remove(options, "filename");
    if (!blkopts_take_size(options, "size", &node->size, errp) ||
        !blkopts_take_number(options, "latency-ns", 0, MAX_LATENCY, &s->latency_ns, errp) ||
        !blkopts_take_bool(options, "read-zeroes", &s->read_zeroes, errp)) {
        return false;
    }
    if (node->size > INT64_MAX - BLK_SECTOR_SIZE) {
        error_set(errp, "%s: size=%llu is too large; possible: below 8E", node->driver->name,
                  (unsigned long long)node->size);
        return false;
    }
    node->supported_write_flags = BDRV_REQ_FUA;
    node->supported_zero_flags = BDRV_REQ_FUA | BDRV_REQ_MAY_UNMAP | BDRV_REQ_NO_FALLBACK;
    return true;
}

static bool null_parse_filename(const char *filename, BlockOptions *options, Error **errp)
{
    const char *rest = strchr(filename, ':') + 1;

    if (*rest && strcmp(rest, "//") != 0) {
        error_set(errp,
                  "%s: a null disk has no name; possible: null-co://, with size= as an option",
                  filename);
        return false;
    }
    return true;
}

static const BlockOptionDesc null_options[] = {
    {"size", "SIZE", "how large it is (1G)"},
    {"latency-ns", "NS", "how long a request takes (0)"},
    {"read-zeroes", "on|off", "reads give zeroes (off: whatever the buffer held)"},
    {0},
};

#define NULL_DRIVER(word)                                                                          \
    {                                                                                              \
        .name = word, .protocol = word, .state_size = sizeof(NullState),                           \
        .open_options = null_options, .parse_filename = null_parse_filename,                       \
        .co_open = null_co_open, .co_preadv = null_co_preadv, .co_pwritev = null_co_pwritev,       \
        .co_pwrite_zeroes = null_co_pwrite_zeroes, .co_pdiscard = null_co_pdiscard,                \
        .co_flush = null_co_flush, .co_block_status = null_co_block_status,                        \
        .co_get_allocated = null_co_get_allocated,                                                 \
    }

const BlockDriver bdrv_null_co = NULL_DRIVER("null-co");
const BlockDriver bdrv_null_aio = NULL_DRIVER("null-aio");
