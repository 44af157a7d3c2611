/*
 * PS/2 keyboard with 101 to 109 keys: scan code sets 1, 2 and 3, typematic repeat, lights.
 *
 * IBM PS/2 hardware interface technical reference, "Keyboards (101- and 102-key)"; codes of the
 * multimedia keys as in the USB HID to PS/2 translation table. Not modelled: the shifts that a real
 * keyboard fakes around the cursor keys when Num Lock is on.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/ps2.h"

#include <linux/input-event-codes.h>
#include <string.h>

#include "ui/display.h"
#include "util/loop.h"

#define CMD_SET_LEDS       0xed
#define CMD_SCAN_CODE_SET  0xf0
#define CMD_ALL_TYPEMATIC  0xf7 /* set 3: types of all keys ... */
#define CMD_ALL_MAKE_BREAK 0xf8
#define CMD_ALL_MAKE       0xf9
#define CMD_ALL_FULL       0xfa
#define CMD_KEY_TYPEMATIC  0xfb /* ... and of single keys */
#define CMD_KEY_MAKE_BREAK 0xfc
#define CMD_KEY_MAKE       0xfd

#define CODE_BREAK   0xf0 /* sets 2 and 3: the next byte is a key that was released */
#define CODE_EXT     0xe0
#define CODE_PAUSE   0xe1
#define SET1_BREAK   0x80
#define OVERRUN_SET1 0xff
#define OVERRUN      0x00

/* A key of set 3 makes codes: */
#define TYPE_BREAK  0x01 /* when it is released */
#define TYPE_REPEAT 0x02 /* again and again while it is held */

/* Room for the longest sequence and an overrun code behind it. */
#define LONGEST_SEQUENCE 9

#define DEFAULT_RATE 0x2b /* 500 ms, then 10.9 a second */

#define KEYS 256

/* Codes of a key: set 1 with the prefix in the high byte, and set 3. 0: the key is not on this
 * keyboard. */
typedef struct KeyCodes {
    uint16_t set1;
    uint8_t set3;
} KeyCodes;

#define EXT(code) (CODE_EXT << 8 | (code))

static const KeyCodes key_codes[KEYS] = {
    [KEY_ESC] = {0x01, 0x08},
    [KEY_1] = {0x02, 0x16},
    [KEY_2] = {0x03, 0x1e},
    [KEY_3] = {0x04, 0x26},
    [KEY_4] = {0x05, 0x25},
    [KEY_5] = {0x06, 0x2e},
    [KEY_6] = {0x07, 0x36},
    [KEY_7] = {0x08, 0x3d},
    [KEY_8] = {0x09, 0x3e},
    [KEY_9] = {0x0a, 0x46},
    [KEY_0] = {0x0b, 0x45},
    [KEY_MINUS] = {0x0c, 0x4e},
    [KEY_EQUAL] = {0x0d, 0x55},
    [KEY_BACKSPACE] = {0x0e, 0x66},
    [KEY_TAB] = {0x0f, 0x0d},
    [KEY_Q] = {0x10, 0x15},
    [KEY_W] = {0x11, 0x1d},
    [KEY_E] = {0x12, 0x24},
    [KEY_R] = {0x13, 0x2d},
    [KEY_T] = {0x14, 0x2c},
    [KEY_Y] = {0x15, 0x35},
    [KEY_U] = {0x16, 0x3c},
    [KEY_I] = {0x17, 0x43},
    [KEY_O] = {0x18, 0x44},
    [KEY_P] = {0x19, 0x4d},
    [KEY_LEFTBRACE] = {0x1a, 0x54},
    [KEY_RIGHTBRACE] = {0x1b, 0x5b},
    [KEY_ENTER] = {0x1c, 0x5a},
    [KEY_LEFTCTRL] = {0x1d, 0x11},
    [KEY_A] = {0x1e, 0x1c},
    [KEY_S] = {0x1f, 0x1b},
    [KEY_D] = {0x20, 0x23},
    [KEY_F] = {0x21, 0x2b},
    [KEY_G] = {0x22, 0x34},
    [KEY_H] = {0x23, 0x33},
    [KEY_J] = {0x24, 0x3b},
    [KEY_K] = {0x25, 0x42},
    [KEY_L] = {0x26, 0x4b},
    [KEY_SEMICOLON] = {0x27, 0x4c},
    [KEY_APOSTROPHE] = {0x28, 0x52},
    [KEY_GRAVE] = {0x29, 0x0e},
    [KEY_LEFTSHIFT] = {0x2a, 0x12},
    [KEY_BACKSLASH] = {0x2b, 0x5c},
    [KEY_Z] = {0x2c, 0x1a},
    [KEY_X] = {0x2d, 0x22},
    [KEY_C] = {0x2e, 0x21},
    [KEY_V] = {0x2f, 0x2a},
    [KEY_B] = {0x30, 0x32},
    [KEY_N] = {0x31, 0x31},
    [KEY_M] = {0x32, 0x3a},
    [KEY_COMMA] = {0x33, 0x41},
    [KEY_DOT] = {0x34, 0x49},
    [KEY_SLASH] = {0x35, 0x4a},
    [KEY_RIGHTSHIFT] = {0x36, 0x59},
    [KEY_KPASTERISK] = {0x37, 0x7e},
    [KEY_LEFTALT] = {0x38, 0x19},
    [KEY_SPACE] = {0x39, 0x29},
    [KEY_CAPSLOCK] = {0x3a, 0x14},
    [KEY_F1] = {0x3b, 0x07},
    [KEY_F2] = {0x3c, 0x0f},
    [KEY_F3] = {0x3d, 0x17},
    [KEY_F4] = {0x3e, 0x1f},
    [KEY_F5] = {0x3f, 0x27},
    [KEY_F6] = {0x40, 0x2f},
    [KEY_F7] = {0x41, 0x37},
    [KEY_F8] = {0x42, 0x3f},
    [KEY_F9] = {0x43, 0x47},
    [KEY_F10] = {0x44, 0x4f},
    [KEY_NUMLOCK] = {0x45, 0x76},
    [KEY_SCROLLLOCK] = {0x46, 0x5f},
    [KEY_KP7] = {0x47, 0x6c},
    [KEY_KP8] = {0x48, 0x75},
    [KEY_KP9] = {0x49, 0x7d},
    [KEY_KPMINUS] = {0x4a, 0x84},
    [KEY_KP4] = {0x4b, 0x6b},
    [KEY_KP5] = {0x4c, 0x73},
    [KEY_KP6] = {0x4d, 0x74},
    [KEY_KPPLUS] = {0x4e, 0x7c},
    [KEY_KP1] = {0x4f, 0x69},
    [KEY_KP2] = {0x50, 0x72},
    [KEY_KP3] = {0x51, 0x7a},
    [KEY_KP0] = {0x52, 0x70},
    [KEY_KPDOT] = {0x53, 0x71},
    [KEY_102ND] = {0x56, 0x13},
    [KEY_F11] = {0x57, 0x56},
    [KEY_F12] = {0x58, 0x5e},
    [KEY_KPEQUAL] = {0x59, 0},
    [KEY_KATAKANAHIRAGANA] = {0x70, 0x87},
    [KEY_RO] = {0x73, 0x51},
    [KEY_ZENKAKUHANKAKU] = {0x76, 0},
    [KEY_HIRAGANA] = {0x77, 0},
    [KEY_KATAKANA] = {0x78, 0},
    [KEY_HENKAN] = {0x79, 0x86},
    [KEY_MUHENKAN] = {0x7b, 0x85},
    [KEY_YEN] = {0x7d, 0x5d},
    [KEY_KPCOMMA] = {0x7e, 0x7b},
    [KEY_KPENTER] = {EXT(0x1c), 0x79},
    [KEY_RIGHTCTRL] = {EXT(0x1d), 0x58},
    [KEY_KPSLASH] = {EXT(0x35), 0x77},
    [KEY_SYSRQ] = {EXT(0x37), 0x57},
    [KEY_RIGHTALT] = {EXT(0x38), 0x39},
    [KEY_HOME] = {EXT(0x47), 0x6e},
    [KEY_UP] = {EXT(0x48), 0x63},
    [KEY_PAGEUP] = {EXT(0x49), 0x6f},
    [KEY_LEFT] = {EXT(0x4b), 0x61},
    [KEY_RIGHT] = {EXT(0x4d), 0x6a},
    [KEY_END] = {EXT(0x4f), 0x65},
    [KEY_DOWN] = {EXT(0x50), 0x60},
    [KEY_PAGEDOWN] = {EXT(0x51), 0x6d},
    [KEY_INSERT] = {EXT(0x52), 0x67},
    [KEY_DELETE] = {EXT(0x53), 0x64},
    [KEY_LEFTMETA] = {EXT(0x5b), 0x8b},
    [KEY_RIGHTMETA] = {EXT(0x5c), 0x8c},
    [KEY_COMPOSE] = {EXT(0x5d), 0x8d},
    [KEY_PREVIOUSSONG] = {EXT(0x10), 0},
    [KEY_NEXTSONG] = {EXT(0x19), 0},
    [KEY_MUTE] = {EXT(0x20), 0},
    [KEY_CALC] = {EXT(0x21), 0},
    [KEY_PLAYPAUSE] = {EXT(0x22), 0},
    [KEY_STOPCD] = {EXT(0x24), 0},
    [KEY_VOLUMEDOWN] = {EXT(0x2e), 0},
    [KEY_VOLUMEUP] = {EXT(0x30), 0},
    [KEY_HOMEPAGE] = {EXT(0x32), 0},
    [KEY_POWER] = {EXT(0x5e), 0},
    [KEY_SLEEP] = {EXT(0x5f), 0},
    [KEY_WAKEUP] = {EXT(0x63), 0},
    [KEY_SEARCH] = {EXT(0x65), 0},
    [KEY_BOOKMARKS] = {EXT(0x66), 0},
    [KEY_REFRESH] = {EXT(0x67), 0},
    [KEY_STOP] = {EXT(0x68), 0},
    [KEY_FORWARD] = {EXT(0x69), 0},
    [KEY_BACK] = {EXT(0x6a), 0},
    [KEY_COMPUTER] = {EXT(0x6b), 0},
    [KEY_MAIL] = {EXT(0x6c), 0},
    [KEY_MEDIA] = {EXT(0x6d), 0},
    [KEY_PAUSE] = {0, 0x62}, /* sets 1 and 2: below */
};

/* Set 2 from set 1: what the keyboard controller's translation undoes. */
static const uint8_t set2_from_set1[128] = {
    0x00, 0x76, 0x16, 0x1e, 0x26, 0x25, 0x2e, 0x36, 0x3d, 0x3e, 0x46, 0x45, 0x4e, 0x55, 0x66, 0x0d,
    0x15, 0x1d, 0x24, 0x2d, 0x2c, 0x35, 0x3c, 0x43, 0x44, 0x4d, 0x54, 0x5b, 0x5a, 0x14, 0x1c, 0x1b,
    0x23, 0x2b, 0x34, 0x33, 0x3b, 0x42, 0x4b, 0x4c, 0x52, 0x0e, 0x12, 0x5d, 0x1a, 0x22, 0x21, 0x2a,
    0x32, 0x31, 0x3a, 0x41, 0x49, 0x4a, 0x59, 0x7c, 0x11, 0x29, 0x58, 0x05, 0x06, 0x04, 0x0c, 0x03,
    0x0b, 0x83, 0x0a, 0x01, 0x09, 0x77, 0x7e, 0x6c, 0x75, 0x7d, 0x7b, 0x6b, 0x73, 0x74, 0x79, 0x69,
    0x72, 0x7a, 0x70, 0x71, 0x84, 0x60, 0x61, 0x78, 0x07, 0x0f, 0x17, 0x1f, 0x27, 0x2f, 0x37, 0x3f,
    0x47, 0x4f, 0x56, 0x5e, 0x08, 0x10, 0x18, 0x20, 0x28, 0x30, 0x38, 0x40, 0x48, 0x50, 0x57, 0x6f,
    0x13, 0x19, 0x39, 0x51, 0x53, 0x5c, 0x5f, 0x62, 0x63, 0x64, 0x65, 0x67, 0x68, 0x6a, 0x6d, 0x6e,
};

typedef struct Ps2Keyboard {
    Ps2Device ps2;
    /* saved */
    uint8_t pressed[KEYS / 8];
    bool scanning;
    uint8_t scan_code_set; /* 1 to 3 */
    uint8_t leds, rate;
    uint8_t set3_types[KEYS]; /* by code */
    bool overrun;             /* keys were lost: the code that says so is in the queue */
    uint16_t repeating;       /* the key that is repeated; 0: none */
    Timer repeat_timer;
} Ps2Keyboard;

/* ---- key strokes ---- */

static bool is_pressed(const Ps2Keyboard *s, unsigned key)
{
    return s->pressed[key / 8] & 1 << key % 8;
}

static void emit(Ps2Keyboard *s, const uint8_t *bytes, unsigned n)
{
    if (ps2_event_room(&s->ps2) >= LONGEST_SEQUENCE + 1) {
        s->overrun = false;
        ps2_event(&s->ps2, bytes, n);
    } else if (!s->overrun) {
        uint8_t code = s->scan_code_set == 1 ? OVERRUN_SET1 : OVERRUN;
        s->overrun = true;
        ps2_event(&s->ps2, &code, 1);
    }
}

/* One code of sets 1 and 2, given as of set 1. */
static void emit_code(Ps2Keyboard *s, uint16_t set1, bool down)
{
    uint8_t bytes[3], code = set1 & 0x7f;
    unsigned n = 0;

    if (set1 >> 8) {
        bytes[n++] = CODE_EXT;
    }
    if (s->scan_code_set == 1) {
        bytes[n++] = code | (down ? 0 : SET1_BREAK);
    } else {
        if (!down) {
            bytes[n++] = CODE_BREAK;
        }
        bytes[n++] = set2_from_set1[code];
    }
    emit(s, bytes, n);
}

/* Pause says everything when it is pressed, and is another key with Ctrl. */
static void emit_pause(Ps2Keyboard *s)
{
    static const uint8_t pause1[] = {CODE_PAUSE, 0x1d, 0x45, CODE_PAUSE, 0x9d, 0xc5};
    static const uint8_t pause2[] = {CODE_PAUSE, 0x14, 0x77,       CODE_PAUSE,
                                     CODE_BREAK, 0x14, CODE_BREAK, 0x77};

    if (is_pressed(s, KEY_LEFTCTRL) || is_pressed(s, KEY_RIGHTCTRL)) {
        emit_code(s, EXT(0x46), true);
        emit_code(s, EXT(0x46), false);
    } else if (s->scan_code_set == 1) {
        emit(s, pause1, sizeof(pause1));
    } else {
        emit(s, pause2, sizeof(pause2));
    }
}

/* Print Screen comes with a shift, unless there is one already; with Alt it is System Request. */
static void emit_print_screen(Ps2Keyboard *s, bool down)
{
    bool shifted = is_pressed(s, KEY_LEFTCTRL) || is_pressed(s, KEY_RIGHTCTRL) ||
                   is_pressed(s, KEY_LEFTSHIFT) || is_pressed(s, KEY_RIGHTSHIFT);

    if (is_pressed(s, KEY_LEFTALT) || is_pressed(s, KEY_RIGHTALT)) {
        emit_code(s, 0x54, down);
        return;
    }
    if (!shifted && down) {
        emit_code(s, EXT(0x2a), true);
    }
    emit_code(s, EXT(0x37), down);
    if (!shifted && !down) {
        emit_code(s, EXT(0x2a), false);
    }
}

static void emit_set3(Ps2Keyboard *s, uint8_t code, bool down)
{
    const uint8_t bytes[2] = {CODE_BREAK, code};

    if (!code) {
        return;
    }
    if (down) {
        emit(s, &code, 1);
    } else if (s->set3_types[code] & TYPE_BREAK) {
        emit(s, bytes, 2);
    }
}

static void emit_key(Ps2Keyboard *s, unsigned key, bool down)
{
    const KeyCodes *codes = &key_codes[key];

    if (s->scan_code_set == 3) {
        emit_set3(s, codes->set3, down);
    } else if (key == KEY_PAUSE) {
        if (down) {
            emit_pause(s);
        }
    } else if (key == KEY_SYSRQ) {
        emit_print_screen(s, down);
    } else if (codes->set1) {
        emit_code(s, codes->set1, down);
    }
}

/* ---- typematic repeat ---- */

/* The rate byte: bits 6-5 delay in quarters of a second, 4-3 an exponent, 2-0 a mantissa. */
static int64_t repeat_delay_ns(const Ps2Keyboard *s)
{
    return ((s->rate >> 5 & 3) + 1) * 250 * NS_PER_MS;
}

static int64_t repeat_period_ns(const Ps2Keyboard *s)
{
    return (8 + (s->rate & 7)) * (1 << (s->rate >> 3 & 3)) * (NS_PER_SEC / 240);
}

static bool repeats(const Ps2Keyboard *s, unsigned key)
{
    if (s->scan_code_set == 3) {
        return s->set3_types[key_codes[key].set3] & TYPE_REPEAT;
    }
    return key != KEY_PAUSE;
}

static void repeat(void *opaque)
{
    Ps2Keyboard *s = opaque;

    if (s->repeating < KEYS && s->scanning) {
        /* What the guest has not taken yet is not piled up. */
        if (ps2_event_room(&s->ps2) >= PS2_EVENTS / 2) {
            emit_key(s, s->repeating, true);
        }
        timer_set(&s->repeat_timer, clock_now(CLOCK_VIRTUAL) + repeat_period_ns(s));
    }
}

static void stop_repeat(Ps2Keyboard *s)
{
    s->repeating = 0;
    timer_cancel(&s->repeat_timer);
}

/* The user interface's key; it may repeat a key that is held, this keyboard has its own rate. */
static void keyboard_input(void *opaque, unsigned key, bool down)
{
    Ps2Keyboard *s = opaque;

    if (key >= KEYS || is_pressed(s, key) == down) {
        return;
    }
    s->pressed[key / 8] ^= 1 << key % 8;
    if (!s->scanning) {
        return;
    }
    emit_key(s, key, down);
    if (down && repeats(s, key)) {
        s->repeating = (uint16_t)key;
        timer_set(&s->repeat_timer, clock_now(CLOCK_VIRTUAL) + repeat_delay_ns(s));
    } else if (down || key == s->repeating) {
        stop_repeat(s);
    }
}

/* ---- guest side ---- */

static void set_all_types(Ps2Keyboard *s, uint8_t type)
{
    memset(s->set3_types, type, sizeof(s->set3_types));
}

/* Set 3 as it comes up: shifts report their release, the keys of the 84-key keyboard repeat, others
 * do neither. */
static void default_types(Ps2Keyboard *s)
{
    static const uint8_t with_break[] = {0x11, 0x12, 0x14, 0x19, 0x59};
    static const uint8_t make_only[] = {
        0x07, 0x08, 0x0f, 0x17, 0x1f, 0x27, 0x2f, 0x37, 0x39, 0x3f, 0x47, 0x4f, 0x56,
        0x57, 0x58, 0x5e, 0x5f, 0x62, 0x65, 0x67, 0x69, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f,
        0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x79, 0x7a, 0x7d, 0x7e, 0x84,
    };

    set_all_types(s, TYPE_REPEAT);
    for (unsigned i = 0; i < sizeof(make_only); i++) {
        s->set3_types[make_only[i]] = 0;
    }
    for (unsigned i = 0; i < sizeof(with_break); i++) {
        s->set3_types[with_break[i]] = TYPE_BREAK;
    }
}

static void set_defaults(Ps2Keyboard *s)
{
    stop_repeat(s);
    s->scan_code_set = 2;
    s->rate = DEFAULT_RATE;
    s->overrun = false;
    default_types(s);
    s->ps2.parameter_of = 0;
}

static void key_type_parameter(Ps2Keyboard *s, uint8_t command, uint8_t code)
{
    s->set3_types[code] = command == CMD_KEY_TYPEMATIC    ? TYPE_REPEAT
                          : command == CMD_KEY_MAKE_BREAK ? TYPE_BREAK
                                                          : 0;
    /* More keys may follow, until something that is a command. */
    s->ps2.parameter_of = command;
}

static void parameter(Ps2Keyboard *s, uint8_t command, uint8_t value)
{
    s->ps2.parameter_of = 0;
    switch (command) {
    case CMD_SET_LEDS:
        s->leds = value & 7;
        break;
    case PS2_CMD_SET_RATE:
        s->rate = value & 0x7f;
        break;
    case CMD_SCAN_CODE_SET:
        if (value > 3) {
            ps2_reply(&s->ps2, PS2_RESEND);
            return;
        }
        ps2_reply(&s->ps2, PS2_ACK);
        if (value == 0) {
            ps2_reply(&s->ps2, s->scan_code_set);
        } else {
            s->scan_code_set = value;
            s->ps2.event_count = 0;
        }
        return;
    default:
        key_type_parameter(s, command, value);
    }
    ps2_reply(&s->ps2, PS2_ACK);
}

static void reset_command(Ps2Keyboard *s)
{
    ps2_queue_reset(&s->ps2);
    set_defaults(s);
    s->leds = 0;
    s->scanning = true;
    ps2_reply(&s->ps2, PS2_ACK);
    ps2_reply(&s->ps2, PS2_BAT_PASSED);
}

static void keyboard_command(Ps2Device *d, uint8_t value)
{
    Ps2Keyboard *s = (Ps2Keyboard *)d;

    if (d->parameter_of && value < CMD_SET_LEDS) {
        parameter(s, d->parameter_of, value);
        return;
    }
    d->parameter_of = 0; /* a command where a parameter was due takes its place */
    switch (value) {
    case PS2_CMD_ECHO:
        ps2_reply(d, PS2_CMD_ECHO);
        return;
    case PS2_CMD_RESEND:
        ps2_reply(d, d->last_sent);
        return;
    case PS2_CMD_RESET:
        reset_command(s);
        return;
    case CMD_SET_LEDS:
    case CMD_SCAN_CODE_SET:
    case PS2_CMD_SET_RATE:
    case CMD_KEY_TYPEMATIC:
    case CMD_KEY_MAKE_BREAK:
    case CMD_KEY_MAKE:
        d->parameter_of = value;
        break;
    case PS2_CMD_GET_ID:
        ps2_reply(d, PS2_ACK);
        ps2_reply(d, 0xab);
        ps2_reply(d, 0x83);
        return;
    case PS2_CMD_ENABLE:
        d->event_count = 0;
        s->scanning = true;
        break;
    case PS2_CMD_DISABLE:
    case PS2_CMD_SET_DEFAULTS:
        d->event_count = 0;
        set_defaults(s);
        s->scanning = value == PS2_CMD_SET_DEFAULTS;
        break;
    case CMD_ALL_TYPEMATIC:
        set_all_types(s, TYPE_REPEAT);
        break;
    case CMD_ALL_MAKE_BREAK:
        set_all_types(s, TYPE_BREAK);
        break;
    case CMD_ALL_MAKE:
        set_all_types(s, 0);
        break;
    case CMD_ALL_FULL:
        set_all_types(s, TYPE_BREAK | TYPE_REPEAT);
        break;
    default:
        ps2_reply(d, PS2_RESEND);
        return;
    }
    ps2_reply(d, PS2_ACK);
}

/* ---- reset, state, creation ---- */

/* The keys that the user holds stay pressed. */
static void keyboard_reset(Device *dev)
{
    Ps2Keyboard *s = (Ps2Keyboard *)dev;

    ps2_queue_reset(&s->ps2);
    set_defaults(s);
    s->ps2.last_sent = PS2_BAT_PASSED;
    s->leds = 0;
    s->scanning = true;
}

static const VMStateField keyboard_fields[] = {
    VMSTATE_STRUCT(ps2, Ps2Keyboard, ps2_vmstate),
    VMSTATE_U8_ARRAY(pressed, Ps2Keyboard),
    VMSTATE_BOOL(scanning, Ps2Keyboard),
    VMSTATE_U8(scan_code_set, Ps2Keyboard),
    VMSTATE_U8(leds, Ps2Keyboard),
    VMSTATE_U8(rate, Ps2Keyboard),
    VMSTATE_U8_ARRAY(set3_types, Ps2Keyboard),
    VMSTATE_BOOL(overrun, Ps2Keyboard),
    VMSTATE_U16(repeating, Ps2Keyboard),
    VMSTATE_TIMER(repeat_timer, Ps2Keyboard),
    VMSTATE_END,
};

static const VMState keyboard_vmstate = {
    .name = "ps2-keyboard",
    .version = 1,
    .fields = keyboard_fields,
};

static bool keyboard_realize(Device *dev, Error **errp)
{
    Ps2Keyboard *s = (Ps2Keyboard *)dev;

    s->ps2.command = keyboard_command;
    timer_init(&s->repeat_timer, CLOCK_VIRTUAL, repeat, s);
    input_set_keyboard(keyboard_input, s);
    return true;
}

const DeviceClass ps2_keyboard_class = {
    .name = "ps2-keyboard",
    .desc = "PS/2 keyboard",
    .bus = "ps2",
    .size = sizeof(Ps2Keyboard),
    .vmstate = &keyboard_vmstate,
    .realize = keyboard_realize,
    .reset = keyboard_reset,
};

Ps2Device *ps2_keyboard_create(Device *parent)
{
    Device *dev = device_new(&ps2_keyboard_class, parent, "keyboard");

    device_realize_or_die(dev);
    return (Ps2Device *)dev;
}
