/*
 * 8042 with keyboard and mouse: controller commands, translation, scan code sets, typematic repeat,
 * mouse protocols, interrupts, A20, and saved state with everything half-way.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/i8042.h"

#include <linux/input-event-codes.h>

#include "hw/a20.h"
#include "hw/port92.h"
#include "tests/unit/hw/board.h"
#include "ui/display.h"

#define KBD_IRQ 1
#define AUX_IRQ 12

#define OBF  0x01
#define AUX  0x20
#define NONE 0x100 /* what get() says when there is nothing */

#define MODE_XLATE 0x47 /* as a BIOS leaves it: translation, both interrupts */
#define MODE_RAW   0x07

static Device *kbc;

static void command(uint8_t value)
{
    out8(0x64, value);
}

static void command_data(uint8_t value, uint8_t data)
{
    out8(0x64, value);
    out8(0x60, data);
}

static void set_up(uint8_t mode)
{
    if (!kbc) {
        board_set_up();
        a20_create();
        port92_create();
        kbc = i8042_create(&board_lines[KBD_IRQ], &board_lines[AUX_IRQ]);
    }
    devices_reset();
    in8(0x60);
    command_data(0x60, mode);
    board_clear_rises();
}

/* The next byte of the keyboard's side, or of the mouse's. */
static unsigned get(void)
{
    return (in8(0x64) & (OBF | AUX)) == OBF ? in8(0x60) : NONE;
}

static unsigned get_aux(void)
{
    return (in8(0x64) & (OBF | AUX)) == (OBF | AUX) ? in8(0x60) : NONE;
}

/* Takes bytes until there are no more, and compares. */
static bool got(const char *what, const uint8_t *want, unsigned n)
{
    for (unsigned i = 0; i <= n; i++) {
        unsigned v = in8(0x64) & OBF ? in8(0x60) : NONE;
        if (v != (i < n ? want[i] : NONE)) {
            printf("# %s: byte %u is 0x%x\n", what, i, v);
            return false;
        }
    }
    return true;
}

#define GOT(what, ...)                                                                             \
    got(what, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void type(unsigned key)
{
    input_key(key, true);
    input_key(key, false);
}

static void mouse_command(uint8_t value)
{
    command_data(0xd4, value);
}

static void controller_commands(void)
{
    set_up(MODE_XLATE);
    CHECK_EQ(in8(0x64), 0x14); /* unlocked, self test passed, the last byte written was data */
    out8(0x60, 0xee);
    CHECK_EQ(get(), 0xee);
    CHECK_EQ(in8(0x64) & 0x08, 0);
    command(0x20);
    CHECK_EQ(in8(0x64) & 0x08, 0x08);
    CHECK_EQ(get(), MODE_XLATE);
    command_data(0x6a, 0x5a); /* a byte of its RAM */
    command(0x2a);
    CHECK_EQ(get(), 0x5a);
    command(0xaa);
    CHECK_EQ(get(), 0x55);
    CHECK(in8(0x64) & 0x04);
    command(0xab);
    CHECK_EQ(get(), 0x00);
    command(0xa9);
    CHECK_EQ(get(), 0x00);
    command(0xa4);
    CHECK_EQ(get(), 0xf1);
    command(0xc0);
    CHECK_EQ(get(), 0x80);
    command(0xad);
    command(0x20);
    CHECK_EQ(get(), MODE_XLATE | 0x10);
    command(0xae);
    command(0xa7);
    command(0x20);
    CHECK_EQ(get(), MODE_XLATE | 0x20);
    command(0xa8);
    command_data(0xd2, 0x42);
    CHECK_EQ(get(), 0x42);
    command_data(0xd3, 0x43);
    CHECK_EQ(get_aux(), 0x43);
    CHECK_EQ(get(), NONE);
}

static void translates(void)
{
    set_up(MODE_XLATE);
    input_key(KEY_A, true);
    CHECK(board_level[KBD_IRQ]);
    CHECK(GOT("a", 0x1e));
    CHECK(!board_level[KBD_IRQ]);
    input_key(KEY_A, false);
    CHECK(GOT("a up", 0x9e));
    type(KEY_F7);
    CHECK(GOT("F7", 0x41, 0xc1));
    type(KEY_RIGHT);
    CHECK(GOT("right", 0xe0, 0x4d, 0xe0, 0xcd));
    type(KEY_SYSRQ);
    CHECK(GOT("print", 0xe0, 0x2a, 0xe0, 0x37, 0xe0, 0xb7, 0xe0, 0xaa));
    type(KEY_PAUSE);
    CHECK(GOT("pause", 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5));
    input_key(KEY_LEFTALT, true);
    type(KEY_SYSRQ);
    input_key(KEY_LEFTALT, false);
    CHECK(GOT("sysrq", 0x38, 0x54, 0xd4, 0xb8));
    CHECK_EQ(board_rises[KBD_IRQ], 2 + 2 + 4 + 8 + 6 + 4); /* an edge a byte */
}

/* Every key that set 1 has without prefix comes out of the translation as itself. */
static void translation_undoes_set_2(void)
{
    set_up(MODE_XLATE);
    for (unsigned key = KEY_ESC; key <= KEY_F12; key++) {
        if (key != 84 && key != 85) {
            type(key);
            CHECK_EQ(get(), key);
            CHECK_EQ(get(), key | 0x80);
        }
    }
}

static void raw_sets(void)
{
    set_up(MODE_RAW);
    type(KEY_A);
    CHECK(GOT("set 2", 0x1c, 0xf0, 0x1c));
    type(KEY_PAUSE);
    CHECK(GOT("pause", 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77));
    out8(0x60, 0xf0);
    CHECK_EQ(get(), 0xfa);
    out8(0x60, 1);
    CHECK_EQ(get(), 0xfa);
    type(KEY_UP);
    CHECK(GOT("set 1", 0xe0, 0x48, 0xe0, 0xc8));
    out8(0x60, 0xf0);
    out8(0x60, 3);
    CHECK(GOT("ack", 0xfa, 0xfa));
    type(KEY_A);
    type(KEY_LEFTSHIFT);
    CHECK(GOT("set 3", 0x1c, 0x12, 0xf0, 0x12));
    out8(0x60, 0xfa); /* all keys: everything */
    CHECK_EQ(get(), 0xfa);
    type(KEY_UP);
    CHECK(GOT("set 3", 0x63, 0xf0, 0x63));
    out8(0x60, 0xfd); /* single keys: make only */
    out8(0x60, 0x63);
    CHECK(GOT("ack", 0xfa, 0xfa));
    out8(0x60, 0xf0);
    out8(0x60, 0);
    CHECK(GOT("which set", 0xfa, 0xfa, 3));
    type(KEY_UP);
    CHECK(GOT("set 3", 0x63));
    out8(0x60, 0xf0);
    out8(0x60, 9);
    CHECK(GOT("no such set", 0xfa, 0xfe));
}

static void keyboard_commands(void)
{
    set_up(MODE_RAW);
    out8(0x60, 0xff);
    CHECK(GOT("reset", 0xfa, 0xaa));
    out8(0x60, 0xf2);
    CHECK(GOT("identify", 0xfa, 0xab, 0x83));
    out8(0x60, 0xed);
    out8(0x60, 0x07);
    CHECK(GOT("lights", 0xfa, 0xfa));
    out8(0x60, 0xf5);
    CHECK(GOT("disable", 0xfa));
    type(KEY_A);
    CHECK_EQ(get(), NONE);
    out8(0x60, 0xf4);
    CHECK(GOT("enable", 0xfa));
    type(KEY_A);
    CHECK_EQ(get(), 0x1c);
    out8(0x60, 0xfe);
    CHECK_EQ(get(), 0xf0); /* was already in the output buffer */
    CHECK_EQ(get(), 0xf0); /* once more */
    CHECK_EQ(get(), 0x1c);
    out8(0x60, 0xee);
    CHECK(GOT("echo", 0xee));
    out8(0x60, 0xe0);
    CHECK(GOT("unknown", 0xfe));
    out8(0x60, 0xed);
    out8(0x60, 0xf4); /* a command in place of the parameter */
    CHECK(GOT("instead", 0xfa, 0xfa));
}

static void repeats_keys(void)
{
    unsigned count = 0;

    set_up(MODE_XLATE);
    out8(0x60, 0xf3);
    out8(0x60, 0x00); /* 250 ms, then 30 a second */
    CHECK(GOT("rate", 0xfa, 0xfa));
    input_key(KEY_B, true);
    input_key(KEY_B, true); /* the host's own repeat does not count */
    CHECK(GOT("b", 0x30));
    clock_step(249 * NS_PER_MS);
    CHECK_EQ(get(), NONE);
    for (unsigned ms = 0; ms < 1000; ms++) {
        clock_step(NS_PER_MS);
        unsigned v = get();
        CHECK(v == 0x30 || v == NONE);
        count += v == 0x30;
    }
    CHECK(count >= 29 && count <= 31);
    input_key(KEY_B, false);
    CHECK(GOT("b up", 0xb0));
    clock_step(NS_PER_SEC);
    CHECK_EQ(get(), NONE);
    /* A key that is held while nobody reads does not fill the queue. */
    input_key(KEY_B, true);
    clock_step(20 * NS_PER_SEC);
    input_key(KEY_B, false);
    type(KEY_C);
    unsigned v, last = NONE, n = 0;
    while ((v = get()) != NONE) {
        last = v;
        n++;
    }
    CHECK_EQ(last, 0xae);
    CHECK(n < 25);
}

static void overruns(void)
{
    unsigned v, n = 0, overrun = 0;

    set_up(MODE_RAW);
    for (unsigned i = 0; i < 40; i++) {
        type(KEY_A);
    }
    while ((v = get()) != NONE) {
        n++;
        overrun += v == 0x00;
    }
    CHECK_EQ(overrun, 1);
    CHECK_EQ(v, NONE);
    CHECK(n <= 33);
    type(KEY_A);
    CHECK(GOT("afterwards", 0x1c, 0xf0, 0x1c));
}

static void replies_go_before_keys(void)
{
    set_up(MODE_RAW);
    type(KEY_A);
    type(KEY_C);
    out8(0x60, 0xf2);
    CHECK_EQ(get(), 0x1c); /* it was in the output buffer */
    CHECK(GOT("identify", 0xfa, 0xab, 0x83, 0xf0, 0x1c, 0x21, 0xf0, 0x21));
}

static void a_disabled_port_waits(void)
{
    set_up(MODE_XLATE);
    command(0xad);
    type(KEY_A);
    CHECK_EQ(get(), NONE);
    command(0xaa); /* the controller itself may speak */
    CHECK_EQ(get(), 0x55);
    command(0xae);
    CHECK(GOT("a", 0x1e, 0x9e));
}

static void mouse_packets(void)
{
    set_up(MODE_XLATE);
    mouse_command(0xff);
    CHECK(board_level[AUX_IRQ]);
    CHECK_EQ(get_aux(), 0xfa);
    CHECK_EQ(get_aux(), 0xaa);
    CHECK_EQ(get_aux(), 0x00);
    CHECK_EQ(get_aux(), NONE);
    input_mouse(1, 1, 0, 0);
    CHECK_EQ(get_aux(), NONE); /* not enabled */
    mouse_command(0xf4);
    CHECK(GOT("enable", 0xfa));
    input_mouse(5, -3, 0, 1);
    CHECK(GOT("packet", 0x09, 5, 3)); /* up is positive on the wire */
    input_mouse(-2, 4, 1, 0);         /* goes out at once */
    input_mouse(-300, 0, 0, 4);
    input_mouse(-10, 300, 0, 4);
    CHECK(GOT("sums", 0x38, 0xfe, 0xfc, 0x3c, 0x01, 0x01, 0x3c, 0xc9, 0xd3));
    CHECK_EQ(board_rises[KBD_IRQ], 0);
}

static void mouse_commands(void)
{
    set_up(MODE_XLATE);
    mouse_command(0xe8);
    mouse_command(3);
    mouse_command(0xf3);
    mouse_command(60);
    mouse_command(0xe7);
    CHECK(GOT("acks", 0xfa, 0xfa, 0xfa, 0xfa, 0xfa));
    mouse_command(0xf4);
    input_mouse(0, 0, 0, 2);
    CHECK(GOT("button", 0xfa, 0x0a, 0, 0));
    mouse_command(0xe9);
    CHECK(GOT("status", 0xfa, 0x31, 3, 60));
    input_mouse(6, 0, 0, 0);
    CHECK(GOT("scaled", 0x08, 12, 0));
    mouse_command(0xf0); /* remote mode: only when asked */
    CHECK(GOT("remote", 0xfa));
    input_mouse(6, 0, 0, 0);
    CHECK_EQ(get_aux(), NONE);
    mouse_command(0xeb);
    CHECK(GOT("read", 0xfa, 0x08, 6, 0));
    mouse_command(0xee);
    mouse_command(0x42);
    mouse_command(0xec);
    CHECK(GOT("wrap", 0xfa, 0x42, 0xfa));
    mouse_command(0x42);
    CHECK(GOT("unknown", 0xfe));
}

static void set_rates(uint8_t a, uint8_t b, uint8_t c)
{
    const uint8_t rates[3] = {a, b, c};

    for (unsigned i = 0; i < 3; i++) {
        mouse_command(0xf3);
        mouse_command(rates[i]);
        in8(0x60);
        in8(0x60);
    }
}

static void wheel_and_buttons(void)
{
    set_up(MODE_XLATE);
    mouse_command(0xf2);
    CHECK(GOT("id", 0xfa, 0));
    set_rates(200, 100, 80);
    mouse_command(0xf2);
    CHECK(GOT("id", 0xfa, 3));
    mouse_command(0xf4);
    CHECK(GOT("enable", 0xfa));
    input_mouse(0, 0, -1, 0);
    CHECK(GOT("wheel", 0x08, 0, 0, 0xff));
    set_rates(200, 200, 80);
    mouse_command(0xf2);
    CHECK(GOT("id", 0xfa, 4));
    input_mouse(0, 0, 2, 0x18);
    CHECK(GOT("buttons", 0x08, 0, 0, 0x32));
}

static void switches_a20(void)
{
    set_up(MODE_XLATE);
    CHECK(a20_enabled());
    command(0xdd);
    CHECK(!a20_enabled());
    CHECK_EQ(in8(0x92) & 2, 0);
    command(0xd0);
    CHECK_EQ(get() & 3, 1);
    out8(0x92, 2);
    CHECK(a20_enabled());
    command_data(0xd1, 0xdd);
    CHECK(!a20_enabled());
    command(0xdf);
    CHECK(a20_enabled());
    command(0xdd);
    devices_reset();
    CHECK(a20_enabled());
}

static void disturb(void)
{
    command(0xae);
    command_data(0x60, 0x00);
    command_data(0x65, 0x77);
    command(0xdd);
    out8(0x60, 0xff);
    mouse_command(0xff);
    while (in8(0x64) & OBF) {
        in8(0x60);
    }
    type(KEY_Z);
    input_mouse(9, 9, 9, 0x1f);
    clock_step(NS_PER_SEC);
}

/* Three devices are saved as the machine does it: the controller first. */
static void goes_on_after_load(void)
{
    Device *dev[4] = {kbc, device_find("keyboard"), device_find("mouse"), device_find("a20")};
    Buffer saved[4] = {{0}};

    set_up(MODE_RAW);
    set_rates(200, 100, 80);
    set_rates(200, 200, 80);
    mouse_command(0xf4);
    CHECK(GOT("enable", 0xfa));
    input_mouse(400, 0, 0, 0x08);
    CHECK_EQ(get_aux(), 0x08); /* in the middle of a packet, with more to follow */
    input_key(KEY_A, true);
    out8(0x60, 0xf0); /* a parameter is due */
    command(0xad);

    for (unsigned i = 0; i < 4; i++) {
        board_save(dev[i], &saved[i]);
    }
    disturb();
    for (unsigned i = 0; i < 4; i++) {
        CHECK(!board_same_state(dev[i], &saved[i]));
    }
    for (unsigned i = 0; i < 4; i++) {
        CHECK(board_load(dev[i], &saved[i]));
    }
    for (unsigned i = 0; i < 4; i++) {
        CHECK(board_same_state(dev[i], &saved[i]));
        buffer_free(&saved[i]);
    }

    CHECK(a20_enabled());
    CHECK(GOT("rest of the mouse", 0xff, 0, 0x10, 0x08, 0x91, 0, 0x10));
    command(0xae);
    CHECK(GOT("keyboard", 0xfa, 0x1c));
    command(0xad);
    out8(0x60, 1); /* the parameter: set 1 */
    CHECK(GOT("ack", 0xfa));
    input_key(KEY_A, false);
    CHECK(GOT("a up", 0x9e));
}

TESTS(TEST(controller_commands), TEST(translates), TEST(translation_undoes_set_2), TEST(raw_sets),
      TEST(keyboard_commands), TEST(repeats_keys), TEST(overruns), TEST(replies_go_before_keys),
      TEST(a_disabled_port_waits), TEST(mouse_packets), TEST(mouse_commands),
      TEST(wheel_and_buttons), TEST(switches_a20), TEST(goes_on_after_load))
