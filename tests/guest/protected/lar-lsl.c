/*
 * LAR, LSL, VERR, VERW and ARPL (SDM Vol. 2): ZF tells whether the selector is accessible; they do
 * not fault on it. LAR gives descriptor bits 8-23 (masked 0xf0ff00 and limit's place undefined:
 * only those are compared), LSL the limit in bytes.
 *   LAR accepts segments, TSS, LDT, call and task gates; LSL segments, TSS, LDT
 *   data and non-conforming code need DPL >= CPL and DPL >= RPL; conforming code does not
 *   P is not looked at by LAR and LSL
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

static void lar(const char *name, unsigned selector, bool zf, uint32_t want)
{
    uint32_t got = 0xdeadbeef;
    bool ok;
    asm volatile("larl %k2, %0" : "+r"(got), "=@ccz"(ok) : "r"(selector));
    check_eq(name, ok, zf);
    check_eq("  LAR", zf ? got & 0xf0ff00 : got, zf ? want : 0xdeadbeef);
}

static void lsl(const char *name, unsigned selector, bool zf, uint32_t want)
{
    uint32_t got = 0xdeadbeef;
    bool ok;
    asm volatile("lsll %k2, %0" : "+r"(got), "=@ccz"(ok) : "r"(selector));
    check_eq(name, ok, zf);
    check_eq("  LSL", got, zf ? want : 0xdeadbeef);
}

static void verify(const char *name, unsigned selector, bool read, bool write)
{
    bool r, w;
    asm volatile("verr %w1" : "=@ccz"(r) : "r"(selector));
    asm volatile("verw %w1" : "=@ccz"(w) : "r"(selector));
    check_eq(name, r * 2 + w, read * 2 + write);
}

static void arpl(unsigned to, unsigned from, bool zf, unsigned want)
{
    bool ok;
    asm volatile("arpl %w2, %w0" : "+r"(to), "=@ccz"(ok) : "r"(from));
    check_eq("ARPL, ZF", ok, zf);
    check_eq("  the selector", to & 0xffff, want);
}

static void put(uint32_t limit, unsigned type, unsigned flags)
{
    set_gdt(SEL_FREE, segment(0, limit, type, flags));
}

static void user(void)
{
    lar("LAR, DPL 0 at CPL 3", SEL_DATA, false, 0);
    lsl("LSL, DPL 0 at CPL 3", SEL_DATA, false, 0);
    verify("VERx, DPL 0 at CPL 3", SEL_DATA, false, false);
    verify("VERx, DPL 3 at CPL 3", SEL_UDATA, true, true);
    lar("LAR, conforming DPL 0 at CPL 3", SEL_FREE, true, 0xc09f00);
    verify("VERx, conforming DPL 0 at CPL 3", SEL_FREE, true, false);
}

CODE16(lar16, "lar %ax, %bx");

void guest_test(void)
{
    lar("LAR null", 0, false, 0);
    lar("LAR beyond the table", 0xfff8, false, 0);
    lar("LAR flat code", SEL_CODE, true, 0xc09b00);
    lar("LAR, RPL 3 for DPL 0", SEL_CODE | 3, false, 0);
    lsl("LSL null", 0, false, 0);
    lsl("LSL flat code", SEL_CODE, true, 0xffffffff);
    lsl("LSL 64 KB", SEL_DATA16, true, 0xffff);

    put(0x12345, TYPE_DATA_RW & ~PRESENT, SEG_D);
    lar("LAR not present", SEL_FREE, true, 0x401200);
    lsl("LSL not present", SEL_FREE, true, 0x12345);
    put(0x12345, TYPE_DATA_RW, SEG_D | SEG_G);
    lsl("LSL in pages", SEL_FREE, true, 0x12345fff);
    verify("VERx data", SEL_FREE, true, true);
    check_eq("  none sets the accessed bit", gdt[SEL_FREE / 8] >> 40 & 1, 0);

    put(0, TYPE_DATA_RO, 0);
    verify("VERx read-only", SEL_FREE, true, false);
    put(0, TYPE_CODE_XO, 0);
    verify("VERx execute-only", SEL_FREE, false, false);
    put(0, TYPE_CODE, 0);
    verify("VERx code", SEL_FREE, true, false);
    verify("VERx code, RPL 3", SEL_FREE | 3, false, false);
    put(0, TYPE_LDT, 0);
    verify("VERx system", SEL_FREE, false, false);

    put(103, TYPE_TSS, 0);
    lar("LAR TSS", SEL_FREE, true, 0x8900);
    lsl("LSL TSS", SEL_FREE, true, 103);
    put(103, TYPE_TSS16, 0);
    lar("LAR 16-bit TSS", SEL_FREE, true, 0x8100);
    put(7, TYPE_LDT, 0);
    lar("LAR LDT", SEL_FREE, true, 0x8200);
    lsl("LSL LDT", SEL_FREE, true, 7);
    set_gdt(SEL_FREE, gate(0, SEL_CODE, TYPE_CALL, 0));
    lar("LAR call gate", SEL_FREE, true, 0x8c00);
    lsl("LSL call gate", SEL_FREE, false, 0);
    set_gdt(SEL_FREE, gate(0, SEL_TSS, TYPE_TASK_GATE, 0));
    lar("LAR task gate", SEL_FREE, true, 0x8500);
    lsl("LSL task gate", SEL_FREE, false, 0);
    set_gdt(SEL_FREE, gate(0, SEL_CODE, TYPE_INT, 0));
    lar("LAR interrupt gate", SEL_FREE, false, 0);
    set_gdt(SEL_FREE, gate(0, SEL_CODE, TYPE_TRAP16, 0));
    lar("LAR 16-bit trap gate", SEL_FREE, false, 0);

    put(0xfffff, TYPE_CONFORMING, SEG_G | SEG_D);
    asm volatile("movw %w0, %%gs\n\tmovw %w1, %%gs" : : "r"(SEL_FREE), "r"(SEL_DATA));
    call_user(user);

    arpl(SEL_FREE, 3, true, SEL_FREE | 3);
    arpl(SEL_FREE | 2, 1, false, SEL_FREE | 2);
    arpl(SEL_FREE | 1, 1, false, SEL_FREE | 1);

    Context c = real_context(lar16);
    run_real(&c);
    check_context("LAR in real mode", &c, UD);
}
