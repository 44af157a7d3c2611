/*
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT and SWAPGS.
 *
 * The vendors differ, and the CPU model's vendor decides: AMD has SYSCALL in all protected modes
 * and no SYSENTER in long mode (APM vol. 3), Intel has SYSCALL in 64-bit mode only and SYSENTER
 * everywhere (SDM vol. 2).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/cpuid.h"
#include "target-i386/excp.h"
#include "target-i386/sysinsn.h"

#define ATTR_CODE                                                                                  \
    (SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_CODE | SEG_ATTR_RW | SEG_ATTR_ACCESSED | SEG_ATTR_G)
#define ATTR_DATA                                                                                  \
    (SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_RW | SEG_ATTR_ACCESSED | SEG_ATTR_G | SEG_ATTR_DB)

static bool canonical(uint64_t a)
{
    return (uint64_t)((int64_t)(a << 16) >> 16) == a;
}

/* Flat CS and SS at a privilege, with the selectors' RPL. */
static void load_flat(CPUX86State *env, uint16_t cs, uint16_t ss, unsigned cpl, bool is64)
{
    uint16_t dpl = (uint16_t)(cpl << SEG_ATTR_DPL_SHIFT);

    env->segs[SEG_CS] =
        (Segment){.selector = (uint16_t)((cs & ~3u) | cpl),
                  .limit = 0xffffffff,
                  .attr = (uint16_t)(ATTR_CODE | dpl | (is64 ? SEG_ATTR_L : SEG_ATTR_DB))};
    env->segs[SEG_SS] = (Segment){.selector = (uint16_t)((ss & ~3u) | cpl),
                                  .limit = 0xffffffff,
                                  .attr = (uint16_t)(ATTR_DATA | dpl)};
}

void sys_syscall(CPUX86State *env, const Insn *insn)
{
    uint16_t cs = (uint16_t)(env->star >> 32);
    uint32_t tf = env->eflags & FLAG_TF;

    if (!(env->efer & EFER_SCE) || (!env->model->amd && !(env->hflags & HF_CS64))) {
        cpu_raise(env, EXCP_UD);
    }
    if (env->hflags & HF_LMA) {
        env->regs[R_CX] = env->rip_next;
        env->regs[R_11] = env->eflags & ~FLAG_RF;
        env->rip_next = env->hflags & HF_CS64 ? env->lstar : env->cstar;
        env->eflags &= ~((uint32_t)env->sfmask | FLAG_RF);
        load_flat(env, cs, (uint16_t)(cs + 8), 0, true);
    } else {
        env->regs[R_CX] = (uint32_t)env->rip_next;
        env->rip_next = (uint32_t)env->star;
        env->eflags &= ~(FLAG_IF | FLAG_VM | FLAG_RF);
        load_flat(env, cs, (uint16_t)(cs + 8), 0, false);
    }
    env->eflags |= FLAG_1;
    if (tf && !(env->eflags & FLAG_TF)) {
        env->step_trap = false;
    }
    cpu_update_hflags(env);
}

void sys_sysret(CPUX86State *env, const Insn *insn)
{
    uint16_t base = (uint16_t)(env->star >> 48);
    bool to64 = insn->opsize == 8;

    if (!(env->efer & EFER_SCE) || (!env->model->amd && !(env->hflags & HF_CS64))) {
        cpu_raise(env, EXCP_UD);
    }
    cpu_require_cpl0(env);
    if (to64 && !env->model->amd && !canonical(env->regs[R_CX])) {
        cpu_raise_error(env, EXCP_GP, 0); /* AMD's faults at CPL 3, fetching */
    }
    if (env->hflags & HF_LMA) {
        const uint32_t mask = 0x3c7fd7;
        env->eflags = ((uint32_t)env->regs[R_11] & mask) | FLAG_1;
    } else {
        env->eflags |= FLAG_IF;
    }
    env->rip_next = to64 ? env->regs[R_CX] : (uint32_t)env->regs[R_CX];
    load_flat(env, (uint16_t)(to64 ? base + 16 : base), (uint16_t)(base + 8), 3, to64);
    if (env->eflags & FLAG_TF) {
        /* Unlike IRET's and POPF's, a TF that SYSRET sets traps before the next instruction. */
        cpu_set_pending_db(env, DR6_BS);
    }
    cpu_update_hflags(env);
}

static void check_sysenter_mode(CPUX86State *env)
{
    if (env->model->amd && (env->hflags & HF_LMA)) {
        cpu_raise(env, EXCP_UD);
    }
    if (!(env->hflags & HF_PE) || !(env->sysenter_cs & 0xfffc)) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
}

void sys_sysenter(CPUX86State *env, const Insn *insn)
{
    bool lma = env->hflags & HF_LMA;
    uint16_t cs = (uint16_t)env->sysenter_cs;

    check_sysenter_mode(env);
    env->eflags &= ~(FLAG_VM | FLAG_IF | FLAG_RF);
    env->regs[R_SP] = lma ? env->sysenter_esp : (uint32_t)env->sysenter_esp;
    env->rip_next = lma ? env->sysenter_eip : (uint32_t)env->sysenter_eip;
    load_flat(env, cs, (uint16_t)((cs & ~3u) + 8), 0, lma);
    cpu_update_hflags(env);
}

void sys_sysexit(CPUX86State *env, const Insn *insn)
{
    bool to64 = insn->opsize == 8;
    uint16_t cs = (uint16_t)(env->sysenter_cs & ~3u);

    cpu_require_cpl0(env); /* before the mode, as processors do */
    check_sysenter_mode(env);
    if (to64 && (!canonical(env->regs[R_CX]) || !canonical(env->regs[R_DX]))) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    env->regs[R_SP] = to64 ? env->regs[R_CX] : (uint32_t)env->regs[R_CX];
    env->rip_next = to64 ? env->regs[R_DX] : (uint32_t)env->regs[R_DX];
    load_flat(env, (uint16_t)(cs + (to64 ? 32 : 16)), (uint16_t)(cs + (to64 ? 40 : 24)), 3, to64);
    cpu_update_hflags(env);
}

void sys_swapgs(CPUX86State *env, const Insn *insn)
{
    cpu_require_cpl0(env);
    uint64_t base = env->segs[SEG_GS].base;
    env->segs[SEG_GS].base = env->kernel_gs_base;
    env->kernel_gs_base = base;
}
