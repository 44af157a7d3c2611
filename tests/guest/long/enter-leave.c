/*
 * Into long mode and out of it (SDM Vol. 3, 9.8.5): leaving means from compatibility mode CR0.PG =
 * 0; LMA follows LME and PG.
 *   PG = 1 with LME but without PAE: #GP(0)
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

/* In 32-bit code: paging off, LMA seen, paging on again, back to 64-bit code. */
CODE32(out_and_in,
       "movl %cr0, %ebp\n movl %ebp, %eax\n andl $0x7fffffff, %eax\n movl %eax, %cr0\n"
       "movl $0xc0000080, %ecx\n rdmsr\n movl %eax, %esi\n"
       "movl %cr4, %ebx\n movl %ebx, %eax\n andl $~0x20, %eax\n movl %eax, %cr4\n"
       "movl %ebx, %cr4\n"
       "movl %ebp, %cr0\n rdmsr\n movl %eax, %edi\n ljmp $8, $in_again");
CODE64(in_again, "nop");
CODE32(without_pae,
       "movl %cr0, %ebp\n movl %ebp, %eax\n andl $0x7fffffff, %eax\n movl %eax, %cr0\n"
       "movl %cr4, %ebx\n movl %ebx, %eax\n andl $~0x20, %eax\n movl %eax, %cr4\n"
       "movl $0, protected_idt_hit\n sidt saved_idt\n lidt protected_idt_pointer\n"
       "movl %ebp, %cr0\n"
       "protected_gp: addl $4, %esp\n movl $1, protected_idt_hit\n"
       "movl %ebx, %cr4\n movl %ebp, %cr0\n lidt saved_idt\n addl $12, %esp\n ljmp $8, $in_again");
/* #GP in protected mode without paging: an 8-byte gate of its own. */
asm(".data\n saved_idt: .skip 10\n .balign 8\n protected_idt: .skip 13 * 8\n"
    "protected_gate: .quad 0\n protected_idt_pointer: .word 14 * 8 - 1\n .long protected_idt, 0\n"
    "protected_idt_hit: .long 0\n .text");
extern volatile uint64_t protected_gate;
extern volatile uint32_t protected_idt_hit;
extern char protected_gp[];

void guest_test(void)
{
    check_eq("EFER has LME and LMA", rdmsr(MSR_EFER) & (EFER_LME | EFER_LMA), EFER_LME | EFER_LMA);
    Context c = kernel_context(out_and_in);
    c.cs = SEL_CODE32;
    run(&c);
    check_context("out and in", &c, DONE);
    check_eq("  LMA is clear outside, LME stays", c.si & (EFER_LME | EFER_LMA), EFER_LME);
    check_eq("  LMA is set again", c.di & (EFER_LME | EFER_LMA), EFER_LME | EFER_LMA);

    protected_gate = gate((Word)protected_gp, SEL_CODE32, TYPE_INT, 0);
    c = kernel_context(without_pae);
    c.cs = SEL_CODE32;
    run(&c);
    check_context("PG with LME, without PAE", &c, DONE);
    check_eq("  #GP", protected_idt_hit, 1);
}
