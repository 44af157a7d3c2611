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

    ImageOpen open; /* how images that are read get opened */
    ImagePrealloc prealloc;
    const char *prealloc_name; /* as given, NULL: not given */
    bool json, quiet, progress, strict, shrink, backing_chain;
    bool no_create, target_is_zero, flush;
    bool size_given;
    uint64_t size;
    uint64_t start, length; /* part for map */
    uint64_t sparse;        /* run of zeroes that becomes a hole; 0: none */
};

/* "10G", "1.5k", "4096": bytes, at most the largest size of a file. */
bool img_parse_size(const char *what, const char *text, uint64_t *bytes, Error **errp);
/* Options and operands, then the command. Gives the exit status. */
int img_run_command(const ImgCommand *command, int argc, char **argv);
void img_command_help(const ImgCommand *command);
/* Reports err as "COMMAND: ..." and gives status. */
int img_failed(const ImgArgs *args, Error *err, int status);

/* ---- setters that several commands share ---- */
bool img_set_format(ImgArgs *args, const char *value, Error **errp);
bool img_set_output_format(ImgArgs *args, const char *value, Error **errp);
bool img_set_output(ImgArgs *args, const char *value, Error **errp);
bool img_set_quiet(ImgArgs *args, const char *value, Error **errp);
bool img_set_progress(ImgArgs *args, const char *value, Error **errp);
bool img_set_force_share(ImgArgs *args, const char *value, Error **errp);
bool img_set_size(ImgArgs *args, const char *value, Error **errp);
bool img_set_prealloc(ImgArgs *args, const char *value, Error **errp);
/* -o preallocation=...,size=... */
bool img_set_creation(ImgArgs *args, const char *value, Error **errp);
/* -t and -T: a cache mode's name. */
bool img_set_cache(ImgArgs *args, const char *value, Error **errp);
bool img_set_source_cache(ImgArgs *args, const char *value, Error **errp);
/* For options that say how fast, not what. */
bool img_set_nothing(ImgArgs *args, const char *value, Error **errp);

/* "    (12.00/100%)" on stdout, a line that is written over; done == total ends it. */
typedef struct ImgProgress {
    bool shown;
    int percent;
} ImgProgress;
void img_progress_start(ImgProgress *progress, bool shown);
void img_progress(ImgProgress *progress, uint64_t done, uint64_t total);
void img_progress_end(ImgProgress *progress, bool complete);

extern const ImgCommand img_create_command, img_resize_command, img_info_command, img_map_command,
    img_measure_command, img_check_command, img_convert_command, img_dd_command,
    img_compare_command;

#endif
