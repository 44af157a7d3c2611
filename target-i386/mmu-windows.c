/*
 * Windows: pages of RAM mapped once more, in the guest's linear order.
 *
 * A program's pages lie anywhere in RAM, so that a loop over a table or a list of some megabytes
 * has another distance between linear and host addresses in each. A place in translated code that
 * keeps missing its last-page slot for that is worth a few hundred system calls, once: they map
 * those pages side by side. From then on mmu_fill_slot_range() gives it all of them, and the access
 * no longer waits for a look into the TLB.
 *
 * What the guest maps is what the TLB has or, for pages whose places in it others have taken, what
 * the page tables say; a CPU may keep that until it is told to forget it. Either is looked at again
 * for each range.
 *
 * Who wants to hear of writes to RAM, or keep the guest from it, does so by the soft TLB and the
 * slots, never by the host's protection of one mapping.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/mmu-walk.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <x86intrin.h>

#include "target-i386/debugger.h"

enum {
    MAX_SIDE = 16384,     /* pages on either side of the address */
    MAX_SIDE_MAPS = 1024, /* and mappings that they take, a system call each */
    MIN_PAGES = 4,
    MAX_GAP = 16,     /* pages in a row that the TLB does not have, as others have their places */
    MAX_MAPS = 16384, /* of all vCPUs; Linux allows a process 65530 (vm.max_map_count) */
    COST = 16,        /* of so much time, one part at most goes into making windows */
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

    while (first + n < w->pages &&
           w->ram[first + n] == w->ram[first] + ((ram_addr)n << GUEST_PAGE_BITS)) {
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
        if (mmap(w->host + ((size_t)first << GUEST_PAGE_BITS), (size_t)n << GUEST_PAGE_BITS,
                 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE, memory_ram_fd(),
                 (off_t)w->ram[first]) == MAP_FAILED) {
            munmap(place, bytes);
            return false;
        }
    }
    return true;
}

/* ---- what the guest maps now ---- */

/* Pages one after the other, in one direction. */
typedef struct PageFinder {
    CPUX86State *env;
    unsigned cls;
    MmuAccess access;
    unsigned gap;
    bool tables; /* they may be asked for what the TLB does not have */
} PageFinder;

static PageFinder start_at(CPUX86State *env, unsigned cls, MmuAccess access)
{
    /* While somebody wants to hear of a page's first access the TLB has to have each page that a
     * slot leads to. */
    bool each = atomic_load(&memory_access_hook) || env->dr[7] & 0xff || debugger_has_data_points();

    return (PageFinder){env, cls, access, .tables = !each};
}

/* The page of RAM for the access: what the TLB has or, as its places may be others', the page
 * tables. RAM_ADDR_INVALID: none. */
static ram_addr find_next(PageFinder *f, uint64_t page)
{
    CpuTlb *tlb = f->env->tlb;
    unsigned at = tlb_index(page);
    uint64_t tag = tlb->entries[f->cls][at].tag[f->access];

    if (tag == page) {
        f->gap = 0;
        return tlb->info[f->cls][at].ram;
    }
    /* An entry of the page with a mark: somebody has to be told of each access. */
    bool marked = !(tag & TLB_INVALID) && (tag & GUEST_PAGE_MASK) == page;
    return marked || !f->tables || ++f->gap > MAX_GAP
               ? RAM_ADDR_INVALID
               : mmu_peek_ram(f->env, page, f->cls, f->access);
}

/* Adds those behind the page, or before it with step -1, to what ram points at and is the page's.
 * Returns how many. */
static unsigned collect_side(PageFinder f, uint64_t page, int step, ram_addr *ram)
{
    const ram_addr next = (ram_addr)(int64_t)step << GUEST_PAGE_BITS;
    unsigned n = 0, maps = 0;

    for (; n < MAX_SIDE; n++, ram += step) {
        page += (uint64_t)next;
        if (page == (step > 0 ? 0 : GUEST_PAGE_MASK) ||
            (ram[step] = find_next(&f, page)) == RAM_ADDR_INVALID ||
            (ram[step] != ram[0] + next && ++maps > MAX_SIDE_MAPS)) {
            break;
        }
    }
    return n;
}

/* The pages around the one at `page`, which is in the TLB: sets linear, pages, ram and maps. */
static bool collect(CPUX86State *env, unsigned cls, MmuAccess access, uint64_t page, TlbWindow *w)
{
    ram_addr *ram = malloc((2 * MAX_SIDE + 1) * sizeof(*ram));

    if (!ram) {
        return false;
    }
    ram[MAX_SIDE] = env->tlb->info[cls][tlb_index(page)].ram;
    unsigned before = collect_side(start_at(env, cls, access), page, -1, ram + MAX_SIDE);
    unsigned pages = before + 1 + collect_side(start_at(env, cls, access), page, 1, ram + MAX_SIDE);

    *w = (TlbWindow){.linear = page - ((uint64_t)before << GUEST_PAGE_BITS), .pages = pages};
    if (pages >= MIN_PAGES) {
        w->ram = malloc(pages * sizeof(*w->ram));
    }
    if (w->ram) {
        memcpy(w->ram, ram + MAX_SIDE - before, pages * sizeof(*w->ram));
        for (unsigned i = 0; i < pages; i += run_length(w, i)) {
            w->maps++;
        }
    }
    free(ram);
    /* Of a row that is short enough a range without a window has all, too. */
    return w->maps > 1 || (w->maps == 1 && pages > MMU_SHORT_SEARCH);
}

/* ---- ranges ---- */

void mmu_window_range(CPUX86State *env, TlbWindow *w, unsigned cls, MmuAccess access, uint64_t page,
                      unsigned most, uint64_t *first, uint64_t *end)
{
    const unsigned at = (unsigned)((page - w->linear) >> GUEST_PAGE_BITS);
    PageFinder up = start_at(env, cls, access), down = up;
    unsigned i = at + 1, j = at;

    while (i < w->pages && i - at <= most &&
           find_next(&up, page + ((uint64_t)(i - at) << GUEST_PAGE_BITS)) == w->ram[i]) {
        i++;
    }
    while (j && at - j < most &&
           find_next(&down, page - ((uint64_t)(at - j + 1) << GUEST_PAGE_BITS)) == w->ram[j - 1]) {
        j--;
    }
    *first = w->linear + ((uint64_t)j << GUEST_PAGE_BITS);
    *end = w->linear + ((uint64_t)i << GUEST_PAGE_BITS);
}

void mmu_cut_to_dirty(const TlbWindow *w, uint64_t page, uint64_t *first, uint64_t *end)
{
    const unsigned at = (unsigned)((page - w->linear) >> GUEST_PAGE_BITS);
    unsigned i = at + 1, j = at, last = (unsigned)((*end - w->linear) >> GUEST_PAGE_BITS);

    while (i < last && memory_dirty_all(w->ram[i])) {
        i++;
    }
    while (j > (*first - w->linear) >> GUEST_PAGE_BITS && memory_dirty_all(w->ram[j - 1])) {
        j--;
    }
    *first = w->linear + ((uint64_t)j << GUEST_PAGE_BITS);
    *end = w->linear + ((uint64_t)i << GUEST_PAGE_BITS);
}

/* ---- windows ---- */

/* How many of the window's pages around this one the access may use: pages that have moved divide
 * it. */
static unsigned pages_in_use(CPUX86State *env, TlbWindow *w, unsigned cls, MmuAccess access,
                             uint64_t page)
{
    uint64_t first, end;

    mmu_window_range(env, w, cls, access, page, w->pages, &first, &end);
    return (unsigned)((end - first) >> GUEST_PAGE_BITS);
}

static bool make(CPUX86State *env, unsigned cls, MmuAccess access, uint64_t page)
{
    CpuTlb *tlb = env->tlb;
    const TlbEntry *e = tlb_slot(tlb, cls, page);
    TlbWindow w = {0};

    if (e->tag[access] != page) {
        return false;
    }
    TlbWindow *place = mmu_find_window(tlb, page, tlb->info[cls][tlb_index(page)].ram);
    if (!collect(env, cls, access, page, &w) ||
        (place && pages_in_use(env, place, cls, access, page) > w.pages / 2)) {
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
    tlb->search_not_before = 0; /* it is searched at once */
    return true;
}

WindowResult mmu_make_window(CPUX86State *env, uint32_t slot, uint64_t linear)
{
    unsigned index =
        (slot - (unsigned)offsetof(CPUX86State, jit_slots)) / (unsigned)sizeof(JitSlot);
    CpuTlb *tlb = env->tlb;
    uint64_t start = __rdtsc();

    if (tlb->twin || tlb->ram_delta) {
        return WINDOW_NONE; /* lockstep's memory is another */
    }
    if (start < tlb->windows_not_before) {
        return WINDOW_LATER;
    }
    bool made = make(env, index / (2 * JIT_SLOTS), index / JIT_SLOTS % 2 ? MMU_WRITE : MMU_READ,
                     linear & GUEST_PAGE_MASK);
    uint64_t end = __rdtsc();
    tlb->windows_not_before = end + (end - start) * COST;
    return made ? WINDOW_MADE : WINDOW_NONE;
}
