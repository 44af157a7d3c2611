/*
 * Instructions that kernels use all the time, in straight runs of code as a translator sees them (SDM Vol. 2):
 *   PUSHF and POPF: every arithmetic flag through, DF, NT, ID, IOPL; TF of POPF traps behind the next instruction
 *   a pending interrupt comes behind the instruction after STI, at once behind POPF, and not under CLI
 *   VERW changes ZF alone; POP RSP; selectors of 16, 32 and 64 bits; SWAPGS; CR2
 *   BT, BTS, BTR, BTC of bit strings: indices beyond the word, negative ones, both widths
 *   CMPXCHG16B: equal, different, misaligned
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

#include "apic.h"

enum { VECTOR = 0x61, ARITH = 0x8d5, FLAG_NT_BIT = 0x4000, FLAG_ID_BIT = 0x200000, FLAG_TF_BIT = 0x100 };

CODE64(flags_through, "pushq %rax\n popfq\n pushfq\n popq %rbx\n xorl %ecx, %ecx\n pushq %rbx\n popfq\n pushfq\n popq %rcx");
CODE64(trap_flag, "pushq %rax\n popfq\n nop\n trap_flag_behind: nop");
CODE64(sti_late, "xorl %ecx, %ecx\n sti\n incl %ecx\n sti_late_here: incl %ecx\n incl %ecx\n cli");
CODE64(popf_late, "xorl %ecx, %ecx\n pushq %rax\n popfq\n popf_late_here: incl %ecx\n incl %ecx\n cli");
CODE64(closed, "xorl %ecx, %ecx\n sti\n cli\n incl %ecx\n incl %ecx");
CODE64(verw, "verw %ax\n pushfq\n popq %rbx");
CODE64(pop_sp, "pushq %rax\n popq %rsp");
CODE64(selectors, "movq $-1, %rax\n movq %rax, %rbx\n movq %rax, %r12\n movw %cs, %ax\n movl %ss, %ebx\n movw %cs, %r12w\n"
                  "movw %cs, (%rdi)");
CODE64(swap, "movl $0xc0000101, %ecx\n rdmsr\n movl %eax, %esi\n swapgs\n rdmsr\n movl %eax, %edi\n swapgs\n rdmsr\n movl %eax, %ebp");
CODE64(cr2, "movq %rax, %cr2\n movq %cr2, %rbx");
CODE64(bits_64, "bts %rax, (%rdi)\n setc %cl\n bt %rax, (%rdi)\n setc %ch\n btc %rdx, (%rdi)\n lock btr %rax, (%rdi)\n setc %bl");
CODE64(bits_32, "bts %eax, (%rdi)\n setc %cl\n bt %eax, (%rdi)\n setc %ch\n btc %edx, (%rdi)\n lock btr %eax, (%rdi)\n setc %bl");
CODE64(pair, "lock cmpxchg16b (%rdi)\n pushfq\n popq %rsi");

CODE64(behind_shift, "call 1f\n pushfq\n popq %rsi\n call 2f\n pushfq\n popq %rbx\n jmp 3f\n"
                     "1: shrl $31, %r12d\n cmpxchg8b (%rdi)\n movl (%rdi), %ecx\n ret\n"
                     "2: shrl $31, %r12d\n verw %bp\n movl (%rdi), %ecx\n ret\n"
                     "3: nop");

static Word seen_ip;

static unsigned on_interrupt(Frame *f)
{
    seen_ip = f->ip;
    apic_write(APIC_EOI, 0);
    return 0;
}

static Context go(const char *code, Word ax, Word di)
{
    Context c = kernel_context(code);

    c.ax = ax;
    c.di = di;
    run(&c);
    return c;
}

static void flags(void)
{
    static const Word others[] = {0, 0x400, FLAG_ID_BIT, 0x3000};
    unsigned wrong = 0;

    for (unsigned i = 0; i < 64; i++) {
        Word want = 2 | (i & 1) | (i & 2) << 1 | (i & 4) << 2 | (i & 8) << 3 | (i & 16) << 3 | (i & 32) << 6;
        for (unsigned k = 0; k < 4; k++) {
            Context c = go(flags_through, want | others[k], 0);
            wrong += c.vector != 0x30 || c.bx != (want | others[k]) || c.cx != c.bx;
        }
    }
    check_eq("PUSHF and POPF", wrong, 0);
    Context c = go(flags_through, FLAG_NT_BIT | 2, 0);
    check_eq("  NT", c.bx, FLAG_NT_BIT | 2);
}

static void trap_flag_set(void)
{
    extern char trap_flag_behind[];
    Context c = go(trap_flag, FLAG_TF_BIT | 2, 0);

    check_context("POPF that sets TF", &c, DB);
    check_eq("  traps behind the next instruction", c.ip, (Word)trap_flag_behind);
}

static Context with_pending(const char *code, Word ax)
{
    seen_ip = 0;
    apic_self(VECTOR);
    return go(code, ax, 0);
}

static void interrupts(void)
{
    extern char sti_late_here[], popf_late_here[];

    trap_handlers[VECTOR] = on_interrupt;
    apic_enable();
    for (unsigned i = 0; i < 4; i++) { /* the first times translate, the later ones run */
        Context c = with_pending(sti_late, 0);
        check_context("STI with an interrupt pending", &c, DONE);
        check_eq("  it comes behind the next instruction", seen_ip, (Word)sti_late_here);
        check_eq("  nothing is left out", c.cx, 3);
        c = with_pending(popf_late, 0x202);
        check_context("POPF with an interrupt pending", &c, DONE);
        check_eq("  it comes at once", seen_ip, (Word)popf_late_here);
        check_eq("  nothing is left out", c.cx, 2);
        c = with_pending(closed, 0);
        check_eq("STI, CLI: none", seen_ip, 0);
        c = go(sti_late, 0, 0);
        check_eq("  but later", seen_ip, (Word)sti_late_here);
    }
}

static void registers(void)
{
    Context c = kernel_context(verw);
    c.ax = SEL_DATA;
    c.flags |= ARITH & ~0x40u;
    run(&c);
    check_eq("VERW of a writable segment: ZF", c.bx & ARITH, ARITH);
    c = kernel_context(verw);
    c.ax = SEL_CODE;
    c.flags |= ARITH;
    run(&c);
    check_eq("  of code: not, and the other flags stay", c.bx & ARITH, ARITH & ~0x40u);
    c = go(verw, 0, 0);
    check_eq("  of the null selector", c.bx & 0x40, 0);
    c = go(verw, 0xfff8, 0);
    check_eq("  beyond the table", c.bx & 0x40, 0);
    *(volatile uint64_t *)TEST_PA = 0x123456789;
    c = kernel_context(behind_shift); /* each has a ZF of its own, which only the caller looks at */
    c.di = TEST_PA;
    c.bp = SEL_CODE;
    run(&c);
    check_eq("CMPXCHG8B behind a shift: ZF", c.si & 0x40, 0);
    check_eq("VERW behind a shift: ZF", c.bx & 0x40, 0);
    c = kernel_context(pop_sp);
    c.ax = c.sp - 256;
    run(&c);
    check_eq("POP RSP", c.sp, c.ax);
    c = go(selectors, 0, TEST_PA);
    check_eq("MOV of a selector, 16 bits", c.ax, 0xffffffffffff0000 | SEL_CODE);
    check_eq("  32 bits", c.bx, SEL_DATA);
    check_eq("  16 bits, R12", c.r12, 0xffffffffffff0000 | SEL_CODE);
    check_eq("  memory", *(volatile uint16_t *)TEST_PA, SEL_CODE);
    wrmsr(0xc0000102, 0x12345000);
    c = go(swap, 0, 0);
    check_eq("SWAPGS", c.di, 0x12345000);
    check_eq("  and back", c.bp, c.si);
    c = go(cr2, 0x123456789abc, 0);
    check_eq("CR2", c.bx, 0x123456789abc);
}

static void bit_strings(const char *code, bool wide)
{
    static const int64_t indices[] = {0, 31, 32, 63, 64, 1000, -1, -32, -33, -64, -65, -1000};
    volatile uint8_t *m = (uint8_t *)TEST_PA;
    unsigned wrong = 0;

    for (unsigned i = 0; i < sizeof(indices) / sizeof(indices[0]); i++) {
        for (unsigned k = 0; k < 512; k++) {
            m[k] = 0;
        }
        int64_t n = indices[i], toggled = n + 3;
        Context c = kernel_context(code);
        c.ax = wide ? (Word)n : (uint32_t)n | 0x5555555500000000;
        c.dx = wide ? (Word)toggled : (uint32_t)toggled | 0x5555555500000000;
        c.di = TEST_PA + 256;
        run(&c);
        wrong += c.vector != 0x30 || (c.cx & 0xffff) != 0x100 || (c.bx & 0xff) != 1;
        for (unsigned k = 0; k < 512; k++) {
            wrong += m[k] != (k == 256 + (unsigned)(toggled >> 3) ? 1u << (toggled & 7) : 0);
        }
    }
    check_eq(wide ? "BT and kin in memory, 64 bits" : "BT and kin in memory, 32 bits", wrong, 0);
}

static void pairs(void)
{
    volatile uint64_t *m = (uint64_t *)TEST_PA;
    Context c = kernel_context(pair);

    m[0] = 1;
    m[1] = 2;
    c.ax = 1;
    c.dx = 2;
    c.bx = 3;
    c.cx = 4;
    c.di = TEST_PA;
    run(&c);
    check("CMPXCHG16B: equal", c.vector == 0x30 && m[0] == 3 && m[1] == 4 && c.si & 0x40);
    c.ip = (Word)pair;
    run(&c);
    check("  different", c.vector == 0x30 && m[0] == 3 && m[1] == 4 && c.ax == 3 && c.dx == 4 && !(c.si & 0x40));
    c.ip = (Word)pair;
    c.di = TEST_PA + 8;
    run(&c);
    check_context("  misaligned", &c, GP(0));
}

void guest_test(void)
{
    paging_on(PAGING_4LEVEL);
    flags();
    interrupts();
    registers();
    bit_strings(bits_64, true);
    bit_strings(bits_32, false);
    pairs();
    trap_flag_set();
}
