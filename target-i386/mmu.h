/*
 * The soft TLB and the page walk: linear to physical, and accesses to linear addresses.
 *
 * A TLB belongs to one vCPU and is direct-mapped, one table a class of access. An entry has a tag
 * for each kind of access: the linear page, with low bits set where the fast path may not be taken.
 * So the fast path is one compare, which also fails for operands that cross into the next page: its
 * tag is never in this page's slot.
 *
 * Only the owner touches its TLB, but for tlb_protect_ram(), which sets bits in write tags from any
 * thread. The lock orders that against a fill: a fill either sees the page's dirty bits cleared, or
 * is seen by the protector.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_MMU_H
#define TARGET_I386_MMU_H

#include "target-i386/cpu.h"

#define TLB_BITS 14
#define TLB_SIZE (1u << TLB_BITS)

/* Low bits of a tag. */
#define TLB_MMIO     0x001u /* no host memory (write tags: ROM too) */
#define TLB_NOTDIRTY 0x002u /* write tags: some dirty client wants to hear of it */
#define TLB_WATCH    0x004u /* a data breakpoint or watchpoint lies in the page; for fetches, a debugger's breakpoint */
#define TLB_LOG      0x008u /* write tags: lockstep notes every write */
#define TLB_INVALID  0x800u

/* Classes of access, each with its own table. */
enum {
    MMU_KERNEL,      /* CPL 0 to 2, and what the CPU does on its own; SMAP is enforced */
    MMU_KERNEL_USER, /* CPL 0 to 2 with EFLAGS.AC: may touch user pages in spite of SMAP */
    MMU_USER,
    MMU_CLASSES
};

typedef enum MmuAccess { MMU_READ, MMU_WRITE, MMU_EXEC } MmuAccess;

typedef struct TlbEntry {
    uint64_t tag[3];  /* by MmuAccess */
    uintptr_t addend; /* host address = linear + addend */
} TlbEntry;

typedef struct TlbInfo {
    hwaddr phys;  /* of the page */
    ram_addr ram; /* RAM_ADDR_INVALID for what is not RAM */
    uint8_t page_bits;
    bool global;
} TlbInfo;

typedef struct PhysCacheEntry {
    hwaddr page; /* | 1: empty */
    MemoryPage mem;
} PhysCacheEntry;

#define PHYS_CACHE_SIZE 256u

/* Physical memory that follows itself in host memory, whole pages from `first` to before `end`; none: both 0. */
typedef struct PhysExtent {
    hwaddr first, end;
    MemoryPage mem; /* of the first page */
} PhysExtent;

/* A set of slots, so that upkeep costs what is in use and not the table's size. */
enum { TLB_SET_WORDS = TLB_SIZE / 64 };
typedef struct TlbSlotSet {
    uint64_t words[TLB_SET_WORDS / 64]; /* which of the words below are not 0 */
    uint64_t bits[TLB_SET_WORDS];
} TlbSlotSet;
_Static_assert(TLB_SET_WORDS % 64 == 0, "a bit for each word");

enum { TLB_LARGE_HASH = 4096 };

/* A write under way that has to be told of when it is done; size 0: none. */
typedef struct TlbPendingWrite {
    uint64_t linear;
    unsigned size, cls;
} TlbPendingWrite;

/*
 * Pages of RAM mapped once more, in the order in which the guest has them at linear addresses: where they lie apart in RAM, here they
 * follow each other, and a last-page slot can have them all. It says nothing of what the guest maps now: a page
 * of it is used as long as the TLB has the same page there.
 */
typedef struct TlbWindow {
    uint64_t linear;
    unsigned pages; /* 0: none */
    unsigned maps;  /* of the host, that it takes */
    uint8_t *host;
    ram_addr *ram;  /* each page's */
    uint64_t last_use;
} TlbWindow;

enum { TLB_WINDOWS = 8 };

struct CpuTlb {
    TlbEntry *data; /* the table of data accesses and fetches at the current privilege */
    unsigned data_class;
    atomic_flag lock;
    TlbSlotSet used[MMU_CLASSES];  /* slots that may hold something */
    TlbSlotSet local[MMU_CLASSES]; /* those of them that are not global */
    bool has_local[MMU_CLASSES];   /* a page that is not global has been there since the last flush: slots may still lead to it */
    bool huge_seen;                /* entries from 1 GB pages */
    uint64_t large_seen[TLB_LARGE_HASH / 64]; /* hash bits of the 2 MB areas that entries from other large pages lie in */
    TlbEntry entries[MMU_CLASSES][TLB_SIZE];
    TlbInfo info[MMU_CLASSES][TLB_SIZE];
    PhysCacheEntry phys_cache[PHYS_CACHE_SIZE]; /* where page tables lie */
    PhysExtent extent; /* that was last looked into: a guest has one or two */
    TlbPendingWrite pending_write;
    /* Lockstep: the other engine's, flushed and protected with this one; its RAM may be a copy. */
    CpuTlb *twin;
    TlbWindow windows[TLB_WINDOWS];
    uint64_t window_uses;
    uint64_t windows_not_before, search_not_before; /* in the host's TSC: until then enough time has gone into those */
    ptrdiff_t ram_delta;
    uint64_t write_flags; /* for every write tag of RAM: 0 or TLB_LOG */
};

/* A CPU's TLB lies at CPU_TLB_OFFSET from its CPUX86State, where translated code finds it; all zero before mmu_init(). */
#define CPU_TLB_OFFSET ((sizeof(CPUX86State) + 63) & ~(size_t)63)
void mmu_init(CpuTlb *tlb);
/* One of its own. */
CpuTlb *mmu_new(void);
void mmu_free(CpuTlb *tlb);
/* Chooses the class of data accesses from hflags, CR4 and EFLAGS.AC. */
void mmu_update_class(CPUX86State *env);

/*
 * The upper bit of the factor gives consecutive pages places of their own, nearly as many as there are. The lower bits move pages of
 * equal place in the large parts of a kernel's address space, or in arrays of any alignment, a little apart: 64 places for each
 * 64 MB. Two that follow each other never have the same slot, so an access across pages misses when its last byte's page is
 * looked for in the first one's.
 */
#define TLB_HASH_FACTOR 0x40403u
#define TLB_HASH_SHIFT (32 - TLB_BITS)
_Static_assert(TLB_HASH_FACTOR >> TLB_HASH_SHIFT != 0, "the next page is in another slot");
static inline unsigned tlb_index(uint64_t linear)
{
    return (uint32_t)(linear >> GUEST_PAGE_BITS) * TLB_HASH_FACTOR >> TLB_HASH_SHIFT;
}

static inline TlbEntry *tlb_slot(CpuTlb *tlb, unsigned cls, uint64_t linear)
{
    return &tlb->entries[cls][tlb_index(linear)];
}

static inline void tlb_lock(CpuTlb *tlb)
{
    while (atomic_flag_test_and_set_explicit(&tlb->lock, memory_order_acquire)) {
        __builtin_ia32_pause();
    }
}

static inline void tlb_unlock(CpuTlb *tlb)
{
    atomic_flag_clear_explicit(&tlb->lock, memory_order_release);
}

/* ---- last-page slots (mmu-slots.c); the owner's thread ---- */
void mmu_init_slots(CPUX86State *env);
/* Those of some classes, a bit each. */
#define MMU_ALL_CLASSES ((1u << MMU_CLASSES) - 1)
void mmu_empty_slots(CPUX86State *env, unsigned classes);
/* Those that a page lies in; others stay as they are, since nothing has changed for them. */
void mmu_empty_slots_of_page(CPUX86State *env, uint64_t page);
/*
 * Fills the slot at this offset in the CPU's state for the address: with all pages around it that are known to follow each other
 * in host memory. Returns how many; 0: the TLB does not have it, nothing was changed.
 */
uint64_t mmu_fill_slot_range(CPUX86State *env, uint32_t slot, uint64_t linear);
/*
 * Makes a window of the pages around the address that the TLB has for the slot's kind of access. None: there is one already, or it
 * would not help, or it was not possible. Later: enough time goes into making windows; from tlb->windows_not_before on.
 */
typedef enum WindowResult { WINDOW_MADE, WINDOW_NONE, WINDOW_LATER } WindowResult;
WindowResult mmu_make_window(CPUX86State *env, uint32_t slot, uint64_t linear);
/* The window that has this page of RAM at the linear address; NULL: none. */
TlbWindow *mmu_find_window(CpuTlb *tlb, uint64_t page, ram_addr ram);
/*
 * Which of the window's pages around the one at `page`, which the TLB has, the access may use now: they may be used as if the TLB had
 * them. At most `most` in each direction. The TLB is not locked; pages to be written have to be looked at again once it is.
 */
void mmu_window_range(CPUX86State *env, TlbWindow *w, unsigned cls, MmuAccess access, uint64_t page, unsigned most, uint64_t *first,
                      uint64_t *end);
/* Leaves those of them to whose being written nobody listens. The TLB is locked. */
void mmu_cut_to_dirty(const TlbWindow *w, uint64_t page, uint64_t *first, uint64_t *end);
/* Pages in each direction that a search for a range looks at when it has to be short. */
enum { MMU_SHORT_SEARCH = 256 };
/* Unmaps all; nothing may lead there any more. */
void mmu_drop_windows(CpuTlb *tlb);
/* Any thread, once the TLB has been protected and before the slots are emptied. */
void mmu_empty_write_ranges(CPUX86State *env);

/* Accesses of 1, 2, 4 or 8 bytes to a linear address. Page faults raise. */
uint64_t mmu_read(CPUX86State *env, unsigned cls, uint64_t linear, unsigned size);
void mmu_write(CPUX86State *env, unsigned cls, uint64_t linear, uint64_t v, unsigned size);
/* The same out of RAM that the TLB has at hand; false, and nothing happens, where it has not. */
bool mmu_read_at_hand(CPUX86State *env, unsigned cls, uint64_t linear, uint64_t *v, unsigned size);
/* Any size; a write checks all of it first. */
void mmu_read_bytes(CPUX86State *env, unsigned cls, uint64_t linear, void *buf, unsigned size);
void mmu_write_bytes(CPUX86State *env, unsigned cls, uint64_t linear, const void *buf,
                     unsigned size);
/* Faults as the access would. */
void mmu_probe(CPUX86State *env, unsigned cls, uint64_t linear, unsigned size, MmuAccess access);
/*
 * The host address, with the page's checks made; NULL when the bytes from linear to linear + size - 1 do not lie in RAM
 * of one page, or a breakpoint may be in it, or somebody wants to hear of a write.
 */
uint8_t *mmu_host_ptr(CPUX86State *env, unsigned cls, uint64_t linear, unsigned size,
                      MmuAccess access);
/* The same for writing, but where somebody wants to hear of it mmu_write_done() tells them, see mem.h. */
uint8_t *mmu_write_ptr(CPUX86State *env, unsigned cls, uint64_t linear, unsigned size);
void mmu_write_done(CPUX86State *env);
/* Code: as mmu_host_ptr() for one byte; *phys is set in either case. */
uint8_t *mmu_code_ptr(CPUX86State *env, uint64_t linear, hwaddr *phys);
/* The same, but the page may have a debugger's breakpoints. */
uint8_t *mmu_code_ptr_watched(CPUX86State *env, uint64_t linear, hwaddr *phys);
/* True when a fetch from linear would not fault. No side effects on the guest but accessed bits. */
bool mmu_can_fetch(CPUX86State *env, uint64_t linear);

/* Whether the TLB has the page of code and the page is global. */
bool mmu_page_is_global(CPUX86State *env, uint64_t linear);

/* Physical accesses of the CPU's own (page tables, SMRAM): RAM directly, anything else through the
 * map. */
uint64_t mmu_phys_read(CPUX86State *env, hwaddr addr, unsigned size);
/* A byte of code from what is no RAM. */
uint8_t mmu_device_fetch(CPUX86State *env, hwaddr addr);
void mmu_phys_write(CPUX86State *env, hwaddr addr, uint64_t v, unsigned size);

/* Reads the four PDPTEs at cr3 into env->pdptr. False: a reserved bit is set (#GP), nothing
 * changed. */
bool mmu_load_pdptrs(CPUX86State *env, uint64_t cr3);

#endif
