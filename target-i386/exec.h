/*
 * The reference executor: one Insn on the CPU state; and the loop that runs a vCPU with it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_EXEC_H
#define TARGET_I386_EXEC_H

#include "target-i386/cpu.h"

/* Each executor file lists its handlers; exec.c gathers them by op at start. */
typedef struct ExecEntry {
    uint16_t op;
    InsnExec *handler;
} ExecEntry;
extern const ExecEntry exec_integer_entries[];  /* exec-integer.c ...; end with a NULL handler */
extern const ExecEntry exec_string_entries[];
extern const ExecEntry exec_control_entries[];  /* near jumps, calls, loops, flags */
extern const ExecEntry exec_x87_entries[];
extern const ExecEntry exec_vector_entries[];
extern const ExecEntry exec_system_entries[];   /* segments, far transfers, control registers, MSRs ... */

void exec_init(void); /* once */

typedef enum CpuExit {
    CPU_EXIT_KICK,  /* exit_request: somebody wants the thread */
    CPU_EXIT_HALT,  /* HLT with nothing pending, or waiting for SIPI */
    CPU_EXIT_RESET, /* triple fault */
    CPU_EXIT_DEBUG, /* debugger breakpoint or step */
} CpuExit;

/* Runs guest code on the calling vCPU thread, machine lock not held, until there is a reason to leave. */
CpuExit cpu_exec(CPUX86State *env);
/* Executes exactly one instruction (or delivers one event): for lockstep, tests and debuggers. */
CpuExit cpu_exec_one(CPUX86State *env);

/* Decoded code upkeep. Own thread: */
void exec_flush_code(CPUX86State *env);
void exec_invalidate_code(CPUX86State *env, ram_addr addr, uint64_t size);

/* ---- helpers shared by the executor's files ---- */
/* The memory operand's offset, cut to the address size; insn->seg is its segment. */
uint64_t exec_effective_address(CPUX86State *env, const Insn *insn);

#endif
