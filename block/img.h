/*
 * The commands of vole-img: how each is described, how its arguments arrive.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BLOCK_IMG_H
#define BLOCK_IMG_H

#include <stdbool.h>
#include <stdint.h>

#include "block/img-image.h"
#include "util/error.h"

typedef struct ImgArgs ImgArgs;

/* An option of one command. A table of them ends with a row without help. */
typedef struct ImgOption {
    char letter;      /* 0: has only a long name */
    const char *name; /* long name without dashes, or NULL */
    const char *arg;  /* how its value is called; NULL: stands alone */
    const char *help; /* one line */
    bool (*set)(ImgArgs *args, const char *value, Error **errp);
} ImgOption;

typedef struct ImgCommand {
    const char *name;
    const char *operands; /* "FILE SIZE" */
    const char *summary;  /* one line */
    const ImgOption *options;
    int min_operands, max_operands; /* max 0: any number */
    int usage_status;               /* exit status of a wrong command line */
    bool signed_size;               /* the last operand may be -SIZE and is no option */
    int (*run)(ImgArgs *args);      /* gives the exit status */
} ImgCommand;

struct ImgArgs {
    const ImgCommand *command;
    int count; /* operands */
    char **operands;

    ImageOpen open;            /* how images that are read get opened */
    const char *output_format; /* -O; of compare: the second image's (-F) */
    unsigned target_cache;     /* -t as BDRV_O_ flags */
    BlockOptions *creation;    /* -o; NULL: none */
    BlockPrealloc prealloc;
    const char *prealloc_name; /* as given, NULL: not given */
    const char *backing_file, *backing_format, *snapshot;
    bool json, quiet, progress, strict, shrink, backing_chain, unsafe;
    bool no_create, target_is_zero, target_options, compressed, out_of_order, bitmaps, skip_broken,
        salvage;
    bool size_given, drop, force;
    uint64_t size;
    uint64_t start, length; /* part for map */
    uint64_t sparse;        /* run of zeroes that becomes a hole; 0: none */
    uint64_t rate;          /* bytes a second; 0: no limit */
    unsigned workers;
    int action; /* of snapshot, check and bitmap: theirs to say */
    void *own;  /* the command's */
};

/* Options and operands, then the command. Gives the exit status. */
int img_run_command(const ImgCommand *command, int argc, char **argv);
void img_command_help(const ImgCommand *command);
/* The same as a part of a manual page (man(7) macros). */
void img_command_manual(const ImgCommand *command);
/* Reports err as "COMMAND: ..." and gives status. */
int img_failed(const ImgArgs *args, Error *err, int status);

/* ---- setters that several commands share ---- */
bool img_set_format(ImgArgs *args, const char *value, Error **errp);
bool img_set_image_opts(ImgArgs *args, const char *value, Error **errp);
bool img_set_output_format(ImgArgs *args, const char *value, Error **errp);
bool img_set_output(ImgArgs *args, const char *value, Error **errp);
bool img_set_quiet(ImgArgs *args, const char *value, Error **errp);
bool img_set_progress(ImgArgs *args, const char *value, Error **errp);
bool img_set_force_share(ImgArgs *args, const char *value, Error **errp);
bool img_set_prealloc(ImgArgs *args, const char *value, Error **errp);
bool img_set_backing(ImgArgs *args, const char *value, Error **errp);
bool img_set_backing_format(ImgArgs *args, const char *value, Error **errp);
bool img_set_snapshot(ImgArgs *args, const char *value, Error **errp);
bool img_set_rate(ImgArgs *args, const char *value, Error **errp);
bool img_set_unsafe(ImgArgs *args, const char *value, Error **errp);
bool img_set_object(ImgArgs *args, const char *value, Error **errp);
/* Every command may need a password. */
#define IMG_OBJECT_OPTION                                                                          \
    {                                                                                              \
        0, "object", "DEF", "secret,id=ID,file=FILE: a password that options name", img_set_object \
    }
/* -o: collected; what is possible depends on the format. */
bool img_set_creation(ImgArgs *args, const char *value, Error **errp);
/* "size" out of -o (into args->size) and "backing_file", "backing_fmt"; -o help prints and exits.
 */
bool img_take_creation(ImgArgs *args, const char *format, Error **errp);
/* -o help of a command that takes those options: prints and exits. */
void img_option_help(const ImgArgs *args, const char *head, const struct BlockDriver *driver,
                     const BlockOptionDesc *table);
/* -t and -T: a cache mode's name. */
bool img_set_cache(ImgArgs *args, const char *value, Error **errp);
bool img_set_source_cache(ImgArgs *args, const char *value, Error **errp);
/* For options that say how fast, not what. */
bool img_set_nothing(ImgArgs *args, const char *value, Error **errp);
/* The image's snapshot that -l named, for reading. */
bool img_load_snapshot(const ImgArgs *args, Image *image, Error **errp);

/* The backing file that was given, as the image `file` would name it. */
Image *img_open_backing(const ImgArgs *args, const char *file, Error **errp);

/* For convert --bitmaps. */
bool img_copy_bitmaps(const ImgArgs *args, Image *from, Image *to, Error **errp);
/* "1.5 GiB" into text, which is returned. */
const char *img_human_size(uint64_t bytes, char *text, size_t size);
/* The tree as JSON on stdout, laid out as other image tools do, and a newline. */
void img_print_json(const InfoTree *tree);
/* The table of snapshots behind `title`; nothing where there are none. */
void img_print_snapshots(BlockNode *node, const char *title);

/* "    (12.00/100%)" on stdout, a line that is written over; on SIGUSR1 also where it was not asked
 * for. */
typedef struct ImgProgress {
    bool shown, asked; /* asked: SIGUSR1 wants a line now */
    int percent;       /* hundredths */
} ImgProgress;
void img_progress_start(ImgProgress *progress, bool shown);
void img_progress(ImgProgress *progress, uint64_t done, uint64_t total);
void img_progress_end(ImgProgress *progress, bool complete);

extern const ImgCommand img_create_command, img_resize_command, img_info_command, img_map_command,
    img_measure_command, img_check_command, img_convert_command, img_dd_command,
    img_compare_command, img_snapshot_command, img_commit_command, img_rebase_command,
    img_amend_command, img_bitmap_command, img_bench_command, img_nbd_command;

#endif
