/*
 * The translator: blocks. Decodes the instructions, finds out where flags are live, emits one after the other.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/translate.h"

/* ---- liveness of the arithmetic flags ---- */

/* Undefined flags that the host's instruction sets without regard to what they were. */
static bool undefined_is_set(const Insn *insn)
{
    switch (insn->op) {
    case OP_AND:
    case OP_OR:
    case OP_XOR:
    case OP_TEST:
    case OP_MUL:
    case OP_IMUL:
    case OP_DIV:
    case OP_IDIV:
        return true;
    case OP_SHL:
    case OP_SHR:
    case OP_SAR:
        return !(insn->flags & INSN_EFLAGS_COND);
    default:
        return false;
    }
}

/* The flags whose values before the instruction matter, from those that matter behind it. */
static uint16_t live_before(const Insn *insn, uint16_t live)
{
    uint16_t changed = insn->eflags_written | insn->eflags_undefined;

    uint16_t set = insn->flags & INSN_EFLAGS_COND ? 0
                   : undefined_is_set(insn)       ? changed
                                                  : insn->eflags_written;

    /* What changes some flags keeps the others in EFLAGS: they have to be there. */
    if (changed & EFL_ARITH) {
        live = EFL_ARITH;
    }
    return ((live & ~set) | insn->eflags_read) & EFL_ARITH;
}

/* ---- blocks ---- */

static void gen_handler_call(Translator *t)
{
    JitInsn *ji = insn_record(t);

    if (!t->in_eflags) {
        gen_restore_flags(t);
    }
    emit_mov_imm(&t->e, S0, (uint64_t)(uintptr_t)ji);
    emit_patch(emit_call(&t->e), t->jit->exec_insn);
    t->ended = ji->end != JIT_END_NONE;
    t->in_eflags = true;
    t->in_memory = false;
    t->vectors = FPU_AWAY;
    t->x87 = FPU_UNKNOWN;
}

static void gen_insn(Translator *t)
{
    t->ji = NULL;
    t->saved = false;
    gen_before_insn_x87(t, exec_ends_block(t->insn));
    uint8_t *start = t->e.p;
    t->first_stub = t->nstubs;
    bool in_memory = t->in_memory, in_eflags = t->in_eflags;
    FpuPlace vectors = t->vectors, x87 = t->x87;
    bool system = gen_system(t);
    bool native = system || (t->insn->op != OP_INVALID &&
                             (gen_integer(t) || gen_control(t) || gen_vector(t) || gen_x87(t)));
    if (!native) {
        t->e.p = start;
        t->nstubs = t->first_stub;
        t->saved = false;
        t->ended = false;
        t->in_memory = in_memory;
        t->in_eflags = in_eflags;
        t->vectors = vectors;
        t->x87 = x87;
        gen_before_insn_x87(t, true);
        gen_handler_call(t);
    } else if (!system && t->insn->eflags_written | t->insn->eflags_undefined) {
        t->in_eflags = true;
        t->in_memory = false;
    }
    for (unsigned i = t->first_stub; i < t->nstubs; i++) {
        if (t->stubs[i].kind == STUB_HANDLER && !t->ended) {
            t->stubs[i].back = t->e.p;
            t->stubs[i].fpu = (FpuUse){t->vectors == FPU_LIVE, t->x87 == FPU_LIVE};
        }
    }
}

/* Whether something may leave for a handler, which wants exact flags, before all of them are overwritten. */
static bool flags_are_needed(const Insn *insns, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (insns[i].flags & (INSN_MEM_READ | INSN_MEM_WRITE | INSN_MAY_FAULT | INSN_ENDS_BLOCK)) {
            return true;
        }
        if ((insns[i].eflags_written & EFL_ARITH) == EFL_ARITH) {
            return false;
        }
    }
    return true;
}

/* Looks whether somebody wants the thread: the flags' three cases. */
static void gen_block_entry(Translator *t, JitBlock *b, bool needed, FpuUse use)
{
    Emitter *e = &t->e;
    Stub kick = {.fpu = use, .target = t->block_rip};

    if (t->live) {
        b->saved = e->p + e->to_exec;
        gen_restore_flags(t);
        b->direct = e->p + e->to_exec;
        gen_flags_to_ax(t);
        kick.in_ax = true;
        gen_look_for_requests(t, kick);
        gen_flags_from_ax(t);
    } else {
        b->direct = e->p + e->to_exec;
        if (needed) {
            gen_save_flags(t);
        }
        b->saved = e->p + e->to_exec;
        kick.saved = needed;
        gen_look_for_requests(t, kick);
    }
    t->in_eflags = t->live || !needed;
    t->in_memory = !t->live && needed;
}

static unsigned decode_block(CPUX86State *env, const uint8_t *host, unsigned avail, Insn *insns)
{
    unsigned n = 0, bytes = 0;

    while (n < JIT_BLOCK_MAX_INSNS) {
        Insn *insn = &insns[n];
        if (exec_decode(env, host + bytes, avail - bytes, insn) == INSN_TRUNCATED) {
            break;
        }
        n++;
        bytes += insn->len;
        if (exec_ends_block(insn) && !(insn->flags & INSN_STRING && !(insn->flags & INSN_IOPL)) &&
            !system_goes_on(jit_key(env), insn)) {
            break;
        }
    }
    return n;
}

static FpuUse fpu_use(const Translator *t, const Insn *insns, unsigned n)
{
    FpuUse all = {false, false};

    for (unsigned i = 0; i < n; i++) {
        FpuUse use = vector_use(t, &insns[i]);
        all.vectors |= use.vectors;
        all.x87 |= use.x87 || wants_x87(t, &insns[i]);
    }
    return all;
}

JitBlock *jit_translate(CPUX86State *env, const uint8_t *host, unsigned avail, ram_addr ram)
{
    CpuJit *jit = env->jit;
    Insn insns[JIT_BLOCK_MAX_INSNS];
    uint16_t live[JIT_BLOCK_MAX_INSNS + 1];
    unsigned n = decode_block(env, host, avail, insns);

    if (n == 0) {
        return NULL;
    }
    live[n] = EFL_ARITH;
    for (unsigned i = n; i--;) {
        live[i] = live_before(&insns[i], live[i + 1]);
    }

    Translator t = {.e = {jit->write + jit->code_used, jit->exec - jit->write}, .env = env, .jit = jit};
    t.mode64 = env->hflags & HF_CS64;
    t.word = t.mode64 ? 8 : 4;
    t.cls = env->tlb->data_class;
    t.key = jit_key(env);
    t.block_rip = t.rip = env->rip;
    t.live = live[0];

    JitBlock *b = jit_record(jit, sizeof(*b));
    *b = (JitBlock){.ram = ram, .rip = env->rip, .key = t.key};
    gen_block_entry(&t, b, flags_are_needed(insns, n), fpu_use(&t, insns, n));
    for (unsigned i = 0; i < n && !t.ended; i++) {
        t.insn = &insns[i];
        t.next_rip = t.rip + insns[i].len;
        if (!t.mode64) {
            t.next_rip = (uint32_t)t.next_rip;
        }
        t.live = live[i];
        t.live_behind = live[i + 1];
        t.last = i + 1 == n;
        gen_insn(&t);
        t.rip = t.next_rip;
    }
    if (!t.ended) {
        gen_before_insn_x87(&t, true);
        gen_goto(&t, t.rip, false);
    }
    gen_stubs(&t);
    jit->code_used = (size_t)(t.e.p - jit->write + 15) & ~(size_t)15;
    return b;
}
