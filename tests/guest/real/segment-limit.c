/*
 * In real mode a segment ends at 64 KB (SDM Vol. 3, 20.1.1): an access that crosses 0xffff is #GP
 * (13), through SS #SS (12); 32-bit offsets beyond it likewise. IP does not run past 0xffff: #GP.
 * SP itself wraps: a PUSH at SP=0 writes 0xfffe, at SP=1 it would cross: #SS. No error code is
 * pushed.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#define NO_LIMITS "data accesses do not check the segment's limit"

CODE16(read_word, "movw (%bx), %ax");
CODE16(read_byte, "movb (%bx), %al");
CODE16(write_word, "movw %ax, (%bx)");
CODE16(read_stack, "movw (%bp), %ax");
CODE16(read_32, "movb (%ebx), %al");
CODE16(wrap_16, "movb 2(%bx), %al");
CODE16(move_string, "movsw");
CODE16(push_at_0, "movw %sp, %cx\n xorw %sp, %sp\n pushw %ax\n movw %sp, %dx\n movw %cx, %sp");
CODE16(jump_far, "jmp *%eax");

static void expect(const char *name, const char *code, Word bx, unsigned vector)
{
    Context c = real_context(code);
    c.bx = c.bp = c.si = bx;
    c.di = 0;
    c.ds = 0x8000;
    run_real(&c);
    qemu_deviates(vector == 0x30 ? NULL : NO_LIMITS);
    check_context(name, &c, TRAP(vector, 0));
}

void guest_test(void)
{
    *(volatile uint8_t *)0x80001 = 0x77;
    expect("word at 0xfffe", read_word, 0xfffe, 0x30);
    expect("word at 0xffff", read_word, 0xffff, 13);
    expect("byte at 0xffff", read_byte, 0xffff, 0x30);
    expect("write of a word at 0xffff", write_word, 0xffff, 13);
    expect("word at SS:0xffff", read_stack, 0xffff, 12);
    expect("32-bit offset 0xffff", read_32, 0xffff, 0x30);
    expect("32-bit offset 0x10000", read_32, 0x10000, 13);
    expect("MOVSW from 0xffff", move_string, 0xffff, 13);

    Context c = real_context(wrap_16);
    c.ds = 0x8000;
    c.bx = 0xffff;
    run_real(&c);
    check_context("a 16-bit address wraps", &c, DONE);
    check_eq("  AL", c.ax & 0xff, 0x77);

    c = real_context(push_at_0);
    c.ax = 0x1234;
    run_real(&c);
    check_context("PUSH at SP=0", &c, DONE);
    check_eq("  SP", c.dx & 0xffff, 0xfffe);
    check_eq("  memory", *(volatile uint16_t *)0x17ffe, 0x1234);

    c = real_context(jump_far);
    c.ax = 0x10000;
    run_real(&c);
    qemu_deviates("a branch drops EIP's upper half in real mode");
    check_context("JMP to 0x10000", &c, GP(0));
    qemu_deviates("a branch drops EIP's upper half in real mode");
    check_eq("  IP at the JMP", c.ip, (Word)jump_far);
}
