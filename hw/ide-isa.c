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
    memory_region_init_io(&s->command, "ide-command", 8, &ide_command_ops, &s->channel);
    memory_region_init_io(&s->control, "ide-control", 1, &ide_control_ops, &s->channel);
    ioport_add(&s->command, command_port);
    ioport_add(&s->control, control_port);
    device_realize_or_die(&s->dev);
}
