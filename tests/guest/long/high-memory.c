/*
 * RAM above 4 GB (SDM Vol. 3, 4.5): reached by 4 KB, 2 MB and page-table addresses beyond 32
 * bits; it is not the RAM of the same address modulo 4 GB.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* args: -m 5120 */
#include "guest.h"

#define HIGH 0x110000000ul /* 4 GB + 256 MB */
#define VA 0x7000000000ul

static const uint8_t mov_int[] = {0xb8, 0x44, 0x33, 0x22, 0x11, 0xcd, 0x30};

void guest_test(void)
{
    paging_on(PAGING_4LEVEL);
    volatile uint64_t *low = (uint64_t *)(HIGH & 0xffffffff), *page = (uint64_t *)VA;
    *low = 1;
    map(VA, HIGH | PTE_P | PTE_W);
    *page = 0x123456789abcdef0;
    check_eq("a 4 KB page above 4 GB", *page, 0x123456789abcdef0);
    check_eq("  the page 4 GB below is another", *low, 1);
    map(VA + 0x1000, HIGH | PTE_P);
    check_eq("  seen by another address", page[512], 0x123456789abcdef0);

    set_entry(VA + 0x200000, 2, HIGH | PTE_P | PTE_W | PTE_PS);
    check_eq("a 2 MB page above 4 GB", *(volatile uint64_t *)(VA + 0x200000), 0x123456789abcdef0);

    memcpy((void *)page, mov_int, sizeof(mov_int));
    Context c = kernel_context((void *)page);
    run(&c);
    check_context("code above 4 GB", &c, DONE);
    check_eq("  RAX", c.ax, 0x11223344);

    /* A page table above 4 GB: the copy of the one in use. */
    uint64_t pde = get_entry(VA, 2);
    memcpy((void *)page, (void *)(pde & 0xffffffffff000ul), 4096);
    set_entry(VA, 2, HIGH | (pde & 0xfff));
    WRITE_REG("cr3", READ_REG("cr3"));
    check_eq("a page table above 4 GB", page[0] & 0x1fffff000, HIGH);
    uint64_t entry = page[1];
    check_eq("  its entry's A bit was set there", entry & PTE_P, PTE_P);
    (void)*(volatile uint64_t *)(VA + 0x1000);
    check_eq("  and is now", page[1] & PTE_A, PTE_A);
}
