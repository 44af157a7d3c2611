/*
 * The coprocessor error logic of a PC's chip set: FERR# of CPU 0 raises IRQ 13, a write to port
 * 0xf0 takes the request back and asserts IGNNE#.
 *
 * Intel 82371SB (PIIX3) data sheet, "Coprocessor Error Register". FERR# of the other CPUs leads
 * nowhere. The end of IGNNE# (when the error is cleared) is the CPU's own affair.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/fpu-error.h"

#include "hw/memory.h"
#include "target-i386/cpu.h"
#include "target-i386/vcpu.h"
#include "util/loop.h"

#define PORT 0xf0

typedef struct FpuError {
    Device dev;
    /* wiring */
    IrqLine *irq;
    MemoryRegion io;
    /* saved */
    bool request; /* IRQ 13 is asserted */
} FpuError;

static FpuError *ferr_input;

static uint64_t fpu_error_read(void *opaque, hwaddr addr, unsigned size)
{
    return 0xff;
}

static void fpu_error_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    FpuError *s = opaque;

    if (s->request) {
        s->request = false;
        irq_lower(s->irq);
        if (vcpu_count()) {
            cpu_set_ignne(vcpu_env(0));
        }
    }
}

static const MemoryOps fpu_error_ops = {
    .read = fpu_error_read,
    .write = fpu_error_write,
    .max_size = 1,
};

/* On the CPU's thread. */
static void ferr(CPUX86State *env)
{
    FpuError *s = ferr_input;

    if (env && env->index) {
        return;
    }
    machine_lock();
    s->request = true;
    irq_raise(s->irq);
    machine_unlock();
}

static void fpu_error_reset(Device *dev)
{
    ((FpuError *)dev)->request = false;
}

static const VMStateField fpu_error_fields[] = {
    VMSTATE_BOOL(request, FpuError),
    VMSTATE_END,
};

static const VMState fpu_error_vmstate = {
    .name = "fpu-error", .version = 1, .fields = fpu_error_fields};

static bool fpu_error_realize(Device *dev, Error **errp)
{
    FpuError *s = (FpuError *)dev;

    memory_region_init_io(&s->io, "fpu-error", 1, &fpu_error_ops, s);
    ioport_add(&s->io, PORT);
    ferr_input = s;
    cpu_ferr = ferr;
    return true;
}

const DeviceClass fpu_error_class = {
    .name = "fpu-error",
    .desc = "coprocessor error: FERR# to IRQ 13",
    .bus = "board",
    .size = sizeof(FpuError),
    .vmstate = &fpu_error_vmstate,
    .realize = fpu_error_realize,
    .reset = fpu_error_reset,
};

Device *fpu_error_create(IrqLine *irq)
{
    Device *dev = device_new(&fpu_error_class, NULL, "fpu-error");

    ((FpuError *)dev)->irq = irq;
    device_realize_or_die(dev);
    return dev;
}
