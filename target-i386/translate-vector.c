/*
 * The translator: SSE and AVX instructions, emitted again as they are: the guest's vector registers and MXCSR are the host's
 * (translate-fpu.c), and so are the general registers that some of them imply.
 *
 * Blocks with floating point exceptions unmasked, or with SSE not usable as it is, have another key (jit_key()); there the
 * handlers do it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/translate.h"

/* General register in ModRM.reg (CVTxx2SI, MOVMSKPx, PEXTRW, PMOVMSKB), not in ModRM.rm. */
static bool general_in_reg(const Insn *insn)
{
    switch (insn->map == INSN_MAP_0F ? insn->opcode : 0) {
    case 0x2c:
    case 0x2d:
    case 0x50:
    case 0xc5:
    case 0xd7:
        return true;
    default:
        return false;
    }
}

/* Shifts by an immediate: ModRM.reg is part of the opcode. */
static bool reg_is_opcode(const Insn *insn)
{
    return insn->map == INSN_MAP_0F && insn->opcode >= 0x71 && insn->opcode <= 0x73;
}

static bool has_operand(const Insn *insn, InsnOperandKind kind)
{
    for (unsigned i = 0; i < insn->nops; i++) {
        if (insn->ops[i].kind == kind) {
            return true;
        }
    }
    return false;
}

/* The bits of the key without which instructions of a class have checks to pass; 0: another class. */
static uint32_t key_needed(const Insn *insn)
{
    switch (insn->insn_class) {
    case INSN_CLASS_MMX:
        return JIT_KEY_X87;
    case INSN_CLASS_SSE_MMX:
        return JIT_KEY_SSE | (has_operand(insn, OPND_MMX) ? JIT_KEY_X87 : 0);
    case INSN_CLASS_SSE:
        return JIT_KEY_SSE;
    case INSN_CLASS_AVX:
        return JIT_KEY_AVX;
    default:
        return 0;
    }
}

static bool copies_through(const Translator *t, const Insn *insn)
{
    bool vex = insn->prefixes & INSN_PFX_VEX;
    uint32_t needed = key_needed(insn);

    if (!needed || (t->key & needed) != needed) {
        return false;
    }
    if (!(insn->flags & INSN_HOST_EXEC) || !insn->off_modrm || insn->eflags_read ||
        insn->flags & (INSN_MEM_MASKED | INSN_MEM_IMPLICIT | INSN_VSIB)) {
        return insn->op == OP_EMMS;
    }
    if (vex && !t->mode64 && (insn->prefixes & INSN_PFX_W || (insn->nops == 4 && insn->ops[3].kind != OPND_IMM))) {
        return false; /* W and the fourth register's top bit are ignored there, the host would not */
    }
    if (insn->flags & INSN_SIMD_FP && !(t->key & JIT_KEY_MASKED)) {
        return false;
    }
    for (unsigned i = 0; i < insn->nops; i++) {
        switch (insn->ops[i].kind) {
        case OPND_XMM:
        case OPND_YMM:
        case OPND_MMX:
        case OPND_GPR:
        case OPND_MEM:
        case OPND_IMM:
            break;
        default:
            return false;
        }
    }
    return true;
}

FpuUse vector_use(const Translator *t, const Insn *insn)
{
    FpuUse use = {false, false};

    if (copies_through(t, insn)) {
        use.x87 = insn->insn_class == INSN_CLASS_MMX || has_operand(insn, OPND_MMX);
        use.vectors = insn->insn_class != INSN_CLASS_MMX &&
                      (!use.x87 || has_operand(insn, OPND_XMM) || insn->flags & INSN_SIMD_FP);
    }
    return use;
}

static unsigned insn_flags(const Insn *insn)
{
    static const unsigned maps[INSN_MAP_COUNT] = {0, EMIT_0F, EMIT_0F38, EMIT_0F3A};
    static const unsigned prefixes[4] = {0, EMIT_66, EMIT_F3, EMIT_F2};

    return maps[insn->map] | prefixes[insn->pp] | (insn->prefixes & INSN_PFX_W ? EMIT_W : 0);
}

static void gen_emms(Translator *t)
{
    static const uint8_t bytes[] = {0x0f, 0x77};

    gen_need_x87(t);
    emit_bytes(&t->e, bytes, sizeof(bytes));
}

bool gen_vector(Translator *t)
{
    const Insn *insn = t->insn;
    Emitter *e = &t->e;
    bool mem = insn->modrm < 0xc0;
    const InsnOperand *general = NULL;
    bool vex = insn->prefixes & INSN_PFX_VEX;
    FpuUse use = vector_use(t, insn);

    if (!copies_through(t, insn)) {
        return false;
    }
    if (insn->op == OP_EMMS) {
        gen_emms(t);
        return true;
    }
    if (mem && (!can_address(t) || !insn->mem_size)) {
        return false;
    }
    for (unsigned i = 0; i < insn->nops; i++) {
        const InsnOperand *op = &insn->ops[i];
        if (op->kind == OPND_GPR) {
            general = op;
        }
    }
    if (mem) {
        gen_flags_away(t);
        gen_address(t);
        if (insn->mem_align > 1) {
            emit_test_imm8(e, S0, (uint8_t)(insn->mem_align - 1));
            gen_slow_unless(t, COND_E);
        }
        gen_translate(t, insn->mem_size, insn->flags & INSN_MEM_WRITE ? MMU_WRITE : MMU_READ);
        gen_flags_back(t);
    }
    if (use.vectors) {
        gen_need_vectors(t);
    }
    if (use.x87) {
        gen_need_x87(t);
    }

    bool r = insn->rex & 4, b = insn->rex & 1;
    if (vex && t->mode64) {
        bool long_form = insn->raw[insn->off_opcode - 2] != 0xc5;
        uint8_t rxb = insn->raw[insn->off_opcode - (long_form ? 2 : 1)];
        r = !(rxb & 0x80);
        b = long_form && !(rxb & 0x20);
    }
    unsigned reg = (insn->modrm >> 3 & 7) | (r ? 8u : 0);
    HostRm rm = mem ? rm_mem(S0, 0) : rm_reg((insn->modrm & 7) | (b ? 8u : 0));
    unsigned host = H_NONE;
    if (reg_is_opcode(insn)) {
        reg &= 7;
    } else if (general) {
        host = host_of(general->reg);
        if (host == H_NONE) {
            host = S1;
            emit_load(e, W64, S1, env_reg(general->reg));
        }
        if (general_in_reg(insn)) {
            reg = host;
        } else {
            rm = rm_reg(host);
        }
    }
    if (vex) {
        VexForm form = {.map = (uint8_t)insn->map, .pp = insn->pp, .vvvv = insn->vvvv,
                        .w = insn->prefixes & INSN_PFX_W, .l = insn->vl};
        emit_vex(e, form, insn->opcode, reg, rm);
    } else {
        emit_op(e, insn_flags(insn), insn->opcode, reg, rm);
    }
    emit_bytes(e, insn->raw + insn->off_imm, insn->imm_size);
    if (general && host == S1 && general->access & OPND_WRITE) {
        emit_store(e, W64, env_reg(general->reg), S1);
    }
    return true;
}
