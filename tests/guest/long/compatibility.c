/*
 * Compatibility mode (SDM Vol. 3, 9.8.3): 32- and 16-bit code under EFER.LMA, with segmentation as
 * in protected mode, but interrupts as in long mode. Task switches, and 16-bit call gates, are
 * gone.
 *   results of 32-bit instructions zero bits 63-32; R8-R15 cannot be named: 0x40-0x4f are INC, DEC
 *   far JMP to a TSS                #GP(tss)
 *   addresses are 32 bits wide and wrap
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

CODE32(inc_dec, ".byte 0x40\n .byte 0x48\n inc %eax");
CODE32(wrap, "movl $0xfffffff0, %ebx\n movl 0x9010(%ebx), %eax");
CODE32(no_swapgs, ".byte 0x0f, 0x01, 0xf8");
CODE32(jump_tss, "ljmp $0x40, $0");
CODE32(to_64, "ljmp $0x3b, $in_64");
CODE64(in_64, "movabs $0x123456789abcdef0, %rax");
CODE64(far_pointer, "ljmp *%cs:far_pointer_to_32");
CODE32(in_32, "pushl $0x12345\n popl %ebx\n far_pointer_to_32: .long far_32; .word 0x2b\n far_32:");
CODE32(push_32, "pushl $0x7654321");
CODE16(word_code, "movw $0x1234, %ax\n pushw %ax");
CODE32(arpl, "movl $0x60, %eax\n movl $3, %ebx\n .byte 0x63, 0xd8");

static Context user32(const char *code)
{
    Context c = user_context(code);
    c.cs = SEL_UCODE32;
    c.ax = 0xffffffff00000005;
    run(&c);
    return c;
}

void guest_test(void)
{
    Context c = user32(inc_dec);
    check_context("0x40 and 0x48 are INC and DEC", &c, DONE);
    check_eq("  RAX", c.ax, 6);

    *(volatile uint32_t *)0x9000 = 0x13579bdf;
    c = user32(wrap);
    check_context("an address wraps at 4 GB", &c, DONE);
    check_eq("  EAX", c.ax, 0x13579bdf);
    c = user32(no_swapgs);
    check_context("SWAPGS", &c, UD);
    c = user32(jump_tss);
    check_context("JMP to a TSS", &c, GP(SEL_TSS));
    c = user32(arpl);
    check_context("0x63 is ARPL", &c, DONE);
    check_eq("  AX", c.ax, 0x63);

    c = user32(push_32);
    check_context("PUSH", &c, DONE);
    check_eq("  4 bytes", c.sp, user_context(0).sp - 4);

    c = user32(to_64);
    check_context("far JMP to 64-bit code", &c, DONE);
    check_eq("  RAX", c.ax, 0x123456789abcdef0);
    check_eq("  CS", c.cs, SEL_UCODE64);
    c = user_context(far_pointer);
    run(&c);
    check_context("far JMP to 32-bit code", &c, DONE);
    check_eq("  CS", c.cs, SEL_UCODE32);

    set_gdt(SEL_FREE, segment(LINEAR16(0), 0xffff, TYPE_CODE | DPL(3), 0));
    c = user_context(word_code);
    c.cs = SEL_FREE | 3;
    c.ax = 0xffffffffffffffff;
    run(&c);
    check_context("16-bit code", &c, DONE);
    check_eq("  AX", c.ax, 0xffffffffffff1234);
    check_eq("  PUSH of 2 bytes", c.sp, user_context(0).sp - 2);

    /* Segments count: a limit of 0xfff. */
    set_gdt(SEL_FREE, segment(0x9000, 0xfff, TYPE_DATA_RW | DPL(3), SEG_D));
    c = user_context(wrap);
    c.cs = SEL_UCODE32;
    c.ds = SEL_FREE | 3;
    run(&c);
    qemu_deviates("data accesses do not check the segment's limit");
    check_context("a limit counts", &c, GP(0));
}
