/*
 * The debug exit port: writing value v ends the emulator with status v << 1 | 1, so that a test
 * program in the guest can report success or failure.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/debugcon.h"
#include "hw/machine.h"
#include "hw/memory.h"

typedef struct DebugExit {
    Device dev;
    MemoryRegion io;
    uint16_t iobase;
    uint16_t iosize;
} DebugExit;

static uint64_t debug_exit_read(void *opaque, hwaddr addr, unsigned size)
{
    return 0;
}

static void debug_exit_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    machine_request_shutdown((int)((value << 1 | 1) & 0xff));
}

static const MemoryOps debug_exit_ops = {
    .read = debug_exit_read,
    .write = debug_exit_write,
    .max_size = 4,
    .unaligned = true,
};

static const Property debug_exit_props[] = {
    PROPERTY("iobase", PROP_U16, DebugExit, iobase, "0x501", "first port"),
    PROPERTY("iosize", PROP_U16, DebugExit, iosize, "2", "number of ports"),
    PROPERTY_END,
};

static bool debug_exit_realize(Device *dev, Error **errp)
{
    DebugExit *s = (DebugExit *)dev;

    if (s->iosize < 1 || s->iosize > 8 || s->iobase + s->iosize > 0x10000) {
        error_set(errp, "isa-debug-exit: iobase=0x%x,iosize=%u: must be 1 to 8 of the 64 K ports",
                  s->iobase, s->iosize);
        return false;
    }
    memory_region_init_io(&s->io, "debug-exit", s->iosize, &debug_exit_ops, s);
    ioport_add(&s->io, s->iobase);
    return true;
}

static void debug_exit_unrealize(Device *dev)
{
    memory_region_remove(&((DebugExit *)dev)->io);
}

const DeviceClass debug_exit_class = {
    .name = "isa-debug-exit",
    .desc = "port that ends the emulator with a status from the guest",
    .bus = "isa",
    .user_creatable = true,
    .size = sizeof(DebugExit),
    .props = debug_exit_props,
    .realize = debug_exit_realize,
    .unrealize = debug_exit_unrealize,
};
