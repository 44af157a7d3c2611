/*
 * 440FX: every PAM attribute of every segment, SMRAM open, closed, locked and as a CPU in SMM sees
 * it, and saved state.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/i440fx.h"

#include "tests/unit/hw/board.h"

#define PAM   0x59
#define SMRAM 0x72

#define FROM_PCI 0xee /* what the ROM on the bus reads as */

static MemoryRegion ram, ram_low, pci_mem, rom, vga;
static uint8_t vga_written;
static Device *bridge;

static uint64_t vga_read(void *opaque, hwaddr addr, unsigned size)
{
    return 0x77;
}

static void vga_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    vga_written = (uint8_t)value;
}

static const MemoryOps vga_ops = {.read = vga_read, .write = vga_write, .max_size = 1};

static void set_config(unsigned reg, uint8_t value)
{
    ioport_write(0xcf8, 0x80000000u | (reg & 0xfc), 4);
    out8((uint16_t)(0xcfc + (reg & 3)), value);
}

static uint8_t config(unsigned reg)
{
    ioport_write(0xcf8, 0x80000000u | (reg & 0xfc), 4);
    return in8((uint16_t)(0xcfc + (reg & 3)));
}

static uint8_t peek(hwaddr addr)
{
    return (uint8_t)memory_read(&memory_as, addr, 1);
}

static void poke(hwaddr addr, uint8_t value)
{
    memory_write(&memory_as, addr, value, 1);
}

static void set_up(void)
{
    if (!bridge) {
        PciBus *bus;
        board_set_up();
        memory_region_init_ram(&ram, "ram", 2 << 20, NULL);
        memory_region_init_alias(&ram_low, "ram-low", &ram, 0, ram.size);
        memory_region_add(memory_as.root, 0, &ram_low, 0);
        memory_region_init_container(&pci_mem, "pci", memory_as.root->size);
        memory_region_add(memory_as.root, 0, &pci_mem, -1);
        memory_region_init_rom(&rom, "rom", 0x40000, NULL);
        memset(rom.host, FROM_PCI, 0x40000);
        memory_region_add(&pci_mem, 0xc0000, &rom, 0);
        memory_region_init_io(&vga, "vga", 0x20000, &vga_ops, NULL);
        memory_region_add(&pci_mem, 0xa0000, &vga, 0);
        bus = pci_bus_new(&pci_mem);
        bridge = i440fx_create(bus, &ram, &pci_mem);
    }
    devices_reset();
    memset(ram.host + 0xa0000, 0x11, 0x60000);
}

static void everything_is_pci_after_reset(void)
{
    set_up();
    for (hwaddr addr = 0xc0000; addr < 0x100000; addr += 0x1000) {
        CHECK_EQ(peek(addr), FROM_PCI);
        poke(addr, 0x55);
        CHECK_EQ(ram.host[addr], 0x11);
    }
    CHECK_EQ(peek(0xa0000), 0x77);
    CHECK_EQ(config(SMRAM), 0x02);
}

/* Each 16 KB segment, and the BIOS' 64 KB, with each of the four attributes, alone. */
static void pam_attributes(void)
{
    for (unsigned n = 0; n < 13; n++) {
        hwaddr base = 0xc0000 + 0x4000 * n, end = n == 12 ? 0x100000 : base + 0x4000;
        unsigned reg = n == 12 ? PAM : PAM + 1 + n / 2, shift = n == 12 || (n & 1) ? 4 : 0;
        for (unsigned attributes = 0; attributes < 4; attributes++) {
            bool read = attributes & 1, write = attributes & 2;
            set_up();
            set_config(reg, (uint8_t)(attributes << shift));
            CHECK_EQ(peek(base), read ? 0x11 : FROM_PCI);
            CHECK_EQ(peek(end - 1), read ? 0x11 : FROM_PCI);
            poke(base + 1, 0x55);
            memory_write(&memory_as, end - 4, 0x66666666, 4);
            CHECK_EQ(ram.host[base + 1], write ? 0x55 : 0x11);
            CHECK_EQ(ram.host[end - 1], write ? 0x66 : 0x11);
            CHECK_EQ(peek(base + 1), read ? (write ? 0x55 : 0x11) : FROM_PCI);
            CHECK_EQ(rom.host[base + 1 - 0xc0000], FROM_PCI);
            if (base > 0xc0000) {
                CHECK_EQ(peek(base - 1), FROM_PCI); /* the neighbour */
            }
        }
    }
}

static void plain_ram_is_a_page_for_the_cpu(void)
{
    set_up();
    CHECK(memory_page_lookup(&memory_as, 0xc0000).readonly);
    set_config(PAM + 1, 0x33);
    MemoryPage page = memory_page_lookup(&memory_as, 0xc4000);
    CHECK(page.host == ram.host + 0xc4000);
    CHECK(!page.readonly);
    set_config(PAM + 1, 0x11);
    page = memory_page_lookup(&memory_as, 0xc4000);
    CHECK(page.host == ram.host + 0xc4000);
    CHECK(page.readonly);
}

static void smram_opens_and_closes(void)
{
    set_up();
    poke(0xa0000, 0x42);
    CHECK_EQ(vga_written, 0x42);
    set_config(SMRAM, 0x08 | 0x40);
    poke(0xa0000, 0x43);
    CHECK_EQ(vga_written, 0x42);
    CHECK_EQ(peek(0xa0000), 0x43);
    set_config(SMRAM, 0x08);
    CHECK_EQ(peek(0xa0000), 0x77);
    set_config(SMRAM, 0x40); /* open, but not enabled */
    CHECK_EQ(peek(0xa0000), 0x77);
}

static void smm_sees_smram(void)
{
    set_up();
    ram.host[0xa8000] = 0x99;
    CHECK_EQ(memory_read(&memory_smm_as, 0xa8000, 1), 0x77);
    set_config(SMRAM, 0x08);
    CHECK_EQ(memory_read(&memory_smm_as, 0xa8000, 1), 0x99);
    memory_write(&memory_smm_as, 0xa8000, 0x98, 1);
    CHECK_EQ(ram.host[0xa8000], 0x98);
    CHECK_EQ(memory_read(&memory_smm_as, 0xc0000, 1), FROM_PCI);
    CHECK_EQ(memory_read(&memory_smm_as, 0x1000, 1), 0);
}

/* D_CLS: SMM's code is in SMRAM, its data goes through to the screen. */
static void data_goes_past_closed_smram(void)
{
    set_up();
    ram.host[0xa8000] = 0x99;
    set_config(SMRAM, 0x08 | 0x20);
    CHECK_EQ(memory_fetch(&memory_smm_as, 0xa8000), 0x99);
    CHECK_EQ(memory_read(&memory_smm_as, 0xa8000, 1), 0x77);
    memory_write(&memory_smm_as, 0xa8000, 0x44, 1);
    CHECK_EQ(vga_written, 0x44);
    CHECK_EQ(ram.host[0xa8000], 0x99);
    CHECK_EQ(memory_fetch(&memory_smm_as, 0xc0000), FROM_PCI);
    CHECK_EQ(memory_fetch(&memory_as, 0xa8000), 0x77);
    set_config(SMRAM, 0x20); /* not enabled */
    CHECK_EQ(memory_fetch(&memory_smm_as, 0xa8000), 0x77);
    set_config(SMRAM, 0x08);
    CHECK_EQ(memory_read(&memory_smm_as, 0xa8000, 1), 0x99);
}

static void the_lock_holds_until_reset(void)
{
    set_up();
    set_config(SMRAM, 0x08 | 0x40 | 0x10);
    CHECK_EQ(config(SMRAM), 0x1a); /* locking closes */
    set_config(SMRAM, 0x48);
    CHECK_EQ(config(SMRAM), 0x1a);
    CHECK_EQ(peek(0xa0000), 0x77);
    set_config(PAM, 0x30); /* the others are not locked */
    CHECK_EQ(config(PAM), 0x30);
    devices_reset();
    CHECK_EQ(config(SMRAM), 0x02);
    CHECK_EQ(config(PAM), 0);
    set_config(SMRAM, 0x48);
    CHECK_EQ(config(SMRAM), 0x4a);
}

static void disturb(void)
{
    set_config(SMRAM, 0x48);
    set_config(PAM, 0x00);
    set_config(PAM + 3, 0x21);
}

static void goes_on_after_load(void)
{
    set_up();
    set_config(PAM, 0x30);
    set_config(PAM + 1, 0x01);
    set_config(SMRAM, 0x18);
    ram.host[0xa0000] = 0x5a;
    CHECK(board_round_trip(bridge, disturb));
    poke(0xf0000, 0x12);
    CHECK_EQ(peek(0xf0000), 0x12);
    poke(0xc0000, 0x12);
    CHECK_EQ(peek(0xc0000), 0x11);
    CHECK_EQ(peek(0xa0000), 0x77);
    CHECK_EQ(memory_read(&memory_smm_as, 0xa0000, 1), 0x5a);
    set_config(SMRAM, 0x48);
    CHECK_EQ(config(SMRAM), 0x1a); /* still locked */
}

TESTS(TEST(everything_is_pci_after_reset), TEST(pam_attributes),
      TEST(plain_ram_is_a_page_for_the_cpu), TEST(smram_opens_and_closes), TEST(smm_sees_smram),
      TEST(data_goes_past_closed_smram), TEST(the_lock_holds_until_reset), TEST(goes_on_after_load))
