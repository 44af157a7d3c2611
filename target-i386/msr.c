/*
 * Model-specific registers, and the instructions that read counters.
 *
 * SDM vol. 4 and vol. 3, 12.11 (MTRRs), 16.3 (machine check banks); AMD APM vol. 2, appendix A.
 * Which exist depends on the CPU model; all others raise #GP. Memory types and machine checks have
 * no effect here: their registers only keep what is written. AMD's configuration registers are
 * there as far as kernels look at them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/cpuid.h"
#include "target-i386/excp.h"
#include "target-i386/sysinsn.h"
#include "util/log.h"
#include "util/loop.h"

enum {
    MSR_P5_MC_ADDR = 0x0,
    MSR_P5_MC_TYPE = 0x1,
    MSR_TSC = 0x10,
    MSR_PLATFORM_ID = 0x17,
    MSR_APIC_BASE = 0x1b,
    MSR_EBL_CR_POWERON = 0x2a,
    MSR_FEATURE_CONTROL = 0x3a,
    MSR_TSC_ADJUST = 0x3b,
    MSR_BIOS_UPDT_TRIG = 0x79,
    MSR_BIOS_SIGN_ID = 0x8b,
    MSR_MTRR_CAP = 0xfe,
    MSR_SYSENTER_CS = 0x174,
    MSR_SYSENTER_ESP = 0x175,
    MSR_SYSENTER_EIP = 0x176,
    MSR_MCG_CAP = 0x179,
    MSR_MCG_STATUS = 0x17a,
    MSR_MCG_CTL = 0x17b,
    MSR_MISC_ENABLE = 0x1a0,
    MSR_DEBUGCTL = 0x1d9,
    MSR_LASTBRANCH_FROM = 0x1db, /* .. LASTINT_TO 0x1de */
    MSR_LASTINT_TO = 0x1de,
    MSR_MTRR_VARIABLE = 0x200, /* .. 0x20f */
    MSR_MTRR_FIX64K = 0x250,
    MSR_MTRR_FIX16K = 0x258, /* two */
    MSR_MTRR_FIX4K = 0x268,  /* eight */
    MSR_PAT = 0x277,
    MSR_MTRR_DEF_TYPE = 0x2ff,
    MSR_MC_BANKS = 0x400,
    MSR_TSC_DEADLINE = 0x6e0,
    MSR_X2APIC = 0x800,
    MSR_X2APIC_END = 0x8ff,
};
#define MSR_EFER           0xc0000080u
#define MSR_STAR           0xc0000081u
#define MSR_LSTAR          0xc0000082u
#define MSR_CSTAR          0xc0000083u
#define MSR_SFMASK         0xc0000084u
#define MSR_FS_BASE        0xc0000100u
#define MSR_GS_BASE        0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX        0xc0000103u
#define MSR_K7_EVTSEL      0xc0010000u /* four, then four counters */
#define MSR_K7_PERFCTR     0xc0010004u
#define MSR_SYSCFG         0xc0010010u
#define MSR_HWCR           0xc0010015u
#define MSR_TOP_MEM        0xc001001au
#define MSR_NB_CFG         0xc001001fu
#define MSR_TOP_MEM2       0xc001001du
#define MSR_PATCH_LOADER   0xc0010020u
#define MSR_INT_PENDING    0xc0010055u
#define MSR_SMM_BASE       0xc0010111u
#define MSR_LS_CFG         0xc0011020u
#define MSR_DE_CFG         0xc0011029u
#define MSR_BU_CFG2        0xc001102au

#define MC_BANKS                10u
#define MTRR_VARIABLES          8u
#define MCG_CTL_P               0x100u
#define DE_CFG_LFENCE_SERIALIZE 2u

static bool canonical(uint64_t a)
{
    return (uint64_t)((int64_t)(a << 16) >> 16) == a;
}

static bool has(const CPUX86State *env, FeatureWord word, unsigned bit)
{
    return cpu_has_bit(env, word, bit);
}

/* ---- groups ---- */

static bool intc_read(CPUX86State *env, uint32_t msr, uint64_t *v)
{
    if (!env->intc) {
        return false;
    }
    machine_lock();
    bool ok = true;
    if (msr == MSR_APIC_BASE) {
        *v = env->intc->get_base(env->intc_opaque);
    } else {
        ok = env->intc->msr_read(env->intc_opaque, msr, v);
    }
    machine_unlock();
    return ok;
}

static bool intc_write(CPUX86State *env, uint32_t msr, uint64_t v)
{
    if (!env->intc) {
        return false;
    }
    machine_lock();
    bool ok = msr == MSR_APIC_BASE ? env->intc->set_base(env->intc_opaque, v)
                                   : env->intc->msr_write(env->intc_opaque, msr, v);
    machine_unlock();
    return ok;
}

static bool is_intc_msr(const CPUX86State *env, uint32_t msr)
{
    return (msr == MSR_APIC_BASE && has(env, FEAT_1_EDX, F1D_APIC)) ||
           (msr == MSR_TSC_DEADLINE && has(env, FEAT_1_ECX, F1C_TSC_DEADLINE)) ||
           (msr >= MSR_X2APIC && msr <= MSR_X2APIC_END && has(env, FEAT_1_ECX, F1C_X2APIC));
}

static bool valid_memory_type(uint64_t type)
{
    return type < 8 && (0x73u >> type & 1); /* UC WC WT WP WB */
}

static bool all_memory_types(uint64_t v)
{
    for (unsigned i = 0; i < 8; i++) {
        if (!valid_memory_type(v >> (8 * i) & 0xff)) {
            return false;
        }
    }
    return true;
}

/* Where a fixed-range MTRR is kept, or NULL. */
static uint64_t *mtrr_fixed(CPUX86State *env, uint32_t msr)
{
    if (msr == MSR_MTRR_FIX64K) {
        return &env->mtrr_fixed[0];
    }
    if (msr - MSR_MTRR_FIX16K < 2u) {
        return &env->mtrr_fixed[1 + msr - MSR_MTRR_FIX16K];
    }
    if (msr - MSR_MTRR_FIX4K < 8u) {
        return &env->mtrr_fixed[3 + msr - MSR_MTRR_FIX4K];
    }
    return NULL;
}

static bool mtrr_read(CPUX86State *env, uint32_t msr, uint64_t *v)
{
    const uint64_t *fixed = mtrr_fixed(env, msr);

    if (fixed) {
        *v = *fixed;
    } else if (msr == MSR_MTRR_CAP) {
        *v = MTRR_VARIABLES | 0x500; /* fixed ranges, write-combining */
    } else if (msr == MSR_MTRR_DEF_TYPE) {
        *v = env->mtrr_def_type;
    } else {
        unsigned n = (msr - MSR_MTRR_VARIABLE) / 2;
        *v = msr & 1 ? env->mtrr_mask[n] : env->mtrr_base[n];
    }
    return true;
}

static bool mtrr_write(CPUX86State *env, uint32_t msr, uint64_t v)
{
    uint64_t *fixed = mtrr_fixed(env, msr);
    uint64_t address = ((1ull << env->model->phys_bits) - 1) & ~0xfffull;

    if (fixed) {
        if (!all_memory_types(v)) {
            return false;
        }
        *fixed = v;
        return true;
    }
    if (msr == MSR_MTRR_CAP) {
        return false;
    }
    if (msr == MSR_MTRR_DEF_TYPE) {
        if ((v & ~0xcffull) || !valid_memory_type(v & 0xff)) {
            return false;
        }
        env->mtrr_def_type = v;
        return true;
    }
    unsigned n = (msr - MSR_MTRR_VARIABLE) / 2;
    if (msr & 1) {
        if (v & ~(address | 0x800)) {
            return false;
        }
        env->mtrr_mask[n] = v;
    } else {
        if ((v & ~(address | 0xff)) || !valid_memory_type(v & 0xff)) {
            return false;
        }
        env->mtrr_base[n] = v;
    }
    return true;
}

static bool is_mtrr(CPUX86State *env, uint32_t msr)
{
    return has(env, FEAT_1_EDX, F1D_MTRR) &&
           (msr == MSR_MTRR_CAP || msr == MSR_MTRR_DEF_TYPE ||
            msr - MSR_MTRR_VARIABLE < 2 * MTRR_VARIABLES || mtrr_fixed(env, msr));
}

static bool mce_read(CPUX86State *env, uint32_t msr, uint64_t *v)
{
    switch (msr) {
    case MSR_MCG_CAP:
        *v = MC_BANKS | MCG_CTL_P;
        return true;
    case MSR_MCG_STATUS:
        *v = env->mcg_status;
        return true;
    case MSR_MCG_CTL:
        *v = env->mcg_ctl;
        return true;
    default:
        *v = env->mce_banks[msr - MSR_MC_BANKS];
        return true;
    }
}

static bool mce_write(CPUX86State *env, uint32_t msr, uint64_t v)
{
    switch (msr) {
    case MSR_MCG_CAP:
        return false;
    case MSR_MCG_STATUS:
        env->mcg_status = v & 7;
        return true;
    case MSR_MCG_CTL:
        if (v && v != ~0ull) {
            return false;
        }
        env->mcg_ctl = v;
        return true;
    default:
        /* STATUS can only be cleared, except that AMD's HWCR bit 18 opens it. */
        if ((msr & 3) == 1 && v && !(env->model->amd && (env->hwcr & 1u << 18))) {
            return false;
        }
        env->mce_banks[msr - MSR_MC_BANKS] = v;
        return true;
    }
}

static bool is_mce(const CPUX86State *env, uint32_t msr)
{
    return has(env, FEAT_1_EDX, F1D_MCA) &&
           ((msr >= MSR_MCG_CAP && msr <= MSR_MCG_CTL) || msr - MSR_MC_BANKS < 4 * MC_BANKS);
}

/* AMD's own; where each is kept, or NULL. */
static uint64_t *amd_register(CPUX86State *env, uint32_t msr)
{
    if (!env->model->amd || env->model->family < 15) {
        return NULL;
    }
    if (msr - MSR_K7_EVTSEL < 4) {
        return &env->k7_evtsel[msr - MSR_K7_EVTSEL];
    }
    if (msr - MSR_K7_PERFCTR < 4) {
        return &env->k7_perfctr[msr - MSR_K7_PERFCTR];
    }
    switch (msr) {
    case MSR_SYSCFG:
        return &env->syscfg;
    case MSR_HWCR:
        return &env->hwcr;
    case MSR_NB_CFG:
        return &env->nb_cfg;
    case MSR_TOP_MEM:
        return &env->top_mem[0];
    case MSR_TOP_MEM2:
        return &env->top_mem[1];
    default:
        return NULL;
    }
}

/* Exist, read as a constant, ignore writes. */
static bool constant_register(const CPUX86State *env, uint32_t msr, uint64_t *v)
{
    const CpuModel *m = env->model;

    *v = 0;
    if (m->amd) {
        switch (msr) {
        case MSR_BIOS_SIGN_ID:
            *v = 0x01000065;
            return true;
        case MSR_DE_CFG:
            *v = DE_CFG_LFENCE_SERIALIZE;
            return true;
        case MSR_PATCH_LOADER:
        case MSR_INT_PENDING:
        case MSR_BU_CFG2:
            return true;
        default:
            return msr >= MSR_LS_CFG && msr < MSR_LS_CFG + 4; /* LS, IC, DC, BU configuration */
        }
    }
    switch (msr) {
    case MSR_P5_MC_ADDR:
    case MSR_P5_MC_TYPE:
        return has(env, FEAT_1_EDX, F1D_MCE);
    case MSR_BIOS_SIGN_ID:
        *v = 1ull << 32;
        return m->family >= 6;
    case MSR_PLATFORM_ID:
    case MSR_EBL_CR_POWERON:
    case MSR_BIOS_UPDT_TRIG:
        return m->family >= 6;
    default:
        return msr >= MSR_LASTBRANCH_FROM && msr <= MSR_LASTINT_TO && m->family >= 6;
    }
}

/* ---- reading ---- */

static bool msr_read(CPUX86State *env, uint32_t msr, uint64_t *v)
{
    bool lm = has(env, FEAT_80000001_EDX, FXD_LM);
    const uint64_t *own = amd_register(env, msr);

    if (own) {
        *v = *own;
        return true;
    }
    if (is_intc_msr(env, msr)) {
        return intc_read(env, msr, v);
    }
    if (is_mtrr(env, msr)) {
        return mtrr_read(env, msr, v);
    }
    if (is_mce(env, msr)) {
        return mce_read(env, msr, v);
    }
    switch (msr) {
    case MSR_TSC:
        *v = cpu_tsc(env);
        return has(env, FEAT_1_EDX, F1D_TSC);
    case MSR_TSC_ADJUST:
        *v = env->tsc_adjust;
        return has(env, FEAT_7_EBX, F7B_TSC_ADJUST);
    case MSR_FEATURE_CONTROL:
        *v = env->feature_control;
        return !env->model->amd && env->model->family >= 6;
    case MSR_SYSENTER_CS:
        *v = env->sysenter_cs;
        return has(env, FEAT_1_EDX, F1D_SEP);
    case MSR_SYSENTER_ESP:
        *v = env->sysenter_esp;
        return has(env, FEAT_1_EDX, F1D_SEP);
    case MSR_SYSENTER_EIP:
        *v = env->sysenter_eip;
        return has(env, FEAT_1_EDX, F1D_SEP);
    case MSR_MISC_ENABLE:
        *v = env->misc_enable;
        return env->model->family >= 6;
    case MSR_DEBUGCTL:
        *v = env->debugctl;
        return env->model->family >= 6;
    case MSR_PAT:
        *v = env->pat;
        return has(env, FEAT_1_EDX, F1D_PAT);
    case MSR_EFER:
        *v = env->efer;
        return has(env, FEAT_80000001_EDX, FXD_NX) || has(env, FEAT_80000001_EDX, FXD_SYSCALL) ||
               lm;
    case MSR_STAR:
        *v = env->star;
        return has(env, FEAT_80000001_EDX, FXD_SYSCALL);
    case MSR_LSTAR:
        *v = env->lstar;
        return lm;
    case MSR_CSTAR:
        *v = env->cstar;
        return lm;
    case MSR_SFMASK:
        *v = env->sfmask;
        return lm;
    case MSR_FS_BASE:
        *v = env->segs[SEG_FS].base;
        return lm;
    case MSR_GS_BASE:
        *v = env->segs[SEG_GS].base;
        return lm;
    case MSR_KERNEL_GS_BASE:
        *v = env->kernel_gs_base;
        return lm;
    case MSR_TSC_AUX:
        *v = env->tsc_aux;
        return has(env, FEAT_80000001_EDX, FXD_RDTSCP);
    case MSR_SMM_BASE:
        *v = env->smbase;
        return env->model->amd;
    default:
        return constant_register(env, msr, v);
    }
}

/* ---- writing ---- */

bool cpu_write_efer(CPUX86State *env, uint64_t v)
{
    uint64_t valid = EFER_LMA; /* read-only: what is written to it does not matter */

    if (has(env, FEAT_80000001_EDX, FXD_SYSCALL)) {
        valid |= EFER_SCE;
    }
    if (has(env, FEAT_80000001_EDX, FXD_NX)) {
        valid |= EFER_NXE;
    }
    if (has(env, FEAT_80000001_EDX, FXD_LM)) {
        valid |= EFER_LME;
    }
    if (has(env, FEAT_80000001_EDX, FXD_FFXSR)) {
        valid |= EFER_FFXSR;
    }
    if (has(env, FEAT_80000021_EAX, FXE_AUTOIBRS)) {
        valid |= EFER_AIBRSE;
    }
    if ((v & ~valid) || ((env->cr0 & CR0_PG) && ((env->efer ^ v) & EFER_LME))) {
        return false;
    }
    uint64_t old = env->efer;
    env->efer = (v & ~(uint64_t)EFER_LMA) | (old & EFER_LMA);
    cpu_update_hflags(env);
    if ((old ^ env->efer) & EFER_NXE) {
        tlb_flush(env);
    }
    return true;
}

static bool write_base(CPUX86State *env, uint64_t *where, uint64_t v)
{
    if (!has(env, FEAT_80000001_EDX, FXD_LM) || !canonical(v)) {
        return false;
    }
    *where = v;
    return true;
}

/* 64 bits wide and canonical with long mode, else 32 bits. */
static bool write_sysenter(CPUX86State *env, uint64_t *where, uint64_t v)
{
    if (!has(env, FEAT_80000001_EDX, FXD_LM)) {
        v = (uint32_t)v;
    } else if (!canonical(v)) {
        return false;
    }
    *where = v;
    return has(env, FEAT_1_EDX, F1D_SEP);
}

static bool msr_write(CPUX86State *env, uint32_t msr, uint64_t v)
{
    uint64_t ignored, *own = amd_register(env, msr);

    if (own) {
        *own = v;
        return true;
    }
    if (is_intc_msr(env, msr)) {
        return intc_write(env, msr, v);
    }
    if (is_mtrr(env, msr)) {
        return mtrr_write(env, msr, v);
    }
    if (is_mce(env, msr)) {
        return mce_write(env, msr, v);
    }
    switch (msr) {
    case MSR_TSC: {
        uint64_t moved = v - cpu_tsc(env);
        env->tsc_offset += moved;
        env->tsc_adjust += moved;
        return has(env, FEAT_1_EDX, F1D_TSC);
    }
    case MSR_TSC_ADJUST:
        if (!has(env, FEAT_7_EBX, F7B_TSC_ADJUST)) {
            return false;
        }
        env->tsc_offset += v - env->tsc_adjust;
        env->tsc_adjust = v;
        return true;
    case MSR_SYSENTER_CS:
        env->sysenter_cs = (uint32_t)v;
        return has(env, FEAT_1_EDX, F1D_SEP);
    case MSR_SYSENTER_ESP:
        return write_sysenter(env, &env->sysenter_esp, v);
    case MSR_SYSENTER_EIP:
        return write_sysenter(env, &env->sysenter_eip, v);
    case MSR_MISC_ENABLE:
        env->misc_enable = v;
        return env->model->family >= 6;
    case MSR_DEBUGCTL:
        env->debugctl = v & 0x3; /* LBR and BTF are kept but do nothing */
        return env->model->family >= 6;
    case MSR_PAT:
        if (!has(env, FEAT_1_EDX, F1D_PAT)) {
            return false;
        }
        for (unsigned i = 0; i < 8; i++) {
            uint8_t type = v >> (8 * i) & 0xff;
            if (type != 7 && !valid_memory_type(type)) {
                return false;
            }
        }
        env->pat = v;
        return true;
    case MSR_EFER:
        return msr_read(env, MSR_EFER, &ignored) && cpu_write_efer(env, v);
    case MSR_STAR:
        env->star = v;
        return has(env, FEAT_80000001_EDX, FXD_SYSCALL);
    case MSR_LSTAR:
        return write_base(env, &env->lstar, v);
    case MSR_CSTAR:
        return write_base(env, &env->cstar, v);
    case MSR_SFMASK:
        env->sfmask = (uint32_t)v;
        return has(env, FEAT_80000001_EDX, FXD_LM);
    case MSR_FS_BASE:
        return write_base(env, &env->segs[SEG_FS].base, v);
    case MSR_GS_BASE:
        return write_base(env, &env->segs[SEG_GS].base, v);
    case MSR_KERNEL_GS_BASE:
        return write_base(env, &env->kernel_gs_base, v);
    case MSR_TSC_AUX:
        env->tsc_aux = (uint32_t)v;
        return has(env, FEAT_80000001_EDX, FXD_RDTSCP);
    case MSR_PLATFORM_ID:
        return false;
    default:
        return constant_register(env, msr, &ignored);
    }
}

/* ---- instructions ---- */

static void write_edx_eax(CPUX86State *env, uint64_t v)
{
    env->regs[R_AX] = (uint32_t)v;
    env->regs[R_DX] = v >> 32;
}

void sys_rdmsr(CPUX86State *env, const Insn *insn)
{
    uint32_t msr = (uint32_t)env->regs[R_CX];
    uint64_t v;

    cpu_require_cpl0(env);
    if (!msr_read(env, msr, &v)) {
        log_printf(LOG_GUEST_ERRORS, "CPU %u: RDMSR of unknown MSR 0x%x\n", env->index, msr);
        cpu_raise_error(env, EXCP_GP, 0);
    }
    write_edx_eax(env, v);
}

void sys_wrmsr(CPUX86State *env, const Insn *insn)
{
    uint32_t msr = (uint32_t)env->regs[R_CX];
    uint64_t v = env->regs[R_DX] << 32 | (uint32_t)env->regs[R_AX];

    cpu_require_cpl0(env);
    if (!msr_write(env, msr, v)) {
        log_printf(LOG_GUEST_ERRORS, "CPU %u: WRMSR 0x%x with 0x%llx refused\n", env->index, msr,
                   (unsigned long long)v);
        cpu_raise_error(env, EXCP_GP, 0);
    }
}

static void check_tsd(CPUX86State *env)
{
    if ((env->cr4 & CR4_TSD) && cpu_cpl(env)) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
}

void sys_rdtsc(CPUX86State *env, const Insn *insn)
{
    check_tsd(env);
    write_edx_eax(env, cpu_tsc(env));
}

void sys_rdtscp(CPUX86State *env, const Insn *insn)
{
    check_tsd(env);
    write_edx_eax(env, cpu_tsc(env));
    env->regs[R_CX] = (uint32_t)env->tsc_aux;
}

void sys_rdpid(CPUX86State *env, const Insn *insn)
{
    exec_reg_write(env, &insn->ops[0], env->tsc_aux, env->hflags & HF_CS64 ? 8 : 4);
}

/* No performance counter counts; AMD's four can be read. */
void sys_rdpmc(CPUX86State *env, const Insn *insn)
{
    uint32_t n = (uint32_t)env->regs[R_CX];

    if ((!(env->cr4 & CR4_PCE) && cpu_cpl(env)) || !amd_register(env, MSR_K7_PERFCTR) || n > 3) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    write_edx_eax(env, env->k7_perfctr[n] & 0xffffffffffffull);
}
