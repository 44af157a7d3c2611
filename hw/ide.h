/*
 * IDE: the disk controllers as the board sees them. The channel and drive model is in
 * hw/ide-core.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_IDE_H
#define HW_IDE_H

#include <stdint.h>

#include "block/block.h"
#include "hw/irq.h"

typedef struct PciBus PciBus;

enum { IDE_CHANNELS = 2, IDE_DRIVES = 4 };

/*
 * The IDE function of the PIIX3, both channels in legacy mode (1F0h/3F6h, IRQ 14; 170h/376h, IRQ
 * 15). drives: primary master and slave, secondary master and slave; NULL: none there. The backends
 * stay the caller's.
 */
void piix3_ide_create(PciBus *bus, int devfn, BlockBackend *const drives[IDE_DRIVES],
                      IrqLine *irq14, IrqLine *irq15);

/* How a disk looks to a BIOS: its geometry and the translation of addresses by cylinders, numbered
   as in CMOS register 39h. */
typedef enum IdeTranslation { IDE_TRANSLATION_NONE = 0, IDE_TRANSLATION_LBA = 1 } IdeTranslation;
typedef struct IdeBiosGeometry {
    uint32_t cylinders, heads, sectors; /* up to 16383, 16, 63 */
    IdeTranslation translation;
} IdeBiosGeometry;
IdeBiosGeometry ide_bios_geometry(BlockBackend *blk);

/* One channel on the ISA bus without bus mastering, for a board without PCI. */
void isa_ide_create(uint16_t command_port, uint16_t control_port, IrqLine *irq,
                    BlockBackend *const drives[2]);

#endif
