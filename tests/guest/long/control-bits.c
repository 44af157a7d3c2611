/*
 * What 64-bit code may not do to the bits that make long mode (SDM Vol. 3, 2.5, 9.8.5): #GP(0) for
 *   CR0.PG = 0 in 64-bit code, CR4.PAE = 0 in long mode, EFER.LME changed while paging is on
 *   CR0 and CR4 with a bit of 63-32 set
 *   CR3 with an address bit that the CPU does not have (CPUID 80000008)
 * EFER.LMA is read-only: a write of it is void.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* not on QEMU: it clears CR0.PG in 64-bit code and runs on in 32-bit mode */
#include "guest.h"

void guest_test(void)
{
    unsigned width = cpuid(0x80000008, 0).eax & 0xff;
    if (width < 52)
        EXPECT("CR3, a bit beyond the width", GP(0), "mov %0, %%cr3",
               : : "r"(READ_REG("cr3") | 1ul << width));
    else
        skip("CR3, a bit beyond the width", "all 52 bits are there");
    Word cr0 = READ_REG("cr0"), cr4 = READ_REG("cr4");
    EXPECT("CR0.PG = 0 in 64-bit code", GP(0), "mov %0, %%cr0", : : "r"(cr0 & ~CR0_PG));
    EXPECT("CR4.PAE = 0 in long mode", GP(0), "mov %0, %%cr4", : : "r"(cr4 & ~(Word)CR4_PAE));
    EXPECT("bit 32 of CR0", GP(0), "mov %0, %%cr0", : : "r"(cr0 | 1ul << 32));
    EXPECT("bit 63 of CR4", GP(0), "mov %0, %%cr4", : : "r"(cr4 | 1ul << 63));
    EXPECT("EFER.LME = 0 with paging", GP(0), "wrmsr",
           : : "c"(MSR_EFER), "a"((uint32_t)rdmsr(MSR_EFER) & ~EFER_LME), "d"(0));
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_LME);
    check_eq("EFER is unchanged", rdmsr(MSR_EFER) & (EFER_LME | EFER_LMA), EFER_LME | EFER_LMA);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(Word)EFER_LMA);
    check_eq("a write of LMA is void", rdmsr(MSR_EFER) & EFER_LMA, EFER_LMA);
}
