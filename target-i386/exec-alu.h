/*
 * Arithmetic done by the host's own instructions, so that results and all six flags, also those
 * that manuals leave undefined, are what this host's CPU makes of them.
 *
 * Two ways to handle flags: FLAGS_OUT only takes them (LAHF and SETO into AX); FLAGS_IN first loads
 * the guest's, for instructions that read or keep some (ADD of 7f to the OF bit in AL sets or
 * clears the host's OF, SAHF the rest). Neither needs the stack.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_EXEC_ALU_H
#define TARGET_I386_EXEC_ALU_H

#include "target-i386/cpu.h"

#define FLAGS_OUT "\n\tlahf\n\tseto %%al"
#define FLAGS_IN  "addb $0x7f,%%al\n\tsahf\n\t"

/* The six flags as LAHF and SETO have left them in AX, or as FLAGS_IN wants them there. */
static inline uint32_t alu_flags_from_ax(uint16_t ax)
{
    return (ax >> 8 & 0xd5u) | (uint32_t)(ax & 1) << 11;
}

static inline uint16_t alu_flags_to_ax(uint32_t eflags)
{
    return (uint16_t)((eflags & 0xd5) << 8 | (eflags >> 11 & 1));
}

static inline uint32_t alu_merge_flags(uint32_t eflags, uint32_t mask, uint16_t ax)
{
    return (eflags & ~mask) | (alu_flags_from_ax(ax) & mask);
}

#define ALU_SIZES(X, ...)                                                                          \
    X(8, "b", __VA_ARGS__)                                                                         \
    X(16, "w", __VA_ARGS__)                                                                        \
    X(32, "l", __VA_ARGS__)                                                                        \
    X(64, "q", __VA_ARGS__)

/* T alu_NAME##bits(a, b, &eflags): a op b */
#define ALU_BINARY(bits, suffix, name, text, mask)                                                 \
    static inline uint##bits##_t alu_##name##bits(uint##bits##_t a, uint##bits##_t b,              \
                                                  uint32_t *fl)                                    \
    {                                                                                              \
        uint16_t ax;                                                                               \
        __asm__(text suffix " %[b],%[a]" FLAGS_OUT : [a] "+r"(a), "=a"(ax) : [b] "r"(b) : "cc");   \
        *fl = alu_merge_flags(*fl, mask, ax);                                                      \
        return a;                                                                                  \
    }
/* The same with the carry read. */
#define ALU_CARRY(bits, suffix, name, text)                                                        \
    static inline uint##bits##_t alu_##name##bits(uint##bits##_t a, uint##bits##_t b,              \
                                                  uint32_t *fl)                                    \
    {                                                                                              \
        uint16_t ax;                                                                               \
        __asm__("btl $0,%[f]\n\t" text suffix " %[b],%[a]" FLAGS_OUT                               \
                : [a] "+r"(a), "=a"(ax)                                                            \
                : [b] "r"(b), [f] "r"(*fl)                                                         \
                : "cc");                                                                           \
        *fl = alu_merge_flags(*fl, FLAGS_ARITH, ax);                                               \
        return a;                                                                                  \
    }
#define ALU_UNARY(bits, suffix, name, text, mask)                                                  \
    static inline uint##bits##_t alu_##name##bits(uint##bits##_t a, uint##bits##_t b,              \
                                                  uint32_t *fl)                                    \
    {                                                                                              \
        uint16_t ax;                                                                               \
        (void)b;                                                                                   \
        __asm__(text suffix " %[a]" FLAGS_OUT : [a] "+r"(a), "=a"(ax) : : "cc");                   \
        *fl = alu_merge_flags(*fl, mask, ax);                                                      \
        return a;                                                                                  \
    }
/* Shifts and rotates by a count in CL, from 1 to 31 (63). */
#define ALU_SHIFT(bits, suffix, name, text)                                                        \
    static inline uint##bits##_t alu_##name##bits(uint##bits##_t a, uint8_t count, uint32_t *fl)   \
    {                                                                                              \
        uint16_t ax = alu_flags_to_ax(*fl);                                                        \
        __asm__(FLAGS_IN text suffix " %%cl,%[a]" FLAGS_OUT                                        \
                : [a] "+r"(a), "+&a"(ax)                                                           \
                : "c"(count)                                                                       \
                : "cc");                                                                           \
        *fl = alu_merge_flags(*fl, FLAGS_ARITH, ax);                                               \
        return a;                                                                                  \
    }

ALU_SIZES(ALU_BINARY, add, "add", FLAGS_ARITH)
ALU_SIZES(ALU_BINARY, sub, "sub", FLAGS_ARITH)
ALU_SIZES(ALU_BINARY, cmp, "cmp", FLAGS_ARITH)
ALU_SIZES(ALU_BINARY, and, "and", FLAGS_ARITH)
ALU_SIZES(ALU_BINARY, or, "or", FLAGS_ARITH)
ALU_SIZES(ALU_BINARY, xor, "xor", FLAGS_ARITH)
ALU_SIZES(ALU_BINARY, test, "test", FLAGS_ARITH)
ALU_SIZES(ALU_CARRY, adc, "adc")
ALU_SIZES(ALU_CARRY, sbb, "sbb")
ALU_SIZES(ALU_UNARY, inc, "inc", (FLAGS_ARITH & ~FLAG_CF))
ALU_SIZES(ALU_UNARY, dec, "dec", (FLAGS_ARITH & ~FLAG_CF))
ALU_SIZES(ALU_UNARY, neg, "neg", FLAGS_ARITH)
ALU_SIZES(ALU_SHIFT, rol, "rol")
ALU_SIZES(ALU_SHIFT, ror, "ror")
ALU_SIZES(ALU_SHIFT, rcl, "rcl")
ALU_SIZES(ALU_SHIFT, rcr, "rcr")
ALU_SIZES(ALU_SHIFT, shl, "shl")
ALU_SIZES(ALU_SHIFT, shr, "shr")
ALU_SIZES(ALU_SHIFT, sar, "sar")

#define ALU_NOT(bits, suffix, ...)                                                                 \
    static inline uint##bits##_t alu_not##bits(uint##bits##_t a, uint##bits##_t b, uint32_t *fl)   \
    {                                                                                              \
        return (uint##bits##_t) ~a;                                                                \
    }
ALU_SIZES(ALU_NOT, )

/* Conditions 0 (O) to 15 (NLE) of Jcc, SETcc, CMOVcc. */
static inline bool alu_condition(uint32_t eflags, unsigned cond)
{
    bool r;

    switch (cond >> 1) {
    case 0:
        r = eflags & FLAG_OF;
        break;
    case 1:
        r = eflags & FLAG_CF;
        break;
    case 2:
        r = eflags & FLAG_ZF;
        break;
    case 3:
        r = eflags & (FLAG_CF | FLAG_ZF);
        break;
    case 4:
        r = eflags & FLAG_SF;
        break;
    case 5:
        r = eflags & FLAG_PF;
        break;
    case 6:
        r = (eflags >> 4 ^ eflags) & FLAG_SF; /* OF is bit 11, SF bit 7 */
        break;
    default:
        r = ((eflags >> 4 ^ eflags) & FLAG_SF) || eflags & FLAG_ZF;
    }
    return r != (cond & 1);
}

#endif
