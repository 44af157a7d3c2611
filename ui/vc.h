/*
 * The character device vc: a text console on a screen of its own. Without libvterm vc-none.c
 * refuses it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef UI_VC_H
#define UI_VC_H

#include <stdint.h>

#define VC_FONT_HEIGHT 16

/* Adds vc to the kinds of character devices. */
void vc_register(void);
/* 256 characters of code page 437, 8 pixels wide: VC_FONT_HEIGHT bytes each, bit 7 at the left. */
void vc_set_font(const uint8_t *bytes);

#endif
