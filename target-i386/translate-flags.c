/*
 * The translator: the guest's arithmetic flags, which live in the host's EFLAGS.
 *
 * What translated code computes for itself (is this address in that page?) destroys EFLAGS. Where the guest's flags are live they are
 * saved before and restored behind. Mostly they are dead: something sets them all before anything reads them. But an exception
 * in between pushes them, and they must be what the guest's last instruction left. Saving them for that
 * would cost a few host instructions at every other access, for nothing nearly always. So where the operands of the instruction that set
 * them, or its result and one operand, still stand in registers, the way out of line makes the flags
 * again (the recipe): CMP and TEST are just repeated; A - B is undone by adding B, and done again. Of a shift nothing is left
 * to begin with: what it shifts is stored before, where its flags may be asked for.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/translate.h"

#define ENV(field) rm_env(offsetof(CPUX86State, field))

void gen_flags_to_ax(Translator *t)
{
    emit_mov(&t->e, W64, S1, H_AX);
    emit_lahf(&t->e);
    emit_seto_al(&t->e);
}

void gen_flags_from_ax(Translator *t)
{
    emit_of_from_al(&t->e);
    emit_sahf(&t->e);
    emit_mov(&t->e, W64, H_AX, S1);
}

void gen_save_flags(Translator *t)
{
    gen_flags_to_ax(t);
    emit_store(&t->e, W16, ENV(jit_flags), H_AX);
    emit_mov(&t->e, W64, H_AX, S1);
}

void gen_restore_flags(Translator *t)
{
    emit_mov(&t->e, W64, S1, H_AX);
    emit_load_u16(&t->e, H_AX, ENV(jit_flags));
    gen_flags_from_ax(t);
}

/* ---- recipes ---- */

/* A whole or low part of a general register, at a width the emitter's arithmetic has. */
static bool plain_register(const InsnOperand *op)
{
    return op->kind == OPND_GPR && op->size >= 4;
}

static bool same_register(const Insn *insn)
{
    return insn->ops[1].kind == OPND_GPR && insn->ops[1].reg == insn->ops[0].reg;
}

/* Whether flags that the instruction has set can be made again from registers as they are behind it. */
static bool has_recipe(const Insn *insn)
{
    const InsnOperand *a = &insn->ops[0], *b = &insn->ops[1];

    if (insn->nops < 1 || !plain_register(a)) {
        return false;
    }
    switch (insn->op) {
    case OP_CMP:
    case OP_TEST:
    case OP_ADD:
    case OP_SUB:
        if (insn->nops != 2 || (b->kind != OPND_IMM && !plain_register(b))) {
            return false;
        }
        return insn->op != OP_ADD || !same_register(insn);
    case OP_AND:
    case OP_OR:
    case OP_XOR:
    case OP_NEG:
        return true;
    default:
        return false;
    }
}

static bool is_shift(const Insn *insn)
{
    return (insn->op == OP_SHL || insn->op == OP_SHR || insn->op == OP_SAR) && insn->imm_size == 1 &&
           insn->imm & (insn->opsize == 8 ? 63 : 31) && plain_register(&insn->ops[0]);
}

/* Whether nothing reads the flags behind this instruction, but a fault may show them. */
static bool only_faults_want_flags(const Translator *t)
{
    for (unsigned i = t->at + 1; i < t->ninsns; i++) {
        const Insn *insn = &t->insns[i];
        if (insn->eflags_read & EFL_ARITH || insn->flags & (INSN_BRANCH | INSN_ENDS_BLOCK)) {
            return false;
        }
        if (insn->flags & (INSN_MEM_READ | INSN_MEM_WRITE)) {
            return true;
        }
        if ((insn->eflags_written & EFL_ARITH) == EFL_ARITH) {
            return false;
        }
    }
    return false;
}

/* A register of the guest's to read: its own, or `scratch` with its value. */
static unsigned recipe_reg(Translator *t, unsigned guest, unsigned scratch)
{
    if (host_of(guest) != H_NONE) {
        return host_of(guest);
    }
    emit_load(&t->e, W64, scratch, env_reg(guest));
    if (scratch == S2) {
        t->delta_slot = 0;
    }
    return scratch;
}

/* S1 op= the second operand. */
static void recipe_apply(Translator *t, const Insn *insn, unsigned op)
{
    unsigned width = insn->ops[0].size;

    if (insn->ops[1].kind == OPND_IMM) {
        emit_alu_imm(&t->e, width, op, rm_reg(S1), (int32_t)insn->imm);
    } else {
        emit_alu(&t->e, width, op, S1, rm_reg(recipe_reg(t, insn->ops[1].reg, S2)));
    }
}

/* The flags into EFLAGS; S1 and S2 are used. */
static void gen_recipe(Translator *t, const Insn *insn)
{
    Emitter *e = &t->e;
    unsigned width = insn->ops[0].size;
    bool zero = (insn->op == OP_XOR || insn->op == OP_SUB) && same_register(insn);

    if (zero) {
        emit_alu(e, W32, ALU_XOR, S1, rm_reg(S1)); /* as SUB would: AF is clear */
        return;
    }
    if (is_shift(insn)) {
        unsigned count = (unsigned)insn->imm & (width == 8 ? 63 : 31);
        emit_load(e, W64, S1, ENV(jit_shifted));
        (insn->op == OP_SHL ? emit_shl : insn->op == OP_SHR ? emit_shr : emit_sar)(e, width, S1, count);
        return;
    }
    gen_load_guest(t, S1, insn->ops[0].reg);
    switch (insn->op) {
    case OP_CMP:
        recipe_apply(t, insn, ALU_CMP);
        break;
    case OP_TEST:
        recipe_apply(t, insn, ALU_AND);
        break;
    case OP_ADD:
        recipe_apply(t, insn, ALU_SUB);
        recipe_apply(t, insn, ALU_ADD);
        break;
    case OP_SUB:
        recipe_apply(t, insn, ALU_ADD);
        recipe_apply(t, insn, ALU_SUB);
        break;
    case OP_NEG:
        emit_neg(e, width, S1);
        emit_neg(e, width, S1);
        break;
    default: /* AND, OR, XOR: the result decides */
        emit_alu(e, width, ALU_AND, S1, rm_reg(S1));
        break;
    }
}

static bool recipe_uses(const Insn *recipe, unsigned guest)
{
    for (unsigned i = 0; i < recipe->nops; i++) {
        if (recipe->ops[i].kind == OPND_GPR && recipe->ops[i].reg == guest) {
            return true;
        }
    }
    return false;
}

/* Instructions whose operands say all that they write. */
bool writes_only_operands(const Insn *insn)
{
    switch (insn->op) {
    case OP_MOV:
    case OP_MOVZX:
    case OP_MOVSX:
    case OP_MOVSXD:
    case OP_LEA:
    case OP_ADD:
    case OP_SUB:
    case OP_AND:
    case OP_OR:
    case OP_XOR:
    case OP_ADC:
    case OP_SBB:
    case OP_CMP:
    case OP_TEST:
    case OP_INC:
    case OP_DEC:
    case OP_NEG:
    case OP_NOT:
    case OP_SHL:
    case OP_SHR:
    case OP_SAR:
    case OP_ROL:
    case OP_ROR:
    case OP_CMOVCC:
    case OP_SETCC:
    case OP_BSWAP:
    case OP_NOP:
    case OP_ENDBR32:
    case OP_ENDBR64:
    case OP_JCC:
    case OP_ANDN:
    case OP_BEXTR:
    case OP_BLSI:
    case OP_BLSMSK:
    case OP_BLSR:
    case OP_BZHI:
    case OP_MULX:
    case OP_PDEP:
    case OP_PEXT:
    case OP_RORX:
    case OP_SARX:
    case OP_SHLX:
    case OP_SHRX:
    case OP_CRC32:
    case OP_MOVBE:
        return true;
    default:
        break;
    }
    switch (insn->insn_class) {
    case INSN_CLASS_SSE: /* they name theirs, but for PCMPxSTRx */
    case INSN_CLASS_SSE_MMX:
    case INSN_CLASS_AVX:
        return !(insn->map == INSN_MAP_0F3A && insn->opcode >= 0x60 && insn->opcode <= 0x63);
    case INSN_CLASS_MMX:
    case INSN_CLASS_X87:
    case INSN_CLASS_X87_NOWAIT:
        return true;
    default:
        return false;
    }
}

static bool spoils(const Insn *insn, const Insn *recipe)
{
    if (is_shift(recipe)) {
        return false;
    }
    if (!writes_only_operands(insn)) {
        return true;
    }
    for (unsigned i = 0; i < insn->nops; i++) {
        const InsnOperand *op = &insn->ops[i];
        if ((op->kind == OPND_GPR || op->kind == OPND_GPR8H) && op->access & OPND_WRITE &&
            recipe_uses(recipe, op->reg)) {
            return true;
        }
    }
    return false;
}

/* Sets all arithmetic flags and cannot fault: no one sees those of before. */
static bool replaces_flags_quietly(const Insn *insn)
{
    return (insn->eflags_written & EFL_ARITH) == EFL_ARITH && !insn->eflags_read &&
           !(insn->flags & (INSN_MEM_READ | INSN_MEM_WRITE | INSN_MAY_FAULT | INSN_EFLAGS_COND));
}

static void flags_before_spoiler(Translator *t, const Insn *recipe)
{
    if (!t->in_eflags && !t->in_memory) {
        if (replaces_flags_quietly(t->insn)) {
            return;
        }
        gen_recipe(t, recipe);
        t->in_eflags = true;
    }
    t->recipe.insn = NULL;
}

void flags_before_insn(Translator *t)
{
    const Insn *insn = t->insn;

    if (t->recipe.insn && spoils(insn, t->recipe.insn)) {
        flags_before_spoiler(t, t->recipe.insn);
    }
    t->shifted = is_shift(insn) && only_faults_want_flags(t);
    if (t->shifted) {
        unsigned guest = insn->ops[0].reg, host = gen_guest_to_read(t, guest, 0);
        emit_store(&t->e, W64, ENV(jit_shifted), host);
        keep_guest(t, host, guest);
    }
}

void flags_after_insn(Translator *t)
{
    if (t->insn->eflags_written | t->insn->eflags_undefined) {
        t->in_eflags = true;
        t->in_memory = false;
        t->recipe.insn = t->shifted || has_recipe(t->insn) ? t->insn : NULL;
    }
}

/* ---- away and back ---- */

void gen_flags_away(Translator *t)
{
    if (!t->in_memory && (t->live || !t->recipe.insn)) {
        gen_flags_to_memory(t);
    }
    t->in_eflags = false;
    t->saved = true;
}

void gen_flags_back(Translator *t)
{
    t->saved = false;
    if (t->live && !t->in_eflags) {
        gen_restore_flags(t);
        t->in_eflags = true;
    }
}

void gen_flags_to_eflags(Translator *t)
{
    if (t->in_eflags) {
        return;
    }
    if (t->in_memory) {
        gen_restore_flags(t);
    } else {
        gen_recipe(t, t->recipe.insn);
    }
    t->in_eflags = true;
}

void gen_flags_to_memory(Translator *t)
{
    if (!t->in_memory) {
        gen_flags_to_eflags(t);
        gen_save_flags(t);
        t->in_memory = true;
    }
}

void note_flags(Translator *t, Stub *s)
{
    s->in_memory = t->in_memory;
    s->recipe = t->recipe;
    s->flags_at = t->in_eflags && !t->saved ? FLAGS_IN_EFLAGS
                  : t->in_memory            ? FLAGS_IN_MEMORY
                                            : FLAGS_BY_RECIPE;
}

void gen_stub_flags(Translator *t, const Stub *s)
{
    switch (s->flags_at) {
    case FLAGS_IN_EFLAGS:
        break;
    case FLAGS_IN_MEMORY:
        gen_restore_flags(t);
        break;
    case FLAGS_BY_RECIPE:
        gen_recipe(t, s->recipe.insn);
        break;
    case FLAGS_IN_AX:
        gen_flags_from_ax(t);
        break;
    }
}
