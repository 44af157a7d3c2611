/*
 * Single step (SDM Vol. 3, 17.3.1.4): with TF set at its beginning, an instruction is followed by
 * #DB with DR6.BS; the handler runs without TF, the frame has it. DR6's other low bits say what
 * else.
 *   POPF that sets TF: the first #DB comes after the next instruction; POPF that clears it: one
 *     more
 *   MOV SS, POP SS: the #DB after them is held back until after the next instruction
 *   REP: one #DB an iteration; INT n: TF is cleared on the way, the first #DB is none of the
 *     handler's
 *   a fault: no #DB for the instruction; CLI, PUSHF (pushes TF) are ordinary
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { STEPS = 16, DR6_BS = 1 << 14, DR6_FIXED = 0xffff0ff0 };

static Word steps[STEPS], dr6[STEPS];
static unsigned count;

static unsigned on_debug(Frame *f)
{
    if (count < STEPS) {
        steps[count] = f->ip;
        dr6[count] = READ_REG("dr6");
    }
    count++;
    WRITE_REG("dr6", DR6_FIXED);
    return 0;
}

/* Runs code with TF; want: offsets of the EIPs that #DB reports, ended by -1. */
static void step(const char *name, const char *code, const int *want)
{
    Context c = kernel_context(code);
    static uint32_t from[4], to[4];
    count = 0;
    c.flags |= FLAG_TF;
    c.cx = 3;
    c.si = (Word)from;
    c.di = (Word)to;
    c.ax = SEL_DATA;
    run(&c);
    unsigned n = 0;
    while (want[n] >= 0)
        n++;
    check_eq(name, count, n);
    for (unsigned i = 0; i < n && i < count; i++) {
        check_eq("  offset", steps[i] - (Word)code, want[i]);
        check_eq("  DR6", dr6[i], DR6_FIXED | DR6_BS);
    }
}

#define OFFSETS(...) ((const int[]){__VA_ARGS__, -1})

CODE32(nops, "nop\n nop\n xorl %ebx, %ebx");
CODE32(jump, "jmp 1f\n nop\n 1: nop");
CODE32(clear_tf, "pushfl\n andl $~0x100, (%esp)\n popfl\n nop\n nop");
CODE32(move_ss, "movl %eax, %ss\n nop\n nop");
CODE32(pop_ss, "pushl %eax\n popl %ss\n nop\n nop");
CODE32(rep, "rep movsb\n nop");
CODE32(soft, "int $0x55\n nop");
CODE32(load_ds, "movl %eax, %ds\n nop");
CODE32(fault, "nop\n ud2");
CODE32(set_tf, "pushfl\n orl $0x100, (%esp)\n popfl\n nop\n nop");
CODE32(handler, "nop\n iretl");

void guest_test(void)
{
    trap_handlers[1] = on_debug;
    WRITE_REG("dr6", DR6_FIXED);
    set_idt(0x55, (Word)handler, SEL_CODE, TYPE_INT);

    /* The INT 0x30 that ends each snippet clears TF. */
    step("NOPs", nops, OFFSETS(1, 2, 4));
    step("JMP", jump, OFFSETS(3, 4));
    step("POPF that clears TF", clear_tf, OFFSETS(1, 8, 9));
    step("MOV SS", move_ss, OFFSETS(3, 4));
    step("POP SS", pop_ss, OFFSETS(1, 3, 4));
    step("MOV DS", load_ds, OFFSETS(2, 3));
    step("REP MOVSB, three times", rep, OFFSETS(0, 0, 2, 3));
    step("INT and IRET", soft, OFFSETS(3));
    step("a fault", fault, OFFSETS(1));

    Context c = kernel_context(set_tf);
    count = 0;
    run(&c);
    check_eq("POPF that sets TF", count, 2);
    check_eq("  the next instruction is done", steps[0] - (Word)set_tf, 10);

    trap_handlers[1] = NULL;
    c = kernel_context(nops);
    c.flags |= FLAG_TF;
    run(&c);
    check_context("the handler", &c, DB);
    check_eq("  finds TF in the frame", c.flags & FLAG_TF, FLAG_TF);
    check_eq("  RF is not pushed", c.flags & FLAG_RF, 0);
    check_eq("  runs without TF", read_flags() & FLAG_TF, 0);
}
