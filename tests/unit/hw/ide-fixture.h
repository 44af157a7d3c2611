/*
 * The IDE tests' machine: a disk as primary master, a CD-ROM as secondary master, their images full
 * of a pattern; commands and data at the ports.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_UNIT_HW_IDE_FIXTURE_H
#define TESTS_UNIT_HW_IDE_FIXTURE_H

#include <stdlib.h>
#include <unistd.h>

#include "block/blkopts.h"
#include "hw/ide.h"
#include "hw/memory.h"
#include "hw/pci.h"
#include "util/loop.h"

#include "../test.h"

enum { SECTORS = 5000, CD_SECTORS = 300 };
enum { BM = 0xc000, RAM_SIZE = 8 << 20 };
enum {
    DATA = 0x1f0,
    COUNT = 0x1f2,
    LOW = 0x1f3,
    MID = 0x1f4,
    HIGH = 0x1f5,
    DEV = 0x1f6,
    STATUS = 0x1f7
};
enum { CONTROL = 0x3f6 };

static char disk_path[64], cd_path[64];
static IrqLine irq14, irq15;
static int irq_level[2], irq_count[2];
static MemoryRegion ram;

__attribute__((unused)) static uint8_t pattern(uint64_t offset)
{
    return offset / 512 * 7 + offset * 13 + (offset >> 9 & 0xff);
}

__attribute__((unused)) static void make_image(char path[64], size_t bytes)
{
    strcpy(path, "/tmp/vole-ide-XXXXXX");
    int fd = mkstemp(path);
    uint8_t *data = malloc(bytes);
    for (size_t i = 0; i < bytes; i++) {
        data[i] = pattern(i);
    }
    if (write(fd, data, bytes) != (ssize_t)bytes) {
        abort();
    }
    close(fd);
    free(data);
}

__attribute__((unused)) static void irq_changed(void *opaque, int n, bool level)
{
    irq_count[n] += level && !irq_level[n];
    irq_level[n] = level;
}

__attribute__((unused)) static void out(uint16_t port, uint32_t v)
{
    ioport_write(port, v, 1);
}

__attribute__((unused)) static uint8_t in(uint16_t port)
{
    return ioport_read(port, 1);
}

__attribute__((unused)) static void config_write(uint8_t reg, uint32_t value, unsigned size)
{
    ioport_write(0xcf8, 0x80000900 | (reg & ~3), 4);
    ioport_write(0xcfc + (reg & 3), value, size);
}

__attribute__((unused)) static BlockBackend *open_image(const char *id, const char *path,
                                                        bool cdrom)
{
    BlockOptions *options = blkopts_new();
    BlkOpenOptions o = {.file = path, .format = "raw", .cdrom = cdrom, .options = options};
    blkopts_set(options, "file.aio", "threads"); /* so that failing reads can be put in */
    Error *err = NULL;
    BlockBackend *blk = blk_open(id, &o, &err);
    blkopts_free(options);
    if (!blk) {
        error_report_free(err);
        exit(1);
    }
    return blk;
}

/* The machine is made once; every test begins with a reset one. Primary master: disk; secondary
   master: CD-ROM. */
__attribute__((unused)) static void set_up(void)
{
    static bool made;

    if (!made) {
        made = true;
        loop_init();
        machine_lock();
        clock_use_stepped(); /* the guest's time is state, too */
        memory_init();
        memory_ram_init(64 << 20, NULL);
        memory_region_init_ram(&ram, "ram", RAM_SIZE, NULL);
        memory_region_add(memory_as.root, 0, &ram, 0);
        irq_init(&irq14, irq_changed, NULL, 0);
        irq_init(&irq15, irq_changed, NULL, 1);
        make_image(disk_path, SECTORS * 512);
        make_image(cd_path, CD_SECTORS * 2048);
        BlockBackend *drives[4] = {open_image("ide0-hd0", disk_path, false), NULL,
                                   open_image("ide1-cd0", cd_path, true), NULL};
        piix3_ide_create(pci_bus_new(memory_as.root), PCI_DEVFN(1, 1), drives, &irq14, &irq15);
        unlink(disk_path);
        unlink(cd_path);
    }
    blk_drain(NULL);
    devices_reset();
    config_write(0x20, BM, 4);
    config_write(0x40, 0x80008000, 4);
    config_write(0x04, 5, 2);
    irq_count[0] = irq_count[1] = 0;
}

/* Waits for the image. */
__attribute__((unused)) static uint8_t settle(uint16_t base)
{
    blk_drain(NULL);
    return in(base + 0x206);
}

__attribute__((unused)) static void read_words(uint16_t base, void *buf, unsigned words)
{
    for (unsigned i = 0; i < words; i++) {
        uint16_t v = ioport_read(base, 2);
        memcpy((uint8_t *)buf + 2 * i, &v, 2);
    }
}

__attribute__((unused)) static void write_words(uint16_t base, const void *buf, unsigned words)
{
    for (unsigned i = 0; i < words; i++) {
        uint16_t v;
        memcpy(&v, (const uint8_t *)buf + 2 * i, 2);
        ioport_write(base, v, 2);
    }
}

__attribute__((unused)) static bool matches(const uint8_t *data, uint64_t sector, unsigned sectors)
{
    for (unsigned i = 0; i < sectors * 512; i++) {
        if (data[i] != pattern(sector * 512 + i)) {
            return false;
        }
    }
    return true;
}

__attribute__((unused)) static void lba28(uint32_t lba, uint8_t count, uint8_t command)
{
    out(DEV, 0xe0 | (lba >> 24 & 15));
    out(COUNT, count);
    out(LOW, lba);
    out(MID, lba >> 8);
    out(HIGH, lba >> 16);
    out(STATUS, command);
}

__attribute__((unused)) static void lba48(uint64_t lba, uint16_t count, uint8_t command)
{
    out(DEV, 0x40);
    out(COUNT, count >> 8);
    out(COUNT, count);
    out(LOW, lba >> 24);
    out(LOW, lba);
    out(MID, lba >> 32);
    out(MID, lba >> 8);
    out(HIGH, lba >> 40);
    out(HIGH, lba >> 16);
    out(STATUS, command);
}

/* Restores the pattern after a test that wrote. */
__attribute__((unused)) static void repair(uint32_t lba, unsigned count)
{
    uint8_t data[512];

    for (unsigned s = lba; s < lba + count; s++) {
        for (unsigned i = 0; i < 512; i++) {
            data[i] = pattern(s * 512ull + i);
        }
        lba28(s, 1, 0x30);
        write_words(DATA, data, 256);
        settle(0x1f0);
    }
}

__attribute__((unused)) static void put_prd(unsigned n, uint32_t addr, uint32_t count, bool last)
{
    uint32_t prd[2] = {addr, (count & 0xffff) | (last ? 0x80000000u : 0)};
    dma_write(0x1000 + 8 * n, prd, 8);
}

__attribute__((unused)) static void start_dma(uint8_t command)
{
    ioport_write(BM + 4, 0x1000, 4);
    out(BM + 2, 0x06);
    out(BM, command);
    out(BM, command | 1);
}

#endif
