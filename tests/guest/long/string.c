/*
 * String instructions in 64-bit mode (SDM Vol. 2, REP): RCX, RSI, RDI count with 64 bits; with a
 * 32-bit address size ECX, ESI, EDI, zero-extended when written. A fault in the middle leaves them
 * exact.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#define VA 0x7000000000ul

CODE64(move, "rep movsq");
CODE64(move_32, "addr32 rep movsb");
CODE64(store_none, "addr32 rep stosb");

static Context go(const char *code, Word cx, Word si, Word di)
{
    Context c = kernel_context(code);
    c.cx = cx;
    c.si = si;
    c.di = di;
    c.ax = 0x5a;
    run(&c);
    return c;
}

void guest_test(void)
{
    paging_on(PAGING_4LEVEL);
    map(VA, TEST_PA | PTE_P | PTE_W);
    set_entry(VA + 0x1000, 1, 0);
    Context c = go(move, 0x100000005, TEST_PA, VA + 0x1000 - 24);
    check_context("REP MOVSQ, RCX beyond 4 G", &c, PF(2));
    check_eq("  RCX", c.cx, 0x100000002);
    check_eq("  RSI", c.si, TEST_PA + 24);
    check_eq("  CR2", c.cr2, VA + 0x1000);
    c = go(move_32, 0xffffffff00000003, 0xffffffff00000000 | TEST_PA, 0xffffffff00009000);
    check_context("32-bit addresses", &c, DONE);
    check_eq("  RCX", c.cx, 0);
    check_eq("  RSI", c.si, TEST_PA + 3);
    check_eq("  RDI", c.di, 0x9003);
    c = go(store_none, 0xffffffff00000000, 0, 0xffffffff00009000);
    check_context("ECX = 0", &c, DONE);
}
