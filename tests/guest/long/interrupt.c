/*
 * Interrupts in 64-bit mode (SDM Vol. 3, 6.14): 16-byte gates; SS, RSP, RFLAGS, CS, RIP are always
 * pushed, 8 bytes each, on a stack aligned down to 16; a change of level loads a null SS. IST n
 * takes its stack from the TSS, at any level. IRETQ always pops all five.
 *   gate to a segment that is not 64-bit code   #GP(sel)
 *   type other than 14 or 15                    #GP(n * 8 + 2)
 *   IDT limit inside the 16 bytes               #GP(n * 8 + 2)
 *   offset or new RSP not canonical             #GP(0), #SS(0)
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { VECTOR = 0x55, IDT_BIT = 2 };
#define TIMES_16 "error codes hold the vector times 16"
#define HOLE 0x0000800000000000ul

CODE64(soft_int, "int $0x55");
CODE64(target, "");
CODE64(target_iret, "iretq");
static uint8_t ist_stack[4096] __attribute__((aligned(16)));

static Context kernel(Word sp_offset)
{
    Context c = kernel_context(soft_int);
    c.sp -= sp_offset;
    run(&c);
    return c;
}

static Context user(void)
{
    Context c = user_context(soft_int);
    run(&c);
    return c;
}

static void put(const char *code, unsigned selector, unsigned type)
{
    set_idt(VECTOR, (Word)code, selector, type);
}

static void same_level(void)
{
    put(target, SEL_CODE, TYPE_INT);
    for (Word offset = 0; offset < 16; offset += 8) {
        Context c = kernel(offset);
        Word sp = kernel_context(0).sp - offset;
        check_context("INT at CPL 0", &c, DONE);
        check_eq("  five quadwords on an aligned stack", c.sp, (sp & ~15ul) - 40);
        check_eq("  SS stays", c.ss, SEL_DATA);
    }
    put(target_iret, SEL_CODE, TYPE_INT);
    Context c = kernel(8);
    check_context("INT and IRETQ at CPL 0", &c, DONE);
    check_eq("  RSP", c.sp, kernel_context(0).sp - 8);
    check_eq("  SS", c.ss, SEL_DATA);
}

static void outer_level(void)
{
    put(target, SEL_CODE, TYPE_INT | DPL(3));
    Context c = user();
    check_context("INT at CPL 3", &c, DONE);
    check_eq("  SS is null", c.ss, 0);
    check_eq("  CS", c.cs, SEL_CODE);
    const Word *stack = (Word *)c.sp;
    check_eq("  RSP", c.sp, tss.sp[0] - 40);
    check_eq("  RIP pushed", stack[0], (Word)soft_int + 2);
    check_eq("  CS pushed", stack[1], SEL_UCODE);
    check_eq("  RSP pushed", stack[3], user_context(0).sp);
    check_eq("  SS pushed", stack[4], SEL_UDATA);
    put(target, SEL_CODE, TYPE_INT);
    c = user();
    qemu_deviates(TIMES_16);
    check_context("INT through DPL 0", &c, GP(VECTOR * 8 + IDT_BIT));
}

static void interrupt_stack_table(void)
{
    tss.ist[3] = (Word)ist_stack + sizeof(ist_stack) - 8; /* aligned by the CPU */
    put(target, SEL_CODE, TYPE_INT | DPL(3));
    put_idt(VECTOR, get_idt(VECTOR) | 3ull << 32);
    Context c = kernel(0);
    check_context("IST at CPL 0", &c, DONE);
    check_eq("  RSP", c.sp, (Word)ist_stack + sizeof(ist_stack) - 16 - 40);
    c = user();
    check_context("IST at CPL 3", &c, DONE);
    check_eq("  RSP", c.sp, (Word)ist_stack + sizeof(ist_stack) - 16 - 40);
    tss.ist[3] = HOLE;
    c = user();
    check_context("IST not canonical", &c, SS(0));
}

static void broken_gates(void)
{
    put(target, SEL_CODE32, TYPE_INT);
    Context c = kernel(0);
    check_context("handler is 32-bit code", &c, GP(SEL_CODE32));
    put(target, 0, TYPE_INT);
    c = kernel(0);
    check_context("null handler", &c, GP(0));
    put(target, SEL_CODE, TYPE_INT16);
    c = kernel(0);
    qemu_deviates(TIMES_16);
    check_context("16-bit gate", &c, GP(VECTOR * 8 + IDT_BIT));
    put(target, SEL_TSS, TYPE_TASK_GATE);
    c = kernel(0);
    qemu_deviates(TIMES_16);
    check_context("task gate", &c, GP(VECTOR * 8 + IDT_BIT));
    put(target, SEL_CODE, TYPE_INT & ~PRESENT);
    c = kernel(0);
    qemu_deviates(TIMES_16);
    check_context("gate not present", &c, NP(VECTOR * 8 + IDT_BIT));
    put(target, SEL_CODE, TYPE_INT);
    load_idt(VECTOR * 16 + 14);
    c = kernel(0);
    qemu_deviates(TIMES_16);
    check_context("half a gate within the limit", &c, GP(VECTOR * 8 + IDT_BIT));
    load_idt(4095);
    idt[VECTOR * 2 + 1] = 0x8000;
    c = kernel(0);
    check_context("offset not canonical", &c, GP(0));
    qemu_deviates("RIP is the handler's already");
    check_eq("  RIP at INT", c.ip, (Word)soft_int);
}

void guest_test(void)
{
    same_level();
    outer_level();
    interrupt_stack_table();
    broken_gates();
}
