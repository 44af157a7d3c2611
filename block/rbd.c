/*
 * The protocol "rbd": disks in a Ceph cluster, by librbd.
 *
 * Names are "rbd:POOL/[NAMESPACE/]IMAGE[@SNAPSHOT][:KEY=VALUE...]", where id= is the user, conf=
 * the cluster's configuration file, and all other keys are settings of the cluster's; a backslash
 * takes the meaning from the character behind it.
 *
 * librbd runs requests on threads of its own and calls back from there. What is called in it needs
 * more stack than a coroutine has (to be loaded alone takes hundreds of KB): requests are begun
 * from the main loop, and what may wait for the cluster runs on a worker.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <rados/librados.h>
#include <rbd/librbd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "block/driver.h"
#include "block/drivers.h"
#include "block/library.h"
#include "block/util.h"
#include "util/worker.h"

/* Loaded at the first use. */
#define LIB_FUNCTIONS(F)                                                                           \
    F(rados_conf_read_file)                                                                        \
    F(rados_conf_set)                                                                              \
    F(rados_connect)                                                                               \
    F(rados_create)                                                                                \
    F(rados_ioctx_create)                                                                          \
    F(rados_ioctx_destroy)                                                                         \
    F(rados_ioctx_set_namespace)                                                                   \
    F(rados_shutdown)                                                                              \
    F(rbd_aio_create_completion)                                                                   \
    F(rbd_aio_discard)                                                                             \
    F(rbd_aio_flush)                                                                               \
    F(rbd_aio_get_return_value)                                                                    \
    F(rbd_aio_read)                                                                                \
    F(rbd_aio_release)                                                                             \
    F(rbd_aio_write)                                                                               \
    F(rbd_close)                                                                                   \
    F(rbd_create)                                                                                  \
    F(rbd_get_size)                                                                                \
    F(rbd_open)                                                                                    \
    F(rbd_open_read_only)                                                                          \
    F(rbd_resize)

static struct {
    LIB_FUNCTIONS(LIBRARY_FIELD)
} lib;
static const LibraryFunction lib_functions[] = {LIB_FUNCTIONS(LIBRARY_ROW){0}};
static const char *const libraries[] = {"librados.so.2", "librbd.so.1", NULL};

enum { MAX_TRANSFER = 32 << 20, DEFAULT_ORDER = 22 };

typedef struct RbdState {
    rados_t cluster;
    rados_ioctx_t pool;
    rbd_image_t image;
    uint64_t size; /* of the image */
    CoMutex growing;
    char *pool_name, *name_space, *image_name, *snapshot, *user, *conf;
} RbdState;

/* ---- requests ---- */

typedef enum RbdOp { RBD_READ, RBD_WRITE, RBD_DISCARD, RBD_FLUSH } RbdOp;

typedef struct RbdRequest {
    RbdState *s;
    RbdOp op;
    uint64_t offset, bytes;
    uint8_t *buf;
    rbd_completion_t completion; /* NULL: could not be begun */
    int64_t ret;
    Coroutine *co;
} RbdRequest;

static void request_done(void *opaque)
{
    RbdRequest *req = opaque;

    coroutine_wake(req->co);
}

/* On a thread of librbd's. */
static void completed(rbd_completion_t completion, void *opaque)
{
    RbdRequest *req = opaque;

    req->ret = lib.rbd_aio_get_return_value(completion);
    loop_defer(request_done, req);
}

static int submit(RbdRequest *req)
{
    rbd_image_t image = req->s->image;

    switch (req->op) {
    case RBD_READ:
        return lib.rbd_aio_read(image, req->offset, req->bytes, (char *)req->buf, req->completion);
    case RBD_WRITE:
        return lib.rbd_aio_write(image, req->offset, req->bytes, (const char *)req->buf,
                                 req->completion);
    case RBD_DISCARD:
        return lib.rbd_aio_discard(image, req->offset, req->bytes, req->completion);
    default:
        return lib.rbd_aio_flush(image, req->completion);
    }
}

/* From the main loop. Once submit() went well the request may be over at any time. */
static void request_begin(void *opaque)
{
    RbdRequest *req = opaque;
    int ret = lib.rbd_aio_create_completion(req, completed, &req->completion);

    if (ret < 0) {
        req->completion = NULL;
    } else {
        ret = submit(req);
    }
    if (ret < 0) {
        req->ret = ret;
        coroutine_wake(req->co);
    }
}

static int64_t run_request(BlockNode *node, RbdOp op, uint64_t offset, uint64_t bytes, uint8_t *buf)
{
    RbdRequest req = {.s = node->state,
                      .op = op,
                      .offset = offset,
                      .bytes = bytes,
                      .buf = buf,
                      .co = coroutine_self()};

    loop_defer(request_begin, &req);
    coroutine_yield();
    if (req.completion) {
        lib.rbd_aio_release(req.completion);
    }
    return req.ret;
}

static int rbd_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                         unsigned flags)
{
    uint8_t *buf = block_alloc(node, bytes);
    int64_t ret = run_request(node, RBD_READ, offset, bytes, buf);

    if (ret >= 0) { /* short where the image ends */
        uint64_t n = MIN((uint64_t)ret, bytes);
        iov_from_buf(v, at, buf, n);
        iov_fill(v, at + n, 0, bytes - n);
    }
    free(buf);
    return (int)MIN(ret, 0);
}

static int rbd_co_pdiscard(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    return (int)MIN(run_request(node, RBD_DISCARD, offset, bytes, NULL), 0);
}

static int rbd_co_flush(BlockNode *node)
{
    return (int)MIN(run_request(node, RBD_FLUSH, 0, 0, NULL), 0);
}

/* ---- what may wait for the cluster, on a worker ---- */

typedef struct RbdWork {
    WorkItem item; /* first */
    int (*call)(struct RbdWork *w);
    RbdState *s;
    BlockNode *node;
    uint64_t size;
    const BlockOptions *settings;
    Error **errp;
    int ret;
    Coroutine *co;
} RbdWork;

static void rbd_work(WorkItem *item)
{
    RbdWork *w = (RbdWork *)item;

    w->ret = w->call(w);
}

static void rbd_work_done(WorkItem *item)
{
    coroutine_wake(((RbdWork *)item)->co);
}

static int run_work(RbdWork *w)
{
    w->item = (WorkItem){.work = rbd_work, .done = rbd_work_done};
    w->co = coroutine_self();
    worker_submit(&w->item);
    coroutine_yield();
    return w->ret;
}

/* Settings of the cluster's, by options "setting.NAME". */
static bool apply_settings(RbdState *s, const BlockOptions *settings, Error **errp)
{
    for (unsigned i = 0; i < blkopts_count(settings); i++) {
        const char *key = blkopts_key(settings, i), *value = blkopts_value(settings, i);
        if (lib.rados_conf_set(s->cluster, key, value) != 0) {
            error_set(errp, "rbd: the cluster's library does not take %s=%s", key, value);
            return false;
        }
    }
    return true;
}

static int fail(RbdWork *w, int ret, const char *what)
{
    error_set_errno(w->errp, -ret, "rbd: %s", what);
    return ret;
}

/* Gives a negative number with an error. */
static int call_connect(RbdWork *w)
{
    RbdState *s = w->s;

    if (!library_load(lib_functions, &lib, libraries, w->errp)) {
        error_prepend(w->errp, "rbd: ");
        return -ENOENT;
    }
    int ret = lib.rados_create(&s->cluster, s->user);
    if (ret < 0) {
        s->cluster = NULL;
        return fail(w, ret, "cannot begin with the cluster");
    }
    ret = lib.rados_conf_read_file(s->cluster, s->conf);
    if (ret < 0 && s->conf) {
        error_set_errno(w->errp, -ret, "rbd: cannot read conf=%s", s->conf);
        return ret;
    }
    /* It would wait for ever for a cluster that is not there. */
    lib.rados_conf_set(s->cluster, "client_mount_timeout", "30");
    lib.rados_conf_set(s->cluster, "rados_mon_op_timeout", "30");
    if (!apply_settings(s, w->settings, w->errp)) {
        return -EINVAL;
    }
    ret = lib.rados_connect(s->cluster);
    ret = ret < 0 ? ret : lib.rados_ioctx_create(s->cluster, s->pool_name, &s->pool);
    if (ret < 0) {
        error_set_errno(w->errp, -ret, "rbd: cannot reach pool %s of the cluster", s->pool_name);
        return ret;
    }
    if (s->name_space) {
        lib.rados_ioctx_set_namespace(s->pool, s->name_space);
    }
    return 0;
}

static int call_open(RbdWork *w)
{
    RbdState *s = w->s;
    bool readonly = w->node->readonly || s->snapshot;
    int ret = readonly ? lib.rbd_open_read_only(s->pool, s->image_name, &s->image, s->snapshot)
                       : lib.rbd_open(s->pool, s->image_name, &s->image, NULL);

    ret = ret < 0 ? ret : lib.rbd_get_size(s->image, &w->size);
    if (ret < 0 && s->image) {
        lib.rbd_close(s->image);
        s->image = NULL;
    }
    return ret;
}

static int call_create(RbdWork *w)
{
    int order = DEFAULT_ORDER;

    return lib.rbd_create(w->s->pool, w->s->image_name, w->size, &order);
}

static int call_resize(RbdWork *w)
{
    return lib.rbd_resize(w->s->image, w->size);
}

/* An image ends where it was told to: what is written behind that needs a larger one first. */
static int grow(BlockNode *node, uint64_t end)
{
    RbdState *s = node->state;
    RbdWork w = {.call = call_resize, .s = s, .size = end};
    int ret = 0;

    co_mutex_lock(&s->growing);
    if (end > s->size) {
        ret = run_work(&w);
        s->size = ret < 0 ? s->size : end;
    }
    co_mutex_unlock(&s->growing);
    return ret;
}

static int rbd_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                          unsigned flags)
{
    RbdState *s = node->state;
    int64_t ret = offset + bytes > s->size ? grow(node, offset + bytes) : 0;
    uint8_t *buf = block_alloc(node, bytes);

    iov_to_buf(v, at, buf, bytes);
    ret = ret < 0 ? ret : run_request(node, RBD_WRITE, offset, bytes, buf);
    free(buf);
    return (int)MIN(ret, 0);
}

/* ---- opening ---- */

static int call_close(RbdWork *w)
{
    RbdState *s = w->s;

    if (s->image) {
        lib.rbd_close(s->image);
    }
    if (s->pool) {
        lib.rados_ioctx_destroy(s->pool);
    }
    if (s->cluster) {
        lib.rados_shutdown(s->cluster);
    }
    return 0;
}

static void free_state(RbdState *s)
{
    RbdWork w = {.call = call_close, .s = s};

    if (s->cluster) {
        run_work(&w);
    }
    free(s->pool_name);
    free(s->name_space);
    free(s->image_name);
    free(s->snapshot);
    free(s->user);
    free(s->conf);
}

static bool connect_cluster(RbdState *s, BlockOptions *options, Error **errp)
{
    BlockOptions *settings = blkopts_take_sub(options, "setting");
    RbdWork w = {.call = call_connect, .s = s, .settings = settings, .errp = errp};
    int ret = run_work(&w);

    blkopts_free(settings);
    return ret == 0;
}

static bool take_options(RbdState *s, BlockOptions *options, Error **errp)
{
    blkopts_remove(options, "filename");
    s->pool_name = blkopts_take(options, "pool");
    s->name_space = blkopts_take(options, "namespace");
    s->image_name = blkopts_take(options, "image");
    s->snapshot = blkopts_take(options, "snapshot");
    s->user = blkopts_take(options, "user");
    s->conf = blkopts_take(options, "conf");
    if (!s->pool_name || !s->image_name) {
        error_set(errp, "rbd: %s= is missing; possible: rbd:POOL/IMAGE",
                  s->pool_name ? "image" : "pool");
        return false;
    }
    return true;
}

static bool rbd_co_open(BlockNode *node, BlockOptions *options, Error **errp)
{
    RbdState *s = node->state;
    RbdWork w = {.call = call_open, .s = s, .node = node};
    bool ok = take_options(s, options, errp);

    if (ok && s->snapshot && !node->readonly) {
        ok = node->flags & BDRV_O_AUTO_READONLY;
        node->readonly = ok;
        if (!ok) {
            error_set(errp, "%s: a snapshot can only be read; add read-only=on", node->filename);
        }
    }
    ok = ok && connect_cluster(s, options, errp);
    if (ok) {
        int ret = run_work(&w);
        ok = ret == 0;
        if (!ok) {
            error_set_errno(errp, -ret, "rbd: cannot open image %s of pool %s", s->image_name,
                            s->pool_name);
        }
    }
    if (!ok) {
        free_state(s);
        return false;
    }
    node->size = s->size = w.size;
    node->max_transfer = MAX_TRANSFER;
    node->zero_init = true;
    node->growable = true;
    return true;
}

static void rbd_co_close(BlockNode *node)
{
    free_state(node->state);
}

static bool rbd_co_truncate(BlockNode *node, uint64_t size, bool exact, BlockPrealloc prealloc,
                            Error **errp)
{
    RbdWork w = {.call = call_resize, .s = node->state, .size = size};

    if (prealloc != PREALLOC_OFF) {
        error_set(errp, "rbd: preallocation=%s is not possible; possible: off",
                  bdrv_prealloc_names[prealloc]);
        return false;
    }
    int ret = run_work(&w);
    if (ret < 0) {
        error_set_errno(errp, -ret, "cannot make %s %llu bytes long", node->filename,
                        (unsigned long long)size);
        return false;
    }
    node->size = size;
    ((RbdState *)node->state)->size = size;
    return true;
}

/* ---- names ---- */

/* Up to one of `ends`, with backslashes taken out; *rest is behind it, or NULL at the end. */
static char *next_part(char **rest, const char *ends, char *end)
{
    char *begin = *rest, *to = begin, *p = begin;

    for (; *p && !strchr(ends, *p); p++) {
        if (*p == '\\' && p[1]) {
            p++;
        }
        *to++ = *p;
    }
    *end = *p;
    *rest = *p ? p + 1 : NULL;
    *to = 0;
    return begin;
}

static bool parse_setting(char *key, char *value, BlockOptions *options)
{
    char name[128];

    if (!strcmp(key, "id")) {
        blkopts_set(options, "user", value);
    } else if (!strcmp(key, "conf")) {
        blkopts_set(options, "conf", value);
    } else {
        snprintf(name, sizeof(name), "setting.%s", key);
        blkopts_set(options, name, value);
    }
    return *key != 0;
}

static bool rbd_parse_filename(const char *filename, BlockOptions *options, Error **errp)
{
    char *text = strdup(filename + strlen("rbd:")), *rest = text, end;

    if (!text) {
        abort();
    }
    blkopts_set(options, "pool", next_part(&rest, "/", &end));
    bool ok = rest != NULL;
    if (ok) {
        char *image = next_part(&rest, "/@:", &end);
        if (end == '/') {
            blkopts_set(options, "namespace", image);
            image = next_part(&rest, "@:", &end);
        }
        blkopts_set(options, "image", image);
        if (end == '@') {
            blkopts_set(options, "snapshot", next_part(&rest, ":", &end));
        }
    }
    while (ok && rest) {
        char *key = next_part(&rest, "=", &end);
        char *value = rest ? next_part(&rest, ":", &end) : NULL;
        ok = value && parse_setting(key, value, options);
    }
    if (!ok) {
        error_set(errp, "%s: possible: rbd:POOL/[NAMESPACE/]IMAGE[@SNAPSHOT][:KEY=VALUE...]",
                  filename);
    }
    free(text);
    return ok;
}

static bool rbd_co_create(BlockCreate *create, Error **errp)
{
    BlockOptions *options = blkopts_new();
    RbdState s = {0};
    RbdWork w = {.call = call_create, .s = &s, .size = create->size};

    bool ok = rbd_parse_filename(create->filename, options, errp) &&
              take_options(&s, options, errp) && connect_cluster(&s, options, errp);
    if (ok) {
        int ret = run_work(&w);
        ok = ret == 0;
        if (!ok) {
            error_set_errno(errp, -ret, "cannot create %s", create->filename);
        }
    }
    free_state(&s);
    blkopts_free(options);
    return ok;
}

static const BlockOptionDesc rbd_options[] = {
    {"pool", "NAME", "the cluster's pool"},
    {"namespace", "NAME", "a part of the pool"},
    {"image", "NAME", "the image in it"},
    {"snapshot", "NAME", "a snapshot of it, for reading"},
    {"user", "NAME", "who asks"},
    {"conf", "FILE", "the cluster's configuration"},
    {0},
};

const BlockDriver bdrv_rbd = {
    .name = "rbd",
    .protocol = "rbd",
    .state_size = sizeof(RbdState),
    .open_options = rbd_options,
    .parse_filename = rbd_parse_filename,
    .co_open = rbd_co_open,
    .co_close = rbd_co_close,
    .co_create = rbd_co_create,
    .co_preadv = rbd_co_preadv,
    .co_pwritev = rbd_co_pwritev,
    .co_pdiscard = rbd_co_pdiscard,
    .co_flush = rbd_co_flush,
    .co_truncate = rbd_co_truncate,
};
