/*
 * The memory and port map.
 *
 * Regions (RAM, ROM, device, alias, container) stand in a tree with priorities; an address space
 * shows one root. After a change the tree is flattened to a sorted list of ranges without overlaps
 * and a page table (physical page to host pointer or device region), which is published as an
 * immutable FlatView: lookups take no lock and see either the old map or the new one. Ports are the
 * same thing with a root of 64 K. So PAM, SMRAM, VGA windows, PCI BARs and A20-less corners are
 * regions that are enabled, moved or re-pointed, never special cases in a lookup.
 *
 * A device region declares the access sizes its callbacks implement; the map splits wider and
 * unaligned accesses and widens narrower ones. Callbacks run with the machine lock held.
 *
 * The tree is changed only with the machine lock held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_MEMORY_H
#define HW_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

typedef uint64_t hwaddr; /* a guest-physical address, or a port */

#define GUEST_PAGE_BITS 12
#define GUEST_PAGE_SIZE (1u << GUEST_PAGE_BITS)
#define GUEST_PAGE_MASK (~(hwaddr)(GUEST_PAGE_SIZE - 1))

typedef struct MemoryRegion MemoryRegion;
typedef struct AddressSpace AddressSpace;
typedef struct FlatView FlatView;

/* addr is relative to the region. size is 1, 2, 4 or 8, within what the region declared. */
typedef struct MemoryOps {
    uint64_t (*read)(void *opaque, hwaddr addr, unsigned size);
    void (*write)(void *opaque, hwaddr addr, uint64_t value, unsigned size);
    uint8_t (*fetch)(void *opaque, hwaddr addr); /* a byte of code; NULL: reads */
    uint8_t min_size; /* smallest access implemented: narrower reads are cut out of one of this
                         size, narrower writes are passed zero-extended at their own size as given;
                         0 means 1 */
    uint8_t max_size; /* largest access implemented: wider ones are split, low address first; 0
                         means 4 */
    bool unaligned;   /* callbacks take unaligned accesses; else these are split into bytes */
} MemoryOps;

typedef enum MemoryKind {
    MEMORY_CONTAINER, /* nothing of its own, only children */
    MEMORY_RAM,
    MEMORY_ROM, /* reads from host memory; writes go to ops->write when ops is set, else are lost */
    MEMORY_IO,  /* reads and writes call ops */
    MEMORY_ALIAS, /* shows a part of another region */
} MemoryKind;

struct MemoryRegion {
    const char *name; /* kept, not copied */
    MemoryKind kind;
    hwaddr addr; /* in its container */
    uint64_t size;
    int priority;  /* higher wins where siblings overlap */
    bool enabled;  /* true after init */
    bool readonly; /* all that shows through this region, aliases and children too, is read-only */
    const MemoryOps *ops;
    void *opaque;
    uint8_t *host;       /* RAM, ROM: its bytes */
    uint64_t ram_offset; /* RAM, ROM from memory_ram_alloc(): offset in the RAM file; also its
                            ram_addr */
    MemoryRegion *alias_of;
    hwaddr alias_offset;
    MemoryRegion *parent;
    MemoryRegion *children, *next; /* children sorted by priority, highest first */
};

/* ---- RAM ---- */
/*
 * All guest RAM and ROM bytes live in one memfd mapping: RAM blocks are carved from it in order,
 * page aligned, and a byte's place in it (ram_addr) indexes the dirty bitmaps.
 */
typedef uint64_t ram_addr;
#define RAM_ADDR_INVALID (~(ram_addr)0)

/* Reserves the mapping; `max_bytes` bounds the sum of all blocks. Once, at start (a test that calls
 * it again starts from nothing). Sparse, zero pages. */
bool memory_ram_init(uint64_t max_bytes, Error **errp);
/* Takes the next block, whole pages; for the regions below. RAM_ADDR_INVALID when none is left. */
ram_addr memory_ram_alloc(uint64_t size, Error **errp);
int memory_ram_fd(void);
uint8_t *memory_ram_base(void);
uint64_t memory_ram_used(void);
/*
 * Somebody is about to use RAM for the first time in a while. Where the guest goes through it in a row the host brings in 64 KB at once,
 * which is several times cheaper than a fault for each page; behind 256 KB in use another thread brings in the next 256 KB meanwhile. Any
 * thread.
 */
void memory_bring_in(ram_addr addr);

/* ---- dirty bitmaps: a bit a page a client ---- */
typedef enum DirtyClient {
    DIRTY_CODE,     /* CLEAR: the page holds decoded or translated code */
    DIRTY_DISPLAY,  /* page was written since the display last looked */
    DIRTY_SNAPSHOT, /* page was written since the snapshot last looked */
    DIRTY_CLIENTS
} DirtyClient;

/* Code is watched in pieces of a page, so that data may be written beside it. */
#define MEMORY_CODE_PIECE 64u

/*
 * Any thread. memory_dirty_set is called after a write: it marks the pages in the range as written for the clients, and
 * ends the watch of those pieces with code that the range touches. True when there were any: this caller has to tell
 * whoever decoded them, and then to call memory_code_told().
 */
bool memory_dirty_set(ram_addr addr, uint64_t size);
/* The same, but pieces stay watched: for who can tell what the write has changed, byte by byte. True: the range touches some. */
bool memory_dirty_set_watched(ram_addr addr, uint64_t size);
bool memory_dirty_get(ram_addr addr, DirtyClient client);
/*
 * Clears the bits of the pages in the range (code: begins to watch the pieces in it), and makes every vCPU's fast path
 * report writes to these pages again.
 */
void memory_dirty_reset(ram_addr addr, uint64_t size, DirtyClient client);
/* True when all clients' bits are set: writes to this page need no notice. */
bool memory_dirty_all(ram_addr addr);
/* How many pages in a row, at most n, are so: the one at addr and those behind, or before it with step -1. */
uint64_t memory_dirty_run(ram_addr addr, int step, uint64_t n);
void memory_code_told(void);
/* For devices that write RAM other than by dma_write(): the same, and everybody is told. */
void memory_ram_written(ram_addr addr, uint64_t size);
/* Whether somebody has ended a watch and not told everybody yet. */
bool memory_code_untold(void);
/*
 * How often a page without watched code got some. Only then can a vCPU be about to write without a notice: one whose
 * fast path has looked before; until it is known to have come to the next instruction.
 */
uint64_t memory_code_epoch(void);
/*
 * Hooks the CPU room sets: `protect` is called by memory_dirty_reset (each vCPU must again take the
 * slow path for writes to these pages), `code_written` when DMA has written watched code (memory_code_told() is called
 * for it), `map_changed` after a new FlatView of `as` was published.
 */
typedef struct MemoryListener {
    void (*protect)(ram_addr addr, uint64_t size);
    void (*code_written)(ram_addr addr, uint64_t size);
    void (*map_changed)(AddressSpace *as);
    void (*written)(ram_addr addr, uint64_t size); /* every call of memory_dirty_set() */
} MemoryListener;
void memory_set_listener(const MemoryListener *listener);

/*
 * RAM that a snapshot takes while the guest runs on, or whose bytes it has not brought yet (snapshot/): before_access is called
 * before bytes are looked at or changed by any way but a TLB entry filled before, before_write before they change by any way but
 * a page that is dirty for DIRTY_SNAPSHOT. Any thread, with and without the machine lock. NULL: nobody wants to know. Set while no
 * vCPU runs; a call may still come in for a moment after it was taken away.
 */
typedef void MemoryRamHook(ram_addr addr, uint64_t size);
extern _Atomic(MemoryRamHook *) memory_access_hook, memory_write_hook;
void memory_set_ram_hooks(MemoryRamHook *before_access, MemoryRamHook *before_write);

static inline void memory_before_access(ram_addr addr, uint64_t size)
{
    MemoryRamHook *hook = atomic_load_explicit(&memory_access_hook, memory_order_acquire);

    if (__builtin_expect(hook != NULL, 0)) {
        hook(addr, size);
    }
}

static inline void memory_before_write(ram_addr addr, uint64_t size)
{
    MemoryRamHook *hook = atomic_load_explicit(&memory_write_hook, memory_order_acquire);

    memory_before_access(addr, size);
    if (__builtin_expect(hook != NULL, 0)) {
        hook(addr, size);
    }
}

/* Bytes of the RAM file from its start on that only the guest's own accesses and DMA reach, never a device through a region's host
 * pointer: its main memory. */
uint64_t memory_main_bytes(void);
void memory_set_main_bytes(uint64_t bytes);
/* Calls fn for each page with watched code, in order. */
void memory_each_code_page(void (*fn)(ram_addr page, void *opaque), void *opaque);

/* ---- regions ---- */
void memory_region_init_container(MemoryRegion *mr, const char *name, uint64_t size);
void memory_region_init_io(MemoryRegion *mr, const char *name, uint64_t size, const MemoryOps *ops,
                           void *opaque);
/* Both take their bytes from the RAM mapping (size rounded up to pages). */
bool memory_region_init_ram(MemoryRegion *mr, const char *name, uint64_t size, Error **errp);
bool memory_region_init_rom(MemoryRegion *mr, const char *name, uint64_t size, Error **errp);
void memory_region_init_alias(MemoryRegion *mr, const char *name, MemoryRegion *of, hwaddr offset,
                              uint64_t size);

/*
 * Puts mr at addr into container; the region's struct stays the caller's and must outlive its
 * place. Among siblings of one priority the one added last wins. Whatever reaches beyond the
 * container is cut off.
 */
void memory_region_add(MemoryRegion *container, hwaddr addr, MemoryRegion *mr, int priority);
void memory_region_remove(MemoryRegion *mr);
void memory_region_set_enabled(MemoryRegion *mr, bool enabled);
void memory_region_set_addr(MemoryRegion *mr, hwaddr addr);
void memory_region_set_alias_offset(MemoryRegion *mr, hwaddr offset);
/* RAM, or an alias of it, shown read-only (PAM, locked flash): writes are lost. */
void memory_region_set_readonly(MemoryRegion *mr, bool readonly);
/* Groups changes: the maps are flattened once, at the outermost commit. */
void memory_transaction_begin(void);
void memory_transaction_commit(void);

/* ---- address spaces ---- */
struct AddressSpace {
    const char *name;
    MemoryRegion *root;
    _Atomic(FlatView *)
        view; /* replaced at once; the old one is freed when no lookup is in it any more */
    AddressSpace *next;
};

extern AddressSpace memory_as;     /* guest-physical memory as devices and normal code see it */
extern AddressSpace memory_smm_as; /* the same with SMRAM shown: what a vCPU in SMM sees */
extern AddressSpace memory_io_as;  /* the 64 K ports */

/* Sets up the three spaces above with empty roots (containers of 2^52, 2^52 and 2^16 bytes). A test
 * that calls it again starts from nothing. */
void memory_init(void);
/* Spaces of up to 64 K are mapped byte by byte, larger ones by page. */
void address_space_init(AddressSpace *as, MemoryRegion *root, const char *name);

/* What a physical page is, for a TLB: lock-free. */
typedef struct MemoryPage {
    uint8_t *host; /* its bytes when the whole page is RAM or ROM, else NULL */
    ram_addr ram;  /* with host: its place in the RAM file */
    bool readonly; /* with host: writes must go through memory_write() */
} MemoryPage;
MemoryPage memory_page_lookup(AddressSpace *as, hwaddr page_addr);
/*
 * The same for all pages around that follow it in host memory as in the address space, and are as writable: whole pages from *first
 * to before *end. False: the page is neither RAM nor ROM.
 */
bool memory_extent(AddressSpace *as, hwaddr page_addr, MemoryPage *page, hwaddr *first, hwaddr *end);

/*
 * Single accesses of 1, 2, 4 or 8 bytes, any alignment, RAM or device; little endian. Need the
 * machine lock (a vCPU takes it around them). Unassigned addresses read as all ones and lose
 * writes.
 */
uint64_t memory_read(AddressSpace *as, hwaddr addr, unsigned size);
void memory_write(AddressSpace *as, hwaddr addr, uint64_t value, unsigned size);
/* The same for a byte of code, which some regions have elsewhere than data. */
uint8_t memory_fetch(AddressSpace *as, hwaddr addr);

/* Ports: size 1, 2 or 4. */
static inline uint32_t ioport_read(uint16_t port, unsigned size)
{
    return (uint32_t)memory_read(&memory_io_as, port, size);
}
static inline void ioport_write(uint16_t port, uint32_t value, unsigned size)
{
    memory_write(&memory_io_as, port, value, size);
}
/* Adds an I/O region to the ports. */
void ioport_add(MemoryRegion *mr, uint16_t port);

/*
 * Bounds-checked DMA by a device, any length. Only RAM and ROM are reached: a part that lies in a
 * device region or nowhere reads as all ones, loses writes, and the result is false. Marks pages
 * dirty.
 */
bool dma_read(hwaddr addr, void *buf, uint64_t size);
bool dma_write(hwaddr addr, const void *buf, uint64_t size);

/* For the monitor (`info mtree`): each range of the flat view of as, in order; fn must not change
 * the map. */
void memory_each_range(AddressSpace *as,
                       void (*fn)(hwaddr addr, uint64_t size, const MemoryRegion *mr, bool readonly,
                                  void *opaque),
                       void *opaque);

#endif
