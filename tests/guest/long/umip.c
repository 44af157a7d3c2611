/*
 * UMIP (SDM Vol. 3, 2.5): with CR4.UMIP, SGDT SIDT SLDT SMSW STR at CPL 3 are #GP(0). Privileged
 * instructions at CPL 3 are #GP(0) at all times.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

static uint8_t place[16];
static unsigned want;

static void stores(void)
{
    Word r;
    EXPECT("SGDT", want, "sgdt %0", : "=m"(place));
    EXPECT("SIDT", want, "sidt %0", : "=m"(place));
    EXPECT("SLDT", want, "sldt %0", : "=r"(r));
    EXPECT("SMSW", want, "smsw %0", : "=r"(r));
    EXPECT("STR", want, "str %0", : "=r"(r));
}

static void privileged(void)
{
    EXPECT("MOV from CR0", GP(0), "mov %%cr0, %%rax", : : : "rax");
    EXPECT("MOV to CR3", GP(0), "mov %%rax, %%cr3", : :);
    EXPECT("MOV from DR7", GP(0), "mov %%dr7, %%rax", : : : "rax");
    EXPECT("CLTS", GP(0), "clts", : :);
    EXPECT("HLT", GP(0), "hlt", : :);
    EXPECT("INVD", GP(0), "invd", : :);
    EXPECT("WBINVD", GP(0), "wbinvd", : :);
    EXPECT("INVLPG", GP(0), "invlpg (%%rax)", : :);
    EXPECT("LGDT", GP(0), "lgdt %0", : : "m"(place));
    EXPECT("LIDT", GP(0), "lidt %0", : : "m"(place));
    EXPECT("LLDT", GP(0), "lldt %%ax", : :);
    EXPECT("LTR", GP(0), "ltr %%ax", : :);
    EXPECT("LMSW", GP(0), "lmsw %%ax", : :);
    EXPECT("RDMSR", GP(0), "rdmsr", : : "c"(MSR_EFER) : "rax", "rdx");
    EXPECT("WRMSR", GP(0), "wrmsr", : : "c"(MSR_EFER), "a"(0), "d"(0));
    EXPECT("CLI", GP(0), "cli", : :);
    EXPECT("MOV from CR8", GP(0), "mov %%cr8, %%rax", : : : "rax");
    EXPECT("RDTSC", NONE, "rdtsc", : : : "rax", "rdx");
}

static void no_rdtsc(void)
{
    EXPECT("RDTSC with CR4.TSD", GP(0), "rdtsc", : : : "rax", "rdx");
}

void guest_test(void)
{
    want = NONE;
    call_user(stores);
    call_user(privileged);
    WRITE_REG("cr4", READ_REG("cr4") | CR4_TSD);
    call_user(no_rdtsc);
    EXPECT("RDTSC at CPL 0 with CR4.TSD", NONE, "rdtsc", : : : "rax", "rdx");
    if (!cpu_has(7, 'c', 2)) {
        skip("UMIP", "not in CPUID");
        return;
    }
    WRITE_REG("cr4", READ_REG("cr4") | CR4_UMIP);
    want = GP(0);
    call_user(stores);
    want = NONE;
    put_string("# at CPL 0\n");
    stores();
}
