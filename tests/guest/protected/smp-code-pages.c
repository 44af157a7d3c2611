/*
 * Cross-modifying code (SDM Vol. 3, 8.1.3) where it is hardest to notice: pages that are executed for the first time just as
 * another CPU writes them; two CPUs that write and execute one page; locked and string writes; data of one CPU beside
 * code of the other.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* args: -smp 2 */
/* not on QEMU: there old code runs now and then after it was changed */
#include "second-cpu.h"

enum { PAGES = 1500, FIRST = 0x1000000, SHARED = 0x2000000, ROUNDS = 1500 };

static volatile uint32_t turn, started, seen, stop;
static volatile uint32_t wrong[2];

/* MOV EAX, imm32; RET */
static void put_function(uint8_t *at, uint32_t value)
{
    at[0] = 0xb8;
    memcpy(at + 1, &value, 4);
    at[5] = 0xc3;
}

static uint32_t call_at(const void *at)
{
    uint32_t got;
    asm volatile("call *%1" : "=a"(got) : "r"(at) : "memory");
    return got;
}

static uint8_t *fresh_page(uint32_t i)
{
    return (uint8_t *)FIRST + i * 0x1000;
}

/*
 * In a page that it has written before (so that the page is at hand), the second CPU changes an operand at the moment
 * when the first executes it for the first time.
 */
static void change_fresh_pages(void)
{
    for (uint32_t i = 0; i < PAGES; i++) {
        volatile uint32_t *operand = (uint32_t *)(fresh_page(i) + 0x101);
        put_function(fresh_page(i) + 0x100, 1);
        turn = 2 * i + 1;
        while (started != i + 1 && !stop)
            asm volatile("pause");
        for (unsigned n = 0; n < i % 97; n++)
            asm volatile("");
        switch (i % 3) {
        case 0:
            *operand = 2;
            break;
        case 1:
            asm volatile("lock incl %0" : "+m"(*operand));
            break;
        default: {
            Word to = (Word)operand, n = 2;
            asm volatile("cld\n\trep stosw" : "+D"(to), "+c"(n) : "a"(2) : "memory");
            *(volatile uint16_t *)((Word)operand + 2) = 0;
            break;
        }
        }
        turn = 2 * i + 2;
        while (seen != i + 1 && !stop)
            asm volatile("pause");
    }
}

static void fresh_pages(void)
{
    unsigned stale = 0, odd = 0;

    check("the second CPU starts", start_second_cpu(change_fresh_pages));
    for (uint32_t i = 0; i < PAGES; i++) {
        if (!wait_until(&turn, 2 * i + 1))
            break;
        started = i + 1;
        uint32_t got = call_at(fresh_page(i) + 0x100);
        odd += got != 1 && got != 2 && i % 3 != 2;
        if (!wait_until(&turn, 2 * i + 2))
            break;
        cpuid(0, 0);
        stale += call_at(fresh_page(i) + 0x100) != 2;
        seen = i + 1;
    }
    stop = 1;
    check_eq("all pages are done", turn, 2 * PAGES);
    check_eq("the new code ran once it was announced", stale, 0);
    check_eq("the old or the new ran before", odd, 0);
}

/* Each CPU has functions of its own in one page, in pieces next to each other, and counts data beside them. */
static void write_and_execute(unsigned cpu)
{
    uint8_t *const base = (uint8_t *)SHARED + cpu * 32;
    unsigned bad = 0;

    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint8_t *at = base + i % 16 * 64;
        put_function(at, i << 1 | cpu);
        bad += call_at(at) != (i << 1 | cpu);
        (*(volatile uint32_t *)(base + 0x800))++;
        asm volatile("lock incl %0" : "+m"(*(volatile uint32_t *)(SHARED + 0xc00)));
        bad += call_at(at) != (i << 1 | cpu);
    }
    wrong[cpu] = bad;
}

static void second_writes(void)
{
    turn = 1;
    while (turn != 2)
        asm volatile("pause");
    write_and_execute(1);
    turn = 3;
}

static void one_page(void)
{
    memset((void *)SHARED, 0, 0x1000);
    turn = 0;
    check("the second CPU starts", start_second_cpu(second_writes));
    wait_until(&turn, 1);
    turn = 2;
    write_and_execute(0);
    check("the second CPU is done", wait_until(&turn, 3));
    check_eq("the first CPU's own code is always new", wrong[0], 0);
    check_eq("the second's too", wrong[1], 0);
    check_eq("data of the first", *(volatile uint32_t *)(SHARED + 0x800), ROUNDS);
    check_eq("data of the second", *(volatile uint32_t *)(SHARED + 0x820), ROUNDS);
    check_eq("data of both", *(volatile uint32_t *)(SHARED + 0xc00), 2 * ROUNDS);
}

void guest_test(void)
{
    if (!need(1, 'd', 9, "APIC"))
        return;
    apic_enable();
    fresh_pages();
    one_page();
}
