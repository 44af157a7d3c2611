/*
 * The monitor: a command table; name, typed arguments, help and handler stand together.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MONITOR_MONITOR_H
#define MONITOR_MONITOR_H

#include <stdbool.h>
#include <stdint.h>

#include "char/char.h"
#include "util/error.h"

typedef struct Monitor Monitor;

/*
 * Opens a monitor on chr: greets, prompts, reads commands. Several may be open. On a mux it keeps quiet until it
 * has the focus. NULL with an error when chr is in use.
 */
Monitor *monitor_open(CharBackend *chr, Error **errp);
void monitor_close(Monitor *mon);
void monitor_printf(Monitor *mon, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Runs one command line and returns what it printed (caller frees). */
char *monitor_run(const char *line);

#endif
