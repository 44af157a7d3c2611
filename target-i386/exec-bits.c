/*
 * Integer instructions that are not so frequent: double shifts, bit tests and scans, multiplication
 * and division, BCD, CRC32, BMI and ADX.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/exec-alu.h"
#include "target-i386/exec.h"
#include "target-i386/host-access.h"
#include "target-i386/mem.h"
#include "target-i386/vcpu.h"

static uint64_t read_operand(CPUX86State *env, const Insn *insn, unsigned i, unsigned size)
{
    if (insn->ops[i].kind == OPND_MEM) {
        return mem_read(env, insn->seg, exec_effective_address(env, insn), size);
    }
    return exec_reg_read(env, &insn->ops[i], size);
}

/*
 * *fn changes a value by what stands in ctx; used where a memory operand is read and written.
 * The update is atomic with LOCK.
 */
typedef uint64_t BitsUpdate(uint64_t old, const uint64_t ctx[2], unsigned size, uint32_t *eflags);

static bool exchange_if_same(void *p, uint64_t *old, uint64_t new, unsigned size)
{
    uint16_t old16 = (uint16_t)*old;
    uint32_t old32 = (uint32_t)*old;
    bool done;

    switch (size) {
    case 2:
        done = host_cas16(p, &old16, (uint16_t) new);
        *old = old16;
        return done;
    case 4:
        done = host_cas32(p, &old32, (uint32_t) new);
        *old = old32;
        return done;
    default:
        return host_cas64(p, old, new);
    }
}

static void update_memory(CPUX86State *env, const Insn *insn, uint64_t ea, BitsUpdate *fn,
                          const uint64_t ctx[2])
{
    unsigned size = insn->opsize;
    bool lock = insn->prefixes & INSN_PFX_LOCK;
    uint32_t fl = env->eflags;
    void *p = mem_atomic_ptr(env, insn->seg, ea, size);

    if (p && lock) {
        uint64_t old = host_load(p, size), new;
        do {
            fl = env->eflags;
            new = fn(old, ctx, size, &fl);
        } while (!exchange_if_same(p, &old, new, size));
        mem_write_done(env);
    } else if (p) {
        host_store(p, fn(host_load(p, size), ctx, size, &fl), size);
        mem_write_done(env);
    } else {
        mem_probe_write(env, insn->seg, ea, size);
        if (lock) {
            vcpu_exclusive_begin();
        }
        uint64_t old = mem_read(env, insn->seg, ea, size);
        mem_write(env, insn->seg, ea, fn(old, ctx, size, &fl), size);
        if (lock) {
            vcpu_exclusive_end();
        }
    }
    env->eflags = fl;
}

/* ---- SHLD, SHRD ---- */

#define DOUBLE_SHIFT(bits, suffix, name)                                                           \
    static uint64_t name##bits(uint##bits##_t a, uint##bits##_t b, uint8_t n, uint32_t *fl)        \
    {                                                                                              \
        uint16_t ax = alu_flags_to_ax(*fl);                                                        \
        __asm__(FLAGS_IN #name suffix " %%cl,%[b],%[a]" FLAGS_OUT                                  \
                : [a] "+r"(a), "+&a"(ax)                                                           \
                : [b] "r"(b), "c"(n)                                                               \
                : "cc");                                                                           \
        *fl = alu_merge_flags(*fl, FLAGS_ARITH, ax);                                               \
        return a;                                                                                  \
    }
DOUBLE_SHIFT(16, "w", shld)
DOUBLE_SHIFT(32, "l", shld)
DOUBLE_SHIFT(64, "q", shld)
DOUBLE_SHIFT(16, "w", shrd)
DOUBLE_SHIFT(32, "l", shrd)
DOUBLE_SHIFT(64, "q", shrd)

static uint64_t shld_update(uint64_t old, const uint64_t ctx[2], unsigned size, uint32_t *fl)
{
    uint8_t n = (uint8_t)ctx[1];

    if (!n) {
        return old;
    }
    return size == 2   ? shld16((uint16_t)old, (uint16_t)ctx[0], n, fl)
           : size == 4 ? shld32((uint32_t)old, (uint32_t)ctx[0], n, fl)
                       : shld64(old, ctx[0], n, fl);
}

static uint64_t shrd_update(uint64_t old, const uint64_t ctx[2], unsigned size, uint32_t *fl)
{
    uint8_t n = (uint8_t)ctx[1];

    if (!n) {
        return old;
    }
    return size == 2   ? shrd16((uint16_t)old, (uint16_t)ctx[0], n, fl)
           : size == 4 ? shrd32((uint32_t)old, (uint32_t)ctx[0], n, fl)
                       : shrd64(old, ctx[0], n, fl);
}

static void double_shift(CPUX86State *env, const Insn *insn)
{
    BitsUpdate *fn = insn->op == OP_SHLD ? shld_update : shrd_update;
    unsigned size = insn->opsize;
    uint64_t n = insn->ops[2].kind == OPND_IMM ? (uint64_t)insn->imm : env->regs[R_CX];
    const uint64_t ctx[2] = {env->regs[insn->ops[1].reg], n & (size == 8 ? 63 : 31)};

    if (insn->ops[0].kind == OPND_MEM) {
        update_memory(env, insn, exec_effective_address(env, insn), fn, ctx);
    } else {
        uint64_t v = exec_reg_read(env, &insn->ops[0], size);
        exec_reg_write(env, &insn->ops[0], fn(v, ctx, size, &env->eflags), size);
    }
}

/* ---- BT, BTS, BTR, BTC ---- */

#define BIT_OP(bits, suffix, name)                                                                 \
    static uint##bits##_t name##bits(uint##bits##_t a, uint##bits##_t i, uint32_t *fl)             \
    {                                                                                              \
        uint16_t ax = alu_flags_to_ax(*fl);                                                        \
        __asm__(FLAGS_IN #name suffix " %[i],%[a]" FLAGS_OUT                                       \
                : [a] "+r"(a), "+&a"(ax)                                                           \
                : [i] "r"(i)                                                                       \
                : "cc");                                                                           \
        *fl = alu_merge_flags(*fl, FLAGS_ARITH, ax);                                               \
        return a;                                                                                  \
    }
#define BIT_OPS(name)                                                                              \
    BIT_OP(16, "w", name)                                                                          \
    BIT_OP(32, "l", name)                                                                          \
    BIT_OP(64, "q", name)                                                                          \
    static uint64_t name##_update(uint64_t old, const uint64_t ctx[2], unsigned size,              \
                                  uint32_t *fl)                                                    \
    {                                                                                              \
        return size == 2   ? name##16((uint16_t)old, (uint16_t)ctx[0], fl)                         \
               : size == 4 ? name##32((uint32_t)old, (uint32_t)ctx[0], fl)                         \
                           : name##64(old, ctx[0], fl);                                            \
    }
BIT_OPS(bt)
BIT_OPS(bts)
BIT_OPS(btr)
BIT_OPS(btc)

static void bit_test(CPUX86State *env, const Insn *insn)
{
    BitsUpdate *fn = insn->op == OP_BT    ? bt_update
                     : insn->op == OP_BTS ? bts_update
                     : insn->op == OP_BTR ? btr_update
                                          : btc_update;
    unsigned size = insn->opsize, bits = 8 * size;
    uint64_t index =
        insn->ops[1].kind == OPND_IMM ? (uint64_t)insn->imm : env->regs[insn->ops[1].reg];
    const uint64_t ctx[2] = {index & (bits - 1)};

    if (insn->ops[0].kind != OPND_MEM) {
        uint64_t v = exec_reg_read(env, &insn->ops[0], size);
        v = fn(v, ctx, size, &env->eflags);
        if (insn->op != OP_BT) {
            exec_reg_write(env, &insn->ops[0], v, size);
        }
        return;
    }
    uint64_t ea = exec_effective_address(env, insn);
    if (insn->flags & INSN_MEM_BITSTRING) {
        int64_t signed_index = (int64_t)(index << (64 - bits)) >> (64 - bits);
        int64_t word = signed_index >> (size == 2 ? 4 : size == 4 ? 5 : 6);
        ea = exec_mask_address(insn, ea + (uint64_t)word * size);
    }
    if (insn->op == OP_BT) {
        bt_update(mem_read(env, insn->seg, ea, size), ctx, size, &env->eflags);
    } else {
        update_memory(env, insn, ea, fn, ctx);
    }
}

/* ---- one source, one destination register: scans and counts ---- */

/* d is the whole register, so that what the host leaves alone in it stays (BSF and BSR of zero). */
#define SCAN_OP(name)                                                                              \
    static void name(CPUX86State *env, const Insn *insn)                                           \
    {                                                                                              \
        uint64_t s = read_operand(env, insn, 1, insn->opsize), d = env->regs[insn->ops[0].reg];    \
        uint16_t ax = alu_flags_to_ax(env->eflags);                                                \
        switch (insn->opsize) {                                                                    \
        case 2:                                                                                    \
            __asm__(FLAGS_IN #name "w %w[s],%w[d]" FLAGS_OUT                                       \
                    : [d] "+r"(d), "+&a"(ax)                                                       \
                    : [s] "r"(s)                                                                   \
                    : "cc");                                                                       \
            break;                                                                                 \
        case 4:                                                                                    \
            __asm__(FLAGS_IN #name "l %k[s],%k[d]" FLAGS_OUT                                       \
                    : [d] "+r"(d), "+&a"(ax)                                                       \
                    : [s] "r"(s)                                                                   \
                    : "cc");                                                                       \
            break;                                                                                 \
        default:                                                                                   \
            __asm__(FLAGS_IN #name "q %[s],%[d]" FLAGS_OUT                                         \
                    : [d] "+r"(d), "+&a"(ax)                                                       \
                    : [s] "r"(s)                                                                   \
                    : "cc");                                                                       \
        }                                                                                          \
        env->regs[insn->ops[0].reg] = d;                                                           \
        env->eflags = alu_merge_flags(env->eflags, FLAGS_ARITH, ax);                               \
    }
SCAN_OP(bsf)
SCAN_OP(bsr)
SCAN_OP(popcnt)
SCAN_OP(lzcnt)
SCAN_OP(tzcnt)

/* ---- BMI, ADX: 32 or 64 bits ---- */

/* d = op(a, b), flags in and out; the asm text has %[d], %[a], %[b] in AT&T order. */
#define BMI_ASM(text)                                                                              \
    __asm__(FLAGS_IN text FLAGS_OUT : [d] "+r"(d), "+&a"(ax) : [a] "r"(a), [b] "r"(b) : "cc")
#define BMI_OP(name, text32, text64, first, second)                                                \
    static void name(CPUX86State *env, const Insn *insn)                                           \
    {                                                                                              \
        uint64_t a = read_operand(env, insn, first, insn->opsize);                                 \
        uint64_t b = read_operand(env, insn, second, insn->opsize);                                \
        uint64_t d = env->regs[insn->ops[0].reg];                                                  \
        uint16_t ax = alu_flags_to_ax(env->eflags);                                                \
        if (insn->opsize == 8) {                                                                   \
            BMI_ASM(text64);                                                                       \
        } else {                                                                                   \
            BMI_ASM(text32);                                                                       \
        }                                                                                          \
        env->regs[insn->ops[0].reg] = d;                                                           \
        env->eflags = alu_merge_flags(env->eflags, FLAGS_ARITH, ax);                               \
    }
#define BMI3(name) BMI_OP(name, #name " %k[b],%k[a],%k[d]", #name " %[b],%[a],%[d]", 1, 2)
/* These have the memory operand in the middle: count or mask last in Intel's order. */
#define BMI3(name) BMI_OP(name, #name " %k[b],%k[a],%k[d]", #name " %[b],%[a],%[d]", 1, 2)
#define BMI2(name) BMI_OP(name, #name " %k[a],%k[d]", #name " %[a],%[d]", 1, 1)

BMI3(andn)
BMI3(pext)
BMI3(pdep)
BMI3(bextr)
BMI3(bzhi)
BMI3(shlx)
BMI3(shrx)
BMI3(sarx)
BMI2(blsr)
BMI2(blsmsk)
BMI2(blsi)
BMI2(adcx)
BMI2(adox)

static void rorx(CPUX86State *env, const Insn *insn)
{
    unsigned size = insn->opsize, bits = 8 * size, n = (unsigned)insn->imm & (bits - 1);
    uint64_t v = read_operand(env, insn, 1, size);

    if (n) {
        v = v >> n | v << (bits - n);
    }
    exec_reg_write(env, &insn->ops[0], v, size);
}

static void mulx(CPUX86State *env, const Insn *insn)
{
    uint64_t v = read_operand(env, insn, 2, insn->opsize), lo, hi;

    if (insn->opsize == 8) {
        unsigned __int128 r = (unsigned __int128)v * env->regs[R_DX];
        lo = (uint64_t)r;
        hi = (uint64_t)(r >> 64);
    } else {
        uint64_t r = (uint64_t)(uint32_t)v * (uint32_t)env->regs[R_DX];
        lo = (uint32_t)r;
        hi = r >> 32;
    }
    env->regs[insn->ops[1].reg] = lo;
    env->regs[insn->ops[0].reg] = hi; /* the one that stays when both are the same */
}

static void crc32(CPUX86State *env, const Insn *insn)
{
    unsigned size = insn->ops[1].size;
    uint64_t v = read_operand(env, insn, 1, size);
    uint64_t crc = env->regs[insn->ops[0].reg];

    switch (size) {
    case 1:
        __asm__("crc32b %b1,%k0" : "+r"(crc) : "r"(v));
        break;
    case 2:
        __asm__("crc32w %w1,%k0" : "+r"(crc) : "r"(v));
        break;
    case 4:
        __asm__("crc32l %k1,%k0" : "+r"(crc) : "r"(v));
        break;
    default:
        __asm__("crc32q %1,%0" : "+r"(crc) : "r"(v));
    }
    env->regs[insn->ops[0].reg] = crc;
}

/* ---- multiplication ---- */

/* The one-operand forms: lo is multiplied, hi gets the upper half (8 bits: all in lo). */
#define WIDE_MUL(bits, suffix, name)                                                               \
    static void name##bits(uint64_t *lo_, uint64_t *hi_, uint##bits##_t s, uint32_t *fl)           \
    {                                                                                              \
        uint64_t lo = *lo_, hi = *hi_, ax = alu_flags_to_ax(*fl);                                  \
        __asm__(FLAGS_IN "movq %[lo],%%rax\n\t" #name suffix " %[s]\n\tmovq %%rax,%[lo]" FLAGS_OUT \
                : "+&a"(ax), "+d"(hi), [lo] "+&r"(lo)                                              \
                : [s] "r"(s)                                                                       \
                : "cc");                                                                           \
        *lo_ = lo;                                                                                 \
        *hi_ = hi;                                                                                 \
        *fl = alu_merge_flags(*fl, FLAGS_ARITH, (uint16_t)ax);                                     \
    }
WIDE_MUL(8, "b", mul)
WIDE_MUL(16, "w", mul)
WIDE_MUL(32, "l", mul)
WIDE_MUL(64, "q", mul)
WIDE_MUL(8, "b", imul)
WIDE_MUL(16, "w", imul)
WIDE_MUL(32, "l", imul)
WIDE_MUL(64, "q", imul)

#define SIZED(name, size, ...)                                                                     \
    ((size) == 1   ? name##8(__VA_ARGS__)                                                          \
     : (size) == 2 ? name##16(__VA_ARGS__)                                                         \
     : (size) == 4 ? name##32(__VA_ARGS__)                                                         \
                   : name##64(__VA_ARGS__))

static void mul(CPUX86State *env, const Insn *insn)
{
    uint64_t s = read_operand(env, insn, 0, insn->opsize);

    SIZED(mul, insn->opsize, &env->regs[R_AX], &env->regs[R_DX], s, &env->eflags);
}

/* The forms with two and three operands. */
#define NARROW_IMUL(bits, suffix)                                                                  \
    static void imul2_##bits(uint64_t *d_, uint64_t s, uint32_t *fl)                               \
    {                                                                                              \
        uint##bits##_t d = (uint##bits##_t) * d_, src = (uint##bits##_t)s;                         \
        uint16_t ax = alu_flags_to_ax(*fl);                                                        \
        __asm__(FLAGS_IN "imul" suffix " %[s],%[d]" FLAGS_OUT                                      \
                : [d] "+r"(d), "+&a"(ax)                                                           \
                : [s] "r"(src)                                                                     \
                : "cc");                                                                           \
        *d_ = d;                                                                                   \
        *fl = alu_merge_flags(*fl, FLAGS_ARITH, ax);                                               \
    }
NARROW_IMUL(16, "w")
NARROW_IMUL(32, "l")
NARROW_IMUL(64, "q")

static void imul(CPUX86State *env, const Insn *insn)
{
    unsigned size = insn->opsize;

    if (insn->nops == 1) {
        uint64_t s = read_operand(env, insn, 0, size);
        SIZED(imul, size, &env->regs[R_AX], &env->regs[R_DX], s, &env->eflags);
        return;
    }
    uint64_t s = read_operand(env, insn, 1, size);
    uint64_t d = insn->nops == 3 ? (uint64_t)insn->imm : env->regs[insn->ops[0].reg];
    if (size == 2) {
        imul2_16(&d, s, &env->eflags);
    } else if (size == 4) {
        imul2_32(&d, s, &env->eflags);
    } else {
        imul2_64(&d, s, &env->eflags);
    }
    exec_reg_write(env, &insn->ops[0], d, size);
}

/* ---- division: the check for #DE first, then the host's instruction, which cannot fault any more
 * ---- */

WIDE_MUL(8, "b", div)
WIDE_MUL(16, "w", div)
WIDE_MUL(32, "l", div)
WIDE_MUL(64, "q", div)
WIDE_MUL(8, "b", idiv)
WIDE_MUL(16, "w", idiv)
WIDE_MUL(32, "l", idiv)
WIDE_MUL(64, "q", idiv)

static unsigned __int128 dividend(const CPUX86State *env, unsigned size)
{
    uint64_t a = env->regs[R_AX], d = env->regs[R_DX];

    switch (size) {
    case 1:
        return (uint16_t)a;
    case 2:
        return (uint32_t)(d & 0xffff) << 16 | (uint16_t)a;
    case 4:
        return d << 32 | (uint32_t)a;
    default:
        return (unsigned __int128)d << 64 | a;
    }
}

static void divide(CPUX86State *env, const Insn *insn)
{
    unsigned size = insn->opsize;
    uint64_t s = read_operand(env, insn, 0, size);

    if (dividend(env, size) >> (8 * size) >= s) { /* zero, too */
        cpu_raise(env, EXCP_DE);
    }
    SIZED(div, size, &env->regs[R_AX], &env->regs[R_DX], s, &env->eflags);
}

/* Whether the quotient of magnitudes n / s fits a signed number of the size and sign. */
static bool quotient_fits(unsigned __int128 n, uint64_t s, bool negative, unsigned bits)
{
    if (s == 0 || (n >> (bits - 1)) / 2 >= s) {
        return false;
    }
    uint64_t limit = (1ull << (bits - 1)) - !negative;
    return (uint64_t)(n / s) <= limit;
}

static void idivide(CPUX86State *env, const Insn *insn)
{
    unsigned size = insn->opsize, bits = 8 * size;
    uint64_t s = read_operand(env, insn, 0, size);
    unsigned __int128 n = dividend(env, size);
    bool n_negative = n >> (2 * bits - 1) & 1, s_negative = s >> (bits - 1) & 1;
    uint64_t s_magnitude = s_negative ? (0 - s) & (~0ull >> (64 - bits)) : s;
    unsigned __int128 n_magnitude = n;

    if (n_negative) {
        n_magnitude = (0 - n) & (~(unsigned __int128)0 >> (128 - 2 * bits));
    }
    if (!quotient_fits(n_magnitude, s_magnitude, n_negative != s_negative, bits)) {
        cpu_raise(env, EXCP_DE);
    }
    SIZED(idiv, size, &env->regs[R_AX], &env->regs[R_DX], s, &env->eflags);
}

/* ---- BCD; no 64-bit host has these instructions. SDM vol. 2 for the results ---- */

static uint32_t result_flags(uint8_t v)
{
    return (v == 0 ? FLAG_ZF : 0) | (v & 0x80 ? FLAG_SF : 0) | (__builtin_parity(v) ? 0 : FLAG_PF);
}

/* The undefined OF comes from the one addition of 06, 60 or 66 that hosts make of it. */
static void daa_das(CPUX86State *env, const Insn *insn)
{
    bool subtract = insn->op == OP_DAS;
    uint8_t al = (uint8_t)env->regs[R_AX], correction = 0;
    bool cf = env->eflags & FLAG_CF || al > 0x99, af = env->eflags & FLAG_AF || (al & 0x0f) > 9;
    uint32_t fl = env->eflags;

    if (af) {
        correction |= 0x06;
    }
    if (cf) {
        correction |= 0x60;
    }
    al = subtract ? alu_sub8(al, correction, &fl) : alu_add8(al, correction, &fl);
    if (!subtract || cf) {
        fl &= ~FLAG_CF; /* DAS without a decimal borrow keeps that of AL - 06 */
    }
    fl = (fl & ~FLAG_AF) | (cf ? FLAG_CF : 0) | (af ? FLAG_AF : 0);
    *(uint8_t *)&env->regs[R_AX] = al;
    env->eflags = fl;
}

/* The undefined SF, ZF, PF and OF are those of the 16-bit addition to AX. */
static void aaa_aas(CPUX86State *env, const Insn *insn)
{
    uint16_t ax = (uint16_t)env->regs[R_AX];
    bool adjust = (ax & 0x0f) > 9 || env->eflags & FLAG_AF;
    uint16_t correction = adjust ? 0x106 : 0;
    uint32_t fl = env->eflags;

    ax = insn->op == OP_AAA ? alu_add16(ax, correction, &fl) : alu_sub16(ax, correction, &fl);
    fl &= ~(FLAG_CF | FLAG_AF);
    *(uint16_t *)&env->regs[R_AX] = ax & 0xff0f;
    env->eflags = adjust ? fl | FLAG_CF | FLAG_AF : fl;
}

static void aam(CPUX86State *env, const Insn *insn)
{
    uint8_t al = (uint8_t)env->regs[R_AX], base = (uint8_t)insn->imm;

    if (base == 0) {
        cpu_raise(env, EXCP_DE);
    }
    *(uint16_t *)&env->regs[R_AX] = (uint16_t)((al / base) << 8 | al % base);
    env->eflags = (env->eflags & ~FLAGS_ARITH) | result_flags(al % base);
}

static void aad(CPUX86State *env, const Insn *insn)
{
    uint16_t ax = (uint16_t)env->regs[R_AX];
    uint8_t product = (uint8_t)((ax >> 8) * (uint8_t)insn->imm);

    *(uint16_t *)&env->regs[R_AX] = alu_add8((uint8_t)ax, product, &env->eflags);
}

/* ---- random numbers: the host's ---- */

static void rdrand(CPUX86State *env, const Insn *insn)
{
    unsigned long long v = 0;
    bool ok = false;

    if (insn->op == OP_RDRAND) {
        __asm__ volatile("rdrand %0\n\tsetc %1" : "=r"(v), "=q"(ok) : : "cc");
    } else {
        __asm__ volatile("rdseed %0\n\tsetc %1" : "=r"(v), "=q"(ok) : : "cc");
    }
    exec_reg_write(env, &insn->ops[0], ok ? v : 0, insn->opsize);
    env->eflags = (env->eflags & ~FLAGS_ARITH) | (ok ? FLAG_CF : 0);
}

const ExecEntry exec_bits_entries[] = {
    {OP_SHLD, double_shift}, {OP_SHRD, double_shift}, {OP_BT, bit_test},   {OP_BTS, bit_test},
    {OP_BTR, bit_test},      {OP_BTC, bit_test},      {OP_BSF, bsf},       {OP_BSR, bsr},
    {OP_POPCNT, popcnt},     {OP_LZCNT, lzcnt},       {OP_TZCNT, tzcnt},   {OP_CRC32, crc32},
    {OP_ADCX, adcx},         {OP_ADOX, adox},         {OP_ANDN, andn},     {OP_BEXTR, bextr},
    {OP_BLSI, blsi},         {OP_BLSMSK, blsmsk},     {OP_BLSR, blsr},     {OP_BZHI, bzhi},
    {OP_MULX, mulx},         {OP_PDEP, pdep},         {OP_PEXT, pext},     {OP_RORX, rorx},
    {OP_SARX, sarx},         {OP_SHLX, shlx},         {OP_SHRX, shrx},     {OP_MUL, mul},
    {OP_IMUL, imul},         {OP_DIV, divide},        {OP_IDIV, idivide},  {OP_DAA, daa_das},
    {OP_DAS, daa_das},       {OP_AAA, aaa_aas},       {OP_AAS, aaa_aas},   {OP_AAM, aam},
    {OP_AAD, aad},           {OP_RDRAND, rdrand},     {OP_RDSEED, rdrand}, {0, NULL},
};
