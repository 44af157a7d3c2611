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
 * The rest of the client: nbd-handshake.c (what is agreed on first), nbd-answer.c (what the server
 * sends), nbd-names.c (nbd://...).
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
#include "block/nbd-int.h"
#include "block/util.h"

enum {
    HANDSHAKE_SECONDS = 30,
    MAX_DELAY = 24 * 3600,
    RETRY_MS = 500, /* between two attempts to connect */
    SLICE_MS = 100, /* how soon a wait for that notices a cancel */
};

/* ---- the connection ---- */

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
            nbd_request_answered(req);
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
        ret = nbd_read_answer(s);
    } while (ret == 0);
    connection_lost(node, -ret);
    s->reading = false;
    co_queue_all(&s->reader_gone);
}

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
    struct iovec room[NBD_INLINE_IOV], *iov = room;
    int count = 1;

    if (req->command == NBD_CMD_WRITE) {
        count += iov_slice_count(req->v, req->at, req->bytes);
        if (count > NBD_INLINE_IOV) {
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

/* ---- creating ---- */

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
