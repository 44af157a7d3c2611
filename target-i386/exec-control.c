/*
 * Near jumps, calls, returns and loops, flag instructions, BOUND.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/exec-alu.h"
#include "target-i386/exec-select.h"
#include "target-i386/exec.h"
#include "target-i386/mem.h"

/* An offset in CS is as wide as the branch's operand size. */
static inline uint64_t cut_ip(const Insn *insn, uint64_t ip)
{
    return insn->opsize == 8 ? ip : insn->opsize == 4 ? (uint32_t)ip : (uint16_t)ip;
}

static inline void jump_relative(CPUX86State *env, const Insn *insn)
{
    uint64_t target = cut_ip(insn, env->rip_next + (uint64_t)insn->imm);

    exec_check_target(env, target);
    env->rip_next = target;
}

static void jmp(CPUX86State *env, const Insn *insn)
{
    jump_relative(env, insn);
}

#define JCC(n)                                                                                     \
    static void jcc_##n(CPUX86State *env, const Insn *insn)                                        \
    {                                                                                              \
        if (alu_condition(env->eflags, n)) {                                                       \
            jump_relative(env, insn);                                                              \
        }                                                                                          \
    }
JCC(0)
JCC(1) JCC(2) JCC(3) JCC(4) JCC(5) JCC(6) JCC(7) JCC(8) JCC(9) JCC(10) JCC(11) JCC(12) JCC(13)
    JCC(14) JCC(15)

        static InsnExec *const jcc[16] = {
            jcc_0, jcc_1, jcc_2,  jcc_3,  jcc_4,  jcc_5,  jcc_6,  jcc_7,
            jcc_8, jcc_9, jcc_10, jcc_11, jcc_12, jcc_13, jcc_14, jcc_15,
};

InsnExec *exec_control_select(const Insn *insn)
{
    return insn->op == OP_JCC ? jcc[insn->cond & 15] : NULL;
}

static uint64_t indirect_target(CPUX86State *env, const Insn *insn)
{
    if (insn->ops[0].kind == OPND_MEM) {
        return mem_read(env, insn->seg, exec_effective_address(env, insn), insn->opsize);
    }
    return exec_reg_read(env, &insn->ops[0], insn->opsize);
}

static void jmp_ind(CPUX86State *env, const Insn *insn)
{
    uint64_t target = indirect_target(env, insn);

    exec_check_target(env, target);
    env->rip_next = target;
}

/* A stack that faults comes before a bad target, but nothing is pushed then. */
static inline void call_to(CPUX86State *env, const Insn *insn, uint64_t target)
{
    if (__builtin_expect(!exec_target_ok(env, target), 0)) {
        uint64_t mask = env->hflags & HF_CS64   ? ~0ull
                        : env->hflags & HF_SS32 ? 0xffffffffu
                                                : 0xffffu;
        mem_probe_write(env, SEG_SS, (env->regs[R_SP] - insn->opsize) & mask, insn->opsize);
        cpu_raise_error(env, EXCP_GP, 0);
    }
    mem_push(env, env->rip_next, insn->opsize);
    env->rip_next = target;
}

static void call(CPUX86State *env, const Insn *insn)
{
    call_to(env, insn, cut_ip(insn, env->rip_next + (uint64_t)insn->imm));
}

static void call_ind(CPUX86State *env, const Insn *insn)
{
    call_to(env, insn, indirect_target(env, insn));
}

static void ret(CPUX86State *env, const Insn *insn)
{
    uint64_t old_sp = env->regs[R_SP];
    uint64_t target = mem_pop(env, insn->opsize), new_sp = env->regs[R_SP];

    env->regs[R_SP] = old_sp; /* in case the target faults */
    exec_check_target(env, target);
    if (insn->nops) {
        new_sp += (uint16_t)insn->imm;
    }
    if (env->hflags & HF_CS64) {
        env->regs[R_SP] = new_sp;
    } else if (env->hflags & HF_SS32) {
        env->regs[R_SP] = (uint32_t)new_sp;
    } else {
        *(uint16_t *)&env->regs[R_SP] = (uint16_t)new_sp;
    }
    env->rip_next = target;
}

/* Counts rCX of the address size down (but for JCXZ); true: it is zero. */
static inline bool count_down(CPUX86State *env, const Insn *insn, uint64_t by)
{
    static const InsnOperand cx = {.kind = OPND_GPR, .reg = R_CX};
    uint64_t n = exec_mask_address(insn, env->regs[R_CX] - by);

    if (by) {
        exec_reg_write(env, &cx, n, insn->addrsize);
    }
    return n == 0;
}

static void loop(CPUX86State *env, const Insn *insn)
{
    bool zf = env->eflags & FLAG_ZF;
    bool wanted = insn->op == OP_LOOP || zf == (insn->op == OP_LOOPE);
    uint64_t n = exec_mask_address(insn, env->regs[R_CX] - 1);

    if (n != 0 && wanted) {
        jump_relative(env, insn); /* may fault, so first */
    }
    count_down(env, insn, 1);
}

static void jcxz(CPUX86State *env, const Insn *insn)
{
    if (count_down(env, insn, 0)) {
        jump_relative(env, insn);
    }
}

static void bound(CPUX86State *env, const Insn *insn)
{
    unsigned size = insn->opsize, shift = 64 - 8 * size;
    uint64_t ea = exec_effective_address(env, insn);
    int64_t low = (int64_t)(mem_read(env, insn->seg, ea, size) << shift) >> shift;
    uint64_t second = exec_mask_address(insn, ea + size);
    int64_t high = (int64_t)(mem_read(env, insn->seg, second, size) << shift) >> shift;
    int64_t index = (int64_t)(exec_reg_read(env, &insn->ops[0], size) << shift) >> shift;

    if (index < low || index > high) {
        cpu_raise(env, EXCP_BR);
    }
}

static void cmc(CPUX86State *env, const Insn *insn)
{
    env->eflags ^= FLAG_CF;
}

static void clc(CPUX86State *env, const Insn *insn)
{
    env->eflags &= ~FLAG_CF;
}

static void stc(CPUX86State *env, const Insn *insn)
{
    env->eflags |= FLAG_CF;
}

static void cld(CPUX86State *env, const Insn *insn)
{
    env->eflags &= ~FLAG_DF;
}

static void std(CPUX86State *env, const Insn *insn)
{
    env->eflags |= FLAG_DF;
}

const ExecEntry exec_control_entries[] = {
    {OP_JMP, jmp},   {OP_JMP_IND, jmp_ind}, {OP_CALL, call},  {OP_CALL_IND, call_ind},
    {OP_RET, ret},   {OP_LOOP, loop},       {OP_LOOPE, loop}, {OP_LOOPNE, loop},
    {OP_JCXZ, jcxz}, {OP_BOUND, bound},     {OP_CMC, cmc},    {OP_CLC, clc},
    {OP_STC, stc},   {OP_CLD, cld},         {OP_STD, std},    {0, NULL},
};
