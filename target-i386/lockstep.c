/*
 * -d lockstep: the translator and the reference executor run the same guest side by side.
 *
 * Translated code is entered as ever, chained and all, but with a budget of some block entries, or one, and a few rounds of loops. So whatever
 * a block has become (patched jumps, jump tables, code that spans several guest blocks) runs as it does without lockstep, up to a
 * place where it would look at requests. Then the CPU's state is put back, and the executor runs one
 * instruction after the other until its state is the one that the translator reached; when it does not get there, or
 * has written something else to memory, that is a difference: it is reported, and the program ends.
 *
 * Memory: each engine has a TLB and RAM of its own. The executor works on the guest's RAM and notes what it writes;
 * the translator works on a copy, through the same code as ever. After a block the places that were written are compared; what
 * anybody else writes (devices, the executor between blocks) is copied over; now and then all of RAM is compared, which
 * finds writes that went astray. The page walks' accessed and dirty bits come when an entry is filled, and so not at
 * the same time in both: these are merged.
 *
 * What must happen once only (devices, ports, time, random numbers, whatever changes modes) is never compared: translated code is left
 * in front of such an instruction (lockstep_hold_back(), lockstep_device()), and the executor alone runs it. The machine
 * lock is held while a block is compared, so that no device changes memory in between.
 *
 * One CPU only: others would write to memory between the two runs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/lockstep.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hw/machine.h"
#include "target-i386/accel.h"
#include "target-i386/code-cache.h"
#include "target-i386/exec.h"
#include "target-i386/lockstep-int.h"
#include "target-i386/mem.h"
#include "util/log.h"
#include "util/loop.h"

enum {
    MOST_INSTRUCTIONS = 1000000, /* of the executor, in search of the translator's state; calls that never return look for requests by the stack alone */
    OUTSIDE_WRITES = 4096,       /* notes kept between blocks; more are worked off at once */
    BLOCKS_PER_CHECK = 1 << 22,  /* of all RAM */
    STRING_ELEMENTS = 1 << 16,   /* then a string looks whether there is something else to do */
    LONG_RUN = 16, LONG_RUNS = 8, /* so many in a row but one */
    FAULT_JUMP = 1, DEVICE_JUMP, /* values of longjmp(): cpu_raise()'s, ours */
};
#define ROOM_TO_GROW (64ull << 20) /* RAM blocks made later, such as video memory */
#define PTE_ACCESSED_DIRTY 0x60u

static Lockstep *running; /* there is one CPU only */

/* What others have written; any thread. */
static pthread_mutex_t others_mutex = PTHREAD_MUTEX_INITIALIZER;
static LockstepWrites others;

/* ---- notes of writes ---- */

static void note(LockstepWrites *w, ram_addr addr, uint64_t size)
{
    if (w->count == w->capacity) {
        w->capacity = w->capacity ? 2 * w->capacity : 256;
        w->items = realloc(w->items, w->capacity * sizeof(*w->items));
        if (!w->items) {
            abort();
        }
    }
    w->items[w->count++] = (LockstepWrite){addr, size};
}

static void copy_written(Lockstep *ls, const LockstepWrite *w)
{
    uint64_t used = memory_ram_used();

    if (used > ls->copy_size) {
        error_report("lockstep: more guest memory was added than there is room for");
        abort();
    }
    if (w->addr < used) {
        uint64_t n = w->size < used - w->addr ? w->size : used - w->addr;
        memcpy(ls->copy + w->addr, memory_ram_base() + w->addr, n);
    }
}

/* The first n notes: the translator's copy gets what was written. */
static void bring_over(Lockstep *ls, LockstepWrites *w, size_t n)
{
    if (!n) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        copy_written(ls, &w->items[i]);
    }
    memmove(w->items, w->items + n, (w->count - n) * sizeof(*w->items));
    w->count -= n;
}

static void bring_all_over(Lockstep *ls)
{
    bring_over(ls, &ls->writes, ls->writes.count);
    ls->walks.count = 0;
    pthread_mutex_lock(&others_mutex);
    bring_over(ls, &others, others.count);
    pthread_mutex_unlock(&others_mutex);
}

void lockstep_log_write(CPUX86State *env, ram_addr addr, unsigned size)
{
    Lockstep *ls = env->lockstep;

    if (ls->phase == LS_TRANSLATOR) {
        return;
    }
    /* The write itself comes after the note. No instruction has more than a few under way. */
    if (ls->phase == LS_OUTSIDE && ls->writes.count >= OUTSIDE_WRITES) {
        bring_over(ls, &ls->writes, OUTSIDE_WRITES - 64);
    }
    note(&ls->writes, addr, size);
}

void lockstep_log_walk(CPUX86State *env, ram_addr addr, unsigned size)
{
    if (env->lockstep->phase == LS_OUTSIDE) {
        lockstep_log_write(env, addr, size);
    } else {
        note(&env->lockstep->walks, addr, size);
    }
}

void lockstep_ram_written(ram_addr addr, uint64_t size)
{
    if (!running || (current_cpu && running->phase != LS_OUTSIDE)) {
        return; /* the CPU's own writes are noted above */
    }
    pthread_mutex_lock(&others_mutex);
    note(&others, addr, size);
    pthread_mutex_unlock(&others_mutex);
}

/* ---- the copy of RAM ---- */

/* Calls fn for each stretch of RAM that was ever written; the rest is zero. False as soon as fn is. */
static bool each_stretch(Lockstep *ls, bool (*fn)(Lockstep *ls, ram_addr addr, uint64_t size))
{
    int fd = memory_ram_fd();
    off_t end = (off_t)memory_ram_used(), at = 0;

    while (at < end && (at = lseek(fd, at, SEEK_DATA)) >= 0 && at < end) {
        off_t hole = lseek(fd, at, SEEK_HOLE);
        if (hole < 0 || hole > end) {
            hole = end;
        }
        if (!fn(ls, (ram_addr)at, (uint64_t)(hole - at))) {
            return false;
        }
        at = hole;
    }
    return true;
}

static bool copy_stretch(Lockstep *ls, ram_addr addr, uint64_t size)
{
    memcpy(ls->copy + addr, memory_ram_base() + addr, size);
    return true;
}

static bool same_stretch(Lockstep *ls, ram_addr addr, uint64_t size)
{
    const uint8_t *a = memory_ram_base() + addr, *b = ls->copy + addr;

    if (memcmp(a, b, size) == 0) {
        return true;
    }
    size_t i = 0;
    while (a[i] == b[i]) {
        i++;
    }
    log_write("lockstep: RAM differs from byte %llx on: translator %02x, executor %02x. It was compared as a whole,\n"
              "lockstep: so one of the last %d blocks wrote where it should not have.\n",
              (unsigned long long)(addr + i), b[i], a[i], BLOCKS_PER_CHECK);
    return false;
}

void lockstep_start(CPUX86State *env, CpuJit *jit)
{
    Lockstep *ls = calloc(1, sizeof(*ls));

    if (!ls) {
        abort();
    }
    ls->copy_size = memory_ram_used() + ROOM_TO_GROW;
    ls->copy = mmap(NULL, ls->copy_size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ls->copy == MAP_FAILED) {
        error_exit("-d lockstep: cannot map a second copy of the guest's memory");
    }
    ls->jit = jit;
    ls->enter = jit->enter;
    jit->enter = lockstep_enter;
    ls->twin = env->tlb; /* translated code knows where it is */
    ls->tlb = env->tlb = mmu_new();
    mmu_update_class(env);
    ls->twin->ram_delta = ls->copy - memory_ram_base();
    ls->tlb->write_flags = TLB_LOG;
    ls->tlb->twin = ls->twin;
    ls->twin->twin = ls->tlb;
    env->lockstep = ls;
    running = ls;
    tlb_flush(env); /* from now on every write is noted */
    machine_lock();
    each_stretch(ls, copy_stretch);
    machine_unlock();
}

void lockstep_end(CPUX86State *env)
{
    Lockstep *ls = env->lockstep;

    if (!ls) {
        return;
    }
    running = NULL;
    env->lockstep = NULL;
    env->tlb = ls->twin;
    env->tlb->twin = NULL;
    env->tlb->ram_delta = 0;
    mmu_update_class(env);
    tlb_flush(env);
    mmu_free(ls->tlb);
    munmap(ls->copy, ls->copy_size);
    free(ls->writes.items);
    free(ls->walks.items);
    free(ls);
}

void lockstep_summary(CPUX86State *env, Buffer *out)
{
    const Lockstep *ls = env->lockstep;

    if (ls) {
        buffer_printf(out,
                      "lockstep: %llu runs of translated code with %llu instructions compared, all of RAM %llu times; "
                      "%llu instructions on the executor alone; %s\n",
                      (unsigned long long)ls->blocks, (unsigned long long)ls->instructions,
                      (unsigned long long)ls->full_checks, (unsigned long long)ls->singles,
                      ls->failed ? "A DIFFERENCE" : "no difference");
    }
}

void lockstep_test(CPUX86State *env, uint64_t runs, bool report)
{
    Lockstep *ls = env->lockstep;

    if (ls->failed) {
        ls->failed = false;
        each_stretch(ls, copy_stretch);
    }
    ls->runs_left = runs;
    ls->silent = !report;
}

bool lockstep_found_difference(const CPUX86State *env)
{
    return env->lockstep && env->lockstep->failed;
}

uint64_t lockstep_runs(const CPUX86State *env)
{
    return env->lockstep ? env->lockstep->blocks : 0;
}

/* ---- state ---- */

void lockstep_save(const CPUX86State *env, LockstepState *s)
{
    const uint8_t *from = (const uint8_t *)env;

    memcpy(s->hot, from + LS_HOT, sizeof(s->hot));
    memcpy(s->sys, from + LS_SYS, sizeof(s->sys));
    memcpy(s->msr, from + LS_MSR, sizeof(s->msr));
}

void lockstep_restore(CPUX86State *env, const LockstepState *s)
{
    uint8_t *to = (uint8_t *)env;
    uint32_t hflags = env->hflags;

    memcpy(to + LS_HOT, s->hot, sizeof(s->hot));
    memcpy(to + LS_SYS, s->sys, sizeof(s->sys));
    memcpy(to + LS_MSR, s->msr, sizeof(s->msr));
    if (env->hflags != hflags) {
        cpu_update_hflags(env);
    } else {
        mmu_update_class(env); /* EFLAGS.AC decides about it, too, and is not in hflags at CPL 0 */
    }
}

/* ---- what runs once only ---- */

/* Instructions whose effect or result is not the same a second time. */
static bool once_only(const CPUX86State *env, const Insn *insn)
{
    switch (insn->op) {
    case OP_IN:
    case OP_OUT:
    case OP_INS:
    case OP_OUTS:
    case OP_RDPMC:
    case OP_RDPRU:
    case OP_RDRAND:
    case OP_RDSEED:
    case OP_CPUID: /* asks the interrupt controller */
    case OP_HLT:
    case OP_RDMSR:
    case OP_WRMSR:
        return true;
    case OP_MOV_CR: /* what has no side effects; CR8 is the interrupt controller's */
        return insn->ops[0].kind == OPND_CR ? insn->ops[0].reg != 2 : insn->ops[1].reg == 8;
    default:
        /* A pending x87 error tells the board. */
        return insn->insn_class != INSN_CLASS_INTEGER && !(env->cr0 & CR0_NE) && env->fpu.fsw & 0x80;
    }
}

bool lockstep_hold_back(CPUX86State *env, const Insn *insn)
{
    Lockstep *ls = env->lockstep;

    /* A locked access that the handler makes may stop the other CPUs: it is not to be left half-way. */
    if (ls->phase == LS_TRANSLATOR &&
        (once_only(env, insn) || insn->flags & (INSN_SYSTEM | INSN_IOPL | INSN_SHADOW) ||
         (exec_ends_block(insn) && !exec_is_near_end(insn)) || insn->prefixes & INSN_PFX_LOCK ||
         insn->op == OP_XCHG)) {
        ls->held_back = true;
    }
    return ls->held_back;
}

void lockstep_device(CPUX86State *env)
{
    if (env->lockstep->phase != LS_OUTSIDE) {
        longjmp(env->lockstep->landing, DEVICE_JUMP);
    }
}

uint64_t lockstep_time(CPUX86State *env, uint64_t now)
{
    Lockstep *ls = env->lockstep;

    if (ls->phase == LS_TRANSLATOR && ls->times_read < LS_TIMES) {
        ls->times[ls->times_read++] = now;
    } else if (ls->phase == LS_EXECUTOR && ls->times_given < ls->times_read) {
        now = ls->times[ls->times_given++];
    }
    return now;
}

bool lockstep_in_block(const CPUX86State *env)
{
    return env->lockstep->phase != LS_OUTSIDE;
}

/*
 * Requests must not decide where a string stops, but it must stop sometimes. The translator does so after a number of elements;
 * the executor stops where the translator is, if it is in this instruction.
 */
uint64_t lockstep_string_most(const CPUX86State *env, const Insn *insn)
{
    const Lockstep *ls = env->lockstep;
    uint64_t left, there;

    if (ls->phase == LS_TRANSLATOR) {
        return STRING_ELEMENTS;
    }
    if (ls->translated_end == LS_FAULT || ls->translated_end == LS_DEVICE) {
        return UINT64_MAX; /* it stops by itself; stopping before would fetch it again, from where it may have written */
    }
    memcpy(&there, ls->translated.hot + offsetof(CPUX86State, regs[R_CX]) - LS_HOT, sizeof(there));
    left = exec_mask_address(insn, env->regs[R_CX]);
    there = exec_mask_address(insn, there);
    return env->rip == ls->target && left > there ? left - there : UINT64_MAX;
}

/* ---- a block on both ---- */

static LockstepEnd end_of_jump(int how)
{
    return how == DEVICE_JUMP ? LS_DEVICE : LS_FAULT;
}

static void use_tlb(CPUX86State *env, CpuTlb *tlb)
{
    env->tlb = tlb;
    mmu_update_class(env);
}

/*
 * How many places that look for requests a run may pass. Most runs are long, since what is compared in between costs more than
 * the instructions do: a boot takes half the time. Short ones in between show what a long run could make good again.
 */
static int32_t run_length(const Lockstep *ls)
{
    return ls->runs_left || ls->blocks % LONG_RUNS == 0 ? 1 : LONG_RUN;
}

static uint64_t run_translated(CPUX86State *env, Lockstep *ls, const uint8_t *code)
{
    uint64_t link = JIT_LEAVE_OUTER;
    jmp_buf *outer = env->fault_jmp;

    ls->phase = LS_TRANSLATOR;
    ls->held_back = ls->flags_dead = false;
    ls->times_read = ls->times_given = 0;
    use_tlb(env, ls->twin);
    env->jit_budget = run_length(ls);
    env->jit_rounds = (int32_t)(ls->blocks % 4);
    env->jit_insns = 0;
    env->jit_flags_dead = 0;
    env->fault_jmp = &ls->landing;
    int how = setjmp(ls->landing);
    if (how == 0) {
        link = ls->enter(code, env);
        ls->translated_end = ls->held_back ? LS_HELD : LS_RAN;
        ls->flags_dead = env->jit_flags_dead;
    } else {
        link = JIT_LEAVE_OUTER;
        ls->translated_end = end_of_jump(how);
    }
    env->fault_jmp = outer;
    use_tlb(env, ls->tlb);
    ls->phase = LS_OUTSIDE;
    return link;
}

static bool same_writes(Lockstep *ls)
{
    for (size_t i = 0; i < ls->writes.count; i++) {
        const LockstepWrite *w = &ls->writes.items[i];
        if (memcmp(memory_ram_base() + w->addr, ls->copy + w->addr, w->size)) {
            return false;
        }
    }
    return true;
}

/* The first time that the executor is at the translator's place, but not in its state: most likely what should be the same. */
static void note_near(CPUX86State *env, Lockstep *ls, bool same_state)
{
    lockstep_save(env, &ls->near);
    ls->near_at = ls->executed;
    ls->near_memory = same_state;
    ls->near_writes = ls->writes.count;
    for (size_t i = 0; i < ls->writes.count && i < LS_SHOWN; i++) {
        const LockstepWrite *w = &ls->writes.items[i];
        memcpy(ls->near_bytes[i], memory_ram_base() + w->addr, w->size < LS_SHOWN_BYTES ? w->size : LS_SHOWN_BYTES);
    }
}

/* Asked before each instruction. */
static bool executor_is_there(CPUX86State *env, const Insn *insn)
{
    Lockstep *ls = env->lockstep;

    if (!insn) {
        if (env->rip == ls->target && ls->executed >= ls->least) {
            bool same = lockstep_same_state(env, &ls->translated, NULL);
            if (same && same_writes(ls)) {
                ls->matched = true;
                return true;
            }
            if (!ls->near_at) {
                note_near(env, ls, same);
            }
        }
        return ls->executed >= MOST_INSTRUCTIONS;
    }
    if (once_only(env, insn)) {
        return true;
    }
    if (ls->executed < LS_TRACE) {
        LockstepStep *step = &ls->trace[ls->executed];
        step->rip = env->rip;
        memcpy(step->raw, insn->raw, sizeof(step->raw));
    }
    ls->executed++;
    return false;
}

static void run_executor(CPUX86State *env, Lockstep *ls)
{
    jmp_buf *outer = env->fault_jmp;

    ls->phase = LS_EXECUTOR;
    ls->executed = ls->near_at = 0;
    ls->matched = false;
    env->fault_jmp = &ls->landing;
    int how = setjmp(ls->landing);
    if (how == 0) {
        exec_run_until(env, executor_is_there);
        ls->executed_end = ls->matched ? LS_RAN : LS_LOST;
    } else {
        ls->executed_end = end_of_jump(how);
        ls->matched = ls->executed_end == ls->translated_end && lockstep_same_state(env, &ls->translated, NULL);
    }
    env->fault_jmp = outer;
    ls->phase = LS_OUTSIDE;
}

/* Accessed and dirty bits that one walk has set and the other not yet. */
static void merge_walks(Lockstep *ls)
{
    for (size_t i = 0; i < ls->walks.count; i++) {
        const LockstepWrite *w = &ls->walks.items[i];
        uint8_t *a = memory_ram_base() + w->addr, *b = ls->copy + w->addr;
        if (memcmp(a, b, w->size) && ((*a ^ *b) & ~PTE_ACCESSED_DIRTY) == 0 &&
            memcmp(a + 1, b + 1, w->size - 1) == 0) {
            *a = *b |= *a;
        }
    }
    ls->walks.count = 0;
}

static void fail(CPUX86State *env, Lockstep *ls, const char *what)
{
    ls->failed = true;
    if (what && !ls->silent) {
        lockstep_report(env, what);
    }
    machine_request_shutdown(1);
}

/*
 * The executor has to run as many instructions as the translator before it may be in its state: a loop that keeps what it counts in memory
 * comes to the same registers again and again, and nothing that the executor has not written is compared. The translator
 * counts them at branches and where blocks end; a branch that could not be made, because something is to be done first, is among them, too.
 */
static uint64_t least_to_run(const CPUX86State *env, const Lockstep *ls, uint64_t link)
{
    if (ls->translated_end == LS_FAULT) {
        return MOST_INSTRUCTIONS; /* comes by the same exception, not by reaching a place */
    }
    bool before_branch = ls->translated_end != LS_RAN || link & JIT_LINK_PLAIN;
    return env->jit_insns - (before_branch && env->jit_insns);
}

static uint64_t compare_block(CPUX86State *env, Lockstep *ls, const uint8_t *code)
{
    bring_all_over(ls);
    cpu_x87_sync(env);
    lockstep_save(env, &ls->before);
    uint64_t link = run_translated(env, ls, code);
    cpu_x87_sync(env);
    lockstep_save(env, &ls->translated);
    ls->target = env->rip;
    ls->least = least_to_run(env, ls, link);
    lockstep_restore(env, &ls->before);
    run_executor(env, ls);
    merge_walks(ls);
    ls->blocks++;
    ls->instructions += ls->executed;
    if (!ls->matched) {
        fail(env, ls, ls->near_at && ls->near_memory ? "the states are the same, what was written is not" : "the states differ");
    } else if (!same_writes(ls)) {
        fail(env, ls, "the states are the same, what was written is not");
    } else if (ls->blocks % BLOCKS_PER_CHECK == 0) {
        bring_all_over(ls);
        ls->full_checks++;
        if (!each_stretch(ls, same_stretch)) {
            fail(env, ls, NULL);
        }
    }
    ls->writes.count = 0;
    if (ls->runs_left && --ls->runs_left == 0) {
        atomic_store(&env->exit_request, 1);
    }
    return link;
}

static bool one_is_done(CPUX86State *env, const Insn *insn)
{
    return insn ? (env->lockstep->executed++, false) : env->lockstep->executed > 0;
}

uint64_t lockstep_enter(const uint8_t *code, CPUX86State *env)
{
    Lockstep *ls = env->lockstep;
    CpuJit *jit = ls->jit;
    uint64_t link = JIT_LEAVE_OUTER, generation = jit->generation, flushes = env->code_cache->flushes;

    if (ls->failed) {
        exec_run_one_block(env); /* until the main loop has ended the machine */
        return JIT_LEAVE_OUTER;
    }
    uint32_t wanted = atomic_exchange(&env->exit_request, 0); /* strings are not to stop half-way */
    machine_lock();
    link = compare_block(env, ls, code);
    machine_unlock();
    if (wanted) {
        atomic_store(&env->exit_request, wanted);
    }
    switch (ls->executed_end == LS_RAN ? ls->translated_end : ls->executed_end) {
    case LS_FAULT:
        longjmp(*env->fault_jmp, FAULT_JUMP);
    case LS_HELD:
    case LS_DEVICE:
        ls->executed = 0;
        ls->singles++;
        exec_run_until(env, one_is_done);
        return JIT_LEAVE_OUTER;
    default:
        break;
    }
    /* The executor may have thrown away the code that is to be patched. */
    bool gone = jit->generation != generation || env->code_cache->flushes != flushes;
    return gone && link != JIT_LEAVE_OUTER ? JIT_LEAVE_LOOKUP : link;
}
