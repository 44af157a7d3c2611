/*
 * Segment descriptors: fetching, checking, loading; stacks other than the current one; the
 * instructions that load and look at segments.
 *
 * SDM vol. 3, chapters 3 and 5; AMD APM vol. 2, chapter 4.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/seg.h"

#include "target-i386/excp.h"
#include "target-i386/mem.h"
#include "target-i386/mmu.h"
#include "target-i386/sysinsn.h"

/* ---- descriptors ---- */

Segment desc_segment(const Descriptor *d, uint16_t selector)
{
    Segment s = {.selector = selector};

    s.attr = d->high >> 8 & 0xf0ff;
    s.limit = (d->low & 0xffff) | (d->high & 0xf0000);
    if (s.attr & SEG_ATTR_G) {
        s.limit = s.limit << 12 | 0xfff;
    }
    s.base = d->low >> 16 | (d->high & 0xff) << 16 | (d->high & 0xff000000u);
    return s;
}

bool desc_fetch(CPUX86State *env, uint16_t selector, Descriptor *d)
{
    uint64_t base = env->gdt.base;
    uint32_t limit = env->gdt.limit, index = selector & 0xfff8u;

    if (selector & 4) {
        const Segment *ldt = &env->segs[SEG_LDTR];
        if (!(ldt->attr & SEG_ATTR_P)) {
            return false;
        }
        base = ldt->base;
        limit = ldt->limit;
    }
    if (index + 7 > limit) {
        return false;
    }
    d->linear = base + index;
    uint64_t v = mem_sys_read(env, d->linear, 8);
    d->low = (uint32_t)v;
    d->high = (uint32_t)(v >> 32);
    return true;
}

void desc_fetch_or_raise(CPUX86State *env, uint16_t selector, Descriptor *d, int vector,
                         unsigned ext)
{
    if (!desc_fetch(env, selector, d)) {
        cpu_raise_error(env, vector, selector_error(selector, ext));
    }
}

void desc_set_accessed(CPUX86State *env, Descriptor *d)
{
    if (!desc_accessed(d)) {
        d->high |= 0x100;
        mem_sys_write(env, d->linear + 5, d->high >> 8 & 0xff, 1);
    }
}

/* ---- data and stack segments ---- */

Segment seg_check_stack(CPUX86State *env, uint16_t selector, unsigned cpl, int vector, unsigned ext)
{
    Descriptor d;

    if (selector_is_null(selector)) {
        cpu_raise_error(env, vector, ext);
    }
    desc_fetch_or_raise(env, selector, &d, vector, ext);
    if ((selector & 3) != cpl || !desc_is_writable_data(&d) || desc_dpl(&d) != cpl) {
        cpu_raise_error(env, vector, selector_error(selector, ext));
    }
    if (!desc_present(&d)) {
        cpu_raise_error(env, EXCP_SS, selector_error(selector, ext));
    }
    desc_set_accessed(env, &d);
    return desc_segment(&d, selector);
}

Segment seg_null_stack(uint16_t selector, unsigned cpl)
{
    /* Not present, but its DPL still says what the CPL is. */
    return (Segment){.selector = selector, .attr = (uint16_t)(cpl << SEG_ATTR_DPL_SHIFT)};
}

void seg_load_real(CPUX86State *env, unsigned seg, uint16_t selector)
{
    Segment *s = &env->segs[seg];

    s->selector = selector;
    s->base = (uint64_t)selector << 4;
    if (env->hflags & HF_VM) {
        s->limit = 0xffff;
        s->attr = 0xf3;
    } else if (!(s->attr & SEG_ATTR_P)) {
        s->attr = 0x93; /* was null in protected mode */
        s->limit = 0xffff;
    }
}

void seg_load_v86(CPUX86State *env)
{
    for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
        Segment *s = &env->segs[i];
        s->base = (uint64_t)s->selector << 4;
        s->limit = 0xffff;
        s->attr = 0xf3;
    }
}

static Segment check_data(CPUX86State *env, uint16_t selector)
{
    Descriptor d;
    unsigned cpl = cpu_cpl(env);

    desc_fetch_or_raise(env, selector, &d, EXCP_GP, 0);
    if (!desc_is_segment(&d) || (desc_is_code(&d) && !desc_readable(&d))) {
        cpu_raise_error(env, EXCP_GP, selector_error(selector, 0));
    }
    if (!(desc_is_code(&d) && desc_is_conforming(&d)) &&
        ((selector & 3u) > desc_dpl(&d) || cpl > desc_dpl(&d))) {
        cpu_raise_error(env, EXCP_GP, selector_error(selector, 0));
    }
    if (!desc_present(&d)) {
        cpu_raise_error(env, EXCP_NP, selector_error(selector, 0));
    }
    desc_set_accessed(env, &d);
    return desc_segment(&d, selector);
}

void seg_load(CPUX86State *env, unsigned seg, uint16_t selector)
{
    unsigned cpl = cpu_cpl(env);

    if ((env->hflags & (HF_PE | HF_VM)) != HF_PE) {
        seg_load_real(env, seg, selector);
    } else if (seg == SEG_SS) {
        if (selector_is_null(selector) && (env->hflags & HF_CS64) && cpl != 3 &&
            (selector & 3) == cpl) {
            env->segs[SEG_SS] = seg_null_stack(selector, cpl);
        } else {
            env->segs[SEG_SS] = seg_check_stack(env, selector, cpl, EXCP_GP, 0);
        }
    } else if (selector_is_null(selector)) {
        env->segs[seg] = (Segment){.selector = selector};
    } else {
        env->segs[seg] = check_data(env, selector);
    }
    cpu_update_hflags(env);
}

void seg_drop_inner(CPUX86State *env)
{
    static const uint8_t data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    unsigned cpl = cpu_cpl(env);

    for (unsigned i = 0; i < sizeof(data); i++) {
        Segment *s = &env->segs[data[i]];
        bool conforming =
            (s->attr & (SEG_ATTR_CODE | SEG_ATTR_DC)) == (SEG_ATTR_CODE | SEG_ATTR_DC);
        if ((s->attr & SEG_ATTR_P) && !conforming && (s->attr >> SEG_ATTR_DPL_SHIFT & 3u) < cpl) {
            /* Null, but the base stays: FS and GS of 64-bit code go on using it. */
            s->selector = 0;
            s->attr = 0;
        }
    }
    cpu_update_hflags(env);
}

void seg_commit_cs(CPUX86State *env, const Descriptor *d, uint16_t selector, unsigned cpl)
{
    env->segs[SEG_CS] = desc_segment(d, (uint16_t)((selector & 0xfffc) | cpl));
    if ((env->segs[SEG_SS].attr >> SEG_ATTR_DPL_SHIFT & 3u) != cpl) {
        /* SS follows at once; until then its DPL must not say anything else than CPL. */
        env->segs[SEG_SS].attr = (uint16_t)((env->segs[SEG_SS].attr & ~(3u << SEG_ATTR_DPL_SHIFT)) |
                                            cpl << SEG_ATTR_DPL_SHIFT);
    }
    cpu_update_hflags(env);
}

/* ---- stacks ---- */

void tss_stack(CPUX86State *env, unsigned cpl, uint16_t *ss, uint64_t *sp, unsigned ext)
{
    const Segment *tr = &env->segs[SEG_TR];
    bool is32 = (tr->attr & 8) != 0;
    uint32_t offset = is32 ? 4 + 8 * cpl : 2 + 4 * cpl;

    if (offset + (is32 ? 7u : 3u) > tr->limit) {
        cpu_raise_error(env, EXCP_TS, selector_error(tr->selector, ext));
    }
    if (is32) {
        *sp = mem_sys_read(env, tr->base + offset, 4);
        *ss = (uint16_t)mem_sys_read(env, tr->base + offset + 4, 2);
    } else {
        *sp = mem_sys_read(env, tr->base + offset, 2);
        *ss = (uint16_t)mem_sys_read(env, tr->base + offset + 2, 2);
    }
}

uint64_t tss_stack64(CPUX86State *env, unsigned offset, unsigned ext)
{
    const Segment *tr = &env->segs[SEG_TR];

    if (offset + 7 > tr->limit) {
        cpu_raise_error(env, EXCP_TS, selector_error(tr->selector, ext));
    }
    uint64_t sp = mem_sys_read(env, tr->base + offset, 8);
    if ((uint64_t)((int64_t)(sp << 16) >> 16) != sp) {
        cpu_raise_error(env, EXCP_SS, ext);
    }
    return sp;
}

static unsigned class_of(unsigned cpl)
{
    return cpl == 3 ? MMU_USER : MMU_KERNEL;
}

Stack stack_current(CPUX86State *env, unsigned ext)
{
    bool is64 = env->hflags & HF_CS64;
    Stack s = {.seg = env->segs[SEG_SS], .cls = env->tlb->data_class, .error = ext, .flat = is64};

    s.mask = is64 ? ~0ull : env->hflags & HF_SS32 ? 0xffffffffull : 0xffffull;
    s.sp = env->regs[R_SP];
    return s;
}

Stack stack_at(const Segment *seg, uint64_t sp, unsigned cpl, uint32_t error)
{
    return (Stack){.seg = *seg,
                   .sp = sp,
                   .cls = class_of(cpl),
                   .error = error,
                   .mask = seg->attr & SEG_ATTR_DB ? 0xffffffffull : 0xffffull};
}

Stack stack_at64(uint64_t sp, unsigned cpl, unsigned ext)
{
    return (Stack){.sp = sp, .cls = class_of(cpl), .error = ext, .mask = ~0ull, .flat = true};
}

static uint64_t stack_linear(CPUX86State *env, const Stack *s, uint64_t off, unsigned size)
{
    if (s->flat) {
        if ((uint64_t)((int64_t)(off << 16) >> 16) != off) {
            cpu_raise_error(env, EXCP_SS, s->error);
        }
        return off;
    }
    if (!(env->hflags & HF_PE) || (s->seg.attr & SEG_ATTR_P)) {
        if (seg_range_ok(&s->seg, off, size)) {
            return (uint32_t)(s->seg.base + off);
        }
    }
    cpu_raise_error(env, EXCP_SS, s->error);
}

void stack_push(CPUX86State *env, Stack *s, uint64_t v, unsigned size)
{
    uint64_t sp = (s->sp - size) & s->mask;

    mmu_write(env, s->cls, stack_linear(env, s, sp, size), v, size);
    s->sp = (s->sp & ~s->mask) | sp;
}

uint64_t stack_peek(CPUX86State *env, const Stack *s, uint64_t off, unsigned size)
{
    return mmu_read(env, s->cls, stack_linear(env, s, (s->sp + off) & s->mask, size), size);
}

uint64_t stack_pop(CPUX86State *env, Stack *s, unsigned size)
{
    uint64_t v = stack_peek(env, s, 0, size);

    s->sp = (s->sp & ~s->mask) | ((s->sp + size) & s->mask);
    return v;
}

void stack_commit_sp(CPUX86State *env, const Stack *s)
{
    if (s->mask == 0xffff) {
        env->regs[R_SP] = (env->regs[R_SP] & ~0xffffull) | (s->sp & 0xffff);
    } else {
        env->regs[R_SP] = s->sp & s->mask;
    }
}

/* ---- MOV, PUSH, POP of segment registers; LDS and its kin ---- */

static void sreg_loaded(CPUX86State *env, unsigned seg)
{
    if (seg == SEG_SS) {
        env->shadow = CPU_SHADOW_MOV_SS;
    }
}

void sys_mov_seg(CPUX86State *env, const Insn *insn)
{
    if (insn->ops[0].kind == OPND_SEG) {
        uint16_t selector = (uint16_t)sys_read_operand(env, insn, 1, 2);
        seg_load(env, insn->ops[0].reg, selector);
        sreg_loaded(env, insn->ops[0].reg);
    } else {
        uint64_t v = env->segs[insn->ops[1].reg].selector;
        if (insn->ops[0].kind == OPND_MEM) {
            mem_write16(env, insn->seg, exec_effective_address(env, insn), (uint16_t)v);
        } else {
            exec_reg_write(env, &insn->ops[0], v, insn->opsize);
        }
    }
}

void sys_push_seg(CPUX86State *env, const Insn *insn)
{
    mem_push(env, env->segs[insn->ops[0].reg].selector, insn->opsize);
}

void sys_pop_seg(CPUX86State *env, const Insn *insn)
{
    unsigned seg = insn->ops[0].reg;
    Stack s = stack_current(env, 0);
    uint16_t selector = (uint16_t)stack_peek(env, &s, 0, 2);

    s.sp = (s.sp & ~s.mask) | ((s.sp + insn->opsize) & s.mask);
    seg_load(env, seg, selector);
    stack_commit_sp(env, &s); /* with the old SS's address size */
    sreg_loaded(env, seg);
}

void sys_load_far_pointer(CPUX86State *env, const Insn *insn)
{
    static const uint8_t segs[] = {[OP_LES - OP_LES] = SEG_ES,
                                   [OP_LDS - OP_LES] = SEG_DS,
                                   [OP_LSS - OP_LES] = SEG_SS,
                                   [OP_LFS - OP_LES] = SEG_FS,
                                   [OP_LGS - OP_LES] = SEG_GS};
    unsigned seg = segs[insn->op - OP_LES];
    uint64_t off = exec_effective_address(env, insn);
    uint64_t v = mem_read(env, insn->seg, off, insn->opsize);
    uint16_t selector = mem_read16(env, insn->seg, exec_mask_address(insn, off + insn->opsize));

    seg_load(env, seg, selector);
    exec_reg_write(env, &insn->ops[0], v, insn->opsize);
    sreg_loaded(env, seg);
}

/* ---- LAR, LSL, VERR, VERW, ARPL ---- */

static void set_zf(CPUX86State *env, bool set)
{
    env->eflags = set ? env->eflags | FLAG_ZF : env->eflags & ~FLAG_ZF;
}

/* Whether the descriptor is visible at this CPL and RPL. */
static bool visible(CPUX86State *env, uint16_t selector, const Descriptor *d)
{
    if (desc_is_segment(d) && desc_is_code(d) && desc_is_conforming(d)) {
        return true;
    }
    return desc_dpl(d) >= cpu_cpl(env) && desc_dpl(d) >= (selector & 3u);
}

static bool system_type_in(const Descriptor *d, uint16_t types)
{
    return desc_is_segment(d) || (types >> desc_type(d) & 1);
}

#define T(n) (1u << (n))

void sys_lar(CPUX86State *env, const Insn *insn)
{
    uint16_t selector = (uint16_t)sys_read_operand(env, insn, 1, 2);
    uint16_t types = env->hflags & HF_LMA
                         ? T(DESC_LDT) | T(DESC_TSS) | T(DESC_TSS_BUSY) | T(DESC_CALL)
                         : T(DESC_TSS16) | T(DESC_LDT) | T(DESC_TSS16_BUSY) | T(DESC_CALL16) |
                               T(DESC_TASK_GATE) | T(DESC_TSS) | T(DESC_TSS_BUSY) | T(DESC_CALL);
    Descriptor d;

    if (selector_is_null(selector) || !desc_fetch(env, selector, &d) ||
        !system_type_in(&d, types) || !visible(env, selector, &d)) {
        set_zf(env, false);
        return;
    }
    set_zf(env, true);
    exec_reg_write(env, &insn->ops[0], insn->opsize == 2 ? d.high & 0xff00 : d.high & 0x00f0ff00,
                   insn->opsize);
}

void sys_lsl(CPUX86State *env, const Insn *insn)
{
    uint16_t selector = (uint16_t)sys_read_operand(env, insn, 1, 2);
    uint16_t types = env->hflags & HF_LMA ? T(DESC_LDT) | T(DESC_TSS) | T(DESC_TSS_BUSY)
                                          : T(DESC_TSS16) | T(DESC_LDT) | T(DESC_TSS16_BUSY) |
                                                T(DESC_TSS) | T(DESC_TSS_BUSY);
    Descriptor d;

    if (selector_is_null(selector) || !desc_fetch(env, selector, &d) ||
        !system_type_in(&d, types) || !visible(env, selector, &d)) {
        set_zf(env, false);
        return;
    }
    set_zf(env, true);
    exec_reg_write(env, &insn->ops[0], desc_segment(&d, selector).limit, insn->opsize);
}

/* False: not in the GDT, or the TLB has not got it. */
static bool desc_at_hand(CPUX86State *env, uint16_t selector, Descriptor *d)
{
    uint64_t bytes, linear = env->gdt.base + (selector & 0xfff8u);

    if (selector & 4 || (selector & 0xfff8u) + 7 > env->gdt.limit ||
        !mmu_read_at_hand(env, MMU_KERNEL, env->hflags & HF_LMA ? linear : (uint32_t)linear, &bytes, 8)) {
        return false;
    }
    *d = (Descriptor){.low = (uint32_t)bytes, .high = (uint32_t)(bytes >> 32)};
    return true;
}

uint64_t seg_verw_at_hand(CPUX86State *env, uint64_t v)
{
    uint16_t selector = (uint16_t)v;
    Descriptor d;

    if (selector_is_null(selector)) {
        return 0;
    }
    if (!desc_at_hand(env, selector, &d)) {
        return 2;
    }
    return desc_is_segment(&d) && visible(env, selector, &d) && desc_is_writable_data(&d);
}

bool seg_load_at_hand(CPUX86State *env, unsigned seg, uint16_t selector)
{
    Segment s = {.selector = selector};
    Descriptor d;

    if ((env->hflags & (HF_PE | HF_VM)) != HF_PE) {
        return false;
    }
    if (!selector_is_null(selector)) {
        if (!desc_at_hand(env, selector, &d) || !desc_is_segment(&d) || !visible(env, selector, &d) || !desc_present(&d) ||
            !desc_accessed(&d) || (desc_is_code(&d) && !desc_readable(&d))) {
            return false;
        }
        s = desc_segment(&d, selector);
    }
    if ((seg == SEG_DS || seg == SEG_ES) && segment_is_flat_data(&s) != segment_is_flat_data(&env->segs[seg])) {
        return false;
    }
    env->segs[seg] = s;
    return true;
}

void sys_verr_verw(CPUX86State *env, const Insn *insn)
{
    uint16_t selector = (uint16_t)sys_read_operand(env, insn, 0, 2);
    Descriptor d;
    bool ok = !selector_is_null(selector) && desc_fetch(env, selector, &d) && desc_is_segment(&d) &&
              visible(env, selector, &d);

    if (ok && insn->op == OP_VERR) {
        ok = !desc_is_code(&d) || (d.high & 0x200);
    } else if (ok) {
        ok = desc_is_writable_data(&d);
    }
    set_zf(env, ok);
}

void sys_arpl(CPUX86State *env, const Insn *insn)
{
    uint16_t dest = (uint16_t)sys_read_operand(env, insn, 0, 2);
    uint16_t rpl = (uint16_t)exec_reg_read(env, &insn->ops[1], 2) & 3;

    if ((dest & 3) < rpl) { /* else memory is not written, and may be read-only */
        dest = (uint16_t)((dest & ~3u) | rpl);
        if (insn->ops[0].kind == OPND_MEM) {
            mem_write16(env, insn->seg, exec_effective_address(env, insn), dest);
        } else {
            exec_reg_write(env, &insn->ops[0], dest, 2);
        }
        set_zf(env, true);
    } else {
        set_zf(env, false);
    }
}

/* ---- LLDT, LTR, SLDT, STR and the table registers ---- */

static uint64_t high_base(CPUX86State *env, const Descriptor *d, uint16_t selector, uint32_t limit)
{
    if ((selector & 0xfff8u) + 15 > limit) {
        cpu_raise_error(env, EXCP_GP, selector_error(selector, 0));
    }
    uint64_t v = mem_sys_read(env, d->linear + 8, 8);
    uint64_t base = v << 32;
    if (v >> 32 & 0x1f00 || (uint64_t)((int64_t)(base << 16) >> 16) != base) {
        cpu_raise_error(env, EXCP_GP, selector_error(selector, 0));
    }
    return base;
}

void sys_lldt(CPUX86State *env, const Insn *insn)
{
    Descriptor d;

    cpu_require_cpl0(env);
    uint16_t selector = (uint16_t)sys_read_operand(env, insn, 0, 2);
    if (selector_is_null(selector)) {
        env->segs[SEG_LDTR] = (Segment){.selector = selector};
        return;
    }
    if (selector & 4) {
        cpu_raise_error(env, EXCP_GP, selector_error(selector, 0));
    }
    desc_fetch_or_raise(env, selector, &d, EXCP_GP, 0);
    if (desc_is_segment(&d) || desc_type(&d) != DESC_LDT) {
        cpu_raise_error(env, EXCP_GP, selector_error(selector, 0));
    }
    uint64_t high = env->hflags & HF_LMA ? high_base(env, &d, selector, env->gdt.limit) : 0;
    if (!desc_present(&d)) {
        cpu_raise_error(env, EXCP_NP, selector_error(selector, 0));
    }
    env->segs[SEG_LDTR] = desc_segment(&d, selector);
    env->segs[SEG_LDTR].base |= high;
}

void sys_ltr(CPUX86State *env, const Insn *insn)
{
    Descriptor d;

    cpu_require_cpl0(env);
    uint16_t selector = (uint16_t)sys_read_operand(env, insn, 0, 2);
    if (selector_is_null(selector)) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    if (selector & 4) {
        cpu_raise_error(env, EXCP_GP, selector_error(selector, 0));
    }
    desc_fetch_or_raise(env, selector, &d, EXCP_GP, 0);
    bool lma = env->hflags & HF_LMA;
    if (desc_is_segment(&d) ||
        !(desc_type(&d) == DESC_TSS || (desc_type(&d) == DESC_TSS16 && !lma))) {
        cpu_raise_error(env, EXCP_GP, selector_error(selector, 0));
    }
    uint64_t high = lma ? high_base(env, &d, selector, env->gdt.limit) : 0;
    if (!desc_present(&d)) {
        cpu_raise_error(env, EXCP_NP, selector_error(selector, 0));
    }
    d.high |= 0x200; /* busy */
    mem_sys_write(env, d.linear + 4, d.high, 4);
    env->segs[SEG_TR] = desc_segment(&d, selector);
    env->segs[SEG_TR].base |= high;
}

static void check_umip(CPUX86State *env)
{
    if ((env->cr4 & CR4_UMIP) && cpu_cpl(env)) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
}

void sys_sldt_str(CPUX86State *env, const Insn *insn)
{
    check_umip(env);
    uint16_t selector = env->segs[insn->op == OP_SLDT ? SEG_LDTR : SEG_TR].selector;
    if (insn->ops[0].kind == OPND_MEM) {
        mem_write16(env, insn->seg, exec_effective_address(env, insn), selector);
    } else {
        exec_reg_write(env, &insn->ops[0], selector, insn->opsize);
    }
}

void sys_smsw(CPUX86State *env, const Insn *insn)
{
    check_umip(env);
    if (insn->ops[0].kind == OPND_MEM) {
        mem_write16(env, insn->seg, exec_effective_address(env, insn), (uint16_t)env->cr0);
    } else {
        exec_reg_write(env, &insn->ops[0], env->cr0, insn->opsize);
    }
}

void sys_sgdt_sidt(CPUX86State *env, const Insn *insn)
{
    const DescriptorTable *t = insn->op == OP_SGDT ? &env->gdt : &env->idt;
    uint64_t off = exec_effective_address(env, insn);
    unsigned size = env->hflags & HF_CS64 ? 8 : 4;

    check_umip(env);
    mem_probe_write(env, insn->seg, off, 2 + size);
    mem_write16(env, insn->seg, off, (uint16_t)t->limit);
    mem_write(env, insn->seg, exec_mask_address(insn, off + 2), t->base, size);
}

void sys_lgdt_lidt(CPUX86State *env, const Insn *insn)
{
    DescriptorTable *t = insn->op == OP_LGDT ? &env->gdt : &env->idt;
    uint64_t off = exec_effective_address(env, insn);
    bool is64 = env->hflags & HF_CS64;

    cpu_require_cpl0(env);
    uint16_t limit = mem_read16(env, insn->seg, off);
    uint64_t base = mem_read(env, insn->seg, exec_mask_address(insn, off + 2), is64 ? 8 : 4);
    if (is64 && (uint64_t)((int64_t)(base << 16) >> 16) != base) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    if (!is64 && insn->opsize == 2) {
        base &= 0xffffff;
    }
    t->limit = limit;
    t->base = base;
}
