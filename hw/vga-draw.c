/*
 * The VGA's picture: what the CRT controller scans out of display memory, the attribute controller
 * and the DAC make pixels of.
 *
 * A picture is drawn a line at a time into a scratch line, which is compared with the surface, so
 * that listeners hear of what really changed. Lines are walked as the CRT controller does it: an
 * address and a row scan counter, both set back at the line compare. The picture has the monitor's
 * raster: lines that are scanned twice and dots that are two clocks wide are drawn once and shown
 * twice, so that mode 13h is a picture of 640x400.
 *
 * Not modelled: the overscan border, blinking in graphics modes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>
#include <string.h>

#include "hw/vga-int.h"
#include "util/loop.h"

typedef enum PictureKind {
    PICTURE_BLANK,
    PICTURE_TEXT,
    PICTURE_PLANAR, /* four planes, 16 colours */
    PICTURE_CGA,    /* two bits a pixel, bytes alternating between planes */
    PICTURE_256,
    PICTURE_LINEAR,  /* the display interface's, 8 to 32 bits a pixel */
    PICTURE_LINEAR4, /* the same with four planes */
} PictureKind;

typedef struct Picture {
    PictureKind kind;
    unsigned width, height;
    unsigned scale;        /* pixels a dot is wide */
    unsigned repeat;       /* scan lines that show the same */
    unsigned rows;         /* row scans before the address moves on */
    unsigned dots;         /* text: width of a character */
    unsigned chars;        /* character clocks a line */
    uint32_t start, pitch; /* address counter: at the top, and from row to row */
    unsigned line_compare; /* scan line behind which the address starts again at 0 */
    unsigned first_row, pan;
    uint32_t palette[16];
    /* text */
    unsigned font[2]; /* plane 2 offsets of the character maps B and A */
    bool blink_off, cursor_on;
} Picture;

/* The cursor blinks with a period of 16 pictures, characters with one of 32; at 70 pictures a
 * second. */
#define BLINK_NS (NS_PER_SEC * 8 / 70)

/* ---- colours ---- */

static uint32_t dac_color(const Vga *s, uint8_t index)
{
    const uint8_t *c = s->dac + (index & s->dac_mask) * 3;
    uint32_t rgb[3];

    for (int i = 0; i < 3; i++) {
        uint32_t v = c[i];
        if (!(s->dispi[DISPI_ENABLE] & DISPI_8BIT_DAC)) {
            v = (v & 0x3f) << 2 | (v >> 4 & 3);
        }
        rgb[i] = v;
    }
    return rgb[0] << 16 | rgb[1] << 8 | rgb[2];
}

/* A 4-bit value through the attribute controller's palette. */
static uint8_t attr_color(const Vga *s, unsigned value)
{
    uint8_t c = s->attr[value] & 0x3f, select = s->attr[ATTR_COLOR_SELECT];

    if (s->attr[ATTR_MODE] & ATTR_MODE_P54S) {
        c = (c & 0x0f) | (uint8_t)((select & 3) << 4);
    }
    return c | (uint8_t)((select & 0x0c) << 4);
}

static void load_colors(Vga *s, Picture *p)
{
    uint8_t enable = s->attr[ATTR_PLANE_ENABLE] & 0xf;

    for (unsigned i = 0; i < 256; i++) {
        s->colors[i] = dac_color(s, (uint8_t)i);
    }
    for (unsigned i = 0; i < 16; i++) {
        unsigned v = p->kind == PICTURE_TEXT ? i : i & enable;
        p->palette[i] = s->colors[attr_color(s, v)];
    }
}

/* ---- geometry ---- */

static unsigned crtc_field(const Vga *s, unsigned reg, unsigned bit8, unsigned bit9)
{
    unsigned ov = s->crtc[CRTC_OVERFLOW];

    return s->crtc[reg] | (ov >> bit8 & 1) << 8 | (ov >> bit9 & 1) << 9;
}

static void legacy_picture(const Vga *s, Picture *p)
{
    const uint8_t *cr = s->crtc;
    unsigned lines = crtc_field(s, CRTC_VDISP_END, 1, 6) + 1;
    unsigned rows = (cr[CRTC_MAX_SCAN] & 0x1f) + 1u;
    unsigned pan = s->attr[ATTR_PANNING] & 0xf;

    p->chars = cr[CRTC_HDISP_END] + 1u;
    p->line_compare = cr[CRTC_LINE_COMPARE] | (cr[CRTC_OVERFLOW] >> 4 & 1u) << 8 |
                      (cr[CRTC_MAX_SCAN] >> 6 & 1u) << 9;
    p->start =
        (uint32_t)(cr[CRTC_START_HIGH] << 8 | cr[CRTC_START_LOW]) + (cr[CRTC_PRESET_ROW] >> 5 & 3u);
    p->pitch = cr[CRTC_OFFSET] * 2u;
    p->first_row = cr[CRTC_PRESET_ROW] & 0x1f;
    p->repeat = cr[CRTC_MAX_SCAN] & MAX_SCAN_DOUBLE ? 2 : 1;
    p->rows = rows;
    p->dots = 8;
    p->scale = s->seq[SEQ_CLOCKING] & CLOCKING_HALF ? 2 : 1;
    p->pan = pan & 7;
    if (!(s->gfx[GFX_MISC] & GFX_MISC_GRAPHICS)) {
        p->kind = PICTURE_TEXT;
        p->dots = s->seq[SEQ_CLOCKING] & CLOCKING_8DOT ? 8 : 9;
        if (p->dots == 9) {
            p->pan = pan >= 8 ? 0 : pan + 1;
        }
    } else if (s->gfx[GFX_MODE] & GFX_MODE_256) {
        p->kind = PICTURE_256;
        p->dots = 4;
        p->scale *= 2;
        p->pan = (pan & 7) / 2;
    } else {
        p->kind = s->gfx[GFX_MODE] & GFX_MODE_SHIFT4 ? PICTURE_CGA : PICTURE_PLANAR;
    }
    /* Rows that show the same bytes are one line, unless the row scan is part of the address. */
    if (p->kind != PICTURE_TEXT &&
        (cr[CRTC_MODE] & (CRTC_MODE_CMS0 | CRTC_MODE_CMS1)) == (CRTC_MODE_CMS0 | CRTC_MODE_CMS1)) {
        p->repeat *= rows;
        p->rows = 1;
        p->first_row = 0;
    }
    if (cr[CRTC_MODE] & CRTC_MODE_HALF_V) {
        p->line_compare *= 2;
        lines *= 2;
    }
    p->width = p->chars * p->dots * p->scale;
    p->height = lines;
}

static void text_settings(const Vga *s, Picture *p, unsigned phase)
{
    unsigned map = s->seq[SEQ_CHAR_MAP];
    unsigned b = (map & 3) * 2 + (map >> 4 & 1), a = (map >> 2 & 3) * 2 + (map >> 5 & 1);

    p->font[0] = b * 0x2000;
    p->font[1] = a * 0x2000;
    p->cursor_on = !(s->crtc[CRTC_CURSOR_START] & CURSOR_OFF) && !(phase & 1);
    p->blink_off = phase & 2;
}

static void find_picture(Vga *s, Picture *p)
{
    const uint16_t *r = s->dispi;

    *p = (Picture){.scale = 1, .repeat = 1, .rows = 1, .line_compare = ~0u};
    if (vga_dispi_on(s)) {
        p->kind = r[DISPI_BPP] == 4 ? PICTURE_LINEAR4 : PICTURE_LINEAR;
        p->width = r[DISPI_XRES];
        p->height = r[DISPI_YRES];
    } else {
        legacy_picture(s, p);
    }
    if (!(s->attr_index & ATTR_INDEX_PAS) || (s->seq[SEQ_CLOCKING] & CLOCKING_OFF)) {
        p->kind = PICTURE_BLANK;
        if (!vga_dispi_on(s) && s->crtc[CRTC_HDISP_END] == 0) {
            p->width = 640; /* not programmed at all */
            p->height = 480;
        }
    }
}

/* ---- lines ---- */

/* The address within a plane for a value of the address counter (VGA manual, CRT mode control
 * register). */
static uint32_t plane_address(const Vga *s, uint32_t counter, unsigned row)
{
    uint8_t mode = s->crtc[CRTC_MODE];
    uint32_t a = counter & 0xffff;

    if (s->crtc[CRTC_UNDERLINE] & UNDERLINE_DWORD) {
        /* Chained bytes are packed here, where the hardware spreads them over every fourth address.
         */
        if (!(s->seq[SEQ_MEMORY] & MEMORY_CHAIN4)) {
            a = a << 2 | a >> 14;
        }
    } else if (!(mode & CRTC_MODE_BYTE)) {
        a = a << 1 | (mode & CRTC_MODE_WRAP ? a >> 15 : a >> 13 & 1);
    }
    if (!(mode & CRTC_MODE_CMS0)) {
        a = (a & ~0x2000u) | (row & 1) << 13;
    }
    if (!(mode & CRTC_MODE_CMS1)) {
        a = (a & ~0x4000u) | (row >> 1 & 1) << 14;
    }
    return a & (VGA_PLANE_BYTES - 1);
}

static const uint8_t *group_at(const Vga *s, uint32_t counter, unsigned row)
{
    return s->mem + plane_address(s, counter, row) * 4;
}

static unsigned font_byte(const Vga *s, const Picture *p, uint8_t c, uint8_t attr, unsigned row)
{
    return s->mem[(p->font[attr >> 3 & 1] + c * 32u + row) * 4 + 2];
}

static bool is_cursor(const Vga *s, const Picture *p, uint32_t counter, unsigned row)
{
    unsigned start = s->crtc[CRTC_CURSOR_START] & 0x1f, end = s->crtc[CRTC_CURSOR_END] & 0x1f;

    return p->cursor_on && row >= start && row <= end &&
           (counter & 0xffff) ==
               (unsigned)(s->crtc[CRTC_CURSOR_HIGH] << 8 | s->crtc[CRTC_CURSOR_LOW]);
}

/* One character's line of dots, 8 or 9 of them. */
static void draw_cell(const Vga *s, const Picture *p, uint32_t counter, unsigned row, uint32_t *out)
{
    const uint8_t *group = group_at(s, counter, 0);
    uint8_t c = group[0], attr = group[1];
    unsigned bits = font_byte(s, p, c, attr, row & 0x1f) << 1;
    unsigned fg = attr & 0xf, bg = attr >> 4;

    if (s->attr[ATTR_MODE] & ATTR_MODE_BLINK) {
        if ((attr & 0x80) && p->blink_off) {
            bits = 0;
        }
        bg &= 7;
    }
    if ((attr & 0x77) == 0x01 && row == (s->crtc[CRTC_UNDERLINE] & 0x1f)) {
        bits = 0x1fe;
    }
    /* The ninth dot repeats the eighth in the line-drawing characters. */
    if ((s->attr[ATTR_MODE] & ATTR_MODE_LINE9) && (c & 0xe0) == 0xc0) {
        bits |= bits >> 1 & 1;
    }
    if (is_cursor(s, p, counter, row)) {
        bits = 0x1ff;
    }
    for (unsigned i = 0; i < p->dots; i++) {
        out[i] = p->palette[bits >> (8 - i) & 1 ? fg : bg];
    }
}

static void draw_planar(const Picture *p, const uint8_t *group, uint32_t *out)
{
    for (int i = 0; i < 8; i++) {
        int bit = 7 - i;
        out[i] = p->palette[(group[0] >> bit & 1) | (group[1] >> bit & 1) << 1 |
                            (group[2] >> bit & 1) << 2 | (group[3] >> bit & 1) << 3];
    }
}

static void draw_cga(const Picture *p, const uint8_t *group, uint32_t *out)
{
    for (int i = 0; i < 8; i++) {
        int shift = 6 - (i & 3) * 2;
        out[i] = p->palette[(group[i >> 2] >> shift & 3) | (group[2 + (i >> 2)] >> shift & 3) << 2];
    }
}

/* A line of any of the VGA's own modes: one clock more than is shown, for panning. */
static uint32_t *draw_legacy_line(Vga *s, const Picture *p, uint32_t counter, unsigned row,
                                  unsigned pan)
{
    uint32_t *out = s->line;

    for (unsigned i = 0; i <= p->chars; i++, out += p->dots) {
        const uint8_t *group = group_at(s, counter + i, row);
        switch (p->kind) {
        case PICTURE_TEXT:
            draw_cell(s, p, counter + i, row, out);
            break;
        case PICTURE_PLANAR:
            draw_planar(p, group, out);
            break;
        case PICTURE_CGA:
            draw_cga(p, group, out);
            break;
        default:
            for (int k = 0; k < 4; k++) {
                out[k] = s->colors[group[k]];
            }
        }
    }
    return s->line + pan;
}

static uint32_t from_rgb(unsigned v, unsigned green_bits)
{
    unsigned r = v >> (5 + green_bits) & 0x1f, g = v >> 5 & ((1u << green_bits) - 1), b = v & 0x1f;

    g = green_bits == 6 ? g << 2 | g >> 4 : g << 3 | g >> 2;
    return (r << 3 | r >> 2) << 16 | g << 8 | (b << 3 | b >> 2);
}

static uint64_t linear_offset(const Vga *s, unsigned y)
{
    return (uint64_t)(y + s->dispi[DISPI_Y_OFFSET]) * vga_dispi_pitch(s);
}

static uint32_t *draw_linear_line(Vga *s, unsigned width, unsigned y)
{
    unsigned bpp = s->dispi[DISPI_BPP], bytes = (bpp + 7) / 8;
    uint64_t off = linear_offset(s, y) + (uint64_t)s->dispi[DISPI_X_OFFSET] * bytes;
    const uint8_t *m = s->mem + off;

    if (off + (uint64_t)width * bytes > s->mem_size) {
        memset(s->line, 0, width * sizeof(uint32_t));
        return s->line;
    }
    for (unsigned x = 0; x < width; x++, m += bytes) {
        switch (bytes) {
        case 1:
            s->line[x] = s->colors[*m];
            break;
        case 2:
            s->line[x] = from_rgb(m[0] | (unsigned)m[1] << 8, bpp == 15 ? 5 : 6);
            break;
        default:
            s->line[x] = m[0] | (uint32_t)m[1] << 8 | (uint32_t)m[2] << 16;
        }
    }
    return s->line;
}

static uint32_t *draw_linear4_line(Vga *s, const Picture *p, unsigned y)
{
    uint64_t off = linear_offset(s, y) + s->dispi[DISPI_X_OFFSET] / 8;

    for (unsigned x = 0; x <= p->width; x += 8, off++) {
        if (off * 4 + 4 <= s->mem_size) {
            draw_planar(p, s->mem + off * 4, s->line + x);
        }
    }
    return s->line + s->dispi[DISPI_X_OFFSET] % 8;
}

/* ---- what has changed ---- */

static void reset_dirty(Vga *s, uint64_t first_page, uint64_t end_page)
{
    if (end_page > first_page) {
        memory_dirty_reset(s->vram.ram_offset + first_page * GUEST_PAGE_SIZE,
                           (end_page - first_page) * GUEST_PAGE_SIZE, DIRTY_DISPLAY);
    }
}

/* Takes over the dirty bits of the range into page_dirty and clears them: before anything is read.
 */
static bool take_dirty(Vga *s, uint64_t from, uint64_t to)
{
    uint64_t page = from / GUEST_PAGE_SIZE, run = page;
    bool any = false;

    to = to < s->mem_size ? to : s->mem_size;
    for (; page * GUEST_PAGE_SIZE < to; page++) {
        s->page_dirty[page] =
            memory_dirty_get(s->vram.ram_offset + page * GUEST_PAGE_SIZE, DIRTY_DISPLAY);
        if (s->page_dirty[page]) {
            any = true;
        } else {
            reset_dirty(s, run, page);
            run = page + 1;
        }
    }
    reset_dirty(s, run, page);
    return any;
}

static bool range_dirty(const Vga *s, uint64_t from, uint64_t to)
{
    to = to < s->mem_size ? to : s->mem_size;
    for (uint64_t page = from / GUEST_PAGE_SIZE; page * GUEST_PAGE_SIZE < to; page++) {
        if (s->page_dirty[page]) {
            return true;
        }
    }
    return false;
}

/* Bytes of display memory a linear picture's line takes. */
static uint64_t linear_line_bytes(const Vga *s)
{
    return (uint64_t)vga_dispi_pitch(s) * (s->dispi[DISPI_BPP] == 4 ? 4 : 1);
}

static bool line_dirty(const Vga *s, unsigned y)
{
    uint64_t bytes = linear_line_bytes(s), from = (y + s->dispi[DISPI_Y_OFFSET]) * bytes;

    return range_dirty(s, from, from + bytes);
}

/* ---- the picture ---- */

typedef struct DirtyRun {
    unsigned first, count;
} DirtyRun;

static void flush_run(Vga *s, DirtyRun *run)
{
    if (run->count) {
        display_dirty(s->display, 0, run->first, s->width, run->count);
        run->count = 0;
    }
}

static void put_line(Vga *s, unsigned y, const uint32_t *line, DirtyRun *run)
{
    Surface *surface = display_surface(s->display);
    uint32_t *to = surface->pixels + (size_t)y * surface->stride;
    size_t bytes = s->width * sizeof(uint32_t);

    if (memcmp(to, line, bytes) == 0) {
        flush_run(s, run);
        return;
    }
    memcpy(to, line, bytes);
    if (run->count == 0) {
        run->first = y;
    }
    run->count++;
}

/* Makes each dot `scale` pixels wide, in place: from the right, since the line grows. */
static uint32_t *widen_line(Vga *s, const Picture *p, uint32_t *line)
{
    unsigned x = p->width;

    if (p->scale == 1) {
        return line;
    }
    memmove(s->line, line, p->width / p->scale * sizeof(uint32_t));
    while (x-- > 0) {
        s->line[x] = s->line[x / p->scale];
    }
    return s->line;
}

static void draw_legacy(Vga *s, const Picture *p)
{
    DirtyRun run = {0};
    uint32_t counter = p->start;
    unsigned row = p->first_row, pan = p->pan;

    for (unsigned y = 0; y < p->height; y += p->repeat) {
        uint32_t *line = widen_line(s, p, draw_legacy_line(s, p, counter, row, pan));
        for (unsigned i = y; i < y + p->repeat && i < p->height; i++) {
            put_line(s, i, line, &run);
        }
        if (p->line_compare >= y && p->line_compare < y + p->repeat) {
            counter = 0;
            row = 0;
            if (s->attr[ATTR_MODE] & ATTR_MODE_PAN_TOP) {
                pan = 0;
            }
        } else if (++row >= p->rows) {
            row = 0;
            counter += p->pitch;
        }
    }
    flush_run(s, &run);
}

static void draw_linear(Vga *s, const Picture *p, bool all)
{
    DirtyRun run = {0};

    for (unsigned y = 0; y < p->height; y++) {
        if (!all && !line_dirty(s, y)) {
            flush_run(s, &run);
        } else if (p->kind == PICTURE_LINEAR4) {
            put_line(s, y, draw_linear4_line(s, p, y), &run);
        } else {
            put_line(s, y, draw_linear_line(s, p->width, y), &run);
        }
    }
    flush_run(s, &run);
}

static void draw_blank(Vga *s, const Picture *p)
{
    DirtyRun run = {0};

    memset(s->line, 0, p->width * sizeof(uint32_t));
    for (unsigned y = 0; y < p->height; y++) {
        put_line(s, y, s->line, &run);
    }
    flush_run(s, &run);
}

static void resize(Vga *s, const Picture *p)
{
    s->width = p->width;
    s->height = p->height;
    /* With room for the character that panning brings in. */
    s->line = realloc(s->line, (p->width + 32) * sizeof(uint32_t));
    memset(s->line, 0, (p->width + 32) * sizeof(uint32_t));
    display_resize(s->display, p->width, p->height);
}

static void vga_update(void *opaque)
{
    Vga *s = opaque;
    Picture p;
    bool all, dirty;
    unsigned phase = 0;

    find_picture(s, &p);
    all = s->redraw;
    if (p.width != s->width || p.height != s->height || !s->line) {
        resize(s, &p);
        all = true;
    }
    if (p.kind == PICTURE_BLANK) {
        if (all) {
            draw_blank(s, &p);
        }
        s->redraw = false;
        return;
    }
    if (p.kind == PICTURE_LINEAR || p.kind == PICTURE_LINEAR4) {
        uint64_t bytes = linear_line_bytes(s), from = s->dispi[DISPI_Y_OFFSET] * bytes;
        dirty = take_dirty(s, from, from + p.height * bytes);
    } else {
        dirty = take_dirty(s, 0, VGA_PLANE_BYTES * 4);
    }
    if (p.kind == PICTURE_TEXT) {
        phase = (unsigned)(clock_now(CLOCK_VIRTUAL) / BLINK_NS) & 3;
        text_settings(s, &p, phase);
        dirty |= phase != s->phase;
    }
    s->phase = phase;
    s->redraw = false;
    if (!all && !dirty) {
        return;
    }
    load_colors(s, &p);
    if (p.kind == PICTURE_LINEAR || p.kind == PICTURE_LINEAR4) {
        draw_linear(s, &p, all);
    } else {
        draw_legacy(s, &p);
    }
}

static void vga_invalidate(void *opaque)
{
    Vga *s = opaque;

    s->redraw = true;
}

static bool vga_text(void *opaque, unsigned *cols, unsigned *rows, uint16_t **cells)
{
    Vga *s = opaque;
    Picture p;

    find_picture(s, &p);
    if (p.kind != PICTURE_TEXT) {
        return false;
    }
    *cols = p.chars;
    *rows = p.height / (p.rows * p.repeat) ? p.height / (p.rows * p.repeat) : 1;
    s->cells = realloc(s->cells, (size_t)*cols * *rows * sizeof(uint16_t));
    for (unsigned y = 0; y < *rows; y++) {
        for (unsigned x = 0; x < *cols; x++) {
            const uint8_t *group = group_at(s, p.start + y * p.pitch + x, 0);
            s->cells[y * *cols + x] = (uint16_t)(group[0] | group[1] << 8);
        }
    }
    *cells = s->cells;
    return true;
}

const DisplayAdapter vga_adapter = {vga_update, vga_invalidate, vga_text, NULL};
