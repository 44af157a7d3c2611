/*
 * SYSENTER and SYSEXIT (SDM Vol. 2). CS = SYSENTER_CS and fixed offsets from it; no state is saved;
 * SYSENTER clears IF and VM. SYSENTER_CS null: #GP(0). SYSEXIT at CPL 3: #GP(0); to RCX:RDX.
 * In long mode: SYSENTER enters 64-bit code; SYSEXIT with REX.W returns to CS + 32 (64-bit),
 * without to CS + 16 (32-bit).
 * AMD processors have neither in long mode: #UD. CPUID's vendor decides.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { BASE = SEL_FREE }; /* code, stack, 32-bit code and stack, 64-bit code and stack of CPL 3 */

CODE64(enter, "sysenter");
CODE64(entry, "");
CODE64(exit_64, "sysexitq");
CODE64(exit_32, "sysexitl");
CODE64(in_64, "");
CODE32(in_32, "");
static uint8_t stack[1024] __attribute__((aligned(16)));

static void intel(void)
{
    Context c = user_context(enter);
    run(&c);
    check_context("SYSENTER with null SYSENTER_CS", &c, GP(0));
    wrmsr(MSR_SYSENTER_CS, BASE);
    c = user_context(enter);
    c.flags |= FLAG_CF | FLAG_IF;
    run(&c);
    check_context("SYSENTER", &c, DONE);
    check_eq("  RIP", c.ip, (Word)entry + 2);
    check_eq("  CS", c.cs, BASE);
    check_eq("  SS", c.ss, BASE + 8);
    check_eq("  RSP", c.sp, (Word)stack + sizeof(stack));
    check_eq("  IF is cleared, CF is kept", c.flags & (FLAG_CF | FLAG_IF), FLAG_CF);

    c = kernel_context(exit_64);
    c.dx = (Word)in_64;
    c.cx = 0x9000;
    run(&c);
    check_context("SYSEXIT to 64-bit code", &c, DONE);
    check_eq("  RIP", c.ip, (Word)in_64 + 2);
    check_eq("  CS", c.cs, (BASE + 32) | 3);
    check_eq("  SS", c.ss, (BASE + 40) | 3);
    check_eq("  RSP", c.sp, 0x9000);
    c = kernel_context(exit_32);
    c.dx = (Word)in_32;
    c.cx = 0x9000;
    run(&c);
    check_context("SYSEXIT to 32-bit code", &c, DONE);
    check_eq("  CS", c.cs, (BASE + 16) | 3);
    check_eq("  SS", c.ss, (BASE + 24) | 3);
    c = user_context(exit_64);
    run(&c);
    check_context("SYSEXIT at CPL 3", &c, GP(0));
}

void guest_test(void)
{
    set_gdt(BASE, gdt[SEL_CODE / 8]);
    set_gdt(BASE + 8, gdt[SEL_DATA / 8]);
    set_gdt(BASE + 16, gdt[SEL_UCODE32 / 8]);
    set_gdt(BASE + 24, gdt[SEL_UDATA / 8]);
    set_gdt(BASE + 32, gdt[SEL_UCODE64 / 8]);
    set_gdt(BASE + 40, gdt[SEL_UDATA / 8]);
    wrmsr(MSR_SYSENTER_CS, 0);
    wrmsr(MSR_SYSENTER_ESP, (Word)stack + sizeof(stack));
    wrmsr(MSR_SYSENTER_EIP, (Word)entry);
    check_eq("SYSENTER_EIP reads back", rdmsr(MSR_SYSENTER_EIP), (Word)entry);
    if (cpuid(0, 0).ebx == 0x68747541) { /* "Auth" */
        Context c = user_context(enter);
        run(&c);
        check_context("SYSENTER of an AMD processor", &c, UD);
    } else {
        intel();
    }
}
