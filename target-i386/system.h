/*
 * What the system half of the executor offers to the loop and to the user-mode half.
 *
 * The loop's side of the bargain, between instructions:
 *  - `shadow` is set by STI, MOV SS, POP SS and LSS for the instruction behind them. The loop
 * clears it when it begins that instruction; cpu_poll_interrupts() delivers nothing while it is
 * set.
 *  - While HF_STEP is set, every instruction is bracketed by cpu_insn_begin() and cpu_insn_end(),
 * and pending_db is looked at after each one. Without it, pending_db is looked at where
 * exit_request is: whoever sets pending_db sets exit_request too. RF alone does not set HF_STEP: the loop drops RF
 * before code that is not stepped (exec_drop_rf()).
 *  - HLT sets `halted`; the loop leaves with CPU_EXIT_HALT unless cpu_has_work().
 *  - What changes CPU modes (hflags, decode_mode) does so inside the handler; all those
 * instructions end a block.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_SYSTEM_H
#define TARGET_I386_SYSTEM_H

#include "target-i386/cpu.h"

/* Before the instruction at rip: raises #DB for a code breakpoint on it, clears RF, remembers TF.
 */
void cpu_insn_begin(CPUX86State *env);
/* After it completed and rip moved on: the single-step trap. */
void cpu_insn_end(CPUX86State *env);

/* IN, OUT, INS, OUTS: CPL and IOPL, then the TSS's bitmap. #GP(0) when refused. */
void cpu_check_io(CPUX86State *env, uint16_t port, unsigned size);
/* The same instructions, after the access: I/O breakpoints (CR4.DE) become a pending trap. */
void cpu_debug_io(CPUX86State *env, uint16_t port, unsigned size);
/* #GP(0) unless CPL is 0. */
void cpu_require_cpl0(CPUX86State *env);

/* This CPU has written RAM in one page that somebody watches: everybody hears of it. Own thread. */
void cpu_ram_written(CPUX86State *env, ram_addr addr, uint64_t size);

/* Bits of DR6. */
#define DR6_BD 0x2000u
#define DR6_BS 0x4000u
#define DR6_BT 0x8000u

/* Makes DR6 bits due as a #DB trap after this instruction, and has the loop look. */
void cpu_set_pending_db(CPUX86State *env, uint32_t bits);

#endif
