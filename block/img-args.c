/*
 * The command lines of vole-img: a command's option table gives its parser and its help text.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "block/img.h"

#include <ctype.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "util/options.h"
#include "util/secret.h"

enum {
    MAX_OPTIONS = 40,
    HELP_COLUMN = 26,
    LONG_ONLY = 256, /* getopt's value of the first row; letters lie below */
};

/* ---- values ---- */

static bool one_of(const char *what, const char *value, const char *const *names, int *index,
                   Error **errp)
{
    for (*index = 0; names[*index]; (*index)++) {
        if (!strcmp(names[*index], value)) {
            return true;
        }
    }
    char all[128] = "";
    for (size_t i = 0; names[i]; i++) {
        snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? ", " : "", names[i]);
    }
    error_set(errp, "%s: '%s' is not possible; possible: %s", what, value, all);
    return false;
}

static bool is_format(const char *what, const char *value, Error **errp)
{
    char all[512] = "";

    if (bdrv_find_driver(value)) {
        return true;
    }
    for (size_t i = 0; block_drivers[i]; i++) {
        if (!block_drivers[i]->protocol && !block_drivers[i]->internal) {
            snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", *all ? ", " : "",
                     block_drivers[i]->name);
        }
    }
    error_set(errp, "%s: '%s' is not possible; possible: %s", what, value, all);
    return false;
}

bool img_set_format(ImgArgs *args, const char *value, Error **errp)
{
    args->open.format = value;
    return is_format("image format", value, errp);
}

bool img_set_image_opts(ImgArgs *args, const char *value, Error **errp)
{
    args->open.options = true;
    return true;
}

bool img_set_output_format(ImgArgs *args, const char *value, Error **errp)
{
    args->output_format = value;
    return is_format("target format", value, errp);
}

bool img_set_backing(ImgArgs *args, const char *value, Error **errp)
{
    args->backing_file = value;
    return true;
}

bool img_set_backing_format(ImgArgs *args, const char *value, Error **errp)
{
    args->backing_format = value;
    return is_format("format of the backing file", value, errp);
}

bool img_set_snapshot(ImgArgs *args, const char *value, Error **errp)
{
    args->snapshot = value;
    return true;
}

bool img_set_rate(ImgArgs *args, const char *value, Error **errp)
{
    return blkopts_parse_size("-r", value, &args->rate, errp);
}

bool img_set_unsafe(ImgArgs *args, const char *value, Error **errp)
{
    args->unsafe = true;
    return true;
}

bool img_set_output(ImgArgs *args, const char *value, Error **errp)
{
    static const char *const forms[] = {"human", "json", NULL};
    int index;

    if (!one_of("--output", value, forms, &index, errp)) {
        return false;
    }
    args->json = index == 1;
    return true;
}

bool img_set_quiet(ImgArgs *args, const char *value, Error **errp)
{
    args->quiet = true;
    return true;
}

bool img_set_progress(ImgArgs *args, const char *value, Error **errp)
{
    args->progress = true;
    return true;
}

bool img_set_force_share(ImgArgs *args, const char *value, Error **errp)
{
    args->open.force_share = true;
    return true;
}

bool img_set_prealloc(ImgArgs *args, const char *value, Error **errp)
{
    static const char *const modes[] = {"off", "falloc", "full", "metadata", NULL};
    static const BlockPrealloc values[] = {PREALLOC_OFF, PREALLOC_FALLOC, PREALLOC_FULL,
                                           PREALLOC_METADATA};
    int index;

    if (!one_of("preallocation", value, modes, &index, errp)) {
        return false;
    }
    args->prealloc = values[index];
    args->prealloc_name = modes[index];
    return true;
}

bool img_set_creation(ImgArgs *args, const char *value, Error **errp)
{
    size_t commas = 0, n = strlen(value);

    while (commas < n && value[n - 1 - commas] == ',') {
        commas++;
    }
    /* Two commas are one of a value's own. */
    if (!n || *value == ',' || commas % 2) {
        error_set(errp, "-o '%s': is no list of options KEY=VALUE,...", value);
        return false;
    }
    if (!args->creation) {
        args->creation = blkopts_new();
    }
    return blkopts_parse(args->creation, value, NULL, errp);
}

void img_option_help(const ImgArgs *args, const char *head, const BlockDriver *driver,
                     const BlockOptionDesc *table)
{
    char left[64];

    if (!blkopts_get(args->creation, "help") && !blkopts_get(args->creation, "?")) {
        return;
    }
    printf("%s %s images:\n", head, driver->name);
    for (; table && table->name; table++) {
        snprintf(left, sizeof(left), "%s=%s", table->name, table->arg);
        printf("  %-*s  %s\n", HELP_COLUMN, left, table->help);
    }
    exit(fflush(stdout) ? 1 : 0);
}

bool img_take_creation(ImgArgs *args, const char *format, Error **errp)
{
    const BlockDriver *driver = bdrv_find_driver(format);

    if (!args->creation) {
        args->creation = blkopts_new();
    }
    char *size = blkopts_take(args->creation, "size");
    char *backing = blkopts_take(args->creation, "backing_file");
    char *backing_format = blkopts_take(args->creation, "backing_fmt");
    if (backing && driver->supports_backing) {
        args->backing_file = backing;
    } else if (backing) {
        error_set(errp, "-o backing_file=%s: format %s has no backing files", backing, format);
        return false;
    }
    if (backing_format && !img_set_backing_format(args, backing_format, errp)) {
        return false;
    }
    bool ok = !size || blkopts_parse_size("size", size, &args->size, errp);
    args->size_given |= size != NULL;
    free(size);
    return ok;
}

static bool cache_mode(const char *what, const char *value, unsigned *flags, Error **errp)
{
    static const char *const modes[] = {"none",   "off",        "writeback", "writethrough",
                                        "unsafe", "directsync", NULL};
    static const unsigned bits[] = {
        BDRV_O_DIRECT,       BDRV_O_DIRECT,   0,
        BDRV_O_WRITETHROUGH, BDRV_O_NO_FLUSH, BDRV_O_DIRECT | BDRV_O_WRITETHROUGH};
    int index;

    if (!one_of(what, value, modes, &index, errp)) {
        return false;
    }
    *flags = bits[index];
    return true;
}

bool img_set_cache(ImgArgs *args, const char *value, Error **errp)
{
    return cache_mode("-t", value, &args->target_cache, errp);
}

bool img_set_source_cache(ImgArgs *args, const char *value, Error **errp)
{
    return cache_mode("-T", value, &args->open.cache, errp);
}

bool img_set_nothing(ImgArgs *args, const char *value, Error **errp)
{
    return true;
}

bool img_set_object(ImgArgs *args, const char *value, Error **errp)
{
    return secret_add("--object", value, errp);
}

/* ---- progress ---- */

static volatile sig_atomic_t progress_asked;

static void ask_progress(int number)
{
    progress_asked = 1;
}

static void print_progress(const ImgProgress *progress, bool own_line)
{
    printf("    (%d.%02d/100%%)%c", progress->percent / 100, progress->percent % 100,
           own_line ? '\n' : '\r');
    fflush(stdout);
}

void img_progress_start(ImgProgress *progress, bool shown)
{
    *progress = (ImgProgress){.shown = shown};
    signal(SIGUSR1, ask_progress);
    if (shown) {
        print_progress(progress, false);
    }
}

void img_progress(ImgProgress *progress, uint64_t done, uint64_t total)
{
    int percent = total ? (int)((double)done * 10000 / (double)total) : 10000;

    if (progress_asked && !progress->shown) {
        progress->percent = percent;
        print_progress(progress, true);
    }
    progress_asked = 0;
    if (progress->shown &&
        (percent >= progress->percent + 10 || (percent == 10000 && progress->percent != 10000))) {
        progress->percent = percent;
        print_progress(progress, false);
    }
}

void img_progress_end(ImgProgress *progress, bool complete)
{
    if (complete) {
        img_progress(progress, 1, 1);
    }
    if (progress->shown) {
        putchar('\n');
        fflush(stdout);
    }
    signal(SIGUSR1, SIG_DFL);
}

bool img_load_snapshot(const ImgArgs *args, Image *image, Error **errp)
{
    const char *name = args->snapshot;

    if (!name) {
        return true;
    }
    /* "snapshot.id=1,snapshot.name=x" or the name alone. */
    BlockOptions *o = blkopts_new();
    if (strncmp(name, "snapshot.", 9) == 0 && blkopts_parse(o, name, NULL, errp)) {
        name = blkopts_get(o, "snapshot.id");
        name = name ? name : blkopts_get(o, "snapshot.name");
    }
    bool ok = name && bdrv_snapshot_load_tmp(image->node, name, errp);
    if (!name) {
        error_set(errp, "-l %s: possible: NAME, snapshot.id=ID or snapshot.name=NAME",
                  args->snapshot);
    }
    blkopts_free(o);
    image->size = whole_sectors(bdrv_size(image->node));
    return ok;
}

/* ---- help ---- */

static void print_option(const ImgOption *o)
{
    char head[64], letter[8] = "   ";

    if (o->letter) {
        snprintf(letter, sizeof(letter), "-%c%s", o->letter, o->name ? "," : "");
    }
    snprintf(head, sizeof(head), "%s%s%s%s%s", letter, o->name ? " --" : "", o->name ? o->name : "",
             o->arg ? (o->name ? "=" : " ") : "", o->arg ? o->arg : "");
    printf("  %-*s  %s\n", HELP_COLUMN, head, o->help);
}

void img_command_help(const ImgCommand *command)
{
    printf("usage: vole-img %s [OPTIONS] %s\n\n%s.\n\n", command->name, command->operands,
           command->summary);
    for (const ImgOption *o = command->options; o->help; o++) {
        print_option(o);
    }
    printf("  %-*s  %s\n", HELP_COLUMN, "-h, --help", "this text");
}

static void print_option_manual(const ImgOption *o)
{
    printf(".TP\n.B ");
    if (o->letter) {
        printf("\\-%c%s", o->letter, o->name ? ", " : "");
    }
    if (o->name) {
        printf("\\-\\-");
        options_print_roff(o->name);
    }
    if (o->arg) {
        printf("%s\\fI", o->name ? "=" : " ");
        options_print_roff(o->arg);
        printf("\\fR");
    }
    putchar('\n');
    size_t word = strspn(o->help, "abcdefghijklmnopqrstuvwxyz");
    bool sentence = o->help[word] == ' '; /* else it begins with what is typed */
    putchar(sentence ? toupper((unsigned char)o->help[0]) : o->help[0]);
    options_print_roff(o->help + 1);
    puts(o->help[strlen(o->help) - 1] == '.' ? "" : ".");
}

void img_command_manual(const ImgCommand *command)
{
    printf(".SS ");
    options_print_roff(command->name);
    printf(" [\\fIOPTIONS\\fR] ");
    options_print_roff(command->operands);
    putchar('\n');
    options_print_roff(command->summary);
    puts(".");
    for (const ImgOption *o = command->options; o->help; o++) {
        print_option_manual(o);
    }
}

/* ---- parsing ---- */

int img_failed(const ImgArgs *args, Error *err, int status)
{
    error_prepend(&err, "%s: ", args->command->name);
    error_report_free(err);
    return status;
}

/* A table in getopt's form. A row's value is its index from LONG_ONLY on, also for its letter. */
static void make_getopt(const ImgOption *options, struct option *longs, char *letters)
{
    *letters++ = ':'; /* a missing value is told apart from an unknown option */
    for (int i = 0; options[i].help; i++) {
        if (options[i].name) {
            *longs++ =
                (struct option){options[i].name, options[i].arg ? required_argument : no_argument,
                                NULL, LONG_ONLY + i};
        }
        if (options[i].letter) {
            *letters++ = options[i].letter;
            if (options[i].arg) {
                *letters++ = ':';
            }
        }
    }
    *longs++ = (struct option){"help", no_argument, NULL, 'h'};
    *longs = (struct option){0};
    strcpy(letters, "h");
}

static const ImgOption *find_option(const ImgOption *options, int value)
{
    for (int i = 0; options[i].help; i++) {
        if (value == LONG_ONLY + i || (options[i].letter && value == options[i].letter)) {
            return &options[i];
        }
    }
    return NULL;
}

static void wrong_option(const struct option *longs, const char *word, bool lacks_value,
                         Error **errp)
{
    const char *names[MAX_OPTIONS + 2];
    size_t n = 0;
    char given[64];

    if (optopt > 0 && optopt < LONG_ONLY) {
        snprintf(given, sizeof(given), "-%c", optopt);
    } else {
        snprintf(given, sizeof(given), "%.*s", (int)strcspn(word, "="), word);
    }
    if (lacks_value) {
        error_set(errp, "%s: needs a value (--help tells more)", given);
        return;
    }
    if (optopt >= LONG_ONLY) {
        error_set(errp, "%s: takes no value (--help tells more)", given);
        return;
    }
    for (const struct option *o = longs; o->name; o++) {
        names[n++] = o->name;
    }
    names[n] = NULL;
    const char *near = given[1] == '-' ? nearest_name(given + 2, names) : NULL;
    error_set(errp, "%s: unknown option%s%s%s", given, near ? "; did you mean --" : "",
              near ? near : "", near ? "?" : " (--help lists all)");
}

/* Leaves optind at the first operand. */
static bool parse_options(ImgArgs *args, int argc, char **argv, Error **errp)
{
    struct option longs[MAX_OPTIONS + 2];
    char letters[2 * MAX_OPTIONS + 4];
    int value;

    make_getopt(args->command->options, longs, letters);
    opterr = 0;
    while ((value = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        if (value == 'h') {
            img_command_help(args->command);
            exit(0);
        }
        const ImgOption *o = find_option(args->command->options, value);
        if (!o) {
            wrong_option(longs, argv[optind - 1], value == ':', errp);
            return false;
        }
        if (!o->set(args, optarg, errp)) {
            return false;
        }
    }
    return true;
}

/* -5M at the end of resize is an operand, though it looks like an option. */
static bool is_negative_size(const char *word)
{
    return word[0] == '-' && isdigit((unsigned char)word[1]);
}

int img_run_command(const ImgCommand *command, int argc, char **argv)
{
    ImgArgs args = {.command = command,
                    .length = UINT64_MAX,
                    .sparse = 4096,
                    .workers = 8,
                    .target_cache = command == &img_convert_command ? BDRV_O_NO_FLUSH : 0};
    Error *err = NULL;
    bool apart = command->signed_size && argc > 1 && is_negative_size(argv[argc - 1]);

    if (!parse_options(&args, argc - apart, argv, &err)) {
        return img_failed(&args, err, command->usage_status);
    }
    if (args.creation && command != &img_amend_command) { /* amend's are others */
        const char *format = args.output_format ? args.output_format : args.open.format;
        const BlockDriver *driver = bdrv_find_driver(format ? format : "raw");
        img_option_help(&args, "Options for", driver, driver->create_options);
    }
    /* getopt has moved the operands behind the options. */
    args.operands = argv + optind;
    args.count = argc - optind;
    if (args.count < command->min_operands ||
        (command->max_operands && args.count > command->max_operands)) {
        error_set(&err, "%s; usage: vole-img %s [OPTIONS] %s",
                  args.count < command->min_operands ? "an operand is missing"
                                                     : "too many operands",
                  command->name, command->operands);
        return img_failed(&args, err, command->usage_status);
    }
    return command->run(&args);
}
