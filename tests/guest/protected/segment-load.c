/*
 * Checks when a selector is loaded into DS, ES, FS, GS or SS (SDM Vol. 2, MOV):
 *
 *                                     DS/ES/FS/GS          SS
 *   null                              fine                 #GP(0)
 *   beyond the table's limit          #GP(sel)             #GP(sel)
 *   system descriptor                 #GP(sel)             #GP(sel)
 *   execute-only code                 #GP(sel)             #GP(sel)
 *   readable code, read-only data     fine                 #GP(sel)
 *   RPL or CPL > DPL                  #GP(sel)             #GP(sel)
 *   conforming code, any DPL          fine                 #GP(sel)
 *   DPL != CPL, RPL != CPL            (data: DPL >= both)  #GP(sel)
 *   not present                       #NP(sel)             #SS(sel)
 *
 * Error codes hold the selector without RPL (TI stays). The type is looked at before P. A load sets
 * the accessed bit, a failed one does not and keeps the register.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

static void data(const char *name, unsigned selector, unsigned want)
{
    EXPECT(name, want, "movw %w0, %%fs", : : "r"(selector));
    check_eq("  FS", READ_REG("fs") & 0xffff, want == NONE ? selector : SEL_DATA);
    asm volatile("movw %w0, %%fs" : : "r"(SEL_DATA));
}

static void stack(const char *name, unsigned selector, unsigned want)
{
    EXPECT(name, want, "movw %w0, %%ss", : : "r"(selector));
    check_eq("  SS", READ_REG("ss") & 0xffff, want == NONE ? selector : SEL_DATA);
    asm volatile("movw %w0, %%ss" : : "r"(SEL_DATA));
}

static void descriptor(unsigned type)
{
    set_gdt(SEL_FREE, segment(0, 0xfffff, type, SEG_G | SEG_D));
}

static volatile uint64_t ldt[2];

static void tables(void)
{
    load_gdt(SEL_FREE + 3); /* half of the descriptor lies inside */
    data("FS beyond the GDT", SEL_FREE, GP(SEL_FREE));
    stack("SS beyond the GDT", SEL_FREE, GP(SEL_FREE));
    load_gdt(GDT_SLOTS * 8 - 1);
    data("FS from the LDT without one", 4, GP(4));
    ldt[1] = segment(0, 0xfffff, TYPE_DATA_RW, SEG_G | SEG_D);
    set_gdt(SEL_FREE + 8, segment((uint32_t)ldt, sizeof(ldt) - 1, TYPE_LDT, 0));
    asm volatile("lldt %w0" : : "r"(SEL_FREE + 8));
    data("FS from the LDT", 8 | 4, NONE);
    check_eq("  accessed", ldt[1] >> 40 & 1, 1);
    data("FS beyond the LDT", 16 | 4, GP(16 | 4));
    data("null descriptor of the LDT", 4, GP(4));
}

static void user(void)
{
    EXPECT("FS, RPL 3, DPL 0 at CPL 3", GP(SEL_DATA), "movw %w0, %%fs", : : "r"(SEL_DATA | 3));
    EXPECT("FS, RPL 0, DPL 0 at CPL 3", GP(SEL_DATA), "movw %w0, %%fs", : : "r"(SEL_DATA));
    EXPECT("FS, RPL 0, DPL 3 at CPL 3", NONE, "movw %w0, %%fs", : : "r"(SEL_UDATA & ~3));
    EXPECT("SS, RPL 0, DPL 3 at CPL 3", GP(SEL_UDATA & ~3), "movw %w0, %%ss",
           : : "r"(SEL_UDATA & ~3));
    EXPECT("SS, null at CPL 3", GP(0), "movw %w0, %%ss", : : "r"(3));
}

void guest_test(void)
{
    data("FS null", 0, NONE);
    data("FS null with RPL", 2, NONE);
    stack("SS null", 0, GP(0));
    stack("SS null with RPL", 2, GP(0));

    descriptor(TYPE_DATA_RW);
    data("FS writable data", SEL_FREE, NONE);
    check_eq("  accessed", gdt[SEL_FREE / 8] >> 40 & 1, 1);
    descriptor(TYPE_DATA_RW);
    data("FS, RPL 3 for DPL 0", SEL_FREE | 3, GP(SEL_FREE));
    stack("SS, RPL 3 at CPL 0", SEL_FREE | 3, GP(SEL_FREE));
    check_eq("  not accessed", gdt[SEL_FREE / 8] >> 40 & 1, 0);
    stack("SS writable data", SEL_FREE, NONE);
    check_eq("  accessed", gdt[SEL_FREE / 8] >> 40 & 1, 1);

    descriptor(TYPE_DATA_RO);
    data("FS read-only data", SEL_FREE, NONE);
    stack("SS read-only data", SEL_FREE, GP(SEL_FREE));
    descriptor(TYPE_CODE);
    data("FS readable code", SEL_FREE, NONE);
    data("FS readable code, RPL 3", SEL_FREE | 3, GP(SEL_FREE));
    stack("SS code", SEL_FREE, GP(SEL_FREE));
    descriptor(TYPE_CODE_XO);
    data("FS execute-only code", SEL_FREE, GP(SEL_FREE));
    descriptor(TYPE_CONFORMING);
    data("FS conforming code, RPL 3", SEL_FREE | 3, NONE);
    descriptor(TYPE_LDT);
    data("FS system descriptor", SEL_FREE, GP(SEL_FREE));
    stack("SS system descriptor", SEL_FREE, GP(SEL_FREE));
    descriptor(TYPE_DATA_RW | DPL(3));
    data("FS, DPL 3 at CPL 0", SEL_FREE | 3, NONE);
    stack("SS, DPL 3 at CPL 0", SEL_FREE, GP(SEL_FREE));

    descriptor(TYPE_DATA_RW & ~PRESENT);
    data("FS not present", SEL_FREE, NP(SEL_FREE));
    stack("SS not present", SEL_FREE, SS(SEL_FREE));
    check_eq("  not accessed", gdt[SEL_FREE / 8] >> 40 & 1, 0);
    descriptor(TYPE_CODE_XO & ~PRESENT);
    data("FS not present and the wrong type", SEL_FREE, GP(SEL_FREE));

    tables();
    call_user(user);
    EXPECT("MOV to CS", UD, ".byte 0x8e, 0xc8", : :);
    EXPECT("MOV to segment register 6", UD, ".byte 0x8e, 0xf0", : :);
    EXPECT("MOV from segment register 7", UD, ".byte 0x8c, 0xf8", : :);
}
