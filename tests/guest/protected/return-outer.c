/*
 * Far RET to an outer level (SDM Vol. 2, RET): SS:ESP come from behind CS and the parameters, ESP
 * gets the parameters' size added, too; data segments that the outer level may not have become
 * null.
 *   RET n pops n bytes from both stacks; 16-bit operand: words
 *   bad SS: #GP(ss), null #GP(0), not present #SS(ss); CS as for IRET
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

CODE32(far_return, "pushl %edx\n pushl %esi\n pushl %ebx\n pushl %eax\n lret");
CODE32(far_return_8, "pushl %edx\n pushl %esi\n pushl $2\n pushl $1\n"
                     " pushl %ebx\n pushl %eax\n lret $8");
CODE32(target, "");

static Context outer(const char *code, unsigned cs, unsigned ss)
{
    Context c = kernel_context(code);
    c.ax = (Word)target;
    c.bx = cs;
    c.si = 0x9000;
    c.dx = ss;
    c.ds = SEL_UDATA;
    run(&c);
    return c;
}

static void fault(const char *name, unsigned cs, unsigned ss, unsigned want, const char *deviation)
{
    Context c = outer(far_return, cs, ss);
    qemu_deviates(deviation);
    check_context(name, &c, want);
    check_eq("  CS", c.cs, SEL_CODE);
    check_eq("  ESP", c.sp, kernel_context(0).sp - 16);
}

void guest_test(void)
{
    Context c = outer(far_return, SEL_UCODE, SEL_UDATA);
    check_context("RETF to CPL 3", &c, DONE);
    check_eq("  CS", c.cs, SEL_UCODE);
    check_eq("  SS", c.ss, SEL_UDATA);
    check_eq("  ESP", c.sp, 0x9000);
    check_eq("  DS of DPL 3 stays", c.ds, SEL_UDATA);
    check_eq("  ES of DPL 0 becomes null", c.es, 0);
    c = outer(far_return_8, SEL_UCODE, SEL_UDATA);
    check_context("RETF 8 to CPL 3", &c, DONE);
    check_eq("  ESP", c.sp, 0x9008);

    fault("SS null", SEL_UCODE, 0, GP(0), NULL);
    fault("SS of DPL 0", SEL_UCODE, SEL_DATA | 3, GP(SEL_DATA), NULL);
    fault("SS with RPL 0", SEL_UCODE, SEL_UDATA & ~3, GP(SEL_UDATA & ~3), NULL);
    fault("CS of DPL 0", SEL_CODE | 3, SEL_UDATA, GP(SEL_CODE), NULL);
    fault("CS data", SEL_UDATA, SEL_UDATA, GP(SEL_UDATA & ~3), NULL);
    set_gdt(SEL_FREE, segment(0, 0xfffff, (TYPE_DATA_RW | DPL(3)) & ~PRESENT, SEG_G | SEG_D));
    fault("SS not present", SEL_UCODE, SEL_FREE | 3, SS(SEL_FREE),
          "a stack segment that is not present raises #NP");
    set_gdt(SEL_FREE, segment(0, 0xfffff, (TYPE_CODE | DPL(3)) & ~PRESENT, SEG_G | SEG_D));
    fault("CS not present", SEL_FREE | 3, SEL_UDATA, NP(SEL_FREE), NULL);
}
