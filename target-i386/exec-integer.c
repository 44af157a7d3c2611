/*
 * Integer instructions: arithmetic, logic, moves, the stack.
 *
 * The frequent operations have a handler for each form (register or memory, register or immediate)
 * and size, made by macros and chosen once when an instruction is decoded. The rest has one handler
 * an operation.
 *
 * A read-modify-write of memory faults as a write before anything is read. It works through a host
 * pointer where the operand lies in one page of RAM; LOCK makes the update an atomic exchange
 * there. Elsewhere it reads and writes, LOCKed with all other CPUs held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "target-i386/exec-alu.h"
#include "target-i386/exec-select.h"
#include "target-i386/exec.h"
#include "target-i386/host-access.h"
#include "target-i386/mem.h"
#include "target-i386/vcpu.h"

/* Register access by size, for the macros. */
#define REG8(op)         (*exec_reg8(env, (op)))
#define REG16(op)        (*(uint16_t *)&env->regs[(op)->reg])
#define REG32(op)        ((uint32_t)env->regs[(op)->reg])
#define REG64(op)        (env->regs[(op)->reg])
#define SET_REG8(op, v)  (*exec_reg8(env, (op)) = (v))
#define SET_REG16(op, v) (*(uint16_t *)&env->regs[(op)->reg] = (v))
#define SET_REG32(op, v) (env->regs[(op)->reg] = (uint32_t)(v))
#define SET_REG64(op, v) (env->regs[(op)->reg] = (v))

#define READ_MEM(bits) mem_read##bits(env, insn->seg, exec_effective_address(env, insn))

/* ---- read-modify-write of memory ---- */

/* new = compute(old); stored atomically when the instruction has LOCK. */
#define RMW_MEM(bits, result_of)                                                                   \
    do {                                                                                           \
        uint64_t ea_ = exec_effective_address(env, insn);                                          \
        void *p_ = mem_atomic_ptr(env, insn->seg, ea_, bits / 8);                                  \
        uint##bits##_t old;                                                                        \
        uint32_t fl = env->eflags;                                                                 \
        if (p_ && !(insn->prefixes & INSN_PFX_LOCK)) {                                             \
            old = host_load##bits(p_);                                                             \
            host_store##bits(p_, result_of);                                                       \
            mem_write_done(env);                                                                  \
        } else if (p_) {                                                                           \
            uint##bits##_t new_;                                                                   \
            old = host_load##bits(p_);                                                             \
            do {                                                                                   \
                fl = env->eflags;                                                                  \
                new_ = result_of;                                                                  \
            } while (!host_cas##bits(p_, &old, new_));                                             \
            mem_write_done(env);                                                                  \
        } else {                                                                                   \
            mem_probe_write(env, insn->seg, ea_, bits / 8);                                        \
            bool lock_ = insn->prefixes & INSN_PFX_LOCK;                                           \
            if (lock_) {                                                                           \
                vcpu_exclusive_begin();                                                            \
            }                                                                                      \
            old = mem_read##bits(env, insn->seg, ea_);                                             \
            mem_write##bits(env, insn->seg, ea_, result_of);                                       \
            if (lock_) {                                                                           \
                vcpu_exclusive_end();                                                              \
            }                                                                                      \
        }                                                                                          \
        env->eflags = fl;                                                                          \
    } while (0)

/* ---- two operands: ADD OR ADC SBB AND SUB XOR, and CMP and TEST, which only set flags ---- */

#define BINARY_FORMS(bits, suffix, name)                                                           \
    static void name##_rr##bits(CPUX86State *env, const Insn *insn)                                \
    {                                                                                              \
        SET_REG##bits(&insn->ops[0], alu_##name##bits(REG##bits(&insn->ops[0]),                    \
                                                      REG##bits(&insn->ops[1]), &env->eflags));    \
    }                                                                                              \
    static void name##_ri##bits(CPUX86State *env, const Insn *insn)                                \
    {                                                                                              \
        SET_REG##bits(&insn->ops[0], alu_##name##bits(REG##bits(&insn->ops[0]),                    \
                                                      (uint##bits##_t)insn->imm, &env->eflags));   \
    }                                                                                              \
    static void name##_rm##bits(CPUX86State *env, const Insn *insn)                                \
    {                                                                                              \
        uint##bits##_t b = READ_MEM(bits);                                                         \
        SET_REG##bits(&insn->ops[0], alu_##name##bits(REG##bits(&insn->ops[0]), b, &env->eflags)); \
    }                                                                                              \
    static void name##_mr##bits(CPUX86State *env, const Insn *insn)                                \
    {                                                                                              \
        uint##bits##_t b = REG##bits(&insn->ops[1]);                                               \
        RMW_MEM(bits, alu_##name##bits(old, b, &fl));                                              \
    }                                                                                              \
    static void name##_mi##bits(CPUX86State *env, const Insn *insn)                                \
    {                                                                                              \
        uint##bits##_t b = (uint##bits##_t)insn->imm;                                              \
        RMW_MEM(bits, alu_##name##bits(old, b, &fl));                                              \
    }
#define COMPARE_FORMS(bits, suffix, name)                                                          \
    static void name##_rr##bits(CPUX86State *env, const Insn *insn)                                \
    {                                                                                              \
        alu_##name##bits(REG##bits(&insn->ops[0]), REG##bits(&insn->ops[1]), &env->eflags);        \
    }                                                                                              \
    static void name##_ri##bits(CPUX86State *env, const Insn *insn)                                \
    {                                                                                              \
        alu_##name##bits(REG##bits(&insn->ops[0]), (uint##bits##_t)insn->imm, &env->eflags);       \
    }                                                                                              \
    static void name##_rm##bits(CPUX86State *env, const Insn *insn)                                \
    {                                                                                              \
        uint##bits##_t b = READ_MEM(bits);                                                         \
        alu_##name##bits(REG##bits(&insn->ops[0]), b, &env->eflags);                               \
    }                                                                                              \
    static void name##_mr##bits(CPUX86State *env, const Insn *insn)                                \
    {                                                                                              \
        uint##bits##_t a = READ_MEM(bits);                                                         \
        alu_##name##bits(a, REG##bits(&insn->ops[1]), &env->eflags);                               \
    }                                                                                              \
    static void name##_mi##bits(CPUX86State *env, const Insn *insn)                                \
    {                                                                                              \
        uint##bits##_t a = READ_MEM(bits);                                                         \
        alu_##name##bits(a, (uint##bits##_t)insn->imm, &env->eflags);                              \
    }

ALU_SIZES(BINARY_FORMS, add)
ALU_SIZES(BINARY_FORMS, or)
ALU_SIZES(BINARY_FORMS, adc)
ALU_SIZES(BINARY_FORMS, sbb)
ALU_SIZES(BINARY_FORMS, and)
ALU_SIZES(BINARY_FORMS, sub)
ALU_SIZES(BINARY_FORMS, xor)
ALU_SIZES(COMPARE_FORMS, cmp)
ALU_SIZES(COMPARE_FORMS, test)

/* ---- one operand: INC DEC NOT NEG ---- */

#define UNARY_FORMS(bits, suffix, name)                                                            \
    static void name##_r##bits(CPUX86State *env, const Insn *insn)                                 \
    {                                                                                              \
        SET_REG##bits(&insn->ops[0], alu_##name##bits(REG##bits(&insn->ops[0]), 0, &env->eflags)); \
    }                                                                                              \
    static void name##_m##bits(CPUX86State *env, const Insn *insn)                                 \
    {                                                                                              \
        RMW_MEM(bits, alu_##name##bits(old, 0, &fl));                                              \
    }
ALU_SIZES(UNARY_FORMS, inc)
ALU_SIZES(UNARY_FORMS, dec)
ALU_SIZES(UNARY_FORMS, not )
ALU_SIZES(UNARY_FORMS, neg)

/* ---- shifts and rotates: a count of zero changes nothing, but memory is still written ---- */

static inline unsigned shift_count(CPUX86State *env, const Insn *insn, unsigned operand,
                                   unsigned mask)
{
    const InsnOperand *op = &insn->ops[operand];

    return (op->kind == OPND_IMM ? (unsigned)insn->imm : (unsigned)env->regs[R_CX]) & mask;
}

#define SHIFT_FORMS(bits, suffix, name)                                                            \
    static void name##_r##bits(CPUX86State *env, const Insn *insn)                                 \
    {                                                                                              \
        uint8_t n = shift_count(env, insn, 1, bits == 64 ? 63 : 31);                               \
        uint##bits##_t a = REG##bits(&insn->ops[0]);                                               \
        SET_REG##bits(&insn->ops[0], n ? alu_##name##bits(a, n, &env->eflags) : a);                \
    }                                                                                              \
    static void name##_m##bits(CPUX86State *env, const Insn *insn)                                 \
    {                                                                                              \
        uint8_t n = shift_count(env, insn, 1, bits == 64 ? 63 : 31);                               \
        RMW_MEM(bits, n ? alu_##name##bits(old, n, &fl) : old);                                    \
    }
ALU_SIZES(SHIFT_FORMS, rol)
ALU_SIZES(SHIFT_FORMS, ror)
ALU_SIZES(SHIFT_FORMS, rcl)
ALU_SIZES(SHIFT_FORMS, rcr)
ALU_SIZES(SHIFT_FORMS, shl)
ALU_SIZES(SHIFT_FORMS, shr)
ALU_SIZES(SHIFT_FORMS, sar)

/* ---- moves ---- */

#define MOV_FORMS(bits, suffix, ...)                                                               \
    static void mov_rr##bits(CPUX86State *env, const Insn *insn)                                   \
    {                                                                                              \
        SET_REG##bits(&insn->ops[0], REG##bits(&insn->ops[1]));                                    \
    }                                                                                              \
    static void mov_ri##bits(CPUX86State *env, const Insn *insn)                                   \
    {                                                                                              \
        SET_REG##bits(&insn->ops[0], (uint##bits##_t)insn->imm);                                   \
    }                                                                                              \
    static void mov_rm##bits(CPUX86State *env, const Insn *insn)                                   \
    {                                                                                              \
        uint##bits##_t v = READ_MEM(bits);                                                         \
        SET_REG##bits(&insn->ops[0], v);                                                           \
    }                                                                                              \
    static void mov_mr##bits(CPUX86State *env, const Insn *insn)                                   \
    {                                                                                              \
        mem_write##bits(env, insn->seg, exec_effective_address(env, insn),                         \
                        REG##bits(&insn->ops[1]));                                                 \
    }                                                                                              \
    static void mov_mi##bits(CPUX86State *env, const Insn *insn)                                   \
    {                                                                                              \
        mem_write##bits(env, insn->seg, exec_effective_address(env, insn),                         \
                        (uint##bits##_t)insn->imm);                                                \
    }
ALU_SIZES(MOV_FORMS, )

/* The register, memory or immediate operand i, of its own size; vector operands never come here. */
static uint64_t read_operand(CPUX86State *env, const Insn *insn, unsigned i, unsigned size)
{
    const InsnOperand *op = &insn->ops[i];

    switch (op->kind) {
    case OPND_MEM:
        return mem_read(env, insn->seg, exec_effective_address(env, insn), size);
    case OPND_IMM:
        return (uint64_t)insn->imm;
    default:
        return exec_reg_read(env, op, size);
    }
}

static void write_operand(CPUX86State *env, const Insn *insn, unsigned i, uint64_t v, unsigned size)
{
    const InsnOperand *op = &insn->ops[i];

    if (op->kind == OPND_MEM) {
        mem_write(env, insn->seg, exec_effective_address(env, insn), v, size);
    } else {
        exec_reg_write(env, op, v, size);
    }
}

static int64_t sign_extend(uint64_t v, unsigned size)
{
    unsigned shift = 64 - 8 * size;

    return (int64_t)(v << shift) >> shift;
}

static void movzx(CPUX86State *env, const Insn *insn)
{
    exec_reg_write(env, &insn->ops[0], read_operand(env, insn, 1, insn->ops[1].size),
                   insn->ops[0].size);
}

static void movsx(CPUX86State *env, const Insn *insn)
{
    unsigned size = insn->ops[1].size;

    exec_reg_write(env, &insn->ops[0],
                   (uint64_t)sign_extend(read_operand(env, insn, 1, size), size),
                   insn->ops[0].size);
}

/* With 16- or 32-bit operands MOVSXD is a plain move of that size. */
static void movsxd(CPUX86State *env, const Insn *insn)
{
    unsigned size = insn->ops[1].size;
    uint64_t v = read_operand(env, insn, 1, size);

    exec_reg_write(env, &insn->ops[0], (uint64_t)sign_extend(v, size), insn->ops[0].size);
}

static void lea(CPUX86State *env, const Insn *insn)
{
    exec_reg_write(env, &insn->ops[0], exec_effective_address(env, insn), insn->opsize);
}

static void bswap(CPUX86State *env, const Insn *insn)
{
    uint64_t *reg = &env->regs[insn->ops[0].reg];

    if (insn->opsize == 8) {
        *reg = __builtin_bswap64(*reg);
    } else if (insn->opsize == 4) {
        *reg = __builtin_bswap32((uint32_t)*reg);
    } else {
        uint16_t v = (uint16_t)*reg; /* undefined by the manuals; processors make it zero */
        __asm__(".byte 0x66, 0x0f, 0xc8" : "+a"(v)); /* bswap ax */
        *(uint16_t *)reg = v;
    }
}

static uint64_t swap_bytes(uint64_t v, unsigned size)
{
    return __builtin_bswap64(v) >> (64 - 8 * size);
}

static void movbe(CPUX86State *env, const Insn *insn)
{
    unsigned size = insn->opsize;

    write_operand(env, insn, 0, swap_bytes(read_operand(env, insn, 1, size), size), size);
}

static void movnti(CPUX86State *env, const Insn *insn)
{
    unsigned size = insn->mem_size;

    write_operand(env, insn, 0, exec_reg_read(env, &insn->ops[1], size), size);
}

static void movdir64b(CPUX86State *env, const Insn *insn)
{
    uint64_t to = exec_mask_address(insn, env->regs[insn->ops[0].reg]);
    uint8_t line[64];

    mem_read_bytes(env, insn->seg, exec_effective_address(env, insn), line, sizeof(line));
    if (exec_linear(env, SEG_ES, to) & 63) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    mem_write_bytes(env, SEG_ES, to, line, sizeof(line));
}

static void cmovcc(CPUX86State *env, const Insn *insn)
{
    uint64_t v = read_operand(env, insn, 1, insn->opsize); /* read whatever the condition */

    if (!alu_condition(env->eflags, insn->cond)) {
        v = env->regs[insn->ops[0].reg];
    }
    exec_reg_write(env, &insn->ops[0], v,
                   insn->opsize); /* 32 bits: clears the upper half in any case */
}

static void setcc(CPUX86State *env, const Insn *insn)
{
    write_operand(env, insn, 0, alu_condition(env->eflags, insn->cond), 1);
}

static void xlat(CPUX86State *env, const Insn *insn)
{
    uint64_t ea = exec_mask_address(insn, env->regs[R_BX] + (uint8_t)env->regs[R_AX]);

    *(uint8_t *)&env->regs[R_AX] = mem_read8(env, insn->seg, ea);
}

/* CBW, CWDE, CDQE */
static void cbw(CPUX86State *env, const Insn *insn)
{
    static const InsnOperand ax = {.kind = OPND_GPR, .reg = R_AX};

    exec_reg_write(env, &ax, (uint64_t)sign_extend(env->regs[R_AX], insn->opsize / 2),
                   insn->opsize);
}

/* CWD, CDQ, CQO */
static void cwd(CPUX86State *env, const Insn *insn)
{
    static const InsnOperand dx = {.kind = OPND_GPR, .reg = R_DX};

    exec_reg_write(env, &dx, sign_extend(env->regs[R_AX], insn->opsize) < 0 ? ~0ull : 0,
                   insn->opsize);
}

static void salc(CPUX86State *env, const Insn *insn)
{
    *(uint8_t *)&env->regs[R_AX] = env->eflags & FLAG_CF ? 0xff : 0;
}

static void lahf(CPUX86State *env, const Insn *insn)
{
    ((uint8_t *)&env->regs[R_AX])[1] = (uint8_t)((env->eflags & 0xd5) | FLAG_1);
}

static void sahf(CPUX86State *env, const Insn *insn)
{
    uint8_t ah = ((uint8_t *)&env->regs[R_AX])[1];

    env->eflags = (env->eflags & ~0xd5u) | (ah & 0xd5u);
}

static void rdpid(CPUX86State *env, const Insn *insn)
{
    exec_reg_write(env, &insn->ops[0], (uint32_t)env->tsc_aux, 8);
}

/* ---- exchanges ---- */

#define EXCHANGE_FORMS(bits, suffix, ...)                                                          \
    static void xchg##bits(CPUX86State *env, const Insn *insn)                                     \
    {                                                                                              \
        uint##bits##_t b = REG##bits(&insn->ops[1]), a;                                            \
        if (insn->ops[0].kind != OPND_MEM) {                                                       \
            a = REG##bits(&insn->ops[0]);                                                          \
            SET_REG##bits(&insn->ops[0], b);                                                       \
            SET_REG##bits(&insn->ops[1], a);                                                       \
            return;                                                                                \
        }                                                                                          \
        uint64_t ea = exec_effective_address(env, insn);                                           \
        void *p = mem_atomic_ptr(env, insn->seg, ea, bits / 8);                                    \
        if (p) { /* always locked */                                                               \
            a = host_exchange##bits(p, b);                                                         \
            mem_write_done(env);                                                                  \
        } else {                                                                                   \
            mem_probe_write(env, insn->seg, ea, bits / 8);                                         \
            vcpu_exclusive_begin();                                                                \
            a = mem_read##bits(env, insn->seg, ea);                                                \
            mem_write##bits(env, insn->seg, ea, b);                                                \
            vcpu_exclusive_end();                                                                  \
        }                                                                                          \
        SET_REG##bits(&insn->ops[1], a);                                                           \
    }                                                                                              \
    static void xadd##bits(CPUX86State *env, const Insn *insn)                                     \
    {                                                                                              \
        uint##bits##_t b = REG##bits(&insn->ops[1]), a;                                            \
        if (insn->ops[0].kind != OPND_MEM) {                                                       \
            a = REG##bits(&insn->ops[0]);                                                          \
            uint##bits##_t sum = alu_add##bits(a, b, &env->eflags);                                \
            SET_REG##bits(&insn->ops[1], a);                                                       \
            SET_REG##bits(&insn->ops[0], sum);                                                     \
            return;                                                                                \
        }                                                                                          \
        RMW_MEM(bits, (a = old, alu_add##bits(old, b, &fl)));                                      \
        SET_REG##bits(&insn->ops[1], a);                                                           \
    }                                                                                              \
    static void cmpxchg##bits(CPUX86State *env, const Insn *insn)                                  \
    {                                                                                              \
        static const InsnOperand acc = {.kind = OPND_GPR, .reg = R_AX};                            \
        uint##bits##_t want = REG##bits(&acc), b = REG##bits(&insn->ops[1]), a;                    \
        if (insn->ops[0].kind != OPND_MEM) {                                                       \
            a = REG##bits(&insn->ops[0]);                                                          \
            alu_cmp##bits(want, a, &env->eflags);                                                  \
            if (a == want) {                                                                       \
                SET_REG##bits(&insn->ops[0], b);                                                   \
            } else {                                                                               \
                SET_REG##bits(&acc, a);                                                            \
            }                                                                                      \
            return;                                                                                \
        }                                                                                          \
        /* Without a match the old value is written back. */                                       \
        RMW_MEM(bits, (a = old, alu_cmp##bits(want, old, &fl), old == want ? b : old));            \
        if (a != want) {                                                                           \
            SET_REG##bits(&acc, a);                                                                \
        }                                                                                          \
    }
ALU_SIZES(EXCHANGE_FORMS, )

static void cmpxchg8b(CPUX86State *env, const Insn *insn)
{
    uint64_t want = (uint64_t)(uint32_t)env->regs[R_DX] << 32 | (uint32_t)env->regs[R_AX];
    uint64_t b = (uint64_t)(uint32_t)env->regs[R_CX] << 32 | (uint32_t)env->regs[R_BX];
    uint64_t a;

    RMW_MEM(64, (a = old, fl = old == want ? fl | FLAG_ZF : fl & ~FLAG_ZF, old == want ? b : old));
    if (a != want) {
        env->regs[R_AX] = (uint32_t)a;
        env->regs[R_DX] = a >> 32;
    }
}

/* The host's own instruction: true when *p was `want`; *found is what stood there. */
static bool host_cmpxchg16b(uint64_t *p, const uint64_t want[2], const uint64_t b[2],
                            uint64_t found[2])
{
    bool done;

    found[0] = want[0];
    found[1] = want[1];
    __asm__ volatile("lock cmpxchg16b %[m]\n\tsete %[done]"
                     : [m] "+m"(*(unsigned __int128 *)p), [done] "=q"(done), "+a"(found[0]),
                       "+d"(found[1])
                     : "b"(b[0]), "c"(b[1])
                     : "cc", "memory");
    return done;
}

static void cmpxchg16b(CPUX86State *env, const Insn *insn)
{
    uint64_t want[2] = {env->regs[R_AX], env->regs[R_DX]};
    uint64_t b[2] = {env->regs[R_BX], env->regs[R_CX]}, found[2];
    uint64_t ea = exec_effective_address(env, insn);
    bool done;

    if (exec_linear(env, insn->seg, ea) & 15) {
        cpu_raise_error(env, EXCP_GP, 0);
    }
    uint64_t *p = mem_atomic_ptr(env, insn->seg, ea, 16);
    if (p) {
        done = host_cmpxchg16b(p, want, b, found);
        mem_write_done(env);
    } else {
        mem_probe_write(env, insn->seg, ea, 16);
        vcpu_exclusive_begin();
        mem_read_bytes(env, insn->seg, ea, found, 16);
        done = found[0] == want[0] && found[1] == want[1];
        mem_write_bytes(env, insn->seg, ea, done ? b : found, 16);
        vcpu_exclusive_end();
    }
    if (done) {
        env->eflags |= FLAG_ZF;
    } else {
        env->eflags &= ~FLAG_ZF;
        env->regs[R_AX] = found[0];
        env->regs[R_DX] = found[1];
    }
}

/* ---- the stack ---- */

static void push(CPUX86State *env, const Insn *insn)
{
    mem_push(env, read_operand(env, insn, 0, insn->opsize), insn->opsize);
}

static void pop(CPUX86State *env, const Insn *insn)
{
    if (insn->ops[0].kind != OPND_MEM) {
        uint64_t v = mem_pop(env, insn->opsize);
        exec_reg_write(env, &insn->ops[0], v, insn->opsize);
        return;
    }
    /* The address is worked out with the new stack pointer, which must not stay if the write
     * faults. */
    uint64_t old_sp = env->regs[R_SP];
    uint64_t v = mem_pop(env, insn->opsize);
    uint64_t new_sp = env->regs[R_SP];
    uint64_t ea = exec_effective_address(env, insn);
    env->regs[R_SP] = old_sp;
    mem_write(env, insn->seg, ea, v, insn->opsize);
    env->regs[R_SP] = new_sp;
}

/* Width of the stack pointer as a mask. */
static uint64_t stack_mask(const CPUX86State *env)
{
    return env->hflags & HF_CS64 ? ~0ull : env->hflags & HF_SS32 ? 0xffffffffu : 0xffffu;
}

static void set_stack_pointer(CPUX86State *env, uint64_t sp)
{
    if (env->hflags & (HF_CS64 | HF_SS32)) {
        env->regs[R_SP] = sp & stack_mask(env);
    } else {
        *(uint16_t *)&env->regs[R_SP] = (uint16_t)sp;
    }
}

static void pusha(CPUX86State *env, const Insn *insn)
{
    unsigned size = insn->opsize;
    uint64_t mask = stack_mask(env), sp = env->regs[R_SP];

    for (unsigned i = 0; i < 8; i++) {
        mem_probe_write(env, SEG_SS, (sp - (i + 1) * size) & mask, size);
    }
    for (unsigned i = 0; i < 8; i++) {
        mem_write(env, SEG_SS, (sp - (i + 1) * size) & mask, env->regs[i], size);
    }
    set_stack_pointer(env, sp - 8 * size);
}

static void popa(CPUX86State *env, const Insn *insn)
{
    unsigned size = insn->opsize;
    uint64_t mask = stack_mask(env), sp = env->regs[R_SP], v[8];

    for (unsigned i = 0; i < 8; i++) {
        v[i] = mem_read(env, SEG_SS, (sp + i * size) & mask, size);
    }
    for (unsigned i = 0; i < 8; i++) {
        const InsnOperand op = {.kind = OPND_GPR, .reg = (uint8_t)(7 - i)};
        if (7 - i != R_SP) {
            exec_reg_write(env, &op, v[i], size);
        }
    }
    set_stack_pointer(env, sp + 8 * size);
}

static void enter(CPUX86State *env, const Insn *insn)
{
    static const InsnOperand bp = {.kind = OPND_GPR, .reg = R_BP};
    unsigned size = insn->opsize, level = insn->imm2 & 31;
    uint64_t mask = stack_mask(env), sp = env->regs[R_SP], frame, rbp = env->regs[R_BP], v;

    sp = (sp - size) & mask;
    mem_write(env, SEG_SS, sp, rbp, size);
    frame = sp;
    for (unsigned i = 1; i < level; i++) {
        rbp = (rbp - size) & mask;
        v = mem_read(env, SEG_SS, rbp, size);
        sp = (sp - size) & mask;
        mem_write(env, SEG_SS, sp, v, size);
    }
    if (level) {
        sp = (sp - size) & mask;
        mem_write(env, SEG_SS, sp, frame, size);
    }
    sp = (sp - (uint16_t)insn->imm) & mask;
    mem_probe_write(env, SEG_SS, sp, size); /* a frame that cannot be used faults here */
    exec_reg_write(env, &bp, frame, size);
    set_stack_pointer(env, sp);
}

static void leave(CPUX86State *env, const Insn *insn)
{
    static const InsnOperand bp = {.kind = OPND_GPR, .reg = R_BP};
    uint64_t mask = stack_mask(env), frame = env->regs[R_BP] & mask;
    uint64_t v = mem_read(env, SEG_SS, frame, insn->opsize);

    set_stack_pointer(env, (frame + insn->opsize) & mask);
    exec_reg_write(env, &bp, v, insn->opsize);
}

static void nop(CPUX86State *env, const Insn *insn)
{
}

static void pause_hint(CPUX86State *env, const Insn *insn)
{
    vcpu_spins(env);
}

static void fence(CPUX86State *env, const Insn *insn)
{
    atomic_thread_fence(memory_order_seq_cst);
}

/* Checks as a read of one byte would; a device is not read. */
static void clflush(CPUX86State *env, const Insn *insn)
{
    uint64_t len = 1;

    mem_bulk_ptr(env, insn->seg, exec_effective_address(env, insn), &len, false);
}

static void clzero(CPUX86State *env, const Insn *insn)
{
    static const uint8_t zeros[64];
    uint64_t ea = exec_mask_address(insn, env->regs[R_AX]);

    ea -= exec_linear(env, insn->seg, ea) & 63;
    mem_write_bytes(env, insn->seg, ea, zeros, sizeof(zeros));
}

/* ---- choosing ---- */

typedef struct BinaryForms {
    InsnExec *rr[4], *ri[4], *rm[4], *mr[4], *mi[4];
} BinaryForms;

#define FOUR(prefix)                                                                               \
    {                                                                                              \
        prefix##8, prefix##16, prefix##32, prefix##64                                              \
    }
#define BINARY(op, name)                                                                           \
    [OP_##op] = {FOUR(name##_rr), FOUR(name##_ri), FOUR(name##_rm), FOUR(name##_mr),               \
                 FOUR(name##_mi)}

static const BinaryForms binary_forms[] = {
    BINARY(ADD, add), BINARY(OR, or),   BINARY(ADC, adc), BINARY(SBB, sbb),   BINARY(AND, and),
    BINARY(SUB, sub), BINARY(XOR, xor), BINARY(CMP, cmp), BINARY(TEST, test), BINARY(MOV, mov),
};

typedef struct UnaryForms {
    InsnExec *r[4], *m[4];
} UnaryForms;

#define UNARY(op, name) [OP_##op] = {FOUR(name##_r), FOUR(name##_m)}

static const UnaryForms unary_forms[] = {
    UNARY(INC, inc), UNARY(DEC, dec), UNARY(NOT, not ), UNARY(NEG, neg),
    UNARY(ROL, rol), UNARY(ROR, ror), UNARY(RCL, rcl),  UNARY(RCR, rcr),
    UNARY(SHL, shl), UNARY(SHR, shr), UNARY(SAR, sar),
};

static const struct {
    uint16_t op;
    InsnExec *by_size[4];
} sized_forms[] = {
    {OP_XCHG, FOUR(xchg)},
    {OP_XADD, FOUR(xadd)},
    {OP_CMPXCHG, FOUR(cmpxchg)},
};

static InsnExec *select_binary(const BinaryForms *f, const Insn *insn, unsigned size)
{
    uint8_t a = insn->ops[0].kind, b = insn->ops[1].kind;

    if (a == OPND_MEM) {
        return b == OPND_IMM ? f->mi[size] : f->mr[size];
    }
    return b == OPND_MEM ? f->rm[size] : b == OPND_IMM ? f->ri[size] : f->rr[size];
}

InsnExec *exec_integer_select(const Insn *insn)
{
    unsigned size = insn->opsize ? (unsigned)__builtin_ctz(insn->opsize) & 3 : 0;

    if (insn->op < sizeof(binary_forms) / sizeof(binary_forms[0]) && binary_forms[insn->op].rr[0]) {
        return select_binary(&binary_forms[insn->op], insn, size);
    }
    if (insn->op < sizeof(unary_forms) / sizeof(unary_forms[0]) && unary_forms[insn->op].r[0]) {
        const UnaryForms *f = &unary_forms[insn->op];
        return insn->ops[0].kind == OPND_MEM ? f->m[size] : f->r[size];
    }
    for (unsigned i = 0; i < sizeof(sized_forms) / sizeof(sized_forms[0]); i++) {
        if (sized_forms[i].op == insn->op) {
            return sized_forms[i].by_size[size];
        }
    }
    return exec_control_select(insn);
}

const ExecEntry exec_integer_entries[] = {
    {OP_MOVZX, movzx},
    {OP_MOVSX, movsx},
    {OP_MOVSXD, movsxd},
    {OP_LEA, lea},
    {OP_BSWAP, bswap},
    {OP_MOVBE, movbe},
    {OP_MOVNTI, movnti},
    {OP_MOVDIRI, movnti},
    {OP_MOVDIR64B, movdir64b},
    {OP_CMOVCC, cmovcc},
    {OP_SETCC, setcc},
    {OP_XLAT, xlat},
    {OP_CBW, cbw},
    {OP_CWD, cwd},
    {OP_SALC, salc},
    {OP_LAHF, lahf},
    {OP_SAHF, sahf},
    {OP_RDPID, rdpid},
    {OP_CMPXCHG8B, cmpxchg8b},
    {OP_CMPXCHG16B, cmpxchg16b},
    {OP_PUSH, push},
    {OP_POP, pop},
    {OP_PUSHA, pusha},
    {OP_POPA, popa},
    {OP_ENTER, enter},
    {OP_LEAVE, leave},
    {OP_NOP, nop},
    {OP_ENDBR32, nop},
    {OP_ENDBR64, nop},
    {OP_PREFETCHT0, nop},
    {OP_PREFETCHT1, nop},
    {OP_PREFETCHT2, nop},
    {OP_PREFETCHNTA, nop},
    {OP_PREFETCH, nop},
    {OP_PREFETCHW, nop},
    {OP_PREFETCHWT1, nop},
    {OP_PAUSE, pause_hint},
    {OP_LFENCE, fence},
    {OP_MFENCE, fence},
    {OP_SFENCE, fence},
    {OP_SERIALIZE, fence},
    {OP_CLFLUSH, clflush},
    {OP_CLFLUSHOPT, clflush},
    {OP_CLWB, clflush},
    {OP_CLZERO, clzero},
    {0, NULL},
};
