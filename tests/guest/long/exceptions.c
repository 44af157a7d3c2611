/*
 * Exceptions in 64-bit mode (SDM Vol. 3, 6.13, 6.14): RIP, error codes, CR2 with 64 bits; the EXT
 * bit; #DF on an IST stack when the normal one is gone; #AC at CPL 3.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { EXT = 1, IDT_BIT = 2 };
#define FAR 0xffffff7f12345678ul

CODE64(divide, "xorl %ecx, %ecx\n divq %rcx");
CODE64(undefined, "ud2");
CODE64(push, "push %rax");
CODE64(dword, "movl (%rbx), %eax");
CODE64(touch, "movl (%rbx), %eax");

static uint8_t ist_stack[4096] __attribute__((aligned(16)));

static Context go(const char *code, bool user, Word bx)
{
    Context c = user ? user_context(code) : kernel_context(code);
    c.bx = bx;
    c.ax = 1;
    run(&c);
    return c;
}

void guest_test(void)
{
    paging_on(PAGING_4LEVEL);
    Context c = go(divide, false, 0);
    check_context("DIV by 0", &c, DE);
    check_eq("  RIP", c.ip, (Word)divide + 2);
    c = go(touch, false, FAR);
    check_context("a page far up", &c, PF(0));
    check_eq("  CR2", c.cr2, FAR);
    c = go(touch, true, FAR);
    check_context("  at CPL 3", &c, PF(4));

    /* No stack: the push of the frame faults, and that of #PF, too. */
    tss.ist[1] = (Word)ist_stack + sizeof(ist_stack);
    uint64_t df = get_idt(8);
    put_idt(8, df | 1ull << 32);
    c = kernel_context(push);
    c.sp = FAR & ~15ul;
    run(&c);
    check_context("a stack that is not there", &c, DF);
    check_eq("  CR2: PUSH, or the frame's first quadword", c.cr2, (FAR & ~15ul) - 8);
    check_eq("  RIP", c.ip, (Word)push);
    check_eq("  RSP is that of before", c.sp, FAR & ~15ul);
    put_idt(8, df);

    uint64_t ud = get_idt(6);
    put_idt(6, ud & ~((uint64_t)PRESENT << 40));
    c = go(undefined, false, 0);
    qemu_deviates("EXT is not set, error codes hold the vector times 16");
    check_context("#UD, gate not present", &c, NP(6 * 8 + IDT_BIT + EXT));
    put_idt(6, ud);
    uint64_t de = get_idt(0);
    put_idt(0, 0);
    c = go(divide, false, 0);
    check_context("#DE, no gate", &c, DF);
    put_idt(0, de);

    WRITE_REG("cr0", READ_REG("cr0") | CR0_AM);
    static uint64_t memory[2];
    c = user_context(dword);
    c.bx = (Word)memory + 2;
    c.flags |= FLAG_AC;
    run(&c);
    qemu_deviates("alignment is never checked");
    check_context("misaligned at CPL 3 with AC", &c, AC);
}
