/*
 * Debug registers: breakpoints on code, data and ports; single step.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_DEBUG_H
#define TARGET_I386_DEBUG_H

#include "target-i386/cpu.h"

#define DR7_GD 0x2000u

/* Whether an enabled data breakpoint, or a debugger's watchpoint, lies in the linear page: its
 * accesses must come to the slow path. */
bool debug_page_watched(const CPUX86State *env, uint64_t page);
/* A data access on the slow path: hits become a pending trap, or stop the vCPU for the debugger. */
void debug_data_access(CPUX86State *env, uint64_t linear, unsigned size, bool write);
/* Whether a code breakpoint is enabled (HF_STEP). */
bool debug_code_enabled(const CPUX86State *env);
/* DR7 bits 0-7 or addresses changed. */
void debug_changed(CPUX86State *env);
/* Sets DR6 as a #DB with these causes does. */
void debug_set_dr6(CPUX86State *env, uint32_t bits);

#endif
