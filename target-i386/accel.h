/*
 * What runs guest code between two looks at the world: the executor's blocks, or translated code. The loop in
 * exec.c (events, single steps, faults) is the same for all; an accelerator replaces its innermost part.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_ACCEL_H
#define TARGET_I386_ACCEL_H

#include "target-i386/exec.h"

typedef struct AccelOps {
    const char *name;
    /* Runs code from env->rip until something has to be looked at. Faults leave by longjmp. */
    void (*run)(CPUX86State *env);
    /* Upkeep of what the accelerator has made of guest code, beside the executor's own; exec.h has what they mean. */
    void (*flush_code)(CPUX86State *env);
    CodeDropped (*invalidate_code)(CPUX86State *env, ram_addr addr, uint64_t size); /* within a page */
    void (*mapping_changed)(CPUX86State *env, MappingChange what, uint64_t linear);
    void (*end_block)(CPUX86State *env);
    void (*free_code)(CPUX86State *env);
} AccelOps;

extern const AccelOps accel_interp; /* exec.c */
extern const AccelOps accel_jit;    /* jit.c */

/* Before any vCPU runs; accel_interp until then. */
void accel_select(const AccelOps *ops);
const AccelOps *accel_selected(void);

/* Runs one block (or one instruction) at env->rip on the executor. True: only rip has to be looked at. */
bool exec_run_one_block(CPUX86State *env);
/* Whether a thread wants something of this vCPU that cannot wait. */
bool exec_requests_pending(CPUX86State *env);
/* Whether the loop, looking at everything, would just run on. */
bool exec_may_go_on(CPUX86State *env);
/*
 * RF keeps code breakpoints from the next instruction, which clears it (SDM vol. 3, 17.3.1.1). Whoever runs code without looking for
 * breakpoints drops it before, so that a return from a page fault costs no single step.
 */
static inline void exec_drop_rf(CPUX86State *env)
{
    env->eflags &= ~FLAG_RF;
}

/* Decodes, and chooses the handler; bytes that are no instruction get one that raises what they raise. */
InsnStatus exec_decode(CPUX86State *env, const uint8_t *bytes, unsigned avail, Insn *insn);
/* Whether nothing behind the instruction may be in its block. */
bool exec_ends_block(const Insn *insn);
/* Whether after it only rip has to be looked at. */
bool exec_is_near_end(const Insn *insn);

/*
 * A repeated MOVS or STOS as far as the soft TLB has its pages at hand. 1: all of it; 0: something else has to be looked at,
 * and RCX, RSI and RDI say where. Neither faults nor looks at other registers than those and RAX.
 */
uint64_t exec_string_at_hand(CPUX86State *env, const Insn *insn);

/* Bytes of translated code and its records a vCPU may keep; before any vCPU runs. */
void jit_set_cache_size(uint64_t bytes);

/*
 * For tests: translates the instructions in bytes as if they stood at env->rip, and runs that code. False, and nothing was
 * done: what the mode or the bytes are is not translated.
 */
bool jit_exec_bytes(CPUX86State *env, const uint8_t *bytes, unsigned len);

#define JIT_CACHE_SIZE_MIN (1ull << 20)
#define JIT_CACHE_SIZE_MAX (1ull << 30)

#endif
