/*
 * The handlers of system instructions, spread over several files, and what they share. sysinsn.c
 * has the table.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_SYSINSN_H
#define TARGET_I386_SYSINSN_H

#include "target-i386/cpu.h"
#include "target-i386/exec.h"
#include "target-i386/mem.h"
#include "target-i386/system.h"

/* A general register or memory operand, zero-extended. */
static inline uint64_t sys_read_operand(CPUX86State *env, const Insn *insn, unsigned n,
                                        unsigned size)
{
    if (insn->ops[n].kind == OPND_MEM) {
        return mem_read(env, insn->seg, exec_effective_address(env, insn), size);
    }
    return exec_reg_read(env, &insn->ops[n], size);
}

/* excp.c */
InsnExec sys_int, sys_int3, sys_into, sys_int1;
/* seg.c */
InsnExec sys_mov_seg, sys_push_seg, sys_pop_seg, sys_load_far_pointer, sys_lar, sys_lsl,
    sys_verr_verw, sys_arpl, sys_lldt, sys_ltr, sys_sldt_str, sys_smsw, sys_sgdt_sidt,
    sys_lgdt_lidt;
/* far.c */
InsnExec sys_jmp_far, sys_call_far, sys_retf, sys_iret;
/* fastcall.c */
InsnExec sys_syscall, sys_sysret, sys_sysenter, sys_sysexit, sys_swapgs;
/* msr.c */
InsnExec sys_rdmsr, sys_wrmsr, sys_rdtsc, sys_rdtscp, sys_rdpid, sys_rdpmc;
/* cpuid.c */
InsnExec sys_cpuid;
/* xsave.c */
InsnExec sys_fxsave, sys_fxrstor, sys_xsave, sys_xrstor, sys_xgetbv, sys_xsetbv;
/* smm.c */
InsnExec sys_rsm;

/* sysinsn.c: new values of CR0, CR3, CR4 with all checks (#GP) and consequences. */
void cpu_write_cr0(CPUX86State *env, uint64_t v);
void cpu_write_cr3(CPUX86State *env, uint64_t v);
void cpu_write_cr4(CPUX86State *env, uint64_t v);
/* msr.c: false where WRMSR would raise #GP. */
bool cpu_write_efer(CPUX86State *env, uint64_t v);
/* POPF, IRET and task switches: sets the bits of mask, then hflags; has a pending interrupt looked
 * at. */
void cpu_load_eflags(CPUX86State *env, uint32_t v, uint32_t mask);

#endif
