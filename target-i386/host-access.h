/*
 * Guest memory through host pointers: any alignment, one access of the given width (on x86 a
 * constant-size memcpy() is one), and the host's locked instructions.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_HOST_ACCESS_H
#define TARGET_I386_HOST_ACCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Locked instructions work on misaligned operands too, which C does not promise. */
#define HOST_ACCESS(bits)                                                                          \
    static inline uint##bits##_t host_load##bits(const void *p)                                    \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
        memcpy(&v, p, sizeof(v));                                                                  \
        return v;                                                                                  \
    }                                                                                              \
    static inline void host_store##bits(void *p, uint##bits##_t v)                                 \
    {                                                                                              \
        memcpy(p, &v, sizeof(v));                                                                  \
    }                                                                                              \
    /* *p becomes `new` if it is *old; else *old becomes what it is. */                            \
    __attribute__((no_sanitize("alignment"))) static inline bool host_cas##bits(                   \
        void *p, uint##bits##_t *old, uint##bits##_t new)                                          \
    {                                                                                              \
        return __atomic_compare_exchange_n((uint##bits##_t *)p, old, new, false, __ATOMIC_SEQ_CST, \
                                           __ATOMIC_SEQ_CST);                                      \
    }                                                                                              \
    __attribute__((no_sanitize("alignment"))) static inline uint##bits##_t host_exchange##bits(    \
        void *p, uint##bits##_t v)                                                                 \
    {                                                                                              \
        return __atomic_exchange_n((uint##bits##_t *)p, v, __ATOMIC_SEQ_CST);                      \
    }

HOST_ACCESS(8)
HOST_ACCESS(16)
HOST_ACCESS(32)
HOST_ACCESS(64)

/* size 1, 2, 4, 8 */
static inline uint64_t host_load(const void *p, unsigned size)
{
    switch (size) {
    case 1:
        return host_load8(p);
    case 2:
        return host_load16(p);
    case 4:
        return host_load32(p);
    default:
        return host_load64(p);
    }
}

static inline void host_store(void *p, uint64_t v, unsigned size)
{
    switch (size) {
    case 1:
        host_store8(p, (uint8_t)v);
        break;
    case 2:
        host_store16(p, (uint16_t)v);
        break;
    case 4:
        host_store32(p, (uint32_t)v);
        break;
    default:
        host_store64(p, v);
    }
}

#endif
