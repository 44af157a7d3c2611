/*
 * The IDE function of the 82371SB (PIIX3), data sheet 290550: two channels at the AT's ports with
 * the bus master interface of SFF-8038i.
 * Not modelled: timing (IDETIM's and SIDETIM's other bits
 * are kept and do nothing).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/devices.h"
#include "hw/ide-core.h"
#include "hw/ide.h"
#include "hw/pci.h"
#include "util/log.h"

/* Configuration space */
enum { CFG_IDETIM = 0x40, CFG_SIDETIM = 0x44 }; /* IDETIM: 16 bits a channel */
#define IDETIM_DECODE_ENABLE 0x8000

/* Bus master registers, a set of 8 ports a channel */
enum { BMIC = 0, BMIS = 2, BMIDTP = 4, BM_PORTS = 8 };
/* BMIC, command */
enum { BMIC_START = 0x01, BMIC_TO_MEMORY = 0x08 };
/* BMIS, status */
enum { BMIS_ACTIVE = 0x01, BMIS_ERROR = 0x02, BMIS_INTERRUPT = 0x04, BMIS_DMA_CAPABLE = 0x60 };

/* A physical region descriptor: address, byte count (0: 64 KB), end of table */
enum { PRD_SIZE = 8 };
#define PRD_END 0x80000000u

typedef struct Piix3Ide Piix3Ide;

typedef struct BusMaster {
    Piix3Ide *ide;
    IdeChannel channel;
    MemoryRegion command, control;
    /* saved */
    uint8_t bmic, bmis;
    uint32_t bmidtp;
    uint32_t next; /* next descriptor's address */
    uint32_t addr; /* the present one's next byte */
    uint32_t left; /* bytes it has left; 0: fetch the next */
    bool last;     /* it is the table's end */
} BusMaster;

struct Piix3Ide {
    PciDevice pci;
    MemoryRegion bm_region;
    BusMaster bm[IDE_CHANNELS];
};

/* ---- DMA ---- */

static void dma_error(BusMaster *bm)
{
    log_printf(LOG_GUEST_ERRORS, "piix3-ide: DMA outside memory, descriptor before 0x%x\n",
               bm->next);
    bm->bmis = (bm->bmis & ~BMIS_ACTIVE) | BMIS_ERROR;
}

static bool fetch_descriptor(BusMaster *bm)
{
    uint8_t prd[PRD_SIZE];

    if (bm->last) {
        bm->bmis &= ~BMIS_ACTIVE;
        return false;
    }
    if (!pci_dma_read(&bm->ide->pci, bm->next, prd, sizeof(prd))) {
        dma_error(bm);
        return false;
    }
    bm->next += PRD_SIZE;
    bm->addr = pci_get_long(prd) & ~1u;
    bm->left = pci_get_word(prd + 4) & ~1u;
    if (bm->left == 0) {
        bm->left = 0x10000;
    }
    bm->last = pci_get_long(prd + 4) & PRD_END;
    return true;
}

static bool move(BusMaster *bm, uint8_t *buf, size_t n, bool to_memory)
{
    PciDevice *pci = &bm->ide->pci;

    return to_memory ? pci_dma_write(pci, bm->addr, buf, n) : pci_dma_read(pci, bm->addr, buf, n);
}

static size_t dma_transfer(void *opaque, uint8_t *buf, size_t len, bool to_memory)
{
    BusMaster *bm = opaque;
    size_t done = 0;

    if (((bm->bmic & BMIC_TO_MEMORY) != 0) != to_memory) {
        return 0;
    }
    while (done < len && (bm->bmis & BMIS_ACTIVE)) {
        if (bm->left == 0 && !fetch_descriptor(bm)) {
            break;
        }
        size_t n = len - done < bm->left ? len - done : bm->left;
        if (!move(bm, buf + done, n, to_memory)) {
            dma_error(bm);
            break;
        }
        bm->addr += n;
        bm->left -= n;
        done += n;
    }
    /* The table's end and the drive's at the same byte: the engine is idle when the interrupt
     * comes. */
    if (bm->left == 0 && bm->last) {
        bm->bmis &= ~BMIS_ACTIVE;
    }
    return done;
}

static void dma_interrupt(void *opaque)
{
    BusMaster *bm = opaque;

    bm->bmis |= BMIS_INTERRUPT;
}

static const IdeDmaOps dma_ops = {dma_transfer, dma_interrupt};

/* ---- bus master registers ---- */

/* Stopping forgets the place in the table; a start begins at BMIDTP. */
static void bmic_write(BusMaster *bm, uint8_t value)
{
    bool was = bm->bmic & BMIC_START, now = value & BMIC_START;

    bm->bmic = value & (BMIC_START | BMIC_TO_MEMORY);
    if (now && !was) {
        bm->bmis |= BMIS_ACTIVE;
        bm->next = bm->bmidtp;
        bm->left = 0;
        bm->last = false;
        ide_dma_started(&bm->channel);
    } else if (was && !now) {
        bm->bmis &= ~BMIS_ACTIVE;
    }
}

static uint64_t bm_read(void *opaque, hwaddr addr, unsigned size)
{
    Piix3Ide *s = opaque;
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        BusMaster *bm = &s->bm[(addr + i) / BM_PORTS % IDE_CHANNELS];
        unsigned reg = (addr + i) % BM_PORTS;
        uint8_t byte = reg == BMIC     ? bm->bmic
                       : reg == BMIS   ? bm->bmis
                       : reg >= BMIDTP ? bm->bmidtp >> (8 * (reg - BMIDTP))
                                       : 0;
        value |= (uint64_t)byte << (8 * i);
    }
    return value;
}

static void bm_write_byte(BusMaster *bm, unsigned reg, uint8_t value)
{
    if (reg == BMIC) {
        bmic_write(bm, value);
    } else if (reg == BMIS) {
        bm->bmis &= ~(value & (BMIS_ERROR | BMIS_INTERRUPT));
        bm->bmis = (bm->bmis & ~BMIS_DMA_CAPABLE) | (value & BMIS_DMA_CAPABLE);
    } else if (reg >= BMIDTP) {
        unsigned shift = 8 * (reg - BMIDTP);
        bm->bmidtp = (bm->bmidtp & ~(0xffu << shift)) | (uint32_t)value << shift;
        bm->bmidtp &= ~3u;
    }
}

static void bm_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Piix3Ide *s = opaque;

    for (unsigned i = 0; i < size; i++) {
        bm_write_byte(&s->bm[(addr + i) / BM_PORTS % IDE_CHANNELS], (addr + i) % BM_PORTS,
                      value >> (8 * i));
    }
}

static const MemoryOps bm_ops = {bm_read, bm_write, .min_size = 1, .max_size = 4};

/* ---- the channels' ports ---- */

/* A channel is decoded when its IDETIM and the function's command register say so. */
static void update_decoding(Piix3Ide *s)
{
    bool io = pci_get_word(s->pci.config + PCI_COMMAND) & PCI_COMMAND_IO;

    memory_transaction_begin();
    for (int i = 0; i < IDE_CHANNELS; i++) {
        bool on = io && (pci_get_word(s->pci.config + CFG_IDETIM + 2 * i) & IDETIM_DECODE_ENABLE);
        memory_region_set_enabled(&s->bm[i].command, on);
        memory_region_set_enabled(&s->bm[i].control, on);
    }
    memory_transaction_commit();
}

static void config_written(PciDevice *pci, unsigned addr, unsigned size)
{
    update_decoding((Piix3Ide *)pci);
}

/* ---- device ---- */

static void piix3_ide_reset(Device *dev)
{
    Piix3Ide *s = (Piix3Ide *)dev;

    pci_device_reset(&s->pci);
    for (int i = 0; i < IDE_CHANNELS; i++) {
        BusMaster *bm = &s->bm[i];
        bm->bmic = bm->bmis = 0;
        bm->bmidtp = bm->next = bm->addr = bm->left = 0;
        bm->last = false;
        ide_channel_reset(&bm->channel);
    }
    update_decoding(s);
}

static const VMStateField bm_fields[] = {
    VMSTATE_U8(bmic, BusMaster),
    VMSTATE_U8(bmis, BusMaster),
    VMSTATE_U32(bmidtp, BusMaster),
    VMSTATE_U32(next, BusMaster),
    VMSTATE_U32(addr, BusMaster),
    VMSTATE_U32(left, BusMaster),
    VMSTATE_BOOL(last, BusMaster),
    VMSTATE_STRUCT(channel, BusMaster, ide_channel_vmstate),
    VMSTATE_END,
};

static bool bm_post_load(void *opaque, int version, Error **errp)
{
    BusMaster *bm = opaque;

    if (bm->left > 0x10000) {
        error_set(errp, "piix3-ide: a descriptor has %u bytes left", bm->left);
        return false;
    }
    return true;
}

static const VMState bm_vmstate = {"ide-bus-master", .version = 1, .fields = bm_fields,
                                   .post_load = bm_post_load};

static const VMStateField piix3_ide_fields[] = {
    VMSTATE_STRUCT(pci, Piix3Ide, pci_device_vmstate),
    VMSTATE_STRUCT_ARRAY(bm, Piix3Ide, bm_vmstate),
    VMSTATE_END,
};

static bool piix3_ide_post_load(void *opaque, int version, Error **errp)
{
    update_decoding(opaque);
    return true;
}

static const VMState piix3_ide_vmstate = {"piix3-ide", .version = 1, .fields = piix3_ide_fields,
                                          .post_load = piix3_ide_post_load};

static bool piix3_ide_realize(Device *dev, Error **errp)
{
    Piix3Ide *s = (Piix3Ide *)dev;

    if (!pci_device_attach(&s->pci, errp)) {
        return false;
    }
    pci_set_ids(&s->pci, 0x8086, 0x7010, 0x010180, 0, 0);
    s->pci.config_written = config_written;
    for (unsigned i = CFG_IDETIM; i <= CFG_SIDETIM; i++) {
        s->pci.wmask[i] = 0xff;
    }
    memory_region_init_io(&s->bm_region, "ide-bus-master", IDE_CHANNELS * BM_PORTS, &bm_ops, s);
    pci_register_bar(&s->pci, 4, PCI_BAR_IO, &s->bm_region);
    return true;
}

const DeviceClass piix3_ide_class = {
    .name = "piix3-ide",
    .desc = "PIIX3 IDE controller",
    .bus = "pci",
    .size = sizeof(Piix3Ide),
    .vmstate = &piix3_ide_vmstate,
    .realize = piix3_ide_realize,
    .reset = piix3_ide_reset,
};

void piix3_ide_create(PciBus *bus, int devfn, BlockBackend *const drives[IDE_DRIVES],
                      IrqLine *irq14, IrqLine *irq15)
{
    static const struct {
        uint16_t command, control;
    } ports[IDE_CHANNELS] = {{0x1f0, 0x3f6}, {0x170, 0x376}};
    PciDevice *pci = pci_device_new(&piix3_ide_class, bus, devfn, NULL);
    Piix3Ide *s = (Piix3Ide *)pci;

    for (int i = 0; i < IDE_CHANNELS; i++) {
        BusMaster *bm = &s->bm[i];
        bm->ide = s;
        ide_channel_init(&bm->channel, drives + 2 * i, i, i ? irq15 : irq14, &dma_ops, bm);
        memory_region_init_io(&bm->command, "ide-command", 8, &ide_command_ops, &bm->channel);
        memory_region_init_io(&bm->control, "ide-control", 1, &ide_control_ops, &bm->channel);
        ioport_add(&bm->command, ports[i].command);
        ioport_add(&bm->control, ports[i].control);
    }
    device_realize_or_die(&pci->dev);
}
