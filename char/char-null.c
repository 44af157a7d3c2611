/*
 * The null backend: takes everything, sends nothing.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "char/char-int.h"

static bool null_open(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    chr->connected = true;
    return true;
}

static void null_close(CharBackend *chr)
{
}

static size_t null_write(CharBackend *chr, const uint8_t *data, size_t size)
{
    return size;
}

const ChrDriver chr_null_driver = {
    .name = "null",
    .help = "drops what is written",
    .open = null_open,
    .close = null_close,
    .write = null_write,
};
