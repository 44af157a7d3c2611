/*
 * Instructions of random programs, which tests/blocks runs on translator and executor, and tests/oracle on the host, too.
 * BX, BP, SI, DI, SP, and R13 to R15 in 64-bit code, hold pointers; CX, R9 and R12 are small (at first).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_ORACLE_PROGRAM_H
#define TESTS_ORACLE_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "target-i386/insn.h"

typedef struct ProgramSpace {
    bool mode64;
    uint64_t (*pointer)(const void *opaque);   /* where an operand may lie; below 4 GB */
    uint64_t (*place)(const void *opaque);     /* in the code; below 4 GB */
    bool (*wanted)(const InsnForm *form);
    const void *opaque;
} ProgramSpace;

enum { PROGRAM_INSN_MAX = 24 };

/* An instruction of a random form, to stand at rip, in PROGRAM_INSN_MAX bytes; its length (two instructions now and then), or 0: try again. */
unsigned program_insn(const ProgramSpace *s, uint8_t *code, uint64_t rip);
/* A store into code: what follows, or somewhere. */
unsigned program_code_store(const ProgramSpace *s, uint8_t *code, uint64_t rip);
/* Sets a register that holds pointers. */
unsigned program_set_pointer(const ProgramSpace *s, uint8_t *code);
/* Puts the 32-bit distance behind an opcode at rip; the whole length. */
unsigned program_rel32(uint8_t *code, unsigned opcode_size, uint64_t rip, uint64_t target);

#endif
