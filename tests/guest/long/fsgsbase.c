/*
 * FS and GS bases in 64-bit mode: MSRs, SWAPGS, RDFSBASE and friends (SDM Vol. 3, 3.4.4).
 *   a selector load zeroes bits 63-32 of the base, taken from the descriptor
 *   MSR write of a non-canonical base #GP(0); WRFSBASE likewise
 *   SWAPGS exchanges GS.base with KERNEL_GS_BASE; #GP(0) at CPL 3
 *   RDFSBASE.. without CR4.FSGSBASE, or outside 64-bit mode: #UD
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#define NO_CANONICAL "bases are not checked to be canonical"

static Word cells[4];

static void user_bases(void)
{
    Word base;
    EXPECT("WRGSBASE at CPL 3", NONE, "wrgsbase %0", : : "r"(&cells[2]));
    EXPECT("RDGSBASE at CPL 3", NONE, "rdgsbase %0", : "=r"(base));
    check_eq("  base", base, (Word)&cells[2]);
    EXPECT("WRFSBASE at CPL 3", NONE, "wrfsbase %0", : : "r"(&cells[3]));
    EXPECT("SWAPGS at CPL 3", GP(0), "swapgs", : :);
    Word got;
    asm volatile("movq %%fs:0, %0" : "=r"(got));
    check_eq("  and FS uses it", got, 3);
}

void guest_test(void)
{
    Word got;
    for (unsigned i = 0; i < 4; i++)
        cells[i] = i;
    wrmsr(MSR_FS_BASE, (Word)cells);
    asm volatile("movq %%fs:8, %0" : "=r"(got));
    check_eq("FS.base by MSR", got, 1);
    check_eq("  the selector stays", READ_REG("fs") & 0xffff, SEL_DATA);
    wrmsr(MSR_GS_BASE, (Word)&cells[1]);
    wrmsr(MSR_KERNEL_GS_BASE, (Word)&cells[2]);
    asm volatile("swapgs; movq %%gs:0, %0" : "=r"(got));
    check_eq("SWAPGS", got, 2);
    check_eq("  KERNEL_GS_BASE", rdmsr(MSR_KERNEL_GS_BASE), (Word)&cells[1]);

    qemu_deviates(NO_CANONICAL);
    EXPECT("FS.base not canonical", GP(0), "wrmsr",
           : : "c"(MSR_FS_BASE), "a"(0), "d"(0x8000));
    qemu_deviates(NO_CANONICAL);
    EXPECT("KERNEL_GS_BASE not canonical", GP(0), "wrmsr",
           : : "c"(MSR_KERNEL_GS_BASE), "a"(0), "d"(0x8000));
    qemu_deviates(NO_CANONICAL);
    check_eq("  FS.base stays", rdmsr(MSR_FS_BASE), (Word)cells);

    wrmsr(MSR_FS_BASE, 0xffff800000001000);
    check_eq("a high base", rdmsr(MSR_FS_BASE), 0xffff800000001000);
    set_gdt(SEL_FREE, segment(0x12345678, 0, TYPE_DATA_RW, 0));
    asm volatile("movw %w0, %%fs" : : "r"(SEL_FREE));
    check_eq("a selector load replaces all of it", rdmsr(MSR_FS_BASE), 0x12345678);

    if (!cpu_has(7, 'b', 0)) {
        skip("RDFSBASE and friends", "no FSGSBASE");
        return;
    }
    EXPECT("RDFSBASE without CR4.FSGSBASE", UD, "rdfsbase %0", : "=r"(got));
    WRITE_REG("cr4", READ_REG("cr4") | CR4_FSGSBASE);
    EXPECT("RDFSBASE", NONE, "rdfsbase %0", : "=r"(got));
    check_eq("  base", got, 0x12345678);
    got = ~0ul;
    asm volatile("rdfsbase %k0" : "+r"(got));
    check_eq("RDFSBASE, 32 bits", got, 0x12345678);
    asm volatile("wrfsbase %k0" : : "r"(0xffffffff87654321));
    check_eq("WRFSBASE, 32 bits", rdmsr(MSR_FS_BASE), 0x87654321);
    qemu_deviates(NO_CANONICAL);
    EXPECT("WRFSBASE not canonical", GP(0), "wrfsbase %0", : : "r"(0x800000000000));
    EXPECT("WRGSBASE", NONE, "wrgsbase %0", : : "r"(&cells[2]));
    Word gs = rdmsr(MSR_GS_BASE);
    check_eq("  base", gs, (Word)&cells[2]);
    call_user(user_bases);
}
