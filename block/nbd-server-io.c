/*
 * Requests of an NBD client. Each runs in a coroutine of its own and answers when it is done, in
 * whatever order; what they hold in memory together is limited.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/nbd-server-int.h"
#include "block/util.h"

enum {
    MAX_MEMORY = 64 << 20, /* bytes for the requests of a client */
    MAX_EXTENTS = 4096,
    SPARSE_READ = 64 * 1024, /* from here on a read looks for holes */
};

typedef struct Request {
    NbdClient *client;
    uint16_t flags, command;
    uint64_t cookie, offset;
    uint32_t length;
    uint8_t *data; /* of a write, or room for a read */
    uint64_t held; /* memory it counts for */
} Request;

/* ---- answers ---- */

static int send_vector(NbdClient *c, struct iovec *iov, int count)
{
    co_mutex_lock(&c->sending);
    int ret = cosocket_writev(c->socket, iov, count);
    co_mutex_unlock(&c->sending);
    return ret;
}

/* One chunk: `head_size` bytes of its own, then data. */
static int send_chunk(const Request *r, uint16_t type, bool done, const void *own,
                      uint32_t own_size, const void *data, uint32_t data_size)
{
    uint8_t head[NBD_STRUCTURED_SIZE];
    struct iovec iov[3] = {
        {head, sizeof(head)}, {(void *)own, own_size}, {(void *)data, data_size}};

    store_be32(head, NBD_STRUCTURED_MAGIC);
    store_be16(head + 4, done ? NBD_REPLY_DONE : 0);
    store_be16(head + 6, type);
    store_be64(head + 8, r->cookie);
    store_be32(head + 16, own_size + data_size);
    return send_vector(r->client, iov, 3);
}

static int send_simple(const Request *r, uint32_t error, const void *data, uint32_t size)
{
    uint8_t head[NBD_SIMPLE_REPLY_SIZE];
    struct iovec iov[2] = {{head, sizeof(head)}, {(void *)data, size}};

    store_be32(head, NBD_SIMPLE_MAGIC);
    store_be32(head + 4, error);
    store_be64(head + 8, r->cookie);
    return send_vector(r->client, iov, 2);
}

/* ret: 0 or a negative errno. Reads and status come here only when they failed, or for nothing. */
static void send_result(const Request *r, int ret)
{
    uint8_t own[6] = {0};
    bool chunks = r->command == NBD_CMD_READ || r->command == NBD_CMD_BLOCK_STATUS;

    if (!r->client->structured || (!chunks && ret == 0)) {
        send_simple(r, ret < 0 ? nbd_error_to_wire(-ret) : 0, NULL, 0);
    } else if (ret < 0) {
        store_be32(own, nbd_error_to_wire(-ret));
        send_chunk(r, NBD_CHUNK_ERROR, true, own, sizeof(own), NULL, 0);
    } else {
        send_chunk(r, NBD_CHUNK_NONE, true, NULL, 0, NULL, 0);
    }
}

/* ---- commands ---- */

static int send_data(const Request *r, uint32_t from, uint32_t size, bool done)
{
    uint8_t own[8];

    store_be64(own, r->offset + from);
    return send_chunk(r, NBD_CHUNK_DATA, done, own, sizeof(own), r->data + from, size);
}

static int send_hole(const Request *r, uint32_t from, uint32_t size, bool done)
{
    uint8_t own[12];

    store_be64(own, r->offset + from);
    store_be32(own + 8, size);
    return send_chunk(r, NBD_CHUNK_HOLE, done, own, sizeof(own), NULL, 0);
}

/* Holes as such, the rest as data. */
static int read_sparse(const Request *r)
{
    BlockChild *root = r->client->export->root;
    uint32_t at = 0;
    int ret = 0;

    while (at < r->length && ret == 0) {
        uint64_t n;
        ret = bdrv_co_block_status_above(root->node, NULL, true, r->offset + at, r->length - at, &n,
                                         NULL, NULL, NULL);
        if (ret < 0) {
            break;
        }
        n = n ? MIN(n, r->length - at) : r->length - at;
        bool done = at + n == r->length;
        if (ret & BDRV_BLOCK_ZERO) {
            ret = send_hole(r, at, (uint32_t)n, done);
        } else {
            ret = bdrv_co_pread(root, r->offset + at, n, r->data + at, 0);
            ret = ret < 0 ? ret : send_data(r, at, (uint32_t)n, done);
        }
        at += (uint32_t)n;
    }
    return ret;
}

static void serve_read(const Request *r)
{
    NbdClient *c = r->client;
    int ret;

    if (c->structured && !(r->flags & NBD_CMD_DF) && r->length >= SPARSE_READ) {
        ret = read_sparse(r);
        if (ret < 0) {
            send_result(r, ret);
        }
        return;
    }
    ret = bdrv_co_pread(c->export->root, r->offset, r->length, r->data, 0);
    if (ret < 0) {
        send_result(r, ret);
    } else if (c->structured) {
        send_data(r, 0, r->length, true);
    } else {
        send_simple(r, 0, r->data, r->length);
    }
}

/* The state of a context at offset, and how far it goes. */
static int ask_context(const NbdExport *e, unsigned context, uint64_t offset, uint64_t bytes,
                       uint32_t *state, uint64_t *n)
{
    BlockNode *node = e->root->node;
    unsigned layers = 0;

    if (context >= NBD_CONTEXT_BITMAP) {
        const NbdBitmap *b = &e->bitmaps[context - NBD_CONTEXT_BITMAP];
        uint64_t i = offset >> b->granularity_bits, end = offset + bytes, at = i;
        bool set = i / 8 < b->bytes && (b->bits[i / 8] >> i % 8 & 1);
        do {
            at++;
        } while (at << b->granularity_bits < end &&
                 (at / 8 < b->bytes && (b->bits[at / 8] >> at % 8 & 1)) == set);
        *state = set;
        *n = MIN(at << b->granularity_bits, end) - offset;
        return 0;
    }
    int ret = bdrv_co_block_status_above(node, NULL, true, offset, bytes, n, NULL, NULL, &layers);
    if (ret < 0) {
        return ret;
    }
    if (context == NBD_CONTEXT_DEPTH) {
        *state = ret & BDRV_BLOCK_ALLOCATED ? layers + 1 : 0;
    } else {
        *state = (ret & BDRV_BLOCK_DATA ? 0 : NBD_STATE_HOLE) |
                 (ret & BDRV_BLOCK_ZERO ? NBD_STATE_ZERO : 0);
    }
    *n = *n ? MIN(*n, bytes) : bytes;
    return 0;
}

static int serve_context(const Request *r, unsigned context, bool done)
{
    const unsigned max = r->flags & NBD_CMD_REQ_ONE ? 1 : MAX_EXTENTS;
    uint8_t own[4], *extents = malloc(8 * max);
    uint64_t offset = r->offset, end = offset + r->length, n;
    uint32_t state, last = 0;
    unsigned count = 0;
    int ret = extents ? 0 : -ENOMEM;

    while (ret == 0 && offset < end) {
        ret = ask_context(r->client->export, context, offset, end - offset, &state, &n);
        if (ret < 0 || (count == max && state != last)) {
            break;
        }
        if (count && state == last) {
            uint32_t before = load_be32(extents + 8 * (count - 1));
            store_be32(extents + 8 * (count - 1), before + (uint32_t)n);
        } else {
            store_be32(extents + 8 * count, (uint32_t)n);
            store_be32(extents + 8 * count + 4, state);
            count++;
        }
        last = state;
        offset += n;
    }
    if (ret == 0) {
        store_be32(own, context);
        ret = send_chunk(r, NBD_CHUNK_STATUS, done, own, sizeof(own), extents, 8 * count);
    }
    free(extents);
    return ret;
}

static void serve_status(const Request *r)
{
    uint32_t left = r->client->contexts;
    int ret = left && r->client->structured ? 0 : -EINVAL;

    for (unsigned i = 0; ret == 0 && left; i++) {
        if (left >> i & 1) {
            left &= ~(1u << i);
            ret = serve_context(r, i, !left);
        }
    }
    if (ret < 0) {
        send_result(r, ret);
    }
}

static int serve_change(const Request *r)
{
    BlockChild *root = r->client->export->root;
    unsigned fua = r->flags & NBD_CMD_FUA ? BDRV_REQ_FUA : 0;
    int ret;

    switch (r->command) {
    case NBD_CMD_WRITE:
        return bdrv_co_pwrite(root, r->offset, r->length, r->data, fua);
    case NBD_CMD_WRITE_ZEROES:
        return bdrv_co_pwrite_zeroes(root, r->offset, r->length,
                                     fua | (r->flags & NBD_CMD_NO_HOLE ? 0 : BDRV_REQ_MAY_UNMAP) |
                                         (r->flags & NBD_CMD_FAST_ZERO ? BDRV_REQ_NO_FALLBACK : 0));
    case NBD_CMD_TRIM:
        ret = bdrv_co_pdiscard(root, r->offset, r->length);
        return ret == 0 && fua ? bdrv_co_flush(root->node) : ret;
    default:
        return bdrv_co_flush(root->node);
    }
}

/* ---- checks ---- */

static int check(const Request *r)
{
    const NbdExport *e = r->client->export;
    const uint64_t size = bdrv_size(e->root->node);
    static const struct {
        uint16_t flags;
        bool changes, ranged;
    } commands[] = {
        [NBD_CMD_READ] = {NBD_CMD_DF | NBD_CMD_FUA, false, true},
        [NBD_CMD_WRITE] = {NBD_CMD_FUA, true, true},
        [NBD_CMD_FLUSH] = {NBD_CMD_FUA, false, false},
        [NBD_CMD_TRIM] = {NBD_CMD_FUA, true, true},
        [NBD_CMD_CACHE] = {NBD_CMD_FUA, false, true},
        [NBD_CMD_WRITE_ZEROES] = {NBD_CMD_FUA | NBD_CMD_NO_HOLE | NBD_CMD_FAST_ZERO, true, true},
        [NBD_CMD_BLOCK_STATUS] = {NBD_CMD_REQ_ONE, false, true},
    };

    if (r->command >= ARRAY_SIZE(commands) || r->command == NBD_CMD_DISC ||
        (r->flags & ~commands[r->command].flags) ||
        ((r->flags & NBD_CMD_DF) && !r->client->structured)) {
        return -EINVAL;
    }
    if (commands[r->command].changes && !e->writable) {
        return -EPERM;
    }
    if (commands[r->command].ranged && (r->offset > size || r->length > size - r->offset)) {
        return commands[r->command].changes ? -ENOSPC : -EINVAL;
    }
    if (r->command == NBD_CMD_BLOCK_STATUS && !r->length) {
        return -EINVAL;
    }
    return r->command == NBD_CMD_READ && r->length > NBD_MAX_TRANSFER ? -EINVAL : 0;
}

/* ---- running ---- */

static void request_entry(void *opaque)
{
    Request *r = opaque;
    NbdClient *c = r->client;

    while (c->export->quiesced) {
        co_queue_wait(&c->export->gate);
    }
    int ret = check(r); /* the disk may have another size by now */
    if (ret == 0 && r->command == NBD_CMD_READ && r->length &&
        !(r->data = block_try_alloc(c->export->root->node, r->length))) {
        ret = -ENOMEM;
    }
    if (ret < 0 || r->command == NBD_CMD_CACHE || (r->command == NBD_CMD_READ && !r->length)) {
        send_result(r, ret); /* what to cache is the host's business */
    } else if (r->command == NBD_CMD_READ) {
        serve_read(r);
    } else if (r->command == NBD_CMD_BLOCK_STATUS) {
        serve_status(r);
    } else {
        send_result(r, serve_change(r));
    }
    c->in_flight--;
    c->memory -= r->held;
    free(r->data);
    free(r);
    co_queue_all(&c->room);
}

/* The data of a write; false: the connection is of no more use. */
static bool read_data(Request *r)
{
    NbdClient *c = r->client;

    if (r->command != NBD_CMD_WRITE || !r->length) {
        return true;
    }
    if (r->length > NBD_MAX_TRANSFER) {
        return false;
    }
    r->data = block_try_alloc(c->export->root->node, r->length);
    return r->data && cosocket_read(c->socket, r->data, r->length) == 0;
}

/* NULL: the client has gone, or is to go. */
static Request *next_request(NbdClient *c)
{
    uint8_t head[NBD_REQUEST_SIZE];

    if (cosocket_read(c->socket, head, sizeof(head)) < 0 || load_be32(head) != NBD_REQUEST_MAGIC ||
        load_be16(head + 6) == NBD_CMD_DISC) {
        return NULL;
    }
    Request *r = calloc(1, sizeof(*r));
    if (!r) {
        return NULL;
    }
    *r = (Request){.client = c,
                   .flags = load_be16(head + 4),
                   .command = load_be16(head + 6),
                   .cookie = load_be64(head + 8),
                   .offset = load_be64(head + 16),
                   .length = load_be32(head + 24)};
    if (r->command == NBD_CMD_READ || r->command == NBD_CMD_WRITE) {
        r->held = MIN(r->length, NBD_MAX_TRANSFER);
    }
    while (c->in_flight && (c->in_flight >= NBD_MAX_REQUESTS || c->memory + r->held > MAX_MEMORY)) {
        co_queue_wait(&c->room);
    }
    c->in_flight++;
    c->memory += r->held;
    if (!read_data(r)) {
        c->in_flight--;
        free(r->data);
        free(r);
        return NULL;
    }
    return r;
}

void nbd_serve_requests(NbdClient *c)
{
    Request *r;

    while ((r = next_request(c))) {
        coroutine_enter(coroutine_create(request_entry, r));
    }
    /* Answers to what is still under way may be waited for: "disconnect" is no cancel. */
    while (c->in_flight) {
        co_queue_wait(&c->room);
    }
}
