/*
 * vole-img: copies of images. Holes stay holes, and runs of zeroes become some.
 *
 * Several coroutines copy at once: each takes the next piece of the sources, reads it, and writes
 * it when its turn has come (at once with -W, and for compressed images, whose work is in the
 * compressing).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/img-copy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "block/util.h"

/* Packed data come in short pieces: the first are written while the next are being unpacked. */
enum { CHUNK = 2 << 20, PACKED_CHUNK = 512 << 10 };
/* From page cache to page cache there is no waiting for a disk to fill, and what was read should
 * still be in the processor's caches when it is written. */
enum { MAX_AHEAD = 3 * CHUNK };

typedef struct Copy {
    const ImgCopy *what;
    uint64_t sparse; /* unit of zero detection; 0: everything is written */
    bool compressed, in_order;
    bool salvage; /* what cannot be read is zeroes */
    bool quiet;
    bool overlap; /* writes begin in order, but do not wait for each other's end */
    size_t chunk, packed_chunk;
    uint64_t rate;
    int64_t started;

    uint64_t total, next, done; /* bytes: all, handed out, finished */
    uint64_t pieces, turn;      /* pieces handed out, pieces whose writes have begun in order */
    CoQueue turns;
    uint64_t ahead, max_ahead; /* bytes of data not packed that are being copied; 0: any number */
    CoQueue room;
    uint8_t *buffers[IMG_COPY_MAX_WORKERS]; /* of a chunk each, that nobody uses */
    unsigned buffer_count;
    CoMutex lock;
    unsigned running;
    Error *err;
    ImgProgress progress;
} Copy;

typedef enum PieceKind { PIECE_DATA, PIECE_ZERO, PIECE_BACKING } PieceKind;

typedef struct Piece {
    PieceKind kind;
    bool packed;
    CopySource *source;
    uint64_t from, to, bytes, number;
} Piece;

/* ---- what to copy next ---- */

static CopySource *find_source(Copy *copy, uint64_t at, uint64_t *skip)
{
    CopySource *s = copy->what->sources;

    while (at >= s->bytes) {
        at -= s->bytes;
        s++;
    }
    *skip = at;
    return s;
}

static bool failed(Copy *copy, int ret, const char *what, const Image *image, uint64_t offset)
{
    if (!copy->err) {
        error_set_errno(&copy->err, -ret, "cannot %s %s at byte %" PRIu64, what, image->file,
                        offset);
    }
    return false;
}

static PieceKind piece_kind(const Copy *copy, int status, uint64_t to)
{
    if (copy->what->has_backing && !(status & BDRV_BLOCK_ALLOCATED)) {
        return to < copy->what->backing_end ? PIECE_BACKING : PIECE_ZERO;
    }
    if (!copy->sparse) {
        return PIECE_DATA;
    }
    return status & BDRV_BLOCK_ZERO   ? PIECE_ZERO
           : status & BDRV_BLOCK_DATA ? PIECE_DATA
                                      : PIECE_ZERO;
}

static int source_status(const Copy *copy, const CopySource *source, uint64_t from, uint64_t bytes,
                         uint64_t *n)
{
    return bdrv_co_block_status_above(source->image->node,
                                      copy->what->has_backing ? copy->what->base : NULL, true, from,
                                      bytes, n, NULL, NULL, NULL);
}

/* Data go on where they do, wherever in the file: the more is read at once, and the further ahead
 * of what is being written. */
static uint64_t extend_data(const Copy *copy, const Piece *p, uint64_t n, uint64_t most, int status)
{
    uint64_t more;

    for (;;) {
        if (status & BDRV_BLOCK_COMPRESSED) {
            most = MIN(most, copy->packed_chunk);
        }
        if (n >= most) {
            return most;
        }
        status = source_status(copy, p->source, p->from + n, most - n, &more);
        if (status < 0 || !more || piece_kind(copy, status, p->to + n) != PIECE_DATA) {
            return n;
        }
        n += more;
    }
}

/* From copy->next on, no longer than a chunk when it holds data. */
static bool find_piece(Copy *copy, Piece *p)
{
    uint64_t skip, n;

    p->source = find_source(copy, copy->next, &skip);
    p->from = p->source->start + skip;
    p->to = copy->next;
    uint64_t rest = p->source->bytes - skip;
    int ret = source_status(copy, p->source, p->from, rest, &n);
    if (ret < 0 && copy->salvage) {
        ret = BDRV_BLOCK_ALLOCATED | BDRV_BLOCK_DATA; /* reading tells which of it is lost */
        n = MIN(rest, copy->chunk);
    }
    if (ret < 0) {
        return failed(copy, ret, "examine", p->source->image, p->from);
    }
    n = n ? n : rest; /* a size that is no multiple of a sector: the rest is zeroes */
    p->kind = piece_kind(copy, ret, p->to);
    p->packed = ret & BDRV_BLOCK_COMPRESSED;
    if (copy->compressed) {
        n = MIN(n, copy->chunk);
    } else if (p->kind == PIECE_DATA) {
        n = extend_data(copy, p, n, MIN(rest, copy->chunk), ret);
    }
    if (copy->compressed && n < copy->chunk && n < rest) {
        n = MIN(copy->chunk, rest); /* whole clusters only */
        p->kind = PIECE_DATA;
    }
    p->bytes = n;
    return true;
}

/* Zeroes that the target shows already. */
static bool is_zero_already(const Copy *copy)
{
    return copy->what->target->zeroed && !copy->what->has_backing && copy->sparse;
}

static void made_progress(Copy *copy, uint64_t bytes)
{
    copy->done += bytes;
    img_progress(&copy->progress, copy->done, copy->total);
}

/* Under the lock: the next piece there is something to do for; the others wait for no turn. */
static bool next_piece(Copy *copy, Piece *p)
{
    while (!copy->err && copy->next < copy->total && !image_interrupted(&copy->err)) {
        if (!find_piece(copy, p)) {
            return false;
        }
        copy->next += p->bytes;
        if (p->kind == PIECE_DATA || (p->kind == PIECE_ZERO && !is_zero_already(copy))) {
            p->number = copy->pieces++;
            return true;
        }
        made_progress(copy, p->bytes);
    }
    return false;
}

/* ---- copying one piece ---- */

/* By sectors; those that cannot be read are zeroes, and what they were is told. */
static void read_sectors(Copy *copy, const Piece *p, uint8_t *buf)
{
    uint64_t lost = 0, n;

    for (uint64_t at = 0; at < p->bytes; at += n) {
        n = MIN(p->bytes - at, BLK_SECTOR_SIZE);
        int ret = bdrv_co_pread(p->source->image->root, p->from + at, n, buf + at, 0);
        if (ret < 0) {
            memset(buf + at, 0, n);
            lost += n;
        }
        if (lost && (ret == 0 || at + n == p->bytes) && !copy->quiet) {
            uint64_t end = p->from + at + (ret < 0 ? n : 0);
            warn_report("convert: %s: bytes %" PRIu64 " to %" PRIu64
                        " cannot be read; zeroes stand for them",
                        p->source->image->file, end - lost, end - 1);
        }
        lost = ret < 0 ? lost : 0;
    }
}

static int read_piece(Copy *copy, const Piece *p, uint8_t *buf)
{
    int ret = bdrv_co_pread(p->source->image->root, p->from, p->bytes, buf, 0);

    if (ret < 0 && copy->salvage) {
        read_sectors(copy, p, buf);
        return 0;
    }
    return ret;
}

static int write_zeroes(Copy *copy, uint64_t offset, uint64_t bytes)
{
    if (is_zero_already(copy)) {
        return 0;
    }
    return bdrv_co_pwrite_zeroes(copy->what->target->root, offset, bytes,
                                 copy->sparse && !copy->what->has_backing ? BDRV_REQ_MAY_UNMAP : 0);
}

/* Runs of units that are all zero or all not. */
static int write_sparse(Copy *copy, uint64_t offset, uint8_t *buf, size_t n)
{
    const size_t unit = copy->sparse ? copy->sparse : n;
    int ret = 0;

    for (size_t at = 0, end; at < n && ret == 0; at = end) {
        bool zero = false;
        for (end = at; end < n; end += MIN(unit, n - end)) {
            bool this_zero = copy->sparse && buffer_is_zero(buf + end, MIN(unit, n - end));
            if (end > at && this_zero != zero) {
                break;
            }
            zero = this_zero;
        }
        ret = zero ? write_zeroes(copy, offset + at, end - at)
                   : bdrv_co_pwrite(copy->what->target->root, offset + at, end - at, buf + at, 0);
    }
    return ret;
}

static int write_piece(Copy *copy, const Piece *p, uint8_t *buf)
{
    if (p->kind == PIECE_ZERO) {
        return write_zeroes(copy, p->to, p->bytes);
    }
    if (!copy->compressed) {
        return write_sparse(copy, p->to, buf, p->bytes);
    }
    if (copy->sparse && buffer_is_zero(buf, p->bytes)) {
        return write_zeroes(copy, p->to, p->bytes);
    }
    return bdrv_co_pwrite(copy->what->target->root, p->to, p->bytes, buf, BDRV_REQ_COMPRESSED);
}

static void limit_rate(Copy *copy)
{
    if (copy->rate) {
        int64_t due =
            copy->started + (int64_t)((double)copy->done * NS_PER_SEC / (double)copy->rate);
        int64_t wait = due - clock_now(CLOCK_HOST);
        if (wait > 0) {
            coroutine_sleep(CLOCK_HOST, wait);
        }
    }
}

static bool copy_piece(Copy *copy, const Piece *p, uint8_t *buf)
{
    int ret = p->kind == PIECE_DATA ? read_piece(copy, p, buf) : 0;
    bool ok = ret == 0 || failed(copy, ret, "read", p->source->image, p->from);

    while (copy->in_order && copy->turn != p->number) {
        co_queue_wait(&copy->turns);
    }
    if (copy->overlap) { /* whose turn it is next runs when our write waits, its place chosen */
        copy->turn++;
        co_queue_all(&copy->turns);
    }
    if (ok && !copy->err) {
        ret = write_piece(copy, p, buf);
        ok = ret == 0 || failed(copy, ret, "write", copy->what->target, p->to);
    }
    if (!copy->overlap) {
        copy->turn++;
        co_queue_all(&copy->turns);
    }
    made_progress(copy, p->bytes);
    limit_rate(copy);
    return ok;
}

static uint64_t room_for(const Copy *copy, const Piece *p)
{
    return copy->max_ahead && p->kind == PIECE_DATA && !p->packed ? p->bytes : 0;
}

/* Under the lock, which keeps the others waiting as well. */
static void wait_for_room(Copy *copy, const Piece *p)
{
    const uint64_t room = room_for(copy, p);

    while (room && copy->ahead && copy->ahead + room > copy->max_ahead) {
        co_queue_wait(&copy->room);
    }
    copy->ahead += room;
}

static void leave_room(Copy *copy, const Piece *p)
{
    copy->ahead -= room_for(copy, p);
    co_queue_all(&copy->room);
}

/* The one that was used last, whose memory is there and in the processor's caches. */
static uint8_t *take_buffer(Copy *copy)
{
    return copy->buffer_count ? copy->buffers[--copy->buffer_count]
                              : block_alloc_large(copy->what->target->node, copy->chunk);
}

static void copy_entry(void *opaque)
{
    Copy *copy = opaque;
    Piece p;
    bool more = true;

    while (more) {
        co_mutex_lock(&copy->lock);
        more = next_piece(copy, &p);
        if (more) {
            wait_for_room(copy, &p);
        }
        co_mutex_unlock(&copy->lock);
        if (more) {
            uint8_t *buf = take_buffer(copy);
            more = copy_piece(copy, &p, buf);
            copy->buffers[copy->buffer_count++] = buf;
            leave_room(copy, &p);
        }
    }
    copy->running--;
}

static size_t whole_units(const Copy *copy, size_t bytes)
{
    return copy->sparse > bytes ? copy->sparse
           : copy->sparse       ? bytes / copy->sparse * copy->sparse
                                : bytes;
}

static size_t choose_chunk(const Copy *copy)
{
    BlockInfo info;

    if (copy->compressed) {
        return bdrv_get_info(copy->what->target->node, &info) == 0 && info.cluster_size
                   ? info.cluster_size
                   : 65536;
    }
    return whole_units(copy, CHUNK);
}

/* Each cluster is unpacked once. */
static size_t choose_packed_chunk(const Copy *copy)
{
    size_t chunk = whole_units(copy, PACKED_CHUNK);
    BlockInfo info;

    for (int i = 0; i < copy->what->source_count; i++) {
        if (bdrv_get_info(copy->what->sources[i].image->node, &info) == 0) {
            chunk = MAX(chunk, info.cluster_size);
        }
    }
    return chunk;
}

static bool is_cached_file(const BlockNode *node)
{
    bool plain = !node->encrypted;

    while (node->file) {
        node = node->file->node;
        plain = plain && !node->encrypted;
    }
    return plain && node->driver->get_fd && !(node->flags & BDRV_O_DIRECT);
}

/* Whether all there is to do is copying: no disk, network, packing or ciphers. */
static bool is_plain(const Copy *copy)
{
    bool plain = !copy->compressed && is_cached_file(copy->what->target->node);

    for (int i = 0; i < copy->what->source_count; i++) {
        plain = plain && is_cached_file(copy->what->sources[i].image->node);
    }
    return plain;
}

static void prepare_copy(Copy *copy, const ImgArgs *args)
{
    BlockInfo info;

    copy->sparse = args->sparse;
    copy->compressed = args->compressed || (bdrv_get_info(copy->what->target->node, &info) == 0 &&
                                            info.needs_compressed_writes);
    copy->in_order = !args->out_of_order && !copy->compressed;
    /* The page cache takes one write to a file at a time; a disk has use for several. */
    copy->overlap = args->target_cache & BDRV_O_DIRECT;
    copy->rate = args->rate;
    copy->salvage = args->salvage;
    copy->quiet = args->quiet;
    copy->started = clock_now(CLOCK_HOST);
    copy->chunk = choose_chunk(copy);
    copy->packed_chunk = choose_packed_chunk(copy);
    copy->max_ahead = is_plain(copy) ? MAX_AHEAD : 0;
    for (int i = 0; i < copy->what->source_count; i++) {
        copy->total += copy->what->sources[i].bytes;
    }
}

bool img_copy(const ImgCopy *what, const ImgArgs *args, Error **errp)
{
    Copy state = {.what = what}, *copy = &state;

    prepare_copy(copy, args);
    if (copy->compressed && copy->what->target->node->encrypted) {
        error_set(errp, "-c: %s is encrypted, and an image is one of both only",
                  copy->what->target->file);
        return false;
    }
    img_progress_start(&copy->progress, args->progress && !args->quiet);
    for (unsigned i = 0; i < args->workers; i++) {
        copy->running++;
        coroutine_enter(coroutine_create(copy_entry, copy));
    }
    while (copy->running) {
        loop_run_once(-1);
    }
    while (copy->buffer_count) {
        free(copy->buffers[--copy->buffer_count]);
    }
    bool ok = !copy->err &&
              (args->target_cache & BDRV_O_NO_FLUSH || image_flush(copy->what->target, &copy->err));
    img_progress_end(&copy->progress, ok);
    if (!ok) {
        error_propagate(errp, copy->err);
    }
    return ok;
}

int img_copy_failed(const ImgArgs *args, Image *target, Error *err)
{
    if (target) {
        Error *told = NULL;
        char *file = strdup(target->file);
        bool removed = image_abandon(target);
        error_set(&told, "%s; the incomplete target %s %s", error_text(err), file ? file : "",
                  removed ? "was removed" : "is left as it is");
        error_free(err);
        free(file);
        err = told;
    }
    img_failed(args, err, 1);
    image_die();
    return 1;
}

bool img_refuse_same(const char *source, const char *target, Error **errp)
{
    if (image_same_file(source, target)) {
        error_set(errp, "%s and %s are the same image; a copy needs another name", source, target);
        return false;
    }
    return true;
}
