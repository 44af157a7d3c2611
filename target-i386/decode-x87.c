/*
 * Decoder table: the x87, opcodes D8..DF of the one-byte map, selected by ModRM. The aliases that
 * no manual names but every processor executes (SDM vol. 2, appendix A.5 leaves them blank; AMD APM
 * vol. 3 lists them as reserved) decode to what they do.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/decode-tables.h"

#define REGS(n) (REG | EXT(n))
#define MEMS(n) (MEM | EXT(n))

/* The eight operations of D8 and DC, of DA and DE with integers, and of DC and DE with ST(i) as
 * destination, where the reversed and the straight SUB and DIV change places. */
#define ARITH(n, name, iname, access)                                                              \
    X(0xd8, MEMS(n), name, (ST0, Md), access, FPU, NONE, 0),                                       \
    X(0xd8, REGS(n), name, (ST0, STi), access, FPU, NONE, 0),                                      \
    X(0xdc, MEMS(n), name, (ST0, Mq), access, FPU, NONE, 0),                                       \
    X(0xda, MEMS(n), iname, (ST0, Md), access, FPU, NONE, 0),                                      \
    X(0xde, MEMS(n), iname, (ST0, Mw), access, FPU, NONE, 0)
#define ARITH_STI(n, name, pop_name)                                                               \
    X(0xdc, REGS(n), name, (STi, ST0), RW, FPU, NONE, 0),                                          \
    X(0xde, REGS(n), pop_name, (STi, ST0), RW, FPU, NONE, 0)

static const InsnRow rows[] = {
    ARITH(0, FADD, FIADD, RW),
    ARITH(1, FMUL, FIMUL, RW),
    ARITH(2, FCOM, FICOM, RO),
    ARITH(3, FCOMP, FICOMP, RO),
    ARITH(4, FSUB, FISUB, RW),
    ARITH(5, FSUBR, FISUBR, RW),
    ARITH(6, FDIV, FIDIV, RW),
    ARITH(7, FDIVR, FIDIVR, RW),
    ARITH_STI(0, FADD, FADDP),
    ARITH_STI(1, FMUL, FMULP),
    ARITH_STI(4, FSUBR, FSUBRP),
    ARITH_STI(5, FSUB, FSUBP),
    ARITH_STI(6, FDIVR, FDIVRP),
    ARITH_STI(7, FDIV, FDIVP),
    X(0xdc, REGS(2), FCOM, (ST0, STi), RO, FPU, NONE, 0),  /* alias */
    X(0xdc, REGS(3), FCOMP, (ST0, STi), RO, FPU, NONE, 0), /* alias */
    X(0xde, REGS(2), FCOMP, (ST0, STi), RO, FPU, NONE, 0), /* alias */
    X(0xde, EXT(3) | RM(1), FCOMPP, (), NA, FPU, NONE, 0),

    X(0xd9, MEMS(0), FLD, (Md), RO, FPU, NONE, 0),
    X(0xd9, MEMS(2), FST, (Md), WO, FPU, NONE, 0),
    X(0xd9, MEMS(3), FSTP, (Md), WO, FPU, NONE, 0),
    X(0xd9, MEMS(4), FLDENV, (Menv), RO, FPU, NONE, NOHOST),
    X(0xd9, MEMS(5), FLDCW, (Mw), RO, FPU, NONE, NOHOST),
    XN(0xd9, MEMS(6), FNSTENV, (Menv), WO, FPU, NONE, NOHOST),
    XN(0xd9, MEMS(7), FNSTCW, (Mw), WO, FPU, NONE, 0),
    X(0xd9, REGS(0), FLD, (STi), RO, FPU, NONE, 0),
    X(0xd9, REGS(1), FXCH, (ST0, STi), XX, FPU, NONE, 0),
    X(0xd9, EXT(2) | RM(0), FNOP, (), NA, FPU, NONE, 0),
    X(0xd9, REGS(3), FSTPNCE, (STi), WO, FPU, NONE, 0), /* alias of FSTP but for an empty ST(0) */
    X(0xd9, EXT(4) | RM(0), FCHS, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(4) | RM(1), FABS, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(4) | RM(4), FTST, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(4) | RM(5), FXAM, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(5) | RM(0), FLD1, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(5) | RM(1), FLDL2T, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(5) | RM(2), FLDL2E, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(5) | RM(3), FLDPI, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(5) | RM(4), FLDLG2, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(5) | RM(5), FLDLN2, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(5) | RM(6), FLDZ, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(6) | RM(0), F2XM1, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(6) | RM(1), FYL2X, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(6) | RM(2), FPTAN, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(6) | RM(3), FPATAN, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(6) | RM(4), FXTRACT, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(6) | RM(5), FPREM1, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(6) | RM(6), FDECSTP, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(6) | RM(7), FINCSTP, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(7) | RM(0), FPREM, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(7) | RM(1), FYL2XP1, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(7) | RM(2), FSQRT, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(7) | RM(3), FSINCOS, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(7) | RM(4), FRNDINT, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(7) | RM(5), FSCALE, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(7) | RM(6), FSIN, (), NA, FPU, NONE, 0),
    X(0xd9, EXT(7) | RM(7), FCOS, (), NA, FPU, NONE, 0),

    X(0xda, REGS(0), FCMOVB, (ST0, STi), RW, CMOV, READ_CF, 0),
    X(0xda, REGS(1), FCMOVE, (ST0, STi), RW, CMOV, READ_ZF, 0),
    X(0xda, REGS(2), FCMOVBE, (ST0, STi), RW, CMOV, READ_CFZF, 0),
    X(0xda, REGS(3), FCMOVU, (ST0, STi), RW, CMOV, READ_PF, 0),
    X(0xda, EXT(5) | RM(1), FUCOMPP, (), NA, FPU, NONE, 0),
    X(0xdb, MEMS(0), FILD, (Md), RO, FPU, NONE, 0),
    X(0xdb, MEMS(1), FISTTP, (Md), WO, SSE3, NONE, 0),
    X(0xdb, MEMS(2), FIST, (Md), WO, FPU, NONE, 0),
    X(0xdb, MEMS(3), FISTP, (Md), WO, FPU, NONE, 0),
    X(0xdb, MEMS(5), FLD, (Mt), RO, FPU, NONE, 0),
    X(0xdb, MEMS(7), FSTP, (Mt), WO, FPU, NONE, 0),
    X(0xdb, REGS(0), FCMOVNB, (ST0, STi), RW, CMOV, READ_CF, 0),
    X(0xdb, REGS(1), FCMOVNE, (ST0, STi), RW, CMOV, READ_ZF, 0),
    X(0xdb, REGS(2), FCMOVNBE, (ST0, STi), RW, CMOV, READ_CFZF, 0),
    X(0xdb, REGS(3), FCMOVNU, (ST0, STi), RW, CMOV, READ_PF, 0),
    XN(0xdb, EXT(4) | RM(0), FNENI, (), NA, FPU, NONE, 0),  /* 8087; does nothing since */
    XN(0xdb, EXT(4) | RM(1), FNDISI, (), NA, FPU, NONE, 0), /* 8087 */
    XN(0xdb, EXT(4) | RM(2), FNCLEX, (), NA, FPU, NONE, 0),
    XN(0xdb, EXT(4) | RM(3), FNINIT, (), NA, FPU, NONE, 0),
    XN(0xdb, EXT(4) | RM(4), FNSETPM, (), NA, FPU, NONE, 0), /* 80287 */
    X(0xdb, REGS(5), FUCOMI, (ST0, STi), RO, CMOV, COMPARE, 0),
    X(0xdb, REGS(6), FCOMI, (ST0, STi), RO, CMOV, COMPARE, 0),

    X(0xdd, MEMS(0), FLD, (Mq), RO, FPU, NONE, 0),
    X(0xdd, MEMS(1), FISTTP, (Mq), WO, SSE3, NONE, 0),
    X(0xdd, MEMS(2), FST, (Mq), WO, FPU, NONE, 0),
    X(0xdd, MEMS(3), FSTP, (Mq), WO, FPU, NONE, 0),
    X(0xdd, MEMS(4), FRSTOR, (Mfpu), RO, FPU, NONE, NOHOST),
    XN(0xdd, MEMS(6), FNSAVE, (Mfpu), WO, FPU, NONE, NOHOST),
    XN(0xdd, MEMS(7), FNSTSW, (Mw), WO, FPU, NONE, 0),
    X(0xdd, REGS(0), FFREE, (STi), NA, FPU, NONE, 0),
    X(0xdd, REGS(1), FXCH, (ST0, STi), XX, FPU, NONE, 0), /* alias */
    X(0xdd, REGS(2), FST, (STi), WO, FPU, NONE, 0),
    X(0xdd, REGS(3), FSTP, (STi), WO, FPU, NONE, 0),
    X(0xdd, REGS(4), FUCOM, (ST0, STi), RO, FPU, NONE, 0),
    X(0xdd, REGS(5), FUCOMP, (ST0, STi), RO, FPU, NONE, 0),

    X(0xdf, MEMS(0), FILD, (Mw), RO, FPU, NONE, 0),
    X(0xdf, MEMS(1), FISTTP, (Mw), WO, SSE3, NONE, 0),
    X(0xdf, MEMS(2), FIST, (Mw), WO, FPU, NONE, 0),
    X(0xdf, MEMS(3), FISTP, (Mw), WO, FPU, NONE, 0),
    X(0xdf, MEMS(4), FBLD, (Mt), RO, FPU, NONE, 0),
    X(0xdf, MEMS(5), FILD, (Mq), RO, FPU, NONE, 0),
    X(0xdf, MEMS(6), FBSTP, (Mt), WO, FPU, NONE, 0),
    X(0xdf, MEMS(7), FISTP, (Mq), WO, FPU, NONE, 0),
    X(0xdf, REGS(0), FFREEP, (STi), NA, FPU, NONE, 0),    /* alias, pops as well */
    X(0xdf, REGS(1), FXCH, (ST0, STi), XX, FPU, NONE, 0), /* alias */
    X(0xdf, REGS(2), FSTP, (STi), WO, FPU, NONE, 0),      /* alias */
    X(0xdf, REGS(3), FSTP, (STi), WO, FPU, NONE, 0),      /* alias */
    XN(0xdf, EXT(4) | RM(0), FNSTSW, (AX), WO, FPU, NONE, 0),
    X(0xdf, REGS(5), FUCOMIP, (ST0, STi), RO, CMOV, COMPARE, 0),
    X(0xdf, REGS(6), FCOMIP, (ST0, STi), RO, CMOV, COMPARE, 0),
};

INSN_TABLE(insn_table_x87, INSN_MAP_1, false, rows);
