/*
 * The standard VGA on PCI: vendor 1234, device 1111. BAR 0 is the linear frame buffer, BAR 2 shows
 * the VGA's ports and the display interface as memory; the legacy window and ports are always
 * decoded.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/pci.h"
#include "hw/vga-int.h"
#include "hw/vga.h"

#define VGA_VENDOR_ID 0x1234
#define VGA_DEVICE_ID 0x1111
#define VGA_CLASS     0x030000
#define VGA_ROM       "vgabios-stdvga.bin"

/* BAR 2 (standard VGA specification). The blocks between read as zero: no EDID, no endianness
 * switch. */
#define MMIO_SIZE   0x1000
#define MMIO_PORTS  0x400 /* port 3C0 and up */
#define MMIO_DISPI  0x500 /* register n at 2n */
#define PORTS_SHOWN 0x20

typedef struct VgaPci {
    PciDevice pci;
    Vga vga;
    MemoryRegion mmio;
} VgaPci;

static uint64_t mmio_read(void *opaque, hwaddr addr, unsigned size)
{
    VgaPci *s = opaque;

    if (addr >= MMIO_PORTS && addr < MMIO_PORTS + PORTS_SHOWN) {
        unsigned port = VGA_IO_BASE + (unsigned)(addr - MMIO_PORTS);
        uint8_t v = vga_port_read(&s->vga, port);
        return size == 2 ? v | (unsigned)vga_port_read(&s->vga, port + 1) << 8 : v;
    }
    if (addr >= MMIO_DISPI && addr < MMIO_DISPI + DISPI_REGS * 2) {
        uint16_t v = vga_dispi_read(&s->vga, (unsigned)(addr - MMIO_DISPI) / 2);
        return addr & 1 ? v >> 8 : v;
    }
    return 0;
}

static void mmio_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    VgaPci *s = opaque;

    if (addr >= MMIO_PORTS && addr < MMIO_PORTS + PORTS_SHOWN) {
        unsigned port = VGA_IO_BASE + (unsigned)(addr - MMIO_PORTS);
        vga_port_write(&s->vga, port, (uint8_t)value);
        if (size == 2) {
            vga_port_write(&s->vga, port + 1, (uint8_t)(value >> 8));
        }
    } else if (addr >= MMIO_DISPI && addr < MMIO_DISPI + DISPI_REGS * 2 && size == 2) {
        vga_dispi_write(&s->vga, (unsigned)(addr - MMIO_DISPI) / 2, (uint16_t)value);
    }
}

static const MemoryOps mmio_ops = {
    .read = mmio_read,
    .write = mmio_write,
    .min_size = 1,
    .max_size = 2,
};

static void vga_pci_reset(Device *dev)
{
    VgaPci *s = (VgaPci *)dev;

    pci_device_reset(&s->pci);
    vga_reset(&s->vga);
}

static const VMStateField vga_pci_fields[] = {
    VMSTATE_STRUCT(pci, VgaPci, pci_device_vmstate),
    VMSTATE_STRUCT(vga, VgaPci, vga_vmstate),
    VMSTATE_END,
};

static const VMState vga_pci_vmstate = {"vga-pci", .version = 1, .fields = vga_pci_fields};

static bool vga_pci_realize(Device *dev, Error **errp)
{
    VgaPci *s = (VgaPci *)dev;

    if (!vga_init(&s->vga, errp)) {
        return false;
    }
    if (!pci_device_attach(&s->pci, errp)) {
        vga_exit(&s->vga);
        return false;
    }
    pci_set_ids(&s->pci, VGA_VENDOR_ID, VGA_DEVICE_ID, VGA_CLASS, 0, 0);
    memory_region_init_io(&s->mmio, "vga.mmio", MMIO_SIZE, &mmio_ops, s);
    pci_register_bar(&s->pci, 0, PCI_BAR_MEMORY | PCI_BAR_PREFETCH, &s->vga.vram);
    pci_register_bar(&s->pci, 2, PCI_BAR_MEMORY, &s->mmio);
    if (!pci_register_rom(&s->pci, VGA_ROM, errp)) {
        pci_device_detach(&s->pci);
        vga_exit(&s->vga);
        return false;
    }
    vga_map_legacy(&s->vga, pci_bus_memory(s->pci.bus));
    return true;
}

static const Property vga_pci_props[] = {
    PCI_PROPERTIES(VgaPci),
    VGA_PROPERTIES(VgaPci),
    PROPERTY_END,
};

const DeviceClass vga_pci_class = {
    .name = "VGA",
    .desc = "standard VGA with the Bochs display interface",
    .bus = "pci",
    .user_creatable = true,
    .size = sizeof(VgaPci),
    .props = vga_pci_props,
    .vmstate = &vga_pci_vmstate,
    .realize = vga_pci_realize,
    .reset = vga_pci_reset,
};

Device *vga_pci_create(PciBus *bus, int devfn)
{
    PciDevice *d = pci_device_new(&vga_pci_class, bus, devfn, "vga");

    device_realize_or_die(&d->dev);
    return &d->dev;
}
