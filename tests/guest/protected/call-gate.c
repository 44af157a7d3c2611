/*
 * Call gates (SDM Vol. 3, 5.8.3 to 5.8.6).
 *   CALL at CPL 3 to DPL 0: stack from TSS.SS0:ESP0; SS, ESP, the parameters (n dwords, or words
 *     for
 *   a 16-bit gate), CS, EIP are pushed; CPL 0. RETF n goes back and drops the parameters.
 *   CALL or JMP to the same level: CS, EIP (or nothing); the gate's offset, not the pointer's.
 *   gate DPL < CPL or RPL              #GP(gate)
 *   gate not present                   #NP(gate)
 *   gate's code selector null          #GP(0)
 *   not code, or DPL > CPL             #GP(code)
 *   JMP to a non-conforming inner code #GP(code)
 *   code not present                   #NP(code)
 *   new SS null or wrong               #TS(ss), not present: #SS(ss)
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { GATE = SEL_FREE, CODE = SEL_FREE + 8, STACK = SEL_FREE + 16 };

/* The pointer's offset, 0x11111111, is void. */
CODE32(call, "pushl $0x33333333\n pushl $0x22222222\n lcall *%cs:pointer\n after_call: int $0x30\n"
             "pointer: .long 0x11111111; .word 0x63\n"
             "pointer0: .long 0x11111111; .word 0x60");
CODE32(call_rpl0, "lcall *%cs:pointer0");
CODE32(jump, "ljmp *%cs:pointer");
CODE32(target, "");
CODE32(target_and_back, "mov %esp, %ebx\n lret $8");
CODE32(return16, "lretw $4");
CODE16(far_call16, "lcall $0x63, $0x1111");
extern char after_call[];

static void put_gate(const void *code, unsigned selector, unsigned type, unsigned params)
{
    set_gdt(GATE, gate((Word)code, selector, type, params));
}

static Context user(const char *code)
{
    Context c = user_context(code);
    run(&c);
    return c;
}

static void inner(void)
{
    put_gate(target, SEL_CODE, TYPE_CALL | DPL(3), 2);
    Context c = user(call);
    check_context("to CPL 0, 2 parameters", &c, DONE);
    check_eq("  CS", c.cs, SEL_CODE);
    check_eq("  SS", c.ss, SEL_DATA);
    const Word *stack = (Word *)c.sp;
    Word top = tss.esp0;
    check_eq("  ESP is six dwords below ESP0", c.sp, top - 24);
    check_eq("  return EIP", stack[0], (Word)after_call);
    check_eq("  return CS", stack[1] & 0xffff, SEL_UCODE);
    check_eq("  parameter", stack[2], 0x22222222);
    check_eq("  parameter", stack[3], 0x33333333);
    check_eq("  outer ESP", stack[4], user_context(0).sp - 8);
    check_eq("  outer SS", stack[5] & 0xffff, SEL_UDATA);

    put_gate(target_and_back, SEL_CODE, TYPE_CALL | DPL(3), 2);
    c = user(call);
    check_context("and back by RETF 8", &c, DONE);
    check_eq("  EIP", c.ip, (Word)after_call + 2);
    check_eq("  CS", c.cs, SEL_UCODE);
    check_eq("  SS", c.ss, SEL_UDATA);
    check_eq("  ESP without parameters", c.sp, user_context(0).sp);
    check_eq("  DS stays", c.ds, SEL_UDATA);
}

/* A 16-bit gate has a 16-bit offset: its code segment begins at the target. */
static Context call16(const char *code)
{
    set_gdt(CODE, segment((Word)code, 0xffff, TYPE_CODE, SEG_D));
    put_gate(0, CODE, TYPE_CALL16 | DPL(3), 2);
    /* The caller is 16-bit code, so that the return address fits. */
    set_gdt(STACK, segment(LINEAR16(0), 0xffff, TYPE_CODE | DPL(3), 0));
    Context c = user_context(far_call16);
    c.cs = STACK | 3;
    c.sp -= 4;
    *(Word *)c.sp = 0x44445555;
    run(&c);
    return c;
}

static void inner16(void)
{
    Word outer_sp = user_context(0).sp - 4;
    Context c = call16(target);
    check_context("16-bit gate", &c, DONE);
    check_eq("  words: SS, SP, two parameters, CS, IP", c.sp, tss.esp0 - 12);
    const uint16_t *stack = (uint16_t *)c.sp;
    check_eq("  IP", stack[0], (Word)far_call16 + 5);
    check_eq("  CS", stack[1], STACK | 3);
    check_eq("  parameter", stack[2], 0x5555);
    check_eq("  parameter", stack[3], 0x4444);
    check_eq("  outer SP", stack[4], outer_sp & 0xffff);
    check_eq("  outer SS", stack[5], SEL_UDATA);
    c = call16(return16);
    check_context("and back by 16-bit RETF 4", &c, DONE);
    check_eq("  CS", c.cs, STACK | 3);
    check_eq("  SP without parameters", c.sp & 0xffff, (outer_sp + 4) & 0xffff);
}

static void same_level(void)
{
    put_gate(target, SEL_CODE, TYPE_CALL, 2);
    Context c = kernel_context(call);
    Word sp = c.sp;
    run(&c);
    check_context("CALL at CPL 0 through RPL 3", &c, GP(GATE));
    set_gdt(GATE, gate((Word)target, SEL_CODE, TYPE_CALL | DPL(3), 2));
    c = kernel_context(call);
    run(&c);
    check_context("CALL at CPL 0", &c, DONE);
    check_eq("  copies no parameters", c.sp, sp - 16);
    c = kernel_context(jump);
    run(&c);
    check_context("JMP at CPL 0", &c, DONE);
    check_eq("  pushes nothing", c.sp, sp);

    set_gdt(CODE, segment(0, 0xfffff, TYPE_CONFORMING, SEG_G | SEG_D));
    put_gate(target, CODE, TYPE_CALL | DPL(3), 2);
    c = user(jump);
    check_context("JMP to conforming code at CPL 3", &c, DONE);
    check_eq("  CS keeps CPL", c.cs, CODE | 3);
    c = user(call);
    check_context("CALL of conforming code at CPL 3", &c, DONE);
    qemu_deviates("a call gate to conforming code takes its DPL as CPL");
    check_eq("  CS keeps CPL", c.cs, CODE | 3);
    qemu_deviates("a call gate to conforming code takes its DPL as CPL");
    check_eq("  SS stays", c.ss, SEL_UDATA);
}

static void expect(const char *name, const char *code, unsigned want)
{
    Context c = user(code);
    check_context(name, &c, want);
    check_eq("  CS", c.cs, SEL_UCODE);
}

static void faults(void)
{
    put_gate(target, SEL_CODE, TYPE_CALL | DPL(2), 0);
    expect("gate DPL 2 at CPL 3", call, GP(GATE));
    expect("gate DPL 2 at CPL 3, RPL 0", call_rpl0, GP(GATE));
    put_gate(target, SEL_CODE, (TYPE_CALL | DPL(3)) & ~PRESENT, 0);
    expect("gate not present", call, NP(GATE));
    put_gate(target, SEL_CODE, (TYPE_CALL | DPL(2)) & ~PRESENT, 0);
    expect("gate DPL 2 and not present", call, GP(GATE));
    put_gate(target, 3, TYPE_CALL | DPL(3), 0);
    expect("null code selector", call, GP(0));
    put_gate(target, SEL_DATA, TYPE_CALL | DPL(3), 0);
    expect("data instead of code", call, GP(SEL_DATA));
    put_gate(target, 0x7fff, TYPE_CALL | DPL(3), 0);
    expect("code beyond the GDT", call, GP(0x7ffc));
    put_gate(target, SEL_CODE, TYPE_CALL | DPL(3), 0);
    expect("JMP to DPL 0", jump, GP(SEL_CODE));
    put_gate(target, CODE, TYPE_CALL | DPL(3), 0);
    set_gdt(CODE, segment(0, 0xfffff, TYPE_CODE & ~PRESENT, SEG_G | SEG_D));
    expect("code not present", call, NP(CODE));
    set_gdt(GATE, gate(0, SEL_CODE, TYPE_INT | DPL(3), 0));
    expect("CALL of an interrupt gate", call, GP(GATE));
}

static void bad_stack(const char *name, unsigned ss0, unsigned type, unsigned want)
{
    set_gdt(STACK, segment(0, 0xfffff, type, SEG_G | SEG_D));
    put_gate(target, SEL_CODE, TYPE_CALL | DPL(3), 2);
    tss.ss0 = ss0;
    catch_by_task(10);
    catch_by_task(12);
    Context c = user(call);
    tss.ss0 = SEL_DATA;
    catch_by_gate(10);
    catch_by_gate(12);
    if (want >> 16 == 12)
        qemu_deviates("a stack that is not present raises #TS");
    check_context(name, &c, want);
    check_eq("  CS", c.cs, SEL_UCODE);
    check_eq("  SS", c.ss, SEL_UDATA);
}

static void bad_stacks(void)
{
    bad_stack("SS0 null", 0, TYPE_DATA_RW, TS(0));
    bad_stack("SS0, RPL 3", STACK | 3, TYPE_DATA_RW, TS(STACK));
    bad_stack("SS0, DPL 3", STACK, TYPE_DATA_RW | DPL(3), TS(STACK));
    bad_stack("SS0 read-only", STACK, TYPE_DATA_RO, TS(STACK));
    bad_stack("SS0 code", STACK, TYPE_CODE, TS(STACK));
    bad_stack("SS0 beyond the GDT", 0x7ff8, TYPE_DATA_RW, TS(0x7ff8));
    bad_stack("SS0 not present", STACK, TYPE_DATA_RW & ~PRESENT, SS(STACK));
}

void guest_test(void)
{
    inner();
    inner16();
    same_level();
    faults();
    bad_stacks();
}
