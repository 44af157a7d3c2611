/*
 * A decoded x86 instruction, and the decoder's interface.
 *
 * insn_decode() turns bytes into an Insn: which operation, which operands with which sizes and
 * accesses, which checks precede it, which flags it reads and writes. The executor, the translator,
 * the trace printer and the tests all work from this one structure and never look at bytes again,
 * except to run the very same instruction on the host with another memory operand (offsets of the
 * parts are kept for that).
 *
 * Names follow the Intel SDM. Register numbers are the encoded ones: AX CX DX BX SP BP SI DI,
 * R8..R15; segments ES CS SS DS FS GS.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_INSN_H
#define TARGET_I386_INSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct CPUX86State;

enum {
    INSN_MAX_LENGTH = 15,
    INSN_MAX_OPERANDS = 4,
};

/*
 * Operations. A family that differs only by size, direction of the operands or condition is one
 * operation (OP_ADD, OP_MOVS, OP_JCC with cond). A VEX form has the legacy name with V in front.
 */
typedef enum InsnOp {
    OP_INVALID,
#define OP(name)             OP_##name,
#define OP_AS(name, printed) OP_##name,
#include "target-i386/insn-ops.def"
#undef OP
#undef OP_AS
    OP_COUNT
} InsnOp;

/*
 * What CPUID has to show for an instruction to exist. CPUF_ALWAYS is the 386's own set. Without a
 * CPUID bit of their own: I486 (family 4 and later), CPUID (whoever has it), P6 (family 6 and
 * later); MMXEXT comes with SSE.
 */
typedef enum InsnFeature {
    CPUF_ALWAYS,
    CPUF_I486, /* BSWAP, CMPXCHG, XADD, INVD, WBINVD, INVLPG */
    CPUF_CPUID,
    CPUF_FPU,
    CPUF_TSC,
    CPUF_MSR,
    CPUF_CX8,
    CPUF_SEP,
    CPUF_CMOV,
    CPUF_P6, /* RDPMC, UD2, the multi-byte NOP: CPUID family 6 and later */
    CPUF_MMX,
    CPUF_MMXEXT, /* the integer part of SSE, also in AMD's extended MMX */
    CPUF_FXSR,
    CPUF_SSE,
    CPUF_SSE2,
    CPUF_CLFSH,
    CPUF_SSE3,
    CPUF_MONITOR,
    CPUF_SSSE3,
    CPUF_SSE41,
    CPUF_SSE42,
    CPUF_SSE4A,
    CPUF_POPCNT,
    CPUF_LZCNT,
    CPUF_MOVBE,
    CPUF_CX16,
    CPUF_AES,
    CPUF_PCLMULQDQ,
    CPUF_SHA,
    CPUF_GFNI,
    CPUF_AVX,
    CPUF_F16C,
    CPUF_FMA,
    CPUF_AVX2,
    CPUF_VAES,
    CPUF_VPCLMULQDQ,
    CPUF_BMI1,
    CPUF_BMI2,
    CPUF_ADX,
    CPUF_RDRAND,
    CPUF_RDSEED,
    CPUF_RDTSCP,
    CPUF_RDPID,
    CPUF_XSAVE,
    CPUF_XSAVEOPT,
    CPUF_XSAVEC,
    CPUF_XSAVES,
    CPUF_FSGSBASE,
    CPUF_INVPCID,
    CPUF_SMAP,
    CPUF_SYSCALL,
    CPUF_LM,      /* SWAPGS and the other additions of long mode itself */
    CPUF_LAHF_LM, /* LAHF and SAHF in 64-bit mode */
    CPUF_PREFETCHW,
    CPUF_CLFLUSHOPT,
    CPUF_CLWB,
    CPUF_CLZERO,
    CPUF_WBNOINVD,
    CPUF_SERIALIZE,
    CPUF_MOVDIRI,
    CPUF_MOVDIR64B,
    CPUF_PKU,
    CPUF_MONITORX,
    CPUF_RDPRU,
    CPUF_VMX,
    CPUF_SVM,
    CPUF_SMX,
    CPUF_COUNT
} InsnFeature;

typedef struct InsnFeatures {
    uint64_t bits[2];
} InsnFeatures;

static inline void insn_features_set(InsnFeatures *set, InsnFeature feature)
{
    set->bits[feature / 64] |= 1ull << (feature % 64);
}

static inline void insn_features_clear(InsnFeatures *set, InsnFeature feature)
{
    set->bits[feature / 64] &= ~(1ull << (feature % 64));
}

/* CPUF_ALWAYS counts as present in any set. */
static inline bool insn_features_has(const InsnFeatures *set, InsnFeature feature)
{
    return feature == CPUF_ALWAYS || (set->bits[feature / 64] >> (feature % 64) & 1);
}

/* Which checks stand before the instruction proper (SDM vol. 3, 2.5 and 13.1). */
typedef enum InsnClass {
    INSN_CLASS_INTEGER,    /* none */
    INSN_CLASS_X87,        /* CR0.EM or TS: #NM; then a pending x87 exception: #MF */
    INSN_CLASS_X87_NOWAIT, /* CR0.EM or TS: #NM; pending exceptions are left alone */
    INSN_CLASS_WAIT,       /* WAIT: CR0.MP and TS: #NM; then #MF */
    INSN_CLASS_MMX,        /* EM: #UD; TS: #NM; #MF; then TOP = 0 and tags valid (EMMS: empty) */
    INSN_CLASS_SSE,        /* EM or no CR4.OSFXSR: #UD; TS: #NM */
    INSN_CLASS_SSE_MMX,    /* SSE, and MMX as well when an operand is an MMX register */
    INSN_CLASS_AVX,        /* no CR4.OSXSAVE or XCR0 without SSE and AVX: #UD; TS: #NM */
    INSN_CLASS_FXSR,       /* FXSAVE, FXRSTOR: EM or TS: #NM */
    INSN_CLASS_XSAVE,      /* XSAVE family: no CR4.OSXSAVE: #UD; TS: #NM */
    INSN_CLASS_COUNT
} InsnClass;

typedef enum InsnOperandKind {
    OPND_NONE,
    OPND_GPR,   /* general register of `size` bytes */
    OPND_GPR8H, /* AH CH DH BH; reg is 0..3, the register that holds it */
    OPND_MEM,   /* the instruction's memory operand: base, index, scale, disp, seg */
    OPND_IMM,   /* imm (or imm2, for the second immediate of ENTER, EXTRQ and INSERTQ) */
    OPND_REL,   /* branch by imm from the next instruction, truncated to opsize */
    OPND_FAR,   /* imm2:imm */
    OPND_SEG,
    OPND_CR,
    OPND_DR,
    OPND_ST,
    OPND_MMX,
    OPND_XMM,
    OPND_YMM,
    OPND_ZMM,  /* reserved for EVEX */
    OPND_KREG, /* reserved for EVEX */
} InsnOperandKind;

enum {
    OPND_READ = 1,
    OPND_WRITE = 2,
};

/* size: bytes the operation uses of the operand; 0 where it has none (LEA, INVLPG) or where it does
 * not fit (mem_size has it then). */
typedef struct InsnOperand {
    uint8_t kind;
    uint8_t reg;
    uint8_t size;
    uint8_t access;
} InsnOperand;

/* Memory operand: base and index take a general register's number or one of these. */
enum {
    INSN_REG_RIP = 0x10, /* base only: the address of the next instruction */
    INSN_REG_NONE = 0xff,
};

/* Insn.seg */
enum {
    INSN_SEG_ES,
    INSN_SEG_CS,
    INSN_SEG_SS,
    INSN_SEG_DS,
    INSN_SEG_FS,
    INSN_SEG_GS,
    INSN_SEG_NONE = 15,
};

/* Insn.prefixes. LOCK, REP, REPNE, 66 and 67 say what stood there, whether or not it has an effect;
 * of F2 and F3 only the last one is recorded. */
enum {
    INSN_PFX_LOCK = 0x01,
    INSN_PFX_REP = 0x02,   /* F3: REP, REPE */
    INSN_PFX_REPNE = 0x04, /* F2 */
    INSN_PFX_66 = 0x08,
    INSN_PFX_67 = 0x10,
    INSN_PFX_SEG = 0x20,
    INSN_PFX_VEX = 0x40, /* raw[off_opcode - 2 or - 3] is C5 or C4 */
    INSN_PFX_W = 0x80,   /* REX.W or VEX.W */
};

/* Insn.map */
typedef enum InsnMap {
    INSN_MAP_1,    /* one-byte opcodes; D8..DF are the x87 */
    INSN_MAP_0F,   /* VEX: map 1 */
    INSN_MAP_0F38, /* VEX: map 2 */
    INSN_MAP_0F3A, /* VEX: map 3 */
    INSN_MAP_COUNT
} InsnMap;

/* Insn.flags */
enum {
    /* Translation cannot just go on behind it: control transfer, HLT, a change of mode, paging,
     * segments' meaning, interrupt flag or shadow. */
    INSN_ENDS_BLOCK = 1u << 0,
    /* x87, MMX, SSE or AVX instruction that computes what the guest wants when it runs as it is on
     * the host with the guest's registers and a memory operand at another address. General
     * registers among its operands are plain sources or destinations. */
    INSN_HOST_EXEC = 1u << 1,
    INSN_SYSTEM = 1u << 2,    /* #GP unless CPL is 0; #UD for MONITOR, MWAIT, CLAC, STAC */
    INSN_IOPL = 1u << 3,      /* depends on IOPL, or on the I/O bitmap */
    INSN_LOCKABLE = 1u << 4,  /* LOCK is legal; XCHG with memory locks without it */
    INSN_MAY_FAULT = 1u << 5, /* can raise any exception other than a debug trap */
    INSN_MEM_READ = 1u << 6,  /* reads memory: the operand, the stack, DS:SI ... */
    INSN_MEM_WRITE = 1u << 7,
    INSN_MEM_MASKED = 1u << 8,     /* touches only the elements its mask selects */
    INSN_MEM_IMPLICIT = 1u << 9,   /* memory it accesses is not (only) an operand: stack, strings */
    INSN_MEM_BITSTRING = 1u << 10, /* BT family with register: operand lies off the bit index */
    INSN_VSIB = 1u << 11,          /* index is a vector register, see index_kind */
    INSN_STRING = 1u << 12,        /* string instruction; REP and REPNE mean repetition */
    INSN_EFLAGS_COND = 1u << 13,   /* flags stay as they are when the count is zero */
    INSN_SIMD_FP = 1u << 14,       /* can raise #XM (or set MXCSR's exception flags) */
    INSN_PROTECTED = 1u << 15,     /* exists only with CR0.PE = 1 and EFLAGS.VM = 0 */
    INSN_ONLY64 = 1u << 16,        /* exists only in 64-bit mode */
    INSN_NOT64 = 1u << 17,         /* does not exist in 64-bit mode */
    INSN_BRANCH = 1u << 18,        /* may continue elsewhere than at the next instruction */
    INSN_SHADOW = 1u << 19,        /* may hold interrupts off for one instruction: STI, MOV SS */
};

/* EFLAGS bits as the three masks of an Insn use them. */
enum {
    EFL_CF = 0x0001,
    EFL_PF = 0x0004,
    EFL_AF = 0x0010,
    EFL_ZF = 0x0040,
    EFL_SF = 0x0080,
    EFL_TF = 0x0100,
    EFL_IF = 0x0200,
    EFL_DF = 0x0400,
    EFL_OF = 0x0800,
    EFL_IOPL = 0x3000,
    EFL_NT = 0x4000,
    EFL_ARITH = EFL_CF | EFL_PF | EFL_AF | EFL_ZF | EFL_SF | EFL_OF,
};

typedef struct Insn Insn;
typedef void InsnExec(struct CPUX86State *env, const Insn *insn);

/*
 * Operands that are not listed in ops[] but fixed by the operation:
 *   MUL, IMUL with one operand, DIV, IDIV   AL/AX, DX:AX, EDX:EAX, RDX:RAX by opsize
 *   CMPXCHG                                 AL/AX/EAX/RAX; CMPXCHG8B/16B: EDX:EAX, ECX:EBX
 *   string instructions                     rSI with seg, rDI with ES, rCX, AL..RAX, DX
 *   XLAT                                    AL, rBX with seg
 *   LOOPcc, JCXZ                            rCX of addrsize
 *   CBW, CWD (all sizes by opsize), AAA ..., LAHF, SAHF, CPUID, MSR, TSC and the like
 *   stack instructions                      rSP; opsize is the size of one slot
 *   MASKMOVQ, MASKMOVDQU                    rDI with seg
 *   BLENDVPS, BLENDVPD, PBLENDVB, SHA256RNDS2  XMM0
 *   PCMPxSTRx                               EAX, EDX (64 bits with W); ECX or XMM0
 *   MULX                                    EDX/RDX
 *   x87 instructions                        ST(0) where ops[] names no destination
 * Shifts list CL or the constant 1, IN and OUT list DX, AL/AX/EAX; ENTER lists both immediates.
 */
struct Insn {
    InsnExec *exec;       /* for the executor; NULL when decoded */
    const void *aux;      /* the same: what its handler keeps with the instruction */
    int64_t disp;         /* sign-extended; absolute addresses (opcodes A0..A3) zero-extended */
    int64_t imm;          /* extended as the instruction uses it */
    uint32_t flags;       /* INSN_* */
    uint16_t op;          /* InsnOp */
    uint16_t imm2;        /* far selector, nesting level of ENTER, second immediate */
    uint16_t mem_size;    /* bytes accessed at the memory operand; element of a string instruction;
                             0 for an address that is not accessed and for the XSAVE area */
    uint16_t eflags_read; /* EFL_*; read, or passed through on some path or some processor */
    uint16_t eflags_written;            /* set to a defined value */
    uint16_t eflags_undefined;          /* changed, but the manuals do not say to what */
    InsnOperand ops[INSN_MAX_OPERANDS]; /* destination first, in Intel's order */
    uint8_t nops;
    uint8_t opsize;           /* effective operand size: 1 for byte forms, 2, 4, 8 */
    uint8_t addrsize;         /* 2, 4, 8 */
    uint8_t cond;             /* condition code of JCC, SETCC, CMOVCC: 0 (O) .. 15 (NLE) */
    uint8_t base;             /* register number, INSN_REG_RIP or INSN_REG_NONE */
    uint8_t index;            /* register number or INSN_REG_NONE */
    uint8_t scale : 4;        /* 1, 2, 4, 8 */
    uint8_t index_kind : 4;   /* OPND_GPR, or OPND_XMM, OPND_YMM for VSIB */
    uint8_t seg : 4;          /* segment of the memory access after all rules: an override, else
                                 SS or DS; in 64-bit mode only FS and GS override */
    uint8_t seg_override : 4; /* last segment prefix as it stood, INSN_SEG_NONE without */
    uint8_t prefixes;         /* INSN_PFX_* */
    uint8_t rex;              /* the whole REX byte, 0 without */
    uint8_t vvvv : 4;         /* VEX.vvvv, already inverted; bit 3 is ignored outside 64-bit mode */
    uint8_t vl : 2;           /* VEX.L */
    uint8_t pp : 2;           /* 0 none, 1 66, 2 F3, 3 F2: mandatory prefix or VEX.pp */
    uint8_t map;              /* InsnMap */
    uint8_t opcode;
    uint8_t modrm;      /* 0 when off_modrm is 0 */
    uint8_t feature;    /* InsnFeature */
    uint8_t insn_class; /* InsnClass */
    uint8_t mem_align;  /* memory operand misaligned to this: #GP; 1 when any address will do */
    uint8_t off_opcode; /* offsets into raw[]; the last opcode byte */
    uint8_t off_modrm;  /* 0: none, and so for the two below */
    uint8_t off_disp;
    uint8_t off_imm;
    uint8_t disp_size : 4; /* bytes */
    uint8_t imm_size : 4;  /* bytes of all immediates together */
    uint8_t len;
    uint8_t raw[INSN_MAX_LENGTH];
    uint16_t form; /* the table row, see insn_form() */
};

_Static_assert(sizeof(Insn) <= 104, "millions of these are cached");

/* Everything but the bytes that decides how bytes decode. An Insn is valid for one DecodeMode. */
typedef struct DecodeMode {
    uint8_t code_size;   /* 2, 4 or 8: CS.D, or 64-bit mode */
    bool protected_mode; /* CR0.PE = 1 and EFLAGS.VM = 0. Otherwise VEX and the descriptor
                            instructions (ARPL, LAR, LLDT, SLDT, ...) do not exist. */
    InsnFeatures features;
} DecodeMode;

/*
 * Order of the checks. Bytes are taken one by one until the instruction is complete. A byte beyond
 * `avail` gives TRUNCATED, so the caller's page fault on it comes before any #UD or #GP; a 16th
 * byte gives TOO_LONG (#GP(0)), before any #UD. #UD is looked at when all bytes are there: an
 * opcode without meaning ends with its opcode byte, or with its ModRM byte when it belongs to a
 * group. Faults that depend on CPU state (CPL, CR0, CR4, XCR0, alignment) are the executor's, by
 * class and flags above.
 */
typedef enum InsnStatus {
    INSN_OK,
    INSN_UD,        /* #UD. out->len is the length that was looked at; out->op is OP_UD0, OP_UD1,
                       OP_UD2 for those, else OP_INVALID */
    INSN_TOO_LONG,  /* more than 15 bytes: #GP(0) */
    INSN_TRUNCATED, /* `avail` (under 15) bytes do not make an instruction yet */
} InsnStatus;

/* Decodes one instruction from `avail` bytes; more than 15 are never read. *out is written whole
 * for INSN_OK and INSN_UD, and is garbage otherwise. */
InsnStatus insn_decode(const DecodeMode *mode, const uint8_t *bytes, size_t avail, Insn *out);

/* Mnemonic of an operation, in no particular case; conditions and size suffixes are the printer's.
 */
const char *insn_op_name(InsnOp op);

/* Lower-case name of a feature ("sse4_1"); NULL beyond the end. */
const char *insn_feature_name(InsnFeature feature);

/*
 * The tables, one InsnForm a row: for whoever wants to walk all encodings (test generators,
 * documentation). insn_form(i) for i from 0 to insn_form_count() - 1.
 * A constraint is -1 where the row does not care.
 */
typedef struct InsnForm {
    uint16_t op;
    uint8_t map;
    uint8_t opcode;
    bool vex;
    bool has_modrm;
    int8_t pp;      /* 0..3 as in Insn.pp */
    int8_t mod_reg; /* 0: memory only, 1: register only */
    int8_t reg, rm; /* ModRM fields that extend the opcode */
    int8_t w, l;    /* W, VEX.L */
    int8_t rex_b;
    int8_t mode64; /* 0: not in 64-bit mode, 1: only there */
    uint8_t feature;
    uint8_t insn_class;
    uint32_t flags;   /* INSN_*; those that depend on the encoding are not set here */
    uint8_t imm_size; /* with a 32-bit operand and address size */
} InsnForm;

size_t insn_form_count(void);
bool insn_form(size_t index, InsnForm *form);

/*
 * Builds the bytes of one instance of a form: the prefixes the row needs (66/F2/F3, REX or VEX),
 * the opcode, and `tail` behind it: ModRM (into which the fields that the form fixes are put), SIB,
 * displacement, immediates. rex_bits: R, X, B as 4, 2, 1; vvvv: VEX register (not inverted).
 * Constraints that are -1 may be chosen by filling them in before the call: l = 1 for 256 bits,
 * w = 1 for REX.W or VEX.W. Returns the length; 0 when the mode has no such instance (W in 32-bit
 * code), when ModRM contradicts the form (register for memory) or nothing would be left of 15
 * bytes.
 */
size_t insn_form_encode(const InsnForm *form, uint8_t code_size, uint8_t rex_bits, uint8_t vvvv,
                        const uint8_t *tail, size_t tail_size, uint8_t bytes[INSN_MAX_LENGTH]);

#endif
