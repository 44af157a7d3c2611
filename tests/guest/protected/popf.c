/*
 * POPF in protected mode (SDM Vol. 2): IF changes at CPL <= IOPL, IOPL at CPL 0 only, silently; VM,
 * VIF, VIP and RF are never changed; a 16-bit POPF leaves the upper half. PUSHF clears VM and RF in
 * what it pushes.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

CODE32(popfl, "pushl %eax\n popfl");
CODE32(popfw, "pushw %ax\n popfw");

enum { MASK = 0x3f7fd7 & ~FLAG_TF };

static void expect(const char *name, const char *code, bool user, Word before, Word ax, Word want)
{
    Context c = user ? user_context(code) : kernel_context(code);
    c.flags = before | 2;
    c.ax = ax;
    run(&c);
    check_context(name, &c, DONE);
    check_eq("  EFLAGS", c.flags & MASK, want | 2);
}

void guest_test(void)
{
    Word free_bits = FLAG_CF | FLAG_ZF | FLAG_DF | FLAG_OF | FLAG_NT | FLAG_AC | FLAG_ID;
    Word all = free_bits | FLAG_IF | FLAG_IOPL3 | FLAG_RF | FLAG_VM | FLAG_VIF | FLAG_VIP;

    expect("CPL 0", popfl, false, 0, all, free_bits | FLAG_IF | FLAG_IOPL3);
    expect("CPL 3, IOPL 0", popfl, true, 0, all, free_bits);
    expect("CPL 3, IOPL 0, IF stays", popfl, true, FLAG_IF, 0, FLAG_IF);
    expect("CPL 3, IOPL 3", popfl, true, FLAG_IOPL3, all, free_bits | FLAG_IF | FLAG_IOPL3);
    expect("CPL 3, IOPL 3, IF cleared", popfl, true, FLAG_IOPL3 | FLAG_IF, 0, FLAG_IOPL3);
    expect("16 bits", popfw, false, FLAG_AC | FLAG_ID, FLAG_CF, FLAG_AC | FLAG_ID | FLAG_CF);
    expect("what reads as constant", popfl, false, 0, 0x8028, 0);
}
