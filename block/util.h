/*
 * Small helpers of the block room: rounding, numbers in files, buffers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_UTIL_H
#define BLOCK_UTIL_H

#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"

struct BlockNode;

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
/* For any n > 0, not only powers of 2. x + n must not overflow. */
#define ROUND_DOWN(x, n)   ((x) - (x) % (n))
#define ROUND_UP(x, n)     (((x) + (n)-1) / (n) * (n))
#define DIV_ROUND_UP(x, n) (((x) + (n)-1) / (n))
#define ARRAY_SIZE(a)      (sizeof(a) / sizeof((a)[0]))

/* Numbers at any address. */
#define DEFINE_LOADS(bits)                                                                         \
    static inline uint##bits##_t load_be##bits(const void *p)                                      \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
        memcpy(&v, p, sizeof(v));                                                                  \
        return be##bits##toh(v);                                                                   \
    }                                                                                              \
    static inline uint##bits##_t load_le##bits(const void *p)                                      \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
        memcpy(&v, p, sizeof(v));                                                                  \
        return le##bits##toh(v);                                                                   \
    }                                                                                              \
    static inline void store_be##bits(void *p, uint##bits##_t v)                                   \
    {                                                                                              \
        v = htobe##bits(v);                                                                        \
        memcpy(p, &v, sizeof(v));                                                                  \
    }                                                                                              \
    static inline void store_le##bits(void *p, uint##bits##_t v)                                   \
    {                                                                                              \
        v = htole##bits(v);                                                                        \
        memcpy(p, &v, sizeof(v));                                                                  \
    }
DEFINE_LOADS(16)
DEFINE_LOADS(32)
DEFINE_LOADS(64)
#undef DEFINE_LOADS

/* A buffer for requests to node, aligned as it wants; free() frees it. Ends the program where there
   is no memory; for sizes that an image determines, use block_try_alloc(). */
void *block_alloc(const struct BlockNode *node, size_t bytes);
/* NULL where there is no memory (or bytes is beyond reason). */
void *block_try_alloc(const struct BlockNode *node, size_t bytes);
/* The same as block_alloc(), in large pages where the host has them: a request past its cache is
 * one piece for the disk then instead of hundreds. For long-lived buffers that are used as a whole.
 */
void *block_alloc_large(const struct BlockNode *node, size_t bytes);

#endif
