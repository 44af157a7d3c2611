/*
 * Encoding of host instructions, one named function each, into a buffer.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_EMIT_H
#define TARGET_I386_EMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { H_AX, H_CX, H_DX, H_BX, H_SP, H_BP, H_SI, H_DI, H_8, H_9, H_10, H_11, H_12, H_13, H_14, H_15,
       H_NONE = 0xff };

/* Operand widths as bytes. */
enum { W8 = 1, W16 = 2, W32 = 4, W64 = 8 };

typedef struct Emitter {
    uint8_t *p;        /* where the next byte goes, in the writable mapping */
    ptrdiff_t to_exec; /* what to add to get the address it runs at */
    uint16_t named;    /* bits of registers that were operands of what was emitted; whoever wants to know clears them */
} Emitter;

/* The operand that ModRM.rm names. */
typedef enum HostRmKind { RM_REG, RM_ENV, RM_MEM, RM_MEM_WIDE } HostRmKind; /* RM_MEM_WIDE: with a 32-bit displacement always */
typedef struct HostRm {
    uint8_t kind;
    uint8_t base;  /* RM_REG: the register; else the base or H_NONE */
    uint8_t index; /* or H_NONE */
    uint8_t scale; /* 1, 2, 4, 8 */
    int32_t disp;  /* RM_ENV: offset from the gs base (and base) */
} HostRm;

static inline HostRm rm_reg(unsigned reg)
{
    return (HostRm){RM_REG, (uint8_t)reg, H_NONE, 1, 0};
}

static inline HostRm rm_env(size_t offset)
{
    return (HostRm){RM_ENV, H_NONE, H_NONE, 1, (int32_t)offset};
}

/* In the CPU state, behind what a register says. */
static inline HostRm rm_env_reg(unsigned reg, size_t offset)
{
    return (HostRm){RM_ENV, (uint8_t)reg, H_NONE, 1, (int32_t)offset};
}

static inline HostRm rm_mem(unsigned base, int32_t disp)
{
    return (HostRm){RM_MEM, (uint8_t)base, H_NONE, 1, disp};
}

/* Flags of emit_op(). */
enum {
    EMIT_W = 1,       /* REX.W */
    EMIT_66 = 2,
    EMIT_F2 = 4,
    EMIT_F3 = 8,
    EMIT_LOCK = 16,
    EMIT_0F = 32,
    EMIT_0F38 = 64,
    EMIT_0F3A = 128,
    EMIT_LOW_REG = 256, /* ModRM.reg is a low byte register: 4 to 7 are SPL to DIL */
    EMIT_LOW_RM = 512,  /* the same for a register in ModRM.rm */
};

/* Any instruction with a ModRM byte, without its immediate. */
void emit_op(Emitter *e, unsigned flags, uint8_t opcode, unsigned reg, HostRm rm);
/* Any VEX instruction: map 1 to 3, pp as in VEX, vvvv 0 where it names nothing (it is inverted here). */
typedef struct VexForm {
    uint8_t map, pp, vvvv;
    bool w, l;
} VexForm;
void emit_vex(Emitter *e, VexForm form, uint8_t opcode, unsigned reg, HostRm rm);
void emit_byte(Emitter *e, uint8_t v);
void emit_imm32(Emitter *e, uint32_t v);
void emit_bytes(Emitter *e, const void *bytes, size_t n);

/* Moves; none changes flags. */
void emit_load(Emitter *e, unsigned width, unsigned reg, HostRm from);
void emit_store(Emitter *e, unsigned width, HostRm to, unsigned reg);
void emit_store_imm(Emitter *e, unsigned width, HostRm to, int32_t imm);
void emit_mov(Emitter *e, unsigned width, unsigned to, unsigned from);
void emit_mov_imm(Emitter *e, unsigned reg, uint64_t v); /* the shortest form */
void emit_lea(Emitter *e, unsigned width, unsigned reg, HostRm address);
void emit_load_u16(Emitter *e, unsigned reg, HostRm from);

/* Arithmetic by opcode extension: ADD 0, OR 1, AND 4, SUB 5, XOR 6, CMP 7. */
enum { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };
void emit_alu_imm(Emitter *e, unsigned width, unsigned op, HostRm rm, int32_t imm);
void emit_alu(Emitter *e, unsigned width, unsigned op, unsigned reg, HostRm rm);
void emit_test_imm8(Emitter *e, unsigned reg, uint8_t imm); /* the register's low byte */
void emit_shl(Emitter *e, unsigned width, unsigned reg, unsigned count);
void emit_shr(Emitter *e, unsigned width, unsigned reg, unsigned count);
void emit_imul_imm(Emitter *e, unsigned width, unsigned reg, int32_t imm);

void emit_neg(Emitter *e, unsigned width, unsigned reg);
void emit_bswap(Emitter *e, unsigned width, unsigned reg);
void emit_sar(Emitter *e, unsigned width, unsigned reg, unsigned count);
void emit_movzx_high(Emitter *e, unsigned reg, unsigned high_of); /* from AH, CH, DH, BH; no REX: registers 0 to 7 */
void emit_movzx8(Emitter *e, unsigned reg, unsigned from);
void emit_movzx16(Emitter *e, unsigned reg, unsigned from);

void emit_lahf(Emitter *e);
void emit_sahf(Emitter *e);
void emit_seto_al(Emitter *e);
/* Sets OF from the 0 or 1 in AL; destroys AL and the other flags. */
void emit_of_from_al(Emitter *e);

void emit_mfence(Emitter *e);
void emit_ldmxcsr(Emitter *e, HostRm from);
void emit_stmxcsr(Emitter *e, HostRm to);

void emit_push(Emitter *e, unsigned reg);
void emit_pop(Emitter *e, unsigned reg);
void emit_ret(Emitter *e);
/* Jumps with a 32-bit displacement; they return where it stands, for emit_patch(). */
uint8_t *emit_jmp(Emitter *e);
uint8_t *emit_jcc(Emitter *e, unsigned cond);
uint8_t *emit_call(Emitter *e);
void emit_jmp_rm(Emitter *e, HostRm rm);
void emit_call_rm(Emitter *e, HostRm rm);
/* Makes the jump whose displacement is at `rel` go to `target`; both in the writable mapping. */
void emit_patch(uint8_t *rel, const uint8_t *target);

enum { COND_O, COND_NO, COND_B, COND_AE, COND_E, COND_NE, COND_BE, COND_A, COND_S };

#endif
