/*
 * Model-specific registers (SDM Vol. 4, 2.1): reading and writing back, #GP(0) for the unknown and
 * for reserved bits.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

static void refuse_read(const char *name, uint32_t msr)
{
    EXPECT(name, GP(0), "rdmsr", : : "c"(msr) : "eax", "edx");
}

static void refuse_write(const char *name, uint32_t msr, uint64_t value, const char *deviation)
{
    qemu_deviates(deviation);
    EXPECT(name, GP(0), "wrmsr", : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static void keeps(const char *name, uint32_t msr, uint64_t value)
{
    uint64_t before = rdmsr(msr);
    EXPECT(name, NONE, "wrmsr", : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
    check_eq("  reads back", rdmsr(msr), value);
    wrmsr(msr, before);
}

#define NO_CHECK "WRMSR does not check what it is given"

void guest_test(void)
{
    if (!need(1, 'd', 16, "PAT"))
        return;
    uint64_t before = rdtsc();
    qemu_deviates("IA32_TSC is not the counter");
    check("IA32_TSC counts", rdmsr(MSR_TSC) > before);
    wrmsr(MSR_TSC, 0x1000000000000);
    uint64_t now = rdtsc();
    qemu_deviates("IA32_TSC is not the counter");
    check("IA32_TSC is writable", now >= 0x1000000000000 && now < 0x1000100000000);
    wrmsr(MSR_TSC, 0);

    keeps("SYSENTER_CS", MSR_SYSENTER_CS, 0x1234);
    keeps("SYSENTER_ESP", MSR_SYSENTER_ESP, 0x12345678);
    if (!cpu_has(0x80000001, 'd', 29)) {
        refuse_read("EFER without LM and NX", MSR_EFER);
        return;
    }
    keeps("STAR", MSR_STAR, 0x123456789abcdef0);
    keeps("LSTAR", MSR_LSTAR, 0xffff800012345678);
    keeps("KERNEL_GS_BASE", MSR_KERNEL_GS_BASE, 0x123456789abc);
    keeps("EFER.SCE", MSR_EFER, EFER_SCE);
    keeps("EFER.NXE", MSR_EFER, EFER_NXE);
    if (cpu_has(0x80000001, 'd', 27))
        keeps("TSC_AUX", MSR_TSC_AUX, 0x12345678);
    else
        skip("TSC_AUX", "no RDTSCP");
    check_eq("PAT at reset", rdmsr(MSR_PAT), 0x0007040600070406);
    keeps("PAT", MSR_PAT, 0x0006040100070406);
    refuse_write("PAT, type 2", MSR_PAT, 0x0007040600070402, NO_CHECK);
    refuse_write("PAT, type 8", MSR_PAT, 0x0807040600070406, NO_CHECK);
    refuse_write("EFER, a reserved bit", MSR_EFER, 1 << 9, "reserved bits of EFER are dropped");
    refuse_write("LSTAR, not canonical", MSR_LSTAR, 0x800000000000, NO_CHECK);

    check_eq("MTRRcap says 8 variable ranges", rdmsr(0xfe) & 0xff, 8);
    refuse_write("MTRRcap is read-only", 0xfe, 0, "it is ignored");
    keeps("MTRRphysBase0", 0x200, 0x80000006);
    keeps("MTRRphysMask0", 0x201, 0xf80000800);
    keeps("MTRRfix64K_00000", 0x250, 0x0606060606060606);
    keeps("MTRRdefType", 0x2ff, 0xc06);
    refuse_write("MTRRdefType, type 2", 0x2ff, 0xc02, NO_CHECK);
    refuse_write("MTRRphysBase0, type 7", 0x200, 0x80000007, NO_CHECK);
    refuse_write("MTRRfix64K_00000, type 2", 0x250, 2, NO_CHECK);

    check_eq("APIC_BASE", rdmsr(MSR_APIC_BASE) & 0xfffff900, 0xfee00900);
    refuse_write("APIC_BASE, a reserved bit", MSR_APIC_BASE, 0xfee00901, NO_CHECK);

    qemu_deviates("an unknown MSR reads as 0");
    refuse_read("RDMSR of an unknown one", 0x12345);
    refuse_write("WRMSR of an unknown one", 0x12345, 0, "it is ignored");
    qemu_deviates("an unknown MSR reads as 0");
    refuse_read("RDMSR of another", 0xdeadbeef);
}
