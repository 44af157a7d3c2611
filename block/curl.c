/*
 * The protocols "http", "https", "ftp" and "ftps": disks behind an address of the web, for reading,
 * by libcurl. The server must be able to send parts of a file.
 *
 * A read fetches somewhat more than it was asked for (readahead=), and later reads find it in
 * memory; up to 8 transfers are under way or kept. libcurl's sockets and its timer are the main
 * loop's, so nothing here waits but coroutines.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "block/block.h"
#include "block/driver.h"
#include "block/drivers.h"
#include "block/library.h"
#include "block/util.h"

/* Loaded at the first use. */
#define LIB_FUNCTIONS(F)                                                                           \
    F(curl_easy_cleanup)                                                                           \
    F(curl_easy_getinfo)                                                                           \
    F(curl_easy_init)                                                                              \
    F(curl_easy_setopt)                                                                            \
    F(curl_easy_strerror)                                                                          \
    F(curl_global_init)                                                                            \
    F(curl_multi_add_handle)                                                                       \
    F(curl_multi_assign)                                                                           \
    F(curl_multi_cleanup)                                                                          \
    F(curl_multi_info_read)                                                                        \
    F(curl_multi_init)                                                                             \
    F(curl_multi_remove_handle)                                                                    \
    F(curl_multi_setopt)                                                                           \
    F(curl_multi_socket_action)

static struct {
    LIB_FUNCTIONS(LIBRARY_FIELD)
} lib;
static const LibraryFunction lib_functions[] = {LIB_FUNCTIONS(LIBRARY_ROW){0}};
static const char *const libraries[] = {"libcurl.so.4", NULL};

enum {
    TRANSFERS = 8,
    DEFAULT_READAHEAD = 256 * 1024,
    MAX_READAHEAD = 64 << 20,
    DEFAULT_TIMEOUT = 5,
    MAX_TIMEOUT = 10000,
    MAX_TRANSFER = 4 << 20,
    MAX_REDIRECTS = 10,
};

typedef struct Curl Curl;

/* A part of the file, as far as it has come. */
typedef struct Transfer {
    Curl *c;
    CURL *easy; /* NULL: never used */
    uint64_t start, wanted, received;
    uint8_t *data;
    bool running, head; /* head: asks for the size */
    bool ranges;        /* the server said that it sends parts */
    int ret;
    char message[CURL_ERROR_SIZE];
    uint64_t used; /* when, by Curl.clock */
    CoQueue waiters;
} Transfer;

/* Apart from the node, for a node may be closed while we are in the middle of libcurl's news. */
struct Curl {
    CURLM *multi;
    Timer timer;
    char *url, *cookie, *username, *password;
    uint64_t readahead, timeout, clock;
    bool sslverify, is_http, told, cancelled, closed;
    unsigned busy;
    Transfer transfers[TRANSFERS];
};

typedef struct CurlSocketWatch {
    Curl *c;
    curl_socket_t fd;
} CurlSocketWatch;

/* ---- libcurl and the main loop ---- */

static void act(Curl *c, curl_socket_t fd, int mask);

static void socket_readable(void *opaque)
{
    CurlSocketWatch *w = opaque;

    act(w->c, w->fd, CURL_CSELECT_IN);
}

static void socket_writable(void *opaque)
{
    CurlSocketWatch *w = opaque;

    act(w->c, w->fd, CURL_CSELECT_OUT);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *opaque, void *ours)
{
    Curl *c = opaque;
    CurlSocketWatch *w = ours;

    if (what == CURL_POLL_REMOVE) {
        loop_set_fd(fd, NULL, NULL, NULL);
        free(w);
        return 0;
    }
    if (!w) {
        w = malloc(sizeof(*w));
        if (!w) {
            return -1;
        }
        *w = (CurlSocketWatch){c, fd};
        lib.curl_multi_assign(c->multi, fd, w);
    }
    loop_set_fd(fd, what & CURL_POLL_IN ? socket_readable : NULL,
                what & CURL_POLL_OUT ? socket_writable : NULL, w);
    return 0;
}

static int set_timer(CURLM *multi, long ms, void *opaque)
{
    Curl *c = opaque;

    if (ms < 0) {
        timer_cancel(&c->timer);
    } else {
        timer_set(&c->timer, clock_now(CLOCK_HOST) + ms * NS_PER_MS);
    }
    return 0;
}

static void timer_fired(void *opaque)
{
    act(opaque, CURL_SOCKET_TIMEOUT, 0);
}

static void finish(Transfer *t, CURLcode code)
{
    Curl *c = t->c;
    long status = 0;

    lib.curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    lib.curl_multi_remove_handle(c->multi, t->easy);
    t->running = false;
    if (t->head ? code == CURLE_OK : t->received == t->wanted) {
        c->told = c->told && t->head;
        return; /* the end of the connection is no concern of ours any more */
    }
    t->ret = -EIO;
    if (code == CURLE_OK) {
        snprintf(t->message, sizeof(t->message), "%s",
                 c->is_http && status != 206 ? "the server does not send parts of the file"
                                             : "the server sent less than it should");
    } else if (!*t->message) {
        snprintf(t->message, sizeof(t->message), "%s", lib.curl_easy_strerror(code));
    }
    if (!t->head && !c->told) {
        c->told = true;
        warn_report("%s: %s", c->url, t->message);
    }
}

static void destroy(Curl *c)
{
    for (unsigned i = 0; i < TRANSFERS; i++) {
        Transfer *t = &c->transfers[i];
        if (t->running) {
            lib.curl_multi_remove_handle(c->multi, t->easy);
        }
        lib.curl_easy_cleanup(t->easy);
        free(t->data);
    }
    lib.curl_multi_cleanup(c->multi);
    timer_cancel(&c->timer);
    free(c->url);
    free(c->cookie);
    free(c->username);
    free(c->password);
    free(c);
}

/* Who waits looks again; that may end in the node being closed. */
static void wake_all(Curl *c)
{
    c->busy++;
    for (unsigned i = 0; i < TRANSFERS && !c->closed; i++) {
        co_queue_all(&c->transfers[i].waiters);
    }
    if (--c->busy == 0 && c->closed) {
        destroy(c);
    }
}

static void act(Curl *c, curl_socket_t fd, int mask)
{
    int running, left;
    CURLMsg *msg;

    lib.curl_multi_socket_action(c->multi, fd, mask, &running);
    while ((msg = lib.curl_multi_info_read(c->multi, &left))) {
        Transfer *t = NULL;
        CURLcode code = msg->data.result;
        if (msg->msg == CURLMSG_DONE) {
            lib.curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&t);
            finish(t, code);
        }
    }
    wake_all(c);
}

/* ---- transfers ---- */

static size_t take_data(char *data, size_t size, size_t count, void *opaque)
{
    Transfer *t = opaque;
    size_t bytes = size * count, n = MIN(bytes, t->wanted - t->received);
    long status = 0;

    lib.curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    /* The whole file in place of the part is right only from its beginning. */
    if (t->c->is_http && status != 206 && !(status == 200 && t->start == 0)) {
        return 0;
    }
    memcpy(t->data + t->received, data, n);
    t->received += n;
    return n; /* too much of it ends the transfer */
}

static size_t take_header(char *data, size_t size, size_t count, void *opaque)
{
    static const char accepts[] = "accept-ranges:";
    Transfer *t = opaque;
    size_t bytes = size * count, n = sizeof(accepts) - 1;

    if (bytes > n && !strncasecmp(data, accepts, n)) {
        for (; n < bytes && data[n] == ' '; n++) {
        }
        t->ranges = bytes - n >= 5 && !strncasecmp(data + n, "bytes", 5);
    } else if (bytes > 5 && !strncasecmp(data, "HTTP/", 5)) {
        t->ranges = false; /* another answer, behind a redirection */
    }
    return bytes;
}

static bool prepare(Transfer *t)
{
    const Curl *c = t->c;
    static const char schemes[] = "http,https,ftp,ftps";

    if (t->easy) {
        return true;
    }
    t->easy = lib.curl_easy_init();
    if (!t->easy) {
        return false;
    }
    CURL *e = t->easy;
    bool ok = lib.curl_easy_setopt(e, CURLOPT_URL, c->url) == CURLE_OK &&
              lib.curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, schemes) == CURLE_OK &&
              lib.curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, schemes) == CURLE_OK;
    lib.curl_easy_setopt(e, CURLOPT_PRIVATE, t);
    lib.curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->message);
    lib.curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_data);
    lib.curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    lib.curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, take_header);
    lib.curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    lib.curl_easy_setopt(e, CURLOPT_FAILONERROR, 1L);
    lib.curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 1L);
    lib.curl_easy_setopt(e, CURLOPT_MAXREDIRS, (long)MAX_REDIRECTS);
    lib.curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    lib.curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, c->sslverify ? 1L : 0L);
    lib.curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, c->sslverify ? 2L : 0L);
    lib.curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, (long)c->timeout);
    /* Not the whole transfer, which may take its time, but a stand-still of it. */
    lib.curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
    lib.curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)c->timeout);
    lib.curl_easy_setopt(e, CURLOPT_COOKIE, c->cookie);
    lib.curl_easy_setopt(e, CURLOPT_USERNAME, c->username);
    lib.curl_easy_setopt(e, CURLOPT_PASSWORD, c->password);
    return ok;
}

static void start(Transfer *t)
{
    *t->message = 0;
    t->ret = 0;
    t->received = 0;
    t->running = true;
    if (!prepare(t) || lib.curl_multi_add_handle(t->c->multi, t->easy) != CURLM_OK) {
        t->running = false;
        t->ret = -EIO;
    }
}

static void start_range(Transfer *t, uint64_t offset, uint64_t bytes)
{
    char range[48];
    uint8_t *data = realloc(t->data, bytes);

    t->start = offset;
    t->wanted = data ? bytes : 0;
    t->data = data ? data : t->data;
    t->head = false;
    if (!data || !prepare(t)) {
        t->ret = -ENOMEM;
        return;
    }
    snprintf(range, sizeof(range), "%" PRIu64 "-%" PRIu64, offset, offset + bytes - 1);
    lib.curl_easy_setopt(t->easy, CURLOPT_NOBODY, 0L);
    lib.curl_easy_setopt(t->easy, CURLOPT_HTTPGET, 1L);
    lib.curl_easy_setopt(t->easy, CURLOPT_RANGE, range);
    start(t);
}

/* ---- reading ---- */

static Transfer *find_covering(Curl *c, uint64_t offset, uint64_t bytes)
{
    for (unsigned i = 0; i < TRANSFERS; i++) {
        Transfer *t = &c->transfers[i];
        if (!t->head && t->ret == 0 && t->wanted >= bytes && offset >= t->start &&
            offset - t->start <= t->wanted - bytes) {
            return t;
        }
    }
    return NULL;
}

static Transfer *find_idle(Curl *c)
{
    Transfer *best = NULL;

    for (unsigned i = 0; i < TRANSFERS; i++) {
        Transfer *t = &c->transfers[i];
        if (!t->running && co_queue_empty(&t->waiters) && (!best || t->used < best->used)) {
            best = t;
        }
    }
    return best;
}

static int curl_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                          unsigned flags)
{
    Curl *c = *(Curl **)node->state;
    uint64_t inside = offset < node->size ? MIN(bytes, node->size - offset) : 0;
    Transfer *t;

    iov_fill(v, at + inside, 0, bytes - inside);
    if (!inside) {
        return 0;
    }
    while (!(t = find_covering(c, offset, inside))) {
        if (c->cancelled) {
            return -ECANCELED;
        }
        t = find_idle(c);
        if (t) {
            start_range(t, offset, MIN(inside + c->readahead, node->size - offset));
            break;
        }
        co_queue_wait(&c->transfers[0].waiters); /* everybody is woken at any news */
    }
    t->used = ++c->clock;
    while (t->ret == 0 && t->start + t->received < offset + inside) {
        if (c->cancelled) {
            return -ECANCELED;
        }
        co_queue_wait(&t->waiters);
    }
    if (t->ret == 0) {
        iov_from_buf(v, at, t->data + (offset - t->start), inside);
    }
    return t->ret;
}

static void curl_cancel(BlockNode *node)
{
    Curl *c = *(Curl **)node->state;

    c->cancelled = true;
    wake_all(c);
}

static int64_t curl_co_get_allocated(BlockNode *node)
{
    return -ENOTSUP;
}

/* ---- opening ---- */

static bool take_options(BlockNode *node, Curl *c, BlockOptions *options, Error **errp)
{
    c->readahead = DEFAULT_READAHEAD;
    c->timeout = DEFAULT_TIMEOUT;
    c->sslverify = true;
    blkopts_remove(options, "filename");
    c->url = blkopts_take(options, "url");
    c->cookie = blkopts_take(options, "cookie");
    c->username = blkopts_take(options, "username");
    c->password = blkopts_take(options, "password");
    if (!blkopts_take_size(options, "readahead", &c->readahead, errp) ||
        !blkopts_take_number(options, "timeout", 1, MAX_TIMEOUT, &c->timeout, errp) ||
        !blkopts_take_bool(options, "sslverify", &c->sslverify, errp)) {
        return false;
    }
    size_t n = strlen(node->driver->name);
    if (!c->url || strncasecmp(c->url, node->driver->name, n) != 0 ||
        strncmp(c->url + n, "://", 3) != 0) {
        error_set(errp, "%s: %s%s; possible: url=%s://HOST/FILE", node->driver->name,
                  c->url ? "another kind of address: " : "the address is missing",
                  c->url ? c->url : "", node->driver->name);
        return false;
    }
    if (c->readahead > MAX_READAHEAD || c->readahead % BLK_SECTOR_SIZE) {
        error_set(errp,
                  "%s: readahead=%" PRIu64 " is not possible; possible: multiples of 512 up to 64M",
                  node->driver->name, c->readahead);
        return false;
    }
    c->is_http = node->driver->name[0] == 'h';
    if (!*node->filename) {
        free(node->filename);
        node->filename = strdup(c->url);
    }
    return true;
}

static bool find_size(BlockNode *node, Curl *c, Error **errp)
{
    Transfer *t = &c->transfers[0];
    curl_off_t size = -1;

    t->head = true;
    if (prepare(t)) {
        lib.curl_easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
        start(t);
    } else {
        t->ret = -ENOMEM;
    }
    while (t->running) {
        co_queue_wait(&t->waiters);
    }
    t->head = false;
    t->wanted = 0;
    if (t->ret < 0) {
        error_set(errp, "%s: %s", c->url, *t->message ? t->message : "out of memory");
        return false;
    }
    lib.curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
    if (size < 0 || (c->is_http && !t->ranges)) {
        error_set(errp,
                  size < 0 ? "%s: the server does not tell the file's size"
                           : "%s: the server does not send parts of a file (no "
                             "'Accept-Ranges: bytes'), which a disk needs",
                  c->url);
        return false;
    }
    node->size = (uint64_t)size;
    return true;
}

static bool curl_co_open(BlockNode *node, BlockOptions *options, Error **errp)
{
    static bool ready;

    if (!node->readonly) {
        if (!(node->flags & BDRV_O_AUTO_READONLY)) {
            error_set(errp, "%s: what %s brings can only be read; add read-only=on",
                      *node->filename ? node->filename : "image", node->driver->name);
            return false;
        }
        node->readonly = true;
    }
    if (!ready && !library_load(lib_functions, &lib, libraries, errp)) {
        error_prepend(errp, "%s: ", node->driver->name);
        return false;
    }
    if (!ready && lib.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        error_set(errp, "libcurl does not start");
        return false;
    }
    ready = true;
    Curl *c = calloc(1, sizeof(*c));
    if (!c || !(c->multi = lib.curl_multi_init())) {
        free(c);
        error_set(errp, "out of memory");
        return false;
    }
    for (unsigned i = 0; i < TRANSFERS; i++) {
        c->transfers[i].c = c;
    }
    timer_init(&c->timer, CLOCK_HOST, timer_fired, c);
    lib.curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    lib.curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    lib.curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    lib.curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    *(Curl **)node->state = c;
    node->max_transfer = MAX_TRANSFER;
    if (take_options(node, c, options, errp) && find_size(node, c, errp)) {
        return true;
    }
    c->closed = true;
    if (!c->busy) {
        destroy(c);
    }
    return false;
}

static void curl_co_close(BlockNode *node)
{
    Curl *c = *(Curl **)node->state;

    c->closed = true;
    if (!c->busy) {
        destroy(c);
    }
}

static bool curl_parse_filename(const char *filename, BlockOptions *options, Error **errp)
{
    blkopts_set(options, "url", filename);
    return true;
}

static const BlockOptionDesc curl_options[] = {
    {"url", "URL", "where the file is"},
    {"readahead", "SIZE", "fetched beyond what was asked for (256k)"},
    {"timeout", "SECONDS", "how long the server may be silent (5)"},
    {"sslverify", "on|off", "whether its certificate must be right (on)"},
    {"cookie", "TEXT", "cookies to send, as in NAME=VALUE; NAME=VALUE"},
    {"username", "NAME", "to log in with"},
    {"password", "TEXT", "to log in with"},
    {0},
};

#define CURL_DRIVER(word)                                                                          \
    {                                                                                              \
        .name = word, .protocol = word, .state_size = sizeof(Curl *),                              \
        .open_options = curl_options, .parse_filename = curl_parse_filename,                       \
        .co_open = curl_co_open, .co_close = curl_co_close, .co_preadv = curl_co_preadv,           \
        .co_get_allocated = curl_co_get_allocated, .cancel = curl_cancel,                          \
    }

const BlockDriver bdrv_http = CURL_DRIVER("http");
const BlockDriver bdrv_https = CURL_DRIVER("https");
const BlockDriver bdrv_ftp = CURL_DRIVER("ftp");
const BlockDriver bdrv_ftps = CURL_DRIVER("ftps");
