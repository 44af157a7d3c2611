/*
 * The ring buffer backend: keeps the last bytes written, for the monitor and for tests to read.
 * Never throttles: when it is full the oldest bytes go.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>

#include "char/char-int.h"

#define RINGBUF_DEFAULT_SIZE 65536

typedef struct ChrRing {
    uint8_t *data;
    size_t size, start, used;
} ChrRing;

static bool ring_parse(ChrOptions *o, const char *text, Error **errp)
{
    return chr_parse_key(o, "size", text, errp);
}

static bool ring_open(CharBackend *chr, const ChrOptions *o, Error **errp)
{
    ChrRing *r = calloc(1, sizeof(*r));

    r->size = o->size ? o->size : RINGBUF_DEFAULT_SIZE;
    r->data = malloc(r->size);
    chr->state = r;
    chr->connected = true;
    return true;
}

static void ring_close(CharBackend *chr)
{
    ChrRing *r = chr->state;

    free(r->data);
    free(r);
}

static size_t ring_write(CharBackend *chr, const uint8_t *data, size_t size)
{
    ChrRing *r = chr->state;

    for (size_t i = 0; i < size; i++) {
        r->data[(r->start + r->used) % r->size] = data[i];
        if (r->used < r->size) {
            r->used++;
        } else {
            r->start = (r->start + 1) % r->size;
        }
    }
    return size;
}

size_t chr_ringbuf_read(CharBackend *chr, void *buf, size_t size)
{
    ChrRing *r = chr->state;
    uint8_t *out = buf;
    size_t n = 0;

    if (chr->driver != &chr_ringbuf_driver) {
        return 0;
    }
    for (; n < size && r->used > 0; n++, r->used--) {
        out[n] = r->data[r->start];
        r->start = (r->start + 1) % r->size;
    }
    return n;
}

size_t chr_ringbuf_feed(CharBackend *chr, const void *data, size_t size)
{
    const uint8_t *p = data;
    size_t done = 0;

    if (chr->driver != &chr_ringbuf_driver) {
        return 0;
    }
    while (done < size) {
        size_t n = chr_fe_can_receive(chr);
        if (n == 0) {
            break;
        }
        n = n < size - done ? n : size - done;
        chr_fe_receive(chr, p + done, n);
        done += n;
    }
    return done;
}

const ChrDriver chr_ringbuf_driver = {
    .name = "ringbuf",
    .help = "keeps the last size= bytes for the monitor's ringbuf_read",
    .parse = ring_parse,
    .open = ring_open,
    .close = ring_close,
    .write = ring_write,
};
