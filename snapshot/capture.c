/*
 * Copy on write in software. At the moment every page becomes clean for the client DIRTY_SNAPSHOT,
 * so each vCPU's next write to it takes the slow path once, which calls the hook below, as DMA
 * does: the page is copied before it changes. Behind the guest the packers read page after page,
 * from the copy where there is one. So the host's memory protection is not involved: setting it up
 * alone takes 2.4 ms for each 32 MB by userfaultfd, while the guest stands still, and each page's
 * fault 11 us (docs/snapshots.md); sandboxes may forbid it besides.
 *
 * A page is PENDING until its bytes of the moment have been copied. A writer makes it BUSY for the
 * microsecond in which it does that, and others wait. A packer never makes anybody wait, as it may
 * lose its processor at any time for long: it copies first, and what it has is right if the page is
 * PENDING still when it then makes it TAKEN, as no writer can have begun.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "snapshot/capture.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hw/memory.h"
#include "target-i386/mem.h"
#include "target-i386/vcpu.h"
#include "util/iovec.h"
#include "util/loop.h"

enum { PENDING, BUSY, COPIED, TAKEN };

/* A guest that writes faster than its RAM is packed waits when so many pages are copied. */
#define COPIES_MAX (UINT64_C(512) << 20 >> GUEST_PAGE_BITS)

typedef struct Capture {
    uint64_t pages;
    uint32_t chunks;
    _Atomic uint8_t *state; /* a page */
    uint8_t **copies;       /* a page; NULL where it was zero */
    _Atomic uint64_t copied;
    _Atomic uint8_t *touched; /* a chunk */
    _Atomic uint32_t *order;  /* chunk + 1 in the order of the first touch */
    _Atomic uint32_t order_count;
} Capture;

static Capture cap, next; /* next: prepared */

static void *zeroed(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size);

    if (!p) {
        abort();
    }
    return p;
}

/* ---- while the guest runs ---- */

static void wait_for_packers(void)
{
    /* Not where that would hold them up: they need the main loop. */
    while (current_cpu && !machine_lock_held() && atomic_load(&cap.copied) > COPIES_MAX &&
           !atomic_load(&current_cpu->exit_request)) {
        nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
    }
}

static void keep_page(uint64_t page)
{
    uint8_t expected = PENDING;

    if (atomic_compare_exchange_strong(&cap.state[page], &expected, BUSY)) {
        const uint8_t *from = memory_ram_base() + (page << GUEST_PAGE_BITS);
        uint8_t *copy = NULL;
        if (!buffer_is_zero(from, GUEST_PAGE_SIZE)) {
            copy = malloc(GUEST_PAGE_SIZE);
            if (!copy) {
                abort();
            }
            memcpy(copy, from, GUEST_PAGE_SIZE);
            atomic_fetch_add(&cap.copied, 1);
        }
        cap.copies[page] = copy;
        atomic_store(&cap.state[page], COPIED);
        wait_for_packers();
        return;
    }
    while (atomic_load(&cap.state[page]) == BUSY) {
        __builtin_ia32_pause();
    }
}

static void before_write(ram_addr addr, uint64_t size)
{
    uint64_t end = (addr + size - 1) >> GUEST_PAGE_BITS;

    for (uint64_t page = addr >> GUEST_PAGE_BITS; page <= end && page < cap.pages; page++) {
        uint8_t state = atomic_load(&cap.state[page]);
        if (state == PENDING || state == BUSY) {
            keep_page(page);
        }
    }
}

static void before_access(ram_addr addr, uint64_t size)
{
    uint64_t end = (addr + size - 1) >> CHUNK_BITS;

    for (uint64_t chunk = addr >> CHUNK_BITS; chunk <= end && chunk < cap.chunks; chunk++) {
        if (!atomic_load_explicit(&cap.touched[chunk], memory_order_relaxed) &&
            !atomic_exchange(&cap.touched[chunk], 1)) {
            atomic_store(&cap.order[atomic_fetch_add(&cap.order_count, 1)], (uint32_t)chunk + 1);
        }
    }
}

/* ---- from the saving side ---- */

static void forget(Capture *c)
{
    for (uint64_t page = 0; page < c->pages; page++) {
        if (c->state[page] == COPIED) {
            free(c->copies[page]);
        }
    }
    free((void *)c->state);
    free(c->copies);
    free((void *)c->touched);
    free((void *)c->order);
    *c = (Capture){0};
}

void capture_prepare(void)
{
    forget(&next); /* what the last but one left */
    next.pages = memory_ram_used() >> GUEST_PAGE_BITS;
    next.chunks = snapshot_chunks(memory_ram_used());
    next.state = zeroed(next.pages, 1);
    next.copies = zeroed(next.pages, sizeof(*next.copies));
    next.touched = zeroed(next.chunks, 1);
    next.order = zeroed(next.chunks, sizeof(*next.order));
}

void capture_begin(void)
{
    Capture old = cap;

    cap = next;
    next = old; /* freed later: the moment is short */
    memory_dirty_reset(0, memory_ram_used(), DIRTY_SNAPSHOT);
    for (unsigned i = 0; i < vcpu_count(); i++) {
        tlb_flush(vcpu_env(i)); /* so that what is looked at from now on comes by the hook */
    }
    memory_set_ram_hooks(before_access, before_write);
}

void capture_end(void)
{
    memory_set_ram_hooks(NULL, NULL);
    /* A vCPU may be inside of a hook: the tables stay, their pages go. */
    for (uint64_t page = 0; page < cap.pages; page++) {
        uint8_t expected = COPIED;
        if (atomic_load(&cap.state[page]) == COPIED &&
            atomic_compare_exchange_strong(&cap.state[page], &expected, TAKEN)) {
            free(cap.copies[page]);
        }
    }
    atomic_store(&cap.copied, 0);
}

static bool read_page(uint64_t page, uint8_t *data)
{
    const uint8_t *from = memory_ram_base() + (page << GUEST_PAGE_BITS);
    uint8_t expected = PENDING;

    if (atomic_load(&cap.state[page]) == PENDING) {
        memcpy(data, from, GUEST_PAGE_SIZE); /* the copy, as the page may change meanwhile */
        bool any = !buffer_is_zero(data, GUEST_PAGE_SIZE);
        if (atomic_compare_exchange_strong(&cap.state[page], &expected, TAKEN)) {
            return any;
        }
    }
    while (atomic_load(&cap.state[page]) == BUSY) {
        __builtin_ia32_pause();
    }
    uint8_t *copy = cap.copies[page];
    atomic_store(&cap.state[page], TAKEN);
    if (copy) {
        memcpy(data, copy, GUEST_PAGE_SIZE);
        free(copy);
        atomic_fetch_sub(&cap.copied, 1);
    }
    return copy != NULL;
}

/* Where the host holds nothing the page was zero at the moment, too: what is written meanwhile was
 * copied before. */
static bool is_hole(uint64_t offset, uint64_t size)
{
    off_t data = lseek(memory_ram_fd(), (off_t)offset, SEEK_DATA);

    return data < 0 ? errno == ENXIO : (uint64_t)data >= offset + size;
}

uint16_t capture_read(uint32_t chunk, uint8_t *data)
{
    uint64_t first = (uint64_t)chunk * CHUNK_PAGES;
    uint16_t pages = 0;

    if (is_hole((uint64_t)chunk << CHUNK_BITS, CHUNK_SIZE)) {
        return 0;
    }
    for (unsigned i = 0; i < CHUNK_PAGES && first + i < cap.pages; i++) {
        if (read_page(first + i, data)) {
            pages |= (uint16_t)(1u << i);
            data += GUEST_PAGE_SIZE;
        }
    }
    return pages;
}

uint32_t capture_next(uint32_t chunk)
{
    off_t data = lseek(memory_ram_fd(), (off_t)((uint64_t)chunk << CHUNK_BITS), SEEK_DATA);

    if (data < 0) {
        return errno == ENXIO ? cap.chunks : chunk;
    }
    uint64_t next = (uint64_t)data >> CHUNK_BITS;
    return next < cap.chunks ? (uint32_t)next : cap.chunks;
}

typedef struct WorkingSet {
    uint32_t *list, count;
} WorkingSet;

static void add_code(ram_addr page, void *opaque)
{
    WorkingSet *set = opaque;
    uint32_t chunk = (uint32_t)(page >> CHUNK_BITS);

    if (chunk < cap.chunks && !atomic_exchange(&cap.touched[chunk], 1)) {
        set->list[set->count++] = chunk;
    }
}

uint32_t capture_working_set(uint32_t **list)
{
    WorkingSet set = {zeroed(cap.chunks, sizeof(uint32_t)), 0};
    uint32_t n = atomic_load(&cap.order_count);

    for (uint32_t i = 0; i < n; i++) {
        uint32_t chunk = atomic_load(&cap.order[i]);
        if (chunk) { /* else its place was taken but not filled yet */
            set.list[set.count++] = chunk - 1;
        }
    }
    memory_each_code_page(add_code, &set);
    *list = set.list;
    return set.count;
}
