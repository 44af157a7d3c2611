/*
 * FXSAVE, XSAVE and their kin (SDM Vol. 1, 10.5, 13): layout, header, faults.
 *   FXSAVE area not 16-byte, XSAVE area not 64-byte aligned: #GP(0)
 *   XGETBV, XSETBV, XSAVE: #UD without CR4.OSXSAVE; CPUID.1:ECX.OSXSAVE mirrors it
 *   XSETBV: XCR0 without x87, AVX without SSE, an unknown bit, XCRn > 0, CPL 3: #GP(0)
 *   XSAVE writes XSTATE_BV bits of the mask only; XRSTOR of a clear XSTATE_BV bit initialises
 *   XRSTOR: XSTATE_BV bits outside XCR0, header bytes 8-23 not 0, MXCSR reserved bits: #GP(0)
 *   XSAVEOPT may leave out what is in its initial state: its XSTATE_BV bit is 0 then
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

static uint8_t area[4096] __attribute__((aligned(64)));
static uint32_t *const words = (uint32_t *)area;
static volatile uint64_t *const xstate_bv = (uint64_t *)(area + 512);

#define NO_MXCSR_CHECK "reserved bits of MXCSR can be set"

static void fxsave(void)
{
    static const uint16_t control = 0x27f;
    static const uint32_t pattern[4] __attribute__((aligned(16))) = {1, 2, 3, 4};
    EXPECT("FXSAVE at 8", GP(0), "fxsave %0", : "=m"(area[8]));
    EXPECT("FXRSTOR at 8", GP(0), "fxrstor %0", : : "m"(area[8]));
    memset(area, 0xee, 512);
    asm volatile("fninit; fldcw %1; fld1; fldz; movaps %2, %%xmm3; fxsave %0"
                 : "=m"(area) : "m"(control), "m"(pattern));
    check_eq("FXSAVE: FCW", words[0] & 0xffff, 0x27f);
    check_eq("  FSW: top 6", words[0] >> 16, 0x3000);
    check_eq("  abridged tags: st0 and st1 in use", area[4], 0xc0);
    check_eq("  MXCSR", words[6], 0x1f80);
    check("  MXCSR mask", words[7] == 0xffff || words[7] == 0x2ffff);
    check_eq("  st0 is 0", words[8 + 1], 0);
    check_eq("  st1 is 1", words[12 + 1], 0x80000000);
    check_eq("  xmm3", words[40 + 4 * 3 + 3], 4);
    words[40 + 4 * 3] = 0x77;
    asm volatile("fninit; xorps %%xmm3, %%xmm3; fxrstor %1; movups %%xmm3, %0; fnstcw %2"
                 : "=m"(area[1024]), "+m"(area), "=m"(area[1040]));
    check_eq("FXRSTOR: xmm3", words[256], 0x77);
    check_eq("  FCW", *(uint16_t *)(area + 1040), 0x27f);
    words[6] = 0x10000;
    qemu_deviates(NO_MXCSR_CHECK);
    EXPECT("FXRSTOR, MXCSR bit 16", GP(0), "fxrstor %0", : : "m"(area));
}

static void xsetbv(const char *name, unsigned index, uint32_t value, unsigned want)
{
    EXPECT(name, want, "xsetbv", : : "c"(index), "a"(value), "d"(0));
}

static void user(void)
{
    xsetbv("XSETBV at CPL 3", 0, 1, GP(0));
}

static void control(void)
{
    check_eq("CPUID.OSXSAVE is clear", cpu_has(1, 'c', 27), 0);
    EXPECT("XGETBV without OSXSAVE", UD, "xgetbv", : : "c"(0) : "eax", "edx");
    EXPECT("XSAVE without OSXSAVE", UD, "xsave %0", : "=m"(area) : "a"(1), "d"(0));
    WRITE_REG("cr4", READ_REG("cr4") | CR4_OSXSAVE);
    check_eq("CPUID.OSXSAVE is set", cpu_has(1, 'c', 27), 1);
    uint32_t low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    check_eq("XCR0 at reset", low, 1);
    xsetbv("XCR0 without x87", 0, 2, GP(0));
    xsetbv("XCR0: AVX without SSE", 0, 5, GP(0));
    xsetbv("XCR0: an unknown bit", 0, 1 | 1u << 31, GP(0));
    xsetbv("XCR1", 1, 1, GP(0));
    xsetbv("XCR0: x87 and SSE", 0, 3, NONE);
    call_user(user);
    check_eq("CPUID.D: size of x87 and SSE", cpuid(13, 0).ebx, 576);
}

static void save_restore(void)
{
    EXPECT("XSAVE at 32", GP(0), "xsave %0", : "=m"(area[32]) : "a"(3), "d"(0));
    memset(area, 0, sizeof(area));
    *xstate_bv = 1;
    asm volatile("fninit; fld1; movd %1, %%xmm0; xsave %0"
                 : "+m"(area) : "r"(0x1234), "a"(2), "d"(0));
    check_eq("XSAVE of SSE: XSTATE_BV keeps x87's bit", *xstate_bv, 3);
    check_eq("  x87 is not written", words[0], 0);
    check_eq("  xmm0", words[40], 0x1234);

    *xstate_bv = 0;
    asm volatile("xrstor %1; movd %%xmm0, %0; xsave %1"
                 : "=&r"(words[300]), "+m"(area) : "a"(3), "d"(0));
    check_eq("XRSTOR of a clear bit initialises SSE", words[300], 0);
    check_eq("  and x87: FCW", words[0] & 0xffff, 0x37f);

    *xstate_bv = 4;
    EXPECT("XRSTOR, a bit outside XCR0", GP(0), "xrstor %0", : : "m"(area), "a"(3), "d"(0));
    *xstate_bv = 3;
    xstate_bv[2] = 1;
    EXPECT("XRSTOR, a reserved header byte", GP(0), "xrstor %0", : : "m"(area), "a"(3), "d"(0));
    xstate_bv[2] = 0;
    words[6] = 0x10000;
    qemu_deviates(NO_MXCSR_CHECK);
    EXPECT("XRSTOR, MXCSR bit 16", GP(0), "xrstor %0", : : "m"(area), "a"(3), "d"(0));
    words[6] = 0x1f80;
    EXPECT("XRSTOR", NONE, "xrstor %0", : : "m"(area), "a"(3), "d"(0));

    if (!(cpuid(13, 1).eax & 1)) {
        skip("XSAVEOPT", "not in CPUID");
        return;
    }
    *xstate_bv = 0;
    asm volatile("xrstor %0" : : "m"(area), "a"(3), "d"(0));
    memset(area, 0, sizeof(area));
    asm volatile("movd %1, %%xmm0; xsaveopt %0" : "+m"(area) : "r"(5), "a"(3), "d"(0));
    check_eq("XSAVEOPT: XSTATE_BV of SSE", *xstate_bv & 2, 2);
    /* Whether a CPU sees that x87 is in its initial state is its own affair. */
    check("  x87 is written if its bit says so", words[0] == (*xstate_bv & 1 ? 0x37f : 0));
    check_eq("  xmm0", words[40], 5);
}

void guest_test(void)
{
    if (!need(1, 'd', 25, "SSE"))
        return;
    WRITE_REG("cr4", READ_REG("cr4") | CR4_OSFXSR);
    asm volatile("fninit");
    fxsave();
    if (cpu_has(1, 'c', 26)) {
        control();
        save_restore();
    } else {
        skip("XSAVE", "not in CPUID");
    }
}
