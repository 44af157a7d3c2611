/*
 * Local APIC: requests and their priorities, messages, the LINT pins and the CPU's side. Its
 * registers are in apic-regs.c, its timer in apic-timer.c.
 *
 * Source: Intel SDM volume 3, "Advanced Programmable Interrupt Controller (APIC)". The CPU's side
 * is CpuIntController in target-i386/cpu.h.
 *
 * A request is taken in one step, under the machine lock, so it never vanishes between the CPU's
 * look and its acknowledge: the spurious vector is never used.
 * Each CPU has the page of its registers where its base register says. Where a CPU moved its page
 * the others find nothing, although there may be RAM behind it.
 * Not modelled: the serial APIC bus of older CPUs with its arbitration, suppression of EOI
 * broadcasts, the CMCI vector.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/apic.h"

#include "hw/apic-internal.h"
#include "hw/i8259.h"
#include "hw/ioapic.h"
#include "target-i386/cpuid.h"
#include "util/log.h"

#define MSR_X2APIC       0x800
#define MSR_TSC_DEADLINE 0x6e0

static const CpuIntController apic_int_controller;
static Apic *apics[CPU_MAX];
static Device *pic;
static IrqLine lint_lines[2];

/* ---- helpers ---- */

const Apic *apic_of_cpu(unsigned cpu)
{
    return cpu < CPU_MAX ? apics[cpu] : NULL;
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
uint8_t apic_processor_priority(const Apic *s)
{
    unsigned in_service = highest_in_service(s);

    return (uint8_t)((s->tpr & 0xf0u) >= (in_service & 0xf0u) ? s->tpr : in_service & 0xf0u);
}

/* SDM, "Arbitration Priority Register". */
uint8_t apic_arbitration_priority(const Apic *s)
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

static ApicMode apic_lvt_mode(uint32_t lvt)
{
    return (ApicMode)((lvt & LVT_MODE) >> LVT_MODE_SHIFT);
}

/* The vector that the CPU may take now, or -1. */
static int deliverable_vector(const Apic *s)
{
    int vector = apic_is_software_enabled(s) ? highest_bit(s->irr) : -1;

    return vector >= 0 && (vector & 0xf0) > (apic_processor_priority(s) & 0xf0) ? vector : -1;
}

/* While the APIC is off its LINT0 pin is the CPU's INTR. */
static bool extint_waiting(const Apic *s)
{
    if (!apic_is_enabled(s)) {
        return s->lint[0];
    }
    if (s->extint_requested) {
        return true;
    }
    uint32_t lvt = s->lvt[LVT_LINT0];
    return s->lint[0] && !(lvt & LVT_MASKED) && apic_lvt_mode(lvt) == APIC_MODE_EXTINT;
}

void apic_update_irq(Apic *s)
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

void apic_set_error(Apic *s, uint32_t bit)
{
    s->esr_new |= bit;
    apic_local_interrupt(s, LVT_ERROR);
}

void apic_request_vector(Apic *s, uint8_t vector, bool level)
{
    if (vector < FIRST_LEGAL_VECTOR) {
        /* An error vector that is illegal itself ends here. */
        s->esr_new |= ESR_RECEIVE_ILLEGAL_VECTOR;
        if ((s->lvt[LVT_ERROR] & LVT_VECTOR) >= FIRST_LEGAL_VECTOR) {
            apic_local_interrupt(s, LVT_ERROR);
        }
        return;
    }
    set_bit(s->irr, vector, true);
    set_bit(s->tmr, vector, level);
    apic_update_irq(s);
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
void apic_local_interrupt(Apic *s, unsigned entry)
{
    uint32_t lvt = s->lvt[entry];

    if (!apic_is_enabled(s) || (lvt & LVT_MASKED)) {
        return;
    }
    ApicMode mode = entry == LVT_TIMER || entry == LVT_ERROR ? APIC_MODE_FIXED : apic_lvt_mode(lvt);
    if (mode == APIC_MODE_FIXED) {
        apic_request_vector(s, lvt & LVT_VECTOR, false);
    } else {
        request_event(s, mode);
    }
}

/* A level-triggered LINT pin asks again after each EOI while it is high. */
void apic_service_level_lint(Apic *s, unsigned entry)
{
    uint32_t *lvt = &s->lvt[entry];

    if (apic_is_enabled(s) && s->lint[entry - LVT_LINT0] && (*lvt & LVT_LEVEL) &&
        !(*lvt & (LVT_MASKED | LVT_REMOTE_IRR)) && apic_lvt_mode(*lvt) == APIC_MODE_FIXED) {
        *lvt |= LVT_REMOTE_IRR;
        apic_request_vector(s, *lvt & LVT_VECTOR, true);
    }
}

static void lint_changed(Apic *s, unsigned n, bool level)
{
    unsigned entry = LVT_LINT0 + n;
    uint32_t lvt = s->lvt[entry];
    bool rising = level && !s->lint[n];

    s->lint[n] = level;
    if (!apic_is_enabled(s)) {
        if (n == 1 && rising) {
            cpu_interrupt(s->env, CPU_INTERRUPT_NMI);
        }
    } else if ((lvt & LVT_LEVEL) && apic_lvt_mode(lvt) == APIC_MODE_FIXED) {
        apic_service_level_lint(s, entry);
    } else if (rising) {
        apic_local_interrupt(s, entry);
    }
    apic_update_irq(s);
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
    if (apic_is_x2apic(s)) {
        uint32_t ldr = apic_x2apic_ldr(s);
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
    if (!apic_is_enabled(s)) {
        return false;
    }
    if (m->destination == (m->wide ? 0xffffffffu : 0xffu)) {
        return true;
    }
    if (m->logical) {
        return logical_match(s, m);
    }
    return m->destination == (apic_is_x2apic(s) ? s->env->index : s->id);
}

static bool accept_message(Apic *s, const ApicMessage *m)
{
    switch (m->mode) {
    case APIC_MODE_FIXED:
    case APIC_MODE_LOWEST:
        if (!apic_is_software_enabled(s)) {
            return false;
        }
        apic_request_vector(s, m->vector, m->level);
        return true;
    case APIC_MODE_SIPI:
        s->env->sipi_vector = m->vector;
        cpu_interrupt(s->env, CPU_INTERRUPT_SIPI);
        return true;
    case APIC_MODE_EXTINT:
        s->extint_requested = true;
        apic_update_irq(s);
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
        if (!s || !apic_is_software_enabled(s) || !is_destination(s, m)) {
            continue;
        }
        if (!(s->svr & SVR_NO_FOCUS_CHECK) &&
            (get_bit(s->isr, m->vector) || get_bit(s->irr, m->vector))) {
            return s;
        }
        if (!best || apic_arbitration_priority(s) < apic_arbitration_priority(best)) {
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
        if (to && wanted && apic_is_enabled(to)) {
            accept_message(to, m);
        }
    }
}

void apic_send_ipi(Apic *s)
{
    uint32_t low = (uint32_t)s->icr;
    unsigned shorthand = (low & ICR_SHORTHAND) >> ICR_SHORTHAND_SHIFT;
    ApicMessage m = {
        .destination = apic_is_x2apic(s) ? (uint32_t)(s->icr >> 32) : (uint32_t)(s->icr >> 56),
        .wide = apic_is_x2apic(s),
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
        apic_set_error(s, ESR_SEND_ILLEGAL_VECTOR);
        return;
    }
    if (m.mode == APIC_MODE_LOWEST && shorthand != SHORTHAND_NONE) {
        m.mode = APIC_MODE_FIXED;
    }
    send_with_shorthand(s, &m, shorthand);
}

void apic_end_of_interrupt(Apic *s)
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
                apic_service_level_lint(s, entry);
            }
        }
        ioapic_end_of_interrupt((uint8_t)vector);
    }
    apic_update_irq(s);
}

/* ---- the CPU's side ---- */

static int apic_acknowledge(void *opaque)
{
    Apic *s = opaque;

    apic_catch_up(s);
    int vector = deliverable_vector(s);
    if (vector >= 0) {
        set_bit(s->irr, (unsigned)vector, false);
        set_bit(s->isr, (unsigned)vector, true);
    } else if (extint_waiting(s) && pic) {
        s->extint_requested = false;
        vector = i8259_acknowledge(pic);
    }
    apic_update_irq(s);
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
    apic_update_irq(s);
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
    apic_set_count(s, 0);
    timer_cancel(&s->timer);
    apic_update_irq(s);
}

static bool page_shows(const Apic *s)
{
    return s && apic_is_enabled(s) && !apic_is_x2apic(s);
}

static bool same_page(const Apic *a, const Apic *b)
{
    return !((a->base ^ b->base) & BASE_ADDRESS);
}

/* After a base register changed: one region for each address that has pages. */
static void map_pages(void)
{
    memory_transaction_begin();
    for (unsigned i = 0; i < CPU_MAX; i++) {
        Apic *s = apics[i];
        if (!s) {
            continue;
        }
        bool first = page_shows(s);
        for (unsigned k = 0; k < i && first; k++) {
            first = !(page_shows(apics[k]) && same_page(apics[k], s));
        }
        if (first && s->page.addr != (s->base & BASE_ADDRESS)) {
            memory_region_set_addr(&s->page, s->base & BASE_ADDRESS);
        }
        memory_region_set_enabled(&s->page, first);
    }
    memory_transaction_commit();
}

/* SDM, "x2APIC State Transitions": off - xAPIC - x2APIC - off, and off from anywhere. */
static bool apic_set_base(void *opaque, uint64_t value)
{
    Apic *s = opaque;
    uint64_t allowed = BASE_ADDRESS | BASE_BSP | BASE_EN | (s->has_x2apic ? BASE_EXTD : 0);
    bool enable = value & BASE_EN, extended = value & BASE_EXTD;

    if ((value & ~allowed) || (extended && !enable) || (extended && !apic_is_enabled(s)) ||
        (apic_is_x2apic(s) && enable && !extended) ||
        (s->env->model && value >> s->env->model->phys_bits)) {
        return false;
    }
    bool switched_off = apic_is_enabled(s) && !enable;
    if (extended && !apic_is_x2apic(s)) {
        s->icr = 0; /* its format changes */
    }
    s->base = value;
    if (switched_off) {
        s->id = (uint8_t)s->env->index;
        reset_registers(s);
    }
    map_pages();
    apic_update_irq(s);
    return true;
}

static bool apic_msr_read(void *opaque, uint32_t msr, uint64_t *value)
{
    Apic *s = opaque;

    apic_catch_up(s);
    if (msr == MSR_TSC_DEADLINE) {
        *value = s->tsc_deadline;
        return true;
    }
    return apic_is_x2apic(s) && apic_x2apic_read(s, msr - MSR_X2APIC, value);
}

static bool apic_msr_write(void *opaque, uint32_t msr, uint64_t value)
{
    Apic *s = opaque;

    apic_catch_up(s);
    if (msr == MSR_TSC_DEADLINE) {
        if (apic_timer_mode(s) == TIMER_TSC_DEADLINE) { /* else ignored */
            s->tsc_deadline = value;
            apic_arm_timer(s);
        }
        return true;
    }
    return apic_is_x2apic(s) && apic_x2apic_write(s, msr - MSR_X2APIC, value);
}

/*
 * INIT leaves the boot CPU's pins as they are, though the SDM masks them: a board's firmware would
 * set the virtual wire up again before it goes on by the CMOS' shutdown code, SeaBIOS does not, and
 * programs that return to real mode that way would be without the 8259's interrupts.
 */
static void apic_cpu_reset(void *opaque, bool init)
{
    Apic *s = opaque;
    uint32_t svr = s->svr, lint0 = s->lvt[LVT_LINT0], lint1 = s->lvt[LVT_LINT1];

    if (!init) {
        s->id = (uint8_t)s->env->index;
        s->base = APIC_DEFAULT_BASE | BASE_EN | (s->env->bsp ? BASE_BSP : 0);
        map_pages();
    }
    reset_registers(s);
    if (init && s->env->bsp) {
        s->svr = svr;
        s->lvt[LVT_LINT0] = lint0;
        s->lvt[LVT_LINT1] = lint1;
        apic_update_irq(s);
    }
}

static void apic_catch_up_running(void *opaque)
{
    if (clock_virtual_running()) {
        apic_catch_up(opaque);
        apic_renew_alarm(opaque);
    }
}

static const CpuIntController apic_int_controller = {
    .acknowledge = apic_acknowledge,
    .catch_up = apic_catch_up_running,
    .get_tpr = apic_get_tpr,
    .set_tpr = apic_set_tpr,
    .get_base = apic_get_base,
    .set_base = apic_set_base,
    .msr_read = apic_msr_read,
    .msr_write = apic_msr_write,
    .reset = apic_cpu_reset,
};

/* The APIC of the CPU that makes an access to the page of owner, if it has its own there. */
Apic *apic_accessed(const Apic *owner)
{
    Apic *s = NULL;

    if (current_cpu && current_cpu->intc == &apic_int_controller) {
        s = current_cpu->intc_opaque;
    }
    return page_shows(s) && same_page(s, owner) ? s : NULL;
}

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

    if (apic_is_x2apic(s) && !s->has_x2apic) {
        error_set(errp, "%s: the saved state is in x2APIC mode, which this CPU model lacks",
                  s->dev.id);
        return false;
    }
    for (unsigned i = 0; i < LVTS; i++) {
        s->lvt[i] &= apic_lvt_writable[i] | LVT_REMOTE_IRR;
    }
    s->divide &= DIVIDE_WRITABLE;
    s->dfr |= DFR_ONES;
    map_pages();
    apic_update_irq(s);
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

    timer_init(&s->timer, CLOCK_VIRTUAL, apic_timer_expired, s);
    apics[s->env->index] = s;
    s->env->intc = &apic_int_controller;
    s->env->intc_opaque = s;
    memory_region_init_io(&s->page, "apic", 0x1000, &apic_page_ops, s);
    memory_region_set_enabled(&s->page, false);
    memory_region_add(memory_as.root, APIC_DEFAULT_BASE, &s->page, 1);
    return true;
}

static void apic_unrealize(Device *dev)
{
    Apic *s = (Apic *)dev;

    timer_cancel(&s->timer);
    s->env->intc = NULL;
    apics[s->env->index] = NULL;
    memory_region_remove(&s->page);
    map_pages();
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
