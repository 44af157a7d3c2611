/*
 * The PCI bus: configuration space, base address registers, interrupt pins; and the host's
 * configuration mechanism #1 (PCI Local Bus Specification 2.1).
 *
 * A PCI device's struct begins with a PciDevice. Its class's functions do, in this order:
 *     realize:   pci_device_attach(), pci_set_ids(), pci_register_bar() ...
 *     reset:     pci_device_reset()
 *     vmstate:   VMSTATE_STRUCT(pci, S, pci_device_vmstate)
 *     unrealize: pci_device_detach()
 * The board makes it with pci_device_new() and device_realize(); -device finds the first bus and a
 * free slot, or the one its `addr` property names.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_PCI_H
#define HW_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "hw/device.h"
#include "hw/memory.h"
#include "util/error.h"

typedef struct PciBus PciBus;
typedef struct PciDevice PciDevice;

/* Registers of the configuration header (PCI 2.1, section 6.1). */
#define PCI_VENDOR_ID           0x00
#define PCI_DEVICE_ID           0x02
#define PCI_COMMAND             0x04
#define PCI_COMMAND_IO          0x0001
#define PCI_COMMAND_MEMORY      0x0002
#define PCI_COMMAND_MASTER      0x0004
#define PCI_COMMAND_PARITY      0x0040
#define PCI_COMMAND_SERR        0x0100
#define PCI_COMMAND_INTX_OFF    0x0400
#define PCI_STATUS              0x06
#define PCI_STATUS_INTERRUPT    0x0008
#define PCI_STATUS_CAP_LIST     0x0010
#define PCI_STATUS_FAST_BACK    0x0080
#define PCI_STATUS_DEVSEL_MED   0x0200
#define PCI_STATUS_ERROR_BITS   0xf900 /* write 1 to clear */
#define PCI_REVISION_ID         0x08
#define PCI_CLASS_PROG          0x09
#define PCI_CLASS_DEVICE        0x0a
#define PCI_CACHE_LINE_SIZE     0x0c
#define PCI_LATENCY_TIMER       0x0d
#define PCI_HEADER_TYPE         0x0e
#define PCI_HEADER_MULTIFUNC    0x80
#define PCI_BAR0                0x10
#define PCI_SUBSYSTEM_VENDOR_ID 0x2c
#define PCI_SUBSYSTEM_ID        0x2e
#define PCI_ROM_ADDRESS         0x30
#define PCI_ROM_ENABLE          0x01
#define PCI_CAPABILITY_LIST     0x34
#define PCI_INTERRUPT_LINE      0x3c
#define PCI_INTERRUPT_PIN       0x3d

/* Low bits of a base address register, as pci_register_bar() takes them. */
#define PCI_BAR_MEMORY   0x00
#define PCI_BAR_IO       0x01
#define PCI_BAR_64BIT    0x04
#define PCI_BAR_PREFETCH 0x08

#define PCI_BARS         7 /* six and the expansion ROM's */
#define PCI_ROM_BAR      6
#define PCI_BAR_UNMAPPED (~(uint64_t)0)

#define PCI_DEVFN(slot, function) ((slot) << 3 | (function))
#define PCI_SLOT(devfn)           ((devfn) >> 3)
#define PCI_FUNCTION(devfn)       ((devfn)&7)
#define PCI_DEVFN_ANY             (-1)

typedef struct PciBar {
    MemoryRegion *region; /* NULL: no such register */
    uint8_t flags;
    uint64_t size; /* a power of two */
    uint64_t addr; /* where it is mapped now; PCI_BAR_UNMAPPED */
} PciBar;

struct PciDevice {
    Device dev;
    /* wiring */
    PciBus *bus;    /* NULL before attach: the first one */
    int devfn;      /* PCI_DEVFN_ANY before attach: a free slot */
    char *addr;     /* property: "slot[.function]" in hex */
    char *rom_file; /* property: the expansion ROM; NULL: the device's own, "": none */
    PciBar bars[PCI_BARS];
    MemoryRegion rom;
    uint8_t wmask[256];   /* bits the guest may write */
    uint8_t w1cmask[256]; /* bits the guest clears by writing 1 */
    uint8_t preset[256];  /* values after reset of everything in wmask and w1cmask */
    uint8_t cap_next;     /* where the next capability goes; 0: none so far */
    /*
     * After the guest wrote registers addr .. addr+size-1 (config holds the result). May be NULL.
     */
    void (*config_written)(PciDevice *d, unsigned addr, unsigned size);
    /* saved */
    uint8_t config[256];
    bool intx; /* level of the device's interrupt pin as it drives it: true is asserted */
};

extern const VMState pci_device_vmstate;

/* For the property table of every class that -device can make. */
#define PCI_PROPERTIES(S)                                                                          \
    PROPERTY("addr", PROP_STRING, S, pci.addr, NULL, "slot[.function] on the bus, hexadecimal"),   \
        PROPERTY("romfile", PROP_STRING, S, pci.rom_file, NULL, "expansion ROM; empty: none")

/* ---- devices ---- */
/* As device_new(), on a known bus. devfn may be PCI_DEVFN_ANY. */
PciDevice *pci_device_new(const DeviceClass *class, PciBus *bus, int devfn, const char *id);
/* Takes its place on the bus. Fails when there is no bus, or the slot is taken or out of range. */
bool pci_device_attach(PciDevice *d, Error **errp);
void pci_device_detach(PciDevice *d);
/* Writable registers to their preset values, BARs unmapped, interrupt pin released. */
void pci_device_reset(PciDevice *d);

/* class_code is base class, subclass, programming interface (0x010180). pin: 0 none, 1 INTA# .. 4
 * INTD#. */
void pci_set_ids(PciDevice *d, uint16_t vendor, uint16_t device, uint32_t class_code,
                 uint8_t revision, unsigned pin);
void pci_set_subsystem(PciDevice *d, uint16_t vendor, uint16_t id);
/*
 * Base address register n shows region, which stays the device's; the BAR's size is the region's
 * rounded up to a power of two. A 64-bit BAR takes n and n+1. The map follows the register and
 * PCI_COMMAND by itself.
 */
void pci_register_bar(PciDevice *d, unsigned n, uint8_t flags, MemoryRegion *region);
/* Loads `file` (found by loader_find_file()) as expansion ROM, unless the user's romfile says
 * another. */
bool pci_register_rom(PciDevice *d, const char *file, Error **errp);
/* Room for a capability of `size` bytes (zeroed but for its header, not writable); returns its
 * offset. */
uint8_t pci_add_capability(PciDevice *d, uint8_t cap_id, unsigned size);

static inline uint16_t pci_get_word(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}
static inline uint32_t pci_get_long(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline void pci_set_word(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static inline void pci_set_long(uint8_t *p, uint32_t v)
{
    pci_set_word(p, (uint16_t)v);
    pci_set_word(p + 2, (uint16_t)(v >> 16));
}

/* Drives the device's interrupt pin. */
void pci_set_irq(PciDevice *d, bool level);
/* DMA as a bus master: false, and nothing moved, while the guest has not enabled bus mastering. */
bool pci_dma_read(PciDevice *d, hwaddr addr, void *buf, uint64_t size);
bool pci_dma_write(PciDevice *d, hwaddr addr, const void *buf, uint64_t size);

/* The guest's accesses: addr + size <= 256. */
uint32_t pci_config_read(PciDevice *d, unsigned addr, unsigned size);
void pci_config_write(PciDevice *d, unsigned addr, uint32_t value, unsigned size);

/* ---- buses ---- */
typedef struct PciBusOps {
    /* Which of the router's inputs (0..3) the device's pin (0 = INTA#) is wired to. */
    unsigned (*map_irq)(void *opaque, int devfn, unsigned pin);
    /* An input's level, the wired OR of all devices on it. */
    void (*set_irq)(void *opaque, unsigned input, bool level);
} PciBusOps;

#define PCI_ROUTER_INPUTS 4

extern const DeviceClass pci_bus_class;
/*
 * One bus with its configuration mechanism at ports 0xCF8 and 0xCFC. mem holds the memory BARs, I/O
 * BARs go into the port map.
 */
PciBus *pci_bus_new(MemoryRegion *mem);
/* The memory of the bus, for what is decoded at fixed addresses (VGA's window). */
MemoryRegion *pci_bus_memory(PciBus *bus);
/* The router comes after the bus, since it is a device there. */
void pci_bus_set_router(PciBus *bus, const PciBusOps *ops, void *opaque);
/*
 * Byte accesses to port 0xCF9, which lies inside the address register: the reset control register.
 */
typedef struct PciResetControlOps {
    uint8_t (*read)(void *opaque);
    void (*write)(void *opaque, uint8_t value);
} PciResetControlOps;
void pci_bus_set_reset_control(PciBus *bus, const PciResetControlOps *ops, void *opaque);
/* The first bus made; NULL: a machine without PCI. */
PciBus *pci_bus_first(void);
PciDevice *pci_bus_device(PciBus *bus, int devfn);
/* In order of devfn. */
void pci_each_device(PciBus *bus, void (*fn)(PciDevice *d, void *opaque), void *opaque);
/* What `info pci` prints; the string is the caller's. */
char *pci_info_text(void);

#endif
