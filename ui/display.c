/*
 * Displays: surfaces and listeners.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ui/display.h"

#include <stdlib.h>
#include <string.h>

#include "util/buffer.h"

struct Display {
    const DisplayAdapter *adapter;
    void *opaque;
    Surface surface;
    DisplayListener *listeners;
    char *name;
    bool console;
    Display *next;
};

static Display *displays, *selected; /* selected NULL: the first */

static Display *make(const char *name, const DisplayAdapter *adapter, void *opaque, bool console)
{
    Display *d = calloc(1, sizeof(*d)), **at = &displays;

    d->adapter = adapter;
    d->opaque = opaque;
    d->name = strdup(name);
    d->console = console;
    while (*at && (console || !(*at)->console)) {
        at = &(*at)->next;
    }
    d->next = *at;
    *at = d;
    display_resize(d, 640, 480);
    return d;
}

Display *display_new(const DisplayAdapter *adapter, void *opaque)
{
    return make("screen", adapter, opaque, false);
}

Display *display_new_console(const char *name, const DisplayAdapter *adapter, void *opaque)
{
    return make(name, adapter, opaque, true);
}

void display_free(Display *d)
{
    for (Display **p = &displays; *p; p = &(*p)->next) {
        if (*p == d) {
            *p = d->next;
            break;
        }
    }
    if (selected == d) {
        selected = NULL;
    }
    free(d->surface.pixels);
    free(d->name);
    free(d);
}

Display *display_first(void)
{
    return displays;
}

const char *display_name(const Display *d)
{
    return d->name;
}

Display *display_find(const char *name)
{
    char *end;
    unsigned long n = strtoul(name, &end, 10);
    bool number = end != name && !*end;

    for (Display *d = displays; d; d = d->next, n--) {
        if (strcmp(d->name, name) == 0 || (number && n == 0)) {
            return d;
        }
    }
    return NULL;
}

void display_each(void (*fn)(Display *d, void *opaque), void *opaque)
{
    for (Display *d = displays; d; d = d->next) {
        fn(d, opaque);
    }
}

Display *display_selected(void)
{
    return selected ? selected : displays;
}

void display_select(Display *d)
{
    selected = d;
}

bool display_key(Display *d, unsigned key, bool down)
{
    if (!d || !d->adapter->key) {
        return false;
    }
    d->adapter->key(d->opaque, key, down);
    return true;
}

Surface *display_surface(Display *d)
{
    return &d->surface;
}

void display_resize(Display *d, unsigned width, unsigned height)
{
    Surface *s = &d->surface;

    free(s->pixels);
    s->width = width;
    s->height = height;
    s->stride = width;
    s->pixels = calloc((size_t)width * height, sizeof(uint32_t));
    for (DisplayListener *l = d->listeners; l; l = l->next) {
        if (l->resized) {
            l->resized(l->opaque, s);
        }
    }
}

void display_dirty(Display *d, unsigned x, unsigned y, unsigned w, unsigned h)
{
    for (DisplayListener *l = d->listeners; l; l = l->next) {
        if (l->dirty) {
            l->dirty(l->opaque, x, y, w, h);
        }
    }
}

void display_add_listener(Display *d, DisplayListener *l)
{
    l->next = d->listeners;
    d->listeners = l;
    if (l->resized) {
        l->resized(l->opaque, &d->surface);
    }
    d->adapter->invalidate(d->opaque);
}

void display_remove_listener(Display *d, DisplayListener *l)
{
    for (DisplayListener **p = &d->listeners; *p; p = &(*p)->next) {
        if (*p == l) {
            *p = l->next;
            return;
        }
    }
}

void display_update(Display *d)
{
    d->adapter->update(d->opaque);
}

/* Code page 437, which a VGA's ROM font shows, as Unicode; 0x20 to 0x7e are ASCII. */
static const uint16_t cp437_low[32] = {
    0x0020, 0x263a, 0x263b, 0x2665, 0x2666, 0x2663, 0x2660, 0x2022, 0x25d8, 0x25cb, 0x25d9,
    0x2642, 0x2640, 0x266a, 0x266b, 0x263c, 0x25ba, 0x25c4, 0x2195, 0x203c, 0x00b6, 0x00a7,
    0x25ac, 0x21a8, 0x2191, 0x2193, 0x2192, 0x2190, 0x221f, 0x2194, 0x25b2, 0x25bc,
};
static const uint16_t cp437_high[128] = {
    0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5, 0x00e7, 0x00ea, 0x00eb, 0x00e8, 0x00ef,
    0x00ee, 0x00ec, 0x00c4, 0x00c5, 0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2, 0x00fb, 0x00f9,
    0x00ff, 0x00d6, 0x00dc, 0x00a2, 0x00a3, 0x00a5, 0x20a7, 0x0192, 0x00e1, 0x00ed, 0x00f3, 0x00fa,
    0x00f1, 0x00d1, 0x00aa, 0x00ba, 0x00bf, 0x2310, 0x00ac, 0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb,
    0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x2561, 0x2562, 0x2556, 0x2555, 0x2563, 0x2551, 0x2557,
    0x255d, 0x255c, 0x255b, 0x2510, 0x2514, 0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f,
    0x255a, 0x2554, 0x2569, 0x2566, 0x2560, 0x2550, 0x256c, 0x2567, 0x2568, 0x2564, 0x2565, 0x2559,
    0x2558, 0x2552, 0x2553, 0x256b, 0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590, 0x2580,
    0x03b1, 0x00df, 0x0393, 0x03c0, 0x03a3, 0x03c3, 0x00b5, 0x03c4, 0x03a6, 0x0398, 0x03a9, 0x03b4,
    0x221e, 0x03c6, 0x03b5, 0x2229, 0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7, 0x2248,
    0x00b0, 0x2219, 0x00b7, 0x221a, 0x207f, 0x00b2, 0x25a0, 0x00a0,
};

static unsigned cp437_to_unicode(uint8_t c)
{
    return c < 0x20 ? cp437_low[c] : c == 0x7f ? 0x2302 : c >= 0x80 ? cp437_high[c - 0x80] : c;
}

uint8_t display_cp437(unsigned unicode)
{
    if (unicode >= 0x20 && unicode < 0x7f) {
        return (uint8_t)unicode;
    }
    for (unsigned c = 1; c < 256; c++) {
        if (cp437_to_unicode((uint8_t)c) == unicode) {
            return (uint8_t)c;
        }
    }
    return '?';
}

static void put_utf8(Buffer *b, unsigned c)
{
    if (c < 0x80) {
        buffer_put_u8(b, (uint8_t)c);
    } else if (c < 0x800) {
        buffer_put_u8(b, (uint8_t)(0xc0 | c >> 6));
        buffer_put_u8(b, (uint8_t)(0x80 | (c & 0x3f)));
    } else {
        buffer_put_u8(b, (uint8_t)(0xe0 | c >> 12));
        buffer_put_u8(b, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
        buffer_put_u8(b, (uint8_t)(0x80 | (c & 0x3f)));
    }
}

char *display_text(Display *d)
{
    unsigned cols, rows;
    uint16_t *cells;
    Buffer b = {0};

    if (!d->adapter->text || !d->adapter->text(d->opaque, &cols, &rows, &cells)) {
        return NULL;
    }
    for (unsigned y = 0; y < rows; y++) {
        size_t line_end = b.size;
        for (unsigned x = 0; x < cols; x++) {
            uint8_t c = (uint8_t)cells[y * cols + x];
            put_utf8(&b, cp437_to_unicode(c));
            if (c != 0 && c != ' ' && c != 0xff) {
                line_end = b.size;
            }
        }
        b.size = line_end; /* without the blanks at the end */
        buffer_put_u8(&b, '\n');
    }
    buffer_put_u8(&b, 0);
    return (char *)b.data;
}
