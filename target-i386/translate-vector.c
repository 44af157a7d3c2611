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

#include "target-i386/host-thunk.h"

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

static bool is_gather(uint16_t op)
{
    switch (op) {
    case OP_VGATHERDPS:
    case OP_VGATHERDPD:
    case OP_VGATHERQPS:
    case OP_VGATHERQPD:
    case OP_VPGATHERDD:
    case OP_VPGATHERDQ:
    case OP_VPGATHERQD:
    case OP_VPGATHERQQ:
        return true;
    default:
        return false;
    }
}

/* Done here in ways of their own; those that name memory by mask or address it by rDI among them. */
static bool is_special(uint16_t op)
{
    switch (op) {
    case OP_EMMS:
    case OP_VZEROUPPER:
    case OP_VZEROALL:
    case OP_LDMXCSR:
    case OP_VLDMXCSR:
    case OP_STMXCSR:
    case OP_VSTMXCSR:
    case OP_MASKMOVQ:
    case OP_MASKMOVDQU:
    case OP_VMASKMOVDQU:
    case OP_VMASKMOVPS:
    case OP_VMASKMOVPD:
    case OP_VPMASKMOVD:
    case OP_VPMASKMOVQ:
        return true;
    default:
        return is_gather(op);
    }
}

static bool is_load_mxcsr(uint16_t op)
{
    return op == OP_LDMXCSR || op == OP_VLDMXCSR;
}

static bool copies_through(const Translator *t, const Insn *insn)
{
    uint32_t needed = key_needed(insn);

    if (!needed || (t->key & needed) != needed) {
        return false;
    }
    if (insn->flags & INSN_SIMD_FP || is_load_mxcsr(insn->op)) {
        if (!(t->key & JIT_KEY_MASKED)) {
            return false;
        }
    }
    if (is_special(insn->op)) {
        return true;
    }
    if (!(insn->flags & INSN_HOST_EXEC) || !insn->off_modrm || insn->eflags_read ||
        insn->flags & (INSN_MEM_MASKED | INSN_MEM_IMPLICIT | INSN_VSIB)) {
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

static void gen_need(Translator *t, FpuUse use)
{
    if (use.vectors) {
        gen_need_vectors(t);
    }
    if (use.x87) {
        gen_need_x87(t);
    }
}

/* ---- encoding ---- */

void modrm_registers(const Translator *t, unsigned *reg, unsigned *rm)
{
    const Insn *insn = t->insn;
    bool r = insn->rex & 4, b = insn->rex & 1;

    if (insn->prefixes & INSN_PFX_VEX && t->mode64) {
        bool long_form = insn->raw[insn->off_opcode - 2] != 0xc5;
        uint8_t rxb = insn->raw[insn->off_opcode - (long_form ? 2 : 1)];
        r = !(rxb & 0x80);
        b = long_form && !(rxb & 0x20);
    }
    *reg = (insn->modrm >> 3 & 7) | (r ? 8u : 0);
    *rm = (insn->modrm & 7) | (b ? 8u : 0);
}

static unsigned insn_flags(const Insn *insn)
{
    static const unsigned maps[INSN_MAP_COUNT] = {0, EMIT_0F, EMIT_0F38, EMIT_0F3A};
    static const unsigned prefixes[4] = {0, EMIT_66, EMIT_F3, EMIT_F2};

    return maps[insn->map] | prefixes[insn->pp] | (insn->prefixes & INSN_PFX_W ? EMIT_W : 0);
}

/* The immediate; the fourth register's top bit in it is ignored outside 64-bit mode, the host would not. */
static void gen_imm(Translator *t)
{
    const Insn *insn = t->insn;
    bool fourth = insn->nops == 4 && insn->ops[3].kind != OPND_IMM;

    for (unsigned i = 0; i < insn->imm_size; i++) {
        uint8_t imm = insn->raw[insn->off_imm + i];
        emit_byte(&t->e, fourth && !t->mode64 ? imm & 0x7f : imm);
    }
}

/* The instruction with other registers, or memory at S0, in ModRM. */
static void gen_same(Translator *t, unsigned reg, HostRm rm)
{
    const Insn *insn = t->insn;

    if (insn->prefixes & INSN_PFX_VEX) {
        VexForm form = {.map = (uint8_t)insn->map, .pp = insn->pp, .vvvv = insn->vvvv & (t->mode64 ? 15 : 7),
                        .w = insn->prefixes & INSN_PFX_W && !host_w_is_ignored(insn, t->mode64), .l = insn->vl};
        emit_vex(&t->e, form, insn->opcode, reg, rm);
    } else {
        emit_op(&t->e, insn_flags(insn), insn->opcode, reg, rm);
    }
    gen_imm(t);
}

/* ---- state ---- */

static void gen_emms(Translator *t)
{
    static const uint8_t bytes[] = {0x0f, 0x77};

    gen_need_x87(t);
    emit_bytes(&t->e, bytes, sizeof(bytes));
}

/* Outside 64-bit mode it is about eight registers, one by one here. */
static void gen_vzero(Translator *t)
{
    enum { OPC_VZERO = 0x77, OPC_VMOVAPS = 0x28, OPC_VXORPS = 0x57 };
    bool all = t->insn->op == OP_VZEROALL;
    Emitter *e = &t->e;

    gen_need_vectors(t);
    if (t->mode64) {
        const uint8_t bytes[] = {0xc5, all ? 0xfc : 0xf8, OPC_VZERO};
        emit_bytes(e, bytes, sizeof(bytes));
        return;
    }
    for (uint8_t n = 0; n < 8; n++) {
        emit_vex(e, (VexForm){.map = 1, .vvvv = all ? n : 0}, all ? OPC_VXORPS : OPC_VMOVAPS, n, rm_reg(n));
    }
}

/* A value that unmasks something or has bits that do not exist goes to the handler. */
static bool gen_ldmxcsr(Translator *t)
{
    HostRm temp = rm_env(offsetof(CPUX86State, jit_temp));
    Emitter *e = &t->e;

    gen_flags_away(t);
    gen_address(t);
    gen_translate(t, 4, MMU_READ);
    emit_load(e, W32, S1, rm_mem(S0, 0));
    emit_store(e, W32, temp, S1);
    emit_alu_imm(e, W32, ALU_AND, rm_reg(S1), (int32_t)(JIT_MXCSR_MASKS | ~t->env->fpu.mxcsr_mask));
    emit_alu_imm(e, W32, ALU_CMP, rm_reg(S1), JIT_MXCSR_MASKS);
    gen_slow_unless(t, COND_E);
    gen_flags_back(t);
    gen_need_vectors(t);
    emit_ldmxcsr(e, temp);
    return true;
}

static bool gen_stmxcsr(Translator *t)
{
    gen_operand(t, 4, MMU_WRITE);
    gen_need_vectors(t);
    emit_stmxcsr(&t->e, rm_mem(S0, 0));
    return true;
}

/* ---- by mask ---- */

/* MASKMOVQ, MASKMOVDQU: to rDI, which is S0's for a moment. The whole operand has to be writable. */
static bool gen_maskmov_bytes(Translator *t)
{
    const Insn *insn = t->insn;
    Emitter *e = &t->e;
    unsigned reg, rm;

    /* Flat data only; CS is not writable. */
    if (insn->addrsize == 2 || insn->seg == SEG_FS || insn->seg == SEG_GS || (insn->seg == SEG_CS && !t->mode64) ||
        !segment_is_flat(t, insn->seg)) {
        return false;
    }
    gen_flags_away(t);
    emit_mov(e, insn->addrsize, S0, H_DI);
    t->address_key = KEY_BASE(R_DI) | KEY_INDEX(KEY_NO_REGISTER);
    t->segment = SEG_COUNT;
    gen_translate(t, insn->op == OP_MASKMOVQ ? 8 : 16, MMU_WRITE);
    gen_flags_back(t);
    gen_need(t, vector_use(t, insn));
    modrm_registers(t, &reg, &rm);
    emit_mov(e, W64, S1, H_DI);
    emit_mov(e, W64, H_DI, S0);
    gen_same(t, reg, rm_reg(rm));
    emit_mov(e, W64, H_DI, S1);
    return true;
}

/* Where all elements may be accessed, those masked off are not, here as there. */
static bool gen_maskmov(Translator *t)
{
    const Insn *insn = t->insn;
    unsigned reg, rm;

    gen_operand(t, 16u << insn->vl, insn->ops[0].kind == OPND_MEM ? MMU_WRITE : MMU_READ);
    gen_need_vectors(t);
    modrm_registers(t, &reg, &rm);
    gen_same(t, reg, rm_mem(S0, 0));
    return true;
}

static bool gen_special(Translator *t)
{
    switch (t->insn->op) {
    case OP_EMMS:
        gen_emms(t);
        return true;
    case OP_VZEROUPPER:
    case OP_VZEROALL:
        gen_vzero(t);
        return true;
    }
    if (is_gather(t->insn->op)) {
        return gen_gather(t);
    }
    if (!can_address(t)) {
        return false;
    }
    switch (t->insn->op) {
    case OP_LDMXCSR:
    case OP_VLDMXCSR:
        return gen_ldmxcsr(t);
    case OP_STMXCSR:
    case OP_VSTMXCSR:
        return gen_stmxcsr(t);
    case OP_MASKMOVQ:
    case OP_MASKMOVDQU:
    case OP_VMASKMOVDQU:
        return gen_maskmov_bytes(t);
    default:
        return gen_maskmov(t);
    }
}

/* ---- all others ---- */

static const InsnOperand *general_operand(const Insn *insn)
{
    for (unsigned i = 0; i < insn->nops; i++) {
        if (insn->ops[i].kind == OPND_GPR) {
            return &insn->ops[i];
        }
    }
    return NULL;
}

static HostRm gen_memory(Translator *t)
{
    const Insn *insn = t->insn;

    HostRm rm = gen_mem(t, insn->mem_size, insn->flags & INSN_MEM_WRITE ? MMU_WRITE : MMU_READ);
    if (insn->mem_align > 1) { /* pages are aligned here as there */
        gen_flags_away(t);
        emit_lea(&t->e, W64, S1, rm);
        emit_test_imm8(&t->e, S1, (uint8_t)(insn->mem_align - 1));
        gen_slow_unless(t, COND_E);
    }
    gen_flags_back(t);
    return rm;
}

bool gen_vector(Translator *t)
{
    const Insn *insn = t->insn;
    const InsnOperand *general = general_operand(insn);
    bool mem = insn->modrm < 0xc0;
    unsigned reg, rm, host = H_NONE;
    HostRm operand = rm_reg(0);

    if (!copies_through(t, insn)) {
        return false;
    }
    if (is_special(insn->op)) {
        return gen_special(t);
    }
    if (mem && (!can_address(t) || !insn->mem_size)) {
        return false;
    }
    if (mem) {
        operand = gen_memory(t);
    }
    gen_need(t, vector_use(t, insn));
    modrm_registers(t, &reg, &rm);
    if (reg_is_opcode(insn)) {
        reg &= 7;
    } else if (general) {
        host = host_of(general->reg);
        if (host == H_NONE) {
            host = S1;
            emit_load(&t->e, W64, S1, env_reg(general->reg));
        }
        if (general_in_reg(insn)) {
            reg = host;
        } else {
            rm = host;
        }
    }
    gen_same(t, reg, mem ? operand : rm_reg(rm));
    if (general && host == S1 && general->access & OPND_WRITE) {
        emit_store(&t->e, W64, env_reg(general->reg), S1);
    }
    return true;
}
