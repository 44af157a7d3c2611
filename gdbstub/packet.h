/*
 * Packets of GDB's remote serial protocol: framing, and reading their text.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef GDBSTUB_PACKET_H
#define GDBSTUB_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/buffer.h"

/* Bytes of a packet's content, as qSupported tells GDB. */
#define GDB_PACKET_MAX 16384

typedef enum GdbInput {
    GDB_INPUT_NONE,
    GDB_INPUT_PACKET, /* data[0 .. size - 1], ended by a NUL that is not counted */
    GDB_INPUT_BAD,    /* wrong checksum, or too long: to be sent again */
    GDB_INPUT_ACK,
    GDB_INPUT_NAK,
    GDB_INPUT_INTERRUPT, /* Ctrl-C, outside of a packet */
} GdbInput;

typedef struct GdbParser {
    enum { GDB_IDLE, GDB_DATA, GDB_ESCAPED, GDB_SUM_HIGH, GDB_SUM_LOW } state;
    uint8_t sum, told;
    bool bad;
    size_t size;
    uint8_t data[GDB_PACKET_MAX + 1];
} GdbParser;

/* A zeroed parser is a fresh one. */
GdbInput gdb_parser_feed(GdbParser *p, uint8_t c);
/* Appends a frame around the content. */
void gdb_put_packet(Buffer *out, const void *data, size_t size);

/* ---- the content ---- */

/* What is left of a packet. */
typedef struct GdbText {
    const uint8_t *p, *end;
} GdbText;

/* Each moves behind what it took; false, and nothing is taken, where something else stands. */
bool gdb_take_char(GdbText *t, char c);
bool gdb_take_word(GdbText *t, const char *word);
bool gdb_take_hex(GdbText *t, uint64_t *value); /* 1 to 16 digits */
/* size bytes written as two digits each. */
bool gdb_take_hex_bytes(GdbText *t, uint8_t *bytes, size_t size);
static inline size_t gdb_text_left(const GdbText *t)
{
    return (size_t)(t->end - t->p);
}
void gdb_put_hex_bytes(Buffer *out, const void *bytes, size_t size);

#endif
