/*
 * Code that changes code (SDM Vol. 3, 11.6, 8.1.3): on one CPU a store counts for the very next
 * instruction, through any linear address of the same memory (there after a jump).
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

CODE32(next, "movb $2, patched_next + 1\n patched_next: movb $1, %al");
CODE32(loop, "xorl %eax, %eax\n movl $10, %ecx\n"
             "again: patched_loop: addl $1, %eax\n addb $1, patched_loop + 2\n loop again");
CODE32(string, "movl $patched_string + 1, %edi\n movl $4, %ecx\n movl $0x05050505, %eax\n"
               "cld\n rep stosb\n patched_string: movl $0x01010101, %eax");
CODE32(earlier, "jmp 2f\n patched_earlier: movb $1, %al\n jmp 3f\n"
                "2: movb $7, patched_earlier + 1\n jmp patched_earlier\n 3:");
CODE32(across, "movl $0x90909090, patched_across\n patched_across: int3\n int3\n int3\n int3");
CODE32(via_alias, "movb $9, (%ebx)\n jmp 1f\n 1: patched_alias: movb $1, %al");
extern char patched_alias[];

static void expect(const char *name, const char *code, Word bx, Word want)
{
    Context c = kernel_context(code);
    c.bx = bx;
    run(&c);
    check_context(name, &c, DONE);
    check_eq("  EAX", c.ax, want);
}

/* Code written, run, written again, run again, at a place that straddles two pages. */
static void rewritten(void)
{
    uint8_t *code = (uint8_t *)TEST_PA + 0xffe;
    for (unsigned i = 1; i <= 3; i++) {
        memcpy(code, "\xb8\x00\x00\x00\x00\xcd\x30", 7);
        code[1] = i;
        code[3] = i;
        Context c = kernel_context(code);
        run(&c);
        check_eq("rewritten across two pages", c.ax, i | i << 16);
    }
    /* The same, changed by the second page only. */
    code[3] = 0x77;
    Context c = kernel_context(code);
    run(&c);
    check_eq("only the second page changed", c.ax, 0x770003);
}

void guest_test(void)
{
    expect("the next instruction", next, 0, 2);
    expect("in a loop", loop, 0, 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10);
    expect("by REP STOS", string, 0, 0x05050505);
    expect("an earlier block", earlier, 0, 7);
    expect("four instructions", across, 0, 0);
    rewritten();
    paging_on(PAGING_32BIT);
    map(TEST_VA, ((Word)patched_alias & ~0xffful) | PTE_P | PTE_W);
    expect("by another address", via_alias, TEST_VA + (((Word)patched_alias + 1) & 0xfff), 9);

    /* The mapping changes, the address stays. */
    static const uint8_t mov_int[2][4] = {{0xb0, 0x11, 0xcd, 0x30}, {0xb0, 0x22, 0xcd, 0x30}};
    for (unsigned i = 0; i < 2; i++) {
        memcpy((void *)(TEST_PA + i * 0x1000), mov_int[i], 4);
        map(TEST_VA, (TEST_PA + i * 0x1000) | PTE_P);
        Context c = kernel_context((void *)TEST_VA);
        run(&c);
        check_eq("another page at the same address", c.ax, i ? 0x22 : 0x11);
    }
}
