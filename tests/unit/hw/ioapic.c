/*
 * I/O APIC: registers, edge and level pins, remote IRR and EOI in its three ways, delivery modes
 * and addresses; run, save, disturb, load, compare, continue.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/ioapic.h"

#include "hw/apic.h"
#include "hw/i8259.h"
#include "util/loop.h"

#include "../test.h"

enum { CPUS = 2 };

static CPUX86State envs[CPUS];
static Device *ioapic;

static uint32_t rd(unsigned reg)
{
    memory_write(&memory_as, IOAPIC_DEFAULT_BASE, reg, 4);
    return (uint32_t)memory_read(&memory_as, IOAPIC_DEFAULT_BASE + 0x10, 4);
}

static void wr(unsigned reg, uint32_t v)
{
    memory_write(&memory_as, IOAPIC_DEFAULT_BASE, reg, 4);
    memory_write(&memory_as, IOAPIC_DEFAULT_BASE + 0x10, v, 4);
}

static void set_pin(unsigned pin, uint32_t high, uint32_t low)
{
    wr(0x11 + 2 * pin, high);
    wr(0x10 + 2 * pin, low);
}

static int take(unsigned n)
{
    return envs[n].intc->acknowledge(envs[n].intc_opaque);
}

static void eoi(unsigned n)
{
    current_cpu = &envs[n];
    memory_write(&memory_as, APIC_DEFAULT_BASE + 0xb0, 0, 4);
}

static void set_up(void)
{
    if (!ioapic) {
        clock_use_stepped();
        memory_init();
        apic_set_pic(i8259_create(apic_lint(0)));
        for (unsigned i = 0; i < CPUS; i++) {
            envs[i].index = i;
            envs[i].bsp = i == 0;
            apic_create(&envs[i], false);
        }
        ioapic = ioapic_create(IOAPIC_DEFAULT_BASE);
    }
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        irq_lower(ioapic_input(ioapic, pin));
    }
    devices_reset();
    for (unsigned i = 0; i < CPUS; i++) {
        atomic_store(&envs[i].interrupt_request, 0);
        current_cpu = &envs[i];
        memory_write(&memory_as, APIC_DEFAULT_BASE + 0xf0, 0x1ff, 4);
        memory_write(&memory_as, APIC_DEFAULT_BASE + 0xd0, 1u << (24 + i), 4);
    }
}

static void registers(void)
{
    set_up();
    CHECK_EQ(rd(0), 0);
    wr(0, 0xffffffff);
    CHECK_EQ(rd(0), 0x0f000000);
    CHECK_EQ(rd(1), 0x00170020);
    wr(1, 0);
    CHECK_EQ(rd(1), 0x00170020);
    CHECK_EQ(rd(0x10), 0x10000);
    CHECK_EQ(rd(0x3e), 0x10000);
    CHECK_EQ(rd(0x40), 0);
    CHECK_EQ(rd(0xff), 0);
    wr(0xff, 5);
    set_pin(5, 0xffffffff, 0xffffffff);
    CHECK_EQ(rd(0x1a), 0x1afff); /* neither delivery status nor remote IRR nor the reserved bits */
    CHECK_EQ(rd(0x1b), 0xff000000);
    CHECK_EQ(memory_read(&memory_as, IOAPIC_DEFAULT_BASE, 4), 0x1b);
    memory_write(&memory_as, IOAPIC_DEFAULT_BASE, 0x01, 1);
    CHECK_EQ(memory_read(&memory_as, IOAPIC_DEFAULT_BASE + 0x12, 1), 0x17);
    CHECK(ioapic_input(ioapic, IOAPIC_PINS) == NULL);
}

static void edges(void)
{
    IrqLine *irq = ioapic_input(ioapic, 4);

    set_up();
    irq = ioapic_input(ioapic, 4);
    irq_pulse(irq);
    set_pin(4, 1u << 24, 0x51);
    CHECK_EQ(take(1), -1); /* the edge while masked is lost */
    irq_raise(irq);
    CHECK_EQ(take(0), -1);
    CHECK_EQ(take(1), 0x51);
    irq_raise(irq);
    eoi(1);
    CHECK_EQ(take(1), -1);
    irq_lower(irq);
    CHECK_EQ(take(1), -1);
    irq_raise(irq);
    CHECK_EQ(take(1), 0x51);
    CHECK_EQ(rd(0x18), 0x51);
    eoi(1);
}

static void levels(void)
{
    IrqLine *irq;

    set_up();
    irq = ioapic_input(ioapic, 9);
    irq_raise(irq);
    set_pin(9, 0, 0xa052); /* level, active low */
    CHECK_EQ(rd(0x22), 0xe052);
    CHECK_EQ(take(0), 0x52);
    CHECK_EQ(take(0), -1);
    eoi(0); /* still asserted */
    CHECK_EQ(take(0), 0x52);
    irq_lower(irq);
    CHECK_EQ(rd(0x22), 0xe052);
    eoi(0);
    CHECK_EQ(rd(0x22), 0xa052);
    CHECK_EQ(take(0), -1);

    /* By the EOI register. */
    irq_raise(irq);
    irq_lower(irq);
    CHECK_EQ(take(0), 0x52);
    memory_write(&memory_as, IOAPIC_DEFAULT_BASE + 0x40, 0x53, 4);
    CHECK_EQ(rd(0x22), 0xe052);
    memory_write(&memory_as, IOAPIC_DEFAULT_BASE + 0x40, 0x52, 4);
    CHECK_EQ(rd(0x22), 0xa052);
    eoi(0);

    /* By going through edge triggering, masked. */
    irq_raise(irq);
    irq_lower(irq);
    CHECK_EQ(take(0), 0x52);
    wr(0x22, 0x12052);
    CHECK_EQ(rd(0x22), 0x12052);
    wr(0x22, 0xa052);
    CHECK_EQ(rd(0x22), 0xa052);
    eoi(0);
    CHECK_EQ(take(0), -1);

    /* Masked while asserted, then unmasked. */
    wr(0x22, 0x1a052);
    irq_raise(irq);
    CHECK_EQ(take(0), -1);
    wr(0x22, 0xa052);
    CHECK_EQ(take(0), 0x52);
    irq_lower(irq);
    eoi(0);
}

static void two_pins_with_one_vector(void)
{
    set_up();
    set_pin(16, 0, 0x8060);
    set_pin(17, 0, 0x8060);
    irq_raise(ioapic_input(ioapic, 16));
    irq_raise(ioapic_input(ioapic, 17));
    CHECK_EQ(take(0), 0x60);
    irq_lower(ioapic_input(ioapic, 16));
    eoi(0);
    CHECK_EQ(rd(0x30), 0x8060);
    CHECK_EQ(rd(0x32), 0xc060);
    CHECK_EQ(take(0), 0x60);
    irq_lower(ioapic_input(ioapic, 17));
    eoi(0);
    CHECK_EQ(take(0), -1);
}

static void modes_and_addresses(void)
{
    IrqLine *irq;

    set_up();
    irq = ioapic_input(ioapic, 1);
    set_pin(1, 0x03000000, 0x861); /* logical, both */
    irq_pulse(irq);
    CHECK_EQ(take(0), 0x61);
    CHECK_EQ(take(1), 0x61);
    eoi(0);
    eoi(1);
    current_cpu = &envs[0];
    memory_write(&memory_as, APIC_DEFAULT_BASE + 0x80, 0x70, 4);
    set_pin(1, 0x03000000, 0x9e2); /* logical, lowest priority */
    irq_pulse(irq);
    CHECK_EQ(take(0), -1);
    CHECK_EQ(take(1), 0xe2);
    eoi(1);
    set_pin(1, 0x01000000, 0x400);
    irq_pulse(irq);
    CHECK_EQ(atomic_load(&envs[1].interrupt_request), CPU_INTERRUPT_NMI);
    set_pin(1, 0, 0x200);
    irq_pulse(irq);
    CHECK_EQ(atomic_load(&envs[0].interrupt_request), CPU_INTERRUPT_SMI);
    atomic_store(&envs[0].interrupt_request, 0);
    set_pin(1, 0, 0x600); /* no start-up messages from here */
    irq_pulse(irq);
    set_pin(1, 0, 0x300);
    irq_pulse(irq);
    CHECK_EQ(atomic_load(&envs[0].interrupt_request), 0);
    set_pin(1, 0x0e000000, 0x8062); /* nobody there: remote IRR stays clear */
    irq_raise(irq);
    CHECK_EQ(rd(0x12), 0x8062);
    irq_lower(irq);

    /* ExtINT: the vector comes from the 8259. */
    ioport_write(0x20, 0x11, 1);
    ioport_write(0x21, 0x20, 1);
    ioport_write(0x21, 0x04, 1);
    ioport_write(0x21, 0x01, 1);
    ioport_write(0x21, 0x00, 1);
    set_pin(0, 0, 0x700);
    irq_raise(i8259_input(device_find("pic"), 1));
    CHECK_EQ(atomic_load(&envs[0].interrupt_request), 0);
    irq_pulse(ioapic_input(ioapic, 0));
    CHECK_EQ(take(0), 0x21);
    CHECK_EQ(take(0), -1);
    irq_lower(i8259_input(device_find("pic"), 1));
}

static void saved_state(void)
{
    Buffer before = {0}, after = {0};

    set_up();
    wr(0, 0x05000000);
    set_pin(3, 0x01000000, 0x70);
    set_pin(20, 0, 0x8071);
    irq_raise(ioapic_input(ioapic, 3));
    irq_raise(ioapic_input(ioapic, 20));
    CHECK_EQ(take(0), 0x71);
    memory_write(&memory_as, IOAPIC_DEFAULT_BASE, 0x39, 4);
    vmstate_save_all(&before);

    set_up();
    set_pin(7, 0, 0x99);
    irq_raise(ioapic_input(ioapic, 7));

    Reader r = {.data = before.data, .size = before.size};
    CHECK(vmstate_load_all(&r, NULL));
    vmstate_save_all(&after);
    CHECK_EQ(after.size, before.size);
    CHECK(memcmp(after.data, before.data, before.size) == 0);

    CHECK_EQ(memory_read(&memory_as, IOAPIC_DEFAULT_BASE, 4), 0x39);
    CHECK_EQ(rd(0), 0x05000000);
    CHECK_EQ(rd(0x38), 0xc071);
    CHECK_EQ(take(1), 0x70);
    irq_raise(ioapic_input(ioapic, 3)); /* was high already */
    eoi(1);
    CHECK_EQ(take(1), -1);
    eoi(0);
    CHECK_EQ(take(0), 0x71);
    irq_lower(ioapic_input(ioapic, 20));
    eoi(0);
    CHECK_EQ(rd(0x38), 0x8071);
    buffer_free(&before);
    buffer_free(&after);
}

TESTS(TEST(registers), TEST(edges), TEST(levels), TEST(two_pins_with_one_vector),
      TEST(modes_and_addresses), TEST(saved_state))
