/*
 * The character device vc in a program built without libvterm: says so.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "char/char-int.h"
#include "ui/vc.h"

static bool parse_anything(ChrOptions *o, const char *text, Error **errp)
{
    return true;
}

static bool refuse(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    error_set(errp,
              "character device '%s': vc needs libvterm, which this program was built without",
              chr->id);
    return false;
}

static const ChrDriver no_vc = {
    .name = "vc",
    .help = "a text console (not in this program: built without libvterm)",
    .parse = parse_anything,
    .open = refuse,
};

void vc_register(void)
{
    chr_register_driver(&no_vc);
}

void vc_set_font(const uint8_t *bytes)
{
}
