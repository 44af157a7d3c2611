/*
 * Disks, CD-ROM drives and floppy drives of the host: which is which, and the moving parts.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/host-device.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/cdrom.h>
#include <linux/fd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "block/drivers.h"

enum { FLOPPY_MAJOR = 2 }; /* Linux, Documentation/admin-guide/devices.txt */

/* Only CD-ROM drives answer this. */
static bool is_cdrom(int fd)
{
    return ioctl(fd, CDROM_DRIVE_STATUS, CDSL_CURRENT) >= 0;
}

static bool is_floppy(const struct stat *st)
{
    return S_ISBLK(st->st_mode) && major(st->st_rdev) == FLOPPY_MAJOR;
}

const BlockDriver *host_driver_for(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0 || !S_ISBLK(st.st_mode)) {
        return &bdrv_file;
    }
    if (is_floppy(&st)) {
        return &bdrv_host_floppy;
    }
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    bool cdrom = fd >= 0 && is_cdrom(fd);
    if (fd >= 0) {
        close(fd);
    }
    return cdrom ? &bdrv_host_cdrom : &bdrv_host_device;
}

bool host_device_check(const BlockNode *node, int fd, Error **errp)
{
    struct stat st;
    const char *what = NULL;

    if (fstat(fd, &st) < 0 || node->driver == &bdrv_file) {
        return true;
    }
    if (!S_ISBLK(st.st_mode)) {
        what = "block device";
    } else if (node->driver == &bdrv_host_cdrom && !is_cdrom(fd)) {
        what = "CD-ROM drive";
    } else if (node->driver == &bdrv_host_floppy && !is_floppy(&st)) {
        what = "floppy drive";
    }
    if (what) {
        error_set(errp, "%s: %s is no %s; driver=file takes files, driver=host_device disks",
                  node->driver->name, node->filename, what);
    }
    return !what;
}

bool host_cdrom_is_inserted(BlockNode *node)
{
    return ioctl(node->driver->get_fd(node), CDROM_DRIVE_STATUS, CDSL_CURRENT) == CDS_DISC_OK;
}

/* What the drive does not do (it is locked by others, it has no motor) the guest sees by itself. */
void host_cdrom_eject(BlockNode *node, bool eject)
{
    ioctl(node->driver->get_fd(node), eject ? CDROMEJECT : CDROMCLOSETRAY);
}

void host_cdrom_lock(BlockNode *node, bool lock)
{
    ioctl(node->driver->get_fd(node), CDROM_LOCKDOOR, lock ? 1 : 0);
}

bool host_floppy_is_inserted(BlockNode *node)
{
    struct floppy_drive_struct state;

    return ioctl(node->driver->get_fd(node), FDPOLLDRVSTAT, &state) < 0 ||
           !(state.flags & FD_DISK_NEWCHANGE);
}

void host_floppy_eject(BlockNode *node, bool eject)
{
    if (eject) {
        ioctl(node->driver->get_fd(node), FDEJECT, 0);
    }
}
