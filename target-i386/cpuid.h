/*
 * CPU models: what CPUID shows, and with it what the decoder and the executor accept.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_CPUID_H
#define TARGET_I386_CPUID_H

#include "target-i386/cpu.h"

/* The CPUID registers that consist of feature bits. */
typedef enum FeatureWord {
    FEAT_1_EDX,
    FEAT_1_ECX,
    FEAT_6_EAX,
    FEAT_7_EBX,
    FEAT_7_ECX,
    FEAT_7_EDX,
    FEAT_D_1_EAX,
    FEAT_80000001_EDX,
    FEAT_80000001_ECX,
    FEAT_80000007_EDX,
    FEAT_80000008_EBX,
    FEAT_80000021_EAX,
    FEATURE_WORDS
} FeatureWord;

struct CpuModel {
    char name[16];
    char vendor[13];
    char brand[49];
    unsigned family, model, stepping;
    uint32_t level, xlevel; /* highest basic and extended leaf; xlevel 0: none */
    uint8_t phys_bits;
    uint32_t words[FEATURE_WORDS];
    InsnFeatures insn;
    bool amd; /* AMD's ways where the two vendors differ: SYSCALL, SYSENTER, MSRs */
    uint32_t cr4_valid;
    uint64_t xcr0_valid;
};

/* Parses "NAME[,+feature][,-feature]..."; NULL on error. The result is freed with free(). */
CpuModel *cpu_model_parse(const char *text, Error **errp);
/* The model's name; NULL beyond the last. */
const char *cpu_model_name(unsigned n);
/* `-cpu help` on stdout: models and features. */
void cpu_model_help(void);

/* What the CPUID instruction returns for EAX = leaf, ECX = subleaf. */
typedef struct CpuidResult {
    uint32_t eax, ebx, ecx, edx;
} CpuidResult;
CpuidResult cpu_cpuid(CPUX86State *env, uint32_t leaf, uint32_t subleaf);

static inline bool cpu_has_bit(const CPUX86State *env, FeatureWord word, unsigned bit)
{
    return env->model->words[word] >> bit & 1;
}

/* Bits that the executor asks for by name. */
enum {
    F1D_VME = 1,
    F1D_DE = 2,
    F1D_PSE = 3,
    F1D_TSC = 4,
    F1D_MSR = 5,
    F1D_PAE = 6,
    F1D_MCE = 7,
    F1D_CX8 = 8,
    F1D_APIC = 9,
    F1D_SEP = 11,
    F1D_MTRR = 12,
    F1D_PGE = 13,
    F1D_MCA = 14,
    F1D_PAT = 16,
    F1D_PSE36 = 17,
    F1D_FXSR = 24,
    F1D_SSE = 25,
    F1C_MONITOR = 3,
    F1C_PCID = 17,
    F1C_X2APIC = 21,
    F1C_TSC_DEADLINE = 24,
    F1C_XSAVE = 26,
    F1C_OSXSAVE = 27,
    F1C_AVX = 28,
    F1C_HYPERVISOR = 31,
    F7B_FSGSBASE = 0,
    F7B_TSC_ADJUST = 1,
    F7B_SMEP = 7,
    F7B_INVPCID = 10,
    F7B_SMAP = 20,
    F7C_UMIP = 2,
    FXD_SYSCALL = 11,
    FXD_NX = 20,
    FXD_FFXSR = 25,
    FXD_PDPE1GB = 26,
    FXD_RDTSCP = 27,
    FXD_LM = 29,
    FXE_AUTOIBRS = 8,
    FD1_XSAVEOPT = 0,
    FD1_XSAVEC = 1,
    FD1_XGETBV1 = 2,
};

#endif
