/*
 * A page of a TSS that is missing during a task switch (SDM Vol. 3, 7.2.1, 7.3): #PF in the old
 * task's context, with the old task unchanged, so that the switch can be tried again.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { TSS_B = SEL_FREE };

CODE32(jump_to_b, "ljmp $0x60, $0");
CODE32(in_b, "");

void guest_test(void)
{
    paging_on(PAGING_32BIT);
    volatile Tss32 *b = (Tss32 *)TEST_PA; /* by its mapping 1:1 */
    task_context(b, in_b);
    b->eax = 0x1234;
    set_entry(TEST_VA, 1, 0);
    set_gdt(TSS_B, segment(TEST_VA, 0x67, TYPE_TSS, 0));
    tss.cr3 = READ_REG("cr3");

    Context c = kernel_context(jump_to_b);
    run(&c);
    check_context("the new TSS is missing", &c, PF(0));
    check_eq("  EIP", c.ip, (Word)jump_to_b);
    Word tr;
    asm volatile("str %0" : "=r"(tr));
    check_eq("  TR", tr & 0xffff, SEL_TSS);
    check_eq("  the old TSS is busy", gdt[SEL_TSS / 8] >> 40 & 0xff, TYPE_TSS_BUSY);
    check_eq("  the new one is not", gdt[TSS_B / 8] >> 40 & 0xff, TYPE_TSS);

    map(TEST_VA, TEST_PA | PTE_P | PTE_W);
    c = kernel_context(jump_to_b);
    run(&c);
    check_context("tried again", &c, DONE);
    check_eq("  EAX of the new task", c.ax, 0x1234);
    set_gdt(SEL_TSS, segment((Word)&tss, sizeof(tss) - 1, TYPE_TSS, 0));
    asm volatile("clts; ltr %w0" : : "r"(SEL_TSS));
}
