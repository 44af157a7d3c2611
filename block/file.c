/*
 * The protocol "file": regular files and block devices of the host.
 *
 * Reads, writes and syncs go through io_uring where the host has it, else through the worker pool,
 * with which all others run (aio= chooses). A file whose size is no multiple of what a format reads
 * gives zeroes past its end; a write there makes it longer. With cache.direct=on (O_DIRECT)
 * offsets, lengths and addresses keep to the device's blocks. Where the last block is a part of
 * one, writing it makes the file longer for as long as it is open, by zeroes.
 *
 * When fdatasync() fails once, the host may have dropped the pages it could not write and calls the
 * next sync a success: so every later flush fails, too.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/aio.h"
#include "block/driver.h"
#include "block/drivers.h"
#include "block/file-lock.h"
#include "block/host-device.h"
#include "block/util.h"
#include "util/worker.h"

enum {
    MAX_DIRECT_ALIGN = 4096,
    INLINE_IOV = 16,
    LONG_REQUEST = 128 * 1024,
    LONG_FOR_TOOL = 1024 * 1024,
    CACHE_WRITE = 64 * 1024,
};

typedef struct FileState {
    int fd;
    bool is_device;
    bool locking;
    bool grown;                   /* by writes */
    uint32_t align;               /* of offsets and lengths: 1 but for O_DIRECT */
    bool no_punch, no_zero_range; /* found out that the file system cannot */
    bool sync_failed;
    AioKind aio;
    bool
        copies; /* through the page cache: long requests are copied by threads, on all processors */
} FileState;

typedef enum FileOp {
    FILE_READ,
    FILE_WRITE,
    FILE_SYNC,
    FILE_PUNCH,
    FILE_ZERO,
    FILE_TRUNCATE
} FileOp;

typedef struct FileRequest {
    WorkItem item; /* first */
    FileOp op;
    FileState *s;
    struct iovec *iov;
    int count;
    uint64_t offset, bytes;
    BlockPrealloc prealloc;
    uint64_t old_size;
    int ret;
    Coroutine *co;
} FileRequest;

/* ---- on worker threads ---- */

/* n more bytes of it are there. True where it ends with them: past the end there are zeroes, for a
 * sector's rest, or as the file was cut short under us. O_DIRECT gives a part of a block only
 * there, and cannot be asked to go on from it. */
static bool read_up_to(FileRequest *req, size_t n)
{
    bool at_end = n == 0 || n % req->s->align;

    req->offset += n;
    iov_skip(&req->iov, &req->count, n);
    for (int i = 0; i < req->count && at_end; i++) {
        memset(req->iov[i].iov_base, 0, req->iov[i].iov_len);
    }
    return at_end;
}

/* n more bytes of it are in the file; with O_DIRECT a part of a block is written again. */
static int written_up_to(FileRequest *req, size_t n)
{
    n -= n % req->s->align;
    req->offset += n;
    iov_skip(&req->iov, &req->count, n);
    return n ? 0 : -ENOSPC;
}

static int do_read(FileRequest *req)
{
    while (req->count > 0) {
        ssize_t n = preadv(req->s->fd, req->iov, MIN(req->count, IOV_MAX), req->offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (read_up_to(req, (size_t)n)) {
            return 0;
        }
    }
    return 0;
}

/* The first of the request's bytes, no more than `bytes` of them; returns how many vectors. */
static int first_bytes(const FileRequest *req, struct iovec *part, int most, size_t bytes)
{
    int n = 0;

    while (n < req->count && n < most && bytes) {
        part[n] = req->iov[n];
        part[n].iov_len = MIN(part[n].iov_len, bytes);
        bytes -= part[n++].iov_len;
    }
    return n;
}

/* New pages of the host's cache come in blocks as large as the write. Large ones are memory that
   was free for long, which a host that is a virtual machine itself has given back to its own:
   several times as slow as pages that were freed just now. */
static int do_write(FileRequest *req)
{
    struct iovec part[INLINE_IOV];

    while (req->count > 0) {
        bool piecewise = req->s->copies && req->bytes > CACHE_WRITE;
        const struct iovec *iov = piecewise ? part : req->iov;
        int count =
            piecewise ? first_bytes(req, part, INLINE_IOV, CACHE_WRITE) : MIN(req->count, IOV_MAX);
        ssize_t n = pwritev(req->s->fd, iov, count, req->offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        int ret = n < 0 ? -errno : written_up_to(req, (size_t)n);
        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

static int do_sync(FileRequest *req)
{
    if (req->s->sync_failed) {
        return -EIO;
    }
    while (fdatasync(req->s->fd) < 0) {
        if (errno != EINTR) {
            /* Read-only descriptors of some file systems and pipes cannot. */
            req->s->sync_failed = errno != EINVAL && errno != EROFS;
            return req->s->sync_failed ? -errno : 0;
        }
    }
    return 0;
}

static bool is_unsupported(int error)
{
    return error == EOPNOTSUPP || error == ENOTTY || error == ENOSYS || error == EINVAL ||
           error == ENODEV;
}

static int do_fallocate(FileRequest *req, int mode)
{
    while (fallocate(req->s->fd, mode, req->offset, req->bytes) < 0) {
        if (errno != EINTR) {
            return is_unsupported(errno) ? -ENOTSUP : -errno;
        }
    }
    return 0;
}

static int do_punch(FileRequest *req)
{
    if (req->s->is_device) {
        uint64_t range[2] = {req->offset, req->bytes};
        return ioctl(req->s->fd, BLKDISCARD, range) < 0
                   ? (is_unsupported(errno) ? -ENOTSUP : -errno)
                   : 0;
    }
    int ret = do_fallocate(req, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
    req->s->no_punch |= ret == -ENOTSUP;
    return ret;
}

static int do_zero(FileRequest *req)
{
    if (req->s->is_device) {
        uint64_t range[2] = {req->offset, req->bytes};
        return ioctl(req->s->fd, BLKZEROOUT, range) < 0
                   ? (is_unsupported(errno) ? -ENOTSUP : -errno)
                   : 0;
    }
    int ret = do_fallocate(req, FALLOC_FL_ZERO_RANGE);
    req->s->no_zero_range |= ret == -ENOTSUP;
    return ret;
}

/* In whole blocks, as O_DIRECT asks for. The one in which the old end lies has its storage, and the
 * last one is cut off again. */
static int write_zeroes_out(const FileState *s, uint64_t from, uint64_t size)
{
    static const uint8_t zeroes[64 * 1024] __attribute__((aligned(MAX_DIRECT_ALIGN)));
    const uint64_t to = ROUND_UP(size, s->align);

    from = ROUND_UP(from, s->align);
    while (from < to) {
        ssize_t n = pwrite(s->fd, zeroes, MIN(to - from, sizeof(zeroes)), from);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -ENOSPC;
        }
        n -= n % s->align;
        if (!n) {
            return -ENOSPC;
        }
        from += n;
    }
    return (to > size && ftruncate(s->fd, size) < 0) || fdatasync(s->fd) < 0 ? -errno : 0;
}

static int do_truncate(FileRequest *req)
{
    const uint64_t old = req->old_size, size = req->bytes;
    int ret = 0;

    if (ftruncate(req->s->fd, size) < 0) {
        return -errno;
    }
    if (size > old && req->prealloc == PREALLOC_FALLOC) {
        req->offset = old;
        req->bytes = size - old;
        while (fallocate(req->s->fd, 0, old, size - old) < 0) {
            if (errno != EINTR) {
                ret = -errno;
                break;
            }
        }
    } else if (size > old && req->prealloc == PREALLOC_FULL) {
        ret = write_zeroes_out(req->s, old, size);
    }
    if (ret < 0 && ftruncate(req->s->fd, old) < 0) {
        return ret; /* it stays longer; that is no harm */
    }
    return ret;
}

static void file_work(WorkItem *item)
{
    FileRequest *req = (FileRequest *)item;

    switch (req->op) {
    case FILE_READ:
        req->ret = do_read(req);
        break;
    case FILE_WRITE:
        req->ret = do_write(req);
        break;
    case FILE_SYNC:
        req->ret = do_sync(req);
        break;
    case FILE_PUNCH:
        req->ret = do_punch(req);
        break;
    case FILE_ZERO:
        req->ret = do_zero(req);
        break;
    case FILE_TRUNCATE:
        req->ret = do_truncate(req);
        break;
    }
}

static void file_done(WorkItem *item)
{
    coroutine_wake(((FileRequest *)item)->co);
}

static int run_request(FileRequest *req)
{
    req->item.work = file_work;
    req->item.done = file_done;
    req->co = coroutine_self();
    worker_submit(&req->item);
    coroutine_yield();
    return req->ret;
}

/* ---- by the host's asynchronous I/O ---- */

/* -EAGAIN: not this way. */
static int run_async(FileRequest *req)
{
    const AioKind kind = req->s->aio;

    if (req->op == FILE_SYNC) {
        if (req->s->sync_failed) {
            return -EIO;
        }
        int64_t n = aio_run(kind, AIO_SYNC, req->s->fd, NULL, 0, 0);
        req->s->sync_failed = n < 0 && n != -EAGAIN && n != -EINVAL && n != -EROFS;
        return n == -EINVAL || n == -EROFS ? 0 : (int)MIN(n, 0);
    }
    while (req->count > 0) {
        int64_t n = aio_run(kind, req->op == FILE_READ ? AIO_READ : AIO_WRITE, req->s->fd, req->iov,
                            MIN(req->count, IOV_MAX), req->offset);
        if (n == -EINTR) {
            continue;
        }
        if (n < 0) {
            return (int)n;
        }
        if (req->op == FILE_READ && read_up_to(req, (size_t)n)) {
            return 0;
        }
        int ret = req->op == FILE_WRITE ? written_up_to(req, (size_t)n) : 0;
        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

/* A tool's main thread copies as well as any other, a machine's has more to do. While the others
   compute a tool's own copies at any length, so that no thread comes between them and it. */
static bool is_long(const FileRequest *req)
{
    return worker_uses_main_thread() ? req->bytes >= LONG_FOR_TOOL && !worker_computes()
                                     : req->bytes >= LONG_REQUEST;
}

/* The host's kernel has no way to write to its page cache but by a thread, and a short write takes
   less time than that thread's waking. A guest's disk does not wait for a page cache that is full,
   a tool may. A sync is for the spot where there is nothing else to do meanwhile. */
static bool is_for_the_spot(const BlockNode *node, const FileRequest *req)
{
    return worker_uses_main_thread() && req->s->copies &&
           ((req->op == FILE_WRITE && !is_long(req)) ||
            (req->op == FILE_SYNC && node->in_flight == 1));
}

/* Whichever way the node has. */
static int run_io(const BlockNode *node, FileRequest *req)
{
    if (is_for_the_spot(node, req)) {
        file_work(&req->item);
        return req->ret;
    }
    bool threads = req->s->aio == AIO_THREADS || (req->s->copies && is_long(req));
    int ret = threads ? -EAGAIN : run_async(req);

    return ret == -EAGAIN ? run_request(req) : ret;
}

/* ---- requests ---- */

static bool is_aligned(const BlockNode *node, const struct iovec *iov, int count)
{
    for (int i = 0; i < count; i++) {
        if (((uintptr_t)iov[i].iov_base | iov[i].iov_len) & (node->memory_alignment - 1)) {
            return false;
        }
    }
    return true;
}

/* O_DIRECT with a buffer that lies wrong: through one that does not. */
static int bounced(BlockNode *node, FileRequest *req, IoVector *v, size_t at)
{
    struct iovec one = {block_alloc(node, req->bytes), req->bytes};
    void *buf = one.iov_base;

    if (req->op == FILE_WRITE) {
        iov_to_buf(v, at, buf, req->bytes);
    }
    req->iov = &one;
    req->count = 1;
    int ret = run_io(node, req);
    if (ret == 0 && req->op == FILE_READ) {
        iov_from_buf(v, at, buf, req->bytes);
    }
    free(buf);
    return ret;
}

static int transfer(BlockNode *node, FileOp op, uint64_t offset, uint64_t bytes, IoVector *v,
                    size_t at)
{
    struct iovec few[INLINE_IOV], *iov = few;
    FileRequest req = {.op = op, .s = node->state, .offset = offset, .bytes = bytes};
    int ret;

    req.count = iov_slice_count(v, at, bytes);
    if (req.count > INLINE_IOV) {
        iov = malloc(req.count * sizeof(*iov));
        if (!iov) {
            return -ENOMEM;
        }
    }
    iov_slice(v, at, bytes, iov);
    req.iov = iov;
    if (node->memory_alignment > 1 && !is_aligned(node, iov, req.count)) {
        ret = bounced(node, &req, v, at);
    } else {
        ret = run_io(node, &req);
    }
    if (iov != few) {
        free(iov);
    }
    return ret;
}

static int file_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                          unsigned flags)
{
    return transfer(node, FILE_READ, offset, bytes, v, at);
}

static int file_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, IoVector *v, size_t at,
                           unsigned flags)
{
    FileState *s = node->state;

    s->grown |= offset + bytes > node->size;
    return transfer(node, FILE_WRITE, offset, bytes, v, at);
}

static int file_co_flush(BlockNode *node)
{
    FileRequest req = {.op = FILE_SYNC, .s = node->state};

    return run_io(node, &req);
}

static int file_co_pdiscard(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    FileState *s = node->state;
    FileRequest req = {.op = FILE_PUNCH, .s = s, .offset = offset, .bytes = bytes};

    return s->no_punch ? -ENOTSUP : run_request(&req);
}

static int file_co_pwrite_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    FileState *s = node->state;
    FileRequest req = {.s = s, .offset = offset, .bytes = bytes};
    bool grows = offset + bytes > node->size && !s->is_device;

    if ((flags & BDRV_REQ_MAY_UNMAP) && !s->no_punch && !s->is_device && !grows) {
        req.op = FILE_PUNCH;
        int ret = run_request(&req);
        if (ret != -ENOTSUP) {
            return ret;
        }
    }
    if (s->no_zero_range) {
        return -ENOTSUP;
    }
    req.op = FILE_ZERO;
    return run_request(&req);
}

static bool file_co_truncate(BlockNode *node, uint64_t size, bool exact, BlockPrealloc prealloc,
                             Error **errp)
{
    FileState *s = node->state;
    FileRequest req = {
        .op = FILE_TRUNCATE, .s = s, .bytes = size, .prealloc = prealloc, .old_size = node->size};

    if (prealloc == PREALLOC_METADATA) {
        error_set(errp,
                  "image %s: preallocation=metadata is not possible for a file; possible: off, "
                  "falloc, full",
                  node->filename);
        return false;
    }
    if (s->is_device) {
        if (size > node->size || (exact && size != node->size)) {
            error_set(errp, "%s is a device of %llu bytes; only image files change their size",
                      node->filename, (unsigned long long)node->size);
            return false;
        }
        return true;
    }
    int ret = run_request(&req);
    if (ret < 0) {
        error_set_errno(errp, -ret, "cannot make %s %llu bytes long", node->filename,
                        (unsigned long long)size);
        return false;
    }
    node->size = size;
    return true;
}

/* Holes from where the host keeps account of them; asking takes no time worth a thread. */
static int file_co_block_status(BlockNode *node, bool precise, uint64_t offset, uint64_t bytes,
                                uint64_t *pnum, uint64_t *map, BlockNode **file)
{
    FileState *s = node->state;

    *map = offset;
    *file = node;
    *pnum = bytes;
    if (!precise) {
        return BDRV_BLOCK_DATA | BDRV_BLOCK_OFFSET_VALID;
    }
    off_t data = lseek(s->fd, offset, SEEK_DATA);
    if (data < 0 && errno == ENXIO && !s->is_device) {
        return BDRV_BLOCK_ZERO | BDRV_BLOCK_OFFSET_VALID;
    }
    if (data > (off_t)offset) {
        uint64_t n = MIN(bytes, (uint64_t)data - offset);
        if (n >= node->request_alignment) {
            *pnum = ROUND_DOWN(n, node->request_alignment);
            return BDRV_BLOCK_ZERO | BDRV_BLOCK_OFFSET_VALID;
        }
    }
    off_t hole = data < 0 ? -1 : lseek(s->fd, offset, SEEK_HOLE);
    if (hole > (off_t)offset) {
        *pnum = MIN(bytes, ROUND_UP((uint64_t)hole - offset, node->request_alignment));
    }
    return BDRV_BLOCK_DATA | BDRV_BLOCK_OFFSET_VALID;
}

static int64_t file_co_get_allocated(BlockNode *node)
{
    FileState *s = node->state;
    struct stat st;

    return fstat(s->fd, &st) < 0 ? -errno : (int64_t)st.st_blocks * 512;
}

/* ---- opening ---- */

static bool find_size(BlockNode *node, Error **errp)
{
    FileState *s = node->state;
    struct stat st;

    if (fstat(s->fd, &st) < 0) {
        error_set_errno(errp, errno, "cannot examine %s", node->filename);
        return false;
    }
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
        error_set(errp, "%s is %s; a disk image is a regular file or a block device",
                  node->filename, S_ISDIR(st.st_mode) ? "a directory" : "not a file");
        return false;
    }
    s->is_device = S_ISBLK(st.st_mode);
    node->size = st.st_size;
    if (!host_device_check(node, s->fd, errp)) {
        return false;
    }
    if (s->is_device && ioctl(s->fd, BLKGETSIZE64, &node->size) < 0 &&
        !(errno == ENOMEDIUM && node->driver->co_is_inserted)) { /* an empty drive has no size */
        error_set_errno(errp, errno, "cannot find the size of %s", node->filename);
        return false;
    }
    node->growable = !s->is_device;
    node->zero_init = !s->is_device;
    return true;
}

/* What O_DIRECT asks for: the kernel says so, or the smallest that a read gets away with. */
static uint32_t direct_alignment(int fd)
{
    void *buf = NULL;
    uint32_t align = MAX_DIRECT_ALIGN;

#ifdef STATX_DIOALIGN
    struct statx sx;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) == 0 && (sx.stx_mask & STATX_DIOALIGN) &&
        sx.stx_dio_offset_align) {
        return MAX(sx.stx_dio_offset_align, sx.stx_dio_mem_align);
    }
#endif
    if (posix_memalign(&buf, MAX_DIRECT_ALIGN, MAX_DIRECT_ALIGN)) {
        return MAX_DIRECT_ALIGN;
    }
    for (uint32_t a = 512; a < MAX_DIRECT_ALIGN; a *= 2) {
        if (pread(fd, (char *)buf + (a < MAX_DIRECT_ALIGN / 2 ? a : 0), a, 0) >= 0) {
            align = a;
            break;
        }
    }
    free(buf);
    return align;
}

static int open_flags(const BlockNode *node, bool readonly)
{
    const FileState *s = node->state;
    struct stat st;
    bool alone = !readonly && s->locking && stat(node->filename, &st) == 0 && S_ISBLK(st.st_mode);

    /* Without O_NONBLOCK the open of a FIFO would wait for its other end. O_EXCL on a device: not
       while the host itself has it in use. */
    return (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | (alone ? O_EXCL : 0) |
           (node->flags & BDRV_O_DIRECT ? O_DIRECT : 0);
}

static bool lock_for(const BlockNode *node, int fd, bool readonly, Error **errp)
{
    const FileState *s = node->state;
    unsigned perm = BLK_PERM_READ | (readonly ? 0 : BLK_PERM_WRITE | BLK_PERM_RESIZE);
    unsigned shared =
        node->flags & BDRV_O_FORCE_SHARE ? BLK_PERM_ALL : BLK_PERM_READ | BLK_PERM_WRITE_UNCHANGED;

    return !s->locking || (node->flags & BDRV_O_FORCE_SHARE) ||
           file_lock(fd, node->filename, perm, shared, errp);
}

static bool open_fd(BlockNode *node, Error **errp)
{
    FileState *s = node->state;

    s->fd = open(node->filename, open_flags(node, node->readonly));
    if (s->fd < 0 && !node->readonly && (node->flags & BDRV_O_AUTO_READONLY) &&
        (errno == EACCES || errno == EROFS || errno == EPERM)) {
        node->readonly = true;
        s->fd = open(node->filename, open_flags(node, true));
    }
    if (s->fd < 0) {
        if (errno == EINVAL && (node->flags & BDRV_O_DIRECT)) {
            error_set(
                errp,
                "cannot open %s past the host's cache: its file system does not support O_DIRECT; "
                "choose another cache mode than none and directsync (cache.direct=off)",
                node->filename);
        } else if (errno == EBUSY && !node->readonly) {
            error_set(errp,
                      "device %s is in use on this machine (mounted, or part of something larger): "
                      "unmount it, or open it read-only (locking=off: write it all the same)",
                      node->filename);
        } else {
            error_set_errno(errp, errno, "cannot open %s%s", node->filename,
                            node->readonly ? "" : " for writing");
        }
        return false;
    }
    return true;
}

static bool take_options(BlockNode *node, BlockOptions *options, Error **errp)
{
    static const char *const modes[] = {
        [AIO_THREADS] = "threads", [AIO_NATIVE] = "native", [AIO_URING] = "io_uring", NULL};
    static const char *const lockings[] = {"auto", "on", "off", NULL};
    FileState *s = node->state;
    int aio = -1, locking = 0;
    char *name = blkopts_take(options, "filename");

    if (!name) {
        error_set(errp, "file: needs an option 'filename'");
        return false;
    }
    free(node->filename);
    node->filename = name;
    if (!blkopts_take_word(options, "aio", modes, &aio, errp) ||
        !blkopts_take_word(options, "locking", lockings, &locking, errp)) {
        return false;
    }
    s->locking = locking != 2;
    if (aio == AIO_NATIVE && !(node->flags & BDRV_O_DIRECT)) {
        error_set(errp,
                  "image %s: aio=native needs the host's cache to be off; add cache=none "
                  "(cache.direct=on)",
                  node->filename);
        return false;
    }
    if (aio < 0) {
        s->aio = aio_available(AIO_URING, NULL) ? AIO_URING : AIO_THREADS;
        s->copies = !(node->flags & BDRV_O_DIRECT);
        return true;
    }
    s->aio = (AioKind)aio;
    return aio_available(s->aio, errp);
}

static bool file_co_open(BlockNode *node, BlockOptions *options, Error **errp)
{
    FileState *s = node->state;

    if (node->driver == &bdrv_host_cdrom && !node->readonly) {
        if (!(node->flags & BDRV_O_AUTO_READONLY)) {
            error_set(errp,
                      "host_cdrom: a CD-ROM can only be read; add media=cdrom or read-only=on");
            return false;
        }
        node->readonly = true;
    }
    if (!take_options(node, options, errp) || !open_fd(node, errp)) {
        return false;
    }
    if (!find_size(node, errp) || !lock_for(node, s->fd, node->readonly, errp)) {
        close(s->fd);
        return false;
    }
    s->align = 1;
    if (node->flags & BDRV_O_DIRECT) {
        node->request_alignment = node->memory_alignment = s->align = direct_alignment(s->fd);
    }
    node->zeroes_alignment = node->discard_alignment = s->is_device ? 512 : 1;
    node->supported_zero_flags = BDRV_REQ_MAY_UNMAP;
    return true;
}

/* A last block that was written whole becomes the part that it is. */
static void cut_last_block(BlockNode *node)
{
    FileState *s = node->state;
    struct stat st;

    if (s->grown && !s->is_device && fstat(s->fd, &st) == 0 && (uint64_t)st.st_size > node->size &&
        st.st_size - node->size < s->align && ftruncate(s->fd, node->size) < 0) {
        error_report("image %s stays longer than its %llu bytes, by zeroes: %s", node->filename,
                     (unsigned long long)node->size, strerror(errno));
    }
}

static void file_co_close(BlockNode *node)
{
    FileState *s = node->state;

    cut_last_block(node);
    close(s->fd);
}

/* The new descriptor is locked while the old one is not; if that fails the old one gets its locks
   back, which nobody can have contradicted but in between. */
static bool file_co_reopen(BlockNode *node, bool readonly, Error **errp)
{
    FileState *s = node->state;
    int fd = open(node->filename, open_flags(node, readonly));

    if (fd < 0) {
        error_set_errno(errp, errno, "cannot open %s%s", node->filename,
                        readonly ? "" : " for writing");
        return false;
    }
    file_unlock(s->fd);
    if (!lock_for(node, fd, readonly, errp)) {
        close(fd);
        lock_for(node, s->fd, node->readonly, NULL);
        return false;
    }
    cut_last_block(node);
    close(s->fd);
    s->fd = fd;
    return true;
}

static bool file_parse_filename(const char *filename, BlockOptions *options, Error **errp)
{
    static const char *const words[] = {"file:", "host_device:", "host_cdrom:", "host_floppy:"};

    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        size_t n = strlen(words[i]);
        filename += strncmp(filename, words[i], n) ? 0 : n;
    }
    blkopts_set(options, "filename", filename);
    return true;
}

/* ---- creating ---- */

static bool empty_file(int fd, const BlockCreate *create, Error **errp)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))) {
        error_set(errp, "%s is %s; a disk image is a regular file or a block device",
                  create->filename, S_ISDIR(st.st_mode) ? "a directory" : "not a file");
        return false;
    }
    if (!file_lock(fd, create->filename, BLK_PERM_WRITE | BLK_PERM_RESIZE,
                   BLK_PERM_ALL & ~(BLK_PERM_WRITE | BLK_PERM_RESIZE), errp)) {
        return false;
    }
    uint64_t size;
    if (S_ISBLK(st.st_mode)) {
        if (ioctl(fd, BLKGETSIZE64, &size) == 0 && size < create->size) {
            error_set(errp, "device %s has %llu bytes, the image needs %llu", create->filename,
                      (unsigned long long)size, (unsigned long long)create->size);
            return false;
        }
        return true;
    }
    /* The contents go only once the lock is ours, and the host can have a file as long as that. */
    if ((create->expected > (uint64_t)st.st_size && ftruncate(fd, create->expected) < 0) ||
        ftruncate(fd, 0) < 0 || ftruncate(fd, create->size) < 0) {
        error_set_errno(errp, errno, "cannot make %s %llu bytes long", create->filename,
                        (unsigned long long)MAX(create->size, create->expected));
        return false;
    }
    return true;
}

static bool file_co_create(BlockCreate *create, Error **errp)
{
    const char *name =
        strncmp(create->filename, "file:", 5) ? create->filename : create->filename + 5;
    const int flags = O_RDWR | O_CLOEXEC | O_NONBLOCK;
    int fd = open(name, flags | O_CREAT | O_EXCL, 0644);
    bool made = fd >= 0;

    if (fd < 0 && errno == EEXIST) {
        /* O_CREAT again: a dangling symbolic link leads to a file to be made. */
        fd = open(name, flags | O_CREAT, 0644);
    }
    if (fd < 0) {
        error_set_errno(errp, errno, "cannot create %s", name);
        return false;
    }
    bool ok = empty_file(fd, create, errp);
    if (!ok && made) {
        unlink(name);
    }
    if (close(fd) < 0 && ok && errno != EINTR) {
        error_set_errno(errp, errno, "cannot create %s", name);
        ok = false;
    }
    return ok;
}

static const BlockOptionDesc file_options[] = {
    {"filename", "FILE", "the file or device"},
    {"aio", "threads|native|io_uring", "how requests are run"},
    {"locking", "auto|on|off", "whether other programs are kept away"},
    {0},
};

static int file_get_fd(BlockNode *node)
{
    return ((FileState *)node->state)->fd;
}

#define FILE_DRIVER(word)                                                                          \
    .name = word, .protocol = word, .state_size = sizeof(FileState), .open_options = file_options, \
    .parse_filename = file_parse_filename, .co_open = file_co_open, .co_close = file_co_close,     \
    .co_create = file_co_create, .co_reopen = file_co_reopen, .co_preadv = file_co_preadv,         \
    .co_pwritev = file_co_pwritev, .co_pwrite_zeroes = file_co_pwrite_zeroes,                      \
    .co_pdiscard = file_co_pdiscard, .co_flush = file_co_flush,                                    \
    .co_block_status = file_co_block_status, .co_truncate = file_co_truncate,                      \
    .co_get_allocated = file_co_get_allocated, .get_fd = file_get_fd

const BlockDriver bdrv_file = {FILE_DRIVER("file")};
const BlockDriver bdrv_host_device = {FILE_DRIVER("host_device")};
const BlockDriver bdrv_host_cdrom = {
    FILE_DRIVER("host_cdrom"),
    .co_is_inserted = host_cdrom_is_inserted,
    .co_eject = host_cdrom_eject,
    .co_lock_medium = host_cdrom_lock,
};
const BlockDriver bdrv_host_floppy = {
    FILE_DRIVER("host_floppy"),
    .co_is_inserted = host_floppy_is_inserted,
    .co_eject = host_floppy_eject,
};
