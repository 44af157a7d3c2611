/*
 * Image: what the commands of vole-img see of a disk image, whatever its format. Offsets and sizes
 * are bytes; an image's size is a multiple of BLK_SECTOR_SIZE.
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
    BlockChild *root;
    BlockNode *node;
    uint64_t size;
    bool created; /* the file was not there before */
    bool zeroed;  /* reads as zeroes wherever nothing was written yet */
} Image;

typedef struct ImageOpen {
    const char *format; /* NULL: probe */
    bool options;       /* the name is a list of options (--image-opts) */
    bool writable;
    bool force_share; /* also while another program writes it */
    bool no_backing;
    bool check;
    bool header_only;             /* to look at what the header tells: no password is needed */
    const char *aio;              /* how the host's file runs requests; NULL: as is best */
    const BlockOptions *creation; /* of -o: the secrets among them are for opening, too */
    unsigned cache;               /* BDRV_O_ flags of a cache mode */
} ImageOpen;

/* NULL with an error; else the image is locked until image_close(). */
Image *image_open(const char *file, const ImageOpen *how, Error **errp);

typedef struct ImageCreate {
    const char *format;
    uint64_t size; /* UINT64_MAX: the backing file's */
    const char *backing_file, *backing_format;
    const BlockOptions *options; /* of -o, may be NULL */
    bool open;                   /* opens it for writing; else only makes it */
    unsigned cache;
} ImageCreate;

/*
 * A new image in place of a file of that name; a host block device must be large
 * enough. On failure nothing that was not there before is left.
 */
Image *image_create(const char *file, const ImageCreate *how, Error **errp);
/* False with an error when the host could not store everything. image may be NULL. */
bool image_close(Image *image, Error **errp);
/* Closes a target that will not be completed: removed if image_create() made it. True: removed. */
bool image_abandon(Image *image);

/* Whether both names lead to the same file or device. */
bool image_same_file(const char *a, const char *b);
bool image_read(Image *image, uint64_t offset, void *buf, size_t bytes, Error **errp);
bool image_write(Image *image, uint64_t offset, const void *buf, size_t bytes, Error **errp);
/* On stable storage afterwards. */
bool image_flush(Image *image, Error **errp);
/* What stands at offset (below the size) and where that ends: data, or something that reads as
 * zeroes. */
bool image_next_range(const Image *image, uint64_t offset, bool *data, uint64_t *end, Error **errp);
/* A failed attempt leaves the old size. */
bool image_resize(Image *image, uint64_t size, BlockPrealloc prealloc, Error **errp);

/*
 * From image_catch_signals() on, an interrupt (^C, SIGTERM, SIGHUP) makes the next read or write
 * fail, so that the command can clean up. image_die() then ends the program by that signal; it
 * returns where there was none.
 */
void image_catch_signals(void);
bool image_interrupted(Error **errp);
void image_die(void);

#endif
