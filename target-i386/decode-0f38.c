/*
 * Decoder table: opcodes 0F 38 xx, legacy encodings.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/decode-tables.h"

/* SSSE3: MMX and XMM form of one operation. */
#define INT2(opcode, name, access)                                                                 \
    M(opcode, NP, name, (Pq, Qq), access, SSSE3, 0),                                               \
    S(opcode, P66, name, (Vx, Wx), access, SSSE3, 0)

/* The SDM wants SHA operands aligned; AMD's processors take any. */
static const InsnRow rows[] = {
    INT2(0x00, PSHUFB, RW),
    INT2(0x01, PHADDW, RW),
    INT2(0x02, PHADDD, RW),
    INT2(0x03, PHADDSW, RW),
    INT2(0x04, PMADDUBSW, RW),
    INT2(0x05, PHSUBW, RW),
    INT2(0x06, PHSUBD, RW),
    INT2(0x07, PHSUBSW, RW),
    INT2(0x08, PSIGNB, RW),
    INT2(0x09, PSIGNW, RW),
    INT2(0x0a, PSIGND, RW),
    INT2(0x0b, PMULHRSW, RW),
    S(0x10, P66, PBLENDVB, (Vx, Wx), RW, SSE41, 0),
    S(0x14, P66, BLENDVPS, (Vx, Wx), RW, SSE41, 0),
    S(0x15, P66, BLENDVPD, (Vx, Wx), RW, SSE41, 0),
    SF(0x17, P66, PTEST, (Vx, Wx), RO, SSE41, ZERO, 0),
    INT2(0x1c, PABSB, WO),
    INT2(0x1d, PABSW, WO),
    INT2(0x1e, PABSD, WO),
    S(0x20, P66, PMOVSXBW, (Vx, Wh), WO, SSE41, 0),
    S(0x21, P66, PMOVSXBD, (Vx, Wf), WO, SSE41, 0),
    S(0x22, P66, PMOVSXBQ, (Vx, We), WO, SSE41, 0),
    S(0x23, P66, PMOVSXWD, (Vx, Wh), WO, SSE41, 0),
    S(0x24, P66, PMOVSXWQ, (Vx, Wf), WO, SSE41, 0),
    S(0x25, P66, PMOVSXDQ, (Vx, Wh), WO, SSE41, 0),
    S(0x28, P66, PMULDQ, (Vx, Wx), RW, SSE41, 0),
    S(0x29, P66, PCMPEQQ, (Vx, Wx), RW, SSE41, 0),
    S(0x2a, P66, MOVNTDQA, (Vx, Mx), WO, SSE41, 0),
    S(0x2b, P66, PACKUSDW, (Vx, Wx), RW, SSE41, 0),
    S(0x30, P66, PMOVZXBW, (Vx, Wh), WO, SSE41, 0),
    S(0x31, P66, PMOVZXBD, (Vx, Wf), WO, SSE41, 0),
    S(0x32, P66, PMOVZXBQ, (Vx, We), WO, SSE41, 0),
    S(0x33, P66, PMOVZXWD, (Vx, Wh), WO, SSE41, 0),
    S(0x34, P66, PMOVZXWQ, (Vx, Wf), WO, SSE41, 0),
    S(0x35, P66, PMOVZXDQ, (Vx, Wh), WO, SSE41, 0),
    S(0x37, P66, PCMPGTQ, (Vx, Wx), RW, SSE42, 0),
    S(0x38, P66, PMINSB, (Vx, Wx), RW, SSE41, 0),
    S(0x39, P66, PMINSD, (Vx, Wx), RW, SSE41, 0),
    S(0x3a, P66, PMINUW, (Vx, Wx), RW, SSE41, 0),
    S(0x3b, P66, PMINUD, (Vx, Wx), RW, SSE41, 0),
    S(0x3c, P66, PMAXSB, (Vx, Wx), RW, SSE41, 0),
    S(0x3d, P66, PMAXSD, (Vx, Wx), RW, SSE41, 0),
    S(0x3e, P66, PMAXUW, (Vx, Wx), RW, SSE41, 0),
    S(0x3f, P66, PMAXUD, (Vx, Wx), RW, SSE41, 0),
    S(0x40, P66, PMULLD, (Vx, Wx), RW, SSE41, 0),
    S(0x41, P66, PHMINPOSUW, (Vx, Wx), WO, SSE41, 0),
    I(0x80, P66, INVEPT, (Gn, Mdq), RO, VMX, NONE, F64 | PRIV | END),
    I(0x81, P66, INVVPID, (Gn, Mdq), RO, VMX, NONE, F64 | PRIV | END),
    I(0x82, P66, INVPCID, (Gn, Mdq), RO, INVPCID, NONE, F64 | PRIV | END),
    S(0xc8, NP, SHA1NEXTE, (Vx, Wx), RW, SHA, NOALIGN),
    S(0xc9, NP, SHA1MSG1, (Vx, Wx), RW, SHA, NOALIGN),
    S(0xca, NP, SHA1MSG2, (Vx, Wx), RW, SHA, NOALIGN),
    S(0xcb, NP, SHA256RNDS2, (Vx, Wx), RW, SHA, NOALIGN),
    S(0xcc, NP, SHA256MSG1, (Vx, Wx), RW, SHA, NOALIGN),
    S(0xcd, NP, SHA256MSG2, (Vx, Wx), RW, SHA, NOALIGN),
    S(0xcf, P66, GF2P8MULB, (Vx, Wx), RW, GFNI, 0),
    S(0xdb, P66, AESIMC, (Vx, Wx), WO, AES, 0),
    S(0xdc, P66, AESENC, (Vx, Wx), RW, AES, 0),
    S(0xdd, P66, AESENCLAST, (Vx, Wx), RW, AES, 0),
    S(0xde, P66, AESDEC, (Vx, Wx), RW, AES, 0),
    S(0xdf, P66, AESDECLAST, (Vx, Wx), RW, AES, 0),
    I(0xf0, NP, MOVBE, (Gv, Mv), WO, MOVBE, NONE, 0),
    I(0xf0, P66, MOVBE, (Gv, Mv), WO, MOVBE, NONE, 0),
    I(0xf0, PF2, CRC32, (Gy, Eb), RW, SSE42, NONE, BYTE),
    I(0xf1, NP, MOVBE, (Mv, Gv), WO, MOVBE, NONE, 0),
    I(0xf1, P66, MOVBE, (Mv, Gv), WO, MOVBE, NONE, 0),
    I(0xf1, PF2, CRC32, (Gy, Ev), RW, SSE42, NONE, 0),
    I(0xf6, P66, ADCX, (Gy, Ey), RW, ADX, CFONLY, 0),
    I(0xf6, PF3, ADOX, (Gy, Ey), RW, ADX, OFONLY, 0),
    I(0xf8, P66, MOVDIR64B, (Ga, Mzmm), RO, MOVDIR64B, NONE, STACKW),
    I(0xf9, NP, MOVDIRI, (My, Gy), WO, MOVDIRI, NONE, 0),
};

INSN_TABLE(insn_table_0f38, INSN_MAP_0F38, false, rows);
