/*
 * Who may read the CPU's counters (SDM Vol. 2, RDTSC, RDTSCP, RDPMC): CR4.TSD makes RDTSC and
 * RDTSCP #GP(0) at CPL 3; RDPMC is #GP(0) at CPL 3 without CR4.PCE. RDTSCP gives IA32_TSC_AUX. The
 * TSC never goes back.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

static unsigned want_tsc, want_tscp;

static void user(void)
{
    EXPECT("RDTSC at CPL 3", want_tsc, "rdtsc", : : : "eax", "edx");
    EXPECT("RDTSCP at CPL 3", want_tscp, "rdtscp", : : : "eax", "ecx", "edx");
}

static void user_rdpmc(void)
{
    EXPECT("RDPMC at CPL 3 without CR4.PCE", GP(0), "rdpmc", : : "c"(0) : "eax", "edx");
}

void guest_test(void)
{
    if (!need(1, 'd', 4, "TSC"))
        return;
    bool back = false;
    uint64_t last = rdtsc();
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t now = rdtsc();
        back = back || now < last;
        last = now;
    }
    check("the TSC does not go back", !back);
    if (!cpu_has(0x80000001, 'd', 27)) {
        EXPECT("RDTSCP without RDTSCP", UD, "rdtscp", : : : "eax", "ecx", "edx");
        return;
    }
    wrmsr(MSR_TSC_AUX, 0x1234);
    uint32_t aux;
    asm volatile("rdtscp" : "=c"(aux) : : "eax", "edx");
    check_eq("RDTSCP: ECX", aux, 0x1234);
    want_tsc = want_tscp = NONE;
    call_user(user);
    WRITE_REG("cr4", READ_REG("cr4") | CR4_TSD);
    want_tsc = want_tscp = GP(0);
    put_string("# CR4.TSD\n");
    call_user(user);
    EXPECT("RDTSC at CPL 0", NONE, "rdtsc", : : : "eax", "edx");
    call_user(user_rdpmc);
}
