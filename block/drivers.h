/*
 * The drivers by name, for their table in drivers.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_DRIVERS_H
#define BLOCK_DRIVERS_H

#include "block/driver.h"
#include "config.h"

extern const BlockDriver bdrv_blkdebug;
extern const BlockDriver bdrv_blklogwrites;
extern const BlockDriver bdrv_bochs;
extern const BlockDriver bdrv_cloop;
extern const BlockDriver bdrv_dmg;
extern const BlockDriver bdrv_file;
extern const BlockDriver bdrv_host_cdrom;
extern const BlockDriver bdrv_host_device;
extern const BlockDriver bdrv_host_floppy;
extern const BlockDriver bdrv_luks;
extern const BlockDriver bdrv_mem;
extern const BlockDriver bdrv_nbd;
extern const BlockDriver bdrv_null_aio;
extern const BlockDriver bdrv_null_co;
extern const BlockDriver bdrv_overlay;
extern const BlockDriver bdrv_parallels;
extern const BlockDriver bdrv_qcow;
extern const BlockDriver bdrv_qcow2;
extern const BlockDriver bdrv_raw;
extern const BlockDriver bdrv_vdi;
extern const BlockDriver bdrv_vhdx;
extern const BlockDriver bdrv_vmdk;
extern const BlockDriver bdrv_vvfat;
extern const BlockDriver bdrv_vpc;

/* Those of libraries that may not be there. */
#ifdef CONFIG_CURL
extern const BlockDriver bdrv_ftp, bdrv_ftps, bdrv_http, bdrv_https;
#define CURL_DRIVERS &bdrv_http, &bdrv_https, &bdrv_ftp, &bdrv_ftps,
#else
#define CURL_DRIVERS
#endif
#ifdef CONFIG_RBD
extern const BlockDriver bdrv_rbd;
#define RBD_DRIVERS &bdrv_rbd,
#else
#define RBD_DRIVERS
#endif

#endif
