/*
 * Display: the meeting point of a graphics adapter and whatever shows its picture; and of keyboard and
 * mouse devices and whatever feeds them.
 *
 * The adapter owns the picture's contents and draws into the Surface on demand (gfx_update). User
 * interfaces (screenshots, SDL, VNC, curses) are listeners. Machine lock held throughout.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef UI_DISPLAY_H
#define UI_DISPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "util/error.h"

/* 32-bit pixels, 0x00RRGGBB in host order. */
typedef struct Surface {
    uint32_t *pixels;
    unsigned width, height; /* pixels */
    unsigned stride;        /* pixels a line */
} Surface;

typedef struct Display Display;

typedef struct DisplayAdapter {
    /* Brings the surface up to date, calling display_resize() and display_dirty() as needed. */
    void (*update)(void *opaque);
    /* Everything must be drawn again. */
    void (*invalidate)(void *opaque);
    /* In text mode: the characters; cells is an array of char|attr<<8 of *cols x *rows. May be NULL or fail. */
    bool (*text)(void *opaque, unsigned *cols, unsigned *rows, uint16_t **cells);
    /* A console with a keyboard of its own: what is typed while it is selected. May be NULL: the machine's. */
    void (*key)(void *opaque, unsigned key, bool down);
} DisplayAdapter;

typedef struct DisplayListener {
    void (*resized)(void *opaque, const Surface *surface);
    void (*dirty)(void *opaque, unsigned x, unsigned y, unsigned w, unsigned h);
    void *opaque;
    struct DisplayListener *next;
} DisplayListener;

Display *display_new(const DisplayAdapter *adapter, void *opaque);
/* A text console, which is no adapter of the machine's: it comes behind those. */
Display *display_new_console(const char *name, const DisplayAdapter *adapter, void *opaque);
void display_free(Display *d);
Display *display_first(void); /* NULL: the machine has no screen */
const char *display_name(const Display *d); /* an adapter's is "screen" */
Display *display_find(const char *name);    /* or a number from 0; NULL: there is none */
void display_each(void (*fn)(Display *d, void *opaque), void *opaque);
/* The screen that is looked at and typed to; the first one unless another was selected. */
Display *display_selected(void);
void display_select(Display *d);
/* False when d (may be NULL) leaves keys to the machine. */
bool display_key(Display *d, unsigned key, bool down);
Surface *display_surface(Display *d);
/* The adapter's: a new picture size; the pixels are black. */
void display_resize(Display *d, unsigned width, unsigned height);
void display_dirty(Display *d, unsigned x, unsigned y, unsigned w, unsigned h);
/* The user interface's. */
void display_add_listener(Display *d, DisplayListener *l);
void display_remove_listener(Display *d, DisplayListener *l);
void display_update(Display *d);
/* Updates and writes the picture: PNG, or PPM where the name ends in .ppm. */
bool display_screendump(Display *d, const char *path, Error **errp);
/* The text screen as UTF-8 lines (caller frees), or NULL in a graphics mode. */
char *display_text(Display *d);
/* The character of code page 437 that shows a Unicode one; '?' where there is none. */
uint8_t display_cp437(unsigned unicode);

/* ---- input ---- */
/*
 * Keys by Linux' input event codes (KEY_A = 30 ...): the devices translate to their scan codes.
 */
typedef void InputKeyHandler(void *opaque, unsigned key, bool down);
typedef void InputMouseHandler(void *opaque, int dx, int dy, int dz, unsigned buttons);
/* The last one set receives what is typed; fn NULL takes it away. */
void input_set_keyboard(InputKeyHandler *fn, void *opaque);
/* Several mice may be there: the one added or selected last moves. opaque tells them apart. */
void input_add_mouse(const char *name, InputMouseHandler *fn, void *opaque);
void input_remove_mouse(void *opaque);
void input_select_mouse(void *opaque);
bool input_select_mouse_number(unsigned n); /* as input_each_mouse() counts; false: there is none such */
void input_each_mouse(void (*fn)(unsigned n, const char *name, bool current, void *opaque), void *opaque);
void input_key(unsigned key, bool down);
/* dx to the right, dy down, dz towards the user. buttons: bit 0 left, 1 right, 2 middle, 3 and 4 at the side. */
void input_mouse(int dx, int dy, int dz, unsigned buttons);
/* "ctrl-alt-delete", "a", "shift-semicolon", "ret", "0x1e" (a scan code): pressed in order, released after hold_ms. */
bool input_send_keys(const char *keys, unsigned hold_ms, Error **errp);
/* The names that input_send_keys() knows, in a NULL-terminated list, for completion. */
const char *const *input_key_names(void);
/* Linux' code of a key's name, or 0. */
unsigned input_key_by_name(const char *name);

#endif
