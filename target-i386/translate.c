/*
 * The translator: blocks. Decodes the instructions, finds out where flags are live, emits one after the other.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/translate.h"

#include <string.h>

#include "target-i386/jit-stats.h"

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

/* Whether control goes on elsewhere, or comes back only later. */
static bool leaves(const Insn *insn)
{
    switch (insn->op) {
    case OP_JMP:
    case OP_JMP_IND:
    case OP_CALL:
    case OP_CALL_IND:
    case OP_RET:
        return true;
    default:
        return false;
    }
}

/* The flags it sets whatever they were. */
static uint16_t flags_set(const Insn *insn)
{
    uint16_t set = insn->flags & INSN_EFLAGS_COND ? 0
                   : undefined_is_set(insn)       ? insn->eflags_written | insn->eflags_undefined
                                                  : insn->eflags_written;

    return set & EFL_ARITH;
}

/* The flags whose values in EFLAGS before the instruction matter, from those that matter behind it. */
static uint16_t live_before(const Insn *insn, uint16_t live)
{
    if (leaves(insn)) {
        return 0; /* where it leads finds them wherever they are */
    }
    return ((live & ~flags_set(insn)) | insn->eflags_read) & EFL_ARITH;
}

/* What changes some flags keeps the others in EFLAGS: they have to be there. */
static bool keeps_some_flags(const Insn *insn)
{
    return (insn->eflags_written | insn->eflags_undefined) & EFL_ARITH && flags_set(insn) != EFL_ARITH;
}

/* ---- blocks ---- */

static void gen_handler_call(Translator *t)
{
    JitInsn *ji = insn_record(t);

    keep_insn(t);
    bool swapped = t->swapped;
    gen_flags_to_eflags(t);
    if (swapped) {
        gen_swap_out(t);
    }
    gen_call_handler(t, ji, false);
    if (swapped) {
        gen_swap_in(t);
    }
    t->ended = ji->end != JIT_END_NONE;
    t->in_eflags = true;
    t->in_memory = false;
    t->recipe.insn = NULL;
    t->vectors = FPU_AWAY;
    t->x87 = FPU_UNKNOWN;
    forget_groups(t);
}

/* What is known at a point of a block; where an attempt at an instruction goes back to. */
typedef struct Place {
    uint8_t *p;
    bool in_memory, in_eflags;
    FlagsRecipe recipe;
    FpuPlace vectors, x87;
    unsigned nslots;
    uint32_t delta_slot;
    uint32_t active_groups; /* a bit each */
    uint16_t named;
    uint8_t kept[3];
    bool moves, rip_operand, absolute_operand;
    uint8_t *moves_at;
    unsigned nmoves;
} Place;

static Place this_place(const Translator *t)
{
    Place place = {t->e.p, t->in_memory, t->in_eflags, t->recipe, t->vectors, t->x87, t->nslots, t->delta_slot, 0, t->e.named, {0},
                   t->moves, t->rip_operand, t->absolute_operand, t->moves_at, t->nmoves};

    memcpy(place.kept, t->kept, sizeof(place.kept));

    for (unsigned i = 0; i < t->ngroups; i++) {
        place.active_groups |= (uint32_t)t->groups[i].active << i;
    }
    return place;
}

static void go_back(Translator *t, const Place *place)
{
    t->e.p = place->p;
    t->in_memory = place->in_memory;
    t->in_eflags = place->in_eflags;
    t->recipe = place->recipe;
    t->vectors = place->vectors;
    t->x87 = place->x87;
    t->nslots = place->nslots;
    t->delta_slot = place->delta_slot;
    t->e.named = place->named;
    memcpy(t->kept, place->kept, sizeof(t->kept));
    t->moves = place->moves;
    t->rip_operand = place->rip_operand;
    t->absolute_operand = place->absolute_operand;
    t->moves_at = place->moves_at;
    t->nmoves = place->nmoves;
    memset(t->kept_new, 0, sizeof(t->kept_new));
    for (unsigned i = 0; i < t->ngroups; i++) {
        t->groups[i].active = place->active_groups >> i & 1;
    }
    t->nstubs = t->first_stub;
    t->saved = false;
    t->ended = false;
}

/* Its code may go round: what is true at its start the first time need not be so the next. */
static bool loops_inside(const Insn *insn)
{
    return insn->flags & (INSN_STRING | INSN_VSIB | INSN_SYSTEM);
}

static void gen_insn(Translator *t)
{
    t->ji = NULL;
    t->saved = false;
    t->segment = SEG_COUNT;
    t->fixed = false; /* only gen_address() knows: LEAVE, strings, gathers have addresses of their own */
    gen_before_insn_x87(t, exec_ends_block(t->insn));
    t->first_stub = t->nstubs;
    if (loops_inside(t->insn)) {
        forget_kept(t);
    }
    flags_before_insn(t);
    if (t->live) {
        gen_flags_to_eflags(t);
    }
    Place place = this_place(t);
    bool native = gen_segmented(t) || gen_string(t) || gen_system(t);
    if (native && (t->insn->eflags_written | t->insn->eflags_undefined) & EFL_ARITH) {
        t->recipe.insn = NULL; /* where they have put flags they say themselves; what set them before does not make these */
    }
    if (!native) {
        go_back(t, &place);
        if (t->insn->op != OP_INVALID && (gen_integer(t) || gen_control(t) || gen_vector(t) ||
                                             gen_x87(t) || gen_bmi(t))) {
            flags_after_insn(t);
            native = true;
        } else {
            go_back(t, &place);
            gen_before_insn_x87(t, true);
            gen_handler_call(t);
        }
    }
    if (t->ji) {
        t->ji->native = native;
    }
    t->saved = false;
    groups_after_insn(t);
    kept_after_insn(t);
    for (unsigned i = t->first_stub; i < t->nstubs && !t->ended; i++) {
        if (t->stubs[i].kind == STUB_HANDLER || t->stubs[i].kind == STUB_REFILL) {
            t->stubs[i].back = t->e.p;
            note_groups(t, &t->stubs[i]);
            note_kept(t, &t->stubs[i]);
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

/* Looks whether somebody wants the thread, and at where the FPU's registers are. */
static void gen_poll(Translator *t, FlagsAt flags)
{
    gen_look_for_requests(t, (Stub){.fpu = t->entry_use, .target = t->block_rip, .flags_at = (uint8_t)flags}, false);
}

static bool checks_fpu(const Translator *t)
{
    return t->entry_use.vectors || t->entry_use.x87;
}

/*
 * The ways into a block: with the flags in EFLAGS or in jit_flags; with or without a look whether somebody wants the thread, which
 * jumps back and from outside the page make. What is rare is out of line, made by gen_rare_entries(). A block that has to look for
 * its FPU registers looks for both always.
 */
static void gen_block_entry(Translator *t, JitBlock *b)
{
    Emitter *e = &t->e;

    if (!t->live) {
        b->entry[JIT_FROM_EFLAGS][JIT_POLL] = e->p + e->to_exec;
        if (t->needs_flags) {
            gen_save_flags(t);
        }
        b->entry[JIT_FROM_MEMORY][JIT_POLL] = e->p + e->to_exec;
        gen_poll(t, t->needs_flags ? FLAGS_IN_MEMORY : FLAGS_IN_EFLAGS);
    } else if (checks_fpu(t)) {
        b->entry[JIT_FROM_EFLAGS][JIT_POLL] = e->p + e->to_exec;
        gen_flags_to_ax(t);
        gen_poll(t, FLAGS_IN_AX);
        gen_flags_from_ax(t);
    }
    t->body = e->p;
    t->in_eflags = t->live || !t->needs_flags;
    t->in_memory = !t->live && t->needs_flags;
}

static const uint8_t *gen_rare_entry(Translator *t, bool save, bool poll, bool restore, const uint8_t *to)
{
    Emitter *e = &t->e;
    const uint8_t *start = e->p + e->to_exec;

    if (save) {
        gen_save_flags(t);
    }
    if (poll) {
        gen_poll(t, FLAGS_IN_MEMORY);
    }
    if (restore) {
        gen_restore_flags(t);
    }
    emit_patch(emit_jmp(e), to);
    return start;
}

static void gen_rare_entries(Translator *t, JitBlock *b)
{
    const uint8_t *body = t->body, *body_exec = body + t->e.to_exec;
    const uint8_t *(*entry)[2] = b->entry;

    if (!t->live) {
        entry[JIT_FROM_EFLAGS][JIT_NO_POLL] = t->needs_flags ? gen_rare_entry(t, true, false, false, body) : body_exec;
        entry[JIT_FROM_MEMORY][JIT_NO_POLL] = body_exec;
    } else if (!checks_fpu(t)) {
        entry[JIT_FROM_EFLAGS][JIT_NO_POLL] = body_exec;
        entry[JIT_FROM_EFLAGS][JIT_POLL] = gen_rare_entry(t, true, true, true, body);
        entry[JIT_FROM_MEMORY][JIT_NO_POLL] = gen_rare_entry(t, false, false, true, body);
        entry[JIT_FROM_MEMORY][JIT_POLL] = gen_rare_entry(t, false, true, true, body);
    } else {
        entry[JIT_FROM_MEMORY][JIT_POLL] =
            gen_rare_entry(t, false, false, true, entry[JIT_FROM_EFLAGS][JIT_POLL] - t->e.to_exec);
    }
    if (checks_fpu(t)) {
        entry[JIT_FROM_EFLAGS][JIT_NO_POLL] = entry[JIT_FROM_EFLAGS][JIT_POLL];
        entry[JIT_FROM_MEMORY][JIT_NO_POLL] = entry[JIT_FROM_MEMORY][JIT_POLL];
    }
    b->wants_memory = !t->live;
}

void gen_count(Translator *t, uint64_t *counter)
{
    Emitter *e = &t->e;

    gen_mov_pointer(t, S0, counter);
    emit_load(e, W64, S1, rm_mem(S0, 0));
    emit_lea(e, W64, S1, rm_mem(S1, 1));
    emit_store(e, W64, rm_mem(S0, 0), S1);
}

/* Lockstep: instructions up to number `end` of the block will have run where this is passed. S1 is used, flags are kept. */
static void gen_count_insns(Translator *t, unsigned end)
{
    if (t->jit->counts_insns && end != t->counted) {
        HostRm field = rm_env(offsetof(CPUX86State, jit_insns));
        emit_load(&t->e, W64, S1, field);
        emit_lea(&t->e, W64, S1, rm_mem(S1, (int32_t)(end - t->counted)));
        emit_store(&t->e, W64, field, S1);
        t->counted = end;
    }
}

/* Whether a block may go on behind the instruction, which leads elsewhere sometimes, or comes back. */
static bool goes_on(const Insn *insn)
{
    return insn->op == OP_JCC || insn->op == OP_CALL || insn->op == OP_CALL_IND ||
           (insn->flags & INSN_STRING && !(insn->flags & INSN_IOPL));
}

static unsigned decode_block(CPUX86State *env, const uint8_t *host, unsigned avail, Insn *insns)
{
    unsigned n = 0, bytes = 0, branches = 0;

    while (n < JIT_BLOCK_MAX_INSNS) {
        Insn *insn = &insns[n];
        if (exec_decode(env, host + bytes, avail - bytes, insn) == INSN_TRUNCATED) {
            break;
        }
        n++;
        bytes += insn->len;
        if (exec_ends_block(insn)) {
            if (!(goes_on(insn) || system_goes_on(jit_key(env), insn)) ||
                (insn->flags & INSN_BRANCH && ++branches == JIT_BLOCK_MAX_BRANCHES)) {
                break;
            }
        }
    }
    return n;
}

/* The registers that are used before control can go elsewhere. */
static FpuUse fpu_use(const Translator *t, const Insn *insns, unsigned n)
{
    FpuUse all = {false, false};

    for (unsigned i = 0; i < n && !(insns[i].flags & INSN_BRANCH); i++) {
        FpuUse use = vector_use(t, &insns[i]);
        all.vectors |= use.vectors;
        all.x87 |= use.x87 || wants_x87(t, &insns[i]);
    }
    return all;
}

/* Where behind the block an instruction begins that goes on in the next page. */
static uint64_t find_in_two_pages(CPUX86State *env, const uint8_t *host, unsigned avail, const Insn *insns, unsigned n)
{
    unsigned bytes = 0;
    Insn next;

    for (unsigned i = 0; i < n; i++) {
        bytes += insns[i].len;
    }
    unsigned left = avail - bytes;
    return left && left < INSN_MAX_LENGTH && exec_decode(env, host + bytes, left, &next) == INSN_TRUNCATED
               ? env->rip + bytes
               : JIT_NO_RIP;
}

static bool is_flat32(const CPUX86State *env)
{
    const uint32_t all = HF_FLAT | HF_CS32 | HF_SS32;

    return (env->hflags & all) == all;
}

void gen_insn_at(Translator *t, const Insn *insns, const uint16_t *live, unsigned i)
{
    const Insn *insn = &insns[i];

    t->at = i;
    t->insn = insn;
    if (t->jit->stats.ops) {
        gen_count(t, &t->jit->stats.ops[2 * insn->op]);
    }
    if (insn->flags & INSN_BRANCH && exec_is_near_end(insn)) {
        gen_count_insns(t, i + 1);
    }
    t->next_rip = (t->rip + insn->len) & t->ip_mask;
    t->live = live[i] || keeps_some_flags(insn);
    t->live_behind = live[i + 1];
    t->last = i == t->last_insn;
    gen_insn(t);
    t->rip = t->next_rip;
}

/*
 * Makes a block of the first *count instructions. NULL if one of them turns out to end it, *count is how many are in it then: nothing behind
 * that, whose bytes are not watched, may have a part in it.
 */
static JitBlock *translate(CPUX86State *env, const uint8_t *host, unsigned avail, ram_addr ram, bool plain, const Insn *insns, unsigned *count)
{
    CpuJit *jit = env->jit;
    uint16_t live[JIT_BLOCK_MAX_INSNS + 1];
    unsigned n = *count;

    static _Thread_local Translator translator; /* large, and most of it needs no clearing */
    Translator *t = &translator;
    memset(t, 0, offsetof(Translator, moves_list));
    t->nstubs = 0;
    t->e = (Emitter){jit->write + jit->code_used, jit->exec - jit->write, 0};
    t->insns = insns;
    t->env = env;
    t->jit = jit;
    t->mode64 = env->hflags & HF_CS64;
    t->word = t->mode64 ? 8 : is_flat32(env) ? 4 : 0;
    t->ip_mask = t->mode64 ? ~0ull : env->hflags & HF_CS32 ? 0xffffffffu : 0xffffu;
    t->page_offset = ram & (GUEST_PAGE_SIZE - 1);
    t->cls = env->tlb->data_class;
    t->key = jit_key(env);
    t->block_rip = t->rip = env->rip;
    t->block_ram = ram;
    t->moves_at = t->e.p;
    t->moves = move_zone(env, t->key, env->rip);
    t->slots_before = jit->slots_given;
    t->loop = find_loop(t, insns, n);
    if (t->loop != NO_LOOP) {
        n = t->loop + 1;
    }
    t->ninsns = n;
    t->last_insn = n - 1;
    live[n] = 0;
    for (unsigned i = n; i--;) {
        live[i] = live_before(&insns[i], live[i + 1]);
    }
    t->in_two_pages = find_in_two_pages(env, host, avail, insns, n);
    t->live = live[0] || keeps_some_flags(&insns[0]);
    if (t->live) {
        t->loop = NO_LOOP;
    }
    t->needs_flags = flags_are_needed(insns, n);
    t->entry_use = fpu_use(t, insns, n);
    t->plain = plain || !t->word || t->key & HF_AC;
    if (!t->plain) {
        find_groups(t, insns, n);
    }
    bool live_on_entry = t->live;

    JitBlock *b = jit_record(jit, sizeof(*b));
    *b = (JitBlock){.ram = ram, .rip = env->rip, .key = t->key | (plain ? JIT_KEY_PLAIN : 0)};
    gen_block_entry(t, b);
    if (jit->profile) {
        gen_count(t, &b->runs);
    }
    const uint8_t *places[JIT_BLOCK_MAX_INSNS + 1];
    unsigned made = 0;
    for (unsigned i = 0; i < n && !t->ended; i++) {
        places[made++] = t->e.p;
        gen_insn_at(t, insns, live, i);
    }
    if (made < n) {
        *count = made;
        return NULL;
    }
    if (!t->ended) {
        gen_before_insn_x87(t, true);
        gen_count_insns(t, n);
        gen_goto(t, t->rip);
    }
    places[made] = t->e.p;
    if (t->loop_jump) {
        gen_loop(t, insns, live, jit->profile ? &b->runs : NULL);
    }
    t->live = live_on_entry;
    gen_rare_entries(t, b);
    gen_stubs(t);
    b->code_size = (uint32_t)(t->e.p - (jit->write + jit->code_used));
    keep_moves(t, b);
    jit_stats_block(env, b, insns, made, jit->write + jit->code_used, places, t->e.p);
    b->before_two_pages = t->in_two_pages != JIT_NO_RIP;
    b->bytes = (uint16_t)((t->rip - t->block_rip) & t->ip_mask);
    jit->code_used = (size_t)(t->e.p - jit->write + 15) & ~(size_t)15;
    return b;
}

JitBlock *jit_translate(CPUX86State *env, const uint8_t *host, unsigned avail, ram_addr ram, bool plain)
{
    CpuJit *jit = env->jit;
    Insn insns[JIT_BLOCK_MAX_INSNS];
    unsigned n = decode_block(env, host, avail, insns);
    const JitSlotsGiven given = jit->slots_given;
    const size_t records = jit->records_used;
    JitBlock *b = NULL;

    while (n && !(b = translate(env, host, avail, ram, plain, insns, &n))) {
        jit->slots_given = given;
        jit->records_used = records;
    }
    return b;
}
