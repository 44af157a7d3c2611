/*
 * Random straight-line code in real mode, virtual-8086 mode, 16-bit protected mode and 32-bit code whose segments are not flat:
 * arithmetic, moves, stack, short jumps, calls, string instructions; 16- and 32-bit operands and addresses, segment prefixes,
 * accesses that run over a segment's end. A checksum over registers, memory and where each piece ended is compared with
 * what the reference executor made of it when the test was written.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
/* not on QEMU: it does not look at the limits of data segments */
#include "guest.h"

enum { CODE = 0x80000, DATA = 0x90000, ENTRY = 0x100, SNIPPETS = 400, INSNS = 24 };
enum { SEL_MY_CODE16 = SEL_FREE, SEL_MY_CODE32 = SEL_FREE + 8, SEL_MY_DATA = SEL_FREE + 16 };

static uint32_t seed, sum, ended;
static uint8_t *p;
static bool code32;

static uint32_t draw(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

static void byte(unsigned b)
{
    *p++ = (uint8_t)b;
}

static void add_to_sum(uint32_t v)
{
    sum = (sum << 5 | sum >> 27) ^ v * 0x9e3779b1;
}

/* Registers that may be written: not SP. */
static unsigned draw_reg(void)
{
    unsigned r = draw(7);
    return r < 4 ? r : r + 1;
}

/* ModRM with a memory operand, its displacement; address32: with 32-bit addressing, where registers stay small. */
static void put_memory(unsigned reg, bool address32)
{
    if (!address32) {
        unsigned mod = draw(3), rm = draw(8);
        byte(mod << 6 | reg << 3 | rm);
        if (mod == 1 || mod == 2 || rm == 6) {
            byte(draw(256));
            if (mod == 2 || (mod == 0 && rm == 6))
                byte(draw(256));
        }
        return;
    }
    uint32_t disp = draw(16) ? draw(0x10000) : 0xffff - draw(4);
    byte(5 | reg << 3);
    byte(disp);
    byte(disp >> 8);
    byte(0);
    byte(0);
}

/* Prefixes; returns whether addresses are 32 bits wide. */
static bool put_prefixes(void)
{
    static const uint8_t segments[] = {0x26, 0x36, 0x3e, 0x64, 0x65};
    bool address32 = code32;

    if (draw(4) == 0)
        byte(segments[draw(5)]);
    if (draw(4) == 0)
        byte(0x66);
    if (draw(5) == 0) {
        byte(0x67);
        address32 = !address32;
    }
    return address32;
}

static void put_modrm(unsigned opcode, unsigned reg, unsigned rm, bool memory)
{
    bool address32 = put_prefixes();
    byte(opcode);
    if (memory)
        put_memory(reg, address32);
    else
        byte(0xc0 | reg << 3 | rm);
}

static void put_insn(void)
{
    bool memory = draw(3) != 0;
    unsigned op = draw(8) << 3, n;

    switch (draw(16)) {
    case 0:
    case 1:
    case 2: /* arithmetic: r, r/m and r/m, r; words */
        put_modrm(op | (memory && draw(2) ? 1 : 3), draw_reg(), draw(8), memory);
        break;
    case 3: /* bytes */
        put_modrm(op | draw(2) << 1, draw(8), draw(8), memory);
        break;
    case 4: /* MOV */
        put_modrm(memory && draw(2) ? 0x89 : 0x8b, draw_reg(), draw(8), memory);
        break;
    case 5:
        put_modrm(0x88 | draw(2) << 1, draw(8), draw(8), memory);
        break;
    case 6: /* XCHG, LEA, TEST */
        n = draw(3);
        put_modrm(n == 0 ? 0x87 : n == 1 ? 0x8d : 0x85, draw_reg(), draw_reg(), memory || n == 1);
        break;
    case 7: /* INC, DEC, MOV AX, imm of a register */
        n = draw_reg();
        byte((draw(2) ? 0x40 : 0x48) | n);
        byte(0xb0 | draw(8));
        byte(draw(256));
        break;
    case 8: /* shifts by one, NOT, NEG */
        n = draw(2);
        put_modrm(n ? 0xd1 : 0xf7, n ? (draw(2) ? 4 + draw(2) : 7) : 2 + draw(2), draw_reg(), memory);
        break;
    case 9: /* MOVZX, MOVSX, IMUL would leave flags undefined */
        byte(0x0f);
        byte(draw(2) ? 0xb6 : 0xbe);
        byte(0xc0 | draw_reg() << 3 | draw(8));
        break;
    case 10: /* PUSH and POP: as many of each */
        if (draw(3) == 0)
            byte(0x66);
        byte(0x50 | draw(8));
        byte(draw(2) ? 0x90 : 0xf8);
        byte(0x58 | draw_reg());
        break;
    case 11: /* PUSH imm, PUSH segment */
        n = draw(3);
        if (n < 2) {
            byte(n ? 0x6a : 0x0e);
            if (n)
                byte(draw(256));
        } else {
            byte(0x16);
        }
        break;
    case 12: /* Jcc over an instruction */
        byte(0x70 | draw(16));
        byte(2);
        byte(0xb0 | draw(4));
        byte(draw(256));
        break;
    case 13: /* CALL behind a jump, RET there */
        byte(0xeb);
        byte(2);
        byte(0x40 | draw_reg());
        byte(0xc3);
        byte(0xe8);
        n = (uint32_t)(code32 ? -7 : -5);
        byte(n);
        byte(n >> 8);
        if (code32) {
            byte(n >> 16);
            byte(n >> 24);
        }
        break;
    case 14: /* strings */
        if (draw(3) == 0)
            byte(0x66);
        byte(draw(2) ? 0xa4 + draw(2) : draw(2) ? 0xaa + draw(2) : 0xac + draw(2));
        break;
    default: /* an offset that stays one: the registers of addresses get small values again */
        byte(0xb8 | (draw(2) ? 3 : 5 + draw(3)));
        byte(draw(256));
        byte(draw(256));
        if (code32) {
            byte(0);
            byte(0);
        }
    }
}

static void put_snippet(void)
{
    p = (uint8_t *)CODE + ENTRY;
    byte(0xfc);
    for (unsigned i = 0; i < INSNS; i++)
        put_insn();
    byte(0xcc);
}

static void fill_data(void)
{
    for (unsigned i = 0; i < 0x10000; i += 4)
        *(volatile uint32_t *)(DATA + i) = i * 0x10203;
}

static void add_context(const Context *c)
{
    add_to_sum(c->vector);
    add_to_sum(c->ax);
    add_to_sum(c->bx);
    add_to_sum(c->cx);
    add_to_sum(c->dx);
    add_to_sum(c->si);
    add_to_sum(c->di);
    add_to_sum(c->bp);
    add_to_sum(c->ip);
}

static void set_registers(Context *c)
{
    c->ax = draw(0x10000) << 8;
    c->bx = draw(0x10000);
    c->cx = draw(0x10000) << 12;
    c->dx = draw(0x10000);
    c->si = draw(0x10000);
    c->di = draw(0x10000);
    c->bp = draw(0x10000);
    c->sp = 0x8000 + draw(2);
    c->ip = ENTRY;
}

typedef void Run(Context *c);

static void in_real_mode(Context *c)
{
    *c = real_context((void *)ENTRY);
    set_registers(c);
    c->cs = CODE >> 4;
    c->ds = c->es = c->ss = c->fs = c->gs = DATA >> 4;
    run_real(c);
}

static void in_v86_mode(Context *c)
{
    *c = v86_context((void *)ENTRY);
    set_registers(c);
    c->cs = CODE >> 4;
    c->ds = c->es = c->ss = c->fs = c->gs = DATA >> 4;
    run(c);
}

static void in_protected_mode(Context *c)
{
    *c = user_context((void *)ENTRY);
    set_registers(c);
    c->cs = (code32 ? SEL_MY_CODE32 : SEL_MY_CODE16) | 3;
    c->ds = c->es = c->ss = c->fs = c->gs = SEL_MY_DATA | 3;
    run(c);
}

/* Everything runs four times: so translated code that is found again is seen, too. */
static void check_mode(const char *name, Run *run_mode, uint32_t want)
{
    seed = 1;
    sum = ended = 0;
    for (unsigned i = 0; i < SNIPPETS; i++) {
        put_snippet();
        fill_data();
        for (unsigned n = 0; n < 4; n++) {
            Context c;
            run_mode(&c);
            add_context(&c);
            ended += c.vector == 3;
        }
        for (unsigned at = 0; at < 0x10000; at += 4)
            add_to_sum(*(volatile uint32_t *)(DATA + at));
    }
    check_eq(name, sum, want);
    check("  most of it comes to its end", ended > SNIPPETS);
}

void guest_test(void)
{
    set_gdt(SEL_MY_CODE16, segment(CODE, 0xffff, TYPE_CODE | DPL(3), 0));
    set_gdt(SEL_MY_CODE32, segment(CODE, 0xfffff, TYPE_CODE | DPL(3), SEG_G | SEG_D));
    set_gdt(SEL_MY_DATA, segment(DATA, 0xefff, TYPE_DATA_RW | DPL(3), 0));
    check_mode("real mode", in_real_mode, 0xac6e6b19);
    check_mode("virtual-8086 mode", in_v86_mode, 0x22bb681c);
    check_mode("16-bit protected mode, a limit of F000h", in_protected_mode, 0xcce8e2fc);
    set_gdt(SEL_MY_DATA, segment(DATA, 0xffff, TYPE_DATA_RW | DPL(3), SEG_D));
    check_mode("16-bit code on a 32-bit stack", in_protected_mode, 0xf90aaa08);
    code32 = true;
    check_mode("32-bit code with bases and limits", in_protected_mode, 0xa7d922e5);
}
