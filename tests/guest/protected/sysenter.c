/*
 * SYSENTER and SYSEXIT in protected mode (SDM Vol. 2): CS = SYSENTER_CS, SS = that + 8, flat
 * whatever the GDT says, EIP and ESP from MSRs, IF cleared; SYSEXIT to CS + 16, SS + 24 at CPL 3,
 * EIP = EDX, ESP = ECX. SYSENTER_CS null: #GP(0). In real mode and at CPL 3 (SYSEXIT): #GP(0).
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { BASE = SEL_FREE };

CODE32(enter, "sysenter");
CODE32(entry, "");
CODE32(leave, "sysexit");
CODE32(outside, "");
CODE16(enter_real, "sysenter");
static uint8_t stack[1024] __attribute__((aligned(16)));

void guest_test(void)
{
    if (!need(1, 'd', 11, "SEP"))
        return;
    set_gdt(BASE, gdt[SEL_CODE / 8]);
    set_gdt(BASE + 8, gdt[SEL_DATA / 8]);
    set_gdt(BASE + 16, gdt[SEL_UCODE32 / 8]);
    set_gdt(BASE + 24, gdt[SEL_UDATA / 8]);
    wrmsr(MSR_SYSENTER_CS, 0);
    wrmsr(MSR_SYSENTER_ESP, (Word)stack + sizeof(stack));
    wrmsr(MSR_SYSENTER_EIP, (Word)entry);
    Context c = user_context(enter);
    run(&c);
    check_context("SYSENTER with null SYSENTER_CS", &c, GP(0));
    c = kernel_context(leave);
    run(&c);
    check_context("SYSEXIT with null SYSENTER_CS", &c, GP(0));

    wrmsr(MSR_SYSENTER_CS, BASE);
    c = user_context(enter);
    c.flags |= FLAG_IF | FLAG_CF;
    run(&c);
    check_context("SYSENTER", &c, DONE);
    check_eq("  EIP", c.ip, (Word)entry + 2);
    check_eq("  CS", c.cs, BASE);
    check_eq("  SS", c.ss, BASE + 8);
    check_eq("  ESP", c.sp, (Word)stack + sizeof(stack));
    check_eq("  IF, CF", c.flags & (FLAG_IF | FLAG_CF), FLAG_CF);

    c = kernel_context(leave);
    c.dx = (Word)outside;
    c.cx = 0x9000;
    run(&c);
    check_context("SYSEXIT", &c, DONE);
    check_eq("  EIP", c.ip, (Word)outside + 2);
    check_eq("  CS", c.cs, (BASE + 16) | 3);
    check_eq("  SS", c.ss, (BASE + 24) | 3);
    check_eq("  ESP", c.sp, 0x9000);
    c = user_context(leave);
    run(&c);
    check_context("SYSEXIT at CPL 3", &c, GP(0));
    c = real_context(enter_real);
    run_real(&c);
    check_context("SYSENTER in real mode", &c, GP(0));
}
