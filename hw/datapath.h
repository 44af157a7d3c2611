/*
 * Where firmware, option ROMs and key maps are found: the directories of -L first, then the build's
 * pc-bios, the installed data directory, and the distribution's directories.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_DATAPATH_H
#define HW_DATAPATH_H

#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

/* -L: searched before all that was added later and before the built-in ones. The string is copied. */
void data_path_add(const char *dir);
/*
 * The full name of the file, the caller's to free; NULL with an error that lists where it was looked for.
 * A name with a slash is taken as it stands.
 */
char *data_file_find(const char *name, Error **errp);
/* The whole file (the caller's to free), at most max bytes; NULL with an error. */
uint8_t *data_file_load(const char *name, size_t max, size_t *size, Error **errp);

#endif
