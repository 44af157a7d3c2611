/*
 * Intel 8259A programmable interrupt controllers, two cascaded as in the PC/AT, with the edge/level
 * registers of the EISA bus and the PIIX.
 *
 * Data sheets: 8259A (231468), 82371SB (290550). The outputs of buffered mode and the vectors of
 * MCS-80 mode have nobody to see them and are not modelled.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/i8259.h"

#include "hw/memory.h"

#define MASTER_PORT 0x20
#define SLAVE_PORT  0xa0
#define ELCR_PORT   0x4d0
#define CASCADE     2 /* the master's input with the slave's INT */

/* At A0 = 0: ICW1 has bit 4 set; else bit 3 tells OCW3 from OCW2. */
#define ICW1_IC4    0x01 /* ICW4 follows */
#define ICW1_SNGL   0x02 /* no ICW3 */
#define ICW1_LTIM   0x08 /* all inputs level triggered */
#define ICW1_SELECT 0x10
#define ICW4_AEOI   0x02
#define ICW4_SFNM   0x10 /* special fully nested mode */

#define OCW2_LEVEL  0x07
#define OCW2_SL     0x40 /* OCW2_LEVEL counts */
#define OCW2_EOI    0x20
#define OCW2_ROTATE 0x80
#define OCW3_SELECT 0x08
#define OCW3_RIS    0x01 /* read ISR */
#define OCW3_RR     0x02
#define OCW3_POLL   0x04
#define OCW3_SMM    0x20
#define OCW3_ESMM   0x40

#define SPURIOUS 7 /* what a chip answers when it has no request */

/* Which inputs may be level triggered; the others belong to chips of the board. */
static const uint8_t elcr_mask[2] = {0xf8, 0xde};

typedef struct I8259 I8259;

typedef struct I8259Chip {
    /* wiring */
    I8259 *pair;
    MemoryRegion io;
    bool is_master;
    /* saved */
    uint8_t lines; /* level of the inputs */
    uint8_t edges; /* rising edges since the last acknowledge; an input that falls takes its edge
                      back */
    uint8_t imr, isr;
    uint8_t elcr;
    uint8_t icw1, vector_base, icw4;
    uint8_t next_icw;        /* 2..4: the ICW expected at A0 = 1; 0: none, the chip works */
    uint8_t lowest_priority; /* the input with the lowest priority, 0..7 */
    bool read_isr, poll, special_mask, rotate_on_aeoi;
} I8259Chip;

struct I8259 {
    Device dev;
    /* wiring */
    IrqLine *intr;
    IrqLine inputs[16];
    MemoryRegion elcr_io;
    /* saved */
    I8259Chip chips[2]; /* master, slave */
};

static uint8_t level_inputs(const I8259Chip *c)
{
    return c->icw1 & ICW1_LTIM ? 0xff : c->elcr;
}

static uint8_t irr(const I8259Chip *c)
{
    uint8_t level = level_inputs(c);
    return (c->lines & level) | (c->edges & ~level);
}

/* Rank of the most important input in mask, 0 (highest) to 7; 8: the mask is empty. */
static unsigned priority_of(const I8259Chip *c, uint8_t mask)
{
    unsigned rank = 0;
    while (rank < 8 && !(mask & 1 << ((c->lowest_priority + 1 + rank) & 7))) {
        rank++;
    }
    return rank;
}

static unsigned input_of_rank(const I8259Chip *c, unsigned rank)
{
    return (c->lowest_priority + 1 + rank) & 7;
}

/* The input that the chip would interrupt for, or -1. */
static int request(const I8259Chip *c)
{
    unsigned rank = priority_of(c, irr(c) & ~c->imr);
    uint8_t serving = c->isr;

    if (rank == 8 || c->next_icw) {
        return -1;
    }
    if (c->special_mask) {
        serving &= ~c->imr;
    }
    /* In special fully nested mode a slave in service may interrupt again: it has its own order. */
    if ((c->icw4 & ICW4_SFNM) && c->is_master && input_of_rank(c, rank) == CASCADE) {
        serving &= ~(1 << CASCADE);
    }
    return rank < priority_of(c, serving) ? (int)input_of_rank(c, rank) : -1;
}

static void set_line(I8259Chip *c, unsigned n, bool level)
{
    uint8_t bit = (uint8_t)(1 << n);

    if (level) {
        c->edges |= bit & ~c->lines;
        c->lines |= bit;
    } else {
        c->lines &= ~bit;
        c->edges &= ~bit;
    }
}

/* Drives the slave's INT into the master and the master's out. */
static void update_irq(I8259 *s)
{
    set_line(&s->chips[0], CASCADE, request(&s->chips[1]) >= 0);
    irq_set(s->intr, request(&s->chips[0]) >= 0);
}

static void end_of_interrupt(I8259Chip *c, unsigned n, bool rotate)
{
    c->isr &= ~(1 << n);
    if (rotate) {
        c->lowest_priority = (uint8_t)n;
    }
}

/* INTA or a poll: the request of input n is taken. */
static void take(I8259Chip *c, unsigned n)
{
    c->edges &= ~(1 << n);
    c->isr |= 1 << n;
    if (c->icw4 & ICW4_AEOI) {
        end_of_interrupt(c, n, c->rotate_on_aeoi);
    }
    if (!c->is_master) {
        /* INT falls at the acknowledge, so that the master sees a new edge if there is more. */
        set_line(&c->pair->chips[0], CASCADE, false);
    }
}

/* ---- guest side ---- */

static void write_icw1(I8259Chip *c, uint8_t value)
{
    c->icw1 = value;
    c->next_icw = 2;
    c->edges = 0;
    c->imr = 0;
    c->isr = 0;
    c->icw4 = 0;
    c->lowest_priority = 7;
    c->special_mask = false;
    c->rotate_on_aeoi = false;
    c->read_isr = false;
    c->poll = false;
}

static void write_ocw2(I8259Chip *c, uint8_t value)
{
    bool rotate = value & OCW2_ROTATE;

    if (!(value & OCW2_EOI)) {
        if (!(value & OCW2_SL)) {
            c->rotate_on_aeoi = rotate;
        } else if (rotate) {
            c->lowest_priority = value & OCW2_LEVEL;
        }
        return;
    }
    if (value & OCW2_SL) {
        end_of_interrupt(c, value & OCW2_LEVEL, rotate);
        return;
    }
    /*
     * Not specific: the most important one in service, but for those that special mask mode hides.
     */
    unsigned rank = priority_of(c, c->special_mask ? c->isr & ~c->imr : c->isr);
    if (rank < 8) {
        end_of_interrupt(c, input_of_rank(c, rank), rotate);
    }
}

static void write_ocw3(I8259Chip *c, uint8_t value)
{
    if (value & OCW3_POLL) {
        c->poll = true;
    }
    if (value & OCW3_RR) {
        c->read_isr = value & OCW3_RIS;
    }
    if (value & OCW3_ESMM) {
        c->special_mask = value & OCW3_SMM;
    }
}

static void write_a1(I8259Chip *c, uint8_t value)
{
    switch (c->next_icw) {
    case 2:
        c->vector_base = value & 0xf8;
        c->next_icw = !(c->icw1 & ICW1_SNGL) ? 3 : c->icw1 & ICW1_IC4 ? 4 : 0;
        break;
    case 3: /* which inputs have slaves, or the slave's number: soldered here */
        c->next_icw = c->icw1 & ICW1_IC4 ? 4 : 0;
        break;
    case 4:
        c->icw4 = value;
        c->next_icw = 0;
        break;
    default:
        c->imr = value;
    }
}

static void chip_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    I8259Chip *c = opaque;

    if (addr == 1) {
        write_a1(c, (uint8_t)value);
    } else if (value & ICW1_SELECT) {
        write_icw1(c, (uint8_t)value);
    } else if (value & OCW3_SELECT) {
        write_ocw3(c, (uint8_t)value);
    } else {
        write_ocw2(c, (uint8_t)value);
    }
    update_irq(c->pair);
}

static uint64_t chip_read(void *opaque, hwaddr addr, unsigned size)
{
    I8259Chip *c = opaque;

    if (c->poll) {
        int n = request(c);
        c->poll = false;
        if (n < 0) {
            return SPURIOUS;
        }
        take(c, (unsigned)n);
        update_irq(c->pair);
        return 0x80 | (unsigned)n;
    }
    if (addr == 1) {
        return c->imr;
    }
    return c->read_isr ? c->isr : irr(c);
}

static const MemoryOps chip_ops = {
    .read = chip_read,
    .write = chip_write,
    .max_size = 1,
};

static uint64_t elcr_read(void *opaque, hwaddr addr, unsigned size)
{
    I8259 *s = opaque;
    return s->chips[addr & 1].elcr;
}

static void elcr_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    I8259 *s = opaque;

    s->chips[addr & 1].elcr = (uint8_t)value & elcr_mask[addr & 1];
    update_irq(s);
}

static const MemoryOps elcr_ops = {
    .read = elcr_read,
    .write = elcr_write,
    .max_size = 1,
};

/* ---- host side ---- */

static void input_changed(void *opaque, int n, bool level)
{
    I8259 *s = opaque;

    set_line(&s->chips[n >> 3], n & 7, level);
    update_irq(s);
}

uint8_t i8259_acknowledge(Device *dev)
{
    I8259 *s = (I8259 *)dev;
    I8259Chip *master = &s->chips[0], *slave = &s->chips[1];
    int n = request(master);
    uint8_t vector;

    if (n < 0) {
        return master->vector_base + SPURIOUS;
    }
    take(master, (unsigned)n);
    vector = (uint8_t)(master->vector_base + n);
    if (n == CASCADE) {
        n = request(slave);
        if (n >= 0) {
            take(slave, (unsigned)n);
        }
        vector = (uint8_t)(slave->vector_base + (n >= 0 ? n : SPURIOUS));
    }
    update_irq(s);
    return vector;
}

bool i8259_output(Device *dev)
{
    return request(&((I8259 *)dev)->chips[0]) >= 0;
}

bool i8259_waiting(Device *dev, unsigned n)
{
    const I8259Chip *c = &((I8259 *)dev)->chips[n >> 3 & 1];
    return irr(c) & ~c->imr & 1 << (n & 7);
}

IrqLine *i8259_input(Device *dev, unsigned n)
{
    return n < 16 && n != CASCADE ? &((I8259 *)dev)->inputs[n] : NULL;
}

/* The levels of the inputs belong to their senders and stay. */
static void i8259_reset(Device *dev)
{
    I8259 *s = (I8259 *)dev;

    for (unsigned i = 0; i < 2; i++) {
        write_icw1(&s->chips[i], 0);
        s->chips[i].next_icw = 0;
        s->chips[i].vector_base = 0;
        s->chips[i].elcr = 0;
    }
    update_irq(s);
}

static const VMStateField chip_fields[] = {
    VMSTATE_U8(lines, I8259Chip),
    VMSTATE_U8(edges, I8259Chip),
    VMSTATE_U8(imr, I8259Chip),
    VMSTATE_U8(isr, I8259Chip),
    VMSTATE_U8(elcr, I8259Chip),
    VMSTATE_U8(icw1, I8259Chip),
    VMSTATE_U8(vector_base, I8259Chip),
    VMSTATE_U8(icw4, I8259Chip),
    VMSTATE_U8(next_icw, I8259Chip),
    VMSTATE_U8(lowest_priority, I8259Chip),
    VMSTATE_BOOL(read_isr, I8259Chip),
    VMSTATE_BOOL(poll, I8259Chip),
    VMSTATE_BOOL(special_mask, I8259Chip),
    VMSTATE_BOOL(rotate_on_aeoi, I8259Chip),
    VMSTATE_END,
};

static const VMState chip_vmstate = {.name = "i8259-chip", .version = 1, .fields = chip_fields};

static const VMStateField i8259_fields[] = {
    VMSTATE_STRUCT_ARRAY(chips, I8259, chip_vmstate),
    VMSTATE_END,
};

static bool i8259_post_load(void *opaque, int version, Error **errp)
{
    I8259 *s = opaque;

    for (unsigned i = 0; i < 2; i++) {
        s->chips[i].lowest_priority &= 7;
    }
    return true;
}

static const VMState i8259_vmstate = {
    .name = "i8259",
    .version = 1,
    .fields = i8259_fields,
    .post_load = i8259_post_load,
};

static bool i8259_realize(Device *dev, Error **errp)
{
    static const char *const names[2] = {"i8259-master", "i8259-slave"};
    I8259 *s = (I8259 *)dev;

    for (unsigned i = 0; i < 2; i++) {
        I8259Chip *c = &s->chips[i];
        c->pair = s;
        c->is_master = i == 0;
        memory_region_init_io(&c->io, names[i], 2, &chip_ops, c);
        ioport_add(&c->io, i == 0 ? MASTER_PORT : SLAVE_PORT);
    }
    memory_region_init_io(&s->elcr_io, "elcr", 2, &elcr_ops, s);
    ioport_add(&s->elcr_io, ELCR_PORT);
    for (int n = 0; n < 16; n++) {
        irq_init(&s->inputs[n], input_changed, s, n);
    }
    return true;
}

const DeviceClass i8259_class = {
    .name = "i8259",
    .desc = "8259A interrupt controllers, master and slave",
    .bus = "board",
    .size = sizeof(I8259),
    .vmstate = &i8259_vmstate,
    .realize = i8259_realize,
    .reset = i8259_reset,
};

Device *i8259_create(IrqLine *intr)
{
    I8259 *s = (I8259 *)device_new(&i8259_class, NULL, "pic");

    s->intr = intr;
    device_realize_or_die(&s->dev);
    return &s->dev;
}
