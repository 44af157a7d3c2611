/*
 * The PC boards. One function a part, in the order in which a board is wired: memory, interrupts,
 * the PCI chip set, the chips every PC has, disks and screen, and what the firmware is told.
 *
 *     pc                                    isapc
 *     CPUs, local APICs, I/O APIC           CPU
 *     440FX: PAM, SMRAM, PCI bus            RAM, BIOS
 *       00.0 host bridge                    ISA: 8259s, 8254, RTC, 8042, 8237s,
 *       01.0 PIIX3: PIRQs, reset                 serial ports, IDE, VGA
 *            ISA: as isapc
 *       01.1 IDE, 01.3 power management
 *       02.0 VGA
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/pc.h"

#include <string.h>

#include "block/drive.h"
#include "hw/a20.h"
#include "hw/apic.h"
#include "hw/firmware.h"
#include "hw/fpu-error.h"
#include "hw/fw_cfg.h"
#include "hw/i440fx.h"
#include "hw/i8042.h"
#include "hw/i8237.h"
#include "hw/i8254.h"
#include "hw/i8259.h"
#include "hw/ide.h"
#include "hw/ioapic.h"
#include "hw/isa.h"
#include "hw/loader.h"
#include "hw/mc146818.h"
#include "hw/memory.h"
#include "hw/parallel.h"
#include "hw/pci.h"
#include "hw/piix3.h"
#include "hw/piix4_pm.h"
#include "hw/port61.h"
#include "hw/port92.h"
#include "hw/serial.h"
#include "hw/vga.h"
#include "target-i386/cpu.h"
#include "target-i386/cpuid.h"
#include "target-i386/vcpu.h"
#include "util/options.h"

/* RAM ends here below 4 GB, the rest of it begins at 4 GB. */
#define PCI_HOLE_START UINT64_C(0xe0000000)
#define ABOVE_4G       (UINT64_C(1) << 32)
/* What ROMs and video memory take from the RAM mapping besides RAM. */
#define OTHER_MEMORY (UINT64_C(1) << 30)

#define DEFAULT_BIOS     "bios-256k.bin"
#define DEFAULT_BIOS_ISA "bios.bin"

#define DEVFN_PIIX3     PCI_DEVFN(1, 0)
#define DEVFN_PIIX3_IDE PCI_DEVFN(1, 1)
#define DEVFN_PIIX4_PM  PCI_DEVFN(1, 3)
#define DEVFN_VGA       PCI_DEVFN(2, 0)

enum {
    IRQ_TIMER = 0,
    IRQ_KEYBOARD = 1,
    IRQ_CASCADE = 2,
    IRQ_RTC = 8,
    IRQ_SCI = 9,
    IRQ_MOUSE = 12,
    IRQ_FPU = 13,
    IRQ_IDE = 14
};

#define IOAPIC_TIMER_INPUT 2

/* CMOS bytes as PC BIOSes know them, and those that SeaBIOS reads on emulators. */
#define CMOS_FLOPPY_TYPES  0x10
#define CMOS_DISK_TYPES    0x12
#define CMOS_EQUIPMENT     0x14
#define CMOS_BASE_KB       0x15 /* 2 bytes, as the next three */
#define CMOS_EXTENDED_KB   0x17
#define CMOS_DISK_C_TYPE   0x19
#define CMOS_DISK_D_TYPE   0x1a
#define CMOS_DISK_C        0x1b /* 9 bytes */
#define CMOS_DISK_D        0x24
#define CMOS_EXTENDED_KB_2 0x30
#define CMOS_ABOVE_16M     0x34 /* in 64 KB */
#define CMOS_BOOT_3        0x38
#define CMOS_TRANSLATION   0x39
#define CMOS_BOOT_1_2      0x3d
#define CMOS_ABOVE_4G      0x5b /* 3 bytes, in 64 KB */
#define CMOS_CPUS          0x5f /* less one */

#define EQUIPMENT_FPU       0x02
#define EQUIPMENT_PS2_MOUSE 0x04
#define DISK_TYPE_EXTENDED  0x0f
#define DISK_TYPE_USER      47

typedef struct Pc {
    const MachineConfig *config;
    bool has_pci;
    uint64_t ram_below_4g, ram_above_4g;
    MemoryRegion ram, ram_low, ram_high;
    MemoryRegion pci_mem; /* what the 440FX does not answer itself */
    BiosRegions bios;
    Device *pic, *ioapic, *rtc; /* ioapic NULL: the CPUs have no local APICs */
    PciBus *bus;
    IrqLine intr, smi;
    IrqLine gsi[ISA_IRQS];      /* into both interrupt controllers */
    IrqLine isa_irqs[ISA_IRQS]; /* what ISA devices drive: through the PIIX3 where there is one */
    BlockBackend *drives[IDE_DRIVES];
    FwCfg *fw;
} Pc;

static Pc pc;

/* ---- memory ---- */

static bool init_ram(Error **errp)
{
    uint64_t size = pc.config->ram_size;

    pc.ram_below_4g = size < PCI_HOLE_START ? size : PCI_HOLE_START;
    pc.ram_above_4g = size - pc.ram_below_4g;
    if (!memory_ram_init(size + OTHER_MEMORY, errp)) {
        return false;
    }
    memory_init();
    if (!memory_region_init_ram(&pc.ram, "ram", size, errp)) {
        return false;
    }
    memory_set_main_bytes(size);
    memory_region_init_alias(&pc.ram_low, "ram-low", &pc.ram, 0, pc.ram_below_4g);
    memory_region_add(memory_as.root, 0, &pc.ram_low, 0);
    if (pc.ram_above_4g) {
        memory_region_init_alias(&pc.ram_high, "ram-high", &pc.ram, pc.ram_below_4g,
                                 pc.ram_above_4g);
        memory_region_add(memory_as.root, ABOVE_4G, &pc.ram_high, 0);
    }
    return true;
}

/*
 * An ISA board has no chip set that could make the BIOS writable: it runs from RAM from the start.
 */
static void copy_bios_to_ram(void *opaque)
{
    const MemoryRegion *isa = &pc.bios.isa_bios;

    memory_before_write(pc.ram.ram_offset + pc.bios.isa_base, isa->size);
    memcpy(pc.ram.host + pc.bios.isa_base, pc.bios.bios.host + isa->alias_offset, isa->size);
    memory_ram_written(pc.ram.ram_offset + pc.bios.isa_base, isa->size);
}

/* Below 4 GB, and on "pc" behind the 440FX below 1 MB. */
static bool init_bios(Error **errp)
{
    const char *file = pc.config->bios;

    if (!file) {
        file = pc.has_pci ? DEFAULT_BIOS : DEFAULT_BIOS_ISA;
    }
    if (!loader_bios_init(&pc.bios, file, errp)) {
        return false;
    }
    if (pc.has_pci) {
        memory_region_add(&pc.pci_mem, pc.bios.bios_base, &pc.bios.bios, 1);
        memory_region_add(&pc.pci_mem, pc.bios.isa_base, &pc.bios.isa_bios, 1);
    } else {
        memory_region_add(memory_as.root, pc.bios.bios_base, &pc.bios.bios, 1);
        reset_register(copy_bios_to_ram, NULL);
    }
    return true;
}

/* ---- interrupts ---- */

/*
 * IRQ n goes to both kinds of controller; at the I/O APIC the timer has the input of the cascade.
 */
static void set_gsi(void *opaque, int n, bool level)
{
    irq_set(i8259_input(pc.pic, (unsigned)n), level);
    if (pc.ioapic && n != IRQ_CASCADE) {
        irq_set(ioapic_input(pc.ioapic, n == IRQ_TIMER ? IOAPIC_TIMER_INPUT : (unsigned)n), level);
    }
}

static void set_intr(void *opaque, int n, bool level)
{
    CPUX86State *cpu = vcpu_env(0);

    if (level) {
        cpu_interrupt(cpu, CPU_INTERRUPT_HARD);
    } else {
        cpu_interrupt_clear(cpu, CPU_INTERRUPT_HARD);
    }
}

static void set_smi(void *opaque, int n, bool level)
{
    if (level) {
        cpu_interrupt(vcpu_env(0), CPU_INTERRUPT_SMI);
    }
}

/* A CPU without local APIC takes its vectors from the 8259s. */
static int acknowledge_8259(void *opaque)
{
    return i8259_output(pc.pic) ? i8259_acknowledge(pc.pic) : -1;
}

static uint8_t no_tpr(void *opaque)
{
    return 0;
}

static void ignore_tpr(void *opaque, uint8_t tpr)
{
}

static uint64_t no_base(void *opaque)
{
    return 0;
}

static bool refuse_base(void *opaque, uint64_t value)
{
    return false;
}

static bool refuse_msr_read(void *opaque, uint32_t msr, uint64_t *value)
{
    return false;
}

static bool refuse_msr_write(void *opaque, uint32_t msr, uint64_t value)
{
    return false;
}

static void ignore_reset(void *opaque, bool init)
{
}

static const CpuIntController only_8259 = {
    .acknowledge = acknowledge_8259,
    .get_tpr = no_tpr,
    .set_tpr = ignore_tpr,
    .get_base = no_base,
    .set_base = refuse_base,
    .msr_read = refuse_msr_read,
    .msr_write = refuse_msr_write,
    .reset = ignore_reset,
};

static void init_apics(void)
{
    for (unsigned i = 0; i < vcpu_count(); i++) {
        CPUX86State *env = vcpu_env(i);
        apic_create(env, cpu_has_bit(env, FEAT_1_ECX, F1C_X2APIC));
    }
    pc.pic = i8259_create(apic_lint(0));
    apic_set_pic(pc.pic);
    pc.ioapic = ioapic_create(IOAPIC_DEFAULT_BASE);
}

static void init_interrupts(void)
{
    irq_init(&pc.smi, set_smi, NULL, 0);
    if (cpu_has_bit(vcpu_env(0), FEAT_1_EDX, F1D_APIC)) {
        init_apics();
    } else {
        vcpu_env(0)->intc = &only_8259;
        irq_init(&pc.intr, set_intr, NULL, 0);
        pc.pic = i8259_create(&pc.intr);
    }
    for (int n = 0; n < ISA_IRQS; n++) {
        irq_init(&pc.gsi[n], set_gsi, NULL, n);
        pc.isa_irqs[n] = pc.gsi[n];
    }
    isa_set_irqs(pc.isa_irqs, ISA_IRQS);
}

/* ---- the PCI chip set ---- */

static void init_chipset(void)
{
    IrqLine *outputs[ISA_IRQS];
    Device *piix3;

    pc.bus = pci_bus_new(&pc.pci_mem);
    i440fx_create(pc.bus, &pc.ram, &pc.pci_mem);
    for (unsigned n = 0; n < ISA_IRQS; n++) {
        outputs[n] = &pc.gsi[n];
    }
    piix3 = piix3_create(pc.bus, DEVFN_PIIX3, outputs);
    for (unsigned n = 0; n < ISA_IRQS; n++) {
        pc.isa_irqs[n] = *piix3_isa_irq(piix3, n);
    }
    if (pc.config->acpi) {
        piix4_pm_create(pc.bus, DEVFN_PIIX4_PM, &pc.isa_irqs[IRQ_SCI], &pc.smi);
    }
}

/* ---- the chips of every PC ---- */

/* The last tick is still in an interrupt controller. */
static bool timer_irq_waiting(void *opaque)
{
    return i8259_waiting(pc.pic, IRQ_TIMER) ||
           (pc.ioapic && ioapic_is_waiting(pc.ioapic, IOAPIC_TIMER_INPUT));
}

static void init_legacy(void)
{
    Device *pit;

    a20_create();
    pit = i8254_create(&pc.isa_irqs[IRQ_TIMER]);
    i8254_set_waiting(pit, timer_irq_waiting, NULL);
    port61_create(pit);
    pc.rtc = mc146818_create(&pc.isa_irqs[IRQ_RTC]);
    i8042_create(&pc.isa_irqs[IRQ_KEYBOARD], &pc.isa_irqs[IRQ_MOUSE]);
    port92_create();
    fpu_error_create(&pc.isa_irqs[IRQ_FPU]);
    i8237_create();
}

static bool init_lines(Error **errp)
{
    for (unsigned i = 0; i < 4; i++) {
        if (pc.config->serial[i] && !serial_create(i, pc.config->serial[i], errp)) {
            return false;
        }
    }
    for (unsigned i = 0; i < 3; i++) {
        if (pc.config->parallel[i] && !parallel_create(i, pc.config->parallel[i], errp)) {
            return false;
        }
    }
    return true;
}

/* ---- disks and screen ---- */

static void init_ide(void)
{
    for (unsigned i = 0; i < IDE_DRIVES; i++) {
        pc.drives[i] = drive_get(DRIVE_IDE, i);
    }
    if (pc.has_pci) {
        piix3_ide_create(pc.bus, DEVFN_PIIX3_IDE, pc.drives, &pc.isa_irqs[IRQ_IDE],
                         &pc.isa_irqs[IRQ_IDE + 1]);
    } else {
        isa_ide_create(0x1f0, 0x3f6, &pc.isa_irqs[IRQ_IDE], pc.drives);
        isa_ide_create(0x170, 0x376, &pc.isa_irqs[IRQ_IDE + 1], pc.drives + 2);
    }
}

static bool init_vga(Error **errp)
{
    if (!pc.config->vga) {
        return true;
    }
    return (pc.has_pci ? vga_pci_create(pc.bus, DEVFN_VGA) : vga_isa_create(pc.fw, errp)) != NULL;
}

/* ---- what the firmware is told ---- */

static bool init_firmware(Error **errp)
{
    const MachineConfig *c = pc.config;
    const FirmwareConfig firmware = {
        .ram_below_4g = pc.ram_below_4g,
        .ram_above_4g = pc.ram_above_4g,
        .cpus = c->cpus,
        .acpi = c->acpi && pc.has_pci,
        .nographic = c->nographic,
        .boot = c->boot,
        .name = c->name,
        .kernel = c->kernel,
        .initrd = c->initrd,
        .append = c->append,
    };

    return firmware_setup(pc.fw, &firmware, errp);
}

static void set_cmos(unsigned index, uint64_t value)
{
    mc146818_set_cmos(pc.rtc, index, (uint8_t)value);
}

static void set_cmos_word(unsigned index, uint64_t value)
{
    value = value > 0xffff ? 0xffff : value;
    set_cmos(index, value);
    set_cmos(index + 1, value >> 8);
}

static void fill_cmos_memory(void)
{
    uint64_t kb = pc.ram_below_4g / 1024, above_4g = pc.ram_above_4g >> 16;

    set_cmos_word(CMOS_BASE_KB, kb < 640 ? kb : 640);
    set_cmos_word(CMOS_EXTENDED_KB, kb > 1024 ? kb - 1024 : 0);
    set_cmos_word(CMOS_EXTENDED_KB_2, kb > 1024 ? kb - 1024 : 0);
    set_cmos_word(CMOS_ABOVE_16M, kb > 16384 ? (kb - 16384) / 64 : 0);
    set_cmos(CMOS_ABOVE_4G, above_4g);
    set_cmos(CMOS_ABOVE_4G + 1, above_4g >> 8);
    set_cmos(CMOS_ABOVE_4G + 2, above_4g >> 16);
    set_cmos(CMOS_CPUS, pc.config->cpus - 1);
}

/* Drives C and D: type 15, more in the byte for types from 16 on: 47, its geometry follows. */
static void fill_cmos_disk(unsigned n)
{
    BlockBackend *blk = pc.drives[n];
    unsigned at = n == 0 ? CMOS_DISK_C : CMOS_DISK_D;
    uint8_t types = mc146818_get_cmos(pc.rtc, CMOS_DISK_TYPES);

    if (!blk || blk_is_cdrom(blk)) {
        return;
    }
    IdeBiosGeometry g = ide_bios_geometry(blk);
    set_cmos(CMOS_DISK_TYPES, types | DISK_TYPE_EXTENDED << (n == 0 ? 4 : 0));
    set_cmos(n == 0 ? CMOS_DISK_C_TYPE : CMOS_DISK_D_TYPE, DISK_TYPE_USER);
    set_cmos_word(at, g.cylinders);
    set_cmos(at + 2, g.heads);
    set_cmos_word(at + 3, 0xffff); /* no write precompensation */
    set_cmos(at + 5, g.heads > 8 ? 0xc8 : 0xc0);
    set_cmos_word(at + 6, g.cylinders); /* landing zone */
    set_cmos(at + 8, g.sectors);
}

static void fill_cmos_translation(void)
{
    uint8_t value = 0;

    for (unsigned i = 0; i < IDE_DRIVES; i++) {
        if (pc.drives[i] && !blk_is_cdrom(pc.drives[i])) {
            value |= (uint8_t)(ide_bios_geometry(pc.drives[i]).translation << 2 * i);
        }
    }
    set_cmos(CMOS_TRANSLATION, value);
}

/* -boot's letters as SeaBIOS numbers them. */
static uint8_t boot_device(char letter)
{
    static const char letters[] = "acdn";
    const char *at = letter ? strchr(letters, letter) : NULL;

    return at ? (uint8_t)(at - letters + 1) : 0;
}

static void fill_cmos_boot(void)
{
    char order[4] = "cdn";
    SubOptions so;

    suboptions_parse(&so, pc.config->boot ? pc.config->boot : "", "order");
    const char *wanted = suboptions_get(&so, "order");
    if (wanted && *wanted) {
        memset(order, 0, sizeof(order));
        strncpy(order, wanted, sizeof(order) - 1);
    }
    suboptions_free(&so);
    set_cmos(CMOS_BOOT_1_2, boot_device(order[0]) | boot_device(order[0] ? order[1] : 0) << 4);
    set_cmos(CMOS_BOOT_3, boot_device(order[0] && order[1] ? order[2] : 0) << 4);
}

void pc_set_boot_order(const char *order)
{
    static char kept[4];

    strncpy(kept, order, sizeof(kept) - 1);
    machine_config.boot = kept;
    fill_cmos_boot();
}

static void fill_cmos(void)
{
    fill_cmos_memory();
    set_cmos(CMOS_FLOPPY_TYPES, 0);
    set_cmos(CMOS_EQUIPMENT, EQUIPMENT_FPU | EQUIPMENT_PS2_MOUSE);
    fill_cmos_disk(0);
    fill_cmos_disk(1);
    fill_cmos_translation();
    fill_cmos_boot();
}

/* ---- the boards ---- */

static bool init_pc(Error **errp)
{
    memory_region_init_container(&pc.pci_mem, "pci", memory_as.root->size);
    memory_region_add(memory_as.root, 0, &pc.pci_mem, -1);
    if (!init_bios(errp)) {
        return false;
    }
    init_interrupts();
    init_chipset();
    return true;
}

static bool init_isapc(Error **errp)
{
    if (!init_bios(errp)) {
        return false;
    }
    memory_region_init_alias(&pc.pci_mem, "smm", memory_as.root, 0, memory_as.root->size);
    memory_region_add(memory_smm_as.root, 0, &pc.pci_mem, 0);
    init_interrupts();
    return true;
}

bool pc_init(const MachineConfig *config, Error **errp)
{
    pc.config = config;
    pc.has_pci = strcmp(config->machine, "isapc") != 0;
    if (config->cpus > 1 && !cpu_has_bit(vcpu_env(0), FEAT_1_EDX, F1D_APIC)) {
        error_set(errp,
                  "-smp %u: this CPU model has no local APIC; -smp 1 is possible, or another -cpu",
                  config->cpus);
        return false;
    }

    if (!init_ram(errp) || !(pc.has_pci ? init_pc : init_isapc)(errp)) {
        return false;
    }
    init_legacy();
    pc.fw = fw_cfg_create();
    init_ide();
    if (!init_lines(errp) || !init_vga(errp) || !init_firmware(errp)) {
        return false;
    }
    fill_cmos();
    devices_reset();
    return true;
}
