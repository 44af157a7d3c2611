/*
 * The translator: SSE and AVX instructions, emitted again as they are. A guest vector register that an instruction names is loaded into
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
    OPC_VINSERTF128 = 0x18,  /* VEX, map 3 */
    OPC_VEXTRACTF128 = 0x19,
};

static HostRm env_xmm(unsigned n)
{
    return rm_env(offsetof(CPUX86State, fpu) + offsetof(FpuState, xmm) + 16 * n);
}

static HostRm env_ymmh(unsigned n)
{
    return rm_env(offsetof(CPUX86State, fpu) + offsetof(FpuState, ymmh) + 16 * n);
}

void gen_reload_vectors(Translator *t, uint16_t xmm, uint16_t ymm)
{
    for (unsigned n = 0; n < 16; n++) {
        if (xmm >> n & 1) {
            emit_op(&t->e, EMIT_0F, OPC_MOVUPS_LOAD, n, env_xmm(n));
        }
        if (ymm >> n & 1) {
            emit_vex(&t->e, (VexForm){.map = 3, .pp = 1, .vvvv = (uint8_t)n, .l = true},
                     OPC_VINSERTF128, n, env_ymmh(n));
            emit_byte(&t->e, 1);
        }
    }
}

/* Stores what an instruction has written; whole registers for VEX. */
static void gen_store_vectors(Translator *t, uint16_t written, bool whole)
{
    for (unsigned n = 0; n < 16; n++) {
        if (!(written >> n & 1)) {
            continue;
        }
        emit_op(&t->e, EMIT_0F, OPC_MOVUPS_STORE, n, env_xmm(n));
        if (whole) {
            emit_vex(&t->e, (VexForm){.map = 3, .pp = 1, .l = true}, OPC_VEXTRACTF128, n, env_ymmh(n));
            emit_byte(&t->e, 1);
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

    bool vex = insn->prefixes & INSN_PFX_VEX;

    if (!(insn->flags & INSN_HOST_EXEC) || !insn->off_modrm || insn->eflags_read ||
        insn->flags & (INSN_MEM_MASKED | INSN_MEM_IMPLICIT | INSN_VSIB)) {
        return false;
    }
    if (vex ? insn->insn_class != INSN_CLASS_AVX || !(t->key & JIT_KEY_AVX)
            : insn->insn_class != INSN_CLASS_SSE || !(t->key & JIT_KEY_SSE)) {
        return false;
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
    case OP_VPCMPESTRM:
    case OP_VPCMPESTRI:
    case OP_VPCMPISTRM:
    case OP_VPCMPISTRI:
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
    uint16_t needed = 0, needed_ymm = 0, written = 0;
    bool vex = insn->prefixes & INSN_PFX_VEX;

    if (!copies_through(t) || (mem && (!can_address(t) || !insn->mem_size))) {
        return false;
    }
    for (unsigned i = 0; i < insn->nops; i++) {
        const InsnOperand *op = &insn->ops[i];
        uint16_t bit = (uint16_t)(1u << (op->reg & 15));
        if (op->kind == OPND_XMM || op->kind == OPND_YMM) {
            if (op->access != OPND_WRITE || op->size < (op->kind == OPND_XMM ? 16 : 32)) {
                needed |= bit;
                needed_ymm |= op->kind == OPND_YMM ? bit : 0;
            }
            if (op->access & OPND_WRITE) {
                written |= bit;
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
    gen_reload_vectors(t, needed & ~t->xmm, needed_ymm & ~t->ymm);

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
    gen_store_vectors(t, written, vex);
    t->xmm |= needed | written;
    t->ymm |= needed_ymm | (vex ? written : 0);
    return true;
}
