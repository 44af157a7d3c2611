/*
 * Four CPUs on the same memory: locked operations lose nothing (SDM Vol. 3, 8.1.2), across cache lines and pages, too; XCHG locks
 * without a prefix; a locked operation between a store and a load keeps their order (8.2.2), by which Peterson's algorithm excludes.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* args: -smp 4 */
#include "second-cpu.h"

enum { CPUS = 4, ROUNDS = 4000, ACROSS = TEST_PA + 0x1ffe, LINE = TEST_PA + 0x303e };

typedef struct Shared {
    uint32_t inc, add, sub, xadd_seen, exchange_add, inverted, byte_added;
    uint64_t pair __attribute__((aligned(8)));
    uint32_t spin, under_spin, bit_lock, under_bit, exchanged[CPUS];
    struct {
        uint32_t wants[2], turn, count;
    } peterson[CPUS / 2];
} Shared;

static volatile Shared s;
static volatile uint32_t go, done;

static void locked_arithmetic(void)
{
    uint32_t one = 1;

    asm volatile("lock incl %0" : "+m"(s.inc) : : "memory");
    asm volatile("lock addl $3, %0" : "+m"(s.add) : : "memory");
    asm volatile("lock subl %1, %0" : "+m"(s.sub) : "r"(one) : "memory");
    asm volatile("lock xaddl %1, %0" : "+m"(s.exchange_add), "+r"(one) : : "memory");
    asm volatile("lock xorl %1, %0" : "+m"(s.xadd_seen) : "r"(one) : "memory");
    asm volatile("lock notl %0" : "+m"(s.inverted) : : "memory");
    asm volatile("lock addb $1, 1+%0" : "+m"(s.byte_added) : : "memory");
    asm volatile("lock addl $1, (%0)" : : "r"(ACROSS) : "memory");
    asm volatile("lock incl (%0)" : : "r"(LINE) : "memory");
}

static void compare_and_exchange(void)
{
    uint32_t low = (uint32_t)s.pair, high = (uint32_t)(s.pair >> 32), old = s.exchanged[0];
    bool equal;

    do {
        uint64_t next = ((uint64_t)high << 32 | low) + 0x100000001;
        asm volatile("lock cmpxchg8b %2"
                     : "+a"(low), "+d"(high), "+m"(s.pair), "=@ccz"(equal)
                     : "b"((uint32_t)next), "c"((uint32_t)(next >> 32))
                     : "memory");
    } while (!equal);
    do {
        asm volatile("lock cmpxchgl %3, %1" : "+a"(old), "+m"(s.exchanged[0]), "=@ccz"(equal) : "r"(old + 5) : "memory");
    } while (!equal);
}

static void under_locks(void)
{
    uint32_t taken;
    bool was_set;

    do {
        taken = 1;
        asm volatile("pause; xchgl %0, %1" : "+r"(taken), "+m"(s.spin) : : "memory");
    } while (taken);
    s.under_spin++;
    s.spin = 0;
    do {
        asm volatile("pause; lock btsl $7, %1" : "=@ccc"(was_set), "+m"(s.bit_lock) : : "memory");
    } while (was_set);
    s.under_bit++;
    asm volatile("lock btrl $7, %0" : "+m"(s.bit_lock) : : "memory");
}

static void peterson(unsigned cpu)
{
    unsigned me = cpu & 1;
    volatile typeof(s.peterson[0]) *p = &s.peterson[cpu / 2];

    p->wants[me] = 1;
    p->turn = !me;
    asm volatile("lock orl $0, (%%esp)" : : : "memory");
    while (p->wants[!me] && p->turn == !me)
        asm volatile("pause");
    p->count++;
    p->wants[me] = 0;
}

static void work(unsigned cpu)
{
    while (!go)
        asm volatile("pause");
    for (unsigned i = 0; i < ROUNDS; i++) {
        locked_arithmetic();
        compare_and_exchange();
        under_locks();
        peterson(cpu);
    }
    asm volatile("lock incl %0" : "+m"(done) : : "memory");
}

void guest_test(void)
{
    const uint32_t all = CPUS * ROUNDS;

    if (!need(1, 'd', 9, "APIC") || !need(1, 'd', 8, "CX8"))
        return;
    apic_enable();
    *(volatile uint32_t *)ACROSS = *(volatile uint32_t *)LINE = 0;
    check("three CPUs start", start_other_cpus(CPUS - 1, work));
    go = 1;
    work(0);
    check("all CPUs end", wait_until(&done, CPUS));
    check_eq("LOCK INC", s.inc, all);
    check_eq("LOCK ADD", s.add, 3 * all);
    check_eq("LOCK SUB", s.sub, 0u - all);
    check_eq("LOCK XADD", s.exchange_add, all);
    check_eq("LOCK NOT, an even number of times", s.inverted, 0);
    check_eq("LOCK ADD of a byte", s.byte_added, (all & 0xff) << 8);
    check_eq("LOCK ADD across pages", *(volatile uint32_t *)ACROSS, all);
    check_eq("LOCK INC across cache lines", *(volatile uint32_t *)LINE, all);
    check_eq("LOCK CMPXCHG8B", s.pair, (uint64_t)all << 32 | all);
    check_eq("LOCK CMPXCHG", s.exchanged[0], 5 * all);
    check_eq("XCHG as a lock", s.under_spin, all);
    check_eq("LOCK BTS as a lock", s.under_bit, all);
    check_eq("Peterson's algorithm, CPUs 0 and 1", s.peterson[0].count, 2 * ROUNDS);
    check_eq("Peterson's algorithm, CPUs 2 and 3", s.peterson[1].count, 2 * ROUNDS);
}
