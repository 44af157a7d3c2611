/*
 * Translated code of one vCPU: its memory, finding blocks by their place, dropping them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/jit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t cache_size = 32u << 20;

void jit_set_cache_size(uint64_t bytes)
{
    cache_size = bytes;
}

static unsigned hash_block(ram_addr ram, uint64_t rip)
{
    return (unsigned)((ram ^ ram >> 15 ^ rip >> 12) % JIT_HASH_SIZE);
}

static unsigned hash_page(ram_addr page)
{
    page >>= GUEST_PAGE_BITS;
    return (unsigned)((page ^ page >> 12) % JIT_PAGE_HASH_SIZE);
}

/* ---- memory ---- */

static void *map(size_t size, int prot, int flags, int fd)
{
    void *p = mmap(NULL, size, prot, flags, fd, 0);

    if (p == MAP_FAILED) {
        abort();
    }
    return p;
}

CpuJit *jit_cache_new(void)
{
    CpuJit *jit = calloc(1, sizeof(*jit));
    int fd = memfd_create("translated code", MFD_CLOEXEC);
    size_t half = (cache_size / 2 + 4095) & ~(size_t)4095;

    if (!jit || fd < 0 || ftruncate(fd, (off_t)half) < 0) {
        abort();
    }
    jit->code_size = half;
    jit->write = map(half, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    jit->exec = map(half, PROT_READ | PROT_EXEC, MAP_SHARED, fd);
    close(fd);
    jit->records_size = half;
    jit->records = map(half, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    jit->stack = map(JIT_STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    return jit;
}

void jit_cache_free(CpuJit *jit)
{
    if (jit) {
        munmap(jit->write, jit->code_size);
        munmap(jit->exec, jit->code_size);
        munmap(jit->records, jit->records_size);
        munmap(jit->stack, JIT_STACK_SIZE);
        free(jit);
    }
}

void *jit_record(CpuJit *jit, size_t size)
{
    void *p = jit->records + jit->records_used;

    jit->records_used += (size + 15) & ~(size_t)15;
    return p;
}

static bool room_for_block(const CpuJit *jit)
{
    return jit->code_used + JIT_BLOCK_MAX_CODE <= jit->code_size &&
           jit->records_used + (JIT_BLOCK_MAX_INSNS + 1) * (sizeof(JitInsn) + 16) + sizeof(JitBlock) + 16 <=
               jit->records_size;
}

void jit_cache_make_room(CpuJit *jit)
{
    if (!room_for_block(jit)) {
        jit_cache_flush(jit);
    }
}

/* ---- blocks ---- */

JitBlock *jit_cache_find(const CpuJit *jit, ram_addr ram, uint64_t rip, uint32_t key)
{
    JitBlock *b = jit->hash[hash_block(ram, rip)];

    while (b && (b->ram != ram || b->rip != rip || b->key != key)) {
        b = b->hash_next;
    }
    return b;
}

void jit_cache_add(CpuJit *jit, JitBlock *b)
{
    JitBlock **bucket = &jit->hash[hash_block(b->ram, b->rip)];
    JitBlock **page = &jit->pages[hash_page(b->ram & GUEST_PAGE_MASK)];

    b->hash_next = *bucket;
    *bucket = b;
    b->page_next = *page;
    *page = b;
}

void jit_cache_flush(CpuJit *jit)
{
    memset(jit->hash, 0, sizeof(jit->hash));
    memset(jit->pages, 0, sizeof(jit->pages));
    jit_forget_jumps(jit);
    jit->code_used = jit->code_start;
    jit->records_used = 0;
    jit->generation++;
    jit->stop = true;
}

void jit_cache_drop_page(CpuJit *jit, ram_addr page)
{
    JitBlock **p = &jit->pages[hash_page(page)];
    bool dropped = false;

    while (*p) {
        JitBlock *b = *p;
        if ((b->ram & GUEST_PAGE_MASK) != page) {
            p = &b->page_next;
            continue;
        }
        *p = b->page_next;
        JitBlock **q = &jit->hash[hash_block(b->ram, b->rip)];
        while (*q != b) {
            q = &(*q)->hash_next;
        }
        *q = b->hash_next;
        dropped = true;
    }
    if (dropped) {
        jit_forget_jumps(jit);
        jit->generation++;
        jit->stop = true;
    }
}
