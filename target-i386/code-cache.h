/*
 * Decoded instructions of one vCPU, kept as straight-line blocks.
 *
 * A block belongs to a place in the RAM file (so aliases of a page share it) and to what decides
 * decoding. Its bytes are watched (memory_dirty_reset()); when one is written exec_invalidate_code()
 * is called, which drops the blocks it lies in. Three ways lead to a block, fastest
 * first: the links from the block before it, a cache by linear address, and the table by RAM
 * address. The first two hold only within one generation, which ends whenever translation of
 * addresses or any block's validity changes.
 *
 * All memory comes from one arena of bounded size; when it is full everything is dropped at once.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_CODE_CACHE_H
#define TARGET_I386_CODE_CACHE_H

#include "target-i386/exec.h"
#include "target-i386/host-thunk.h"

enum {
    CODE_BLOCK_MAX_INSNS = 64,
    CODE_HASH_SIZE = 1 << 15,
    CODE_PAGE_HASH_SIZE = 1 << 12,
    CODE_JUMP_CACHE_SIZE = 1 << 12,
};

typedef struct CodeBlock CodeBlock;

/* A place as code is addressed: a linear address and the mode bits, in one generation. */
typedef struct CodeLink {
    uint64_t linear;
    uint64_t generation;
    CodeBlock *block;
    uint32_t hkey;
} CodeLink;

struct CodeBlock {
    CodeBlock *hash_next;
    CodeBlock
        *page_next[2]; /* the page's blocks; [1] for the second page of a crossing instruction */
    ram_addr ram;
    ram_addr second_page; /* of an instruction that crosses pages (alone in its block), or
                             RAM_ADDR_INVALID */
    uint64_t ip_mask;     /* the instruction pointer's width */
    uint32_t mode_key;
    uint16_t count;
    uint16_t bytes;
    bool near_end; /* ends by a near jump or by its length: nothing but rip to look at afterwards */
    CodeLink next[2];
    Insn insns[];
};

struct CpuCodeCache {
    const Insn *end; /* the running block's last instruction; NULL: stop after this one */
    uint64_t generation;
    uint64_t flushes; /* how often everything was dropped, thunks included */
    uint8_t *arena;
    size_t arena_used;
    ram_addr written_page; /* where code was written last, */
    unsigned written_count; /* how often since code was kept */
    HostThunks *thunks;
    CodeBlock *hash[CODE_HASH_SIZE];
    CodeBlock *pages[CODE_PAGE_HASH_SIZE];
    CodeLink jumps[CODE_JUMP_CACHE_SIZE];
};

CpuCodeCache *code_cache_new(void);
void code_cache_free(CpuCodeCache *cc);
void code_cache_flush(CpuCodeCache *cc);

/* Space for a block of up to CODE_BLOCK_MAX_INSNS; flushes everything when there is none. */
CodeBlock *code_cache_begin(CpuCodeCache *cc);
/* Keeps the block that was filled in. */
void code_cache_commit(CpuCodeCache *cc, CodeBlock *b);
/* Blocks that start at ram; the caller compares mode_key and second_page and goes on with
 * hash_next. */
CodeBlock *code_cache_find(CpuCodeCache *cc, ram_addr ram);
/* Drops the blocks that have a byte in the range, which lies in one page. */
CodeDropped code_cache_drop(CpuCodeCache *cc, ram_addr addr, uint64_t size);

#endif
