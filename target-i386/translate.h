/*
 * The translator's inside: what its files share. target-i386/jit.h says where guest state lives in translated code.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_TRANSLATE_H
#define TARGET_I386_TRANSLATE_H

#include "target-i386/emit.h"
#include "target-i386/jit.h"

enum { S0 = H_13, S1 = H_14, S2 = H_15, GUEST_SP = H_12 };

typedef enum StubKind {
    STUB_HANDLER, /* the instruction by its handler, then back */
    STUB_LINK,    /* leave; the jump is to be patched */
    STUB_GOTO,    /* on to another page */
    STUB_KICK,    /* leave at the block's start */
} StubKind;

/* A block's need of the host's vector and x87 registers. */
typedef struct FpuUse {
    bool vectors, x87;
} FpuUse;

/* x87 instructions whose FOP, FIP, FDP have not been stored; NULL: none. */
typedef struct X87Pointers {
    const Insn *last, *operand; /* the last one; the last one with a memory operand */
    uint64_t rip, operand_next_rip;
} X87Pointers;

/* Where the guest's registers of a kind are, as far as is known at some point of a block. */
typedef enum FpuPlace {
    FPU_UNKNOWN, /* the flag in CPUX86State says */
    FPU_AWAY,    /* in CPUX86State; vector registers only */
    FPU_LIVE,    /* in the host's registers */
} FpuPlace;

/* Code out of line, made when the block is complete. */
typedef struct Stub {
    StubKind kind;
    uint8_t *rel;        /* the jump that comes here */
    const uint8_t *back; /* STUB_HANDLER: where to go on */
    FpuUse fpu;          /* STUB_HANDLER: what the code at `back` has in the host's registers; STUB_KICK: loaded, where no request came */
    X87Pointers x87_pointers; /* to be stored first */
    const JitInsn *ji;
    uint64_t target;
    bool saved; /* flags are in jit_flags */
    bool in_ax; /* flags are in AX, and its own value in S2 */
} Stub;

enum { MAX_STUBS = 4 * JIT_BLOCK_MAX_INSNS + 4 };

typedef struct Translator {
    Emitter e;
    CPUX86State *env;
    CpuJit *jit;
    bool mode64;
    unsigned word; /* width of addresses and of the stack: 4 or 8 */
    unsigned cls;  /* of data accesses */
    uint32_t key;
    uint64_t block_rip;
    bool ended; /* control has left the block */
    FpuPlace vectors, x87;
    X87Pointers x87_pointers;
    bool in_memory;  /* jit_flags holds the guest's flags as they are now */
    bool in_eflags;  /* EFLAGS does */

    /* the instruction at work */
    const Insn *insn;
    uint64_t rip, next_rip;
    bool live, live_behind; /* its flags on entry matter; those behind it */
    bool last;              /* nothing follows in the block */
    bool saved; /* EFLAGS are being used for something else: jit_flags has them */
    JitInsn *ji;
    unsigned first_stub;

    unsigned nstubs;
    Stub stubs[MAX_STUBS];
} Translator;

/* ---- translate-common.c ---- */
/* Between EFLAGS and AX, whose value is in S2 meanwhile; between EFLAGS and jit_flags. */
void gen_flags_to_ax(Translator *t);
void gen_flags_from_ax(Translator *t);
void gen_save_flags(Translator *t);
void gen_restore_flags(Translator *t);
void gen_load_guest(Translator *t, unsigned host, unsigned guest);
void gen_store_guest(Translator *t, unsigned guest, unsigned host);
/* The host register that holds a guest register, or H_NONE. */
unsigned host_of(unsigned guest);
HostRm env_reg(unsigned guest);
/* The instruction's record for its handler. */
JitInsn *insn_record(Translator *t);
Stub *add_stub(Translator *t, StubKind kind, uint8_t *rel);
/* A conditional jump to the instruction's handler, which does all of it. */
void gen_slow_unless(Translator *t, unsigned good_cond);

/* ---- translate-mem.c ---- */
bool can_address(const Translator *t);
/* The effective address, segment base added, in S0. S1 is used. */
void gen_address(Translator *t);
/* Turns the linear address in S0 into a host address; S1 and S2 are used, flags destroyed. Misses go to the handler. */
void gen_translate(Translator *t, unsigned size, MmuAccess access);
/* Both for the memory operand, flags kept where they are live. */
void gen_operand(Translator *t, unsigned size, MmuAccess access);
/*
 * Keep the flags before something destroys them; put them back if they are live. What may fault in between has
 * them, live or not: exceptions see exact flags.
 */
void gen_flags_away(Translator *t);
void gen_flags_back(Translator *t);

/* ---- translate-integer.c: false, with nothing emitted: the handler has to do it ---- */
bool gen_integer(Translator *t);

/* ---- translate-system.c ---- */
bool gen_system(Translator *t);
/* Whether the block may go on behind an instruction that ends the executor's. */
bool system_goes_on(uint32_t key, const Insn *insn);
void gen_common_system(Translator *t);

/* ---- translate-vector.c ---- */
bool gen_vector(Translator *t);
/* What the block had better have in the host's registers for this instruction. */
FpuUse vector_use(const Translator *t, const Insn *insn);

/* ---- translate-x87.c ---- */
bool gen_x87(Translator *t);
bool wants_x87(const Translator *t, const Insn *insn);
/* Before the instruction's code: stores the pointers that cannot wait; all of them if it leaves the block. Keeps flags; S0, S1 are used. */
void gen_before_insn_x87(Translator *t, bool leaves);
void gen_store_x87_pointers(Translator *t, const X87Pointers *p);

/* ---- translate-fpu.c ---- */
/* The common pieces; in common code on its way to C: vector registers to CPUX86State, flags destroyed. */
void gen_common_fpu(Translator *t);
void gen_common_leave_vectors(Translator *t);
/* Loads what is to be in the host's registers behind a handler. Flags are kept. */
void gen_back_from_handler(Translator *t, FpuUse use);
/* Has them in the host's registers from here on. Flags are kept where they are live; S2 is used. */
void gen_need_vectors(Translator *t);
void gen_need_x87(Translator *t);
/* At the start of a block: on to a stub like `kick` for a request, or where something of kick.fpu is away. Flags are destroyed. */
void gen_look_for_requests(Translator *t, Stub kick);
/* The start of that stub: loads and goes back, or comes out behind for a request. */
void gen_kick_or_load(Translator *t, const Stub *s);

/* ---- translate-control.c ---- */
/* Ends the block: goes on at target. */
void gen_goto(Translator *t, uint64_t target, bool saved);
bool gen_control(Translator *t);
void gen_stubs(Translator *t);

#endif
