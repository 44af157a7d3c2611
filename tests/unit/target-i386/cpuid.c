/*
 * CPU models: parsing, leaves, and what follows from features.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/cpuid.h"

#include <stdlib.h>

#include "tests/unit/target-i386/cpu-fixture.h"

static bool parses(const char *text)
{
    CpuModel *m = cpu_model_parse(text, NULL);

    free(m);
    return m;
}

static void model_texts(void)
{
    CHECK(parses(NULL));
    CHECK(parses("486"));
    CHECK(parses("qemu64,+sse3,-x2apic"));
    CHECK(parses("qemu64,-nx,-lahf-lm"));
    CHECK(!parses("qemu65"));
    CHECK(!parses("qemu64,+nosuch"));
    CHECK(!parses("qemu64,nx"));
    CHECK(!parses("qemu64,"));
}

static void messages(void)
{
    Error *err = NULL;

    cpu_model_parse("pentum3", &err);
    CHECK(err);
    CHECK(strstr(error_text(err), "pentium3"));
    error_free(err);
    err = NULL;
    cpu_model_parse("max,+fsgsbas", &err);
    CHECK(err);
    CHECK(strstr(error_text(err), "fsgsbase"));
    error_free(err);
}

static void signatures(void)
{
    fixture_cpu("pentium3");
    CpuidResult r = cpu_cpuid(env, 0, 0);
    CHECK_EQ(r.eax, 2);
    CHECK_EQ(r.ebx, 0x756e6547); /* "Genu" */
    CHECK_EQ(cpu_cpuid(env, 1, 0).eax, 0x683);
    CHECK_EQ(env->regs[R_DX], 0x683);
    fixture_cpu("qemu64");
    CHECK_EQ(cpu_cpuid(env, 0, 0).ebx, 0x68747541); /* "Auth" */
    CHECK_EQ(cpu_cpuid(env, 1, 0).eax, 0x060fb1);   /* family 15, model 107 */
    CHECK_EQ(cpu_cpuid(env, 0x80000008, 0).eax, 0x3028);
    CHECK_EQ(cpu_cpuid(env, 0x40000000, 0).ebx, 0x656c6f56); /* "Vole" */
}

static void features_and_what_they_bring(void)
{
    fixture_cpu("486");
    CHECK_EQ(env->model->cr4_valid, CR4_VME | CR4_PVI | CR4_PSE);
    CHECK(!insn_features_has(&env->model->insn, CPUF_CMOV));
    CHECK(!insn_features_has(&env->model->insn, CPUF_P6));
    fixture_cpu("qemu64,+smep,-fxsr");
    CHECK(env->model->cr4_valid & CR4_SMEP);
    CHECK(!(env->model->cr4_valid & CR4_OSFXSR));
    CHECK_EQ(cpu_cpuid(env, 7, 0).ebx, 1u << 7);
    CHECK_EQ(env->model->xcr0_valid, 1);
    fixture_cpu("max,-xsave");
    CHECK(!insn_features_has(&env->model->insn, CPUF_AVX));
    CHECK(!insn_features_has(&env->model->insn, CPUF_FMA));
    CHECK(!insn_features_has(&env->model->insn, CPUF_XSAVEOPT));
}

static void osxsave_follows_cr4(void)
{
    fixture_cpu("max");
    if (!(env->model->cr4_valid & CR4_OSXSAVE)) {
        return; /* this host has no XSAVE to lend */
    }
    CHECK(!(cpu_cpuid(env, 1, 0).ecx >> F1C_OSXSAVE & 1));
    env->cr4 |= CR4_OSXSAVE;
    CHECK(cpu_cpuid(env, 1, 0).ecx >> F1C_OSXSAVE & 1);
    CHECK_EQ(cpu_cpuid(env, 0xd, 0).ebx, 576);
}

static void topology(void)
{
    fixture_cpu("max");
    CHECK_EQ(cpu_cpuid(env, 1, 0).ebx >> 24, 0);
    CpuidResult r = cpu_cpuid(env, 0xb, 0);
    CHECK_EQ(r.ecx, 0x100);
    CHECK_EQ(r.ebx, 1);
    r = cpu_cpuid(env, 0xb, 1);
    CHECK_EQ(r.ecx, 0x201);
    CHECK_EQ(cpu_cpuid(env, 0xb, 2).ecx, 2);
}

TESTS(TEST(model_texts), TEST(messages), TEST(signatures), TEST(features_and_what_they_bring),
      TEST(osxsave_follows_cr4), TEST(topology))
