/*
 * A debugger attached to the machine: GDB's remote serial protocol on a character device.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef GDBSTUB_GDBSTUB_H
#define GDBSTUB_GDBSTUB_H

#include <stdbool.h>

#include "util/error.h"

/*
 * Listens on a character device in the words of -serial: "tcp::1234" and "unix:PATH" are servers
 * that wait for nobody, whether the text says so or not. One stub at a time: an open one is closed
 * first. "none" only closes. Main thread, machine lock held. False on error.
 */
bool gdbstub_open(const char *spec, Error **errp);
/* Ends the connection, removes all breakpoints, and lets held vCPUs go. */
void gdbstub_close(void);
/* The program ends with this status: tells GDB. */
void gdbstub_exit(int status);
/* What runs "monitor COMMAND": returns what was printed, to be freed. */
void gdbstub_set_monitor(char *(*run)(const char *line));
/*
 * SIGINT came. True: GDB talks over stdin and stdout, so Ctrl-C on the terminal they share is meant
 * to stop the guest, which it does.
 */
bool gdbstub_take_sigint(void);

#endif
