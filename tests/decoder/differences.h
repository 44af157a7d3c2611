/*
 * Where the decoder and Zydis differ on purpose, each with its reason. "The host" is an AMD Zen 4,
 * on which the encodings in question were run.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_DECODER_DIFFERENCES_H
#define TESTS_DECODER_DIFFERENCES_H

#include <Zydis/Zydis.h>
#include <string.h>

#include "target-i386/insn.h"

typedef enum DiffKind {
    DIFF_ONLY_ZYDIS,
    DIFF_ONLY_VOLE,
    DIFF_LENGTH,
    DIFF_NAME,
    DIFF_OPSIZE,
    DIFF_ADDRSIZE,
    DIFF_OPERAND,
    DIFF_MEMORY,
    DIFF_MEMSIZE,
    DIFF_IMMEDIATE,
    DIFF_ACCESS,
    DIFF_FLAGS_READ,
    DIFF_FLAGS_WRITTEN,
    DIFF_KINDS,
} DiffKind;

/* Mnemonics that are spelt differently. */
static const struct {
    InsnOp op;
    const char *zydis;
} aliases[] = {
    {OP_JMP_FAR, "jmp"},
    {OP_JMP_FAR_IND, "jmp"},
    {OP_CALL_FAR, "call"},
    {OP_CALL_FAR_IND, "call"},
    {OP_RETF, "ret"},
    {OP_FNENI, "feni8087_nop"},
    {OP_FNDISI, "fdisi8087_nop"},
    {OP_FNSETPM, "fsetpm287_nop"},
};

typedef struct DiffContext {
    int bits;
    const Insn *insn;
    const ZydisDecodedInstruction *zi; /* valid unless the kind is DIFF_ONLY_VOLE */
} DiffContext;

/* A difference is known when its kind is among `kinds`, Zydis' mnemonic in `names` (NULL: any; a
 * trailing asterisk stands for any ending) and `when` holds. */
typedef struct Difference {
    uint32_t kinds; /* bit set of DiffKind */
    const char *names;
    bool (*when)(const DiffContext *);
    const char *reason;
} Difference;

static bool is_xchg(const DiffContext *c)
{
    return c->insn->op == OP_XCHG;
}

static bool encoding_left_out(const DiffContext *c)
{
    return c->zi->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX ||
           c->zi->encoding == ZYDIS_INSTRUCTION_ENCODING_MVEX ||
           c->zi->encoding == ZYDIS_INSTRUCTION_ENCODING_XOP ||
           c->zi->encoding == ZYDIS_INSTRUCTION_ENCODING_3DNOW;
}

static bool knights_corner(const DiffContext *c)
{
    ZydisMnemonic m = c->zi->mnemonic;

    return c->zi->meta.isa_ext == ZYDIS_ISA_EXT_KNC || c->zi->meta.isa_ext == ZYDIS_ISA_EXT_KNCE ||
           c->zi->meta.isa_ext == ZYDIS_ISA_EXT_KNCV ||
           c->zi->meta.isa_set == ZYDIS_ISA_SET_KNCJKBR ||
           c->zi->meta.isa_set == ZYDIS_ISA_SET_KNCSTREAM ||
           (c->zi->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX &&
            (m == ZYDIS_MNEMONIC_POPCNT || m == ZYDIS_MNEMONIC_LZCNT || m == ZYDIS_MNEMONIC_TZCNT));
}

static bool no_base_with_rex_b(const DiffContext *c)
{
    return c->bits == 64 && c->insn->addrsize == 4 && c->insn->base == INSN_REG_NONE &&
           c->insn->rex & 1;
}

static bool no_base_with_vex_b(const DiffContext *c)
{
    return c->bits == 64 && c->insn->addrsize == 4 && c->insn->base == INSN_REG_NONE &&
           c->insn->prefixes & INSN_PFX_VEX && c->insn->raw[c->insn->off_opcode - 3] == 0xc4;
}

static bool far_pointer_w(const DiffContext *c)
{
    return c->insn->opsize == 8 && c->insn->mem_size == 6;
}

static bool near_branch_66(const DiffContext *c)
{
    return c->bits == 64 && c->insn->prefixes & INSN_PFX_66 && c->insn->opsize == 2;
}

static bool selects_by_prefix(const DiffContext *c)
{
    InsnForm form;
    return c->insn->opsize == 4 && insn_form(c->insn->form, &form) && (form.vex || form.pp >= 0);
}

static bool shift_by_known_count(const DiffContext *c)
{
    return c->insn->ops[c->insn->nops - 1].kind == OPND_IMM;
}

static bool zydis_wide(const DiffContext *c)
{
    return c->bits == 64 && c->zi->operand_width == 64 && c->insn->opsize == 4;
}

#define KIND(k) (1u << DIFF_##k)

static const Difference known[] = {
    /* Instructions left out: #UD, as CPUID does not show them. */
    {KIND(ONLY_ZYDIS), NULL, encoding_left_out, "EVEX, MVEX, XOP and 3DNow! encodings"},
    {KIND(ONLY_ZYDIS), NULL, knights_corner, "VEX instructions of Knights Corner"},
    {KIND(ONLY_ZYDIS), "femms", NULL, "3DNow! without an encoding of its own"},
    {KIND(ONLY_ZYDIS), "kadd* kand* kmov* knot* kor* kshift* ktest* kunpck* kxnor* kxor*", NULL,
     "AVX-512 mask registers"},
    {KIND(ONLY_ZYDIS), "vpdpbusd vpdpbusds vpdpwssd vpdpwssds", NULL, "AVX-VNNI"},
    {KIND(ONLY_ZYDIS),
     "vfmaddps vfmaddpd vfmaddss vfmaddsd vfmsubps vfmsubpd vfmsubss vfmsubsd vfnmaddps vfnmaddpd "
     "vfnmaddss vfnmaddsd vfnmsubps vfnmsubpd vfnmsubss vfnmsubsd vfmaddsubps vfmaddsubpd "
     "vfmsubaddps vfmsubaddpd vpermil2ps vpermil2pd",
     NULL, "FMA4 and XOP's VPERMIL2"},
    {KIND(ONLY_ZYDIS), "ldtilecfg sttilecfg tile* tdp*", NULL, "AMX"},
    {KIND(ONLY_ZYDIS), "xbegin xabort xend xtest xsusldtrk xresldtrk", NULL, "TSX"},
    {KIND(ONLY_ZYDIS), "wrss* wruss* rstorssp saveprevssp setssbsy clrssbsy incssp*", NULL,
     "CET shadow stacks"},
    {KIND(NAME), "rdssp*", NULL, "CET shadow stacks: RDSSP stays the NOP it is without them"},
    {KIND(ONLY_ZYDIS), "umonitor umwait tpause", NULL, "WAITPKG"},
    {KIND(ONLY_ZYDIS),
     "aesenc*kl aesdec*kl loadiwkey encodekey* aesencwide* aesdecwide* aesenc128kl "
     "aesenc256kl aesdec128kl aesdec256kl",
     NULL, "Key Locker"},
    {KIND(ONLY_ZYDIS), "enqcmd enqcmds ptwrite pconfig hreset", NULL,
     "ENQCMD, PTWRITE, PCONFIG, HRESET"},
    {KIND(ONLY_ZYDIS), "encls enclu enclv tdcall seamops seamret seamcall", NULL, "SGX and TDX"},
    {KIND(ONLY_ZYDIS), "uiret stui clui testui senduipi", NULL, "user interrupts"},
    {KIND(ONLY_ZYDIS), "invlpgb tlbsync rmpadjust rmpupdate psmash pvalidate mcommit", NULL,
     "AMD's INVLPGB, SNP and MCOMMIT"},
    {KIND(ONLY_ZYDIS), "xcrypt_* xstore xsha* montmul", NULL, "VIA PadLock"},
    {KIND(ONLY_ZYDIS), "vpextrd vpextrq vpinsrd vpinsrq", NULL,
     "W1 outside 64-bit mode is #UD on the host, the 32-bit form for Zydis"},
    {KIND(ONLY_ZYDIS), "nop", NULL,
     "PREFETCH (0F 0D) with a register is #UD on the host, a NOP on Intel processors"},

    {KIND(NAME), "wbinvd", NULL, "Zydis 4.0 prints WBNOINVD as WBINVD whatever its mode"},

    /* Addresses and sizes. */
    {KIND(MEMORY), NULL, no_base_with_rex_b,
     "SIB without base, 32-bit address, REX.B: the host adds no R13, Zydis does"},
    {KIND(MEMORY), NULL, no_base_with_vex_b, "SIB without base, 32-bit address, VEX.B: the same"},
    {KIND(MEMSIZE), "call jmp lss lfs lgs", far_pointer_w,
     "far pointers have no 64-bit offset on the host, W changes nothing"},
    {KIND(OPSIZE) | KIND(OPERAND) | KIND(MEMSIZE), "j* call jmp ret loop loope loopne",
     near_branch_66,
     "near branches with 66 in 64-bit mode are 16 bits wide on the host in all their forms; Zydis' "
     "AMD mode knows the displacement only"},
    {KIND(MEMSIZE), "clflush clflushopt clwb", NULL,
     "permissions are checked for one byte; Zydis counts the whole line"},
    {KIND(MEMSIZE), "lea invlpg", NULL, "an address that is not accessed has no size"},
    {KIND(MEMSIZE), "xsave* xrstor*", NULL, "the XSAVE area has no fixed size"},
    {KIND(OPSIZE), NULL, selects_by_prefix,
     "instructions that select by mandatory prefix have no 16-bit form; Zydis counts 66 and the "
     "code size as for others"},
    {KIND(MEMORY), "call jmp", NULL,
     "CET's notrack: Zydis takes the DS prefix for that alone; without CET it is an override"},
    {KIND(MEMORY), "lea", NULL, "LEA's segment has no meaning; Zydis ignores a prefix"},
    {KIND(OPSIZE), "clflush clflushopt clwb prefetch* crc32", NULL, "byte operand: size 1"},
    {KIND(OPSIZE), "cmpxchg8b invlpg nop syscall rdpid", NULL, "operand size has no meaning"},
    {KIND(OPSIZE), "insd outsd", zydis_wide, "INS and OUTS have no 64-bit form"},

    /* Operands. */
    {KIND(OPERAND), "clzero invlpga skinit vmload vmrun vmsave", NULL,
     "Zydis names the implicit registers"},
    {KIND(OPERAND), "lar lsl", NULL, "the source is 16 bits of the register"},
    {KIND(OPERAND), "movmskps movmskpd", NULL, "zero-extended to 64 bits with or without W"},
    {KIND(OPERAND), "movsxd", NULL,
     "with 66 the host reads 32 bits and truncates; Zydis takes a 16-bit register"},
    {KIND(OPERAND), "nop", NULL, "Zydis lists a second operand for the reserved NOPs"},

    /* Accesses. */
    {KIND(ACCESS), "cmov* fcmov*", NULL,
     "the destination counts as read: it stays when the condition is false"},
    {KIND(ACCESS), "bsf bsr lar lsl", NULL,
     "the destination counts as read: it stays for a zero source, an invalid selector"},
    {KIND(ACCESS), "cvtsi2ss cvtsi2sd", NULL,
     "Zydis counts the part of the register that is kept, for these two only"},
    {KIND(ACCESS), "movhps movhpd movlhps", NULL, "the low half of the destination is kept"},
    {KIND(ACCESS), "extrq insertq", NULL, "reads its first operand"},
    {KIND(ACCESS), "ffree ffreep", NULL, "only the tag is touched"},
    {KIND(ACCESS), "nop prefetch* invlpg", NULL, "no access takes place"},

    {KIND(NAME), "pause", is_xchg, "on the host F3 41 90 exchanges R8 and RAX"},

    /* EFLAGS. */
    {KIND(FLAGS_READ), "int int1 int3", NULL, "pushes EFLAGS"},
    {KIND(FLAGS_READ) | KIND(FLAGS_WRITTEN), "rol ror rcl rcr shl shr sar shld shrd",
     shift_by_known_count, "known counts: zero leaves the flags alone, one defines OF"},
    {KIND(FLAGS_WRITTEN), "bextr", NULL, "SDM: ZF set, AF SF PF undefined, CF OF cleared"},
    {KIND(FLAGS_WRITTEN), "sbb", NULL, "AF is defined; Zydis' entry for opcode 18 says it is not"},
    {KIND(FLAGS_WRITTEN), "vptest vtestps vtestpd", NULL,
     "SDM: AF OF PF SF are cleared; Zydis has it for PTEST only"},
    {KIND(FLAGS_READ) | KIND(FLAGS_WRITTEN), "syscall sysret", NULL,
     "SYSCALL saves and masks EFLAGS"},
    {KIND(FLAGS_WRITTEN), "inve* invvpid vm*", NULL,
     "VMX instructions exist only to be #UD, their flags are not described"},
};

#endif
