/*
 * The loop that runs guest code with the reference executor.
 *
 * Normally code runs block by block (code-cache.h): within a block one handler is called after the
 * other, between blocks requests of other threads are looked at. Whatever asks for more exactness
 * (single step, breakpoints, interrupt shadows, RF) runs instruction by instruction in step_one().
 * Instructions that may change what has to be looked at (flags, modes, I/O) end a block and lead
 * back to the outer loop.
 *
 * Faults leave a handler by longjmp to the outer loop, with env->rip still at the instruction.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/exec.h"

#include <setjmp.h>
#include <string.h>

#include "target-i386/accel.h"
#include "target-i386/code-cache.h"
#include "target-i386/cpu-query.h"
#include "target-i386/debugger.h"
#include "target-i386/disas.h"
#include "target-i386/exec-fpu.h"
#include "target-i386/exec-select.h"
#include "target-i386/mem.h"
#include "target-i386/system.h"
#include "target-i386/vcpu.h"
#include "util/log.h"

/* What decides how bytes decode, and with it, what decides whether code may be fetched at all. */
#define HF_DECODE (HF_CS32 | HF_CS64 | HF_PE | HF_VM)
#define HF_FETCH  (HF_DECODE | HF_CPL_MASK | HF_LMA | HF_PG | HF_SMM)

static InsnExec *handlers[OP_COUNT];

static const AccelOps *accel = &accel_interp;

void accel_select(const AccelOps *ops)
{
    accel = ops;
}

const AccelOps *accel_selected(void)
{
    return accel;
}

static void raise_ud(CPUX86State *env, const Insn *insn)
{
    cpu_raise(env, EXCP_UD);
}

static void raise_gp(CPUX86State *env, const Insn *insn)
{
    cpu_raise_error(env, EXCP_GP, 0);
}

static void add_entries(const ExecEntry *e)
{
    for (; e->handler; e++) {
        handlers[e->op] = e->handler;
    }
}

void exec_init(void)
{
    for (unsigned op = 0; op < OP_COUNT; op++) {
        handlers[op] = raise_ud;
    }
    add_entries(exec_integer_entries);
    add_entries(exec_bits_entries);
    add_entries(exec_string_entries);
    add_entries(exec_control_entries);
    add_entries(exec_x87_entries);
    add_entries(exec_vector_entries);
    add_entries(exec_system_entries);
    host_thunk_init();
}

void exec_prepare(CPUX86State *env, Insn *insn)
{
    InsnExec *special = exec_integer_select(insn);

    insn->exec = special ? special : handlers[insn->op];
    if (insn->flags & INSN_HOST_EXEC && insn->exec == raise_ud) {
        insn->exec = exec_on_host;
        insn->aux = host_thunk_get(env->code_cache->thunks, insn, env->decode_mode.code_size == 8);
    }
}

/* ---- fetching ---- */

static bool code_is_flat(const CPUX86State *env)
{
    return env->hflags & (HF_FLAT | HF_CS64);
}

static uint64_t linear_ip(const CPUX86State *env, uint64_t rip)
{
    return env->hflags & HF_CS64 ? rip : (uint32_t)(env->segs[SEG_CS].base + rip);
}

static uint64_t ip_mask(const CPUX86State *env)
{
    return env->hflags & HF_CS64 ? ~0ull : env->hflags & HF_CS32 ? 0xffffffffu : 0xffffu;
}

/* Bytes from rip on that CS's limit leaves of `avail`. */
static unsigned cut_by_limit(const CPUX86State *env, uint64_t rip, unsigned avail)
{
    if (code_is_flat(env) || rip > env->segs[SEG_CS].limit) {
        return avail; /* beyond the limit the fetch itself has raised #GP */
    }
    uint64_t left = env->segs[SEG_CS].limit - rip + 1;
    return left < avail ? (unsigned)left : avail;
}

InsnStatus exec_decode(CPUX86State *env, const uint8_t *bytes, unsigned avail, Insn *insn)
{
    InsnStatus status = insn_decode(&env->decode_mode, bytes, avail, insn);

    switch (status) {
    case INSN_OK:
        exec_prepare(env, insn);
        break;
    case INSN_UD:
        insn->exec = raise_ud;
        insn->flags |= INSN_ENDS_BLOCK;
        break;
    case INSN_TOO_LONG:
        memset(insn, 0, sizeof(*insn));
        insn->exec = raise_gp;
        insn->len = INSN_MAX_LENGTH;
        insn->flags = INSN_ENDS_BLOCK;
        break;
    case INSN_TRUNCATED:
        break;
    }
    return status;
}

/* Decodes the instruction at rip from wherever it lies; raises what the fetch raises. */
static void fetch_uncached(CPUX86State *env, Insn *insn)
{
    uint8_t bytes[INSN_MAX_LENGTH];
    unsigned n = mem_fetch_bytes(env, env->rip, bytes, sizeof(bytes));

    if (host_thunks_full(env->code_cache->thunks)) {
        code_cache_flush(env->code_cache);
    }
    while (exec_decode(env, bytes, n, insn) == INSN_TRUNCATED) {
        /* The next byte faults, or turns out to be there after all. */
        n += mem_fetch_bytes(env, (env->rip + n) & ip_mask(env), bytes + n, 1);
    }
}

/* Whether the next block must not contain anything behind this instruction. */
bool exec_ends_block(const Insn *insn)
{
    return insn->flags & (INSN_ENDS_BLOCK | INSN_IOPL | INSN_SHADOW) ||
           (insn->flags & INSN_STRING && insn->prefixes & (INSN_PFX_REP | INSN_PFX_REPNE));
}

/* Whether after it only rip has to be looked at. */
bool exec_is_near_end(const Insn *insn)
{
    switch (insn->op) {
    case OP_JMP:
    case OP_JMP_IND:
    case OP_JCC:
    case OP_CALL:
    case OP_CALL_IND:
    case OP_RET:
    case OP_LOOP:
    case OP_LOOPE:
    case OP_LOOPNE:
    case OP_JCXZ:
        return true;
    default:
        return !(insn->flags & (INSN_ENDS_BLOCK | INSN_SHADOW));
    }
}

static void log_insn(uint64_t linear, const Insn *insn)
{
    char text[128];

    insn_print(insn, linear, text, sizeof(text));
    log_write("0x%016llx: %s\n", (unsigned long long)linear, text);
}

/* The page behind rip's, for an instruction that crosses into it. False: it is no RAM. */
static bool second_page(CPUX86State *env, uint64_t rip, ram_addr *page)
{
    unsigned avail;
    hwaddr phys;
    const uint8_t *host;

    host = mem_code_ptr(env, ((rip | (GUEST_PAGE_SIZE - 1)) + 1) & ip_mask(env), &avail, &phys);
    if (!host) {
        return false;
    }
    *page = (ram_addr)(host - memory_ram_base()) & GUEST_PAGE_MASK;
    return true;
}

/*
 * From here on writes to these bytes are reported. Another CPU may be between its look at the TLB and its store where
 * nothing of the page was watched before, so all of them are held for this moment, or a store could go by unnoticed.
 */
static void watch_code(CPUX86State *env, ram_addr addr, unsigned size)
{
    bool hold = memory_dirty_get(addr, DIRTY_CODE) || !vcpu_others_passed(env, memory_code_epoch());

    if (hold) {
        vcpu_exclusive_begin();
    }
    memory_dirty_reset(addr, size, DIRTY_CODE);
    if (hold) {
        vcpu_exclusive_end();
    }
    env->code_cache->written_count = 0;
}

/* Fills the block with the instructions in bytes. */
static void decode_block(CPUX86State *env, CpuCodeCache *cc, CodeBlock *b, const uint8_t *bytes, unsigned avail)
{
    b->count = b->bytes = 0;
    b->near_end = true;
    while (b->count < CODE_BLOCK_MAX_INSNS && (b->count == 0 || !host_thunks_full(cc->thunks))) {
        Insn *insn = &b->insns[b->count];
        InsnStatus status = exec_decode(env, bytes + b->bytes, avail - b->bytes, insn);
        if (status == INSN_TRUNCATED) {
            break;
        }
        if (log_enabled(LOG_IN_ASM) && log_wants_code(linear_ip(env, env->rip + b->bytes))) {
            log_insn(linear_ip(env, env->rip + b->bytes), insn);
        }
        b->count++;
        b->bytes += insn->len;
        if (exec_ends_block(insn)) {
            b->near_end = exec_is_near_end(insn);
            break;
        }
    }
}

/* A block of the instructions at rip; NULL where the first one cannot be kept. */
static CodeBlock *build_block(CPUX86State *env, CpuCodeCache *cc, const uint8_t *host,
                              unsigned avail, ram_addr ram)
{
    uint8_t bytes[CODE_BLOCK_MAX_INSNS * INSN_MAX_LENGTH];
    CodeBlock *b;

    if (avail > sizeof(bytes)) {
        avail = sizeof(bytes);
    }
    do { /* how much is to be watched is known once it is decoded; then it must be the same still */
        memcpy(bytes, host, avail);
        b = code_cache_begin(cc);
        b->ram = ram;
        b->mode_key = env->hflags & HF_DECODE;
        b->ip_mask = ip_mask(env);
        decode_block(env, cc, b, bytes, avail);
        if (b->count == 0) {
            return NULL;
        }
        watch_code(env, ram, b->bytes);
    } while (memcmp(bytes, host, b->bytes) != 0);
    code_cache_commit(cc, b);
    return b;
}

/* A block of the one instruction at rip, which crosses into the next page. */
static CodeBlock *build_crossing_block(CPUX86State *env, CpuCodeCache *cc, ram_addr ram)
{
    ram_addr second;
    Insn insn;

    if (!second_page(env, env->rip, &second)) {
        return NULL;
    }
    watch_code(env, ram, GUEST_PAGE_SIZE - (ram & (GUEST_PAGE_SIZE - 1)));
    watch_code(env, second, INSN_MAX_LENGTH - 1);
    fetch_uncached(env, &insn);

    CodeBlock *b = code_cache_begin(cc);
    exec_prepare(env, &insn);
    if (insn.op == OP_INVALID) {
        return NULL; /* raises something: not worth keeping */
    }
    b->ram = ram;
    b->second_page = second;
    b->mode_key = env->hflags & HF_DECODE;
    b->ip_mask = ip_mask(env);
    b->near_end = exec_is_near_end(&insn);
    b->count = 1;
    b->bytes = insn.len;
    b->insns[0] = insn;
    code_cache_commit(cc, b);
    return b;
}

static CodeBlock *find_by_ram(CPUX86State *env, CpuCodeCache *cc, ram_addr ram)
{
    uint32_t mode_key = env->hflags & HF_DECODE;
    CodeBlock *b = code_cache_find(cc, ram);

    for (; b; b = b->hash_next) {
        ram_addr page;
        if (b->ram != ram || b->mode_key != mode_key) {
            continue;
        }
        if (b->second_page == RAM_ADDR_INVALID ||
            (second_page(env, env->rip, &page) && page == b->second_page)) {
            return b;
        }
    }
    return NULL;
}

static bool within_limit(const CPUX86State *env, const CodeBlock *b)
{
    return code_is_flat(env) || env->rip + b->bytes - 1 <= env->segs[SEG_CS].limit;
}

/* NULL: no block can be made of the code at rip; it has to be fetched anew each time. */
static CodeBlock *find_block_slow(CPUX86State *env, CpuCodeCache *cc, uint64_t linear)
{
    unsigned avail;
    hwaddr phys;
    const uint8_t *host = mem_code_ptr(env, env->rip, &avail, &phys);

    if (!host) {
        return NULL;
    }
    ram_addr ram = (ram_addr)(host - memory_ram_base());
    CodeBlock *b = find_by_ram(env, cc, ram);
    if (!b) {
        unsigned cut = cut_by_limit(env, env->rip, avail);
        b = build_block(env, cc, host, cut, ram);
        if (!b && cut == avail) {
            b = build_crossing_block(env, cc, ram);
        }
    }
    if (!b || !within_limit(env, b)) {
        return NULL;
    }
    cc->jumps[linear % CODE_JUMP_CACHE_SIZE] =
        (CodeLink){linear, cc->generation, b, env->hflags & HF_FETCH};
    return b;
}

static inline bool link_fits(const CodeLink *l, const CpuCodeCache *cc, uint64_t linear,
                             uint32_t hkey)
{
    return l->linear == linear && l->generation == cc->generation && l->hkey == hkey;
}

static inline CodeBlock *find_block(CPUX86State *env, CpuCodeCache *cc, CodeBlock *prev)
{
    uint64_t linear = linear_ip(env, env->rip);
    uint32_t hkey = env->hflags & HF_FETCH;
    CodeBlock *b;

    if (prev && link_fits(&prev->next[0], cc, linear, hkey)) {
        b = prev->next[0].block;
    } else if (prev && link_fits(&prev->next[1], cc, linear, hkey)) {
        b = prev->next[1].block;
    } else {
        CodeLink *l = &cc->jumps[linear % CODE_JUMP_CACHE_SIZE];
        uint64_t generation = cc->generation;
        b = link_fits(l, cc, linear, hkey) ? l->block : find_block_slow(env, cc, linear);
        if (prev && b && cc->generation == generation) {
            prev->next[1] = prev->next[0];
            prev->next[0] = (CodeLink){linear, generation, b, hkey};
        }
    }
    if (b && !within_limit(env, b)) {
        return NULL;
    }
    return b;
}

/* ---- running ---- */

/*
 * In a page with breakpoints: a block, which is looked for without links to and from others, with a look for
 * breakpoints before each instruction. False: there is none at rip.
 */
static bool run_watched(CPUX86State *env)
{
    CpuCodeCache *cc = env->code_cache;
    unsigned avail;
    hwaddr phys;
    const uint8_t *host = mem_code_ptr_watched(env, env->rip, &avail, &phys);

    if (!host) {
        return false;
    }
    ram_addr ram = (ram_addr)(host - memory_ram_base());
    CodeBlock *b = find_by_ram(env, cc, ram);
    if (!b) {
        b = build_block(env, cc, host, cut_by_limit(env, env->rip, avail), ram);
    }
    if (!b || !within_limit(env, b)) {
        return false;
    }
    const Insn *insn = b->insns, *last = insn + b->count - 1;
    uint64_t mask = b->ip_mask;
    for (cc->end = last; insn <= last && !debugger_insn_begin(env); insn++) {
        env->rip_next = (env->rip + insn->len) & mask;
        insn->exec(env, insn);
        env->rip = env->rip_next;
        if (!cc->end) {
            break; /* the rest was written, or is mapped elsewhere now */
        }
    }
    return true;
}

static void run_uncached(CPUX86State *env)
{
    Insn insn;

    if (debugger_point_count() && run_watched(env)) {
        return;
    }
    if (debugger_insn_begin(env)) {
        return;
    }
    fetch_uncached(env, &insn);
    env->rip_next = (env->rip + insn.len) & ip_mask(env);
    insn.exec(env, &insn);
    env->rip = env->rip_next;
}

static inline __attribute__((always_inline)) bool requests_pending(CPUX86State *env)
{
    uint32_t requests = atomic_load_explicit(&env->interrupt_request, memory_order_relaxed);

    if (__builtin_expect(atomic_load_explicit(&env->exit_request, memory_order_relaxed), 0)) {
        return true;
    }
    return __builtin_expect(requests, 0) &&
           (requests & ~CPU_INTERRUPT_HARD || env->eflags & FLAG_IF);
}

static void log_registers(CPUX86State *env)
{
    Buffer text = {0};

    cpu_dump_registers(env, &text);
    log_write("%.*s\n", (int)text.size, (const char *)text.data);
    buffer_free(&text);
}

/* Runs blocks until something has to be looked at. On its own, so that setjmp() spoils no
 * registers. */
static __attribute__((noinline)) void run_blocks(CPUX86State *env)
{
    CpuCodeCache *cc = env->code_cache;
    CodeBlock *prev = NULL;

    do {
        CodeBlock *b = find_block(env, cc, prev);
        if (__builtin_expect(!b, 0)) {
            run_uncached(env);
            return;
        }
        const bool logged = log_enabled(LOG_CPU | LOG_EXEC) && log_wants_code(linear_ip(env, env->rip));
        if (logged && log_enabled(LOG_CPU)) {
            log_registers(env);
        }
        if (logged && log_enabled(LOG_EXEC)) {
            log_write("exec 0x%016llx\n", (unsigned long long)linear_ip(env, env->rip));
        }
        uint64_t generation = cc->generation, mask = b->ip_mask;
        const Insn *insn = b->insns, *last = insn + b->count - 1;
        bool near_end = b->near_end;
        uint64_t rip = env->rip;
        cc->end = last;
        while (insn < cc->end) { /* none of these sets rip_next */
            uint64_t next = (rip + insn->len) & mask;
            env->rip_next = next;
            insn->exec(env, insn);
            env->rip = rip = next;
            insn++;
        }
        if (__builtin_expect(!cc->end, 0)) {
            prev = NULL; /* this block's code was written, or is mapped elsewhere now */
            continue;
        }
        env->rip_next = (rip + last->len) & mask;
        last->exec(env, last);
        env->rip = env->rip_next;
        if (!near_end) {
            return;
        }
        prev = cc->generation == generation ? b : NULL;
    } while (!requests_pending(env));
}

void exec_run_until(CPUX86State *env, ExecStop *stop)
{
    CpuCodeCache *cc = env->code_cache;

    for (;;) {
        if (stop(env, NULL)) {
            return;
        }
        Insn uncached;
        CodeBlock *b = find_block(env, cc, NULL);
        const Insn *insn = &uncached, *last = &uncached;
        if (b) {
            insn = b->insns;
            last = insn + b->count - 1;
        } else {
            fetch_uncached(env, &uncached);
        }
        for (cc->end = last;; insn++) {
            if (stop(env, insn)) {
                return;
            }
            env->rip_next = (env->rip + insn->len) & ip_mask(env);
            env->shadow = 0;
            insn->exec(env, insn);
            env->rip = env->rip_next;
            if (!cc->end || insn == last) {
                break;
            }
            if (stop(env, NULL)) {
                return;
            }
        }
    }
}

bool exec_requests_pending(CPUX86State *env)
{
    return requests_pending(env);
}

bool exec_run_one_block(CPUX86State *env)
{
    CpuCodeCache *cc = env->code_cache;
    CodeBlock *b = find_block(env, cc, NULL);

    if (!b) {
        run_uncached(env);
        return false;
    }
    uint64_t mask = b->ip_mask;
    const Insn *insn = b->insns, *last = insn + b->count - 1;
    bool near_end = b->near_end;
    for (cc->end = last; insn <= last; insn++) {
        env->rip_next = (env->rip + insn->len) & mask;
        insn->exec(env, insn);
        env->rip = env->rip_next;
        if (!cc->end) {
            break; /* the rest was written, or is mapped elsewhere now */
        }
    }
    return near_end;
}

/* One instruction with all checks (SDM vol. 3, 6.9 and 17.3). */
static void step_one(CPUX86State *env)
{
    CpuCodeCache *cc = env->code_cache;
    Insn uncached;
    const Insn *insn = &uncached;
    uint32_t rf = env->eflags & FLAG_RF;

    if (debugger_insn_begin(env)) {
        return;
    }
    cpu_insn_begin(env);
    env->shadow = 0;
    CodeBlock *b = find_block(env, cc, NULL);
    if (b) {
        insn = b->insns;
    } else {
        fetch_uncached(env, &uncached);
    }
    uint64_t start = env->rip;
    env->rip_next = (start + insn->len) & ip_mask(env);
    cc->end = NULL;
    insn->exec(env, insn);
    env->rip = env->rip_next;
    if (env->rip == start && insn->flags & INSN_STRING) {
        env->eflags |= rf; /* not finished */
    }
    cpu_insn_end(env);
    debugger_step_done(env);
}

static bool needs_stepping(const CPUX86State *env)
{
    return env->hflags & HF_STEP || env->eflags & FLAG_TF || env->shadow || env->pending_db || env->debugger.flags;
}

/* Whether cpu_poll_interrupts() has to be asked. Shadows hold things off for one instruction. */
static bool events_pending(CPUX86State *env)
{
    if (env->shadow & CPU_SHADOW_MOV_SS) {
        return false;
    }
    uint32_t requests = atomic_load(&env->interrupt_request);
    if (debugger_holds_interrupts(env)) {
        requests &= CPU_INTERRUPT_INIT | CPU_INTERRUPT_SIPI;
    }
    return env->pending_db || (requests && !env->shadow);
}

bool exec_may_go_on(CPUX86State *env)
{
    return !requests_pending(env) && !needs_stepping(env) && !env->halted && !env->wait_sipi;
}

static void make_ready(CPUX86State *env)
{
    if (!env->code_cache) {
        env->code_cache = code_cache_new();
    }
}

/* True with *why: leave. */
static bool reason_to_leave(CPUX86State *env, CpuExit *why)
{
    if (atomic_load(&env->interrupt_request) & CPU_INTERRUPT_WORK) {
        vcpu_run_queued_work(env);
    }
    if (atomic_load(&env->exit_request)) {
        *why = env->debugger.stop ? CPU_EXIT_DEBUG : CPU_EXIT_KICK;
        return true;
    }
    return false;
}

CpuExit cpu_exec(CPUX86State *env)
{
    jmp_buf landing, *outer = env->fault_jmp;
    CpuExit why = CPU_EXIT_KICK;

    make_ready(env);
    env->fault_jmp = &landing;
    if (setjmp(landing)) {
        if (!cpu_deliver_fault(env)) {
            cpu_x87_sync(env);
            env->fault_jmp = outer;
            return CPU_EXIT_RESET;
        }
        debugger_step_done(env);
    }
    while (!reason_to_leave(env, &why)) {
        vcpu_passes(env);
        if (events_pending(env) && cpu_poll_interrupts(env)) {
            debugger_step_done(env);
            continue;
        }
        if (env->halted || env->wait_sipi) {
            why = CPU_EXIT_HALT;
            break;
        }
        if (needs_stepping(env)) {
            step_one(env);
        } else {
            exec_drop_rf(env);
            accel->run(env);
        }
    }
    cpu_x87_sync(env);
    env->fault_jmp = outer;
    return why;
}

CpuExit cpu_exec_one(CPUX86State *env)
{
    jmp_buf landing, *outer = env->fault_jmp;
    CpuExit why = CPU_EXIT_KICK;

    make_ready(env);
    env->fault_jmp = &landing;
    if (setjmp(landing)) {
        why = cpu_deliver_fault(env) ? CPU_EXIT_KICK : CPU_EXIT_RESET;
    } else if (!events_pending(env) || !cpu_poll_interrupts(env)) {
        if (env->halted || env->wait_sipi) {
            why = CPU_EXIT_HALT;
        } else {
            step_one(env);
        }
    }
    env->fault_jmp = outer;
    return why;
}

/* ---- upkeep: the decoded code's here, then what the accelerator made of it ---- */

void exec_flush_code(CPUX86State *env)
{
    if (env->code_cache) {
        code_cache_flush(env->code_cache);
        accel->flush_code(env);
    }
}

void exec_invalidate_code(CPUX86State *env, ram_addr addr, uint64_t size)
{
    if (!env->code_cache || !size) {
        return;
    }
    /* Nothing of a piece is watched any more, so all blocks in it go. */
    ram_addr end = (addr + size + MEMORY_CODE_PIECE - 1) & ~(ram_addr)(MEMORY_CODE_PIECE - 1);
    addr &= ~(ram_addr)(MEMORY_CODE_PIECE - 1);
    for (ram_addr next; addr < end; addr = next) {
        next = (addr | (GUEST_PAGE_SIZE - 1)) + 1;
        uint64_t n = (next < end ? next : end) - addr;
        exec_invalidate_bytes(env, addr, n);
    }
}

CodeDropped exec_invalidate_bytes(CPUX86State *env, ram_addr addr, uint64_t size)
{
    return env->code_cache ? code_cache_drop(env->code_cache, addr, size) | accel->invalidate_code(env, addr, size) : 0;
}

unsigned exec_count_code_write(CPUX86State *env, ram_addr page)
{
    CpuCodeCache *cc = env->code_cache;

    if (!cc) {
        return 1;
    }
    if (cc->written_page != page) {
        cc->written_page = page;
        cc->written_count = 0;
    }
    return ++cc->written_count;
}

void exec_mapping_changed(CPUX86State *env, MappingChange what, uint64_t linear)
{
    if (env->code_cache) {
        env->code_cache->generation++;
        env->code_cache->end = NULL;
        accel->mapping_changed(env, what, linear);
    }
}

void exec_end_block(CPUX86State *env)
{
    if (env->code_cache) {
        env->code_cache->end = NULL;
        accel->end_block(env);
    }
}

void exec_free_code(CPUX86State *env)
{
    accel->free_code(env);
    code_cache_free(env->code_cache);
    env->code_cache = NULL;
}

static void no_upkeep(CPUX86State *env)
{
}

static void no_mapping_upkeep(CPUX86State *env, MappingChange what, uint64_t linear)
{
}

static CodeDropped no_code_upkeep(CPUX86State *env, ram_addr addr, uint64_t size)
{
    return 0;
}

const AccelOps accel_interp = {
    .name = "interp",
    .run = run_blocks,
    .flush_code = no_upkeep,
    .invalidate_code = no_code_upkeep,
    .mapping_changed = no_mapping_upkeep,
    .end_block = no_upkeep,
    .free_code = no_upkeep,
};
