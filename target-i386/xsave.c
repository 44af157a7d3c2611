/*
 * FXSAVE, FXRSTOR, XSAVE, XSAVEOPT, XSAVEC, XRSTOR, XGETBV, XSETBV. SDM vol. 1, chapters 10.5
 * and 13.
 *
 * The state lives in the layout of a save area (FpuState), so that saving is copying, but for the
 * x87 pointers, which the 32-bit forms keep as selector and offset. "In use" is found by comparing
 * with the initial state. XSAVEOPT leaves out what is in its initial state, not what is unmodified.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/xsave.h"

#include <string.h>

#include "target-i386/cpuid.h"
#include "target-i386/excp.h"
#include "target-i386/exec-fpu.h"
#include "target-i386/sysinsn.h"

#define MXCSR_DEFAULT 0x1f80u
#define XCOMP_COMPACT (1ull << 63)

/* Offsets in the legacy area. */
#define OFF_FIP   8u
#define OFF_FDP   16u
#define OFF_MXCSR 24u
#define OFF_ST    32u
#define OFF_XMM   160u
#define X87_HEAD  24u

static unsigned vector_registers(const CPUX86State *env)
{
    return env->hflags & HF_CS64 ? 16 : 8;
}

/* n is a multiple of 8. */
static bool all_zero(const void *p, size_t n)
{
    uint64_t any = 0, v;

    for (size_t i = 0; i < n; i += sizeof(v)) {
        memcpy(&v, (const uint8_t *)p + i, sizeof(v));
        any |= v;
    }
    return !any;
}

uint64_t xsave_in_use(CPUX86State *env)
{
    const FpuState *f = &env->fpu;
    uint64_t in_use = 0;

    cpu_x87_sync(env);

    if (f->fcw != 0x37f || f->fsw || f->ftw || f->fop || f->fip || f->fdp ||
        !all_zero(f->st, sizeof(f->st))) {
        in_use |= XSTATE_X87;
    }
    if (!all_zero(f->xmm, sizeof(f->xmm))) {
        in_use |= XSTATE_SSE;
    }
    if (!all_zero(f->ymmh, sizeof(f->ymmh))) {
        in_use |= XSTATE_AVX;
    }
    return in_use;
}

/* #GP(0) when the operand is not aligned. Returns its offset. */
static uint64_t aligned_operand(CPUX86State *env, const Insn *insn, unsigned align)
{
    uint64_t off = exec_effective_address(env, insn);
    uint64_t base = env->hflags & HF_CS64 && insn->seg < SEG_FS ? 0 : env->segs[insn->seg].base;

    if ((base + off) & (align - 1)) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    return off;
}

static bool is_64bit_form(const Insn *insn)
{
    switch (insn->op) {
    case OP_FXSAVE64:
    case OP_FXRSTOR64:
    case OP_XSAVE64:
    case OP_XSAVEOPT64:
    case OP_XSAVEC64:
    case OP_XRSTOR64:
        return true;
    default:
        return false;
    }
}

static void put32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, 4);
}

static uint16_t get16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

/* x87 control words and registers into a legacy area. */
static void save_x87(const CPUX86State *env, uint8_t area[416], bool is64)
{
    memcpy(area, env->fpu.bytes, X87_HEAD);
    if (!is64) {
        put32(area + OFF_FIP, (uint32_t)env->fpu.fip);
        put32(area + OFF_FIP + 4, env->fcs);
        put32(area + OFF_FDP, (uint32_t)env->fpu.fdp);
        put32(area + OFF_FDP + 4, env->fds);
    }
    memcpy(area + OFF_ST, env->fpu.st, sizeof(env->fpu.st));
}

/* An exception flag without its mask is a pending exception, whatever the image's ES bit says. */
static void update_summary(FpuState *f)
{
    bool pending = f->fsw & ~f->fcw & 0x3f;

    f->fsw = (uint16_t)((f->fsw & ~(FSW_ES | FSW_B)) | (pending ? FSW_ES | FSW_B : 0));
}

static void load_x87(CPUX86State *env, const uint8_t *area, bool is64)
{
    FpuState *f = &env->fpu;

    f->fcw = (uint16_t)((get16(area) & 0x1f7f) | 0x40);
    f->fsw = get16(area + 2);
    f->ftw = area[4];
    f->fop = get16(area + 6) & 0x7ff;
    if (is64) {
        f->fip = get64(area + OFF_FIP);
        f->fdp = get64(area + OFF_FDP);
        env->fcs = env->fds = 0;
    } else {
        f->fip = get32(area + OFF_FIP);
        env->fcs = get16(area + OFF_FIP + 4);
        f->fdp = get32(area + OFF_FDP);
        env->fds = get16(area + OFF_FDP + 4);
    }
    for (unsigned i = 0; i < 8; i++) {
        memcpy(f->st[i], area + OFF_ST + 16 * i, 10);
        memset(f->st[i] + 10, 0, 6);
    }
    update_summary(f);
    env->ignne = env->ignne && (f->fsw & FSW_ES);
}

static void init_x87(CPUX86State *env)
{
    FpuState *f = &env->fpu;

    f->fcw = 0x37f;
    f->fsw = f->fop = 0;
    f->ftw = 0;
    f->fip = f->fdp = 0;
    env->fcs = env->fds = 0;
    env->ignne = false;
    memset(f->st, 0, sizeof(f->st));
}

static void check_mxcsr(CPUX86State *env, uint32_t mxcsr)
{
    if (mxcsr & ~env->fpu.mxcsr_mask) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
}

/* ---- FXSAVE, FXRSTOR ---- */

void sys_fxsave(CPUX86State *env, const Insn *insn)
{
    uint8_t area[416];
    unsigned size = OFF_XMM + 16 * vector_registers(env);

    exec_check_class(env, insn);
    uint64_t off = aligned_operand(env, insn, 16);
    save_x87(env, area, is_64bit_form(insn));
    put32(area + OFF_MXCSR, env->fpu.mxcsr);
    put32(area + OFF_MXCSR + 4, env->fpu.mxcsr_mask);
    memcpy(area + OFF_XMM, env->fpu.xmm, 16 * vector_registers(env));
    mem_probe_write(env, insn->seg, off, 512);
    mem_write_bytes(env, insn->seg, off, area, size);
}

void sys_fxrstor(CPUX86State *env, const Insn *insn)
{
    uint8_t area[512];

    exec_check_class(env, insn);
    uint64_t off = aligned_operand(env, insn, 16);
    mem_read_bytes(env, insn->seg, off, area, sizeof(area));
    check_mxcsr(env, get32(area + OFF_MXCSR));
    load_x87(env, area, is_64bit_form(insn));
    env->fpu.mxcsr = get32(area + OFF_MXCSR);
    memcpy(env->fpu.xmm, area + OFF_XMM, 16 * vector_registers(env));
    env->xstate_bv |= XSTATE_X87 | XSTATE_SSE;
}

/* ---- XSAVE family ---- */

static uint64_t requested(const CPUX86State *env)
{
    return env->xcr0 & (env->regs[R_DX] << 32 | (uint32_t)env->regs[R_AX]);
}

void sys_xsave(CPUX86State *env, const Insn *insn)
{
    bool compact = insn->op == OP_XSAVEC || insn->op == OP_XSAVEC64;
    bool plain = insn->op == OP_XSAVE || insn->op == OP_XSAVE64;
    uint64_t rfbm = requested(env), in_use = xsave_in_use(env), write, header[2];
    uint8_t area[416];
    unsigned seg = insn->seg, nregs = vector_registers(env);

    exec_check_class(env, insn);
    uint64_t off = aligned_operand(env, insn, 64);
    if (compact && env->fpu.mxcsr != MXCSR_DEFAULT) {
        in_use |= XSTATE_SSE;
    }
    write = plain ? rfbm : rfbm & in_use;
    mem_probe_write(env, seg, off, xsave_area_size(rfbm));
    if (compact) {
        header[0] = rfbm & in_use;
        header[1] = rfbm | XCOMP_COMPACT;
    } else {
        mem_read_bytes(env, seg, off + XSAVE_HEADER_OFFSET, header, 16);
        header[0] = (header[0] & ~rfbm) | (rfbm & in_use);
    }
    if (write & XSTATE_X87) {
        save_x87(env, area, is_64bit_form(insn));
        mem_write_bytes(env, seg, off, area, X87_HEAD);
        mem_write_bytes(env, seg, off + OFF_ST, area + OFF_ST, OFF_XMM - OFF_ST);
    }
    if (compact ? write & XSTATE_SSE : rfbm & (XSTATE_SSE | XSTATE_AVX)) {
        uint32_t mxcsr[2] = {env->fpu.mxcsr, env->fpu.mxcsr_mask};
        mem_write_bytes(env, seg, off + OFF_MXCSR, mxcsr, 8);
    }
    if (write & XSTATE_SSE) {
        mem_write_bytes(env, seg, off + OFF_XMM, env->fpu.xmm, 16 * nregs);
    }
    if (write & XSTATE_AVX) {
        mem_write_bytes(env, seg, off + XSAVE_AVX_OFFSET, env->fpu.ymmh, 16 * nregs);
    }
    mem_write_bytes(env, seg, off + XSAVE_HEADER_OFFSET, header, compact ? 16 : 8);
}

/* What of the header no area may have. */
static void check_header(CPUX86State *env, const uint64_t header[8])
{
    uint64_t bv = header[0], comp = header[1];
    bool compact = comp & XCOMP_COMPACT;

    if (compact) {
        comp &= ~XCOMP_COMPACT;
        if (!cpu_has_bit(env, FEAT_D_1_EAX, FD1_XSAVEC) || (comp & ~env->xcr0) || (bv & ~comp) ||
            !all_zero(header + 2, 48)) {
            cpu_raise_error(env, EXCP_GP, 0);
        }
    } else if ((bv & ~env->xcr0) || comp || header[2]) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
}

void sys_xrstor(CPUX86State *env, const Insn *insn)
{
    uint8_t area[XSAVE_AVX_OFFSET + XSAVE_AVX_SIZE] __attribute__((aligned(8)));
    uint64_t header[8], rfbm = requested(env), bv;
    unsigned nregs = vector_registers(env);
    FpuState *f = &env->fpu;

    exec_check_class(env, insn);
    uint64_t off = aligned_operand(env, insn, 64);
    mem_read_bytes(env, insn->seg, off, area, XSAVE_AVX_OFFSET);
    memcpy(header, area + XSAVE_HEADER_OFFSET, sizeof(header));
    check_header(env, header);
    bv = header[0] & rfbm;
    bool compact = header[1] & XCOMP_COMPACT;
    if (bv & XSTATE_AVX) {
        mem_read_bytes(env, insn->seg, off + XSAVE_AVX_OFFSET, area + XSAVE_AVX_OFFSET, 16 * nregs);
    }
    bool load_mxcsr = compact ? bv & XSTATE_SSE : rfbm & (XSTATE_SSE | XSTATE_AVX);
    if (load_mxcsr) {
        check_mxcsr(env, get32(area + OFF_MXCSR));
        f->mxcsr = get32(area + OFF_MXCSR);
    } else if (rfbm & XSTATE_SSE) {
        f->mxcsr = MXCSR_DEFAULT;
    }
    if (bv & XSTATE_X87) {
        load_x87(env, area, is_64bit_form(insn));
    } else if (rfbm & XSTATE_X87) {
        init_x87(env);
    }
    if (bv & XSTATE_SSE) {
        memcpy(f->xmm, area + OFF_XMM, 16 * nregs);
    } else if (rfbm & XSTATE_SSE) {
        memset(f->xmm, 0, 16 * nregs);
    }
    if (bv & XSTATE_AVX) {
        memcpy(f->ymmh, area + XSAVE_AVX_OFFSET, 16 * nregs);
    } else if (rfbm & XSTATE_AVX) {
        memset(f->ymmh, 0, 16 * nregs);
    }
    env->xstate_bv |= rfbm;
}

/* ---- XCR0 ---- */

void sys_xgetbv(CPUX86State *env, const Insn *insn)
{
    uint32_t index = (uint32_t)env->regs[R_CX];
    uint64_t v = env->xcr0;

    if (!(env->cr4 & CR4_OSXSAVE)) {
        cpu_raise(env, EXCP_UD);
    }
    if (index == 1 && cpu_has_bit(env, FEAT_D_1_EAX, FD1_XGETBV1)) {
        v &= xsave_in_use(env);
    } else if (index) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    env->regs[R_AX] = (uint32_t)v;
    env->regs[R_DX] = v >> 32;
}

void sys_xsetbv(CPUX86State *env, const Insn *insn)
{
    uint64_t v = env->regs[R_DX] << 32 | (uint32_t)env->regs[R_AX];

    if (!(env->cr4 & CR4_OSXSAVE)) {
        cpu_raise(env, EXCP_UD);
    }
    cpu_require_cpl0(env);
    if ((uint32_t)env->regs[R_CX] || !(v & XSTATE_X87) || (v & ~env->model->xcr0_valid) ||
        ((v & XSTATE_AVX) && !(v & XSTATE_SSE))) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    env->xcr0 = v;
}
