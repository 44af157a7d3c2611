/*
 * The fast paths of mem.h: a flat segment, a hit in the soft TLB, a load or store. Everything else
 * is a call. Included by mem.h only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_MEM_INLINE_H
#define TARGET_I386_MEM_INLINE_H

#include <string.h>

#include "target-i386/mmu.h"

uint64_t mem_read_slow(CPUX86State *env, unsigned seg, uint64_t off, unsigned size);
void mem_write_slow(CPUX86State *env, unsigned seg, uint64_t off, uint64_t v, unsigned size);

/*
 * The host address of an operand that needs no check beyond the TLB's, else NULL. FS and GS are
 * flat only in 64-bit code; CS is never written but in 64-bit code, where it does not come up.
 */
static inline void *mem_fast_ptr(CPUX86State *env, unsigned seg, uint64_t off, unsigned size,
                                 MmuAccess access)
{
    uint64_t linear = off;

    if (__builtin_expect((env->hflags & (HF_FLAT | HF_AC)) != HF_FLAT, 0)) {
        return NULL;
    }
    if (seg >= SEG_FS) {
        if (!(env->hflags & HF_CS64)) {
            return NULL;
        }
        linear += env->segs[seg].base;
    } else if (access == MMU_WRITE && seg == SEG_CS) {
        return NULL;
    }
    const TlbEntry *e = &env->tlb->data[tlb_index(linear)];
    uint64_t tag = __atomic_load_n(&e->tag[access], __ATOMIC_RELAXED);
    if (__builtin_expect(((linear + size - 1) & GUEST_PAGE_MASK) != tag || (linear & GUEST_PAGE_MASK) != tag, 0)) {
        return NULL;
    }
    return (void *)(uintptr_t)(linear + e->addend);
}

#define MEM_ACCESSORS(bits)                                                                        \
    static inline uint##bits##_t mem_read##bits(CPUX86State *env, unsigned seg, uint64_t off)      \
    {                                                                                              \
        const void *p = mem_fast_ptr(env, seg, off, bits / 8, MMU_READ);                           \
        if (__builtin_expect(p != NULL, 1)) {                                                      \
            uint##bits##_t v;                                                                      \
            memcpy(&v, p, sizeof(v));                                                              \
            return v;                                                                              \
        }                                                                                          \
        return (uint##bits##_t)mem_read_slow(env, seg, off, bits / 8);                             \
    }                                                                                              \
    static inline void mem_write##bits(CPUX86State *env, unsigned seg, uint64_t off,               \
                                       uint##bits##_t v)                                           \
    {                                                                                              \
        void *p = mem_fast_ptr(env, seg, off, bits / 8, MMU_WRITE);                                \
        if (__builtin_expect(p != NULL, 1)) {                                                      \
            memcpy(p, &v, sizeof(v));                                                              \
        } else {                                                                                   \
            mem_write_slow(env, seg, off, v, bits / 8);                                            \
        }                                                                                          \
    }

/* Data reads and writes at the current privilege. */
MEM_ACCESSORS(8)
MEM_ACCESSORS(16)
MEM_ACCESSORS(32)
MEM_ACCESSORS(64)

/* By size 1, 2, 4, 8. */
static inline uint64_t mem_read(CPUX86State *env, unsigned seg, uint64_t off, unsigned size)
{
    switch (size) {
    case 1:
        return mem_read8(env, seg, off);
    case 2:
        return mem_read16(env, seg, off);
    case 4:
        return mem_read32(env, seg, off);
    default:
        return mem_read64(env, seg, off);
    }
}

static inline void mem_write(CPUX86State *env, unsigned seg, uint64_t off, uint64_t v,
                             unsigned size)
{
    switch (size) {
    case 1:
        mem_write8(env, seg, off, (uint8_t)v);
        break;
    case 2:
        mem_write16(env, seg, off, (uint16_t)v);
        break;
    case 4:
        mem_write32(env, seg, off, (uint32_t)v);
        break;
    default:
        mem_write64(env, seg, off, v);
        break;
    }
}

#endif
