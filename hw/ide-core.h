/*
 * Inside the IDE files: a channel with two drives. hw/ide.c has the task file and moves data,
 * hw/ide-ata.c the disk's commands, hw/ide-atapi.c the CD-ROM's packets; controllers
 * (hw/ide-piix3.c, hw/ide-isa.c) put channels at ports and do the DMA.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_IDE_CORE_H
#define HW_IDE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "block/block.h"
#include "hw/irq.h"
#include "hw/memory.h"
#include "hw/vmstate.h"

/* Status register */
enum {
    ATA_ERR = 0x01, /* also CHK of a packet device */
    ATA_DRQ = 0x08,
    ATA_DSC = 0x10,
    ATA_DF = 0x20,
    ATA_DRDY = 0x40,
    ATA_BSY = 0x80,
};
/* Error register */
enum { ATA_ABRT = 0x04, ATA_IDNF = 0x10, ATA_UNC = 0x40 };
/* Device register */
enum { ATA_DEV = 0x10, ATA_LBA = 0x40, ATA_HEAD = 0x0f };
/* Device control register */
enum { ATA_NIEN = 0x02, ATA_SRST = 0x04, ATA_HOB = 0x80 };
/* Interrupt reason of a packet device (the sector count register) */
enum { ATAPI_CD = 0x01, ATAPI_IO = 0x02 };

enum {
    IDE_BUFFER = 128 << 10, /* bytes of one transfer from or to the image */
    IDE_MULTIPLE_MAX = 16,
    IDE_PACKET = 12,
    CD_SECTOR = 2048,
};

typedef enum IdeKind { IDE_NONE, IDE_DISK, IDE_CDROM } IdeKind;

/* What a drive is doing. Values are saved. */
typedef enum IdePhase {
    IDE_IDLE,
    IDE_PIO_IN,  /* DRQ: the guest takes buffer[pos..block_end) */
    IDE_PIO_OUT, /* DRQ: the guest fills buffer[pos..block_end) */
    IDE_DMA_IN,  /* buffer[pos..len) goes to the bus master */
    IDE_DMA_OUT, /* buffer[pos..len) comes from it */
    IDE_READING, /* these wait for the image */
    IDE_WRITING,
    IDE_FLUSHING,
    IDE_PHASES
} IdePhase;

/* Where data goes between buffer and guest. Values are saved. */
typedef enum IdeTransfer { IDE_PIO, IDE_DMA, IDE_VERIFY, IDE_TRANSFERS } IdeTransfer;

typedef struct IdeChannel IdeChannel;

typedef struct IdeGeometry {
    uint32_t cylinders, heads, sectors;
} IdeGeometry;

/* A task file register with the value written before, which LBA48 uses as its upper half. */
typedef struct IdeReg {
    uint8_t now, before;
} IdeReg;

typedef struct IdeDrive {
    /* wiring */
    IdeChannel *channel;
    unsigned unit;
    IdeKind kind;
    BlockBackend *blk;
    IdeGeometry geometry; /* the native one */
    char model[41], serial[21];

    /* saved: registers */
    IdeReg feature, count, lba_low, lba_mid, lba_high;
    uint8_t device, status, error, command;
    bool intrq; /* interrupt pending, shown on the line while this drive is selected */

    /* saved: settings */
    IdeGeometry chs;       /* set by INITIALIZE DEVICE PARAMETERS */
    uint8_t multiple;      /* sectors a DRQ block of READ/WRITE MULTIPLE; 0: not set */
    uint8_t transfer_mode; /* as SET FEATURES 03h had it */
    bool write_cache, look_ahead, smart;
    uint8_t power; /* what CHECK POWER MODE says; IDE_POWER_SLEEP sleeps */

    /* saved: the transfer under way */
    uint8_t phase;    /* IdePhase */
    uint8_t transfer; /* IdeTransfer */
    bool writing, ext;
    uint64_t lba;       /* next sector (of 512, or 2048 on a CD) on the image */
    uint32_t left;      /* sectors not yet moved between image and buffer */
    uint32_t block;     /* bytes of a DRQ block */
    uint32_t chunk_max; /* sectors to ask the image for at once */
    uint32_t chunk;     /* sectors in the buffer */
    uint32_t pos, block_end, len;
    uint8_t *buffer; /* len bytes in use */

    /* saved: packet device */
    uint8_t packet[IDE_PACKET];
    bool packet_phase; /* PIO_OUT takes the packet */
    uint8_t sense_key, asc, ascq;
    bool tray_open, locked;
    bool medium_changed;  /* a unit attention waits */
    bool new_media_event; /* for GET EVENT STATUS NOTIFICATION */
    bool eject_event;     /* likewise; not saved: the user asks again */

    /* derived */
    uint8_t *io_buffer;       /* what the request in flight reads or writes */
    bool in_flight, given_up; /* a request is in flight; nobody waits for it any more */
    bool stalled;             /* stopped the machine on an error, tries again when it runs */
} IdeDrive;

enum {
    IDE_POWER_STANDBY = 0x00,
    IDE_POWER_IDLE = 0x80,
    IDE_POWER_ACTIVE = 0xff,
    IDE_POWER_SLEEP = 0x01 /* never reported: a sleeping drive answers nothing */
};

/* A controller's DMA engine. */
typedef struct IdeDmaOps {
    /* Moves up to len bytes to or from guest memory; fewer when it is not running or at its end. */
    size_t (*transfer)(void *opaque, uint8_t *buf, size_t len, bool to_memory);
    /* The channel's interrupt line rose. */
    void (*interrupt)(void *opaque);
} IdeDmaOps;

struct IdeChannel {
    IrqLine *irq;
    const IdeDmaOps *dma; /* NULL: a channel without */
    void *dma_opaque;
    /* saved */
    IdeDrive drives[2];
    uint8_t select;  /* 0 or 1 */
    uint8_t control; /* device control register */
    /* derived */
    bool line;
};

extern const VMState ide_channel_vmstate;

/* ---- for controllers ---- */
void ide_channel_init(IdeChannel *ch, BlockBackend *const drives[2], unsigned number, IrqLine *irq,
                      const IdeDmaOps *dma, void *dma_opaque);
void ide_channel_reset(IdeChannel *ch); /* power-on */
/*
 * For the regions of a channel's ports; opaque is the IdeChannel. The command block: offset 0 is
 * the data port (any size), 1..7 the registers. The control port: alternate status and device
 * control.
 */
extern const MemoryOps ide_command_ops, ide_control_ops;
/* The DMA engine was started: goes on with a transfer that waits for it. */
void ide_dma_started(IdeChannel *ch);

/* ---- for commands ---- */
/* Ends the command. */
void ide_succeed(IdeDrive *d);
void ide_fail(IdeDrive *d, uint8_t error);
/* Sets the interrupt pending. */
void ide_interrupt(IdeDrive *d);
/* The registers a device shows after reset, by which it is known. */
void ide_signature(IdeDrive *d);
/* d->lba, left, transfer, writing, block are set: starts moving sectors. */
void ide_start_transfer(IdeDrive *d);
/* Sends the first n bytes of the buffer by PIO, or DMA as d->transfer says. */
void ide_send_buffer(IdeDrive *d, uint32_t n);
void ide_start_flush(IdeDrive *d);
/* Forgets the transfer under way; a request in flight completes into nothing. */
void ide_cancel(IdeDrive *d);
static inline uint32_t ide_sector_size(const IdeDrive *d)
{
    return d->kind == IDE_CDROM ? CD_SECTOR : BLK_SECTOR_SIZE;
}

void ata_run(IdeDrive *d);             /* d->command was written */
void ata_transfer_failed(IdeDrive *d); /* the image failed: ends the command at d->lba */
void ata_transfer_done(IdeDrive *d);   /* all sectors were moved: results in the registers */
/* Puts the sector's address into the registers in the form the command used. */
void ata_set_address(IdeDrive *d, uint64_t lba);
void ata_execute_diagnostic(IdeChannel *ch);
uint64_t ata_sectors(const IdeDrive *d);

void atapi_run_packet(IdeDrive *d);    /* d->packet is complete */
void atapi_present_block(IdeDrive *d); /* sets byte count and reason for the next DRQ block */
void atapi_finish(IdeDrive *d);
void atapi_transfer_failed(IdeDrive *d);
void atapi_medium_changed(void *drive);
void atapi_eject_wanted(void *drive);
void atapi_identify(IdeDrive *d);

#endif
