/*
 * Far RET, JMP and loads of far pointers in 64-bit mode (SDM Vol. 2).
 *   RETFQ pops quadwords, RETF (32-bit operand) dwords; to compatibility mode; to an outer level
 *   far JMP and CALL take memory operands only: 0xea and 0x9a are #UD; so are LDS, LES and others
 *   LSS r64 m16:64 (Intel) loads all of RSP
 *   SS null may be loaded at CPL 0 to 2 with RPL = CPL
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

CODE64(retfq, "pushq %rbx\n pushq %rax\n lretq");
CODE64(retf, "subq $8, %rsp\n movl %ebx, 4(%rsp)\n movl %eax, (%rsp)\n lretl");
CODE64(retfq_outer, "pushq %rdx\n pushq %rsi\n pushq %rbx\n pushq %rax\n lretq");
CODE64(target, "");

static Context back(const char *code, unsigned cs)
{
    Context c = kernel_context(code);
    c.ax = (Word)target;
    c.bx = cs;
    c.si = 0x9000;
    c.dx = SEL_UDATA;
    run(&c);
    return c;
}

static void undefined(void)
{
    EXPECT("far JMP ptr16:32", UD, ".byte 0xea; .skip 6", :);
    EXPECT("far CALL ptr16:32", UD, ".byte 0x9a; .skip 6", :);
    EXPECT("PUSH CS", UD, ".byte 0x0e", :);
    EXPECT("POP DS", UD, ".byte 0x1f", :);
    EXPECT("AAA", UD, ".byte 0x37", :);
    EXPECT("DAA", UD, ".byte 0x27", :);
    EXPECT("AAM", UD, ".byte 0xd4, 10", :);
    EXPECT("PUSHA", UD, ".byte 0x60", :);
    EXPECT("INTO", UD, ".byte 0xce", :);
    EXPECT("SALC", UD, ".byte 0xd6", :);
    EXPECT("0x82", UD, ".byte 0x82, 0xc0, 1", :);
}

void guest_test(void)
{
    Context c = back(retfq, SEL_CODE);
    check_context("RETFQ, same level", &c, DONE);
    check_eq("  RSP", c.sp, kernel_context(0).sp);
    c = back(retf, SEL_CODE);
    check_context("RETF of dwords", &c, DONE);
    check_eq("  RSP", c.sp, kernel_context(0).sp);
    c = back(retf, SEL_CODE32);
    check_context("RETF to 32-bit code", &c, DONE);
    check_eq("  CS", c.cs, SEL_CODE32);
    c = back(retfq_outer, SEL_UCODE64);
    check_context("RETFQ to CPL 3", &c, DONE);
    check_eq("  RSP", c.sp, 0x9000);
    check_eq("  SS", c.ss, SEL_UDATA);
    check_eq("  DS of DPL 0 becomes null", c.ds, 0);
    c = back(retfq, 0);
    check_context("RETFQ to null", &c, GP(0));
    undefined();
    EXPECT("SS null at CPL 0", NONE, "mov %0, %%ss", : : "r"(0));
    qemu_deviates("the RPL of a null SS is not checked");
    EXPECT("SS null with RPL 3 at CPL 0", GP(0), "mov %0, %%ss", : : "r"(3));
    asm volatile("mov %0, %%ss" : : "r"(SEL_DATA));
}
