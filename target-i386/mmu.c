/*
 * The soft TLB's slow side, and accesses to linear addresses.
 *
 * SDM vol. 3, 4.10 (what a TLB may keep).
 * PCIDs are accepted, but the TLB keeps no tags: every load of CR3 drops the non-global entries,
 * which is always allowed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/mmu-walk.h"

#include <stdlib.h>
#include <string.h>

#include "target-i386/debug.h"
#include "target-i386/debugger.h"
#include "target-i386/excp.h"
#include "target-i386/exec.h"
#include "target-i386/lockstep.h"
#include "target-i386/mem.h"
#include "target-i386/system.h"
#include "util/host-access.h"
#include "util/loop.h"

/* ---- the TLB ---- */

static void set_add(TlbSlotSet *set, unsigned slot)
{
    set->bits[slot / 64] |= 1ull << (slot % 64);
    set->words[slot / 4096] |= 1ull << (slot / 64 % 64);
}

static void set_remove(TlbSlotSet *set, unsigned slot)
{
    set->bits[slot / 64] &= ~(1ull << (slot % 64)); /* the word may stay in words */
}

/* The first word from `word` on that may not be 0; TLB_SET_WORDS: none. */
static unsigned set_next(const TlbSlotSet *set, unsigned word)
{
    for (unsigned i = word / 64; i < TLB_SET_WORDS / 64; i++) {
        uint64_t left = set->words[i] & (i == word / 64 ? ~0ull << word % 64 : ~0ull);
        if (left) {
            return i * 64 + (unsigned)__builtin_ctzll(left);
        }
    }
    return TLB_SET_WORDS;
}

static unsigned large_hash(uint64_t linear)
{
    return (linear >> 21 ^ linear >> 33) % TLB_LARGE_HASH;
}

static void note_large(CpuTlb *tlb, uint64_t linear)
{
    unsigned h = large_hash(linear);

    tlb->large_seen[h / 64] |= 1ull << (h % 64);
}

/* Whether entries of other small pages may come from the large page that the address lies in. */
static bool may_be_large(const CpuTlb *tlb, uint64_t linear)
{
    unsigned h = large_hash(linear);

    return tlb->huge_seen || (tlb->large_seen[h / 64] >> (h % 64) & 1);
}

static void set_tag(TlbEntry *e, MmuAccess access, uint64_t tag)
{
    __atomic_store_n(&e->tag[access], tag, __ATOMIC_RELAXED);
}

static void invalidate(TlbEntry *e)
{
    for (MmuAccess a = MMU_READ; a <= MMU_EXEC; a++) {
        set_tag(e, a, TLB_INVALID);
    }
}

static bool canonical(uint64_t linear)
{
    return (uint64_t)((int64_t)(linear << 16) >> 16) == linear;
}

static void fill_entry(CPUX86State *env, unsigned cls, uint64_t page, const PageWalk *w,
                       const MemoryPage *mem, hwaddr phys)
{
    CpuTlb *tlb = env->tlb;
    TlbEntry *e = tlb_slot(tlb, cls, page);
    unsigned slot = (unsigned)(e - tlb->entries[cls]);
    TlbInfo *info = &tlb->info[cls][slot];
    bool paging = env->cr0 & CR0_PG;
    uint64_t watch = debug_page_watched(env, page) ? TLB_WATCH : 0;
    uint64_t watch_code = debugger_code_page(page) ? TLB_WATCH : 0;
    uint64_t tag[3];

    for (MmuAccess a = MMU_READ; a <= MMU_EXEC; a++) {
        bool ok = !paging || (mmu_walk_allows(env, w, cls, a) && (a != MMU_WRITE || w->dirty));
        uint64_t flags = (a != MMU_EXEC ? watch : watch_code) | (mem->host ? 0 : TLB_MMIO);
        tag[a] = ok ? page | flags : TLB_INVALID;
    }
    if (mem->host && tag[MMU_WRITE] != TLB_INVALID) {
        tag[MMU_WRITE] |= mem->readonly ? TLB_MMIO : tlb->write_flags;
    }
    if (w->bits == 30) {
        tlb->huge_seen = true;
    } else if (w->bits > GUEST_PAGE_BITS) {
        uint64_t start = page & ~((1ull << w->bits) - 1);
        note_large(tlb, start);
        note_large(tlb, start + (1ull << w->bits) - 1);
    }
    tlb_lock(tlb);
    set_add(&tlb->used[cls], slot);
    if (w->global) {
        set_remove(&tlb->local[cls], slot);
    } else {
        set_add(&tlb->local[cls], slot);
        tlb->has_local[cls] = true;
    }
    if (mem->host && !mem->readonly && tag[MMU_WRITE] != TLB_INVALID &&
        !memory_dirty_all(mem->ram)) {
        tag[MMU_WRITE] |= TLB_NOTDIRTY;
    }
    info->phys = phys;
    info->ram = mem->host ? mem->ram : RAM_ADDR_INVALID;
    info->page_bits = w->bits;
    info->global = w->global;
    e->addend = mem->host ? (uintptr_t)mem->host - (uintptr_t)page : 0;
    for (MmuAccess a = MMU_READ; a <= MMU_EXEC; a++) {
        set_tag(e, a, tag[a]);
    }
    tlb_unlock(tlb);
}

/* Fills the slot for the access, or raises. */
static void tlb_fill(CPUX86State *env, unsigned cls, uint64_t linear, MmuAccess access)
{
    PageWalk w;
    uint32_t error;

    if (env->efer & EFER_LMA) {
        if (!canonical(linear)) {
            cpu_raise_error(env, EXCP_GP, 0);
        }
    }
    if ((!(env->efer & EFER_LMA) || !mmu_walk_usual(env, linear, cls, access, &w)) &&
        mmu_walk(env, linear, cls, access, true, &w, &error) != WALK_OK) {
        cpu_raise_page_fault(env, linear, mmu_fault_code(env, cls, access, error));
    }
    hwaddr phys = w.phys & env->a20_mask;
    MemoryPage mem = mmu_find_page(env, phys & GUEST_PAGE_MASK);
    if (mem.host) {
        memory_bring_in(mem.ram);
    }
    fill_entry(env, cls, linear & GUEST_PAGE_MASK, &w, &mem, phys);
}

static inline bool tag_hits(uint64_t tag, uint64_t linear)
{
    return (tag & (GUEST_PAGE_MASK | TLB_INVALID)) == (linear & GUEST_PAGE_MASK);
}

/* The entry for an access, filled if need be. May raise. */
static TlbEntry *tlb_get(CPUX86State *env, unsigned cls, uint64_t linear, MmuAccess access)
{
    TlbEntry *e = tlb_slot(env->tlb, cls, linear);

    if (!tag_hits(e->tag[access], linear)) {
        tlb_fill(env, cls, linear, access);
    }
    return e;
}

static TlbInfo *info_of(CPUX86State *env, unsigned cls, const TlbEntry *e)
{
    return &env->tlb->info[cls][e - env->tlb->entries[cls]];
}

/* Something was written in a watched page: its clients are told. When there are none any more, the fast path may take it. */
static void written_in_page(CPUX86State *env, unsigned cls, TlbEntry *e, uint64_t linear, unsigned size)
{
    CpuTlb *tlb = env->tlb;
    ram_addr ram = info_of(env, cls, e)->ram;

    cpu_ram_written(env, ram + PAGE_OFFSET(linear), size);
    if (!memory_dirty_all(ram)) {
        return;
    }
    tlb_lock(tlb);
    /* Telling may have flushed, and the display may be looking again already. */
    if (memory_dirty_all(ram) && !(e->tag[MMU_WRITE] & TLB_INVALID)) {
        set_tag(e, MMU_WRITE, e->tag[MMU_WRITE] & ~(uint64_t)TLB_NOTDIRTY);
    }
    tlb_unlock(tlb);
}

/* ---- accesses within one page ---- */

static uint64_t read_in_page(CPUX86State *env, unsigned cls, uint64_t linear, unsigned size)
{
    TlbEntry *e = tlb_get(env, cls, linear, MMU_READ);
    uint64_t flags = PAGE_OFFSET(e->tag[MMU_READ]);

    if (__builtin_expect(flags, 0)) {
        if (flags & TLB_WATCH) {
            debug_data_access(env, linear, size, false);
        }
        if (flags & TLB_MMIO) {
            return mmu_device_read(env, info_of(env, cls, e)->phys + PAGE_OFFSET(linear), size);
        }
    }
    return host_load((uint8_t *)(uintptr_t)(linear + e->addend), size);
}

static void write_in_page(CPUX86State *env, unsigned cls, uint64_t linear, uint64_t v,
                          unsigned size)
{
    TlbEntry *e = tlb_get(env, cls, linear, MMU_WRITE);
    uint64_t flags = PAGE_OFFSET(e->tag[MMU_WRITE]);

    if (__builtin_expect(flags, 0)) {
        if (flags & TLB_WATCH) {
            debug_data_access(env, linear, size, true);
        }
        if (flags & TLB_MMIO) {
            mmu_device_write(env, info_of(env, cls, e)->phys + PAGE_OFFSET(linear), v, size);
            return;
        }
        if (flags & TLB_LOG) {
            lockstep_note_write(env, info_of(env, cls, e)->ram + PAGE_OFFSET(linear), size);
        }
        if (flags & TLB_NOTDIRTY) {
            uint8_t *host = (uint8_t *)(uintptr_t)(linear + e->addend);
            memory_before_write(info_of(env, cls, e)->ram + PAGE_OFFSET(linear), size);
            host_store(host, v, size);
            written_in_page(env, cls, e, linear, size);
            return;
        }
    }
    host_store((uint8_t *)(uintptr_t)(linear + e->addend), v, size);
}

/* Linear addresses are 32 bits wide outside long mode. */
static inline uint64_t wrap(const CPUX86State *env, uint64_t linear)
{
    return env->efer & EFER_LMA ? linear : (uint32_t)linear;
}

static inline unsigned bytes_in_page(uint64_t linear, unsigned size)
{
    unsigned room = GUEST_PAGE_SIZE - (unsigned)PAGE_OFFSET(linear);
    return room < size ? room : size;
}

/* The largest power of two, at most 8, that is not more than n and divides the address. */
static unsigned chunk(uint64_t linear, unsigned n)
{
    unsigned size = 8;

    while (size > n || (linear & (size - 1))) {
        size /= 2;
    }
    return size;
}

void mmu_probe(CPUX86State *env, unsigned cls, uint64_t linear, unsigned size, MmuAccess access)
{
    while (size) {
        unsigned n = bytes_in_page(linear, size);
        tlb_get(env, cls, linear, access);
        linear = wrap(env, linear + n);
        size -= n;
    }
}

void mmu_read_bytes(CPUX86State *env, unsigned cls, uint64_t linear, void *buf, unsigned size)
{
    uint8_t *to = buf;

    mmu_probe(env, cls, linear, size, MMU_READ);
    while (size) {
        const uint8_t *host;
        unsigned n = bytes_in_page(linear, size);
        if ((host = mmu_host_ptr(env, cls, linear, n, MMU_READ))) {
            memcpy(to, host, n);
        } else {
            n = chunk(linear, n);
            uint64_t v = read_in_page(env, cls, linear, n);
            memcpy(to, &v, n);
        }
        to += n;
        size -= n;
        linear = wrap(env, linear + n);
    }
}

void mmu_write_bytes(CPUX86State *env, unsigned cls, uint64_t linear, const void *buf,
                     unsigned size)
{
    const uint8_t *from = buf;

    mmu_probe(env, cls, linear, size, MMU_WRITE);
    while (size) {
        uint8_t *host;
        unsigned n = bytes_in_page(linear, size);
        if ((host = mmu_host_ptr(env, cls, linear, n, MMU_WRITE))) {
            memcpy(host, from, n);
        } else {
            uint64_t v = 0;
            n = chunk(linear, n);
            memcpy(&v, from, n);
            write_in_page(env, cls, linear, v, n);
        }
        from += n;
        size -= n;
        linear = wrap(env, linear + n);
    }
}

bool mmu_read_at_hand(CPUX86State *env, unsigned cls, uint64_t linear, uint64_t *v, unsigned size)
{
    const TlbEntry *e = tlb_slot(env->tlb, cls, linear);

    if (e->tag[MMU_READ] != (linear & GUEST_PAGE_MASK) || PAGE_OFFSET(linear) + size > GUEST_PAGE_SIZE) {
        return false;
    }
    *v = host_load((uint8_t *)(uintptr_t)(linear + e->addend), size);
    return true;
}

uint64_t mmu_read(CPUX86State *env, unsigned cls, uint64_t linear, unsigned size)
{
    uint64_t v = 0;

    if (PAGE_OFFSET(linear) + size <= GUEST_PAGE_SIZE) {
        return read_in_page(env, cls, linear, size);
    }
    mmu_read_bytes(env, cls, linear, &v, size);
    return v;
}

void mmu_write(CPUX86State *env, unsigned cls, uint64_t linear, uint64_t v, unsigned size)
{
    if (PAGE_OFFSET(linear) + size <= GUEST_PAGE_SIZE) {
        write_in_page(env, cls, linear, v, size);
    } else {
        mmu_write_bytes(env, cls, linear, &v, size);
    }
}

uint8_t *mmu_host_ptr(CPUX86State *env, unsigned cls, uint64_t linear, unsigned size,
                      MmuAccess access)
{
    TlbEntry *e = tlb_get(env, cls, linear, access);
    uint64_t flags = PAGE_OFFSET(e->tag[access]);

    if (flags || PAGE_OFFSET(linear) + size > GUEST_PAGE_SIZE) {
        return NULL;
    }
    return (uint8_t *)(uintptr_t)(linear + e->addend);
}

uint8_t *mmu_write_ptr(CPUX86State *env, unsigned cls, uint64_t linear, unsigned size)
{
    TlbEntry *e = tlb_get(env, cls, linear, MMU_WRITE);
    uint64_t flags = PAGE_OFFSET(e->tag[MMU_WRITE]);

    if ((flags & ~(uint64_t)(TLB_NOTDIRTY | TLB_LOG)) || PAGE_OFFSET(linear) + size > GUEST_PAGE_SIZE) {
        return NULL;
    }
    if (flags & TLB_LOG) {
        lockstep_note_write(env, info_of(env, cls, e)->ram + PAGE_OFFSET(linear), size);
    }
    if (flags & TLB_NOTDIRTY) {
        memory_before_write(info_of(env, cls, e)->ram + PAGE_OFFSET(linear), size);
        env->tlb->pending_write = (TlbPendingWrite){linear, size, cls};
    }
    return (uint8_t *)(uintptr_t)(linear + e->addend);
}

void mmu_write_done(CPUX86State *env)
{
    TlbPendingWrite w = env->tlb->pending_write;

    env->tlb->pending_write.size = 0;
    written_in_page(env, w.cls, tlb_slot(env->tlb, w.cls, w.linear), w.linear, w.size);
}

static uint8_t *code_ptr(CPUX86State *env, uint64_t linear, hwaddr *phys, uint64_t flags)
{
    unsigned cls = env->tlb->data_class;
    TlbEntry *e = tlb_get(env, cls, linear, MMU_EXEC);

    *phys = info_of(env, cls, e)->phys + PAGE_OFFSET(linear);
    if (PAGE_OFFSET(e->tag[MMU_EXEC]) & ~flags) {
        return NULL;
    }
    return (uint8_t *)(uintptr_t)(linear + e->addend);
}

uint8_t *mmu_code_ptr(CPUX86State *env, uint64_t linear, hwaddr *phys)
{
    return code_ptr(env, linear, phys, 0);
}

uint8_t *mmu_code_ptr_watched(CPUX86State *env, uint64_t linear, hwaddr *phys)
{
    return code_ptr(env, linear, phys, TLB_WATCH);
}

bool mmu_can_fetch(CPUX86State *env, uint64_t linear)
{
    PageWalk w;
    uint32_t error;

    if ((env->efer & EFER_LMA) && !canonical(linear)) {
        return false;
    }
    return mmu_walk(env, linear, env->tlb->data_class, MMU_EXEC, false, &w, &error) == WALK_OK &&
           (!(env->cr0 & CR0_PG) || mmu_walk_allows(env, &w, env->tlb->data_class, MMU_EXEC));
}

/* ---- upkeep ---- */

void mmu_init(CpuTlb *tlb)
{
    atomic_flag_clear(&tlb->lock);
    tlb->data = tlb->entries[MMU_KERNEL];
    for (unsigned c = 0; c < MMU_CLASSES; c++) {
        for (unsigned i = 0; i < TLB_SIZE; i++) {
            invalidate(&tlb->entries[c][i]);
        }
    }
    for (unsigned i = 0; i < PHYS_CACHE_SIZE; i++) {
        tlb->phys_cache[i].page = 1;
    }
    tlb->extent = (PhysExtent){0};
}

CpuTlb *mmu_new(void)
{
    CpuTlb *tlb = calloc(1, sizeof(*tlb));

    if (!tlb) {
        abort();
    }
    mmu_init(tlb);
    return tlb;
}

void mmu_free(CpuTlb *tlb)
{
    if (tlb) {
        mmu_drop_windows(tlb);
    }
    free(tlb);
}

void mmu_update_class(CPUX86State *env)
{
    unsigned cls = MMU_KERNEL;

    if (cpu_cpl(env) == 3) {
        cls = MMU_USER;
    } else if ((env->cr4 & CR4_SMAP) && (env->eflags & FLAG_AC)) {
        cls = MMU_KERNEL_USER;
    }
    env->tlb->data_class = cls;
    env->tlb->data = env->tlb->entries[cls];
}

/* Empties the slots in `set`, which becomes empty itself. */
static void invalidate_set(CpuTlb *tlb, unsigned cls, TlbSlotSet *set)
{
    for (unsigned word = set_next(set, 0); word < TLB_SET_WORDS; word = set_next(set, word + 1)) {
        for (uint64_t bits = set->bits[word]; bits; bits &= bits - 1) {
            invalidate(&tlb->entries[cls][word * 64 + (unsigned)__builtin_ctzll(bits)]);
        }
        set->bits[word] = 0;
    }
    memset(set->words, 0, sizeof(set->words));
}

bool mmu_page_is_global(CPUX86State *env, uint64_t linear)
{
    unsigned cls = env->tlb->data_class;
    const TlbEntry *e = tlb_slot(env->tlb, cls, linear);

    return tag_hits(e->tag[MMU_EXEC], linear) && info_of(env, cls, e)->global;
}

static void flush_all(CpuTlb *tlb)
{
    tlb_lock(tlb);
    for (unsigned c = 0; c < MMU_CLASSES; c++) {
        invalidate_set(tlb, c, &tlb->used[c]);
        memset(&tlb->local[c], 0, sizeof(tlb->local[c]));
        tlb->has_local[c] = false;
    }
    tlb->huge_seen = false;
    memset(tlb->large_seen, 0, sizeof(tlb->large_seen));
    for (unsigned i = 0; i < PHYS_CACHE_SIZE; i++) {
        tlb->phys_cache[i].page = 1;
    }
    tlb->extent = (PhysExtent){0};
    tlb_unlock(tlb);
}

void tlb_flush(CPUX86State *env)
{
    flush_all(env->tlb);
    if (env->tlb->twin) {
        flush_all(env->tlb->twin);
    }
    mmu_empty_slots(env, MMU_ALL_CLASSES);
    exec_mapping_changed(env, MAPPING_ALL, 0);
}

/* Returns the classes that may have had such entries, a bit each. */
static unsigned flush_nonglobal(CpuTlb *tlb)
{
    unsigned classes = 0;

    tlb_lock(tlb);
    for (unsigned c = 0; c < MMU_CLASSES; c++) {
        classes |= (unsigned)tlb->has_local[c] << c;
        tlb->has_local[c] = false;
        invalidate_set(tlb, c, &tlb->local[c]); /* they stay in `used`, empty */
    }
    tlb_unlock(tlb);
    return classes;
}

void tlb_flush_nonglobal(CPUX86State *env)
{
    unsigned classes = flush_nonglobal(env->tlb);

    if (env->tlb->twin) {
        classes |= flush_nonglobal(env->tlb->twin);
    }
    mmu_empty_slots(env, classes); /* others hold global pages only: a slot holds what the TLB has held since the last flush */
    exec_mapping_changed(env, MAPPING_NONGLOBAL, 0);
}

static bool entry_of_page(const TlbEntry *e, uint64_t page, uint64_t mask)
{
    for (MmuAccess a = MMU_READ; a <= MMU_EXEC; a++) {
        if (!(e->tag[a] & TLB_INVALID) && (e->tag[a] & mask) == (page & mask)) {
            return true;
        }
    }
    return false;
}

/* Entries of other parts of a large page that holds the address. */
static void flush_large_page(CpuTlb *tlb, unsigned cls, uint64_t page)
{
    enum { AREA_BITS = 22, AREA_PAGES = 1u << (AREA_BITS - GUEST_PAGE_BITS) }; /* of the largest page but those of 1 GB */
    uint64_t area = page & ~((1ull << AREA_BITS) - 1);
    unsigned n = tlb->huge_seen ? TLB_SIZE : AREA_PAGES;

    for (unsigned i = 0; i < n; i++) {
        unsigned slot = tlb->huge_seen ? i : tlb_index(area + ((uint64_t)i << GUEST_PAGE_BITS));
        unsigned page_bits = tlb->info[cls][slot].page_bits;
        if (page_bits > GUEST_PAGE_BITS && entry_of_page(&tlb->entries[cls][slot], page, ~((1ull << page_bits) - 1))) {
            invalidate(&tlb->entries[cls][slot]);
        }
    }
}

static void flush_page(CpuTlb *tlb, uint64_t page)
{
    tlb_lock(tlb);
    for (unsigned c = 0; c < MMU_CLASSES; c++) {
        TlbEntry *e = tlb_slot(tlb, c, page);
        if (entry_of_page(e, page, GUEST_PAGE_MASK)) {
            invalidate(e);
        }
    }
    if (may_be_large(tlb, page)) {
        for (unsigned c = 0; c < MMU_CLASSES; c++) {
            flush_large_page(tlb, c, page);
        }
    }
    tlb_unlock(tlb);
}

void tlb_flush_page(CPUX86State *env, uint64_t linear)
{
    uint64_t page = linear & GUEST_PAGE_MASK;

    flush_page(env->tlb, page);
    if (env->tlb->twin) {
        flush_page(env->tlb->twin, page);
    }
    if (may_be_large(env->tlb, page)) {
        mmu_empty_slots(env, MMU_ALL_CLASSES);
        exec_mapping_changed(env, MAPPING_ALL, page);
    } else {
        mmu_empty_slots_of_page(env, page);
        exec_mapping_changed(env, MAPPING_PAGE, page);
    }
}

static void protect_slot(CpuTlb *tlb, unsigned cls, unsigned slot, ram_addr first, ram_addr end)
{
    TlbEntry *e = &tlb->entries[cls][slot];
    ram_addr ram = tlb->info[cls][slot].ram;

    if (!(e->tag[MMU_WRITE] & (TLB_INVALID | TLB_MMIO)) && ram >= first && ram < end) {
        set_tag(e, MMU_WRITE, e->tag[MMU_WRITE] | TLB_NOTDIRTY);
    }
}

static void protect_ram(CpuTlb *tlb, ram_addr addr, uint64_t size)
{
    tlb_lock(tlb);
    for (unsigned c = 0; c < MMU_CLASSES; c++) {
        const TlbSlotSet *used = &tlb->used[c];
        for (unsigned word = set_next(used, 0); word < TLB_SET_WORDS; word = set_next(used, word + 1)) {
            for (uint64_t bits = used->bits[word]; bits; bits &= bits - 1) {
                protect_slot(tlb, c, word * 64 + (unsigned)__builtin_ctzll(bits), addr & GUEST_PAGE_MASK, addr + size);
            }
        }
    }
    tlb_unlock(tlb);
}

void tlb_protect_ram(CPUX86State *env, ram_addr addr, uint64_t size)
{
    CpuTlb *tlb = env->tlb, *twin = tlb->twin;

    protect_ram(tlb, addr, size);
    mmu_empty_write_ranges(env);
    if (twin) {
        protect_ram(twin, addr, size);
    }
}

/* ---- for debuggers ---- */

bool mem_debug_translate(CPUX86State *env, uint64_t linear, hwaddr *phys)
{
    PageWalk w;
    uint32_t error;

    linear = wrap(env, linear);
    if (((env->efer & EFER_LMA) && !canonical(linear)) ||
        mmu_walk(env, linear, MMU_KERNEL, MMU_READ, false, &w, &error) != WALK_OK) {
        return false;
    }
    *phys = (w.phys | PAGE_OFFSET(linear)) & env->a20_mask;
    return true;
}

static bool debug_access(CPUX86State *env, uint64_t linear, uint8_t *buf, unsigned size, bool write)
{
    while (size) {
        hwaddr phys;
        unsigned n = bytes_in_page(linear, size);
        if (!mem_debug_translate(env, linear, &phys)) {
            return false;
        }
        MemoryPage page = memory_page_lookup(mmu_space(env), phys & GUEST_PAGE_MASK);
        if (!page.host) {
            return false;
        }
        if (!write) {
            memcpy(buf, page.host + PAGE_OFFSET(phys), n);
        } else if (!page.readonly && !dma_write(phys, buf, n)) {
            return false;
        } else if (page.readonly) {
            memory_before_write(page.ram + PAGE_OFFSET(phys), n);
            memcpy(page.host + PAGE_OFFSET(phys), buf, n);
            memory_ram_written(page.ram + PAGE_OFFSET(phys), n);
        }
        buf += n;
        size -= n;
        linear = wrap(env, linear + n);
    }
    return true;
}

bool mem_debug_read(CPUX86State *env, uint64_t linear, void *buf, unsigned size)
{
    return debug_access(env, linear, buf, size, false);
}

bool mem_debug_write(CPUX86State *env, uint64_t linear, const void *buf, unsigned size)
{
    return debug_access(env, linear, (uint8_t *)buf, size, true);
}
