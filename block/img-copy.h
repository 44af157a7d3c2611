/*
 * vole-img: copies of images, for convert and dd.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_IMG_COPY_H
#define BLOCK_IMG_COPY_H

#include "block/img.h"

enum { IMG_COPY_MAX_WORKERS = 16 };

/* A part of an image that is read, in bytes. */
typedef struct CopySource {
    Image *image;
    uint64_t start, bytes;
} CopySource;

/* The sources one behind the other go to the target's beginning. All of it is the caller's. */
typedef struct ImgCopy {
    CopySource *sources;
    int source_count;
    Image *target;
    BlockNode *base;  /* what lies in it and below is left to the target's own backing file; NULL:
                         nothing */
    bool has_backing; /* the target has a backing file */
    uint64_t backing_end; /* how long that one is */
} ImgCopy;

/* Copies as the options of convert say, shows the progress, and flushes the target where it is to
 * be flushed. */
bool img_copy(const ImgCopy *what, const ImgArgs *args, Error **errp);
/*
 * Reports err with what became of the target, if there is one already: it is given up, and removed
 * if it was made. Returns the program's exit status; ends the program on a signal.
 */
int img_copy_failed(const ImgArgs *args, Image *target, Error *err);
/* False with an error where both names are one file. */
bool img_refuse_same(const char *source, const char *target, Error **errp);

#endif
