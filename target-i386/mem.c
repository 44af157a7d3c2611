/*
 * Memory as instructions see it: the segment's checks, then the MMU. The slow side of mem.h.
 *
 * SDM vol. 3, 5.3 to 5.5 (limits, types), 3.3.7.1 (canonical addresses), 6.15 (#AC).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/mem.h"

#include <string.h>

#include "target-i386/excp.h"
#include "target-i386/mmu.h"
#include "target-i386/seg.h"

static bool canonical(uint64_t linear)
{
    return (uint64_t)((int64_t)(linear << 16) >> 16) == linear;
}

static void __attribute__((noreturn)) segment_fault(CPUX86State *env, unsigned seg)
{
    cpu_raise_error(env, seg == SEG_SS ? EXCP_SS : EXCP_GP, 0);
}

bool seg_range_ok(const Segment *s, uint64_t off, unsigned size)
{
    uint64_t last = off + size - 1;

    if ((s->attr & (SEG_ATTR_S | SEG_ATTR_CODE | SEG_ATTR_DC)) == (SEG_ATTR_S | SEG_ATTR_DC)) {
        /* expand-down: the limit is the last byte that is NOT in the segment */
        return off > s->limit && last <= (s->attr & SEG_ATTR_DB ? 0xffffffffull : 0xffffull);
    }
    return last <= s->limit;
}

/* The linear address of an operand whose segment checks have been passed. */
static uint64_t check_segment(CPUX86State *env, unsigned seg, uint64_t off, unsigned size,
                              bool write)
{
    const Segment *s = &env->segs[seg];

    if (env->hflags & HF_CS64) {
        uint64_t linear = seg >= SEG_FS ? off + s->base : off;
        if (!canonical(linear) || !canonical(linear + size - 1)) {
            segment_fault(env, seg);
        }
        return linear;
    }
    if ((env->hflags & (HF_PE | HF_VM)) == HF_PE) {
        if (!(s->attr & SEG_ATTR_P)) {
            segment_fault(env, seg);
        }
        if (write ? (s->attr & (SEG_ATTR_CODE | SEG_ATTR_RW)) != SEG_ATTR_RW
                  : (s->attr & (SEG_ATTR_CODE | SEG_ATTR_RW)) == SEG_ATTR_CODE) {
            segment_fault(env, seg);
        }
    }
    if (!seg_range_ok(s, off, size)) {
        segment_fault(env, seg);
    }
    return (uint32_t)(s->base + off);
}

void mem_check_segment(CPUX86State *env, unsigned seg, uint64_t off, unsigned size, bool write)
{
    check_segment(env, seg, off, size, write);
}

/* Before translation: processors report #AC even where the page would fault. */
static void check_alignment(CPUX86State *env, uint64_t linear, unsigned size)
{
    if ((env->hflags & HF_AC) && size <= 8 && (linear & (size - 1))) {
        cpu_raise_error(env, EXCP_AC, 0);
    }
}

uint64_t mem_read_slow(CPUX86State *env, unsigned seg, uint64_t off, unsigned size)
{
    uint64_t linear = check_segment(env, seg, off, size, false);

    check_alignment(env, linear, size);
    return mmu_read(env, env->tlb->data_class, linear, size);
}

void mem_write_slow(CPUX86State *env, unsigned seg, uint64_t off, uint64_t v, unsigned size)
{
    uint64_t linear = check_segment(env, seg, off, size, true);

    check_alignment(env, linear, size);
    mmu_write(env, env->tlb->data_class, linear, v, size);
}

void mem_read_bytes(CPUX86State *env, unsigned seg, uint64_t off, void *buf, unsigned size)
{
    const void *p = mem_fast_ptr(env, seg, off, size, MMU_READ);

    if (p && size <= GUEST_PAGE_SIZE) {
        memcpy(buf, p, size);
    } else if (size) {
        uint64_t linear = check_segment(env, seg, off, size, false);
        mmu_read_bytes(env, env->tlb->data_class, linear, buf, size);
    }
}

void mem_write_bytes(CPUX86State *env, unsigned seg, uint64_t off, const void *buf, unsigned size)
{
    void *p = mem_fast_ptr(env, seg, off, size, MMU_WRITE);

    if (p && size <= GUEST_PAGE_SIZE) {
        memcpy(p, buf, size);
    } else if (size) {
        uint64_t linear = check_segment(env, seg, off, size, true);
        mmu_write_bytes(env, env->tlb->data_class, linear, buf, size);
    }
}

void mem_probe_write(CPUX86State *env, unsigned seg, uint64_t off, unsigned size)
{
    if (!mem_fast_ptr(env, seg, off, size, MMU_WRITE) && size) {
        uint64_t linear = check_segment(env, seg, off, size, true);
        check_alignment(env, linear, size);
        mmu_probe(env, env->tlb->data_class, linear, size, MMU_WRITE);
    }
}

void *mem_atomic_ptr(CPUX86State *env, unsigned seg, uint64_t off, unsigned size)
{
    void *p = mem_fast_ptr(env, seg, off, size, MMU_WRITE);

    if (p) {
        return p;
    }
    uint64_t linear = check_segment(env, seg, off, size, true);
    check_alignment(env, linear, size);
    mmu_probe(env, env->tlb->data_class, linear, size, MMU_WRITE);
    return mmu_write_ptr(env, env->tlb->data_class, linear, size);
}

void *mem_bulk_ptr(CPUX86State *env, unsigned seg, uint64_t off, uint64_t *len, bool write)
{
    unsigned cls = env->tlb->data_class;
    const Segment *s = &env->segs[seg];
    uint64_t linear = check_segment(env, seg, off, 1, write);
    uint64_t room = GUEST_PAGE_SIZE - (linear & (GUEST_PAGE_SIZE - 1));

    if (!(env->hflags & HF_CS64)) {
        /* Offsets end at the segment's end; the one element that crosses it faults the slow way. */
        bool down =
            (s->attr & (SEG_ATTR_S | SEG_ATTR_CODE | SEG_ATTR_DC)) == (SEG_ATTR_S | SEG_ATTR_DC);
        uint64_t end = !down ? s->limit : s->attr & SEG_ATTR_DB ? 0xffffffffull : 0xffffull;
        if (room > end - off + 1) {
            room = end - off + 1;
        }
    }
    if (*len > room) {
        *len = room;
    }
    mmu_probe(env, cls, linear, 1, write ? MMU_WRITE : MMU_READ);
    return write ? mmu_write_ptr(env, cls, linear, (unsigned)*len)
                 : mmu_host_ptr(env, cls, linear, (unsigned)*len, MMU_READ);
}

uint64_t mem_sys_read(CPUX86State *env, uint64_t linear, unsigned size)
{
    if (!(env->hflags & HF_LMA)) {
        linear = (uint32_t)linear;
    }
    return mmu_read(env, MMU_KERNEL, linear, size);
}

void mem_sys_write(CPUX86State *env, uint64_t linear, uint64_t v, unsigned size)
{
    if (!(env->hflags & HF_LMA)) {
        linear = (uint32_t)linear;
    }
    mmu_write(env, MMU_KERNEL, linear, v, size);
}

/* ---- the stack ---- */

static inline uint64_t stack_mask(const CPUX86State *env)
{
    return env->hflags & HF_CS64 ? ~0ull : env->hflags & HF_SS32 ? 0xffffffffull : 0xffffull;
}

void mem_push(CPUX86State *env, uint64_t v, unsigned size)
{
    uint64_t mask = stack_mask(env);
    uint64_t sp = (env->regs[R_SP] - size) & mask;

    mem_write(env, SEG_SS, sp, v, size);
    env->regs[R_SP] = mask == 0xffff ? (env->regs[R_SP] & ~0xffffull) | sp : sp;
}

uint64_t mem_pop(CPUX86State *env, unsigned size)
{
    uint64_t mask = stack_mask(env);
    uint64_t v = mem_read(env, SEG_SS, env->regs[R_SP] & mask, size);
    uint64_t sp = (env->regs[R_SP] + size) & mask;

    env->regs[R_SP] = mask == 0xffff ? (env->regs[R_SP] & ~0xffffull) | sp : sp;
    return v;
}

/* ---- code ---- */

/* The linear address of CS:rip, and how many bytes of the page and the segment are left from there. */
static uint64_t code_address(CPUX86State *env, uint64_t rip, unsigned *avail)
{
    const Segment *cs = &env->segs[SEG_CS];
    uint64_t linear, room;

    if (env->hflags & HF_CS64) {
        linear = rip;
        room = ~0ull;
    } else {
        if (rip > cs->limit) {
            cpu_raise_error(env, EXCP_GP, 0);
        }
        linear = (uint32_t)(cs->base + rip);
        room = cs->limit - rip + 1ull;
    }
    uint64_t in_page = GUEST_PAGE_SIZE - (linear & (GUEST_PAGE_SIZE - 1));
    *avail = (unsigned)(room < in_page ? room : in_page);
    return linear;
}

const uint8_t *mem_code_ptr(CPUX86State *env, uint64_t rip, unsigned *avail, hwaddr *phys)
{
    return mmu_code_ptr(env, code_address(env, rip, avail), phys);
}

const uint8_t *mem_code_ptr_watched(CPUX86State *env, uint64_t rip, unsigned *avail, hwaddr *phys)
{
    return mmu_code_ptr_watched(env, code_address(env, rip, avail), phys);
}

unsigned mem_fetch_bytes(CPUX86State *env, uint64_t rip, uint8_t *buf, unsigned size)
{
    unsigned got = 0;

    while (got < size) {
        const Segment *cs = &env->segs[SEG_CS];
        unsigned avail;
        hwaddr phys;
        uint64_t at = rip + got;

        if (got) {
            uint64_t linear = env->hflags & HF_CS64 ? at : (uint32_t)(cs->base + at);
            if ((!(env->hflags & HF_CS64) && at > cs->limit) || !mmu_can_fetch(env, linear)) {
                break;
            }
        }
        const uint8_t *host = mem_code_ptr(env, at, &avail, &phys);
        unsigned n = avail < size - got ? avail : size - got;
        if (host) {
            memcpy(buf + got, host, n);
        } else {
            for (unsigned i = 0; i < n; i++) {
                buf[got + i] = mmu_device_fetch(env, phys + i);
            }
        }
        got += n;
    }
    return got;
}
