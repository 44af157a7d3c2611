/*
 * The translator: loops.
 *
 * Programs spend most of their time in blocks that jump back to their own start. Behind such a block the instructions up to that jump are
 * made a second time, for all rounds but the first. They begin with what is known where the jump is made, and end at it with the
 * same: the flags are not saved for exceptions, since the instruction that set them is known, and accesses off
 * registers that nothing in the loop changes have been looked at. Guest registers that live in CPUX86State change places with some that
 * the loop does not use; whatever leaves the loop, to a handler too, changes them back on its way.
 *
 * Only handlers, which come back through a look at what was known, and requests to leave, which each round looks for, can make it wrong.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/translate.h"

#include <string.h>

static bool jumps_to_start(Translator *t, const Insn *insn, uint64_t next_rip)
{
    uint64_t target;

    t->insn = insn;
    t->next_rip = next_rip;
    return insn->op == OP_JCC && target_of(t, &target) && target == t->block_rip;
}

unsigned find_loop(Translator *t, const Insn *insns, unsigned n)
{
    unsigned loop = NO_LOOP;
    uint64_t rip = t->block_rip;

    for (unsigned i = 0; i < n && i < JIT_LOOP_MAX_INSNS && t->word; i++) {
        rip = (rip + insns[i].len) & t->ip_mask;
        if (i && jumps_to_start(t, &insns[i], rip)) {
            loop = i;
        }
    }
    return loop;
}

/* ---- guest registers that change places ---- */

/* Registers of an instruction, a bit each; all of them where it is not one that names what it uses. */
static unsigned registers_used(const Insn *insn)
{
    unsigned used = 1u << R_SP;

    if (insn->insn_class != INSN_CLASS_INTEGER || !writes_only_operands(insn) || insn->op == OP_MULX) {
        return 0xffff;
    }
    for (unsigned i = 0; i < insn->nops; i++) {
        if (insn->ops[i].kind == OPND_GPR || insn->ops[i].kind == OPND_GPR8H) {
            used |= 1u << insn->ops[i].reg;
        }
    }
    used |= insn->base < 16 ? 1u << insn->base : 0;
    used |= insn->index < 16 ? 1u << insn->index : 0;
    return used;
}

static void choose_registers(Translator *t, const Insn *insns)
{
    static const uint8_t order[] = {R_11, R_10, R_9, R_8, R_BP, R_BX, R_SI, R_DX, R_CX, R_DI, R_AX};
    unsigned used = 0, next = 0;

    t->nswaps = 0;
    for (unsigned i = 0; i <= t->loop; i++) {
        used |= registers_used(&insns[i]);
    }
    for (unsigned guest = R_12; guest <= R_15; guest++) {
        while (next < sizeof(order) && used >> order[next] & 1) {
            next++;
        }
        if (used >> guest & 1 && next < sizeof(order)) {
            t->swaps[t->nswaps].guest = (uint8_t)guest;
            t->swaps[t->nswaps].place = order[next++];
            t->nswaps++;
        }
    }
}

/* `out` goes to CPUX86State, `in` comes from there. Flags are kept. */
static void gen_swap(Translator *t, unsigned host, unsigned out, unsigned in)
{
    emit_store(&t->e, W64, env_reg(out), host);
    emit_load(&t->e, W64, host, env_reg(in));
}

void gen_swap_in(Translator *t)
{
    for (unsigned i = 0; i < t->nswaps; i++) {
        gen_swap(t, t->swaps[i].place, t->swaps[i].place, t->swaps[i].guest);
        set_host_of(t->swaps[i].guest, t->swaps[i].place);
    }
    t->swapped = true;
}

void gen_swap_out(Translator *t)
{
    for (unsigned i = 0; i < t->nswaps; i++) {
        gen_swap(t, t->swaps[i].place, t->swaps[i].guest, t->swaps[i].place);
        set_host_of(t->swaps[i].guest, H_NONE);
    }
    t->swapped = false;
}

/* For code out of line: as at the jump that goes there. */
void assume_swapped(Translator *t, bool swapped)
{
    for (unsigned i = 0; i < t->nswaps; i++) {
        set_host_of(t->swaps[i].guest, swapped ? t->swaps[i].place : H_NONE);
    }
    t->swapped = swapped;
}

/* ---- rounds ---- */

/* What is known where the jump back is made, as far as all rounds can rely on it. */
typedef struct Known {
    const Insn *recipe;
    FpuPlace vectors, x87;
    uint32_t groups; /* active, a bit each */
} Known;

static Known what_is_known(const Translator *t)
{
    Known known = {t->recipe.insn, t->vectors, t->x87, 0};

    for (unsigned i = 0; i < t->ngroups; i++) {
        known.groups |= (uint32_t)(t->groups[i].active && t->groups[i].constant) << i;
    }
    return known;
}

/* Stubs remember few groups, the first ones. */
static void keep_first_groups(Known *known)
{
    uint32_t kept = 0;

    for (unsigned n = 0; n < MAX_STUB_GROUPS && known->groups; n++) {
        kept |= known->groups & -known->groups;
        known->groups &= known->groups - 1;
    }
    known->groups = kept;
}

/* A round begins: what the jump back leaves. */
static void assume(Translator *t, const Known *known)
{
    t->rip = t->block_rip;
    t->ended = t->saved = false;
    t->live = false;
    t->in_eflags = true;
    t->in_memory = false;
    t->recipe.insn = known->recipe;
    t->vectors = known->vectors;
    t->x87 = known->x87;
    t->fds_known = false;
    forget_kept(t);
    memset(t->kept_new, 0, sizeof(t->kept_new));
    t->delta_slot = 0;
    for (unsigned i = 0; i < t->ngroups; i++) {
        t->groups[i].active = known->groups >> i & 1;
        t->groups[i].moved = 0;
    }
}

static bool still_known(const Translator *t, const Known *known, const uint32_t *slots)
{
    Known now = what_is_known(t);

    for (unsigned i = 0; i < t->ngroups; i++) {
        if (known->groups >> i & 1 && t->groups[i].slot != slots[i]) {
            return false;
        }
    }
    return t->in_eflags && !t->x87_pointers.last && !t->x87_pointers.operand && now.recipe == known->recipe && now.vectors == known->vectors &&
           now.x87 == known->x87 && (now.groups & known->groups) == known->groups;
}

/* Each round looks whether somebody wants the thread. */
static void gen_look_in_round(Translator *t, const Known *known)
{
    Stub kick = {.target = t->block_rip, .flags_at = FLAGS_IN_EFLAGS, .swapped = t->swapped};

    if (t->needs_flags) {
        gen_flags_away(t);
        note_flags(t, &kick);
        t->saved = false;
    }
    gen_look_for_requests(t, kick, true);
    if (!t->needs_flags) {
        t->recipe.insn = NULL; /* nobody asks */
    }
    t->vectors = known->vectors;
    t->x87 = known->x87;
}

void gen_loop(Translator *t, const Insn *insns, const uint16_t *live, uint64_t *runs)
{
    Known known = what_is_known(t);
    uint8_t *first = t->loop_jump;
    uint32_t slots[MAX_GROUPS];
    uint64_t behind = t->rip;

    keep_first_groups(&known);
    for (unsigned i = 0; i < t->ngroups; i++) {
        slots[i] = t->groups[i].slot;
    }
    assume(t, &known);
    emit_patch(first, t->e.p);
    choose_registers(t, insns);
    gen_swap_in(t);
    uint8_t *head = t->e.p;
    gen_look_in_round(t, &known);
    if (runs) {
        gen_count(t, runs);
    }
    t->counted = 0;
    for (unsigned i = 0; i <= t->loop; i++) {
        gen_insn_at(t, insns, live, i);
    }
    if (still_known(t, &known, slots)) {
        emit_patch(t->loop_jump, head);
    } else {
        add_link(t, t->loop_jump, t->block_rip);
    }
    gen_swap_out(t);
    t->rip = behind;
    gen_goto(t, behind);
}
