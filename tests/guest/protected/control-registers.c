/*
 * What CR0, CR3, CR4, LMSW and CLTS take and refuse (SDM Vol. 3, 2.5).
 *   CR0: ET is always 1; reserved bits stay 0
 *   CR4: PCIDE outside long mode: #GP(0)
 *   LMSW changes PE, MP, EM, TS only and cannot clear PE; SMSW stores CR0
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

void guest_test(void)
{
    Word cr0 = READ_REG("cr0"), cr4 = READ_REG("cr4"), value;

    EXPECT("CR0: CD and NW", NONE, "mov %0, %%cr0", : : "r"(cr0 | CR0_CD | CR0_NW));
    WRITE_REG("cr0", cr0 & ~(CR0_CD | CR0_NW));
    check_eq("CR0: CD and NW clear", READ_REG("cr0") & (CR0_CD | CR0_NW), 0);
    WRITE_REG("cr0", cr0);
    WRITE_REG("cr0", cr0 & ~0x10ul);
    check_eq("CR0: ET stays 1", READ_REG("cr0") & 0x10, 0x10);
    WRITE_REG("cr0", cr0 | 1 << 9);
    qemu_deviates("reserved bits of CR0 can be set");
    check_eq("CR0: a reserved bit stays 0", READ_REG("cr0") & 1 << 9, 0);
    WRITE_REG("cr0", cr0);

    if (cpu_has(1, 'c', 17)) {
        EXPECT("CR4: PCIDE outside long mode", GP(0), "mov %0, %%cr4", : : "r"(cr4 | CR4_PCIDE));
    } else {
        skip("CR4: PCIDE outside long mode", "no PCID");
    }

    EXPECT("LMSW", NONE, "lmsw %w0", : : "r"(CR0_PE | CR0_MP | CR0_EM | CR0_TS));
    check_eq("  MP, EM, TS are set", READ_REG("cr0") & 0xe, 0xe);
    asm volatile("clts");
    check_eq("CLTS", READ_REG("cr0") & 0xe, CR0_MP | CR0_EM);
    EXPECT("LMSW with PE = 0", NONE, "lmsw %w0", : : "r"(0));
    check_eq("  cannot clear PE", READ_REG("cr0") & 0xf, CR0_PE);
    EXPECT("LMSW with other bits", NONE, "lmsw %w0", : : "r"(0xfff1));
    check_eq("  changes them not", READ_REG("cr0"), cr0);
    asm volatile("smsw %k0" : "=r"(value));
    check_eq("SMSW r32 stores CR0", value, cr0);
    value = 0x11112222;
    asm volatile("smsw %w0" : "+r"(value));
    check_eq("SMSW r16 stores its low word", value, 0x11110000 | (cr0 & 0xffff));
    WRITE_REG("cr2", 0x87654321);
    check_eq("CR2 is writable", READ_REG("cr2"), 0x87654321);
    WRITE_REG("cr3", 0x12345018);
    check_eq("CR3 keeps PWT and PCD", READ_REG("cr3"), 0x12345018);
}
