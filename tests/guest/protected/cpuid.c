/*
 * CPUID hangs together (SDM Vol. 2, CPUID): highest leaves, what must be there on a PC that runs
 * today's systems, what leaves say about each other.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

static bool bit(uint32_t value, unsigned n)
{
    return value >> n & 1;
}

void guest_test(void)
{
    CpuidRegs basic = cpuid(0, 0), features = cpuid(1, 0);
    CpuidRegs extended = cpuid(0x80000000, 0), more = cpuid(0x80000001, 0);

    if (extended.eax < 0x80000001 || !bit(more.edx, 29)) {
        skip("CPUID", "not the CPU of a 64-bit PC");
        return;
    }
    check("at least 7 basic leaves", basic.eax >= 7 && basic.eax < 0x100);
    check("at least 8 extended leaves", extended.eax >= 0x80000008 && extended.eax < 0x80000100);
    check("the vendor is text", basic.ebx >= 0x20202020 && basic.ecx >= 0x20202020);
    CpuidRegs beyond = cpuid(0x80000000 - 1, 0);
    check("a leaf beyond answers", beyond.eax | 1);
    EXPECT("CPUID changes all four registers", NONE, "cpuid",
           : : "a"(0) : "ebx", "ecx", "edx");

    static const struct {
        const char *name;
        uint8_t bit;
    } needed[] = {{"FPU", 0}, {"PSE", 3},  {"TSC", 4},   {"MSR", 5},   {"PAE", 6},
                  {"CX8", 8}, {"APIC", 9}, {"SEP", 11},  {"MTRR", 12}, {"PGE", 13},
                  {"CMOV", 15}, {"PAT", 16}, {"MMX", 23}, {"FXSR", 24}, {"SSE2", 26}};
    for (unsigned i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
        check(needed[i].name, bit(features.edx, needed[i].bit));
    check("LM", bit(more.edx, 29));
    check("NX", bit(more.edx, 20));
    check("SYSCALL is shown", bit(more.edx, 11));
    check_eq("initial APIC ID 0", features.ebx >> 24, 0);
    check_eq("CLFLUSH line of 64 bytes", features.ebx >> 8 & 0xff, 8);
    check_eq("OSXSAVE is CR4's bit", bit(features.ecx, 27), 0);

    unsigned physical = cpuid(0x80000008, 0).eax & 0xff;
    unsigned linear = cpuid(0x80000008, 0).eax >> 8 & 0xff;
    check("physical addresses of 36 to 52 bits", physical >= 36 && physical <= 52);
    check("linear addresses of 48 or 57 bits", linear == 48 || linear == 57);

    bool xsave = bit(features.ecx, 26), avx = bit(features.ecx, 28);
    check("AVX has XSAVE", !avx || xsave);
    check("AVX2 has AVX", !bit(cpuid(7, 0).ebx, 5) || avx);
    check("FMA has AVX", !bit(features.ecx, 12) || avx);
    if (xsave) {
        uint32_t known = cpuid(13, 0).eax;
        check("XCR0 knows x87 and SSE", (known & 3) == 3);
        check_eq("XCR0 knows AVX", bit(known, 2), avx);
        if (avx) {
            check_eq("AVX state: 256 bytes", cpuid(13, 2).eax, 256);
            check_eq("  at 576", cpuid(13, 2).ebx, 576);
        }
    }
}
