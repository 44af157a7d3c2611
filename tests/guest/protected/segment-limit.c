/*
 * Every byte of an access must lie within its segment (SDM Vol. 3, 5.3). A fault is #GP(0), or
 * #SS(0) when the access goes through SS. Nothing of an access that crosses the limit is written.
 *   limit 0xfff:                   offsets 0..0xfff; a dword ends at 0xffc
 *   limit 0xffffffff (G):          all; an access does not wrap round from 0xfffffffd
 *   expand-down, limit 0xfff, D=1: offsets 0x1000..0xffffffff
 *   expand-down, limit 0xfff, D=0: offsets 0x1000..0xffff
 *   expand-down, limit 0 (G), D=1: offsets 0x1000..0xffffffff, as the limit's low 12 bits are ones
 * Instruction fetch beyond CS.limit is #GP(0) with EIP at the instruction.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#define NO_LIMITS "data accesses do not check the segment's limit"

static uint8_t arena[0x20000] __attribute__((aligned(16)));

static void load_fs(uint32_t base, uint32_t limit, unsigned type, unsigned flags)
{
    set_gdt(SEL_FREE, segment(base, limit, type, flags));
    asm volatile("movw %w0, %%fs" : : "r"(SEL_FREE));
}

static void read_byte(const char *name, uint32_t offset, unsigned want)
{
    qemu_deviates(want == NONE ? NULL : NO_LIMITS);
    EXPECT(name, want, "movb %%fs:(%0), %%al", : : "r"(offset) : "eax");
}

static void read_dword(const char *name, uint32_t offset, unsigned want)
{
    qemu_deviates(want == NONE ? NULL : NO_LIMITS);
    EXPECT(name, want, "movl %%fs:(%0), %%eax", : : "r"(offset) : "eax");
}

static void expand_up(void)
{
    load_fs((uint32_t)arena, 0xfff, TYPE_DATA_RW, SEG_D);
    read_byte("up: first byte", 0, NONE);
    read_byte("up: last byte", 0xfff, NONE);
    read_byte("up: byte behind the limit", 0x1000, GP(0));
    read_dword("up: last dword", 0xffc, NONE);
    read_dword("up: dword across the limit", 0xffd, GP(0));
    read_dword("up: dword at -2", 0xfffffffe, GP(0));

    memset(arena + 0xff0, 0x11, 32);
    qemu_deviates(NO_LIMITS);
    EXPECT("up: write across the limit", GP(0), "movl $0, %%fs:0xffe", : :);
    qemu_deviates(NO_LIMITS);
    check_eq("  nothing is written", *(volatile uint16_t *)(arena + 0xffe), 0x1111);
    qemu_deviates(NO_LIMITS);
    EXPECT("up: read-modify-write across the limit", GP(0), "addl $1, %%fs:0xffe", : :);
}

static void expand_down(void)
{
    load_fs((uint32_t)arena - 0x1000, 0xfff, TYPE_DOWN_RW, SEG_D);
    read_byte("down: byte at the limit", 0xfff, GP(0));
    read_byte("down: byte above it", 0x1000, NONE);
    read_dword("down: dword across the limit", 0xffe, GP(0));
    read_byte("down, D=1: byte beyond 64 KB", 0x10000, NONE);

    load_fs((uint32_t)arena - 0x1000, 0xfff, TYPE_DOWN_RW, 0);
    read_byte("down, D=0: last byte", 0xffff, NONE);
    read_byte("down, D=0: byte beyond 64 KB", 0x10000, GP(0));
    read_dword("down, D=0: dword across 64 KB", 0xfffe, GP(0));

    load_fs((uint32_t)arena - 0x1000, 0, TYPE_DOWN_RW, SEG_D | SEG_G);
    read_byte("down, G=1: byte at the limit", 0xfff, GP(0));
    read_byte("down, G=1: byte above it", 0x1000, NONE);
}

CODE32(by_ebp, "movl 0xffe(%ebp), %eax");
CODE32(by_esp, "movl 0x700(%esp), %eax");
CODE32(by_ds, "movl %ds:0xffe(%ebp), %eax");
CODE32(push_down, "movl $2, %esp\n pushl %eax");
CODE32(pop_up, "movl $0xffe, %esp\n popl %eax");

/* At CPL 3, where a trap has a stack of its own. */
static void stack(const char *name, const char *code, unsigned want, Word sp)
{
    set_gdt(SEL_FREE, segment((uint32_t)arena, 0xfff, TYPE_DATA_RW | DPL(3), SEG_D));
    Context c = user_context(code);
    c.ss = SEL_FREE | 3;
    c.sp = 0x900;
    c.bp = 0;
    run(&c);
    qemu_deviates(want == DONE ? NULL : NO_LIMITS);
    check_context(name, &c, want);
    if (sp) {
        qemu_deviates(want == DONE ? NULL : NO_LIMITS);
        check_eq("  ESP is untouched", c.sp, sp);
    }
}

CODE32(nops, "nop\n nop\n nop\n nop\n");

static void fetch(void)
{
    /* A code segment that ends behind the second NOP. */
    set_gdt(SEL_FREE, segment((uint32_t)nops, 1, TYPE_CODE | DPL(3), SEG_D));
    Context c = user_context(0);
    c.cs = SEL_FREE | 3;
    c.ip = 0;
    run(&c);
    qemu_deviates("instruction fetch does not check CS.limit");
    check_context("fetch behind CS.limit", &c, GP(0));
    qemu_deviates("instruction fetch does not check CS.limit");
    check_eq("  EIP", c.ip, 2);
}

void guest_test(void)
{
    expand_up();
    expand_down();
    load_fs(0, 0xfffff, TYPE_DATA_RW, SEG_G | SEG_D);
    read_dword("4 GB: dword at 0", 0, NONE);
    stack("EBP across the limit of SS", by_ebp, SS(0), 0);
    stack("ESP behind the limit of SS", by_esp, SS(0), 0);
    stack("EBP with a DS prefix uses DS", by_ds, DONE, 0);
    stack("PUSH round 0", push_down, SS(0), 2);
    stack("POP across the limit", pop_up, SS(0), 0xffe);
    fetch();
}
