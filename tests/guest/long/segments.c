/*
 * Segmentation in 64-bit mode (SDM Vol. 3, 3.2.4): base and limit of CS, DS, ES, SS are void, null
 * selectors fine; FS and GS have a base but no limit; types are not checked. Loads still check
 * descriptors. LAR, LSL, VERR work; a system descriptor has 16 bytes.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

static uint32_t cell = 0x1234;

void guest_test(void)
{
    uint32_t got = 0;
    set_gdt(SEL_FREE, segment(0x100000, 0, TYPE_DATA_RO, 0));
    asm volatile("mov %1, %%ds; movl %2, %0; mov %3, %%ds"
                 : "=r"(got) : "r"(SEL_FREE), "m"(cell), "r"(SEL_DATA));
    check_eq("DS: base and limit are void", got, 0x1234);
    EXPECT("  and so is read-only", NONE, "mov %0, %%ds; movl $5, %1; mov %2, %%ds",
           : : "r"(SEL_FREE), "m"(cell), "r"(SEL_DATA));
    asm volatile("mov %1, %%ds; movl %2, %0; mov %3, %%ds"
                 : "=r"(got) : "r"(0), "m"(cell), "r"(SEL_DATA));
    check_eq("DS null", got, 5);
    set_gdt(SEL_FREE, segment((uint32_t)(Word)&cell - 0x10, 0, TYPE_DATA_RO, 0));
    asm volatile("mov %1, %%fs; movl %%fs:0x10, %0" : "=r"(got) : "r"(SEL_FREE));
    check_eq("FS: the base counts, the limit does not", got, 5);

    set_gdt(SEL_FREE, segment(0, 0xfffff, TYPE_DATA_RW & ~PRESENT, SEG_G));
    EXPECT("DS not present", NP(SEL_FREE), "mov %0, %%ds", : : "r"(SEL_FREE));
    EXPECT("SS not present", SS(SEL_FREE), "mov %0, %%ss", : : "r"(SEL_FREE));
    set_gdt(SEL_FREE, segment(0, 0xfffff, TYPE_CODE_XO, SEG_G | SEG_L));
    EXPECT("DS execute-only", GP(SEL_FREE), "mov %0, %%ds", : : "r"(SEL_FREE));
    EXPECT("DS beyond the GDT", GP(0xfff8), "mov %0, %%ds", : : "r"(0xfff8));

    Word limit = 0;
    bool ok;
    asm volatile("lsl %2, %0" : "+r"(limit), "=@ccz"(ok) : "r"((Word)SEL_TSS));
    check("LSL of the TSS", ok);
    check_eq("  limit", limit, sizeof(tss) - 1);

    /* LTR and LLDT read 16 bytes. */
    load_gdt(SEL_TSS + 7);
    set_gdt(SEL_TSS, segment((uint32_t)(Word)&tss, sizeof(tss) - 1, TYPE_TSS, 0));
    EXPECT("LTR, half a descriptor in the GDT", GP(SEL_TSS), "ltr %w0", : : "r"(SEL_TSS));
    load_gdt(GDT_SLOTS * 8 - 1);
    EXPECT("LTR", NONE, "ltr %w0", : : "r"(SEL_TSS));
    check_eq("  busy", gdt[SEL_TSS / 8] >> 40 & 0xff, TYPE_TSS_BUSY);
    EXPECT("LTR of a busy TSS", GP(SEL_TSS), "ltr %w0", : : "r"(SEL_TSS));
    set_gdt(SEL_FREE, segment(0, 103, TYPE_TSS & ~PRESENT, 0));
    gdt[SEL_FREE / 8 + 1] = 0;
    EXPECT("LTR, not present", NP(SEL_FREE), "ltr %w0", : : "r"(SEL_FREE));
    qemu_deviates("a null TR is taken");
    EXPECT("LTR null", GP(0), "ltr %w0", : : "r"(0));
    set_gdt(SEL_FREE, segment(0, 103, TYPE_TSS16, 0));
    qemu_deviates("a 16-bit TSS is taken in long mode");
    EXPECT("LTR of a 16-bit TSS", GP(SEL_FREE), "ltr %w0", : : "r"(SEL_FREE));
    EXPECT("LLDT of a TSS", GP(SEL_FREE), "lldt %w0", : : "r"(SEL_FREE));
    EXPECT("LLDT null", NONE, "lldt %w0", : : "r"(0));
}
