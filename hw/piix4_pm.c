/*
 * Intel 82371AB (PIIX4), function 3: power management and SMBus host controller.
 *
 * Data sheet: 290562. ACPI's fixed registers (PM1 event and control, PM timer), the general purpose
 * events' registers, the advanced power management ports that raise an SMI, and an SMBus without
 * devices on it. Not modelled: the idle and burst timers of the device monitors, clock control,
 * sleep states but soft off, general purpose pins, interrupts of the SMBus.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/piix4_pm.h"

#include "hw/machine.h"
#include "util/log.h"
#include "util/loop.h"

/* Configuration space. */
#define CFG_PMBA      0x40 /* 4 bytes */
#define CFG_CNTA      0x44 /* to CNTB, GPICTL, DEVRESA-J, PMREGMISC: 0x44-0x7f */
#define CFG_DEVACTB   0x58 /* 4 bytes */
#define CFG_PMREGMISC 0x80
#define CFG_SMBBA     0x90 /* 4 bytes */
#define CFG_SMBHSTCFG 0xd2
#define CFG_SMBSLVC   0xd3
#define CFG_SMBSHDW1  0xd4
#define CFG_SMBSHDW2  0xd5
#define CFG_SMBREV    0xd6

#define DEVACTB_APMC_EN  0x02000000u
#define PMREGMISC_PMIOSE 0x01
#define SMBHSTCFG_HST_EN 0x01
#define PMBA_MASK        0xffc0u
#define SMBBA_MASK       0xfff0u

/* Ports from PMBA. */
#define PM_SIZE    0x40
#define PM_PMSTS   0x00
#define PM_PMEN    0x02
#define PM_PMCNTRL 0x04
#define PM_PMTMR   0x08
#define PM_GPSTS   0x0c
#define PM_GPEN    0x0e
#define PM_GLBSTS  0x18
#define PM_GLBEN   0x20
#define PM_GLBCTL  0x28

#define PM_TMROF   0x0001 /* the timer's top bit changed */
#define PM_GBL     0x0020
#define PM_PWRBTN  0x0100
#define PM_RTC     0x0400
#define PM_RSM     0x8000
#define PMSTS_MASK (PM_TMROF | 0x0010 | PM_GBL | PM_PWRBTN | PM_RTC | PM_RSM)
#define PMEN_MASK  (PM_TMROF | PM_GBL | PM_PWRBTN | PM_RTC)

#define CNTRL_SCI_EN  0x0001
#define CNTRL_TYPE(v) ((v) >> 10 & 7)
#define CNTRL_SUS_EN  0x2000
#define CNTRL_MASK    0x1c03
#define TYPE_SOFT_OFF 0

#define GP_MASK       0x0f01 /* GPSTS, GPEN: THRM, USB, RI, LID, GPI1 */
#define GLBSTS_APM    0x0020
#define GLBCTL_SMI_EN 0x00000001u

#define PMTMR_HZ   3579545
#define PMTMR_MASK 0xffffffu
#define PMTMR_HALF 0x800000 /* ticks between two changes of the top bit */

/* Advanced power management ports. */
#define PORT_APMC         0xb2
#define APMC_ACPI_DISABLE 0xf0
#define APMC_ACPI_ENABLE  0xf1

/* SMBus host registers from SMBBA. */
#define SMB_SIZE       0x10
#define SMB_HSTSTS     0x00
#define SMB_SLVSTS     0x01
#define SMB_HSTCNT     0x02
#define SMB_BLKDAT     0x07
#define SMB_SLVCNT     0x08
#define HSTSTS_DEV_ERR 0x04 /* nobody acknowledged */
#define HSTSTS_FAILED  0x10 /* killed */
#define HSTSTS_CLEAR   0x1e
#define HSTCNT_KILL    0x02
#define HSTCNT_START   0x40
#define SMB_BLOCK      32

typedef struct Piix4Pm {
    PciDevice pci;
    /* wiring */
    MemoryRegion pm_io, smb_io, apm_io;
    IrqLine *sci, *smi;
    /* saved */
    uint16_t pmsts, pmen, pmcntrl, gpsts, gpen;
    uint8_t other[PM_SIZE]; /* registers that keep what is written */
    int64_t overflows;      /* changes of the timer's top bit that PMSTS has seen */
    uint8_t apmc, apms;
    uint8_t smb[SMB_SIZE];
    uint8_t smb_block[SMB_BLOCK];
    uint8_t smb_index;
    /* derived */
    Timer timer;           /* the next overflow, while it would interrupt */
    int pm_port, smb_port; /* where the two are mapped; -1: not */
} Piix4Pm;

/* ---- PM timer ---- */

static int64_t pmtmr_ticks(void)
{
    return (int64_t)((__int128)clock_now(CLOCK_VIRTUAL) * PMTMR_HZ / NS_PER_SEC);
}

static void catch_up(Piix4Pm *s)
{
    int64_t overflows = pmtmr_ticks() / PMTMR_HALF;

    if (overflows != s->overflows) {
        s->overflows = overflows;
        s->pmsts |= PM_TMROF;
    }
}

static void update_sci(Piix4Pm *s)
{
    bool events = (s->pmsts & s->pmen & PMEN_MASK) || (s->gpsts & s->gpen);

    irq_set(s->sci, events && (s->pmcntrl & CNTRL_SCI_EN));
    if ((s->pmen & ~s->pmsts & PM_TMROF)) {
        __int128 tick = (__int128)(s->overflows + 1) * PMTMR_HALF;
        timer_set(&s->timer, (int64_t)((tick * NS_PER_SEC + PMTMR_HZ - 1) / PMTMR_HZ));
    } else {
        timer_cancel(&s->timer);
    }
}

static void timer_expired(void *opaque)
{
    Piix4Pm *s = opaque;

    catch_up(s);
    update_sci(s);
}

/* ---- guest side: ACPI registers ---- */

static void write_pmcntrl(Piix4Pm *s, uint16_t value)
{
    s->pmcntrl = value & CNTRL_MASK;
    if (value & CNTRL_SUS_EN) {
        if (CNTRL_TYPE(value) == TYPE_SOFT_OFF) {
            machine_request_shutdown(0);
        } else {
            log_printf(LOG_UNIMP, "piix4_pm: sleep type %u\n", CNTRL_TYPE(value));
        }
    }
}

static uint16_t read_pm_word(Piix4Pm *s, unsigned reg)
{
    switch (reg) {
    case PM_PMSTS:
        catch_up(s);
        return s->pmsts;
    case PM_PMEN:
        return s->pmen;
    case PM_PMCNTRL:
        return s->pmcntrl;
    case PM_PMTMR:
        return (uint16_t)pmtmr_ticks();
    case PM_PMTMR + 2:
        return (uint16_t)((pmtmr_ticks() & PMTMR_MASK) >> 16);
    case PM_GPSTS:
        return s->gpsts;
    case PM_GPEN:
        return s->gpen;
    default:
        return pci_get_word(&s->other[reg]);
    }
}

/* mask: which bits of the register this access writes. */
static void write_pm_word(Piix4Pm *s, unsigned reg, uint16_t value, uint16_t mask)
{
    switch (reg) {
    case PM_PMSTS:
        catch_up(s);
        s->pmsts &= ~(value & mask & PMSTS_MASK);
        break;
    case PM_PMEN:
        catch_up(s);
        s->pmen = ((s->pmen & ~mask) | (value & mask)) & PMEN_MASK;
        break;
    case PM_PMCNTRL:
        write_pmcntrl(s, (uint16_t)((s->pmcntrl & ~mask) | (value & mask)));
        break;
    case PM_PMTMR:
    case PM_PMTMR + 2:
        return;
    case PM_GPSTS:
        s->gpsts &= ~(value & mask);
        break;
    case PM_GPEN:
        s->gpen = ((s->gpen & ~mask) | (value & mask)) & GP_MASK;
        break;
    case PM_GLBSTS:
        pci_set_word(&s->other[reg], (uint16_t)(pci_get_word(&s->other[reg]) & ~(value & mask)));
        return;
    default:
        pci_set_word(&s->other[reg],
                     (uint16_t)((pci_get_word(&s->other[reg]) & ~mask) | (value & mask)));
        return;
    }
    update_sci(s);
}

/* Accesses are aligned: bytes are cut out of words, a double word is two of them. */
static uint64_t pm_read(void *opaque, hwaddr addr, unsigned size)
{
    Piix4Pm *s = opaque;
    unsigned reg = (unsigned)addr & (PM_SIZE - 2);

    if (size == 4 && reg == PM_PMTMR) {
        return (uint32_t)pmtmr_ticks() & PMTMR_MASK; /* in one look */
    }
    if (size == 4) {
        return read_pm_word(s, reg) | (uint32_t)read_pm_word(s, reg + 2) << 16;
    }
    return read_pm_word(s, reg) >> (addr & 1 ? 8 : 0) & (size == 1 ? 0xff : 0xffff);
}

static void pm_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Piix4Pm *s = opaque;
    unsigned reg = (unsigned)addr & (PM_SIZE - 2);

    if (size == 4) {
        write_pm_word(s, reg, (uint16_t)value, 0xffff);
        write_pm_word(s, reg + 2, (uint16_t)(value >> 16), 0xffff);
    } else if (size == 2) {
        write_pm_word(s, reg, (uint16_t)value, 0xffff);
    } else if (addr & 1) {
        write_pm_word(s, reg, (uint16_t)(value << 8), 0xff00);
    } else {
        write_pm_word(s, reg, (uint8_t)value, 0x00ff);
    }
}

static const MemoryOps pm_ops = {
    .read = pm_read,
    .write = pm_write,
    .max_size = 4,
};

/* ---- guest side: advanced power management ports ---- */

/* What the firmware's SMI handler does with the two ACPI commands is done here: the FADT names
 * them. */
static void write_apmc(Piix4Pm *s, uint8_t value)
{
    s->apmc = value;
    if (value == APMC_ACPI_ENABLE) {
        s->pmcntrl |= CNTRL_SCI_EN;
    } else if (value == APMC_ACPI_DISABLE) {
        s->pmcntrl &= ~CNTRL_SCI_EN;
    }
    update_sci(s);
    if ((pci_get_long(&s->pci.config[CFG_DEVACTB]) & DEVACTB_APMC_EN) &&
        (pci_get_long(&s->other[PM_GLBCTL]) & GLBCTL_SMI_EN)) {
        pci_set_word(&s->other[PM_GLBSTS], pci_get_word(&s->other[PM_GLBSTS]) | GLBSTS_APM);
        irq_pulse(s->smi);
    }
}

static uint64_t apm_read(void *opaque, hwaddr addr, unsigned size)
{
    Piix4Pm *s = opaque;
    return addr == 0 ? s->apmc : s->apms;
}

static void apm_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Piix4Pm *s = opaque;

    if (addr == 0) {
        write_apmc(s, (uint8_t)value);
    } else {
        s->apms = (uint8_t)value;
    }
}

static const MemoryOps apm_ops = {
    .read = apm_read,
    .write = apm_write,
    .max_size = 1,
};

/* ---- guest side: SMBus ---- */

/* A transaction is over at once: there is nobody to answer. */
static void write_hstcnt(Piix4Pm *s, uint8_t value)
{
    s->smb[SMB_HSTCNT] = value & ~HSTCNT_START;
    s->smb_index = 0;
    if (value & HSTCNT_KILL) {
        s->smb[SMB_HSTSTS] |= HSTSTS_FAILED;
    } else if (value & HSTCNT_START) {
        s->smb[SMB_HSTSTS] |= HSTSTS_DEV_ERR;
    }
}

static uint64_t smb_read(void *opaque, hwaddr addr, unsigned size)
{
    Piix4Pm *s = opaque;
    unsigned reg = addr & (SMB_SIZE - 1);
    uint8_t v = s->smb[reg];

    if (reg == SMB_BLKDAT) {
        v = s->smb_block[s->smb_index % SMB_BLOCK];
        s->smb_index = (s->smb_index + 1) % SMB_BLOCK;
    } else if (reg == SMB_HSTCNT) {
        s->smb_index = 0; /* reading the control register starts the block buffer anew */
    }
    return v;
}

static void smb_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Piix4Pm *s = opaque;
    unsigned reg = addr & (SMB_SIZE - 1);

    switch (reg) {
    case SMB_HSTSTS:
        s->smb[reg] &= ~(value & HSTSTS_CLEAR);
        break;
    case SMB_SLVSTS:
        s->smb[reg] &= ~value;
        break;
    case SMB_HSTCNT:
        write_hstcnt(s, (uint8_t)value);
        break;
    case SMB_BLKDAT:
        s->smb_block[s->smb_index % SMB_BLOCK] = (uint8_t)value;
        s->smb_index = (s->smb_index + 1) % SMB_BLOCK;
        break;
    default:
        s->smb[reg] = (uint8_t)value;
    }
}

static const MemoryOps smb_ops = {
    .read = smb_read,
    .write = smb_write,
    .max_size = 1,
};

/* ---- mapping ---- */

static void map_ports(MemoryRegion *mr, int *now, int port)
{
    if (*now == port) {
        return;
    }
    if (*now >= 0) {
        memory_region_remove(mr);
    }
    if (port >= 0) {
        ioport_add(mr, (uint16_t)port);
    }
    *now = port;
}

static void update_mapping(Piix4Pm *s)
{
    const uint8_t *config = s->pci.config;
    unsigned pmba = pci_get_long(&config[CFG_PMBA]) & PMBA_MASK;
    unsigned smbba = pci_get_long(&config[CFG_SMBBA]) & SMBBA_MASK;

    memory_transaction_begin();
    map_ports(&s->pm_io, &s->pm_port,
              (config[CFG_PMREGMISC] & PMREGMISC_PMIOSE) && pmba ? (int)pmba : -1);
    map_ports(&s->smb_io, &s->smb_port,
              (config[CFG_SMBHSTCFG] & SMBHSTCFG_HST_EN) && smbba ? (int)smbba : -1);
    memory_transaction_commit();
}

static void config_written(PciDevice *d, unsigned addr, unsigned size)
{
    update_mapping((Piix4Pm *)d);
}

/* ---- host side ---- */

static void power_button(void *opaque)
{
    Piix4Pm *s = opaque;

    s->pmsts |= PM_PWRBTN;
    update_sci(s);
}

static void piix4_pm_reset(Device *dev)
{
    Piix4Pm *s = (Piix4Pm *)dev;

    pci_device_reset(&s->pci);
    s->pmsts = s->pmen = s->pmcntrl = s->gpsts = s->gpen = 0;
    for (unsigned i = 0; i < PM_SIZE; i++) {
        s->other[i] = 0;
    }
    s->overflows = pmtmr_ticks() / PMTMR_HALF;
    s->apmc = s->apms = 0;
    for (unsigned i = 0; i < SMB_SIZE; i++) {
        s->smb[i] = 0;
    }
    for (unsigned i = 0; i < SMB_BLOCK; i++) {
        s->smb_block[i] = 0;
    }
    s->smb_index = 0;
    update_mapping(s);
    update_sci(s);
}

static const VMStateField piix4_pm_fields[] = {
    VMSTATE_STRUCT(pci, Piix4Pm, pci_device_vmstate),
    VMSTATE_U16(pmsts, Piix4Pm),
    VMSTATE_U16(pmen, Piix4Pm),
    VMSTATE_U16(pmcntrl, Piix4Pm),
    VMSTATE_U16(gpsts, Piix4Pm),
    VMSTATE_U16(gpen, Piix4Pm),
    VMSTATE_U8_ARRAY(other, Piix4Pm),
    VMSTATE_U64(overflows, Piix4Pm),
    VMSTATE_U8(apmc, Piix4Pm),
    VMSTATE_U8(apms, Piix4Pm),
    VMSTATE_U8_ARRAY(smb, Piix4Pm),
    VMSTATE_U8_ARRAY(smb_block, Piix4Pm),
    VMSTATE_U8(smb_index, Piix4Pm),
    VMSTATE_TIMER(timer, Piix4Pm),
    VMSTATE_END,
};

static bool piix4_pm_post_load(void *opaque, int version, Error **errp)
{
    update_mapping(opaque);
    return true;
}

static const VMState piix4_pm_vmstate = {
    .name = "piix4_pm",
    .version = 1,
    .fields = piix4_pm_fields,
    .post_load = piix4_pm_post_load,
};

static void init_config(PciDevice *d)
{
    pci_set_ids(d, 0x8086, 0x7113, 0x068000, 3, 1);
    pci_set_subsystem(d, 0x1af4, 0x1100);
    pci_set_word(&d->config[PCI_STATUS], PCI_STATUS_FAST_BACK | PCI_STATUS_DEVSEL_MED);
    pci_set_long(&d->wmask[CFG_PMBA], PMBA_MASK);
    d->config[CFG_PMBA] = d->preset[CFG_PMBA] = 0x01; /* I/O space */
    for (unsigned i = CFG_CNTA; i < CFG_PMREGMISC; i++) {
        d->wmask[i] = 0xff;
    }
    d->wmask[CFG_PMREGMISC] = PMREGMISC_PMIOSE;
    pci_set_long(&d->wmask[CFG_SMBBA], SMBBA_MASK);
    d->config[CFG_SMBBA] = d->preset[CFG_SMBBA] = 0x01;
    d->wmask[CFG_SMBHSTCFG] = 0x0f;
    d->wmask[CFG_SMBSLVC] = d->wmask[CFG_SMBSHDW1] = d->wmask[CFG_SMBSHDW2] = 0xff;
    d->config_written = config_written;
}

static bool piix4_pm_realize(Device *dev, Error **errp)
{
    Piix4Pm *s = (Piix4Pm *)dev;

    if (!pci_device_attach(&s->pci, errp)) {
        return false;
    }
    init_config(&s->pci);
    memory_region_init_io(&s->pm_io, "piix4-pm", PM_SIZE, &pm_ops, s);
    memory_region_init_io(&s->smb_io, "piix4-smbus", SMB_SIZE, &smb_ops, s);
    memory_region_init_io(&s->apm_io, "piix4-apm", 2, &apm_ops, s);
    ioport_add(&s->apm_io, PORT_APMC);
    s->pm_port = s->smb_port = -1;
    timer_init(&s->timer, CLOCK_VIRTUAL, timer_expired, s);
    machine_set_powerdown_handler(power_button, s);
    return true;
}

const DeviceClass piix4_pm_class = {
    .name = "piix4_pm",
    .desc = "82371AB power management",
    .bus = "pci",
    .size = sizeof(Piix4Pm),
    .vmstate = &piix4_pm_vmstate,
    .realize = piix4_pm_realize,
    .reset = piix4_pm_reset,
};

Device *piix4_pm_create(PciBus *bus, int devfn, IrqLine *sci, IrqLine *smi)
{
    Piix4Pm *s = (Piix4Pm *)pci_device_new(&piix4_pm_class, bus, devfn, "piix4_pm");

    s->sci = sci;
    s->smi = smi;
    device_realize_or_die(&s->pci.dev);
    return &s->pci.dev;
}
