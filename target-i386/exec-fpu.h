/*
 * The checks that stand before x87, MMX, SSE, AVX and state-saving instructions.
 *
 * Sources: Intel SDM vol. 3, 2.5, 13.1 and table 2-2; vol. 2, 2.4 (VEX exception classes).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_EXEC_FPU_H
#define TARGET_I386_EXEC_FPU_H

#include "target-i386/cpu.h"
#include "target-i386/excp.h"

#define FSW_ES 0x0080u /* an unmasked exception is pending */
#define FSW_B  0x8000u

#define XSTATE_X87 1u
#define XSTATE_SSE 2u
#define XSTATE_AVX 4u

/* Slow side: raises #MF, or reports by FERR# and waits, unless IGNNE# lets it go on. */
void exec_x87_pending(CPUX86State *env);

/* The tag word, two bits a register, and the one bit a register that is kept. */
uint16_t x87_full_tags(const CPUX86State *env);
uint8_t x87_abridged_tags(uint16_t tags);

/* What every MMX instruction does: TOP = 0, all registers valid. */
void exec_enter_mmx(CPUX86State *env);

static inline void exec_check_x87_pending(CPUX86State *env)
{
    if (__builtin_expect(env->fpu.fsw & FSW_ES, 0)) {
        exec_x87_pending(env);
    }
}

static inline void exec_x87_to_memory(CPUX86State *env)
{
    if (!env->jit_x87_away) {
        cpu_x87_sync(env);
    }
}

/* Raises what the instruction's class (InsnClass) asks for in the state the CPU is in. */
static inline void exec_check_class(CPUX86State *env, const Insn *insn)
{
    switch (insn->insn_class) {
    case INSN_CLASS_INTEGER:
        return;
    case INSN_CLASS_X87:
        exec_x87_to_memory(env);
        if (env->cr0 & (CR0_EM | CR0_TS)) {
            cpu_raise(env, EXCP_NM);
        }
        exec_check_x87_pending(env);
        return;
    case INSN_CLASS_X87_NOWAIT:
    case INSN_CLASS_FXSR:
        exec_x87_to_memory(env);
        if (env->cr0 & (CR0_EM | CR0_TS)) {
            cpu_raise(env, EXCP_NM);
        }
        return;
    case INSN_CLASS_WAIT:
        exec_x87_to_memory(env);
        if ((env->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS)) {
            cpu_raise(env, EXCP_NM);
        }
        exec_check_x87_pending(env);
        return;
    case INSN_CLASS_MMX:
        exec_x87_to_memory(env);
        if (env->cr0 & CR0_EM) {
            cpu_raise(env, EXCP_UD);
        }
        if (env->cr0 & CR0_TS) {
            cpu_raise(env, EXCP_NM);
        }
        exec_check_x87_pending(env);
        return;
    case INSN_CLASS_SSE_MMX:
        exec_x87_to_memory(env);
        /* fall through */
    case INSN_CLASS_SSE:
        if (env->cr0 & CR0_EM || !(env->cr4 & CR4_OSFXSR)) {
            cpu_raise(env, EXCP_UD);
        }
        if (env->cr0 & CR0_TS) {
            cpu_raise(env, EXCP_NM);
        }
        if (insn->insn_class == INSN_CLASS_SSE_MMX &&
            (insn->ops[0].kind == OPND_MMX || insn->ops[1].kind == OPND_MMX)) {
            exec_check_x87_pending(env);
        }
        return;
    case INSN_CLASS_AVX:
        if (!(env->cr4 & CR4_OSXSAVE) || (env->xcr0 & 6) != 6) {
            cpu_raise(env, EXCP_UD);
        }
        if (env->cr0 & CR0_TS) {
            cpu_raise(env, EXCP_NM);
        }
        return;
    case INSN_CLASS_XSAVE:
        exec_x87_to_memory(env);
        if (!(env->cr4 & CR4_OSXSAVE)) {
            cpu_raise(env, EXCP_UD);
        }
        if (env->cr0 & CR0_TS) {
            cpu_raise(env, EXCP_NM);
        }
        return;
    }
}

#endif
