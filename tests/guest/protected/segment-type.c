/*
 * Every access is checked against the type of the segment it goes through (SDM Vol. 3, 5.5):
 *
 *                              read        write
 *   data, read-only            yes         #GP(0)
 *   data, read/write           yes         yes
 *   expand-down, read-only     yes         #GP(0)
 *   expand-down, read/write    yes         yes
 *   code, readable             yes         #GP(0)
 *   conforming, readable       yes         #GP(0)
 *   null selector              #GP(0)      #GP(0)
 *
 * A fault leaves memory as it was, and EIP at the instruction.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

static volatile uint32_t cell;

static void access(const char *read_name, const char *write_name, unsigned write_want,
                   unsigned type)
{
    uint32_t got = 0;
    bool expand_down = (type & 0xc) == 4;
    set_gdt(SEL_FREE, segment(0, expand_down ? 0 : 0xfffff, type, SEG_G | SEG_D));
    asm volatile("movw %w0, %%fs" : : "r"(SEL_FREE));

    cell = 0x12345678;
    EXPECT(read_name, NONE, "movl %%fs:(%1), %0", : "+r"(got) : "r"(&cell));
    check_eq("  the register", got, 0x12345678);

    if (write_want != NONE)
        qemu_deviates("data accesses do not check the segment's type");
    EXPECT(write_name, write_want, "movl $0x9abcdef0, %%fs:(%0)", : : "r"(&cell));
    if (write_want != NONE)
        qemu_deviates("data accesses do not check the segment's type");
    check_eq("  the memory", cell, write_want == NONE ? 0x9abcdef0 : 0x12345678);
}

static void null_selector(unsigned selector)
{
    EXPECT("load FS with a null selector", NONE, "movw %w0, %%fs", : : "r"(selector));
    qemu_deviates("a null selector is a segment of base 0 without limit");
    EXPECT("read through it", GP(0), "movl %%fs:(%0), %%eax", : : "r"(&cell) : "eax");
    qemu_deviates("a null selector is a segment of base 0 without limit");
    EXPECT("write through it", GP(0), "movl %%eax, %%fs:(%0)", : : "r"(&cell));
}

void guest_test(void)
{
    access("read read-only data", "write read-only data", GP(0), TYPE_DATA_RO);
    access("read read/write data", "write read/write data", NONE, TYPE_DATA_RW);
    access("read expand-down", "write expand-down, read-only", GP(0), TYPE_DOWN_RO);
    access("read expand-down", "write expand-down, read/write", NONE, TYPE_DOWN_RW);
    access("read readable code", "write readable code", GP(0), TYPE_CODE);
    access("read conforming code", "write conforming code", GP(0), TYPE_CONFORMING);

    null_selector(0);
    null_selector(3);
}
