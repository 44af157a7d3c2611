/*
 * Image: what the commands of vole-img see of a disk image. Offsets and sizes are bytes; an image's
 * size is a multiple of BLK_SECTOR_SIZE, a file's odd end reads as zeroes up to the next one.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_IMG_IMAGE_H
#define BLOCK_IMG_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "block/block.h"
#include "block/node.h"
#include "util/error.h"

/* bytes, rounded up to a multiple of BLK_SECTOR_SIZE. At most INT64_MAX. */
static inline uint64_t whole_sectors(uint64_t bytes)
{
    return (bytes + BLK_SECTOR_SIZE - 1) / BLK_SECTOR_SIZE * BLK_SECTOR_SIZE;
}

typedef struct Image {
    char *file;
    int fd;
    uint64_t size;
    uint64_t stored; /* bytes the file really has: less than size when it ends within a sector */
    bool is_device;
    bool created; /* the file was not there before */
    bool zeroed;  /* reads as zeroes wherever nothing was written yet */
} Image;

typedef BlockPrealloc ImagePrealloc;

typedef struct ImageOpen {
    bool writable;
    bool force_share;  /* also while another program writes it */
    bool format_given; /* the user said raw: contents that look like another format do not matter */
} ImageOpen;

/* NULL with an error; else the image is locked until image_close(). */
Image *image_open(const char *file, const ImageOpen *how, Error **errp);
/*
 * A new image of `size` bytes, in place of a file of that name; a host block device must be large
 * enough and keeps its contents. On failure nothing that was not there before is left.
 */
Image *image_create(const char *file, uint64_t size, ImagePrealloc prealloc, Error **errp);
/* False with an error when the host could not store everything. image may be NULL. */
bool image_close(Image *image, Error **errp);
/* Closes a target that will not be completed: removed if image_create() made it. True: removed. */
bool image_abandon(Image *image);

/* Whether both names lead to the same file or device. */
bool image_same_file(const char *a, const char *b);
bool image_read(Image *image, uint64_t offset, void *buf, size_t bytes, Error **errp);
bool image_write(Image *image, uint64_t offset, const void *buf, size_t bytes, Error **errp);
/* Makes the range read as zeroes, and gives its storage back where the host can. */
bool image_zero(Image *image, uint64_t offset, uint64_t bytes, Error **errp);
/* On stable storage afterwards. */
bool image_flush(Image *image, Error **errp);
/* What stands at offset (below the size) and where that ends: data, or a hole, which reads as
 * zeroes. */
void image_next_range(const Image *image, uint64_t offset, bool *data, uint64_t *end);
/* A failed attempt leaves the old size. */
bool image_resize(Image *image, uint64_t size, ImagePrealloc prealloc, Error **errp);
/* Bytes of host storage in use. */
uint64_t image_allocated(const Image *image);

/*
 * From image_catch_signals() on, an interrupt (^C, SIGTERM, SIGHUP) makes the next read or write
 * fail, so that the command can clean up. image_die() then ends the program by that signal; it
 * returns where there was none.
 */
void image_catch_signals(void);
void image_die(void);

#endif
