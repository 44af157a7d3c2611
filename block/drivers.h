/*
 * The drivers by name, for their table in drivers.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_DRIVERS_H
#define BLOCK_DRIVERS_H

#include "block/driver.h"

extern const BlockDriver bdrv_parallels, bdrv_qcow, bdrv_vdi, bdrv_vpc;
extern const BlockDriver bdrv_file, bdrv_mem, bdrv_overlay, bdrv_qcow2, bdrv_raw;
extern const BlockDriver bdrv_bochs, bdrv_luks;

/* protocols and filters */
extern const BlockDriver bdrv_blkdebug, bdrv_blklogwrites, bdrv_nbd, bdrv_null_aio, bdrv_null_co;

#endif
