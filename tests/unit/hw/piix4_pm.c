/*
 * PIIX4 power management: PM timer, PM1 events and the SCI, power button, SMI command port, an
 * SMBus with nobody on it, saved state.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/piix4_pm.h"

#include "hw/machine.h"
#include "tests/unit/hw/board.h"

#define PM    0x600
#define SMB   0x700
#define SCI   9
#define SMI   0 /* board line */
#define DEVFN PCI_DEVFN(1, 3)

#define TMROF  0x0001
#define PWRBTN 0x0100

static MemoryRegion pci_mem;
static Device *pm;

static void set_config(unsigned reg, uint32_t value, unsigned size)
{
    ioport_write(0xcf8, 0x80000000u | DEVFN << 8 | (reg & 0xfc), 4);
    ioport_write((uint16_t)(0xcfc + (reg & 3)), value, size);
}

/* As the BIOS sets it up. */
static void set_up(void)
{
    if (!pm) {
        PciBus *bus;
        board_set_up();
        memory_region_init_container(&pci_mem, "pci", memory_as.root->size);
        memory_region_add(memory_as.root, 0, &pci_mem, -1);
        bus = pci_bus_new(&pci_mem);
        pm = piix4_pm_create(bus, DEVFN, &board_lines[SCI], &board_lines[SMI]);
    }
    devices_reset();
    set_config(0x40, PM | 1, 4);
    set_config(0x80, 1, 1);
    set_config(0x90, SMB | 1, 4);
    set_config(0xd2, 9, 1);
    board_clear_rises();
}

static uint16_t rd16(unsigned reg)
{
    return (uint16_t)ioport_read((uint16_t)(PM + reg), 2);
}

static void wr16(unsigned reg, uint16_t value)
{
    ioport_write((uint16_t)(PM + reg), value, 2);
}

static void maps_its_ports(void)
{
    set_up();
    wr16(2, 0x0121);
    CHECK_EQ(rd16(2), 0x0121);
    set_config(0x80, 0, 1);
    CHECK_EQ(rd16(2), 0xffff);
    set_config(0x40, 0xb000, 4);
    set_config(0x80, 1, 1);
    CHECK_EQ(ioport_read(0xb002, 2), 0x0121);
    CHECK_EQ(in8(0xb003), 0x01);
    out8(0xb002, 0);
    CHECK_EQ(ioport_read(0xb000, 4) >> 16, 0x0100);
    set_config(0xd2, 0, 1);
    CHECK_EQ(in8(SMB), 0xff);
}

static void the_timer_counts(void)
{
    set_up();
    uint32_t start = ioport_read(PM + 8, 4);
    clock_step(NS_PER_SEC);
    uint32_t ticks = (ioport_read(PM + 8, 4) - start) & 0xffffff;
    CHECK(ticks == 3579545 || ticks == 3579546);
    CHECK_EQ(ioport_read(PM + 8, 4) >> 24, 0);
    CHECK_EQ(ioport_read(PM + 0x0a, 2), ioport_read(PM + 8, 4) >> 16);
}

static void the_timer_overflows(void)
{
    set_up();
    wr16(4, 1);
    wr16(0, TMROF);
    wr16(2, TMROF);
    for (unsigned i = 1; i <= 3; i++) {
        clock_step(2343484438); /* 2^23 ticks */
        CHECK_EQ(board_rises[SCI], i);
        CHECK_EQ(rd16(0) & TMROF, TMROF);
        wr16(0, TMROF);
        CHECK(!board_level[SCI]);
    }
    wr16(2, 0);
    clock_step(3 * NS_PER_SEC); /* the status comes without enable, too */
    CHECK_EQ(rd16(0) & TMROF, TMROF);
    CHECK_EQ(board_rises[SCI], 3);
}

static void the_power_button_interrupts(void)
{
    set_up();
    machine_request_powerdown();
    loop_run_once(0);
    CHECK_EQ(rd16(0) & PWRBTN, PWRBTN);
    CHECK(!board_level[SCI]);
    wr16(2, PWRBTN);
    CHECK(!board_level[SCI]); /* not in ACPI mode */
    out8(0xb2, 0xf1);
    CHECK_EQ(rd16(4), 1);
    CHECK(board_level[SCI]);
    wr16(0, PWRBTN);
    CHECK(!board_level[SCI]);
    out8(0xb2, 0xf0);
    CHECK_EQ(rd16(4), 0);
}

static void the_command_port_raises_an_smi(void)
{
    set_up();
    out8(0xb3, 0x55);
    CHECK_EQ(in8(0xb3), 0x55);
    out8(0xb2, 0x01);
    CHECK_EQ(in8(0xb2), 0x01);
    CHECK_EQ(board_rises[SMI], 0);
    set_config(0x58, 1u << 25, 4);
    out8(0xb2, 0x01);
    CHECK_EQ(board_rises[SMI], 0);
    ioport_write(PM + 0x28, 1, 4);
    out8(0xb2, 0x02);
    CHECK_EQ(board_rises[SMI], 1);
}

static void nobody_answers_on_the_smbus(void)
{
    set_up();
    CHECK_EQ(in8(SMB), 0);
    out8(SMB + 4, 0xa1);
    out8(SMB + 3, 0x00);
    out8(SMB + 2, 0x48);
    CHECK_EQ(in8(SMB), 0x04); /* not busy, device error */
    CHECK_EQ(in8(SMB + 2) & 0x40, 0);
    out8(SMB, 0xff);
    CHECK_EQ(in8(SMB), 0);
    out8(SMB + 2, 0x02);
    CHECK_EQ(in8(SMB), 0x10);
    out8(SMB, 0xff);
    for (unsigned i = 0; i < 100; i++) {
        out8(SMB + 7, (uint8_t)i);
    }
    in8(SMB + 2);
    CHECK_EQ(in8(SMB + 7), 96);
    CHECK_EQ(in8(SMB + 7), 97);
}

static void disturb(void)
{
    wr16(2, 0);
    out8(0xb2, 0xf0);
    out8(0xb3, 1);
    out8(SMB + 2, 0x48);
    out8(SMB + 7, 0x99);
    ioport_write(PM + 0x34, 0xffffffff, 4);
    set_config(0x40, 0xb000, 4);
    set_config(0xd2, 0, 1);
}

static void goes_on_after_load(void)
{
    set_up();
    out8(0xb2, 0xf1);
    wr16(0, TMROF);
    wr16(2, TMROF | PWRBTN);
    out8(SMB + 7, 0x12);
    CHECK(board_round_trip(pm, disturb));
    CHECK_EQ(rd16(2), TMROF | PWRBTN);
    CHECK_EQ(in8(SMB), 0);
    CHECK_EQ(ioport_read(0xb002, 2), 0xffff);
    clock_step(2343484438);
    CHECK(board_level[SCI]);
}

TESTS(TEST(maps_its_ports), TEST(the_timer_counts), TEST(the_timer_overflows),
      TEST(the_power_button_interrupts), TEST(the_command_port_raises_an_smi),
      TEST(nobody_answers_on_the_smbus), TEST(goes_on_after_load))
