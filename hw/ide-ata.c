/*
 * The commands of an ATA disk, and those a packet device shares with it (ATA/ATAPI-6, T13/1410D,
 * section 8). They dispatch through one table.
 * Not modelled: the command sets that IDENTIFY DEVICE does not announce.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <string.h>

#include "hw/ide-core.h"
#include "util/log.h"

/* Commands and subcommands that are looked at by number. */
enum {
    CMD_READ_NATIVE_MAX_EXT = 0x27,
    CMD_PACKET = 0xa0,
    SMART_AUTOSAVE = 0xd2,
    SMART_ENABLE = 0xd8,
    SMART_DISABLE = 0xd9,
    SMART_STATUS = 0xda,
    FEATURE_WRITE_CACHE_ON = 0x02,
    FEATURE_TRANSFER_MODE = 0x03,
    FEATURE_LOOK_AHEAD_OFF = 0x55,
    FEATURE_KEEP_DEFAULTS = 0x66,
    FEATURE_WRITE_CACHE_OFF = 0x82,
    FEATURE_LOOK_AHEAD_ON = 0xaa,
    FEATURE_POWER_ON_DEFAULTS = 0xcc,
};

#define LBA28_SECTORS 0x0fffffffull
#define CHS_CYLINDERS 16383u

uint64_t ata_sectors(const IdeDrive *d)
{
    return blk_size(d->blk) / BLK_SECTOR_SIZE;
}

/* ---- addresses ---- */

static uint64_t lba_from_registers(const IdeDrive *d, bool *valid)
{
    *valid = true;
    if (d->ext) {
        return (uint64_t)d->lba_high.before << 40 | (uint64_t)d->lba_mid.before << 32 |
               (uint64_t)d->lba_low.before << 24 | (uint64_t)d->lba_high.now << 16 |
               (uint64_t)d->lba_mid.now << 8 | d->lba_low.now;
    }
    if (d->device & ATA_LBA) {
        return (uint64_t)(d->device & ATA_HEAD) << 24 | (uint64_t)d->lba_high.now << 16 |
               (uint64_t)d->lba_mid.now << 8 | d->lba_low.now;
    }
    uint32_t cylinder = d->lba_high.now << 8 | d->lba_mid.now;
    uint32_t head = d->device & ATA_HEAD, sector = d->lba_low.now;
    *valid = sector > 0 && sector <= d->chs.sectors && head < d->chs.heads;
    return (uint64_t)(cylinder * d->chs.heads + head) * d->chs.sectors + sector - 1;
}

void ata_set_address(IdeDrive *d, uint64_t lba)
{
    if (!d->ext && !(d->device & ATA_LBA)) {
        uint32_t track = lba / d->chs.sectors;
        d->lba_low.now = lba % d->chs.sectors + 1;
        d->device = (d->device & ~ATA_HEAD) | track % d->chs.heads;
        d->lba_mid.now = track / d->chs.heads;
        d->lba_high.now = track / d->chs.heads >> 8;
        return;
    }
    d->lba_low.now = lba;
    d->lba_mid.now = lba >> 8;
    d->lba_high.now = lba >> 16;
    if (d->ext) {
        d->lba_low.before = lba >> 24;
        d->lba_mid.before = lba >> 32;
        d->lba_high.before = lba >> 40;
    } else {
        d->device = (d->device & ~ATA_HEAD) | (lba >> 24 & ATA_HEAD);
    }
}

/* The registers end with the last sector's address and no sectors left. */
void ata_transfer_done(IdeDrive *d)
{
    if (d->command == 0xec || d->command == 0xa1) {
        return; /* IDENTIFY has no address */
    }
    ata_set_address(d, d->lba - 1);
    d->count = (IdeReg){0};
}

void ata_transfer_failed(IdeDrive *d)
{
    if (d->phase != IDE_FLUSHING) {
        ata_set_address(d, d->lba);
        d->count = (IdeReg){.now = d->left, .before = d->left >> 8};
    }
    ide_fail(d, d->phase == IDE_READING ? ATA_UNC : ATA_ABRT);
}

/* ---- reading and writing ---- */

/* What the table says of a command that moves sectors. */
enum { RW_WRITE = 1, RW_DMA = 2, RW_EXT = 4, RW_MULTIPLE = 8, RW_VERIFY = 16 };

static void read_write(IdeDrive *d, unsigned how)
{
    bool valid;

    d->ext = how & RW_EXT;
    d->writing = how & RW_WRITE;
    d->transfer = how & RW_DMA ? IDE_DMA : how & RW_VERIFY ? IDE_VERIFY : IDE_PIO;
    if (((how & RW_MULTIPLE) && d->multiple == 0) || ((how & RW_DMA) && !d->channel->dma)) {
        ide_fail(d, ATA_ABRT);
        return;
    }
    d->lba = lba_from_registers(d, &valid);
    d->left = d->count.now;
    if (d->ext) {
        d->left |= d->count.before << 8;
    }
    if (d->left == 0) {
        d->left = d->ext ? 0x10000 : 0x100;
    }
    d->block = (how & RW_MULTIPLE ? d->multiple : 1) * BLK_SECTOR_SIZE;
    uint64_t total = ata_sectors(d);
    if (!valid || d->lba >= total || d->left > total - d->lba) {
        ide_fail(d, ATA_IDNF);
        return;
    }
    if (d->writing && blk_readonly(d->blk)) {
        ide_fail(d, ATA_ABRT);
        return;
    }
    d->power = IDE_POWER_ACTIVE;
    ide_start_transfer(d);
}

static void cmd_seek(IdeDrive *d, unsigned how)
{
    bool valid;

    d->ext = false;
    uint64_t lba = lba_from_registers(d, &valid);
    if (valid && lba < ata_sectors(d)) {
        ide_succeed(d);
    } else {
        ide_fail(d, ATA_IDNF);
    }
}

static void cmd_flush(IdeDrive *d, unsigned how)
{
    ide_start_flush(d);
}

/* ---- IDENTIFY DEVICE (8.15) ---- */

static void put_word(IdeDrive *d, unsigned n, uint16_t value)
{
    d->buffer[2 * n] = value;
    d->buffer[2 * n + 1] = value >> 8;
}

/* Strings are padded with blanks and have their bytes swapped within words. */
static void put_string(IdeDrive *d, unsigned word, unsigned words, const char *text)
{
    size_t length = strlen(text);

    for (unsigned i = 0; i < 2 * words; i++) {
        d->buffer[(2 * word + i) ^ 1] = i < length ? text[i] : ' ';
    }
}

/* Words both kinds of device have: names, transfer modes, version. */
static void identify_common(IdeDrive *d)
{
    uint8_t mode = d->transfer_mode;

    put_string(d, 10, 10, d->serial);
    put_string(d, 23, 4, "1.0");
    put_string(d, 27, 20, d->model);
    put_word(d, 51, 0x0200); /* PIO mode 2 timing, for hosts that look no further */
    put_word(d, 53, 0x0006); /* words 64-70 and 88 are valid */
    if (d->channel->dma) {
        put_word(d, 63, 0x0007 | ((mode & 0xf8) == 0x20 ? 0x100 << (mode & 7) : 0));
        put_word(d, 88, 0x003f | ((mode & 0xf8) == 0x40 ? 0x100 << (mode & 7) : 0));
    }
    put_word(d, 64, 0x0003); /* PIO modes 3 and 4 */
    for (unsigned i = 65; i <= 68; i++) {
        put_word(d, i, 120); /* cycle times in ns */
    }
    put_word(d, 80, 0x007e); /* up to ATA/ATAPI-6 */
    /* 80-conductor cable; how the drive's number was set */
    put_word(d, 93, d->unit == 0 ? 0x600b : 0x6300);
}

/* Signature and checksum (word 255) over the block. */
static void identify_end(IdeDrive *d)
{
    uint8_t sum = 0xa5;

    d->buffer[510] = 0xa5;
    for (unsigned i = 0; i < 510; i++) {
        sum += d->buffer[i];
    }
    d->buffer[511] = -sum;
    d->transfer = IDE_PIO;
    d->block = BLK_SECTOR_SIZE;
    ide_send_buffer(d, BLK_SECTOR_SIZE);
}

static void identify_geometry(IdeDrive *d)
{
    uint64_t total = ata_sectors(d);
    uint64_t cylinders = total / (d->chs.heads * d->chs.sectors);
    if (cylinders > CHS_CYLINDERS) {
        cylinders = CHS_CYLINDERS;
    }
    uint32_t capacity = cylinders * d->chs.heads * d->chs.sectors;

    put_word(d, 1, d->geometry.cylinders);
    put_word(d, 3, d->geometry.heads);
    put_word(d, 6, d->geometry.sectors);
    put_word(d, 53, 0x0007); /* and words 54-58 */
    put_word(d, 54, cylinders);
    put_word(d, 55, d->chs.heads);
    put_word(d, 56, d->chs.sectors);
    put_word(d, 57, capacity);
    put_word(d, 58, capacity >> 16);
    uint32_t lba28 = total < LBA28_SECTORS ? total : LBA28_SECTORS;
    put_word(d, 60, lba28);
    put_word(d, 61, lba28 >> 16);
    for (unsigned i = 0; i < 4; i++) {
        put_word(d, 100 + i, total >> (16 * i));
    }
}

static void cmd_identify(IdeDrive *d, unsigned how)
{
    memset(d->buffer, 0, BLK_SECTOR_SIZE);
    identify_common(d);
    identify_geometry(d);
    put_word(d, 0, 0x0040); /* fixed disk */
    put_word(d, 47, 0x8000 | IDE_MULTIPLE_MAX);
    put_word(d, 48, 0x0001);                                  /* the data port takes 32 bits */
    put_word(d, 49, 0x2a00 | (d->channel->dma ? 0x0100 : 0)); /* standby timer, IORDY, LBA; DMA */
    put_word(d, 50, 0x4000);
    put_word(d, 59, d->multiple ? 0x0100 | d->multiple : 0);
    /* Supported, then enabled: NOP, look-ahead, write cache, power management, SMART; 48-bit
       addresses and both cache flushes. */
    put_word(d, 82, 0x4069);
    put_word(d, 83, 0x7400);
    put_word(d, 84, 0x4000);
    put_word(d, 85, 0x4008 | (d->look_ahead ? 0x40 : 0) | (d->write_cache ? 0x20 : 0) | d->smart);
    put_word(d, 86, 0x3400);
    put_word(d, 87, 0x4000);
    identify_end(d);
}

/* A packet device refuses IDENTIFY DEVICE and shows what it is. */
static void cmd_identify_refused(IdeDrive *d)
{
    uint8_t device = d->device;

    ide_signature(d);
    d->device = device & ATA_DEV;
    ide_fail(d, ATA_ABRT);
}

void atapi_identify(IdeDrive *d)
{
    memset(d->buffer, 0, BLK_SECTOR_SIZE);
    identify_common(d);
    put_word(d, 0, 0x85c0); /* CD-ROM, removable, DRQ within 50 us of PACKET, 12-byte packets */
    put_word(d, 49, 0x0a00 | (d->channel->dma ? 0x0100 : 0)); /* IORDY, LBA; DMA */
    put_word(d, 50, 0x4000);
    put_word(d, 82, 0x4218); /* NOP, DEVICE RESET, PACKET, power management */
    put_word(d, 83, 0x4000);
    put_word(d, 84, 0x4000);
    put_word(d, 85, 0x4218);
    put_word(d, 87, 0x4000);
    identify_end(d);
}

/* ---- settings ---- */

static void cmd_set_multiple(IdeDrive *d, unsigned how)
{
    uint8_t n = d->count.now;

    if (n > IDE_MULTIPLE_MAX || (n & (n - 1))) {
        d->multiple = 0;
        ide_fail(d, ATA_ABRT);
        return;
    }
    d->multiple = n;
    ide_succeed(d);
}

static void cmd_initialize_parameters(IdeDrive *d, unsigned how)
{
    if (d->count.now == 0) {
        ide_fail(d, ATA_ABRT);
        return;
    }
    d->chs.sectors = d->count.now;
    d->chs.heads = (d->device & ATA_HEAD) + 1;
    ide_succeed(d);
}

/* Transfer mode numbers (8.37.2): PIO default, PIO flow control n, multiword DMA n, Ultra DMA n. */
static bool set_transfer_mode(IdeDrive *d, uint8_t mode)
{
    bool pio = mode <= 0x01 || (mode >= 0x08 && mode <= 0x0c);
    bool dma =
        d->channel->dma && ((mode >= 0x20 && mode <= 0x22) || (mode >= 0x40 && mode <= 0x45));

    /* A PIO mode says how registers and data are clocked and leaves the DMA mode. */
    if (dma) {
        d->transfer_mode = mode;
    }
    return pio || dma;
}

static void cmd_set_features(IdeDrive *d, unsigned how)
{
    bool ok = true;

    switch (d->feature.now) {
    case FEATURE_WRITE_CACHE_ON:
        d->write_cache = true;
        break;
    case FEATURE_WRITE_CACHE_OFF:
        d->write_cache = false;
        if (d->kind == IDE_DISK) {
            ide_start_flush(d);
            return;
        }
        break;
    case FEATURE_TRANSFER_MODE:
        ok = set_transfer_mode(d, d->count.now);
        break;
    case FEATURE_LOOK_AHEAD_OFF:
    case FEATURE_LOOK_AHEAD_ON:
        d->look_ahead = d->feature.now == FEATURE_LOOK_AHEAD_ON;
        break;
    case FEATURE_KEEP_DEFAULTS:
    case FEATURE_POWER_ON_DEFAULTS:
        break; /* settings survive a soft reset in any case */
    default:
        log_printf(LOG_UNIMP, "ide: SET FEATURES %02x\n", d->feature.now);
        ok = false;
        break;
    }
    if (ok) {
        ide_succeed(d);
    } else {
        ide_fail(d, ATA_ABRT);
    }
}

static void cmd_smart(IdeDrive *d, unsigned how)
{
    bool ok = d->lba_mid.now == 0x4f && d->lba_high.now == 0xc2;

    switch (d->feature.now) {
    case SMART_ENABLE:
        d->smart = d->smart || ok;
        break;
    case SMART_DISABLE:
        ok = ok && d->smart;
        d->smart = d->smart && !ok;
        break;
    case SMART_STATUS: /* unchanged registers say that no threshold was exceeded */
    case SMART_AUTOSAVE:
        ok = ok && d->smart;
        break;
    default:
        ok = false;
        break;
    }
    if (ok) {
        ide_succeed(d);
    } else {
        ide_fail(d, ATA_ABRT);
    }
}

static void cmd_read_native_max(IdeDrive *d, unsigned how)
{
    uint64_t last = ata_sectors(d) ? ata_sectors(d) - 1 : 0;

    d->ext = d->command == CMD_READ_NATIVE_MAX_EXT;
    if (!d->ext && last >= LBA28_SECTORS) {
        last = LBA28_SECTORS - 1;
    }
    d->device |= ATA_LBA;
    ata_set_address(d, last);
    ide_succeed(d);
}

/* ---- power, resets, the rest ---- */

static void cmd_power(IdeDrive *d, unsigned mode)
{
    d->power = mode;
    ide_succeed(d);
}

static void cmd_check_power(IdeDrive *d, unsigned how)
{
    d->count.now = d->power;
    ide_succeed(d);
}

static void cmd_recalibrate(IdeDrive *d, unsigned how)
{
    ide_succeed(d);
}

static void cmd_abort(IdeDrive *d, unsigned how)
{
    ide_fail(d, ATA_ABRT);
}

static void cmd_device_reset(IdeDrive *d, unsigned how)
{
    uint8_t device = d->device;

    ide_signature(d);
    d->device = device & ATA_DEV;
    d->power = IDE_POWER_ACTIVE;
    d->intrq = false;
}

/* Both drives test themselves; device 0 speaks for both (8.9). */
void ata_execute_diagnostic(IdeChannel *ch)
{
    for (int i = 0; i < 2; i++) {
        IdeDrive *d = &ch->drives[i];
        if (d->kind != IDE_NONE) {
            ide_cancel(d);
            ide_signature(d);
            d->intrq = false;
        }
    }
    ch->select = 0;
    if (ch->drives[0].kind != IDE_NONE) {
        ide_interrupt(&ch->drives[0]);
    }
}

static void cmd_identify_packet(IdeDrive *d, unsigned how)
{
    atapi_identify(d);
}

/* Takes the packet by PIO, without an interrupt before it. Overlap is not supported. */
static void cmd_packet(IdeDrive *d, unsigned how)
{
    if (d->feature.now & 0x02 || ((d->feature.now & 0x01) && !d->channel->dma)) {
        ide_fail(d, ATA_ABRT);
        return;
    }
    d->count.now = ATAPI_CD;
    d->packet_phase = true;
    d->phase = IDE_PIO_OUT;
    d->pos = 0;
    d->len = d->block_end = IDE_PACKET;
    d->status = ATA_DRDY | ATA_DRQ;
}

typedef struct AtaCommand {
    void (*disk)(IdeDrive *d, unsigned arg);
    void (*cdrom)(IdeDrive *d, unsigned arg);
    unsigned arg;
} AtaCommand;

#define RW(n, how)    [n] = {read_write, NULL, how}
#define BOTH(n, f, a) [n] = {f, f, a}
#define DISK(n, f)    [n] = {f, NULL, 0}
#define CDROM(n, f)   [n] = {NULL, f, 0}

/* What is not here is aborted. */
static const AtaCommand commands[256] = {
    BOTH(0x00, cmd_abort, 0), /* NOP */
    CDROM(0x08, cmd_device_reset),
    [0x10 ... 0x1f] = {cmd_recalibrate, NULL, 0},
    RW(0x20, 0),
    RW(0x21, 0),
    RW(0x24, RW_EXT),
    RW(0x25, RW_DMA | RW_EXT),
    DISK(CMD_READ_NATIVE_MAX_EXT, cmd_read_native_max),
    RW(0x29, RW_MULTIPLE | RW_EXT),
    RW(0x30, RW_WRITE),
    RW(0x31, RW_WRITE),
    RW(0x34, RW_WRITE | RW_EXT),
    RW(0x35, RW_WRITE | RW_DMA | RW_EXT),
    RW(0x39, RW_WRITE | RW_MULTIPLE | RW_EXT),
    RW(0x40, RW_VERIFY),
    RW(0x41, RW_VERIFY),
    RW(0x42, RW_VERIFY | RW_EXT),
    [0x70 ... 0x7f] = {cmd_seek, NULL, 0},
    DISK(0x91, cmd_initialize_parameters),
    BOTH(0x94, cmd_power, IDE_POWER_STANDBY), /* 94h-99h: the older numbers of E0h-E6h */
    BOTH(0x95, cmd_power, IDE_POWER_IDLE),
    BOTH(0x96, cmd_power, IDE_POWER_STANDBY),
    BOTH(0x97, cmd_power, IDE_POWER_IDLE),
    BOTH(0x98, cmd_check_power, 0),
    BOTH(0x99, cmd_power, IDE_POWER_SLEEP),
    CDROM(CMD_PACKET, cmd_packet),
    CDROM(0xa1, cmd_identify_packet),
    DISK(0xb0, cmd_smart),
    RW(0xc4, RW_MULTIPLE),
    RW(0xc5, RW_WRITE | RW_MULTIPLE),
    DISK(0xc6, cmd_set_multiple),
    RW(0xc8, RW_DMA),
    RW(0xc9, RW_DMA),
    RW(0xca, RW_WRITE | RW_DMA),
    RW(0xcb, RW_WRITE | RW_DMA),
    BOTH(0xe0, cmd_power, IDE_POWER_STANDBY),
    BOTH(0xe1, cmd_power, IDE_POWER_IDLE),
    BOTH(0xe2, cmd_power, IDE_POWER_STANDBY),
    BOTH(0xe3, cmd_power, IDE_POWER_IDLE),
    BOTH(0xe5, cmd_check_power, 0),
    BOTH(0xe6, cmd_power, IDE_POWER_SLEEP),
    DISK(0xe7, cmd_flush),
    DISK(0xea, cmd_flush),
    DISK(0xec, cmd_identify),
    BOTH(0xef, cmd_set_features, 0),
    DISK(0xf8, cmd_read_native_max),
};

void ata_run(IdeDrive *d)
{
    const AtaCommand *c = &commands[d->command];
    void (*run)(IdeDrive *, unsigned) = d->kind == IDE_DISK ? c->disk : c->cdrom;

    d->ext = false;
    if (run) {
        run(d, c->arg);
    } else if (d->kind == IDE_CDROM && (d->command == 0xec || d->command == 0x20)) {
        cmd_identify_refused(d);
    } else {
        log_printf(LOG_UNIMP, "ide: command %02x is aborted\n", d->command);
        ide_fail(d, ATA_ABRT);
    }
}
