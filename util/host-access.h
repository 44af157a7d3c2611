/*
 * Loads and stores of 1, 2, 4 or 8 bytes of memory that others may write at the same time: each is one access of the
 * host's, little endian, at any alignment.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef UTIL_HOST_ACCESS_H
#define UTIL_HOST_ACCESS_H

#include <stdint.h>
#include <string.h>

static inline uint64_t host_load(const uint8_t *p, unsigned size)
{
    uint16_t v16;
    uint32_t v32;
    uint64_t v64;

    /* The sizes are constant, so that a compiler makes one access of each copy. */
    switch (size) {
    case 1:
        return *p;
    case 2:
        memcpy(&v16, p, 2);
        return v16;
    case 4:
        memcpy(&v32, p, 4);
        return v32;
    default:
        memcpy(&v64, p, 8);
        return v64;
    }
}

static inline void host_store(uint8_t *p, uint64_t v, unsigned size)
{
    switch (size) {
    case 1:
        *p = (uint8_t)v;
        break;
    case 2:
        memcpy(p, &v, 2);
        break;
    case 4:
        memcpy(p, &v, 4);
        break;
    default:
        memcpy(p, &v, 8);
        break;
    }
}

#endif
