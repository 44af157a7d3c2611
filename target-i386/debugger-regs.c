/*
 * Registers as a debugger reads and sets them.
 *
 * A value that the CPU could not hold is refused; beyond that no privilege is asked for. What a
 * register's change brings with it (modes, TLB) happens as if the guest had made it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "target-i386/debugger.h"
#include "target-i386/excp.h"
#include "target-i386/exec-fpu.h"
#include "target-i386/mem.h"
#include "target-i386/seg.h"
#include "target-i386/sysinsn.h"

#define FOP_MASK 0x7ffu

static bool canonical(uint64_t linear)
{
    return (uint64_t)((int64_t)(linear << 16) >> 16) == linear;
}

/* ---- reading ---- */

static uint64_t read_x87(const CPUX86State *env, unsigned index)
{
    const FpuState *f = &env->fpu;

    switch (index) {
    case DEBUGGER_X87_CONTROL:
        return f->fcw;
    case DEBUGGER_X87_STATUS:
        return f->fsw;
    case DEBUGGER_X87_TAGS:
        return x87_full_tags(env);
    case DEBUGGER_X87_INSN_SEG:
        return env->fcs;
    case DEBUGGER_X87_INSN_OFFSET:
        return (uint32_t)f->fip;
    case DEBUGGER_X87_DATA_SEG:
        return env->fds;
    case DEBUGGER_X87_DATA_OFFSET:
        return (uint32_t)f->fdp;
    default:
        return f->fop & FOP_MASK;
    }
}

static uint64_t read_control(CPUX86State *env, unsigned index)
{
    switch (index) {
    case 0:
        return env->cr0;
    case 2:
        return env->cr2;
    case 3:
        return env->cr3;
    case 4:
        return env->cr4;
    default:
        return env->intc ? env->intc->get_tpr(env->intc_opaque) >> 4 : 0;
    }
}

void debugger_reg_read(CPUX86State *env, DebuggerReg kind, unsigned index, uint8_t value[16])
{
    uint64_t v = 0;

    memset(value, 0, 16);
    switch (kind) {
    case DEBUGGER_REG_GENERAL:
        v = env->regs[index];
        break;
    case DEBUGGER_REG_PC:
        v = debugger_pc(env);
        break;
    case DEBUGGER_REG_FLAGS:
        v = env->eflags;
        break;
    case DEBUGGER_REG_SELECTOR:
        v = env->segs[index].selector;
        break;
    case DEBUGGER_REG_SEG_BASE:
        v = env->segs[index].base;
        break;
    case DEBUGGER_REG_KERNEL_GS_BASE:
        v = env->kernel_gs_base;
        break;
    case DEBUGGER_REG_CONTROL:
        v = read_control(env, index);
        break;
    case DEBUGGER_REG_EFER:
        v = env->efer;
        break;
    case DEBUGGER_REG_X87:
        v = read_x87(env, index);
        break;
    case DEBUGGER_REG_MXCSR:
        v = env->fpu.mxcsr;
        break;
    case DEBUGGER_REG_ST:
        memcpy(value, env->fpu.st[index], 10);
        return;
    case DEBUGGER_REG_XMM:
        memcpy(value, env->fpu.xmm[index], 16);
        return;
    case DEBUGGER_REG_YMM_HIGH:
        memcpy(value, env->fpu.ymmh[index], 16);
        return;
    }
    memcpy(value, &v, sizeof(v));
}

/* ---- writing ---- */

/* The CPU goes on there: it no longer waits behind a HLT, and nothing of the instruction before is
 * due. */
static void write_pc(CPUX86State *env, uint64_t linear)
{
    if (linear == debugger_pc(env)) {
        return;
    }
    env->rip = env->hflags & HF_CS64 ? linear : (uint32_t)(linear - env->segs[SEG_CS].base);
    env->rip_next = env->rip;
    env->halted = false;
    env->shadow = 0;
    env->pending_db = 0;
}

/* Runs what may raise #GP: false when it does. */
static bool attempt(CPUX86State *env, void (*fn)(CPUX86State *env, uint64_t v), uint64_t v)
{
    jmp_buf landing, *outer = env->fault_jmp;
    bool ok = true;

    env->fault_jmp = &landing;
    if (setjmp(landing)) {
        env->excp_vector = -1;
        ok = false;
    } else {
        fn(env, v);
    }
    env->fault_jmp = outer;
    return ok;
}

static bool write_control(CPUX86State *env, unsigned index, uint64_t v)
{
    switch (index) {
    case 0:
        return attempt(env, cpu_write_cr0, v);
    case 2:
        env->cr2 = v;
        return true;
    case 3:
        return attempt(env, cpu_write_cr3, v);
    case 4:
        return attempt(env, cpu_write_cr4, v);
    default:
        if (v > 15 || !env->intc) {
            return false;
        }
        env->intc->set_tpr(env->intc_opaque, (uint8_t)(v << 4));
        return true;
    }
}

/* From the descriptor tables as they are, without setting anything accessed. */
static bool find_descriptor(CPUX86State *env, uint16_t selector, Descriptor *d)
{
    bool local = selector & 4;
    uint64_t base = local ? env->segs[SEG_LDTR].base : env->gdt.base;
    uint32_t limit = local ? env->segs[SEG_LDTR].limit : env->gdt.limit;
    uint32_t bytes[2];

    if ((selector | 7u) > limit || (local && !(env->segs[SEG_LDTR].attr & SEG_ATTR_P)) ||
        !mem_debug_read(env, base + (selector & 0xfff8u), bytes, sizeof(bytes))) {
        return false;
    }
    *d = (Descriptor){bytes[0], bytes[1], 0};
    return true;
}

/* The privilege level stays what it is: CS and SS only take descriptors of that level. */
static bool write_selector(CPUX86State *env, unsigned seg, uint64_t v)
{
    uint16_t selector = (uint16_t)v;
    unsigned cpl = cpu_cpl(env);
    Descriptor d;

    if (v > 0xffff || selector == env->segs[seg].selector) {
        return v <= 0xffff;
    }
    if (!(env->hflags & HF_PE) || env->hflags & HF_VM) {
        seg_load_real(env, seg, selector);
        cpu_update_hflags(env);
        return true;
    }
    if (selector_is_null(selector) && seg != SEG_CS && seg != SEG_SS) {
        env->segs[seg] = (Segment){.selector = selector};
        cpu_update_hflags(env);
        return true;
    }
    if (selector_is_null(selector) || !find_descriptor(env, selector, &d) || !desc_is_segment(&d) ||
        !desc_present(&d)) {
        return false;
    }
    if (seg == SEG_CS ? !desc_is_code(&d) || (!desc_is_conforming(&d) && desc_dpl(&d) != cpl) ||
                            (desc_is_long_code(&d) && desc_is_db(&d))
        : seg == SEG_SS ? !desc_is_writable_data(&d) || desc_dpl(&d) != cpl
                        : desc_is_code(&d) && !(d.high & 0x200)) {
        return false;
    }
    env->segs[seg] = desc_segment(&d, selector);
    cpu_update_hflags(env);
    return true;
}

static bool write_base(uint64_t *base, uint64_t v)
{
    if (!canonical(v)) {
        return false;
    }
    *base = v;
    return true;
}

static void write_x87(CPUX86State *env, unsigned index, uint64_t v)
{
    FpuState *f = &env->fpu;

    env->xstate_bv |= XSTATE_X87;
    switch (index) {
    case DEBUGGER_X87_CONTROL:
        f->fcw = (uint16_t)v;
        break;
    case DEBUGGER_X87_STATUS:
        f->fsw = (uint16_t)v;
        break;
    case DEBUGGER_X87_TAGS:
        f->ftw = x87_abridged_tags((uint16_t)v);
        break;
    case DEBUGGER_X87_INSN_SEG:
        env->fcs = (uint16_t)v;
        break;
    case DEBUGGER_X87_INSN_OFFSET:
        f->fip = (f->fip & ~0xffffffffull) | (uint32_t)v;
        break;
    case DEBUGGER_X87_DATA_SEG:
        env->fds = (uint16_t)v;
        break;
    case DEBUGGER_X87_DATA_OFFSET:
        f->fdp = (f->fdp & ~0xffffffffull) | (uint32_t)v;
        break;
    default:
        f->fop = v & FOP_MASK;
        break;
    }
}

static bool write_mxcsr(CPUX86State *env, uint64_t v)
{
    if (v & ~(uint64_t)env->fpu.mxcsr_mask) {
        return false;
    }
    env->fpu.mxcsr = (uint32_t)v;
    env->xstate_bv |= XSTATE_SSE;
    return true;
}

bool debugger_reg_write(CPUX86State *env, DebuggerReg kind, unsigned index, const uint8_t value[16])
{
    /* VM stays: only interrupts and IRET change it. */
    const uint32_t flags = FLAGS_ARITH | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT |
                           FLAG_RF | FLAG_AC | FLAG_VIF | FLAG_VIP | FLAG_ID;
    uint64_t v;

    memcpy(&v, value, sizeof(v));
    switch (kind) {
    case DEBUGGER_REG_GENERAL:
        env->regs[index] = v;
        return true;
    case DEBUGGER_REG_PC:
        write_pc(env, v);
        return true;
    case DEBUGGER_REG_FLAGS:
        cpu_load_eflags(env, (uint32_t)v, flags);
        return true;
    case DEBUGGER_REG_SELECTOR:
        return write_selector(env, index, v);
    case DEBUGGER_REG_SEG_BASE:
        if (!write_base(&env->segs[index].base, v)) {
            return false;
        }
        cpu_update_hflags(env);
        return true;
    case DEBUGGER_REG_KERNEL_GS_BASE:
        return write_base(&env->kernel_gs_base, v);
    case DEBUGGER_REG_CONTROL:
        return write_control(env, index, v);
    case DEBUGGER_REG_EFER:
        return cpu_write_efer(env, v);
    case DEBUGGER_REG_X87:
        write_x87(env, index, v);
        return true;
    case DEBUGGER_REG_MXCSR:
        return write_mxcsr(env, v);
    case DEBUGGER_REG_ST:
        memcpy(env->fpu.st[index], value, 10);
        env->xstate_bv |= XSTATE_X87;
        return true;
    case DEBUGGER_REG_XMM:
        memcpy(env->fpu.xmm[index], value, 16);
        env->xstate_bv |= XSTATE_SSE;
        return true;
    case DEBUGGER_REG_YMM_HIGH:
        memcpy(env->fpu.ymmh[index], value, 16);
        env->xstate_bv |= XSTATE_AVX;
        return true;
    }
    return false;
}
