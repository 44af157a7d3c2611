/*
 * Where a machine's state is read from. An image is opened a second time, read-only, to look into a
 * snapshot without touching the disk; the places of its machine state in the host's file then serve
 * every thread. They stay as they are while the snapshot exists. Where there is no plain file
 * (compressed, encrypted, remote) the state is read into memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "snapshot/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Extent {
    uint64_t pos, offset, size;
} Extent;

struct SnapshotSource {
    BlockNode *node; /* before source_map(), else NULL */
    int fd;
    uint64_t size;
    Extent *extents;
    uint32_t count;
    uint8_t *memory; /* in place of fd */
};

static SnapshotSource *new_source(void)
{
    SnapshotSource *s = calloc(1, sizeof(*s));

    if (!s) {
        abort();
    }
    s->fd = -1;
    return s;
}

void source_close(SnapshotSource *s)
{
    if (s) {
        bdrv_unref(s->node);
        if (s->fd >= 0) {
            close(s->fd);
        }
        free(s->extents);
        free(s->memory);
        free(s);
    }
}

uint64_t source_size(const SnapshotSource *s)
{
    return s->size;
}

static int read_fd(int fd, uint64_t offset, uint8_t *buf, uint64_t size)
{
    while (size) {
        ssize_t n = pread(fd, buf, size, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EIO;
        }
        buf += n;
        offset += (uint64_t)n;
        size -= (uint64_t)n;
    }
    return 0;
}

SnapshotSource *source_open_file(const char *path, Error **errp)
{
    SnapshotSource *s = new_source();
    struct stat st;

    s->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0 || fstat(s->fd, &st) < 0) {
        error_set_errno(errp, errno, "cannot read the machine state '%s'", path);
        source_close(s);
        return NULL;
    }
    if (!S_ISREG(st.st_mode)) {
        error_set(errp, "'%s' is no plain file with a machine state", path);
        source_close(s);
        return NULL;
    }
    s->size = (uint64_t)st.st_size;
    return s;
}

static uint64_t state_size(BlockNode *node, const char *id)
{
    BlockSnapshot *list;
    int n = bdrv_snapshot_list(node, &list);
    uint64_t size = 0;

    for (int i = 0; i < n; i++) {
        size = strcmp(list[i].id, id) ? size : list[i].vm_state_size;
    }
    if (n >= 0) {
        bdrv_snapshots_free(list);
    }
    return size;
}

SnapshotSource *source_open_image(BlockNode *node, const char *id, Error **errp)
{
    SnapshotSource *s = new_source();
    BlockOptions *o = blkopts_new();

    blkopts_set(o, "driver", bdrv_format_name(node));
    s->node = bdrv_open(bdrv_filename(node), o, BDRV_O_FORCE_SHARE | BDRV_O_NO_BACKING, errp);
    if (!s->node) {
        error_prepend(errp, "cannot look into the snapshot: ");
        source_close(s);
        return NULL;
    }
    s->size = state_size(s->node, id);
    if (!bdrv_snapshot_load_tmp(s->node, id, errp)) {
        source_close(s);
        return NULL;
    }
    return s;
}

int source_read(SnapshotSource *s, uint64_t pos, void *buf, uint64_t size)
{
    if (pos > s->size || size > s->size - pos) {
        return -EIO;
    }
    return s->node ? bdrv_load_vmstate(s->node, pos, buf, size) : read_fd(s->fd, pos, buf, size);
}

/* ---- the map ---- */

static void add_extent(SnapshotSource *s, uint64_t pos, uint64_t offset, uint64_t size)
{
    Extent *last = s->count ? &s->extents[s->count - 1] : NULL;

    if (last && last->offset + last->size == offset) {
        last->size += size;
        return;
    }
    if ((s->count & (s->count - 1)) == 0) {
        s->extents = realloc(s->extents, (s->count ? 2ull * s->count : 1) * sizeof(*s->extents));
        if (!s->extents) {
            abort();
        }
    }
    s->extents[s->count++] = (Extent){pos, offset, size};
}

/* A descriptor of its own, through the page cache. */
static int open_again(int fd)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int again = open(path, O_RDONLY | O_CLOEXEC);
    if (again < 0 && !(fcntl(fd, F_GETFL) & O_DIRECT)) {
        again = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    }
    return again;
}

static bool map_file(SnapshotSource *s, uint64_t total)
{
    int fd = -1;

    for (uint64_t pos = 0, n; pos < total; pos += n) {
        uint64_t offset;
        int here = bdrv_vmstate_fd(s->node, pos, total - pos, &offset, &n);
        if (here < 0 || (fd >= 0 && here != fd) || n == 0) {
            return false;
        }
        n = n < total - pos ? n : total - pos;
        fd = here;
        add_extent(s, pos, offset, n);
    }
    s->fd = fd < 0 ? -1 : open_again(fd);
    return s->fd >= 0;
}

/* The last extent may end behind the file's end where that was cut. */
static bool file_is_long_enough(SnapshotSource *s)
{
    struct stat st;
    uint64_t end = 0;

    for (uint32_t i = 0; i < s->count; i++) {
        uint64_t e = s->extents[i].offset + s->extents[i].size;
        end = e > end ? e : end;
    }
    return fstat(s->fd, &st) == 0 && (!S_ISREG(st.st_mode) || (uint64_t)st.st_size >= end);
}

static bool read_all(SnapshotSource *s, uint64_t total, Error **errp)
{
    enum { STEP = 8 << 20 };

    s->memory = malloc(total ? total : 1);
    if (!s->memory) {
        error_set(errp, "no memory for a machine state of %llu MB",
                  (unsigned long long)total >> 20);
        return false;
    }
    for (uint64_t pos = 0, n; pos < total; pos += n) {
        n = total - pos < STEP ? total - pos : STEP;
        int ret = bdrv_load_vmstate(s->node, pos, s->memory + pos, n);
        if (ret < 0) {
            error_set_errno(errp, -ret, "cannot read the machine state");
            return false;
        }
    }
    return true;
}

bool source_map(SnapshotSource *s, uint64_t total, Error **errp)
{
    if (total > s->size) {
        error_set(errp, "the machine state is cut short");
        return false;
    }
    if (!s->node) {
        add_extent(s, 0, 0, total);
        return true;
    }
    if (map_file(s, total)) {
        if (!file_is_long_enough(s)) {
            error_set(errp, "the machine state is cut short: the image ends before it");
            return false;
        }
    } else {
        if (s->fd >= 0) {
            close(s->fd);
            s->fd = -1;
        }
        if (!read_all(s, total, errp)) {
            return false;
        }
    }
    s->size = total;
    bdrv_unref(s->node);
    s->node = NULL;
    return true;
}

int source_pread(SnapshotSource *s, uint64_t pos, void *buf, uint64_t size)
{
    uint8_t *to = buf;
    uint32_t low = 0, high = s->count;

    if (pos > s->size || size > s->size - pos) {
        return -EIO;
    }
    if (s->memory) {
        memcpy(buf, s->memory + pos, size);
        return 0;
    }
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (s->extents[middle].pos <= pos) {
            low = middle;
        } else {
            high = middle;
        }
    }
    for (; size && low < s->count; low++) {
        const Extent *e = &s->extents[low];
        uint64_t skip = pos - e->pos, n = e->size - skip < size ? e->size - skip : size;
        int ret = read_fd(s->fd, e->offset + skip, to, n);
        if (ret < 0) {
            return ret;
        }
        to += n;
        pos += n;
        size -= n;
    }
    return size ? -EIO : 0;
}
