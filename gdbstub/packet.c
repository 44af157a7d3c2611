/*
 * Packets of GDB's remote serial protocol: "$content#sum", the sum being that of the bytes between,
 * modulo 256.
 * '}' announces a byte that is sent with bit 5 inverted. GDB manual, appendix E.1.
 *
 * Replies carry no run lengths. A '*' from GDB is a plain byte: only stubs may compress.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "gdbstub/packet.h"

#include <string.h>

#define ESCAPE     '}'
#define ESCAPE_XOR 0x20
#define INTERRUPT  0x03

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* ---- frames ---- */

static void begin(GdbParser *p)
{
    p->state = GDB_DATA;
    p->size = 0;
    p->sum = 0;
    p->bad = false;
}

static GdbInput feed_idle(GdbParser *p, uint8_t c)
{
    switch (c) {
    case '$':
        begin(p);
        return GDB_INPUT_NONE;
    case '+':
        return GDB_INPUT_ACK;
    case '-':
        return GDB_INPUT_NAK;
    case INTERRUPT:
        return GDB_INPUT_INTERRUPT;
    default:
        return GDB_INPUT_NONE; /* noise on the line */
    }
}

static void store(GdbParser *p, uint8_t c)
{
    if (p->size < GDB_PACKET_MAX) {
        p->data[p->size++] = c;
    } else {
        p->bad = true;
    }
}

static GdbInput feed_data(GdbParser *p, uint8_t c)
{
    if (p->state == GDB_DATA && c == '$') {
        begin(p); /* the end of the one before was lost */
        return GDB_INPUT_NONE;
    }
    if (p->state == GDB_DATA && c == '#') {
        p->state = GDB_SUM_HIGH;
        return GDB_INPUT_NONE;
    }
    p->sum += c;
    if (p->state == GDB_ESCAPED) {
        store(p, c ^ ESCAPE_XOR);
        p->state = GDB_DATA;
    } else if (c == ESCAPE) {
        p->state = GDB_ESCAPED;
    } else {
        store(p, c);
    }
    return GDB_INPUT_NONE;
}

GdbInput gdb_parser_feed(GdbParser *p, uint8_t c)
{
    int digit;

    switch (p->state) {
    case GDB_IDLE:
        return feed_idle(p, c);
    case GDB_DATA:
    case GDB_ESCAPED:
        return feed_data(p, c);
    case GDB_SUM_HIGH:
        digit = hex_digit(c);
        p->bad |= digit < 0;
        p->told = (uint8_t)(digit << 4);
        p->state = GDB_SUM_LOW;
        return GDB_INPUT_NONE;
    default:
        digit = hex_digit(c);
        p->state = GDB_IDLE;
        if (p->bad || digit < 0 || (p->told | digit) != p->sum) {
            return GDB_INPUT_BAD;
        }
        p->data[p->size] = '\0';
        return GDB_INPUT_PACKET;
    }
}

void gdb_put_packet(Buffer *out, const void *data, size_t size)
{
    const uint8_t *p = data;
    uint8_t sum = 0;

    buffer_put_u8(out, '$');
    for (size_t i = 0; i < size; i++) {
        uint8_t c = p[i];
        if (c == '#' || c == '$' || c == ESCAPE || c == '*') {
            buffer_put_u8(out, ESCAPE);
            sum += ESCAPE;
            c ^= ESCAPE_XOR;
        }
        buffer_put_u8(out, c);
        sum += c;
    }
    buffer_printf(out, "#%02x", sum);
}

/* ---- content ---- */

bool gdb_take_char(GdbText *t, char c)
{
    if (t->p == t->end || *t->p != (uint8_t)c) {
        return false;
    }
    t->p++;
    return true;
}

bool gdb_take_word(GdbText *t, const char *word)
{
    size_t len = strlen(word);

    if (gdb_text_left(t) < len || memcmp(t->p, word, len) != 0) {
        return false;
    }
    t->p += len;
    return true;
}

bool gdb_take_hex(GdbText *t, uint64_t *value)
{
    const uint8_t *p = t->p;
    uint64_t v = 0;
    int digit;

    while (p < t->end && (digit = hex_digit(*p)) >= 0) {
        if (v >> 60) {
            return false;
        }
        v = v << 4 | (unsigned)digit;
        p++;
    }
    if (p == t->p) {
        return false;
    }
    t->p = p;
    *value = v;
    return true;
}

bool gdb_take_hex_bytes(GdbText *t, uint8_t *bytes, size_t size)
{
    if (gdb_text_left(t) / 2 < size) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(t->p[2 * i]), low = hex_digit(t->p[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    t->p += 2 * size;
    return true;
}

void gdb_put_hex_bytes(Buffer *out, const void *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *from = bytes;
    char *to = buffer_extend(out, 2 * size);

    for (size_t i = 0; i < size; i++) {
        to[2 * i] = digits[from[i] >> 4];
        to[2 * i + 1] = digits[from[i] & 15];
    }
}
