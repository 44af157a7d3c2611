/*
 * The host's memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef UTIL_HOST_MEMORY_H
#define UTIL_HOST_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/*
 * Has the host bring in the pages of a writable mapping that are going to be used, all at once: a fault for each costs several times as
 * much. `start` and `size` are whole pages. Changes no byte; where the host cannot do it nothing happens.
 */
void host_bring_in(void *start, size_t size);
/* The same for one that is only read or executed. */
void host_bring_in_read(void *start, size_t size);

typedef void HostBringIn(void *start, size_t size);

/*
 * Has fn, one of the two, do it for pages that are needed a little later, on a thread of its own while the caller goes on; at once
 * where there is only one processor or much is waiting. The mapping has to stay until host_bring_in_wait() was called. Any thread; signals
 * do not reach that thread.
 */
void host_bring_in_soon(HostBringIn *fn, void *start, size_t size);
/* Returns when all that was asked for before is done. */
void host_bring_in_wait(void);

/* Bytes that this program may fill: what the host has, or less where its control group or one around it has a bound: cgroups(7). */
uint64_t host_memory_limit(void);
/* The groups' part of it, their files below the folder `root`, "" for this machine's; UINT64_MAX: no bound. */
uint64_t host_memory_group_limit(const char *root);

#endif
