/*
 * Far JMP, CALL and RET that keep the privilege level (SDM Vol. 3, 5.8.1):
 *   null selector                                    #GP(0)
 *   beyond the GDT, data or system segment           #GP(sel)
 *   non-conforming: DPL != CPL or RPL > CPL          #GP(sel)
 *   conforming: DPL > CPL                            #GP(sel), else CPL stays
 *   not present                                      #NP(sel)
 *   offset beyond the new segment's limit            #GP(0)
 * A fault changes nothing: not CS, not ESP. And what is read off CS before, in and behind another segment.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

CODE32(jump, "pushl %ebx\n pushl %eax\n ljmp *(%esp)");
CODE32(call, "pushl %ebx\n pushl %eax\n lcall *(%esp)");
CODE32(far_return, "pushl %ebx\n pushl %eax\n lret");
CODE32(target, "");
CODE32(read_here_and_there, "movl %cs:(%edi), %ebx\n lcall *(%esi)\n movl %cs:(%edi), %ecx");
CODE32(read_there, "movl %cs:(%edi), %edx\n lret");

static void transfer(const char *name, const char *code, bool user, unsigned selector,
                     Word offset, unsigned want)
{
    Context c = user ? user_context(code) : kernel_context(code);
    Word sp = c.sp, cs = c.cs;
    c.bx = selector;
    c.ax = offset;
    run(&c);
    check_context(name, &c, want);
    if (want == DONE) {
        check_eq("  CS", c.cs, (selector & ~3u) | (user ? 3 : 0));
    } else {
        check_eq("  CS", c.cs, cs);
        check_eq("  ESP", c.sp, sp - 8);
    }
}

static void all_three(bool user, unsigned selector, Word offset, unsigned want)
{
    transfer("JMP", jump, user, selector, offset, want);
    transfer("CALL", call, user, selector, offset, want);
    if (!user || selector & 3 || want != DONE)
        transfer("RETF", far_return, user, selector, offset, want);
}

static void descriptor(unsigned type)
{
    set_gdt(SEL_FREE, segment(0, 0xfffff, type, SEG_G | SEG_D));
}

/* What is read off CS: its own base counts, before, in and behind a segment that begins elsewhere. */
static void read_off_cs(void)
{
    enum { BASE = 0x1000 };
    static volatile struct {
        Word offset;
        uint16_t selector;
    } __attribute__((packed)) there;
    volatile uint32_t *m = (uint32_t *)TEST_PA;
    Context c = kernel_context(read_here_and_there);

    set_gdt(SEL_FREE, segment(BASE, 0xfffff, TYPE_CODE, SEG_G | SEG_D));
    there.offset = (Word)read_there - BASE;
    there.selector = SEL_FREE;
    m[0] = 0x11111111;
    m[BASE / 4] = 0x22222222;
    c.si = (Word)&there;
    c.di = TEST_PA;
    run(&c);
    check_context("read off CS", &c, DONE);
    check_eq("  flat", c.bx, 0x11111111);
    check_eq("  in a segment with a base", c.dx, 0x22222222);
    check_eq("  flat again", c.cx, 0x11111111);
}

void guest_test(void)
{
    put_string("# reading the code segment\n");
    read_off_cs();
    Word ip = (Word)target;

    put_string("# null, limit of the table, types\n");
    all_three(false, 0, ip, GP(0));
    all_three(false, 0xfff0, ip, GP(0xfff0));
    all_three(false, SEL_DATA, ip, GP(SEL_DATA));
    descriptor(TYPE_LDT);
    all_three(false, SEL_FREE, ip, GP(SEL_FREE));

    put_string("# non-conforming\n");
    descriptor(TYPE_CODE);
    all_three(false, SEL_FREE, ip, DONE);
    qemu_deviates("far transfers do not set the accessed bit of code");
    check_eq("accessed", gdt[SEL_FREE / 8] >> 40 & 1, 1);
    transfer("JMP, RPL 3 at CPL 0", jump, false, SEL_FREE | 3, ip, GP(SEL_FREE));
    transfer("CALL, RPL 3 at CPL 0", call, false, SEL_FREE | 3, ip, GP(SEL_FREE));
    transfer("JMP to DPL 0 at CPL 3", jump, true, SEL_FREE | 3, ip, GP(SEL_FREE));
    transfer("RETF to DPL 0, RPL 3", far_return, true, SEL_FREE | 3, ip, GP(SEL_FREE));
    transfer("RETF to RPL 0 at CPL 3", far_return, true, SEL_FREE, ip, GP(SEL_FREE));
    descriptor(TYPE_CODE | DPL(3));
    all_three(true, SEL_FREE | 3, ip, DONE);
    transfer("JMP, RPL 0 at CPL 3", jump, true, SEL_FREE, ip, DONE);
    transfer("JMP to DPL 3 at CPL 0", jump, false, SEL_FREE, ip, GP(SEL_FREE));

    put_string("# conforming\n");
    descriptor(TYPE_CONFORMING);
    all_three(false, SEL_FREE, ip, DONE);
    all_three(true, SEL_FREE | 3, ip, DONE);
    descriptor(TYPE_CONFORMING | DPL(3));
    transfer("JMP to DPL 3 at CPL 0", jump, false, SEL_FREE, ip, GP(SEL_FREE));

    put_string("# not present, limit\n");
    descriptor(TYPE_CODE & ~PRESENT);
    all_three(false, SEL_FREE, ip, NP(SEL_FREE));
    set_gdt(SEL_FREE, segment(0, 0xfff, TYPE_CODE, SEG_D));
    transfer("JMP", jump, false, SEL_FREE, ip, GP(0));
    qemu_deviates("the error code of a far CALL beyond the limit is the selector");
    transfer("CALL", call, false, SEL_FREE, ip, GP(0));
    Context c = kernel_context(far_return);
    c.bx = SEL_FREE;
    c.ax = ip;
    run(&c);
    qemu_deviates("RETF does not check the limit");
    check_context("RETF", &c, GP(0));
}
