/*
 * Translated code of one vCPU: the way from an address to a block, entering and leaving.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/jit.h"

#include <asm/prctl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "target-i386/code-cache.h"
#include "target-i386/exec.h"
#include "target-i386/jit-stats.h"
#include "target-i386/lockstep.h"
#include "target-i386/mem.h"
#include "target-i386/seg.h"
#include "target-i386/vcpu.h"
#include "util/log.h"

#define HOST_MXCSR 0x1f80u /* as C code expects it: all exceptions masked, round to nearest */

/* ---- the jump tables ---- */

/* Guest code may well try to go to JIT_NO_RIP: no entry has an address that is looked for in it. */
static uint64_t no_rip(unsigned at)
{
    return at == jit_jump_index(JIT_NO_RIP) ? JIT_NO_RIP + 1 : JIT_NO_RIP;
}

static void init_table(JitTable *table)
{
    for (unsigned i = 0; i < JIT_JUMP_TABLE_SIZE; i++) {
        table->jumps[i].rip = no_rip(i);
    }
    table->ready = true;
}

/* Most are small when a process gives way to the next. */
static void clear_table(JitTable *table)
{
    if (!table->ready || table->filled > JIT_TABLE_LISTED) {
        init_table(table);
    }
    for (unsigned i = 0; i < table->filled && table->filled <= JIT_TABLE_LISTED; i++) {
        table->jumps[table->places[i]].rip = no_rip(table->places[i]);
    }
    table->filled = 0;
    memset(table->pages, 0, sizeof(table->pages));
    table->used = table->nonglobal = false;
}

/* What leads to other code now must not be gone on with. */
static void forget_table(CpuJit *jit, JitTable *table)
{
    clear_table(table);
    if (table == jit->table) {
        jit->stop = true;
    }
}

void jit_forget_jumps(CpuJit *jit)
{
    for (unsigned i = 0; i < JIT_TABLES; i++) {
        if (jit->tables[i].used) {
            clear_table(&jit->tables[i]);
        }
    }
}

void jit_forget_jumps_to(CpuJit *jit, const JitBlock *b)
{
    unsigned at = jit_jump_index(b->rip);

    for (unsigned i = 0; i < JIT_TABLES; i++) {
        if (!jit->tables[i].used || jit->tables[i].key != b->key) {
            continue;
        }
        JitJump *jump = &jit->tables[i].jumps[at];
        if (jump->rip == b->rip && jump->saved == b->entry[JIT_FROM_MEMORY][JIT_POLL]) {
            jump->rip = no_rip(at);
        }
    }
}

/*
 * Each page has three bits: nearly all others' have at least one that is not set. A page of data that has the bits of code costs a look
 * at all of the table's jumps each time that its mapping changes.
 */
enum { PAGE_HASHES = 3 };

static unsigned page_bit(uint64_t linear, unsigned which)
{
    uint64_t page = linear >> GUEST_PAGE_BITS;
    uint64_t product = (page ^ page >> 26) * 0x9e3779b97f4a7c15u;

    return (unsigned)(which ? product >> (64 - which * JIT_TABLE_PAGES_BITS) : page ^ page >> 14) % JIT_TABLE_PAGES;
}

static void note_page(JitTable *table, uint64_t linear)
{
    for (unsigned i = 0; i < PAGE_HASHES; i++) {
        table->pages[page_bit(linear, i) / 64] |= 1ull << page_bit(linear, i) % 64;
    }
}

static bool leads_to_page(const JitTable *table, uint64_t linear)
{
    for (unsigned i = 0; i < PAGE_HASHES; i++) {
        unsigned bit = page_bit(linear, i);
        if (!(table->pages[bit / 64] >> bit % 64 & 1)) {
            return false;
        }
    }
    return true;
}

/* Whether the address, an offset in CS, lies in the page, or so near before it that an instruction there may go on in it. */
static bool in_page(const JitTable *table, uint64_t rip, uint64_t page)
{
    uint64_t linear = table->key & HF_CS64 ? rip : (uint32_t)(table->cs_base + rip);

    return linear - page + INSN_MAX_LENGTH < GUEST_PAGE_SIZE + INSN_MAX_LENGTH;
}

/* The page is mapped elsewhere now: what may lead there goes, the rest stays. */
static void forget_page(CpuJit *jit, JitTable *table, uint64_t linear)
{
    bool listed = table->filled <= JIT_TABLE_LISTED;
    unsigned n = listed ? table->filled : JIT_JUMP_TABLE_SIZE;

    for (unsigned i = 0; i < n; i++) {
        unsigned at = listed ? table->places[i] : i;
        if (in_page(table, table->jumps[at].rip, linear & GUEST_PAGE_MASK)) {
            table->jumps[at].rip = no_rip(at);
        }
    }
    if (table == jit->table) {
        jit->stop = true;
    }
}

static uint32_t cs_base(const CPUX86State *env)
{
    return env->hflags & HF_CS64 ? 0 : (uint32_t)env->segs[SEG_CS].base;
}

static void add_jump(CPUX86State *env, JitTable *table, const uint8_t *code)
{
    uint64_t linear = env->hflags & HF_CS64 ? env->rip : (uint32_t)(cs_base(env) + env->rip);

    unsigned at = jit_jump_index(env->rip);

    if (table->jumps[at].rip == no_rip(at) && table->filled++ < JIT_TABLE_LISTED) {
        table->places[table->filled - 1] = (uint16_t)at;
    }
    table->jumps[at] = (JitJump){env->rip, code};
    note_page(table, linear);
    table->nonglobal |= !mmu_page_is_global(env, linear);
    table->used = true;
}

/* The address behind the page of rip, where an instruction in two pages goes on. */
static uint64_t second_page(const CPUX86State *env)
{
    uint64_t linear = (env->rip | (GUEST_PAGE_SIZE - 1)) + 1;

    return env->hflags & HF_CS64 ? linear : (uint32_t)linear;
}

/* The block at rip has an instruction in two pages: its way is good as long as the second page is mapped there. */
static void add_jump_of_two(CPUX86State *env, JitTable *table)
{
    uint64_t second = second_page(env);

    note_page(table, second);
    table->nonglobal |= !mmu_page_is_global(env, second);
}

static JitTable *choose_table(CpuJit *jit, uint32_t key, uint32_t base)
{
    JitTable *oldest = jit->tables;

    for (unsigned i = 0; i < JIT_TABLES; i++) {
        JitTable *table = &jit->tables[i];
        if (table->ready && table->key == key && table->cs_base == base) {
            return table;
        }
        if (table->last_use < oldest->last_use) {
            oldest = table;
        }
    }
    clear_table(oldest);
    oldest->key = key;
    oldest->cs_base = base;
    return oldest;
}

/* ---- from an address to a block ---- */

/* Handlers keep thunks of the executor's cache. */
static void forget_thunks(CPUX86State *env, CpuJit *jit)
{
    if (jit->flushes_seen != env->code_cache->flushes) {
        jit->flushes_seen = env->code_cache->flushes;
        jit_cache_flush(jit);
    }
}

/*
 * An instruction that begins in `avail` bytes at the end of a page and goes on in the next: a block of its own. It is found by the
 * jump tables only, never linked to, since the second page may be mapped elsewhere one day while the first stays.
 */
static JitBlock *translate_in_two_pages(CPUX86State *env, CpuJit *jit, const uint8_t *host, unsigned avail, bool plain)
{
    uint8_t bytes[2 * INSN_MAX_LENGTH];
    unsigned second_avail;
    hwaddr phys;
    bool flat = env->hflags & HF_CS64 || (env->hflags & (HF_FLAT | HF_CS32)) == (HF_FLAT | HF_CS32);
    const uint8_t *second =
        flat && avail < INSN_MAX_LENGTH ? mem_code_ptr(env, second_page(env), &second_avail, &phys) : NULL;
    JitBlock *b;
    Insn insn;

    if (!second) {
        return NULL;
    }
    do {
        memcpy(bytes, host, avail);
        memcpy(bytes + avail, second, INSN_MAX_LENGTH);
        if (exec_decode(env, bytes, avail + INSN_MAX_LENGTH, &insn) != INSN_OK || insn.len <= avail) {
            return NULL;
        }
        jit_cache_make_room(jit);
        b = jit_translate(env, bytes, insn.len, (ram_addr)(host - memory_ram_base()), plain);
        if (b) {
            b->bytes = (uint16_t)avail;
            b->nmoves = 0;
            b->second = (ram_addr)(second - memory_ram_base());
            b->second_bytes = (uint16_t)(insn.len - avail);
        }
    } while (b && !jit_cache_watch(env, b, bytes));
    return b;
}

/* Whether the second page is still the one that the block was made of. */
static bool still_in_two_pages(CPUX86State *env, const JitBlock *b)
{
    unsigned avail;
    hwaddr phys;
    const uint8_t *second = mem_code_ptr(env, second_page(env), &avail, &phys);

    return second && (ram_addr)(second - memory_ram_base()) == b->second;
}

/* Which page tables are in use; not 0. */
static uint32_t page_table_root(const CPUX86State *env)
{
    uint64_t base = env->hflags & HF_LMA ? env->cr3 >> 12 << 12 : env->cr3; /* what is below may be a PCID */

    return (uint32_t)(base >> 5) | 1;
}

static void note_maker(const CPUX86State *env, JitBlock *b)
{
    b->root = page_table_root(env);
    b->made = (uint32_t)env->jit->stats.entered;
}

/* The same bytes were translated for another linear address: that is not done again. They are as they were, or the block would be gone. */
static JitBlock *move_block(CPUX86State *env, CpuJit *jit, const uint8_t *host, unsigned avail, uint32_t key)
{
    ram_addr ram = (ram_addr)(host - memory_ram_base());
    uint32_t root = page_table_root(env);
    JitBlock *from = jit_may_move(env, key) ? jit_cache_find_origin(jit, ram, key, root) : NULL, *b;

    if (!from) {
        return NULL;
    }
    if (jit_cache_is_left(jit, from, root)) {
        jit_cache_take_out(jit, from);
        b = jit_move(env, from, host, avail) ? from : NULL;
        jit_cache_put_in(jit, from);
        return b;
    }
    jit_cache_make_room(jit);
    from = jit_cache_find_origin(jit, ram, key, root); /* it may have gone */
    b = from ? jit_move_copy(env, from, host, avail) : NULL;
    if (b) {
        note_maker(env, b);
        jit_cache_add(jit, b);
    }
    return b;
}

static JitBlock *find_block(CPUX86State *env, CpuJit *jit, uint32_t key)
{
    unsigned avail;
    hwaddr phys;
    const uint8_t *host = mem_code_ptr(env, env->rip, &avail, &phys);

    bool ip16 = !(env->hflags & (HF_CS32 | HF_CS64));

    if (!host || (ip16 && env->rip > 0xffff)) { /* which the next instruction does not follow */
        return NULL;
    }
    ram_addr ram = (ram_addr)(host - memory_ram_base());
    JitBlock *b = jit_cache_find(jit, ram, env->rip, key);
    if (b && b->second_bytes && !still_in_two_pages(env, b)) {
        jit_cache_drop(jit, b->ram, b->bytes);
        b = NULL;
    }
    if (b) {
        jit->stats.found++;
        if (b->root != page_table_root(env) && b->root) {
            b->root = 0;
        }
        return b;
    }
    if (host_thunks_full(env->code_cache->thunks)) {
        code_cache_flush(env->code_cache);
    }
    forget_thunks(env, jit);

    /* How much has to be watched is known when it is translated; then it must not have changed meanwhile. */
    uint8_t bytes[JIT_BLOCK_MAX_INSNS * INSN_MAX_LENGTH];
    if (avail > sizeof(bytes)) {
        avail = sizeof(bytes);
    }
    b = move_block(env, jit, host, avail, key);
    if (b) {
        return b;
    }
    if (ip16 && avail > 0x10000 - env->rip) {
        avail = (unsigned)(0x10000 - env->rip); /* IP wraps there */
    }
    do {
        memcpy(bytes, host, avail);
        jit_cache_make_room(jit);
        jit->stats.translated++;
        b = jit_translate(env, bytes, avail, ram, key & JIT_KEY_PLAIN);
    } while (b && !jit_cache_watch(env, b, bytes));
    if (!b) {
        b = translate_in_two_pages(env, jit, host, avail, key & JIT_KEY_PLAIN);
    }
    if (b) {
        note_maker(env, b);
        jit_cache_add(jit, b);
    }
    return b;
}

/* ---- last-page slots that miss all the time ---- */

/*
 * First a slot gets a range of pages. One that misses nevertheless, so many times in so much of the host's TSC (some milliseconds),
 * is given up.
 */
enum { WINDOW_TRIES = 4, MISSES_TO_RANGE = 16, MISSES_AGAIN = 256, MISSES_ALLOWED = 16384, MISSES_TICKS = 8000000 };

static void reset_misses(CPUX86State *env)
{
    memset(env->jit->slot_visits, 0, sizeof(env->jit->slot_visits));
    env->jit->misses_reset = __builtin_ia32_rdtsc();
}

static bool misses_are_old(const CpuJit *jit)
{
    return __builtin_ia32_rdtsc() - jit->misses_reset > MISSES_TICKS;
}

static void init_misses(CPUX86State *env)
{
    for (unsigned i = 0; i < sizeof(env->jit_slot_misses) / sizeof(env->jit_slot_misses[0]); i++) {
        env->jit_slot_misses[i] = MISSES_TO_RANGE;
    }
    reset_misses(env);
}

/* The instruction's place in RAM. False: nobody could run it now. */
static bool find_site(CPUX86State *env, uint64_t rip, ram_addr *site)
{
    uint64_t linear = env->hflags & HF_CS64 ? rip : (uint32_t)(cs_base(env) + rip);
    hwaddr phys;
    const uint8_t *host = mmu_can_fetch(env, linear) ? mmu_code_ptr(env, linear, &phys) : NULL;

    *site = host ? (ram_addr)(host - memory_ram_base()) : 0;
    return host;
}

/* The instruction is translated anew when it runs again, wherever it is mapped. */
static void set_hashed(CpuJit *jit, ram_addr site, bool hashed)
{
    unsigned bit = jit_site_bit(site);
    uint64_t mask = 1ull << bit % 64;

    jit->hashed_sites[bit / 64] = hashed ? jit->hashed_sites[bit / 64] | mask : jit->hashed_sites[bit / 64] & ~mask;
    if (jit->check_moves) {
        jit_cache_flush(jit); /* others with the same bit would be other code, too */
    } else {
        jit_cache_drop(jit, site, 1);
    }
}

/* Instructions that look into the TLB only because windows had taken enough time get another chance. */
static void try_windows_again(CPUX86State *env)
{
    CpuJit *jit = env->jit;

    for (; jit->nlater && __builtin_ia32_rdtsc() > env->tlb->windows_not_before; jit->nlater--) {
        set_hashed(jit, jit->later[jit->nlater - 1], false);
    }
}

/* True: the slot has a window now, or may have one the next time. */
static bool make_window(CPUX86State *env, unsigned slot, ram_addr site)
{
    CpuJit *jit = env->jit;

    switch (mmu_make_window(env, env->jit_often_slot, env->jit_often_linear)) {
    case WINDOW_MADE:
        mmu_fill_slot_range(env, env->jit_often_slot, env->jit_often_linear);
        jit->slot_tries[slot] = 0;
        jit->stats.windows++;
        return true;
    case WINDOW_LATER:
        if (jit->nlater < JIT_MAX_LATER) {
            jit->later[jit->nlater++] = site;
        }
        return false;
    case WINDOW_NONE:
        break; /* the TLB may have more pages then */
    }
    jit->slot_tries[slot] = (uint8_t)((jit->slot_tries[slot] + 1) % WINDOW_TRIES);
    return jit->slot_tries[slot];
}

/* A slot of the instruction at rip missed often. If nothing else helps it looks into the TLB at once from now on. */
static void note_often(CPUX86State *env, uint64_t rip)
{
    unsigned slot = (env->jit_often_slot - (unsigned)offsetof(CPUX86State, jit_slots)) / (unsigned)sizeof(JitSlot);

    env->jit_slot_often = false;
    env->jit_slot_misses[slot] = MISSES_AGAIN;
    mmu_fill_slot_range(env, env->jit_often_slot, env->jit_often_linear);
    if (misses_are_old(env->jit)) { /* code that nothing interrupts */
        reset_misses(env);
    }
    if (++env->jit->slot_visits[slot] < MISSES_ALLOWED / MISSES_AGAIN) {
        return;
    }
    ram_addr site;
    if (!find_site(env, rip, &site)) {
        return;
    }
    if (make_window(env, slot, site)) {
        env->jit->slot_visits[slot] = 0;
        return;
    }
    reset_misses(env);
    set_hashed(env->jit, site, true);
}

/* ---- running ---- */

/* What translated code may do with a segment (SDM vol. 3, 5.3 to 5.5); the rest is the handlers'. */
static JitWindow window_of(const CPUX86State *env, const Segment *s)
{
    bool checked = (env->hflags & (HF_PE | HF_VM)) == HF_PE, code = s->attr & SEG_ATTR_CODE;
    JitWindow w = {.base = (uint32_t)s->base};

    if (!code && s->attr & SEG_ATTR_DC) {
        return w; /* expand-down */
    }
    if (!checked || (s->attr & SEG_ATTR_P && (!code || s->attr & SEG_ATTR_RW))) {
        w.end[MMU_READ] = (uint64_t)s->limit + 1;
    }
    if (!checked || (s->attr & SEG_ATTR_P && !code && s->attr & SEG_ATTR_RW)) {
        w.end[MMU_WRITE] = (uint64_t)s->limit + 1;
    }
    return w;
}

static void update_windows(CPUX86State *env)
{
    if (!(env->hflags & HF_CS64)) {
        /* Flat code asks for those of CS, which it may not be able to read, FS and GS only: see segment_is_flat(). */
        for (unsigned seg = SEG_ES; seg <= SEG_GS; seg++) {
            if (!(env->hflags & HF_FLAT) || seg == SEG_CS || seg >= SEG_FS) {
                env->jit_windows[seg] = window_of(env, &env->segs[seg]);
            }
        }
    }
}

uint64_t jit_load_segment(CPUX86State *env, uint64_t selector)
{
    unsigned seg = (unsigned)(selector >> 16);

    if (!seg_load_at_hand(env, seg, (uint16_t)selector)) {
        return 0;
    }
    if (!(env->hflags & HF_CS64)) {
        env->jit_windows[seg] = window_of(env, &env->segs[seg]);
    }
    return 1;
}

static bool loads_segment(const Insn *insn)
{
    switch (insn->op) {
    case OP_MOV_SEG:
    case OP_POP_SEG:
    case OP_LES:
    case OP_LDS:
    case OP_LSS:
    case OP_LFS:
    case OP_LGS:
        return true;
    default:
        return false;
    }
}

const Insn *jit_insn(CPUX86State *env, const JitInsn *ji)
{
    JitDecoded *d = &env->jit->decoded[(uintptr_t)ji / 16 % JIT_DECODED];

    if (ji->insn) {
        return ji->insn;
    }
    if (d->ji != ji) {
        exec_decode(env, ji->raw, ji->len, &d->insn);
        d->ji = ji;
    }
    return &d->insn;
}

/* SDM vol. 3, 8.3. */
static bool is_serialising(const Insn *insn)
{
    return insn->flags & INSN_SYSTEM || insn->op == OP_CPUID || insn->op == OP_IRET || insn->op == OP_SERIALIZE ||
           insn->op == OP_RSM;
}

/* Translated code reaches the CPU's state through the gs base. */
static void set_gs_base(CPUX86State *env)
{
    static _Thread_local CPUX86State *base;

    if (base != env) {
        syscall(SYS_arch_prctl, ARCH_SET_GS, env);
        base = env;
    }
}

/* Blocks do not look at CS's limit: it must not come up. */
static bool translatable(const CPUX86State *env)
{
    return env->hflags & (HF_CS64 | HF_FLAT) ||
           env->segs[SEG_CS].limit >= (env->hflags & HF_CS32 ? 0xffffffffu : 0xffffu);
}

static void choose_mode(CPUX86State *env, CpuJit *jit, uint32_t key)
{
    set_gs_base(env);
    env->jit_mxcsr = HOST_MXCSR;
    jit->key = key;
    jit->table = choose_table(jit, key, cs_base(env));
    jit->table->last_use = ++jit->uses;
    env->jit_jumps = jit->table->jumps;
    update_windows(env);
}

uint64_t jit_set_ac(CPUX86State *env, uint64_t set)
{
    env->eflags = set ? env->eflags | FLAG_AC : env->eflags & ~FLAG_AC;
    mmu_update_class(env);
    choose_mode(env, env->jit, jit_key(env));
    return 0;
}

/* Lets calls use the stack again after a request. False: there is one. */
static bool open_stack(CPUX86State *env, const CpuJit *jit)
{
    if (atomic_load_explicit(&env->jit_stack_limit, memory_order_relaxed) == UINT64_MAX) {
        atomic_store(&env->jit_stack_limit, (uint64_t)(uintptr_t)jit->stack + JIT_STACK_SPARE);
    }
    return !atomic_load(&env->exit_request);
}

/*
 * Behind an instruction that may have changed the mode: on in that mode's code, without the outer loop where that would
 * look at nothing. What it returns, jit_exec_insn() does.
 */
static uint64_t go_on_elsewhere(CPUX86State *env, CpuJit *jit, uint64_t generation)
{
    if (!exec_may_go_on(env) || !translatable(env) || jit->generation != generation ||
        jit->flushes_seen != env->code_cache->flushes || !open_stack(env, jit)) {
        return JIT_LEAVE_OUTER + 1;
    }
    exec_drop_rf(env);
    uint32_t key = jit_key(env);
    if (key != jit->key || cs_base(env) != jit->table->cs_base) {
        choose_mode(env, jit, key);
    } else {
        update_windows(env);
    }
    const JitJump *jump = &jit->table->jumps[jit_jump_index(env->rip)];
    return jump->rip == env->rip ? (uint64_t)(uintptr_t)jump->saved : JIT_LEAVE_LOOKUP + 1;
}

uint64_t jit_exec_insn(CPUX86State *env, const JitInsn *ji)
{
    CpuJit *jit = env->jit;
    const Insn *insn = jit_insn(env, ji);
    uint64_t behind = ji->rip + insn->len, generation = jit->generation;

    if (!(env->hflags & HF_CS64)) {
        behind &= env->hflags & HF_CS32 ? 0xffffffffu : 0xffffu;
    }
    jit->stop = false;
    env->rip = ji->rip;
    if (lockstep_holds_back(env, insn)) {
        return JIT_LEAVE_OUTER + 1;
    }
    jit_stats_handler(jit, ji, insn);
    env->rip_next = behind;
    insn->exec(env, insn);
    env->rip = env->rip_next;
    if (loads_segment(insn)) {
        update_windows(env);
    }
    if (__builtin_expect(env->jit_slot_often, 0)) {
        note_often(env, ji->rip);
    }
    if (__builtin_expect(jit->nyoung, 0) && is_serialising(insn)) {
        jit_cache_look_again(env);
    }
    if (ji->end == JIT_END_OUTER || jit_key(env) != jit->key) {
        return go_on_elsewhere(env, jit, generation);
    }
    if (ji->end == JIT_END_NEAR || jit->stop || env->rip != behind) {
        return JIT_LEAVE_LOOKUP + 1;
    }
    return 0;
}

uint64_t jit_undo_return(CPUX86State *env, const JitInsn *ji)
{
    const Insn *insn = jit_insn(env, ji);

    env->jit->stats.returns++;
    env->regs[R_SP] -= insn->opsize + (insn->nops ? (uint16_t)insn->imm : 0);
    return jit_exec_insn(env, ji);
}

static CpuJit *make_jit(CPUX86State *env)
{
    CpuJit *jit = env->jit = jit_cache_new();

    jit_translate_common(env, jit);
    jit_stats_init(jit);
    jit->check_moves = log_enabled(LOG_LOCKSTEP | LOG_MOVES);
    init_misses(env);
    if (log_enabled(LOG_LOCKSTEP)) {
        lockstep_start(env, jit);
    }
    jit->code_start = jit->code_used;
    uint64_t *bottom = (uint64_t *)(void *)(jit->stack + JIT_STACK_SIZE) - 1;
    *bottom = (uint64_t)(uintptr_t)jit->return_bottom;
    env->jit_stack_top = (uint64_t)(uintptr_t)bottom;
    return jit;
}

/* Makes the jump at `link` go to b, as long as b is there. */
static void patch_link(uint64_t link, uint64_t from_generation, CpuJit *jit, JitBlock *b)
{
    if (link > JIT_LEAVE_OUTER && from_generation == jit->generation && !b->second_bytes) {
        uint8_t *rel = jit->write + jit_link_place(link);
        bool memory = !(link & JIT_LINK_EFLAGS) || (link & JIT_LINK_MEMORY && b->wants_memory);
        jit_cache_link(jit, rel, b->entry[memory][!!(link & JIT_LINK_POLL)], b);
    }
}

static void jit_run(CPUX86State *env)
{
    CpuJit *jit = env->jit;

    if (!translatable(env)) {
        accel_interp.run(env);
        return;
    }
    if (!jit) {
        jit = make_jit(env);
        jit->flushes_seen = env->code_cache->flushes;
    }
    uint32_t key = jit_key(env);
    choose_mode(env, jit, key);
    if (misses_are_old(jit)) {
        reset_misses(env);
        try_windows_again(env);
    }
    if (jit->nyoung) {
        jit_cache_look_again(env);
    }
    uint64_t link = 0;
    do {
        vcpu_passes(env);
        forget_thunks(env, jit);
        const JitJump *jump = &jit->table->jumps[jit_jump_index(env->rip)];
        const uint8_t *code;
        if (link == JIT_LEAVE_LOOKUP && jump->rip == env->rip) {
            code = jump->saved;
        } else {
            bool plain = link & JIT_LINK_PLAIN;
            if (plain && env->jit_slot_often) {
                note_often(env, env->rip);
                plain = false;
                link = JIT_LEAVE_LOOKUP;
            }
            uint64_t generation = jit->generation;
            JitBlock *b = find_block(env, jit, jit->key | (plain ? JIT_KEY_PLAIN : 0));
            if (!b) {
                if (!exec_run_one_block(env) || jit_key(env) != jit->key) {
                    return;
                }
                update_windows(env);
                link = JIT_LEAVE_LOOKUP;
                continue;
            }
            if (link > JIT_LEAVE_OUTER && !b->second_bytes && !(plain && env->lockstep)) { /* lockstep hears of each */
                patch_link(link, generation, jit, b);
            }
            code = b->entry[JIT_FROM_MEMORY][JIT_POLL];
            if (!plain) {
                add_jump(env, jit->table, code);
            }
            if (!plain && b->second_bytes) {
                add_jump_of_two(env, jit->table);
            }
        }
        if (!open_stack(env, jit)) {
            return;
        }
        jit->stats.entered++;
        if (jit->budget) {
            jit_stats_enter(env);
        }
        link = jit->enter(code, env);
    } while (link != JIT_LEAVE_OUTER && !exec_requests_pending(env));
}

bool jit_exec_bytes(CPUX86State *env, const uint8_t *bytes, unsigned len)
{
    if (!translatable(env)) {
        return false;
    }
    if (!env->jit) {
        make_jit(env);
    }
    jit_cache_flush(env->jit);
    choose_mode(env, env->jit, jit_key(env));
    jit_cache_make_room(env->jit);
    uint64_t start = env->rip, link = 0;
    do {
        uint64_t done = env->rip - start;
        JitBlock *b = jit_translate(env, bytes + done, len - (unsigned)done, 0, link & JIT_LINK_PLAIN);
        if (!b) {
            return false;
        }
        open_stack(env, env->jit);
        link = env->jit->enter(b->entry[JIT_FROM_MEMORY][JIT_NO_POLL], env);
    } while (link & JIT_LINK_PLAIN);
    return true;
}

/* ---- upkeep ---- */

static void flush_code(CPUX86State *env)
{
    if (env->jit) {
        jit_cache_flush(env->jit);
    }
}

static CodeDropped invalidate_code(CPUX86State *env, ram_addr addr, uint64_t size)
{
    return env->jit ? jit_cache_drop(env->jit, addr, size) : 0;
}

static void mapping_changed(CPUX86State *env, MappingChange what, uint64_t linear)
{
    CpuJit *jit = env->jit;

    for (unsigned i = 0; jit && i < JIT_TABLES; i++) {
        JitTable *table = &jit->tables[i];
        if (table->used && (what == MAPPING_ALL || (what == MAPPING_NONGLOBAL && table->nonglobal))) {
            forget_table(jit, table);
        } else if (table->used && what == MAPPING_PAGE && leads_to_page(table, linear)) {
            forget_page(jit, table, linear);
        }
    }
}

static void end_block(CPUX86State *env)
{
    if (env->jit) {
        env->jit->stop = true;
    }
}

static void free_code(CPUX86State *env)
{
    jit_cache_free(env->jit);
    env->jit = NULL;
    lockstep_end(env);
}

const AccelOps accel_jit = {
    .name = "jit",
    .run = jit_run,
    .flush_code = flush_code,
    .invalidate_code = invalidate_code,
    .mapping_changed = mapping_changed,
    .end_block = end_block,
    .free_code = free_code,
};
