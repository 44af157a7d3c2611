/*
 * Decoder table: opcodes 0F 3A xx, legacy encodings; all have an immediate byte.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/decode-tables.h"

static const InsnRow rows[] = {
    S(0x08, P66, ROUNDPS, (Vx, Wx, Ib), WO, SSE41, FP),
    S(0x09, P66, ROUNDPD, (Vx, Wx, Ib), WO, SSE41, FP),
    S(0x0a, P66, ROUNDSS, (Vd, Wd, Ib), WO, SSE41, FP),
    S(0x0b, P66, ROUNDSD, (Vq, Wq, Ib), WO, SSE41, FP),
    S(0x0c, P66, BLENDPS, (Vx, Wx, Ib), RW, SSE41, 0),
    S(0x0d, P66, BLENDPD, (Vx, Wx, Ib), RW, SSE41, 0),
    S(0x0e, P66, PBLENDW, (Vx, Wx, Ib), RW, SSE41, 0),
    M(0x0f, NP, PALIGNR, (Pq, Qq, Ib), RW, SSSE3, 0),
    S(0x0f, P66, PALIGNR, (Vx, Wx, Ib), RW, SSSE3, 0),
    S(0x14, P66, PEXTRB, (Edb, Vdq, Ib), WO, SSE41, 0),
    S(0x15, P66, PEXTRW, (Edw, Vdq, Ib), WO, SSE41, 0),
    S(0x16, P66 | W0, PEXTRD, (Ed, Vdq, Ib), WO, SSE41, 0),
    S(0x16, P66 | W1, PEXTRQ, (Eq, Vdq, Ib), WO, SSE41, 0),
    S(0x17, P66, EXTRACTPS, (Ed, Vdq, Ib), WO, SSE41, 0),
    S(0x20, P66, PINSRB, (Vdq, Edb, Ib), RW, SSE41, 0),
    S(0x21, P66, INSERTPS, (Vdq, Wd, Ib), RW, SSE41, 0),
    S(0x22, P66 | W0, PINSRD, (Vdq, Ed, Ib), RW, SSE41, 0),
    S(0x22, P66 | W1, PINSRQ, (Vdq, Eq, Ib), RW, SSE41, 0),
    S(0x40, P66, DPPS, (Vx, Wx, Ib), RW, SSE41, FP),
    S(0x41, P66, DPPD, (Vx, Wx, Ib), RW, SSE41, FP),
    S(0x42, P66, MPSADBW, (Vx, Wx, Ib), RW, SSE41, 0),
    S(0x44, P66, PCLMULQDQ, (Vx, Wx, Ib), RW, PCLMULQDQ, 0),
    SF(0x60, P66, PCMPESTRM, (Vx, Wx, Ib), RO, SSE42, ALL6, NOALIGN),
    SF(0x61, P66, PCMPESTRI, (Vx, Wx, Ib), RO, SSE42, ALL6, NOALIGN),
    SF(0x62, P66, PCMPISTRM, (Vx, Wx, Ib), RO, SSE42, ALL6, NOALIGN),
    SF(0x63, P66, PCMPISTRI, (Vx, Wx, Ib), RO, SSE42, ALL6, NOALIGN),
    S(0xcc, NP, SHA1RNDS4, (Vx, Wx, Ib), RW, SHA, NOALIGN),
    S(0xce, P66, GF2P8AFFINEQB, (Vx, Wx, Ib), RW, GFNI, 0),
    S(0xcf, P66, GF2P8AFFINEINVQB, (Vx, Wx, Ib), RW, GFNI, 0),
    S(0xdf, P66, AESKEYGENASSIST, (Vx, Wx, Ib), WO, AES, 0),
};

INSN_TABLE(insn_table_0f3a, INSN_MAP_0F3A, false, rows);
