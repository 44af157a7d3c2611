/*
 * The VGA: what the guest writes in each family of modes and what is seen, the graphics
 * controller's read and write modes, the Bochs display interface, saved state, and hostile register
 * contents.
 *
 * Pictures are compared with a model where it is simple, and by the CRC of a frame that was looked
 * at. With VGA_DUMP=DIR each frame is written there as MODE.png.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/vga.h"

#include <stdlib.h>

#include "hw/memory.h"
#include "ui/display.h"
#include "util/loop.h"

#include "../test.h"

static Device *vga;

static void out(unsigned port, unsigned v)
{
    ioport_write((uint16_t)port, v, 1);
}

static unsigned in(unsigned port)
{
    return ioport_read((uint16_t)port, 1);
}

static void out_index(unsigned port, unsigned index, unsigned v)
{
    out(port, index);
    out(port + 1, v);
}

static void poke(hwaddr addr, unsigned v)
{
    memory_write(&memory_as, addr, v, 1);
}

static unsigned peek(hwaddr addr)
{
    return (unsigned)memory_read(&memory_as, addr, 1);
}

static void dispi(unsigned index, unsigned v)
{
    ioport_write(0x1ce, index, 2);
    ioport_write(0x1cf, v, 2);
}

static unsigned dispi_in(unsigned index)
{
    ioport_write(0x1ce, index, 2);
    return ioport_read(0x1cf, 2);
}

static void set_up(void)
{
    if (!vga) {
        machine_lock();
        clock_use_stepped();
        memory_init();
        memory_ram_init(64 << 20, NULL);
        vga = device_new(&vga_isa_class, NULL, "vga");
        device_realize_or_die(vga);
    }
    devices_reset();
    memset(memory_ram_base(), 0, memory_ram_used());
    memory_dirty_set(0, memory_ram_used());
}

/* ---- modes, as a VGA BIOS sets them ---- */

typedef struct Mode {
    const char *name;
    uint8_t misc, seq[5], crtc[25], gfx[9], attr[21];
} Mode;

#define ATTR_EGA  0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f
#define ATTR_RGBI 0, 1, 2, 3, 4, 5, 6, 7, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17
#define ATTR_ONE  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15

static const Mode text80 = {"text80",
                            0x67,
                            {3, 0, 3, 0, 2},
                            {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0,
                             0x4f, 0x0d, 0x0e, 0,    0,    0,    0,    0x9c, 0x8e,
                             0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff},
                            {0, 0, 0, 0, 0, 0x10, 0x0e, 0, 0xff},
                            {ATTR_EGA, 0x0c, 0, 0x0f, 8, 0}};
static const Mode text40 = {"text40",
                            0x67,
                            {3, 8, 3, 0, 2},
                            {0x2d, 0x27, 0x28, 0x90, 0x2b, 0xa0, 0xbf, 0x1f, 0,
                             0x4f, 0x0d, 0x0e, 0,    0,    0,    0,    0x9c, 0x8e,
                             0x8f, 0x14, 0x1f, 0x96, 0xb9, 0xa3, 0xff},
                            {0, 0, 0, 0, 0, 0x10, 0x0e, 0, 0xff},
                            {ATTR_EGA, 0x0c, 0, 0x0f, 8, 0}};
static const Mode text50 = {"text50",
                            0x67,
                            {3, 1, 3, 0, 2},
                            {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0,
                             0x47, 0x06, 0x07, 0,    0,    0,    0,    0x9c, 0x8e,
                             0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff},
                            {0, 0, 0, 0, 0, 0x10, 0x0e, 0, 0xff},
                            {ATTR_EGA, 0x08, 0, 0x0f, 0, 0}};
static const Mode cga4 = {"cga4",
                          0x63,
                          {3, 9, 3, 0, 2},
                          {0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0,    0xc1, 0,    0,   0,
                           0,    0,    0,    0x9c, 0x8e, 0x8f, 0x14, 0,    0x96, 0xb9, 0xa2, 0xff},
                          {0, 0, 0, 0, 0, 0x30, 0x0f, 0x0f, 0xff},
                          {0,    0x13, 0x15, 0x17, 2,    4, 6, 7, 0x10, 0x11, 0x12,
                           0x13, 0x14, 0x15, 0x16, 0x17, 1, 0, 3, 0,    0}};
static const Mode cga6 = {"cga6",
                          0x63,
                          {3, 1, 1, 0, 6},
                          {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0,    0xc1, 0,    0,   0,
                           0,    0,    0,    0x9c, 0x8e, 0x8f, 0x28, 0,    0x96, 0xb9, 0xc2, 0xff},
                          {0, 0, 0, 0, 0, 0, 0x0d, 0x0f, 0xff},
                          {0,    0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17,
                           0x17, 0x17, 0x17, 0x17, 0x17, 1,    0,    1,    0,    0}};
static const Mode ega0d = {"ega0d",
                           0x63,
                           {3, 9, 0xf, 0, 6},
                           {0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0,
                            0xc0, 0,    0,    0,    0,    0,    0,    0x9c, 0x8e,
                            0x8f, 0x14, 0,    0x96, 0xb9, 0xe3, 0xff},
                           {0, 0, 0, 0, 0, 0, 5, 0xf, 0xff},
                           {ATTR_RGBI, 1, 0, 0xf, 0, 0}};
static const Mode vga12 = {"vga12",
                           0xe3,
                           {3, 1, 0xf, 0, 6},
                           {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0, 0x40, 0,   0, 0, 0,
                            0,    0,    0xea, 0x8c, 0xdf, 0x28, 0,    0xe7, 4, 0xe3, 0xff},
                           {0, 0, 0, 0, 0, 0, 5, 0xf, 0xff},
                           {ATTR_EGA, 1, 0, 0xf, 0, 0}};
static const Mode vga13 = {"vga13",
                           0x63,
                           {3, 1, 0xf, 0, 0xe},
                           {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0,
                            0x41, 0,    0,    0,    0,    0,    0,    0x9c, 0x8e,
                            0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff},
                           {0, 0, 0, 0, 0, 0x40, 5, 0xf, 0xff},
                           {ATTR_ONE, 0x41, 0, 0xf, 0, 0}};
static const Mode modex = {"modex",
                           0xe3,
                           {3, 1, 0xf, 0, 6},
                           {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0d, 0x3e, 0, 0x41, 0,   0, 0, 0,
                            0,    0,    0xea, 0xac, 0xdf, 0x28, 0,    0xe7, 6, 0xe3, 0xff},
                           {0, 0, 0, 0, 0, 0x40, 5, 0xf, 0xff},
                           {ATTR_ONE, 0x41, 0, 0xf, 0, 0}};

static void set_attr(unsigned index, unsigned v)
{
    in(0x3da);
    out(0x3c0, index);
    out(0x3c0, v);
    out(0x3c0, 0x20);
}

static void set_dac(unsigned index, unsigned r, unsigned g, unsigned b)
{
    out(0x3c8, index);
    out(0x3c9, r);
    out(0x3c9, g);
    out(0x3c9, b);
}

/* 64 colours of an EGA, then a cube: every entry another colour. */
static void load_dac(void)
{
    for (unsigned i = 0; i < 64; i++) {
        set_dac(i, (i >> 2 & 1) * 42 + (i >> 5 & 1) * 21, (i >> 1 & 1) * 42 + (i >> 4 & 1) * 21,
                (i & 1) * 42 + (i >> 3 & 1) * 21);
    }
    for (unsigned i = 64; i < 256; i++) {
        set_dac(i, i / 4 % 64, i * 5 % 64, i * 11 % 64);
    }
}

static void set_mode(const Mode *m)
{
    out(0x3c2, m->misc);
    for (unsigned i = 0; i < 5; i++) {
        out_index(0x3c4, i, m->seq[i]);
    }
    out_index(0x3d4, 0x11, 0);
    for (unsigned i = 0; i < 25; i++) {
        out_index(0x3d4, i, m->crtc[i]);
    }
    for (unsigned i = 0; i < 9; i++) {
        out_index(0x3ce, i, m->gfx[i]);
    }
    for (unsigned i = 0; i < 21; i++) {
        set_attr(i, m->attr[i]);
    }
    load_dac();
}

/* ---- pictures ---- */

static uint32_t crc32(uint32_t crc, const uint8_t *p, size_t n)
{
    for (crc = ~crc; n--; p++) {
        crc ^= *p;
        for (int i = 0; i < 8; i++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        }
    }
    return ~crc;
}

static uint32_t frame_crc(const char *name)
{
    Display *d = display_first();
    const char *dir = getenv("VGA_DUMP");
    Surface *s;

    display_update(d);
    s = display_surface(d);
    if (dir) {
        char path[300];
        snprintf(path, sizeof(path), "%s/%s.png", dir, name);
        display_screendump(d, path, NULL);
    }
    return crc32(s->width << 16 | s->height, (const uint8_t *)s->pixels, s->stride * s->height * 4);
}

static uint32_t pixel(unsigned x, unsigned y)
{
    Surface *s = display_surface(display_first());

    return x < s->width && y < s->height ? s->pixels[y * s->stride + x] : 0xffffffff;
}

static uint32_t dac_rgb(unsigned i)
{
    unsigned c[3];

    out(0x3c7, i);
    for (int k = 0; k < 3; k++) {
        c[k] = in(0x3c9);
        c[k] = c[k] << 2 | c[k] >> 4;
    }
    return c[0] << 16 | c[1] << 8 | c[2];
}

/* A glyph: a frame around the bits of the character's code, so that one sees which it is. */
static unsigned glyph(unsigned c, unsigned row, unsigned height)
{
    return row == 0 || row == height - 1 ? 0x7e : row & 1 ? 0x42 : c;
}

static void load_font(unsigned map, unsigned height, unsigned invert)
{
    out_index(0x3c4, 2, 4);
    out_index(0x3c4, 4, 6);
    out_index(0x3ce, 5, 0);
    out_index(0x3ce, 6, 4);
    for (unsigned c = 0; c < 256; c++) {
        for (unsigned row = 0; row < height; row++) {
            poke(0xa0000 + map * 0x2000 + c * 32 + row, glyph(c, row, height) ^ invert);
        }
    }
    out_index(0x3c4, 2, 3);
    out_index(0x3c4, 4, 2);
    out_index(0x3ce, 5, 0x10);
    out_index(0x3ce, 6, 0x0e);
}

static void fill_text(unsigned cols, unsigned rows)
{
    for (unsigned i = 0; i < cols * rows; i++) {
        memory_write(&memory_as, 0xb8000 + i * 2, (i & 0xff) | (i * 3 / 2 & 0xff) << 8, 2);
    }
}

static void text_shows_characters(void)
{
    set_up();
    set_mode(&text80);
    load_font(0, 16, 0);
    fill_text(80, 25);
    out_index(0x3d4, 0x0f, 81); /* the cursor in the second line, second column */
    CHECK_EQ(peek(0xb8000 + 321), 0xf0);
    frame_crc("text80");
    CHECK_EQ(display_surface(display_first())->width, 720);
    CHECK_EQ(display_surface(display_first())->height, 400);
    for (unsigned y = 0; y < 400; y++) {
        for (unsigned x = 0; x < 720; x++) {
            unsigned cell = y / 16 * 80 + x / 9, c = cell & 0xff, attr = cell * 3 / 2 & 0xff,
                     dot = x % 9;
            unsigned bits = glyph(c, y % 16, 16);
            bool on = dot < 8 ? bits >> (7 - dot) & 1 : c >= 0xc0 && c < 0xe0 && (bits & 1);
            unsigned color;
            if (cell == 81 && y % 16 >= 13 && y % 16 <= 14) {
                on = true;
            }
            color = on ? attr & 15 : attr >> 4 & 7; /* blinking is on: bit 7 is no colour */
            CHECK_EQ(pixel(x, y), dac_rgb(text80.attr[color]));
        }
    }
}

static void text_blinks(void)
{
    uint32_t on, off;

    set_up();
    set_mode(&text80);
    load_font(0, 16, 0);
    memory_write(&memory_as, 0xb8000, 0x8fff, 2);
    memory_write(&memory_as, 0xb8002, 0x0fff, 2);
    out_index(0x3d4, 0x0a, 0x20);
    on = frame_crc("blink-on");
    clock_step(NS_PER_SEC * 17 / 70);
    off = frame_crc("blink-off");
    CHECK(on != off);
    CHECK_EQ(pixel(3, 0), dac_rgb(0));
    CHECK_EQ(pixel(9 + 3, 0), dac_rgb(0x3f));
    clock_step(NS_PER_SEC * 16 / 70);
    CHECK_EQ(frame_crc("blink-on"), on);
    set_attr(0x10, 0x04); /* without blinking bit 7 is a bright background */
    display_update(display_first());
    CHECK_EQ(pixel(0, 0), dac_rgb(0x38));
}

static void text_has_two_fonts(void)
{
    set_up();
    set_mode(&text80);
    load_font(0, 16, 0);
    load_font(5, 16, 0xff);    /* map 5: at 0xa000, chosen by 2 + the high bit */
    out_index(0x3c4, 3, 0x28); /* map A is 5+... for characters with attribute bit 3 */
    memory_write(&memory_as, 0xb8000, 0x0700, 2);
    memory_write(&memory_as, 0xb8002, 0x0f00, 2);
    out_index(0x3d4, 0x0a, 0x20);
    display_update(display_first());
    CHECK_EQ(pixel(0, 2), dac_rgb(0));
    CHECK_EQ(pixel(9, 2), dac_rgb(0x3f));
}

static void text_as_utf8(void)
{
    char *text;

    set_up();
    set_mode(&text80);
    memory_write(&memory_as, 0xb8000 + 160, 0x07c907ba07410720, 8);
    text = display_text(display_first());
    CHECK(text != NULL);
    CHECK(strncmp(text, "\n A\u2551\u2554\n\n", 10) == 0);
    free(text);
    set_mode(&vga13);
    CHECK(display_text(display_first()) == NULL);
}

static void fill_planes(hwaddr base, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        for (unsigned p = 0; p < 4; p++) {
            out_index(0x3c4, 2, 1u << p);
            poke(base + i, i * (p + 1) + (i >> 7) * p);
        }
    }
    out_index(0x3c4, 2, 0xf);
}

static void planar_modes_show_16_colours(void)
{
    set_up();
    set_mode(&vga12);
    fill_planes(0xa0000, 640 * 480 / 8);
    frame_crc("vga12");
    CHECK_EQ(display_surface(display_first())->height, 480);
    for (unsigned y = 0; y < 480; y += 3) {
        for (unsigned x = 0; x < 640; x++) {
            unsigned i = y * 80 + x / 8, v = 0;
            for (unsigned p = 0; p < 4; p++) {
                v |= ((i * (p + 1) + (i >> 7) * p) >> (7 - x % 8) & 1) << p;
            }
            CHECK_EQ(pixel(x, y), dac_rgb(vga12.attr[v]));
        }
    }
}

static void mode_13h_is_linear(void)
{
    set_up();
    set_mode(&vga13);
    for (unsigned i = 0; i < 64000; i += 4) {
        memory_write(&memory_as, 0xa0000 + i, i * 0x01010101u + 0x03020100u + (i >> 8), 4);
    }
    frame_crc("vga13");
    CHECK_EQ(display_surface(display_first())->width, 640);
    CHECK_EQ(display_surface(display_first())->height, 400);
    for (unsigned i = 0; i < 64000; i += 7) {
        for (unsigned k = 0; k < 4; k++) { /* each dot is two by two */
            CHECK_EQ(pixel(i % 320 * 2 + (k & 1), i / 320 * 2 + k / 2), dac_rgb(peek(0xa0000 + i)));
        }
    }
}

static void mode_x_has_four_planes(void)
{
    set_up();
    set_mode(&modex);
    for (unsigned p = 0; p < 4; p++) {
        out_index(0x3c4, 2, 1u << p);
        for (unsigned i = 0; i < 80 * 240; i++) {
            poke(0xa0000 + i, i + p * 64);
        }
    }
    frame_crc("modex");
    CHECK_EQ(display_surface(display_first())->height, 480);
    for (unsigned i = 0; i < 320 * 240; i += 13) {
        CHECK_EQ(pixel(i % 320 * 2, i / 320 * 2), dac_rgb((i / 4 + i % 4 * 64) & 0xff));
    }
}

static void cga_modes_interleave_lines(void)
{
    set_up();
    set_mode(&cga4);
    for (unsigned i = 0; i < 16384; i++) {
        poke(0xb8000 + i, i * 37 >> 3);
    }
    frame_crc("cga4");
    CHECK_EQ(display_surface(display_first())->width, 640);
    CHECK_EQ(display_surface(display_first())->height, 400);
    for (unsigned y = 0; y < 200; y++) {
        for (unsigned x = 0; x < 320; x++) {
            unsigned i = (y & 1) * 0x2000 + y / 2 * 80 + x / 4;
            CHECK_EQ(pixel(x * 2, y * 2), dac_rgb(cga4.attr[(i * 37 >> 3) >> (6 - x % 4 * 2) & 3]));
        }
    }
    set_mode(&cga6);
    for (unsigned i = 0; i < 16384; i++) {
        poke(0xb8000 + i, i * 37 >> 3);
    }
    frame_crc("cga6");
    CHECK_EQ(display_surface(display_first())->width, 640);
    for (unsigned y = 0; y < 200; y++) {
        for (unsigned x = 0; x < 640; x++) {
            unsigned i = (y & 1) * 0x2000 + y / 2 * 80 + x / 8;
            CHECK_EQ(pixel(x, y * 2 + 1), dac_rgb((i * 37 >> 3) >> (7 - x % 8) & 1 ? 0x17 : 0));
        }
    }
}

/* Frames that were looked at. */
static void frames_stay_as_they_were(void)
{
    static const struct {
        const Mode *mode;
        uint32_t crc;
    } golden[] = {
        {&text80, 0x6bcb88d9}, {&text40, 0xce974bc8}, {&text50, 0xb6e6a67e},
        {&cga4, 0xaf22897c},   {&cga6, 0x35bcd902},   {&ega0d, 0x7ad5ec13},
        {&vga12, 0x622f522e},  {&vga13, 0x36a3c6de},  {&modex, 0xd302327a},
    };

    for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
        const Mode *m = golden[i].mode;
        uint32_t crc;
        set_up();
        clock_step(NS_PER_SEC * 64 / 70 - clock_now(CLOCK_VIRTUAL) % (NS_PER_SEC * 32 / 70));
        set_mode(m);
        if (m == &text80 || m == &text40 || m == &text50) {
            load_font(0, m == &text50 ? 8 : 16, 0);
            fill_text(m == &text40 ? 40 : 80, m == &text50 ? 50 : 25);
        } else if (m == &cga4 || m == &cga6) {
            for (unsigned k = 0; k < 16384; k++) {
                poke(0xb8000 + k, k * 37 >> 3);
            }
        } else if (m == &vga13) {
            for (unsigned k = 0; k < 64000; k++) {
                poke(0xa0000 + k, k % 320 + k / 320);
            }
        } else {
            fill_planes(0xa0000, 38400);
        }
        crc = frame_crc(m->name);
        if (crc != golden[i].crc) {
            printf("# frame %s\n", m->name);
        }
        CHECK_EQ(crc, golden[i].crc);
    }
}

static void screen_splits_and_pans(void)
{
    set_up();
    set_mode(&vga12);
    for (unsigned i = 0; i < 80 * 480; i++) {
        poke(0xa0000 + i, i / 80 == 0 ? 0x80 : i / 80 == 100 ? 0xff : 0);
    }
    out_index(0x3d4, 0x0c, 80 * 99 >> 8); /* starts at line 99 */
    out_index(0x3d4, 0x0d, 80 * 99 & 0xff);
    set_attr(0x13, 1);            /* one dot to the left */
    out_index(0x3d4, 0x07, 0x2e); /* line compare 0x0c8: bit 8 off */
    out_index(0x3d4, 0x09, 0x00);
    out_index(0x3d4, 0x18, 200);
    frame_crc("split");
    CHECK_EQ(pixel(0, 0), 0);
    CHECK_EQ(pixel(0, 1), dac_rgb(0x3f));
    CHECK_EQ(pixel(639, 1), 0 + dac_rgb(0)); /* the dot panned in belongs to the next line */
    CHECK_EQ(pixel(0, 201), 0);
    CHECK_EQ(pixel(7, 201), dac_rgb(0x3f));
    set_attr(0x10, 0x21); /* panning stops at the split */
    display_update(display_first());
    CHECK_EQ(pixel(0, 1), dac_rgb(0x3f));
    CHECK_EQ(pixel(0, 201), dac_rgb(0x3f));
    CHECK_EQ(pixel(7, 201), 0);
    CHECK_EQ(pixel(8, 201), dac_rgb(0x3f));
}

static void write_modes(void)
{
    set_up();
    set_mode(&vga12);
    out_index(0x3ce, 0, 0x5); /* set/reset for planes 0 and 1 */
    out_index(0x3ce, 1, 0x3);
    out_index(0x3ce, 3, 0x02); /* rotate by 2 */
    poke(0xa0000, 0x81);
    static const unsigned mode0[4] = {0xff, 0x00, 0x60, 0x60};
    for (unsigned p = 0; p < 4; p++) {
        out_index(0x3ce, 4, p);
        CHECK_EQ(peek(0xa0000), mode0[p]);
    }
    out_index(0x3ce, 5, 1); /* mode 1: the latches just read */
    poke(0xa0010, 0x00);
    out_index(0x3ce, 5, 2); /* mode 2 with a bit mask and XOR */
    out_index(0x3ce, 3, 0x18);
    out_index(0x3ce, 8, 0xf0);
    peek(0xa0010);
    poke(0xa0010, 0x9);
    static const unsigned mode2[4] = {0x0f, 0x00, 0x60, 0x90};
    for (unsigned p = 0; p < 4; p++) {
        out_index(0x3ce, 4, p);
        CHECK_EQ(peek(0xa0010), mode2[p]);
    }
    out_index(0x3ce, 5, 3); /* mode 3: the written byte is a mask on the set/reset colour */
    out_index(0x3ce, 3, 0x00);
    out_index(0x3ce, 8, 0xff);
    poke(0xa0020, 0x3c); /* the latches hold 0f 00 60 90 */
    static const unsigned mode3[4] = {0x3f, 0x00, 0x7c, 0x80};
    for (unsigned p = 0; p < 4; p++) {
        out_index(0x3ce, 4, p);
        CHECK_EQ(peek(0xa0020), mode3[p]);
    }
    out_index(0x3ce, 5,
              8); /* read mode 1: where are the pixels of colour 5, whatever plane 3 says? */
    out_index(0x3ce, 2, 0x5);
    out_index(0x3ce, 7, 0x7);
    CHECK_EQ(peek(0xa0020), 0x3c);
    CHECK_EQ(peek(0xa0800), 0x00);
    out_index(0x3ce, 7, 0x0);
    CHECK_EQ(peek(0xa0800), 0xff);
}

static void registers_read_back(void)
{
    set_up();
    set_mode(&text80);
    CHECK_EQ(in(0x3cc), 0x67);
    out(0x3c4, 4);
    CHECK_EQ(in(0x3c4), 4);
    CHECK_EQ(in(0x3c5), 2);
    CHECK_EQ(in(0x3b4), 0xff);    /* a colour adapter does not answer at the mono ports */
    out_index(0x3d4, 0x00, 0x11); /* protected by register 11 */
    out(0x3d4, 0);
    CHECK_EQ(in(0x3d5), 0x5f);
    out_index(0x3d4, 0x07, 0xff);
    out(0x3d4, 7);
    CHECK_EQ(in(0x3d5), 0x1f);
    in(0x3da);
    out(0x3c0, 0x12);
    CHECK_EQ(in(0x3c1), 0x0f);
    out(0x3c2, 0x66); /* now mono */
    CHECK_EQ(in(0x3d4), 0xff);
    out(0x3b4, 0x0e);
    CHECK_EQ(in(0x3b4), 0x0e);
}

static void retrace_comes_by_the_clock(void)
{
    unsigned retraces = 0, last = 0;

    set_up();
    set_mode(&text80);
    for (int i = 0; i < 100000; i++) { /* 10 us each */
        unsigned now = in(0x3da) & 8;
        retraces += now && !last;
        last = now;
        clock_step(10 * NS_PER_US);
    }
    CHECK_EQ(retraces, 70);
}

/* ---- display interface ---- */

#define LFB 0xe0000000ull

static void dispi_mode(unsigned w, unsigned h, unsigned bpp)
{
    dispi(4, 0);
    dispi(1, w);
    dispi(2, h);
    dispi(3, bpp);
    dispi(4, 0x41);
    in(0x3da);
    out(0x3c0, 0x20);
}

static void linear_frame_buffer(void)
{
    set_up();
    load_dac();
    CHECK_EQ(dispi_in(0), 0xb0c5);
    CHECK_EQ(dispi_in(0xa), 256);
    dispi(4, 2);
    CHECK_EQ(dispi_in(3), 32);
    dispi(4, 0);

    dispi_mode(800, 600, 32);
    CHECK_EQ(dispi_in(6), 800);
    CHECK_EQ(dispi_in(7), (16 << 20) / 3200);
    memory_write(&memory_as, LFB + 3200 * 599 + 4 * 799, 0xff123456, 4);
    display_update(display_first());
    CHECK_EQ(pixel(799, 599), 0x123456);
    CHECK_EQ(pixel(798, 599), 0);

    dispi_mode(640, 480, 24);
    memory_write(&memory_as, LFB + 1920 + 3, 0xabcdef, 4);
    display_update(display_first());
    CHECK_EQ(pixel(1, 1), 0xabcdef);

    dispi_mode(640, 480, 16);
    memory_write(&memory_as, LFB + 2, 0xf81f07e0, 4);
    display_update(display_first());
    CHECK_EQ(pixel(1, 0), 0x00ff00);
    CHECK_EQ(pixel(2, 0), 0xff00ff);

    dispi_mode(640, 480, 15);
    memory_write(&memory_as, LFB, 0x7fff03e0, 4);
    display_update(display_first());
    CHECK_EQ(pixel(0, 0), 0x00ff00);
    CHECK_EQ(pixel(1, 0), 0xffffff);

    dispi_mode(640, 480, 8);
    memory_write(&memory_as, LFB + 640, 0x77, 1);
    display_update(display_first());
    CHECK_EQ(pixel(0, 1), dac_rgb(0x77));
    CHECK_EQ(pixel(0, 0), dac_rgb(0));
    dispi(6, 1024); /* a wider virtual screen, scrolled */
    dispi(8, 8);
    dispi(9, 3);
    memory_write(&memory_as, LFB + 3 * 1024 + 8, 0x55, 1);
    display_update(display_first());
    CHECK_EQ(pixel(0, 0), dac_rgb(0x55));

    dispi(5, 2); /* the window shows the third bank */
    out_index(0x3c4, 4, 0xe);
    out_index(0x3c4, 2, 0xf);
    out_index(0x3ce, 6, 5);
    out_index(0x3ce, 8, 0xff);
    poke(0xa0123, 0x99);
    CHECK_EQ(memory_read(&memory_as, LFB + 0x20123, 1), 0x99);
    dispi(5, 3);
    CHECK_EQ(peek(0xa0123), 0);

    dispi_mode(800, 600, 32);
    CHECK_EQ(memory_read(&memory_as, LFB, 4), 0); /* cleared */
    memory_write(&memory_as, LFB, 1, 4);
    dispi(4, 0);
    dispi(4, 0xc1);
    CHECK_EQ(memory_read(&memory_as, LFB, 4), 1); /* kept */
}

static void impossible_modes_are_refused(void)
{
    set_up();
    dispi_mode(16000, 12000, 32);
    CHECK_EQ(dispi_in(4) & 1, 0);
    dispi(3, 17);
    CHECK_EQ(dispi_in(3), 32);
    dispi_mode(1024, 768, 32);
    CHECK_EQ(dispi_in(4), 0x41);
    dispi(6, 0xffff); /* so wide that the lines would not fit */
    CHECK_EQ(dispi_in(6), 1024);
    dispi(9, 0xffff);
    CHECK(dispi_in(9) + 768u <= dispi_in(7));
    display_update(display_first());
}

static unsigned dirty_first, dirty_lines;

static void count_dirty(void *opaque, unsigned x, unsigned y, unsigned w, unsigned h)
{
    dirty_first = y;
    dirty_lines += h;
}

static void only_changes_are_drawn(void)
{
    static DisplayListener listener = {.dirty = count_dirty};

    set_up();
    dispi_mode(1024, 768, 32);
    display_update(display_first());
    display_add_listener(display_first(), &listener);
    display_update(display_first());
    dirty_lines = 0;
    memory_write(&memory_as, LFB + 4096 * 77, 0xffffff, 4);
    display_update(display_first());
    CHECK_EQ(dirty_lines, 1);
    CHECK_EQ(dirty_first, 77);
    display_update(display_first());
    CHECK_EQ(dirty_lines, 1);
    display_remove_listener(display_first(), &listener);
}

/* ---- state ---- */

static void state_is_complete(void)
{
    Buffer before = {0}, after = {0};
    Reader in_state;
    Error *err = NULL;
    uint32_t crc;

    set_up();
    set_mode(&vga12);
    fill_planes(0xa0000, 38400);
    out_index(0x3ce, 5, 1);
    peek(0xa0123); /* latches */
    out(0x3c8, 7); /* in the middle of a DAC entry */
    out(0x3c9, 33);
    in(0x3da);
    out(0x3c0, 0x32); /* and of an attribute */
    crc = frame_crc("state");
    vmstate_save_all(&before);

    /* Disturb everything; the memory is RAM and saved elsewhere. */
    uint8_t *copy = malloc(memory_ram_used());
    memcpy(copy, memory_ram_base(), memory_ram_used());
    devices_reset();
    dispi_mode(640, 480, 32);
    frame_crc("disturbed");
    memcpy(memory_ram_base(), copy, memory_ram_used());
    memory_dirty_set(0, memory_ram_used());
    free(copy);

    in_state = (Reader){before.data, before.size, 0, false};
    CHECK(vmstate_load_all(&in_state, &err));
    vmstate_save_all(&after);
    CHECK(before.size == after.size && memcmp(before.data, after.data, after.size) == 0);
    CHECK_EQ(frame_crc("state"), crc);
    poke(0xa0200, 0); /* goes on: latches, DAC, flip-flop */
    out_index(0x3ce, 5, 0);
    CHECK_EQ(peek(0xa0200), peek(0xa0123));
    out(0x3c9, 44);
    out(0x3c9, 55);
    CHECK_EQ(dac_rgb(7), 0x86b2df);
    out(0x3c0, 0x0a);
    in(0x3da);
    out(0x3c0, 0x12);
    CHECK_EQ(in(0x3c1), 0x0a);
    buffer_free(&before);
    buffer_free(&after);
}

static uint32_t rnd_state = 12345;

static uint32_t rnd(void)
{
    rnd_state ^= rnd_state << 13;
    rnd_state ^= rnd_state >> 17;
    return rnd_state ^= rnd_state << 5;
}

static void survives_a_hostile_guest(void)
{
    set_up();
    for (unsigned i = 0; i < 300000; i++) {
        unsigned r = rnd();
        switch (r & 7) {
        case 0:
        case 1:
            out(0x3c0 + (r >> 8 & 31), r >> 16);
            break;
        case 2:
            out_index(r & 8 ? 0x3d4 : 0x3ce, r >> 8 & 31, r >> 16);
            break;
        case 3:
            if (!(r >> 8 & 7)) {
                dispi(r >> 16 & 15, rnd() & (r & 8 ? 0x3ff : 0xffff));
            }
            break;
        case 4:
            memory_write(&memory_as, 0xa0000 + (r >> 8 & 0x1ffff), r, 1u << (r >> 4 & 3));
            break;
        case 5:
            memory_read(&memory_as, 0xa0000 + (r >> 8 & 0x1ffff), 1u << (r >> 4 & 3));
            break;
        case 6:
            in(0x3b0 + (r >> 8 & 0x3f));
            break;
        default:
            if (!(r >> 8 & 0xff)) {
                free(display_text(display_first()));
                display_update(display_first());
            }
        }
    }
    CHECK(display_surface(display_first())->pixels != NULL);
}

TESTS(TEST(text_shows_characters), TEST(text_blinks), TEST(text_has_two_fonts), TEST(text_as_utf8),
      TEST(planar_modes_show_16_colours), TEST(mode_13h_is_linear), TEST(mode_x_has_four_planes),
      TEST(cga_modes_interleave_lines), TEST(frames_stay_as_they_were),
      TEST(screen_splits_and_pans), TEST(write_modes), TEST(registers_read_back),
      TEST(retrace_comes_by_the_clock), TEST(linear_frame_buffer),
      TEST(impossible_modes_are_refused), TEST(only_changes_are_drawn), TEST(state_is_complete),
      TEST(survives_a_hostile_guest))
