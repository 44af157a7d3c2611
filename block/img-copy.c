/*
 * vole-img convert, dd: copies of images. Holes stay holes, and runs of zeroes become some.
 *
 * Several coroutines copy at once: each takes the next piece of the sources, reads it, and writes
 * it when its turn has come (at once with -W, and for compressed images, whose work is in the
 * compressing).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "block/img.h"
#include "block/util.h"
#include "util/options.h"

/* Packed data come in short pieces: the first are written while the next are being unpacked. */
enum { CHUNK = 2 << 20, PACKED_CHUNK = 512 << 10, MAX_SPARSE = 16 << 20 };
/* From page cache to page cache there is no waiting for a disk to fill, and what was read should
 * still be in the processor's caches when it is written. */
enum { MAX_AHEAD = 3 * CHUNK, MAX_WORKERS = 16 };

/* A part of an image that is read. */
typedef struct Source {
    Image *image;
    uint64_t start, bytes;
} Source;

typedef struct Copy {
    Source *sources;
    int source_count;
    Image *target;
    BlockNode *base;  /* what lies in it and below is left to the target's own backing file; NULL:
                         nothing */
    bool has_backing; /* the target has a backing file */
    uint64_t backing_end; /* how long that one is */
    uint64_t sparse;      /* unit of zero detection; 0: everything is written */
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
    uint8_t *buffers[MAX_WORKERS]; /* of a chunk each, that nobody uses */
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
    Source *source;
    uint64_t from, to, bytes, number;
} Piece;

/* ---- what to copy next ---- */

static Source *find_source(Copy *copy, uint64_t at, uint64_t *skip)
{
    Source *s = copy->sources;

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
    if (copy->has_backing && !(status & BDRV_BLOCK_ALLOCATED)) {
        return to < copy->backing_end ? PIECE_BACKING : PIECE_ZERO;
    }
    if (!copy->sparse) {
        return PIECE_DATA;
    }
    return status & BDRV_BLOCK_ZERO   ? PIECE_ZERO
           : status & BDRV_BLOCK_DATA ? PIECE_DATA
                                      : PIECE_ZERO;
}

static int source_status(const Copy *copy, const Source *source, uint64_t from, uint64_t bytes,
                         uint64_t *n)
{
    return bdrv_co_block_status_above(source->image->node, copy->has_backing ? copy->base : NULL,
                                      true, from, bytes, n, NULL, NULL, NULL);
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
    return copy->target->zeroed && !copy->has_backing && copy->sparse;
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
    return bdrv_co_pwrite_zeroes(copy->target->root, offset, bytes,
                                 copy->sparse && !copy->has_backing ? BDRV_REQ_MAY_UNMAP : 0);
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
                   : bdrv_co_pwrite(copy->target->root, offset + at, end - at, buf + at, 0);
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
    return bdrv_co_pwrite(copy->target->root, p->to, p->bytes, buf, BDRV_REQ_COMPRESSED);
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
        ok = ret == 0 || failed(copy, ret, "write", copy->target, p->to);
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
                              : block_alloc_large(copy->target->node, copy->chunk);
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
        return bdrv_get_info(copy->target->node, &info) == 0 && info.cluster_size
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

    for (int i = 0; i < copy->source_count; i++) {
        if (bdrv_get_info(copy->sources[i].image->node, &info) == 0) {
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
    bool plain = !copy->compressed && is_cached_file(copy->target->node);

    for (int i = 0; i < copy->source_count; i++) {
        plain = plain && is_cached_file(copy->sources[i].image->node);
    }
    return plain;
}

static bool run_copy(Copy *copy, const ImgArgs *args, Error **errp)
{
    copy->sparse = args->sparse;
    BlockInfo info;
    copy->compressed = args->compressed || (bdrv_get_info(copy->target->node, &info) == 0 &&
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
    for (int i = 0; i < copy->source_count; i++) {
        copy->total += copy->sources[i].bytes;
    }
    if (copy->compressed && copy->target->node->encrypted) {
        error_set(errp, "-c: %s is encrypted, and an image is one of both only",
                  copy->target->file);
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
              (args->target_cache & BDRV_O_NO_FLUSH || image_flush(copy->target, &copy->err));
    img_progress_end(&copy->progress, ok);
    if (!ok) {
        error_propagate(errp, copy->err);
    }
    return ok;
}

/*
 * Reports err with what became of the target, if there is one already. Ends the program on a
 * signal.
 */
static int target_failed(const ImgArgs *args, Image *target, Error *err)
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

static bool refuse_same(const char *source, const char *target, Error **errp)
{
    if (image_same_file(source, target)) {
        error_set(errp, "%s and %s are the same image; a copy needs another name", source, target);
        return false;
    }
    return true;
}

/* ---- convert ---- */

static bool set_no_create(ImgArgs *args, const char *value, Error **errp)
{
    args->no_create = true;
    return true;
}

static bool set_target_is_zero(ImgArgs *args, const char *value, Error **errp)
{
    args->target_is_zero = true;
    return true;
}

static bool set_target_options(ImgArgs *args, const char *value, Error **errp)
{
    args->target_options = true;
    return true;
}

static bool set_sparse(ImgArgs *args, const char *value, Error **errp)
{
    if (!blkopts_parse_size("-S", value, &args->sparse, errp)) {
        return false;
    }
    if (args->sparse % BLK_SECTOR_SIZE || args->sparse > MAX_SPARSE) {
        error_set(errp,
                  "-S: '%s' is not possible; possible: multiples of 512 up to 16M, or 0 to write "
                  "everything",
                  value);
        return false;
    }
    return true;
}

static bool set_workers(ImgArgs *args, const char *value, Error **errp)
{
    uint64_t n;

    if (!parse_number("-m", value, 1, MAX_WORKERS, &n, errp)) {
        return false;
    }
    args->workers = (unsigned)n;
    return true;
}

static bool set_compressed(ImgArgs *args, const char *value, Error **errp)
{
    args->compressed = true;
    return true;
}

static bool set_out_of_order(ImgArgs *args, const char *value, Error **errp)
{
    args->out_of_order = true;
    return true;
}

static bool set_bitmaps(ImgArgs *args, const char *value, Error **errp)
{
    args->bitmaps = true;
    return true;
}

static bool set_skip_broken(ImgArgs *args, const char *value, Error **errp)
{
    args->skip_broken = true;
    return true;
}

static bool set_salvage(ImgArgs *args, const char *value, Error **errp)
{
    args->salvage = true;
    return true;
}

static const ImgOption convert_options[] = {
    {'f', NULL, "FORMAT", "format of the sources", img_set_format},
    {0, "image-opts", NULL, "SOURCEs are lists of options", img_set_image_opts},
    {'O', NULL, "FORMAT", "format of the target (raw)", img_set_output_format},
    {0, "target-image-opts", NULL, "TARGET is a list of options; needs -n", set_target_options},
    {'o', NULL, "OPTIONS", "what the target's format takes: KEY=VALUE,...; help lists it",
     img_set_creation},
    {'c', NULL, NULL, "compress the target", set_compressed},
    {'B', NULL, "FILE",
     "backing file of the target; what the sources leave to theirs is left to it", img_set_backing},
    {'F', NULL, "FORMAT", "format of the backing file", img_set_backing_format},
    {'l', NULL, "SNAPSHOT", "copy what this snapshot holds", img_set_snapshot},
    {'p', NULL, NULL, "show progress (so does SIGUSR1)", img_set_progress},
    {'q', NULL, NULL, "print nothing but errors", img_set_quiet},
    {'n', NULL, NULL, "the target exists and is written into", set_no_create},
    {0, "target-is-zero", NULL, "with -n: the target holds zeroes only", set_target_is_zero},
    {'S', NULL, "SIZE", "runs of zeroes that long become holes (4k); 0: none", set_sparse},
    {'t', NULL, "CACHE",
     "cache mode of the target; not unsafe (default): data is on disk at the end", img_set_cache},
    {'T', NULL, "CACHE", "cache mode of the sources", img_set_source_cache},
    {'m', NULL, "N", "parallel requests: 1 to 16 (8)", set_workers},
    {'W', NULL, NULL, "write out of order", set_out_of_order},
    {0, "salvage", NULL, "zeroes in place of what cannot be read; each such part is told",
     set_salvage},
    {'r', NULL, "RATE", "at most so many bytes a second", img_set_rate},
    {0, "bitmaps", NULL, "copy the bitmaps as well", set_bitmaps},
    {0, "skip-broken-bitmaps", NULL, "with --bitmaps: leave out those that are not intact",
     set_skip_broken},
    {'C', NULL, NULL, "copy offloading; accepted, changes nothing", img_set_nothing},
    {'U', "force-share", NULL, "read sources that another program writes", img_set_force_share},
    IMG_OBJECT_OPTION,
    {0},
};

static bool open_sources(ImgArgs *args, Copy *copy, const char *target, Error **errp)
{
    uint64_t total = 0;

    copy->sources = calloc(args->count, sizeof(Source));
    if (!copy->sources) {
        error_exit("out of memory");
    }
    for (int i = 0; i < args->count - 1; i++) {
        Image *image = image_open(args->operands[i], &args->open, errp);
        if (!image) {
            return false;
        }
        copy->sources[copy->source_count++].image = image;
        if (!refuse_same(image->file, target, errp) || !img_load_snapshot(args, image, errp)) {
            return false;
        }
        if (image->size > INT64_MAX - BLK_SECTOR_SIZE - total) {
            error_set(errp, "the sources together are longer than a file can be");
            return false;
        }
        if (args->bitmaps && !image->node->driver->bitmaps) {
            error_set(errp, "--bitmaps: format %s of %s holds no bitmaps",
                      bdrv_format_name(image->node), image->file);
            return false;
        }
        copy->sources[i].bytes = image->size;
        total += image->size;
    }
    return true;
}

static void close_sources(Copy *copy)
{
    for (int i = 0; i < copy->source_count; i++) {
        image_close(copy->sources[i].image, NULL);
    }
    free(copy->sources);
}

static uint64_t total_size(const Copy *copy)
{
    uint64_t total = 0;

    for (int i = 0; i < copy->source_count; i++) {
        total += copy->sources[i].bytes;
    }
    return total;
}

/* -n: an image that is there and large enough. */
static Image *open_target(ImgArgs *args, const char *file, uint64_t total, Error **errp)
{
    const ImageOpen how = {.writable = true,
                           .format = args->target_options  ? NULL
                                     : args->output_format ? args->output_format
                                                           : "raw",
                           .options = args->target_options,
                           .cache = args->target_cache};
    Image *target = image_open(file, &how, errp);

    if (target && target->size < total) {
        error_set(errp, "target %s has %" PRIu64 " bytes, the sources have %" PRIu64, file,
                  target->size, total);
        image_close(target, NULL);
        return NULL;
    }
    if (target) {
        target->zeroed = args->target_is_zero;
    }
    return target;
}

static bool is_on(const ImgArgs *args, const char *key, const char *off)
{
    const char *value = blkopts_get(args->creation, key);

    return value && strcmp(value, off) != 0;
}

/* Before a file that is there is given up for the target. */
static bool check_target(const ImgArgs *args, const BlockDriver *driver, const char *file,
                         Error **errp)
{
    if (args->compressed && !driver->supports_compressed) {
        error_set(errp, "-c: format %s is never compressed", driver->name);
    } else if (args->compressed &&
               (is_on(args, "encryption", "off") || is_on(args, "encrypt.format", ""))) {
        error_set(errp, "-c: an image is either compressed or encrypted");
    } else if (args->compressed && is_on(args, "preallocation", "off")) {
        error_set(errp, "-c: not together with preallocation=%s",
                  blkopts_get(args->creation, "preallocation"));
    } else if (args->bitmaps && !driver->bitmaps) {
        error_set(errp, "--bitmaps: format %s holds no bitmaps", driver->name);
    } else if (args->backing_file && !args->backing_format) {
        error_set(errp, "-B %s: the backing file's format is missing; add -F FORMAT",
                  args->backing_file);
    } else if (args->backing_file && args->count > 2) {
        error_set(errp, "-B %s: only for a single source", args->backing_file);
    } else {
        Image *backing = args->backing_file ? img_open_backing(args, file, errp) : NULL;
        image_close(backing, NULL);
        return backing || !args->backing_file;
    }
    return false;
}

static Image *make_target(ImgArgs *args, const char *file, uint64_t total, Error **errp)
{
    const char *format = args->output_format ? args->output_format : "raw";

    if (args->no_create) {
        return open_target(args, file, total, errp);
    }
    if (!img_take_creation(args, format, errp)) {
        return NULL;
    }
    uint64_t size = args->size_given ? whole_sectors(args->size) : total;
    if (size < total) {
        error_set(errp, "-o size=%" PRIu64 ": the sources have %" PRIu64 " bytes", args->size,
                  total);
        return NULL;
    }
    if (!check_target(args, bdrv_find_driver(format), file, errp)) {
        return NULL;
    }
    const ImageCreate how = {.format = format,
                             .size = size,
                             .backing_file = args->backing_file,
                             .backing_format = args->backing_format,
                             .options = args->creation,
                             .open = true,
                             .cache = args->target_cache};
    return image_create(file, &how, errp);
}

/* What the sources leave to their backing files is left to the target's. */
static void set_base(const ImgArgs *args, Copy *copy)
{
    if (args->no_create || !args->backing_file) {
        return;
    }
    BlockNode *backing = bdrv_backing(copy->target->node);
    copy->has_backing = true;
    copy->base = bdrv_backing(copy->sources[0].image->node);
    copy->backing_end = backing ? bdrv_size(backing) : 0;
}

static int run_convert(ImgArgs *args)
{
    const char *file = args->operands[args->count - 1];
    Copy copy = {0};
    Error *err = NULL;
    int status = 0;

    if ((args->target_is_zero || args->target_options) && !args->no_create) {
        error_set(&err, "%s: only together with -n",
                  args->target_is_zero ? "--target-is-zero" : "--target-image-opts");
        return img_failed(args, err, 1);
    }
    image_catch_signals();
    bool ok = open_sources(args, &copy, file, &err) &&
              (copy.target = make_target(args, file, total_size(&copy), &err));
    if (ok) {
        set_base(args, &copy);
    }
    ok = ok && run_copy(&copy, args, &err) &&
         (!args->bitmaps || img_copy_bitmaps(args, copy.sources[0].image, copy.target, &err));
    if (ok && !image_close(copy.target, &err)) {
        status = img_failed(args, err, 1);
    } else if (!ok) {
        status = target_failed(args, copy.target, err);
    }
    close_sources(&copy);
    return status;
}

const ImgCommand img_convert_command = {
    .name = "convert",
    .operands = "SOURCE... TARGET",
    .summary = "Copies an image, or several joined one behind the other",
    .options = convert_options,
    .min_operands = 2,
    .usage_status = 1,
    .run = run_convert,
};

/* ---- dd ---- */

static const ImgOption dd_options[] = {
    {'f', NULL, "FORMAT", "format of the input", img_set_format},
    {'O', NULL, "FORMAT", "format of the output (raw)", img_set_output_format},
    {0, "image-opts", NULL, "the input is a list of options", img_set_image_opts},
    {'U', "force-share", NULL, "read an input that another program writes", img_set_force_share},
    IMG_OBJECT_OPTION,
    {0},
};

typedef struct DdOperands {
    const char *input, *output;
    uint64_t block, count, skip;
    bool count_given;
} DdOperands;

static bool parse_dd_operand(DdOperands *dd, const char *text, Error **errp)
{
    static const char *const names[] = {"if", "of", "bs", "count", "skip", NULL};
    const char *value = strchr(text, '=');
    size_t n = value ? (size_t)(value - text) : strlen(text);
    int which = 0;

    while (names[which] && (strlen(names[which]) != n || strncmp(names[which], text, n))) {
        which++;
    }
    if (!value || !names[which]) {
        error_set(errp, "operand '%s' is not known; possible: if=, of=, bs=, count=, skip=", text);
        return false;
    }
    value++;
    switch (which) {
    case 0:
        dd->input = value;
        return true;
    case 1:
        dd->output = value;
        return true;
    case 2:
        return blkopts_parse_size("bs", value, &dd->block, errp);
    case 3:
        dd->count_given = true;
        return blkopts_parse_size("count", value, &dd->count, errp);
    default:
        return blkopts_parse_size("skip", value, &dd->skip, errp);
    }
}

static bool parse_dd(DdOperands *dd, const ImgArgs *args, Error **errp)
{
    *dd = (DdOperands){.block = BLK_SECTOR_SIZE};
    for (int i = 0; i < args->count; i++) {
        if (!parse_dd_operand(dd, args->operands[i], errp)) {
            return false;
        }
    }
    if (!dd->input || !dd->output) {
        error_set(errp, "%s is missing", dd->input ? "of=" : "if=");
        return false;
    }
    if (!dd->block || dd->block > INT32_MAX) {
        error_set(errp, "bs: %" PRIu64 " is not possible; possible: 1 to %d", dd->block, INT32_MAX);
        return false;
    }
    return refuse_same(dd->input, dd->output, errp);
}

/* blocks * block, at most limit */
static uint64_t limited_product(uint64_t blocks, uint64_t block, uint64_t limit)
{
    return blocks > limit / block ? limit : blocks * block;
}

static bool copy_blocks(ImgArgs *args, const DdOperands *dd, Image *input, Copy *copy, Error **errp)
{
    uint64_t skip = limited_product(dd->skip, dd->block, input->size);
    uint64_t bytes = input->size - skip;

    if (skip == input->size && dd->skip) {
        warn_report("dd: %s has only %" PRIu64 " bytes; skipped all of them", dd->input,
                    input->size);
    }
    if (dd->count_given) {
        bytes = limited_product(dd->count, dd->block, bytes);
    }
    const ImageCreate how = {.format = args->output_format ? args->output_format : "raw",
                             .size = whole_sectors(bytes),
                             .open = true};
    copy->target = image_create(dd->output, &how, errp);
    copy->sources = calloc(1, sizeof(Source));
    if (!copy->sources) {
        error_exit("out of memory");
    }
    if (!copy->target) {
        return false;
    }
    copy->sources[0] = (Source){input, skip, bytes};
    copy->source_count = 1;
    return run_copy(copy, args, errp);
}

static int run_dd(ImgArgs *args)
{
    DdOperands dd;
    Error *err = NULL;
    Copy copy = {0};
    int status = 0;

    if (!parse_dd(&dd, args, &err)) {
        return img_failed(args, err, 1);
    }
    image_catch_signals();
    Image *input = image_open(dd.input, &args->open, &err);
    bool ok = input && copy_blocks(args, &dd, input, &copy, &err);
    if (ok && !image_close(copy.target, &err)) {
        status = img_failed(args, err, 1);
    } else if (!ok) {
        status = target_failed(args, copy.target, err);
    }
    free(copy.sources);
    image_close(input, NULL);
    return status;
}

const ImgCommand img_dd_command = {
    .name = "dd",
    .operands = "if=INPUT of=OUTPUT [bs=SIZE] [count=BLOCKS] [skip=BLOCKS]",
    .summary = "Copies a part of an image into a new one",
    .options = dd_options,
    .min_operands = 2,
    .max_operands = 5,
    .usage_status = 1,
    .run = run_dd,
};
