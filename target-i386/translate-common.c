/*
 * The translator: pieces that all families use, and the code all blocks share (entry, exit, calls of handlers).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/translate.h"

#define ENV(field) rm_env(offsetof(CPUX86State, field))

unsigned host_of(unsigned guest)
{
    return guest == R_SP ? (unsigned)GUEST_SP : guest >= R_12 ? H_NONE : guest;
}

HostRm env_reg(unsigned guest)
{
    return rm_env(offsetof(CPUX86State, regs) + 8 * guest);
}

void gen_flags_to_ax(Translator *t)
{
    emit_mov(&t->e, W64, S2, H_AX);
    emit_lahf(&t->e);
    emit_seto_al(&t->e);
}

void gen_flags_from_ax(Translator *t)
{
    emit_of_from_al(&t->e);
    emit_sahf(&t->e);
    emit_mov(&t->e, W64, H_AX, S2);
}

void gen_save_flags(Translator *t)
{
    gen_flags_to_ax(t);
    emit_store(&t->e, W16, ENV(jit_flags), H_AX);
    emit_mov(&t->e, W64, H_AX, S2);
}

void gen_restore_flags(Translator *t)
{
    emit_mov(&t->e, W64, S2, H_AX);
    emit_load_u16(&t->e, H_AX, ENV(jit_flags));
    gen_flags_from_ax(t);
}

/* Copies a guest register into a host register. */
void gen_load_guest(Translator *t, unsigned host, unsigned guest)
{
    if (host_of(guest) == H_NONE) {
        emit_load(&t->e, W64, host, env_reg(guest));
    } else {
        emit_mov(&t->e, W64, host, host_of(guest));
    }
}

void gen_store_guest(Translator *t, unsigned guest, unsigned host)
{
    if (host_of(guest) == H_NONE) {
        emit_store(&t->e, W64, env_reg(guest), host);
    } else {
        emit_mov(&t->e, W64, host_of(guest), host);
    }
}

JitInsn *insn_record(Translator *t)
{
    if (!t->ji) {
        t->ji = jit_record(t->jit, sizeof(JitInsn));
        *t->ji = (JitInsn){.insn = *t->insn, .rip = t->rip, .key = t->key, .end = JIT_END_NONE};
        if (exec_ends_block(t->insn) && !(t->insn->flags & INSN_STRING && !(t->insn->flags & INSN_IOPL))) {
            t->ji->end = exec_is_near_end(t->insn) ? JIT_END_NEAR : JIT_END_OUTER;
        }
    }
    return t->ji;
}

Stub *add_stub(Translator *t, StubKind kind, uint8_t *rel)
{
    Stub *s = &t->stubs[t->nstubs++];

    *s = (Stub){.kind = kind, .rel = rel, .x87_pointers = t->x87_pointers};
    return s;
}

void gen_slow_unless(Translator *t, unsigned good_cond)
{
    Stub *s = add_stub(t, STUB_HANDLER, emit_jcc(&t->e, good_cond ^ 1));

    s->ji = insn_record(t);
    s->saved = t->saved;
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

static void common_epilogue(Emitter *e)
{
    for (unsigned i = sizeof(host_saved); i--;) {
        emit_pop(e, host_saved[i]);
    }
    emit_ret(e);
}

void jit_translate_common(CPUX86State *env, CpuJit *jit)
{
    Translator t = {.e = {jit->write, jit->exec - jit->write}, .env = env, .jit = jit};
    Emitter *e = &t.e;

    gen_common_fpu(&t);
    gen_common_system(&t);

    /* enter(code, env) */
    jit->enter = (uint64_t (*)(const uint8_t *, CPUX86State *))(void *)(e->p + e->to_exec);
    for (unsigned i = 0; i < sizeof(host_saved); i++) {
        emit_push(e, host_saved[i]);
    }
    emit_mov(e, W64, S0, H_DI);
    common_flags_to_ax(e);
    emit_store(e, W16, ENV(jit_flags), H_AX);
    common_load_regs(e);
    emit_jmp_rm(e, rm_reg(S0));

    /* leave: S1 is what enter() returns; rip is stored, flags are in EFLAGS */
    jit->leave = e->p;
    common_store_regs(&t);
    emit_mov(e, W64, H_AX, S1);
    common_epilogue(e);

    /* leave_saved_miss: S0 is rip, flags are in jit_flags */
    jit->leave_saved_miss = e->p;
    emit_store(e, W64, ENV(rip), S0);
    gen_restore_flags(&t);
    emit_mov_imm(e, S1, JIT_LEAVE_LOOKUP);
    emit_patch(emit_jmp(e), jit->leave);

    /* exec_insn: called with S0 the JitInsn, flags in EFLAGS */
    jit->exec_insn = e->p;
    common_store_regs(&t);
    emit_mov_imm(e, H_DI, (uint64_t)(uintptr_t)env);
    emit_mov(e, W64, H_SI, S0);
    emit_mov_imm(e, H_AX, (uint64_t)(uintptr_t)jit_exec_insn);
    emit_call_rm(e, rm_reg(H_AX));
    emit_alu(e, W64, ALU_OR, H_AX, rm_reg(H_AX));
    uint8_t *leave = emit_jcc(e, COND_NE);
    common_flags_to_ax(e);
    emit_of_from_al(e);
    emit_sahf(e);
    common_load_regs(e);
    emit_ret(e);
    emit_patch(leave, e->p);
    emit_lea(e, W64, H_AX, rm_mem(H_AX, -1));
    emit_pop(e, H_CX); /* the return address */
    common_epilogue(e);

    jit->code_used = (size_t)(e->p - jit->write + 63) & ~(size_t)63;
}
