/*
 * Alignment check (SDM Vol. 3, 6.15, #AC): only at CPL 3 with CR0.AM and EFLAGS.AC; error code 0.
 *   word 2, dword 4, far pointer 16:32 4, m80 8, LGDT... ; byte never; stack accesses, too
 *   accesses of the CPU's own (descriptors, traps) are not checked
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#define NO_AC "alignment is never checked"

CODE32(word, "movw (%ebx), %ax");
CODE32(dword, "movl (%ebx), %eax");
CODE32(dword_write, "movl %eax, (%ebx)");
CODE32(byte, "movb (%ebx), %al");
CODE32(push, "pushl %eax");
CODE32(modify, "incl (%ebx)");
CODE32(float_32, "flds (%ebx)\n fstp %st(0)");
CODE32(float_64, "fldl (%ebx)\n fstp %st(0)");
CODE32(move_string, "movsl");
CODE32(load_segment, "pushl $0x33\n popl %ecx\n movl %ecx, %fs");

static uint8_t memory[64] __attribute__((aligned(16)));

static void user(const char *name, const char *code, unsigned offset, unsigned want)
{
    Context c = user_context(code);
    c.bx = (Word)memory + offset;
    c.si = (Word)memory;
    c.di = (Word)memory + offset;
    c.flags |= FLAG_AC;
    run(&c);
    qemu_deviates(want == AC ? NO_AC : NULL);
    check_context(name, &c, want);
}

void guest_test(void)
{
    asm volatile("fninit");
    user("AC without CR0.AM", dword, 1, DONE);
    WRITE_REG("cr0", READ_REG("cr0") | CR0_AM);
    user("byte at 1", byte, 1, DONE);
    user("word at 2", word, 2, DONE);
    user("word at 1", word, 1, AC);
    user("dword at 4", dword, 4, DONE);
    user("dword at 2", dword, 2, AC);
    user("write of a dword at 1", dword_write, 1, AC);
    user("read-modify-write at 1", modify, 1, AC);
    user("single at 2", float_32, 2, AC);
    user("double at 4", float_64, 4, AC);
    user("double at 8", float_64, 8, DONE);
    user("MOVS to 3", move_string, 3, AC);

    Context c = user_context(push);
    c.sp -= 2;
    c.flags |= FLAG_AC;
    run(&c);
    qemu_deviates(NO_AC);
    check_context("PUSH at an odd word", &c, AC);
    qemu_deviates(NO_AC);
    check_eq("  ESP", c.sp, user_context(0).sp - 2);

    c = user_context(dword);
    c.bx = (Word)memory + 1;
    run(&c);
    check_context("AM without AC", &c, DONE);
    c = kernel_context(dword);
    c.bx = (Word)memory + 1;
    c.flags |= FLAG_AC;
    run(&c);
    check_context("at CPL 0", &c, DONE);

    /* The descriptor table at an odd address. */
    memcpy((void *)(TEST_PA + 1), (void *)gdt, sizeof(gdt));
    struct __attribute__((packed)) {
        uint16_t limit;
        Word base;
    } odd = {sizeof(gdt) - 1, TEST_PA + 1};
    asm volatile("lgdt %0" : : "m"(odd));
    user("a descriptor at an odd address", load_segment, 0, DONE);
    load_gdt(sizeof(gdt) - 1);
}
