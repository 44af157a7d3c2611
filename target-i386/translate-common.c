/*
 * The translator: pieces that all families use, and the code all blocks share (entry, exit, calls of handlers).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/translate.h"

#include <string.h>

#define ENV(field) rm_env(offsetof(CPUX86State, field))

JitInsn *insn_record(Translator *t)
{
    if (!t->ji) {
        t->ji = jit_record(t->jit, sizeof(JitInsn));
        *t->ji = (JitInsn){.rip = t->rip, .len = t->insn->len, .end = JIT_END_NONE};
        memcpy(t->ji->raw, t->insn->raw, t->insn->len);
        if (exec_ends_block(t->insn) && !(t->insn->flags & INSN_STRING && !(t->insn->flags & INSN_IOPL))) {
            t->ji->end = exec_is_near_end(t->insn) ? JIT_END_NEAR : JIT_END_OUTER;
        }
    }
    return t->ji;
}

const Insn *keep_insn(Translator *t)
{
    JitInsn *ji = insn_record(t);

    if (!ji->insn) {
        Insn *insn = jit_record(t->jit, sizeof(*insn));
        *insn = *t->insn;
        ji->insn = insn;
    }
    return ji->insn;
}

Stub *add_stub(Translator *t, StubKind kind, uint8_t *rel)
{
    Stub *s = &t->stubs[t->nstubs++];

    memset(s, 0, offsetof(Stub, groups)); /* the rest is large, and has its number */
    s->kind = kind;
    s->rel = rel;
    s->x87_pointers = t->x87_pointers;
    s->swapped = t->swapped;
    return s;
}

void gen_call_handler(Translator *t, const JitInsn *ji, bool saved)
{
    Emitter *e = &t->e;

    emit_mov_imm(e, S0, (uint32_t)((const uint8_t *)ji - t->jit->records));
    note_move(t, MOVE_HANDLER, e->p - 4);
    emit_patch(emit_call(e), saved ? t->jit->exec_insn_saved : t->jit->exec_insn);
}

void gen_slow_unless(Translator *t, unsigned good_cond)
{
    Stub *s = add_stub(t, STUB_HANDLER, emit_jcc(&t->e, good_cond ^ 1));

    s->ji = insn_record(t);
    note_flags(t, s);
}

/* ---- what all blocks share ---- */

static const uint8_t host_saved[] = {H_BX, H_BP, H_12, H_13, H_14, H_15}; /* by the calling convention */

/* AX as LAHF and SETO would leave it, from eflags; CX is used. */
static void common_flags_to_ax(Emitter *e)
{
    emit_load(e, W32, H_AX, ENV(eflags));
    emit_mov(e, W32, H_CX, H_AX);
    emit_shr(e, W32, H_CX, 11);
    emit_alu_imm(e, W32, ALU_AND, rm_reg(H_CX), 1);
    emit_alu_imm(e, W32, ALU_AND, rm_reg(H_AX), 0xd5);
    emit_shl(e, W32, H_AX, 8);
    emit_alu(e, W32, ALU_OR, H_AX, rm_reg(H_CX));
}

static void common_load_regs(Emitter *e)
{
    for (unsigned g = 0; g < 16; g++) {
        if (host_of(g) != H_NONE) {
            emit_load(e, W64, host_of(g), env_reg(g));
        }
    }
}

/* Registers, vector registers and flags to the CPU state; AX, CX, DX are used. */
static void common_store_regs(Translator *t)
{
    Emitter *e = &t->e;

    for (unsigned g = 0; g < 16; g++) {
        if (host_of(g) != H_NONE) {
            emit_store(e, W64, env_reg(g), host_of(g));
        }
    }
    emit_lahf(e);
    emit_seto_al(e);
    emit_movzx8(e, H_CX, H_AX);
    emit_movzx_high(e, H_DX, H_AX);
    emit_shl(e, W32, H_CX, 11);
    emit_alu_imm(e, W32, ALU_AND, rm_reg(H_DX), 0xd5);
    emit_alu(e, W32, ALU_OR, H_CX, rm_reg(H_DX));
    emit_load(e, W32, H_AX, ENV(eflags));
    emit_alu_imm(e, W32, ALU_AND, rm_reg(H_AX), (int32_t)~FLAGS_ARITH);
    emit_alu(e, W32, ALU_OR, H_AX, rm_reg(H_CX));
    emit_store(e, W32, ENV(eflags), H_AX);
    gen_common_leave_vectors(t);
}

/* On C's stack. */
static void common_epilogue(Emitter *e)
{
    emit_lea(e, W64, H_SP, rm_mem(H_SP, 8));
    for (unsigned i = sizeof(host_saved); i--;) {
        emit_pop(e, host_saved[i]);
    }
    emit_ret(e);
}

/* From C to the translated code at S0. */
static void common_go_to(Emitter *e)
{
    common_flags_to_ax(e);
    emit_store(e, W16, ENV(jit_flags), H_AX);
    common_load_regs(e);
    emit_load(e, W64, H_SP, ENV(jit_stack_top));
    emit_jmp_rm(e, rm_reg(S0));
}

/* enter(code, env) */
static void common_enter(Translator *t)
{
    Emitter *e = &t->e;

    t->jit->enter = (uint64_t (*)(const uint8_t *, CPUX86State *))(void *)(e->p + e->to_exec);
    for (unsigned i = 0; i < sizeof(host_saved); i++) {
        emit_push(e, host_saved[i]);
    }
    emit_lea(e, W64, H_SP, rm_mem(H_SP, -8)); /* aligned for calls of C */
    emit_store(e, W64, ENV(jit_host_sp), H_SP);
    emit_mov(e, W64, S0, H_DI);
    common_go_to(e);
}

static void common_leave(Translator *t)
{
    Emitter *e = &t->e;

    t->jit->leave = e->p;
    common_store_regs(t);
    emit_mov(e, W64, H_AX, S1);
    emit_load(e, W64, H_SP, ENV(jit_host_sp));
    common_epilogue(e);

    t->jit->leave_saved_miss = e->p;
    gen_restore_flags(t);
    t->jit->leave_miss = e->p;
    emit_store(e, W64, ENV(rip), S0);
    emit_mov_imm(e, S1, JIT_LEAVE_LOOKUP);
    emit_patch(emit_jmp(e), t->jit->leave);

    t->jit->link[JIT_FROM_MEMORY] = e->p;
    gen_restore_flags(t);
    t->jit->link[JIT_FROM_EFLAGS] = e->p;
    emit_store(e, W64, ENV(rip), S0);
    emit_pop(e, S1);
    emit_load(e, W64, S1, rm_mem(S1, JIT_LINK_BYTES - 8));
    emit_patch(emit_jmp(e), t->jit->leave);

    t->jit->restore_flags = e->p;
    gen_restore_flags(t);
    emit_ret(e);
}

/* Calls fn(env, the record at S0's offset), all of the guest's state stored; goes on behind the call if it returns 0, with the flags
   in jit_flags, too; else leaves with what it returns less 1. */
static const uint8_t *common_exec(Translator *t, uint64_t (*fn)(CPUX86State *, const JitInsn *))
{
    Emitter *e = &t->e;
    const uint8_t *start = e->p;

    common_store_regs(t);
    emit_store(e, W64, ENV(jit_sp), H_SP);
    emit_load(e, W64, H_SP, ENV(jit_host_sp));
    emit_mov_imm(e, H_DI, (uint64_t)(uintptr_t)t->env);
    emit_mov_imm(e, H_SI, (uint64_t)(uintptr_t)t->jit->records);
    emit_alu(e, W64, ALU_ADD, H_SI, rm_reg(S0));
    emit_mov_imm(e, H_AX, (uint64_t)(uintptr_t)fn);
    emit_call_rm(e, rm_reg(H_AX));
    emit_alu(e, W64, ALU_OR, H_AX, rm_reg(H_AX));
    uint8_t *leave = emit_jcc(e, COND_NE);
    common_flags_to_ax(e);
    emit_store(e, W16, ENV(jit_flags), H_AX);
    emit_of_from_al(e);
    emit_sahf(e);
    common_load_regs(e);
    emit_load(e, W64, H_SP, ENV(jit_sp));
    emit_ret(e);
    emit_patch(leave, e->p);
    emit_alu_imm(e, W64, ALU_CMP, rm_reg(H_AX), JIT_LEAVE_LAST);
    uint8_t *elsewhere = emit_jcc(e, COND_A);
    emit_lea(e, W64, H_AX, rm_mem(H_AX, -1));
    common_epilogue(e);
    emit_patch(elsewhere, e->p);
    emit_mov(e, W64, S0, H_AX);
    common_go_to(e);
    return start;
}

/*
 * Where a return goes that the return stack did not foresee: S0 is the address, S2 the returning instruction's record,
 * flags are in jit_flags. The first way in is what lies at the bottom of the stack, which stays there.
 */
static void common_return_miss(Translator *t)
{
    Emitter *e = &t->e;
    uint8_t *not_canonical = NULL;

    t->jit->return_bottom = e->p + e->to_exec;
    emit_lea(e, W64, H_SP, rm_mem(H_SP, -8));
    t->jit->return_miss = e->p;
    gen_find_jump(t);
    uint8_t *miss = emit_jcc(e, COND_NE);
    emit_jmp_rm(e, rm_mem(S1, (int32_t)offsetof(JitJump, saved)));
    emit_patch(miss, e->p);
    emit_mov(e, W64, S1, S0);
    emit_shl(e, W64, S1, 16);
    emit_sar(e, W64, S1, 16);
    emit_alu(e, W64, ALU_CMP, S1, rm_reg(S0));
    not_canonical = emit_jcc(e, COND_NE);
    emit_patch(emit_jmp(e), t->jit->leave_saved_miss);
    emit_patch(not_canonical, e->p);
    emit_mov(e, W64, S0, S2);
    gen_restore_flags(t);
    emit_patch(emit_call(e), t->jit->undo_return);
}

void jit_translate_common(CPUX86State *env, CpuJit *jit)
{
    Translator t = {.e = {jit->write, jit->exec - jit->write}, .env = env, .jit = jit};

    gen_common_fpu(&t);
    gen_common_system(&t);
    common_enter(&t);
    common_leave(&t);
    jit->exec_insn_saved = t.e.p;
    gen_restore_flags(&t);
    jit->exec_insn = common_exec(&t, jit_exec_insn);
    jit->undo_return = common_exec(&t, jit_undo_return);
    common_return_miss(&t);
    for (unsigned cls = 0; cls < MMU_CLASSES; cls++) {
        for (unsigned ranged = 0; ranged < 2; ranged++) {
            gen_common_refill(&t, cls, MMU_READ, ranged);
            gen_common_refill(&t, cls, MMU_WRITE, ranged);
        }
    }
    jit->code_used = (size_t)(t.e.p - jit->write + 63) & ~(size_t)63;
}
