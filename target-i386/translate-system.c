/*
 * The translator: system instructions that kernels use all the time, and flags beyond the arithmetic ones.
 *
 * Only what can be done without leaving the block stands here: what a fault, a pending interrupt or a change of mode makes of
 * an instruction is its handler's. Interrupts are looked at where blocks begin, so an STI or POPF that lets a pending one in
 * goes to the handler, too; one that comes later finds the block's end soon enough.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/seg.h"
#include "target-i386/translate.h"

#define ENV(field) rm_env(offsetof(CPUX86State, field))

/* Arithmetic flags in LAHF's byte. */
#define LAHF_FLAGS (FLAGS_ARITH & 0xffu)
enum { OF_SHIFT = 11 };

/* ---- C functions that neither raise nor look at the guest's registers ---- */

void gen_common_system(Translator *t)
{
    static const uint8_t lost[] = {H_AX, H_CX, H_DX, H_SI, H_DI, H_8, H_9, H_10, H_11}; /* by the calling convention */
    Emitter *e = &t->e;

    /* S1: the function, called with env and S0; S0: what it returns. Flags are destroyed. */
    t->jit->call_c = e->p;
    for (unsigned i = 0; i < sizeof(lost); i++) {
        emit_store(e, W64, env_reg(lost[i]), lost[i]);
    }
    gen_common_leave_vectors(t);
    emit_mov_imm(e, H_DI, (uint64_t)(uintptr_t)t->env);
    emit_mov(e, W64, H_SI, S0);
    emit_mov(e, W64, S2, H_SP);
    emit_load(e, W64, H_SP, ENV(jit_host_sp));
    emit_call_rm(e, rm_reg(S1));
    emit_mov(e, W64, H_SP, S2);
    emit_mov(e, W64, S0, H_AX);
    for (unsigned i = 0; i < sizeof(lost); i++) {
        emit_load(e, W64, lost[i], env_reg(lost[i]));
    }
    emit_ret(e);
}

void gen_call_c(Translator *t, uintptr_t function)
{
    emit_mov_imm(&t->e, S1, function);
    gen_to_common(t, emit_call(&t->e), t->jit->call_c);
    t->vectors = FPU_AWAY;
    t->delta_slot = 0;
}

static bool at_cpl0(uint32_t key)
{
    return !(key & HF_CPL_MASK);
}

static HostRm env_seg(unsigned seg, size_t field)
{
    return rm_env(offsetof(CPUX86State, segs) + seg * sizeof(Segment) + field);
}

/* ---- EFLAGS ---- */

/* Sets or clears a bit of eflags that is none of the arithmetic ones. */
static void gen_flag(Translator *t, uint32_t flag, bool set)
{
    gen_flags_away(t);
    emit_alu_imm(&t->e, W32, set ? ALU_OR : ALU_AND, ENV(eflags), (int32_t)(set ? flag : ~flag));
    gen_flags_back(t);
}

static bool gen_cli(Translator *t)
{
    if (!at_cpl0(t->key)) {
        return false;
    }
    gen_flag(t, FLAG_IF, false);
    return true;
}

/* The instruction behind it is in the block, so nothing gets in between: the interrupt shadow needs no more. */
static bool gen_sti(Translator *t)
{
    if (!at_cpl0(t->key) || t->last) {
        return false;
    }
    gen_flags_away(t);
    emit_alu_imm(&t->e, W32, ALU_CMP, ENV(interrupt_request), 0);
    gen_slow_unless(t, COND_E);
    emit_alu_imm(&t->e, W32, ALU_OR, ENV(eflags), FLAG_IF);
    gen_flags_back(t);
    return true;
}

static bool gen_pushf(Translator *t)
{
    Emitter *e = &t->e;

    if (t->insn->opsize != t->word) {
        return false;
    }
    gen_flags_away(t);
    gen_stack_address(t, -(int32_t)t->word);
    gen_translate(t, t->word, MMU_WRITE);
    emit_load_u16(e, S1, ENV(jit_flags));
    t->delta_slot = 0;
    emit_mov(e, W32, S2, S1);
    emit_shr(e, W32, S1, 8);
    emit_alu_imm(e, W32, ALU_AND, rm_reg(S1), LAHF_FLAGS);
    emit_alu_imm(e, W32, ALU_AND, rm_reg(S2), 1);
    emit_shl(e, W32, S2, OF_SHIFT);
    emit_alu(e, W32, ALU_OR, S1, rm_reg(S2));
    emit_load(e, W32, S2, ENV(eflags));
    emit_alu_imm(e, W32, ALU_AND, rm_reg(S2), (int32_t)~(FLAGS_ARITH | FLAG_VM | FLAG_RF));
    emit_alu(e, W32, ALU_OR, S2, rm_reg(S1));
    emit_store(e, t->word, rm_mem(S0, 0), S2);
    emit_lea(e, t->word, GUEST_SP, rm_mem(GUEST_SP, -(int32_t)t->word));
    gen_flags_back(t);
    return true;
}

/* The arithmetic flags of the EFLAGS image in S0 become the guest's; S1 is used. */
static void gen_take_arithmetic(Translator *t)
{
    Emitter *e = &t->e;

    emit_mov(e, W32, S1, S0);
    emit_alu_imm(e, W32, ALU_AND, rm_reg(S1), LAHF_FLAGS);
    emit_shl(e, W32, S1, 8);
    emit_shr(e, W32, S0, OF_SHIFT);
    emit_alu_imm(e, W32, ALU_AND, rm_reg(S0), 1);
    emit_alu(e, W32, ALU_OR, S1, rm_reg(S0));
    emit_store(e, W16, ENV(jit_flags), S1);
    t->in_memory = true;
    t->in_eflags = false;
    t->saved = false;
    if (t->live_behind) {
        gen_restore_flags(t);
        t->in_eflags = true;
    }
}

static bool gen_popf(Translator *t)
{
    Emitter *e = &t->e;
    bool user = (t->key & HF_CPL_MASK) == 3;
    /* TF and AC change how code runs; at CPL 3 IOPL decides about IF. */
    uint32_t changed = FLAGS_ARITH | FLAG_DF | FLAG_NT | FLAG_ID | (user ? 0 : FLAG_IF | FLAG_IOPL);
    uint32_t same = FLAG_TF | FLAG_AC | (user ? FLAG_IF : 0);

    if (t->insn->opsize != t->word || !(user || at_cpl0(t->key))) {
        return false;
    }
    gen_flags_away(t);
    gen_stack_address(t, 0);
    gen_translate(t, t->word, MMU_READ);
    emit_load(e, W32, S0, rm_mem(S0, 0));
    emit_load(e, W32, S2, ENV(eflags));
    t->delta_slot = 0;
    emit_mov(e, W32, S1, S0);
    emit_alu(e, W32, ALU_XOR, S1, rm_reg(S2));
    emit_alu_imm(e, W32, ALU_AND, rm_reg(S1), (int32_t)same);
    gen_slow_unless(t, COND_E);
    emit_mov(e, W32, S1, S0);
    if (!user) {
        emit_alu_imm(e, W32, ALU_AND, rm_reg(S1), FLAG_IF);
        uint8_t *off = emit_jcc(e, COND_E);
        emit_alu_imm(e, W32, ALU_CMP, ENV(interrupt_request), 0);
        gen_slow_unless(t, COND_E);
        emit_patch(off, e->p);
        emit_mov(e, W32, S1, S0);
    }
    emit_alu_imm(e, W32, ALU_AND, rm_reg(S1), (int32_t)changed);
    emit_alu_imm(e, W32, ALU_AND, rm_reg(S2), (int32_t)~changed);
    emit_alu(e, W32, ALU_OR, S1, rm_reg(S2));
    emit_store(e, W32, ENV(eflags), S1);
    emit_lea(e, t->word, GUEST_SP, rm_mem(GUEST_SP, (int32_t)t->word));
    gen_take_arithmetic(t);
    return true;
}

/* EFLAGS.AC decides what accesses may reach, so another mode's code goes on. */
static bool gen_clac_stac(Translator *t)
{
    if (!at_cpl0(t->key)) {
        return false;
    }
    gen_flags_to_memory(t);
    gen_flags_away(t);
    emit_mov_imm(&t->e, S0, t->insn->op == OP_STAC);
    gen_call_c(t, (uintptr_t)jit_set_ac);
    gen_goto_by_table(t, t->next_rip);
    return true;
}

/* ---- registers of the system ---- */

static bool gen_swapgs(Translator *t)
{
    Emitter *e = &t->e;

    if (!at_cpl0(t->key)) {
        return false;
    }
    emit_load(e, W64, S0, env_seg(SEG_GS, offsetof(Segment, base)));
    emit_load(e, W64, S1, ENV(kernel_gs_base));
    emit_store(e, W64, ENV(kernel_gs_base), S0);
    emit_store(e, W64, env_seg(SEG_GS, offsetof(Segment, base)), S1);
    return true;
}

static bool gen_read_cr(Translator *t, unsigned cr)
{
    unsigned wide = t->mode64 ? W64 : W32;

    switch (cr) {
    case 0:
        emit_load(&t->e, W32, S0, ENV(cr0));
        break;
    case 2:
        emit_load(&t->e, wide, S0, ENV(cr2));
        break;
    case 3:
        emit_load(&t->e, wide, S0, ENV(cr3));
        break;
    case 4:
        emit_load(&t->e, W32, S0, ENV(cr4));
        break;
    default:
        return false;
    }
    gen_store_guest(t, t->insn->ops[0].reg, S0);
    return true;
}

static bool gen_mov_cr(Translator *t)
{
    const InsnOperand *ops = t->insn->ops;

    if (!at_cpl0(t->key)) {
        return false;
    }
    if (ops[1].kind == OPND_CR) {
        return gen_read_cr(t, ops[1].reg);
    }
    if (ops[0].reg != 2) {
        return false;
    }
    gen_load_guest(t, S0, ops[1].reg);
    if (!t->mode64) {
        emit_mov(&t->e, W32, S0, S0);
    }
    emit_store(&t->e, W64, ENV(cr2), S0);
    return true;
}

/* Segment registers whose loads seldom change more than themselves. */
static bool is_data_segment(uint32_t key, unsigned seg)
{
    return seg != SEG_CS && seg != SEG_SS && (key & (HF_PE | HF_VM)) == HF_PE;
}

/* The selector in S0 is loaded; flags are destroyed. */
static void gen_load_segment(Translator *t, unsigned seg)
{
    emit_alu_imm(&t->e, W32, ALU_OR, rm_reg(S0), (int32_t)(seg << 16));
    gen_call_c(t, (uintptr_t)jit_load_segment);
    emit_alu_imm(&t->e, W32, ALU_CMP, rm_reg(S0), 0);
    gen_slow_unless(t, COND_NE);
}

static bool gen_mov_to_seg(Translator *t)
{
    const Insn *insn = t->insn;

    if (!is_data_segment(t->key, insn->ops[0].reg) || (insn->ops[1].kind == OPND_MEM && !can_address(t))) {
        return false;
    }
    gen_flags_away(t);
    if (insn->ops[1].kind == OPND_MEM) {
        gen_address(t);
        gen_translate(t, 2, MMU_READ);
        emit_load_u16(&t->e, S0, rm_mem(S0, 0));
    } else {
        gen_load_guest(t, S0, insn->ops[1].reg);
        emit_movzx16(&t->e, S0, S0);
    }
    gen_load_segment(t, insn->ops[0].reg);
    gen_flags_back(t);
    return true;
}

static bool gen_pop_seg(Translator *t)
{
    const Insn *insn = t->insn;

    if (insn->opsize != t->word || !is_data_segment(t->key, insn->ops[0].reg)) {
        return false;
    }
    gen_flags_away(t);
    gen_stack_address(t, 0);
    gen_translate(t, 2, MMU_READ);
    emit_load_u16(&t->e, S0, rm_mem(S0, 0));
    gen_load_segment(t, insn->ops[0].reg);
    gen_flags_back(t);
    emit_lea(&t->e, t->word, GUEST_SP, rm_mem(GUEST_SP, (int32_t)t->word));
    return true;
}

static bool gen_mov_seg(Translator *t)
{
    const Insn *insn = t->insn;
    Emitter *e = &t->e;

    if (insn->ops[1].kind != OPND_SEG) {
        return gen_mov_to_seg(t);
    }
    HostRm selector = env_seg(insn->ops[1].reg, offsetof(Segment, selector));
    if (insn->ops[0].kind == OPND_MEM) {
        if (!can_address(t)) {
            return false;
        }
        gen_operand(t, 2, MMU_WRITE);
        emit_load_u16(e, S1, selector);
        emit_store(e, W16, rm_mem(S0, 0), S1);
        return true;
    }
    emit_load_u16(e, S0, selector);
    if (insn->opsize != 2) {
        gen_store_guest(t, insn->ops[0].reg, S0);
    } else if (host_of(insn->ops[0].reg) == H_NONE) {
        emit_store(e, W16, env_reg(insn->ops[0].reg), S0);
    } else {
        emit_mov(e, W16, host_of(insn->ops[0].reg), S0);
    }
    return true;
}

static bool gen_push_seg(Translator *t)
{
    Emitter *e = &t->e;

    if (t->insn->opsize != t->word) {
        return false;
    }
    gen_flags_away(t);
    gen_stack_address(t, -(int32_t)t->word);
    gen_translate(t, t->word, MMU_WRITE);
    gen_flags_back(t);
    emit_load_u16(e, S1, env_seg(t->insn->ops[0].reg, offsetof(Segment, selector)));
    emit_store(e, t->word, rm_mem(S0, 0), S1);
    emit_lea(e, t->word, GUEST_SP, rm_mem(GUEST_SP, -(int32_t)t->word));
    return true;
}

/* S0 holds a bit of CR4 afterwards; not set: the handler. */
static void gen_need_cr4(Translator *t, uint32_t bit)
{
    emit_load(&t->e, W32, S0, ENV(cr4));
    emit_alu_imm(&t->e, W32, ALU_AND, rm_reg(S0), (int32_t)bit);
    gen_slow_unless(t, COND_NE);
}

static bool gen_read_base(Translator *t, unsigned seg)
{
    gen_flags_away(t);
    gen_need_cr4(t, CR4_FSGSBASE);
    gen_flags_back(t);
    emit_load(&t->e, t->insn->opsize, S0, env_seg(seg, offsetof(Segment, base)));
    gen_store_guest(t, t->insn->ops[0].reg, S0);
    return true;
}

static bool gen_write_base(Translator *t, unsigned seg)
{
    Emitter *e = &t->e;

    gen_flags_away(t);
    gen_need_cr4(t, CR4_FSGSBASE);
    gen_load_guest(t, S0, t->insn->ops[0].reg);
    if (t->insn->opsize == 4) {
        emit_mov(e, W32, S0, S0);
    } else {
        emit_mov(e, W64, S1, S0);
        emit_shl(e, W64, S1, 16);
        emit_sar(e, W64, S1, 16);
        emit_alu(e, W64, ALU_CMP, S1, rm_reg(S0));
        gen_slow_unless(t, COND_E); /* not canonical */
    }
    gen_flags_back(t);
    emit_store(e, W64, env_seg(seg, offsetof(Segment, base)), S0);
    return true;
}

/* ---- time ---- */

static bool gen_rdtsc(Translator *t)
{
    Emitter *e = &t->e;

    gen_flags_away(t);
    if (!at_cpl0(t->key)) {
        emit_load(e, W32, S0, ENV(cr4));
        emit_alu_imm(e, W32, ALU_AND, rm_reg(S0), CR4_TSD);
        gen_slow_unless(t, COND_E);
    }
    gen_call_c(t, (uintptr_t)cpu_tsc);
    emit_mov(e, W32, H_AX, S0);
    emit_shr(e, W64, S0, 32);
    emit_mov(e, W32, H_DX, S0);
    if (t->insn->op == OP_RDTSCP) {
        emit_load(e, W32, H_CX, ENV(tsc_aux));
    }
    gen_flags_back(t);
    return true;
}

/* ---- memory ---- */

static bool gen_cmpxchg_pair(Translator *t)
{
    const Insn *insn = t->insn;
    Emitter *e = &t->e;
    enum { OPC_GROUP9 = 0xc7, GROUP9_CMPXCHG = 1 };
    bool wide = insn->op == OP_CMPXCHG16B;

    if (!can_address(t)) {
        return false;
    }
    gen_flags_away(t);
    gen_address(t);
    if (wide) {
        emit_mov(e, W32, S1, S0);
        emit_alu_imm(e, W32, ALU_AND, rm_reg(S1), 15);
        gen_slow_unless(t, COND_E); /* not aligned: #GP */
    }
    gen_translate(t, wide ? 16 : 8, MMU_WRITE);
    gen_flags_back(t);
    unsigned flags = EMIT_0F | (wide ? EMIT_W : 0) | (insn->prefixes & INSN_PFX_LOCK ? EMIT_LOCK : 0);
    emit_op(e, flags, OPC_GROUP9, GROUP9_CMPXCHG, rm_mem(S0, 0));
    t->in_eflags = true; /* ZF has changed there */
    t->in_memory = false;
    return true;
}

/* Kernels have the processor forget secrets by it. */
static bool gen_verw(Translator *t)
{
    const Insn *insn = t->insn;
    Emitter *e = &t->e;
    enum { LAHF_ZF_SHIFT = 14 };

    if (insn->ops[0].kind == OPND_MEM && !can_address(t)) {
        return false;
    }
    gen_flags_to_memory(t);
    gen_flags_away(t);
    if (insn->ops[0].kind == OPND_MEM) {
        gen_address(t);
        gen_translate(t, 2, MMU_READ);
        emit_load_u16(e, S0, rm_mem(S0, 0));
    } else {
        gen_load_guest(t, S0, insn->ops[0].reg);
    }
    gen_call_c(t, (uintptr_t)seg_verw_at_hand);
    emit_alu_imm(e, W32, ALU_CMP, rm_reg(S0), 1);
    gen_slow_unless(t, COND_BE);
    emit_shl(e, W32, S0, LAHF_ZF_SHIFT);
    emit_load_u16(e, S1, ENV(jit_flags));
    emit_alu_imm(e, W32, ALU_AND, rm_reg(S1), (int32_t)~(1u << LAHF_ZF_SHIFT));
    emit_alu(e, W32, ALU_OR, S0, rm_reg(S1));
    emit_store(e, W16, ENV(jit_flags), S0);
    t->saved = false;
    t->in_memory = true;
    t->in_eflags = false;
    gen_flags_to_eflags(t);
    t->in_memory = false; /* that is not where the handler leaves them */
    return true;
}

static bool gen_fence(Translator *t)
{
    emit_byte(&t->e, 0x0f);
    emit_byte(&t->e, 0xae);
    emit_byte(&t->e, t->insn->modrm);
    return true;
}

bool system_goes_on(uint32_t key, const Insn *insn)
{
    switch (insn->op) {
    case OP_CLI:
    case OP_STI:
    case OP_SWAPGS:
        return at_cpl0(key);
    case OP_MOV_CR:
        return at_cpl0(key) && (insn->ops[0].kind != OPND_CR || insn->ops[0].reg == 2);
    case OP_PUSHF:
    case OP_POPF:
        return at_cpl0(key) || (key & HF_CPL_MASK) == 3;
    case OP_MOV_SEG:
    case OP_POP_SEG:
        return insn->ops[0].kind == OPND_SEG && is_data_segment(key, insn->ops[0].reg);
    default:
        return false;
    }
}

bool gen_system(Translator *t)
{
    switch (t->insn->op) {
    case OP_CLI:
        return gen_cli(t);
    case OP_STI:
        return gen_sti(t);
    case OP_CLD:
    case OP_STD:
        gen_flag(t, FLAG_DF, t->insn->op == OP_STD);
        return true;
    case OP_CLAC:
    case OP_STAC:
        return gen_clac_stac(t);
    case OP_VERW:
        return gen_verw(t);
    case OP_PUSHF:
        return gen_pushf(t);
    case OP_POPF:
        return gen_popf(t);
    case OP_SWAPGS:
        return gen_swapgs(t);
    case OP_MOV_CR:
        return gen_mov_cr(t);
    case OP_MOV_SEG:
        return gen_mov_seg(t);
    case OP_PUSH_SEG:
        return gen_push_seg(t);
    case OP_POP_SEG:
        return gen_pop_seg(t);
    case OP_RDFSBASE:
        return gen_read_base(t, SEG_FS);
    case OP_RDGSBASE:
        return gen_read_base(t, SEG_GS);
    case OP_WRFSBASE:
        return gen_write_base(t, SEG_FS);
    case OP_WRGSBASE:
        return gen_write_base(t, SEG_GS);
    case OP_RDTSC:
    case OP_RDTSCP:
        return gen_rdtsc(t);
    case OP_CMPXCHG8B:
    case OP_CMPXCHG16B:
        return gen_cmpxchg_pair(t);
    case OP_LFENCE:
    case OP_MFENCE:
    case OP_SFENCE:
        return gen_fence(t);
    default:
        return false;
    }
}
