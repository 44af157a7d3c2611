/*
 * What the decoder's tables offer beside decoding: features by name, and encoding of a table row
 * for generators of test cases.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/insn.h"

#include <string.h>

const char *insn_feature_name(InsnFeature feature)
{
    static const char *const names[CPUF_COUNT] = {
        [CPUF_ALWAYS] = "386",
        [CPUF_I486] = "486",
        [CPUF_CPUID] = "cpuid",
        [CPUF_FPU] = "fpu",
        [CPUF_TSC] = "tsc",
        [CPUF_MSR] = "msr",
        [CPUF_CX8] = "cx8",
        [CPUF_SEP] = "sep",
        [CPUF_CMOV] = "cmov",
        [CPUF_P6] = "p6",
        [CPUF_MMX] = "mmx",
        [CPUF_MMXEXT] = "mmxext",
        [CPUF_FXSR] = "fxsr",
        [CPUF_SSE] = "sse",
        [CPUF_SSE2] = "sse2",
        [CPUF_CLFSH] = "clflush",
        [CPUF_SSE3] = "sse3",
        [CPUF_MONITOR] = "monitor",
        [CPUF_SSSE3] = "ssse3",
        [CPUF_SSE41] = "sse4_1",
        [CPUF_SSE42] = "sse4_2",
        [CPUF_SSE4A] = "sse4a",
        [CPUF_POPCNT] = "popcnt",
        [CPUF_LZCNT] = "lzcnt",
        [CPUF_MOVBE] = "movbe",
        [CPUF_CX16] = "cx16",
        [CPUF_AES] = "aes",
        [CPUF_PCLMULQDQ] = "pclmulqdq",
        [CPUF_SHA] = "sha_ni",
        [CPUF_GFNI] = "gfni",
        [CPUF_AVX] = "avx",
        [CPUF_F16C] = "f16c",
        [CPUF_FMA] = "fma",
        [CPUF_AVX2] = "avx2",
        [CPUF_VAES] = "vaes",
        [CPUF_VPCLMULQDQ] = "vpclmulqdq",
        [CPUF_BMI1] = "bmi1",
        [CPUF_BMI2] = "bmi2",
        [CPUF_ADX] = "adx",
        [CPUF_RDRAND] = "rdrand",
        [CPUF_RDSEED] = "rdseed",
        [CPUF_RDTSCP] = "rdtscp",
        [CPUF_RDPID] = "rdpid",
        [CPUF_XSAVE] = "xsave",
        [CPUF_XSAVEOPT] = "xsaveopt",
        [CPUF_XSAVEC] = "xsavec",
        [CPUF_XSAVES] = "xsaves",
        [CPUF_FSGSBASE] = "fsgsbase",
        [CPUF_INVPCID] = "invpcid",
        [CPUF_SMAP] = "smap",
        [CPUF_SYSCALL] = "syscall",
        [CPUF_LM] = "lm",
        [CPUF_LAHF_LM] = "lahf_lm",
        [CPUF_PREFETCHW] = "prefetchw",
        [CPUF_CLFLUSHOPT] = "clflushopt",
        [CPUF_CLWB] = "clwb",
        [CPUF_CLZERO] = "clzero",
        [CPUF_WBNOINVD] = "wbnoinvd",
        [CPUF_SERIALIZE] = "serialize",
        [CPUF_MOVDIRI] = "movdiri",
        [CPUF_MOVDIR64B] = "movdir64b",
        [CPUF_PKU] = "pku",
        [CPUF_MONITORX] = "monitorx",
        [CPUF_RDPRU] = "rdpru",
        [CPUF_VMX] = "vmx",
        [CPUF_SVM] = "svm",
        [CPUF_SMX] = "smx",
    };
    return (unsigned)feature < CPUF_COUNT ? names[feature] : NULL;
}

static size_t put_vex(const InsnForm *form, uint8_t code_size, uint8_t rex_bits, uint8_t vvvv,
                      uint8_t *bytes)
{
    uint8_t rxb = code_size == 8 ? rex_bits : 0;

    bytes[0] = 0xc4;
    bytes[1] = (~rxb & 7) << 5 | form->map;
    bytes[2] = (form->w == 1) << 7 | (~vvvv & (code_size == 8 ? 15 : 7)) << 3 |
               (form->l == 1) << 2 | (form->pp > 0 ? form->pp : 0);
    if (code_size != 8)
        bytes[2] |= 0x40;
    return 3;
}

static size_t put_legacy(const InsnForm *form, uint8_t code_size, uint8_t rex_bits, uint8_t *bytes)
{
    static const uint8_t prefixes[4] = {0, 0x66, 0xf3, 0xf2};
    size_t n = 0;

    if (form->pp == 1)
        bytes[n++] = 0x66;
    if (form->pp > 1)
        bytes[n++] = prefixes[form->pp];
    if (code_size == 8) {
        uint8_t rex = (form->w == 1) << 3 | (rex_bits & 7) | (form->rex_b == 1);
        if (form->rex_b == 0)
            rex &= ~1;
        if (rex)
            bytes[n++] = 0x40 | rex;
    }
    if (form->map != INSN_MAP_1)
        bytes[n++] = 0x0f;
    if (form->map == INSN_MAP_0F38)
        bytes[n++] = 0x38;
    else if (form->map == INSN_MAP_0F3A)
        bytes[n++] = 0x3a;
    return n;
}

size_t insn_form_encode(const InsnForm *form, uint8_t code_size, uint8_t rex_bits, uint8_t vvvv,
                        const uint8_t *tail, size_t tail_size, uint8_t bytes[INSN_MAX_LENGTH])
{
    size_t n, modrm_at;

    if (form->mode64 >= 0 && form->mode64 != (code_size == 8))
        return 0;
    if ((form->w == 1 && !form->vex && code_size != 8) || (form->rex_b == 1 && code_size != 8))
        return 0;
    n = form->vex ? put_vex(form, code_size, rex_bits, vvvv, bytes)
                  : put_legacy(form, code_size, rex_bits, bytes);
    bytes[n++] = form->opcode;
    modrm_at = n;
    if (n + tail_size > INSN_MAX_LENGTH || (form->has_modrm && tail_size == 0))
        return 0;
    if (tail_size)
        memcpy(bytes + n, tail, tail_size);
    if (form->has_modrm) {
        uint8_t *modrm = &bytes[modrm_at];
        if (form->mod_reg >= 0 && form->mod_reg != (*modrm >= 0xc0))
            return 0;
        if (form->reg >= 0)
            *modrm = (*modrm & ~0x38) | form->reg << 3;
        if (form->rm >= 0)
            *modrm = (*modrm & ~0x07) | form->rm;
    }
    return n + tail_size;
}
