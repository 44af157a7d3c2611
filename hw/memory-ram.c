/*
 * Guest RAM: one memfd mapping that blocks are carved from, and its dirty bitmaps.
 *
 * The bitmaps hold a bit a page that is set while the page is clean, so that fresh RAM is dirty for
 * everybody without its bits being touched: a large guest costs nothing before it is used. For code
 * there is a word a page instead, a bit a piece that is watched.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hw/memory-internal.h"
#include "util/host-memory.h"

static int ram_fd = -1;
static uint8_t *ram_base;
static uint64_t ram_size, ram_used;

/* Pages that the host brings in together, and how many such chunks in a row it does ahead: see memory_bring_in(). */
enum { CHUNK_BITS = 16, ROW = 4 };

typedef _Atomic uint64_t BitmapWord;
static BitmapWord *chunks; /* a bit each: in use */
static BitmapWord *rows;   /* a bit each: brought in ahead */
static size_t chunks_bytes; /* of each of the two */
static BitmapWord *clean[DIRTY_CLIENTS]; /* but DIRTY_CODE */
static size_t clean_bytes;               /* of one bitmap */
static BitmapWord *code_pieces;          /* a word a page */
static size_t code_bytes;

/* A page that gets its first piece becomes watched under this lock. */
static pthread_mutex_t code_mutex = PTHREAD_MUTEX_INITIALIZER;
static _Atomic bool code_protecting;
static _Atomic uint64_t code_epoch;
static _Atomic unsigned code_untold;

static const MemoryListener no_listener;
const MemoryListener *memory_listener = &no_listener;

void memory_set_listener(const MemoryListener *listener)
{
    memory_listener = listener ? listener : &no_listener;
}

_Atomic(MemoryRamHook *) memory_access_hook, memory_write_hook;
static uint64_t main_bytes;

void memory_set_ram_hooks(MemoryRamHook *before_access, MemoryRamHook *before_write)
{
    atomic_store(&memory_access_hook, before_access);
    atomic_store(&memory_write_hook, before_write);
}

uint64_t memory_main_bytes(void)
{
    return main_bytes;
}

void memory_set_main_bytes(uint64_t bytes)
{
    main_bytes = bytes;
}

static void unmap_all(void)
{
    host_bring_in_wait();
    if (ram_base) {
        munmap(ram_base, ram_size);
        close(ram_fd);
    }
    for (DirtyClient c = 0; c < DIRTY_CLIENTS; c++) {
        if (clean[c]) {
            munmap(clean[c], clean_bytes);
        }
        clean[c] = NULL;
    }
    if (code_pieces) {
        munmap(code_pieces, code_bytes);
    }
    if (chunks) {
        munmap(chunks, chunks_bytes);
    }
    if (rows) {
        munmap(rows, chunks_bytes);
    }
    code_pieces = NULL;
    chunks = rows = NULL;
    ram_base = NULL;
    ram_fd = -1;
    ram_size = ram_used = main_bytes = 0;
}

static void *map_anonymous(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

bool memory_ram_init(uint64_t max_bytes, Error **errp)
{
    unmap_all();
    uint64_t size = (max_bytes + GUEST_PAGE_SIZE - 1) & GUEST_PAGE_MASK;
    if (size < max_bytes || size > (uint64_t)1 << 46) {
        error_set(errp, "cannot map %llu bytes of guest memory", (unsigned long long)max_bytes);
        return false;
    }
    ram_fd = memfd_create("guest-ram", MFD_CLOEXEC);
    if (ram_fd < 0 || ftruncate(ram_fd, (off_t)size) < 0) {
        goto fail;
    }
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, ram_fd, 0);
    if (base == MAP_FAILED) {
        goto fail;
    }
    ram_base = base;
    ram_size = size;
    clean_bytes = (size / GUEST_PAGE_SIZE / 64 + 1) * sizeof(uint64_t);
    for (DirtyClient c = DIRTY_CODE + 1; c < DIRTY_CLIENTS; c++) {
        clean[c] = map_anonymous(clean_bytes);
        if (!clean[c]) {
            goto fail;
        }
    }
    code_bytes = (size / GUEST_PAGE_SIZE + 1) * sizeof(*code_pieces);
    code_pieces = map_anonymous(code_bytes);
    chunks_bytes = ((size >> CHUNK_BITS) / 64 + 1) * sizeof(*chunks);
    chunks = map_anonymous(chunks_bytes);
    rows = map_anonymous(chunks_bytes);
    if (!code_pieces || !chunks || !rows) {
        goto fail;
    }
    return true;

fail:
    error_set_errno(errp, errno, "cannot map %llu MB of guest memory",
                    (unsigned long long)(max_bytes >> 20));
    if (!ram_base && ram_fd >= 0) {
        close(ram_fd);
        ram_fd = -1;
    }
    unmap_all();
    return false;
}

int memory_ram_fd(void)
{
    return ram_fd;
}

uint8_t *memory_ram_base(void)
{
    return ram_base;
}

uint64_t memory_ram_used(void)
{
    return ram_used;
}

ram_addr memory_ram_alloc(uint64_t size, Error **errp)
{
    uint64_t rounded = (size + GUEST_PAGE_SIZE - 1) & GUEST_PAGE_MASK;

    if (rounded < size || rounded > ram_size - ram_used) {
        error_set(errp, "no room for %llu KB of guest memory: %llu of %llu KB are in use",
                  (unsigned long long)(size >> 10), (unsigned long long)(ram_used >> 10),
                  (unsigned long long)(ram_size >> 10));
        return RAM_ADDR_INVALID;
    }
    ram_addr place = ram_used;
    ram_used += rounded;
    return place;
}

static bool bit_is_set(const BitmapWord *words, uint64_t n)
{
    return atomic_load_explicit(&words[n / 64], memory_order_relaxed) >> n % 64 & 1;
}

static void set_bit(BitmapWord *words, uint64_t n)
{
    atomic_fetch_or_explicit(&words[n / 64], 1ull << n % 64, memory_order_relaxed);
}

static bool row_in_use(uint64_t row)
{
    const uint64_t all = (1u << ROW) - 1;

    return (atomic_load_explicit(&chunks[row * ROW / 64], memory_order_relaxed) >> row * ROW % 64 & all) == all;
}

static void bring_in_chunks(uint64_t chunk, unsigned n, bool soon)
{
    uint64_t start = chunk << CHUNK_BITS, size = (uint64_t)n << CHUNK_BITS;

    if (start >= ram_size) {
        return;
    }
    size = size < ram_size - start ? size : ram_size - start;
    if (soon) {
        host_bring_in_soon(host_bring_in, ram_base + start, size);
    } else {
        host_bring_in(ram_base + start, size);
    }
}

void memory_bring_in(ram_addr addr)
{
    uint64_t chunk = addr >> CHUNK_BITS, row = chunk / ROW;

    if (addr >= ram_size || bit_is_set(chunks, chunk)) {
        return;
    }
    set_bit(chunks, chunk);
    if (atomic_load_explicit(&memory_access_hook, memory_order_relaxed)) {
        return;
    }
    if (!bit_is_set(rows, row) && ((chunk && bit_is_set(chunks, chunk - 1)) || bit_is_set(chunks, chunk + 1))) {
        bring_in_chunks(chunk, 1, false);
    }
    if ((row_in_use(row) || (row && row_in_use(row - 1))) && !bit_is_set(rows, row + 1)) {
        set_bit(rows, row + 1);
        bring_in_chunks((row + 1) * ROW, ROW, true);
    }
}

/* ---- dirty bitmaps ---- */

typedef struct PageSpan {
    uint64_t first, end; /* pages; end is behind the last */
} PageSpan;

/* The pages that the bytes touch, cut to those there are. */
static PageSpan page_span(ram_addr addr, uint64_t size)
{
    if (addr >= ram_size || size == 0) {
        return (PageSpan){0, 0};
    }
    if (size > ram_size - addr) {
        size = ram_size - addr;
    }
    return (PageSpan){addr >> GUEST_PAGE_BITS, ((addr + size - 1) >> GUEST_PAGE_BITS) + 1};
}

/* The bits of the span that lie in the word with bit number `page`; moves page to the next word. */
static uint64_t next_mask(const PageSpan *span, uint64_t *page)
{
    uint64_t mask = ~0ull << (*page % 64);
    uint64_t next = (*page | 63) + 1;

    if (next > span->end) {
        mask &= ~0ull >> (next - span->end);
        next = span->end;
    }
    *page = next;
    return mask;
}

/* The pieces of the page at `page` that the range touches. */
static uint64_t piece_mask(uint64_t page, ram_addr addr, uint64_t size)
{
    ram_addr start = page << GUEST_PAGE_BITS, last = addr + size - 1;
    unsigned from = addr > start ? (unsigned)(addr - start) / MEMORY_CODE_PIECE : 0;
    unsigned to = last - start < GUEST_PAGE_SIZE ? (unsigned)(last - start) / MEMORY_CODE_PIECE : 63;

    _Static_assert(GUEST_PAGE_SIZE / MEMORY_CODE_PIECE == 64, "a bit a piece");
    return ~0ull << from & ~0ull >> (63 - to);
}

static bool end_code_watch(const PageSpan *span, ram_addr addr, uint64_t size)
{
    bool code = false;

    for (uint64_t page = span->first; page < span->end; page++) {
        uint64_t pieces = atomic_load_explicit(&code_pieces[page], memory_order_relaxed);
        if (pieces && pieces & piece_mask(page, addr, size)) {
            if (!code) {
                atomic_fetch_add(&code_untold, 1);
            }
            atomic_fetch_and(&code_pieces[page], ~piece_mask(page, addr, size));
            code = true;
        }
    }
    return code;
}

/* Tells those who want to hear of every write, and sets the other clients' bits. */
static void set_others(PageSpan span, ram_addr addr, uint64_t size)
{
    if (memory_listener->written) {
        memory_listener->written(addr, size); /* lockstep's copy of RAM goes wrong without */
    }
    /* The bytes were written before: whoever begins a watch from now on reads them. */
    atomic_thread_fence(memory_order_seq_cst);
    for (uint64_t page = span.first; page < span.end;) {
        size_t word = page / 64;
        uint64_t mask = next_mask(&span, &page);
        for (DirtyClient c = DIRTY_CODE + 1; c < DIRTY_CLIENTS; c++) {
            if (atomic_load_explicit(&clean[c][word], memory_order_relaxed) & mask) {
                atomic_fetch_and(&clean[c][word], ~mask);
            }
        }
    }
}

bool memory_dirty_set(ram_addr addr, uint64_t size)
{
    PageSpan span = page_span(addr, size);

    set_others(span, addr, size);
    return end_code_watch(&span, addr, size);
}

bool memory_dirty_set_watched(ram_addr addr, uint64_t size)
{
    PageSpan span = page_span(addr, size);
    bool code = false;

    set_others(span, addr, size);
    for (uint64_t page = span.first; page < span.end; page++) {
        uint64_t pieces = atomic_load_explicit(&code_pieces[page], memory_order_relaxed);
        code |= pieces && pieces & piece_mask(page, addr, size);
    }
    return code;
}

static bool page_clean(ram_addr addr, DirtyClient client)
{
    uint64_t page = addr >> GUEST_PAGE_BITS;

    if (addr >= ram_size) {
        return false;
    }
    return client == DIRTY_CODE ? atomic_load(&code_pieces[page]) != 0
                                : atomic_load(&clean[client][page / 64]) >> (page % 64) & 1;
}

bool memory_dirty_get(ram_addr addr, DirtyClient client)
{
    return !page_clean(addr, client);
}

bool memory_dirty_all(ram_addr addr)
{
    for (DirtyClient c = 0; c < DIRTY_CLIENTS; c++) {
        if (page_clean(addr, c)) {
            return false;
        }
    }
    return true;
}

uint64_t memory_dirty_run(ram_addr addr, int step, uint64_t n)
{
    uint64_t page = addr >> GUEST_PAGE_BITS, done = 0;

    while (done < n && memory_dirty_all(page << GUEST_PAGE_BITS)) {
        page += (uint64_t)(int64_t)step;
        done++;
    }
    return done;
}

/* A page with no watched piece: fast paths have to be told before anybody may believe in its watch. */
static void begin_page_watch(uint64_t page, uint64_t mask)
{
    pthread_mutex_lock(&code_mutex);
    atomic_store(&code_protecting, true);
    atomic_fetch_or(&code_pieces[page], mask);
    if (memory_listener->protect) {
        memory_listener->protect(page << GUEST_PAGE_BITS, GUEST_PAGE_SIZE);
    }
    atomic_fetch_add(&code_epoch, 1);
    atomic_store(&code_protecting, false);
    pthread_mutex_unlock(&code_mutex);
}

static void begin_code_watch(ram_addr addr, uint64_t size)
{
    PageSpan span = page_span(addr, size);

    for (uint64_t page = span.first; page < span.end; page++) {
        uint64_t mask = piece_mask(page, addr, size);
        uint64_t pieces = atomic_load(&code_pieces[page]);
        while (pieces && (pieces & mask) != mask &&
               !atomic_compare_exchange_weak(&code_pieces[page], &pieces, pieces | mask)) {
        }
        if (!pieces) {
            begin_page_watch(page, mask);
        } else if (atomic_load(&code_protecting)) {
            /* Perhaps it is this page, and somebody else is still about it. */
            pthread_mutex_lock(&code_mutex);
            pthread_mutex_unlock(&code_mutex);
        }
    }
}

void memory_dirty_reset(ram_addr addr, uint64_t size, DirtyClient client)
{
    PageSpan span = page_span(addr, size);
    bool changed = false;

    if (client == DIRTY_CODE) {
        begin_code_watch(addr, size);
        return;
    }
    for (uint64_t page = span.first; page < span.end;) {
        size_t word = page / 64;
        uint64_t mask = next_mask(&span, &page);
        changed |= (atomic_fetch_or(&clean[client][word], mask) & mask) != mask;
    }
    /* Pages that were clean before are on the slow path already. */
    if (changed && memory_listener->protect) {
        memory_listener->protect(addr, size);
    }
}

void memory_each_code_page(void (*fn)(ram_addr page, void *opaque), void *opaque)
{
    for (uint64_t page = 0; page < ram_used >> GUEST_PAGE_BITS; page++) {
        if (atomic_load_explicit(&code_pieces[page], memory_order_relaxed)) {
            fn(page << GUEST_PAGE_BITS, opaque);
        }
    }
}

void memory_code_told(void)
{
    atomic_fetch_sub(&code_untold, 1);
}

bool memory_code_untold(void)
{
    return atomic_load(&code_untold);
}

uint64_t memory_code_epoch(void)
{
    return atomic_load(&code_epoch);
}

void memory_ram_written(ram_addr addr, uint64_t size)
{
    if (memory_dirty_set(addr, size)) {
        if (memory_listener->code_written) {
            memory_listener->code_written(addr, size);
        }
        memory_code_told();
    }
}
