/*
 * The x87 instructions that control the unit or move its state; those that compute run on the host
 * (exec_on_host()).
 *
 * FpuState has the registers in stack order, so a change of TOP alone moves them. Tags are kept as
 * one bit a physical register; the two-bit tags of the environment are worked out from the
 * contents.
 *
 * Sources: SDM vol. 1, 8.1 (environment formats, figures 8-9 to 8-12), vol. 2 (FSTENV, FSAVE).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "target-i386/code-cache.h"
#include "target-i386/exec-fpu.h"
#include "target-i386/exec.h"
#include "target-i386/mem.h"

#define FCW_VALID      0x1f3fu
#define FCW_ONE        0x0040u /* reads as one */
#define FCW_INIT       0x037fu
#define FCW_MASKS      0x003fu
#define FSW_EXCEPTIONS 0x003fu

void (*cpu_ferr)(CPUX86State *env);

void exec_x87_pending(CPUX86State *env)
{
    if (env->cr0 & CR0_NE || !cpu_ferr) {
        cpu_raise(env, EXCP_MF);
    }
    if (!env->ignne) {
        cpu_ferr(env);
        cpu_wait(env);
    }
}

void cpu_set_ignne(CPUX86State *env)
{
    env->ignne = env->fpu.fsw & FSW_ES;
}

/* A function by itself: tests/no-x87 looks for who else uses the host's x87. */
__attribute__((noinline)) void cpu_x87_sync(CPUX86State *env)
{
    FpuState *f = &env->fpu;

    if (env->jit_x87_away) {
        return;
    }
    uint16_t fop = f->fop;
    uint64_t fip = f->fip, fdp = f->fdp;
    asm volatile("xsave64 %0\n\tfninit" : "+m"(*f) : "a"(XSTATE_X87), "d"(0));
    f->fop = fop; /* not the addresses of translated code */
    f->fip = fip;
    f->fdp = fdp;
    env->jit_x87_away = 1;
}

static unsigned top_of_stack(const CPUX86State *env)
{
    return env->fpu.fsw >> 11 & 7;
}

/* Moves the registers to where they stand under another TOP. */
static void set_top(CPUX86State *env, unsigned top)
{
    uint8_t st[8][16];
    unsigned by = top - top_of_stack(env);

    memcpy(st, env->fpu.st, sizeof(st));
    for (unsigned i = 0; i < 8; i++) {
        memcpy(env->fpu.st[i], st[(i + by) & 7], 16);
    }
    env->fpu.fsw = (uint16_t)((env->fpu.fsw & ~(7u << 11)) | top << 11);
}

void exec_enter_mmx(CPUX86State *env)
{
    set_top(env, 0);
    env->fpu.ftw = 0xff;
}

/* ES and B follow from flags and masks. */
static void update_summary(CPUX86State *env)
{
    if (env->fpu.fsw & ~env->fpu.fcw & FSW_EXCEPTIONS) {
        env->fpu.fsw |= FSW_ES | FSW_B;
    } else {
        env->fpu.fsw &= (uint16_t) ~(FSW_ES | FSW_B);
        env->ignne = false;
    }
}

static void set_fcw(CPUX86State *env, uint16_t fcw)
{
    env->fpu.fcw = (fcw & FCW_VALID) | FCW_ONE;
    update_summary(env);
}

static void initialise(CPUX86State *env)
{
    set_top(env, 0);
    env->fpu.fcw = FCW_INIT;
    env->fpu.fsw = 0;
    env->fpu.ftw = 0;
    env->fpu.fop = 0;
    env->fpu.fip = env->fpu.fdp = 0;
    env->fcs = env->fds = 0;
    env->ignne = false;
}

/* ---- environment ---- */

static unsigned tag_of(const uint8_t st[16])
{
    uint64_t mantissa;
    uint16_t exponent;

    memcpy(&mantissa, st, 8);
    memcpy(&exponent, st + 8, 2);
    exponent &= 0x7fff;
    if (exponent == 0 && mantissa == 0) {
        return 1; /* zero */
    }
    return exponent != 0 && exponent != 0x7fff && mantissa >> 63 ? 0 : 2; /* valid, special */
}

uint16_t x87_full_tags(const CPUX86State *env)
{
    unsigned top = top_of_stack(env), tags = 0;

    for (unsigned i = 0; i < 8; i++) {
        unsigned tag = env->fpu.ftw >> i & 1 ? tag_of(env->fpu.st[(i - top) & 7]) : 3;
        tags |= tag << (2 * i);
    }
    return (uint16_t)tags;
}

uint8_t x87_abridged_tags(uint16_t tags)
{
    uint8_t ftw = 0;

    for (unsigned i = 0; i < 8; i++) {
        if ((tags >> (2 * i) & 3) != 3) {
            ftw |= (uint8_t)(1u << i);
        }
    }
    return ftw;
}

static bool real_format(const CPUX86State *env)
{
    return !(env->hflags & HF_PE) || env->hflags & HF_VM;
}

static void put16(uint8_t *buf, unsigned at, uint32_t v)
{
    buf[at] = (uint8_t)v;
    buf[at + 1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *buf, unsigned at, uint32_t v)
{
    put16(buf, at, v);
    put16(buf, at + 2, v >> 16);
}

static uint32_t get16(const uint8_t *buf, unsigned at)
{
    return buf[at] | (uint32_t)buf[at + 1] << 8;
}

static uint32_t get32(const uint8_t *buf, unsigned at)
{
    return get16(buf, at) | get16(buf, at + 2) << 16;
}

/* Writes the environment; returns its size, 14 or 28. */
static unsigned build_environment(const CPUX86State *env, unsigned opsize, uint8_t *buf)
{
    const FpuState *f = &env->fpu;
    bool real = real_format(env);
    uint32_t fop = f->fop & 0x7ff;
    uint32_t ip = real ? (uint32_t)(f->fip + ((uint32_t)env->fcs << 4)) : (uint32_t)f->fip;
    uint32_t dp = real ? (uint32_t)(f->fdp + ((uint32_t)env->fds << 4)) : (uint32_t)f->fdp;

    if (opsize == 2) {
        put16(buf, 0, f->fcw);
        put16(buf, 2, f->fsw);
        put16(buf, 4, x87_full_tags(env));
        put16(buf, 6, ip);
        put16(buf, 8, real ? (ip >> 16 & 15) << 12 | fop : env->fcs);
        put16(buf, 10, dp);
        put16(buf, 12, real ? (dp >> 16 & 15) << 12 : env->fds);
        return 14;
    }
    put32(buf, 0, f->fcw | 0xffff0000u);
    put32(buf, 4, f->fsw | 0xffff0000u);
    put32(buf, 8, x87_full_tags(env) | 0xffff0000u);
    if (real) {
        put32(buf, 12, (ip & 0xffff) | 0xffff0000u);
        put32(buf, 16, (ip >> 16) << 12 | fop);
        put32(buf, 20, (dp & 0xffff) | 0xffff0000u);
        put32(buf, 24, (dp >> 16) << 12);
    } else {
        put32(buf, 12, ip);
        put32(buf, 16, env->fcs | fop << 16);
        put32(buf, 20, dp);
        put32(buf, 24, env->fds | 0xffff0000u);
    }
    return 28;
}

static void load_environment(CPUX86State *env, unsigned opsize, const uint8_t *buf)
{
    FpuState *f = &env->fpu;
    unsigned step = opsize == 2 ? 2 : 4;
    bool real = real_format(env);
    uint16_t fcw = (uint16_t)get16(buf, 0), fsw = (uint16_t)get16(buf, step);

    set_top(env, fsw >> 11 & 7);
    f->fsw = fsw;
    f->ftw = x87_abridged_tags((uint16_t)get16(buf, 2 * step));
    if (opsize == 2) {
        f->fip = get16(buf, 6);
        f->fdp = get16(buf, 10);
        if (real) {
            f->fip |= (get16(buf, 8) >> 12) << 16;
            f->fdp |= (get16(buf, 12) >> 12) << 16;
            f->fop = get16(buf, 8) & 0x7ff;
            env->fcs = env->fds = 0;
        } else {
            env->fcs = (uint16_t)get16(buf, 8);
            env->fds = (uint16_t)get16(buf, 12);
        }
    } else if (real) {
        f->fip = get16(buf, 12) | (get32(buf, 16) >> 12 & 0xffff) << 16;
        f->fdp = get16(buf, 20) | (get32(buf, 24) >> 12 & 0xffff) << 16;
        f->fop = get16(buf, 16) & 0x7ff;
        env->fcs = env->fds = 0;
    } else {
        f->fip = get32(buf, 12);
        f->fdp = get32(buf, 20);
        f->fop = get16(buf, 18) & 0x7ff;
        env->fcs = (uint16_t)get16(buf, 16);
        env->fds = (uint16_t)get16(buf, 24);
    }
    set_fcw(env, fcw);
    env->xstate_bv |= XSTATE_X87;
}

/* The first field and the last byte are touched first: a fault on a second page reports the last.
 */
static void read_state(CPUX86State *env, const Insn *insn, uint8_t *buf, unsigned size)
{
    uint64_t ea = exec_effective_address(env, insn);

    mem_read(env, insn->seg, ea, insn->opsize == 2 ? 2 : 4);
    mem_read8(env, insn->seg, exec_mask_address(insn, ea + size - 1));
    mem_read_bytes(env, insn->seg, ea, buf, size);
}

static void write_state(CPUX86State *env, const Insn *insn, const uint8_t *buf, unsigned size)
{
    uint64_t ea = exec_effective_address(env, insn);

    mem_probe_write(env, insn->seg, ea, insn->opsize == 2 ? 2 : 4);
    mem_probe_write(env, insn->seg, exec_mask_address(insn, ea + size - 1), 1);
    mem_write_bytes(env, insn->seg, ea, buf, size);
}

static void fnstenv(CPUX86State *env, const Insn *insn)
{
    uint8_t buf[28];

    exec_check_class(env, insn);
    unsigned size = build_environment(env, insn->opsize, buf);
    write_state(env, insn, buf, size);
    env->fpu.fcw |= FCW_MASKS;
    update_summary(env);
    env->xstate_bv |= XSTATE_X87;
}

static void fldenv(CPUX86State *env, const Insn *insn)
{
    uint8_t buf[28];

    exec_check_class(env, insn);
    read_state(env, insn, buf, insn->opsize == 2 ? 14 : 28);
    load_environment(env, insn->opsize, buf);
}

static void fnsave(CPUX86State *env, const Insn *insn)
{
    uint8_t buf[108];

    exec_check_class(env, insn);
    unsigned size = build_environment(env, insn->opsize, buf);
    for (unsigned i = 0; i < 8; i++, size += 10) {
        memcpy(buf + size, env->fpu.st[i], 10);
    }
    write_state(env, insn, buf, size);
    initialise(env);
}

static void frstor(CPUX86State *env, const Insn *insn)
{
    unsigned size = insn->opsize == 2 ? 14 : 28;
    uint8_t buf[108];

    exec_check_class(env, insn);
    read_state(env, insn, buf, size + 80);
    load_environment(env, insn->opsize, buf);
    for (unsigned i = 0; i < 8; i++, size += 10) {
        memcpy(env->fpu.st[i], buf + size, 10);
        memset(env->fpu.st[i] + 10, 0, 6);
    }
}

/* ---- control ---- */

static void wait(CPUX86State *env, const Insn *insn)
{
    exec_check_class(env, insn);
}

static void fldcw(CPUX86State *env, const Insn *insn)
{
    exec_check_class(env, insn);
    set_fcw(env, mem_read16(env, insn->seg, exec_effective_address(env, insn)));
    env->xstate_bv |= XSTATE_X87;
}

static void fnstcw(CPUX86State *env, const Insn *insn)
{
    exec_check_class(env, insn);
    mem_write16(env, insn->seg, exec_effective_address(env, insn), env->fpu.fcw);
}

static void fnstsw(CPUX86State *env, const Insn *insn)
{
    exec_check_class(env, insn);
    if (insn->ops[0].kind == OPND_MEM) {
        mem_write16(env, insn->seg, exec_effective_address(env, insn), env->fpu.fsw);
    } else {
        *(uint16_t *)&env->regs[R_AX] = env->fpu.fsw;
    }
}

static void fnclex(CPUX86State *env, const Insn *insn)
{
    exec_check_class(env, insn);
    env->fpu.fsw &= 0x7f00;
    env->ignne = false;
}

static void fninit(CPUX86State *env, const Insn *insn)
{
    exec_check_class(env, insn);
    initialise(env);
    env->xstate_bv |= XSTATE_X87;
}

const ExecEntry exec_x87_entries[] = {
    {OP_WAIT, wait},     {OP_FLDCW, fldcw},   {OP_FNSTCW, fnstcw},
    {OP_FNSTSW, fnstsw}, {OP_FLDENV, fldenv}, {OP_FNSTENV, fnstenv},
    {OP_FRSTOR, frstor}, {OP_FNSAVE, fnsave}, {OP_FNINIT, fninit},
    {OP_FNCLEX, fnclex}, {OP_FNENI, wait},    {OP_FNDISI, wait},
    {OP_FNSETPM, wait},  {0, NULL},
};
