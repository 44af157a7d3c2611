/*
 * What ui/ brings as character devices: text consoles with keyboard and picture, a serial mouse.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <linux/input-event-codes.h>
#include <stdlib.h>
#include <unistd.h>

#include "char/char.h"
#include "config.h"
#include "tests/unit/test.h"
#include "ui/display.h"
#include "ui/msmouse.h"
#include "ui/vc.h"
#include "util/loop.h"

typedef struct FrontEnd {
    uint8_t got[256];
    size_t used, room;
} FrontEnd;

static size_t can_receive(void *opaque)
{
    FrontEnd *fe = opaque;

    return fe->room - fe->used;
}

static void receive(void *opaque, const uint8_t *data, size_t size)
{
    FrontEnd *fe = opaque;

    memcpy(fe->got + fe->used, data, size);
    fe->used += size;
}

static const CharHandlers handlers = {
    .can_receive = can_receive, .receive = receive, .any_thread = true};

static void set_up(void)
{
    static bool once;
    uint8_t font[256 * VC_FONT_HEIGHT];

    if (!once) {
        once = true;
        machine_lock();
        loop_init();
        for (size_t i = 0; i < sizeof(font); i++) {
            font[i] = (uint8_t)(i / VC_FONT_HEIGHT); /* each line of a character shows its code */
        }
        vc_register();
        vc_set_font(font);
        msmouse_register();
    }
}

/* The bits of a character's first line in the picture. */
static uint8_t shown(Display *d, unsigned col, unsigned row, uint32_t background)
{
    const Surface *s = display_surface(d);
    const uint32_t *at = s->pixels + (size_t)row * VC_FONT_HEIGHT * s->stride + col * 8;
    uint8_t bits = 0;

    for (unsigned x = 0; x < 8; x++) {
        bits = (uint8_t)(bits << 1 | (at[x] != background));
    }
    return bits;
}

static void console_shows_what_is_written(void)
{
    CharBackend *chr;
    Display *d;
    char *text;

    set_up();
    chr = chr_open("vc0", "vc:20Cx5C", NULL);
    CHECK(chr != NULL);
    d = display_find("vc0");
    CHECK(d && d == display_first() && d == display_find("0"));
    chr_printf(chr, "one\r\ntwo \xe2\x94\x80\033[31;1mred\033[0m\033[5;3Hend");
    text = display_text(d);
    CHECK_STR(text, "one\ntwo \xe2\x94\x80red\n\n\n  end\n");
    free(text);
    display_update(d);
    CHECK_EQ(display_surface(d)->width, 160);
    CHECK_EQ(display_surface(d)->height, 80);
    CHECK_EQ(shown(d, 0, 0, 0), 'o');
    CHECK_EQ(shown(d, 4, 1, 0), 0xc4); /* a box's line */
    CHECK_EQ(shown(d, 4, 4, 0), 'd');
    /* It scrolls. */
    chr_printf(chr, "\r\nmore");
    display_update(d);
    CHECK_EQ(shown(d, 0, 0, 0), 't');
    CHECK_EQ(shown(d, 0, 4, 0), 'm');
    chr_close(chr);
    CHECK(!display_first());
}

static void type(const char *keys)
{
    for (; *keys; keys++) {
        char name[2] = {*keys, 0};
        input_key(*keys == '\n' ? KEY_ENTER : input_key_by_name(name), true);
        input_key(*keys == '\n' ? KEY_ENTER : input_key_by_name(name), false);
    }
}

static unsigned machine_keys;

static void machine_key(void *opaque, unsigned key, bool down)
{
    machine_keys++;
}

static bool no_text(void *opaque, unsigned *cols, unsigned *rows, uint16_t **cells)
{
    return false;
}

static void nothing(void *opaque)
{
}

static void keys_go_to_the_selected_screen(void)
{
    static const DisplayAdapter adapter = {nothing, nothing, no_text, NULL};
    FrontEnd fe = {.room = 3};
    CharBackend *chr;
    Display *screen;

    set_up();
    input_set_keyboard(machine_key, NULL);
    chr = chr_open("vc1", "vc", NULL);
    CHECK(chr && chr_attach(chr, &handlers, &fe, NULL));
    screen = display_new(&adapter, NULL);
    CHECK(display_first() == screen); /* the machine's before consoles, whichever was first */
    type("a");
    CHECK_EQ(machine_keys, 2);
    display_select(display_find("vc1"));
    type("help\n");
    input_key(KEY_LEFTSHIFT, true);
    type("x");
    input_key(KEY_LEFTSHIFT, false);
    input_key(KEY_LEFTCTRL, true);
    type("c");
    input_key(KEY_LEFTCTRL, false);
    input_key(KEY_UP, true);
    loop_run_once(0);
    CHECK_EQ(machine_keys, 2);
    CHECK_EQ(fe.used, 3);
    fe.room = 100;
    chr_accept_input(chr);
    loop_run_once(0);
    CHECK_STR((char *)fe.got, "help\rX\3\033[A");
    /* Questions to the terminal are answered. */
    fe.used = 0;
    chr_printf(chr, "\033[3;4H\033[6n");
    loop_run_once(0);
    CHECK_EQ(fe.used, 6);
    CHECK(memcmp(fe.got, "\033[3;4R", 6) == 0);
    display_select(NULL);
    chr_close(chr);
    display_free(screen);
    input_set_keyboard(NULL, NULL);
}

static void console_survives_any_output(void)
{
    static uint8_t noise[4096];
    uint32_t seed = 1;
    CharBackend *chr;

    set_up();
    chr = chr_open("vc2", "vc:80x32", NULL); /* 10 by 2 characters */
    CHECK(chr != NULL);
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < sizeof(noise); i++) {
            static const char often[] = "\033[;0123456789ABCDHJKLMPSTXmhlrnu?$\x9b\r\n";
            seed = seed * 1103515245 + 12345;
            noise[i] = seed >> 30 ? (uint8_t)often[(seed >> 8) % (sizeof(often) - 1)]
                                  : (uint8_t)(seed >> 16);
        }
        CHECK_EQ(chr_write(chr, noise, sizeof(noise)), sizeof(noise));
        display_update(display_find("vc2"));
        free(display_text(display_find("vc2")));
        loop_run_once(0);
    }
    chr_close(chr);
}

static void sizes_are_checked(void)
{
    static const char *const bad[] = {"vc:80", "vc:80Cx", "vc:1x1", "vc:80Cx24", "vc:-5x9"};

    set_up();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        Error *err = NULL;
        CHECK(!chr_open("bad", bad[i], &err));
        CHECK(err);
        error_free(err);
    }
}

static void serial_mouse_reports(void)
{
    FrontEnd fe = {.room = 100};
    CharBackend *chr;

    set_up();
    chr = chr_open("m", "msmouse", NULL);
    CHECK(chr && chr_attach(chr, &handlers, &fe, NULL));
    input_mouse(5, 5, 0, 1); /* without power it is deaf */
    CHECK_EQ(fe.used, 0);
    chr_set_modem(chr, true, true);
    CHECK_EQ(fe.used, 2);
    CHECK(memcmp(fe.got, "M3", 2) == 0);
    fe.used = 0;
    input_mouse(3, -2, 0, 1);
    CHECK_EQ(fe.used, 3);
    CHECK(memcmp(fe.got, "\x6c\x03\x3e", 3) == 0); /* sync, left, y's high bits; 3; -2 */
    fe.used = 0;
    input_mouse(0, 0, 0, 4); /* the middle one down and up */
    input_mouse(0, 0, 0, 0);
    CHECK_EQ(fe.used, 8);
    CHECK(memcmp(fe.got, "\x40\0\0\x20\x40\0\0\0", 8) == 0);
    /* A slow guest: movements are added up, and large ones come in several reports. */
    fe.used = fe.room = 0;
    for (int i = 0; i < 100; i++) {
        input_mouse(2, 1, 0, 0);
    }
    fe.room = 100;
    chr_accept_input(chr);
    int dx = 0, dy = 0;
    CHECK_EQ(fe.used % 3, 0);
    for (size_t i = 0; i < fe.used; i += 3) {
        dx += (int8_t)((fe.got[i] & 3) << 6 | fe.got[i + 1]);
        dy += (int8_t)((fe.got[i] & 0xc) << 4 | fe.got[i + 2]);
    }
    CHECK(dx == 200 && dy == 100);
    chr_close(chr);
}

#ifdef CONFIG_VTERM
TESTS(TEST(console_shows_what_is_written), TEST(keys_go_to_the_selected_screen),
      TEST(console_survives_any_output), TEST(sizes_are_checked), TEST(serial_mouse_reports))
#else
TESTS(TEST(serial_mouse_reports))
#endif
