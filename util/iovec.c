/*
 * Lists of buffers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/iovec.h"

#include <stdint.h>
#include <string.h>

void iov_init(IoVector *v, struct iovec *iov, int count)
{
    v->iov = iov;
    v->count = count;
    v->size = 0;
    for (int i = 0; i < count; i++) {
        v->size += iov[i].iov_len;
    }
}

/* A walk over the pieces of a range. */
typedef struct Walk {
    const IoVector *v;
    int i;
    size_t skip, left;
} Walk;

static Walk walk_start(const IoVector *v, size_t offset, size_t bytes)
{
    Walk w = {v, 0, offset, bytes};

    while (w.i < v->count && w.skip >= v->iov[w.i].iov_len) {
        w.skip -= v->iov[w.i].iov_len;
        w.i++;
    }
    return w;
}

static bool walk_next(Walk *w, struct iovec *piece)
{
    if (!w->left || w->i == w->v->count) {
        return false;
    }
    const struct iovec *iov = &w->v->iov[w->i++];
    size_t n = iov->iov_len - w->skip;
    n = n < w->left ? n : w->left;
    *piece = (struct iovec){(char *)iov->iov_base + w->skip, n};
    w->skip = 0;
    w->left -= n;
    return true;
}

void iov_from_buf(const IoVector *v, size_t offset, const void *buf, size_t bytes)
{
    Walk w = walk_start(v, offset, bytes);
    struct iovec piece;

    for (const char *p = buf; walk_next(&w, &piece); p += piece.iov_len) {
        memcpy(piece.iov_base, p, piece.iov_len);
    }
}

void iov_to_buf(const IoVector *v, size_t offset, void *buf, size_t bytes)
{
    Walk w = walk_start(v, offset, bytes);
    struct iovec piece;

    for (char *p = buf; walk_next(&w, &piece); p += piece.iov_len) {
        memcpy(p, piece.iov_base, piece.iov_len);
    }
}

void iov_fill(const IoVector *v, size_t offset, int byte, size_t bytes)
{
    Walk w = walk_start(v, offset, bytes);
    struct iovec piece;

    while (walk_next(&w, &piece)) {
        memset(piece.iov_base, byte, piece.iov_len);
    }
}

bool iov_is_zero(const IoVector *v, size_t offset, size_t bytes)
{
    Walk w = walk_start(v, offset, bytes);
    struct iovec piece;

    while (walk_next(&w, &piece)) {
        if (!buffer_is_zero(piece.iov_base, piece.iov_len)) {
            return false;
        }
    }
    return true;
}

int iov_slice_count(const IoVector *v, size_t offset, size_t bytes)
{
    Walk w = walk_start(v, offset, bytes);
    struct iovec piece;
    int n = 0;

    while (walk_next(&w, &piece)) {
        n++;
    }
    return n;
}

int iov_slice(const IoVector *v, size_t offset, size_t bytes, struct iovec *out)
{
    Walk w = walk_start(v, offset, bytes);
    int n = 0;

    while (walk_next(&w, &out[n])) {
        n++;
    }
    return n;
}

void iov_skip(struct iovec **iov, int *count, size_t n)
{
    while (*count > 0 && n >= (*iov)->iov_len) {
        n -= (*iov)->iov_len;
        (*iov)++;
        (*count)--;
    }
    if (*count > 0) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + n;
        (*iov)->iov_len -= n;
    }
}

void *iov_contiguous(const IoVector *v, size_t offset, size_t bytes)
{
    Walk w = walk_start(v, offset, bytes);
    struct iovec piece;

    return walk_next(&w, &piece) && piece.iov_len == bytes ? piece.iov_base : NULL;
}

/* 64 bytes a step in words the compiler turns into vectors; data mostly differs early. */
typedef uint64_t Words __attribute__((vector_size(32), aligned(1), may_alias));

bool buffer_is_zero(const void *buf, size_t bytes)
{
    const uint8_t *p = buf;

    if (!bytes) {
        return true;
    }
    if (p[0] | p[bytes - 1] | p[bytes / 2]) {
        return false;
    }
    while (bytes >= 128) {
        const Words *w = (const Words *)p;
        Words any = w[0] | w[1] | w[2] | w[3];
        if (any[0] | any[1] | any[2] | any[3]) {
            return false;
        }
        p += 128;
        bytes -= 128;
    }
    while (bytes--) {
        if (*p++) {
            return false;
        }
    }
    return true;
}
