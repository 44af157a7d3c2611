/*
 * Intel 82441FX host bridge, the north half of the 440FX.
 *
 * Data sheet: 290549. Modelled are the registers that decide what a physical address reaches: PAM
 * (0xC0000-0xFFFFF) and SMRAM (0xA0000-0xBFFFF). The DRAM's rows, timings and error logic keep what
 * is written to them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/i440fx.h"

#define REG_PMCCFG  0x50 /* 2 bytes */
#define REG_DETURBO 0x52
#define REG_DBC     0x53
#define REG_DRAMC   0x57
#define REG_DRAMT   0x58
#define REG_PAM     0x59 /* 7 bytes */
#define REG_DRB     0x60 /* 8 bytes */
#define REG_FDHC    0x68
#define REG_MTT     0x70
#define REG_CLT     0x71
#define REG_SMRAM   0x72
#define REG_ERRCMD  0x90

/* A nibble of a PAM register. */
#define PAM_READ  0x1 /* reads go to RAM, else to PCI */
#define PAM_WRITE 0x2

#define SMRAM_C_BASE_SEG 0x02 /* fixed: 0xA0000 */
#define SMRAM_G_SMRAME   0x08
#define SMRAM_D_LCK      0x10
#define SMRAM_D_CLS      0x20
#define SMRAM_D_OPEN     0x40

#define SMRAM_BASE 0xa0000
#define SMRAM_SIZE 0x20000

/*
 * PAM0's upper nibble is the BIOS' 64 KB, the nibbles of PAM1 to PAM6 are 16 KB each from 0xC0000.
 */
#define SEGMENTS       13
#define SEGMENT_BIOS   12
#define PRIORITY_SHOWN 1 /* in front of RAM */

typedef struct I440fx I440fx;

/* One of the 13 ranges; at most one of its regions is enabled, none when all is RAM. */
typedef struct PamSegment {
    I440fx *bridge;
    hwaddr base;
    MemoryRegion pci;       /* everything goes to PCI */
    MemoryRegion ram_read;  /* reads from RAM; writes would reach ROM, and are lost */
    MemoryRegion ram_write; /* reads from PCI, writes into RAM: how a BIOS copies itself */
} PamSegment;

struct I440fx {
    PciDevice pci;
    /* wiring */
    AddressSpace ram_as, pci_as; /* RAM and PCI alone, for PamSegment.ram_write */
    PamSegment segments[SEGMENTS];
    MemoryRegion smram_closed;       /* in memory_as: PCI in front of SMRAM */
    MemoryRegion smm_all, smm_smram; /* memory_smm_as: everything, and SMRAM in front of it */
    MemoryRegion smm_parted;         /* in front of both: D_CLS, only code sees SMRAM */
    MemoryRegion *ram, *pci_mem;
};

static unsigned segment_attributes(const I440fx *s, unsigned n)
{
    if (n == SEGMENT_BIOS) {
        return s->pci.config[REG_PAM] >> 4 & 3;
    }
    return s->pci.config[REG_PAM + 1 + n / 2] >> (n & 1 ? 4 : 0) & 3;
}

/* Brings the memory map in line with the registers. */
static void update_memory(I440fx *s)
{
    uint8_t smram = s->pci.config[REG_SMRAM];
    bool enabled = smram & SMRAM_G_SMRAME;

    memory_transaction_begin();
    for (unsigned n = 0; n < SEGMENTS; n++) {
        unsigned attributes = segment_attributes(s, n);
        memory_region_set_enabled(&s->segments[n].pci, attributes == 0);
        memory_region_set_enabled(&s->segments[n].ram_read, attributes == PAM_READ);
        memory_region_set_enabled(&s->segments[n].ram_write, attributes == PAM_WRITE);
    }
    memory_region_set_enabled(&s->smram_closed, !(enabled && (smram & SMRAM_D_OPEN)));
    memory_region_set_enabled(&s->smm_smram, enabled);
    memory_region_set_enabled(&s->smm_parted, enabled && (smram & SMRAM_D_CLS));
    memory_transaction_commit();

    /* D_LCK makes the register read-only until reset. */
    s->pci.wmask[REG_SMRAM] =
        smram & SMRAM_D_LCK ? 0 : SMRAM_G_SMRAME | SMRAM_D_LCK | SMRAM_D_CLS | SMRAM_D_OPEN;
}

/* ---- guest side ---- */

static void config_written(PciDevice *d, unsigned addr, unsigned size)
{
    I440fx *s = (I440fx *)d;
    unsigned end = addr + size;

    if (addr <= REG_SMRAM && end > REG_SMRAM && (d->config[REG_SMRAM] & SMRAM_D_LCK)) {
        d->config[REG_SMRAM] &= (uint8_t)~SMRAM_D_OPEN;
    }
    if ((addr < REG_PAM + 7 && end > REG_PAM) || (addr <= REG_SMRAM && end > REG_SMRAM)) {
        update_memory(s);
    }
}

static uint64_t ram_write_read(void *opaque, hwaddr addr, unsigned size)
{
    PamSegment *seg = opaque;
    return memory_read(&seg->bridge->pci_as, seg->base + addr, size);
}

static void ram_write_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    PamSegment *seg = opaque;
    memory_write(&seg->bridge->ram_as, seg->base + addr, value, size);
}

static const MemoryOps ram_write_ops = {
    .read = ram_write_read,
    .write = ram_write_write,
    .max_size = 8,
    .unaligned = true,
};

static uint64_t parted_read(void *opaque, hwaddr addr, unsigned size)
{
    return memory_read(&((I440fx *)opaque)->pci_as, SMRAM_BASE + addr, size);
}

static void parted_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    memory_write(&((I440fx *)opaque)->pci_as, SMRAM_BASE + addr, value, size);
}

static uint8_t parted_fetch(void *opaque, hwaddr addr)
{
    return (uint8_t)memory_read(&((I440fx *)opaque)->ram_as, SMRAM_BASE + addr, 1);
}

static const MemoryOps parted_ops = {
    .read = parted_read,
    .write = parted_write,
    .fetch = parted_fetch,
    .max_size = 8,
    .unaligned = true,
};

/* ---- reset, state, creation ---- */

static void i440fx_reset(Device *dev)
{
    I440fx *s = (I440fx *)dev;

    s->pci.wmask[REG_SMRAM] = 0xff; /* unlocked */
    pci_device_reset(&s->pci);
    update_memory(s);
}

static const VMStateField i440fx_fields[] = {
    VMSTATE_STRUCT(pci, I440fx, pci_device_vmstate),
    VMSTATE_END,
};

static bool i440fx_post_load(void *opaque, int version, Error **errp)
{
    update_memory(opaque);
    return true;
}

static const VMState i440fx_vmstate = {
    .name = "i440fx",
    .version = 1,
    .fields = i440fx_fields,
    .post_load = i440fx_post_load,
};

static void init_config(PciDevice *d)
{
    static const uint8_t stored[][2] = {
        {REG_PMCCFG, 2}, {REG_DETURBO, 1}, {REG_DBC, 1},    {REG_DRAMC, 1},
        {REG_DRAMT, 1},  {REG_PAM, 7},     {REG_DRB, 8},    {REG_FDHC, 1},
        {REG_MTT, 1},    {REG_CLT, 1},     {REG_ERRCMD, 1},
    };

    pci_set_ids(d, 0x8086, 0x1237, 0x060000, 2, 0);
    pci_set_subsystem(d, 0x1af4, 0x1100);
    /* Memory and bus mastering are always on, nothing else can be set (data sheet, 3.2.3). */
    pci_set_word(&d->wmask[PCI_COMMAND], PCI_COMMAND_SERR);
    pci_set_word(&d->config[PCI_COMMAND], PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    pci_set_word(&d->config[PCI_STATUS], PCI_STATUS_FAST_BACK | PCI_STATUS_DEVSEL_MED);
    for (unsigned i = 0; i < sizeof(stored) / sizeof(stored[0]); i++) {
        for (unsigned n = 0; n < stored[i][1]; n++) {
            d->wmask[stored[i][0] + n] = 0xff;
        }
    }
    d->preset[REG_DRAMC] = 0x01;
    d->preset[REG_DRAMT] = 0x10;
    d->preset[REG_SMRAM] = SMRAM_C_BASE_SEG;
    d->config_written = config_written;
}

static void init_segment(I440fx *s, unsigned n)
{
    PamSegment *seg = &s->segments[n];
    uint64_t size = n == SEGMENT_BIOS ? 0x10000 : 0x4000;

    seg->bridge = s;
    seg->base = 0xc0000 + 0x4000 * n;
    memory_region_init_alias(&seg->pci, "pam-pci", s->pci_mem, seg->base, size);
    memory_region_init_alias(&seg->ram_read, "pam-rom", s->ram, seg->base, size);
    memory_region_set_readonly(&seg->ram_read, true);
    memory_region_init_io(&seg->ram_write, "pam-write", size, &ram_write_ops, seg);
    memory_region_add(memory_as.root, seg->base, &seg->pci, PRIORITY_SHOWN);
    memory_region_add(memory_as.root, seg->base, &seg->ram_read, PRIORITY_SHOWN);
    memory_region_add(memory_as.root, seg->base, &seg->ram_write, PRIORITY_SHOWN);
}

static bool i440fx_realize(Device *dev, Error **errp)
{
    I440fx *s = (I440fx *)dev;

    if (!pci_device_attach(&s->pci, errp)) {
        return false;
    }
    init_config(&s->pci);

    memory_transaction_begin();
    address_space_init(&s->ram_as, s->ram, "ram");
    address_space_init(&s->pci_as, s->pci_mem, "pci");
    for (unsigned n = 0; n < SEGMENTS; n++) {
        init_segment(s, n);
    }
    memory_region_init_alias(&s->smram_closed, "smram-closed", s->pci_mem, SMRAM_BASE, SMRAM_SIZE);
    memory_region_add(memory_as.root, SMRAM_BASE, &s->smram_closed, PRIORITY_SHOWN);

    memory_region_init_alias(&s->smm_all, "smm-all", memory_as.root, 0, memory_as.root->size);
    memory_region_add(memory_smm_as.root, 0, &s->smm_all, 0);
    memory_region_init_alias(&s->smm_smram, "smram", s->ram, SMRAM_BASE, SMRAM_SIZE);
    memory_region_add(memory_smm_as.root, SMRAM_BASE, &s->smm_smram, PRIORITY_SHOWN);
    memory_region_init_io(&s->smm_parted, "smram-code", SMRAM_SIZE, &parted_ops, s);
    memory_region_add(memory_smm_as.root, SMRAM_BASE, &s->smm_parted, PRIORITY_SHOWN);
    memory_transaction_commit();
    return true;
}

const DeviceClass i440fx_class = {
    .name = "i440fx",
    .desc = "82441FX host bridge",
    .bus = "pci",
    .size = sizeof(I440fx),
    .vmstate = &i440fx_vmstate,
    .realize = i440fx_realize,
    .reset = i440fx_reset,
};

Device *i440fx_create(PciBus *bus, MemoryRegion *ram, MemoryRegion *pci_mem)
{
    I440fx *s = (I440fx *)pci_device_new(&i440fx_class, bus, PCI_DEVFN(0, 0), "i440fx");

    s->ram = ram;
    s->pci_mem = pci_mem;
    device_realize_or_die(&s->pci.dev);
    return &s->pci.dev;
}
