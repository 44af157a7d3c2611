/*
 * SYSCALL and SYSRET (APM Vol. 3).
 *   SYSCALL: RCX = next RIP, R11 = RFLAGS, RFLAGS &= ~SFMASK (and RF), CS = STAR[47:32], SS = that
 *     + 8,
 *            RIP = LSTAR from 64-bit mode; the stack does not change
 *   SYSRETQ: RIP = RCX, RFLAGS = R11, CS = STAR[63:48] + 16 | 3, SS = STAR[63:48] + 8 | 3
 *   SYSRETL: the same to 32-bit code, CS = STAR[63:48] | 3
 *   EFER.SCE clear: #UD; SYSRET at CPL 3: #GP(0)
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

CODE64(call, "syscall\n after_call: int $0x30");
CODE64(entry, "");
CODE64(entry_and_back, "sysretq");
CODE64(return_32, "sysretl");
CODE32(in_32, "");
extern char after_call[];

enum { AC_DF = FLAG_AC | FLAG_DF };

static void system_call(void)
{
    wrmsr(MSR_LSTAR, (Word)entry);
    Context c = user_context(call);
    c.flags |= FLAG_IF | AC_DF | FLAG_CF;
    Word flags = c.flags, sp = c.sp;
    run(&c);
    check_context("SYSCALL", &c, DONE);
    check_eq("  RIP", c.ip, (Word)entry + 2);
    check_eq("  RCX", c.cx, (Word)after_call);
    check_eq("  R11", c.r11, flags);
    qemu_deviates("SYSCALL loses the arithmetic flags");
    check_eq("  RFLAGS", c.flags, flags & ~(Word)(FLAG_IF | FLAG_DF));
    check_eq("  CS", c.cs, SEL_CODE);
    check_eq("  SS", c.ss, SEL_DATA);
    check_eq("  RSP", c.sp, sp);
}

static void system_return(void)
{
    wrmsr(MSR_LSTAR, (Word)entry_and_back);
    Context c = user_context(call);
    c.flags |= FLAG_IF | AC_DF;
    Word flags = c.flags;
    run(&c);
    check_context("SYSCALL and SYSRETQ", &c, DONE);
    check_eq("  RIP", c.ip, (Word)after_call + 2);
    check_eq("  RFLAGS", c.flags, flags);
    check_eq("  CS", c.cs, SEL_UCODE64);
    check_eq("  SS", c.ss, SEL_UDATA);

    c = kernel_context(return_32);
    c.cx = 0xffffffff00000000ul | (Word)in_32;
    c.r11 = 2;
    run(&c);
    check_context("SYSRETL", &c, DONE);
    check_eq("  EIP", c.ip, (Word)in_32 + 2);
    check_eq("  CS", c.cs, SEL_UCODE32);
    check_eq("  SS", c.ss, SEL_UDATA);

    c = user_context(return_32);
    run(&c);
    check_context("SYSRET at CPL 3", &c, GP(0));
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(Word)EFER_SCE);
    c = user_context(call);
    run(&c);
    check_context("SYSCALL without EFER.SCE", &c, UD);
    c = kernel_context(return_32);
    run(&c);
    check_context("SYSRET without EFER.SCE", &c, UD);
}

void guest_test(void)
{
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
    wrmsr(MSR_STAR, (uint64_t)SEL_CODE << 32 | (uint64_t)SEL_UCODE32 << 48);
    wrmsr(MSR_SFMASK, FLAG_IF | FLAG_DF | FLAG_TF);
    system_call();
    system_return();
    qemu_deviates("LSTAR is not checked to be canonical");
    EXPECT("LSTAR not canonical", GP(0), "wrmsr", : : "c"(MSR_LSTAR), "a"(0), "d"(0x8000));
}
