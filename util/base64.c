/*
 * Base64.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/base64.h"

static int base64_digit(uint8_t c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

bool base64_decode(uint8_t *data, size_t *bytes)
{
    uint32_t group = 0;
    unsigned digits = 0, padding = 0;
    size_t out = 0;

    for (size_t i = 0; i < *bytes; i++) {
        uint8_t c = data[i];
        if (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
            continue;
        }
        int digit = base64_digit(c);
        padding += c == '=';
        if ((digit < 0 && c != '=') || (digit >= 0 && padding) || padding > 2) {
            return false;
        }
        group = group << 6 | (digit < 0 ? 0 : (uint32_t)digit);
        if (++digits % 4 == 0) {
            data[out++] = (uint8_t)(group >> 16);
            data[out++] = (uint8_t)(group >> 8);
            data[out++] = (uint8_t)group;
        }
    }
    *bytes = out - padding;
    return digits % 4 == 0;
}
