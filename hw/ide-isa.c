/*
 * An IDE channel on the ISA bus: the AT disk interface, without DMA.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/devices.h"
#include "hw/ide-core.h"
#include "hw/ide.h"
#include "hw/memory.h"

typedef struct IsaIde {
    Device dev;
    MemoryRegion command, control;
    IdeChannel channel;
} IsaIde;

static uint64_t command_read(void *opaque, hwaddr addr, unsigned size)
{
    return ide_command_read(opaque, addr, size);
}

static void command_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    ide_command_write(opaque, addr, value, size);
}

static uint64_t control_read(void *opaque, hwaddr addr, unsigned size)
{
    return ide_control_read(opaque);
}

static void control_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    ide_control_write(opaque, value);
}

static const MemoryOps command_ops = {command_read, command_write, .min_size = 1, .max_size = 4};
static const MemoryOps control_ops = {control_read, control_write, .min_size = 1, .max_size = 1};

static void isa_ide_reset(Device *dev)
{
    ide_channel_reset(&((IsaIde *)dev)->channel);
}

static const VMStateField isa_ide_fields[] = {
    VMSTATE_STRUCT(channel, IsaIde, ide_channel_vmstate),
    VMSTATE_END,
};
static const VMState isa_ide_vmstate = {"isa-ide", .version = 1, .fields = isa_ide_fields};

static bool isa_ide_realize(Device *dev, Error **errp)
{
    return true;
}

const DeviceClass isa_ide_class = {
    .name = "isa-ide",
    .desc = "IDE channel on the ISA bus",
    .bus = "board",
    .size = sizeof(IsaIde),
    .vmstate = &isa_ide_vmstate,
    .realize = isa_ide_realize,
    .reset = isa_ide_reset,
};

void isa_ide_create(uint16_t command_port, uint16_t control_port, IrqLine *irq,
                    BlockBackend *const drives[2])
{
    IsaIde *s = (IsaIde *)device_new(&isa_ide_class, NULL, NULL);

    ide_channel_init(&s->channel, drives, command_port == 0x170, irq, NULL, NULL);
    memory_region_init_io(&s->command, "ide-command", 8, &command_ops, &s->channel);
    memory_region_init_io(&s->control, "ide-control", 1, &control_ops, &s->channel);
    ioport_add(&s->command, command_port);
    ioport_add(&s->control, control_port);
    device_realize_or_die(&s->dev);
}
