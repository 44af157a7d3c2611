/*
 * Dirty bitmaps.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/dirty.h"

#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "block/util.h"

enum {
    MIN_GRANULARITY = 512,
    DEFAULT_GRANULARITY = 65536,
    MAX_NAME = 1023,
};
#define MAX_GRANULARITY (1u << 31)
#define MAX_WORDS       (1ull << 26) /* 512 MB of bits */

static uint64_t word_count(uint64_t granules)
{
    return DIV_ROUND_UP(MAX(granules, 1), 64);
}

static DirtyBitmap *new_bitmap(BlockNode *node, const char *name, unsigned granularity_bits)
{
    DirtyBitmap *b = calloc(1, sizeof(*b));

    if (b) {
        b->node = node;
        b->granularity_bits = granularity_bits;
        b->granules = DIV_ROUND_UP(node->size, 1ull << granularity_bits);
        b->enabled = true;
        b->name = name ? strdup(name) : NULL;
    }
    if (!b || (name && !b->name)) {
        error_exit("out of memory");
    }
    return b;
}

static void link_bitmap(DirtyBitmap *b)
{
    DirtyBitmap **last = &b->node->dirty;

    while (*last) {
        last = &(*last)->next;
    }
    *last = b;
}

static DirtyBitmap *find_live(BlockNode *node, const char *name)
{
    for (DirtyBitmap *b = node->dirty; b; b = b->next) {
        if (b->name && !strcmp(b->name, name)) {
            return b;
        }
    }
    return NULL;
}

DirtyBitmap *dirty_new(BlockNode *node, const char *name, uint32_t granularity, Error **errp)
{
    granularity = granularity ? granularity : DEFAULT_GRANULARITY;
    if (granularity < MIN_GRANULARITY || (granularity & (granularity - 1)) ||
        granularity > MAX_GRANULARITY) {
        error_set(errp,
                  "granularity %u is not possible; possible: powers of 2 from 512 to 2147483648",
                  granularity);
        return NULL;
    }
    if (name && (!*name || strlen(name) > MAX_NAME)) {
        error_set(errp, "a bitmap's name has 1 to %d characters", MAX_NAME);
        return NULL;
    }
    if (name && find_live(node, name)) {
        error_set(errp, "Bitmap already exists: %s", name);
        return NULL;
    }
    DirtyBitmap *b = new_bitmap(node, name, (unsigned)__builtin_ctz(granularity));
    uint64_t words = word_count(b->granules);
    b->words = words <= MAX_WORDS ? calloc(words, 8) : NULL;
    if (!b->words) {
        error_set(errp, "no memory for a bitmap with a granularity of %u bytes", granularity);
        free(b->name);
        free(b);
        return NULL;
    }
    link_bitmap(b);
    return b;
}

typedef struct Bits {
    BlockNode *node;
    const char *name;
    unsigned granularity_bits;
    uint64_t *words;
    Error **errp;
} Bits;

static void co_bits(void *opaque)
{
    Bits *bits = opaque;

    bits->words = bits->node->driver->bitmaps->co_bits(bits->node, bits->name,
                                                       &bits->granularity_bits, bits->errp);
}

DirtyBitmap *dirty_open(BlockNode *node, const char *name, Error **errp)
{
    Error *err = NULL;
    Bits bits = {.node = node, .name = name, .errp = &err};

    if (!node->driver->bitmaps || !node->driver->bitmaps->co_bits || node->readonly) {
        return NULL;
    }
    coroutine_run(co_bits, &bits);
    if (!bits.words) {
        if (err) {
            error_propagate(errp, err);
        }
        return NULL;
    }
    DirtyBitmap *b = new_bitmap(node, name, bits.granularity_bits);
    b->persistent = true;
    b->words = bits.words;
    link_bitmap(b);
    return b;
}

typedef struct Stored {
    BlockNode *node;
    const char *name;
    uint32_t granularity;
    bool add, disabled, ok;
    Error **errp;
} Stored;

static void co_stored(void *opaque)
{
    Stored *s = opaque;
    const BitmapOps *ops = s->node->driver->bitmaps;

    s->ok = s->add ? ops->co_add(s->node, s->name, s->granularity, s->disabled, s->errp)
                   : ops->co_remove(s->node, s->name, s->errp);
}

bool bdrv_bitmap_add(BlockNode *node, const char *name, uint32_t granularity, bool disabled,
                     Error **errp)
{
    Stored s = {node, name, granularity, true, disabled, false, errp};

    if (granularity && (granularity < MIN_GRANULARITY || (granularity & (granularity - 1)))) {
        error_set(errp, "Granularity must be power of 2 and at least 512");
        return false;
    }
    coroutine_run(co_stored, &s);
    return s.ok;
}

bool bdrv_bitmap_remove(BlockNode *node, const char *name, Error **errp)
{
    Stored s = {.node = node, .name = name, .errp = errp};

    coroutine_run(co_stored, &s);
    return s.ok;
}

void dirty_free(DirtyBitmap *b)
{
    if (!b) {
        return;
    }
    for (DirtyBitmap **p = &b->node->dirty; *p; p = &(*p)->next) {
        if (*p == b) {
            *p = b->next;
            break;
        }
    }
    if (!b->persistent) {
        free(b->words);
    }
    free(b->name);
    free(b);
}

void dirty_free_all(BlockNode *node)
{
    while (node->dirty) {
        dirty_free(node->dirty);
    }
}

DirtyBitmap *dirty_find(BlockNode *node, const char *name, Error **errp)
{
    DirtyBitmap *b = find_live(node, name);
    Error *err = NULL;

    b = b ? b : dirty_open(node, name, &err);
    if (!b && err) {
        error_propagate(errp, err);
    } else if (!b) {
        error_set(errp, "Dirty bitmap '%s' not found", name);
    }
    return b;
}

/* ---- bits ---- */

/* Bits [first, last) to `value`, a word at a time. */
static void change(uint64_t *words, uint64_t first, uint64_t last, bool value)
{
    while (first < last) {
        uint64_t n = MIN(last - first, 64 - first % 64);
        uint64_t mask = (n == 64 ? UINT64_MAX : (1ull << n) - 1) << first % 64;
        words[first / 64] = value ? words[first / 64] | mask : words[first / 64] & ~mask;
        first += n;
    }
}

void dirty_set(DirtyBitmap *b, uint64_t offset, uint64_t bytes)
{
    uint64_t last = DIV_ROUND_UP(offset + bytes, dirty_granularity(b));

    change(b->words, offset >> b->granularity_bits, MIN(last, b->granules), true);
}

void dirty_clear(DirtyBitmap *b, uint64_t offset, uint64_t bytes)
{
    uint64_t first = DIV_ROUND_UP(offset, dirty_granularity(b)),
             last = (offset + bytes) >> b->granularity_bits;

    /* The disk's last granule may be a short one. */
    last = offset + bytes >= b->node->size ? b->granules : last;
    change(b->words, first, MIN(last, b->granules), false);
}

static bool get_bit(const DirtyBitmap *b, uint64_t i)
{
    return b->words[i / 64] >> (i % 64) & 1;
}

bool dirty_get(const DirtyBitmap *b, uint64_t offset)
{
    uint64_t i = offset >> b->granularity_bits;

    return i < b->granules && get_bit(b, i);
}

uint64_t dirty_count(const DirtyBitmap *b)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i < b->granules; i += 64) {
        uint64_t word = b->words[i / 64];
        if (b->granules - i < 64) {
            word &= (1ull << (b->granules - i)) - 1;
        }
        n += (unsigned)__builtin_popcountll(word);
    }
    return n << b->granularity_bits;
}

bool dirty_next(const DirtyBitmap *b, uint64_t from, uint64_t most, uint64_t *offset,
                uint64_t *bytes)
{
    uint64_t i = from >> b->granularity_bits, most_granules = most >> b->granularity_bits, n = 0;

    while (i < b->granules && !get_bit(b, i)) {
        if (i % 64 == 0 && b->words[i / 64] == 0) {
            i += 64;
        } else {
            i++;
        }
    }
    if (i >= b->granules) {
        return false;
    }
    while (n < MAX(most_granules, 1) && i + n < b->granules && get_bit(b, i + n)) {
        n++;
    }
    *offset = i << b->granularity_bits;
    *bytes = MIN(n << b->granularity_bits, b->node->size - *offset);
    return true;
}

void dirty_merge(DirtyBitmap *to, const DirtyBitmap *from)
{
    uint64_t at = 0, offset, bytes;

    while (dirty_next(from, at, UINT64_MAX / 2, &offset, &bytes)) {
        dirty_set(to, offset, bytes);
        at = offset + MAX(bytes, dirty_granularity(from));
    }
}

uint64_t *dirty_save(const DirtyBitmap *b)
{
    uint64_t words = word_count(b->granules), *copy = malloc(words * 8);

    if (!copy) {
        error_exit("out of memory");
    }
    return memcpy(copy, b->words, words * 8);
}

void dirty_restore(DirtyBitmap *b, const uint64_t *words)
{
    memcpy(b->words, words, word_count(b->granules) * 8);
}

/* ---- the generic layer ---- */

void dirty_mark(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    for (DirtyBitmap *b = node->dirty; b; b = b->next) {
        if (b->enabled && !b->persistent) {
            dirty_set(b, offset, bytes);
        }
    }
}

/* What is new counts as written. */
void dirty_resized(BlockNode *node)
{
    for (DirtyBitmap *b = node->dirty; b; b = b->next) {
        uint64_t old = b->granules, granules = DIV_ROUND_UP(node->size, dirty_granularity(b));
        if (b->persistent || granules == old) {
            continue;
        }
        uint64_t *words = calloc(word_count(granules), 8);
        if (!words) {
            error_exit("out of memory");
        }
        memcpy(words, b->words, word_count(MIN(old, granules)) * 8);
        free(b->words);
        b->words = words;
        b->granules = granules;
        if (granules > old) {
            change(words, old, granules, true);
        }
    }
}
