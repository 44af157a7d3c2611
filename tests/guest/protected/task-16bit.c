/*
 * Switches to and from a 16-bit TSS (SDM Vol. 3, 7.6): words for IP, FLAGS, registers and
 * selectors; FS and GS become null. Coming back by IRET, the 32-bit task has everything again.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { TSS_B = SEL_FREE, STACK_B = SEL_FREE + 8 };

static volatile Tss16 b;

CODE32(call_b, "lcall $0x60, $0\n after_call: int $0x30");
CODE16(in_b, "");
CODE16(return_back, "iretw");
extern char after_call[];

static Context call(const char *code)
{
    set_gdt(TSS_B, segment((Word)&b, sizeof(b) - 1, TYPE_TSS16, 0));
    memset((void *)&b, 0, sizeof(b));
    b.ip = (Word)code;
    b.flags = 2;
    b.ax = 0xaaaa;
    b.di = 0xdddd;
    b.sp = 0x7000;
    b.cs = SEL_CODE16;
    b.ss = STACK_B; /* 16-bit: a 16-bit TSS leaves the upper half of ESP open */
    b.ds = b.es = SEL_DATA;
    set_gdt(STACK_B, segment(0, 0xffff, TYPE_DATA_RW, 0));
    Context c = kernel_context(call_b);
    c.ax = 0x12345678;
    c.fs = SEL_UDATA;
    run(&c);
    return c;
}

void guest_test(void)
{
    Context c = call(in_b);
    check_context("CALL of a 16-bit TSS", &c, DONE);
    check_eq("  AX", c.ax & 0xffff, 0xaaaa);
    check_eq("  DI", c.di & 0xffff, 0xdddd);
    check_eq("  SP", c.sp & 0xffff, 0x7000);
    check_eq("  CS", c.cs, SEL_CODE16);
    check_eq("  FS", c.fs, 0);
    check_eq("  GS", c.gs, 0);
    check_eq("  link", b.link, SEL_TSS);
    check_eq("  B is busy", gdt[TSS_B / 8] >> 40 & 0xff, TYPE_TSS16 | 2);
    check_eq("  EAX saved in A", tss.eax, 0x12345678);
    check_eq("  EIP saved in A", tss.eip, (Word)after_call);
    set_gdt(SEL_TSS, segment((Word)&tss, sizeof(tss) - 1, TYPE_TSS, 0));
    asm volatile("clts; ltr %w0" : : "r"(SEL_TSS));

    c = call(return_back);
    check_context("CALL and IRET", &c, DONE);
    check_eq("  EIP", c.ip, (Word)after_call + 2);
    check_eq("  EAX", c.ax, 0x12345678);
    check_eq("  FS", c.fs, SEL_UDATA);
    check_eq("  B is free", gdt[TSS_B / 8] >> 40 & 0xff, TYPE_TSS16);
    check_eq("  IP saved in B", b.ip, (Word)return_back + 1);
    check_eq("  AX saved in B", b.ax, 0xaaaa);
}
