/*
 * Stands in for librados and librbd in tests: the cluster is the directory of the setting "dir", a
 * pool and a namespace are directories in it, an image is a file, a snapshot a file IMAGE@SNAPSHOT.
 * Requests run on threads of their own, as librbd's do. The image "bad" fails them, "refused" does
 * not let them begin.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <rados/librados.h>
#include <rbd/librbd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Cluster {
    char dir[256];
} Cluster;

typedef struct Pool {
    char path[512];
} Pool;

typedef struct Image {
    int fd;
    int refuses, fails;
} Image;

typedef struct Completion {
    rbd_callback_t callback;
    void *opaque;
    ssize_t ret;
    int refs;
    Image *image;
    char op, *buf;
    uint64_t offset;
    size_t len;
} Completion;

int rados_create(rados_t *cluster, const char *const id)
{
    *cluster = calloc(1, sizeof(Cluster));
    return id && !strcmp(id, "nobody") ? -EACCES : 0;
}

int rados_conf_read_file(rados_t cluster, const char *path)
{
    return path && access(path, R_OK) ? -errno : 0;
}

int rados_conf_set(rados_t cluster, const char *option, const char *value)
{
    Cluster *c = cluster;

    if (!strcmp(option, "dir")) {
        snprintf(c->dir, sizeof(c->dir), "%s", value);
    }
    return strcmp(option, "unknown") ? 0 : -ENOENT;
}

int rados_connect(rados_t cluster)
{
    return ((Cluster *)cluster)->dir[0] ? 0 : -ENOENT;
}

int rados_ioctx_create(rados_t cluster, const char *name, rados_ioctx_t *ioctx)
{
    Pool *p = calloc(1, sizeof(*p));

    snprintf(p->path, sizeof(p->path), "%s/%s", ((Cluster *)cluster)->dir, name);
    *ioctx = p;
    return access(p->path, X_OK) ? -ENOENT : 0;
}

void rados_ioctx_set_namespace(rados_ioctx_t io, const char *nspace)
{
    Pool *p = io;
    size_t n = strlen(p->path);

    snprintf(p->path + n, sizeof(p->path) - n, "/%s", nspace);
}

void rados_ioctx_destroy(rados_ioctx_t io)
{
    free(io);
}

void rados_shutdown(rados_t cluster)
{
    free(cluster);
}

static int open_file(rados_ioctx_t io, const char *name, const char *snapshot, int flags,
                     rbd_image_t *image)
{
    char path[1024];

    snprintf(path, sizeof(path), "%s/%s%s%s", ((Pool *)io)->path, name, snapshot ? "@" : "",
             snapshot ? snapshot : "");
    int fd = open(path, flags, 0600);
    if (fd < 0) {
        return -errno;
    }
    Image *i = calloc(1, sizeof(*i));
    *i = (Image){fd, !strcmp(name, "refused"), !strcmp(name, "bad")};
    *image = i;
    return 0;
}

int rbd_open(rados_ioctx_t io, const char *name, rbd_image_t *image, const char *snapshot)
{
    return open_file(io, name, snapshot, O_RDWR, image);
}

int rbd_open_read_only(rados_ioctx_t io, const char *name, rbd_image_t *image, const char *snapshot)
{
    return open_file(io, name, snapshot, O_RDONLY, image);
}

int rbd_create(rados_ioctx_t io, const char *name, uint64_t size, int *order)
{
    rbd_image_t image;
    int ret = open_file(io, name, NULL, O_RDWR | O_CREAT | O_EXCL, &image);

    if (ret == 0) {
        ret = ftruncate(((Image *)image)->fd, (off_t)size) ? -errno : 0;
        rbd_close(image);
    }
    return ret;
}

int rbd_close(rbd_image_t image)
{
    close(((Image *)image)->fd);
    free(image);
    return 0;
}

int rbd_get_size(rbd_image_t image, uint64_t *size)
{
    struct stat st;
    int ret = fstat(((Image *)image)->fd, &st);

    *size = (uint64_t)st.st_size;
    return ret ? -errno : 0;
}

int rbd_resize(rbd_image_t image, uint64_t size)
{
    return ftruncate(((Image *)image)->fd, (off_t)size) ? -errno : 0;
}

/* ---- requests ---- */

int rbd_aio_create_completion(void *opaque, rbd_callback_t callback, rbd_completion_t *completion)
{
    Completion *c = calloc(1, sizeof(*c));

    *c = (Completion){.callback = callback, .opaque = opaque, .refs = 1};
    *completion = c;
    return 0;
}

ssize_t rbd_aio_get_return_value(rbd_completion_t completion)
{
    return ((Completion *)completion)->ret;
}

void rbd_aio_release(rbd_completion_t completion)
{
    if (__atomic_sub_fetch(&((Completion *)completion)->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        free(completion);
    }
}

static void *run(void *opaque)
{
    Completion *c = opaque;
    char deep[600 * 1024]; /* a coroutine's stack would not do */

    memset(deep, c->op, sizeof(deep));
    usleep(100);
    if (c->image->fails) {
        c->ret = -EIO;
    } else if (c->op == 'r') {
        c->ret = pread(c->image->fd, c->buf, c->len, (off_t)c->offset);
    } else if (c->op == 'w') {
        c->ret =
            pwrite(c->image->fd, c->buf, c->len, (off_t)c->offset) == (ssize_t)c->len ? 0 : -EIO;
    } else if (c->op == 'd') {
        c->ret = fallocate(c->image->fd, 3, (off_t)c->offset, (off_t)c->len) ? -errno : 0;
    } else {
        c->ret = fdatasync(c->image->fd) ? -errno : 0;
    }
    c->callback(c, c->opaque);
    rbd_aio_release(c);
    return NULL;
}

static int start(rbd_image_t image, char op, uint64_t offset, size_t len, char *buf,
                 rbd_completion_t completion)
{
    Completion *c = completion;
    volatile char deep[600 * 1024];
    pthread_t thread;

    memset((char *)deep, op, sizeof(deep));
    if (((Image *)image)->refuses) {
        return -ENOMEM;
    }
    c->image = image;
    c->op = op;
    c->offset = offset;
    c->len = len;
    c->buf = buf;
    c->refs++;
    pthread_create(&thread, NULL, run, c);
    pthread_detach(thread);
    return 0;
}

int rbd_aio_read(rbd_image_t image, uint64_t off, size_t len, char *buf, rbd_completion_t c)
{
    return start(image, 'r', off, len, buf, c);
}

int rbd_aio_write(rbd_image_t image, uint64_t off, size_t len, const char *buf, rbd_completion_t c)
{
    return start(image, 'w', off, len, (char *)buf, c);
}

int rbd_aio_discard(rbd_image_t image, uint64_t off, uint64_t len, rbd_completion_t c)
{
    return start(image, 'd', off, len, NULL, c);
}

int rbd_aio_flush(rbd_image_t image, rbd_completion_t c)
{
    return start(image, 'f', 0, 0, NULL, c);
}
