/*
 * The PCI bus with configuration mechanism #1.
 *
 * PCI Local Bus Specification 2.1: section 3.7.4.1 (mechanism), chapter 6 (configuration space),
 * and 2.3 for the interrupt bits in command and status. One bus without bridges to others; no
 * parity, no latency.
 *
 * Saved state never drives lines: a device's pin, the router's inputs and the interrupt
 * controllers' are each saved by their owner.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/pci.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hw/loader.h"
#include "util/buffer.h"
#include "util/log.h"

#define PORT_ADDRESS 0xcf8
#define PORT_DATA    0xcfc

#define ADDRESS_ENABLE   0x80000000u
#define ADDRESS_BUS(a)   ((a) >> 16 & 0xff)
#define ADDRESS_DEVFN(a) ((a) >> 8 & 0xff)
#define ADDRESS_REG(a)   ((a)&0xfc)
#define RESET_CONTROL    1 /* offset from PORT_ADDRESS */

#define CAPABILITIES_START 0x40
#define CONFIG_SIZE        256
#define DEVFNS             256
#define FIRST_FREE_SLOT    3 /* what the board puts itself comes before */
#define MAX_ROM_SIZE       (16u << 20)
/* Chips of the board at fixed ports win over what the guest maps on top of them. */
#define IO_BAR_PRIORITY  (-1)
#define MEM_BAR_PRIORITY 1

struct PciBus {
    Device dev;
    /* wiring */
    MemoryRegion address_io, data_io;
    MemoryRegion *mem;
    PciDevice *devices[DEVFNS];
    const PciBusOps *router;
    void *router_opaque;
    const PciResetControlOps *reset_control;
    void *reset_control_opaque;
    /* saved */
    uint32_t config_address;
};

static PciBus *first_bus;

/* ---- base address registers ---- */

static unsigned bar_offset(unsigned n)
{
    return n == PCI_ROM_BAR ? PCI_ROM_ADDRESS : PCI_BAR0 + 4 * n;
}

/* Where the registers say that BAR n is; PCI_BAR_UNMAPPED. */
static uint64_t bar_decoded(const PciDevice *d, unsigned n)
{
    const PciBar *bar = &d->bars[n];
    const uint8_t *reg = &d->config[bar_offset(n)];
    uint16_t command = pci_get_word(&d->config[PCI_COMMAND]);
    uint64_t addr = pci_get_long(reg), limit = UINT32_MAX;

    if (!(command & (bar->flags & PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)) ||
        (n == PCI_ROM_BAR && !(addr & PCI_ROM_ENABLE))) {
        return PCI_BAR_UNMAPPED;
    }
    if (bar->flags & PCI_BAR_IO) {
        limit = 0xffff;
    } else if (bar->flags & PCI_BAR_64BIT) {
        addr |= (uint64_t)pci_get_long(reg + 4) << 32;
        limit = (UINT64_C(1) << 52) - 1;
    }
    addr &= ~(bar->size - 1);
    /* The last place is what a guest leaves there while it asks for the size. */
    if (addr == 0 || addr > limit || limit - addr <= bar->size - 1) {
        return PCI_BAR_UNMAPPED;
    }
    return addr;
}

static void map_bar(PciDevice *d, unsigned n, uint64_t addr)
{
    PciBar *bar = &d->bars[n];

    if (addr == bar->addr) {
        return;
    }
    if (bar->addr != PCI_BAR_UNMAPPED) {
        memory_region_remove(bar->region);
    }
    if (addr != PCI_BAR_UNMAPPED) {
        bool io = bar->flags & PCI_BAR_IO;
        memory_region_add(io ? memory_io_as.root : d->bus->mem, addr, bar->region,
                          io ? IO_BAR_PRIORITY : MEM_BAR_PRIORITY);
    }
    bar->addr = addr;
}

static void update_bars(PciDevice *d)
{
    memory_transaction_begin();
    for (unsigned n = 0; n < PCI_BARS; n++) {
        if (d->bars[n].region) {
            map_bar(d, n, bar_decoded(d, n));
        }
    }
    memory_transaction_commit();
}

static void unmap_bars(PciDevice *d)
{
    memory_transaction_begin();
    for (unsigned n = 0; n < PCI_BARS; n++) {
        if (d->bars[n].region) {
            map_bar(d, n, PCI_BAR_UNMAPPED);
        }
    }
    memory_transaction_commit();
}

void pci_register_bar(PciDevice *d, unsigned n, uint8_t flags, MemoryRegion *region)
{
    PciBar *bar = &d->bars[n];
    uint8_t *wmask = &d->wmask[bar_offset(n)];
    uint64_t size = flags & PCI_BAR_IO ? 4 : n == PCI_ROM_BAR ? 2048 : 16;

    while (size < region->size) {
        size <<= 1;
    }
    bar->region = region;
    bar->flags = flags;
    bar->size = size;
    bar->addr = PCI_BAR_UNMAPPED;
    pci_set_long(wmask, (uint32_t) ~(size - 1) | (n == PCI_ROM_BAR ? PCI_ROM_ENABLE : 0));
    if (n != PCI_ROM_BAR) {
        d->config[bar_offset(n)] = d->preset[bar_offset(n)] = flags;
    }
    if (flags & PCI_BAR_64BIT) {
        pci_set_long(wmask + 4, (uint32_t)(~(size - 1) >> 32));
    }
}

bool pci_register_rom(PciDevice *d, const char *file, Error **errp)
{
    const char *name = d->rom_file ? d->rom_file : file;
    char *path;
    uint8_t *data;
    size_t size;
    uint64_t rom_size = 2048;

    if (!*name) {
        return true;
    }
    path = loader_find_file(name, errp);
    if (!path) {
        error_prepend(errp, "%s: expansion ROM: ", d->dev.class->name);
        return false;
    }
    data = loader_read_file(path, MAX_ROM_SIZE, &size, errp);
    free(path);
    if (!data) {
        return false;
    }
    while (rom_size < size) {
        rom_size <<= 1;
    }
    if (!memory_region_init_rom(&d->rom, name, rom_size, errp)) {
        free(data);
        return false;
    }
    memcpy(d->rom.host, data, size);
    free(data);
    pci_register_bar(d, PCI_ROM_BAR, PCI_BAR_MEMORY, &d->rom);
    return true;
}

/* ---- interrupts ---- */

static bool pin_asserted(const PciDevice *d)
{
    return d->intx && !(pci_get_word(&d->config[PCI_COMMAND]) & PCI_COMMAND_INTX_OFF);
}

static unsigned router_input(const PciBus *bus, const PciDevice *d)
{
    unsigned pin = d->config[PCI_INTERRUPT_PIN] - 1u;
    return bus->router->map_irq(bus->router_opaque, d->devfn, pin & 3) % PCI_ROUTER_INPUTS;
}

/* Drives the router's input that d shares with others. */
static void update_irq(PciDevice *d)
{
    PciBus *bus = d->bus;
    bool level = false;
    unsigned input;

    if (!bus->router || !d->config[PCI_INTERRUPT_PIN]) {
        return;
    }
    input = router_input(bus, d);
    for (unsigned i = 0; i < DEVFNS && !level; i++) {
        const PciDevice *other = bus->devices[i];
        level = other && other->config[PCI_INTERRUPT_PIN] && pin_asserted(other) &&
                router_input(bus, other) == input;
    }
    bus->router->set_irq(bus->router_opaque, input, level);
}

void pci_set_irq(PciDevice *d, bool level)
{
    if (d->intx == level) {
        return;
    }
    d->intx = level;
    d->config[PCI_STATUS] = (uint8_t)((d->config[PCI_STATUS] & ~PCI_STATUS_INTERRUPT) |
                                      (level ? PCI_STATUS_INTERRUPT : 0));
    update_irq(d);
}

/* ---- DMA ---- */

static bool is_master(const PciDevice *d)
{
    return d->config[PCI_COMMAND] & PCI_COMMAND_MASTER;
}

bool pci_dma_read(PciDevice *d, hwaddr addr, void *buf, uint64_t size)
{
    return is_master(d) && dma_read(addr, buf, size);
}

bool pci_dma_write(PciDevice *d, hwaddr addr, const void *buf, uint64_t size)
{
    return is_master(d) && dma_write(addr, buf, size);
}

/* ---- configuration space ---- */

static bool overlaps(unsigned addr, unsigned size, unsigned reg, unsigned reg_size)
{
    return addr < reg + reg_size && reg < addr + size;
}

uint32_t pci_config_read(PciDevice *d, unsigned addr, unsigned size)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        value |= (uint32_t)d->config[(addr + i) % CONFIG_SIZE] << 8 * i;
    }
    return value;
}

void pci_config_write(PciDevice *d, unsigned addr, uint32_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        unsigned reg = (addr + i) % CONFIG_SIZE;
        uint8_t byte = (uint8_t)(value >> 8 * i), wmask = d->wmask[reg];
        d->config[reg] = (uint8_t)((d->config[reg] & ~wmask) | (byte & wmask));
        d->config[reg] &= (uint8_t) ~(byte & d->w1cmask[reg]);
    }
    if (overlaps(addr, size, PCI_COMMAND, 2) || overlaps(addr, size, PCI_BAR0, 24) ||
        overlaps(addr, size, PCI_ROM_ADDRESS, 4)) {
        update_bars(d);
    }
    if (overlaps(addr, size, PCI_COMMAND, 2)) {
        update_irq(d);
    }
    if (d->config_written) {
        d->config_written(d, addr, size);
    }
}

void pci_set_ids(PciDevice *d, uint16_t vendor, uint16_t device, uint32_t class_code,
                 uint8_t revision, unsigned pin)
{
    pci_set_word(&d->config[PCI_VENDOR_ID], vendor);
    pci_set_word(&d->config[PCI_DEVICE_ID], device);
    d->config[PCI_REVISION_ID] = revision;
    d->config[PCI_CLASS_PROG] = (uint8_t)class_code;
    pci_set_word(&d->config[PCI_CLASS_DEVICE], (uint16_t)(class_code >> 8));
    d->config[PCI_INTERRUPT_PIN] = (uint8_t)pin;
    memcpy(d->preset, d->config, 4);

    pci_set_word(&d->wmask[PCI_COMMAND], PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
                                             PCI_COMMAND_PARITY | PCI_COMMAND_SERR |
                                             PCI_COMMAND_INTX_OFF);
    pci_set_word(&d->w1cmask[PCI_STATUS], PCI_STATUS_ERROR_BITS);
    d->wmask[PCI_CACHE_LINE_SIZE] = 0xff;
    d->wmask[PCI_LATENCY_TIMER] = 0xff;
    d->wmask[PCI_INTERRUPT_LINE] = 0xff;
}

void pci_set_subsystem(PciDevice *d, uint16_t vendor, uint16_t id)
{
    pci_set_word(&d->config[PCI_SUBSYSTEM_VENDOR_ID], vendor);
    pci_set_word(&d->config[PCI_SUBSYSTEM_ID], id);
}

uint8_t pci_add_capability(PciDevice *d, uint8_t cap_id, unsigned size)
{
    uint8_t offset = d->cap_next ? d->cap_next : CAPABILITIES_START;

    d->config[offset] = cap_id;
    d->config[offset + 1] = d->config[PCI_CAPABILITY_LIST];
    d->config[PCI_CAPABILITY_LIST] = offset;
    d->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
    d->cap_next = (uint8_t)((offset + size + 3) & ~3u);
    return offset;
}

void pci_device_reset(PciDevice *d)
{
    for (unsigned i = 0; i < CONFIG_SIZE; i++) {
        uint8_t changing = d->wmask[i] | d->w1cmask[i];
        d->config[i] = (uint8_t)((d->config[i] & ~changing) | (d->preset[i] & changing));
    }
    if (d->bus) {
        update_bars(d);
        pci_set_irq(d, false);
    }
}

/* ---- attaching ---- */

static bool parse_addr(PciDevice *d, Error **errp)
{
    char *end;
    unsigned long slot, function = 0;

    if (!d->addr) {
        d->devfn = PCI_DEVFN_ANY;
        return true;
    }
    slot = strtoul(d->addr, &end, 16);
    if (end != d->addr && *end == '.') {
        const char *start = end + 1;
        function = strtoul(start, &end, 16);
        end = end == start ? d->addr : end;
    }
    if (end == d->addr || *end || slot > 31 || function > 7) {
        error_set(errp, "%s: addr '%s' is not SLOT or SLOT.FUNCTION in hexadecimal (0-1f, 0-7)",
                  d->dev.class->name, d->addr);
        return false;
    }
    d->devfn = (int)PCI_DEVFN(slot, function);
    return true;
}

static bool slot_free(const PciBus *bus, unsigned slot)
{
    for (unsigned f = 0; f < 8; f++) {
        if (bus->devices[PCI_DEVFN(slot, f)]) {
            return false;
        }
    }
    return true;
}

static bool choose_devfn(PciDevice *d, Error **errp)
{
    if (d->devfn == PCI_DEVFN_ANY) {
        unsigned slot = FIRST_FREE_SLOT;
        while (slot < 32 && !slot_free(d->bus, slot)) {
            slot++;
        }
        if (slot == 32) {
            error_set(errp, "%s: the PCI bus is full", d->dev.class->name);
            return false;
        }
        d->devfn = (int)PCI_DEVFN(slot, 0);
    } else if (d->bus->devices[d->devfn]) {
        error_set(errp, "%s: PCI slot %x.%x is taken by %s", d->dev.class->name,
                  PCI_SLOT((unsigned)d->devfn), PCI_FUNCTION((unsigned)d->devfn),
                  d->bus->devices[d->devfn]->dev.id);
        return false;
    }
    return true;
}

/* Every function of a slot with more than one says so. */
static void mark_multifunction(PciBus *bus, unsigned slot)
{
    unsigned count = 0;

    for (unsigned f = 0; f < 8; f++) {
        count += bus->devices[PCI_DEVFN(slot, f)] != NULL;
    }
    for (unsigned f = 0; f < 8 && count > 1; f++) {
        PciDevice *d = bus->devices[PCI_DEVFN(slot, f)];
        if (d) {
            d->config[PCI_HEADER_TYPE] |= PCI_HEADER_MULTIFUNC;
        }
    }
}

bool pci_device_attach(PciDevice *d, Error **errp)
{
    if (!d->bus) {
        if (!first_bus) {
            error_set(errp, "%s: this machine has no PCI bus; -M pc has one", d->dev.class->name);
            return false;
        }
        d->bus = first_bus;
        if (!parse_addr(d, errp)) {
            return false;
        }
    }
    if (!choose_devfn(d, errp)) {
        return false;
    }
    d->bus->devices[d->devfn] = d;
    for (unsigned n = 0; n < PCI_BARS; n++) {
        d->bars[n].addr = PCI_BAR_UNMAPPED;
    }
    mark_multifunction(d->bus, PCI_SLOT((unsigned)d->devfn));
    return true;
}

void pci_device_detach(PciDevice *d)
{
    if (d->bus && d->bus->devices[d->devfn] == d) {
        pci_set_irq(d, false);
        unmap_bars(d);
        d->bus->devices[d->devfn] = NULL;
    }
}

PciDevice *pci_device_new(const DeviceClass *class, PciBus *bus, int devfn, const char *id)
{
    PciDevice *d = (PciDevice *)device_new(class, &bus->dev, id);

    d->bus = bus;
    d->devfn = devfn;
    return d;
}

static const VMStateField pci_device_fields[] = {
    VMSTATE_U8_ARRAY(config, PciDevice),
    VMSTATE_BOOL(intx, PciDevice),
    VMSTATE_END,
};

static bool pci_device_post_load(void *opaque, int version, Error **errp)
{
    PciDevice *d = opaque;

    if (memcmp(d->config, d->preset, 4) != 0) {
        error_set(errp, "%s: the saved state is of PCI device %04x:%04x", d->dev.class->name,
                  pci_get_word(&d->config[PCI_VENDOR_ID]), pci_get_word(&d->config[PCI_DEVICE_ID]));
        memcpy(d->config, d->preset, 4);
        return false;
    }
    update_bars(d);
    return true;
}

const VMState pci_device_vmstate = {
    .name = "pci-device",
    .version = 1,
    .fields = pci_device_fields,
    .post_load = pci_device_post_load,
};

/* ---- the bus: guest side ---- */

static uint64_t address_read(void *opaque, hwaddr addr, unsigned size)
{
    PciBus *bus = opaque;

    if (addr == 0 && size == 4) {
        return bus->config_address;
    }
    if (addr == RESET_CONTROL && size == 1 && bus->reset_control) {
        return bus->reset_control->read(bus->reset_control_opaque);
    }
    return UINT32_MAX; /* narrower accesses are not the mechanism's and go to the bus, where nobody
                          is */
}

static void address_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    PciBus *bus = opaque;

    if (addr == 0 && size == 4) {
        bus->config_address = (uint32_t)value & 0x80fffffc;
    } else if (addr == RESET_CONTROL && size == 1 && bus->reset_control) {
        bus->reset_control->write(bus->reset_control_opaque, (uint8_t)value);
    }
}

static const MemoryOps address_ops = {
    .read = address_read,
    .write = address_write,
    .max_size = 4,
};

/* The device that the address register points at, or NULL. */
static PciDevice *addressed(const PciBus *bus)
{
    if (!(bus->config_address & ADDRESS_ENABLE) || ADDRESS_BUS(bus->config_address) != 0) {
        return NULL;
    }
    return bus->devices[ADDRESS_DEVFN(bus->config_address)];
}

static uint64_t data_read(void *opaque, hwaddr addr, unsigned size)
{
    PciBus *bus = opaque;
    PciDevice *d = addressed(bus);

    if (!d) {
        return UINT32_MAX;
    }
    return pci_config_read(d, ADDRESS_REG(bus->config_address) + (unsigned)addr, size);
}

static void data_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    PciBus *bus = opaque;
    PciDevice *d = addressed(bus);

    if (d) {
        pci_config_write(d, ADDRESS_REG(bus->config_address) + (unsigned)addr, (uint32_t)value,
                         size);
    }
}

static const MemoryOps data_ops = {
    .read = data_read,
    .write = data_write,
    .max_size = 4,
};

/* ---- the bus: host side ---- */

void pci_bus_set_router(PciBus *bus, const PciBusOps *ops, void *opaque)
{
    bus->router = ops;
    bus->router_opaque = opaque;
}

void pci_bus_set_reset_control(PciBus *bus, const PciResetControlOps *ops, void *opaque)
{
    bus->reset_control = ops;
    bus->reset_control_opaque = opaque;
}

MemoryRegion *pci_bus_memory(PciBus *bus)
{
    return bus->mem;
}

PciBus *pci_bus_first(void)
{
    return first_bus;
}

PciDevice *pci_bus_device(PciBus *bus, int devfn)
{
    return devfn >= 0 && devfn < DEVFNS ? bus->devices[devfn] : NULL;
}

void pci_each_device(PciBus *bus, void (*fn)(PciDevice *d, void *opaque), void *opaque)
{
    for (unsigned i = 0; i < DEVFNS; i++) {
        if (bus->devices[i]) {
            fn(bus->devices[i], opaque);
        }
    }
}

/* ---- info pci ---- */

static const struct {
    uint16_t class;
    const char *name;
} class_names[] = {
    {0x0100, "SCSI controller"},   {0x0101, "IDE controller"},
    {0x0106, "SATA controller"},   {0x0200, "Ethernet controller"},
    {0x0300, "VGA controller"},    {0x0380, "Display controller"},
    {0x0401, "Audio controller"},  {0x0500, "RAM controller"},
    {0x0600, "Host bridge"},       {0x0601, "ISA bridge"},
    {0x0604, "PCI bridge"},        {0x0680, "Bridge"},
    {0x0700, "Serial controller"}, {0x0780, "Communication controller"},
    {0x0c03, "USB controller"},    {0x0c05, "SMBus controller"},
};

static const char *class_name(uint16_t class)
{
    for (size_t i = 0; i < sizeof(class_names) / sizeof(class_names[0]); i++) {
        if (class_names[i].class == class) {
            return class_names[i].name;
        }
    }
    return "Device";
}

static void describe_bar(Buffer *out, const PciDevice *d, unsigned n)
{
    const PciBar *bar = &d->bars[n];
    const char *kind = bar->flags & PCI_BAR_IO      ? "I/O"
                       : bar->flags & PCI_BAR_64BIT ? "64 bit memory"
                                                    : "32 bit memory";

    buffer_printf(
        out, "      %s%c: %s%s ", n == PCI_ROM_BAR ? "RO" : "BAR",
        n == PCI_ROM_BAR ? 'M' : '0' + (int)n,
        bar->flags & PCI_BAR_PREFETCH && !(bar->flags & PCI_BAR_IO) ? "prefetchable " : "", kind);
    if (bar->addr == PCI_BAR_UNMAPPED) {
        buffer_printf(out, "not mapped [size 0x%llx]\n", (unsigned long long)bar->size);
    } else {
        buffer_printf(out, "at 0x%llx [0x%llx]\n", (unsigned long long)bar->addr,
                      (unsigned long long)(bar->addr + bar->size - 1));
    }
}

static void describe_device(PciDevice *d, void *opaque)
{
    Buffer *out = opaque;
    unsigned devfn = (unsigned)d->devfn;

    buffer_printf(out, "  Bus  0, device %3u, function %u:\n", PCI_SLOT(devfn),
                  PCI_FUNCTION(devfn));
    buffer_printf(out, "    %s: PCI device %04x:%04x\n",
                  class_name(pci_get_word(&d->config[PCI_CLASS_DEVICE])),
                  pci_get_word(&d->config[PCI_VENDOR_ID]), pci_get_word(&d->config[PCI_DEVICE_ID]));
    if (d->config[PCI_INTERRUPT_PIN]) {
        buffer_printf(out, "      IRQ %u, pin %c\n", d->config[PCI_INTERRUPT_LINE],
                      '@' + d->config[PCI_INTERRUPT_PIN]);
    }
    for (unsigned n = 0; n < PCI_BARS; n++) {
        if (d->bars[n].region) {
            describe_bar(out, d, n);
        }
    }
    buffer_printf(out, "      id \"%s\"\n", d->dev.id);
}

char *pci_info_text(void)
{
    Buffer out = {0};

    if (first_bus) {
        pci_each_device(first_bus, describe_device, &out);
    } else {
        buffer_printf(&out, "This machine has no PCI bus.\n");
    }
    buffer_put_u8(&out, 0);
    return (char *)out.data;
}

/* ---- reset, state, creation ---- */

static void pci_bus_reset(Device *dev)
{
    ((PciBus *)dev)->config_address = 0;
}

static const VMStateField pci_bus_fields[] = {
    VMSTATE_U32(config_address, PciBus),
    VMSTATE_END,
};

static const VMState pci_bus_vmstate = {.name = "pci-bus", .version = 1, .fields = pci_bus_fields};

static bool pci_bus_realize(Device *dev, Error **errp)
{
    PciBus *bus = (PciBus *)dev;

    memory_region_init_io(&bus->address_io, "pci-config-address", 4, &address_ops, bus);
    ioport_add(&bus->address_io, PORT_ADDRESS);
    memory_region_init_io(&bus->data_io, "pci-config-data", 4, &data_ops, bus);
    ioport_add(&bus->data_io, PORT_DATA);
    return true;
}

const DeviceClass pci_bus_class = {
    .name = "pci-bus",
    .desc = "PCI bus with configuration mechanism #1",
    .bus = "board",
    .size = sizeof(PciBus),
    .vmstate = &pci_bus_vmstate,
    .realize = pci_bus_realize,
    .reset = pci_bus_reset,
};

PciBus *pci_bus_new(MemoryRegion *mem)
{
    PciBus *bus = (PciBus *)device_new(&pci_bus_class, NULL, "pci.0");

    bus->mem = mem;
    device_realize_or_die(&bus->dev);
    if (!first_bus) {
        first_bus = bus;
    }
    return bus;
}
