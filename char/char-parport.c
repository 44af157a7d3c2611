/*
 * The host's parallel ports, through Linux' ppdev: the guest's accesses to data, status and control
 * registers are made on the real port.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/parport.h>
#include <linux/ppdev.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "char/char-int.h"

/* The direction bit of the control register: the kernel has a call of its own for it. */
#define CONTROL_DIRECTION 0x20
#define CONTROL_LINES     0x0f

typedef struct ChrParport {
    int fd;
    bool input;
} ChrParport;

static bool parport_open(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    ChrParport *p;
    int fd;

    if (!o->path) {
        error_set(errp, "character device '%s': needs path=, as /dev/parport0", chr->id);
        return false;
    }
    fd = open(o->path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        error_set_errno(errp, errno, "character device '%s': cannot open '%s'", chr->id, o->path);
        return false;
    }
    if (ioctl(fd, PPCLAIM) < 0) {
        error_set_errno(errp, errno, "character device '%s': cannot have '%s' for itself", chr->id,
                        o->path);
        close(fd);
        return false;
    }
    p = calloc(1, sizeof(*p));
    p->fd = fd;
    chr->state = p;
    chr->connected = true;
    return true;
}

static void parport_close(CharBackend *chr)
{
    ChrParport *p = chr->state;

    ioctl(p->fd, PPRELEASE);
    close(p->fd);
    free(p);
}

static bool set_direction(ChrParport *p, bool input)
{
    int dir = input;

    if (input == p->input) {
        return true;
    }
    p->input = input;
    return ioctl(p->fd, PPDATADIR, &dir) == 0;
}

static bool parport_access(CharBackend *chr, ChrParallelReg reg, uint8_t *value, bool write)
{
    ChrParport *p = chr->state;
    uint8_t control;

    switch (reg) {
    case CHR_PARALLEL_DATA:
        return ioctl(p->fd, write ? PPWDATA : PPRDATA, value) == 0;
    case CHR_PARALLEL_STATUS:
        return !write && ioctl(p->fd, PPRSTATUS, value) == 0;
    default:
        if (!write) {
            if (ioctl(p->fd, PPRCONTROL, value) < 0) {
                return false;
            }
            *value |= p->input ? CONTROL_DIRECTION : 0;
            return true;
        }
        control = *value & CONTROL_LINES;
        return set_direction(p, *value & CONTROL_DIRECTION) &&
               ioctl(p->fd, PPWCONTROL, &control) == 0;
    }
}

/* Only registers go through: a device that writes bytes is none for a port of the host. */
static size_t parport_write(CharBackend *chr, const uint8_t *data, size_t size)
{
    return size;
}

const ChrDriver chr_parport_driver = {
    .name = "parport",
    .help = "a parallel port of the host, path=",
    .open = parport_open,
    .close = parport_close,
    .write = parport_write,
    .parallel = parport_access,
};
