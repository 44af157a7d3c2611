/*
 * The CPU's own accesses to GDT, LDT, IDT and TSS are supervisor accesses even when CPL is 3 (SDM
 * Vol. 3, 4.6): they work on supervisor pages, and their faults have U/S = 0. A push of a trap
 * frame onto a stack in a missing page is #PF, in the midst of #PF #DF.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

CODE32(load_segment, "movl %eax, %fs\n movl $0x33, %eax\n movl %eax, %fs");
CODE32(soft_int, "int $0x55");
CODE32(undefined, "ud2");
CODE32(in_port, "inb $0x80, %al");
CODE32(touch, "movl 0x50000000, %eax");

static void load_gdt_at(Word base)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        Word base;
    } p = {GDT_SLOTS * 8 - 1, base};
    asm volatile("lgdt %0" : : "m"(p));
}

static void user(const char *name, const char *code, unsigned want, Word cr2)
{
    Context c = user_context(code);
    c.ax = 0x103;
    run(&c);
    check_context(name, &c, want);
    if (want >> 16 == 14)
        check_eq("  CR2", c.cr2, cr2);
}

void guest_test(void)
{
    /* The GDT's second half (from selector 0x100 on) in a page of its own. */
    Word copy = TEST_PA + 0xf00;
    gdt[0x100 / 8] = segment(0, 0xfffff, TYPE_DATA_RW | DPL(3), SEG_G | SEG_D);
    memcpy((void *)copy, (void *)gdt, sizeof(gdt));
    paging_on(PAGING_32BIT);
    map(TEST_VA, TEST_PA | PTE_P | PTE_W);
    map(TEST_VA + 0x1000, (TEST_PA + 0x1000) | PTE_P | PTE_W);
    load_gdt_at(TEST_VA + 0xf00);
    user("a descriptor in a supervisor page", load_segment, DONE, 0);
    check_eq("  its accessed bit is set", *(uint64_t *)(copy + 0x100) >> 40 & 1, 1);
    check_eq("  the page is dirty", get_entry(TEST_VA + 0x1000, 1) & PTE_D, PTE_D);
    map(TEST_VA + 0x1000, 0);
    user("a descriptor in a missing page", load_segment, PF(0), TEST_VA + 0x1000);
    load_gdt_at((Word)gdt);

    /* The inner stack in a missing page. */
    Word esp0 = tss.esp0;
    put_idt(0x55, get_idt(0x55) | (uint64_t)DPL(3) << 40);
    map(TEST_VA, 0);
    tss.esp0 = TEST_VA + 0x800;
    catch_by_task(14);
    catch_by_task(8);
    user("INT n, the stack is missing", soft_int, PF(2), TEST_VA + 0x7fc);
    user("#UD, the stack is missing", undefined, PF(2), TEST_VA + 0x7fc);
    put_idt(14, gate((Word)touch, SEL_CODE, TYPE_INT, 0));
    user("#PF, the stack is missing", touch, DF, 0);
    tss.esp0 = esp0;
    catch_by_gate(8);
    catch_by_gate(14);

    /* The TSS's I/O bitmap in a missing page: the descriptor says the TSS ends there. */
    memcpy((void *)(TEST_PA + 0x2f00), (void *)&tss, 0x100);
    map(TEST_VA, (TEST_PA + 0x2000) | PTE_P | PTE_W);
    volatile Tss32 *moved = (Tss32 *)(TEST_VA + 0xf00);
    moved->iomap = 0x100;
    set_gdt(SEL_TSS, segment((Word)moved, 0x1ff, TYPE_TSS, 0));
    asm volatile("ltr %w0" : : "r"(SEL_TSS));
    user("IN, the bitmap is missing", in_port, PF(0), TEST_VA + 0x1010);
}
