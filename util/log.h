/*
 * The log (-d ITEMS, -D FILE): what people turn on to see inside. Costs one test of a mask when
 * off.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef UTIL_LOG_H
#define UTIL_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/error.h"

typedef enum LogItem {
    LOG_GUEST_ERRORS = 1 << 0, /* guest_errors: what a guest did that no sane one does */
    LOG_UNIMP = 1 << 1,        /* unimp: what the guest asked for and the device does not model */
    LOG_INT = 1 << 2,          /* int: interrupts and exceptions as they are delivered */
    LOG_IN_ASM = 1 << 3,       /* in_asm: guest code as it is decoded */
    LOG_CPU = 1 << 4,          /* cpu: registers before each block */
    LOG_EXEC = 1 << 5,         /* exec: each block as it is entered */
    LOG_MMU = 1 << 6,          /* mmu: page faults and flushes */
    LOG_PCALL = 1 << 7,        /* pcall: far transfers, gates, task switches */
    LOG_RESET = 1 << 8,        /* cpu_reset: the CPU's state before each reset */
    LOG_IOPORT = 1 << 9,       /* ioport: accesses to ports nobody answers */
    LOG_OUT_ASM = 1 << 11,     /* out_asm: host code of each new block */
    LOG_OP_COUNT = 1 << 12,    /* op_count: executed operations, when the program ends; from the start only */
    LOG_MOVES = 1 << 13,       /* moves: blocks that were moved are compared with new translations; from the start only */
    LOG_LOCKSTEP = 1 << 10,    /* lockstep: executor and translator side by side; from the start only */
} LogItem;

extern uint32_t log_mask;

static inline bool log_enabled(LogItem item)
{
    return __builtin_expect(log_mask & item, 0);
}

/* Whether the log is to hear of guest code at this linear address. */
bool log_wants_code(uint64_t linear);

#define log_printf(item, ...)                                                                      \
    do {                                                                                           \
        if (log_enabled(item)) {                                                                   \
            log_write(__VA_ARGS__);                                                                \
        }                                                                                          \
    } while (0)

/* Writes to the log whatever the mask says; from any thread, one call is not torn. */
void log_write(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Parses "int,guest_errors" into log_mask; "help" prints the items on stdout and returns true. */
bool log_set_items(const char *items, Error **errp);
/*
 * Keeps items about guest code (in_asm, out_asm, exec, cpu) to linear addresses in these ranges: "0x8000..0x8fff", "0xf0000+0x100",
 * "0x9000-0x100" (the 256 bytes that end with 0x9000), with commas between; "": to none. A wrong list changes nothing.
 */
bool log_set_filter(const char *ranges, Error **errp);
/* NULL: stderr. */
bool log_set_file(const char *path, Error **errp);
/* Calls fn for each item's name and one-line description. */
void log_each_item(void (*fn)(const char *name, const char *help, void *opaque), void *opaque);

#endif
