/*
 * RAM that comes out of a saved state when it is needed. All TLBs are empty when it begins, so the
 * first access to a page passes memory_page_lookup(), and DMA memory-access.c: both call the hook,
 * which brings the chunk of 64 KB on the caller's own thread (some 100 us). Behind the guest a
 * thread brings the working set that was recorded and then everything else; when all is there the
 * hook goes.
 *
 * What a device reaches through a region's host pointer (ROMs, video memory) is brought before the
 * guest runs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "snapshot/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hw/machine.h"
#include "hw/memory.h"
#include "target-i386/exec.h"
#include "target-i386/mem.h"
#include "target-i386/vcpu.h"
#include "util/loop.h"

enum { THERE, ABSENT, COMING };

/* So much of old RAM is emptied at once; more, and each page is cleared when it is needed. */
#define PUNCH_AT_ONCE (UINT64_C(96) << 20)

typedef struct Restore {
    SnapshotSource *source;
    Chunk *chunks;
    uint32_t count;
    uint32_t *working, working_count;
    _Atomic uint8_t *state;  /* a chunk */
    _Atomic unsigned inside; /* threads in bring(), which use source and chunks */
    bool empty;              /* RAM held nothing when it began: zeroes need not be written */
    pthread_t thread;
    bool thread_runs;
    _Atomic bool stop, failed, thread_done;
    bool active; /* main thread */
} Restore;

static Restore res;
static void (*failed_handler)(const char *message);

void restore_set_failed_handler(void (*fn)(const char *message))
{
    failed_handler = fn;
}

/* ---- a chunk ---- */

typedef struct Scratch {
    ChunkPacker *packer;
    uint8_t packed[CHUNK_PACKED_MAX], pages[CHUNK_SIZE];
} Scratch;

static pthread_key_t scratch_key;

static void free_scratch(void *p)
{
    chunk_packer_free(((Scratch *)p)->packer);
    free(p);
}

static void make_key(void)
{
    if (pthread_key_create(&scratch_key, free_scratch)) {
        abort();
    }
}

static Scratch *own_scratch(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, make_key);
    Scratch *s = pthread_getspecific(scratch_key);
    if (!s) {
        s = malloc(sizeof(*s));
        if (!s) {
            abort();
        }
        s->packer = chunk_packer_new();
        pthread_setspecific(scratch_key, s);
    }
    return s;
}

static uint64_t chunk_bytes(uint32_t chunk)
{
    uint64_t start = (uint64_t)chunk << CHUNK_BITS, left = memory_ram_used() - start;

    return left < CHUNK_SIZE ? left : CHUNK_SIZE;
}

/* The bytes of the chunk's pages that are not zero, in s->pages. */
static bool fetch(Scratch *s, uint32_t chunk)
{
    const Chunk *c = &res.chunks[chunk];

    return !c->pages || (source_pread(res.source, c->pos, s->packed, c->size) == 0 &&
                         chunk_unpack(s->packer, c, s->packed, s->pages));
}

/* Into RAM, which is nobody else's meanwhile. */
static void put(const uint8_t *data, uint32_t chunk)
{
    uint8_t *to = memory_ram_base() + ((uint64_t)chunk << CHUNK_BITS);
    unsigned pages = (unsigned)(chunk_bytes(chunk) >> GUEST_PAGE_BITS);

    for (unsigned i = 0; i < pages; i++, to += GUEST_PAGE_SIZE) {
        if (res.chunks[chunk].pages >> i & 1) {
            memcpy(to, data, GUEST_PAGE_SIZE);
            data += GUEST_PAGE_SIZE;
        } else if (!res.empty) {
            memset(to, 0, GUEST_PAGE_SIZE);
        }
    }
}

/* On the main loop. */
static void report_failure(void *opaque)
{
    char text[160];

    (void)opaque;
    snprintf(text, sizeof(text),
             "loadvm: a piece of the machine state is damaged or cannot be read: the machine is "
             "stopped; it needs "
             "another loadvm or system_reset");
    machine_stop(RUN_STATE_INTERNAL_ERROR);
    if (failed_handler) {
        failed_handler(text);
    } else {
        error_report("%s", text);
    }
}

static void chunk_failed(void)
{
    if (!atomic_exchange(&res.failed, true)) {
        for (unsigned i = 0; i < vcpu_count(); i++) {
            cpu_request_exit(vcpu_env(i)); /* soon; the main loop stops them */
        }
        loop_defer(report_failure, NULL);
    }
}

/*
 * Unpacked first and put into RAM then, so that others wait for a few microseconds only, not for a
 * thread of low priority that the host lets wait in the middle. Two may unpack the same.
 */
static void fetch_and_put(uint32_t chunk)
{
    Scratch *s = own_scratch();
    uint8_t expected = ABSENT;
    bool ok = fetch(s, chunk);

    if (!ok) {
        memset(s->pages, 0, sizeof(s->pages));
    }
    if (atomic_compare_exchange_strong(&res.state[chunk], &expected, COMING)) {
        put(s->pages, chunk);
        if (!ok) {
            chunk_failed();
        }
        atomic_store(&res.state[chunk], THERE);
        return;
    }
    while (atomic_load(&res.state[chunk]) == COMING) {
        sched_yield();
    }
}

/* Looks again after it has been counted: when all chunks are there and nobody is counted, nobody
 * comes to use the source any more. */
static void bring(uint32_t chunk)
{
    atomic_fetch_add(&res.inside, 1);
    if (atomic_load(&res.state[chunk]) != THERE) {
        fetch_and_put(chunk);
    }
    atomic_fetch_sub(&res.inside, 1);
}

static void before_access(ram_addr addr, uint64_t size)
{
    uint64_t end = (addr + size - 1) >> CHUNK_BITS;

    for (uint64_t chunk = addr >> CHUNK_BITS; chunk <= end && chunk < res.count; chunk++) {
        if (atomic_load_explicit(&res.state[chunk], memory_order_acquire) != THERE) {
            bring((uint32_t)chunk);
        }
    }
}

/* ---- behind the guest ---- */

static void all_there(void *opaque)
{
    (void)opaque;
    if (res.active &&
        atomic_load(&res.thread_done)) { /* else this is a call of one that was given up */
        restore_wait();
    }
}

/* Zeroes of a chunk nobody has asked for: the host's memory goes back. */
static void bring_zeroes(uint32_t chunk)
{
    uint8_t expected = ABSENT;
    off_t start = (off_t)((uint64_t)chunk << CHUNK_BITS);

    if (!atomic_compare_exchange_strong(&res.state[chunk], &expected, COMING)) {
        return;
    }
    if (!res.empty && fallocate(memory_ram_fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start,
                                (off_t)chunk_bytes(chunk)) < 0) {
        put(NULL, chunk);
    }
    atomic_store(&res.state[chunk], THERE);
}

static void *bring_all(void *arg)
{
    (void)arg;
    pthread_setname_np(pthread_self(), "loadvm");
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 5); /* the guest comes first */
    for (uint32_t i = 0; i < res.working_count && !atomic_load(&res.stop); i++) {
        bring(res.working[i]);
    }
    for (uint32_t i = 0; i < res.count && !atomic_load(&res.stop); i++) {
        if (atomic_load(&res.state[i]) != THERE) {
            if (res.chunks[i].pages) {
                bring(i);
            } else {
                bring_zeroes(i);
            }
        }
    }
    atomic_store(&res.thread_done, true);
    loop_defer(all_there, NULL);
    return NULL;
}

static void start_thread(void)
{
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    res.thread_runs = pthread_create(&res.thread, NULL, bring_all, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!res.thread_runs) {
        restore_wait(); /* then all of it now */
    }
}

/* ---- from the loading side ---- */

/* Empties RAM where that is quick. */
static bool empty_ram(void)
{
    struct stat st;

    if (fstat(memory_ram_fd(), &st) < 0 || (uint64_t)st.st_blocks * 512 > PUNCH_AT_ONCE) {
        return false;
    }
    return fallocate(memory_ram_fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                     (off_t)memory_ram_used()) == 0;
}

/* What devices reach directly; most of it, video memory, is zero. */
static void bring_devices_memory(void)
{
    uint64_t first = memory_main_bytes() >> CHUNK_BITS, start = first << CHUNK_BITS;

    if (!res.empty && start < memory_ram_used() &&
        fallocate(memory_ram_fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)start,
                  (off_t)(memory_ram_used() - start)) == 0) {
        for (uint64_t i = first; i < res.count; i++) {
            atomic_store(&res.state[i], res.chunks[i].pages ? ABSENT : THERE);
        }
    }
    for (uint64_t i = first; i < res.count; i++) {
        if (atomic_load(&res.state[i]) != THERE) {
            bring((uint32_t)i);
        }
    }
}

/* All code and every TLB entry is of the old RAM. */
static void forget_old_ram(void)
{
    for (unsigned i = 0; i < vcpu_count(); i++) {
        tlb_flush(vcpu_env(i));
        exec_flush_code(vcpu_env(i));
    }
    if (memory_dirty_set(0, memory_ram_used())) {
        memory_code_told();
    }
}

bool restore_begin(SnapshotSource *source, Chunk *chunks, uint32_t *working, uint32_t working_count,
                   bool all, Error **errp)
{
    restore_stop();
    free((void *)res.state);
    res = (Restore){
        .source = source,
        .chunks = chunks,
        .count = snapshot_chunks(memory_ram_used()),
        .working = working,
        .working_count = working_count,
        .active = true,
    };
    res.state = calloc(res.count ? res.count : 1, 1);
    if (!res.state) {
        abort();
    }
    res.empty = empty_ram();
    for (uint32_t i = 0; i < res.count; i++) {
        res.state[i] = res.empty && !chunks[i].pages ? THERE : ABSENT;
    }
    bring_devices_memory();
    for (uint32_t i = 0; all && i < res.count; i++) {
        if (atomic_load(&res.state[i]) != THERE) {
            bring(i);
        }
    }
    forget_old_ram();
    if (atomic_load(&res.failed)) {
        error_set(errp, "the machine state's RAM is damaged");
        restore_stop();
        return false;
    }
    if (all) {
        restore_wait();
        return true;
    }
    memory_set_ram_hooks(before_access, NULL);
    start_thread();
    return true;
}

bool restore_active(void)
{
    return res.active;
}

/* The state table stays for a vCPU that is inside of the hook. */
static void finish(void)
{
    if (res.thread_runs) {
        pthread_join(res.thread, NULL);
    }
    memory_set_ram_hooks(NULL, NULL);
    while (atomic_load(&res.inside)) {
        sched_yield(); /* a vCPU unpacks what another thread has brought meanwhile */
    }
    source_close(res.source);
    free(res.chunks);
    free(res.working);
    res.source = NULL;
    res.chunks = NULL;
    res.working = NULL;
    res.thread_runs = false;
    res.active = false;
}

void restore_wait(void)
{
    if (!res.active) {
        return;
    }
    for (uint32_t i = 0; i < res.count; i++) {
        if (atomic_load(&res.state[i]) != THERE) {
            bring(i);
        }
    }
    finish();
}

void restore_stop(void)
{
    if (res.active) {
        atomic_store(&res.stop, true);
        finish();
    }
}
