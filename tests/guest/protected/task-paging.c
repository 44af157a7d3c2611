/*
 * A task switch loads CR3 from the new TSS while paging is on (SDM Vol. 3, 7.3): the same address
 * is another page in the new task, and again the old one after IRET. The TSS of the new task is
 * read through the old map.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { TSS_B = SEL_FREE };

static volatile Tss32 b;

CODE32(call_b, "movl (%esi), %ebx\n lcall $0x60, $0\n movl (%esi), %ecx");
CODE32(in_b, "movl (%esi), %eax\n movl %eax, seen_in_b\n iretl");
volatile uint32_t seen_in_b;

void guest_test(void)
{
    *(volatile uint32_t *)TEST_PA = 0xaaaa;
    *(volatile uint32_t *)(TEST_PA + 0x1000) = 0xbbbb;
    paging_on(PAGING_32BIT);
    map(TEST_VA, (TEST_PA + 0x1000) | PTE_P | PTE_W);
    Word cr3_b = READ_REG("cr3");
    paging_on(PAGING_32BIT);
    map(TEST_VA, TEST_PA | PTE_P | PTE_W);
    Word cr3_a = READ_REG("cr3");

    tss.cr3 = cr3_a; /* a switch does not save CR3 */
    set_gdt(TSS_B, segment((Word)&b, sizeof(b) - 1, TYPE_TSS, 0));
    task_context(&b, in_b);
    b.cr3 = cr3_b;
    b.esi = TEST_VA;
    Context c = kernel_context(call_b);
    c.si = TEST_VA;
    run(&c);
    check_context("CALL and IRET between address spaces", &c, DONE);
    check_eq("  before", c.bx, 0xaaaa);
    check_eq("  in the new task", seen_in_b, 0xbbbb);
    check_eq("  after", c.cx, 0xaaaa);
    check_eq("  CR3", READ_REG("cr3"), cr3_a);
    check_eq("  CR3 in the new TSS is not written", b.cr3, cr3_b);
}
