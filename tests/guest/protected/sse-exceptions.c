/*
 * SIMD floating-point exceptions (SDM Vol. 1, 11.5; Vol. 2): an unmasked one is #XM with
 * CR4.OSXMMEXCPT, else #UD; a fault at the instruction, the destination is unchanged, MXCSR has the
 * flag. LDMXCSR with a reserved bit: #GP(0). MOVAPS and other 16-byte operands not aligned: #GP(0).
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#define NO_XM "SIMD exceptions are neither raised nor shown"

static float one[4] __attribute__((aligned(16))) = {1, 1, 1, 1};
static float zeros[4] __attribute__((aligned(16)));
static uint32_t result[4] __attribute__((aligned(16)));

static void load_mxcsr(uint32_t value)
{
    asm volatile("ldmxcsr %0" : : "m"(value));
}

static uint32_t mxcsr(void)
{
    uint32_t value;
    asm volatile("stmxcsr %0" : "=m"(value));
    return value;
}

void guest_test(void)
{
    if (!need(1, 'd', 25, "SSE"))
        return;
    WRITE_REG("cr4", READ_REG("cr4") | CR4_OSFXSR);
    check_eq("MXCSR at reset", mxcsr(), 0x1f80);
    load_mxcsr(0x1f80 & ~0x200u); /* zero divide unmasked */
    asm volatile("movaps %0, %%xmm0" : : "m"(one));
    qemu_deviates(NO_XM);
    EXPECT("DIVPS by 0 without OSXMMEXCPT", UD, "divps %0, %%xmm0", : : "m"(zeros));
    WRITE_REG("cr4", READ_REG("cr4") | CR4_OSXMMEXCPT);
    load_mxcsr(0x1f80 & ~0x200u);
    qemu_deviates(NO_XM);
    EXPECT("DIVPS by 0", XM, "divps %0, %%xmm0", : : "m"(zeros));
    qemu_deviates(NO_XM);
    check_eq("  MXCSR.ZE", mxcsr() & 0x3f, 4);
    asm volatile("movaps %%xmm0, %0" : "=m"(result));
    qemu_deviates(NO_XM);
    check_eq("  xmm0 is unchanged", result[0], 0x3f800000);
    load_mxcsr(0x1f80);
    EXPECT("masked", NONE, "divps %0, %%xmm0", : : "m"(zeros));
    asm volatile("movaps %%xmm0, %0" : "=m"(result));
    check_eq("  infinity", result[3], 0x7f800000);
    qemu_deviates(NO_XM);
    check_eq("  MXCSR.ZE is sticky", mxcsr() & 0x3f, 4);
    load_mxcsr((0x1f80 & ~0x200u) | 4);
    EXPECT("a flag set before raises nothing", NONE, "addps %0, %%xmm0", : : "m"(zeros));

    uint32_t bad = 0x10000;
    qemu_deviates("reserved bits of MXCSR can be set");
    EXPECT("LDMXCSR with bit 16", GP(0), "ldmxcsr %0", : : "m"(bad));
    EXPECT("MOVAPS at 4", GP(0), "movaps %0, %%xmm0", : : "m"(one[1]));
    EXPECT("ADDPS at 4", GP(0), "addps %0, %%xmm0", : : "m"(one[1]));
    EXPECT("MOVUPS at 4", NONE, "movups %0, %%xmm1", : : "m"(zeros[1]));
}
