/*
 * MMX, SSE and AVX instructions. Nearly all run on the host (host-thunk.h); here is what stands
 * around that, and the few that touch memory element by element or only concern state.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "target-i386/code-cache.h"
#include "target-i386/exec-fpu.h"
#include "target-i386/exec-select.h"
#include "target-i386/exec.h"
#include "target-i386/host-thunk.h"
#include "target-i386/mem.h"

#define MXCSR_MM 0x20000u

/* ---- on the host ---- */

static void read_memory(CPUX86State *env, const Insn *insn, uint64_t ea, void *buf)
{
    uint64_t v;

    switch (insn->mem_size) {
    case 1:
    case 2:
    case 4:
    case 8:
        v = mem_read(env, insn->seg, ea, insn->mem_size); /* one access */
        memcpy(buf, &v, sizeof(v));
        break;
    default:
        mem_read_bytes(env, insn->seg, ea, buf, insn->mem_size);
    }
}

static void write_memory(CPUX86State *env, const Insn *insn, uint64_t ea, const void *buf)
{
    uint64_t v;

    switch (insn->mem_size) {
    case 1:
    case 2:
    case 4:
    case 8:
        memcpy(&v, buf, sizeof(v));
        mem_write(env, insn->seg, ea, v, insn->mem_size);
        break;
    default:
        mem_write_bytes(env, insn->seg, ea, buf, insn->mem_size);
    }
}

/* #AC where the mode wants alignment; what the segment says, not canonical above all, comes first. */
static void check_ac(CPUX86State *env, const Insn *insn, uint64_t ea, unsigned size, unsigned align)
{
    if (__builtin_expect(env->hflags & HF_AC, 0) && exec_linear(env, insn->seg, ea) & (align - 1)) {
        mem_check_segment(env, insn->seg, ea, size, insn->flags & INSN_MEM_WRITE);
        cpu_raise_error(env, EXCP_AC, 0);
    }
}

/* MXCSR.MM (AMD APM vol. 1, 4.2.2): only moves that say they are aligned must be. */
static bool alignment_waived(const CPUX86State *env, const Insn *insn)
{
    if (!(env->fpu.mxcsr & MXCSR_MM)) {
        return false;
    }
    switch (insn->op) {
    case OP_MOVAPS:
    case OP_MOVAPD:
    case OP_MOVDQA:
    case OP_MOVNTPS:
    case OP_MOVNTPD:
    case OP_MOVNTDQ:
    case OP_MOVNTDQA:
        return false;
    default:
        return insn->insn_class == INSN_CLASS_SSE || insn->insn_class == INSN_CLASS_SSE_MMX;
    }
}

/* #GP where the instruction wants alignment; #AC where the mode does (operands of up to 8 bytes:
 * mem.c). */
static void check_alignment(CPUX86State *env, const Insn *insn, uint64_t ea)
{
    uint64_t linear = exec_linear(env, insn->seg, ea);

    if (insn->mem_align > 1 && linear & (insn->mem_align - 1u) && !alignment_waived(env, insn)) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    if (insn->mem_size > 8) {
        check_ac(env, insn, ea, insn->mem_size, insn->mem_size == 10 ? 8 : 16);
    }
}

/* The general register among the operands, or NULL. */
static const InsnOperand *general_operand(const Insn *insn)
{
    for (unsigned i = 0; i < insn->nops; i++) {
        if (insn->ops[i].kind == OPND_GPR) {
            return &insn->ops[i];
        }
    }
    return NULL;
}

static bool is_pcmpstr(const Insn *insn)
{
    return insn->map == INSN_MAP_0F3A && (insn->opcode & 0xfc) == 0x60;
}

static void raise_simd(CPUX86State *env)
{
    cpu_raise(env, env->cr4 & CR4_OSXMMEXCPT ? EXCP_XM : EXCP_UD);
}

/* An x87 store that raised an unmasked exception other than precision has not stored. */
static bool x87_store_happened(const CPUX86State *env, uint16_t old_fsw)
{
    uint16_t unmasked = env->fpu.fsw & ~env->fpu.fcw & 0x3f;

    return !(env->fpu.fsw & FSW_ES) || old_fsw & FSW_ES || !(unmasked & ~0x20);
}

/* What the host's FXSAVE has filled with its own addresses: put back, or the guest's for an x87
 * instruction. */
static void set_x87_pointers(CPUX86State *env, const Insn *insn, const FpuState *old, uint64_t ea)
{
    env->fpu.mxcsr_mask = old->mxcsr_mask;
    if (insn->insn_class != INSN_CLASS_X87 && insn->insn_class != INSN_CLASS_X87_NOWAIT) {
        env->fpu.fop = old->fop;
        env->fpu.fip = old->fip;
        env->fpu.fdp = old->fdp;
        return;
    }
    env->fpu.fop = (uint16_t)((insn->opcode & 7) << 8 | insn->modrm);
    env->fpu.fip = env->rip;
    env->fcs = env->segs[SEG_CS].selector;
    env->fpu.fdp = old->fdp;
    if (insn->modrm < 0xc0) {
        env->fpu.fdp = ea;
        env->fds = env->segs[insn->seg].selector;
    }
}

static bool uses_x87_state(const Insn *insn)
{
    return insn->insn_class != INSN_CLASS_SSE && insn->insn_class != INSN_CLASS_AVX;
}

/* Which components are not in their initial state any more. */
static void mark_state(CPUX86State *env, const Insn *insn)
{
    if (uses_x87_state(insn)) {
        env->xstate_bv |= XSTATE_X87;
    }
    if (insn->insn_class == INSN_CLASS_AVX) {
        env->xstate_bv |= XSTATE_SSE | (insn->vl ? XSTATE_AVX : 0);
    } else if (insn->insn_class == INSN_CLASS_SSE || insn->insn_class == INSN_CLASS_SSE_MMX) {
        env->xstate_bv |= XSTATE_SSE;
    }
}

void exec_on_host(CPUX86State *env, const Insn *insn)
{
    const InsnOperand *gpr = general_operand(insn);
    bool has_mem = insn->off_modrm && insn->modrm < 0xc0, x87 = uses_x87_state(insn);
    uint8_t buf[64] __attribute__((aligned(64)));
    HostCall call;
    uint64_t ea = 0;

    exec_check_class(env, insn);
    if (has_mem) {
        ea = exec_effective_address(env, insn);
        check_alignment(env, insn, ea);
        if (insn->flags & INSN_MEM_READ) {
            read_memory(env, insn, ea, buf);
        } else if (x87 || insn->flags & INSN_SIMD_FP) {
            mem_probe_write(env, insn->seg, ea, insn->mem_size);
        }
    }
    call.rax = gpr ? env->regs[gpr->reg] : env->regs[R_AX];
    call.rdx = env->regs[R_DX];
    call.rcx = env->regs[R_CX];
    call.flags = (env->eflags & FLAGS_ARITH) | FLAG_1 | FLAG_IF;
    if (x87) {
        FpuState old;
        memcpy(&old, &env->fpu, 32); /* all but the registers */
        host_thunk_run(insn->aux, &env->fpu, buf, &call);
        set_x87_pointers(env, insn, &old, ea);
        if (insn->flags & INSN_MEM_WRITE && has_mem && !x87_store_happened(env, old.fsw)) {
            has_mem = false;
        }
    } else {
        host_thunk_run(insn->aux, &env->fpu, buf, &call);
    }
    if (call.trap == EXCP_MF) {
        cpu_raise(env, EXCP_MF);
    } else if (call.trap) {
        raise_simd(env);
    }
    if (has_mem && insn->flags & INSN_MEM_WRITE) {
        write_memory(env, insn, ea, buf);
    }
    if (gpr && gpr->access & OPND_WRITE) {
        env->regs[gpr->reg] = call.rax;
    }
    if (is_pcmpstr(insn) && insn->opcode & 1) {
        env->regs[R_CX] = call.rcx;
    }
    if (insn->eflags_written) {
        env->eflags = (env->eflags & ~FLAGS_ARITH) | (call.flags & FLAGS_ARITH);
    }
    mark_state(env, insn);
}

/* ---- element by element ---- */

/* Byte i of a vector register that is kept in two halves. */
static uint8_t *vector_byte(CPUX86State *env, unsigned reg, unsigned i)
{
    return i < 16 ? &env->fpu.xmm[reg][i] : &env->fpu.ymmh[reg][i - 16];
}

static uint64_t element_read(CPUX86State *env, unsigned reg, unsigned i, unsigned size)
{
    uint64_t v = 0;

    memcpy(&v, vector_byte(env, reg, i * size), size);
    return v;
}

static void element_write(CPUX86State *env, unsigned reg, unsigned i, unsigned size, uint64_t v)
{
    memcpy(vector_byte(env, reg, i * size), &v, size);
}

/* VEX: what lies beyond the first `bytes` of the register becomes zero. */
static void clear_upper(CPUX86State *env, unsigned reg, unsigned bytes)
{
    if (bytes < 16) {
        memset(&env->fpu.xmm[reg][bytes], 0, 16 - bytes);
    }
    if (bytes <= 16) {
        memset(env->fpu.ymmh[reg], 0, 16);
    }
}

static bool element_selected(CPUX86State *env, unsigned mask, unsigned i, unsigned size)
{
    return *vector_byte(env, mask, i * size + size - 1) & 0x80;
}

/*
 * MASKMOVQ, MASKMOVDQU: bytes of ops[0] that ops[1] selects go to rDI. As on AMD's processors the
 * whole operand has to be writable, and MASKMOVQ has entered MMX state before it can fault.
 */
static void maskmov_bytes(CPUX86State *env, const Insn *insn)
{
    bool mmx = insn->ops[0].kind == OPND_MMX;
    unsigned n = mmx ? 8 : 16;
    const uint8_t *data = env->fpu.xmm[insn->ops[0].reg], *mask = env->fpu.xmm[insn->ops[1].reg];

    exec_check_class(env, insn);
    if (mmx) {
        exec_enter_mmx(env); /* register i is ST(i) then */
        data = env->fpu.st[insn->ops[0].reg];
        mask = env->fpu.st[insn->ops[1].reg];
    }
    check_ac(env, insn, exec_mask_address(insn, env->regs[R_DI]), 8, 8);
    mem_probe_write(env, insn->seg, exec_mask_address(insn, env->regs[R_DI]), n);
    for (unsigned i = 0; i < n; i++) {
        if (mask[i] & 0x80) {
            mem_write8(env, insn->seg, exec_mask_address(insn, env->regs[R_DI] + i), data[i]);
        }
    }
    mark_state(env, insn);
}

/* Masked elements are not subject to #AC; the byte accesses see to that. */
static uint64_t read_element(CPUX86State *env, unsigned seg, uint64_t ea, unsigned size)
{
    uint64_t v = 0;

    mem_read_bytes(env, seg, ea, &v, size);
    return v;
}

static void probe_element(CPUX86State *env, const Insn *insn, uint64_t ea, unsigned size)
{
    unsigned in_page = GUEST_PAGE_SIZE - (exec_linear(env, insn->seg, ea) & (GUEST_PAGE_SIZE - 1));

    mem_probe_write(env, insn->seg, ea, 1);
    if (in_page < size) {
        mem_probe_write(env, insn->seg, exec_mask_address(insn, ea + in_page), 1);
    }
}

static void vmaskmov(CPUX86State *env, const Insn *insn)
{
    bool store = insn->ops[0].kind == OPND_MEM;
    unsigned size = insn->op == OP_VMASKMOVPD || insn->op == OP_VPMASKMOVQ ? 8 : 4;
    unsigned n = (16u << insn->vl) / size, mask = insn->ops[1].reg;

    exec_check_class(env, insn);
    uint64_t ea = exec_effective_address(env, insn), v[8] = {0};
    for (unsigned i = 0; i < n; i++) {
        uint64_t at = exec_mask_address(insn, ea + i * size);
        if (!element_selected(env, mask, i, size)) {
            continue;
        }
        if (store) {
            probe_element(env, insn, at, size);
        } else {
            v[i] = read_element(env, insn->seg, at, size);
        }
    }
    for (unsigned i = 0; i < n; i++) {
        if (!store) {
            element_write(env, insn->ops[0].reg, i, size, v[i]);
        } else if (element_selected(env, mask, i, size)) {
            uint64_t element = element_read(env, insn->ops[2].reg, i, size);
            mem_write_bytes(env, insn->seg, exec_mask_address(insn, ea + i * size), &element, size);
        }
    }
    if (!store) {
        clear_upper(env, insn->ops[0].reg, 16u << insn->vl);
    }
    mark_state(env, insn);
}

static uint64_t gather_address(CPUX86State *env, const Insn *insn, unsigned i, unsigned index_size)
{
    uint64_t index = element_read(env, insn->index, i, index_size), ea = (uint64_t)insn->disp;

    if (index_size == 4) {
        index = (uint64_t)(int64_t)(int32_t)index;
    }
    if (insn->base < 16) {
        ea += env->regs[insn->base];
    } else if (insn->base == INSN_REG_RIP) {
        ea += env->rip_next;
    }
    return exec_mask_address(insn, ea + index * insn->scale);
}

/* A fault leaves the elements gathered so far in the destination; masks up to there are clear. */
static void gather(CPUX86State *env, const Insn *insn)
{
    unsigned size = insn->mem_size, index_size = insn->opcode & 1 ? 8 : 4;
    unsigned n = (16u << insn->vl) / (size > index_size ? size : index_size);
    unsigned dest = insn->ops[0].reg, mask = insn->vvvv;

    exec_check_class(env, insn);
    for (unsigned i = 0; i < n; i++) {
        if (element_selected(env, mask, i, size)) {
            uint64_t v =
                read_element(env, insn->seg, gather_address(env, insn, i, index_size), size);
            element_write(env, dest, i, size, v);
        }
        element_write(env, mask, i, size, 0);
    }
    clear_upper(env, dest, n * size);
    clear_upper(env, mask, 0);
    mark_state(env, insn);
}

/* ---- state ---- */

/* Outside 64-bit mode there are eight registers, and the other eight keep what they have. */
static unsigned vector_register_count(const CPUX86State *env)
{
    return env->hflags & HF_CS64 ? 16 : 8;
}

static void vzeroupper(CPUX86State *env, const Insn *insn)
{
    unsigned n = vector_register_count(env);

    exec_check_class(env, insn);
    memset(env->fpu.ymmh, 0, n * 16);
    if (insn->op == OP_VZEROALL) {
        memset(env->fpu.xmm, 0, n * 16);
    }
    if (n == 16) {
        env->xstate_bv &= ~(uint64_t)XSTATE_AVX;
    }
}

static void ldmxcsr(CPUX86State *env, const Insn *insn)
{
    exec_check_class(env, insn);
    uint32_t v = mem_read32(env, insn->seg, exec_effective_address(env, insn));
    if (v & ~env->fpu.mxcsr_mask) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    env->fpu.mxcsr = v;
    env->xstate_bv |= XSTATE_SSE;
}

static void stmxcsr(CPUX86State *env, const Insn *insn)
{
    exec_check_class(env, insn);
    mem_write32(env, insn->seg, exec_effective_address(env, insn), env->fpu.mxcsr);
}

const ExecEntry exec_vector_entries[] = {
    {OP_MASKMOVQ, maskmov_bytes},    {OP_MASKMOVDQU, maskmov_bytes},
    {OP_VMASKMOVDQU, maskmov_bytes}, {OP_VMASKMOVPS, vmaskmov},
    {OP_VMASKMOVPD, vmaskmov},       {OP_VPMASKMOVD, vmaskmov},
    {OP_VPMASKMOVQ, vmaskmov},       {OP_VGATHERDPS, gather},
    {OP_VGATHERDPD, gather},         {OP_VGATHERQPS, gather},
    {OP_VGATHERQPD, gather},         {OP_VPGATHERDD, gather},
    {OP_VPGATHERDQ, gather},         {OP_VPGATHERQD, gather},
    {OP_VPGATHERQQ, gather},         {OP_VZEROUPPER, vzeroupper},
    {OP_VZEROALL, vzeroupper},       {OP_LDMXCSR, ldmxcsr},
    {OP_VLDMXCSR, ldmxcsr},          {OP_STMXCSR, stmxcsr},
    {OP_VSTMXCSR, stmxcsr},          {0, NULL},
};
