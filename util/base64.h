/*
 * Base64 (RFC 4648, section 4).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef UTIL_BASE64_H
#define UTIL_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes in place and sets *bytes to what came out; white space counts for nothing. False where it
 * is no base64. */
bool base64_decode(uint8_t *data, size_t *bytes);

#endif
