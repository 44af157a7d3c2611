/*
 * The same page of code at many linear addresses, also around 2 GB, 4 GB and the ends of both halves: what it makes of its own address
 * (return addresses, RIP-relative operands, the x87's pointers, RIP in faults and single steps) is right at each, and what is written to
 * it through one address counts for all (SDM Vol. 1, 3.3.7, 8.1.8; Vol. 3, 8.1.3, 17.3.1.4).
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

/* At each address: the code, its data, another page of code; behind them nothing. */
enum { CODE_PAGE, DATA_PAGE, FAR_PAGE, PAGES, HOLE = PAGES * 0x1000, ROUNDS = 60 };
#define DATA "page + 0x1000"
#define FAR  "page + 0x2000"

static const Word places[] = {
    0x555555554000, 0x55aa12345000, 0x7f0000001000, 0x7f0000002000 + 0x10000, 0x7fffffff8000, 0x7ffeffffe000, 0x40000000, 0x7fffe000,
    0xffffe000,     0x100005000,    0x1ffffe000,    0x200005000,              0x7f3000000000, 0xffff800000001000, 0xffffffff90000000,
};
enum { PLACES = sizeof(places) / sizeof(places[0]) };

/* RAX counts down; RBX, RDX: return addresses. It ends with a store to RDI. */
CODE64(page, "mov " DATA "(%rip), %rcx\n"
             "add $5, %rcx\n mov %rcx, " DATA " + 8(%rip)\n"
             "patched: mov $1, %ebp\n"
             "again: call near_function\n"
             "behind_near: dec %eax\n jnz again\n"
             "call " FAR "\n"
             "behind_far: lea " DATA "(%rip), %rsi\n"
             "call *" DATA " + 0x10(%rip)\n"
             "behind_indirect: fldl " DATA " + 0x18(%rip)\n"
             "last_x87: fstpl " DATA " + 0x20(%rip)\n"
             "fxsave64 " DATA " + 0x200(%rip)\n"
             "cmpq $0, " DATA " + 0x28(%rip)\n jne 1f\n"
             "jmp 2f\n"
             "1: mov $77, %r9d\n"
             "2: jmp " FAR " + 0x10\n"
             "near_function: mov (%rsp), %rbx\n ret\n"
             "indirect_function: mov (%rsp), %r10\n ret\n"
             "finally: mov %eax, (%rdi)\n");
CODE64(far, "mov (%rsp), %rdx\n ret\n .skip 11, 0x90\n add $1, %ebp\n jmp far - 0x2000 + (finally - page)\n");
extern char patched[], behind_near[], behind_far[], behind_indirect[], last_x87[], indirect_function[], finally[];

static unsigned wrong_pointers; /* rounds behind which the x87's were */

static Word offset(const char *label)
{
    return (Word)(label - page);
}

static void check_round(const char *name, Word at, bool user, unsigned immediate)
{
    uint64_t *data = (uint64_t *)(TEST_PA + 0x1000);
    Context c = user ? user_context((void *)at) : kernel_context((void *)at);
    bool ok = true;

    data[0] = at;
    data[1] = 0;
    data[2] = at + offset(indirect_function);
    data[4] = 0;
    data[5] = at & 0x2000;
    c.ax = 3;
    c.r9 = 0;
    c.di = at + HOLE + 8;
    c.bx = c.dx = c.r10 = 0;
    run(&c);
    ok &= c.vector == 14 && c.cr2 == at + HOLE + 8 && c.ip == at + offset(finally);
    ok &= c.bx == at + offset(behind_near) && c.dx == at + offset(behind_far) && c.r10 == at + offset(behind_indirect);
    ok &= c.si == at + 0x1000 && data[1] == at + 5 && c.bp == immediate + 1 && data[4] == data[3];
    ok &= c.r9 == (at & 0x2000 ? 77 : 0);
    wrong_pointers += data[0x200 / 8 + 1] != at + offset(last_x87) || data[0x200 / 8 + 2] != at + 0x1020;
    if (ok)
        return;
    check(name, false);
    check_eq("  at", at, 0);
    check_context("  ends with", &c, PF(user ? 6 : 2));
    check_eq("  RIP", c.ip, at + offset(finally));
    check_eq("  CR2", c.cr2, at + HOLE + 8);
    check_eq("  near", c.bx, at + offset(behind_near));
    check_eq("  far", c.dx, at + offset(behind_far));
    check_eq("  indirect", c.r10, at + offset(behind_indirect));
    check_eq("  LEA", c.si, at + 0x1000);
    check_eq("  stored", data[1], at + 5);
    check_eq("  immediate", c.bp, immediate + 1);
    check_eq("  FSTP", data[4], data[3]);
    check_eq("  branch", c.r9, at & 0x2000 ? 77 : 0);
    finish();
}

static void step(Word at)
{
    Context c = kernel_context((void *)(at + offset(behind_far)));

    c.flags |= FLAG_TF;
    run(&c);
    if (c.vector != 1 || c.ip != at + offset(behind_far) + 7 || c.si != at + 0x1000) {
        check_context("a single step", &c, DB);
        check_eq("  RIP", c.ip, at + offset(behind_far) + 7);
        check_eq("  RSI", c.si, at + 0x1000);
        finish();
    }
}

void guest_test(void)
{
    uint64_t *data = (uint64_t *)(TEST_PA + 0x1000);

    WRITE_REG("cr4", READ_REG("cr4") | CR4_OSFXSR);
    asm volatile("fninit");
    paging_on(PAGING_4LEVEL);
    memcpy((void *)TEST_PA, page, 0x800);
    memcpy((void *)(TEST_PA + 0x2000), far, 0x40);
    data[3] = 0x3ff8000000000000;
    for (unsigned i = 0; i < PLACES; i++)
        for (unsigned p = 0; p < PAGES; p++)
            map(places[i] + 0x1000ul * p, (TEST_PA + 0x1000ul * p) | PTE_P | PTE_W | PTE_U);

    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned i = 0; i < PLACES; i++)
            check_round("all that depends on the address", places[i], round & 1, 1);
    check("all that depends on the address", true);
    qemu_deviates("it does not keep FIP and FDP");
    check_eq("  the x87's pointers", wrong_pointers, 0);

    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned i = 0; i < PLACES; i++) {
            unsigned from = (i * 7 + round) % PLACES;
            *(volatile uint8_t *)(places[from] + offset(patched) + 1) = 2 + round;
            check_round("what is written to it", places[i], round & 1, 2 + round);
            check_round("what is written to it", places[from], round & 1, 2 + round);
        }
    check("what is written to it", true);

    for (unsigned i = 0; i < PLACES; i++) {
        step(places[i]);
        check_round("behind a single step", places[i], false, 1 + ROUNDS);
    }
    check("single steps", true);

    /* Another page there, and the first one again. */
    memcpy((void *)(TEST_PA + 0x4000), (void *)TEST_PA, 0x1000);
    ((uint8_t *)TEST_PA)[0x4000 + offset(patched) + 1] = 99;
    for (unsigned i = 0; i < PLACES; i++) {
        map(places[i], (TEST_PA + 0x4000) | PTE_P | PTE_W | PTE_U);
        check_round("another page", places[i], true, 99);
        map(places[i], TEST_PA | PTE_P | PTE_W | PTE_U);
        check_round("the first one again", places[i], true, 1 + ROUNDS);
    }
    check("other pages", true);
    qemu_deviates("it does not keep FIP and FDP");
    check_eq("the x87's pointers", wrong_pointers, 0);
}
