/*
 * A growing byte buffer, and a bounds-checked reader over bytes: for saved state, tables, packets.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef UTIL_BUFFER_H
#define UTIL_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Buffer {
    uint8_t *data;
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
} Buffer;

/* A zeroed Buffer is an empty one. Running out of memory ends the program. */
void buffer_free(Buffer *b);
void buffer_clear(Buffer *b);
/* Makes room for n more bytes at the end, counts them as used and returns their (unset) place. */
void *buffer_extend(Buffer *b, size_t n);
void buffer_append(Buffer *b, const void *data, size_t n);
void buffer_put_u8(Buffer *b, uint8_t v);
void buffer_put_le16(Buffer *b, uint16_t v);
void buffer_put_le32(Buffer *b, uint32_t v);
void buffer_put_le64(Buffer *b, uint64_t v);
/* printf at the end, without the terminating NUL. */
void buffer_printf(Buffer *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

typedef struct Reader {
    const uint8_t *data;
    size_t size;
    size_t pos;
    bool failed; /* something was read past the end: it came out as zeroes */
} Reader;

uint8_t reader_u8(Reader *r);
uint16_t reader_le16(Reader *r);
uint32_t reader_le32(Reader *r);
uint64_t reader_le64(Reader *r);
/* n bytes in place, or NULL (and failed) where there are fewer. */
const void *reader_bytes(Reader *r, size_t n);

#endif
