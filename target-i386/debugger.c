/*
 * A debugger's breakpoints, watchpoints and single steps.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/debugger.h"

#include <string.h>

#include "target-i386/exec.h"
#include "target-i386/mem.h"
#include "target-i386/vcpu.h"

typedef struct DebuggerPoint {
    DebuggerPointKind kind;
    uint64_t addr, size;
} DebuggerPoint;

/* Written while no vCPU runs, read by all of them. */
static DebuggerPoint points[DEBUGGER_MAX_POINTS];
static unsigned npoints;

static bool is_break(DebuggerPointKind kind)
{
    return kind <= DEBUGGER_BREAK_HARD;
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a <= b ? b - a < a_size : a - b < b_size;
}

/* ---- the list ---- */

static DebuggerPoint *find(DebuggerPointKind kind, uint64_t addr, uint64_t size)
{
    for (DebuggerPoint *p = points; p < points + npoints; p++) {
        if (p->kind == kind && p->addr == addr && (is_break(kind) || p->size == size)) {
            return p;
        }
    }
    return NULL;
}

/* The TLBs note which pages have points. */
static void points_changed(void)
{
    for (unsigned i = 0; i < vcpu_count(); i++) {
        tlb_flush(vcpu_env(i));
    }
}

bool debugger_point_insert(DebuggerPointKind kind, uint64_t addr, uint64_t size)
{
    if (find(kind, addr, size)) {
        return true;
    }
    if (npoints == DEBUGGER_MAX_POINTS || (!is_break(kind) && !size)) {
        return false;
    }
    points[npoints++] = (DebuggerPoint){kind, addr, size};
    points_changed();
    return true;
}

bool debugger_point_remove(DebuggerPointKind kind, uint64_t addr, uint64_t size)
{
    DebuggerPoint *p = find(kind, addr, size);

    if (!p) {
        return false;
    }
    *p = points[--npoints];
    points_changed();
    return true;
}

void debugger_point_remove_all(void)
{
    if (npoints) {
        npoints = 0;
        points_changed();
    }
}

unsigned debugger_point_count(void)
{
    return npoints;
}

bool debugger_code_page(uint64_t page)
{
    for (const DebuggerPoint *p = points; p < points + npoints; p++) {
        if (is_break(p->kind) && (p->addr & GUEST_PAGE_MASK) == page) {
            return true;
        }
    }
    return false;
}

bool debugger_has_data_points(void)
{
    for (const DebuggerPoint *p = points; p < points + npoints; p++) {
        if (!is_break(p->kind)) {
            return true;
        }
    }
    return false;
}

bool debugger_data_page(uint64_t page)
{
    for (const DebuggerPoint *p = points; p < points + npoints; p++) {
        if (!is_break(p->kind) && overlap(p->addr, p->size, page, GUEST_PAGE_SIZE)) {
            return true;
        }
    }
    return false;
}

/* ---- one vCPU ---- */

uint64_t debugger_pc(const CPUX86State *env)
{
    return env->hflags & HF_CS64 ? env->rip : (uint32_t)(env->segs[SEG_CS].base + env->rip);
}

void debugger_step(CPUX86State *env, bool hold_interrupts, uint64_t start, uint64_t end)
{
    env->debugger.flags =
        DEBUGGER_STEP | DEBUGGER_SKIP | (hold_interrupts ? DEBUGGER_HOLD_INTERRUPTS : 0);
    env->debugger.range_start = start;
    env->debugger.range_end = end;
}

void debugger_skip_breakpoint(CPUX86State *env)
{
    env->debugger.flags |= DEBUGGER_SKIP;
}

void debugger_clear(CPUX86State *env)
{
    memset(&env->debugger, 0, sizeof(env->debugger));
}

bool debugger_watch_pending(const CPUX86State *env)
{
    const CpuDebugger *d = &env->debugger;

    if (d->stop != DEBUGGER_STOP_WATCH) {
        return false;
    }
    for (const DebuggerPoint *p = points; p < points + npoints; p++) {
        if (p->kind == (DebuggerPointKind)d->kind && p->addr == d->addr) {
            return true;
        }
    }
    return false;
}

/* The loop leaves guest code before the next instruction. */
static void stop(CPUX86State *env, DebuggerStop why, unsigned kind, uint64_t addr)
{
    CpuDebugger *d = &env->debugger;

    if (d->stop < why) { /* a watchpoint tells more than the step that hit it */
        d->stop = (uint8_t)why;
        d->kind = (uint8_t)kind;
        d->addr = addr;
    }
    exec_end_block(env);
    cpu_request_exit(env);
}

bool debugger_insn_begin(CPUX86State *env)
{
    if (env->debugger.flags & DEBUGGER_SKIP) {
        env->debugger.flags &= (uint8_t)~DEBUGGER_SKIP;
        return false;
    }
    if (!npoints) {
        return false;
    }
    uint64_t pc = debugger_pc(env);
    for (const DebuggerPoint *p = points; p < points + npoints; p++) {
        if (is_break(p->kind) && p->addr == pc) {
            stop(env, DEBUGGER_STOP_BREAK, p->kind, pc);
            return true;
        }
    }
    return false;
}

void debugger_step_done(CPUX86State *env)
{
    CpuDebugger *d = &env->debugger;

    if (!(d->flags & DEBUGGER_STEP)) {
        return;
    }
    uint64_t pc = debugger_pc(env);
    if (pc < d->range_start || pc >= d->range_end) {
        stop(env, DEBUGGER_STOP_STEP, 0, pc);
    }
}

void debugger_data_access(CPUX86State *env, uint64_t linear, unsigned size, bool write)
{
    for (const DebuggerPoint *p = points; p < points + npoints; p++) {
        bool wanted = p->kind == DEBUGGER_WATCH_ACCESS ||
                      p->kind == (write ? DEBUGGER_WATCH_WRITE : DEBUGGER_WATCH_READ);
        if (wanted && overlap(p->addr, p->size, linear, size)) {
            stop(env, DEBUGGER_STOP_WATCH, p->kind, p->addr);
        }
    }
}
