/*
 * The log: items, destination, and lines that are not torn.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct LogItemInfo {
    LogItem item;
    const char *name;
    const char *help;
} LogItemInfo;

static const LogItemInfo items_table[] = {
    {LOG_GUEST_ERRORS, "guest_errors", "what a guest did that no sane one does"},
    {LOG_UNIMP, "unimp", "what the guest asked for and the device does not model"},
    {LOG_INT, "int", "interrupts and exceptions as they are delivered"},
    {LOG_IN_ASM, "in_asm", "guest code as it is decoded"},
    {LOG_CPU, "cpu", "CPU registers before each block (jit: from the start)"},
    {LOG_EXEC, "exec", "each block as it is entered (jit: from the start)"},
    {LOG_MMU, "mmu", "page faults and flushes"},
    {LOG_PCALL, "pcall", "far transfers, gates and task switches"},
    {LOG_RESET, "cpu_reset", "the CPU's state before each reset"},
    {LOG_IOPORT, "ioport", "accesses to ports nobody answers"},
    {LOG_OUT_ASM, "out_asm", "host code of each block that is translated"},
    {LOG_OP_COUNT, "op_count", "how often translated code did which operation, at the end (from the start)"},
    {LOG_MOVES, "moves", "compare translated code that was moved with new code; ends at a difference (from the start)"},
    {LOG_LOCKSTEP, "lockstep", "run translator and executor side by side; ends at a difference (from the start)"},
};
enum { ITEMS = sizeof(items_table) / sizeof(items_table[0]) };

uint32_t log_mask;
static FILE *log_file; /* NULL: stderr */

void log_write(const char *fmt, ...)
{
    FILE *f = log_file ? log_file : stderr;
    va_list ap;

    /* stdio locks the stream for the length of one call. */
    va_start(ap, fmt);
    vfprintf(f, fmt, ap);
    va_end(ap);
}

static const LogItemInfo *find_item(const char *name, size_t len)
{
    for (unsigned i = 0; i < ITEMS; i++) {
        if (strlen(items_table[i].name) == len && memcmp(items_table[i].name, name, len) == 0) {
            return &items_table[i];
        }
    }
    return NULL;
}

static void set_unknown_item(Error **errp, const char *name, size_t len)
{
    const char *names[ITEMS + 1] = {NULL};
    char *word = strndup(name, len);

    if (!word) {
        abort();
    }
    for (unsigned i = 0; i < ITEMS; i++) {
        names[i] = items_table[i].name;
    }
    const char *near = nearest_name(word, names);
    if (near) {
        error_set(errp, "unknown log item '%s': did you mean '%s'?", word, near);
    } else {
        error_set(errp, "unknown log item '%s': '-d help' lists them", word);
    }
    free(word);
}

bool log_set_items(const char *items, Error **errp)
{
    uint32_t mask = 0;

    if (strcmp(items, "help") == 0) {
        printf("Log items (comma separated):\n");
        for (unsigned i = 0; i < ITEMS; i++) {
            printf("  %-13s %s\n", items_table[i].name, items_table[i].help);
        }
        return true;
    }
    while (*items) {
        size_t len = strcspn(items, ",");
        const LogItemInfo *info = find_item(items, len);
        if (!info) {
            set_unknown_item(errp, items, len);
            return false;
        }
        mask |= info->item;
        items += len;
        items += *items == ',';
    }
    log_mask = mask;
    return true;
}

/* ---- addresses of guest code ---- */

typedef struct CodeRange {
    uint64_t first, last;
} CodeRange;

static struct {
    CodeRange *items;
    size_t count;
} filter;

bool log_wants_code(uint64_t linear)
{
    for (size_t i = 0; i < filter.count; i++) {
        if (linear >= filter.items[i].first && linear <= filter.items[i].last) {
            return true;
        }
    }
    return filter.count == 0;
}

/* The number at *text, C's notation; moves *text behind it. */
static bool read_address(const char **text, uint64_t *value)
{
    char *end;

    errno = 0;
    *value = strtoull(*text, &end, 0);
    bool read = end != *text && **text >= '0' && **text <= '9' && errno == 0;
    *text = end;
    return read;
}

/* FIRST..LAST, FIRST+SIZE or LAST-SIZE. */
static bool read_range(const char *text, const char *end, CodeRange *range)
{
    uint64_t start, other;

    if (!read_address(&text, &start)) {
        return false;
    }
    char kind = *text;
    if (kind == '.' ? text[1] != '.' : kind != '+' && kind != '-') {
        return false;
    }
    text += kind == '.' ? 2 : 1;
    if (!read_address(&text, &other) || text != end) {
        return false;
    }
    if (kind == '.') {
        *range = (CodeRange){start, other};
        return start <= other;
    }
    if (kind == '+') {
        *range = (CodeRange){start, start + (other - 1)};
    } else {
        *range = (CodeRange){start - (other - 1), start};
    }
    return other && range->first <= range->last;
}

bool log_set_filter(const char *ranges, Error **errp)
{
    CodeRange *items = NULL;
    size_t count = 0;

    while (*ranges) {
        size_t len = strcspn(ranges, ",");
        items = realloc(items, (count + 1) * sizeof(*items));
        if (!items) {
            abort();
        }
        if (!read_range(ranges, ranges + len, &items[count])) {
            error_set(errp, "-dfilter: '%.*s' is not a range of addresses: FIRST..LAST, FIRST+SIZE or LAST-SIZE, as in 0x8000..0x8fff", (int)len, ranges);
            free(items);
            return false;
        }
        count++;
        ranges += len;
        ranges += *ranges == ',';
    }
    free(filter.items);
    filter.items = items;
    filter.count = count;
    return true;
}

bool log_set_file(const char *path, Error **errp)
{
    FILE *f = NULL;

    if (path) {
        f = fopen(path, "we");
        if (!f) {
            error_set_errno(errp, errno, "cannot open the log file '%s'", path);
            return false;
        }
        /* Whole lines, so that the log is complete up to the line before a crash. */
        setvbuf(f, NULL, _IOLBF, 1 << 16);
    }
    if (log_file) {
        fclose(log_file);
    }
    log_file = f;
    return true;
}

void log_each_item(void (*fn)(const char *name, const char *help, void *opaque), void *opaque)
{
    for (unsigned i = 0; i < ITEMS; i++) {
        fn(items_table[i].name, items_table[i].help, opaque);
    }
}
