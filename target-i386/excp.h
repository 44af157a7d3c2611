/*
 * Exceptions and interrupts: raising them inside an instruction, delivering them between instructions.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_EXCP_H
#define TARGET_I386_EXCP_H

#include "target-i386/cpu.h"

/* Faults of the current instruction: rip stays at it. Leaves by longjmp to the execution loop. */
void cpu_raise(CPUX86State *env, int vector) __attribute__((noreturn));
void cpu_raise_error(CPUX86State *env, int vector, uint32_t error) __attribute__((noreturn));
/* #PF: sets CR2. */
void cpu_raise_page_fault(CPUX86State *env, uint64_t linear, uint32_t error) __attribute__((noreturn));

/*
 * Leaves the current instruction undone and sleeps as HLT does: rip stays at it, an interrupt comes back to it.
 * Leaves by longjmp, too.
 */
void cpu_wait(CPUX86State *env) __attribute__((noreturn));

/* How a vector comes about: decides privilege checks, error code push, EXT bit, return address. */
typedef enum IntKind {
    INT_FAULT,     /* exception, returns to rip */
    INT_TRAP,      /* #DB single step, BP by ICEBP: returns to rip (already moved on) */
    INT_SOFT,      /* INT n, INT3, INTO: DPL check, returns to rip_next */
    INT_EXTERNAL,  /* interrupt controller, NMI: returns to rip */
} IntKind;

/*
 * Delivers through the IVT or IDT (gates, task gates, IST, stack switches) in whatever mode the CPU is.
 * Faults on the way raise in turn: called within the loop's setjmp, which turns them into #DF or shutdown.
 */
void cpu_deliver(CPUX86State *env, int vector, IntKind kind, bool has_error, uint32_t error);
/*
 * Called by the loop where cpu_raise() landed: delivers env->excp_vector with contributory/double/triple fault
 * logic. False: triple fault, the machine must reset.
 */
bool cpu_deliver_fault(CPUX86State *env);
/*
 * Called by the loop between instructions when interrupt_request or pending_db is not 0: delivers at most one
 * event by priority (trap, SMI, NMI, INTR...), takes the machine lock where it asks the interrupt
 * controller. True: something was delivered (or the state changed: INIT, SIPI).
 */
bool cpu_poll_interrupts(CPUX86State *env);
/* Whether a halted CPU has a reason to run. Any thread with the machine lock. */
bool cpu_has_work(CPUX86State *env);

#endif
