/*
 * LLDT, LTR, SLDT, STR, SGDT, SIDT (SDM Vol. 2).
 *   LLDT: null marks it void; not an LDT or in the LDT #GP(sel); not present #NP(sel)
 *   LTR: null #GP(0); busy, not a TSS #GP(sel); not present #NP(sel); marks the TSS busy
 *   SGDT, SIDT store 16-bit limit and 32-bit base; with a 16-bit operand LGDT takes 24 bits of base
 *   SLDT, STR zero-extend into a 32-bit register
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

typedef struct __attribute__((packed)) Table {
    uint16_t limit;
    uint32_t base;
} Table;

static void put(unsigned type)
{
    set_gdt(SEL_FREE, segment(0x1000, 0x67, type, 0));
}

void guest_test(void)
{
    Word got;
    put(TYPE_LDT);
    EXPECT("LLDT", NONE, "lldt %w0", : : "r"(SEL_FREE));
    got = ~0u;
    asm volatile("sldt %0" : "+r"(got));
    check_eq("SLDT r32", got, SEL_FREE);
    EXPECT("LLDT from the LDT", GP(SEL_FREE | 4), "lldt %w0", : : "r"(SEL_FREE | 4));
    EXPECT("LLDT null", NONE, "lldt %w0", : : "r"(0));
    EXPECT("LLDT of data", GP(SEL_DATA), "lldt %w0", : : "r"(SEL_DATA));
    EXPECT("LLDT beyond the GDT", GP(0xfff8), "lldt %w0", : : "r"(0xfff8));
    put(TYPE_LDT & ~PRESENT);
    EXPECT("LLDT, not present", NP(SEL_FREE), "lldt %w0", : : "r"(SEL_FREE));

    got = ~0u;
    asm volatile("str %0" : "+r"(got));
    check_eq("STR r32", got, SEL_TSS);
    qemu_deviates("a null TR is taken");
    EXPECT("LTR null", GP(0), "ltr %w0", : : "r"(0));
    EXPECT("LTR of the busy TSS", GP(SEL_TSS), "ltr %w0", : : "r"(SEL_TSS));
    EXPECT("LTR of data", GP(SEL_DATA), "ltr %w0", : : "r"(SEL_DATA));
    put(TYPE_TSS & ~PRESENT);
    EXPECT("LTR, not present", NP(SEL_FREE), "ltr %w0", : : "r"(SEL_FREE));
    put(TYPE_TSS);
    EXPECT("LTR", NONE, "ltr %w0", : : "r"(SEL_FREE));
    check_eq("  the TSS is busy", gdt[SEL_FREE / 8] >> 40 & 0xff, TYPE_TSS_BUSY);
    put(TYPE_TSS16);
    EXPECT("LTR of a 16-bit TSS", NONE, "ltr %w0", : : "r"(SEL_FREE));
    check_eq("  is busy", gdt[SEL_FREE / 8] >> 40 & 0xff, TYPE_TSS16 | 2);

    Table table = {0, 0}, old;
    asm volatile("sidt %0" : "=m"(old));
    check_eq("SIDT limit", old.limit, 256 * 8 - 1);
    check_eq("SIDT base", old.base, (Word)idt);
    Table odd = {0x1234, 0xfedcba98};
    asm volatile("lidt %1; sidt %0; lidt %2" : "=m"(table) : "m"(odd), "m"(old));
    check_eq("LIDT and SIDT: limit", table.limit, 0x1234);
    check_eq("  base", table.base, 0xfedcba98);
    asm volatile("data16 lidt %1; sidt %0; lidt %2" : "=m"(table) : "m"(odd), "m"(old));
    check_eq("LIDT with a 16-bit operand: 24 bits of base", table.base, 0xdcba98);
    asm volatile("sgdt %0" : "=m"(table));
    check_eq("SGDT", table.base, (Word)gdt);
}
