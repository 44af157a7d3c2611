/*
 * Coroutines on stacks of their own.
 *
 * A switch saves what the x86-64 calling convention says a callee keeps (rbx, rbp, r12 to r15) on
 * the stack that is left and takes the same from the one that is entered. MXCSR and the x87 control
 * word are the same in all of the main thread's code and stay. Below each stack lies a page nobody
 * may touch, and stacks of ended coroutines are kept for the next ones.
 *
 * AddressSanitizer keeps a picture of the stack in use and is told of each switch.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/coroutine.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "util/error.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define unpoison(p, n)                   ASAN_UNPOISON_MEMORY_REGION(p, n)
#define fiber_leave(save, bottom, size)  __sanitizer_start_switch_fiber(save, bottom, size)
#define fiber_enter(saved, bottom, size) __sanitizer_finish_switch_fiber(saved, bottom, size)
#else
#define unpoison(p, n)                   ((void)0)
#define fiber_leave(save, bottom, size)  ((void)(save))
#define fiber_enter(saved, bottom, size) ((void)(saved))
#endif

/* Only pages that were used cost memory. */
enum { STACK_SIZE = 256 * 1024, GUARD_SIZE = 4096, POOL_MAX = 64 };

struct Coroutine {
    void *sp;
    uint8_t *map;      /* guard page, then the stack */
    Coroutine *caller; /* who entered it; NULL: it does not run */
    bool entered, ended;
    CoroutineEntry *entry;
    void *opaque;
    Coroutine *next; /* in the pool, or in the list of those to be woken */
    bool woken;
    void *fake_stack; /* AddressSanitizer's */
};

/* The main thread's own stack. */
static Coroutine outside;
static const void *outside_bottom;
static size_t outside_size;

static Coroutine *current = &outside;
static Coroutine *pool;
static unsigned pooled;
static Coroutine *woken_first, **woken_last = &woken_first;

/* void co_switch(void **save_sp, void *new_sp) */
void co_switch(void **save_sp, void *new_sp);
__asm__(".text\n"
        ".type co_switch, @function\n"
        "co_switch:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size co_switch, .-co_switch\n");

static void switch_to(Coroutine *from, Coroutine *to)
{
    current = to;
    fiber_leave(from->ended ? NULL : &from->fake_stack,
                to->map ? to->map + GUARD_SIZE : outside_bottom,
                to->map ? STACK_SIZE : outside_size);
    co_switch(&from->sp, to->sp);
    fiber_enter(from->fake_stack, NULL, NULL);
}

/* The first function on each stack. */
static void co_main(void)
{
    const void *bottom = NULL;
    size_t size = 0;

    fiber_enter(NULL, &bottom, &size);
    if (current->caller == &outside) {
        outside_bottom = bottom;
        outside_size = size;
    }
    Coroutine *self = current;
    self->entry(self->opaque);
    self->ended = true;
    switch_to(self, self->caller);
    abort();
}

static void make_stack(Coroutine *co)
{
    co->map = mmap(NULL, GUARD_SIZE + STACK_SIZE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (co->map == MAP_FAILED || mprotect(co->map, GUARD_SIZE, PROT_NONE) < 0) {
        error_report("out of memory");
        abort();
    }
}

Coroutine *coroutine_create(CoroutineEntry *entry, void *opaque)
{
    Coroutine *co = pool;

    if (co) {
        pool = co->next;
        pooled--;
        unpoison(co->map + GUARD_SIZE, STACK_SIZE);
    } else {
        co = calloc(1, sizeof(*co));
        if (!co) {
            error_report("out of memory");
            abort();
        }
        make_stack(co);
    }
    /* What co_switch() pops: six registers, the address of co_main, and its caller's: nobody. The
       stack pointer is 8 past a multiple of 16 there, as after a call. */
    uintptr_t *top = (uintptr_t *)(co->map + GUARD_SIZE + STACK_SIZE) - 3;
    top[0] = 0;
    top[-1] = (uintptr_t)co_main;
    for (int i = 2; i <= 7; i++) {
        top[-i] = 0;
    }
    co->sp = top - 7;
    co->ended = co->woken = false;
    co->caller = NULL;
    co->fake_stack = NULL;
    co->entry = entry;
    co->opaque = opaque;
    return co;
}

static void co_free(Coroutine *co)
{
    if (pooled < POOL_MAX) {
        co->next = pool;
        pool = co;
        pooled++;
    } else {
        munmap(co->map, GUARD_SIZE + STACK_SIZE);
        free(co);
    }
}

static void enter(Coroutine *co)
{
    if (co->caller) {
        error_report("internal error: a coroutine is entered that runs already");
        abort();
    }
    co->caller = current;
    switch_to(current, co);
    if (co->ended) {
        co_free(co);
    }
}

static void enter_woken(void)
{
    while (current == &outside && woken_first) {
        Coroutine *co = woken_first;
        woken_first = co->next;
        if (!woken_first) {
            woken_last = &woken_first;
        }
        co->woken = false;
        enter(co);
    }
}

void coroutine_enter(Coroutine *co)
{
    enter(co);
    enter_woken();
}

void coroutine_yield(void)
{
    Coroutine *self = current, *to = self->caller;

    if (!to) {
        error_report("internal error: a yield outside of any coroutine");
        abort();
    }
    self->caller = NULL;
    switch_to(self, to);
}

void coroutine_wake(Coroutine *co)
{
    if (co->woken) {
        error_report("internal error: a coroutine is woken twice");
        abort();
    }
    co->woken = true;
    co->next = NULL;
    *woken_last = co;
    woken_last = &co->next;
    enter_woken();
}

Coroutine *coroutine_self(void)
{
    return current == &outside ? NULL : current;
}

static void wake_callback(void *opaque)
{
    coroutine_wake(opaque);
}

void coroutine_sleep(ClockType clock, int64_t ns)
{
    Timer timer;

    timer_init(&timer, clock, wake_callback, current);
    timer_set(&timer, clock_now(clock) + ns);
    coroutine_yield();
}

typedef struct Run {
    CoroutineEntry *entry;
    void *opaque;
    bool done;
} Run;

static void run_entry(void *opaque)
{
    Run *run = opaque;

    run->entry(run->opaque);
    run->done = true;
}

void coroutine_run(CoroutineEntry *entry, void *opaque)
{
    Run run = {entry, opaque, false};

    if (coroutine_self()) {
        entry(opaque);
        return;
    }
    coroutine_enter(coroutine_create(run_entry, &run));
    while (!run.done) {
        loop_run_once(-1);
    }
}

/* ---- queues ---- */

static void queue_put(CoQueue *q, CoWaiter *w)
{
    w->co = current;
    w->next = NULL;
    if (q->last) {
        q->last->next = w;
    } else {
        q->first = w;
    }
    q->last = w;
}

static Coroutine *queue_take(CoQueue *q)
{
    CoWaiter *w = q->first;

    q->first = w->next;
    if (!q->first) {
        q->last = NULL;
    }
    return w->co;
}

void co_queue_wait(CoQueue *q)
{
    CoWaiter w = {0};

    queue_put(q, &w);
    coroutine_yield();
}

bool co_queue_next(CoQueue *q)
{
    if (!q->first) {
        return false;
    }
    coroutine_wake(queue_take(q));
    return true;
}

void co_queue_all(CoQueue *q)
{
    CoQueue now = *q;

    *q = (CoQueue){0};
    while (now.first) {
        coroutine_wake(queue_take(&now));
    }
}

/* ---- locks ---- */

void co_mutex_lock(CoMutex *m)
{
    if (m->owner) {
        co_queue_wait(&m->waiting);
        return; /* handed over: owner is us */
    }
    m->owner = current;
}

void co_mutex_unlock(CoMutex *m)
{
    if (m->owner != current) {
        error_report("internal error: a coroutine unlocks what it did not lock");
        abort();
    }
    m->owner = m->waiting.first ? m->waiting.first->co : NULL;
    co_queue_next(&m->waiting);
}

/* Lets in who is first, and if that is a reader, the readers behind it. */
static void rwlock_admit(CoRwLock *l)
{
    while (l->waiting.first && !l->writing) {
        bool exclusive = l->waiting.first->exclusive;
        if (exclusive && l->readers) {
            return;
        }
        if (exclusive) {
            l->writing = true;
        } else {
            l->readers++;
        }
        co_queue_next(&l->waiting);
    }
}

static void rwlock_wait(CoRwLock *l, bool exclusive)
{
    CoWaiter w = {.exclusive = exclusive};

    queue_put(&l->waiting, &w);
    coroutine_yield();
}

void co_rwlock_rdlock(CoRwLock *l)
{
    if (l->writing || l->waiting.first) {
        rwlock_wait(l, false);
    } else {
        l->readers++;
    }
}

void co_rwlock_wrlock(CoRwLock *l)
{
    if (l->writing || l->readers || l->waiting.first) {
        rwlock_wait(l, true);
    } else {
        l->writing = true;
    }
}

void co_rwlock_unlock(CoRwLock *l)
{
    if (l->writing) {
        l->writing = false;
    } else {
        l->readers--;
    }
    rwlock_admit(l);
}
