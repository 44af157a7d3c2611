/*
 * CMPXCHG8B, CMPXCHG16B and LOCK (SDM Vol. 2): compare, exchange, ZF; CMPXCHG16B off a 16-byte
 * boundary is #GP(0). A compare that fails still counts as a write: to a read-only page it faults.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

static uint64_t pair[3] __attribute__((aligned(16))) = {1, 2, 3};

void guest_test(void)
{
    Word low = 1, high = 2;
    bool equal;
    asm volatile("lock cmpxchg16b %2"
                 : "+a"(low), "+d"(high), "+m"(pair[0]), "=@ccz"(equal)
                 : "b"(5ul), "c"(6ul)
                 : "memory");
    check("CMPXCHG16B, equal", equal);
    check("  exchanged", pair[0] == 5 && pair[1] == 6);
    asm volatile("lock cmpxchg16b %2"
                 : "+a"(low), "+d"(high), "+m"(pair[0]), "=@ccz"(equal)
                 : "b"(7ul), "c"(8ul)
                 : "memory");
    check("CMPXCHG16B, not equal", !equal);
    check("  loaded", low == 5 && high == 6 && pair[0] == 5);
    EXPECT("CMPXCHG16B at 8", GP(0), "cmpxchg16b %0",
           : "+m"(pair[1]) : "a"(0), "d"(0), "b"(0), "c"(0));
    EXPECT("LOCK CMPXCHG16B at 8", GP(0), "lock cmpxchg16b %0",
           : "+m"(pair[1]) : "a"(0), "d"(0), "b"(0), "c"(0));

    paging_on(PAGING_4LEVEL);
    WRITE_REG("cr0", READ_REG("cr0") | CR0_WP);
    Word va = 0x7000000000;
    map(va, TEST_PA | PTE_P);
    *(volatile uint32_t *)TEST_PA = 9;
    EXPECT("CMPXCHG, not equal, read-only page", PF(3), "cmpxchg %1, (%0)",
           : : "D"(va), "c"(1), "a"(0) : "memory");
    qemu_deviates("the fault of a read-modify-write is that of a read");
    set_entry(va, 1, 0);
    invlpg(va);
    EXPECT("CMPXCHG, missing page", PF(2), "cmpxchg %1, (%0)",
           : : "D"(va), "c"(1), "a"(0) : "memory");
}
