/*
 * What a debugger outside the machine sets: breakpoints, watchpoints, single steps. The guest's
 * memory and debug registers know nothing of it.
 *
 * Points are addresses as code uses them after segmentation (linear), in whatever address space is
 * current, and belong to the machine: every vCPU stops at them. They change only while no vCPU
 * runs.
 *
 * A page with a breakpoint is, to the soft TLB, one that code cannot be taken from directly
 * (TLB_WATCH in its tag for fetches). So nothing is chained or linked to code in it, and it runs on
 * the executor, which looks for breakpoints before each instruction; everything else runs as
 * always. A page with a watchpoint sends its accesses to the slow path, as one with a guest's data
 * breakpoint does (debug.h). Without a debugger none of this costs anything.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_DEBUGGER_H
#define TARGET_I386_DEBUGGER_H

#include "target-i386/cpu.h"

/* Kinds of points, numbered as GDB's remote protocol does. */
typedef enum DebuggerPointKind {
    DEBUGGER_BREAK_SOFT,
    DEBUGGER_BREAK_HARD, /* the same here */
    DEBUGGER_WATCH_WRITE,
    DEBUGGER_WATCH_READ,
    DEBUGGER_WATCH_ACCESS,
    DEBUGGER_POINT_KINDS
} DebuggerPointKind;

#define DEBUGGER_MAX_POINTS 4096

/*
 * vCPUs paused. addr is linear; size in bytes counts for watchpoints only. Inserting a point twice
 * is one point; false: there are too many, or (removing) it is not there.
 */
bool debugger_point_insert(DebuggerPointKind kind, uint64_t addr, uint64_t size);
bool debugger_point_remove(DebuggerPointKind kind, uint64_t addr, uint64_t size);
void debugger_point_remove_all(void);
unsigned debugger_point_count(void);

/* ---- one vCPU; paused, or its own thread ---- */

/* The linear address of the next instruction. */
uint64_t debugger_pc(const CPUX86State *env);
/*
 * The vCPU stops after one instruction or delivered event; with a range, when the next instruction
 * lies outside of start .. end - 1. hold_interrupts: nothing maskable, NMI or SMI comes in
 * between, unless the CPU is halted and so waits for it.
 */
void debugger_step(CPUX86State *env, bool hold_interrupts, uint64_t start, uint64_t end);
/* The first instruction runs even where a breakpoint is on it. */
void debugger_skip_breakpoint(CPUX86State *env);
/* Forgets steps, skips and what the vCPU stopped for. */
void debugger_clear(CPUX86State *env);
/* Whether what the vCPU stopped for is a watchpoint that is still set. */
bool debugger_watch_pending(const CPUX86State *env);

/* ---- registers of a paused vCPU (debugger-regs.c); machine lock held ---- */

typedef enum DebuggerReg {
    DEBUGGER_REG_GENERAL, /* R_AX ... R_15 */
    DEBUGGER_REG_PC,      /* as a linear address: CS's base is added */
    DEBUGGER_REG_FLAGS,
    DEBUGGER_REG_SELECTOR, /* SEG_ES ... SEG_GS */
    DEBUGGER_REG_SEG_BASE,
    DEBUGGER_REG_KERNEL_GS_BASE,
    DEBUGGER_REG_CONTROL, /* 0, 2, 3, 4, 8 */
    DEBUGGER_REG_EFER,
    DEBUGGER_REG_X87, /* DEBUGGER_X87_CONTROL ... */
    DEBUGGER_REG_MXCSR,
    DEBUGGER_REG_ST,       /* ST(0) ... ST(7), 10 bytes */
    DEBUGGER_REG_XMM,      /* 16 bytes */
    DEBUGGER_REG_YMM_HIGH, /* 16 bytes */
} DebuggerReg;

enum {
    DEBUGGER_X87_CONTROL,
    DEBUGGER_X87_STATUS,
    DEBUGGER_X87_TAGS, /* two bits a register */
    DEBUGGER_X87_INSN_SEG,
    DEBUGGER_X87_INSN_OFFSET,
    DEBUGGER_X87_DATA_SEG,
    DEBUGGER_X87_DATA_OFFSET,
    DEBUGGER_X87_OPCODE,
};

/* Little endian, zero-extended. Writing: false for a value that the CPU cannot hold. */
void debugger_reg_read(CPUX86State *env, DebuggerReg kind, unsigned index, uint8_t value[16]);
bool debugger_reg_write(CPUX86State *env, DebuggerReg kind, unsigned index,
                        const uint8_t value[16]);

/* ---- for the loop and the MMU ---- */

enum {
    DEBUGGER_STEP = 1,
    DEBUGGER_SKIP = 2,
    DEBUGGER_HOLD_INTERRUPTS = 4,
};

/* Before the instruction at rip on a path that looks: true, and a stop is due: there is a
 * breakpoint. */
bool debugger_insn_begin(CPUX86State *env);
/* An instruction that was stepped, or the delivery of an event, is complete. */
void debugger_step_done(CPUX86State *env);
/* Whether the linear page has breakpoints; watchpoints. */
bool debugger_code_page(uint64_t page);
bool debugger_data_page(uint64_t page);
/* Whether it lies in any page. */
bool debugger_has_data_points(void);
/* An access on the slow path: a hit stops the vCPU after the instruction. */
void debugger_data_access(CPUX86State *env, uint64_t linear, unsigned size, bool write);

static inline bool debugger_holds_interrupts(const CPUX86State *env)
{
    return env->debugger.flags & DEBUGGER_HOLD_INTERRUPTS && !env->halted;
}

#endif
