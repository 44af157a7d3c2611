/*
 * The reference executor: one Insn on the CPU state; and the loop that runs a vCPU with it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_EXEC_H
#define TARGET_I386_EXEC_H

#include "target-i386/cpu.h"
#include "target-i386/excp.h"

/* Each executor file lists its handlers; exec.c gathers them by op at start. */
typedef struct ExecEntry {
    uint16_t op;
    InsnExec *handler;
} ExecEntry;
extern const ExecEntry exec_integer_entries[]; /* exec-integer.c ...; end with a NULL handler */
extern const ExecEntry exec_bits_entries[];    /* bits, multiplication, division, BCD */
extern const ExecEntry exec_string_entries[];
extern const ExecEntry exec_control_entries[]; /* near jumps, calls, loops, flags */
extern const ExecEntry exec_x87_entries[];
extern const ExecEntry exec_vector_entries[];
extern const ExecEntry
    exec_system_entries[]; /* segments, far transfers, control registers, MSRs ... */

void exec_init(void); /* once, before any vCPU runs */

/*
 * Chooses insn->exec (and aux) for a decoded instruction. Own thread: what is kept with the
 * instruction lives in the vCPU's code cache, until exec_flush_code().
 */
void exec_prepare(CPUX86State *env, Insn *insn);

typedef enum CpuExit {
    CPU_EXIT_KICK,  /* exit_request: somebody wants the thread */
    CPU_EXIT_HALT,  /* HLT with nothing pending, or waiting for SIPI */
    CPU_EXIT_RESET, /* triple fault */
    CPU_EXIT_DEBUG, /* debugger breakpoint or step */
} CpuExit;

/* Runs guest code on the calling vCPU thread, machine lock not held, until there is a reason to
 * leave. */
CpuExit cpu_exec(CPUX86State *env);
/* Executes exactly one instruction (or delivers one event): for lockstep, tests and debuggers. */
CpuExit cpu_exec_one(CPUX86State *env);

/*
 * For lockstep: runs instructions on the executor, without a look at events or requests. stop() is asked before
 * each, first with NULL and then, if that was false, with the instruction.
 */
typedef bool ExecStop(CPUX86State *env, const Insn *insn);
void exec_run_until(CPUX86State *env, ExecStop *stop);

/* Decoded code upkeep. Own thread: */
void exec_flush_code(CPUX86State *env);
void exec_invalidate_code(CPUX86State *env, ram_addr addr, uint64_t size);
/* The same within one page, byte by byte: blocks that do not lie in the range are kept. */
typedef enum CodeDropped {
    CODE_DROPPED = 1,   /* there was some in the range */
    CODE_REMAINING = 2, /* there is more in the page */
    CODE_NEAR = 4,      /* in the same pieces, even */
} CodeDropped;
CodeDropped exec_invalidate_bytes(CPUX86State *env, ram_addr addr, uint64_t size);
/* Counts writes to watched code of a page in a row, with nothing decoded in between. */
unsigned exec_count_code_write(CPUX86State *env, ram_addr page);
/* The meaning of linear addresses changed: every TLB flush, INVLPG and A20 change calls it. */
typedef enum MappingChange {
    MAPPING_ALL,
    MAPPING_NONGLOBAL, /* of all pages that are not global */
    MAPPING_PAGE,      /* of the page at `linear` */
} MappingChange;
void exec_mapping_changed(CPUX86State *env, MappingChange what, uint64_t linear);
/* The instruction that runs now is the last one of its block: something is due behind it. */
void exec_end_block(CPUX86State *env);
/* Frees the code cache, with the CPU. */
void exec_free_code(CPUX86State *env);

/* ---- helpers shared by the executor's files ---- */
/* The memory operand's offset, cut to the address size; insn->seg is its segment. */
static inline uint64_t exec_effective_address(CPUX86State *env, const Insn *insn)
{
    uint64_t ea = (uint64_t)insn->disp;

    if (insn->base < 16) {
        ea += env->regs[insn->base];
    } else if (insn->base == INSN_REG_RIP) {
        ea += env->rip_next;
    }
    if (insn->index < 16) {
        ea += env->regs[insn->index] * insn->scale;
    }
    return insn->addrsize == 8 ? ea : insn->addrsize == 4 ? (uint32_t)ea : (uint16_t)ea;
}

/* Cuts an offset to the instruction's address size. */
static inline uint64_t exec_mask_address(const Insn *insn, uint64_t ea)
{
    return insn->addrsize == 8 ? ea : insn->addrsize == 4 ? (uint32_t)ea : (uint16_t)ea;
}

/* Where an operand lies; only its low bits, for checks of alignment, before any other check. */
static inline uint64_t exec_linear(const CPUX86State *env, unsigned seg, uint64_t off)
{
    return env->hflags & HF_CS64 && seg < SEG_FS ? off : env->segs[seg].base + off;
}

/* A register operand of 1, 2, 4 or 8 bytes; OPND_GPR8H too. */
static inline uint8_t *exec_reg8(CPUX86State *env, const InsnOperand *op)
{
    return (uint8_t *)&env->regs[op->reg] + (op->kind == OPND_GPR8H);
}

static inline uint64_t exec_reg_read(CPUX86State *env, const InsnOperand *op, unsigned size)
{
    switch (size) {
    case 1:
        return *exec_reg8(env, op);
    case 2:
        return (uint16_t)env->regs[op->reg];
    case 4:
        return (uint32_t)env->regs[op->reg];
    default:
        return env->regs[op->reg];
    }
}

/* 32-bit results clear the upper half, narrower ones leave the rest alone. */
static inline void exec_reg_write(CPUX86State *env, const InsnOperand *op, uint64_t v,
                                  unsigned size)
{
    switch (size) {
    case 1:
        *exec_reg8(env, op) = (uint8_t)v;
        break;
    case 2:
        *(uint16_t *)&env->regs[op->reg] = (uint16_t)v;
        break;
    case 4:
        env->regs[op->reg] = (uint32_t)v;
        break;
    default:
        env->regs[op->reg] = v;
    }
}

/* Whether execution may go on at offset `target` of CS. */
static inline bool exec_target_ok(const CPUX86State *env, uint64_t target)
{
    if (env->hflags & HF_CS64) {
        return (uint64_t)((int64_t)(target << 16) >> 16) == target;
    }
    return target <= env->segs[SEG_CS].limit;
}

/* #GP(0) where it may not; the instruction must not have changed anything yet. */
static inline void exec_check_target(CPUX86State *env, uint64_t target)
{
    if (__builtin_expect(!exec_target_ok(env, target), 0)) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
}

#endif
