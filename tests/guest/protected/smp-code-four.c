/*
 * One CPU changes code that three others execute (SDM Vol. 3, 8.1.3), by aligned stores that are seen whole: each of them
 * runs the old code or the new one, never older code than it ran before, and once it knows of a change and has
 * serialised, no older code than that. Data that they write lie beside it.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* args: -smp 4 */
/* not on QEMU: there old code runs now and then after it was changed */
#include "second-cpu.h"

enum { CPUS = 4, ROUNDS = 3000, CODE = 0x1000000, FUNCTIONS = 3, APART = 0x440 };

static volatile uint32_t published, stop, stopped, running;
static volatile uint32_t too_old[CPUS], too_new[CPUS], backwards[CPUS], calls[CPUS];

static uint8_t *function(unsigned n)
{
    return (uint8_t *)CODE + 0x1000 * n + APART;
}

/* MOV EAX, imm32 with its operand aligned; RET */
static void put_function(unsigned n)
{
    uint8_t *at = function(n);

    at[3] = 0xb8;
    memset(at + 4, 0, 4);
    at[8] = 0xc3;
}

static uint32_t call_function(unsigned n)
{
    uint32_t got;

    asm volatile("call *%1" : "=a"(got) : "r"(function(n) + 3) : "memory");
    return got;
}

static void run_code(unsigned cpu)
{
    uint32_t before[FUNCTIONS] = {0};
    volatile uint32_t *beside = (uint32_t *)(function(cpu % FUNCTIONS) + 64 + 4 * cpu);

    asm volatile("lock incl %0" : "+m"(running) : : "memory");
    while (!stop) {
        uint32_t known = published;
        cpuid(0, 0); /* serialises */
        for (unsigned n = 0; n < FUNCTIONS; n++) {
            uint32_t got = call_function(n);
            too_old[cpu] += got < known;
            backwards[cpu] += got < before[n];
            too_new[cpu] += got > published + 1;
            before[n] = got;
            ++*beside;
        }
        calls[cpu]++;
    }
    asm volatile("lock incl %0" : "+m"(stopped) : : "memory");
}

/* Each of them gets on: on a busy host one may not have run at all by now. */
static void all_call(void)
{
    for (unsigned cpu = 1; cpu < CPUS; cpu++) {
        uint32_t before = calls[cpu];
        uint64_t end = rdtsc() + 30000000000ull;
        while (calls[cpu] == before && rdtsc() < end)
            asm volatile("pause");
    }
}

void guest_test(void)
{
    if (!need(1, 'd', 9, "APIC"))
        return;
    apic_enable();
    for (unsigned n = 0; n < FUNCTIONS; n++)
        put_function(n);
    check("three CPUs start", start_other_cpus(CPUS - 1, run_code));
    check("  and run", wait_until(&running, CPUS - 1));
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        for (unsigned n = 0; n < FUNCTIONS; n++)
            *(volatile uint32_t *)(function(n) + 4) = i;
        published = i;
        for (unsigned pause = 0; pause < (i & 63); pause++)
            asm volatile("pause");
        if (i % 100 == 0)
            all_call();
    }
    stop = 1;
    check("all CPUs end", wait_until(&stopped, CPUS - 1));
    for (unsigned cpu = 1; cpu < CPUS; cpu++) {
        check_eq("code as old as what was known", too_old[cpu], 0);
        check_eq("  never older than before", backwards[cpu], 0);
        check_eq("  never newer than what was written", too_new[cpu], 0);
        check("  it ran", calls[cpu] > 0);
    }
}
