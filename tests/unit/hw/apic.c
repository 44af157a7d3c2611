/*
 * Local APIC: priorities, requests and EOI, inter-processor interrupts by every kind of address,
 * the local vector table, the timer in its three modes, x2APIC's registers and mode changes; run,
 * save, disturb, load, compare, continue.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/apic.h"

#include <stdlib.h>

#include "hw/i8259.h"
#include "hw/memory.h"
#include "util/loop.h"

#include "tests/unit/hw/board.h"

#define ID            0x020
#define TPR           0x080
#define APR           0x090
#define PPR           0x0a0
#define EOI           0x0b0
#define LDR           0x0d0
#define DFR           0x0e0
#define SVR           0x0f0
#define ISR           0x100
#define TMR           0x180
#define IRR           0x200
#define ESR           0x280
#define ICR           0x300
#define ICR_HI        0x310
#define LVT_TIMER     0x320
#define LVT_LINT0     0x350
#define LVT_LINT1     0x360
#define LVT_ERROR     0x370
#define COUNT_INITIAL 0x380
#define COUNT_CURRENT 0x390
#define DIVIDE        0x3e0

enum { CPUS = 4 };

static CPUX86State envs[CPUS];
static Device *apics[CPUS];
static Device *pic;

static uint32_t rd(unsigned reg)
{
    return (uint32_t)memory_read(&memory_as, APIC_DEFAULT_BASE + reg, 4);
}

static void wr(unsigned reg, uint32_t v)
{
    memory_write(&memory_as, APIC_DEFAULT_BASE + reg, v, 4);
}

static void on_cpu(unsigned n)
{
    current_cpu = &envs[n];
}

static uint32_t requests(unsigned n)
{
    return atomic_load(&envs[n].interrupt_request);
}

/* The CPU takes its interrupt: the vector, or -1. Request and acknowledge must agree. */
static int take(unsigned n)
{
    bool asked = requests(n) & CPU_INTERRUPT_HARD;
    int vector = envs[n].intc->acknowledge(envs[n].intc_opaque);

    return asked == (vector >= 0) ? vector : -2;
}

static bool msr_rd(unsigned n, uint32_t msr, uint64_t *v)
{
    return envs[n].intc->msr_read(envs[n].intc_opaque, msr, v);
}

static bool msr_wr(unsigned n, uint32_t msr, uint64_t v)
{
    return envs[n].intc->msr_write(envs[n].intc_opaque, msr, v);
}

static void set_up(void)
{
    static bool made;

    if (!made) {
        clock_use_stepped();
        memory_init();
        pic = i8259_create(apic_lint(0));
        apic_set_pic(pic);
        for (unsigned i = 0; i < CPUS; i++) {
            envs[i].index = i;
            envs[i].bsp = i == 0;
            apics[i] = apic_create(&envs[i], true);
        }
        made = true;
    }
    irq_lower(apic_lint(1));
    devices_reset();
    for (unsigned i = CPUS; i-- > 0;) {
        atomic_store(&envs[i].interrupt_request, 0);
        on_cpu(i);
        wr(SVR, 0x1ff);
    }
}

static void request(unsigned vector)
{
    wr(ICR, 0x40000 | vector); /* self */
}

static void power_on_state(void)
{
    set_up();
    devices_reset();
    on_cpu(2);
    CHECK_EQ(rd(ID), 0x02000000);
    CHECK_EQ(rd(0x30), 0x00050014);
    CHECK_EQ(rd(DFR), 0xffffffff);
    CHECK_EQ(rd(SVR), 0xff);
    for (unsigned reg = 0x320; reg <= 0x370; reg += 16) {
        CHECK_EQ(rd(reg), 0x10000);
    }
    CHECK_EQ(envs[0].intc->get_base(envs[0].intc_opaque), 0xfee00900);
    CHECK_EQ(envs[2].intc->get_base(envs[2].intc_opaque), 0xfee00800);
    wr(LVT_LINT0, 0x700);
    CHECK_EQ(rd(LVT_LINT0), 0x10700); /* masked by force until the APIC is enabled */
    request(0x55);
    CHECK_EQ(take(2), -1);
    current_cpu = NULL;
    CHECK_EQ(rd(ID), 0xffffffff); /* nobody's page */
}

static void priorities(void)
{
    set_up();
    request(0x31);
    request(0x45);
    request(0x32);
    CHECK_EQ(rd(IRR + 0x10), 1u << 0x11 | 1u << 0x12);
    CHECK_EQ(rd(IRR + 0x20), 1u << 5);
    CHECK_EQ(take(0), 0x45);
    CHECK_EQ(rd(ISR + 0x20), 1u << 5);
    CHECK_EQ(rd(PPR), 0x40);
    CHECK_EQ(take(0), -1); /* lower classes wait */
    request(0x4f);
    CHECK_EQ(take(0), -1); /* the same class, too */
    request(0x50);
    CHECK_EQ(take(0), 0x50);
    wr(EOI, 0);
    CHECK_EQ(take(0), -1);
    wr(EOI, 0);
    CHECK_EQ(take(0), 0x4f);
    wr(EOI, 0);
    CHECK_EQ(take(0), 0x32);
    wr(EOI, 0);
    wr(TPR, 0x30);
    CHECK_EQ(take(0), -1);
    CHECK_EQ(rd(PPR), 0x30);
    CHECK_EQ(rd(APR), 0x30);
    envs[0].intc->set_tpr(envs[0].intc_opaque, 0x2f);
    CHECK_EQ(envs[0].intc->get_tpr(envs[0].intc_opaque), 0x2f);
    CHECK_EQ(take(0), 0x31);
    wr(EOI, 0);
    wr(EOI, 0); /* nothing in service: ignored */
    CHECK_EQ(rd(PPR), 0x2f);
    wr(SVR, 0xff);
    request(0x90);
    CHECK_EQ(take(0), -1); /* switched off by software: takes nothing */
}

static uint32_t cpus_with(unsigned vector)
{
    uint32_t mask = 0;

    for (unsigned i = 0; i < CPUS; i++) {
        on_cpu(i);
        if (rd(IRR + vector / 32 * 16) >> (vector % 32) & 1) {
            mask |= 1u << i;
            if (take(i) != (int)vector) {
                mask |= 0x100;
            }
            wr(EOI, 0);
        }
    }
    on_cpu(0);
    return mask;
}

static uint32_t send(uint32_t high, uint32_t low)
{
    on_cpu(0);
    wr(ICR_HI, high << 24);
    wr(ICR, low);
    return cpus_with(low & 0xff);
}

static void ipi_addresses(void)
{
    set_up();
    CHECK_EQ(send(2, 0x60), 0x4);
    CHECK_EQ(send(9, 0x60), 0);
    CHECK_EQ(send(0xff, 0x60), 0xf);
    CHECK_EQ(send(0, 0x40060), 0x1);
    CHECK_EQ(send(0, 0x80060), 0xf);
    CHECK_EQ(send(0, 0xc0060), 0xe);

    for (unsigned i = 0; i < CPUS; i++) {
        on_cpu(i);
        wr(LDR, 1u << (24 + i));
    }
    CHECK_EQ(send(0x0a, 0x860), 0xa);
    CHECK_EQ(send(0xff, 0x860), 0xf);
    CHECK_EQ(send(0x10, 0x860), 0);
    for (unsigned i = 0; i < CPUS; i++) { /* clusters 0 (CPUs 0, 1) and 1 (CPUs 2, 3) */
        on_cpu(i);
        wr(DFR, 0x0fffffff);
        wr(LDR, (i / 2 << 4 | 1u << (i % 2)) << 24);
    }
    CHECK_EQ(send(0x03, 0x860), 0x3);
    CHECK_EQ(send(0x12, 0x860), 0x8);
    CHECK_EQ(send(0x22, 0x860), 0);
    CHECK_EQ(send(0xf1, 0x860), 0x5);

    /* The ID can be changed. */
    on_cpu(3);
    wr(ID, 0x77000000);
    CHECK_EQ(send(3, 0x60), 0);
    CHECK_EQ(send(0x77, 0x60), 0x8);
}

static void lowest_priority(void)
{
    set_up();
    for (unsigned i = 0; i < CPUS; i++) {
        on_cpu(i);
        wr(TPR, 0x80 - 0x10 * i);
    }
    CHECK_EQ(send(0xff, 0x1e0), 0x8);
    on_cpu(3);
    wr(SVR, 0xff);
    CHECK_EQ(send(0xff, 0x1e0), 0x4);
    /* CPU 1 handles the vector already: it keeps it. */
    on_cpu(1);
    request(0xe0);
    CHECK_EQ(take(1), 0xe0);
    on_cpu(0);
    wr(ICR_HI, 0xff000000);
    wr(ICR, 0x1e0);
    on_cpu(1);
    CHECK_EQ(rd(IRR + 0x70), 1);
    wr(EOI, 0);
    CHECK_EQ(take(1), 0xe0);
    wr(EOI, 0);
}

static void events_by_ipi(void)
{
    set_up();
    wr(ICR_HI, 1u << 24);
    wr(ICR, 0x4500); /* INIT */
    CHECK_EQ(requests(1), CPU_INTERRUPT_INIT);
    wr(ICR, 0x8500); /* INIT level de-assert: nothing */
    wr(ICR_HI, 2u << 24);
    wr(ICR, 0x8500);
    CHECK_EQ(requests(2), 0);
    wr(ICR, 0x469a); /* SIPI */
    CHECK_EQ(requests(2), CPU_INTERRUPT_SIPI);
    CHECK_EQ(envs[2].sipi_vector, 0x9a);
    wr(ICR_HI, 3u << 24);
    wr(ICR, 0x4400);
    wr(ICR, 0x4200);
    CHECK_EQ(requests(3), CPU_INTERRUPT_NMI | CPU_INTERRUPT_SMI);
    wr(ICR, 0x44400); /* NMI to self is not allowed */
    CHECK_EQ(requests(0), 0);

    /* INIT resets all but the ID and the base. */
    on_cpu(1);
    wr(ID, 0x11000000);
    wr(TPR, 0x55);
    envs[1].intc->reset(envs[1].intc_opaque, true);
    CHECK_EQ(rd(ID), 0x11000000);
    CHECK_EQ(rd(TPR), 0);
    CHECK_EQ(rd(SVR), 0xff);

    /* The boot CPU's pins stay: SeaBIOS would not set the virtual wire up again. */
    on_cpu(0);
    envs[0].bsp = true;
    wr(SVR, 0x1ff);
    wr(LVT_LINT0, 0x8700);
    wr(LVT_ERROR, 0xfe);
    envs[0].intc->reset(envs[0].intc_opaque, true);
    CHECK_EQ(rd(SVR), 0x1ff);
    CHECK_EQ(rd(LVT_LINT0), 0x8700);
    CHECK_EQ(rd(LVT_ERROR), 0x10000);
}

static void errors(void)
{
    set_up();
    wr(LVT_ERROR, 0xfe);
    CHECK_EQ(rd(0x400), 0);
    CHECK_EQ(take(0), 0xfe);
    wr(EOI, 0);
    CHECK_EQ(rd(ESR), 0);
    wr(ESR, 0);
    CHECK_EQ(rd(ESR), 0x80);
    wr(ESR, 0);
    CHECK_EQ(rd(ESR), 0);
    request(0x0f);
    CHECK_EQ(take(0), 0xfe);
    wr(EOI, 0);
    wr(ESR, 0);
    CHECK_EQ(rd(ESR), 0x20);
    wr(LVT_TIMER, 0x05);
    wr(COUNT_INITIAL, 10);
    clock_step(100);
    CHECK_EQ(take(0), 0xfe);
    wr(EOI, 0);
    wr(ESR, 0);
    CHECK_EQ(rd(ESR), 0x40);
    wr(LVT_ERROR, 0x03); /* illegal itself: must not loop */
    CHECK_EQ(rd(0x3f0), 0);
    CHECK_EQ(take(0), -1);
}

/* ---- LINT pins ---- */

static void virtual_wire(void)
{
    IrqLine *irq3 = i8259_input(pic, 3);

    set_up();
    ioport_write(0x20, 0x11, 1); /* vectors from 0x20, all unmasked */
    ioport_write(0x21, 0x20, 1);
    ioport_write(0x21, 0x04, 1);
    ioport_write(0x21, 0x01, 1);
    ioport_write(0x21, 0x00, 1);
    irq_raise(irq3);
    CHECK_EQ(requests(0) & CPU_INTERRUPT_HARD, 0);
    wr(LVT_LINT0, 0x700);
    CHECK_EQ(requests(0), CPU_INTERRUPT_HARD);
    CHECK_EQ(requests(1), 0);
    request(0x88);
    CHECK_EQ(take(0), 0x88);
    CHECK_EQ(take(0), 0x23); /* whatever is in service */
    irq_lower(irq3);
    CHECK_EQ(requests(0), 0);
    ioport_write(0x20, 0x20, 1);
    wr(EOI, 0);

    /* With the APIC off LINT0 is the CPU's INTR. */
    wr(LVT_LINT0, 0x10700);
    irq_raise(irq3);
    CHECK_EQ(requests(0), 0);
    CHECK(envs[0].intc->set_base(envs[0].intc_opaque, 0xfee00100));
    CHECK_EQ(take(0), 0x23);
    irq_lower(irq3);
    ioport_write(0x20, 0x20, 1);
    CHECK_EQ(rd(ID), 0xffffffff);
}

static void nmi_pin(void)
{
    set_up();
    irq_raise(apic_lint(1));
    CHECK_EQ(requests(0), 0);
    irq_lower(apic_lint(1));
    wr(LVT_LINT1, 0x400);
    irq_raise(apic_lint(1));
    CHECK_EQ(requests(0), CPU_INTERRUPT_NMI);
    CHECK_EQ(requests(1), 0);
    atomic_store(&envs[0].interrupt_request, 0);
    irq_raise(apic_lint(1)); /* no new edge */
    CHECK_EQ(requests(0), 0);
    irq_lower(apic_lint(1));
}

static void level_triggered_pin(void)
{
    set_up();
    wr(LVT_LINT1, 0x8066); /* fixed, level */
    irq_raise(apic_lint(1));
    CHECK_EQ(rd(LVT_LINT1), 0xc066);
    CHECK_EQ(rd(TMR + 0x30), 1u << 6);
    CHECK_EQ(take(0), 0x66);
    CHECK_EQ(take(0), -1);
    wr(EOI, 0); /* still high: asks again */
    CHECK_EQ(take(0), 0x66);
    irq_lower(apic_lint(1));
    wr(EOI, 0);
    CHECK_EQ(take(0), -1);
    CHECK_EQ(rd(LVT_LINT1), 0x8066);
}

/* ---- timer ---- */

static void one_shot(void)
{
    set_up();
    wr(DIVIDE, 0xb); /* by 1: a tick a nanosecond */
    wr(LVT_TIMER, 0x40);
    wr(COUNT_INITIAL, 1000);
    CHECK_EQ(rd(COUNT_CURRENT), 1000);
    clock_step(1);
    CHECK_EQ(rd(COUNT_CURRENT), 999);
    clock_step(998);
    CHECK_EQ(rd(COUNT_CURRENT), 1);
    CHECK_EQ(take(0), -1);
    clock_step(1);
    CHECK_EQ(rd(COUNT_CURRENT), 0);
    CHECK_EQ(take(0), 0x40);
    wr(EOI, 0);
    clock_step(100000);
    CHECK_EQ(take(0), -1);
    CHECK_EQ(rd(COUNT_INITIAL), 1000);

    /* Every divisor. */
    static const uint8_t codes[] = {0xb, 0x0, 0x1, 0x2, 0x3, 0x8, 0x9, 0xa};
    for (unsigned i = 0; i < 8; i++) {
        wr(DIVIDE, codes[i]);
        CHECK_EQ(rd(DIVIDE), codes[i]);
        wr(COUNT_INITIAL, 10);
        clock_step(4 << i);
        CHECK_EQ(rd(COUNT_CURRENT), 6);
        clock_step((6 << i) - 1);
        CHECK_EQ(rd(COUNT_CURRENT), 1);
        CHECK_EQ(take(0), -1);
        clock_step(1);
        CHECK_EQ(take(0), 0x40);
        wr(EOI, 0);
    }

    /* Masked it counts, and what passed while masked does not come later. */
    wr(DIVIDE, 0xb);
    wr(LVT_TIMER, 0x10040);
    wr(COUNT_INITIAL, 100);
    clock_step(50);
    CHECK_EQ(rd(COUNT_CURRENT), 50);
    clock_step(100);
    wr(LVT_TIMER, 0x40);
    clock_step(1000);
    CHECK_EQ(take(0), -1);

    /* A zero stops it; another divisor goes on from the present count. */
    wr(COUNT_INITIAL, 100);
    clock_step(40);
    wr(COUNT_INITIAL, 0);
    clock_step(1000);
    CHECK_EQ(take(0), -1);
    wr(COUNT_INITIAL, 100);
    clock_step(40);
    wr(DIVIDE, 0x0);
    CHECK_EQ(rd(COUNT_CURRENT), 60);
    clock_step(119);
    CHECK_EQ(take(0), -1);
    clock_step(1);
    CHECK_EQ(take(0), 0x40);
    wr(EOI, 0);
}

static void periodic(void)
{
    set_up();
    wr(DIVIDE, 0x3); /* by 16 */
    wr(LVT_TIMER, 0x20041);
    wr(COUNT_INITIAL, 10000);
    for (unsigned i = 0; i < 50; i++) {
        clock_step(159999);
        CHECK_EQ(take(0), -1);
        CHECK_EQ(rd(COUNT_CURRENT), 1);
        clock_step(1);
        CHECK_EQ(take(0), 0x41);
        wr(EOI, 0);
        CHECK_EQ(rd(COUNT_CURRENT), 10000);
    }
    clock_step(160000 / 4);
    CHECK_EQ(rd(COUNT_CURRENT), 7500);
    wr(LVT_TIMER, 0x41); /* to one shot: the count goes on, and ends */
    clock_step(160000 / 4 * 3);
    CHECK_EQ(take(0), 0x41);
    wr(EOI, 0);
    clock_step(1000000);
    CHECK_EQ(take(0), -1);
    CHECK_EQ(rd(COUNT_CURRENT), 0);

    /* A period of a nanosecond must neither hang nor stay silent. */
    wr(DIVIDE, 0xb);
    wr(LVT_TIMER, 0x20041);
    wr(COUNT_INITIAL, 1);
    clock_step(1000000);
    CHECK_EQ(take(0), 0x41);
}

static void tsc_deadline(void)
{
    uint64_t v, hz = cpu_tsc_hz();

    set_up();
    CHECK(msr_wr(0, 0x6e0, cpu_tsc(&envs[0]) + hz));
    CHECK(msr_rd(0, 0x6e0, &v) && v == 0); /* not in that mode: ignored */
    wr(LVT_TIMER, 0x40042);
    uint64_t deadline = cpu_tsc(&envs[0]) + hz / 1000;
    CHECK(msr_wr(0, 0x6e0, deadline));
    CHECK(msr_rd(0, 0x6e0, &v) && v == deadline);
    wr(COUNT_INITIAL, 5); /* ignored in this mode */
    CHECK_EQ(rd(COUNT_CURRENT), 0);
    clock_step(NS_PER_MS - 10);
    CHECK_EQ(take(0), -1);
    clock_step(20);
    CHECK_EQ(take(0), 0x42);
    CHECK(cpu_tsc(&envs[0]) >= deadline);
    CHECK(msr_rd(0, 0x6e0, &v) && v == 0);
    wr(EOI, 0);

    CHECK(msr_wr(0, 0x6e0, 1)); /* in the past: at once */
    clock_step(0);
    CHECK_EQ(take(0), 0x42);
    wr(EOI, 0);
    CHECK(msr_wr(0, 0x6e0, cpu_tsc(&envs[0]) + hz));
    CHECK(msr_wr(0, 0x6e0, 0)); /* disarmed */
    clock_step(2 * NS_PER_SEC);
    CHECK_EQ(take(0), -1);
    CHECK(msr_wr(0, 0x6e0, cpu_tsc(&envs[0]) + hz));
    wr(LVT_TIMER, 0x42); /* leaving the mode disarms, too */
    clock_step(2 * NS_PER_SEC);
    CHECK_EQ(take(0), -1);
    CHECK(msr_wr(0, 0x6e0, ~0ull));
    wr(LVT_TIMER, 0x40042);
    CHECK(msr_wr(0, 0x6e0, ~0ull)); /* beyond all times */
    clock_step(NS_PER_SEC);
    CHECK_EQ(take(0), -1);
}

/* ---- x2APIC ---- */

static bool set_base(unsigned n, uint64_t v)
{
    return envs[n].intc->set_base(envs[n].intc_opaque, v);
}

/* The registers' pages, one a CPU. */
static void pages_move(void)
{
    enum { MOVED = 0x1000000, ID_AT = MOVED + 0x20 };

    set_up();
    CHECK(set_base(1, MOVED | 0x800));
    on_cpu(1);
    CHECK_EQ(memory_read(&memory_as, ID_AT, 4), 0x01000000);
    CHECK_EQ(rd(ID), 0xffffffff);
    on_cpu(2);
    CHECK_EQ(memory_read(&memory_as, ID_AT, 4), 0xffffffff);
    CHECK_EQ(rd(ID), 0x02000000);
    CHECK(set_base(0, MOVED | 0x900));
    CHECK(set_base(2, MOVED | 0x800));
    CHECK_EQ(memory_read(&memory_as, ID_AT, 4), 0x02000000);
    on_cpu(1);
    CHECK_EQ(memory_read(&memory_as, ID_AT, 4), 0x01000000);
    CHECK(set_base(0, 0xfee00900));
    CHECK(set_base(1, 0xfee00800));
    CHECK_EQ(rd(ID), 0x01000000);

    Buffer saved = {0};
    board_save(apics[2], &saved);
    devices_reset();
    on_cpu(2);
    CHECK_EQ(memory_read(&memory_as, ID_AT, 4), 0xffffffff);
    CHECK_EQ(rd(ID), 0x02000000);
    CHECK(board_load(apics[2], &saved));
    CHECK_EQ(memory_read(&memory_as, ID_AT, 4), 0x02000000);
    CHECK_EQ(rd(ID), 0xffffffff);
    buffer_free(&saved);
}

static void mode_changes(void)
{
    uint64_t v;

    set_up();
    CHECK(!msr_rd(1, 0x802, &v));
    CHECK(!set_base(1, 0xfee00400)); /* EXTD without EN */
    CHECK(!set_base(1, 0xfee00801)); /* reserved bits */
    CHECK(!set_base(1, 1ull << 52 | 0xfee00800));
    CHECK(set_base(1, 0xfee00c00));
    CHECK(msr_rd(1, 0x802, &v) && v == 1);
    on_cpu(1);
    CHECK_EQ(rd(ID), 0xffffffff);    /* the page is gone */
    CHECK(!set_base(1, 0xfee00800)); /* back to xAPIC: not directly */
    CHECK(set_base(1, 0xfee00000));
    CHECK(!set_base(1, 0xfee00c00)); /* from off: not directly */
    CHECK(set_base(1, 0xfee00800));
    CHECK_EQ(rd(ID), 0x01000000);
    CHECK_EQ(rd(SVR), 0xff);
}

static void x2apic_registers(void)
{
    uint64_t v;

    set_up();
    for (unsigned i = 0; i < CPUS; i++) {
        CHECK(set_base(i, 0xfee00c00));
    }
    CHECK(msr_rd(3, 0x80d, &v) && v == 1u << 3);
    CHECK(!msr_wr(3, 0x80d, 0) && !msr_wr(3, 0x802, 0));                            /* read-only */
    CHECK(!msr_rd(0, 0x80e, &v) && !msr_rd(0, 0x809, &v) && !msr_rd(0, 0x831, &v)); /* not there */
    CHECK(!msr_rd(0, 0x80b, &v) && !msr_rd(0, 0x83f, &v));                          /* write-only */
    CHECK(!msr_rd(0, 0x8ff, &v) && !msr_wr(0, 0x840, 0));
    CHECK(!msr_wr(0, 0x80b, 1) && !msr_wr(0, 0x828, 1) && !msr_wr(0, 0x808, 0x100));
    CHECK(!msr_wr(0, 0x80f, 0x10000) && !msr_wr(0, 0x832, 0x80000000) && !msr_wr(0, 0x830, 0x2000));
    CHECK(msr_wr(0, 0x83f, 0x71));
    CHECK_EQ(take(0), 0x71);
    CHECK(msr_wr(0, 0x80b, 0));

    CHECK(msr_wr(0, 0x830, 2ull << 32 | 0x72));
    CHECK_EQ(take(2), 0x72);
    CHECK(msr_wr(2, 0x80b, 0));
    CHECK(msr_rd(0, 0x830, &v) && v == (2ull << 32 | 0x72));
    CHECK(msr_wr(0, 0x830, 0xaull << 32 | 0x873)); /* logical: cluster 0, members 1 and 3 */
    CHECK_EQ(take(0), -1);
    CHECK_EQ(take(1), 0x73);
    CHECK_EQ(take(2), -1);
    CHECK_EQ(take(3), 0x73);
    CHECK(msr_wr(0, 0x830, 0xffffffffull << 32 | 0x94)); /* all */
    for (unsigned i = 0; i < CPUS; i++) {
        CHECK_EQ(take(i), 0x94);
    }
    CHECK(msr_wr(0, 0x830, 0xffull << 32 | 0xa5)); /* 255 is no broadcast here */
    for (unsigned i = 0; i < CPUS; i++) {
        CHECK_EQ(take(i), -1);
    }
    /* INIT keeps the mode. */
    envs[3].intc->reset(envs[3].intc_opaque, true);
    CHECK(msr_rd(3, 0x802, &v) && v == 3);
}

/* ---- saved state ---- */

static void save(Buffer *b)
{
    buffer_clear(b);
    for (unsigned i = 0; i < CPUS; i++) {
        vmstate_save(b, apic_class.vmstate, "x", apics[i]);
    }
}

static void saved_state(void)
{
    Buffer before = {0}, after = {0};
    Error *err = NULL;

    set_up();
    wr(DIVIDE, 0xb);
    wr(LVT_TIMER, 0x20048);
    wr(COUNT_INITIAL, 100000);
    clock_step(30000);
    wr(TPR, 0x10);
    wr(ESR, 0);
    rd(0x3f0);
    request(0x91);
    CHECK_EQ(take(0), 0x91);
    request(0x35);
    wr(ICR_HI, 0x02000000);
    wr(ICR, 0x77);
    on_cpu(1);
    wr(LDR, 0x08000000);
    wr(LVT_LINT1, 0x8099);
    irq_raise(apic_lint(1));
    save(&before);

    devices_reset();
    clock_step(7);
    on_cpu(0);
    wr(SVR, 0x133);
    request(0xaa);

    Reader r = {.data = before.data, .size = before.size};
    for (unsigned i = 0; i < CPUS; i++) {
        CHECK(vmstate_load(&r, apic_class.vmstate, "x", apics[i], &err));
    }
    clock_virtual_set(clock_now(CLOCK_VIRTUAL) - 7);
    save(&after);
    CHECK_EQ(after.size, before.size);
    CHECK(memcmp(after.data, before.data, before.size) == 0);

    CHECK_EQ(take(2), 0x77);
    CHECK_EQ(take(1), 0x99);
    CHECK_EQ(rd(COUNT_CURRENT), 70000);
    clock_step(69999);
    CHECK_EQ(rd(IRR + 0x20) & 1u << 8, 0);
    clock_step(1);
    CHECK_EQ(rd(IRR + 0x20) & 1u << 8, 1u << 8);
    CHECK_EQ(take(0), -1);
    wr(EOI, 0);
    CHECK_EQ(take(0), 0x48);
    wr(EOI, 0);
    CHECK_EQ(take(0), 0x35);
    wr(ESR, 0);
    CHECK_EQ(rd(ESR), 0x80);
    irq_lower(apic_lint(1));
    buffer_free(&before);
    buffer_free(&after);
}

TESTS(TEST(power_on_state), TEST(priorities), TEST(ipi_addresses), TEST(lowest_priority),
      TEST(events_by_ipi), TEST(errors), TEST(virtual_wire), TEST(nmi_pin),
      TEST(level_triggered_pin), TEST(one_shot), TEST(periodic), TEST(tsc_deadline),
      TEST(pages_move), TEST(mode_changes), TEST(x2apic_registers), TEST(saved_state))
