/*
 * The JSON monitor in a program built without jansson: says so.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "monitor/qmp.h"

bool qmp_open(CharBackend *chr, bool pretty, Error **errp)
{
    error_set(errp, "the JSON monitor needs jansson, which this program was built without");
    return false;
}

void qmp_set_options(const struct Option *table)
{
}

void qmp_quitting(void)
{
}

void qmp_host_request(void)
{
}

void qmp_device_deleted(const char *id)
{
}

void qmp_tray_moved(const char *drive, bool open)
{
}
