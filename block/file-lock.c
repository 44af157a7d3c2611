/*
 * Locks on image files between programs.
 *
 * Each permission of node.h has two bytes, far behind no data as locks need none: who uses
 * permission n holds a shared lock on byte 100 + n, who does not bear others using it one on byte
 * 200 + n. After locking, each looks whether anybody holds the byte that contradicts. Other
 * emulators and their image tools keep to the same bytes, so they and we see each other. The locks
 * belong to the open file description: they go with its last descriptor, and two nodes of one
 * program exclude each other as two programs do.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/file-lock.h"

#include <errno.h>
#include <fcntl.h>

#include "block/node.h"

enum { BYTE_USED = 100, BYTE_UNSHARED = 200, PERMS = 4 };

static int set_byte(int fd, int byte, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

    return fcntl(fd, F_OFD_SETLK, &lock);
}

/* Whether another open file holds the byte in any way. */
static bool is_held(int fd, int byte)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static bool take(int fd, unsigned perms, int base, bool *supported)
{
    for (int i = 0; i < PERMS; i++) {
        bool want = perms & (1u << i);
        if (set_byte(fd, base + i, want ? F_RDLCK : F_UNLCK) == 0 || !want) {
            continue;
        }
        if (errno != EAGAIN && errno != EACCES) {
            *supported = false; /* a file system without locks */
            return true;
        }
        return false;
    }
    return true;
}

bool file_lock(int fd, const char *file, unsigned perm, unsigned shared, Error **errp)
{
    const unsigned unshared = ~shared & BLK_PERM_ALL;
    bool supported = true;
    bool free =
        take(fd, perm, BYTE_USED, &supported) && take(fd, unshared, BYTE_UNSHARED, &supported);

    if (!supported) {
        return true;
    }
    for (int i = 0; free && i < PERMS; i++) {
        free = !(perm & (1u << i) && is_held(fd, BYTE_UNSHARED + i)) &&
               !(unshared & (1u << i) && is_held(fd, BYTE_USED + i));
    }
    if (free) {
        return true;
    }
    file_unlock(fd);
    error_set(errp,
              perm & BLK_PERM_WRITE
                  ? "image %s is in use by another program; use it read-only in both, or a copy"
                  : "image %s is being written by another program",
              file);
    return false;
}

void file_unlock(int fd)
{
    for (int i = 0; i < PERMS; i++) {
        set_byte(fd, BYTE_USED + i, F_UNLCK);
        set_byte(fd, BYTE_UNSHARED + i, F_UNLCK);
    }
}
