/*
 * A loop with an instruction that lies in two pages: it is what both pages hold now, whichever was written or mapped anew
 * (SDM Vol. 3, 4.10.4, 11.6).
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#define PAGE2 (TEST_VA + 0x1000)

enum { ROUNDS = 1000, START = 0xff0, ADD = 0xffd };

/* NOPs, ADD EAX, imm32 of which two bytes are in the second page. */
static uint8_t *const first = (uint8_t *)TEST_PA;
/* The rest: DEC ECX, JNZ back, INT 0x30. There are two of it. */
static uint8_t *const second[2] = {(uint8_t *)TEST_PA + 0x1000, (uint8_t *)TEST_PA + 0x2000};

static void expect(const char *name, uint32_t step)
{
    Context c = kernel_context((void *)(TEST_VA + START));
    c.cx = ROUNDS;
    run(&c);
    check_context(name, &c, DONE);
    check_eq("  EAX", c.ax, ROUNDS * step);
}

void guest_test(void)
{
    static const uint8_t end[] = {0x49, 0x75, START - 0x1000 - 5, 0xcd, 0x30};

    memset(first + START, 0x90, 0x1000 - START);
    memcpy(first + ADD, "\x05\x01\x00", 3);
    for (unsigned i = 0; i < 2; i++) {
        second[i][0] = (uint8_t)(i + 2);
        second[i][1] = 0;
        memcpy(second[i] + 2, end, sizeof(end));
    }
    paging_on(PAGING_32BIT);
    map(TEST_VA, TEST_PA | PTE_P);
    map(PAGE2, (TEST_PA + 0x1000) | PTE_P);
    expect("a loop in two pages", 0x20001);
    expect("the same again", 0x20001);
    second[0][0] = 7;
    expect("the second page was written", 0x70001);
    first[ADD + 1] = 3;
    expect("the first page was written", 0x70003);
    map(PAGE2, (TEST_PA + 0x2000) | PTE_P);
    expect("the second page is another, by INVLPG", 0x30003);
    set_entry(PAGE2, 1, (TEST_PA + 0x1000) | PTE_P);
    WRITE_REG("cr3", READ_REG("cr3"));
    expect("the second page is another, by MOV to CR3", 0x70003);
    memcpy((void *)(TEST_PA + 0x3000), first, 0x1000);
    ((uint8_t *)TEST_PA)[0x3000 + ADD + 1] = 9;
    map(TEST_VA, (TEST_PA + 0x3000) | PTE_P);
    expect("the first page is another", 0x70009);
    map(PAGE2, 0);
    Context c = kernel_context((void *)(TEST_VA + START));
    c.cx = ROUNDS;
    run(&c);
    check_context("the second page is gone", &c, PF(0));
    check_eq("  EIP", c.ip, TEST_VA + ADD);
    check_eq("  CR2", c.cr2, PAGE2);
}
