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

/*
 * Programs: rows of chunks of some instructions. An exception ends a chunk, and the next one begins; jumps may lead into later
 * ones. They see more memory: a page that is a device's for the guest (what is written is read back), a stack, their own code.
 */
#define ORACLE_DEVICE     0x10005000u
#define ORACLE_STACK      0x20000000u
#define ORACLE_STACK_SIZE 0x2000u
#define ORACLE_COUNTER    (ORACLE_STACK + ORACLE_STACK_SIZE - 16) /* of the loops that are still allowed */
#define ORACLE_FILLER     0xf4                                    /* HLT, around programs: #GP */

enum { PROGRAM_CHUNK = 96, PROGRAM_CHUNKS = 4, PROGRAM_BATCH = 32, PROGRAM_LOOPS = 30 };

typedef struct ProgramMemory {
    uint8_t data[ORACLE_DATA_SIZE], device[0x1000], stack[ORACLE_STACK_SIZE], code[ORACLE_CODE_SIZE];
} ProgramMemory;

typedef struct OracleProgram {
    OracleState in;
    bool mode64;
    unsigned chunks;
    ProgramMemory memory;
    uint64_t number;
} OracleProgram;

typedef struct ProgramFault {
    int vector;
    uint32_t error;
    uint64_t cr2, rip;
} ProgramFault;

typedef struct ProgramResult {
    bool ran;
    OracleState out;
    ProgramFault faults[PROGRAM_CHUNKS]; /* that ended the chunks */
    ProgramMemory memory;
} ProgramResult;

typedef struct ProgramBatch {
    unsigned count, first;
    volatile unsigned current;
    OracleProgram programs[PROGRAM_BATCH];
    ProgramResult results[PROGRAM_BATCH];
} ProgramBatch;

/* Where chunk n begins, and the registers that are the same at the start of each. */
static inline uint64_t program_chunk(const OracleProgram *p, unsigned n)
{
    return p->in.rip + (uint64_t)n * PROGRAM_CHUNK;
}
enum { PROGRAM_EFLAGS = 0x202, PROGRAM_SP = ORACLE_STACK + 0xf00 };

/* ---- native.c ---- */
/* Runs the batch in a child of its own. False: the child died in case `current`, or hung. */
bool native_run(OracleBatch *b);
/* Programs that hang, or end the child, have not run afterwards. */
void native_run_programs(ProgramBatch *b);

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

/* Adds what programs see to the guest; once, behind guest_init(). */
void guest_init_programs(void);
typedef enum ProgramEnd {
    PROGRAM_ENDED,
    PROGRAM_HANGS,
    PROGRAM_INCOMPARABLE, /* noticed by the executor: it has come to what program_excludes() */
} ProgramEnd;
ProgramEnd guest_run_program(const OracleProgram *p, bool by_translator, ProgramResult *r);

/* ---- compare.c: each appends what differs, a line each ---- */
typedef struct Report {
    char text[2048];
    size_t used;
} Report;

void differ(Report *r, const char *what, uint64_t got, uint64_t want);
void compare_bytes(Report *r, const char *what, const uint8_t *got, const uint8_t *want, size_t n);
void compare_general(Report *r, const OracleState *got, const OracleState *want, bool mode64);
void compare_flags(Report *r, const OracleState *got, const OracleState *want);
/* Those of x87 instructions: none; where AMD's processors save them; always. */
typedef enum ComparePointers { POINTERS_NONE, POINTERS_SAVED, POINTERS_ALL } ComparePointers;
void compare_fpu(Report *r, const OracleState *got, const OracleState *want, ComparePointers pointers);
uint32_t oracle_get32(const uint8_t *p);

/* ---- program-test.c ---- */
bool program_excludes(const Insn *insn);
/* Runs random programs on the host, the executor and the translator; the number of those that differ. */
uint64_t run_programs(uint64_t seed, uint64_t count, uint64_t only, bool progress);

/* ---- main.c ---- */
const char *reason_not_compared(uint16_t op);

/* ---- generate.c ---- */
uint64_t oracle_random(void);
void oracle_seed(uint64_t seed);
/* Numbers that follow each other give sequences that have nothing in common. */
void oracle_seed_anew(uint64_t number);
void generate_init(uint32_t mxcsr_mask);
void generate_memory(uint8_t *memory, size_t size);
/* False: the form has no encoding in the mode, or this try has come to nothing. */
bool generate_case(const InsnForm *form, bool mode64, OracleCase *c);
/* Only the bytes; 0: no encoding. */
size_t generate_bytes(const InsnForm *form, bool mode64, uint8_t code[15]);

#endif
