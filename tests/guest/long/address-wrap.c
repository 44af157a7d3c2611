/*
 * Accesses from the last page of the address space into the first: linear addresses go on at 0 (SDM Vol. 1, 3.3.7: they
 * are 64 bits wide). Each page is translated by itself; when one of them is not there, CR2 is its first byte and nothing
 * is written to the other. The two pages share whatever a translator finds them by in its lower bits.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* not on QEMU: an assertion of its own fails where code goes on at address 0 */
#include "border.h"

CODE64(load, "mov (%rbx), %rax");
CODE64(store, "mov %rax, (%rbx)");
CODE64(add, "add %rax, (%rbx)");
CODE64(locked_add, "lock add %rax, (%rbx)");
CODE64(exchange, "xchg %rax, (%rbx)");
CODE64(compare_exchange, "lock cmpxchg %rdx, (%rbx)");
CODE64(push, "push %rax");
CODE64(pop, "pop %rax");
CODE64(load_vector, "movdqu (%rbx), %xmm0; movq %xmm0, %rax");
CODE64(store_vector, "movq %rax, %xmm0; movq %xmm0, (%rbx)");
CODE64(load_x87, "fninit; fildll (%rbx); fistpll (%rsi); mov (%rsi), %rax");
CODE64(move_string, "cld; rep movsb; mov (%rdx), %rax");
CODE64(by_displacement, "mov -2, %rax");

#define BORDER 0xb5b4b3b2b1b0afaeul
#define NEW 0x1122334455667788ul
static uint64_t scratch[4];

/* The trap that ends a snippet must not use the stack that it has. */
static Context at_border(const char *code)
{
    Context c = code == push || code == pop ? user_context(code) : kernel_context(code);

    c.bx = ACROSS;
    c.ax = NEW;
    c.dx = NEW;
    c.si = (Word)scratch;
    return c;
}

/* Runs it with both pages there; RAX, and the 8 bytes across the border, must be as given. */
static void works(const char *name, const char *code, uint64_t want_ax, uint64_t want_memory)
{
    for (Known k = NOTHING; k < KNOWN_COUNT; k++) {
        Context c = at_border(code);
        fill();
        if (code == compare_exchange)
            c.ax = BORDER;
        if (code == push)
            c.sp = ACROSS + 8;
        if (code == pop)
            c.sp = ACROSS;
        if (code == move_string) {
            c.si = ACROSS - 6;
            c.cx = 14;
            c.di = (Word)scratch;
            c.dx = (Word)scratch + 6;
        }
        make_known(k);
        run(&c);
        say(name, k, c.vector == 0x30 && c.ax == want_ax && border() == want_memory && untouched_but(-2, 8));
    }
}

/* With one page missing or read-only. */
static void faults(const char *name, const char *code, unsigned error, bool missing_first, uint64_t bits)
{
    for (Known k = NOTHING; k < KNOWN_COUNT; k++) {
        Context c = at_border(code);
        fill();
        map_both(PTE_P | PTE_W, PTE_P | PTE_W);
        make_known(k);
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
CODE64(load_many, "1: mov (%rsi), %rbx; add (%rbx), %rax; add $8, %rsi; dec %rcx; jnz 1b");
CODE64(store_many, "1: mov (%rsi), %rbx; mov %rax, (%rbx); add $8, %rsi; dec %rcx; jnz 1b");
CODE64(add_many, "1: mov (%rsi), %rbx; add %rax, (%rbx); add $8, %rsi; dec %rcx; jnz 1b");

static Context many(const char *code)
{
    Context c = kernel_context(code);

    fill();
    for (unsigned i = 0; i < OTHERS; i++)
        *(volatile uint64_t *)(OTHERS_PA + 0x1000ul * i) = 3;
    for (unsigned i = 0; i < TIMES; i++)
        LIST[i] = i % EVERY == EVERY - 1 ? ACROSS : i % EVERY == EVERY - 2 ? 8 : OTHERS_PA + 0x1000ul * (i % OTHERS);
    c.si = (Word)LIST;
    c.cx = TIMES;
    c.ax = 0;
    return c;
}

static void places_that_see_many_pages(void)
{
    Context c = many(load_many);
    unsigned wraps = TIMES / EVERY, ends = (TIMES + 1) / EVERY;
    run(&c);
    check_eq("many pages, loads", c.ax, BORDER * wraps + 0xbfbebdbcbbbab9b8ul * ends + 3ul * (TIMES - wraps - ends));
    check("  memory", untouched_but(0, 0));

    c = many(store_many);
    c.ax = NEW;
    run(&c);
    check_context("many pages, stores", &c, DONE);
    check("  memory", border() == NEW && *(volatile uint64_t *)(FIRST_PA + 8) == NEW && untouched_but(-2, 18));

    c = many(add_many);
    c.ax = 1;
    run(&c);
    check_context("many pages, additions", &c, DONE);
    check("  memory", border() == BORDER + wraps && *(volatile uint64_t *)(FIRST_PA + 8) == 0xbfbebdbcbbbab9b8ul + ends &&
                          untouched_but(-2, 18));
}

static const uint8_t mov_int[] = {0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 0xcd, 0x30};

static void put_code(unsigned before)
{
    for (unsigned i = 0; i < sizeof(mov_int); i++)
        (i < before ? last + 0x1000 - before : first - before)[i] = mov_int[i];
}

static void fetches(void)
{
    for (unsigned before = 1; before < sizeof(mov_int); before++) {
        Context c = kernel_context((void *)(0ul - before));
        map_both(PTE_P | PTE_W, PTE_P | PTE_W);
        put_code(before);
        for (unsigned i = 0; i < 3; i++) {
            c.ip = 0ul - before;
            c.ax = 0;
            run(&c);
        }
        check_eq("code across the border", c.vector == 0x30 ? c.ax : 0, 0x0807060504030201);
        /* The part behind the border changes. */
        first[0] ^= before < 10 ? 0x10 : 0;
        c.ip = 0ul - before;
        run(&c);
        check_eq("  changed", c.ax, before > 1 && before < 10 ? 0x0807060504030201 ^ 0x10ul << (8 * before - 16)
                                    : before == 1 ? c.ax : 0x0807060504030201);
        map_both(PTE_P | PTE_W, 0);
        c.ip = 0ul - before;
        c.ax = 0;
        run(&c);
        check_context("  the page behind it missing", &c, PF(0));
        check_eq("    CR2", c.cr2, 0);
        check_eq("    RIP", c.ip, before < 10 ? 0ul - before : before == 10 ? 0 : 0ul - before + 10);
    }
}

void guest_test(void)
{
    WRITE_REG("cr0", (READ_REG("cr0") | CR0_WP | CR0_MP | CR0_NE) & ~(Word)CR0_EM);
    WRITE_REG("cr4", READ_REG("cr4") | CR4_OSFXSR);
    paging_on(PAGING_4LEVEL);
    small_pages();
    map_both(PTE_P | PTE_W, PTE_P | PTE_W);

    works("load", load, BORDER, BORDER);
    works("store", store, NEW, NEW);
    works("add", add, NEW, BORDER + NEW);
    works("lock add", locked_add, NEW, BORDER + NEW);
    works("xchg", exchange, BORDER, NEW);
    works("lock cmpxchg", compare_exchange, BORDER, NEW);
    works("push", push, NEW, NEW);
    works("pop", pop, BORDER, BORDER);
    works("movdqu", load_vector, BORDER, BORDER);
    works("movq of a vector", store_vector, NEW, NEW);
    works("fild", load_x87, BORDER, BORDER);
    works("rep movsb", move_string, BORDER, BORDER);
    works("by displacement", by_displacement, BORDER, BORDER);

    faults("load, no first page", load, 0, true, 0);
    faults("load, no last page", load, 0, false, 0);
    faults("store, no first page", store, 2, true, 0);
    faults("store, no last page", store, 2, false, 0);
    faults("store, first page read-only", store, 3, true, PTE_P);
    faults("store, last page read-only", store, 3, false, PTE_P);
    faults("add, no first page", add, 2, true, 0);
    faults("lock add, first page read-only", locked_add, 3, true, PTE_P);
    faults("xchg, no last page", exchange, 2, false, 0);

    places_that_see_many_pages();
    fetches();
}
