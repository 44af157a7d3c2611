/*
 * When VEX-encoded instructions are there (SDM Vol. 2, 2.8): CR4.OSXSAVE and XCR0[2:1] = 3,
 * protected mode; else #UD. CR0.TS: #NM; CR0.EM does not matter. SSE does not need XCR0. VZEROUPPER
 * and XSAVE of the upper halves.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

CODE16(avx_16, "vpxor %xmm0, %xmm0, %xmm0");
static uint8_t area[1024] __attribute__((aligned(64)));

static void set_xcr0(uint32_t value)
{
    asm volatile("xsetbv" : : "c"(0), "a"(value), "d"(0));
}

static void use(const char *name, unsigned want)
{
    EXPECT(name, want, "vxorps %%ymm1, %%ymm1, %%ymm1", :);
}

void guest_test(void)
{
    if (!need(1, 'd', 25, "SSE"))
        return;
    WRITE_REG("cr4", READ_REG("cr4") | CR4_OSFXSR);
    use("without OSXSAVE", UD);
    if (!cpu_has(1, 'c', 28)) {
        skip("AVX", "not in CPUID");
        return;
    }
    WRITE_REG("cr4", READ_REG("cr4") | CR4_OSXSAVE);
    use("XCR0: x87 alone", UD);
    EXPECT("  SSE runs", NONE, "xorps %%xmm1, %%xmm1", :);
    set_xcr0(3);
    use("XCR0: without AVX", UD);
    set_xcr0(7);
    use("XCR0: with AVX", NONE);
    Word cr0 = READ_REG("cr0");
    WRITE_REG("cr0", cr0 | CR0_TS);
    use("CR0.TS", NM);
    WRITE_REG("cr0", cr0 | CR0_EM);
    qemu_deviates("CR0.EM disables VEX, too");
    use("CR0.EM", NONE);
    WRITE_REG("cr0", cr0);
    Context c = real_context(avx_16);
    run_real(&c);
    check_context("in real mode", &c, UD);
    c = v86_context(avx_16);
    run(&c);
    check_context("in V86 mode", &c, UD);

    static const uint32_t pattern[8] __attribute__((aligned(32))) = {1, 2, 3, 4, 5, 6, 7, 8};
    check_eq("CPUID.D: size with AVX", cpuid(13, 0).ebx, 832);
    asm volatile("vmovaps %1, %%ymm2; xsave %0" : "+m"(area) : "m"(pattern), "a"(7), "d"(0));
    check_eq("XSAVE: xmm2", ((uint32_t *)area)[40 + 8 + 3], 4);
    check_eq("  upper half of ymm2", ((uint32_t *)(area + 576))[8 + 3], 8);
    check_eq("  XSTATE_BV", *(uint64_t *)(area + 512) & 6, 6);
    uint32_t got[8];
    asm volatile("vzeroupper; vmovups %%ymm2, %0" : "=m"(got));
    check_eq("VZEROUPPER: lower half", got[3], 4);
    check_eq("  upper half", got[7], 0);
    asm volatile("xrstor %1; vmovups %%ymm2, %0" : "=m"(got) : "m"(area), "a"(4), "d"(0));
    check_eq("XRSTOR of AVX", got[7], 8);
}
