/*
 * Tasks in V86 mode (SDM Vol. 3, 20.2.5): a task switch to a TSS whose EFLAGS has VM loads segments
 * as selector * 16; INT through a task gate from V86 mode saves VM and the selectors; IRET goes
 * back there.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { TSS_B = SEL_FREE };

static volatile Tss32 b;

CODE32(jump_to_b, "ljmp $0x60, $0");
CODE16(in_v86, "movw (0x10), %ax");
CODE16(int_55, "int $0x55\n after_int: int $0x30");
CODE32(handler, "iretl");
CODE32(seen, "");
extern char after_int[];

static void back_to_a(void)
{
    set_gdt(SEL_TSS, segment((Word)&tss, sizeof(tss) - 1, TYPE_TSS, 0));
    asm volatile("clts; ltr %w0" : : "r"(SEL_TSS));
}

void guest_test(void)
{
    *(volatile uint16_t *)(0x8000 + 0x10) = 0x4567;
    set_gdt(TSS_B, segment((Word)&b, sizeof(b) - 1, TYPE_TSS, 0));
    task_context(&b, NULL);
    b.eip = (Word)in_v86;
    b.cs = SEG16;
    b.ds = b.ss = 0x800;
    b.es = 0x1111;
    b.fs = b.gs = 0x2222;
    b.esp = 0x7000;
    b.eflags = FLAG_VM | FLAG_IOPL3 | 2;
    b.esp0 = tss.esp0;
    Context c = kernel_context(jump_to_b);
    run(&c);
    back_to_a();
    check_context("JMP to a V86 task", &c, DONE);
    check_eq("  VM", c.flags & FLAG_VM, FLAG_VM);
    check_eq("  CS", c.cs, SEG16);
    check_eq("  ES", c.es, 0x1111);
    check_eq("  AX, through DS * 16", c.ax & 0xffff, 0x4567);

    set_gdt(TSS_B, segment((Word)&b, sizeof(b) - 1, TYPE_TSS, 0));
    task_context(&b, seen);
    put_idt(0x55, gate(0, TSS_B, TYPE_TASK_GATE | DPL(3), 0));
    c = v86_context(int_55);
    c.flags |= FLAG_IOPL3;
    c.fs = 0x3333;
    run(&c);
    back_to_a();
    check_context("INT in V86 mode through a task gate", &c, DONE);
    check_eq("  CS is the new task's", c.cs, SEL_CODE);
    check_eq("  VM saved", tss.eflags & FLAG_VM, FLAG_VM);
    check_eq("  CS saved", tss.cs & 0xffff, SEG16);
    check_eq("  FS saved", tss.fs & 0xffff, 0x3333);
    check_eq("  EIP saved", tss.eip, (Word)after_int);

    set_gdt(TSS_B, segment((Word)&b, sizeof(b) - 1, TYPE_TSS, 0));
    task_context(&b, handler);
    c = v86_context(int_55);
    c.flags |= FLAG_IOPL3;
    c.fs = 0x3333;
    run(&c);
    check_context("and back by IRET", &c, DONE);
    check_eq("  VM", c.flags & FLAG_VM, FLAG_VM);
    check_eq("  CS", c.cs, SEG16);
    check_eq("  FS", c.fs, 0x3333);
    check_eq("  IP", c.ip, (Word)after_int + 2);
}
