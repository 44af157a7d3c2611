/*
 * IoVector: a list of buffers that is read or written as one. Offsets are bytes from the start of
 * the whole; nothing here allocates for a vector over a single buffer.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef UTIL_IOVEC_H
#define UTIL_IOVEC_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

typedef struct IoVector {
    struct iovec *iov; /* the caller's, or &one */
    int count;
    size_t size; /* bytes, all together */
    struct iovec one;
} IoVector;

/* v must not be copied after this: iov points into it. */
static inline void iov_init_buf(IoVector *v, void *buf, size_t bytes)
{
    v->one = (struct iovec){buf, bytes};
    v->iov = &v->one;
    v->count = 1;
    v->size = bytes;
}

/* Over the caller's array, which must live as long. */
void iov_init(IoVector *v, struct iovec *iov, int count);
/* buf into the vector; the vector into buf. offset + bytes lies within the vector. */
void iov_from_buf(const IoVector *v, size_t offset, const void *buf, size_t bytes);
void iov_to_buf(const IoVector *v, size_t offset, void *buf, size_t bytes);
void iov_fill(const IoVector *v, size_t offset, int byte, size_t bytes);
bool iov_is_zero(const IoVector *v, size_t offset, size_t bytes);
/* How many entries iov_slice() needs for this range. */
int iov_slice_count(const IoVector *v, size_t offset, size_t bytes);
/* Writes the range as a list of its own into out; gives the number of entries. */
int iov_slice(const IoVector *v, size_t offset, size_t bytes, struct iovec *out);
/* Drops the first n bytes of a list. */
void iov_skip(struct iovec **iov, int *count, size_t n);
/* The place of the range where one buffer holds all of it, else NULL. */
void *iov_contiguous(const IoVector *v, size_t offset, size_t bytes);

/* Whether all bytes are zero; with vectors where the host has them. */
bool buffer_is_zero(const void *buf, size_t bytes);

#endif
