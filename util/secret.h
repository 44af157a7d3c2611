/*
 * Secrets: passwords and keys that the user gives by -object secret (of the emulator) or --object
 * secret (of vole-img) and that options then name by their id, so that no option holds them itself.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef UTIL_SECRET_H
#define UTIL_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

/*
 * "secret,id=ID,data=TEXT" or "secret,id=ID,file=FILE", with format=raw|base64; a file is read at
 * once. option: for messages ("-object").
 */
bool secret_add(const char *option, const char *spec, Error **errp);
/* The bytes, which stay the table's; false with an error where there is no such secret. */
bool secret_get(const char *id, const uint8_t **data, size_t *bytes, Error **errp);

#endif
