/*
 * The translator: gathers. Where all elements, masked off or not, lie in the first one's page, the host gathers them from there;
 * else the handler does.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/translate.h"

#define ENV(field) rm_env(offsetof(CPUX86State, field))

enum {
    OPC_MOVSXD = 0x63,
    OPC_VMOVDQU_STORE = 0x7f, /* F3, VEX map 1 */
    PP_F3 = 2,
};

/* S1 = the index of an element, from where gen_gather() has put them. */
static void gen_index(Translator *t, unsigned i, unsigned size)
{
    HostRm at = rm_env(offsetof(CPUX86State, jit_vector) + i * size);

    if (size == 4) {
        emit_op(&t->e, EMIT_W, OPC_MOVSXD, S1, at);
    } else {
        emit_load(&t->e, W64, S1, at);
    }
}

static HostRm scaled(const Insn *insn, unsigned base)
{
    HostRm rm = rm_mem(base, 0);

    rm.index = S1;
    rm.scale = insn->scale;
    return rm;
}

/* The address that indices count from, in S0. */
static void gen_base(Translator *t)
{
    const Insn *insn = t->insn;

    if (insn->base < 16) {
        gen_load_guest(t, S0, insn->base);
        emit_lea(&t->e, W64, S0, rm_mem(S0, (int32_t)insn->disp));
    } else {
        emit_mov_imm(&t->e, S0, (uint64_t)insn->disp);
    }
    t->address_key = KEY_BASE(insn->base < 16 ? insn->base : KEY_NO_REGISTER) | KEY_INDEX(insn->index) | KEY_GATHER;
    t->segment = SEG_COUNT;
}

bool gen_gather(Translator *t)
{
    const Insn *insn = t->insn;
    Emitter *e = &t->e;
    unsigned size = insn->mem_size, index_size = insn->opcode & 1 ? 8 : 4, reg, rm;
    unsigned n = (16u << insn->vl) / (size > index_size ? size : index_size);
    bool wide_index = insn->index_kind == OPND_YMM;

    if (!t->mode64 || insn->addrsize != 8 || insn->seg == SEG_FS || insn->seg == SEG_GS || insn->base == INSN_REG_RIP) {
        return false;
    }
    gen_need_vectors(t);
    gen_flags_away(t);
    emit_vex(e, (VexForm){.map = 1, .pp = PP_F3, .l = wide_index}, OPC_VMOVDQU_STORE, insn->index, ENV(jit_vector));
    gen_base(t);
    gen_index(t, 0, index_size);
    emit_lea(e, W64, S0, scaled(insn, S0));
    gen_translate(t, size, MMU_READ);

    /* Where indices count from here; then relative to the first element's page, for the last byte of each element. */
    gen_index(t, 0, index_size);
    emit_neg(e, W64, S1);
    emit_lea(e, W64, S2, scaled(insn, S0));
    emit_store(e, W64, ENV(jit_temp), S2);
    emit_alu_imm(e, W64, ALU_AND, rm_reg(S0), -(int32_t)GUEST_PAGE_SIZE);
    emit_alu(e, W64, ALU_SUB, S2, rm_reg(S0));
    emit_lea(e, W64, S2, rm_mem(S2, (int32_t)size - 1));
    emit_mov_imm(e, S0, 0);
    for (unsigned i = 0; i < n; i++) {
        gen_index(t, i, index_size);
        emit_lea(e, W64, S1, scaled(insn, S2));
        emit_alu(e, W64, ALU_OR, S0, rm_reg(S1));
    }
    emit_shr(e, W64, S0, GUEST_PAGE_BITS);
    gen_slow_unless(t, COND_E);
    gen_flags_back(t);

    modrm_registers(t, &reg, &rm);
    emit_load(e, W64, S0, ENV(jit_temp));
    HostRm elements = rm_mem(S0, 0);
    elements.index = insn->index;
    elements.scale = insn->scale;
    VexForm form = {.map = (uint8_t)insn->map, .pp = insn->pp, .vvvv = insn->vvvv, .w = insn->prefixes & INSN_PFX_W, .l = insn->vl};
    emit_vex(e, form, insn->opcode, reg, elements);
    return true;
}
