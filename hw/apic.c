/*
 * Local APIC: xAPIC (memory page) and x2APIC (MSRs).
 *
 * Source: Intel SDM volume 3, "Advanced Programmable Interrupt Controller (APIC)". The timer counts
 * CLOCK_VIRTUAL at 1 GHz before its divider. The CPU's side is CpuIntController in
 * target-i386/cpu.h.
 *
 * A request is taken in one step, under the machine lock, so it never vanishes between the CPU's
 * look and its acknowledge: the spurious vector is never used. Not modelled: moving the page (the
 * base register keeps the address, the page stays where it is), the serial APIC bus of older CPUs
 * with its arbitration, suppression of EOI broadcasts, the CMCI vector.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/apic.h"

#include "hw/i8259.h"
#include "hw/ioapic.h"
#include "hw/memory.h"
#include "util/log.h"
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
#define REGS              0x40

#define MSR_X2APIC       0x800
#define MSR_TSC_DEADLINE 0x6e0

/* IA32_APIC_BASE */
#define BASE_BSP     (1u << 8)
#define BASE_EXTD    (1u << 10)
#define BASE_EN      (1u << 11)
#define BASE_ADDRESS 0x000ffffffffff000ull

#define VERSION 0x00050014u /* six LVT entries, version 0x14 */

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

static const uint32_t lvt_writable[LVTS] = {
    [LVT_TIMER] = LVT_VECTOR | LVT_MASKED | LVT_TIMER_MODE,
    [LVT_THERMAL] = LVT_VECTOR | LVT_MODE | LVT_MASKED,
    [LVT_PERF] = LVT_VECTOR | LVT_MODE | LVT_MASKED,
    [LVT_LINT0] = LVT_VECTOR | LVT_MODE | LVT_POLARITY | LVT_LEVEL | LVT_MASKED,
    [LVT_LINT1] = LVT_VECTOR | LVT_MODE | LVT_POLARITY | LVT_LEVEL | LVT_MASKED,
    [LVT_ERROR] = LVT_VECTOR | LVT_MASKED,
};

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

/* A period the host cannot keep up with must not keep it from anything else. */
#define SHORTEST_PERIOD_NS (20 * NS_PER_US)

typedef struct Apic {
    Device dev;
    /* wiring */
    CPUX86State *env;
    bool has_x2apic;
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

static const CpuIntController apic_int_controller;
static Apic *apics[CPU_MAX];
static Device *pic;
static IrqLine lint_lines[2];
static MemoryRegion page_region;

/* ---- helpers ---- */

static bool is_enabled(const Apic *s)
{
    return s->base & BASE_EN;
}

static bool is_x2apic(const Apic *s)
{
    return s->base & BASE_EXTD;
}

static bool is_software_enabled(const Apic *s)
{
    return is_enabled(s) && (s->svr & SVR_ENABLE);
}

static bool get_bit(const uint32_t *bits, unsigned n)
{
    return bits[n / 32] >> (n % 32) & 1;
}

static void set_bit(uint32_t *bits, unsigned n, bool value)
{
    uint32_t mask = 1u << (n % 32);

    bits[n / 32] = value ? bits[n / 32] | mask : bits[n / 32] & ~mask;
}

/* -1: none */
static int highest_bit(const uint32_t *bits)
{
    for (int i = 7; i >= 0; i--) {
        if (bits[i]) {
            return 32 * i + 31 - __builtin_clz(bits[i]);
        }
    }
    return -1;
}

static unsigned highest_in_service(const Apic *s)
{
    int v = highest_bit(s->isr);
    return v < 0 ? 0 : (unsigned)v;
}

/* SDM, "Task and Processor Priorities". */
static uint8_t processor_priority(const Apic *s)
{
    unsigned in_service = highest_in_service(s);

    return (uint8_t)((s->tpr & 0xf0u) >= (in_service & 0xf0u) ? s->tpr : in_service & 0xf0u);
}

/* SDM, "Arbitration Priority Register". */
static uint8_t arbitration_priority(const Apic *s)
{
    int request = highest_bit(s->irr);
    unsigned irrv = request < 0 ? 0 : (unsigned)request & 0xf0u;
    unsigned isrv = highest_in_service(s) & 0xf0u;
    unsigned tpr_class = s->tpr & 0xf0u;

    if (tpr_class >= irrv && tpr_class > isrv) {
        return s->tpr;
    }
    unsigned max = tpr_class > isrv ? tpr_class : isrv;
    return (uint8_t)(max > irrv ? max : irrv);
}

static uint32_t x2apic_ldr(const Apic *s)
{
    unsigned id = s->env->index;
    return id >> 4 << 16 | 1u << (id & 15);
}

static ApicMode lvt_mode(uint32_t lvt)
{
    return (ApicMode)((lvt & LVT_MODE) >> LVT_MODE_SHIFT);
}

/* The vector that the CPU may take now, or -1. */
static int deliverable_vector(const Apic *s)
{
    int vector = is_software_enabled(s) ? highest_bit(s->irr) : -1;

    return vector >= 0 && (vector & 0xf0) > (processor_priority(s) & 0xf0) ? vector : -1;
}

/* While the APIC is off its LINT0 pin is the CPU's INTR. */
static bool extint_waiting(const Apic *s)
{
    if (!is_enabled(s)) {
        return s->lint[0];
    }
    if (s->extint_requested) {
        return true;
    }
    uint32_t lvt = s->lvt[LVT_LINT0];
    return s->lint[0] && !(lvt & LVT_MASKED) && lvt_mode(lvt) == APIC_MODE_EXTINT;
}

static void update_irq(Apic *s)
{
    bool level = deliverable_vector(s) >= 0 || extint_waiting(s);

    /* Kicking a CPU costs more than looking. */
    if (level == !!(atomic_load(&s->env->interrupt_request) & CPU_INTERRUPT_HARD)) {
        return;
    }
    if (level) {
        cpu_interrupt(s->env, CPU_INTERRUPT_HARD);
    } else {
        cpu_interrupt_clear(s->env, CPU_INTERRUPT_HARD);
    }
}

/* ---- requests ---- */

static void local_interrupt(Apic *s, unsigned entry);

static void set_error(Apic *s, uint32_t bit)
{
    s->esr_new |= bit;
    local_interrupt(s, LVT_ERROR);
}

static void request_vector(Apic *s, uint8_t vector, bool level)
{
    if (vector < FIRST_LEGAL_VECTOR) {
        /* An error vector that is illegal itself ends here. */
        s->esr_new |= ESR_RECEIVE_ILLEGAL_VECTOR;
        if ((s->lvt[LVT_ERROR] & LVT_VECTOR) >= FIRST_LEGAL_VECTOR) {
            local_interrupt(s, LVT_ERROR);
        }
        return;
    }
    set_bit(s->irr, vector, true);
    set_bit(s->tmr, vector, level);
    update_irq(s);
}

static void request_event(Apic *s, ApicMode mode)
{
    switch (mode) {
    case APIC_MODE_SMI:
        cpu_interrupt(s->env, CPU_INTERRUPT_SMI);
        break;
    case APIC_MODE_NMI:
        cpu_interrupt(s->env, CPU_INTERRUPT_NMI);
        break;
    case APIC_MODE_INIT:
        cpu_interrupt(s->env, CPU_INTERRUPT_INIT);
        break;
    default: /* reserved encodings do nothing */
        break;
    }
}

/* An entry of the local vector table asks for its interrupt. */
static void local_interrupt(Apic *s, unsigned entry)
{
    uint32_t lvt = s->lvt[entry];

    if (!is_enabled(s) || (lvt & LVT_MASKED)) {
        return;
    }
    ApicMode mode = entry == LVT_TIMER || entry == LVT_ERROR ? APIC_MODE_FIXED : lvt_mode(lvt);
    if (mode == APIC_MODE_FIXED) {
        request_vector(s, lvt & LVT_VECTOR, false);
    } else {
        request_event(s, mode);
    }
}

/* A level-triggered LINT pin asks again after each EOI while it is high. */
static void service_level_lint(Apic *s, unsigned entry)
{
    uint32_t *lvt = &s->lvt[entry];

    if (is_enabled(s) && s->lint[entry - LVT_LINT0] && (*lvt & LVT_LEVEL) &&
        !(*lvt & (LVT_MASKED | LVT_REMOTE_IRR)) && lvt_mode(*lvt) == APIC_MODE_FIXED) {
        *lvt |= LVT_REMOTE_IRR;
        request_vector(s, *lvt & LVT_VECTOR, true);
    }
}

static void lint_changed(Apic *s, unsigned n, bool level)
{
    unsigned entry = LVT_LINT0 + n;
    uint32_t lvt = s->lvt[entry];
    bool rising = level && !s->lint[n];

    s->lint[n] = level;
    if (!is_enabled(s)) {
        if (n == 1 && rising) {
            cpu_interrupt(s->env, CPU_INTERRUPT_NMI);
        }
    } else if ((lvt & LVT_LEVEL) && lvt_mode(lvt) == APIC_MODE_FIXED) {
        service_level_lint(s, entry);
    } else if (rising) {
        local_interrupt(s, entry);
    }
    update_irq(s);
}

static void lint_line_changed(void *opaque, int n, bool level)
{
    for (unsigned i = 0; i < CPU_MAX; i++) {
        if (apics[i]) {
            lint_changed(apics[i], (unsigned)n, level);
        }
    }
}

/* ---- messages ---- */

static bool logical_match(const Apic *s, const ApicMessage *m)
{
    if (is_x2apic(s)) {
        uint32_t ldr = x2apic_ldr(s);
        return m->destination >> 16 == ldr >> 16 && (m->destination & ldr & 0xffff);
    }
    if (m->destination > 0xff) {
        return false;
    }
    if (s->dfr >> 28 == DFR_FLAT) {
        return m->destination & s->ldr;
    }
    /* Cluster in the high nibble, members in the low one; cluster 15 is all of them. */
    unsigned cluster = m->destination >> 4;
    return (cluster == 0xf || cluster == s->ldr >> 4u) && (m->destination & s->ldr & 0xf);
}

static bool is_destination(const Apic *s, const ApicMessage *m)
{
    if (!is_enabled(s)) {
        return false;
    }
    if (m->destination == (m->wide ? 0xffffffffu : 0xffu)) {
        return true;
    }
    if (m->logical) {
        return logical_match(s, m);
    }
    return m->destination == (is_x2apic(s) ? s->env->index : s->id);
}

static bool accept_message(Apic *s, const ApicMessage *m)
{
    switch (m->mode) {
    case APIC_MODE_FIXED:
    case APIC_MODE_LOWEST:
        if (!is_software_enabled(s)) {
            return false;
        }
        request_vector(s, m->vector, m->level);
        return true;
    case APIC_MODE_SIPI:
        s->env->sipi_vector = m->vector;
        cpu_interrupt(s->env, CPU_INTERRUPT_SIPI);
        return true;
    case APIC_MODE_EXTINT:
        s->extint_requested = true;
        update_irq(s);
        return true;
    default:
        request_event(s, m->mode);
        return true;
    }
}

/* A CPU that already handles the vector keeps it; else the one with the lowest priority gets it. */
static Apic *lowest_priority(const ApicMessage *m)
{
    Apic *best = NULL;

    for (unsigned i = 0; i < CPU_MAX; i++) {
        Apic *s = apics[i];
        if (!s || !is_software_enabled(s) || !is_destination(s, m)) {
            continue;
        }
        if (!(s->svr & SVR_NO_FOCUS_CHECK) &&
            (get_bit(s->isr, m->vector) || get_bit(s->irr, m->vector))) {
            return s;
        }
        if (!best || arbitration_priority(s) < arbitration_priority(best)) {
            best = s;
        }
    }
    return best;
}

bool apic_send(const ApicMessage *message)
{
    bool taken = false;

    if (message->mode == APIC_MODE_LOWEST) {
        Apic *s = lowest_priority(message);
        return s && accept_message(s, message);
    }
    for (unsigned i = 0; i < CPU_MAX; i++) {
        if (apics[i] && is_destination(apics[i], message)) {
            taken |= accept_message(apics[i], message);
        }
    }
    return taken;
}

bool apic_is_waiting(const ApicMessage *message)
{
    for (unsigned i = 0; i < CPU_MAX; i++) {
        if (apics[i] && is_destination(apics[i], message) &&
            get_bit(apics[i]->irr, message->vector)) {
            return true;
        }
    }
    return false;
}

static void send_with_shorthand(Apic *s, const ApicMessage *m, unsigned shorthand)
{
    if (shorthand == SHORTHAND_NONE) {
        apic_send(m);
        return;
    }
    for (unsigned i = 0; i < CPU_MAX; i++) {
        Apic *to = apics[i];
        bool wanted = shorthand == SHORTHAND_ALL || (to == s) == (shorthand == SHORTHAND_SELF);
        if (to && wanted && is_enabled(to)) {
            accept_message(to, m);
        }
    }
}

static void send_ipi(Apic *s)
{
    uint32_t low = (uint32_t)s->icr;
    unsigned shorthand = (low & ICR_SHORTHAND) >> ICR_SHORTHAND_SHIFT;
    ApicMessage m = {
        .destination = is_x2apic(s) ? (uint32_t)(s->icr >> 32) : (uint32_t)(s->icr >> 56),
        .wide = is_x2apic(s),
        .logical = low & ICR_LOGICAL,
        .mode = (ApicMode)((low & ICR_MODE) >> ICR_MODE_SHIFT),
        .vector = (uint8_t)(low & ICR_VECTOR),
    };

    bool by_vector = m.mode == APIC_MODE_FIXED || m.mode == APIC_MODE_LOWEST;
    if (m.mode == APIC_MODE_EXTINT ||
        (m.mode == APIC_MODE_INIT && (low & ICR_LEVEL) && !(low & ICR_ASSERT)) ||
        ((shorthand == SHORTHAND_SELF || shorthand == SHORTHAND_ALL) && !by_vector)) {
        return; /* a de-asserted INIT only concerned arbitration; the others are not allowed */
    }
    if (by_vector && m.vector < FIRST_LEGAL_VECTOR) {
        set_error(s, ESR_SEND_ILLEGAL_VECTOR);
        return;
    }
    if (m.mode == APIC_MODE_LOWEST && shorthand != SHORTHAND_NONE) {
        m.mode = APIC_MODE_FIXED;
    }
    send_with_shorthand(s, &m, shorthand);
}

static void end_of_interrupt(Apic *s)
{
    int vector = highest_bit(s->isr);

    if (vector < 0) {
        return;
    }
    set_bit(s->isr, (unsigned)vector, false);
    if (get_bit(s->tmr, (unsigned)vector)) {
        for (unsigned entry = LVT_LINT0; entry <= LVT_LINT1; entry++) {
            if ((s->lvt[entry] & LVT_VECTOR) == (unsigned)vector) {
                s->lvt[entry] &= ~LVT_REMOTE_IRR;
                service_level_lint(s, entry);
            }
        }
        ioapic_end_of_interrupt((uint8_t)vector);
    }
    update_irq(s);
}

/* ---- timer ---- */

static uint32_t timer_mode(const Apic *s)
{
    return s->lvt[LVT_TIMER] & LVT_TIMER_MODE;
}

/* SDM, "Divide Configuration Register": 2, 4 .. 128, then 1. */
static unsigned divisor(const Apic *s)
{
    unsigned code = (s->divide & 3) | (s->divide >> 1 & 4);
    return code == 7 ? 1 : 2u << code;
}

static uint32_t current_count(const Apic *s)
{
    int64_t now = clock_now(CLOCK_VIRTUAL);

    if (timer_mode(s) == TIMER_TSC_DEADLINE || s->count_from == 0) {
        return 0;
    }
    uint64_t ticks = now > s->count_ns ? (uint64_t)(now - s->count_ns) / divisor(s) : 0;
    if (ticks < s->count_from) {
        return s->count_from - (uint32_t)ticks;
    }
    if (timer_mode(s) != TIMER_PERIODIC || s->initial_count == 0) {
        return 0;
    }
    return s->initial_count - (uint32_t)((ticks - s->count_from) % s->initial_count);
}

static int64_t tsc_deadline_ns(const Apic *s)
{
    int64_t now = clock_now(CLOCK_VIRTUAL);
    uint64_t tsc = cpu_tsc(s->env);

    if (s->tsc_deadline <= tsc) {
        return now;
    }
    unsigned __int128 wait = (unsigned __int128)(s->tsc_deadline - tsc) * NS_PER_SEC;
    uint64_t hz = cpu_tsc_hz();
    wait = (wait + hz - 1) / hz;
    return wait > (uint64_t)(INT64_MAX - now) ? INT64_MAX : now + (int64_t)wait;
}

/* When the count first reaches zero after now; -1: it will not. */
static int64_t count_deadline_ns(const Apic *s, int64_t now)
{
    int64_t first = s->count_ns + (int64_t)s->count_from * divisor(s);

    if (s->count_from == 0) {
        return -1;
    }
    if (first > now) {
        return first;
    }
    if (timer_mode(s) != TIMER_PERIODIC || s->initial_count == 0) {
        return -1;
    }
    int64_t period = (int64_t)s->initial_count * divisor(s);
    int64_t next = first + ((now - first) / period + 1) * period;
    return period < SHORTEST_PERIOD_NS && next < now + SHORTEST_PERIOD_NS ? now + SHORTEST_PERIOD_NS
                                                                          : next;
}

static void arm_timer(Apic *s)
{
    int64_t deadline = -1;

    if (timer_mode(s) == TIMER_TSC_DEADLINE) {
        if (s->tsc_deadline) {
            deadline = tsc_deadline_ns(s);
        }
    } else if (!(s->lvt[LVT_TIMER] & LVT_MASKED)) {
        deadline = count_deadline_ns(s, clock_now(CLOCK_VIRTUAL));
    }
    if (deadline >= 0) {
        timer_set(&s->timer, deadline);
    } else {
        timer_cancel(&s->timer);
    }
}

static void timer_expired(void *opaque)
{
    Apic *s = opaque;

    timer_cancel(&s->timer);
    if (timer_mode(s) == TIMER_TSC_DEADLINE) {
        if (cpu_tsc(s->env) < s->tsc_deadline) {
            arm_timer(s); /* the guest has set its counter back */
            return;
        }
        s->tsc_deadline = 0;
    }
    local_interrupt(s, LVT_TIMER);
    arm_timer(s);
}

/* Before a register changes: what was due by now has happened. */
static void catch_up(Apic *s)
{
    if (timer_pending(&s->timer) && s->timer.deadline <= clock_now(CLOCK_VIRTUAL)) {
        timer_expired(s);
    }
}

static void set_count(Apic *s, uint32_t count)
{
    s->count_ns = clock_now(CLOCK_VIRTUAL);
    s->count_from = count;
}

static void write_lvt_timer(Apic *s, uint32_t value)
{
    uint32_t old_mode = timer_mode(s), new_mode = value & LVT_TIMER_MODE;

    if (old_mode != new_mode) {
        /* Going to or from TSC-deadline mode disarms the timer; else the count goes on. */
        bool disarm = old_mode == TIMER_TSC_DEADLINE || new_mode == TIMER_TSC_DEADLINE;
        set_count(s, disarm ? 0 : current_count(s));
        s->tsc_deadline = 0;
    }
    s->lvt[LVT_TIMER] = value;
    arm_timer(s);
}

static void write_initial_count(Apic *s, uint32_t value)
{
    if (timer_mode(s) != TIMER_TSC_DEADLINE) {
        s->initial_count = value;
        set_count(s, value);
        arm_timer(s);
    }
}

static void write_divide(Apic *s, uint32_t value)
{
    set_count(s, current_count(s));
    s->divide = value & DIVIDE_WRITABLE;
    arm_timer(s);
}

/* ---- registers ---- */

static void write_lvt(Apic *s, unsigned entry, uint32_t value)
{
    value = (value & lvt_writable[entry]) | (s->lvt[entry] & LVT_REMOTE_IRR);
    if (!(s->svr & SVR_ENABLE)) {
        value |= LVT_MASKED;
    }
    if (entry == LVT_TIMER) {
        write_lvt_timer(s, value);
        return;
    }
    if (!(value & LVT_LEVEL)) {
        value &= ~LVT_REMOTE_IRR;
    }
    s->lvt[entry] = value;
    if (entry == LVT_LINT0 || entry == LVT_LINT1) {
        service_level_lint(s, entry);
    }
    update_irq(s);
}

static void write_svr(Apic *s, uint32_t value)
{
    s->svr = value & (SVR_VECTOR | SVR_ENABLE | SVR_NO_FOCUS_CHECK);
    if (!(s->svr & SVR_ENABLE)) {
        for (unsigned i = 0; i < LVTS; i++) {
            s->lvt[i] |= LVT_MASKED;
        }
        arm_timer(s);
    }
    update_irq(s);
}

static bool read_reg(Apic *s, unsigned reg, uint32_t *value)
{
    switch (reg) {
    case REG_ID:
        *value = is_x2apic(s) ? s->env->index : (uint32_t)s->id << 24;
        return true;
    case REG_VERSION:
        *value = VERSION;
        return true;
    case REG_TPR:
        *value = s->tpr;
        return true;
    case REG_PPR:
        *value = processor_priority(s);
        return true;
    case REG_LDR:
        *value = is_x2apic(s) ? x2apic_ldr(s) : (uint32_t)s->ldr << 24;
        return true;
    case REG_SVR:
        *value = s->svr;
        return true;
    case REG_ISR ... REG_ISR + 7:
        *value = s->isr[reg - REG_ISR];
        return true;
    case REG_TMR ... REG_TMR + 7:
        *value = s->tmr[reg - REG_TMR];
        return true;
    case REG_IRR ... REG_IRR + 7:
        *value = s->irr[reg - REG_IRR];
        return true;
    case REG_ESR:
        *value = s->esr;
        return true;
    case REG_ICR:
        *value = (uint32_t)s->icr;
        return true;
    case REG_LVT ... REG_LVT + LVTS - 1:
        *value = s->lvt[reg - REG_LVT];
        return true;
    case REG_INITIAL_COUNT:
        *value = s->initial_count;
        return true;
    case REG_CURRENT_COUNT:
        *value = current_count(s);
        return true;
    case REG_DIVIDE:
        *value = s->divide;
        return true;
    }
    return false;
}

/* Those that both modes have and that take any value. */
static bool write_reg(Apic *s, unsigned reg, uint32_t value)
{
    switch (reg) {
    case REG_TPR:
        s->tpr = (uint8_t)value;
        update_irq(s);
        return true;
    case REG_EOI:
        end_of_interrupt(s);
        return true;
    case REG_SVR:
        write_svr(s, value);
        return true;
    case REG_ESR:
        s->esr = s->esr_new;
        s->esr_new = 0;
        return true;
    case REG_LVT ... REG_LVT + LVTS - 1:
        write_lvt(s, reg - REG_LVT, value);
        return true;
    case REG_INITIAL_COUNT:
        write_initial_count(s, value);
        return true;
    case REG_DIVIDE:
        write_divide(s, value);
        return true;
    }
    return false;
}

/* ---- xAPIC: the page ---- */

static bool page_read_reg(Apic *s, unsigned reg, uint32_t *value)
{
    switch (reg) {
    case REG_APR:
        *value = arbitration_priority(s);
        return true;
    case REG_EOI: /* write-only */
    case REG_RRD:
        *value = 0;
        return true;
    case REG_DFR:
        *value = s->dfr;
        return true;
    case REG_ICR_HIGH:
        *value = (uint32_t)(s->icr >> 32);
        return true;
    }
    return read_reg(s, reg, value);
}

static bool page_write_reg(Apic *s, unsigned reg, uint32_t value)
{
    switch (reg) {
    case REG_ID:
        s->id = (uint8_t)(value >> 24);
        return true;
    case REG_LDR:
        s->ldr = (uint8_t)(value >> 24);
        return true;
    case REG_DFR:
        s->dfr = value | DFR_ONES;
        return true;
    case REG_ICR:
        s->icr = (s->icr & 0xffffffff00000000ull) | (value & ICR_WRITABLE);
        send_ipi(s);
        return true;
    case REG_ICR_HIGH:
        s->icr = (uint64_t)(value & 0xff000000u) << 32 | (uint32_t)s->icr;
        return true;
    case REG_VERSION: /* read-only */
    case REG_APR:
    case REG_PPR:
    case REG_RRD:
    case REG_ISR ... REG_IRR + 7:
    case REG_CURRENT_COUNT:
        return true;
    }
    return write_reg(s, reg, value);
}

/* The APIC of the CPU that makes the access, if its page shows. */
static Apic *accessed_apic(void)
{
    Apic *s = NULL;

    if (current_cpu && current_cpu->intc == &apic_int_controller) {
        s = current_cpu->intc_opaque;
    }
    return s && is_enabled(s) && !is_x2apic(s) ? s : NULL;
}

/* Registers lie 16 bytes apart; what lies between is undefined, here empty. */
static uint64_t page_read(void *opaque, hwaddr addr, unsigned size)
{
    Apic *s = accessed_apic();
    uint32_t value = 0;

    if (!s) {
        return ~0ull;
    }
    catch_up(s);
    if (addr % 16 == 0 && !page_read_reg(s, (unsigned)(addr / 16), &value)) {
        log_printf(LOG_GUEST_ERRORS, "apic %u: read of register 0x%x, which does not exist\n",
                   s->env->index, (unsigned)addr);
        set_error(s, ESR_ILLEGAL_REGISTER);
    }
    return value;
}

static void page_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Apic *s = accessed_apic();

    if (!s || addr % 16 != 0) {
        return;
    }
    catch_up(s);
    if (!page_write_reg(s, (unsigned)(addr / 16), (uint32_t)value)) {
        log_printf(LOG_GUEST_ERRORS, "apic %u: write to register 0x%x, which does not exist\n",
                   s->env->index, (unsigned)addr);
        set_error(s, ESR_ILLEGAL_REGISTER);
    }
}

static const MemoryOps page_ops = {
    .read = page_read,
    .write = page_write,
    .min_size = 4,
    .max_size = 4,
};

/* ---- x2APIC: the MSRs ---- */

static bool x2apic_read(Apic *s, unsigned reg, uint64_t *value)
{
    uint32_t v;

    if (reg == REG_ICR) {
        *value = s->icr;
        return true;
    }
    if (!read_reg(s, reg, &v)) {
        return false;
    }
    *value = v;
    return true;
}

/* The bits that a register's writes may have set; others are #GP. */
static uint32_t x2apic_writable(unsigned reg)
{
    switch (reg) {
    case REG_TPR:
    case REG_SELF_IPI:
        return 0xff;
    case REG_SVR:
        return SVR_VECTOR | SVR_ENABLE | SVR_NO_FOCUS_CHECK;
    case REG_LVT ... REG_LVT + LVTS - 1:
        /* The status bits are read-only, but saved and restored values carry them. */
        return lvt_writable[reg - REG_LVT] | LVT_REMOTE_IRR | 0x1000;
    case REG_INITIAL_COUNT:
        return 0xffffffff;
    case REG_DIVIDE:
        return DIVIDE_WRITABLE;
    default: /* EOI and ESR take nothing but zero */
        return 0;
    }
}

static bool x2apic_write(Apic *s, unsigned reg, uint64_t value)
{
    if (reg == REG_ICR) {
        if ((uint32_t)value & ~(ICR_WRITABLE | 0x1000u)) {
            return false;
        }
        s->icr = value & (0xffffffff00000000ull | ICR_WRITABLE);
        send_ipi(s);
        return true;
    }
    if (value & ~(uint64_t)x2apic_writable(reg)) {
        return false;
    }
    if (reg == REG_SELF_IPI) {
        if (value < FIRST_LEGAL_VECTOR) {
            set_error(s, ESR_SEND_ILLEGAL_VECTOR);
        } else if (is_software_enabled(s)) {
            request_vector(s, (uint8_t)value, false);
        }
        return true;
    }
    return write_reg(s, reg, (uint32_t)value);
}

/* ---- the CPU's side ---- */

static int apic_acknowledge(void *opaque)
{
    Apic *s = opaque;

    catch_up(s);
    int vector = deliverable_vector(s);
    if (vector >= 0) {
        set_bit(s->irr, (unsigned)vector, false);
        set_bit(s->isr, (unsigned)vector, true);
    } else if (extint_waiting(s) && pic) {
        s->extint_requested = false;
        vector = i8259_acknowledge(pic);
    }
    update_irq(s);
    return vector;
}

static uint8_t apic_get_tpr(void *opaque)
{
    return ((Apic *)opaque)->tpr;
}

static void apic_set_tpr(void *opaque, uint8_t tpr)
{
    Apic *s = opaque;

    s->tpr = tpr;
    update_irq(s);
}

static uint64_t apic_get_base(void *opaque)
{
    return ((Apic *)opaque)->base;
}

/* SDM, "Local APIC State After Power-Up or Reset"; all but the ID and the base register. */
static void reset_registers(Apic *s)
{
    s->tpr = 0;
    s->ldr = 0;
    s->dfr = 0xffffffff;
    s->svr = 0xff;
    for (unsigned i = 0; i < 8; i++) {
        s->isr[i] = s->tmr[i] = s->irr[i] = 0;
    }
    s->esr = s->esr_new = 0;
    s->icr = 0;
    for (unsigned i = 0; i < LVTS; i++) {
        s->lvt[i] = LVT_MASKED;
    }
    s->extint_requested = false;
    s->initial_count = s->divide = 0;
    s->tsc_deadline = 0;
    set_count(s, 0);
    timer_cancel(&s->timer);
    update_irq(s);
}

/* SDM, "x2APIC State Transitions": off - xAPIC - x2APIC - off, and off from anywhere. */
static bool apic_set_base(void *opaque, uint64_t value)
{
    Apic *s = opaque;
    uint64_t allowed = BASE_ADDRESS | BASE_BSP | BASE_EN | (s->has_x2apic ? BASE_EXTD : 0);
    bool enable = value & BASE_EN, extended = value & BASE_EXTD;

    if ((value & ~allowed) || (extended && !enable) || (extended && !is_enabled(s)) ||
        (is_x2apic(s) && enable && !extended)) {
        return false;
    }
    bool switched_off = is_enabled(s) && !enable;
    if (extended && !is_x2apic(s)) {
        s->icr = 0; /* its format changes */
    }
    s->base = value;
    if (switched_off) {
        s->id = (uint8_t)s->env->index;
        reset_registers(s);
    }
    if ((value & BASE_ADDRESS) != APIC_DEFAULT_BASE) {
        log_printf(LOG_UNIMP, "apic %u: the page stays at 0x%x, not at 0x%llx\n", s->env->index,
                   APIC_DEFAULT_BASE, (unsigned long long)(value & BASE_ADDRESS));
    }
    update_irq(s);
    return true;
}

static bool apic_msr_read(void *opaque, uint32_t msr, uint64_t *value)
{
    Apic *s = opaque;

    catch_up(s);
    if (msr == MSR_TSC_DEADLINE) {
        *value = s->tsc_deadline;
        return true;
    }
    return is_x2apic(s) && x2apic_read(s, msr - MSR_X2APIC, value);
}

static bool apic_msr_write(void *opaque, uint32_t msr, uint64_t value)
{
    Apic *s = opaque;

    catch_up(s);
    if (msr == MSR_TSC_DEADLINE) {
        if (timer_mode(s) == TIMER_TSC_DEADLINE) { /* else ignored */
            s->tsc_deadline = value;
            arm_timer(s);
        }
        return true;
    }
    return is_x2apic(s) && x2apic_write(s, msr - MSR_X2APIC, value);
}

static void apic_cpu_reset(void *opaque, bool init)
{
    Apic *s = opaque;

    if (!init) {
        s->id = (uint8_t)s->env->index;
        s->base = APIC_DEFAULT_BASE | BASE_EN | (s->env->bsp ? BASE_BSP : 0);
    }
    reset_registers(s);
}

static const CpuIntController apic_int_controller = {
    .acknowledge = apic_acknowledge,
    .get_tpr = apic_get_tpr,
    .set_tpr = apic_set_tpr,
    .get_base = apic_get_base,
    .set_base = apic_set_base,
    .msr_read = apic_msr_read,
    .msr_write = apic_msr_write,
    .reset = apic_cpu_reset,
};

/* ---- reset, state, creation ---- */

static void apic_reset(Device *dev)
{
    apic_cpu_reset(dev, false);
}

static const VMStateField apic_fields[] = {
    VMSTATE_U64(base, Apic),
    VMSTATE_U8(id, Apic),
    VMSTATE_U8(tpr, Apic),
    VMSTATE_U8(ldr, Apic),
    VMSTATE_U32(dfr, Apic),
    VMSTATE_U32(svr, Apic),
    VMSTATE_U32_ARRAY(isr, Apic),
    VMSTATE_U32_ARRAY(tmr, Apic),
    VMSTATE_U32_ARRAY(irr, Apic),
    VMSTATE_U32(esr, Apic),
    VMSTATE_U32(esr_new, Apic),
    VMSTATE_U64(icr, Apic),
    VMSTATE_U32_ARRAY(lvt, Apic),
    VMSTATE_BOOL_ARRAY(lint, Apic),
    VMSTATE_BOOL(extint_requested, Apic),
    VMSTATE_U32(initial_count, Apic),
    VMSTATE_U32(divide, Apic),
    VMSTATE_U64(count_ns, Apic),
    VMSTATE_U32(count_from, Apic),
    VMSTATE_U64(tsc_deadline, Apic),
    VMSTATE_TIMER(timer, Apic),
    VMSTATE_END,
};

static bool apic_post_load(void *opaque, int version, Error **errp)
{
    Apic *s = opaque;

    if (is_x2apic(s) && !s->has_x2apic) {
        error_set(errp, "%s: the saved state is in x2APIC mode, which this CPU model lacks",
                  s->dev.id);
        return false;
    }
    for (unsigned i = 0; i < LVTS; i++) {
        s->lvt[i] &= lvt_writable[i] | LVT_REMOTE_IRR;
    }
    s->divide &= DIVIDE_WRITABLE;
    s->dfr |= DFR_ONES;
    update_irq(s);
    return true;
}

static const VMState apic_vmstate = {
    .name = "apic",
    .version = 1,
    .fields = apic_fields,
    .post_load = apic_post_load,
};

static bool apic_realize(Device *dev, Error **errp)
{
    Apic *s = (Apic *)dev;

    timer_init(&s->timer, CLOCK_VIRTUAL, timer_expired, s);
    apics[s->env->index] = s;
    s->env->intc = &apic_int_controller;
    s->env->intc_opaque = s;
    if (!page_region.parent) {
        memory_region_init_io(&page_region, "apic", 0x1000, &page_ops, NULL);
        memory_region_add(memory_as.root, APIC_DEFAULT_BASE, &page_region, 1);
    }
    return true;
}

static void apic_unrealize(Device *dev)
{
    Apic *s = (Apic *)dev;
    bool others = false;

    timer_cancel(&s->timer);
    s->env->intc = NULL;
    apics[s->env->index] = NULL;
    for (unsigned i = 0; i < CPU_MAX; i++) {
        others |= apics[i] != NULL;
    }
    if (!others) {
        memory_region_remove(&page_region);
    }
}

const DeviceClass apic_class = {
    .name = "apic",
    .desc = "local APIC",
    .bus = "cpu",
    .size = sizeof(Apic),
    .vmstate = &apic_vmstate,
    .realize = apic_realize,
    .reset = apic_reset,
    .unrealize = apic_unrealize,
};

Device *apic_create(CPUX86State *env, bool x2apic)
{
    Apic *s = (Apic *)device_new(&apic_class, NULL, NULL);

    s->env = env;
    s->has_x2apic = x2apic;
    device_realize_or_die(&s->dev);
    return &s->dev;
}

void apic_set_pic(Device *i8259)
{
    pic = i8259;
}

IrqLine *apic_lint(unsigned n)
{
    if (n > 1) {
        return NULL;
    }
    irq_init(&lint_lines[n], lint_line_changed, NULL, (int)n);
    return &lint_lines[n];
}
