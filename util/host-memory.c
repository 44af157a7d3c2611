/*
 * The host's memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/host-memory.h"

#include <sys/mman.h>

/* Linux 5.14; the C library's header may be older. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

void host_bring_in(void *start, size_t size)
{
    (void)madvise(start, size, MADV_POPULATE_WRITE);
}

void host_bring_in_read(void *start, size_t size)
{
    (void)madvise(start, size, MADV_POPULATE_READ);
}
