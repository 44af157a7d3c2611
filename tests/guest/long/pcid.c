/*
 * PCID and INVPCID (SDM Vol. 3, 4.10). Only what must be seen is checked, not what may stay cached.
 *   CR4.PCIDE = 1 while CR3 bits 11-0 are not 0, or outside long mode   #GP(0)
 *   MOV to CR3 with bit 63 keeps translations; without it flushes those of that PCID
 *   CR0.PG = 0 while PCIDE                                             #GP(0)
 *   INVPCID types 0 address, 1 context, 2 all, 3 all but global; type 4, bits 63-12 of the
 *   descriptor, a non-canonical address for type 0                     #GP(0)
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#define VA 0x7000000000ul
#define NO_FLUSH (1ul << 63)

static volatile uint32_t *const here = (uint32_t *)VA;

static void invpcid(Word type, Word pcid, Word address)
{
    struct {
        Word pcid, address;
    } d = {pcid, address};
    asm volatile("invpcid %0, %1" : : "m"(d), "r"(type) : "memory");
}

static void redirect(unsigned to)
{
    set_entry(VA, 1, (TEST_PA + (to ^ 1) * 0x1000) | PTE_P | PTE_W);
    invlpg(VA);
    (void)*here;
    set_entry(VA, 1, (TEST_PA + to * 0x1000) | PTE_P | PTE_W);
}

static void bad_invpcid(const char *name, Word type, Word pcid, Word address)
{
    struct {
        Word pcid, address;
    } d = {pcid, address};
    EXPECT(name, GP(0), "invpcid %0, %1", : : "m"(d), "r"(type));
}

void guest_test(void)
{
    if (!cpu_has(1, 'c', 17)) {
        qemu_deviates("bits of CR4 that CPUID does not show are dropped");
        EXPECT("CR4.PCIDE without PCID", GP(0), "mov %0, %%cr4",
               : : "r"(READ_REG("cr4") | CR4_PCIDE));
        return;
    }
    *(volatile uint32_t *)TEST_PA = 0xaaaa;
    *(volatile uint32_t *)(TEST_PA + 0x1000) = 0xbbbb;
    paging_on(PAGING_4LEVEL);
    Word root = READ_REG("cr3"), cr4 = READ_REG("cr4");
    WRITE_REG("cr3", root | PTE_PCD);
    EXPECT("PCIDE while CR3[11:0] is not 0", GP(0), "mov %0, %%cr4", : : "r"(cr4 | CR4_PCIDE));
    WRITE_REG("cr3", root);
    EXPECT("CR3 bit 63 without PCIDE", GP(0), "mov %0, %%cr3", : : "r"(root | NO_FLUSH));
    WRITE_REG("cr4", cr4 | CR4_PCIDE);
    EXPECT("CR0.PG = 0 with PCIDE", GP(0), "mov %0, %%cr0", : : "r"(READ_REG("cr0") & ~CR0_PG));

    WRITE_REG("cr3", root | 5);
    check_eq("CR3 holds the PCID", READ_REG("cr3"), root | 5);
    redirect(1);
    WRITE_REG("cr3", root | 5);
    check_eq("MOV to CR3 of the same PCID", *here, 0xbbbb);
    redirect(0);
    WRITE_REG("cr3", root | 6);
    WRITE_REG("cr3", root | 5);
    check_eq("there and back without bit 63", *here, 0xaaaa);
    WRITE_REG("cr3", root | 6 | NO_FLUSH);
    check_eq("bit 63 is not kept", READ_REG("cr3"), root | 6);
    redirect(1);
    invlpg(VA);
    check_eq("INVLPG", *here, 0xbbbb);
    if (!cpu_has(7, 'b', 10)) {
        skip("INVPCID", "not in CPUID");
        return;
    }
    redirect(0);
    invpcid(0, 6, VA);
    check_eq("INVPCID, address", *here, 0xaaaa);
    redirect(1);
    invpcid(1, 6, 0);
    check_eq("INVPCID, context", *here, 0xbbbb);
    redirect(0);
    invpcid(2, 0, 0);
    check_eq("INVPCID, all", *here, 0xaaaa);
    redirect(1);
    invpcid(3, 0, 0);
    check_eq("INVPCID, all but global", *here, 0xbbbb);
    bad_invpcid("INVPCID type 4", 4, 0, 0);
    bad_invpcid("INVPCID, PCID of 13 bits", 1, 0x1000, 0);
    bad_invpcid("INVPCID, address not canonical", 0, 6, 0x800000000000);
}
