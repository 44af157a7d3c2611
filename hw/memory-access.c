/*
 * Accesses to the memory map: single ones that are split and widened as a region asks, and DMA.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "hw/memory-internal.h"
#include "util/host-access.h"
#include "util/log.h"

static uint64_t size_mask(unsigned size)
{
    return size == 8 ? ~0ull : (1ull << (8 * size)) - 1;
}

/* ---- device regions ---- */

static unsigned ops_min(const MemoryOps *ops)
{
    return ops->min_size ? ops->min_size : 1;
}

static unsigned ops_max(const MemoryOps *ops)
{
    return ops->max_size ? ops->max_size : 4;
}

/* The size of the pieces that an access is made of. */
static unsigned piece_size(const MemoryOps *ops, hwaddr offset, unsigned size)
{
    unsigned piece = size < ops_max(ops) ? size : ops_max(ops);

    return ops->unaligned || offset % piece == 0 ? piece : 1;
}

static uint64_t io_read_piece(const MemoryRegion *mr, hwaddr offset, unsigned size)
{
    const MemoryOps *ops = mr->ops;
    unsigned min = ops_min(ops);

    if (!ops->read) {
        return ~0ull;
    }
    if (size >= min) {
        return ops->read(mr->opaque, offset, size);
    }
    hwaddr start = offset & ~(hwaddr)(min - 1);
    unsigned shift = 8 * (unsigned)(offset - start);
    if (offset - start + size <= min) {
        return ops->read(mr->opaque, start, min) >> shift;
    }
    /* Across two of the region's registers: only where it takes unaligned accesses. */
    uint64_t low = ops->read(mr->opaque, start, min) >> shift;
    return low | ops->read(mr->opaque, start + min, min) << (8 * min - shift);
}

static uint64_t io_read(const MemoryRegion *mr, hwaddr offset, unsigned size)
{
    unsigned piece = piece_size(mr->ops, offset, size);
    uint64_t value = 0;

    for (unsigned done = 0; done < size; done += piece) {
        value |= (io_read_piece(mr, offset + done, piece) & size_mask(piece)) << (8 * done);
    }
    return value;
}

static void io_write(const MemoryRegion *mr, hwaddr offset, uint64_t value, unsigned size)
{
    unsigned piece = piece_size(mr->ops, offset, size);

    if (!mr->ops->write) {
        return;
    }
    for (unsigned done = 0; done < size; done += piece) {
        mr->ops->write(mr->opaque, offset + done, value >> (8 * done) & size_mask(piece), piece);
    }
}

/* ---- single accesses ---- */

static void log_unassigned(AddressSpace *as, const char *what, hwaddr addr, unsigned size)
{
    if (as == &memory_io_as) {
        log_printf(LOG_IOPORT, "ioport: %s of %u bytes at port 0x%04llx, where nobody is\n", what,
                   size, (unsigned long long)addr);
    } else {
        log_printf(LOG_GUEST_ERRORS, "%s: %s of %u bytes at 0x%llx, where nobody is\n", as->name,
                   what, size, (unsigned long long)addr);
    }
}

uint64_t memory_read(AddressSpace *as, hwaddr addr, unsigned size)
{
    FlatRange range = flat_lookup(as, addr);

    if (range.end - addr < size && size > 1) {
        uint64_t value = 0;
        for (unsigned i = 0; i < size; i++) {
            value |= memory_read(as, addr + i, 1) << (8 * i);
        }
        return value;
    }
    if (!range.mr) {
        log_unassigned(as, "read", addr, size);
        return size_mask(size);
    }
    if (range.mr->kind == MEMORY_IO) {
        return io_read(range.mr, range.offset + (addr - range.start), size);
    }
    memory_before_access(flat_range_ram(&range, addr), size);
    return host_load(flat_range_host(&range, addr), size);
}

void memory_write(AddressSpace *as, hwaddr addr, uint64_t value, unsigned size)
{
    FlatRange range = flat_lookup(as, addr);

    if (range.end - addr < size && size > 1) {
        for (unsigned i = 0; i < size; i++) {
            memory_write(as, addr + i, value >> (8 * i) & 0xff, 1);
        }
        return;
    }
    if (!range.mr) {
        log_unassigned(as, "write", addr, size);
        return;
    }
    if (!range.readonly && range.mr->kind == MEMORY_RAM) {
        memory_before_write(flat_range_ram(&range, addr), size);
        host_store(flat_range_host(&range, addr), value, size);
        memory_ram_written(flat_range_ram(&range, addr), size);
    } else if (range.mr->ops && (range.mr->kind == MEMORY_IO || range.mr->kind == MEMORY_ROM)) {
        io_write(range.mr, range.offset + (addr - range.start), value & size_mask(size), size);
    }
}

uint8_t memory_fetch(AddressSpace *as, hwaddr addr)
{
    FlatRange range = flat_lookup(as, addr);

    if (range.mr && range.mr->kind == MEMORY_IO && range.mr->ops->fetch) {
        return range.mr->ops->fetch(range.mr->opaque, range.offset + (addr - range.start));
    }
    return (uint8_t)memory_read(as, addr, 1);
}

/* ---- DMA ---- */

/* What of [addr, addr + size) lies in the range; in a gap all of it where the addresses end. */
static uint64_t bytes_in_range(const FlatRange *range, hwaddr addr, uint64_t size)
{
    uint64_t n = range->end - addr;

    return n != 0 && n < size ? n : size;
}

bool dma_read(hwaddr addr, void *buf, uint64_t size)
{
    uint8_t *to = buf;
    bool all = true;

    while (size) {
        FlatRange range = flat_lookup(&memory_as, addr);
        uint64_t n = bytes_in_range(&range, addr, size);
        if (flat_range_is_memory(&range)) {
            memory_before_access(flat_range_ram(&range, addr), n);
            memcpy(to, flat_range_host(&range, addr), n);
        } else {
            memset(to, 0xff, n);
            all = false;
        }
        to += n;
        addr += n;
        size -= n;
    }
    if (!all) {
        log_printf(LOG_GUEST_ERRORS, "dma: read up to 0x%llx reaches beyond RAM and ROM\n",
                   (unsigned long long)addr);
    }
    return all;
}

bool dma_write(hwaddr addr, const void *buf, uint64_t size)
{
    const uint8_t *from = buf;
    bool all = true;

    while (size) {
        FlatRange range = flat_lookup(&memory_as, addr);
        uint64_t n = bytes_in_range(&range, addr, size);
        if (!flat_range_is_memory(&range)) {
            all = false;
        } else if (!range.readonly) {
            memory_before_write(flat_range_ram(&range, addr), n);
            memcpy(flat_range_host(&range, addr), from, n);
            memory_ram_written(flat_range_ram(&range, addr), n);
        }
        from += n;
        addr += n;
        size -= n;
    }
    if (!all) {
        log_printf(LOG_GUEST_ERRORS, "dma: write up to 0x%llx reaches beyond RAM and ROM\n",
                   (unsigned long long)addr);
    }
    return all;
}
