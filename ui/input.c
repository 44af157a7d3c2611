/*
 * Keyboard and mouse input: names of keys, and the way from whoever types to the device that
 * listens.
 *
 * Combinations that sendkey types are held for a while; further ones wait in a queue, so that a
 * script may send them as fast as it likes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <linux/input-event-codes.h>
#include <stdlib.h>
#include <string.h>

#include "ui/display.h"
#include "util/loop.h"

/* The tradition's names; the first of several for a key is the one to show. */
/* clang-format off */
static const struct KeyName {
    const char *name;
    uint8_t key;
} key_names[] = {
    {"shift", KEY_LEFTSHIFT}, {"shift_r", KEY_RIGHTSHIFT},
    {"alt", KEY_LEFTALT}, {"alt_r", KEY_RIGHTALT}, {"altgr", KEY_RIGHTALT},
    {"ctrl", KEY_LEFTCTRL}, {"ctrl_r", KEY_RIGHTCTRL},
    {"menu", KEY_COMPOSE}, {"compose", KEY_COMPOSE},
    {"meta_l", KEY_LEFTMETA}, {"meta_r", KEY_RIGHTMETA},
    {"esc", KEY_ESC},
    {"1", KEY_1}, {"2", KEY_2}, {"3", KEY_3}, {"4", KEY_4}, {"5", KEY_5},
    {"6", KEY_6}, {"7", KEY_7}, {"8", KEY_8}, {"9", KEY_9}, {"0", KEY_0},
    {"minus", KEY_MINUS}, {"equal", KEY_EQUAL}, {"backspace", KEY_BACKSPACE}, {"tab", KEY_TAB},
    {"q", KEY_Q}, {"w", KEY_W}, {"e", KEY_E}, {"r", KEY_R}, {"t", KEY_T}, {"y", KEY_Y},
    {"u", KEY_U}, {"i", KEY_I}, {"o", KEY_O}, {"p", KEY_P},
    {"bracket_left", KEY_LEFTBRACE}, {"bracket_right", KEY_RIGHTBRACE},
    {"ret", KEY_ENTER}, {"enter", KEY_ENTER},
    {"a", KEY_A}, {"s", KEY_S}, {"d", KEY_D}, {"f", KEY_F}, {"g", KEY_G}, {"h", KEY_H},
    {"j", KEY_J}, {"k", KEY_K}, {"l", KEY_L},
    {"semicolon", KEY_SEMICOLON}, {"apostrophe", KEY_APOSTROPHE}, {"grave_accent", KEY_GRAVE},
    {"backslash", KEY_BACKSLASH},
    {"z", KEY_Z}, {"x", KEY_X}, {"c", KEY_C}, {"v", KEY_V}, {"b", KEY_B}, {"n", KEY_N}, {"m", KEY_M},
    {"comma", KEY_COMMA}, {"dot", KEY_DOT}, {"slash", KEY_SLASH},
    {"spc", KEY_SPACE}, {"space", KEY_SPACE}, {"less", KEY_102ND},
    {"caps_lock", KEY_CAPSLOCK}, {"num_lock", KEY_NUMLOCK}, {"scroll_lock", KEY_SCROLLLOCK},
    {"f1", KEY_F1}, {"f2", KEY_F2}, {"f3", KEY_F3}, {"f4", KEY_F4}, {"f5", KEY_F5}, {"f6", KEY_F6},
    {"f7", KEY_F7}, {"f8", KEY_F8}, {"f9", KEY_F9}, {"f10", KEY_F10}, {"f11", KEY_F11}, {"f12", KEY_F12},
    {"kp_0", KEY_KP0}, {"kp_1", KEY_KP1}, {"kp_2", KEY_KP2}, {"kp_3", KEY_KP3}, {"kp_4", KEY_KP4},
    {"kp_5", KEY_KP5}, {"kp_6", KEY_KP6}, {"kp_7", KEY_KP7}, {"kp_8", KEY_KP8}, {"kp_9", KEY_KP9},
    {"kp_divide", KEY_KPSLASH}, {"kp_multiply", KEY_KPASTERISK}, {"asterisk", KEY_KPASTERISK},
    {"kp_subtract", KEY_KPMINUS}, {"kp_add", KEY_KPPLUS}, {"kp_enter", KEY_KPENTER},
    {"kp_decimal", KEY_KPDOT}, {"kp_comma", KEY_KPCOMMA}, {"kp_equals", KEY_KPEQUAL},
    {"home", KEY_HOME}, {"end", KEY_END}, {"pgup", KEY_PAGEUP}, {"pgdn", KEY_PAGEDOWN},
    {"up", KEY_UP}, {"down", KEY_DOWN}, {"left", KEY_LEFT}, {"right", KEY_RIGHT},
    {"insert", KEY_INSERT}, {"delete", KEY_DELETE},
    {"print", KEY_SYSRQ}, {"sysrq", KEY_SYSRQ}, {"pause", KEY_PAUSE}, {"break", KEY_PAUSE},
    {"power", KEY_POWER}, {"sleep", KEY_SLEEP}, {"wake", KEY_WAKEUP},
    {"volumeup", KEY_VOLUMEUP}, {"volumedown", KEY_VOLUMEDOWN}, {"audiomute", KEY_MUTE},
    {"ro", KEY_RO}, {"yen", KEY_YEN}, {"henkan", KEY_HENKAN}, {"muhenkan", KEY_MUHENKAN},
    {"hiragana", KEY_KATAKANAHIRAGANA},
};
/* clang-format on */
#define KEY_NAMES (sizeof(key_names) / sizeof(key_names[0]))

static InputKeyHandler *key_handler;
static void *key_opaque;

typedef struct Mouse {
    char *name;
    InputMouseHandler *fn;
    void *opaque;
    struct Mouse *next;
} Mouse;

static Mouse *mice, *current_mouse;

void input_set_keyboard(InputKeyHandler *fn, void *opaque)
{
    key_handler = fn;
    key_opaque = opaque;
}

void input_add_mouse(const char *name, InputMouseHandler *fn, void *opaque)
{
    Mouse *m = calloc(1, sizeof(*m)), **end;

    *m = (Mouse){strdup(name), fn, opaque, NULL};
    for (end = &mice; *end; end = &(*end)->next) {
    }
    *end = m;
    current_mouse = m;
}

void input_remove_mouse(void *opaque)
{
    for (Mouse **p = &mice; *p; p = &(*p)->next) {
        Mouse *m = *p;
        if (m->opaque == opaque) {
            *p = m->next;
            if (current_mouse == m) {
                current_mouse = mice;
            }
            free(m->name);
            free(m);
            return;
        }
    }
}

void input_select_mouse(void *opaque)
{
    for (Mouse *m = mice; m; m = m->next) {
        if (m->opaque == opaque) {
            current_mouse = m;
        }
    }
}

bool input_select_mouse_number(unsigned n)
{
    Mouse *m = mice;

    for (; m && n > 0; n--) {
        m = m->next;
    }
    if (m) {
        current_mouse = m;
    }
    return m != NULL;
}

void input_each_mouse(void (*fn)(unsigned n, const char *name, bool current, void *opaque), void *opaque)
{
    unsigned n = 0;

    for (Mouse *m = mice; m; m = m->next) {
        fn(n++, m->name, m == current_mouse, opaque);
    }
}

void input_key(unsigned key, bool down)
{
    if (!display_key(display_selected(), key, down) && key_handler) {
        key_handler(key_opaque, key, down);
    }
}

void input_mouse(int dx, int dy, int dz, unsigned buttons)
{
    if (current_mouse) {
        current_mouse->fn(current_mouse->opaque, dx, dy, dz, buttons);
    }
}

const char *const *input_key_names(void)
{
    static const char *names[KEY_NAMES + 1];

    for (size_t i = 0; i < KEY_NAMES; i++) {
        names[i] = key_names[i].name;
    }
    return names;
}

unsigned input_key_by_name(const char *name)
{
    for (size_t i = 0; i < KEY_NAMES; i++) {
        if (strcmp(key_names[i].name, name) == 0) {
            return key_names[i].key;
        }
    }
    return 0;
}

/* ---- sendkey ---- */

#define MAX_KEYS        16
#define DEFAULT_HOLD_MS 100
#define MAX_QUEUED      1024

typedef struct Combination {
    uint8_t keys[MAX_KEYS];
    unsigned count, hold_ms;
    struct Combination *next;
} Combination;

static Combination *queue;
static unsigned queued;
static Timer release_timer;
static bool timer_ready;

/* "0x1e", "0xe048": a set 1 scan code. Up to 0x58 Linux' codes are the same numbers. */
static unsigned key_by_scan_code(const char *text)
{
    static const struct {
        uint8_t scan, key;
    } extended[] = {
        {0x1c, KEY_KPENTER},   {0x1d, KEY_RIGHTCTRL}, {0x35, KEY_KPSLASH}, {0x37, KEY_SYSRQ},
        {0x38, KEY_RIGHTALT},  {0x47, KEY_HOME},      {0x48, KEY_UP},      {0x49, KEY_PAGEUP},
        {0x4b, KEY_LEFT},      {0x4d, KEY_RIGHT},     {0x4f, KEY_END},     {0x50, KEY_DOWN},
        {0x51, KEY_PAGEDOWN},  {0x52, KEY_INSERT},    {0x53, KEY_DELETE},  {0x5b, KEY_LEFTMETA},
        {0x5c, KEY_RIGHTMETA}, {0x5d, KEY_COMPOSE},
    };
    char *end;
    unsigned long v = strtoul(text, &end, 16);

    if (end == text || *end) {
        return 0;
    }
    if (v <= 0x58) {
        return (unsigned)v;
    }
    /* Both ways to write an extended code: 0xe048, and 0xc8 with the prefix as bit 7. */
    if ((v & ~0x7ful) == 0xe000 || (v & ~0x7ful) == 0x80) {
        for (size_t i = 0; i < sizeof(extended) / sizeof(extended[0]); i++) {
            if (extended[i].scan == (v & 0x7f)) {
                return extended[i].key;
            }
        }
    }
    return 0;
}

static void press_first(void)
{
    for (unsigned i = 0; i < queue->count; i++) {
        input_key(queue->keys[i], true);
    }
    timer_set(&release_timer, clock_now(CLOCK_VIRTUAL) + queue->hold_ms * NS_PER_MS);
}

static void release_first(void *opaque)
{
    Combination *c = queue;

    for (unsigned i = c->count; i-- > 0;) {
        input_key(c->keys[i], false);
    }
    queue = c->next;
    queued--;
    free(c);
    if (queue) {
        press_first();
    }
}

static bool parse_keys(Combination *c, const char *keys, Error **errp)
{
    while (*keys) {
        size_t len = strcspn(keys, "-");
        char name[32] = "";
        unsigned key = 0;

        if (len > 0 && len < sizeof(name)) {
            memcpy(name, keys, len);
            name[len] = '\0';
            key =
                strncmp(name, "0x", 2) == 0 ? key_by_scan_code(name + 2) : input_key_by_name(name);
        }
        if (!key) {
            const char *near = len < sizeof(name) ? nearest_name(name, input_key_names()) : NULL;
            error_set(errp, "unknown key '%.*s'%s%s%s", (int)len, keys,
                      near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
            return false;
        }
        if (c->count == MAX_KEYS) {
            error_set(errp, "more than %d keys at once", MAX_KEYS);
            return false;
        }
        c->keys[c->count++] = (uint8_t)key;
        keys += len;
        keys += *keys == '-';
    }
    if (c->count == 0) {
        error_set(errp, "no key is named");
        return false;
    }
    return true;
}

bool input_send_keys(const char *keys, unsigned hold_ms, Error **errp)
{
    Combination *c, **end;

    if (queued >= MAX_QUEUED) {
        error_set(errp, "%d key combinations wait already", MAX_QUEUED);
        return false;
    }
    c = calloc(1, sizeof(*c));
    c->hold_ms = hold_ms ? hold_ms : DEFAULT_HOLD_MS;
    if (!parse_keys(c, keys, errp)) {
        free(c);
        return false;
    }
    if (!timer_ready) {
        timer_init(&release_timer, CLOCK_VIRTUAL, release_first, NULL);
        timer_ready = true;
    }
    for (end = &queue; *end; end = &(*end)->next) {
    }
    *end = c;
    queued++;
    if (queue == c) {
        press_first();
    }
    return true;
}
