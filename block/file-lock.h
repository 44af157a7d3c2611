/*
 * Locks on image files between programs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_FILE_LOCK_H
#define BLOCK_FILE_LOCK_H

#include <stdbool.h>

#include "util/error.h"

/*
 * Says that this open file is used with perm and bears others using it with shared (BLK_PERM_ of
 * node.h), in place of what it said before. False with an error where others disagree; then nothing
 * is locked. Where the file system has no locks all is well.
 */
bool file_lock(int fd, const char *file, unsigned perm, unsigned shared, Error **errp);
void file_unlock(int fd);

#endif
