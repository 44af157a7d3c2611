/*
 * What the translator tells about itself: the log items in_asm, out_asm, exec and op_count, perf's map, `info jit`.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_JIT_STATS_H
#define TARGET_I386_JIT_STATS_H

#include "target-i386/jit.h"
#include "util/buffer.h"
#include "util/error.h"

/* ---- options, before any vCPU runs ---- */
/* Blocks count how often they run. */
void jit_set_profile(bool on);
/* Writes /tmp/perf-PID.map, so that `perf report` names guest code. False: cannot open it. */
bool jit_set_perfmap(Error **errp);
/* A file of lines "ADDRESS TYPE NAME" (System.map) with the guest's symbols for it. */
bool jit_set_perfmap_symbols(const char *path, Error **errp);

/* ---- for the user ---- */
/* About all CPUs' translated code; vCPUs stopped. */
void jit_info(Buffer *out);
/* Writes what the log items op_count and lockstep have gathered to the log; vCPUs stopped. */
void jit_log_summary(void);

/* ---- hooks of the translator ---- */
void jit_stats_init(CpuJit *jit);
/*
 * A new block: its instructions, where the code of each begins (and behind the last, where that which is out of line
 * does), start and end of it all; writable addresses.
 */
void jit_stats_block(CPUX86State *env, const JitBlock *b, const Insn *insns, unsigned n, const uint8_t *start,
                     const uint8_t *const *places, const uint8_t *end);
/* The same for one that was moved from another address. */
void jit_stats_moved(CPUX86State *env, const JitBlock *b, uint64_t from, const uint8_t *start);
/* C is about to enter translated code that has a budget. */
void jit_stats_enter(CPUX86State *env);

/* An instruction is done by its handler. */
static inline void jit_stats_handler(CpuJit *jit, const JitInsn *ji, const Insn *insn)
{
    if (ji->native) {
        jit->stats.slow++;
    } else {
        jit->stats.handlers++;
    }
    if (__builtin_expect(jit->stats.ops != NULL, 0)) {
        jit->stats.ops[2 * insn->op + 1]++;
    }
}

#endif
