/*
 * The B bit of SS chooses SP or ESP (SDM Vol. 3, 3.4.5), independent of the operand size: with B =
 * 0 only SP moves and wraps at 64 KB, the upper half of ESP is kept.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

static uint8_t stack[0x10000] __attribute__((aligned(16)));

CODE32(nothing, "");
CODE32(push, "movl %eax, %esp\n pushl $0x12345678");
CODE32(push_word, "movl %eax, %esp\n pushw $0x1234");
CODE32(pop, "movl %eax, %esp\n popl %ebx");
CODE32(push_esp, "movl %eax, %esp\n pushl %esp");
CODE32(pop_esp, "movl %eax, %esp\n popl %esp");
CODE32(call, "movl %eax, %esp\n call 1f\n 1:");
CODE32(enter, "movl %eax, %esp\n enter $8, $0");
CODE32(leave, "movl %eax, %esp\n leave");
CODE32(push_all, "movl %eax, %esp\n pushal");
CODE32(pop_sp_relative, "movl %eax, %esp\n popl 4(%esp)");

static Context go(const char *code, Word sp, Word bp)
{
    Context c = user_context(code);
    c.ss = SEL_FREE | 3;
    c.ax = sp; /* IRET to a 16-bit stack loads SP alone, so the snippet loads ESP */
    c.bp = bp;
    run(&c);
    return c;
}

static void expect(const char *name, const char *code, Word sp, Word bp, Word want_sp)
{
    Context c = go(code, sp, bp);
    check_context(name, &c, DONE);
    check_eq("  ESP", c.sp, want_sp);
}

void guest_test(void)
{
    set_gdt(SEL_FREE, segment((Word)stack, 0xffff, TYPE_DATA_RW | DPL(3), 0));
    Context c = user_context(nothing);
    c.ss = SEL_FREE | 3;
    c.sp = 0xaaaa1000;
    run(&c);
    check_context("IRET to this stack", &c, DONE);
    check_eq("  loads SP", c.sp & 0xffff, 0x1000);
    check("  not the upper half", c.sp >> 16 != 0xaaaa);

    expect("PUSH", push, 0xaaaa1000, 0, 0xaaaa0ffc);
    check_eq("  memory", *(uint32_t *)(stack + 0xffc), 0x12345678);
    expect("PUSH at SP = 0 wraps", push, 0xaaaa0000, 0, 0xaaaafffc);
    check_eq("  memory", *(uint32_t *)(stack + 0xfffc), 0x12345678);
    expect("PUSH of a word at SP = 0", push_word, 0xaaaa0000, 0, 0xaaaafffe);
    expect("POP at SP = 0xfffc wraps", pop, 0xaaaafffc, 0, 0xaaaa0000);
    expect("CALL", call, 0xaaaa1000, 0, 0xaaaa0ffc);
    expect("ENTER", enter, 0xaaaa1000, 0xbbbbcccc, 0xaaaa0ff4);
    expect("LEAVE takes BP", leave, 0xaaaa1000, 0xbbbb2000, 0xaaaa2004);
    expect("PUSHA", push_all, 0xaaaa1000, 0, 0xaaaa0fe0);
    c = go(push_esp, 0xaaaa1000, 0);
    check_context("PUSH ESP", &c, DONE);
    check_eq("  memory: ESP from before", *(uint32_t *)(stack + 0xffc), 0xaaaa1000);
    *(uint32_t *)(stack + 0x1000) = 0x00412340;
    expect("POP ESP", pop_esp, 0xaaaa1000, 0, 0x00412340);

    set_gdt(SEL_FREE, segment(0, 0xfffff, TYPE_DATA_RW | DPL(3), SEG_G | SEG_D));
    Word top = (Word)stack + 0x1000;
    *(uint32_t *)top = 0x11111111;
    *(uint32_t *)(top + 8) = 0;
    expect("B = 1: POP 4(ESP)", pop_sp_relative, top, 0, top + 4);
    check_eq("  the address is that after the POP", *(uint32_t *)(top + 8), 0x11111111);
}
