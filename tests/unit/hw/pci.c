/*
 * PCI: configuration mechanism, sizing and mapping of base address registers, interrupt pins, bus
 * mastering, capabilities, places on the bus; PIIX3's router and reset control; saved state.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/pci.h"

#include <stdlib.h>

#include "hw/piix3.h"
#include "tests/unit/hw/board.h"

#define MEM_BAR 0
#define IO_BAR  1
#define BIG_BAR 2 /* and 3: 64 bits */

#define CARD_SLOT 5
#define CARD      PCI_DEVFN(CARD_SLOT, 0)

/* A card with one BAR of each kind, whose registers answer with the address asked for. */
typedef struct Card {
    PciDevice pci;
    MemoryRegion mem, io, big;
    unsigned writes; /* seen by config_written */
} Card;

static MemoryRegion pci_mem;
static PciBus *bus;
static Device *piix3;
static Card *card;

static uint64_t echo_read(void *opaque, hwaddr addr, unsigned size)
{
    return 0x40 | addr;
}

static void echo_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
}

static const MemoryOps echo_ops = {.read = echo_read, .write = echo_write, .max_size = 1};

static void card_written(PciDevice *d, unsigned addr, unsigned size)
{
    ((Card *)d)->writes++;
}

static bool card_realize(Device *dev, Error **errp)
{
    Card *s = (Card *)dev;

    if (!pci_device_attach(&s->pci, errp)) {
        return false;
    }
    pci_set_ids(&s->pci, 0x1234, 0x5678, 0x020000, 7, 1);
    pci_set_subsystem(&s->pci, 0xaaaa, 0xbbbb);
    memory_region_init_io(&s->mem, "card-mem", 0x3000, &echo_ops, s);
    memory_region_init_io(&s->io, "card-io", 32, &echo_ops, s);
    memory_region_init_io(&s->big, "card-big", UINT64_C(0x200000000), &echo_ops, s);
    pci_register_bar(&s->pci, MEM_BAR, PCI_BAR_MEMORY, &s->mem);
    pci_register_bar(&s->pci, IO_BAR, PCI_BAR_IO, &s->io);
    pci_register_bar(&s->pci, BIG_BAR, PCI_BAR_MEMORY | PCI_BAR_64BIT | PCI_BAR_PREFETCH, &s->big);
    pci_add_capability(&s->pci, 0x05, 10);
    pci_add_capability(&s->pci, 0x11, 12);
    s->pci.config_written = card_written;
    return true;
}

static void card_reset(Device *dev)
{
    pci_device_reset(&((Card *)dev)->pci);
}

static void card_unrealize(Device *dev)
{
    pci_device_detach(&((Card *)dev)->pci);
}

static const Property card_props[] = {PCI_PROPERTIES(Card), PROPERTY_END};
static const VMStateField card_fields[] = {VMSTATE_STRUCT(pci, Card, pci_device_vmstate),
                                           VMSTATE_END};
static const VMState card_vmstate = {.name = "card", .version = 1, .fields = card_fields};

static const DeviceClass card_class = {
    .name = "card",
    .bus = "pci",
    .size = sizeof(Card),
    .props = card_props,
    .vmstate = &card_vmstate,
    .realize = card_realize,
    .reset = card_reset,
    .unrealize = card_unrealize,
};

static void set_up(void)
{
    if (!bus) {
        IrqLine *irqs[ISA_IRQS];
        board_set_up();
        memory_region_init_container(&pci_mem, "pci", memory_as.root->size);
        memory_region_add(memory_as.root, 0, &pci_mem, -1);
        bus = pci_bus_new(&pci_mem);
        for (unsigned n = 0; n < ISA_IRQS; n++) {
            irqs[n] = &board_lines[n];
        }
        piix3 = piix3_create(bus, PCI_DEVFN(1, 0), irqs);
        card = (Card *)pci_device_new(&card_class, bus, CARD, "card");
        device_realize_or_die(&card->pci.dev);
    }
    devices_reset();
    for (unsigned n = 0; n < ISA_IRQS; n++) {
        irq_lower(piix3_isa_irq(piix3, n));
    }
    board_clear_rises();
}

static void address(int devfn, unsigned reg)
{
    ioport_write(0xcf8, 0x80000000u | (unsigned)devfn << 8 | (reg & 0xfc), 4);
}

static uint32_t rd(int devfn, unsigned reg, unsigned size)
{
    address(devfn, reg);
    return ioport_read((uint16_t)(0xcfc + (reg & 3)), size);
}

static void wr(int devfn, unsigned reg, uint32_t value, unsigned size)
{
    address(devfn, reg);
    ioport_write((uint16_t)(0xcfc + (reg & 3)), value, size);
}

static void mechanism_1(void)
{
    set_up();
    CHECK_EQ(rd(CARD, 0, 4), 0x56781234);
    CHECK_EQ(rd(CARD, 2, 2), 0x5678);
    CHECK_EQ(rd(CARD, 8, 4), 0x02000007);
    CHECK_EQ(rd(CARD, 0x0b, 1), 0x02);
    CHECK_EQ(rd(CARD, 0x2c, 4), 0xbbbbaaaa);
    CHECK_EQ(rd(CARD, 0x3d, 1), 1);
    CHECK_EQ(ioport_read(0xcf8, 4), 0x80000000u | CARD << 8 | 0x3c);
    CHECK_EQ(rd(PCI_DEVFN(9, 0), 0, 4), 0xffffffff); /* nobody there */
    ioport_write(0xcf8, 0x80010000u | CARD << 8, 4); /* another bus */
    CHECK_EQ(ioport_read(0xcfc, 4), 0xffffffff);
    ioport_write(0xcf8, (uint32_t)CARD << 8, 4); /* not enabled */
    CHECK_EQ(ioport_read(0xcfc, 4), 0xffffffff);
    address(CARD, 0);
    out8(0xcf8, 0x12); /* a byte is not the mechanism's */
    CHECK_EQ(ioport_read(0xcf8, 4), 0x80000000u | CARD << 8);
}

static void only_writable_bits_change(void)
{
    set_up();
    wr(CARD, 0, 0, 4);
    wr(CARD, 8, 0, 4);
    CHECK_EQ(rd(CARD, 0, 4), 0x56781234);
    CHECK_EQ(rd(CARD, 8, 4), 0x02000007);
    wr(CARD, 4, 0xffff, 2);
    CHECK_EQ(rd(CARD, 4, 2), 0x0547);
    wr(CARD, 0x3c, 0xff0b, 2);
    CHECK_EQ(rd(CARD, 0x3c, 2), 0x010b);
    CHECK_EQ(card->writes >= 4, true);
}

static void sizes_its_bars(void)
{
    set_up();
    wr(CARD, 0x10, 0xffffffff, 4);
    CHECK_EQ(rd(CARD, 0x10, 4), 0xffffc000); /* 12 KB takes 16 */
    wr(CARD, 0x14, 0xffffffff, 4);
    CHECK_EQ(rd(CARD, 0x14, 4), 0xffffffe1);
    wr(CARD, 0x18, 0xffffffff, 4);
    wr(CARD, 0x1c, 0xffffffff, 4);
    CHECK_EQ(rd(CARD, 0x18, 4), 0x0000000c);
    CHECK_EQ(rd(CARD, 0x1c, 4), 0xfffffffe);
    wr(CARD, 0x20, 0xffffffff, 4);
    CHECK_EQ(rd(CARD, 0x20, 4), 0);
    wr(CARD, 0x30, 0xffffffff, 4); /* no ROM */
    CHECK_EQ(rd(CARD, 0x30, 4), 0);
}

static void maps_what_is_enabled(void)
{
    set_up();
    wr(CARD, 0x10, 0xe0004000, 4);
    wr(CARD, 0x14, 0xc021, 2);
    CHECK_EQ(memory_read(&memory_as, 0xe0004001, 1), 0xff);
    wr(CARD, 4, PCI_COMMAND_MEMORY, 2);
    CHECK_EQ(memory_read(&memory_as, 0xe0004001, 1), 0x41);
    CHECK_EQ(in8(0xc023), 0xff);
    wr(CARD, 4, PCI_COMMAND_MEMORY | PCI_COMMAND_IO, 2);
    CHECK_EQ(in8(0xc023), 0x43);
    wr(CARD, 0x10, 0xe0008000, 4);
    CHECK_EQ(memory_read(&memory_as, 0xe0004001, 1), 0xff);
    CHECK_EQ(memory_read(&memory_as, 0xe0008002, 1), 0x42);
    wr(CARD, 4, 0, 2);
    CHECK_EQ(memory_read(&memory_as, 0xe0008002, 1), 0xff);
    CHECK_EQ(in8(0xc023), 0xff);
}

static void maps_64_bits(void)
{
    set_up();
    wr(CARD, 4, PCI_COMMAND_MEMORY, 2);
    wr(CARD, 0x1c, 0x10, 4);
    CHECK_EQ(memory_read(&memory_as, UINT64_C(0x1000000005), 1), 0x45);
    wr(CARD, 0x1c, 0xffffffff, 4); /* sizing: nowhere */
    wr(CARD, 0x18, 0xffffffff, 4);
    CHECK_EQ(card->pci.bars[BIG_BAR].addr, PCI_BAR_UNMAPPED);
    wr(CARD, 0x1c, 0x00f00000, 4); /* beyond what the CPU addresses */
    CHECK_EQ(card->pci.bars[BIG_BAR].addr, PCI_BAR_UNMAPPED);
}

static void lists_capabilities(void)
{
    set_up();
    CHECK(rd(CARD, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST);
    unsigned first = rd(CARD, PCI_CAPABILITY_LIST, 1);
    CHECK_EQ(rd(CARD, first, 1), 0x11);
    unsigned second = rd(CARD, first + 1, 1);
    CHECK_EQ(rd(CARD, second, 1), 0x05);
    CHECK_EQ(rd(CARD, second + 1, 1), 0);
}

static void dma_needs_bus_mastering(void)
{
    MemoryRegion *ram = calloc(1, sizeof(*ram));
    uint32_t v = 0x11223344;

    set_up();
    CHECK(memory_region_init_ram(ram, "ram", 0x10000, NULL));
    memory_region_add(memory_as.root, 0, ram, 0);
    CHECK(!pci_dma_write(&card->pci, 0x100, &v, 4));
    CHECK_EQ(memory_read(&memory_as, 0x100, 4), 0);
    wr(CARD, 4, PCI_COMMAND_MASTER, 2);
    CHECK(pci_dma_write(&card->pci, 0x100, &v, 4));
    CHECK_EQ(memory_read(&memory_as, 0x100, 4), 0x11223344);
    v = 0;
    CHECK(pci_dma_read(&card->pci, 0x100, &v, 4));
    CHECK_EQ(v, 0x11223344);
}

/* Slot 5's INTA# is on PIRQA: 5 - 1 turns. */
static void routes_interrupts(void)
{
    set_up();
    pci_set_irq(&card->pci, true);
    CHECK_EQ(board_rises[11], 0); /* not routed after reset */
    CHECK(rd(CARD, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
    wr(PCI_DEVFN(1, 0), 0x60, 11, 1);
    CHECK(board_level[11]);
    wr(PCI_DEVFN(1, 0), 0x60, 10, 1);
    CHECK(!board_level[11]);
    CHECK(board_level[10]);
    wr(CARD, 4, PCI_COMMAND_INTX_OFF, 2);
    CHECK(!board_level[10]);
    wr(CARD, 4, 0, 2);
    CHECK(board_level[10]);
    wr(PCI_DEVFN(1, 0), 0x60, 0x80 | 10, 1);
    CHECK(!board_level[10]);
    wr(PCI_DEVFN(1, 0), 0x60, 8, 1); /* not an IRQ for PCI */
    CHECK(!board_level[8]);
    pci_set_irq(&card->pci, false);
    wr(PCI_DEVFN(1, 0), 0x60, 10, 1);
    CHECK(!board_level[10]);
}

static void shares_interrupts(void)
{
    Card *other;

    set_up();
    other = (Card *)pci_device_new(&card_class, bus, PCI_DEVFN(CARD_SLOT + 4, 0), "other");
    device_realize_or_die(&other->pci.dev);
    wr(PCI_DEVFN(1, 0), 0x60, 11, 1);
    pci_set_irq(&card->pci, true);
    pci_set_irq(&other->pci, true);
    pci_set_irq(&card->pci, false);
    CHECK(board_level[11]);
    irq_raise(piix3_isa_irq(piix3, 11));
    pci_set_irq(&other->pci, false);
    CHECK(board_level[11]);
    irq_lower(piix3_isa_irq(piix3, 11));
    CHECK(!board_level[11]);
    device_unrealize(&other->pci.dev);
    CHECK_EQ(rd(PCI_DEVFN(CARD_SLOT + 4, 0), 0, 4), 0xffffffff);
}

static void finds_a_place(void)
{
    Error *err = NULL;
    PciDevice *d;

    set_up();
    d = (PciDevice *)device_new(&card_class, NULL, NULL);
    CHECK(device_realize(&d->dev, &err));
    CHECK_EQ(d->devfn, PCI_DEVFN(3, 0));
    device_unrealize(&d->dev);

    d = (PciDevice *)device_new(&card_class, NULL, NULL);
    CHECK(device_set_property(&d->dev, "addr", "5.1", &err));
    CHECK(device_realize(&d->dev, &err));
    CHECK_EQ(d->devfn, PCI_DEVFN(5, 1));
    CHECK_EQ(rd(CARD, PCI_HEADER_TYPE, 1), PCI_HEADER_MULTIFUNC);
    device_unrealize(&d->dev);

    static const char *const bad[] = {"5", "20", "3.8", "x", "3.", "-1"};
    for (unsigned i = 0; i < 6; i++) {
        d = (PciDevice *)device_new(&card_class, NULL, NULL);
        CHECK(device_set_property(&d->dev, "addr", bad[i], &err));
        CHECK(!device_realize(&d->dev, &err));
        CHECK(strstr(error_text(err), i ? bad[i] : "taken") != NULL);
        error_free(err);
        err = NULL;
    }
}

static void describes_itself(void)
{
    set_up();
    wr(CARD, 0x10, 0xe0004000, 4);
    wr(CARD, 4, PCI_COMMAND_MEMORY, 2);
    char *text = pci_info_text();
    CHECK(strstr(text,
                 "Bus  0, device   5, function 0:\n    Ethernet controller: PCI device 1234:5678"));
    CHECK(strstr(text, "BAR0: 32 bit memory at 0xe0004000 [0xe0007fff]"));
    CHECK(strstr(text, "ISA bridge: PCI device 8086:7000"));
    free(text);
}

static void reset_control_needs_a_rising_edge(void)
{
    set_up();
    CHECK_EQ(in8(0xcf9), 0);
    out8(0xcf9, 0x02);
    CHECK_EQ(in8(0xcf9), 0x02);
    out8(0xcf9, 0xf9);
    CHECK_EQ(in8(0xcf9), 0);
}

static void disturb(void)
{
    wr(CARD, 0x10, 0xd0000000, 4);
    wr(CARD, 4, PCI_COMMAND_IO, 2);
    wr(CARD, 0x3c, 3, 1);
    pci_set_irq(&card->pci, false);
}

static void disturb_router(void)
{
    wr(PCI_DEVFN(1, 0), 0x60, 5, 1);
    irq_raise(piix3_isa_irq(piix3, 7));
}

static void disturb_bus(void)
{
    address(0, 0x44);
}

static void goes_on_after_load(void)
{
    set_up();
    wr(PCI_DEVFN(1, 0), 0x60, 11, 1);
    wr(CARD, 0x10, 0xe0004000, 4);
    wr(CARD, 4, PCI_COMMAND_MEMORY, 2);
    pci_set_irq(&card->pci, true);
    CHECK(board_round_trip(piix3, disturb_router));
    CHECK(board_round_trip(&card->pci.dev, disturb));
    address(CARD, 0x10);
    CHECK(board_round_trip(device_find("pci.0"), disturb_bus));
    CHECK_EQ(ioport_read(0xcfc, 4), 0xe0004000);
    CHECK_EQ(memory_read(&memory_as, 0xe0004001, 1), 0x41);
    CHECK_EQ(memory_read(&memory_as, 0xd0000001, 1), 0xff);
    pci_set_irq(&card->pci, false);
    CHECK(!board_level[11]);
    pci_set_irq(&card->pci, true);
    CHECK(board_level[11]);
}

TESTS(TEST(mechanism_1), TEST(only_writable_bits_change), TEST(sizes_its_bars),
      TEST(maps_what_is_enabled), TEST(maps_64_bits), TEST(lists_capabilities),
      TEST(dma_needs_bus_mastering), TEST(routes_interrupts), TEST(shares_interrupts),
      TEST(finds_a_place), TEST(describes_itself), TEST(reset_control_needs_a_rising_edge),
      TEST(goes_on_after_load))
