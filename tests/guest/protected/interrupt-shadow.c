/*
 * What holds an interrupt back (SDM Vol. 3, 6.8): with one pending in the local APIC,
 *   STI            delivered after the instruction behind it; STI; CLI lets none through
 *   POPF, IRET     that set IF: delivered at once
 *   STI; HLT       wakes up, returns behind HLT
 * The handler finds the next instruction's EIP in its frame, and IF = 0.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "apic.h"

enum { VECTOR = 0x60 };

CODE32(sti, "sti\n nop\n nop\n cli");
CODE32(sti_sti, "sti\n sti\n nop\n cli");
CODE32(sti_cli, "sti\n cli\n nop");
CODE32(popf, "pushl $0x202\n popfl\n nop\n cli");
CODE32(hlt, "sti\n hlt\n nop\n cli");
CODE32(iret, "pushl $0x202\n pushl $8\n pushl $iret_to\n iretl\n iret_to: nop\n cli");
extern char iret_to[];

static void expect(const char *name, const char *code, Word want_ip)
{
    apic_self(VECTOR);
    Context c = kernel_context(code);
    c.ax = SEL_DATA;
    run(&c);
    check_context(name, &c, want_ip ? TRAP(VECTOR, 0) : DONE);
    if (want_ip) {
        check_eq("  EIP", c.ip - (Word)code, want_ip - (Word)code);
        check_eq("  IF in the frame", c.flags & FLAG_IF, FLAG_IF);
        check("  in service", apic_bit(APIC_ISR, VECTOR));
        apic_write(APIC_EOI, 0);
        check("  EOI ends that", !apic_bit(APIC_ISR, VECTOR));
    }
}

void guest_test(void)
{
    if (!need(1, 'd', 9, "APIC"))
        return;
    apic_enable();
    expect("STI", sti, (Word)sti + 2);
    expect("STI; CLI", sti_cli, 0);
    check("  still pending", apic_bit(APIC_IRR, VECTOR));
    expect("STI; STI: only the first shadows", sti_sti, (Word)sti_sti + 2);
    expect("POPF", popf, (Word)popf + 6);
    expect("IRET", iret, (Word)iret_to);
    expect("STI; HLT", hlt, (Word)hlt + 2);

}
