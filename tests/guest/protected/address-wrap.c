/*
 * Linear addresses of 32 bits go on at 0 behind the last one (SDM Vol. 3, 3.4: base plus offset, carries ignored). A
 * segment that begins in the last page reaches into the first: each page is translated by itself, when one of them is not
 * there CR2 is its first byte and nothing is written to the other. In a flat segment such an access may instead raise #GP
 * (SDM Vol. 3, 5.3), but reads and writes nothing else.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* not on QEMU: the fault behind address 4 GB is not one of page 0 there */
#include "border.h"

enum { SEL_WRAP = SEL_FREE | 3, SEL_WRAP_CODE = (SEL_FREE + 8) | 3 };

CODE32(load, "movl %es:(%ebx), %eax");
CODE32(store, "movl %eax, %es:(%ebx)");
CODE32(add, "addl %eax, %es:(%ebx)");
CODE32(locked_add, "lock addl %eax, %es:(%ebx)");
CODE32(exchange, "xchgl %eax, %es:(%ebx)");
CODE32(push, "pushl %eax");
CODE32(pop, "popl %eax");
CODE32(load_x87, "fninit; fildl %es:(%ebx); fistpl (%esi); movl (%esi), %eax");
CODE32(store_string, "cld; rep stosb; movl %edx, %eax");

#define BORDER 0xb1b0afaeu
#define NEW 0x11223344u
static uint32_t scratch[4];

static Context at_border(const char *code)
{
    Context c = user_context(code);

    c.es = SEL_WRAP;
    c.bx = ACROSS - LAST;
    c.ax = NEW;
    c.si = (Word)scratch;
    if (code == push || code == pop) {
        c.ss = SEL_WRAP;
        c.sp = ACROSS - LAST + (code == push ? 4 : 0);
    }
    if (code == store_string) {
        c.di = ACROSS - LAST;
        c.cx = 4;
        c.dx = NEW;
    }
    return c;
}

/* Runs it with both pages there; EAX, and the 4 bytes across the border, must be as given. */
static void works(const char *name, const char *code, uint32_t want_ax, uint32_t want_memory)
{
    for (Known k = NOTHING; k < KNOWN_COUNT; k++) {
        Context c = at_border(code);
        fill();
        make_known(k);
        run(&c);
        say(name, k, c.vector == 0x30 && c.ax == want_ax && border() == want_memory && untouched_but(-2, 4));
    }
}

/* With one page missing or read-only. */
static void faults(const char *name, const char *code, unsigned error, bool missing_first, uint32_t bits)
{
    for (Known k = NOTHING; k < KNOWN_COUNT; k++) {
        Context c = at_border(code);
        fill();
        if (missing_first)
            map_both(PTE_P | PTE_W, bits);
        else
            map_both(bits, PTE_P | PTE_W);
        touch(k & (missing_first ? LAST_PAGE : FIRST_PAGE));
        run(&c);
        say(name, k, TRAP(c.vector, c.error) == PF(error) && c.cr2 == (missing_first ? 0 : ACROSS) && c.ax == NEW &&
                         c.ip == (Word)code && untouched_but(0, 0));
    }
    map_both(PTE_P | PTE_W, PTE_P | PTE_W);
}

/* Places that see many pages; now and then the border. */
CODE32(load_many, "1: movl (%esi), %ebx; addl %es:(%ebx), %eax; addl $4, %esi; decl %ecx; jnz 1b");
CODE32(add_many, "1: movl (%esi), %ebx; addl %eax, %es:(%ebx); addl $4, %esi; decl %ecx; jnz 1b");

static Context many(const char *code)
{
    Context c = user_context(code);

    fill();
    for (unsigned i = 0; i < OTHERS; i++)
        *(volatile uint32_t *)(OTHERS_PA + 0x1000 * i) = 3;
    for (unsigned i = 0; i < TIMES; i++)
        LIST[i] = (i % EVERY == EVERY - 1 ? ACROSS : i % EVERY == EVERY - 2 ? 8 : OTHERS_PA + 0x1000 * (i % OTHERS)) - LAST;
    c.es = SEL_WRAP;
    c.si = (Word)LIST;
    c.cx = TIMES;
    return c;
}

static void places_that_see_many_pages(void)
{
    uint32_t wraps = TIMES / EVERY, ends = (TIMES + 1) / EVERY;
    Context c = many(load_many);

    c.ax = 0;
    run(&c);
    check_eq("many pages, loads", c.ax, BORDER * wraps + 0xbbbab9b8u * ends + 3 * (TIMES - wraps - ends));
    check("  memory", untouched_but(0, 0));
    c = many(add_many);
    c.ax = 1;
    run(&c);
    check_context("many pages, additions", &c, DONE);
    check("  memory", border() == BORDER + wraps && *(volatile uint32_t *)(FIRST_PA + 8) == 0xbbbab9b8u + ends &&
                          untouched_but(-2, 14));
}

/* Through a flat segment: over the border, or #GP. */
CODE32(flat_load, "movl (%ebx), %eax");
CODE32(flat_add, "addl %ecx, (%ebx)");

static void flat(void)
{
    for (Known k = NOTHING; k < KNOWN_COUNT; k++) {
        Context c = user_context(flat_load);
        fill();
        make_known(k);
        c.bx = ACROSS;
        c.ax = NEW;
        run(&c);
        say("flat load", k, c.vector == 0x30 ? c.ax == BORDER : TRAP(c.vector, c.error) == GP(0) && c.ax == NEW);
        c = user_context(flat_add);
        c.bx = ACROSS;
        c.cx = 1;
        run(&c);
        say("flat add", k, c.vector == 0x30 ? border() == BORDER + 1 && untouched_but(-2, 4)
                                            : TRAP(c.vector, c.error) == GP(0) && untouched_but(0, 0));
    }
}

static const uint8_t mov_int[] = {0xb8, 1, 2, 3, 4, 0xcd, 0x30};

static void fetches(void)
{
    for (unsigned before = 1; before < sizeof(mov_int); before++) {
        Context c = user_context((void *)(0x1000 - before));
        map_both(PTE_P | PTE_W, PTE_P | PTE_W);
        for (unsigned i = 0; i < sizeof(mov_int); i++)
            (i < before ? last + 0x1000 - before : first - before)[i] = mov_int[i];
        c.cs = SEL_WRAP_CODE;
        for (unsigned i = 0; i < 3; i++) {
            c.ip = 0x1000 - before;
            c.ax = 0;
            run(&c);
        }
        check_eq("code across the border", c.vector == 0x30 ? c.ax : 0, 0x04030201);
        map_both(PTE_P | PTE_W, 0);
        c.ip = 0x1000 - before;
        c.ax = 0;
        run(&c);
        check_context("  the page behind it missing", &c, PF(4));
        check_eq("    CR2", c.cr2, 0);
        check_eq("    EIP", c.ip, before < 5 ? 0x1000 - before : 0x1005 - before);
    }
}

void guest_test(void)
{
    WRITE_REG("cr0", (READ_REG("cr0") | CR0_WP | CR0_NE) & ~(Word)CR0_EM);
    set_gdt(SEL_WRAP & ~3, segment(LAST, 0xfffff, TYPE_DATA_RW | DPL(3), SEG_D | SEG_G));
    set_gdt(SEL_WRAP_CODE & ~3, segment(LAST, 0x1fff, TYPE_CODE | DPL(3), SEG_D));
    paging_on(PAGING_32BIT);
    small_pages();
    map_both(PTE_P | PTE_W, PTE_P | PTE_W);

    works("load", load, BORDER, BORDER);
    works("store", store, NEW, NEW);
    works("add", add, NEW, BORDER + NEW);
    works("lock add", locked_add, NEW, BORDER + NEW);
    works("xchg", exchange, BORDER, NEW);
    works("push", push, NEW, NEW);
    works("pop", pop, BORDER, BORDER);
    works("fild", load_x87, BORDER, BORDER);
    works("rep stosb", store_string, NEW, 0x44444444);

    faults("load, no first page", load, 4, true, 0);
    faults("load, no last page", load, 4, false, 0);
    faults("store, no first page", store, 6, true, 0);
    faults("store, no last page", store, 6, false, 0);
    faults("store, first page read-only", store, 7, true, PTE_P);
    faults("store, last page read-only", store, 7, false, PTE_P);
    faults("add, no first page", add, 6, true, 0);
    faults("lock add, last page read-only", locked_add, 7, false, PTE_P);

    places_that_see_many_pages();
    flat();
    fetches();
}
