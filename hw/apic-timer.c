/*
 * Local APIC: the timer, one-shot, periodic and TSC-deadline.
 *
 * Source: Intel SDM volume 3, "APIC Timer". The count is never counted: it is worked out from the
 * guest's clock, a tick of the undivided timer a nanosecond (1 GHz).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/apic-internal.h"
#include "target-i386/vcpu.h"

/* A period the host cannot keep up with must not keep it from anything else. */
#define SHORTEST_PERIOD_NS (20 * NS_PER_US)

/*
 * The CPU's alarm tells that the timer is due. The main loop would only be in the way then, on the CPU's own host CPU or with the machine
 * lock; so it looks later, should there be no alarm after all, and out of step with guests that count in milliseconds.
 */
#define BACKUP_NS (50 * NS_PER_MS + 437 * NS_PER_US)

/* SDM, "Divide Configuration Register": 2, 4 .. 128, then 1. */
unsigned apic_timer_divisor(const Apic *s)
{
    unsigned code = (s->divide & 3) | (s->divide >> 1 & 4);
    return code == 7 ? 1 : 2u << code;
}

uint32_t apic_current_count(const Apic *s)
{
    int64_t now = clock_now(CLOCK_VIRTUAL);

    if (apic_timer_mode(s) == TIMER_TSC_DEADLINE || s->count_from == 0) {
        return 0;
    }
    uint64_t ticks = now > s->count_ns ? (uint64_t)(now - s->count_ns) / apic_timer_divisor(s) : 0;
    if (ticks < s->count_from) {
        return s->count_from - (uint32_t)ticks;
    }
    if (apic_timer_mode(s) != TIMER_PERIODIC || s->initial_count == 0) {
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
    int64_t first = s->count_ns + (int64_t)s->count_from * apic_timer_divisor(s);

    if (s->count_from == 0) {
        return -1;
    }
    if (first > now) {
        return first;
    }
    if (apic_timer_mode(s) != TIMER_PERIODIC || s->initial_count == 0) {
        return -1;
    }
    int64_t period = (int64_t)s->initial_count * apic_timer_divisor(s);
    int64_t next = first + ((now - first) / period + 1) * period;
    return period < SHORTEST_PERIOD_NS && next < now + SHORTEST_PERIOD_NS ? now + SHORTEST_PERIOD_NS
                                                                          : next;
}

static void set_timer(Apic *s, int64_t deadline)
{
    bool alarm = vcpu_set_alarm(s->env, clock_to_host(CLOCK_VIRTUAL, deadline));

    timer_set_backup(&s->timer, deadline, alarm ? BACKUP_NS : 0);
}

void apic_arm_timer(Apic *s)
{
    int64_t deadline = -1;

    if (apic_timer_mode(s) == TIMER_TSC_DEADLINE) {
        if (s->tsc_deadline) {
            deadline = tsc_deadline_ns(s);
        }
    } else if (!(s->lvt[LVT_TIMER] & LVT_MASKED)) {
        deadline = count_deadline_ns(s, clock_now(CLOCK_VIRTUAL));
    }
    if (deadline >= 0) {
        set_timer(s, deadline);
    } else {
        timer_cancel(&s->timer);
    }
}

void apic_timer_expired(void *opaque)
{
    Apic *s = opaque;

    timer_cancel(&s->timer);
    if (apic_timer_mode(s) == TIMER_TSC_DEADLINE) {
        if (cpu_tsc(s->env) < s->tsc_deadline) {
            apic_arm_timer(s); /* the guest has set its counter back */
            return;
        }
        s->tsc_deadline = 0;
    }
    apic_local_interrupt(s, LVT_TIMER);
    apic_arm_timer(s);
}

/* Before a register changes: what was due by now has happened. */
void apic_catch_up(Apic *s)
{
    if (timer_pending(&s->timer) && s->timer.deadline <= clock_now(CLOCK_VIRTUAL)) {
        apic_timer_expired(s);
    }
}

/* The clock has stood still, perhaps, or the state was loaded. */
void apic_renew_alarm(Apic *s)
{
    if (timer_pending(&s->timer)) {
        set_timer(s, s->timer.deadline);
    }
}

void apic_set_count(Apic *s, uint32_t count)
{
    s->count_ns = clock_now(CLOCK_VIRTUAL);
    s->count_from = count;
}

void apic_write_lvt_timer(Apic *s, uint32_t value)
{
    uint32_t old_mode = apic_timer_mode(s), new_mode = value & LVT_TIMER_MODE;

    if (old_mode != new_mode) {
        /* Going to or from TSC-deadline mode disarms the timer; else the count goes on. */
        bool disarm = old_mode == TIMER_TSC_DEADLINE || new_mode == TIMER_TSC_DEADLINE;
        apic_set_count(s, disarm ? 0 : apic_current_count(s));
        s->tsc_deadline = 0;
    }
    s->lvt[LVT_TIMER] = value;
    apic_arm_timer(s);
}

void apic_write_initial_count(Apic *s, uint32_t value)
{
    if (apic_timer_mode(s) != TIMER_TSC_DEADLINE) {
        s->initial_count = value;
        apic_set_count(s, value);
        apic_arm_timer(s);
    }
}

void apic_write_divide(Apic *s, uint32_t value)
{
    apic_set_count(s, apic_current_count(s));
    s->divide = value & DIVIDE_WRITABLE;
    apic_arm_timer(s);
}
