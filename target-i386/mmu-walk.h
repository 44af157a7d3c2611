/*
 * What the soft TLB is filled from: physical memory as a CPU sees it, and the page walk.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_MMU_WALK_H
#define TARGET_I386_MMU_WALK_H

#include "target-i386/mmu.h"

#define PAGE_OFFSET(a) ((a) & (GUEST_PAGE_SIZE - 1))

/* ---- physical memory; the CPU's thread ---- */

/* The one with SMRAM open, or the one without. */
AddressSpace *mmu_space(const CPUX86State *env);
/* What the page is. Whoever brings RAM's bytes in or keeps them for a snapshot has been told; with lockstep's other engine it is the copy. */
MemoryPage mmu_find_page(CPUX86State *env, hwaddr page);
/* Accesses through the map, with the machine lock. */
uint64_t mmu_device_read(CPUX86State *env, hwaddr addr, unsigned size);
void mmu_device_write(CPUX86State *env, hwaddr addr, uint64_t v, unsigned size);

/* ---- the page walk: SDM vol. 3, chapter 4 ---- */

typedef struct PageWalk {
    hwaddr phys;                     /* of the 4 KB page */
    bool user, writable, executable; /* all levels together */
    bool global, dirty;
    bool accessed; /* all levels */
    uint8_t bits;  /* page size */
} PageWalk;

typedef enum WalkResult { WALK_OK, WALK_FAULT, WALK_AGAIN } WalkResult;

/*
 * OK, or FAULT with the P and RSVD bits of the fault's code in *error. `touch`: sets A and D bits and checks rights; otherwise
 * only looks.
 */
WalkResult mmu_walk(CPUX86State *env, uint64_t linear, unsigned cls, MmuAccess access, bool touch, PageWalk *w, uint32_t *error);
/*
 * The usual case in long mode: every level present, nothing reserved, allowed, A and D set already. False, and nothing was
 * changed: mmu_walk() has to look.
 */
bool mmu_walk_usual(CPUX86State *env, uint64_t linear, unsigned cls, MmuAccess access, PageWalk *w);
/*
 * The page of RAM that the access would get at this page without a fault, a change to the tables or anybody to be told: small pages
 * only. RAM_ADDR_INVALID: none. What it says may be used as if the TLB had held it.
 */
ram_addr mmu_peek_ram(CPUX86State *env, uint64_t page, unsigned cls, MmuAccess access);
/* Whether the access class may make the access; reasons beyond presence. */
bool mmu_walk_allows(const CPUX86State *env, const PageWalk *w, unsigned cls, MmuAccess access);
/* The error code of a page fault (SDM vol. 3, 4.7), the walk's bits being in `error`. */
uint32_t mmu_fault_code(const CPUX86State *env, unsigned cls, MmuAccess access, uint32_t error);

#endif
