/*
 * R12 to R15 one beside the other: each is read several times, while another is computed from one of them. A translator that
 * has no host registers for all of them may keep some of their values somewhere for a while; what is written must not go
 * where a value stays that is read again.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

/* All of them are read, d is made from c by the instruction, and all are read again: c last, so that it has waited longest. */
#define READ_COMPUTE_READ(name, insn, suffix, wide, a, b, c, d)                                                          \
    CODE64(name, "add %r" #a ", %rax\n add %r" #b ", %rcx\n add %r" #c ", %rdx\n" insn " %r" #c suffix ", %r" #d wide "\n"   \
                 "add %r" #a ", %rsi\n add %r" #b ", %rdi\n add %r" #c ", %rbx\n add %r" #d ", %rbp")

/* The registers in eight orders. */
#define ORDERS(name, insn, suffix, wide)                                                                                 \
    READ_COMPUTE_READ(name##0, insn, suffix, wide, 12, 13, 14, 15);                                                      \
    READ_COMPUTE_READ(name##1, insn, suffix, wide, 13, 14, 15, 12);                                                      \
    READ_COMPUTE_READ(name##2, insn, suffix, wide, 14, 15, 12, 13);                                                      \
    READ_COMPUTE_READ(name##3, insn, suffix, wide, 15, 12, 13, 14);                                                      \
    READ_COMPUTE_READ(name##4, insn, suffix, wide, 15, 14, 13, 12);                                                      \
    READ_COMPUTE_READ(name##5, insn, suffix, wide, 14, 13, 12, 15);                                                      \
    READ_COMPUTE_READ(name##6, insn, suffix, wide, 13, 12, 15, 14);                                                      \
    READ_COMPUTE_READ(name##7, insn, suffix, wide, 12, 15, 14, 13);                                                      \
    static const char *const name[] = {name##0, name##1, name##2, name##3, name##4, name##5, name##6, name##7}

ORDERS(zero_byte, "movzb", "b", "d");
ORDERS(zero_word, "movzw", "w", "d");
ORDERS(sign_byte, "movsb", "b", "");
ORDERS(sign_long, "movsl", "d", "");
ORDERS(copy, "mov", "", "");
ORDERS(add, "add", "", "");
ORDERS(multiply, "imul", "", "");

static const unsigned char orders[8][4] = {{0, 1, 2, 3}, {1, 2, 3, 0}, {2, 3, 0, 1}, {3, 0, 1, 2},
                                           {3, 2, 1, 0}, {2, 1, 0, 3}, {1, 0, 3, 2}, {0, 3, 2, 1}};

static const Word values[4] = {0x1122334455667788ul, 0x99aabbccddeeff00ul, 0x0f1e2d3c4b5a6978ul, 0x8796a5b4c3d2e1f0ul};

static Word by_zero_byte(Word c, Word d)
{
    return (uint8_t)c;
}

static Word by_zero_word(Word c, Word d)
{
    return (uint16_t)c;
}

static Word by_sign_byte(Word c, Word d)
{
    return (Word)(int8_t)c;
}

static Word by_sign_long(Word c, Word d)
{
    return (Word)(int32_t)c;
}

static Word by_copy(Word c, Word d)
{
    return c;
}

static Word by_add(Word c, Word d)
{
    return d + c;
}

static Word by_multiply(Word c, Word d)
{
    return d * c;
}

static void all_orders(const char *name, const char *const *code, Word (*compute)(Word c, Word d))
{
    unsigned wrong = 0;

    for (unsigned i = 0; i < 8; i++) {
        const unsigned char *order = orders[i];
        Context c = kernel_context(code[i]);
        c.ax = 1;
        c.cx = 2;
        c.dx = 3;
        c.si = 4;
        c.di = 5;
        c.bx = 6;
        c.bp = 7;
        c.r12 = values[0];
        c.r13 = values[1];
        c.r14 = values[2];
        c.r15 = values[3];
        run(&c);
        Word now[4] = {c.r12, c.r13, c.r14, c.r15};
        Word va = values[order[0]], vb = values[order[1]], vc = values[order[2]], vd = compute(vc, values[order[3]]);
        wrong += c.vector != 0x30 || c.ax != va + 1 || c.cx != vb + 2 || c.dx != vc + 3 || c.si != va + 4 || c.di != vb + 5 ||
                 c.bx != vc + 6 || c.bp != vd + 7 || now[order[0]] != va || now[order[1]] != vb || now[order[2]] != vc ||
                 now[order[3]] != vd;
    }
    check_eq(name, wrong, 0);
}

void guest_test(void)
{
    all_orders("MOVZX of a byte", zero_byte, by_zero_byte);
    all_orders("MOVZX of a word", zero_word, by_zero_word);
    all_orders("MOVSX of a byte", sign_byte, by_sign_byte);
    all_orders("MOVSXD", sign_long, by_sign_long);
    all_orders("MOV", copy, by_copy);
    all_orders("ADD", add, by_add);
    all_orders("IMUL", multiply, by_multiply);
}
