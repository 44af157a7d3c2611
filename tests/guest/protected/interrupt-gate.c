/*
 * Interrupt and trap gates (SDM Vol. 3, 6.11 to 6.13).
 *   interrupt gate clears IF, trap gate does not; both clear TF, NT, VM, RF
 *   INT n at CPL > gate's DPL                #GP(n * 8 + 2); exceptions and INT1 do not look at it
 *   vector beyond IDTR.limit, no gate there  #GP(n * 8 + 2)
 *   gate not present                         #NP(n * 8 + 2)
 *   gate's selector null                     #GP(0), EXT is set when an exception was delivered
 *   not code, or DPL > CPL                   #GP(sel), code not present #NP(sel), likewise
 *   inner stack null or wrong                #TS(ss), not present #SS(ss), likewise
 *   16-bit gate pushes words
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { VECTOR = 0x55, CODE = SEL_FREE, STACK = SEL_FREE + 8, IDT_BIT = 2, EXT = 1 };

#define NO_EXT "EXT is set for external interrupts only"

CODE32(soft_int, "int $0x55");
CODE32(undefined, "ud2");
CODE32(icebp, ".byte 0xf1");
CODE32(target, "");
CODE32(target16, "");

static void put(unsigned selector, unsigned type)
{
    set_idt(VECTOR, (Word)target, selector, type);
}

static Context user(const char *code, Word flags)
{
    Context c = user_context(code);
    c.flags |= flags;
    run(&c);
    return c;
}

static void delivery(void)
{
    Context c = user_context(soft_int);
    c.flags |= FLAG_IF | FLAG_NT | FLAG_DF | FLAG_AC;
    Word flags = c.flags;
    put(SEL_CODE, TYPE_INT | DPL(3));
    run(&c);
    check_context("interrupt gate", &c, DONE);
    check_eq("  IF, NT cleared", c.flags & (FLAG_IF | FLAG_NT | FLAG_DF), FLAG_DF);
    const Word *stack = (Word *)c.sp;
    check_eq("  five dwords", c.sp, tss.esp0 - 20);
    check_eq("  EIP behind INT", stack[0], (Word)soft_int + 2);
    check_eq("  CS", stack[1] & 0xffff, SEL_UCODE);
    check_eq("  EFLAGS", stack[2], flags);
    check_eq("  ESP", stack[3], user_context(0).sp);
    check_eq("  SS", stack[4] & 0xffff, SEL_UDATA);

    put(SEL_CODE, TYPE_TRAP | DPL(3));
    c = user(soft_int, FLAG_IF | FLAG_NT);
    check_context("trap gate", &c, DONE);
    check_eq("  NT cleared, IF not", c.flags & (FLAG_IF | FLAG_NT), FLAG_IF);

    set_gdt(CODE, segment((Word)target16, 0xffff, TYPE_CODE, SEG_D));
    set_idt(VECTOR, 0, CODE, TYPE_INT16 | DPL(3));
    c = user(soft_int, FLAG_IF);
    check_context("16-bit gate", &c, DONE);
    check_eq("  five words", c.sp, tss.esp0 - 10);
    check_eq("  IP", *(uint16_t *)c.sp, ((Word)soft_int + 2) & 0xffff);
    check_eq("  SP", *(uint16_t *)(c.sp + 6), user_context(0).sp & 0xffff);

    set_gdt(CODE, segment(0, 0xfffff, TYPE_CONFORMING, SEG_G | SEG_D));
    put(CODE, TYPE_INT | DPL(3));
    c = user(soft_int, 0);
    check_context("conforming handler", &c, DONE);
    check_eq("  stays at CPL 3", c.cs, CODE | 3);
    check_eq("  and on its stack", c.sp, user_context(0).sp - 12);
}

static void privilege(void)
{
    put(SEL_CODE, TYPE_INT | DPL(2));
    Context c = user(soft_int, 0);
    check_context("INT n through DPL 2 at CPL 3", &c, GP(VECTOR * 8 + IDT_BIT));
    check_eq("  EIP at INT", c.ip, (Word)soft_int);
    c = user(undefined, 0);
    check_context("an exception through DPL 0", &c, UD);
    c = user(icebp, 0);
    qemu_deviates("INT1 is no instruction");
    check_context("INT1 through DPL 0", &c, DB);
    qemu_deviates("INT1 is no instruction");
    check_eq("  EIP behind it", c.ip, (Word)icebp + 1);

    set_gdt(CODE, segment(0, 0xfffff, TYPE_CODE | DPL(3), SEG_G | SEG_D));
    put(CODE, TYPE_INT | DPL(3));
    c = kernel_context(soft_int);
    run(&c);
    check_context("handler less privileged", &c, GP(CODE));
}

static void broken_gates(void)
{
    put(SEL_CODE, (TYPE_INT | DPL(3)) & ~PRESENT);
    Context c = user(soft_int, 0);
    check_context("gate not present", &c, NP(VECTOR * 8 + IDT_BIT));
    put(SEL_CODE, (TYPE_INT | DPL(0)) & ~PRESENT);
    c = user(soft_int, 0);
    check_context("gate not present, DPL 0", &c, GP(VECTOR * 8 + IDT_BIT));
    put(SEL_CODE, TYPE_CALL | DPL(3));
    c = user(soft_int, 0);
    check_context("call gate in the IDT", &c, GP(VECTOR * 8 + IDT_BIT));
    put_idt(VECTOR, 0);
    c = user(soft_int, 0);
    check_context("no gate", &c, GP(VECTOR * 8 + IDT_BIT));
    put(SEL_CODE, TYPE_INT | DPL(3));
    load_idt(VECTOR * 8 + 6);
    c = user(soft_int, 0);
    check_context("beyond IDTR.limit", &c, GP(VECTOR * 8 + IDT_BIT));
    load_idt(256 * 8 - 1);
    c = user(soft_int, 0);
    check_context("within it", &c, DONE);

    put(0, TYPE_INT | DPL(3));
    c = user(soft_int, 0);
    check_context("null handler", &c, GP(0));
    put(SEL_DATA, TYPE_INT | DPL(3));
    c = user(soft_int, 0);
    check_context("data handler", &c, GP(SEL_DATA));
    set_gdt(CODE, segment(0, 0xfffff, TYPE_CODE & ~PRESENT, SEG_G | SEG_D));
    put(CODE, TYPE_INT | DPL(3));
    c = user(soft_int, 0);
    check_context("handler not present", &c, NP(CODE));
}

/* The same while an exception is delivered: EXT. */
static void external(void)
{
    uint64_t good = get_idt(6);
    put_idt(6, gate((Word)target, SEL_CODE, TYPE_INT & ~PRESENT, 0));
    Context c = user(undefined, 0);
    qemu_deviates(NO_EXT);
    check_context("#UD, gate not present", &c, NP(6 * 8 + IDT_BIT + EXT));
    put_idt(6, 0);
    c = user(undefined, 0);
    qemu_deviates(NO_EXT);
    check_context("#UD, no gate", &c, GP(6 * 8 + IDT_BIT + EXT));
    put_idt(6, gate((Word)target, SEL_DATA, TYPE_INT, 0));
    c = user(undefined, 0);
    qemu_deviates(NO_EXT);
    check_context("#UD, data handler", &c, GP(SEL_DATA + EXT));
    put_idt(6, gate((Word)target, 0, TYPE_INT, 0));
    c = user(undefined, 0);
    qemu_deviates(NO_EXT);
    check_context("#UD, null handler", &c, GP(EXT));
    put_idt(6, good);
}

static void bad_stack(const char *name, const char *code, unsigned ss0, unsigned type,
                      unsigned want)
{
    set_gdt(STACK, segment(0, 0xfffff, type, SEG_G | SEG_D));
    tss.ss0 = ss0;
    catch_by_task(10);
    catch_by_task(12);
    Context c = user(code, 0);
    catch_by_gate(10);
    catch_by_gate(12);
    tss.ss0 = SEL_DATA;
    if (want >> 16 == 12)
        qemu_deviates("a stack that is not present raises #TS");
    else if (want & EXT)
        qemu_deviates(NO_EXT);
    check_context(name, &c, want);
    check_eq("  EIP", c.ip, (Word)code);
}

void guest_test(void)
{
    delivery();
    privilege();
    broken_gates();
    external();
    put(SEL_CODE, TYPE_INT | DPL(3));
    bad_stack("INT n, SS0 null", soft_int, 0, TYPE_DATA_RW, TS(0));
    bad_stack("INT n, SS0 of DPL 3", soft_int, STACK, TYPE_DATA_RW | DPL(3), TS(STACK));
    bad_stack("INT n, SS0 not present", soft_int, STACK, TYPE_DATA_RW & ~PRESENT, SS(STACK));
    bad_stack("#UD, SS0 null", undefined, 0, TYPE_DATA_RW, TS(EXT));
    bad_stack("#UD, SS0 not present", undefined, STACK, TYPE_DATA_RW & ~PRESENT, SS(STACK + EXT));
}
