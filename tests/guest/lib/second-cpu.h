/*
 * Starts the other CPUs of a 32-bit test (header line "args: -smp 2") in protected mode.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SECOND_CPU_H
#define SECOND_CPU_H

#include "apic.h"

/*
 * The second CPU runs fn with the GDT and IDT of the first, a stack of its own, paging off, IF = 0.
 * False if it does not arrive there within half a minute.
 */
bool start_second_cpu(void (*fn)(void));

/*
 * CPUs 1 to n run fn with their number, likewise. False if one of them does not arrive.
 */
enum { OTHER_CPUS_MOST = 7 };
bool start_other_cpus(unsigned n, void (*fn)(unsigned cpu));

/* Waits until *what is value, for half a minute at most. Usable by both CPUs. */
bool wait_until(volatile uint32_t *what, uint32_t value);

#endif
