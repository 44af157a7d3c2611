/*
 * Addresses in 64-bit mode must be canonical: bits 63 to 47 all alike (SDM Vol. 1, 3.3.7.1).
 *   data reference, also one that only ends in the hole   #GP(0)
 *   the same based on RBP or RSP, PUSH, POP               #SS(0)
 *   RET, JMP, CALL to such an address                     #GP(0)
 * INVLPG of one does nothing. CR2 does not change.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#define HOLE 0x0000800000000000ul
#define LAST_HOLE 0xffff7ffffffffffful

CODE64(by_rbp, "mov (%rbp), %al");
CODE64(jump, "jmp *%rax");
CODE64(call, "call *%rax");
CODE64(ret_far_away, "push %rax; ret");

static void expect(const char *name, const char *code, unsigned want)
{
    Context c = kernel_context(code);
    c.bp = HOLE;
    c.ax = HOLE;
    run(&c);
    check_context(name, &c, want);
}

void guest_test(void)
{
    paging_on(PAGING_4LEVEL);
    map(HOLE - 0x1000, TEST_PA | PTE_P | PTE_W);
    map(LAST_HOLE + 1, TEST_PA | PTE_P | PTE_W);
    WRITE_REG("cr2", 0x1234);

    EXPECT("read, first address of the hole", GP(0), "movb (%0), %%al", : : "S"(HOLE) : "eax");
    EXPECT("read, last address of the hole", GP(0), "movb (%0), %%al", : : "S"(LAST_HOLE) : "eax");
    EXPECT("write", GP(0), "movb %%al, (%0)", : : "S"(HOLE));
    EXPECT("last byte below", NONE, "movb (%0), %%al", : : "S"(HOLE - 1) : "eax");
    EXPECT("8 bytes that end in the hole", GP(0), "movq (%0), %%rax", : : "S"(HOLE - 4) : "rax");
    EXPECT("8 bytes that begin in it", GP(0), "movq (%0), %%rax", : : "S"(LAST_HOLE) : "rax");
    EXPECT("INVLPG", NONE, "invlpg (%0)", : : "S"(HOLE));

    qemu_deviates("stack references raise #GP");
    expect("based on RBP", by_rbp, SS(0));
    expect("JMP", jump, GP(0));
    expect("CALL", call, GP(0));
    expect("RET", ret_far_away, GP(0));
    check_eq("CR2 is untouched", READ_REG("cr2"), 0x1234);
}
