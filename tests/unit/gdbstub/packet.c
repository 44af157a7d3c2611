/*
 * The GDB stub's packets: frames with right and wrong checksums, escapes, lost ends and too much;
 * the numbers in them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "gdbstub/packet.h"

#include <stdlib.h>

#include "../test.h"

static GdbParser parser;

/* Feeds all bytes; what the last one led to. */
static GdbInput feed(const char *bytes, size_t size)
{
    GdbInput input = GDB_INPUT_NONE;

    for (size_t i = 0; i < size; i++) {
        input = gdb_parser_feed(&parser, (uint8_t)bytes[i]);
    }
    return input;
}

static GdbInput feed_text(const char *text)
{
    return feed(text, strlen(text));
}

static void takes_a_packet(void)
{
    memset(&parser, 0, sizeof(parser));
    CHECK_EQ(feed_text("$qC#b4"), GDB_INPUT_PACKET);
    CHECK_EQ(parser.size, 2);
    CHECK_STR((char *)parser.data, "qC");
    CHECK_EQ(feed_text("$#00"), GDB_INPUT_PACKET);
    CHECK_EQ(parser.size, 0);
    CHECK_EQ(feed_text("noise $qC#B4"), GDB_INPUT_PACKET);
}

static void refuses_wrong_sums(void)
{
    memset(&parser, 0, sizeof(parser));
    CHECK_EQ(feed_text("$qC#b5"), GDB_INPUT_BAD);
    CHECK_EQ(feed_text("$qC#zz"), GDB_INPUT_BAD);
    CHECK_EQ(feed_text("$qC#4b"), GDB_INPUT_BAD);
    CHECK_EQ(feed_text("$qC#b4"), GDB_INPUT_PACKET);
}

static void begins_anew_where_an_end_was_lost(void)
{
    memset(&parser, 0, sizeof(parser));
    CHECK_EQ(feed_text("$m1234,$qC#b4"), GDB_INPUT_PACKET);
    CHECK_STR((char *)parser.data, "qC");
}

static void knows_single_bytes(void)
{
    memset(&parser, 0, sizeof(parser));
    CHECK_EQ(feed_text("+"), GDB_INPUT_ACK);
    CHECK_EQ(feed_text("-"), GDB_INPUT_NAK);
    CHECK_EQ(feed_text("\x03"), GDB_INPUT_INTERRUPT);
    CHECK_EQ(feed_text("$\x03+-#61"), GDB_INPUT_BAD); /* data there: their sum is 5b */
    CHECK_EQ(feed_text("$\x03+-#5b"), GDB_INPUT_PACKET);
    CHECK_EQ(parser.size, 3);
}

static void undoes_escapes(void)
{
    memset(&parser, 0, sizeof(parser));
    /* '#', '$', '}' and '*' with bit 5 inverted, then a '*' as it is. */
    CHECK_EQ(feed_text("$}\x03}\x04}]}\x0a*#8c"), GDB_INPUT_PACKET);
    CHECK_EQ(parser.size, 5);
    CHECK_STR((char *)parser.data, "#$}**");
}

static void round_trip(void)
{
    Buffer frame = {0};
    uint8_t all[256];

    for (unsigned i = 0; i < 256; i++) {
        all[i] = (uint8_t)i;
    }
    memset(&parser, 0, sizeof(parser));
    gdb_put_packet(&frame, all, sizeof(all));
    CHECK_EQ(feed((char *)frame.data, frame.size), GDB_INPUT_PACKET);
    CHECK_EQ(parser.size, 256);
    CHECK(memcmp(parser.data, all, 256) == 0);
    buffer_free(&frame);
}

static void refuses_what_is_too_long(void)
{
    Buffer frame = {0};
    uint8_t *data = calloc(1, GDB_PACKET_MAX + 1);

    memset(&parser, 0, sizeof(parser));
    gdb_put_packet(&frame, data, GDB_PACKET_MAX);
    CHECK_EQ(feed((char *)frame.data, frame.size), GDB_INPUT_PACKET);
    CHECK_EQ(parser.size, GDB_PACKET_MAX);
    buffer_clear(&frame);
    gdb_put_packet(&frame, data, GDB_PACKET_MAX + 1);
    CHECK_EQ(feed((char *)frame.data, frame.size), GDB_INPUT_BAD);
    CHECK_EQ(feed_text("$qC#b4"), GDB_INPUT_PACKET);
    buffer_free(&frame);
    free(data);
}

static GdbText text(const char *s)
{
    return (GdbText){(const uint8_t *)s, (const uint8_t *)s + strlen(s)};
}

static void takes_numbers(void)
{
    GdbText t = text("1f,ffffffffffffffff:");
    uint64_t v;

    CHECK(gdb_take_hex(&t, &v));
    CHECK_EQ(v, 0x1f);
    CHECK(!gdb_take_hex(&t, &v));
    CHECK(!gdb_take_char(&t, ';'));
    CHECK(gdb_take_char(&t, ','));
    CHECK(gdb_take_hex(&t, &v));
    CHECK_EQ(v, UINT64_MAX);
    CHECK_EQ(gdb_text_left(&t), 1);
    t = text("10000000000000000"); /* 65 bits */
    CHECK(!gdb_take_hex(&t, &v));
    CHECK_EQ(gdb_text_left(&t), 17);
    t = text("00000000000000000a");
    CHECK(gdb_take_hex(&t, &v));
    CHECK_EQ(v, 10);
}

static void takes_bytes(void)
{
    GdbText t = text("00fFzz");
    uint8_t bytes[3] = {9, 9, 9};

    CHECK(!gdb_take_hex_bytes(&t, bytes, 3));
    CHECK(gdb_take_hex_bytes(&t, bytes, 2));
    CHECK_EQ(bytes[0], 0);
    CHECK_EQ(bytes[1], 0xff);
    CHECK(!gdb_take_hex_bytes(&t, bytes, 2)); /* fewer are left */
    CHECK_EQ(gdb_text_left(&t), 2);
    CHECK(gdb_take_word(&t, "zz"));
    CHECK(!gdb_take_word(&t, "z"));
}

TESTS(TEST(takes_a_packet), TEST(refuses_wrong_sums), TEST(begins_anew_where_an_end_was_lost),
      TEST(knows_single_bytes), TEST(undoes_escapes), TEST(round_trip),
      TEST(refuses_what_is_too_long), TEST(takes_numbers), TEST(takes_bytes))
