/*
 * Guest memory in files: pieces of it as they are, and all of it with the registers as an ELF core.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MONITOR_MEMORY_FILE_H
#define MONITOR_MEMORY_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "util/error.h"

struct CPUX86State;

/* env: its virtual memory; NULL: physical memory. The machine stands still meanwhile. */
bool memory_save_file(struct CPUX86State *env, uint64_t addr, uint64_t size, const char *path,
                      Error **errp);
typedef enum DumpFormat { DUMP_ELF, DUMP_KDUMP_ZLIB } DumpFormat;

/*
 * RAM and every CPU's registers as an ELF core or, packed and without paging, for crash. Its
 * segments tell physical addresses, and for a CPU with paging on (the first one) also where each is
 * in its virtual memory, so that a debugger can follow pointers.
 */
bool memory_dump_core(const char *path, DumpFormat format, bool paging, Error **errp);

#endif
