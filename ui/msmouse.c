/*
 * A Microsoft serial mouse with the third button as Logitech added it, at 1200 baud, 7N1.
 *
 * A report is three bytes: 1 L R Y7 Y6 X7 X6 (L, R: buttons), 0 X5..X0, 0 Y5..Y0, in seven bits;
 * a fourth, 0 M 0 0 0 0 0, comes while the middle button is down and once when it goes up. The
 * mouse lives on the modem lines: when RTS and DTR come on it has power, and says "M3" (a driver
 * looks for the M to find it). Movements that the guest is too slow for are added up.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ui/msmouse.h"

#include <stdlib.h>
#include <string.h>

#include "char/char-int.h"
#include "ui/display.h"

#define SYNC     0x40
#define LEFT     0x20
#define RIGHT    0x10
#define MIDDLE   0x20 /* in the fourth byte */
#define MOVE_MAX 127

/* Of input_mouse(). */
enum { INPUT_LEFT = 1, INPUT_RIGHT = 2, INPUT_MIDDLE = 4 };

typedef struct MsMouse {
    CharBackend *chr;
    uint8_t out[8]; /* being sent */
    unsigned out_size;
    int dx, dy; /* not reported yet */
    unsigned buttons, reported;
    bool powered;
} MsMouse;

static int clip(int v)
{
    return v > MOVE_MAX ? MOVE_MAX : v < -MOVE_MAX ? -MOVE_MAX : v;
}

static void make_report(MsMouse *m)
{
    int dx = clip(m->dx), dy = clip(m->dy);

    m->out[0] =
        (uint8_t)(SYNC | (m->buttons & INPUT_LEFT ? LEFT : 0) |
                  (m->buttons & INPUT_RIGHT ? RIGHT : 0) | (dy >> 4 & 0x0c) | (dx >> 6 & 3));
    m->out[1] = dx & 0x3f;
    m->out[2] = dy & 0x3f;
    m->out_size = 3;
    if ((m->buttons | m->reported) & INPUT_MIDDLE) {
        m->out[m->out_size++] = m->buttons & INPUT_MIDDLE ? MIDDLE : 0;
    }
    m->dx -= dx;
    m->dy -= dy;
    m->reported = m->buttons;
}

static void send(MsMouse *m)
{
    for (;;) {
        size_t n = chr_fe_can_receive(m->chr);
        uint8_t piece[sizeof(m->out)];

        if (m->out_size == 0 && m->powered && (m->dx || m->dy || m->buttons != m->reported)) {
            make_report(m);
        }
        n = n < m->out_size ? n : m->out_size;
        if (n == 0) {
            return;
        }
        memcpy(piece, m->out, n);
        m->out_size -= (unsigned)n;
        memmove(m->out, m->out + n, m->out_size);
        chr_fe_receive(m->chr, piece, n);
    }
}

static void on_input(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
    MsMouse *m = opaque;

    if (m->powered) {
        m->dx += dx;
        m->dy += dy;
        m->buttons = buttons & (INPUT_LEFT | INPUT_RIGHT | INPUT_MIDDLE);
        send(m);
    }
}

static void msmouse_set_modem(CharBackend *chr, bool dtr, bool rts)
{
    MsMouse *m = chr->state;
    bool powered = dtr && rts;

    if (powered && !m->powered) {
        m->dx = m->dy = 0;
        m->buttons = m->reported = 0;
        memcpy(m->out, "M3", 2);
        m->out_size = 2;
        m->powered = true;
        input_select_mouse(m);
        send(m);
    } else if (!powered) {
        m->powered = false;
        m->out_size = 0;
    }
}

static bool msmouse_open(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    MsMouse *m = calloc(1, sizeof(*m));

    m->chr = chr;
    chr->state = m;
    chr->connected = true;
    input_add_mouse("Microsoft serial mouse", on_input, m);
    return true;
}

static void msmouse_close(CharBackend *chr)
{
    input_remove_mouse(chr->state);
    free(chr->state);
}

/* A mouse has no ears. */
static size_t msmouse_write(CharBackend *chr, const uint8_t *data, size_t size)
{
    return size;
}

static void msmouse_update_input(CharBackend *chr)
{
    send(chr->state);
}

static const ChrDriver msmouse_driver = {
    .name = "msmouse",
    .help = "a Microsoft serial mouse",
    .open = msmouse_open,
    .close = msmouse_close,
    .write = msmouse_write,
    .update_input = msmouse_update_input,
    .set_modem = msmouse_set_modem,
};

void msmouse_register(void)
{
    chr_register_driver(&msmouse_driver);
}
