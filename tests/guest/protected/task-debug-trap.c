/*
 * The T bit of a TSS (SDM Vol. 3, 17.3.1.5): #DB with DR6.BT after the switch, before the new
 * task's first instruction. DR7's local enables are cleared by a task switch.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { TSS_B = SEL_FREE, DR6_FIXED = 0xffff0ff0, DR6_BT = 1 << 15 };

static volatile Tss32 b;

CODE32(jump_to_b, "ljmp $0x60, $0");
CODE32(in_b, "nop");

static Context jump(unsigned t)
{
    set_gdt(TSS_B, segment((Word)&b, sizeof(b) - 1, TYPE_TSS, 0));
    task_context(&b, in_b);
    b.t = t;
    Context c = kernel_context(jump_to_b);
    WRITE_REG("dr6", DR6_FIXED);
    run(&c);
    set_gdt(SEL_TSS, segment((Word)&tss, sizeof(tss) - 1, TYPE_TSS, 0));
    asm volatile("clts; ltr %w0" : : "r"(SEL_TSS));
    return c;
}

void guest_test(void)
{
    WRITE_REG("dr0", 0x500);
    WRITE_REG("dr7", 0x403 | 1 << 16); /* L0 and G0, write */
    Context c = jump(0);
    check_context("T clear", &c, DONE);
    check_eq("  DR7: L0 is cleared, G0 stays", READ_REG("dr7"), 0x402 | 1 << 16);
    WRITE_REG("dr7", 0x400);
    c = jump(1);
    qemu_deviates("the T bit is not looked at");
    check_context("T set", &c, DB);
    qemu_deviates("the T bit is not looked at");
    check_eq("  EIP: the first instruction", c.ip, (Word)in_b);
    qemu_deviates("the T bit is not looked at");
    check_eq("  DR6.BT", READ_REG("dr6"), DR6_FIXED | DR6_BT);
}
