/*
 * The translator: SSE instructions, emitted again as they are. A guest XMM register that an instruction names is loaded into
 * the host's register of the same number, kept there for the rest of the block, and stored whenever it is written; so the
 * CPU state always has all of them, and handlers may use the host's as they like.
 *
 * MXCSR is the guest's while translated code runs. Blocks with floating point exceptions unmasked, or with SSE
 * not usable as it is, have another key (jit_key()); there the handlers do it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/translate.h"

enum {
    OPC_MOVUPS_LOAD = 0x10, /* 0F */
    OPC_MOVUPS_STORE = 0x11,
};

static HostRm env_xmm(unsigned n)
{
    return rm_env(offsetof(CPUX86State, fpu) + offsetof(FpuState, xmm) + 16 * n);
}

void gen_reload_xmm(Translator *t, uint16_t regs)
{
    for (unsigned n = 0; n < 16; n++) {
        if (regs >> n & 1) {
            emit_op(&t->e, EMIT_0F, OPC_MOVUPS_LOAD, n, env_xmm(n));
        }
    }
}

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

static bool copies_through(const Translator *t)
{
    const Insn *insn = t->insn;

    if (!(insn->flags & INSN_HOST_EXEC) || insn->insn_class != INSN_CLASS_SSE ||
        insn->prefixes & INSN_PFX_VEX || !insn->off_modrm || insn->eflags_read ||
        insn->flags & (INSN_MEM_MASKED | INSN_MEM_IMPLICIT) || !(t->key & JIT_KEY_SSE)) {
        return false;
    }
    if (insn->flags & INSN_SIMD_FP && !(t->key & JIT_KEY_MASKED)) {
        return false;
    }
    for (unsigned i = 0; i < insn->nops; i++) {
        switch (insn->ops[i].kind) {
        case OPND_XMM:
        case OPND_GPR:
        case OPND_MEM:
        case OPND_IMM:
            break;
        default:
            return false;
        }
    }
    switch (insn->op) {
    case OP_BLENDVPS: /* XMM0, ECX, EAX, EDX are implied */
    case OP_BLENDVPD:
    case OP_PBLENDVB:
    case OP_SHA256RNDS2:
    case OP_PCMPESTRM:
    case OP_PCMPESTRI:
    case OP_PCMPISTRM:
    case OP_PCMPISTRI:
        return false;
    default:
        return true;
    }
}

static unsigned insn_flags(const Insn *insn)
{
    static const unsigned maps[INSN_MAP_COUNT] = {0, EMIT_0F, EMIT_0F38, EMIT_0F3A};
    static const unsigned prefixes[4] = {0, EMIT_66, EMIT_F3, EMIT_F2};

    return maps[insn->map] | prefixes[insn->pp] | (insn->prefixes & INSN_PFX_W ? EMIT_W : 0);
}

bool gen_vector(Translator *t)
{
    const Insn *insn = t->insn;
    Emitter *e = &t->e;
    bool mem = insn->modrm < 0xc0;
    const InsnOperand *general = NULL;
    uint16_t needed = 0, written = 0;

    if (!copies_through(t) || (mem && (!can_address(t) || !insn->mem_size))) {
        return false;
    }
    for (unsigned i = 0; i < insn->nops; i++) {
        const InsnOperand *op = &insn->ops[i];
        if (op->kind == OPND_XMM) {
            if (op->access != OPND_WRITE || op->size != 16) {
                needed |= (uint16_t)(1u << op->reg);
            }
            if (op->access & OPND_WRITE) {
                written |= (uint16_t)(1u << op->reg);
            }
        } else if (op->kind == OPND_GPR) {
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
    gen_reload_xmm(t, needed & ~t->xmm);

    unsigned reg = (insn->modrm >> 3 & 7) | (insn->rex & 4 ? 8u : 0);
    HostRm rm = mem ? rm_mem(S0, 0) : rm_reg((insn->modrm & 7) | (insn->rex & 1 ? 8u : 0));
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
    emit_op(e, insn_flags(insn), insn->opcode, reg, rm);
    emit_bytes(e, insn->raw + insn->off_imm, insn->imm_size);
    if (general && host == S1 && general->access & OPND_WRITE) {
        emit_store(e, W64, env_reg(general->reg), S1);
    }
    for (unsigned n = 0; n < 16; n++) {
        if (written >> n & 1) {
            emit_op(e, EMIT_0F, OPC_MOVUPS_STORE, n, env_xmm(n));
        }
    }
    t->xmm |= needed | written;
    return true;
}
