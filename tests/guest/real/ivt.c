/*
 * Real mode delivers through the four-byte vectors at IDTR.base (SDM Vol. 3, 20.1.4): FLAGS, CS, IP
 * are pushed as 16 bits, no error code; IF and TF are cleared. Faults push their own IP, INT n and
 * INT3 the next one.
 *   DIV by 0 -> 0, INT3 -> 3, INTO with OF -> 4, BOUND outside -> 5, UD2 -> 6, INT 0x55 -> 0x55
 * INT beyond IDTR.limit -> #GP (13).
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

CODE16(divide, "divb %bl");
CODE16(breakpoint, "int3");
CODE16(overflow, "into");
CODE16(bound, "boundw %ax, bound_pair\n int $0x30\n bound_pair: .word 1, 5");
CODE16(undefined, "ud2");
CODE16(software, "int $0x55");
CODE16(short_idt, "lidt idt_of_three\n int $0x55\n"
                  "idt_of_three: .word 14 * 4 - 1, 0, 0");

static void deliver(const char *name, const char *code, unsigned vector, unsigned length)
{
    Context c = real_context(code);
    c.flags = FLAG_IF | FLAG_OF | 2;
    c.ax = 7;
    c.bx = 0;
    run_real(&c);
    check_context(name, &c, TRAP(vector, 0));
    check_eq("  IP", c.ip, (Word)code + length);
    check_eq("  CS", c.cs, SEG16);
    check_eq("  FLAGS pushed", c.flags & (FLAG_IF | FLAG_OF), FLAG_IF | FLAG_OF);
}

void guest_test(void)
{
    deliver("DIV by 0", divide, 0, 0);
    deliver("INT3", breakpoint, 3, 1);
    deliver("INTO", overflow, 4, 1);
    deliver("BOUND", bound, 5, 0);
    deliver("UD2", undefined, 6, 0);
    deliver("INT 0x55", software, 0x55, 2);
    deliver("INT beyond the limit", short_idt, 13, 5);
}
