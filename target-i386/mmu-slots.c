/*
 * Last-page slots (JitSlot in cpu.h): emptying them, and filling them with more than a page.
 *
 * Guests' pages often follow each other in physical memory as they do in linear: large pages, the kernel's map of
 * all memory, what was allocated at once. A slot that keeps missing is given all such pages around the address. That
 * changes nothing in what may be kept: every page of the range is in the TLB, or part of a large page that
 * is, and no write to it is wanted to be heard of; and a range is dropped when one of its pages is.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/mmu.h"

#include "target-i386/debugger.h"
#include "target-i386/mem.h"

/* Bytes that a slot's accesses have. */
static unsigned slot_size(unsigned slot)
{
    unsigned size = 0;

    while (jit_slot_first[size + 1] <= slot) {
        size++;
    }
    return 1u << size;
}

void mmu_init_slots(CPUX86State *env)
{
    for (unsigned c = 0; c < MMU_CLASSES; c++) {
        for (unsigned i = 0; i < JIT_SLOTS; i++) {
            uint64_t limit = GUEST_PAGE_SIZE - slot_size(i);
            env->jit_slots[c][MMU_READ][i] = env->jit_slots[c][MMU_WRITE][i] =
                (JitSlot){.tag = cpu_slot_empty, .limit = limit, .page_limit = limit};
        }
        for (unsigned i = 0; i < JIT_RANGES; i++) {
            env->jit_ranges[c][MMU_READ][i].tag = env->jit_ranges[c][MMU_WRITE][i].tag = cpu_slot_empty;
        }
    }
}

void mmu_empty_slots(CPUX86State *env, unsigned classes)
{
    for (unsigned c = 0; c < MMU_CLASSES; c++) {
        if (!env->jit_slots_used[c] || !(classes >> c & 1)) {
            continue;
        }
        for (unsigned i = 0; i < JIT_SLOTS; i++) {
            env->jit_slots[c][MMU_READ][i].tag = cpu_slot_empty;
            env->jit_slots[c][MMU_WRITE][i].tag = cpu_slot_empty;
        }
        for (unsigned i = 0; i < JIT_RANGES; i++) {
            env->jit_ranges[c][MMU_READ][i].tag = cpu_slot_empty;
            env->jit_ranges[c][MMU_WRITE][i].tag = cpu_slot_empty;
        }
        env->jit_slots_used[c] = false;
    }
}

static void empty_if_of_page(uint64_t *tag, uint64_t limit, uint64_t page)
{
    /* The limit is less than a page below the range's length, and all begin at a page. */
    if (page - *tag <= limit) {
        *tag = cpu_slot_empty;
    }
}

void mmu_empty_slots_of_page(CPUX86State *env, uint64_t page)
{
    for (unsigned c = 0; c < MMU_CLASSES; c++) {
        if (!env->jit_slots_used[c]) {
            continue;
        }
        for (unsigned i = 0; i < JIT_SLOTS; i++) {
            JitSlot *read = &env->jit_slots[c][MMU_READ][i], *write = &env->jit_slots[c][MMU_WRITE][i];
            empty_if_of_page(&read->tag, read->limit, page);
            empty_if_of_page(&write->tag, write->limit, page);
        }
        for (unsigned i = 0; i < JIT_RANGES; i++) {
            JitRange *read = &env->jit_ranges[c][MMU_READ][i], *write = &env->jit_ranges[c][MMU_WRITE][i];
            empty_if_of_page(&read->tag, read->limit, page);
            empty_if_of_page(&write->tag, write->limit, page);
        }
    }
}

void mmu_empty_write_ranges(CPUX86State *env)
{
    for (unsigned c = 0; c < MMU_CLASSES; c++) {
        for (unsigned i = 0; i < JIT_RANGES; i++) {
            __atomic_store_n(&env->jit_ranges[c][MMU_WRITE][i].tag, cpu_slot_empty, __ATOMIC_RELAXED);
        }
    }
}

void tlb_empty_write_slots(CPUX86State *env)
{
    for (unsigned c = 0; c < MMU_CLASSES; c++) {
        for (unsigned i = 0; i < JIT_SLOTS; i++) {
            __atomic_store_n(&env->jit_slots[c][MMU_WRITE][i].tag, cpu_slot_empty, __ATOMIC_RELAXED);
        }
    }
}

/* ---- ranges ---- */

enum {
    MAX_LARGE = 64 << 20, /* bytes of a large page on either side of the address */
    MAX_STEPS = 256, /* pages looked up one by one in each direction */
    LOOK_AGAIN = 4,  /* one time in so many whether a known range has grown */
};

typedef struct RangeFinder {
    CPUX86State *env;
    CpuTlb *tlb;
    unsigned cls;
    MmuAccess access;
    const TlbWindow *window; /* its pages only; or NULL */
    uintptr_t addend;
    uint64_t first, end; /* linear */
} RangeFinder;

static const TlbInfo *info_of(const RangeFinder *f, const TlbEntry *e)
{
    return &f->tlb->info[f->cls][e - f->tlb->entries[f->cls]];
}

/* The TLB's entry for the page, if it belongs to the range; else NULL. */
static const TlbEntry *entry_in_range(const RangeFinder *f, uint64_t page)
{
    const TlbEntry *e = tlb_slot(f->tlb, f->cls, page);

    if (e->tag[f->access] != page) {
        return NULL;
    }
    if (f->window) {
        uint64_t at = (page - f->window->linear) >> GUEST_PAGE_BITS;
        return at < f->window->pages && info_of(f, e)->ram == f->window->ram[at] ? e : NULL;
    }
    return e->addend == f->addend ? e : NULL;
}

/* The range grows by what else the large page has, from which the entry for this page comes. */
static void grow_in_large_page(RangeFinder *f, uint64_t page, const TlbEntry *e)
{
    const TlbInfo *info = info_of(f, e);
    uint64_t start = page & ~((1ull << info->page_bits) - 1), end = start + (1ull << info->page_bits);
    hwaddr extent_start, extent_end;
    MemoryPage mem;

    /* While somebody wants to hear of a page's first access each is looked up on its own. */
    bool each = f->tlb->write_flags || atomic_load(&memory_access_hook) || f->env->dr[7] & 0xff || debugger_has_data_points();
    if (each || f->env->a20_mask != ~0ull ||
        !memory_extent(f->env->smm ? &memory_smm_as : &memory_as, info->phys, &mem, &extent_start, &extent_end)) {
        return;
    }
    if (page - start > info->phys - extent_start) {
        start = page - (info->phys - extent_start);
    }
    if (end - page > extent_end - info->phys) {
        end = page + (extent_end - info->phys);
    }
    start = page - start > MAX_LARGE ? page - MAX_LARGE : start;
    end = end - page > MAX_LARGE ? page + MAX_LARGE : end;
    if (f->access == MMU_WRITE && start < f->first) {
        ram_addr before = info->ram - (page - f->first) - GUEST_PAGE_SIZE;
        start = f->first - (memory_dirty_run(before, -1, (f->first - start) >> GUEST_PAGE_BITS) << GUEST_PAGE_BITS);
    }
    if (f->access == MMU_WRITE && end - page > f->end - page) {
        end = f->end + (memory_dirty_run(info->ram + (f->end - page), 1, (end - f->end) >> GUEST_PAGE_BITS) << GUEST_PAGE_BITS);
    }
    f->first = start < f->first ? start : f->first;
    f->end = end - page > f->end - page ? end : f->end;
}

/* Takes in the page, whose entry is e. */
static void grow_by(RangeFinder *f, uint64_t page, const TlbEntry *e)
{
    if (page == f->end) {
        f->end += GUEST_PAGE_SIZE;
    } else if (page + GUEST_PAGE_SIZE == f->first) {
        f->first = page;
    }
    if (!f->window && info_of(f, e)->page_bits > GUEST_PAGE_BITS) {
        grow_in_large_page(f, page, e);
    }
}

static void find_range(RangeFinder *f, uint64_t page, const TlbEntry *e)
{
    f->addend = f->window ? (uintptr_t)f->window->host - f->window->linear : e->addend;
    f->first = page;
    f->end = page + GUEST_PAGE_SIZE;
    grow_by(f, page, e);
    /* Address 0 follows the last page; it is not taken to. */
    for (unsigned i = 0; i < MAX_STEPS && f->end && (e = entry_in_range(f, f->end)); i++) {
        grow_by(f, f->end, e);
    }
    for (unsigned i = 0; i < MAX_STEPS && f->first && (e = entry_in_range(f, f->first - GUEST_PAGE_SIZE)); i++) {
        grow_by(f, f->first - GUEST_PAGE_SIZE, e);
    }
}

static void keep_range(const RangeFinder *f)
{
    JitRange *ranges = f->env->jit_ranges[f->cls][f->access == MMU_WRITE];
    unsigned at = f->env->jit_next_range++ % JIT_RANGES;

    for (unsigned i = 0; i < JIT_RANGES; i++) {
        if (ranges[i].tag - f->first < f->end - f->first) {
            at = i; /* it has grown */
        }
    }
    ranges[at] = (JitRange){.tag = f->first, .addend = f->addend, .limit = f->end - f->first - JIT_SLOT_MAX_SPAN};
}

/* The range without a window and within one: the longer. */
static void find_longer_range(RangeFinder *f, uint64_t page, const TlbEntry *e)
{
    TlbWindow *window = mmu_find_window(f->tlb, page, info_of(f, e)->ram);

    find_range(f, page, e);
    if (window) {
        RangeFinder other = *f;
        other.window = window;
        find_range(&other, page, e);
        if (other.end - other.first > f->end - f->first) {
            *f = other;
            window->last_use = ++f->tlb->window_uses;
        }
    }
}

/* A range that has been found and still holds. */
static const JitRange *known_range(const CPUX86State *env, unsigned cls, MmuAccess access, uint64_t linear)
{
    const JitRange *ranges = env->jit_ranges[cls][access == MMU_WRITE];

    for (unsigned i = 0; i < JIT_RANGES; i++) {
        if (linear - ranges[i].tag <= ranges[i].limit) {
            return &ranges[i];
        }
    }
    return NULL;
}

uint64_t mmu_fill_slot_range(CPUX86State *env, uint32_t slot, uint64_t linear)
{
    unsigned index = (slot - (unsigned)offsetof(CPUX86State, jit_slots)) / (unsigned)sizeof(JitSlot);
    /* In lockstep the CPU's TLB is the executor's outside translated code, whose own one it hides. */
    CpuTlb *tlb = env->tlb->write_flags ? env->tlb->twin : env->tlb;
    RangeFinder f = {.env = env, .tlb = tlb, .cls = index / (2 * JIT_SLOTS), .access = index / JIT_SLOTS % 2 ? MMU_WRITE : MMU_READ};
    uint64_t page = linear & GUEST_PAGE_MASK, pages = 0;
    JitSlot *s = &env->jit_slots[f.cls][f.access == MMU_WRITE][index % JIT_SLOTS];
    const TlbEntry *e = tlb_slot(tlb, f.cls, page);

    /* Who protects RAM takes the lock to tell the TLB, and empties ranges and slots afterwards. */
    tlb_lock(tlb);
    const JitRange *known = known_range(env, f.cls, f.access, linear);
    if (known && env->jit_next_range++ % LOOK_AGAIN) {
        pages = (known->limit + JIT_SLOT_MAX_SPAN) >> GUEST_PAGE_BITS;
        s->limit = known->limit + JIT_SLOT_MAX_SPAN - GUEST_PAGE_SIZE + s->page_limit;
        s->addend = known->addend;
        __atomic_store_n(&s->tag, known->tag, __ATOMIC_RELAXED);
    } else if (e->tag[f.access] == page) {
        find_longer_range(&f, page, e);
        pages = (f.end - f.first) >> GUEST_PAGE_BITS;
        s->limit = f.end - f.first - GUEST_PAGE_SIZE + s->page_limit;
        s->addend = f.addend;
        __atomic_store_n(&s->tag, f.first, __ATOMIC_RELAXED);
        if (pages > 1) {
            keep_range(&f);
        }
        env->jit_slots_used[f.cls] = true;
    }
    tlb_unlock(tlb);
    return pages;
}
