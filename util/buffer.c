/*
 * A growing byte buffer and a bounds-checked reader.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buffer_free(Buffer *b)
{
    free(b->data);
    *b = (Buffer){0};
}

void buffer_clear(Buffer *b)
{
    b->size = 0;
}

static void reserve(Buffer *b, size_t n)
{
    size_t needed, capacity = b->capacity ? b->capacity : 64;

    if (__builtin_add_overflow(b->size, n, &needed)) {
        abort();
    }
    if (needed <= b->capacity) {
        return;
    }
    while (capacity < needed) {
        if (__builtin_mul_overflow(capacity, (size_t)2, &capacity)) {
            abort();
        }
    }
    b->data = realloc(b->data, capacity);
    if (!b->data) {
        abort();
    }
    b->capacity = capacity;
}

void *buffer_extend(Buffer *b, size_t n)
{
    reserve(b, n);
    void *place = b->data + b->size;
    b->size += n;
    return place;
}

void buffer_append(Buffer *b, const void *data, size_t n)
{
    if (n) {
        memcpy(buffer_extend(b, n), data, n);
    }
}

static void put_le(Buffer *b, uint64_t v, unsigned bytes)
{
    uint8_t *p = buffer_extend(b, bytes);

    for (unsigned i = 0; i < bytes; i++) {
        p[i] = (uint8_t)(v >> (8 * i));
    }
}

void buffer_put_u8(Buffer *b, uint8_t v)
{
    put_le(b, v, 1);
}

void buffer_put_le16(Buffer *b, uint16_t v)
{
    put_le(b, v, 2);
}

void buffer_put_le32(Buffer *b, uint32_t v)
{
    put_le(b, v, 4);
}

void buffer_put_le64(Buffer *b, uint64_t v)
{
    put_le(b, v, 8);
}

void buffer_printf(Buffer *b, const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0) {
        abort();
    }
    buffer_append(b, text, (size_t)n);
    free(text);
}

const void *reader_bytes(Reader *r, size_t n)
{
    if (r->failed || n > r->size - r->pos) {
        r->failed = true;
        return NULL;
    }
    const void *place = r->data + r->pos;
    r->pos += n;
    return place;
}

static uint64_t read_le(Reader *r, unsigned bytes)
{
    const uint8_t *p = reader_bytes(r, bytes);
    uint64_t v = 0;

    for (unsigned i = 0; p && i < bytes; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return v;
}

uint8_t reader_u8(Reader *r)
{
    return (uint8_t)read_le(r, 1);
}

uint16_t reader_le16(Reader *r)
{
    return (uint16_t)read_le(r, 2);
}

uint32_t reader_le32(Reader *r)
{
    return (uint32_t)read_le(r, 4);
}

uint64_t reader_le64(Reader *r)
{
    return read_le(r, 8);
}
