/*
 * Hardware task switches between 32-bit tasks (SDM Vol. 3, 7.3).
 *               old TSS busy   new TSS busy   NT in new EFLAGS   link in new TSS
 *   JMP         cleared        set            unchanged          unchanged
 *   CALL, INT   stays          set            set                old TSS
 *   IRET (NT)   cleared        stays          (cleared in old)   unchanged
 * All general and segment registers, EIP, EFLAGS go to the old TSS and come from the new one; LDTR
 * and CR3 only come. CR0.TS becomes set. An exception through a task gate pushes its error code.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { TSS_B = SEL_FREE, GATE = SEL_FREE + 8 };

static volatile Tss32 b;

CODE32(jump_to_b, "ljmp $0x60, $0\n after_jump: int $0x30");
CODE32(call_b, "lcall $0x60, $0\n after_call: int $0x30");
CODE32(jump_gate, "ljmp $0x68, $0");
CODE32(int_55, "int $0x55\n after_int: int $0x30");
CODE32(in_b, "");
CODE32(jump_back, "ljmp $0x40, $0");
CODE32(return_back, "iretl");
CODE32(bad_load, "mov $0x70, %eax\n bad_load_here: mov %eax, %fs");
CODE32(pop_and_return, "popl %ebx\n addl $2, %ss:tss+32\n iretl");
extern char after_jump[], after_call[], after_int[], bad_load_here[];

static unsigned tss_type(unsigned selector)
{
    return gdt[selector / 8] >> 40 & 0xff;
}

static Context switch_to_b(const char *code, const char *b_code)
{
    set_gdt(TSS_B, segment((Word)&b, sizeof(b) - 1, TYPE_TSS, 0));
    task_context(&b, b_code);
    b.esp = 0x7000;
    b.eax = 0xa1;
    b.ecx = 0xc1;
    b.edx = 0xd1;
    b.ebx = 0xb1;
    b.ebp = 0xe1;
    b.esi = 0x51;
    b.edi = 0x61;
    b.link = 0x1234;
    b.gs = SEL_UDATA;
    Context c = kernel_context(code);
    c.ax = 0xa0;
    c.cx = 0xc0;
    c.bp = 0xe0;
    c.fs = SEL_UDATA;
    run(&c);
    return c;
}

/* After a test that ended in task B: A becomes the current task again. */
static void back_to_a(void)
{
    set_gdt(SEL_TSS, segment((Word)&tss, sizeof(tss) - 1, TYPE_TSS, 0));
    asm volatile("clts; ltr %w0" : : "r"(SEL_TSS));
}

static void check_b_runs(const Context *c)
{
    check_eq("  registers of B", c->ax + (c->cx << 8) + (c->di << 16), 0xa1 + 0xc100 + 0x610000);
    check_eq("  ESP of B", c->sp, 0x7000);
    check_eq("  GS of B", c->gs, SEL_UDATA);
    check_eq("  EAX saved in A", tss.eax, 0xa0);
    check_eq("  EBP saved in A", tss.ebp, 0xe0);
    check_eq("  ESP saved in A", tss.esp, kernel_context(0).sp);
    check_eq("  FS saved in A", tss.fs & 0xffff, SEL_UDATA);
    check_eq("  CS saved in A", tss.cs & 0xffff, SEL_CODE);
    check_eq("  B is busy", tss_type(TSS_B), TYPE_TSS_BUSY);
    check_eq("  CR0.TS", READ_REG("cr0") & CR0_TS, CR0_TS);
    Word tr;
    asm volatile("str %0" : "=r"(tr));
    check_eq("  TR", tr & 0xffff, TSS_B);
}

static void jump(void)
{
    Context c = switch_to_b(jump_to_b, in_b);
    check_context("JMP to a TSS", &c, DONE);
    check_b_runs(&c);
    check_eq("  EIP saved in A", tss.eip, (Word)after_jump);
    check_eq("  A is free", tss_type(SEL_TSS), TYPE_TSS);
    check_eq("  NT", c.flags & FLAG_NT, 0);
    check_eq("  link", b.link & 0xffff, 0x1234);
    back_to_a();

    set_gdt(GATE, gate(0, TSS_B, TYPE_TASK_GATE, 0));
    c = switch_to_b(jump_gate, in_b);
    check_context("JMP to a task gate", &c, DONE);
    check_b_runs(&c);
    back_to_a();

    c = switch_to_b(jump_to_b, jump_back);
    check_context("JMP there and back", &c, DONE);
    check_eq("  EAX of A", c.ax, 0xa0);
    check_eq("  EIP", c.ip, (Word)after_jump + 2);
    check_eq("  A is busy", tss_type(SEL_TSS), TYPE_TSS_BUSY);
    check_eq("  B is free", tss_type(TSS_B), TYPE_TSS);
    check_eq("  EIP saved in B", b.eip, (Word)jump_back + 7);
    back_to_a();
}

static void call(void)
{
    Context c = switch_to_b(call_b, in_b);
    check_context("CALL of a TSS", &c, DONE);
    check_b_runs(&c);
    check_eq("  A stays busy", tss_type(SEL_TSS), TYPE_TSS_BUSY);
    check_eq("  NT", c.flags & FLAG_NT, FLAG_NT);
    check_eq("  link", b.link & 0xffff, SEL_TSS);
    back_to_a();

    c = switch_to_b(call_b, return_back);
    check_context("CALL and IRET", &c, DONE);
    check_eq("  EIP", c.ip, (Word)after_call + 2);
    check_eq("  EAX of A", c.ax, 0xa0);
    check_eq("  A is busy", tss_type(SEL_TSS), TYPE_TSS_BUSY);
    check_eq("  B is free", tss_type(TSS_B), TYPE_TSS);
    check_eq("  NT of A", c.flags & FLAG_NT, 0);
    check_eq("  NT cleared in B", b.eflags & FLAG_NT, 0);
    back_to_a();
}

static void interrupt(void)
{
    put_idt(0x55, gate(0, TSS_B, TYPE_TASK_GATE | DPL(3), 0));
    Context c = switch_to_b(int_55, in_b);
    check_context("INT through a task gate", &c, DONE);
    check_b_runs(&c);
    check_eq("  EIP saved in A", tss.eip, (Word)after_int);
    check_eq("  link", b.link & 0xffff, SEL_TSS);
    back_to_a();
    c = switch_to_b(int_55, return_back);
    check_context("INT and IRET", &c, DONE);
    check_eq("  EIP", c.ip, (Word)after_int + 2);
    back_to_a();

    set_gdt(SEL_FREE + 16, segment(0, 0, TYPE_DATA_RW & ~PRESENT, 0));
    put_idt(11, gate(0, TSS_B, TYPE_TASK_GATE, 0));
    c = switch_to_b(bad_load, in_b);
    catch_by_gate(11);
    check_context("#NP through a task gate", &c, DONE);
    check_eq("  pushes the error code", *(Word *)c.sp, SEL_FREE + 16);
    check_eq("  on B's stack", c.sp, 0x7000 - 4);
    check_eq("  EIP saved in A: the fault's", tss.eip, (Word)bad_load_here);
    back_to_a();

    put_idt(11, gate(0, TSS_B, TYPE_TASK_GATE, 0));
    c = switch_to_b(bad_load, pop_and_return);
    catch_by_gate(11);
    check_context("#NP through a task gate and IRET", &c, DONE);
    check_eq("  EIP behind the fault", c.ip, (Word)bad_load_here + 4);
    back_to_a();
}

void guest_test(void)
{
    jump();
    call();
    interrupt();
}
