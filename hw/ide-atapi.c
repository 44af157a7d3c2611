/*
 * The CD-ROM: packet commands of MMC-3 and SPC-2 over ATA/ATAPI-6. Data discs with one track; an
 * image larger than a CD is shown as a DVD-ROM. Opening the tray leaves the image in it.
 * Not modelled: audio, subchannels, raw sectors (READ CD gives user data), writing.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "hw/ide-core.h"
#include "util/log.h"

/* Sense keys and additional codes (SPC-2) */
enum {
    SENSE_NONE = 0,
    SENSE_NOT_READY = 2,
    SENSE_MEDIUM_ERROR = 3,
    SENSE_ILLEGAL_REQUEST = 5,
    SENSE_UNIT_ATTENTION = 6,
    ASC_READ_ERROR = 0x11,
    ASC_INVALID_COMMAND = 0x20,
    ASC_OUT_OF_RANGE = 0x21,
    ASC_INVALID_FIELD = 0x24,
    ASC_MEDIUM_CHANGED = 0x28,
    ASC_NO_MEDIUM = 0x3a,
    ASC_REMOVAL_PREVENTED = 0x53,
    ASC_SAVING_NOT_SUPPORTED = 0x39,
};

enum {
    CD_MAX_SECTORS = 80 * 60 * 75, /* an 80 minute disc */
    PROFILE_NONE = 0,
    PROFILE_CD_ROM = 0x08,
    PROFILE_DVD_ROM = 0x10,
    SPEED_KBPS = 0x2c2, /* 4x */
};

static uint16_t get16(const uint8_t *p)
{
    return p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, uint16_t v)
{
    p[0] = v >> 8;
    p[1] = v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v);
}

/* ---- state of the medium ---- */

static bool medium_in(const IdeDrive *d)
{
    return blk_has_medium(d->blk) && !d->tray_open;
}

static uint64_t medium_sectors(const IdeDrive *d)
{
    uint64_t n = medium_in(d) ? blk_size(d->blk) / CD_SECTOR : 0;
    return n < UINT32_MAX ? n : UINT32_MAX;
}

static uint16_t profile(const IdeDrive *d)
{
    return !medium_in(d)                        ? PROFILE_NONE
           : medium_sectors(d) > CD_MAX_SECTORS ? PROFILE_DVD_ROM
                                                : PROFILE_CD_ROM;
}

/* Someone outside put in another medium, or took it. */
void atapi_medium_changed(void *opaque)
{
    IdeDrive *d = opaque;

    d->medium_changed = true;
    d->new_media_event = true;
    d->tray_open = false;
}

/* Someone outside wants the medium that the guest has locked in. */
void atapi_eject_wanted(void *opaque)
{
    ((IdeDrive *)opaque)->eject_event = true;
}

/* ---- ends of commands ---- */

/* Status phase: command complete, both reason bits set. */
static void end(IdeDrive *d, uint8_t status, uint8_t error)
{
    d->phase = IDE_IDLE;
    d->error = error;
    d->status = status;
    d->count.now = ATAPI_CD | ATAPI_IO;
    ide_interrupt(d);
}

static void succeed(IdeDrive *d)
{
    d->sense_key = SENSE_NONE;
    d->asc = d->ascq = 0;
    end(d, ATA_DRDY | ATA_DSC, 0);
}

static void fail(IdeDrive *d, uint8_t key, uint8_t asc)
{
    d->sense_key = key;
    d->asc = asc;
    d->ascq = 0;
    end(d, ATA_DRDY | ATA_DSC | ATA_ERR, key << 4 | (key == SENSE_ILLEGAL_REQUEST ? ATA_ABRT : 0));
}

void atapi_finish(IdeDrive *d)
{
    succeed(d);
}

void atapi_transfer_failed(IdeDrive *d)
{
    if (medium_in(d)) {
        fail(d, SENSE_MEDIUM_ERROR, ASC_READ_ERROR);
    } else {
        fail(d, SENSE_NOT_READY, ASC_NO_MEDIUM);
    }
}

/* A block is what the host allowed, and an even number of bytes unless it is the last. */
void atapi_present_block(IdeDrive *d)
{
    uint32_t n = d->block_end - d->pos;

    d->lba_mid.now = n;
    d->lba_high.now = n >> 8;
    d->count.now = ATAPI_IO;
}

/* The host's limit on a DRQ block, from the byte count registers. */
static void set_block_limit(IdeDrive *d)
{
    uint32_t limit = d->lba_mid.now | d->lba_high.now << 8;

    if (limit == 0 || limit == 0xffff) {
        limit = 0xfffe;
    }
    d->block = limit > 1 ? limit & ~1u : 2;
}

static void reply(IdeDrive *d, uint32_t size, uint32_t allocated)
{
    uint32_t n = size < allocated ? size : allocated;

    if (n == 0) {
        succeed(d);
    } else {
        ide_send_buffer(d, n);
    }
}

/* ---- commands: each finds the packet in d->packet and a cleared buffer for its reply ---- */

static void test_unit_ready(IdeDrive *d)
{
    succeed(d);
}

static void request_sense(IdeDrive *d)
{
    uint8_t *b = d->buffer;

    if (d->sense_key == SENSE_NONE && d->medium_changed) {
        d->sense_key = SENSE_UNIT_ATTENTION;
        d->asc = ASC_MEDIUM_CHANGED;
        d->medium_changed = false;
    }
    b[0] = 0x70 | 0x80;
    b[2] = d->sense_key;
    b[7] = 10; /* bytes that follow */
    b[12] = d->asc;
    b[13] = d->ascq;
    reply(d, 18, d->packet[4]);
}

static void inquiry(IdeDrive *d)
{
    uint8_t *b = d->buffer;

    if (d->packet[1] & 3 || d->packet[2]) {
        fail(d, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD); /* no vital product data */
        return;
    }
    b[0] = 0x05; /* CD-ROM */
    b[1] = 0x80; /* removable */
    b[3] = 0x21; /* ATAPI response format */
    b[4] = 31;
    memcpy(b + 8, "VOLE    ", 8);
    memcpy(b + 16, "VOLE DVD-ROM    ", 16);
    memcpy(b + 32, "1.0 ", 4);
    reply(d, 36, get16(d->packet + 3));
}

/* Power conditions do nothing; with LoEj the tray moves. */
static void start_stop_unit(IdeDrive *d)
{
    bool load_eject = d->packet[4] & 2, start = d->packet[4] & 1;

    if (load_eject && !start && d->locked && !d->tray_open) {
        fail(d, SENSE_ILLEGAL_REQUEST, ASC_REMOVAL_PREVENTED);
        return;
    }
    if (load_eject && d->tray_open == start) {
        d->tray_open = !start;
        blk_move_tray(d->blk, d->tray_open);
        if (start && blk_has_medium(d->blk)) {
            d->medium_changed = d->new_media_event = true;
        }
    }
    succeed(d);
}

static void prevent_allow(IdeDrive *d)
{
    d->locked = d->packet[4] & 1;
    blk_lock_medium(d->blk, d->locked);
    succeed(d);
}

static void read_capacity(IdeDrive *d)
{
    put32(d->buffer, medium_sectors(d) ? medium_sectors(d) - 1 : 0);
    put32(d->buffer + 4, CD_SECTOR);
    reply(d, 8, 8);
}

static void start_reading(IdeDrive *d, uint64_t lba, uint64_t count)
{
    if (lba > medium_sectors(d) || count > medium_sectors(d) - lba) {
        fail(d, SENSE_ILLEGAL_REQUEST, ASC_OUT_OF_RANGE);
        return;
    }
    if (count > 0x10000) {
        fail(d, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD); /* 128 MB in one command */
        return;
    }
    if (count == 0) {
        succeed(d);
        return;
    }
    d->lba = lba;
    d->left = count;
    d->writing = false;
    ide_start_transfer(d);
}

static void read_10(IdeDrive *d)
{
    start_reading(d, get32(d->packet + 2), get16(d->packet + 7));
}

static void read_12(IdeDrive *d)
{
    start_reading(d, get32(d->packet + 2), get32(d->packet + 6));
}

/* Byte 9 says which parts of a sector are wanted: none, or the user data alone. */
static void read_cd(IdeDrive *d)
{
    uint32_t count = d->packet[6] << 16 | get16(d->packet + 7);
    uint8_t parts = d->packet[9] & 0xf8;

    if (d->packet[10] & 7 || (parts != 0 && parts != 0x10)) {
        fail(d, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        return;
    }
    start_reading(d, get32(d->packet + 2), parts ? count : 0);
}

static void seek_10(IdeDrive *d)
{
    if (get32(d->packet + 2) >= medium_sectors(d)) {
        fail(d, SENSE_ILLEGAL_REQUEST, ASC_OUT_OF_RANGE);
        return;
    }
    succeed(d);
}

/* An address as a sector number, or as minute, second, frame from the disc's lead-in. */
static void put_address(uint8_t *p, uint32_t lba, bool msf)
{
    if (!msf) {
        put32(p, lba);
        return;
    }
    lba += 2 * 75;
    p[0] = 0;
    p[1] = lba / 75 / 60;
    p[2] = lba / 75 % 60;
    p[3] = lba % 75;
}

static uint8_t *put_toc_entry(uint8_t *p, uint8_t track, uint32_t lba, bool msf)
{
    p[1] = 0x14; /* data track, position in the Q channel */
    p[2] = track;
    put_address(p + 4, lba, msf);
    return p + 8;
}

/* Format 2: points A0h, A1h, A2h (first, last track, lead-out) and the track. */
static uint8_t *put_full_toc_entry(uint8_t *p, uint8_t point, uint32_t lba, bool is_address)
{
    p[0] = 1; /* session */
    p[1] = 0x14;
    p[3] = point;
    if (is_address) {
        put_address(p + 7, lba, true);
    } else {
        p[8] = 1;
    }
    return p + 11;
}

static void read_toc(IdeDrive *d)
{
    bool msf = d->packet[1] & 2;
    unsigned format = d->packet[2] & 0x0f ? d->packet[2] & 0x0f : d->packet[9] >> 6;
    uint8_t track = d->packet[6];
    uint8_t *b = d->buffer, *p = b + 4;
    uint32_t end_lba = medium_sectors(d);

    b[2] = b[3] = 1; /* first and last track or session */
    switch (format) {
    case 0:
        if (track > 1 && track != 0xaa) {
            fail(d, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
            return;
        }
        if (track <= 1) {
            p = put_toc_entry(p, 1, 0, msf);
        }
        p = put_toc_entry(p, 0xaa, end_lba, msf);
        break;
    case 1: /* first track of the last session */
        p = put_toc_entry(p, 1, 0, msf);
        break;
    case 2:
        p = put_full_toc_entry(p, 0xa0, 0, false);
        p = put_full_toc_entry(p, 0xa1, 0, false);
        p = put_full_toc_entry(p, 0xa2, end_lba, true);
        p = put_full_toc_entry(p, 1, 0, true);
        break;
    default:
        fail(d, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        return;
    }
    put16(b, p - b - 2);
    reply(d, p - b, get16(d->packet + 7));
}

/* Feature descriptors (MMC-3, 5.3): profile list, core, removable medium, random reading. */
static void get_configuration(IdeDrive *d)
{
    uint8_t *b = d->buffer, *p = b + 8;
    uint16_t now = profile(d);

    put16(b + 6, now);
    put16(p, 0x0000);
    p[2] = 0x03; /* persistent, current */
    p[3] = 8;
    put16(p + 4, PROFILE_DVD_ROM);
    p[6] = now == PROFILE_DVD_ROM;
    put16(p + 8, PROFILE_CD_ROM);
    p[10] = now == PROFILE_CD_ROM;
    p += 12;
    put16(p, 0x0001); /* core */
    p[2] = 0x03;
    p[3] = 4;
    put32(p + 4, 2); /* ATAPI */
    p += 8;
    put16(p, 0x0003); /* removable medium */
    p[2] = 0x03;
    p[3] = 4;
    p[4] = 0x29; /* tray, can eject, can lock */
    p += 8;
    put16(p, 0x0010); /* random readable */
    p[2] = now != PROFILE_NONE;
    p[3] = 8;
    put32(p + 4, CD_SECTOR);
    put16(p + 8, 1);
    p += 12;
    put32(b, p - b - 4);
    reply(d, p - b, get16(d->packet + 7));
}

/* Polled only; of the classes only that of media exists. */
static void get_event_status(IdeDrive *d)
{
    enum { CLASS_MEDIA = 1 << 4, EVENT_NONE = 0, EVENT_EJECT_REQUEST = 1, EVENT_NEW_MEDIA = 2 };
    uint8_t *b = d->buffer;

    if (!(d->packet[1] & 1)) {
        fail(d, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        return;
    }
    b[3] = CLASS_MEDIA;
    if (!(d->packet[4] & CLASS_MEDIA)) {
        b[1] = 2;
        b[2] = 0x80; /* no class that was asked for */
        reply(d, 4, get16(d->packet + 7));
        return;
    }
    b[1] = 6;
    b[2] = 4;
    b[4] = d->new_media_event && medium_in(d) ? EVENT_NEW_MEDIA
           : d->eject_event                   ? EVENT_EJECT_REQUEST
                                              : EVENT_NONE;
    b[5] = (medium_in(d) ? 2 : 0) | (d->tray_open ? 1 : 0);
    if (b[4] == EVENT_EJECT_REQUEST) {
        d->eject_event = false;
    }
    d->new_media_event = false;
    reply(d, 8, get16(d->packet + 7));
}

static void read_disc_information(IdeDrive *d)
{
    uint8_t *b = d->buffer;

    put16(b, 32);
    b[2] = 0x0e;                   /* complete disc, complete last session */
    b[3] = b[4] = b[5] = b[6] = 1; /* tracks, sessions */
    b[7] = 0x20;                   /* unrestricted use */
    reply(d, 34, get16(d->packet + 7));
}

static uint8_t *page_error_recovery(const IdeDrive *d, uint8_t *p)
{
    p[0] = 0x01;
    p[1] = 6;
    p[3] = 5; /* retries */
    return p + 8;
}

static uint8_t *page_cd(const IdeDrive *d, uint8_t *p)
{
    p[0] = 0x0d;
    p[1] = 6;
    put16(p + 4, 60); /* seconds a minute, frames a second */
    put16(p + 6, 75);
    return p + 8;
}

static uint8_t *page_capabilities(const IdeDrive *d, uint8_t *p)
{
    p[0] = 0x2a;
    p[1] = 18;
    p[2] = 0x08;                       /* reads DVD-ROM */
    p[4] = 0x30;                       /* mode 2 forms 1 and 2 */
    p[6] = 0x29 | (d->locked ? 2 : 0); /* tray, ejects, locks */
    put16(p + 8, SPEED_KBPS);
    put16(p + 12, 512); /* KB of buffer */
    put16(p + 14, SPEED_KBPS);
    return p + 20;
}

static void mode_sense_10(IdeDrive *d)
{
    uint8_t page = d->packet[2] & 0x3f;
    uint8_t *b = d->buffer, *p = b + 8;

    if (d->packet[2] >> 6 == 3) {
        fail(d, SENSE_ILLEGAL_REQUEST, ASC_SAVING_NOT_SUPPORTED);
        return;
    }
    if (page == 0x01 || page == 0x3f) {
        p = page_error_recovery(d, p);
    }
    if (page == 0x0d || page == 0x3f) {
        p = page_cd(d, p);
    }
    if (page == 0x2a || page == 0x3f) {
        p = page_capabilities(d, p);
    }
    if (p == b + 8) {
        fail(d, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
        return;
    }
    if (d->packet[2] >> 6 == 1) {
        /* Changeable values: nothing is. */
        for (uint8_t *q = b + 8; q < p; q += q[1] + 2) {
            memset(q + 2, 0, q[1]);
        }
    }
    put16(b, p - b - 2);
    /* Medium type: open, data disc, none */
    b[2] = d->tray_open ? 0x71 : medium_in(d) ? 0x01 : 0x70;
    reply(d, p - b, get16(d->packet + 7));
}

static void mechanism_status(IdeDrive *d)
{
    d->buffer[1] = d->tray_open ? 0x10 : 0;
    reply(d, 8, get16(d->packet + 8));
}

/* ---- dispatch ---- */

enum {
    NEEDS_MEDIUM = 1,
    ANY_TIME = 2, /* not stopped by a unit attention */
};

static const struct {
    void (*run)(IdeDrive *d);
    unsigned flags;
} packets[256] = {
    [0x00] = {test_unit_ready, NEEDS_MEDIUM},
    [0x03] = {request_sense, ANY_TIME},
    [0x12] = {inquiry, ANY_TIME},
    [0x1b] = {start_stop_unit, 0},
    [0x1e] = {prevent_allow, 0},
    [0x25] = {read_capacity, NEEDS_MEDIUM},
    [0x28] = {read_10, NEEDS_MEDIUM},
    [0x2b] = {seek_10, NEEDS_MEDIUM},
    [0x43] = {read_toc, NEEDS_MEDIUM},
    [0x46] = {get_configuration, ANY_TIME},
    [0x4a] = {get_event_status, ANY_TIME},
    [0x51] = {read_disc_information, NEEDS_MEDIUM},
    [0x5a] = {mode_sense_10, 0},
    [0xa8] = {read_12, NEEDS_MEDIUM},
    [0xbd] = {mechanism_status, 0},
    [0xbe] = {read_cd, NEEDS_MEDIUM},
};

enum { REPLY_MAX = 512 }; /* bytes of buffer that replies may use */

void atapi_run_packet(IdeDrive *d)
{
    uint8_t op = d->packet[0];
    void (*run)(IdeDrive *) = packets[op].run;

    d->transfer = d->feature.now & 1 ? IDE_DMA : IDE_PIO;
    set_block_limit(d);
    if (!run) {
        log_printf(LOG_UNIMP, "ide: packet command %02x is refused\n", op);
        fail(d, SENSE_ILLEGAL_REQUEST, ASC_INVALID_COMMAND);
        return;
    }
    if (d->medium_changed && !(packets[op].flags & ANY_TIME)) {
        d->medium_changed = false;
        fail(d, SENSE_UNIT_ATTENTION, ASC_MEDIUM_CHANGED);
        return;
    }
    if ((packets[op].flags & NEEDS_MEDIUM) && !medium_in(d)) {
        fail(d, SENSE_NOT_READY, ASC_NO_MEDIUM);
        return;
    }
    memset(d->buffer, 0, REPLY_MAX);
    run(d);
}
