/*
 * The standard VGA on a machine without PCI. The linear frame buffer stands at the address that the
 * Bochs display interface gives it there.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>

#include "hw/loader.h"
#include "hw/vga-int.h"
#include "hw/vga.h"

#define LFB_BASE    0xe0000000
#define VGA_ROM     "vgabios-isavga.bin"
#define VGA_ROM_MAX 0x10000

typedef struct VgaIsa {
    Device dev;
    Vga vga;
} VgaIsa;

static void vga_isa_reset(Device *dev)
{
    vga_reset(&((VgaIsa *)dev)->vga);
}

static const VMStateField vga_isa_fields[] = {
    VMSTATE_STRUCT(vga, VgaIsa, vga_vmstate),
    VMSTATE_END,
};

static const VMState vga_isa_vmstate = {"vga-isa", .version = 1, .fields = vga_isa_fields};

static bool vga_isa_realize(Device *dev, Error **errp)
{
    VgaIsa *s = (VgaIsa *)dev;

    if (!vga_init(&s->vga, errp)) {
        return false;
    }
    memory_transaction_begin();
    memory_region_add(memory_as.root, LFB_BASE, &s->vga.vram, 1);
    vga_map_legacy(&s->vga, memory_as.root);
    memory_transaction_commit();
    return true;
}

static const Property vga_isa_props[] = {
    VGA_PROPERTIES(VgaIsa),
    PROPERTY_END,
};

const DeviceClass vga_isa_class = {
    .name = "isa-vga",
    .desc = "standard VGA on the ISA bus",
    .bus = "isa",
    .size = sizeof(VgaIsa),
    .props = vga_isa_props,
    .vmstate = &vga_isa_vmstate,
    .realize = vga_isa_realize,
    .reset = vga_isa_reset,
};

Device *vga_isa_create(FwCfg *fw, Error **errp)
{
    Device *dev;
    size_t size;
    char *path = loader_find_file(VGA_ROM, errp);
    uint8_t *rom = path ? loader_read_file(path, VGA_ROM_MAX, &size, errp) : NULL;

    free(path);
    if (!rom) {
        return NULL;
    }
    dev = device_new(&vga_isa_class, NULL, "vga");
    if (!device_realize(dev, errp)) {
        free(rom);
        return NULL;
    }
    fw_cfg_add_file(fw, "vgaroms/" VGA_ROM, rom, (uint32_t)size);
    return dev;
}
