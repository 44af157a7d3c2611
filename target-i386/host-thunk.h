/*
 * Guest vector and x87 instructions, run as they are on the host.
 *
 * A thunk is a piece of host code made for one instruction: it loads the vector registers the
 * instruction names (or, for x87 and MMX, the whole x87 state by FXRSTOR) from the guest's
 * FpuState, runs the instruction with its memory operand replaced by (%rsi) and a general register
 * replaced by RAX, and stores what was written. Guest MXCSR, FCW and flags are in force just around
 * the instruction. An unmasked exception (SIGFPE) stores no result, only MXCSR (or the x87 state as
 * it stands then), and is reported with the host's trap number.
 *
 * Thunks of one vCPU lie in memory with two mappings, one writable, one executable.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_HOST_THUNK_H
#define TARGET_I386_HOST_THUNK_H

#include "target-i386/cpu.h"

typedef struct HostThunks HostThunks;
typedef struct HostThunk HostThunk;

/* What a thunk exchanges beside the FpuState; its layout is known to the generated code. */
typedef struct HostCall {
    uint64_t rax, rdx, rcx; /* general operands; RDX and RCX for PCMPxSTRx */
    uint64_t flags;         /* EFLAGS in and out, where the instruction reads or writes them */
    uint64_t fixup;         /* where the signal handler goes on */
    uint32_t host_mxcsr;
    uint32_t trap; /* 0, or 16 (#MF), 19 (#XM) */
} HostCall;

HostThunks *host_thunks_new(void);
void host_thunks_free(HostThunks *t);
/* Forgets all thunks. */
void host_thunks_flush(HostThunks *t);
/* There may be no room for another: flush before the next is made. */
bool host_thunks_full(const HostThunks *t);

/* The thunk for an INSN_HOST_EXEC instruction; NULL when there is no room. */
const HostThunk *host_thunk_get(HostThunks *t, const Insn *insn, bool mode64);
/* Runs it: `mem` is the memory operand's buffer (64-byte aligned). */
void host_thunk_run(const HostThunk *thunk, FpuState *fpu, void *mem, HostCall *call);

/*
 * W without an 8-byte general operand: outside 64-bit mode the forms of *insn ignore it. The host, always in
 * 64-bit mode, would not.
 */
bool host_w_is_ignored(const Insn *insn, bool mode64);

/* Installs the SIGFPE handler; once. */
void host_thunk_init(void);

#endif
