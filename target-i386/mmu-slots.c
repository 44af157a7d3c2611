/*
 * Last-page slots (JitSlot in cpu.h): emptying them, and filling them with more than a page.
 *
 * Guests' pages often follow each other in physical memory as they do in linear: large pages, the
 * kernel's map of all memory, what was allocated at once. A slot that keeps missing is given all
 * such pages around the address. That changes nothing in what may be kept: every page of the range
 * is in the TLB, or part of a large page that is, or in a window and mapped by page tables that need
 * no change to be used (mmu_peek_ram()); no write to it is wanted to be heard of; and a range is
 * dropped when the mapping of one of its pages is.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/mmu.h"

#include <string.h>

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
            env->jit_ranges[c][MMU_READ][i].tag = env->jit_ranges[c][MMU_WRITE][i].tag =
                cpu_slot_empty;
        }
    }
}

/* The first chunk from `chunk` on that may have slots in use; JIT_SLOT_CHUNKS: none. */
static unsigned next_used(const uint8_t *used, unsigned chunk)
{
    for (; chunk < JIT_SLOT_CHUNKS; chunk = (chunk | 7) + 1) {
        uint64_t eight;
        memcpy(&eight, used + (chunk & ~7u), sizeof(eight));
        eight &= ~0ull << chunk % 8 * 8;
        if (eight) {
            return (chunk & ~7u) + (unsigned)__builtin_ctzll(eight) / 8;
        }
    }
    return JIT_SLOT_CHUNKS;
}

static void empty_used(CPUX86State *env, unsigned cls, MmuAccess access)
{
    uint8_t *used = env->jit_slots_used[cls][access];

    for (unsigned chunk = next_used(used, 0); chunk < JIT_SLOT_CHUNKS; chunk = next_used(used, chunk + 1)) {
        for (unsigned i = 0; i < JIT_SLOT_CHUNK; i++) {
            env->jit_slots[cls][access][chunk * JIT_SLOT_CHUNK + i].tag = cpu_slot_empty;
        }
        used[chunk] = 0;
    }
    for (unsigned i = 0; i < JIT_RANGES; i++) {
        env->jit_ranges[cls][access][i].tag = cpu_slot_empty;
    }
}

void mmu_empty_slots(CPUX86State *env, unsigned classes)
{
    for (unsigned c = 0; c < MMU_CLASSES; c++) {
        if (classes >> c & 1) {
            empty_used(env, c, MMU_READ);
            empty_used(env, c, MMU_WRITE);
        }
    }
}

static void empty_if_of_page(uint64_t *tag, uint64_t limit, uint64_t page)
{
    /* The limit is less than a page below the range's length, and all begin at a page. */
    if (page - *tag <= limit) {
        *tag = cpu_slot_empty;
    }
}

static void empty_used_of_page(CPUX86State *env, unsigned cls, MmuAccess access, uint64_t page)
{
    const uint8_t *used = env->jit_slots_used[cls][access];

    for (unsigned chunk = next_used(used, 0); chunk < JIT_SLOT_CHUNKS; chunk = next_used(used, chunk + 1)) {
        JitSlot *slots = &env->jit_slots[cls][access][chunk * JIT_SLOT_CHUNK];
        for (unsigned i = 0; i < JIT_SLOT_CHUNK; i++) {
            empty_if_of_page(&slots[i].tag, slots[i].limit, page);
        }
    }
    for (unsigned i = 0; i < JIT_RANGES; i++) {
        JitRange *range = &env->jit_ranges[cls][access][i];
        empty_if_of_page(&range->tag, range->limit, page);
    }
}

void mmu_empty_slots_of_page(CPUX86State *env, uint64_t page)
{
    for (unsigned c = 0; c < MMU_CLASSES; c++) {
        empty_used_of_page(env, c, MMU_READ, page);
        empty_used_of_page(env, c, MMU_WRITE, page);
    }
}

void mmu_empty_write_ranges(CPUX86State *env)
{
    for (unsigned c = 0; c < MMU_CLASSES; c++) {
        for (unsigned i = 0; i < JIT_RANGES; i++) {
            __atomic_store_n(&env->jit_ranges[c][MMU_WRITE][i].tag, cpu_slot_empty,
                             __ATOMIC_RELAXED);
        }
    }
}

/*
 * Also from other threads, behind a barrier on all: a chunk that is not seen to be in use is marked behind that barrier, and whoever
 * fills a slot looks again afterwards whether he still may.
 */
void tlb_empty_write_slots(CPUX86State *env)
{
    for (unsigned c = 0; c < MMU_CLASSES; c++) {
        const uint8_t *used = env->jit_slots_used[c][MMU_WRITE];
        for (unsigned chunk = next_used(used, 0); chunk < JIT_SLOT_CHUNKS; chunk = next_used(used, chunk + 1)) {
            for (unsigned i = 0; i < JIT_SLOT_CHUNK; i++) {
                __atomic_store_n(&env->jit_slots[c][MMU_WRITE][chunk * JIT_SLOT_CHUNK + i].tag, cpu_slot_empty,
                                 __ATOMIC_RELAXED);
            }
        }
    }
}

/* ---- ranges ---- */

enum {
    MAX_LARGE = 64 << 20, /* bytes of a large page on either side of the address */
    LOOK_AGAIN = 4,       /* one time in so many whether a known range has grown */
    COST = 16,            /* of so much time, one part at most goes into long searches */
};

typedef struct RangeFinder {
    CPUX86State *env;
    CpuTlb *tlb;
    unsigned cls;
    MmuAccess access;
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

    return e->tag[f->access] == page && e->addend == f->addend ? e : NULL;
}

/* The range grows by what else the large page has, from which the entry for this page comes. */
static void grow_in_large_page(RangeFinder *f, uint64_t page, const TlbEntry *e)
{
    const TlbInfo *info = info_of(f, e);
    uint64_t start = page & ~((1ull << info->page_bits) - 1),
             end = start + (1ull << info->page_bits);
    hwaddr extent_start, extent_end;
    MemoryPage mem;

    /* While somebody wants to hear of a page's first access each is looked up on its own. */
    bool each = f->tlb->write_flags || atomic_load(&memory_access_hook) || f->env->dr[7] & 0xff ||
                debugger_has_data_points();
    if (each || f->env->a20_mask != ~0ull ||
        !memory_extent(f->env->smm ? &memory_smm_as : &memory_as, info->phys, &mem, &extent_start,
                       &extent_end)) {
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
        start = f->first - (memory_dirty_run(before, -1, (f->first - start) >> GUEST_PAGE_BITS)
                            << GUEST_PAGE_BITS);
    }
    if (f->access == MMU_WRITE && end - page > f->end - page) {
        end = f->end +
              (memory_dirty_run(info->ram + (f->end - page), 1, (end - f->end) >> GUEST_PAGE_BITS)
               << GUEST_PAGE_BITS);
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
    if (info_of(f, e)->page_bits > GUEST_PAGE_BITS) {
        grow_in_large_page(f, page, e);
    }
}

static void find_range(RangeFinder *f, uint64_t page, const TlbEntry *e)
{
    f->addend = e->addend;
    f->first = page;
    f->end = page + GUEST_PAGE_SIZE;
    grow_by(f, page, e);
    /* Address 0 follows the last page; it is not taken to. */
    for (unsigned i = 0; i < MMU_SHORT_SEARCH && f->end && (e = entry_in_range(f, f->end)); i++) {
        grow_by(f, f->end, e);
    }
    for (unsigned i = 0;
         i < MMU_SHORT_SEARCH && f->first && (e = entry_in_range(f, f->first - GUEST_PAGE_SIZE));
         i++) {
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
    ranges[at] = (JitRange){
        .tag = f->first, .addend = f->addend, .limit = f->end - f->first - JIT_SLOT_MAX_SPAN};
}

/* What a window has around the page: empty (first == end), where there is none. */
typedef struct WindowRange {
    TlbWindow *window;
    uint64_t first, end;
} WindowRange;

/* The TLB is not locked. In all of the window when time allows, otherwise near the page. */
static WindowRange range_in_window(const RangeFinder *f, uint64_t page, const TlbEntry *e)
{
    WindowRange r = {.window = e->tag[f->access] == page
                                   ? mmu_find_window(f->tlb, page, info_of(f, e)->ram)
                                   : NULL};
    uint64_t start = __builtin_ia32_rdtsc();

    if (r.window) {
        bool all = start >= f->tlb->search_not_before;
        mmu_window_range(f->env, r.window, f->cls, f->access, page,
                         all ? r.window->pages : MMU_SHORT_SEARCH, &r.first, &r.end);
        if (all) {
            uint64_t now = __builtin_ia32_rdtsc();
            f->tlb->search_not_before = now + (now - start) * COST;
        }
    }
    return r;
}

/* The range without a window and within one: the longer. */
static void find_longer_range(RangeFinder *f, uint64_t page, const TlbEntry *e, WindowRange r)
{
    find_range(f, page, e);
    if (r.window && f->access == MMU_WRITE) {
        mmu_cut_to_dirty(r.window, page, &r.first, &r.end);
    }
    if (r.end - r.first > f->end - f->first) {
        f->addend = (uintptr_t)r.window->host - r.window->linear;
        f->first = r.first;
        f->end = r.end;
        r.window->last_use = ++f->tlb->window_uses;
    }
}

/* A range that has been found and still holds. */
static const JitRange *known_range(const CPUX86State *env, unsigned cls, MmuAccess access,
                                   uint64_t linear)
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
    unsigned index =
        (slot - (unsigned)offsetof(CPUX86State, jit_slots)) / (unsigned)sizeof(JitSlot);
    /* In lockstep the CPU's TLB is the executor's outside translated code, whose own one it hides.
     */
    CpuTlb *tlb = env->tlb->write_flags ? env->tlb->twin : env->tlb;
    RangeFinder f = {.env = env,
                     .tlb = tlb,
                     .cls = index / (2 * JIT_SLOTS),
                     .access = index / JIT_SLOTS % 2 ? MMU_WRITE : MMU_READ};
    uint64_t page = linear & GUEST_PAGE_MASK, pages = 0;
    JitSlot *s = &env->jit_slots[f.cls][f.access == MMU_WRITE][index % JIT_SLOTS];
    const TlbEntry *e = tlb_slot(tlb, f.cls, page);

    env->jit_slots_used[f.cls][f.access][index % JIT_SLOTS / JIT_SLOT_CHUNK] = 1;
    const JitRange *known = known_range(env, f.cls, f.access, linear);
    bool use_known = known && (env->jit_next_range++ % LOOK_AGAIN ||
                               __builtin_ia32_rdtsc() < tlb->search_not_before);
    WindowRange in_window = use_known ? (WindowRange){0} : range_in_window(&f, page, e);
    /* Who protects RAM takes the lock to tell the TLB, and empties ranges and slots afterwards. */
    tlb_lock(tlb);
    if (use_known && (known = known_range(env, f.cls, f.access, linear))) {
        pages = (known->limit + JIT_SLOT_MAX_SPAN) >> GUEST_PAGE_BITS;
        s->limit = known->limit + JIT_SLOT_MAX_SPAN - GUEST_PAGE_SIZE + s->page_limit;
        s->addend = known->addend;
        __atomic_store_n(&s->tag, known->tag, __ATOMIC_RELAXED);
    } else if (e->tag[f.access] == page) {
        find_longer_range(&f, page, e, in_window);
        pages = (f.end - f.first) >> GUEST_PAGE_BITS;
        s->limit = f.end - f.first - GUEST_PAGE_SIZE + s->page_limit;
        s->addend = f.addend;
        __atomic_store_n(&s->tag, f.first, __ATOMIC_RELAXED);
        if (pages > 1) {
            keep_range(&f);
        }
    }
    tlb_unlock(tlb);
    return pages;
}
