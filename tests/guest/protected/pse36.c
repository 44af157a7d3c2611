/*
 * 4 MB pages above 4 GB in 32-bit paging (PSE-36; SDM Vol. 3, 4.3): bits 13-20 of the directory
 * entry are address bits 32-39.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* args: -m 5120 */
#include "guest.h"

enum { VA = 0x50000000, LOW = 0x10000000 };

void guest_test(void)
{
    if (!need(1, 'd', 17, "PSE36"))
        return;
    volatile uint32_t *low = (uint32_t *)LOW, *high = (uint32_t *)VA;
    paging_on(PAGING_32BIT);
    *low = 0x1111;
    set_entry(VA, 2, LOW | 1 << 13 | PTE_P | PTE_W | PTE_PS); /* 4 GB + 256 MB */
    *high = 0x2222;
    check_eq("the page above 4 GB", *high, 0x2222);
    check_eq("  the one 4 GB below is another", *low, 0x1111);

    if (!need(1, 'd', 6, "PAE"))
        return;
    paging_off();
    paging_on(PAGING_PAE);
    map(TEST_VA, 0x100000000ull | LOW | PTE_P | PTE_W);
    check_eq("the same RAM by PAE", *(volatile uint32_t *)TEST_VA, 0x2222);
}
