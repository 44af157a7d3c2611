/*
 * NBD client: the server's answers, simple and structured ones, and the requests that they belong
 * to. Whoever serves is not trusted: what does not fit its request is -EPROTO.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/nbd-int.h"

#include <errno.h>
#include <string.h>

#include "block/util.h"

enum { MAX_ERROR_TEXT = 4096 };

static NbdRequest *find_request(NbdState *s, uint64_t cookie)
{
    NbdRequest *req = s->slots[cookie % NBD_MAX_REQUESTS];

    return req && req->cookie == cookie && !req->answered ? req : NULL;
}

void nbd_request_answered(NbdRequest *req)
{
    req->answered = true;
    if (req->waiting) {
        coroutine_wake(req->co);
    }
}

static int read_payload(NbdState *s, NbdRequest *req, uint64_t from, uint64_t bytes)
{
    struct iovec room[NBD_INLINE_IOV], *iov = room;
    size_t at = req->at + from;
    int count = iov_slice_count(req->v, at, bytes);

    if (count > NBD_INLINE_IOV) {
        iov = malloc(count * sizeof(*iov));
        if (!iov) {
            return -ENOMEM;
        }
    }
    count = iov_slice(req->v, at, bytes, iov);
    int ret = cosocket_readv(s->socket, iov, count);
    if (iov != room) {
        free(iov);
    }
    return ret;
}

static int read_simple(NbdState *s, uint32_t error, uint64_t cookie)
{
    NbdRequest *req = find_request(s, cookie);

    if (!req || (s->info.structured && req->command == NBD_CMD_READ)) {
        return -EPROTO;
    }
    req->ret = error ? -nbd_error_from_wire(error) : 0;
    if (req->command == NBD_CMD_READ && !error) {
        int ret = read_payload(s, req, 0, req->bytes);
        if (ret < 0) {
            return ret;
        }
    } else if (req->command == NBD_CMD_BLOCK_STATUS && !error) {
        return -EPROTO;
    }
    nbd_request_answered(req);
    return 0;
}

static int take_data(NbdState *s, NbdRequest *req, uint32_t length)
{
    uint8_t head[8];

    if (req->command != NBD_CMD_READ || length <= 8) {
        return -EPROTO;
    }
    int ret = cosocket_read(s->socket, head, 8);
    uint64_t offset = load_be64(head), bytes = length - 8;
    if (ret < 0) {
        return ret;
    }
    if (offset < req->offset || bytes > req->bytes - req->received ||
        offset - req->offset > req->bytes - bytes) {
        return -EPROTO;
    }
    req->received += bytes;
    return read_payload(s, req, offset - req->offset, bytes);
}

static int take_hole(NbdState *s, NbdRequest *req, uint32_t length)
{
    uint8_t data[12];

    if (req->command != NBD_CMD_READ || length != 12) {
        return -EPROTO;
    }
    int ret = cosocket_read(s->socket, data, 12);
    uint64_t offset = load_be64(data), bytes = load_be32(data + 8);
    if (ret < 0) {
        return ret;
    }
    if (!bytes || offset < req->offset || bytes > req->bytes - req->received ||
        offset - req->offset > req->bytes - bytes) {
        return -EPROTO;
    }
    req->received += bytes;
    iov_fill(req->v, req->at + (offset - req->offset), 0, bytes);
    return 0;
}

/* The first extent is all that was asked for. */
static int take_status(NbdState *s, NbdRequest *req, uint32_t length)
{
    uint8_t data[12];

    if (req->command != NBD_CMD_BLOCK_STATUS || length < 12 || (length - 4) % 8) {
        return -EPROTO;
    }
    int ret = cosocket_read(s->socket, data, 12);
    if (ret < 0) {
        return ret;
    }
    if (load_be32(data) != s->info.context_id || req->status_bytes || !load_be32(data + 4)) {
        return -EPROTO;
    }
    req->status_bytes = load_be32(data + 4);
    req->status = load_be32(data + 8);
    return cosocket_skip(s->socket, length - 12);
}

static int take_error(NbdState *s, NbdRequest *req, uint32_t length)
{
    uint8_t data[6];

    if (length < 6 || length > MAX_ERROR_TEXT + 14) {
        return -EPROTO;
    }
    int ret = cosocket_read(s->socket, data, 6);
    if (ret < 0) {
        return ret;
    }
    uint32_t error = load_be32(data);
    if (!error) {
        return -EPROTO;
    }
    if (!req->ret) {
        req->ret = -nbd_error_from_wire(error);
    }
    return cosocket_skip(s->socket, length - 6);
}

static int read_chunk(NbdState *s, const uint8_t *head)
{
    uint16_t flags = load_be16(head + 4), type = load_be16(head + 6);
    uint32_t length = load_be32(head + 16);
    NbdRequest *req = find_request(s, load_be64(head + 8));
    int ret = -EPROTO;

    if (!req || !s->info.structured) {
        return -EPROTO;
    }
    if (type == NBD_CHUNK_NONE) {
        ret = length || !(flags & NBD_REPLY_DONE) ? -EPROTO : 0;
    } else if (type == NBD_CHUNK_DATA) {
        ret = take_data(s, req, length);
    } else if (type == NBD_CHUNK_HOLE) {
        ret = take_hole(s, req, length);
    } else if (type == NBD_CHUNK_STATUS) {
        ret = take_status(s, req, length);
    } else if (type & 1 << 15) {
        ret = take_error(s, req, length);
    }
    if (ret < 0 || !(flags & NBD_REPLY_DONE)) {
        return ret;
    }
    if (!req->ret && ((req->command == NBD_CMD_READ && req->received != req->bytes) ||
                      (req->command == NBD_CMD_BLOCK_STATUS && !req->status_bytes))) {
        return -EPROTO;
    }
    nbd_request_answered(req);
    return 0;
}

int nbd_read_answer(NbdState *s)
{
    uint8_t head[NBD_STRUCTURED_SIZE];
    int ret = cosocket_read(s->socket, head, NBD_SIMPLE_REPLY_SIZE);

    if (ret < 0) {
        return ret;
    }
    if (load_be32(head) == NBD_SIMPLE_MAGIC) {
        return read_simple(s, load_be32(head + 4), load_be64(head + 8));
    }
    if (load_be32(head) != NBD_STRUCTURED_MAGIC) {
        return -EPROTO;
    }
    ret = cosocket_read(s->socket, head + 16, 4);
    return ret < 0 ? ret : read_chunk(s, head);
}
