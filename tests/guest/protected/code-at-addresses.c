/*
 * The same page of code at many linear addresses, also around 2 GB and at both ends of the address space, and by segments of 16 and 32 bits with
 * different bases: what it makes of its own address (return addresses, the x87's instruction pointer, EIP in faults and single steps) is right
 * at each, and what is written to it through one address counts for all (SDM Vol. 1, 6.3, 8.1.8; Vol. 3, 8.1.3, 17.3.1.4).
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

/* At each address: the code, another page of code; behind them nothing. The 16-bit code lies in the first page, too. */
enum { PAGES = 2, HOLE = PAGES * 0x1000, IN_SEGMENT = 0x800, ROUNDS = 60, SEL_BASED = SEL_FREE };
#define FAR "page + 0x1000"

static const Word places[] = {0x40000000, 0x7ffff000, 0x80004000, 0xb7f12000, 0xb7f23000, 0xc0001000, 0xffff8000, 0xf7700000, 0xffffd000};
enum { PLACES = sizeof(places) / sizeof(places[0]) };

/* EAX counts down; EBX, EDX, ECX: its own address, return addresses; ESI: for FNSTENV. It ends with a store to EDI. */
CODE32(page, "call 1f\n behind_call: 1: popl %ebx\n"
             "patched: movl $1, %ebp\n"
             "again: call near_function\n"
             "behind_near: decl %eax\n jnz again\n"
             "last_x87: fldz\n fstp %st(0)\n fnstenv (%esi)\n"
             "call " FAR "\n"
             "behind_far: jmp " FAR " + 0x10\n"
             "near_function: movl (%esp), %ecx\n ret\n"
             "finally: movl %eax, %ds:(%edi)\n");
CODE32(far, "movl (%esp), %edx\n ret\n .skip 12, 0x90\n addl $1, %ebp\n jmp far - 0x1000 + (finally - page)\n");
CODE16(small, "callw 1f\n behind_small: 1: popw %bx\n"
              "patched_small: movw $1, %bp\n"
              "2: callw small_function\n behind_function: decw %ax\n jnz 2b\n"
              "ud2\n"
              "small_function: popw %cx\n pushw %cx\n retw\n");
extern char behind_call[], patched[], behind_near[], behind_far[], last_x87[], finally[];
extern char behind_small[], patched_small[], behind_function[], small_function[];

static uint32_t environment[7];

static Word offset(const char *label)
{
    return (Word)(label - page);
}

static void right(const char *name, Word at, const char *what, Word got, Word want)
{
    if (got == want)
        return;
    check_eq(name, got, want);
    check_eq(what, at, 0);
    finish();
}

/* selector: flat, or with a base, which the offsets in it leave out. */
static void check_round(const char *name, Word at, unsigned selector, Word base, unsigned immediate)
{
    bool user = selector == SEL_UCODE32;
    Word ip = at - base;
    Context c = user ? user_context((void *)ip) : kernel_context((void *)ip);

    c.cs = selector;
    c.ax = 3;
    c.si = (Word)environment;
    c.di = at + HOLE + 8;
    run(&c);
    right(name, at, "  vector", c.vector, 14);
    right(name, at, "  error", c.error, user ? 6 : 2);
    right(name, at, "  CR2", c.cr2, at + HOLE + 8);
    right(name, at, "  EIP", c.ip, ip + offset(finally));
    right(name, at, "  call", c.bx, ip + offset(behind_call));
    right(name, at, "  near", c.cx, ip + offset(behind_near));
    right(name, at, "  far", c.dx, ip + offset(behind_far));
    right(name, at, "  immediate", c.bp, immediate + 1);
}

/* The same in 16-bit code, whose offset is larger where its segment begins a page earlier. */
static void check_small(const char *name, Word at, bool earlier, unsigned immediate)
{
    Word base = earlier ? at - 0x1000 : at, ip = at - base + IN_SEGMENT;
    Context c = kernel_context((void *)ip);

    set_gdt(SEL_BASED, segment(base, 0xffff, TYPE_CODE, 0));
    c.cs = SEL_BASED;
    c.ax = 3;
    c.bx = c.cx = c.bp = 0;
    run(&c);
    right(name, at, "  vector", c.vector, 6);
    right(name, at, "  IP", c.ip, ip + (Word)(small_function - 2 - small));
    right(name, at, "  call", c.bx, ip + (Word)(behind_small - small));
    right(name, at, "  near", c.cx, ip + (Word)(behind_function - small));
    right(name, at, "  immediate", c.bp, immediate);
}

static void check_all(const char *name, Word at, unsigned round, unsigned immediate)
{
    check_round(name, at, round & 1 ? SEL_UCODE32 : SEL_CODE, 0, immediate);
    check_small(name, at, round & 1, immediate);
    set_gdt(SEL_BASED, segment(at - 0x3000, 0xfffff, TYPE_CODE, SEG_G | SEG_D));
    check_round(name, at, SEL_BASED, at - 0x3000, immediate);
}

static void check_x87(void)
{
    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned i = 0; i < PLACES; i++) {
            check_round("the x87's pointer", places[i], SEL_CODE, 0, 1 + ROUNDS);
            if (environment[3] != places[i] + offset(last_x87) + 2) {
                check_eq("the x87's pointer", environment[3], places[i] + offset(last_x87) + 2);
                return;
            }
        }
    check("the x87's pointer", true);
}

static void step(Word at)
{
    Context c = kernel_context((void *)(at + offset(patched)));

    c.flags |= FLAG_TF;
    run(&c);
    right("a single step", at, "  vector", c.vector, 1);
    right("a single step", at, "  EIP", c.ip, at + offset(patched) + 5);
}

void guest_test(void)
{
    uint8_t *copy = (uint8_t *)TEST_PA + 0x2000;

    asm volatile("fninit");
    paging_on(PAGING_32BIT);
    memcpy((void *)TEST_PA, page, 0x80);
    memcpy((void *)(TEST_PA + IN_SEGMENT), (void *)LINEAR16(small), 0x80);
    memcpy((void *)(TEST_PA + 0x1000), far, 0x40);
    for (unsigned i = 0; i < PLACES; i++)
        for (unsigned p = 0; p < PAGES; p++)
            map(places[i] + 0x1000ul * p, (TEST_PA + 0x1000ul * p) | PTE_P | PTE_W | PTE_U);

    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned i = 0; i < PLACES; i++)
            check_all("all that depends on the address", places[i], round, 1);
    check("all that depends on the address", true);

    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned i = 0; i < PLACES; i++) {
            unsigned from = (i * 4 + round) % PLACES;
            *(volatile uint8_t *)(places[from] + offset(patched) + 1) = 2 + round;
            *(volatile uint8_t *)(places[from] + IN_SEGMENT + (patched_small - small) + 1) = 2 + round;
            check_all("what is written to it", places[i], round, 2 + round);
            check_all("what is written to it", places[from], round, 2 + round);
        }
    check("what is written to it", true);

    for (unsigned i = 0; i < PLACES; i++) {
        step(places[i]);
        check_all("behind a single step", places[i], 0, 1 + ROUNDS);
    }
    check("single steps", true);

    memcpy(copy, (void *)TEST_PA, 0x1000);
    copy[offset(patched) + 1] = copy[IN_SEGMENT + (patched_small - small) + 1] = 99;
    for (unsigned i = 0; i < PLACES; i++) {
        map(places[i], (TEST_PA + 0x2000) | PTE_P | PTE_W | PTE_U);
        check_all("another page", places[i], 1, 99);
        map(places[i], TEST_PA | PTE_P | PTE_W | PTE_U);
        check_all("the first one again", places[i], 1, 1 + ROUNDS);
    }
    check("other pages", true);
    check_x87();
}
