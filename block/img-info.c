/*
 * vole-img info, map, measure, check: what an image is, without changing it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/img.h"

enum { CHECK_UNSUPPORTED = 63 };

/* "1.5 GiB": three digits, as many as fit below the next unit. */
static const char *human_size(uint64_t bytes, char *text, size_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1000 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1024;
        unit++;
    }
    snprintf(text, size, "%.3g %s", value, units[unit]);
    return text;
}

static void print_json_string(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        unsigned char c = *text;
        if (c == '"' || c == '\\') {
            printf("\\%c", c);
        } else if (c < ' ' || c == 0x7f) {
            printf("\\u%04X", c);
        } else {
            putchar(c);
        }
    }
    putchar('"');
}

/* ---- info ---- */

static bool set_backing_chain(ImgArgs *args, const char *value, Error **errp)
{
    args->backing_chain = true;
    return true;
}

static const ImgOption info_options[] = {
    {'f', NULL, "FORMAT", "format of the image: raw", img_set_format},
    {0, "output", "FORM", "human or json", img_set_output},
    {0, "backing-chain", NULL, "the image and all below it: for raw, itself", set_backing_chain},
    {'U', "force-share", NULL, "also while another program writes the image", img_set_force_share},
    {0},
};

static void print_info_human(const Image *image)
{
    char virtual_size[32], disk_size[32];

    printf("image: %s\nfile format: raw\nvirtual size: %s (%" PRIu64 " bytes)\ndisk size: %s\n",
           image->file, human_size(image->size, virtual_size, sizeof(virtual_size)), image->size,
           human_size(image_allocated(image), disk_size, sizeof(disk_size)));
}

/* A chain is a list of such objects. */
static void print_info_json(const Image *image, bool chain)
{
    const char *in = chain ? "    " : "";

    printf("%s%s{\n%s    \"virtual-size\": %" PRIu64 ",\n%s    \"filename\": ", chain ? "[\n" : "",
           in, in, image->size, in);
    print_json_string(image->file);
    printf(",\n%s    \"format\": \"raw\",\n%s    \"actual-size\": %" PRIu64
           ",\n%s    \"dirty-flag\": false\n%s}\n%s",
           in, in, image_allocated(image), in, in, chain ? "]\n" : "");
}

static int run_info(ImgArgs *args)
{
    Error *err = NULL;
    Image *image = image_open(args->operands[0], &args->open, &err);

    if (!image) {
        return img_failed(args, err, 1);
    }
    if (args->json) {
        print_info_json(image, args->backing_chain);
    } else {
        print_info_human(image);
    }
    image_close(image, NULL);
    return 0;
}

const ImgCommand img_info_command = {
    .name = "info",
    .operands = "FILE",
    .summary = "Shows an image's format, its size and how much storage it takes",
    .options = info_options,
    .min_operands = 1,
    .max_operands = 1,
    .usage_status = 1,
    .run = run_info,
};

/* ---- map ---- */

static bool set_start(ImgArgs *args, const char *value, Error **errp)
{
    return img_parse_size("--start-offset", value, &args->start, errp);
}

static bool set_length(ImgArgs *args, const char *value, Error **errp)
{
    return img_parse_size("--max-length", value, &args->length, errp);
}

static const ImgOption map_options[] = {
    {'f', NULL, "FORMAT", "format of the image: raw", img_set_format},
    {0, "output", "FORM", "human (data only) or json (holes as well)", img_set_output},
    {'s', "start-offset", "OFFSET", "begin there", set_start},
    {'l', "max-length", "LENGTH", "as many bytes from there", set_length},
    {'U', "force-share", NULL, "also while another program writes the image", img_set_force_share},
    {0},
};

static void print_range_human(const Image *image, uint64_t start, uint64_t length, bool data)
{
    char from[24], bytes[24];

    if (data) {
        snprintf(from, sizeof(from), "%#" PRIx64, start);
        snprintf(bytes, sizeof(bytes), "%#" PRIx64, length);
        printf("%-16s%-16s%-16s%s\n", from, bytes, from, image->file);
    }
}

static void print_range_json(uint64_t start, uint64_t length, bool data)
{
    printf("{ \"start\": %" PRIu64 ", \"length\": %" PRIu64 ", \"depth\": 0, \"present\": true, "
           "\"zero\": %s, \"data\": %s, \"offset\": %" PRIu64 "}",
           start, length, data ? "false" : "true", data ? "true" : "false", start);
}

static void print_map(const ImgArgs *args, const Image *image)
{
    uint64_t offset = args->start;
    uint64_t rest = offset < image->size ? image->size - offset : 0;
    uint64_t last = offset + (args->length < rest ? args->length : rest);
    bool data, first = true;

    if (!args->json) {
        puts("Offset          Length          Mapped to       File");
    }
    for (uint64_t end; offset < last; offset = end, first = false) {
        image_next_range(image, offset, &data, &end);
        if (data && end > image->stored) {
            end = image->stored;
        }
        end = end < last ? end : last;
        if (!args->json) {
            print_range_human(image, offset, end - offset, data);
            continue;
        }
        fputs(first ? "[" : ",\n", stdout);
        print_range_json(offset, end - offset, data);
    }
    if (args->json && first) {
        printf("[{ \"start\": %" PRIu64
               ", \"length\": 0, \"depth\": 0, \"present\": false, \"zero\": false, "
               "\"data\": false}",
               offset);
    }
    fputs(args->json ? "]\n" : "", stdout);
}

static int run_map(ImgArgs *args)
{
    Error *err = NULL;
    Image *image = image_open(args->operands[0], &args->open, &err);

    if (!image) {
        return img_failed(args, err, 1);
    }
    print_map(args, image);
    image_close(image, NULL);
    return 0;
}

const ImgCommand img_map_command = {
    .name = "map",
    .operands = "FILE",
    .summary = "Shows which parts of an image hold data and which are holes",
    .options = map_options,
    .min_operands = 1,
    .max_operands = 1,
    .usage_status = 1,
    .run = run_map,
};

/* ---- measure ---- */

static const ImgOption measure_options[] = {
    {'f', NULL, "FORMAT", "format of the image: raw", img_set_format},
    {'O', NULL, "FORMAT", "format of the target: raw", img_set_output_format},
    {0, "output", "FORM", "human or json", img_set_output},
    {0, "size", "SIZE", "for a new image of that size", img_set_size},
    {'U', "force-share", NULL, "also while another program writes the image", img_set_force_share},
    {0},
};

static bool measure(ImgArgs *args, uint64_t *bytes, Error **errp)
{
    if (args->size_given == (args->count > 0)) {
        error_set(errp, "possible: either --size SIZE or one FILE");
        return false;
    }
    *bytes = whole_sectors(args->size);
    if (args->count) {
        Image *image = image_open(args->operands[0], &args->open, errp);
        if (!image) {
            return false;
        }
        *bytes = image->size;
        image_close(image, NULL);
    }
    return true;
}

static int run_measure(ImgArgs *args)
{
    Error *err = NULL;
    uint64_t bytes;

    if (!measure(args, &bytes, &err)) {
        return img_failed(args, err, 1);
    }
    /* A raw file is as long as its disk, whatever lies in it. */
    printf(args->json ? "{\n    \"required\": %" PRIu64 ",\n    \"fully-allocated\": %" PRIu64
                        "\n}\n"
                      : "required size: %" PRIu64 "\nfully allocated size: %" PRIu64 "\n",
           bytes, bytes);
    return 0;
}

const ImgCommand img_measure_command = {
    .name = "measure",
    .operands = "[FILE]",
    .summary = "Tells how long the file of a new image, or of a copy of FILE, would be",
    .options = measure_options,
    .max_operands = 1,
    .usage_status = 1,
    .run = run_measure,
};

/* ---- check ---- */

static const ImgOption check_options[] = {
    {'f', NULL, "FORMAT", "format of the image: raw", img_set_format},
    {0, "output", "FORM", "human or json", img_set_output},
    {'q', NULL, NULL, "print nothing but errors", img_set_quiet},
    {'r', "repair", "WHAT", "leaks or all; raw has nothing to repair", img_set_nothing},
    {'T', NULL, "CACHE", "cache mode; accepted, changes nothing", img_set_source_cache},
    {'U', "force-share", NULL, "also while another program writes the image", img_set_force_share},
    {0},
};

static int run_check(ImgArgs *args)
{
    Error *err = NULL;
    Image *image = image_open(args->operands[0], &args->open, &err);

    if (!image) {
        return img_failed(args, err, 1);
    }
    image_close(image, NULL);
    error_report("This image format does not support checks");
    return CHECK_UNSUPPORTED;
}

const ImgCommand img_check_command = {
    .name = "check",
    .operands = "FILE",
    .summary = "Checks an image's structure; raw images have none, exit status 63 says so",
    .options = check_options,
    .min_operands = 1,
    .max_operands = 1,
    .usage_status = 1,
    .run = run_check,
};
