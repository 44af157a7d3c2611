/*
 * Debug registers: breakpoints on code, data and ports; single step. SDM vol. 3, chapter 18.
 *
 * Code breakpoints are faults, found before the instruction (HF_STEP makes the loop ask). Data and
 * port breakpoints and single step are traps: their DR6 bits wait in pending_db until the
 * instruction has ended.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/debug.h"

#include "target-i386/debugger.h"
#include "target-i386/excp.h"
#include "target-i386/exec.h"
#include "target-i386/mem.h"
#include "target-i386/system.h"

enum { BREAK_CODE, BREAK_WRITE, BREAK_IO, BREAK_ACCESS };

static bool enabled(const CPUX86State *env, unsigned n)
{
    return env->dr[7] >> (2 * n) & 3;
}

static unsigned kind(const CPUX86State *env, unsigned n)
{
    return env->dr[7] >> (16 + 4 * n) & 3;
}

static unsigned length(const CPUX86State *env, unsigned n)
{
    static const uint8_t lengths[4] = {1, 2, 8, 4};

    return lengths[env->dr[7] >> (18 + 4 * n) & 3];
}

/* The breakpoint's first byte: the low address bits that its length covers do not count. */
static uint64_t start(const CPUX86State *env, unsigned n)
{
    return env->dr[n] & ~(uint64_t)(length(env, n) - 1);
}

static bool overlaps(const CPUX86State *env, unsigned n, uint64_t addr, unsigned size)
{
    uint64_t first = start(env, n);

    return addr < first + length(env, n) && first < addr + size;
}

bool debug_page_watched(const CPUX86State *env, uint64_t page)
{
    if (debugger_data_page(page)) {
        return true;
    }
    if (!(env->dr[7] & 0xff)) {
        return false;
    }
    for (unsigned n = 0; n < 4; n++) {
        unsigned k = kind(env, n);
        if (enabled(env, n) && (k == BREAK_WRITE || k == BREAK_ACCESS) &&
            overlaps(env, n, page, GUEST_PAGE_SIZE)) {
            return true;
        }
    }
    return false;
}

/* DR6 bits of the enabled breakpoints that match. */
static uint32_t data_hits(const CPUX86State *env, uint64_t addr, unsigned size, bool write)
{
    uint32_t hits = 0;

    for (unsigned n = 0; n < 4; n++) {
        unsigned k = kind(env, n);
        if (enabled(env, n) && (k == BREAK_ACCESS || (k == BREAK_WRITE && write)) &&
            overlaps(env, n, addr, size)) {
            hits |= 1u << n;
        }
    }
    return hits;
}

void cpu_set_pending_db(CPUX86State *env, uint32_t bits)
{
    env->pending_db |= bits;
    exec_end_block(env);
    cpu_request_exit(env);
}

void debug_data_access(CPUX86State *env, uint64_t linear, unsigned size, bool write)
{
    uint32_t hits = data_hits(env, linear, size, write);

    if (hits) {
        cpu_set_pending_db(env, hits);
    }
    debugger_data_access(env, linear, size, write);
}

void cpu_debug_io(CPUX86State *env, uint16_t port, unsigned size)
{
    uint32_t hits = 0;

    if (!(env->dr[7] & 0xff) || !(env->cr4 & CR4_DE)) {
        return;
    }
    for (unsigned n = 0; n < 4; n++) {
        if (enabled(env, n) && kind(env, n) == BREAK_IO && overlaps(env, n, port, size)) {
            hits |= 1u << n;
        }
    }
    if (hits) {
        cpu_set_pending_db(env, hits);
    }
}

bool debug_code_enabled(const CPUX86State *env)
{
    if (env->dr[7] & 0xff) {
        for (unsigned n = 0; n < 4; n++) {
            if (enabled(env, n) && kind(env, n) == BREAK_CODE) {
                return true;
            }
        }
    }
    return false;
}

void debug_set_dr6(CPUX86State *env, uint32_t bits)
{
    env->dr[6] = (env->dr[6] & ~0xfull) | bits;
}

void cpu_insn_begin(CPUX86State *env)
{
    env->step_trap = env->eflags & FLAG_TF;
    if (env->eflags & FLAG_RF) {
        env->eflags &= ~FLAG_RF;
        return;
    }
    if (!(env->dr[7] & 0xff)) {
        return;
    }
    uint64_t linear = env->rip + (env->hflags & HF_CS64 ? 0 : env->segs[SEG_CS].base);
    uint32_t hits = 0;
    if (!(env->hflags & HF_LMA)) {
        linear = (uint32_t)linear;
    }
    for (unsigned n = 0; n < 4; n++) {
        if (enabled(env, n) && kind(env, n) == BREAK_CODE && env->dr[n] == linear) {
            hits |= 1u << n;
        }
    }
    if (hits) {
        debug_set_dr6(env, hits);
        env->dr[7] &= ~(uint64_t)DR7_GD;
        cpu_raise(env, EXCP_DB);
    }
}

void cpu_insn_end(CPUX86State *env)
{
    if (env->step_trap) {
        env->step_trap = false;
        /* MOV SS suppresses its own single-step trap; data breakpoints it only delays. */
        if (!(env->shadow & CPU_SHADOW_MOV_SS)) {
            env->pending_db |= DR6_BS; /* the loop, which called, looks at it next */
        }
    }
}

void debug_changed(CPUX86State *env)
{
    cpu_update_hflags(env);
    tlb_flush(env);
}
