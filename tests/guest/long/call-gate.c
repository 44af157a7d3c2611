/*
 * Call gates in long mode (SDM Vol. 3, 5.8.3.1, 5.8.5.1): 16 bytes, to 64-bit code only, no
 * parameters. SS, RSP, CS, RIP are pushed, 8 bytes each; the new SS is null.
 *   gate DPL #GP(gate), not present #NP(gate)
 *   code that is not 64-bit                            #GP(code)
 *   type bits of the upper half not 0                  #GP(gate)
 *   far CALL or JMP to a TSS, task gate, 16-bit gate   #GP(sel)
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { GATE = SEL_FREE };

CODE64(call, "lcall *%cs:pointer\n after_call: int $0x30\n pointer: .long 0x11111111; .word 0x63");
CODE64(jump_tss, "ljmp *%cs:pointer2\n pointer2: .long 0; .word 0x40");
CODE64(target, "");
CODE64(target_and_back, "lretq");
extern char after_call[];

static void put(const char *code, unsigned selector, unsigned type)
{
    set_gdt(GATE, gate((Word)code, selector, type, 0));
    gdt[GATE / 8 + 1] = 0;
}

static void expect(const char *name, unsigned want)
{
    Context c = user_context(call);
    run(&c);
    check_context(name, &c, want);
    check_eq("  RIP", c.ip, (Word)call);
}

void guest_test(void)
{
    put(target, SEL_CODE, TYPE_CALL | DPL(3));
    Context c = user_context(call);
    run(&c);
    check_context("to CPL 0", &c, DONE);
    check_eq("  CS", c.cs, SEL_CODE);
    check_eq("  SS is null", c.ss, 0);
    check_eq("  RSP", c.sp, tss.sp[0] - 32);
    const Word *stack = (Word *)c.sp;
    check_eq("  RIP pushed", stack[0], (Word)after_call);
    check_eq("  CS pushed", stack[1], SEL_UCODE);
    check_eq("  RSP pushed", stack[2], user_context(0).sp);
    check_eq("  SS pushed", stack[3], SEL_UDATA);

    put(target_and_back, SEL_CODE, TYPE_CALL | DPL(3));
    c = user_context(call);
    run(&c);
    check_context("and back by RETFQ", &c, DONE);
    check_eq("  RIP", c.ip, (Word)after_call + 2);
    check_eq("  CS", c.cs, SEL_UCODE);
    check_eq("  SS", c.ss, SEL_UDATA);
    check_eq("  RSP", c.sp, user_context(0).sp);

    put(target, SEL_CODE, TYPE_CALL | DPL(3));
    c = kernel_context(call);
    run(&c);
    check_context("at CPL 0", &c, DONE);
    check_eq("  pushes CS, RIP only", c.sp, kernel_context(0).sp - 16);
    check_eq("  SS stays", c.ss, SEL_DATA);

    put(target, SEL_CODE, TYPE_CALL | DPL(2));
    expect("gate DPL 2 at CPL 3", GP(GATE));
    put(target, SEL_CODE, (TYPE_CALL | DPL(3)) & ~PRESENT);
    expect("gate not present", NP(GATE));
    put(target, SEL_CODE32, TYPE_CALL | DPL(3));
    expect("to 32-bit code", GP(SEL_CODE32));
    put(target, SEL_CODE, TYPE_CALL16 | DPL(3));
    expect("16-bit gate", GP(GATE));
    put(target, SEL_TSS, TYPE_TASK_GATE | DPL(3));
    expect("task gate", GP(GATE));
    put(target, SEL_CODE, TYPE_CALL | DPL(3));
    gdt[GATE / 8 + 1] = 0x1full << 40;
    expect("type in the upper half", GP(GATE));

    c = kernel_context(jump_tss);
    run(&c);
    check_context("JMP to a TSS", &c, GP(SEL_TSS));
}
