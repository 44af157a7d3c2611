/*
 * What the monitor and the log ask of a CPU: its state as text, registers by name, address spaces.
 * No side effects on the guest. The CPU must not be executing (vcpu_pause_all()), or be the calling
 * thread's own.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_CPU_QUERY_H
#define TARGET_I386_CPU_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "target-i386/cpu.h"
#include "util/buffer.h"

/* General, segment and control registers; then the x87, MMX, SSE and AVX ones. */
void cpu_dump_registers(CPUX86State *env, Buffer *out);
void cpu_dump_fpu(CPUX86State *env, Buffer *out);
/* "rax", "eax", "ax", "al", "eip", "pc", "cs", "cr3", "eflags", ...: false when there is no such
 * register. */
bool cpu_register_value(CPUX86State *env, const char *name, uint64_t *value);
/* The names that cpu_register_value() knows, in order; NULL beyond the end. */
const char *cpu_register_name(unsigned n);
/* Every mapped page, a line each: linear address, physical address, rights. */
void cpu_dump_tlb(CPUX86State *env, Buffer *out);
/* Each mapped page, of 4 KB or larger, in order of addresses; false where paging is off. */
bool cpu_each_mapping(CPUX86State *env,
                      void (*fn)(uint64_t linear, uint64_t phys, uint64_t size, void *opaque),
                      void *opaque);
/* Ranges of linear addresses with the same rights, a line each. */
void cpu_dump_mem_mappings(CPUX86State *env, Buffer *out);
/* A line about the CPU for `info cpus`. */
void cpu_dump_summary(CPUX86State *env, Buffer *out);
/*
 * Prints the instruction at linear address `addr` as the CPU would decode it now; returns its
 * length in bytes (1 when it is none), or 0 when nothing is mapped there.
 */
unsigned cpu_disassemble(CPUX86State *env, uint64_t addr, Buffer *out);

#endif
