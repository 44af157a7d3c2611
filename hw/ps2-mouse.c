/*
 * PS/2 mouse: the standard one, and Microsoft's IntelliMouse protocols with a wheel and with five
 * buttons that the host unlocks by sequences of sample rates.
 *
 * IBM PS/2 hardware interface technical reference, "Mouse"; Microsoft's "IntelliMouse" extension.
 * The sample rate is remembered and not kept: a packet goes out when the one before it was taken,
 * and movement in between adds up.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/ps2.h"

#include <string.h>

#include "ui/display.h"

#define CMD_SCALE_1_1   0xe6
#define CMD_SCALE_2_1   0xe7
#define CMD_RESOLUTION  0xe8
#define CMD_STATUS      0xe9
#define CMD_STREAM_MODE 0xea
#define CMD_READ_DATA   0xeb
#define CMD_WRAP_RESET  0xec
#define CMD_WRAP_MODE   0xee
#define CMD_REMOTE_MODE 0xf0

/* First byte of a packet. */
#define PACKET_BUTTONS    0x07
#define PACKET_ALWAYS     0x08
#define PACKET_X_SIGN     0x10
#define PACKET_Y_SIGN     0x20
#define PACKET_X_OVERFLOW 0x40
#define PACKET_Y_OVERFLOW 0x80

/* First byte of the status. */
#define STATUS_SCALE_2_1 0x10
#define STATUS_ENABLED   0x20
#define STATUS_REMOTE    0x40

#define ID_STANDARD 0
#define ID_WHEEL    3
#define ID_BUTTONS  4

#define MAX_MOVE 1000000 /* what adds up while nobody listens */

typedef struct Ps2Mouse {
    Ps2Device ps2;
    /* saved */
    uint8_t id;
    bool enabled, remote, wrap, scale_2_1;
    uint8_t resolution, rate;
    uint8_t unlock[2];  /* the two sample rates before the last one */
    int32_t dx, dy, dz; /* not reported yet; dy up, dz towards the user */
    uint8_t buttons, reported_buttons;
} Ps2Mouse;

/* ---- packets ---- */

static int32_t take_move(int32_t *sum, int32_t min, int32_t max)
{
    int32_t v = *sum < min ? min : *sum > max ? max : *sum;

    *sum -= v;
    return v;
}

/* In stream mode 2:1 scaling makes small moves smaller and large ones twice as large. */
static int32_t scaled(const Ps2Mouse *s, int32_t v)
{
    static const uint8_t small[6] = {0, 1, 1, 3, 6, 9};
    int32_t size = v < 0 ? -v : v;

    if (!s->scale_2_1 || s->remote) {
        return v;
    }
    size = size < 6 ? small[size] : 2 * size;
    size = size > 255 ? 255 : size;
    return v < 0 ? -size : size;
}

static unsigned make_packet(Ps2Mouse *s, uint8_t packet[4])
{
    int32_t dx = scaled(s, take_move(&s->dx, -255, 255));
    int32_t dy = scaled(s, take_move(&s->dy, -255, 255));
    int32_t dz = s->id == ID_STANDARD ? 0 : take_move(&s->dz, -8, 7);

    packet[0] = (uint8_t)(PACKET_ALWAYS | (s->buttons & PACKET_BUTTONS) |
                          (dx < 0 ? PACKET_X_SIGN : 0) | (dy < 0 ? PACKET_Y_SIGN : 0));
    packet[1] = (uint8_t)dx;
    packet[2] = (uint8_t)dy;
    packet[3] =
        s->id == ID_BUTTONS ? (uint8_t)((dz & 0x0f) | (s->buttons >> 3 & 3) << 4) : (uint8_t)dz;
    s->reported_buttons = s->buttons;
    return s->id == ID_STANDARD ? 3 : 4;
}

static bool has_news(const Ps2Mouse *s)
{
    return s->dx || s->dy || (s->dz && s->id != ID_STANDARD) || s->buttons != s->reported_buttons;
}

/* Stream mode: one packet waits in the queue at a time. */
static void send_news(Ps2Device *d)
{
    Ps2Mouse *s = (Ps2Mouse *)d;
    uint8_t packet[4];

    if (s->enabled && !s->remote && !s->wrap && !d->event_count && has_news(s)) {
        unsigned n = make_packet(s, packet);
        ps2_event(d, packet, n);
    }
}

static int32_t add_move(int32_t sum, int delta)
{
    int64_t v = (int64_t)sum + delta;
    return (int32_t)(v > MAX_MOVE ? MAX_MOVE : v < -MAX_MOVE ? -MAX_MOVE : v);
}

static void mouse_input(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
    Ps2Mouse *s = opaque;

    s->buttons = buttons & 0x1f;
    if (s->enabled || s->remote) {
        s->dx = add_move(s->dx, dx);
        s->dy = add_move(s->dy, -dy);
        s->dz = add_move(s->dz, dz);
    }
    send_news(&s->ps2);
}

/* ---- guest side ---- */

static void forget_moves(Ps2Mouse *s)
{
    s->ps2.event_count = 0;
    s->dx = s->dy = s->dz = 0;
}

static void set_defaults(Ps2Mouse *s)
{
    forget_moves(s);
    s->enabled = s->remote = s->wrap = s->scale_2_1 = false;
    s->resolution = 2;
    s->rate = 100;
    s->ps2.parameter_of = 0;
}

/* Rates 200, 100, 80 turn the wheel on, 200, 200, 80 the buttons too. */
static void set_rate(Ps2Mouse *s, uint8_t rate)
{
    if (rate == 80 && s->unlock[0] == 200 && s->unlock[1] == 100) {
        s->id = ID_WHEEL;
    } else if (rate == 80 && s->unlock[0] == 200 && s->unlock[1] == 200 && s->id == ID_WHEEL) {
        s->id = ID_BUTTONS;
    }
    s->unlock[0] = s->unlock[1];
    s->unlock[1] = rate;
    s->rate = rate;
}

static void reply_status(Ps2Mouse *s)
{
    /* Left, middle, right from bit 2 down. */
    uint8_t buttons =
        (uint8_t)((s->buttons & 1) << 2 | (s->buttons & 4) >> 1 | (s->buttons & 2) >> 1);

    ps2_reply(&s->ps2, PS2_ACK);
    ps2_reply(&s->ps2,
              (uint8_t)(buttons | (s->scale_2_1 ? STATUS_SCALE_2_1 : 0) |
                        (s->enabled ? STATUS_ENABLED : 0) | (s->remote ? STATUS_REMOTE : 0)));
    ps2_reply(&s->ps2, s->resolution);
    ps2_reply(&s->ps2, s->rate);
}

static void reply_data(Ps2Mouse *s)
{
    uint8_t packet[4];
    unsigned n = make_packet(s, packet);

    ps2_reply(&s->ps2, PS2_ACK);
    for (unsigned i = 0; i < n; i++) {
        ps2_reply(&s->ps2, packet[i]);
    }
}

static void reset_command(Ps2Mouse *s)
{
    ps2_queue_reset(&s->ps2);
    set_defaults(s);
    s->id = ID_STANDARD;
    ps2_reply(&s->ps2, PS2_ACK);
    ps2_reply(&s->ps2, PS2_BAT_PASSED);
    ps2_reply(&s->ps2, ID_STANDARD);
}

static void parameter(Ps2Mouse *s, uint8_t command, uint8_t value)
{
    s->ps2.parameter_of = 0;
    if (command == PS2_CMD_SET_RATE) {
        set_rate(s, value);
    } else {
        s->resolution = value & 3;
    }
    ps2_reply(&s->ps2, PS2_ACK);
}

static void mode_command(Ps2Mouse *s, uint8_t value)
{
    switch (value) {
    case CMD_SCALE_1_1:
    case CMD_SCALE_2_1:
        s->scale_2_1 = value == CMD_SCALE_2_1;
        break;
    case CMD_STREAM_MODE:
    case CMD_REMOTE_MODE:
        s->remote = value == CMD_REMOTE_MODE;
        forget_moves(s);
        break;
    case CMD_WRAP_MODE:
    case CMD_WRAP_RESET:
        s->wrap = value == CMD_WRAP_MODE;
        break;
    case PS2_CMD_ENABLE:
    case PS2_CMD_DISABLE:
        s->enabled = value == PS2_CMD_ENABLE;
        forget_moves(s);
        break;
    case PS2_CMD_SET_DEFAULTS:
        set_defaults(s);
        break;
    default:
        ps2_reply(&s->ps2, PS2_RESEND);
        return;
    }
    ps2_reply(&s->ps2, PS2_ACK);
}

static void mouse_command(Ps2Device *d, uint8_t value)
{
    Ps2Mouse *s = (Ps2Mouse *)d;

    d->event_count = 0; /* a packet that was under way is given up */
    if (s->wrap && value != CMD_WRAP_RESET && value != PS2_CMD_RESET) {
        ps2_reply(d, value);
        return;
    }
    if (d->parameter_of) {
        parameter(s, d->parameter_of, value);
        return;
    }
    switch (value) {
    case CMD_RESOLUTION:
    case PS2_CMD_SET_RATE:
        d->parameter_of = value;
        ps2_reply(d, PS2_ACK);
        break;
    case CMD_STATUS:
        reply_status(s);
        break;
    case CMD_READ_DATA:
        reply_data(s);
        break;
    case PS2_CMD_GET_ID:
        ps2_reply(d, PS2_ACK);
        ps2_reply(d, s->id);
        break;
    case PS2_CMD_RESEND:
        ps2_reply(d, d->last_sent);
        break;
    case PS2_CMD_RESET:
        reset_command(s);
        break;
    default:
        mode_command(s, value);
    }
}

/* ---- reset, state, creation ---- */

static void mouse_reset(Device *dev)
{
    Ps2Mouse *s = (Ps2Mouse *)dev;

    ps2_queue_reset(&s->ps2);
    set_defaults(s);
    s->id = ID_STANDARD;
    s->ps2.last_sent = PS2_BAT_PASSED;
    memset(s->unlock, 0, sizeof(s->unlock));
    s->reported_buttons = s->buttons;
}

static const VMStateField mouse_fields[] = {
    VMSTATE_STRUCT(ps2, Ps2Mouse, ps2_vmstate),
    VMSTATE_U8(id, Ps2Mouse),
    VMSTATE_BOOL(enabled, Ps2Mouse),
    VMSTATE_BOOL(remote, Ps2Mouse),
    VMSTATE_BOOL(wrap, Ps2Mouse),
    VMSTATE_BOOL(scale_2_1, Ps2Mouse),
    VMSTATE_U8(resolution, Ps2Mouse),
    VMSTATE_U8(rate, Ps2Mouse),
    VMSTATE_U8_ARRAY(unlock, Ps2Mouse),
    VMSTATE_U32(dx, Ps2Mouse),
    VMSTATE_U32(dy, Ps2Mouse),
    VMSTATE_U32(dz, Ps2Mouse),
    VMSTATE_U8(buttons, Ps2Mouse),
    VMSTATE_U8(reported_buttons, Ps2Mouse),
    VMSTATE_END,
};

static const VMState mouse_vmstate = {.name = "ps2-mouse", .version = 1, .fields = mouse_fields};

static bool mouse_realize(Device *dev, Error **errp)
{
    Ps2Mouse *s = (Ps2Mouse *)dev;

    s->ps2.command = mouse_command;
    s->ps2.drained = send_news;
    input_add_mouse("PS/2 mouse", mouse_input, s);
    return true;
}

const DeviceClass ps2_mouse_class = {
    .name = "ps2-mouse",
    .desc = "PS/2 mouse with wheel and five buttons",
    .bus = "ps2",
    .size = sizeof(Ps2Mouse),
    .vmstate = &mouse_vmstate,
    .realize = mouse_realize,
    .reset = mouse_reset,
};

Ps2Device *ps2_mouse_create(Device *parent)
{
    Device *dev = device_new(&ps2_mouse_class, parent, "mouse");

    device_realize_or_die(dev);
    return (Ps2Device *)dev;
}
