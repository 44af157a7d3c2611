/*
 * CPU models, and the CPUID instruction.
 *
 * A model is its feature words; everything else (what the decoder accepts, which CR4 bits exist,
 * which XSAVE components) follows from them. The table of features below is also the list of what
 * the executor does: a feature that is not in it cannot be had. `max` is that list cut down to what
 * the host has, because vector instructions run on the host.
 *
 * SDM vol. 2, CPUID; AMD APM vol. 3, appendix E. Topology: each CPU is a package of one core and
 * one thread. The hypervisor leaves are Vole's own: signature, and the frequencies of TSC and APIC
 * timer.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/cpuid.h"

#include <cpuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target-i386/sysinsn.h"
#include "target-i386/xsave.h"
#include "util/loop.h"

/* ---- features ---- */

typedef struct Feature {
    const char *name; /* as Linux' /proc/cpuinfo calls it, '_' for '.' */
    uint8_t word;     /* FeatureWord */
    uint8_t bit;
    uint8_t insn; /* InsnFeature, CPUF_ALWAYS: none */
    bool host;    /* runs on the host, which has to have it */
} Feature;

#define SYS(word, bit, name, insn)                                                                 \
    {                                                                                              \
        name, FEAT_##word, bit, CPUF_##insn, false                                                 \
    }
#define HOST(word, bit, name, insn)                                                                \
    {                                                                                              \
        name, FEAT_##word, bit, CPUF_##insn, true                                                  \
    }

static const Feature features[] = {
    SYS(1_EDX, 0, "fpu", FPU),
    SYS(1_EDX, 1, "vme", ALWAYS),
    SYS(1_EDX, 2, "de", ALWAYS),
    SYS(1_EDX, 3, "pse", ALWAYS),
    SYS(1_EDX, 4, "tsc", TSC),
    SYS(1_EDX, 5, "msr", MSR),
    SYS(1_EDX, 6, "pae", ALWAYS),
    SYS(1_EDX, 7, "mce", ALWAYS),
    SYS(1_EDX, 8, "cx8", CX8),
    SYS(1_EDX, 9, "apic", ALWAYS),
    SYS(1_EDX, 11, "sep", SEP),
    SYS(1_EDX, 12, "mtrr", ALWAYS),
    SYS(1_EDX, 13, "pge", ALWAYS),
    SYS(1_EDX, 14, "mca", ALWAYS),
    SYS(1_EDX, 15, "cmov", CMOV),
    SYS(1_EDX, 16, "pat", ALWAYS),
    SYS(1_EDX, 17, "pse36", ALWAYS),
    SYS(1_EDX, 19, "clflush", CLFSH),
    HOST(1_EDX, 23, "mmx", MMX),
    SYS(1_EDX, 24, "fxsr", FXSR),
    HOST(1_EDX, 25, "sse", SSE),
    HOST(1_EDX, 26, "sse2", SSE2),
    HOST(1_ECX, 0, "pni", SSE3),
    HOST(1_ECX, 1, "pclmulqdq", PCLMULQDQ),
    SYS(1_ECX, 3, "monitor", MONITOR),
    HOST(1_ECX, 9, "ssse3", SSSE3),
    HOST(1_ECX, 12, "fma", FMA),
    SYS(1_ECX, 13, "cx16", CX16),
    SYS(1_ECX, 17, "pcid", ALWAYS),
    HOST(1_ECX, 19, "sse4_1", SSE41),
    HOST(1_ECX, 20, "sse4_2", SSE42),
    SYS(1_ECX, 21, "x2apic", ALWAYS),
    SYS(1_ECX, 22, "movbe", MOVBE),
    HOST(1_ECX, 23, "popcnt", POPCNT),
    SYS(1_ECX, 24, "tsc_deadline_timer", ALWAYS),
    HOST(1_ECX, 25, "aes", AES),
    HOST(1_ECX, 26, "xsave", XSAVE),
    HOST(1_ECX, 28, "avx", AVX),
    HOST(1_ECX, 29, "f16c", F16C),
    HOST(1_ECX, 30, "rdrand", RDRAND),
    SYS(1_ECX, 31, "hypervisor", ALWAYS),
    SYS(6_EAX, 2, "arat", ALWAYS),
    SYS(7_EBX, 0, "fsgsbase", FSGSBASE),
    SYS(7_EBX, 1, "tsc_adjust", ALWAYS),
    HOST(7_EBX, 3, "bmi1", BMI1),
    HOST(7_EBX, 5, "avx2", AVX2),
    SYS(7_EBX, 7, "smep", ALWAYS),
    HOST(7_EBX, 8, "bmi2", BMI2),
    SYS(7_EBX, 9, "erms", ALWAYS),
    SYS(7_EBX, 10, "invpcid", INVPCID),
    HOST(7_EBX, 18, "rdseed", RDSEED),
    HOST(7_EBX, 19, "adx", ADX),
    SYS(7_EBX, 20, "smap", SMAP),
    SYS(7_EBX, 23, "clflushopt", CLFLUSHOPT),
    SYS(7_EBX, 24, "clwb", CLWB),
    HOST(7_EBX, 29, "sha_ni", SHA),
    SYS(7_ECX, 2, "umip", ALWAYS),
    HOST(7_ECX, 8, "gfni", GFNI),
    HOST(7_ECX, 9, "vaes", VAES),
    HOST(7_ECX, 10, "vpclmulqdq", VPCLMULQDQ),
    SYS(7_ECX, 22, "rdpid", RDPID),
    SYS(7_EDX, 4, "fsrm", ALWAYS),
    SYS(D_1_EAX, 0, "xsaveopt", XSAVEOPT),
    SYS(D_1_EAX, 1, "xsavec", XSAVEC),
    SYS(D_1_EAX, 2, "xgetbv1", ALWAYS),
    SYS(80000001_EDX, 11, "syscall", SYSCALL),
    SYS(80000001_EDX, 20, "nx", ALWAYS),
    HOST(80000001_EDX, 22, "mmxext", MMXEXT),
    SYS(80000001_EDX, 26, "pdpe1gb", ALWAYS),
    SYS(80000001_EDX, 27, "rdtscp", RDTSCP),
    SYS(80000001_EDX, 29, "lm", LM),
    SYS(80000001_ECX, 0, "lahf_lm", LAHF_LM),
    HOST(80000001_ECX, 5, "abm", LZCNT),
    HOST(80000001_ECX, 6, "sse4a", SSE4A),
    SYS(80000001_ECX, 8, "3dnowprefetch", PREFETCHW),
    SYS(80000007_EDX, 8, "invtsc", ALWAYS),
    SYS(80000008_EBX, 0, "clzero", CLZERO),
    SYS(80000008_EBX, 9, "wbnoinvd", WBNOINVD),
    /* AMD's; they spare kernels their work against speculation, which does not exist here. */
    SYS(80000021_EAX, 2, "lfence_rdtsc", ALWAYS),
    SYS(80000021_EAX, 6, "null_sel_clr_base", ALWAYS),
    SYS(80000021_EAX, 8, "autoibrs", ALWAYS),
    SYS(80000021_EAX, 29, "srso_no", ALWAYS),
};
enum { FEATURES = sizeof(features) / sizeof(features[0]) };

/* Other names people use. */
static const char *const aliases[][2] = {
    {"sse3", "pni"},           {"clfsh", "clflush"}, {"lzcnt", "abm"},
    {"sha", "sha_ni"},         {"i64", "lm"},        {"tsc_deadline", "tsc_deadline_timer"},
    {"pclmuldq", "pclmulqdq"}, {"xd", "nx"},         {"nonstop_tsc", "invtsc"},
};

#define BIT(n) (1u << (n))

static void host_words(uint32_t words[FEATURE_WORDS])
{
    unsigned a, b, c, d;

    memset(words, 0, FEATURE_WORDS * sizeof(words[0]));
    if (__get_cpuid(1, &a, &b, &c, &d)) {
        words[FEAT_1_EDX] = d;
        words[FEAT_1_ECX] = c;
        if (!(c & BIT(F1C_OSXSAVE))) {
            words[FEAT_1_ECX] &= ~(BIT(F1C_XSAVE) | BIT(F1C_AVX) | BIT(12) | BIT(29));
        }
    }
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        words[FEAT_7_EBX] = b;
        words[FEAT_7_ECX] = c;
        words[FEAT_7_EDX] = d;
    }
    if (__get_cpuid_count(0xd, 1, &a, &b, &c, &d)) {
        words[FEAT_D_1_EAX] = a;
    }
    if (__get_cpuid(0x80000001, &a, &b, &c, &d)) {
        words[FEAT_80000001_EDX] = d;
        words[FEAT_80000001_ECX] = c;
    }
    if (words[FEAT_1_EDX] & BIT(F1D_SSE)) {
        words[FEAT_80000001_EDX] |= BIT(22); /* what AMD calls the integer part of SSE */
    }
}

static bool host_has(const uint32_t host[FEATURE_WORDS], const Feature *f)
{
    return !f->host || (host[f->word] >> f->bit & 1);
}

/* ---- models ---- */

typedef struct BaseModel {
    const char *name, *help, *vendor, *brand;
    uint8_t family, model, stepping, phys_bits;
    uint32_t level, xlevel;
    const char *features; /* names, space between */
} BaseModel;

#define F_486      "fpu vme pse "
#define F_PENTIUM  F_486 "de tsc msr mce cx8 mmx apic "
#define F_PENTIUM3 F_PENTIUM "pae sep mtrr pge mca cmov pat pse36 fxsr sse "
#define F_QEMU32                                                                                   \
    "fpu de pse tsc msr mce cx8 pge cmov pat fxsr mmx sse sse2 pae sep apic pni hypervisor "
#define F_QEMU64 F_QEMU32 "mtrr mca clflush pse36 cx16 syscall nx lm lahf_lm x2apic "

static const BaseModel models[] = {
    {"486", "Intel 486DX4", "GenuineIntel", NULL, 4, 8, 0, 32, 1, 0, F_486},
    {"pentium", "Intel Pentium with MMX", "GenuineIntel", NULL, 5, 4, 3, 32, 1, 0, F_PENTIUM},
    {"pentium3", "Intel Pentium III", "GenuineIntel", NULL, 6, 8, 3, 36, 2, 0, F_PENTIUM3},
    {"qemu32", "32-bit CPU with PAE and SSE3", "GenuineIntel", "Vole Virtual CPU", 6, 6, 3, 36, 4,
     0x80000004, F_QEMU32},
    {"qemu64", "64-bit CPU of the first generation", "AuthenticAMD", "Vole Virtual CPU", 15, 107, 1,
     40, 13, 0x80000008, F_QEMU64},
    {"max", "all that this host and Vole can do (default)", NULL, NULL, 0, 0, 0, 0, 13, 0x80000008,
     NULL},
};
enum { MODELS = sizeof(models) / sizeof(models[0]) };

/* Lower case, with '_' for '.' and '-'; and the one name of those that have several. */
static void feature_name(const char *text, size_t len, char name[32])
{
    size_t n = len < 31 ? len : 31;

    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        name[i] = c == '.' || c == '-' ? '_' : c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    name[n] = 0;
    for (unsigned i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
        if (!strcmp(name, aliases[i][0])) {
            strcpy(name, aliases[i][1]);
        }
    }
}

static const Feature *find_feature(const char *name)
{
    for (unsigned i = 0; i < FEATURES; i++) {
        if (!strcmp(features[i].name, name)) {
            return &features[i];
        }
    }
    return NULL;
}

static void add_features(CpuModel *m, const char *list, const uint32_t host[FEATURE_WORDS])
{
    while (*list) {
        char name[32];
        size_t len = strcspn(list, " ");
        feature_name(list, len, name);
        const Feature *f = find_feature(name);
        if (f && host_has(host, f)) {
            m->words[f->word] |= BIT(f->bit);
        }
        list += len + strspn(list + len, " ");
    }
}

/* The host's identity; its features where Vole has them. */
static void init_max(CpuModel *m, const uint32_t host[FEATURE_WORDS])
{
    unsigned a, b, c, d;

    __cpuid(0, a, b, c, d);
    memcpy(m->vendor, &b, 4);
    memcpy(m->vendor + 4, &d, 4);
    memcpy(m->vendor + 8, &c, 4);
    __cpuid(1, a, b, c, d);
    m->family = (a >> 8 & 15) + ((a >> 8 & 15) == 15 ? a >> 20 & 0xff : 0);
    m->model = (a >> 4 & 15) | (a >> 12 & 0xf0);
    m->stepping = a & 15;
    m->phys_bits = 40;
    if (__get_cpuid(0x80000008, &a, &b, &c, &d)) {
        m->phys_bits = (a & 0xff) > 48 ? 48 : (uint8_t)a;
    }
    bool amd = !strcmp(m->vendor, "AuthenticAMD");
    snprintf(m->brand, sizeof(m->brand), "Vole CPU, %s", amd ? "AMD" : "Intel");
    for (unsigned i = 0; i < FEATURES; i++) {
        const Feature *f = &features[i];
        /* MONITOR would make idle loops spin. */
        if (host_has(host, f) && !(f->word == FEAT_1_ECX && f->bit == F1C_MONITOR) &&
            (amd || f->word != FEAT_80000021_EAX)) {
            m->words[f->word] |= BIT(f->bit);
        }
    }
}

static bool word_bit(const CpuModel *m, FeatureWord word, unsigned bit)
{
    return m->words[word] >> bit & 1;
}

/* What follows from the feature words. */
static void derive(CpuModel *m)
{
    m->amd = !strcmp(m->vendor, "AuthenticAMD");
    if (!word_bit(m, FEAT_1_ECX, F1C_XSAVE)) {
        m->words[FEAT_1_ECX] &= ~(BIT(F1C_AVX) | BIT(12) | BIT(29)); /* FMA, F16C */
        m->words[FEAT_D_1_EAX] = 0;
    }
    if (!word_bit(m, FEAT_1_ECX, F1C_AVX)) {
        m->words[FEAT_7_EBX] &= ~BIT(5);
        m->words[FEAT_7_ECX] &= ~(BIT(9) | BIT(10));
    }
    m->insn = (InsnFeatures){{0, 0}};
    for (unsigned i = 0; i < FEATURES; i++) {
        const Feature *f = &features[i];
        if (f->insn != CPUF_ALWAYS && word_bit(m, f->word, f->bit)) {
            insn_features_set(&m->insn, f->insn);
        }
    }
    insn_features_set(&m->insn, CPUF_I486);
    insn_features_set(&m->insn, CPUF_CPUID);
    if (m->family >= 6) {
        insn_features_set(&m->insn, CPUF_P6);
    }
    if (word_bit(m, FEAT_1_EDX, F1D_SSE)) {
        insn_features_set(&m->insn, CPUF_MMXEXT);
    }
    if (word_bit(m, FEAT_80000001_EDX, FXD_LM)) {
        insn_features_set(&m->insn, CPUF_PREFETCHW); /* as a NOP, with or without its own bit */
    }

    static const struct {
        uint32_t cr4;
        uint8_t word, bit;
    } bits[] = {
        {CR4_VME | CR4_PVI, FEAT_1_EDX, F1D_VME},
        {CR4_TSD, FEAT_1_EDX, F1D_TSC},
        {CR4_DE, FEAT_1_EDX, F1D_DE},
        {CR4_PSE, FEAT_1_EDX, F1D_PSE},
        {CR4_PAE, FEAT_1_EDX, F1D_PAE},
        {CR4_MCE, FEAT_1_EDX, F1D_MCE},
        {CR4_PGE, FEAT_1_EDX, F1D_PGE},
        {CR4_OSFXSR, FEAT_1_EDX, F1D_FXSR},
        {CR4_OSXMMEXCPT, FEAT_1_EDX, F1D_SSE},
        {CR4_UMIP, FEAT_7_ECX, F7C_UMIP},
        {CR4_FSGSBASE, FEAT_7_EBX, F7B_FSGSBASE},
        {CR4_PCIDE, FEAT_1_ECX, F1C_PCID},
        {CR4_OSXSAVE, FEAT_1_ECX, F1C_XSAVE},
        {CR4_SMEP, FEAT_7_EBX, F7B_SMEP},
        {CR4_SMAP, FEAT_7_EBX, F7B_SMAP},
    };
    m->cr4_valid = m->family >= 6 || word_bit(m, FEAT_1_EDX, F1D_CX8) ? CR4_PCE : 0;
    for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
        if (word_bit(m, bits[i].word, bits[i].bit)) {
            m->cr4_valid |= bits[i].cr4;
        }
    }
    m->xcr0_valid = XSTATE_X87 | (word_bit(m, FEAT_1_ECX, F1C_XSAVE) ? XSTATE_SSE : 0) |
                    (word_bit(m, FEAT_1_ECX, F1C_AVX) ? XSTATE_AVX : 0);
}

static void unknown_model(const char *name, Error **errp)
{
    const char *names[MODELS + 1] = {NULL};
    char list[128] = "";

    for (unsigned i = 0; i < MODELS; i++) {
        names[i] = models[i].name;
        snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i ? ", " : "",
                 models[i].name);
    }
    const char *near = nearest_name(name, names);
    if (near) {
        error_set(errp, "-cpu %s: unknown CPU model; did you mean '%s'? (there are %s)", name, near,
                  list);
    } else {
        error_set(errp, "-cpu %s: unknown CPU model; there are %s", name, list);
    }
}

static bool apply_feature(CpuModel *m, const char *text, size_t len,
                          const uint32_t host[FEATURE_WORDS], Error **errp)
{
    char name[32];

    if (len < 2 || (text[0] != '+' && text[0] != '-')) {
        error_set(errp, "-cpu: '%.*s' is no feature; write +FEATURE or -FEATURE", (int)len, text);
        return false;
    }
    feature_name(text + 1, len - 1, name);
    const Feature *f = find_feature(name);
    if (!f) {
        const char *names[FEATURES + 1] = {NULL};
        for (unsigned i = 0; i < FEATURES; i++) {
            names[i] = features[i].name;
        }
        const char *near = nearest_name(name, names);
        if (near) {
            error_set(errp, "-cpu: unknown feature '%s'; did you mean '%s'?", name, near);
        } else {
            error_set(errp, "-cpu: unknown feature '%s'; '-cpu help' lists them", name);
        }
        return false;
    }
    if (text[0] == '+' && !host_has(host, f)) {
        error_set(errp, "-cpu: feature '%s' needs a host that has it", name);
        return false;
    }
    if (text[0] == '+') {
        m->words[f->word] |= BIT(f->bit);
    } else {
        m->words[f->word] &= ~BIT(f->bit);
    }
    return true;
}

/* A feature of a leaf that the model does not reach brings the leaf with it. */
static void raise_levels(CpuModel *m)
{
    static const struct {
        uint8_t word;
        uint32_t leaf;
    } leaves[] = {
        {FEAT_6_EAX, 6},
        {FEAT_7_EBX, 7},
        {FEAT_7_ECX, 7},
        {FEAT_7_EDX, 7},
        {FEAT_D_1_EAX, 0xd},
        {FEAT_80000001_EDX, 0x80000001},
        {FEAT_80000001_ECX, 0x80000001},
        {FEAT_80000007_EDX, 0x80000007},
        {FEAT_80000008_EBX, 0x80000008},
        {FEAT_80000021_EAX, 0x80000021},
    };

    for (unsigned i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
        uint32_t *level = leaves[i].leaf & 0x80000000 ? &m->xlevel : &m->level;
        if (m->words[leaves[i].word] && *level < leaves[i].leaf) {
            *level = leaves[i].leaf;
        }
    }
    if (word_bit(m, FEAT_1_ECX, F1C_XSAVE) && m->level < 0xd) {
        m->level = 0xd;
    }
    if (word_bit(m, FEAT_1_ECX, F1C_X2APIC) && m->level < 0xb) {
        m->level = 0xb;
    }
}

CpuModel *cpu_model_parse(const char *text, Error **errp)
{
    const BaseModel *base = NULL;
    uint32_t host[FEATURE_WORDS];
    char name[32];
    size_t len;

    if (!text || !*text) {
        text = "max";
    }
    len = strcspn(text, ",");
    snprintf(name, sizeof(name), "%.*s", (int)len, text);
    for (unsigned i = 0; i < MODELS; i++) {
        if (!strcmp(models[i].name, name)) {
            base = &models[i];
        }
    }
    if (!base) {
        unknown_model(name, errp);
        return NULL;
    }
    CpuModel *m = calloc(1, sizeof(*m));
    if (!m) {
        abort();
    }
    host_words(host);
    snprintf(m->name, sizeof(m->name), "%s", base->name);
    m->level = base->level;
    m->xlevel = base->xlevel;
    if (base->features) {
        snprintf(m->vendor, sizeof(m->vendor), "%s", base->vendor);
        snprintf(m->brand, sizeof(m->brand), "%s", base->brand ? base->brand : "");
        m->family = base->family;
        m->model = base->model;
        m->stepping = base->stepping;
        m->phys_bits = base->phys_bits;
        add_features(m, base->features, host);
    } else {
        init_max(m, host);
    }
    for (text += len; *text; text += len) {
        text++;
        len = strcspn(text, ",");
        if (!apply_feature(m, text, len, host, errp)) {
            free(m);
            return NULL;
        }
    }
    raise_levels(m);
    derive(m);
    return m;
}

const char *cpu_model_name(unsigned n)
{
    return n < MODELS ? models[n].name : NULL;
}

void cpu_model_help(void)
{
    printf("CPU models:\n");
    for (unsigned i = 0; i < MODELS; i++) {
        printf("  %-10s %s\n", models[i].name, models[i].help);
    }
    printf("Features, to add with ,+NAME and to take away with ,-NAME:");
    unsigned column = 100;
    for (unsigned i = 0; i < FEATURES; i++) {
        unsigned n = (unsigned)strlen(features[i].name) + 1;
        if (column + n > 78) {
            printf("\n ");
            column = 1;
        }
        printf(" %s", features[i].name);
        column += n;
    }
    printf("\n");
}

/* ---- the instruction ---- */

#define HYPERVISOR_SIGNATURE "VoleVoleVole"
#define HYPERVISOR_LEAF      0x40000000u
#define HYPERVISOR_MAX       0x40000010u
#define APIC_BUS_KHZ         1000000u /* the APIC timer counts nanoseconds too */

static void vendor_registers(const char *vendor, CpuidResult *r)
{
    memcpy(&r->ebx, vendor, 4);
    memcpy(&r->edx, vendor + 4, 4);
    memcpy(&r->ecx, vendor + 8, 4);
}

static uint32_t signature(const CpuModel *m)
{
    unsigned family = m->family, extended = 0;

    if (family >= 15) {
        extended = family - 15;
        family = 15;
    }
    return extended << 20 | (m->model >> 4) << 16 | family << 8 | (m->model & 15) << 4 |
           m->stepping;
}

/* The APIC's bit follows the enable bit of IA32_APIC_BASE. */
static bool apic_disabled(CPUX86State *env)
{
    if (!env->intc) {
        return true;
    }
    bool locked = machine_lock_held();
    if (!locked) {
        machine_lock();
    }
    uint64_t base = env->intc->get_base(env->intc_opaque);
    if (!locked) {
        machine_unlock();
    }
    return !(base & 0x800);
}

static void leaf_1(CPUX86State *env, CpuidResult *r)
{
    const CpuModel *m = env->model;

    r->eax = signature(m);
    r->ebx = env->index << 24 | 1u << 16;
    if (word_bit(m, FEAT_1_EDX, 19)) {
        r->ebx |= 64 / 8 << 8; /* CLFLUSH line */
    }
    r->ecx = m->words[FEAT_1_ECX] | (env->cr4 & CR4_OSXSAVE ? BIT(F1C_OSXSAVE) : 0);
    r->edx = m->words[FEAT_1_EDX];
    if (apic_disabled(env)) {
        r->edx &= ~BIT(F1D_APIC);
    }
}

/* Deterministic cache parameters, Intel: 32 KB L1s, 1 MB L2, none shared. */
static void leaf_4(uint32_t subleaf, CpuidResult *r)
{
    static const struct {
        uint8_t type, level;
        uint16_t ways;
        uint32_t sets;
    } caches[] = {{1, 1, 8, 64}, {2, 1, 8, 64}, {3, 2, 16, 1024}};

    if (subleaf < sizeof(caches) / sizeof(caches[0])) {
        r->eax = caches[subleaf].type | caches[subleaf].level << 5 | 1u << 8;
        r->ebx = 63u | (caches[subleaf].ways - 1u) << 22;
        r->ecx = caches[subleaf].sets - 1;
    }
}

static void leaf_b(CPUX86State *env, uint32_t subleaf, CpuidResult *r)
{
    r->ecx = subleaf & 0xff;
    r->edx = env->index;
    if (subleaf < 2) {
        r->ebx = 1;
        r->ecx |= (subleaf + 1) << 8; /* thread, core */
    }
}

static void leaf_d(CPUX86State *env, uint32_t subleaf, CpuidResult *r)
{
    const CpuModel *m = env->model;

    if (!word_bit(m, FEAT_1_ECX, F1C_XSAVE)) {
        return;
    }
    if (subleaf == 0) {
        r->eax = (uint32_t)m->xcr0_valid;
        r->ebx = xsave_area_size(env->xcr0);
        r->ecx = xsave_area_size(m->xcr0_valid);
    } else if (subleaf == 1) {
        r->eax = m->words[FEAT_D_1_EAX];
        r->ebx = r->eax & BIT(FD1_XSAVEC) ? xsave_area_size(env->xcr0) : 0;
    } else if (subleaf == 2 && (m->xcr0_valid & XSTATE_AVX)) {
        r->eax = XSAVE_AVX_SIZE;
        r->ebx = XSAVE_AVX_OFFSET;
    }
}

static void hypervisor_leaf(uint32_t leaf, CpuidResult *r)
{
    if (leaf == HYPERVISOR_LEAF) {
        r->eax = HYPERVISOR_MAX;
        memcpy(&r->ebx, HYPERVISOR_SIGNATURE, 4);
        memcpy(&r->ecx, HYPERVISOR_SIGNATURE + 4, 4);
        memcpy(&r->edx, HYPERVISOR_SIGNATURE + 8, 4);
    } else if (leaf == HYPERVISOR_MAX) {
        r->eax = (uint32_t)(cpu_tsc_hz() / 1000);
        r->ebx = APIC_BUS_KHZ;
    }
}

static void extended_leaf(CPUX86State *env, uint32_t leaf, CpuidResult *r)
{
    const CpuModel *m = env->model;

    switch (leaf) {
    case 0x80000000:
        r->eax = m->xlevel;
        if (m->amd) {
            vendor_registers(m->vendor, r);
        }
        break;
    case 0x80000001:
        r->eax = m->amd ? signature(m) : 0;
        r->ecx = m->words[FEAT_80000001_ECX];
        r->edx = m->words[FEAT_80000001_EDX];
        if (m->amd) {
            /* AMD repeats what it shares with leaf 1. */
            r->edx |= m->words[FEAT_1_EDX] & 0x0183f3ffu;
        } else {
            r->edx &= ~BIT(22);
            if (!(env->hflags & HF_CS64)) {
                r->edx &= ~BIT(FXD_SYSCALL);
            }
        }
        break;
    case 0x80000002:
    case 0x80000003:
    case 0x80000004:
        memcpy(r, m->brand + 16 * (leaf - 0x80000002), 16);
        break;
    case 0x80000005:
        if (m->amd) { /* TLBs; 32 KB L1s of 8 ways, 64-byte lines */
            r->eax = r->ebx = 0xff40ff40;
            r->ecx = r->edx = 32u << 24 | 8u << 16 | 1u << 8 | 64;
        }
        break;
    case 0x80000006:
        r->ecx = 1024u << 16 | 8u << 12 | (m->amd ? 1u << 8 : 0) | 64; /* 1 MB L2 */
        if (m->amd) {
            r->eax = r->ebx = 0x42004200;
        }
        break;
    case 0x80000007:
        r->edx = m->words[FEAT_80000007_EDX];
        break;
    case 0x80000008:
        r->eax = m->phys_bits | (word_bit(m, FEAT_80000001_EDX, FXD_LM) ? 48u : 32u) << 8;
        r->ebx = m->words[FEAT_80000008_EBX];
        break;
    case 0x80000021:
        r->eax = m->words[FEAT_80000021_EAX];
        break;
    }
}

CpuidResult cpu_cpuid(CPUX86State *env, uint32_t leaf, uint32_t subleaf)
{
    const CpuModel *m = env->model;
    CpuidResult r = {0, 0, 0, 0};

    if (leaf >= 0x80000000) {
        if (leaf <= m->xlevel) {
            extended_leaf(env, leaf, &r);
        }
        return r;
    }
    if (leaf >= HYPERVISOR_LEAF && leaf <= HYPERVISOR_MAX &&
        word_bit(m, FEAT_1_ECX, F1C_HYPERVISOR)) {
        hypervisor_leaf(leaf, &r);
        return r;
    }
    if (leaf > m->level) {
        if (m->amd) {
            return r;
        }
        leaf = m->level; /* Intel answers with the highest basic leaf */
    }
    switch (leaf) {
    case 0:
        r.eax = m->level;
        vendor_registers(m->vendor, &r);
        break;
    case 1:
        leaf_1(env, &r);
        break;
    case 2:
        if (!m->amd) { /* descriptors of a Pentium III's TLBs and caches */
            r.eax = 0x03020101;
            r.edx = 0x0c040843;
        }
        break;
    case 4:
        if (!m->amd) {
            leaf_4(subleaf, &r);
        }
        break;
    case 6:
        r.eax = m->words[FEAT_6_EAX];
        break;
    case 7:
        if (subleaf == 0) {
            r.ebx = m->words[FEAT_7_EBX];
            r.ecx = m->words[FEAT_7_ECX];
            r.edx = m->words[FEAT_7_EDX];
        }
        break;
    case 0xb:
        if (word_bit(m, FEAT_1_ECX, F1C_X2APIC)) {
            leaf_b(env, subleaf, &r);
        }
        break;
    case 0xd:
        leaf_d(env, subleaf, &r);
        break;
    }
    return r;
}

void sys_cpuid(CPUX86State *env, const Insn *insn)
{
    CpuidResult r = cpu_cpuid(env, (uint32_t)env->regs[R_AX], (uint32_t)env->regs[R_CX]);

    env->regs[R_AX] = r.eax;
    env->regs[R_BX] = r.ebx;
    env->regs[R_CX] = r.ecx;
    env->regs[R_DX] = r.edx;
}
