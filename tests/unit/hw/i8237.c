/*
 * 8237 pair: programming through the flip-flop, byte and word channels with their pages, both
 * directions and orders, terminal count, autoinitialise, masks, verify, saved state.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/i8237.h"

#include "tests/unit/hw/board.h"

#define TO_MEMORY   0x44 /* single, write */
#define FROM_MEMORY 0x48
#define AUTO        0x10
#define DOWN        0x20

static Device *dma;
static MemoryRegion ram;
static unsigned ready_calls;

static void ready(void *opaque)
{
    ready_calls++;
}

static void set_up(void)
{
    if (!dma) {
        board_set_up();
        memory_region_init_ram(&ram, "ram", 16 << 20, NULL);
        memory_region_add(memory_as.root, 0, &ram, 0);
        dma = i8237_create();
        i8237_attach(dma, 2, ready, NULL);
    }
    devices_reset();
    memset(ram.host, 0, 1 << 20);
    out8(0xd6, 0xc0); /* the cascade */
    out8(0xd4, 0x00);
    ready_calls = 0;
}

static void program(unsigned ch, uint8_t mode, uint32_t addr, unsigned count)
{
    static const uint8_t pages[8] = {0x87, 0x83, 0x81, 0x82, 0x8f, 0x8b, 0x89, 0x8a};
    bool word = ch >= 4;
    unsigned step = word ? 2 : 1, base = word ? 0xc0 : 0;
    uint16_t offset = (uint16_t)(word ? addr >> 1 : addr), n = (uint16_t)(count - 1);
    uint16_t addr_port = (uint16_t)(base + ch % 4 * 2 * step);

    out8((uint16_t)(base + 12 * step), 0);
    out8((uint16_t)(base + 11 * step), (uint8_t)(mode | ch % 4));
    out8(addr_port, (uint8_t)offset);
    out8(addr_port, (uint8_t)(offset >> 8));
    out8((uint16_t)(addr_port + step), (uint8_t)n);
    out8((uint16_t)(addr_port + step), (uint8_t)(n >> 8));
    out8(pages[ch], (uint8_t)(addr >> 16));
    out8((uint16_t)(base + 10 * step), (uint8_t)(ch % 4)); /* unmask */
}

static void moves_bytes(void)
{
    uint8_t data[300], back[300];
    bool tc;

    set_up();
    for (unsigned i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(i * 7);
    }
    program(2, TO_MEMORY, 0x51000, 300);
    CHECK_EQ(ready_calls, 1);
    CHECK_EQ(i8237_transfer(dma, 2, I8237_TO_MEMORY, data, 100, &tc), 100);
    CHECK(!tc);
    CHECK_EQ(in8(0x04), 0x64); /* the address has moved: 0x1064 */
    CHECK_EQ(in8(0x04), 0x10);
    CHECK_EQ(in8(0x05), 199);
    CHECK_EQ(in8(0x05), 0);
    CHECK_EQ(i8237_transfer(dma, 2, I8237_TO_MEMORY, data + 100, 300, &tc), 200);
    CHECK(tc);
    CHECK(memcmp(ram.host + 0x51000, data, 300) == 0);
    CHECK_EQ(ram.host[0x51000 + 300], 0);
    CHECK_EQ(in8(0x08), 0x04);
    CHECK_EQ(in8(0x08), 0x00);                                          /* read: cleared */
    CHECK_EQ(i8237_transfer(dma, 2, I8237_TO_MEMORY, data, 1, &tc), 0); /* masked itself */

    program(2, FROM_MEMORY, 0x51000, 300);
    CHECK_EQ(i8237_transfer(dma, 2, I8237_TO_MEMORY, back, 300, &tc), 0); /* wrong way */
    CHECK_EQ(i8237_transfer(dma, 2, I8237_FROM_MEMORY, back, 300, &tc), 300);
    CHECK(memcmp(back, data, 300) == 0);
}

static void moves_words(void)
{
    uint8_t data[64];
    bool tc;

    set_up();
    memset(data, 0x5a, sizeof(data));
    program(5, TO_MEMORY, 0x3fff0, 16); /* 16 words over the end of a 64 KB page */
    CHECK_EQ(i8237_transfer(dma, 5, I8237_TO_MEMORY, data, 64, &tc), 32);
    CHECK(tc);
    CHECK_EQ(ram.host[0x3fff0], 0x5a);
    CHECK_EQ(ram.host[0x20000], 0x5a); /* wraps within 128 KB */
    CHECK_EQ(ram.host[0x20010], 0);
    CHECK_EQ(ram.host[0x40000], 0);
    CHECK_EQ(in8(0xd0) & 0x0f, 0x02);
}

static void wraps_within_its_page(void)
{
    uint8_t data[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    bool tc;

    set_up();
    program(1, TO_MEMORY, 0x2fffc, 8);
    CHECK_EQ(i8237_transfer(dma, 1, I8237_TO_MEMORY, data, 8, &tc), 8);
    CHECK_EQ(ram.host[0x2ffff], 4);
    CHECK_EQ(ram.host[0x20000], 5);
    CHECK_EQ(ram.host[0x30000], 0);
}

static void counts_down(void)
{
    uint8_t data[4] = {1, 2, 3, 4};
    bool tc;

    set_up();
    program(3, TO_MEMORY | DOWN, 0x10001, 4);
    CHECK_EQ(i8237_transfer(dma, 3, I8237_TO_MEMORY, data, 4, &tc), 4);
    CHECK_EQ(ram.host[0x10001], 1);
    CHECK_EQ(ram.host[0x10000], 2);
    CHECK_EQ(ram.host[0x1ffff], 3);
    CHECK_EQ(ram.host[0x1fffe], 4);
}

static void starts_again_by_itself(void)
{
    uint8_t data[6] = {1, 2, 3, 4, 5, 6};
    bool tc;

    set_up();
    program(1, TO_MEMORY | AUTO, 0x1000, 4);
    CHECK_EQ(i8237_transfer(dma, 1, I8237_TO_MEMORY, data, 6, &tc), 4);
    CHECK(tc);
    CHECK_EQ(i8237_transfer(dma, 1, I8237_TO_MEMORY, data + 4, 2, &tc), 2);
    CHECK(!tc);
    CHECK(memcmp(ram.host + 0x1000, (uint8_t[]){5, 6, 3, 4}, 4) == 0);
}

static void verifies_without_moving(void)
{
    uint8_t data[4] = {1, 2, 3, 4};
    bool tc;

    set_up();
    program(0, 0x40, 0x1000, 4);
    CHECK_EQ(i8237_transfer(dma, 0, I8237_TO_MEMORY, data, 4, &tc), 4);
    CHECK(tc);
    CHECK_EQ(ram.host[0x1000], 0);
}

static void masks_and_commands(void)
{
    uint8_t data[4] = {0};
    bool tc;

    set_up();
    program(1, TO_MEMORY, 0x1000, 400);
    out8(0x0f, 0x02);
    CHECK_EQ(in8(0x0f), 0xf2);
    CHECK_EQ(i8237_transfer(dma, 1, I8237_TO_MEMORY, data, 4, &tc), 0);
    out8(0x0e, 0); /* clear the mask */
    CHECK_EQ(i8237_transfer(dma, 1, I8237_TO_MEMORY, data, 4, &tc), 4);
    out8(0x08, 0x04); /* controller disabled */
    CHECK_EQ(i8237_transfer(dma, 1, I8237_TO_MEMORY, data, 4, &tc), 0);
    out8(0x08, 0x00);
    out8(0xd4, 0x04); /* the cascade masked */
    CHECK_EQ(i8237_transfer(dma, 1, I8237_TO_MEMORY, data, 4, &tc), 0);
    out8(0xd4, 0x00);
    i8237_set_request(dma, 1, true);
    out8(0x09, 0x04 | 3);
    CHECK_EQ(in8(0x08) >> 4, 0x0a);
    out8(0x0d, 0); /* master clear */
    CHECK_EQ(in8(0x0f), 0xff);
    CHECK_EQ(in8(0x08) >> 4, 0x02);
    i8237_set_request(dma, 1, false);
    out8(0x80, 0x12); /* a page register that nobody uses */
    CHECK_EQ(in8(0x80), 0x12);
}

static void disturb(void)
{
    bool tc;
    uint8_t data[50] = {0};

    i8237_transfer(dma, 2, I8237_TO_MEMORY, data, 50, &tc);
    out8(0x0d, 0);
    out8(0x81, 0x7f);
    program(5, FROM_MEMORY, 0, 5);
}

static void goes_on_after_load(void)
{
    uint8_t data[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    bool tc;

    set_up();
    program(2, TO_MEMORY, 0x21000, 8);
    CHECK_EQ(i8237_transfer(dma, 2, I8237_TO_MEMORY, data, 3, &tc), 3);
    out8(0x04, 0x34); /* half of a new address */
    out8(0x0c, 0);
    out8(0x04, 0x03);
    CHECK(board_round_trip(dma, disturb));
    out8(0x04, 0x10); /* the other half */
    CHECK_EQ(i8237_transfer(dma, 2, I8237_TO_MEMORY, data + 3, 5, &tc), 5);
    CHECK(tc);
    CHECK(memcmp(ram.host + 0x21003, data + 3, 5) == 0);
}

TESTS(TEST(moves_bytes), TEST(moves_words), TEST(wraps_within_its_page), TEST(counts_down),
      TEST(starts_again_by_itself), TEST(verifies_without_moving), TEST(masks_and_commands),
      TEST(goes_on_after_load))
