/*
 * What the three files of the memory map share: the flat view.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_MEMORY_INTERNAL_H
#define HW_MEMORY_INTERNAL_H

#include "hw/memory.h"

typedef struct FlatRange {
    hwaddr start, end; /* end is behind the last byte */
    MemoryRegion *mr;  /* NULL: nobody answers here */
    hwaddr offset;     /* of start in mr */
    bool readonly;
} FlatRange;

/* The range addr lies in; where that is a gap, mr is NULL and end is the gap's end or before it (0:
   it goes on to the end of all addresses). Takes no lock. The region itself stays valid as its
   owner keeps it. */
FlatRange flat_lookup(AddressSpace *as, hwaddr addr);

extern const MemoryListener *memory_listener;

static inline bool flat_range_is_memory(const FlatRange *r)
{
    return r->mr && r->mr->kind != MEMORY_IO;
}

/* With flat_range_is_memory(). */
static inline uint8_t *flat_range_host(const FlatRange *r, hwaddr addr)
{
    return r->mr->host + r->offset + (addr - r->start);
}

static inline ram_addr flat_range_ram(const FlatRange *r, hwaddr addr)
{
    return r->mr->ram_offset + r->offset + (addr - r->start);
}

#endif
