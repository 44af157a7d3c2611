/*
 * Far JMP, CALL and RET, call gates, IRET. SDM vol. 2 (the instructions), vol. 3, 5.8 and 7.3; AMD
 * APM vol. 2, 4.10.
 *
 * Everything that can fault is done first, on copies; then the registers change.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/excp.h"
#include "target-i386/mem.h"
#include "target-i386/seg.h"
#include "target-i386/sysinsn.h"

static bool real_or_v86(const CPUX86State *env)
{
    return (env->hflags & (HF_PE | HF_VM)) != HF_PE;
}

static bool canonical(uint64_t a)
{
    return (uint64_t)((int64_t)(a << 16) >> 16) == a;
}

static uint64_t cut(uint64_t v, unsigned size)
{
    return size == 2 ? v & 0xffff : size == 4 ? v & 0xffffffff : v;
}

static void __attribute__((noreturn)) gp(CPUX86State *env, uint16_t selector)
{
    cpu_raise_error(env, EXCP_GP, selector_error(selector, 0));
}

/* #GP(0) when rip does not lie in the code segment. */
static void check_rip(CPUX86State *env, const Descriptor *d, uint64_t rip)
{
    if ((env->hflags & HF_LMA) && desc_is_long_code(d)) {
        if (!canonical(rip)) {
            cpu_raise_error(env, EXCP_GP, 0);
        }
    } else if ((uint32_t)rip > desc_segment(d, 0).limit || (rip >> 32 && !(env->hflags & HF_LMA))) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
}

void far_load_cs_rip(CPUX86State *env, const Descriptor *d, uint16_t selector, unsigned cpl,
                     uint64_t rip)
{
    seg_commit_cs(env, d, selector, cpl);
    env->rip_next = env->hflags & HF_CS64 ? rip : (uint32_t)rip;
}

/* Reads the descriptor of a far pointer's selector. */
static void fetch_target(CPUX86State *env, uint16_t selector, Descriptor *d)
{
    if (selector_is_null(selector)) {
        gp(env, 0);
    }
    desc_fetch_or_raise(env, selector, d, EXCP_GP, 0);
}

/* A code segment as the target of a direct far JMP or CALL. */
static void check_direct(CPUX86State *env, uint16_t selector, const Descriptor *d)
{
    unsigned cpl = cpu_cpl(env);

    if ((env->hflags & HF_LMA) && desc_is_long_code(d) && desc_is_db(d)) {
        gp(env, selector);
    }
    if (desc_is_conforming(d) ? desc_dpl(d) > cpl : ((selector & 3u) > cpl || desc_dpl(d) != cpl)) {
        gp(env, selector);
    }
    if (!desc_present(d)) {
        cpu_raise_error(env, EXCP_NP, selector_error(selector, 0));
    }
}

typedef struct CallGate {
    uint16_t selector;
    uint64_t rip;
    unsigned size; /* of what is pushed: 2, 4, 8 */
    unsigned params;
} CallGate;

/* What a system descriptor as the target may be; raises for all that may not. */
static void check_system(CPUX86State *env, uint16_t selector, const Descriptor *d)
{
    unsigned type = desc_type(d);
    bool ok = env->hflags & HF_LMA
                  ? type == DESC_CALL
                  : type == DESC_CALL || type == DESC_CALL16 || type == DESC_TASK_GATE ||
                        type == DESC_TSS || type == DESC_TSS16;

    if (!ok || desc_dpl(d) < cpu_cpl(env) || desc_dpl(d) < (selector & 3u)) {
        gp(env, selector);
    }
    if (!desc_present(d)) {
        cpu_raise_error(env, EXCP_NP, selector_error(selector, 0));
    }
}

/* Takes the gate apart and checks its code segment, which goes to *cs. */
static CallGate check_gate(CPUX86State *env, uint16_t selector, const Descriptor *d, bool jump,
                           Descriptor *cs)
{
    unsigned cpl = cpu_cpl(env);
    CallGate g = {.selector = (uint16_t)(d->low >> 16), .params = d->high & 31};

    g.rip =
        desc_type(d) == DESC_CALL ? (d->high & 0xffff0000u) | (d->low & 0xffff) : d->low & 0xffff;
    g.size = desc_type(d) == DESC_CALL ? 4 : 2;
    if (env->hflags & HF_LMA) {
        if ((selector & 0xfff8u) + 15 >
            (selector & 4 ? env->segs[SEG_LDTR].limit : env->gdt.limit)) {
            gp(env, selector);
        }
        uint64_t more = mem_sys_read(env, d->linear + 8, 8);
        if (more >> 40 & 31) {
            gp(env, selector);
        }
        g.rip |= more << 32;
        g.size = 8;
    }
    fetch_target(env, g.selector, cs);
    if (!desc_is_code(cs) || desc_dpl(cs) > cpl ||
        (jump && !desc_is_conforming(cs) && desc_dpl(cs) != cpl)) {
        gp(env, g.selector);
    }
    if ((env->hflags & HF_LMA) && (!desc_is_long_code(cs) || desc_is_db(cs))) {
        gp(env, g.selector);
    }
    if (!desc_present(cs)) {
        cpu_raise_error(env, EXCP_NP, selector_error(g.selector, 0));
    }
    return g;
}

/* ---- JMP ---- */

static void jump_real(CPUX86State *env, uint16_t selector, uint64_t rip)
{
    if (rip > env->segs[SEG_CS].limit) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    seg_load_real(env, SEG_CS, selector);
    env->rip_next = rip;
    cpu_update_hflags(env);
}

static void jump_far(CPUX86State *env, uint16_t selector, uint64_t rip)
{
    Descriptor d, cs;

    if (real_or_v86(env)) {
        jump_real(env, selector, rip);
        return;
    }
    fetch_target(env, selector, &d);
    if (desc_is_segment(&d)) {
        if (!desc_is_code(&d)) {
            gp(env, selector);
        }
        check_direct(env, selector, &d);
        check_rip(env, &d, rip);
        desc_set_accessed(env, &d);
        far_load_cs_rip(env, &d, selector, cpu_cpl(env), rip);
        return;
    }
    check_system(env, selector, &d);
    switch (desc_type(&d)) {
    case DESC_TSS16:
    case DESC_TSS:
        task_switch(env, selector, &d, TASK_JMP, env->rip_next, 0);
        break;
    case DESC_TASK_GATE:
        task_switch_by_selector(env, (uint16_t)(d.low >> 16), TASK_JMP, env->rip_next, 0, true);
        break;
    default: {
        CallGate g = check_gate(env, selector, &d, true, &cs);
        check_rip(env, &cs, g.rip);
        desc_set_accessed(env, &cs);
        far_load_cs_rip(env, &cs, g.selector, cpu_cpl(env), g.rip);
        break;
    }
    }
}

/* ---- CALL ---- */

static void call_real(CPUX86State *env, uint16_t selector, uint64_t rip, unsigned size)
{
    Stack s = stack_current(env, 0);

    if (rip > env->segs[SEG_CS].limit) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    stack_push(env, &s, env->segs[SEG_CS].selector, size);
    stack_push(env, &s, env->rip_next, size);
    stack_commit_sp(env, &s);
    seg_load_real(env, SEG_CS, selector);
    env->rip_next = rip;
    cpu_update_hflags(env);
}

/* Through a gate to an inner privilege level: another stack, and the parameters copied to it. */
static void call_inner(CPUX86State *env, const CallGate *g, Descriptor *cs)
{
    unsigned new_cpl = desc_dpl(cs);
    Stack old = stack_current(env, 0), s;
    Segment ss;

    if (g->size == 8) {
        ss = seg_null_stack((uint16_t)new_cpl, new_cpl);
        s = stack_at64(tss_stack64(env, 4 + 8 * new_cpl, 0), new_cpl, 0);
    } else {
        uint16_t selector;
        uint64_t sp;
        tss_stack(env, new_cpl, &selector, &sp, 0);
        ss = seg_check_stack(env, selector, new_cpl, EXCP_TS, 0);
        s = stack_at(&ss, sp, new_cpl, selector_error(selector, 0));
    }
    stack_push(env, &s, env->segs[SEG_SS].selector, g->size);
    stack_push(env, &s, env->regs[R_SP], g->size);
    for (unsigned i = g->size == 8 ? 0 : g->params; i--;) {
        stack_push(env, &s, stack_peek(env, &old, i * g->size, g->size), g->size);
    }
    stack_push(env, &s, env->segs[SEG_CS].selector, g->size);
    stack_push(env, &s, env->rip_next, g->size);
    check_rip(env, cs, g->rip);
    desc_set_accessed(env, cs);

    env->segs[SEG_SS] = ss;
    stack_commit_sp(env, &s);
    far_load_cs_rip(env, cs, g->selector, new_cpl, g->rip);
}

static void call_gate(CPUX86State *env, uint16_t selector, const Descriptor *d)
{
    Descriptor cs;
    CallGate g = check_gate(env, selector, d, false, &cs);
    unsigned cpl = cpu_cpl(env);

    if (!desc_is_conforming(&cs) && desc_dpl(&cs) < cpl) {
        call_inner(env, &g, &cs);
        return;
    }
    Stack s = stack_current(env, 0);
    if (g.size == 8) {
        s = stack_at64(env->regs[R_SP], cpl, 0);
    }
    stack_push(env, &s, env->segs[SEG_CS].selector, g.size);
    stack_push(env, &s, env->rip_next, g.size);
    check_rip(env, &cs, g.rip);
    desc_set_accessed(env, &cs);
    stack_commit_sp(env, &s);
    far_load_cs_rip(env, &cs, g.selector, cpl, g.rip);
}

static void call_far(CPUX86State *env, uint16_t selector, uint64_t rip, unsigned size)
{
    Descriptor d;

    if (real_or_v86(env)) {
        call_real(env, selector, rip, size);
        return;
    }
    fetch_target(env, selector, &d);
    if (desc_is_segment(&d)) {
        if (!desc_is_code(&d)) {
            gp(env, selector);
        }
        check_direct(env, selector, &d);
        Stack s = stack_current(env, 0);
        stack_push(env, &s, env->segs[SEG_CS].selector, size);
        stack_push(env, &s, env->rip_next, size);
        check_rip(env, &d, rip);
        desc_set_accessed(env, &d);
        stack_commit_sp(env, &s);
        far_load_cs_rip(env, &d, selector, cpu_cpl(env), rip);
        return;
    }
    check_system(env, selector, &d);
    switch (desc_type(&d)) {
    case DESC_TSS16:
    case DESC_TSS:
        task_switch(env, selector, &d, TASK_CALL, env->rip_next, 0);
        break;
    case DESC_TASK_GATE:
        task_switch_by_selector(env, (uint16_t)(d.low >> 16), TASK_CALL, env->rip_next, 0, true);
        break;
    default:
        call_gate(env, selector, &d);
        break;
    }
}

/* A far pointer in the instruction or in memory. */
static uint64_t far_operand(CPUX86State *env, const Insn *insn, uint16_t *selector)
{
    if (insn->ops[0].kind == OPND_FAR) {
        *selector = insn->imm2;
        return cut((uint64_t)insn->imm, insn->opsize);
    }
    uint64_t off = exec_effective_address(env, insn);
    uint64_t rip = mem_read(env, insn->seg, off, insn->opsize);
    *selector = mem_read16(env, insn->seg, exec_mask_address(insn, off + insn->opsize));
    return rip;
}

void sys_jmp_far(CPUX86State *env, const Insn *insn)
{
    uint16_t selector;
    uint64_t rip = far_operand(env, insn, &selector);

    jump_far(env, selector, rip);
}

void sys_call_far(CPUX86State *env, const Insn *insn)
{
    uint16_t selector;
    uint64_t rip = far_operand(env, insn, &selector);

    call_far(env, selector, rip, insn->opsize);
}

/* ---- returning: RET far and IRET in protected mode ---- */

/* The code segment to return to; its RPL is the new CPL. */
static void check_return_cs(CPUX86State *env, uint16_t selector, Descriptor *d)
{
    unsigned rpl = selector & 3;

    fetch_target(env, selector, d);
    if (!desc_is_code(d) || rpl < cpu_cpl(env)) {
        gp(env, selector);
    }
    if (desc_is_conforming(d) ? desc_dpl(d) > rpl : desc_dpl(d) != rpl) {
        gp(env, selector);
    }
    if ((env->hflags & HF_LMA) && desc_is_long_code(d) && desc_is_db(d)) {
        gp(env, selector);
    }
    if (!desc_present(d)) {
        cpu_raise_error(env, EXCP_NP, selector_error(selector, 0));
    }
}

static Segment check_return_ss(CPUX86State *env, uint16_t selector, const Descriptor *cs,
                               unsigned cpl)
{
    if (selector_is_null(selector) && (env->hflags & HF_LMA) && desc_is_long_code(cs) && cpl != 3) {
        return seg_null_stack(selector, cpl);
    }
    return seg_check_stack(env, selector, cpl, EXCP_GP, 0);
}

/* SS:SP of the level returned to. */
static void load_stack(CPUX86State *env, const Segment *ss, uint64_t sp, const Descriptor *cs)
{
    env->segs[SEG_SS] = *ss;
    if ((env->hflags & HF_LMA) && desc_is_long_code(cs)) {
        env->regs[R_SP] = sp;
    } else if (ss->attr & SEG_ATTR_DB) {
        env->regs[R_SP] = (uint32_t)sp;
    } else {
        env->regs[R_SP] = (env->regs[R_SP] & ~0xffffull) | (sp & 0xffff);
    }
}

void sys_retf(CPUX86State *env, const Insn *insn)
{
    unsigned size = insn->opsize, cpl = cpu_cpl(env);
    uint32_t extra = insn->nops ? (uint16_t)insn->imm : 0;
    Stack s = stack_current(env, 0);
    uint64_t rip = stack_pop(env, &s, size);
    uint16_t selector = (uint16_t)stack_pop(env, &s, size);
    Descriptor cs;

    if (real_or_v86(env)) {
        if (rip > env->segs[SEG_CS].limit) {
            cpu_raise_error(env, EXCP_GP, 0);
        }
        s.sp += extra;
        stack_commit_sp(env, &s);
        seg_load_real(env, SEG_CS, selector);
        env->rip_next = rip;
        cpu_update_hflags(env);
        return;
    }
    check_return_cs(env, selector, &cs);
    unsigned rpl = selector & 3;
    if (rpl == cpl) {
        check_rip(env, &cs, rip);
        desc_set_accessed(env, &cs);
        s.sp += extra;
        stack_commit_sp(env, &s);
        far_load_cs_rip(env, &cs, selector, cpl, rip);
        return;
    }
    uint64_t sp = stack_peek(env, &s, extra, size);
    uint16_t ss_selector = (uint16_t)stack_peek(env, &s, extra + size, size);
    Segment ss = check_return_ss(env, ss_selector, &cs, rpl);
    check_rip(env, &cs, rip);
    desc_set_accessed(env, &cs);
    load_stack(env, &ss, sp + extra, &cs);
    far_load_cs_rip(env, &cs, selector, rpl, rip);
    seg_drop_inner(env);
}

/* ---- IRET ---- */

#define FLAGS_IRET (FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT)

static void iret_real(CPUX86State *env, unsigned size)
{
    Stack s = stack_current(env, 0);
    uint64_t rip = stack_pop(env, &s, size);
    uint16_t selector = (uint16_t)stack_pop(env, &s, size);
    uint32_t flags = (uint32_t)stack_pop(env, &s, size);
    uint32_t mask = FLAGS_IRET | FLAG_IF;

    if (rip > env->segs[SEG_CS].limit) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    if (!(env->hflags & HF_VM)) {
        mask |= FLAG_IOPL;
    }
    if (size == 4) {
        mask |= FLAG_RF | FLAG_AC | FLAG_ID;
    }
    stack_commit_sp(env, &s);
    seg_load_real(env, SEG_CS, selector);
    env->rip_next = rip;
    env->nmi_blocked = false;
    cpu_load_eflags(env, flags, mask);
}

/* V86 mode with VME and IOPL under 3: IF is the virtual one. */
static void iret_vme(CPUX86State *env)
{
    Stack s = stack_current(env, 0);
    uint64_t rip = stack_pop(env, &s, 2);
    uint16_t selector = (uint16_t)stack_pop(env, &s, 2);
    uint32_t flags = (uint32_t)stack_pop(env, &s, 2);

    if ((flags & FLAG_TF) || ((flags & FLAG_IF) && (env->eflags & FLAG_VIP))) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    stack_commit_sp(env, &s);
    seg_load_real(env, SEG_CS, selector);
    env->rip_next = rip;
    env->nmi_blocked = false;
    flags = (flags & ~FLAG_VIF) | (flags & FLAG_IF ? FLAG_VIF : 0);
    cpu_load_eflags(env, flags, FLAGS_ARITH | FLAG_DF | FLAG_NT | FLAG_TF | FLAG_VIF);
}

static void iret_to_v86(CPUX86State *env, Stack *s, uint64_t rip, uint16_t cs, uint32_t flags)
{
    static const uint8_t order[] = {SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    uint16_t selectors[5];
    uint64_t sp = stack_pop(env, s, 4);

    for (unsigned i = 0; i < 5; i++) {
        selectors[i] = (uint16_t)stack_pop(env, s, 4);
    }
    if (rip > 0xffff) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    for (unsigned i = 0; i < 5; i++) {
        env->segs[order[i]].selector = selectors[i];
    }
    env->segs[SEG_CS].selector = cs;
    env->regs[R_SP] = (uint32_t)sp;
    env->rip_next = rip & 0xffff;
    env->nmi_blocked = false;
    env->eflags |= FLAG_VM;
    seg_load_v86(env);
    cpu_load_eflags(env, flags,
                    FLAGS_IRET | FLAG_IF | FLAG_IOPL | FLAG_RF | FLAG_AC | FLAG_ID | FLAG_VM |
                        FLAG_VIF | FLAG_VIP);
}

static void iret_task(CPUX86State *env)
{
    uint16_t selector = (uint16_t)mem_sys_read(env, env->segs[SEG_TR].base, 2);

    task_switch_by_selector(env, selector, TASK_IRET, env->rip_next, 0, false);
}

static void iret_protected(CPUX86State *env, unsigned size)
{
    unsigned cpl = cpu_cpl(env);
    bool from64 = env->hflags & HF_CS64;
    Stack s = stack_current(env, 0);
    Descriptor cs;

    uint64_t rip = stack_pop(env, &s, size);
    uint16_t selector = (uint16_t)stack_pop(env, &s, size);
    uint32_t flags = (uint32_t)stack_pop(env, &s, size);
    if ((flags & FLAG_VM) && size == 4 && cpl == 0 && !(env->hflags & HF_LMA)) {
        iret_to_v86(env, &s, rip, selector, flags);
        return;
    }
    check_return_cs(env, selector, &cs);
    unsigned rpl = selector & 3;
    bool switch_stack = rpl != cpl || from64;
    Segment ss;
    uint64_t sp = 0;
    if (switch_stack) {
        sp = stack_pop(env, &s, size);
        uint16_t ss_selector = (uint16_t)stack_pop(env, &s, size);
        ss = check_return_ss(env, ss_selector, &cs, rpl);
    }
    check_rip(env, &cs, rip);
    desc_set_accessed(env, &cs);

    uint32_t mask = FLAGS_IRET;
    if (size >= 4) {
        mask |= FLAG_RF | FLAG_AC | FLAG_ID;
    }
    if (cpl <= (env->eflags & FLAG_IOPL) >> FLAG_IOPL_SHIFT) {
        mask |= FLAG_IF;
    }
    if (cpl == 0) {
        mask |= FLAG_IOPL | (size >= 4 ? FLAG_VIF | FLAG_VIP : 0);
    }
    if (switch_stack) {
        load_stack(env, &ss, sp, &cs);
    } else {
        stack_commit_sp(env, &s);
    }
    far_load_cs_rip(env, &cs, selector, rpl, rip);
    env->nmi_blocked = false;
    cpu_load_eflags(env, flags, mask);
    if (rpl != cpl) {
        seg_drop_inner(env);
    }
}

void sys_iret(CPUX86State *env, const Insn *insn)
{
    unsigned size = insn->opsize;

    if (!(env->hflags & HF_PE)) {
        iret_real(env, size);
    } else if (env->hflags & HF_VM) {
        if ((env->eflags & FLAG_IOPL) == FLAG_IOPL) {
            iret_real(env, size);
        } else if ((env->cr4 & CR4_VME) && size == 2) {
            iret_vme(env);
        } else {
            cpu_raise_error(env, EXCP_GP, 0);
        }
    } else if (env->eflags & FLAG_NT) {
        if (env->hflags & HF_LMA) {
            cpu_raise_error(env, EXCP_GP, 0);
        }
        iret_task(env);
    } else {
        iret_protected(env, size);
    }
}
