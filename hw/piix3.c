/*
 * Intel 82371SB (PIIX3), function 0: PCI-to-ISA bridge with the PCI interrupt router and the reset
 * control register.
 *
 * Data sheet: 290550. The chip's interrupt controllers, timer, DMA and edge/level registers are
 * devices of their own here. The registers for ISA timing, chip selects and its own SMI (the board
 * has the PIIX4's power management instead) keep what is written to them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/piix3.h"

#include "hw/machine.h"

#define REG_IORT     0x4c
#define REG_XBCS     0x4e /* 2 bytes */
#define REG_PIRQRC   0x60 /* 4 bytes */
#define REG_TOM      0x69
#define REG_MSTAT    0x6a /* 2 bytes */
#define REG_MBIRQ0   0x70
#define REG_MBDMA    0x76 /* 2 bytes */
#define REG_PCSC     0x78 /* 2 bytes */
#define REG_APICBASE 0x80
#define REG_DLC      0x82
#define REG_SMICNTL  0xa0
#define REG_SMIEN    0xa2 /* 2 bytes */
#define REG_SEE      0xa4 /* 4 bytes */
#define REG_FTMR     0xa8
#define REG_SMIREQ   0xaa /* 2 bytes */
#define REG_CTLTMR   0xac
#define REG_CTHTMR   0xae

#define PIRQRC_DISABLE 0x80
#define PIRQRC_IRQ     0x0f
#define PIRQRC_VALID   0xdef8 /* the IRQs that can be chosen: 3-7, 9-12, 14, 15 */

/* Port 0xCF9. */
#define RCR_HARD 0x02 /* the reset resets everything, not the CPU alone */
#define RCR_RCPU 0x04 /* rising: reset */

typedef struct Piix3 {
    PciDevice pci;
    /* wiring */
    IrqLine *irqs[ISA_IRQS];
    IrqLine isa_inputs[ISA_IRQS];
    /* saved */
    uint16_t isa_levels; /* bit n: an ISA device asserts IRQ n */
    uint8_t pirq_levels; /* bit n: PIRQ n is asserted */
    uint8_t reset_control;
} Piix3;

/* The IRQ that PIRQ n is routed to; -1: none. */
static int pirq_route(const Piix3 *s, unsigned n)
{
    uint8_t reg = s->pci.config[REG_PIRQRC + n];

    if ((reg & PIRQRC_DISABLE) || !(PIRQRC_VALID & 1 << (reg & PIRQRC_IRQ))) {
        return -1;
    }
    return reg & PIRQRC_IRQ;
}

static void update_irq(Piix3 *s, unsigned irq)
{
    bool level = s->isa_levels & 1 << irq;

    for (unsigned n = 0; n < PCI_ROUTER_INPUTS; n++) {
        level |= (s->pirq_levels & 1 << n) && pirq_route(s, n) == (int)irq;
    }
    irq_set(s->irqs[irq], level);
}

/* ---- guest side ---- */

static void config_written(PciDevice *d, unsigned addr, unsigned size)
{
    if (addr < REG_PIRQRC + PCI_ROUTER_INPUTS && addr + size > REG_PIRQRC) {
        for (unsigned irq = 0; irq < ISA_IRQS; irq++) {
            if (PIRQRC_VALID & 1 << irq) {
                update_irq((Piix3 *)d, irq);
            }
        }
    }
}

static uint8_t reset_control_read(void *opaque)
{
    return ((Piix3 *)opaque)->reset_control;
}

static void reset_control_write(void *opaque, uint8_t value)
{
    Piix3 *s = opaque;

    if ((value & RCR_RCPU) && !(s->reset_control & RCR_RCPU)) {
        if (value & RCR_HARD) {
            machine_request_reset();
        } else {
            machine_init_cpus();
        }
    }
    s->reset_control = value & (RCR_HARD | RCR_RCPU);
}

static const PciResetControlOps reset_control_ops = {
    .read = reset_control_read,
    .write = reset_control_write,
};

/* ---- host side ---- */

/* The boards of this chip set turn the pins by one from slot to slot; slot 1, ours, starts with
 * PIRQA. */
static unsigned map_irq(void *opaque, int devfn, unsigned pin)
{
    return (PCI_SLOT((unsigned)devfn) + pin + PCI_ROUTER_INPUTS - 1) % PCI_ROUTER_INPUTS;
}

static void set_pirq(void *opaque, unsigned input, bool level)
{
    Piix3 *s = opaque;
    int irq = pirq_route(s, input);

    s->pirq_levels = (uint8_t)((s->pirq_levels & ~(1 << input)) | level << input);
    if (irq >= 0) {
        update_irq(s, (unsigned)irq);
    }
}

static const PciBusOps router_ops = {
    .map_irq = map_irq,
    .set_irq = set_pirq,
};

static void isa_input_changed(void *opaque, int n, bool level)
{
    Piix3 *s = opaque;

    s->isa_levels = (uint16_t)((s->isa_levels & ~(1 << n)) | level << n);
    update_irq(s, (unsigned)n);
}

IrqLine *piix3_isa_irq(Device *dev, unsigned n)
{
    return &((Piix3 *)dev)->isa_inputs[n % ISA_IRQS];
}

/* Input levels stay: they are their senders'. */
static void piix3_reset(Device *dev)
{
    Piix3 *s = (Piix3 *)dev;

    pci_device_reset(&s->pci);
    s->reset_control = 0;
    for (unsigned irq = 0; irq < ISA_IRQS; irq++) {
        update_irq(s, irq);
    }
}

static const VMStateField piix3_fields[] = {
    VMSTATE_STRUCT(pci, Piix3, pci_device_vmstate),
    VMSTATE_U16(isa_levels, Piix3),
    VMSTATE_U8(pirq_levels, Piix3),
    VMSTATE_U8(reset_control, Piix3),
    VMSTATE_END,
};

static const VMState piix3_vmstate = {.name = "piix3", .version = 1, .fields = piix3_fields};

static void init_config(PciDevice *d)
{
    static const uint8_t stored[][2] = {
        {REG_IORT, 1},   {REG_XBCS, 2},    {REG_TOM, 1},    {REG_MSTAT, 2},
        {REG_MBIRQ0, 1}, {REG_MBDMA, 2},   {REG_PCSC, 2},   {REG_APICBASE, 1},
        {REG_DLC, 1},    {REG_SMICNTL, 1}, {REG_SMIEN, 2},  {REG_SEE, 4},
        {REG_FTMR, 1},   {REG_SMIREQ, 2},  {REG_CTLTMR, 1}, {REG_CTHTMR, 1},
    };

    pci_set_ids(d, 0x8086, 0x7000, 0x060100, 0, 0);
    pci_set_subsystem(d, 0x1af4, 0x1100);
    /* The bridge always decodes and masters; only special cycles could be switched. */
    pci_set_word(&d->wmask[PCI_COMMAND], 0);
    pci_set_word(&d->config[PCI_COMMAND], PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    pci_set_word(&d->config[PCI_STATUS], PCI_STATUS_DEVSEL_MED);
    for (unsigned i = 0; i < sizeof(stored) / sizeof(stored[0]); i++) {
        for (unsigned n = 0; n < stored[i][1]; n++) {
            d->wmask[stored[i][0] + n] = 0xff;
        }
    }
    for (unsigned n = 0; n < PCI_ROUTER_INPUTS; n++) {
        d->wmask[REG_PIRQRC + n] = PIRQRC_DISABLE | PIRQRC_IRQ;
        d->preset[REG_PIRQRC + n] = PIRQRC_DISABLE;
    }
    d->preset[REG_IORT] = 0x4d;
    d->preset[REG_XBCS] = 0x03;
    d->preset[REG_TOM] = 0x02;
    d->preset[REG_MBIRQ0] = 0x80;
    d->preset[REG_MBDMA] = d->preset[REG_MBDMA + 1] = 0x0c;
    d->preset[REG_PCSC] = 0x02;
    d->preset[REG_SMICNTL] = 0x08;
    d->preset[REG_FTMR] = 0x0f;
    d->config_written = config_written;
}

static bool piix3_realize(Device *dev, Error **errp)
{
    Piix3 *s = (Piix3 *)dev;

    if (!pci_device_attach(&s->pci, errp)) {
        return false;
    }
    init_config(&s->pci);
    for (int n = 0; n < ISA_IRQS; n++) {
        irq_init(&s->isa_inputs[n], isa_input_changed, s, n);
    }
    pci_bus_set_router(s->pci.bus, &router_ops, s);
    pci_bus_set_reset_control(s->pci.bus, &reset_control_ops, s);
    return true;
}

const DeviceClass piix3_class = {
    .name = "piix3",
    .desc = "82371SB PCI-to-ISA bridge",
    .bus = "pci",
    .size = sizeof(Piix3),
    .vmstate = &piix3_vmstate,
    .realize = piix3_realize,
    .reset = piix3_reset,
};

Device *piix3_create(PciBus *bus, int devfn, IrqLine *const irqs[ISA_IRQS])
{
    Piix3 *s = (Piix3 *)pci_device_new(&piix3_class, bus, devfn, "piix3");

    for (unsigned n = 0; n < ISA_IRQS; n++) {
        s->irqs[n] = irqs[n];
    }
    device_realize_or_die(&s->pci.dev);
    return &s->pci.dev;
}
