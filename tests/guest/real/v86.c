/*
 * Virtual-8086 mode without VME (SDM Vol. 3, 20.2).
 *   IOPL < 3: CLI STI PUSHF POPF INT n IRET are #GP(0); IN, OUT ask the bitmap alone
 *   IOPL = 3: they run; POPF and IRET keep IOPL; INT n goes through the IDT to CPL 0
 *   a trap pushes GS FS DS ES SS ESP EFLAGS CS EIP, clears VM and nulls the data segments
 *   HLT, LGDT, MOV CRn..: #GP(0); LAR ARPL SLDT LLDT STR..: #UD; INT3, INTO work at any IOPL
 *   IRETD at CPL 0 to EFLAGS.VM enters; a handler that is conforming or of DPL > 0: #GP(cs)
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

CODE16(nothing, "");
CODE16(clear_if, "cli");
CODE16(set_if, "sti");
CODE16(push_flags, "pushfw\n popw %ax");
CODE16(pop_flags, "pushw $0x0202\n popfw");
CODE16(int_55, "int $0x55");
CODE16(breakpoint, "int3");
CODE16(halt, "hlt");
CODE16(load_gdt16, "lgdt 0");
CODE16(read_cr0, "movl %cr0, %eax");
CODE16(read_lar, "lar %ax, %bx");
CODE16(read_ldt, "sldt %ax");
CODE16(in_port, "inb $0x80, %al");
CODE16(undefined, "ud2");
CODE16(iret_16, "pushw $0x0202\n pushw %cs\n pushw $iret_16_to\n iretw\n iret_16_to:");
CODE16(far_data, "movw $0x800, %ax\n movw %ax, %ds\n movw 0x10, %bx");
CODE16(limit, "movw (%bx), %ax");

static Context v86(const char *code, Word flags)
{
    Context c = v86_context(code);
    c.flags |= flags;
    c.ds = 0x1111;
    c.es = 0x2222;
    c.fs = 0x3333;
    c.gs = 0x4444;
    c.bx = 0xffff;
    run(&c);
    return c;
}

static void expect(const char *name, const char *code, Word flags, unsigned want)
{
    Context c = v86(code, flags);
    check_context(name, &c, want);
    check_eq("  VM in the frame", c.flags & FLAG_VM, FLAG_VM);
    if (want != DONE && want != BP)
        check_eq("  IP", c.ip, (Word)code);
}

static void state(void)
{
    Context c = v86(nothing, FLAG_IOPL3 | FLAG_IF);
    check_context("a trap from V86 mode", &c, DONE);
    check_eq("  CS", c.cs, SEG16);
    check_eq("  SS", c.ss, 0x800);
    check_eq("  SP", c.sp, 0x7ff0);
    check("  DS, ES, FS, GS",
          c.ds == 0x1111 && c.es == 0x2222 && c.fs == 0x3333 && c.gs == 0x4444);
    check_eq("  EFLAGS", c.flags, FLAG_VM | FLAG_IOPL3 | FLAG_IF | 2);
    *(volatile uint16_t *)0x8010 = 0x4321;
    c = v86(far_data, FLAG_IOPL3);
    check_context("a segment is selector * 16", &c, DONE);
    check_eq("  BX", c.bx & 0xffff, 0x4321);
}

void guest_test(void)
{
    state();
    put_string("# IOPL 3\n");
    expect("CLI", clear_if, FLAG_IOPL3, DONE);
    expect("STI", set_if, FLAG_IOPL3, DONE);
    expect("IRET", iret_16, FLAG_IOPL3, DONE);
    Context c = v86(push_flags, FLAG_IOPL3 | FLAG_IF);
    check_context("PUSHF", &c, DONE);
    check_eq("  FLAGS", c.ax & 0xffff, FLAG_IOPL3 | FLAG_IF | 2);
    c = v86(pop_flags, FLAG_IOPL3);
    check_context("POPF", &c, DONE);
    check_eq("  IF popped, IOPL kept", c.flags & (FLAG_IOPL3 | FLAG_IF), FLAG_IOPL3 | FLAG_IF);
    set_idt(0x55, (Word)0, 0, 0);
    expect("INT n without a gate", int_55, FLAG_IOPL3, GP(0x55 * 8 + 2));

    put_string("# IOPL 0\n");
    expect("CLI", clear_if, 0, GP(0));
    expect("STI", set_if, 0, GP(0));
    expect("PUSHF", push_flags, 0, GP(0));
    c = v86(pop_flags, 0);
    check_context("POPF", &c, GP(0));
    check_eq("  IP", c.ip, (Word)pop_flags + 3);
    expect("INT n", int_55, 0, GP(0));
    expect("INT3", breakpoint, 0, BP);
    c = v86(in_port, 0);
    check_context("IN runs, the snippet's INT does not", &c, GP(0));
    check_eq("  IP", c.ip, (Word)in_port + 2);
    tss.bitmap[0x80 / 8] = 1;
    expect("IN, refused by the bitmap", in_port, 0, GP(0));
    expect("IN, refused though IOPL 3", in_port, FLAG_IOPL3, GP(0));
    tss.bitmap[0x80 / 8] = 0;

    put_string("# any IOPL\n");
    expect("HLT", halt, FLAG_IOPL3, GP(0));
    expect("LGDT", load_gdt16, FLAG_IOPL3, GP(0));
    expect("MOV from CR0", read_cr0, FLAG_IOPL3, GP(0));
    expect("LAR", read_lar, FLAG_IOPL3, UD);
    expect("SLDT", read_ldt, FLAG_IOPL3, UD);
    expect("UD2", undefined, FLAG_IOPL3, UD);
    c = v86(limit, FLAG_IOPL3);
    qemu_deviates("data accesses do not check the segment's limit");
    check_context("a word at 0xffff", &c, GP(0));

    put_string("# the handler's segment\n");
    set_gdt(SEL_FREE, segment(0, 0xfffff, TYPE_CONFORMING, SEG_G | SEG_D));
    put_idt(0x55, gate(0, SEL_FREE, TYPE_INT | DPL(3), 0));
    expect("conforming", int_55, FLAG_IOPL3, GP(SEL_FREE));
    put_idt(0x55, gate(0, SEL_UCODE, TYPE_INT | DPL(3), 0));
    expect("of DPL 3", int_55, FLAG_IOPL3, GP(SEL_UCODE & ~3));
}
