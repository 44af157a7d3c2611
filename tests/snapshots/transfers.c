/*
 * Transfers that take their time, for a machine that is saved and loaded in the middle of them: the ATA data port word by word
 * and by DMA, the UART's FIFO in loop mode, and registers that are written or read in two or three steps. Runs for ever, a line a
 * round; "not ok" when something came out wrong. Sources: ATA/ATAPI-6 (T13/1410D), PIIX3 (Intel 290550, bus master), 8254, MC146818,
 * 8042 and PC16550D data sheets.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "guest.h"

enum { ATA = 0x1f0, ATA_CONTROL = 0x3f6, BSY = 0x80, DRQ = 0x08, ERR = 0x01 };
enum { BM = 0xc000, COM1 = 0x3f8, SECTORS = 32 };

static uint32_t state = 2463534242u;
static uint16_t out_buffer[SECTORS * 256], in_buffer[SECTORS * 256];
static struct {
    uint32_t addr, size;
} prd[1] __attribute__((aligned(8)));

static inline void outw(unsigned port, uint16_t value)
{
    asm volatile("outw %0, %1" : : "a"(value), "Nd"((uint16_t)port));
}

static inline uint16_t inw(unsigned port)
{
    uint16_t value;

    asm volatile("inw %1, %0" : "=a"(value) : "Nd"((uint16_t)port));
    return value;
}

static uint32_t rnd(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    return state ^= state << 5;
}

/* Time for somebody to come in between. */
static void linger(void)
{
    for (volatile unsigned n = rnd() % 3000; n; n--) {
    }
}

static void wrong(const char *what)
{
    put_string("not ok ");
    put_string(what);
    put_string("\n");
    for (;;) {
    }
}

static void expect(const char *what, bool ok)
{
    if (!ok) {
        wrong(what);
    }
}

/* ---- the disk ---- */

static unsigned ata_wait(void)
{
    unsigned status;

    while ((status = inb(ATA + 7)) & BSY) {
    }
    return status;
}

static void task_file(uint32_t lba, unsigned count, unsigned command)
{
    ata_wait();
    outb(ATA + 6, 0xe0 | (lba >> 24 & 15));
    linger();
    outb(ATA + 2, count);
    outb(ATA + 3, lba);
    linger();
    outb(ATA + 4, lba >> 8);
    outb(ATA + 5, lba >> 16);
    outb(ATA + 7, command);
}

static void fill_out(unsigned words)
{
    for (unsigned i = 0; i < words; i++) {
        out_buffer[i] = (uint16_t)rnd();
        in_buffer[i] = 0;
    }
}

static void compare(const char *what, unsigned words)
{
    for (unsigned i = 0; i < words; i++) {
        expect(what, in_buffer[i] == out_buffer[i]);
    }
}

static void pio(uint32_t lba, unsigned count)
{
    fill_out(count * 256);
    task_file(lba, count, 0x30);
    for (unsigned i = 0; i < count * 256; i++) {
        if (i % 256 == 0) {
            expect("DRQ for writing", (ata_wait() & (DRQ | ERR)) == DRQ);
        }
        outw(ATA, out_buffer[i]);
        if (rnd() % 64 == 0) {
            linger();
        }
    }
    expect("end of writing", !(ata_wait() & (DRQ | ERR)));
    task_file(lba, count, 0x20);
    for (unsigned i = 0; i < count * 256; i++) {
        if (i % 256 == 0) {
            expect("DRQ for reading", (ata_wait() & (DRQ | ERR)) == DRQ);
        }
        in_buffer[i] = inw(ATA);
        if (rnd() % 64 == 0) {
            linger();
        }
    }
    expect("end of reading", !(ata_wait() & (DRQ | ERR)));
    compare("sectors by PIO", count * 256);
}

static void pci_write(unsigned devfn, unsigned reg, uint32_t value)
{
    outl(0xcf8, 0x80000000u | devfn << 8 | reg);
    linger();
    outl(0xcfc, value);
}

static bool has_disk(void)
{
    pci_write(9, 0x40, 0x80008000u); /* the channels answer */
    pci_write(9, 0x20, BM | 1);
    pci_write(9, 4, 5);
    outb(ATA + 6, 0xe0);
    for (unsigned n = 0; n < 100000; n++) {
        unsigned status = inb(ATA + 7);
        if (status == 0xff || status == 0x7f) {
            return false;
        }
        if (!(status & BSY) && status & 0x40) {
            return true;
        }
    }
    return false;
}

static void dma_one(uint32_t lba, unsigned count, uint16_t *buffer, bool write)
{
    prd[0].addr = (uint32_t)(uintptr_t)buffer;
    prd[0].size = count * 512 | 0x80000000u;
    outl(BM + 4, (uint32_t)(uintptr_t)prd);
    outb(BM, write ? 0 : 8);
    outb(BM + 2, 6);
    task_file(lba, count, write ? 0xca : 0xc8);
    linger();
    outb(BM, write ? 1 : 9);
    while ((inb(BM + 2) & 5) == 1) {
    }
    expect("DMA without error", !(ata_wait() & ERR) && (inb(BM + 2) & 3) == 0);
    outb(BM, 0);
}

static void dma(uint32_t lba, unsigned count)
{
    fill_out(count * 256);
    dma_one(lba, count, out_buffer, true);
    dma_one(lba, count, in_buffer, false);
    compare("sectors by DMA", count * 256);
}

static void flush(void)
{
    task_file(0, 0, 0xe7);
    expect("flush", !(ata_wait() & ERR));
}

/* ---- the UART, in loop mode ---- */

static void serial(void)
{
    uint8_t sent[16];
    unsigned count = 1 + rnd() % 16;

    if (inb(COM1 + 5) == 0xff) {
        return;
    }
    outb(COM1 + 1, 0);
    outb(COM1 + 3, 3);
    outb(COM1 + 2, 7);
    outb(COM1 + 4, 0x10);
    for (unsigned i = 0; i < count; i++) {
        sent[i] = (uint8_t)rnd();
        while (!(inb(COM1 + 5) & 0x20)) {
        }
        outb(COM1, sent[i]);
        linger();
    }
    for (unsigned i = 0; i < count; i++) {
        while (!(inb(COM1 + 5) & 1)) {
        }
        linger();
        expect("byte through the UART", inb(COM1) == sent[i]);
    }
}

/* ---- registers in steps ---- */

static void counter(void)
{
    unsigned value = 0x100 + rnd() % 0xf000;

    outb(0x43, 0xba); /* counter 2, low byte then high, mode 5: waits for its gate */
    outb(0x61, inb(0x61) & ~1u);
    outb(0x42, value);
    linger();
    outb(0x42, value >> 8);
    outb(0x43, 0xe8); /* read back: latch status and then count of counter 2 */
    linger();
    outb(0x43, 0x80);
    linger();
    expect("the counter's mode", (inb(0x42) & 0x3f) == 0x3a);
    linger();
    inb(0x42);
    linger();
    inb(0x42);
}

static void cmos(void)
{
    uint8_t value = (uint8_t)rnd();

    outb(0x70, 0x80 | 0x60);
    linger();
    outb(0x71, value);
    outb(0x70, 0x80 | 0x61);
    linger();
    outb(0x71, (uint8_t)~value);
    outb(0x70, 0x80 | 0x60);
    linger();
    expect("a byte of CMOS", inb(0x71) == value);
}

static void keyboard(void)
{
    uint8_t value = (uint8_t)(0x30 | (rnd() & 0x40));

    while (inb(0x64) & 1) {
        inb(0x60);
    }
    outb(0x64, 0x60);
    linger();
    outb(0x60, value);
    linger();
    outb(0x64, 0x20);
    while (!(inb(0x64) & 1)) {
    }
    linger();
    expect("the keyboard controller's command byte", inb(0x60) == value);
}

static void dma_controller(void)
{
    unsigned address = rnd() & 0xffff, count = rnd() & 0xffff;

    outb(0x0a, 5); /* mask channel 1 */
    outb(0x0c, 0);
    outb(2, address);
    linger();
    outb(2, address >> 8);
    outb(3, count);
    linger();
    outb(3, count >> 8);
    outb(0x0c, 0);
    unsigned low = inb(2);
    linger();
    expect("the DMA controller's address", (low | (unsigned)inb(2) << 8) == address);
    low = inb(3);
    linger();
    expect("the DMA controller's count", (low | (unsigned)inb(3) << 8) == count);
}

void guest_test(void)
{
    bool disk = has_disk();

    outb(ATA_CONTROL, 2); /* no interrupts */
    for (unsigned round = 0;; round++) {
        for (unsigned i = 0; i < 8; i++) {
            counter();
            cmos();
            keyboard();
            dma_controller();
            serial();
        }
        if (disk) {
            pio(rnd() % 30000, 1 + rnd() % 4);
            dma(rnd() % 30000, 1 + rnd() % SECTORS);
            flush();
        }
        put_string("round ");
        char digits[11];
        unsigned n = round, at = 10;
        digits[10] = 0;
        do {
            digits[--at] = (char)('0' + n % 10);
        } while (n /= 10);
        put_string(digits + at);
        put_string(disk ? " with a disk\n" : " without a disk\n");
    }
}
