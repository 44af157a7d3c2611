/*
 * Decoded instructions of one vCPU: the arena and the tables.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/code-cache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_SIZE     ((size_t)48 << 20) /* of address space; touched as it fills */
#define BLOCK_MAX_SIZE (sizeof(CodeBlock) + CODE_BLOCK_MAX_INSNS * sizeof(Insn))

static unsigned hash_ram(ram_addr ram)
{
    return (ram ^ ram >> 15) % CODE_HASH_SIZE;
}

static unsigned hash_page(ram_addr page)
{
    page >>= GUEST_PAGE_BITS;
    return (page ^ page >> 12) % CODE_PAGE_HASH_SIZE;
}

CpuCodeCache *code_cache_new(void)
{
    CpuCodeCache *cc = calloc(1, sizeof(*cc));

    if (!cc) {
        abort();
    }
    cc->arena = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (cc->arena == MAP_FAILED) {
        abort();
    }
    cc->thunks = host_thunks_new();
    cc->generation = 1;
    return cc;
}

void code_cache_free(CpuCodeCache *cc)
{
    if (cc) {
        munmap(cc->arena, ARENA_SIZE);
        host_thunks_free(cc->thunks);
        free(cc);
    }
}

void code_cache_flush(CpuCodeCache *cc)
{
    memset(cc->hash, 0, sizeof(cc->hash));
    memset(cc->pages, 0, sizeof(cc->pages));
    cc->arena_used = 0;
    cc->generation++;
    cc->flushes++;
    cc->end = NULL;
    host_thunks_flush(cc->thunks);
}

CodeBlock *code_cache_begin(CpuCodeCache *cc)
{
    if (cc->arena_used + BLOCK_MAX_SIZE > ARENA_SIZE || host_thunks_full(cc->thunks)) {
        code_cache_flush(cc);
    }
    CodeBlock *b = (CodeBlock *)(cc->arena + cc->arena_used);
    memset(b, 0, sizeof(*b));
    b->second_page = RAM_ADDR_INVALID;
    return b;
}

void code_cache_commit(CpuCodeCache *cc, CodeBlock *b)
{
    CodeBlock **bucket = &cc->hash[hash_ram(b->ram)];
    CodeBlock **page = &cc->pages[hash_page(b->ram & GUEST_PAGE_MASK)];

    cc->arena_used += (sizeof(*b) + b->count * sizeof(Insn) + 63) & ~(size_t)63;
    b->hash_next = *bucket;
    *bucket = b;
    b->page_next[0] = *page;
    *page = b;
    if (b->second_page != RAM_ADDR_INVALID) {
        CodeBlock **second = &cc->pages[hash_page(b->second_page)];
        if (second != page) { /* in one list once */
            b->page_next[1] = *second;
            *second = b;
        }
    }
}

CodeBlock *code_cache_find(CpuCodeCache *cc, ram_addr ram)
{
    CodeBlock *b = cc->hash[hash_ram(ram)];

    while (b && b->ram != ram) {
        b = b->hash_next;
    }
    return b;
}

/* The link by which `b` stands in the list of `bucket`. */
static CodeBlock **page_link(CodeBlock *b, unsigned bucket)
{
    return &b->page_next[hash_page(b->ram & GUEST_PAGE_MASK) == bucket ? 0 : 1];
}

static void unlink_from_page(CpuCodeCache *cc, CodeBlock *b, unsigned bucket)
{
    CodeBlock **p = &cc->pages[bucket];

    while (*p && *p != b) {
        p = page_link(*p, bucket);
    }
    if (*p) {
        *p = *page_link(b, bucket);
    }
}

static bool in_page(const CodeBlock *b, ram_addr page)
{
    return (b->ram & GUEST_PAGE_MASK) == page || b->second_page == page;
}

/* Whether the block has a byte in the range within `page`. */
static bool touches(const CodeBlock *b, ram_addr page, ram_addr addr, uint64_t size)
{
    ram_addr first = b->ram, end = b->ram + b->bytes;

    if (b->second_page == page) {
        first = page;
        end = page + ((b->ram + b->bytes) & (GUEST_PAGE_SIZE - 1));
    } else if ((b->ram & GUEST_PAGE_MASK) != page) {
        return false;
    }
    return first < addr + size && addr < end;
}

CodeDropped code_cache_drop(CpuCodeCache *cc, ram_addr addr, uint64_t size)
{
    ram_addr page = addr & GUEST_PAGE_MASK;
    unsigned bucket = hash_page(page);
    CodeBlock *next;
    bool dropped = false, remaining = false, near = false;
    ram_addr pieces = addr & ~(ram_addr)(MEMORY_CODE_PIECE - 1);
    uint64_t pieces_size = ((addr + size - 1) | (MEMORY_CODE_PIECE - 1)) + 1 - pieces;

    for (CodeBlock *b = cc->pages[bucket]; b; b = next) {
        next = *page_link(b, bucket);
        if (!touches(b, page, addr, size)) {
            remaining |= in_page(b, page);
            near |= touches(b, page, pieces, pieces_size);
            continue;
        }
        CodeBlock **p = &cc->hash[hash_ram(b->ram)];
        while (*p && *p != b) {
            p = &(*p)->hash_next;
        }
        if (*p) {
            *p = b->hash_next;
        }
        unsigned first = hash_page(b->ram & GUEST_PAGE_MASK);
        unlink_from_page(cc, b, first);
        if (b->second_page != RAM_ADDR_INVALID && hash_page(b->second_page) != first) {
            unlink_from_page(cc, b, hash_page(b->second_page));
        }
        dropped = true;
    }
    if (dropped) {
        cc->generation++;
        cc->end = NULL;
    }
    return (dropped ? CODE_DROPPED : 0) | (remaining ? CODE_REMAINING : 0) | (near ? CODE_NEAR : 0);
}
