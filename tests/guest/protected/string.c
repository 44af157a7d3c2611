/*
 * String instructions (SDM Vol. 2, REP): a fault in the middle leaves ECX, ESI, EDI at the element
 * that faulted, with all before it done and EIP at the prefix, so that it can go on.
 *   DF; overlapping; ECX = 0 does nothing, not even fault; REPE and REPNE end conditions
 *   16-bit addresses use SI, DI, CX and wrap; LODS without REP
 *   ES cannot be overridden; a fault of the second operand
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#define PAGE2 (TEST_VA + 0x1000)

CODE32(move, "rep movsl");
CODE32(store, "rep stosb");
CODE32(compare, "repe cmpsb");
CODE32(scan, "repne scasb");
CODE32(load, "lodsw");
CODE32(down, "std\n rep movsb\n cld");
CODE32(move_16, "addr16 rep movsb");
CODE32(insert, "movw $0x80, %dx\n insert_here: rep insb");
CODE32(output, "movw $0x80, %dx\n rep outsb");

static Context go(const char *code, Word cx, Word si, Word di, Word ax)
{
    Context c = kernel_context(code);
    c.cx = cx;
    c.si = si;
    c.di = di;
    c.ax = ax;
    run(&c);
    return c;
}

static void faults(void)
{
    Context c = go(move, 8, TEST_PA, PAGE2 - 12, 0);
    check_context("REP MOVSD into a missing page", &c, PF(2));
    check_eq("  CR2", c.cr2, PAGE2);
    check_eq("  EIP at the prefix", c.ip, (Word)move);
    check_eq("  ECX", c.cx, 5);
    check_eq("  ESI", c.si, TEST_PA + 12);
    check_eq("  EDI", c.di, PAGE2);
    c = go(move, 8, PAGE2 - 12, TEST_PA, 0);
    check_context("REP MOVSD from a missing page", &c, PF(0));
    check_eq("  ECX", c.cx, 5);
    check_eq("  EDI", c.di, TEST_PA + 12);
    c = go(store, 100, 0, PAGE2 - 3, 0x5a);
    check_context("REP STOSB", &c, PF(2));
    check_eq("  ECX", c.cx, 97);
    check_eq("  the first three are written", *(volatile uint32_t *)(PAGE2 - 4) >> 8, 0x5a5a5a);
    c = go(insert, 5, 0, PAGE2 - 2, 0);
    check_context("REP INSB", &c, PF(2));
    check_eq("  ECX", c.cx, 3);
    c = go(move, 0, 0, PAGE2, 0);
    check_context("ECX = 0 does not fault", &c, DONE);
    c = go(compare, 50, PAGE2 - 5, PAGE2 - 5, 0);
    check_context("REPE CMPSB of equal bytes into a missing page", &c, PF(0));
    check_eq("  ECX", c.cx, 45);
    /* Mapped now, the same state goes on. */
    map(PAGE2, (TEST_PA + 0x1000) | PTE_P | PTE_W);
    c.ip = (Word)compare;
    run(&c);
    check_context("  it goes on", &c, DONE);
    check_eq("  ECX", c.cx, 0);
    map(PAGE2, 0);
}

static void results(void)
{
    uint8_t *m = (uint8_t *)TEST_PA;
    memcpy(m, "0123456789", 10);
    Context c = go(down, 5, TEST_PA + 9, TEST_PA + 19, 0);
    check_context("DF", &c, DONE);
    check_eq("  ESI", c.si, TEST_PA + 4);
    check("  memory", !memcmp(m + 15, "56789", 5));
    c = go(move, 4, TEST_PA, TEST_PA + 4, 0);
    check("overlapping: each element is read after the one before was written",
          !memcmp(m + 4, "0123012301230123", 16));
    memcpy(m, "aaaaab", 6);
    c = go(scan, 10, 0, TEST_PA, 'b');
    check_eq("REPNE SCASB: EDI behind it", c.di, TEST_PA + 6);
    check_eq("  ECX", c.cx, 4);
    check_eq("  ZF", c.flags & FLAG_ZF, FLAG_ZF);
    c = go(compare, 10, TEST_PA, TEST_PA + 1, 0);
    check_eq("REPE CMPSB: stops at a difference", c.cx, 5);
    check_eq("  flags of 'a' - 'b'", c.flags & (FLAG_ZF | FLAG_CF), FLAG_CF);
    c = go(load, 0, TEST_PA + 4, 0, 0x12340000);
    check_eq("LODSW", c.ax, 0x12340000 | 'b' << 8 | 'a');
    c = go(move_16, 0x50003, 0xaaaa0500, 0xbbbbffff - 1, 0);
    check_context("16-bit addresses", &c, DONE);
    check_eq("  ECX: CX alone counts", c.cx, 0x50000);
    check_eq("  ESI", c.si, 0xaaaa0503);
    check_eq("  EDI wraps", c.di, 0xbbbb0001);
    c = go(output, 3, (Word) "...", 0, 0);
    check_eq("REP OUTSB", c.cx, 0);
}

void guest_test(void)
{
    paging_on(PAGING_32BIT);
    map(TEST_VA, TEST_PA | PTE_P | PTE_W);
    map(PAGE2, 0);
    faults();
    results();
}
