/*
 * The CMOS' bytes, which outlive a reset: a byte nobody else uses counts a test's runs.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CMOS_H
#define CMOS_H

#include "guest.h"

enum { CMOS_SCRATCH = 0x7e };

static inline uint8_t cmos_read(unsigned index)
{
    outb(0x70, index);
    return inb(0x71);
}

static inline void cmos_write(unsigned index, uint8_t value)
{
    outb(0x70, index);
    outb(0x71, value);
}

/* Time enough for a reset to happen on a busy host, too: it ends this. */
static inline void wait_for_reset(void)
{
    uint64_t end = rdtsc() + 30000000000ull;
    while (rdtsc() < end)
        asm volatile("pause");
}

#endif
