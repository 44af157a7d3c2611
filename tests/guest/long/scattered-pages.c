/*
 * Pages that follow each other in linear addresses and lie scattered in memory, all of them reached from the same instructions:
 * what is found out about such pages to go faster must not outlive a change of one of them. A mapping that changes (INVLPG, MOV
 * to CR3), a page that becomes read-only or goes away, memory that is seen at a second address, code that is written
 * among the data (SDM Vol. 3, 4.10, 8.1.3).
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#define VA 0x7000000000ul
#define ALIAS 0x7100000000ul
#ifndef PAGES /* scattered-many-pages.c has more of them, in the same frames */
#define PAGES 400
enum { ROW = 1, STEPS = 60000, MOVES = 40, CODE_ROUNDS = 200 };
#endif
enum { FRAMES = 400, SPARE = FRAMES, LAST = (PAGES - 1) * 97 % PAGES }; /* scattered in rows of ROW, whose number has no common divisor with 171; LAST: of a pass */

static uint16_t *const frame_of = (uint16_t *)(TEST_PA + 0x2000000ul);
static uint64_t *const order = (uint64_t *)(TEST_PA + 0x2100000ul);

static uint64_t frame(unsigned n)
{
    return TEST_PA + 0x1000ul * n;
}

/* A word of its own for each page that shares the frame. */
static unsigned place_of(unsigned page)
{
    return 8 * (page / FRAMES * 4 + (page & 3) + 2);
}

static volatile uint64_t *word(unsigned page)
{
    return (uint64_t *)(VA + 0x1000ul * page + place_of(page));
}

static volatile uint64_t *word_in_frame(unsigned page)
{
    return (uint64_t *)(frame(frame_of[page]) + place_of(page));
}

/* Adds up what the pages hold, STEPS of them in a scrambled order; every page is as good as any. */
CODE64(add_up, "1: mov (%rsi,%rdx,8), %rbx; add (%rbx), %rax; inc %rdx; cmp %rdi, %rdx; cmove %r8, %rdx; dec %rcx; jnz 1b");
CODE64(increment, "1: mov (%rsi,%rdx,8), %rbx; incq (%rbx); inc %rdx; cmp %rdi, %rdx; cmove %r8, %rdx; dec %rcx; jnz 1b");
CODE64(store_all, "1: mov (%rsi,%rdx,8), %rbx; mov %rbx, (%rbx); inc %rdx; cmp %rdi, %rdx; cmove %r8, %rdx; dec %rcx; jnz 1b");

static Context pass(const char *code, unsigned steps)
{
    Context c = kernel_context(code);

    c.si = (Word)order;
    c.di = PAGES;
    c.cx = steps;
    c.ax = c.dx = c.r8 = 0;
    run(&c);
    return c;
}

static uint64_t expected_sum(unsigned steps)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < steps; i++)
        sum += *word_in_frame((order[i % PAGES] - VA) >> 12);
    return sum;
}

static void check_sum(const char *name)
{
    check_eq(name, pass(add_up, STEPS).ax, expected_sum(STEPS));
}

/* The increments of a pass, counted in the frames. */
static void check_increments(const char *name)
{
    uint64_t before = expected_sum(PAGES);
    Context c = pass(increment, STEPS);

    check_context(name, &c, DONE);
    check_eq("  all of them arrived", expected_sum(PAGES) - before, STEPS);
}

static void set_up(void)
{
    for (unsigned i = 0; i < PAGES; i++) {
        frame_of[i] = i / ROW * 171 % (FRAMES / ROW) * ROW + i % ROW;
        order[i] = (Word)word(i * 97 % PAGES);
        set_entry(VA + 0x1000ul * i, 1, frame(frame_of[i]) | PTE_P | PTE_W);
        *word_in_frame(i) = i * 0x100000001ul;
    }
}

static void move_page(unsigned page, unsigned to, bool by_cr3)
{
    *(volatile uint64_t *)(frame(to) + place_of(page)) = 0xabcd0000000 + to;
    frame_of[page] = to;
    set_entry(VA + 0x1000ul * page, 1, frame(to) | PTE_P | PTE_W);
    if (by_cr3)
        WRITE_REG("cr3", READ_REG("cr3"));
    else
        invlpg(VA + 0x1000ul * page);
}

static void stops_at(const char *name, const char *code, unsigned page, unsigned want)
{
    Context c = pass(code, STEPS);

    check_context(name, &c, want);
    check_eq("  CR2", c.cr2, (Word)word(page));
    check_eq("  at the page", c.bx, (Word)word(page));
}

static void code_among_data(unsigned page)
{
    static const uint8_t mov_ret[] = {0xb8, 1, 0, 0, 0, 0xc3};
    uint8_t *code = (uint8_t *)word(page) - 8; /* the word is its operand, and more */
    uint32_t got, wrong = 0;

    for (uint32_t i = 0; i < CODE_ROUNDS; i++) {
        memcpy(code, mov_ret, sizeof(mov_ret));
        asm volatile("call *%1" : "=a"(got) : "r"(code) : "memory");
        wrong += got != 1;
        memcpy(code + 7, mov_ret, sizeof(mov_ret)); /* MOV EAX at the word less one: INCQ changes its operand */
        asm volatile("call *%1" : "=a"(got) : "r"(code + 7) : "memory");
        wrong += got != 1;
        pass(increment, PAGES);
        asm volatile("call *%1" : "=a"(got) : "r"(code + 7) : "memory");
        wrong += got != 2;
    }
    check_eq("code among the data changes with them", wrong, 0);
}

void guest_test(void)
{
    WRITE_REG("cr0", READ_REG("cr0") | CR0_WP);
    paging_on(PAGING_4LEVEL);
    set_up();
    check_sum("loads");
    check_sum("loads again");
    check_increments("read, changed, written");
    check_sum("loads behind that");

    /* Accessed and dirty bits of pages that nobody has written to since. */
    set_entry(VA + 0x1000ul * LAST, 1, frame(frame_of[LAST]) | PTE_P | PTE_W);
    invlpg(VA + 0x1000ul * LAST);
    pass(add_up, STEPS);
    check_eq("a page that is read is not dirty", get_entry(VA + 0x1000ul * LAST, 1) & (PTE_A | PTE_D), PTE_A);
    pass(increment, STEPS);
    check_eq("  written, it is", get_entry(VA + 0x1000ul * LAST, 1) & (PTE_A | PTE_D), PTE_A | PTE_D);

    set_entry(VA + 0x1000ul * LAST, 1, frame(frame_of[LAST]) | PTE_P | PTE_A | PTE_D);
    invlpg(VA + 0x1000ul * LAST);
    stops_at("a read-only page", increment, LAST, PF(3));
    stops_at("  stored to", store_all, LAST, PF(3));
    set_entry(VA + 0x1000ul * LAST, 1, 0);
    invlpg(VA + 0x1000ul * LAST);
    stops_at("a missing page", add_up, LAST, PF(0));
    set_entry(VA + 0x1000ul * LAST, 1, frame(frame_of[LAST]) | PTE_P | PTE_W);
    check_increments("a page that is there again");

    for (unsigned i = 0; i < MOVES; i++) {
        unsigned page = i * 37 % PAGES;
        move_page(page, SPARE + i, i & 1);
        if (pass(add_up, STEPS).ax != expected_sum(STEPS) || i == MOVES - 1) {
            check_sum("a page moves");
            break;
        }
    }
    check_increments("  written then");

    /* Memory at a second address. */
    map(ALIAS, frame(frame_of[5]) | PTE_P | PTE_W);
    *(volatile uint64_t *)(ALIAS + place_of(5)) = 0x5555;
    check_eq("written at another address", *word(5), 0x5555);
    check_sum("  seen by all");
    *word(5) = 0x6666;
    check_eq("  and back", *(volatile uint64_t *)(ALIAS + place_of(5)), 0x6666);
    code_among_data(23);
    check_sum("loads at the end");
}
