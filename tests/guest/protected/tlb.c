/*
 * What flushes translations (SDM Vol. 3, 4.10). Only what must happen is checked: a changed entry
 * counts after INVLPG of any address in its page, MOV to CR3 (except global pages with CR4.PGE),
 * a change of CR4.PGE, PSE or PAE, of CR0.PG or WP, and after a task switch that changes CR3.
 * A global page survives MOV to CR3: a stale translation there is allowed, not required.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

static volatile uint32_t *const here = (uint32_t *)TEST_VA;

/* Points the page, known to the TLB, to the frame `to`, and leaves the flush to the caller. */
static void redirect(unsigned to, unsigned bits)
{
    map(TEST_VA, (TEST_PA + (to ^ 1) * 0x1000) | bits);
    (void)*here;
    set_entry(TEST_VA, 1, (TEST_PA + to * 0x1000) | bits);
}

void guest_test(void)
{
    if (!need(1, 'd', 13, "PGE"))
        return;
    *(volatile uint32_t *)TEST_PA = 0xaaaa;
    *(volatile uint32_t *)(TEST_PA + 0x1000) = 0xbbbb;
    paging_on(PAGING_32BIT);

    redirect(1, PTE_P | PTE_W);
    invlpg(TEST_VA + 0xfff);
    check_eq("INVLPG", *here, 0xbbbb);
    redirect(0, PTE_P | PTE_W);
    WRITE_REG("cr3", READ_REG("cr3"));
    check_eq("MOV to CR3", *here, 0xaaaa);

    WRITE_REG("cr4", READ_REG("cr4") | CR4_PGE);
    redirect(1, PTE_P | PTE_W | PTE_G);
    invlpg(TEST_VA);
    check_eq("INVLPG of a global page", *here, 0xbbbb);
    redirect(0, PTE_P | PTE_W | PTE_G);
    WRITE_REG("cr4", READ_REG("cr4") ^ CR4_PGE);
    check_eq("CR4.PGE cleared", *here, 0xaaaa);
    redirect(1, PTE_P | PTE_W | PTE_G);
    WRITE_REG("cr4", READ_REG("cr4") ^ CR4_PGE);
    check_eq("CR4.PGE set", *here, 0xbbbb);
    redirect(0, PTE_P | PTE_W | PTE_G);
    WRITE_REG("cr4", READ_REG("cr4") & ~CR4_PGE);
    WRITE_REG("cr3", READ_REG("cr3"));
    check_eq("MOV to CR3 without PGE", *here, 0xaaaa);

    redirect(1, PTE_P | PTE_W);
    WRITE_REG("cr0", READ_REG("cr0") & ~CR0_PG);
    WRITE_REG("cr0", READ_REG("cr0") | CR0_PG);
    check_eq("CR0.PG", *here, 0xbbbb);

    /* Not present to present needs no flush. */
    map(TEST_VA, 0);
    EXPECT("not present", PF(0), "movl (%0), %%eax", : : "r"(here) : "eax");
    set_entry(TEST_VA, 1, TEST_PA | PTE_P);
    check_eq("made present without a flush", *here, 0xaaaa);
    /* Read-only to writable neither: the fault looks again. */
    WRITE_REG("cr0", READ_REG("cr0") | CR0_WP);
    EXPECT("read-only", PF(3), "movl $0, (%0)", : : "r"(here));
    set_entry(TEST_VA, 1, TEST_PA | PTE_P | PTE_W);
    EXPECT("made writable without a flush", NONE, "movl $0xcccc, (%0)", : : "r"(here));
    check_eq("  written", *(volatile uint32_t *)TEST_PA, 0xcccc);

    set_entry(TEST_VA, 1, TEST_PA | PTE_P);
    WRITE_REG("cr3", READ_REG("cr3"));
    WRITE_REG("cr0", READ_REG("cr0") & ~CR0_WP);
    EXPECT("write, WP clear", NONE, "movl $0, (%0)", : : "r"(here));
    WRITE_REG("cr0", READ_REG("cr0") | CR0_WP);
    EXPECT("write, WP set again", PF(3), "movl $0, (%0)", : : "r"(here));
}
