/*
 * vc: a character device that is a text console on a screen of its own, where a monitor or a serial
 * line can be seen by whatever shows pictures. libvterm is the terminal; its characters are drawn
 * with the font of the VGA BIOS, so there is one look for all text screens.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ui/vc.h"

#include <linux/input-event-codes.h>
#include <stdlib.h>
#include <string.h>
#include <vterm.h>

#include "char/char-int.h"
#include "ui/display.h"

#define GLYPH_WIDTH  8
#define GLYPH_HEIGHT VC_FONT_HEIGHT
#define COLS_DEFAULT 80
#define ROWS_DEFAULT 24
#define TYPED_MAX    4096

typedef struct Vc {
    CharBackend *chr;
    Display *display;
    VTerm *term;
    VTermScreen *screen;
    int cols, rows;
    VTermPos cursor;
    bool cursor_visible;
    bool changed;    /* the picture is older than the screen */
    Buffer typed;    /* bytes that the front end has not taken yet */
    uint16_t *cells; /* for text() */
    unsigned modifiers;
    Timer later; /* hands over what was typed, from the loop */
} Vc;

static uint8_t font[256][GLYPH_HEIGHT];

void vc_set_font(const uint8_t *bytes)
{
    memcpy(font, bytes, sizeof(font));
}

/* ---- the picture ---- */

static uint32_t rgb(const Vc *vc, VTermColor c)
{
    vterm_screen_convert_color_to_rgb(vc->screen, &c);
    return (uint32_t)c.rgb.red << 16 | (uint32_t)c.rgb.green << 8 | c.rgb.blue;
}

static uint8_t cell_glyph(const VTermScreenCell *cell)
{
    uint32_t c = cell->chars[0];

    return c == 0 || c == UINT32_MAX ? ' ' : display_cp437(c);
}

static void draw_cell(Vc *vc, Surface *s, VTermPos pos)
{
    VTermScreenCell cell;
    uint32_t fg, bg,
        *at = s->pixels + (size_t)pos.row * GLYPH_HEIGHT * s->stride + pos.col * GLYPH_WIDTH;
    bool cursor = vc->cursor_visible && pos.row == vc->cursor.row && pos.col == vc->cursor.col;
    const uint8_t *glyph;

    vterm_screen_get_cell(vc->screen, pos, &cell);
    glyph = font[cell_glyph(&cell)];
    fg = rgb(vc, cell.fg);
    bg = rgb(vc, cell.bg);
    if (cell.attrs.reverse != cursor) {
        uint32_t swap = fg;
        fg = bg;
        bg = swap;
    }
    for (unsigned y = 0; y < GLYPH_HEIGHT; y++, at += s->stride) {
        uint8_t bits = cell.attrs.underline && y == GLYPH_HEIGHT - 2 ? 0xff : glyph[y];
        for (unsigned x = 0; x < GLYPH_WIDTH; x++) {
            at[x] = bits & 0x80 >> x ? fg : bg;
        }
    }
}

static void vc_update(void *opaque)
{
    Vc *vc = opaque;
    Surface *s = display_surface(vc->display);
    VTermPos pos;

    if (!vc->changed) {
        return;
    }
    vc->changed = false;
    for (pos.row = 0; pos.row < vc->rows; pos.row++) {
        for (pos.col = 0; pos.col < vc->cols; pos.col++) {
            draw_cell(vc, s, pos);
        }
    }
    display_dirty(vc->display, 0, 0, s->width, s->height);
}

static void vc_invalidate(void *opaque)
{
    ((Vc *)opaque)->changed = true;
}

static bool vc_text(void *opaque, unsigned *cols, unsigned *rows, uint16_t **cells)
{
    Vc *vc = opaque;
    uint16_t *out = vc->cells;
    VTermScreenCell cell;
    VTermPos pos;

    for (pos.row = 0; pos.row < vc->rows; pos.row++) {
        for (pos.col = 0; pos.col < vc->cols; pos.col++) {
            vterm_screen_get_cell(vc->screen, pos, &cell);
            *out++ = (uint16_t)(cell_glyph(&cell) | 0x0700);
        }
    }
    *cols = (unsigned)vc->cols;
    *rows = (unsigned)vc->rows;
    *cells = vc->cells;
    return true;
}

static int on_damage(VTermRect rect, void *opaque)
{
    ((Vc *)opaque)->changed = true;
    return 1;
}

static int on_move_cursor(VTermPos pos, VTermPos old, int visible, void *opaque)
{
    Vc *vc = opaque;

    vc->cursor = pos;
    vc->changed = true;
    return 1;
}

static int on_property(VTermProp prop, VTermValue *value, void *opaque)
{
    Vc *vc = opaque;

    if (prop == VTERM_PROP_CURSORVISIBLE) {
        vc->cursor_visible = value->boolean;
        vc->changed = true;
    }
    return 1;
}

static const VTermScreenCallbacks screen_callbacks = {
    .damage = on_damage,
    .movecursor = on_move_cursor,
    .settermprop = on_property,
};

/* ---- what is typed ---- */

/* What each key gives on a US keyboard: plain, with shift. */
/* clang-format off */
static const char key_characters[][2] = {
    [KEY_1] = "1!", [KEY_2] = "2@", [KEY_3] = "3#", [KEY_4] = "4$", [KEY_5] = "5%", [KEY_6] = "6^",
    [KEY_7] = "7&", [KEY_8] = "8*", [KEY_9] = "9(", [KEY_0] = "0)", [KEY_MINUS] = "-_", [KEY_EQUAL] = "=+",
    [KEY_Q] = "qQ", [KEY_W] = "wW", [KEY_E] = "eE", [KEY_R] = "rR", [KEY_T] = "tT", [KEY_Y] = "yY",
    [KEY_U] = "uU", [KEY_I] = "iI", [KEY_O] = "oO", [KEY_P] = "pP", [KEY_LEFTBRACE] = "[{",
    [KEY_RIGHTBRACE] = "]}", [KEY_A] = "aA", [KEY_S] = "sS", [KEY_D] = "dD", [KEY_F] = "fF", [KEY_G] = "gG",
    [KEY_H] = "hH", [KEY_J] = "jJ", [KEY_K] = "kK", [KEY_L] = "lL", [KEY_SEMICOLON] = ";:",
    [KEY_APOSTROPHE] = "'\"", [KEY_GRAVE] = "`~", [KEY_BACKSLASH] = "\\|", [KEY_Z] = "zZ", [KEY_X] = "xX",
    [KEY_C] = "cC", [KEY_V] = "vV", [KEY_B] = "bB", [KEY_N] = "nN", [KEY_M] = "mM", [KEY_COMMA] = ",<",
    [KEY_DOT] = ".>", [KEY_SLASH] = "/?", [KEY_SPACE] = "  ", [KEY_KPASTERISK] = "**", [KEY_KPMINUS] = "--",
    [KEY_KPPLUS] = "++", [KEY_KPSLASH] = "//",
};
/* clang-format on */

static const struct {
    uint8_t key;
    VTermKey term;
} special_keys[] = {
    {KEY_ENTER, VTERM_KEY_ENTER},
    {KEY_KPENTER, VTERM_KEY_ENTER},
    {KEY_TAB, VTERM_KEY_TAB},
    {KEY_ESC, VTERM_KEY_ESCAPE},
    {KEY_BACKSPACE, VTERM_KEY_BACKSPACE},
    {KEY_UP, VTERM_KEY_UP},
    {KEY_DOWN, VTERM_KEY_DOWN},
    {KEY_LEFT, VTERM_KEY_LEFT},
    {KEY_RIGHT, VTERM_KEY_RIGHT},
    {KEY_INSERT, VTERM_KEY_INS},
    {KEY_DELETE, VTERM_KEY_DEL},
    {KEY_HOME, VTERM_KEY_HOME},
    {KEY_END, VTERM_KEY_END},
    {KEY_PAGEUP, VTERM_KEY_PAGEUP},
    {KEY_PAGEDOWN, VTERM_KEY_PAGEDOWN},
};

static VTermModifier modifier_of(unsigned key)
{
    switch (key) {
    case KEY_LEFTSHIFT:
    case KEY_RIGHTSHIFT:
        return VTERM_MOD_SHIFT;
    case KEY_LEFTCTRL:
    case KEY_RIGHTCTRL:
        return VTERM_MOD_CTRL;
    case KEY_LEFTALT:
    case KEY_RIGHTALT:
        return VTERM_MOD_ALT;
    default:
        return VTERM_MOD_NONE;
    }
}

static void vc_key(void *opaque, unsigned key, bool down)
{
    Vc *vc = opaque;
    VTermModifier mod = modifier_of(key);

    if (mod) {
        vc->modifiers = down ? vc->modifiers | mod : vc->modifiers & ~(unsigned)mod;
        return;
    }
    if (!down) {
        return;
    }
    mod = (VTermModifier)vc->modifiers;
    for (size_t i = 0; i < sizeof(special_keys) / sizeof(special_keys[0]); i++) {
        if (special_keys[i].key == key) {
            vterm_keyboard_key(vc->term, special_keys[i].term, mod);
            return;
        }
    }
    if (key >= KEY_F1 && key <= KEY_F10) {
        vterm_keyboard_key(vc->term, (VTermKey)VTERM_KEY_FUNCTION(1 + (int)(key - KEY_F1)), mod);
    } else if (key < sizeof(key_characters) / sizeof(key_characters[0]) && key_characters[key][0]) {
        char c = key_characters[key][(mod & VTERM_MOD_SHIFT) != 0];
        vterm_keyboard_unichar(vc->term, (uint32_t)c, mod & ~VTERM_MOD_SHIFT);
    }
}

static void hand_over(void *opaque)
{
    Vc *vc = opaque;
    size_t n;

    while (vc->typed.size > 0 && (n = chr_fe_can_receive(vc->chr)) > 0) {
        uint8_t piece[256];
        n = n < vc->typed.size ? n : vc->typed.size;
        n = n < sizeof(piece) ? n : sizeof(piece);
        memcpy(piece, vc->typed.data, n);
        memmove(vc->typed.data, vc->typed.data + n, vc->typed.size - n);
        vc->typed.size -= n;
        chr_fe_receive(vc->chr, piece, n);
    }
}

/* From a key, or an answer to what the guest asked the terminal; nobody types faster than this. */
static void on_typed(const char *bytes, size_t n, void *opaque)
{
    Vc *vc = opaque;

    if (vc->typed.size + n <= TYPED_MAX) {
        buffer_append(&vc->typed, bytes, n);
    }
    timer_set(&vc->later, clock_now(CLOCK_HOST));
}

static void vc_accept(CharBackend *chr)
{
    Vc *vc = chr->state;

    if (vc->typed.size > 0 && !timer_pending(&vc->later)) {
        timer_set(&vc->later, clock_now(CLOCK_HOST));
    }
}

/* ---- the character device ---- */

static const DisplayAdapter adapter = {vc_update, vc_invalidate, vc_text, vc_key};

static void make_terminal(Vc *vc)
{
    vc->term = vterm_new(vc->rows, vc->cols);
    vterm_set_utf8(vc->term, 1);
    vterm_output_set_callback(vc->term, on_typed, vc);
    vc->screen = vterm_obtain_screen(vc->term);
    vterm_screen_set_callbacks(vc->screen, &screen_callbacks, vc);
    vterm_screen_set_damage_merge(vc->screen, VTERM_DAMAGE_SCREEN);
    vterm_screen_reset(vc->screen, 1);
}

static bool vc_open(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    Vc *vc = calloc(1, sizeof(*vc));

    vc->chr = chr;
    vc->cols = o->cols ? (int)o->cols : o->width ? (int)o->width / GLYPH_WIDTH : COLS_DEFAULT;
    vc->rows = o->rows ? (int)o->rows : o->height ? (int)o->height / GLYPH_HEIGHT : ROWS_DEFAULT;
    vc->cells = calloc((size_t)vc->cols * (size_t)vc->rows, sizeof(*vc->cells));
    vc->cursor_visible = true;
    chr->state = vc;
    chr->connected = chr->interactive = true;
    timer_init(&vc->later, CLOCK_HOST, hand_over, vc);
    make_terminal(vc);
    vc->display = display_new_console(chr->id, &adapter, vc);
    display_resize(vc->display, (unsigned)vc->cols * GLYPH_WIDTH,
                   (unsigned)vc->rows * GLYPH_HEIGHT);
    vc->changed = true;
    return true;
}

static void vc_close(CharBackend *chr)
{
    Vc *vc = chr->state;

    timer_cancel(&vc->later);
    display_free(vc->display);
    vterm_free(vc->term);
    buffer_free(&vc->typed);
    free(vc->cells);
    free(vc);
}

static size_t vc_write(CharBackend *chr, const uint8_t *data, size_t size)
{
    Vc *vc = chr->state;

    vterm_input_write(vc->term, (const char *)data, size);
    vterm_screen_flush_damage(vc->screen);
    return size;
}

/* "800x600" pixels, "80Cx25C" characters. */
static bool vc_parse(ChrOptions *o, const char *text, Error **errp)
{
    const char *x = strchr(text, 'x');
    char *first = strndup(text, x ? (size_t)(x - text) : 0), *second = strdup(x ? x + 1 : "");
    size_t a = strlen(first), b = strlen(second);
    bool chars = a && b && first[a - 1] == 'C' && second[b - 1] == 'C', ok;

    if (chars) {
        first[a - 1] = second[b - 1] = '\0';
    }
    ok = a && b && chr_parse_key(o, chars ? "cols" : "width", first, errp) &&
         chr_parse_key(o, chars ? "rows" : "height", second, errp);
    if (!ok && !(errp && *errp)) {
        error_set(errp, "'vc:%s': must be vc:WIDTHxHEIGHT in pixels, or as vc:80Cx24C", text);
    }
    free(first);
    free(second);
    return ok;
}

static const ChrDriver vc_driver = {
    .name = "vc",
    .help = "a text console on a screen of its own; width=, height= or cols=, rows=",
    .parse = vc_parse,
    .open = vc_open,
    .close = vc_close,
    .write = vc_write,
    .update_input = vc_accept,
};

void vc_register(void)
{
    chr_register_driver(&vc_driver);
}
