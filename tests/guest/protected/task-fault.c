/*
 * Task switches that fault (SDM Vol. 3, 7.3, table 7-1). Found in the old task, nothing changed:
 *   TSS or task gate DPL < CPL or RPL                   #GP(tss) or #GP(gate)
 *   TSS busy (JMP, CALL), not a TSS, in the LDT         #GP(tss)
 *   TSS not present #NP(tss), gate not present          #NP(gate)
 *   TSS limit below 0x67 (0x2b in a 16-bit TSS)         #TS(tss)
 *   IRET with NT: link not a busy TSS                   #TS(link)
 * Found in the new task, whose selectors are already in the registers:
 *   LDT #TS(ldt), CS #TS(cs), SS #TS(ss), DS.. #TS(ds); not present: #NP(cs), #SS(ss), #NP(ds)
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { TSS_B = SEL_FREE, GATE = SEL_FREE + 8, OTHER = SEL_FREE + 16 };

static volatile Tss32 b;

CODE32(jump_to_b, "ljmp $0x60, $0");
CODE32(jump_gate, "ljmp $0x68, $0");
CODE32(jump_ldt, "ljmp $0x64, $0");
CODE32(nested_iret, "pushfl\n orl $0x4000, (%esp)\n popfl\n nested_iret_here: iretl");
CODE32(in_b, "");
extern char nested_iret_here[];

static void put(unsigned type, unsigned limit)
{
    set_gdt(TSS_B, segment((Word)&b, limit, type, 0));
}

static void old_task(const char *name, const char *code, bool user, unsigned want)
{
    task_context(&b, in_b);
    Context c = user ? user_context(code) : kernel_context(code);
    Word cs = c.cs;
    run(&c);
    check_context(name, &c, want);
    check_eq("  EIP", c.ip, code == nested_iret ? (Word)nested_iret_here : (Word)code);
    check_eq("  CS", c.cs, cs);
    Word tr;
    asm volatile("str %0" : "=r"(tr));
    check_eq("  TR", tr & 0xffff, SEL_TSS);
}

static void found_in_old(void)
{
    put(TYPE_TSS | DPL(2), 0x67);
    old_task("TSS of DPL 2 at CPL 3", jump_to_b, true, GP(TSS_B));
    put(TYPE_TSS_BUSY, 0x67);
    old_task("busy TSS", jump_to_b, false, GP(TSS_B));
    put(TYPE_TSS & ~PRESENT, 0x67);
    old_task("TSS not present", jump_to_b, false, NP(TSS_B));
    put(TYPE_TSS, 0x66);
    old_task("TSS too short", jump_to_b, false, TS(TSS_B));
    put(TYPE_TSS16, 0x2a);
    old_task("16-bit TSS too short", jump_to_b, false, TS(TSS_B));
    put(TYPE_LDT, 0x67);
    old_task("LDT descriptor", jump_to_b, false, GP(TSS_B));
    put(TYPE_TSS, 0x67);
    old_task("TSS in the LDT", jump_ldt, false, GP(TSS_B | 4));

    set_gdt(GATE, gate(0, TSS_B, TYPE_TASK_GATE | DPL(2), 0));
    old_task("gate of DPL 2 at CPL 3", jump_gate, true, GP(GATE));
    set_gdt(GATE, gate(0, TSS_B, TYPE_TASK_GATE & ~PRESENT, 0));
    old_task("gate not present", jump_gate, false, NP(GATE));
    set_gdt(GATE, gate(0, SEL_DATA, TYPE_TASK_GATE, 0));
    old_task("gate to a data segment", jump_gate, false, GP(SEL_DATA));
    set_gdt(GATE, gate(0, 0, TYPE_TASK_GATE, 0));
    old_task("gate to null", jump_gate, false, GP(0));

    tss.link = TSS_B;
    put(TYPE_TSS, 0x67);
    old_task("IRET to a TSS that is not busy", nested_iret, false, TS(TSS_B));
    tss.link = SEL_DATA;
    old_task("IRET to a data segment", nested_iret, false, TS(SEL_DATA));
    tss.link = TSS_B | 4;
    old_task("IRET to the LDT", nested_iret, false, TS(TSS_B | 4));
}

static void new_task(const char *name, volatile uint32_t *field, unsigned selector, unsigned type,
                     unsigned want, const char *deviation)
{
    put(TYPE_TSS, sizeof(b) - 1);
    set_gdt(OTHER, segment(0, 0xfffff, type, SEG_G | SEG_D));
    task_context(&b, in_b);
    *field = selector;
    Context c = kernel_context(jump_to_b);
    catch_by_task(want >> 16);
    run(&c); /* the catcher's task saves what it interrupted in B */
    catch_by_gate(want >> 16);
    qemu_deviates(deviation);
    check_context(name, &c, want);
    if (!deviation)
        qemu_deviates("the fault is reported at the old task's instruction");
    check_eq("  EIP of B", b.eip, (Word)in_b);
}

static void found_in_new(void)
{
    new_task("CS null", &b.cs, 0, 0, TS(0), NULL);
    new_task("CS data", &b.cs, OTHER, TYPE_DATA_RW, TS(OTHER), NULL);
    new_task("CS, DPL 3 but RPL 0", &b.cs, OTHER, TYPE_CODE | DPL(3), TS(OTHER), NULL);
    new_task("CS not present", &b.cs, OTHER, TYPE_CODE & ~PRESENT, NP(OTHER), NULL);
    new_task("SS null", &b.ss, 0, 0, TS(0), NULL);
    new_task("SS code", &b.ss, OTHER, TYPE_CODE, TS(OTHER), NULL);
    new_task("SS, DPL 3 at CPL 0", &b.ss, OTHER, TYPE_DATA_RW | DPL(3), TS(OTHER), NULL);
    new_task("FS execute-only", &b.fs, OTHER, TYPE_CODE_XO, TS(OTHER), NULL);
    new_task("FS, RPL 3 for DPL 0", &b.fs, OTHER | 3, TYPE_DATA_RW, TS(OTHER), NULL);
    new_task("FS not present", &b.fs, OTHER, TYPE_DATA_RW & ~PRESENT, NP(OTHER), NULL);
    new_task("LDT is a data segment", &b.ldt, OTHER, TYPE_DATA_RW, TS(OTHER), NULL);
    new_task("LDT not present", &b.ldt, OTHER, TYPE_LDT & ~PRESENT, TS(OTHER), NULL);
    new_task("SS not present", &b.ss, OTHER, TYPE_DATA_RW & ~PRESENT, SS(OTHER),
             "a stack segment that is not present raises #NP");
}

void guest_test(void)
{
    found_in_old();
    found_in_new();
}
