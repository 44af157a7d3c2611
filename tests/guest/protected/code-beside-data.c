/*
 * Code and data in one page (SDM Vol. 3, 11.6): a store into the data changes no code, one into the code counts for the
 * next instruction, wherever it begins and ends. And what that costs: data beside code may be written about as fast
 * as elsewhere, and a page may be written and executed by turns.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { PAGE = 0x1000000, ALIAS = TEST_VA, ROUNDS = 2000, WRITES = 2000 };

static uint8_t *const page = (uint8_t *)PAGE;

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

/* Functions all over the page; each is changed by stores of each size that touch its operand from either side. */
static void every_store(void)
{
    unsigned wrong = 0;

    for (unsigned at = 0; at < 4096 - 16; at += 61) {
        put_function(page + at, at);
        wrong += call_at(page + at) != at;
    }
    for (unsigned at = 0; at < 4096 - 16; at += 61) {
        wrong += call_at(page + at) != at;
        *(volatile uint8_t *)(page + at + 4) = 0x11;
        wrong += call_at(page + at) != (0x11000000 | at);
        *(volatile uint16_t *)(page + at + 3) = 0x2222;
        wrong += call_at(page + at) != (0x22220000 | at);
        *(volatile uint32_t *)(page + at + 1) = 0x33333333;
        wrong += call_at(page + at) != 0x33333333;
        *(volatile uint32_t *)(page + at - 2) = 0x44b80000; /* the operand's first byte is its last */
        wrong += call_at(page + at) != 0x33333344;
        *(volatile uint32_t *)(page + at + 4) = 0x0000c355; /* its last byte is its first */
        wrong += call_at(page + at) != 0x55333344;
    }
    check_eq("stores of all sizes across a page", wrong, 0);
}

/* The store's first half lies in one page, its second in the code at the next one's start. */
static void across_pages(void)
{
    unsigned wrong = 0;

    put_function(page + 4096, 1);
    for (uint32_t i = 0; i < 100; i++) {
        wrong += call_at(page + 4096) != (i ? 0x01000000 | (i - 1) : 1);
        *(volatile uint32_t *)(page + 4096 - 1) = i << 16 | 0xb800;
        *(volatile uint32_t *)(page + 4096 + 3) = 0xc30100;
    }
    check_eq("a store that crosses into the code's page", wrong, 0);
}

/* One block that changes the operand of its own next instruction, over and over. */
CODE32(own_block, "xorl %edx, %edx\n movl $1000, %ecx\n"
                  "1: movl %ecx, own_operand + 1\n own_operand: movl $0, %eax\n addl %eax, %edx\n"
                  "decl %ecx\n jnz 1b\n movl %edx, %eax");
/* Data between instructions that jump over it. */
CODE32(data_within, "movl $1000, %ecx\n xorl %eax, %eax\n 1: incl data_word\n jmp 2f\n data_word: .long 0\n"
                    "2: addl data_word, %eax\n decl %ecx\n jnz 1b");
/* REP STOS runs over the place that its own block goes on at; REP MOVS over itself, with the same bytes. */
CODE32(rep_stos, "movl $stos_end, %edi\n movl $8, %ecx\n movb $0x40, %al\n xorl %edx, %edx\n cld\n rep stosb\n"
                 "xorl %eax, %eax\n jmp 1f\n 1: stos_end: nop\n nop\n nop\n nop\n nop\n nop\n nop\n nop");
CODE32(rep_movs, "movl $movs_start, %esi\n movl %esi, %edi\n movl $movs_end - movs_start, %ecx\n cld\n"
                 "movs_start: rep movsb\n movl $7, %eax\n movs_end:");

static void expect(const char *name, const char *code, Word want)
{
    Context c = kernel_context(code);
    run(&c);
    check_context(name, &c, DONE);
    check_eq("  EAX", c.ax, want);
}

/* Written by one linear address, executed by two others. */
static void aliases(void)
{
    unsigned wrong = 0;

    paging_on(PAGING_32BIT);
    map(ALIAS, PAGE | PTE_P | PTE_W);
    map(ALIAS + 0x5000, PAGE | PTE_P | PTE_W);
    put_function(page + 0x300, 0);
    for (uint32_t i = 1; i <= 200; i++) {
        *(volatile uint32_t *)(ALIAS + 0x301) = i;
        wrong += call_at((void *)(ALIAS + 0x5300)) != i;
        wrong += call_at(page + 0x300) != i;
        *(volatile uint32_t *)(page + 0x301) = ~i;
        wrong += call_at((void *)(ALIAS + 0x5300)) != ~i;
        wrong += call_at((void *)(ALIAS + 0x300)) != ~i;
    }
    check_eq("the same code by three addresses", wrong, 0);
    paging_off();
}

/* fw_cfg's DMA interface writes its signature, the letters QEMU, into an operand. */
static void dma_into_code(void)
{
    static volatile struct {
        uint32_t control, length, address_high, address_low; /* big endian */
    } request __attribute__((aligned(16)));
    unsigned wrong = 0;

    for (unsigned i = 0; i < 50; i++) {
        put_function(page + 0x800, i);
        wrong += call_at(page + 0x800) != i;
        request.control = __builtin_bswap32(0 << 16 | 8 | 2); /* item 0: select, read */
        request.length = __builtin_bswap32(4);
        request.address_high = 0;
        request.address_low = __builtin_bswap32(PAGE + 0x801);
        outl(0x518, __builtin_bswap32((Word)&request));
        while (request.control & __builtin_bswap32(~1u))
            ;
        wrong += call_at(page + 0x800) != 0x554d4551;
    }
    check_eq("DMA into code", wrong, 0);
}

/* Cycles of WRITES stores, the best of some tries; with `code`, a function in the page is called now and then. */
static uint32_t time_writes(volatile uint32_t *data, const void *code)
{
    uint32_t best = ~0u;

    for (unsigned try = 0; try < 20; try++) {
        uint64_t start = rdtsc();
        for (unsigned i = 0; i < WRITES; i++) {
            data[i % 16 * 16]++;
            if (code && i % 64 == 0)
                call_at(code);
        }
        uint32_t t = (uint32_t)(rdtsc() - start);
        best = t < best ? t : best;
    }
    return best;
}

static uint32_t time_turns(void)
{
    uint32_t best = ~0u;
    unsigned wrong = 0;

    for (unsigned try = 0; try < 5; try++) {
        uint64_t start = rdtsc();
        for (uint32_t i = 0; i < 200; i++) {
            uint8_t *at = page + 0x400 + i % 8 * 16;
            put_function(at, i);
            wrong += call_at(at) != i;
        }
        uint32_t t = (uint32_t)(rdtsc() - start);
        best = t < best ? t : best;
    }
    check_eq("written and executed by turns", wrong, 0);
    return best / 200;
}

/* A loop whose counter stands right behind it, and one whose counter is far away. */
CODE32(counting, "movl $20000, counter\n 1: decl counter\n jnz 1b\n int $0x30\n counter: .long 0");
uint32_t far_counter;
CODE32(counting_far, "movl $20000, far_counter\n 1: decl far_counter\n jnz 1b\n int $0x30");

/* Of 20000 rounds. */
static uint32_t time_counting(const void *code)
{
    uint32_t best = ~0u;

    for (unsigned try = 0; try < 5; try++) {
        Context c = kernel_context(code);
        uint64_t start = rdtsc();
        run(&c);
        uint32_t t = (uint32_t)(rdtsc() - start);
        best = t < best ? t : best;
    }
    return best;
}

static void costs(void)
{
    uint8_t *with = page + 0xc000, *without = page + 0x8000;

    put_function(with, 1);
    put_function(page + 0x7000, 1);
    uint32_t alone = time_writes((uint32_t *)(without + 0x40), page + 0x7000);
    uint32_t with_code = time_writes((uint32_t *)(with + 0x40), with);
    uint32_t turn = time_turns();
    put_string("# a store beside code takes ");
    put_hex(with_code * 10 / alone);
    put_string(" tenths of one elsewhere; a turn of writing and executing ");
    put_hex(turn);
    put_string(" ns; a loop with its counter behind it ");
    uint32_t counted = time_counting(counting), counted_far = time_counting(counting_far);
    put_hex(counted / 20000);
    put_string(" ns\n");
    check("data beside code is written without much delay", with_code < 60 * alone);
    check("a turn takes less than 200 us", turn < 200000);
    qemu_deviates("it makes the loop anew each time");
    check("data among code is no code", counted / 500 < counted_far);
}

void guest_test(void)
{
    every_store();
    across_pages();
    expect("a block that changes itself", own_block, 500500);
    expect("data among instructions", data_within, 500500);
    expect("REP STOS over what comes next", rep_stos, 8);
    expect("REP MOVS over itself", rep_movs, 7);
    aliases();
    dma_into_code();
    costs();
}
