/*
 * System control port B of the PC/AT at port 0x61.
 *
 * IBM PC/AT technical reference, "System Board: Port 61"; the upper bits as in the 82371SB's data
 * sheet (290550), section 2.5.5.1. Memory and I/O check never fail here, so their NMIs never come.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/port61.h"

#include "hw/i8254.h"
#include "hw/memory.h"
#include "util/loop.h"

#define PORT 0x61

#define NSC_GATE2   0x01 /* gate of timer channel 2 */
#define NSC_SPEAKER 0x02
#define NSC_WRITTEN 0x0f /* with the two check enables */
#define NSC_REFRESH 0x10 /* toggles at every refresh request */
#define NSC_OUT2    0x20

#define REFRESH_NS 15085 /* 18 ticks of the timer */

typedef struct Port61 {
    Device dev;
    /* wiring */
    MemoryRegion io;
    Device *pit;
    /* saved */
    uint8_t control;
} Port61;

static uint64_t port61_read(void *opaque, hwaddr addr, unsigned size)
{
    Port61 *s = opaque;
    bool refresh = clock_now(CLOCK_VIRTUAL) / REFRESH_NS & 1;

    return s->control | (refresh ? NSC_REFRESH : 0) | (i8254_output(s->pit, 2) ? NSC_OUT2 : 0);
}

static void port61_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Port61 *s = opaque;

    s->control = value & NSC_WRITTEN;
    i8254_set_gate(s->pit, 2, value & NSC_GATE2);
}

static const MemoryOps port61_ops = {
    .read = port61_read,
    .write = port61_write,
    .max_size = 1,
};

bool port61_speaker_on(Device *dev)
{
    return ((Port61 *)dev)->control & NSC_SPEAKER;
}

static void port61_reset(Device *dev)
{
    Port61 *s = (Port61 *)dev;

    s->control = 0;
    i8254_set_gate(s->pit, 2, false);
}

static const VMStateField port61_fields[] = {
    VMSTATE_U8(control, Port61),
    VMSTATE_END,
};

static const VMState port61_vmstate = {.name = "port61", .version = 1, .fields = port61_fields};

static bool port61_realize(Device *dev, Error **errp)
{
    Port61 *s = (Port61 *)dev;

    memory_region_init_io(&s->io, "port61", 1, &port61_ops, s);
    ioport_add(&s->io, PORT);
    return true;
}

const DeviceClass port61_class = {
    .name = "port61",
    .desc = "system control port B: speaker and timer channel 2",
    .bus = "board",
    .size = sizeof(Port61),
    .vmstate = &port61_vmstate,
    .realize = port61_realize,
    .reset = port61_reset,
};

Device *port61_create(Device *pit)
{
    Port61 *s = (Port61 *)device_new(&port61_class, NULL, "port61");

    s->pit = pit;
    device_realize_or_die(&s->dev);
    return &s->dev;
}
