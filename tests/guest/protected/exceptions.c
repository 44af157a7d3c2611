/*
 * One way into each exception of the integer instructions (SDM Vol. 3, 6.15), at CPL 0 in 32-bit
 * code:
 *   #DE 0   DIV, IDIV, AAM by 0 and by overflow    #BP 3  INT3, behind it
 *   #OF 4   INTO, behind it                        #BR 5  BOUND
 *   #UD 6   UD0 UD1 UD2, LOCK where it may not be, register operands where memory must be
 *   #GP 13  instructions of more than 15 bytes     #AC 17 see alignment.c
 * A fault's pushed EFLAGS have RF set, a trap's have not.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

static void division(void)
{
    uint32_t low, high;
    EXPECT("DIV by 0", DE, "divl %0", : : "r"(0), "a"(1), "d"(0));
    qemu_deviates("faults do not push RF");
    check_eq("  RF is pushed", trap.flags & FLAG_RF, FLAG_RF);
    EXPECT("DIV r8 overflows", DE, "divb %b0", : : "c"(1), "a"(0x100));
    EXPECT("DIV r16 overflows", DE, "divw %w0", : : "c"(1), "a"(0), "d"(1));
    EXPECT("DIV r32 overflows", DE, "divl %0", : : "c"(1), "a"(0), "d"(1));
    check_eq("  EDX is kept", trap.dx, 1);
    EXPECT("IDIV, smallest by -1", DE, "idivl %0", : : "c"(-1), "a"(0x80000000), "d"(-1));
    EXPECT("IDIV r8, quotient -129", DE, "idivb %b0", : : "c"(1), "a"(0xff7f));
    asm volatile("idivb %b2" : "=a"(low) : "0"(0xff80), "c"(1));
    check_eq("IDIV r8, quotient -128", low & 0xffff, 0x0080);
    asm volatile("idivl %4" : "=a"(low), "=d"(high) : "0"(0x80000000), "1"(-1), "c"(1));
    check_eq("IDIV r32, smallest by 1", low, 0x80000000);
    EXPECT("AAM 0", DE, "aam $0", : : "a"(0x1234));
}

static void traps(void)
{
    TRY("int3", :);
    check_trap("INT3", BP);
    check_eq("  EIP behind it", trap.ip, trap_start + 1);
    check_eq("  RF is not pushed", trap.flags & FLAG_RF, 0);
    TRY(".byte 0xcd, 3", :);
    check_trap("INT 3 of two bytes", BP);
    check_eq("  EIP behind it", trap.ip, trap_start + 2);
    EXPECT("INTO without OF", NONE, "test %%eax, %%eax; into", :);
    TRY("movb $127, %%al; incb %%al; into", : : : "eax");
    check_trap("INTO with OF", OF);
    check_eq("  EIP behind it", trap.ip, trap_start + 5);
    static const int32_t pair[2] = {-5, 5};
    EXPECT("BOUND within", NONE, "boundl %0, %1", : : "r"(-5), "m"(pair));
    EXPECT("BOUND within", NONE, "boundl %0, %1", : : "r"(5), "m"(pair));
    EXPECT("BOUND below", BR, "boundl %0, %1", : : "r"(-6), "m"(pair));
    EXPECT("BOUND above", BR, "boundl %0, %1", : : "r"(6), "m"(pair));
}

CODE32(pop_1, ".byte 0x8f, 0xc8");

static void undefined(void)
{
    static uint32_t m[4];
    EXPECT("UD2", UD, ".byte 0x0f, 0x0b", :);
    qemu_deviates("faults do not push RF");
    check_eq("  RF is pushed", trap.flags & FLAG_RF, FLAG_RF);
    EXPECT("UD1", UD, ".byte 0x0f, 0xb9, 0xc0", :);
    EXPECT("UD0", UD, ".byte 0x0f, 0xff, 0xc0", :);
    EXPECT("LOCK NOP", UD, ".byte 0xf0, 0x90", :);
    EXPECT("LOCK ADD to a register", UD, ".byte 0xf0, 0x01, 0xc0", :);
    EXPECT("LOCK ADD from memory", UD, ".byte 0xf0; addl (%0), %%eax", : : "r"(m) : "eax");
    qemu_deviates("LOCK is not checked on MOV");
    EXPECT("LOCK MOV to memory", UD, ".byte 0xf0; movl %%eax, (%0)", : : "r"(m));
    EXPECT("LOCK CMP", UD, ".byte 0xf0; cmpl %%eax, (%0)", : : "r"(m));
    EXPECT("LOCK ADD to memory", NONE, "lock addl %%eax, (%0)", : : "r"(m));
    EXPECT("LEA of a register", UD, ".byte 0x8d, 0xc0", :);
    EXPECT("LES of a register", UD, ".byte 0xc4, 0xc0; nop", :);
    EXPECT("BOUND of a register", UD, ".byte 0x62, 0xc0; nop", :);
    EXPECT("far JMP to a register", UD, ".byte 0xff, 0xe8", :);
    EXPECT("0xff /7", UD, ".byte 0xff, 0xf8", :);
    EXPECT("0xfe /2", UD, ".byte 0xfe, 0xd0", :);
    Context c = kernel_context(pop_1);
    run(&c);
    qemu_deviates("the extension of 0x8f is not checked");
    check_context("0x8f /1", &c, UD);
    EXPECT("MOV to CR1", UD, ".byte 0x0f, 0x22, 0xc8", :);
    EXPECT("MOV to CR5", UD, ".byte 0x0f, 0x22, 0xe8", :);
    EXPECT("CMPXCHG8B of a register", UD, ".byte 0x0f, 0xc7, 0xc8", :);
    EXPECT("RSM outside SMM", UD, "rsm", :);
    EXPECT("SYSCALL without EFER.SCE", UD, ".byte 0x0f, 0x05", :);
}

static void length(void)
{
    EXPECT("15 bytes", NONE, ".rept 14; .byte 0x26; .endr; nop", :);
    EXPECT("16 bytes", GP(0), ".rept 15; .byte 0x26; .endr; nop", :);
    EXPECT("15 bytes with an operand", NONE, ".rept 10; .byte 0x26; .endr; movl $1, %%eax",
           : : : "eax");
    EXPECT("16 bytes with an operand", GP(0), ".rept 11; .byte 0x26; .endr; movl $1, %%eax",
           : : : "eax");
}

void guest_test(void)
{
    division();
    traps();
    undefined();
    length();
}
