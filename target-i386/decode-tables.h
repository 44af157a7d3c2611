/*
 * The decoder's tables: what a row says, and the operand codes rows are written in.
 *
 * A row is one line:
 *
 *     I(0x01, 0, ADD, (Ev, Gv), RW, ALWAYS, ARITH, LOCK)
 *       opcode, when, operation, operands, their access, CPUID feature, EFLAGS effect, attributes
 *
 * `when` narrows the row: mandatory prefix (NP, P66, PF3, PF2), ModRM fields (EXT(n), RM(n), MEM,
 * REG), VEX.L and W, 64-bit mode (O64, I64). The rows of an opcode are tried in order; the first
 * whose `when` holds and whose feature is present is the instruction. Order is thus part of the
 * meaning: LZCNT stands before BSR, which the same bytes mean on a CPU without it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_DECODE_TABLES_H
#define TARGET_I386_DECODE_TABLES_H

#include "target-i386/insn.h"

/*
 * The selector: 16 bits gathered from mode, prefixes and ModRM that `when` is matched against.
 * A `when` has the bits it looks at in its upper half, their values in its lower half.
 */
enum {
    SEL_PP = 0x0003,
    SEL_MOD3 = 0x0004,
    SEL_REG_SHIFT = 3,
    SEL_RM_SHIFT = 6,
    SEL_MODE64 = 0x0200,
    SEL_W = 0x0400,
    SEL_L = 0x0800,
    SEL_REXB = 0x1000,
};

#define WHEN(mask, value) ((uint32_t)(mask) << 16 | (uint32_t)(value))
#define NP WHEN(SEL_PP, 0)
#define P66 WHEN(SEL_PP, 1)
#define PF3 WHEN(SEL_PP, 2)
#define PF2 WHEN(SEL_PP, 3)
#define MEM WHEN(SEL_MOD3, 0)
#define REG WHEN(SEL_MOD3, SEL_MOD3)
#define EXT(n) WHEN(7 << SEL_REG_SHIFT, (n) << SEL_REG_SHIFT)
#define RM(n) WHEN(7 << SEL_RM_SHIFT | SEL_MOD3, (n) << SEL_RM_SHIFT | SEL_MOD3)
#define O64 WHEN(SEL_MODE64, SEL_MODE64)
#define I64 WHEN(SEL_MODE64, 0)
#define W0 WHEN(SEL_W, 0)
#define W1 WHEN(SEL_W, SEL_W)
#define L0 WHEN(SEL_L, 0)
#define L1 WHEN(SEL_L, SEL_L)
#define REXB WHEN(SEL_REXB, SEL_REXB)

/* Where an operand comes from. */
typedef enum OperandSource {
    SRC_NONE,
    SRC_RM,     /* ModRM.rm: register or memory */
    SRC_RM_REG, /* ModRM.rm, registers only: memory is #UD */
    SRC_RM_MEM, /* ModRM.rm, memory only: a register is #UD */
    SRC_RM_ANY, /* ModRM.rm is a register whatever mod says (MOV CR, MOV DR) */
    SRC_REG,    /* ModRM.reg */
    SRC_VVVV,
    SRC_OPCODE, /* low three bits of the opcode */
    SRC_FIXED,  /* the register `number` */
    SRC_IMM,    /* immediate, zero-extended */
    SRC_IMM_SX, /* immediate, sign-extended */
    SRC_IMM2,   /* a second 8-bit immediate */
    SRC_ONE,    /* the constant 1 of shifts */
    SRC_REL,
    SRC_FAR,
    SRC_MOFFS,
    SRC_IS4,    /* vector register in bits 7..4 of an immediate byte */
    SRC_VSIB,
} OperandSource;

/* Operand sizes: a number of bytes, or one of these rules. */
typedef enum OperandSize {
    SZ_V = 128, /* operand size: 2, 4, 8 */
    SZ_Z,       /* operand size, but 4 for 8 */
    SZ_Y,       /* 4, with W 8 */
    SZ_X,       /* vector length: 16, 32 */
    SZ_XH,      /* half of it */
    SZ_XQ,      /* a quarter */
    SZ_XE,      /* an eighth */
    SZ_2V,      /* two of SZ_V: BOUND */
    SZ_FAR,     /* far pointer: 2 + SZ_V */
    SZ_DTR,     /* descriptor table register: 2 + 4 or 2 + 8 */
    SZ_ENV,     /* x87 environment: 14, 28 */
    SZ_FPU,     /* x87 state: 94, 108 */
    SZ_FX,      /* 512 */
    SZ_NATIVE,  /* 8 in 64-bit mode, else 4 */
} OperandSize;

/*
 * Operand codes, in the SDM's manner (vol. 2, A.2): the first letter is the source (EMR: ModRM.rm;
 * G: ModRM.reg; Z: opcode; I: immediate; P, Q, N: MMX; V, W, U, H, L: vector), the rest the size
 * (b w d q dq: 1 2 4 8 16; v z y x as above). OC(code, source, register kind, size as register,
 * size as memory, number)
 */
#define OPERAND_CODES                                                                              \
    OC(Eb, SRC_RM, OPND_GPR, 1, 1, 0)                                                              \
    OC(Ew, SRC_RM, OPND_GPR, 2, 2, 0)                                                              \
    OC(Ed, SRC_RM, OPND_GPR, 4, 4, 0)                                                              \
    OC(Eq, SRC_RM, OPND_GPR, 8, 8, 0)                                                              \
    OC(Ev, SRC_RM, OPND_GPR, SZ_V, SZ_V, 0)                                                        \
    OC(Ey, SRC_RM, OPND_GPR, SZ_Y, SZ_Y, 0)                                                        \
    OC(Evw, SRC_RM, OPND_GPR, SZ_V, 2, 0)                                                          \
    OC(Edb, SRC_RM, OPND_GPR, 4, 1, 0)                                                             \
    OC(Edw, SRC_RM, OPND_GPR, 4, 2, 0)                                                             \
    OC(En, SRC_RM, OPND_GPR, SZ_NATIVE, SZ_NATIVE, 0)                                              \
    OC(Rv, SRC_RM_REG, OPND_GPR, SZ_V, 0, 0)                                                       \
    OC(Ry, SRC_RM_REG, OPND_GPR, SZ_Y, 0, 0)                                                       \
    OC(Rn, SRC_RM_REG, OPND_GPR, SZ_NATIVE, 0, 0)                                                  \
    OC(Rany, SRC_RM_ANY, OPND_GPR, SZ_NATIVE, 0, 0)                                                \
    OC(M0, SRC_RM_MEM, OPND_NONE, 0, 0, 0)                                                         \
    OC(Mb, SRC_RM_MEM, OPND_NONE, 0, 1, 0)                                                         \
    OC(Mw, SRC_RM_MEM, OPND_NONE, 0, 2, 0)                                                         \
    OC(Md, SRC_RM_MEM, OPND_NONE, 0, 4, 0)                                                         \
    OC(Mq, SRC_RM_MEM, OPND_NONE, 0, 8, 0)                                                         \
    OC(Mt, SRC_RM_MEM, OPND_NONE, 0, 10, 0)                                                        \
    OC(Mdq, SRC_RM_MEM, OPND_NONE, 0, 16, 0)                                                       \
    OC(Mzmm, SRC_RM_MEM, OPND_NONE, 0, 64, 0)                                                      \
    OC(Mx, SRC_RM_MEM, OPND_NONE, 0, SZ_X, 0)                                                      \
    OC(Mv, SRC_RM_MEM, OPND_NONE, 0, SZ_V, 0)                                                      \
    OC(My, SRC_RM_MEM, OPND_NONE, 0, SZ_Y, 0)                                                      \
    OC(Ma, SRC_RM_MEM, OPND_NONE, 0, SZ_2V, 0)                                                     \
    OC(Mp, SRC_RM_MEM, OPND_NONE, 0, SZ_FAR, 0)                                                    \
    OC(Ms, SRC_RM_MEM, OPND_NONE, 0, SZ_DTR, 0)                                                    \
    OC(Menv, SRC_RM_MEM, OPND_NONE, 0, SZ_ENV, 0)                                                  \
    OC(Mfpu, SRC_RM_MEM, OPND_NONE, 0, SZ_FPU, 0)                                                  \
    OC(Mfx, SRC_RM_MEM, OPND_NONE, 0, SZ_FX, 0)                                                    \
    OC(Gb, SRC_REG, OPND_GPR, 1, 0, 0)                                                             \
    OC(Gw, SRC_REG, OPND_GPR, 2, 0, 0)                                                             \
    OC(Gd, SRC_REG, OPND_GPR, 4, 0, 0)                                                             \
    OC(Gv, SRC_REG, OPND_GPR, SZ_V, 0, 0)                                                          \
    OC(Gz, SRC_REG, OPND_GPR, SZ_Z, 0, 0)                                                          \
    OC(Gy, SRC_REG, OPND_GPR, SZ_Y, 0, 0)                                                          \
    OC(Gn, SRC_REG, OPND_GPR, SZ_NATIVE, 0, 0)                                                     \
    OC(Ga, SRC_REG, OPND_GPR, 0, 0, 0) /* an address register: MOVDIR64B */                        \
    OC(By, SRC_VVVV, OPND_GPR, SZ_Y, 0, 0)                                                         \
    OC(Zb, SRC_OPCODE, OPND_GPR, 1, 0, 0)                                                          \
    OC(Zv, SRC_OPCODE, OPND_GPR, SZ_V, 0, 0)                                                       \
    OC(AL, SRC_FIXED, OPND_GPR, 1, 0, 0)                                                           \
    OC(AX, SRC_FIXED, OPND_GPR, 2, 0, 0)                                                           \
    OC(rAX, SRC_FIXED, OPND_GPR, SZ_V, 0, 0)                                                       \
    OC(eAX, SRC_FIXED, OPND_GPR, SZ_Z, 0, 0)                                                       \
    OC(CL, SRC_FIXED, OPND_GPR, 1, 0, 1)                                                           \
    OC(DX, SRC_FIXED, OPND_GPR, 2, 0, 2)                                                           \
    OC(ES, SRC_FIXED, OPND_SEG, 2, 0, INSN_SEG_ES)                                                 \
    OC(CS, SRC_FIXED, OPND_SEG, 2, 0, INSN_SEG_CS)                                                 \
    OC(SS, SRC_FIXED, OPND_SEG, 2, 0, INSN_SEG_SS)                                                 \
    OC(DS, SRC_FIXED, OPND_SEG, 2, 0, INSN_SEG_DS)                                                 \
    OC(FS, SRC_FIXED, OPND_SEG, 2, 0, INSN_SEG_FS)                                                 \
    OC(GS, SRC_FIXED, OPND_SEG, 2, 0, INSN_SEG_GS)                                                 \
    OC(Sw, SRC_REG, OPND_SEG, 2, 0, 0)                                                             \
    OC(Cn, SRC_REG, OPND_CR, SZ_NATIVE, 0, 0)                                                      \
    OC(Dn, SRC_REG, OPND_DR, SZ_NATIVE, 0, 0)                                                      \
    OC(Ib, SRC_IMM, OPND_IMM, 1, 0, 0)                                                             \
    OC(Ib2, SRC_IMM2, OPND_IMM, 1, 0, 0)                                                           \
    OC(Iw, SRC_IMM, OPND_IMM, 2, 0, 0)                                                             \
    OC(Sb, SRC_IMM_SX, OPND_IMM, 1, 0, 0)                                                          \
    OC(Iz, SRC_IMM_SX, OPND_IMM, SZ_Z, 0, 0)                                                       \
    OC(Iv, SRC_IMM_SX, OPND_IMM, SZ_V, 0, 0)                                                       \
    OC(One, SRC_ONE, OPND_IMM, 1, 0, 0)                                                            \
    OC(Jb, SRC_REL, OPND_REL, 1, 0, 0)                                                             \
    OC(Jz, SRC_REL, OPND_REL, SZ_Z, 0, 0)                                                          \
    OC(Ap, SRC_FAR, OPND_FAR, SZ_FAR, 0, 0)                                                        \
    OC(Ob, SRC_MOFFS, OPND_MEM, 0, 1, 0)                                                           \
    OC(Ov, SRC_MOFFS, OPND_MEM, 0, SZ_V, 0)                                                        \
    OC(ST0, SRC_FIXED, OPND_ST, 10, 0, 0)                                                          \
    OC(STi, SRC_RM_REG, OPND_ST, 10, 0, 0)                                                         \
    OC(Pq, SRC_REG, OPND_MMX, 8, 0, 0)                                                             \
    OC(Qq, SRC_RM, OPND_MMX, 8, 8, 0)                                                              \
    OC(Qd, SRC_RM, OPND_MMX, 4, 4, 0)                                                              \
    OC(Nq, SRC_RM_REG, OPND_MMX, 8, 0, 0)                                                          \
    OC(Vx, SRC_REG, OPND_XMM, SZ_X, 0, 0)                                                          \
    OC(Vh, SRC_REG, OPND_XMM, SZ_XH, 0, 0)                                                         \
    OC(Vdq, SRC_REG, OPND_XMM, 16, 0, 0)                                                           \
    OC(Vd, SRC_REG, OPND_XMM, 4, 0, 0)                                                             \
    OC(Vq, SRC_REG, OPND_XMM, 8, 0, 0)                                                             \
    OC(Hx, SRC_VVVV, OPND_XMM, SZ_X, 0, 0)                                                         \
    OC(Hh, SRC_VVVV, OPND_XMM, SZ_XH, 0, 0)                                                        \
    OC(Hdq, SRC_VVVV, OPND_XMM, 16, 0, 0)                                                          \
    OC(Hd, SRC_VVVV, OPND_XMM, 4, 0, 0)                                                            \
    OC(Hq, SRC_VVVV, OPND_XMM, 8, 0, 0)                                                            \
    OC(Wx, SRC_RM, OPND_XMM, SZ_X, SZ_X, 0)                                                        \
    OC(Wh, SRC_RM, OPND_XMM, SZ_XH, SZ_XH, 0)                                                      \
    OC(Wf, SRC_RM, OPND_XMM, SZ_XQ, SZ_XQ, 0)                                                      \
    OC(We, SRC_RM, OPND_XMM, SZ_XE, SZ_XE, 0)                                                      \
    OC(Wdq, SRC_RM, OPND_XMM, 16, 16, 0)                                                           \
    OC(Wb, SRC_RM, OPND_XMM, 1, 1, 0)                                                              \
    OC(Ww, SRC_RM, OPND_XMM, 2, 2, 0)                                                              \
    OC(Wd, SRC_RM, OPND_XMM, 4, 4, 0)                                                              \
    OC(Wq, SRC_RM, OPND_XMM, 8, 8, 0)                                                              \
    OC(Ux, SRC_RM_REG, OPND_XMM, SZ_X, 0, 0)                                                       \
    OC(Udq, SRC_RM_REG, OPND_XMM, 16, 0, 0)                                                        \
    OC(Uq, SRC_RM_REG, OPND_XMM, 8, 0, 0)                                                          \
    OC(Ud, SRC_RM_REG, OPND_XMM, 4, 0, 0)                                                          \
    OC(Lx, SRC_IS4, OPND_XMM, SZ_X, 0, 0)                                                          \
    OC(VMd, SRC_VSIB, OPND_XMM, SZ_X, 4, 0)  /* index of vector length, elements of 4 */           \
    OC(VMq, SRC_VSIB, OPND_XMM, SZ_X, 8, 0)  /* index of vector length, elements of 8 */           \
    OC(VXq, SRC_VSIB, OPND_XMM, 16, 8, 0)    /* index in an XMM register, elements of 8 */

typedef enum OperandCode {
    OC_NONE,
#define OC(code, source, kind, reg_size, mem_size, number) code,
    OPERAND_CODES
#undef OC
    OC_COUNT
} OperandCode;

/* Access of the operands, two bits each from the first on. */
#define ACCESS(a, b, c, d) ((a) | (b) << 2 | (c) << 4 | (d) << 6)
enum {
    NA = 0,
    RO = ACCESS(1, 1, 1, 1),
    WO = ACCESS(2, 1, 1, 1),
    RW = ACCESS(3, 1, 1, 1),
    XX = ACCESS(3, 3, 1, 1),
    WW = ACCESS(2, 2, 1, 1),
    GATHER = ACCESS(3, 1, 3, 1),
};

/* What an operation does to EFLAGS; the masks are in decode.c. */
typedef enum Effect {
    FX_NONE,
    FX_ARITH,  /* all six by the result */
    FX_CARRY,  /* the same, and CF is read: ADC, SBB */
    FX_LOGIC,  /* CF = OF = 0, AF undefined */
    FX_INC,    /* all but CF */
    FX_SHIFT,  /* by count */
    FX_ROTATE, /* CF and OF, by count */
    FX_RCARRY, /* the same through CF */
    FX_SHIFTD, /* SHLD, SHRD */
    FX_MUL,
    FX_DIV,
    FX_BIT,   /* BT: CF */
    FX_SCAN,  /* BSF: ZF */
    FX_COUNT, /* LZCNT, TZCNT: ZF and CF */
    FX_ZERO,  /* POPCNT, PTEST, ...: result in ZF, others 0 (or CF) */
    FX_BMI,   /* BLSR, BZHI: CF ZF SF OF; AF PF undefined */
    FX_ANDN,
    FX_BEXTR,
    FX_CFONLY, /* ADCX */
    FX_OFONLY, /* ADOX */
    FX_COMPARE, /* COMISS, FCOMI: ZF PF CF, others 0 */
    FX_ALL6,   /* all six written: CMPXCHG, PCMPxSTRx, RDRAND */
    FX_ZF,     /* CMPXCHG8B, LAR, VERR, ARPL */
    FX_DAA,
    FX_AAA,
    FX_AAM,
    FX_CONDITION, /* reads what `cond` needs */
    FX_READ_ZF,
    FX_READ_CF,
    FX_READ_OF,
    FX_READ_CFZF,
    FX_READ_PF,
    FX_LAHF,
    FX_SAHF,
    FX_CMC,
    FX_SET_CF,
    FX_SET_DF,
    FX_SET_IF,
    FX_STRING,  /* reads DF */
    FX_STRCMP,  /* reads DF, compares */
    FX_PUSHF,
    FX_POPF,
    FX_INT,    /* clears TF, IF, NT on the way */
    FX_SYSCALL,
    FX_SYSENTER,
    FX_LAST
} Effect;

/* Attributes of a row: INSN_* flags, and in the upper bits those only the decoder looks at. */
enum {
    LOCK = INSN_LOCKABLE,
    END = INSN_ENDS_BLOCK,
    BRANCH = INSN_ENDS_BLOCK | INSN_BRANCH,
    PRIV = INSN_SYSTEM | INSN_MAY_FAULT,
    IOPL = INSN_IOPL | INSN_MAY_FAULT,
    FAULT = INSN_MAY_FAULT,
    STACKR = INSN_MEM_IMPLICIT | INSN_MEM_READ | INSN_MAY_FAULT,
    STACKW = INSN_MEM_IMPLICIT | INSN_MEM_WRITE | INSN_MAY_FAULT,
    STRR = INSN_STRING | INSN_MEM_IMPLICIT | INSN_MEM_READ | INSN_MAY_FAULT,
    STRW = INSN_STRING | INSN_MEM_IMPLICIT | INSN_MEM_WRITE | INSN_MAY_FAULT,
    MASKED = INSN_MEM_MASKED,
    BITS = INSN_MEM_BITSTRING,
    SHADOW = INSN_SHADOW | INSN_ENDS_BLOCK,
    PROT = INSN_PROTECTED,
    FP = INSN_SIMD_FP,
    HOST = INSN_HOST_EXEC,

    ROW_OWN = 0xff << 20, /* the bits below: not part of Insn.flags */
    NOHOST = 1 << 20,  /* vector or x87 row without INSN_HOST_EXEC */
    BYTE = 1 << 21,    /* operand size is 1 */
    D64 = 1 << 22,     /* operand size in 64-bit mode is 8, with 66 2 */
    F64 = 1 << 23,     /* operand size is 8 in 64-bit mode, else 4; 66 is ignored */
    M64 = 1 << 27,     /* operand size is 8 in 64-bit mode, elsewhere by 66 as usual */
    CAP4 = 1 << 24,    /* operand size 8 becomes 4 */
    ALIGN = 1 << 25,   /* memory must be aligned to its size */
    NOALIGN = 1 << 26, /* legacy vector row whose memory needs no alignment */
};

typedef struct InsnRow {
    uint32_t when;
    uint32_t attr;
    uint16_t op;
    uint8_t opcode;
    uint8_t operands[INSN_MAX_OPERANDS];
    uint8_t access;
    uint8_t feature;
    uint8_t effect;
    uint8_t insn_class;
} InsnRow;

#define OPERANDS(...) __VA_ARGS__
#define ROW(cls, opcode_, when_, name, operands_, access_, feature_, effect_, attr_)               \
    {.opcode = (opcode_), .when = (when_), .op = OP_##name, .operands = {OPERANDS operands_},      \
     .access = (access_), .feature = CPUF_##feature_, .effect = FX_##effect_, .attr = (attr_),     \
     .insn_class = INSN_CLASS_##cls}

/* Integer and system; x87; MMX; SSE; AVX. All but the first run on the host as they are. */
#define I(opcode, when, name, operands, access, feature, effect, attr)                             \
    ROW(INTEGER, opcode, when, name, operands, access, feature, effect, attr)
#define X(opcode, when, name, operands, access, feature, effect, attr)                             \
    ROW(X87, opcode, when, name, operands, access, feature, effect, (attr) | HOST)
#define XN(opcode, when, name, operands, access, feature, effect, attr)                            \
    ROW(X87_NOWAIT, opcode, when, name, operands, access, feature, effect, (attr) | HOST)
#define M(opcode, when, name, operands, access, feature, attr)                                     \
    ROW(MMX, opcode, when, name, operands, access, feature, NONE, (attr) | HOST)
#define S(opcode, when, name, operands, access, feature, attr)                                     \
    ROW(SSE, opcode, when, name, operands, access, feature, NONE, (attr) | HOST)
#define SM(opcode, when, name, operands, access, feature, attr)                                    \
    ROW(SSE_MMX, opcode, when, name, operands, access, feature, NONE, (attr) | HOST)
#define SF(opcode, when, name, operands, access, feature, effect, attr)                            \
    ROW(SSE, opcode, when, name, operands, access, feature, effect, (attr) | HOST)
#define A(opcode, when, name, operands, access, feature, attr)                                     \
    ROW(AVX, opcode, when, name, operands, access, feature, NONE, (attr) | HOST)
#define AF(opcode, when, name, operands, access, feature, effect, attr)                            \
    ROW(AVX, opcode, when, name, operands, access, feature, effect, (attr) | HOST)

typedef struct InsnTable {
    const InsnRow *rows;
    size_t count;
    InsnMap map;
    bool vex;
} InsnTable;

extern const InsnTable insn_table_map1, insn_table_x87, insn_table_0f, insn_table_0f_vector,
    insn_table_0f38, insn_table_0f3a, insn_table_vex_0f, insn_table_vex_0f38,
    insn_table_vex_0f3a;

#define INSN_TABLE(name, map_, vex_, rows_)                                                        \
    const InsnTable name = {                                                                       \
        .rows = rows_, .count = sizeof(rows_) / sizeof(rows_[0]), .map = map_, .vex = vex_}

#endif
