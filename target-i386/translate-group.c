/*
 * The translator: accesses that share a check.
 *
 * Compiled code reaches most of its memory at small distances from a few registers: the stack pointer, pointers to structures. The accesses of a
 * block off the same register form a group. The first one looks whether the group's whole range lies in the page of the last-page slot; the
 * others then need no check at all, and touch no flags. What they do need, the page's distance between
 * linear and host addresses, is kept in S2, or loaded from the slot again. Constants added to the register in between (PUSH, POP,
 * ADD RSP) do no harm.
 *
 * A range that crosses pages, or whose page is none that may be accessed directly, has no group: then the block is left for
 * a plain one, without groups, from this instruction on.
 *
 * A group ends where its register gets another value. What the soft TLB says can change only where a handler runs: after one the
 * groups are looked at again.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/translate.h"

#include <string.h>

/* Larger displacements would need care with sums: those of 32-bit addresses may wrap, those of groups overflow. */
enum { MAX_SPAN = 512, MAX_PLAIN_DISP = 1 << 16, MAX_DISP = 1 << 30 };

/* ---- what an instruction does to the registers that addresses are made of ---- */

static bool is_constant(const Translator *t, const Insn *insn, unsigned operand)
{
    return insn->nops > operand && insn->ops[operand].kind == OPND_IMM && insn->opsize == t->word &&
           insn->imm > -MAX_PLAIN_DISP && insn->imm < MAX_PLAIN_DISP;
}

static bool writes_register(const Insn *insn, unsigned guest)
{
    for (unsigned i = 0; i < insn->nops; i++) {
        const InsnOperand *op = &insn->ops[i];
        if ((op->kind == OPND_GPR || op->kind == OPND_GPR8H) && op->reg == guest && op->access & OPND_WRITE) {
            return true;
        }
    }
    return false;
}

/* True: the register has another value by *by afterwards, or the same. False: some value. */
static bool changes_by(const Translator *t, const Insn *insn, unsigned guest, int32_t *by)
{
    bool named = writes_register(insn, guest);
    const InsnOperand *first = &insn->ops[0];

    *by = 0;
    switch (insn->op) {
    case OP_PUSH:
    case OP_POP:
        if (guest != R_SP || insn->opsize != t->word) {
            return !named && guest != R_SP;
        }
        *by = insn->op == OP_PUSH ? -(int32_t)t->word : (int32_t)t->word;
        return insn->op == OP_PUSH || !named;
    case OP_ADD:
    case OP_SUB:
        if (named && first->kind == OPND_GPR && is_constant(t, insn, 1)) {
            *by = (int32_t)(insn->op == OP_ADD ? insn->imm : -insn->imm);
            return true;
        }
        return !named;
    case OP_LEA:
        if (named && insn->base == guest && insn->index >= 16 && insn->opsize == t->word && insn->addrsize == t->word &&
            insn->disp > -MAX_PLAIN_DISP && insn->disp < MAX_PLAIN_DISP) {
            *by = (int32_t)insn->disp;
            return true;
        }
        return !named;
    case OP_MUL:
    case OP_IMUL:
    case OP_DIV:
    case OP_IDIV:
    case OP_CWD:
    case OP_CBW:
    case OP_CMPXCHG:
        return !named && guest != R_AX && guest != R_DX;
    case OP_XADD:
    case OP_XCHG:
        return !named;
    default:
        return !named && (writes_only_operands(insn) || insn->insn_class == INSN_CLASS_X87);
    }
}

/* ---- finding groups ---- */

static bool simple_operand(const Translator *t, const Insn *insn)
{
    if (insn->base >= 16 || insn->index < 16 || insn->addrsize != t->word || insn->flags & INSN_VSIB ||
        insn->seg == SEG_FS || insn->seg == SEG_GS || !segment_is_flat(t, insn->seg) || !insn->mem_size || insn->mem_size > 32 || !insn->off_modrm) {
        return false;
    }
    int64_t most = t->mode64 ? MAX_DISP : MAX_PLAIN_DISP;
    return insn->disp > -most && insn->disp < most;
}

typedef struct Finder {
    Translator *t;
    unsigned insn;   /* its number */
    int32_t at[16];  /* by register: what has been added since its group began */
    uint8_t open[16]; /* the group, of those in: */
    unsigned opened;  /* a bit each */
    bool jumped;     /* some of what follows may not run */
} Finder;

/* An access at reg + disp; the number of its group, or NO_GROUP. */
static uint8_t add_access(Finder *f, unsigned reg, int32_t disp, unsigned size, bool write)
{
    Translator *t = f->t;
    Group *g = f->opened >> reg & 1 ? &t->groups[f->open[reg]] : NULL;
    int32_t lo = (g ? f->at[reg] : 0) + disp, hi = lo + (int32_t)size;

    if (g) {
        int32_t new_lo = lo < g->lo ? lo : g->lo, new_hi = hi > g->hi ? hi : g->hi;
        /* A store that may never run must not ask for a page that it may not write. */
        if (new_hi - new_lo <= MAX_SPAN && (!write || g->write || !f->jumped || reg == R_SP)) {
            g->lo = new_lo;
            g->hi = new_hi;
            g->write |= write;
            g->last = (uint8_t)f->insn;
            g->count++;
            return f->open[reg];
        }
    }
    if (t->ngroups == MAX_GROUPS) {
        return NO_GROUP;
    }
    f->open[reg] = (uint8_t)t->ngroups;
    f->opened |= 1u << reg;
    f->at[reg] = 0;
    t->groups[t->ngroups] = (Group){.reg = (uint8_t)reg, .write = write, .count = 1, .first = (uint8_t)f->insn,
                                    .lo = disp, .hi = disp + (int32_t)size};
    return (uint8_t)t->ngroups++;
}

static void find_in_insn(Finder *f, const Insn *insn, uint8_t refs[2])
{
    Translator *t = f->t;
    int32_t word = (int32_t)t->word, by;

    if (simple_operand(t, insn)) {
        refs[REF_OPERAND] = add_access(f, insn->base, (int32_t)insn->disp, insn->mem_size, insn->flags & INSN_MEM_WRITE &&
                                       insn->op != OP_PUSH && insn->op != OP_CALL_IND);
    }
    if (insn->opsize == t->word) {
        switch (insn->op) {
        case OP_PUSH:
        case OP_CALL:
        case OP_CALL_IND:
            refs[REF_STACK] = add_access(f, R_SP, -word, (unsigned)word, true);
            break;
        case OP_POP:
        case OP_RET:
            refs[REF_STACK] = add_access(f, R_SP, 0, (unsigned)word, false);
            break;
        default:
            break;
        }
    }
    if (insn->flags & INSN_BRANCH) {
        f->jumped = true;
    }
    if (insn->op == OP_CALL || insn->op == OP_CALL_IND) {
        f->opened = 0;
    }
    for (unsigned left = f->opened; left; left &= left - 1) {
        unsigned reg = (unsigned)__builtin_ctz(left);
        if (changes_by(t, insn, reg, &by)) {
            f->at[reg] += by;
        } else {
            f->opened &= ~(1u << reg);
        }
    }
}

static bool is_constant_in_loop(const Translator *t, const Insn *insns, unsigned reg)
{
    int32_t by;

    for (unsigned i = 0; i <= t->loop; i++) {
        if (!changes_by(t, &insns[i], reg, &by) || by) {
            return false;
        }
    }
    return true;
}

/* Leaves out those of one access. */
static void keep_groups(Translator *t, unsigned n)
{
    uint8_t numbers[MAX_GROUPS];
    unsigned kept = 0;

    for (unsigned i = 0; i < t->ngroups; i++) {
        bool keep = t->groups[i].count > 1 || t->groups[i].constant;
        numbers[i] = keep ? (uint8_t)kept : NO_GROUP;
        if (keep) {
            t->groups[kept++] = t->groups[i];
        }
    }
    t->ngroups = kept;
    for (unsigned i = 0; i < n; i++) {
        for (unsigned r = REF_OPERAND; r <= REF_STACK; r++) {
            if (t->refs[i][r] != NO_GROUP) {
                t->refs[i][r] = numbers[t->refs[i][r]];
            }
        }
    }
}

void find_groups(Translator *t, const Insn *insns, unsigned n)
{
    Finder f = {.t = t};

    for (unsigned i = 0; i < n; i++) {
        t->refs[i][REF_OPERAND] = t->refs[i][REF_STACK] = NO_GROUP;
        f.insn = i;
        find_in_insn(&f, &insns[i], t->refs[i]);
    }
    for (unsigned i = 0; i < t->ngroups && t->loop != NO_LOOP; i++) {
        t->groups[i].constant = is_constant_in_loop(t, insns, t->groups[i].reg);
    }
    keep_groups(t, n);
}

/* ---- using them ---- */

void groups_after_insn(Translator *t)
{
    int32_t by;

    for (unsigned i = 0; i < t->ngroups; i++) {
        Group *g = &t->groups[i];
        if (t->at >= g->first && t->at < g->last && changes_by(t, t->insn, g->reg, &by)) {
            g->moved += by;
        }
        if (t->at >= g->last && !g->constant) {
            g->active = false; /* nobody asks for it any more */
        }
    }
}

void forget_groups(Translator *t)
{
    for (unsigned i = 0; i < t->ngroups; i++) {
        t->groups[i].active = false;
    }
    t->delta_slot = 0;
}

/* The address of its first byte, and whether it lies in the slot's page with the rest: below or equal. */
static void gen_group_address(Translator *t, const Group *g)
{
    int32_t disp = g->lo - g->moved;
    unsigned host = host_now(t, g->reg);

    if (host == H_NONE) {
        emit_load(&t->e, W64, S0, env_reg(g->reg));
        host = S0;
    }
    emit_lea(&t->e, W64, S0, rm_mem(host, disp));
}

static void start_group(Translator *t, Group *g)
{
    MmuAccess access = g->write ? MMU_WRITE : MMU_READ;

    gen_flags_away(t);
    HostRm at = rm_mem(host_of(g->reg), g->lo - g->moved);
    if (at.base == H_NONE) {
        gen_group_address(t, g);
    }
    g->slot = new_slot(t, (unsigned)(g->hi - g->lo), access); /* its own: nobody else may fill it meanwhile */
    Stub *s = gen_slot_check(t, g->slot, (unsigned)(g->hi - g->lo), access, at.base == H_NONE ? NULL : &at);
    s->kind = STUB_GROUP;
    s->target = t->rip;
    s->refill_slot = 0;
    gen_flags_back(t);
    g->active = true;
    t->delta_slot = 0;
}

/* Leaving the block here would let an interrupt in where STI still holds it off. */
static bool is_behind_sti(const Translator *t)
{
    return t->at && t->insn[-1].op == OP_STI;
}

/* The group of a reference, looked at; NULL: it has none. */
static Group *ready_group(Translator *t, unsigned ref)
{
    uint8_t n = t->refs[t->at][ref];

    if (n == NO_GROUP || t->plain || site_is_hashed(t) || is_behind_sti(t) ||
        (in_kernel(t) && t->groups[n].reg != R_SP)) {
        return NULL;
    }
    Group *g = &t->groups[n];
    if (!g->active) {
        start_group(t, g);
    }
    if (t->delta_slot != g->slot) {
        gen_load_delta(t, g->slot);
    }
    return g;
}

HostRm gen_mem(Translator *t, unsigned size, MmuAccess access)
{
    const Insn *insn = t->insn;
    HostRm rm = rm_mem(S2, 0);

    if (ready_group(t, REF_OPERAND)) {
        rm.index = (uint8_t)host_of(insn->base);
        rm.disp = (int32_t)insn->disp;
        if (rm.index == H_NONE) {
            gen_load_guest(t, S0, insn->base); /* whoever asks uses S1 */
            rm.index = S0;
        }
        return rm;
    }
    gen_flags_away(t);
    if (t->mode64 && simple_operand(t, insn) && host_of(insn->base) != H_NONE) {
        HostRm at = rm_mem(host_of(insn->base), (int32_t)insn->disp);
        note_simple_address(t);
        gen_delta(t, size, access, &at);
        rm.index = at.base; /* the load need not wait for the sum */
        rm.disp = at.disp;
    } else {
        gen_address(t);
        gen_delta(t, size, access, NULL);
        rm.index = S0;
    }
    gen_flags_back(t);
    return rm;
}

HostRm gen_stack_mem(Translator *t, int32_t disp, MmuAccess access)
{
    HostRm rm = rm_mem(S2, disp);

    rm.index = GUEST_SP;
    if (ready_group(t, REF_STACK)) {
        return rm;
    }
    gen_flags_away(t);
    if (t->mode64) {
        HostRm at = rm_mem(GUEST_SP, disp);
        note_stack_address(t);
        gen_delta(t, t->word, access, &at);
    } else {
        gen_stack_address(t, disp);
        gen_delta(t, t->word, access, NULL);
        rm.index = S0;
        rm.disp = 0;
    }
    gen_flags_back(t);
    return rm;
}

/* ---- out of line ---- */

void note_groups(Translator *t, Stub *s)
{
    s->back_slot = t->delta_slot;
    s->ngroups = 0;
    for (unsigned i = 0; i < t->ngroups; i++) {
        if (!t->groups[i].active) {
            continue;
        }
        if (s->ngroups == MAX_STUB_GROUPS) {
            t->groups[i].active = false;
            continue;
        }
        s->groups[s->ngroups] = t->groups[i];
        s->ngroups++;
    }
}

void gen_groups_again(Translator *t, const Stub *s)
{
    Emitter *e = &t->e;
    uint8_t *wrong[MAX_STUB_GROUPS], *right;

    if (s->ngroups) {
        for (unsigned i = 0; i < s->ngroups; i++) {
            const Group *g = &s->groups[i];
            gen_group_address(t, g);
            emit_alu(e, W64, ALU_SUB, S0, rm_env(g->slot + offsetof(JitSlot, tag)));
            gen_compare_limit(t, S0, g->slot, (unsigned)(g->hi - g->lo));
            wrong[i] = emit_jcc(e, COND_A);
        }
        right = emit_jmp(e);
        for (unsigned i = 0; i < s->ngroups; i++) {
            emit_patch(wrong[i], e->p);
        }
        if (s->swapped) {
            gen_swap_out(t);
        }
        uint64_t behind = s->ji->rip + s->ji->len;
        gen_mov_rip(t, S0, behind & t->ip_mask);
        gen_to_common(t, emit_jmp(e), t->jit->leave_saved_miss);
        emit_patch(right, e->p);
        assume_swapped(t, s->swapped);
        gen_to_common(t, emit_call(e), t->jit->restore_flags);
    }
    if (s->back_slot) {
        emit_load(e, W64, S2, rm_env(s->back_slot + offsetof(JitSlot, addend)));
    }
}
