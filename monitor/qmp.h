/*
 * The JSON monitor (QMP): for programs. Without jansson qmp-none.c refuses it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MONITOR_QMP_H
#define MONITOR_QMP_H

#include <stdbool.h>

#include "char/char.h"
#include "util/error.h"

/* Opens one on chr; pretty: answers over several lines. Any number may be open, each greets by
 * itself. */
bool qmp_open(CharBackend *chr, bool pretty, Error **errp);
/* The options that query-command-line-options lists; the table is kept. */
struct Option;
void qmp_set_options(const struct Option *table);
/* Tells every JSON monitor that the user's commands end the program. */
void qmp_quitting(void);
/* The next reset or power request comes from a command, not from the guest. */
void qmp_host_request(void);
/* What users did by a command of either monitor. */
void qmp_device_deleted(const char *id);
void qmp_tray_moved(const char *drive, bool open);

#endif
