/*
 * Windows: pages of RAM mapped once more, in the guest's linear order.
 *
 * A program's pages lie anywhere in RAM, so that a loop over a table or a list of some megabytes has another distance between linear
 * and host addresses in each. A place in translated code that keeps missing its last-page slot for that is worth a few
 * hundred system calls, once: they map those pages side by side. From then on mmu_fill_slot_range() gives it all of them,
 * and the access no longer waits for a look into the TLB.
 *
 * Who wants to hear of writes to RAM, or keep the guest from it, does so by the soft TLB and the slots, never by the host's
 * protection of one mapping.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/mmu.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <x86intrin.h>

enum {
    MAX_SIDE = 1024,      /* pages on either side of the address */
    MIN_PAGES = 4,
    MAX_MAPS = 16384,     /* of all vCPUs; Linux allows a process 65530 (vm.max_map_count) */
    COST = 16,            /* of so much time, one part at most goes into making windows */
};

static _Atomic unsigned maps_used;

TlbWindow *mmu_find_window(CpuTlb *tlb, uint64_t page, ram_addr ram)
{
    for (unsigned i = 0; i < TLB_WINDOWS; i++) {
        TlbWindow *w = &tlb->windows[i];
        uint64_t at = (page - w->linear) >> GUEST_PAGE_BITS;
        if (at < w->pages && w->ram[at] == ram) {
            return w;
        }
    }
    return NULL;
}

static void drop(TlbWindow *w)
{
    if (w->pages) {
        munmap(w->host, (size_t)w->pages << GUEST_PAGE_BITS);
        free(w->ram);
        maps_used -= w->maps;
        *w = (TlbWindow){0};
    }
}

void mmu_drop_windows(CpuTlb *tlb)
{
    for (unsigned i = 0; i < TLB_WINDOWS; i++) {
        drop(&tlb->windows[i]);
    }
}

static TlbWindow *oldest(CpuTlb *tlb)
{
    TlbWindow *w = &tlb->windows[0];

    for (unsigned i = 1; i < TLB_WINDOWS; i++) {
        if (tlb->windows[i].last_use < w->last_use) {
            w = &tlb->windows[i];
        }
    }
    return w;
}

/* How many of the window's pages from `first` on follow each other in RAM. */
static unsigned run_length(const TlbWindow *w, unsigned first)
{
    unsigned n = 1;

    while (first + n < w->pages && w->ram[first + n] == w->ram[first] + ((ram_addr)n << GUEST_PAGE_BITS)) {
        n++;
    }
    return n;
}

static bool map_pages(TlbWindow *w)
{
    size_t bytes = (size_t)w->pages << GUEST_PAGE_BITS;
    void *place = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (place == MAP_FAILED) {
        return false;
    }
    w->host = place;
    for (unsigned first = 0, n; first < w->pages; first += n) {
        n = run_length(w, first);
        if (mmap(w->host + ((size_t)first << GUEST_PAGE_BITS), (size_t)n << GUEST_PAGE_BITS, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_FIXED | MAP_POPULATE, memory_ram_fd(), (off_t)w->ram[first]) == MAP_FAILED) {
            munmap(place, bytes);
            return false;
        }
    }
    return true;
}

/* The pages around the one at `page` that the TLB has for the access: sets linear, pages, ram and maps. */
static bool collect(const CpuTlb *tlb, unsigned cls, MmuAccess access, uint64_t page, TlbWindow *w)
{
    uint64_t first = page, end = page;

    while (end && end - page < (uint64_t)MAX_SIDE << GUEST_PAGE_BITS &&
           tlb->entries[cls][tlb_index(end)].tag[access] == end) {
        end += GUEST_PAGE_SIZE;
    }
    while (first && page - first < (uint64_t)MAX_SIDE << GUEST_PAGE_BITS &&
           tlb->entries[cls][tlb_index(first - GUEST_PAGE_SIZE)].tag[access] == first - GUEST_PAGE_SIZE) {
        first -= GUEST_PAGE_SIZE;
    }
    *w = (TlbWindow){.linear = first, .pages = (unsigned)((end - first) >> GUEST_PAGE_BITS)};
    if (w->pages < MIN_PAGES || !(w->ram = calloc(w->pages, sizeof(*w->ram)))) {
        w->pages = 0;
        return false;
    }
    for (unsigned i = 0; i < w->pages; i++) {
        w->ram[i] = tlb->info[cls][tlb_index(first + ((uint64_t)i << GUEST_PAGE_BITS))].ram;
    }
    for (unsigned i = 0; i < w->pages; i += run_length(w, i)) {
        w->maps++;
    }
    if (w->maps == 1) { /* a range without a window has them, too */
        free(w->ram);
        *w = (TlbWindow){0};
        return false;
    }
    return true;
}

static bool make(CPUX86State *env, unsigned cls, MmuAccess access, uint64_t page)
{
    CpuTlb *tlb = env->tlb;
    const TlbEntry *e = tlb_slot(tlb, cls, page);
    TlbWindow w;

    if (e->tag[access] != page || !collect(tlb, cls, access, page, &w)) {
        return false;
    }
    TlbWindow *place = mmu_find_window(tlb, page, tlb->info[cls][tlb_index(page)].ram);
    if (place && place->pages > w.pages / 2) {
        free(w.ram);
        return false;
    }
    mmu_empty_slots(env, MMU_ALL_CLASSES); /* those that lead to the window which has to go */
    place = place ? place : oldest(tlb);
    drop(place);
    if ((maps_used += w.maps) > MAX_MAPS || !map_pages(&w)) {
        maps_used -= w.maps;
        free(w.ram);
        return false;
    }
    w.last_use = ++tlb->window_uses;
    *place = w;
    return true;
}

WindowResult mmu_make_window(CPUX86State *env, uint32_t slot, uint64_t linear)
{
    unsigned index = (slot - (unsigned)offsetof(CPUX86State, jit_slots)) / (unsigned)sizeof(JitSlot);
    CpuTlb *tlb = env->tlb;
    uint64_t start = __rdtsc();

    if (tlb->twin || tlb->ram_delta) {
        return WINDOW_NONE; /* lockstep's memory is another */
    }
    if (start < tlb->windows_not_before) {
        return WINDOW_LATER;
    }
    bool made = make(env, index / (2 * JIT_SLOTS), index / JIT_SLOTS % 2 ? MMU_WRITE : MMU_READ, linear & GUEST_PAGE_MASK);
    uint64_t end = __rdtsc();
    tlb->windows_not_before = end + (end - start) * COST;
    return made ? WINDOW_MADE : WINDOW_NONE;
}
