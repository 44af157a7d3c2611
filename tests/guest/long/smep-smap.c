/*
 * SMEP and SMAP (SDM Vol. 3, 4.6): code at CPL 0 may not execute, nor, while AC is 0, touch user
 * pages.
 *   SMEP, fetch                   #PF 0x11
 *   SMAP, read #PF 1, write #PF 3; with AC = 1 (STAC) both are fine
 *   implicit accesses to system tables (GDT, LDT, IDT, TSS) fault whatever AC is
 *   CPL 3 is not affected; CLAC and STAC at CPL 3, or without SMAP in CPUID: #UD
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#define VA 0x7000000000ul

CODE64(read, "movl (%rbx), %eax");
CODE64(write, "movl %eax, (%rbx)");
CODE64(write_clac, "movl %eax, (%rbx); clac");
CODE64(stac_write, "stac; movl %eax, (%rbx)");
CODE64(clac_write, "clac; movl %eax, (%rbx)");
CODE64(jump, "jmp *%rbx");
CODE64(stac_at_3, "stac");
CODE64(load_segment, "mov %eax, %fs");

/* Everything of the runtime's becomes a supervisor page. */
static void supervisor_pages(void)
{
    for (Word va = 0; va < 0x40000000; va += 0x200000)
        set_entry(va, 2, get_entry(va, 2) & ~(uint64_t)PTE_U);
    WRITE_REG("cr3", READ_REG("cr3"));
}

static void kernel(const char *name, const char *code, Word flags, unsigned want)
{
    Context c = kernel_context(code);
    c.bx = VA;
    c.flags |= flags;
    run(&c);
    check_context(name, &c, want);
    if (want >> 16 == 14)
        check_eq("  CR2", c.cr2, VA);
}

static void smap(void)
{
    WRITE_REG("cr4", READ_REG("cr4") | CR4_SMAP);
    kernel("SMAP: read", read, 0, PF(1));
    kernel("SMAP: write", write, 0, PF(3));
    kernel("SMAP, AC: read", read, FLAG_AC, DONE);
    kernel("SMAP, AC: write", write, FLAG_AC, DONE);
    kernel("SMAP, AC: write before CLAC", write_clac, FLAG_AC, DONE);
    kernel("SMAP: write behind STAC", stac_write, 0, DONE);
    Context after = kernel_context(clac_write);
    after.bx = VA;
    after.flags |= FLAG_AC;
    run(&after);
    check_context("SMAP: write behind CLAC", &after, PF(3));
    asm volatile("stac");
    check_eq("STAC sets AC", read_flags() & FLAG_AC, FLAG_AC);
    asm volatile("clac");
    check_eq("CLAC clears AC", read_flags() & FLAG_AC, 0);

    /* The LDT in the user page. */
    *(volatile uint64_t *)TEST_PA = segment(0, 0xfffff, TYPE_DATA_RW, SEG_G | SEG_D);
    set_gdt(SEL_FREE, segment(VA & 0xffffffff, 0xfff, TYPE_LDT, 0));
    gdt[SEL_FREE / 8 + 1] = VA >> 32;
    asm volatile("lldt %w0" : : "r"(SEL_FREE));
    Context c = kernel_context(load_segment);
    c.ax = 4;
    run(&c);
    check_context("SMAP: a descriptor is read", &c, PF(1));
    c = kernel_context(load_segment);
    c.ax = 4;
    c.flags |= FLAG_AC;
    run(&c);
    qemu_deviates("AC lets implicit accesses through");
    check_context("SMAP, AC: a descriptor is read", &c, PF(1));
    WRITE_REG("cr4", READ_REG("cr4") & ~(Word)CR4_SMAP);
    kernel("without SMAP: write", write, 0, DONE);
}

void guest_test(void)
{
    static const uint8_t int_30[] = {0xcd, 0x30};
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
    paging_on(PAGING_4LEVEL);
    map(VA, TEST_PA | PTE_P | PTE_W | PTE_U);
    memcpy((void *)TEST_PA, int_30, sizeof(int_30));

    if (cpu_has(7, 'b', 7)) {
        supervisor_pages();
        kernel("without SMEP: fetch", jump, 0, DONE);
        WRITE_REG("cr4", READ_REG("cr4") | CR4_SMEP);
        kernel("SMEP: fetch", jump, 0, PF(0x11));
        kernel("SMEP: read", read, 0, DONE);
        WRITE_REG("cr4", READ_REG("cr4") & ~(Word)CR4_SMEP);
    } else {
        skip("SMEP", "not in CPUID");
    }
    if (cpu_has(7, 'b', 20)) {
        supervisor_pages();
        smap();
        paging_on(PAGING_4LEVEL);
        Context c = user_context(stac_at_3);
        run(&c);
        check_context("STAC at CPL 3", &c, UD);
    } else {
        skip("SMAP", "not in CPUID");
    }
}
