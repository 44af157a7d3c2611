/*
 * Intel 8237A DMA controllers, two cascaded as in the PC/AT, with the page registers.
 *
 * Data sheet: 8237A (231466). Transfers happen at once when the device asks for them.
 * Memory-to-memory transfers, which the PC/AT's wiring does not allow, and priorities are not
 * modelled.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/i8237.h"

#include "hw/memory.h"

#define PORT_BYTES 0x00 /* controller of channels 0-3: 16 ports */
#define PORT_WORDS 0xc0 /* controller of channels 4-7: the same on even ports */
#define PORT_PAGES 0x80

/* Registers from 8 on; before them base and current address and count of each channel. */
#define REG_COMMAND    8 /* reading: status */
#define REG_REQUEST    9
#define REG_MASK_BIT   10
#define REG_MODE       11
#define REG_FLIP_FLOP  12 /* write: byte pointer to the low byte */
#define REG_CLEAR      13 /* reading: temporary register */
#define REG_CLEAR_MASK 14
#define REG_MASK       15

#define COMMAND_DISABLE 0x04

#define MODE_TRANSFER(m) ((m) >> 2 & 3)
#define TRANSFER_VERIFY  0
#define TRANSFER_WRITE   1 /* to memory */
#define TRANSFER_READ    2
#define MODE_AUTO        0x10
#define MODE_DECREMENT   0x20
#define MODE_CASCADE     0xc0

typedef struct I8237Channel {
    /* wiring */
    void (*ready)(void *opaque);
    void *ready_opaque;
    /* saved */
    uint16_t base_address, base_count;
    uint16_t address, count; /* count: transfers still to do, less one */
    uint8_t mode;
} I8237Channel;

typedef struct I8237Controller {
    /* wiring */
    MemoryRegion io;
    unsigned first; /* its first channel: 0 or 4 */
    /* saved */
    I8237Channel channels[4];
    uint8_t command;
    uint8_t terminal; /* channels that reached terminal count since status was read */
    uint8_t dreq;     /* level of the request inputs */
    uint8_t request;  /* requests made by software */
    uint8_t mask;
    bool high_byte; /* the flip-flop */
} I8237Controller;

typedef struct I8237 {
    Device dev;
    /* wiring */
    MemoryRegion pages_io;
    /* saved */
    I8237Controller controllers[2];
    uint8_t pages[16];
} I8237;

/* Which page register belongs to a channel: the PC/AT's wiring. 4 has the refresh cycle's. */
static const uint8_t page_of_channel[I8237_CHANNELS] = {0x7, 0x3, 0x1, 0x2, 0xf, 0xb, 0x9, 0xa};

static bool enabled(const I8237Controller *c, unsigned n)
{
    return !(c->command & COMMAND_DISABLE) && !(c->mask & 1 << n);
}

static void tell_ready(I8237Controller *c)
{
    for (unsigned n = 0; n < 4; n++) {
        if (enabled(c, n) && c->channels[n].ready) {
            c->channels[n].ready(c->channels[n].ready_opaque);
        }
    }
}

/* ---- guest side ---- */

static void clear(I8237Controller *c)
{
    c->command = 0;
    c->terminal = 0;
    c->request = 0;
    c->mask = 0x0f;
    c->high_byte = false;
}

static void set_half(uint16_t *reg, bool high, uint8_t value)
{
    *reg = (uint16_t)(high ? (*reg & 0x00ff) | value << 8 : (*reg & 0xff00) | value);
}

static void write_channel(I8237Controller *c, unsigned reg, uint8_t value)
{
    I8237Channel *ch = &c->channels[reg / 2];

    if (reg & 1) {
        set_half(&ch->base_count, c->high_byte, value);
        ch->count = ch->base_count;
    } else {
        set_half(&ch->base_address, c->high_byte, value);
        ch->address = ch->base_address;
    }
    c->high_byte = !c->high_byte;
}

static uint8_t read_channel(I8237Controller *c, unsigned reg)
{
    const I8237Channel *ch = &c->channels[reg / 2];
    uint16_t v = reg & 1 ? ch->count : ch->address;
    bool high = c->high_byte;

    c->high_byte = !high;
    return (uint8_t)(high ? v >> 8 : v);
}

static void set_bit(uint8_t *bits, uint8_t value)
{
    uint8_t bit = (uint8_t)(1 << (value & 3));
    *bits = (uint8_t)(value & 4 ? *bits | bit : *bits & ~bit);
}

static void controller_write(I8237Controller *c, unsigned reg, uint8_t value)
{
    switch (reg) {
    case REG_COMMAND:
        c->command = value;
        tell_ready(c);
        break;
    case REG_REQUEST:
        set_bit(&c->request, value);
        break;
    case REG_MASK_BIT:
        set_bit(&c->mask, value);
        tell_ready(c);
        break;
    case REG_MODE:
        c->channels[value & 3].mode = value;
        break;
    case REG_FLIP_FLOP:
        c->high_byte = false;
        break;
    case REG_CLEAR:
        clear(c);
        break;
    case REG_CLEAR_MASK:
        c->mask = 0;
        tell_ready(c);
        break;
    case REG_MASK:
        c->mask = value & 0x0f;
        tell_ready(c);
        break;
    default:
        write_channel(c, reg, value);
    }
}

static uint8_t controller_read(I8237Controller *c, unsigned reg)
{
    uint8_t v;

    switch (reg) {
    case REG_COMMAND:
        v = (uint8_t)(c->terminal | (c->dreq | c->request) << 4);
        c->terminal = 0;
        return v;
    case REG_MASK:
        return c->mask | 0xf0; /* as the PIIX has it; the 8237A's cannot be read */
    case REG_CLEAR:
        return 0; /* temporary register: only memory-to-memory transfers use it */
    default:
        return reg < REG_COMMAND ? read_channel(c, reg) : 0xff;
    }
}

/* The controller of the word channels ignores A0. */
static unsigned register_of(const I8237Controller *c, hwaddr addr)
{
    return (unsigned)(c->first ? addr >> 1 : addr) & 15;
}

static uint64_t i8237_read(void *opaque, hwaddr addr, unsigned size)
{
    I8237Controller *c = opaque;
    return controller_read(c, register_of(c, addr));
}

static void i8237_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    I8237Controller *c = opaque;
    controller_write(c, register_of(c, addr), (uint8_t)value);
}

static const MemoryOps i8237_ops = {
    .read = i8237_read,
    .write = i8237_write,
    .max_size = 1,
};

static uint64_t pages_read(void *opaque, hwaddr addr, unsigned size)
{
    return ((I8237 *)opaque)->pages[addr & 15];
}

static void pages_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    ((I8237 *)opaque)->pages[addr & 15] = (uint8_t)value;
}

static const MemoryOps pages_ops = {
    .read = pages_read,
    .write = pages_write,
    .max_size = 1,
};

/* ---- device side ---- */

void i8237_attach(Device *dev, unsigned channel, void (*ready)(void *opaque), void *opaque)
{
    I8237Channel *ch = &((I8237 *)dev)->controllers[channel / 4 & 1].channels[channel % 4];

    ch->ready = ready;
    ch->ready_opaque = opaque;
}

void i8237_set_request(Device *dev, unsigned channel, bool level)
{
    I8237Controller *c = &((I8237 *)dev)->controllers[channel / 4 & 1];
    uint8_t bit = (uint8_t)(1 << channel % 4);

    c->dreq = (uint8_t)(level ? c->dreq | bit : c->dreq & ~bit);
}

/* One run of transfers without a wrap of the 16-bit address. */
static void move(I8237 *s, unsigned channel, I8237Direction direction, uint8_t *buf, uint32_t units)
{
    I8237Channel *ch = &s->controllers[channel / 4].channels[channel % 4];
    unsigned shift = channel / 4;
    hwaddr page = (hwaddr)s->pages[page_of_channel[channel]] << 16;
    hwaddr addr =
        shift ? (page & ~(hwaddr)0x1ffff) + ((hwaddr)ch->address << 1) : page + ch->address;

    if (MODE_TRANSFER(ch->mode) == TRANSFER_VERIFY) {
        return;
    }
    if (ch->mode & MODE_DECREMENT) {
        for (uint32_t i = 0; i < units; i++, buf += 1 << shift, addr -= 1 << shift) {
            if (direction == I8237_TO_MEMORY) {
                dma_write(addr, buf, 1 << shift);
            } else {
                dma_read(addr, buf, 1 << shift);
            }
        }
    } else if (direction == I8237_TO_MEMORY) {
        dma_write(addr, buf, (uint64_t)units << shift);
    } else {
        dma_read(addr, buf, (uint64_t)units << shift);
    }
}

static void reach_terminal_count(I8237Controller *c, unsigned n)
{
    I8237Channel *ch = &c->channels[n];

    c->terminal |= 1 << n;
    c->request &= ~(1 << n);
    if (ch->mode & MODE_AUTO) {
        ch->address = ch->base_address;
        ch->count = ch->base_count;
    } else {
        c->mask |= 1 << n;
    }
}

size_t i8237_transfer(Device *dev, unsigned channel, I8237Direction direction, void *buf,
                      size_t size, bool *terminal_count)
{
    I8237 *s = (I8237 *)dev;
    I8237Controller *c = &s->controllers[channel / 4 & 1];
    unsigned n = channel % 4, shift = channel / 4 & 1;
    I8237Channel *ch = &c->channels[n];
    unsigned wanted = direction == I8237_TO_MEMORY ? TRANSFER_WRITE : TRANSFER_READ;
    size_t done = 0;

    *terminal_count = false;
    if (!enabled(c, n) || (channel < 4 && !enabled(&s->controllers[1], 0)) ||
        (ch->mode & MODE_CASCADE) == MODE_CASCADE ||
        (MODE_TRANSFER(ch->mode) != wanted && MODE_TRANSFER(ch->mode) != TRANSFER_VERIFY)) {
        return 0;
    }
    size >>= shift;
    while (done < size && !*terminal_count) {
        uint32_t units = ch->count + 1u;
        uint32_t to_wrap = ch->mode & MODE_DECREMENT ? ch->address + 1u : 0x10000u - ch->address;
        units = units > to_wrap ? to_wrap : units;
        units = units > size - done ? (uint32_t)(size - done) : units;
        move(s, channel & 7, direction, (uint8_t *)buf + (done << shift), units);
        done += units;
        ch->address =
            (uint16_t)(ch->mode & MODE_DECREMENT ? ch->address - units : ch->address + units);
        *terminal_count = units > ch->count;
        ch->count = (uint16_t)(ch->count - units);
    }
    if (*terminal_count) {
        reach_terminal_count(c, n);
    }
    return done << shift;
}

/* ---- reset, state, creation ---- */

static void i8237_reset(Device *dev)
{
    I8237 *s = (I8237 *)dev;

    for (unsigned i = 0; i < 2; i++) {
        clear(&s->controllers[i]);
    }
    for (unsigned i = 0; i < sizeof(s->pages); i++) {
        s->pages[i] = 0;
    }
}

static const VMStateField channel_fields[] = {
    VMSTATE_U16(base_address, I8237Channel), VMSTATE_U16(base_count, I8237Channel),
    VMSTATE_U16(address, I8237Channel),      VMSTATE_U16(count, I8237Channel),
    VMSTATE_U8(mode, I8237Channel),          VMSTATE_END,
};

static const VMState channel_vmstate = {
    .name = "i8237-channel",
    .version = 1,
    .fields = channel_fields,
};

static const VMStateField controller_fields[] = {
    VMSTATE_STRUCT_ARRAY(channels, I8237Controller, channel_vmstate),
    VMSTATE_U8(command, I8237Controller),
    VMSTATE_U8(terminal, I8237Controller),
    VMSTATE_U8(dreq, I8237Controller),
    VMSTATE_U8(request, I8237Controller),
    VMSTATE_U8(mask, I8237Controller),
    VMSTATE_BOOL(high_byte, I8237Controller),
    VMSTATE_END,
};

static const VMState controller_vmstate = {
    .name = "i8237-controller",
    .version = 1,
    .fields = controller_fields,
};

static const VMStateField i8237_fields[] = {
    VMSTATE_STRUCT_ARRAY(controllers, I8237, controller_vmstate),
    VMSTATE_U8_ARRAY(pages, I8237),
    VMSTATE_END,
};

static const VMState i8237_vmstate = {.name = "i8237", .version = 1, .fields = i8237_fields};

static bool i8237_realize(Device *dev, Error **errp)
{
    I8237 *s = (I8237 *)dev;

    for (unsigned i = 0; i < 2; i++) {
        I8237Controller *c = &s->controllers[i];
        c->first = 4 * i;
        memory_region_init_io(&c->io, i ? "dma-words" : "dma-bytes", i ? 32 : 16, &i8237_ops, c);
        ioport_add(&c->io, i ? PORT_WORDS : PORT_BYTES);
    }
    memory_region_init_io(&s->pages_io, "dma-pages", 16, &pages_ops, s);
    memory_region_add(memory_io_as.root, PORT_PAGES, &s->pages_io,
                      -1); /* others decode ports among them */
    return true;
}

const DeviceClass i8237_class = {
    .name = "i8237",
    .desc = "8237A DMA controllers, two, with page registers",
    .bus = "board",
    .size = sizeof(I8237),
    .vmstate = &i8237_vmstate,
    .realize = i8237_realize,
    .reset = i8237_reset,
};

Device *i8237_create(void)
{
    Device *dev = device_new(&i8237_class, NULL, "dma");

    device_realize_or_die(dev);
    return dev;
}
