/*
 * What MOV to CR0 and CR4 refuse with #GP(0), keeping the register (SDM Vol. 3, 2.5): in CR0 PG
 * without PE, NW without CD; in CR4 reserved bits.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* not on QEMU: it takes PG without PE and ends up nowhere */
#include "guest.h"

void guest_test(void)
{
    Word cr0 = READ_REG("cr0");
    EXPECT("NW without CD", GP(0), "mov %0, %%cr0", : : "r"((cr0 & ~CR0_CD) | CR0_NW));
    EXPECT("PG without PE", GP(0), "mov %0, %%cr0", : : "r"((cr0 & ~1ul) | CR0_PG));
    EXPECT("PG without PE, all else clear", GP(0), "mov %0, %%cr0", : : "r"(CR0_PG));
    check_eq("CR0 is kept", READ_REG("cr0"), cr0);

    Word cr4 = READ_REG("cr4");
    EXPECT("CR4: bit 15", GP(0), "mov %0, %%cr4", : : "r"(cr4 | 1 << 15));
    EXPECT("CR4: bit 31", GP(0), "mov %0, %%cr4", : : "r"(cr4 | 1u << 31));
    check_eq("CR4 is kept", READ_REG("cr4"), cr4);
}
