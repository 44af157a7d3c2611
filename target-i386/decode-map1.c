/*
 * Decoder table: the one-byte opcodes (the x87's D8..DF are in decode-x87.c).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/decode-tables.h"

/* The eight ALU operations: six forms at base, and the immediate group's row each. */
#define ALU(base, n, name, access, effect, lock)                                                   \
    I(base + 0, 0, name, (Eb, Gb), access, ALWAYS, effect, lock),                                  \
    I(base + 1, 0, name, (Ev, Gv), access, ALWAYS, effect, lock),                                  \
    I(base + 2, 0, name, (Gb, Eb), access, ALWAYS, effect, 0),                                     \
    I(base + 3, 0, name, (Gv, Ev), access, ALWAYS, effect, 0),                                     \
    I(base + 4, 0, name, (AL, Ib), access, ALWAYS, effect, 0),                                     \
    I(base + 5, 0, name, (rAX, Iz), access, ALWAYS, effect, 0),                                    \
    I(0x80, EXT(n), name, (Eb, Ib), access, ALWAYS, effect, lock),                                 \
    I(0x81, EXT(n), name, (Ev, Iz), access, ALWAYS, effect, lock),                                 \
    I(0x82, EXT(n) | I64, name, (Eb, Ib), access, ALWAYS, effect, lock),                           \
    I(0x83, EXT(n), name, (Ev, Sb), access, ALWAYS, effect, lock)

/* A shift or rotate; its encoding in ModRM.reg is n. */
#define SHIFT(n, name, effect)                                                                     \
    I(0xc0, EXT(n), name, (Eb, Ib), RW, ALWAYS, effect, 0),                                        \
    I(0xc1, EXT(n), name, (Ev, Ib), RW, ALWAYS, effect, 0),                                        \
    I(0xd0, EXT(n), name, (Eb, One), RW, ALWAYS, effect, 0),                                       \
    I(0xd1, EXT(n), name, (Ev, One), RW, ALWAYS, effect, 0),                                       \
    I(0xd2, EXT(n), name, (Eb, CL), RW, ALWAYS, effect, 0),                                        \
    I(0xd3, EXT(n), name, (Ev, CL), RW, ALWAYS, effect, 0)

#define EIGHT(row, base, ...)                                                                      \
    row(base + 0, __VA_ARGS__), row(base + 1, __VA_ARGS__), row(base + 2, __VA_ARGS__),            \
    row(base + 3, __VA_ARGS__), row(base + 4, __VA_ARGS__), row(base + 5, __VA_ARGS__),            \
    row(base + 6, __VA_ARGS__), row(base + 7, __VA_ARGS__)

static const InsnRow rows[] = {
    ALU(0x00, 0, ADD, RW, ARITH, LOCK),
    ALU(0x08, 1, OR, RW, LOGIC, LOCK),
    ALU(0x10, 2, ADC, RW, CARRY, LOCK),
    ALU(0x18, 3, SBB, RW, CARRY, LOCK),
    ALU(0x20, 4, AND, RW, LOGIC, LOCK),
    ALU(0x28, 5, SUB, RW, ARITH, LOCK),
    ALU(0x30, 6, XOR, RW, LOGIC, LOCK),
    ALU(0x38, 7, CMP, RO, ARITH, 0),

    I(0x06, I64, PUSH_SEG, (ES), RO, ALWAYS, NONE, STACKW),
    I(0x07, I64, POP_SEG, (ES), WO, ALWAYS, NONE, STACKR | END),
    I(0x0e, I64, PUSH_SEG, (CS), RO, ALWAYS, NONE, STACKW),
    I(0x16, I64, PUSH_SEG, (SS), RO, ALWAYS, NONE, STACKW),
    I(0x17, I64, POP_SEG, (SS), WO, ALWAYS, NONE, STACKR | SHADOW),
    I(0x1e, I64, PUSH_SEG, (DS), RO, ALWAYS, NONE, STACKW),
    I(0x1f, I64, POP_SEG, (DS), WO, ALWAYS, NONE, STACKR | END),
    I(0x27, I64, DAA, (), NA, ALWAYS, DAA, 0),
    I(0x2f, I64, DAS, (), NA, ALWAYS, DAA, 0),
    I(0x37, I64, AAA, (), NA, ALWAYS, AAA, 0),
    I(0x3f, I64, AAS, (), NA, ALWAYS, AAA, 0),

    EIGHT(I, 0x40, I64, INC, (Zv), RW, ALWAYS, INC, 0),
    EIGHT(I, 0x48, I64, DEC, (Zv), RW, ALWAYS, INC, 0),
    EIGHT(I, 0x50, 0, PUSH, (Zv), RO, ALWAYS, NONE, D64 | STACKW),
    EIGHT(I, 0x58, 0, POP, (Zv), WO, ALWAYS, NONE, D64 | STACKR),
    I(0x60, I64, PUSHA, (), NA, ALWAYS, NONE, STACKW),
    I(0x61, I64, POPA, (), NA, ALWAYS, NONE, STACKR),
    I(0x62, I64, BOUND, (Gv, Ma), RO, ALWAYS, NONE, FAULT),
    I(0x63, I64, ARPL, (Ew, Gw), RW, ALWAYS, ZF, PROT),
    I(0x63, O64, MOVSXD, (Gv, Ed), WO, ALWAYS, NONE, 0),
    I(0x68, 0, PUSH, (Iz), RO, ALWAYS, NONE, D64 | STACKW),
    I(0x69, 0, IMUL, (Gv, Ev, Iz), WO, ALWAYS, MUL, 0),
    I(0x6a, 0, PUSH, (Sb), RO, ALWAYS, NONE, D64 | STACKW),
    I(0x6b, 0, IMUL, (Gv, Ev, Sb), WO, ALWAYS, MUL, 0),
    I(0x6c, 0, INS, (), NA, ALWAYS, STRING, STRW | IOPL | BYTE),
    I(0x6d, 0, INS, (), NA, ALWAYS, STRING, STRW | IOPL | CAP4),
    I(0x6e, 0, OUTS, (), NA, ALWAYS, STRING, STRR | IOPL | BYTE),
    I(0x6f, 0, OUTS, (), NA, ALWAYS, STRING, STRR | IOPL | CAP4),
    EIGHT(I, 0x70, 0, JCC, (Jb), RO, ALWAYS, CONDITION, D64 | BRANCH | FAULT),
    EIGHT(I, 0x78, 0, JCC, (Jb), RO, ALWAYS, CONDITION, D64 | BRANCH | FAULT),

    I(0x84, 0, TEST, (Eb, Gb), RO, ALWAYS, LOGIC, 0),
    I(0x85, 0, TEST, (Ev, Gv), RO, ALWAYS, LOGIC, 0),
    I(0x86, 0, XCHG, (Eb, Gb), XX, ALWAYS, NONE, LOCK),
    I(0x87, 0, XCHG, (Ev, Gv), XX, ALWAYS, NONE, LOCK),
    I(0x88, 0, MOV, (Eb, Gb), WO, ALWAYS, NONE, 0),
    I(0x89, 0, MOV, (Ev, Gv), WO, ALWAYS, NONE, 0),
    I(0x8a, 0, MOV, (Gb, Eb), WO, ALWAYS, NONE, 0),
    I(0x8b, 0, MOV, (Gv, Ev), WO, ALWAYS, NONE, 0),
    I(0x8c, 0, MOV_SEG, (Evw, Sw), WO, ALWAYS, NONE, 0),
    I(0x8d, 0, LEA, (Gv, M0), WO, ALWAYS, NONE, 0),
    I(0x8e, EXT(2), MOV_SEG, (Sw, Ew), WO, ALWAYS, NONE, FAULT | SHADOW),
    I(0x8e, 0, MOV_SEG, (Sw, Ew), WO, ALWAYS, NONE, FAULT | END),
    I(0x8f, EXT(0), POP, (Ev), WO, ALWAYS, NONE, D64 | STACKR),

    I(0x90, REXB, XCHG, (Zv, rAX), XX, ALWAYS, NONE, 0),
    I(0x90, PF3, PAUSE, (), NA, ALWAYS, NONE, 0),
    I(0x90, 0, NOP, (), NA, ALWAYS, NONE, 0),
    EIGHT(I, 0x90, 0, XCHG, (Zv, rAX), XX, ALWAYS, NONE, 0),
    I(0x98, 0, CBW, (), NA, ALWAYS, NONE, 0),
    I(0x99, 0, CWD, (), NA, ALWAYS, NONE, 0),
    I(0x9a, I64, CALL_FAR, (Ap), RO, ALWAYS, NONE, STACKW | BRANCH),
    ROW(WAIT, 0x9b, 0, WAIT, (), NA, ALWAYS, NONE, FAULT),
    I(0x9c, 0, PUSHF, (), NA, ALWAYS, PUSHF, D64 | STACKW | IOPL),
    I(0x9d, 0, POPF, (), NA, ALWAYS, POPF, D64 | STACKR | IOPL | END),
    I(0x9e, I64, SAHF, (), NA, ALWAYS, SAHF, 0),
    I(0x9e, O64, SAHF, (), NA, LAHF_LM, SAHF, 0),
    I(0x9f, I64, LAHF, (), NA, ALWAYS, LAHF, 0),
    I(0x9f, O64, LAHF, (), NA, LAHF_LM, LAHF, 0),

    I(0xa0, 0, MOV, (AL, Ob), WO, ALWAYS, NONE, 0),
    I(0xa1, 0, MOV, (rAX, Ov), WO, ALWAYS, NONE, 0),
    I(0xa2, 0, MOV, (Ob, AL), WO, ALWAYS, NONE, 0),
    I(0xa3, 0, MOV, (Ov, rAX), WO, ALWAYS, NONE, 0),
    I(0xa4, 0, MOVS, (), NA, ALWAYS, STRING, STRR | STRW | BYTE),
    I(0xa5, 0, MOVS, (), NA, ALWAYS, STRING, STRR | STRW),
    I(0xa6, 0, CMPS, (), NA, ALWAYS, STRCMP, STRR | BYTE),
    I(0xa7, 0, CMPS, (), NA, ALWAYS, STRCMP, STRR),
    I(0xa8, 0, TEST, (AL, Ib), RO, ALWAYS, LOGIC, 0),
    I(0xa9, 0, TEST, (rAX, Iz), RO, ALWAYS, LOGIC, 0),
    I(0xaa, 0, STOS, (), NA, ALWAYS, STRING, STRW | BYTE),
    I(0xab, 0, STOS, (), NA, ALWAYS, STRING, STRW),
    I(0xac, 0, LODS, (), NA, ALWAYS, STRING, STRR | BYTE),
    I(0xad, 0, LODS, (), NA, ALWAYS, STRING, STRR),
    I(0xae, 0, SCAS, (), NA, ALWAYS, STRCMP, STRR | BYTE),
    I(0xaf, 0, SCAS, (), NA, ALWAYS, STRCMP, STRR),
    EIGHT(I, 0xb0, 0, MOV, (Zb, Ib), WO, ALWAYS, NONE, 0),
    EIGHT(I, 0xb8, 0, MOV, (Zv, Iv), WO, ALWAYS, NONE, 0),

    SHIFT(0, ROL, ROTATE),
    SHIFT(1, ROR, ROTATE),
    SHIFT(2, RCL, RCARRY),
    SHIFT(3, RCR, RCARRY),
    SHIFT(4, SHL, SHIFT),
    SHIFT(5, SHR, SHIFT),
    SHIFT(6, SHL, SHIFT), /* undocumented alias */
    SHIFT(7, SAR, SHIFT),
    I(0xc2, 0, RET, (Iw), RO, ALWAYS, NONE, D64 | STACKR | BRANCH),
    I(0xc3, 0, RET, (), NA, ALWAYS, NONE, D64 | STACKR | BRANCH),
    I(0xc4, I64, LES, (Gz, Mp), WO, ALWAYS, NONE, FAULT | END), /* ModRM of mod 3: VEX */
    I(0xc5, I64, LDS, (Gz, Mp), WO, ALWAYS, NONE, FAULT | END),
    I(0xc6, EXT(0), MOV, (Eb, Ib), WO, ALWAYS, NONE, 0),
    I(0xc7, EXT(0), MOV, (Ev, Iz), WO, ALWAYS, NONE, 0),
    I(0xc8, 0, ENTER, (Iw, Ib2), RO, ALWAYS, NONE, D64 | STACKR | STACKW),
    I(0xc9, 0, LEAVE, (), NA, ALWAYS, NONE, D64 | STACKR),
    I(0xca, 0, RETF, (Iw), RO, ALWAYS, NONE, STACKR | BRANCH),
    I(0xcb, 0, RETF, (), NA, ALWAYS, NONE, STACKR | BRANCH),
    I(0xcc, 0, INT3, (), NA, ALWAYS, INT, STACKW | BRANCH),
    I(0xcd, 0, INT, (Ib), RO, ALWAYS, INT, STACKW | BRANCH | IOPL),
    I(0xce, I64, INTO, (), NA, ALWAYS, READ_OF, STACKW | BRANCH),
    I(0xcf, 0, IRET, (), NA, ALWAYS, POPF, STACKR | BRANCH | IOPL),

    I(0xd4, I64, AAM, (Ib), RO, ALWAYS, AAM, FAULT),
    I(0xd5, I64, AAD, (Ib), RO, ALWAYS, AAM, 0),
    I(0xd6, I64, SALC, (), NA, ALWAYS, READ_CF, 0), /* undocumented: AL = CF ? FF : 0 */
    I(0xd7, 0, XLAT, (), NA, ALWAYS, NONE, STACKR),

    I(0xe0, 0, LOOPNE, (Jb), RO, ALWAYS, READ_ZF, D64 | BRANCH | FAULT),
    I(0xe1, 0, LOOPE, (Jb), RO, ALWAYS, READ_ZF, D64 | BRANCH | FAULT),
    I(0xe2, 0, LOOP, (Jb), RO, ALWAYS, NONE, D64 | BRANCH | FAULT),
    I(0xe3, 0, JCXZ, (Jb), RO, ALWAYS, NONE, D64 | BRANCH | FAULT),
    I(0xe4, 0, IN, (AL, Ib), WO, ALWAYS, NONE, IOPL | BYTE),
    I(0xe5, 0, IN, (eAX, Ib), WO, ALWAYS, NONE, IOPL | CAP4),
    I(0xe6, 0, OUT, (Ib, AL), RO, ALWAYS, NONE, IOPL | BYTE),
    I(0xe7, 0, OUT, (Ib, eAX), RO, ALWAYS, NONE, IOPL | CAP4),
    I(0xe8, 0, CALL, (Jz), RO, ALWAYS, NONE, D64 | STACKW | BRANCH),
    I(0xe9, 0, JMP, (Jz), RO, ALWAYS, NONE, D64 | BRANCH | FAULT),
    I(0xea, I64, JMP_FAR, (Ap), RO, ALWAYS, NONE, BRANCH | FAULT),
    I(0xeb, 0, JMP, (Jb), RO, ALWAYS, NONE, D64 | BRANCH | FAULT),
    I(0xec, 0, IN, (AL, DX), WO, ALWAYS, NONE, IOPL | BYTE),
    I(0xed, 0, IN, (eAX, DX), WO, ALWAYS, NONE, IOPL | CAP4),
    I(0xee, 0, OUT, (DX, AL), RO, ALWAYS, NONE, IOPL | BYTE),
    I(0xef, 0, OUT, (DX, eAX), RO, ALWAYS, NONE, IOPL | CAP4),

    I(0xf1, 0, INT1, (), NA, ALWAYS, INT, STACKW | BRANCH),
    I(0xf4, 0, HLT, (), NA, ALWAYS, NONE, PRIV | END),
    I(0xf5, 0, CMC, (), NA, ALWAYS, CMC, 0),
    I(0xf6, EXT(0), TEST, (Eb, Ib), RO, ALWAYS, LOGIC, 0),
    I(0xf6, EXT(1), TEST, (Eb, Ib), RO, ALWAYS, LOGIC, 0), /* undocumented alias */
    I(0xf6, EXT(2), NOT, (Eb), RW, ALWAYS, NONE, LOCK),
    I(0xf6, EXT(3), NEG, (Eb), RW, ALWAYS, ARITH, LOCK),
    I(0xf6, EXT(4), MUL, (Eb), RO, ALWAYS, MUL, 0),
    I(0xf6, EXT(5), IMUL, (Eb), RO, ALWAYS, MUL, 0),
    I(0xf6, EXT(6), DIV, (Eb), RO, ALWAYS, DIV, FAULT),
    I(0xf6, EXT(7), IDIV, (Eb), RO, ALWAYS, DIV, FAULT),
    I(0xf7, EXT(0), TEST, (Ev, Iz), RO, ALWAYS, LOGIC, 0),
    I(0xf7, EXT(1), TEST, (Ev, Iz), RO, ALWAYS, LOGIC, 0),
    I(0xf7, EXT(2), NOT, (Ev), RW, ALWAYS, NONE, LOCK),
    I(0xf7, EXT(3), NEG, (Ev), RW, ALWAYS, ARITH, LOCK),
    I(0xf7, EXT(4), MUL, (Ev), RO, ALWAYS, MUL, 0),
    I(0xf7, EXT(5), IMUL, (Ev), RO, ALWAYS, MUL, 0),
    I(0xf7, EXT(6), DIV, (Ev), RO, ALWAYS, DIV, FAULT),
    I(0xf7, EXT(7), IDIV, (Ev), RO, ALWAYS, DIV, FAULT),
    I(0xf8, 0, CLC, (), NA, ALWAYS, SET_CF, 0),
    I(0xf9, 0, STC, (), NA, ALWAYS, SET_CF, 0),
    I(0xfa, 0, CLI, (), NA, ALWAYS, SET_IF, IOPL),
    I(0xfb, 0, STI, (), NA, ALWAYS, SET_IF, IOPL | SHADOW),
    I(0xfc, 0, CLD, (), NA, ALWAYS, SET_DF, 0),
    I(0xfd, 0, STD, (), NA, ALWAYS, SET_DF, 0),
    I(0xfe, EXT(0), INC, (Eb), RW, ALWAYS, INC, LOCK),
    I(0xfe, EXT(1), DEC, (Eb), RW, ALWAYS, INC, LOCK),
    I(0xff, EXT(0), INC, (Ev), RW, ALWAYS, INC, LOCK),
    I(0xff, EXT(1), DEC, (Ev), RW, ALWAYS, INC, LOCK),
    I(0xff, EXT(2), CALL_IND, (Ev), RO, ALWAYS, NONE, D64 | STACKW | BRANCH),
    I(0xff, EXT(3), CALL_FAR_IND, (Mp), RO, ALWAYS, NONE, STACKW | BRANCH),
    I(0xff, EXT(4), JMP_IND, (Ev), RO, ALWAYS, NONE, D64 | BRANCH | FAULT),
    I(0xff, EXT(5), JMP_FAR_IND, (Mp), RO, ALWAYS, NONE, BRANCH | FAULT),
    I(0xff, EXT(6), PUSH, (Ev), RO, ALWAYS, NONE, D64 | STACKW),
};

INSN_TABLE(insn_table_map1, INSN_MAP_1, false, rows);
