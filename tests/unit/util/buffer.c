/*
 * What goes into a buffer comes out of a reader, and nothing comes from beyond its end.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/buffer.h"

#include "../test.h"

static void comes_out_as_it_went_in(void)
{
    Buffer b = {0};

    buffer_put_u8(&b, 0x12);
    buffer_put_le16(&b, 0x3456);
    buffer_put_le32(&b, 0x789abcde);
    buffer_put_le64(&b, 0x1122334455667788);
    buffer_printf(&b, "%s-%d", "x", 5);
    buffer_append(&b, NULL, 0);
    CHECK_EQ(b.size, 18);
    CHECK_EQ(b.data[1], 0x56);

    Reader r = {.data = b.data, .size = b.size};
    CHECK_EQ(reader_u8(&r), 0x12);
    CHECK_EQ(reader_le16(&r), 0x3456);
    CHECK_EQ(reader_le32(&r), 0x789abcde);
    CHECK_EQ(reader_le64(&r), 0x1122334455667788);
    CHECK(memcmp(reader_bytes(&r, 3), "x-5", 3) == 0);
    CHECK(!r.failed);
    CHECK_EQ(reader_u8(&r), 0);
    CHECK(r.failed);
    buffer_free(&b);
    CHECK(b.data == NULL && b.size == 0);
}

static void a_read_across_the_end_fails_for_good(void)
{
    static const uint8_t bytes[] = {1, 2, 3};
    Reader r = {.data = bytes, .size = 3};

    CHECK_EQ(reader_u8(&r), 1);
    CHECK_EQ(reader_le32(&r), 0);
    CHECK(r.failed);
    CHECK_EQ(reader_u8(&r), 0);
    CHECK(reader_bytes(&r, 0) == NULL);
    r = (Reader){.data = bytes, .size = 3};
    CHECK(reader_bytes(&r, SIZE_MAX) == NULL);
    r = (Reader){.data = bytes, .size = 3};
    CHECK(reader_bytes(&r, 3) == bytes);
}

static void grows_and_is_used_again(void)
{
    Buffer b = {0};

    for (unsigned i = 0; i < 100000; i++) {
        buffer_put_le32(&b, i);
    }
    CHECK_EQ(b.size, 400000);
    Reader r = {.data = b.data, .size = b.size};
    for (unsigned i = 0; i < 100000; i++) {
        CHECK_EQ(reader_le32(&r), i);
    }
    size_t capacity = b.capacity;
    buffer_clear(&b);
    CHECK_EQ(b.size, 0);
    memset(buffer_extend(&b, 16), 0x5a, 16);
    CHECK_EQ(b.capacity, capacity);
    CHECK_EQ(b.data[15], 0x5a);
    buffer_free(&b);
}

TESTS(TEST(comes_out_as_it_went_in), TEST(a_read_across_the_end_fails_for_good),
      TEST(grows_and_is_used_again))
