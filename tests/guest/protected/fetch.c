/*
 * Faults of instruction fetch: the EIP is the instruction's first byte, CR2 the first byte that
 * is missing (SDM Vol. 3, 6.15, #PF).
 *   an instruction that crosses CS.limit                #GP(0)
 *   one that crosses into a page that is missing, NX    #PF, with I/D when NX is on
 *   one that would be complete before the limit or page runs
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#define PAGE2 (TEST_VA + 0x1000)

static const uint8_t mov_eax[] = {0xb8, 1, 2, 3, 4, 0xcd, 0x30};

/* MOV EAX, imm32; INT 0x30 in a segment that ends after `size` of its bytes. */
static void limit(const char *name, unsigned size, unsigned want, Word want_ip)
{
    memcpy((void *)TEST_PA, mov_eax, sizeof(mov_eax));
    set_gdt(SEL_FREE, segment(TEST_PA, size - 1, TYPE_CODE | DPL(3), SEG_D));
    Context c = user_context(0);
    c.cs = SEL_FREE | 3;
    c.ip = 0;
    run(&c);
    if (want != DONE)
        qemu_deviates("instruction fetch does not check CS.limit");
    check_context(name, &c, want);
    if (want != DONE)
        qemu_deviates("instruction fetch does not check CS.limit");
    check_eq("  EIP", c.ip, want_ip);
}

static void page(const char *name, unsigned before, unsigned want, Word want_ip)
{
    Word start = PAGE2 - before;
    memcpy((void *)(TEST_PA + 0x1000 - before), mov_eax, before);
    memcpy((void *)(TEST_PA + 0x1000), mov_eax + before, sizeof(mov_eax) - before);
    Context c = user_context((void *)start);
    run(&c);
    check_context(name, &c, want);
    check_eq("  EIP", c.ip - start, want_ip);
    if (want != DONE)
        check_eq("  CR2", c.cr2, PAGE2);
}

void guest_test(void)
{
    limit("limit behind both", 7, DONE, 7);
    limit("limit within the first instruction", 3, GP(0), 0);
    limit("limit behind the first instruction", 5, GP(0), 5);
    limit("limit within the second", 6, GP(0), 5);

    if (!need(1, 'd', 6, "PAE"))
        return;
    paging_on(PAGING_PAE);
    map(TEST_VA, TEST_PA | PTE_P | PTE_U);
    map(PAGE2, (TEST_PA + 0x1000) | PTE_P | PTE_U);
    page("both pages are there", 3, DONE, 7);
    map(PAGE2, 0);
    page("the page ends within an instruction", 3, PF(4), 0);
    page("the page ends behind it", 5, PF(4), 5);
    if (!need(0x80000001, 'd', 20, "NX"))
        return;
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
    page("the same with NX on", 3, PF(0x14), 0);
    map(PAGE2, (TEST_PA + 0x1000) | PTE_P | PTE_U | PTE_NX);
    page("the second page is NX", 3, PF(0x15), 0);
    map(PAGE2, (TEST_PA + 0x1000) | PTE_P);
    page("the second page is the kernel's", 4, PF(0x15), 0);
}
