/*
 * Address bits that the CPU does not have (MAXPHYADDR, CPUID 80000008:EAX[7:0]) are reserved (SDM
 * Vol. 3, 4.5): #PF with RSVD. Bits that the manual calls ignored are.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#define VA 0x7000000000ul

void guest_test(void)
{
    unsigned width = cpuid(0x80000008, 0).eax & 0xff;
    paging_on(PAGING_4LEVEL);
    map(VA, TEST_PA | PTE_P | PTE_W);
    if (width < 52) {
        for (unsigned level = 1; level <= 4; level++) {
            uint64_t entry = get_entry(VA, level);
            set_entry(VA, level, entry | 1ull << width);
            invlpg(VA);
            qemu_deviates("a reserved bit does not set P");
            EXPECT("a bit beyond the width, read", PF(9), "movb (%0), %%al", : : "b"(VA) : "eax");
            set_entry(VA, level, entry);
            invlpg(VA);
        }
        EXPECT("without it", NONE, "movb (%0), %%al", : : "b"(VA) : "eax");
    } else {
        skip("a bit beyond the width", "all 52 bits are there");
    }
    set_entry(VA, 4, get_entry(VA, 4) | PTE_G);
    WRITE_REG("cr3", READ_REG("cr3"));
    EXPECT("an ignored bit of a PML4E", NONE, "movb (%0), %%al", : : "b"(VA) : "eax");
    set_entry(VA, 1, get_entry(VA, 1) | 7ull << 9 | 0x7full << 52);
    invlpg(VA);
    EXPECT("ignored bits of a PTE: 9-11, 52-58", NONE, "movb (%0), %%al", : : "b"(VA) : "eax");
}
