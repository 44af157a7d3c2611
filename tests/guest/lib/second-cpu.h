/*
 * Starts the second CPU of a 32-bit test (header line "args: -smp 2") in protected mode.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SECOND_CPU_H
#define SECOND_CPU_H

#include "apic.h"

/*
 * The second CPU runs fn with the GDT and IDT of the first, a stack of its own, paging off, IF = 0.
 * False if it does not arrive there within about a second.
 */
bool start_second_cpu(void (*fn)(void));

/* Waits until *what is value, for about ten seconds at most. Usable by both CPUs. */
bool wait_until(volatile uint32_t *what, uint32_t value);

#endif
