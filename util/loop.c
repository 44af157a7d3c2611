/*
 * The main loop. File descriptors hang in an epoll instance, timers in one binary heap a clock, and
 * deferred calls in a list whose eventfd wakes the loop.
 *
 * A turn is: work out how long to sleep; give up the machine lock, sleep in epoll, take it again;
 * then handle descriptors, timers and deferred calls. All of it may be entered again from a
 * callback that waits for something synchronously, so nothing is kept in a turn that an inner turn
 * could spoil.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "util/error.h"

/* ---- waking ---- */

static int epoll_fd = -1, wake_fd = -1;

static void wake(void)
{
    if (wake_fd >= 0) {
        eventfd_write(wake_fd, 1);
    }
}

/* ---- clocks ---- */

/* The virtual clock is host time plus virtual_offset while it runs, else virtual_offset itself.
   Written with the machine lock held, read by anybody: clock_seq is odd while it changes. */
static _Atomic unsigned clock_seq;
static _Atomic bool virtual_running;
static _Atomic int64_t virtual_offset;

static _Atomic bool stepped;
static _Atomic int64_t stepped_now[CLOCK_TYPES];

static int64_t host_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

int64_t clock_now(ClockType clock)
{
    if (atomic_load_explicit(&stepped, memory_order_relaxed)) {
        return atomic_load(&stepped_now[clock]);
    }
    if (clock == CLOCK_HOST) {
        return host_now();
    }
    unsigned seq;
    int64_t now;
    do {
        seq = atomic_load_explicit(&clock_seq, memory_order_acquire);
        bool running = atomic_load_explicit(&virtual_running, memory_order_relaxed);
        now = atomic_load_explicit(&virtual_offset, memory_order_relaxed);
        if (running) {
            now += host_now();
        }
        atomic_thread_fence(memory_order_acquire);
    } while ((seq & 1) || seq != atomic_load_explicit(&clock_seq, memory_order_relaxed));
    return now;
}

int64_t clock_to_host(ClockType clock, int64_t ns)
{
    int64_t host = ns;

    if (atomic_load(&stepped) || (clock == CLOCK_VIRTUAL && !atomic_load(&virtual_running)) ||
        (clock == CLOCK_VIRTUAL && __builtin_sub_overflow(ns, atomic_load(&virtual_offset), &host))) {
        return INT64_MAX;
    }
    return host;
}

static void set_virtual(bool running, int64_t now)
{
    atomic_fetch_add(&clock_seq, 1);
    atomic_store(&virtual_running, running);
    atomic_store(&virtual_offset, running ? now - host_now() : now);
    atomic_fetch_add(&clock_seq, 1);
    if (atomic_load(&stepped)) {
        atomic_store(&stepped_now[CLOCK_VIRTUAL], now);
    }
    wake();
}

void clock_virtual_run(bool running)
{
    if (running != atomic_load(&virtual_running)) {
        set_virtual(running, clock_now(CLOCK_VIRTUAL));
    }
}

bool clock_virtual_running(void)
{
    return atomic_load(&virtual_running);
}

void clock_virtual_set(int64_t ns)
{
    set_virtual(atomic_load(&virtual_running), ns);
}

void clock_use_stepped(void)
{
    for (ClockType c = 0; c < CLOCK_TYPES; c++) {
        atomic_store(&stepped_now[c], clock_now(c));
    }
    atomic_store(&virtual_running, true);
    atomic_store(&stepped, true);
}

/* ---- timers ---- */

typedef struct TimerHeap {
    Timer **timers;
    unsigned count, capacity;
} TimerHeap;

static TimerHeap heaps[CLOCK_TYPES];

/* While the loop sleeps: the deadline on the host's clock at which it will wake by itself; else
 * INT64_MIN. */
static int64_t sleeping_until = INT64_MIN;

static void heap_place(TimerHeap *h, unsigned i, Timer *t)
{
    h->timers[i] = t;
    t->heap_index = i;
}

static void heap_up(TimerHeap *h, unsigned i, Timer *t)
{
    while (i > 0 && h->timers[(i - 1) / 2]->wake > t->wake) {
        heap_place(h, i, h->timers[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_place(h, i, t);
}

static void heap_down(TimerHeap *h, unsigned i, Timer *t)
{
    for (;;) {
        unsigned child = 2 * i + 1;
        if (child >= h->count) {
            break;
        }
        if (child + 1 < h->count && h->timers[child + 1]->wake < h->timers[child]->wake) {
            child++;
        }
        if (h->timers[child]->wake >= t->wake) {
            break;
        }
        heap_place(h, i, h->timers[child]);
        i = child;
    }
    heap_place(h, i, t);
}

static void heap_insert(TimerHeap *h, Timer *t)
{
    if (h->count == h->capacity) {
        h->capacity = h->capacity ? 2 * h->capacity : 32;
        h->timers = realloc(h->timers, h->capacity * sizeof(*h->timers));
        if (!h->timers) {
            abort();
        }
    }
    heap_up(h, h->count++, t);
}

static void heap_remove(TimerHeap *h, Timer *t)
{
    unsigned i = t->heap_index;
    Timer *last = h->timers[--h->count];

    if (last == t) {
        return;
    }
    if (i > 0 && h->timers[(i - 1) / 2]->wake > last->wake) {
        heap_up(h, i, last);
    } else {
        heap_down(h, i, last);
    }
}

/* When the clock's first timer has to be looked at, on the host's clock; INT64_MAX: never. */
static int64_t first_wake(ClockType clock)
{
    TimerHeap *h = &heaps[clock];

    return h->count ? clock_to_host(clock, h->timers[0]->wake) : INT64_MAX;
}

void timer_init(Timer *t, ClockType clock, TimerCallback *callback, void *opaque)
{
    *t = (Timer){.clock = clock, .deadline = -1, .callback = callback, .opaque = opaque};
}

void timer_set_backup(Timer *t, int64_t deadline_ns, int64_t later_ns)
{
    TimerHeap *h = &heaps[t->clock];

    if (timer_pending(t)) {
        heap_remove(h, t);
    }
    t->deadline = deadline_ns > 0 ? deadline_ns : 0;
    if (__builtin_add_overflow(t->deadline, later_ns, &t->wake)) {
        t->wake = INT64_MAX;
    }
    heap_insert(h, t);
    if (t->heap_index == 0 && sleeping_until != INT64_MIN &&
        first_wake(t->clock) < sleeping_until) {
        sleeping_until = INT64_MIN; /* woken once is enough */
        wake();
    }
}

void timer_set(Timer *t, int64_t deadline_ns)
{
    timer_set_backup(t, deadline_ns, 0);
}

void timer_cancel(Timer *t)
{
    if (timer_pending(t)) {
        heap_remove(&heaps[t->clock], t);
        t->deadline = -1;
    }
}

static void fire(Timer *t)
{
    timer_cancel(t);
    t->callback(t->opaque);
}

/* A timer that its callback sets to a time already past waits for the next turn. */
static void run_due_timers(void)
{
    for (ClockType c = 0; c < CLOCK_TYPES; c++) {
        TimerHeap *h = &heaps[c];
        if (h->count == 0 || (c == CLOCK_VIRTUAL && !atomic_load(&virtual_running))) {
            continue;
        }
        int64_t now = clock_now(c);
        for (unsigned budget = h->count; budget && h->count; budget--) {
            if (h->timers[0]->wake > now) {
                break;
            }
            fire(h->timers[0]);
        }
    }
}

/* How far clock c has to go to its first timer; INT64_MAX: it does not get there. */
static int64_t steps_to_first(ClockType c)
{
    if (heaps[c].count == 0 || (c == CLOCK_VIRTUAL && !atomic_load(&virtual_running))) {
        return INT64_MAX;
    }
    int64_t ns = heaps[c].timers[0]->wake - atomic_load(&stepped_now[c]);
    return ns > 0 ? ns : 0;
}

static void advance_stepped(int64_t ns)
{
    atomic_fetch_add(&stepped_now[CLOCK_HOST], ns);
    if (atomic_load(&virtual_running)) {
        atomic_fetch_add(&stepped_now[CLOCK_VIRTUAL], ns);
    }
}

void clock_step(int64_t ns)
{
    for (;;) {
        ClockType c =
            steps_to_first(CLOCK_VIRTUAL) < steps_to_first(CLOCK_HOST) ? CLOCK_VIRTUAL : CLOCK_HOST;
        int64_t wait = steps_to_first(c);
        if (wait > ns) {
            break;
        }
        advance_stepped(wait);
        ns -= wait;
        fire(heaps[c].timers[0]);
    }
    advance_stepped(ns);
}

/* ---- file descriptors ---- */

typedef struct FdHandler {
    FdCallback *on_read, *on_write;
    void *opaque;
    uint32_t generation; /* tells an event of an earlier owner of this number */
    bool in_epoll;
    bool always_ready; /* a regular file or the like: epoll does not take it */
} FdHandler;

static FdHandler *fd_handlers;
static int fd_handlers_size;
static unsigned always_ready_fds;

static FdHandler *fd_handler(int fd)
{
    if (fd >= fd_handlers_size) {
        int size = fd_handlers_size ? fd_handlers_size : 64;
        while (size <= fd) {
            size *= 2;
        }
        fd_handlers = realloc(fd_handlers, (size_t)size * sizeof(*fd_handlers));
        if (!fd_handlers) {
            abort();
        }
        memset(fd_handlers + fd_handlers_size, 0,
               (size_t)(size - fd_handlers_size) * sizeof(*fd_handlers));
        fd_handlers_size = size;
    }
    return &fd_handlers[fd];
}

static void fd_forget(FdHandler *h, int fd)
{
    if (h->in_epoll) {
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    }
    always_ready_fds -= h->always_ready;
    *h = (FdHandler){.generation = h->generation + 1};
}

void loop_set_fd(int fd, FdCallback *on_read, FdCallback *on_write, void *opaque)
{
    if (fd < 0) {
        return;
    }
    if (epoll_fd < 0) {
        loop_init();
    }
    FdHandler *h = fd_handler(fd);
    if (!on_read && !on_write) {
        fd_forget(h, fd);
        return;
    }
    h->on_read = on_read;
    h->on_write = on_write;
    h->opaque = opaque;
    if (h->always_ready) {
        return;
    }
    struct epoll_event ev = {
        .events = (on_read ? EPOLLIN : 0u) | (on_write ? EPOLLOUT : 0u),
        .data.u64 = (uint64_t)h->generation << 32 | (uint32_t)fd,
    };
    /* A descriptor that was closed without notice has left epoll by itself. */
    if (h->in_epoll && epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &ev) == 0) {
        return;
    }
    h->in_epoll = epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0;
    if (!h->in_epoll && errno == EPERM) {
        h->always_ready = true;
        always_ready_fds++;
    } else if (!h->in_epoll) {
        error_report("internal error: cannot watch file descriptor %d: %s", fd, strerror(errno));
    }
}

static void dispatch_fd(int fd, uint32_t generation, uint32_t events)
{
    FdHandler *h = &fd_handlers[fd];

    if (h->generation != generation) {
        return;
    }
    bool error = events & (EPOLLERR | EPOLLHUP);
    bool readable = (events & EPOLLIN) || (error && h->on_read);
    bool writable = (events & EPOLLOUT) || (error && !h->on_read);
    if (readable && h->on_read) {
        h->on_read(h->opaque);
        /* The table may have moved, and the handler may be gone. */
        h = &fd_handlers[fd];
    }
    if (writable && h->generation == generation && h->on_write) {
        h->on_write(h->opaque);
    }
}

static void dispatch_always_ready(void)
{
    for (int fd = 0; always_ready_fds && fd < fd_handlers_size; fd++) {
        if (fd_handlers[fd].always_ready) {
            dispatch_fd(fd, fd_handlers[fd].generation, EPOLLIN | EPOLLOUT);
        }
    }
}

/* ---- deferred calls ---- */

typedef struct DeferredCall {
    struct DeferredCall *next;
    void (*callback)(void *opaque);
    void *opaque;
    uint64_t number;
} DeferredCall;

static pthread_mutex_t deferred_mutex = PTHREAD_MUTEX_INITIALIZER;
static DeferredCall *deferred, **deferred_tail = &deferred;
static uint64_t deferred_count; /* ever */

void loop_defer(void (*callback)(void *opaque), void *opaque)
{
    DeferredCall *call = malloc(sizeof(*call));

    if (!call) {
        abort();
    }
    *call = (DeferredCall){.callback = callback, .opaque = opaque};
    pthread_mutex_lock(&deferred_mutex);
    bool first = !deferred;
    call->number = deferred_count++;
    *deferred_tail = call;
    deferred_tail = &call->next;
    pthread_mutex_unlock(&deferred_mutex);
    if (first) {
        wake();
    }
}

static DeferredCall *take_deferred(uint64_t before)
{
    pthread_mutex_lock(&deferred_mutex);
    DeferredCall *call = deferred && deferred->number < before ? deferred : NULL;
    if (call) {
        deferred = call->next;
        if (!deferred) {
            deferred_tail = &deferred;
        }
    }
    pthread_mutex_unlock(&deferred_mutex);
    return call;
}

/* Those deferred by now; what they defer in turn waits for the next turn. */
static void run_deferred(void)
{
    pthread_mutex_lock(&deferred_mutex);
    uint64_t before = deferred_count;
    pthread_mutex_unlock(&deferred_mutex);
    for (;;) {
        DeferredCall *call = take_deferred(before);
        if (!call) {
            return;
        }
        void (*callback)(void *opaque) = call->callback;
        void *opaque = call->opaque;
        free(call);
        callback(opaque);
    }
}

static bool have_deferred(void)
{
    pthread_mutex_lock(&deferred_mutex);
    bool have = deferred != NULL;
    pthread_mutex_unlock(&deferred_mutex);
    return have;
}

/* ---- running ---- */

static _Atomic bool quit_requested;
static _Atomic int quit_status;

static void woken(void *opaque)
{
    eventfd_t count;

    eventfd_read(wake_fd, &count);
}

static pthread_t main_thread;

bool loop_on_main_thread(void)
{
    return epoll_fd >= 0 && pthread_equal(pthread_self(), main_thread);
}

void loop_init(void)
{
    if (epoll_fd >= 0) {
        return;
    }
    main_thread = pthread_self();
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (epoll_fd < 0 || wake_fd < 0) {
        error_exit("cannot set up the main loop: %s", strerror(errno));
    }
    /* The kernel lets sleeps of this thread run 50 us over to batch wake-ups: not with guest
     * timers. */
    prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
    loop_set_fd(wake_fd, woken, NULL, NULL);
}

enum { EVENTS_A_TURN = 64 };

/* Sleeps until something is ready or the host's clock shows `until`. */
static int wait_for_events(struct epoll_event *events, int64_t until)
{
    struct timespec ts, *timeout = NULL;

    if (until != INT64_MAX) {
        int64_t ns = until == 0 ? 0 : until - host_now();
        ns = ns > 0 ? ns : 0;
        ts = (struct timespec){.tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC};
        timeout = &ts;
    }
    int n = epoll_pwait2(epoll_fd, events, EVENTS_A_TURN, timeout, NULL);
    if (n < 0 && errno == ENOSYS) { /* Linux before 5.11: milliseconds, rounded up */
        int ms = timeout ? (int)(ts.tv_sec < 1000000 ? ts.tv_sec * 1000 : 1000000000) : -1;
        if (timeout) {
            ms += (int)((ts.tv_nsec + NS_PER_MS - 1) / NS_PER_MS);
        }
        n = epoll_wait(epoll_fd, events, EVENTS_A_TURN, ms);
    }
    return n;
}

/* The end of this turn's sleep on the host's clock: 0 not to sleep at all, INT64_MAX for ever. */
static int64_t sleep_end(int timeout_ms)
{
    if (timeout_ms == 0 || have_deferred() || always_ready_fds || atomic_load(&quit_requested)) {
        return 0;
    }
    int64_t end = timeout_ms < 0 ? INT64_MAX : host_now() + timeout_ms * NS_PER_MS;
    for (ClockType c = 0; c < CLOCK_TYPES; c++) {
        int64_t first = first_wake(c);
        if (first < end) {
            end = first > 0 ? first : 0;
        }
    }
    return end;
}

static bool (*idle)(void);

void loop_set_idle(bool (*fn)(void))
{
    idle = fn;
}

static void one_turn(int timeout_ms)
{
    struct epoll_event events[EVENTS_A_TURN];

    int64_t end = sleep_end(timeout_ms);
    if (end != 0 && idle && idle()) {
        end = 0;
    }
    sleeping_until = end;
    machine_unlock();
    int n = wait_for_events(events, end);
    machine_lock();
    sleeping_until = INT64_MIN;
    for (int i = 0; i < n; i++) {
        dispatch_fd((int)(uint32_t)events[i].data.u64, (uint32_t)(events[i].data.u64 >> 32),
                    events[i].events);
    }
    dispatch_always_ready();
    run_due_timers();
    run_deferred();
}

void loop_run_once(int timeout_ms)
{
    bool locked = machine_lock_held();

    loop_init();
    if (!locked) {
        machine_lock();
    }
    one_turn(timeout_ms);
    if (!locked) {
        machine_unlock();
    }
}

int loop_run(void)
{
    bool locked = machine_lock_held();

    loop_init();
    if (!locked) {
        machine_lock();
    }
    while (!atomic_load(&quit_requested)) {
        one_turn(-1);
    }
    atomic_store(&quit_requested, false);
    if (!locked) {
        machine_unlock();
    }
    return atomic_load(&quit_status);
}

void loop_quit(int status)
{
    atomic_store(&quit_status, status);
    atomic_store(&quit_requested, true);
    wake();
}
