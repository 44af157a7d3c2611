/*
 * 16-bit frames in protected mode (SDM Vol. 2, IRET, RET, INT): IRETW and RETFW to an outer level
 * pop words and zero-extend IP and SP; a 32-bit handler behind a 16-bit gate still gets words;
 * IRETW leaves the upper half of EFLAGS.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { CODE16_3 = SEL_FREE, STACK16 = SEL_FREE + 8 };

CODE32(iret_words, "pushw %dx\n pushw %si\n pushw %cx\n pushw %bx\n pushw %ax\n iretw");
CODE32(iret_same, "pushw %cx\n pushw $0x18\n pushw %ax\n iretw");
CODE32(retf_words, "pushw %dx\n pushw %si\n pushw %bx\n pushw %ax\n lretw");
CODE16(target, "");
CODE32(soft_int, "int $0x55");
CODE32(nothing, "");

static Context go(const char *code, Word flags)
{
    Context c = kernel_context(code);
    c.ax = (Word)target;
    c.bx = CODE16_3 | 3;
    c.cx = flags;
    c.si = 0x7000;
    c.dx = STACK16 | 3;
    c.flags |= FLAG_AC | FLAG_ID;
    run(&c);
    return c;
}

void guest_test(void)
{
    set_gdt(CODE16_3, segment(LINEAR16(0), 0xffff, TYPE_CODE | DPL(3), 0));
    set_gdt(STACK16, segment(0, 0xffff, TYPE_DATA_RW | DPL(3), 0));
    Context c = go(iret_words, FLAG_CF | 2);
    check_context("IRETW to CPL 3", &c, DONE);
    check_eq("  CS", c.cs, CODE16_3 | 3);
    check_eq("  IP", c.ip, (Word)target + 2);
    check_eq("  SS", c.ss, STACK16 | 3);
    check_eq("  SP", c.sp & 0xffff, 0x7000);
    check_eq("  EFLAGS", c.flags, FLAG_AC | FLAG_ID | FLAG_CF | 2);
    c = go(retf_words, 0);
    check_context("RETFW to CPL 3", &c, DONE);
    check_eq("  CS", c.cs, CODE16_3 | 3);
    check_eq("  SP", c.sp & 0xffff, 0x7000);
    c = go(iret_same, FLAG_ZF | 2);
    check_context("IRETW to CPL 0", &c, DONE);
    check_eq("  CS", c.cs, SEL_CODE16);
    check_eq("  ESP", c.sp, kernel_context(0).sp);
    check_eq("  EFLAGS", c.flags, FLAG_AC | FLAG_ID | FLAG_ZF | 2);

    /* A 16-bit gate at the same level: three words. */
    set_gdt(SEL_FREE + 16, segment((Word)nothing, 0xffff, TYPE_CODE, SEG_D));
    set_idt(0x55, 0, SEL_FREE + 16, TYPE_TRAP16);
    c = kernel_context(soft_int);
    c.flags |= FLAG_AC | FLAG_CF;
    run(&c);
    check_context("a 16-bit gate at CPL 0", &c, DONE);
    check_eq("  three words", c.sp, kernel_context(0).sp - 6);
}
