/*
 * The one main loop: file descriptors (epoll), timers on two clocks, deferred calls; and the
 * machine lock.
 *
 * Every callback here runs on the main thread with the machine lock held. The lock is given up only
 * while the loop sleeps in epoll_wait. All functions but those said otherwise need the lock, so a
 * device that a vCPU thread has entered may set its timers at once; the loop is woken if the
 * nearest deadline came nearer.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef UTIL_LOOP_H
#define UTIL_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#define NS_PER_SEC 1000000000LL
#define NS_PER_MS  1000000LL
#define NS_PER_US  1000LL

/* ---- the machine lock ---- */
void machine_lock(void);
void machine_unlock(void);
bool machine_lock_held(void); /* by the calling thread */

/* ---- clocks ---- */
typedef enum ClockType {
    CLOCK_HOST,    /* CLOCK_MONOTONIC of the host, ns: never stops */
    CLOCK_VIRTUAL, /* the guest's time, ns since machine start: stands still while the guest is
                      stopped */
    CLOCK_TYPES
} ClockType;

/* Lock-free, from any thread. */
int64_t clock_now(ClockType clock);
/* Starts or stops the virtual clock; starting twice or stopping twice does nothing. */
void clock_virtual_run(bool running);
bool clock_virtual_running(void);
/* The time on the host's clock at which `clock` shows ns; INT64_MAX: it stands still, or moves by steps only. */
int64_t clock_to_host(ClockType clock, int64_t ns);
/* Moves the virtual clock to `ns` (after loading a snapshot). */
void clock_virtual_set(int64_t ns);
/*
 * For tests: from now on both clocks stand still and move only by clock_step(), which runs the
 * timers that become due, in order of their deadlines, with the clock showing each deadline.
 */
void clock_use_stepped(void);
void clock_step(int64_t ns);

/* ---- timers ---- */
typedef void TimerCallback(void *opaque);

/* Embedded in the device's struct, so that the saved state can reach the deadline. */
typedef struct Timer {
    ClockType clock;
    int64_t deadline; /* ns on its clock; -1: not set */
    TimerCallback *callback;
    void *opaque;
    int64_t wake;        /* the loop's: when it has to look; the deadline or later */
    unsigned heap_index; /* the loop's */
} Timer;

void timer_init(Timer *t, ClockType clock, TimerCallback *callback, void *opaque);
/* Sets or moves the deadline; a deadline in the past fires at the loop's next turn. One shot. */
void timer_set(Timer *t, int64_t deadline_ns);
/* The same for a timer that another thread looks at when it is due: the loop does that so many ns later, if it still is set. */
void timer_set_backup(Timer *t, int64_t deadline_ns, int64_t later_ns);
void timer_cancel(Timer *t);
static inline bool timer_pending(const Timer *t)
{
    return t->deadline >= 0;
}

/* ---- file descriptors ---- */
typedef void FdCallback(void *opaque);

/*
 * Watches fd; a NULL callback is not watched for. Calling again replaces, both NULL removes. Error
 * and hang-up are reported to on_read (or on_write where there is no on_read). The fd stays the
 * caller's.
 */
void loop_set_fd(int fd, FdCallback *on_read, FdCallback *on_write, void *opaque);

/* ---- deferred calls ---- */
/*
 * Runs callback(opaque) once at the loop's next turn. Needs no lock; from any thread. Calls run in
 * the order they were deferred.
 */
void loop_defer(void (*callback)(void *opaque), void *opaque);

/* ---- running ---- */
void loop_init(void); /* once, by the main thread, before anything else here */
/* Whether this is the thread that called loop_init(). */
bool loop_on_main_thread(void);
/* Runs with the lock held until loop_quit(); returns the status given there. */
int loop_run(void);
/* Handles what is ready now, sleeping up to timeout_ms for it (-1: until something is); for
 * synchronous waits such as draining a disk, and for tests. */
void loop_run_once(int timeout_ms);
/* fn is asked before the loop would sleep, with the lock held; true: it did something, so the loop
 * looks first. For programs whose main thread has time to work. */
void loop_set_idle(bool (*fn)(void));
/* From any thread or a callback. */
void loop_quit(int status);

#endif
