/*
 * IRET in protected mode (SDM Vol. 2, IRET).
 *   same level: EIP, CS, EFLAGS are popped; outer level: ESP and SS, too, and data segments whose
 *   DPL is below the new CPL become null (not conforming code).
 *   IF changes at CPL <= IOPL, IOPL and VM at CPL 0 only; NT, AC, ID, TF, DF always.
 *   CS null #GP(0); RPL < CPL, DPL or type wrong #GP(cs); not present #NP(cs)
 *   SS null #GP(0), RPL or DPL not the new CPL, or not writable #GP(ss); not present #SS(ss)
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

CODE32(iret, "pushl %edx\n pushl %esi\n pushl %ecx\n pushl %ebx\n pushl %eax\n iretl");
CODE32(iret_same, "pushl %ecx\n pushl %ebx\n pushl %eax\n iretl");
CODE32(target, "");

/* IRET at CPL 0 to CS:target with SS:0x9000. */
static Context outer(unsigned cs, unsigned ss, Word flags)
{
    Context c = kernel_context(iret);
    c.ax = (Word)target;
    c.bx = cs;
    c.cx = flags;
    c.si = 0x9000;
    c.dx = ss;
    c.ds = SEL_DATA;
    c.es = SEL_UDATA;
    c.fs = SEL_FREE;
    c.gs = SEL_FREE + 8;
    run(&c);
    return c;
}

static void nulling(void)
{
    set_gdt(SEL_FREE, segment(0, 0xfffff, TYPE_CONFORMING, SEG_G | SEG_D));
    set_gdt(SEL_FREE + 8, segment(0, 0xfffff, TYPE_CODE, SEG_G | SEG_D));
    Context c = outer(SEL_UCODE, SEL_UDATA, 2);
    check_context("to CPL 3", &c, DONE);
    check_eq("  CS", c.cs, SEL_UCODE);
    check_eq("  SS", c.ss, SEL_UDATA);
    check_eq("  ESP", c.sp, 0x9000);
    check_eq("  DS, data of DPL 0: null", c.ds, 0);
    check_eq("  ES, data of DPL 3: kept", c.es, SEL_UDATA);
    check_eq("  FS, conforming code of DPL 0: kept", c.fs, SEL_FREE);
    check_eq("  GS, code of DPL 0: null", c.gs, 0);
}

static void fault(const char *name, unsigned cs, unsigned ss, unsigned want)
{
    Context c = outer(cs, ss, 2);
    qemu_deviates(want >> 16 == 12 ? "a stack segment that is not present raises #NP" : NULL);
    check_context(name, &c, want);
    check_eq("  CS", c.cs, SEL_CODE);
    check_eq("  ESP", c.sp, kernel_context(0).sp - 20);
}

static void faults(void)
{
    fault("CS null", 0, SEL_UDATA, GP(0));
    fault("CS data", SEL_UDATA, SEL_UDATA, GP(SEL_UDATA & ~3));
    fault("CS, RPL 3, DPL 0", SEL_CODE | 3, SEL_UDATA, GP(SEL_CODE));
    fault("CS beyond the GDT", 0x7ffb, SEL_UDATA, GP(0x7ff8));
    fault("SS null", SEL_UCODE, 0, GP(0));
    fault("SS, DPL 0", SEL_UCODE, SEL_DATA | 3, GP(SEL_DATA));
    fault("SS, RPL 0", SEL_UCODE, SEL_UDATA & ~3, GP(SEL_UDATA & ~3));
    fault("SS code", SEL_UCODE, SEL_UCODE, GP(SEL_UCODE & ~3));
    set_gdt(SEL_FREE + 16, segment(0, 0xfffff, (TYPE_DATA_RW | DPL(3)) & ~PRESENT, SEG_G | SEG_D));
    fault("SS not present", SEL_UCODE, (SEL_FREE + 16) | 3, SS(SEL_FREE + 16));
    set_gdt(SEL_FREE + 16, segment(0, 0xfffff, (TYPE_CODE | DPL(3)) & ~PRESENT, SEG_G | SEG_D));
    fault("CS not present", (SEL_FREE + 16) | 3, SEL_UDATA, NP(SEL_FREE + 16));
}

enum { MASK = FLAG_IF | FLAG_IOPL3 | FLAG_NT | FLAG_AC | FLAG_ID | FLAG_DF | FLAG_VIF | FLAG_VIP };

static Word user_flags(Word before, Word popped)
{
    Context c = user_context(iret_same);
    c.flags = before;
    c.ax = (Word)target;
    c.bx = SEL_UCODE;
    c.cx = popped;
    run(&c);
    return c.vector == 0x30 ? c.flags & MASK : c.vector;
}

static void flags(void)
{
    Word most = FLAG_NT | FLAG_AC | FLAG_ID | FLAG_DF;
    Context c = kernel_context(iret_same);
    c.ax = (Word)target;
    c.bx = SEL_CODE;
    c.cx = MASK | 2;
    run(&c);
    qemu_deviates("VIF and VIP are not popped at CPL 0");
    check_eq("EFLAGS at CPL 0", c.flags & MASK, MASK);
    check_eq("  ESP", c.sp, kernel_context(0).sp);
    check_eq("EFLAGS at CPL 3, IOPL 0", user_flags(2, MASK | 2), most);
    check_eq("EFLAGS at CPL 3, IOPL 3", user_flags(2 | FLAG_IOPL3, 2 | FLAG_IF),
             FLAG_IF | FLAG_IOPL3);
    check_eq("EFLAGS at CPL 3, IOPL 3, cleared", user_flags(2 | FLAG_IOPL3 | FLAG_IF, 2),
             FLAG_IOPL3);
    check_eq("IRET at CPL 3 with NT", user_flags(2 | FLAG_NT, 2), 10);
}

void guest_test(void)
{
    nulling();
    faults();
    flags();
}
