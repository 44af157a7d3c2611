/*
 * The A20 gate. In the PC/AT the keyboard controller held address line 20 low; chip sets added port
 * 0x92 and OR'd the two. Software that uses both expects each to see what the other did, so here
 * both switch the same gate.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/a20.h"

#include "target-i386/cpu.h"

typedef struct A20Gate {
    Device dev;
    bool on;
} A20Gate;

static A20Gate *gate;

void a20_set(bool on)
{
    if (gate && gate->on != on) {
        gate->on = on;
        cpu_set_a20(on);
    }
}

bool a20_enabled(void)
{
    return !gate || gate->on;
}

static void a20_reset(Device *dev)
{
    ((A20Gate *)dev)->on = true;
    cpu_set_a20(true);
}

static const VMStateField a20_fields[] = {
    VMSTATE_BOOL(on, A20Gate),
    VMSTATE_END,
};

/* The CPUs' address masks are derived from the gate. */
static bool a20_post_load(void *opaque, int version, Error **errp)
{
    cpu_set_a20(((A20Gate *)opaque)->on);
    return true;
}

static const VMState a20_vmstate = {
    .name = "a20",
    .version = 1,
    .fields = a20_fields,
    .post_load = a20_post_load,
};

static bool a20_realize(Device *dev, Error **errp)
{
    gate = (A20Gate *)dev;
    return true;
}

const DeviceClass a20_class = {
    .name = "a20",
    .desc = "A20 gate",
    .bus = "board",
    .size = sizeof(A20Gate),
    .vmstate = &a20_vmstate,
    .realize = a20_realize,
    .reset = a20_reset,
};

Device *a20_create(void)
{
    Device *dev = device_new(&a20_class, NULL, "a20");

    device_realize_or_die(dev);
    return dev;
}
