/*
 * vole-img check; JSON for all commands.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/img.h"

/* ---- JSON ---- */

static void print_json_string(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        unsigned char c = *text;
        if (c == '"' || c == '\\') {
            printf("\\%c", c);
        } else if (c == '\n' || c == '\t' || c == '\r' || c == '\b' || c == '\f') {
            printf("\\%c", c == '\n'   ? 'n'
                           : c == '\t' ? 't'
                           : c == '\r' ? 'r'
                           : c == '\b' ? 'b'
                                       : 'f');
        } else if (c < ' ' || c == 0x7f) {
            printf("\\u%04X", c);
        } else {
            putchar(c);
        }
    }
    putchar('"');
}

static void print_json(const InfoTree *t, unsigned depth)
{
    const char *ends = t->kind == INFO_LIST ? "[]" : "{}";

    switch (t->kind) {
    case INFO_STRING:
        print_json_string(t->text);
        return;
    case INFO_INT:
        printf("%" PRIu64, t->number);
        return;
    case INFO_BOOL:
        fputs(t->number ? "true" : "false", stdout);
        return;
    default:
        break;
    }
    putchar(ends[0]);
    for (const InfoTree *c = t->first; c; c = c->next) {
        printf("%s\n%*s", c == t->first ? "" : ",", 4 * (depth + 1), "");
        if (c->name) {
            printf("\"%s\": ", c->name);
        }
        print_json(c, depth + 1);
    }
    printf("\n%*s%c", 4 * depth, "", ends[1]);
}

void img_print_json(const InfoTree *tree)
{
    print_json(tree, 0);
    putchar('\n');
}

/* ---- check ---- */

enum { CHECK_OK = 0, CHECK_FAILED = 1, CHECK_CORRUPT = 2, CHECK_LEAKS = 3, CHECK_UNSUPPORTED = 63 };

static bool set_repair(ImgArgs *args, const char *value, Error **errp)
{
    if (!strcmp(value, "leaks")) {
        args->action = CHECK_FIX_LEAKS;
    } else if (!strcmp(value, "all")) {
        args->action = CHECK_FIX_LEAKS | CHECK_FIX_ERRORS;
    } else {
        error_set(errp, "-r: '%s' is not possible; possible: leaks, all", value);
        return false;
    }
    return true;
}

static const ImgOption check_options[] = {
    {'f', NULL, "FORMAT", "format of the image", img_set_format},
    {0, "image-opts", NULL, "FILE is a list of options", img_set_image_opts},
    {0, "output", "FORM", "human or json", img_set_output},
    {'q', NULL, NULL, "print nothing but errors", img_set_quiet},
    {'r', "repair", "WHAT", "repair: leaks (lost storage) or all", set_repair},
    {'T', NULL, "CACHE", "cache mode", img_set_source_cache},
    {'U', "force-share", NULL, "also while another program writes the image", img_set_force_share},
    IMG_OBJECT_OPTION,
    {0},
};

static void print_finding(void *opaque, const char *line)
{
    const ImgArgs *args = opaque;

    if (!args->quiet) {
        fprintf(stderr, "%s\n", line);
    }
}

static void print_human(const BlockCheck *c)
{
    if (!c->corruptions && !c->leaks && !c->check_errors) {
        puts("No errors were found on the image.");
    }
    if (c->corruptions) {
        printf("\n%" PRIu64 " errors were found on the image.\nData may be corrupted, or further "
               "writes to the image may "
               "corrupt it.\n",
               c->corruptions);
    }
    if (c->leaks) {
        printf("\n%" PRIu64 " leaked clusters were found on the image.\nThis means waste of disk "
               "space, but no harm to "
               "data.\n",
               c->leaks);
    }
    if (c->check_errors) {
        printf("\n%" PRIu64 " internal errors have occurred during the check.\n", c->check_errors);
    }
    if (c->total_clusters && c->allocated_clusters) {
        printf("%" PRIu64 "/%" PRIu64
               " = %0.2f%% allocated, %0.2f%% fragmented, %0.2f%% compressed clusters\n",
               c->allocated_clusters, c->total_clusters,
               (double)c->allocated_clusters * 100.0 / (double)c->total_clusters,
               (double)c->fragmented_clusters * 100.0 / (double)c->allocated_clusters,
               (double)c->compressed_clusters * 100.0 / (double)c->allocated_clusters);
    }
    if (c->image_end_offset) {
        printf("Image end offset: %" PRIu64 "\n", c->image_end_offset);
    }
}

static void add_nonzero(InfoTree *t, const char *name, uint64_t value)
{
    if (value) {
        info_add_int(t, name, value);
    }
}

static void print_result_json(const BlockCheck *c, const Image *image)
{
    InfoTree *t = info_new(INFO_OBJECT);

    add_nonzero(t, "image-end-offset", c->image_end_offset);
    add_nonzero(t, "total-clusters", c->total_clusters);
    info_add_int(t, "check-errors", c->check_errors);
    add_nonzero(t, "corruptions-fixed", c->corruptions_fixed);
    add_nonzero(t, "corruptions", c->corruptions);
    add_nonzero(t, "allocated-clusters", c->allocated_clusters);
    info_add_string(t, "filename", image->file);
    add_nonzero(t, "leaks", c->leaks);
    add_nonzero(t, "fragmented-clusters", c->fragmented_clusters);
    info_add_string(t, "format", bdrv_format_name(image->node));
    add_nonzero(t, "leaks-fixed", c->leaks_fixed);
    add_nonzero(t, "compressed-clusters", c->compressed_clusters);
    img_print_json(t);
    info_free(t);
}

/* A repair is followed by a second look, whose findings are what is left. */
static int check_image(ImgArgs *args, Image *image, BlockCheck *c)
{
    *c = (BlockCheck){.report = print_finding, .opaque = args};
    int ret = bdrv_check(image->node, c, args->action);

    if (ret == 0 && (c->leaks_fixed || c->corruptions_fixed)) {
        BlockCheck again = {.report = print_finding, .opaque = args};
        if (!args->quiet && !args->json) {
            printf("The following inconsistencies were found and repaired:\n\n    %" PRIu64
                   " leaked clusters\n    %" PRIu64
                   " corruptions\n\nDouble checking the fixed image now...\n",
                   c->leaks_fixed, c->corruptions_fixed);
        }
        ret = bdrv_check(image->node, &again, 0);
        again.leaks_fixed = c->leaks_fixed;
        again.corruptions_fixed = c->corruptions_fixed;
        *c = again;
    }
    return ret;
}

static int run_check(ImgArgs *args)
{
    Error *err = NULL;
    BlockCheck c;

    args->open.writable = args->action != 0;
    args->open.check = true;
    args->open.no_backing = true;
    Image *image = image_open(args->operands[0], &args->open, &err);
    if (!image) {
        return img_failed(args, err, CHECK_FAILED);
    }
    int ret = check_image(args, image, &c);
    if (ret == -ENOTSUP) {
        image_close(image, NULL);
        error_report("This image format does not support checks");
        return CHECK_UNSUPPORTED;
    }
    if (args->json) {
        print_result_json(&c, image);
    } else if (!args->quiet) {
        print_human(&c);
    }
    bool closed = image_close(image, &err);
    if (!closed) {
        return img_failed(args, err, CHECK_FAILED);
    }
    if (ret < 0) {
        error_set_errno(&err, -ret, "the check of %s failed", args->operands[0]);
        return img_failed(args, err, CHECK_FAILED);
    }
    return c.check_errors  ? CHECK_FAILED
           : c.corruptions ? CHECK_CORRUPT
           : c.leaks       ? CHECK_LEAKS
                           : CHECK_OK;
}

const ImgCommand img_check_command = {
    .name = "check",
    .operands = "FILE",
    .summary =
        "Checks an image's structure; exit status 2: errors, 3: lost storage, 63: nothing to check",
    .options = check_options,
    .min_operands = 1,
    .max_operands = 1,
    .usage_status = 1,
    .run = run_check,
};
