/*
 * The debug console: a port (0xe9 by convention) whose written bytes go to a character device, and
 * which reads as its readback value, by which programs find it. SeaBIOS writes its messages to one
 * at 0x402.
 *
 * There is no way to tell the guest to wait. What the backend does not take at once is kept here,
 * up to a bound, and then dropped with a warning.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/debugcon.h"

#include <string.h>

#include "hw/memory.h"
#include "util/buffer.h"

#define QUEUE_MAX (1u << 20)

typedef struct Debugcon {
    Device dev;
    MemoryRegion io;
    CharBackend *chr;
    uint16_t iobase;
    uint8_t readback;
    /* output that has left the device; not part of its state */
    Buffer queue;
    bool complained;
} Debugcon;

static void flush_queue(void *opaque)
{
    Debugcon *s = opaque;
    size_t n = chr_write(s->chr, s->queue.data, s->queue.size);

    memmove(s->queue.data, s->queue.data + n, s->queue.size - n);
    s->queue.size -= n;
}

static uint64_t debugcon_read(void *opaque, hwaddr addr, unsigned size)
{
    Debugcon *s = opaque;

    return s->readback;
}

static void debugcon_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Debugcon *s = opaque;
    uint8_t byte = (uint8_t)value;

    if (s->queue.size == 0 && chr_write(s->chr, &byte, 1) == 1) {
        return;
    }
    if (s->queue.size < QUEUE_MAX) {
        buffer_put_u8(&s->queue, byte);
    } else if (!s->complained) {
        s->complained = true;
        warn_report("isa-debugcon: '%s' does not keep up, output is lost", chr_id(s->chr));
    }
}

static const MemoryOps debugcon_ops = {
    .read = debugcon_read,
    .write = debugcon_write,
    .max_size = 1,
};

static size_t no_input(void *opaque)
{
    return 0;
}

static const CharHandlers debugcon_handlers = {.can_receive = no_input, .writable = flush_queue};

static const Property debugcon_props[] = {
    PROPERTY("iobase", PROP_U16, Debugcon, iobase, "0xe9", "port"),
    PROPERTY("readback", PROP_U8, Debugcon, readback, "0xe9", "what the port reads as"),
    PROPERTY("chardev", PROP_CHR, Debugcon, chr, NULL, "character device for the output"),
    PROPERTY_END,
};

static bool debugcon_realize(Device *dev, Error **errp)
{
    Debugcon *s = (Debugcon *)dev;

    if (s->chr && !chr_attach(s->chr, &debugcon_handlers, s, errp)) {
        return false;
    }
    memory_region_init_io(&s->io, "debugcon", 1, &debugcon_ops, s);
    ioport_add(&s->io, s->iobase);
    return true;
}

static void debugcon_unrealize(Device *dev)
{
    Debugcon *s = (Debugcon *)dev;

    chr_detach(s->chr, s);
    memory_region_remove(&s->io);
    buffer_free(&s->queue);
}

const DeviceClass debugcon_class = {
    .name = "isa-debugcon",
    .desc = "debug console port",
    .bus = "isa",
    .user_creatable = true,
    .size = sizeof(Debugcon),
    .props = debugcon_props,
    .realize = debugcon_realize,
    .unrealize = debugcon_unrealize,
};

Device *debugcon_create(CharBackend *chr, Error **errp)
{
    Debugcon *s = (Debugcon *)device_new(&debugcon_class, NULL, NULL);

    s->chr = chr;
    return device_realize(&s->dev, errp) ? &s->dev : NULL;
}
