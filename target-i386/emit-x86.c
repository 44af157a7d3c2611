/*
 * Encoding of host instructions. SDM vol. 2, chapter 2 for the format.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/emit.h"

#include <string.h>

enum {
    PFX_GS = 0x65,
    PFX_OPSIZE = 0x66,
    PFX_LOCK = 0xf0,
    PFX_F2 = 0xf2,
    PFX_F3 = 0xf3,
    REX = 0x40,
    REX_W = 8,
    REX_R = 4,
    REX_X = 2,
    REX_B = 1,
    VEX3 = 0xc4,
    VEX_R = 0x80,
    VEX_X = 0x40,
    VEX_B = 0x20,
    VEX_W = 0x80,
    VEX_L = 0x04,
    OPC_ESCAPE = 0x0f,
    OPC_ESCAPE_38 = 0x38,
    OPC_ESCAPE_3A = 0x3a,
    OPC_MOV_STORE8 = 0x88,
    OPC_MOV_STORE = 0x89,
    OPC_MOV_LOAD8 = 0x8a,
    OPC_MOV_LOAD = 0x8b,
    OPC_LEA = 0x8d,
    OPC_MOV_IMM8 = 0xc6,
    OPC_MOV_IMM = 0xc7,
    OPC_MOV_REG_IMM = 0xb8,
    OPC_MOVZX16 = 0xb7, /* 0F */
    OPC_ALU_RM = 0x03,  /* + 8 * operation: register op= rm */
    OPC_ALU_IMM32 = 0x81,
    OPC_ALU_IMM8 = 0x83,
    OPC_SHIFT_IMM = 0xc1,
    OPC_ADD_AL_IMM = 0x04,
    OPC_LAHF = 0x9f,
    OPC_SAHF = 0x9e,
    OPC_SETO = 0x90, /* 0F */
    OPC_PUSH = 0x50,
    OPC_POP = 0x58,
    OPC_RET = 0xc3,
    OPC_JMP = 0xe9,
    OPC_CALL = 0xe8,
    OPC_JCC = 0x80, /* 0F */
    OPC_GROUP5 = 0xff,
    GROUP5_CALL = 2,
    GROUP5_JMP = 4,
    SHIFT_SHL = 4,
    SHIFT_SHR = 5,
    SHIFT_SAR = 7,
    OPC_MOVZX8 = 0xb6, /* 0F */
    OPC_BSWAP = 0xc8,  /* 0F */
    OPC_GROUP3_8 = 0xf6,
    GROUP3_TEST = 0,
    OPC_GROUP3 = 0xf7,
    GROUP3_NEG = 3,
    OPC_GROUP15 = 0xae, /* 0F */
    GROUP15_LDMXCSR = 2,
    GROUP15_STMXCSR = 3,
    GROUP15_MFENCE = 6,
    RM_SIB = 4,
    SIB_NO_INDEX = 4,
    SIB_NO_BASE = 5,
};

void emit_byte(Emitter *e, uint8_t v)
{
    *e->p++ = v;
}

void emit_imm32(Emitter *e, uint32_t v)
{
    memcpy(e->p, &v, 4);
    e->p += 4;
}

void emit_bytes(Emitter *e, const void *bytes, size_t n)
{
    memcpy(e->p, bytes, n);
    e->p += n;
}

static uint8_t modrm(unsigned mod, unsigned reg, unsigned rm)
{
    return (uint8_t)(mod << 6 | (reg & 7) << 3 | (rm & 7));
}

static uint8_t sib(unsigned scale, unsigned index, unsigned base)
{
    unsigned shift = scale == 8 ? 3 : scale == 4 ? 2 : scale == 2 ? 1 : 0;

    return (uint8_t)(shift << 6 | (index & 7) << 3 | (base & 7));
}

/* Stores through Emitter.p would have it loaded again after each byte: what follows counts along itself. */
static uint8_t *put32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, 4);
    return p + 4;
}

/* ModRM, SIB and displacement. */
static uint8_t *put_rm(uint8_t *p, unsigned reg, HostRm rm)
{
    if (rm.kind == RM_REG) {
        *p++ = modrm(3, reg, rm.base);
        return p;
    }
    if (rm.base == H_NONE) {
        *p++ = modrm(0, reg, RM_SIB);
        *p++ = sib(rm.scale, rm.index == H_NONE ? SIB_NO_INDEX : rm.index, SIB_NO_BASE);
        return put32(p, (uint32_t)rm.disp);
    }
    unsigned mod = rm.kind == RM_MEM_WIDE                 ? 2
                   : rm.disp == 0 && (rm.base & 7) != H_BP ? 0
                   : rm.disp == (int8_t)rm.disp           ? 1
                                                          : 2;
    if (rm.index != H_NONE || (rm.base & 7) == H_SP) {
        *p++ = modrm(mod, reg, RM_SIB);
        *p++ = sib(rm.scale, rm.index == H_NONE ? SIB_NO_INDEX : rm.index, rm.base);
    } else {
        *p++ = modrm(mod, reg, rm.base);
    }
    if (mod == 1) {
        *p++ = (uint8_t)rm.disp;
    }
    return mod == 2 ? put32(p, (uint32_t)rm.disp) : p;
}

static uint8_t *put_prefixes(uint8_t *p, unsigned flags, HostRm rm)
{
    if (flags & EMIT_LOCK) {
        *p++ = PFX_LOCK;
    }
    if (rm.kind == RM_ENV) {
        *p++ = PFX_GS;
    }
    if (flags & EMIT_66) {
        *p++ = PFX_OPSIZE;
    }
    if (flags & EMIT_F2) {
        *p++ = PFX_F2;
    }
    if (flags & EMIT_F3) {
        *p++ = PFX_F3;
    }
    return p;
}

void emit_op(Emitter *e, unsigned flags, uint8_t opcode, unsigned reg, HostRm rm)
{
    uint8_t rex = 0, *p = e->p;

    e->named |= (uint16_t)(1u << reg | (rm.kind == RM_REG ? 1u << rm.base : 0));
    if (rm.kind == RM_ENV || flags & (EMIT_LOCK | EMIT_66 | EMIT_F2 | EMIT_F3)) {
        p = put_prefixes(p, flags, rm);
    }
    rex |= flags & EMIT_W ? REX | REX_W : 0;
    rex |= reg & 8 ? REX | REX_R : 0;
    rex |= rm.base != H_NONE && rm.base & 8 ? REX | REX_B : 0;
    rex |= rm.index != H_NONE && rm.index & 8 ? REX | REX_X : 0;
    if ((flags & EMIT_LOW_REG && reg >= 4) || (flags & EMIT_LOW_RM && rm.kind == RM_REG && rm.base >= 4)) {
        rex |= REX;
    }
    if (rex) {
        *p++ = rex;
    }
    if (flags & (EMIT_0F | EMIT_0F38 | EMIT_0F3A)) {
        *p++ = OPC_ESCAPE;
    }
    if (flags & EMIT_0F38) {
        *p++ = OPC_ESCAPE_38;
    }
    if (flags & EMIT_0F3A) {
        *p++ = OPC_ESCAPE_3A;
    }
    *p++ = opcode;
    e->p = put_rm(p, reg, rm);
}

void emit_vex(Emitter *e, VexForm form, uint8_t opcode, unsigned reg, HostRm rm)
{
    bool extended_base = rm.base != H_NONE && rm.base & 8;
    bool extended_index = rm.index != H_NONE && rm.index & 8;

    e->named |= (uint16_t)(1u << reg | 1u << form.vvvv | (rm.kind == RM_REG ? 1u << rm.base : 0));
    if (rm.kind == RM_ENV) {
        emit_byte(e, PFX_GS);
    }
    emit_byte(e, VEX3);
    emit_byte(e, (uint8_t)((reg & 8 ? 0 : VEX_R) | (extended_index ? 0 : VEX_X) |
                           (extended_base ? 0 : VEX_B) | form.map));
    emit_byte(e, (uint8_t)((form.w ? VEX_W : 0) | (~form.vvvv & 15) << 3 | (form.l ? VEX_L : 0) | form.pp));
    emit_byte(e, opcode);
    e->p = put_rm(e->p, reg, rm);
}

static unsigned width_flags(unsigned width)
{
    return width == W64 ? EMIT_W : width == W16 ? EMIT_66 : 0;
}

void emit_load(Emitter *e, unsigned width, unsigned reg, HostRm from)
{
    if (width == W8) {
        emit_op(e, EMIT_LOW_REG | EMIT_LOW_RM, OPC_MOV_LOAD8, reg, from);
    } else {
        emit_op(e, width_flags(width), OPC_MOV_LOAD, reg, from);
    }
}

void emit_store(Emitter *e, unsigned width, HostRm to, unsigned reg)
{
    if (width == W8) {
        emit_op(e, EMIT_LOW_REG | EMIT_LOW_RM, OPC_MOV_STORE8, reg, to);
    } else {
        emit_op(e, width_flags(width), OPC_MOV_STORE, reg, to);
    }
}

void emit_store_imm(Emitter *e, unsigned width, HostRm to, int32_t imm)
{
    emit_op(e, width_flags(width), width == W8 ? OPC_MOV_IMM8 : OPC_MOV_IMM, 0, to);
    emit_bytes(e, &imm, width == W8 ? 1 : width == W16 ? 2 : 4);
}

void emit_mov(Emitter *e, unsigned width, unsigned to, unsigned from)
{
    emit_op(e, width_flags(width), OPC_MOV_LOAD, to, rm_reg(from));
}

void emit_mov_imm(Emitter *e, unsigned reg, uint64_t v)
{
    e->named |= (uint16_t)(1u << reg);
    if (v >> 32 == 0) {
        if (reg & 8) {
            emit_byte(e, REX | REX_B);
        }
        emit_byte(e, (uint8_t)(OPC_MOV_REG_IMM + (reg & 7)));
        emit_imm32(e, (uint32_t)v);
    } else if ((int64_t)v == (int32_t)v) {
        emit_op(e, EMIT_W, OPC_MOV_IMM, 0, rm_reg(reg));
        emit_imm32(e, (uint32_t)v);
    } else {
        emit_byte(e, (uint8_t)(REX | REX_W | (reg & 8 ? REX_B : 0)));
        emit_byte(e, (uint8_t)(OPC_MOV_REG_IMM + (reg & 7)));
        emit_bytes(e, &v, 8);
    }
}

void emit_lea(Emitter *e, unsigned width, unsigned reg, HostRm address)
{
    emit_op(e, width_flags(width), OPC_LEA, reg, address);
}

void emit_load_u16(Emitter *e, unsigned reg, HostRm from)
{
    emit_op(e, EMIT_0F, OPC_MOVZX16, reg, from);
}

void emit_alu_imm(Emitter *e, unsigned width, unsigned op, HostRm rm, int32_t imm)
{
    bool small = imm == (int8_t)imm;

    emit_op(e, width_flags(width), small ? OPC_ALU_IMM8 : OPC_ALU_IMM32, op, rm);
    emit_bytes(e, &imm, small ? 1 : 4);
}

void emit_alu(Emitter *e, unsigned width, unsigned op, unsigned reg, HostRm rm)
{
    emit_op(e, width_flags(width), (uint8_t)(OPC_ALU_RM + 8 * op), reg, rm);
}

void emit_test_imm8(Emitter *e, unsigned reg, uint8_t imm)
{
    emit_op(e, EMIT_LOW_RM, OPC_GROUP3_8, GROUP3_TEST, rm_reg(reg));
    emit_byte(e, imm);
}

void emit_mfence(Emitter *e)
{
    emit_byte(e, OPC_ESCAPE);
    emit_byte(e, OPC_GROUP15);
    emit_byte(e, modrm(3, GROUP15_MFENCE, 0));
}

void emit_ldmxcsr(Emitter *e, HostRm from)
{
    emit_op(e, EMIT_0F, OPC_GROUP15, GROUP15_LDMXCSR, from);
}

void emit_stmxcsr(Emitter *e, HostRm to)
{
    emit_op(e, EMIT_0F, OPC_GROUP15, GROUP15_STMXCSR, to);
}

void emit_shl(Emitter *e, unsigned width, unsigned reg, unsigned count)
{
    emit_op(e, width_flags(width), OPC_SHIFT_IMM, SHIFT_SHL, rm_reg(reg));
    emit_byte(e, (uint8_t)count);
}

void emit_shr(Emitter *e, unsigned width, unsigned reg, unsigned count)
{
    emit_op(e, width_flags(width), OPC_SHIFT_IMM, SHIFT_SHR, rm_reg(reg));
    emit_byte(e, (uint8_t)count);
}

void emit_imul_imm(Emitter *e, unsigned width, unsigned reg, int32_t imm)
{
    enum { OPC_IMUL_IMM = 0x69 };

    emit_op(e, width_flags(width), OPC_IMUL_IMM, reg, rm_reg(reg));
    emit_imm32(e, (uint32_t)imm);
}

void emit_sar(Emitter *e, unsigned width, unsigned reg, unsigned count)
{
    emit_op(e, width_flags(width), OPC_SHIFT_IMM, SHIFT_SAR, rm_reg(reg));
    emit_byte(e, (uint8_t)count);
}

void emit_neg(Emitter *e, unsigned width, unsigned reg)
{
    emit_op(e, width_flags(width), OPC_GROUP3, GROUP3_NEG, rm_reg(reg));
}

void emit_bswap(Emitter *e, unsigned width, unsigned reg)
{
    uint8_t rex = (uint8_t)((width == W64 ? REX | REX_W : 0) | (reg & 8 ? REX | REX_B : 0));

    e->named |= (uint16_t)(1u << reg);
    if (rex) {
        emit_byte(e, rex);
    }
    emit_byte(e, OPC_ESCAPE);
    emit_byte(e, (uint8_t)(OPC_BSWAP + (reg & 7)));
}

void emit_movzx_high(Emitter *e, unsigned reg, unsigned high_of)
{
    emit_op(e, EMIT_0F, OPC_MOVZX8, reg, rm_reg(high_of + 4));
}

void emit_movzx16(Emitter *e, unsigned reg, unsigned from)
{
    enum { OPC_MOVZX16 = 0xb7 };

    emit_op(e, EMIT_0F, OPC_MOVZX16, reg, rm_reg(from));
}

void emit_movzx8(Emitter *e, unsigned reg, unsigned from)
{
    emit_op(e, EMIT_0F | EMIT_LOW_RM, OPC_MOVZX8, reg, rm_reg(from));
}

void emit_lahf(Emitter *e)
{
    emit_byte(e, OPC_LAHF);
}

void emit_sahf(Emitter *e)
{
    emit_byte(e, OPC_SAHF);
}

void emit_seto_al(Emitter *e)
{
    emit_op(e, EMIT_0F, OPC_SETO, 0, rm_reg(H_AX));
}

void emit_of_from_al(Emitter *e)
{
    emit_byte(e, OPC_ADD_AL_IMM);
    emit_byte(e, 0x7f);
}

void emit_push(Emitter *e, unsigned reg)
{
    if (reg & 8) {
        emit_byte(e, REX | REX_B);
    }
    emit_byte(e, (uint8_t)(OPC_PUSH + (reg & 7)));
}

void emit_pop(Emitter *e, unsigned reg)
{
    e->named |= (uint16_t)(1u << reg);
    if (reg & 8) {
        emit_byte(e, REX | REX_B);
    }
    emit_byte(e, (uint8_t)(OPC_POP + (reg & 7)));
}

void emit_ret(Emitter *e)
{
    emit_byte(e, OPC_RET);
}

static uint8_t *emit_rel32(Emitter *e)
{
    uint8_t *rel = e->p;

    emit_imm32(e, 0);
    return rel;
}

uint8_t *emit_jmp(Emitter *e)
{
    emit_byte(e, OPC_JMP);
    return emit_rel32(e);
}

uint8_t *emit_jcc(Emitter *e, unsigned cond)
{
    emit_byte(e, OPC_ESCAPE);
    emit_byte(e, (uint8_t)(OPC_JCC + cond));
    return emit_rel32(e);
}

uint8_t *emit_call(Emitter *e)
{
    e->named = 0xffff;
    emit_byte(e, OPC_CALL);
    return emit_rel32(e);
}

void emit_jmp_rm(Emitter *e, HostRm rm)
{
    emit_op(e, 0, OPC_GROUP5, GROUP5_JMP, rm);
}

void emit_call_rm(Emitter *e, HostRm rm)
{
    e->named = 0xffff;
    emit_op(e, 0, OPC_GROUP5, GROUP5_CALL, rm);
}

void emit_patch(uint8_t *rel, const uint8_t *target)
{
    int32_t distance = (int32_t)(target - (rel + 4));

    memcpy(rel, &distance, 4);
}
