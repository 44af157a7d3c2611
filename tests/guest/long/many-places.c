/*
 * Thousands of instructions that all load from one page, or store to it, each at a place of its own: whatever a CPU remembers for
 * each of them about that page must not outlive a change of its mapping (INVLPG, MOV to CR3), of its rights, or the moment in which
 * it begins to hold code (SDM Vol. 3, 4.10, 8.1.3).
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#define VA 0x7000000000ul
enum { PLACES = 3000, STEP = 16, ROUNDS = 20 };

static uint8_t *const loads = (uint8_t *)(TEST_PA + 0x100000ul), *const stores = (uint8_t *)(TEST_PA + 0x200000ul);
static volatile uint64_t *const word = (uint64_t *)(VA + 0x100);

static volatile uint64_t *word_in_frame(unsigned frame)
{
    return (uint64_t *)(TEST_PA + 0x1000ul * frame + 0x100);
}

CODE64(call_all, "1: call *%rbx; add $16, %rbx; dec %rcx; jnz 1b");

/* Those from the first on, or so many of them. */
static Context call_some(uint8_t *places, unsigned first, unsigned n)
{
    Context c = kernel_context(call_all);

    c.bx = (Word)(places + STEP * first);
    c.cx = n;
    c.si = (Word)word;
    c.ax = 0;
    run(&c);
    return c;
}

static Context call(uint8_t *places, unsigned first)
{
    return call_some(places, first, PLACES - first);
}

static void set_page(unsigned frame, uint64_t rights, bool by_cr3)
{
    set_entry(VA, 1, (Word)word_in_frame(frame) - 0x100 + rights);
    if (by_cr3)
        WRITE_REG("cr3", READ_REG("cr3"));
    else
        invlpg(VA);
}

static void page_moves(const char *name, bool by_cr3)
{
    unsigned wrong = 0;

    for (unsigned frame = 1; frame <= 4; frame++) {
        *word_in_frame(frame) = frame;
        *word_in_frame(frame - 1) = 100;
        set_page(frame, PTE_P | PTE_W, by_cr3);
        wrong += call(loads, 0).ax != (uint64_t)PLACES * frame;
        call(stores, 0);
        wrong += *word_in_frame(frame) != PLACES + frame || *word_in_frame(frame - 1) != 100;
    }
    check_eq(name, wrong, 0);
}

static void stops(const char *name, uint8_t *places, uint64_t rights, unsigned want)
{
    static const unsigned some[] = {0, 1, 40, 700, 1500, PLACES - 1};

    set_page(1, PTE_P | PTE_W, false);
    call(places, 0);
    set_page(1, rights, false);
    for (unsigned i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
        Context c = call(places, some[i]);
        if (want == PF(2))
            qemu_deviates("says that INC has read");
        check_context(name, &c, want);
        check_eq("  CR2", c.cr2, (Word)word);
        check_eq("  at the place", c.bx, (Word)(places + STEP * some[i]));
    }
    set_page(1, PTE_P | PTE_W, false);
}

/* MOV EAX, imm32 whose operand the stores count up, each followed by a run of it; RET. */
static void code_in_the_page(void)
{
    uint8_t *code = (uint8_t *)word - 1;
    uint32_t got, wrong = 0;

    for (unsigned round = 0; round < ROUNDS; round++) {
        *word = 0xc300000000; /* data again */
        call(stores, 0);
        *word = 0xc300000000;
        code[0] = 0xb8;
        asm volatile("call *%1" : "=a"(got) : "r"(code) : "memory");
        wrong += got != 0;
        for (unsigned i = round; i < PLACES; i += 397) {
            call_some(stores, i, 1); /* another would do what this one forgets */
            asm volatile("call *%1" : "=a"(got) : "r"(code) : "memory");
            wrong += got != (uint32_t)*word;
        }
        memset((void *)VA, 0, 0x1000);
    }
    check_eq("code in the page changes with it", wrong, 0);
}

void guest_test(void)
{
    static const uint8_t add_ret[] = {0x48, 0x03, 0x06, 0xc3}, inc_ret[] = {0x48, 0xff, 0x06, 0xc3};

    WRITE_REG("cr0", READ_REG("cr0") | CR0_WP);
    paging_on(PAGING_4LEVEL);
    for (unsigned i = 0; i < PLACES; i++) {
        memcpy(loads + STEP * i, add_ret, sizeof(add_ret));
        memcpy(stores + STEP * i, inc_ret, sizeof(inc_ret));
    }
    page_moves("INVLPG", false);
    page_moves("MOV to CR3", true);
    stops("read-only", stores, PTE_P, PF(3));
    stops("missing, loads", loads, 0, PF(0));
    stops("missing, stores", stores, 0, PF(2));
    code_in_the_page();
    page_moves("INVLPG again", false);
}
