/*
 * System control port A of the PS/2: fast A20 gate and fast reset at port 0x92.
 *
 * PS/2 hardware interface technical reference, "System Control Port A". The lock bit of the CMOS'
 * password and the disk lights do nothing.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/port92.h"

#include "hw/a20.h"
#include "hw/machine.h"
#include "hw/memory.h"

#define PORT 0x92

#define CONTROL_RESET 0x01 /* rising: INIT to the CPUs */
#define CONTROL_A20   0x02
#define CONTROL_KEPT  0xc9 /* the others that read as written */

typedef struct Port92 {
    Device dev;
    /* wiring */
    MemoryRegion io;
    /* saved */
    uint8_t control; /* without the A20 bit, which is the gate's */
} Port92;

static uint64_t port92_read(void *opaque, hwaddr addr, unsigned size)
{
    return ((Port92 *)opaque)->control | (a20_enabled() ? CONTROL_A20 : 0);
}

static void port92_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Port92 *s = opaque;

    a20_set(value & CONTROL_A20);
    if ((value & CONTROL_RESET) && !(s->control & CONTROL_RESET)) {
        machine_init_cpus();
    }
    s->control = value & CONTROL_KEPT;
}

static const MemoryOps port92_ops = {
    .read = port92_read,
    .write = port92_write,
    .max_size = 1,
};

static void port92_reset(Device *dev)
{
    ((Port92 *)dev)->control = 0;
}

static const VMStateField port92_fields[] = {
    VMSTATE_U8(control, Port92),
    VMSTATE_END,
};

static const VMState port92_vmstate = {.name = "port92", .version = 1, .fields = port92_fields};

static bool port92_realize(Device *dev, Error **errp)
{
    Port92 *s = (Port92 *)dev;

    memory_region_init_io(&s->io, "port92", 1, &port92_ops, s);
    ioport_add(&s->io, PORT);
    return true;
}

const DeviceClass port92_class = {
    .name = "port92",
    .desc = "system control port A: fast A20 and reset",
    .bus = "board",
    .size = sizeof(Port92),
    .vmstate = &port92_vmstate,
    .realize = port92_realize,
    .reset = port92_reset,
};

Device *port92_create(void)
{
    Device *dev = device_new(&port92_class, NULL, "port92");

    device_realize_or_die(dev);
    return dev;
}
