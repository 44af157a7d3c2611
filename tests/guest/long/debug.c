/*
 * Debug facilities in 64-bit mode (SDM Vol. 3, 17.2.6): 64-bit linear addresses in DR0-3,
 * breakpoints of 8 bytes; DR6 and DR7 with bits 63-32 set: #GP(0). Single step over SYSCALL and
 * INT, POPF of 64 bits.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#define VA 0xffff900000001000ul

CODE64(write, "movb %al, (%rbx)\n nop");
CODE64(nops, "nop\n nop");
CODE64(call, "syscall\n nop");
CODE64(entry, "nop\n nop");

static void hit(const char *name, Word address, unsigned want)
{
    WRITE_REG("dr6", 0xffff0ff0);
    Context c = kernel_context(write);
    c.bx = address;
    run(&c);
    check_context(name, &c, want);
    if (want == DB)
        check_eq("  DR6", READ_REG("dr6") & 15, 2);
}

void guest_test(void)
{
    paging_on(PAGING_4LEVEL);
    map(VA, TEST_PA | PTE_P | PTE_W);
    WRITE_REG("dr1", VA + 8);
    WRITE_REG("dr7", 0x404 | 9 << 20); /* 8 bytes, write */
    hit("first byte", VA + 8, DB);
    hit("last byte", VA + 15, DB);
    hit("byte above", VA + 16, DONE);
    hit("byte below", VA + 7, DONE);
    hit("the address without its upper half", (uint32_t)VA + 8, VA >> 32 ? DONE : DB);
    WRITE_REG("dr7", 0x400);
    EXPECT("DR7 bit 32", GP(0), "mov %0, %%dr7", : : "r"(0x100000400));
    EXPECT("DR6 bit 32", GP(0), "mov %0, %%dr6", : : "r"(0x100000000));

    Context c = kernel_context(nops);
    c.flags |= FLAG_TF;
    run(&c);
    check_context("single step", &c, DB);
    check_eq("  RIP", c.ip, (Word)nops + 1);
    check_eq("  DR6.BS", READ_REG("dr6") & 1 << 14, 1 << 14);

    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
    wrmsr(MSR_STAR, (uint64_t)SEL_CODE << 32 | (uint64_t)SEL_UCODE32 << 48);
    wrmsr(MSR_LSTAR, (Word)entry);
    wrmsr(MSR_SFMASK, FLAG_TF);
    c = user_context(call);
    c.flags |= FLAG_TF;
    run(&c);
    check_context("SYSCALL with TF, masked by SFMASK", &c, DONE);
    check_eq("  R11 has TF", c.r11 & FLAG_TF, FLAG_TF);
}
