/*
 * Physical memory as a CPU sees it, and the page walk.
 *
 * SDM vol. 3, chapter 4 (paging); AMD APM vol. 2, chapter 5.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/mmu-walk.h"

#include <string.h>

#include "target-i386/cpuid.h"
#include "target-i386/lockstep.h"
#include "target-i386/mem.h"
#include "target-i386/system.h"
#include "util/host-access.h"
#include "util/loop.h"

/* Page table entries; the same bits in all formats. */
#define PTE_P  0x001u
#define PTE_RW 0x002u
#define PTE_US 0x004u
#define PTE_A  0x020u
#define PTE_D  0x040u
#define PTE_PS 0x080u
#define PTE_G  0x100u
#define PTE_NX (1ull << 63)

/* Page fault error code. */
#define PF_P    0x01u
#define PF_W    0x02u
#define PF_U    0x04u
#define PF_RSVD 0x08u
#define PF_I    0x10u

/* ---- physical memory as the CPU sees it ---- */

AddressSpace *mmu_space(const CPUX86State *env)
{
    return env->smm ? &memory_smm_as : &memory_as;
}

/* A page that the last extent does not have. */
static MemoryPage other_page(CPUX86State *env, hwaddr page)
{
    PhysExtent *x = &env->tlb->extent;
    MemoryPage mem;

    *x = (PhysExtent){0, 0, {NULL, RAM_ADDR_INVALID, false}};
    hwaddr first, end;
    if (!memory_extent(mmu_space(env), page, &mem, &first, &end)) {
        return mem;
    }
    mem.host += env->tlb->ram_delta;
    *x = (PhysExtent){first, end, {mem.host - (page - first), mem.ram - (page - first), mem.readonly}};
    return mem;
}

MemoryPage mmu_find_page(CPUX86State *env, hwaddr page)
{
    const PhysExtent *x = &env->tlb->extent;
    hwaddr in = page - x->first;
    MemoryPage mem = in < x->end - x->first ? (MemoryPage){x->mem.host + in, x->mem.ram + in, x->mem.readonly} : other_page(env, page);

    if (mem.host) {
        memory_before_access(mem.ram, GUEST_PAGE_SIZE);
    }
    return mem;
}

/* A page that tables lie in. Valid until the next call. */
static const MemoryPage *phys_page(CPUX86State *env, hwaddr addr)
{
    hwaddr page = addr & GUEST_PAGE_MASK;
    PhysCacheEntry *e = &env->tlb->phys_cache[(page >> GUEST_PAGE_BITS) % PHYS_CACHE_SIZE];

    if (__builtin_expect(e->page != page, 0)) {
        e->mem = mmu_find_page(env, page);
        e->page = page;
    }
    return &e->mem;
}

uint64_t mmu_device_read(CPUX86State *env, hwaddr addr, unsigned size)
{
    lockstep_before_device(env);
    bool locked = machine_lock_held();

    if (!locked) {
        machine_lock();
    }
    uint64_t v = memory_read(mmu_space(env), addr, size);
    if (!locked) {
        machine_unlock();
    }
    return v;
}

void mmu_device_write(CPUX86State *env, hwaddr addr, uint64_t v, unsigned size)
{
    lockstep_before_device(env);
    bool locked = machine_lock_held();

    if (!locked) {
        machine_lock();
    }
    memory_write(mmu_space(env), addr, v, size);
    if (!locked) {
        machine_unlock();
    }
}

/* This CPU has written RAM: tells whoever wants to know. */
static void ram_written(CPUX86State *env, ram_addr ram, unsigned size)
{
    atomic_thread_fence(memory_order_seq_cst); /* whoever begins to watch from now on reads what was written */
    if (!memory_dirty_all(ram)) {
        cpu_ram_written(env, ram, size);
    }
}

uint64_t mmu_phys_read(CPUX86State *env, hwaddr addr, unsigned size)
{
    const MemoryPage *page;

    addr &= env->a20_mask;
    page = phys_page(env, addr);
    if (page->host && PAGE_OFFSET(addr) + size <= GUEST_PAGE_SIZE) {
        return host_load(page->host + PAGE_OFFSET(addr), size);
    }
    return mmu_device_read(env, addr, size);
}

uint8_t mmu_device_fetch(CPUX86State *env, hwaddr addr)
{
    lockstep_before_device(env);
    bool locked = machine_lock_held();

    if (!locked) {
        machine_lock();
    }
    uint8_t byte = memory_fetch(mmu_space(env), addr & env->a20_mask);
    if (!locked) {
        machine_unlock();
    }
    return byte;
}

void mmu_phys_write(CPUX86State *env, hwaddr addr, uint64_t v, unsigned size)
{
    const MemoryPage *page;

    addr &= env->a20_mask;
    page = phys_page(env, addr);
    if (page->host && !page->readonly && PAGE_OFFSET(addr) + size <= GUEST_PAGE_SIZE) {
        ram_addr ram = page->ram + PAGE_OFFSET(addr);
        lockstep_note_write(env, ram, size);
        memory_before_write(ram, size);
        host_store(page->host + PAGE_OFFSET(addr), v, size);
        ram_written(env, ram, size);
    } else {
        mmu_device_write(env, addr, v, size);
    }
}

/* ---- the page walk ---- */

/* A table entry; tables in anything but RAM read as all ones, like unassigned memory. */
static uint64_t read_entry(CPUX86State *env, hwaddr addr, unsigned size)
{
    const MemoryPage *page = phys_page(env, addr & env->a20_mask);

    if (!page->host) {
        return size == 8 ? ~0ull : 0xffffffffull;
    }
    return host_load(page->host + PAGE_OFFSET(addr), size);
}

/* Sets A and D bits. False: somebody changed the entry meanwhile, so the walk must start again. */
static bool update_entry(CPUX86State *env, hwaddr addr, unsigned size, uint64_t old, uint64_t set)
{
    const MemoryPage *page = phys_page(env, addr & env->a20_mask);

    if ((old & set) == set || !page->host || page->readonly) {
        return true;
    }
    uint8_t *p = page->host + PAGE_OFFSET(addr);
    ram_addr ram = page->ram + PAGE_OFFSET(addr);
    lockstep_note_walk(env, ram, size);
    memory_before_write(ram, size);
    bool done;
    if (size == 8) {
        done = __atomic_compare_exchange_n((uint64_t *)p, &old, old | set, false, __ATOMIC_SEQ_CST,
                                           __ATOMIC_SEQ_CST);
    } else {
        uint32_t old32 = (uint32_t)old;
        done = __atomic_compare_exchange_n((uint32_t *)p, &old32, old32 | (uint32_t)set, false,
                                           __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
    if (done) {
        ram_written(env, ram, size);
    }
    return done;
}

/* Physical address bits that an 8-byte entry must not have. */
static uint64_t reserved_address_bits(const CPUX86State *env)
{
    return 0x000fffffffffffffull & ~((1ull << env->model->phys_bits) - 1);
}

static uint64_t reserved_bits_long(const CPUX86State *env, uint64_t entry, unsigned shift,
                                   bool leaf)
{
    uint64_t reserved = reserved_address_bits(env);
    bool lma = env->efer & EFER_LMA;

    if (!lma) {
        reserved |= 0x7ff0000000000000ull; /* bits 62:52 are ignored in 4-level tables only */
    }
    if (!(env->efer & EFER_NXE)) {
        reserved |= PTE_NX;
    }
    if (shift == 39 || (shift == 30 && !cpu_has_bit(env, FEAT_80000001_EDX, FXD_PDPE1GB))) {
        reserved |= PTE_PS;
    } else if (leaf && shift > 12) {
        reserved |= ((1ull << shift) - 1) & ~0x1fffull; /* bit 12 is PAT */
    }
    return entry & reserved;
}

static uint64_t reserved_bits_32(const CPUX86State *env, uint64_t entry, unsigned shift, bool leaf)
{
    if (!leaf || shift == 12) {
        return 0;
    }
    if (!cpu_has_bit(env, FEAT_1_EDX, F1D_PSE36)) {
        return entry & 0x3fe000;
    }
    /* PSE-36: bits 20:13 are the address bits 39:32, as far as there are any. */
    unsigned more = env->model->phys_bits > 32 ? env->model->phys_bits - 32u : 0;
    uint64_t valid = more >= 8 ? 0x1fe000 : ((1ull << more) - 1) << 13;
    return entry & (0x3fe000 & ~valid);
}

bool mmu_walk_allows(const CPUX86State *env, const PageWalk *w, unsigned cls, MmuAccess access)
{
    bool user = cls == MMU_USER;

    if (user && !w->user) {
        return false;
    }
    switch (access) {
    case MMU_EXEC:
        return w->executable && !(!user && w->user && (env->cr4 & CR4_SMEP));
    case MMU_WRITE:
        if (!w->writable && (user || (env->cr0 & CR0_WP))) {
            return false;
        }
        break;
    case MMU_READ:
        break;
    }
    return !(cls == MMU_KERNEL && w->user && (env->cr4 & CR4_SMAP));
}

/*
 * One walk. `error` gets the P and RSVD bits of a fault's code. `touch`: set A and D bits and check
 * rights; otherwise only look.
 */
static WalkResult walk_once(CPUX86State *env, uint64_t linear, unsigned cls, MmuAccess access,
                            bool touch, PageWalk *w, uint32_t *error)
{
    bool lma = env->efer & EFER_LMA, pae = env->cr4 & CR4_PAE;
    unsigned size = pae ? 8 : 4, index_bits = pae ? 9 : 10;
    unsigned shift = lma ? 39 : pae ? 21 : 22;
    hwaddr table;

    *w = (PageWalk){.user = true, .writable = true, .executable = true, .accessed = true};
    *error = 0;
    if (lma) {
        table = env->cr3 & 0x000ffffffffff000ull;
    } else if (pae) {
        uint64_t pdpte = env->pdptr[linear >> 30 & 3];
        if (!(pdpte & PTE_P)) {
            return WALK_FAULT;
        }
        table = pdpte & 0x000ffffffffff000ull;
    } else {
        table = env->cr3 & 0xfffff000u;
    }
    for (;; shift -= index_bits) {
        hwaddr addr = table + (linear >> shift & ((1u << index_bits) - 1)) * size;
        uint64_t entry = read_entry(env, addr, size);
        if (!(entry & PTE_P)) {
            return WALK_FAULT;
        }
        bool leaf = shift == 12 || ((entry & PTE_PS) && (pae || (env->cr4 & CR4_PSE)));
        if (pae ? reserved_bits_long(env, entry, shift, leaf)
                : reserved_bits_32(env, entry, shift, leaf)) {
            *error = PF_P | PF_RSVD;
            return WALK_FAULT;
        }
        w->accessed &= !!(entry & PTE_A);
        w->user &= !!(entry & PTE_US);
        w->writable &= !!(entry & PTE_RW);
        w->executable &= !(pae && (entry & PTE_NX));
        uint64_t set = PTE_A;
        if (leaf) {
            if (touch && !mmu_walk_allows(env, w, cls, access)) {
                *error = PF_P;
                return WALK_FAULT;
            }
            if (access == MMU_WRITE) {
                set |= PTE_D;
            }
        }
        if (touch && !update_entry(env, addr, size, entry, set)) {
            return WALK_AGAIN;
        }
        if (!leaf) {
            table = entry & (pae ? 0x000ffffffffff000ull : 0xfffff000u);
            continue;
        }
        hwaddr base = pae ? entry & 0x000ffffffffff000ull : entry & 0xfffff000u;
        if (shift > 12) {
            base &= ~((1ull << shift) - 1);
            if (!pae) {
                base |= (entry >> 13 & 0xff) << 32;
            }
        }
        w->phys = base | (linear & ((1ull << shift) - 1) & GUEST_PAGE_MASK);
        w->global = (entry & PTE_G) && (env->cr4 & CR4_PGE);
        w->dirty = (entry & PTE_D) || access == MMU_WRITE;
        w->bits = (uint8_t)shift;
        return WALK_OK;
    }
}

WalkResult mmu_walk(CPUX86State *env, uint64_t linear, unsigned cls, MmuAccess access,
                       bool touch, PageWalk *w, uint32_t *error)
{
    WalkResult r;

    if (!(env->cr0 & CR0_PG)) {
        *w = (PageWalk){.phys = linear & GUEST_PAGE_MASK,
                        .user = true,
                        .writable = true,
                        .executable = true,
                        .dirty = true,
                        .accessed = true,
                        .bits = GUEST_PAGE_BITS};
        return WALK_OK;
    }
    do {
        r = walk_once(env, linear, cls, access, touch, w, error);
    } while (r == WALK_AGAIN);
    return r;
}

bool mmu_load_pdptrs(CPUX86State *env, uint64_t cr3)
{
    uint64_t pdptr[4];
    uint64_t reserved = reserved_address_bits(env) | 0xfff00000000001e6ull;

    for (unsigned i = 0; i < 4; i++) {
        pdptr[i] = read_entry(env, (cr3 & 0xffffffe0u) + 8 * i, 8);
        if ((pdptr[i] & PTE_P) && (pdptr[i] & reserved)) {
            return false;
        }
    }
    memcpy(env->pdptr, pdptr, sizeof(pdptr));
    return true;
}

bool mmu_walk_usual(CPUX86State *env, uint64_t linear, unsigned cls, MmuAccess access, PageWalk *w)
{
    uint64_t reserved = reserved_address_bits(env) | (env->efer & EFER_NXE ? 0 : PTE_NX);
    uint64_t all = PTE_US | PTE_RW, any = 0;
    hwaddr table = env->cr3 & 0x000ffffffffff000ull;

    for (unsigned shift = 39;; shift -= 9) {
        hwaddr addr = (table + (linear >> shift & 511) * 8) & env->a20_mask;
        const MemoryPage *page = phys_page(env, addr);
        if (!page->host) {
            return false;
        }
        uint64_t entry = host_load(page->host + PAGE_OFFSET(addr), 8);
        if ((entry & (PTE_P | PTE_A)) != (PTE_P | PTE_A) || entry & reserved) {
            return false;
        }
        all &= entry;
        any |= entry;
        table = entry & 0x000ffffffffff000ull;
        if (shift == 12 || entry & PTE_PS) {
            uint64_t in_page = (1ull << shift) - 1;
            if (shift > 21 || (shift == 21 && entry & in_page & ~0x1fffull) ||
                (access == MMU_WRITE && !(entry & PTE_D))) {
                return false;
            }
            w->user = all & PTE_US;
            w->writable = all & PTE_RW;
            w->executable = !(any & PTE_NX);
            w->global = (entry & PTE_G) && (env->cr4 & CR4_PGE);
            w->dirty = entry & PTE_D;
            w->accessed = true;
            w->bits = (uint8_t)shift;
            w->phys = (table & ~in_page) | (linear & in_page & GUEST_PAGE_MASK);
            return mmu_walk_allows(env, w, cls, access);
        }
    }
}

ram_addr mmu_peek_ram(CPUX86State *env, uint64_t page, unsigned cls, MmuAccess access)
{
    PageWalk w;
    uint32_t error;

    /* Read: a walk for writing would call the page dirty because it is about to be. */
    if (env->efer & EFER_LMA ? !mmu_walk_usual(env, page, cls, MMU_READ, &w)
                             : mmu_walk(env, page, cls, MMU_READ, false, &w, &error) != WALK_OK) {
        return RAM_ADDR_INVALID;
    }
    if (!w.accessed || w.bits != GUEST_PAGE_BITS || !mmu_walk_allows(env, &w, cls, access) || (access == MMU_WRITE && !w.dirty)) {
        return RAM_ADDR_INVALID;
    }
    MemoryPage mem = mmu_find_page(env, w.phys & env->a20_mask & GUEST_PAGE_MASK);
    if (!mem.host || (access == MMU_WRITE && mem.readonly)) {
        return RAM_ADDR_INVALID;
    }
    env->tlb->has_local[cls] |= !w.global;
    return mem.ram;
}

uint32_t mmu_fault_code(const CPUX86State *env, unsigned cls, MmuAccess access, uint32_t error)
{
    if (access == MMU_WRITE) {
        error |= PF_W;
    }
    if (cls == MMU_USER) {
        error |= PF_U;
    }
    bool nx = (env->efer & EFER_NXE) && (env->cr4 & CR4_PAE);
    if (access == MMU_EXEC && (nx || (env->cr4 & CR4_SMEP))) {
        error |= PF_I;
    }
    return error;
}
