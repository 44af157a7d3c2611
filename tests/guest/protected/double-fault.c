/*
 * Faults while a fault is delivered (SDM Vol. 3, table 6-5). Contributory: #DE #TS #NP #SS #GP.
 *   contributory, then contributory    #DF(0)
 *   #PF, then contributory or #PF      #DF(0)
 *   contributory, then #PF             the #PF is delivered
 *   benign (#UD, #DB, #BP, INT n), then any   the second is delivered
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

CODE32(divide, "xorl %ecx, %ecx\n divl %ecx");
CODE32(protection, "movl $0x7ff8, %eax\n movl %eax, %fs");
CODE32(undefined, "ud2");
CODE32(page, "movl 0x50000000, %eax");
CODE32(int_0, "int $0");

enum { NOT_PRESENT = TYPE_INT & ~PRESENT };

/* Runs code whose exception's gate is broken in the given way. */
static void expect(const char *name, const char *code, unsigned vector, uint64_t broken,
                   unsigned want)
{
    uint64_t good = get_idt(vector);
    put_idt(vector, broken);
    Context c = kernel_context(code);
    run(&c);
    put_idt(vector, good);
    if (want != DF && want & 1)
        qemu_deviates("EXT is set for external interrupts only");
    check_context(name, &c, want);
}

void guest_test(void)
{
    uint64_t absent = gate(0, SEL_CODE, NOT_PRESENT, 0);
    expect("#DE, then #NP", divide, 0, absent, DF);
    expect("#DE, then #GP", divide, 0, 0, DF);
    expect("#GP, then #NP", protection, 13, absent, DF);
    expect("#UD, then #NP", undefined, 6, absent, NP(6 * 8 + 3));
    expect("#UD, then #GP", undefined, 6, 0, GP(6 * 8 + 3));
    expect("INT 0, then #NP", int_0, 0, absent, NP(2));

    paging_on(PAGING_32BIT);
    expect("#PF, then #NP", page, 14, absent, DF);
    check_eq("  CR2 is that of the #PF", READ_REG("cr2"), 0x50000000);
    expect("#PF, then #GP", page, 14, 0, DF);

    /* An IDT whose vectors 0 and 1 lie in a page that is not there. */
    Word copy = TEST_PA;
    memcpy((void *)(copy + 0xff0), (void *)idt, sizeof(idt));
    for (unsigned i = 0; i < 2; i++)
        map(TEST_VA + i * 0x1000, (copy + i * 0x1000) | PTE_P | PTE_W);
    struct __attribute__((packed)) {
        uint16_t limit;
        Word base;
    } pointer = {256 * 8 - 1, TEST_VA + 0xff0};
    asm volatile("lidt %0" : : "m"(pointer));
    map(TEST_VA, 0);
    Context c = kernel_context(divide);
    run(&c);
    check_context("#DE, then #PF", &c, PF(0));
    check_eq("  CR2", c.cr2, TEST_VA + 0xff0);
}
