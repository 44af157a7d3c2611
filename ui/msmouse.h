/*
 * The character device msmouse: a Microsoft serial mouse, moved by what moves any mouse.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef UI_MSMOUSE_H
#define UI_MSMOUSE_H

/* Adds msmouse to the kinds of character devices. */
void msmouse_register(void);

#endif
