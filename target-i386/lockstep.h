/*
 * -d lockstep: the translator and the reference executor run the same guest side by side.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_LOCKSTEP_H
#define TARGET_I386_LOCKSTEP_H

#include "target-i386/mmu.h"
#include "util/buffer.h"

typedef struct Lockstep Lockstep;

/* Takes over jit->enter. Once, before translated code runs, own thread. */
void lockstep_start(CPUX86State *env, CpuJit *jit);
void lockstep_end(CPUX86State *env);
/* In place of jit->enter. */
uint64_t lockstep_enter(const uint8_t *code, CPUX86State *env);
/* Whether what runs now runs a second time. */
bool lockstep_in_block(const CPUX86State *env);
/* What has been compared, for the log's end and the monitor; nothing where lockstep is not on. */
void lockstep_summary(CPUX86State *env, Buffer *out);

/* For tests: starts over after a difference, leaves guest code after that many runs, reports a difference or not. */
void lockstep_test(CPUX86State *env, uint64_t runs, bool report);
bool lockstep_found_difference(const CPUX86State *env);
uint64_t lockstep_runs(const CPUX86State *env);

/* ---- hooks; each costs a test of env->lockstep ---- */
/* How many elements the repeated instruction at rip is to do before it leaves as for a request. */
uint64_t lockstep_string_most(const CPUX86State *env, const Insn *insn);
bool lockstep_hold_back(CPUX86State *env, const Insn *insn);
void lockstep_device(CPUX86State *env);
uint64_t lockstep_time(CPUX86State *env, uint64_t now);
void lockstep_log_write(CPUX86State *env, ram_addr addr, unsigned size);
void lockstep_log_walk(CPUX86State *env, ram_addr addr, unsigned size);
/* RAM was written by somebody else. Any thread. */
void lockstep_ram_written(ram_addr addr, uint64_t size);

/* Called for an instruction by its handler: true when translated code has to be left before it. */
static inline bool lockstep_holds_back(CPUX86State *env, const Insn *insn)
{
    return __builtin_expect(env->lockstep != NULL, 0) && lockstep_hold_back(env, insn);
}

/* What runs now runs a second time: it must not depend on when somebody else wants something. */
static inline bool lockstep_is_comparing(const CPUX86State *env)
{
    return env->lockstep && lockstep_in_block(env);
}

/* The time: what the one engine has read, the other reads as well. */
static inline uint64_t lockstep_same_time(CPUX86State *env, uint64_t now)
{
    return __builtin_expect(env->lockstep != NULL, 0) ? lockstep_time(env, now) : now;
}

/* Does not return where the access must not happen yet. */
static inline void lockstep_before_device(CPUX86State *env)
{
    if (__builtin_expect(env->lockstep != NULL, 0)) {
        lockstep_device(env);
    }
}

/* This CPU is about to write to RAM. */
static inline void lockstep_note_write(CPUX86State *env, ram_addr addr, unsigned size)
{
    if (__builtin_expect(env->lockstep != NULL, 0)) {
        lockstep_log_write(env, addr, size);
    }
}

/* The page walk is about to set bits of an entry. */
static inline void lockstep_note_walk(CPUX86State *env, ram_addr addr, unsigned size)
{
    if (__builtin_expect(env->lockstep != NULL, 0)) {
        lockstep_log_walk(env, addr, size);
    }
}

#endif
