/*
 * The board "pc" as a whole: memory layout around the hole below 4 GB, CMOS as the BIOS reads it,
 * interrupt wiring into both kinds of controller, what reset does, and saving and loading the whole
 * machine.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/pc.h"

#include <stdlib.h>
#include <unistd.h>

#include "block/drive.h"
#include "hw/a20.h"
#include "hw/apic.h"
#include "hw/ioapic.h"
#include "hw/isa.h"
#include "hw/mc146818.h"
#include "hw/pci.h"
#include "target-i386/vcpu.h"
#include "tests/unit/hw/board.h"

#define GB UINT64_C(0x40000000)

#define DISK_CYLINDERS 100
#define DISK_BYTES     (DISK_CYLINDERS * 16 * 63 * 512)

#define PIIX3 PCI_DEVFN(1, 0)

static bool made;

static bool make(void)
{
    char path[] = "/tmp/vole-pc-XXXXXX", spec[64];
    int fd = mkstemp(path);
    Error *err = NULL;
    bool ok;

    machine_lock();
    loop_init();
    clock_use_stepped();
    machine_config = (MachineConfig){
        .ram_size = 5 * GB,
        .cpus = 2,
        .machine = "pc",
        .boot = "order=dc",
        .acpi = true,
        .vga = true,
    };
    snprintf(spec, sizeof(spec), "file=%s,format=raw", path);
    ok = fd >= 0 && ftruncate(fd, DISK_BYTES) == 0 && drive_add(spec, &err) &&
         drive_open_all(&err) && vcpu_create_all(2, "qemu64", &err) &&
         pc_init(&machine_config, &err);
    if (err) {
        printf("# %s\n", error_text(err));
    }
    close(fd);
    unlink(path);
    return ok;
}

#define SET_UP()                                                                                   \
    do {                                                                                           \
        if (!made) {                                                                               \
            CHECK(make());                                                                         \
            made = true;                                                                           \
        }                                                                                          \
        devices_reset();                                                                           \
    } while (0)

static uint8_t cmos(unsigned index)
{
    return mc146818_get_cmos(device_find("rtc"), index);
}

static unsigned cmos16(unsigned index)
{
    return cmos(index) | (unsigned)cmos(index + 1) << 8;
}

static void pci_write(int devfn, unsigned reg, uint32_t value, unsigned size)
{
    pci_config_write(pci_bus_device(pci_bus_first(), devfn), reg, value, size);
}

static void ram_goes_around_the_hole(void)
{
    SET_UP();
    MemoryPage first = memory_page_lookup(&memory_as, 0x1000);
    MemoryPage last_low = memory_page_lookup(&memory_as, 0xdffff000);
    MemoryPage high = memory_page_lookup(&memory_as, 4 * GB);
    CHECK(first.host && !first.readonly);
    CHECK_EQ(last_low.host - first.host, 0xdffff000 - 0x1000);
    CHECK(memory_page_lookup(&memory_as, 0xe0000000).host == NULL);
    CHECK_EQ(high.host - first.host, 0xe0000000 - 0x1000);
    CHECK(memory_page_lookup(&memory_as, 4 * GB + 5 * GB - 0xe0000000 - 0x1000).host != NULL);
    CHECK(memory_page_lookup(&memory_as, 4 * GB + 5 * GB - 0xe0000000).host == NULL);
}

static void the_bios_is_at_both_ends(void)
{
    SET_UP();
    CHECK_EQ(memory_read(&memory_as, 0xfffffff0, 1), 0xea); /* a far jump */
    CHECK_EQ(memory_read(&memory_as, 0xffff0, 1), 0xea);
    CHECK_EQ(memory_read(&memory_as, 0xf0000, 8), memory_read(&memory_as, 0xffff0000, 8));
    memory_write(&memory_as, 0xf0000, ~memory_read(&memory_as, 0xf0000, 8), 8);
    CHECK_EQ(memory_read(&memory_as, 0xf0000, 8), memory_read(&memory_as, 0xffff0000, 8));
}

static void cmos_describes_the_machine(void)
{
    SET_UP();
    CHECK_EQ(cmos16(0x15), 640);
    CHECK_EQ(cmos16(0x17), 0xffff);
    CHECK_EQ(cmos16(0x30), 0xffff);
    CHECK_EQ(cmos16(0x34), (0xe0000000 - 0x1000000) >> 16);
    CHECK_EQ(cmos16(0x5b) | cmos(0x5d) << 16, (5 * GB - 0xe0000000) >> 16);
    CHECK_EQ(cmos(0x5f), 1);
    CHECK_EQ(cmos(0x14) & 0x06, 0x06);
    CHECK_EQ(cmos(0x10), 0);
    CHECK_EQ(cmos(0x3d), 0x23); /* CD-ROM, then disk */
    CHECK_EQ(cmos(0x38), 0);
    CHECK_EQ(cmos(0x12), 0xf0);
    CHECK_EQ(cmos(0x19), 47);
    CHECK_EQ(cmos16(0x1b), DISK_CYLINDERS);
    CHECK_EQ(cmos(0x1d), 16);
    CHECK_EQ(cmos(0x23), 63);
    CHECK_EQ(cmos(0x39), 0);
}

static void chips_are_where_they_belong(void)
{
    static const struct {
        int devfn;
        uint16_t vendor, device;
    } chips[] = {
        {PCI_DEVFN(0, 0), 0x8086, 0x1237}, {PIIX3, 0x8086, 0x7000},
        {PCI_DEVFN(1, 1), 0x8086, 0x7010}, {PCI_DEVFN(1, 3), 0x8086, 0x7113},
        {PCI_DEVFN(2, 0), 0x1234, 0x1111},
    };

    SET_UP();
    for (unsigned i = 0; i < sizeof(chips) / sizeof(chips[0]); i++) {
        PciDevice *d = pci_bus_device(pci_bus_first(), chips[i].devfn);
        CHECK(d != NULL);
        CHECK_EQ(pci_config_read(d, PCI_VENDOR_ID, 2), chips[i].vendor);
        CHECK_EQ(pci_config_read(d, PCI_DEVICE_ID, 2), chips[i].device);
    }
    CHECK_EQ(pci_config_read(pci_bus_device(pci_bus_first(), 0), PCI_SUBSYSTEM_VENDOR_ID, 4),
             0x11001af4);
}

/* ---- interrupts ---- */

static uint8_t pic_irr(uint16_t port)
{
    out8(port, 0x0a);
    return in8(port);
}

static void ioapic_route(unsigned input, uint8_t vector, uint32_t flags)
{
    memory_write(&memory_as, IOAPIC_DEFAULT_BASE, 0x11 + 2 * input, 4);
    memory_write(&memory_as, IOAPIC_DEFAULT_BASE + 0x10, 0, 4);
    memory_write(&memory_as, IOAPIC_DEFAULT_BASE, 0x10 + 2 * input, 4);
    memory_write(&memory_as, IOAPIC_DEFAULT_BASE + 0x10, flags | vector, 4);
}

static bool apic_requested(uint8_t vector)
{
    uint32_t irr =
        (uint32_t)memory_read(&memory_as, APIC_DEFAULT_BASE + 0x200 + vector / 32 * 0x10, 4);
    return irr >> vector % 32 & 1;
}

static void irqs_reach_both_controllers(void)
{
    SET_UP();
    current_cpu = vcpu_env(0);
    memory_write(&memory_as, APIC_DEFAULT_BASE + 0xf0, 0x1ff, 4);
    for (unsigned n = 0; n < 16; n++) {
        uint8_t vector = (uint8_t)(0x40 + n);
        uint16_t port = n < 8 ? 0x20 : 0xa0;
        if (n == 2) {
            continue;
        }
        irq_lower(isa_irq(n));
        ioapic_route(n ? n : 2, vector, 0);
        irq_raise(isa_irq(n));
        CHECK(pic_irr(port) & 1 << n % 8);
        CHECK(apic_requested(vector));
        irq_lower(isa_irq(n));
        CHECK(!(pic_irr(port) & 1 << n % 8));
    }
    current_cpu = NULL;
}

static void pci_interrupts_follow_their_route(void)
{
    PciDevice *vga;

    SET_UP();
    vga = pci_bus_device(pci_bus_first(), PCI_DEVFN(2, 0));
    vga->config[PCI_INTERRUPT_PIN] = 1; /* slot 2, INTA#: PIRQB */
    pci_write(PIIX3, 0x61, 11, 1);
    out8(0x4d1, 0x08);
    pci_set_irq(vga, true);
    CHECK(pic_irr(0xa0) & 0x08);
    pci_set_irq(vga, false);
    CHECK(!(pic_irr(0xa0) & 0x08));
    vga->config[PCI_INTERRUPT_PIN] = 0;
}

static void the_timer_interrupts(void)
{
    SET_UP();
    irq_lower(isa_irq(0));
    out8(0x43, 0x34);
    out8(0x40, 0xa9);
    out8(0x40, 0x04); /* 1193: a millisecond */
    out8(0x20, 0x11);
    out8(0x21, 0x08);
    out8(0x21, 0x04);
    out8(0x21, 0x01);
    CHECK_EQ(pic_irr(0x20) & 1, 0);
    clock_step(2 * NS_PER_MS);
    CHECK_EQ(pic_irr(0x20) & 1, 1);
}

/* ---- reset and saved state ---- */

static void reset_brings_the_rom_back(void)
{
    SET_UP();
    pci_write(0, 0x59, 0x30, 1);
    memory_write(&memory_as, 0xffff0, 0, 1);
    CHECK_EQ(memory_read(&memory_as, 0xffff0, 1), 0);
    out8(0x92, 0);
    CHECK(!a20_enabled());
    devices_reset();
    CHECK_EQ(memory_read(&memory_as, 0xffff0, 1), 0xea);
    CHECK(a20_enabled());
}

static bool init_requested(unsigned cpu)
{
    CPUX86State *env = vcpu_env(cpu);
    bool requested = atomic_load(&env->interrupt_request) & CPU_INTERRUPT_INIT;

    cpu_interrupt_clear(env, CPU_INTERRUPT_INIT);
    return requested;
}

/* The CPUs alone: what the machine has stays, here the 8259's mask. */
static void soft_resets_reach_every_cpu(void)
{
    SET_UP();
    out8(0x21, 0x5a);
    out8(0x92, 0x00);
    out8(0x64, 0xfe);
    CHECK(init_requested(0) && init_requested(1));
    CHECK(a20_enabled()); /* or they would not find the reset vector */
    out8(0x64, 0xff);
    CHECK(!init_requested(0) && !init_requested(1));
    out8(0x64, 0xd1);
    out8(0x60, 0xde);
    CHECK(init_requested(0) && init_requested(1));
    out8(0x92, 0x03);
    CHECK(init_requested(0) && init_requested(1));
    out8(0x92, 0x03); /* no rising edge */
    CHECK(!init_requested(0) && !init_requested(1));
    out8(0xcf9, 0x00);
    CHECK(!init_requested(0));
    out8(0xcf9, 0x04);
    CHECK(init_requested(0) && init_requested(1));
    out8(0xcf9, 0x06); /* no rising edge */
    loop_run_once(0);
    CHECK_EQ(in8(0x21), 0x5a);
    out8(0xcf9, 0x02);
    out8(0xcf9, 0x06);
    CHECK(!init_requested(0));
    loop_run_once(0);
    CHECK_EQ(in8(0x21), 0x00);
}

static void disturb(void)
{
    static const uint16_t ports[] = {0x21, 0xa1, 0x40, 0x43, 0x61, 0x64,
                                     0x92, 0xb2, 0x00, 0xc0, 0x87};

    for (unsigned i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
        out8(ports[i], 0x5a);
        out8(ports[i], 0xa5);
    }
    pci_write(0, 0x59, 0x10, 1);
    pci_write(0, 0x72, 0x48, 1);
    pci_write(PIIX3, 0x60, 5, 1);
    pci_write(PCI_DEVFN(2, 0), PCI_BAR0, 0xf0000000, 4);
    pci_write(PCI_DEVFN(2, 0), PCI_COMMAND, 3, 2);
    out8(0x1f6, 0xe5);
    out8(0x3d4, 0x0c);
    out8(0x3d5, 0x12);
    irq_raise(isa_irq(7));
}

static void the_whole_machine_comes_back(void)
{
    Buffer before = {0}, disturbed = {0}, after = {0};
    Error *err = NULL;

    SET_UP();
    pci_write(0, 0x59, 0x30, 1);
    pci_write(PCI_DEVFN(2, 0), PCI_BAR0, 0xe0000000, 4);
    pci_write(PCI_DEVFN(2, 0), PCI_COMMAND, 2, 2);
    vmstate_save_all(&before);
    disturb();
    vmstate_save_all(&disturbed);
    CHECK(before.size != disturbed.size || memcmp(before.data, disturbed.data, before.size) != 0);
    Reader in = {.data = before.data, .size = before.size};
    if (!vmstate_load_all(&in, &err)) {
        printf("# %s\n", error_text(err));
    }
    CHECK(err == NULL);
    vmstate_save_all(&after);
    CHECK_EQ(after.size, before.size);
    CHECK(memcmp(after.data, before.data, before.size) == 0);
    CHECK(memory_page_lookup(&memory_as, 0xe0000000).host != NULL);
    CHECK(memory_page_lookup(&memory_as, 0xf0000000).host == NULL);
    CHECK(!memory_page_lookup(&memory_as, 0xf0000).readonly);
    buffer_free(&before);
    buffer_free(&disturbed);
    buffer_free(&after);
}

TESTS(TEST(ram_goes_around_the_hole), TEST(the_bios_is_at_both_ends),
      TEST(cmos_describes_the_machine), TEST(chips_are_where_they_belong),
      TEST(irqs_reach_both_controllers), TEST(pci_interrupts_follow_their_route),
      TEST(the_timer_interrupts), TEST(reset_brings_the_rom_back), TEST(soft_resets_reach_every_cpu),
      TEST(the_whole_machine_comes_back))
