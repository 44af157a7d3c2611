/*
 * The firmware configuration device at its ports: items, the directory, DMA with all its commands,
 * what lies outside items and memory, saved state.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/fw_cfg.h"

#include <stdlib.h>

#include "hw/device.h"
#include "hw/memory.h"
#include "hw/vmstate.h"
#include "util/loop.h"

#include "../test.h"

enum { ERROR = 1, READ = 2, SKIP = 4, SELECT = 8, WRITE = 16 };
enum { COMMAND = 0x1000, RAM_SIZE = 1 << 20 };

static FwCfg *fw;
static MemoryRegion ram;

static void set_up(void)
{
    if (!fw) {
        loop_init();
        machine_lock();
        memory_init();
        memory_ram_init(16 << 20, NULL);
        memory_region_init_ram(&ram, "ram", RAM_SIZE, NULL);
        memory_region_add(memory_as.root, 0, &ram, 0);
        fw = fw_cfg_create();
        fw_cfg_add_u32(fw, FW_CFG_KERNEL_ADDR, 0x11223344);
        fw_cfg_add_file_copy(fw, "etc/one", "first file", 10);
        fw_cfg_add_file_copy(fw, "etc/two", "second", 6);
        fw_cfg_add_file_copy(fw, "etc/one", "changed!", 8);
    }
    devices_reset();
}

static void select_item(uint16_t n)
{
    ioport_write(0x510, n, 2);
}

static uint32_t read_bytes(unsigned n)
{
    uint32_t v = 0;
    for (unsigned i = 0; i < n; i++) {
        v |= ioport_read(0x511, 1) << (8 * i);
    }
    return v;
}

/* Runs a command; returns its control word as the device left it. */
static uint32_t dma(uint32_t control, uint32_t length, uint64_t address)
{
    uint32_t words[4] = {__builtin_bswap32(control), __builtin_bswap32(length),
                         __builtin_bswap32(address >> 32), __builtin_bswap32(address)};

    dma_write(COMMAND, words, sizeof(words));
    ioport_write(0x514, 0, 4);
    ioport_write(0x518, __builtin_bswap32(COMMAND), 4);
    dma_read(COMMAND, words, 4);
    return __builtin_bswap32(words[0]);
}

static void signature_and_id(void)
{
    set_up();
    CHECK_EQ(read_bytes(4), 'Q' | 'E' << 8 | 'M' << 16 | 'U' << 24);
    CHECK_EQ(read_bytes(2), 0); /* past the end */
    select_item(FW_CFG_ID);
    CHECK_EQ(read_bytes(4), 3);
    CHECK_EQ(__builtin_bswap32(ioport_read(0x514, 4)), 0x51454d55);
    CHECK_EQ(__builtin_bswap32(ioport_read(0x518, 4)), 0x20434647);
    select_item(FW_CFG_KERNEL_ADDR);
    CHECK_EQ(read_bytes(4), 0x11223344);
    select_item(0x3fff);
    CHECK_EQ(read_bytes(1), 0);
    select_item(0x4000 | FW_CFG_ID);
    CHECK_EQ(read_bytes(1), 0);
}

static void directory_lists_files(void)
{
    uint8_t entry[64];

    set_up();
    select_item(FW_CFG_FILE_DIR);
    CHECK_EQ(__builtin_bswap32(read_bytes(4)), 2);
    for (int i = 0; i < 64; i++) {
        entry[i] = ioport_read(0x511, 1);
    }
    CHECK_EQ(entry[3], 8);
    CHECK_STR((char *)entry + 8, "etc/one");
    select_item(entry[4] << 8 | entry[5]);
    CHECK_EQ(read_bytes(4), 'c' | 'h' << 8 | 'a' << 16 | 'n' << 24);
}

static void dma_commands(void)
{
    char buf[16] = {0};
    uint32_t item = FW_CFG_FILE_FIRST + 1;

    set_up();
    dma_write(0x2000, "################", 16);
    CHECK_EQ(dma(item << 16 | SELECT | READ, 3, 0x2000), 0);
    CHECK_EQ(dma(SKIP, 1, 0), 0);
    CHECK_EQ(dma(READ, 8, 0x2003), 0); /* two bytes and six zeroes */
    dma_read(0x2000, buf, 15);
    CHECK(memcmp(buf, "secnd\0\0\0\0\0\0####", 15) == 0);
    CHECK_EQ(dma(item << 16 | SELECT | WRITE, 2, 0x2000), ERROR);
    CHECK_EQ(dma(item << 16 | SELECT | READ, 6, 0xf0000000), ERROR);
    CHECK_EQ(dma(item << 16 | SELECT | READ, 0xffffffff, 0x80000), ERROR);
    CHECK_EQ(dma(item << 16 | SELECT, 0, 0), 0);
    CHECK_EQ(read_bytes(3), 's' | 'e' << 8 | 'c' << 16);
    CHECK_EQ(dma(SKIP, 0xffffffff, 0), 0);
    CHECK_EQ(dma(SKIP, 0xffffffff, 0), 0);
    CHECK_EQ(read_bytes(1), 0);
    /* a command where there is no memory does nothing */
    ioport_write(0x514, 0xffffffff, 4);
    ioport_write(0x518, 0xffffffff, 4);
    /* and the upper half of the address does not stay for the next */
    uint32_t skip[4] = {__builtin_bswap32(item << 16 | SELECT)};
    dma_write(COMMAND, skip, sizeof(skip));
    ioport_write(0x518, __builtin_bswap32(COMMAND), 4);
    dma_read(COMMAND, skip, 4);
    CHECK_EQ(skip[0], 0);
    CHECK_EQ(dma(item << 16 | SELECT | READ, 1, 0x2000), 0);
}

static void state(void)
{
    Buffer saved = {0}, again = {0};
    Error *err = NULL;

    set_up();
    select_item(FW_CFG_FILE_FIRST + 1);
    CHECK_EQ(read_bytes(2), 's' | 'e' << 8);
    vmstate_save_all(&saved);
    select_item(FW_CFG_ID);
    ioport_write(0x514, 0x1234, 4);
    Reader r = {.data = saved.data, .size = saved.size};
    CHECK(vmstate_load_all(&r, &err));
    vmstate_save_all(&again);
    CHECK_EQ(again.size, saved.size);
    CHECK(memcmp(saved.data, again.data, saved.size) == 0);
    CHECK_EQ(read_bytes(4), 'c' | 'o' << 8 | 'n' << 16 | 'd' << 24);
    buffer_free(&saved);
    buffer_free(&again);
}

TESTS(TEST(signature_and_id), TEST(directory_lists_files), TEST(dma_commands), TEST(state))
