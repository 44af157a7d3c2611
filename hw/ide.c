/*
 * An IDE channel: the task file of its two drives (ATA/ATAPI-6, T13/1410D), and the movement of
 * data between the image, a drive's buffer and the guest, by programmed I/O or DMA.
 *
 * One command is under way a drive, and at most one request of it at its image. A request that a
 * reset has given up is waited for before the next one starts, so writes reach the image in the
 * guest's order. A request in flight is not drained when the state is saved: the loaded state
 * starts it again, which gives the same result, as reads have no effect and the data of a write are
 * still in the buffer. It does so when the machine begins to run.
 * Not modelled: overlapped commands, queueing, host protected area, security.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hw/ide-core.h"
#include "hw/ide.h"
#include "hw/machine.h"
#include "util/log.h"

/* Command block registers */
enum {
    REG_DATA,
    REG_ERROR, /* written: features */
    REG_COUNT,
    REG_LBA_LOW,
    REG_LBA_MID,
    REG_LBA_HIGH,
    REG_DEVICE,
    REG_STATUS, /* written: command */
};

enum { CMD_DEVICE_RESET = 0x08, CMD_EXECUTE_DIAGNOSTIC = 0x90 };

/* Lines of a channel without drives: pulled up but for DD7, so that nobody looks busy. */
enum { FLOATING = 0x7f };

static IdeDrive *selected(IdeChannel *ch)
{
    return &ch->drives[ch->select];
}

static void update_irq(IdeChannel *ch)
{
    IdeDrive *d = selected(ch);
    bool level = d->kind != IDE_NONE && d->intrq && !(ch->control & ATA_NIEN);

    if (level == ch->line) {
        return;
    }
    ch->line = level;
    if (level && ch->dma) {
        ch->dma->interrupt(ch->dma_opaque);
    }
    irq_set(ch->irq, level);
}

void ide_interrupt(IdeDrive *d)
{
    d->intrq = true;
    update_irq(d->channel);
}

/* ---- ends of commands ---- */

void ide_succeed(IdeDrive *d)
{
    d->phase = IDE_IDLE;
    d->error = 0;
    d->status = ATA_DRDY | ATA_DSC;
    ide_interrupt(d);
}

void ide_fail(IdeDrive *d, uint8_t error)
{
    d->phase = IDE_IDLE;
    d->error = error;
    d->status = ATA_DRDY | ATA_DSC | ATA_ERR;
    ide_interrupt(d);
}

void ide_cancel(IdeDrive *d)
{
    d->phase = IDE_IDLE;
    d->packet_phase = false;
    d->stalled = false;
    d->given_up = d->in_flight;
}

/* ---- requests to the image ---- */

static void image_done(void *opaque, int ret);

static void start_request(IdeDrive *d)
{
    struct iovec iov = {d->io_buffer, (size_t)d->chunk * ide_sector_size(d)};
    uint64_t offset = d->lba * ide_sector_size(d);

    if (d->in_flight) {
        return; /* an older one that was given up; its end starts this */
    }
    d->in_flight = true;
    d->given_up = false;
    switch (d->phase) {
    case IDE_READING:
        blk_readv(d->blk, offset, &iov, 1, image_done, d);
        break;
    case IDE_WRITING:
        memcpy(d->io_buffer, d->buffer, iov.iov_len);
        blk_writev(d->blk, offset, &iov, 1, image_done, d);
        break;
    default:
        blk_flush(d->blk, image_done, d);
        break;
    }
}

static void start_phase(IdeDrive *d, IdePhase phase)
{
    d->phase = phase;
    d->status = ATA_BSY;
    start_request(d);
}

void ide_start_flush(IdeDrive *d)
{
    start_phase(d, IDE_FLUSHING);
}

static bool waits_for_image(const IdeDrive *d)
{
    return d->phase == IDE_READING || d->phase == IDE_WRITING || d->phase == IDE_FLUSHING;
}

/* ---- data to and from the guest ---- */

static void next_chunk(IdeDrive *d);

/* Shows the next DRQ block of what is in the buffer, or room for one there. */
static void present_block(IdeDrive *d, bool interrupt)
{
    d->block_end = d->len - d->pos > d->block ? d->pos + d->block : d->len;
    d->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
    if (d->kind == IDE_CDROM && d->command == 0xa0) {
        atapi_present_block(d);
    }
    if (interrupt) {
        ide_interrupt(d);
    }
}

/* All data of the command has been moved. The last block of a PIO read ends without interrupt. */
static void transfer_complete(IdeDrive *d)
{
    if (d->kind == IDE_CDROM && d->command == 0xa0) {
        atapi_finish(d);
        return;
    }
    ata_transfer_done(d);
    if (!d->writing && d->transfer == IDE_PIO) {
        d->phase = IDE_IDLE;
        d->status = ATA_DRDY | ATA_DSC;
    } else if (d->writing && !d->write_cache) {
        ide_start_flush(d);
    } else {
        ide_succeed(d);
    }
}

/* The guest has the whole buffer. */
static void buffer_sent(IdeDrive *d)
{
    if (d->left) {
        next_chunk(d);
    } else {
        transfer_complete(d);
    }
}

static void buffer_filled(IdeDrive *d)
{
    start_phase(d, IDE_WRITING);
}

static void run_dma(IdeDrive *d)
{
    IdeChannel *ch = d->channel;
    bool in = d->phase == IDE_DMA_IN;

    if (ch->dma && d == selected(ch)) {
        d->pos += ch->dma->transfer(ch->dma_opaque, d->buffer + d->pos, d->len - d->pos, in);
    }
    if (d->pos < d->len) {
        return; /* the host starts the engine later */
    }
    if (in) {
        buffer_sent(d);
    } else {
        buffer_filled(d);
    }
}

void ide_dma_started(IdeChannel *ch)
{
    IdeDrive *d = selected(ch);

    if (d->phase == IDE_DMA_IN || d->phase == IDE_DMA_OUT) {
        run_dma(d);
    }
}

static void start_dma(IdeDrive *d, IdePhase phase)
{
    d->phase = phase;
    d->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
    run_dma(d);
}

static void send(IdeDrive *d)
{
    d->pos = d->block_end = 0;
    if (d->transfer == IDE_VERIFY) {
        buffer_sent(d);
    } else if (d->transfer == IDE_DMA) {
        start_dma(d, IDE_DMA_IN);
    } else {
        d->phase = IDE_PIO_IN;
        present_block(d, true);
    }
}

void ide_send_buffer(IdeDrive *d, uint32_t n)
{
    d->writing = false;
    d->left = 0;
    d->len = n;
    send(d);
}

static void receive(IdeDrive *d, bool interrupt)
{
    d->pos = d->block_end = 0;
    d->len = d->chunk * ide_sector_size(d);
    if (d->transfer == IDE_DMA) {
        start_dma(d, IDE_DMA_OUT);
    } else {
        d->phase = IDE_PIO_OUT;
        present_block(d, interrupt);
    }
}

static void choose_chunk(IdeDrive *d)
{
    uint32_t most = IDE_BUFFER / ide_sector_size(d);

    if (most > d->chunk_max) {
        most = d->chunk_max;
    }
    d->chunk = d->left < most ? d->left : most;
}

static void next_chunk(IdeDrive *d)
{
    choose_chunk(d);
    if (d->writing) {
        receive(d, true);
    } else {
        start_phase(d, IDE_READING);
    }
}

/* The first DRQ block of a write comes without interrupt. */
void ide_start_transfer(IdeDrive *d)
{
    d->chunk_max = IDE_BUFFER;
    choose_chunk(d);
    if (d->writing) {
        receive(d, false);
    } else {
        start_phase(d, IDE_READING);
    }
}

/* ---- the image answers ---- */

/* A read of many sectors is tried again in the smallest pieces the guest sees, so that it gets what
   is good and the address of what is not. */
static bool try_smaller(IdeDrive *d)
{
    uint32_t least = d->transfer == IDE_PIO ? d->block / ide_sector_size(d) : 1;

    if (least == 0) {
        least = 1;
    }
    if (d->phase != IDE_READING || d->chunk <= least) {
        return false;
    }
    d->chunk_max = least;
    choose_chunk(d);
    start_request(d);
    return true;
}

static void request_failed(IdeDrive *d, int error)
{
    if (try_smaller(d)) {
        return;
    }
    BlkErrorAction action = blk_error_action(d->blk, d->phase != IDE_READING, error);
    blk_tell_error(d->blk, d->phase != IDE_READING, error, action);
    switch (action) {
    case BLK_ERROR_STOP:
        d->stalled = true;
        machine_stop(RUN_STATE_IO_ERROR);
        break;
    case BLK_ERROR_IGNORE:
    case BLK_ERROR_REPORT:
        if (d->kind == IDE_CDROM && d->command == 0xa0) {
            atapi_transfer_failed(d);
        } else {
            ata_transfer_failed(d);
        }
        break;
    }
}

static void request_succeeded(IdeDrive *d)
{
    if (d->phase == IDE_FLUSHING) {
        ide_succeed(d);
        return;
    }
    bool read = d->phase == IDE_READING;
    d->lba += d->chunk;
    d->left -= d->chunk;
    if (read) {
        d->len = d->chunk * ide_sector_size(d);
        memcpy(d->buffer, d->io_buffer, d->len);
        send(d);
    } else if (d->left) {
        next_chunk(d);
    } else {
        transfer_complete(d);
    }
}

static void image_done(void *opaque, int ret)
{
    IdeDrive *d = opaque;
    bool given_up = d->given_up;

    d->in_flight = false;
    d->given_up = false;
    if (given_up) {
        if (waits_for_image(d)) {
            start_request(d);
        }
    } else if (ret < 0 &&
               blk_error_action(d->blk, d->phase != IDE_READING, -ret) != BLK_ERROR_IGNORE) {
        request_failed(d, -ret);
    } else {
        if (ret < 0) {
            blk_tell_error(d->blk, d->phase != IDE_READING, -ret, BLK_ERROR_IGNORE);
        }
        request_succeeded(d);
    }
}

/* `cont` after a stop for an I/O error. */
static void state_changed(void *opaque, bool running, RunState state)
{
    IdeChannel *ch = opaque;

    for (int i = 0; running && i < 2; i++) {
        IdeDrive *d = &ch->drives[i];
        if (d->stalled) {
            d->stalled = false;
            start_request(d);
        }
    }
}

/* ---- the data port ---- */

static uint32_t data_read(IdeDrive *d, unsigned size)
{
    uint32_t value = 0xffffffff;

    if (d->phase != IDE_PIO_IN) {
        return value;
    }
    for (unsigned i = 0; i < size && d->pos < d->block_end; i++) {
        value &= ~(0xffu << (8 * i));
        value |= (uint32_t)d->buffer[d->pos++] << (8 * i);
    }
    if (d->pos == d->block_end) {
        if (d->pos < d->len) {
            present_block(d, true);
        } else {
            buffer_sent(d);
        }
    }
    return value;
}

static void data_write(IdeDrive *d, uint32_t value, unsigned size)
{
    if (d->phase != IDE_PIO_OUT) {
        return;
    }
    for (unsigned i = 0; i < size && d->pos < d->block_end; i++) {
        d->buffer[d->pos++] = value >> (8 * i);
    }
    if (d->pos < d->block_end) {
        return;
    }
    if (d->packet_phase) {
        memcpy(d->packet, d->buffer, sizeof(d->packet));
        d->packet_phase = false;
        d->phase = IDE_IDLE;
        atapi_run_packet(d);
    } else if (d->pos < d->len) {
        present_block(d, true);
    } else {
        buffer_filled(d);
    }
}

/* ---- registers ---- */

static uint8_t reg_value(const IdeChannel *ch, IdeReg r)
{
    return ch->control & ATA_HOB ? r.before : r.now;
}

/* Device 0 answers for an absent device 1, with a status that says nothing is there. */
static IdeDrive *answering(IdeChannel *ch)
{
    IdeDrive *d = selected(ch);

    if (d->kind == IDE_NONE && ch->select == 1) {
        d = &ch->drives[0];
    }
    return d->kind == IDE_NONE ? NULL : d;
}

static uint8_t status_value(IdeChannel *ch)
{
    IdeDrive *d = answering(ch);

    if (!d) {
        return FLOATING;
    }
    return d == selected(ch) ? d->status : 0;
}

static uint8_t register_read(IdeChannel *ch, unsigned offset)
{
    IdeDrive *d = answering(ch);

    if (!d) {
        return FLOATING;
    }
    switch (offset) {
    case REG_ERROR:
        return d->error;
    case REG_COUNT:
        return reg_value(ch, d->count);
    case REG_LBA_LOW:
        return reg_value(ch, d->lba_low);
    case REG_LBA_MID:
        return reg_value(ch, d->lba_mid);
    case REG_LBA_HIGH:
        return reg_value(ch, d->lba_high);
    case REG_DEVICE:
        return (d->device & ~ATA_DEV) | (ch->select ? ATA_DEV : 0);
    case REG_STATUS:
        if (d == selected(ch)) {
            d->intrq = false;
            update_irq(ch);
        }
        return status_value(ch);
    }
    return FLOATING;
}

static void shift_in(IdeReg *r, uint8_t value)
{
    r->before = r->now;
    r->now = value;
}

/* Both drives listen. A busy one does not. */
static void task_file_write(IdeDrive *d, unsigned offset, uint8_t value)
{
    if (d->status & ATA_BSY) {
        return;
    }
    switch (offset) {
    case REG_ERROR:
        shift_in(&d->feature, value);
        break;
    case REG_COUNT:
        shift_in(&d->count, value);
        break;
    case REG_LBA_LOW:
        shift_in(&d->lba_low, value);
        break;
    case REG_LBA_MID:
        shift_in(&d->lba_mid, value);
        break;
    case REG_LBA_HIGH:
        shift_in(&d->lba_high, value);
        break;
    case REG_DEVICE:
        d->device = value;
        break;
    }
}

static void command_written(IdeChannel *ch, uint8_t command)
{
    IdeDrive *d = selected(ch);

    if (command == CMD_EXECUTE_DIAGNOSTIC && answering(ch)) {
        ata_execute_diagnostic(ch);
        return;
    }
    if (d->kind == IDE_NONE) {
        return;
    }
    bool device_reset = command == CMD_DEVICE_RESET && d->kind == IDE_CDROM;
    if ((d->status & ATA_BSY || d->power == IDE_POWER_SLEEP) && !device_reset) {
        log_printf(LOG_GUEST_ERRORS, "ide: command %02x while the drive is busy or asleep\n",
                   command);
        return;
    }
    d->intrq = false;
    update_irq(ch);
    ide_cancel(d);
    d->command = command;
    d->error = 0;
    ata_run(d);
}

static void register_write(IdeChannel *ch, unsigned offset, uint8_t value)
{
    ch->control &= ~ATA_HOB;
    if (offset == REG_STATUS) {
        command_written(ch, value);
        return;
    }
    task_file_write(&ch->drives[0], offset, value);
    task_file_write(&ch->drives[1], offset, value);
    if (offset == REG_DEVICE) {
        ch->select = (value & ATA_DEV) != 0;
        update_irq(ch);
    }
}

static uint64_t command_read(void *opaque, hwaddr offset, unsigned size)
{
    IdeChannel *ch = opaque;
    uint32_t value = 0;

    if (offset == REG_DATA) {
        return answering(ch) == selected(ch) ? data_read(selected(ch), size) : 0xffffffff;
    }
    for (unsigned i = 0; i < size; i++) {
        value |= (uint32_t)register_read(ch, (unsigned)offset + i) << (8 * i);
    }
    return value;
}

static void command_write(void *opaque, hwaddr offset, uint64_t value, unsigned size)
{
    IdeChannel *ch = opaque;

    if (offset == REG_DATA) {
        data_write(selected(ch), (uint32_t)value, size);
        return;
    }
    for (unsigned i = 0; i < size && offset + i <= REG_STATUS; i++) {
        register_write(ch, (unsigned)offset + i, (uint8_t)(value >> (8 * i)));
    }
}

const MemoryOps ide_command_ops = {.read = command_read, .write = command_write, .max_size = 4};

/* ---- resets ---- */

void ide_signature(IdeDrive *d)
{
    bool packet = d->kind == IDE_CDROM;

    d->count = (IdeReg){.now = 1};
    d->lba_low = (IdeReg){.now = 1};
    d->lba_mid = (IdeReg){.now = packet ? 0x14 : 0};
    d->lba_high = (IdeReg){.now = packet ? 0xeb : 0};
    d->device = 0;
    d->error = 1; /* diagnostic code: no error */
    d->status = packet ? 0 : ATA_DRDY | ATA_DSC;
}

static uint64_t control_read(void *opaque, hwaddr addr, unsigned size)
{
    return status_value(opaque);
}

/* SRST keeps what SET FEATURES and the other settings chose; a busy device shows only that. */
static void control_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    IdeChannel *ch = opaque;
    bool was = ch->control & ATA_SRST, now = value & ATA_SRST;

    ch->control = value & (ATA_NIEN | ATA_SRST | ATA_HOB);
    for (int i = 0; i < 2; i++) {
        IdeDrive *d = &ch->drives[i];
        if (d->kind == IDE_NONE || was == now) {
            continue;
        }
        if (now) {
            ide_cancel(d);
            d->intrq = false;
            d->status = ATA_BSY;
        } else {
            ide_signature(d);
            d->power = IDE_POWER_ACTIVE;
        }
    }
    if (was && !now) {
        ch->select = 0;
    }
    update_irq(ch);
}

const MemoryOps ide_control_ops = {.read = control_read, .write = control_write, .max_size = 1};

static void drive_reset(IdeDrive *d)
{
    ide_cancel(d);
    d->feature = (IdeReg){0};
    d->command = 0;
    d->intrq = false;
    d->chs = d->geometry;
    d->multiple = 0;
    d->transfer_mode = 0x22; /* multiword DMA 2 */
    d->write_cache = true;
    d->look_ahead = true;
    d->smart = true;
    d->power = IDE_POWER_ACTIVE;
    d->transfer = IDE_PIO;
    d->writing = d->ext = false;
    d->lba = 0;
    d->left = d->chunk = 0;
    d->block = BLK_SECTOR_SIZE;
    d->chunk_max = 1;
    d->pos = d->block_end = d->len = 0;
    memset(d->packet, 0, sizeof(d->packet));
    d->sense_key = d->asc = d->ascq = 0;
    d->tray_open = d->locked = false;
    d->medium_changed = d->new_media_event = d->eject_event = false;
    if (d->kind == IDE_CDROM) {
        blk_lock_medium(d->blk, false);
    }
    ide_signature(d);
}

void ide_channel_reset(IdeChannel *ch)
{
    drive_reset(&ch->drives[0]);
    drive_reset(&ch->drives[1]);
    ch->select = 0;
    ch->control = 0;
    update_irq(ch);
}

/* ---- set-up ---- */

static void attach(IdeDrive *d, BlockBackend *blk, unsigned number)
{
    d->kind = blk_is_cdrom(blk) ? IDE_CDROM : IDE_DISK;
    d->blk = blk;
    d->buffer = calloc(1, IDE_BUFFER);
    if (!d->buffer || posix_memalign((void **)&d->io_buffer, 4096, IDE_BUFFER) != 0) {
        error_exit("out of memory");
    }
    strcpy(d->model, d->kind == IDE_CDROM ? "VOLE DVD-ROM" : "VOLE HARDDISK");
    strcpy(d->serial, "VL0000");
    d->serial[5] = '1' + number;
    if (d->kind == IDE_CDROM) {
        blk_set_change_handler(blk, atapi_medium_changed, d);
        blk_set_eject_handler(blk, atapi_eject_wanted, d);
    } else {
        IdeBiosGeometry g = ide_bios_geometry(blk);
        d->geometry = (IdeGeometry){g.cylinders, g.heads, g.sectors};
    }
}

void ide_channel_init(IdeChannel *ch, BlockBackend *const drives[2], unsigned number, IrqLine *irq,
                      const IdeDmaOps *dma, void *dma_opaque)
{
    ch->irq = irq;
    ch->dma = dma;
    ch->dma_opaque = dma_opaque;
    for (unsigned i = 0; i < 2; i++) {
        IdeDrive *d = &ch->drives[i];
        d->channel = ch;
        d->unit = i;
        d->kind = IDE_NONE;
        d->geometry = (IdeGeometry){1, 1, 1};
        if (drives[i]) {
            attach(d, drives[i], 2 * number + i);
        }
    }
    machine_add_state_handler(state_changed, ch);
}

/*
 * What BIOSes and systems of the time expect a disk to look like: 16 heads and 63 sectors, unless a
 * partition table was made for another geometry that the registers can express. More than 1024
 * cylinders need translation in the BIOS.
 */
IdeBiosGeometry ide_bios_geometry(BlockBackend *blk)
{
    enum { TABLE = 446, ENTRY = 16, END_HEAD = 5, END_SECTOR = 6, SECTOR_COUNT = 12 };
    IdeBiosGeometry g = {.heads = 16, .sectors = 63, .translation = IDE_TRANSLATION_NONE};
    uint8_t mbr[BLK_SECTOR_SIZE];
    uint64_t total = blk_size(blk) / BLK_SECTOR_SIZE;

    if (blk_pread(blk, 0, mbr, sizeof(mbr)) == 0 && mbr[510] == 0x55 && mbr[511] == 0xaa) {
        for (int i = 0; i < 4; i++) {
            const uint8_t *p = mbr + TABLE + i * ENTRY;
            uint32_t heads = p[END_HEAD] + 1, sectors = p[END_SECTOR] & 63;
            bool used =
                p[SECTOR_COUNT] | p[SECTOR_COUNT + 1] | p[SECTOR_COUNT + 2] | p[SECTOR_COUNT + 3];
            if (used && heads > 1 && heads <= 16 && sectors && total / (heads * sectors) > 0 &&
                total / (heads * sectors) <= 16383) {
                g.heads = heads;
                g.sectors = sectors;
                break;
            }
            if (used && heads > 16 && sectors) {
                g.translation = IDE_TRANSLATION_LBA;
                break;
            }
        }
    }
    uint64_t cylinders = total / (g.heads * g.sectors);
    g.cylinders = cylinders < 1 ? 1 : cylinders > 16383 ? 16383 : cylinders;
    if (g.cylinders > 1024) {
        g.translation = IDE_TRANSLATION_LBA;
    }
    return g;
}

/* ---- saved state ---- */

static const VMStateField reg_fields[] = {
    VMSTATE_U8(now, IdeReg),
    VMSTATE_U8(before, IdeReg),
    VMSTATE_END,
};
static const VMState reg_vmstate = {"ide-register", .version = 1, .fields = reg_fields};

static const VMStateField geometry_fields[] = {
    VMSTATE_U32(cylinders, IdeGeometry),
    VMSTATE_U32(heads, IdeGeometry),
    VMSTATE_U32(sectors, IdeGeometry),
    VMSTATE_END,
};
static const VMState geometry_vmstate = {"ide-geometry", .version = 1, .fields = geometry_fields};

static const VMStateField drive_fields[] = {
    VMSTATE_STRUCT(feature, IdeDrive, reg_vmstate),
    VMSTATE_STRUCT(count, IdeDrive, reg_vmstate),
    VMSTATE_STRUCT(lba_low, IdeDrive, reg_vmstate),
    VMSTATE_STRUCT(lba_mid, IdeDrive, reg_vmstate),
    VMSTATE_STRUCT(lba_high, IdeDrive, reg_vmstate),
    VMSTATE_U8(device, IdeDrive),
    VMSTATE_U8(status, IdeDrive),
    VMSTATE_U8(error, IdeDrive),
    VMSTATE_U8(command, IdeDrive),
    VMSTATE_BOOL(intrq, IdeDrive),
    VMSTATE_STRUCT(chs, IdeDrive, geometry_vmstate),
    VMSTATE_U8(multiple, IdeDrive),
    VMSTATE_U8(transfer_mode, IdeDrive),
    VMSTATE_BOOL(write_cache, IdeDrive),
    VMSTATE_BOOL(look_ahead, IdeDrive),
    VMSTATE_BOOL(smart, IdeDrive),
    VMSTATE_U8(power, IdeDrive),
    VMSTATE_U8(phase, IdeDrive),
    VMSTATE_U8(transfer, IdeDrive),
    VMSTATE_BOOL(writing, IdeDrive),
    VMSTATE_BOOL(ext, IdeDrive),
    VMSTATE_U64(lba, IdeDrive),
    VMSTATE_U32(left, IdeDrive),
    VMSTATE_U32(block, IdeDrive),
    VMSTATE_U32(chunk_max, IdeDrive),
    VMSTATE_U32(chunk, IdeDrive),
    VMSTATE_U32(pos, IdeDrive),
    VMSTATE_U32(block_end, IdeDrive),
    VMSTATE_U32(len, IdeDrive),
    VMSTATE_VBYTES(buffer, IdeDrive, len, IDE_BUFFER),
    VMSTATE_BYTES(packet, IdeDrive),
    VMSTATE_BOOL(packet_phase, IdeDrive),
    VMSTATE_U8(sense_key, IdeDrive),
    VMSTATE_U8(asc, IdeDrive),
    VMSTATE_U8(ascq, IdeDrive),
    VMSTATE_BOOL(tray_open, IdeDrive),
    VMSTATE_BOOL(locked, IdeDrive),
    VMSTATE_BOOL(medium_changed, IdeDrive),
    VMSTATE_BOOL(new_media_event, IdeDrive),
    VMSTATE_END,
};

/* Sectors on their way from or to the image. */
static bool chunk_valid(const IdeDrive *d)
{
    bool out = d->phase == IDE_WRITING || d->phase == IDE_DMA_OUT ||
               (d->phase == IDE_PIO_OUT && !d->packet_phase);

    if (d->packet_phase) {
        return d->kind == IDE_CDROM && d->phase == IDE_PIO_OUT && d->len == IDE_PACKET;
    }
    if (out || d->phase == IDE_READING) {
        return d->chunk > 0 && d->chunk <= d->left && d->lba < 1ull << 48 &&
               (!out || d->len == d->chunk * ide_sector_size(d));
    }
    return true;
}

static bool drive_state_valid(const IdeDrive *d)
{
    if (d->kind == IDE_NONE) {
        return d->phase == IDE_IDLE && d->len == 0;
    }
    return d->phase < IDE_PHASES && d->transfer < IDE_TRANSFERS && d->len <= IDE_BUFFER &&
           d->block_end <= d->len && d->pos <= d->len && d->left <= 0x10000 && d->block > 0 &&
           d->block <= IDE_BUFFER && d->chunk_max > 0 &&
           d->chunk <= IDE_BUFFER / ide_sector_size(d) && d->multiple <= IDE_MULTIPLE_MAX &&
           d->chs.heads > 0 && d->chs.heads <= 16 && d->chs.sectors > 0 && d->chs.sectors <= 255 &&
           chunk_valid(d);
}

static bool drive_post_load(void *opaque, int version, Error **errp)
{
    IdeDrive *d = opaque;

    if (!drive_state_valid(d)) {
        error_set(errp, "IDE drive %u: saved state is not valid", d->unit);
        return false;
    }
    if (d->kind == IDE_CDROM) {
        blk_lock_medium(d->blk, d->locked);
    }
    d->given_up = d->in_flight;
    d->stalled =
        waits_for_image(d); /* begun when the machine runs: the state may still be refused */
    return true;
}

static const VMState drive_vmstate = {"ide-drive", .version = 1, .fields = drive_fields,
                                      .post_load = drive_post_load};

static const VMStateField channel_fields[] = {
    VMSTATE_STRUCT_ARRAY(drives, IdeChannel, drive_vmstate),
    VMSTATE_U8(select, IdeChannel),
    VMSTATE_U8(control, IdeChannel),
    VMSTATE_END,
};

/* The interrupt controller brings its own inputs' levels back, so the line is only remembered. */
static bool channel_post_load(void *opaque, int version, Error **errp)
{
    IdeChannel *ch = opaque;

    if (ch->select > 1) {
        error_set(errp, "IDE channel: no drive %u", ch->select);
        return false;
    }
    IdeDrive *d = selected(ch);
    ch->line = d->kind != IDE_NONE && d->intrq && !(ch->control & ATA_NIEN);
    return true;
}

const VMState ide_channel_vmstate = {"ide-channel", .version = 1, .fields = channel_fields,
                                     .post_load = channel_post_load};
