/*
 * Local APIC: its registers, in the page (xAPIC) and as MSRs (x2APIC).
 *
 * Source: Intel SDM volume 3, "Local APIC Registers", "Extended XAPIC (x2APIC)".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/apic-internal.h"

#include "util/log.h"

#define VERSION 0x00050014u /* six LVT entries, version 0x14 */

const uint32_t apic_lvt_writable[LVTS] = {
    [LVT_TIMER] = LVT_VECTOR | LVT_MASKED | LVT_TIMER_MODE,
    [LVT_THERMAL] = LVT_VECTOR | LVT_MODE | LVT_MASKED,
    [LVT_PERF] = LVT_VECTOR | LVT_MODE | LVT_MASKED,
    [LVT_LINT0] = LVT_VECTOR | LVT_MODE | LVT_POLARITY | LVT_LEVEL | LVT_MASKED,
    [LVT_LINT1] = LVT_VECTOR | LVT_MODE | LVT_POLARITY | LVT_LEVEL | LVT_MASKED,
    [LVT_ERROR] = LVT_VECTOR | LVT_MASKED,
};

/* ---- registers ---- */

static void write_lvt(Apic *s, unsigned entry, uint32_t value)
{
    value = (value & apic_lvt_writable[entry]) | (s->lvt[entry] & LVT_REMOTE_IRR);
    if (!(s->svr & SVR_ENABLE)) {
        value |= LVT_MASKED;
    }
    if (entry == LVT_TIMER) {
        apic_write_lvt_timer(s, value);
        return;
    }
    if (!(value & LVT_LEVEL)) {
        value &= ~LVT_REMOTE_IRR;
    }
    s->lvt[entry] = value;
    if (entry == LVT_LINT0 || entry == LVT_LINT1) {
        apic_service_level_lint(s, entry);
    }
    apic_update_irq(s);
}

static void write_svr(Apic *s, uint32_t value)
{
    s->svr = value & (SVR_VECTOR | SVR_ENABLE | SVR_NO_FOCUS_CHECK);
    if (!(s->svr & SVR_ENABLE)) {
        for (unsigned i = 0; i < LVTS; i++) {
            s->lvt[i] |= LVT_MASKED;
        }
        apic_arm_timer(s);
    }
    apic_update_irq(s);
}

static bool read_reg(Apic *s, unsigned reg, uint32_t *value)
{
    switch (reg) {
    case REG_ID:
        *value = apic_is_x2apic(s) ? s->env->index : (uint32_t)s->id << 24;
        return true;
    case REG_VERSION:
        *value = VERSION;
        return true;
    case REG_TPR:
        *value = s->tpr;
        return true;
    case REG_PPR:
        *value = apic_processor_priority(s);
        return true;
    case REG_LDR:
        *value = apic_is_x2apic(s) ? apic_x2apic_ldr(s) : (uint32_t)s->ldr << 24;
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
        *value = apic_current_count(s);
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
        apic_update_irq(s);
        return true;
    case REG_EOI:
        apic_end_of_interrupt(s);
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
        apic_write_initial_count(s, value);
        return true;
    case REG_DIVIDE:
        apic_write_divide(s, value);
        return true;
    }
    return false;
}

/* ---- xAPIC: the page ---- */

static bool page_read_reg(Apic *s, unsigned reg, uint32_t *value)
{
    switch (reg) {
    case REG_APR:
        *value = apic_arbitration_priority(s);
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
        apic_send_ipi(s);
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

/* Registers lie 16 bytes apart; what lies between is undefined, here empty. */
static uint64_t page_read(void *opaque, hwaddr addr, unsigned size)
{
    Apic *s = apic_accessed(opaque);
    uint32_t value = 0;

    if (!s) {
        return ~0ull;
    }
    apic_catch_up(s);
    if (addr % 16 == 0 && !page_read_reg(s, (unsigned)(addr / 16), &value)) {
        log_printf(LOG_GUEST_ERRORS, "apic %u: read of register 0x%x, which does not exist\n",
                   s->env->index, (unsigned)addr);
        apic_set_error(s, ESR_ILLEGAL_REGISTER);
    }
    return value;
}

static void page_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Apic *s = apic_accessed(opaque);

    if (!s || addr % 16 != 0) {
        return;
    }
    apic_catch_up(s);
    if (!page_write_reg(s, (unsigned)(addr / 16), (uint32_t)value)) {
        log_printf(LOG_GUEST_ERRORS, "apic %u: write to register 0x%x, which does not exist\n",
                   s->env->index, (unsigned)addr);
        apic_set_error(s, ESR_ILLEGAL_REGISTER);
    }
}

const MemoryOps apic_page_ops = {
    .read = page_read,
    .write = page_write,
    .min_size = 4,
    .max_size = 4,
};

/* ---- x2APIC: the MSRs ---- */

bool apic_x2apic_read(Apic *s, unsigned reg, uint64_t *value)
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
        return apic_lvt_writable[reg - REG_LVT] | LVT_REMOTE_IRR | 0x1000;
    case REG_INITIAL_COUNT:
        return 0xffffffff;
    case REG_DIVIDE:
        return DIVIDE_WRITABLE;
    default: /* EOI and ESR take nothing but zero */
        return 0;
    }
}

bool apic_x2apic_write(Apic *s, unsigned reg, uint64_t value)
{
    if (reg == REG_ICR) {
        if ((uint32_t)value & ~(ICR_WRITABLE | 0x1000u)) {
            return false;
        }
        s->icr = value & (0xffffffff00000000ull | ICR_WRITABLE);
        apic_send_ipi(s);
        return true;
    }
    if (value & ~(uint64_t)x2apic_writable(reg)) {
        return false;
    }
    if (reg == REG_SELF_IPI) {
        if (value < FIRST_LEGAL_VECTOR) {
            apic_set_error(s, ESR_SEND_ILLEGAL_VECTOR);
        } else if (apic_is_software_enabled(s)) {
            apic_request_vector(s, (uint8_t)value, false);
        }
        return true;
    }
    return write_reg(s, reg, (uint32_t)value);
}
