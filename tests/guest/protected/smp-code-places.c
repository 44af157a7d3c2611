/*
 * Cross-modifying code (SDM Vol. 3, 8.1.3) by stores at thousands of places: what a CPU remembers for each of them about the page it
 * stored to last must not outlive the moment in which another CPU executes that page for the first time.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* args: -smp 2 */
/* not on QEMU: there old code runs now and then after it was changed */
#include "second-cpu.h"

enum { PAGES = 3000, FIRST = 0x1000000, PLACES = 3000, STEP = 16, STORES = 0x2000000, SCRATCH = 0x2100000 };

static volatile uint32_t turn, started, ran, seen, stop;

static uint8_t *function(uint32_t i)
{
    return (uint8_t *)FIRST + i * 0x1000 + 0x100;
}

static uint32_t call_function(uint32_t i)
{
    uint32_t got;
    asm volatile("call *%1" : "=a"(got) : "r"(function(i)) : "memory");
    return got;
}

static void store(uint32_t place, volatile void *to, uint32_t value)
{
    asm volatile("call *%0" : : "r"(STORES + STEP * place), "S"(to), "a"(value) : "memory");
}

static void make_places(void)
{
    static const uint8_t mov_ret[] = {0x89, 0x06, 0xc3}; /* MOV [ESI], EAX; RET */

    for (uint32_t i = 0; i < PLACES; i++) {
        memcpy((uint8_t *)STORES + STEP * i, mov_ret, sizeof(mov_ret));
        store(i, (void *)SCRATCH, i);
    }
}

/*
 * Stores to the operand at the moment when the first CPU comes to execute it, and once more from the same place when it has. In half
 * of the pages that place has stored before, too.
 */
static void change_functions(void)
{
    make_places();
    for (uint32_t i = 0; i < PAGES; i++) {
        volatile uint32_t *operand = (uint32_t *)(function(i) + 1);
        uint32_t place = i * 7 % PLACES;
        function(i)[0] = 0xb8; /* MOV EAX, imm32; RET */
        *operand = 1;
        function(i)[5] = 0xc3;
        if (i % 8 == 0)
            WRITE_REG("cr3", READ_REG("cr3")); /* nothing is remembered any more */
        store(i / 8 % 2 ? place : (place + 1) % PLACES, operand, 1); /* the page is at hand, there or at another place */
        turn = 2 * i + 1;
        while (started != i + 1 && !stop)
            asm volatile("pause");
        for (unsigned n = 0; n < i % 97; n++)
            asm volatile("");
        store(place, operand, 2);
        while (ran != i + 1 && !stop)
            asm volatile("pause");
        store(place, operand, 3);
        turn = 2 * i + 2;
        while (seen != i + 1 && !stop)
            asm volatile("pause");
    }
}

void guest_test(void)
{
    unsigned stale = 0, odd = 0;

    if (!need(1, 'd', 9, "APIC"))
        return;
    apic_enable();
    check("the second CPU starts", start_second_cpu(change_functions));
    for (uint32_t i = 0; i < PAGES; i++) {
        if (!wait_until(&turn, 2 * i + 1))
            break;
        started = i + 1;
        uint32_t got = call_function(i);
        ran = i + 1;
        odd += got != 1 && got != 2;
        if (!wait_until(&turn, 2 * i + 2))
            break;
        cpuid(0, 0);
        stale += call_function(i) != 3;
        seen = i + 1;
    }
    stop = 1;
    check_eq("all pages are done", turn, 2 * PAGES);
    check_eq("the new code ran once it was announced", stale, 0);
    check_eq("the old or the new ran before", odd, 0);
}
