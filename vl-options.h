/*
 * What the command line asked for: machine_config (hw/machine.h) for the board, and this for the
 * launcher.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VL_OPTIONS_H
#define VL_OPTIONS_H

#include <stdbool.h>

#include "util/error.h"

enum {
    MAX_SERIALS = 4,
    MAX_PARALLELS = 3,
    MAX_LISTED = 64, /* of -device, -chardev, -monitor; kept until the machine is made */
};

typedef struct TextList {
    const char *items[MAX_LISTED];
    unsigned count;
} TextList;

typedef struct LaunchOptions {
    TextList devices, monitors, serials, parallels, chardevs, qmps, qmp_pretties, mons; /* as written */
    const char *debugcon, *pidfile, *gdb, *loadvm; /* NULL: not asked for */
    bool daemonize, nodefaults;
    bool display_chosen; /* -display or -nographic was given */
} LaunchOptions;

extern LaunchOptions launch;

/*
 * Fills launch and machine_config with their defaults and what argv says. Options that only answer
 * a question
 * (-help, -cpu help) print and end the program. False with an error that names the option.
 */
bool launch_options_parse(int argc, char **argv, Error **errp);

/* vl-compat.c: handlers of options that other programs pass. */
/* -machine dump-guest-core=: whether a core of the emulator has the guest's memory. */
bool set_dump_guest_core(const char *value, Error **errp);
bool opt_audiodev(const char *value, Error **errp);
bool opt_msg(const char *value, Error **errp);
bool opt_object(const char *value, Error **errp);
bool opt_overcommit(const char *value, Error **errp);
bool opt_uuid(const char *value, Error **errp);

/* The table of options, which ends with a row without name. */
struct Option;
const struct Option *launch_options_table(void);

#endif
