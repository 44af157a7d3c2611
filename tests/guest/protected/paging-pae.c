/*
 * PAE paging (SDM Vol. 3, 4.4): 4 KB and 2 MB pages, NX, reserved bits, the four PDPTE registers.
 *   instruction fetch from an NX page     #PF 0x11 (kernel), 0x15 (user)
 *   NX without EFER.NXE, bits 52-62, bits 12-20 of a 2 MB page   #PF with RSVD (8)
 *   a change of a PDPTE in memory counts from the next load of CR3
 *   reserved bits in a present PDPTE      #GP(0) at MOV to CR3, which keeps CR3
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#define NO_P "a reserved bit does not set P"

CODE32(read, "movl (%ebx), %eax");
CODE32(write, "movl %eax, (%ebx)");
CODE32(jump, "jmp *%ebx");

static void access(const char *name, const char *code, bool user, Word va, unsigned want)
{
    Context c = user ? user_context(code) : kernel_context(code);
    c.bx = va;
    run(&c);
    check_context(name, &c, want);
    if (want != DONE)
        check_eq("  CR2", c.cr2, va);
}

static void no_execute(void)
{
    if (!cpu_has(0x80000001, 'd', 20)) {
        skip("NX", "not in CPUID");
        return;
    }
    static const uint8_t int_30[] = {0xcd, 0x30};
    memcpy((void *)TEST_PA, int_30, sizeof(int_30));
    map(TEST_VA, TEST_PA | PTE_P | PTE_U | PTE_W | PTE_NX);
    qemu_deviates(NO_P);
    access("NX without EFER.NXE is reserved", read, false, TEST_VA, PF(9));
    qemu_deviates(NO_P);
    access("NX without EFER.NXE, user write", write, true, TEST_VA, PF(0xf));
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
    access("NX: read", read, false, TEST_VA, DONE);
    access("NX: kernel fetch", jump, false, TEST_VA, PF(0x11));
    access("NX: user fetch", jump, true, TEST_VA, PF(0x15));
    map(TEST_VA, TEST_PA | PTE_P | PTE_U);
    access("no NX: user fetch", jump, true, TEST_VA, DONE);
    map(TEST_VA, 0);
    access("fetch from nowhere has I/D", jump, true, TEST_VA, PF(0x14));
    map(TEST_VA, TEST_PA | PTE_P);
    access("user fetch from the kernel's", jump, true, TEST_VA, PF(0x15));
    uint64_t pde = get_entry(TEST_VA, 2);
    map(TEST_VA, TEST_PA | PTE_P | PTE_U);
    set_entry(TEST_VA, 2, pde | PTE_NX);
    invlpg(TEST_VA);
    access("NX of the directory counts", jump, true, TEST_VA, PF(0x15));
    set_entry(TEST_VA, 2, pde);
    invlpg(TEST_VA);
}

static void reserved(void)
{
    map(TEST_VA, TEST_PA | PTE_P | 1ull << 62);
    qemu_deviates(NO_P);
    access("bit 62", read, false, TEST_VA, PF(9));
    map(TEST_VA, TEST_PA | PTE_P | 1ull << 52);
    qemu_deviates(NO_P);
    access("bit 52", read, true, TEST_VA, PF(0xd));
    Word large = 0x30000000;
    set_entry(large, 2, 0x400000 | PTE_P | PTE_PS | 1 << 13);
    invlpg(large);
    qemu_deviates(NO_P);
    access("bit 13 of a 2 MB page", read, false, large, PF(9));
    set_entry(large, 2, 0x400000 | PTE_P | PTE_PS);
    invlpg(large);
    access("a 2 MB page", read, false, large + 0x1ffffc, DONE);
    check_eq("  sets A", get_entry(large, 2) & (PTE_A | PTE_D), PTE_A);
}

static void directory_pointers(void)
{
    map(TEST_VA, TEST_PA | PTE_P | PTE_U);
    uint64_t pdpte = get_entry(TEST_VA, 3);
    set_entry(TEST_VA, 3, 0);
    invlpg(TEST_VA);
    qemu_deviates("the PDPTEs are read from memory at each walk");
    access("a PDPTE cleared in memory still counts", read, false, TEST_VA, DONE);
    WRITE_REG("cr3", READ_REG("cr3"));
    access("until CR3 is loaded", read, false, TEST_VA, PF(0));
    set_entry(TEST_VA, 3, pdpte | PTE_W);
    Word cr3 = READ_REG("cr3");
    qemu_deviates("loading CR3 does not check the PDPTEs");
    EXPECT("CR3 with a reserved bit in a PDPTE", GP(0), "mov %0, %%cr3", : : "r"(cr3 | 0x18));
    qemu_deviates("loading CR3 does not check the PDPTEs");
    check_eq("  CR3", READ_REG("cr3"), cr3);
    set_entry(TEST_VA, 3, pdpte);
    WRITE_REG("cr3", cr3);
    access("a good PDPTE again", read, false, TEST_VA, DONE);
}

void guest_test(void)
{
    if (!need(1, 'd', 6, "PAE"))
        return;
    paging_on(PAGING_PAE);
    set_entry(TEST_VA, 1, 0);
    no_execute();
    reserved();
    directory_pointers();
}
