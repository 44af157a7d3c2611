/*
 * The CD-ROM at its registers: packets by PIO and DMA, what it says about itself, its tray and lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/ide.h"

#include "hw/ide-core.h"
#include "tests/unit/hw/ide-fixture.h"

static void packet(uint16_t limit, bool dma, const uint8_t p[12])
{
    out(0x176, 0xa0);
    out(0x171, dma);
    out(0x174, limit);
    out(0x175, limit >> 8);
    out(0x177, 0xa0);
    write_words(0x170, p, 6);
}

static bool cd_matches(const uint8_t *data, uint64_t offset, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        if (data[i] != pattern(offset + i)) {
            return false;
        }
    }
    return true;
}

static void cdrom_reads_in_blocks_the_host_allows(void)
{
    static uint8_t data[3 * 2048];
    static const uint8_t read_3[12] = {0x28, 0, 0, 0, 0, 17, 0, 0, 3};
    unsigned got = 0, blocks = 0;

    set_up();
    out(0x177, 0xec);
    CHECK_EQ(in(0x177), 0x51);
    CHECK_EQ(in(0x174), 0x14);
    irq_count[1] = 0;
    packet(0x1001, false, read_3);
    while (settle(0x170) & ATA_DRQ) {
        unsigned n = in(0x174) | in(0x175) << 8;
        CHECK(n <= 0x1000 && n % 2 == 0 && got + n <= sizeof(data));
        CHECK_EQ(in(0x172), ATAPI_IO);
        CHECK_EQ(irq_count[1], blocks + 1);
        in(0x177);
        read_words(0x170, data + got, n / 2);
        got += n;
        blocks++;
    }
    CHECK_EQ(got, sizeof(data));
    CHECK_EQ(blocks, 2);
    CHECK_EQ(in(0x172), ATAPI_IO | ATAPI_CD);
    CHECK_EQ(irq_count[1], 3);
    CHECK(cd_matches(data, 17 * 2048, sizeof(data)));
    /* the same by DMA */
    put_prd(0, 0x50000, sizeof(data), true);
    packet(0, true, read_3);
    ioport_write(BM + 12, 0x1000, 4);
    out(BM + 8, 9);
    CHECK_EQ(settle(0x170), 0x50);
    CHECK_EQ(in(BM + 10) & 7, 4);
    dma_read(0x50000, data, sizeof(data));
    CHECK(cd_matches(data, 17 * 2048, sizeof(data)));
    out(BM + 8, 0);
}

static void cdrom_answers_about_itself(void)
{
    static const uint8_t capacity[12] = {0x25}, beyond[12] = {0x28, 0, 0, 0, 1, 44, 0, 0, 1};
    static const uint8_t sense[12] = {0x03, 0, 0, 0, 18}, inquire[12] = {0x12, 0, 0, 0, 36};
    static const uint8_t toc[12] = {0x43, 2, 0, 0, 0, 0, 0, 0, 20}, unknown[12] = {0xff};
    uint8_t b[64];

    set_up();
    packet(0x100, false, capacity);
    CHECK_EQ(settle(0x170), 0x58);
    read_words(0x170, b, 4);
    CHECK_EQ(b[2] << 8 | b[3], CD_SECTORS - 1);
    CHECK_EQ(b[6] << 8 | b[7], 2048);
    packet(0x100, false, beyond);
    CHECK_EQ(in(0x177), 0x51);
    packet(0x100, false, sense);
    read_words(0x170, b, 9);
    CHECK_EQ(b[2], 5);
    CHECK_EQ(b[12], 0x21);
    packet(0x100, false, unknown);
    CHECK_EQ(in(0x171), 0x54);
    packet(0x100, false, inquire);
    CHECK_EQ(in(0x174), 36);
    read_words(0x170, b, 18);
    CHECK_EQ(b[0], 5);
    CHECK(memcmp(b + 8, "VOLE", 4) == 0);
    packet(0x100, false, toc);
    read_words(0x170, b, 10);
    CHECK_EQ(b[1], 18);
    CHECK_EQ(b[4 + 6], 2); /* track 1 at 00:02:00 */
    CHECK_EQ(b[12 + 2], 0xaa);
    CHECK_EQ(in(0x177), 0x50);
}

static void cdrom_tray(void)
{
    static const uint8_t eject[12] = {0x1b, 0, 0, 0, 2}, load[12] = {0x1b, 0, 0, 0, 3},
                         ready[12] = {0};
    static const uint8_t lock[12] = {0x1e, 0, 0, 0, 1}, unlock[12] = {0x1e};

    set_up();
    packet(0, false, ready);
    CHECK_EQ(in(0x177), 0x50);
    packet(0, false, lock);
    packet(0, false, eject);
    CHECK_EQ(in(0x177), 0x51);
    packet(0, false, unlock);
    packet(0, false, eject);
    CHECK_EQ(in(0x177), 0x50);
    packet(0, false, ready);
    CHECK_EQ(in(0x171), 0x20);
    packet(0, false, load);
    packet(0, false, ready);
    CHECK_EQ(in(0x171), 0x60); /* not ready to ready: attention once */
    packet(0, false, ready);
    CHECK_EQ(in(0x177), 0x50);
}

/* A drive's user who wants a medium that the guest has locked in: the guest is asked for it. */
static void cdrom_is_asked_for_its_medium(void)
{
    static const uint8_t lock[12] = {0x1e, 0, 0, 0, 1}, unlock[12] = {0x1e},
                         events[12] = {0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8};
    uint8_t b[8];
    Error *err = NULL;

    set_up();
    BlockBackend *cd = blk_find("ide1-cd0");
    CHECK(blk_may_eject(cd, false, NULL));
    packet(0x100, false, events); /* of a medium put in at the beginning, perhaps */
    read_words(0x170, b, 4);
    packet(0, false, lock);
    CHECK(blk_medium_locked(cd));
    CHECK(!blk_may_eject(cd, false, &err));
    CHECK(err && strstr(error_text(err), "is locked"));
    error_free(err);
    CHECK(blk_may_eject(cd, true, NULL));
    packet(0x100, false, events);
    read_words(0x170, b, 4);
    CHECK_EQ(b[4], 1); /* eject request, once */
    packet(0x100, false, events);
    read_words(0x170, b, 4);
    CHECK_EQ(b[4], 0);
    packet(0, false, unlock);
    CHECK(blk_may_eject(cd, false, NULL));
    packet(0, false, lock);
    set_up(); /* a reset opens the lock */
    CHECK(blk_may_eject(cd, false, NULL));
}

TESTS(TEST(cdrom_reads_in_blocks_the_host_allows), TEST(cdrom_answers_about_itself),
      TEST(cdrom_tray), TEST(cdrom_is_asked_for_its_medium))
