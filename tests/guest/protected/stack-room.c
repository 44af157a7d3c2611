/*
 * A stack must have room for what a gate pushes (SDM Vol. 2, CALL and INT), and the TSS must hold
 * the inner stack's pointer; nothing is pushed and the level does not change when it is not so.
 *   inner stack too small          #SS(SS0), with EXT when an exception is delivered
 *   same level, too small          #SS(0), #SS(EXT)
 *   TSS limit below SS0            #TS(tss), likewise
 *   inner EIP beyond CS's limit    #GP(0), likewise
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { STACK = SEL_FREE, GATE = SEL_FREE + 8, CODE = SEL_FREE + 16, EXT = 1 };

CODE32(soft_int, "int $0x55");
CODE32(undefined, "ud2");
CODE32(call, "lcall $0x6b, $0");
CODE32(target, "");
static uint8_t stack[256] __attribute__((aligned(16)));

#define NO_EIP_CHECK "a gate's offset is not checked"
#define NO_LIMITS "data accesses do not check the segment's limit"

static void expect(const char *name, const char *code, unsigned want, const char *deviation)
{
    catch_by_task(10);
    catch_by_task(12);
    catch_by_task(13);
    Context c = user_context(code);
    run(&c);
    catch_by_gate(10);
    catch_by_gate(12);
    catch_by_gate(13);
    qemu_deviates(deviation);
    check_context(name, &c, want);
    if (!deviation)
        check_eq("  CS", c.cs, SEL_UCODE);
}

static void inner_stack(unsigned esp0)
{
    tss.ss0 = STACK;
    tss.esp0 = esp0;
}

/* The catcher puts the normal limit back. */
static void tss_limit(unsigned limit)
{
    set_gdt(SEL_TSS, segment((Word)&tss, limit, TYPE_TSS, 0));
    asm volatile("ltr %w0" : : "r"(SEL_TSS));
}

void guest_test(void)
{
    Word ss0 = tss.ss0, esp0 = tss.esp0;
    set_idt(0x55, (Word)target, SEL_CODE, TYPE_INT | DPL(3));
    set_gdt(GATE, gate((Word)target, SEL_CODE, TYPE_CALL | DPL(3), 0));
    set_gdt(STACK, segment((Word)stack, sizeof(stack) - 1, TYPE_DATA_RW, SEG_D));

    inner_stack(19);
    expect("INT n, room for 19 bytes", soft_int, SS(STACK), NO_LIMITS);
    inner_stack(15);
    expect("call gate, room for 15 bytes", call, SS(STACK), NO_LIMITS);
    tss.ss0 = ss0;
    tss.esp0 = esp0;

    /* #UD's own frame does not fit: its gate's stack is what is too small. */
    inner_stack(16);
    expect("#UD, room for 16 bytes", undefined, SS(STACK + EXT), NO_LIMITS);
    tss.ss0 = ss0;
    tss.esp0 = esp0;

    tss_limit(7);
    expect("INT n, the TSS ends before ESP0", soft_int, TS(SEL_TSS), NULL);
    tss_limit(7);
    expect("call gate, the TSS ends before ESP0", call, TS(SEL_TSS), NULL);
    tss_limit(7);
    expect("#UD, the TSS ends before ESP0", undefined, TS(SEL_TSS + EXT),
           "EXT is set for external interrupts only");
    tss_limit(sizeof(tss) - 1);

    set_gdt(CODE, segment(0, 0xfff, TYPE_CODE, SEG_D));
    set_idt(0x55, (Word)target, CODE, TYPE_INT | DPL(3));
    expect("INT n, EIP beyond the limit", soft_int, GP(0), NO_EIP_CHECK);
    set_gdt(GATE, gate((Word)target, CODE, TYPE_CALL | DPL(3), 0));
    expect("call gate, EIP beyond the limit", call, GP(0), NO_EIP_CHECK);
}
