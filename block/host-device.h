/*
 * What is special about disks and drives of the host, beside files (file.c).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_HOST_DEVICE_H
#define BLOCK_HOST_DEVICE_H

#include <stdbool.h>

#include "block/driver.h"

/* The driver for a plain name: that of its kind of device, or "file". */
const BlockDriver *host_driver_for(const char *path);
/* Whether fd is what node's driver is for; false with an error. */
bool host_device_check(const BlockNode *node, int fd, Error **errp);

/* Requests of removable drives, for the drivers' tables. */
bool host_cdrom_is_inserted(BlockNode *node);
void host_cdrom_eject(BlockNode *node, bool eject);
void host_cdrom_lock(BlockNode *node, bool lock);
bool host_floppy_is_inserted(BlockNode *node);
void host_floppy_eject(BlockNode *node, bool eject);

#endif
