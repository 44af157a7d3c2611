/*
 * Local APIC: its state as text, for the monitor. Nothing here changes anything.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/apic-internal.h"
#include "util/buffer.h"

const char *apic_mode_name(unsigned mode)
{
    static const char *const names[] = {"fixed", "lowest", "SMI",  "reserved",
                                        "NMI",   "INIT",   "SIPI", "ExtINT"};
    return names[mode & 7];
}

static void dump_lvt(const Apic *s, unsigned entry, const char *name, Buffer *out)
{
    uint32_t lvt = s->lvt[entry];
    unsigned mode = (lvt & LVT_MODE) >> LVT_MODE_SHIFT;
    const char *what = apic_mode_name(mode);

    if (entry == LVT_TIMER) {
        uint32_t timer = apic_timer_mode(s);
        what = timer == TIMER_PERIODIC       ? "periodic"
               : timer == TIMER_TSC_DEADLINE ? "tsc-deadline"
                                             : "one-shot";
    }
    buffer_printf(out, "%-8s 0x%08x active-%s %-5s %-6s %-7s %s", name, lvt,
                  lvt & LVT_POLARITY ? "lo" : "hi", lvt & LVT_LEVEL ? "level" : "edge",
                  lvt & LVT_MASKED ? "masked" : "", lvt & LVT_REMOTE_IRR ? "rem-irr" : "", what);
    if (entry == LVT_TIMER || entry == LVT_ERROR || mode == APIC_MODE_FIXED) {
        buffer_printf(out, " (vec %u)", lvt & LVT_VECTOR);
    }
    buffer_printf(out, "\n");
}

/* levels: those that TMR says to be level triggered are marked. */
static void dump_vectors(const char *name, const uint32_t *bits, const uint32_t *levels,
                         Buffer *out)
{
    bool any = false;

    buffer_printf(out, "%-8s", name);
    for (unsigned v = 0; v < 256; v++) {
        if (bits[v / 32] >> (v % 32) & 1) {
            bool level = levels[v / 32] >> (v % 32) & 1;
            buffer_printf(out, " %u%s", v, level ? "(level)" : "");
            any = true;
        }
    }
    buffer_printf(out, "%s\n", any ? "" : " (none)");
}

static void dump_icr(const Apic *s, Buffer *out)
{
    static const char *const shorthands[] = {"no-shorthand", "self", "all", "all-but-self"};
    uint32_t icr = (uint32_t)s->icr, high = (uint32_t)(s->icr >> 32);

    buffer_printf(out, "%-8s 0x%08x %s %s %s %s %s (vec %u)\n", "ICR", icr,
                  apic_mode_name((icr & ICR_MODE) >> ICR_MODE_SHIFT),
                  icr & ICR_LOGICAL ? "logical" : "physical", icr & ICR_LEVEL ? "level" : "edge",
                  icr & ICR_ASSERT ? "assert" : "de-assert",
                  shorthands[(icr & ICR_SHORTHAND) >> ICR_SHORTHAND_SHIFT], icr & ICR_VECTOR);
    buffer_printf(out, "%-8s 0x%08x destination 0x%x\n", "ICR2", high,
                  apic_is_x2apic(s) ? high : high >> 24);
}

static void dump_timer(const Apic *s, Buffer *out)
{
    buffer_printf(out, "%-8s DCR=0x%x (divide by %u) initial_count = %u current_count = %u",
                  "Timer", s->divide, apic_timer_divisor(s), s->initial_count,
                  apic_current_count(s));
    if (apic_timer_mode(s) == TIMER_TSC_DEADLINE) {
        buffer_printf(out, " deadline = %llu", (unsigned long long)s->tsc_deadline);
    }
    buffer_printf(out, "\n");
}

static void dump(const Apic *s, Buffer *out)
{
    bool x2apic = apic_is_x2apic(s);

    buffer_printf(out, "local APIC of CPU %u, %s\n\n", (unsigned)s->env->index,
                  !apic_is_enabled(s) ? "switched off"
                  : x2apic            ? "x2APIC mode"
                                      : "xAPIC mode");
    dump_lvt(s, LVT_LINT0, "LVT0", out);
    dump_lvt(s, LVT_LINT1, "LVT1", out);
    dump_lvt(s, LVT_PERF, "LVTPC", out);
    dump_lvt(s, LVT_ERROR, "LVTERR", out);
    dump_lvt(s, LVT_THERMAL, "LVTTHMR", out);
    dump_lvt(s, LVT_TIMER, "LVTT", out);
    dump_timer(s, out);
    buffer_printf(out, "%-8s 0x%08x APIC %s, focus=%s, spurious vec %u\n", "SPIV", s->svr,
                  s->svr & SVR_ENABLE ? "enabled" : "disabled",
                  s->svr & SVR_NO_FOCUS_CHECK ? "off" : "on", s->svr & SVR_VECTOR);
    dump_icr(s, out);
    buffer_printf(out, "%-8s 0x%08x\n", "ESR", s->esr);
    dump_vectors("ISR", s->isr, s->tmr, out);
    dump_vectors("IRR", s->irr, s->tmr, out);
    buffer_printf(out, "\nID 0x%02x APR 0x%02x TPR 0x%02x PPR 0x%02x DFR 0x%x LDR 0x%02x\n",
                  x2apic ? (unsigned)s->env->index : s->id, apic_arbitration_priority(s), s->tpr,
                  apic_processor_priority(s), s->dfr >> 28, x2apic ? apic_x2apic_ldr(s) : s->ldr);
}

bool apic_dump(unsigned cpu, Buffer *out)
{
    const Apic *s = apic_of_cpu(cpu);

    if (s) {
        dump(s, out);
    }
    return s != NULL;
}
