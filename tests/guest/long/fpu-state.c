/*
 * FXSAVE and XSAVE in 64-bit mode (SDM Vol. 1, 10.5.1): with REX.W the x87 pointers are 64-bit
 * offsets, without a 32-bit offset and a selector; xmm8 to xmm15 are there only in 64-bit mode.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

static uint8_t area[512] __attribute__((aligned(64)));
static uint32_t *const words = (uint32_t *)area;
static uint64_t *const quads = (uint64_t *)area;
static const uint32_t pattern[4] __attribute__((aligned(16))) = {1, 2, 3, 4};
static const float value = 1;

void guest_test(void)
{
    uint32_t got;
    WRITE_REG("cr4", READ_REG("cr4") | CR4_OSFXSR);
    asm volatile("fninit; movaps %1, %%xmm12; flds %2; fxsave64 %0"
                 : "=m"(area) : "m"(pattern), "m"(value));
    check_eq("FXSAVE64: xmm12", words[40 + 4 * 12 + 2], 3);
    check_eq("  FTW", area[4], 0x80);
    asm volatile("movaps %%xmm0, %%xmm12; fxrstor64 %1; movd %%xmm12, %0"
                 : "=&r"(got) : "m"(area));
    check_eq("FXRSTOR64: xmm12", got, 1);
    words[0] = 0x37b | 0x84 << 16; /* an exception is pending: all CPUs keep the pointers then */
    quads[1] = 0x123456789abc;
    quads[2] = 0xffff800012345678;
    asm volatile("fxrstor64 %0; fxsave64 %0" : "+m"(area));
    asm volatile("fninit");
    qemu_deviates("FIP and FDP are not kept");
    check_eq("FXRSTOR64 and FXSAVE64: FIP", quads[1], 0x123456789abc);
    qemu_deviates("FIP and FDP are not kept");
    check_eq("  FDP", quads[2], 0xffff800012345678);
}
