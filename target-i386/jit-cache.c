/*
 * Translated code of one vCPU: its memory, finding blocks by their place, dropping them.
 *
 * Memory for code and for records is divided into segments that are filled in turn. When all are full the oldest is
 * emptied: its blocks go, and jumps of others that led to them lead back to their own ways out. So what runs often is
 * translated anew, at the young end, and what ran once is gone after a while; never is all of it gone at once.
 * A block of the same bytes and mode at another linear address is moved, not made anew (jit-move.c): a copy of it, or, where it is a
 * program's that has ended, the block itself, which so stays in its segment and keeps caches warm. Whose program has ended is a guess:
 * the root of the page tables is remembered that a block ran with, or that there were several; the same root with the
 * same code elsewhere is the next program. A wrong guess costs time, nothing else.
 * A block belongs to the segment that it begins in. Before one might end in the next segment that is emptied, too, so that no
 * room is left over at their ends: the most that a block may take is a quarter of a small segment.
 *
 * The bytes that blocks were made of are watched (hw/memory.h): a write to them by this vCPU drops the blocks before its
 * next instruction, one by others or DMA before this vCPU's next look at its requests. A write by another vCPU whose fast path
 * looked before the page was watched goes unnoticed. That can happen only until that vCPU comes to its next instruction,
 * so blocks made before are young until all others have been seen beyond; when this vCPU executes a
 * serialising instruction, from which on it has to see what others have written (SDM vol. 3, 8.1.3), the bytes of young
 * blocks are compared with what they were.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/jit.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "target-i386/code-cache.h"
#include "target-i386/vcpu.h"
#include "util/host-memory.h"

static uint64_t cache_size; /* 0: by the number of vCPUs */

void jit_set_cache_size(uint64_t bytes)
{
    cache_size = bytes;
}

static unsigned hash_block(ram_addr ram, uint64_t rip)
{
    return (unsigned)(((ram ^ rip >> 12 << 32) * 0x9e3779b97f4a7c15ull >> 40) % JIT_HASH_SIZE);
}

static unsigned hash_origin(ram_addr ram)
{
    return (unsigned)((ram * 0x9e3779b97f4a7c15ull >> 40) % JIT_ORIGIN_HASH_SIZE);
}

static unsigned hash_page(ram_addr page)
{
    page >>= GUEST_PAGE_BITS;
    return (unsigned)((page ^ page >> 12) % JIT_PAGE_HASH_SIZE);
}

/* ---- memory ---- */

static void *map(size_t size, int prot, int flags)
{
    void *p = mmap(NULL, size, prot, flags | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        abort();
    }
    return p;
}

/*
 * The same pages once more (mremap(2): an old size of 0 copies a shared mapping). Not two mappings of a memfd: perf looks up names in
 * /tmp/perf-PID.map for anonymous memory only.
 */
static void *map_again(void *shared, size_t size, int prot)
{
    void *p = mremap(shared, 0, size, MREMAP_MAYMOVE);

    if (p == MAP_FAILED || mprotect(p, size, prot)) {
        abort();
    }
    return p;
}

static uint64_t within(uint64_t n, uint64_t least, uint64_t most)
{
    return n < least ? least : n > most ? most : n;
}

/*
 * 64 MB to 256 MB for all vCPUs together, but 8 MB for each: half as much as the guest has RAM, if the host can afford it. A compiler in
 * a guest fills them; only what is used takes memory.
 */
static uint64_t default_size(void)
{
    const uint64_t mb = 1 << 20;
    uint64_t guest = memory_main_bytes() / 2, host = host_memory_limit() / 16;
    uint64_t all = within(guest < host ? guest : host, 64 * mb, 256 * mb);

    return within(all / (vcpu_count() ? vcpu_count() : 1), 8 * mb, all);
}

CpuJit *jit_cache_new(void)
{
    CpuJit *jit = calloc(1, sizeof(*jit));
    uint64_t size = cache_size ? cache_size : default_size();
    /* Records are about a third of the code. */
    size_t code = (size / 4 * 3 + 4095) & ~(size_t)4095, records = (size / 4 + 4095) & ~(size_t)4095;

    if (!jit) {
        abort();
    }
    jit->code_size = code;
    jit->write = map(code, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE);
    jit->exec = map_again(jit->write, code, PROT_READ | PROT_EXEC);
    jit->records_size = records;
    jit->records = map(records, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE);
    jit->stack = map(JIT_STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE);
    /* Each has room for any block. */
    jit->nsegments = (unsigned)(code / (3 * JIT_BLOCK_MAX_CODE));
    jit->nsegments = jit->nsegments > JIT_SEGMENTS ? JIT_SEGMENTS : jit->nsegments < 2 ? 2 : jit->nsegments;
    return jit;
}

void jit_cache_free(CpuJit *jit)
{
    if (jit) {
        host_bring_in_wait();
        munmap(jit->write, jit->code_size);
        munmap(jit->exec, jit->code_size);
        munmap(jit->records, jit->records_size);
        munmap(jit->stack, JIT_STACK_SIZE);
        free(jit->links);
        free(jit->stats.ops);
        free(jit);
    }
}

void *jit_record(CpuJit *jit, size_t size)
{
    void *p = jit->records + jit->records_used;

    jit->records_used += (size + 15) & ~(size_t)15;
    return p;
}

/* Where the code and the records of a segment begin; those of number nsegments: where the last one ends. */
static size_t segment_code(const CpuJit *jit, unsigned n)
{
    return jit->code_start + (((jit->code_size - jit->code_start) / jit->nsegments * n) & ~(size_t)63);
}

static size_t segment_records(const CpuJit *jit, unsigned n)
{
    return (jit->records_size / jit->nsegments * n) & ~(size_t)63;
}

_Static_assert(JIT_BLOCK_MAX_MADE * (sizeof(JitInsn) + sizeof(Insn) + 2 * 16) + sizeof(JitBlock) + 16 + 2 * JIT_BLOCK_MAX_MOVES + 16 <=
                   JIT_BLOCK_MAX_RECORDS,
               "each record is rounded up");

static bool room_for_block(const CpuJit *jit)
{
    unsigned end = jit->segment + 1 + jit->next_empty;

    return jit->code_used + JIT_BLOCK_MAX_CODE <= segment_code(jit, end) &&
           jit->records_used + JIT_BLOCK_MAX_RECORDS <= segment_records(jit, end);
}

/* ---- links ---- */

static uint32_t take_link(CpuJit *jit)
{
    uint32_t n = jit->links_free;

    if (n) {
        jit->links_free = jit->links[n].next;
        return n;
    }
    if (jit->links_used == jit->links_size) {
        jit->links_size = jit->links_size ? 2 * jit->links_size : 4096;
        jit->links = realloc(jit->links, jit->links_size * sizeof(*jit->links));
        if (!jit->links) {
            abort();
        }
        jit->links_used = jit->links_used ? jit->links_used : 1;
    }
    return jit->links_used++;
}

static void give_link(CpuJit *jit, uint32_t n)
{
    jit->links[n].next = jit->links_free;
    jit->links_free = n;
}

void jit_cache_link(CpuJit *jit, uint8_t *rel, const uint8_t *target, JitBlock *b)
{
    int32_t undo, distance = (int32_t)(target - (jit->exec + (rel - jit->write) + 4));
    uint32_t n = take_link(jit);

    memcpy(&undo, rel, 4);
    jit->links[n] = (JitLink){(uint32_t)(rel - jit->write), undo, b->links};
    b->links = n;
    memcpy(rel, &distance, 4);
}

static void undo_links(CpuJit *jit, JitBlock *b)
{
    for (uint32_t n = b->links, next; n; n = next) {
        next = jit->links[n].next;
        memcpy(jit->write + jit->links[n].rel, &jit->links[n].undo, 4);
        give_link(jit, n);
    }
    b->links = 0;
}

/* Forgets those of b's links that come from code between two places. */
static void forget_links_from(CpuJit *jit, JitBlock *b, size_t start, size_t end)
{
    for (uint32_t *p = &b->links, n; (n = *p);) {
        if (jit->links[n].rel >= start && jit->links[n].rel < end) {
            *p = jit->links[n].next;
            give_link(jit, n);
        } else {
            p = &jit->links[n].next;
        }
    }
}

/* ---- blocks ---- */

JitBlock *jit_cache_find(const CpuJit *jit, ram_addr ram, uint64_t rip, uint32_t key)
{
    JitBlock *b = jit->hash[hash_block(ram, rip)];

    while (b && (b->ram != ram || b->rip != rip || b->key != key)) {
        b = b->in_hash.next;
    }
    return b;
}

/*
 * Page tables that now have the same code at another address belong to another program, which will not come back; as a rule: a program
 * may have it twice, so what is new stays.
 */
bool jit_cache_is_left(const CpuJit *jit, const JitBlock *b, uint32_t root)
{
    enum { OLD = 1024, OLD_IN_TESTS = 8 };

    return b->root == root && (uint32_t)jit->stats.entered - b->made >= (jit->check_moves ? OLD_IN_TESTS : OLD);
}

JitBlock *jit_cache_find_origin(const CpuJit *jit, ram_addr ram, uint32_t key, uint32_t root)
{
    enum { MOST = 32 };
    JitBlock *b = jit->origins[hash_origin(ram)], *found = NULL;

    for (unsigned i = 0; b && i < MOST; i++, b = b->in_origins.next) {
        if (b->ram == ram && b->key == key) {
            if (jit_cache_is_left(jit, b, root)) {
                return b;
            }
            found = found ? found : b;
        }
    }
    return found;
}

/* The block's place in the lists of one kind: which member. */
static JitListed *listed(JitBlock *b, size_t member)
{
    return (JitListed *)(void *)((char *)b + member);
}

static void add_to_list(JitBlock **list, JitBlock *b, size_t member)
{
    *listed(b, member) = (JitListed){*list, list};
    if (*list) {
        listed(*list, member)->from = &listed(b, member)->next;
    }
    *list = b;
}

static void remove_from_list(JitBlock *b, size_t member)
{
    JitListed *place = listed(b, member);

    *place->from = place->next;
    if (place->next) {
        listed(place->next, member)->from = place->from;
    }
}

void jit_cache_add(CpuJit *jit, JitBlock *b)
{
    JitBlock **bucket = &jit->hash[hash_block(b->ram, b->rip)];
    JitBlock **page = &jit->pages[hash_page(b->ram & GUEST_PAGE_MASK)];
    JitSegment *segment = &jit->segments[jit->segment];

    add_to_list(bucket, b, offsetof(JitBlock, in_hash));
    add_to_list(page, b, offsetof(JitBlock, in_page));
    b->segment_next = segment->blocks;
    segment->blocks = b;
    if (b->second_bytes) {
        page = &jit->second_pages[hash_page(b->second & GUEST_PAGE_MASK)];
        add_to_list(page, b, offsetof(JitBlock, in_second));
    } else if (b->nmoves) {
        add_to_list(&jit->origins[hash_origin(b->ram)], b, offsetof(JitBlock, in_origins));
    }
}

/* Nobody finds the block any more, and nothing jumps to it but what stands in the jump tables. */
static void remove_block(CpuJit *jit, JitBlock *b)
{
    remove_from_list(b, offsetof(JitBlock, in_hash));
    remove_from_list(b, offsetof(JitBlock, in_page));
    if (b->second_bytes) {
        remove_from_list(b, offsetof(JitBlock, in_second));
    } else if (b->nmoves) {
        remove_from_list(b, offsetof(JitBlock, in_origins));
    }
    undo_links(jit, b);
    jit->stats.dropped++;
    b->gone = true;
}

/* Records' memory is used anew. */
static void forget_decoded(CpuJit *jit)
{
    for (unsigned i = 0; i < JIT_DECODED; i++) {
        jit->decoded[i].ji = NULL;
    }
}

/* Some blocks went: code that runs now is left behind its instruction. */
static void blocks_went(CpuJit *jit)
{
    jit->generation++;
    jit->stop = true;
}

static bool overlap(ram_addr a, uint64_t a_size, ram_addr b, uint64_t b_size)
{
    return a < b + b_size && b < a + a_size;
}

CodeDropped jit_cache_drop(CpuJit *jit, ram_addr addr, uint64_t size)
{
    ram_addr page = addr & GUEST_PAGE_MASK, pieces = addr & ~(ram_addr)(MEMORY_CODE_PIECE - 1);
    uint64_t pieces_size = ((addr + size - 1) | (MEMORY_CODE_PIECE - 1)) + 1 - pieces;
    JitBlock *next;
    bool dropped = false, remaining = false, near = false;

    for (JitBlock *b = jit->pages[hash_page(page)]; b; b = next) {
        next = b->in_page.next;
        if (overlap(b->ram, b->bytes, addr, size)) {
            jit_forget_jumps_to(jit, b);
            remove_block(jit, b);
            dropped = true;
        } else {
            remaining |= (b->ram & GUEST_PAGE_MASK) == page;
            near |= overlap(b->ram, b->bytes, pieces, pieces_size);
        }
    }
    for (JitBlock *b = jit->second_pages[hash_page(page)]; b; b = next) {
        next = b->in_second.next;
        if (overlap(b->second, b->second_bytes, addr, size)) {
            jit_forget_jumps_to(jit, b);
            remove_block(jit, b);
            dropped = true;
        } else {
            remaining |= (b->second & GUEST_PAGE_MASK) == page;
            near |= overlap(b->second, b->second_bytes, pieces, pieces_size);
        }
    }
    if (dropped) {
        blocks_went(jit);
    }
    return (dropped ? CODE_DROPPED : 0) | (remaining ? CODE_REMAINING : 0) | (near ? CODE_NEAR : 0);
}

void jit_cache_take_out(CpuJit *jit, JitBlock *b)
{
    jit_forget_jumps_to(jit, b);
    remove_from_list(b, offsetof(JitBlock, in_hash));
    undo_links(jit, b);
}

void jit_cache_put_in(CpuJit *jit, JitBlock *b)
{
    add_to_list(&jit->hash[hash_block(b->ram, b->rip)], b, offsetof(JitBlock, in_hash));
}

static void empty_segment(CpuJit *jit, unsigned n)
{
    size_t start = segment_code(jit, n), end = segment_code(jit, n + 1);

    for (JitBlock *b = jit->segments[n].blocks; b; b = b->segment_next) {
        if (!b->gone) {
            remove_block(jit, b);
        }
    }
    jit->segments[n].blocks = NULL;
    for (unsigned i = 0; i < jit->nsegments; i++) {
        for (JitBlock *b = jit->segments[i].blocks; b; b = b->segment_next) {
            forget_links_from(jit, b, start, end);
        }
    }
    forget_decoded(jit);
    jit_forget_jumps(jit);
    blocks_went(jit);
}

/* Where code is complete its pages are seldom written to: a jump is linked. The mapping for that need not count them, too. */
static void forget_written(CpuJit *jit)
{
    enum { HOST_PAGE = 4096 };
    size_t start = (segment_code(jit, jit->segment) + HOST_PAGE - 1) & ~(size_t)(HOST_PAGE - 1);
    size_t end = segment_code(jit, jit->segment + 1) & ~(size_t)(HOST_PAGE - 1);

    madvise(jit->write + start, end - start, MADV_DONTNEED);
}

/* Pages that the next block will be written to, more than it needs: a fault for each would cost more. */
static void bring_in(CpuJit *jit)
{
    const size_t step = 64 << 10; /* there is always one ahead of the block */
    size_t code = jit->code_used / step + 1, records = jit->records_used / step + 1;

    if (code != jit->code_step && (code + 1) * step <= jit->code_size) {
        host_bring_in_soon(host_bring_in, jit->write + code * step, step);
        host_bring_in_soon(host_bring_in_read, jit->exec + code * step, step);
        jit->code_step = code;
    }
    if (records != jit->records_step && (records + 1) * step <= jit->records_size) {
        host_bring_in_soon(host_bring_in, jit->records + records * step, step);
        jit->records_step = records;
    }
}

/* The next block begins in segment n, which is empty but for the end of the last one. */
static void begin_segment(CpuJit *jit, unsigned n, size_t code_used, size_t records_used)
{
    size_t code = segment_code(jit, n), records = segment_records(jit, n);

    forget_written(jit);
    jit->segment = n;
    jit->next_empty = false;
    jit->code_used = code_used > code ? code_used : code;
    jit->records_used = records_used > records ? records_used : records;
}

void jit_cache_make_room(CpuJit *jit)
{
    unsigned next = jit->segment + 1;

    if (jit->next_empty && (jit->code_used >= segment_code(jit, next) || jit->records_used >= segment_records(jit, next))) {
        begin_segment(jit, next, jit->code_used, jit->records_used);
        next++;
    }
    if (!room_for_block(jit) && next < jit->nsegments) {
        empty_segment(jit, next);
        jit->next_empty = true;
    } else if (!room_for_block(jit)) {
        empty_segment(jit, 0);
        begin_segment(jit, 0, 0, 0);
    }
    bring_in(jit);
}

void jit_cache_flush(CpuJit *jit)
{
    jit->stats.flushes++;
    memset(jit->hash, 0, sizeof(jit->hash));
    memset(jit->pages, 0, sizeof(jit->pages));
    memset(jit->second_pages, 0, sizeof(jit->second_pages));
    memset(jit->origins, 0, sizeof(jit->origins));
    memset(jit->segments, 0, sizeof(jit->segments));
    jit->segment = 0;
    jit->next_empty = false;
    jit->links_used = jit->links_size ? 1 : 0;
    jit->links_free = 0;
    jit->code_used = jit->code_start;
    jit->records_used = 0;
    jit->nyoung = 0;
    forget_decoded(jit);
    jit_forget_jumps(jit);
    blocks_went(jit);
}

/* ---- watching what blocks were made of ---- */

static uint64_t hash_bytes(const uint8_t *bytes, unsigned n)
{
    uint64_t h = n, v;

    for (; n >= 8; n -= 8, bytes += 8) {
        memcpy(&v, bytes, 8);
        h = (h ^ v) * 0x9e3779b97f4a7c15ull;
        h ^= h >> 29;
    }
    for (v = 0; n; n--) {
        v = v << 8 | *bytes++;
    }
    h = (h ^ v) * 0x9e3779b97f4a7c15ull;
    return h ^ h >> 32;
}

/* alone: no other vCPU runs guest code now. */
static void look_again(CPUX86State *env, bool alone)
{
    CpuJit *jit = env->jit;
    unsigned kept = 0;

    for (unsigned i = 0; i < jit->nyoung; i++) {
        JitYoung y = jit->young[i];
        bool settled = alone || vcpu_others_passed(env, y.epoch); /* before the bytes are read */
        if (hash_bytes(memory_ram_base() + y.ram, y.bytes) != y.hash) {
            jit_cache_drop(jit, y.ram, y.bytes);
        } else if (!settled) {
            jit->young[kept++] = y;
        }
    }
    jit->nyoung = kept;
}

void jit_cache_look_again(CPUX86State *env)
{
    look_again(env, false);
}

static void note_young(CPUX86State *env, ram_addr ram, const uint8_t *bytes, unsigned n, uint64_t epoch)
{
    CpuJit *jit = env->jit;

    if (jit->nyoung == JIT_MAX_YOUNG) {
        jit_cache_look_again(env);
    }
    if (jit->nyoung == JIT_MAX_YOUNG) {
        vcpu_exclusive_begin();
        look_again(env, true);
        vcpu_exclusive_end();
    }
    jit->young[jit->nyoung++] = (JitYoung){ram, hash_bytes(bytes, n), epoch, n};
}

static bool watch(CPUX86State *env, ram_addr ram, const uint8_t *bytes, unsigned n)
{
    memory_dirty_reset(ram, n, DIRTY_CODE);
    uint64_t epoch = memory_code_epoch();
    if (memcmp(bytes, memory_ram_base() + ram, n) != 0) {
        return false;
    }
    if (!vcpu_others_passed(env, epoch)) {
        note_young(env, ram, bytes, n, epoch);
    }
    return true;
}

bool jit_cache_watch(CPUX86State *env, JitBlock *b, const uint8_t *bytes)
{
    if (!watch(env, b->ram, bytes, b->bytes) ||
        (b->second_bytes && !watch(env, b->second, bytes + b->bytes, b->second_bytes))) {
        return false;
    }
    env->code_cache->written_count = 0;
    return true;
}
