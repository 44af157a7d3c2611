/*
 * The instruction oracle: one instruction with one state, run by the host's processor and by the
 * executor.
 *
 * Both sides see the same memory at the same linear addresses: two pages of data, a hole, a
 * read-only page; and two pages of code.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_ORACLE_ORACLE_H
#define TESTS_ORACLE_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "target-i386/insn.h"

#define ORACLE_DATA      0x10000000u
#define ORACLE_DATA_SIZE 0x2000u
#define ORACLE_RO        0x10003000u /* one page */
#define ORACLE_CODE      0x60000000u /* beyond what a bit offset reaches from the data */
#define ORACLE_CODE_SIZE 0x2000u
#define ORACLE_BATCH     128

/* A user-visible CPU state; fx is the first part of an FXSAVE64 image. */
typedef struct OracleState {
    uint64_t regs[16]; /* in encoding order */
    uint64_t rip;
    uint32_t eflags;
    uint8_t fx[416] __attribute__((aligned(16)));
    uint8_t ymmh[16][16];
    uint16_t fcs, fds; /* the executor's and the translator's only */
} OracleState;

typedef struct OracleCase {
    OracleState in;
    uint8_t code[16];
    uint8_t len;
    bool mode64;
    bool step;      /* ends by single step, not by the INT3 behind the instruction */
    uint32_t patch; /* offset of these bytes in the data pages, put over the template */
    uint8_t patch_bytes[64];
    uint64_t seed; /* for the report */
} OracleCase;

typedef struct OracleResult {
    OracleState out;
    bool ran;
    int vector; /* exception, or -1 */
    uint32_t error;
    uint64_t cr2;
    uint8_t memory[ORACLE_DATA_SIZE];
} OracleResult;

/* Shared with the native process. */
typedef struct OracleBatch {
    unsigned count;
    volatile unsigned current; /* the case that runs */
    uint8_t memory[ORACLE_DATA_SIZE];
    OracleCase cases[ORACLE_BATCH];
    OracleResult results[ORACLE_BATCH];
} OracleBatch;

/* ---- native.c ---- */
/* Runs the batch in a child of its own. False: the child died in case `current`, or hung. */
bool native_run(OracleBatch *b);

/* ---- guest.c ---- */
/* Returns the CPU's MXCSR_MASK. */
uint32_t guest_init(void);
/* From now on the translator runs what it can. */
void guest_use_translator(void);
bool guest_has_feature(InsnFeature f);
InsnStatus guest_decode(const uint8_t *code, unsigned len, bool mode64, Insn *insn);
void guest_run(const OracleBatch *b, const OracleCase *c, OracleResult *r);

/* Straight-line code from the case's state, by the executor or the translator. */
void guest_run_line(const OracleBatch *b, const OracleCase *c, const uint8_t *code, unsigned len,
                    bool by_translator, OracleResult *r);

/* ---- generate.c ---- */
uint64_t oracle_random(void);
void oracle_seed(uint64_t seed);
void generate_init(uint32_t mxcsr_mask);
void generate_memory(uint8_t *memory, size_t size);
/* False: the form has no encoding in the mode, or this try has come to nothing. */
bool generate_case(const InsnForm *form, bool mode64, OracleCase *c);
/* Only the bytes; 0: no encoding. */
size_t generate_bytes(const InsnForm *form, bool mode64, uint8_t code[15]);

#endif
