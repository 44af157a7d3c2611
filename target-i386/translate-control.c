/*
 * The translator: near jumps, calls, returns; the ways out of a block.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/translate.h"

static HostRm jump_field(unsigned reg, int32_t base, size_t field)
{
    return rm_mem(reg, base + (int32_t)field);
}

/* Where links lead. An instruction that ends in the next page counts as being there. */
static bool same_page(const Translator *t, uint64_t target)
{
    return t->page_offset + (target - t->block_rip) < GUEST_PAGE_SIZE && target != t->in_two_pages;
}

/* The same of an entry whose place depends on an address, which may change without the code's length. */
static HostRm known_jump_field(unsigned reg, int32_t base, size_t field)
{
    HostRm rm = jump_field(reg, base, field);

    rm.kind = RM_MEM_WIDE;
    return rm;
}

/* The compare that finds the jump table's entry for a known address; S0 is the address, S1 the table. */
static HostRm gen_find_known(Translator *t, uint64_t target)
{
    Emitter *e = &t->e;
    int32_t at = (int32_t)(jit_jump_index(target) * sizeof(JitJump));

    gen_mov_rip(t, S0, target);
    emit_load(e, W64, S1, rm_env(offsetof(CPUX86State, jit_jumps)));
    emit_alu(e, W64, ALU_CMP, S0, known_jump_field(S1, at, offsetof(JitJump, rip)));
    note_move(t, MOVE_JUMP, e->p - 4);
    gen_to_common(t, emit_jcc(e, COND_NE), t->jit->leave_saved_miss);
    return known_jump_field(S1, at, offsetof(JitJump, saved));
}

/* On to a known address in another page: flags are in jit_flags. */
static void gen_goto_other_page(Translator *t, uint64_t target)
{
    emit_jmp_rm(&t->e, gen_find_known(t, target));
    note_move(t, MOVE_JUMP_SAVED, t->e.p - 4);
}

Stub *add_link(Translator *t, uint8_t *rel, uint64_t target)
{
    Stub *s = add_stub(t, STUB_LINK, rel);

    s->target = target;
    s->poll = target <= t->rip;
    note_flags(t, s);
    return s;
}

void gen_goto(Translator *t, uint64_t target)
{
    if (same_page(t, target)) {
        if (!t->in_memory) {
            gen_flags_to_eflags(t);
        }
        add_link(t, emit_jmp(&t->e), target);
    } else {
        gen_flags_to_memory(t);
        gen_goto_other_page(t, target);
    }
    t->ended = true;
}

void gen_goto_by_table(Translator *t, uint64_t target)
{
    gen_goto_other_page(t, target);
    t->ended = true;
}

/* Looks for the address in S0 in the jump table: equal if it is there, S1 is the entry then. */
void gen_find_jump(Translator *t)
{
    Emitter *e = &t->e;
    enum { ENTRY_SHIFT = 4 };
    _Static_assert(sizeof(JitJump) == 1 << ENTRY_SHIFT, "the shift below scales by an entry's size");

    emit_mov(e, W32, S1, S0); /* jit_jump_index() */
    emit_shr(e, W32, S1, JIT_JUMP_TABLE_BITS);
    emit_alu(e, W32, ALU_XOR, S1, rm_reg(S0));
    emit_alu_imm(e, W32, ALU_AND, rm_reg(S1), JIT_JUMP_TABLE_SIZE - 1);
    emit_shl(e, W32, S1, ENTRY_SHIFT);
    emit_alu(e, W64, ALU_ADD, S1, rm_env(offsetof(CPUX86State, jit_jumps)));
    emit_alu(e, W64, ALU_CMP, S0, jump_field(S1, 0, offsetof(JitJump, rip)));
}

/* Looks up the code for the address in S0; what has none goes to the handler. S1: the table's entry. */
static void gen_lookup(Translator *t)
{
    gen_find_jump(t);
    gen_slow_unless(t, COND_E);
}

bool target_of(const Translator *t, uint64_t *target)
{
    *target = t->next_rip + (uint64_t)t->insn->imm;
    if (!t->word) {
        *target &= t->insn->opsize == 2 ? 0xffffu : 0xffffffffu;
        return *target <= t->ip_mask;
    }
    if (!t->mode64) {
        *target = (uint32_t)*target;
    } else if ((uint64_t)((int64_t)(*target << 16) >> 16) != *target) {
        return false;
    }
    return t->insn->opsize == t->word;
}

/* S1 is used, and what gen_stack_mem() uses. */
static void gen_push_return(Translator *t)
{
    Emitter *e = &t->e;
    HostRm rm = gen_stack_mem(t, -(int32_t)t->word, MMU_WRITE);

    if (t->word == W32 || (int64_t)t->next_rip == (int32_t)t->next_rip) {
        emit_store_imm(e, t->word, rm, (int32_t)t->next_rip);
        note_rip32(t, t->next_rip);
    } else {
        gen_mov_rip(t, S1, t->next_rip);
        emit_store(e, W64, rm, S1);
    }
    emit_lea(e, t->word, GUEST_SP, rm_mem(GUEST_SP, -(int32_t)t->word));
}

static bool gen_jmp(Translator *t)
{
    uint64_t target;

    if (!target_of(t, &target)) {
        return false;
    }
    gen_goto(t, target);
    return true;
}

static bool gen_jcc(Translator *t)
{
    uint64_t target;

    if (!target_of(t, &target)) {
        return false;
    }
    uint8_t *rel = emit_jcc(&t->e, t->insn->cond);
    if (t->at == t->loop) {
        t->loop_jump = rel;
        return true;
    }
    if (same_page(t, target)) {
        add_link(t, rel, target);
    } else {
        Stub *s = add_stub(t, STUB_GOTO, rel);
        s->target = target;
        note_flags(t, s);
    }
    return true;
}

/*
 * Calls and returns use the host's own, so that it predicts them: a call leaves the address behind it, the pad, on the stack that
 * translated code runs on, a return goes to the uppermost pad with the guest's return address in S0. The pad looks whether that is
 * the address it stands for. So the stack need not be right, only full of pads: whoever drops blocks has
 * translated code left first, which begins with an empty one.
 */
static void gen_pad(Translator *t)
{
    Emitter *e = &t->e;

    if (t->word != W64 || (int64_t)t->next_rip == (int32_t)t->next_rip) {
        emit_alu_imm(e, t->mode64 ? W64 : W32, ALU_CMP, rm_reg(S0), (int32_t)t->next_rip);
        note_rip32(t, t->next_rip);
    } else {
        gen_mov_rip(t, S1, t->next_rip);
        emit_alu(e, W64, ALU_CMP, S0, rm_reg(S1));
    }
    gen_to_common(t, emit_jcc(e, COND_NE), t->jit->return_miss);
    t->in_memory = true;
    t->in_eflags = false;
    t->recipe.insn = NULL;
    t->vectors = t->x87 = FPU_UNKNOWN;
    forget_groups(t);
}

/* Both whether somebody wants the thread and whether there is room for another pad. */
static uint8_t *gen_call_check(Translator *t)
{
    emit_alu(&t->e, W64, ALU_CMP, H_SP, rm_env(offsetof(CPUX86State, jit_stack_limit)));
    return emit_jcc(&t->e, COND_B);
}

static bool gen_call(Translator *t)
{
    uint64_t target;

    if (!target_of(t, &target)) {
        return false;
    }
    gen_flags_to_memory(t);
    gen_flags_away(t);
    gen_push_return(t);
    gen_call_to(t, target);
    return true;
}

void gen_call_to(Translator *t, uint64_t target)
{
    uint8_t *kicked = gen_call_check(t);
    Stub *s = add_stub(t, STUB_KICK, kicked);
    s->target = target;
    s->flags_at = FLAGS_IN_MEMORY;
    if (same_page(t, target)) {
        add_link(t, emit_call(&t->e), target)->poll = false;
    } else {
        emit_call_rm(&t->e, gen_find_known(t, target));
        note_move(t, MOVE_JUMP_SAVED, t->e.p - 4);
    }
    gen_pad(t);
}

static bool gen_ret(Translator *t)
{
    const Insn *insn = t->insn;
    int32_t more = insn->nops ? (uint16_t)insn->imm : 0;

    if (insn->opsize != t->word) {
        return false;
    }
    gen_flags_to_memory(t);
    gen_flags_away(t);
    emit_load(&t->e, t->word, S0, gen_stack_mem(t, 0, MMU_READ));
    emit_lea(&t->e, t->word, GUEST_SP, rm_mem(GUEST_SP, (int32_t)t->word + more));
    gen_mov_record(t, S2, insn_record(t));
    emit_ret(&t->e);
    t->ended = true;
    return true;
}

/* The target of an indirect jump or call in S0; flags are away. */
static bool gen_indirect_target(Translator *t)
{
    const Insn *insn = t->insn;

    if (insn->opsize != t->word) {
        return false;
    }
    if (insn->ops[0].kind == OPND_MEM) {
        if (!can_address(t)) {
            return false;
        }
        gen_flags_to_memory(t);
        gen_flags_away(t);
        emit_load(&t->e, t->word, S0, gen_mem(t, t->word, MMU_READ));
        t->saved = true;
    } else {
        gen_flags_to_memory(t);
        gen_flags_away(t);
        gen_load_guest(t, S0, insn->ops[0].reg);
        if (t->word == W32) {
            emit_mov(&t->e, W32, S0, S0);
        }
    }
    return true;
}

static bool gen_jmp_ind(Translator *t)
{
    if (!gen_indirect_target(t)) {
        return false;
    }
    gen_lookup(t);
    emit_jmp_rm(&t->e, jump_field(S1, 0, offsetof(JitJump, saved)));
    t->ended = true;
    return true;
}

static bool gen_call_ind(Translator *t)
{
    HostRm temp = rm_env(offsetof(CPUX86State, jit_temp));

    if (!gen_indirect_target(t)) {
        return false;
    }
    gen_lookup(t);
    emit_store(&t->e, W64, temp, S1);
    gen_push_return(t);
    emit_load(&t->e, W64, S1, temp);
    emit_load(&t->e, W64, S0, jump_field(S1, 0, offsetof(JitJump, rip)));
    gen_to_common(t, gen_call_check(t), t->jit->leave_saved_miss);
    emit_call_rm(&t->e, jump_field(S1, 0, offsetof(JitJump, saved)));
    gen_pad(t);
    return true;
}

bool gen_control(Translator *t)
{
    switch (t->insn->op) {
    case OP_JMP:
        return gen_jmp(t);
    case OP_JCC:
        return gen_jcc(t);
    case OP_CALL:
        return gen_call(t);
    case OP_RET:
        return gen_ret(t);
    case OP_JMP_IND:
        return gen_jmp_ind(t);
    case OP_CALL_IND:
        return gen_call_ind(t);
    default:
        return false;
    }
}

/* ---- out of line ---- */

/* Where the flags are for what the stub goes on to, JIT_FROM_*; made, if they are nowhere. */
static unsigned stub_flags_from(Translator *t, const Stub *s)
{
    if (s->flags_at == FLAGS_IN_MEMORY) {
        return JIT_FROM_MEMORY;
    }
    gen_stub_flags(t, s);
    return JIT_FROM_EFLAGS;
}

static void gen_stub_handler(Translator *t, const Stub *s)
{
    Emitter *e = &t->e;

    bool saved = stub_flags_from(t, s) == JIT_FROM_MEMORY;
    if (s->swapped) {
        gen_swap_out(t);
    }
    gen_call_handler(t, s->ji, saved);
    if (s->back) {
        if (s->swapped) {
            gen_swap_in(t);
        }
        gen_groups_again(t, s);
        gen_back_from_handler(t, s->fpu);
        gen_kept_again(t, s);
        emit_patch(emit_jmp(e), s->back);
    }
}

/* Out to the jump at `rel`, which is to be linked. */
static void gen_leave_to_link(Translator *t, uint64_t target, const uint8_t *rel, uint64_t bits, unsigned from)
{
    uint64_t link = (bits | (uint64_t)(rel - t->jit->write) << JIT_LINK_SHIFT) >> JIT_LINK_SHIFT;

    gen_mov_rip(t, S0, target);
    emit_patch(emit_call(&t->e), t->jit->link[from]);
    note_link(t, rel);
    emit_bytes(&t->e, &link, JIT_LINK_BYTES);
}

static void gen_stub(Translator *t, const Stub *s)
{
    Emitter *e = &t->e;
    uint64_t link;

    emit_patch(s->rel, e->p);
    assume_swapped(t, s->swapped);
    if (s->kind == STUB_REFILL || s->kind == STUB_GROUP) {
        gen_refill(t, s);
    }
    gen_store_x87_pointers(t, &s->x87_pointers);
    switch (s->kind) {
    case STUB_REFILL:
        gen_stub_handler(t, s);
        break;
    case STUB_HANDLER:
        gen_stub_handler(t, s);
        break;
    case STUB_GROUP: {
        unsigned from = stub_flags_from(t, s);
        if (s->swapped) {
            gen_swap_out(t);
        }
        uint8_t *rel = emit_jmp(e);
        emit_patch(rel, e->p);
        gen_leave_to_link(t, s->target, rel, (from == JIT_FROM_EFLAGS ? JIT_LINK_EFLAGS : JIT_LINK_MEMORY) | JIT_LINK_PLAIN, from);
        break;
    }
    case STUB_LINK: {
        unsigned from = stub_flags_from(t, s);
        link = s->flags_at == FLAGS_IN_EFLAGS ? JIT_LINK_EFLAGS : 0;
        link |= s->in_memory ? JIT_LINK_MEMORY : 0;
        link |= s->poll ? JIT_LINK_POLL : 0;
        uint8_t *rel = s->rel;
        if (s->swapped) {
            gen_swap_out(t);
            rel = emit_jmp(e);
            emit_patch(rel, e->p);
        }
        gen_leave_to_link(t, s->target, rel, link, from);
        break;
    }
    case STUB_GOTO:
        if (!s->in_memory) {
            gen_save_flags(t);
        }
        if (s->swapped) {
            gen_swap_out(t);
        }
        gen_goto_other_page(t, s->target);
        break;
    case STUB_FPU:
        gen_load_if_away(t, s->fpu);
        emit_patch(emit_jmp(e), s->back);
        break;
    case STUB_KICK: {
        gen_kick_or_load(t, s);
        bool saved = stub_flags_from(t, s) == JIT_FROM_MEMORY;
        if (s->swapped) {
            gen_swap_out(t);
        }
        if (t->env->lockstep && s->flags_at == FLAGS_IN_EFLAGS) {
            emit_store_imm(e, W32, rm_env(offsetof(CPUX86State, jit_flags_dead)), 1);
        }
        gen_mov_rip(t, S0, s->target);
        gen_to_common(t, emit_jmp(e), saved ? t->jit->leave_saved_miss : t->jit->leave_miss);
        break;
    }
    }
}

void gen_stubs(Translator *t)
{
    t->out_of_line = true;
    for (unsigned i = 0; i < t->nstubs; i++) {
        gen_stub(t, &t->stubs[i]);
    }
    assume_swapped(t, false);
}
