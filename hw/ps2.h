/*
 * PS/2 devices: a keyboard and a mouse at the end of a two-wire bus, as the keyboard controller
 * sees them.
 *
 * A device has two queues towards the controller: replies to commands, which go first, and what the
 * user did. The controller takes bytes when it has room and enables the port.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_PS2_H
#define HW_PS2_H

#include <stdbool.h>
#include <stdint.h>

#include "hw/device.h"

#define PS2_REPLIES 8
#define PS2_EVENTS  32

typedef struct Ps2Device Ps2Device;

struct Ps2Device {
    Device dev;
    /* wiring */
    void (*command)(Ps2Device *d, uint8_t value); /* a byte from the host */
    void (*drained)(Ps2Device *d);                /* all events were taken; may be NULL */
    void (*data_ready)(void *opaque);             /* the controller's */
    void *opaque;
    /* saved */
    uint8_t replies[PS2_REPLIES], reply_count;
    uint8_t events[PS2_EVENTS], event_count;
    uint8_t last_sent;    /* for the resend command */
    uint8_t parameter_of; /* the command whose parameter comes next; 0: none */
};

extern const VMState ps2_vmstate;
extern const DeviceClass ps2_keyboard_class, ps2_mouse_class;

/* They take the user's input from ui/display.h. parent: the controller. */
Ps2Device *ps2_keyboard_create(Device *parent);
Ps2Device *ps2_mouse_create(Device *parent);

/* ---- the controller's side ---- */
bool ps2_has_data(const Ps2Device *d);
uint8_t ps2_take(Ps2Device *d); /* 0 when there is nothing */
static inline void ps2_send_command(Ps2Device *d, uint8_t value)
{
    d->command(d, value);
}

/* ---- the devices' side (hw/ps2.c) ---- */
void ps2_queue_reset(Ps2Device *d);
void ps2_reply(Ps2Device *d, uint8_t value); /* lost when the queue is full */
unsigned ps2_event_room(const Ps2Device *d);
/* The bytes of one event, before the controller takes any; lost when there is no room for all. */
void ps2_event(Ps2Device *d, const uint8_t *bytes, unsigned n);

/* Commands and replies that both devices have. */
#define PS2_CMD_ECHO         0xee
#define PS2_CMD_GET_ID       0xf2
#define PS2_CMD_SET_RATE     0xf3
#define PS2_CMD_ENABLE       0xf4
#define PS2_CMD_DISABLE      0xf5
#define PS2_CMD_SET_DEFAULTS 0xf6
#define PS2_CMD_RESEND       0xfe
#define PS2_CMD_RESET        0xff
#define PS2_ACK              0xfa
#define PS2_BAT_PASSED       0xaa
#define PS2_RESEND           0xfe

#endif
