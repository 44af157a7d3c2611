/*
 * IRET in long mode (SDM Vol. 2, IRET): to 64-bit and compatibility mode, with checks as in
 * protected mode, and:
 *   SS may be null when it returns to 64-bit code at CPL 0 to 2 with RPL equal to it
 *   NT set            #GP(0)
 *   RIP not canonical #GP(0)
 *   32-bit IRET pops dwords, SS:ESP only if the level changes or from 64-bit mode always
 * DS, ES, FS, GS that CPL 3 may not have become null.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

CODE64(iretq, "pushq %rdx\n pushq %rsi\n pushq %rcx\n pushq %rbx\n pushq %rax\n iretq_here: iretq");
CODE64(iretl, "subq $20, %rsp\n movl %edx, 16(%rsp)\n movl %esi, 12(%rsp)\n movl %ecx, 8(%rsp)\n"
              "movl %ebx, 4(%rsp)\n movl %eax, (%rsp)\n iretl");
CODE64(target, "");
extern char iretq_here[];

static Context back(const char *code, Word ip, unsigned cs, unsigned ss, Word flags)
{
    Context c = kernel_context(code);
    c.ax = ip;
    c.bx = cs;
    c.cx = flags;
    c.si = 0x9000;
    c.dx = ss;
    c.es = SEL_UDATA;
    run(&c);
    return c;
}

static void fine(const char *name, const char *code, unsigned cs, unsigned ss)
{
    Context c = back(code, (Word)target, cs, ss, 2);
    check_context(name, &c, DONE);
    check_eq("  CS", c.cs, cs);
    check_eq("  SS", c.ss, ss);
    check_eq("  RSP", c.sp, 0x9000);
}

static void fault(const char *name, Word ip, unsigned cs, unsigned ss, unsigned want,
                  const char *deviation)
{
    Context c = back(iretq, ip, cs, ss, 2);
    qemu_deviates(deviation);
    check_context(name, &c, want);
    qemu_deviates(deviation);
    check_eq("  RIP", c.ip, (Word)iretq_here);
}

void guest_test(void)
{
    fine("IRETQ to 64-bit CPL 0", iretq, SEL_CODE, SEL_DATA);
    fine("IRETQ to 64-bit CPL 0, null SS", iretq, SEL_CODE, 0);
    fine("IRETQ to 64-bit CPL 3", iretq, SEL_UCODE64, SEL_UDATA);
    fine("IRETQ to 32-bit CPL 3", iretq, SEL_UCODE32, SEL_UDATA);
    fine("IRETQ to 32-bit CPL 0", iretq, SEL_CODE32, SEL_DATA);
    fine("IRETD to 64-bit CPL 3", iretl, SEL_UCODE64, SEL_UDATA);
    fine("IRETD to 64-bit CPL 0", iretl, SEL_CODE, SEL_DATA);

    Word ip = (Word)target;
    fault("null SS, CPL 3", ip, SEL_UCODE64, 3, GP(0), NULL);
    fault("null SS, 32-bit code", ip, SEL_CODE32, 0, GP(0), "SS may be null in any code");
    fault("null CS", ip, 0, SEL_DATA, GP(0), NULL);
    Context c = back(iretq, 0x800000000000, SEL_CODE, SEL_DATA, 2);
    check_context("RIP not canonical", &c, GP(0));
    qemu_deviates("the fault comes from the fetch");
    check_eq("  RIP", c.ip, (Word)iretq_here);
    fault("SS, DPL 0 for CPL 3", ip, SEL_UCODE64, SEL_DATA | 3, GP(SEL_DATA), NULL);
    set_gdt(SEL_FREE, segment(0, 0xfffff, TYPE_CODE, SEG_G | SEG_L | SEG_D));
    fault("CS with L and D", ip, SEL_FREE, SEL_DATA, GP(SEL_FREE), "L with D is taken");
    set_gdt(SEL_FREE, segment(0, 0xfffff, TYPE_CODE & ~PRESENT, SEG_G | SEG_L));
    fault("CS not present", ip, SEL_FREE, SEL_DATA, NP(SEL_FREE), NULL);

    c = back(iretq, ip, SEL_UCODE64, SEL_UDATA, 2);
    check_eq("to CPL 3: DS becomes null", c.ds, 0);
    check_eq("  ES of DPL 3 stays", c.es, SEL_UDATA);

    c = kernel_context(iretq);
    c.flags |= FLAG_NT;
    c.ax = ip;
    c.bx = SEL_CODE;
    c.dx = SEL_DATA;
    run(&c);
    check_context("IRETQ with NT", &c, GP(0));
}
