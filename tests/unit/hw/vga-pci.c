/*
 * The VGA on PCI: identity, frame buffer and register BARs, ROM, saved state.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/vga.h"

#include <stdlib.h>

#include "hw/memory.h"
#include "ui/display.h"
#include "util/loop.h"

#include "../test.h"

#define LFB  0xfd000000u
#define MMIO 0xfebf0000u
#define ROM  0xfeb00000u

static PciBus *bus;
static PciDevice *vga;

static void set_up(void)
{
    if (!bus) {
        machine_lock();
        clock_use_stepped();
        memory_init();
        memory_ram_init(64 << 20, NULL);
        bus = pci_bus_new(memory_as.root);
        vga = (PciDevice *)vga_pci_create(bus, PCI_DEVFN(2, 0));
    }
    devices_reset();
    pci_config_write(vga, PCI_BAR0, LFB, 4);
    pci_config_write(vga, PCI_BAR0 + 8, MMIO, 4);
    pci_config_write(vga, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY, 2);
}

static void is_the_standard_vga(void)
{
    set_up();
    CHECK_EQ(pci_config_read(vga, PCI_VENDOR_ID, 4), 0x11111234);
    CHECK_EQ(pci_config_read(vga, PCI_CLASS_DEVICE, 2), 0x0300);
    CHECK_EQ(pci_config_read(vga, PCI_BAR0, 4), LFB | PCI_BAR_PREFETCH);
    pci_config_write(vga, PCI_BAR0, 0xffffffff, 4);
    CHECK_EQ(pci_config_read(vga, PCI_BAR0, 4), 0xff000008); /* 16 MB */
    pci_config_write(vga, PCI_BAR0 + 8, 0xffffffff, 4);
    CHECK_EQ(pci_config_read(vga, PCI_BAR0 + 8, 4), 0xfffff000);
}

static void rom_has_its_signature(void)
{
    set_up();
    pci_config_write(vga, PCI_ROM_ADDRESS, ROM | PCI_ROM_ENABLE, 4);
    CHECK_EQ(memory_read(&memory_as, ROM, 2), 0xaa55);
}

static void registers_show_in_memory(void)
{
    set_up();
    CHECK_EQ(memory_read(&memory_as, MMIO + 0x500, 2), 0xb0c5);
    memory_write(&memory_as, MMIO + 0x502, 640, 2);
    memory_write(&memory_as, MMIO + 0x504, 480, 2);
    memory_write(&memory_as, MMIO + 0x506, 32, 2);
    memory_write(&memory_as, MMIO + 0x508, 0x41, 2);
    memory_read(&memory_as, MMIO + 0x41a, 1);        /* 3da: the attribute flip-flop */
    memory_write(&memory_as, MMIO + 0x400, 0x20, 1); /* 3c0: screen on */
    memory_write(&memory_as, LFB + 4 * 641, 0x123456, 4);
    display_update(display_first());
    CHECK_EQ(display_surface(display_first())->width, 640);
    CHECK_EQ(display_surface(display_first())->pixels[641], 0x123456);
    memory_write(&memory_as, MMIO + 0x404, 0x0f02, 2); /* 3c4 and 3c5 in one */
    CHECK_EQ(ioport_read(0x3c5, 1), 0x0f);
    CHECK_EQ(memory_read(&memory_as, MMIO + 0x800, 4), 0);
}

static void state_is_complete(void)
{
    Buffer before = {0}, after = {0};
    Error *err = NULL;
    Reader in;

    set_up();
    memory_write(&memory_as, MMIO + 0x502, 800, 2);
    memory_write(&memory_as, MMIO + 0x504, 600, 2);
    memory_write(&memory_as, MMIO + 0x508, 0x41, 2);
    memory_write(&memory_as, MMIO + 0x50a, 3, 2);
    memory_write(&memory_as, LFB, 0x77, 1);
    vmstate_save_all(&before);
    devices_reset();
    CHECK_EQ(memory_read(&memory_as, MMIO + 0x500, 2), 0xffff);
    in = (Reader){before.data, before.size, 0, false};
    CHECK(vmstate_load_all(&in, &err));
    vmstate_save_all(&after);
    CHECK(before.size == after.size && memcmp(before.data, after.data, after.size) == 0);
    CHECK_EQ(memory_read(&memory_as, MMIO + 0x502, 2), 800);
    CHECK_EQ(memory_read(&memory_as, LFB, 1), 0x77);
    buffer_free(&before);
    buffer_free(&after);
}

TESTS(TEST(is_the_standard_vga), TEST(rom_has_its_signature), TEST(registers_show_in_memory),
      TEST(state_is_complete))
