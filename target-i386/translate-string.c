/*
 * The translator: string instructions. One element is done inline; a repeated MOVS or STOS by a C function that works
 * through the pages the soft TLB has, the handler doing the rest.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/translate.h"

#define ENV(field) rm_env(offsetof(CPUX86State, field))

static bool repeated(const Insn *insn)
{
    return insn->prefixes & (INSN_PFX_REP | INSN_PFX_REPNE);
}

/* Elements that go down are the handler's. */
static void gen_upwards(Translator *t)
{
    emit_load(&t->e, W32, S0, ENV(eflags));
    emit_alu_imm(&t->e, W32, ALU_AND, rm_reg(S0), FLAG_DF);
    gen_slow_unless(t, COND_E);
}

/* The host address of the element that a register points to, in S0. */
static void gen_element(Translator *t, unsigned reg, unsigned seg, MmuAccess access)
{
    Emitter *e = &t->e;

    t->address_key = KEY_BASE(reg) | KEY_INDEX(KEY_NO_REGISTER) | KEY_STRING | (t->mode64 && seg >= SEG_FS ? KEY_SEG(seg) : 0);
    emit_mov(e, t->word, S0, reg);
    if (t->mode64 && seg >= SEG_FS) {
        emit_alu(e, W64, ALU_ADD, S0,
                 rm_env(offsetof(CPUX86State, segs) + seg * sizeof(Segment) + offsetof(Segment, base)));
    }
    gen_translate(t, t->insn->opsize, access);
}

static void gen_advance(Translator *t, unsigned reg)
{
    emit_lea(&t->e, t->word, reg, rm_mem(reg, (int32_t)t->insn->opsize));
}

static void gen_one(Translator *t)
{
    const Insn *insn = t->insn;
    Emitter *e = &t->e;
    unsigned size = insn->opsize;

    gen_flags_away(t);
    gen_upwards(t);
    if (insn->op == OP_STOS) {
        gen_element(t, H_DI, SEG_ES, MMU_WRITE);
        emit_store(e, size, rm_mem(S0, 0), H_AX);
    } else {
        gen_element(t, H_SI, insn->seg, MMU_READ);
        if (insn->op == OP_MOVS) {
            emit_load(e, size, S0, rm_mem(S0, 0));
            emit_store(e, W64, ENV(jit_temp), S0);
            gen_element(t, H_DI, SEG_ES, MMU_WRITE);
            emit_load(e, W64, S1, ENV(jit_temp));
            emit_store(e, size, rm_mem(S0, 0), S1);
        } else {
            emit_load(e, size, H_AX, rm_mem(S0, 0));
        }
        gen_advance(t, H_SI);
    }
    if (insn->op != OP_LODS) {
        gen_advance(t, H_DI);
    }
    gen_flags_back(t);
}

static bool gen_repeated(Translator *t)
{
    Emitter *e = &t->e;

    if (t->insn->op == OP_LODS) {
        return false;
    }
    gen_flags_away(t);
    gen_mov_pointer(t, S0, keep_insn(t));
    gen_call_c(t, (uintptr_t)exec_string_at_hand);
    emit_alu_imm(e, W32, ALU_CMP, rm_reg(S0), 0);
    gen_slow_unless(t, COND_NE);
    gen_flags_back(t);
    return true;
}

bool gen_string(Translator *t)
{
    const Insn *insn = t->insn;

    switch (insn->op) {
    case OP_MOVS:
    case OP_STOS:
    case OP_LODS:
        break;
    default:
        return false;
    }
    if (insn->addrsize != t->word || (!t->mode64 && (insn->seg == SEG_FS || insn->seg == SEG_GS || insn->seg == SEG_CS))) {
        return false;
    }
    if (repeated(insn)) {
        return gen_repeated(t);
    }
    gen_one(t);
    return true;
}
