/*
 * The translator: segments that are not flat, and stacks and calls of 16 bits.
 *
 * A segment's base, limit and type are looked up when the code runs, in its window (JitWindow), so blocks do not depend on
 * them; that all are flat is a part of a block's mode. Blocks outside flat code know offsets in CS, and are used only where CS
 * has room for every one that its width allows.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/translate.h"

bool segment_is_flat(const Translator *t, unsigned seg)
{
    if (t->mode64) {
        return true; /* gen_address() adds FS and GS */
    }
    return t->key & HF_FLAT && (seg == SEG_DS || seg == SEG_SS || seg == SEG_ES);
}

void gen_segment(Translator *t, unsigned size, MmuAccess access)
{
    Emitter *e = &t->e;
    size_t window = offsetof(CPUX86State, jit_windows) + t->segment * sizeof(JitWindow);

    emit_lea(e, W64, S1, rm_mem(S0, (int32_t)size - 1));
    emit_alu(e, W64, ALU_CMP, S1, rm_env(window + offsetof(JitWindow, end) + 8 * access));
    gen_slow_unless(t, COND_B);
    emit_alu(e, W32, ALU_ADD, S0, rm_env(window + offsetof(JitWindow, base)));
}

/* ---- the stack ---- */

/* The host address of the stack's word at SP + disp, in S0. */
static void gen_stack_word(Translator *t, int32_t disp, MmuAccess access)
{
    gen_stack_address(t, 0);
    emit_lea(&t->e, W32, S0, rm_mem(GUEST_SP, disp));
    if (!(t->key & HF_SS32)) {
        emit_movzx16(&t->e, S0, S0);
    }
    if (!segment_is_flat(t, SEG_SS)) {
        t->segment = SEG_SS;
    }
    gen_translate(t, t->insn->opsize, access);
}

static void gen_move_sp(Translator *t, int32_t by)
{
    emit_lea(&t->e, t->key & HF_SS32 ? W32 : W16, GUEST_SP, rm_mem(GUEST_SP, by));
}

static bool gen_push(Translator *t)
{
    const Insn *insn = t->insn;
    Emitter *e = &t->e;
    unsigned kind = insn->ops[0].kind;

    if (insn->op == OP_PUSH && kind != OPND_GPR && kind != OPND_IMM) {
        return false;
    }
    gen_flags_away(t);
    gen_stack_word(t, -(int32_t)insn->opsize, MMU_WRITE);
    gen_flags_back(t);
    if (insn->op == OP_PUSH_SEG) {
        emit_load_u16(e, S1, rm_env(offsetof(CPUX86State, segs) + insn->ops[0].reg * sizeof(Segment) +
                                    offsetof(Segment, selector)));
        emit_store(e, insn->opsize, rm_mem(S0, 0), S1);
    } else if (kind == OPND_GPR) {
        emit_store(e, insn->opsize, rm_mem(S0, 0), host_of(insn->ops[0].reg));
    } else {
        emit_store_imm(e, insn->opsize, rm_mem(S0, 0), (int32_t)insn->imm);
    }
    gen_move_sp(t, -(int32_t)insn->opsize);
    return true;
}

static bool gen_pop(Translator *t)
{
    const Insn *insn = t->insn;

    if (insn->ops[0].kind != OPND_GPR || insn->ops[0].reg == R_SP) {
        return false;
    }
    gen_flags_away(t);
    gen_stack_word(t, 0, MMU_READ);
    gen_flags_back(t);
    emit_load(&t->e, insn->opsize, host_of(insn->ops[0].reg), rm_mem(S0, 0));
    gen_move_sp(t, insn->opsize);
    return true;
}

/* ---- near calls and returns ---- */

static bool gen_call(Translator *t)
{
    const Insn *insn = t->insn;
    uint64_t target;

    if (!target_of(t, &target)) {
        return false;
    }
    gen_flags_to_memory(t);
    gen_flags_away(t);
    gen_stack_word(t, -(int32_t)insn->opsize, MMU_WRITE);
    emit_store_imm(&t->e, insn->opsize, rm_mem(S0, 0),
                   insn->opsize == 2 ? (int16_t)t->next_rip : (int32_t)t->next_rip);
    gen_move_sp(t, -(int32_t)insn->opsize);
    gen_call_to(t, target);
    return true;
}

static bool gen_ret(Translator *t)
{
    const Insn *insn = t->insn;
    Emitter *e = &t->e;
    int32_t more = insn->nops ? (uint16_t)insn->imm : 0;

    if (insn->opsize == 4 && t->ip_mask == 0xffff) {
        return false; /* may be no address there */
    }
    gen_flags_to_memory(t);
    gen_flags_away(t);
    gen_stack_word(t, 0, MMU_READ);
    if (insn->opsize == 2) {
        emit_load_u16(e, S0, rm_mem(S0, 0));
    } else {
        emit_load(e, W32, S0, rm_mem(S0, 0));
    }
    gen_move_sp(t, insn->opsize + more);
    gen_mov_record(t, S2, insn_record(t));
    emit_ret(e);
    t->ended = true;
    return true;
}

bool gen_segmented(Translator *t)
{
    if (t->word) {
        return false;
    }
    switch (t->insn->op) {
    case OP_PUSH:
    case OP_PUSH_SEG:
        return gen_push(t);
    case OP_POP:
        return gen_pop(t);
    case OP_CALL:
        return gen_call(t);
    case OP_RET:
        return gen_ret(t);
    default:
        return false;
    }
}
