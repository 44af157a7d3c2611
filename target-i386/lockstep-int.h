/*
 * What lockstep.c and its reporter share.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_LOCKSTEP_INT_H
#define TARGET_I386_LOCKSTEP_INT_H

#include <setjmp.h>
#include <stddef.h>

#include "target-i386/jit.h"
#include "target-i386/lockstep.h"

/* The guest-visible parts of CPUX86State: from one field up to another. */
#define LS_HOT     offsetof(CPUX86State, regs)
#define LS_HOT_END (offsetof(CPUX86State, hflags) + sizeof(uint32_t))
#define LS_SYS     offsetof(CPUX86State, segs)
#define LS_SYS_END offsetof(CPUX86State, fault_jmp)
#define LS_MSR     offsetof(CPUX86State, star)
#define LS_MSR_END offsetof(CPUX86State, fpu.room)

typedef struct LockstepState {
    uint8_t hot[LS_HOT_END - LS_HOT];
    uint8_t sys[LS_SYS_END - LS_SYS];
    uint8_t msr[LS_MSR_END - LS_MSR];
} LockstepState;

typedef enum LockstepEnd {
    LS_RAN,    /* to where it left by itself */
    LS_HELD,   /* up to an instruction that must run once only */
    LS_FAULT,  /* an exception */
    LS_DEVICE, /* up to an instruction that reaches a device */
    LS_LOST,   /* the executor has not come to where the translator is */
} LockstepEnd;

typedef enum LockstepPhase { LS_OUTSIDE, LS_TRANSLATOR, LS_EXECUTOR } LockstepPhase;

typedef struct LockstepWrite {
    ram_addr addr;
    uint64_t size;
} LockstepWrite;

typedef struct LockstepWrites {
    LockstepWrite *items;
    size_t count, capacity;
} LockstepWrites;

enum { LS_TRACE = 400, LS_TIMES = 256, LS_SHOWN = 16, LS_SHOWN_BYTES = 32 };

typedef struct LockstepStep {
    uint64_t rip;
    uint8_t raw[INSN_MAX_LENGTH];
} LockstepStep;

struct Lockstep {
    CpuJit *jit;
    uint64_t (*enter)(const uint8_t *code, CPUX86State *env);
    CpuTlb *tlb, *twin; /* the executor's; the translator's, on the copy of RAM */
    uint8_t *copy;
    uint64_t copy_size;
    LockstepPhase phase;
    bool failed, silent;
    uint64_t runs_left; /* in a test; 0: no end */
    jmp_buf landing;

    /* the block at work */
    LockstepState before, translated;
    LockstepState near; /* the executor's, when it first was at the translator's place with another state */
    unsigned near_at;   /* after how many instructions; 0: never */
    bool near_memory;   /* the state was the same, what was written not */
    size_t near_writes;
    uint8_t near_bytes[LS_SHOWN][LS_SHOWN_BYTES]; /* what the first writes had left by then */
    bool flags_dead;    /* the translator's arithmetic flags mean nothing */
    LockstepEnd translated_end, executed_end;
    bool held_back, matched;
    uint64_t target;   /* where the translator is */
    uint64_t least;    /* instructions the executor has to make before it can be there */
    unsigned executed; /* that it made */
    LockstepStep trace[LS_TRACE];
    uint64_t times[LS_TIMES]; /* that the translator has read */
    unsigned times_read, times_given;
    LockstepWrites writes; /* the executor's, also those between blocks */
    LockstepWrites walks;  /* page table entries that either page walk has marked */

    uint64_t blocks, instructions, singles, full_checks;
};

/* Writes what differs to the log. `what` says where it was seen. */
void lockstep_report(CPUX86State *env, const char *what);
/* Whether the CPU's state is, but for what does not count, the given one; the report goes to out if it is not NULL. */
bool lockstep_same_state(CPUX86State *env, const LockstepState *want, Buffer *out);

void lockstep_save(const CPUX86State *env, LockstepState *s);
void lockstep_restore(CPUX86State *env, const LockstepState *s);

#endif
