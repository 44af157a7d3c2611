/*
 * IDE at its registers: identification, PIO and DMA transfers in every addressing mode, errors,
 * absent drives, resets, and saved state in the middle of transfers. The CD-ROM is in ide-atapi.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/ide.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "hw/ide-core.h"
#include "hw/machine.h"
#include "hw/memory.h"
#include "hw/vmstate.h"
#include "tests/unit/hw/ide-fixture.h"
#include "util/loop.h"

/* ---- identification and registers ---- */

static void identifies_the_disk(void)
{
    uint16_t id[256];
    uint8_t sum = 0;

    set_up();
    out(DEV, 0xa0);
    out(STATUS, 0xec);
    CHECK_EQ(irq_count[0], 1);
    CHECK_EQ(in(STATUS), ATA_DRDY | ATA_DSC | ATA_DRQ);
    CHECK_EQ(irq_level[0], 0);
    read_words(DATA, id, 256);
    CHECK_EQ(in(STATUS), ATA_DRDY | ATA_DSC);
    CHECK_EQ(irq_count[0], 1);
    CHECK_EQ(id[0], 0x40);
    CHECK_EQ(id[3], 16);
    CHECK_EQ(id[6], 63);
    CHECK_EQ(id[1], SECTORS / (16 * 63));
    CHECK_EQ(id[60] | id[61] << 16, SECTORS);
    CHECK_EQ(id[100], SECTORS);
    CHECK_EQ(id[83] & 0x400, 0x400);
    for (unsigned i = 0; i < 512; i++) {
        sum += ((uint8_t *)id)[i];
    }
    CHECK_EQ(sum, 0);
    CHECK(memcmp(id + 27, "OVELH RADDSI K", 14) == 0);
}

static void reset_shows_signatures(void)
{
    set_up();
    CHECK_EQ(in(COUNT), 1);
    CHECK_EQ(in(LOW), 1);
    CHECK_EQ(in(MID), 0);
    CHECK_EQ(in(0x174), 0x14);
    CHECK_EQ(in(0x175), 0xeb);
    out(MID, 0x33);
    out(CONTROL, 0x04);
    CHECK_EQ(in(STATUS), ATA_BSY);
    out(CONTROL, 0x00);
    CHECK_EQ(in(STATUS), ATA_DRDY | ATA_DSC);
    CHECK_EQ(in(0x1f1), 1);
    CHECK_EQ(in(MID), 0);
    out(STATUS, 0x90);
    CHECK_EQ(irq_count[0], 1);
    CHECK_EQ(in(0x1f1), 1);
}

static void absent_drives_answer_as_wires_do(void)
{
    set_up();
    out(DEV, 0xb0);
    CHECK_EQ(in(STATUS), 0);
    CHECK_EQ(in(CONTROL), 0);
    CHECK_EQ(ioport_read(DATA, 2), 0xffff);
    out(STATUS, 0xec);
    CHECK_EQ(in(STATUS), 0);
    CHECK_EQ(irq_count[0], 0);
    out(DEV, 0xa0);
    CHECK_EQ(in(STATUS), ATA_DRDY | ATA_DSC);
}

static void decoding_follows_idetim(void)
{
    set_up();
    CHECK_EQ(in(STATUS), 0x50);
    config_write(0x40, 0x0000, 2);
    CHECK_EQ(in(STATUS), 0xff);
    CHECK_EQ(in(0x177), 0);
    config_write(0x04, 0, 2);
    CHECK_EQ(in(0x177), 0xff);
}

/* ---- PIO ---- */

static void reads_by_pio_with_an_interrupt_a_sector(void)
{
    static uint8_t data[3 * 512];

    set_up();
    lba28(1234, 3, 0x20);
    CHECK_EQ(in(CONTROL), ATA_BSY);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(settle(0x1f0), ATA_DRDY | ATA_DSC | ATA_DRQ);
        CHECK_EQ(irq_count[0], i + 1);
        in(STATUS);
        read_words(DATA, data + 512 * i, 256);
    }
    CHECK_EQ(in(STATUS), ATA_DRDY | ATA_DSC);
    CHECK_EQ(irq_count[0], 3);
    CHECK(matches(data, 1234, 3));
    CHECK_EQ(in(COUNT), 0);
    CHECK_EQ(in(LOW) | in(MID) << 8 | in(HIGH) << 16, 1236);
}

static void reads_256_sectors_for_count_zero(void)
{
    static uint8_t data[256 * 512];

    set_up();
    lba28(100, 0, 0x20);
    for (int i = 0; i < 256; i++) {
        CHECK_EQ(settle(0x1f0), 0x58);
        read_words(DATA, data + 512 * i, 256);
    }
    CHECK_EQ(in(STATUS), 0x50);
    CHECK(matches(data, 100, 256));
}

static void reads_by_cylinder_head_sector(void)
{
    uint8_t data[512];

    set_up();
    out(DEV, 0xa0 | 5);
    out(COUNT, 1);
    out(LOW, 63);
    out(MID, 2);
    out(HIGH, 0);
    out(STATUS, 0x20);
    CHECK_EQ(settle(0x1f0), 0x58);
    read_words(DATA, data, 256);
    CHECK(matches(data, (2 * 16 + 5) * 63 + 62, 1));
    /* another translation, and the registers count in it */
    out(DEV, 0xa0 | 3);
    out(COUNT, 17);
    out(STATUS, 0x91);
    CHECK_EQ(in(STATUS), 0x50);
    out(DEV, 0xa0 | 3);
    out(COUNT, 2);
    out(LOW, 17);
    out(MID, 1);
    out(STATUS, 0x20);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(settle(0x1f0), 0x58);
        read_words(DATA, data, 256);
        CHECK(matches(data, (1 * 4 + 3) * 17 + 16 + i, 1));
    }
    CHECK_EQ(in(LOW), 1);
    CHECK_EQ(in(MID), 2);
    CHECK_EQ(in(DEV)&15, 0);
}

static void multiple_moves_blocks(void)
{
    static uint8_t data[20 * 512];

    set_up();
    lba28(10, 1, 0xc4);
    CHECK_EQ(in(STATUS), 0x51); /* not set yet */
    out(COUNT, 3);
    out(STATUS, 0xc6);
    CHECK_EQ(in(STATUS), 0x51);
    out(COUNT, 8);
    out(STATUS, 0xc6);
    CHECK_EQ(in(STATUS), 0x50);
    irq_count[0] = 0;
    lba28(10, 20, 0xc4);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(settle(0x1f0), 0x58);
        CHECK_EQ(irq_count[0], i + 1);
        in(STATUS);
        read_words(DATA, data + i * 8 * 512, i < 2 ? 8 * 256 : 4 * 256);
    }
    CHECK_EQ(in(STATUS), 0x50);
    CHECK(matches(data, 10, 20));
}

static void writes_by_pio_and_lba48(void)
{
    static uint8_t data[300 * 512], back[300 * 512];

    set_up();
    for (unsigned i = 0; i < sizeof(data); i++) {
        data[i] = i * 31 + (i >> 9);
    }
    lba48(2000, 300, 0x34);
    CHECK_EQ(in(CONTROL), 0x58);
    CHECK_EQ(irq_count[0], 0); /* the first block comes unasked */
    for (int i = 0; i < 300; i++) {
        CHECK_EQ(settle(0x1f0), 0x58);
        write_words(DATA, data + 512 * i, 256);
    }
    CHECK_EQ(settle(0x1f0), 0x50);
    CHECK_EQ(in(STATUS), 0x50);
    lba48(2000, 300, 0x24);
    for (int i = 0; i < 300; i++) {
        CHECK_EQ(settle(0x1f0), 0x58);
        read_words(DATA, back + 512 * i, 256);
    }
    CHECK(memcmp(data, back, sizeof(data)) == 0);
    CHECK_EQ(in(LOW), (2299 & 0xff));
    out(CONTROL, 0x80);
    CHECK_EQ(in(COUNT), 0);
    CHECK_EQ(in(LOW), 0);
    out(CONTROL, 0);
    repair(2000, 300);
}

static void refuses_what_is_out_of_range(void)
{
    set_up();
    lba28(SECTORS, 1, 0x20);
    CHECK_EQ(in(STATUS), 0x51);
    CHECK_EQ(in(0x1f1), ATA_IDNF);
    lba28(SECTORS - 1, 2, 0xc8);
    CHECK_EQ(in(STATUS), 0x51);
    lba48(1ull << 40, 1, 0x25);
    CHECK_EQ(in(0x1f1), ATA_IDNF);
    out(DEV, 0xa0);
    out(COUNT, 1);
    out(LOW, 0); /* no sector 0 */
    out(STATUS, 0x20);
    CHECK_EQ(in(0x1f1), ATA_IDNF);
    out(STATUS, 0x05); /* no such command */
    CHECK_EQ(in(0x1f1), ATA_ABRT);
    lba28(SECTORS - 1, 1, 0x40);
    CHECK_EQ(settle(0x1f0), 0x50);
}

static void settings_and_power(void)
{
    set_up();
    out(DEV, 0xe0);
    out(STATUS, 0xf8);
    CHECK_EQ(in(LOW) | in(MID) << 8 | in(HIGH) << 16, SECTORS - 1);
    out(STATUS, 0xe0);
    out(STATUS, 0xe5);
    CHECK_EQ(in(COUNT), 0x00);
    out(STATUS, 0xe1);
    out(STATUS, 0xe5);
    CHECK_EQ(in(COUNT), 0x80);
    out(0x1f1, 0x03);
    out(COUNT, 0x45);
    out(STATUS, 0xef);
    CHECK_EQ(in(STATUS), 0x50);
    out(COUNT, 0x47);
    out(STATUS, 0xef);
    CHECK_EQ(in(STATUS), 0x51);
    out(STATUS, 0xe7);
    CHECK_EQ(in(CONTROL), ATA_BSY);
    CHECK_EQ(settle(0x1f0), 0x50);
    out(0x1f1, 0xda);
    out(MID, 0x4f);
    out(HIGH, 0xc2);
    out(STATUS, 0xb0);
    CHECK_EQ(in(STATUS), 0x50);
    CHECK_EQ(in(MID), 0x4f);
    out(STATUS, 0xe6); /* asleep: only a reset wakes it */
    out(STATUS, 0xe5);
    in(STATUS);
    lba28(0, 1, 0x20);
    CHECK_EQ(in(CONTROL), 0x50);
    out(CONTROL, 4);
    out(CONTROL, 0);
    lba28(0, 1, 0x20);
    CHECK_EQ(settle(0x1f0), 0x58);
}

static void nien_holds_the_line(void)
{
    set_up();
    out(CONTROL, 0x02);
    out(STATUS, 0xec);
    CHECK_EQ(irq_count[0], 0);
    out(CONTROL, 0x00);
    CHECK_EQ(irq_level[0], 1);
    in(CONTROL);
    CHECK_EQ(irq_level[0], 1);
    in(STATUS);
    CHECK_EQ(irq_level[0], 0);
}

/* ---- DMA ---- */

static void dma_scatters_and_gathers(void)
{
    static uint8_t data[200 * 512];

    set_up();
    put_prd(0, 0x10000, 6, false);
    put_prd(1, 0x20000, 0, false); /* 64 KB */
    put_prd(2, 0x40000, sizeof(data) - 65536 - 6, true);
    lba28(3000, 200, 0xc8);
    start_dma(8);
    CHECK_EQ(in(BM + 2) & 5, 1);
    CHECK_EQ(settle(0x1f0), 0x50);
    CHECK_EQ(in(BM + 2) & 7, 4); /* interrupt, and the engine is idle */
    CHECK_EQ(irq_level[0], 1);
    dma_read(0x10000, data, 6);
    dma_read(0x20000, data + 6, 65536);
    dma_read(0x40000, data + 65542, sizeof(data) - 65542);
    CHECK(matches(data, 3000, 200));
    out(BM, 0);
    /* and back, elsewhere on the disk */
    lba48(4000, 200, 0x35);
    start_dma(0);
    CHECK_EQ(settle(0x1f0), 0x50);
    CHECK_EQ(in(BM + 2) & 7, 4);
    out(BM, 0);
    put_prd(0, 0x100000, sizeof(data) / 2, false);
    put_prd(1, 0x100000 + sizeof(data) / 2, sizeof(data) / 2, true);
    lba48(4000, 200, 0x25);
    start_dma(8);
    CHECK_EQ(settle(0x1f0), 0x50);
    dma_read(0x100000, data, sizeof(data));
    CHECK(matches(data, 3000, 200));
    out(BM, 0);
    repair(4000, 200);
}

static void dma_table_longer_or_shorter_than_the_transfer(void)
{
    uint8_t data[1024];

    set_up();
    put_prd(0, 0x10000, 4096, true);
    lba28(5, 2, 0xc8);
    start_dma(8);
    settle(0x1f0);
    CHECK_EQ(in(BM + 2) & 7, 5); /* the data sheet's sign of a longer table */
    out(BM, 0);
    CHECK_EQ(in(BM + 2) & 1, 0);
    /* shorter: the drive waits with its request, the host gives the rest another table */
    put_prd(0, 0x10000, 100, true);
    lba28(5, 2, 0xc8);
    irq_count[0] = 0;
    start_dma(8);
    settle(0x1f0);
    CHECK_EQ(in(BM + 2) & 7, 0);
    CHECK_EQ(in(CONTROL)&ATA_DRQ, ATA_DRQ);
    CHECK_EQ(irq_count[0], 0);
    out(BM, 8);
    put_prd(0, 0x10064, 924, true);
    start_dma(8);
    settle(0x1f0);
    CHECK_EQ(in(BM + 2) & 7, 4);
    dma_read(0x10000, data, sizeof(data));
    CHECK(matches(data, 5, 2));
    out(BM, 0);
}

static void dma_errors_and_stops(void)
{
    set_up();
    put_prd(0, 0xe0000000, 512, true); /* nothing there */
    lba28(5, 1, 0xc8);
    start_dma(8);
    settle(0x1f0);
    CHECK_EQ(in(BM + 2) & 3, 2);
    out(BM, 0);
    out(BM + 2, 2);
    CHECK_EQ(in(BM + 2) & 2, 0);
    /* bus mastering switched off */
    config_write(0x04, 1, 2);
    put_prd(0, 0x10000, 512, true);
    lba28(5, 1, 0xc8);
    start_dma(8);
    settle(0x1f0);
    CHECK_EQ(in(BM + 2) & 3, 2);
    out(BM, 0);
    /* stopped while the image is asked, reset, and all is well */
    config_write(0x04, 5, 2);
    lba28(5, 1, 0xc8);
    start_dma(8);
    out(BM, 8);
    CHECK_EQ(settle(0x1f0) & ATA_DRQ, ATA_DRQ);
    out(CONTROL, 4);
    out(CONTROL, 0);
    CHECK_EQ(in(STATUS), 0x50);
    lba28(5, 1, 0xc8);
    start_dma(8);
    CHECK_EQ(settle(0x1f0), 0x50);
    CHECK_EQ(in(BM + 2) & 7, 4);
}

static void reset_in_a_request_keeps_the_order_of_writes(void)
{
    uint8_t a[512], b[512], back[512];

    set_up();
    memset(a, 0xaa, 512);
    memset(b, 0xbb, 512);
    lba28(77, 1, 0x30);
    write_words(DATA, a, 256);
    CHECK_EQ(in(CONTROL), ATA_BSY);
    out(CONTROL, 4);
    out(CONTROL, 0);
    CHECK_EQ(in(STATUS), 0x50);
    lba28(77, 1, 0x30);
    write_words(DATA, b, 256);
    CHECK_EQ(settle(0x1f0), 0x50);
    lba28(77, 1, 0x20);
    CHECK_EQ(settle(0x1f0), 0x58);
    read_words(DATA, back, 256);
    CHECK(memcmp(back, b, 512) == 0);
    repair(77, 1);
}

/* ---- a host that fails ---- */

/* In the C library's place: reads that touch bad_sector fail, and all writes while the host's disk
 * is full. */
static int bad_sector = -1;
static bool disk_full;

ssize_t preadv(int fd, const struct iovec *iov, int iovcnt, off_t offset)
{
    size_t bytes = 0;

    for (int i = 0; i < iovcnt; i++) {
        bytes += iov[i].iov_len;
    }
    if (bad_sector >= 0 && offset <= bad_sector * 512 && bad_sector * 512 < offset + (off_t)bytes) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_preadv, fd, iov, iovcnt, offset, 0);
}

ssize_t pwritev(int fd, const struct iovec *iov, int iovcnt, off_t offset)
{
    if (disk_full) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_pwritev, fd, iov, iovcnt, offset, 0);
}

/* The guest gets the sectors before the bad one, then its address. */
static void read_errors_name_the_sector(void)
{
    uint8_t data[1024];

    set_up();
    bad_sector = 1003;
    lba28(1001, 5, 0x20);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(settle(0x1f0), 0x58);
        read_words(DATA, data, 256);
        CHECK(matches(data, 1001 + i, 1));
    }
    CHECK_EQ(settle(0x1f0), 0x51);
    CHECK_EQ(in(0x1f1), ATA_UNC);
    CHECK_EQ(in(LOW) | in(MID) << 8 | in(HIGH) << 16, 1003);
    CHECK_EQ(in(COUNT), 3);
    put_prd(0, 0x10000, 5 * 512, true);
    lba48(1001, 5, 0x25);
    start_dma(8);
    CHECK_EQ(settle(0x1f0), 0x51);
    CHECK_EQ(in(LOW), 1003 & 0xff);
    CHECK_EQ(in(BM + 2) & 4, 4);
    dma_read(0x10000, data, 1024);
    CHECK(matches(data, 1001, 2));
    out(BM, 0);
    bad_sector = -1;
    lba28(1003, 1, 0x40);
    CHECK_EQ(settle(0x1f0), 0x50);
}

static void a_full_disk_stops_the_machine(void)
{
    uint8_t data[512];

    set_up();
    machine_start();
    memset(data, 0x42, sizeof(data));
    disk_full = true;
    lba28(1500, 1, 0x30);
    write_words(DATA, data, 256);
    CHECK_EQ(settle(0x1f0), ATA_BSY);
    CHECK_EQ(machine_run_state(), RUN_STATE_IO_ERROR);
    machine_start(); /* still full */
    CHECK_EQ(settle(0x1f0), ATA_BSY);
    CHECK_EQ(machine_run_state(), RUN_STATE_IO_ERROR);
    disk_full = false;
    machine_start();
    CHECK_EQ(settle(0x1f0), 0x50);
    CHECK_EQ(machine_run_state(), RUN_STATE_RUNNING);
    CHECK_EQ(irq_level[0], 1);
    lba28(1500, 1, 0x20);
    settle(0x1f0);
    read_words(DATA, data, 256);
    CHECK_EQ(data[511], 0x42);
    repair(1500, 1);
}

/* ---- saved state ---- */

static Buffer save(void)
{
    Buffer b = {0};
    vmstate_save_all(&b);
    return b;
}

static bool load(const Buffer *b)
{
    Reader r = {.data = b->data, .size = b->size};
    Error *err = NULL;
    bool ok = vmstate_load_all(&r, &err);
    if (!ok) {
        error_report_free(err);
    }
    return ok;
}

/* Run, save, disturb, load, compare, continue: in the middle of a PIO read. */
static void state_in_a_pio_transfer(void)
{
    static uint8_t data[3 * 512], other[512];

    set_up();
    lba28(900, 3, 0x20);
    settle(0x1f0);
    in(STATUS);
    read_words(DATA, data, 300);
    Buffer saved = save();
    lba28(1, 1, 0x20);
    settle(0x1f0);
    read_words(DATA, other, 256);
    out(COUNT, 0x55);
    CHECK(load(&saved));
    Buffer again = save();
    CHECK_EQ(again.size, saved.size);
    CHECK(memcmp(again.data, saved.data, saved.size) == 0);
    CHECK_EQ(in(STATUS), 0x58);
    read_words(DATA, data + 600, 3 * 256 - 300);
    CHECK_EQ(in(STATUS), 0x50);
    CHECK(matches(data, 900, 3));
    buffer_free(&saved);
    buffer_free(&again);
}

/* A request in flight is started again by the loaded state. */
static void state_with_a_request_in_flight(void)
{
    static uint8_t data[512], back[512];

    set_up();
    for (int i = 0; i < 512; i++) {
        data[i] = i ^ 0x5a;
    }
    lba28(4500, 1, 0x30);
    write_words(DATA, data, 256);
    CHECK_EQ(in(CONTROL), ATA_BSY);
    Buffer saved = save();
    settle(0x1f0);
    repair(4500, 1);
    machine_stop(RUN_STATE_PAUSED);
    CHECK(load(&saved));
    CHECK_EQ(in(CONTROL), ATA_BSY);
    for (int i = 0; i < 10; i++) {
        loop_run_once(1);
    }
    CHECK_EQ(in(CONTROL), ATA_BSY); /* not before the machine runs */
    machine_start();
    CHECK_EQ(settle(0x1f0), 0x50);
    CHECK_EQ(irq_level[0], 1);
    lba28(4500, 1, 0x20);
    settle(0x1f0);
    read_words(DATA, back, 256);
    CHECK(memcmp(back, data, 512) == 0);
    repair(4500, 1);
    buffer_free(&saved);
}

static void state_in_a_dma_transfer(void)
{
    static uint8_t data[1024];

    set_up();
    put_prd(0, 0x10000, 100, true);
    lba28(600, 2, 0xc8);
    start_dma(8);
    settle(0x1f0);
    Buffer saved = save();
    devices_reset();
    CHECK(load(&saved));
    out(BM, 8);
    put_prd(0, 0x10064, 924, true);
    start_dma(8);
    CHECK_EQ(settle(0x1f0), 0x50);
    CHECK_EQ(in(BM + 2) & 7, 4);
    dma_read(0x10000, data, sizeof(data));
    CHECK(matches(data, 600, 2));
    buffer_free(&saved);
}

/* ---- anything at all at the ports ---- */

static uint64_t seed = 88172645463325252;

static uint32_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed >> 16;
}

static bool chance(unsigned percent)
{
    return rnd() % 100 < percent;
}

/* Values that lead somewhere more often than chance would. */
static uint8_t random_value(uint16_t port)
{
    static const uint8_t devices[] = {0xa0, 0xb0, 0xe0, 0xe0, 0xf0, 0x40, 0x50};
    static const uint8_t commands[] = {0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39,
                                       0x40, 0x91, 0xa0, 0xa0, 0xa1, 0xb0, 0xc4, 0xc5,
                                       0xc6, 0xc8, 0xca, 0xe7, 0xec, 0xef, 0x08};
    static const uint8_t packets[] = {0x00, 0x03, 0x12, 0x1b, 0x1e, 0x25, 0x28, 0x43,
                                      0x46, 0x4a, 0x51, 0x5a, 0xa8, 0xbd, 0xbe};

    if (chance(20)) {
        return rnd();
    }
    switch (port & 7) {
    case 0:
        return packets[rnd() % sizeof(packets)];
    case 4:
        return chance(80) ? rnd() % 16 : rnd();
    case 5:
        return chance(80) ? 0 : rnd();
    case 6:
        return devices[rnd() % sizeof(devices)];
    case 7:
        return commands[rnd() % sizeof(commands)];
    }
    return chance(50) ? rnd() % 8 : rnd();
}

static void random_data(uint16_t base)
{
    unsigned n = rnd() % 700, size = 1u << rnd() % 3;
    bool write = chance(50);

    while (n--) {
        if (write) {
            ioport_write(base, random_value(0) | (chance(10) ? rnd() : 0), size);
        } else {
            ioport_read(base, size);
        }
    }
}

static void random_bus_master(void)
{
    if (chance(50)) {
        for (int i = 0; i < 8; i++) {
            put_prd(i, chance(90) ? rnd() % RAM_SIZE : rnd(), chance(50) ? rnd() % 5000 : rnd(),
                    chance(30));
        }
        ioport_write(BM + 4, 0x1000, 4);
        ioport_write(BM + 12, 0x1000, 4);
    }
    out(BM + rnd() % 2 * 8, rnd() % 16);
    ioport_write(BM + rnd() % 16, rnd(), 1u << rnd() % 3);
    ioport_read(BM + rnd() % 16, 1u << rnd() % 3);
}

static void random_accesses(void)
{
    uint64_t ops = 0;
    uint8_t data[512];

    set_up();
    for (int i = 0; i < 200000; i++) {
        uint16_t base = chance(60) ? 0x1f0 : 0x170;
        unsigned what = rnd() % 100;
        if (what < 5) {
            lba48(rnd() % SECTORS, rnd() % 600, random_value(7));
        } else if (what < 70) {
            uint16_t port = base + 1 + rnd() % 7;
            if (chance(75)) {
                out(port, random_value(port));
            } else {
                ioport_read(port, 1u << rnd() % 3);
            }
        } else if (what < 85) {
            random_data(base);
        } else if (what < 97) {
            random_bus_master();
        } else if (what < 98) {
            out(base + 0x206, chance(80) ? 0 : rnd());
        } else {
            loop_run_once(0);
        }
        if (chance(1) && chance(10)) {
            Buffer saved = save();
            CHECK(load(&saved));
            buffer_free(&saved);
        }
        if (chance(20)) {
            blk_drain(NULL);
        }
        if (chance(1)) {
            out(base + 0x206, 0);
        }
    }
    blk_drain(NULL);
    ops = blk_stats(blk_find("ide0-hd0"))->done[BLK_READ] +
          blk_stats(blk_find("ide0-hd0"))->done[BLK_WRITE] +
          blk_stats(blk_find("ide1-cd0"))->done[BLK_READ];
    CHECK(ops > 1000); /* it did reach the images */
    out(BM, 0);
    out(CONTROL, 4);
    out(CONTROL, 0);
    lba28(0, 1, 0x20);
    CHECK_EQ(settle(0x1f0), 0x58);
    read_words(DATA, data, 256);
    CHECK_EQ(in(STATUS), 0x50);
}

TESTS(TEST(identifies_the_disk), TEST(reset_shows_signatures),
      TEST(absent_drives_answer_as_wires_do), TEST(decoding_follows_idetim),
      TEST(reads_by_pio_with_an_interrupt_a_sector), TEST(reads_256_sectors_for_count_zero),
      TEST(reads_by_cylinder_head_sector), TEST(multiple_moves_blocks),
      TEST(writes_by_pio_and_lba48), TEST(refuses_what_is_out_of_range), TEST(settings_and_power),
      TEST(nien_holds_the_line), TEST(dma_scatters_and_gathers),
      TEST(dma_table_longer_or_shorter_than_the_transfer), TEST(dma_errors_and_stops),
      TEST(reset_in_a_request_keeps_the_order_of_writes), TEST(read_errors_name_the_sector),
      TEST(a_full_disk_stops_the_machine), TEST(state_in_a_pio_transfer),
      TEST(state_with_a_request_in_flight), TEST(state_in_a_dma_transfer), TEST(random_accesses))
