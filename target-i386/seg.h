/*
 * Segment descriptors: fetching, checking and loading them; stacks other than the current one.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_SEG_H
#define TARGET_I386_SEG_H

#include "target-i386/cpu.h"

/* System descriptor types, in attr's type field. */
enum {
    DESC_TSS16 = 1,
    DESC_LDT = 2,
    DESC_TSS16_BUSY = 3,
    DESC_CALL16 = 4,
    DESC_TASK_GATE = 5,
    DESC_INT16 = 6,
    DESC_TRAP16 = 7,
    DESC_TSS = 9,
    DESC_TSS_BUSY = 11,
    DESC_CALL = 12,
    DESC_INT = 14,
    DESC_TRAP = 15
};

/* A descriptor as it stands in the table. */
typedef struct Descriptor {
    uint32_t low, high;
    uint64_t linear; /* where */
} Descriptor;

static inline unsigned desc_type(const Descriptor *d)
{
    return d->high >> 8 & 15;
}
static inline bool desc_is_segment(const Descriptor *d)
{
    return d->high >> 12 & 1;
}
static inline unsigned desc_dpl(const Descriptor *d)
{
    return d->high >> 13 & 3;
}
static inline bool desc_present(const Descriptor *d)
{
    return d->high >> 15 & 1;
}
static inline bool desc_is_code(const Descriptor *d)
{
    return (d->high & 0x1800) == 0x1800;
}
static inline bool desc_is_conforming(const Descriptor *d)
{
    return d->high & 0x400;
}
static inline bool desc_accessed(const Descriptor *d)
{
    return d->high & 0x100;
}
/* Of code. */
static inline bool desc_readable(const Descriptor *d)
{
    return d->high & 0x200;
}
static inline bool desc_is_writable_data(const Descriptor *d)
{
    return (d->high & 0x1a00) == 0x1200;
}
static inline bool desc_is_long_code(const Descriptor *d)
{
    return d->high & 0x200000;
}
static inline bool desc_is_db(const Descriptor *d)
{
    return d->high & 0x400000;
}

/* Base, limit and attr of a descriptor's 8 bytes. */
Segment desc_segment(const Descriptor *d, uint16_t selector);

/* Reads the descriptor of a selector (not null). False: outside its table. Page faults raise. */
bool desc_fetch(CPUX86State *env, uint16_t selector, Descriptor *d);
/* As desc_fetch(), but raises `vector` with the selector's error code (| ext). */
void desc_fetch_or_raise(CPUX86State *env, uint16_t selector, Descriptor *d, int vector,
                         unsigned ext);
/* Sets the accessed bit, in memory and in *d. */
void desc_set_accessed(CPUX86State *env, Descriptor *d);

static inline bool selector_is_null(uint16_t selector)
{
    return !(selector & 0xfffc);
}
static inline uint32_t selector_error(uint16_t selector, unsigned ext)
{
    return (selector & 0xfffcu) | ext;
}

/* Whether off .. off + size - 1 lies in the segment. */
bool seg_range_ok(const Segment *s, uint64_t off, unsigned size);

/* VERW's answer, 0 or 1; 2 when it takes a descriptor that the TLB has not at hand. Changes nothing. */
uint64_t seg_verw_at_hand(CPUX86State *env, uint64_t selector);
/*
 * Loads ES, DS, FS or GS where nothing but the segment changes: its descriptor is at hand and all right, and the mode stays. False:
 * nothing happened.
 */
bool seg_load_at_hand(CPUX86State *env, unsigned seg, uint16_t selector);
/* MOV Sreg, POP Sreg, LDS ... in whatever mode (not CS). */
void seg_load(CPUX86State *env, unsigned seg, uint16_t selector);
/* As real mode and V86 load: base is selector * 16. Real mode keeps limit and attributes. */
void seg_load_real(CPUX86State *env, unsigned seg, uint16_t selector);
/*
 * For a stack segment at privilege cpl: raises as loads of SS do, `vector` (#GP or #TS) for bad
 * ones, #SS when not present. Returns what to put into SS; marks it accessed.
 */
Segment seg_check_stack(CPUX86State *env, uint16_t selector, unsigned cpl, int vector,
                        unsigned ext);
/* A null SS, as 64-bit mode allows it at CPL 0 to 2. */
Segment seg_null_stack(uint16_t selector, unsigned cpl);
/* After a change to an outer CPL: data segments that it may not use become null. */
void seg_drop_inner(CPUX86State *env);
/* Puts a checked code segment into CS with RPL = cpl and updates hflags. */
void seg_commit_cs(CPUX86State *env, const Descriptor *d, uint16_t selector, unsigned cpl);
/* Hidden parts of V86 mode for all six segment registers, from their selectors. */
void seg_load_v86(CPUX86State *env);

/* The stack for CPL from the TSS: SS and (E)SP, or RSP in long mode. #TS when it is outside. */
void tss_stack(CPUX86State *env, unsigned cpl, uint16_t *ss, uint64_t *sp, unsigned ext);
/* RSP0..2 (index 0..2) or IST1..7 (index 3..9 is IST1..) of a 64-bit TSS. */
uint64_t tss_stack64(CPUX86State *env, unsigned offset, unsigned ext);

/* A stack that may not be the current one: pushes and pops with its own limit checks. */
typedef struct Stack {
    Segment seg;
    uint64_t sp, mask;
    unsigned cls;   /* MMU class */
    uint32_t error; /* of #SS */
    bool flat;      /* 64-bit */
} Stack;
/* The current stack. */
Stack stack_current(CPUX86State *env, unsigned ext);
/* Another one, at privilege cpl. */
Stack stack_at(const Segment *seg, uint64_t sp, unsigned cpl, uint32_t error);
Stack stack_at64(uint64_t sp, unsigned cpl, unsigned ext);
void stack_push(CPUX86State *env, Stack *s, uint64_t v, unsigned size);
uint64_t stack_pop(CPUX86State *env, Stack *s, unsigned size);
/* Reads at sp + off without moving it. */
uint64_t stack_peek(CPUX86State *env, const Stack *s, uint64_t off, unsigned size);
/* Writes sp back into the register by the stack's address size. */
void stack_commit_sp(CPUX86State *env, const Stack *s);

/* Task switches (task.c). */
typedef enum TaskReason { TASK_JMP, TASK_CALL, TASK_GATE, TASK_IRET } TaskReason;
/*
 * Switches to the TSS `selector`; d is its descriptor (already checked for type, presence and
 * privilege). Raises #TS and friends: before the commit point in the old task, after it in the new
 * one. next_rip is where the old task goes on.
 */
void task_switch(CPUX86State *env, uint16_t selector, Descriptor *d, TaskReason reason,
                 uint64_t next_rip, unsigned ext);
/* Checks a TSS selector as a task gate or a far transfer names it, and switches. */
void task_switch_by_selector(CPUX86State *env, uint16_t selector, TaskReason reason,
                             uint64_t next_rip, unsigned ext, bool gate);

/* Far transfers shared with exception delivery (far.c). */
void far_load_cs_rip(CPUX86State *env, const Descriptor *d, uint16_t selector, unsigned cpl,
                     uint64_t rip);

#endif
