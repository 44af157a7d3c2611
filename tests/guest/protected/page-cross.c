/*
 * Accesses across two pages (SDM Vol. 3, 4.7): when the second page faults, CR2 is its first byte
 * and nothing is written to the first page. Instructions that fault change no register and no flag.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#define PAGE2 (TEST_VA + 0x1000)
static volatile uint8_t *const page1 = (uint8_t *)TEST_PA;

static void first_page_untouched(void)
{
    bool same = true;
    for (unsigned i = 0xff0; i < 0x1000; i++)
        same = same && page1[i] == 0x77;
    check("  the first page is untouched", same);
}

static const char *deviation;

static void fault(const char *name, const char *code, unsigned want, Word cr2)
{
    Context c = kernel_context(code);
    Context before = c;
    c.ax = before.ax = 0x11223344;
    c.cx = before.cx = 0x55667788;
    c.dx = before.dx = 0x99aabbcc;
    c.bx = before.bx = PAGE2 - 2;
    c.si = before.si = PAGE2 - 2;
    c.di = before.di = PAGE2 - 1;
    c.flags |= FLAG_CF | FLAG_ZF;
    run(&c);
    qemu_deviates(deviation);
    check_context(name, &c, want);
    check_eq("  CR2", c.cr2, cr2);
    check_eq("  EIP", c.ip, (Word)code);
    check("  registers", c.ax == before.ax && c.bx == before.bx && c.cx == before.cx &&
                             c.dx == before.dx && c.si == before.si && c.di == before.di &&
                             c.sp == before.sp);
    check_eq("  flags", c.flags & (FLAG_CF | FLAG_ZF | FLAG_OF), FLAG_CF | FLAG_ZF);
    first_page_untouched();
}

/* The CPU reads with the intent to write: the error code says W. */
static void read_modify_write(const char *name, const char *code, unsigned want, Word cr2)
{
    deviation = "the fault of a read-modify-write is that of a read";
    fault(name, code, want, cr2);
    deviation = NULL;
}

CODE32(load, "movl (%ebx), %eax");
CODE32(store, "movl %eax, (%ebx)");
CODE32(store_word, "movw %ax, 1(%ebx)");
CODE32(add, "addl %eax, (%ebx)");
CODE32(add_from, "addl (%ebx), %eax");
CODE32(exchange, "xchgl %eax, (%ebx)");
CODE32(exchange_add, "lock xaddl %eax, (%ebx)");
CODE32(compare_exchange, "lock cmpxchg8b (%ebx)");
CODE32(bit_set, "btsl $3, (%ebx)");
CODE32(move_string, "movsl");
CODE32(store_string, "stosw");
CODE32(pop_memory, "popl (%ebx)");
CODE32(far_pointer, "lfs (%ebx), %ecx");

static void code_across(void)
{
    /* mov $imm32, %eax begins 3 bytes before the page that is not there. */
    memcpy((void *)(page1 + 0xffd), "\xb8\x01\x02", 3);
    Context c = kernel_context((void *)(PAGE2 - 3));
    run(&c);
    check_context("an instruction across the pages", &c, PF(0));
    check_eq("  CR2", c.cr2, PAGE2);
    check_eq("  EIP", c.ip, PAGE2 - 3);
    memset((void *)(page1 + 0xffd), 0x90, 3);
    c = kernel_context((void *)(PAGE2 - 3));
    run(&c);
    check_context("instructions up to the page's end", &c, PF(0));
    check_eq("  EIP", c.ip, PAGE2);
}

CODE32(push, "pushl %eax");
CODE32(call, "call *%eax");
CODE32(enter, "enter $0, $0");

static void stack(const char *name, const char *code, Word sp, Word cr2)
{
    Context c = user_context(code);
    c.sp = sp;
    c.bp = 0x1234;
    run(&c);
    check_context(name, &c, PF(6));
    check_eq("  CR2", c.cr2, cr2);
    check_eq("  ESP", c.sp, sp);
    check_eq("  EBP", c.bp, 0x1234);
}

void guest_test(void)
{
    if (!need(1, 'd', 8, "CX8"))
        return;
    paging_on(PAGING_32BIT);
    WRITE_REG("cr0", READ_REG("cr0") | CR0_WP);
    map(TEST_VA, TEST_PA | PTE_P | PTE_W | PTE_U);
    map(PAGE2, 0);
    memset((void *)page1, 0x77, 0x1000);

    fault("MOV from", load, PF(0), PAGE2);
    fault("MOV to", store, PF(2), PAGE2);
    fault("MOV to, word", store_word, PF(2), PAGE2);
    read_modify_write("ADD to", add, PF(2), PAGE2);
    fault("ADD from", add_from, PF(0), PAGE2);
    read_modify_write("XCHG", exchange, PF(2), PAGE2);
    read_modify_write("LOCK XADD", exchange_add, PF(2), PAGE2);
    read_modify_write("LOCK CMPXCHG8B", compare_exchange, PF(2), PAGE2);
    read_modify_write("BTS", bit_set, PF(2), PAGE2);
    fault("MOVS", move_string, PF(0), PAGE2);
    fault("STOS", store_string, PF(2), PAGE2);
    fault("POP to", pop_memory, PF(2), PAGE2);
    fault("LFS", far_pointer, PF(0), PAGE2);
    map(PAGE2, TEST_PA | PTE_P);
    fault("MOV to a read-only page", store, PF(3), PAGE2);
    fault("ADD to a read-only page", add, PF(3), PAGE2);
    map(PAGE2, 0);
    code_across();

    map(TEST_VA, 0);
    map(PAGE2, TEST_PA | PTE_P | PTE_W | PTE_U);
    stack("PUSH", push, PAGE2, PAGE2 - 4);
    stack("PUSH across", push, PAGE2 + 2, PAGE2 - 2);
    stack("CALL", call, PAGE2, PAGE2 - 4);
    stack("ENTER", enter, PAGE2, PAGE2 - 4);
}
