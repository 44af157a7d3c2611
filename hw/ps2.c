/*
 * What PS/2 devices share: their queues.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/ps2.h"

#include <string.h>

static void tell_controller(Ps2Device *d)
{
    if (d->data_ready) {
        d->data_ready(d->opaque);
    }
}

static uint8_t shift_out(uint8_t *queue, uint8_t *count)
{
    uint8_t value = queue[0];

    memmove(queue, queue + 1, --*count);
    return value;
}

bool ps2_has_data(const Ps2Device *d)
{
    return d->reply_count || d->event_count;
}

uint8_t ps2_take(Ps2Device *d)
{
    if (d->reply_count) {
        d->last_sent = shift_out(d->replies, &d->reply_count);
    } else if (d->event_count) {
        d->last_sent = shift_out(d->events, &d->event_count);
        if (!d->event_count && d->drained) {
            d->drained(d);
        }
    } else {
        return 0;
    }
    return d->last_sent;
}

void ps2_queue_reset(Ps2Device *d)
{
    d->reply_count = 0;
    d->event_count = 0;
}

void ps2_reply(Ps2Device *d, uint8_t value)
{
    if (d->reply_count < PS2_REPLIES) {
        d->replies[d->reply_count++] = value;
        tell_controller(d);
    }
}

unsigned ps2_event_room(const Ps2Device *d)
{
    return PS2_EVENTS - d->event_count;
}

void ps2_event(Ps2Device *d, const uint8_t *bytes, unsigned n)
{
    if (n <= ps2_event_room(d)) {
        memcpy(&d->events[d->event_count], bytes, n);
        d->event_count = (uint8_t)(d->event_count + n);
        tell_controller(d);
    }
}

static const VMStateField ps2_fields[] = {
    VMSTATE_U8_ARRAY(replies, Ps2Device),
    VMSTATE_U8(reply_count, Ps2Device),
    VMSTATE_U8_ARRAY(events, Ps2Device),
    VMSTATE_U8(event_count, Ps2Device),
    VMSTATE_U8(last_sent, Ps2Device),
    VMSTATE_U8(parameter_of, Ps2Device),
    VMSTATE_END,
};

static bool ps2_post_load(void *opaque, int version, Error **errp)
{
    Ps2Device *d = opaque;

    if (d->reply_count > PS2_REPLIES || d->event_count > PS2_EVENTS) {
        ps2_queue_reset(d);
        error_set(errp, "%s: the saved state's queue is longer than the device's",
                  d->dev.class->name);
        return false;
    }
    return true;
}

const VMState ps2_vmstate = {
    .name = "ps2",
    .version = 1,
    .fields = ps2_fields,
    .post_load = ps2_post_load,
};
