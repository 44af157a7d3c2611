/*
 * Code that another CPU changes (SDM Vol. 3, 8.1.3): after a flag says so and a serialising
 * instruction, the new bytes count; also when the code has run many times, beside data that is
 * written, too.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* args: -smp 2 */
#include "second-cpu.h"

enum { ROUNDS = 2000, CODE = 0x1000000 };

static volatile uint32_t *const immediate = (uint32_t *)(CODE + 1);
static volatile uint32_t *const beside = (uint32_t *)(CODE + 0x800);
static volatile uint32_t turn;

/* The second CPU rewrites the operand of MOV EAX, imm32 at odd turns. */
static void rewrite(void)
{
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        if (!wait_until(&turn, 2 * i - 1))
            return;
        *immediate = i * 0x01010101;
        turn = 2 * i;
    }
}

static uint32_t call_code(void)
{
    uint32_t got;
    asm volatile("call *%1" : "=a"(got) : "r"(CODE) : "memory");
    return got;
}

void guest_test(void)
{
    if (!need(1, 'd', 9, "APIC"))
        return;
    unsigned wrong = 0;
    apic_enable();
    memcpy((void *)CODE, "\xb8\0\0\0\0\xc3", 6);
    check("the second CPU starts", start_second_cpu(rewrite));
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        for (unsigned n = 0; n < 3; n++)
            wrong += call_code() != (i - 1) * 0x01010101;
        (*beside)++;
        turn = 2 * i - 1;
        if (!wait_until(&turn, 2 * i))
            break;
        cpuid(0, 0);
    }
    check_eq("all rounds are done", turn, 2 * ROUNDS);
    check_eq("the new code ran each time", wrong, 0);
    check_eq("data beside it is kept", *beside, ROUNDS);
}
