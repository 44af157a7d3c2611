/*
 * The protocol "nbd": a disk that another program serves, over TCP or a unix socket. Client side of
 * the network block device protocol (nbd.h) without TLS.
 *
 * A connection has one coroutine that reads: it finds the request that an answer belongs to by its
 * cookie and puts the data where that wants it. Requests send under a lock and wait for their
 * answer; up to 16 are under way. When the connection is lost, requests fail at once, or with
 * reconnect-delay=N wait up to N seconds for a new connection and are sent again there: all of them
 * may be done twice.
 *
 * Whoever serves is not trusted: an answer that does not fit its request ends the connection.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "block/driver.h"
#include "block/drivers.h"
#include "block/nbd.h"
#include "block/util.h"

enum {
    HANDSHAKE_SECONDS = 30,
    MAX_DELAY = 24 * 3600,
    RETRY_MS = 500, /* between two attempts to connect */
    SLICE_MS = 100, /* how soon a wait for that notices a cancel */
    INLINE_IOV = 64,
    MAX_ERROR_TEXT = 4096,
};

typedef struct NbdRequest {
    uint16_t command, flags;
    uint64_t offset, bytes;
    IoVector *v; /* READ, WRITE */
    size_t at;
    uint64_t received;             /* of a READ */
    uint32_t status, status_bytes; /* BLOCK_STATUS: the first extent */
    bool answered, waiting, lost;
    int ret;
    uint64_t cookie;
    Coroutine *co;
} NbdRequest;

typedef struct NbdState {
    char *host, *port, *path, *export, *context;
    uint64_t reconnect_delay, open_timeout; /* seconds */
    bool dirty_bitmap;                      /* the context shows a dirty bitmap */
    NbdInfo info;

    CoSocket *socket; /* NULL: not connected */
    bool reading;     /* the coroutine that reads is there */
    CoMutex connecting, sending;
    CoQueue free_slot, reader_gone;
    NbdRequest *slots[NBD_MAX_REQUESTS];
    uint64_t serial;
    int64_t lost_at, tried_at; /* CLOCK_HOST */
    bool told_lost, closing, cancelled;
} NbdState;

/* ---- answers ---- */

static NbdRequest *find_request(NbdState *s, uint64_t cookie)
{
    NbdRequest *req = s->slots[cookie % NBD_MAX_REQUESTS];

    return req && req->cookie == cookie && !req->answered ? req : NULL;
}

static void request_answered(NbdRequest *req)
{
    req->answered = true;
    if (req->waiting) {
        coroutine_wake(req->co);
    }
}

static int read_payload(NbdState *s, NbdRequest *req, uint64_t from, uint64_t bytes)
{
    struct iovec room[INLINE_IOV], *iov = room;
    size_t at = req->at + from;
    int count = iov_slice_count(req->v, at, bytes);

    if (count > INLINE_IOV) {
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
    request_answered(req);
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
    request_answered(req);
    return 0;
}

static int read_answer(NbdState *s)
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

static void connection_lost(BlockNode *node, int error)
{
    NbdState *s = node->state;

    cosocket_shutdown(s->socket, error);
    s->lost_at = clock_now(CLOCK_HOST);
    for (unsigned i = 0; i < NBD_MAX_REQUESTS; i++) {
        NbdRequest *req = s->slots[i];
        if (req && !req->answered) {
            req->lost = true;
            req->ret = -EIO;
            request_answered(req);
        }
    }
    if (!s->closing && !s->told_lost) {
        s->told_lost = true;
        warn_report("%s: the connection is lost (%s)%s", node->filename,
                    error == EPROTO ? "the server's answer breaks the protocol" : strerror(error),
                    s->reconnect_delay ? "; requests wait for a new one" : "");
    }
}

static void reader(void *opaque)
{
    BlockNode *node = opaque;
    NbdState *s = node->state;
    int ret;

    do {
        ret = read_answer(s);
    } while (ret == 0);
    connection_lost(node, -ret);
    s->reading = false;
    co_queue_all(&s->reader_gone);
}

/* ---- connecting ---- */

static bool connect_once(BlockNode *node, NbdInfo *info, Error **errp)
{
    NbdState *s = node->state;
    const CoSocketAddress address = {.path = s->path, .host = s->host, .port = s->port};

    s->tried_at = clock_now(CLOCK_HOST);
    CoSocket *socket = cosocket_connect(&address, HANDSHAKE_SECONDS * NS_PER_SEC, errp);
    if (!socket) {
        return false;
    }
    cosocket_set_deadline(socket, HANDSHAKE_SECONDS * NS_PER_SEC);
    if (!nbd_negotiate(socket, s->export, s->context, info, errp)) {
        error_prepend(errp, "%s: ", node->filename);
        cosocket_free(socket);
        return false;
    }
    cosocket_set_deadline(socket, 0);
    s->socket = socket;
    return true;
}

static void start_reader(BlockNode *node)
{
    NbdState *s = node->state;

    s->reading = true;
    coroutine_enter(coroutine_create(reader, node));
}

/* The same disk as before? */
static bool still_fits(const BlockNode *node, const NbdInfo *now)
{
    const NbdInfo *then = &((NbdState *)node->state)->info;
    uint16_t gone = then->flags & ~now->flags &
                    (NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA | NBD_FLAG_SEND_TRIM |
                     NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_SEND_FAST_ZERO);

    return now->size == then->size && !gone && now->min_block <= node->request_alignment &&
           (!now->max_block || now->max_block >= node->max_transfer) &&
           (node->readonly || !(now->flags & NBD_FLAG_READ_ONLY));
}

static bool reconnect(BlockNode *node)
{
    NbdState *s = node->state;
    Error *err = NULL;
    NbdInfo info;

    /* Who was sending when the connection was lost has yet to find out. */
    co_mutex_lock(&s->sending);
    cosocket_free(s->socket);
    s->socket = NULL;
    co_mutex_unlock(&s->sending);
    if (!connect_once(node, &info, &err)) {
        error_free(err);
        return false;
    }
    if (s->cancelled || !still_fits(node, &info)) {
        if (!s->cancelled) {
            warn_report("%s: the server is back with another disk than before", node->filename);
        }
        cosocket_free(s->socket);
        s->socket = NULL;
        return false;
    }
    s->info = info;
    s->told_lost = false;
    warn_report("%s: connected again", node->filename);
    start_reader(node);
    return true;
}

static void sleep_until(NbdState *s, int64_t when)
{
    int64_t left;

    while (!s->cancelled && (left = when - clock_now(CLOCK_HOST)) > 0) {
        coroutine_sleep(CLOCK_HOST, MIN(left, SLICE_MS * NS_PER_MS));
    }
}

static bool may_wait(const NbdState *s)
{
    return !s->cancelled && !s->closing &&
           clock_now(CLOCK_HOST) < s->lost_at + (int64_t)s->reconnect_delay * NS_PER_SEC;
}

/* A connection, perhaps a new one, perhaps after waiting for it. */
static bool have_connection(BlockNode *node)
{
    NbdState *s = node->state;
    bool ok;

    if (s->reading) {
        return true;
    }
    co_mutex_lock(&s->connecting);
    for (;;) {
        int64_t next = s->tried_at + RETRY_MS * NS_PER_MS;
        ok = s->reading;
        if (ok || s->cancelled || s->closing) {
            break;
        }
        if (clock_now(CLOCK_HOST) >= next) {
            ok = reconnect(node);
        }
        if (ok || !may_wait(s)) {
            break;
        }
        sleep_until(s, next);
    }
    co_mutex_unlock(&s->connecting);
    return ok;
}

/* ---- requests ---- */

static int send_request(NbdState *s, NbdRequest *req)
{
    uint8_t head[NBD_REQUEST_SIZE];
    struct iovec room[INLINE_IOV], *iov = room;
    int count = 1;

    if (req->command == NBD_CMD_WRITE) {
        count += iov_slice_count(req->v, req->at, req->bytes);
        if (count > INLINE_IOV) {
            iov = malloc(count * sizeof(*iov));
            if (!iov) {
                return -ENOMEM;
            }
        }
        iov_slice(req->v, req->at, req->bytes, iov + 1);
    }
    iov[0] = (struct iovec){head, sizeof(head)};
    store_be32(head, NBD_REQUEST_MAGIC);
    store_be16(head + 4, req->flags);
    store_be16(head + 6, req->command);
    store_be64(head + 8, req->cookie);
    store_be64(head + 16, req->offset);
    store_be32(head + 24, (uint32_t)req->bytes);
    int ret = cosocket_writev(s->socket, iov, count);
    if (iov != room) {
        free(iov);
    }
    return ret;
}

static unsigned take_slot(NbdState *s, NbdRequest *req)
{
    for (;;) {
        for (unsigned i = 0; i < NBD_MAX_REQUESTS; i++) {
            if (!s->slots[i]) {
                req->cookie = ++s->serial * NBD_MAX_REQUESTS + i;
                s->slots[i] = req;
                return i;
            }
        }
        co_queue_wait(&s->free_slot);
    }
}

/* Sends and waits. The reader may hold on to req->v until it has answered, so nothing returns
   before that. */
static int run_once(BlockNode *node, NbdRequest *req)
{
    NbdState *s = node->state;
    unsigned slot = take_slot(s, req);

    req->answered = req->waiting = req->lost = false;
    req->received = req->ret = 0;
    req->status_bytes = 0;
    if (!s->reading) { /* lost while we waited for the slot */
        req->lost = req->answered = true;
        req->ret = -EIO;
    } else {
        co_mutex_lock(&s->sending);
        if (!req->answered) {
            int ret = send_request(s, req);
            if (ret < 0 && s->reading) {
                cosocket_shutdown(s->socket, -ret);
            }
        }
        co_mutex_unlock(&s->sending);
        while (!req->answered) {
            req->waiting = true;
            coroutine_yield();
        }
    }
    s->slots[slot] = NULL;
    co_queue_next(&s->free_slot);
    return req->ret;
}

static int run_request(BlockNode *node, NbdRequest *req)
{
    NbdState *s = node->state;

    req->co = coroutine_self();
    for (;;) {
        if (!have_connection(node)) {
            return -EIO;
        }
        int ret = run_once(node, req);
        if (!req->lost || !may_wait(s)) {
            return ret;
        }
    }
}

static int nbd_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                         unsigned flags)
{
    NbdRequest req = {.command = NBD_CMD_READ, .offset = offset, .bytes = bytes, .v = v, .at = at};

    /* A size that is no multiple of the blocks has nothing behind its end. */
    if (offset + bytes > node->size) {
        uint64_t inside = offset < node->size ? node->size - offset : 0;
        iov_fill(v, at + inside, 0, bytes - inside);
        req.bytes = inside;
    }
    return req.bytes ? run_request(node, &req) : 0;
}

static int nbd_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                          unsigned flags)
{
    NbdRequest req = {.command = NBD_CMD_WRITE,
                      .flags = flags & BDRV_REQ_FUA ? NBD_CMD_FUA : 0,
                      .offset = offset,
                      .bytes = MIN(bytes, node->size - offset),
                      .v = v,
                      .at = at};

    return run_request(node, &req);
}

static int nbd_co_pwrite_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    const NbdState *s = node->state;
    bool fast = flags & BDRV_REQ_NO_FALLBACK;
    NbdRequest req = {.command = NBD_CMD_WRITE_ZEROES,
                      .flags = (flags & BDRV_REQ_FUA ? NBD_CMD_FUA : 0) |
                               (flags & BDRV_REQ_MAY_UNMAP ? 0 : NBD_CMD_NO_HOLE) |
                               (fast ? NBD_CMD_FAST_ZERO : 0),
                      .offset = offset,
                      .bytes = MIN(bytes, node->size - offset)};

    if (!(s->info.flags & NBD_FLAG_SEND_WRITE_ZEROES) ||
        (fast && !(s->info.flags & NBD_FLAG_SEND_FAST_ZERO))) {
        return -ENOTSUP;
    }
    return run_request(node, &req);
}

static int nbd_co_pdiscard(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    const NbdState *s = node->state;
    NbdRequest req = {
        .command = NBD_CMD_TRIM, .offset = offset, .bytes = MIN(bytes, node->size - offset)};

    return s->info.flags & NBD_FLAG_SEND_TRIM ? run_request(node, &req) : -ENOTSUP;
}

static int nbd_co_flush(BlockNode *node)
{
    const NbdState *s = node->state;
    NbdRequest req = {.command = NBD_CMD_FLUSH};

    return s->info.flags & NBD_FLAG_SEND_FLUSH ? run_request(node, &req) : 0;
}

static int nbd_co_block_status(BlockNode *node, bool precise, uint64_t offset, uint64_t bytes,
                               uint64_t *pnum, uint64_t *map, BlockNode **file)
{
    const NbdState *s = node->state;
    const uint32_t align = node->request_alignment;
    NbdRequest req = {.command = NBD_CMD_BLOCK_STATUS,
                      .flags = NBD_CMD_REQ_ONE,
                      .offset = offset,
                      .bytes = MIN(bytes, ROUND_DOWN(UINT32_MAX, MAX(align, 4096)))};

    *pnum = bytes;
    *map = offset;
    *file = node;
    if (offset >= node->size) {
        return BDRV_BLOCK_ZERO;
    }
    if (!s->info.has_context) {
        return BDRV_BLOCK_DATA | BDRV_BLOCK_OFFSET_VALID;
    }
    req.bytes = MIN(req.bytes, node->size - offset);
    int ret = run_request(node, &req);
    if (ret < 0) {
        return ret;
    }
    uint64_t n = MIN(req.status_bytes, req.bytes);
    n = offset + n < node->size ? ROUND_DOWN(n, align) : bytes;
    /* Less than a block: of a server that does not keep to its own word. */
    *pnum = n ? MIN(n, bytes) : align;
    if (!n) {
        return BDRV_BLOCK_DATA | BDRV_BLOCK_OFFSET_VALID;
    }
    if (s->dirty_bitmap) {
        return req.status & 1 ? 0 : BDRV_BLOCK_OFFSET_VALID | BDRV_BLOCK_DATA;
    }
    /* A hole that may read as anything is data for us. */
    bool zero = req.status & NBD_STATE_ZERO, hole = req.status & NBD_STATE_HOLE;
    return BDRV_BLOCK_OFFSET_VALID | (zero ? BDRV_BLOCK_ZERO : 0) |
           (hole && zero ? 0 : BDRV_BLOCK_DATA);
}

/* The size is the server's. What makes images wants to hear that it is large enough. */
static bool nbd_co_truncate(BlockNode *node, uint64_t size, bool exact, BlockPrealloc prealloc,
                            Error **errp)
{
    if (size > node->size || (exact && size != node->size)) {
        error_set(errp, "%s has %llu bytes; only its server can change that", node->filename,
                  (unsigned long long)node->size);
        return false;
    }
    return true;
}

static int64_t nbd_co_get_allocated(BlockNode *node)
{
    return -ENOTSUP;
}

static void nbd_cancel(BlockNode *node)
{
    NbdState *s = node->state;

    s->cancelled = true;
    if (s->socket) {
        cosocket_shutdown(s->socket, ECANCELED);
    }
}

/* ---- opening ---- */

static void free_state(NbdState *s)
{
    free(s->host);
    free(s->port);
    free(s->path);
    free(s->export);
    free(s->context);
}

static bool no_tls(BlockOptions *options, Error **errp)
{
    static const char *const keys[] = {"tls-creds", "tls-hostname"};

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        if (blkopts_get(options, keys[i])) {
            error_set(errp, "nbd: %s: TLS is not supported; use a tunnel, or leave it out",
                      keys[i]);
            return false;
        }
    }
    return true;
}

/* "server.host" and its kin, or the same without "server.". */
static char *take_either(BlockOptions *options, BlockOptions *server, const char *key)
{
    char *value = blkopts_take(server, key);

    return value ? value : blkopts_take(options, key);
}

static bool take_address(NbdState *s, BlockOptions *options, Error **errp)
{
    static const char *const types[] = {"inet", "unix", NULL};
    BlockOptions *server = blkopts_take_sub(options, "server");
    int type = -1;

    bool ok = blkopts_take_word(server, "type", types, &type, errp);
    s->host = take_either(options, server, "host");
    s->port = take_either(options, server, "port");
    s->path = take_either(options, server, "path");
    ok = ok && blkopts_check_empty(server, "nbd: server", NULL, errp);
    blkopts_free(server);
    if (!ok) {
        return false;
    }
    if (!s->host == !s->path || (type == 0 && s->path) || (type == 1 && s->host)) {
        error_set(errp, "nbd: %s; possible: server.host= and server.port=, or server.path=",
                  s->host || s->path ? "host and path are two servers" : "the server is missing");
        return false;
    }
    if (!s->path && !s->port) {
        s->port = strdup(NBD_DEFAULT_PORT);
    }
    return true;
}

static bool take_options(BlockNode *node, BlockOptions *options, Error **errp)
{
    NbdState *s = node->state;
    char *bitmap = NULL;

    blkopts_remove(options, "filename");
    if (!no_tls(options, errp) || !take_address(s, options, errp) ||
        !blkopts_take_number(options, "reconnect-delay", 0, MAX_DELAY, &s->reconnect_delay, errp) ||
        !blkopts_take_number(options, "open-timeout", 0, MAX_DELAY, &s->open_timeout, errp)) {
        return false;
    }
    s->export = blkopts_take(options, "export");
    s->export = s->export ? s->export : strdup("");
    bitmap = blkopts_take(options, "x-dirty-bitmap");
    s->dirty_bitmap = bitmap != NULL;
    s->context = bitmap ? bitmap : strdup("base:allocation");
    if (strlen(s->export) > NBD_MAX_NAME || strlen(s->context) > NBD_MAX_NAME) {
        error_set(errp, "nbd: a name has at most %d bytes", NBD_MAX_NAME);
        return false;
    }
    return true;
}

/* How the disk is called in messages where options said which it is. */
static void name_node(BlockNode *node)
{
    const NbdState *s = node->state;
    char *name = NULL;

    if (*node->filename) {
        return;
    }
    int n = s->path ? asprintf(&name, "nbd+unix:///%s?socket=%s", s->export, s->path)
                    : asprintf(&name, "nbd://%s:%s%s%s", s->host, s->port, *s->export ? "/" : "",
                               s->export);
    if (n >= 0) {
        free(node->filename);
        node->filename = name;
    }
}

static bool open_connection(BlockNode *node, Error **errp)
{
    NbdState *s = node->state;
    int64_t end = clock_now(CLOCK_HOST) + (int64_t)s->open_timeout * NS_PER_SEC;

    for (;;) {
        Error *err = NULL;
        if (connect_once(node, &s->info, &err)) {
            return true;
        }
        if (clock_now(CLOCK_HOST) >= end) {
            error_propagate(errp, err);
            return false;
        }
        error_free(err);
        coroutine_sleep(CLOCK_HOST, RETRY_MS * NS_PER_MS);
    }
}

static bool check_export(BlockNode *node, Error **errp)
{
    NbdState *s = node->state;

    if (!node->readonly && (s->info.flags & NBD_FLAG_READ_ONLY)) {
        if (!(node->flags & BDRV_O_AUTO_READONLY)) {
            error_set(errp, "%s: the server exports it for reading only; add read-only=on",
                      node->filename);
            return false;
        }
        node->readonly = true;
    }
    if (s->dirty_bitmap && !s->info.has_context) {
        error_set(errp, "%s: the server has no metadata context '%s'", node->filename, s->context);
        return false;
    }
    return true;
}

static void set_limits(BlockNode *node)
{
    const NbdInfo *info = &((NbdState *)node->state)->info;

    node->size = info->size;
    node->request_alignment = info->min_block                ? info->min_block
                              : info->size % BLK_SECTOR_SIZE ? 1
                                                             : BLK_SECTOR_SIZE;
    node->max_transfer =
        MIN(info->max_block ? info->max_block : NBD_MAX_TRANSFER, NBD_MAX_TRANSFER);
    node->max_transfer = ROUND_DOWN(node->max_transfer, node->request_alignment);
    node->max_zeroes = node->max_discard =
        ROUND_DOWN(INT32_MAX, MAX(node->request_alignment, 4096));
    if (info->flags & NBD_FLAG_SEND_FUA) {
        node->supported_write_flags = BDRV_REQ_FUA;
        node->supported_zero_flags = BDRV_REQ_FUA;
    }
    node->supported_zero_flags |= BDRV_REQ_MAY_UNMAP | BDRV_REQ_NO_FALLBACK;
}

static bool nbd_co_open(BlockNode *node, BlockOptions *options, Error **errp)
{
    NbdState *s = node->state;

    if (take_options(node, options, errp)) {
        name_node(node);
        if (open_connection(node, errp)) {
            if (check_export(node, errp)) {
                set_limits(node);
                start_reader(node);
                return true;
            }
            cosocket_free(s->socket);
        }
    }
    free_state(s);
    return false;
}

/* A polite word, and gone. */
static void nbd_co_close(BlockNode *node)
{
    NbdState *s = node->state;
    uint8_t head[NBD_REQUEST_SIZE] = {0};

    s->closing = true;
    if (s->reading) {
        store_be32(head, NBD_REQUEST_MAGIC);
        store_be16(head + 6, NBD_CMD_DISC);
        cosocket_set_deadline(s->socket, NS_PER_SEC);
        cosocket_write(s->socket, head, sizeof(head));
        cosocket_set_deadline(s->socket, 0);
        cosocket_shutdown(s->socket, ESHUTDOWN);
    }
    while (s->reading) {
        co_queue_wait(&s->reader_gone);
    }
    cosocket_free(s->socket);
    free_state(s);
}

/* ---- names ---- */

static bool decode_percent(char *text, const char *filename, Error **errp)
{
    char *to = text;

    for (const char *p = text; *p; p++) {
        if (*p == '%') {
            char hex[3] = {p[1], p[1] ? p[2] : 0, 0}, *end;
            long c = strtol(hex, &end, 16);
            if (*end || !hex[1] || c <= 0) {
                error_set(errp, "%s: '%%%s' is no character; possible: two hexadecimal digits",
                          filename, hex);
                return false;
            }
            *to++ = (char)c;
            p += 2;
        } else {
            *to++ = *p;
        }
    }
    *to = 0;
    return true;
}

/* "host", "host:port", "[v6]:port" */
static bool split_host(char *text, const char *filename, BlockOptions *options, Error **errp)
{
    char *colon;

    if (*text == '[') {
        char *end = strchr(text, ']');
        if (!end || (end[1] && end[1] != ':')) {
            error_set(errp, "%s: '%s' is no address; possible: [::1]:" NBD_DEFAULT_PORT, filename,
                      text);
            return false;
        }
        *end = 0;
        text++;
        colon = end[1] ? end + 1 : NULL;
    } else {
        colon = strrchr(text, ':');
    }
    if (colon) {
        *colon = 0;
        if (colon[1]) {
            blkopts_set(options, "port", colon + 1);
        }
    }
    blkopts_set(options, "host", *text ? text : "localhost");
    return true;
}

static bool parse_query(char *query, const char *filename, BlockOptions *options, Error **errp)
{
    if (strncmp(query, "socket=", 7) != 0 || strchr(query, '&')) {
        error_set(errp, "%s: '?%s' is not possible; possible: nbd+unix:///EXPORT?socket=PATH",
                  filename, query);
        return false;
    }
    if (!decode_percent(query + 7, filename, errp)) {
        return false;
    }
    blkopts_set(options, "path", query + 7);
    return true;
}

/* nbd://host[:port][/export], nbd+unix://[/export]?socket=path */
static bool parse_url(char *url, const char *filename, BlockOptions *options, Error **errp)
{
    bool is_unix = !strncmp(url, "nbd+unix:", 9);
    char *rest = strstr(url, "://") + 3, *query = strchr(rest, '?');

    if (!strncmp(url, "nbds", 4)) {
        error_set(errp, "%s: TLS is not supported; possible: nbd://, nbd+unix://", filename);
        return false;
    }
    if (query) {
        *query++ = 0;
    }
    char *slash = strchr(rest, '/');
    if (slash) {
        *slash++ = 0;
        if (!decode_percent(slash, filename, errp)) {
            return false;
        }
        if (*slash) {
            blkopts_set(options, "export", slash);
        }
    }
    if (!is_unix == (query != NULL) || (is_unix && *rest)) {
        error_set(errp,
                  "%s is no name of an NBD disk; possible: nbd://HOST:PORT/EXPORT, "
                  "nbd+unix:///EXPORT?socket=PATH",
                  filename);
        return false;
    }
    return is_unix ? parse_query(query, filename, options, errp)
                   : split_host(rest, filename, options, errp);
}

/* nbd:host:port[:exportname=name], nbd:unix:path[:exportname=name] */
static bool parse_old(char *text, const char *filename, BlockOptions *options, Error **errp)
{
    char *name = strstr(text, ":exportname=");

    if (name) {
        *name = 0;
        blkopts_set(options, "export", name + strlen(":exportname="));
    }
    if (!strncmp(text, "unix:", 5)) {
        blkopts_set(options, "path", text + 5);
        return true;
    }
    const char *bracket = strrchr(text, ']');
    if (!strchr(bracket ? bracket : text, ':')) {
        error_set(errp, "%s: the port is missing; possible: nbd:HOST:PORT, nbd:unix:PATH",
                  filename);
        return false;
    }
    return split_host(text, filename, options, errp);
}

static bool nbd_parse_filename(const char *filename, BlockOptions *options, Error **errp)
{
    char *text = strdup(filename);

    if (!text) {
        abort();
    }
    bool ok = strstr(text, "://") ? parse_url(text, filename, options, errp)
                                  : parse_old(text + 4, filename, options, errp);
    free(text);
    return ok;
}

/* The image goes onto what the server has; an old header of another format must not stay. */
static bool nbd_co_create(BlockCreate *create, Error **errp)
{
    BlockChild *root = bdrv_open_root(create->filename, NULL, BDRV_O_RDWR | BDRV_O_PROTOCOL, errp);
    bool ok = false;

    if (!root) {
        return false;
    }
    uint64_t size = bdrv_size(root->node);
    if (size < create->size) {
        error_set(errp, "%s has %llu bytes, the image needs %llu", create->filename,
                  (unsigned long long)size, (unsigned long long)create->size);
    } else {
        int ret = bdrv_co_pwrite_zeroes(root, 0, MIN(size, BLK_SECTOR_SIZE), 0);
        ok = ret == 0;
        if (ret < 0) {
            error_set_errno(errp, -ret, "cannot write %s", create->filename);
        }
    }
    bdrv_root_detach(root);
    return ok;
}

static const BlockOptionDesc nbd_options[] = {
    {"host", "HOST", "the server's machine (also server.host)"},
    {"port", "PORT", "its port (" NBD_DEFAULT_PORT ")"},
    {"path", "FILE", "or its unix socket"},
    {"export", "NAME", "which of its disks"},
    {"reconnect-delay", "SECONDS", "how long requests wait when the connection is lost (0)"},
    {"open-timeout", "SECONDS", "how long to try to connect at the start (0: once)"},
    {"x-dirty-bitmap", "NAME", "metadata context that is shown in place of the allocation"},
    {0},
};

const BlockDriver bdrv_nbd = {
    .name = "nbd",
    .protocol = "nbd nbd+tcp nbd+unix nbds nbds+tcp nbds+unix",
    .state_size = sizeof(NbdState),
    .open_options = nbd_options,
    .parse_filename = nbd_parse_filename,
    .co_open = nbd_co_open,
    .co_close = nbd_co_close,
    .co_create = nbd_co_create,
    .co_preadv = nbd_co_preadv,
    .co_pwritev = nbd_co_pwritev,
    .co_pwrite_zeroes = nbd_co_pwrite_zeroes,
    .co_pdiscard = nbd_co_pdiscard,
    .co_flush = nbd_co_flush,
    .co_block_status = nbd_co_block_status,
    .co_truncate = nbd_co_truncate,
    .co_get_allocated = nbd_co_get_allocated,
    .cancel = nbd_cancel,
};
