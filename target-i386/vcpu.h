/*
 * vCPU threads: one thread a CPU that only runs guest code; kicks, halting, stopping, exclusive
 * sections.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_VCPU_H
#define TARGET_I386_VCPU_H

#include "target-i386/cpu.h"

/* Makes the CPUs (stopped) by the model's text. Main thread. False on a bad model. */
bool vcpu_create_all(unsigned count, const char *model, Error **errp);
/* Starts the threads; they wait until vcpu_resume_all(). */
bool vcpu_start_threads(Error **errp);
unsigned vcpu_count(void);
CPUX86State *vcpu_env(unsigned index);

/* Main thread, machine lock held. After vcpu_pause_all() no vCPU runs guest code or touches a
 * device. */
void vcpu_pause_all(void);
void vcpu_resume_all(void);
/*
 * For debuggers: while held, a vCPU stays out of guest code although the others run. A vCPU that
 * stops at a breakpoint or after a step holds itself. Main thread, vCPUs paused.
 */
void vcpu_hold(unsigned index, bool hold);
/* Ends the threads. */
void vcpu_stop_threads(void);
/* Resets all CPUs to power-on; vCPUs paused. */
void vcpu_reset_all(void);

/* Out of guest code at the next chance, or out of HLT. Any thread. */
void vcpu_kick(CPUX86State *env);
/*
 * Has the vCPU look at its interrupt controller's clock (CpuIntController.catch_up) at `ns` on the host's clock, on its own thread, so that
 * a timer's interrupt need not wait until the host lets the main thread run. There is one alarm, which may come when it is
 * no longer wanted. Does nothing if it is set to that time. False: there will be none, somebody else has to look. The machine lock is held.
 */
bool vcpu_set_alarm(CPUX86State *env, int64_t ns);
/*
 * Queues fn(env, data) to run on the vCPU's own thread before it executes anything further. Any
 * thread, no lock needed; data is fn's to free.
 */
void vcpu_queue_work(CPUX86State *env, void (*fn)(CPUX86State *env, void *data), void *data);
/* Own thread: runs what was queued. Called by the execution loop when CPU_INTERRUPT_WORK is set. */
void vcpu_run_queued_work(CPUX86State *env);

/*
 * A vCPU passes when no write of its own is under way: between instructions, or out of guest code. Whether all others
 * have passed since the epoch (hw/memory.h): then none writes to pages watched by then without saying so, and all
 * that they wrote before can be read.
 */
void vcpu_passes(CPUX86State *env);
bool vcpu_others_passed(const CPUX86State *env, uint64_t epoch);

/* The guest executes PAUSE: after many of them in a row the thread gives way to others. Own thread. */
void vcpu_spins(CPUX86State *env);

/*
 * Between these two, called on a vCPU thread in guest code without the machine lock, no other vCPU
 * executes guest code: for locked accesses that a host atomic cannot do.
 */
void vcpu_exclusive_begin(void);
void vcpu_exclusive_end(void);

#endif
