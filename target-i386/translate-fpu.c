/*
 * The translator: where the guest's vector and x87 registers are.
 *
 * XMM, YMM and MXCSR stay in the host's registers of the same numbers from block to block; jit_vectors_away says whether
 * they do. A block that uses them looks once, mostly at its start, in the same comparison that looks for requests of other
 * threads: jit_vectors_away lies behind exit_request. Whoever leaves for C, by the ways all blocks share, stores them, C being free to
 * use the host's. So C always finds them in CPUX86State, and a block that has come back from C loads them before it goes on with them.
 *
 * The x87, MMX registers included, is the host's in the same way, and jit_x87_away lies before exit_request. But C has no use for
 * it, so it stays there until C wants to see the guest's: cpu_x87_sync().
 *
 * The pieces here change no general register, and those that load no flag.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/translate.h"

#define ENV(field) rm_env(offsetof(CPUX86State, field))

enum {
    OPC_MOVUPS_LOAD = 0x10, /* 0F */
    OPC_MOVUPS_STORE = 0x11,
    OPC_ORPS = 0x56,
    OPC_XORPS = 0x57,
    OPC_PCMPEQD = 0x76, /* 66 0F */
    OPC_MOVMSKPS = 0x50,
    OPC_VZEROUPPER = 0x77,   /* VEX, map 1 */
    OPC_VINSERTF128 = 0x18,  /* VEX, map 3 */
    OPC_VEXTRACTF128 = 0x19,
    OPC_JECXZ = 0xe3,
    PFX_ADDRSIZE = 0x67,
    OPC_GROUP15 = 0xae, /* 0F */
    GROUP15_XRSTOR = 5,
    VECTORS = 16,
};

static HostRm env_xmm(unsigned n)
{
    return rm_env(offsetof(CPUX86State, fpu) + offsetof(FpuState, xmm) + 16 * n);
}

static HostRm env_ymmh(unsigned n)
{
    return rm_env(offsetof(CPUX86State, fpu) + offsetof(FpuState, ymmh) + 16 * n);
}

static void emit_vzeroupper(Emitter *e)
{
    static const uint8_t bytes[] = {0xc5, 0xf8, OPC_VZEROUPPER};

    emit_bytes(e, bytes, sizeof(bytes));
}

static void common_load_lower(Emitter *e)
{
    for (unsigned n = 0; n < VECTORS; n++) {
        emit_op(e, EMIT_0F, OPC_MOVUPS_LOAD, n, env_xmm(n));
    }
}

static void common_end_load(Emitter *e, bool wide)
{
    emit_ldmxcsr(e, ENV(fpu.mxcsr));
    emit_store_imm(e, W32, ENV(jit_vectors_wide), wide);
    emit_store_imm(e, W32, ENV(jit_vectors_away), 0);
    emit_ret(e);
}

/* Leaves all bits of ECX set where no upper half has any. */
static void common_upper_zero(Emitter *e)
{
    emit_op(e, EMIT_0F, OPC_MOVUPS_LOAD, 0, env_ymmh(0));
    for (unsigned n = 1; n < VECTORS; n++) {
        emit_op(e, EMIT_0F, OPC_ORPS, 0, env_ymmh(n));
    }
    emit_op(e, EMIT_0F, OPC_XORPS, 1, rm_reg(1));
    emit_op(e, EMIT_66 | EMIT_0F, OPC_PCMPEQD, 0, rm_reg(1));
    emit_op(e, EMIT_0F, OPC_MOVMSKPS, H_CX, rm_reg(0));
}

/*
 * With AVX. Upper halves that are all zero, as they mostly are, are made so at once: the host then knows, and SSE
 * instructions need not keep them.
 */
static void common_load_wide(Emitter *e)
{
    emit_store(e, W64, ENV(jit_save[0]), H_CX);
    common_upper_zero(e);
    emit_lea(e, W32, H_CX, rm_mem(H_CX, -15));
    emit_byte(e, PFX_ADDRSIZE);
    emit_byte(e, OPC_JECXZ);
    emit_byte(e, 5); /* over the next */
    uint8_t *not_zero = emit_jmp(e);
    emit_load(e, W64, H_CX, ENV(jit_save[0]));
    emit_vzeroupper(e);
    common_load_lower(e);
    common_end_load(e, true);

    emit_patch(not_zero, e->p);
    emit_load(e, W64, H_CX, ENV(jit_save[0]));
    common_load_lower(e);
    for (unsigned n = 0; n < VECTORS; n++) {
        emit_vex(e, (VexForm){.map = 3, .pp = 1, .vvvv = (uint8_t)n, .l = true}, OPC_VINSERTF128, n, env_ymmh(n));
        emit_byte(e, 1);
    }
    common_end_load(e, true);
}

/* The host's MXCSR becomes C's again. Changes flags. */
static void common_store(Emitter *e)
{
    for (unsigned n = 0; n < VECTORS; n++) {
        emit_op(e, EMIT_0F, OPC_MOVUPS_STORE, n, env_xmm(n));
    }
    emit_stmxcsr(e, ENV(fpu.mxcsr));
    emit_ldmxcsr(e, ENV(jit_mxcsr));
    emit_store_imm(e, W32, ENV(jit_vectors_away), 1);
    emit_alu_imm(e, W32, ALU_CMP, ENV(jit_vectors_wide), 0);
    uint8_t *narrow = emit_jcc(e, COND_E);
    for (unsigned n = 0; n < VECTORS; n++) {
        emit_vex(e, (VexForm){.map = 3, .pp = 1, .l = true}, OPC_VEXTRACTF128, n, env_ymmh(n));
        emit_byte(e, 1);
    }
    emit_vzeroupper(e);
    emit_patch(narrow, e->p);
    emit_ret(e);
}

/* Only the x87 component of the area, which by its header is the only one there. */
static void common_load_x87(Emitter *e)
{
    emit_store(e, W64, ENV(jit_save[0]), H_AX);
    emit_store(e, W64, ENV(jit_save[1]), H_DX);
    emit_store_imm(e, W64, ENV(fpu.xsave_header), JIT_XCOMP_X87);
    emit_mov_imm(e, H_AX, JIT_XCOMP_X87);
    emit_mov_imm(e, H_DX, 0);
    emit_op(e, EMIT_W | EMIT_0F, OPC_GROUP15, GROUP15_XRSTOR, ENV(fpu));
    emit_store_imm(e, W32, ENV(jit_x87_away), 0);
    emit_load(e, W64, H_AX, ENV(jit_save[0]));
    emit_load(e, W64, H_DX, ENV(jit_save[1]));
    emit_ret(e);
}

void gen_common_fpu(Translator *t)
{
    Emitter *e = &t->e;
    CpuJit *jit = t->jit;

    jit->load_vectors = e->p;
    common_load_lower(e);
    common_end_load(e, false);
    jit->load_vectors_wide = e->p;
    common_load_wide(e);
    jit->store_vectors = e->p;
    common_store(e);
    jit->load_x87 = e->p;
    common_load_x87(e);
}

void gen_common_leave_vectors(Translator *t)
{
    emit_alu_imm(&t->e, W32, ALU_CMP, ENV(jit_vectors_away), 0);
    uint8_t *away = emit_jcc(&t->e, COND_NE);
    emit_patch(emit_call(&t->e), t->jit->store_vectors);
    emit_patch(away, t->e.p);
}

static void gen_load_vectors(Translator *t)
{
    gen_to_common(t, emit_call(&t->e), t->key & JIT_KEY_AVX ? t->jit->load_vectors_wide : t->jit->load_vectors);
}

static void gen_load_x87(Translator *t)
{
    gen_to_common(t, emit_call(&t->e), t->jit->load_x87);
}

void gen_load_if_away(Translator *t, FpuUse use)
{
    Emitter *e = &t->e;

    if (use.vectors) {
        emit_alu_imm(e, W32, ALU_CMP, ENV(jit_vectors_away), 0);
        uint8_t *live = emit_jcc(e, COND_E);
        gen_load_vectors(t);
        emit_patch(live, e->p);
    }
    if (use.x87) {
        emit_alu_imm(e, W32, ALU_CMP, ENV(jit_x87_away), 0);
        uint8_t *live = emit_jcc(e, COND_E);
        gen_load_x87(t);
        emit_patch(live, e->p);
    }
}

void gen_back_from_handler(Translator *t, FpuUse use)
{
    if (use.vectors) {
        gen_load_vectors(t);
    }
    if (use.x87) { /* it may be where it was */
        gen_save_flags(t);
        gen_load_if_away(t, (FpuUse){.x87 = true});
        gen_restore_flags(t);
    }
}

/* In the midst of a block, or even of an instruction. */
static void gen_look(Translator *t, size_t away, FpuUse use)
{
    gen_flags_away(t);
    emit_alu_imm(&t->e, W32, ALU_CMP, rm_env(away), 0);
    Stub *s = add_stub(t, STUB_FPU, emit_jcc(&t->e, COND_NE));
    forget_kept(t); /* what is loaded there uses S0 to S2 */
    s->fpu = use;
    s->back = t->e.p;
    s->x87_pointers = (X87Pointers){NULL};
    gen_flags_back(t);
}

void gen_need_vectors(Translator *t)
{
    if (t->vectors == FPU_AWAY) {
        gen_load_vectors(t);
    } else if (t->vectors == FPU_UNKNOWN) {
        gen_look(t, offsetof(CPUX86State, jit_vectors_away), (FpuUse){.vectors = true});
    }
    t->vectors = FPU_LIVE;
}

void gen_need_x87(Translator *t)
{
    if (t->x87 != FPU_LIVE) {
        gen_look(t, offsetof(CPUX86State, jit_x87_away), (FpuUse){.x87 = true});
    }
    t->x87 = FPU_LIVE;
}

/* ---- at the start of a block ---- */

static void gen_kick_unless_zero(Translator *t, unsigned width, size_t field, Stub kick)
{
    emit_alu_imm(&t->e, width, ALU_CMP, rm_env(field), 0);
    kick.kind = STUB_KICK;
    kick.rel = emit_jcc(&t->e, COND_NE);
    kick.back = t->e.p;
    *add_stub(t, STUB_KICK, kick.rel) = kick;
}

/* Lockstep: leaves where the number of such places that may be passed is used up. */
static void gen_kick_out_of_budget(Translator *t, size_t budget, Stub kick)
{
    emit_alu_imm(&t->e, W32, ALU_SUB, rm_env(budget), 1);
    kick.kind = STUB_KICK;
    kick.rel = emit_jcc(&t->e, COND_B);
    kick.fpu = (FpuUse){false, false};
    *add_stub(t, STUB_KICK, kick.rel) = kick;
}

void gen_look_for_requests(Translator *t, Stub kick, bool round)
{
    if (t->jit->budget) {
        gen_kick_out_of_budget(t, round ? offsetof(CPUX86State, jit_rounds) : offsetof(CPUX86State, jit_budget), kick);
    }
    size_t requests = offsetof(CPUX86State, exit_request), x87 = offsetof(CPUX86State, jit_x87_away);

    _Static_assert(offsetof(CPUX86State, jit_vectors_away) == offsetof(CPUX86State, exit_request) + 4 &&
                       offsetof(CPUX86State, jit_x87_away) == offsetof(CPUX86State, exit_request) - 4,
                   "one comparison looks at two of them");
    if (kick.fpu.vectors) {
        gen_kick_unless_zero(t, W64, requests, kick);
        if (kick.fpu.x87) {
            gen_kick_unless_zero(t, W32, x87, kick);
        }
    } else if (kick.fpu.x87) {
        gen_kick_unless_zero(t, W64, x87, kick);
    } else {
        gen_kick_unless_zero(t, W32, requests, kick);
    }
    t->vectors = kick.fpu.vectors ? FPU_LIVE : FPU_UNKNOWN;
    t->x87 = kick.fpu.x87 ? FPU_LIVE : FPU_UNKNOWN;
}

void gen_kick_or_load(Translator *t, const Stub *s)
{
    Emitter *e = &t->e;

    if (!s->fpu.vectors && !s->fpu.x87) {
        return;
    }
    emit_alu_imm(e, W32, ALU_CMP, ENV(exit_request), 0);
    uint8_t *requested = emit_jcc(e, COND_NE);
    gen_load_if_away(t, s->fpu);
    emit_patch(emit_jmp(e), s->back);
    emit_patch(requested, e->p);
}
