/*
 * What the parts of the monitor share: the command table's form, line editing, expressions.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MONITOR_MONITOR_INT_H
#define MONITOR_MONITOR_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "monitor/monitor.h"
#include "util/buffer.h"

/* ---- arguments ---- */
typedef enum ArgKind {
    ARG_END,
    ARG_WORD,   /* up to white space, or in quotes */
    ARG_REST,   /* the rest of the line as it stands */
    ARG_NUMBER, /* an expression without spaces, or in parentheses */
    ARG_FLAG,   /* its name, as "-p"; always optional */
    ARG_FORMAT, /* "/10xw"; always optional */
} ArgKind;

typedef struct Format {
    unsigned count;
    char letter;   /* x d u o c i s */
    unsigned size; /* bytes: 1, 2, 4, 8 */
} Format;

typedef struct ArgSpec {
    const char *name;
    ArgKind kind;
    bool optional;
    /* Calls emit for each possible value of a word; NULL: none can be named. */
    void (*complete)(void (*emit)(const char *value, void *opaque), void *opaque);
} ArgSpec;

#define MAX_ARGS 8

typedef struct ArgValue {
    bool present;
    char *text;      /* WORD, REST */
    uint64_t number; /* NUMBER */
    Format format;
} ArgValue;

typedef struct MonitorCommand {
    const char *name; /* "cont|c": name and short forms */
    ArgSpec args[MAX_ARGS];
    const char *help;
    void (*run)(Monitor *mon, const ArgValue *args);
    const struct MonitorCommand *sub; /* a table of what its first word may be */
} MonitorCommand;

/* Both tables end with a row without name. */
extern const MonitorCommand monitor_commands[]; /* commands.c */
extern const MonitorCommand info_commands[];    /* info.c */

/* Runs a line on mon, which prints. */
void monitor_execute(Monitor *mon, const char *line);
/* "cont|c" has the name. */
bool command_has_name(const MonitorCommand *cmd, const char *name, size_t len);
/* What the last word of `line` (up to the cursor) can become: emit is called for each. Returns the
 * word's start. */
size_t monitor_complete(const char *line, size_t len, void (*emit)(const char *value, void *opaque),
                        void *opaque);

/* ---- commands.c and info.c ---- */
void info_help(Monitor *mon);
/* The CPU that commands look at ("cpu N"); NULL with a message when the machine has none. */
struct CPUX86State *monitor_cpu(Monitor *mon);
unsigned monitor_cpu_index(void);
void monitor_print_help(Monitor *mon, const MonitorCommand *table, const char *prefix);
void monitor_error(Monitor *mon, Error *err); /* prints and frees */
/* The program is about to end: no prompt and no further command. */
void monitor_finish(Monitor *mon);
void monitor_write(Monitor *mon, const void *data, size_t size);
/*
 * Between the two no vCPU runs, so that its state can be read. Nests not.
 */
bool monitor_pause_cpus(void);
void monitor_resume_cpus(bool paused);

/* Calls fn for each line typed on mon so far, oldest first. */
void monitor_each_line(Monitor *mon, void (*fn)(const char *line, void *opaque), void *opaque);

/* ---- more-commands.c ---- */
/* device_add, of what the running machine can take. */
bool monitor_device_add(const char *spec, Error **errp);
void cmd_boot_set(Monitor *mon, const ArgValue *args);
void cmd_chardev_add(Monitor *mon, const ArgValue *args);
void cmd_chardev_remove(Monitor *mon, const ArgValue *args);
void cmd_chardev_send_break(Monitor *mon, const ArgValue *args);
void cmd_dump_guest_memory(Monitor *mon, const ArgValue *args);
void cmd_gva2gpa(Monitor *mon, const ArgValue *args);
void cmd_ringbuf_write(Monitor *mon, const ArgValue *args);
void cmd_sum(Monitor *mon, const ArgValue *args);

/* ---- block-commands.c ---- */
void cmd_block_job_cancel(Monitor *mon, const ArgValue *args);
void cmd_block_job_complete(Monitor *mon, const ArgValue *args);
void cmd_block_job_pause(Monitor *mon, const ArgValue *args);
void cmd_block_job_resume(Monitor *mon, const ArgValue *args);
void cmd_block_job_set_speed(Monitor *mon, const ArgValue *args);
void cmd_block_stream(Monitor *mon, const ArgValue *args);
void cmd_drive_backup(Monitor *mon, const ArgValue *args);
void cmd_drive_mirror(Monitor *mon, const ArgValue *args);
void info_block_jobs(Monitor *mon, const ArgValue *args);
void cmd_qemu_io(Monitor *mon, const ArgValue *args);
void info_block(Monitor *mon, const ArgValue *args);
void info_blockstats(Monitor *mon, const ArgValue *args);
/* Drives, for completion. */
void complete_blk(void (*emit)(const char *value, void *opaque), void *opaque);
void cmd_block_resize(Monitor *mon, const ArgValue *args);
void cmd_block_set_io_throttle(Monitor *mon, const ArgValue *args);
void cmd_commit(Monitor *mon, const ArgValue *args);
void cmd_snapshot_blkdev(Monitor *mon, const ArgValue *args);
void cmd_snapshot_blkdev_internal(Monitor *mon, const ArgValue *args);
void cmd_snapshot_delete_blkdev_internal(Monitor *mon, const ArgValue *args);
void cmd_nbd_server_start(Monitor *mon, const ArgValue *args); /* nbd-commands.c */
void cmd_nbd_server_add(Monitor *mon, const ArgValue *args);
void cmd_nbd_server_remove(Monitor *mon, const ArgValue *args);
void cmd_nbd_server_stop(Monitor *mon, const ArgValue *args);

/* ---- snapshot-commands.c ---- */
void cmd_savevm(Monitor *mon, const ArgValue *args);
void cmd_loadvm(Monitor *mon, const ArgValue *args);
void cmd_delvm(Monitor *mon, const ArgValue *args);
void info_snapshots(Monitor *mon, const ArgValue *args);
void complete_tags(void (*emit)(const char *value, void *opaque), void *opaque);

/* ---- complete-file.c ---- */
/* Calls emit for each file and directory (with a slash behind) whose path begins with prefix. */
void complete_paths(const char *prefix, size_t len, void (*emit)(const char *value, void *opaque),
                    void *opaque);

/* ---- expr.c ---- */
/* Evaluates at *text and moves it behind the expression; false with an error. $reg needs a CPU. */
bool monitor_eval(const char **text, uint64_t *value, Error **errp);
/* "/10xw" with what is left out from *f. */
bool format_parse(const char *text, Format *f, Error **errp);

/* ---- memory.c ---- */
void monitor_dump_memory(Monitor *mon, Format f, uint64_t addr, bool physical);
void monitor_print_value(Monitor *mon, Format f, uint64_t value);

/* ---- readline.c ---- */
#define LINE_MAX_CHARS 1024
#define HISTORY_LINES  64

typedef struct LineEditor {
    char line[LINE_MAX_CHARS + 1];
    size_t len, cursor;
    char *history[HISTORY_LINES]; /* oldest first */
    unsigned history_count;
    unsigned history_at; /* the line shown; history_count: the one being typed */
    char *typed;         /* that one, while older ones are looked at */
    char escape[8];      /* an escape sequence that has begun */
    unsigned escape_len;
    bool echo;
    bool last_was_cr;
    Monitor *mon;
} LineEditor;

/* Feeds a byte; true: a line is complete in ed->line. line_editor_next() starts the next one. */
bool line_editor_feed(LineEditor *ed, uint8_t c);
void line_editor_next(LineEditor *ed);
void line_editor_free(LineEditor *ed);
/* Shows prompt and line again. */
void line_editor_prompt(LineEditor *ed);

#endif
