/*
 * The PC's parallel port: the IBM Printer Adapter with the PS/2's direction bit, on the ISA bus.
 *
 * Sources: IBM Personal Computer Technical Reference (1984), "Printer Adapter"; IEEE 1284-2000,
 * compatibility mode. The backend is the printer: a strobe hands it the data register, it is busy
 * until it has taken the byte, and acknowledges then. So a slow one makes the guest wait, and loses
 * nothing. A parallel port of the host in the backend's place has the guest's accesses made on its
 * registers. Not modelled: EPP, ECP.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/parallel.h"

#include <stdio.h>

#include "hw/irq.h"
#include "hw/isa.h"
#include "hw/memory.h"

#define REG_DATA    0
#define REG_STATUS  1
#define REG_CONTROL 2

#define STATUS_NOT_BUSY 0x80 /* the pin is BUSY, inverted on its way */
#define STATUS_NACK     0x40
#define STATUS_SELECT   0x10
#define STATUS_NERROR   0x08
#define STATUS_UNUSED   0x07 /* read as ones */

#define CONTROL_STROBE    0x01
#define CONTROL_NINIT     0x04
#define CONTROL_SELECT    0x08
#define CONTROL_IRQ       0x10
#define CONTROL_DIRECTION 0x20 /* the data register shows the pins, which nobody drives */
#define CONTROL_MASK      0x3f
#define CONTROL_UNUSED    0xc0

typedef struct Parallel {
    Device dev;
    /* wiring */
    MemoryRegion io;
    CharBackend *chr;
    IsaPort port;
    /* saved */
    uint8_t data, control;
    uint8_t latch; /* what the printer is taking ... */
    bool busy;     /* ... and has not taken yet */
    bool acked;    /* the interrupt line, while interrupts are enabled */
} Parallel;

/* The line is nACK, let through by the enable bit: idle it is high, so each acknowledgement is a
 * rising edge. */
static bool irq_level(const Parallel *s)
{
    return (s->control & CONTROL_IRQ) && s->acked;
}

static void update_irq(Parallel *s)
{
    irq_set(&s->port.line, irq_level(s));
}

/* ---- the printer ---- */

static void take_byte(Parallel *s)
{
    if (!s->busy || chr_write(s->chr, &s->latch, 1) == 0) {
        return;
    }
    s->busy = false;
    s->acked = false;
    update_irq(s);
    s->acked = true;
    update_irq(s);
}

static void strobe(Parallel *s)
{
    if (s->busy) {
        return; /* a printer that is busy does not look */
    }
    s->latch = s->data;
    s->busy = true;
    take_byte(s);
}

/* ---- guest side ---- */

static void write_control(Parallel *s, uint8_t value)
{
    bool begins = (value & ~s->control) & CONTROL_STROBE;

    s->control = value & CONTROL_MASK;
    if (!(value & CONTROL_NINIT)) {
        s->busy = false; /* the printer forgets what it has not printed */
    } else if (begins) {
        strobe(s);
    }
    update_irq(s);
}

static void parallel_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    static const ChrParallelReg regs[] = {CHR_PARALLEL_DATA, CHR_PARALLEL_STATUS,
                                          CHR_PARALLEL_CONTROL};
    Parallel *s = opaque;
    uint8_t v = (uint8_t)value;

    if (addr > REG_CONTROL || chr_parallel_write(s->chr, regs[addr], v)) {
        return;
    }
    if (addr == REG_DATA) {
        s->data = v;
    } else if (addr == REG_CONTROL) {
        write_control(s, v);
    }
}

static uint8_t status(const Parallel *s)
{
    return STATUS_NACK | STATUS_SELECT | STATUS_NERROR | STATUS_UNUSED |
           (s->busy ? 0 : STATUS_NOT_BUSY);
}

static uint64_t parallel_read(void *opaque, hwaddr addr, unsigned size)
{
    Parallel *s = opaque;
    uint8_t value;

    switch (addr) {
    case REG_DATA:
        if (chr_parallel_read(s->chr, CHR_PARALLEL_DATA, &value)) {
            return value;
        }
        return s->control & CONTROL_DIRECTION ? 0xff : s->data;
    case REG_STATUS:
        return chr_parallel_read(s->chr, CHR_PARALLEL_STATUS, &value) ? value : status(s);
    case REG_CONTROL:
        if (chr_parallel_read(s->chr, CHR_PARALLEL_CONTROL, &value)) {
            return value;
        }
        return s->control | CONTROL_UNUSED;
    default:
        return 0xff;
    }
}

static const MemoryOps parallel_ops = {
    .read = parallel_read,
    .write = parallel_write,
    .max_size = 1,
};

/* ---- host side ---- */

static size_t no_input(void *opaque)
{
    return 0;
}

static void parallel_writable(void *opaque)
{
    take_byte(opaque);
}

static const CharHandlers parallel_handlers = {.can_receive = no_input,
                                               .writable = parallel_writable};

static void parallel_reset(Device *dev)
{
    Parallel *s = (Parallel *)dev;

    s->data = 0;
    s->control = CONTROL_NINIT | CONTROL_SELECT;
    s->busy = s->acked = false;
    update_irq(s);
}

static const VMStateField parallel_fields[] = {
    VMSTATE_U8(data, Parallel),   VMSTATE_U8(control, Parallel), VMSTATE_U8(latch, Parallel),
    VMSTATE_BOOL(busy, Parallel), VMSTATE_BOOL(acked, Parallel), VMSTATE_END,
};

static bool parallel_post_load(void *opaque, int version, Error **errp)
{
    Parallel *s = opaque;

    s->control &= CONTROL_MASK;
    isa_port_set_loaded_level(&s->port, irq_level(s));
    take_byte(s); /* the backend of today may have room */
    return true;
}

static const VMState parallel_vmstate = {
    .name = "isa-parallel",
    .version = 1,
    .fields = parallel_fields,
    .post_load = parallel_post_load,
};

/* ---- properties, class, create ---- */

static const IsaPortKind lpt_ports = {
    .class_name = "isa-parallel",
    .last = "LPT3",
    .ports = 3,
    .count = 3,
    .iobase = (const uint16_t[]){0x378, 0x278, 0x3bc},
    .irq = (const uint8_t[]){7, 5, 7},
};

static const Property parallel_props[] = {
    PROPERTY("chardev", PROP_CHR, Parallel, chr, NULL, "character device that is the printer"),
    PROPERTY("index", PROP_U8, Parallel, port.index, "255",
             "0 to 2 for LPT1 to LPT3; 255: the next free one"),
    PROPERTY("iobase", PROP_U16, Parallel, port.iobase, "0", "first port; 0: as the index says"),
    PROPERTY("irq", PROP_U8, Parallel, port.irq, "255", "interrupt line; 255: as the index says"),
    PROPERTY_END,
};

static bool parallel_realize(Device *dev, Error **errp)
{
    Parallel *s = (Parallel *)dev;

    if (!isa_port_choose(&s->port, &lpt_ports, errp)) {
        return false;
    }
    if (s->chr && !chr_attach(s->chr, &parallel_handlers, s, errp)) {
        return false;
    }
    isa_port_connect(&s->port);
    memory_region_init_io(&s->io, "parallel", lpt_ports.ports, &parallel_ops, s);
    ioport_add(&s->io, s->port.iobase);
    return true;
}

static void parallel_unrealize(Device *dev)
{
    Parallel *s = (Parallel *)dev;

    chr_detach(s->chr, s);
    isa_port_disconnect(&s->port);
    memory_region_remove(&s->io);
}

const DeviceClass parallel_class = {
    .name = "isa-parallel",
    .desc = "parallel port",
    .bus = "isa",
    .user_creatable = true,
    .size = sizeof(Parallel),
    .props = parallel_props,
    .vmstate = &parallel_vmstate,
    .realize = parallel_realize,
    .reset = parallel_reset,
    .unrealize = parallel_unrealize,
};

Device *parallel_create(unsigned index, CharBackend *chr, Error **errp)
{
    char id[16];
    Parallel *s;

    snprintf(id, sizeof(id), "parallel%u", index);
    s = (Parallel *)device_new(&parallel_class, NULL, id);
    s->port.index = (uint8_t)index;
    s->chr = chr;
    return device_realize(&s->dev, errp) ? &s->dev : NULL;
}
