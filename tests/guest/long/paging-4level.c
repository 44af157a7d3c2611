/*
 * 4-level paging (SDM Vol. 3, 4.5): 4 KB, 2 MB, 1 GB pages; permissions of four levels combine; NX.
 *   PS in a PML4E, bits 13-29 of a 1 GB PDPTE, bits 13-20 of a 2 MB PDE are reserved: #PF with 8
 *   A is set in every entry used, D in the last
 *   the upper half of the address space translates like the lower
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#define VA 0x123456789000ul  /* indices 0x24, 0xd1, 0xb3, 0x189 */
#define HIGH 0xffff888012345000ul
#define NO_P "a reserved bit does not set P"

CODE64(read, "movl (%rbx), %eax");
CODE64(write, "movl %eax, (%rbx)");
CODE64(jump, "jmp *%rbx");

static void access(const char *name, const char *code, bool user, Word va, unsigned want)
{
    Context c = user ? user_context(code) : kernel_context(code);
    c.bx = va;
    run(&c);
    check_context(name, &c, want);
    if (want != DONE)
        check_eq("  CR2", c.cr2, va);
}

static void four_levels(void)
{
    enum { AD = PTE_A | PTE_D };
    map(VA, TEST_PA | PTE_P | PTE_W | PTE_U);
    *(volatile uint32_t *)TEST_PA = 0xcafe;
    check_eq("a 4 KB page", *(volatile uint32_t *)VA, 0xcafe);
    for (unsigned level = 1; level <= 4; level++)
        check_eq("  A at each level", get_entry(VA, level) & AD, PTE_A);
    *(volatile uint32_t *)VA = 1;
    check_eq("  D", get_entry(VA, 1) & AD, AD);
    check_eq("  not above", get_entry(VA, 2) & AD, PTE_A);

    for (unsigned level = 1; level <= 4; level++) {
        uint64_t entry = get_entry(VA, level);
        set_entry(VA, level, entry & ~(uint64_t)PTE_U);
        invlpg(VA);
        access("U clear at one level", read, true, VA, PF(5));
        set_entry(VA, level, entry & ~(uint64_t)PTE_W);
        invlpg(VA);
        access("W clear at one level", write, true, VA, PF(7));
        set_entry(VA, level, entry | PTE_NX);
        invlpg(VA);
        access("NX set at one level", jump, true, VA, PF(0x15));
        set_entry(VA, level, entry & ~(uint64_t)PTE_P);
        invlpg(VA);
        access("P clear at one level", read, false, VA, PF(0));
        set_entry(VA, level, entry);
        invlpg(VA);
    }
    map(HIGH, TEST_PA | PTE_P | PTE_W);
    check_eq("the upper half", *(volatile uint32_t *)HIGH, 1);
}

static void large(void)
{
    Word va = VA & ~0x3ffffffful;
    uint64_t pdpte = get_entry(va, 3);
    set_entry(va, 2, TEST_PA | PTE_P | PTE_W | PTE_PS);
    WRITE_REG("cr3", READ_REG("cr3"));
    *(volatile uint32_t *)(TEST_PA + 0x1ffffc) = 0x2222;
    check_eq("a 2 MB page", *(volatile uint32_t *)(va + 0x1ffffc), 0x2222);
    set_entry(va, 2, TEST_PA | PTE_P | PTE_PS | 1 << 14);
    invlpg(va);
    qemu_deviates(NO_P);
    access("bit 14 of a 2 MB page", read, false, va, PF(9));

    if (cpu_has(0x80000001, 'd', 26)) {
        set_entry(va, 3, PTE_P | PTE_W | PTE_PS);
        WRITE_REG("cr3", READ_REG("cr3"));
        check_eq("a 1 GB page", *(volatile uint32_t *)(va + TEST_PA + 0x1ffffc), 0x2222);
        check_eq("  A", get_entry(va, 3) & (PTE_A | PTE_D), PTE_A);
        set_entry(va, 3, PTE_P | PTE_PS | 1 << 20);
        invlpg(va);
        qemu_deviates(NO_P);
        access("bit 20 of a 1 GB page", read, false, va, PF(9));
    } else {
        skip("a 1 GB page", "no PDPE1GB");
    }
    set_entry(va, 3, pdpte);
    uint64_t pml4e = get_entry(va, 4);
    set_entry(va, 4, pml4e | PTE_PS);
    WRITE_REG("cr3", READ_REG("cr3"));
    qemu_deviates(NO_P);
    access("PS of a PML4E", read, false, va, PF(9));
}

void guest_test(void)
{
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
    paging_on(PAGING_4LEVEL);
    four_levels();
    large();
}
