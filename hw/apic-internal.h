/*
 * The local APIC's state and registers, shared by its files: apic.c (requests, messages, the CPU's
 * side), apic-regs.c (what the guest reads and writes), apic-timer.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_APIC_INTERNAL_H
#define HW_APIC_INTERNAL_H

#include "hw/apic.h"
#include "hw/memory.h"
#include "util/loop.h"

/* Registers: offset in the page / 16, which is also the x2APIC MSR - 0x800. */
#define REG_ID            0x02
#define REG_VERSION       0x03
#define REG_TPR           0x08
#define REG_APR           0x09
#define REG_PPR           0x0a
#define REG_EOI           0x0b
#define REG_RRD           0x0c
#define REG_LDR           0x0d
#define REG_DFR           0x0e
#define REG_SVR           0x0f
#define REG_ISR           0x10
#define REG_TMR           0x18
#define REG_IRR           0x20
#define REG_ESR           0x28
#define REG_ICR           0x30
#define REG_ICR_HIGH      0x31
#define REG_LVT           0x32
#define REG_INITIAL_COUNT 0x38
#define REG_CURRENT_COUNT 0x39
#define REG_DIVIDE        0x3e
#define REG_SELF_IPI      0x3f

/* IA32_APIC_BASE */
#define BASE_BSP     (1u << 8)
#define BASE_EXTD    (1u << 10)
#define BASE_EN      (1u << 11)
#define BASE_ADDRESS 0x000ffffffffff000ull

#define SVR_VECTOR         0x0ffu
#define SVR_ENABLE         0x100u
#define SVR_NO_FOCUS_CHECK 0x200u

#define DFR_ONES 0x0fffffffu /* bits that read as one */
#define DFR_FLAT 0xfu        /* in bits 31:28; 0 is the cluster model */

/* Local vector table */
enum { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVTS };
#define LVT_VECTOR         0x000000ffu
#define LVT_MODE           0x00000700u
#define LVT_MODE_SHIFT     8
#define LVT_POLARITY       0x00002000u
#define LVT_REMOTE_IRR     0x00004000u
#define LVT_LEVEL          0x00008000u
#define LVT_MASKED         0x00010000u
#define LVT_TIMER_MODE     0x00060000u
#define TIMER_ONE_SHOT     0x00000000u
#define TIMER_PERIODIC     0x00020000u
#define TIMER_TSC_DEADLINE 0x00040000u

extern const uint32_t apic_lvt_writable[LVTS];

/* Error status */
#define ESR_SEND_ILLEGAL_VECTOR    0x20u
#define ESR_RECEIVE_ILLEGAL_VECTOR 0x40u
#define ESR_ILLEGAL_REGISTER       0x80u

#define FIRST_LEGAL_VECTOR 16

/* Interrupt command */
#define ICR_VECTOR          0x000000ffu
#define ICR_MODE            0x00000700u
#define ICR_MODE_SHIFT      8
#define ICR_LOGICAL         0x00000800u
#define ICR_ASSERT          0x00004000u
#define ICR_LEVEL           0x00008000u
#define ICR_SHORTHAND       0x000c0000u
#define ICR_SHORTHAND_SHIFT 18
#define ICR_WRITABLE        0x000ccfffu /* all of these */
enum { SHORTHAND_NONE, SHORTHAND_SELF, SHORTHAND_ALL, SHORTHAND_OTHERS };

#define DIVIDE_WRITABLE 0x0bu

typedef struct Apic {
    Device dev;
    /* wiring */
    CPUX86State *env;
    bool has_x2apic;
    MemoryRegion page; /* enabled for the first of the CPUs that have theirs at one address */
    /* saved */
    uint64_t base;
    uint8_t id; /* of xAPIC mode */
    uint8_t tpr;
    uint8_t ldr; /* of xAPIC mode */
    uint32_t dfr;
    uint32_t svr;
    uint32_t isr[8], tmr[8], irr[8];
    uint32_t esr, esr_new; /* errors since the last write to ESR wait in esr_new */
    uint64_t icr;
    uint32_t lvt[LVTS];
    bool lint[2];          /* levels */
    bool extint_requested; /* by a message */
    uint32_t initial_count, divide;
    int64_t count_ns; /* the count was count_from at this moment */
    uint32_t count_from;
    uint64_t tsc_deadline; /* 0: not armed */
    Timer timer;           /* set only while an interrupt is to come of it */
} Apic;

static inline bool apic_is_enabled(const Apic *s)
{
    return s->base & BASE_EN;
}

static inline bool apic_is_x2apic(const Apic *s)
{
    return s->base & BASE_EXTD;
}

static inline bool apic_is_software_enabled(const Apic *s)
{
    return apic_is_enabled(s) && (s->svr & SVR_ENABLE);
}

static inline uint32_t apic_x2apic_ldr(const Apic *s)
{
    unsigned id = s->env->index;
    return id >> 4 << 16 | 1u << (id & 15);
}

static inline uint32_t apic_timer_mode(const Apic *s)
{
    return s->lvt[LVT_TIMER] & LVT_TIMER_MODE;
}

/* ---- apic.c ---- */
/* Tells the CPU whether there is something for it. */
void apic_update_irq(Apic *s);
uint8_t apic_processor_priority(const Apic *s);
uint8_t apic_arbitration_priority(const Apic *s);
void apic_set_error(Apic *s, uint32_t bit);
void apic_request_vector(Apic *s, uint8_t vector, bool level);
/* An entry of the local vector table asks for its interrupt. */
void apic_local_interrupt(Apic *s, unsigned entry);
/* A level-triggered LINT pin asks again after each EOI while it is high. */
void apic_service_level_lint(Apic *s, unsigned entry);
/* What the ICR says. */
void apic_send_ipi(Apic *s);
void apic_end_of_interrupt(Apic *s);
/* NULL: there is no such CPU, or it has none. */
const Apic *apic_of_cpu(unsigned cpu);
/* The APIC of the CPU that makes an access to the page of owner, if it has its own there. */
Apic *apic_accessed(const Apic *owner);

/* ---- apic-regs.c ---- */
extern const MemoryOps apic_page_ops;
/* By MSR less 0x800; false: #GP. */
bool apic_x2apic_read(Apic *s, unsigned reg, uint64_t *value);
bool apic_x2apic_write(Apic *s, unsigned reg, uint64_t value);

/* ---- apic-timer.c ---- */
void apic_timer_expired(void *opaque);
/* Before a register changes: what was due by now has happened. */
void apic_catch_up(Apic *s);
void apic_renew_alarm(Apic *s);
/* After one changed: the next expiry that leads to an interrupt. */
void apic_arm_timer(Apic *s);
uint32_t apic_current_count(const Apic *s);
unsigned apic_timer_divisor(const Apic *s);
void apic_set_count(Apic *s, uint32_t count);
void apic_write_lvt_timer(Apic *s, uint32_t value);
void apic_write_initial_count(Apic *s, uint32_t value);
void apic_write_divide(Apic *s, uint32_t value);

#endif
