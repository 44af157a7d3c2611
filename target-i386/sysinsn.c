/*
 * System instructions: control and debug registers, flags with privilege, TLB and cache upkeep,
 * HLT, FS/GS bases; and the table of all system handlers.
 *
 * SDM vol. 2, and vol. 3, 2.5 (control registers), 4.10.4 (what invalidates TLBs), 18.2 (debug
 * registers), 20.3 (VME and PVI).
 *
 * Not modelled: MWAIT does not wait (a spurious wake-up is always allowed); caches do not exist, so
 * their instructions only check privilege.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/sysinsn.h"

#include "target-i386/cpuid.h"
#include "target-i386/debug.h"
#include "target-i386/excp.h"
#include "target-i386/mmu.h"
#include "target-i386/seg.h"
#include "util/loop.h"

void cpu_require_cpl0(CPUX86State *env)
{
    if (cpu_cpl(env)) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
}

static bool canonical(uint64_t a)
{
    return (uint64_t)((int64_t)(a << 16) >> 16) == a;
}

static unsigned iopl(const CPUX86State *env)
{
    return (env->eflags & FLAG_IOPL) >> FLAG_IOPL_SHIFT;
}

void cpu_load_eflags(CPUX86State *env, uint32_t v, uint32_t mask)
{
    env->eflags = (env->eflags & ~mask) | (v & mask) | FLAG_1;
    cpu_update_hflags(env);
}

/* ---- control registers ---- */

static bool pae_without_long_mode(uint32_t cr0, uint32_t cr4, uint64_t efer)
{
    return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LME);
}

void cpu_write_cr0(CPUX86State *env, uint64_t v)
{
    const uint32_t valid = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM |
                           CR0_NW | CR0_CD | CR0_PG;
    uint32_t old = env->cr0, cr0;

    if (v >> 32 || ((v & CR0_PG) && !(v & CR0_PE)) || ((v & CR0_NW) && !(v & CR0_CD))) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    cr0 = ((uint32_t)v & valid) | CR0_ET;
    if (!(old & CR0_PG) && (cr0 & CR0_PG) && (env->efer & EFER_LME)) {
        if (!(env->cr4 & CR4_PAE) || (env->segs[SEG_CS].attr & SEG_ATTR_L)) {
            cpu_raise_error(env, EXCP_GP, 0);
        }
    }
    if ((old & CR0_PG) && !(cr0 & CR0_PG) && ((env->hflags & HF_CS64) || (env->cr4 & CR4_PCIDE))) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    if (pae_without_long_mode(cr0, env->cr4, env->efer) &&
        ((old ^ cr0) & (CR0_PG | CR0_CD | CR0_NW)) && !mmu_load_pdptrs(env, env->cr3)) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    env->cr0 = cr0;
    if (cr0 & CR0_PG) {
        env->efer |= env->efer & EFER_LME ? EFER_LMA : 0;
    } else {
        env->efer &= ~(uint64_t)EFER_LMA;
    }
    cpu_update_hflags(env);
    if ((old ^ cr0) & (CR0_PE | CR0_PG | CR0_WP)) {
        tlb_flush(env);
    }
}

void cpu_write_cr3(CPUX86State *env, uint64_t v)
{
    bool no_flush = false;

    if (env->hflags & HF_LMA) {
        if (env->cr4 & CR4_PCIDE) {
            no_flush = v >> 63;
            v &= ~(1ull << 63);
        }
        if (v >> env->model->phys_bits) {
            cpu_raise_error(env, EXCP_GP, 0);
        }
    } else {
        v = (uint32_t)v;
        if (pae_without_long_mode(env->cr0, env->cr4, env->efer) && !mmu_load_pdptrs(env, v)) {
            cpu_raise_error(env, EXCP_GP, 0);
        }
    }
    no_flush =
        no_flush && env->cr3 == v; /* without tags, only the same address space can be kept */
    env->cr3 = v;
    if (!no_flush) {
        tlb_flush_nonglobal(env);
    }
}

void cpu_write_cr4(CPUX86State *env, uint64_t v)
{
    uint32_t old = env->cr4, cr4 = (uint32_t)v;

    if (v & ~(uint64_t)env->model->cr4_valid) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    if ((env->hflags & HF_LMA) && !(cr4 & CR4_PAE)) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    if ((cr4 & CR4_PCIDE) && !(old & CR4_PCIDE) &&
        (!(env->hflags & HF_LMA) || (env->cr3 & 0xfff))) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    if (pae_without_long_mode(env->cr0, cr4, env->efer) &&
        ((old ^ cr4) & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)) &&
        !mmu_load_pdptrs(env, env->cr3)) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    env->cr4 = cr4;
    cpu_update_hflags(env);
    if ((old ^ cr4) & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP)) {
        tlb_flush(env);
    }
}

static uint64_t read_cr8(CPUX86State *env)
{
    if (!env->intc) {
        return 0;
    }
    machine_lock();
    uint8_t tpr = env->intc->get_tpr(env->intc_opaque);
    machine_unlock();
    return tpr >> 4;
}

static void write_cr8(CPUX86State *env, uint64_t v)
{
    if (v > 15) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    if (env->intc) {
        machine_lock();
        env->intc->set_tpr(env->intc_opaque, (uint8_t)(v << 4));
        machine_unlock();
    }
}

static unsigned register_size(const CPUX86State *env)
{
    return env->hflags & HF_CS64 ? 8 : 4;
}

static void read_cr(CPUX86State *env, const Insn *insn)
{
    uint64_t v = 0;

    switch (insn->ops[1].reg) {
    case 0:
        v = env->cr0;
        break;
    case 2:
        v = env->cr2;
        break;
    case 3:
        v = env->cr3;
        break;
    case 4:
        v = env->cr4;
        break;
    case 8:
        v = read_cr8(env);
        break;
    default:
        cpu_raise(env, EXCP_UD);
    }
    exec_reg_write(env, &insn->ops[0], v, register_size(env));
}

static void mov_cr(CPUX86State *env, const Insn *insn)
{
    bool to_cr = insn->ops[0].kind == OPND_CR;
    unsigned cr = insn->ops[to_cr ? 0 : 1].reg;

    if (cr != 0 && cr != 2 && cr != 3 && cr != 4 && cr != 8) {
        cpu_raise(env, EXCP_UD);
    }
    cpu_require_cpl0(env);
    if (!to_cr) {
        read_cr(env, insn);
        return;
    }
    uint64_t v = exec_reg_read(env, &insn->ops[1], register_size(env));
    switch (cr) {
    case 0:
        cpu_write_cr0(env, v);
        break;
    case 2:
        env->cr2 = v;
        break;
    case 3:
        cpu_write_cr3(env, v);
        break;
    case 4:
        cpu_write_cr4(env, v);
        break;
    case 8:
        write_cr8(env, v);
        break;
    }
}

static void clts(CPUX86State *env, const Insn *insn)
{
    cpu_require_cpl0(env);
    env->cr0 &= ~CR0_TS;
}

/* The low four bits of CR0; PE can be set but not cleared. */
static void lmsw(CPUX86State *env, const Insn *insn)
{
    cpu_require_cpl0(env);
    uint32_t v = (uint32_t)sys_read_operand(env, insn, 0, 2) & 15;
    cpu_write_cr0(env, (env->cr0 & ~(CR0_MP | CR0_EM | CR0_TS)) | v);
}

/* ---- debug registers ---- */

static void mov_dr(CPUX86State *env, const Insn *insn)
{
    bool to_dr = insn->ops[0].kind == OPND_DR;
    unsigned dr = insn->ops[to_dr ? 0 : 1].reg;

    if (dr > 7 || ((dr == 4 || dr == 5) && (env->cr4 & CR4_DE))) {
        cpu_raise(env, EXCP_UD);
    }
    cpu_require_cpl0(env);
    if (env->dr[7] & DR7_GD) {
        debug_set_dr6(env, DR6_BD);
        env->dr[7] &= ~(uint64_t)DR7_GD;
        cpu_raise(env, EXCP_DB);
    }
    if (dr == 4 || dr == 5) {
        dr += 2;
    }
    if (!to_dr) {
        exec_reg_write(env, &insn->ops[0], env->dr[dr], register_size(env));
        return;
    }
    uint64_t v = exec_reg_read(env, &insn->ops[1], register_size(env));
    if (dr >= 6 && v >> 32) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    if (dr == 6) {
        env->dr[6] = (v & 0xe00f) | 0xffff0ff0;
        return;
    }
    env->dr[dr] = dr == 7 ? (v & 0xffff2bff) | 0x400 : v;
    debug_changed(env);
}

/* ---- TLB, caches ---- */

static void invlpg(CPUX86State *env, const Insn *insn)
{
    uint64_t off = exec_effective_address(env, insn);
    bool is64 = env->hflags & HF_CS64;

    cpu_require_cpl0(env);
    uint64_t linear = off + (is64 && insn->seg < SEG_FS ? 0 : env->segs[insn->seg].base);
    if (!is64) {
        linear = (uint32_t)linear;
    }
    if (!(env->hflags & HF_LMA) || canonical(linear)) {
        tlb_flush_page(env, linear);
    }
}

static void invpcid(CPUX86State *env, const Insn *insn)
{
    uint64_t type, descriptor[2];

    cpu_require_cpl0(env);
    type = exec_reg_read(env, &insn->ops[0], register_size(env));
    mem_read_bytes(env, insn->seg, exec_effective_address(env, insn), descriptor, 16);
    if (type > 3 || descriptor[0] >> 12 || (type < 2 && descriptor[0] && !(env->cr4 & CR4_PCIDE)) ||
        (type == 0 && !canonical(descriptor[1]))) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    switch (type) {
    case 0:
        tlb_flush_page(env, descriptor[1]);
        break;
    case 2:
        tlb_flush(env);
        break;
    default:
        tlb_flush_nonglobal(env);
        break;
    }
}

static void privileged_nop(CPUX86State *env, const Insn *insn)
{
    cpu_require_cpl0(env);
}

/* ---- HLT, MONITOR, MWAIT ---- */

static void hlt(CPUX86State *env, const Insn *insn)
{
    cpu_require_cpl0(env);
    env->halted = true;
}

static void monitor(CPUX86State *env, const Insn *insn)
{
    if (cpu_cpl(env)) {
        cpu_raise(env, EXCP_UD);
    }
    if ((uint32_t)env->regs[R_CX]) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    mem_read8(env, insn->seg_override == INSN_SEG_NONE ? (unsigned)SEG_DS : insn->seg,
              exec_mask_address(insn, env->regs[R_AX]));
}

static void mwait(CPUX86State *env, const Insn *insn)
{
    if (cpu_cpl(env)) {
        cpu_raise(env, EXCP_UD);
    }
    if ((uint32_t)env->regs[R_CX] & ~1u) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
}

/* ---- EFLAGS with privilege ---- */

/* Whether IF may be changed; otherwise, whether VIF stands in for it. Raises where neither. */
static bool changes_vif(CPUX86State *env)
{
    if (!(env->hflags & HF_PE) || cpu_cpl(env) <= iopl(env)) {
        return false;
    }
    if ((env->hflags & HF_VM) ? env->cr4 & CR4_VME : (env->cr4 & CR4_PVI) && cpu_cpl(env) == 3) {
        return true;
    }
    cpu_raise_error(env, EXCP_GP, 0);
}

static void cli(CPUX86State *env, const Insn *insn)
{
    env->eflags &= ~(changes_vif(env) ? FLAG_VIF : FLAG_IF);
}

static void sti(CPUX86State *env, const Insn *insn)
{
    if (changes_vif(env)) {
        if (env->eflags & FLAG_VIP) {
            cpu_raise_error(env, EXCP_GP, 0);
        }
        env->eflags |= FLAG_VIF;
    } else if (!(env->eflags & FLAG_IF)) {
        env->eflags |= FLAG_IF;
        env->shadow = CPU_SHADOW_STI;
    }
}

/* V86 mode with IOPL under 3: raises unless VME helps. */
static bool v86_virtual_flags(CPUX86State *env, unsigned size)
{
    if (!(env->hflags & HF_VM) || iopl(env) == 3) {
        return false;
    }
    if (!(env->cr4 & CR4_VME) || size != 2) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    return true;
}

static void pushf(CPUX86State *env, const Insn *insn)
{
    uint32_t flags = env->eflags & ~(FLAG_VM | FLAG_RF);

    if (v86_virtual_flags(env, insn->opsize)) {
        flags = (flags & ~FLAG_IF) | FLAG_IOPL | (flags & FLAG_VIF ? FLAG_IF : 0);
    }
    mem_push(env, flags, insn->opsize);
}

static void popf(CPUX86State *env, const Insn *insn)
{
    uint32_t mask = FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT;
    bool virtual_flags = v86_virtual_flags(env, insn->opsize);
    Stack s = stack_current(env, 0);
    uint32_t flags = (uint32_t)stack_pop(env, &s, insn->opsize);

    if (insn->opsize != 2) {
        mask |= FLAG_AC | FLAG_ID;
    }
    if (virtual_flags) {
        if ((flags & FLAG_TF) || ((flags & FLAG_IF) && (env->eflags & FLAG_VIP))) {
            cpu_raise_error(env, EXCP_GP, 0);
        }
        flags = (flags & ~FLAG_VIF) | (flags & FLAG_IF ? FLAG_VIF : 0);
        mask |= FLAG_VIF;
    } else {
        if (cpu_cpl(env) <= iopl(env)) {
            mask |= FLAG_IF;
        }
        if (cpu_cpl(env) == 0) {
            mask |= FLAG_IOPL;
        }
    }
    stack_commit_sp(env, &s);
    cpu_load_eflags(env, flags, mask);
}

static void clac_stac(CPUX86State *env, const Insn *insn)
{
    if (cpu_cpl(env)) {
        cpu_raise(env, EXCP_UD);
    }
    cpu_load_eflags(env, insn->op == OP_STAC ? FLAG_AC : 0, FLAG_AC);
}

/* ---- FS and GS base ---- */

static void fsgsbase(CPUX86State *env, const Insn *insn)
{
    bool write = insn->op == OP_WRFSBASE || insn->op == OP_WRGSBASE;
    unsigned seg = insn->op == OP_RDFSBASE || insn->op == OP_WRFSBASE ? SEG_FS : SEG_GS;

    if (!(env->cr4 & CR4_FSGSBASE)) {
        cpu_raise(env, EXCP_UD);
    }
    if (!write) {
        exec_reg_write(env, &insn->ops[0], env->segs[seg].base, insn->opsize);
        return;
    }
    uint64_t v = exec_reg_read(env, &insn->ops[0], insn->opsize);
    if (!canonical(v)) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    env->segs[seg].base = v;
}

/* ---- ports ---- */

void cpu_check_io(CPUX86State *env, uint16_t port, unsigned size)
{
    const Segment *tr = &env->segs[SEG_TR];

    if (!(env->hflags & HF_PE) || (!(env->hflags & HF_VM) && cpu_cpl(env) <= iopl(env))) {
        return;
    }
    /* A 32-bit (or 64-bit) TSS with a bitmap whose bits for all bytes of the access are clear. */
    if (!(tr->attr & SEG_ATTR_P) || !(tr->attr & 8) || tr->limit < 0x67) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    uint32_t at = (uint32_t)mem_sys_read(env, tr->base + 0x66, 2) + port / 8;
    if (at + 1 > tr->limit) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    uint32_t bits = (uint32_t)mem_sys_read(env, tr->base + at, 2) >> (port & 7);
    if (bits & ((1u << size) - 1)) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
}

/* ---- the table ---- */

const ExecEntry exec_system_entries[] = {
    {OP_MOV_SEG, sys_mov_seg},
    {OP_PUSH_SEG, sys_push_seg},
    {OP_POP_SEG, sys_pop_seg},
    {OP_LES, sys_load_far_pointer},
    {OP_LDS, sys_load_far_pointer},
    {OP_LSS, sys_load_far_pointer},
    {OP_LFS, sys_load_far_pointer},
    {OP_LGS, sys_load_far_pointer},
    {OP_LAR, sys_lar},
    {OP_LSL, sys_lsl},
    {OP_VERR, sys_verr_verw},
    {OP_VERW, sys_verr_verw},
    {OP_ARPL, sys_arpl},
    {OP_LLDT, sys_lldt},
    {OP_LTR, sys_ltr},
    {OP_SLDT, sys_sldt_str},
    {OP_STR, sys_sldt_str},
    {OP_SMSW, sys_smsw},
    {OP_SGDT, sys_sgdt_sidt},
    {OP_SIDT, sys_sgdt_sidt},
    {OP_LGDT, sys_lgdt_lidt},
    {OP_LIDT, sys_lgdt_lidt},
    {OP_JMP_FAR, sys_jmp_far},
    {OP_JMP_FAR_IND, sys_jmp_far},
    {OP_CALL_FAR, sys_call_far},
    {OP_CALL_FAR_IND, sys_call_far},
    {OP_RETF, sys_retf},
    {OP_IRET, sys_iret},
    {OP_INT, sys_int},
    {OP_INT3, sys_int3},
    {OP_INTO, sys_into},
    {OP_INT1, sys_int1},
    {OP_SYSCALL, sys_syscall},
    {OP_SYSRET, sys_sysret},
    {OP_SYSENTER, sys_sysenter},
    {OP_SYSEXIT, sys_sysexit},
    {OP_SWAPGS, sys_swapgs},
    {OP_RDMSR, sys_rdmsr},
    {OP_WRMSR, sys_wrmsr},
    {OP_RDTSC, sys_rdtsc},
    {OP_RDTSCP, sys_rdtscp},
    {OP_RDPID, sys_rdpid},
    {OP_RDPMC, sys_rdpmc},
    {OP_CPUID, sys_cpuid},
    {OP_FXSAVE, sys_fxsave},
    {OP_FXSAVE64, sys_fxsave},
    {OP_FXRSTOR, sys_fxrstor},
    {OP_FXRSTOR64, sys_fxrstor},
    {OP_XSAVE, sys_xsave},
    {OP_XSAVE64, sys_xsave},
    {OP_XSAVEOPT, sys_xsave},
    {OP_XSAVEOPT64, sys_xsave},
    {OP_XSAVEC, sys_xsave},
    {OP_XSAVEC64, sys_xsave},
    {OP_XRSTOR, sys_xrstor},
    {OP_XRSTOR64, sys_xrstor},
    {OP_XGETBV, sys_xgetbv},
    {OP_XSETBV, sys_xsetbv},
    {OP_RSM, sys_rsm},
    {OP_MOV_CR, mov_cr},
    {OP_MOV_DR, mov_dr},
    {OP_CLTS, clts},
    {OP_LMSW, lmsw},
    {OP_INVLPG, invlpg},
    {OP_INVPCID, invpcid},
    {OP_INVD, privileged_nop},
    {OP_WBINVD, privileged_nop},
    {OP_WBNOINVD, privileged_nop},
    {OP_HLT, hlt},
    {OP_MONITOR, monitor},
    {OP_MWAIT, mwait},
    {OP_CLI, cli},
    {OP_STI, sti},
    {OP_PUSHF, pushf},
    {OP_POPF, popf},
    {OP_CLAC, clac_stac},
    {OP_STAC, clac_stac},
    {OP_RDFSBASE, fsgsbase},
    {OP_RDGSBASE, fsgsbase},
    {OP_WRFSBASE, fsgsbase},
    {OP_WRGSBASE, fsgsbase},
    {0, NULL},
};
